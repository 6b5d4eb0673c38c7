/* together.c -- transactions of threads at the same time
 *
 * The model of one that runs alone is a second state of everything (op_tx). Of
 * several, each has what it is to do when it commits, in a list: until then none
 * of it has happened, what was kept has its old value; while it commits all of
 * it has or none; and so it is for each of them. Memory that one frees is given
 * out to another only when it has happened. Each thread has words of its own. */
#include <stdio.h>
#include <string.h>

#include "operations.h"

static struct sim_tx *mine(void)
{
    return &sim_oracle.tx[sim_thread];
}

static int does(enum sim_act_kind kind, unsigned slot, uint64_t value,
                struct sim_block b)
{
    struct sim_tx *t = mine();
    if (t->n == SIM_ACTS)
        sim_fault("a transaction has more actions than there is room for");
    t->act[t->n++] = (struct sim_act){kind, slot, value, b};
    return 1;
}

static int publishes(const struct op *op, unsigned slot, unsigned n)
{
    if (sim_oracle.root[slot])
        return 0;
    for (unsigned i = 0; i < mine()->n; i++)
        if (mine()->act[i].slot == slot)
            return 0;
    uint64_t off = unit_reserve(op->h, n);
    if (!off)
        return 0;
    struct sim_block b = op_fresh(op->h, off);
    b.filled = n / 8 * 8;
    does(SIM_ACT_PUBLISH, slot, off, b); // nobody else may have it
    unit_fill(op->h, off, b.filled, b.id);
    int err = unit_tx_publish(op->h, slot, off);
    if (err == 1) { // no room for the log
        mine()->n--;
        op_must(unit_cancel(op->h, off), "cancel");
        return 0;
    }
    op_must(err, "tx publish");
    return 1;
}

static int goes(const struct op *op, struct sim_block b, unsigned slot)
{
    does(SIM_ACT_GO, slot, 0, b);
    int err = slot < SIM_ROOTS ? unit_tx_release(op->h, slot)
                               : unit_tx_free(op->h, b.off);
    if (err == 1)
        mine()->n--;
    else
        op_must(err, "tx release or free");
    return 1;
}

static int sets(const struct op *op, unsigned slot)
{
    struct sim_block none = {0, 0, 0, 0, 0};
    uint64_t value = ++sim_oracle.ids << 32;
    int err = unit_tx_set(op->h, slot, value);
    if (err == 1)
        return 0;
    op_must(err, "tx set");
    return does(SIM_ACT_SET, slot, value, none);
}

static int keeps(const struct op *op, unsigned slot)
{
    struct sim_block none = {0, 0, 0, 0, 0};
    uint64_t value = ++sim_oracle.ids << 32;
    int err = unit_tx_keep(op->h, slot);
    if (err == 1)
        return 0;
    op_must(err, "snapshot");
    sim_crash("return of snapshot");
    unit_set(op->h, slot, value);
    return does(SIM_ACT_SET, slot, value, none);
}

/* The action of a letter: 0, 1: publish 64 or 200 to the thread's own two words;
 * r, q: release them; f: free; s, k: set its own third word, or keep it and
 * store. */
static int acts(const struct op *op, char what)
{
    unsigned slot = 2 * sim_thread + (what == '1' || what == 'q');
    static const unsigned words[SIM_THREADS] = {6, 7, 5};
    unsigned word = words[sim_thread]; // thread 2 publishes to one alone
    const struct sim_block *b = NULL;
    switch (what) {
    case '0': return publishes(op, slot, 64);
    case '1': return publishes(op, slot, 200);
    case 'r':
    case 'q':
        b = sim_oracle_find(sim_oracle.root[slot]);
        return b && !op_spoken_for_by_tx(b) && goes(op, *b, slot);
    case 'f': b = op_nameless(); return b && goes(op, *b, SIM_ROOTS);
    case 's': return sets(op, word);
    case 'k': return keeps(op, word);
    default: return 0;
    }
}

/* What was to be published is given back; another may take it at once. */
static void cancels(const struct op *op)
{
    struct sim_tx *t = mine();
    while (t->n) {
        struct sim_act a = t->act[--t->n];
        if (a.kind == SIM_ACT_PUBLISH)
            op_must(unit_cancel(op->h, a.value), "cancel");
    }
    t->state = SIM_TX_NONE;
}

/* As op_tx, beside others. */
int op_tx_together(const struct op *op)
{
    char text[24]; // the name is another's as soon as that runs
    snprintf(text, sizeof text, "%s", op->name + 3);
    int err = unit_begin(op->h);
    if (err == 1)
        return 0;
    op_must(err, "begin");
    mine()->n = 0;
    mine()->dead = 0;
    mine()->state = SIM_TX_OPEN;
    const char *at = text;
    for (; *at && *at != 'x'; at++)
        acts(op, *at);
    if (*at == 'x') {
        op_must(unit_abort(op->h), "abort");
        cancels(op);
        op_returned("return of abort");
        return 1;
    }
    mine()->state = SIM_TX_COMMITS;
    op_must(unit_commit(op->h), "commit");
    if (mine()->state == SIM_TX_COMMITS) // else another has its memory by now
        sim_tx_happens(sim_thread);
    op_returned("return of commit");
    return 1;
}
