/* held.h -- who holds which reservation
 *
 * A reserved block has the code ALPS_HELD and, in this table, its owner: an
 * open hash of words {place / 64, slot}. Each change is one store, so that the
 * death of a process leaves a table that can be read. It is index: nothing is
 * flushed, and a new epoch starts with an empty one, which is how a crash gives
 * every reservation back. When the table fills up it moves into a larger block
 * of the heap, itself held. Runs under the lock of the region. */
#pragma once
#include "tlsf.h"

#define ALPS_HELD_EMPTY_ 0ull
#define ALPS_HELD_GONE_ 1ull /* was an entry: a search goes on behind it */

/* No entry. */
#define ALPS_HELD_NONE_ (~0ull)

ALPS_FN_ uint64_t alps_held_key_(alps_off off)
{
    return off / ALPS_GRANULE << 16;
}

ALPS_FN_ alps_off alps_held_place_(const alps_handle *h)
{
    return h->shared->held & ~63ull;
}

ALPS_FN_ unsigned alps_held_shift_(const alps_handle *h)
{
    return (unsigned)(h->shared->held & 63);
}

ALPS_FN_ uint64_t *alps_held_table_(const alps_handle *h)
{
    return (uint64_t *)alps_address_(h, alps_held_place_(h));
}

ALPS_FN_ uint64_t alps_held_hash_(uint64_t key, unsigned shift)
{
    return (key >> 16) * 0x9e3779b97f4a7c15ull >> (64 - shift);
}

/* The place of `off` in the table, or ALPS_HELD_NONE_. */
ALPS_FN_ uint64_t alps_held_find_(const alps_handle *h, alps_off off)
{
    const uint64_t *table = alps_held_table_(h);
    unsigned shift = alps_held_shift_(h);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t key = alps_held_key_(off);
    uint64_t at = alps_held_hash_(key, shift);
    for (uint64_t looks = 0; looks <= mask; looks++, at = (at + 1) & mask) {
        if (table[at] == ALPS_HELD_EMPTY_)
            return ALPS_HELD_NONE_;
        if (table[at] != ALPS_HELD_GONE_ && (table[at] & ~0xffffull) == key)
            return at;
    }
    return ALPS_HELD_NONE_;
}

/* The slot that holds `off`, or -1. */
ALPS_FN_ int alps_held_slot_(const alps_handle *h, alps_off off)
{
    uint64_t at = alps_held_find_(h, off);
    return at == ALPS_HELD_NONE_ ? -1 : (int)(alps_held_table_(h)[at] & 0xffff);
}

/* Whether the table has room for one more. */
ALPS_FN_ int alps_held_room_(const alps_handle *h)
{
    return h->shared->held_used < 1ull << (alps_held_shift_(h) - 1);
}

/* Enters `off`, which is not there, for `slot`; there is room. */
ALPS_FN_ void alps_held_add_(alps_handle *h, alps_off off, unsigned slot)
{
    uint64_t *table = alps_held_table_(h);
    unsigned shift = alps_held_shift_(h);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t key = alps_held_key_(off);
    uint64_t at = alps_held_hash_(key, shift);
    while (table[at] > ALPS_HELD_GONE_)
        at = (at + 1) & mask;
    if (table[at] == ALPS_HELD_EMPTY_)
        h->shared->held_used++;
    table[at] = key | slot;
}

/* Takes out the entry at `at`, and with it what would lead searches on to
 * nothing. */
ALPS_FN_ void alps_held_drop_(alps_handle *h, uint64_t at)
{
    uint64_t *table = alps_held_table_(h);
    uint64_t mask = (1ull << alps_held_shift_(h)) - 1;
    table[at] = ALPS_HELD_GONE_;
    if (table[(at + 1) & mask] != ALPS_HELD_EMPTY_)
        return;
    while (table[at] == ALPS_HELD_GONE_) {
        table[at] = ALPS_HELD_EMPTY_;
        h->shared->held_used--;
        at = (at - 1) & mask;
    }
}

/* Starts empty, in the place made for it. */
ALPS_FN_ void alps_held_reset_(alps_handle *h)
{
    uint64_t *table = (uint64_t *)alps_address_(h, h->at.held);
    for (uint64_t i = 0; i < 1ull << ALPS_HELD_SHIFT; i++)
        table[i] = ALPS_HELD_EMPTY_;
    ALPS_BARRIER_(); // until here the other table is whole
    alps_store_(&h->shared->held, h->at.held | ALPS_HELD_SHIFT);
    h->shared->held_used = 0;
}

/* Goes on in the zeroed memory of 2^`shift` entries at `off`. The word that
 * names the table changes last: until then the old one is whole. */
ALPS_FN_ void alps_held_move_(alps_handle *h, alps_off off, unsigned shift)
{
    const uint64_t *from = alps_held_table_(h);
    uint64_t n = 1ull << alps_held_shift_(h);
    uint64_t *to = (uint64_t *)alps_address_(h, off);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t used = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (from[i] <= ALPS_HELD_GONE_)
            continue;
        uint64_t at = alps_held_hash_(from[i] & ~0xffffull, shift);
        while (to[at])
            at = (at + 1) & mask;
        to[at] = from[i];
        used++;
    }
    ALPS_BARRIER_();
    alps_store_(&h->shared->held, off | shift);
    h->shared->held_used = used;
}
