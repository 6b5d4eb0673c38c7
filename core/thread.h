/* thread.h -- a thread's part in the region: lane, cache, slabs
 *
 * A thread that allocates owns a lane, and with it a cache: for each class of
 * size the slab it hands objects out of, and those it owns besides. A key of
 * the C library tells when a thread ends, without its saying so; the cache is
 * given back then. Threads that find no lane or no key left have no cache: they
 * allocate under a lock. */
#pragma once
#include "cache.h"

/* Takes a lane for a thread to own. */
ALPS_FN_ alps_lane *alps_thread_lane_(alps_handle *h, uintptr_t self)
{
    unsigned n = alps_lanes_owned_(h);
    uint64_t start = (uint64_t)self * (uint64_t)0x9e3779b97f4a7c15 >> 40;
    for (unsigned i = 0; i < n; i++) {
        alps_lane *lane = &h->lanes[(start + h->slot + i) % n];
        if (!alps_load_(&lane->lock) &&
            alps_lock_try_(&lane->lock, alps_self_(h)))
            return lane;
    }
    return NULL;
}

/* Counts empty slabs that the thread of this lane keeps from now on, or no
 * more. Who is killed between the two leaves the second wrong by one. */
ALPS_FN_ void alps_empty_add_(const alps_handle *h, alps_lane *lane, uint64_t n)
{
    alps_store_(&lane->empty, alps_load_(&lane->empty) + n);
    __atomic_fetch_add(&h->shared->empty, n, __ATOMIC_RELAXED);
}

/* Whether it may keep one more. */
ALPS_FN_ int alps_empty_may_(const alps_handle *h, const alps_lane *lane)
{
    uint64_t slabs = alps_size_(h) >> h->at.slab_shift;
    return alps_load_(&lane->empty) < ALPS_EMPTY_MAX &&
           (int64_t)alps_load_(&h->shared->empty) <
               (int64_t)(slabs >> ALPS_EMPTY_SHIFT);
}

/* Nobody owns the lane any more. */
ALPS_FN_ void alps_lane_free_(const alps_handle *h, alps_lane *lane)
{
    if (alps_load_(&lane->empty))
        alps_empty_add_(h, lane, 0 - lane->empty);
    alps_store_(&lane->held, 0);
    alps_store_(&lane->pending, 0);
    alps_store_(&lane->apply, 0);
    alps_store_(&lane->freeing, 0);
    __atomic_store_n(&lane->pin, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&lane->token, 0, __ATOMIC_SEQ_CST);
    alps_lock_leave_(&lane->lock);
}

/* Makes a cache for the thread that runs. Where there is no lane, no seat or
 * no key left, there is none, and that is said by ALPS_EFULL. */
ALPS_FN_ int alps_thread_enter_(alps_handle *h)
{
    uintptr_t self = ALPS_THREAD_();
    alps_lane *lane = h->keyed ? alps_thread_lane_(h, self) : NULL;
    if (!lane)
        return ALPS_EFULL;
    unsigned number = (unsigned)(lane - h->lanes);
    alps_cache *c = &alps_caches_(h)[number];
    memset(c, 0, offsetof(alps_cache, spot));
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        c->rack[kind].top = c->rack[kind].bottom = c->spot[kind];
        c->rack[kind].end = c->spot[kind] + ALPS_SPOTS;
    }
    c->handle = h;
    c->lane = lane;
    c->token = alps_token_new_(h, number);
    c->reaped = alps_load_(&h->shared->reaped);
    for (unsigned i = 0; i < 8; i++)
        alps_store_(&lane->told[i], 0);
    __atomic_store_n(&lane->token, c->token, __ATOMIC_SEQ_CST);
    int err = alps_seat_set_(h, self, 0, c);
    if (!err && pthread_setspecific(h->key, c)) { // it may allocate from here
        alps_seat_set_(h, self, self, NULL);
        err = ALPS_EFULL;
    }
    if (err) {
        c->token = 0;
        alps_lane_free_(h, lane);
    }
    return err;
}

/* The cache of this thread, which may be made now; NULL where it has none. */
ALPS_COLD_ alps_cache *alps_cache_search_(alps_handle *h, uintptr_t self)
{
    const alps_seat *seat = alps_seat_find_(h, self);
    if (!seat && alps_self_(h) && alps_thread_enter_(h) == ALPS_OK)
        seat = alps_seat_find_(h, self);
    return seat ? seat->cache : NULL;
}

/* The same, found at once where it is where it should be. */
ALPS_FAST_ alps_cache *alps_cache_(alps_handle *h)
{
    uintptr_t self = ALPS_THREAD_();
    if (ALPS_UNLIKELY_(!h->seats))
        return NULL;
    const alps_seat *seat = alps_seat_(h, self);
    if (ALPS_LIKELY_(alps_seat_is_(seat, self)))
        return seat->cache;
    return alps_cache_search_(h, self);
}

/* Makes the slab at `place` known to be this thread's, or nobody's (NULL). */
ALPS_FN_ void alps_claim_(const alps_handle *h, alps_off place, alps_rack *rack)
{
    alps_claim *claim = &h->claims[place >> h->at.slab_shift];
    if (rack) {
        alps_slab *s = alps_slab_head_(h, place);
        claim->rack = rack;
        claim->slab = s;
        claim->scale = s->scale;
        claim->count = s->count;
    }
    __atomic_store_n(&claim->thread, rack ? ALPS_THREAD_() : 0,
                     __ATOMIC_RELEASE);
}

/* Whether `off` is an object of a slab of this thread: found by its claim, for
 * a fifth of what it takes to ask the region. */
ALPS_FAST_ int alps_object_claimed_(const alps_handle *h, alps_off off,
                                    alps_object *o)
{
    if (off >= h->at.slab_end)
        return 0;
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    if (__atomic_load_n(&claim->thread, __ATOMIC_RELAXED) != ALPS_THREAD_())
        return 0; // and the rest is another's to write
    uint64_t i = (off & h->at.slab_mask) * claim->scale;
    if ((uint32_t)i >= claim->scale || i >> 32 >= claim->count)
        return 0;
    o->slab = claim->slab;
    o->pair = &alps_slab_pairs_(o->slab)[i >> 38];
    o->keep = &alps_slab_keeps_(h, o->slab)[i >> 38];
    o->bit = 1ull << (i >> 32) % 64;
    o->kind = __atomic_load_n(&o->slab->kind, __ATOMIC_RELAXED) - 1;
    return 1;
}

/* Whether `o`, which was an object of a slab of this thread, is one still. */
ALPS_FAST_ int alps_object_still_(const alps_handle *h, alps_off off,
                                  const alps_object *o)
{
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    return __atomic_load_n(&claim->thread, __ATOMIC_RELAXED) ==
               ALPS_THREAD_() &&
           __atomic_load_n(&o->slab->kind, __ATOMIC_RELAXED) == o->kind + 1;
}

/* See alps_object_at_; `*mine` tells whether it is of a slab of this thread. */
ALPS_FAST_ int alps_object_find_(alps_handle *h, alps_off off, alps_object *o,
                                 int *mine)
{
    *mine = alps_object_claimed_(h, off, o);
    return ALPS_LIKELY_(*mine) ? 1 : alps_object_at_(h, off, o);
}

/* Lets go of a slab of this thread: see alps_slab_loosen_. */
ALPS_CORE_ void alps_claim_end_(alps_handle *h, alps_off place,
                                const alps_tables *t)
{
    alps_claim_(h, place, NULL);
    t->slow(h, ALPS_SLOW_LOOSEN, place, 0);
}

/* Lets go of the slabs of a list, one at a time: others may take the lock
 * between two. */
ALPS_CORE_ void alps_thread_let_go_(alps_handle *h, alps_off place,
                                    const alps_tables *t)
{
    while (place) {
        alps_off next = alps_slab_head_(h, place)->next;
        alps_lock_(h, t);
        alps_claim_end_(h, place, t);
        alps_unlock_(h);
        place = next;
    }
}

/* Puts the slab that starts at `place` into a list of its owner. */
ALPS_FN_ void alps_list_push_(const alps_handle *h, alps_off *list,
                              alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    s->next = *list;
    s->previous = 0;
    if (*list)
        alps_slab_head_(h, *list)->previous = place;
    *list = place;
}

/* Takes it out of the list. */
ALPS_FN_ void alps_list_drop_(const alps_handle *h, alps_off *list,
                              alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (s->previous)
        alps_slab_head_(h, s->previous)->next = s->next;
    else
        *list = s->next;
    if (s->next)
        alps_slab_head_(h, s->next)->previous = s->previous;
}

/* Puts an object at hand; there is room. */
ALPS_FAST_ void alps_spot_push_(alps_rack *rack, void *object, uint64_t *own,
                                uint64_t bit)
{
    alps_spot *spot = ++rack->top;
    spot->object = object;
    spot->own = own;
    spot->bit = bit;
}

/* Puts the objects in `mask`, of group `g` of the slab in use, at hand. */
ALPS_FN_ void alps_rack_use_(const alps_handle *h, alps_rack *rack, unsigned g,
                             uint64_t mask)
{
    rack->group = g;
    rack->mask = mask;
    rack->own = &alps_slab_pairs_(rack->slab)[g].own;
    rack->size = rack->slab->size;
    rack->base = (char *)alps_address_(h, rack->place) + 64 * g * rack->size;
}

/* Takes an object off those at hand; 0 where there is none. */
ALPS_FAST_ int alps_rack_take_(alps_rack *rack, alps_spot *spot)
{
    const alps_spot *top = rack->top;
    uint64_t mask = rack->mask;
    if (top->object) {
        *spot = *top;
        rack->top--;
        return 1;
    }
    if (!mask)
        return 0;
    spot->bit = alps_low_bit_(mask);
    spot->object = rack->base + spot->bit * rack->size;
    spot->own = rack->own;
    rack->mask = mask & (mask - 1);
    return 1;
}

/* Forgets the objects at hand that are of slab `s`. */
ALPS_FN_ void alps_rack_purge_(const alps_handle *h, alps_rack *rack,
                               const alps_slab *s)
{
    alps_spot *kept = rack->bottom;
    for (alps_spot *spot = kept + 1; spot <= rack->top; spot++)
        if ((uintptr_t)spot->own - (uintptr_t)s >= h->at.head)
            *++kept = *spot;
    rack->top = kept;
}

/* The rack has no slab in use. */
ALPS_FN_ void alps_rack_clear_(alps_rack *rack)
{
    rack->slab = NULL;
    rack->place = 0;
    rack->mask = 0;
}

/* Asks those who free in a slab of this thread to tell, and looks for what they
 * freed before they could know. Who frees looks at `full` after that, so one of
 * the two sees the other. */
ALPS_FN_ int alps_slab_ask_(const alps_handle *h, alps_slab *s)
{
    (void)__atomic_exchange_n(&s->full, 1, __ATOMIC_SEQ_CST);
    return alps_slab_room_(h, s);
}

/* A full slab of this thread has a free object again. */
ALPS_FN_ void alps_rack_refound_(const alps_handle *h, alps_rack *rack,
                                 alps_slab *s, alps_off place)
{
    alps_list_drop_(h, &rack->full, place);
    alps_list_push_(h, &rack->partial, place);
    s->where = ALPS_PARTIAL;
    alps_store_(&s->full, 0);
}

/* Looks at all full slabs of the rack: a process has died, perhaps before it
 * told what it freed. */
ALPS_FN_ void alps_rack_review_(const alps_handle *h, alps_rack *rack)
{
    for (alps_off place = rack->full, next; place; place = next) {
        alps_slab *s = alps_slab_head_(h, place);
        next = s->next;
        if (alps_slab_ask_(h, s))
            alps_rack_refound_(h, rack, s, place);
    }
}

/* Gives back the slabs of a rack that have no object; answers how many. Under
 * the lock. */
ALPS_CORE_ uint64_t alps_rack_trim_(alps_handle *h, alps_cache *c,
                                    unsigned kind, const alps_tables *t)
{
    alps_rack *rack = &c->rack[kind];
    uint64_t n = 0;
    alps_off place;
    rack->top = rack->bottom;
    alps_rack_review_(h, rack);
    place = rack->partial;
    while (place) {
        alps_slab *s = alps_slab_head_(h, place);
        alps_off next = s->next;
        if (alps_slab_empty_(h, s)) {
            if (s->where == ALPS_EMPTY)
                alps_empty_add_(h, c->lane, ~0ull);
            alps_list_drop_(h, &rack->partial, place);
            alps_claim_end_(h, place, t);
            n++;
        }
        place = next;
    }
    if (rack->slab && alps_slab_empty_(h, rack->slab)) {
        place = rack->place;
        alps_rack_clear_(rack);
        alps_claim_end_(h, place, t);
        n++;
    }
    return n;
}

/* The same for all of this thread's. */
ALPS_CORE_ uint64_t alps_thread_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    for (unsigned kind = 0; seat && kind < ALPS_KINDS; kind++)
        n += alps_rack_trim_(h, seat->cache, kind, t);
    return n;
}

/* Lets an object of this thread go that a release held back until its
 * retirement was durable, which it is; 0 if there is none. */
ALPS_FN_ alps_off alps_pending_end_(alps_handle *h, alps_lane *lane,
                                    alps_object *o)
{
    alps_off off = alps_load_(&lane->pending);
    if (!off || alps_object_at_(h, off, o) != 1)
        return 0;
    alps_store_(&o->keep->own, alps_load_(&o->keep->own) ^ o->bit);
    ALPS_BARRIER_();
    alps_store_(&lane->pending, 0);
    return off;
}

/* Ends the part of a thread: its cache is given back, its lane is free. */
ALPS_CORE_ void alps_thread_leave_(alps_cache *c, const alps_tables *t)
{
    alps_handle *h = c->handle;
    if (!h || !c->token || !alps_self_(h))
        return; // the child of a fork has found it emptied
    unsigned number = (unsigned)(c->lane - h->lanes);
    alps_object o;
    if (h->drafts[number].thread)
        t->slow(h, ALPS_SLOW_ABORT, number, 0);
    if (c->lane->pending && t->fence(&h->map) == ALPS_OK)
        alps_pending_end_(h, c->lane, &o);
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_rack *rack = &c->rack[kind];
        if (rack->slab)
            rack->slab->next = 0;
        alps_thread_let_go_(h, rack->place, t);
        alps_thread_let_go_(h, rack->partial, t);
        alps_thread_let_go_(h, rack->full, t);
    }
    if (alps_load_(&c->lane->limbo)) {
        alps_lock_(h, t);
        alps_limbo_close_(h, c->lane);
        alps_unlock_(h);
    }
    c->token = 0;
    uintptr_t self = ALPS_THREAD_();
    const alps_seat *seat = alps_seat_find_(h, self);
    if (seat && seat->cache == c)
        alps_seat_set_(h, self, self, NULL);
    alps_lane_free_(h, c->lane);
}

/* Ends the part of all threads of this process, none of which runs. */
ALPS_CORE_ void alps_threads_leave_(alps_handle *h, const alps_tables *t)
{
    alps_cache *c = alps_caches_(h);
    for (unsigned i = 0; i < alps_lanes_owned_(h); i++)
        if (alps_load_(&h->lanes[i].lock) == alps_self_(h))
            alps_thread_leave_(&c[i], t);
    for (unsigned i = alps_lanes_owned_(h); i < h->at.lane_count; i++)
        if (alps_load_(&h->local->borrowed) && h->drafts[i].thread)
            t->slow(h, ALPS_SLOW_ABORT, i, 0);
}
