/* around.h -- the object or block that an address lies in
 *
 * Its start is found from any address inside of it: of an object by its size,
 * of a block by the codes before it. */
#pragma once
#include "loose.h"

/* What was found. */
typedef struct alps_around {
    alps_off off;
    uint64_t n;
} alps_around;

/* The start at or before `unit`, or the first unit of the zone. */
ALPS_FN_ uint64_t alps_around_start_(const alps_zone *z, uint64_t unit)
{
    while (unit > z->first && alps_code_(z->codes, unit) == ALPS_INSIDE) {
        uint64_t near = alps_code_near_(z->codes, unit);
        unit = near != unit ? near : (unit - 1) / 32 * 32;
    }
    return unit < z->first ? z->first : unit;
}

/* The object of a slab that `off` lies in; -1 if it lies behind the last. */
ALPS_FN_ int alps_around_object_(const alps_handle *h, alps_off off,
                                 alps_around *s)
{
    alps_object o;
    alps_off place = alps_slab_place_(h, off);
    if (alps_object_at_(h, place, &o) != 1)
        return -1;
    s->n = alps_kind_size_(o.kind);
    s->off = off - (off - place) % s->n;
    if (alps_object_at_(h, s->off, &o) != 1)
        return -1;
    if (alps_object_live_(&o))
        return ALPS_USED;
    return alps_keep_any_(o.keep) & o.bit ? ALPS_HELD : ALPS_FREE;
}

/* The block that `off` lies in. */
ALPS_FN_ int alps_around_block_(const alps_handle *h, alps_off off,
                                alps_around *s)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    alps_zone z = alps_extent_heap_(h, extent) ? alps_zone_extent_(h, extent)
                                               : alps_zone_top_(h);
    uint64_t unit = alps_zone_unit_(&z, off);
    if (unit < z.first)
        return -1;
    unit = alps_around_start_(&z, unit);
    s->off = alps_zone_off_(&z, unit);
    s->n = alps_zone_units_(&z, unit) << z.shift;
    int code = (int)alps_code_(z.codes, unit);
    return code == ALPS_INSIDE ? -1 : code;
}

/* The code of what `off` lies in: ALPS_USED is a live object or block,
 * ALPS_HELD one that is reserved or waits, and -1: it can be in none. */
ALPS_FN_ int alps_around_(const alps_handle *h, alps_off off, alps_around *s)
{
    alps_block b;
    s->off = s->n = 0;
    if (off < h->at.heap ||
        (off - h->at.heap) >> h->at.extent_shift >= alps_extents_(h))
        return -1;
    alps_off place = alps_slab_place_(h, off);
    if (alps_slab_is_(h, off) && alps_block_at_(h, place, &b) == ALPS_HELD &&
        off - place < alps_block_size_(&b))
        return alps_around_object_(h, off, s);
    return alps_around_block_(h, off, s);
}
