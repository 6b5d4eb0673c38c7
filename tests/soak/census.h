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

/* Says by whom blocks are held that should not be, and which objects are kept:
 * the first few of each. */
static void tell_held(const alps_handle *h)
{
    unsigned told = 0;
    for (const alps_shard *s = h->shards; s <= h->top; s++) {
        const uint64_t *table = alps_held_table_(h, s);
        for (uint64_t i = 0; i < 1ull << alps_held_shift_(s); i++) {
            alps_block b;
            alps_off off = (table[i] >> 16) * ALPS_GRANULE;
            if (table[i] <= ALPS_HELD_GONE_ || told++ > 20)
                continue;
            int code = alps_block_at_(h, off, &b);
            fprintf(stderr, "  shard %u: %llx, code %d, %llu bytes, slot %u\n",
                    (unsigned)(s - h->shards), (unsigned long long)off, code,
                    code < 0 ? 0 : (unsigned long long)alps_block_size_(&b),
                    (unsigned)(table[i] & 0xffff));
        }
    }
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_lane *l = &h->lanes[i];
        if (l->lock || l->held || l->pending || l->limbo || l->pin)
            fprintf(stderr,
                    "  lane %u: lock %llx, held %llx, pending %llx, limbo "
                    "%llx, pin %llu\n",
                    i, (unsigned long long)l->lock, (unsigned long long)l->held,
                    (unsigned long long)l->pending,
                    (unsigned long long)l->limbo, (unsigned long long)l->pin);
    }
    fprintf(stderr, "  limbo %llx to %llx, leaving %llx, era %llu\n",
            (unsigned long long)h->shared->limbo,
            (unsigned long long)h->shared->limbo_last,
            (unsigned long long)h->shared->leaving,
            (unsigned long long)h->shared->era);
}

/* Says which objects of the slab at `place` are kept. */
static void tell_kept(const alps_handle *h, alps_off place)
{
    alps_slab slab = *alps_slab_head_(h, place);
    alps_slab *head = alps_slab_head_(h, place);
    if (!alps_slab_derive_(h, &slab))
        return;
    for (unsigned g = 0; g < alps_slab_groups_(&slab); g++) {
        const alps_keep *keep = &alps_slab_keeps_(h, head)[g];
        uint64_t now = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        uint64_t kept = alps_stats_keep_(h, head, keep) & ~now;
        if (kept)
            fprintf(stderr,
                    "  slab %llx of %llx, %u bytes, group %u: kept %llx, "
                    "pinned %llx, own %llx, far %llx\n",
                    (unsigned long long)place,
                    (unsigned long long)head->process, (unsigned)slab.size, g,
                    (unsigned long long)kept, (unsigned long long)keep->pinned,
                    (unsigned long long)keep->own,
                    (unsigned long long)keep->far);
    }
}

static void tell(const alps_handle *h)
{
    fprintf(stderr, "  here is slot %u, owner %llx\n", h->slot,
            (unsigned long long)alps_self_(h));
    tell_held(h);
    for (alps_off at = 0; at < alps_size_(h); at += 1ull << h->at.slab_shift)
        if (alps_slab_is_(h, at))
            tell_kept(h, at);
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
        tell(&c->h->core);
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
