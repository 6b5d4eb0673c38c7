/* handle.h -- what a process keeps of a region it has open
 *
 * Addresses in this process, who this process is in the region, and the caches
 * of its threads. All other state is in the region, where every process sees
 * it. A handle stays where it is while it is open. */
#pragma once
#include "bits.h"
#include "layout.h"

typedef struct alps_handle {
    alps_map map;     /* the open medium */
    alps_geometry at; /* where everything is */
    alps_superblock *super;
    alps_superblock *spare; /* of a damaged region, as it should be; or NULL */
    alps_shared *shared;
    alps_done *done;
    alps_lane *lanes;
    alps_slot *slots;
    alps_shard *shards; /* of the heap, and then that of all extents */
    alps_shard *top;    /* the latter */
    uint64_t *codes;    /* of extents */
    uint64_t *kinds;    /* of extents: bit 1, a heap extent */
    uint64_t *holes;    /* of extents: bit 1, the inside may be a hole */
    uint64_t *slabs;    /* bit: a slab starts at this multiple of its size */
    struct alps_local *local;  /* gone in the child of a fork, see thread.h */
    struct alps_seat *seats;   /* where a thread finds its cache */
    struct alps_claim *claims; /* by slab: which of our threads owns it */
    struct alps_draft *drafts; /* by lane: the transaction that is under way */
    unsigned keyed;            /* 1: `key` tells when a thread ends */
    pthread_key_t key;
    uint64_t grow; /* bytes of a step by which the region grows, or how */
    unsigned slot; /* this handle's number among the attached */
    unsigned crc;  /* how checksums are computed */
    int attached;  /* 1: this process, or the one it was forked from, is in */
    int error;     /* the last code that an allocation met */
} alps_handle;

/* The tables of an instance and its path off the fast one, handed down as a
 * constant so that the compiler sees through it. */
enum {
    ALPS_SLOW_WAIT = 1,
    ALPS_SLOW_REFILL = 2,
    ALPS_SLOW_LANES = 3,
    ALPS_SLOW_RACK = 4,    /* this thread's cache has no object of a class */
    ALPS_SLOW_FREED = 5,   /* a full slab is not full any more, or is empty */
    ALPS_SLOW_SELF = 6,    /* not attached: read-only, or the child of a fork */
    ALPS_SLOW_JOIN = 7,    /* an extent has no shard, or is not built */
    ALPS_SLOW_TAKE = 8,    /* a shard has to look for more */
    ALPS_SLOW_FOLD = 9,    /* a table of reservations is empty */
    ALPS_SLOW_MEND = 10,   /* a shard was locked by a process that died */
    ALPS_SLOW_REAP = 11,   /* a process is dead, or leaves */
    ALPS_SLOW_MORE = 12,   /* the region seems full */
    ALPS_SLOW_LOOSEN = 13, /* a slab has no owner any more */
    ALPS_SLOW_FOUND = 14,  /* a slab seems to have none */
    ALPS_SLOW_LET_GO = 15, /* no reader can have a block */
    ALPS_SLOW_RETIRED = 16, /* this thread has retired enough */
    ALPS_SLOW_IDLE = 17,    /* much is free that the file system could have */
    ALPS_SLOW_PUBLISH = 18, /* a publish of the library's own */
    ALPS_SLOW_CUT = 19,     /* a link is cut */
    ALPS_SLOW_CUT_END = 20, /* and its lock is no longer held */
    ALPS_SLOW_RESERVE = 21, /* a reservation of the library's own */
    ALPS_SLOW_AT_HAND = 22, /* what this thread and nobody has comes back */
    ALPS_SLOW_EMPTY = 23,   /* empty extents become memory for any use */
    ALPS_SLOW_ENDED = 24,   /* the lanes of a process are at nothing more */
    ALPS_SLOW_DEAD = 25,    /* some process may be dead */
    ALPS_SLOW_CANCEL = 26,  /* a reservation of the library's own goes back */
    ALPS_SLOW_ABORT = 27,   /* the transaction of a lane is not to be */
    ALPS_SLOW_GIVE = 28,    /* what it freed is free at last */
    ALPS_SLOW_COMMIT = 29,  /* a commit record of the dead, see commit.h */
    ALPS_SLOW_RESTORE = 30  /* bytes are put back as they were */
};
typedef struct alps_tables {
    const alps_backend *backend;
    const alps_policy *policy;
    int (*slow)(alps_handle *h, int what, uint64_t a, uint64_t b);
    int (*fence)(alps_map *m);  /* of the policy, with the backend */
    void (*ended)(void *cache); /* a thread ends */
    void *(*other)(alps_handle *h, uint64_t align, uint64_t n, int how);
    int (*far)(alps_handle *h, uint64_t off); /* frees what `other` gave, or
                                                 other threads allocated */
    struct alps_faults *faults;               /* of the instance, or NULL */
} alps_tables;

#define ALPS_HOPS_ 64u

/* What is gone in the child of a fork: its first page. */
typedef struct alps_local {
    uint64_t owner;    /* what this process writes into lock words; 0: none */
    uint64_t lock;     /* 1 while a thread works on the seats */
    uint64_t borrowed; /* transactions of threads that own no lane */
    unsigned char hops[ALPS_HOPS_]; /* by thread, see alps_shard_home_ */
    uint64_t neighbours[ALPS_NEIGHBOUR_MAX / 64]; /* whose numbers are durable,
                                                     as far as it knows */
} alps_local;

/* Who this process is in the region: 0 where it only reads, and in the child of
 * a fork. */
ALPS_FAST_ uint64_t alps_self_(const alps_handle *h)
{
    return ALPS_LIKELY_(h->local != NULL) ? alps_load_(&h->local->owner) : 0;
}

/* Keeps `code` for alps_error. */
ALPS_FN_ void alps_fail_(alps_handle *h, int code)
{
    __atomic_store_n(&h->error, code, __ATOMIC_RELAXED);
}

/* Whether there is a region behind the handle: it was opened, and not closed
 * since. */
ALPS_FN_ int alps_opened_(const alps_handle *h)
{
    return h->super != NULL;
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

#define ALPS_IDLE_FEW_ 3u

/* Counts extents without a block that still have all their blocks on the
 * medium: roughly, for what is done about it may be done too soon or too
 * late. */
ALPS_FN_ void alps_idle_more_(const alps_handle *h, uint64_t n)
{
    __atomic_fetch_add(&h->shared->idle, n, __ATOMIC_RELAXED);
}

ALPS_FN_ void alps_idle_less_(const alps_handle *h, uint64_t n)
{
    uint64_t idle = alps_load_(&h->shared->idle);
    alps_store_(&h->shared->idle, idle < n ? 0 : idle - n);
}

/* One more (1) or less (-1) in an index, of which the lock is held. Its shard
 * tells the region of a few at once: threads that take and free the only block
 * of an extent would fight for the line of the count. */
ALPS_FN_ void alps_idle_turn_(const alps_handle *h, alps_index *index, int n)
{
    alps_shard *s = (alps_shard *)(void *)((unsigned char *)index -
                                           offsetof(alps_shard, index));
    s->idle += (uint64_t)(int64_t)n;
    if (s->idle + ALPS_IDLE_FEW_ <= 2 * ALPS_IDLE_FEW_)
        return;
    if (n > 0)
        alps_idle_more_(h, s->idle);
    else
        alps_idle_less_(h, 0 - s->idle);
    s->idle = 0;
}

/* Whether it is time to do something about them. */
ALPS_FAST_ int alps_idle_over_(const alps_handle *h)
{
    return alps_load_(&h->shared->idle) > alps_load_(&h->shared->idle_max);
}
