/* test_tlsf.c -- bins, and zones against a naive model
 *
 * The model is one byte a unit: who has it. What the index answers must fit it,
 * and the index must hold exactly the free runs. */
#include "model.h"

/* ---- bins */

/* The shortest and the longest run of a bin, as the text of bins.h has it. */
static uint64_t bin_first(alps_bin b)
{
    return b.row == 0 ? b.column : (32ull + b.column) << (b.row - 1);
}

static uint64_t bin_last(alps_bin b)
{
    return b.row == 0 ? b.column : ((33ull + b.column) << (b.row - 1)) - 1;
}

static void look_at_size(uint64_t units)
{
    alps_bin b = alps_bin_of_(units);
    CHECK(b.column < ALPS_COLUMNS);
    CHECK(bin_first(b) <= units && units <= bin_last(b));
    uint64_t up = alps_bin_ceiling_(units);
    alps_bin c = alps_bin_of_(up);
    CHECK(up >= units);
    CHECK(bin_first(c) >= units); // any run in it is long enough
    CHECK(bin_first(c) <= up);
    CHECK(alps_bin_same_(units, bin_first(b)));
    CHECK(alps_bin_same_(units, bin_last(b)));
    CHECK(!alps_bin_same_(units, bin_last(b) + 1));
    CHECK(alps_bin_same_(bin_first(b), units));
    if (bin_first(b) > 1)
        CHECK(!alps_bin_same_(bin_first(b) - 1, units));
}

static void every_size_lies_in_its_bin(void)
{
    for (uint64_t units = 1; units < 70000; units++)
        look_at_size(units);
    for (unsigned bit = 5; bit < 28; bit++)
        for (int d = -40; d <= 40; d++)
            if ((1ll << bit) + d > 0)
                look_at_size((uint64_t)((1ll << bit) + d));
}

static void bins_follow_each_other(void)
{
    uint64_t next = 1;
    for (unsigned row = 0; row < ALPS_ROWS; row++)
        for (unsigned column = row == 0; column < ALPS_COLUMNS; column++) {
            alps_bin b = {row, column};
            CHECK_EQ(bin_first(b), next);
            next = bin_last(b) + 1;
        }
    // the most granules an extent has, and the most extents a region has
    CHECK(alps_bin_of_(1ull << (ALPS_EXTENT_SHIFT_MAX - 6)).row < ALPS_ROWS);
    CHECK(alps_bin_of_(ALPS_EXTENTS_MAX).row < ALPS_ROWS);
}

/* ---- zones */

#define UNITS_MAX 1024u

static any_heap heap;
static alps_zone zone;
static unsigned char taken[UNITS_MAX]; // 0: free, 1: goes on, 2: starts
static unsigned units;                 // of the zone

/* A heap with one extent of small blocks, whose zone is worked on directly. */
static void begin(uint64_t extent)
{
    alps_options o = small(24576 + 8 * extent, extent);
    o.small = 1; // all blocks
    o.processes = 1;
    choose(&alps_backend_anon_, &alps_policy_none_);
    CHECK_EQ(any_open(&heap, NULL, &o), 0);
    void *p = any_alloc(&heap, 1);
    CHECK(p != NULL && !any_free(&heap, p));
    uint64_t e = (any_off_of(&heap, p) - heap.core.at.heap) / extent;
    zone = alps_zone_extent_(&heap.core, e);
    units = (unsigned)zone.end;
    CHECK(units <= UNITS_MAX);
    memset(taken, 0, sizeof taken);
}

static void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
}

/* The longest run of free units; where it begins through `at`. */
static unsigned longest(unsigned *at)
{
    unsigned best = 0, n = 0;
    for (unsigned i = (unsigned)zone.first; i < units; i++) {
        n = taken[i] ? 0 : n + 1;
        if (n > best) {
            best = n;
            *at = i + 1 - n;
        }
    }
    return best;
}

/* Codes and model say the same. */
static int agree(void)
{
    unsigned char before = 2;
    for (unsigned i = (unsigned)zone.first; i < units; i++) {
        unsigned code = alps_code_(zone.codes, i);
        int starts = !taken[i] && (i == zone.first || before);
        unsigned want = taken[i] == 2 ? ALPS_USED
                        : starts      ? ALPS_FREE
                                      : ALPS_INSIDE;
        if (code != want)
            return 0;
        before = taken[i];
    }
    return 1;
}

/* Looks for `n` units, and carves them where the index says. */
static int carve(unsigned n, uint64_t align, uint64_t *block)
{
    unsigned extra = align > 64 ? (unsigned)(align / 64) - 1 : 0;
    alps_off run =
        alps_index_find_(&heap.core, zone.index, n + extra, ALPS_GRANULE_SHIFT);
    if (!run)
        return ALPS_EFULL;
    return alps_zone_carve_(&heap.core, &zone, alps_zone_unit_(&zone, run), n,
                            align, ALPS_USED, block);
}

static void take(unsigned n, uint64_t align)
{
    unsigned at = 0, most = longest(&at);
    uint64_t block = 0;
    int err = carve(n, align, &block);
    if (err == ALPS_EFULL) {
        // 64 looks into the mixed bin find a run wherever there is one
        CHECK(most < n + (align > 64 ? align / 64 - 1 : 0));
        return;
    }
    CHECK_EQ(err, 0);
    CHECK(block >= zone.first && block + n <= units);
    CHECK_EQ(alps_zone_off_(&zone, block) % align, 0);
    for (unsigned i = 0; i < n && block + i < units; i++) {
        CHECK_EQ(taken[block + i], 0);
        taken[block + i] = i ? 1 : 2;
    }
}

static unsigned length_at(unsigned unit)
{
    unsigned n = 1;
    while (unit + n < units && taken[unit + n] == 1)
        n++;
    return n;
}

static void give(unsigned unit)
{
    unsigned n = length_at(unit);
    CHECK_EQ(alps_zone_units_(&zone, unit), n);
    CHECK_EQ(alps_zone_give_(&heap.core, &zone, unit, n), 0);
    memset(taken + unit, 0, n);
}

static void give_some(void)
{
    unsigned from = (unsigned)throw_of(units);
    for (unsigned i = 0; i < units; i++)
        if (taken[(from + i) % units] == 2) {
            give((from + i) % units);
            return;
        }
}

static void give_all(void)
{
    for (unsigned i = 0; i < units; i++)
        if (taken[i] == 2)
            give(i);
}

static void churn(uint64_t extent, unsigned rounds, unsigned most)
{
    begin(extent);
    for (unsigned i = 0; i < rounds / SLOW && !check_bad_; i++) {
        if (throw_of(5) < 3)
            take(1 + (unsigned)throw_of(throw_of(8) ? 6 : most),
                 throw_of(4) ? 1 : 64ull << throw_of(5));
        else
            give_some();
        CHECK(agree());
        CHECK(sound(&heap));
    }
    give_all();
    CHECK(agree());
    CHECK_EQ(alps_run_(&zone, zone.first)->units, units - zone.first);
    CHECK(sound(&heap));
    end();
}

static void random_blocks_agree_with_the_model(void)
{
    churn(4096, 8000, 40);
    churn(16384, 8000, 100);
    churn(65536, 8000, 200);
}

/* Every order of freeing three neighbours, with free memory or a block on
 * either side. */
static void freed_neighbours_merge(void)
{
    static const unsigned order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned length = 1; length < 80; length += length < 4 ? 1 : 37)
        for (unsigned o = 0; o < 6; o++)
            for (unsigned sides = 0; sides < 4; sides++) {
                uint64_t block[5];
                begin(65536);
                for (unsigned i = 0; i < 5; i++) {
                    CHECK_EQ(carve(length, 1, &block[i]), 0);
                    memset(taken + block[i], 1, length);
                    taken[block[i]] = 2;
                }
                if (sides & 1)
                    give((unsigned)block[0]);
                if (sides & 2)
                    give((unsigned)block[4]);
                for (unsigned i = 0; i < 3; i++) {
                    give((unsigned)block[1 + order[o][i]]);
                    CHECK(agree());
                    CHECK(sound(&heap));
                }
                give_all();
                CHECK_EQ(alps_run_(&zone, zone.first)->units,
                         units - zone.first);
                end();
            }
}

/* A block is carved from the end of its run, so that taking it is one code. */
static void a_block_comes_from_the_tail(void)
{
    uint64_t block = 0, last = 0;
    begin(16384);
    last = units;
    for (unsigned i = 1; i < 15; i++) {
        CHECK_EQ(carve(i, 1, &block), 0);
        CHECK_EQ(block, last - i);
        last = block;
    }
    CHECK_EQ(carve((unsigned)(last - zone.first), 1, &block), 0);
    CHECK_EQ(block, zone.first); // all of the run
    CHECK_EQ(carve(1, 1, &block), ALPS_EFULL);
    CHECK(sound(&heap));
    end();
}

/* Whatever is stored into free memory, a carve gives out free units only. */
static void a_spoilt_index_gives_nothing_wrong(void)
{
    for (unsigned round = 0; round < 4000 / SLOW && !check_bad_; round++) {
        begin(4096);
        for (unsigned i = 0; i < 12; i++)
            take(1 + (unsigned)throw_of(6), 1);
        for (unsigned i = 0; i < 6; i++)
            give_some();
        for (unsigned spoils = 0; spoils < 4; spoils++) {
            unsigned unit =
                (unsigned)(zone.first + throw_of(units - zone.first));
            if (taken[unit])
                continue;
            uint64_t *word =
                (uint64_t *)(void *)(zone.base + alps_zone_off_(&zone, unit));
            uint64_t junk[] = {0,
                               1,
                               ~0ull,
                               4096,
                               alps_zone_off_(&zone, throw_of(units)),
                               heap.core.at.heap + 64 * throw_of(600),
                               throw_of(100)};
            word[throw_of(2) ? throw_of(3) : 7] = junk[throw_of(7)];
        }
        for (unsigned i = 0; i < 10; i++) {
            uint64_t block = 0;
            unsigned n = 1 + (unsigned)throw_of(6);
            alps_off run =
                alps_index_find_(&heap.core, zone.index, n, ALPS_GRANULE_SHIFT);
            if (run < alps_zone_off_(&zone, zone.first) ||
                run >= alps_zone_off_(&zone, units) || run % 64)
                continue; // alps_take_ looks at this
            if (alps_zone_carve_(&heap.core, &zone, alps_zone_unit_(&zone, run),
                                 n, 1, ALPS_USED, &block))
                break; // found out
            for (unsigned k = 0; k < n; k++) {
                CHECK(block + k < units && !taken[block + k]);
                if (block + k < units)
                    taken[block + k] = k ? 1 : 2;
            }
        }
        (void)any_check(&heap, NULL);
        end();
    }
}

/* A rebuild reads off the codes what is in the index of one that lived. */
static void a_rebuild_finds_every_free_run(void)
{
    for (unsigned round = 0; round < 200 / SLOW && !check_bad_; round++) {
        begin(round % 2 ? 4096 : 65536);
        for (unsigned i = 0; i < 200; i++) {
            if (throw_of(3))
                take(1 + (unsigned)throw_of(10), 1);
            else
                give_some();
        }
        alps_index_reset_(heap.core.shards);
        // what a crash may leave: free runs that are not yet one
        for (unsigned i = (unsigned)zone.first + 1; i < units; i++)
            if (!taken[i] && !taken[i - 1] && throw_of(3) == 0)
                alps_code_set_(zone.codes, i,
                               throw_of(2) ? ALPS_FREE : ALPS_HELD);
        CHECK(sound(&heap)); // it is not looked at before it is built
        alps_block b = {zone, heap.core.shards, zone.first, ALPS_LEVEL_GRANULE};
        alps_block_build_(&heap.core, &b);
        CHECK(agree());
        CHECK(sound(&heap));
        take(1 + (unsigned)throw_of(10), 1);
        CHECK(agree());
        give_all();
        CHECK_EQ(alps_run_(&zone, zone.first)->units, units - zone.first);
        end();
    }
}

int main(void)
{
    RUN(every_size_lies_in_its_bin);
    RUN(bins_follow_each_other);
    RUN(random_blocks_agree_with_the_model);
    RUN(freed_neighbours_merge);
    RUN(a_block_comes_from_the_tail);
    RUN(a_spoilt_index_gives_nothing_wrong);
    RUN(a_rebuild_finds_every_free_run);
    return check_end("tlsf");
}
