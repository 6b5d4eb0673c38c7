/* heap.h -- blocks: taken, freed
 *
 * Blocks of whole granules (64 bytes), aligned to them, without headers; above
 * half an extent, of whole extents. Under a durable policy a block is durably
 * allocated when it is taken and durably free when it is freed, for one
 * fence each; no lock is held across it. A freed block enters the index only
 * after its fence: so nothing in the index is marked used on the medium, which
 * is what lets recovery tell a publish that was cut short (docs/design.md). */
#pragma once
#include "ptr.h"
#include "region.h"

/* A request in units of the level that serves it. */
typedef struct alps_request {
    uint64_t units, align;
    int level;
    unsigned code; /* of the block: ALPS_USED or ALPS_HELD */
} alps_request;

ALPS_FN_ int alps_request_init_(const alps_handle *h, uint64_t align,
                                uint64_t n, unsigned code, alps_request *r)
{
    if (align & (align - 1) || align > h->at.extent || n > ALPS_SIZE_MAX)
        return ALPS_EINVAL;
    r->align = align ? align : 1;
    r->code = code;
    r->units = (n + !n + ALPS_GRANULE - 1) >> ALPS_GRANULE_SHIFT;
    r->level = ALPS_LEVEL_GRANULE;
    uint64_t room =
        r->units +
        (r->align > ALPS_GRANULE ? (r->align >> ALPS_GRANULE_SHIFT) - 1 : 0);
    if (ALPS_UNLIKELY_(room > h->at.granules / 2)) {
        r->level = ALPS_LEVEL_EXTENT;
        r->units = (n + !n + h->at.extent - 1) >> h->at.extent_shift;
    }
    return ALPS_OK;
}

/* Takes a block for `r`, refilling the index as often as it helps. Under the
 * lock. A spoilt index is reset, and the search begun again, twice. */
ALPS_CORE_ int alps_heap_take_(alps_handle *h, const alps_request *r,
                               alps_off *off, const alps_tables *t)
{
    int err = alps_take_(h, r->level, r->units, r->align, r->code, off);
    for (int spoilt = 0; ALPS_UNLIKELY_(err != ALPS_OK);) {
        if (err == ALPS_EFULL)
            err = t->slow(h, ALPS_SLOW_REFILL,
                          r->units + (r->align >> ALPS_GRANULE_SHIFT),
                          (uint64_t)r->level);
        if (err == ALPS_ECORRUPT && ++spoilt < 3)
            err = ALPS_OK;
        if (err)
            return err;
        err = alps_take_(h, r->level, r->units, r->align, r->code, off);
    }
    return ALPS_OK;
}

/* The zone of a block of `level` at `off`. */
ALPS_FN_ void alps_heap_block_(const alps_handle *h, alps_off off, int level,
                               alps_block *b)
{
    b->level = level;
    b->zone =
        level == ALPS_LEVEL_EXTENT
            ? alps_zone_top_(h)
            : alps_zone_extent_(h, (off - h->at.heap) >> h->at.extent_shift);
    b->unit = alps_zone_unit_(&b->zone, off);
}

/* What else an allocation is to do. */
enum {
    ALPS_ALLOC_ZERO = 1, /* zero the block */
    ALPS_ALLOC_LATER = 2 /* leave the fence to the caller */
};

/* Makes the used block at `off` durable, with the zeroes in it if so asked.
 * One fence. */
ALPS_CORE_ int alps_heap_settle_(alps_handle *h, alps_off off,
                                 const alps_request *r, int how,
                                 const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    alps_heap_block_(h, off, r->level, &b);
    if (how & ALPS_ALLOC_ZERO)
        err = t->policy->flush(&h->map, alps_address_(h, off),
                               r->units << b.zone.shift);
    if (!err)
        err = alps_codes_flush_(h, &b.zone, b.unit, r->units, t);
    if (err || how & ALPS_ALLOC_LATER)
        return err;
    return t->policy->fence(&h->map, t->backend);
}

/* Takes a run of extents, durably known to be no heap extent before its code
 * says that it is used. One fence. */
ALPS_CORE_ int alps_heap_take_large_(alps_handle *h, alps_request *r,
                                     alps_off *off, const alps_tables *t)
{
    alps_block b;
    alps_lane *lane = alps_lane_take_(h, t);
    r->code = ALPS_HELD;
    alps_lock_(h, t);
    int err = alps_heap_take_(h, r, off, t);
    if (!err)
        alps_store_(&lane->held, *off);
    alps_unlock_(h);
    if (!err) {
        alps_heap_block_(h, *off, r->level, &b);
        err = t->policy->flush(&h->map, &h->kinds[b.unit / 64], 8);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        alps_lock_(h, t);
        if (err)
            alps_give_(h, &b);
        else
            alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
        alps_store_(&lane->held, 0);
        alps_unlock_(h);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Takes a block of `n` bytes; `how` is of ALPS_ALLOC_... */
ALPS_CORE_ void *alps_heap_alloc_(alps_handle *h, uint64_t align, uint64_t n,
                                  int how, const alps_tables *t)
{
    alps_request r;
    alps_off off = 0;
    int err = alps_request_init_(h, align, n, ALPS_USED, &r);
    if (ALPS_LIKELY_(!err))
        err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err != ALPS_OK)) {
        alps_fail_(h, err);
        return NULL;
    }
    if (t->policy->durable && r.level == ALPS_LEVEL_EXTENT) {
        err = alps_heap_take_large_(h, &r, &off, t);
    } else {
        alps_lock_(h, t);
        err = alps_heap_take_(h, &r, &off, t);
        alps_unlock_(h);
    }
    if (ALPS_UNLIKELY_(err != ALPS_OK)) {
        alps_fail_(h, err);
        return NULL;
    }
    void *p = alps_address_(h, off);
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    if (t->policy->durable) {
        err = alps_heap_settle_(h, off, &r, how, t);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* Finds the block at `p` for one who is to free it or publish it: 0 if its
 * code is `code`, and if it is held, by this process. Its zone is in the index
 * then. Under the lock. */
ALPS_CORE_ int alps_heap_own_(alps_handle *h, alps_off off, unsigned code,
                              alps_block *b)
{
    int is = alps_block_at_(h, off, b);
    if (is < 0 || (unsigned)is != code)
        return ALPS_EINVALID_FREE;
    if (code == ALPS_HELD) {
        int slot = alps_held_slot_(h, off);
        if (slot < 0 || slot == (int)ALPS_HELD_LIMBO_)
            return ALPS_EINVALID_FREE; // it is free, or as good as that
        if ((unsigned)slot != h->slot)
            return ALPS_EOWNER;
    }
    alps_block_build_(h, b);
    return ALPS_OK;
}

/* The second half of a durable free: the block at `off` is durably not used,
 * and enters the index. */
ALPS_CORE_ void alps_heap_enter_(alps_handle *h, alps_lane *lane, alps_off off,
                                 const alps_tables *t)
{
    alps_lock_(h, t);
    alps_held_give_(h, off);
    alps_store_(&lane->held, 0);
    alps_unlock_(h);
}

/* Marks the used block ALPS_HELD for `lane`. Under the lock. */
ALPS_FN_ void alps_heap_hold_(alps_lane *lane, const alps_block *b)
{
    alps_store_(&lane->held, alps_zone_off_(&b->zone, b->unit));
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
}

/* Frees the used block at `off`, durably. One fence, outside the lock. */
ALPS_CORE_ int alps_heap_free_durable_(alps_handle *h, alps_off off,
                                       const alps_tables *t)
{
    alps_block b;
    alps_lane *lane = alps_lane_take_(h, t);
    alps_lock_(h, t);
    int err = alps_heap_own_(h, off, ALPS_USED, &b);
    if (!err)
        alps_heap_hold_(lane, &b);
    alps_unlock_(h);
    if (!err) {
        err = alps_codes_flush_(h, &b.zone, b.unit, 0, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        alps_heap_enter_(h, lane, off, t);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Gives a reservation back; see alps_cancel. */
ALPS_CORE_ int alps_heap_cancel_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    alps_lock_(h, t);
    int err = alps_heap_own_(h, off, ALPS_HELD, &b);
    if (!err) {
        alps_give_(h, &b);
        alps_held_drop_(h, alps_held_find_(h, off));
        alps_held_fold_(h);
    }
    alps_unlock_(h);
    return err;
}

/* Frees the block at `off`, or gives the reservation back that it is. */
ALPS_CORE_ int alps_heap_free_(alps_handle *h, alps_off off,
                               const alps_tables *t)
{
    alps_block b;
    int err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err))
        return err;
    if (t->policy->durable) {
        err = alps_heap_free_durable_(h, off, t);
    } else {
        alps_lock_(h, t);
        err = alps_heap_own_(h, off, ALPS_USED, &b);
        if (ALPS_LIKELY_(!err))
            alps_give_(h, &b);
        alps_unlock_(h);
    }
    if (ALPS_UNLIKELY_(err == ALPS_EINVALID_FREE &&
                       alps_block_at_(h, off, &b) == ALPS_HELD))
        err = alps_heap_cancel_(h, off, t);
    return err;
}
