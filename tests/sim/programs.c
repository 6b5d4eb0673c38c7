/* programs.c -- what is run on the library
 *
 * An operation tells the oracle what it is about to do, does it, and tells the
 * oracle that it is done; each return is an event. Exhaustive: all sequences
 * of a length, as a walk of their tree, the state kept at each node. Random:
 * long sequences by seed. Life: making, growing, closing and opening again. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the program ---- */

#define PATH 512u
static char path[PATH][24]; /* the operations so far */
static unsigned depth;

const char *programs_text(void)
{
    static char text[1024];
    unsigned first = depth > 40 ? depth - 40 : 0;
    size_t n = (size_t)snprintf(text, sizeof text, first ? "..." : "");
    for (unsigned i = first; i < depth && n + 32 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s",
                              i ? "; " : "", path[i]);
    return text;
}

static void returned(const char *from)
{
    sim_oracle.doing = SIM_NOTHING;
    sim_crash(from);
}

static void must(int err, const char *what)
{
    if (err)
        sim_fault("%s answers %d", what, err);
}

static void set_root(unsigned slot, uint64_t off)
{
    sim_oracle.root[slot] = sim_oracle.maybe[slot] = off;
}

/* A block fresh from the heap, which nobody else may have. */
static struct sim_block fresh(unsigned h, uint64_t off)
{
    struct sim_block b = {off, unit_usable(h, off), 0, ++sim_oracle.ids};
    const struct sim_oracle *o = &sim_oracle;
    for (unsigned i = 0; i < o->n; i++)
        if (b.off < o->live[i].off + o->live[i].n &&
            o->live[i].off < b.off + b.n)
            sim_fault("a live block is given out again");
    for (unsigned i = 0; i < o->held_n; i++)
        if (b.off < o->held[i].off + o->held[i].n &&
            o->held[i].off < b.off + b.n)
            sim_fault("a reserved block is given out again");
    return b;
}

static void unhold(unsigned i)
{
    struct sim_oracle *o = &sim_oracle;
    o->held_n--;
    memmove(o->held + i, o->held + i + 1,
            (o->held_n - i) * sizeof *o->held);
}

/* ---- its operations: each answers 0 where it cannot be done now ---- */

struct op {
    const char *name;
    int (*run)(const struct op *op);
    unsigned h;    /* handle, and thread */
    unsigned slot; /* of the root area */
    unsigned n, align;
};

static void publish_block(const struct op *op, uint64_t off, uint64_t n)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block b = fresh(op->h, off);
    unit_fill(op->h, off, n / 8 * 8, b.id);
    b.filled = n / 8 * 8;
    o->block = b;
    o->slot = op->slot;
    o->doing = SIM_PUBLISH;
    must(unit_publish(op->h, op->slot, off), "publish");
    sim_oracle_add(b);
    set_root(op->slot, off);
    returned("return of publish");
}

static int op_publish(const struct op *op)
{
    if (sim_oracle.root[op->slot])
        return 0;
    uint64_t off = unit_reserve(op->h, op->n);
    if (off)
        publish_block(op, off, op->n);
    return 1;
}

static int op_release(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    uint64_t off = o->root[op->slot];
    if (!off)
        return 0;
    o->block = *sim_oracle_find(off);
    o->slot = op->slot;
    o->doing = SIM_RELEASE;
    must(unit_release(op->h, op->slot), "release");
    sim_oracle_drop(off);
    set_root(op->slot, 0);
    returned("return of release");
    return 1;
}

static int op_alloc(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    o->doing = SIM_ALLOC;
    uint64_t off = unit_alloc(op->h, op->n, op->align);
    if (off && op->align && off % op->align)
        sim_fault("a block is not aligned");
    if (off)
        sim_oracle_add(fresh(op->h, off));
    returned("return of alloc");
    if (!off)
        return 1;
    unit_fill(op->h, off, op->n / 8 * 8, o->ids);
    must(unit_persist(op->h, off, op->n), "persist");
    sim_oracle_find(off)->filled = op->n / 8 * 8;
    returned("return of persist");
    return 1;
}

/* The zeroes are durable with the block. */
static int op_zalloc(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    o->doing = SIM_ALLOC;
    uint64_t off = unit_zalloc(op->h, op->n);
    if (off) {
        struct sim_block b = fresh(op->h, off);
        b.filled = op->n / 8 * 8;
        b.id = 0;
        sim_oracle_add(b);
    }
    returned("return of zalloc");
    return 1;
}

/* The block without a name that is the oldest (1) or the newest (0). */
static struct sim_block *nameless(int oldest)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block *found = NULL;
    for (unsigned i = 0; i < o->n; i++) {
        struct sim_block *b = &o->live[i];
        int named = 0;
        for (unsigned k = 0; k < SIM_ROOTS; k++)
            named |= o->root[k] == b->off;
        if (!named && (!found || (b->id < found->id) == oldest))
            found = b;
    }
    return found;
}

static int op_free(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block *b = nameless(1);
    if (!b)
        return 0;
    o->block = *b;
    o->doing = SIM_FREE;
    must(unit_free(op->h, o->block.off), "free");
    sim_oracle_drop(o->block.off);
    returned("return of free");
    return 1;
}

static int op_realloc(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block *b = nameless(1);
    if (!b)
        return 0;
    struct sim_block old = *b;
    uint64_t kept = old.filled < op->n / 8 * 8 ? old.filled : op->n / 8 * 8;
    o->block = old;
    o->block.n = old.n < op->n ? old.n : op->n;
    o->block.filled = kept;
    o->doing = SIM_REALLOC;
    uint64_t off = unit_realloc(op->h, old.off, op->n);
    if (off) {
        sim_oracle_drop(old.off);
        struct sim_block now = fresh(op->h, off);
        now.id = old.id;
        now.filled = kept;
        sim_oracle_add(now);
    }
    returned("return of realloc");
    return 1;
}

static int op_cancel(const struct op *op)
{
    uint64_t off = unit_reserve(op->h, op->n);
    if (!off)
        return 1;
    unit_fill(op->h, off, op->n, fresh(op->h, off).id);
    must(unit_cancel(op->h, off), "cancel");
    returned("return of cancel");
    return 1;
}

/* A reservation stays open... */
static int op_reserve(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    if (o->held_n == sizeof o->held / sizeof *o->held)
        return 0;
    uint64_t off = unit_reserve(op->h, op->n);
    if (!off)
        return 1;
    struct sim_block b = fresh(op->h, off);
    unit_fill(op->h, off, op->n / 8 * 8, b.id);
    b.id = op->h;
    o->held[o->held_n++] = b;
    returned("return of reserve");
    return 1;
}

/* ...until its handle publishes it. */
static int op_adopt(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned i = 0;
    while (i < o->held_n && o->held[i].id != op->h)
        i++;
    if (i == o->held_n || o->root[op->slot])
        return 0;
    struct sim_block b = o->held[i];
    unhold(i);
    publish_block(op, b.off, b.n);
    return 1;
}

static void store_root(unsigned h, unsigned slot, uint64_t off)
{
    sim_oracle.maybe[slot] = off;
    unit_set(h, slot, off);
}

/* The program moves a name with its own stores, each made durable by itself. */
static int op_move(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned to = op->slot, from = !to;
    uint64_t off = o->root[from];
    if (!off || o->root[to])
        return 0;
    store_root(op->h, to, off);
    must(unit_flush_root(op->h, to) || unit_fence(op->h), "persist");
    set_root(to, off);
    returned("return of persist");
    store_root(op->h, from, 0);
    must(unit_flush_root(op->h, from) || unit_fence(op->h), "persist");
    set_root(from, 0);
    returned("return of persist");
    return 1;
}

/* The same in one epoch: until the fence, either may be durable. */
static int op_move_once(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned to = op->slot, from = !to;
    uint64_t off = o->root[from];
    if (!off || o->root[to])
        return 0;
    store_root(op->h, to, off);
    store_root(op->h, from, 0);
    must(unit_flush_root(op->h, to) || unit_flush_root(op->h, from) ||
             unit_fence(op->h),
         "persist");
    set_root(to, off);
    set_root(from, 0);
    returned("return of persist");
    return 1;
}

/* A store, and the sync of all. */
static int op_sync(const struct op *op)
{
    uint64_t value = ++sim_oracle.ids << 32;
    store_root(op->h, SIM_ROOTS - 2, value);
    must(unit_sync(op->h), "sync");
    set_root(SIM_ROOTS - 2, value);
    returned("return of sync");
    return 1;
}

static int op_grow(const struct op *op)
{
    uint64_t size = sim_here->length + 4096;
    if (size > SIM_BYTES || unit_fixed)
        return 0;
    must(unit_grow(op->h, size), "grow");
    if (sim_here->length != size)
        sim_fault("grow did not grow");
    returned("return of grow");
    return 1;
}

static void open_both(void)
{
    for (unsigned h = 0; h < 2; h++) {
        sim_thread = h;
        must(unit_open(h, 0), "open");
        returned("return of open");
    }
}

static void close_both(void)
{
    for (unsigned h = 2; h-- > 0;) {
        sim_thread = h;
        must(unit_close(h), "close");
        returned("return of close");
    }
    sim_oracle.held_n = 0;
}

/* Both handles close, which gives reservations back, and open again. */
static int op_reopen(const struct op *op)
{
    (void)op;
    close_both();
    open_both();
    return 1;
}

/* The region is made anew, over what is there. */
static int op_anew(const struct op *op)
{
    (void)op;
    close_both();
    sim_oracle.doing = SIM_ANEW;
    must(unit_open(0, 1), "open anew");
    sim_oracle.n = 0;
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        set_root(i, 0);
    returned("return of open");
    sim_thread = 1;
    must(unit_open(1, 0), "open");
    return 1;
}

static const struct op alphabet[] = {
    {"publish 64 to 0", op_publish, 0, 0, 64, 0},
    {"publish 200 to 1", op_publish, 0, 1, 200, 0},
    {"publish 64 to 1 by B", op_publish, 1, 1, 64, 0},
    {"release 0", op_release, 0, 0, 0, 0},
    {"release 1", op_release, 0, 1, 0, 0},
    {"release 0 by B", op_release, 1, 0, 0, 0},
    {"move 0 to 1", op_move, 0, 1, 0, 0},
    {"move 1 to 0 at once", op_move_once, 0, 0, 0, 0},
    {"alloc 100", op_alloc, 0, 0, 100, 0},
    {"free", op_free, 0, 0, 0, 0},
    {"free by B", op_free, 1, 0, 0, 0},
    {"realloc to 300", op_realloc, 0, 0, 300, 0},
    {"realloc to 40", op_realloc, 0, 0, 40, 0},
    {"reserve, cancel", op_cancel, 0, 0, 200, 0},
    {"reserve", op_reserve, 0, 0, 64, 0},
    {"publish it to 1", op_adopt, 0, 1, 0, 0},
    {"publish 3000 to 0", op_publish, 0, 0, 3000, 0},
    {"alloc 64 at 1024", op_alloc, 0, 0, 64, 1024},
    {"zalloc 100", op_zalloc, 0, 0, 100, 0},
    {"store, sync", op_sync, 0, 0, 0, 0},
    {"grow", op_grow, 0, 0, 0, 0},
    {"close, open", op_reopen, 0, 0, 0, 0},
    {"make anew", op_anew, 0, 0, 0, 0},
};
#define OPS (sizeof alphabet / sizeof *alphabet)

/* Handles are threads too. Whoever takes over got the word by a locked
 * instruction of the other: see docs/design.md. */
static int run_op(const struct op *op)
{
    if (sim_thread != op->h) {
        sim_saw_locked();
        sim_thread = op->h;
    }
    snprintf(path[depth++], sizeof path[0], "%s", op->name);
    if (!op->run(op)) {
        depth--;
        return 0;
    }
    const char *unseen = sim_world_unseen(sim_here);
    if (unseen)
        sim_fault("%s", unseen);
    return 1;
}

static void begin(uint64_t size)
{
    struct sim_world *w = &sim_worlds[0];
    sim_world_clear(w);
    sim_oracle_clear();
    sim_here = w;
    sim_depth = depth = sim_thread = 0;
    w->tracked = 1;
    unit_size = size;
}

/* Opens without looking at what a crash would leave. */
static void open_quietly(void)
{
    unsigned events = sim_limits.events;
    sim_limits.events = 1u << 24;
    open_both();
    sim_limits.events = events;
}

/* ---- all sequences ---- */

struct node {
    struct sim_world world;
    struct sim_oracle oracle;
    unsigned char handle[2][1024];
    unsigned thread;
};

static void keep(struct node *n)
{
    sim_world_latch(sim_here);
    sim_world_copy(&n->world, &sim_worlds[0]);
    n->oracle = sim_oracle;
    n->thread = sim_thread;
    for (unsigned h = 0; h < 2; h++) {
        void *bytes;
        size_t size;
        unit_handle(h, &bytes, &size);
        if (size > sizeof n->handle[h])
            abort();
        memcpy(n->handle[h], bytes, size);
    }
}

static void back_to(const struct node *n)
{
    sim_world_copy(&sim_worlds[0], &n->world);
    sim_oracle = n->oracle;
    sim_thread = n->thread;
    for (unsigned h = 0; h < 2; h++) {
        void *bytes;
        size_t size;
        unit_handle(h, &bytes, &size);
        memcpy(bytes, n->handle[h], size);
    }
}

static void walk(struct node *nodes, unsigned length)
{
    keep(nodes);
    unsigned at = depth;
    for (unsigned i = 0; i < OPS; i++) {
        if (run_op(&alphabet[i]) && length > 1)
            walk(nodes + 1, length - 1);
        back_to(nodes);
        depth = at;
    }
}

/* All sequences of `length` operations on a region of two extents. */
void programs_exhaustive(unsigned length)
{
    struct node *nodes = malloc(length * sizeof *nodes);
    if (!nodes)
        abort();
    begin(28 * 1024 + 2 * 4096);
    open_quietly();
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
    {"free", op_free, 0, 0, 0, 0},
    {"realloc", op_realloc, 0, 0, 0, 0},
    {"cancel", op_cancel, 0, 0, 0, 0},
    {"reserve", op_reserve, 0, 0, 0, 0},
    {"adopt", op_adopt, 0, 0, 0, 0},
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
    if (depth == PATH) {
        memmove(path, path + PATH / 2, sizeof path / 2);
        depth = PATH / 2;
    }
    run_op(&op);
    if (sim_here->stores > 2048)
        sim_world_evict(sim_here, 512);
}

/* A move that was cut short: the block has two names. */
static void one_name_each(void)
{
    struct sim_oracle *o = &sim_oracle;
    if (!o->root[0] || o->root[0] != o->root[1])
        return;
    store_root(0, 0, 0);
    must(unit_flush_root(0, 0) || unit_fence(0), "persist");
    set_root(0, 0);
    returned("return of persist");
}

/* The crash has happened: the program goes on with what it left. */
static void go_on(void)
{
    static struct sim_view found;
    snprintf(path[depth++], sizeof path[0], "CRASH");
    sim_thread = 0;
    unit_look(0, &found);
    const char *wrong = sim_oracle_differs(&found);
    if (wrong)
        sim_fault("%s, after a crash that happened", wrong);
    sim_oracle_adopt(&found);
    returned("return of open");
    one_name_each();
    sim_thread = 1;
    must(unit_open(1, 0), "open");
    returned("return of open");
}

/* `length` operations by seed, with a crash every `between` events or so. */
void programs_random(uint64_t seed, unsigned length, unsigned between)
{
    static volatile unsigned i;
    sim_seed(seed);
    begin(28 * 1024 + (2 + sim_random() % 4) * 4096);
    open_quietly();
    i = 0;
    if (setjmp(sim_happened))
        go_on();
    sim_happens_in = between ? 1 + (unsigned)(sim_random() % between) : 0;
    while (i < length) {
        i++;
        roll();
    }
    sim_happens_in = 0;
}

/* ---- making, opening, growing, closing ---- */

static void live(void)
{
    static const unsigned life[] = {0, 8, 20, 1, 3, 21, 16, 9, 20, 4, 18, 21};
    snprintf(path[depth++], sizeof path[0], "open");
    open_both();
    for (unsigned i = 0; i < 2 * sizeof life / sizeof *life; i++) {
        run_op(&alphabet[life[i % (sizeof life / sizeof *life)]]);
        if (i == sizeof life / sizeof *life)
            run_op(&alphabet[22]);
    }
}

/* A region is made: whatever a crash leaves is made anew or is whole. Then a
 * life, twice; on a medium that grows, and on a device full of old bytes. */
void programs_life(void)
{
    begin(28 * 1024 + 2 * 4096);
    live();
    begin(28 * 1024 + 4 * 4096);
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
