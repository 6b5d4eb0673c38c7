/* toy.c -- does the simulator see what it should?
 *
 * A toy in place of the library: a header that commits entries, correct or
 * with one of five mistakes. The correct one must have no bad image, the
 * others must have some, each in the models that its mistake is one in. And a
 * count that two add to: in two steps one of them must be lost. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/policy.h"
#include "weave.h"

struct entry {
    uint64_t number, inverse, body[13], sum;
};

struct toy {
    uint64_t committed, line0[7];
    uint64_t first, second, line1[6];
    uint64_t recovered, line2[7];
    uint64_t relied, line3[7];
    struct entry entries[16];
};

enum bug {
    RIGHT,
    NO_FLUSH,       /* the entry is not written back */
    NO_FENCE,       /* entry and commit share a fence */
    SAME_LINE,      /* relies on the order of stores within a line */
    HALF_FLUSH,     /* only the first line of the entry is written back */
    RECOVERY_FLUSH, /* the recovery forgets to write back */
    BUGS
};
static const char *const names[] = {
    "no mistake",          "a forgotten flush", "a forgotten fence",
    "order within a line", "half a flush",      "a forgotten flush in recovery",
};
static enum bug bug;

static void flush(const void *p, size_t n)
{
    sim_observe(ALPS_SAW_FLUSH, p, n);
}

static void fence(void)
{
    sim_observe(ALPS_SAW_FENCE, NULL, 0);
}

/* The medium of the moment: a recovery has another one. */
static struct toy *toy(void)
{
    return (struct toy *)(void *)sim_here->mem;
}

static void commit(struct toy *t, uint64_t i)
{
    struct entry *e = &t->entries[i % 16];
    e->number = i;
    e->inverse = ~i;
    for (unsigned k = 0; k < 13; k++)
        e->body[k] = i * (k + 3);
    e->sum = i ^ 0x5a5a;
    if (bug != NO_FLUSH)
        flush(e, bug == HALF_FLUSH ? 64 : sizeof *e);
    if (bug != NO_FENCE)
        fence();
    t->committed = i;
    flush(&t->committed, 8);
    fence();
    t->second = i; // before `first` on the medium, it is hoped
    if (bug != SAME_LINE) {
        flush(&t->second, 8);
        fence();
    }
    t->first = i;
    flush(&t->first, 16);
    fence();
}

/* What a crash left. The recovery notes what it found, then what it noted. */
void unit_look(unsigned h, struct sim_view *v)
{
    (void)h;
    struct toy *t = toy();
    uint64_t i = t->committed;
    const struct entry *e = &t->entries[i % 16];
    memset(v, 0, offsetof(struct sim_view, block));
    v->what = "the toy";
    v->root[0] = i;
    v->err = (i && (e->number != i || e->inverse != ~i ||
                    e->body[12] != i * 15 || e->sum != (i ^ 0x5a5a))) ||
             t->first > t->second || t->relied > t->recovered;
    t->recovered = i;
    if (bug != RECOVERY_FLUSH)
        flush(&t->recovered, 8);
    fence();
    t->relied = i;
    flush(&t->relied, 8);
    fence();
}

struct sim_oracle sim_oracle;

const char *sim_oracle_differs(const struct sim_view *v)
{
    return v->err ? "the toy is broken" : NULL;
}

const char *exercise(unsigned h, const struct sim_view *v)
{
    (void)h;
    (void)v;
    return NULL;
}

const char *programs_text(void)
{
    return names[bug];
}

void unit_handle(unsigned h, void **bytes, size_t *n)
{
    (void)h;
    *bytes = NULL;
    *n = 0;
}

/* ---- two at a time: each adds one to a count ---- */

static uint64_t counted;
static int atomically;
static unsigned long lost; /* runs that lost one */

static void none_yet(void)
{
    counted = 0;
}

static void add_one(unsigned who)
{
    (void)who;
    if (atomically) {
        __atomic_fetch_add(&counted, 1, __ATOMIC_SEQ_CST);
        return;
    }
    uint64_t before = __atomic_load_n(&counted, __ATOMIC_RELAXED);
    __atomic_store_n(&counted, before + 1, __ATOMIC_RELAXED);
}

static void nobody_dies(unsigned who)
{
    (void)who;
}

static void count_lost(void)
{
    lost += counted != 2;
}

static unsigned long lost_updates(int are_atomic)
{
    static const struct weave two = {3,       0,           none_yet,
                                     add_one, nobody_dies, count_lost};
    sim_here = &sim_worlds[0];
    sim_depth = 0;
    lost = 0;
    atomically = are_atomic;
    weave_all(&two, 1);
    sim_here = NULL;
    return lost;
}

static unsigned long bad_images(enum sim_model model, enum bug which)
{
    sim_model = model;
    bug = which;
    sim_bad = 0;
    sim_world_clear(&sim_worlds[0]);
    sim_here = &sim_worlds[0];
    sim_here->length = SIM_BYTES;
    sim_here->tracked = 1;
    for (uint64_t i = 1; i <= 40; i++) {
        commit(toy(), i);
        sim_crash("return");
    }
    sim_here = NULL;
    return sim_bad;
}

int main(void)
{
    unsigned passed = 0, failed = 0;
    if (!freopen("/dev/null", "w", stdout)) // bad images report themselves
        return 2;
    for (int model = SIM_X86; model <= SIM_WEAK; model++)
        for (int which = RIGHT; which < BUGS; which++) {
            int is_right =
                which == RIGHT || (which == SAME_LINE && model == SIM_X86);
            unsigned long bad =
                bad_images((enum sim_model)model, (enum bug)which);
            const char *name = model == SIM_X86 ? "x86" : "weak";
            if ((bad == 0) == is_right) {
                passed++;
                fprintf(stderr, "ok toy, %s, %s: %lu bad images\n", name,
                        names[which], bad);
            } else {
                failed++;
                fprintf(stderr, "FAIL toy, %s, %s: %lu bad images\n", name,
                        names[which], bad);
            }
        }
    for (int are_atomic = 0; are_atomic < 2; are_atomic++) {
        int right = (lost_updates(are_atomic) == 0) == are_atomic;
        passed += (unsigned)right;
        failed += (unsigned)!right;
        fprintf(stderr, "%s toy, %s: %lu runs lost an update\n",
                right ? "ok" : "FAIL", are_atomic ? "atomic" : "two steps",
                lost);
    }
    fprintf(stderr, "sim-toy: %u passed, %u failed\n", passed, failed);
    return failed != 0;
}
