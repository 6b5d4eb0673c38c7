/* btree.h -- a B-tree
 *
 * Of order 8, as PMDK's example: at most seven keys in a node, at least three
 * but in the root, values beside them. An operation works on drafts of the
 * nodes of one path in ordinary memory, from the leaf up, and puts each node
 * once. */
#pragma once
#include "maps.h"

#define BTREE_ORDER 8u
#define BTREE_MOST (BTREE_ORDER - 1)
#define BTREE_LEAST (BTREE_MOST / 2)
#define BTREE_HEIGHT 24u

typedef struct btree_item {
    uint64_t key, value;
} btree_item;

typedef struct btree_node {
    uint64_t n;
    btree_item item[BTREE_MOST];
    store_ref child[BTREE_ORDER]; /* of a leaf: null */
} btree_node;

typedef struct btree_root {
    uint64_t count;
    store_ref top;
} btree_root;

/* A node in the making, with room for one more. */
typedef struct btree_draft {
    unsigned n;
    btree_item item[BTREE_ORDER];
    store_ref child[BTREE_ORDER + 1];
} btree_draft;

/* A node on the path. */
typedef struct btree_step {
    btree_node *node;
    store_ref *slot; /* what refers to it */
    unsigned at;     /* of its items or children, which the path takes */
    int changed;     /* `draft` is what it is to be */
    btree_draft draft;
} btree_step;

/* From the root on. Nodes of the level below that were put and that no node
 * refers to yet are `fresh`. */
typedef struct btree_path {
    unsigned n, fresh_n;
    store_ref fresh[2];
    btree_step step[BTREE_HEIGHT];
} btree_path;

static inline unsigned btree_place(const btree_node *n, uint64_t key)
{
    unsigned i = 0;
    while (i < n->n && n->item[i].key < key)
        i++;
    return i;
}

static inline btree_step *btree_push(btree_path *path, store_ref *slot,
                                     btree_node *node, unsigned at)
{
    btree_step *t = &path->step[path->n++];
    if (path->n > BTREE_HEIGHT)
        bench_die("a B-tree is too high");
    t->node = node;
    t->slot = slot;
    t->at = at;
    t->changed = 0;
    return t;
}

/* The path to `key`, or to where it would be in a leaf. Whether it is there. */
static int btree_walk(const store *s, btree_root *root, uint64_t key,
                      btree_path *path)
{
    store_ref *slot = &root->top;
    btree_node *n;
    path->n = path->fresh_n = 0;
    while ((n = (btree_node *)store_at(s, slot))) {
        unsigned at = btree_place(n, key);
        btree_push(path, slot, n, at);
        if (at < n->n && n->item[at].key == key)
            return 1;
        slot = &n->child[at];
    }
    return 0;
}

static void btree_load(btree_draft *d, const btree_node *n)
{
    d->n = (unsigned)n->n;
    memcpy(d->item, n->item, sizeof n->item);
    memcpy(d->child, n->child, sizeof n->child);
}

static inline btree_draft *btree_change(btree_step *t)
{
    if (!t->changed)
        btree_load(&t->draft, t->node);
    t->changed = 1;
    return &t->draft;
}

/* Makes room for an item at `i`, and for a child behind it. */
static void btree_open(btree_draft *d, unsigned i)
{
    memmove(&d->item[i + 1], &d->item[i], (d->n - i) * sizeof *d->item);
    memmove(&d->child[i + 2], &d->child[i + 1], (d->n - i) * sizeof *d->child);
    d->n++;
}

/* Takes out item `i`, and child `k`, which is before it or behind it. */
static void btree_close(btree_draft *d, unsigned i, unsigned k)
{
    d->n--;
    memmove(&d->item[i], &d->item[i + 1], (d->n - i) * sizeof *d->item);
    memmove(&d->child[k], &d->child[k + 1], (d->n + 1 - k) * sizeof *d->child);
}

/* Puts `n` items of the draft, from `from` on, and the children around them, in
 * place of `old`. What is fresh among these has now who refers to it. */
static store_ref btree_put(store *s, const btree_path *path,
                           const store_ref *old, const btree_draft *d,
                           unsigned from, unsigned n)
{
    btree_node image, *node;
    store_ref r;
    unsigned i, k;
    memset(&image, 0, sizeof image);
    image.n = n;
    memcpy(image.item, &d->item[from], n * sizeof *d->item);
    memcpy(image.child, &d->child[from], (n + 1) * sizeof *d->child);
    r = store_put(s, old, &image, sizeof image);
    node = (btree_node *)store_at(s, &r);
    for (k = 0; k < path->fresh_n; k++)
        for (i = 0; i <= n; i++)
            if (store_same(&image.child[i], &path->fresh[k]))
                store_link(s, &node->child[i], path->fresh[k]);
    return r;
}

static void btree_put_count(store *s, btree_root *root, uint64_t count)
{
    store_write(s, &root->count, &count, sizeof count);
}

/* A root above two nodes that are fresh, or the first one. */
static void btree_raise(store *s, btree_root *root, const btree_path *path,
                        btree_item item)
{
    btree_draft d;
    memset(&d, 0, sizeof d);
    d.item[0] = item;
    memcpy(d.child, path->fresh, path->fresh_n * sizeof *path->fresh);
    store_link(s, &root->top, btree_put(s, path, NULL, &d, 0, 1));
}

/* Divides a draft that is too large, around the item that is answered. */
static btree_item btree_split(store *s, btree_path *path, btree_step *t)
{
    const unsigned half = BTREE_ORDER / 2;
    store_ref right =
        btree_put(s, path, NULL, &t->draft, half + 1, t->draft.n - half - 1);
    path->fresh[0] = btree_put(s, path, t->slot, &t->draft, 0, half);
    path->fresh[1] = right;
    path->fresh_n = 2;
    return t->draft.item[half];
}

/* Adds an item to the leaf, and what a division takes out of a node to the one
 * above. */
static void btree_add(store *s, btree_root *root, btree_path *path,
                      btree_item item)
{
    unsigned level = path->n;
    while (level--) {
        btree_step *t = &path->step[level];
        btree_draft *d = btree_change(t);
        btree_open(d, t->at);
        d->item[t->at] = item;
        memcpy(&d->child[t->at], path->fresh,
               path->fresh_n * sizeof *path->fresh);
        if (d->n <= BTREE_MOST) {
            store_link(s, t->slot, btree_put(s, path, t->slot, d, 0, d->n));
            return;
        }
        item = btree_split(s, path, t);
    }
    btree_raise(s, root, path, item);
}

static void btree_insert(store *s, uint64_t key, uint64_t value)
{
    btree_root *root = (btree_root *)s->root;
    btree_path path;
    btree_item item = {key, value};
    int found = btree_walk(s, root, key, &path);
    store_begin(s);
    if (found) {
        const btree_step *t = &path.step[path.n - 1];
        store_write(s, &t->node->item[t->at].value, &value, sizeof value);
    } else {
        btree_add(s, root, &path, item);
        btree_put_count(s, root, root->count + 1);
    }
    store_commit(s);
}

static int btree_find(store *s, uint64_t key, uint64_t *value)
{
    const btree_root *root = (const btree_root *)s->root;
    const btree_node *n = (const btree_node *)store_at(s, &root->top);
    while (n) {
        unsigned at = btree_place(n, key);
        if (at < n->n && n->item[at].key == key) {
            *value = n->item[at].value;
            return 1;
        }
        n = (const btree_node *)store_at(s, &n->child[at]);
    }
    return 0;
}

/* Appends an item and all of `from`. */
static void btree_join(btree_draft *to, btree_item item,
                       const btree_draft *from)
{
    to->item[to->n] = item;
    memcpy(&to->item[to->n + 1], from->item, from->n * sizeof *from->item);
    memcpy(&to->child[to->n + 1], from->child,
           (from->n + 1) * sizeof *from->child);
    to->n += from->n + 1;
}

/* Moves items around item `i` of `up` so that neither of its sides has too few,
 * of which the left or the right one has one more than it needs. */
static void btree_turn(btree_draft *up, unsigned i, btree_draft *left,
                       btree_draft *right)
{
    if (left->n > right->n) {
        btree_open(right, 0);
        right->child[1] = right->child[0];
        right->item[0] = up->item[i];
        right->child[0] = left->child[left->n];
        up->item[i] = left->item[--left->n];
        return;
    }
    left->item[left->n++] = up->item[i];
    left->child[left->n] = right->child[0];
    up->item[i] = right->item[0];
    btree_close(right, 0, 0);
}

/* The node of level `l` has too few: one comes from beside it, or both become
 * one. */
static void btree_refill(store *s, btree_path *path, unsigned l)
{
    btree_step *t = &path->step[l - 1];
    btree_draft *up = btree_change(t), beside;
    unsigned i = t->at ? t->at - 1 : 0; // the item between the two
    btree_draft *left = t->at ? &beside : &path->step[l].draft;
    btree_draft *right = t->at ? &path->step[l].draft : &beside;
    btree_load(&beside,
               (const btree_node *)store_at(s, &up->child[t->at ? i : i + 1]));
    if (beside.n > BTREE_LEAST) {
        btree_turn(up, i, left, right);
        up->child[i] = btree_put(s, path, &up->child[i], left, 0, left->n);
        up->child[i + 1] =
            btree_put(s, path, &up->child[i + 1], right, 0, right->n);
        path->fresh[1] = up->child[i + 1];
        path->fresh_n = 2;
    } else {
        btree_join(left, up->item[i], right);
        store_drop(s, &up->child[i + 1]);
        btree_close(up, i, i + 1);
        up->child[i] = btree_put(s, path, &up->child[i], left, 0, left->n);
        path->fresh_n = 1;
    }
    path->fresh[0] = up->child[i];
}

/* Puts the node of level `l`, and what refers to it. */
static void btree_settle(store *s, btree_path *path, unsigned l)
{
    btree_step *t = &path->step[l];
    btree_step *up = l ? &path->step[l - 1] : NULL;
    store_ref r;
    if (!up && t->draft.n == 0) { // one child is left, or nothing
        store_ref old = *t->slot;
        if (path->fresh_n)
            store_link(s, t->slot, path->fresh[0]);
        else
            store_write(s, t->slot, &t->draft.child[0], sizeof(store_ref));
        store_drop(s, &old);
        return;
    }
    r = btree_put(s, path, t->slot, &t->draft, 0, t->draft.n);
    path->fresh_n = 0;
    if (up && up->changed) {
        up->draft.child[up->at] = r;
        path->fresh[path->fresh_n++] = r;
    } else {
        store_link(s, t->slot, r);
    }
}

/* Takes the item at the end of the path out of the tree. One that is not in a
 * leaf is replaced by the one before it, which is. */
static void btree_take(store *s, btree_path *path)
{
    btree_step *t = &path->step[path->n - 1];
    btree_draft *d = btree_change(t), *leaf = d;
    btree_node *n;
    unsigned i = t->at, l;
    store_ref *slot = &t->node->child[i];
    while ((n = (btree_node *)store_at(s, slot))) {
        t = btree_push(path, slot, n, (unsigned)n->n);
        slot = &n->child[n->n];
    }
    if (&t->draft == leaf) {
        btree_close(d, i, i);
    } else {
        leaf = btree_change(t);
        d->item[i] = leaf->item[--leaf->n];
    }
    for (l = path->n; l--;)
        if (path->step[l].changed && l && path->step[l].draft.n < BTREE_LEAST)
            btree_refill(s, path, l);
        else if (path->step[l].changed)
            btree_settle(s, path, l);
}

static int btree_remove(store *s, uint64_t key)
{
    btree_root *root = (btree_root *)s->root;
    btree_path path;
    if (!btree_walk(s, root, key, &path))
        return 0;
    store_begin(s);
    btree_take(s, &path);
    btree_put_count(s, root, root->count - 1);
    store_commit(s);
    return 1;
}

/* Counts the items from `n` on, and looks whether they are in order: all above
 * `*last`, which is the highest of them then. All leaves are at one height. */
static uint64_t btree_count(const store *s, const btree_node *n, int top,
                            uint64_t *last, unsigned *height)
{
    uint64_t count = n->n;
    unsigned i, below = 0, first = 0;
    if (n->n > BTREE_MOST || n->n < (top ? 1 : BTREE_LEAST))
        bench_die("a node of a B-tree has %u keys", (unsigned)n->n);
    for (i = 0; i <= n->n; i++) {
        const btree_node *child = (const btree_node *)store_at(s, &n->child[i]);
        below = 0;
        if (child)
            count += btree_count(s, child, 0, last, &below);
        if (i == 0)
            first = below;
        if (below != first || (i < n->n && *last && n->item[i].key <= *last))
            bench_die("a B-tree is out of order");
        if (i < n->n)
            *last = n->item[i].key;
    }
    *height = below + 1;
    return count;
}

static uint64_t btree_check(const store *s)
{
    const btree_root *root = (const btree_root *)s->root;
    const btree_node *n = (const btree_node *)store_at(s, &root->top);
    uint64_t last = 0;
    unsigned height;
    uint64_t count = n ? btree_count(s, n, 1, &last, &height) : 0;
    if (count != root->count)
        bench_die("a B-tree has lost count");
    return count;
}

static const bench_map bench_btree = {"btree", btree_insert, btree_find,
                                      btree_remove, btree_check};
