/* loose.h -- slabs that no thread owns
 *
 * A thread that ends gives back its empty slabs and puts those with free
 * objects into a list, by class, from which the next one takes them. What a
 * process leaves that is killed is found by sweeping: the slabs of an extent
 * are looked at when a thread would else make a slab, a few extents at a time.
 * The lists are index: when the lock is broken they start again empty, and so
 * does the sweep. Runs under the lock of the region. */
#pragma once
#include "extent.h"

/* How many extents one allocation sweeps before it prefers a fresh slab. */
#ifndef ALPS_SWEEP_MAX
#  define ALPS_SWEEP_MAX 4u
#endif

/* A token: the epoch, a count, and the lane of the thread that has it. */
#define ALPS_TOKEN_LANE_ 0xfffu

/* Where the epoch is in a token, and in the word of a process. */
#define ALPS_EPOCH_SHIFT_ 40

ALPS_FN_ uint64_t alps_epoch_(const alps_handle *h)
{
    return alps_load_(&h->super->epoch) >> 16 & 0xffffff;
}

/* A token that was never used in this epoch, for lane `number`. */
ALPS_FN_ uint64_t alps_token_new_(const alps_handle *h, unsigned number)
{
    uint64_t count =
        __atomic_add_fetch(&h->shared->tokens, 1, __ATOMIC_RELAXED);
    return alps_epoch_(h) << ALPS_EPOCH_SHIFT_ | (count & 0xfffffff) << 12 |
           number;
}

/* The lane of the living thread that has `token`, or NULL. */
ALPS_FN_ alps_lane *alps_token_lane_(const alps_handle *h, uint64_t token)
{
    uint64_t number = token & ALPS_TOKEN_LANE_;
    if (!token || number >= h->at.lane_count)
        return NULL;
    alps_lane *lane = &h->lanes[number];
    return __atomic_load_n(&lane->token, __ATOMIC_ACQUIRE) == token ? lane
                                                                    : NULL;
}

/* Whether a process that owned a slab is still in the region. */
ALPS_FN_ int alps_process_in_(const alps_handle *h, uint64_t process)
{
    uint64_t number = process & 0xffff;
    return number < h->at.slot_count &&
           alps_slot_owner_(h, (unsigned)number) == process;
}

/* Whether the object at `off` is reserved, by a process that is still here. One
 * that its owner released, and that waits for a fence, looks the same but is
 * not. */
ALPS_FN_ int alps_object_reserved_(const alps_handle *h, const alps_object *o,
                                   alps_off off)
{
    uint64_t kept = alps_load_(&o->keep->own) ^ alps_load_(&o->keep->far);
    if (!(kept & ~alps_pair_live_(o->pair) & o->bit) ||
        !alps_process_in_(h, alps_load_(&o->slab->process)))
        return 0;
    const alps_lane *lane = alps_token_lane_(h, alps_load_(&o->slab->owner));
    return !lane || alps_load_(&lane->pending) != off;
}

/* Whether somebody sees to the slab: its owner, or a list of loose ones. */
ALPS_FN_ int alps_slab_seen_to_(const alps_handle *h, const alps_slab *s)
{
    uint64_t owner = __atomic_load_n(&s->owner, __ATOMIC_SEQ_CST);
    return alps_token_lane_(h, owner) || owner == h->shared->loose_by;
}

/* The words of an extent that tell which of its slabs others freed in. */
ALPS_FN_ uint64_t *alps_told_words_(const alps_handle *h, alps_off extent)
{
    return (uint64_t *)alps_address_(h, extent + h->at.told);
}

/* An object of the slab has become free, and not by its owner: tells that if
 * the slab was full. 0: nobody sees to the slab. */
ALPS_CORE_ int alps_slab_tell_(const alps_handle *h, alps_slab *s, alps_off off)
{
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
    return lane || owner == alps_load_(&h->shared->loose_by);
}

/* The lists of loose slabs are void, and all are to be found again. */
ALPS_FN_ void alps_loose_reset_(alps_handle *h)
{
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++)
        h->shared->loose[kind] = 0;
    alps_store_(&h->shared->loose_by, alps_token_new_(h, ALPS_TOKEN_LANE_));
    alps_store_(&h->shared->swept, 0);
}

/* Gives the block of an empty slab back: from here on no slab starts there,
 * durably so before the block is anything else. */
ALPS_CORE_ int alps_slab_drop_(alps_handle *h, alps_off place,
                               const alps_tables *t)
{
    alps_block b;
    uint64_t unit = place >> h->at.slab_shift;
    int err = ALPS_ECORRUPT;
    int code = alps_block_lock_(h, place, &b, 1, t);
    if (code == ALPS_HELD && b.level == ALPS_LEVEL_GRANULE) {
        alps_slab_mark_(h, place, 0);
        err = t->policy->flush(&h->map, &h->slabs[unit / 64], 8);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            alps_slab_mark_(h, place, 1);
        else
            alps_give_back_(h, &b);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
    return err;
}

/* In the place of a process: there is none. */
#define ALPS_NO_PROCESS_ 0xffffu

/* Voids what does not outlive the process that owned the slab: reservations,
 * and, of an earlier epoch, all that was held back. */
ALPS_FN_ void alps_slab_forget_(alps_handle *h, alps_slab *s)
{
    uint64_t process = alps_load_(&s->process);
    uint64_t number = process & 0xffff;
    int old = process >> ALPS_EPOCH_SHIFT_ != alps_epoch_(h);
    if (!old && (number >= h->at.slot_count || alps_process_in_(h, process)))
        return;
    alps_keep *keep = alps_slab_keeps_(h, s);
    for (unsigned g = 0; g < alps_slab_groups_(s); g++) {
        alps_store_(&keep[g].own, 0);
        alps_store_(&keep[g].far, 0);
        if (old)
            alps_store_(&keep[g].pinned, 0);
    }
    alps_store_(&s->process,
                alps_epoch_(h) << ALPS_EPOCH_SHIFT_ | ALPS_NO_PROCESS_);
}

/* Whether process `self` may own the slab: another living one has no
 * reservation in it. */
ALPS_FN_ int alps_slab_open_to_(const alps_handle *h, alps_slab *s,
                                uint64_t self)
{
    uint64_t process = alps_load_(&s->process);
    const alps_keep *keep = alps_slab_keeps_(h, s);
    if ((process & 0xffff) >= h->at.slot_count || process == self ||
        !__atomic_load_n(&s->kept, __ATOMIC_RELAXED))
        return 1;
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_load_(&keep[g].own) ^ alps_load_(&keep[g].far))
            return 0;
    return 1;
}

/* Lets go of a slab. It is given back, or listed, or full: then who frees the
 * next object of it sees to it. The owner is gone before the slab is looked
 * at, and who frees looks for the owner after freeing, so one of the two sees
 * the other. */
ALPS_CORE_ void alps_slab_loosen_(alps_handle *h, alps_off place,
                                  const alps_tables *t)
{
    alps_slab *s = alps_slab_head_(h, place);
    uint32_t kind = s->kind - 1;
    s->where = ALPS_NOWHERE;
    (void)__atomic_exchange_n(&s->owner, 0, __ATOMIC_SEQ_CST);
    if (kind >= ALPS_KINDS)
        return;
    if (alps_slab_empty_(h, s) && alps_slab_drop_(h, place, t) == ALPS_OK)
        return;
    if (!alps_slab_room_(h, s))
        return;
    s->next = h->shared->loose[kind];
    __atomic_store_n(&s->owner, h->shared->loose_by, __ATOMIC_SEQ_CST);
    h->shared->loose[kind] = place;
}

/* Whether a held block is where a slab of class `kind` is said to be. */
ALPS_FN_ int alps_slab_fits_(const alps_handle *h, alps_off place,
                             unsigned kind)
{
    alps_block b;
    return alps_block_at_(h, place, &b) == ALPS_HELD && !b.level &&
           alps_zone_units_(&b.zone, b.unit) >= alps_kind_granules_(h, kind);
}

/* Takes in hand a slab that its owner left without a word. What its threads
 * stored, and did not come to write back, is durable first: the medium must not
 * say of an object that is handed out again that it is live. One fence. */
ALPS_CORE_ void alps_slab_find_(alps_handle *h, alps_off place,
                                const alps_tables *t)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (alps_slab_seen_to_(h, s) || !alps_slab_derive_(h, s) ||
        !alps_slab_fits_(h, place, s->kind - 1))
        return;
    int err = t->policy->flush(&h->map, s, (size_t)h->at.keeps);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return;
    alps_slab_forget_(h, s);
    t->slow(h, ALPS_SLOW_LOOSEN, place, 0);
}

/* Looks at the slabs of one heap extent. */
ALPS_CORE_ void alps_loose_extent_(alps_handle *h, uint64_t extent,
                                   const alps_tables *t)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift)
        if (alps_slab_is_(h, off))
            t->slow(h, ALPS_SLOW_FOUND, off, 0);
}

/* Sweeps up to `max` extents, or until there is a loose slab of `kind`. */
ALPS_CORE_ void alps_loose_sweep_(alps_handle *h, unsigned kind, uint64_t max,
                                  const alps_tables *t)
{
    uint64_t extents = alps_extents_(h);
    while (max && h->shared->swept < extents &&
           (kind >= ALPS_KINDS || !h->shared->loose[kind])) {
        uint64_t extent = h->shared->swept++;
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_loose_extent_(h, extent, t);
        max--;
    }
}

/* Whether `place` can be the first of the list of loose slabs of `kind`. */
ALPS_FN_ int alps_loose_valid_(const alps_handle *h, alps_off place,
                               unsigned kind)
{
    if (place < h->at.heap || place >= alps_size_(h) ||
        place != alps_slab_place_(h, place) || !alps_slab_is_(h, place))
        return 0;
    const alps_slab *s = alps_slab_head_(h, place);
    return s->owner == h->shared->loose_by && s->kind == kind + 1;
}

/* Takes a loose slab of `kind` that `self` may own; 0 if there is none. */
ALPS_FN_ alps_off alps_loose_take_(alps_handle *h, unsigned kind,
                                   uint64_t token, uint64_t self)
{
    alps_off *link = &h->shared->loose[kind];
    for (unsigned looks = 0; *link && looks < 64; looks++) {
        alps_off place = *link;
        if (!alps_loose_valid_(h, place, kind)) {
            alps_loose_reset_(h);
            return 0;
        }
        alps_slab *s = alps_slab_head_(h, place);
        alps_slab_forget_(h, s);
        if (alps_slab_open_to_(h, s, self)) {
            *link = s->next;
            alps_store_(&s->process, self);
            __atomic_store_n(&s->owner, token, __ATOMIC_SEQ_CST);
            return place;
        }
        link = &s->next;
    }
    return 0;
}

/* Gives back the loose slabs that have become empty; answers how many. */
ALPS_CORE_ uint64_t alps_loose_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    alps_loose_sweep_(h, ALPS_KINDS, ~0ull, t);
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_off *link = &h->shared->loose[kind];
        while (*link) {
            alps_off place = *link;
            if (!alps_loose_valid_(h, place, kind)) {
                alps_loose_reset_(h);
                return n;
            }
            alps_slab *s = alps_slab_head_(h, place);
            alps_slab_forget_(h, s);
            alps_off next = s->next;
            if (alps_slab_empty_(h, s) &&
                alps_slab_drop_(h, place, t) == ALPS_OK) {
                *link = next;
                n++;
            } else {
                link = &s->next;
            }
        }
    }
    return n;
}
