/* thread.h -- the cache of a thread
 *
 * A thread that allocates owns a lane, and with it a cache in memory of its
 * process alone: for each class of size the slab it hands objects out of, and
 * those it owns besides. It finds the cache from the handle, in a table by its
 * thread pointer; there is no hidden variable. A key of the C library tells
 * when a thread ends, without its saying so; the cache is given back then.
 *
 * The table is memory that the system empties in the child of a fork: the
 * child finds no cache, and no owner to write into a lock, so it cannot touch
 * what is its parent's. Threads that find no lane or no key left have no cache:
 * they allocate under the lock. */
#pragma once
#include "limbo.h"

/* An object that a thread may hand out, and the word and the bit that make it
 * live. */
typedef struct alps_spot {
    void *object; /* NULL: there is none */
    uint64_t *own;
    uint64_t bit;
} alps_spot;

/* Objects that a thread has at hand of each class, at most; 64 or more. */
#ifndef ALPS_SPOTS
#  define ALPS_SPOTS 128u
#endif

/* Empty slabs that a thread keeps at most, and what part of the region they
 * may be: a 32nd. What is more goes back to the heap. */
#ifndef ALPS_EMPTY_MAX
#  define ALPS_EMPTY_MAX 128u
#endif
#define ALPS_EMPTY_SHIFT 5

/* One class of size in a cache. All free objects of the thread's own slabs are
 * free by their pairs; those at hand are besides in a stack, and no other way
 * to find a free object is taken before that is empty. */
typedef struct alps_rack {
    alps_spot *top;    /* of the stack of objects at hand */
    alps_spot *bottom; /* the one without an object */
    alps_spot *end;    /* the highest there is room for */
    alps_slab *slab;   /* the slab in use, or NULL */
    alps_off place;    /* where that starts */
    alps_off partial;  /* the first of the owner's slabs with free objects */
    alps_off full;     /* and of those without */
    unsigned group;    /* of the slab in use: the last that was looked at */
    unsigned empty;    /* of the partial ones: without any object */
} alps_rack;

typedef struct alps_cache {
    alps_handle *handle;
    alps_lane *lane;
    uint64_t token;  /* in the lane and in the heads of its slabs */
    uint64_t reaped; /* alps_shared.reaped when it last looked */
    uint64_t most;   /* empty slabs that it keeps */
    unsigned reads;  /* sections that it is in, one within the other */
    alps_rack rack[ALPS_KINDS];
    alps_spot spot[ALPS_KINDS][ALPS_SPOTS + 1];
} alps_cache;

/* Where a thread finds its cache: near where its number hashes to. */
typedef struct alps_seat {
    uintptr_t thread; /* 0: nobody's */
    alps_cache *cache;
} alps_seat;
/* What a thread that owns a slab has to know to free an object of it, without
 * a look at the head. */
typedef struct alps_claim {
    uintptr_t thread; /* the owner; 0: none of this process */
    alps_rack *rack;
    alps_slab *slab;
    uint32_t scale; /* as in the head */
    uint32_t count;
} alps_claim;

#ifndef ALPS_SEATS
#  define ALPS_SEATS 4096u
#endif
#define ALPS_SEAT_REACH 8u /* seats a thread may be found in */

/* How many of the lanes threads may own. The others are taken for one
 * operation at a time. */
ALPS_FN_ unsigned alps_lanes_owned_(const alps_handle *h)
{
    unsigned n = h->at.lane_count / 16;
    return h->at.lane_count - (n < 1 ? 1 : n > 64 ? 64 : n);
}

/* The memory that caches are in: a page, the seats, a cache for each lane, and
 * a claim for each slab that there may be. */
ALPS_FN_ alps_cache *alps_caches_(const alps_handle *h)
{
    return (alps_cache *)(void *)(h->seats + ALPS_SEATS + ALPS_SEAT_REACH);
}

ALPS_FN_ uint64_t alps_local_bytes_(const alps_handle *h)
{
    uint64_t n = ALPS_PAGE;
    n += (ALPS_SEATS + ALPS_SEAT_REACH) * sizeof(alps_seat);
    n += alps_lanes_owned_(h) * sizeof(alps_cache);
    n += ((h->at.slab_end >> h->at.slab_shift) + 1) * sizeof(alps_claim);
    return alps_round_up_(n, ALPS_PAGE);
}

ALPS_FN_ int alps_local_open_(alps_handle *h)
{
    size_t n = (size_t)alps_local_bytes_(h);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
#ifdef MADV_WIPEONFORK
    madvise(p, n, MADV_WIPEONFORK); // since Linux 4.14
#endif
    h->local = (alps_local *)p;
    h->seats = (alps_seat *)(void *)((unsigned char *)p + ALPS_PAGE);
    h->claims = (alps_claim *)(void *)(alps_caches_(h) + alps_lanes_owned_(h));
    return ALPS_OK;
}

ALPS_FN_ void alps_local_close_(alps_handle *h)
{
    if (!h->local)
        return;
    if (h->keyed)
        pthread_key_delete(h->key);
    munmap(h->local, (size_t)alps_local_bytes_(h));
    h->local = NULL;
    h->seats = NULL;
    h->keyed = 0;
}

/* The first seat that thread `self` may have. Stacks lie an odd number of
 * pages apart, with their guard, and the thread pointer is in them. */
ALPS_CORE_ alps_seat *alps_seat_(const alps_handle *h, uintptr_t self)
{
    return &h->seats[self / ALPS_PAGE % ALPS_SEATS];
}

/* Whether it is that of thread `self`: others may be taking or leaving it. */
ALPS_CORE_ int alps_seat_is_(const alps_seat *seat, uintptr_t self)
{
    return __atomic_load_n(&seat->thread, __ATOMIC_RELAXED) == self;
}

ALPS_FN_ void alps_local_lock_(alps_handle *h)
{
    for (unsigned round = 0;; round++) {
        uint64_t nobody = 0;
        if (__atomic_compare_exchange_n(&h->local->lock, &nobody, 1, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        ALPS_WAIT_(round);
    }
}

/* The seat of thread `self`, or NULL. */
ALPS_FN_ alps_seat *alps_seat_find_(const alps_handle *h, uintptr_t self)
{
    alps_seat *seat = alps_seat_(h, self);
    for (unsigned i = 0; h->seats && i < ALPS_SEAT_REACH; i++)
        if (__atomic_load_n(&seat[i].thread, __ATOMIC_ACQUIRE) == self)
            return &seat[i];
    return NULL;
}

/* Gives thread `self` the seat that `was` has within its reach (0: a seat that
 * is nobody's), for `c`; or makes it nobody's (NULL). */
ALPS_FN_ int alps_seat_set_(alps_handle *h, uintptr_t self, uintptr_t was,
                            alps_cache *c)
{
    alps_seat *seat = alps_seat_(h, self);
    unsigned i = 0;
    alps_local_lock_(h);
    while (i < ALPS_SEAT_REACH && seat[i].thread != was)
        i++;
    if (i < ALPS_SEAT_REACH) {
        seat[i].cache = c;
        __atomic_store_n(&seat[i].thread, c ? self : 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&h->local->lock, 0, __ATOMIC_RELEASE);
    return i < ALPS_SEAT_REACH ? ALPS_OK : ALPS_EFULL;
}

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

/* Nobody owns the lane any more. */
ALPS_FN_ void alps_lane_free_(alps_lane *lane)
{
    alps_store_(&lane->held, 0);
    alps_store_(&lane->pending, 0);
    alps_store_(&lane->apply, 0);
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
    c->most = alps_size_(h) >> h->at.slab_shift >> ALPS_EMPTY_SHIFT;
    if (c->most > ALPS_EMPTY_MAX)
        c->most = ALPS_EMPTY_MAX;
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
        alps_lane_free_(lane);
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
ALPS_CORE_ alps_cache *alps_cache_(alps_handle *h)
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

/* Lets go of a slab of this thread: see alps_slab_loosen_. */
ALPS_CORE_ void alps_claim_end_(alps_handle *h, alps_off place,
                                const alps_tables *t)
{
    alps_claim_(h, place, NULL);
    alps_slab_loosen_(h, place, t);
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
ALPS_CORE_ void alps_spot_push_(alps_rack *rack, void *object, uint64_t *own,
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
    uint64_t size = rack->slab->size;
    uint64_t *own = &alps_slab_pairs_(rack->slab)[g].own;
    unsigned char *base =
        (unsigned char *)alps_address_(h, rack->place) + 64 * g * size;
    alps_spot *spot = rack->top;
    rack->group = g;
    for (; mask; mask &= mask - 1) {
        spot++;
        spot->object = base + alps_low_bit_(mask) * size;
        spot->own = own;
        spot->bit = mask & (0 - mask);
    }
    rack->top = spot;
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
ALPS_CORE_ uint64_t alps_rack_trim_(alps_handle *h, alps_rack *rack,
                                    const alps_tables *t)
{
    uint64_t n = 0;
    alps_off place;
    rack->top = rack->bottom;
    alps_rack_review_(h, rack);
    place = rack->partial;
    while (place) {
        alps_slab *s = alps_slab_head_(h, place);
        alps_off next = s->next;
        if (alps_slab_empty_(h, s)) {
            rack->empty -= s->where == ALPS_EMPTY;
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
        n += alps_rack_trim_(h, &seat->cache->rack[kind], t);
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
    alps_object o;
    if (c->lane->pending && t->policy->fence(&h->map, t->backend) == ALPS_OK)
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
    alps_lane_free_(c->lane);
}

/* Ends the part of all threads of this process, none of which runs. */
ALPS_CORE_ void alps_threads_leave_(alps_handle *h, const alps_tables *t)
{
    alps_cache *c = alps_caches_(h);
    for (unsigned i = 0; i < alps_lanes_owned_(h); i++)
        if (alps_load_(&h->lanes[i].lock) == alps_self_(h))
            alps_thread_leave_(&c[i], t);
}
