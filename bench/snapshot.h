/* snapshot.h -- what a copy of a file that is in use costs
 *
 * The file is that of sync.h. A copy is made durable, and is opened in the
 * end: it has all that was synced. */
#pragma once
#include "sync.h"

#define BENCH_COPIES 3u

static void bench_load_snapshot(const char *dir, const bench_scale *s)
{
    unsigned n = s->pages, k = n / 64, i;
    unsigned *page = (unsigned *)bench_memory(k * sizeof *page);
    double millis[BENCH_COPIES], store, sync;
    unsigned char *base;
    char to[4096];
    uint64_t dice = 1;
    peer p;
    snprintf(to, sizeof to, "%s/copy", dir);
    if (mkdir(to, 0700))
        bench_die("%s: %s", to, strerror(errno));
    base = peer_pages(&p, dir, n, 1);
    for (i = 0; i < BENCH_COPIES; i++) {
        bench_choose(page, k, n, &dice);
        bench_sync_once(&p, base, page, k, &store, &sync);
        millis[i] = peer_snapshot(&p, dir, to) * 1e3;
    }
    bench_report("snapshot", bench_median(millis, BENCH_COPIES));
    peer_pages_close(&p);
    base = peer_pages(&p, to, n, 0);
    if (bench_pages_sum(base, n) != (uint64_t)k * BENCH_COPIES)
        bench_die("the copy is not that of the file");
    peer_pages_close(&p);
}
