/* test_many.c -- many threads, many processes, more than there is room for
 *
 * Thousands of threads are born, hand an object on and die; a thousand work at
 * once, over many processes; and where there are more than lanes, slots or
 * cores, all get on, or get a code. */
#include "model.h"
#include <pthread.h>

/* ThreadSanitizer sees one process, and takes an object for contested that came
 * by way of another one's threads. */
#if defined(__SANITIZE_THREAD__)
#  define SEES_ONE_PROCESS 1
#elif defined(__has_feature)
#  if __has_feature(thread_sanitizer)
#    define SEES_ONE_PROCESS 1
#  endif
#endif
#ifndef SEES_ONE_PROCESS
#  define SEES_ONE_PROCESS 0
#endif

#define BOXES 64
#define SLOTS 256

struct root {
    alps_off box[BOXES];  // objects on their way to somebody
    alps_off slot[SLOTS]; // one for each process, or thread, alone
};

/* Beside the region. */
struct board {
    uint64_t attached, ready, go, leave; // counts, and words of command
    uint64_t with_lane;                  // threads that have one of their own
    uint64_t bad;                        // what went wrong, counted
};

static any_heap heap;
static struct board *board;
static char name[80]; // of the region
static alps_options region;
static unsigned threads, rounds, me;

struct worker {
    pthread_t thread;
    any_heap *heap;
    uint64_t dice;
    unsigned number; // of its slot
};

static void must(int holds)
{
    if (!holds)
        __atomic_fetch_add(&board->bad, 1, __ATOMIC_RELAXED);
}

static uint64_t random_below(struct worker *w, uint64_t n)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return w->dice * 0x2545f4914f6cdd1dull % n;
}

static void begin(uint64_t size, unsigned lanes, unsigned processes)
{
    memset(board, 0, sizeof *board);
    region = small(size, 1u << 20);
    region.lanes = lanes;
    region.processes = processes;
    snprintf(name, sizeof name, "%s", shm_name("many"));
    CHECK_EQ(any_open(&heap, name, &region), 0);
}

static unsigned lanes_taken(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < heap.core.at.lane_count; i++)
        n += alps_load_(&heap.core.lanes[i].lock) != 0;
    return n;
}

/* Frees what is left; then all memory is one block again, and all lanes but
 * this thread's are free. */
static void end(void)
{
    struct root *r = (struct root *)any_root(&heap, sizeof *r);
    alps_description d;
    for (unsigned i = 0; i < BOXES; i++) {
        void *p = any_at(&heap, r->box[i]);
        CHECK(!p || token_whole(p));
        CHECK_EQ(any_free(&heap, p), 0);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        CHECK_EQ(any_release(&heap, &r->slot[i]), 0);
    CHECK_EQ(board->bad, 0);
    CHECK(lanes_taken() <= 1);
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK_EQ(d.attached, 1);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(name), 0);
}

/* ---- what a thread does */

static void *make_object(struct worker *w, int reserved)
{
    uint64_t n = 16 + 8 * random_below(w, random_below(w, 50) ? 60 : 1000);
    void *p = reserved ? any_reserve(w->heap, (size_t)n)
                       : any_alloc(w->heap, (size_t)n);
    must(p != NULL);
    if (p)
        token_fill(p, n, w->dice);
    return p;
}

/* Puts an object into a box, and frees the one that was there. */
static void hand_on(struct worker *w)
{
    struct root *r = (struct root *)any_root(w->heap, sizeof *r);
    void *p = make_object(w, 0);
    alps_off off = any_off_of(w->heap, p);
    alps_off *box = &r->box[random_below(w, BOXES)];
    void *q = any_at(w->heap, __atomic_exchange_n(box, off, __ATOMIC_ACQ_REL));
    must(!q || token_whole(q));
    must(any_free(w->heap, q) == 0);
}

/* Publishes into its own slot what the next one with that number releases. */
static void turn_slot(struct worker *w)
{
    struct root *r = (struct root *)any_root(w->heap, sizeof *r);
    alps_off *slot = &r->slot[w->number];
    must(!*slot || token_whole(any_at(w->heap, *slot)));
    must(any_release(w->heap, slot) == 0 && !*slot);
    must(any_publish(w->heap, slot, make_object(w, 1)) == 0 && *slot);
}

/* Several of one size, so that more than one slab is touched. */
static void hold_some(struct worker *w)
{
    void *p[16];
    uint64_t n = 16 + 16 * random_below(w, 64);
    for (unsigned i = 0; i < 16; i++) {
        must((p[i] = any_alloc(w->heap, (size_t)n)) != NULL);
        if (p[i])
            token_fill(p[i], n, i);
    }
    for (unsigned i = 0; i < 16; i++) {
        must(token_whole(p[i]));
        must(any_free(w->heap, p[i]) == 0);
    }
}

static void live_for(struct worker *w, unsigned turns)
{
    for (unsigned i = 0; i < turns && !board->bad; i++) {
        hand_on(w);
        if (i % 4 == 0)
            turn_slot(w);
        if (i % 8 == 0)
            hold_some(w);
    }
}

static int start_thread(struct worker *w, void *(*body)(void *))
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256u << 10);
    int err = pthread_create(&w->thread, &attr, body, w);
    pthread_attr_destroy(&attr);
    return err;
}

/* ---- births and deaths */

static void *short_life(void *context)
{
    struct worker *w = (struct worker *)context;
    live_for(w, 1 + (unsigned)random_below(w, 4));
    return NULL;
}

/* Sixteen at a time, each of whom has the slot of one who is dead. */
static void births_and_deaths(unsigned n, unsigned lanes)
{
    static struct worker w[16];
    begin(32u << 20, lanes, 4);
    unsigned most = 0;
    for (unsigned i = 0; i < n && !board->bad; i++) {
        struct worker *one = &w[i % 16];
        if (i >= 16)
            CHECK_EQ(pthread_join(one->thread, NULL), 0);
        one->heap = &heap;
        one->number = i % 16;
        one->dice = 88172645463325252ull + i;
        CHECK_EQ(start_thread(one, short_life), 0);
        unsigned taken = lanes_taken();
        most = taken > most ? taken : most;
    }
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(pthread_join(w[i].thread, NULL), 0);
    CHECK(most <= 17); // theirs, and this thread's
    end();
}

static void thousands_of_threads_leave_nothing(void)
{
    births_and_deaths(8000 / SLOW, 64);
    births_and_deaths(2000 / SLOW, 4); // not all of them get a lane
}

static int child_bears_threads(void)
{
    any_heap h;
    static struct worker w[4];
    if (any_open(&h, name, &region))
        return 10;
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned k = 0; k < 4; k++) {
            w[k].heap = &h;
            w[k].number = me * 4 + k;
            w[k].dice = 1 + i * 4096 + me * 16 + k;
            if (start_thread(&w[k], short_life))
                return 11;
        }
        for (unsigned k = 0; k < 4; k++)
            if (pthread_join(w[k].thread, NULL))
                return 12;
    }
    return any_close(&h) ? 13 : 0;
}

/* What the threads of one process leave, those of others go on with. */
static void threads_of_many_processes_leave_nothing(void)
{
    pid_t pid[8];
    if (SEES_ONE_PROCESS) {
        SKIP("the sanitizer sees one process");
        return;
    }
    begin(32u << 20, 64, 16);
    rounds = 100 / SLOW;
    for (me = 0; me < 8; me++)
        pid[me] = start_child(child_bears_threads);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    end();
}

/* ---- a thousand at once */

/* Waits until all are there. A thousand who ask often would do nothing else. */
static int gathered(void)
{
    for (int i = 0; i < 1000; i++) {
        if (__atomic_load_n(&board->go, __ATOMIC_ACQUIRE))
            return 1;
        nap(40000);
    }
    return 0;
}

static void *one_of_a_crowd(void *context)
{
    struct worker *w = (struct worker *)context;
    hand_on(w);
    const alps_cache *c = alps_cache_(&w->heap->core);
    __atomic_fetch_add(&board->with_lane, c != NULL, __ATOMIC_RELAXED);
    __atomic_fetch_add(&board->ready, 1, __ATOMIC_RELEASE);
    must(gathered());
    for (unsigned i = 0; i < rounds; i++)
        hand_on(w);
    hold_some(w);
    return NULL;
}

static int child_is_a_crowd(void)
{
    any_heap h;
    static struct worker w[32];
    int err = any_open(&h, name, &region);
    if (err)
        return -err;
    __atomic_fetch_add(&board->attached, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < threads; i++) {
        w[i].heap = &h;
        w[i].dice = 1 + me * 64 + i;
        if (start_thread(&w[i], one_of_a_crowd))
            return 200;
    }
    for (unsigned i = 0; i < threads; i++)
        if (pthread_join(w[i].thread, NULL))
            return 201;
    return any_close(&h) ? 202 : 0;
}

/* `n` processes of `each` threads, all at the same time, and all with a lane
 * of their own as long as there are any. */
static void crowd(unsigned n, unsigned each, unsigned lanes)
{
    static pid_t pid[256];
    if (SEES_ONE_PROCESS) {
        SKIP("the sanitizer sees one process");
        return;
    }
    begin(96u << 20, lanes, n + 1);
    unsigned owned = alps_lanes_owned_(&heap.core);
    unsigned all = n * each;
    threads = each;
    rounds = 30;
    for (me = 0; me < n; me++)
        pid[me] = start_child(child_is_a_crowd);
    CHECK(await(&board->ready, all));
    CHECK_EQ(board->attached, n);
    CHECK_EQ(board->with_lane, all < owned ? all : owned);
    CHECK(lanes_taken() >= board->with_lane);
    CHECK(sound(&heap));
    tell(&board->go, 1);
    unsigned ended = 0;
    for (unsigned i = 0; i < n; i++)
        ended += end_of(pid[i]) == 0;
    CHECK_EQ(ended, n);
    end();
}

static void a_thousand_threads_of_64_processes_work_at_once(void)
{
    crowd(64 / SLOW, 16 / SLOW, 1100);
}

static void a_thousand_threads_of_256_processes_work_at_once(void)
{
    crowd(256 / SLOW, 4, 1100);
}

/* ---- more than there is room for */

static void threads_without_a_lane_work_as_well(void)
{
    crowd(4, 32 / SLOW, 8);
}

static void *hammers(void *context)
{
    struct worker *w = (struct worker *)context;
    live_for(w, rounds);
    return NULL;
}

static void many_threads_on_few_cores_get_on(void)
{
    static struct worker w[32];
    begin(32u << 20, 64, 4);
    rounds = 20000 / SLOW / SLOW;
    for (unsigned i = 0; i < 32; i++) {
        w[i].heap = &heap;
        w[i].number = i;
        w[i].dice = 1 + i;
        CHECK_EQ(start_thread(&w[i], hammers), 0);
    }
    for (unsigned i = 0; i < 32; i++)
        CHECK_EQ(pthread_join(w[i].thread, NULL), 0);
    end();
}

static int child_attaches(void)
{
    any_heap h;
    int err = any_open(&h, name, &region);
    if (err)
        return -err;
    __atomic_fetch_add(&board->attached, 1, __ATOMIC_RELEASE);
    if (!await(&board->leave, 1))
        return 200;
    return any_close(&h) ? 201 : 0;
}

/* Who finds no slot gets a code, and nothing is changed; a slot that is left,
 * or whose owner dies, is there for the next. */
static void more_processes_than_slots_get_a_code(void)
{
    pid_t pid[4];
    begin(8u << 20, 8, 4);
    for (unsigned i = 0; i < 3; i++)
        pid[i] = start_child(child_attaches);
    CHECK(await(&board->attached, 3));
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(end_of(start_child(child_attaches)), -ALPS_EPROCESSES);
    CHECK_EQ(kill(pid[0], SIGKILL), 0);
    CHECK_EQ(end_of(pid[0]), 1000 + SIGKILL);
    pid[0] = start_child(child_attaches);
    CHECK(await(&board->attached, 4));
    CHECK_EQ(end_of(start_child(child_attaches)), -ALPS_EPROCESSES);
    tell(&board->leave, 1);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    CHECK_EQ(end_of(start_child(child_attaches)), 0);
    end();
}

int main(void)
{
    board = (struct board *)board_make(sizeof *board);
    if (!board)
        return 2;
    RUN_BOTH(thousands_of_threads_leave_nothing);
    RUN_BOTH(threads_of_many_processes_leave_nothing);
    choose(&alps_backend_shmem_, &alps_policy_none_);
    RUN(a_thousand_threads_of_64_processes_work_at_once);
    RUN(a_thousand_threads_of_256_processes_work_at_once);
    RUN_BOTH(threads_without_a_lane_work_as_well);
    RUN_BOTH(many_threads_on_few_cores_get_on);
    RUN(more_processes_than_slots_get_a_code);
    return check_end("many");
}
