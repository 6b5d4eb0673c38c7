/* alps.c -- alps.h itself, once for each pair of backend and policy
 *
 * BENCH_BACKEND and BENCH_POLICY are the pair. The media are those of the
 * peers: files on tmpfs for pmem, which is told to trust them, a file on disk
 * for msync and checkpoint. */
#ifndef BENCH_LINKS
#  define BENCH_LINKS 256
#endif
#ifndef BENCH_PAGES
#  define BENCH_PAGES \
    0 // whether sync makes all changes durable, all or nothing
#endif
#ifndef BENCH_MAPS
#  define BENCH_MAPS 0 // whether it pages what is larger than its memory
#endif
#ifndef BENCH_LIMITED
#  define BENCH_LIMITED 0 // a fourth of the region may be in memory
#endif
#ifndef BENCH_FAULTS
#  define BENCH_FAULTS BENCH_MAPS // whether the program has a handler for them
#endif
#if BENCH_FAULTS
#  define ALPS_FAULTS bench_faults
#endif
#define ALPS_BACKEND BENCH_BACKEND
#define ALPS_POLICY BENCH_POLICY
#include "alps.h"

#if BENCH_FAULTS
ALPS_HANDLER(bench_faults);
#endif

#define PEER_MAPS BENCH_MAPS
#define PEER_LIMITED BENCH_LIMITED
#define PEER_SHARES BENCH_SHARES
#if BENCH_DURABLE
#  define PEER_LINKS BENCH_LINKS
#  define PEER_BATCHES 1
#  define PEER_STORES 1
#endif
#define PEER_CHASES (!BENCH_REOPENS && !BENCH_MAPS)
#define PEER_REOPENS BENCH_REOPENS
#define PEER_KEEPS BENCH_REOPENS
#define PEER_PAGES BENCH_PAGES
#define PEER_COPIES BENCH_PAGES
#define PEER_COMMITS BENCH_PAGES

typedef struct peer {
    alps_heap heap;
    alps_off *head;
#if BENCH_MAPS
    alps_options map;
    alps_budget budget;
#endif
} peer;

#include "harness.h"
#include "group.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    const char *slash = strrchr(dir, '/');
    char path[4096];
    alps_options o;
    int err;
    memset(&o, 0, sizeof o);
    o.size = bytes;
    o.flags = fresh ? ALPS_CREATE | ALPS_TRUNCATE : 0;
    // A name of shared memory has no directory: ours begins with that of `dir`,
    // which is how run.sh knows what to remove.
    if (BENCH_SHMEM)
        snprintf(path, sizeof path, "/%s-shmem", slash ? slash + 1 : dir);
    else
        snprintf(path, sizeof path, "%s/alps", dir);
    setenv("ALPS_PMEM_FORCE", "1", 1);
#if BENCH_LIMITED
    // in a group a fourth is for the page cache that the file goes through
    o.memory = bytes / 4;
    if (bench_group_enter(o.memory))
        o.memory = o.memory / 4 * 3;
#endif
    err = alps_open(&p->heap, path, &o);
    if (err)
        bench_die("%s: %s", path, alps_strerror(err));
    p->head = (alps_off *)alps_root(&p->heap, 256 * sizeof *p->head);
}

static void peer_close(peer *p)
{
    int err = alps_close(&p->heap);
    if (err)
        bench_die("alps_close: %s", alps_strerror(err));
}

static inline void *peer_alloc(peer *p, size_t n)
{
    return alps_alloc(&p->heap, n);
}

static inline void peer_free(peer *p, void *o)
{
    int err = alps_free(&p->heap, o);
    if (err)
        bench_die("alps_free: %s", alps_strerror(err));
}

#if BENCH_SHARES
static inline uint64_t peer_name(peer *p, void *o)
{
    return alps_off_of(&p->heap, o);
}

static inline void *peer_at(peer *p, uint64_t name)
{
    return alps_at(&p->heap, name);
}
#endif

#if BENCH_DURABLE
static inline void peer_link(peer *p, unsigned i, uint64_t fill)
{
    void *o = alps_reserve(&p->heap, 64);
    if (!o)
        bench_die("alps_reserve: %s", alps_strerror(alps_error(&p->heap)));
    memset(o, (unsigned char)fill, 64);
    if (alps_publish(&p->heap, &p->head[i], o))
        bench_die("alps_publish failed");
}

static inline void peer_release(peer *p, unsigned i)
{
    if (alps_release(&p->heap, &p->head[i]))
        bench_die("alps_release failed");
}

static void peer_batch(peer *p, unsigned kind, unsigned i, uint64_t fill)
{
    alps_tx t;
    int err = alps_begin(&p->heap, &t);
    unsigned end = i + 16;
    (void)kind;
    for (; !err && i < end; i++) {
        void *o = alps_reserve(&p->heap, 64);
        if (!o)
            bench_die("alps_reserve: %s", alps_strerror(alps_error(&p->heap)));
        memset(o, (unsigned char)fill, 64);
        err = alps_tx_publish(&t, &p->head[i], o);
    }
    err = err ? err : alps_commit(&t);
    if (err)
        bench_die("sixteen links: %s", alps_strerror(err));
}
#endif

#if BENCH_DURABLE
#  include "store_alps.h"

static void peer_store(peer *p, store *s)
{
    s->heap = &p->heap;
    s->root = p->head;
}
#endif

#if PEER_CHASES
#  include "chase.h"

typedef ALPS_PTR(void) bench_ptr;
typedef ALPS_REL(void) bench_rel;
typedef ALPS_FAR(void) bench_far;

static alps_space bench_space;

#  define BENCH_PTR_GET(p, at) ALPS_GET(&(p)->heap, *(at))
#  define BENCH_PTR_SET(p, at, to) ALPS_SET(&(p)->heap, *(at), to)
#  define BENCH_REL_GET(p, at) ALPS_REL_GET(*(at))
#  define BENCH_REL_SET(p, at, to) ALPS_REL_SET(*(at), to)
#  define BENCH_FAR_GET(p, at) ALPS_FAR_GET(&bench_space, *(at))
#  define BENCH_FAR_SET(p, at, to) ALPS_FAR_SET(&bench_space, *(at), to)

BENCH_CHASE(raw, void *, BENCH_RAW_GET, BENCH_RAW_SET)
BENCH_CHASE(ptr, bench_ptr, BENCH_PTR_GET, BENCH_PTR_SET)
BENCH_CHASE(rel, bench_rel, BENCH_REL_GET, BENCH_REL_SET)
BENCH_CHASE(far, bench_far, BENCH_FAR_GET, BENCH_FAR_SET)

static void peer_chase(peer *p)
{
    int err = alps_space_add(&bench_space, &p->heap);
    if (err)
        bench_die("alps_space_add: %s", alps_strerror(err));
    bench_chase_both(p, "chase_raw", bench_chase_raw);
    bench_chase_both(p, "chase", bench_chase_ptr);
    bench_chase_both(p, "chase_rel", bench_chase_rel);
    bench_chase_both(p, "chase_far", bench_chase_far);
    alps_space_end(&bench_space);
}
#endif

#if PEER_KEEPS
typedef ALPS_PTR(void) peer_ref;

static inline void *peer_get(const peer *p, const peer_ref *r)
{
    return ALPS_GET(&p->heap, *r);
}

static inline void peer_set(const peer *p, peer_ref *r, void *to)
{
    ALPS_SET(&p->heap, *r, to);
}

static inline void *peer_root(peer *p)
{
    return p->head;
}
#endif

#if PEER_KEEPS || BENCH_PAGES
static void peer_sync(peer *p)
{
    int err = alps_sync(&p->heap);
    if (err)
        bench_die("alps_sync: %s", alps_strerror(err));
}
#endif

#if BENCH_PAGES
/* Opens a region that has one block of `n` bytes, zeroes when it is new. */
static void *peer_block(peer *p, const char *dir, size_t n, int fresh)
{
    peer_open(p, dir, n + n / 8 + 64 * BENCH_MIB, fresh);
    if (fresh)
        p->head[0] =
            alps_off_of(&p->heap, alps_alloc_aligned(&p->heap, 4096, n));
    if (p->head[0] == ALPS_NULL)
        bench_die("a block of %zu bytes: %s", n,
                  alps_strerror(alps_error(&p->heap)));
    return alps_at(&p->heap, p->head[0]);
}

/* All pages are written, as those of other peers are; not all at once, since
 * that is not what is measured. */
static unsigned char *peer_pages(peer *p, const char *dir, unsigned n,
                                 int fresh)
{
    unsigned char *base =
        (unsigned char *)peer_block(p, dir, n * BENCH_PAGE, fresh);
    unsigned i;
    for (i = 0; fresh && i < n; i++) {
        bench_fill_page(base + i * BENCH_PAGE);
        if (i % 16384 == 16383 || i == n - 1)
            peer_sync(p);
    }
    return base;
}

static void peer_sync_pages(peer *p, const unsigned *page, unsigned k)
{
    (void)page, (void)k;
    peer_sync(p);
}

static void peer_pages_close(peer *p)
{
    peer_close(p);
}

static double peer_snapshot(peer *p, const char *dir, const char *to)
{
    char path[4200];
    double begin;
    int err;
    (void)dir;
    snprintf(path, sizeof path, "%s/alps", to);
    unlink(path);
    begin = bench_now();
    err = alps_snapshot(&p->heap, path);
    if (err)
        bench_die("alps_snapshot: %s", alps_strerror(err));
    return bench_now() - begin;
}

static void peer_table(peer *p, const char *dir, unsigned n, int fresh)
{
    void *table = peer_block(p, dir, (size_t)n * BENCH_RECORD, fresh);
    if (fresh)
        memset(table, 0, (size_t)n * BENCH_RECORD);
    peer_sync(p);
}

static unsigned char *peer_at_record(peer *p, unsigned id)
{
    return (unsigned char *)alps_at(&p->heap, p->head[0]) +
           (size_t)id * BENCH_RECORD;
}

static void peer_update(peer *p, unsigned id, const void *record)
{
    memcpy(peer_at_record(p, id), record, BENCH_RECORD);
    peer_sync(p);
}

static void peer_read(peer *p, unsigned id, void *record)
{
    memcpy(record, peer_at_record(p, id), BENCH_RECORD);
}

static void peer_table_close(peer *p)
{
    peer_close(p);
}
#endif

#if BENCH_MAPS
#  ifndef BENCH_ENGINE
#    define BENCH_ENGINE 0 // the one that the library takes
#  endif

static void peer_limit(peer *p, size_t limit, int shared)
{
    memset(&p->map, 0, sizeof p->map);
    memset(&p->budget, 0, sizeof p->budget);
    p->map.memory = p->budget.bytes = limit;
    p->map.segment = BENCH_SEGMENT;
    p->map.engine = BENCH_ENGINE;
    p->map.budget = shared ? &p->budget : NULL;
}

static void *peer_map(peer *p, const char *path, size_t n)
{
    void *at = alps_umalloc_with(path, n, &p->map);
    if (!at)
        bench_die("%s: %s", path, strerror(errno));
    return at;
}

static void peer_map_sync(peer *p, void *at, size_t n)
{
    (void)p, (void)n;
    if (alps_usync(at))
        bench_die("alps_usync: %s", strerror(errno));
}

static void peer_unmap(peer *p, void *at, size_t n)
{
    (void)p, (void)n;
    if (alps_ufree(at))
        bench_die("alps_ufree: %s", strerror(errno));
}
#endif

#include "loads.h"
