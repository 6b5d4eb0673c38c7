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

/* Half of the operations are transactions of up to eight actions. */
static int dice_tx;

static void roll_tx(void)
{
    static const char letters[] = "0011nirrqqfffsstkklmm";
    char name[24] = "tx ";
    unsigned n = 3 + 1 + (unsigned)(sim_random() % 8);
    for (unsigned i = 3; i < n; i++)
        name[i] = letters[sim_random() % (sizeof letters - 1)];
    if (sim_random() % 4 == 0)
        name[n++] = 'x';
    if (sim_random() % 3 == 0)
        memcpy(name + n, " B", 2);
    op_run(op_named(name, strlen(name)));
}

static void roll(void)
{
    if (dice_tx && sim_random() % 2) {
        roll_tx();
        return;
    }
    uint64_t dies = sim_random();
    struct op op = dice[dies % (sizeof dice / sizeof *dice)];
    if ((op.run == op_reopen || op.run == op_grow) && sim_random() % 8)
        return;
    op.h = dies >> 32 & 1;
    op.slot = (unsigned)(sim_random() % (SIM_ROOTS - 2));
    if (dice_tx) // two are words of transactions
        op.slot &= 3;
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

/* Names: in a region that has none; among others; where a bucket is linked, and
 * more are needed; each followed by each. */
void programs_named(void)
{
    static const char *const before[] = {
        "alloc 64; free", "construct c; construct a; describe a; destroy c",
        "construct e; construct f; construct g; construct h; construct i; "
        "construct a; describe c; describe a; describe a"};
    static const char *const scripts[] = {
        "construct a; construct b; destroy a; construct c; destroy b; destroy "
        "c; construct a by B; destroy a; construct d; destroy d",
        "construct a; describe a; describe a; construct a by B; describe a; "
        "describe a; describe a; destroy a by B; construct c; describe c; "
        "destroy c; close, open; construct a; make anew; construct a",
        "construct e; construct f; construct g; construct h; construct i; "
        "construct j; construct k; construct l; construct m; construct n; "
        "construct o; construct p; construct a; construct b; destroy a; "
        "close, open; construct a; describe e; describe e",
        "construct c; alloc 1900; alloc 1900; alloc 1900; alloc 200; alloc 200; "
        "alloc 200; alloc 200; alloc 200; alloc 64; alloc 64; alloc 64; alloc "
        "64; alloc 64; alloc 64; alloc 64; alloc 64; destroy c; " // it was full
        "construct c by B; free by B"}; // few images tell: it is run more often
    enum { SCRIPTS = sizeof scripts / sizeof *scripts };
    static const char *const pair[] = {
        "construct a", "construct a by B", "construct b", "construct c",
        "construct d", "destroy a",        "destroy c",   "describe a"};
    enum { PAIR = sizeof pair / sizeof *pair };
    static struct op ops[PAIR];
    static unsigned i, k;
    unsigned step = sim_model == SIM_KILL ? 37 : 1;
    struct node *nodes = programs_nodes(2);
    for (i = 0; i < SCRIPTS + 7; i++) {
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(scripts[i < SCRIPTS ? i : SCRIPTS - 1]);
    }
    for (k = 0; k < PAIR; k++)
        ops[k] = *op_named(pair[k], strlen(pair[k]));
    for (i = 0; i < sizeof before / sizeof *before; i++) {
        sim_happens_killed = sim_model != SIM_KILL && i % 2;
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(before[i]);
        programs_keep(nodes);
        for (k = 0; k < PAIR; k++) {
            programs_back_to(nodes);
            crash_in(nodes, &ops[k], step, ops, PAIR);
        }
    }
    sim_happens_killed = 0;
    free(nodes);
}

/* ---- transactions ---- */

static struct op tx_op(const char *name)
{
    struct op op = {name, op_tx, 0, 0, 0, 0};
    op.h = strstr(name, " B") != NULL;
    return op;
}

/* All pairs of actions, committed and aborted, from where the node is. */
static void tx_pairs(const struct node *node)
{
    static const char letters[] = "01nirqfskm";
    for (const char *a = letters; *a; a++)
        for (const char *b = letters; *b; b++)
            for (unsigned end = 0; end < 2; end++) {
                char name[24];
                snprintf(name, sizeof name, "tx %c%c%s", *a, *b,
                         end ? "x" : "");
                struct op op = tx_op(name);
                programs_back_to(node);
                op_run(&op);
            }
}

/* Small ones exhaustively; longer ones one after the other, by both handles;
 * those that crash, or whose process is killed, and what comes next. */
void programs_transactions(unsigned effort)
{
    static const char *const before[] = {
        "alloc 64; free", "publish 64 to 0; publish 200 to 1; alloc 100; alloc "
                          "200; alloc 64"};
    static const char *const scripts[] = {
        "tx 01ist;tx krfs;tx km B;tx 0s;tx kx;tx sq;tx lkx;tx kltmx;tx rf",
        "tx k;tx kx;tx k;tx 01s;tx rqs;tx kst;tx 0k B;tx rk;tx 0;tx r;tx s",
        "tx 1ikmst;tx qfffs;tx n;tx rs;tx nk;tx rkx;tx rm;tx 0ffs",
        "tx kx;tx kx;tx k;tx ks;tx sx;tx s;tx 01;tx rqx;tx rq;tx l;tx l;tx lx",
        "tx kx;tx k B;tx kx B;tx k;tx lx;tx t B;tx kx B;tx s;tx sk;tx s B",
        "release 0;tx 0;release 0 by B;tx 0;release 0 by B;release 1;tx 1 B;"
        "release 1;tx hx;publish 64 to 1 by B;release 1;tx hx;publish 200 to 1",
    };
    static const char *const larger[] = { // an extent changes its kind
        "alloc 100; free; tx n;tx r;zalloc 100;free by B;tx n;tx rx;tx r",
        "alloc 1900; alloc 1900; alloc 1900; free; free; free; tx n;tx rs",
        "alloc 100; alloc 3000; free; tx n;tx r; zalloc 100",
        "alloc 1900; alloc 1900; alloc 200; free; free; tx n;tx r",
    };
    static const char *const first[] = {"tx 01s", "tx rqf", "tx kms", "tx 0rkf",
                                        "tx klx", "tx nf", "tx sk"};
    static const char *const then[] = {"tx 0s", "tx rkf", "tx k"};
    static unsigned i, k, m;
    static struct op ops[3 + 4];
    struct node *nodes = programs_nodes(2);
    for (i = 0; i < 3; i++)
        ops[i] = tx_op(then[i]);
    ops[3] = *op_named("publish 64 to 0", 15);
    ops[4] = *op_named("release 1", 9);
    ops[5] = *op_named("alloc 1900", 10);
    ops[6] = *op_named("free by B", 9);
    for (i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        programs_begin(28 * 1024 + 3 * 4096);
        programs_open_quietly();
        op_script(before[1]);
        op_script(scripts[i]);
    }
    for (i = 0; i < sizeof larger / sizeof *larger; i++) {
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(larger[i]);
    }
    for (i = 0; i < 2; i++) {
        programs_begin(28 * 1024 + 3 * 4096);
        programs_open_quietly();
        op_script(before[i]);
        programs_keep(nodes);
        tx_pairs(nodes);
        for (k = 0; k < 2; k++)
            for (m = 0; m < sizeof first / sizeof *first; m++) {
                struct op op = tx_op(first[m]);
                sim_happens_killed = k && sim_model != SIM_KILL;
                programs_back_to(nodes);
                crash_in(nodes, &op, sim_model == SIM_KILL ? 37 : effort ? 1 : 3,
                         ops, sizeof ops / sizeof *ops);
            }
        sim_happens_killed = 0;
    }
    dice_tx = 1;
    for (i = 1; i <= (effort ? 16 : 4); i++)
        programs_random(i, 60, i % 2 ? 50 : 0);
    dice_tx = 0;
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
        "publish 64 to 0; alloc 64; alloc 64; collect; collect by B; alloc "
        "100; alloc 1900; collect by B; collect; alloc 3000; collect; alloc 64",
        "construct a; alloc 64 by B; collect; alloc 1900; collect; describe a; "
        "alloc 100; collect by B; destroy a; alloc 64; reserve; collect",
        "reserve; publish 64 to 0; alloc 100; publish it to 1; release 0 by B; "
        "reserve, cancel; zalloc 100; free by B; realloc to 40; close, open",
    };
    for (unsigned i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        programs_begin(28 * 1024 + 2 * 4096);
        programs_open_quietly();
        op_script(scripts[i]);
    }
}

/* The region grows by itself, in the middle of whatever finds it full: for
 * small objects, for blocks and for runs of extents, by either process. */
void programs_grown(unsigned times)
{
    static const char *const scripts[] = {
        "alloc 1900; alloc 1900; alloc 1900; publish 200 to 1; free; alloc 64; "
        "publish 3000 to 0; release 1; close, open; release 0",
        "publish 3000 to 0; publish 1280 to 1; release 0; zalloc 3000; "
        "publish 200 to 0 by B; alloc 5000",
        "alloc 5000; free; alloc 1900; publish 1280 to 1; alloc 1900; "
        "realloc to 3000; store, sync; alloc 5000; close, open",
    };
    unit_grows = 1;
    for (unsigned i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        programs_begin(28 * 1024 + 4096);
        programs_open_quietly();
        op_script(scripts[i]);
    }
    struct node *nodes = programs_nodes(2);
    for (; times; times--) {
        programs_begin(28 * 1024 + 4096);
        programs_open_quietly();
        op_script("alloc 1900"); // what comes next finds it full
        crash_between(nodes, sim_model != SIM_KILL && times % 2);
    }
    sim_happens_killed = 0;
    free(nodes);
    unit_grows = 0;
}
