/* exercise.c -- a recovered region is worked with
 *
 * Fills it to the last granule: whatever the heap gives out must not be part
 * of a live block, and what is neither live nor given out in the end has been
 * lost. Then everything goes back, and a publish and a release must work. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define CELLS (SIM_BYTES / 16) /* of the smallest object */

static unsigned char taken[CELLS];
static uint64_t blocks[CELLS];
static unsigned count;

static int take(uint64_t off, uint64_t n)
{
    if (off % 16 || !n || off + n > SIM_BYTES)
        return 0;
    for (uint64_t i = off / 16; i < (off + n + 15) / 16; i++)
        if (taken[i]++)
            return 0;
    return 1;
}

static const char *fill(unsigned h)
{
    static const unsigned sizes[] = {4096, 1984, 960, 384, 192, 128, 112,
                                     96,   80,   64,  48,  32,  16};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (;;) {
            uint64_t off = unit_alloc(h, sizes[i], 16);
            if (!off)
                break;
            if (!take(off, unit_usable(h, off)))
                return "after recovery, a block is given out twice";
            blocks[count++] = off;
        }
    return NULL;
}

/* Of `n` bytes, for which there is room: what is free of a slab is so for its
 * class. */
static const char *publish_and_release(unsigned h, uint64_t n)
{
    unsigned slot = SIM_ROOTS - 1;
    uint64_t off = unit_reserve(h, n);
    if (!off)
        return "after recovery, what was freed cannot be reserved";
    unit_fill(h, off, n, 1);
    if (unit_publish(h, slot, off) || unit_release(h, slot))
        return "after recovery, publish or release fails";
    return NULL;
}

/* NULL, or what went wrong with the region of handle `h`, which holds `v` and
 * what handle 1 has reserved, should it have survived. */
const char *exercise(unsigned h, const struct sim_view *v)
{
    memset(taken, 0, sizeof taken);
    count = 0;
    for (unsigned i = 0; i < v->n; i++)
        if (!take(v->block[i].off, v->block[i].n))
            return "two live blocks overlap";
    for (unsigned i = 0; i < v->own_n; i++)
        if (!take(v->own[i].off, v->own[i].n))
            return "what names are made of is not theirs alone";
    uint64_t held = 0;
    for (unsigned i = 0; sim_survivor && i < sim_oracle.held_n; i++) {
        if (sim_oracle.held[i].id != 1)
            continue;
        if (!take(sim_oracle.held[i].off, sim_oracle.held[i].n))
            return "a living process lost its reservation";
        held += unit_usable(h, sim_oracle.held[i].off);
    }
    const char *wrong = fill(h);
    if (!wrong && unit_left(h) != held)
        wrong = "after recovery, free memory is lost";
    uint64_t n = count ? unit_usable(h, blocks[0]) : 0;
    for (unsigned i = 0; !wrong && i < count; i++)
        if (unit_free(h, blocks[i]))
            wrong = "after recovery, free fails";
    if (!wrong && count)
        wrong = publish_and_release(h, n);
    for (unsigned i = 0; !wrong && v->own_n && i < SIM_NAMES; i++) {
        int err = v->name[i] ? 1 : unit_construct(h, i, 8);
        if (err > 0 ? unit_destroy(h, i) && v->name[i]
                    : err || unit_destroy(h, i))
            wrong = "after recovery, names cannot be made or destroyed";
    }
    if (!wrong && unit_check(h))
        wrong = "after recovery and work, alps_check complains";
    return wrong;
}
