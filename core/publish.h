/* publish.h -- reserve, fill, publish; release
 *
 * A reservation is volatile: a crash gives it back. A publish makes one change
 * of it atomically: the object is allocated and durable, and `*dest` names it.
 * A release is the reverse. Each costs two fences, as many as writing an object
 * and then a pointer to it would cost without any allocator. */
#pragma once
#include "heap.h"

/* Contents up to this many bytes share the record's fence, by a checksum;
 * longer ones are fenced first: summing would take longer than that. */
#ifndef ALPS_SUM_MAX
#  define ALPS_SUM_MAX 2048u
#endif

/* Moves the table of reservations into twice its room. Under the lock. */
ALPS_CORE_ int alps_held_grow_(alps_handle *h, const alps_tables *t)
{
    alps_request r;
    alps_block old;
    alps_off off = 0;
    unsigned shift = alps_held_shift_(h) + 1;
    int err = alps_request_init_(h, 1, 8ull << shift, ALPS_HELD, &r);
    if (!err)
        err = alps_heap_take_(h, &r, &off, t);
    if (err)
        return err;
    alps_off from = off; // reaping the dead may have made room: then not needed
    if (!alps_held_room_(h)) {
        from = alps_held_place_(h);
        memset(alps_address_(h, off), 0, 8ull << shift);
        alps_held_move_(h, off, shift);
    }
    if (from != h->at.held && alps_block_at_(h, from, &old) == ALPS_HELD)
        alps_give_(h, &old);
    return ALPS_OK;
}

/* See alps_reserve. No flush, no fence. */
ALPS_CORE_ void *alps_publish_reserve_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    alps_request r;
    alps_off off = 0;
    int err = alps_request_init_(h, 1, n, ALPS_HELD, &r);
    if (!err) {
        alps_lock_(h, t);
        if (ALPS_UNLIKELY_(!alps_held_room_(h)))
            err = alps_held_grow_(h, t);
        if (!err)
            err = alps_heap_take_(h, &r, &off, t);
        if (!err)
            alps_held_add_(h, off, h->slot);
        alps_unlock_(h);
    }
    if (!err)
        return alps_address_(h, off);
    alps_fail_(h, err);
    return NULL;
}

/* Fills in the record for `b`; its contents are on their way to the medium, or
 * there; those of a large object with its kind, which must be durable before
 * its code is. The sum is taken before the write-back: loads from a line that
 * is being written back stall. */
ALPS_CORE_ int alps_publish_prepare_(alps_handle *h, const alps_block *b,
                                     alps_record *r, const alps_tables *t)
{
    const void *p = alps_address_(h, r->block);
    uint64_t n = r->units << b->zone.shift;
    if (!t->policy->durable)
        return ALPS_OK;
    if (n <= ALPS_SUM_MAX && b->level == ALPS_LEVEL_GRANULE) {
        r->op |= ALPS_OP_SUMMED;
        r->crc = alps_crc32c_(h->crc, 0, p, n);
        return t->policy->flush(&h->map, p, n);
    }
    int err = t->policy->flush(&h->map, p, n);
    if (!err && b->level == ALPS_LEVEL_EXTENT)
        err = t->policy->flush(&h->map, &h->kinds[b->unit / 64], 8);
    return err ? err : t->policy->fence(&h->map, t->backend);
}

/* Checks the block and the destination, and numbers the record. */
ALPS_CORE_ int alps_record_begin_(alps_handle *h, alps_record *r, unsigned code,
                                  alps_block *b, const alps_tables *t)
{
    int err = ALPS_OK;
    alps_lock_(h, t);
    if (code == ALPS_USED) // only now: a dead process's change of it is done
        r->block = alps_load_((uint64_t *)alps_address_(h, r->dest));
    if (r->block || code == ALPS_HELD)
        err = alps_heap_own_(h, r->block, code, b);
    if (!err && r->block) {
        r->seq = ++h->shared->seq;
        r->units = alps_zone_units_(&b->zone, b->unit);
        if (b->level == ALPS_LEVEL_EXTENT)
            r->op |= ALPS_OP_LARGE;
    }
    alps_unlock_(h);
    return err;
}

/* Carries a publish out: the code, the word, the reservation. Under the
 * lock. */
ALPS_FN_ int alps_publish_apply_(alps_handle *h, alps_lane *lane,
                                 const alps_block *b, const alps_record *r)
{
    uint64_t entry = alps_held_find_(h, r->block);
    if (entry == ALPS_HELD_NONE_)
        return ALPS_EINVALID_FREE; // published or cancelled meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_USED);
    alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
    alps_held_drop_(h, entry);
    alps_held_fold_(h);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

/* Writes back what a record has changed, and retires it. One fence. */
ALPS_CORE_ int alps_record_end_(alps_handle *h, alps_lane *lane,
                                const alps_block *b, const alps_record *r,
                                const alps_tables *t)
{
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int err =
        alps_codes_flush_(h, &b->zone, b->unit, publish ? r->units : 0, t);
    if (!err)
        err = t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    int late = alps_record_retire_(h, lane, r->seq, t);
    return err ? err : late;
}

/* See alps_publish. */
ALPS_CORE_ int alps_publish_(alps_handle *h, alps_off *dest, const void *p,
                             const alps_tables *t)
{
    alps_block b;
    alps_record r;
    if (!h->owner)
        return ALPS_EREADONLY;
    memset(&b, 0, sizeof b);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_PUBLISH;
    r.block = r.value = alps_offset_(h, p);
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    alps_lane *lane = alps_lane_for_(h, r.dest, t);
    int err = alps_record_begin_(h, &r, ALPS_HELD, &b, t);
    if (!err) {
        err = alps_publish_prepare_(h, &b, &r, t);
        if (!err) {
            err = alps_record_write_(h, lane, &r, t);
            if (!err) {
                alps_lock_(h, t);
                err = alps_publish_apply_(h, lane, &b, &r);
                alps_unlock_(h);
            }
            if (err)
                alps_record_retire_(h, lane, r.seq, t);
            else
                err = alps_record_end_(h, lane, &b, &r, t);
        }
    }
    alps_lane_leave_(lane);
    return err;
}

/* Carries the first half of a release out. Under the lock. */
ALPS_FN_ int alps_release_apply_(alps_handle *h, alps_lane *lane,
                                 const alps_block *b, const alps_record *r)
{
    if (alps_code_(b->zone.codes, b->unit) != ALPS_USED)
        return ALPS_EINVALID_FREE; // freed by somebody else meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_heap_hold_(lane, b);
    alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

/* See alps_release. The block enters the index when the record is retired and
 * that is on its way: taking the lock makes it complete (x86), or `settle` has
 * (elsewhere). Otherwise recovery could free the block's next owner. */
ALPS_CORE_ int alps_publish_release_(alps_handle *h, alps_off *dest,
                                     const alps_tables *t)
{
    alps_block b;
    alps_record r;
    if (!h->owner)
        return ALPS_EREADONLY;
    memset(&b, 0, sizeof b);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_RELEASE;
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    alps_lane *lane = alps_lane_for_(h, r.dest, t);
    int err = alps_record_begin_(h, &r, ALPS_USED, &b, t);
    if (!err && r.block) {
        err = alps_record_write_(h, lane, &r, t);
        if (!err) {
            alps_lock_(h, t);
            err = alps_release_apply_(h, lane, &b, &r);
            alps_unlock_(h);
        }
        if (err) {
            alps_record_retire_(h, lane, r.seq, t);
        } else {
            err = alps_record_end_(h, lane, &b, &r, t);
            alps_heap_enter_(h, lane, r.block, t);
        }
    }
    alps_lane_leave_(lane);
    return err;
}
