/* mended.c -- regions that are damaged and repaired
 *
 * A region is closed, or left by who died in it, or in the middle of an
 * operation; then it is damaged, by something that alps_repair puts right
 * without a loss, or its processes are only killed; and it is repaired, with crashes at each event. What a crash leaves
 * is repaired again, crashed again in that, opened, and has to be what the
 * model says: the model knows of no damage. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"
#include "programs.h"

#define NAMED "construct a; construct c; construct e; construct b; describe a; "
#define BLOCKS                                                                \
  "alloc 100; alloc 64; publish 64 to 0; alloc 200; publish 200 to 1; alloc " \
  "64; free; "

static const struct mended {
    const char *damage; /* see damage.h; NULL: nothing is damaged */
    const char *before; /* operations */
    const char *cut;    /* then one that crashes, at each of its events; */
    int closed;         /* or the region is closed, or else it is left */
    int refused;        /* open refuses it until all is well */
    uint64_t left_over; /* see sim.h */
} mended[] = {
    {NULL, BLOCKS, "release 1", 0, 0, 0},
    {NULL, BLOCKS, "publish 64 to 3", 0, 0, 0},
    {NULL, "alloc 200", "publish 64 to 0", 0, 0, 0},
    {"super", BLOCKS, NULL, 1, 0, 0},
    {"super", BLOCKS, "release 0", 0, 0, 0},
    {"bit", BLOCKS, NULL, 1, 0, 0},
    {"spare", BLOCKS, NULL, 1, 0, 0},
    {"size", BLOCKS "alloc 3000", NULL, 0, 0, 0},
    {"journal", BLOCKS, NULL, 1, 1, 0},
    {"epoch", BLOCKS, NULL, 0, 0, 0},
    {"epoch", BLOCKS, "publish 200 to 0 by B", 0, 0, 0},
    {"epoch", BLOCKS, "release 1", 0, 0, 0},
    {"epoch", BLOCKS, "tx 0kf", 0, 0, 0},
    {"epochs", BLOCKS, NULL, 1, 0, 0},
    {"epochs", BLOCKS "alloc 1900; free", NULL, 0, 0, 0},
    {"done", "publish 64 to 0; move 0 to 1; alloc 200", NULL, 0, 0, 0},
    {"code", BLOCKS, NULL, 1, 0, 0},
    {"kind", BLOCKS, NULL, 1, 0, 0},
    {"class", BLOCKS, NULL, 0, 0, 0},
    {"mark", BLOCKS, NULL, 0, 0, 0},
    {"mark loose", BLOCKS, NULL, 1, 1, 0},
    {"mark journal", BLOCKS, NULL, 0, 1, 0},
    {"held", BLOCKS, NULL, 1, 0, 0},
    {"inside", BLOCKS, NULL, 1, 0, 0},
    {"behind", BLOCKS, NULL, 0, 0, 0},
    {"front", BLOCKS, NULL, 1, 0, 0},
    {"pledge", BLOCKS, NULL, 1, 0, 0},
    {"names", "alloc 100; " NAMED, NULL, 1, 1, 448},
    {"names", NAMED "alloc 1900; alloc 1900", NULL, 0, 1, 448},
    {"link", NAMED BLOCKS, NULL, 1, 0, 0},
    {"named", NAMED, NULL, 0, 0, 0},
    {"slab", BLOCKS, NULL, 1, 0, 0},
};

/* Of what was in a slab the model has one block now. */
static void is_one_block(struct sim_block lost)
{
    struct sim_oracle *o = &sim_oracle;
    for (unsigned i = o->n; i-- > 0;)
        if (o->live[i].off - lost.off < lost.n)
            sim_oracle_drop(o->live[i].off);
    lost.id = ++o->ids;
    sim_oracle_add(lost);
}

/* Nobody is at it any more. Where it is damaged, whatever was stored is
 * durable. */
static void damage(const char *name)
{
    struct sim_world *w = sim_here;
    struct sim_block lost;
    sim_world_latch(w);
    memset(w->lease, 0, sizeof w->lease);
    sim_oracle.held_n = 0;
    if (!name)
        return;
    w->tracked = 0;
    unit_damage(name, &lost);
    sim_world_start(w);
    if (lost.n)
        is_one_block(lost);
}

/* Repairs it, and looks at it: crashes come on the way, and behind. */
static void repair(const struct mended *m)
{
    static struct sim_view found;
    op_note(m->damage ? m->damage : "repair");
    damage(m->damage);
    sim_thread = 0;
    sim_left_over = m->left_over;
    sim_repairs = m->refused ? SIM_REPAIRS_REFUSED : SIM_REPAIRS;
    op_must(unit_repair(), "repair");
    sim_repairs = SIM_REPAIRS_NOT;
    sim_left_over = 0;
    sim_crash("return of repair");
    unit_look(0, &found);
    const char *wrong = sim_oracle_differs(&found);
    if (wrong)
        sim_fault("%s, after a repair", wrong);
}

static void run(const struct mended *m, struct node *nodes)
{
    static volatile unsigned event;
    programs_begin(28 * 1024 + 4 * 4096);
    programs_open_quietly();
    unsigned events = sim_limits.events;
    sim_limits.events = 1u << 24; // others look at these
    op_script(m->before);
    if (m->closed)
        op_close_both();
    sim_limits.events = events;
    if (!m->cut) {
        repair(m);
        return;
    }
    programs_keep(nodes);
    sim_happens_killed = !m->damage && sim_model != SIM_KILL;
    for (event = 1;; event++) {
        programs_back_to(nodes);
        sim_happens_in = event;
        if (!setjmp(sim_happened)) {
            op_run(op_named(m->cut, strlen(m->cut)));
            sim_happens_in = 0;
            sim_happens_killed = 0;
            return;
        }
        op_note("CRASH");
        repair(m);
    }
}

void programs_mended(void)
{
    struct node *nodes = programs_nodes(1);
    for (unsigned i = 0; i < sizeof mended / sizeof *mended; i++)
        run(&mended[i], nodes);
    free(nodes);
}
