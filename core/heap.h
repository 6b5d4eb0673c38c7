/* heap.h -- blocks: taken, freed
 *
 * Blocks of whole granules (64 bytes), aligned to them, without headers; above
 * half an extent, of whole extents. Under a durable policy a block is durably
 * allocated when it is taken and durably free when it is freed, for one
 * fence each; no lock is held across it. A freed block enters the index only
 * after its fence: so nothing in the index is marked used on the medium, which
 * is what lets recovery tell a publish that was cut short (docs/design.md). */
#pragma once
#include "growth.h"
#include "ptr.h"

/* A request in units of the level that serves it. */
typedef struct alps_request {
    uint64_t units, align;
    int level;
    unsigned code;     /* of the block: ALPS_USED or ALPS_HELD */
    int fixed;         /* 1: the region is not to grow for it */
    alps_shard *shard; /* that it was taken from, and that is locked */
} alps_request;

ALPS_FN_ int alps_request_init_(const alps_handle *h, uint64_t align,
                                uint64_t n, unsigned code, alps_request *r)
{
    if (align & (align - 1) || align > h->at.extent || n > ALPS_SIZE_MAX)
        return ALPS_EINVAL;
    r->align = align ? align : 1;
    r->code = code;
    r->fixed = 0;
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

/* Takes a run for `r` from its shard, which is locked, and whose index is
 * refilled as often as it helps. One that is spoilt is reset, and the search
 * begun again, twice. */
ALPS_CORE_ int alps_shard_take_(alps_handle *h, const alps_request *r,
                                alps_off *off, const alps_tables *t)
{
    for (int spoilt = 0;;) {
        int err =
            r->shard == h->top
                ? alps_holes_take_(h, r->units, r->align, r->code, off, t)
                : alps_take_any_(h, r->shard, r->units, r->align, r->code, off);
        if (err == ALPS_EFULL && r->shard != h->top)
            err = alps_refill_(h, r->shard,
                               r->units + (r->align >> ALPS_GRANULE_SHIFT), t);
        else if (err != ALPS_ECORRUPT)
            return err;
        if (err && (err != ALPS_ECORRUPT || ++spoilt == 3))
            return err;
    }
}

/* Takes a block for `r` from a shard, and leaves it locked if there is one. */
ALPS_CORE_ int alps_heap_try_(alps_handle *h, alps_request *r, alps_shard *s,
                              alps_off *off, const alps_tables *t)
{
    alps_shard_lock_(h, s, 0, t);
    r->shard = s;
    int err = t->slow(h, ALPS_SLOW_TAKE, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    if (err)
        alps_shard_unlock_(s);
    return err;
}

/* Looks for granules in all shards, the thread's own first; or for extents,
 * also among those that are empty. */
ALPS_CORE_ int alps_heap_look_(alps_handle *h, alps_request *r, alps_off *off,
                               const alps_tables *t)
{
    uint64_t n = 1;
    int err = ALPS_EFULL;
    if (r->level == ALPS_LEVEL_GRANULE) {
        uint64_t home = (uint64_t)(alps_shard_home_(h) - h->shards);
        for (uint64_t i = 0; err == ALPS_EFULL && i < h->at.shard_count; i++)
            err = alps_heap_try_(
                h, r, &h->shards[(home + i) & (h->at.shard_count - 1)], off, t);
        return err;
    }
    while (n) {
        err = alps_heap_try_(h, r, h->top, off, t);
        if (err != ALPS_EFULL)
            return err;
        err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
        if (err)
            return err;
    }
    return ALPS_EFULL;
}

/* The same; all that can comes back then, and at last the region grows. */
ALPS_CORE_ int alps_heap_search_(alps_handle *h, alps_request *r, alps_off *off,
                                 const alps_tables *t)
{
    uint64_t extents = r->level == ALPS_LEVEL_EXTENT ? r->units : 1;
    for (;;) {
        uint64_t size = alps_size_(h);
        int err = alps_heap_look_(h, r, off, t);
        if (err != ALPS_EFULL)
            return err;
        err = t->slow(h, ALPS_SLOW_MORE, 0, 0);
        if (err == ALPS_EFULL && !r->fixed)
            err = alps_growth_demand_(h, size, extents, t);
        if (err)
            return err;
    }
}

/* Takes a block for `r`; r->shard is where, and is locked then. `fast`: nothing
 * follows, such as a fence, beside which a call would not be seen. */
ALPS_FAST_ int alps_heap_take_(alps_handle *h, alps_request *r, int fast,
                               alps_off *off, const alps_tables *t)
{
    if (ALPS_LIKELY_(r->level == ALPS_LEVEL_GRANULE)) {
        r->shard = alps_shard_apart_(h);
        alps_shard_lock_(h, r->shard, 0, t);
        if (ALPS_LIKELY_(alps_take_(h, r->shard, fast, r->units, r->align,
                                    r->code, off) == ALPS_OK))
            return ALPS_OK;
        alps_shard_unlock_(r->shard);
    }
    return t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                   (uint64_t)(uintptr_t)off);
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
    b->shard =
        level == ALPS_LEVEL_EXTENT
            ? h->top
            : alps_shard_named_(h, (off - h->at.heap) >> h->at.extent_shift);
    b->unit = alps_zone_unit_(&b->zone, off);
}

/* What else an allocation is to do. */
enum {
    ALPS_ALLOC_ZERO = 1, /* zero the block */
    ALPS_ALLOC_LATER = 2 /* leave the fence to the caller */
};

/* Makes the used block at `off` durable, with the zeroes in it if so asked.
 * One fence. */
ALPS_FAST_ int alps_heap_settle_(alps_handle *h, alps_off off,
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
    return t->fence(&h->map);
}

/* Takes a run of extents, durably known to be no heap extent before its code
 * says that it is used. One fence. */
ALPS_CORE_ int alps_heap_take_large_(alps_handle *h, alps_request *r,
                                     alps_off *off, const alps_tables *t)
{
    alps_block b;
    alps_lane *lane = alps_lane_take_(h, t);
    r->code = ALPS_HELD;
    int err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    if (!err) {
        alps_store_(&lane->held, *off);
        alps_shard_unlock_(r->shard);
        alps_heap_block_(h, *off, r->level, &b);
        err = t->policy->flush(&h->map, &h->kinds[b.unit / 64], 8);
        if (!err)
            err = t->fence(&h->map);
        alps_shard_lock_(h, b.shard, 0, t);
        alps_block_build_(h, &b);
        if (err)
            alps_give_back_(h, &b);
        else
            alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
        alps_store_(&lane->held, 0);
        alps_shard_unlock_(b.shard);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Takes a block of `n` bytes; `how` is of ALPS_ALLOC_... */
ALPS_FAST_ void *alps_heap_alloc_(alps_handle *h, uint64_t align, uint64_t n,
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
        err = alps_heap_take_(h, &r, !t->policy->durable, &off, t);
        if (ALPS_LIKELY_(!err))
            alps_shard_unlock_(r.shard);
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

/* Finds the block at `off` for one who is to free it or publish it: 0 if its
 * code is `code`, and if it is held, by this process. The lock of its shard is
 * taken then, and its zone is in the index. */
ALPS_CORE_ int alps_heap_own_(alps_handle *h, alps_off off, unsigned code,
                              alps_block *b, const alps_tables *t)
{
    int err = ALPS_OK;
    int is = alps_block_lock_(h, off, b, 0, t);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    if (ALPS_UNLIKELY_((unsigned)is != code)) {
        err = ALPS_EINVALID_FREE;
    } else if (code == ALPS_HELD) {
        int slot = alps_held_slot_(h, b->shard, off);
        if (slot < 0 || slot == (int)ALPS_HELD_LIMBO_)
            err = ALPS_EINVALID_FREE; // it is free, or as good as that
        else if ((unsigned)slot != h->slot)
            err = ALPS_EOWNER;
    }
    if (ALPS_UNLIKELY_(err))
        alps_block_unlock_(b);
    return err;
}

/* The second half of a durable free: the block at `off` is durably not used,
 * and enters the index. The lane forgets it first: should we die in between,
 * the index is void, and who builds it finds a block that nobody holds. */
ALPS_CORE_ void alps_heap_enter_(alps_handle *h, alps_lane *lane, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 0, t);
    alps_store_(&lane->held, 0);
    ALPS_BARRIER_();
    if (code == ALPS_HELD)
        alps_give_back_(h, &b);
    if (code >= 0)
        alps_block_unlock_(&b);
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
}

/* Marks the used block ALPS_HELD for `lane`. Under the lock of its shard. */
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
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (!err) {
        alps_heap_hold_(lane, &b);
        alps_block_unlock_(&b);
        err = alps_codes_flush_(h, &b.zone, b.unit, 0, t);
        if (!err)
            err = t->fence(&h->map);
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
    int err = alps_heap_own_(h, off, ALPS_HELD, &b, t);
    if (err)
        return err;
    alps_held_drop_(h, b.shard, alps_held_find_(h, b.shard, off));
    alps_give_back_(h, &b);
    alps_held_fold_(h, b.shard, t);
    alps_block_unlock_(&b);
    return ALPS_OK;
}

/* Frees the used block at `off`, where only processes die. */
ALPS_FAST_ int alps_heap_free_fast_(alps_handle *h, alps_off off,
                                    const alps_tables *t)
{
    alps_block b;
    int code = alps_block_find_(h, off, &b);
    code = alps_block_found_(h, off, code, &b, 0, t);
    if (ALPS_LIKELY_(code == ALPS_USED))
        alps_give_(h, &b);
    if (ALPS_LIKELY_(code >= 0))
        alps_block_unlock_(&b);
    if (ALPS_UNLIKELY_(code != ALPS_USED))
        return ALPS_EINVALID_FREE;
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    return ALPS_OK;
}

/* Frees the block at `off`, or gives the reservation back that it is. */
ALPS_FAST_ int alps_heap_free_(alps_handle *h, alps_off off,
                               const alps_tables *t)
{
    alps_block b;
    int err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err))
        return err;
    err = t->policy->durable ? alps_heap_free_durable_(h, off, t)
                             : alps_heap_free_fast_(h, off, t);
    if (ALPS_UNLIKELY_(err == ALPS_EINVALID_FREE &&
                       alps_block_at_(h, off, &b) == ALPS_HELD))
        err = alps_heap_cancel_(h, off, t);
    return err;
}
