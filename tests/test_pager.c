/* test_pager.c -- memory larger than memory holds what was stored in it
 *
 * By way of alps_umalloc: a file, plain bytes, no heap. Segments are 64 KiB and
 * memory is 15 of them, unless said. */
#include "pages.h"
#include "words.h"
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

/* Who stores to what is being written. */
static unsigned char *watched; /* or NULL */
static int being_written, stored, stored_meanwhile;

static UNSEEN_BY_TSAN void medium_wrote(const void *p, size_t n, off_t off)
{
    (void)p;
    (void)n;
    (void)off;
    if (!watched || being_written)
        return;
    __atomic_store_n(&being_written, 1, __ATOMIC_RELEASE);
    usleep(50000); // the other thread stores as soon as it can
    stored_meanwhile = __atomic_load_n(&stored, __ATOMIC_ACQUIRE);
}

static void medium_synced(void)
{
}

/* ---- contents ------------------------------------------------------------ */

static void contents_are_those_of_a_model_of_any_size(void)
{
    static const uint64_t sizes[] = {1,     4096,   4097,   65535,
                                     65536, 65537,  229376, 1000001,
                                     61440, 130000, 3 << 20};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        alps_options o = paged(0);
        mixed(sizes[i], &o, 300);
        o.engine = ALPS_ENGINE_KERNEL;
        mixed(sizes[i], &o, 100);
    }
}

static void contents_are_those_of_a_model_under_any_policy(void)
{
    for (unsigned eviction = 0; eviction <= ALPS_EVICTIONS; eviction++) {
        alps_options o = paged(eviction);
        mixed(4 * MIB + 12345, &o, 1000);
    }
}

static void contents_are_those_of_a_model_by_any_segment(void)
{
    for (uint64_t segment = 4096; segment <= 128 * KIB; segment *= 2) {
        alps_options o = paged(0);
        o.segment = segment;
        o.memory = (11 + more_segments()) * segment + 40 * KIB;
        mixed(30 * segment + 7, &o, 400);
    }
}

static void contents_stay_where_calls_are_cut_short(void)
{
    alps_options o = paged(0);
    uint64_t size = 2 * MIB;
    unsigned char *model = (unsigned char *)malloc((size_t)size);
    path_to("short");
    for (uint64_t i = 0; i < size; i++)
        model[i] = (unsigned char)(i / 777);
    file_make(model, size);
    short_calls = 1;
    unsigned char *p = (unsigned char *)alps_umalloc_with(the_path, size, &o);
    CHECK(p && !memcmp(p, model, size));
    memset(p + 100000, 9, 1000000);
    memset(model + 100000, 9, 1000000);
    CHECK_EQ(alps_ufree(p), 0);
    CHECK(file_has(model, 0, size));
    unlink(the_path);
    free(model);
}

static void contents_are_those_of_a_model_past_the_page_cache(void)
{
    alps_options o = paged(0);
    o.direct = 1;
    path_to("direct");
    void *p = alps_umalloc_with(the_path, 3 * MIB, &o);
    if (!p) {
        CHECK_EQ(errno, ENOTSUP);
        unlink(the_path);
        SKIP("this file system reads and writes by way of its cache only");
        return;
    }
    CHECK(pager_of(p)->backing.file[0].past >= 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
    mixed(2 * MIB + 4096 + 17, &o, 500);
    mixed(4097, &o, 50);
    mixed(100, &o, 50);
}

/* ---- the file ------------------------------------------------------------ */

static void a_file_is_made_as_long_as_was_asked_and_never_cut(void)
{
    alps_options o = paged(0);
    unsigned char tail[5000];
    for (unsigned engine = 1; engine <= the_engine; engine++) {
        o.engine = engine;
        path_to("exact");
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 100001, &o);
        CHECK(p != NULL);
        CHECK_EQ(file_size(), 100001);
        memset(p, 3, 100001);
        CHECK_EQ(alps_ufree(p), 0);
        CHECK_EQ(file_size(), 100001);
        p = (unsigned char *)alps_umalloc_with(the_path, 70000, &o);
        memset(p, 4, 70000);
        CHECK_EQ(alps_usync(p), 0);
        CHECK_EQ(file_size(), 100001);
        CHECK_EQ(alps_ufree(p), 0);
        memset(tail, 3, sizeof tail);
        CHECK(file_has(tail, 70000, sizeof tail));
        memset(tail, 4, sizeof tail);
        CHECK(file_has(tail, 65000, sizeof tail));
        CHECK_EQ(file_size(), 100001);
        unlink(the_path);
    }
}

static void what_cannot_be_meant_is_refused(void)
{
    alps_options o = paged(0);
    path_to("refused");
    errno = 0;
    CHECK(!alps_umalloc_with(the_path, 0, &o) && errno == EINVAL);
    CHECK(!alps_umalloc_with("", 100, &o) && errno == EINVAL);
    CHECK(!alps_umalloc_with("/nowhere/at/all", 100, &o) && errno == ENOENT);
    o.segment = 5000;
    CHECK(!alps_umalloc_with(the_path, MIB, &o) && errno == EINVAL);
    o = paged(0);
    o.memory = 6 * o.segment; // fewer than stay
    CHECK(!alps_umalloc_with(the_path, MIB, &o) && errno == EINVAL);
    o = paged(99);
    CHECK(!alps_umalloc_with(the_path, MIB, &o) && errno == EINVAL);
    o = paged(0);
    o.engine = 7;
    CHECK(!alps_umalloc_with(the_path, MIB, &o) && errno == EINVAL);
    o = paged(0);
    o.segment = 4096;
    o.memory = (uint64_t)1 << 40; // more mappings than there are
    if (the_engine == ALPS_ENGINE_REWIRE)
        CHECK(!alps_umalloc_with(the_path, MIB, &o) && errno == EINVAL);
    int here = 0;
    CHECK_EQ(alps_usync(&here), ALPS_EINVAL);
    CHECK_EQ(alps_ufree(&here), ALPS_EINVAL);
    CHECK_EQ(alps_ufree(NULL), 0);
    unlink(the_path);
}

static int asked(const char *name, const char *word)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    setenv(name, word, 1);
    void *p = alps_umalloc_with(the_path, 3 * MIB, &o);
    unsetenv(name);
    if (!p)
        return -errno;
    const alps_pager *x = pager_of(p);
    int found = (int)(x->engine * 1000 + x->shift);
    CHECK_EQ(alps_ufree(p), 0);
    return found;
}

static void the_environment_is_heard_and_its_rubbish_refused(void)
{
    static const char *const bad[] = {
        "1X",    "K", "-1", "1KK", "0x10", "1 M", "99999999999999999999",
        "70000T"};
    path_to("environment");
    CHECK_EQ(asked("ALPS_ENGINE", "kernel") / 1000, ALPS_ENGINE_KERNEL);
    CHECK_EQ(asked("ALPS_ENGINE", "rewire") / 1000, ALPS_ENGINE_REWIRE);
    CHECK_EQ(asked("ALPS_ENGINE", "steam"), -EINVAL);
    CHECK_EQ(asked("ALPS_EVICTION", "clock") / 1000, ALPS_ENGINE_KERNEL);
    CHECK_EQ(asked("ALPS_EVICTION", "lru"), -EINVAL);
    CHECK_EQ(asked("ALPS_MEMORY", "2M"), ALPS_ENGINE_REWIRE * 1000 + 16);
    CHECK_EQ(asked("ALPS_MEMORY", "1G") / 1000, ALPS_ENGINE_KERNEL);
    CHECK_EQ(asked("ALPS_SEGMENT", "32K") % 1000, 15);
    CHECK_EQ(asked("ALPS_SEGMENT", "48K"), -EINVAL);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(asked("ALPS_MEMORY", bad[i]), -EINVAL);
        CHECK_EQ(asked("ALPS_SEGMENT", bad[i]), -EINVAL);
    }
    unlink(the_path);
}

/* ---- memory -------------------------------------------------------------- */

static void no_more_is_in_memory_than_was_allowed(void)
{
    for (unsigned eviction = 1; eviction <= ALPS_EVICTIONS; eviction++) {
        alps_options o = paged(eviction);
        uint64_t state = eviction;
        path_to("memory");
        int before = mappings();
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
        const alps_pager *x = pager_of(p);
        uint64_t all = (x->pool.n + more_segments()) * x->pool.segment;
        CHECK(all + x->state_n < o.memory);
        for (int i = 0; i < 300; i++) {
            p[rnd(&state) % (4 * MIB)]++;
            if (i % 10 == 0)
                CHECK(resident(x) <= all);
        }
        CHECK(resident(x) > all / 2);
        CHECK(mappings() < before + 50);
        CHECK(x->count.evictions > 50);
        CHECK_EQ(alps_ufree(p), 0);
        unlink(the_path);
    }
}

static void many_small_segments_are_few_mappings(void)
{
    alps_options o = paged(0);
    uint64_t n = 70000; // more than a process may have mappings
    int bad = 0;
    path_to("many");
    int before = mappings();
    o.segment = 4096;
    o.memory = 2 * MIB;
    int fd = open(the_path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(n * 4096)) == 0);
    close(fd);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, n * 4096, &o);
    CHECK(p != NULL);
    for (uint64_t i = 0; i < n; i += 7)
        p[i * 4096 + i % 4096] = (unsigned char)(i | 1);
    CHECK(mappings() < before + 1100);
    for (uint64_t i = 0; i < n; i += 7)
        bad += p[i * 4096 + i % 4096] != (unsigned char)(i | 1);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* Nothing is in the file but a byte at 5 segments. */
static unsigned char *sparse(const alps_options *o)
{
    unsigned char one = 1;
    int fd = open(the_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && pwrite(fd, &one, 1, 5 * 65536) == 1);
    CHECK_EQ(ftruncate(fd, (off_t)(4 * MIB)), 0);
    close(fd);
    return (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, o);
}

static void what_was_never_written_is_not_read(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    int bad = 0;
    path_to("sparse");
    unsigned char *p = sparse(&o);
    const alps_pager *x = pager_of(p);
    CHECK_EQ(p[5 * 65536], 1);
    CHECK_EQ(x->count.bytes_read, 65536);
    bad_read = EIO;
    memset(p + 6 * 65536, 7, 20 * 65536); // so that no frame is zero
    CHECK_EQ(x->count.bytes_read, 65536);
    for (uint64_t i = 30 * 65536; i < 4 * MIB; i++)
        bad += p[i] != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(x->count.bytes_read, 65536);
    bad_read = 0;
    for (uint64_t i = 6 * 65536; i < 26 * 65536; i++)
        bad += p[i] != 7; // and what was, is
    CHECK_EQ(bad, 0);
    CHECK_EQ(x->count.bytes_read, 21 * 65536);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void what_goes_one_behind_the_other_is_begun_with(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    uint64_t end = 0, state = 1;
    int bad = 0;
    path_to("trail");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    for (uint64_t i = 0; i < 4 * MIB; i += 65536) {
        unsigned long was = begins;
        *(volatile unsigned char *)(p + i) = 1;
        if (begins != was) {
            bad += began_at != end || began_n != MIB;
            end = began_at + began_n;
        }
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(end, 3 * MIB);
    CHECK_EQ(alps_usync(p), 0);
    unsigned long before = begins;
    for (int i = 0; i < 300; i++)
        ++*(volatile unsigned char *)(p + rnd(&state) % 32 * 131072);
    CHECK_EQ(begins, before); // here and there, and it comes back
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void opening_and_closing_leaves_nothing(void)
{
    alps_options o = paged(0);
    struct sigaction before, after;
    path_to("cycles");
    CHECK_EQ(alps_ufree(alps_umalloc_with(the_path, MIB, &o)), 0);
    int maps = mappings(), fds = descriptors(), tasks = threads();
    sigaction(SIGSEGV, NULL, &before);
    for (int i = 0; i < 200; i++) {
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 2 * MIB, &o);
        unsigned char *q =
            i % 2 ? NULL
                  : (unsigned char *)alps_umalloc_with("/nowhere/x", 1, &o);
        CHECK(p && !q);
        p[(unsigned)i * 5000] = 1;
        CHECK_EQ(alps_ufree(p), 0);
    }
    CHECK_EQ(descriptors(), fds);
    CHECK(threads_at_most(tasks));
    CHECK(mappings() < maps + 50); // the sanitizers map, too
    sigaction(SIGSEGV, NULL, &after);
    CHECK(before.sa_sigaction == after.sa_sigaction);
    CHECK(after.sa_sigaction != faults.handler);
    CHECK_EQ(system("ls /dev/shm | grep -q alps-paged") != 0, 1);
    unlink(the_path);
}

static void regions_share_a_budget(void)
{
    alps_options o = paged(0);
    alps_budget budget;
    char name[16];
    unsigned char *p[3];
    uint64_t state = 3;
    uint64_t bad = 0;
    memset(&budget, 0, sizeof budget);
    budget.bytes = MIB;
    o.engine = the_engine == ALPS_ENGINE_REWIRE ? 0 : the_engine;
    o.memory = 0;
    o.segment = 16 * KIB;
    o.budget = &budget;
    for (uint64_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "budget%u", (unsigned)i);
        path_to(name);
        p[i] = (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
        CHECK(p[i] && pager_of(p[i])->engine == the_engine);
    }
    for (uint64_t turn = 0; turn < 3; turn++)
        for (uint64_t i = 0; i < 3; i++) {
            uint64_t sum = 0;
            for (uint64_t at = 0; at < 4 * MIB; at += 7 * KIB) {
                bad += turn && p[i][at] != (unsigned char)(at / KIB + i + turn);
                p[i][at] = (unsigned char)(at / KIB + i + turn + 1);
            }
            for (int k = 0; k < 3; k++)
                sum += resident(pager_of(p[k]));
            CHECK(sum <= budget.bytes);
            CHECK(pager_of(p[i])->pool.used >= 21 - 1); // a third, or more
        }
    for (int i = 0; i < 3000; i++) {
        uint64_t k = rnd(&state) % 3, at = rnd(&state) % 585 * 7 * KIB;
        bad += p[k][at] != (unsigned char)(at / KIB + k + 3);
    }
    CHECK_EQ(bad, 0);
    o.memory = 16 * MIB;
    o.segment = 64 * KIB;
    path_to("budget3");
    o.engine = the_engine;
    CHECK(!alps_umalloc_with(the_path, 4 * MIB, &o) && errno == ENOMEM);
    unlink(the_path);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQ(alps_ufree(p[i]), 0);
        snprintf(name, sizeof name, "budget%u", (unsigned)i);
        path_to(name);
    }
    CHECK_EQ(budget.used, 0);
    CHECK_EQ(budget.regions, 0);
}

/* ---- no instruction waits for ever --------------------------------------- */

/* Names the newest first, and would rather hide than let go. */
static uint32_t spite_next(void *state, uint32_t after)
{
    alps_queues *q = (alps_queues *)state;
    uint32_t frame = alps_evict_lifo_next_(state, after);
    if (q->hand++ % 3)
        return frame;
    return frame == ALPS_NO_FRAME ? frame : frame | ALPS_VICTIM_HIDE;
}
/* Answers what cannot be. */
static uint32_t mad_next(void *state, uint32_t after)
{
    (void)after;
    return ((alps_queues *)state)->frames + 5;
}
static const alps_eviction spite = {"spite", alps_queues_room_,
                                    alps_queues_begin_, alps_evict_fifo_saw_,
                                    spite_next};
static const alps_eviction mad = {"mad", alps_queues_room_, alps_queues_begin_,
                                  alps_evict_fifo_saw_, mad_next};

static void crossing(alps_options o)
{
    uint64_t segment = o.segment;
    path_to("crossing");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 100 * segment, &o);
    if (!CHECK(p != NULL))
        return;
    CHECK(pager_of(p)->pool.n < 12);
    for (uint64_t i = 0; i < 40; i++)
        p[i * segment] = 1; // memory is full
    uint64_t word = 0x0123456789abcdefull, got = 0;
    for (uint64_t i = 41; i < 60; i++) // one store over two that are not there
        memcpy(p + i * segment - 3, &word, 8);
    memcpy(&got, p + 50 * segment - 3, 8);
    CHECK_EQ(got, word);
#if defined(__x86_64__)
    for (uint64_t i = 61; i < 80; i++) { // over two, from two
        void *to = p + i * segment - 2;
        const void *from = p + (i - 20) * segment - 3;
        size_t n = 5;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    }
    CHECK(!memcmp(p + 70 * segment - 2, p + 50 * segment - 3, 5));
    void *to = p + 1;
    const void *from = p + 40 * segment + 3;
    size_t n = 30 * segment;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
#endif
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void no_policy_can_live_lock(void)
{
    for (unsigned eviction = 0; eviction <= ALPS_EVICTIONS + 2; eviction++) {
        alps_options o = paged(eviction <= ALPS_EVICTIONS ? eviction : 0);
        if (eviction > ALPS_EVICTIONS)
            o.evict = eviction == ALPS_EVICTIONS + 1 ? &spite : &mad;
        o.segment = 16 * KIB;
        o.memory = (11 + more_segments()) * o.segment;
        alarm(20);
        crossing(o);
        alarm(0);
    }
}

/* ---- threads ------------------------------------------------------------- */

static unsigned char *halves[THREADS];

static void *own_words_of(void *number)
{
    uint64_t me = (uint64_t)(uintptr_t)number;
    return (void *)(uintptr_t)words_of(halves[me], me);
}

static void threads_lose_no_word(void)
{
    static const unsigned policies[] = {ALPS_EVICT_SFIFO, ALPS_EVICT_LIFO,
                                        ALPS_EVICT_CLOCK, ALPS_EVICT_2Q};
    for (unsigned e = 0; e < 4; e++) {
        alps_options o = paged(policies[e]);
        shared_segment = o.segment = 16 * KIB;
        o.memory = 22 * o.segment;
        o.write_back = e % 2;
        o.dirty_high = e / 2 * 40;
        path_to("threads");
        shared =
            (unsigned char *)alps_umalloc_with(the_path, 40 * o.segment, &o);
        if (!CHECK(shared != NULL))
            return;
        threads_work(1);
        CHECK(pager_of(shared)->count.evictions > 100);
        CHECK_EQ(alps_ufree(shared), 0);
        unlink(the_path);
    }
}

/* Both in one budget, each thread in both. */
static void threads_share_a_budget(void)
{
    pthread_t thread[THREADS];
    alps_options o = paged(0);
    alps_budget budget;
    unsigned char *p[2];
    void *bad = NULL;
    memset(&budget, 0, sizeof budget);
    shared_segment = o.segment = 16 * KIB;
    budget.bytes = 50 * o.segment;
    o.memory = 0;
    o.budget = &budget;
    path_to("first");
    p[0] = (unsigned char *)alps_umalloc_with(the_path, 40 * o.segment, &o);
    unlink(the_path);
    path_to("second");
    p[1] = (unsigned char *)alps_umalloc_with(the_path, 40 * o.segment, &o);
    unlink(the_path);
    if (!CHECK(p[0] && p[1]))
        return;
    for (int turn = 0; turn < 3; turn++) {
        for (uintptr_t i = 0; i < THREADS; i++) {
            halves[i] = p[i % 2];
            CHECK_EQ(pthread_create(&thread[i], NULL, own_words_of, (void *)i),
                     0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_join(thread[i], &bad), 0);
            CHECK_EQ((uintptr_t)bad, 0);
        }
        memset(p[0], 0, 40 * o.segment);
        memset(p[1], 0, 40 * o.segment);
        CHECK(resident(pager_of(p[0])) + resident(pager_of(p[1])) <=
              budget.bytes);
    }
    CHECK_EQ(alps_ufree(p[0]), 0);
    CHECK_EQ(alps_ufree(p[1]), 0);
    CHECK_EQ(budget.used, 0);
}

static uint64_t done_words[40];

static void *counts_up(void *nothing)
{
    (void)nothing;
    for (uint64_t turn = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); turn++)
        for (uint64_t k = 0; k < 40; k++) {
            __atomic_store_n(
                (uint64_t *)(void *)(shared + k * shared_segment + 8 * k), turn,
                __ATOMIC_RELAXED);
            __atomic_store_n(&done_words[k], turn, __ATOMIC_RELEASE);
        }
    return NULL;
}

static void a_sync_has_all_that_was_stored_before(void)
{
    pthread_t thread;
    alps_options o = paged(0);
    shared_segment = o.segment = 16 * KIB;
    o.memory = 22 * o.segment;
    path_to("before");
    shared = (unsigned char *)alps_umalloc_with(the_path, 40 * o.segment, &o);
    int fd = open(the_path, O_RDONLY), bad = 0;
    if (!CHECK(shared && fd >= 0))
        return;
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    memset(done_words, 0, sizeof done_words);
    CHECK_EQ(pthread_create(&thread, NULL, counts_up, NULL), 0);
    for (int i = 0; i < 100; i++) {
        uint64_t was[40], now = 0;
        for (int k = 0; k < 40; k++)
            was[k] = __atomic_load_n(&done_words[k], __ATOMIC_ACQUIRE);
        CHECK_EQ(alps_usync(shared), 0);
        for (uint64_t k = 0; k < 40; k++)
            bad +=
                pread(fd, &now, 8, (off_t)(k * shared_segment + 8 * k)) != 8 ||
                now < was[k];
    }
    CHECK_EQ(bad, 0);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(alps_ufree(shared), 0);
    close(fd);
    unlink(the_path);
}

/* ---- durability ---------------------------------------------------------- */

static void
a_sync_counts_what_evictions_wrote_and_is_free_when_nothing_was(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    path_to("fences");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    CHECK_EQ(alps_usync(p), 0);
    unsigned long before = syncs, wrote = writes;
    CHECK_EQ(alps_usync(p), 0);
    CHECK_EQ(syncs, before); // no call at all
    CHECK_EQ(writes, wrote);
    p[0] = 1;
    for (uint64_t i = 1; i < 40; i++)
        CHECK_EQ(p[i * 64 * KIB], 0); // the first is gone
    CHECK(writes > wrote);
    CHECK_EQ(syncs, before);
    wrote = writes;
    CHECK_EQ(alps_usync(p), 0);
    CHECK_EQ(writes, wrote);
    CHECK_EQ(syncs, before + 1);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* Dirty, hidden, and back to be read: still dirty. */
static void what_comes_back_to_be_read_is_still_written(void)
{
    alps_options o = paged(ALPS_EVICT_SFIFO);
    path_to("back");
    volatile unsigned char *p =
        (volatile unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    for (uint64_t i = 0; i < 16; i++)
        p[i * 64 * KIB] = (unsigned char)(i + 1);
    CHECK_EQ(p[2 * 64 * KIB], 3); // was among the hidden
    alps_pager *x = pager_of((void *)(uintptr_t)p);
    CHECK(alps_writeback_count_(x).soft > 0);
    CHECK_EQ(alps_usync((void *)(uintptr_t)p), 0);
    unsigned char three = 3;
    CHECK(file_has(&three, 2 * 64 * KIB, 1));
    CHECK_EQ(alps_ufree((void *)(uintptr_t)p), 0);
    unlink(the_path);
}

static void *stores_while_it_is_written(void *nothing)
{
    (void)nothing;
    while (!__atomic_load_n(&being_written, __ATOMIC_ACQUIRE))
        usleep(100);
    *(volatile unsigned char *)watched = 7;
    __atomic_store_n(&stored, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* All of a segment, and single pages of it. */
static void nobody_stores_to_what_is_being_written(void)
{
    for (uint64_t n = 4096; n <= 65536; n *= 16) {
        unsigned char six = 6, seven = 7;
        pthread_t thread;
        alps_options o = paged(0);
        path_to("stable");
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
        uint64_t from = 2 * 65536 + (n < 65536 ? 8192 : 0);
        memset(p + 2 * 65536, 6, 65536);
        stored = being_written = stored_meanwhile = 0;
        watched = p + from + n / 2;
        CHECK_EQ(
            pthread_create(&thread, NULL, stores_while_it_is_written, NULL), 0);
        CHECK_EQ(alps_writeback_(pager_of(p), from, n, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK(being_written && !stored_meanwhile && stored);
        CHECK(*watched == 7 && file_has(&six, from + n / 2, 1));
        CHECK_EQ(alps_usync(p), 0);
        CHECK(file_has(&seven, from + n / 2, 1));
        watched = NULL;
        CHECK_EQ(alps_ufree(p), 0);
        unlink(the_path);
    }
}

static void a_cleaner_writes_what_was_dirty_for_long(void)
{
    alps_options o = paged(0);
    unsigned char want[3] = {1, 2, 3};
    int there = 0;
    path_to("cleaner");
    o.write_back = 2;
    unsigned char *p = (unsigned char *)alps_umalloc_with(the_path, MIB, &o);
    CHECK(p != NULL);
    unsigned long before = syncs;
    memcpy(p + 70000, want, 3);
    for (int i = 0; i < 2000 && !there; i++) {
        there = file_has(want, 70000, 3);
        usleep(1000);
    }
    CHECK(there);
    CHECK_EQ(syncs, before); // it makes nothing durable
    p[70000] = 9;
    CHECK_EQ(alps_usync(p), 0);
    CHECK_EQ(syncs, before + 1);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* ---- errors -------------------------------------------------------------- */

static sigjmp_buf jump;
static volatile int caught;
static void *volatile caught_at;

static void catches(int n, siginfo_t *info, void *context)
{
    (void)context;
    caught = n;
    caught_at = info->si_addr;
    siglongjmp(jump, 1);
}

static void catch_signal(int n, struct sigaction *old)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_sigaction = catches;
    act.sa_flags = SA_SIGINFO;
    sigaction(n, &act, old);
}

/* What the program gets for a load. */
static int signal_of(const volatile unsigned char *p)
{
    caught = 0;
    if (!sigsetjmp(jump, 1))
        (void)*p;
    return caught;
}

/* The same where nothing is wrong any more: it may take a moment. */
static int signal_after(const volatile unsigned char *p)
{
    int n = signal_of(p);
    for (int i = 0; n && the_engine == ALPS_ENGINE_USERFAULTFD && i < 2000;
         i++) {
        usleep(1000);
        n = signal_of(p);
    }
    return n;
}

static void a_medium_that_fails_is_a_signal_and_a_code(void)
{
    struct sigaction old;
    alps_options o = paged(ALPS_EVICT_FIFO);
    path_to("fails");
    catch_signal(SIGBUS, &old);
    unsigned char *p = sparse(&o);
    bad_read = EIO;
    CHECK_EQ(signal_of(p + 5 * 65536 + 9), SIGBUS);
    CHECK(caught_at == p + 5 * 65536 + 9);
    bad_read = 0;
    CHECK_EQ(signal_after(p + 5 * 65536 + 9), 0); // and a retry works
    memset(p, 6, 65536 * 10);
    bad_write = ENOSPC;
    CHECK_EQ(alps_usync(p), ALPS_ENOSPC);
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(alps_usync(p), ALPS_ENOSPC); // until it was possible
    for (uint64_t i = 10; i < 60; i++)
        signal_of(p + i * 65536); // nobody dirty can go
    CHECK(pager_of(p)->count.failed > 0);
    bad_write = 0;
    int bad = 0;
    for (uint64_t i = 0; i < 65536 * 10; i++)
        bad += p[i] != 6; // nothing is lost
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_usync(p), 0);
    p[0] = 7;
    bad_sync = EIO;
    CHECK_EQ(alps_usync(p), ALPS_EIO);
    bad_sync = 0;
    unsigned long wrote = writes;
    CHECK_EQ(alps_usync(p), 0);
    CHECK(writes > wrote); // it did not take the system's word
    CHECK_EQ(alps_ufree(p), 0);
    sigaction(SIGBUS, &old, NULL);
    unlink(the_path);
}

static void what_a_failed_sync_lost_is_said_for_ever(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    path_to("lost");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    for (uint64_t i = 0; i < 60; i++)
        p[i * 65536] = 1; // evicted, and not synced
    bad_sync = EIO;
    CHECK_EQ(alps_usync(p), ALPS_EIO);
    bad_sync = 0;
    CHECK_EQ(alps_usync(p), ALPS_EIO);
    CHECK_EQ(alps_ufree(p), ALPS_EIO);
    unlink(the_path);
}

static void a_file_that_is_cut_under_us_is_a_signal(void)
{
    struct sigaction old;
    alps_options o = paged(0);
    path_to("cut");
    catch_signal(SIGBUS, &old);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    p[0] = 5;
    CHECK_EQ(truncate(the_path, 100000), 0);
    CHECK_EQ(signal_of(p + 3 * MIB), SIGBUS);
    CHECK_EQ(signal_of(p), 0);
    CHECK_EQ(p[0], 5);
    CHECK_EQ(alps_ufree(p), 0);
    sigaction(SIGBUS, &old, NULL);
    unlink(the_path);
}

/* ---- signals ------------------------------------------------------------- */

static void the_programs_own_faults_stay_its_own(void)
{
    struct sigaction old, bus, now;
    alps_options o = paged(0);
    path_to("own");
    catch_signal(SIGSEGV, &old);
    catch_signal(SIGBUS, &bus);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB + 1, &o);
    p[1] = 1;
    unsigned char *none = (unsigned char *)mmap(
        NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(signal_of(none), SIGSEGV);
    CHECK(caught_at == none);
    CHECK_EQ(signal_of(p + 4 * MIB + 8192), // behind the end
             the_engine == ALPS_ENGINE_REWIRE ? SIGSEGV : SIGBUS);
    CHECK_EQ(p[1], 1);
    p[3 * MIB] = 2; // and ours are still served
    caught = 0;
    if (!sigsetjmp(jump, 1))
        raise(SIGSEGV); // nobody's fault
    CHECK_EQ(caught, SIGSEGV);
    CHECK_EQ(alps_ufree(p), 0);
    sigaction(SIGSEGV, NULL, &now);
    CHECK(now.sa_sigaction == catches); // as it was before us
    sigaction(SIGSEGV, &old, NULL);
    sigaction(SIGBUS, &bus, NULL);
    munmap(none, 4096);
    unlink(the_path);
}

static int child_follows_what_is_none(void)
{
    alps_options o = paged(0);
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(SIGSEGV, &plain, NULL);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    p[0] = 1;
    volatile unsigned char *volatile low = (unsigned char *)64;
    return *low;
}

static void a_bad_pointer_still_kills(void)
{
    path_to("null");
    int status = in_child(child_follows_what_is_none);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    unlink(the_path);
}

static volatile unsigned alarms;
static void touches(int n)
{
    (void)n;
    if (shared[alarms++ * 12345 % (4 * MIB)] > 99)
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void a_handler_of_the_program_may_touch_what_is_paged(void)
{
    alps_options o = paged(0);
    uint64_t state = 5;
    struct sigaction act, old;
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer runs handlers with every signal blocked");
    return;
#endif
    path_to("alarm");
    shared = (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    memset(&act, 0, sizeof act);
    act.sa_handler = touches;
    act.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &act, &old);
    alarms = 0;
    for (int i = 0; i < 300; i++) {
        shared[rnd(&state) % (4 * MIB)]++;
        raise(SIGUSR1);
        if (i % 50 == 0)
            CHECK_EQ(alps_usync(shared), 0);
    }
    CHECK_EQ(alarms, 300);
    sigaction(SIGUSR1, &old, NULL);
    CHECK_EQ(alps_ufree(shared), 0);
    unlink(the_path);
}

/* ---- fork ---------------------------------------------------------------- */

static unsigned char *forked;

static int child_touches_what_is_there(void)
{
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(SIGSEGV, &plain, NULL);
    forked[5] = 99;
    return 0;
}

static int child_touches_what_is_not(void)
{
    return forked[3 * MIB] + 1;
}

static int child_goes_its_own_way(void)
{
    alps_options o = paged(0);
    if (alps_usync(forked) != ALPS_EFORK || alps_ufree(forked))
        return 1;
    snprintf(the_path, sizeof the_path, "%s/child", folder);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    if (!p)
        return 2;
    for (uint64_t i = 0; i < 60; i++)
        p[i * 65536] = (unsigned char)i;
    for (uint64_t i = 0; i < 60; i++)
        if (p[i * 65536] != i)
            return 3;
    return alps_ufree(p) || unlink(the_path) ? 4 : 0;
}

static void a_child_has_nothing_of_it_and_harms_nothing(void)
{
    struct sigaction old, plain;
    alps_options o = paged(0);
    path_to("fork");
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(SIGSEGV, &plain, &old);
    forked = (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    forked[5] = 1;
    int status = in_child(child_touches_what_is_there);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = in_child(child_touches_what_is_not);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK_EQ(in_child(child_goes_its_own_way), 0);
    CHECK_EQ(forked[5], 1);
    for (uint64_t i = 0; i < 60; i++)
        forked[i * 65536 + 6] = 7; // the parent goes on
    CHECK_EQ(forked[5], 1);
    CHECK_EQ(alps_ufree(forked), 0);
    sigaction(SIGSEGV, &old, NULL);
    unlink(the_path);
}

/* ---- systems that have less ---------------------------------------------- */

/* From now on these system calls are refused. */
static int refuse(unsigned first, unsigned second)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, first},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, second},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int pages_somehow(unsigned engine)
{
    alps_options o = paged(0);
    o.engine = 0;
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    if (!p)
        return 2;
    if (pager_of(p)->engine != engine)
        return 3;
    for (uint64_t i = 0; i < 60; i++)
        p[i * 65536] = (unsigned char)i;
    for (uint64_t i = 0; i < 60; i++)
        if (p[i * 65536] != i)
            return 4;
    return alps_ufree(p) ? 5 : 0;
}

static int child_without_memfd(void)
{
    if (refuse(SYS_memfd_create, SYS_memfd_create))
        return 77;
    return pages_somehow(ALPS_ENGINE_REWIRE);
}

static int child_without_mremap(void)
{
    if (refuse(SYS_mremap, SYS_mremap))
        return 77;
    return pages_somehow(ALPS_ENGINE_REWIRE);
}

static int child_of_nobody(void)
{
    if (geteuid() == 0 &&
        (chmod(folder, 0777) || setgid(65534) || setuid(65534)))
        return 77;
    return pages_somehow(ALPS_ENGINE_REWIRE);
}

static int child_without_a_handler(void)
{
    alps_options o = paged(0);
    o.engine = 0;
    unsigned char *p =
        (unsigned char *)alps_umalloc_(the_path, 4 * MIB, &o, NULL);
    unsigned engine =
        may_be_told() ? ALPS_ENGINE_USERFAULTFD : ALPS_ENGINE_KERNEL;
    if (!p || pager_of(p)->engine != engine ||
        !strstr(pager_of(p)->why, "handler"))
        return 1;
    return alps_ufree(p) ? 2 : 0;
}

static void a_system_that_has_less_is_made_do(void)
{
    path_to("less");
    CHECK_EQ(in_child(child_without_memfd), 0);
    CHECK_EQ(in_child(child_without_mremap), 0);
    CHECK_EQ(in_child(child_without_a_handler), 0);
    unlink(the_path);
    CHECK_EQ(in_child(child_of_nobody), 0);
    unlink(the_path);
}

static void run_threads(void)
{
    RUN(threads_lose_no_word);
    RUN(threads_share_a_budget);
    RUN(a_sync_has_all_that_was_stored_before);
}

static void run_all(void)
{
    RUN(contents_are_those_of_a_model_of_any_size);
    RUN(contents_are_those_of_a_model_under_any_policy);
    RUN(contents_are_those_of_a_model_by_any_segment);
    RUN(contents_stay_where_calls_are_cut_short);
    RUN(contents_are_those_of_a_model_past_the_page_cache);
    RUN(a_file_is_made_as_long_as_was_asked_and_never_cut);
    RUN(what_cannot_be_meant_is_refused);
    RUN(no_more_is_in_memory_than_was_allowed);
    RUN(regions_share_a_budget);
    RUN(many_small_segments_are_few_mappings);
    RUN(what_was_never_written_is_not_read);
    RUN(what_goes_one_behind_the_other_is_begun_with);
    RUN(opening_and_closing_leaves_nothing);
    RUN(no_policy_can_live_lock);
    run_threads();
    RUN(a_sync_counts_what_evictions_wrote_and_is_free_when_nothing_was);
    RUN(what_comes_back_to_be_read_is_still_written);
    RUN(nobody_stores_to_what_is_being_written);
    RUN(a_cleaner_writes_what_was_dirty_for_long);
    RUN(a_medium_that_fails_is_a_signal_and_a_code);
    RUN(what_a_failed_sync_lost_is_said_for_ever);
    RUN(a_file_that_is_cut_under_us_is_a_signal);
    RUN(the_programs_own_faults_stay_its_own);
    RUN(a_bad_pointer_still_kills);
    RUN(a_handler_of_the_program_may_touch_what_is_paged);
    RUN(a_child_has_nothing_of_it_and_harms_nothing);
}

int main(void)
{
#ifdef CHECK_EMULATED
    RUN(an_emulator_maps_in_another_way);
    return check_end("pager");
#endif
    folder_make();
    run_all();
    RUN(the_environment_is_heard_and_its_rubbish_refused);
    RUN(a_system_that_has_less_is_made_do);
    if (may_be_told()) {
        the_engine = ALPS_ENGINE_USERFAULTFD;
        if (UNDER_TSAN)
            run_threads();
        else
            run_all();
    }
    folder_remove();
    return check_end("pager");
}
