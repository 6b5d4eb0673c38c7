/* test_transit.c -- the medium is waited for without the latch
 *
 * Memory is 15 frames of 64 KiB, unless changed; four threads, or more. */
#define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#include "pages.h"
#include <pthread.h>

NOBODY_WATCHES_THE_MEDIUM

#define SEGMENT (64 * KIB)
#define SEGMENTS 64u
#define THREADS 4u

static unsigned char *region;

static unsigned char byte_of(uint64_t at)
{
    return (unsigned char)(at / SEGMENT * 7 + at % 251);
}

/* A file that has something everywhere, mapped. */
static alps_pager *mapped(const char *name, const alps_options *o)
{
    unsigned char *bytes = (unsigned char *)malloc(SEGMENTS * SEGMENT);
    path_to(name);
    for (uint64_t i = 0; i < SEGMENTS * SEGMENT; i++)
        bytes[i] = byte_of(i);
    file_make(bytes, SEGMENTS * SEGMENT);
    free(bytes);
    region =
        (unsigned char *)alps_umalloc_with(the_path, SEGMENTS * SEGMENT, o);
    CHECK(region != NULL);
    return pager_of(region);
}

static void gone(void)
{
    CHECK_EQ(alps_ufree(region), 0);
    unlink(the_path);
}

static int is_wrong(uint64_t segment)
{
    uint64_t at = segment * SEGMENT + segment * 9;
    return __atomic_load_n(region + at, __ATOMIC_RELAXED) != byte_of(at);
}

static void store(uint64_t segment)
{
    uint64_t at = segment * SEGMENT + segment * 9;
    __atomic_store_n(region + at, byte_of(at), __ATOMIC_RELAXED);
}

/* Runs `body` in so many threads, with their numbers; answers the sum of what
 * they answer. */
static uint64_t in_threads(unsigned n, void *(*body)(void *))
{
    pthread_t thread[64];
    uint64_t sum = 0;
    for (uintptr_t i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, body, (void *)i), 0);
    for (unsigned i = 0; i < n; i++) {
        void *answer = NULL;
        CHECK_EQ(pthread_join(thread[i], &answer), 0);
        sum += (uintptr_t)answer;
    }
    return sum;
}

static unsigned first; // segment: of those that the threads touch

static void *reads_one(void *number)
{
    return (void *)(uintptr_t)is_wrong(first + 3 * (uintptr_t)number);
}

static void *stores_to_one(void *number)
{
    store(first + 3 * (uintptr_t)number);
    return NULL;
}

/* Where threads are slow to start, they are tried again. */
static void reads_do_not_wait_for_each_other(void)
{
    alps_options o = paged(0);
    mapped("reads", &o);
    read_takes = 20000;
    most_reading = 0;
    for (first = 0; first < 50 && most_reading < 2; first += 12)
        CHECK_EQ(in_threads(THREADS, reads_one), 0);
    read_takes = 0;
    CHECK(most_reading > 1);
    gone();
}

/* All that is in memory is dirty, and has to go. */
static void nor_do_writes(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    mapped("writes", &o);
    for (unsigned i = 0; i < SEGMENTS; i++)
        store(i);
    write_takes = 20000;
    most_writing = 0;
    for (first = 0; first < 40 && most_writing < 2; first += 12)
        CHECK_EQ(in_threads(THREADS, stores_to_one), 0);
    write_takes = 0;
    CHECK(most_writing > 1);
    int bad = 0;
    for (unsigned i = 0; i < SEGMENTS; i++)
        bad += is_wrong(i);
    CHECK_EQ(bad, 0);
    gone();
}

static void *reads_the_first(void *number)
{
    (void)number;
    return (void *)(uintptr_t)is_wrong(first);
}

static void what_several_want_is_read_once(void)
{
    alps_options o = paged(0);
    alps_pager *x = mapped("once", &o);
    first = 5;
    read_takes = 20000;
    CHECK_EQ(in_threads(THREADS, reads_the_first), 0);
    read_takes = 0;
    CHECK_EQ(alps_writeback_count_(x).bytes_read, SEGMENT);
    CHECK_EQ(alps_writeback_count_(x).faults, 1);
    gone();
}

static void *answers_the_byte(void *number)
{
    (void)number;
    return (void *)(uintptr_t)
        __atomic_load_n(region + first * SEGMENT, __ATOMIC_RELAXED);
}

static void *pins_it(void *number)
{
    (void)number;
    int err = alps_writeback_pin_(pager_of(region), first * SEGMENT, 1, 0);
    return (void *)(intptr_t)err;
}

/* A thread has read what the file had, and nobody has it yet. */
static void shut_behind(pthread_t *thread, void *(*body)(void *))
{
    __atomic_store_n(&gate_is_shut, 1, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_create(thread, NULL, body, NULL), 0);
    while (!__atomic_load_n(&at_the_gate, __ATOMIC_RELAXED))
        usleep(100);
}

static intptr_t opened_for(pthread_t thread)
{
    void *answer = NULL;
    __atomic_store_n(&gate_is_shut, 0, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_join(thread, &answer), 0);
    return (intptr_t)answer;
}

static void what_the_file_loses_meanwhile_is_not_shown(void)
{
    static unsigned char now[SEGMENT];
    alps_options o = paged(0);
    pthread_t thread;
    alps_pager *x = mapped("void", &o);
    first = 7;
    shut_behind(&thread, answers_the_byte);
    memset(now, 99, sizeof now);
    alps_writeback_forget_(x, first * SEGMENT, SEGMENT);
    int fd = open(the_path, O_RDWR);
    CHECK(pwrite(fd, now, SEGMENT, first * SEGMENT) == (ssize_t)SEGMENT);
    CHECK_EQ(opened_for(thread), 99);
    close(fd);
    gone();
}

static void what_is_cut_off_meanwhile_is_no_more(void)
{
    alps_options o = paged(0);
    pthread_t thread;
    alps_pager *x = mapped("cut", &o);
    first = SEGMENTS - 2;
    shut_behind(&thread, pins_it);
    alps_writeback_length_(x, first * SEGMENT);
    CHECK_EQ(opened_for(thread), ALPS_ETRUNCATED);
    CHECK(alps_segment_frame_(x, first) == ALPS_NO_FRAME);
    alps_writeback_length_(x, SEGMENTS * SEGMENT);
    CHECK_EQ(is_wrong(first), 0);
    gone();
}

static void *reads_number(void *number)
{
    return (void *)(uintptr_t)is_wrong((uintptr_t)number);
}

/* Of 12 frames two are pinned, two in the hands of threads, and eight young:
 * two threads that want the same segment wait for those in hand, and then one
 * of them for the other. */
static void who_waited_for_a_frame_looks_again(void)
{
    static const uintptr_t wanted[] = {20, 30, 40, 40};
    pthread_t thread[4];
    void *bad = NULL;
    alps_options o = paged(ALPS_EVICT_FIFO);
    o.memory = 13 * SEGMENT;
    alps_pager *x = mapped("again", &o);
    CHECK_EQ(x->pool.n, 12);
    CHECK_EQ(alps_writeback_pin_(x, 0, 2 * SEGMENT, 0), 0);
    for (unsigned i = 2; i < 12; i++)
        CHECK_EQ(is_wrong(i), 0);
    uint64_t had = alps_writeback_count_(x).bytes_read;
    __atomic_store_n(&gate_is_shut, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&thread[i], NULL, reads_number,
                                (void *)wanted[i]),
                 0);
        while (i < 2 && __atomic_load_n(&at_the_gate, __ATOMIC_RELAXED) <= i)
            usleep(100);
    }
    usleep(50000); // the last two find no frame
    CHECK_EQ(__atomic_load_n(&at_the_gate, __ATOMIC_RELAXED), 2);
    __atomic_store_n(&read_takes, 50000, __ATOMIC_RELAXED);
    __atomic_store_n(&gate_is_shut, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    read_takes = 0;
    CHECK_EQ(alps_writeback_count_(x).bytes_read - had, 3 * SEGMENT);
    alps_writeback_unpin_(x, 0, 2 * SEGMENT);
    gone();
}

/* Three of 12 frames can be pinned, also while another one leaves. */
static void what_leaves_is_not_held_for_long(void)
{
    pthread_t thread;
    alps_options o = paged(ALPS_EVICT_FIFO);
    o.memory = 13 * SEGMENT;
    alps_pager *x = mapped("held", &o);
    for (unsigned i = 0; i < 12; i++)
        store(i);
    CHECK_EQ(alps_writeback_pin_(x, 10 * SEGMENT, 2 * SEGMENT, 0), 0);
    first = 20;
    __atomic_store_n(&writes_are_shut_out, 1, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_create(&thread, NULL, stores_to_one, NULL), 0);
    while (!under_way(x, 1))
        usleep(100);
    CHECK_EQ(alps_writeback_pin_(x, 9 * SEGMENT, SEGMENT, 0), 0);
    CHECK(under_way(x, 1) != 0);
    CHECK_EQ(alps_writeback_pin_(x, 8 * SEGMENT, SEGMENT, 0), ALPS_EFULL);
    __atomic_store_n(&writes_are_shut_out, 0, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    alps_writeback_unpin_(x, 9 * SEGMENT, 3 * SEGMENT);
    CHECK_EQ(x->pinned, 0);
    gone();
}

/* The region's thread has the next one in hand, and the one behind it is read
 * by who waits for that. */
static void who_waits_helps(void)
{
    alps_options o = paged(0);
    int bad = 0;
    o.segment = SEGMENT / 4;
    o.readahead = 4;
    mapped("helps", &o);
    read_takes = 3000;
    began_beside = 0;
    for (uint64_t at = 0; at < SEGMENTS * SEGMENT; at += SEGMENT / 4)
        bad += *(volatile unsigned char *)(region + at) != byte_of(at);
    read_takes = 0;
    CHECK_EQ(bad, 0);
    CHECK(began_beside > SEGMENTS); // of four times as many
    gone();
}

/* Of 24 frames 6 are guesses, and go before the 18 that were touched, also where
 * so many threads were seen that none of these does. */
static void guesses_are_old_from_the_start(void)
{
    static const unsigned row[] = {0, 1, 10, 11, 20, 21};
    alps_options o = paged(ALPS_EVICT_FIFO);
    o.memory = 25 * SEGMENT;
    o.readahead = 2;
    alps_pager *x = mapped("old", &o);
    CHECK_EQ(x->pool.n, 24);
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(is_wrong(i < 6 ? row[i] : 12 + 2 * i), 0);
        x->young = 36; // nine threads
        guesses_are_there(x);
    }
    CHECK_EQ(x->count.prefetches, 6);
    gone();
}

static int few; // segments are touched

/* Each in an order of its own. */
static void *touches_all(void *number)
{
    uint64_t dice = 77 + (uintptr_t)number, bad = 0, segment = 0;
    for (unsigned i = 0; i < 150; i++) {
        segment = i % 4 ? segment + 1 : rnd(&dice);
        segment %= few ? 14 : SEGMENTS;
        bad += (uint64_t)is_wrong(segment);
        if (i % 3 == 0)
            store(segment);
    }
    return (void *)(uintptr_t)bad;
}

/* More threads than may be on their way at once, the least memory, some of
 * which is pinned: a frame that another thread has in hand is waited for. */
static void nobody_goes_without_a_frame(void)
{
    static const unsigned frames[] = {9, 12, 24};
    for (unsigned k = 0; k < 3; k++)
        for (unsigned e = 1; e <= ALPS_EVICTIONS; e++) {
            alps_options o = paged(e);
            o.memory = (frames[k] + 1) * SEGMENT;
            o.readahead = 2; // where there are enough
            alps_pager *x = mapped("least", &o);
            CHECK_EQ(x->pool.n, frames[k]);
            few = k == 1;
            if (few) // all that can be, of 12
                CHECK_EQ(alps_writeback_pin_(x, SEGMENT, 2 * SEGMENT, 1), 0);
            read_takes = write_takes = 50;
            CHECK_EQ(in_threads(3 * THREADS, touches_all), 0);
            read_takes = write_takes = 0;
            if (few)
                alps_writeback_unpin_(x, SEGMENT, 2 * SEGMENT);
            guesses_are_there(x);
            CHECK_EQ(x->pinned, 0);
            for (unsigned i = 0; i < x->pool.n; i++)
                CHECK_EQ(x->pool.frame[i].pins, 0);
            gone();
        }
}

int main(void)
{
    folder_make();
    RUN(reads_do_not_wait_for_each_other);
    RUN(nor_do_writes);
    RUN(what_several_want_is_read_once);
    RUN(what_the_file_loses_meanwhile_is_not_shown);
    RUN(what_is_cut_off_meanwhile_is_no_more);
    RUN(who_waited_for_a_frame_looks_again);
    RUN(what_leaves_is_not_held_for_long);
    RUN(who_waits_helps);
    RUN(guesses_are_old_from_the_start);
    RUN(nobody_goes_without_a_frame);
    folder_remove();
    return check_end("transit");
}
