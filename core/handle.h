/* handle.h -- what a process keeps of a region it has open
 *
 * Addresses in this process, and who this process is in the region. All other
 * state is in the region, where every process sees it. */
#pragma once
#include "bits.h"
#include "layout.h"

typedef struct alps_handle {
    alps_map map;     /* the open medium */
    alps_geometry at; /* where everything is */
    alps_superblock *super;
    alps_shared *shared;
    alps_done *done;
    alps_lane *lanes;
    alps_slot *slots;
    alps_index *index; /* two: of granules, of extents */
    uint64_t *codes;   /* of extents */
    uint64_t *kinds;   /* of extents: bit 1, a heap extent */
    uint64_t owner;    /* what this handle writes into lock words; 0: none */
    unsigned slot;     /* this handle's number among the attached */
    unsigned crc;      /* how checksums are computed */
    int error;         /* the last code that an allocation met */
} alps_handle;

/* The tables of an instance and its path off the fast one, handed down as a
 * constant so that the compiler sees through it. */
enum { ALPS_SLOW_WAIT = 1, ALPS_SLOW_REFILL = 2, ALPS_SLOW_LANES = 3 };
typedef struct alps_tables {
    const alps_backend *backend;
    const alps_policy *policy;
    int (*slow)(alps_handle *h, int what, uint64_t units, uint64_t level);
} alps_tables;

/* Keeps `code` for alps_error. */
ALPS_FN_ void alps_fail_(alps_handle *h, int code)
{
    __atomic_store_n(&h->error, code, __ATOMIC_RELAXED);
}

/* The bytes of the region now; another process may have grown it. */
ALPS_FN_ uint64_t alps_size_(const alps_handle *h)
{
    return alps_load_(&h->super->size) >> 16;
}

ALPS_FN_ uint64_t alps_extents_(const alps_handle *h)
{
    return alps_geometry_extents_(&h->at, alps_size_(h));
}

/* The address of an offset that the library itself has checked. */
ALPS_FN_ void *alps_address_(const alps_handle *h, alps_off off)
{
    return h->map.base + off;
}

ALPS_FN_ alps_off alps_offset_(const alps_handle *h, const void *p)
{
    return (alps_off)((uintptr_t)p - (uintptr_t)h->map.base);
}
