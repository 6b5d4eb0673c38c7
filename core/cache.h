/* cache.h -- what a thread has at hand, and how it finds that
 *
 * Caches lie in memory of the process alone. A thread finds its own from the
 * handle, in a table by its thread pointer: there is no hidden variable. The
 * memory is such that the system empties it in the child of a fork: the child
 * finds no cache, and no owner to write into a lock, so it cannot touch what is
 * its parent's. */
#pragma once
#include "draft.h"

/* An object that a thread may hand out, and the word and the bit in it that
 * make it live. */
typedef struct alps_spot {
    void *object; /* NULL: there is none */
    uint64_t *own;
    uint64_t bit; /* its number, modulo 64 */
} alps_spot;

/* Objects of each class that a thread freed and has at hand, at most. */
#ifndef ALPS_SPOTS
#  define ALPS_SPOTS 128u
#endif

/* Empty slabs that a thread keeps at most, and what part of the region those
 * of all threads may be: an eighth. What is more goes back to the heap. */
#ifndef ALPS_EMPTY_MAX
#  define ALPS_EMPTY_MAX 128u
#endif
#define ALPS_EMPTY_SHIFT 3

/* One class of size in a cache. All free objects of the thread's own slabs are
 * free by their pairs. Those at hand are besides in a stack, which has what was
 * freed last on top, or in `mask`, as a group of the slab in use had them; no
 * other way to find a free object is taken before both are empty. */
typedef struct alps_rack {
    alps_spot *top;    /* of the stack */
    alps_spot *bottom; /* the one without an object */
    alps_spot *end;    /* the highest there is room for */
    uint64_t mask;     /* objects of a group, a bit each */
    uint64_t *own;     /* the word of that group that makes them live */
    char *base;        /* its first object... */
    uint64_t size;     /* ...and the bytes of each */
    alps_slab *slab;   /* the slab in use, or NULL */
    alps_off place;    /* where that starts */
    alps_off partial;  /* the first of the owner's slabs with free objects */
    alps_off full;     /* and of those without */
    unsigned group;    /* of the slab in use: the last that was looked at */
} alps_rack;

typedef struct alps_cache {
    alps_handle *handle;
    alps_lane *lane;
    uint64_t token;  /* in the lane and in the heads of its slabs */
    uint64_t reaped; /* alps_shared.reaped when it last looked */
    unsigned reads;  /* sections that it is in, one within the other */
    alps_rack rack[ALPS_KINDS];
    alps_spot spot[ALPS_KINDS][ALPS_SPOTS + 1];
} alps_cache;

/* Where a thread finds its cache: near where its number hashes to. */
typedef struct alps_seat {
    uintptr_t thread; /* 0: nobody's */
    alps_cache *cache;
} alps_seat;
/* What a thread that owns a slab has to know to free an object of it, without
 * a look at the head. */
typedef struct alps_claim {
    uintptr_t thread; /* the owner; 0: none of this process */
    alps_rack *rack;
    alps_slab *slab;
    uint32_t scale; /* as in the head */
    uint32_t count;
} alps_claim;

#ifndef ALPS_SEATS
#  define ALPS_SEATS 4096u
#endif
#define ALPS_SEAT_REACH 8u /* seats a thread may be found in */

/* How many of the lanes threads may own. The others are taken for one
 * operation at a time. */
ALPS_FN_ unsigned alps_lanes_owned_(const alps_handle *h)
{
    unsigned n = h->at.lane_count / 16;
    return h->at.lane_count - (n < 1 ? 1 : n > 64 ? 64 : n);
}

/* The memory that caches are in: a page, the seats, a cache for each lane that
 * is owned, a claim for each slab that there may be, and a transaction for each
 * lane. */
ALPS_FN_ alps_cache *alps_caches_(const alps_handle *h)
{
    return (alps_cache *)(void *)(h->seats + ALPS_SEATS + ALPS_SEAT_REACH);
}

ALPS_FN_ uint64_t alps_local_bytes_(const alps_handle *h)
{
    uint64_t n = ALPS_PAGE;
    n += (ALPS_SEATS + ALPS_SEAT_REACH) * sizeof(alps_seat);
    n += alps_lanes_owned_(h) * sizeof(alps_cache);
    n += ((h->at.slab_end >> h->at.slab_shift) + 1) * sizeof(alps_claim);
    n += h->at.lane_count * sizeof(alps_draft);
    return alps_round_up_(n, ALPS_PAGE);
}

ALPS_FN_ int alps_local_open_(alps_handle *h)
{
    size_t n = (size_t)alps_local_bytes_(h);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
#ifdef MADV_WIPEONFORK
    madvise(p, n, MADV_WIPEONFORK); // since Linux 4.14
#endif
    h->local = (alps_local *)p;
    h->seats = (alps_seat *)(void *)((unsigned char *)p + ALPS_PAGE);
    h->claims = (alps_claim *)(void *)(alps_caches_(h) + alps_lanes_owned_(h));
    h->drafts = (alps_draft *)(void *)(h->claims + 1 +
                                       (h->at.slab_end >> h->at.slab_shift));
    return ALPS_OK;
}

ALPS_FN_ void alps_local_close_(alps_handle *h)
{
    if (h->spare)
        munmap(h->spare, ALPS_PAGE);
    h->spare = NULL;
    if (!h->local)
        return;
    if (h->keyed)
        pthread_key_delete(h->key);
    munmap(h->local, (size_t)alps_local_bytes_(h));
    h->local = NULL;
    h->seats = NULL;
    h->keyed = 0;
}

/* The first seat that thread `self` may have. Stacks lie an odd number of
 * pages apart, with their guard, and the thread pointer is in them. */
ALPS_FAST_ alps_seat *alps_seat_(const alps_handle *h, uintptr_t self)
{
    return &h->seats[self / ALPS_PAGE % ALPS_SEATS];
}

/* Whether it is that of thread `self`: others may be taking or leaving it. */
ALPS_FAST_ int alps_seat_is_(const alps_seat *seat, uintptr_t self)
{
    return __atomic_load_n(&seat->thread, __ATOMIC_RELAXED) == self;
}

ALPS_FN_ void alps_local_lock_(alps_handle *h)
{
    for (unsigned round = 0;; round++) {
        uint64_t nobody = 0;
        if (__atomic_compare_exchange_n(&h->local->lock, &nobody, 1, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        ALPS_WAIT_(round);
    }
}

/* The seat of thread `self`, or NULL. */
ALPS_FN_ alps_seat *alps_seat_find_(const alps_handle *h, uintptr_t self)
{
    alps_seat *seat = alps_seat_(h, self);
    for (unsigned i = 0; h->seats && i < ALPS_SEAT_REACH; i++)
        if (__atomic_load_n(&seat[i].thread, __ATOMIC_ACQUIRE) == self)
            return &seat[i];
    return NULL;
}

/* Gives thread `self` the seat that `was` has within its reach (0: a seat that
 * is nobody's), for `c`; or makes it nobody's (NULL). */
ALPS_FN_ int alps_seat_set_(alps_handle *h, uintptr_t self, uintptr_t was,
                            alps_cache *c)
{
    alps_seat *seat = alps_seat_(h, self);
    unsigned i = 0;
    alps_local_lock_(h);
    while (i < ALPS_SEAT_REACH && seat[i].thread != was)
        i++;
    if (i < ALPS_SEAT_REACH) {
        seat[i].cache = c;
        __atomic_store_n(&seat[i].thread, c ? self : 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&h->local->lock, 0, __ATOMIC_RELEASE);
    return i < ALPS_SEAT_REACH ? ALPS_OK : ALPS_EFULL;
}
