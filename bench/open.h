/* open.h -- how long a heap takes to be there again */
#pragma once
#include "own.h"

/* open: the time to the first allocation, after a clean close and after the
 * process before was killed at work. Each opening is a process of its own. */
typedef struct bench_opening {
    const char *dir;
    unsigned objects;
    int fresh;
    int crash;      /* how this process is to end */
    double *millis; /* shared with the parent */
} bench_opening;

static void bench_opened(void *context)
{
    const bench_opening *o = (const bench_opening *)context;
    size_t bytes = 64 * BENCH_MIB + (size_t)o->objects * 160;
    double begin = bench_now();
    unsigned i;
    peer p;
    peer_open(&p, o->dir, bytes, o->fresh);
    bench_keep(bench_take(&p, 64));
    *o->millis = (bench_now() - begin) * 1e3;
    if (o->fresh)
        for (i = 1; i < o->objects; i++)
            bench_keep(bench_take(&p, 64));
    for (i = 0; i < 500; i++) {
        void *kept = bench_take(&p, 64);
        peer_free(&p, bench_take(&p, 64));
        if (o->crash && i == 250)
            raise(SIGKILL);
        peer_free(&p, kept);
    }
    peer_close(&p);
}

static void bench_open_once(bench_opening *o)
{
    int status = bench_in_child(bench_opened, o);
    int fine = o->crash ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                        : WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!fine)
        bench_die("a child of `open` ended with status %#x", (unsigned)status);
}

static void bench_load_open(const char *dir, const bench_scale *s)
{
    double *millis = (double *)bench_shared(4096);
    double clean[16], crash[16];
    unsigned n, i;
    char metric[64], power = '4';
    for (n = 10000; n <= s->open_objects; n *= 10, power++) {
        bench_opening o = {dir, n, 1, 0, millis};
        bench_open_once(&o);
        o.fresh = 0;
        for (i = 0; i < s->opens; i++) {
            o.crash = 1;
            bench_open_once(&o);
            clean[i] = *millis;
            o.crash = 0;
            bench_open_once(&o);
            crash[i] = *millis;
        }
        snprintf(metric, sizeof metric, "open_clean_%c", power);
        bench_report(metric, bench_median(clean, s->opens));
        snprintf(metric, sizeof metric, "open_crash_%c", power);
        bench_report(metric, bench_median(crash, s->opens));
    }
}
