/* test_leaving.c -- what goes is written while threads go on
 *
 * Memory is some 60 frames of 16 KiB, all of them dirty; the region's thread
 * makes room for what is likely next, and writes take long. */
#define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#define ALPS_POLICY ALPS_CHECKPOINT
#include "pages.h"
#include <pthread.h>

#define SEGMENT (16 * KIB)
#define SEGMENTS 300u

static unsigned written_times[SEGMENTS]; // atomic

static void medium_wrote(const void *p, size_t n, off_t off)
{
    (void)p;
    if (n == SEGMENT && (uint64_t)off < SEGMENTS * SEGMENT)
        __atomic_fetch_add(&written_times[(uint64_t)off / SEGMENT], 1,
                           __ATOMIC_RELAXED);
}

static void medium_synced(void)
{
}

static unsigned times(uint32_t segment)
{
    return __atomic_load_n(&written_times[segment], __ATOMIC_RELAXED);
}

/* How long writes take from now on. */
static void writes_take(unsigned microseconds)
{
    __atomic_store_n(&write_takes, microseconds, __ATOMIC_RELAXED);
}

/* A region of which all that is in memory is dirty. */
static unsigned char *dirtied(const char *name)
{
    alps_options o = paged(0);
    o.segment = SEGMENT;
    o.readahead = 4;
    o.eviction = ALPS_EVICT_FIFO;
    path_to(name);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, SEGMENTS * SEGMENT, &o);
    CHECK(p != NULL);
    for (uint32_t i = 0; p && i < 100; i++)
        memset(p + (uint64_t)i * SEGMENT, (int)i + 1, SEGMENT);
    usleep(20000); // nothing is brought any more
    memset(written_times, 0, sizeof written_times);
    return p;
}

/* Goes on until the region's thread begins to write something, and answers what;
 * it takes a while. Starts with segment `from`, which nobody has touched. What
 * the thread writes beside this one may be written soon: the next is waited
 * for. */
static uint32_t begins_to_leave(unsigned char *p, uint32_t from)
{
    alps_pager *x = pager_of(p);
    uint32_t was, now = 0;
    writes_take(100000);
    p[(uint64_t)from * SEGMENT] = 1;
    p[(uint64_t)(from + 1) * SEGMENT] = 1;
    was = under_way(x, 1);
    for (int i = 0; i < 5000 && (!now || now == was); i++) {
        usleep(100);
        now = under_way(x, 1);
    }
    CHECK(now && now != was && now <= SEGMENTS);
    return now && now <= SEGMENTS ? now - 1 : 0;
}

static void ended(unsigned char *p)
{
    writes_take(0);
    while (under_way(pager_of(p), 1))
        usleep(100);
}

/* Nobody knows anything but what was stored. */
static int wrong(const unsigned char *p, uint32_t but)
{
    int bad = 0;
    for (uint32_t i = 0; i < 100; i++)
        bad += i != but && p[(uint64_t)i * SEGMENT + 700] != i + 1;
    return bad;
}

static void the_latch_is_free_meanwhile(void)
{
    unsigned char *p = dirtied("free");
    alps_pager *x = pager_of(p);
    uint32_t there = 0;
    sigset_t old;
    uint32_t gone = begins_to_leave(p, 200);
    alps_latch_enter_(&x->latch, &old);
    CHECK(alps_transit_find_(x, gone) != NULL);
    CHECK(alps_segment_frame_(x, gone) != ALPS_NO_FRAME);
    for (uint32_t i = 0; i < 100; i++)
        there +=
            i != gone && alps_segment_frame_(x, i) != ALPS_NO_FRAME &&
            x->pool.frame[alps_segment_frame_(x, i)].state == ALPS_FRAME_WRITE;
    alps_latch_leave_(&x->latch, &old);
    CHECK(there > 10);
    CHECK_EQ(alps_writeback_pin_(x, 201 * SEGMENT, SEGMENT, 1), 0);
    CHECK_EQ(under_way(x, 1), gone + 1); // others did not wait for it
    alps_writeback_unpin_(x, 201 * SEGMENT, SEGMENT);
    ended(p);
    CHECK_EQ(wrong(p, SEGMENTS), 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void who_stores_to_it_waits(void)
{
    for (int write = 0; write < 2; write++) {
        unsigned char *p = dirtied("touched");
        uint32_t gone = begins_to_leave(p, 200);
        unsigned char *at = p + (uint64_t)gone * SEGMENT + 9, want = 77;
        CHECK_EQ(times(gone), 0); // it is not written yet
        if (write)
            *(volatile unsigned char *)at = want;
        else
            CHECK_EQ(*(volatile unsigned char *)at, gone + 1);
        CHECK_EQ(times(gone), 1);
        ended(p);
        CHECK_EQ(*at, write ? want : gone + 1);
        CHECK_EQ(wrong(p, SEGMENTS), 0);
        CHECK_EQ(alps_usync(p), 0);
        if (write)
            CHECK(file_has(&want, (uint64_t)gone * SEGMENT + 9, 1));
        CHECK_EQ(alps_ufree(p), 0);
        unlink(the_path);
    }
}

static void who_syncs_it_waits_and_writes_it_once(void)
{
    unsigned char *p = dirtied("synced"), bytes[SEGMENT];
    uint32_t gone = begins_to_leave(p, 200);
    CHECK_EQ(times(gone), 0);
    CHECK_EQ(alps_writeback_fence_(pager_of(p)), 0); // of what went before
    CHECK_EQ(
        alps_writeback_(pager_of(p), (uint64_t)gone * SEGMENT, SEGMENT, NULL),
        0);
    CHECK_EQ(times(gone), 1);
    memset(bytes, (int)gone + 1, sizeof bytes);
    CHECK(file_has(bytes, (uint64_t)gone * SEGMENT, SEGMENT));
    ended(p);
    CHECK_EQ(times(gone), 1);
    CHECK(alps_writeback_count_(pager_of(p)).syncs == 1);
    CHECK_EQ(alps_writeback_fence_(pager_of(p)), 0); // it counts
    CHECK(alps_writeback_count_(pager_of(p)).syncs == 2);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* Pages that are compared with a copy of what the file has: it changes, goes,
 * and is as it was before. */
static void what_is_compared_is_not_written_behind_its_copy(void)
{
    unsigned char *p = dirtied("echo");
    alps_pager *x = pager_of(p);
    unsigned char one = 1;
    alps_writeback_listen_(x, 50 * SEGMENT, 4096);
    CHECK(x->echo.bytes != NULL);
    for (unsigned turn = 0; turn < 4; turn++) {
        p[50 * SEGMENT] = one;
        CHECK_EQ(alps_usync(p), 0);
        p[50 * SEGMENT] = 2;
        for (uint32_t i = 100; i < 200; i++) {
            p[(uint64_t)i * SEGMENT] = 3;
            guesses_are_there(pager_of(p));
        }
        CHECK_EQ(alps_segment_frame_(x, 50), ALPS_NO_FRAME);
        p[50 * SEGMENT] = one;
        CHECK_EQ(alps_usync(p), 0);
        CHECK(file_has(&one, 50 * SEGMENT, 1));
    }
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void the_end_of_the_file_stays_where_it_is(void)
{
    alps_options o = paged(0);
    uint64_t size = SEGMENTS * SEGMENT + 100;
    o.segment = SEGMENT;
    o.readahead = 4;
    o.eviction = ALPS_EVICT_FIFO;
    path_to("end");
    unsigned char *p = (unsigned char *)alps_umalloc_with(the_path, size, &o);
    for (unsigned turn = 0; turn < 4; turn++) {
        p[size - 1] = 7;
        for (uint32_t i = 100; i < 200; i++) {
            p[(uint64_t)i * SEGMENT] = 3;
            guesses_are_there(pager_of(p));
        }
        CHECK_EQ(alps_segment_frame_(pager_of(p), SEGMENTS), ALPS_NO_FRAME);
        CHECK_EQ(file_size(), size);
    }
    CHECK_EQ(p[size - 1], 7);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void what_is_not_committed_does_not_leave_for_home(void)
{
    alps_heap h;
    alps_options o = paged(0);
    o.segment = SEGMENT;
    o.readahead = 4;
    o.size = 8 * MIB;
    path_to("home");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    memset(p, 1, 4 * MIB);
    CHECK_EQ(alps_sync(&h), 0);
    unsigned long before = writes_by[h.core.map.fd % BY_MAX];
    for (uint64_t i = 0; i < 4 * MIB; i += SEGMENT) {
        memset(p + i, 2, SEGMENT);
        guesses_are_there(h.core.map.pager);
    }
    CHECK(alps_writeback_count_(h.core.map.pager).prefetches > 10);
    CHECK_EQ(writes_by[h.core.map.fd % BY_MAX], before);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* The file has something else there when it is given back. */
static void who_gives_it_back_waits(void)
{
    unsigned char *p = dirtied("given"), now[SEGMENT];
    uint32_t gone = begins_to_leave(p, 200);
    uint64_t off = (uint64_t)gone * SEGMENT;
    int fd = open(the_path, O_RDWR);
    memset(now, 99, sizeof now);
    alps_writeback_forget_(pager_of(p), off, SEGMENT);
    CHECK(pwrite(fd, now, SEGMENT, (off_t)off) == (ssize_t)SEGMENT);
    close(fd);
    ended(p);
    CHECK_EQ(p[off + 5], 99);
    CHECK_EQ(wrong(p, gone), 0);
    CHECK_EQ(alps_ufree(p), 0);
    CHECK(file_has(now, off, SEGMENT));
    unlink(the_path);
}

/* The system may take it for clean then, and it is not on the medium. */
static void it_stays_when_a_sync_fails_meanwhile(void)
{
    unsigned char *p = dirtied("stays");
    alps_pager *x = pager_of(p);
    uint32_t gone = begins_to_leave(p, 200);
    bad_sync = EIO;
    x->written++;          // so that there is something to be synced
    x->unheld = x->synced; // and nothing of it has gone before
    CHECK_EQ(alps_writeback_fence_(x), ALPS_EIO);
    bad_sync = 0;
    CHECK_EQ(under_way(x, 1), gone + 1);
    ended(p);
    CHECK_EQ(x->lost, 0);
    CHECK_EQ(alps_usync(p), 0);
    CHECK(times(gone) > 1); // once more
    CHECK_EQ(wrong(p, SEGMENTS), 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void it_stays_when_it_cannot_be_written(void)
{
    unsigned char *p = dirtied("full");
    bad_write = ENOSPC;
    uint32_t gone = begins_to_leave(p, 100); // nobody has room
    CHECK(gone < 100);
    ended(p);
    bad_write = 0;
    CHECK_EQ(wrong(p, SEGMENTS), 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* A sync that is made of everything, all the time, beside threads that go
 * through all of it. */
#define THREADS 3
static unsigned char *shared;

static void *goes_through(void *number)
{
    uint64_t me = (uint64_t)(uintptr_t)number, bad = 0;
    for (uint64_t turn = 0; turn < 3; turn++)
        for (uint64_t i = 0; i < SEGMENTS; i++) {
            volatile uint64_t *word =
                (volatile uint64_t *)(void *)(shared +
                                              (i + me * 90) % SEGMENTS *
                                                  SEGMENT +
                                              1024 + 8 * me);
            bad += *word != (turn ? turn * 1000 + i : 0);
            *word = (turn + 1) * 1000 + i;
        }
    return (void *)(uintptr_t)bad;
}

static void threads_lose_no_word(void)
{
    pthread_t thread[THREADS];
    void *bad = NULL;
    alps_options o = paged(0);
    o.segment = SEGMENT;
    o.readahead = 4;
    path_to("threads");
    shared =
        (unsigned char *)alps_umalloc_with(the_path, SEGMENTS * SEGMENT, &o);
    if (!CHECK(shared != NULL))
        return;
    writes_take(30);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, goes_through, (void *)i), 0);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(alps_usync(shared), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    writes_take(0);
    CHECK_EQ(alps_ufree(shared), 0);
    for (uint64_t i = 0; i < SEGMENTS; i++)
        for (uint64_t me = 0; me < THREADS; me++) {
            uint64_t want =
                3000 + (i + SEGMENTS - me * 90 % SEGMENTS) % SEGMENTS;
            CHECK(file_has((unsigned char *)&want, i * SEGMENT + 1024 + 8 * me,
                           8));
        }
    unlink(the_path);
}

static void run_all(void)
{
    RUN(the_latch_is_free_meanwhile);
    RUN(who_stores_to_it_waits);
    RUN(who_syncs_it_waits_and_writes_it_once);
    RUN(what_is_compared_is_not_written_behind_its_copy);
    RUN(the_end_of_the_file_stays_where_it_is);
    RUN(what_is_not_committed_does_not_leave_for_home);
    RUN(who_gives_it_back_waits);
    RUN(it_stays_when_a_sync_fails_meanwhile);
    RUN(it_stays_when_it_cannot_be_written);
    RUN(threads_lose_no_word);
}

int main(void)
{
    folder_make();
    with_each_engine(run_all);
    folder_remove();
    return check_end("leaving");
}
