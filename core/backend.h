/* backend.h -- the contract between the core and the place where bytes live
 *
 * A backend opens one medium, sizes it, maps it, and says who else has it
 * open. It knows nothing of regions or heaps: the core tells it how many bytes
 * it wants and reads them. A backend part ends in one `static const` table. */
#pragma once
#include "error.h"

/* Flags of alps_options. With no options at all a region is opened, or
 * created where there is none. */
#define ALPS_CREATE 1u    /* create the region where there is none */
#define ALPS_EXCLUSIVE 2u /* with ALPS_CREATE: there must be none */
#define ALPS_TRUNCATE 4u  /* discard what is there and make the region anew */
#define ALPS_READ_ONLY 8u /* map it PROT_READ and never write to it */
#define ALPS_STRICT 16u   /* refuse a medium that cannot keep the promise */
#define ALPS_SALVAGE 64u /* read-only, also what is damaged: see alps_salvage */
#define ALPS_SHRINK \
  32u /* the last to close it cuts off what is free at the
                             end */

/* For alps_options.grow. */
#define ALPS_GROW_NEVER 1u

/* A file that a region goes on in, behind the one that it is opened by. */
typedef struct alps_part {
    const char *path; /* where it is not absolute, from the folder of the first
                         file; with a / at its end a folder: the file is then
                         called as the first one, with .1, .2 ... behind; at
                         most 159 bytes; NULL ends the list */
    uint64_t from;    /* the first byte of the region that is in it, a multiple
                         of the system's page; 0, of all that are new: a new
                         region is divided evenly, one that is there goes on
                         where it ends */
} alps_part;

/* How far a sync is: `done` of `total` bytes. Both only grow while it lasts; in
 * the last call of one that succeeds they are the same. Called by the thread
 * that syncs, between two writes; nothing of the library may be called. */
typedef void alps_progress(void *context, uint64_t done, uint64_t total);

/* How a region is opened. All zero asks for the defaults. */
typedef struct alps_options {
    uint64_t size;  /* bytes of a new region; 0: 64 MiB */
    uint64_t limit; /* bytes it may grow to; 0: 2^16 extents; at most 2^47 */
    unsigned flags; /* ALPS_CREATE ...; with no options: ALPS_CREATE */
    unsigned mode;  /* permission bits of a new file; 0: 0600 */
    const char *layout; /* the program's name for what it stores, stored with a
                           new region and compared at open; NULL: any; at most
                           63 bytes */
    uint64_t extent;    /* bytes of an extent of a new region: a power of two
                           from 4 KiB to 1 GiB; 0: by size, up to 4 MiB */
    uint64_t small;     /* bytes of the largest object that shares a slab with
                           others of its size, up to 1024 and an 8th of a slab,
                           rounded up to a class; 0: as many; 1: there are no
                           slabs */
    unsigned lanes;     /* threads of all processes that allocate by themselves;
                           more work, but wait for each other; 0: 1,088, fewer
                           in a small region; at most 4,032 */
    unsigned processes; /* processes attached at once; 0: 256; at most 4096 */
    unsigned shards;    /* parts of the heap, each with a lock, so that threads
                           do not wait for each other over blocks: a power of
                           two up to 64; 0: by size, up to 16 */
    unsigned dirty; /* policy checkpoint: ALPS_DIRTY_..., how pages that were
                        stored to are found; 0: the best way there is */
    uint64_t grow;  /* bytes by which this process lets the region get
                           longer at least when it is full, up to its limit; 0:
                           an 8th of its size; ALPS_GROW_NEVER: alps_grow alone
                           does it */
    const char *description; /* what else the program says of a new region, in
                                words; NULL: nothing; at most 495 bytes */
    const alps_part *parts;  /* files that the region goes on in when the ones
                               before are full, NULL: none; kept in it. One that
                               is there gets those that it has not, if nobody
                               else has it open (ALPS_EBUSY). File and pmem */
    uint64_t
        nodes; /* bit i: pages are taken from node i of the machine, in turn
                       with others; 0: as they come. See placement.h */
    alps_progress *progress; /* told how far a sync is, while it writes; NULL:
                                nobody */
    void *progress_context;  /* what it is called with */
    /* Backend paged, docs/paged.md. ALPS_MEMORY, ALPS_SEGMENT, ALPS_ENGINE and
     * ALPS_EVICTION in the environment come first. */
    uint64_t memory;   /* bytes the region may have in memory; 0: half of what
                         the machine has, or its control group may have */
    uint64_t segment;  /* bytes that come and go at once: a power of two from a
                         page to 1 GiB; 0: by memory, up to 1 MiB */
    unsigned engine;   /* ALPS_ENGINE_...; 0: the best one there is */
    unsigned eviction; /* ALPS_EVICT_..., who goes when memory is full; 0:
                          `evict`, or segmented FIFO */
    unsigned direct;   /* 1: past the page cache, which then holds none of it */
    unsigned write_back; /* milliseconds after which what is dirty is written,
                            by a thread of the region; 0: when it goes, or is
                            synced */
    unsigned readahead;  /* segments that are brought before they are touched,
                            where one comes behind the other; up to 64 */
    unsigned dirty_high; /* percent of the frames: where so many are dirty, the
                            thread begins to write; 0: it does not */
    unsigned dirty_low;  /* and ends where so few are; 0: half of that */
    const struct alps_eviction *evict; /* a policy of the program's own */
    struct alps_budget *budget; /* memory that it shares with other regions; it
                                   has `memory` of that at most */
    struct alps_faults *faults; /* the program's ALPS_HANDLER; NULL: the one of
                                   the instance, ALPS_FAULTS */
} alps_options;

/* Ways to find the pages that were stored to: docs/checkpoint.md. */
enum {
    ALPS_DIRTY_SCAN = 1,    /* PAGEMAP_SCAN, Linux 6.7 */
    ALPS_DIRTY_PAGEMAP = 2, /* /proc/self/pagemap, and a look at the contents */
    ALPS_DIRTY_PROTECT = 3, /* write protection and a thread, Linux 5.14 */
    ALPS_DIRTY_COMPARE = 4  /* a look at every page: asks the system nothing */
};

/* What the mapping turned out to be: who survives what depends on it. */
enum {
    ALPS_MEDIUM_ANON = 1,  /* memory of this process */
    ALPS_MEDIUM_SHMEM = 2, /* shared memory: outlives processes */
    ALPS_MEDIUM_CACHE = 3, /* a file behind the page cache: needs msync */
    ALPS_MEDIUM_FSDAX = 4, /* a file mapped with MAP_SYNC: flush is enough */
    ALPS_MEDIUM_DEVDAX = 5 /* a device: flush is enough, no file operations */
};

/* Ranges that msync will write, page numbers [from, to). */
#define ALPS_GATHER_MAX 32
typedef struct alps_gather {
    uint64_t lock; /* 0, or 1 while a thread works here */
    unsigned n;
    struct {
        uint64_t from, to;
    } range[ALPS_GATHER_MAX];
} alps_gather;

/* One open medium, inside the handle. The core reads it; backend and policy
 * fill it in. */
typedef struct alps_map {
    unsigned char *base; /* address of offset 0; NULL while not mapped */
    uint64_t length;     /* bytes of the medium; 0: just created or empty */
    uint64_t size;       /* bytes mapped and usable */
    uint64_t reserved;   /* bytes of address range held from `base` on: the
                             region can grow in place up to here */
    uint64_t align;      /* the medium's own alignment of lengths, or 1 */
    uint64_t always_off; /* a range that every fence of msync includes: the */
    uint64_t always_n;   /* retire words of all lanes, see lane.h */
    int fd;              /* the open file, or -1 */
    unsigned flags;      /* the flags of the open */
    unsigned medium;     /* ALPS_MEDIUM_... */
    unsigned fixed;      /* 1: the length of the medium cannot be changed */
    uint64_t nodes;      /* whose memory it takes in turn; 0: as it comes */
    unsigned door;       /* 1: the page of the system's in front of `base` is
                            this mapping's too, for what the process needs to
                            find by an address in the region: see cxx.h */
    unsigned persist;    /* how the policy writes back: see policy.h */
    unsigned stream;     /* 1: a record is faster past the caches */
    unsigned sole;       /* 1: stores are to be this process's alone until the
                            policy commits them; set before `open` */
    struct alps_journal *journal; /* where it commits them to, or NULL */
    alps_gather gather;           /* of policy msync */
    struct alps_pager *pager;     /* of backend paged, or NULL */
    struct alps_parts *parts;     /* of a region that is in several files, see
                                     parts.h; or NULL */
    unsigned more;  /* 1: it is to get further ones, by a `resize` to the length
                      that it has */
    unsigned apart; /* 1: what is stored is not in the file until the backend's
                       `write` has put it there */
    void *user;     /* of a backend of the program's own */
    alps_progress *progress; /* told how far a sync is, or NULL, */
    void *progress_context;  /* with this */
} alps_map;

/* Asks `leased` for any lease at all. */
#define ALPS_LEASE_ANY (~0u)

/* The table a backend fills. Every function answers 0 or a code; none prints,
 * none exits. `m` is zeroed but for `flags`, and `fd` is -1, before `open`. */
typedef struct alps_backend {
    const char *name;

    /* Opens the medium at `path`, or creates it (flags), and enters the
     * *guard*: until `unguard`, no other open of the same medium, in any
     * process, gets past its own `open`. Sets `length`, `fd`, `fixed`, `align`
     * and, as far as known, `medium`. An existing medium is not changed, also
     * with ALPS_TRUNCATE: the core decides. On failure nothing is left open,
     * and a medium that was there is as it was. */
    int (*open)(alps_map *m, const char *path, const alps_options *o);

    /* Leaves the guard. */
    int (*unguard)(alps_map *m);

    /* Maps bytes [0, size) and holds addresses for `reserve` >= size bytes
     * from `base` on, `base` being a multiple of `align` (a power of two).
     * Where so many addresses are not to be had, holds fewer, at least `size`.
     * Read-only where the flags say so. Sets `base`, `size`, `reserved`,
     * `medium`. */
    int (*map)(alps_map *m, uint64_t size, uint64_t reserve, uint64_t align);
    int (*unmap)(alps_map *m);

    /* Makes the medium `size` bytes long, with its blocks reserved, so that a
     * later store cannot find the medium full; and, where it is mapped, makes
     * bytes up to `size` usable (`size` <= `reserved`). ALPS_ENOSPC where there
     * is no room: the medium then has its old length. Sets `length`, `size`. */
    int (*resize)(alps_map *m, uint64_t size);

    /* Bytes [off, off + n) are no longer needed: they may read as zero. Whole
     * pages only. ALPS_EUNSUPPORTED is no failure of the caller's work. */
    int (*punch)(alps_map *m, uint64_t off, uint64_t n);

    /* Their blocks are reserved again, as `resize` does it, and durably so;
     * what is stored there remains. Whole pages inside of the medium. */
    int (*reserve)(alps_map *m, uint64_t off, uint64_t n);

    /* Bytes [off, off + n) are on the medium when this returns. */
    int (*sync)(alps_map *m, uint64_t off, uint64_t n);

    /* Leases, numbers from 0 on: `lease` takes one for as long as `m` is open
     * and the process lives; `leased` answers 1 where any other open of the
     * medium holds it (ALPS_LEASE_ANY: holds any), 0 where none does,
     * ALPS_EUNSUPPORTED where the medium cannot tell (the core then asks for
     * the process). */
    int (*lease)(alps_map *m, unsigned number);
    int (*unlease)(alps_map *m, unsigned number);
    int (*leased)(alps_map *m, unsigned number);

    /* Unmaps and closes; the guard and the leases go with it. */
    int (*close)(alps_map *m);

    /* Removes the medium; not while any process has it open (ALPS_EBUSY). */
    int (*remove)(const char *path);

    /* Bytes [off, off + n) as they are now are in the file when this returns,
     * and durable with the next `sync` of anything, of 0 bytes if need be.
     * Asked only where `apart` is set; else it may be NULL. */
    int (*write)(alps_map *m, uint64_t off, uint64_t n);

    /* Where `apart` is set and the policy commits all at once: its `commit`, of
     * which this backend alone knows what was stored. Else it may be NULL. */
    int (*commit)(alps_map *m, unsigned part);
} alps_backend;
