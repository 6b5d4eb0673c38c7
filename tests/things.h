/* things.h -- objects, blocks and extents that wait for readers
 *
 * A test makes them, retires them while somebody reads, and sees that they stay
 * as they are, that what is handed out meanwhile is other memory, and that
 * after the last reader all of it is one block again. */
#pragma once
#include "worlds.h"
#include <pthread.h>

#define THINGS 96

static void *thing[THINGS]; // objects, blocks, extents
static uint64_t room[THINGS];

/* Beside the region: for other processes. */
struct board {
    alps_off off[THINGS]; // of the things
};
static struct board *board;

static inline size_t size_of(unsigned i)
{
    return i % 48 == 0   ? 600000 // some extents
           : i % 16 == 1 ? 200000
           : i % 5 == 2  ? 3000
                         : 16 + i * 7 % 1000;
}

static inline void make_things(void)
{
    for (unsigned i = 0; i < THINGS; i++) {
        thing[i] = any_alloc(&heap, size_of(i));
        CHECK(thing[i] != NULL);
        room[i] = any_usable(&heap, thing[i]);
        token_fill(thing[i], room[i], i);
        board->off[i] = any_off_of(&heap, thing[i]);
    }
}

/* Whether `p` is still what thing `i` was. */
static inline int is_thing(const void *p, unsigned i)
{
    const struct token *t = (const struct token *)p;
    return t->n == room[i] && t->seed == i && token_whole(t);
}

static inline void furnish(void)
{
    begin(16u << 20, 1u << 18);
    make_things();
}

static inline void retire_things(void)
{
    for (unsigned i = 0; i < THINGS; i++)
        CHECK_EQ(any_retire(&heap, thing[i]), 0);
}

/* Bytes of the chunks that name the things: one is closed when it is full, and
 * behind what is large. */
static inline uint64_t bytes_of_chunks(void)
{
    uint64_t chunks = 0;
    unsigned in_last = 0;
    for (unsigned i = 0; i < THINGS; i++) {
        chunks += in_last == 0;
        in_last = room[i] > ALPS_RETIRE_LARGE ? 0 : (in_last + 1) % ALPS_CHUNK;
    }
    return chunks * sizeof(alps_chunk);
}

/* All that was retired is as it was; what is handed out meanwhile is other
 * memory. */
static inline void all_is_kept(void)
{
    void *p[THINGS];
    uint64_t bytes = 0;
    CHECK_EQ(any_trim(&heap), 0);
    for (unsigned i = 0; i < THINGS; i++) {
        bytes += room[i];
        CHECK((p[i] = any_alloc(&heap, size_of(i))) != NULL);
        memset(p[i], 0xff, size_of(i));
    }
    for (unsigned i = 0; i < THINGS; i++) {
        CHECK(is_thing(thing[i], i));
        CHECK_EQ(any_free(&heap, p[i]), 0);
    }
    CHECK_EQ(stats().retired, bytes + bytes_of_chunks());
    CHECK_EQ(stats().reserved, 0);
    CHECK_EQ(stats().blocks, 0);
    CHECK(sound(&heap));
}

static inline void all_comes_back(void)
{
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(stats().retired, 0);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
}

static inline void on_a_thread(void *(*body)(void *))
{
    pthread_t thread;
    void *bad = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, body, NULL), 0);
    CHECK_EQ(pthread_join(thread, &bad), 0);
    CHECK(bad == NULL);
}

/* Where other processes look. */
static inline int board_begin(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    board = (struct board *)board_make(sizeof *board);
    return board ? 0 : -1;
}
