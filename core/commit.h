/* commit.h -- the actions of a transaction, carried out
 *
 * By the thread that commits; by recovery, again or for the first time; or for
 * a process that died while others went on. The commit record in the lane's
 * ring decides whether they are; see docs/transactions.md. What is freed is
 * held back until the record is retired. */
#pragma once
#include "undo.h"

/* Whether lane `i` has committed transaction `number`, as its ring has it. */
ALPS_FN_ int alps_commit_is_(const alps_handle *h, unsigned i, uint64_t number)
{
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *r = &h->lanes[i].ring[k];
        if ((r->op & 15) == ALPS_OP_COMMIT && r->value == number &&
            alps_record_live_(h, i, r))
            return 1;
    }
    return 0;
}

/* Whether all that the commit record `c` speaks of is there: then nothing has
 * been carried out, or anything; else nothing, or all. */
ALPS_FN_ int alps_commit_whole_(const alps_handle *h, const alps_record *c)
{
    alps_off off = c->block;
    if (c->units > alps_size_(h) / ALPS_LINE)
        return 0;
    for (uint64_t i = 0; i < c->units; i++, off += ALPS_LINE) {
        alps_block b;
        alps_object o;
        const alps_record *r = alps_log_look_(h, &off, c->value);
        if (!r)
            return 0;
        uint64_t n = r->op & ALPS_OP_SUMMED ? alps_redo_contents_(h, r) : 0;
        if (!n)
            continue;
        int used =
            r->op & ALPS_OP_SMALL
                ? alps_object_at_(h, r->block, &o) == 1 && alps_object_live_(&o)
                : alps_block_at_(h, r->block, &b) == ALPS_USED;
        if (!used &&
            alps_crc32c_(h->crc, 0, alps_address_(h, r->block), n) != r->crc)
            return 0;
    }
    return 1;
}

/* Writes back the record, the lines and what they publish: who wrote them may
 * have been killed before its fence, and power fail only now. */
ALPS_CORE_ int alps_commit_prepare_(alps_handle *h, const alps_record *c,
                                    const alps_tables *t)
{
    alps_off off = c->block;
    int err = t->policy->flush(&h->map, c, sizeof *c);
    uint64_t most = alps_size_(h) / ALPS_LINE;
    for (uint64_t i = 0; i < c->units && most-- && !err;) {
        const alps_record *r = alps_log_line_(h, off, c->value);
        if (!r)
            break;
        err = alps_redo_prepare_(h, r, t);
        off = r->op == ALPS_OP_NEXT ? r->block : off + ALPS_LINE;
        i += r->op != ALPS_OP_NEXT;
    }
    return err;
}

/* Carries out what a line says of an object, unless it was. `own`: we commit,
 * and the object is of our slab if it is `mine`; else its process is dead. What
 * is freed is pinned. */
ALPS_FN_ void alps_commit_object_(const alps_handle *h, const alps_record *r,
                                  const alps_object *o, int own, int mine)
{
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int turn = alps_object_live_(o) != publish;
    if (turn && !publish)
        alps_object_pin_(o, 1);
    if (turn)
        alps_object_turn_(&o->pair->own, &o->pair->far, o->bit, mine);
    alps_redo_store_(h, r);
    if (publish && own)
        alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, mine);
}

/* The same for a block, whose code is `code`. Under the lock of its shard. */
ALPS_FN_ void alps_commit_block_(const alps_handle *h, const alps_record *r,
                                 const alps_block *b, unsigned code)
{
    if ((r->op & 15) == ALPS_OP_PUBLISH) {
        uint64_t entry = alps_held_find_(h, b->shard, r->block);
        if (code == ALPS_HELD)
            alps_code_set_(b->zone.codes, b->unit, ALPS_USED);
        alps_redo_store_(h, r);
        if (entry != ALPS_HELD_NONE_)
            alps_held_drop_(h, b->shard, entry);
        return;
    }
    if (code == ALPS_USED) {
        alps_freed_note_(h, r->block, r->seq);
        alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
    }
    alps_redo_store_(h, r);
}

/* Carries out a line while others work. `own`: as above, and an object is not
 * of our slab; otherwise the lock of the region is held. */
ALPS_CORE_ void alps_commit_line_(alps_handle *h, const alps_record *r, int own,
                                  const alps_tables *t)
{
    alps_object o;
    alps_block b;
    if ((r->op & 15) == ALPS_OP_SET) {
        alps_redo_store_(h, r);
    } else if (r->op & ALPS_OP_SMALL) {
        if (alps_object_at_(h, r->block, &o) == 1)
            alps_commit_object_(h, r, &o, own, 0);
    } else {
        int code = alps_block_lock_(h, r->block, &b, !own, t);
        if (code < 0)
            return;
        alps_commit_block_(h, r, &b, (unsigned)code);
        alps_held_fold_(h, b.shard, t);
        alps_block_unlock_(&b);
    }
}

/* Recovery carries out the live commit record `c`, if it is whole. */
ALPS_CORE_ int alps_commit_redo_(alps_handle *h, alps_lane *lane,
                                 const alps_record *c, const alps_tables *t)
{
    alps_off off = c->block;
    int err = ALPS_OK;
    if (!alps_commit_whole_(h, c))
        return ALPS_OK;
    for (uint64_t i = 0; i < c->units && !err; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_look_(h, &off, c->value);
        if ((r->op & 15) != ALPS_OP_SET) {
            err = alps_redo_(h, lane, r, t);
        } else if (alps_redo_sane_(h, r)) {
            alps_redo_store_(h, r);
            err = alps_redo_word_(h, r, t);
        }
    }
    return err;
}

/* Carries on with it for a process that died while others go on. What it had
 * done is not done again. */
ALPS_CORE_ int alps_commit_go_on_(alps_handle *h, alps_lane *lane,
                                  const alps_record *c, const alps_tables *t)
{
    const alps_record *r;
    alps_off off = c->block;
    int err = ALPS_OK;
    for (uint64_t i = 0; i < c->units && !err; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, c->value);
        if (!r)
            break;
        if (i + 1 >= alps_load_(&lane->apply)) {
            alps_commit_line_(h, r, 0, t);
            ALPS_BARRIER_();
            alps_store_(&lane->apply, i + 2);
        }
        err = alps_redo_settle_(h, r, t);
    }
    return err;
}

/* What is to be done with a commit record of the dead. */
enum {
    ALPS_COMMIT_PREPARE_ = 0,
    ALPS_COMMIT_REDO_ = 1, /* all are dead */
    ALPS_COMMIT_GO_ON_ = 2 /* others go on */
};

/* Does that, for whoever asks by the slow path. */
ALPS_CORE_ int alps_commit_slow_(alps_handle *h, const alps_record *c,
                                 uint64_t what, const alps_tables *t)
{
    uint64_t in = (uint64_t)((uintptr_t)c - (uintptr_t)h->lanes);
    alps_lane *lane = &h->lanes[in / sizeof(alps_lane)];
    if (what == ALPS_COMMIT_PREPARE_)
        return alps_commit_prepare_(h, c, t);
    return what == ALPS_COMMIT_REDO_ ? alps_commit_redo_(h, lane, c, t)
                                     : alps_commit_go_on_(h, lane, c, t);
}

ALPS_CORE_ int alps_commit_ask_(alps_handle *h, const alps_record *c,
                                uint64_t what, const alps_tables *t)
{
    return t->slow(h, ALPS_SLOW_COMMIT, (uint64_t)(uintptr_t)c, what);
}

/* Completes the action that a lane may have been at under the lock of `s` when
 * its process died, if that is what it was at: durably, before anybody can go
 * further. */
ALPS_CORE_ int alps_commit_complete_(alps_handle *h, alps_lane *lane,
                                     const alps_record *c, const alps_shard *s,
                                     const alps_tables *t)
{
    alps_block b;
    alps_off off = c->block;
    uint64_t at = alps_load_(&lane->apply) - 1;
    const alps_record *r = NULL;
    if (at >= c->units)
        return ALPS_OK;
    for (uint64_t i = 0; i <= at; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, c->value);
        if (!r)
            return ALPS_OK;
    }
    if (r->op & ALPS_OP_SMALL || (r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    int code = alps_block_at_(h, r->block, &b);
    if (code < ALPS_USED || b.shard != s)
        return ALPS_OK;
    int err = alps_commit_ask_(h, c, ALPS_COMMIT_PREPARE_, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    alps_commit_block_(h, r, &b, (unsigned)code);
    err = alps_redo_settle_(h, r, t);
    if (!err)
        err = t->fence(&h->map);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, at + 2);
    return err;
}

/* Lets go of a block that was freed: the commit record is retired. */
ALPS_CORE_ void alps_commit_give_(alps_handle *h, alps_off off, int inner,
                                  const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, inner, t);
    if (code == ALPS_HELD && alps_freed_is_(h, off)) {
        alps_freed_note_(h, off, 0);
        alps_give_back_(h, &b);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
}

/* Lets go of what the lane of a dead process held back. Under the lock. */
ALPS_CORE_ void alps_commit_reap_(alps_handle *h, alps_lane *lane,
                                  const alps_tables *t)
{
    alps_object o;
    const alps_record *r;
    alps_off off = alps_load_(&lane->log);
    uint64_t number = alps_load_(&lane->freeing);
    if (number >> ALPS_NUMBER_SHIFT_ > alps_load_(&h->done[lane - h->lanes].tx))
        number = 0; // it was not committed
    for (uint64_t i = 0; number; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, number);
        if (!r)
            break;
        if (i < alps_load_(&lane->given) || (r->op & 15) != ALPS_OP_RELEASE)
            continue;
        if (!(r->op & ALPS_OP_SMALL)) {
            t->slow(h, ALPS_SLOW_GIVE, r->block, 1);
        } else if (alps_object_at_(h, r->block, &o) == 1 &&
                   !alps_object_live_(&o)) {
            alps_object_pin_(&o, 0);
            if (!alps_slab_tell_(h, o.slab, r->block))
                t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, r->block), 0);
        }
        ALPS_BARRIER_();
        alps_store_(&lane->given, i + 1);
    }
    alps_store_(&lane->freeing, 0);
}

/* Puts back what was stored by transactions that the lanes of `owner` (0: all)
 * did not come to commit. Counts them. */
ALPS_CORE_ int alps_commit_undo_(alps_handle *h, uint64_t owner, uint64_t *n,
                                 const alps_tables *t)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < h->at.lane_count; i++) {
        const alps_lane *lane = &h->lanes[i];
        if ((owner && alps_load_(&lane->lock) != owner) ||
            !alps_undo_live_(h, i) || alps_commit_is_(h, i, lane->mark.seq))
            continue;
        err = t->slow(h, ALPS_SLOW_RESTORE, lane->mark.block, lane->mark.seq);
        ++*n;
    }
    return err;
}
