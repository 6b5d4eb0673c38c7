/* crash.c -- the images a crash can leave, and the recovery of each
 *
 * At an event the states of all cells span a product of images. Most cells
 * (the index) are never read by a recovery before it has written them, so
 * their state cannot matter: a cell's state is chosen when the recovery first
 * reads a word on which its states differ. Where the product of the states
 * of the cells that are read is small, all of it is walked, depth first, by
 * running the recovery again with the last choice changed; where it is not,
 * each cell alone is old or new among new or old ones, and the rest is drawn
 * by seed. What is never read has a random state. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"

struct sim_limits sim_limits = {96, 48, 16, 6, 1, 4};
unsigned long sim_images, sim_bad, sim_nested;
int sim_quick, sim_survivor, sim_repairs;
uint64_t sim_left_over;
unsigned sim_happens_in;
int sim_happens_killed, sim_was_killed;
int op_can_be_killed;
jmp_buf sim_happened;

#define TRAIL 512u
#define SEEN 4096u
#define HANGS 2000000ul /* loads of a recovery that goes nowhere */

/* How the next image is chosen. */
enum way {
    WAY_TRAIL,  /* the choices of `trail`, then the newest state */
    WAY_PRESET, /* cell->now, set beforehand */
};

static struct crash {
    struct sim_cells cells;
    enum way way;
    struct {
        uint32_t cell, back; /* `back` states before the newest */
    } trail[TRAIL];
    uint32_t trail_n, looked;     /* choices on the trail, and made so far */
    uint32_t read[TRAIL], read_n; /* cells that some recovery read */
    uint64_t seen[SEEN];          /* presets made, by hash */
    unsigned long work;           /* loads since the image was made */
    jmp_buf out;
    char fault[256];
    struct sim_view view;
    const char *at;
} crashes[SIM_DEPTH];

/* What a completed first recovery found: a second one has to find the same. */
static const struct sim_view *settled;

static uint64_t random_state = 1;

void sim_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

uint64_t sim_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1dull >> 16;
}

/* ---- the image under recovery ---- */

static void set_words(struct crash *c, struct sim_world *w,
                      const struct sim_cell *cell)
{
    const unsigned char *state = sim_cell_state(&c->cells, cell, cell->now);
    for (uint32_t at = 0; at < cell->n; at += 8) {
        uint32_t word = (cell->place + at) / 8;
        if (!c->cells.open[word])
            continue;
        memcpy(w->mem + 8 * word, state + at, 8);
        c->cells.open[word] = 0;
        c->cells.open_n--;
    }
}

/* The recovery reads `cell`: now it matters what it holds. */
static void choose(struct crash *c, struct sim_world *w, uint32_t number)
{
    struct sim_cell *cell = &c->cells.cell[number];
    uint32_t back = 0;
    if (c->way == WAY_TRAIL) {
        if (c->looked < c->trail_n && c->trail[c->looked].cell == number)
            back = c->trail[c->looked].back;
        else
            c->trail_n = c->looked;
        if (back >= cell->states)
            back = 0;
        cell->now = cell->states - 1 - back;
    }
    if (c->looked < TRAIL) {
        c->trail[c->looked].cell = number;
        c->trail[c->looked++].back = back;
        if (c->trail_n < c->looked)
            c->trail_n = c->looked;
    }
    cell->chosen = 1;
    set_words(c, w, cell);
}

void sim_saw_read(const void *p, size_t n)
{
    struct sim_world *w = sim_here;
    if (!w || !sim_depth)
        return;
    struct crash *c = &crashes[sim_depth - 1];
    if (++c->work > HANGS)
        sim_fault("the recovery hangs");
    if (w->tracked)
        return;
    uintptr_t off = (uintptr_t)p - (uintptr_t)w->mem;
    if (off >= SIM_BYTES || !c->cells.open_n || !n)
        return;
    for (uintptr_t word = off / 8; word <= (off + n - 1) / 8; word++)
        if (c->cells.open[word])
            choose(c, w, c->cells.of_word[word] - 1u);
}

/* A recovery stores before it read: of the words it covers wholly, the old
 * content no longer matters. */
void sim_saw_overwrite(struct sim_world *w, uint32_t place, size_t n)
{
    if (!sim_depth)
        return;
    struct crash *c = &crashes[sim_depth - 1];
    if (!c->cells.open_n)
        return;
    for (uint32_t word = place / 8; 8 * word < place + n; word++) {
        if (!c->cells.open[word])
            continue;
        if (8 * word >= place && 8 * word + 8 <= place + n) {
            c->cells.open[word] = 0;
            c->cells.open_n--;
        } else {
            choose(c, w, c->cells.of_word[word] - 1u);
        }
    }
}

/* The machine dies; or a process does, and that of handle 1 goes on. */
static void leases(const struct sim_world *from, struct sim_world *to)
{
    void *alive;
    size_t n;
    unit_handle(1, &alive, &n);
    for (unsigned i = 0; i < SIM_LEASES; i++) {
        uintptr_t place = (uintptr_t)from->lease[i] - (uintptr_t)alive;
        to->lease[i] = sim_survivor && place < n ? from->lease[i] : NULL;
    }
}

/* The medium as the crash leaves it; cells that are not looked at yet have
 * any state. */
static void make_image(struct crash *c, const struct sim_world *from,
                       struct sim_world *to)
{
    const unsigned char *base =
        sim_model == SIM_KILL ? from->mem : from->durable;
    memcpy(to->mem, base, SIM_BYTES);
    to->length = from->length;
    to->tracked = 0;
    to->stores = to->under_way_n = 0;
    to->number = 1;
    leases(from, to);
    memset(c->cells.open, 0, sizeof c->cells.open);
    c->cells.open_n = 0;
    c->looked = 0;
    for (uint32_t i = 0; i < c->cells.n; i++) {
        struct sim_cell *cell = &c->cells.cell[i];
        if (c->way == WAY_TRAIL)
            cell->now = (uint32_t)(sim_random() % cell->states);
        cell->chosen = 0;
        memcpy(to->mem + cell->place,
               sim_cell_state(&c->cells, cell, cell->now), cell->n);
        for (uint32_t at = 0; at < cell->n; at += 8) {
            uint32_t word = (cell->place + at) / 8;
            c->cells.open[word] = c->cells.of_word[word] == i + 1;
            c->cells.open_n += c->cells.open[word];
        }
    }
}

/* ---- is it as it should be ---- */

/* What is wrong with the image, as found by what runs in it. */
void sim_fault(const char *format, ...)
{
    va_list list;
    char text[256];
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (sim_depth) {
        struct crash *c = &crashes[sim_depth - 1];
        memcpy(c->fault, text, sizeof text);
        longjmp(c->out, 1);
    }
    printf("bad: %s\n  program: %s\n", text, programs_text());
    sim_bad++;
    exit(1);
}

/* The next block that is not one left over. */
static unsigned next_block(const struct sim_view *v, unsigned i)
{
    while (i < v->n && sim_left_over && v->block[i].n == sim_left_over)
        i++;
    return i;
}

static const char *differs(const struct sim_view *v)
{
    if (!settled)
        return sim_oracle_differs(v);
    if (v->err)
        return "the second recovery fails";
    if (memcmp(v->root, settled->root, sizeof v->root))
        return "the second recovery finds something else";
    unsigned i = next_block(v, 0), k = next_block(settled, 0);
    for (; i < v->n && k < settled->n;
         i = next_block(v, i + 1), k = next_block(settled, k + 1))
        if (v->block[i].off != settled->block[k].off ||
            v->block[i].n != settled->block[k].n)
            return "the second recovery finds other blocks";
    return i < v->n || k < settled->n
               ? "the second recovery finds more blocks, or fewer"
               : NULL;
}

/* Recovers worlds[depth] and judges what it finds. NULL: all is well. */
static const char *judge(struct crash *c, int tracked)
{
    unsigned handle = 1 + sim_depth;
    c->work = 0;
    if (_setjmp(c->out))
        return c->fault;
    unit_look(handle, &c->view);
    const char *wrong = differs(&c->view);
    if (wrong || tracked || sim_random() % sim_limits.exercise)
        return wrong;
    return exercise(handle, &c->view);
}

static void report(const struct crash *c, const char *wrong)
{
    sim_bad++;
    if (sim_quick)
        exit(1);
    if (sim_bad > 40)
        return;
    printf("bad image: %s\n", wrong);
    if (c->view.err)
        printf("  %s answers %d\n", c->view.what, c->view.err);
    printf("  program: %s\n", programs_text());
    for (unsigned i = 0; i < sim_depth; i++)
        printf("  crash %u: at %s\n", i + 1, crashes[i].at);
    for (unsigned i = 0; i < sim_depth; i++)
        for (uint32_t k = 0; k < crashes[i].cells.n; k++) {
            const struct sim_cell *cell = &crashes[i].cells.cell[k];
            if (cell->chosen && cell->now + 1 < cell->states)
                printf("  crash %u: %#x has state %u of %u\n", i + 1,
                       cell->place, cell->now, cell->states);
        }
    for (unsigned i = 0; i < c->view.n && i < 16; i++)
        printf("  found: block %#jx of %ju\n", (uintmax_t)c->view.block[i].off,
               (uintmax_t)c->view.block[i].n);
}

/* The recovery of this image, watched store by store, and crashed again. */
static void crash_again(struct crash *c, const struct sim_world *from,
                        struct sim_world *to)
{
    c->way = WAY_PRESET;
    make_image(c, from, to);
    c->cells.open_n = 0;
    sim_world_start(to);
    const char *wrong = judge(c, 1);
    if (!wrong) {
        settled = &c->view;
        sim_crash("recovery done");
        settled = NULL;
    } else {
        report(c, wrong);
    }
    to->tracked = 0;
}

/* One image: made, recovered, judged. */
static void try_image(struct crash *c, const char *at)
{
    struct sim_world *from = sim_here, *to = from + 1;
    enum way way = c->way;
    c->at = at;
    make_image(c, from, to);
    sim_here = to;
    sim_depth++;
    sim_images++;
    const char *wrong = judge(c, 0);
    if (wrong)
        report(c, wrong);
    else if (sim_depth < SIM_DEPTH && sim_limits.nested &&
             sim_random() % sim_limits.nested == 0) {
        uint32_t trail_n = c->trail_n, looked = c->looked;
        sim_nested++;
        crash_again(c, from, to);
        c->way = way;
        c->trail_n = trail_n;
        c->looked = looked;
    }
    sim_depth--;
    sim_here = from;
}

/* ---- which images ---- */

static double product(const struct crash *c)
{
    double n = 1;
    for (uint32_t i = 0; i < c->looked; i++)
        n *= c->cells.cell[c->trail[i].cell].states;
    return n;
}

static void remember_read(struct crash *c)
{
    for (uint32_t i = 0; i < c->looked; i++) {
        uint32_t k = 0;
        while (k < c->read_n && c->read[k] != c->trail[i].cell)
            k++;
        if (k == c->read_n && k < TRAIL)
            c->read[c->read_n++] = c->trail[i].cell;
    }
}

/* All choices, the newest first, the last one read changed first. */
static void walk_all(struct crash *c, const char *at, unsigned limit)
{
    while (limit--) {
        c->trail_n = c->looked;
        while (c->trail_n) {
            uint32_t back = ++c->trail[c->trail_n - 1].back;
            if (back < c->cells.cell[c->trail[c->trail_n - 1].cell].states)
                break;
            c->trail_n--;
        }
        if (!c->trail_n)
            return;
        try_image(c, at);
    }
}

static void preset_all(struct crash *c, unsigned old_of_8, int between)
{
    for (uint32_t i = 0; i < c->cells.n; i++) {
        struct sim_cell *cell = &c->cells.cell[i];
        cell->now = sim_random() % 8 < old_of_8 ? 0 : cell->states - 1;
        if (between && sim_random() % 2)
            cell->now = (uint32_t)(sim_random() % cell->states);
    }
}

/* Whether this preset of the cells that are read is a new one. */
static int preset_is_new(struct crash *c)
{
    uint64_t hash = 1469598103934665603ull;
    for (uint32_t i = 0; i < c->read_n; i++)
        hash = (hash ^ c->cells.cell[c->read[i]].now) * 1099511628211ull;
    for (uint32_t at = (uint32_t)(hash >> 20) % SEEN, n = 0; n < 16; n++) {
        uint64_t *seen = &c->seen[(at + n) % SEEN];
        if (*seen == hash)
            return 0;
        if (!*seen) {
            *seen = hash;
            return 1;
        }
    }
    return 1;
}

static void try_preset(struct crash *c, const char *at)
{
    if (!preset_is_new(c))
        return;
    try_image(c, at);
    remember_read(c);
}

/* Each cell alone older than the rest and newer than the rest, as far as
 * `limit` goes, in an order by seed. */
static void one_by_one(struct crash *c, const char *at, unsigned limit)
{
    uint32_t n = 2 * c->read_n;
    uint32_t first = (uint32_t)sim_random();
    for (uint32_t i = 0; i < n && i < limit; i++) {
        uint32_t k = (first + i) % n;
        struct sim_cell *cell = &c->cells.cell[c->read[k / 2]];
        preset_all(c, k % 2 ? 8 : 0, 0);
        uint32_t off = (uint32_t)(sim_random() % (cell->states - 1));
        cell->now = k % 2 ? cell->states - 1 - off : off;
        try_preset(c, at);
    }
}

static void sample(struct crash *c, const char *at, unsigned limit)
{
    memset(c->seen, 0, sizeof c->seen);
    c->way = WAY_PRESET;
    preset_all(c, 8, 0);
    try_preset(c, at);
    one_by_one(c, at, limit / 2);
    for (unsigned i = 0; i < limit / 2; i++) {
        static const unsigned char old[] = {4, 1, 7, 4};
        preset_all(c, old[i % 4], i % 4 == 3);
        try_preset(c, at);
    }
}

/* The program's world becomes one that a crash now leaves. Where only the
 * processes are killed, memory is as it was, and what nobody wrote back is still
 * not durable. */
static void happen(void)
{
    struct sim_world *w = &sim_worlds[0];
    struct crash *c = &crashes[0];
    sim_was_killed = sim_happens_killed && op_can_be_killed;
    if (sim_was_killed) {
        memset(w->mark, 0, sizeof w->mark);
        memset(w->marks, 0, sizeof w->marks);
        memset(w->lease, 0, sizeof w->lease);
        longjmp(sim_happened, 1);
    }
    sim_cells_make(&c->cells, w);
    preset_all(c, (unsigned)(sim_random() % 9), sim_random() % 2);
    c->way = WAY_PRESET;
    make_image(c, w, &sim_worlds[1]);
    c->cells.open_n = 0;
    memcpy(w->mem, sim_worlds[1].mem, SIM_BYTES);
    sim_world_start(w);
    memset(w->lease, 0, sizeof w->lease);
    longjmp(sim_happened, 1);
}

/* A crash may come now. `at` says where we are. */
void sim_crash(const char *at)
{
    struct sim_world *w = sim_here;
    if (!w || !w->tracked || sim_depth == SIM_DEPTH ||
        (sim_survivor && sim_thread == 1)) // it is the other one that dies
        return;
    sim_world_latch(w);
    if (!sim_depth && sim_happens_in && !--sim_happens_in)
        happen();
    unsigned events = sim_limits.events;
    if (sim_model == SIM_KILL) // at every store would be too often
        events *= sim_depth ? 64 : 4;
    if (events > 1 && sim_random() % events)
        return;
    struct crash *c = &crashes[sim_depth];
    unsigned whole = sim_depth ? sim_limits.inside : sim_limits.whole;
    unsigned sampled = sim_depth ? sim_limits.inside : sim_limits.sampled;
    if (!whole && !sampled)
        return;
    sim_cells_make(&c->cells, w);
    c->way = WAY_TRAIL;
    c->trail_n = c->read_n = 0;
    try_image(c, at);
    remember_read(c);
    if (product(c) <= whole)
        walk_all(c, at, 4 * whole);
    else
        sample(c, at, sampled);
}
