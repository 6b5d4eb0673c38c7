/* mend.h -- a lock of a shard that its owner died with
 *
 * Who waits for it takes it over, with an index that may be half changed, a
 * record that may be half carried out, and words of lanes and of the table of
 * reservations that may be ahead of the codes or behind them. All of that is
 * put right here, under that lock, and none of it can be of another shard. */
#pragma once
#include "commit.h"

/* Writes back where the region ends, and where its extents and slabs are: what
 * is changed under locks. Not the kinds of extents: who uses one writes that
 * back. */
ALPS_CORE_ int alps_marks_flush_(alps_handle *h, const alps_tables *t)
{
    uint64_t end =
        alps_size_(h) < h->at.slab_end ? alps_size_(h) : h->at.slab_end;
    uint64_t extents = alps_extents_(h);
    int err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->policy->flush(&h->map, h->codes, extents / 4 + 1);
    if (!err)
        err = t->policy->flush(&h->map, h->slabs,
                               (end >> h->at.slab_shift) / 8 + 1);
    return err;
}

/* What a lane was cutting loose, see link.h, is held back for readers and not
 * for the lane: it was noted before anything else. Under the lock of `s`. */
ALPS_FN_ void alps_lane_retire_(const alps_handle *h, alps_lane *lane,
                                alps_shard *s, alps_off off)
{
    const alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (!c || !c->count || c->count > ALPS_CHUNK ||
        c->thing[c->count - 1] != off)
        return;
    if (alps_held_slot_(h, s, off) < 0 && !alps_held_full_(s))
        alps_held_add_(h, s, off, ALPS_HELD_LIMBO_);
    ALPS_BARRIER_();
    alps_store_(&lane->held, 0);
}

/* Completes the record that a lane was carrying out under the lock of `s` when
 * its process died: it is retired before anybody can go further. */
ALPS_CORE_ int alps_lane_complete_(alps_handle *h, alps_lane *lane,
                                   alps_shard *s, const alps_tables *t)
{
    unsigned number = (unsigned)(lane - h->lanes);
    int err = ALPS_OK;
    for (unsigned k = 0; !err && k < ALPS_RING; k++) {
        const alps_record *r = &lane->ring[k];
        alps_block b;
        if ((r->op & 15) == ALPS_OP_COMMIT) {
            if (alps_record_live_(h, number, r))
                err = alps_commit_complete_(h, lane, r, s, t);
            continue;
        }
        if (r->op & ALPS_OP_SMALL || !alps_record_live_(h, number, r) ||
            alps_block_at_(h, r->block, &b) < 0 || b.shard != s)
            continue;
        err = alps_redo_prepare_(h, r, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            err = alps_redo_(h, lane, r, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            err = alps_record_done_(h, lane, r->seq, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            alps_lane_retire_(h, lane, s, r->block);
        if (!err)
            alps_store_(&lane->apply, 0);
    }
    return err;
}

/* A lane of a dead process names a block of `s` as held that is not, because it
 * died before it was or after: forgets it. */
ALPS_FN_ void alps_lane_mend_(const alps_handle *h, alps_lane *lane,
                              const alps_shard *s)
{
    alps_block b;
    alps_object o;
    alps_off off = alps_load_(&lane->held);
    if (!off || alps_object_at_(h, off, &o) == 1)
        return;
    int code = alps_block_at_(h, off, &b);
    if (code >= 0 && code != ALPS_HELD && b.shard == s)
        alps_store_(&lane->held, 0);
}

/* Forgets reservations of what is not held, and counts the others anew. */
ALPS_FN_ void alps_held_mend_(const alps_handle *h, alps_shard *s)
{
    uint64_t *table = alps_held_table_(h, s);
    uint64_t used = 0, mask = (1ull << alps_held_shift_(s)) - 1;
    for (uint64_t i = 0; i <= mask; i++) {
        alps_block b;
        if (table[i] > ALPS_HELD_GONE_ &&
            alps_block_at_(h, (table[i] >> 16) * ALPS_GRANULE, &b) != ALPS_HELD)
            table[i] = ALPS_HELD_GONE_;
        used += table[i] != ALPS_HELD_EMPTY_;
    }
    s->held_used = used;
    for (uint64_t i = 0; i <= mask; i++)
        alps_held_clear_(s, table, mask, i);
}

/* The lock of `s`, which we have, comes from the dead `owner` with an index
 * that may be half changed: it is void. What was begun under the lock is
 * completed or undone; what else the dead one left is for alps_reap_. */
ALPS_CORE_ int alps_shard_mend_(alps_handle *h, alps_shard *s, uint64_t owner,
                                const alps_tables *t)
{
    alps_index_reset_(s);
    int err = alps_marks_flush_(h, t);
    if (!err)
        err = t->fence(&h->map);
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (alps_load_(&lane->lock) != owner)
            continue;
        if (!err && alps_load_(&lane->apply))
            err = alps_lane_complete_(h, lane, s, t);
        alps_lane_mend_(h, lane, s);
    }
    alps_held_mend_(h, s);
    alps_store_(&h->shared->cursor, 0);
    if (s != h->top) { // a table of reservations may have been about to move
        alps_shard_lock_(h, h->top, 1, t);
        alps_index_reset_(h->top);
        alps_shard_unlock_(h->top);
    }
    return err;
}

/* Takes the locks of shards over that the dead `owner` has. */
ALPS_CORE_ int alps_shards_reap_(alps_handle *h, uint64_t owner,
                                 const alps_tables *t)
{
    int err = ALPS_OK;
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        uint64_t was = owner;
        if (owner == alps_self_(h) || alps_load_(&s->lock) != owner ||
            !__atomic_compare_exchange_n(&s->lock, &was, alps_self_(h), 0,
                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        int late = t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, owner);
        err = err ? err : late;
        alps_shard_unlock_(s);
    }
    return err;
}
