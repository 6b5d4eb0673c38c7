/* lane.h -- records that make two stores one
 *
 * A publish changes a code and a word of the program, a release as well. What
 * is going to happen is first written as one line into the ring of a lane; once
 * a fence has made it durable it *will* happen, by the operation itself or by
 * recovery. The lane's retire word then says so; it is written back, and needs
 * no fence of its own: see docs/design.md. A lane belongs to one thread, or to
 * one operation, so no two threads share a fence or a line. */
#pragma once
#include "thread.h"

/* The checksum of a record: the sum, and its complement. */
ALPS_FN_ uint64_t alps_record_check_(const alps_handle *h, const alps_record *r)
{
    uint32_t crc = h->super->crc;
    crc = alps_crc32c_(h->crc, crc, r, offsetof(alps_record, check));
    return (uint64_t)crc << 32 | (uint32_t)~crc;
}

/* Whether the record is to be redone. By the one store that begins a new epoch,
 * recovery retires all records at once, in whatever order words of lanes would
 * reach the medium. */
ALPS_FN_ int alps_record_live_(const alps_handle *h, unsigned lane,
                               const alps_record *r)
{
    int new_one = (r->op & 15) == ALPS_OP_COMMIT
                      ? r->value >> ALPS_NUMBER_SHIFT_ > h->done[lane].tx
                      : r->seq > h->done[lane].seq;
    return new_one && r->epoch == alps_load_(&h->super->epoch) &&
           r->check == alps_record_check_(h, r);
}

/* The number of the next record of the lane. Records that can be live together
 * after a crash and concern one word are in order: with lines no two such are,
 * because who hands over a block or a word makes the retirement of its own
 * record durable by that; with pages one count serves all lanes. */
ALPS_FN_ uint64_t alps_record_seq_(alps_handle *h, alps_lane *lane)
{
    uint64_t seq = alps_load_(&lane->seq) + 1;
    if (h->map.persist == ALPS_PERSIST_MSYNC)
        seq = __atomic_add_fetch(&h->shared->seq, 1, __ATOMIC_SEQ_CST);
    alps_store_(&lane->seq, seq);
    return seq;
}

/* Makes the record durable. One fence. */
ALPS_FAST_ int alps_record_write_(alps_handle *h, alps_lane *lane,
                                  alps_record *r, const alps_tables *t)
{
    r->epoch = alps_load_(&h->super->epoch);
    r->check = alps_record_check_(h, r);
    alps_record *to = &lane->ring[lane->next++ % ALPS_RING];
    int err = t->policy->stream(&h->map, to, r);
    return err ? err : t->fence(&h->map);
}

/* The lane's records up to `seq` have been carried out: durably with the next
 * fence. */
ALPS_FAST_ int alps_record_done_(alps_handle *h, alps_lane *lane, uint64_t seq,
                                 const alps_tables *t)
{
    alps_done *done = &h->done[lane - h->lanes];
    ALPS_BARRIER_();
    alps_store_(&done->seq, seq);
    return t->policy->flush(&h->map, done, sizeof done->seq);
}

/* The same, durably before another thread can contradict it. Not fenced: until
 * it is durable, doing them again does no harm. */
ALPS_FAST_ int alps_record_retire_(alps_handle *h, alps_lane *lane,
                                   uint64_t seq, const alps_tables *t)
{
    int err = alps_record_done_(h, lane, seq, t);
    return err ? err : t->policy->settle(&h->map);
}

/* Whether the word at `off` may be a destination: in the root area, in the
 * heap, or the one that names are found by. */
ALPS_FN_ int alps_dest_valid_(const alps_handle *h, alps_off off)
{
    if (off == offsetof(alps_superblock, names))
        return 1;
    if (off - ALPS_PLEDGES < ALPS_LINE * ALPS_PLEDGE_MAX)
        return off % ALPS_LINE == offsetof(alps_pledge, block);
    return off % sizeof(alps_off) == 0 && off >= ALPS_PAGE &&
           (off + sizeof(alps_off) <= ALPS_PAGE + ALPS_ROOT_SIZE ||
            off >= h->at.heap) &&
           off < alps_size_(h) && alps_size_(h) - off >= sizeof(alps_off);
}

/* The transaction that this thread has open on a lane that it does not own; or
 * NULL. */
ALPS_COLD_ alps_draft *alps_lane_borrowed_(const alps_handle *h)
{
    if (!h->local || !alps_load_(&h->local->borrowed))
        return NULL;
    for (unsigned i = alps_lanes_owned_(h); i < h->at.lane_count; i++)
        if (alps_draft_is_(&h->drafts[i], ALPS_THREAD_()))
            return &h->drafts[i];
    return NULL;
}

/* Takes a lane for this operation: the thread's own, or one of those that
 * nobody owns. */
ALPS_FAST_ alps_lane *alps_lane_take_(alps_handle *h, const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    if (ALPS_LIKELY_(c != NULL))
        return c->lane;
    unsigned owned = alps_lanes_owned_(h);
    unsigned n = h->at.lane_count - owned;
    uint64_t hash = (uint64_t)ALPS_THREAD_() >> 12;
    const alps_draft *o = alps_lane_borrowed_(h);
    for (unsigned i = 0; !o; i++) {
        alps_lane *lane = &h->lanes[owned + (hash + i) % n];
        if (!alps_load_(&lane->lock) &&
            alps_lock_try_(&lane->lock, alps_self_(h)))
            return lane;
        if (i % n == n - 1)
            t->slow(h, ALPS_SLOW_LANES, i / n, 0);
    }
    return o->lane;
}

ALPS_FN_ void alps_lane_leave_(alps_lane *lane)
{
    if (!alps_load_(&lane->token))
        alps_lock_leave_(&lane->lock);
}

/* Whether the contents that a publish meant are there. A block already marked
 * used tells that its first fence had completed. */
ALPS_FN_ int alps_redo_whole_(const alps_handle *h, const alps_record *r,
                              const alps_zone *z, unsigned code)
{
    return code == ALPS_USED || !(r->op & ALPS_OP_SUMMED) ||
           alps_crc32c_(h->crc, 0, alps_address_(h, r->block),
                        r->units << z->shift) == r->crc;
}

/* Marks `units` at `unit` used, whatever of it had reached the medium. */
ALPS_CORE_ int alps_redo_mark_(alps_handle *h, const alps_zone *z,
                               uint64_t unit, uint64_t units,
                               const alps_tables *t)
{
    uint64_t next = unit + units;
    alps_code_set_(z->codes, unit, ALPS_USED);
    alps_code_clear_(z->codes, unit + 1, next);
    if (next < z->end && alps_code_(z->codes, next) == ALPS_INSIDE)
        alps_code_set_(z->codes, next, ALPS_FREE);
    return alps_codes_flush_(h, z, unit, units, t);
}

/* Where the contents are that a record publishes, and how many bytes; 0 where
 * it does not, or is damaged. */
ALPS_FN_ uint64_t alps_redo_contents_(const alps_handle *h,
                                      const alps_record *r)
{
    alps_block b;
    alps_object o;
    if ((r->op & 15) != ALPS_OP_PUBLISH)
        return 0;
    int is = alps_object_at_(h, r->block, &o);
    if (is)
        return is == 1 ? alps_kind_size_(o.kind) : 0;
    if (alps_block_at_(h, r->block, &b) < 0 ||
        r->units - 1 >= b.zone.end - b.unit)
        return 0;
    return r->units << b.zone.shift;
}

/* Writes back a live record and what it publishes: who wrote it may have been
 * killed before its fence, and power fail only now. */
ALPS_CORE_ int alps_redo_prepare_(alps_handle *h, const alps_record *r,
                                  const alps_tables *t)
{
    uint64_t n = alps_redo_contents_(h, r);
    int err = t->policy->flush(&h->map, r, sizeof *r);
    if (!err && n)
        err = t->policy->flush(&h->map, alps_address_(h, r->block), (size_t)n);
    return err;
}

/* Whether the record has no word to store to, or a sane one. */
ALPS_FN_ int alps_redo_sane_(const alps_handle *h, const alps_record *r)
{
    return (r->op & ALPS_OP_WORDLESS) || alps_dest_valid_(h, r->dest);
}

/* Stores to the word, if there is one; a release does where it still names what
 * is released. Who reads without a lock finds what it names as it was
 * before. */
ALPS_FN_ void alps_redo_store_(const alps_handle *h, const alps_record *r)
{
    uint64_t *dest = (uint64_t *)alps_address_(h, r->dest);
    if (r->op & ALPS_OP_WORDLESS ||
        ((r->op & 15) == ALPS_OP_RELEASE && alps_load_(dest) != r->block))
        return;
    __atomic_store_n(dest, r->value, __ATOMIC_RELEASE);
}

/* Writes the word back. */
ALPS_CORE_ int alps_redo_word_(alps_handle *h, const alps_record *r,
                               const alps_tables *t)
{
    return r->op & ALPS_OP_WORDLESS
               ? ALPS_OK
               : t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
}

/* Carries out the live record of an object, again or for the first time. Live
 * already: the first fence had completed. */
ALPS_CORE_ int alps_redo_small_(alps_handle *h, const alps_record *r,
                                const alps_tables *t)
{
    alps_object o;
    if (!alps_redo_sane_(h, r) || alps_object_at_(h, r->block, &o) != 1)
        return ALPS_OK;
    int live = alps_object_live_(&o);
    if ((r->op & 15) == ALPS_OP_PUBLISH) {
        if (!live && r->op & ALPS_OP_SUMMED &&
            alps_crc32c_(h->crc, 0, alps_address_(h, r->block),
                         alps_kind_size_(o.kind)) != r->crc)
            return ALPS_OK;
    }
    if (live != ((r->op & 15) == ALPS_OP_PUBLISH))
        alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
    alps_redo_store_(h, r);
    int err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    return err ? err : alps_redo_word_(h, r, t);
}

/* Settles the live record of a process that died while others went on, outside
 * the lock: it was carried out as a whole or not at all. What it may have
 * changed is written back as it is now; nothing is done again, because the
 * others may have gone further. */
ALPS_CORE_ int alps_redo_settle_(alps_handle *h, const alps_record *r,
                                 const alps_tables *t)
{
    alps_block b;
    alps_object o;
    int err = ALPS_OK;
    if (!alps_redo_sane_(h, r))
        return ALPS_OK;
    if (r->op & ALPS_OP_SMALL) {
        if (alps_object_at_(h, r->block, &o) != 1)
            return ALPS_OK;
        err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    } else if ((r->op & 15) != ALPS_OP_SET) {
        if (alps_block_at_(h, r->block, &b) < 0 ||
            r->units - 1 >= b.zone.end - b.unit)
            return ALPS_OK;
        err = alps_codes_flush_(h, &b.zone, b.unit, r->units, t);
    }
    return err ? err : alps_redo_word_(h, r, t);
}

/* Carries out a live record, again or for the first time; what is damaged in
 * it is left alone. A released block is left ALPS_HELD, named in the lane. */
ALPS_CORE_ int alps_redo_(alps_handle *h, alps_lane *lane, const alps_record *r,
                          const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    alps_object o;
    if (r->op & ALPS_OP_SMALL)
        return alps_redo_small_(h, r, t);
    if (alps_object_at_(h, r->block, &o))
        return ALPS_OK;
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int code = alps_block_at_(h, r->block, &b);
    if (code < 0 || !alps_redo_sane_(h, r) ||
        b.level != !!(r->op & ALPS_OP_LARGE) ||
        r->units - 1 >= b.zone.end - b.unit)
        return ALPS_OK;
    if (publish && !alps_redo_whole_(h, r, &b.zone, (unsigned)code))
        return ALPS_OK;
    if (publish) {
        err = alps_redo_mark_(h, &b.zone, b.unit, r->units, t);
    } else {
        if (code == ALPS_USED) {
            alps_store_(&lane->held, r->block);
            alps_code_set_(b.zone.codes, b.unit, ALPS_HELD);
        }
        err = alps_codes_flush_(h, &b.zone, b.unit, 1, t); // also of a dead one
    }
    alps_redo_store_(h, r);
    return err ? err : alps_redo_word_(h, r, t);
}
