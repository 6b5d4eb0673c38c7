/* resize.h -- realloc
 *
 * In place where the block shrinks, or where the run behind it is free and
 * long enough; else a new block, a copy, and a free. */
#pragma once
#include "publish.h"

/* Cuts the block at `off` after `units`; the rest is freed as free does it. */
ALPS_CORE_ int alps_resize_cut_(alps_handle *h, alps_lane *lane, alps_off off,
                                uint64_t units, const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (err)
        return err;
    b.unit += units;
    alps_off rest = alps_zone_off_(&b.zone, b.unit);
    alps_heap_hold_(lane, &b);
    alps_block_unlock_(&b);
    if (t->policy->durable) {
        err = alps_codes_flush_(h, &b.zone, b.unit, 0, t);
        if (!err)
            err = t->fence(&h->map);
    }
    alps_heap_enter_(h, lane, rest, t);
    return err;
}

/* Takes `more` units off the front of the free run behind the block, as a held
 * block of their own. ALPS_EFULL where it is not free or too short. Under the
 * lock of their shard. */
ALPS_FN_ int alps_resize_claim_(alps_handle *h, alps_lane *lane,
                                const alps_block *next, uint64_t more)
{
    const alps_zone *z = &next->zone;
    if (next->unit >= z->end || alps_code_(z->codes, next->unit) != ALPS_FREE)
        return ALPS_EFULL;
    uint64_t have = alps_run_(z, next->unit)->units;
    if (alps_run_valid_(z, next->unit, have) && have < more)
        return ALPS_EFULL;
    if (!alps_run_valid_(z, next->unit, have) ||
        !alps_code_inside_(z->codes, next->unit + 1, next->unit + have) ||
        alps_run_unlink_(h, z, next->unit)) {
        alps_index_reset_(next->shard);
        return ALPS_EFULL;
    }
    if (have > more) {
        alps_code_set_(z->codes, next->unit + more, ALPS_FREE);
        alps_run_insert_(z, next->unit + more, have - more);
    }
    alps_heap_hold_(lane, next);
    return ALPS_OK;
}

/* Lets the block go on into `more` units behind it. What follows them is
 * durably a start before the block durably reaches up to it: two fences. */
ALPS_CORE_ int alps_resize_extend_(alps_handle *h, alps_lane *lane,
                                   alps_off off, uint64_t units, uint64_t more,
                                   const alps_tables *t)
{
    alps_block next;
    int err = alps_heap_own_(h, off, ALPS_USED, &next, t);
    if (err)
        return err;
    next.unit += units;
    err = alps_resize_claim_(h, lane, &next, more);
    if (!err && next.level == ALPS_LEVEL_EXTENT) {
        err = alps_holes_fill_(h, next.unit, more, t);
        if (err) {
            alps_store_(&lane->held, 0);
            ALPS_BARRIER_();
            alps_give_back_(h, &next);
        }
    }
    alps_block_unlock_(&next);
    if (!err && t->policy->durable) {
        err = alps_codes_flush_(h, &next.zone, next.unit, more, t);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            alps_heap_enter_(h, lane, alps_zone_off_(&next.zone, next.unit), t);
    }
    if (err)
        return err;
    alps_shard_lock_(h, next.shard, 0, t);
    alps_code_set_(next.zone.codes, next.unit, ALPS_INSIDE);
    alps_store_(&lane->held, 0);
    alps_block_unlock_(&next);
    if (!t->policy->durable)
        return ALPS_OK;
    err = alps_codes_flush_(h, &next.zone, next.unit, 0, t);
    return err ? err : t->fence(&h->map);
}

/* Changes the size of the block in place, or answers ALPS_EFULL. */
ALPS_CORE_ int alps_resize_in_place_(alps_handle *h, const alps_block *b,
                                     const alps_request *r,
                                     const alps_tables *t)
{
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (r->level != b->level)
        return ALPS_EFULL;
    if (r->units == units)
        return ALPS_OK;
    alps_lane *lane = alps_lane_take_(h, t);
    alps_off off = alps_zone_off_(&b->zone, b->unit);
    int err = r->units < units ? alps_resize_cut_(h, lane, off, r->units, t)
                               : alps_resize_extend_(h, lane, off, units,
                                                     r->units - units, t);
    alps_lane_leave_(lane);
    return err;
}

/* Whether the object or block at `off` serves `n` bytes where it is, perhaps
 * after its size was changed: ALPS_EFULL if it has to move. `old` is what it
 * has now. */
ALPS_CORE_ int alps_resize_here_(alps_handle *h, alps_off off, uint64_t n,
                                 uint64_t *old, const alps_tables *t)
{
    alps_object o;
    alps_block b;
    alps_request r;
    int is = alps_object_at_(h, off, &o);
    if (is < 0 || (is && !alps_object_live_(&o)))
        return ALPS_EINVALID_FREE;
    if (is) {
        *old = alps_kind_size_(o.kind);
        return n <= *old && n > *old / 2 ? ALPS_OK : ALPS_EFULL;
    }
    if (alps_block_at_(h, off, &b) != ALPS_USED)
        return ALPS_EINVALID_FREE;
    *old = alps_block_size_(&b);
    if (alps_small_size_(h, 1, n) && *old > 2 * n)
        return ALPS_EFULL;
    int err = alps_request_init_(h, 1, n, ALPS_USED, &r);
    return err ? err : alps_resize_in_place_(h, &b, &r, t);
}

/* See alps_realloc. */
ALPS_CORE_ void *alps_resize_(alps_handle *h, void *p, uint64_t n,
                              const alps_tables *t)
{
    uint64_t old = 0;
    if (!p)
        return alps_small_alloc_(h, 1, n, 0, t);
    int err = alps_ready_(h, t);
    if (!err)
        err = n > ALPS_SIZE_MAX
                  ? ALPS_EINVAL
                  : alps_resize_here_(h, alps_offset_(h, p), n, &old, t);
    if (!err)
        return p;
    if (err != ALPS_EFULL) {
        alps_fail_(h, err);
        return NULL;
    }
    void *to = alps_small_alloc_(h, 1, n, ALPS_ALLOC_LATER, t);
    if (!to)
        return n <= old ? p : NULL;
    memcpy(to, p, old < n ? old : n);
    err = t->policy->flush(&h->map, to, old < n ? old : n);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_small_free_(h, p, t);
    if (err)
        alps_fail_(h, err);
    return to;
}
