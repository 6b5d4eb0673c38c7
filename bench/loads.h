/* loads.h -- the workloads, and the `main` of every peer's program
 *
 * A peer's adapter defines, before it includes this, a type and four functions
 *
 *     typedef struct peer peer;
 *     void  peer_open(peer *p, const char *dir, size_t bytes, int fresh);
 *     void  peer_close(peer *p);
 *     void *peer_alloc(peer *p, size_t n);
 *     void  peer_free(peer *p, void *o);
 *
 * with PEER_SHARES, if several processes can open one heap and free each
 * other's objects, a name for an object that all of them know
 *
 *     uint64_t peer_name(peer *p, void *o);
 *     void    *peer_at(peer *p, uint64_t name);
 *
 * and with PEER_LINKS a durable array of PEER_LINKS list heads
 *
 *     void  peer_link(peer *p, unsigned i, uint64_t fill);
 *     void  peer_release(peer *p, unsigned i);
 *
 * measured with PEER_CLOCK (default: the time the thread had a processor), and
 * with PEER_BATCHES that many ways to fill the sixteen heads from `i` on in one
 * step
 *
 *     void  peer_batch(peer *p, unsigned kind, unsigned i, uint64_t fill);
 *
 * PEER_STORES says that it has transactions, by which maps.h makes its maps in
 * what the peer has open: a type `store` with the functions told there, and
 *
 *     void  peer_store(peer *p, store *s);
 *
 * PEER_CHASES says that the peer has pointers of its own, and what it costs to
 * follow them is measured by
 *
 *     void  peer_chase(peer *p);
 *
 * PEER_KEEPS says that what is in the heap is found again after a close. Such
 * a peer has a root of some bytes, zeroes at first, and something to store in
 * place of addresses
 *
 *     void *peer_root(peer *p);
 *     void  peer_sync(peer *p);    all so far is durable
 *     typedef ... peer_ref;
 *     void *peer_get(const peer *p, const peer_ref *r);
 *     void  peer_set(const peer *p, peer_ref *r, void *to);
 *
 * PEER_PAGES, that it has `n` pages of a file in memory, filled, and makes
 * changes of them durable; PEER_COPIES, that it makes a durable copy of the file
 * in the directory `to`, and answers how many seconds that took; PEER_COMMITS,
 * that it has a table of `n` records, zeroes at first, and that an update is
 * durable.
 *
 *     unsigned char *peer_pages(peer *p, const char *dir, unsigned n,
 *                               int fresh);
 *     void  peer_sync_pages(peer *p, const unsigned *page, unsigned k);
 *     double peer_snapshot(peer *p, const char *dir, const char *to);
 *     void  peer_pages_close(peer *p);
 *
 *     void  peer_table(peer *p, const char *dir, unsigned n, int fresh);
 *     void  peer_update(peer *p, unsigned id, const void *record);
 *     void  peer_read(peer *p, unsigned id, void *record);
 *     void  peer_table_close(peer *p);
 *
 * PEER_MAPS, that it maps a file of `n` bytes as plain memory, of which at most
 * `limit` may be in memory from then on, of each file or of all together.
 *
 *     void  peer_limit(peer *p, size_t limit, int shared);
 *     void *peer_map(peer *p, const char *path, size_t n);
 *     void  peer_map_sync(peer *p, void *at, size_t n);
 *     void  peer_unmap(peer *p, void *at, size_t n);
 *
 * PEER_LIMITED says that what is in a heap has less memory than bytes, so that
 * it waits for the medium.
 *
 * PEER_REOPENS says that what was allocated is still there after a close and
 * after a crash, PEER_ALLOCATES (the default, 1) that there is an allocator at
 * all. The functions are static, not a table of pointers: a peer is called the
 * way its own header lets a program call it, so a library call stays a library
 * call and a header is inlined as it is in a program. */
#pragma once
#include "harness.h"

#ifndef PEER_ALLOCATES
#  define PEER_ALLOCATES 1
#endif
#ifndef PEER_REOPENS
#  define PEER_REOPENS 0
#endif
#ifndef PEER_SHARES
#  define PEER_SHARES 0
#endif
#ifndef PEER_KEEPS
#  define PEER_KEEPS 0
#endif
#ifndef PEER_PAGES
#  define PEER_PAGES 0
#endif
#ifndef PEER_COPIES
#  define PEER_COPIES 0
#endif
#ifndef PEER_COMMITS
#  define PEER_COMMITS 0
#endif
#ifndef PEER_LIMITED
#  define PEER_LIMITED 0
#endif
#ifndef PEER_MAPS
#  define PEER_MAPS 0
#endif
#ifndef PEER_STORES
#  define PEER_STORES 0
#endif
#ifndef PEER_CHASES
#  define PEER_CHASES 0
#endif

#if PEER_ALLOCATES

#  if !PEER_SHARES
static inline uint64_t peer_name(peer *p, void *o)
{
    (void)p, (void)o;
    bench_die("no object of this peer has a name");
}

static inline void *peer_at(peer *p, uint64_t name)
{
    (void)p, (void)name;
    bench_die("no object of this peer has a name");
}
#  endif

#  include "calls.h"
#  include "edges.h"
#  include "own.h"
#  include "passed.h"
#  include "team.h"

static const bench_load bench_loads[] = {
    {"pairs", bench_work_pair64, 64, 0, 1, 0, {"pair64"}},
    {"pairs", bench_work_pair256, 64, 0, 1, 0, {"pair256"}},
    {"pairs", bench_work_pair4096, 64, 0, 1, 0, {"pair4k"}},
    {"threadtest", bench_work_threadtest, 64, 0, 1, 0, {"threadtest"}},
    {"larson", bench_work_larson, 64, 0, 1, 0, {"larson"}},
    {"shbench", bench_work_shbench, 64, 0, 1, 0, {"shbench"}},
    {"xfree", bench_work_xfree, 64, 0, 2, 1, {"xfree"}},
    {"prodcon", bench_work_prodcon, 64, 0, 1, 1, {"prodcon"}},
    {"rand1m", bench_work_rand1m, 64, 1200, 1, 0, {BENCH_RAND1M}},
    {"churn", bench_work_churn, 320, 0, 1, 0, {"churn_ratio", "churn_time"}},
};

/* Runs what is called `name`; answers how many loads that are. */
static unsigned bench_run_loads(const char *name, const char *dir,
                                const bench_scale *scale)
{
    unsigned i, n = 0;
    for (i = 0; i < sizeof bench_loads / sizeof *bench_loads; i++)
        if (strcmp(name, bench_loads[i].name) == 0) {
            bench_load_run(&bench_loads[i], dir, scale);
            n++;
        }
    return n;
}

#  if PEER_LIMITED
/* rand1m, with fewer objects, of one thread. */
static void bench_load_heap_rand1m(const char *dir, const bench_scale *s)
{
    static const bench_load load = {
        "heap_rand1m", bench_work_rand1m, 8, 1200, 1, 0, {BENCH_RAND1M}};
    static const bench_way way = {"", 1, 1};
    bench_scale less = *s;
    less.objects = s->objects / 16;
    bench_team_measure(&load, &way, dir, &less);
}

static void bench_load_heap_edges(const char *dir, const bench_scale *s)
{
    bench_scale less = *s;
    less.edges = s->edges - 6;
    bench_load_edges(dir, &less);
}
#  endif

#endif
#ifdef PEER_LINKS
#  include "link.h"
#endif
#if PEER_STORES
#  include "map.h"
#endif
#if PEER_CHASES
static void bench_load_chase(const char *dir)
{
    peer p;
    peer_open(&p, dir, 512 * BENCH_MIB, 1);
    peer_chase(&p);
    peer_close(&p);
}
#endif
#if PEER_REOPENS
#  include "open.h"
#endif
#if PEER_PAGES
#  include "sync.h"
#endif
#if PEER_COPIES
#  include "snapshot.h"
#endif
#if PEER_COMMITS
#  include "commit.h"
#endif
#if PEER_MAPS
#  include "paged.h"
#endif

/* usage: PROGRAM LOAD DIRECTORY [quick] */
int main(int argc, char **argv)
{
    const bench_scale *s = argc > 3 ? &bench_quick : &bench_full;
    if (argc < 3)
        bench_die("usage: %s LOAD DIRECTORY [quick]", argv[0]);
#if PEER_ALLOCATES
    if (bench_run_loads(argv[1], argv[2], s))
        return 0;
    if (strcmp(argv[1], "instructions") == 0)
        return bench_load_instructions(argv[2], s), 0;
    if (strcmp(argv[1], "edges") == 0)
        return bench_load_edges(argv[2], s), 0;
#endif
#if PEER_LIMITED
    if (strcmp(argv[1], "heap_rand1m") == 0)
        return bench_load_heap_rand1m(argv[2], s), 0;
    if (strcmp(argv[1], "heap_edges") == 0)
        return bench_load_heap_edges(argv[2], s), 0;
#endif
#ifdef PEER_LINKS
    if (strcmp(argv[1], "link") == 0)
        return bench_load_link(argv[2], s), 0;
#endif
#ifdef PEER_BATCHES
    if (strcmp(argv[1], "batch") == 0)
        return bench_load_batch(argv[2], s), 0;
#endif
#if PEER_STORES
    if (strcmp(argv[1], "map") == 0)
        return bench_load_map(argv[2], s), 0;
#endif
#if PEER_CHASES
    if (strcmp(argv[1], "chase") == 0)
        return bench_load_chase(argv[2]), 0;
#endif
#if PEER_REOPENS
    if (strcmp(argv[1], "open") == 0)
        return bench_load_open(argv[2], s), 0;
#endif
#if PEER_PAGES
    if (strcmp(argv[1], "sync") == 0)
        return bench_load_sync(argv[2], s), 0;
#endif
#if PEER_COPIES
    if (strcmp(argv[1], "snapshot") == 0)
        return bench_load_snapshot(argv[2], s), 0;
#endif
#if PEER_COMMITS
    if (strcmp(argv[1], "commit") == 0)
        return bench_load_commit(argv[2], s), 0;
#endif
#if PEER_MAPS
    if (strcmp(argv[1], "paged") == 0)
        return bench_load_paged(argv[2], s), 0;
#endif
    return BENCH_NOT_OFFERED;
}
