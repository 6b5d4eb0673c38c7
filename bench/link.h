/* link.h -- what a durable object costs */
#pragma once
#include "harness.h"

#ifndef PEER_CLOCK
#  define PEER_CLOCK CLOCK_THREAD_CPUTIME_ID
#endif

/* link: allocate, fill and make reachable, durably; then unlink and free,
 * durably. */
static void bench_load_link(const char *dir, const bench_scale *s)
{
    double link = 0, release = 0, begin, middle, end;
    uint64_t n = 0;
    unsigned i;
    peer p;
    peer_open(&p, dir, 64 * BENCH_MIB, 1);
    do {
        begin = bench_clock(PEER_CLOCK);
        for (i = 0; i < PEER_LINKS; i++)
            peer_link(&p, i, n);
        middle = bench_clock(PEER_CLOCK);
        for (i = 0; i < PEER_LINKS; i++)
            peer_release(&p, i);
        end = bench_clock(PEER_CLOCK);
        if (n++ == 0)
            continue; // the first round touches the pages
        link += middle - begin;
        release += end - middle;
    } while (link + release < s->seconds);
    n = (n - 1) * PEER_LINKS;
    bench_report("link", link / (double)n * 1e9);
    bench_report("release", release / (double)n * 1e9);
    bench_report("link_release", (link + release) / (double)n * 1e9);
    peer_close(&p);
}
