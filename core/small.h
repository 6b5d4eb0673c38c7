/* small.h -- alloc, free, reserve: objects of slabs, and blocks
 *
 * An object up to the region's `small` comes from a slab of this thread: a bit
 * is turned, and that is all; no lock, no search, no system call. Who frees an
 * object of another thread's slab turns a bit of the other word, and tells the
 * owner if its slab was full. All else, and all that finds no slab, is a
 * block. */
#pragma once
#include "rack.h"

/* The bytes to ask a class for, or 0 where none serves: a multiple of the
 * alignment, so that all objects of its slabs have it. */
ALPS_FAST_ uint64_t alps_small_size_(const alps_handle *h, uint64_t align,
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

/* An object of a slab that this thread does not own has become free. A slab
 * that nobody sees to is listed. */
ALPS_CORE_ void alps_far_tell_(alps_handle *h, const alps_object *o,
                               alps_off off, const alps_tables *t)
{
    if (alps_slab_tell_(h, o->slab, off))
        return;
    alps_lock_(h, t);
    if (alps_slab_is_(h, off))
        t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, off), 0);
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
                err = t->fence(&h->map);
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

/* The same for one of a slab of this thread, whose cache is `c`. */
ALPS_FAST_ int alps_object_mine_held_(const alps_cache *c, const alps_object *o,
                                      alps_off off)
{
    uint64_t kept = alps_load_(&o->keep->own) ^ alps_load_(&o->keep->far);
    return kept & ~alps_pair_live_(o->pair) & o->bit && c &&
                   alps_load_(&c->lane->pending) != off
               ? ALPS_OK
               : ALPS_EINVALID_FREE;
}

/* An object of this thread's slab, number `bit` % 64 of its group, may be
 * handed out: it is put at hand, or found again by its pair. `live` are the
 * live ones of the group. */
ALPS_FAST_ int alps_small_back_(alps_handle *h, alps_rack *rack,
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
                            alps_low_bit_(o->bit), off,
                            alps_pair_live_(o->pair), t);
}

/* Gives a reserved object back; see alps_cancel. */
ALPS_CORE_ int alps_small_cancel_(alps_handle *h, const alps_object *o,
                                  alps_off off, const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    int mine = c && alps_object_mine_(o, c->token);
    int err =
        mine ? alps_object_mine_held_(c, o, off) : alps_object_held_(h, o, off);
    if (err)
        return err;
    alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, mine);
    if (mine)
        return alps_object_back_(h, o, off, t);
    alps_far_tell_(h, o, off, t);
    return ALPS_OK;
}

/* Frees what `off` names where that is not as simple as most: an object of
 * another thread's slab, a reservation, what is no object, a block. */
ALPS_FAST_ int alps_small_slow_(alps_handle *h, alps_off off,
                                const alps_tables *t)
{
    alps_object o;
    memset(&o, 0, sizeof o);
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
ALPS_FAST_ void *alps_small_pop_(alps_handle *h, alps_rack *rack, uint64_t n,
                                 int how, const alps_tables *t)
{
    alps_spot spot;
    if (ALPS_UNLIKELY_(!alps_rack_take_(rack, &spot)))
        return NULL;
    void *p = spot.object;
    uint64_t *own = spot.own;
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    alps_store_(own, alps_load_(own) ^ 1ull << spot.bit % 64);
    if (t->policy->durable) {
        int err = ALPS_OK;
        if (how & ALPS_ALLOC_ZERO)
            err = t->policy->flush(&h->map, p, n);
        if (!err)
            err = t->policy->flush(&h->map, own, sizeof(alps_pair));
        if (!err && !(how & ALPS_ALLOC_LATER))
            err = t->fence(&h->map);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* The rack for objects of `n` bytes (not 0), with one at hand; NULL where there
 * is no slab to be had. */
ALPS_FAST_ alps_rack *alps_small_rack_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    unsigned kind = alps_kind_of_(n);
    alps_cache *c = alps_cache_(h);
    if (!c)
        return NULL;
    alps_rack *rack = &c->rack[kind];
    return rack->top != rack->bottom || rack->mask ||
                   t->slow(h, ALPS_SLOW_RACK, kind, 0) == ALPS_OK
               ? rack
               : NULL;
}

/* Allocates what is not at hand: after looking for more, or as a block. */
ALPS_FAST_ void *alps_small_other_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, align, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    return rack ? alps_small_pop_(h, rack, n, how, t)
                : alps_heap_alloc_(h, align, n, how, t);
}

/* See alps_alloc, alps_zalloc, alps_alloc_aligned. */
ALPS_FAST_ void *alps_small_alloc_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    uint64_t small = alps_small_size_(h, align, n);
    if (ALPS_LIKELY_(small != 0)) {
        const alps_seat *seat = alps_seat_(h, self);
        if (ALPS_LIKELY_(alps_seat_is_(seat, self))) {
            alps_rack *rack = &seat->cache->rack[alps_kind_of_(small)];
            void *p = alps_small_pop_(h, rack, n, how, t);
            if (ALPS_LIKELY_(p != NULL))
                return p;
        }
    }
    return t->other(h, align, n, how);
}

/* Takes an object off those at hand that is not live, but kept from others: a
 * reservation. NULL where none is at hand. */
ALPS_FAST_ void *alps_small_keep_(alps_handle *h, alps_rack *rack)
{
    alps_spot spot;
    if (ALPS_UNLIKELY_(!alps_rack_take_(rack, &spot)))
        return NULL;
    alps_slab *s =
        h->claims[alps_offset_(h, spot.object) >> h->at.slab_shift].slab;
    alps_pair *pair = (alps_pair *)(void *)spot.own;
    alps_keep *keep = &alps_slab_keeps_(h, s)[pair - alps_slab_pairs_(s)];
    if (!__atomic_load_n(&s->kept, __ATOMIC_RELAXED))
        __atomic_store_n(&s->kept, 1, __ATOMIC_RELEASE);
    alps_store_(&keep->own, alps_load_(&keep->own) ^ 1ull << spot.bit % 64);
    return spot.object;
}

/* The same, after looking for more: NULL where no slab is to be had. */
ALPS_FAST_ void *alps_small_reserve_(alps_handle *h, uint64_t n,
                                     const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, 1, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    return rack ? alps_small_keep_(h, rack) : NULL;
}

/* See alps_free. */
ALPS_FAST_ int alps_small_free_(alps_handle *h, const void *p,
                                const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    alps_off off = alps_offset_(h, p);
    if (ALPS_UNLIKELY_(off >= h->at.slab_end))
        return p ? t->far(h, off) : ALPS_OK;
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    if (ALPS_UNLIKELY_(__atomic_load_n(&claim->thread, __ATOMIC_RELAXED) !=
                       self))
        return t->far(h, off);
    uint64_t i = (off & h->at.slab_mask) * claim->scale;
    if (ALPS_UNLIKELY_((uint32_t)i >= claim->scale || // does not come out even
                       i >> 32 >= claim->count))
        return t->far(h, off);
    alps_pair *pair = &alps_slab_pairs_(claim->slab)[i >> 38];
    uint64_t bit = i >> 32;
    uint64_t own = alps_load_(&pair->own) ^ 1ull << bit % 64;
    uint64_t live = own ^ alps_load_(&pair->far);
    if (ALPS_UNLIKELY_(live >> bit % 64 & 1)) // it was not before
        return t->far(h, off);
    alps_store_(&pair->own, own);
    if (t->policy->durable) {
        int err = t->policy->flush(&h->map, pair, sizeof *pair);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            return err;
    }
    return alps_small_back_(h, claim->rack, claim->slab, pair, bit, off, live,
                            t);
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
