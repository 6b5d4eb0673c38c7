/* extent.h -- heap extents: made, built, given back
 *
 * An extent is free, part of a large object, or a heap extent that holds small
 * blocks under a map of its own and belongs to a shard, see block.h. A shard
 * that has no room builds extents that this epoch has not touched, then makes
 * one; what is empty goes back when runs of extents are asked for. */
#pragma once
#include "holes.h"

/* How many extents one allocation rebuilds before it prefers a fresh one: the
 * first allocation after a crash is bounded by this. */
#ifndef ALPS_REBUILD_MAX
#  define ALPS_REBUILD_MAX 16u
#endif

/* Makes all of the extent, whatever was there, one free run; answers what it
 * is then. */
ALPS_FN_ alps_zone alps_extent_clear_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    for (uint64_t word = 0; word < (z.end + 31) / 32; word++)
        alps_store_(&z.codes[word], 0);
    alps_code_set_(z.codes, z.first, ALPS_FREE);
    memset(alps_address_(h, z.origin + h->at.told), 0,
           (size_t)(h->at.heads - h->at.told));
    return z;
}

/* Makes the extent at `off`, which is held, a heap extent of shard `s`. Its map
 * and kind are durable before its code says that it is used. Under the locks of
 * `s` and of all extents. */
ALPS_CORE_ int alps_extent_fill_(alps_handle *h, alps_shard *s, alps_off off,
                                 const alps_tables *t)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t extent = alps_zone_unit_(&top, off);
    // what is there may be of a former region
    alps_store_(&alps_extent_(h, extent)->built, alps_build_void_(h, s));
    alps_zone z = alps_extent_clear_(h, extent);
    int err = t->policy->flush(&h->map, alps_extent_(h, extent),
                               sizeof(alps_extent) + z.end / 4);
    alps_extent_kind_set_(h, extent, 1);
    if (!err)
        err = t->policy->flush(&h->map, &h->kinds[extent / 64], 8);
    if (!err)
        err = t->fence(&h->map);
    if (!err) {
        alps_code_set_(h->codes, extent, ALPS_USED);
        err = alps_codes_flush_(h, &top, extent, 1, t);
    }
    if (!err)
        err = t->fence(&h->map);
    if (err)
        alps_give_large_(h, extent);
    return err;
}

/* Makes a free extent a heap extent of shard `s`, empty and in the index. Under
 * its lock. */
ALPS_CORE_ int alps_extent_make_(alps_handle *h, alps_shard *s,
                                 const alps_tables *t)
{
    alps_off off;
    alps_shard_lock_(h, h->top, 1, t);
    int err = alps_holes_take_(h, 1, 1, ALPS_HELD, &off, t);
    if (!err)
        err = alps_extent_fill_(h, s, off, t);
    alps_shard_unlock_(h->top);
    if (err)
        return err;
    alps_block b;
    b.zone = alps_zone_extent_(h, (off - h->at.heap) >> h->at.extent_shift);
    b.shard = s;
    b.level = ALPS_LEVEL_GRANULE;
    alps_block_build_(h, &b);
    return ALPS_OK;
}

/* Makes a heap extent without a block, whose run is not in the index any more,
 * free. The kind bit that it leaves set means nothing while it is free; who
 * takes it for a large object clears it. Under the lock of its shard. */
ALPS_CORE_ int alps_extent_drop_(alps_handle *h, uint64_t extent,
                                 const alps_tables *t)
{
    alps_shard_lock_(h, h->top, 1, t);
    alps_block b;
    alps_block_large_(h, extent, &b);
    alps_block_build_(h, &b);
    alps_code_set_(b.zone.codes, extent, ALPS_HELD);
    int err = alps_codes_flush_(h, &b.zone, extent, 1, t);
    if (!err)
        err = t->fence(&h->map);
    alps_give_large_(h, extent);
    alps_shard_unlock_(h->top);
    return err;
}

/* Gives the heap extents of `s` without a block to those of any use; adds to
 * `n` how many. Under its lock. */
ALPS_CORE_ int alps_extents_drop_(alps_handle *h, alps_shard *s, uint64_t *n,
                                  const alps_tables *t)
{
    uint64_t whole =
        (1ull << (h->at.extent_shift - ALPS_GRANULE_SHIFT)) - h->at.first;
    alps_bin bin = alps_bin_of_(whole);
    alps_off off = s->index.head[bin.row][bin.column];
    for (uint64_t looks = alps_extents_(h); off && looks; looks--) {
        alps_block b;
        if (alps_block_at_(h, off, &b) != ALPS_FREE || b.shard != s ||
            b.level) {
            alps_index_reset_(s);
            return ALPS_ECORRUPT;
        }
        off = alps_run_(&b.zone, b.unit)->next;
        if (alps_zone_units_(&b.zone, b.unit) != whole)
            continue;
        if (alps_run_unlink_(h, &b.zone, b.unit)) {
            alps_index_reset_(s);
            return ALPS_ECORRUPT;
        }
        alps_idle_turn_(h, &s->index, -1);
        int err = alps_extent_drop_(
            h, (b.zone.origin - h->at.heap) >> h->at.extent_shift, t);
        if (err)
            return err;
        ++*n;
    }
    return ALPS_OK;
}

/* Sees to the free runs of one heap extent, if it is of shard `s` or of none
 * yet; 1 if it was not in the index before. */
ALPS_CORE_ int alps_extent_build_(alps_handle *h, alps_shard *s,
                                  uint64_t extent, const alps_tables *t)
{
    alps_block b;
    if (!alps_extent_heap_(h, extent) ||
        alps_load_(&alps_extent_(h, extent)->built) == s->built)
        return 0;
    b.zone = alps_zone_extent_(h, extent);
    b.shard = alps_shard_named_(h, extent);
    b.level = ALPS_LEVEL_GRANULE;
    return (b.shard == s || !alps_shard_has_(h, b.shard, extent)) &&
           alps_block_joins_(h, &b, s, t);
}

/* Rebuilds heap extents for `s`, at most `max`, until one brings a run of
 * `units`: its own, and those that this epoch has not touched. Answers through
 * `n` how many. Under its lock. */
ALPS_CORE_ void alps_extents_build_(alps_handle *h, alps_shard *s,
                                    uint64_t units, uint64_t max, uint64_t *n,
                                    const alps_tables *t)
{
    uint64_t extents = alps_extents_(h);
    for (*n = 0; *n < max;) {
        uint64_t extent;
        if (s->cursor < extents)
            extent = s->cursor++;
        else if (alps_load_(&h->shared->cursor) < extents)
            extent =
                __atomic_fetch_add(&h->shared->cursor, 1, __ATOMIC_RELAXED);
        else
            return;
        if (extent >= extents || !alps_extent_build_(h, s, extent, t))
            continue;
        ++*n;
        if (alps_index_find_(h, &s->index, units, ALPS_GRANULE_SHIFT))
            return;
    }
}

/* Makes the empty heap extents of all shards free; answers how many through
 * `n`. No lock of a shard is held. */
ALPS_CORE_ int alps_extents_empty_(alps_handle *h, uint64_t *n,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    *n = 0;
    for (alps_shard *s = h->shards; !err && s < h->top; s++) {
        alps_shard_lock_(h, s, 0, t);
        for (int spoilt = 0; spoilt < 3; spoilt++) {
            uint64_t built;
            alps_extents_build_(h, s, ~0ull >> 16, ~0ull, &built, t);
            err = alps_extents_drop_(h, s, n, t);
            if (err != ALPS_ECORRUPT)
                break;
        }
        alps_shard_unlock_(s);
    }
    return err;
}

/* Brings more into the index of `s`, which has no run of `units`: an extent not
 * yet rebuilt, a fresh extent. ALPS_EFULL: there is no more. Under its lock. */
ALPS_CORE_ int alps_refill_(alps_handle *h, alps_shard *s, uint64_t units,
                            const alps_tables *t)
{
    uint64_t n;
    for (int all = 0; all < 2; all++) {
        alps_extents_build_(h, s, units, all ? ~0ull : ALPS_REBUILD_MAX, &n, t);
        if (n && alps_index_find_(h, &s->index, units, ALPS_GRANULE_SHIFT))
            return ALPS_OK;
        int err = all ? ALPS_EFULL : alps_extent_make_(h, s, t);
        if (err != ALPS_EFULL)
            return err;
    }
    return ALPS_EFULL;
}

/* The block that the table of reservations of `s` is in, whose zone is built
 * while it is still held; 0 if that is the one made for it. */
ALPS_CORE_ int alps_held_block_(alps_handle *h, const alps_shard *s,
                                alps_block *b)
{
    if (alps_block_at_(h, alps_held_place_(s), b) != ALPS_HELD)
        return 0;
    alps_block_build_(h, b);
    return 1;
}

/* Goes back to the first table of reservations, when there are none left. Where
 * the table is a run of extents, that changes hands under their lock. */
ALPS_CORE_ int alps_held_unfold_(alps_handle *h, alps_shard *s,
                                 const alps_tables *t)
{
    alps_block b;
    alps_off off = alps_held_place_(s);
    int large = s != h->top &&
                !alps_extent_heap_(h, (off - h->at.heap) >> h->at.extent_shift);
    if (large)
        alps_shard_lock_(h, h->top, 1, t);
    int has = alps_held_block_(h, s, &b);
    alps_held_reset_(h, s);
    if (has)
        alps_give_back_(h, &b);
    if (large)
        alps_shard_unlock_(h->top);
    return ALPS_OK;
}

/* An entry has been taken out of the table of `s`. */
ALPS_CORE_ void alps_held_fold_(alps_handle *h, alps_shard *s,
                                const alps_tables *t)
{
    if (ALPS_UNLIKELY_(alps_held_place_(s) != alps_held_first_(h, s) &&
                       !s->held_used))
        t->slow(h, ALPS_SLOW_FOLD, (uint64_t)(uintptr_t)s, 0);
}
