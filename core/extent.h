/* extent.h -- extents: found, built, made, given back
 *
 * An extent is free, part of a large object, or a heap extent that holds small
 * blocks under a map of its own. A heap extent enters the index when it is
 * first needed in an epoch: its free runs are read off its codes (*rebuild*).
 * This is the one path of recovery, for power failure, the death of a process
 * and an index that a stray store has spoilt. Runs under the lock. */
#pragma once
#include "held.h"
#include "lock.h"
#include "slab.h"

/* How many extents one allocation rebuilds before it prefers a fresh one: the
 * first allocation after a crash is bounded by this. */
#ifndef ALPS_REBUILD_MAX
#  define ALPS_REBUILD_MAX 16u
#endif

ALPS_FN_ alps_extent *alps_extent_(const alps_handle *h, uint64_t extent)
{
    return (alps_extent *)alps_address_(h, h->at.heap +
                                               (extent << h->at.extent_shift));
}

ALPS_FN_ int alps_extent_kind_(const alps_handle *h, uint64_t extent)
{
    return (int)(alps_load_(&h->kinds[extent / 64]) >> (extent % 64) & 1);
}

ALPS_FN_ void alps_extent_kind_set_(const alps_handle *h, uint64_t extent,
                                    int heap)
{
    uint64_t *word = &h->kinds[extent / 64];
    uint64_t bit = 1ull << (extent % 64);
    alps_store_(word, heap ? alps_load_(word) | bit : alps_load_(word) & ~bit);
}

/* Whether `extent` holds small blocks. */
ALPS_FN_ int alps_extent_heap_(const alps_handle *h, uint64_t extent)
{
    return alps_code_(h->codes, extent) == ALPS_USED &&
           alps_extent_kind_(h, extent);
}

/* A block: where its code is. */
typedef struct alps_block {
    alps_zone zone;
    uint64_t unit;
    int level;
} alps_block;

/* The block that starts at `off`, as far as one can start there, with its
 * code; or -1. Needs no lock. */
ALPS_CORE_ int alps_block_at_(const alps_handle *h, alps_off off, alps_block *b)
{
    if (off < h->at.heap || off % ALPS_GRANULE)
        return -1;
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    if (extent >= h->at.extents_max)
        return -1;
    if (ALPS_LIKELY_(alps_extent_heap_(h, extent))) {
        b->zone = alps_zone_extent_(h, extent);
        b->level = ALPS_LEVEL_GRANULE;
    } else if (extent < alps_extents_(h)) {
        b->zone = alps_zone_top_(h);
        b->level = ALPS_LEVEL_EXTENT;
    } else {
        return -1;
    }
    b->unit = alps_zone_unit_(&b->zone, off);
    if (b->unit < b->zone.first || alps_zone_off_(&b->zone, b->unit) != off)
        return -1;
    return (int)alps_code_(b->zone.codes, b->unit);
}

/* Bytes of the block. */
ALPS_FN_ uint64_t alps_block_size_(const alps_block *b)
{
    return alps_zone_units_(&b->zone, b->unit) << b->zone.shift;
}

/* Whether the ALPS_HELD block at `off` has a holder. */
ALPS_FN_ int alps_held_alive_(const alps_handle *h, alps_off off)
{
    if (off == alps_slab_place_(h, off) && alps_slab_is_(h, off))
        return 1;
    if (alps_held_slot_(h, off) >= 0 || alps_held_place_(h) == off)
        return 1;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_load_(&h->lanes[i].held) == off)
            return 1;
    return 0;
}

/* Whether what starts at `unit` is free: it says so, or nobody holds it. */
ALPS_FN_ int alps_zone_free_(const alps_handle *h, const alps_zone *z,
                             uint64_t unit)
{
    unsigned code = alps_code_(z->codes, unit);
    return code == ALPS_FREE ||
           (code == ALPS_HELD && !alps_held_alive_(h, alps_zone_off_(z, unit)));
}

/* Reads the free runs of a zone, none of which is in the index, off its codes;
 * runs side by side become one. O(units / 32 + runs). */
ALPS_COLD_ void alps_zone_rebuild_(const alps_handle *h, const alps_zone *z)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    while (unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        if (!alps_zone_free_(h, z, unit)) {
            unit = next;
            continue;
        }
        while (next < z->end && alps_zone_free_(h, z, next)) {
            alps_code_set_(z->codes, next, ALPS_INSIDE);
            next = alps_code_next_(z->codes, next + 1, z->end);
        }
        if (alps_code_(z->codes, unit) != ALPS_FREE)
            alps_code_set_(z->codes, unit, ALPS_FREE);
        alps_run_insert_(z, unit, next - unit);
        unit = next;
    }
}

/* The index is void: empty it, and distrust every extent. */
ALPS_COLD_ void alps_index_reset_(alps_handle *h)
{
    h->shared->built++;
    h->shared->cursor = 0;
    for (int level = 0; level < 2; level++) {
        alps_index *x = &h->index[level];
        x->rows = 0;
        for (unsigned row = 0; row < ALPS_ROWS; row++) {
            x->columns[row] = 0;
            for (unsigned column = 0; column < ALPS_COLUMNS; column++)
                x->head[row][column] = 0;
        }
    }
}

/* Where it is said for which epoch of the index a block's zone is built. */
ALPS_CORE_ uint64_t *alps_block_built_(const alps_handle *h,
                                       const alps_block *b)
{
    return b->level == ALPS_LEVEL_GRANULE
               ? &((alps_extent *)alps_address_(h, b->zone.origin))->built
               : &h->shared->built_top;
}

/* Makes sure that the free runs of a block's zone are in the index. */
ALPS_CORE_ void alps_block_build_(alps_handle *h, const alps_block *b)
{
    uint64_t *built = alps_block_built_(h, b);
    if (ALPS_LIKELY_(*built == h->shared->built))
        return;
    alps_zone zone = b->zone; // a copy: the other one stays in registers
    alps_zone_rebuild_(h, &zone);
    *built = h->shared->built;
}

/* Looks for a run of `units`, carves it, and gives it `code`; `off` is where it
 * is. ALPS_EFULL: the index has none. ALPS_ECORRUPT: the index was wrong, and
 * is reset; try again. */
ALPS_CORE_ int alps_take_level_(alps_handle *h, int level, uint64_t units,
                                uint64_t align, unsigned code, alps_off *off)
{
    alps_zone z;
    unsigned shift = ALPS_GRANULE_SHIFT;
    if (level == ALPS_LEVEL_EXTENT) {
        alps_block top;
        z = top.zone = alps_zone_top_(h);
        top.level = level;
        alps_block_build_(h, &top);
        shift = z.shift;
    }
    uint64_t extra = align >> shift > 1 ? (align >> shift) - 1 : 0;
    alps_off run = alps_index_find_(h, &h->index[level], units + extra, shift);
    if (!run)
        return ALPS_EFULL;
    int err = ALPS_ECORRUPT;
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (extent < h->at.extents_max && run % (1ull << shift) == 0 &&
        (level == ALPS_LEVEL_EXTENT || alps_extent_heap_(h, extent))) {
        if (level == ALPS_LEVEL_GRANULE)
            z = alps_zone_extent_(h, extent);
        uint64_t unit = alps_zone_unit_(&z, run);
        if (unit >= z.first && unit < z.end)
            err = alps_zone_carve_(h, &z, unit, units, align, code, &unit);
        if (!err)
            *off = alps_zone_off_(&z, unit);
        if (!err && level == ALPS_LEVEL_EXTENT && alps_extent_kind_(h, unit))
            alps_extent_kind_set_(h, unit, 0);
    }
    if (ALPS_UNLIKELY_(err == ALPS_ECORRUPT))
        alps_index_reset_(h);
    return err;
}

ALPS_COLD_ int alps_take_any_(alps_handle *h, int level, uint64_t units,
                              uint64_t align, unsigned code, alps_off *off)
{
    return alps_take_level_(h, level, units, align, code, off);
}

/* The same; small blocks, which are most, by a path of their own. */
ALPS_CORE_ int alps_take_(alps_handle *h, int level, uint64_t units,
                          uint64_t align, unsigned code, alps_off *off)
{
    if (ALPS_UNLIKELY_(level != ALPS_LEVEL_GRANULE || align > ALPS_GRANULE))
        return alps_take_any_(h, level, units, align, code, off);
    return alps_take_level_(h, ALPS_LEVEL_GRANULE, units, 1, code, off);
}

ALPS_CORE_ void alps_give_level_(alps_handle *h, const alps_block *b)
{
    alps_block_build_(h, b);
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (ALPS_UNLIKELY_(alps_zone_give_(h, &b->zone, b->unit, units)))
        alps_index_reset_(h);
}

ALPS_COLD_ void alps_give_large_(alps_handle *h, uint64_t extent)
{
    alps_block b;
    b.zone = alps_zone_top_(h);
    b.unit = extent;
    b.level = ALPS_LEVEL_EXTENT;
    alps_give_level_(h, &b);
}

/* Gives a block, whose code is not ALPS_FREE, back to the index. */
ALPS_CORE_ void alps_give_(alps_handle *h, const alps_block *b)
{
    if (ALPS_UNLIKELY_(b->level != ALPS_LEVEL_GRANULE)) {
        alps_give_large_(h, b->unit);
        return;
    }
    alps_block small = *b;
    small.zone.shift = ALPS_GRANULE_SHIFT; // known to the compiler from here
    small.level = ALPS_LEVEL_GRANULE;
    alps_give_level_(h, &small);
}

/* Goes back to the first table of reservations when there are none left. */
ALPS_CORE_ void alps_held_fold_(alps_handle *h)
{
    alps_block b;
    alps_off off = alps_held_place_(h);
    if (ALPS_LIKELY_(off == h->at.held) || h->shared->held_used)
        return;
    if (alps_block_at_(h, off, &b) != ALPS_HELD) {
        alps_held_reset_(h);
        return;
    }
    alps_block_build_(h, &b); // while it is still the table
    alps_held_reset_(h);
    alps_give_(h, &b);
}

/* Writes back the codes from the one of `unit` to the one that ends its
 * `units`: also those that somebody else changed and did not write back. */
ALPS_CORE_ int alps_codes_flush_(alps_handle *h, const alps_zone *z,
                                 uint64_t unit, uint64_t units,
                                 const alps_tables *t)
{
    uint64_t last = unit + units < z->end ? unit + units : z->end - 1;
    const unsigned char *bytes = (const unsigned char *)z->codes;
    return t->policy->flush(&h->map, bytes + unit / 4, last / 4 - unit / 4 + 1);
}

/* Makes a free extent a heap extent, empty and in the index. Its map and kind
 * are durable before its code says that it is used. */
ALPS_CORE_ int alps_extent_make_(alps_handle *h, const alps_tables *t)
{
    alps_off off;
    int err = alps_take_(h, ALPS_LEVEL_EXTENT, 1, 1, ALPS_HELD, &off);
    if (err)
        return err;
    alps_zone top = alps_zone_top_(h);
    uint64_t extent = alps_zone_unit_(&top, off);
    alps_zone z = alps_zone_extent_(h, extent);
    for (uint64_t word = 0; word < (z.end + 31) / 32; word++)
        alps_store_(&z.codes[word], 0);
    alps_code_set_(z.codes, z.first, ALPS_FREE);
    // what is there may be of a former region
    alps_extent_(h, extent)->built = 0;
    memset(alps_address_(h, z.origin + h->at.told), 0,
           (size_t)(h->at.heads - h->at.told));
    err = t->policy->flush(&h->map, alps_extent_(h, extent),
                           sizeof(alps_extent) + z.end / 4);
    alps_extent_kind_set_(h, extent, 1);
    if (!err)
        err = t->policy->flush(&h->map, &h->kinds[extent / 64], 8);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    if (!err) {
        alps_code_set_(h->codes, extent, ALPS_USED);
        err = alps_codes_flush_(h, &top, extent, 1, t);
    }
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    if (err) {
        alps_give_large_(h, extent);
        return err;
    }
    alps_block b;
    b.zone = z;
    b.level = ALPS_LEVEL_GRANULE;
    alps_block_build_(h, &b);
    return ALPS_OK;
}

/* Makes heap extents without a block free again; answers how many through
 * `n`. The kind bit that each leaves set means nothing while it is free; who
 * takes it for a large object clears it. */
ALPS_CORE_ int alps_extents_empty_(alps_handle *h, uint64_t *n,
                                   const alps_tables *t)
{
    uint64_t whole =
        (1ull << (h->at.extent_shift - ALPS_GRANULE_SHIFT)) - h->at.first;
    alps_zone top = alps_zone_top_(h);
    alps_bin bin = alps_bin_of_(whole);
    alps_off off = h->index[ALPS_LEVEL_GRANULE].head[bin.row][bin.column];
    uint64_t looks = top.end;
    for (*n = 0; off && looks; looks--) {
        alps_block b, e;
        if (alps_block_at_(h, off, &b) != ALPS_FREE || b.level) {
            alps_index_reset_(h);
            return ALPS_ECORRUPT;
        }
        off = alps_run_(&b.zone, b.unit)->next;
        if (alps_zone_units_(&b.zone, b.unit) != whole)
            continue;
        if (alps_run_unlink_(h, &b.zone, b.unit)) {
            alps_index_reset_(h);
            return ALPS_ECORRUPT;
        }
        e.zone = top;
        e.level = ALPS_LEVEL_EXTENT;
        e.unit = alps_zone_unit_(&top, b.zone.origin);
        alps_block_build_(h, &e); // while it is still used
        alps_code_set_(top.codes, e.unit, ALPS_HELD);
        int err = alps_codes_flush_(h, &top, e.unit, 1, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        alps_give_(h, &e);
        if (err)
            return err;
        ++*n;
    }
    return ALPS_OK;
}

/* Rebuilds heap extents that this epoch has not touched, at most `max`, until
 * one brings a run of `units`; answers through `n` how many. */
ALPS_FN_ void alps_extents_build_(alps_handle *h, uint64_t units, uint64_t max,
                                  uint64_t *n)
{
    uint64_t extents = alps_extents_(h);
    for (*n = 0; h->shared->cursor < extents && *n < max;) {
        uint64_t extent = h->shared->cursor++;
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_block b;
        b.zone = alps_zone_extent_(h, extent);
        b.level = ALPS_LEVEL_GRANULE;
        alps_block_build_(h, &b);
        ++*n;
        if (alps_index_find_(h, b.zone.index, units, ALPS_GRANULE_SHIFT))
            return;
    }
}

/* Brings more into the index of `level`, which has no run of `units`: an extent
 * not yet rebuilt, a fresh extent, empty extents. ALPS_EFULL: there is no
 * more. */
ALPS_CORE_ int alps_refill_(alps_handle *h, uint64_t units, uint64_t level,
                            const alps_tables *t)
{
    uint64_t n;
    if (level == ALPS_LEVEL_EXTENT) {
        alps_extents_build_(h, ~0ull >> 16, ~0ull, &n);
        int err = alps_extents_empty_(h, &n, t);
        return err ? err : n ? ALPS_OK : ALPS_EFULL;
    }
    alps_extents_build_(h, units, ALPS_REBUILD_MAX, &n);
    if (n && alps_index_find_(h, &h->index[level], units, ALPS_GRANULE_SHIFT))
        return ALPS_OK;
    int err = alps_extent_make_(h, t);
    if (err != ALPS_EFULL)
        return err;
    alps_extents_build_(h, units, ~0ull, &n);
    return n ? ALPS_OK : ALPS_EFULL;
}
