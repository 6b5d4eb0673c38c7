/* weave.c -- threads at the same time
 *
 * Threads are coroutines: one runs until it comes to a point and another is
 * chosen. Points are its atomic accesses, write-backs and fences, and where it
 * waits or ends. Who goes on is settled: who runs goes on running, and the next
 * one where that waits or has ended. A schedule is the list of its turns, places
 * where it is otherwise, and the same list runs the same way again. All
 * schedules of up to so many turns are walked (Emmi, Qadeer, Rakamaric:
 * Delay-Bounded Scheduling, POPL 2011). A thread that could go on is stopped
 * only where it is about to touch what another touches as well, and one of them
 * writes: elsewhere the others would see the same. Longer programs take their
 * turns by seed.
 *
 * A turn can also be the end of a process: what thread 1 was at, it never ends.
 */
#include "weave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK (512u * 1024u)
#define TURNS 8u
#define POINTS 200000u /* of a run: more, and nobody comes to an end */
#define WORDS 65536u   /* places, by hash */

/* Another thread goes on: `to`, at point number `at`. */
struct turn {
    uint32_t at;
    uint8_t to, dies; /* who ran until then does so no more */
};

/* What a point was like. */
struct point {
    uint8_t who;   /* ran */
    uint8_t ready; /* may go on: a bit each */
    uint8_t free;  /* it waits or has ended: another goes on in any case */
    uint16_t word; /* what it is about to touch, by hash; 0: nothing */
};

static const struct weave *program;
static ucontext_t outside, contexts[SIM_THREADS];
static unsigned char stacks[SIM_THREADS][STACK] __attribute__((aligned(64)));
static unsigned ready; /* threads that have not ended, a bit each */
static unsigned waits[SIM_THREADS]; /* in a row */
static int running;                 /* points count */
static unsigned first;              /* who begins */
static struct turn turns[TURNS];    /* of the schedule */
static unsigned turns_n, taken;     /* how many, and taken so far */
static unsigned by_seed; /* one point in so many is a turn; 0: none */
static struct point points[POINTS]; /* of the run */
static uint32_t points_n;           /* so far */
static unsigned char
    touched[WORDS]; /* who read (1, 2, 4), who wrote (8, ...) */

unsigned long weave_runs, weave_longest;

/* ---- the scheduler ---- */

/* Who goes on where nobody says: the next one, before one that waits. */
static unsigned next_after(unsigned who)
{
    for (unsigned i = 1; i <= SIM_THREADS; i++)
        if (ready >> (who + i) % SIM_THREADS & 1)
            return (who + i) % SIM_THREADS;
    return who;
}

static void go_to(unsigned to)
{
    unsigned from = sim_thread;
    if (to == from)
        return;
    sim_world_latch(sim_here);
    sim_thread = to;
    if (swapcontext(&contexts[from], &contexts[to]))
        abort();
}

static void die(void)
{
    ready &= ~(1u << sim_thread);
    program->killed(sim_thread);
}

/* One point: notes it, and takes the turn that is due. `free`: the thread
 * cannot go on, or should not. */
static void at_point(unsigned word, int free)
{
    unsigned who = sim_thread, to = who;
    struct point *p = &points[points_n++];
    if (points_n == POINTS)
        sim_fault("nobody comes to an end");
    *p = (struct point){(uint8_t)who, (uint8_t)ready, (uint8_t)free,
                        (uint16_t)word};
    if (taken < turns_n && turns[taken].at == points_n) {
        to = turns[taken].to;
        if (turns[taken++].dies)
            die();
    } else if (free) {
        to = next_after(who);
    } else if (by_seed && sim_random() % by_seed == 0) {
        to = next_after((unsigned)(sim_random() % SIM_THREADS));
        if (program->dies && who == 1 && to != who && sim_random() % 32 == 0)
            die();
    }
    go_to(to);
}

static unsigned hash(const void *p)
{
    uintptr_t word = (uintptr_t)p / 8;
    return 1 + (unsigned)((word ^ word >> 16) % (WORDS - 1));
}

/* The unit is about to touch `p`, atomically. While it waits, what it reads
 * leads nowhere. */
void sim_point(const void *p, int writes)
{
    if (!running || sim_depth)
        return;
    unsigned word = hash(p);
    touched[word] |= (unsigned char)(1u << sim_thread << (writes ? 3 : 0));
    if (waits[sim_thread] && !writes)
        return;
    waits[sim_thread] = 0;
    at_point(word, 0);
}

/* It is about to write back, or to fence. */
void sim_point_of_all(void)
{
    if (running && !sim_depth)
        at_point(0, 0);
}

/* It waits for another. */
void sim_waits(void)
{
    if (!running || sim_depth)
        return;
    waits[sim_thread]++;
    at_point(0, 1);
}

/* ---- a run ---- */

static void thread_main(void)
{
    unsigned self = sim_thread;
    program->run(self);
    ready &= ~(1u << self);
    if (ready)
        at_point(0, 1);
    running = 0;
    setcontext(&outside);
}

/* Runs the program once, by the turns that are set. */
static void run(void)
{
    program->begin();
    for (unsigned i = 0; i < SIM_THREADS; i++) {
        waits[i] = 0;
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = STACK;
        contexts[i].uc_link = NULL;
        makecontext(&contexts[i], thread_main, 0);
    }
    ready = program->threads;
    points_n = taken = 0;
    sim_thread = first;
    running = 1;
    if (swapcontext(&outside, &contexts[first]))
        abort();
    weave_runs++;
    if (points_n > weave_longest)
        weave_longest = points_n;
    sim_thread = 0;
    program->end();
}

/* ---- schedules ---- */

/* Whether it matters who comes first at what a point is about to touch. */
static int matters(const struct point *p)
{
    unsigned mask = touched[p->word];
    unsigned writes = mask >> 3, all = (mask | writes) & 7;
    return p->free || (writes && (all & (all - 1)));
}

static void walk(unsigned more, int deaths);

/* The last run again, but with one turn more, at point `at`. */
static void walk_turn(unsigned more, int deaths, uint32_t at, unsigned to,
                      int dies)
{
    unsigned depth = turns_n;
    turns[turns_n++] = (struct turn){at, (uint8_t)to, (uint8_t)dies};
    walk(more - 1, deaths && !dies);
    turns_n = depth;
}

/* The schedule that is set, and all with up to `more` turns after those of it.
 * `deaths`: one of these may be the death of thread 1. */
static void walk(unsigned more, int deaths)
{
    run();
    if (taken != turns_n)
        sim_fault("a schedule does not run the same way again");
    if (!more)
        return;
    uint32_t n = points_n;
    struct point *p = malloc(n * sizeof *p);
    if (!p)
        abort();
    memcpy(p, points, n * sizeof *p);
    for (uint32_t at = turns_n ? turns[turns_n - 1].at + 1 : 1; at <= n; at++)
        for (unsigned to = 0; to < SIM_THREADS; to++) {
            const struct point *here = &p[at - 1];
            if (to == here->who || !(here->ready >> to & 1))
                continue;
            if (matters(here))
                walk_turn(more, deaths, at, to, 0);
            if (deaths && here->who == 1 && here->ready & 2)
                walk_turn(more, deaths, at, to, 1);
        }
    free(p);
}

/* All schedules of up to `max` turns, whoever begins. */
void weave_all(const struct weave *p, unsigned max)
{
    program = p;
    by_seed = turns_n = 0;
    memset(touched, 0, sizeof touched);
    for (first = 0; first < SIM_THREADS; first++)
        if (p->threads >> first & 1) {
            run(); // tells what they touch
            walk(max, p->dies);
        }
}

/* One schedule, by seed: a turn at one point in `among`. */
void weave_seed(const struct weave *p, unsigned among)
{
    program = p;
    by_seed = among;
    turns_n = 0;
    do
        first = (unsigned)(sim_random() % SIM_THREADS);
    while (!(p->threads >> first & 1));
    run();
    by_seed = 0;
}

/* The schedule, for who reads a failure. */
void weave_text(char *text, size_t n)
{
    for (unsigned i = 0; running && i < turns_n && n > 1; i++) {
        const struct turn *t = &turns[i];
        int said =
            snprintf(text, n, "%s%u%s at %u", i ? ", " : " // turns: ", t->to,
                     t->dies ? " (1 is killed)" : "", t->at);
        if (said < 0 || (size_t)said >= n)
            return;
        text += said;
        n -= (size_t)said;
    }
}
