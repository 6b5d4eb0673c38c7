/* action.h -- the actions of a transaction, as its own thread commits them
 *
 * Looked at once more, prepared (contents and lines on their way to the
 * medium), carried out, and at last what they freed is let go. In between come
 * fences, see tx.h: all stores of a step are made before any is written back,
 * for a store to a line that is being written back stalls. */
#pragma once
#include "link.h"

/* The block that has the byte at `off` is reserved, not used. */
ALPS_FN_ int alps_action_inside_(const alps_handle *h, alps_off off)
{
    alps_zone z = alps_zone_top_(h);
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    if (alps_extent_heap_(h, extent))
        z = alps_zone_extent_(h, extent);
    uint64_t at = alps_zone_unit_(&z, off) + 1;
    while (at > z.first) {
        uint64_t start = alps_code_near_(z.codes, at);
        if (start != at)
            return alps_code_(z.codes, start) == ALPS_HELD;
        at = (at - 1) / 32 * 32;
    }
    return 0;
}

/* Whether the word at `off` is in what is reserved: nobody but the program
 * sees it before it is published. */
ALPS_FN_ int alps_action_private_(const alps_handle *h, alps_off off)
{
    alps_object o;
    if (off < h->at.heap)
        return 0;
    if (!alps_slab_is_(h, off))
        return alps_action_inside_(h, off);
    const alps_slab *s = alps_slab_head_(h, off);
    uint32_t kind = __atomic_load_n(&s->kind, __ATOMIC_RELAXED) - 1;
    if (kind >= ALPS_KINDS)
        return 0;
    uint64_t in = off - alps_slab_place_(h, off);
    in = (in * alps_kind_scale_(kind) >> 32) * alps_kind_size_(kind);
    alps_off start = alps_slab_place_(h, off) + in;
    if (ALPS_LIKELY_(alps_object_claimed_(h, start, &o)))
        return !alps_object_live_(&o);
    int is = alps_object_at_(h, start, &o);
    return is == 1 ? !alps_object_live_(&o)
                   : !is && alps_action_inside_(h, off);
}

/* Whether what the line is about still is as it was when it was added. */
ALPS_CORE_ int alps_action_same_(const alps_handle *h, const alps_cache *c,
                                 const alps_record *r)
{
    alps_object o;
    alps_block b;
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    if ((r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    if (!(r->op & ALPS_OP_SMALL))
        return alps_block_at_(h, r->block, &b) ==
                       (publish ? ALPS_HELD : ALPS_USED)
                   ? ALPS_OK
                   : ALPS_EINVALID_FREE;
    int mine = alps_object_claimed_(h, r->block, &o);
    if ((!mine && alps_object_at_(h, r->block, &o) != 1) ||
        alps_kind_size_(o.kind) != r->units)
        return ALPS_EINVALID_FREE;
    if (publish)
        return mine ? alps_object_mine_held_(c, &o, r->block)
                    : alps_object_held_(h, &o, r->block);
    return alps_object_live_(&o) ? ALPS_OK : ALPS_EINVALID_FREE;
}

/* Stores to words that are contents of what is not published yet. */
ALPS_FN_ void alps_action_store_(const alps_handle *h, const alps_draft *o)
{
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        alps_record *r = alps_log_at_(h, &off);
        if (r->op & ALPS_OP_WORDLESS || !alps_action_private_(h, r->dest))
            continue;
        alps_redo_store_(h, r);
        r->op |= ALPS_OP_WORDLESS;
    }
}

/* The first step of a commit: looks at every action once more, and stores to
 * such words where there are any. */
ALPS_CORE_ int alps_action_look_(alps_handle *h, const alps_draft *o)
{
    int err = ALPS_OK, inside = 0;
    alps_off off = o->log.first;
    const alps_cache *c = alps_cache_(h);
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        err = alps_action_same_(h, c, r);
        if (o->publishes && !inside && !(r->op & ALPS_OP_WORDLESS))
            inside = alps_action_private_(h, r->dest);
    }
    if (!err && inside)
        alps_action_store_(h, o);
    return err;
}

/* The bytes that the line publishes, which was looked at. */
ALPS_FN_ uint64_t alps_action_contents_(const alps_handle *h,
                                        const alps_record *r)
{
    int small =
        (r->op & (15 | ALPS_OP_SMALL)) == (ALPS_OP_PUBLISH | ALPS_OP_SMALL);
    return ALPS_LIKELY_(small) ? r->units : alps_redo_contents_(h, r);
}

/* Contents, with their sums, and lines are on their way to the medium. */
ALPS_CORE_ int alps_action_prepare_(alps_handle *h, const alps_draft *o,
                                    const alps_tables *t)
{
    int err = ALPS_OK;
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE) {
        alps_record *r = alps_log_at_(h, &off);
        uint64_t n = t->policy->durable ? alps_action_contents_(h, r) : 0;
        const void *p = alps_address_(h, r->block);
        if (n && !o->early && !o->marked) {
            r->op |= ALPS_OP_SUMMED;
            r->crc = alps_crc32c_(h->crc, 0, p, n);
        }
        if (n)
            err = t->policy->flush(&h->map, p, n);
        if (n && r->op & ALPS_OP_LARGE && !err)
            err = t->policy->flush(
                &h->map,
                &h->kinds[((r->block - h->at.heap) >> h->at.extent_shift) / 64],
                8);
        alps_log_seal_(h, r);
        if (!err)
            err = t->policy->flush(&h->map, r, sizeof *r);
    }
    if (!err && o->marked)
        err = alps_undo_flush_(h, o, t);
    if (!err && (o->marked || o->early))
        err = t->fence(&h->map);
    return err;
}

/* Lines that were written back just now: a pair that many objects share is so
 * once. */
typedef struct alps_recent {
    unsigned any; /* which of `line` are set */
    const void *line[16];
} alps_recent;

ALPS_FN_ int alps_action_recent_(alps_recent *recent, const void *p)
{
    unsigned k = (uintptr_t)p / ALPS_LINE % 16;
    const void *line = (const void *)((uintptr_t)p / ALPS_LINE * ALPS_LINE);
    int is = recent->any >> k & 1 && recent->line[k] == line;
    recent->any |= 1u << k;
    recent->line[k] = line;
    return is;
}

/* The words that speak for the object at `off`. */
ALPS_FN_ const alps_pair *alps_action_pair_(const alps_handle *h, alps_off off)
{
    alps_object o;
    if (ALPS_LIKELY_(alps_object_claimed_(h, off, &o)))
        return o.pair;
    return alps_object_at_(h, off, &o) == 1 ? o.pair : NULL;
}

/* Writes back what a line has changed. */
ALPS_CORE_ int alps_action_flush_(alps_handle *h, const alps_record *r,
                                  alps_recent *recent, const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    if (r->op & ALPS_OP_SMALL) {
        const alps_pair *pair = alps_action_pair_(h, r->block);
        if (pair && !alps_action_recent_(recent, pair))
            err = t->policy->flush(&h->map, pair, sizeof *pair);
    } else if ((r->op & 15) != ALPS_OP_SET &&
               alps_block_at_(h, r->block, &b) >= 0) {
        int publish = (r->op & 15) == ALPS_OP_PUBLISH;
        err = alps_codes_flush_(h, &b.zone, b.unit, publish ? r->units : 0, t);
    }
    if (err || r->op & ALPS_OP_WORDLESS ||
        alps_action_recent_(recent, alps_address_(h, r->dest)))
        return err;
    return t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
}

/* Carries the actions out. One fence. */
ALPS_CORE_ int alps_action_apply_(alps_handle *h, const alps_draft *o,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    alps_recent recent;
    alps_off off = o->log.first;
    recent.any = 0;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        alps_object own;
        if (r->op & ALPS_OP_SMALL && alps_object_claimed_(h, r->block, &own))
            alps_commit_object_(h, r, &own, 1, 1);
        else
            alps_commit_line_(h, r, 1, t);
        ALPS_BARRIER_();
        alps_store_(&o->lane->apply, i + 2);
    }
    off = o->log.first;
    if (t->policy->durable)
        for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE)
            err = alps_action_flush_(h, alps_log_at_(h, &off), &recent, t);
    return err ? err : t->fence(&h->map);
}

/* Lets go of what was freed. */
ALPS_CORE_ int alps_action_give_(alps_handle *h, const alps_draft *o,
                                 const alps_tables *t)
{
    alps_object b;
    int err = ALPS_OK;
    const alps_cache *c = alps_cache_(h);
    alps_off off = o->log.first;
    for (uint64_t i = 0; o->frees && i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        if ((r->op & 15) != ALPS_OP_RELEASE)
            continue;
        if (!(r->op & ALPS_OP_SMALL)) {
            t->slow(h, ALPS_SLOW_GIVE, r->block, 0);
        } else if (alps_object_at_(h, r->block, &b) == 1) {
            alps_object_pin_(&b, 0);
            if (c && alps_object_mine_(&b, c->token)) {
                int late = alps_object_back_(h, &b, r->block, t);
                err = err ? err : late;
            } else {
                alps_far_tell_(h, &b, r->block, t);
            }
        }
        ALPS_BARRIER_();
        alps_store_(&o->lane->given, i + 1);
    }
    alps_store_(&o->lane->freeing, 0);
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    return err;
}
