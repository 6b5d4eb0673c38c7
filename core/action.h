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

/* The object that action `i` is about, if it is one of a slab of this thread:
 * found when the action was added, looked at when the commit began. */
ALPS_FAST_ const alps_object *
alps_action_found_(const alps_handle *h, const alps_draft *o, uint64_t i,
                   const alps_record *r, alps_object *other)
{
    if (!(r->op & ALPS_OP_SMALL))
        return NULL;
    if (ALPS_LIKELY_(i < ALPS_DRAFT_FEW))
        return o->found >> i & 1 ? &o->object[i] : NULL;
    return alps_object_claimed_(h, r->block, other) ? other : NULL;
}

/* Whether what the line is about still is as it was when it was added; nothing
 * is known of where that is. */
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

/* The same for action `i`. What was found is what the line is about, and not a
 * refused one before it; and its slab is this thread's still, of that kind. */
ALPS_FAST_ int alps_action_look_(const alps_handle *h, alps_draft *o,
                                 uint64_t i, const alps_cache *c,
                                 const alps_record *r)
{
    alps_object other;
    const alps_object *s = alps_action_found_(h, o, i, r, &other);
    if (ALPS_UNLIKELY_(!s || !alps_object_still_(h, r->block, s))) {
        if (i < ALPS_DRAFT_FEW)
            o->found &= ~(1u << i);
        return alps_action_same_(h, c, r);
    }
    if ((r->op & 15) == ALPS_OP_PUBLISH)
        return alps_object_mine_held_(c, s, r->block);
    return alps_object_live_(s) ? ALPS_OK : ALPS_EINVALID_FREE;
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

/* The bytes that the line publishes, which was looked at. */
ALPS_FN_ uint64_t alps_action_contents_(const alps_handle *h,
                                        const alps_record *r)
{
    int small =
        (r->op & (15 | ALPS_OP_SMALL)) == (ALPS_OP_PUBLISH | ALPS_OP_SMALL);
    return ALPS_LIKELY_(small) ? r->units : alps_redo_contents_(h, r);
}

/* The contents of an action, with their sum, and its line are on their way to
 * the medium. */
ALPS_FAST_ int alps_action_send_(alps_handle *h, const alps_draft *o,
                                 alps_record *r, const alps_tables *t)
{
    int err = ALPS_OK;
    uint64_t n = t->policy->durable ? alps_action_contents_(h, r) : 0;
    const void *p = alps_address_(h, r->block);
    if (n && !o->early && !o->marked) {
        r->op |= ALPS_OP_SUMMED;
        r->crc = alps_crc32c_(h->crc, 0, p, n);
    }
    if (n)
        err = t->policy->flush(&h->map, p, n);
    alps_log_seal_(h, r);
    return err ? err : t->policy->flush(&h->map, r, sizeof *r);
}

/* The kind of a run of extents that is published is on its way: its code must
 * not be there without it. */
ALPS_FAST_ int alps_action_kind_(alps_handle *h, const alps_record *r,
                                 const alps_tables *t)
{
    uint64_t extent = (r->block - h->at.heap) >> h->at.extent_shift;
    if (!t->policy->durable || !(r->op & ALPS_OP_LARGE) ||
        (r->op & 15) != ALPS_OP_PUBLISH)
        return ALPS_OK;
    return t->policy->flush(&h->map, &h->kinds[extent / 64], 8);
}

/* Stores to the words that are contents, and sends all anew. */
ALPS_CORE_ int alps_action_again_(alps_handle *h, const alps_draft *o,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    alps_off off = o->log.first;
    alps_action_store_(h, o);
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE)
        err = alps_action_send_(h, o, alps_log_at_(h, &off), t);
    return err;
}

/* The first steps of a commit: looks at every action once more, and sends it;
 * all of them again where some store to contents. */
ALPS_CORE_ int alps_action_prepare_(alps_handle *h, alps_draft *o,
                                    const alps_tables *t)
{
    int err = ALPS_OK, inside = 0;
    alps_off off = o->log.first;
    const alps_cache *c = alps_cache_(h);
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE) {
        alps_record *r = alps_log_at_(h, &off);
        err = alps_action_look_(h, o, i, c, r);
        if (!err)
            err = alps_action_kind_(h, r, t);
        if (o->publishes && !inside && !(r->op & ALPS_OP_WORDLESS))
            inside = alps_action_private_(h, r->dest);
        if (!err && !inside)
            err = alps_action_send_(h, o, r, t);
    }
    if (!err && inside)
        err = alps_action_again_(h, o, t);
    if (!err && o->marked)
        err = alps_undo_flush_(h, o, t);
    if (!err && (o->marked || o->early))
        err = t->fence(&h->map);
    return err;
}

/* Lines that are to be written back: one that many actions store to is so
 * once. */
typedef struct alps_lines {
    unsigned any; /* which of `line` are set */
    const void *line[16];
} alps_lines;

ALPS_FAST_ int alps_lines_add_(alps_handle *h, alps_lines *lines, const void *p,
                               const alps_tables *t)
{
    int err = ALPS_OK;
    const void *line = (const char *)p - (uintptr_t)p % ALPS_LINE;
    unsigned i = (uintptr_t)p / ALPS_LINE % 16;
    if (lines->any >> i & 1) {
        if (lines->line[i] == line)
            return ALPS_OK;
        err = t->policy->flush(&h->map, lines->line[i], ALPS_LINE);
    }
    lines->any |= 1u << i;
    lines->line[i] = line;
    return err;
}

ALPS_CORE_ int alps_lines_flush_(alps_handle *h, const alps_lines *lines,
                                 const alps_tables *t)
{
    int err = ALPS_OK;
    for (unsigned any = lines->any; any && !err; any &= any - 1)
        err = t->policy->flush(&h->map, lines->line[alps_low_bit_(any)],
                               ALPS_LINE);
    return err;
}

/* Carries action `i` out, and says which lines it has stored to; those of a
 * block's codes are written back. */
ALPS_FAST_ int alps_action_do_(alps_handle *h, const alps_draft *o, uint64_t i,
                               const alps_record *r, alps_lines *lines,
                               const alps_tables *t)
{
    alps_object other;
    alps_block b;
    int err = ALPS_OK;
    const alps_object *s = alps_action_found_(h, o, i, r, &other);
    if (ALPS_LIKELY_(s != NULL)) {
        alps_commit_object_(h, r, s, 1, 1);
    } else {
        alps_commit_line_(h, r, 1, t);
        if (r->op & ALPS_OP_SMALL && alps_object_at_(h, r->block, &other) == 1)
            s = &other;
    }
    if (!t->policy->durable)
        return ALPS_OK;
    if (s) {
        err = alps_lines_add_(h, lines, s->pair, t);
    } else if ((r->op & 15) != ALPS_OP_SET &&
               alps_block_at_(h, r->block, &b) >= 0) {
        int publish = (r->op & 15) == ALPS_OP_PUBLISH;
        err = alps_codes_flush_(h, &b.zone, b.unit, publish ? r->units : 0, t);
    }
    return err || r->op & ALPS_OP_WORDLESS
               ? err
               : alps_lines_add_(h, lines, alps_address_(h, r->dest), t);
}

/* Carries the actions out. One fence. */
ALPS_CORE_ int alps_action_apply_(alps_handle *h, const alps_draft *o,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    alps_lines lines;
    alps_off off = o->log.first;
    lines.any = 0;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        int late = alps_action_do_(h, o, i, alps_log_at_(h, &off), &lines, t);
        err = err ? err : late;
        ALPS_BARRIER_();
        alps_store_(&o->lane->apply, i + 2);
    }
    if (!err)
        err = alps_lines_flush_(h, &lines, t);
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
