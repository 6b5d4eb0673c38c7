/* chase.h -- what it costs to follow a pointer
 *
 * Objects of 64 bytes, allocated one by one, are made a ring in random order,
 * which is then walked: few of them, which the second-level cache holds, so
 * that the instructions count; and so many that memory is waited for. */
#pragma once
#include "harness.h"

#define BENCH_FEW 4096u       /* objects that a cache holds */
#define BENCH_MANY (1u << 20) /* and more than that */
#define BENCH_STEPS (1u << 22)

/* All objects, in random order. */
static inline void **bench_shuffled(peer *p, unsigned n)
{
    void **object = (void **)bench_memory(n * sizeof *object), *o;
    uint64_t dice = 1;
    unsigned i, j;
    for (i = 0; i < n; i++) {
        object[i] = peer_alloc(p, 64);
        if (!object[i])
            bench_die("no memory for a ring");
    }
    for (i = n - 1; i > 0; i--) {
        j = bench_below(&dice, i + 1);
        o = object[i], object[i] = object[j], object[j] = o;
    }
    return object;
}

/* The walk through pointers of `type`: nanoseconds of a step, the least of
 * several runs. `GET(p, at)` and `SET(p, at, to)` follow and set the pointer
 * that is at `at`. */
#define BENCH_CHASE(name, type, GET, SET)                              \
  static double bench_chase_##name(peer *p, void **object, unsigned n) \
  {                                                                    \
    double begin, took, best = 0;                                      \
    unsigned i, run;                                                   \
    type *at;                                                          \
    (void)p;                                                           \
    for (i = 0; i < n; i++) {                                          \
      at = (type *)object[i];                                          \
      SET(p, at, object[i + 1 < n ? i + 1 : 0]);                       \
    }                                                                  \
    for (run = 0; run < 7; run++) {                                    \
      begin = bench_clock(CLOCK_THREAD_CPUTIME_ID);                    \
      at = (type *)object[0];                                          \
      for (i = 0; i < BENCH_STEPS; i++)                                \
        at = (type *)GET(p, at);                                       \
      bench_keep(at);                                                  \
      took = bench_clock(CLOCK_THREAD_CPUTIME_ID) - begin;             \
      if (!run || took < best)                                         \
        best = took;                                                   \
    }                                                                  \
    return best / BENCH_STEPS * 1e9;                                   \
  }

typedef double bench_chase(peer *p, void **object, unsigned n);

/* Reports a walk through few and through many objects. */
static void bench_chase_both(peer *p, const char *name, bench_chase *walk)
{
    static const unsigned counts[] = {BENCH_FEW, BENCH_MANY};
    static const char *const suffix[] = {"few", "many"};
    char metric[64];
    unsigned i, j;
    for (i = 0; i < 2; i++) {
        void **object = bench_shuffled(p, counts[i]);
        snprintf(metric, sizeof metric, "%s_%s", name, suffix[i]);
        bench_report(metric, walk(p, object, counts[i]));
        for (j = 0; j < counts[i]; j++)
            peer_free(p, object[j]);
        munmap(object, counts[i] * sizeof *object);
    }
}

#define BENCH_RAW_GET(p, at) (*(at))
#define BENCH_RAW_SET(p, at, to) ((void)(*(at) = (to)))
