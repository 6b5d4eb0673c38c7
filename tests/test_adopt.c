/* test_adopt.c -- slabs between threads and between processes
 *
 * A slab has one owner. Others free its objects, its owner ends or is killed,
 * others go on with what it left: nothing of it is lost, and nothing is handed
 * out twice. */
#include "worlds.h"
#include <pthread.h>

#define OBJECTS 4000

static void *object[OBJECTS];
static unsigned bad; // what went wrong in another thread

static void must(int holds)
{
    if (!holds)
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

/* Calls `body` in a thread of its own, which ends. */
static void elsewhere(void *(*body)(void *), void *context)
{
    pthread_t thread;
    bad = 0;
    CHECK_EQ(pthread_create(&thread, NULL, body, context), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(bad, 0);
}

static size_t size_of(unsigned i)
{
    static const size_t sizes[] = {16, 64, 48, 200, 1000, 8, 100, 400};
    return sizes[i % 8];
}

/* Objects `first`, `first` + `step` and so on; with a token in each that is
 * large enough. */
static void allocate(unsigned first, unsigned step)
{
    for (unsigned i = first; i < OBJECTS; i += step) {
        object[i] = any_alloc(&heap, size_of(i));
        must(object[i] != NULL);
        if (object[i])
            token_fill(object[i], any_usable(&heap, object[i]), i);
    }
}

static void release(unsigned first, unsigned step)
{
    for (unsigned i = first; i < OBJECTS; i += step) {
        must(token_whole(object[i]));
        must(any_free(&heap, object[i]) == 0);
    }
}

static void *allocate_all(void *context)
{
    (void)context;
    allocate(0, 1);
    return NULL;
}

static void *free_all(void *context)
{
    (void)context;
    release(0, 1);
    return NULL;
}

static void *free_even(void *context)
{
    (void)context;
    release(0, 2);
    return NULL;
}

static void *reserve_all(void *context)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        object[i] = any_reserve(&heap, size_of(i));
        must(object[i] != NULL);
    }
    return context;
}

static void begin_here(void)
{
    bad = 0;
    begin(16u << 20, 1u << 18);
}

/* All that is left is free. */
static void end_empty(void)
{
    CHECK_EQ(bad, 0);
    CHECK(sound(&heap));
    CHECK_EQ(stats().blocks, 0);
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
    end();
}

/* ---- frees of others */

/* Bytes that threads may have at hand of all classes, more or less. */
#define SLACK (1u << 18)

/* What the heap could still give for anything. */
static uint64_t left(void)
{
    return stats().free;
}

static void far_frees_come_back_to_the_owner(void)
{
    uint64_t after_two = 0;
    begin_here();
    for (unsigned round = 0; round < 40 / SLOW; round++) {
        allocate(0, 1);
        CHECK_EQ(stats().blocks, OBJECTS);
        if (round == 1)
            after_two = left();
        if (round > 1)
            CHECK(left() >= after_two);
        elsewhere(free_all, NULL);
        CHECK_EQ(stats().blocks, 0);
        CHECK(sound(&heap));
    }
    end_empty();
}

/* The owner frees one half, another thread the other, at once. */
static void owner_and_others_free_together(void)
{
    begin_here();
    uint64_t after_two = 0;
    for (unsigned round = 0; round < 60 / SLOW; round++) {
        pthread_t thread;
        allocate(0, 1);
        if (round == 1)
            after_two = left();
        if (round > 1)
            CHECK(left() + SLACK >= after_two);
        CHECK_EQ(pthread_create(&thread, NULL, free_even, NULL), 0);
        release(1, 2);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(stats().blocks, 0);
        CHECK_EQ(stats().used, 0);
        CHECK(sound(&heap));
    }
    end_empty();
}

static void *doubly(void *context)
{
    (void)context;
    for (unsigned i = 0; i < 64; i++) {
        must(any_free(&heap, object[i]) == 0);
        must(any_free(&heap, object[i]) == ALPS_EINVALID_FREE);
        must(any_cancel(&heap, object[i]) == ALPS_EINVALID_FREE);
    }
    return NULL;
}

static void what_another_thread_freed_is_not_freed_again(void)
{
    begin_here();
    allocate(0, 1);
    elsewhere(doubly, NULL);
    for (unsigned i = 0; i < 64; i++)
        not_freed(object[i]);
    for (unsigned i = 64; i < OBJECTS; i++)
        CHECK_EQ(any_free(&heap, object[i]), 0);
    for (unsigned i = 0; i < OBJECTS; i += 100)
        not_freed(object[i]);
    end_empty();
}

/* ---- threads that end */

/* Each allocates and ends; the next finds room in what it left, though not in
 * what is still alive. */
static void slabs_of_ended_threads_are_adopted(void)
{
    uint64_t after_four = 0;
    begin_here();
    for (unsigned round = 0; round < 40 / SLOW; round++) {
        elsewhere(allocate_all, NULL);
        CHECK_EQ(stats().blocks, OBJECTS);
        CHECK(sound(&heap));
        if (round == 4)
            after_four = left();
        if (round > 4)
            CHECK(left() + SLACK >= after_four);
        if (round % 3 == 0) {
            release(0, 1);
        } else if (round % 3 == 1) {
            elsewhere(free_all, NULL);
        } else {
            elsewhere(free_even, NULL);
            allocate(0, 2); // into the holes
            CHECK(round < 4 || left() + SLACK >= after_four);
            elsewhere(free_all, NULL);
        }
        CHECK_EQ(stats().blocks, 0);
        CHECK(sound(&heap));
    }
    end_empty();
}

/* One that ends with all of its objects free leaves nothing at all. */
static void an_ended_thread_keeps_nothing(void)
{
    begin_here();
    uint64_t before = left();
    for (unsigned round = 0; round < 20 / SLOW; round++) {
        elsewhere(allocate_all, NULL);
        elsewhere(free_all, NULL);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK_EQ(left(), before);
        CHECK_EQ(stats().spare, 0);
    }
    end_empty();
}

/* ---- reservations */

/* Of a thread that ended: the others of its process go on with them. */
static void a_reservation_survives_its_thread(void)
{
    begin_here();
    alps_off *root = (alps_off *)any_root(&heap, 8);
    for (unsigned round = 0; round < 4; round++) {
        elsewhere(reserve_all, NULL);
        CHECK_EQ(stats().blocks, 0);
        if (round == 2)
            reserve_all(NULL);
        CHECK(stats().reserved > OBJECTS * 16);
        for (unsigned i = 0; i < OBJECTS; i++) {
            CHECK_EQ(any_usable(&heap, object[i]) >= size_of(i), 1);
            if (i % 3) {
                CHECK_EQ(any_publish(&heap, root, object[i]), 0);
                CHECK_EQ(any_release(&heap, root), 0);
            } else {
                CHECK_EQ(any_cancel(&heap, object[i]), 0);
            }
            CHECK_EQ(any_cancel(&heap, object[i]), ALPS_EINVALID_FREE);
        }
        CHECK(sound(&heap));
        if (round == 2) { // those of the first thread are still reserved
            CHECK_EQ(any_close(&heap), 0);
            CHECK_EQ(is_anon() ? 0 : open_too(&heap), 0);
            if (is_anon())
                begin(16u << 20, 1u << 18);
            root = (alps_off *)any_root(&heap, 8);
        }
        CHECK_EQ(stats().reserved, 0);
    }
    end_empty();
}

/* Of another process they are left alone, also when their thread has ended. */
static void a_reservation_of_another_process_is_left_alone(void)
{
    any_heap other;
    begin_here();
    CHECK_EQ(open_too(&other), 0);
    alps_off *root = (alps_off *)any_root(&other, 8);
    for (int ended = 0; ended < 2; ended++) {
        if (ended)
            elsewhere(reserve_all, NULL);
        else
            reserve_all(NULL);
        uint64_t before = fingerprint();
        for (unsigned i = 0; i < OBJECTS; i += 7) {
            void *p = any_at(&other, any_off_of(&heap, object[i]));
            CHECK_EQ(any_free(&other, p), ALPS_EOWNER);
            CHECK_EQ(any_cancel(&other, p), ALPS_EOWNER);
            CHECK_EQ(any_publish(&other, root, p), ALPS_EOWNER);
        }
        CHECK_EQ(fingerprint(), before);
        CHECK_EQ(any_trim(&other), 0);
        for (unsigned i = 0; i < 500; i++) { // nor handed out to it
            void *p = any_alloc(&other, size_of(i));
            alps_off off = any_off_of(&other, p);
            for (unsigned k = 0; k < OBJECTS; k++)
                CHECK(off != any_off_of(&heap, object[k]));
            CHECK_EQ(any_free(&other, p), 0);
        }
        for (unsigned i = 0; i < OBJECTS; i++)
            CHECK_EQ(any_cancel(&heap, object[i]), 0);
        CHECK(sound(&heap));
    }
    CHECK_EQ(any_close(&other), 0);
    end_empty();
}

/* ---- processes */

/* A process closes: its slabs and its reservations are anybody's. */
static void what_a_process_leaves_is_adopted(void)
{
    any_heap other;
    uint64_t after_two = 0;
    begin_here();
    for (unsigned round = 0; round < 20 / SLOW; round++) {
        CHECK_EQ(open_too(&other), 0);
        for (unsigned i = 0; i < OBJECTS; i++) {
            void *p = i % 3 ? any_alloc(&other, size_of(i))
                            : any_reserve(&other, size_of(i));
            CHECK(p != NULL);
            object[i] = any_at(&heap, any_off_of(&other, p));
        }
        CHECK_EQ(stats().blocks, OBJECTS - (OBJECTS + 2) / 3);
        CHECK(stats().reserved >= OBJECTS / 3 * 16);
        if (round == 1)
            after_two = left();
        if (round > 1)
            CHECK(left() + SLACK >= after_two);
        if (round % 2)
            for (unsigned i = 0; i < OBJECTS; i++)
                if (i % 3)
                    CHECK_EQ(any_free(&heap, object[i]), 0);
        CHECK_EQ(any_close(&other), 0);
        for (unsigned i = 0; i < OBJECTS; i++)
            CHECK_EQ(any_free(&heap, object[i]),
                     i % 3 && round % 2 == 0 ? 0 : ALPS_EINVALID_FREE);
        CHECK(sound(&heap));
        CHECK_EQ(stats().reserved, 0);
    }
    end_empty();
}

static uint64_t *board; // what a child tells

static int die_in_the_middle(void)
{
    any_heap mine;
    must(open_too(&mine) == 0);
    alps_off *root = (alps_off *)any_root(&mine, 512 * 8);
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *p = any_reserve(&mine, size_of(i));
        if (!p || (i < 512 && any_publish(&mine, &root[i], p)))
            return 1;
    }
    for (unsigned i = 0; i < 512; i += 4)
        if (any_release(&mine, &root[i]))
            return 1;
    for (unsigned i = 0; i < OBJECTS; i++)
        if (!(object[i] = any_alloc(&mine, 64)))
            return 1;
    for (unsigned i = 0; i < OBJECTS; i++)
        if (any_free(&mine, object[i]))
            return 1;
    if (!mine.core.shared->empty) // it dies with some
        return 1;
    tell(board, 1);
    for (;;) {
        void *p = any_alloc(&mine, 64);
        if (!p || any_free(&mine, p))
            return 1;
    }
}

static int frees_it(void *context, void *p, size_t n)
{
    (void)context;
    CHECK_EQ(n, 64);
    CHECK_EQ(any_free(&heap, p), 0);
    return 0;
}

static void reservations_of_the_killed_come_back(void)
{
    board = (uint64_t *)board_make(4096);
    begin_here();
    alps_off *root = (alps_off *)any_root(&heap, 512 * 8);
    for (unsigned round = 0; round < 10 / SLOW; round++) {
        tell(board, 0);
        pid_t pid = start_child(die_in_the_middle);
        CHECK(await(board, 1));
        nap((long)throw_of(2000));
        kill(pid, SIGKILL);
        CHECK_EQ(end_of(pid), 1000 + SIGKILL);
        CHECK_EQ(any_reap(&heap), 0);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK(sound(&heap));
        CHECK(heap.core.shared->empty + 1 <= 2); // killed in between: one off
        CHECK_EQ(stats().reserved, 0);
        CHECK(stats().blocks - 384 <= 1); // one may have been in its hands
        for (unsigned i = 0; i < 512; i++) {
            CHECK_EQ(!root[i], i % 4 == 0);
            CHECK_EQ(any_release(&heap, &root[i]), 0);
        }
        CHECK_EQ(any_each(&heap, frees_it, NULL), 0);
    }
    end_empty();
    munmap(board, 4096);
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(far_frees_come_back_to_the_owner);
    RUN_EVERYWHERE(owner_and_others_free_together);
    RUN_EVERYWHERE(what_another_thread_freed_is_not_freed_again);
    RUN_EVERYWHERE(slabs_of_ended_threads_are_adopted);
    RUN_EVERYWHERE(an_ended_thread_keeps_nothing);
    RUN_EVERYWHERE(a_reservation_survives_its_thread);
    RUN_WHERE_BYTES_STAY(a_reservation_of_another_process_is_left_alone);
    RUN_WHERE_BYTES_STAY(what_a_process_leaves_is_adopted);
    RUN_WHERE_BYTES_STAY(reservations_of_the_killed_come_back);
    return check_end("adopt");
}
