/* programs.c -- what is run on the library
 *
 * Exhaustive: all sequences of a length, as a walk of their tree, the state
 * kept at each node. Random: long sequences by seed, with crashes that do
 * happen on the way. Life: making, growing, closing, opening, making anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"
#include "programs.h"

void programs_begin(uint64_t size)
{
    struct sim_world *w = &sim_worlds[0];
    sim_world_clear(w);
    sim_oracle_clear();
    sim_here = w;
    sim_depth = op_depth = sim_thread = 0;
    w->tracked = 1;
    unit_size = size;
}

/* Opens without looking at what a crash would leave. */
void programs_open_quietly(void)
{
    unsigned events = sim_limits.events;
    sim_limits.events = 1u << 24;
    op_open_both();
    sim_limits.events = events;
}

/* ---- all sequences ---- */

struct node *programs_nodes(unsigned n)
{
    struct node *nodes = malloc(n * sizeof *nodes);
    if (!nodes)
        abort();
    return nodes;
}

void programs_keep(struct node *n)
{
    sim_world_latch(sim_here);
    sim_world_copy(&n->world, &sim_worlds[0]);
    n->oracle = sim_oracle;
    n->thread = sim_thread;
    n->depth = op_depth;
    for (unsigned h = 0; h < 2; h++) {
        void *bytes;
        size_t size;
        unit_handle(h, &bytes, &size);
        if (size > sizeof n->handle[h])
            abort();
        memcpy(n->handle[h], bytes, size);
        bytes = sim_local(h, &size);
        memcpy(n->local[h], bytes, size);
    }
}

void programs_back_to(const struct node *n)
{
    sim_world_copy(&sim_worlds[0], &n->world);
    sim_oracle = n->oracle;
    sim_thread = n->thread;
    op_depth = n->depth;
    for (unsigned h = 0; h < 2; h++) {
        void *bytes;
        size_t size;
        unit_handle(h, &bytes, &size);
        memcpy(bytes, n->handle[h], size);
        bytes = sim_local(h, &size);
        memcpy(bytes, n->local[h], size);
    }
}

static void walk(struct node *nodes, unsigned length)
{
    programs_keep(nodes);
    for (unsigned i = 0; i < op_alphabet_n; i++) {
        if (op_run(&op_alphabet[i]) && length > 1)
            walk(nodes + 1, length - 1);
        programs_back_to(nodes);
    }
}

/* All sequences of `length` operations on a region of two extents. */
void programs_exhaustive(unsigned length)
{
    struct node *nodes = programs_nodes(length);
    programs_begin(28 * 1024 + 2 * 4096);
    programs_open_quietly();
    walk(nodes, length);
    free(nodes);
}

/* ---- long sequences ---- */

static const struct op dice[] = {
    {"publish", op_publish, 0, 0, 0, 0},
    {"publish", op_publish, 0, 0, 0, 0},
    {"release", op_release, 0, 0, 0, 0},
    {"release", op_release, 0, 0, 0, 0},
    {"alloc", op_alloc, 0, 0, 0, 0},
    {"alloc", op_alloc, 0, 0, 0, 0},
    {"free", op_free, 0, 0, 0, 0},
    {"retire", op_retire, 0, 0, 0, 0},
    {"free", op_free, 0, 0, 0, 0},
    {"realloc", op_realloc, 0, 0, 0, 0},
    {"cancel", op_cancel, 0, 0, 0, 0},
    {"reserve", op_reserve, 0, 0, 0, 0},
    {"adopt", op_adopt, 0, 0, 0, 0},
    {"adopt elsewhere", op_adopt_elsewhere, 0, 0, 0, 0},
    {"move", op_move, 0, 0, 0, 0},
    {"move at once", op_move_once, 0, 0, 0, 0},
    {"aligned", op_alloc, 0, 0, 0, 512},
    {"zalloc", op_zalloc, 0, 0, 0, 0},
    {"reopen", op_reopen, 0, 0, 0, 0},
    {"grow", op_grow, 0, 0, 0, 0},
};

static void roll(void)
{
    uint64_t dies = sim_random();
    struct op op = dice[dies % (sizeof dice / sizeof *dice)];
    if ((op.run == op_reopen || op.run == op_grow) && sim_random() % 8)
        return;
    op.h = dies >> 32 & 1;
    op.slot = (unsigned)(sim_random() % (SIM_ROOTS - 2));
    if (op.run == op_move || op.run == op_move_once)
        op.slot &= 1;
    op.n = 8 + (unsigned)(sim_random() % (sim_random() % 8 ? 400 : 5000));
    char name[24];
    snprintf(name, sizeof name, "%.8s %u %u%s", op.name, op.slot, op.n,
             op.h ? " B" : "");
    op.name = name;
    op_run(&op);
    if (sim_here->stores > 2048)
        sim_world_evict(sim_here, 512);
}

/* A move that was cut short: the block has two names. */
static void one_name_each(void)
{
    struct sim_oracle *o = &sim_oracle;
    if (!o->root[0] || o->root[0] != o->root[1])
        return;
    op_store_root(0, 0, 0);
    op_must(unit_flush_root(0, 0) || unit_fence(0), "persist");
    op_set_root(0, 0);
    op_returned("return of persist");
}

/* The crash has happened: the program goes on with what it left. */
static void go_on(void)
{
    static struct sim_view found;
    op_note("CRASH");
    sim_thread = 0;
    sim_oracle.held_n = 0;
    unit_look(0, &found);
    const char *wrong = sim_oracle_differs(&found);
    if (wrong)
        sim_fault("%s, after a crash that happened", wrong);
    sim_oracle_adopt(&found);
    op_returned("return of open");
    one_name_each();
    sim_thread = 1;
    op_must(unit_open(1, 0), "open");
    op_returned("return of open");
}

/* `length` operations by seed, with a crash every `between` events or so. */
void programs_random(uint64_t seed, unsigned length, unsigned between)
{
    static volatile unsigned i;
    sim_seed(seed);
    sim_happens_killed = sim_model != SIM_KILL && seed / 2 % 2;
    programs_begin(28 * 1024 + (2 + sim_random() % 4) * 4096);
    programs_open_quietly();
    i = 0;
    if (setjmp(sim_happened))
        go_on();
    sim_happens_in = between ? 1 + (unsigned)(sim_random() % between) : 0;
    while (i < length) {
        i++;
        roll();
    }
    sim_happens_in = 0;
    sim_happens_killed = 0;
}

/* ---- pairs with a crash between ---- */

/* `first` crashes at each of its events, or each `step` of them, and the
 * recovery goes on with each of `then`: what the one left must not disturb the
 * other. nodes[0] is where it begins. */
static void crash_in(struct node *nodes, const struct op *first, unsigned step,
                     const struct op *then, unsigned then_n)
{
    static volatile unsigned event, i;
    for (event = 1;; event += step) {
        programs_back_to(nodes);
        sim_happens_in = event;
        if (!setjmp(sim_happened)) {
            op_run(first);
            sim_happens_in = 0;
            return;
        }
        go_on();
        programs_keep(nodes + 1);
        for (i = 0; i < then_n; i++) {
            op_run(&then[i]);
            programs_back_to(nodes + 1);
        }
    }
}

/* Each operation and each. `killed`: it is the processes that die, and power
 * fails during the second. */
static void crash_between(struct node *nodes, int killed)
{
    static volatile unsigned first;
    unsigned step = sim_model == SIM_KILL ? 37 : 1; // there it is each store
    programs_keep(nodes);
    sim_happens_killed = killed;
    for (first = 0; first < op_alphabet_n; first++) {
        crash_in(nodes, &op_alphabet[first], step, op_alphabet, op_alphabet_n);
    }
}

/* From an empty region, and from one with a few blocks; `times` times in turn, for
 * what the crash leaves is drawn by seed. */
void programs_crashed(unsigned times)
{
    struct node *nodes = programs_nodes(2);
    while (times--) {
        int killed = sim_model != SIM_KILL && times % 2;
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        crash_between(nodes, killed);
        op_script("publish 64 to 0; alloc 100");
        crash_between(nodes, killed);
        op_script("alloc 1900; alloc 1900"); // the first extent is full
        crash_between(nodes, killed);
    }
    sim_happens_killed = 0;
    free(nodes);
}

/* What a killed process was at, and who uses the same memory next: nothing of
 * it may be handed out that is not durable. */
void programs_killed(void)
{
    static const struct {
        const char *before, *killed, *then;
    } pairs[] = {
        {"alloc 64; alloc 64", "free", "publish 64 to 0"}, // its slab remains
        {"alloc 64; alloc 64", "free by B", "publish 64 to 0"},
        {"alloc 64; alloc 64", "retire", "publish 64 to 0"},
        {"alloc 64; publish 64 to 0", "release 0", "publish 64 to 0"},
        {"alloc 200", "free", "publish 200 to 1"},
        {"alloc 200", "free by B", "publish 200 to 1"},
        {"alloc 200", "retire", "publish 200 to 1"},
        {"publish 200 to 1", "release 1", "publish 200 to 1"},
        {"alloc 3000", "free", "publish 3000 to 0"},
        {"alloc 64; free", "close, open", "publish 200 to 1"},
        {"alloc 64; free", "close, open", "publish 1000 to 0"},
    };
    struct node *nodes = programs_nodes(2);
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(pairs[i].before);
        programs_keep(nodes);
        sim_happens_killed = sim_model != SIM_KILL;
        crash_in(nodes, op_named(pairs[i].killed, strlen(pairs[i].killed)), 1,
                 op_named(pairs[i].then, strlen(pairs[i].then)), 1);
    }
    sim_happens_killed = 0;
    free(nodes);
}

/* ---- making, opening, growing, closing ---- */

static void live(void)
{
    op_note("open");
    op_open_both();
    for (int i = 0; i < 2; i++) {
        op_script("publish 64 to 0; alloc 100; grow; publish 200 to 1; "
                  "release 0; close, open; publish 3000 to 0; free; grow; "
                  "release 1; zalloc 100; close, open");
        if (i == 0)
            op_script("make anew");
    }
}

/* A region is made: whatever a crash leaves is made anew or is whole. Then a
 * life, twice; on a medium that grows, and on a device full of old bytes. */
void programs_life(void)
{
    programs_begin(28 * 1024 + 2 * 4096);
    live();
    programs_begin(28 * 1024 + 4 * 4096);
    sim_here->length = unit_size;
    for (uint64_t at = SIM_PAGE; at < unit_size; at += 8) {
        uint64_t old = sim_random();
        memcpy(sim_here->mem + at, &old, 8);
    }
    memcpy(sim_here->durable, sim_here->mem, SIM_BYTES);
    memcpy(sim_here->seen, sim_here->mem, SIM_BYTES);
    unit_fixed = 1;
    live();
    unit_fixed = 0;
}

/* What takes more operations than all sequences have, and is known to matter:
 * a block that changes hands between lanes, extents that change their kind. */
void programs_scripts(void)
{
    static const char *const scripts[] = {
        "publish 64 to 0; release 0; publish 64 to 1 by B; free by B; "
        "alloc 100; release 1; publish 200 to 0 by B; release 0 by B",
        "publish 64 to 0; move 0 to 1; publish 200 to 0 by B; release 1; "
        "release 0 by B; publish 64 to 1 by B; move 1 to 0 at once",
        "alloc 100; free; publish 3000 to 0; release 0; zalloc 3000; free; "
        "alloc 3000 at 4096; free by B; alloc 100; realloc to 3000; free",
        "alloc 1900; alloc 100; alloc 100; alloc 100; free; free; free; "
        "realloc to 300; realloc to 40; realloc to 300",
        "alloc 100; alloc 3000; free; publish 3000 to 0; release 0; zalloc 100",
        "alloc 3000; alloc 1900; alloc 1900; free; realloc to 3000; free; free",
        "grow; alloc 1900; alloc 1900; alloc 1900; free; free; free; alloc "
        "5000",
        "alloc 3000 at 4096; zalloc 3000; alloc 100; free; alloc 100; "
        "realloc to 300; realloc to 3000; realloc to 40",
        "alloc 100; alloc 100; alloc 64 at 1024; free; realloc to 300; free; "
        "realloc to 3000; free; store, sync; publish 3000 to 0; release 0",
        "reserve; publish it to 0 elsewhere; alloc 100; release 0",
        "publish 1280 to 1; publish 1000 to 0; alloc 200; release 0; "
        "realloc to 1000",
        "alloc 100; store, sync; free; zalloc 100; alloc 100; store, sync",
        "publish 200 to 1; release 1; publish 200 to 0 by B; release 0 by B; "
        "publish 200 to 1; release 1; publish 200 to 0 by B",
        "reserve; publish 64 to 0; alloc 100; publish it to 1; release 0 by B; "
        "reserve, cancel; zalloc 100; free by B; realloc to 40; close, open",
    };
    for (unsigned i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(scripts[i]);
    }
}
