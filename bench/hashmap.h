/* hashmap.h -- a hash table with chains
 *
 * An array of chains, twice as many as soon as there are as many entries as
 * chains; that is a transaction of its own. It goes with the last entry. */
#pragma once
#include "maps.h"

#define HASHMAP_CHAINS 16u /* at first */

typedef struct hashmap_entry {
    store_ref next;
    uint64_t key, value;
} hashmap_entry;

typedef struct hashmap_root {
    uint64_t count;
    uint64_t chains; /* a power of two; 0: there is no table yet */
    store_ref table; /* store_ref[chains] */
} hashmap_root;

/* Which of `chains` the key belongs to: by the golden ratio. */
static inline uint64_t hashmap_chain(uint64_t key, uint64_t chains)
{
    return key * 0x9e3779b97f4a7c15u >> 20 & (chains - 1);
}

/* What refers to the entry of `key`, or to nothing at the end of its chain;
 * NULL: there is no table. */
static inline store_ref *hashmap_slot(const store *s, const hashmap_root *root,
                                      uint64_t key)
{
    store_ref *at = (store_ref *)store_at(s, &root->table);
    hashmap_entry *e;
    if (!at)
        return NULL;
    at += hashmap_chain(key, root->chains);
    while ((e = (hashmap_entry *)store_at(s, at)) && e->key != key)
        at = &e->next;
    return at;
}

/* The end of a new chain: `*at` is to lead to `to`. In the new table, which
 * nobody has seen, that is stored; in an entry it is written, if it is new. */
static inline store_ref *hashmap_append(store *s, store_ref *at, int inside,
                                        const store_ref *to)
{
    hashmap_entry *e = (hashmap_entry *)store_at(s, to);
    if (!inside)
        *at = *to;
    else if (!store_same(at, to))
        store_write(s, at, to, sizeof *to);
    return e ? &e->next : NULL;
}

/* Divides chain `i` between its two heirs in the table `image`. */
static void hashmap_divide(store *s, const hashmap_root *root, uint64_t i,
                           store_ref *image)
{
    store_ref *end[2], next, nothing;
    int inside[2] = {0, 0}, k;
    store_ref at = ((store_ref *)store_at(s, &root->table))[i];
    hashmap_entry *e;
    memset(&nothing, 0, sizeof nothing);
    end[0] = &image[i];
    end[1] = &image[i + root->chains];
    for (; (e = (hashmap_entry *)store_at(s, &at)); at = next) {
        next = e->next;
        k = hashmap_chain(e->key, 2 * root->chains) != i;
        end[k] = hashmap_append(s, end[k], inside[k], &at);
        inside[k] = 1;
    }
    for (k = 0; k < 2; k++)
        hashmap_append(s, end[k], inside[k], &nothing);
}

/* Twice the chains, or the first. */
static void hashmap_grow(store *s, hashmap_root *root)
{
    uint64_t i, chains = root->chains ? 2 * root->chains : HASHMAP_CHAINS;
    store_ref *image = (store_ref *)calloc(chains, sizeof *image);
    store_ref old = root->table;
    if (!image)
        bench_die("no memory for a table");
    store_begin(s);
    for (i = 0; i < root->chains; i++)
        hashmap_divide(s, root, i, image);
    store_link(s, &root->table,
               store_put(s, NULL, image, chains * sizeof *image));
    if (root->chains)
        store_drop(s, &old);
    store_write(s, &root->chains, &chains, sizeof chains);
    store_commit(s);
    free(image);
}

static void hashmap_insert(store *s, uint64_t key, uint64_t value)
{
    hashmap_root *root = (hashmap_root *)s->root;
    uint64_t count = root->count + 1;
    hashmap_entry entry, *e;
    store_ref *at;
    if (root->count == root->chains)
        hashmap_grow(s, root);
    at = hashmap_slot(s, root, key);
    e = (hashmap_entry *)store_at(s, at);
    store_begin(s);
    if (e) {
        store_write(s, &e->value, &value, sizeof value);
    } else {
        entry.next = *at;
        entry.key = key;
        entry.value = value;
        store_link(s, at, store_put(s, NULL, &entry, sizeof entry));
        store_write(s, &root->count, &count, sizeof count);
    }
    store_commit(s);
}

static int hashmap_find(store *s, uint64_t key, uint64_t *value)
{
    const hashmap_root *root = (const hashmap_root *)s->root;
    const store_ref *at = hashmap_slot(s, root, key);
    const hashmap_entry *e = at ? (const hashmap_entry *)store_at(s, at) : NULL;
    if (!e)
        return 0;
    *value = e->value;
    return 1;
}

/* Nothing is left: the root is as it was at first. */
static void hashmap_clear(store *s, hashmap_root *root)
{
    store_ref old = root->table;
    hashmap_root empty;
    memset(&empty, 0, sizeof empty);
    store_write(s, root, &empty, sizeof empty);
    store_drop(s, &old);
}

static int hashmap_remove(store *s, uint64_t key)
{
    hashmap_root *root = (hashmap_root *)s->root;
    uint64_t count = root->count - 1;
    store_ref *at = hashmap_slot(s, root, key), old, next;
    const hashmap_entry *e = at ? (const hashmap_entry *)store_at(s, at) : NULL;
    if (!e)
        return 0;
    old = *at;
    next = e->next;
    store_begin(s);
    store_write(s, at, &next, sizeof next);
    store_drop(s, &old);
    if (count == 0)
        hashmap_clear(s, root);
    else
        store_write(s, &root->count, &count, sizeof count);
    store_commit(s);
    return 1;
}

static uint64_t hashmap_check(const store *s)
{
    const hashmap_root *root = (const hashmap_root *)s->root;
    const store_ref *table = (const store_ref *)store_at(s, &root->table);
    const hashmap_entry *e;
    uint64_t i, n = 0;
    for (i = 0; i < root->chains; i++)
        for (e = (const hashmap_entry *)store_at(s, &table[i]); e;
             e = (const hashmap_entry *)store_at(s, &e->next))
            if (++n > root->count || hashmap_chain(e->key, root->chains) != i)
                bench_die("a hash table is out of order");
    if (n != root->count)
        bench_die("a hash table has lost count");
    return n;
}

static const bench_map bench_hashmap = {"hashmap", hashmap_insert, hashmap_find,
                                        hashmap_remove, hashmap_check};
