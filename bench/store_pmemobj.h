/* store_pmemobj.h -- the same by transactions of libpmemobj
 *
 * Its way: what is to change is noted in the log of the transaction, then
 * changed in place; new objects are flushed by the commit. See maps.h for what
 * the functions mean. */
#pragma once
#include <libpmemobj.h>
#include "harness.h"

typedef struct store {
    PMEMobjpool *pool;
    void *root;
} store;

typedef PMEMoid store_ref;

/* An operation that fails has aborted the transaction. */
static inline void store_expect(const char *what, int failed)
{
    if (failed)
        bench_die("%s: %s", what, pmemobj_errormsg());
}

static inline void *store_at(const store *s, const store_ref *r)
{
    (void)s;
    return pmemobj_direct(*r);
}

static inline int store_same(const store_ref *a, const store_ref *b)
{
    return OID_EQUALS(*a, *b);
}

static inline void store_begin(store *s)
{
    store_expect("pmemobj_tx_begin",
                 pmemobj_tx_begin(s->pool, NULL, TX_PARAM_NONE));
}

static inline void store_commit(store *s)
{
    (void)s;
    pmemobj_tx_commit();
    store_expect("pmemobj_tx_end", pmemobj_tx_end());
}

static inline void store_drop(store *s, const store_ref *old)
{
    (void)s;
    store_expect("pmemobj_tx_free", pmemobj_tx_free(*old));
}

static inline void store_write(store *s, void *at, const void *image, size_t n)
{
    (void)s;
    store_expect("pmemobj_tx_add_range_direct",
                 pmemobj_tx_add_range_direct(at, n));
    memcpy(at, image, n);
}

static inline store_ref store_put(store *s, const store_ref *old,
                                  const void *image, size_t n)
{
    store_ref r = old ? *old : pmemobj_tx_alloc(n, 1);
    store_expect("pmemobj_tx_alloc", OID_IS_NULL(r));
    if (old)
        store_write(s, pmemobj_direct(r), image, n);
    else
        memcpy(pmemobj_direct(r), image, n);
    return r;
}

static inline void store_link(store *s, store_ref *at, store_ref to)
{
    if (!store_same(at, &to))
        store_write(s, at, &to, sizeof to);
}

static inline uint64_t store_objects(const store *s)
{
    uint64_t n = 0;
    PMEMoid o;
    for (o = pmemobj_first(s->pool); !OID_IS_NULL(o); o = pmemobj_next(o))
        n++;
    return n;
}
