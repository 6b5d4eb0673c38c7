/* passed.h -- loads whose workers free what others allocated
 *
 * An object goes through a pipe by a name that both sides know: its address
 * among threads, its offset among processes. */
#pragma once
#include "own.h"

static inline void bench_send(const bench_worker *w, bench_pipe *pipe,
                              uint64_t at, void *o)
{
    pipe->name[at % BENCH_PLACES] =
        w->apart ? peer_name(w->p, o) : (uint64_t)(uintptr_t)o;
}

static inline void *bench_receive(const bench_worker *w, const bench_pipe *pipe,
                                  uint64_t at)
{
    uint64_t name = pipe->name[at % BENCH_PLACES];
    return w->apart ? peer_at(w->p, name) : (void *)(uintptr_t)name;
}

static inline void bench_wait(unsigned *round)
{
    if (++*round % 16 == 0)
        sched_yield();
}

static inline uint64_t bench_see(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void bench_say(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* xfree: one worker only allocates, the other only frees, a batch at a time.
 * The time is that of the slower one. */
#define BENCH_BATCH 256u

static void bench_send_batch(bench_worker *w, bench_pipe *pipe)
{
    uint64_t at = pipe->sent;
    unsigned i, round = 0;
    while (at + BENCH_BATCH - bench_see(&pipe->taken) > BENCH_PLACES)
        bench_wait(&round);
    for (i = 0; i < BENCH_BATCH; i++)
        bench_send(w, pipe, at + i, bench_take(w->p, 64));
    bench_say(&pipe->sent, at + BENCH_BATCH);
}

static int bench_free_batch(bench_worker *w, bench_pipe *pipe)
{
    uint64_t at = pipe->taken;
    unsigned i, round = 0;
    while (bench_see(&pipe->sent) == at) {
        if (bench_see(&pipe->closed) && bench_see(&pipe->sent) == at)
            return 0;
        bench_wait(&round);
    }
    for (i = 0; i < BENCH_BATCH; i++)
        peer_free(w->p, bench_receive(w, pipe, at + i));
    bench_say(&pipe->taken, at + BENCH_BATCH);
    return 1;
}

static void bench_work_xfree(bench_worker *w)
{
    bench_pipe *pipe = &w->hall->pipe[0];
    bench_start(w);
    if (w->number == 0) {
        do {
            bench_send_batch(w, pipe);
        } while (bench_goes_on(w, BENCH_BATCH));
        bench_say(&pipe->closed, 1);
    } else {
        while (bench_free_batch(w, pipe))
            bench_goes_on(w, BENCH_BATCH);
    }
}

/* prodcon: everybody produces for the next one and consumes what the one
 * before produced, object by object, of random size; the consumer looks
 * whether it got what was sent. A worker alone is its own consumer. */
#define BENCH_STOCK 512u /* objects in a pipe to begin with */
#define BENCH_TURN 32u
#define BENCH_TURNS 256u /* between two looks at the clock */

typedef struct bench_trader {
    bench_worker *w;
    bench_pipe *out, *in;
    const uint16_t *size;
} bench_trader;

/* Produces `n` objects, or less if there is no room. */
static unsigned bench_produce(bench_trader *t, unsigned n)
{
    uint64_t at = t->out->sent;
    uint64_t room = 2 * BENCH_STOCK - (at - bench_see(&t->out->taken));
    unsigned i;
    if (n > room)
        n = (unsigned)room;
    for (i = 0; i < n; i++, at++) {
        bench_send(t->w, t->out, at,
                   bench_take(t->w->p, t->size[at % BENCH_SIZES]));
        bench_say(&t->out->sent, at + 1);
    }
    return n;
}

/* Consumes `n` objects, or less if there are no more. */
static unsigned bench_consume(bench_trader *t, unsigned n)
{
    uint64_t at = t->in->taken;
    uint64_t there = bench_see(&t->in->sent) - at;
    unsigned i;
    if (n > there)
        n = (unsigned)there;
    for (i = 0; i < n; i++, at++) {
        uint64_t *o = (uint64_t *)bench_receive(t->w, t->in, at);
        if (*o < 16 || *o >= 2048)
            bench_die("an object of prodcon does not hold its size");
        peer_free(t->w->p, o);
        bench_say(&t->in->taken, at + 1);
    }
    return n;
}

/* Some turns of producing and consuming; answers how many were consumed. */
static unsigned bench_trade(bench_trader *t)
{
    unsigned i, n, sum = 0, round = 0;
    for (i = 0; i < BENCH_TURNS; i++) {
        bench_produce(t, BENCH_TURN);
        sum += n = bench_consume(t, BENCH_TURN);
        if (n == 0)
            bench_wait(&round);
    }
    return sum;
}

static void bench_work_prodcon(bench_worker *w)
{
    bench_hall *h = w->hall;
    bench_trader t = {w, &h->pipe[w->number], &h->pipe[(w->number + 1) % w->of],
                      bench_sizes(w, bench_draw_skewed)};
    unsigned round = 0;
    bench_produce(&t, BENCH_STOCK);
    bench_start(w);
    while (bench_goes_on(w, bench_trade(&t)))
        ;
    bench_say(&t.out->closed, 1);
    while (bench_consume(&t, BENCH_TURN) || !bench_see(&t.in->closed) ||
           bench_see(&t.in->sent) != t.in->taken)
        bench_wait(&round);
}
