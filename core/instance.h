/* instance.h -- the public functions, under the name of this instance
 *
 * Each hands the tables of its instance, a constant, to a function of the core,
 * which the compiler makes for them: what is left is direct calls and the
 * policy's own instructions. Unless said otherwise every function may be called
 * from any thread of any attached process at once, and answers 0 or a negative
 * code for alps_strerror. A thread needs no word at its start, and at its end
 * gives back what it has at hand by itself. In the child of a fork what would
 * change the region answers ALPS_EFORK; a region in memory of the process is a
 * copy there, and goes on. Not for signal handlers. */
#define ALPS_PASTE_(a, b) a##_##b
#define ALPS_PASTE2_(a, b) ALPS_PASTE_(a, b)
#define ALPS_(word) ALPS_PASTE2_(ALPS_NAME, word)

/* A region that this process has open, for all its threads. Zeroed, it is
 * closed. Open, it stays where it is: caches of threads point to it. */
typedef struct ALPS_(heap) {
    alps_handle core;
} ALPS_(heap);

typedef alps_options ALPS_(options);
typedef alps_off ALPS_(off);
typedef alps_statistics ALPS_(statistics);
typedef alps_report ALPS_(report);
typedef alps_description ALPS_(description);
typedef alps_visit ALPS_(visit);

ALPS_COLD_ int ALPS_(slow_)(alps_handle *h, int what, uint64_t a, uint64_t b);
ALPS_FENCE_ int ALPS_(fence_)(alps_map *m);
ALPS_COLD_ void ALPS_(ended_)(void *cache);
ALPS_ONCE_ void *ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n,
                               int how);
ALPS_ONCE_ int ALPS_(far_)(alps_handle *h, uint64_t off);

static const alps_tables ALPS_(tables_) __attribute__((unused)) = {
    ALPS_BACKEND_TABLE_, ALPS_POLICY_TABLE_, ALPS_(slow_), ALPS_(fence_),
    ALPS_(ended_),       ALPS_(other_),      ALPS_(far_),  ALPS_FAULTS_,
};

/* What seldom happens: a lock that is held by another, perhaps dead; an index
 * or a cache that has run out; no lane free; an object of another thread. */
ALPS_COLD_ int ALPS_(slow_)(alps_handle *h, int what, uint64_t a, uint64_t b)
{
    return alps_slow_path_(h, what, a, b, &ALPS_(tables_));
}

/* Allocates what this thread does not have at hand. */
ALPS_ONCE_ void *ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n,
                               int how)
{
    return alps_small_other_(h, align, n, how, &ALPS_(tables_));
}

/* Frees what is not of a slab of this thread. */
ALPS_ONCE_ int ALPS_(far_)(alps_handle *h, uint64_t off)
{
    return alps_small_slow_(h, off, &ALPS_(tables_));
}

/* What was written back so far is durable. */
ALPS_FENCE_ int ALPS_(fence_)(alps_map *m)
{
    return ALPS_(tables_).policy->fence(m, ALPS_(tables_).backend);
}

/* What the C library calls when a thread ends that has a cache. */
ALPS_COLD_ void ALPS_(ended_)(void *cache)
{
    alps_thread_leave_((alps_cache *)cache, &ALPS_(tables_));
}

/* Opens the region at `path`, or makes it; `o` may be NULL (open or create,
 * 64 MiB). `path` is a file (file, pmem), a device (pmem), a name (shmem; NULL:
 * one without a name), or nothing (anon). After a crash this redoes at most one
 * operation a lane; the heap is rebuilt as it is used. On failure `h` is
 * closed, and an existing medium is as it was: ALPS_ENOENT, ALPS_EEXIST,
 * ALPS_EACCES, ALPS_EFORMAT (foreign), ALPS_EVERSION, ALPS_ECORRUPT,
 * ALPS_EUNFINISHED, ALPS_ETRUNCATED, ALPS_ELAYOUT, ALPS_EBUSY (open with
 * another policy, or ALPS_TRUNCATE while open), ALPS_ENOSPC, ALPS_ENOTPMEM,
 * ALPS_EPROCESSES, ALPS_ERECOVER, ALPS_EJOURNAL, ALPS_EPART (docs/parts.md).
 * One thread per handle at a time. */
static inline __attribute__((unused)) int
ALPS_(open)(ALPS_(heap) * h, const char *path, const alps_options *o)
{
    return alps_region_open_(&h->core, path, o, &ALPS_(tables_));
}

/* Closes the region for this process and gives its reservations back. What
 * alloc, free, publish and release did is durable already; so is, under msync,
 * what the program stored. Under checkpoint everything is committed first;
 * where that fails the code says why and the region stays open: alps_sync or
 * this once more, or alps_discard. No other thread may use the handle
 * meanwhile, and none that has used it may end. The child of a fork closes its
 * parent's handle without harm to the parent. */
static inline __attribute__((unused)) int ALPS_(close)(ALPS_(heap) * h)
{
    int err = ALPS_OK;
    if (alps_self_(&h->core) && h->core.map.persist == ALPS_PERSIST_MSYNC)
        err = alps_sync_(&h->core, ALPS_COMMIT_ALL, &ALPS_(tables_));
    int last = alps_region_close_(&h->core, 0, &ALPS_(tables_));
    return err ? err : last;
}

/* Closes the region and, under checkpoint, drops what was stored since the last
 * sync. Under other policies it is alps_close without its sync. */
static inline __attribute__((unused)) int ALPS_(discard)(ALPS_(heap) * h)
{
    return alps_region_close_(&h->core, 1, &ALPS_(tables_));
}

/* Makes the region `size` bytes long, in place; every attached process sees
 * it. A smaller size changes nothing. ALPS_ELIMIT, ALPS_ENOSPC. */
static inline __attribute__((unused)) int ALPS_(grow)(ALPS_(heap) * h,
                                                      uint64_t size)
{
    return alps_growth_to_(&h->core, size, &ALPS_(tables_));
}

/* Makes what lies idle memory for any use: the empty slabs of this thread and
 * those that nobody owns, for a fence each; what was retired and no reader can
 * have; and heap extents without a block. Then gives free extents back to the
 * file system; it happens by itself when they are much, and all but that before
 * the region grows or is ALPS_EFULL. O(slabs). */
static inline __attribute__((unused)) int ALPS_(trim)(ALPS_(heap) * h)
{
    return alps_trim_(&h->core, &ALPS_(tables_));
}

/* Makes the file `path` a copy of the region as it is now, or replaces an older
 * one; whatever the backend, it is opened as a file. It is complete and durable
 * before it has its name: a crash leaves the old one or the new one, and maybe
 * a file `path`.new-..., which may be deleted. Blocks are shared where the file
 * system can, else what is not a hole is copied. It has the uuid of this
 * region. The program goes on; blocks (not small objects) wait meanwhile. What
 * other threads and processes store or publish meanwhile may be in it or not:
 * for a copy of one moment the program holds its writers still. ALPS_EBUSY
 * (`path` is open), ALPS_EFORMAT (`path` is no region), ALPS_ENOSPC, and what
 * the system says. O(region), or O(1) where blocks are shared. */
static inline __attribute__((unused)) int ALPS_(snapshot)(ALPS_(heap) * h,
                                                          const char *path)
{
    return alps_snapshot_(&h->core, path, &ALPS_(tables_));
}

/* Makes `to` a copy of the region `from`, which nobody has open for writing
 * (else ALPS_EBUSY) nor gets to while it is copied; both are names as for
 * alps_open. As for alps_snapshot otherwise. */
static inline __attribute__((unused)) int ALPS_(copy)(const char *from,
                                                      const char *to)
{
    return alps_closed_copy_(from, to, &ALPS_(tables_));
}

/* 1: the region at `path` was closed, or was left by a crash with nothing to be
 * done, or is open and in good hands; 0: the next to open it for writing will
 * complete what a crash cut short; or the code that alps_open would refuse it
 * with. Never writes. */
static inline __attribute__((unused)) int ALPS_(consistent)(const char *path)
{
    return alps_closed_consistent_(path, &ALPS_(tables_));
}

/* Describes the region at `path`, which may be open, or need recovery. Never
 * writes. */
static inline __attribute__((unused)) int ALPS_(inspect)(const char *path,
                                                         alps_description *d)
{
    return alps_closed_describe_(path, d, &ALPS_(tables_));
}

/* Changes what the program says of the region, at most 495 bytes (else
 * ALPS_EINVAL); NULL: nothing. One fence; a crash leaves the old words or the
 * new ones. */
static inline __attribute__((unused)) int
ALPS_(set_description)(ALPS_(heap) * h, const char *text)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : alps_note_change_(&h->core, text, &ALPS_(tables_));
}

/* Removes a region. ALPS_EBUSY while any process has it open. */
static inline __attribute__((unused)) int ALPS_(remove)(const char *path)
{
    return ALPS_(tables_).backend->remove(path);
}

/* The program's static area: `n` <= ALPS_ROOT_SIZE bytes, zeroed when the
 * region was made, always the same ones. NULL if `n` is more. */
static inline __attribute__((unused)) void *ALPS_(root)(ALPS_(heap) * h,
                                                        size_t n)
{
    if (n > ALPS_ROOT_SIZE || !alps_opened_(&h->core)) {
        alps_fail_(&h->core, ALPS_EINVAL);
        return NULL;
    }
    return h->core.map.base + ALPS_PAGE;
}

/* Makes everything so far durable, the program's own stores included. Under
 * checkpoint atomically: the state at one moment in this call, or nothing; a
 * code (ALPS_ENOSPC, ALPS_EIO ...) means that memory is as it was, the last
 * state is on the medium, and a retry may work. O(pages stored to), and threads
 * that call it at once share the work. Under other policies not atomic: after a
 * crash in it, some of it is there; O(region) under flush. */
static inline __attribute__((unused)) int ALPS_(sync)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_ALL, &ALPS_(tables_));
}

/* The first half of a sync under checkpoint: the moment whose state is to be
 * durable has passed when this returns 0. A program whose changes are not each
 * complete at their last store keeps its writers from storing during this call,
 * and lets them go on during alps_sync_end, which does what takes long. Nothing
 * under other policies. */
static inline __attribute__((unused)) int ALPS_(sync_begin)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_BEGIN, &ALPS_(tables_));
}

/* The second half, in the same thread: what the first one took is durable when
 * this returns 0. Under other policies it is alps_sync. ALPS_EINVAL: there was
 * no first half. */
static inline __attribute__((unused)) int ALPS_(sync_end)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_END, &ALPS_(tables_));
}

/* The address of `off`; NULL for null and for what cannot be one. O(1). */
static inline __attribute__((unused)) void *ALPS_(at)(const ALPS_(heap) * h,
                                                      alps_off off)
{
    return alps_opened_(&h->core) && off < alps_size_(&h->core)
               ? alps_ptr_get_(&h->core.map, off)
               : NULL;
}

/* The offset of `p`, which is NULL or an address in the region. O(1). */
static inline __attribute__((unused)) alps_off
ALPS_(off_of)(const ALPS_(heap) * h, const void *p)
{
    return alps_ptr_off_(&h->core.map, p);
}

/* Allocates `n` bytes, 16-byte aligned, contents undefined; `n` == 0 gives a
 * unique object. The region grows where it has to. NULL and a code in
 * alps_error: ALPS_EFULL (at its limit), ALPS_ENOSPC (the disk is),
 * ALPS_EINVAL (more than any region holds), ALPS_EREADONLY, ALPS_EFORK.
 * Under a durable policy the block is durably allocated on return (one
 * fence; above half an extent two; now and then two more, for a new slab or
 * a new heap extent): a crash before the program's own link is durable leaks
 * it; see alps_reserve. Up to 1 KiB (less in a small region) it takes a lock
 * only to get a slab. O(1) but for the first touch of an extent. */
static inline __attribute__((unused)) void *ALPS_(alloc)(ALPS_(heap) * h,
                                                         size_t n)
{
    return alps_small_alloc_(&h->core, 1, n, 0, &ALPS_(tables_));
}

/* The same, zeroed; the zeroes are durable as well, in the same fence. */
static inline __attribute__((unused)) void *ALPS_(zalloc)(ALPS_(heap) * h,
                                                          size_t n)
{
    return alps_small_alloc_(&h->core, 1, n, ALPS_ALLOC_ZERO, &ALPS_(tables_));
}

/* The same, aligned to `align` bytes in every mapping: a power of two, at most
 * the size of an extent (else ALPS_EINVAL). */
static inline __attribute__((unused)) void *
ALPS_(alloc_aligned)(ALPS_(heap) * h, size_t align, size_t n)
{
    return alps_small_alloc_(&h->core, align, n, 0, &ALPS_(tables_));
}

/* Changes the size of the block at `p` (NULL: allocates), in place where it has
 * room enough and not too much, or the memory behind it is free; else it moves,
 * and a crash between that and the program's own link leaves the old block
 * freed. NULL and a code in alps_error when it fails; the block is then as it
 * was. */
static inline __attribute__((unused)) void *ALPS_(realloc)(ALPS_(heap) * h,
                                                           void *p, size_t n)
{
    return alps_resize_(&h->core, p, n, &ALPS_(tables_));
}

/* Frees the block at `p`, whichever thread of whichever process allocated it,
 * or gives this process's reservation back; NULL is fine. Durable on return
 * (one fence). A double, wild or interior free is ALPS_EINVALID_FREE, the
 * reservation of another process ALPS_EOWNER, and nothing is changed. What
 * named the block must be durably gone before. O(1). */
static inline __attribute__((unused)) int ALPS_(free)(ALPS_(heap) * h, void *p)
{
    return alps_small_free_(&h->core, p, &ALPS_(tables_));
}

/* Bytes that the block or reservation at `p` has; 0 if it is none. No lock. */
static inline __attribute__((unused)) size_t
ALPS_(usable)(const ALPS_(heap) * h, const void *p)
{
    return alps_opened_(&h->core) ? (size_t)alps_small_usable_(&h->core, p) : 0;
}

/* Reserves `n` bytes, aligned as by alps_alloc: memory to fill and then, in any
 * thread of this process, to publish. Nothing is written back and no fence is
 * spent, but for a new slab or heap extent; a crash gives it back, and so does
 * the death of this process. NULL and a code in alps_error. O(1). */
static inline __attribute__((unused)) void *ALPS_(reserve)(ALPS_(heap) * h,
                                                           size_t n)
{
    return alps_publish_reserve_(&h->core, n, &ALPS_(tables_));
}

/* In one step, whatever crashes: the reservation `p` is allocated, its contents
 * are durable, and `*dest` (in the region, 8-aligned) is its offset. Two
 * fences, three above ALPS_SUM_MAX bytes. `*dest` is the caller's alone until
 * this returns: guard it with the lock that guards the structure, of a kind
 * that docs/durability.md names. ALPS_EOWNER, ALPS_EINVALID_FREE (not a
 * reservation), ALPS_EINVAL. */
static inline __attribute__((unused)) int
ALPS_(publish)(ALPS_(heap) * h, alps_off *dest, void *p)
{
    return alps_publish_(&h->core, dest, p, &ALPS_(tables_));
}

/* Gives the reservation `p` back. Costs nothing durable. */
static inline __attribute__((unused)) int ALPS_(cancel)(ALPS_(heap) * h,
                                                        void *p)
{
    return alps_cancel_(&h->core, alps_offset_(&h->core, p), &ALPS_(tables_));
}

/* In one step, whatever crashes: the block that `*dest` names is freed, and
 * `*dest` is null. Two fences. Null already: nothing. `*dest` is the caller's
 * alone, as for publish. */
static inline __attribute__((unused)) int ALPS_(release)(ALPS_(heap) * h,
                                                         alps_off *dest)
{
    return alps_publish_release_(&h->core, dest, &ALPS_(tables_));
}

/* Ends the part of processes that have died: what one was carrying out is
 * completed, its reservations come back. Happens by itself when a lock of a
 * dead process is waited for, no lane is free for an operation, at open, at
 * close, and before ALPS_EFULL; not by another publish to the same word. A
 * program that takes over a lock of its own from a dead process calls it before
 * it touches what that lock guards. */
static inline __attribute__((unused)) int ALPS_(reap)(ALPS_(heap) * h)
{
    return alps_reap_now_(&h->core, &ALPS_(tables_));
}

/* How many processes were found dead since the region was last opened by a
 * first one: who compares it with what it was learns that one died. */
static inline __attribute__((unused)) uint64_t ALPS_(deaths)(const ALPS_(heap) *
                                                             h)
{
    return alps_opened_(&h->core) ? alps_load_(&h->core.shared->deaths) : 0;
}

/* This thread reads without locks until it leaves: what is retired meanwhile
 * stays as it is. Nests. One store and one fence; no lock, no system call.
 * ALPS_EBUSY: the region has no lane left for this thread. A section ends with
 * its thread and with its process. */
static inline __attribute__((unused)) int ALPS_(enter)(ALPS_(heap) * h)
{
    return alps_epoch_enter_(&h->core, &ALPS_(tables_));
}

/* Ends what the last enter of this thread began. ALPS_EINVAL: there was
 * none. */
static inline __attribute__((unused)) int ALPS_(leave)(ALPS_(heap) * h)
{
    return alps_epoch_leave_(&h->core, &ALPS_(tables_));
}

/* Frees `p`, which nobody can find any more, as alps_free does, but keeps its
 * memory until no thread of any process is left inside that was between enter
 * and leave at this time (Fraser 2004). Durably free when this returns: one
 * fence. At most 61 things of a thread, of 32 KiB each, and what a reader that
 * does not leave holds up, wait for a next retire, alps_trim, the end of the
 * thread, or a region that is full. A reader that died holds up nothing.
 * ALPS_EINVALID_FREE, ALPS_EFULL (no room to note it: nothing was done),
 * ALPS_EBUSY as for enter. */
static inline __attribute__((unused)) int ALPS_(retire)(ALPS_(heap) * h,
                                                        void *p)
{
    return alps_retire_(&h->core, p, &ALPS_(tables_));
}

/* The program's own stores to [p, p + n) are durable after the next fence. */
static inline __attribute__((unused)) int ALPS_(flush)(ALPS_(heap) * h,
                                                       const void *p, size_t n)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : ALPS_(tables_).policy->flush(&h->core.map, p, n);
}

/* What this thread flushed before is durable on return. */
static inline __attribute__((unused)) int ALPS_(fence)(ALPS_(heap) * h)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : ALPS_(fence_)(&h->core.map);
}

/* Both. */
static inline __attribute__((unused)) int
ALPS_(persist)(ALPS_(heap) * h, const void *p, size_t n)
{
    int err = ALPS_(flush)(h, p, n);
    return err ? err : ALPS_(fence)(h);
}

/* Calls `visit` for every live block: extent by extent those in slabs and then
 * the others, and at last those above half an extent. It may free the block it
 * is called for. No lock: what other threads do meanwhile may be seen or not.
 * O(size of the maps). */
static inline __attribute__((unused)) int
ALPS_(each)(ALPS_(heap) * h, alps_visit *visit, void *context)
{
    return alps_opened_(&h->core) ? alps_visit_all_(&h->core, visit, context)
                                  : ALPS_EINVAL;
}

/* Checks every structure against every other; `r` may be NULL. ALPS_ECORRUPT
 * and a report when something is wrong. Never changes anything. Holds all
 * locks meanwhile. O(size of the maps). */
static inline __attribute__((unused)) int ALPS_(check)(ALPS_(heap) * h,
                                                       alps_report *r)
{
    alps_report own;
    return alps_audit_(&h->core, r ? r : &own, &ALPS_(tables_));
}

/* Adds up what the region holds. Holds all locks meanwhile, which threads with
 * objects at hand do not wait for. O(size of the maps); names are counted one
 * by one the first time, and when a process died that changed them. */
static inline __attribute__((unused)) int ALPS_(stats)(ALPS_(heap) * h,
                                                       alps_statistics *s)
{
    memset(s, 0, sizeof *s);
    if (!alps_opened_(&h->core))
        return ALPS_EINVAL;
    uint64_t names = alps_named_count_(&h->core, &ALPS_(tables_));
    if (alps_self_(&h->core))
        alps_lock_all_(&h->core, &ALPS_(tables_));
    alps_stats_all_(&h->core, s);
    s->names = names;
    if (alps_self_(&h->core))
        alps_unlock_all_(&h->core);
    return ALPS_OK;
}

/* What this instance and this medium turned out to be. */
static inline __attribute__((unused)) int ALPS_(describe)(ALPS_(heap) * h,
                                                          alps_description *d)
{
    if (!alps_opened_(&h->core)) {
        memset(d, 0, sizeof *d);
        return ALPS_EINVAL;
    }
    alps_describe_(&h->core, d, &ALPS_(tables_));
    return ALPS_OK;
}

/* The code of the last allocation of this handle that failed, in any thread. */
static inline __attribute__((unused)) int ALPS_(error)(const ALPS_(heap) * h)
{
    return __atomic_load_n(&h->core.error, __ATOMIC_RELAXED);
}

/* The text of a code. Never NULL. */
static inline __attribute__((unused)) const char *ALPS_(strerror)(int code)
{
    return alps_error_text_(code);
}
