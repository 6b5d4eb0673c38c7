/* visit.h -- every block, and what they add up to
 *
 * Read off the codes, so the answers do not depend on the index, and a region
 * that is open read-only gives the same ones. */
#pragma once
#include "resize.h"
#include "slow.h"

/* Called for each live block; anything but 0 ends the walk, and is what the
 * walk answers. It may free the block it is called for. */
typedef int alps_visit(void *context, void *p, size_t n);

/* Blocks from 2^k bytes up to twice that are counted in class k. */
#define ALPS_CLASSES 48

/* What a region holds, in bytes unless said. */
typedef struct alps_statistics {
    uint64_t size;                   /* of the region */
    uint64_t used;                   /* by live objects and blocks */
    uint64_t free;                   /* that blocks could take */
    uint64_t reserved;               /* by reservations */
    uint64_t retired;                /* and waiting for readers */
    uint64_t spare;                  /* in slabs, for objects of their size */
    uint64_t largest_free;           /* the longest block that would fit now */
    uint64_t blocks;                 /* live ones, a count */
    uint64_t names;                  /* a count */
    uint64_t runs;                   /* free ones, a count */
    uint64_t extents;                /* all; a count */
    uint64_t heap_extents;           /* that hold small blocks; a count */
    unsigned fragmentation;          /* of free memory: 1 - largest / all,
                                          in thousandths */
    uint64_t by_class[ALPS_CLASSES]; /* live blocks by size; counts */
    alps_paging paging;              /* of backend paged, since the open */
} alps_statistics;

/* Walks the live objects of the slab at `place`. */
ALPS_FN_ int alps_visit_slab_(const alps_handle *h, alps_off place,
                              alps_visit *visit, void *context)
{
    alps_slab s = *alps_slab_head_(h, place);
    if (!alps_slab_derive_(h, &s))
        return 0;
    const alps_pair *pair = alps_slab_pairs_(alps_slab_head_(h, place));
    for (uint64_t i = 0; i < s.count; i++)
        if (alps_pair_live_(&pair[i / 64]) >> (i % 64) & 1) {
            int stop = visit(context, h->map.base + place + i * s.size,
                             (size_t)s.size);
            if (stop)
                return stop;
        }
    return 0;
}

/* Walks the live objects of all slabs in one extent. */
ALPS_FN_ int alps_visit_slabs_(const alps_handle *h, uint64_t extent,
                               alps_visit *visit, void *context)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift) {
        int stop = alps_slab_is_(h, off)
                       ? alps_visit_slab_(h, off, visit, context)
                       : 0;
        if (stop)
            return stop;
    }
    return 0;
}

/* Walks the live blocks of one zone. */
ALPS_FN_ int alps_visit_zone_(const alps_handle *h, const alps_zone *z,
                              alps_visit *visit, void *context)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    while (unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        int small =
            z->shift != ALPS_GRANULE_SHIFT && alps_extent_heap_(h, unit);
        if (!small && alps_code_(z->codes, unit) == ALPS_USED) {
            int stop = visit(context, z->base + alps_zone_off_(z, unit),
                             (size_t)((next - unit) << z->shift));
            if (stop)
                return stop;
        }
        unit = next;
    }
    return 0;
}

/* See alps_each. */
ALPS_FN_ int alps_visit_all_(const alps_handle *h, alps_visit *visit,
                             void *context)
{
    alps_zone top = alps_zone_top_(h);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_zone z = alps_zone_extent_(h, extent);
        int stop = alps_visit_slabs_(h, extent, visit, context);
        if (!stop)
            stop = alps_visit_zone_(h, &z, visit, context);
        if (stop)
            return stop;
    }
    return alps_visit_zone_(h, &top, visit, context);
}

/* The code at `unit` as a rebuild would read it: what is held by nobody is
 * free. A reader takes nobody's word for a holder. */
ALPS_FN_ unsigned alps_stats_code_(const alps_handle *h,
                                   const alps_shard *shard, const alps_zone *z,
                                   uint64_t unit)
{
    unsigned code = alps_code_(z->codes, unit);
    alps_off off = alps_zone_off_(z, unit);
    if (code != ALPS_HELD ||
        (off == alps_slab_place_(h, off) && alps_slab_is_(h, off)))
        return code;
    if (!alps_self_(h) || alps_zone_free_(h, shard, z, unit))
        return ALPS_FREE;
    return code;
}

/* Adds up one block or run. */
ALPS_FN_ void alps_stats_add_(alps_statistics *s, unsigned code, uint64_t n)
{
    if (code == ALPS_USED) {
        s->used += n;
        s->blocks++;
        s->by_class[alps_high_bit_(n)]++;
    } else if (code == ALPS_HELD) {
        s->reserved += n;
    } else {
        s->free += n;
        s->runs++;
    }
}

/* The objects of a group that are reserved by a living process, or held back in
 * this epoch. */
ALPS_FN_ uint64_t alps_stats_keep_(const alps_handle *h, alps_slab *s,
                                   const alps_keep *keep)
{
    uint64_t process = alps_load_(&s->process);
    if (!alps_self_(h) || !__atomic_load_n(&s->kept, __ATOMIC_RELAXED) ||
        process >> ALPS_EPOCH_SHIFT_ != alps_epoch_(h))
        return 0;
    return alps_process_in_(h, process)
               ? alps_keep_any_(keep)
               : __atomic_load_n(&keep->pinned, __ATOMIC_ACQUIRE);
}

/* Adds up the slab at `place`, whose block has `n` bytes. */
ALPS_FN_ void alps_stats_slab_(const alps_handle *h, alps_off place, uint64_t n,
                               alps_statistics *s)
{
    alps_slab slab = *alps_slab_head_(h, place);
    alps_slab *head = alps_slab_head_(h, place);
    uint64_t live = 0, kept = 0;
    if (!alps_slab_derive_(h, &slab))
        return;
    for (unsigned g = 0; g < alps_slab_groups_(&slab); g++) {
        uint64_t now = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        uint64_t keep =
            alps_stats_keep_(h, head, &alps_slab_keeps_(h, head)[g]);
        live += (uint64_t)__builtin_popcountll(now);
        kept += (uint64_t)__builtin_popcountll(keep & ~now);
    }
    s->blocks += live;
    s->by_class[alps_high_bit_(slab.size)] += live;
    s->used += live * slab.size;
    s->reserved += kept * slab.size;
    s->spare += n - (live + kept) * slab.size;
}

/* Adds up a heap extent; answers its longest free run, in bytes. */
ALPS_FN_ uint64_t alps_stats_extent_(const alps_handle *h, uint64_t extent,
                                     alps_statistics *s)
{
    alps_zone z = alps_zone_extent_(h, extent);
    const alps_shard *shard = alps_shard_named_(h, extent);
    uint64_t run = 0, longest = 0;
    uint64_t unit = alps_code_next_(z.codes, z.first, z.end);
    while (unit < z.end) {
        uint64_t n = alps_zone_units_(&z, unit) << z.shift;
        unsigned code = alps_stats_code_(h, shard, &z, unit);
        run = code == ALPS_FREE ? run + n : 0;
        if (run > longest)
            longest = run;
        alps_off off = alps_zone_off_(&z, unit);
        if (off == alps_slab_place_(h, off) && alps_slab_is_(h, off))
            alps_stats_slab_(h, off, n, s);
        else
            alps_stats_add_(s, code, n);
        unit += n >> z.shift;
    }
    return longest;
}

/* Released objects that wait for a fence are not reserved. */
ALPS_FN_ void alps_stats_pending_(const alps_handle *h, alps_statistics *s)
{
    for (unsigned i = 0; alps_self_(h) && i < h->at.lane_count; i++) {
        alps_object o;
        alps_off off = alps_load_(&h->lanes[i].pending);
        if (!off || alps_object_at_(h, off, &o) != 1 ||
            !((alps_load_(&o.keep->own) ^ alps_load_(&o.keep->far)) & o.bit))
            continue;
        s->reserved -= alps_kind_size_(o.kind);
        s->spare += alps_kind_size_(o.kind);
    }
}

/* Bytes of what is in a chunk, and of the chunk. */
ALPS_FN_ uint64_t alps_stats_chunk_(const alps_handle *h, const alps_chunk *c)
{
    uint64_t n = sizeof *c;
    for (uint64_t i = 0; i < c->count && i < ALPS_CHUNK; i++) {
        alps_object o;
        alps_block b;
        int is = alps_object_at_(h, c->thing[i], &o);
        if (is == 1)
            n += alps_kind_size_(o.kind);
        else if (alps_block_at_(h, c->thing[i], &b) == ALPS_HELD)
            n += alps_block_size_(&b);
    }
    return n;
}

/* A table of reservations that has grown is not reserved. */
ALPS_FN_ void alps_stats_tables_(const alps_handle *h, alps_statistics *s)
{
    for (const alps_shard *x = h->shards; x <= h->top; x++) {
        alps_block b;
        alps_off table = alps_held_place_(x);
        if (table != alps_held_first_(h, x) &&
            alps_block_at_(h, table, &b) == ALPS_HELD)
            s->reserved -= alps_block_size_(&b);
    }
}

/* What was retired is not, either. */
ALPS_FN_ void alps_stats_limbo_(const alps_handle *h, alps_statistics *s)
{
    const alps_chunk *c = alps_limbo_chunk_(h, h->shared->limbo);
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_chunk *own = alps_limbo_chunk_(h, h->lanes[i].limbo);
        s->retired += own ? alps_stats_chunk_(h, own) : 0;
    }
    for (uint64_t n = s->size / sizeof *c; c && n; n--) {
        s->retired += alps_stats_chunk_(h, c);
        c = alps_limbo_chunk_(h, c->next);
    }
    s->reserved -= s->retired < s->reserved ? s->retired : s->reserved;
}

/* See alps_stats. Under all locks, where there are any. */
ALPS_FN_ void alps_stats_all_(const alps_handle *h, alps_statistics *s)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t whole = (1ull << top.shift) - h->at.first * ALPS_GRANULE;
    uint64_t run = 0;
    if (h->map.pager)
        s->paging = alps_writeback_count_(h->map.pager);
    s->size = alps_size_(h);
    s->extents = top.end;
    for (uint64_t unit = 0, n; unit < top.end; unit += n) {
        int empty = 0;
        n = alps_zone_units_(&top, unit);
        unsigned code = alps_stats_code_(h, h->top, &top, unit);
        if (alps_extent_heap_(h, unit)) {
            n = 1;
            s->heap_extents++;
            uint64_t longest = alps_stats_extent_(h, unit, s);
            empty = longest == whole;
            if (longest > h->at.extent / 2)
                longest = h->at.extent / 2; // more takes whole extents
            if (longest > s->largest_free)
                s->largest_free = longest;
        } else {
            alps_stats_add_(s, code, n << top.shift);
            empty = code == ALPS_FREE;
        }
        run = empty ? run + n : 0;
        if (run << top.shift > s->largest_free)
            s->largest_free = run << top.shift;
    }
    alps_stats_pending_(h, s);
    if (alps_self_(h)) {
        alps_stats_tables_(h, s);
        alps_stats_limbo_(h, s);
    }
    s->fragmentation =
        s->free <= s->largest_free
            ? 0
            : (unsigned)(1000 - s->largest_free * 1000 / s->free);
}
