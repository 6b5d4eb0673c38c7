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

#ifdef PEER_BATCHES
/* batch16: the same for sixteen objects in one transaction; an object's share.
 * They are released one by one, outside of the time. */
static void bench_load_batch(const char *dir, const bench_scale *s)
{
    double took = 0, begin;
    uint64_t n = 0;
    unsigned i, kind;
    peer p;
    for (kind = 0; kind < PEER_BATCHES; kind++) {
        peer_open(&p, dir, 64 * BENCH_MIB, 1);
        took = 0;
        n = 0;
        do {
            begin = bench_clock(PEER_CLOCK);
            for (i = 0; i < PEER_LINKS; i += 16)
                peer_batch(&p, kind, i, n);
            if (n++ != 0) // the first round touches the pages
                took += bench_clock(PEER_CLOCK) - begin;
            for (i = 0; i < PEER_LINKS; i++)
                peer_release(&p, i);
        } while (took < s->seconds);
        bench_report(kind ? "batch16_tx" : "batch16",
                     took / (double)((n - 1) * PEER_LINKS) * 1e9);
        peer_close(&p);
    }
}
#endif
