/* woven.c -- what threads do at the same time
 *
 * Thread 0 and, where there are lanes for it, thread 2 are of the process of
 * handle 0, thread 1 is the process of handle 1. Crash images are made on the
 * way and when all have ended; the oracle knows of every call that is under way.
 * Then those that live close, or one of them takes all memory there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"
#include "programs.h"
#include "weave.h"

static struct node *from;             /* where all begins */
static const char *before;            /* what was done until there */
static const char *text[SIM_THREADS]; /* what each is to do */
static int slots_apart;               /* each has its own in the root area */
static unsigned gone; /* handles that are not open any more, a bit each */

void woven_left(unsigned h)
{
    gone |= 1u << h;
}

static void go_back(void)
{
    programs_back_to(from);
    gone = 0;
}

/* What a thread does, up to the next `|` or the end. */
static void run(unsigned self)
{
    const char *names = text[self];
    while (*names && *names != '|') {
        size_t n = strcspn(names, ";|"), end = n;
        while (end && names[end - 1] == ' ')
            end--;
        struct op op = *op_named(names, end);
        char name[24];
        op.h = self == 1;
        if (slots_apart)
            op.slot += 2 * self;
        if (!strncmp(op.name, "tx ", 3))
            op.run = op_tx_together;
        snprintf(name, sizeof name, "%u: %.19s", self, op.name);
        op_note(name);
        op.run(&op);
        names += n;
        names += strspn(names, "; ");
    }
}

/* Its process is killed, and its lease goes with it. */
static void killed(unsigned who)
{
    void *mine;
    size_t n;
    unsigned h = who == 1;
    unit_handle(h, &mine, &n);
    for (unsigned i = 0; i < SIM_LEASES; i++)
        if ((uintptr_t)sim_here->lease[i] - (uintptr_t)mine < n)
            sim_here->lease[i] = NULL;
    for (unsigned i = sim_oracle.held_n; i-- > 0;)
        if (sim_oracle.held[i].id == h)
            op_unhold(i);
    sim_oracle.call[who].dead = 1;
    sim_oracle.tx[who].dead = 1;
    if (sim_oracle.tx[who].state == SIM_TX_OPEN)
        sim_oracle.tx[who].state = SIM_TX_NONE;
    woven_left(h);
    op_note("KILLED");
}

/* Those that live close. */
static void close_all(void)
{
    for (unsigned h = 0; h < 2; h++) {
        sim_thread = h;
        if (!(gone >> h & 1))
            op_must(unit_close(h), "close");
    }
    sim_crash("all have closed");
}

/* One of those that live takes all there is. */
static void work_on(unsigned h)
{
    static struct sim_view now;
    now.n = sim_oracle.n;
    memcpy(now.block, sim_oracle.live, now.n * sizeof *now.block);
    sim_here->tracked = 0;
    sim_thread = h;
    const char *wrong = exercise(h, &now);
    if (wrong)
        sim_fault("%s, among the living", wrong);
}

/* Whether they keep nothing back: until their next fence, or for readers. */
static int all_is_free(void)
{
    return sim_model == SIM_KILL && !gone && !strstr(before, "retire") &&
           !strstr(text[0] ? text[0] : text[1], "retire");
}

static void look(void)
{
    unsigned events = sim_limits.events;
    const char *unseen = sim_world_unseen(sim_here);
    if (unseen)
        sim_fault("%s", unseen);
    sim_limits.events = 1;
    sim_crash("all have ended");
    if (!all_is_free() || weave_runs % 3 == 0)
        close_all();
    else
        work_on((unsigned)(weave_runs % 3) - 1);
    sim_limits.events = events;
}

static struct weave woven = {0, 0, go_back, run, killed, look};

/* `done` has been done; of `names` each thread does its part, with '|' between;
 * '-' is no thread. */
static void begin(const char *done, const char *names, unsigned lanes)
{
    from = programs_nodes(1);
    before = done;
    unit_lanes = lanes;
    programs_begin(28 * 1024 + 2 * 4096);
    programs_open_quietly();
    op_script(done);
    for (sim_thread = 0; sim_thread < SIM_THREADS; sim_thread++)
        sim_saw_locked(); // it is handed to the threads as op_run does
    sim_thread = 0;
    programs_keep(from);
    woven.threads = 0;
    for (unsigned i = 0; i < SIM_THREADS; i++) {
        text[i] = names && *names != '-' ? names : NULL;
        woven.threads |= (unsigned)(text[i] != NULL) << i;
        names = names ? strchr(names, '|') : NULL;
        names = names ? names + 1 + strspn(names + 1, " ") : NULL;
    }
}

static void end(void)
{
    unit_lanes = 3;
    free(from);
}

/* ---- programs ---- */

/* All objects of a slab of 64 bytes but one. */
#define FIVE(op) op "; " op "; " op "; " op "; " op
#define SLAB_BUT_1 FIVE("alloc 64") "; " FIVE("alloc 64") "; " FIVE("alloc 64")
#define SLAB_BUT_1_BY_B \
  FIVE("alloc 64 by B") \
  "; " FIVE("alloc 64 by B") "; " FIVE("alloc 64 by B")

/* What is there before, what the threads do, and how many lanes there are: with
 * three of them thread 2 has none of its own. */
static const struct program {
    const char *before, *threads;
    unsigned lanes;
    int dies; /* thread 1 may */
} programs[] = {
    {"", "alloc 100 | alloc 100", 3, 1},
    {"", "alloc 100 | - | alloc 100", 4, 0},
    {"", "alloc 100 | - | alloc 100", 3, 0},
    {"", "alloc 200 | alloc 200", 3, 1},
    {"alloc 64; alloc 64", "free | free", 3, 1},
    {"alloc 64; alloc 64", "free; alloc 64 | free", 3, 1},
    {"alloc 64; alloc 64", "free; alloc 64 | - | free; alloc 64", 4, 0},
    {"alloc 200; alloc 200; alloc 200", "free; alloc 200 | free", 3, 1},
    {"alloc 1900; alloc 1900; alloc 100", "free | free | free", 4, 1},
    {"", "publish 64 to 0 | publish 64 to 1 by B", 3, 1},
    {"", "publish 64 to 0 | - | publish 200 to 1", 3, 0},
    {"publish 64 to 0; publish 64 to 1 by B", "release 0 | release 1", 3, 1},
    {"publish 64 to 0; alloc 64", "publish 200 to 1 | release 0", 3, 1},
    {"publish 64 to 0; alloc 64", "free; alloc 64 | release 0; alloc 64", 3, 1},
    {"publish 200 to 1", "alloc 200 | release 1; publish 200 to 1", 3, 1},
    {"", "alloc 3000 | alloc 100", 3, 1},
    {"alloc 3000; alloc 100", "free; alloc 200 | free; alloc 3000", 3, 1},
    {"alloc 64; alloc 64", "retire | retire; alloc 64", 3, 1},
    {"alloc 200; alloc 200", "retire; alloc 200 | retire", 3, 1},
    {"", "reserve, cancel | reserve, cancel", 3, 1},
    {"alloc 64; alloc 200", "free; reap | free; free", 3, 1},
    {"publish 64 to 0; alloc 200", "alloc 64; reap | release 0; free", 3, 1},
    {"", "grow; alloc 100 | alloc 3000", 3, 1},
    {"grow; alloc 1900; alloc 1900; alloc 1900; free; free; free",
     "reap; alloc 200 | alloc 5000", 3, 1},
    {"alloc 64; alloc 64; alloc 64", "- | free | free", 4, 0},
    {"alloc 64; alloc 64; alloc 64", "free | free | free", 4, 1},
    {SLAB_BUT_1, "alloc 64; alloc 64 | free", 3, 1},
    {SLAB_BUT_1 "; alloc 64", "alloc 64 | free; free", 3, 1},
    {SLAB_BUT_1 "; alloc 64", "alloc 64 | free | free", 4, 1},
    {"alloc 64; alloc 64", "publish 64 to 0 | free; free", 3, 1},
    {"alloc 64; alloc 64; close, open", "alloc 64 | alloc 64", 3, 1},
    {"alloc 64; alloc 64; close, open", "alloc 64 | free; free", 3, 1},
    {"alloc 64; alloc 64; close, open", "free | free", 3, 1},
    {"alloc 64; alloc 64; close, open", "free | alloc 100 | alloc 64", 4, 1},
    {SLAB_BUT_1 "; alloc 64; close, open", "alloc 64 | free; free", 3, 1},
    {"alloc 64; alloc 100; close, open", "free; free | alloc 64", 3, 1},
    {"alloc 64; alloc 100", "free; free | alloc 64; alloc 100", 3, 1},
    {"publish 64 to 1 by B; " SLAB_BUT_1_BY_B,
     "publish 64 to 0; publish 200 to 3; release 3 | release 1; leave", 3, 1},
    {"publish 64 to 1 by B; " SLAB_BUT_1_BY_B,
     "reap; publish 64 to 0; publish 200 to 3 | release 1", 3, 1},
    {"publish 200 to 0 by B", "reap; publish 200 to 1 | release 0", 3, 1},
    {"", "alloc 64; reap; alloc 64 | alloc 64; free; alloc 64", 3, 1},
    {"alloc 64 by B", "alloc 64; free | alloc 64; leave", 3, 1},
    {"alloc 64 by B; alloc 64", "free; free | leave", 3, 1},
    {"publish 64 to 1 by B", "release 1; alloc 200 | alloc 200; leave", 3, 1},
    {"", "tx 0s | tx 0s", 3, 1},
    {"", "tx s | - | tx s", 4, 0},
    {"", "tx 0k | tx 1s", 3, 1},
    {"", "tx k | tx kx", 3, 1},
    {"", "tx 01x | tx 0s", 3, 1},
    {"publish 64 to 0; publish 200 to 3", "tx r1 | tx q0", 3, 1},
    {"publish 64 to 0; alloc 64", "tx r; alloc 64 | tx f0", 3, 1},
    {"alloc 64; alloc 200; alloc 64", "tx fs | tx ffk", 3, 1},
    {"alloc 200; alloc 200", "tx f1 | free; alloc 200", 3, 1},
    {"publish 200 to 3; alloc 64", "free; reap; alloc 200 | tx q0k", 3, 1},
    {"alloc 64; alloc 64; close, open", "tx f0 | tx f0", 3, 1},
};

/* All schedules of every program with up to `turns` turns; without `tx` of those
 * that have no transactions. */
void woven_all(unsigned turns, int tx)
{
    for (unsigned i = 0; i < sizeof programs / sizeof *programs; i++) {
        const struct program *p = &programs[i];
        if (!tx && strstr(p->threads, "tx "))
            continue;
        weave_runs = weave_longest = 0;
        begin(p->before, p->threads, p->lanes);
        woven.dies = p->dies;
        weave_all(&woven, turns);
        printf("woven: %s: %lu schedules of %lu points\n", p->threads,
               weave_runs, weave_longest);
        end();
    }
}

/* ---- longer programs, by seed ---- */

static const char *const dice[] = {
    "alloc 64",
    "alloc 100",
    "alloc 200",
    "alloc 1900",
    "alloc 3000",
    "free",
    "free",
    "free",
    "publish 64 to 0",
    "publish 200 to 1",
    "release 0",
    "release 1",
    "reserve, cancel",
    "zalloc 100",
    "retire",
    "reap",
};

static const char *const dice_tx[] = {"tx 0s", "tx 1k",  "tx rf", "tx q0s",
                                      "tx fk", "tx 01x", "tx kx", "tx rqf"};

/* `n` of them, as a text; with `tx` some are transactions. */
static char *roll(char *to, unsigned n, int tx)
{
    while (n--) {
        const char *name = dice[sim_random() % (sizeof dice / sizeof *dice)];
        if (tx && sim_random() % 3 == 0)
            name = dice_tx[sim_random() % (sizeof dice_tx / sizeof *dice_tx)];
        to = stpcpy(to, name);
        to = stpcpy(to, n ? "; " : "");
    }
    return to;
}

/* Programs of some operations of each thread, each by some schedules; so many
 * schedules in all. */
void woven_random(unsigned long schedules, int tx)
{
    static char done[512], names[1024];
    slots_apart = 1;
    for (unsigned long seed = 1; seed <= schedules; seed += 16) {
        sim_seed(seed);
        roll(done, 1 + (unsigned)(sim_random() % 12), 0);
        char *to = names;
        for (unsigned k = 0; k < SIM_THREADS; k++) {
            to = roll(to, 1 + (unsigned)(sim_random() % 6),
                      tx && k < 2 && seed % 64 == 1);
            to = stpcpy(to, k + 1 < SIM_THREADS ? " | " : "");
        }
        begin(done, names, 3 + (unsigned)(sim_random() % 2));
        for (unsigned i = 0; i < 16; i++) {
            woven.dies = i % 4 == 0;
            weave_seed(&woven, 2 + (unsigned)(sim_random() % 60));
        }
        end();
    }
    slots_apart = 0;
}
