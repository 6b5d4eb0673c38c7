/* rack.h -- where a thread's next objects come from
 *
 * From the slab in use, from another slab of the thread's own, from one in
 * which others have freed, from one that no thread owns, from a new one: each
 * is asked when the one before it has nothing. A slab that is empty goes back
 * to the heap, but for a few. */
#pragma once
#include "heap.h"

/* Goes on to the next group of the slab in use that has a free object. */
ALPS_FN_ int alps_rack_next_(const alps_handle *h, alps_rack *rack)
{
    unsigned groups = alps_slab_groups_(rack->slab);
    unsigned g = rack->group;
    for (unsigned i = 0; i < groups; i++) {
        g = g + 1 < groups ? g + 1 : 0;
        uint64_t mask = alps_slab_free_(h, rack->slab, g);
        if (mask) {
            alps_rack_use_(h, rack, g, mask);
            return 1;
        }
    }
    return 0;
}

/* Puts a slab of this thread into use; 0 if it has no free object. */
ALPS_FN_ int alps_rack_open_(const alps_handle *h, alps_rack *rack,
                             alps_off place)
{
    rack->slab = alps_slab_head_(h, place);
    rack->place = place;
    rack->group = alps_slab_groups_(rack->slab) - 1;
    rack->slab->where = ALPS_IN_USE;
    return alps_rack_next_(h, rack);
}

/* The slab in use has no free object left: it is set aside until somebody
 * frees one, which others are asked to tell. */
ALPS_FN_ void alps_rack_close_(const alps_handle *h, alps_rack *rack)
{
    alps_off place = rack->place;
    alps_slab *s = rack->slab;
    alps_rack_clear_(rack);
    s->where = ALPS_FULL;
    alps_list_push_(h, &rack->full, place);
    if (alps_slab_ask_(h, s))
        alps_rack_refound_(h, rack, s, place);
}

/* Looks at one slab of this thread that others said they freed in. */
ALPS_FN_ void alps_told_slab_(alps_handle *h, alps_cache *c, alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (s->where != ALPS_FULL || s->kind - 1 >= ALPS_KINDS)
        return;
    if (alps_slab_ask_(h, s))
        alps_rack_refound_(h, &c->rack[s->kind - 1], s, place);
}

/* Takes what was told of this thread's slabs in one extent. */
ALPS_FN_ void alps_told_extent_(alps_handle *h, alps_cache *c, uint64_t extent)
{
    alps_off origin = h->at.heap + (extent << h->at.extent_shift);
    uint64_t slabs = h->at.extent >> h->at.slab_shift;
    uint64_t *told = alps_told_words_(h, origin);
    for (uint64_t w = 0; w < (slabs + 63) / 64; w++) {
        uint64_t left = alps_load_(&told[w]);
        for (; left; left &= left - 1) {
            unsigned bit = alps_low_bit_(left);
            alps_off place = origin + ((w * 64 + bit) << h->at.slab_shift);
            if (!alps_slab_is_(h, place) ||
                alps_load_(&alps_slab_head_(h, place)->owner) != c->token)
                continue;
            __atomic_fetch_and(&told[w], ~(1ull << bit), __ATOMIC_SEQ_CST);
            alps_told_slab_(h, c, place);
        }
    }
}

/* Takes what this thread was told since it last looked. */
ALPS_FN_ void alps_told_(alps_handle *h, alps_cache *c)
{
    for (unsigned w = 0; w < 8; w++) {
        uint64_t left = alps_load_(&c->lane->told[w]);
        if (left)
            left = __atomic_exchange_n(&c->lane->told[w], 0, __ATOMIC_SEQ_CST);
        for (; left; left &= left - 1) {
            uint64_t extent = w * 64 + alps_low_bit_(left);
            for (; extent < alps_extents_(h); extent += 512)
                if (alps_extent_heap_(h, extent))
                    alps_told_extent_(h, c, extent);
        }
    }
}

/* Looks for a run of the index that has room for an aligned slab though it is
 * shorter than one that is sure to have: a slab given back between two others
 * is such a run. */
ALPS_CORE_ alps_off alps_slab_run_(alps_handle *h, const alps_shard *s,
                                   const alps_request *r)
{
    const alps_index *x = &s->index;
    uint64_t most = r->units + (r->align >> ALPS_GRANULE_SHIFT);
    for (uint64_t units = r->units; units < most;) {
        alps_bin bin = alps_bin_of_(units);
        alps_off off = x->head[bin.row][bin.column];
        for (unsigned looks = 0; off && looks < 4; looks++) {
            if (off < h->at.heap || off >= alps_size_(h) || off % ALPS_GRANULE)
                return 0;
            const alps_run *run = (const alps_run *)alps_address_(h, off);
            alps_off end = off + run->units * ALPS_GRANULE;
            alps_off at = (end - r->units * ALPS_GRANULE) & ~(r->align - 1);
            if (run->units >= r->units && at >= off)
                return off;
            off = run->next;
        }
        units = units < ALPS_COLUMNS
                    ? units + 1
                    : ((units >> (alps_high_bit_(units) - 5)) + 1)
                          << (alps_high_bit_(units) - 5);
    }
    return 0;
}

/* Takes the block for a slab out of such a run of shard `s`, and leaves it
 * locked if there is one. */
ALPS_CORE_ int alps_slab_fit_(alps_handle *h, alps_request *r, alps_shard *s,
                              alps_off *off, const alps_tables *t)
{
    int err = ALPS_EFULL;
    alps_shard_lock_(h, s, 0, t);
    r->shard = s;
    alps_off run = alps_slab_run_(h, s, r);
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (run && alps_extent_heap_(h, extent) &&
        alps_load_(&alps_extent_(h, extent)->built) == s->built) {
        alps_zone z = alps_zone_extent_(h, extent);
        uint64_t unit = alps_zone_unit_(&z, run);
        err = unit < z.first || unit >= z.end
                  ? ALPS_ECORRUPT
                  : alps_zone_cut_(h, &z, unit, r->units, r->align, ALPS_HELD,
                                   &unit);
        *off = alps_zone_off_(&z, unit);
        if (err == ALPS_ECORRUPT)
            alps_index_reset_(s);
    }
    if (err)
        alps_shard_unlock_(s);
    return err;
}

/* Takes the block for a slab, in ALPS_HELD; r->shard is where, and is locked
 * then. */
ALPS_CORE_ int alps_slab_block_(alps_handle *h, alps_request *r, alps_off *off,
                                const alps_tables *t)
{
    if (alps_slab_fit_(h, r, alps_shard_home_(h), off, t) == ALPS_OK)
        return ALPS_OK;
    r->fixed = 1;
    int err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    for (alps_shard *s = h->shards; err == ALPS_EFULL && s < h->top; s++)
        err = alps_slab_fit_(h, r, s, off, t);
    r->fixed = 0;
    if (err == ALPS_EFULL && alps_growth_may_(h))
        err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    return err;
}

/* Makes a slab of class `kind` for `c`. Its pairs, and the codes around its
 * block, are durable before it is durably a slab. Two fences. */
ALPS_CORE_ int alps_slab_make_(alps_handle *h, alps_cache *c, unsigned kind,
                               alps_off *place, const alps_tables *t)
{
    alps_request r;
    alps_block b;
    r.units = alps_kind_granules_(h, kind);
    r.align = 1ull << h->at.slab_shift;
    r.level = ALPS_LEVEL_GRANULE;
    r.code = ALPS_HELD;
    int err = alps_slab_block_(h, &r, place, t);
    if (err)
        return err;
    alps_heap_block_(h, *place, ALPS_LEVEL_GRANULE, &b);
    if (*place >= h->at.slab_end) {
        alps_give_back_(h, &b);
        alps_block_unlock_(&b);
        return ALPS_EFULL;
    }
    alps_slab *s = alps_slab_head_(h, *place);
    alps_slab_begin_(h, s, kind);
    alps_store_(&s->process, alps_self_(h));
    __atomic_store_n(&s->owner, c->token, __ATOMIC_SEQ_CST);
    err = t->policy->flush(&h->map, s, (size_t)h->at.keeps);
    if (!err)
        err = alps_codes_flush_(h, &b.zone, b.unit, r.units, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err) {
        alps_slab_mark_(h, *place, 1);
        err = t->policy->flush(&h->map,
                               &h->slabs[(*place >> h->at.slab_shift) / 64], 8);
    }
    if (!err)
        err = t->fence(&h->map);
    if (err) {
        alps_slab_mark_(h, *place, 0);
        alps_give_back_(h, &b);
    }
    alps_block_unlock_(&b);
    return err;
}

/* Gets a slab with a free object of class `kind` from elsewhere: one that
 * nobody owns, or a new one. */
ALPS_CORE_ int alps_rack_get_(alps_handle *h, alps_cache *c, unsigned kind,
                              const alps_tables *t)
{
    alps_off place;
    int err = ALPS_OK;
    alps_lock_(h, t);
    place = alps_loose_take_(h, kind, c->token, alps_self_(h));
    if (!place) {
        alps_loose_sweep_(h, kind, ALPS_SWEEP_MAX, t);
        place = alps_loose_take_(h, kind, c->token, alps_self_(h));
    }
    alps_unlock_(h);
    if (!place)
        err = alps_slab_make_(h, c, kind, &place, t);
    if (err)
        return err;
    alps_slab *s = alps_slab_head_(h, place);
    alps_claim_(h, place, &c->rack[kind]);
    s->where = ALPS_PARTIAL;
    alps_store_(&s->full, 0);
    alps_list_push_(h, &c->rack[kind].partial, place);
    return ALPS_OK;
}

/* Puts one of the rack's slabs with free objects into use. */
ALPS_FN_ int alps_rack_turn_(alps_handle *h, alps_cache *c, unsigned kind)
{
    alps_rack *rack = &c->rack[kind];
    while (rack->partial) {
        alps_off place = rack->partial;
        alps_list_drop_(h, &rack->partial, place);
        if (alps_slab_head_(h, place)->where == ALPS_EMPTY)
            alps_empty_add_(h, c->lane, ~0ull);
        if (alps_rack_open_(h, rack, place))
            return 1;
        alps_rack_close_(h, rack);
    }
    return 0;
}

/* Finds objects of class `kind` for this thread: in the slab in use, in
 * another of its own, in one where others have freed, in one that nobody owns,
 * or in a new one. */
ALPS_CORE_ int alps_rack_fill_(alps_handle *h, unsigned kind,
                               const alps_tables *t)
{
    alps_cache *c = alps_cache_(h);
    alps_rack *rack = &c->rack[kind];
    if (rack->slab && alps_rack_next_(h, rack))
        return ALPS_OK;
    if (rack->slab)
        alps_rack_close_(h, rack);
    if (alps_rack_turn_(h, c, kind))
        return ALPS_OK;
    alps_told_(h, c);
    uint64_t reaped = alps_load_(&h->shared->reaped);
    for (unsigned k = 0; c->reaped != reaped && k < ALPS_KINDS; k++)
        alps_rack_review_(h, &c->rack[k]);
    c->reaped = reaped;
    while (!alps_rack_turn_(h, c, kind)) {
        int err = alps_rack_get_(h, c, kind, t);
        if (err == ALPS_EFULL) { // readers may have left: look once more
            alps_told_(h, c);
            return alps_rack_turn_(h, c, kind) ? ALPS_OK : err;
        }
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* A slab of this thread, not in use, has one object less: it is no more full,
 * or it is empty. */
ALPS_CORE_ int alps_rack_freed_(alps_handle *h, alps_off off,
                                const alps_tables *t)
{
    alps_off place = alps_slab_place_(h, off);
    alps_slab *s = alps_slab_head_(h, place);
    alps_cache *c = alps_cache_(h);
    alps_rack *rack = &c->rack[s->kind - 1];
    if (s->where == ALPS_FULL)
        alps_rack_refound_(h, rack, s, place);
    if (s->where != ALPS_PARTIAL || alps_slab_live_beside_(s, off - place) ||
        !alps_slab_empty_(h, s))
        return ALPS_OK;
    if (alps_empty_may_(h, c->lane)) {
        s->where = ALPS_EMPTY;
        alps_empty_add_(h, c->lane, 1);
        return ALPS_OK;
    }
    alps_list_drop_(h, &rack->partial, place);
    alps_rack_purge_(h, rack, s);
    alps_lock_(h, t);
    alps_claim_end_(h, place, t);
    alps_unlock_(h);
    return ALPS_OK;
}
