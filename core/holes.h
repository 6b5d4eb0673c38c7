/* holes.h -- what is free, given back to the file system
 *
 * An extent that nobody uses keeps its first page and its last, where the index
 * has its links; the inside may be a hole. A bit says so: it is durable before
 * the hole is made, and goes after its blocks are reserved again, which is
 * before the extent is handed out. So a store into memory that was handed out
 * finds its blocks, whoever died when: a bit too many costs a call that does
 * nothing, and a hole has its bit. All of this runs under the lock of all
 * extents. */
#pragma once
#include "block.h"

/* How many extents are punched under one taking of the lock, so that others do
 * not wait for long. */
#define ALPS_HOLES_AT_ONCE_ 16u

/* Whether `extent` may have a hole. */
ALPS_FN_ int alps_hole_(const alps_handle *h, uint64_t extent)
{
    return (int)(alps_load_(&h->holes[extent / 64]) >> (extent % 64) & 1);
}

ALPS_FN_ void alps_hole_set_(const alps_handle *h, uint64_t extent, int hole)
{
    uint64_t *word = &h->holes[extent / 64];
    uint64_t bit = 1ull << (extent % 64);
    alps_store_(word, hole ? alps_load_(word) | bit : alps_load_(word) & ~bit);
}

/* The inside of an extent, as a place and bytes; 0 bytes: it has none. */
ALPS_FN_ uint64_t alps_hole_at_(const alps_handle *h, uint64_t extent,
                                alps_off *off)
{
    uint64_t page = alps_system_page_();
    *off = h->at.heap + (extent << h->at.extent_shift) + page;
    return h->at.extent > 2 * page ? h->at.extent - 2 * page : 0;
}

/* Reserves the blocks of `n` extents that are about to be handed out. */
ALPS_CORE_ int alps_holes_fill_(alps_handle *h, uint64_t extent, uint64_t n,
                                const alps_tables *t)
{
    uint64_t filled = 0;
    for (uint64_t end = extent + n; extent < end; extent++) {
        alps_off off;
        if (!alps_hole_(h, extent))
            continue;
        uint64_t bytes = alps_hole_at_(h, extent, &off);
        int err = bytes ? t->backend->reserve(&h->map, off, bytes) : ALPS_OK;
        if (err && err != ALPS_EUNSUPPORTED)
            return err;
        alps_hole_set_(h, extent, 0);
        filled++;
    }
    alps_idle_less_(h, n - filled);
    // it was given back too early: be slower next time
    if (filled && alps_load_(&h->shared->idle_max) < alps_extents_(h))
        alps_store_(&h->shared->idle_max, 2 * h->shared->idle_max);
    return ALPS_OK;
}

/* Takes a run of extents, as alps_take_any_ does, with all their blocks.
 * ALPS_ENOSPC: there are none; it is free again. */
ALPS_CORE_ int alps_holes_take_(alps_handle *h, uint64_t units, uint64_t align,
                                unsigned code, alps_off *off,
                                const alps_tables *t)
{
    int err = alps_take_any_(h, h->top, units, align, ALPS_HELD, off);
    if (err)
        return err;
    uint64_t extent = (*off - h->at.heap) >> h->at.extent_shift;
    err = alps_holes_fill_(h, extent, units, t);
    if (err) {
        alps_give_large_(h, extent);
        alps_idle_less_(h, units); // as it was
    } else {
        alps_extents_code_(h, extent, code);
    }
    return err;
}

/* Punches those of the `n` free extents at `extent` that are not yet. */
ALPS_CORE_ int alps_holes_punch_(alps_handle *h, uint64_t extent, uint64_t n,
                                 const alps_tables *t)
{
    uint64_t fresh = 0; // bit: punch it
    for (uint64_t i = 0; i < n; i++) {
        if (alps_hole_(h, extent + i))
            continue;
        fresh |= 1ull << i;
        alps_hole_set_(h, extent + i, 1);
    }
    uint64_t first = extent / 64, last = (extent + n - 1) / 64;
    int err = t->policy->flush(&h->map, &h->holes[first],
                               (size_t)(last - first + 1) * 8);
    if (!err)
        err = t->fence(&h->map);
    for (; !err && fresh; fresh &= fresh - 1) {
        alps_off off;
        uint64_t bytes = alps_hole_at_(h, extent + alps_low_bit_(fresh), &off);
        err = bytes ? t->backend->punch(&h->map, off, bytes) : ALPS_OK;
    }
    return err;
}

/* Punches the next free extents from `*cursor` on, a few; answers whether there
 * were any through `*some`. */
ALPS_CORE_ int alps_holes_some_(alps_handle *h, uint64_t *cursor, int *some,
                                const alps_tables *t)
{
    alps_block top;
    alps_block_large_(h, 0, &top);
    alps_block_build_(h, &top);
    const alps_zone *z = &top.zone;
    *some = 0;
    for (uint64_t unit = 0, next; unit < z->end; unit = next) {
        next = alps_code_next_(z->codes, unit + 1, z->end);
        if (next <= *cursor || alps_code_(z->codes, unit) != ALPS_FREE)
            continue;
        uint64_t at = unit < *cursor ? *cursor : unit;
        while (at < next && alps_hole_(h, at))
            at++;
        if (at == next)
            continue;
        uint64_t n = next - at;
        if (n > ALPS_HOLES_AT_ONCE_)
            n = ALPS_HOLES_AT_ONCE_;
        *some = 1;
        *cursor = at + n;
        return alps_holes_punch_(h, at, n, t);
    }
    return ALPS_OK;
}

/* Gives all free extents back to the file system; a medium that cannot take
 * them keeps them. No lock of a shard is held. */
ALPS_CORE_ int alps_holes_make_(alps_handle *h, const alps_tables *t)
{
    uint64_t cursor = 0;
    int err = ALPS_OK, some = !h->map.fixed;
    while (!err && some) {
        alps_shard_lock_(h, h->top, 0, t);
        err = alps_holes_some_(h, &cursor, &some, t);
        alps_shard_unlock_(h->top);
    }
    alps_store_(&h->shared->idle, 0);
    return err == ALPS_EUNSUPPORTED ? ALPS_OK : err;
}
