/* tlsf.h -- the index of free runs: two-level segregated fit
 *
 * Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for
 * real-time systems", ECRTS 2004. A zone is a map of codes with an index over
 * its free runs: the granules of one heap extent (all heap extents of a shard
 * share an index), or the extents of the region (which have their own).
 *
 * The index is a hint and the codes are the truth. Links lie in free memory,
 * where a stray store of the program may reach them, so whatever is read there
 * is checked against the codes before it is followed; ALPS_ECORRUPT means that
 * the index cannot be trusted and has to be built anew, and that nothing was
 * given out wrongly. Blocks are carved from the tail of a run, so that taking
 * one is a single code. All of this runs under the lock of its shard. */
#pragma once
#include "bins.h"
#include "codes.h"
#include "handle.h"

typedef struct alps_zone {
    unsigned char *base; /* address of the region */
    uint64_t *codes;
    alps_index *index;
    alps_off origin;     /* place of unit 0 */
    uint64_t first, end; /* units that blocks may take: [first, end) */
    unsigned shift;      /* log2 of the bytes of a unit */
} alps_zone;

/* Which of the two kinds of zone. */
enum { ALPS_LEVEL_GRANULE = 0, ALPS_LEVEL_EXTENT = 1 };

ALPS_FN_ alps_extent *alps_extent_(const alps_handle *h, uint64_t extent)
{
    return (alps_extent *)alps_address_(h, h->at.heap +
                                               (extent << h->at.extent_shift));
}

/* The shard that heap extent `extent` names; see alps_shard_has_. */
ALPS_FAST_ alps_shard *alps_shard_named_(const alps_handle *h, uint64_t extent)
{
    uint64_t built = alps_load_(&alps_extent_(h, extent)->built);
    return &h->shards[built & (h->at.shard_count - 1)];
}

/* The zone of heap extent `extent`. */
ALPS_FAST_ alps_zone alps_zone_extent_(const alps_handle *h, uint64_t extent)
{
    alps_zone z;
    z.base = h->map.base;
    z.origin = h->at.heap + (extent << h->at.extent_shift);
    z.codes = (uint64_t *)(void *)(z.base + z.origin + sizeof(alps_extent));
    z.index = &alps_shard_named_(h, extent)->index;
    z.first = h->at.first;
    z.end = h->at.granules;
    z.shift = ALPS_GRANULE_SHIFT;
    return z;
}

/* The zone of all extents. */
ALPS_FAST_ alps_zone alps_zone_top_(const alps_handle *h)
{
    alps_zone z;
    z.base = h->map.base;
    z.origin = h->at.heap;
    z.codes = h->codes;
    z.index = &h->top->index;
    z.first = 0;
    z.end = alps_extents_(h);
    z.shift = h->at.extent_shift;
    return z;
}

ALPS_FAST_ alps_off alps_zone_off_(const alps_zone *z, uint64_t unit)
{
    return z->origin + (unit << z->shift);
}

ALPS_FAST_ uint64_t alps_zone_unit_(const alps_zone *z, alps_off off)
{
    return (off - z->origin) >> z->shift;
}

/* Units of the block or run that starts at `unit`. */
ALPS_FAST_ uint64_t alps_zone_units_(const alps_zone *z, uint64_t unit)
{
    return alps_code_next_(z->codes, unit + 1, z->end) - unit;
}

/* The head of the free run at `unit`. */
ALPS_FAST_ alps_run *alps_run_(const alps_zone *z, uint64_t unit)
{
    return (alps_run *)(void *)(z->base + alps_zone_off_(z, unit));
}

/* The word in a run's last bytes that names its head. */
ALPS_FAST_ alps_off *alps_run_foot_(const alps_zone *z, uint64_t end)
{
    return (alps_off *)(void *)(z->base + alps_zone_off_(z, end)) - 1;
}

/* Reads what may be the foot of a run, or the program's own memory, which a
 * thread writes meanwhile: then what is read is not believed anyway. */
__attribute__((no_sanitize_thread)) ALPS_FN_ alps_off
alps_run_peek_(const alps_off *foot)
{
    return *(const volatile alps_off *)foot;
}

/* Writes how long the free run at `unit` is. */
ALPS_FAST_ void alps_run_size_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    alps_run_(z, unit)->units = units;
    *alps_run_foot_(z, unit + units) = alps_zone_off_(z, unit);
}

/* Whether a free run of so many units starts at `unit`, as far as both ends
 * tell. */
ALPS_FAST_ int alps_run_valid_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    return unit >= z->first && unit < z->end && units &&
           units <= z->end - unit && alps_code_(z->codes, unit) == ALPS_FREE &&
           (unit + units == z->end || alps_code_(z->codes, unit + units)) &&
           alps_run_peek_(alps_run_foot_(z, unit + units)) ==
               alps_zone_off_(z, unit);
}

/* Whether `off` can be the head of a run in the region: 0, or a unit. */
ALPS_FAST_ int alps_run_place_(const alps_handle *h, const alps_zone *z,
                               alps_off off)
{
    return off == 0 || (off >= h->at.heap && off < alps_size_(h) &&
                        off % (1ull << z->shift) == 0);
}

/* Puts the free run at `unit` into its bin. */
ALPS_FAST_ void alps_run_insert_(const alps_zone *z, uint64_t unit,
                                 uint64_t units)
{
    alps_index *x = z->index;
    alps_bin bin = alps_bin_of_(units);
    alps_off *head = &x->head[bin.row][bin.column];
    alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    run->next = *head;
    run->previous = 0;
    alps_run_size_(z, unit, units);
    if (*head)
        ((alps_run *)(void *)(z->base + *head))->previous = off;
    *head = off;
    x->columns[bin.row] |= 1u << bin.column;
    x->rows |= 1ull << bin.row;
}

/* Takes the free run at `unit` out of its bin. */
ALPS_FAST_ int alps_run_unlink_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit)
{
    alps_index *x = z->index;
    alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    if (!run->units || run->units > z->end - unit)
        return ALPS_ECORRUPT;
    alps_bin bin = alps_bin_of_(run->units);
    alps_off *head = &x->head[bin.row][bin.column];
    if (!alps_run_place_(h, z, run->next) ||
        !alps_run_place_(h, z, run->previous))
        return ALPS_ECORRUPT;
    alps_run *next =
        run->next ? (alps_run *)(void *)(z->base + run->next) : NULL;
    alps_off *back =
        run->previous ? &((alps_run *)(void *)(z->base + run->previous))->next
                      : head;
    if (*back != off || (next && next->previous != off))
        return ALPS_ECORRUPT;
    *back = run->next;
    if (next)
        next->previous = run->previous;
    if (!*head) {
        x->columns[bin.row] &= ~(1u << bin.column);
        if (!x->columns[bin.row])
            x->rows &= ~(1ull << bin.row);
    }
    return ALPS_OK;
}

/* Gives the indexed run at `unit` another length, `to` units; it may start
 * elsewhere in the bins after it. */
ALPS_FAST_ int alps_run_resize_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit, uint64_t to)
{
    uint64_t units = alps_run_(z, unit)->units;
    if (alps_bin_same_(units, to)) {
        alps_run_size_(z, unit, to);
        return ALPS_OK;
    }
    int err = alps_run_unlink_(h, z, unit);
    if (!err)
        alps_run_insert_(z, unit, to);
    return err;
}

/* The head of a run of at least `units`, or 0. Two bit searches; where they
 * find nothing, the bin in which longer and shorter runs are mixed is looked
 * through for a while, so that the last long run is not overlooked. */
ALPS_FAST_ alps_off alps_index_find_(const alps_handle *h, const alps_index *x,
                                     uint64_t units, unsigned shift)
{
    alps_bin bin = alps_bin_of_(alps_bin_ceiling_(units));
    if (bin.row >= ALPS_ROWS)
        return 0;
    uint32_t columns = x->columns[bin.row] & ~0u << bin.column;
    if (ALPS_UNLIKELY_(!columns)) {
        uint64_t rows = x->rows & ~1ull << bin.row;
        if (rows && alps_low_bit_(rows) < ALPS_ROWS) {
            bin.row = alps_low_bit_(rows);
            columns = x->columns[bin.row];
        }
    }
    if (ALPS_LIKELY_(columns))
        return x->head[bin.row][alps_low_bit_(columns)];
    bin = alps_bin_of_(units);
    alps_off off = x->head[bin.row][bin.column];
    for (int looks = 0; off && looks < 64; looks++) {
        if (off < h->at.heap || off >= alps_size_(h) ||
            off % (1ull << shift) != 0)
            return off; // the caller finds out what is wrong with it
        const alps_run *run = (const alps_run *)alps_address_(h, off);
        if (run->units >= units)
            return off;
        off = run->next;
    }
    return 0;
}

/* Carves `units` out of the free run at `unit`, as near to its end as `align`
 * (bytes, a power of two) lets them lie, and gives them `code`. Answers the
 * block's first unit through `block`. */
ALPS_FAST_ int alps_zone_carve_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit, uint64_t units, uint64_t align,
                                unsigned code, uint64_t *block)
{
    uint64_t have = alps_run_(z, unit)->units;
    if (alps_code_(z->codes, unit) != ALPS_FREE || have < units ||
        have > z->end - unit ||
        alps_run_peek_(alps_run_foot_(z, unit + have)) !=
            alps_zone_off_(z, unit))
        return ALPS_ECORRUPT;
    uint64_t end = unit + have;
    uint64_t at = end - units;
    if (align >> z->shift > 1) {
        alps_off off = alps_zone_off_(z, at) & ~(align - 1);
        if (off < alps_zone_off_(z, unit))
            return ALPS_EFULL;
        at = alps_zone_unit_(z, off);
    }
    if (alps_code_next_(z->codes, at + (at == unit), z->end) != end)
        return ALPS_ECORRUPT;
    int err = at == unit ? alps_run_unlink_(h, z, unit)
                         : alps_run_resize_(h, z, unit, at - unit);
    if (err)
        return err;
    if (ALPS_UNLIKELY_(have == z->end - z->first) &&
        z->shift == ALPS_GRANULE_SHIFT)
        alps_idle_turn_(h, z->index, -1);
    if (at + units < end) {
        alps_code_set_(z->codes, at + units, ALPS_FREE);
        alps_run_insert_(z, at + units, end - at - units);
    }
    alps_code_set_(z->codes, at, code);
    *block = at;
    return ALPS_OK;
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ int alps_zone_cut_(const alps_handle *h, const alps_zone *z,
                              uint64_t unit, uint64_t units, uint64_t align,
                              unsigned code, uint64_t *block)
{
    return alps_zone_carve_(h, z, unit, units, align, code, block);
}

/* The start of the free run that ends just before `unit`, or `unit`. The codes
 * tell when the start is near; else the last word of a free run does, believed
 * only when the run it names is free and ends here. */
ALPS_FAST_ uint64_t alps_zone_before_(const alps_zone *z, uint64_t unit)
{
    if (unit == z->first)
        return unit;
    uint64_t near = alps_code_near_(z->codes, unit);
    if (near != unit)
        return alps_code_(z->codes, near) == ALPS_FREE ? near : unit;
    alps_off off = alps_run_peek_(alps_run_foot_(z, unit));
    if (off < alps_zone_off_(z, z->first) || off >= alps_zone_off_(z, unit) ||
        (off - z->origin) % (1ull << z->shift))
        return unit;
    uint64_t start = alps_zone_unit_(z, off);
    if (alps_code_(z->codes, start) != ALPS_FREE ||
        alps_run_(z, start)->units != unit - start)
        return unit;
    return start;
}

/* Makes the `units` at `unit`, whose code is not ALPS_FREE, a free run or part
 * of one: it merges with the runs beside it. On ALPS_ECORRUPT the codes are
 * right all the same. */
ALPS_FAST_ int alps_zone_give_(const alps_handle *h, const alps_zone *z,
                               uint64_t unit, uint64_t units)
{
    uint64_t next = unit + units;
    uint64_t start = alps_zone_before_(z, unit);
    int err = ALPS_OK;
    if (next < z->end && alps_code_(z->codes, next) == ALPS_FREE) {
        uint64_t more = alps_run_(z, next)->units;
        if (!alps_run_valid_(z, next, more) || alps_run_unlink_(h, z, next))
            err = ALPS_ECORRUPT;
        else
            units += more;
    }
    if (start != unit && alps_run_(z, start)->units != unit - start)
        err = ALPS_ECORRUPT;
    if (!err && start != unit)
        err = alps_run_resize_(h, z, start, unit - start + units);
    if (err) {
        alps_code_set_(z->codes, unit, ALPS_FREE);
        return err;
    }
    if (ALPS_UNLIKELY_(unit + units - start == z->end - z->first) &&
        z->shift == ALPS_GRANULE_SHIFT)
        alps_idle_turn_(h, z->index, 1);
    if (next != unit + units)
        alps_code_set_(z->codes, next, ALPS_INSIDE);
    if (start != unit) {
        alps_code_set_(z->codes, unit, ALPS_INSIDE);
    } else {
        alps_code_set_(z->codes, unit, ALPS_FREE);
        alps_run_insert_(z, unit, units);
    }
    return ALPS_OK;
}
