/* map.h -- what an operation on a durable map costs
 *
 * Keys drawn at random are inserted, looked up and removed, each time in
 * another order; a change is a transaction, durable before the next. After each
 * step all of the map is compared with what it should be, after the insertions
 * also when it was closed and opened again, and in the end nothing may be left. */
#pragma once
#include "maps.h"

typedef struct bench_map_run {
    const bench_map *map;
    const char *dir;
    uint64_t *key;
    unsigned n;
    uint64_t dice;
    double insert, find, remove; /* seconds */
} bench_map_run;

static void bench_map_insert(bench_map_run *r, store *s)
{
    double begin;
    unsigned i;
    bench_map_shuffle(r->key, r->n, &r->dice);
    begin = bench_clock(PEER_CLOCK);
    for (i = 0; i < r->n; i++)
        r->map->insert(s, r->key[i], bench_map_value(r->key[i]));
    r->insert = bench_clock(PEER_CLOCK) - begin;
}

static void bench_map_find(bench_map_run *r, store *s)
{
    uint64_t sum = 0, value = 0;
    double begin;
    unsigned i;
    bench_map_shuffle(r->key, r->n, &r->dice);
    begin = bench_clock(PEER_CLOCK);
    for (i = 0; i < r->n; i++)
        sum += (unsigned)r->map->find(s, r->key[i], &value) + value;
    r->find = bench_clock(PEER_CLOCK) - begin;
    for (i = 0; i < r->n; i++)
        sum -= 1 + bench_map_value(r->key[i]);
    if (sum)
        bench_die("%s has not found what it has", r->map->name);
}

/* In two halves, between which there are keys that are gone and keys that are
 * not. */
static void bench_map_remove(bench_map_run *r, store *s)
{
    double begin;
    unsigned i, half;
    bench_map_shuffle(r->key, r->n, &r->dice);
    r->remove = 0;
    for (half = 0; half < 2; half++) {
        unsigned from = half * (r->n / 2), to = half ? r->n : r->n / 2, n = 0;
        begin = bench_clock(PEER_CLOCK);
        for (i = from; i < to; i++)
            n += (unsigned)r->map->remove(s, r->key[i]);
        r->remove += bench_clock(PEER_CLOCK) - begin;
        if (n != to - from)
            bench_die("%s has not removed what it had", r->map->name);
        bench_map_verify(r->map, s, r->key, to, r->n);
    }
}

/* One map in a region of its own, twice: the first time touches the pages. */
static void bench_map_measure(bench_map_run *r)
{
    unsigned round;
    store s;
    peer p;
    peer_open(&p, r->dir, 64 * BENCH_MIB, 1);
    for (round = 0; round < 2; round++) {
        peer_store(&p, &s);
        bench_map_insert(r, &s);
        bench_map_verify(r->map, &s, r->key, 0, r->n);
        peer_close(&p);
        peer_open(&p, r->dir, 64 * BENCH_MIB, 0);
        peer_store(&p, &s);
        bench_map_verify(r->map, &s, r->key, 0, r->n);
        bench_map_find(r, &s);
        bench_map_remove(r, &s);
        if (store_objects(&s) != 0)
            bench_die("%s has left objects behind", r->map->name);
    }
    peer_close(&p);
}

static void bench_map_report(const bench_map_run *r, const char *what,
                             double seconds)
{
    char metric[64];
    snprintf(metric, sizeof metric, "map_%s_%s", r->map->name, what);
    bench_report(metric, seconds / r->n * 1e9);
}

static void bench_load_map(const char *dir, const bench_scale *s)
{
    bench_map_run r;
    unsigned i;
    memset(&r, 0, sizeof r);
    r.dir = dir;
    r.n = s->keys;
    r.dice = 1;
    r.key = (uint64_t *)bench_memory(r.n * sizeof *r.key);
    for (i = 0; i < r.n; i++)
        r.key[i] = bench_random(&r.dice); // no two are the same
    for (i = 0; i < sizeof bench_maps / sizeof *bench_maps; i++) {
        r.map = bench_maps[i];
        bench_map_measure(&r);
        bench_map_report(&r, "insert", r.insert);
        bench_map_report(&r, "find", r.find);
        bench_map_report(&r, "remove", r.remove);
    }
}
