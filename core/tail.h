/* tail.h -- the free extents at the end of the region
 *
 * They count towards what a growth is to bring, and are cut off when the last
 * process closes the region and was asked to: the size first, then the medium,
 * for that is never to be shorter than the region says. */
#pragma once
#include "recover.h"

/* How many extents at the end of the region are free. Under the lock of all
 * extents. */
ALPS_CORE_ uint64_t alps_tail_free_(alps_handle *h)
{
    alps_block b;
    alps_block_large_(h, 0, &b);
    alps_block_build_(h, &b);
    return b.zone.end - alps_zone_before_(&b.zone, b.zone.end);
}

/* Cuts them off, but for the first extent of all. A crash leaves the old size,
 * or the new one and a medium that is longer. */
ALPS_CORE_ int alps_tail_cut_(alps_handle *h, const alps_tables *t)
{
    uint64_t old = alps_size_(h), extents = alps_extents_(h);
    uint64_t left = extents - alps_tail_free_(h);
    uint64_t size = h->at.heap + (left + !left) * h->at.extent;
    if (size >= old)
        return ALPS_OK;
    alps_index_reset_(h->top);
    ALPS_BARRIER_();
    alps_store_(&h->super->size, alps_seal_(size));
    int err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->fence(&h->map);
    if (h->map.length < old)
        h->map.length = old; // another process made it longer
    return err ? err : t->backend->resize(&h->map, size);
}

/* Gives back what is empty, and cuts the end off, if nobody else has the
 * region open for writing: who comes to open it now finds the one size or the
 * other. */
ALPS_CORE_ int alps_tail_shrink_(alps_handle *h, const alps_tables *t)
{
    uint64_t n;
    if (h->map.fixed || t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1)
        return ALPS_OK;
    alps_lock_(h, t);
    t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    alps_unlock_(h);
    int err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
    if (err)
        return err;
    alps_shard_lock_(h, h->top, 0, t);
    err = alps_tail_cut_(h, t);
    alps_shard_unlock_(h->top);
    return err;
}
