/* rescue.h -- what is left in a damaged region
 *
 * Shows what is live beyond doubt, and counts the bytes of the rest: what has
 * no start, slabs of no class or without a block, and what the medium has
 * lost. */
#pragma once
#include "visit.h"

/* Bytes of [first, end) of a zone that no block starts in. */
ALPS_FN_ uint64_t alps_rescue_front_(const alps_zone *z)
{
    uint64_t start = alps_code_next_(z->codes, z->first, z->end);
    return (start - z->first) << z->shift;
}

/* Whether the slab at `place` is one: of a class, and with a block. Otherwise
 * the bytes that it seems to have. */
ALPS_FN_ int alps_rescue_slab_(const alps_handle *h, alps_off place,
                               uint64_t *bytes)
{
    alps_block b;
    alps_slab s = *alps_slab_head_(h, place);
    int held = alps_block_at_(h, place, &b) == ALPS_HELD;
    *bytes = held ? alps_block_size_(&b) : 1ull << h->at.slab_shift;
    if (!alps_slab_derive_(h, &s))
        return 0;
    uint64_t n = alps_kind_granules_(h, s.kind - 1) * ALPS_GRANULE;
    if (held && *bytes >= n)
        return 1;
    *bytes = n;
    return 0;
}

/* Walks the slabs of one extent; what is outside of heap extents is lost. */
ALPS_FN_ int alps_rescue_slabs_(const alps_handle *h, uint64_t extent,
                                alps_visit *visit, void *context,
                                uint64_t *skipped)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    int heap = alps_extent_heap_(h, extent);
    for (; off < end; off += 1ull << h->at.slab_shift) {
        uint64_t bytes = 1ull << h->at.slab_shift;
        if (!alps_slab_is_(h, off))
            continue;
        if (!heap || !alps_rescue_slab_(h, off, &bytes)) {
            *skipped += bytes;
            continue;
        }
        int stop = alps_visit_slab_(h, off, visit, context);
        if (stop)
            return stop;
    }
    return 0;
}

/* Bytes that the region has by its superblock and the medium has not. */
ALPS_FN_ uint64_t alps_rescue_cut_(const alps_handle *h)
{
    const alps_superblock *s = (const alps_superblock *)h->map.base;
    uint64_t size = s->size >> 16;
    return h->spare && alps_sealed_(s->size) && size <= h->at.limit &&
                   size > alps_size_(h)
               ? size - alps_size_(h)
               : 0;
}

/* See alps_salvage. */
ALPS_FN_ int alps_rescue_(const alps_handle *h, alps_visit *visit,
                          void *context, uint64_t *skipped)
{
    alps_zone top = alps_zone_top_(h);
    *skipped = alps_rescue_cut_(h) + alps_rescue_front_(&top);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        int stop = alps_rescue_slabs_(h, extent, visit, context, skipped);
        if (!stop && alps_extent_heap_(h, extent)) {
            alps_zone z = alps_zone_extent_(h, extent);
            *skipped += alps_rescue_front_(&z);
            *skipped += (alps_zone_units_(&top, extent) - 1) << top.shift;
            stop = alps_visit_zone_(h, &z, visit, context);
        }
        if (stop)
            return stop;
    }
    return alps_visit_zone_(h, &top, visit, context);
}
