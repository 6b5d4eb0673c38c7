/* plan.h -- the numbers of a new region
 *
 * What the program left open is chosen here, from what it said. */
#pragma once
#include "handle.h"
#include "note.h"

#define ALPS_SIZE_DEFAULT (64ull << 20)

/* How many shards a new region has unless said: one for a few extents, so that
 * none is without. */
ALPS_FN_ unsigned alps_plan_shards_(uint64_t extents)
{
    unsigned n = 1;
    while (n < 16 && 8ull * n <= extents)
        n *= 2;
    return n;
}

/* The numbers of a new region, from what was asked for. */
ALPS_FN_ int alps_plan_(alps_handle *h, const alps_options *o, uint64_t *size)
{
    *size = h->map.fixed ? h->map.length
            : o->size    ? o->size
                         : ALPS_SIZE_DEFAULT;
    uint64_t extent = o->extent;
    unsigned shift = ALPS_EXTENT_SHIFT_MIN;
    if (extent & (extent - 1) || extent > 1ull << ALPS_EXTENT_SHIFT_MAX ||
        (extent && extent < 1ull << ALPS_EXTENT_SHIFT_MIN) ||
        *size > ALPS_SIZE_MAX || o->limit > ALPS_SIZE_MAX ||
        (o->limit && o->limit < *size && !h->map.fixed) ||
        (o->layout && strlen(o->layout) >= sizeof h->super->name) ||
        (o->description &&
         strlen(o->description) >= sizeof(((alps_note *)0)->text)))
        return ALPS_EINVAL;
    if (extent)
        while (1ull << shift < extent)
            shift++;
    else
        while (shift < 22 && 32ull << shift <= *size)
            shift++;
    uint64_t limit =
        o->limit ? o->limit : 1ull << (shift == 22 ? 38 : shift + 14);
    if (h->map.fixed)
        limit = *size;
    if (limit < *size)
        limit = *size;
    uint64_t lanes = *size >> 15 < 1088 ? *size >> 15 : 1088;
    uint64_t small = 1ull << (shift < 15 ? 7 : shift > 18 ? 10 : shift - 8);
    if (lanes < 8)
        lanes = 8;
    unsigned shards = shift < 20 ? 1 : alps_plan_shards_(*size >> shift);
    int err = alps_geometry_init_(&h->at, limit, shift,
                                  o->lanes ? o->lanes : (unsigned)lanes,
                                  o->processes ? o->processes : 256,
                                  alps_kind_round_(o->small ? o->small : small),
                                  o->shards ? o->shards : shards);
    if (err)
        return err;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_EINVAL;
}
