/* calls.h -- single calls, for callgrind
 *
 * Callgrind collects inside the functions bench_counted_* only; counts.sh
 * divides by BENCH_CALLS. The figures include the call of them. */
#pragma once
#include "own.h"

#define BENCH_CALLS 10000u /* counts.sh knows it */

/* The comment in the assembly keeps the compiler from making one function of
 * two that are alike. */
#define BENCH_COUNTED_ALLOC(name)                                             \
  __attribute__((noinline)) static void *bench_counted_##name(bench_calls *c) \
  {                                                                           \
    __asm__ volatile("# " #name);                                             \
    return peer_alloc(c->p, 64);                                              \
  }
#define BENCH_COUNTED_FREE(name)                                             \
  __attribute__((noinline)) static void bench_counted_##name(bench_calls *c, \
                                                             void *o)        \
  {                                                                          \
    __asm__ volatile("# " #name);                                            \
    peer_free(c->p, o);                                                      \
  }

typedef struct bench_calls {
    peer *p;
    void *object[BENCH_CALLS];
} bench_calls;

BENCH_COUNTED_ALLOC(alloc) // what was freed last is taken again
BENCH_COUNTED_FREE(free)
BENCH_COUNTED_ALLOC(row_alloc) // with all that is left for later
BENCH_COUNTED_FREE(row_free)
BENCH_COUNTED_FREE(far_free) // what another thread allocated

static void *bench_free_of_another(void *context)
{
    bench_calls *c = (bench_calls *)context;
    unsigned i;
    for (i = 0; i < BENCH_CALLS; i++)
        bench_counted_far_free(c, c->object[i]);
    return NULL;
}

static void bench_calls_in_a_row(bench_calls *c)
{
    unsigned i;
    for (i = 0; i < BENCH_CALLS; i++) {
        c->object[i] = bench_counted_row_alloc(c);
        bench_keep(c->object[i]);
    }
    for (i = 0; i < BENCH_CALLS; i++)
        bench_counted_row_free(c, c->object[i]);
}

static void bench_calls_far(bench_calls *c)
{
    pthread_t thread;
    unsigned i;
    for (i = 0; i < BENCH_CALLS; i++)
        c->object[i] = bench_take(c->p, 64);
    if (pthread_create(&thread, NULL, bench_free_of_another, c))
        bench_die("no thread");
    pthread_join(thread, NULL);
}

static void bench_load_instructions(const char *dir, const bench_scale *s)
{
    bench_calls *c = (bench_calls *)bench_memory(sizeof *c);
    unsigned i;
    peer p;
    (void)s;
    peer_open(&p, dir, 64 * BENCH_MIB, 1);
    c->p = &p;
    bench_pairs_64(&p, 1000);
    for (i = 0; i < BENCH_CALLS; i++) {
        void *o = bench_counted_alloc(c);
        bench_keep(o);
        bench_counted_free(c, o);
    }
    bench_calls_in_a_row(c);
    bench_calls_far(c);
    peer_close(&p);
}
