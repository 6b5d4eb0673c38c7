/* test_threads.c -- several threads on one region
 *
 * Threads allocate objects, write down whose they are, and hand them to each
 * other; whoever gets one sees that it is whole, and frees it. If two ever had
 * the same memory, one of them would find the other's words in it, and
 * ThreadSanitizer would have seen both write. */
#include "model.h"
#include <pthread.h>

/* The same with tables that the compiler sees through. */
#define ALPS_NAME own
#define ALPS_BACKEND ALPS_ANON
#include "alps.h"

#define THREADS 4
#define BOXES 24
#define SLOTS 12

static any_heap heap;                // of all threads, or of the first
static alps_off box[BOXES];          // objects on their way to somebody
static pthread_mutex_t guard[SLOTS]; // of the words of the root
static unsigned bad;                 // what went wrong, counted
static unsigned rounds;

struct worker {
    pthread_t thread;
    any_heap *heap;
    any_heap mine; // where every thread has its own
    uint64_t dice;
};

static void must(int holds)
{
    if (!holds)
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

static uint64_t random_below(struct worker *w, uint64_t n)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return w->dice * 0x2545f4914f6cdd1dull % n;
}

static uint64_t some_size(struct worker *w)
{
    uint64_t n = random_below(w, 100);
    return 16 + 8 * random_below(w, n ? 60 : 6000);
}

/* An object of this thread's, with its words in it. */
static void *make_object(struct worker *w, int reserved)
{
    uint64_t n = some_size(w);
    void *p = reserved ? any_reserve(w->heap, (size_t)n)
                       : any_alloc(w->heap, (size_t)n);
    must(p != NULL);
    if (p)
        token_fill(p, n, w->dice);
    return p;
}

/* Puts an object into a box, and frees the one that was there. */
static void exchange_box(struct worker *w)
{
    alps_off *b = &box[random_below(w, BOXES)];
    void *p = random_below(w, 3) ? make_object(w, 0) : NULL;
    alps_off off = p ? any_off_of(w->heap, p) : 0;
    alps_off got = __atomic_exchange_n(b, off, __ATOMIC_ACQ_REL);
    void *q = any_at(w->heap, got);
    if (!q)
        return;
    must(token_whole(q));
    if (random_below(w, 8) == 0) {
        uint64_t n = some_size(w);
        uint64_t seed = ((struct token *)q)->seed;
        q = any_realloc(w->heap, q, (size_t)n);
        must(q && ((struct token *)q)->seed == seed);
    }
    must(any_free(w->heap, q) == 0);
}

/* Publishes an object where there is none, else releases what is there. */
static void turn_slot(struct worker *w)
{
    uint64_t i = random_below(w, SLOTS);
    alps_off *root = (alps_off *)any_root(w->heap, SLOTS * sizeof *root);
    pthread_mutex_lock(&guard[i]);
    if (root[i]) {
        must(token_whole(any_at(w->heap, root[i])));
        must(any_release(w->heap, &root[i]) == 0 && !root[i]);
    } else {
        void *p = make_object(w, 1);
        must(p && any_publish(w->heap, &root[i], p) == 0);
        must(root[i] == any_off_of(w->heap, p));
    }
    pthread_mutex_unlock(&guard[i]);
}

static int counts(void *context, void *p, size_t n)
{
    (void)p;
    (void)n;
    return ++*(unsigned *)context > 1000000;
}

static void *work(void *context)
{
    struct worker *w = (struct worker *)context;
    alps_statistics s;
    unsigned seen = 0;
    for (unsigned i = 0; i < rounds; i++) {
        unsigned kind = (unsigned)random_below(w, 16);
        if (kind < 10)
            exchange_box(w);
        else if (kind < 14)
            turn_slot(w);
        else if (kind < 15)
            must(any_cancel(w->heap, make_object(w, 1)) == 0);
        else if (i % 64 == 0)
            must(any_stats(w->heap, &s) == 0 &&
                 any_each(w->heap, counts, &seen) == 0);
        else if (i % 64 == 1)
            must(any_check(w->heap, NULL) == 0);
    }
    return NULL;
}

/* Frees what is left; then all memory is one block again. */
static void clean_up(void)
{
    alps_off *root = (alps_off *)any_root(&heap, SLOTS * sizeof *root);
    for (unsigned i = 0; i < BOXES; i++) {
        void *p = any_at(&heap, box[i]);
        box[i] = 0;
        if (p)
            CHECK(token_whole(p));
        CHECK_EQ(any_free(&heap, p), 0);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        CHECK_EQ(any_release(&heap, &root[i]), 0);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
}

static void run(unsigned threads, unsigned lanes, int own_handles)
{
    static struct worker w[THREADS];
    alps_options o = small(8u << 20, 65536);
    o.lanes = lanes;
    o.processes = 8;
    bad = 0;
    CHECK_EQ(any_open(&heap, shm_name("threads"), &o), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_init(&guard[i], NULL);
    for (unsigned i = 0; i < threads; i++) {
        w[i].dice = 88172645463325252ull + i * 1000003;
        w[i].heap = own_handles ? &w[i].mine : &heap;
        if (own_handles)
            CHECK_EQ(any_open(&w[i].mine, shm_name("threads"), &o), 0);
    }
    for (unsigned i = 0; i < threads; i++)
        CHECK_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(w[i].thread, NULL);
    for (unsigned i = 0; own_handles && i < threads; i++)
        CHECK_EQ(any_close(&w[i].mine), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_destroy(&guard[i]);
    CHECK_EQ(bad, 0);
    clean_up();
    CHECK_EQ(any_close(&heap), 0);
    if (medium.remove != alps_backend_anon_.remove)
        CHECK_EQ(any_remove(shm_name("threads")), 0);
}

static void threads_share_a_handle(void)
{
    rounds = 20000 / SLOW;
    run(2, 64, 0);
    run(4, 64, 0);
}

static void threads_have_a_handle_each(void)
{
    rounds = 20000 / SLOW;
    run(2, 64, 1);
    run(4, 64, 1);
}

static void threads_share_a_lane_or_two(void)
{
    rounds = 10000 / SLOW;
    run(4, 1, 0);
    run(4, 2, 0);
    run(4, 1, 1);
    run(3, 2, 1);
}

static void threads_share_memory_of_their_process(void)
{
    choose(&alps_backend_anon_, &alps_policy_none_);
    rounds = 20000 / SLOW;
    run(4, 64, 0);
}

/* ---- one reservation, published by two at once */

static pthread_barrier_t gate;
static void *contested;

struct rival {
    pthread_t thread;
    alps_off *dest;
    unsigned won;
};

static void *publish_often(void *context)
{
    struct rival *r = (struct rival *)context;
    for (unsigned i = 0; i < rounds; i++) {
        pthread_barrier_wait(&gate); // there is a new one
        int err = any_publish(&heap, r->dest, contested);
        must(err == 0 || err == ALPS_EINVALID_FREE);
        must(!err == !!*r->dest);
        r->won += !err;
        pthread_barrier_wait(&gate); // both have tried
    }
    return NULL;
}

static void a_reservation_is_published_once(void)
{
    struct rival r[2];
    alps_options o = small(1u << 20, 16384);
    bad = 0;
    rounds = 5000 / SLOW;
    CHECK_EQ(any_open(&heap, shm_name("threads"), &o), 0);
    alps_off *root = (alps_off *)any_root(&heap, SLOTS * sizeof *root);
    CHECK_EQ(pthread_barrier_init(&gate, NULL, 3), 0);
    for (unsigned k = 0; k < 2; k++) {
        r[k].dest = &root[k];
        r[k].won = 0;
        pthread_create(&r[k].thread, NULL, publish_often, &r[k]);
    }
    for (unsigned i = 0; i < rounds; i++) {
        contested = any_reserve(&heap, 64 + i % 5000);
        must(contested != NULL);
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
        must(!root[0] != !root[1]);
        must(any_release(&heap, &root[0]) == 0);
        must(any_release(&heap, &root[1]) == 0);
        must(i % 100 || any_check(&heap, NULL) == 0);
    }
    for (unsigned k = 0; k < 2; k++)
        pthread_join(r[k].thread, NULL);
    pthread_barrier_destroy(&gate);
    CHECK_EQ(bad, 0);
    CHECK_EQ(r[0].won + r[1].won, rounds);
    clean_up();
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(shm_name("threads")), 0);
}

/* ---- with constant tables, beginning alone */

static own_heap alone;

static void *own_work(void *context)
{
    struct worker *w = (struct worker *)context;
    void *kept[16] = {NULL};
    for (unsigned i = 0; i < rounds; i++) {
        void **p = &kept[random_below(w, 16)];
        if (*p) {
            must(token_whole(*p));
            must(own_free(&alone, *p) == 0);
            *p = NULL;
            continue;
        }
        uint64_t n = some_size(w);
        *p = own_alloc(&alone, (size_t)n);
        must(*p != NULL);
        if (*p)
            token_fill(*p, n, w->dice);
    }
    for (unsigned i = 0; i < 16; i++)
        must(own_free(&alone, kept[i]) == 0);
    return NULL;
}

static void one_thread_becomes_several(void)
{
    static struct worker w[THREADS];
    alps_statistics s;
    alps_options o = small(8u << 20, 65536);
    bad = 0;
    rounds = 100000 / SLOW;
    CHECK_EQ(own_open(&alone, NULL, &o), 0);
    for (unsigned i = 0; i < THREADS; i++)
        w[i].dice = 1234567 + i;
    own_work(&w[0]);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&w[i].thread, NULL, own_work, &w[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    own_work(&w[0]);
    CHECK_EQ(bad, 0);
    CHECK_EQ(own_check(&alone, NULL), 0);
    CHECK_EQ(own_stats(&alone, &s), 0);
    CHECK(s.blocks == 0 && s.used == 0 && s.reserved == 0);
    CHECK_EQ(own_close(&alone), 0);
}

int main(void)
{
    RUN(one_thread_becomes_several); // first: this process has one thread yet
    RUN_BOTH(threads_share_a_handle);
    RUN_BOTH(threads_have_a_handle_each);
    RUN_BOTH(threads_share_a_lane_or_two);
    RUN_BOTH(a_reservation_is_published_once);
    RUN(threads_share_memory_of_their_process);
    return check_end("threads");
}
