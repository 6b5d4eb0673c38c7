/* block.h -- blocks: found, locked, taken, given back
 *
 * A block lies in a heap extent, under a map of its own, or is a run of
 * extents. A heap extent belongs to a shard from when it is first needed in an
 * epoch until it is given back, and names it in `built`. Its free runs are read
 * off its codes then (*rebuild*), and again whenever the shard's index is void:
 * the one path of recovery, for power failure, the death of a process and an
 * index that a stray store has spoilt.
 *
 * Under the lock of a shard its own extents remain heap extents, and those of
 * others are not touched. Who gives an extent a shard, or takes it away, holds
 * the lock of the last shard as well, that of all extents. */
#pragma once
#include "held.h"
#include "lock.h"
#include "slab.h"

ALPS_FN_ int alps_extent_kind_(const alps_handle *h, uint64_t extent)
{
    return (int)(alps_load_(&h->kinds[extent / 64]) >> (extent % 64) & 1);
}

ALPS_FN_ void alps_extent_kind_set_(const alps_handle *h, uint64_t extent,
                                    int heap)
{
    uint64_t *word = &h->kinds[extent / 64];
    uint64_t bit = 1ull << (extent % 64);
    alps_store_(word, heap ? alps_load_(word) | bit : alps_load_(word) & ~bit);
}

/* Whether `extent` holds small blocks. */
ALPS_FN_ int alps_extent_heap_(const alps_handle *h, uint64_t extent)
{
    return alps_code_(h->codes, extent) == ALPS_USED &&
           alps_extent_kind_(h, extent);
}

/* Whether heap extent `extent` belongs to `s`: it says so in this epoch. */
ALPS_FN_ int alps_shard_has_(const alps_handle *h, const alps_shard *s,
                             uint64_t extent)
{
    uint64_t built = alps_load_(&alps_extent_(h, extent)->built);
    return alps_shard_named_(h, extent) == s &&
           built >> ALPS_BUILD_EPOCH_ ==
               alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
}

/* How often this thread left a shard to another one: about, for threads whose
 * stacks lie far apart may share the count. */
ALPS_FAST_ unsigned char *alps_hops_(const alps_handle *h)
{
    return &h->local->hops[(uint64_t)ALPS_THREAD_() / ALPS_PAGE % ALPS_HOPS_];
}

/* The shard that this thread prefers. Stacks lie an odd number of pages apart,
 * so threads made one after the other have different ones. */
ALPS_FAST_ alps_shard *alps_shard_home_(const alps_handle *h)
{
    uint64_t number = (uint64_t)ALPS_THREAD_() / ALPS_PAGE + h->slot +
                      __atomic_load_n(alps_hops_(h), __ATOMIC_RELAXED);
    return &h->shards[number & (h->at.shard_count - 1)];
}

/* The same; where another thread of this process is in it, it is the next one
 * from now on, so that threads part that met (ptmalloc's arenas). Of another
 * process it may be a dead one, and somebody has to notice. */
ALPS_FAST_ alps_shard *alps_shard_apart_(const alps_handle *h)
{
    alps_shard *s = alps_shard_home_(h);
    uint64_t owner = alps_load_(&s->lock);
    if (ALPS_LIKELY_(!owner || owner != alps_self_(h)))
        return s;
    __atomic_fetch_add(alps_hops_(h), 1, __ATOMIC_RELAXED);
    return alps_shard_home_(h);
}

/* A block: where its code is. */
typedef struct alps_block {
    alps_zone zone;
    alps_shard *shard;
    uint64_t unit;
    int level;
} alps_block;

/* The block that starts at `off`, as far as one can start there, with its
 * code; or -1. Needs no lock; what is not for sure then is its shard. */
ALPS_FAST_ int alps_block_find_(const alps_handle *h, alps_off off,
                                alps_block *b)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    b->unit = 0;
    b->shard = h->top;
    if (off < h->at.heap || off % ALPS_GRANULE || extent >= h->at.extents_max)
        return -1;
    if (ALPS_LIKELY_(alps_extent_heap_(h, extent))) {
        b->zone = alps_zone_extent_(h, extent);
        b->shard = alps_shard_named_(h, extent);
        b->level = ALPS_LEVEL_GRANULE;
    } else if (extent < alps_extents_(h)) {
        b->zone = alps_zone_top_(h);
        b->level = ALPS_LEVEL_EXTENT;
    } else {
        return -1;
    }
    b->unit = alps_zone_unit_(&b->zone, off);
    if (b->unit < b->zone.first || alps_zone_off_(&b->zone, b->unit) != off)
        return -1;
    return (int)alps_code_(b->zone.codes, b->unit);
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ int alps_block_at_(const alps_handle *h, alps_off off, alps_block *b)
{
    return alps_block_find_(h, off, b);
}

/* The run of extents that starts at `extent`. */
ALPS_FN_ void alps_block_large_(const alps_handle *h, uint64_t extent,
                                alps_block *b)
{
    b->zone = alps_zone_top_(h);
    b->shard = h->top;
    b->unit = extent;
    b->level = ALPS_LEVEL_EXTENT;
}

/* Bytes of the block. */
ALPS_FN_ uint64_t alps_block_size_(const alps_block *b)
{
    return alps_zone_units_(&b->zone, b->unit) << b->zone.shift;
}

/* What a block that a transaction freed has at its start, as long as it is held
 * back: its place, and the number of the transaction. */
#define ALPS_FREED_ 0x6465657266706c61ull

ALPS_FN_ void alps_freed_note_(const alps_handle *h, alps_off off,
                               uint64_t number)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    alps_store_(&word[0], number ? off ^ ALPS_FREED_ : 0);
    alps_store_(&word[1], number);
    ALPS_BARRIER_();
}

/* Whether the held block at `off`, which nobody else holds, is held back so. */
ALPS_FN_ int alps_freed_is_(const alps_handle *h, alps_off off)
{
    const uint64_t *word = (const uint64_t *)alps_address_(h, off);
    uint64_t number = alps_load_(&word[1]);
    uint64_t lane = number & 0xfff;
    return alps_load_(&word[0]) == (off ^ ALPS_FREED_) && number &&
           lane < h->at.lane_count &&
           alps_load_(&h->lanes[lane].freeing) == number;
}

/* Whether the ALPS_HELD block at `off`, of shard `s`, has a holder. A table of
 * reservations is in its own shard, or is a run of extents. */
ALPS_FN_ int alps_held_alive_(const alps_handle *h, const alps_shard *s,
                              alps_off off)
{
    if (off == alps_slab_place_(h, off) && alps_slab_is_(h, off))
        return 1;
    if (alps_held_slot_(h, s, off) >= 0)
        return 1;
    for (unsigned i = 0; i <= h->at.shard_count; i++)
        if (alps_held_place_(&h->shards[i]) == off)
            return 1;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_load_(&h->lanes[i].held) == off)
            return 1;
    return alps_freed_is_(h, off);
}

/* Whether what starts at `unit` is free: it says so, or nobody holds it. */
ALPS_FN_ int alps_zone_free_(const alps_handle *h, const alps_shard *s,
                             const alps_zone *z, uint64_t unit)
{
    unsigned code = alps_code_(z->codes, unit);
    return code == ALPS_FREE ||
           (code == ALPS_HELD &&
            !alps_held_alive_(h, s, alps_zone_off_(z, unit)));
}

/* Reads the free runs of a zone, none of which is in the index, off its codes;
 * runs side by side become one. O(units / 32 + runs). */
ALPS_COLD_ void alps_zone_rebuild_(const alps_handle *h, const alps_shard *s,
                                   const alps_zone *z)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    while (unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        if (!alps_zone_free_(h, s, z, unit)) {
            unit = next;
            continue;
        }
        while (next < z->end && alps_zone_free_(h, s, z, next)) {
            alps_code_set_(z->codes, next, ALPS_INSIDE);
            next = alps_code_next_(z->codes, next + 1, z->end);
        }
        if (alps_code_(z->codes, unit) != ALPS_FREE)
            alps_code_set_(z->codes, unit, ALPS_FREE);
        alps_run_insert_(z, unit, next - unit);
        unit = next;
    }
}

/* The index of a shard is void: empty it, and distrust every extent of it. */
ALPS_COLD_ void alps_index_reset_(alps_shard *s)
{
    alps_index *x = &s->index;
    alps_store_(&s->built, s->built + ALPS_SHARDS_MAX);
    s->cursor = 0;
    x->rows = 0;
    for (unsigned row = 0; row < ALPS_ROWS; row++) {
        x->columns[row] = 0;
        for (unsigned column = 0; column < ALPS_COLUMNS; column++)
            x->head[row][column] = 0;
    }
}

/* Where it is said for which build of the index a block's zone is built. */
ALPS_FAST_ uint64_t *alps_block_built_(const alps_handle *h,
                                       const alps_block *b)
{
    return b->level == ALPS_LEVEL_GRANULE
               ? &((alps_extent *)alps_address_(h, b->zone.origin))->built
               : &h->top->cursor;
}

/* Makes sure that the free runs of a block's zone are in the index; what is
 * held, but noted nowhere, becomes free by that. Under the lock of its
 * shard. */
ALPS_CORE_ void alps_block_build_(alps_handle *h, const alps_block *b)
{
    uint64_t *built = alps_block_built_(h, b);
    if (ALPS_LIKELY_(alps_load_(built) == b->shard->built))
        return;
    alps_zone zone = b->zone; // a copy: the other one stays in registers
    alps_zone_rebuild_(h, b->shard, &zone);
    alps_store_(built, b->shard->built);
}

/* A build of shard `s` in this epoch that was never its index's. */
ALPS_FN_ uint64_t alps_build_void_(const alps_handle *h, const alps_shard *s)
{
    uint64_t epoch = alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
    return epoch << ALPS_BUILD_EPOCH_ | (uint64_t)(s - h->shards);
}

/* Gives heap extent `extent`, if it has none, to shard `s`, whose lock is held.
 */
ALPS_CORE_ void alps_extent_join_(alps_handle *h, uint64_t extent,
                                  alps_shard *s, const alps_tables *t)
{
    alps_shard_lock_(h, h->top, 1, t);
    if (alps_extent_heap_(h, extent) &&
        !alps_shard_has_(h, alps_shard_named_(h, extent), extent))
        alps_store_(&alps_extent_(h, extent)->built, alps_build_void_(h, s));
    alps_shard_unlock_(h->top);
}

/* Whether `b` is of shard `s`, whose lock is held, perhaps from now on; its
 * zone is in the index then. */
ALPS_CORE_ int alps_block_joins_(alps_handle *h, alps_block *b, alps_shard *s,
                                 const alps_tables *t)
{
    if (b->level == ALPS_LEVEL_GRANULE) {
        uint64_t extent = (b->zone.origin - h->at.heap) >> h->at.extent_shift;
        if (s == h->top)
            return 0;
        alps_extent_join_(h, extent, s, t);
        if (!alps_extent_heap_(h, extent) || !alps_shard_has_(h, s, extent))
            return 0;
        b->zone.index = &s->index;
        b->shard = s;
    }
    if (b->shard != s)
        return 0;
    alps_block_build_(h, b);
    return 1;
}

/* The lock of the shard that `b`, at `off`, seemed to be of has been taken.
 * Answers its code if it is; or -1 if there is no block, and 4 if it is of
 * another shard: then the lock is let go. */
ALPS_CORE_ int alps_block_join_(alps_handle *h, alps_block *b, alps_off off,
                                const alps_tables *t)
{
    alps_shard *s = b->shard;
    int code = alps_block_at_(h, off, b);
    if (code >= ALPS_USED && alps_block_joins_(h, b, s, t))
        return code;
    alps_shard_unlock_(s);
    return code < ALPS_USED ? -1 : 4;
}

/* The block at `off` was found to be `b`, with that code. Takes the lock of its
 * shard, and sees to it that its zone is in the index. Answers its code; or -1,
 * and there is no lock. */
ALPS_FAST_ int alps_block_found_(alps_handle *h, alps_off off, int code,
                                 alps_block *b, int inner, const alps_tables *t)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    while (ALPS_LIKELY_(code >= 0)) {
        alps_shard_lock_(h, b->shard, inner, t);
        if (ALPS_LIKELY_(b->level == ALPS_LEVEL_GRANULE &&
                         alps_extent_heap_(h, extent) &&
                         alps_load_(alps_block_built_(h, b)) ==
                             b->shard->built))
            return (int)alps_code_(b->zone.codes, b->unit);
        code = t->slow(h, ALPS_SLOW_JOIN, (uint64_t)(uintptr_t)b, off);
        if (code < 4)
            return code;
        code = alps_block_at_(h, off, b);
    }
    return -1;
}

/* Finds the block, and does that. */
ALPS_FAST_ int alps_block_lock_(alps_handle *h, alps_off off, alps_block *b,
                                int inner, const alps_tables *t)
{
    return alps_block_found_(h, off, alps_block_at_(h, off, b), b, inner, t);
}

ALPS_FN_ void alps_block_unlock_(const alps_block *b)
{
    alps_shard_unlock_(b->shard);
}

/* Gives the run of extents that starts at `extent`, and is held, its code. It
 * is no heap extent any more before that says that it is used: who finds the
 * one without the other takes it for one. */
ALPS_FN_ void alps_extents_code_(const alps_handle *h, uint64_t extent,
                                 unsigned code)
{
    if (alps_extent_kind_(h, extent))
        alps_extent_kind_set_(h, extent, 0);
    ALPS_BARRIER_();
    if (code != ALPS_HELD)
        alps_code_set_(h->codes, extent, code);
}

/* Looks for a run of `units` in the index of `s`, carves it, and gives it
 * `code`; `off` is where it is. ALPS_EFULL: the index has none. ALPS_ECORRUPT:
 * the index was wrong, and is reset; try again. Under the lock of `s`. */
ALPS_FAST_ int alps_take_level_(alps_handle *h, alps_shard *s, int level,
                                uint64_t units, uint64_t align, unsigned code,
                                alps_off *off)
{
    alps_zone z;
    unsigned shift = ALPS_GRANULE_SHIFT;
    if (level == ALPS_LEVEL_EXTENT) {
        alps_block top;
        z = top.zone = alps_zone_top_(h);
        top.shard = s;
        top.level = level;
        alps_block_build_(h, &top);
        shift = z.shift;
    }
    uint64_t extra = align >> shift > 1 ? (align >> shift) - 1 : 0;
    alps_off run = alps_index_find_(h, &s->index, units + extra, shift);
    if (!run)
        return ALPS_EFULL;
    int err = ALPS_ECORRUPT;
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (extent < h->at.extents_max && run % (1ull << shift) == 0 &&
        (level == ALPS_LEVEL_EXTENT ||
         (alps_extent_heap_(h, extent) &&
          alps_load_(&alps_extent_(h, extent)->built) == s->built))) {
        if (level == ALPS_LEVEL_GRANULE)
            z = alps_zone_extent_(h, extent);
        z.index = &s->index;
        uint64_t unit = alps_zone_unit_(&z, run);
        unsigned first = code;
        if (level == ALPS_LEVEL_EXTENT)
            first = ALPS_HELD;
        if (unit >= z.first && unit < z.end)
            err = alps_zone_carve_(h, &z, unit, units, align, first, &unit);
        if (!err)
            *off = alps_zone_off_(&z, unit);
        if (!err && level == ALPS_LEVEL_EXTENT)
            alps_extents_code_(h, unit, code);
    }
    if (ALPS_UNLIKELY_(err == ALPS_ECORRUPT))
        alps_index_reset_(s);
    return err;
}

ALPS_COLD_ int alps_take_any_(alps_handle *h, alps_shard *s, uint64_t units,
                              uint64_t align, unsigned code, alps_off *off)
{
    int level = s == h->top ? ALPS_LEVEL_EXTENT : ALPS_LEVEL_GRANULE;
    return alps_take_level_(h, s, level, units, align, code, off);
}

/* The same; if `fast`, small blocks, which are most, by a path of their own. */
ALPS_FAST_ int alps_take_(alps_handle *h, alps_shard *s, int fast,
                          uint64_t units, uint64_t align, unsigned code,
                          alps_off *off)
{
    if (ALPS_UNLIKELY_(!fast || align > ALPS_GRANULE))
        return alps_take_any_(h, s, units, align, code, off);
    return alps_take_level_(h, s, ALPS_LEVEL_GRANULE, units, 1, code, off);
}

ALPS_FAST_ void alps_give_level_(alps_handle *h, const alps_block *b)
{
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (ALPS_UNLIKELY_(alps_zone_give_(h, &b->zone, b->unit, units)))
        alps_index_reset_(b->shard);
}

ALPS_COLD_ void alps_give_large_(alps_handle *h, uint64_t extent)
{
    alps_block b;
    alps_block_large_(h, extent, &b);
    alps_idle_more_(h, alps_zone_units_(&b.zone, b.unit));
    alps_give_level_(h, &b);
}

/* Gives a block, whose code is not ALPS_FREE, back to the index, which its zone
 * is in. Under the lock of its shard. */
ALPS_FAST_ void alps_give_(alps_handle *h, const alps_block *b)
{
    if (ALPS_UNLIKELY_(b->level != ALPS_LEVEL_GRANULE)) {
        alps_give_large_(h, b->unit);
        return;
    }
    alps_block small = *b;
    small.zone.shift = ALPS_GRANULE_SHIFT; // known to the compiler from here
    small.level = ALPS_LEVEL_GRANULE;
    alps_give_level_(h, &small);
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ void alps_give_back_(alps_handle *h, const alps_block *b)
{
    alps_give_(h, b);
}

/* Writes back the codes from the one of `unit` to the one that ends its
 * `units`: also those that somebody else changed and did not write back. */
ALPS_FAST_ int alps_codes_flush_(alps_handle *h, const alps_zone *z,
                                 uint64_t unit, uint64_t units,
                                 const alps_tables *t)
{
    uint64_t last = unit + units < z->end ? unit + units : z->end - 1;
    const unsigned char *bytes = (const unsigned char *)z->codes;
    return t->policy->flush(&h->map, bytes + unit / 4, last / 4 - unit / 4 + 1);
}
