/* tx.h -- transactions: begun, added to, committed, aborted
 *
 * Sets, publishes, releases and frees are written down as they are asked for
 * and carried out by the commit, all or none, for two fences; ranges are copied
 * before the program changes them. See docs/transactions.md. A redo log for
 * what the library does and an undo log for what the program does: as NV-Heaps
 * and PMDK's libpmemobj have them, with one commit record over both. */
#pragma once
#include "action.h"

/* A transaction, for the thread that began it. */
typedef struct alps_tx {
    alps_handle *handle;
    uint64_t number;
    int (*act)(struct alps_tx *t, unsigned op, void *word, const void *p,
               uint64_t value);
    int (*keep)(struct alps_tx *t, void *p, size_t n);
} alps_tx;

/* What the macros below call: any instance's. */
ALPS_FN_ int alps_tx_act_(alps_tx *t, unsigned op, void *word, const void *p,
                          uint64_t value)
{
    return t->act(t, op, word, p, value);
}

ALPS_FN_ int alps_tx_hold_(alps_tx *t, void *p, size_t n)
{
    return t->keep(t, p, n);
}

/* alps_tx_set for an integer of 8 bytes, and for an ALPS_PTR, which is to point
 * to `p`; alps_tx_publish and alps_tx_release for an ALPS_PTR, and
 * alps_tx_snapshot for any object, of whatever instance. Types are checked. */
#define ALPS_TX_SET(t, word, number)                            \
  ((void)sizeof(char[sizeof((word) | 1u) == sizeof(uint64_t) && \
                             sizeof(word) == sizeof(uint64_t)   \
                         ? 1                                    \
                         : -1]),                                \
   alps_tx_act_((t), ALPS_OP_SET, &(word), NULL, (uint64_t)(number)))
#define ALPS_TX_POINT(t, ptr, p)     \
  ((void)sizeof((ptr).type_ == (p)), \
   alps_tx_act_((t), ALPS_OP_SET, &(ptr).off, (p), 0))
#define ALPS_TX_PUBLISH(t, ptr, p)   \
  ((void)sizeof((ptr).type_ == (p)), \
   alps_tx_act_((t), ALPS_OP_PUBLISH, &(ptr).off, (p), 0))
#define ALPS_TX_RELEASE(t, ptr) \
  ((void)sizeof((ptr).type_),   \
   alps_tx_act_((t), ALPS_OP_RELEASE, &(ptr).off, NULL, 0))
#define ALPS_TX_SNAPSHOT(t, object) \
  alps_tx_hold_((t), &(object), sizeof(object))

/* A range of bytes in the region. */
typedef struct alps_range {
    void *p;
    size_t n;
} alps_range;

/* Makes an object in the `n` bytes at `p`. Not 0: it cannot, and that is
 * answered. */
typedef int alps_make(void *context, void *p, size_t n);

/* The open transaction that `x` is, of this thread; or NULL. */
ALPS_FN_ alps_draft *alps_tx_draft_(const alps_tx *x)
{
    const alps_handle *h = x->handle;
    if (!h || !h->local || !h->drafts)
        return NULL;
    alps_draft *o = &h->drafts[x->number & ((1u << ALPS_NUMBER_SHIFT_) - 1)];
    return alps_draft_is_(o, ALPS_THREAD_()) && o->number == x->number ? o
                                                                       : NULL;
}

/* The same, where something is to be added: 0, or why that cannot be. */
ALPS_CORE_ int alps_tx_ready_(const alps_tx *x, alps_draft **o,
                              const alps_tables *t)
{
    *o = NULL;
    if (!x->handle || !x->handle->local)
        return ALPS_EINVAL;
    int err = alps_ready_(x->handle, t);
    *o = err ? NULL : alps_tx_draft_(x);
    return err ? err : !*o ? ALPS_EINVAL : (*o)->aborted ? ALPS_EABORTED : 0;
}

/* A lane for the transaction of a thread that owns none. One is left for
 * operations, so that nobody waits for who waits for him. */
ALPS_CORE_ alps_lane *alps_tx_borrow_(alps_handle *h, const alps_tables *t)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = alps_lanes_owned_(h); i + 1 < h->at.lane_count; i++) {
            alps_lane *lane = &h->lanes[i];
            if (alps_load_(&lane->lock) ||
                !alps_lock_try_(&lane->lock, alps_self_(h)))
                continue;
            __atomic_fetch_add(&h->local->borrowed, 1, __ATOMIC_SEQ_CST);
            __atomic_store_n(&lane->token, alps_token_new_(h, i),
                             __ATOMIC_SEQ_CST);
            return lane;
        }
        if (!round)
            t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    }
    return NULL;
}

/* See alps_begin. */
ALPS_CORE_ int alps_tx_begin_(alps_handle *h, alps_tx *x, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    const alps_cache *c = alps_cache_(h);
    alps_draft *o = alps_lane_borrowed_(h);
    if (!o) {
        alps_lane *lane = c ? c->lane : alps_tx_borrow_(h, t);
        if (!lane)
            return ALPS_EBUSY;
        uint64_t i = (uint64_t)(lane - h->lanes);
        o = &h->drafts[i];
        o->lane = lane;
        if (!o->thread)
            o->number = alps_record_seq_(h, lane) << ALPS_NUMBER_SHIFT_ | i;
        __atomic_store_n(&o->thread, ALPS_THREAD_(), __ATOMIC_RELAXED);
    }
    o->depth++;
    x->handle = h;
    x->number = o->number;
    return ALPS_OK;
}

/* Whether the word at `off` is the program's, and may be set. */
ALPS_FN_ int alps_tx_word_(const alps_handle *h, alps_off off)
{
    return off >= ALPS_PAGE && alps_dest_valid_(h, off);
}

/* Fills in what the line is about. The block, if there is one, is what it has
 * to be. */
ALPS_FAST_ int alps_tx_line_(alps_handle *h, alps_draft *o, alps_record *r,
                             const alps_tables *t)
{
    alps_subject s;
    alps_object other;
    alps_object *own =
        o->actions < ALPS_DRAFT_FEW ? &o->object[o->actions] : &other;
    int err, publish = (r->op & 15) == ALPS_OP_PUBLISH;
    if (!(r->op & ALPS_OP_WORDLESS) && !alps_tx_word_(h, r->dest))
        return ALPS_EINVAL;
    if ((r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_object_claimed_(h, r->block, own))) {
        s.n = r->units = alps_kind_size_(own->kind);
        r->op |= ALPS_OP_SMALL;
        if (o->actions < ALPS_DRAFT_FEW)
            o->found |= 1u << o->actions;
        err = publish ? alps_object_mine_held_(alps_cache_(h), own, r->block)
              : alps_object_live_(own) ? ALPS_OK
                                       : ALPS_EINVALID_FREE;
    } else {
        err = alps_subject_find_(h, r, publish ? ALPS_HELD : ALPS_USED, &s, t);
    }
    if (!err && publish && t->policy->durable &&
        (s.n > ALPS_SUM_MAX || r->op & ALPS_OP_LARGE))
        o->early = 1;
    return err;
}

/* Adds an action: see alps_tx_set and those beside it. In line, so that who
 * always adds the same has nothing to decide. */
ALPS_FAST_ int alps_tx_add_(alps_tx *x, unsigned op, const void *word,
                            const void *p, uint64_t value, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    alps_handle *h = x->handle;
    if (!err)
        err = alps_log_room_(h, &o->log, ALPS_LINE, o->number, t);
    if (err)
        return err;
    // where it is to be: a copy would wait for the words it is made of
    alps_record *r = (alps_record *)alps_address_(h, o->log.at);
    memset(r, 0, sizeof *r);
    r->seq = o->number;
    r->op = op;
    r->dest = word ? alps_offset_(h, word) : 0;
    r->value = value;
    if (p && op == ALPS_OP_SET)
        r->value = alps_offset_(h, p);
    else if (p)
        r->block = alps_offset_(h, p);
    if ((op & 15) == ALPS_OP_PUBLISH)
        r->value = r->block;
    if (op == ALPS_OP_RELEASE) {
        if (!alps_tx_word_(h, r->dest))
            return ALPS_EINVAL;
        r->block = alps_load_((const uint64_t *)alps_address_(h, r->dest));
        if (!r->block)
            return ALPS_OK;
    }
    err = alps_tx_line_(h, o, r, t);
    if (!err && r->block)
        err = alps_draft_speak_(o, r->block);
    if (err)
        return err;
    o->log.at += sizeof *r;
    o->actions++;
    o->publishes |= (op & 15) == ALPS_OP_PUBLISH;
    o->frees |= (op & 15) == ALPS_OP_RELEASE;
    return ALPS_OK;
}

/* See alps_tx_snapshot_all. */
ALPS_CORE_ int alps_tx_keep_(alps_tx *x, const alps_range *range, unsigned n,
                             const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err)
        return err;
    alps_handle *h = x->handle;
    alps_off last = o->last;
    for (unsigned i = 0; i < n; i++)
        if (!alps_undo_covers_(h, alps_offset_(h, range[i].p), range[i].n))
            return ALPS_EINVAL;
    for (unsigned i = 0; i < n; i++) {
        alps_off off = alps_offset_(h, range[i].p);
        uint64_t left = range[i].n;
        if (alps_draft_keeps_(o, off, left))
            continue;
        for (; left && !err; off += ALPS_UNDO_MOST) {
            uint64_t part = left < ALPS_UNDO_MOST ? left : ALPS_UNDO_MOST;
            err = alps_undo_copy_(h, o, off, part, t);
            left -= part;
        }
    }
    if (err || last == o->last)
        return err;
    if (!o->marked)
        err = alps_undo_mark_(h, o, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    o->marked = 1;
    for (unsigned i = 0; i < n; i++)
        alps_draft_keep_(o, alps_offset_(h, range[i].p), range[i].n);
    return ALPS_OK;
}

/* The transaction is ended, for any recovery: durably with the next fence. */
ALPS_CORE_ int alps_tx_done_(alps_handle *h, const alps_draft *o,
                             const alps_tables *t)
{
    alps_done *done = &h->done[o->lane - h->lanes];
    ALPS_BARRIER_();
    alps_store_(&done->tx, o->number >> ALPS_NUMBER_SHIFT_);
    return t->policy->flush(&h->map, &done->tx, sizeof done->tx);
}

/* The same, durably before another thread can contradict it. */
ALPS_CORE_ int alps_tx_retire_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    int err = alps_tx_done_(h, o, t);
    return err ? err : t->policy->settle(&h->map);
}

/* Nothing is left of the transaction: its chunks go back, and a lane that was
 * borrowed. */
ALPS_CORE_ void alps_tx_close_(alps_handle *h, alps_draft *o,
                               const alps_tables *t)
{
    alps_lane *lane = o->lane;
    alps_log_drop_(h, &o->log, t);
    alps_log_drop_(h, &o->undo, t);
    alps_draft_end_(o);
    if (lane - h->lanes < (ptrdiff_t)alps_lanes_owned_(h))
        return;
    __atomic_fetch_sub(&h->local->borrowed, 1, __ATOMIC_SEQ_CST);
    alps_lane_free_(h, lane);
}

/* Gives back what was reserved for the transaction alone. */
ALPS_CORE_ void alps_tx_unmake_(alps_handle *h, const alps_draft *o,
                                const alps_tables *t)
{
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        if (r->op & ALPS_OP_MADE)
            t->slow(h, ALPS_SLOW_CANCEL, r->block, 0);
    }
}

/* Undoes what was stored, and forgets the actions. Under `o` there is nothing
 * then but its depth. One fence where something was stored. */
ALPS_CORE_ int alps_tx_undo_(alps_handle *h, alps_draft *o,
                             const alps_tables *t)
{
    int err = ALPS_OK;
    if (o->marked) {
        err = t->slow(h, ALPS_SLOW_RESTORE, o->undo.first, o->number);
        if (!err)
            err = t->fence(&h->map);
        int late = alps_tx_retire_(h, o, t);
        err = err ? err : late;
    }
    alps_tx_unmake_(h, o, t);
    alps_log_drop_(h, &o->log, t);
    alps_log_drop_(h, &o->undo, t);
    o->marked = 0;
    o->actions = 0;
    o->last = 0;
    return err;
}

/* Ends the transaction of lane `i`, whoever's it is: nothing of it is to be. */
ALPS_CORE_ int alps_tx_abandon_(alps_handle *h, uint64_t i,
                                const alps_tables *t)
{
    alps_draft *o = &h->drafts[i];
    if (!o->thread)
        return ALPS_OK;
    int err = alps_tx_undo_(h, o, t);
    alps_tx_close_(h, o, t);
    return err;
}

/* See alps_abort. */
ALPS_CORE_ int alps_tx_abort_(const alps_tx *x, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err && err != ALPS_EABORTED)
        return err;
    alps_handle *h = x->handle;
    if (o->depth == 1)
        return t->slow(h, ALPS_SLOW_ABORT, (uint64_t)(o->lane - h->lanes), 0);
    o->depth--;
    if (err)
        return ALPS_OK; // it is undone already
    o->aborted = 1;
    return alps_tx_undo_(h, o, t);
}

/* Makes the commit record durable: from here on all of it will happen. Where it
 * has ranges this is the second fence, else the first. */
ALPS_CORE_ int alps_tx_record_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    alps_record r;
    alps_lane *lane = o->lane;
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_COMMIT;
    r.block = o->log.first;
    r.units = o->actions;
    r.value = o->number;
    alps_store_(&lane->log, o->log.first);
    alps_store_(&lane->given, 0);
    alps_store_(&lane->freeing, o->number);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    return alps_record_begin_(h, lane, &r, t);
}

/* Carries out what was prepared. A record that the medium refuses must not be
 * found, should it be there. */
ALPS_CORE_ int alps_tx_carry_out_(alps_handle *h, alps_draft *o,
                                  const alps_tables *t)
{
    alps_lane *lane = o->lane;
    int late, err = alps_tx_record_(h, o, t);
    if (err) {
        alps_tx_retire_(h, o, t);
        alps_tx_undo_(h, o, t);
        alps_store_(&lane->apply, 0);
        alps_store_(&lane->freeing, 0);
        return err;
    }
    err = alps_action_apply_(h, o, t);
    late = alps_tx_retire_(h, o, t);
    err = err ? err : late;
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    late = alps_action_give_(h, o, t);
    return err ? err : late;
}

/* Commits ranges alone: when they are durable, and that there is nothing to
 * undo. */
ALPS_CORE_ int alps_tx_commit_ranges_(alps_handle *h, const alps_draft *o,
                                      const alps_tables *t)
{
    int err = alps_undo_flush_(h, o, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_tx_done_(h, o, t);
    return err ? err : t->fence(&h->map);
}

/* The end of the outermost one. */
ALPS_CORE_ int alps_tx_commit_all_(alps_handle *h, alps_draft *o,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    if (o->actions) {
        err = alps_action_prepare_(h, o, t);
        if (!err)
            err = alps_tx_carry_out_(h, o, t);
        else
            alps_tx_undo_(h, o, t);
    } else if (o->marked) {
        err = alps_tx_commit_ranges_(h, o, t);
    }
    alps_tx_close_(h, o, t);
    return err;
}

/* See alps_commit. */
ALPS_CORE_ int alps_tx_commit_(const alps_tx *x, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err && err != ALPS_EABORTED)
        return err;
    alps_handle *h = x->handle;
    if (--o->depth)
        return err;
    if (!err)
        return alps_tx_commit_all_(h, o, t);
    o->depth++;
    t->slow(h, ALPS_SLOW_ABORT, (uint64_t)(o->lane - h->lanes), 0);
    return err;
}
