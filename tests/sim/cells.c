/* cells.c -- what may be durable of each part of a world
 *
 * From the log of stores that nothing has made durable yet: which contents
 * each line (or word, or sector) may have at a crash. */
#include "cells.h"

#include <stdlib.h>
#include <string.h>

/* The stores of one cell, as a list through the log. */
static struct {
    uint32_t head[SIM_WORDS + SIM_LINES]; /* place in the log + 1 */
    uint32_t tail[SIM_WORDS + SIM_LINES];
    uint32_t next[SIM_LOG];
    uint32_t used[SIM_WORDS + SIM_LINES];
    uint32_t n;
    unsigned char streamed[SIM_LINES];
} lists;

const unsigned char *sim_cell_state(const struct sim_cells *c,
                                    const struct sim_cell *cell, uint32_t state)
{
    return c->arena + cell->first + state * cell->n;
}

static uint32_t key_of(const struct sim_store *s)
{
    uint32_t line = s->word / (SIM_LINE / 8);
    if (sim_model == SIM_PAGES)
        return s->word / (SIM_SECTOR / 8);
    if (sim_model == SIM_X86 || lists.streamed[line])
        return line;
    return SIM_LINES + s->word;
}

static void sort_stores(const struct sim_world *w)
{
    for (uint32_t i = 0; i < lists.n; i++)
        lists.head[lists.used[i]] = 0;
    lists.n = 0;
    memset(lists.streamed, 0, sizeof lists.streamed);
    for (uint32_t i = 0; i < w->stores; i++)
        if (w->log[i].streamed)
            lists.streamed[w->log[i].word / (SIM_LINE / 8)] = 1;
    for (uint32_t i = 0; i < w->stores; i++) {
        uint32_t key = key_of(&w->log[i]);
        if (!lists.head[key]) {
            lists.used[lists.n++] = key;
            lists.head[key] = i + 1;
        } else {
            lists.next[lists.tail[key]] = i + 1;
        }
        lists.tail[key] = i;
        lists.next[i] = 0;
    }
}

static void arena_reserve(struct sim_cells *c, uint32_t n)
{
    if (c->arena_n + n <= c->arena_size)
        return;
    c->arena_size = 2 * (c->arena_n + n);
    c->arena = realloc(c->arena, c->arena_size);
    if (!c->arena)
        abort();
}

/* Adds a content of the newest cell, unless it has it. Where there are too
 * many, the first four and the last ones stay. */
static void state_add(struct sim_cells *c, struct sim_cell *cell,
                      const unsigned char *content)
{
    for (uint32_t i = cell->states; i-- > 0;)
        if (!memcmp(sim_cell_state(c, cell, i), content, cell->n))
            return;
    unsigned char *first = c->arena + cell->first;
    if (cell->states == SIM_STATES) {
        memmove(first + 4 * cell->n, first + 5 * cell->n,
                (SIM_STATES - 5) * cell->n);
        cell->states--;
    }
    memcpy(first + cell->states++ * cell->n, content, cell->n);
}

/* A non-temporal store of a line may be torn between any of its words: every
 * one alone, every one missing, every prefix and some others. */
static void states_of_stream(struct sim_cells *c, struct sim_cell *cell,
                             const unsigned char *before,
                             const unsigned char *after)
{
    uint32_t masks[4 * 8];
    uint32_t n = 0;
    for (uint32_t word = 0; word < 8; word++) {
        masks[n++] = 1u << word;
        masks[n++] = 0xffu & ~(1u << word);
        masks[n++] = (2u << word) - 1;
        masks[n++] = (uint32_t)sim_random() & 0xffu;
    }
    for (uint32_t i = 0; i < n; i++) {
        unsigned char torn[SIM_LINE];
        for (uint32_t word = 0; word < 8; word++)
            memcpy(torn + 8 * word,
                   (masks[i] >> word & 1 ? after : before) + 8 * word, 8);
        state_add(c, cell, torn);
    }
    state_add(c, cell, after);
}

static void states_of(struct sim_cells *c, struct sim_cell *cell,
                      const struct sim_world *w, uint32_t key)
{
    unsigned char content[SIM_SECTOR], before[SIM_SECTOR];
    memcpy(content, w->durable + cell->place, cell->n);
    state_add(c, cell, content);
    int streaming = 0;
    for (uint32_t i = lists.head[key]; i; i = lists.next[i - 1]) {
        const struct sim_store *s = &w->log[i - 1];
        if (s->streamed && !streaming)
            memcpy(before, content, cell->n);
        if (!s->streamed && streaming)
            states_of_stream(c, cell, before, content);
        streaming = (int)s->streamed;
        memcpy(content + 8 * s->word - cell->place, &s->value, 8);
        if (!streaming)
            state_add(c, cell, content);
    }
    if (streaming)
        states_of_stream(c, cell, before, content);
}

/* Which words of the cell its states disagree on. */
static void open_words(struct sim_cells *c, const struct sim_cell *cell)
{
    const unsigned char *first = sim_cell_state(c, cell, 0);
    for (uint32_t at = 0; at < cell->n; at += 8) {
        uint32_t word = (cell->place + at) / 8;
        for (uint32_t i = 1; i < cell->states; i++)
            if (memcmp(first + at, first + i * cell->n + at, 8))
                c->of_word[word] = (uint16_t)(cell - c->cell + 1);
    }
}

/* All cells of `w` that a crash now can leave in more than one state. */
void sim_cells_make(struct sim_cells *c, const struct sim_world *w)
{
    memset(c->of_word, 0, sizeof c->of_word);
    c->n = c->arena_n = c->open_n = 0;
    if (sim_model == SIM_KILL)
        return;
    sort_stores(w);
    for (uint32_t i = 0; i < lists.n; i++) {
        uint32_t key = lists.used[i];
        struct sim_cell *cell = &c->cell[c->n];
        int word = key >= SIM_LINES && sim_model == SIM_WEAK;
        cell->n = word ? 8 : sim_model == SIM_PAGES ? SIM_SECTOR : SIM_LINE;
        cell->place = word ? (key - SIM_LINES) * 8 : key * cell->n;
        cell->first = c->arena_n;
        cell->states = 0;
        arena_reserve(c, (SIM_STATES + 1) * cell->n);
        states_of(c, cell, w, key);
        if (cell->states < 2)
            continue;
        c->arena_n += cell->states * cell->n;
        c->n++;
        open_words(c, cell);
    }
}
