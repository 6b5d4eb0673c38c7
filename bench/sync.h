/* sync.h -- what it costs to make dirty pages durable
 *
 * A peer has a file of many pages, all of them written, in memory. Some
 * pages all over it are changed, and made durable. */
#pragma once
#include "harness.h"

/* The first word of a page. */
static inline uint64_t *bench_page(unsigned char *base, size_t page)
{
    return (uint64_t *)(void *)(base + page * BENCH_PAGE);
}

/* Chooses `k` of `n` pages, in ascending order (Knuth's algorithm S). */
static void bench_choose(unsigned *page, unsigned k, unsigned n, uint64_t *dice)
{
    unsigned i, chosen = 0;
    for (i = 0; chosen < k; i++)
        if (bench_below(dice, n - i) < k - chosen)
            page[chosen++] = i;
}

/* Changes the pages, and makes them durable: the microseconds that takes, for
 * the stores a page, for the sync as a whole. */
static void bench_sync_once(peer *p, unsigned char *base, const unsigned *page,
                            unsigned k, double *store, double *sync)
{
    double begin = bench_now(), middle;
    unsigned i;
    for (i = 0; i < k; i++)
        ++*bench_page(base, page[i]);
    middle = bench_now();
    peer_sync_pages(p, page, k);
    *store = (middle - begin) / k * 1e6;
    *sync = (bench_now() - middle) * 1e6;
}

static uint64_t bench_pages_sum(unsigned char *base, unsigned n)
{
    uint64_t sum = 0;
    unsigned i;
    for (i = 0; i < n; i++)
        sum += *bench_page(base, i);
    return sum;
}

/* sync: 1, 16, 256 ... pages of the file, each several times. In the end the
 * file is opened again: all changes are in it. */
#define BENCH_SYNCS 25u

static void bench_load_sync(const char *dir, const bench_scale *s)
{
    unsigned n = s->pages, k, i;
    unsigned *page = (unsigned *)bench_memory(n * sizeof *page);
    double store[BENCH_SYNCS], sync[BENCH_SYNCS], sum;
    uint64_t dice = 1, changes = 0;
    char metric[32];
    unsigned char *base;
    peer p;
    base = peer_pages(&p, dir, n, 1);
    for (k = 1; k <= n / 4; k *= 16) {
        for (i = 0, sum = 0; i < 3 || (i < BENCH_SYNCS && sum < 1e6); i++) {
            bench_choose(page, k, n, &dice);
            bench_sync_once(&p, base, page, k, &store[i], &sync[i]);
            changes += k;
            sum += sync[i];
        }
        snprintf(metric, sizeof metric, "sync_%u", k);
        bench_report(metric, bench_median(sync, i));
        snprintf(metric, sizeof metric, "store_%u", k);
        bench_report(metric, bench_median(store, i));
    }
    peer_pages_close(&p);
    base = peer_pages(&p, dir, n, 0);
    if (bench_pages_sum(base, n) != changes)
        bench_die("what was synced is not in the file");
    peer_pages_close(&p);
}
