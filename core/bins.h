/* bins.h -- which free list a size belongs to
 *
 * Two indices: the power of two below the size, and which of its 32 equal
 * slices the size falls in (Masmano, Ripoll, Crespo, Real: TLSF, ECRTS 2004).
 * Sizes are counts of units, granules or extents. Pure arithmetic: no memory
 * is touched here. */
#pragma once
#include "layout.h"

typedef struct alps_bin {
    unsigned row, column;
} alps_bin;

/* The bin in which a run of `units` is kept. */
ALPS_CORE_ alps_bin alps_bin_of_(uint64_t units)
{
    alps_bin bin;
    if (units < ALPS_COLUMNS) {
        bin.row = 0;
        bin.column = (unsigned)units;
    } else {
        unsigned high = 63u - (unsigned)__builtin_clzll(units);
        bin.row = high - 4;
        bin.column = (unsigned)(units >> (high - 5)) % ALPS_COLUMNS;
    }
    return bin;
}

/* `units` rounded up to where a bin begins: any run of that bin is enough. */
ALPS_CORE_ uint64_t alps_bin_ceiling_(uint64_t units)
{
    if (units < ALPS_COLUMNS)
        return units;
    unsigned high = 63u - (unsigned)__builtin_clzll(units);
    return units + ((1ull << (high - 5)) - 1);
}

/* Whether runs of `a` and of `b` units belong to one bin. */
ALPS_CORE_ int alps_bin_same_(uint64_t a, uint64_t b)
{
    if (a < ALPS_COLUMNS)
        return a == b;
    unsigned slice = 58u - (unsigned)__builtin_clzll(a);
    return a >> slice == b >> slice;
}
