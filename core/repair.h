/* repair.h -- a damaged region is put right, by one who was asked to
 *
 * Where nobody has it open, in place: first the superblock, then what a crash
 * left half done, then codes, bits of slabs, names and pledges, each step
 * durable before the next. So a crash leaves a region that can be repaired
 * again. docs/repair.md has the rules. */
#pragma once
#include "roster.h"

/* Whether anybody has the region open for writing. */
ALPS_CORE_ int alps_repair_busy_(alps_handle *h, const alps_tables *t)
{
    int others = t->backend->leased(&h->map, ALPS_LEASE_ANY);
    for (unsigned i = 0; others < 0 && i < h->at.slot_count; i++) {
        uint64_t owner = alps_slot_owner_(h, i);
        if (owner && alps_owner_lives_(h, owner, t))
            return 1;
    }
    return others > 0;
}

/* The superblock becomes what `h->spare` says, and so does the spare on the
 * medium: of both any words may be there, for as long as one of them is not
 * whole the other has not changed, or by one bit. 1: it was wrong. */
ALPS_FN_ int alps_repair_super_(alps_handle *h, alps_repaired *r)
{
    alps_superblock *s = (alps_superblock *)(void *)h->map.base, want;
    const uint64_t *from = (const uint64_t *)(const void *)h->spare;
    uint64_t *to = (uint64_t *)(void *)s;
    int wrong = memcmp(s, h->spare, ALPS_SUPER_FIXED_) != 0;
    for (unsigned i = 0; i < ALPS_SUPER_FIXED_ / 8; i++)
        if (to[i] != from[i])
            alps_store_(&to[i], from[i]);
    if (wrong)
        alps_report_mended_(r, 0, "the superblock");
    alps_super_spare_(h->spare, &want);
    h->super = s;
    if (memcmp(h->map.base + ALPS_SPARE, &want, ALPS_SUPER_FIXED_)) {
        const uint64_t *old = (const uint64_t *)alps_address_(h, ALPS_SPARE);
        int none = !old[0] && !old[2]; // a region that is older than spares
        if (!none)
            alps_report_mended_(r, ALPS_SPARE, "the spare of the superblock");
        if (!none || wrong)
            alps_super_copy_(h);
    }
    return wrong;
}

/* Bytes of the region that the medium has not. */
ALPS_FN_ void alps_repair_size_(const alps_handle *h, alps_repaired *r)
{
    uint64_t old = h->super->size >> 16, size = h->spare->size >> 16;
    if (h->super->size == h->spare->size)
        return;
    if (alps_sealed_(h->super->size) && old > size && old <= h->at.limit)
        alps_report_lost_(r, size, old - size, "the end of the region");
    else
        alps_report_mended_(r, offsetof(alps_superblock, size), "the size");
    alps_store_(&h->super->size, h->spare->size);
}

/* Words of the first page beside the superblock. */
ALPS_FN_ void alps_repair_words_(const alps_handle *h, alps_repaired *r)
{
    uint64_t *bare = (uint64_t *)alps_address_(h, ALPS_BARE);
    uint64_t *loose = (uint64_t *)alps_address_(h, ALPS_LOOSE);
    if (*bare > 1) {
        alps_store_(bare, 1); // whoever opens it reserves its blocks
        alps_report_mended_(r, ALPS_BARE, "neither a copy nor none");
    }
    if (*loose) {
        alps_store_(loose, 0);
        alps_report_lost_(r, ALPS_LOOSE, 0, "the newest bytes");
    }
    if (h->super->journal &&
        (h->map.journal ? h->map.journal->lost : h->super->journal != 0)) {
        alps_store_(&h->super->journal, 0);
        alps_report_lost_(r, ALPS_HOME_MARK_, 0, "what is in the journal");
    }
}

/* What an index of a later epoch could take for its own is cleared: extents
 * are of no shard, slabs of nobody. */
ALPS_FN_ void alps_repair_void_(const alps_handle *h)
{
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        alps_off off = h->at.heap + (extent << h->at.extent_shift);
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_store_(&alps_extent_(h, extent)->built, 0);
        for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
            if (alps_slab_is_(h, off + in)) {
                alps_slab *s = alps_slab_head_(h, off + in);
                alps_store_(&s->owner, 0);
                alps_store_(&s->process, 0);
            }
    }
}

/* The epoch is not known: it becomes the last of which there is a trace, when
 * what may be of a later one is durably cleared. */
ALPS_CORE_ int alps_repair_epoch_(alps_handle *h, alps_repaired *r,
                                  const alps_tables *t)
{
    alps_repair_void_(h);
    int err = alps_repair_sync_(h, t);
    if (err)
        return err;
    alps_store_(&h->super->epoch, alps_seal_(alps_salvage_epoch_(h)));
    alps_report_mended_(r, offsetof(alps_superblock, epoch), "the epoch");
    return ALPS_OK;
}

/* Words of lanes that cannot be, when an epoch has durably begun, of which
 * there is no record yet. */
ALPS_FN_ void alps_repair_done_(alps_handle *h, alps_repaired *r)
{
    int any = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_done *done = &h->done[i];
        if (!((done->seq | done->tx) >> ALPS_RETIRED_MAX_))
            continue;
        alps_report_mended_(r, alps_offset_(h, done),
                            "a lane has retired more than it can");
        alps_store_(&done->seq, 0);
        alps_store_(&done->tx, 0);
        any = 1;
    }
    if (any)
        alps_shared_reset_(h, h->super->epoch >> 16);
}

/* Whether a lane has retired more than it can. */
ALPS_FN_ int alps_repair_ahead_(const alps_handle *h)
{
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if ((h->done[i].seq | h->done[i].tx) >> ALPS_RETIRED_MAX_)
            return 1;
    return 0;
}

/* Completes what a crash left, as an open does; nothing where there is
 * nothing. */
ALPS_CORE_ int alps_repair_recover_(alps_handle *h, alps_repaired *r,
                                    const alps_tables *t)
{
    int unsure = !alps_sealed_(h->super->epoch);
    if (!unsure && !alps_redo_pending_(h) && !alps_repair_ahead_(h))
        return ALPS_OK;
    int err = unsure ? alps_repair_epoch_(h, r, t) : ALPS_OK;
    if (!err)
        err = alps_epoch_begin_(h, t);
    if (!err)
        alps_repair_done_(h, r);
    return err;
}

/* Pledges of what is not live end, and those of what another one has; where the
 * link can be nowhere the object stays. */
ALPS_FN_ void alps_repair_pledges_(const alps_handle *h, alps_repaired *r)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *p = alps_pledge_at_(h, i);
        alps_off off = alps_load_(&p->block);
        int twice = alps_pledge_again_(h, i);
        if (p->tied > ALPS_TIE_CUT ||
            (p->tied && (off || !alps_pledge_ties_(h, p)))) {
            alps_store_(&p->tied, 0);
            alps_report_lost_(r, alps_offset_(h, p), 0, "a tie");
        }
        if (!off)
            continue;
        if (alps_pledge_live_(h, off) && p->wide <= 1 && p->dest % 8 == 0 &&
            !twice)
            continue;
        if (alps_pledge_live_(h, off) && !twice)
            alps_report_doubt_(r, off, "an object whose pledge is damaged");
        else
            alps_report_lost_(r, alps_offset_(h, p), 0, "a pledge");
        alps_store_(&p->block, 0);
    }
}

/* All but the superblock. */
ALPS_CORE_ int alps_repair_inside_(alps_handle *h, alps_repaired *r,
                                   const alps_tables *t)
{
    alps_repair_size_(h, r);
    int err = alps_repair_recover_(h, r, t);
    if (!err)
        alps_restore_codes_(h, r);
    if (!err && r->report.problems)
        err = alps_repair_sync_(h, t);
    if (!err)
        alps_restore_bits_(h, r);
    if (!err)
        err = alps_roster_restore_(h, r, t);
    if (err)
        return err;
    alps_repair_pledges_(h, r);
    if (r->report.problems)
        err = alps_repair_sync_(h, t);
    if (!err)
        alps_repair_words_(h, r); // last: until then open refuses it
    return err || !r->report.problems ? err : alps_repair_sync_(h, t);
}

/* What open would say of it. */
ALPS_FN_ int alps_repair_refused_(const alps_handle *h)
{
    alps_handle there = *h;
    there.super = (alps_superblock *)(void *)h->map.base;
    int err = alps_super_check_(&there);
    if (err)
        return err;
    if (h->map.journal ? h->map.journal->lost : there.super->journal != 0)
        return ALPS_EJOURNAL;
    if (alps_load_((const uint64_t *)alps_address_(h, ALPS_LOOSE)))
        return ALPS_ECORRUPT;
    return alps_size_(&there) > h->map.length ? ALPS_ETRUNCATED : ALPS_OK;
}

/* Repairs the region that `h` has open, and whose first page was examined.
 * `again`: a journal beside it is to be looked at first, which the superblock
 * did not lead to. */
ALPS_CORE_ int alps_repair_mapped_(alps_handle *h, uint64_t size, int *again,
                                   alps_repaired *r, const alps_tables *t)
{
    int first = !*again;
    int err = alps_region_again_(h, size, t);
    if (!err && alps_repair_busy_(h, t))
        err = ALPS_EBUSY;
    if (err)
        return err;
    if (first)
        r->refused = alps_repair_refused_(h);
    int wrong = alps_repair_super_(h, r);
    *again = first && wrong && h->super->journal;
    return *again ? ALPS_OK : alps_repair_inside_(h, r, t);
}

/* Opens the medium, in the guard, and repairs what is in it. */
ALPS_CORE_ int alps_repair_try_(const char *path, int *again, alps_repaired *r,
                                const alps_tables *t)
{
    alps_handle h;
    alps_options o;
    uint64_t size = 0;
    memset(&h, 0, sizeof h);
    memset(&o, 0, sizeof o);
    h.map.fd = -1;
    h.map.flags = o.flags = ALPS_SALVAGE;
    h.crc = alps_crc_kind_();
    o.faults = t->faults;
    int err = alps_environment_(&o);
    if (!err)
        err = t->backend->open(&h.map, path, &o);
    if (err)
        return err;
    err = alps_salvage_examine_(&h, &o, &size, t);
    if (!err)
        err = alps_repair_mapped_(&h, size, again, r, t);
    if (!err && t->backend->write && h.map.apart)
        err = t->backend->write(&h.map, 0, size);
    alps_local_close_(&h);
    int late = t->backend->close(&h.map);
    return err ? err : late;
}

/* See alps_repair. */
ALPS_CORE_ int alps_repair_(const char *path, alps_repaired *r,
                            const alps_tables *t)
{
    int again = 0;
    memset(r, 0, sizeof *r);
    int err = alps_repair_try_(path, &again, r, t);
    return err || !again ? err : alps_repair_try_(path, &again, r, t);
}
