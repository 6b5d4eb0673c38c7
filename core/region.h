/* region.h -- a region: made, opened, grown, closed
 *
 * A new region is marked as in the making before anything else is in it, and
 * as ready after everything else is durable; so a death in between leaves what
 * is recognised as unfinished, and may be made anew. An existing one is
 * examined before it is changed, and refused with its own code if it is
 * foreign, damaged, cut short or of another layout. All of this runs inside
 * the backend's guard, so that any number of processes may create or open one
 * region at the same instant. */
#pragma once
#include "recover.h"

#define ALPS_SIZE_DEFAULT (64ull << 20)

ALPS_FN_ uint32_t alps_super_crc_(const alps_handle *h)
{
    alps_superblock copy = *h->super;
    copy.state = 0;
    copy.crc = 0;
    return alps_crc32c_(h->crc, 0, &copy, offsetof(alps_superblock, size));
}

/* Whether the first page of the medium holds nothing at all. */
ALPS_FN_ int alps_super_blank_(const alps_handle *h)
{
    const uint64_t *word = (const uint64_t *)(const void *)h->map.base;
    for (unsigned i = 0; i < ALPS_PAGE / sizeof *word; i++)
        if (word[i])
            return 0;
    return 1;
}

/* Judges the first page; 0 if it is a region that this header may open. */
ALPS_FN_ int alps_super_check_(const alps_handle *h)
{
    const alps_superblock *s = h->super;
    if (s->state == ALPS_STATE_MAKING && (!s->magic || s->magic == ALPS_MAGIC))
        return ALPS_EUNFINISHED;
    if (s->magic != ALPS_MAGIC)
        return h->map.length <= ALPS_PAGE && alps_super_blank_(h)
                   ? ALPS_EUNFINISHED
                   : ALPS_EFORMAT;
    if (s->state == ALPS_STATE_READY && s->layout != ALPS_LAYOUT)
        return ALPS_EVERSION;
    if (s->state != ALPS_STATE_READY || alps_super_crc_(h) != s->crc ||
        !alps_sealed_(s->size) || !alps_sealed_(s->epoch))
        return ALPS_ECORRUPT;
    return s->size >> 16 > s->limit ? ALPS_ECORRUPT : ALPS_OK;
}

/* Where everything is in this process, once the region is mapped. */
ALPS_FN_ void alps_region_place_(alps_handle *h)
{
    unsigned char *base = h->map.base;
    h->super = (alps_superblock *)(void *)base;
    h->done = (alps_done *)(void *)(base + h->at.done);
    h->lanes = (alps_lane *)(void *)(base + h->at.lanes);
    h->slots = (alps_slot *)(void *)(base + h->at.slots);
    h->shared = (alps_shared *)(void *)(base + h->at.shared);
    h->shards = (alps_shard *)(void *)(base + h->at.shards);
    h->top = &h->shards[h->at.shard_count];
    h->codes = (uint64_t *)(void *)(base + h->at.codes);
    h->kinds = (uint64_t *)(void *)(base + h->at.kinds);
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

ALPS_CORE_ int alps_super_state_(alps_handle *h, uint64_t state,
                                 const alps_tables *t)
{
    alps_store_(&h->super->state, state);
    return t->policy->flush(&h->map, h->super, 16);
}

/* How many shards a new region has unless said: one for a few extents, so that
 * none is without. */
ALPS_FN_ unsigned alps_region_shards_(uint64_t extents)
{
    unsigned n = 1;
    while (n < 16 && 8ull * n <= extents)
        n *= 2;
    return n;
}

/* The numbers of a new region, from what was asked for. */
ALPS_FN_ int alps_region_plan_(alps_handle *h, const alps_options *o,
                               uint64_t *size)
{
    *size = h->map.fixed ? h->map.length
            : o->size    ? o->size
                         : ALPS_SIZE_DEFAULT;
    uint64_t extent = o->extent;
    unsigned shift = ALPS_EXTENT_SHIFT_MIN;
    if (extent & (extent - 1) || extent > 1ull << ALPS_EXTENT_SHIFT_MAX ||
        (extent && extent < 1ull << ALPS_EXTENT_SHIFT_MIN) ||
        *size > ALPS_SIZE_MAX || o->limit > ALPS_SIZE_MAX ||
        (o->limit && o->limit < *size && !h->map.fixed) ||
        (o->layout && strlen(o->layout) >= sizeof h->super->name))
        return ALPS_EINVAL;
    if (extent)
        while (1ull << shift < extent)
            shift++;
    else
        while (shift < 22 && 32ull << shift <= *size)
            shift++;
    uint64_t limit =
        o->limit ? o->limit : 1ull << (shift == 22 ? 38 : shift + 14);
    if (h->map.fixed)
        limit = *size;
    if (limit < *size)
        limit = *size;
    uint64_t lanes = *size >> 15 < 1088 ? *size >> 15 : 1088;
    uint64_t small = 1ull << (shift < 15 ? 7 : shift > 18 ? 10 : shift - 8);
    if (lanes < 8)
        lanes = 8;
    unsigned shards = shift < 20 ? 1 : alps_region_shards_(*size >> shift);
    int err = alps_geometry_init_(&h->at, limit, shift,
                                  o->lanes ? o->lanes : (unsigned)lanes,
                                  o->processes ? o->processes : 256,
                                  alps_kind_round_(o->small ? o->small : small),
                                  o->shards ? o->shards : shards);
    if (err)
        return err;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_EINVAL;
}

/* Who this region is: RFC 4122, version 4. */
ALPS_FN_ void alps_uuid_(uint8_t uuid[16])
{
    uint64_t word[2] = {alps_random_(), alps_random_()};
    memcpy(uuid, word, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* Fills the mapped medium with an empty region, and marks it ready: durably
 * with the next fence, which is that of the first epoch. */
ALPS_CORE_ int alps_region_fill_(alps_handle *h, const alps_options *o,
                                 uint64_t size, const alps_tables *t)
{
    alps_superblock *s = h->super;
    struct timespec now;
    alps_region_place_(h);
    uint64_t old = h->map.fixed ? h->at.heap : ALPS_PAGE; // the rest is new
    int err = alps_region_zero_(h, 16, old - 16, t);
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
    err = t->policy->flush(&h->map, h->codes, 8);
    if (!err)
        err = t->policy->flush(&h->map, s, sizeof *s);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    return err ? err : alps_super_state_(h, ALPS_STATE_READY, t);
}

/* Makes a region on a medium whose contents do not matter. Its first page says
 * so before the medium gets its length. */
ALPS_CORE_ int alps_region_make_(alps_handle *h, const alps_options *o,
                                 const alps_tables *t)
{
    uint64_t size = 0;
    int err = alps_region_plan_(h, o, &size);
    if (!err && !h->map.fixed && h->map.length < ALPS_PAGE)
        err = t->backend->resize(&h->map, ALPS_PAGE);
    if (!err && !h->map.base)
        err = alps_region_map_(h, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_state_(h, ALPS_STATE_MAKING, t);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
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
    if (err)
        return err;
    const alps_superblock *s = h->super;
    *size = alps_size_(h); // once: another process may be growing the region
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
    err = alps_reap_now_(h, t);
    alps_store_(&h->local->owner, 0);
    int late = t->backend->unlease(&h->map, number);
    return err || late == ALPS_EUNSUPPORTED ? err : late;
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
    err = others ? ALPS_OK : alps_epoch_begin_(h, t);
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
        err = alps_reap_now_(h, t);
    }
    h->attached = !err;
    return err;
}

/* Whether a region that is only read is whole: nothing waits to be redone, or
 * its writer lives and will see to it. */
ALPS_CORE_ int alps_region_settled_(alps_handle *h, const alps_tables *t)
{
    if (!alps_redo_pending_(h))
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
    if (!make) {
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
    err = t->backend->unmap(&h->map);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    if (!err)
        alps_region_place_(h);
    return err;
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
    h->crc = alps_crc_kind_();
    int err = t->backend->open(&h->map, path, o);
    if (err)
        return err;
    *length = h->map.length;
    err = alps_region_enter_(h, o, t);
    if (!err)
        err = alps_local_open_(h);
    if (!err)
        err = o->flags & ALPS_READ_ONLY ? alps_region_settled_(h, t)
                                        : alps_region_attach_(h, t);
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
    if (!(o.flags & ~(ALPS_STRICT | ALPS_READ_ONLY)))
        o.flags |= o.flags & ALPS_READ_ONLY ? 0 : ALPS_CREATE;
    if ((o.flags & ALPS_READ_ONLY) &&
        (o.flags & (ALPS_CREATE | ALPS_TRUNCATE | ALPS_EXCLUSIVE))) {
        memset(h, 0, sizeof *h);
        return ALPS_EINVAL;
    }
    do {
        before = length;
        err = alps_region_try_(h, path, &o, &length, t);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* Ends this process's part in the region; see alps_close. */
ALPS_CORE_ int alps_region_close_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    if (!h->map.base)
        return ALPS_EINVAL;
    if (alps_self_(h)) {
        alps_threads_leave_(h, t);
        alps_lock_(h, t);
        err = alps_reap_dead_(h, t);
        int own = t->slow(h, ALPS_SLOW_REAP, alps_self_(h), 0);
        err = err ? err : own;
        alps_unlock_(h);
        t->backend->unlease(&h->map, h->slot);
    }
    alps_local_close_(h);
    int last = t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err ? err : last;
}

/* Makes the region `size` bytes long, at most its limit; see alps_grow. The
 * medium first, then the code that starts the new extents, then the size. */
ALPS_CORE_ int alps_region_grow_(alps_handle *h, uint64_t size,
                                 const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (size > h->at.limit || size > h->map.reserved)
        return ALPS_ELIMIT;
    alps_shard_lock_(h, h->top, 0, t);
    uint64_t old = alps_extents_(h);
    uint64_t now = alps_geometry_extents_(&h->at, size);
    if (size > alps_size_(h)) {
        err = h->map.fixed ? ALPS_ELIMIT : t->backend->resize(&h->map, size);
        if (!err && now > old) {
            alps_code_clear_(h->codes, old, now);
            alps_code_set_(h->codes, old, ALPS_FREE);
            err = t->policy->flush(&h->map,
                                   (const unsigned char *)h->codes + old / 4,
                                   now / 4 - old / 4 + 1);
            if (!err)
                err = t->policy->fence(&h->map, t->backend);
        }
        if (!err) {
            alps_store_(&h->super->size, alps_seal_(size));
            err = t->policy->flush(&h->map, &h->super->size, 8);
            if (!err)
                err = t->policy->fence(&h->map, t->backend);
            alps_index_reset_(h->top);
        }
    }
    alps_shard_unlock_(h->top);
    return err;
}
