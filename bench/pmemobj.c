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
#define PEER_BATCHES 2 /* by published actions, and by a transaction */
#define PEER_STORES 1
#define PEER_CHASES 1

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

/* Reserved, filled and published in one step with the ids. */
static void peer_publish(peer *p, unsigned i, uint64_t fill)
{
    struct pobj_action action[48];
    unsigned n = 0, end = i + 16;
    for (; i < end; i++) {
        PMEMoid o = pmemobj_reserve(p->pool, &action[n++], 64, 1);
        if (OID_IS_NULL(o))
            bench_die("pmemobj_reserve failed");
        memset(pmemobj_direct(o), (unsigned char)fill, 64);
        pmemobj_flush(p->pool, pmemobj_direct(o), 64);
        pmemobj_set_value(p->pool, &action[n++], &p->head[i].pool_uuid_lo,
                          o.pool_uuid_lo);
        pmemobj_set_value(p->pool, &action[n++], &p->head[i].off, o.off);
    }
    if (pmemobj_publish(p->pool, action, n))
        bench_die("pmemobj_publish failed");
}

/* Allocated and linked in a transaction. */
static void peer_transact(peer *p, unsigned first, uint64_t fill)
{
    TX_BEGIN(p->pool)
    {
        PMEMoid *head = &p->head[first];
        unsigned i;
        pmemobj_tx_add_range_direct(head, 16 * sizeof *head);
        for (i = 0; i < 16; i++) {
            head[i] = pmemobj_tx_alloc(64, 1);
            memset(pmemobj_direct(head[i]), (unsigned char)fill, 64);
        }
    }
    TX_ONABORT
    {
        bench_die("a transaction failed");
    }
    TX_END
}

static void peer_batch(peer *p, unsigned kind, unsigned i, uint64_t fill)
{
    kind ? peer_transact(p, i, fill) : peer_publish(p, i, fill);
}

#include "store_pmemobj.h"

static void peer_store(peer *p, store *s)
{
    s->pool = p->pool;
    s->root = p->head;
}

#include "chase.h"

#define BENCH_OID_GET(p, at) pmemobj_direct(*(at))
#define BENCH_OID_SET(p, at, ring) ((void)(*(at) = pmemobj_oid(ring)))
BENCH_CHASE(oid, PMEMoid, BENCH_OID_GET, BENCH_OID_SET)

static void peer_chase(peer *p)
{
    bench_chase_both(p, "chase", bench_chase_oid);
}

#include "loads.h"
