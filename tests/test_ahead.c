/* test_ahead.c -- what is likely next is there before it is touched
 *
 * Memory is some 60 frames of 16 KiB; up to 4 segments ahead. */
#define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#define ALPS_POLICY ALPS_CHECKPOINT
#include "pages.h"
#include <pthread.h>

NOBODY_WATCHES_THE_MEDIUM

/* How long reads take from now on, and what comes of them. */
static void reads(unsigned microseconds, int bad)
{
    __atomic_store_n(&read_takes, microseconds, __ATOMIC_RELAXED);
    __atomic_store_n(&bad_read, bad, __ATOMIC_RELAXED);
}

#define SEGMENT (16 * KIB)
#define SEGMENTS 300u

static alps_options ahead(unsigned n)
{
    alps_options o = paged(0);
    o.segment = SEGMENT;
    o.readahead = n;
    return o;
}

static unsigned char byte_of(uint64_t at)
{
    return (unsigned char)(at / SEGMENT * 7 + at % 251);
}

/* A file that has something everywhere, mapped. */
static unsigned char *filled(const alps_options *o)
{
    unsigned char *bytes = (unsigned char *)malloc(SEGMENTS * SEGMENT);
    for (uint64_t i = 0; i < SEGMENTS * SEGMENT; i++)
        bytes[i] = byte_of(i);
    file_make(bytes, SEGMENTS * SEGMENT);
    free(bytes);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, SEGMENTS * SEGMENT, o);
    CHECK(p != NULL);
    return p;
}

/* Touches a segment, and looks at it. */
static int wrong(const unsigned char *p, uint64_t segment)
{
    uint64_t at = segment * SEGMENT + segment % SEGMENT;
    return *(const volatile unsigned char *)(p + at) != byte_of(at);
}

/* Whether a segment is in memory; what is coming is waited for. */
static int is_in(alps_pager *x, uint32_t segment)
{
    sigset_t old;
    alps_latch_enter_(&x->latch, &old);
    int in = alps_segment_frame_(x, segment) != ALPS_NO_FRAME;
    alps_latch_leave_(&x->latch, &old);
    return in;
}

/* It is, soon. */
static int comes(alps_pager *x, uint32_t segment)
{
    for (int i = 0; i < 3000 && !is_in(x, segment); i++)
        usleep(1000);
    return is_in(x, segment);
}

static void one_behind_the_other_is_read_before(void)
{
    for (unsigned direct = 0; direct < 2; direct++) {
        alps_options o = ahead(4);
        int bad = 0;
        o.direct = direct;
        path_to("row");
        unsigned char *p = filled(&o);
        if (!p)
            return;
        alps_pager *x = pager_of(p);
        for (uint32_t i = 0; i < SEGMENTS; i++) {
            bad += wrong(p, i);
            bad += i && i + 4 < SEGMENTS && !comes(x, i + 4);
        }
        alps_paging count = alps_writeback_count_(x);
        CHECK_EQ(bad, 0);
        // The first two, and a few that go again when memory is full for the
        // first time; all others were there.
        CHECK(count.faults >= 2 && count.faults <= 8);
        CHECK(count.prefetches >= SEGMENTS - 2);
        CHECK_EQ(count.soft + count.faults, SEGMENTS);
        CHECK(count.bytes_read <= (SEGMENTS + 8) * SEGMENT);
        CHECK_EQ(alps_ufree(p), 0);
        unlink(the_path);
    }
}

static void several_rows_are_told_apart(void)
{
    alps_options o = ahead(2);
    int bad = 0;
    path_to("rows");
    unsigned char *p = filled(&o);
    alps_pager *x = pager_of(p);
    for (uint32_t i = 0; i < 60; i++)
        for (uint32_t row = 0; row < 4; row++) {
            bad += wrong(p, row * 70 + i);
            bad += i && !comes(x, row * 70 + i + 2);
        }
    CHECK_EQ(bad, 0);
    CHECK(alps_writeback_count_(x).faults < 8 + 16);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void here_and_there_nothing_is_guessed(void)
{
    alps_options o = ahead(4);
    int bad = 0;
    path_to("random");
    unsigned char *p = filled(&o);
    for (uint32_t i = 0; i < 3 * SEGMENTS; i++)
        bad += wrong(p, i * 7 % SEGMENTS);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_writeback_count_(pager_of(p)).prefetches, 0);
    CHECK_EQ(alps_ufree(p), 0);
    o.readahead = 0;
    p = filled(&o);
    for (uint32_t i = 0; i < SEGMENTS; i++)
        bad += wrong(p, i);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_writeback_count_(pager_of(p)).prefetches, 0);
    CHECK_EQ(pager_of(p)->cleans, 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void a_wrong_guess_goes_before_what_is_used(void)
{
    alps_options o = ahead(4);
    uint32_t used = 2, in = 0;
    path_to("wrong");
    unsigned char *p = filled(&o);
    alps_pager *x = pager_of(p);
    CHECK(!wrong(p, 200) && !wrong(p, 201));
    CHECK(comes(x, 205));
    for (; used < x->pool.n + x->pool.n / 4; used++)
        CHECK(!wrong(p, used * 2 % 150)); // others, and none beside another
    for (uint32_t i = 202; i <= 205; i++)
        in += (uint32_t)is_in(x, i);
    CHECK_EQ(in, 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void who_touches_what_is_coming_waits_for_it(void)
{
    alps_options o = ahead(4);
    int bad = 0;
    path_to("coming");
    unsigned char *p = filled(&o);
    alps_pager *x = pager_of(p);
    reads(3000, 0);
    for (uint32_t i = 0; i < 40; i++)
        bad += wrong(p, i);
    reads(0, 0);
    alps_paging count = alps_writeback_count_(x);
    CHECK_EQ(bad, 0);
    CHECK(count.prefetches > 10);
    CHECK_EQ(count.bytes_read, (count.prefetches + count.faults) * SEGMENT);
    CHECK(count.faults + count.prefetches <= 45); // none was read twice
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void what_is_coming_is_void_when_the_file_changes(void)
{
    alps_options o = ahead(1);
    unsigned char now[SEGMENT];
    path_to("void");
    unsigned char *p = filled(&o);
    alps_pager *x = pager_of(p);
    CHECK(!wrong(p, 10) && !wrong(p, 11));
    guesses_are_there(x);
    reads(100000, 0);
    int fd = open(the_path, O_RDWR);
    CHECK(!wrong(p, 12)); // and 13 is being read
    while (!under_way(x, 0))
        usleep(100);
    memset(now, 99, sizeof now);
    alps_writeback_forget_(x, 13 * SEGMENT, SEGMENT);
    usleep(150000); // it has been read by now
    CHECK(pwrite(fd, now, SEGMENT, 13 * SEGMENT) == (ssize_t)SEGMENT);
    reads(0, 0);
    CHECK_EQ(p[13 * SEGMENT + 5], 99);
    close(fd);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void what_cannot_be_read_is_not_guessed(void)
{
    alps_options o = ahead(4);
    path_to("fails");
    unsigned char *p = filled(&o);
    alps_pager *x = pager_of(p);
    CHECK(!wrong(p, 10) && !wrong(p, 11));
    guesses_are_there(x);
    uint64_t had = alps_writeback_count_(x).prefetches;
    reads(20000, EIO); // of those behind 15
    CHECK(had == 4 && !wrong(p, 12) && !wrong(p, 13));
    guesses_are_there(x);
    reads(0, 0);
    CHECK_EQ(alps_writeback_count_(x).prefetches, had);
    for (uint32_t i = 14; i < 19; i++)
        CHECK(!wrong(p, i)); // and they are there
    for (uint32_t i = 0; i < x->pool.n; i++)
        CHECK(x->pool.frame[i].pins == 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void guesses_take_no_more_memory(void)
{
    for (unsigned write = 0; write < 2; write++) {
        alps_options o = ahead(4);
        uint64_t most = 0, now;
        path_to("resident");
        unsigned char *p = filled(&o);
        alps_pager *x = pager_of(p);
        uint64_t all = (x->pool.n + more_segments()) * SEGMENT;
        all += x->pool.uffd ? SEGMENT : 0;
        CHECK(all + x->state_n < o.memory);
        for (uint32_t i = 0; i < SEGMENTS; i++) {
            CHECK(!wrong(p, i));
            if (write)
                p[i * SEGMENT] = byte_of(i * SEGMENT);
            guesses_are_there(x);
            now = resident(x);
            most = now > most ? now : most;
        }
        CHECK(most <= all && most > all / 2);
        CHECK(x->count.prefetches > 10);
        CHECK_EQ(alps_usync(p), 0);
        uint64_t wrote = alps_writeback_count_(pager_of(p)).bytes_written;
        for (uint32_t i = 0; i < SEGMENTS; i++)
            CHECK(!wrong(p, i));
        CHECK_EQ(alps_writeback_count_(pager_of(p)).bytes_written, wrote);
        uint32_t frames = x->pool.n;
        CHECK_EQ(alps_ufree(p), 0);
        o.readahead = 0;
        p = filled(&o);
        CHECK_EQ(pager_of(p)->pool.n, frames + (the_engine == 3));
        CHECK_EQ(alps_ufree(p), 0);
        unlink(the_path);
    }
}

#define THREADS 3
static unsigned char *shared;

/* Each goes through all of it, and has 8 bytes in each segment. */
static void *goes_through(void *number)
{
    uint64_t me = (uint64_t)(uintptr_t)number, bad = 0;
    for (uint64_t turn = 0; turn < 4; turn++)
        for (uint64_t i = 0; i < 100; i++) {
            volatile uint64_t *word =
                (volatile uint64_t *)(void *)(shared +
                                              (i + me * 30) % 100 * SEGMENT +
                                              8 * me);
            bad += *word != (turn ? turn * 1000 + i : 0);
            *word = (turn + 1) * 1000 + i;
        }
    return (void *)(uintptr_t)bad;
}

static void threads_lose_no_word(void)
{
    uint64_t guesses = 0; // where nobody is quick, there are few
    for (unsigned e = 1; e <= ALPS_EVICTIONS; e++) {
        pthread_t thread[THREADS];
        void *bad = NULL;
        alps_options o = ahead(8);
        o.eviction = e;
        o.memory = 40 * SEGMENT;
        o.dirty_high = e % 2 * 50;
        o.write_back = e % 3;
        path_to("threads");
        shared =
            (unsigned char *)alps_umalloc_with(the_path, 100 * SEGMENT, &o);
        if (!CHECK(shared != NULL))
            return;
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&thread[i], NULL, goes_through, (void *)i),
                     0);
        for (unsigned i = 0; i < 20; i++)
            CHECK_EQ(alps_usync(shared), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_join(thread[i], &bad), 0);
            CHECK_EQ((uintptr_t)bad, 0);
        }
        guesses += alps_writeback_count_(pager_of(shared)).prefetches;
        CHECK_EQ(alps_ufree(shared), 0);
        unlink(the_path);
    }
    CHECK(guesses > 0);
}

/* What is spilled is brought as well. */
static void under_checkpoint_it_is_the_newest(void)
{
    alps_heap h;
    alps_options o = ahead(4);
    int bad = 0;
    o.size = 8 * MIB;
    path_to("newest");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (uint64_t i = 0; i < 4 * MIB; i += 1000)
            p[i] = (unsigned char)(turn + i / 1000);
        for (uint64_t i = 0; i < 4 * MIB; i += 1000) {
            bad += p[i] != (unsigned char)(turn + i / 1000);
            if (i % SEGMENT < 1000)
                guesses_are_there(h.core.map.pager);
        }
        if (turn)
            CHECK_EQ(alps_sync(&h), 0);
    }
    CHECK_EQ(bad, 0);
    CHECK(alps_writeback_count_(h.core.map.pager).prefetches > 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

static int opens(unsigned n)
{
    alps_options o = ahead(n);
    void *p = alps_umalloc_with(the_path, 4 * MIB, &o);
    if (!p)
        return -errno;
    unsigned most = pager_of(p)->ahead.most;
    CHECK_EQ(alps_ufree(p), 0);
    return (int)most;
}

static void what_cannot_be_meant_is_refused(void)
{
    path_to("refused");
    CHECK_EQ(opens(0), 0);
    CHECK_EQ(opens(3), 3);
    CHECK(opens(64) < 8); // so few frames are there
    CHECK_EQ(opens(65), -EINVAL);
    setenv("ALPS_READAHEAD", "5", 1);
    CHECK_EQ(opens(0), 5);
    setenv("ALPS_READAHEAD", "far", 1);
    CHECK_EQ(opens(0), -EINVAL);
    unsetenv("ALPS_READAHEAD");
    unlink(the_path);
}

static void run_all(void)
{
    RUN(one_behind_the_other_is_read_before);
    RUN(several_rows_are_told_apart);
    RUN(here_and_there_nothing_is_guessed);
    RUN(a_wrong_guess_goes_before_what_is_used);
    RUN(who_touches_what_is_coming_waits_for_it);
    RUN(what_is_coming_is_void_when_the_file_changes);
    RUN(what_cannot_be_read_is_not_guessed);
    RUN(guesses_take_no_more_memory);
    RUN(threads_lose_no_word);
    RUN(under_checkpoint_it_is_the_newest);
    RUN(what_cannot_be_meant_is_refused);
}

int main(void)
{
    folder_make();
    with_each_engine(run_all);
    folder_remove();
    return check_end("ahead");
}
