/* recover.h -- what is done for those who died
 *
 * After a crash the first opener redoes the live records of all lanes, oldest
 * first; nothing else is read, so it takes the same time for a large region.
 * When one process of several dies, whoever meets its lock or its lanes does
 * the same for those lanes, and gives back what the dead one held. A death in
 * here leaves it to the next. */
#pragma once
#include "mend.h"

/* Where the live record of the lanes of `owner` (0: of all) is that comes next
 * after the one with the order `*order`, and its order; NULL: there is none
 * left. Records come by sequence; those of one sequence, of lanes that each
 * count for themselves, by lane. */
ALPS_FN_ const alps_record *alps_redo_next_(const alps_handle *h,
                                            uint64_t owner, uint64_t *order,
                                            alps_lane **lane)
{
    const alps_record *best = NULL;
    uint64_t first = ~0ull;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        if (owner && alps_load_(&h->lanes[i].lock) != owner)
            continue;
        for (unsigned k = 0; k < ALPS_RING; k++) {
            const alps_record *r = &h->lanes[i].ring[k];
            uint64_t mine = r->seq << 12 | i; // ALPS_LANES_MAX fits
            if (mine <= *order || mine >= first || !alps_record_live_(h, i, r))
                continue;
            best = r;
            first = mine;
            *lane = &h->lanes[i];
        }
    }
    *order = first;
    return best;
}

/* Whether any lane has a live record, or something to undo. */
ALPS_FN_ int alps_redo_pending_(const alps_handle *h)
{
    alps_lane *lane;
    uint64_t order = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_undo_live_(h, i))
            return 1;
    return alps_redo_next_(h, 0, &order, &lane) != NULL;
}

/* Retires what is live in lane `i`. Durable with the next fence. */
ALPS_CORE_ int alps_redo_retire_(alps_handle *h, unsigned i,
                                 const alps_tables *t)
{
    uint64_t seq = 0;
    uint64_t tx = alps_undo_live_(h, i) ? h->lanes[i].mark.seq : 0;
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *r = &h->lanes[i].ring[k];
        if (!alps_record_live_(h, i, r))
            continue;
        if ((r->op & 15) != ALPS_OP_COMMIT)
            seq = r->seq > seq ? r->seq : seq;
        else if (r->value > tx)
            tx = r->value;
    }
    ALPS_BARRIER_();
    if (seq)
        alps_store_(&h->done[i].seq, seq);
    if (tx)
        alps_store_(&h->done[i].tx, tx >> ALPS_NUMBER_SHIFT_);
    return t->policy->flush(&h->map, &h->done[i], 16);
}

/* Carries out the live record `r`, for the lane of a process that is dead: of
 * `owner`, while others go on; or all are (0). */
ALPS_CORE_ int alps_redo_one_(alps_handle *h, alps_lane *lane,
                              const alps_record *r, uint64_t owner,
                              const alps_tables *t)
{
    if ((r->op & 15) == ALPS_OP_COMMIT)
        return alps_commit_ask_(
            h, r, owner ? ALPS_COMMIT_GO_ON_ : ALPS_COMMIT_REDO_, t);
    return owner && !lane->apply ? alps_redo_settle_(h, r, t)
                                 : alps_redo_(h, lane, r, t);
}

/* Redoes the live records of the lanes of `owner` (0: of all). Of a process
 * that others outlive only the one of each lane is redone that it was carrying
 * out. All are durable before any is redone, and what they change is before
 * they are retired, which is left to who calls this. Two fences where there was
 * a record, else none. */
ALPS_CORE_ int alps_redo_all_(alps_handle *h, uint64_t owner,
                              const alps_tables *t)
{
    alps_lane *lane = NULL;
    const alps_record *r;
    uint64_t order = 0, n = 0;
    int err = ALPS_OK;
    for (; !err && (r = alps_redo_next_(h, owner, &order, &lane)) != NULL; n++)
        err = (r->op & 15) == ALPS_OP_COMMIT
                  ? alps_commit_ask_(h, r, ALPS_COMMIT_PREPARE_, t)
                  : alps_redo_prepare_(h, r, t);
    if (!err && n)
        err = t->fence(&h->map);
    order = 0;
    if (!err) // first: with pages, what is redone may have come after an abort
        err = alps_commit_undo_(h, owner, &n, t);
    while (!err && (r = alps_redo_next_(h, owner, &order, &lane)) != NULL)
        err = alps_redo_one_(h, lane, r, owner, t);
    return err || !n ? err : t->fence(&h->map);
}

/* Whether this process is in the region: if not, why. */
ALPS_CORE_ int alps_ready_(alps_handle *h, const alps_tables *t)
{
    return ALPS_LIKELY_(alps_self_(h) != 0) ? ALPS_OK
                                            : t->slow(h, ALPS_SLOW_SELF, 0, 0);
}

/* Gives back what `word` of a lane names, if it still is held: a block, or an
 * object that was pinned. The lane forgets it first: were it after, and we died
 * in between, it could name what is another's by then. */
ALPS_COLD_ void alps_lane_give_(alps_handle *h, uint64_t *word,
                                const alps_tables *t)
{
    alps_block b;
    alps_object o;
    alps_off off = alps_load_(word);
    if (!off)
        return;
    if (alps_object_at_(h, off, &o) == 1) {
        alps_object_pin_(&o, 0);
    } else {
        int code = alps_block_lock_(h, off, &b, 1, t);
        alps_store_(word, 0);
        ALPS_BARRIER_();
        if (code == ALPS_HELD)
            alps_give_back_(h, &b);
        if (code >= 0)
            alps_block_unlock_(&b);
    }
    alps_store_(word, 0);
}

/* Gives back the reservations of slot `number` in shard `s`. */
ALPS_CORE_ void alps_held_reap_(alps_handle *h, alps_shard *s, unsigned number,
                                const alps_tables *t)
{
    alps_shard_lock_(h, s, 1, t);
    const uint64_t *table = alps_held_table_(h, s);
    uint64_t n = 1ull << alps_held_shift_(s);
    for (uint64_t i = 0; i < n; i++) {
        alps_block b;
        alps_off off = (table[i] >> 16) * ALPS_GRANULE;
        if (table[i] <= ALPS_HELD_GONE_ || (table[i] & 0xffff) != number)
            continue;
        int code = alps_block_at_(h, off, &b);
        if (code == ALPS_HELD)
            alps_block_build_(h, &b); // while it is still held
        alps_held_drop_(h, s, i);
        if (code == ALPS_HELD)
            alps_give_back_(h, &b);
    }
    alps_held_fold_(h, s, t);
    alps_shard_unlock_(s);
}

/* Writes back what says whether the thing at `off` is free, which the dead
 * `owner` had in hand; where all are dead (0), the slab of an object is written
 * back by who finds it. */
ALPS_CORE_ int alps_held_flush_(alps_handle *h, alps_off off, uint64_t owner,
                                const alps_tables *t)
{
    alps_block b;
    alps_object o;
    if (alps_object_at_(h, off, &o) == 1)
        return owner ? t->policy->flush(&h->map, o.pair, sizeof *o.pair)
                     : ALPS_OK;
    if (alps_block_at_(h, off, &b) == ALPS_HELD)
        return alps_codes_flush_(h, &b.zone, b.unit, 1, t);
    return ALPS_OK;
}

/* The same for what the thread of a lane retired last. */
ALPS_CORE_ int alps_retired_flush_(alps_handle *h, const alps_lane *lane,
                                   uint64_t owner, const alps_tables *t)
{
    const alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (!c || !c->count || c->count > ALPS_CHUNK)
        return ALPS_OK;
    return alps_held_flush_(h, c->thing[c->count - 1], owner, t);
}

/* Makes durable what the lanes of `owner` (0: all) were at: redoes its records,
 * retires them (of all: the next epoch does), and writes back what was about to
 * be free. Durable with the next fence. */
ALPS_CORE_ int alps_lanes_settle_(alps_handle *h, uint64_t owner,
                                  const alps_tables *t)
{
    int err = alps_redo_all_(h, owner, t);
    for (unsigned i = 0; !err && i < h->at.lane_count; i++) {
        const alps_lane *lane = &h->lanes[i];
        if (owner && alps_load_(&lane->lock) != owner)
            continue;
        if (owner)
            err = alps_redo_retire_(h, i, t);
        if (!err && alps_load_(&lane->held))
            err = alps_held_flush_(h, lane->held, owner, t);
        if (!err)
            err = alps_retired_flush_(h, lane, owner, t);
    }
    return err;
}

/* Ends what the lanes of `owner` are at: gives back what was held for an
 * operation, frees the lanes. Under the lock. */
ALPS_CORE_ int alps_lanes_reap_(alps_handle *h, uint64_t owner,
                                const alps_tables *t)
{
    int err = alps_shards_reap_(h, owner, t);
    if (!err)
        err = alps_lanes_settle_(h, owner, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (alps_load_(&lane->lock) != owner)
            continue;
        alps_commit_reap_(h, lane, t);
        alps_lane_give_(h, &lane->held, t);
        alps_lane_give_(h, &lane->pending, t);
        alps_limbo_leave_(h, lane, t);
        alps_lane_free_(h, lane);
    }
    alps_store_(&h->shared->swept, 0);
    alps_store_(&h->shared->cursor, 0);
    return ALPS_OK;
}

/* Ends the part of `owner`, who is dead or leaves: of its lanes, and of its
 * slot, with the reservations it held. Its slabs are found by sweeping. Under
 * the lock. */
ALPS_CORE_ int alps_reap_(alps_handle *h, uint64_t owner, const alps_tables *t)
{
    unsigned number = (unsigned)(owner & 0xffff);
    if (number >= h->at.slot_count || alps_slot_owner_(h, number) != owner)
        return ALPS_OK;
    int err = t->slow(h, ALPS_SLOW_ENDED, owner, 0);
    if (err)
        return err;
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_held_reap_(h, s, number, t);
    alps_slot_free_(h, number);
    h->shared->reaped++;
    if (owner != alps_self_(h))
        alps_store_(&h->shared->deaths, h->shared->deaths + 1);
    return ALPS_OK;
}

/* Reaps every dead process. Under the lock. */
ALPS_CORE_ int alps_reap_dead_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < h->at.slot_count; i++) {
        uint64_t owner = alps_slot_owner_(h, i);
        if (owner && !alps_owner_lives_(h, owner, t))
            err = t->slow(h, ALPS_SLOW_REAP, owner, 0);
    }
    return err;
}

/* Makes a shard anew: in this epoch it has no extent yet. */
ALPS_FN_ void alps_shard_reset_(alps_handle *h, alps_shard *s, uint64_t epoch)
{
    s->lock = s->idle = 0;
    s->built = epoch << ALPS_BUILD_EPOCH_ | (uint64_t)(s - h->shards);
    alps_index_reset_(s);
    if (s != h->top)
        s->cursor = ~0ull;
    alps_held_reset_(h, s);
}

/* Makes the state that dies with the epoch anew: locks, slots, indexes,
 * reservations. */
ALPS_FN_ void alps_shared_reset_(alps_handle *h, uint64_t epoch)
{
    uint64_t seq = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (h->done[i].seq > seq)
            seq = h->done[i].seq;
        if (h->done[i].tx > seq)
            seq = h->done[i].tx;
        lane->freeing = 0;
        lane->lock = lane->held = lane->next = lane->apply = 0;
        lane->token = lane->pending = lane->pin = lane->limbo = lane->empty = 0;
    }
    for (unsigned i = 0; i < h->at.lane_count; i++)
        h->lanes[i].seq = seq;
    for (unsigned i = 0; i < h->at.slot_count; i++) {
        h->slots[i].generation = (epoch & 0xffffff) << 24;
        h->slots[i].pid = 0;
    }
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_reset_(h, s, epoch);
    h->shared->lock = 0;
    h->shared->naming = h->shared->named = 0;
    h->shared->cursor = 0;
    h->shared->seq = seq;
    h->shared->tokens = 0;
    h->shared->empty = 0;
    h->shared->idle = 0;
    h->shared->idle_max = (ALPS_IDLE_MAX >> h->at.extent_shift) + 1;
    alps_limbo_reset_(h);
    alps_loose_reset_(h);
}

/* Begins an epoch: nobody else is attached. What the last one left undone is
 * done first, and what its processes stored and did not come to write back is
 * written back: they may have been killed, and power fail only now. Both share
 * a fence with the number of the new one, which retires the records, and is
 * durable before an extent can carry it, so that no extent is believed built
 * that is not. */
ALPS_CORE_ int alps_epoch_begin_(alps_handle *h, const alps_tables *t)
{
    uint64_t epoch = (h->super->epoch >> 16) + 1;
    int err = alps_lanes_settle_(h, 0, t);
    if (!err)
        err = alps_marks_flush_(h, t);
    alps_store_(&h->super->epoch, alps_seal_(epoch));
    if (!err)
        err = t->policy->flush(&h->map, &h->super->epoch, 8);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        alps_shared_reset_(h, epoch);
    return err;
}

/* Takes the lock at `off` when it is not free. From a dead owner that of a
 * shard comes with work to do, and then the dead one is reaped; unless another
 * lock is held, which comes after those that reaping takes: then that is left
 * to the next who finds it dead. Names are as they should be when what the dead
 * one was carrying out is completed. */
ALPS_CORE_ int alps_lock_slow_(alps_handle *h, alps_off off, uint64_t inner,
                               const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    for (;;) {
        uint64_t dead = alps_lock_wait_(h, word, t);
        if (!dead)
            return ALPS_OK;
        if (word == &h->shared->lock) {
            alps_loose_reset_(h);
            alps_limbo_mend_(h, t);
            return t->slow(h, ALPS_SLOW_REAP, dead, 0);
        }
        if (word == &h->shared->naming) {
            alps_store_(&h->shared->named, 0);
            alps_lock_(h, t);
            int late = t->slow(h, ALPS_SLOW_REAP, dead, 0);
            alps_unlock_(h);
            return late;
        }
        alps_shard *s = &h->shards[(off - h->at.shards) / sizeof(alps_shard)];
        int err = t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, dead);
        if (inner)
            return err;
        alps_shard_unlock_(s);
        alps_lock_(h, t);
        t->slow(h, ALPS_SLOW_REAP, dead, 0);
        alps_unlock_(h);
    }
}

/* The sequence of a live record of lane `i`, or 0. */
ALPS_FN_ uint64_t alps_lane_at_(const alps_handle *h, unsigned i)
{
    for (unsigned k = 0; k < ALPS_RING; k++)
        if (alps_record_live_(h, i, &h->lanes[i].ring[k]))
            return h->lanes[i].ring[k].seq;
    return 0;
}

/* Waits for what others are carrying out now: to be done, or to be that of a
 * dead process. One thread of a process that is killed may be gone, and with it
 * a lock of the program, while another one has yet to get a processor to die
 * on. Who is stopped is not waited for. */
ALPS_CORE_ void alps_records_wait_(alps_handle *h, const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        uint64_t number = owner & 0xffff;
        if (!owner || owner == alps_self_(h) || number >= h->at.slot_count)
            continue;
        uint64_t seq = alps_lane_at_(h, i);
        for (unsigned round = 0; seq && round < 20000; round++) {
            struct timespec nap = {0, 50000};
            if (alps_lane_at_(h, i) != seq ||
                alps_load_(&h->lanes[i].lock) != owner ||
                !alps_owner_lives_(h, owner, t) ||
                alps_process_look_(alps_load_(&h->slots[number].pid)).stopped)
                break;
            nanosleep(&nap, NULL);
        }
    }
}

/* Reaps every dead process; see alps_reap. */
ALPS_CORE_ int alps_reap_now_(alps_handle *h, const alps_tables *t)
{
    int ready = alps_ready_(h, t);
    if (ready)
        return ready;
    alps_process_wait_(h, t);
    alps_records_wait_(h, t);
    alps_lock_(h, t);
    int err = alps_reap_dead_(h, t);
    alps_unlock_(h);
    return err;
}

/* The lane is busy: that of a dead process is freed, for others we wait. */
ALPS_CORE_ int alps_lanes_slow_(alps_handle *h, uint64_t round,
                                const alps_tables *t)
{
    if (round % 1024 == 255)
        return t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    ALPS_WAIT_(round < 64 ? 0 : 100 + (unsigned)(round % 800));
    return ALPS_OK;
}

/* Lets go of what readers are done with, also of what this thread retired.
 * Readers that died are reaped. Answers whether anything came of it. Under the
 * lock. */
ALPS_CORE_ int alps_limbo_flush_(alps_handle *h, const alps_tables *t)
{
    uint64_t dead = 0;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    if (seat && alps_load_(&seat->cache->lane->limbo))
        alps_limbo_close_(h, seat->cache->lane);
    alps_off first = h->shared->limbo;
    alps_limbo_drain_(h, &dead, t);
    if (dead && t->slow(h, ALPS_SLOW_REAP, dead, 0) == ALPS_OK)
        alps_limbo_drain_(h, &dead, t);
    return h->shared->limbo != first;
}

/* What readers are done with, and what this thread and nobody has at hand, is
 * free. Answers how much came of it. Under the lock. */
ALPS_CORE_ int alps_at_hand_(alps_handle *h, const alps_tables *t)
{
    int some = alps_limbo_flush_(h, t);
    return some + (alps_thread_trim_(h, t) + alps_loose_trim_(h, t) > 0);
}

/* Brings back what the dead hold, or else what is at hand: before the region is
 * full. ALPS_EFULL: there is nothing. */
ALPS_CORE_ int alps_recover_more_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    uint64_t before = h->shared->reaped;
    int err = alps_reap_dead_(h, t);
    uint64_t n = h->shared->reaped - before;
    if (!err && !n) {
        n = h->shared->swept < alps_extents_(h); // sweeping may bring some
        n += (uint64_t)t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    }
    alps_unlock_(h);
    return err ? err : n ? ALPS_OK : ALPS_EFULL;
}

/* The child of a fork uses what its parent had open. Memory of one process goes
 * on as a copy, of which the child is the only user: what the threads of the
 * parent were at, is ended. A region that others see is not for two. */
ALPS_CORE_ int alps_self_slow_(alps_handle *h, const alps_tables *t)
{
    if (!h->attached)
        return alps_opened_(h) ? ALPS_EREADONLY : ALPS_EINVAL;
    if (h->map.medium != ALPS_MEDIUM_ANON)
        return ALPS_EFORK;
    uint64_t owner = alps_slot_owner_(h, h->slot);
    alps_store_(&h->shared->lock, owner);
    alps_store_(&h->local->owner, owner);
    alps_store_(&h->shared->naming, 0);
    alps_store_(&h->shared->named, 0);
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_store_(&s->lock, 0);
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        alps_shard_lock_(h, s, 1, t);
        t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, owner);
        alps_shard_unlock_(s);
    }
    alps_loose_reset_(h);
    alps_limbo_mend_(h, t);
    int err = t->slow(h, ALPS_SLOW_ENDED, owner, 0);
    alps_unlock_(h);
    return err;
}
