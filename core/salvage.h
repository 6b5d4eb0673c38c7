/* salvage.h -- what a damaged region says of itself
 *
 * Its numbers come from the superblock, or from the spare, or from the
 * superblock with one bit turned if the checksum says which; from nothing else.
 * They are put right in memory of this process: the medium is only read. So a
 * region that open refuses can be looked at, and what is left be saved. */
#pragma once
#include "recover.h"
#include "super.h"

/* Whether these are the numbers of a region of this layout. */
ALPS_FN_ int alps_salvage_whole_(const alps_handle *h, const alps_superblock *s)
{
    return s->magic == ALPS_MAGIC && s->layout == ALPS_LAYOUT &&
           s->crc == alps_super_sum_(h, s);
}

/* Turns the one bit back that makes `s` wrong. 0: it is more than one. */
ALPS_FN_ int alps_salvage_bit_(const alps_handle *h, alps_superblock *s)
{
    unsigned char *byte = (unsigned char *)(void *)s;
    for (unsigned bit = 0; bit < 8 * ALPS_SUPER_FIXED_; bit++) {
        byte[bit / 8] = (unsigned char)(byte[bit / 8] ^ 1u << bit % 8);
        if (alps_salvage_whole_(h, s))
            return 1;
        byte[bit / 8] = (unsigned char)(byte[bit / 8] ^ 1u << bit % 8);
    }
    return 0;
}

/* What never changes of the superblock, made right in `s`. Otherwise the code
 * that open has for it. */
ALPS_COLD_ int alps_salvage_fixed_(const alps_handle *h, alps_superblock *s)
{
    alps_superblock spare;
    const unsigned char *base = h->map.base;
    memcpy(s, base, sizeof *s);
    if (alps_salvage_whole_(h, s))
        return ALPS_OK;
    memcpy(&spare, base + ALPS_SPARE, sizeof spare);
    if (alps_salvage_whole_(h, &spare)) {
        memcpy(s, &spare, ALPS_SUPER_FIXED_);
        return ALPS_OK;
    }
    if (alps_salvage_bit_(h, s))
        return ALPS_OK;
    int err = alps_super_check_(h);
    return err ? err : ALPS_ECORRUPT;
}

/* The highest epoch that anything of this one can tell of: a record that is
 * whole, an index of a shard. */
ALPS_COLD_ uint64_t alps_salvage_epoch_(const alps_handle *h)
{
    uint64_t epoch = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        for (unsigned k = 0; k <= ALPS_RING; k++) {
            const alps_record *r =
                k < ALPS_RING ? &h->lanes[i].ring[k] : &h->lanes[i].mark;
            if (r->check == alps_record_check_(h, r) && alps_sealed_(r->epoch))
                epoch = r->epoch >> 16 > epoch ? r->epoch >> 16 : epoch;
        }
    for (const alps_shard *s = h->shards; s <= h->top; s++) {
        uint64_t built = alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
        epoch = built > epoch ? built : epoch;
    }
    return epoch;
}

/* Memory of the process for a superblock. */
ALPS_FN_ alps_superblock *alps_salvage_page_(void)
{
    void *p = mmap(NULL, ALPS_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : (alps_superblock *)p;
}

/* How much of the medium is region: as much as it says, but no more than there
 * is. */
ALPS_FN_ uint64_t alps_salvage_size_(const alps_handle *h,
                                     const alps_superblock *s)
{
    uint64_t most = h->map.length < s->limit ? h->map.length : s->limit;
    return alps_sealed_(s->size) && s->size >> 16 <= most ? s->size >> 16
                                                          : most;
}

/* Examines a medium whose first page is mapped: what is wrong with it and can
 * be made do with is no refusal. */
ALPS_COLD_ int alps_salvage_look_(alps_handle *h, const alps_options *o,
                                  uint64_t *size)
{
    const alps_superblock *there = (const alps_superblock *)h->map.base;
    if (there->state == ALPS_STATE_MAKING)
        return ALPS_EUNFINISHED;
    h->spare = alps_salvage_page_();
    if (!h->spare)
        return ALPS_ENOMEM;
    alps_superblock *s = h->spare;
    int err = alps_salvage_fixed_(h, s);
    if (!err)
        err = alps_super_alone_(h);
    if (err)
        return err;
    s->state = ALPS_STATE_READY;
    *size = alps_salvage_size_(h, s);
    s->size = alps_seal_(*size);
    if (!alps_sealed_(s->epoch))
        s->epoch = alps_seal_(0);
    if (o->layout && strncmp(o->layout, s->name, sizeof s->name))
        return ALPS_ELAYOUT;
    err = alps_geometry_init_(&h->at, s->limit, s->extent_shift, s->lanes,
                              s->processes, s->small, s->shards);
    if (err || s->small != alps_kind_round_(s->small))
        return ALPS_ECORRUPT;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_ETRUNCATED;
}

/* See alps_region_examine_. */
ALPS_CORE_ int alps_salvage_examine_(alps_handle *h, const alps_options *o,
                                     uint64_t *size, const alps_tables *t)
{
    if (h->map.length < ALPS_PAGE)
        return h->map.length ? ALPS_EFORMAT : ALPS_EUNFINISHED;
    int err = t->backend->map(&h->map, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE);
    if (err)
        return err;
    h->super = (alps_superblock *)(void *)h->map.base;
    return alps_salvage_look_(h, o, size);
}
