/* world.c -- memory, what is durable of it, and what may be
 *
 * The unit under test runs on `mem`. Its stores are logged in program order
 * until a fence (or a sync, or whatever else drains in the model) moves them
 * to `durable`. What is still in the log at a crash may have reached the
 * medium or not: crash.c makes the images. */
#include "sim.h"

#include <string.h>

#include "../../core/policy.h"

enum sim_model sim_model;
struct sim_world sim_worlds[SIM_DEPTH + 1] __attribute__((aligned(SIM_PAGE)));
struct sim_world *sim_here;
unsigned sim_depth;
unsigned sim_thread;

void sim_world_clear(struct sim_world *w)
{
    memset(w, 0, offsetof(struct sim_world, log));
    w->number = 1;
}

/* Copies all but the unused part of the log. */
void sim_world_copy(struct sim_world *to, const struct sim_world *from)
{
    memcpy(to, from,
           offsetof(struct sim_world, log) + from->stores * sizeof *from->log);
}

static void log_word(struct sim_world *w, uint32_t word, int streamed)
{
    uint64_t value;
    memcpy(&value, w->mem + 8 * word, 8);
    if (memcmp(&value, w->seen + 8 * word, 8) == 0)
        return;
    memcpy(w->seen + 8 * word, &value, 8);
    if (w->stores == SIM_LOG)
        sim_world_evict(w, SIM_LOG / 2);
    w->log[w->stores++] = (struct sim_store){value, w->number++, (uint16_t)word,
                                             (uint16_t)streamed};
}

/* The call-out comes before the store: its value is there at the next one. */
void sim_world_latch(struct sim_world *w)
{
    if (!w->under_way_n)
        return;
    uint32_t last = (w->under_way + w->under_way_n - 1) / 8;
    for (uint32_t word = w->under_way / 8; word <= last; word++)
        log_word(w, word, (int)w->under_way_streamed);
    w->under_way_n = 0;
    if (w->under_way_streamed) {
        w->under_way_streamed = 0;
        sim_saw(ALPS_SAW_FLUSH, w->mem + w->under_way, SIM_LINE, NULL);
    }
}

static int place_of(const struct sim_world *w, const void *p, uint32_t *place)
{
    uintptr_t off = (uintptr_t)p - (uintptr_t)w->mem;
    *place = (uint32_t)off;
    return off < SIM_BYTES;
}

/* `n` bytes at `p` are about to be stored. */
void sim_saw_write(const void *p, size_t n)
{
    struct sim_world *w = sim_here;
    uint32_t place;
    if (!w || !place_of(w, p, &place) || !n)
        return;
    if (!w->tracked) {
        sim_saw_overwrite(w, place, n);
        return;
    }
    uint32_t before = w->stores;
    sim_world_latch(w);
    if (sim_model == SIM_KILL && w->stores != before)
        sim_crash("store");
    w->under_way = place;
    w->under_way_n = (uint32_t)n;
}

/* Makes the stores durable for which `done` answers 1. */
static void settle_stores(struct sim_world *w,
                          int (*done)(const struct sim_world *w,
                                      const struct sim_store *s, uint64_t from,
                                      uint64_t to),
                          uint64_t from, uint64_t to)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->stores; i++) {
        const struct sim_store *s = &w->log[i];
        if (done(w, s, from, to))
            memcpy(w->durable + 8 * s->word, &s->value, 8);
        else
            w->log[kept++] = *s;
    }
    w->stores = kept;
}

static int is_marked(const struct sim_world *w, const struct sim_store *s,
                     uint64_t from, uint64_t to)
{
    (void)from;
    (void)to;
    return s->number < w->mark[sim_thread][s->word / (SIM_LINE / 8)];
}

static int is_between(const struct sim_world *w, const struct sim_store *s,
                      uint64_t from, uint64_t to)
{
    (void)w;
    return 8ull * s->word >= from && 8ull * s->word < to;
}

/* Moves what this thread wrote back to where no crash takes it away. */
void sim_world_drain(struct sim_world *w)
{
    uint32_t *marks = &w->marks[sim_thread];
    if (!*marks)
        return;
    settle_stores(w, is_marked, 0, 0);
    while (*marks)
        w->mark[sim_thread][w->marked[sim_thread][--*marks]] = 0;
}

/* The medium gets this length; what is behind it is gone, now and for ever. */
void sim_world_cut(struct sim_world *w, uint64_t length)
{
    if (w->tracked) {
        sim_world_latch(w);
        settle_stores(w, is_between, length, SIM_BYTES);
    } else {
        sim_saw_overwrite(w, (uint32_t)length, SIM_BYTES - length);
    }
    memset(w->mem + length, 0, SIM_BYTES - length);
    memset(w->durable + length, 0, SIM_BYTES - length);
    memset(w->seen + length, 0, SIM_BYTES - length);
    w->length = length;
}

/* All of `mem` is durable, and stores are logged. */
void sim_world_start(struct sim_world *w)
{
    memcpy(w->durable, w->mem, SIM_BYTES);
    memcpy(w->seen, w->mem, SIM_BYTES);
    memset(w->mark, 0, sizeof w->mark);
    memset(w->marks, 0, sizeof w->marks);
    w->stores = w->under_way_n = w->under_way_streamed = 0;
    w->number = 1;
    w->tracked = 1;
}

/* A long program's index is never written back; its oldest stores have been
 * evicted by now. Bounds the log to `keep` stores. */
void sim_world_evict(struct sim_world *w, unsigned keep)
{
    if (w->stores <= keep)
        return;
    uint32_t gone = w->stores - keep;
    for (uint32_t i = 0; i < gone; i++)
        memcpy(w->durable + 8 * w->log[i].word, &w->log[i].value, 8);
    memmove(w->log, w->log + gone, keep * sizeof *w->log);
    w->stores = keep;
}

/* A store that no call-out announced would go unwatched: says so. */
const char *sim_world_unseen(struct sim_world *w)
{
    sim_world_latch(w);
    return memcmp(w->mem, w->seen, SIM_BYTES) ? "a store was not seen" : NULL;
}

static void written_back(struct sim_world *w, const void *p, size_t n)
{
    uint32_t place;
    uint32_t *mark = w->mark[sim_thread];
    if (!n || !place_of(w, p, &place))
        return;
    for (uint32_t line = place / SIM_LINE;
         line <= (place + n - 1) / SIM_LINE && line < SIM_LINES; line++) {
        if (!mark[line])
            w->marked[sim_thread][w->marks[sim_thread]++] = line;
        mark[line] = w->number;
    }
}

static void stream_begins(struct sim_world *w, const void *p, size_t n)
{
    uint32_t place;
    if (!place_of(w, p, &place))
        return;
    w->under_way = place;
    w->under_way_n = (uint32_t)n;
    w->under_way_streamed = 1;
}

static void drain(struct sim_world *w, const char *at)
{
    if (!w->marks[sim_thread])
        return;
    sim_crash(at);
    sim_world_drain(w);
}

/* A locked instruction waits for the write-backs of its thread on x86. */
void sim_saw_locked(void)
{
    struct sim_world *w = sim_here;
    if (!w || !w->tracked || sim_model != SIM_X86)
        return;
    sim_world_latch(w);
    drain(w, "a locked instruction");
}

/* An act of the library; `site` is where in the unit, NULL: not of it. Answers
 * 1 where the act is to be left out. */
int sim_saw(int event, const void *p, size_t n, const void *site)
{
    struct sim_world *w = sim_here;
    if (!w)
        return 0;
    int off = site && event != ALPS_SAW_LOCK &&
              sim_site_is_off(sim_site(event, site));
    if (!w->tracked) {
        if (event == ALPS_SAW_STREAM && !off)
            sim_saw_write(p, n);
        return off;
    }
    sim_world_latch(w);
    if (off)
        return 1;
    if (sim_model == SIM_PAGES && event != ALPS_SAW_STREAM)
        return 0; // what the backend syncs is durable, nothing else
    switch (event) {
    case ALPS_SAW_FLUSH: written_back(w, p, n); break;
    case ALPS_SAW_STREAM: stream_begins(w, p, n); break;
    case ALPS_SAW_LOCK: sim_saw_locked(); break;
    case ALPS_SAW_FENCE: drain(w, "a fence"); break;
    case SIM_SAW_SETTLE:
        if (sim_model == SIM_WEAK)
            drain(w, "settle");
        break;
    default: break;
    }
    return 0;
}

/* The place from which the next act comes. */
static const void *site;

__attribute__((noinline)) void sim_at_site(void)
{
    site = __builtin_return_address(0);
}

/* The backend has written the pages of [off, off + n), whatever the policy. */
void sim_synced(uint64_t off, uint64_t n)
{
    struct sim_world *w = sim_here;
    uint64_t from = off / SIM_PAGE * SIM_PAGE;
    uint64_t to = (off + n + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
    if (sim_site_is_off(sim_site(SIM_SAW_SYNC, site)) || !w->tracked ||
        sim_model == SIM_KILL)
        return;
    sim_world_latch(w);
    sim_crash("sync");
    settle_stores(w, is_between, from, to);
}

/* What ALPS_OBSERVE of the unit calls. Real write-backs and fences do nothing
 * for a simulated medium and are left out; streams are made, for their bytes,
 * and the gathering of msync is the policy's own. */
int sim_observe(int event, const void *p, size_t n)
{
    sim_point_of_all();
    int off = sim_saw(event, p, n, site);
    int real = event == ALPS_SAW_STREAM || sim_model == SIM_PAGES;
    return real ? off : 1;
}
