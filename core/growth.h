/* growth.h -- a region gets longer in place
 *
 * All addresses up to the limit are held at open, so nothing moves and nobody
 * has to be told: the size in the superblock is read again wherever it counts.
 * Growing is a change of extents, under the lock of all extents; so any number
 * of threads and processes may find the region full at once, and one step is
 * taken for all of them. */
#pragma once
#include "region.h"

/* The most extents the region can have here: what its limit lets it have, and
 * what there are addresses for in this process. */
ALPS_FN_ uint64_t alps_growth_most_(const alps_handle *h)
{
    uint64_t most = alps_geometry_extents_(&h->at, h->map.reserved);
    return most < h->at.extents_max ? most : h->at.extents_max;
}

/* Whether an allocation that finds no room may make the region longer. */
ALPS_FN_ int alps_growth_may_(const alps_handle *h)
{
    return h->grow != ALPS_GROW_NEVER && !h->map.fixed &&
           alps_extents_(h) < alps_growth_most_(h);
}

/* Makes the region `size` bytes long, more than it is. The medium first, then
 * the code that starts the new extents, then the size: a crash leaves the old
 * one or the new one. Under the lock of all extents. */
ALPS_CORE_ int alps_growth_extend_(alps_handle *h, uint64_t size,
                                   const alps_tables *t)
{
    uint64_t old = alps_extents_(h);
    uint64_t now = alps_geometry_extents_(&h->at, size);
    int err = t->backend->resize(&h->map, size);
    if (!err)
        err = alps_region_loose_(h, 1, t);
    if (!err && now > old) {
        alps_code_clear_(h->codes, old, now);
        alps_code_set_(h->codes, old, ALPS_FREE);
        err =
            t->policy->flush(&h->map, (const unsigned char *)h->codes + old / 4,
                             now / 4 - old / 4 + 1);
        if (!err)
            err = t->fence(&h->map);
    }
    if (err)
        return err;
    ALPS_BARRIER_();
    alps_store_(&h->super->size, alps_seal_(size));
    err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->fence(&h->map);
    alps_index_reset_(h->top);
    return err;
}

/* Makes the region `size` bytes long, at most its limit; see alps_grow. */
ALPS_CORE_ int alps_growth_to_(alps_handle *h, uint64_t size,
                               const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (size > h->at.limit || size > h->map.reserved)
        return ALPS_ELIMIT;
    alps_shard_lock_(h, h->top, 0, t);
    if (size > alps_size_(h))
        err = h->map.fixed ? ALPS_ELIMIT : alps_growth_extend_(h, size, t);
    alps_shard_unlock_(h->top);
    return err;
}

/* Makes the region longer by what a run of `extents` lacks at its end, or by a
 * step if that is more: so n allocations take O(log n) steps. If the medium has
 * no room for that, by no more than is needed. Under the lock of all
 * extents. */
ALPS_CORE_ int alps_growth_step_(alps_handle *h, uint64_t extents,
                                 const alps_tables *t)
{
    uint64_t now = alps_extents_(h);
    uint64_t most = alps_growth_most_(h);
    uint64_t tail = alps_tail_free_(h);
    uint64_t need = extents > tail ? extents - tail : 1;
    uint64_t step = h->grow ? (h->grow - 1) >> h->at.extent_shift : now / 8;
    step += h->grow || !step;
    if (now >= most || need > most - now)
        return ALPS_EFULL;
    if (step < need)
        step = need;
    if (step > most - now)
        step = most - now;
    uint64_t shift = h->at.extent_shift;
    int err = alps_growth_extend_(h, h->at.heap + ((now + step) << shift), t);
    if (err == ALPS_ENOSPC && step > need)
        err = alps_growth_extend_(h, h->at.heap + ((now + need) << shift), t);
    return err;
}

/* A region that had `size` bytes has no room for a run of `extents`, whatever
 * was tried: makes it longer, unless somebody did so meanwhile. ALPS_EFULL: it
 * may not grow so far. ALPS_ENOSPC: the medium is full. */
ALPS_CORE_ int alps_growth_demand_(alps_handle *h, uint64_t size,
                                   uint64_t extents, const alps_tables *t)
{
    if (!alps_growth_may_(h))
        return alps_size_(h) == size ? ALPS_EFULL : ALPS_OK;
    alps_shard_lock_(h, h->top, 0, t);
    int err =
        alps_size_(h) == size ? alps_growth_step_(h, extents, t) : ALPS_OK;
    alps_shard_unlock_(h->top);
    return err;
}
