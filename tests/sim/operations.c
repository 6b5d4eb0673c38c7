/* operations.c -- what a program does to a region, and tells the oracle of
 *
 * An operation tells the oracle what it is about to do, does it, and tells the
 * oracle that it is done; each return is an event. It answers 0 where it
 * cannot be done in the state that there is. */
#include "operations.h"
#include "weave.h"

#include <stdio.h>
#include <string.h>

#define PATH 512u
static char path[PATH][24]; /* the operations so far */
unsigned op_depth;

/* The program has done so. */
void op_note(const char *text)
{
    if (op_depth == PATH) {
        memmove(path, path + PATH / 2, sizeof path / 2);
        op_depth = PATH / 2;
    }
    snprintf(path[op_depth++], sizeof path[0], "%s", text);
}

const char *programs_text(void)
{
    static char text[1024];
    unsigned first = op_depth > 40 ? op_depth - 40 : 0;
    size_t n = (size_t)snprintf(text, sizeof text, first ? "..." : "");
    for (unsigned i = first; i < op_depth && n + 32 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? "; " : "",
                              path[i]);
    weave_text(text + n, sizeof text - n);
    return text;
}

/* The call of this thread. */
static struct sim_call *call(void)
{
    return &sim_oracle.call[sim_thread];
}

/* This thread begins to do so to `b`. */
static struct sim_call *begin_call(enum sim_doing doing, struct sim_block b,
                                   unsigned slot)
{
    struct sim_call *c = call();
    c->block = b;
    c->slot = slot;
    c->doing = doing;
    return c;
}

void op_returned(const char *from)
{
    call()->doing = SIM_NOTHING;
    sim_crash(from);
}

void op_must(int err, const char *what)
{
    if (err)
        sim_fault("%s answers %d", what, err);
}

void op_set_root(unsigned slot, uint64_t off)
{
    sim_oracle.root[slot] = sim_oracle.maybe[slot] = off;
}

static int overlap(const struct sim_block *a, const struct sim_block *b)
{
    return a->off < b->off + b->n && b->off < a->off + a->n;
}

/* Whether the transaction of a thread is to free the block. */
static int acts_on(unsigned who, const struct sim_block *b)
{
    const struct sim_tx *t = &sim_oracle.tx[who];
    for (unsigned i = 0; i < t->n; i++)
        if (t->act[i].kind == SIM_ACT_GO && t->act[i].block.off == b->off)
            return 1;
    return 0;
}

/* Whether one that is under way is. */
int op_spoken_for_by_tx(const struct sim_block *b)
{
    int is = 0;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        is |= sim_oracle.tx[i].state != SIM_TX_NONE && acts_on(i, b);
    return is;
}

/* A live block of the model is gone if a call under way frees it: to be given
 * out, its memory must be free, durably so. Then that call has happened. */
static int has_gone(const struct sim_block *b)
{
    struct sim_call *c = sim_oracle.call;
    for (unsigned i = 0; i < SIM_THREADS; i++) {
        if ((c[i].doing != SIM_FREE && c[i].doing != SIM_RELEASE) ||
            c[i].block.off != b->off)
            continue;
        if (c[i].doing == SIM_RELEASE)
            op_set_root(c[i].slot, 0);
        c[i].doing = SIM_NOTHING;
        sim_oracle_drop(b->off);
        return 1;
    }
    for (unsigned i = 0; i < SIM_THREADS; i++)
        if (sim_oracle.tx[i].state == SIM_TX_COMMITS && acts_on(i, b)) {
            sim_tx_happens(i);
            return 1;
        }
    return 0;
}

/* What a transaction is to publish it alone has; if its process is dead, and it
 * is given out, it never has happened. */
static void not_of_a_tx(const struct sim_block *b)
{
    for (unsigned i = 0; i < SIM_THREADS; i++) {
        struct sim_tx *t = &sim_oracle.tx[i];
        for (unsigned k = 0; t->state != SIM_TX_NONE && k < t->n; k++) {
            if (t->act[k].kind != SIM_ACT_PUBLISH ||
                !overlap(b, &t->act[k].block))
                continue;
            if (!t->dead)
                sim_fault("a block is given out that a transaction has");
            t->state = SIM_TX_NONE;
        }
    }
}

/* A block fresh from the heap, which nobody else may have. */
struct sim_block op_fresh(unsigned h, uint64_t off)
{
    struct sim_block b = {off, unit_usable(h, off), 0, ++sim_oracle.ids, 0};
    const struct sim_oracle *o = &sim_oracle;
    for (unsigned i = o->n; i-- > 0;) {
        if (!overlap(&b, &o->live[i]))
            continue;
        if (!has_gone(&o->live[i]))
            sim_fault("a live block is given out again");
        i = o->n; // others may have come, or gone
    }
    not_of_a_tx(&b);
    for (unsigned i = 0; i < o->held_n; i++)
        if (overlap(&b, &o->held[i]))
            sim_fault("a reserved block is given out again");
    for (unsigned i = 0; i < SIM_THREADS; i++)
        if (o->call[i].doing == SIM_PUBLISH && overlap(&b, &o->call[i].block)) {
            if (!o->call[i].dead)
                sim_fault("a block is given out that is being published");
            sim_oracle.call[i].doing = SIM_NOTHING; // it never will be
        }
    sim_oracle_settle(b.off, b.n); // durably free, or it could not be that
    return b;
}

void op_unhold(unsigned i)
{
    struct sim_oracle *o = &sim_oracle;
    o->held_n--;
    memmove(o->held + i, o->held + i + 1, (o->held_n - i) * sizeof *o->held);
}

/* ---- its operations: each answers 0 where it cannot be done now ---- */

static void publish_block(const struct op *op, uint64_t off, uint64_t n)
{
    struct sim_block b = op_fresh(op->h, off);
    unit_fill(op->h, off, n / 8 * 8, b.id);
    b.filled = n / 8 * 8;
    begin_call(SIM_PUBLISH, b, op->slot);
    op_must(unit_publish(op->h, op->slot, off), "publish");
    sim_oracle_add(b);
    op_set_root(op->slot, off);
    op_returned("return of publish");
}

int op_publish(const struct op *op)
{
    if (sim_oracle.root[op->slot])
        return 0;
    uint64_t off = unit_reserve(op->h, op->n);
    if (off)
        publish_block(op, off, op->n);
    return 1;
}

int op_release(const struct op *op)
{
    uint64_t off = sim_oracle.root[op->slot];
    if (!off)
        return 0;
    begin_call(SIM_RELEASE, *sim_oracle_find(off), op->slot);
    op_must(unit_release(op->h, op->slot), "release");
    if (call()->doing == SIM_RELEASE) { // else another has its memory by now
        sim_oracle_drop(off);
        op_set_root(op->slot, 0);
    }
    op_returned("return of release");
    return 1;
}

int op_alloc(const struct op *op)
{
    call()->doing = SIM_ALLOC;
    uint64_t off = unit_alloc(op->h, op->n, op->align);
    if (off && op->align && off % op->align)
        sim_fault("a block is not aligned");
    struct sim_block b = {0, 0, 0, 0, 0};
    if (off) {
        b = op_fresh(op->h, off);
        b.busy = 1;
        sim_oracle_add(b);
    }
    op_returned("return of alloc");
    if (!off)
        return 1;
    unit_fill(op->h, off, op->n / 8 * 8, b.id);
    op_must(unit_persist(op->h, off, op->n), "persist");
    sim_oracle_find(off)->filled = op->n / 8 * 8;
    sim_oracle_find(off)->busy = 0;
    op_returned("return of persist");
    return 1;
}

/* The zeroes are durable with the block. */
int op_zalloc(const struct op *op)
{
    call()->doing = SIM_ALLOC;
    uint64_t off = unit_zalloc(op->h, op->n);
    if (off) {
        struct sim_block b = op_fresh(op->h, off);
        b.filled = op->n / 8 * 8;
        b.id = 0;
        sim_oracle_add(b);
    }
    op_returned("return of zalloc");
    return 1;
}

/* Whether a thread is at work with the block, or a word of the root area names
 * it. */
static int is_spoken_for(const struct sim_block *b)
{
    const struct sim_oracle *o = &sim_oracle;
    int is = b->busy;
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        is |= o->root[i] == b->off;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        is |= o->call[i].doing != SIM_NOTHING && o->call[i].block.off == b->off;
    return is | op_spoken_for_by_tx(b);
}

/* The oldest block without a name. */
struct sim_block *op_nameless(void)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block *found = NULL;
    for (unsigned i = 0; i < o->n; i++)
        if (!is_spoken_for(&o->live[i]) &&
            (!found || o->live[i].id < found->id))
            found = &o->live[i];
    return found;
}

int op_free(const struct op *op)
{
    const struct sim_block *b = op_nameless();
    if (!b)
        return 0;
    uint64_t off = b->off;
    begin_call(SIM_FREE, *b, 0);
    op_must(unit_free(op->h, off), "free");
    if (call()->doing == SIM_FREE) // else another has its memory by now
        sim_oracle_drop(off);
    op_returned("return of free");
    return 1;
}

/* The same, for readers that there are none of. What a handle that lives on
 * keeps of them would look lost. */
int op_retire(const struct op *op)
{
    const struct sim_block *b = op_nameless();
    if (!b || (sim_survivor && op->h))
        return 0;
    uint64_t off = b->off;
    begin_call(SIM_FREE, *b, 0);
    int err = unit_retire(op->h, off);
    if (!err && call()->doing == SIM_FREE)
        sim_oracle_drop(off);
    else if (err != 1)
        op_must(err, "retire");
    op_returned("return of retire");
    return 1;
}

/* The same, found by a collection. */
int op_collect(const struct op *op)
{
    const struct sim_block *b = op_nameless();
    if (!b)
        return 0;
    uint64_t off = b->off;
    begin_call(SIM_FREE, *b, 0);
    op_must(unit_collect(op->h, off), "collect");
    if (call()->doing == SIM_FREE)
        sim_oracle_drop(off);
    op_returned("return of collect");
    return 1;
}

int op_realloc(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    struct sim_block *b = op_nameless();
    if (!b)
        return 0;
    struct sim_block old = *b;
    uint64_t kept = old.filled < op->n / 8 * 8 ? old.filled : op->n / 8 * 8;
    struct sim_call *c = begin_call(SIM_REALLOC, old, 0);
    c->block.n = old.n < op->n ? old.n : op->n;
    c->block.filled = kept;
    c->most = old.n > op->n ? old.n : (op->n + 63) / 64 * 64;
    if (op->n > 2048)
        c->most = (op->n + 4095) / 4096 * 4096;
    uint64_t off = unit_realloc(op->h, old.off, op->n);
    if (off) {
        struct sim_oracle before = *o;
        sim_oracle_drop(old.off);
        struct sim_block now = op_fresh(op->h, off);
        now.id = old.id;
        now.filled = kept;
        sim_oracle_add(now);
        if (off == old.off && now.n == old.n) { // nothing was done
            memcpy(o->doubt, before.doubt, sizeof o->doubt);
            o->doubt_n = before.doubt_n;
        }
    }
    op_returned("return of realloc");
    return 1;
}

int op_cancel(const struct op *op)
{
    uint64_t off = unit_reserve(op->h, op->n);
    if (!off)
        return 1;
    unit_fill(op->h, off, op->n, op_fresh(op->h, off).id);
    op_must(unit_cancel(op->h, off), "cancel");
    op_returned("return of cancel");
    return 1;
}

/* A reservation stays open... */
int op_reserve(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    if (o->held_n == sizeof o->held / sizeof *o->held)
        return 0;
    uint64_t off = unit_reserve(op->h, op->n);
    if (!off)
        return 1;
    struct sim_block b = op_fresh(op->h, off);
    unit_fill(op->h, off, op->n / 8 * 8, b.id);
    b.id = op->h;
    o->held[o->held_n++] = b;
    op_returned("return of reserve");
    return 1;
}

/* ...until its handle publishes it. */
int op_adopt(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned i = 0;
    while (i < o->held_n && o->held[i].id != op->h)
        i++;
    if (i == o->held_n || o->root[op->slot])
        return 0;
    struct sim_block b = o->held[i];
    op_unhold(i);
    publish_block(op, b.off, b.n);
    return 1;
}

/* ...or until another thread of its process does, to which it was handed by an
 * ordinary store. */
int op_adopt_elsewhere(const struct op *op)
{
    if (op->h)
        return 0;
    sim_thread = SIM_THREADS - 1;
    return op_adopt(op);
}

void op_store_root(unsigned h, unsigned slot, uint64_t off)
{
    sim_oracle.maybe[slot] = off;
    unit_set(h, slot, off);
}

/* The program moves a name with its own stores, each made durable by itself. */
int op_move(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned to = op->slot, from = !to;
    uint64_t off = o->root[from];
    if (!off || o->root[to])
        return 0;
    op_store_root(op->h, to, off);
    op_must(unit_flush_root(op->h, to) || unit_fence(op->h), "persist");
    op_set_root(to, off);
    op_returned("return of persist");
    op_store_root(op->h, from, 0);
    op_must(unit_flush_root(op->h, from) || unit_fence(op->h), "persist");
    op_set_root(from, 0);
    op_returned("return of persist");
    return 1;
}

/* The same in one epoch: until the fence, either may be durable. */
int op_move_once(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned to = op->slot, from = !to;
    uint64_t off = o->root[from];
    if (!off || o->root[to])
        return 0;
    op_store_root(op->h, to, off);
    op_store_root(op->h, from, 0);
    op_must(unit_flush_root(op->h, to) || unit_flush_root(op->h, from) ||
                unit_fence(op->h),
            "persist");
    op_set_root(to, off);
    op_set_root(from, 0);
    op_returned("return of persist");
    return 1;
}

/* Stores into the root area and into a block, and the sync of all. */
int op_sync(const struct op *op)
{
    struct sim_oracle *o = &sim_oracle;
    uint64_t value = ++o->ids << 32;
    struct sim_block *b = op_nameless();
    op_store_root(op->h, SIM_ROOTS - 2, value);
    if (b) {
        b->filled = 0;
        unit_fill(op->h, b->off, b->n, b->id);
    }
    op_must(unit_sync(op->h), "sync");
    op_set_root(SIM_ROOTS - 2, value);
    if (b)
        b->filled = b->n;
    op_returned("return of sync");
    return 1;
}

int op_grow(const struct op *op)
{
    uint64_t size = sim_here->length + 4096;
    if (size > SIM_BYTES || unit_fixed)
        return 0;
    op_must(unit_grow(op->h, size), "grow");
    if (sim_here->length != size)
        sim_fault("grow did not grow");
    op_returned("return of grow");
    return 1;
}

/* What the dead have left is seen to. */
static int op_reap(const struct op *op)
{
    op_must(unit_reap(op->h), "reap");
    op_returned("return of reap");
    return 1;
}

/* The process leaves, while others work. */
static int op_leave(const struct op *op)
{
    op_must(unit_close(op->h), "close");
    woven_left(op->h);
    op_returned("return of close");
    return 1;
}

void op_open_both(void)
{
    for (unsigned h = 0; h < 2; h++) {
        sim_thread = h;
        op_must(unit_open(h, 0), "open");
        op_returned("return of open");
    }
}

void op_close_both(void)
{
    for (unsigned h = 2; h-- > 0;) {
        sim_thread = h;
        op_must(unit_close(h), "close");
        for (unsigned i = sim_oracle.held_n; i-- > 0;)
            if (sim_oracle.held[i].id == h)
                op_unhold(i);
        op_returned("return of close");
    }
}

/* Both handles close, which gives reservations back, and open again. */
int op_reopen(const struct op *op)
{
    (void)op;
    op_close_both();
    op_open_both();
    return 1;
}

/* The region is made anew, over what is there. */
int op_anew(const struct op *op)
{
    (void)op;
    op_close_both();
    call()->doing = SIM_ANEW;
    op_must(unit_open(0, 1), "open anew");
    sim_oracle.n = 0;
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        op_set_root(i, 0);
    memset(sim_oracle.name, 0, sizeof sim_oracle.name);
    op_returned("return of open");
    sim_thread = 1;
    op_must(unit_open(1, 0), "open");
    return 1;
}

/* A name becomes `now`; 1: there is no room for that. */
static void name_call(const struct op *op, unsigned now)
{
    struct sim_block none = {0, 0, 0, 0, 0};
    begin_call(SIM_NAME, none, op->slot)->most = now;
}

static void name_is(const struct op *op, int err, const char *what)
{
    if (err != 1)
        op_must(err, what);
    if (!err)
        sim_oracle.name[op->slot] = (unsigned)call()->most;
    op_returned(what);
}

int op_construct(const struct op *op)
{
    if (sim_oracle.name[op->slot])
        return 0;
    name_call(op, op->slot == SIM_TOLD ? 5 : 1);
    name_is(op, unit_construct(op->h, op->slot, op->n), "construct");
    return 1;
}

/* As for retire. */
int op_destroy(const struct op *op)
{
    if (!sim_oracle.name[op->slot] || (sim_survivor && op->h))
        return 0;
    name_call(op, 0);
    name_is(op, unit_destroy(op->h, op->slot), "destroy");
    return 1;
}

int op_describe(const struct op *op)
{
    unsigned now = sim_oracle.name[op->slot];
    if (!now || (sim_survivor && op->h))
        return 0;
    name_call(op, now % 5 + 1);
    name_is(op, unit_describe(op->h, op->slot, now % 5), "describe");
    return 1;
}

/* ---- transactions ---- */

/* The model becomes what the transaction makes of it, or is again what it was
 * before. */
static void model_other(void)
{
    static struct sim_oracle other;
    other = sim_oracle;
    sim_oracle = sim_after;
    sim_after = other;
}

/* Reserves what is to be published to `slot`, or into what was published last.
 * All but its last word is filled. */
static int tx_publish(const struct op *op, unsigned slot, unsigned n,
                      struct sim_block *last)
{
    uint64_t off = unit_reserve(op->h, n);
    if (!off)
        return 0;
    struct sim_block b = op_fresh(op->h, off);
    b.filled = n / 8 * 8 - 8;
    unit_fill(op->h, off, b.filled + 8, b.id);
    uint64_t at = last->off + last->filled;
    int err = slot < SIM_ROOTS ? unit_tx_publish(op->h, slot, off)
                               : unit_tx_publish_at(op->h, at, off);
    if (err == 1) { // no room for the log
        op_must(unit_cancel(op->h, off), "cancel");
        return 0;
    }
    op_must(err, "tx publish");
    if (slot == SIM_ROOTS) {
        sim_inner_at = at;
        sim_inner = off;
    }
    model_other();
    sim_oracle_add(b);
    if (slot < SIM_ROOTS)
        op_set_root(slot, off);
    model_other();
    *last = b;
    return 1;
}

/* Gives back what an aborted transaction was to publish. */
static void tx_cancel(const struct op *op)
{
    for (unsigned i = 0; i < sim_after.n; i++)
        if (!sim_oracle_find(sim_after.live[i].off))
            op_must(unit_cancel(op->h, sim_after.live[i].off), "cancel");
}

/* What the program may free or keep of what there will be. */
static struct sim_block *tx_nameless(void)
{
    model_other();
    struct sim_block *b = op_nameless();
    static struct sim_block found;
    if (b)
        found = *b;
    model_other();
    return b && sim_oracle_find(found.off) ? &found : NULL;
}

static int tx_goes(const struct op *op, uint64_t off, unsigned slot)
{
    int err = slot < SIM_ROOTS ? unit_tx_release(op->h, slot)
                               : unit_tx_free(op->h, off);
    if (err == 1)
        return 0;
    op_must(err, "tx release or free");
    model_other();
    sim_oracle_drop(off);
    if (slot < SIM_ROOTS)
        op_set_root(slot, 0);
    model_other();
    return 1;
}

/* Words that the transaction is to set when it commits: after all stores. */
static unsigned tx_sets;

/* The word is kept, and then stored to, and so is a block that has no name. */
static int tx_keep(const struct op *op, unsigned slot, int two)
{
    struct sim_block *b = two ? tx_nameless() : NULL;
    uint64_t value = ++sim_oracle.ids << 32;
    int err = b && b->filled ? unit_tx_keep_two(op->h, slot, b->off, b->filled)
                             : unit_tx_keep(op->h, slot);
    if (err == 1)
        return 0;
    op_must(err, "snapshot");
    sim_crash("return of snapshot");
    unit_set(op->h, slot, value);
    if (b && b->filled)
        unit_fill(op->h, b->off, b->filled, sim_oracle.ids);
    model_other();
    if (!(tx_sets >> slot & 1))
        op_set_root(slot, value);
    if (b && b->filled)
        sim_oracle_find(b->off)->id = sim_after.ids;
    model_other();
    return 1;
}

static int tx_set(const struct op *op, unsigned slot)
{
    uint64_t value = ++sim_oracle.ids << 32;
    int err = unit_tx_set(op->h, slot, value);
    if (err == 1)
        return 0;
    op_must(err, "tx set");
    tx_sets |= 1u << slot;
    model_other();
    op_set_root(slot, value);
    model_other();
    return 1;
}

/* The action of a letter: 0, 1: publish 64 or 200 there; n: 3000 to 0; i: 64
 * into what was published last; r, q: release 0, 1; f: free; s, t: set a word;
 * k, l: keep one and store, m: with a block, h: the word 1, to abort. */
static int tx_action(const struct op *op, char what, struct sim_block *last)
{
    const struct sim_block *b = NULL;
    const uint64_t *root = sim_oracle.root, *then = sim_after.root;
    unsigned slot = what == '1' || what == 'q';
    switch (what) {
    case '0':
    case '1': return !then[slot] && tx_publish(op, slot, slot ? 200 : 64, last);
    case 'n': return !then[0] && tx_publish(op, 0, 3000, last);
    case 'i':
        return last->off && !sim_inner_at &&
               tx_publish(op, SIM_ROOTS, 64, last);
    case 'r':
    case 'q':
        return root[slot] && root[slot] == then[slot] &&
               tx_goes(op, root[slot], slot);
    case 'f': b = tx_nameless(); return b && tx_goes(op, b->off, SIM_ROOTS);
    case 's': return tx_set(op, 4);
    case 't': return tx_set(op, 5);
    case 'h': return !root[1] && tx_keep(op, 1, 0);
    case 'k': return tx_keep(op, 4, 0);
    case 'l': return tx_keep(op, 5, 0);
    case 'm': return tx_keep(op, 5, 1);
    default: return 0;
    }
}

/* A transaction: its actions are the letters behind "tx "; x: it aborts. */
int op_tx(const struct op *op)
{
    struct sim_block last = {0, 0, 0, 0, 0};
    const char *at = op->name + 3;
    int err;
    if (sim_survivor && op->h)
        return 0;
    sim_after = sim_oracle;
    sim_inner_at = tx_sets = 0;
    op_must(unit_begin(op->h), "begin");
    for (; *at && *at != ' ' && *at != 'x'; at++)
        tx_action(op, *at, &last);
    if (*at == 'x') {
        op_must(unit_abort(op->h), "abort");
        tx_cancel(op);
        op_returned("return of abort");
        return 1;
    }
    sim_after.ids = sim_oracle.ids;
    sim_commits = 1;
    err = unit_commit(op->h);
    sim_commits = 0;
    op_must(err, "commit");
    sim_oracle = sim_after;
    op_returned("return of commit");
    return 1;
}

const struct op op_alphabet[] = {
    {"publish 64 to 0", op_publish, 0, 0, 64, 0},
    {"publish 200 to 1", op_publish, 0, 1, 200, 0},
    {"publish 64 to 1 by B", op_publish, 1, 1, 64, 0},
    {"release 0", op_release, 0, 0, 0, 0},
    {"release 1", op_release, 0, 1, 0, 0},
    {"release 0 by B", op_release, 1, 0, 0, 0},
    {"move 0 to 1", op_move, 0, 1, 0, 0},
    {"move 1 to 0 at once", op_move_once, 0, 0, 0, 0},
    {"move 0 to 1 by B", op_move, 1, 1, 0, 0},
    {"alloc 1900", op_alloc, 0, 0, 1900, 0},
    {"alloc 100", op_alloc, 0, 0, 100, 0},
    {"free", op_free, 0, 0, 0, 0},
    {"free by B", op_free, 1, 0, 0, 0},
    {"retire", op_retire, 0, 0, 0, 0},
    {"retire by B", op_retire, 1, 0, 0, 0},
    {"realloc to 300", op_realloc, 0, 0, 300, 0},
    {"realloc to 40", op_realloc, 0, 0, 40, 0},
    {"reserve, cancel", op_cancel, 0, 0, 200, 0},
    {"reserve", op_reserve, 0, 0, 64, 0},
    {"publish it to 1", op_adopt, 0, 1, 0, 0},
    {"publish it to 0 elsewhere", op_adopt_elsewhere, 0, 0, 0, 0},
    {"publish 3000 to 0", op_publish, 0, 0, 3000, 0},
    {"alloc 64 at 1024", op_alloc, 0, 0, 64, 1024},
    {"zalloc 100", op_zalloc, 0, 0, 100, 0},
    {"store, sync", op_sync, 0, 0, 0, 0},
    {"alloc 3000", op_alloc, 0, 0, 3000, 0},
    {"alloc 3000 at 4096", op_alloc, 1, 0, 3000, 4096},
    {"zalloc 3000", op_zalloc, 0, 0, 3000, 0},
    {"realloc to 3000", op_realloc, 0, 0, 3000, 0},
    {"publish 200 to 0 by B", op_publish, 1, 0, 200, 0},
    {"grow", op_grow, 0, 0, 0, 0},
    {"close, open", op_reopen, 0, 0, 0, 0},
    {"make anew", op_anew, 0, 0, 0, 0},
};
const unsigned op_alphabet_n = sizeof op_alphabet / sizeof *op_alphabet;

/* Those that only scripts have. */
static const struct op others[] = {
    {"alloc 64", op_alloc, 0, 0, 64, 0},
    {"alloc 200", op_alloc, 0, 0, 200, 0},
    {"alloc 5000", op_alloc, 0, 0, 5000, 0},
    {"publish 1000 to 0", op_publish, 0, 0, 1000, 0},
    {"publish 1280 to 1", op_publish, 0, 1, 1280, 0},
    {"publish 200 to 3", op_publish, 0, 3, 200, 0},
    {"publish 64 to 3", op_publish, 0, 3, 64, 0},
    {"release 3", op_release, 0, 3, 0, 0},
    {"realloc to 1000", op_realloc, 0, 0, 1000, 0},
    {"reap", op_reap, 0, 0, 0, 0},
    {"collect", op_collect, 0, 0, 0, 0},
    {"collect by B", op_collect, 1, 0, 0, 0},
    {"leave", op_leave, 0, 0, 0, 0},
    {"alloc 64 by B", op_alloc, 1, 0, 64, 0},
    {"construct a", op_construct, 0, 0, 24, 0},
    {"construct b", op_construct, 0, 1, 24, 0},
    {"construct e", op_construct, 0, 4, 24, 0},
    {"construct f", op_construct, 0, 5, 24, 0},
    {"construct g", op_construct, 0, 6, 24, 0},
    {"construct h", op_construct, 0, 7, 24, 0},
    {"construct i", op_construct, 0, 8, 24, 0},
    {"construct j", op_construct, 0, 9, 24, 0},
    {"construct k", op_construct, 0, 10, 24, 0},
    {"construct l", op_construct, 0, 11, 24, 0},
    {"construct m", op_construct, 0, 12, 24, 0},
    {"construct n", op_construct, 0, 13, 24, 0},
    {"construct o", op_construct, 0, 14, 24, 0},
    {"construct p", op_construct, 0, 15, 24, 0},
    {"construct c", op_construct, 0, 2, 300, 0},
    {"construct d", op_construct, 0, 3, 2500, 0},
    {"construct a by B", op_construct, 1, 0, 24, 0},
    {"destroy a", op_destroy, 0, 0, 0, 0},
    {"destroy a by B", op_destroy, 1, 0, 0, 0},
    {"destroy b", op_destroy, 0, 1, 0, 0},
    {"destroy c", op_destroy, 0, 2, 0, 0},
    {"destroy d", op_destroy, 0, 3, 0, 0},
    {"describe a", op_describe, 0, 0, 0, 0},
    {"describe c", op_describe, 0, 2, 0, 0},
    {"describe e", op_describe, 0, 4, 0, 0},
    {"construct c by B", op_construct, 1, 2, 300, 0},
};

/* What a kill of its process leaves of it is known: it makes all of its stores
 * durable by itself, or none is looked at. */
static int can_be_killed(const struct op *op)
{
    return op->run != op_realloc && op->run != op_move &&
           op->run != op_move_once && op->run != op_sync && op->run != op_anew;
}

/* Handles are threads too. Whoever takes over got the word by a locked
 * instruction of the other: see docs/design.md. */
int op_run(const struct op *op)
{
    if (sim_thread != op->h) {
        sim_saw_locked();
        sim_thread = op->h;
    }
    op_note(op->name);
    op_can_be_killed = can_be_killed(op);
    if (!op->run(op)) {
        op_depth--;
        return 0;
    }
    const char *unseen = sim_world_unseen(sim_here);
    if (unseen)
        sim_fault("%s", unseen);
    return 1;
}

static const struct op *among(const struct op *ops, unsigned count,
                              const char *name, size_t n)
{
    for (unsigned i = 0; i < count; i++)
        if (!strncmp(ops[i].name, name, n) && !ops[i].name[n])
            return &ops[i];
    return NULL;
}

/* The operation whose name is the first `n` bytes of `name`. */
const struct op *op_named(const char *name, size_t n)
{
    static char text[24];
    static struct op tx = {text, op_tx, 0, 0, 0, 0};
    if (!strncmp(name, "tx ", 3) && n < sizeof text) {
        snprintf(text, sizeof text, "%.*s", (int)n, name);
        tx.h = strstr(text, " B") != NULL;
        return &tx;
    }
    const struct op *op = among(op_alphabet, op_alphabet_n, name, n);
    if (!op)
        op = among(others, sizeof others / sizeof *others, name, n);
    if (!op)
        sim_fault("no operation is called %s", name);
    return op;
}

/* Runs operations by their names, with "; " between them. */
void op_script(const char *names)
{
    while (*names) {
        size_t n = strcspn(names, ";");
        op_run(op_named(names, n));
        names += n;
        names += strspn(names, "; ");
    }
}
