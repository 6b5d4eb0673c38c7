/* ctree.h -- a crit-bit tree
 *
 * D. J. Bernstein's: an inner node names the highest bit in which the keys
 * below it differ. As in PMDK's example a node has two entries, each of which
 * is a key with its value or leads to another node, so that an insertion
 * allocates one node and a removal frees one. */
#pragma once
#include "maps.h"

typedef struct ctree_entry {
    uint64_t key, value; /* if `node` is null */
    store_ref node;
} ctree_entry;

typedef struct ctree_node {
    uint64_t bit; /* less than that of the node above */
    ctree_entry entry[2];
} ctree_node;

typedef struct ctree_root {
    uint64_t count;
    ctree_entry top; /* if there is any */
} ctree_root;

/* Follows `key` down to an entry that is a key, or to one whose node decides
 * a bit that is not above `bit`. `*inside` is the node that it is in, or
 * NULL; `*above` the entry that leads there. */
static inline ctree_entry *ctree_walk(const store *s, ctree_root *root,
                                      uint64_t key, int bit,
                                      ctree_node **inside, ctree_entry **above)
{
    ctree_entry *at = &root->top;
    ctree_node *n;
    *inside = NULL;
    *above = NULL;
    while ((n = (ctree_node *)store_at(s, &at->node)) && (int)n->bit > bit) {
        *inside = n;
        *above = at;
        at = &n->entry[key >> n->bit & 1];
    }
    return at;
}

static inline ctree_entry *ctree_leaf(const store *s, ctree_root *root,
                                      uint64_t key)
{
    ctree_entry *above;
    ctree_node *inside;
    return ctree_walk(s, root, key, -1, &inside, &above);
}

/* A new node at the bit in which `key` and the one found differ first. */
static void ctree_split(store *s, ctree_root *root, const ctree_entry *leaf,
                        uint64_t differ)
{
    ctree_entry *at, *above;
    ctree_node image, *inside;
    unsigned side;
    image.bit = 63 - (unsigned)__builtin_clzll(differ);
    side = (unsigned)(leaf->key >> image.bit & 1);
    at = ctree_walk(s, root, leaf->key, (int)image.bit, &inside, &above);
    image.entry[side] = *leaf;
    image.entry[!side] = *at;
    store_link(s, &at->node, store_put(s, NULL, &image, sizeof image));
}

static void ctree_insert(store *s, uint64_t key, uint64_t value)
{
    ctree_root *root = (ctree_root *)s->root;
    ctree_entry leaf, *at = ctree_leaf(s, root, key);
    uint64_t count = root->count + 1;
    memset(&leaf, 0, sizeof leaf);
    leaf.key = key;
    leaf.value = value;
    store_begin(s);
    if (root->count == 0) {
        store_write(s, at, &leaf, sizeof leaf);
    } else if (at->key == key) {
        store_write(s, &at->value, &value, sizeof value);
        count--;
    } else {
        ctree_split(s, root, &leaf, key ^ at->key);
    }
    if (count != root->count)
        store_write(s, &root->count, &count, sizeof count);
    store_commit(s);
}

static int ctree_find(store *s, uint64_t key, uint64_t *value)
{
    ctree_root *root = (ctree_root *)s->root;
    const ctree_entry *at = ctree_leaf(s, root, key);
    if (root->count == 0 || at->key != key)
        return 0;
    *value = at->value;
    return 1;
}

/* The other entry of the node takes its place. */
static int ctree_remove(store *s, uint64_t key)
{
    ctree_root *root = (ctree_root *)s->root;
    ctree_node *inside;
    ctree_entry *above;
    uint64_t count = root->count - 1;
    const ctree_entry *at = ctree_walk(s, root, key, -1, &inside, &above);
    if (root->count == 0 || at->key != key)
        return 0;
    store_begin(s);
    if (inside) {
        ctree_entry other = inside->entry[at == &inside->entry[0]];
        store_ref old = above->node;
        store_write(s, above, &other, sizeof other);
        store_drop(s, &old);
    }
    store_write(s, &root->count, &count, sizeof count);
    store_commit(s);
    return 1;
}

/* Counts the keys from `at` on, of whom `*key` is one then. All of a side agree
 * in the bit of their node, and all of a node in those above. */
static uint64_t ctree_count(const store *s, const ctree_entry *at,
                            unsigned above, uint64_t *key)
{
    const ctree_node *n = (const ctree_node *)store_at(s, &at->node);
    uint64_t other, count;
    *key = at->key;
    if (!n)
        return 1;
    count = ctree_count(s, &n->entry[0], (unsigned)n->bit, key) +
            ctree_count(s, &n->entry[1], (unsigned)n->bit, &other);
    if (n->bit >= above || (*key ^ other) >> n->bit != 1 || *key >> n->bit & 1)
        bench_die("a crit-bit tree is out of order");
    return count;
}

static uint64_t ctree_check(const store *s)
{
    const ctree_root *root = (const ctree_root *)s->root;
    uint64_t key, n = 0;
    if (root->count)
        n = ctree_count(s, &root->top, 64, &key);
    if (n != root->count)
        bench_die("a crit-bit tree has lost count");
    return n;
}

static const bench_map bench_ctree = {"ctree", ctree_insert, ctree_find,
                                      ctree_remove, ctree_check};
