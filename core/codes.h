/* codes.h -- the truth about blocks: two bits a unit
 *
 * A map of codes says where blocks and free runs start; there are no headers,
 * so a block that overflows cannot reach it. 32 codes share a word. Stores
 * are made under the lock of the region; loads may be made without it. */
#pragma once
#include "bits.h"
#include "layout.h"

#define ALPS_STARTS_ 0x5555555555555555ull

ALPS_FAST_ unsigned alps_code_(const uint64_t *codes, uint64_t unit)
{
    return (unsigned)(alps_load_(&codes[unit / 32]) >> (unit % 32 * 2)) & 3u;
}

ALPS_FAST_ void alps_code_set_(uint64_t *codes, uint64_t unit, unsigned code)
{
    uint64_t *word = &codes[unit / 32];
    unsigned shift = (unsigned)(unit % 32 * 2);
    alps_store_(word, (alps_load_(word) & ~(3ull << shift)) | (uint64_t)code
                                                                  << shift);
}

/* One bit for each start in the word that holds `unit`. */
ALPS_FAST_ uint64_t alps_code_starts_(const uint64_t *codes, uint64_t unit)
{
    uint64_t word = alps_load_(&codes[unit / 32]);
    return (word | word >> 1) & ALPS_STARTS_;
}

/* The first start in [unit, end), or `end`. */
ALPS_FAST_ uint64_t alps_code_next_(const uint64_t *codes, uint64_t unit,
                                    uint64_t end)
{
    if (unit >= end)
        return end;
    uint64_t starts = alps_code_starts_(codes, unit) >> (unit % 32 * 2)
                                                            << (unit % 32 * 2);
    while (!starts) {
        unit = (unit / 32 + 1) * 32;
        if (unit >= end)
            return end;
        starts = alps_code_starts_(codes, unit);
    }
    unit = unit / 32 * 32 + alps_low_bit_(starts) / 2;
    return unit < end ? unit : end;
}

/* The last start before `unit`, looked for in one word, that of the unit
 * before; or `unit` where there is none so near. */
ALPS_FAST_ uint64_t alps_code_near_(const uint64_t *codes, uint64_t unit)
{
    uint64_t last = unit - 1;
    uint64_t below = ~0ull >> (62 - last % 32 * 2);
    uint64_t starts = alps_code_starts_(codes, last) & below;
    return starts ? last / 32 * 32 + alps_high_bit_(starts) / 2 : unit;
}

/* Whether no unit of [from, to) is a start. */
ALPS_FAST_ int alps_code_inside_(const uint64_t *codes, uint64_t from,
                                 uint64_t to)
{
    return alps_code_next_(codes, from, to) == to;
}

/* Makes all of [from, to) the inside of what starts before it. */
ALPS_FAST_ void alps_code_clear_(uint64_t *codes, uint64_t from, uint64_t to)
{
    for (from = alps_code_next_(codes, from, to); from < to;
         from = alps_code_next_(codes, from, to))
        alps_code_set_(codes, from, ALPS_INSIDE);
}
