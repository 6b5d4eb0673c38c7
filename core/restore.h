/* restore.h -- the heap of a damaged region, made whole
 *
 * Codes, kinds of extents, slabs and their bits, as far as each is told by the
 * others; docs/repair.md has the rules. Nobody else is in the region, and no
 * index is. Where nothing tells whether memory is used it is kept. Whatever
 * subset of the stores of one step a crash leaves, the same is found again, or
 * something that is kept. */
#pragma once
#include "audit.h"

/* Wrong codes of a map, at most, for it to be one. */
#define ALPS_RESTORE_FEW_ 4u

/* Whether the map of `extent` is that of a heap extent: no block starts in its
 * front, and one behind it. */
ALPS_FN_ int alps_restore_front_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    return alps_code_inside_(z.codes, 0, z.first) &&
           alps_code_(z.codes, z.first) != ALPS_INSIDE;
}

/* Whether a slab is marked in `extent`. */
ALPS_FN_ int alps_restore_marked_(const alps_handle *h, uint64_t extent)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
        if (alps_slab_is_(h, off + in))
            return 1;
    return 0;
}

/* Whether `extent`, which is not a heap extent by its code, is one: its front
 * is, and a slab is marked in it or its kind says so. */
ALPS_FN_ int alps_restore_was_(const alps_handle *h, uint64_t extent)
{
    return extent < alps_extents_(h) && alps_restore_front_(h, extent) &&
           (alps_restore_marked_(h, extent) || alps_extent_kind_(h, extent));
}

/* Whether a heap extent without slabs has a map that is at most a little wrong.
 * Else it is a large object, whose bytes are not to be touched. */
ALPS_FN_ int alps_restore_mapped_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    unsigned n = 0;
    for (uint64_t unit = alps_code_next_(z.codes, 0, z.first);
         unit < z.first && n <= ALPS_RESTORE_FEW_; n++)
        unit = alps_code_next_(z.codes, unit + 1, z.first);
    if (alps_code_(z.codes, z.first) == ALPS_INSIDE)
        return !n && !alps_code_inside_(z.codes, z.first, z.end);
    return n <= ALPS_RESTORE_FEW_;
}

/* `extent` starts something: a heap extent if it was one, else what is kept as
 * a large block. */
ALPS_FN_ void alps_restore_start_(const alps_handle *h, uint64_t extent,
                                  alps_repaired *r)
{
    alps_zone top = alps_zone_top_(h);
    alps_off off = alps_zone_off_(&top, extent);
    int heap = alps_restore_was_(h, extent);
    if (alps_extent_kind_(h, extent) != heap)
        alps_extent_kind_set_(h, extent, heap);
    alps_code_set_(top.codes, extent, ALPS_USED);
    if (heap)
        alps_report_mended_(r, off, "a heap extent without a start");
    else
        alps_report_doubt_(r, off, "extents without a start");
}

/* What its slabs say is a heap extent becomes one again. */
ALPS_FN_ void alps_restore_lost_(const alps_handle *h, uint64_t extent,
                                 alps_repaired *r)
{
    alps_zone top = alps_zone_top_(h);
    alps_extent_kind_set_(h, extent, 1);
    alps_code_set_(top.codes, extent, ALPS_USED);
    alps_report_mended_(r, alps_zone_off_(&top, extent),
                        "a heap extent that says it is none");
}

/* The extents, from the first on: each is free, large, or a heap extent, and
 * what follows a heap extent is a start. */
ALPS_FN_ void alps_restore_extents_(const alps_handle *h, alps_repaired *r)
{
    uint64_t extents = alps_extents_(h);
    int starts = 1;
    for (uint64_t extent = 0; extent < extents; extent++) {
        int marked = alps_restore_marked_(h, extent);
        if (starts && alps_code_(h->codes, extent) == ALPS_INSIDE)
            alps_restore_start_(h, extent, r);
        if (!alps_extent_heap_(h, extent)) {
            if (marked && alps_restore_front_(h, extent))
                alps_restore_lost_(h, extent, r);
        } else if (!marked && !alps_restore_mapped_(h, extent)) {
            alps_extent_kind_set_(h, extent, 0);
            alps_report_doubt_(r, h->at.heap + (extent << h->at.extent_shift),
                               "a heap extent without a map");
        }
        starts = alps_extent_heap_(h, extent);
    }
}

/* The map of a heap extent: where its blocks begin. */
ALPS_FN_ void alps_restore_zone_(const alps_handle *h, uint64_t extent,
                                 alps_repaired *r)
{
    alps_zone z = alps_zone_extent_(h, extent);
    alps_off off = alps_zone_off_(&z, z.first);
    if (!alps_code_inside_(z.codes, 0, z.first)) {
        alps_code_clear_(z.codes, 0, z.first);
        alps_report_mended_(r, z.origin, "a code where no block can start");
    }
    if (alps_code_(z.codes, z.first) != ALPS_INSIDE)
        return;
    alps_code_set_(z.codes, z.first, ALPS_USED);
    alps_report_doubt_(r, off, "the first block has no start");
}

/* The live objects of a slab whose class is known, and those behind its end. */
ALPS_FN_ uint64_t alps_restore_live_(const alps_handle *h, alps_slab *head,
                                     const alps_slab *s, int behind)
{
    uint64_t n = 0;
    for (unsigned g = 0; g < h->at.groups; g++) {
        uint64_t whole = g < alps_slab_groups_(s) ? alps_slab_whole_(s, g) : 0;
        uint64_t live = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        n += (uint64_t)__builtin_popcountll(behind ? live & ~whole
                                                   : live & whole);
    }
    return n;
}

/* The class of a slab that has lost it, by what its last owner noted: 0 where
 * that does not fit together. */
ALPS_FN_ uint32_t alps_restore_kind_(const alps_handle *h,
                                     const alps_slab *head)
{
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_slab s = *head;
        s.kind = kind + 1;
        if (head->size == alps_kind_size_(kind) && alps_slab_derive_(h, &s) &&
            head->scale == s.scale && head->count == s.count)
            return s.kind;
    }
    return 0;
}

/* Where a slab is, and what its map says of that. */
typedef struct alps_ward {
    alps_off place;
    alps_slab *head;
    alps_slab s; /* a copy, with what follows from its class */
    alps_zone z;
    uint64_t unit, units; /* that it takes */
    uint64_t has;         /* to the next start */
    unsigned code;
    int known; /* it has a class */
} alps_ward;

ALPS_FN_ void alps_restore_ward_(const alps_handle *h, alps_off place,
                                 alps_ward *w)
{
    uint64_t extent = (place - h->at.heap) >> h->at.extent_shift;
    w->place = place;
    w->head = alps_slab_head_(h, place);
    w->s = *w->head;
    w->known = alps_slab_derive_(h, &w->s);
    w->z = alps_zone_extent_(h, extent);
    w->unit = alps_zone_unit_(&w->z, place);
    w->units = w->known ? alps_kind_granules_(h, w->s.kind - 1) : 1;
    w->has = 0;
    w->code = ALPS_INSIDE;
    if (w->unit >= w->z.first && w->unit < w->z.end) {
        w->has = alps_zone_units_(&w->z, w->unit);
        w->code = alps_code_(w->z.codes, w->unit);
    }
}

/* Whether a block holds the slab. */
ALPS_FN_ int alps_restore_sound_(const alps_ward *w)
{
    return w->known && w->code == ALPS_HELD && w->has >= w->units;
}

/* A slab whose class is lost: it is found again; or its block is kept as one,
 * so that what is in it can be looked at. */
ALPS_FN_ void alps_restore_class_(const alps_handle *h, const alps_ward *w,
                                  alps_repaired *r)
{
    uint32_t kind = alps_restore_kind_(h, w->head);
    if (kind && w->code == ALPS_HELD) {
        __atomic_store_n(&w->head->kind, kind, __ATOMIC_RELAXED);
        alps_report_mended_(r, w->place, "a slab of no class");
        return;
    }
    if (w->code == ALPS_HELD)
        alps_code_set_(w->z.codes, w->unit, ALPS_USED);
    alps_report_lost_(r, w->place,
                      w->code == ALPS_HELD ? w->has << ALPS_GRANULE_SHIFT : 0,
                      "a slab of no class: its objects are one block");
}

/* A slab with live objects that no block holds: codes inside of it are wrong,
 * for a slab has no live objects when its bit is cleared. */
ALPS_FN_ void alps_restore_block_(const alps_ward *w, alps_repaired *r)
{
    uint64_t end = w->unit + w->units;
    if (w->unit < w->z.first || end > w->z.end)
        return;
    if (end < w->z.end && alps_code_(w->z.codes, end) == ALPS_INSIDE) {
        alps_code_set_(w->z.codes, end, ALPS_USED);
        alps_report_doubt_(r, alps_zone_off_(&w->z, end),
                           "memory behind a slab without a start");
    }
    ALPS_BARRIER_();
    alps_code_set_(w->z.codes, w->unit, ALPS_HELD);
    alps_code_clear_(w->z.codes, w->unit + 1, end);
    alps_report_mended_(r, w->place, "a slab that no block holds");
}

/* No object behind the last is live. */
ALPS_FN_ void alps_restore_behind_(const alps_handle *h, const alps_ward *w,
                                   alps_repaired *r)
{
    for (unsigned g = 0; g < h->at.groups; g++) {
        alps_pair *pair = &alps_slab_pairs_(w->head)[g];
        uint64_t whole =
            g < alps_slab_groups_(&w->s) ? alps_slab_whole_(&w->s, g) : 0;
        uint64_t more = alps_pair_live_(pair) & ~whole;
        if (more)
            alps_store_(&pair->far, alps_load_(&pair->far) ^ more);
    }
    alps_report_mended_(r, w->place, "a live object behind a slab's end");
}

/* The first step for the slab that is marked at `place`: its class and codes,
 * not its bit. */
ALPS_FN_ void alps_restore_slab_(const alps_handle *h, alps_off place,
                                 alps_repaired *r)
{
    alps_ward w;
    alps_restore_ward_(h, place, &w);
    if (!w.known) {
        alps_restore_class_(h, &w, r);
        alps_restore_ward_(h, place, &w);
    }
    if (!w.known)
        return;
    if (alps_restore_live_(h, w.head, &w.s, 1))
        alps_restore_behind_(h, &w, r);
    if (!alps_restore_sound_(&w) && alps_restore_live_(h, w.head, &w.s, 0))
        alps_restore_block_(&w, r);
}

/* Whether a slab is at `place` whose bit is lost: a block is held that is as
 * long as it, and has live objects. Where there is no slab none is live. */
ALPS_FN_ int alps_restore_unmarked_(const alps_handle *h, alps_off place)
{
    alps_ward w;
    alps_restore_ward_(h, place, &w);
    return w.known && w.code == ALPS_HELD && w.has == w.units &&
           !alps_restore_live_(h, w.head, &w.s, 1) &&
           alps_restore_live_(h, w.head, &w.s, 0);
}

/* The second step, when the first is durable: the bit itself. */
ALPS_FN_ void alps_restore_bit_(const alps_handle *h, alps_off place,
                                alps_repaired *r)
{
    alps_ward w;
    uint64_t extent = (place - h->at.heap) >> h->at.extent_shift;
    int heap = place >= h->at.heap && extent < alps_extents_(h) &&
               alps_extent_heap_(h, extent);
    if (!alps_slab_is_(h, place)) {
        if (!heap || !alps_restore_unmarked_(h, place))
            return;
        alps_slab_mark_(h, place, 1);
        alps_report_mended_(r, place, "a slab that is not marked");
        return;
    }
    if (heap)
        alps_restore_ward_(h, place, &w);
    if (heap && alps_restore_sound_(&w))
        return;
    alps_slab_mark_(h, place, 0);
    alps_report_mended_(r, place, "a mark where there is no slab");
}

/* Codes, kinds and slabs; not the bits of slabs. */
ALPS_FN_ void alps_restore_codes_(const alps_handle *h, alps_repaired *r)
{
    alps_restore_extents_(h, r);
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        alps_off off = h->at.heap + (extent << h->at.extent_shift);
        if (!alps_extent_heap_(h, extent))
            continue;
        for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
            if (alps_slab_is_(h, off + in))
                alps_restore_slab_(h, off + in, r);
        alps_restore_zone_(h, extent, r);
    }
}

/* No bit is set before the first extent or behind the last. */
ALPS_FN_ void alps_restore_strays_(const alps_handle *h, uint64_t first,
                                   uint64_t last, alps_repaired *r)
{
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    for (uint64_t word = 0; word <= end / 64; word++)
        for (uint64_t left = h->slabs[word]; left; left &= left - 1) {
            uint64_t piece = word * 64 + alps_low_bit_(left);
            if (piece >= first && piece < last && piece < end)
                continue;
            h->slabs[word] ^= left & (0 - left);
            alps_report_mended_(r, piece << h->at.slab_shift,
                                "a mark where there is no extent");
        }
}

/* The bits of slabs, when the rest is durable. */
ALPS_FN_ void alps_restore_bits_(const alps_handle *h, alps_repaired *r)
{
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    uint64_t first = h->at.heap >> h->at.slab_shift;
    uint64_t last = (h->at.heap + (alps_extents_(h) << h->at.extent_shift)) >>
                    h->at.slab_shift;
    if (h->at.small < 16)
        last = first; // there are no slabs
    alps_restore_strays_(h, first, last, r);
    for (uint64_t piece = first; piece < last && piece < end; piece++)
        alps_restore_bit_(h, piece << h->at.slab_shift, r);
}
