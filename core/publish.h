/* publish.h -- reserve, fill, publish; release
 *
 * A reservation is volatile: a crash gives it back. A publish makes one change
 * of it atomically: the object is allocated and durable, and `*dest` names it.
 * A release is the reverse. Each costs two fences, as many as writing an object
 * and then a pointer to it would cost without any allocator. */
#pragma once
#include "small.h"

/* Contents up to this many bytes share the record's fence, by a checksum;
 * longer ones are fenced first: summing would take longer than that. */
#ifndef ALPS_SUM_MAX
#  define ALPS_SUM_MAX 2048u
#endif

/* Moves the table of reservations of `s` into twice its room: in `s` itself, or
 * in a run of extents, whose lock is held meanwhile. Under the lock of `s`. */
ALPS_CORE_ int alps_held_grow_(alps_handle *h, alps_shard *s,
                               const alps_tables *t)
{
    alps_request r;
    alps_block old;
    alps_off off = 0;
    unsigned shift = alps_held_shift_(s) + 1;
    int err = alps_request_init_(h, 1, 8ull << shift, ALPS_HELD, &r);
    if (err)
        return err;
    if (s == h->top && r.level == ALPS_LEVEL_GRANULE)
        r.units = 1;
    if (s == h->top)
        r.level = ALPS_LEVEL_EXTENT;
    r.shard = r.level == ALPS_LEVEL_EXTENT ? h->top : s;
    if (r.shard != s)
        alps_shard_lock_(h, r.shard, 1, t);
    err = t->slow(h, ALPS_SLOW_TAKE, (uint64_t)(uintptr_t)&r,
                  (uint64_t)(uintptr_t)&off);
    if (!err) {
        int has = alps_held_block_(h, s, &old);
        memset(alps_address_(h, off), 0, 8ull << shift);
        alps_held_move_(h, s, off, shift);
        if (has)
            alps_give_back_(h, &old);
    }
    if (r.shard != s)
        alps_shard_unlock_(r.shard);
    return err;
}

/* Takes a block for `r`, and enters it into the table of its shard; that grows
 * when it is half full, or else as soon as it can. */
ALPS_CORE_ int alps_publish_take_(alps_handle *h, alps_request *r,
                                  alps_off *off, const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_take_(h, r, 0, off, t);
    if (err)
        return err;
    if (ALPS_LIKELY_(!alps_held_full_(r->shard))) {
        alps_held_add_(h, r->shard, *off, h->slot);
        if (ALPS_UNLIKELY_(!alps_held_room_(r->shard)))
            alps_held_grow_(h, r->shard, t);
    } else {
        err = ALPS_EFULL;
        alps_heap_block_(h, *off, r->level, &b);
        alps_give_back_(h, &b);
    }
    alps_shard_unlock_(r->shard);
    return err;
}

/* Reserves what is not at hand: after looking for more, or as a block. */
ALPS_CORE_ int alps_publish_other_(alps_handle *h, uint64_t n, void **p,
                                   const alps_tables *t)
{
    alps_request r;
    alps_off off = 0;
    *p = alps_small_reserve_(h, n, t);
    if (ALPS_LIKELY_(*p != NULL))
        return ALPS_OK;
    int err = alps_request_init_(h, 1, n, ALPS_HELD, &r);
    if (!err)
        err = alps_ready_(h, t);
    while (!err) {
        err = alps_publish_take_(h, &r, &off, t);
        if (ALPS_LIKELY_(err != ALPS_EFULL))
            break;
        err = t->slow(h, ALPS_SLOW_MORE, 0, 0);
    }
    if (!err)
        *p = alps_address_(h, off);
    else
        alps_fail_(h, err);
    return err;
}

/* See alps_reserve. No flush, no fence. */
ALPS_FAST_ void *alps_publish_reserve_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    uint64_t small = alps_small_size_(h, 1, n);
    void *p = NULL;
    if (ALPS_LIKELY_(small != 0)) {
        const alps_seat *seat = alps_seat_(h, self);
        if (ALPS_LIKELY_(alps_seat_is_(seat, self)))
            p = alps_small_keep_(h, &seat->cache->rack[alps_kind_of_(small)]);
    }
    if (ALPS_UNLIKELY_(!p))
        t->slow(h, ALPS_SLOW_RESERVE, n, (uint64_t)(uintptr_t)&p);
    return p;
}

/* What a record is about: an object of a slab, or a block. */
typedef struct alps_subject {
    alps_object object;
    alps_block block;
    int small;  /* 1: `object` is meant */
    int mine;   /* 1: of a slab of this thread */
    uint64_t n; /* bytes */
} alps_subject;

/* Finds what `r->block` names. `code` tells what it has to be: ALPS_HELD, of
 * this process, or ALPS_USED. Fills the record in. */
ALPS_CORE_ int alps_subject_find_(alps_handle *h, alps_record *r, unsigned code,
                                  alps_subject *s, const alps_tables *t)
{
    int is = alps_object_find_(h, r->block, &s->object, &s->mine);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    s->small = is;
    if (is) {
        s->n = r->units = alps_kind_size_(s->object.kind);
        r->op |= ALPS_OP_SMALL;
        if (code == ALPS_HELD)
            return s->mine ? alps_object_mine_held_(alps_cache_(h), &s->object,
                                                    r->block)
                           : alps_object_held_(h, &s->object, r->block);
        return alps_object_live_(&s->object) ? ALPS_OK : ALPS_EINVALID_FREE;
    }
    int err = alps_heap_own_(h, r->block, code, &s->block, t);
    if (err)
        return err;
    r->units = alps_zone_units_(&s->block.zone, s->block.unit);
    s->n = r->units << s->block.zone.shift;
    if (s->block.level == ALPS_LEVEL_EXTENT)
        r->op |= ALPS_OP_LARGE;
    alps_block_unlock_(&s->block);
    return ALPS_OK;
}

/* Sees to it that the contents are on their way to the medium, or there; those
 * of a large object with its kind, which must be durable before its code is.
 * The sum is taken before the write-back: loads from a line that is being
 * written back stall. */
ALPS_CORE_ int alps_publish_prepare_(alps_handle *h, const alps_subject *s,
                                     alps_record *r, const alps_tables *t)
{
    const void *p = alps_address_(h, r->block);
    if (!t->policy->durable)
        return ALPS_OK;
    if (s->n <= ALPS_SUM_MAX && !(r->op & ALPS_OP_LARGE)) {
        r->op |= ALPS_OP_SUMMED;
        r->crc = alps_crc32c_(h->crc, 0, p, s->n);
        return t->policy->flush(&h->map, p, s->n);
    }
    int err = t->policy->flush(&h->map, p, s->n);
    if (!err && r->op & ALPS_OP_LARGE)
        err = t->policy->flush(&h->map, &h->kinds[s->block.unit / 64], 8);
    return err ? err : t->fence(&h->map);
}

/* Writes the record: durable when this returns, and with it the retirement of
 * the lane's last one. One fence. */
ALPS_CORE_ int alps_record_begin_(alps_handle *h, alps_lane *lane,
                                  alps_record *r, const alps_tables *t)
{
    r->seq = alps_record_seq_(h, lane);
    int err = alps_record_write_(h, lane, r, t);
    if (!err && alps_load_(&lane->pending)) {
        alps_object o;
        alps_off off = alps_pending_end_(h, lane, &o);
        if (off)
            err = alps_object_back_(h, &o, off, t);
    }
    return err;
}

/* Stores to the word. Who reads without a lock finds what it names as it was
 * before. */
ALPS_FN_ void alps_record_store_(const alps_handle *h, const alps_record *r)
{
    __atomic_store_n((uint64_t *)alps_address_(h, r->dest), r->value,
                     __ATOMIC_RELEASE);
}

/* Carries the publish of an object out. */
ALPS_FN_ int alps_publish_object_(alps_handle *h, alps_lane *lane,
                                  const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    if (!alps_object_reserved_(h, o, r->block))
        return ALPS_EINVALID_FREE; // published or cancelled meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_object_turn_(&o->pair->own, &o->pair->far, o->bit, s->mine);
    alps_record_store_(h, r);
    alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, s->mine);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

/* Carries the publish of a block out: the code, the word, the reservation.
 * Under the lock of its shard. */
ALPS_CORE_ int alps_publish_block_(alps_handle *h, alps_lane *lane,
                                   const alps_block *b, const alps_record *r,
                                   const alps_tables *t)
{
    uint64_t entry = alps_held_find_(h, b->shard, r->block);
    if (entry == ALPS_HELD_NONE_)
        return ALPS_EINVALID_FREE; // published or cancelled meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_USED);
    alps_record_store_(h, r);
    alps_held_drop_(h, b->shard, entry);
    alps_held_fold_(h, b->shard, t);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_publish_apply_(alps_handle *h, alps_lane *lane,
                                   const alps_subject *s, const alps_record *r,
                                   const alps_tables *t)
{
    if (s->small)
        return alps_publish_object_(h, lane, s, r);
    alps_block b;
    if (alps_block_lock_(h, r->block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_publish_block_(h, lane, &b, r, t);
    alps_block_unlock_(&b);
    return err;
}

/* Writes back what a record has changed, and retires it. One fence. */
ALPS_CORE_ int alps_record_end_(alps_handle *h, alps_lane *lane,
                                const alps_subject *s, const alps_record *r,
                                const alps_tables *t)
{
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int err = s->small ? t->policy->flush(&h->map, s->object.pair,
                                          sizeof *s->object.pair)
                       : alps_codes_flush_(h, &s->block.zone, s->block.unit,
                                           publish ? r->units : 0, t);
    if (!err)
        err = t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
    if (!err)
        err = t->fence(&h->map);
    int late = alps_record_retire_(h, lane, r->seq, t);
    return err ? err : late;
}

/* See alps_publish. */
ALPS_CORE_ int alps_publish_(alps_handle *h, alps_off *dest, const void *p,
                             const alps_tables *t)
{
    alps_subject s;
    alps_record r;
    int err = alps_ready_(h, t);
    if (err)
        return err;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_PUBLISH;
    r.block = r.value = alps_offset_(h, p);
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    alps_lane *lane = alps_lane_take_(h, t);
    err = alps_subject_find_(h, &r, ALPS_HELD, &s, t);
    if (!err)
        err = alps_publish_prepare_(h, &s, &r, t);
    if (!err) {
        err = alps_record_begin_(h, lane, &r, t);
        if (!err)
            err = alps_publish_apply_(h, lane, &s, &r, t);
        if (err)
            alps_record_retire_(h, lane, r.seq, t);
        else
            err = alps_record_end_(h, lane, &s, &r, t);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Carries the release of an object out: it is held back first. */
ALPS_FN_ int alps_release_object_(alps_handle *h, alps_lane *lane,
                                  const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    int err = ALPS_OK;
    alps_store_(&lane->held, r->block);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    if (s->mine) {
        __atomic_store_n(&o->slab->kept, 1, __ATOMIC_RELEASE);
        alps_store_(&o->keep->own, alps_load_(&o->keep->own) ^ o->bit);
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    } else {
        alps_object_pin_(o, 1);
        err = alps_far_turn_(o); // freed by somebody else meanwhile
        if (err)
            alps_object_pin_(o, 0);
    }
    if (!err)
        alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    if (err)
        alps_store_(&lane->held, 0);
    return err;
}

/* Carries the first half of the release of a block out. Under the lock of its
 * shard. */
ALPS_FN_ int alps_release_block_(alps_handle *h, alps_lane *lane,
                                 const alps_block *b, const alps_record *r)
{
    if (alps_code_(b->zone.codes, b->unit) != ALPS_USED)
        return ALPS_EINVALID_FREE; // freed by somebody else meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_heap_hold_(lane, b);
    alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_release_apply_(alps_handle *h, alps_lane *lane,
                                   const alps_subject *s, const alps_record *r,
                                   const alps_tables *t)
{
    if (s->small)
        return alps_release_object_(h, lane, s, r);
    alps_block b;
    if (alps_block_lock_(h, r->block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_release_block_(h, lane, &b, r);
    alps_block_unlock_(&b);
    return err;
}

/* Lets the released thing be handed out: when its record is retired, durably.
 * Otherwise recovery could free its next owner's. A block enters the index at
 * once: taking the lock makes the retirement complete (x86), or `settle` has
 * (elsewhere). An object of this thread waits for the thread's next fence,
 * which costs nothing; one of another's, for a locked instruction. */
ALPS_CORE_ int alps_release_end_(alps_handle *h, alps_lane *lane,
                                 const alps_subject *s, alps_off off,
                                 const alps_tables *t)
{
    if (!s->small) {
        alps_heap_enter_(h, lane, off, t);
        return ALPS_OK;
    }
    alps_store_(&lane->pending, off);
    ALPS_BARRIER_();
    alps_store_(&lane->held, 0);
    if (s->mine && t->policy->durable)
        return ALPS_OK;
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, &s->object.keep->pinned, 8);
    if (!s->mine) {
        alps_object_pin_(&s->object, 0);
        ALPS_BARRIER_();
        alps_store_(&lane->pending, 0);
        alps_far_tell_(h, &s->object, off, t);
        return ALPS_OK;
    }
    alps_store_(&s->object.keep->own,
                alps_load_(&s->object.keep->own) ^ s->object.bit);
    ALPS_BARRIER_();
    alps_store_(&lane->pending, 0);
    return alps_object_back_(h, &s->object, off, t);
}

/* See alps_release. */
ALPS_CORE_ int alps_publish_release_(alps_handle *h, alps_off *dest,
                                     const alps_tables *t)
{
    alps_subject s;
    alps_record r;
    int err = alps_ready_(h, t);
    if (err)
        return err;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_RELEASE;
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    r.block = alps_load_(dest);
    if (!r.block)
        return ALPS_OK;
    alps_lane *lane = alps_lane_take_(h, t);
    err = alps_subject_find_(h, &r, ALPS_USED, &s, t);
    if (!err) {
        err = alps_record_begin_(h, lane, &r, t);
        if (!err)
            err = alps_release_apply_(h, lane, &s, &r, t);
        if (err) {
            alps_record_retire_(h, lane, r.seq, t);
        } else {
            err = alps_record_end_(h, lane, &s, &r, t);
            int late = alps_release_end_(h, lane, &s, r.block, t);
            err = err ? err : late;
        }
    }
    alps_lane_leave_(lane);
    return err;
}

/* See alps_cancel. */
ALPS_CORE_ int alps_cancel_(alps_handle *h, alps_off off, const alps_tables *t)
{
    alps_object o;
    int mine, err = alps_ready_(h, t);
    if (err)
        return err;
    int is = alps_object_find_(h, off, &o, &mine);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    return is ? alps_small_cancel_(h, &o, off, t)
              : alps_heap_cancel_(h, off, t);
}
