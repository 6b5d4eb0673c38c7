/* limbo.h -- what was retired, and waits for readers to be gone
 *
 * Readers that take no lock say that they read: their lane's `pin` holds the
 * era they began in. The era moves on when all who read are in it; so what was
 * unlinked in one era is seen by nobody two eras later. Until then it is held
 * back: an object by its pin, a block by an entry of a table of reservations
 * that names no process. Its place is in a chunk: first in that of the lane
 * that retired it, then, when that is full or its thread is gone, in the
 * region's list, oldest first. All of this is index: after a crash what was
 * retired is free. Epoch-based reclamation (Fraser: Practical lock-freedom,
 * 2004), for readers of several processes. Runs under the lock of the
 * region. */
#pragma once
#include "loose.h"

/* In the table of reservations: held back for readers, by no process. */
#define ALPS_HELD_LIMBO_ 0xffffu

/* The chunk at `off`; NULL where none can be. */
ALPS_FN_ alps_chunk *alps_limbo_chunk_(const alps_handle *h, alps_off off)
{
    alps_block b;
    if (!off || alps_block_at_(h, off, &b) != ALPS_HELD || b.level)
        return NULL;
    return (alps_chunk *)alps_address_(h, off);
}

/* Lets go of the block at `off`, if it is held back. */
ALPS_CORE_ void alps_limbo_give_block_(alps_handle *h, alps_off off,
                                       const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 1, t);
    if (code == ALPS_HELD &&
        alps_held_slot_(h, b.shard, off) == (int)ALPS_HELD_LIMBO_) {
        alps_held_drop_(h, b.shard, alps_held_find_(h, b.shard, off));
        if (h->shared->leaving == off) // a chunk, which may soon be another's
            alps_store_(&h->shared->leaving, 0);
        ALPS_BARRIER_();
        alps_give_back_(h, &b);
        alps_held_fold_(h, b.shard, t);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
}

/* Whether the block at `off` is held back; or, for a chunk that a dead process
 * was about to use, only reserved. */
ALPS_CORE_ int alps_limbo_holds_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 1, t);
    int holds = code == ALPS_HELD &&
                alps_held_slot_(h, b.shard, off) == (int)ALPS_HELD_LIMBO_;
    if (code >= 0)
        alps_block_unlock_(&b);
    return holds;
}

/* Lets go of one thing. */
ALPS_CORE_ void alps_limbo_give_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_object o;
    if (alps_object_at_(h, off, &o) != 1) {
        t->slow(h, ALPS_SLOW_LET_GO, off, 0);
        return;
    }
    alps_object_pin_(&o, 0);
    if (!alps_slab_tell_(h, o.slab, off))
        t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, off), 0);
}

/* The region's list goes on behind its first chunk, which is empty. */
ALPS_CORE_ void alps_limbo_shift_(alps_handle *h, alps_off off,
                                  const alps_tables *t)
{
    const alps_chunk *c = alps_limbo_chunk_(h, off);
    if (h->shared->limbo == off)
        h->shared->limbo = c ? c->next : 0;
    if (!h->shared->limbo)
        h->shared->limbo_last = 0;
    t->slow(h, ALPS_SLOW_LET_GO, off, 0);
}

/* Empties the first chunk of the list, from its end. */
ALPS_CORE_ void alps_limbo_empty_(alps_handle *h, alps_off off,
                                  const alps_tables *t)
{
    alps_chunk *c = alps_limbo_chunk_(h, off);
    alps_store_(&h->shared->leaving, off);
    while (c && c->count && c->count <= ALPS_CHUNK) {
        alps_limbo_give_(h, c->thing[c->count - 1], t);
        ALPS_BARRIER_();
        alps_store_(&c->count, c->count - 1);
    }
    alps_limbo_shift_(h, off, t);
    alps_store_(&h->shared->leaving, 0);
}

/* Puts the chunk of a lane, which takes no more, at the end of the list. */
ALPS_FN_ void alps_limbo_close_(alps_handle *h, alps_lane *lane)
{
    alps_off off = alps_load_(&lane->limbo);
    alps_chunk *c = alps_limbo_chunk_(h, off);
    alps_chunk *last = alps_limbo_chunk_(h, h->shared->limbo_last);
    if (c && off != h->shared->limbo_last) {
        c->next = 0;
        c->era = h->shared->era;
        ALPS_BARRIER_();
        if (last)
            alps_store_(&last->next, off);
        else
            alps_store_(&h->shared->limbo, off);
        alps_store_(&h->shared->limbo_last, off);
    }
    ALPS_BARRIER_();
    alps_store_(&lane->limbo, 0);
}

/* Whether what was held back for a thing that left is held back for another
 * reason: it was handed out since, and freed or retired again. */
ALPS_FN_ int alps_limbo_names_(const alps_handle *h, alps_off off)
{
    alps_off at = h->shared->limbo;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_chunk *c = alps_limbo_chunk_(h, h->lanes[i].limbo);
        if (alps_load_(&h->lanes[i].held) == off)
            return 1;
        for (uint64_t k = 0; c && k < c->count && k < ALPS_CHUNK; k++)
            if (c->thing[k] == off)
                return 1;
    }
    for (uint64_t n = alps_extents_(h) * h->at.granules; at && n; n--) {
        const alps_chunk *c = alps_limbo_chunk_(h, at);
        if (!c)
            break;
        for (uint64_t k = 0; k < c->count && k < ALPS_CHUNK; k++)
            if (c->thing[k] == off && at != h->shared->leaving)
                return 1;
        at = c->next;
    }
    return 0;
}

/* The lock was taken from a dead process, which may have died in here: finds
 * the end of the list, and finishes with the thing that was leaving. */
ALPS_CORE_ void alps_limbo_mend_(alps_handle *h, const alps_tables *t)
{
    alps_off off = h->shared->leaving;
    alps_chunk *c = alps_limbo_chunk_(h, h->shared->limbo);
    if (!c)
        h->shared->limbo = h->shared->limbo_last = 0;
    for (uint64_t n = alps_extents_(h) * h->at.granules; c && n; n--) {
        h->shared->limbo_last = alps_offset_(h, c);
        c = alps_limbo_chunk_(h, c->next);
    }
    if (!off)
        return;
    c = alps_limbo_chunk_(h, off);
    if (c && c->count && c->count <= ALPS_CHUNK) {
        alps_off thing = c->thing[c->count - 1];
        if (!alps_limbo_names_(h, thing))
            alps_limbo_give_(h, thing, t);
        alps_store_(&c->count, c->count - 1);
        alps_store_(&h->shared->leaving, 0);
    } else {
        alps_limbo_shift_(h, off, t);
        alps_store_(&h->shared->leaving, 0);
    }
}

/* A lane's thread is gone: its chunk goes to the region. What it was retiring
 * at the end, and did not come to free, is not retired. */
ALPS_CORE_ void alps_limbo_leave_(alps_handle *h, alps_lane *lane,
                                  const alps_tables *t)
{
    alps_block b;
    alps_object o;
    if (!alps_limbo_holds_(h, alps_load_(&lane->limbo), t))
        alps_store_(&lane->limbo, 0);
    alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (c && c->count && c->count <= ALPS_CHUNK) {
        alps_off off = c->thing[c->count - 1];
        int is = alps_object_at_(h, off, &o);
        if (is == 1 && alps_object_live_(&o)) {
            alps_object_pin_(&o, 0);
            c->count--;
        } else if (is != 1 && alps_block_at_(h, off, &b) != ALPS_HELD) {
            c->count--; // its entry is of what is not held: forgotten too
        }
    }
    alps_limbo_close_(h, lane);
}

/* Lets the next era begin if all who read are in this one. Who is not, and is
 * dead, is in none: its owner through `dead`. */
ALPS_CORE_ int alps_era_next_(alps_handle *h, uint64_t *dead,
                              const alps_tables *t)
{
    uint64_t era = h->shared->era;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t pin = __atomic_load_n(&h->lanes[i].pin, __ATOMIC_SEQ_CST);
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        if (!pin || pin == era)
            continue;
        if (owner && !alps_owner_lives_(h, owner, t))
            *dead = owner;
        return 0;
    }
    __atomic_store_n(&h->shared->era, era + 1, __ATOMIC_SEQ_CST);
    return 1;
}

/* Lets go of all that no reader can have any more. A reader that does not end
 * is waited for; one that is dead is answered through `dead`. */
ALPS_CORE_ void alps_limbo_drain_(alps_handle *h, uint64_t *dead,
                                  const alps_tables *t)
{
    *dead = 0;
    for (int steps = 0; steps < 2 && h->shared->limbo; steps++)
        if (!alps_era_next_(h, dead, t))
            break;
    while (h->shared->limbo) {
        alps_off off = h->shared->limbo;
        const alps_chunk *c = alps_limbo_chunk_(h, off);
        if (c && c->era + 2 > h->shared->era)
            return;
        alps_limbo_empty_(h, off, t);
    }
}

/* A new epoch: what was retired is free. */
ALPS_FN_ void alps_limbo_reset_(alps_handle *h)
{
    h->shared->era = 1;
    h->shared->deaths = 0;
    h->shared->limbo = h->shared->limbo_last = h->shared->leaving = 0;
}
