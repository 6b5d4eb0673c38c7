/* region.h -- a region: made, opened, closed
 *
 * A new region is marked as in the making before anything else is in it, and
 * as ready after everything else is durable; so a death in between leaves what
 * is recognised as unfinished, and may be made anew. An existing one is
 * examined before it is changed, and refused with its own code if it is
 * foreign, damaged, cut short or of another layout. All of this runs inside
 * the backend's guard, so that any number of processes may create or open one
 * region at the same instant. */
#pragma once
#include "note.h"
#include "environment.h"
#include "placement.h"
#include "plan.h"
#include "salvage.h"
#include "tail.h"

/* Where everything is in this process, once the region is mapped. */
ALPS_FN_ void alps_region_place_(alps_handle *h)
{
    unsigned char *base = h->map.base;
    h->super = h->spare ? h->spare : (alps_superblock *)(void *)base;
    h->done = (alps_done *)(void *)(base + h->at.done);
    h->lanes = (alps_lane *)(void *)(base + h->at.lanes);
    h->slots = (alps_slot *)(void *)(base + h->at.slots);
    h->shared = (alps_shared *)(void *)(base + h->at.shared);
    h->shards = (alps_shard *)(void *)(base + h->at.shards);
    h->top = &h->shards[h->at.shard_count];
    h->codes = (uint64_t *)(void *)(base + h->at.codes);
    h->kinds = (uint64_t *)(void *)(base + h->at.kinds);
    h->holes = (uint64_t *)(void *)(base + h->at.holes);
    h->slabs = (uint64_t *)(void *)(base + h->at.slabs);
    h->map.always_off = h->at.done;
    h->map.always_n = h->at.lane_count * sizeof(alps_done);
}

/* Maps `size` bytes with room for `limit`, and asks the policy. */
ALPS_CORE_ int alps_region_map_(alps_handle *h, uint64_t size, uint64_t limit,
                                uint64_t align, const alps_tables *t)
{
    int err = t->backend->map(&h->map, size, limit, align);
    if (err)
        return err;
    h->super = (alps_superblock *)(void *)h->map.base;
    return t->policy->open(&h->map, t->backend);
}

/* Makes [off, off + n) zero and durable with the next fence. */
ALPS_CORE_ int alps_region_zero_(alps_handle *h, alps_off off, uint64_t n,
                                 const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    for (uint64_t i = 0; i < n / sizeof *word; i++)
        if (word[i])
            word[i] = 0;
    return t->policy->flush(&h->map, word, n);
}

/* Fills the mapped medium with an empty region, and marks it ready: durably
 * with the next fence, which is that of the first epoch. */
ALPS_CORE_ int alps_region_fill_(alps_handle *h, const alps_options *o,
                                 uint64_t size, const alps_tables *t)
{
    alps_superblock *s = h->super;
    struct timespec now;
    alps_region_place_(h);
    int stale = h->map.fixed || alps_parts_stale_(h->map.parts);
    uint64_t old = stale ? h->at.heap : ALPS_PAGE; // the rest is new
    uint64_t to = h->map.parts ? ALPS_ONWARD : old;
    int err = alps_region_zero_(h, 16, to - 16, t);
    if (!err && h->map.parts) // what they are found by stays
        err = alps_region_zero_(h, ALPS_SPARE, old - ALPS_SPARE, t);
    if (err)
        return err;
    alps_code_set_(h->codes, 0, ALPS_FREE);
    s->magic = ALPS_MAGIC;
    clock_gettime(CLOCK_REALTIME, &now);
    s->layout = ALPS_LAYOUT;
    s->extent_shift = h->at.extent_shift;
    s->lanes = h->at.lane_count;
    s->processes = h->at.slot_count;
    s->limit = h->at.limit;
    s->small = h->at.small;
    s->created = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint8_t uuid[16];
    alps_uuid_(uuid);
    for (unsigned i = 0; i < sizeof uuid; i++)
        s->uuid[i] = uuid[i];
    int end = 0;
    for (unsigned i = 0; i < sizeof s->name; i++) {
        end = end || !o->layout || !o->layout[i];
        s->name[i] = end ? 0 : o->layout[i];
    }
    s->shards = h->at.shard_count;
    alps_store_(&s->size, alps_seal_(size));
    alps_store_(&s->epoch, alps_seal_(0));
    s->crc = alps_super_crc_(h);
    err = o->description ? alps_note_write_(h, o->description, t) : ALPS_OK;
    if (!err)
        err = t->policy->flush(&h->map, h->codes, 8);
    if (!err)
        err = t->policy->flush(&h->map, s, sizeof *s);
    if (!err)
        err = alps_super_double_(h, t);
    if (!err)
        err = t->fence(&h->map);
    return err ? err : alps_super_state_(h, ALPS_STATE_READY, t);
}

/* Makes a region on a medium whose contents do not matter. Its first page says
 * so before the medium gets its length. */
ALPS_CORE_ int alps_region_write_(alps_handle *h, const alps_options *o,
                                  const alps_tables *t)
{
    uint64_t size = 0;
    int err = alps_plan_(h, o, &size);
    if (!err && !h->map.fixed && h->map.length < ALPS_PAGE)
        err = t->backend->resize(&h->map, ALPS_PAGE);
    if (!err && !h->map.base)
        err = alps_region_map_(h, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_state_(h, ALPS_STATE_MAKING, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = t->backend->unmap(&h->map);
    if (!err && !h->map.fixed)
        err = t->backend->resize(&h->map, ALPS_PAGE); // what was behind is gone
    if (!err && !h->map.fixed)
        err = t->backend->resize(&h->map, size);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    return err ? err : alps_region_fill_(h, o, size, t);
}

/* Maps anew, for a region of `size` bytes. */
ALPS_CORE_ int alps_region_again_(alps_handle *h, uint64_t size,
                                  const alps_tables *t)
{
    int err = t->backend->unmap(&h->map);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    if (!err)
        alps_region_place_(h);
    return err;
}

/* The same, and maps it as it is to be used: what is to be this process's alone
 * is written through a mapping that is not. */
ALPS_CORE_ int alps_region_make_(alps_handle *h, const alps_options *o,
                                 const alps_tables *t)
{
    unsigned sole = h->map.sole;
    if (h->map.base && sole)
        t->backend->unmap(&h->map);
    h->map.sole = 0;
    if (h->map.journal)
        alps_journal_drop_(h->map.journal);
    int err = alps_region_write_(h, o, t);
    h->map.sole = sole;
    if (err || !sole)
        return err;
    err = t->fence(&h->map);
    return err ? err : alps_region_again_(h, h->map.size, t);
}

/* Examines the region on the medium: 0, or the code it is refused with. */
ALPS_CORE_ int alps_region_examine_(alps_handle *h, const alps_options *o,
                                    uint64_t *size, const alps_tables *t)
{
    uint64_t n = h->map.length < ALPS_PAGE ? h->map.length : ALPS_PAGE;
    if (n < ALPS_PAGE)
        return ALPS_EFORMAT;
    int err = alps_region_map_(h, n, n, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_check_(h);
    if (!err)
        err = alps_super_alone_(h);
    if (err)
        return err;
    const alps_superblock *s = h->super;
    if (h->map.journal ? h->map.journal->lost : s->journal != 0)
        return ALPS_EJOURNAL;
    if (alps_load_((const uint64_t *)alps_address_(h, ALPS_LOOSE)))
        return ALPS_ECORRUPT; // who had the rest was killed
    *size = alps_size_(h);    // once: another process may be growing the region
    if (*size > h->map.length)
        return ALPS_ETRUNCATED;
    if (o->layout && strncmp(o->layout, s->name, sizeof s->name))
        return ALPS_ELAYOUT;
    err = alps_geometry_init_(&h->at, s->limit, s->extent_shift, s->lanes,
                              s->processes, s->small, s->shards);
    if (err || !alps_geometry_extents_(&h->at, *size) ||
        s->small != alps_kind_round_(s->small))
        return ALPS_ECORRUPT;
    return ALPS_OK;
}

/* Reaps the dead for one who has no slot yet, because every slot is taken. For
 * that time it has the lease behind the last slot's; the guard sees to it that
 * there is one such at a time. */
ALPS_CORE_ int alps_region_make_room_(alps_handle *h, const alps_tables *t)
{
    unsigned number = h->at.slot_count;
    int err = t->backend->lease(&h->map, number);
    if (err && err != ALPS_EUNSUPPORTED)
        return err;
    alps_store_(&h->local->owner,
                alps_owner_((uint64_t)getpid() | ALPS_NO_SLOT_, number));
    err = t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    alps_store_(&h->local->owner, 0);
    int late = t->backend->unlease(&h->map, number);
    return err || late == ALPS_EUNSUPPORTED ? err : late;
}

/* A copy has no blocks for what is not stored in it: they are reserved before
 * anybody stores to it. ALPS_ENOSPC: there is no room, and it stays a copy. */
ALPS_CORE_ int alps_region_bare_(alps_handle *h, const alps_tables *t)
{
    uint64_t *bare = (uint64_t *)alps_address_(h, ALPS_BARE);
    if (!alps_load_(bare))
        return ALPS_OK;
    int err =
        h->map.fixed ? ALPS_OK : t->backend->resize(&h->map, h->map.length);
    if (err == ALPS_EUNSUPPORTED)
        err = ALPS_OK; // a file system that cannot reserve
    if (!err)
        err = t->backend->sync(&h->map, 0, ALPS_PAGE);
    if (err)
        return err;
    alps_store_(bare, 0);
    return t->policy->flush(&h->map, bare, sizeof *bare);
}

/* Where the backend keeps stores from the file, and the policy does not order
 * them, the file is whole only when the region is closed: it says so itself.
 * Called again when a region has grown, and at its end with 0. */
ALPS_CORE_ int alps_region_loose_(alps_handle *h, uint64_t loose,
                                  const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, ALPS_LOOSE);
    int err = ALPS_OK;
    if (!t->backend->write || t->policy->durable || !h->map.apart ||
        h->map.sole || alps_load_(word) == loose)
        return ALPS_OK;
    if (!loose)
        err = t->backend->write(&h->map, 0, alps_size_(h));
    if (err)
        return err;
    alps_store_(word, loose);
    return t->backend->write(&h->map, 0, ALPS_PAGE);
}

/* Enters the region: as the first of an epoch, or beside others. */
ALPS_CORE_ int alps_region_attach_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    int others = t->backend->leased(&h->map, ALPS_LEASE_ANY);
    if (others < 0) { // the medium cannot tell: ask for the processes
        others = 0;
        for (unsigned i = 0; i < h->at.slot_count; i++) {
            uint64_t owner = alps_slot_owner_(h, i);
            others |= owner && alps_owner_lives_(h, owner, t);
        }
    }
    uint64_t policy =
        alps_crc32c_(h->crc, 0, t->policy->name, strlen(t->policy->name)) |
        1ull << 32;
    if (others && h->shared->policy != policy)
        return ALPS_EBUSY;
    err = others ? ALPS_OK : alps_region_bare_(h, t);
    if (!err && !others)
        err = alps_epoch_begin_(h, t);
    if (err)
        return err;
    h->shared->policy = policy;
    h->keyed = pthread_key_create(&h->key, t->ended) == 0;
    err = alps_slot_take_(h, t);
    if (err == ALPS_EPROCESSES) {
        err = alps_region_make_room_(h, t);
        if (!err)
            err = alps_slot_take_(h, t);
    } else if (!err && others) {
        err = t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    }
    h->attached = !err;
    return err ? err : alps_region_loose_(h, 1, t);
}

/* Whether a region that is only read is whole: nothing waits to be redone, or
 * its writer lives and will see to it. */
ALPS_CORE_ int alps_region_settled_(alps_handle *h, const alps_tables *t)
{
    if (h->spare || !alps_redo_pending_(h))
        return ALPS_OK;
    return t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1 ? ALPS_OK
                                                            : ALPS_ERECOVER;
}

/* Opens inside the guard. */
ALPS_CORE_ int alps_region_enter_(alps_handle *h, const alps_options *o,
                                  const alps_tables *t)
{
    int read_only = (h->map.flags & ALPS_READ_ONLY) != 0;
    int make = h->map.length == 0 || (h->map.flags & ALPS_TRUNCATE);
    uint64_t size = 0;
    int err;
    if (make && read_only)
        return ALPS_EUNFINISHED;
    if (h->map.length && (h->map.flags & ALPS_TRUNCATE) &&
        t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1)
        return ALPS_EBUSY;
    if (!make && h->map.flags & ALPS_SALVAGE) {
        err = alps_salvage_examine_(h, o, &size, t);
        if (err)
            return err;
    } else if (!make) {
        err = alps_region_examine_(h, o, &size, t);
        if (err == ALPS_EUNFINISHED && (h->map.flags & ALPS_CREATE) &&
            !read_only)
            make = 1;
        else if (err == ALPS_EFORMAT && h->map.fixed && !read_only &&
                 (h->map.flags & ALPS_CREATE) && alps_super_blank_(h))
            make = 1; // a device that was never used
        else if (err)
            return err;
    }
    if (make)
        return alps_region_make_(h, o, t);
    if (h->map.more)
        err = t->backend->unmap(&h->map);
    if (!err && h->map.more)
        err = t->backend->resize(&h->map, h->map.length);
    return err ? err : alps_region_again_(h, size, t);
}

/* Opens or makes the region at `path` once. `length` is what the medium was
 * found to have. */
ALPS_CORE_ int alps_region_try_(alps_handle *h, const char *path,
                                const alps_options *o, uint64_t *length,
                                const alps_tables *t)
{
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    h->map.flags = o->flags;
    h->map.sole = t->policy->commit && !(o->flags & ALPS_READ_ONLY);
    h->map.progress = o->progress;
    h->map.progress_context = o->progress_context;
    h->grow = o->grow;
    h->crc = alps_crc_kind_();
    int err = t->backend->open(&h->map, path, o);
    if (err)
        return err;
    *length = h->map.length;
    err = o->parts && !h->map.parts && !(o->flags & ALPS_READ_ONLY)
              ? ALPS_EUNSUPPORTED
              : alps_region_enter_(h, o, t);
    if (!err)
        err = alps_placement_(&h->map, o);
    if (!err)
        err = alps_local_open_(h);
    if (!err)
        err = o->flags & ALPS_READ_ONLY ? alps_region_settled_(h, t)
                                        : alps_region_attach_(h, t);
    if (!err && t->policy->begin && h->map.sole)
        err = t->policy->begin(&h->map, o);
    if (!err)
        err = t->backend->unguard(&h->map);
    if (!err)
        return ALPS_OK;
    if (!*length && h->map.length && !h->map.fixed)
        t->backend->resize(&h->map, 0); // made by us, for nothing
    alps_local_close_(h);
    t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err;
}

/* Opens or makes the region at `path`; see alps_open. What seems cut short may
 * be growing: the medium gets longer before the region says so, and is then
 * longer when it is looked at again. */
ALPS_CORE_ int alps_region_open_(alps_handle *h, const char *path,
                                 const alps_options *given,
                                 const alps_tables *t)
{
    alps_options o;
    uint64_t before, length = 0;
    int err;
    memset(&o, 0, sizeof o);
    if (given)
        o = *given;
    if (!o.faults)
        o.faults = t->faults;
    if (o.flags & ALPS_SALVAGE)
        o.flags |= ALPS_READ_ONLY;
    if (!(o.flags & ~(ALPS_STRICT | ALPS_READ_ONLY | ALPS_SHRINK)))
        o.flags |= o.flags & ALPS_READ_ONLY ? 0 : ALPS_CREATE;
    err = alps_environment_(&o);
    if (!err && (o.flags & ALPS_READ_ONLY) &&
        (o.flags & (ALPS_CREATE | ALPS_TRUNCATE | ALPS_EXCLUSIVE)))
        err = ALPS_EINVAL;
    if (err) {
        memset(h, 0, sizeof *h);
        return err;
    }
    do {
        before = length;
        err = alps_region_try_(h, path, &o, &length, t);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* Ends this process's part in the region; see alps_close. What is to be
 * committed is, before anything is given up; with `discard` it is dropped. */
ALPS_CORE_ int alps_region_close_(alps_handle *h, int discard,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    if (!h->map.base)
        return ALPS_EINVAL;
    int sole = t->policy->commit && alps_self_(h) && h->map.sole;
    if (t->policy->commit && sole && !discard)
        err = alps_policy_commit_(t->policy, t->backend, &h->map,
                                  ALPS_COMMIT_ALL);
    if (err)
        return err;
    if (alps_self_(h)) {
        alps_threads_leave_(h, t);
        alps_lock_(h, t);
        err = alps_reap_dead_(h, t);
        if (!err && h->map.flags & ALPS_SHRINK) {
            alps_unlock_(h);
            err = alps_tail_shrink_(h, t);
            alps_lock_(h, t);
        }
        int own = t->slow(h, ALPS_SLOW_REAP, alps_self_(h), 0);
        err = err ? err : own;
        alps_unlock_(h);
        if (t->policy->commit && sole && !discard && !err)
            alps_policy_commit_(t->policy, t->backend, &h->map,
                                ALPS_COMMIT_ALL); // only neat
        if (t->policy->end && sole)
            err = t->policy->end(&h->map);
        t->backend->unlease(&h->map, h->slot);
        own = alps_region_loose_(h, 0, t);
        err = err ? err : own;
    }
    alps_local_close_(h);
    int last = t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err ? err : last;
}
