/* loads.h -- the workloads, and the `main` of every peer's program
 *
 * A peer's adapter defines, before it includes this, a type and four functions
 *
 *     typedef struct peer peer;
 *     void  peer_open(peer *p, const char *dir, size_t bytes, int fresh);
 *     void  peer_close(peer *p);
 *     void *peer_alloc(peer *p, size_t n);
 *     void  peer_free(peer *p, void *o);
 *
 * and, with PEER_LINKS, a durable array of PEER_LINKS list heads
 *
 *     void  peer_link(peer *p, unsigned i, uint64_t fill);
 *     void  peer_release(peer *p, unsigned i);
 *
 * measured with PEER_CLOCK (default: the time the thread had a processor).
 *
 * PEER_REOPENS says that what was allocated is still there after a close and
 * after a crash, PEER_ALLOCATES (the default, 1) that there is an allocator at
 * all. The functions are static, not a table of pointers: a peer is called the
 * way its own header lets a program call it, so a library call stays a library
 * call and a header is inlined as it is in a program. */
#pragma once
#include "harness.h"

#ifndef PEER_ALLOCATES
#  define PEER_ALLOCATES 1
#endif
#ifndef PEER_REOPENS
#  define PEER_REOPENS 0
#endif
#ifndef PEER_CLOCK
#  define PEER_CLOCK CLOCK_THREAD_CPUTIME_ID
#endif
#define BENCH_MIB ((size_t)1 << 20)

#if PEER_ALLOCATES

static inline void *bench_take(peer *p, size_t n)
{
    uint64_t *o = (uint64_t *)peer_alloc(p, n);
    if (!o)
        bench_die("an allocation of %zu bytes failed", n);
    *o = n;
    return o;
}

/* pair: allocate one object, store into it, free it. The size is a constant,
 * as in `malloc(sizeof *p)`. */
#  define BENCH_PAIRS(size)                             \
    static void bench_pairs_##size(peer *p, unsigned n) \
    {                                                   \
      while (n--) {                                     \
        void *o = bench_take(p, size);                  \
        bench_keep(o);                                  \
        peer_free(p, o);                                \
      }                                                 \
    }
BENCH_PAIRS(64)
BENCH_PAIRS(256)
BENCH_PAIRS(4096)

typedef struct bench_runner {
    peer *p;
    void (*pairs)(peer *p, unsigned n);
    double seconds;
    double nanoseconds; /* the answer: for one pair */
    pthread_barrier_t *start;
    clockid_t clock;
} bench_runner;

static void *bench_run_pairs(void *context)
{
    bench_runner *r = (bench_runner *)context;
    double begin, end;
    uint64_t n = 0;
    r->pairs(r->p, 2000);
    pthread_barrier_wait(r->start);
    begin = bench_clock(r->clock);
    do {
        r->pairs(r->p, 1000);
        n += 1000;
        end = bench_clock(r->clock);
    } while (end - begin < r->seconds);
    r->nanoseconds = (end - begin) / (double)n * 1e9;
    return NULL;
}

/* The mean over `threads` threads of what a pair takes each of them. */
static double bench_pair(peer *p, void (*pairs)(peer *, unsigned),
                         double seconds, unsigned threads)
{
    pthread_t thread[BENCH_THREADS];
    bench_runner runner[BENCH_THREADS];
    pthread_barrier_t start;
    clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    double sum = 0;
    unsigned i;
    pthread_barrier_init(&start, NULL, threads);
    for (i = 0; i < threads; i++) {
        bench_runner r = {p, pairs, seconds, 0, &start, clock};
        runner[i] = r;
        if (i > 0 &&
            pthread_create(&thread[i], NULL, bench_run_pairs, &runner[i]))
            bench_die("no thread");
    }
    bench_run_pairs(&runner[0]);
    for (i = 0; i < threads; i++) {
        if (i > 0)
            pthread_join(thread[i], NULL);
        sum += runner[i].nanoseconds;
    }
    pthread_barrier_destroy(&start);
    return sum / threads;
}

static void bench_load_pairs(const char *dir, const bench_scale *s)
{
    peer p;
    double t = s->pair_seconds;
    peer_open(&p, dir, 64 * BENCH_MIB, 1);
    bench_report("pair64", bench_pair(&p, bench_pairs_64, t, 1));
    bench_report("pair256", bench_pair(&p, bench_pairs_256, t, 1));
    bench_report("pair4k", bench_pair(&p, bench_pairs_4096, t, 1));
    bench_report("pair64_2", bench_pair(&p, bench_pairs_64, t, 2));
    bench_report("pair256_2", bench_pair(&p, bench_pairs_256, t, 2));
    bench_report("pair4k_2", bench_pair(&p, bench_pairs_4096, t, 2));
    peer_close(&p);
}

/* rand1m: a million objects of random size, freed in random order, twice: the
 * first time every page is new. */
static void bench_rand(peer *p, void **object, const uint16_t *size,
                       const unsigned *order, unsigned n, int warm)
{
    double begin = bench_worked(), middle, end;
    unsigned i;
    for (i = 0; i < n; i++)
        object[i] = bench_take(p, size[i]);
    middle = bench_worked();
    for (i = 0; i < n; i++)
        peer_free(p, object[order[i]]);
    end = bench_worked();
    bench_report(warm ? "rand1m_warm_alloc" : "rand1m_cold_alloc",
                 (middle - begin) / n * 1e9);
    bench_report(warm ? "rand1m_warm_free" : "rand1m_cold_free",
                 (end - middle) / n * 1e9);
}

static void bench_load_rand1m(const char *dir, const bench_scale *s)
{
    unsigned n = s->objects, i, j, other;
    void **object = (void **)bench_memory(n * sizeof *object);
    uint16_t *size = (uint16_t *)bench_memory(n * sizeof *size);
    unsigned *order = (unsigned *)bench_memory(n * sizeof *order);
    uint64_t dice = 1;
    peer p;
    for (i = 0; i < n; i++) {
        size[i] = (uint16_t)(16 + bench_below(&dice, 1009));
        j = bench_below(&dice, i + 1);
        other = order[j];
        order[j] = i;
        order[i] = i == j ? i : other;
    }
    peer_open(&p, dir, 64 * BENCH_MIB + (size_t)n * 1200, 1);
    bench_rand(&p, object, size, order, n, 0);
    bench_rand(&p, object, size, order, n, 1);
    peer_close(&p);
}

/* churn: random objects come and go while 70 % of 128 MiB is live; what is
 * compared is the memory that was resident at the peak with the bytes that
 * were asked for at the peak. Every byte is written, so that what an allocator
 * spreads its objects over is what is resident. */
static void bench_load_churn(const char *dir, const bench_scale *s)
{
    const uint64_t full = 128 * BENCH_MIB * 7 / 10;
    const unsigned most = (unsigned)(full / 16);
    void **object = (void **)bench_memory(most * sizeof *object);
    uint16_t *size = (uint16_t *)bench_memory(most * sizeof *size);
    uint64_t dice = 2, live = 0, peak = 0, i;
    double resident = bench_status("VmRSS"), begin, end;
    unsigned n = 0, k;
    peer p;
    peer_open(&p, dir, 320 * BENCH_MIB, 1);
    begin = bench_worked();
    for (i = 0; i < s->churn; i++) {
        unsigned want = 16 + bench_below(&dice, 4081);
        if (live + want <= full) {
            object[n] = bench_take(&p, want);
            memset(object[n], (int)i, want);
            size[n++] = (uint16_t)want;
            live += want;
            if (peak < live)
                peak = live;
        } else {
            k = bench_below(&dice, n);
            peer_free(&p, object[k]);
            live -= size[k];
            object[k] = object[--n];
            size[k] = size[n];
        }
    }
    end = bench_worked();
    bench_report("churn_ratio",
                 (bench_status("VmHWM") - resident) / (double)peak);
    bench_report("churn_time", (end - begin) / (double)s->churn * 1e9);
    peer_close(&p);
}

/* instructions: for callgrind, which collects inside these two functions
 * only. The figures include the call of them. */
__attribute__((noinline)) static void *bench_counted_alloc(peer *p)
{
    return peer_alloc(p, 64);
}

__attribute__((noinline)) static void bench_counted_free(peer *p, void *o)
{
    peer_free(p, o);
}

static void bench_load_instructions(const char *dir, const bench_scale *s)
{
    unsigned i;
    peer p;
    (void)s;
    peer_open(&p, dir, 64 * BENCH_MIB, 1);
    bench_pairs_64(&p, 1000);
    for (i = 0; i < 1000; i++) {
        void *o = bench_counted_alloc(&p);
        bench_keep(o);
        bench_counted_free(&p, o);
    }
    peer_close(&p);
}

#endif

#ifdef PEER_LINKS

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
    } while (link + release < s->link_seconds);
    n = (n - 1) * PEER_LINKS;
    bench_report("link", link / (double)n * 1e9);
    bench_report("release", release / (double)n * 1e9);
    bench_report("link_release", (link + release) / (double)n * 1e9);
    peer_close(&p);
}

#endif

#if PEER_REOPENS

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

#endif

/* usage: PROGRAM LOAD DIRECTORY [quick] */
int main(int argc, char **argv)
{
    const bench_scale *s = argc > 3 ? &bench_quick : &bench_full;
    if (argc < 3)
        bench_die("usage: %s LOAD DIRECTORY [quick]", argv[0]);
#if PEER_ALLOCATES
    if (strcmp(argv[1], "pairs") == 0)
        return bench_load_pairs(argv[2], s), 0;
    if (strcmp(argv[1], "rand1m") == 0)
        return bench_load_rand1m(argv[2], s), 0;
    if (strcmp(argv[1], "churn") == 0)
        return bench_load_churn(argv[2], s), 0;
    if (strcmp(argv[1], "instructions") == 0)
        return bench_load_instructions(argv[2], s), 0;
#endif
#ifdef PEER_LINKS
    if (strcmp(argv[1], "link") == 0)
        return bench_load_link(argv[2], s), 0;
#endif
#if PEER_REOPENS
    if (strcmp(argv[1], "open") == 0)
        return bench_load_open(argv[2], s), 0;
#endif
    return BENCH_NOT_OFFERED;
}
