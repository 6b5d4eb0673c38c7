/* store_alps.h -- what the maps are made of, by transactions of alps.h
 *
 * What is deferred to the commit costs no fence of its own, so nothing is
 * changed in place but single words: a node of which more is to change is
 * replaced by a new one, and freed. See maps.h for what the functions mean.
 * The program has included alps.h. */
#pragma once
#include "harness.h"

typedef struct store {
    alps_heap *heap;
    void *root;
    alps_tx tx;
} store;

typedef ALPS_PTR(void) store_ref;

static inline void store_expect(const char *what, int err)
{
    if (err)
        bench_die("%s: %s", what, alps_strerror(err));
}

static inline void *store_at(const store *s, const store_ref *r)
{
    return ALPS_GET(s->heap, *r);
}

static inline int store_same(const store_ref *a, const store_ref *b)
{
    return a->off == b->off;
}

static inline void store_begin(store *s)
{
    store_expect("alps_begin", alps_begin(s->heap, &s->tx));
}

static inline void store_commit(store *s)
{
    store_expect("alps_commit", alps_commit(&s->tx));
}

static inline void store_drop(store *s, const store_ref *old)
{
    store_expect("alps_tx_free", alps_tx_free(&s->tx, store_at(s, old)));
}

static inline store_ref store_put(store *s, const store_ref *old,
                                  const void *image, size_t n)
{
    store_ref r;
    void *p = alps_reserve(s->heap, n);
    if (!p)
        store_expect("alps_reserve", alps_error(s->heap));
    memcpy(p, image, n);
    if (old)
        store_drop(s, old);
    ALPS_SET(s->heap, r, p);
    return r;
}

static inline void store_link(store *s, store_ref *at, store_ref to)
{
    store_expect("alps_tx_publish",
                 alps_tx_publish(&s->tx, &at->off, store_at(s, &to)));
}

static inline void store_write(store *s, void *at, const void *image, size_t n)
{
    uint64_t *word = (uint64_t *)at;
    size_t i;
    for (i = 0; i < n / sizeof *word; i++) {
        uint64_t value;
        memcpy(&value, (const uint64_t *)image + i, sizeof value);
        if (value != word[i])
            store_expect("alps_tx_set", alps_tx_set(&s->tx, &word[i], value));
    }
}

static int store_count_one(void *context, void *p, size_t n)
{
    (void)p, (void)n;
    ++*(uint64_t *)context;
    return 0;
}

static inline uint64_t store_objects(const store *s)
{
    uint64_t n = 0;
    store_expect("alps_each", alps_each(s->heap, store_count_one, &n));
    store_expect("alps_check", alps_check(s->heap, NULL));
    return n;
}
