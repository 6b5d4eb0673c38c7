/* pmemobj.c -- libpmemobj's atomic interface
 *
 * In pairs, rand1m and churn the object id is in ordinary memory, the cheaper
 * way; in link it is in the pool, which is what makes an object reachable
 * after a crash. The constructor persists the object, which the library's own
 * examples say it must.
 *
 * PMEM_IS_PMEM_FORCE decides between cache flushes (1) and msync (0). It is
 * read before `main`, so the caller sets it; PEER_FORCE is what it must be. */
#include <libpmemobj.h>
#include <stdlib.h>
#include <string.h>

#ifndef PEER_LINKS
#  define PEER_LINKS 256
#endif
#define PEER_REOPENS 1

typedef struct peer {
    PMEMobjpool *pool;
    PMEMoid *head;
    char path[4096];
} peer;

#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    const char *force = getenv("PMEM_IS_PMEM_FORCE");
    if (!force || strcmp(force, PEER_FORCE) != 0)
        bench_die("set PMEM_IS_PMEM_FORCE=" PEER_FORCE);
    snprintf(p->path, sizeof p->path, "%s/pmemobj", dir);
    if (fresh)
        unlink(p->path);
    p->pool = fresh ? pmemobj_create(p->path, "bench", bytes, 0600)
                    : pmemobj_open(p->path, "bench");
    if (!p->pool)
        bench_die("%s: %s", p->path, pmemobj_errormsg());
    p->head = (PMEMoid *)pmemobj_direct(
        pmemobj_root(p->pool, PEER_LINKS * sizeof(PMEMoid)));
}

static void peer_close(peer *p)
{
    pmemobj_close(p->pool);
}

static inline void *peer_alloc(peer *p, size_t n)
{
    PMEMoid id;
    if (pmemobj_alloc(p->pool, &id, n, 1, NULL, NULL))
        return NULL;
    return pmemobj_direct(id);
}

static inline void peer_free(peer *p, void *o)
{
    PMEMoid id = pmemobj_oid(o);
    (void)p;
    pmemobj_free(&id);
}

static int peer_construct(PMEMobjpool *pool, void *o, void *fill)
{
    memset(o, *(const unsigned char *)fill, 64);
    pmemobj_persist(pool, o, 64);
    return 0;
}

static inline void peer_link(peer *p, unsigned i, uint64_t fill)
{
    if (pmemobj_alloc(p->pool, &p->head[i], 64, 1, peer_construct, &fill))
        bench_die("pmemobj_alloc failed");
}

static inline void peer_release(peer *p, unsigned i)
{
    pmemobj_free(&p->head[i]);
}

#include "loads.h"
