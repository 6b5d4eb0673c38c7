/* test_maps.c -- the maps of the benchmarks, as a program uses transactions
 *
 * A crit-bit tree, a B-tree and a hash table over transactions (bench/maps.h):
 * random insertions, replacements, look-ups and removals against a model, the
 * region closed and opened on the way. And what they cost: every change of
 * every map is two fences; a table that doubles is a transaction of its own. */
#include "check.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned fences;

static int observe(int event)
{
    if (event == 2) // ALPS_SAW_FENCE, which is not defined yet
        fences++;
    return 0;
}
#define ALPS_OBSERVE(event, p, n) ((void)(p), (void)(n), observe(event))

#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"

#include "../bench/store_alps.h"

#include "../bench/maps.h"

enum { KEYS = 400, ROUNDS = 6000 / SLOW };

static alps_heap heap;
static char name[64];

/* The model: key `i` of the map is `key[i]`, its value `value[i]`; 0: it is not
 * there. Some keys have only high bits, or only low ones, in common. */
static uint64_t key[KEYS], value[KEYS], dice;
static unsigned there;

static uint64_t key_of(unsigned i)
{
    return i % 3 == 0   ? i + 1
           : i % 3 == 1 ? (uint64_t)i << 54 | 77
                        : (i + 1) * 0x9e3779b97f4a7c15u;
}

static void region(store *s, unsigned flags)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = 16u << 20;
    o.flags = flags;
    CHECK_EQ(alps_open(&heap, name, &o), 0);
    s->heap = &heap;
    s->root = alps_root(&heap, 64);
}

/* An insertion or a replacement. Answers how many fences it has to cost. */
static unsigned put(const bench_map *m, store *s, unsigned i)
{
    const hashmap_root *root = (const hashmap_root *)s->root;
    int doubles = m == &bench_hashmap && root->count == root->chains;
    uint64_t was = root->chains;
    there += value[i] == 0;
    value[i] = bench_random(&dice) | 1;
    m->insert(s, key[i], value[i]);
    if (!doubles)
        return 2;
    // a table that is longer than what is summed is fenced before its record
    return 16 * was > ALPS_SUM_MAX ? 5 : 4;
}

static void take(const bench_map *m, store *s, unsigned i)
{
    CHECK_EQ(m->remove(s, key[i]), value[i] != 0);
    there -= value[i] != 0;
    value[i] = 0;
}

static void as_the_model(const bench_map *m, const store *s)
{
    unsigned bad = 0;
    CHECK_EQ(m->check(s), there);
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t got = 0;
        bad += m->find((store *)(uintptr_t)s, key[i], &got) != (value[i] != 0);
        bad += got != value[i];
    }
    CHECK_EQ(bad, 0);
}

static void begin(store *s)
{
    snprintf(name, sizeof name, "alps-test-maps-%ld", (long)getpid());
    memset(value, 0, sizeof value);
    there = 0;
    dice = 7;
    for (unsigned i = 0; i < KEYS; i++)
        key[i] = key_of(i);
    region(s, ALPS_CREATE | ALPS_EXCLUSIVE);
}

static void end(void)
{
    CHECK_EQ(alps_close(&heap), 0);
    CHECK_EQ(alps_remove(name), 0);
}

/* It fills, and empties, and fills again, to the last key. */
static void each_map_is_as_its_model(void)
{
    for (unsigned k = 0; k < 3; k++) {
        const bench_map *m = bench_maps[k];
        store s;
        begin(&s);
        for (unsigned n = 0; n < ROUNDS; n++) {
            unsigned i = bench_below(&dice, KEYS);
            if (bench_below(&dice, 100) < (n / (ROUNDS / 4) % 2 ? 30u : 70u))
                put(m, &s, i);
            else
                take(m, &s, i);
            if (n % 64 == 0)
                as_the_model(m, &s);
            if (n % (ROUNDS / 5) == 0) {
                CHECK_EQ(alps_close(&heap), 0);
                region(&s, 0);
                as_the_model(m, &s);
            }
        }
        for (unsigned i = 0; i < KEYS; i++)
            take(m, &s, i);
        as_the_model(m, &s);
        CHECK_EQ(store_objects(&s), 0);
        end();
    }
}

/* All changes of one run over the map; they cost what `exactly` says. What the
 * objects lie in, slabs and extents, is there when that has been done once, and
 * stays for as long as some objects do. */
static void change_all(const bench_map *m, store *s, int exactly)
{
    unsigned bad = 0;
    for (unsigned n = 0; n < 2 * KEYS; n++) { // insertions, replacements
        fences = 0;
        unsigned want = put(m, s, n * 7 % KEYS);
        bad += exactly && fences != want;
    }
    for (unsigned n = 0; n < KEYS; n++) {
        fences = 0;
        take(m, s, n * 11 % KEYS);
        bad += exactly && fences != 2;
    }
    CHECK_EQ(bad, 0);
}

static void each_change_costs_two_fences(void)
{
    static void *kept[1024];
    for (unsigned k = 0; k < 3; k++) {
        store s;
        begin(&s);
        unsigned n = 0; // slabs of each class, with room for all
        for (unsigned size = 32; size <= 512; size += 16)
            for (unsigned i = 0; i < 20; i++, n++)
                CHECK((kept[n] = alps_alloc(&heap, size)) != NULL);
        change_all(bench_maps[k], &s, 0);
        change_all(bench_maps[k], &s, 1);
        while (n--)
            CHECK_EQ(alps_free(&heap, kept[n]), 0);
        CHECK_EQ(store_objects(&s), 0);
        end();
    }
}

int main(void)
{
    RUN(each_map_is_as_its_model);
    RUN(each_change_costs_two_fences);
    return check_end("test_maps");
}
