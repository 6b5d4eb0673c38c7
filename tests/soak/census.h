/* census.h -- nobody works: what is there, and whose is it?
 *
 * Every object that was promised is there once and whole, and no more live
 * blocks are without a name than the dead can have left in the middle of an
 * alloc or a free of their own. These are freed. */
#pragma once
#include "board.h"

#define NAMES (SLOTS + BOXES + WORKERS * THREADS * HANDS + 1)

struct census {
    alps_heap *h;
    alps_off name[NAMES]; // sorted
    unsigned names, met;
    uint64_t strays;
};

static int by_place(const void *a, const void *b)
{
    alps_off x = *(const alps_off *)a, y = *(const alps_off *)b;
    return (x > y) - (x < y);
}

static void add_name(struct census *c, alps_off off, const char *of)
{
    if (!off)
        return;
    if (serial_at(c->h, off) == ~0ull)
        wrong("census: %s names no object: %llx", of, (unsigned long long)off);
    c->name[c->names++] = off;
}

static void add_names(struct census *c)
{
    struct tables *t = (struct tables *)alps_root(c->h, sizeof *t);
    for (unsigned i = 0; i < SLOTS; i++) {
        settle(c->h, i);
        add_name(c, *slot_of(c->h, i), "a slot");
    }
    for (unsigned i = 0; i < BOXES; i++)
        add_name(c, t->box[i], "a box");
    for (unsigned i = 0; i < WORKERS * THREADS * HANDS; i++)
        add_name(c,
                 board->worker[i / (THREADS * HANDS)]
                     .hand[i / HANDS % THREADS][i % HANDS]
                     .off,
                 "a hand");
    c->name[c->names++] = t->more;
    qsort(c->name, c->names, sizeof *c->name, by_place);
    for (unsigned i = 1; i < c->names; i++)
        if (c->name[i] == c->name[i - 1])
            wrong("census: the object at %llx has two names",
                  (unsigned long long)c->name[i]);
}

static int meet(void *context, void *p, size_t n)
{
    struct census *c = (struct census *)context;
    alps_off off = alps_off_of(c->h, p);
    (void)n;
    if (bsearch(&off, c->name, c->names, sizeof off, by_place)) {
        c->met++;
        return 0;
    }
    c->strays++;
    return alps_free(c->h, p);
}

/* All is there, and sound; strays are freed. */
static void count_all(struct census *c)
{
    alps_statistics s;
    MUST(alps_reap(c->h));
    sound(c->h, "before the count");
    add_names(c);
    MUST(alps_each(c->h, meet, c));
    if (c->met != c->names || c->strays > board->doubts)
        wrong("census: %u of %u objects; %llu have no name, of at most %llu",
              c->met, c->names, (unsigned long long)c->strays,
              (unsigned long long)board->doubts);
    board->doubts = 0;
    MUST(alps_trim(c->h)); // nobody reads any more
    MUST(alps_stats(c->h, &s));
    if (s.blocks != c->names || s.reserved || s.retired)
        wrong("census: %llu blocks, not %u; %llu bytes reserved, %llu retired",
              (unsigned long long)s.blocks, c->names,
              (unsigned long long)s.reserved, (unsigned long long)s.retired);
    sound(c->h, "after the count");
}

/* Frees all; then all memory is one block again. */
static void clear_all(alps_heap *h)
{
    struct tables *t = (struct tables *)alps_root(h, sizeof *t);
    uint64_t room = alps_extents_(&h->core) << h->core.at.extent_shift;
    alps_statistics s;
    for (unsigned i = 0; i < SLOTS; i++)
        MUST(alps_release(h, slot_of(h, i)));
    for (unsigned i = 0; i < BOXES; i++)
        MUST(alps_free(h, alps_at(h, t->box[i])));
    for (unsigned i = 0; i < WORKERS * THREADS * HANDS; i++)
        MUST(alps_free(h, alps_at(h, board->worker[i / (THREADS * HANDS)]
                                         .hand[i / HANDS % THREADS][i % HANDS]
                                         .off)));
    MUST(alps_release(h, &t->more));
    MUST(alps_trim(h));
    MUST(alps_stats(h, &s));
    if (s.used || s.reserved || s.spare || s.blocks || s.largest_free != room)
        wrong("at last %llu bytes are used, %llu reserved, %llu in slabs; "
              "%llu of %llu are one block",
              (unsigned long long)s.used, (unsigned long long)s.reserved,
              (unsigned long long)s.spare, (unsigned long long)s.largest_free,
              (unsigned long long)room);
    void *p = alps_alloc(h, room);
    if (!p)
        wrong("at last all memory is one block that cannot be had");
    MUST(alps_free(h, p));
    sound(h, "at last");
}

/* Opens the region, waits until it is told to look at all of it, and at last
 * frees it all. Runs as a process of its own. */
__attribute__((noreturn)) static void look(void)
{
    alps_heap h;
    struct census c;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(&c, 0, sizeof c);
    MUST(alps_open(&h, board->path, &board->options));
    while (!get(&board->count))
        nap(1000);
    alarm(board->keep ? 0 : 60);
    c.h = &h;
    count_all(&c);
    if (get(&board->count) == COUNT_AND_CLEAR)
        clear_all(&h);
    MUST(alps_close(&h));
    _exit(0);
}
