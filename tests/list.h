/* list.h -- objects, blocks and extents in a list that the root names
 *
 * Each says what it is, so that a later look finds out whether it is whole. */
#pragma once
#include "model.h"

/* Adds `n`, of which one of `seldom` has `large` bytes. */
static inline void furnish(any_heap *h, unsigned n, unsigned seldom,
                           size_t large)
{
    alps_off *root = (alps_off *)any_root(h, 64);
    for (unsigned i = 0; i < n; i++) {
        size_t size = i % seldom == 7 ? large
                      : i % 7 == 1    ? 3000
                                      : 64 + i % 500;
        uint64_t *p = (uint64_t *)any_reserve(h, size);
        if (!CHECK(p != NULL))
            return;
        token_fill(p + 1, (size - 8) / 8 * 8, i);
        p[0] = root[0];
        CHECK_EQ(any_publish(h, root, p), 0);
    }
}

/* How many the list has, if each is whole. */
static inline unsigned listed(any_heap *h)
{
    unsigned n = 0;
    alps_off off = *(alps_off *)any_root(h, 64);
    for (uint64_t *p; (p = (uint64_t *)any_at(h, off)) != NULL; off = p[0]) {
        if (!token_whole(p + 1))
            return 0;
        n++;
    }
    return n;
}
