/* maps.h -- structures like those of PMDK's examples: a crit-bit tree, a
 * B-tree, a hash table
 *
 * Each is written once, for a store of any library, which a peer defines with
 *
 *     typedef ... store_ref;             what is stored in place of an address
 *     void *store_at(const store *s, const store_ref *r);
 *     int   store_same(const store_ref *a, const store_ref *b);
 *     void  store_begin(store *s);       a transaction: it happens durably and
 *     void  store_commit(store *s);      as a whole, or not at all
 *     store_ref store_put(store *s, const store_ref *old, const void *image,
 *                         size_t n);     an object of `n` bytes in place of
 *                                        `old`, there or anew; NULL: a new one
 *     void  store_link(store *s, store_ref *at, store_ref to);
 *                                        `*at` names what was put; once for
 *                                        each put, unless it is there by the
 *                                        image of another: then as well
 *     void  store_drop(store *s, const store_ref *old);           freed
 *     void  store_write(store *s, void *at, const void *image, size_t n);
 *                                        words in place, which may be read as
 *                                        they were until the commit
 *     uint64_t store_objects(const store *s);      how many objects there are
 *
 * So each library does it in its own way: changes nodes in place, or replaces
 * them. A map has a root of some words, zeroes at first, at `s->root`. */
#pragma once
#include "harness.h"

typedef struct bench_map {
    const char *name;
    void (*insert)(store *s, uint64_t key, uint64_t value);
    int (*find)(store *s, uint64_t key, uint64_t *value);
    int (*remove)(store *s, uint64_t key);
    uint64_t (*check)(const store *s); /* counts, and dies of what is wrong */
} bench_map;

#include "btree.h"
#include "ctree.h"
#include "hashmap.h"

static const bench_map *const bench_maps[] = {&bench_ctree, &bench_btree,
                                              &bench_hashmap};

static inline uint64_t bench_map_value(uint64_t key)
{
    return key * 3 + 1;
}

/* Puts the keys into another order. */
static inline void bench_map_shuffle(uint64_t *key, unsigned n, uint64_t *dice)
{
    unsigned i, k;
    for (i = n; i > 1; i--) {
        uint64_t other;
        k = bench_below(dice, i);
        other = key[k], key[k] = key[i - 1], key[i - 1] = other;
    }
}

/* The first `gone` keys are not in the map, all others are. */
static inline void bench_map_verify(const bench_map *m, store *s,
                                    const uint64_t *key, unsigned gone,
                                    unsigned n)
{
    uint64_t value;
    unsigned i;
    if (m->check(s) != n - gone)
        bench_die("%s has not %u keys", m->name, n - gone);
    for (i = 0; i < n; i++) {
        value = 0;
        if (m->find(s, key[i], &value) != (i >= gone) ||
            value != (i < gone ? 0 : bench_map_value(key[i])))
            bench_die("%s: a key has not the value it should", m->name);
    }
}
