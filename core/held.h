/* held.h -- who holds which reservation
 *
 * A reserved block has the code ALPS_HELD and, in the table of its shard, its
 * owner: an open hash of words {place / 64, slot}. Each change is one store, so
 * that the death of a process leaves a table that can be read. It is index:
 * nothing is flushed, and a new epoch starts with an empty one, which is how a
 * crash gives every reservation back. When the table fills up it moves into a
 * larger block of the heap, itself held. Runs under the lock of the shard. */
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

ALPS_FN_ alps_off alps_held_place_(const alps_shard *s)
{
    return alps_load_(&s->held) & ~63ull;
}

/* The place made for the first table of a shard. */
ALPS_FN_ alps_off alps_held_first_(const alps_handle *h, const alps_shard *s)
{
    return h->at.held +
           (alps_off)(s - h->shards) * (sizeof(uint64_t) << ALPS_HELD_SHIFT);
}

ALPS_FN_ unsigned alps_held_shift_(const alps_shard *s)
{
    return (unsigned)(s->held & 63);
}

ALPS_FN_ uint64_t *alps_held_table_(const alps_handle *h, const alps_shard *s)
{
    return (uint64_t *)alps_address_(h, alps_held_place_(s));
}

ALPS_FN_ uint64_t alps_held_hash_(uint64_t key, unsigned shift)
{
    return (key >> 16) * 0x9e3779b97f4a7c15ull >> (64 - shift);
}

/* The place of `off` in the table, or ALPS_HELD_NONE_. */
ALPS_FN_ uint64_t alps_held_find_(const alps_handle *h, const alps_shard *s,
                                  alps_off off)
{
    const uint64_t *table = alps_held_table_(h, s);
    unsigned shift = alps_held_shift_(s);
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
ALPS_FN_ int alps_held_slot_(const alps_handle *h, const alps_shard *s,
                             alps_off off)
{
    uint64_t at = alps_held_find_(h, s, off);
    return at == ALPS_HELD_NONE_ ? -1
                                 : (int)(alps_held_table_(h, s)[at] & 0xffff);
}

/* Whether the table has room for one more. */
ALPS_FN_ int alps_held_room_(const alps_shard *s)
{
    return s->held_used < 1ull << (alps_held_shift_(s) - 1);
}

/* Whether it has none to spare, and must not have one more. */
ALPS_FN_ int alps_held_full_(const alps_shard *s)
{
    return s->held_used >= 3ull << (alps_held_shift_(s) - 2);
}

/* Enters `off`, which is not there, for `slot`; the table is not full. */
ALPS_FN_ void alps_held_add_(const alps_handle *h, alps_shard *s, alps_off off,
                             unsigned slot)
{
    uint64_t *table = alps_held_table_(h, s);
    unsigned shift = alps_held_shift_(s);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t key = alps_held_key_(off);
    uint64_t at = alps_held_hash_(key, shift);
    while (table[at] > ALPS_HELD_GONE_)
        at = (at + 1) & mask;
    if (table[at] == ALPS_HELD_EMPTY_)
        s->held_used++;
    table[at] = key | slot;
}

/* Where the place behind `at` is empty, entries that are gone lead nowhere. */
ALPS_FN_ void alps_held_clear_(alps_shard *s, uint64_t *table, uint64_t mask,
                               uint64_t at)
{
    if (table[(at + 1) & mask] != ALPS_HELD_EMPTY_)
        return;
    while (table[at] == ALPS_HELD_GONE_) {
        table[at] = ALPS_HELD_EMPTY_;
        s->held_used--;
        at = (at - 1) & mask;
    }
}

/* Takes out the entry at `at`, and with it what would lead searches on to
 * nothing. */
ALPS_FN_ void alps_held_drop_(const alps_handle *h, alps_shard *s, uint64_t at)
{
    uint64_t *table = alps_held_table_(h, s);
    uint64_t mask = (1ull << alps_held_shift_(s)) - 1;
    table[at] = ALPS_HELD_GONE_;
    alps_held_clear_(s, table, mask, at);
}

/* Starts empty, in the place made for it. */
ALPS_FN_ void alps_held_reset_(const alps_handle *h, alps_shard *s)
{
    alps_off first = alps_held_first_(h, s);
    uint64_t *table = (uint64_t *)alps_address_(h, first);
    for (uint64_t i = 0; i < 1ull << ALPS_HELD_SHIFT; i++)
        table[i] = ALPS_HELD_EMPTY_;
    ALPS_BARRIER_(); // until here the other table is whole
    alps_store_(&s->held, first | ALPS_HELD_SHIFT);
    s->held_used = 0;
}

/* Goes on in the zeroed memory of 2^`shift` entries at `off`. The word that
 * names the table changes last: until then the old one is whole. */
ALPS_FN_ void alps_held_move_(const alps_handle *h, alps_shard *s, alps_off off,
                              unsigned shift)
{
    const uint64_t *from = alps_held_table_(h, s);
    uint64_t n = 1ull << alps_held_shift_(s);
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
    alps_store_(&s->held, off | shift);
    s->held_used = used;
}
