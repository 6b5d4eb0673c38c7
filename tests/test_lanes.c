/* test_lanes.c -- threads and the lanes they own
 *
 * A thread with a lane has a cache; one that finds none left works without.
 * Threads come and go, some with the number of one before, some later than
 * they should: what they had is not lost, and works for others. What they keep
 * for themselves is bounded. */
#include "worlds.h"
#include <pthread.h>

#define THREADS 6
#define BOXES 32

static unsigned bad; // what went wrong in another thread

static void must(int holds)
{
    if (!holds)
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

static void begin_here(unsigned lanes)
{
    alps_options o = options(16u << 20, 1u << 18);
    o.lanes = lanes;
    bad = 0;
    begin_with(o);
}

/* All that is left is free. */
static void end_empty(void)
{
    CHECK_EQ(bad, 0);
    CHECK(sound(&heap));
    CHECK_EQ(stats().blocks, 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK(one_block_again(&heap));
    end();
}

/* Calls `body` in a thread of its own, which ends. */
static void elsewhere(void *(*body)(void *), void *context)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, body, context), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- more threads than lanes */

static alps_off box[BOXES]; // objects on their way to somebody
static unsigned rounds, with_cache;

static void count_me(void)
{
    if (alps_cache_(&heap.core))
        __atomic_fetch_add(&with_cache, 1, __ATOMIC_RELAXED);
}

/* Frees what another left in a box, and puts something new there. */
static void *work(void *context)
{
    uint64_t x = (uint64_t)(uintptr_t)context;
    for (unsigned i = 0; i < rounds; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t n = 16 + (size_t)(x >> 33) % 600;
        void *p = x >> 60 ? any_alloc(&heap, n) : any_alloc(&heap, 10 * n);
        void *q = any_reserve(&heap, n);
        must(p && q && any_cancel(&heap, q) == 0);
        if (p)
            token_fill(p, any_usable(&heap, p), x);
        alps_off old =
            __atomic_exchange_n(&box[x >> 40 & (BOXES - 1)],
                                p ? any_off_of(&heap, p) : 0, __ATOMIC_ACQ_REL);
        void *got = any_at(&heap, old);
        must(!got || token_whole(got));
        must(any_free(&heap, got) == 0);
    }
    count_me();
    return NULL;
}

static void *publish_and_release(void *context)
{
    alps_off *word = (alps_off *)context;
    for (unsigned i = 0; i < rounds / 4; i++) {
        void *p = any_reserve(&heap, 1 + i % 1024);
        must(p && any_publish(&heap, word, p) == 0);
        must(any_cancel(&heap, p) == ALPS_EINVALID_FREE);
        must(any_release(&heap, word) == 0 && !*word);
    }
    count_me();
    return NULL;
}

static void crowd(unsigned lanes, unsigned owned)
{
    pthread_t thread[2 * THREADS];
    begin_here(lanes);
    CHECK_EQ(alps_lanes_owned_(&heap.core), owned);
    alps_off *root = (alps_off *)any_root(&heap, THREADS * sizeof *root);
    rounds = 4000 / SLOW;
    with_cache = 0;
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&thread[2 * i], NULL, work, (void *)(i + 1)),
                 0);
        CHECK_EQ(pthread_create(&thread[2 * i + 1], NULL, publish_and_release,
                                &root[i]),
                 0);
    }
    for (unsigned i = 0; i < 2 * THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK(owned ? with_cache > 0 : with_cache == 0);
    for (unsigned i = 0; i < BOXES; i++) {
        CHECK_EQ(any_free(&heap, any_at(&heap, box[i])), 0);
        box[i] = 0;
    }
    end_empty();
}

static void threads_without_a_lane_work(void)
{
    crowd(1, 0);
    crowd(2, 1);
    crowd(4, 3);
    crowd(32, 30);
}

/* ---- births and deaths */

/* Thread after thread, many with the thread pointer of one before. */
static void *live_shortly(void *context)
{
    uintptr_t *self = (uintptr_t *)context;
    void *p = any_alloc(&heap, 40), *q = any_reserve(&heap, 300);
    *self = ALPS_THREAD_();
    must(p && q && any_free(&heap, p) == 0);
    must(any_cancel(&heap, q) == 0);
    return NULL;
}

static void a_new_thread_has_the_pointer_of_an_old_one(void)
{
    uintptr_t self = 0, last = 0;
    unsigned same = 0;
    begin_here(16);
    for (unsigned i = 0; i < 2000 / SLOW; i++, last = self) {
        elsewhere(live_shortly, &self);
        same += self == last;
    }
    CHECK(same > 0);
    CHECK(sound(&heap));
    end_empty();
}

/* A destructor that runs after ours, and allocates as often as it may. */
static pthread_key_t late;

static void allocate_late(void *context)
{
    void *p = any_alloc(&heap, 100);
    must(p && any_free(&heap, p) == 0);
    pthread_setspecific(late, context); // once more
}

static void *end_late(void *context)
{
    pthread_setspecific(late, &late);
    return live_shortly(context);
}

static void a_thread_may_allocate_while_it_ends(void)
{
    uintptr_t self;
#ifdef __SANITIZE_THREAD__
    SKIP("the sanitizer takes the thread for gone before it is");
    return;
#endif
    begin_here(16);
    CHECK_EQ(pthread_key_create(&late, allocate_late), 0);
    for (unsigned i = 0; i < 200 / SLOW; i++)
        elsewhere(i % 2 ? end_late : live_shortly, &self);
    CHECK_EQ(pthread_key_delete(late), 0);
    CHECK(sound(&heap));
    CHECK_EQ(stats().blocks, 0);
    if (is_anon()) {
        CHECK_EQ(bad, 0);
        end();
        return;
    }
    CHECK_EQ(any_close(&heap), 0); // the last of its kind had no end
    CHECK_EQ(open_too(&heap), 0);
    end_empty();
}

/* ---- empty slabs */

static pthread_barrier_t together;

/* Fills a quarter of the region and lets go of it, then lives on. */
static void *keep_what_is_empty(void *context)
{
    void **object = (void **)context;
    for (unsigned i = 0; i < 4096; i++)
        must((object[i] = any_alloc(&heap, 1000)) != NULL);
    for (unsigned i = 0; i < 4096; i++)
        must(any_free(&heap, object[i]) == 0);
    pthread_barrier_wait(&together);
    pthread_barrier_wait(&together);
    return NULL;
}

/* One thread keeps as much as several: no more than an eighth of the region,
 * whatever their number, and nothing when they are gone. */
static void threads_together_keep_an_eighth(void)
{
    static void *object[3][4096];
    pthread_t thread[3];
    begin_here(16);
    const alps_handle *h = &heap.core;
    uint64_t slabs = alps_size_(h) >> h->at.slab_shift, most = slabs / 8;
    for (unsigned n = 1; n <= 3; n++) {
        uint64_t kept = 0;
        pthread_barrier_init(&together, NULL, n + 1);
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(
                pthread_create(&thread[i], NULL, keep_what_is_empty, object[i]),
                0);
        pthread_barrier_wait(&together);
        for (unsigned i = 0; i < h->at.lane_count; i++)
            kept += h->lanes[i].empty;
        CHECK_EQ(kept, h->shared->empty);
        CHECK(kept >= most / 2 && kept < most + n);
        pthread_barrier_wait(&together);
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(pthread_join(thread[i], NULL), 0);
        CHECK_EQ(h->shared->empty, 0);
        pthread_barrier_destroy(&together);
    }
    end_empty();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(threads_without_a_lane_work);
    RUN_EVERYWHERE(a_new_thread_has_the_pointer_of_an_old_one);
    RUN_EVERYWHERE(a_thread_may_allocate_while_it_ends);
    RUN_EVERYWHERE(threads_together_keep_an_eighth);
    return check_end("lanes");
}
