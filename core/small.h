/* small.h -- alloc, free, reserve: objects of slabs, and blocks
 *
 * An object up to the region's `small` comes from a slab of this thread: a bit
 * is turned, and that is all; no lock, no search, no system call. Who frees an
 * object of another thread's slab turns a bit of the other word, and tells the
 * owner if its slab was full. All else, and all that finds no slab, is a
 * block. */
#pragma once
#include "heap.h"

/* Empty slabs that a thread keeps of each class; what is more goes back. */
#ifndef ALPS_EMPTY_MAX
#  define ALPS_EMPTY_MAX 4u
#endif

/* The bytes to ask a class for, or 0 where none serves: a multiple of the
 * alignment, so that all objects of its slabs have it. */
ALPS_CORE_ uint64_t alps_small_size_(const alps_handle *h, uint64_t align,
                                     uint64_t n)
{
    if (n > ALPS_SMALL_MAX)
        return 0; // seen by the compiler where `n` is a constant
    n += !n;
    if (align > 16) {
        if (align & (align - 1) || align > ALPS_SMALL_MAX)
            return 0;
        n = alps_round_up_(n, align);
        if (n > ALPS_SMALL_MAX || alps_kind_size_(alps_kind_of_(n)) % align)
            return 0;
    }
    return n <= h->at.small && h->at.small >= 16 ? n : 0;
}

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

/* The words of an extent that tell which of its slabs others freed in. */
ALPS_FN_ uint64_t *alps_told_words_(const alps_handle *h, alps_off extent)
{
    return (uint64_t *)alps_address_(h, extent + h->at.told);
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
ALPS_CORE_ alps_off alps_slab_run_(alps_handle *h, const alps_request *r)
{
    const alps_index *x = &h->index[ALPS_LEVEL_GRANULE];
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

/* Takes the block for a slab, in ALPS_HELD. Under the lock. */
ALPS_CORE_ int alps_slab_block_(alps_handle *h, const alps_request *r,
                                alps_off *off, const alps_tables *t)
{
    alps_off run = alps_slab_run_(h, r);
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (run && alps_extent_heap_(h, extent)) {
        alps_zone z = alps_zone_extent_(h, extent);
        uint64_t unit = alps_zone_unit_(&z, run);
        int err = unit < z.first || unit >= z.end
                      ? ALPS_ECORRUPT
                      : alps_zone_carve_(h, &z, unit, r->units, r->align,
                                         ALPS_HELD, &unit);
        *off = alps_zone_off_(&z, unit);
        if (err == ALPS_ECORRUPT)
            alps_index_reset_(h);
        if (!err)
            return ALPS_OK;
    }
    return alps_heap_take_(h, r, off, t);
}

/* Makes a slab of class `kind` for `c`. Its pairs, and the codes around its
 * block, are durable before it is durably a slab. Two fences. Under the
 * lock. */
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
        alps_give_(h, &b);
        return ALPS_EFULL;
    }
    alps_slab *s = alps_slab_head_(h, *place);
    memset(s, 0, (size_t)h->at.head);
    s->kind = kind + 1;
    alps_slab_derive_(h, s);
    alps_store_(&s->process, alps_self_(h));
    __atomic_store_n(&s->owner, c->token, __ATOMIC_SEQ_CST);
    err = t->policy->flush(&h->map, s, (size_t)h->at.keeps);
    if (!err)
        err = alps_codes_flush_(h, &b.zone, b.unit, r.units, t);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    if (!err) {
        alps_slab_mark_(h, *place, 1);
        err = t->policy->flush(&h->map,
                               &h->slabs[(*place >> h->at.slab_shift) / 64], 8);
    }
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    if (err) {
        alps_slab_mark_(h, *place, 0);
        alps_give_(h, &b);
    }
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
    if (!place)
        err = alps_slab_make_(h, c, kind, &place, t);
    alps_unlock_(h);
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
ALPS_FN_ int alps_rack_turn_(alps_handle *h, alps_rack *rack)
{
    while (rack->partial) {
        alps_off place = rack->partial;
        alps_list_drop_(h, &rack->partial, place);
        rack->empty -= alps_slab_head_(h, place)->where == ALPS_EMPTY;
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
    if (alps_rack_turn_(h, rack))
        return ALPS_OK;
    alps_told_(h, c);
    uint64_t reaped = alps_load_(&h->shared->reaped);
    for (unsigned k = 0; c->reaped != reaped && k < ALPS_KINDS; k++)
        alps_rack_review_(h, &c->rack[k]);
    c->reaped = reaped;
    while (!alps_rack_turn_(h, rack)) {
        int err = alps_rack_get_(h, c, kind, t);
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
    alps_rack *rack = &alps_cache_(h)->rack[s->kind - 1];
    if (s->where == ALPS_FULL)
        alps_rack_refound_(h, rack, s, place);
    if (s->where != ALPS_PARTIAL || !alps_slab_empty_(h, s))
        return ALPS_OK;
    if (rack->empty < ALPS_EMPTY_MAX) {
        s->where = ALPS_EMPTY;
        rack->empty++;
        return ALPS_OK;
    }
    alps_list_drop_(h, &rack->partial, place);
    alps_rack_purge_(h, rack, s);
    alps_lock_(h, t);
    alps_claim_end_(h, place, t);
    alps_unlock_(h);
    return ALPS_OK;
}

/* An object of a slab that this thread does not own has become free: tells the
 * owner if the slab was full. A slab that nobody sees to is listed. */
ALPS_CORE_ void alps_far_tell_(alps_handle *h, const alps_object *o,
                               alps_off off, const alps_tables *t)
{
    alps_slab *s = o->slab;
    alps_off place = alps_slab_place_(h, off);
    uint64_t owner = __atomic_load_n(&s->owner, __ATOMIC_SEQ_CST);
    alps_lane *lane = alps_token_lane_(h, owner);
    uint64_t full = 1;
    if (lane && __atomic_load_n(&s->full, __ATOMIC_SEQ_CST) &&
        __atomic_compare_exchange_n(&s->full, &full, 0, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED)) {
        uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
        uint64_t slab = (off & (h->at.extent - 1)) >> h->at.slab_shift;
        uint64_t *told =
            alps_told_words_(h, h->at.heap + (extent << h->at.extent_shift));
        __atomic_fetch_or(&told[slab / 64], 1ull << (slab % 64),
                          __ATOMIC_SEQ_CST);
        __atomic_fetch_or(&lane->told[extent % 512 / 64], 1ull << (extent % 64),
                          __ATOMIC_SEQ_CST);
    }
    if (lane || owner == alps_load_(&h->shared->loose_by))
        return;
    alps_lock_(h, t);
    if (alps_slab_is_(h, place))
        alps_slab_find_(h, place, t);
    alps_unlock_(h);
}

/* Makes a live object free, with the other word. Who frees one twice at the
 * same instant finds it free the second time. */
ALPS_FN_ int alps_far_turn_(const alps_object *o)
{
    uint64_t far = __atomic_load_n(&o->pair->far, __ATOMIC_ACQUIRE);
    do {
        if (!((alps_load_(&o->pair->own) ^ far) & o->bit))
            return ALPS_EINVALID_FREE;
    } while (!__atomic_compare_exchange_n(&o->pair->far, &far, far ^ o->bit, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    return ALPS_OK;
}

/* Frees an object of a slab that this thread does not own. Under a durable
 * policy the object is held back until its fence is done: the owner must not
 * hand out what is live on the medium. */
ALPS_CORE_ int alps_far_free_(alps_handle *h, const alps_object *o,
                              alps_off off, const alps_tables *t)
{
    int err;
    if (!t->policy->durable) {
        err = alps_far_turn_(o);
    } else {
        alps_lane *lane = alps_lane_take_(h, t);
        alps_store_(&lane->held, off);
        ALPS_BARRIER_();
        alps_object_pin_(o, 1);
        err = alps_far_turn_(o);
        if (!err) {
            err = t->policy->flush(&h->map, o->pair, sizeof *o->pair);
            if (!err)
                err = t->policy->fence(&h->map, t->backend);
        }
        alps_object_pin_(o, 0);
        ALPS_BARRIER_();
        alps_store_(&lane->held, 0);
        alps_lane_leave_(lane);
    }
    if (err != ALPS_EINVALID_FREE)
        alps_far_tell_(h, o, off, t);
    return err;
}

/* Whether this process may publish or cancel the reserved object: 0, or why
 * not. */
ALPS_FN_ int alps_object_held_(const alps_handle *h, const alps_object *o,
                               alps_off off)
{
    if (!alps_object_reserved_(h, o, off))
        return ALPS_EINVALID_FREE;
    return alps_load_(&o->slab->process) == alps_self_(h) ? ALPS_OK
                                                          : ALPS_EOWNER;
}

/* An object of this thread's slab is free to be handed out: it is put at hand,
 * or found again by its pair. `live` are the live ones of its group. */
ALPS_CORE_ int alps_small_back_(alps_handle *h, alps_rack *rack,
                                const alps_slab *s, alps_pair *pair,
                                uint64_t bit, alps_off off, uint64_t live,
                                const alps_tables *t)
{
    if (ALPS_LIKELY_(rack->top != rack->end)) {
        alps_spot_push_(rack, alps_address_(h, off), &pair->own, bit);
        return ALPS_OK;
    }
    if (ALPS_LIKELY_(live && s->where != ALPS_FULL))
        return ALPS_OK;
    return t->slow(h, ALPS_SLOW_FREED, off, 0);
}

/* The same for what was kept from others. */
ALPS_CORE_ int alps_object_back_(alps_handle *h, const alps_object *o,
                                 alps_off off, const alps_tables *t)
{
    return alps_small_back_(h, &alps_cache_(h)->rack[o->kind], o->slab, o->pair,
                            o->bit, off, alps_pair_live_(o->pair), t);
}

/* Gives a reserved object back; see alps_cancel. */
ALPS_CORE_ int alps_small_cancel_(alps_handle *h, const alps_object *o,
                                  alps_off off, const alps_tables *t)
{
    int err = alps_object_held_(h, o, off);
    if (err)
        return err;
    alps_cache *c = alps_cache_(h);
    int mine = c && alps_object_mine_(o, c->token);
    alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, mine);
    if (mine)
        return alps_object_back_(h, o, off, t);
    alps_far_tell_(h, o, off, t);
    return ALPS_OK;
}

/* Frees what `off` names where that is not as simple as most: an object of
 * another thread's slab, a reservation, what is no object, a block. */
ALPS_CORE_ int alps_small_slow_(alps_handle *h, alps_off off,
                                const alps_tables *t)
{
    alps_object o;
    int is = alps_object_at_(h, off, &o);
    if (is == 0)
        return alps_heap_free_(h, off, t);
    int err = alps_ready_(h, t);
    if (err || is < 0)
        return err ? err : ALPS_EINVALID_FREE;
    if (alps_object_live_(&o))
        return alps_far_free_(h, &o, off, t);
    return alps_small_cancel_(h, &o, off, t);
}

/* Takes an object off those at hand, and makes it live; durably, if `how` does
 * not leave the fence to the caller. NULL where none is at hand. */
ALPS_CORE_ void *alps_small_pop_(alps_handle *h, alps_rack *rack, uint64_t n,
                                 int how, const alps_tables *t)
{
    const alps_spot *spot = rack->top;
    void *p = spot->object;
    if (ALPS_UNLIKELY_(!p))
        return NULL;
    uint64_t *own = spot->own;
    rack->top--;
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    alps_store_(own, alps_load_(own) ^ spot->bit);
    if (t->policy->durable) {
        int err = ALPS_OK;
        if (how & ALPS_ALLOC_ZERO)
            err = t->policy->flush(&h->map, p, n);
        if (!err)
            err = t->policy->flush(&h->map, own, sizeof(alps_pair));
        if (!err && !(how & ALPS_ALLOC_LATER))
            err = t->policy->fence(&h->map, t->backend);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* The rack for objects of `n` bytes (not 0), with one at hand; NULL where there
 * is no slab to be had. */
ALPS_CORE_ alps_rack *alps_small_rack_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    unsigned kind = alps_kind_of_(n);
    alps_cache *c = alps_cache_(h);
    if (!c)
        return NULL;
    alps_rack *rack = &c->rack[kind];
    return rack->top != rack->bottom ||
                   t->slow(h, ALPS_SLOW_RACK, kind, 0) == ALPS_OK
               ? rack
               : NULL;
}

/* Allocates what is not at hand: after looking for more, or as a block. */
ALPS_CORE_ void *alps_small_other_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, align, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    return rack ? alps_small_pop_(h, rack, n, how, t)
                : alps_heap_alloc_(h, align, n, how, t);
}

/* See alps_alloc, alps_zalloc, alps_alloc_aligned. */
ALPS_CORE_ void *alps_small_alloc_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    uint64_t small = alps_small_size_(h, align, n);
    if (ALPS_LIKELY_(small != 0)) {
        const alps_seat *seat = alps_seat_(h, self);
        if (ALPS_LIKELY_(seat->thread == self)) {
            alps_rack *rack = &seat->cache->rack[alps_kind_of_(small)];
            void *p = alps_small_pop_(h, rack, n, how, t);
            if (ALPS_LIKELY_(p != NULL))
                return p;
        }
    }
    return t->other(h, align, n, how);
}

/* Takes an object that is not live, but kept from others: a reservation. NULL
 * where no slab is to be had. */
ALPS_CORE_ void *alps_small_reserve_(alps_handle *h, uint64_t n,
                                     const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, 1, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    if (!rack)
        return NULL;
    const alps_spot *spot = rack->top--;
    alps_slab *s = alps_slab_head_(h, alps_offset_(h, spot->object));
    alps_pair *pair = (alps_pair *)(void *)spot->own;
    alps_keep *keep = &alps_slab_keeps_(h, s)[pair - alps_slab_pairs_(s)];
    if (!s->kept)
        __atomic_store_n(&s->kept, 1, __ATOMIC_RELEASE);
    alps_store_(&keep->own, alps_load_(&keep->own) ^ spot->bit);
    return spot->object;
}

/* See alps_free. */
ALPS_CORE_ int alps_small_free_(alps_handle *h, const void *p,
                                const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    alps_off off = alps_offset_(h, p);
    if (ALPS_UNLIKELY_(off >= h->at.slab_end))
        return p ? t->slow(h, ALPS_SLOW_FAR, off, 0) : ALPS_OK;
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    if (ALPS_UNLIKELY_(__atomic_load_n(&claim->thread, __ATOMIC_RELAXED) !=
                       self))
        return t->slow(h, ALPS_SLOW_FAR, off, 0);
    uint64_t i = (off & h->at.slab_mask) * claim->scale;
    if (ALPS_UNLIKELY_((uint32_t)i >= claim->scale || // does not come out even
                       i >> 32 >= claim->count))
        return t->slow(h, ALPS_SLOW_FAR, off, 0);
    alps_pair *pair = &alps_slab_pairs_(claim->slab)[i >> 38];
    uint64_t bit = 1ull << (i >> 32) % 64;
    uint64_t own = alps_load_(&pair->own);
    uint64_t live = own ^ alps_load_(&pair->far);
    if (ALPS_UNLIKELY_(!(live & bit)))
        return t->slow(h, ALPS_SLOW_FAR, off, 0);
    alps_store_(&pair->own, own ^ bit);
    if (t->policy->durable) {
        int err = t->policy->flush(&h->map, pair, sizeof *pair);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        if (err)
            return err;
    }
    return alps_small_back_(h, claim->rack, claim->slab, pair, bit, off,
                            live ^ bit, t);
}

/* Bytes of the live or reserved object or block at `p`, or 0. */
ALPS_FN_ uint64_t alps_small_usable_(const alps_handle *h, const void *p)
{
    alps_object o;
    alps_block b;
    alps_off off = alps_offset_(h, p);
    int is = p ? alps_object_at_(h, off, &o) : -1;
    if (is == 1)
        return alps_object_live_(&o) || alps_object_reserved_(h, &o, off)
                   ? alps_kind_size_(o.kind)
                   : 0;
    int code = is ? -1 : alps_block_at_(h, off, &b);
    return code == ALPS_USED || code == ALPS_HELD ? alps_block_size_(&b) : 0;
}
