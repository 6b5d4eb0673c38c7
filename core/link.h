/* link.h -- a link is cut, and what it named is retired, in one step
 *
 * As by a release the block is free and the link holds another value, whatever
 * crashes; as by a retire its memory stays until no reader can have it. The
 * record is that of a release. What is cut is first noted in the chunk of the
 * lane, so that whoever completes the record for a dead process finds for whom
 * it is held back. */
#pragma once
#include "epoch.h"

/* A cut, and what there is left to do when the lock of the structure is no
 * longer held. */
typedef struct alps_link {
    alps_record record;
    alps_subject subject;
    alps_lane *lane; /* to be let go of; or NULL */
    uint64_t era;    /* in which it was cut, if it could not be noted; or 0 */
} alps_link;

/* Carries the cut of an object out: as a retire does, with the link. */
ALPS_FN_ int alps_link_object_(alps_handle *h, alps_lane *lane,
                               const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    alps_retire_note_(h, lane, r->block);
    alps_object_pin_(o, 1);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    int err = ALPS_OK;
    if (s->mine)
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    else
        err = alps_far_turn_(o); // freed by somebody else meanwhile
    if (!err)
        alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    if (err) {
        alps_object_pin_(o, 0);
        alps_retire_forget_(h, lane);
    }
    return err;
}

/* The same for a block. Under the lock of its shard. */
ALPS_CORE_ int alps_link_block_(alps_handle *h, alps_lane *lane,
                                const alps_block *b, const alps_record *r,
                                const alps_tables *t)
{
    if (alps_code_(b->zone.codes, b->unit) != ALPS_USED)
        return ALPS_EINVALID_FREE; // freed by somebody else meanwhile
    if (!alps_held_room_(b->shard))
        alps_held_grow_(h, b->shard, t);
    if (alps_held_full_(b->shard))
        return ALPS_EFULL;
    alps_retire_note_(h, lane, r->block);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_held_add_(h, b->shard, r->block, ALPS_HELD_LIMBO_);
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
    alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_link_apply_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    alps_block b;
    if (k->era)
        return alps_release_apply_(h, k->lane, &k->subject, &k->record, t);
    if (k->subject.small)
        return alps_link_object_(h, k->lane, &k->subject, &k->record);
    if (alps_block_lock_(h, k->record.block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_link_block_(h, k->lane, &b, &k->record, t);
    alps_block_unlock_(&b);
    return err;
}

/* Finds a lane for the cut, and a place to note it. Where there is none, in a
 * region that is full or for a thread without a lane, readers will be waited
 * for; unless this thread is one. */
ALPS_CORE_ int alps_link_begin_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    int err = ALPS_EFULL;
    if (c) {
        const alps_chunk *chunk =
            alps_limbo_chunk_(h, alps_load_(&c->lane->limbo));
        err = chunk && chunk->count < ALPS_CHUNK
                  ? ALPS_OK
                  : alps_retire_room_(h, c->lane, t);
        if (err && c->reads)
            return err;
    }
    k->lane = alps_lane_take_(h, t);
    k->era = err ? __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST) : 0;
    return ALPS_OK;
}

/* Carries out what the record says. */
ALPS_CORE_ int alps_link_carry_out_(alps_handle *h, alps_link *k,
                                    const alps_tables *t)
{
    alps_record *r = &k->record;
    int err = alps_link_begin_(h, k, t);
    if (err)
        return err;
    err = alps_subject_find_(h, r, ALPS_USED, &k->subject, t);
    if (!err) {
        err = alps_record_begin_(h, k->lane, r, t);
        if (!err)
            err = alps_link_apply_(h, k, t);
        if (err)
            alps_record_retire_(h, k->lane, r->seq, t);
        else
            err = alps_record_end_(h, k->lane, &k->subject, r, t);
    }
    if (k->era) // readers may have begun since it was looked at
        k->era = __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST);
    if (err)
        k->era = k->subject.n = 0;
    return err;
}

/* Stores `value` to the link and frees what it named: durably when this
 * returns. Two fences. The rest is for alps_link_end_, also where this
 * fails. The caller has the lock of the structure. */
ALPS_CORE_ int alps_link_cut_(alps_handle *h, const alps_off *link,
                              alps_off value, alps_link *k,
                              const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    k->record.op = ALPS_OP_RELEASE;
    k->record.dest = alps_offset_(h, link);
    k->record.block = alps_load_(link);
    k->record.value = value;
    return t->slow(h, ALPS_SLOW_CUT, (uint64_t)(uintptr_t)k, 0);
}

/* Waits until nobody reads who read in `era`. */
ALPS_CORE_ void alps_link_wait_(alps_handle *h, uint64_t era,
                                const alps_tables *t)
{
    for (unsigned round = 0;; round++) {
        uint64_t dead = 0;
        alps_lock_(h, t);
        (void)alps_era_next_(h, &dead, t);
        if (dead)
            t->slow(h, ALPS_SLOW_REAP, dead, 0);
        int gone = h->shared->era >= era + 2;
        alps_unlock_(h);
        if (gone)
            return;
        ALPS_WAIT_(round);
    }
}

/* See alps_link_end_. */
ALPS_CORE_ int alps_link_close_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    int err = ALPS_OK;
    if (k->era) {
        alps_link_wait_(h, k->era, t);
        err = alps_release_end_(h, k->lane, &k->subject, k->record.block, t);
    } else if (k->subject.n > ALPS_RETIRE_LARGE) {
        t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    }
    alps_lane_leave_(k->lane);
    return err;
}

/* What is left to do: the lock of the structure is no longer held, so readers
 * that want it go on. */
ALPS_CORE_ int alps_link_end_(alps_handle *h, alps_link *k,
                              const alps_tables *t)
{
    return k->lane ? t->slow(h, ALPS_SLOW_CUT_END, (uint64_t)(uintptr_t)k, 0)
                   : ALPS_OK;
}

/* Reserves `n` bytes for what a link is to name. NULL: see h->error. */
ALPS_CORE_ void *alps_link_reserve_(alps_handle *h, uint64_t n,
                                    const alps_tables *t)
{
    void *p = NULL;
    return t->slow(h, ALPS_SLOW_RESERVE, n, (uint64_t)(uintptr_t)&p) ? NULL : p;
}

/* Publishes `p` to the link; what can't be is cancelled. Two fences, or
 * three. */
ALPS_CORE_ int alps_link_publish_(alps_handle *h, const alps_off *link,
                                  const void *p, const alps_tables *t)
{
    return t->slow(h, ALPS_SLOW_PUBLISH, alps_offset_(h, link),
                   alps_offset_(h, p));
}
