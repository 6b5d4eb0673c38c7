/* words.h -- threads with words of their own in the same segments
 *
 * Each thread has 8 bytes in each of some segments, in lines that others have
 * words in, too, and a model of them. */
#pragma once
#include "pages.h"
#include <pthread.h>

#define THREADS 4
#define PLACES_MAX 40

static unsigned char *shared;
static uint64_t shared_segment; // bytes of one
static uint64_t places = PLACES_MAX;
static unsigned turns = 4000;
static int stop; // atomic

static inline volatile uint64_t *word_of(unsigned char *base, uint64_t place,
                                         uint64_t me)
{
    return (volatile uint64_t *)(void *)(base + place * shared_segment +
                                         (place * 5 + me) * 8);
}

/* What thread `me` does; answers how often a word was not what it had stored. */
static inline uint64_t words_of(unsigned char *base, uint64_t me)
{
    uint64_t state = me + 99, bad = 0;
    uint64_t model[PLACES_MAX] = {0};
    for (unsigned i = 0; i < turns; i++) {
        uint64_t k = rnd(&state) % places;
        volatile uint64_t *word = word_of(base, k, me);
        bad += *word != model[k];
        if (rnd(&state) % 2)
            *word = model[k] = rnd(&state);
    }
    for (uint64_t k = 0; k < places; k++)
        bad += *word_of(base, k, me) != model[k];
    return bad;
}

static inline void *own_words(void *number)
{
    return (void *)(uintptr_t)words_of(shared, (uint64_t)(uintptr_t)number);
}

static inline void *syncs_always(void *nothing)
{
    uint64_t bad = 0;
    (void)nothing;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        bad += alps_usync(shared) != 0;
    return (void *)(uintptr_t)bad;
}

/* THREADS of them, in `shared`; with `synced` beside one that syncs. */
static inline void threads_work(int synced)
{
    pthread_t thread[THREADS], other;
    void *bad = NULL;
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    if (synced)
        CHECK_EQ(pthread_create(&other, NULL, syncs_always, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, own_words, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    if (synced) {
        CHECK_EQ(pthread_join(other, &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
}
