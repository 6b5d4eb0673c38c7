/* node.h -- the list of names, and where to begin in it
 *
 * A split-ordered list (Shalev and Shavit: Split-Ordered Lists, JACM 2006): all
 * names are in one list, kept by the reversed bits of their hashes, so that the
 * names of a bucket are together, and stay so when there are twice as many
 * buckets: no entry ever moves, and a name comes or goes by the store of one
 * link. A bucket has a node of its own in the list, which is never removed; it
 * is linked when it is first needed. Those of the upper half of the buckets lie
 * in one block, by number. See docs/names.md.
 *
 * What is read is not trusted: a link leads to where a node can be, and keys
 * rise, or the region is damaged. So every walk ends. */
#pragma once
#include "hash.h"
#include "link.h"

/* Entries that a name may have before it in its bucket until there should be
 * more buckets. */
#ifndef ALPS_NODE_CROWD
#  define ALPS_NODE_CROWD 8u
#endif

/* Buckets that are linked together, for two fences. */
#ifndef ALPS_NODE_BATCH
#  define ALPS_NODE_BATCH 16u
#endif

/* Bit 1 of the key of a bucket's node: it may be begun at. */
#define ALPS_NODE_READY_ 2ull

/* Nodes in a row with one key; more of them are a damage. */
#define ALPS_NODE_SAME_ 64u

/* What is looked for, and where it is or should be: behind `before`, which
 * links to `off`. */
typedef struct alps_place {
    uint64_t key;
    alps_node *before;
    alps_off off;
    uint64_t steps; /* nodes passed */
} alps_place;

/* What the list is kept by. */
ALPS_FN_ uint64_t alps_node_order_(const alps_node *n)
{
    uint64_t key = __atomic_load_n(&n->key, __ATOMIC_RELAXED);
    return key & 1 ? key : key & ~ALPS_NODE_READY_;
}

/* The node at `off`, or NULL where none can be. */
ALPS_FN_ alps_node *alps_node_at_(const alps_handle *h, alps_off off)
{
    uint64_t size = alps_size_(h);
    if (off % 16 || off < h->at.heap || off >= size ||
        size - off < sizeof(alps_node))
        return NULL;
    return (alps_node *)alps_address_(h, off);
}

/* Where names are found, or NULL: there is none yet, or it cannot be. */
ALPS_FN_ alps_names *alps_node_names_(const alps_handle *h)
{
    alps_off off = __atomic_load_n(&h->super->names, __ATOMIC_ACQUIRE);
    uint64_t size = alps_size_(h);
    if (off % 16 || off < h->at.heap || off >= size ||
        size - off < sizeof(alps_names))
        return NULL;
    return (alps_names *)alps_address_(h, off);
}

/* The node of bucket `b`, or NULL where there is no table for it. */
ALPS_FN_ alps_node *alps_node_bucket_(const alps_handle *h, alps_names *s,
                                      uint64_t b)
{
    if (b < 1u << ALPS_NAMES_SHIFT)
        return &s->first[b];
    unsigned top = alps_high_bit_(b), i = top - ALPS_NAMES_SHIFT;
    if (i >= ALPS_NAMES_TABLES)
        return NULL;
    alps_off off = __atomic_load_n(&s->table[i], __ATOMIC_ACQUIRE);
    uint64_t size = alps_size_(h), n = sizeof(alps_node) << top;
    if (off % 16 || off < h->at.heap || off >= size || size - off < n)
        return NULL;
    return (alps_node *)alps_address_(h, off) + (b - (1ull << top));
}

/* Whether the node of bucket `b` is in the list, durably. */
ALPS_FN_ int alps_node_ready_(const alps_node *n, uint64_t b)
{
    return n && __atomic_load_n(&n->key, __ATOMIC_ACQUIRE) ==
                    (alps_hash_reverse_(b) | ALPS_NODE_READY_);
}

/* How many buckets are in use, as a power of two. */
ALPS_FN_ unsigned alps_node_shift_(const alps_names *s)
{
    uint64_t shift = alps_load_(&s->shift);
    return shift < ALPS_NAMES_SHIFT                       ? ALPS_NAMES_SHIFT
           : shift > ALPS_NAMES_SHIFT + ALPS_NAMES_TABLES ? ALPS_NAMES_SHIFT
                                                          : (unsigned)shift;
}

/* The bucket of `key`. */
ALPS_FN_ uint64_t alps_node_number_(const alps_names *s, uint64_t key)
{
    return alps_hash_reverse_(key) & ((1ull << alps_node_shift_(s)) - 1);
}

/* The node to begin at for bucket `b`: its own, or that of the next smaller
 * bucket that it was once a part of. NULL: not even the first is there. */
ALPS_FN_ alps_node *alps_node_begin_(const alps_handle *h, alps_names *s,
                                     uint64_t b)
{
    for (;; b ^= 1ull << alps_high_bit_(b)) {
        alps_node *n = alps_node_bucket_(h, s, b);
        if (alps_node_ready_(n, b))
            return n;
        if (!b)
            return NULL;
    }
}

/* What a walk asks of each node that has the key: whether it is the one. */
typedef int alps_node_is(const alps_handle *h, alps_off off, const void *what);

/* Walks from `from` to the node with the key that `is` the one: 1; or to where
 * it should be: 0; or ALPS_ECORRUPT. */
ALPS_FN_ int alps_node_seek_(const alps_handle *h, alps_node *from,
                             alps_place *p, alps_node_is *is, const void *what)
{
    uint64_t last = alps_node_order_(from);
    unsigned same = 0;
    for (p->before = from;; p->steps++) {
        p->off = __atomic_load_n(&p->before->next, __ATOMIC_ACQUIRE);
        if (!p->off)
            return 0;
        alps_node *n = alps_node_at_(h, p->off);
        uint64_t order = n ? alps_node_order_(n) : 0;
        same = order == last ? same + 1 : 0;
        if (!n || order < last || same > ALPS_NODE_SAME_)
            return ALPS_ECORRUPT;
        if (order > p->key)
            return 0;
        if (order == p->key && is(h, p->off, what))
            return 1;
        p->before = n;
        last = order;
    }
}

/* The node of a bucket is the one at its place. */
ALPS_FN_ int alps_node_own_(const alps_handle *h, alps_off off,
                            const void *what)
{
    return alps_address_(h, off) == what;
}

/* The bucket that comes `i` after `b` in the list, of 2^`shift`; or 0 where the
 * list ends. */
ALPS_FN_ uint64_t alps_node_after_(uint64_t b, unsigned shift, unsigned i)
{
    uint64_t turn = alps_hash_reverse_(b) >> (64 - shift);
    if ((turn + i) >> shift)
        return 0;
    return alps_hash_reverse_((turn + i) << (64 - shift));
}

/* Does one step of linking for bucket `b`, of which there may be no node. Step
 * 0: the node is made. Step 1: it is linked; what it leads to is as it was, for
 * of several the first in the list comes first. Step 2: it is ready. The first
 * two are each durable before the next. */
ALPS_CORE_ int alps_node_step_(alps_handle *h, alps_names *s, uint64_t b,
                               int step, const alps_tables *t)
{
    alps_node *n = alps_node_bucket_(h, s, b), *from;
    alps_place p;
    memset(&p, 0, sizeof p);
    p.key = alps_hash_reverse_(b);
    if (!n || alps_node_ready_(n, b))
        return ALPS_OK;
    if (step == 2) {
        __atomic_store_n(&n->key, p.key | ALPS_NODE_READY_, __ATOMIC_RELEASE);
        return ALPS_OK; // should it be lost, this is done again
    }
    from = alps_node_begin_(h, s, b);
    int is =
        from ? alps_node_seek_(h, from, &p, alps_node_own_, n) : ALPS_ECORRUPT;
    if (is < 0)
        return is;
    if (step == 0) {
        if (is)
            return ALPS_OK; // by one who died, and it was durable before
        alps_store_(&n->key, p.key);
        alps_store_(&n->next, p.off);
        return t->policy->flush(&h->map, n, sizeof *n);
    }
    if (!is)
        __atomic_store_n(&p.before->next, alps_offset_(h, n), __ATOMIC_RELEASE);
    return t->policy->flush(&h->map, &p.before->next, 8);
}

/* Makes bucket `b` one to begin at, and some that follow it in the list. Two
 * fences. Under the lock of names. */
ALPS_CORE_ int alps_node_link_(alps_handle *h, alps_names *s, uint64_t b,
                               const alps_tables *t)
{
    unsigned shift = alps_node_shift_(s);
    int err = ALPS_OK;
    for (int step = 0; !err && step < 3; step++) {
        for (unsigned i = 0; !err && i < ALPS_NODE_BATCH; i++) {
            uint64_t at = alps_node_after_(b, shift, i);
            if (at || (!b && !i))
                err = alps_node_step_(h, s, at, step, t);
        }
        if (!err && step < 2)
            err = t->fence(&h->map);
    }
    return err;
}

/* Whether there are more names than buckets, by how far apart they are from
 * `from` on: hashes are as good as random. */
ALPS_FN_ int alps_node_crowded_(const alps_handle *h, const alps_node *from,
                                unsigned shift)
{
    uint64_t first = alps_node_order_(from), last = ~0ull, n = 0;
    for (unsigned steps = 0; n < 64 && steps < 4096; steps++) {
        from = alps_node_at_(h, __atomic_load_n(&from->next, __ATOMIC_ACQUIRE));
        if (!from)
            break;
        if (alps_node_order_(from) & 1)
            n++;
    }
    if (from)
        last = alps_node_order_(from);
    return last > first && n > (last - first) >> (64 - shift);
}

/* Doubles the buckets. Where there is no room for that, names are found as
 * before, only slower. Under the lock of names. */
ALPS_CORE_ void alps_node_grow_(alps_handle *h, alps_names *s,
                                const alps_tables *t)
{
    unsigned shift = alps_node_shift_(s), i = shift - ALPS_NAMES_SHIFT;
    if (i >= ALPS_NAMES_TABLES)
        return;
    if (!s->table[i]) {
        uint64_t n = sizeof(alps_node) << shift;
        void *p = alps_link_reserve_(h, n, t);
        if (!p)
            return;
        memset(p, 0, n);
        if (alps_link_publish_(h, &s->table[i], p, t))
            return;
    }
    alps_store_(&s->shift, shift + 1); // should it be lost, this is done again
}

/* Makes what names are found by. Under the lock of names. */
ALPS_CORE_ int alps_node_found_(alps_handle *h, const alps_tables *t)
{
    alps_names *s = (alps_names *)alps_link_reserve_(h, sizeof(alps_names), t);
    if (!s)
        return h->error;
    memset(s, 0, sizeof *s);
    s->shift = ALPS_NAMES_SHIFT;
    s->first[0].key = ALPS_NODE_READY_;
    return alps_link_publish_(h, &h->super->names, s, t);
}
