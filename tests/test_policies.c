/* test_policies.c -- the four policies keep their contract */
#include <stddef.h>

/* What the library was seen to do; `observe_skips` has it left out. */
static unsigned long observed[8];
static int observe_skips;

static int observe(int event, const void *p, size_t n)
{
    (void)p;
    __atomic_fetch_add(&observed[event], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&observed[0], n, __ATOMIC_RELAXED);
    return observe_skips;
}
#define ALPS_OBSERVE(event, p, n) observe((event), (p), (n))

static char fake_sysfs[128] = "/sys";
#define ALPS_SYSFS fake_sysfs
#include "../policies/fence.h"
#include "../policies/flush.h"
#include "../policies/msync.h"
#include "../policies/none.h"
#include "check.h"
#include <pthread.h>

enum { PAGES = 1000 };

/* ---- a medium that remembers what was synced ---------------------------- */

static unsigned sync_calls, sync_fails_after, sync_fails_every;
static unsigned sync_takes; // microseconds
static unsigned char synced[PAGES];
static unsigned char medium_[PAGES * ALPS_PAGE]
    __attribute__((aligned(ALPS_PAGE)));
static uint64_t durable[PAGES * ALPS_PAGE / 8];

/* A word of the medium, which other threads may read and write meanwhile. */
static uint64_t *word_at(uint64_t off)
{
    return (uint64_t *)(void *)(medium_ + off);
}

static int remember_sync(alps_map *m, uint64_t off, uint64_t n)
{
    if (sync_fails_after && ++sync_calls >= sync_fails_after)
        return ALPS_EIO;
    sync_calls += !sync_fails_after;
    if (sync_fails_every && sync_calls % sync_fails_every == 0)
        return ALPS_EIO;
    CHECK(off % ALPS_PAGE == 0 && n % ALPS_PAGE == 0 && n > 0);
    CHECK(off + n <= sizeof medium_);
    if (sync_takes)
        usleep(sync_takes);
    memset(synced + off / ALPS_PAGE, 1, (size_t)(n / ALPS_PAGE));
    for (uint64_t i = off; m->base == medium_ && i < off + n; i += 8)
        alps_store_(&durable[i / 8], alps_load_(word_at(i)));
    return ALPS_OK;
}

static const alps_backend remember = {
    "remember",    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    remember_sync, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
};

static void map_begin(alps_map *m, unsigned medium, unsigned flags)
{
    memset(m, 0, sizeof *m);
    memset(synced, 0, sizeof synced);
    memset(observed, 0, sizeof observed);
    observe_skips = 0;
    sync_calls = sync_fails_after = sync_fails_every = sync_takes = 0;
    m->base = medium_;
    m->length = m->size = m->reserved = sizeof medium_;
    m->fd = -1;
    m->medium = medium;
    m->flags = flags;
}

static unsigned pages_synced(void)
{
    unsigned n = 0;
    for (int i = 0; i < PAGES; i++)
        n += synced[i];
    return n;
}

/* ---- the choice --------------------------------------------------------- */

static void the_instruction_is_one_that_the_machine_has(void)
{
    alps_map m;
    unsetenv("ALPS_PERSIST");
    map_begin(&m, ALPS_MEDIUM_FSDAX, ALPS_STRICT);
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), 0);
    CHECK(alps_persist_line_(m.persist));
    CHECK(alps_persist_has_(m.persist));
    CHECK_EQ(m.persist, alps_persist_best_());
}

static void the_environment_overrides(void)
{
    alps_map m;
    for (unsigned want = 0; want < ALPS_PERSIST_MSYNC; want++) {
        map_begin(&m, ALPS_MEDIUM_DEVDAX, 0);
        CHECK_EQ(setenv("ALPS_PERSIST", alps_persist_name_(want), 1), 0);
        int err = alps_policy_flush_.open(&m, &remember);
        CHECK_EQ(err, alps_persist_has_(want) ? 0 : ALPS_EUNSUPPORTED);
        CHECK_EQ(m.persist, want);
    }
    setenv("ALPS_PERSIST", "none", 1);
    map_begin(&m, ALPS_MEDIUM_DEVDAX, ALPS_STRICT);
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), ALPS_ENOTPMEM);
    setenv("ALPS_PERSIST", "cwlb", 1);
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), ALPS_EINVAL);
    setenv("ALPS_PERSIST", "msync", 1); // a medium, not an instruction
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), ALPS_EINVAL);
    setenv("ALPS_PERSIST", "", 1);
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), 0);
    unsetenv("ALPS_PERSIST");
}

static void behind_a_page_cache_pages_are_synced(void)
{
    static const alps_policy *const both[] = {&alps_policy_flush_,
                                              &alps_policy_fence_};
    static const unsigned char line[64] __attribute__((aligned(64))) = {5};
    alps_map m;
    setenv("ALPS_PERSIST", "eadr", 1); // does not change what the medium is
    for (int i = 0; i < 2; i++) {
        map_begin(&m, ALPS_MEDIUM_CACHE, 0);
        CHECK_EQ(both[i]->open(&m, &remember), 0);
        CHECK_EQ(m.persist, ALPS_PERSIST_MSYNC);
        CHECK_EQ(both[i]->flush(&m, medium_ + 5 * ALPS_PAGE, 1), 0);
        CHECK_EQ(both[i]->stream(&m, medium_ + 7 * ALPS_PAGE, line), 0);
        CHECK_EQ(medium_[7 * ALPS_PAGE], 5);
        CHECK_EQ(both[i]->settle(&m), 0);
        CHECK_EQ(both[i]->fence(&m, &remember), 0);
        CHECK(synced[5] && synced[7] && sync_calls == 1);
        map_begin(&m, ALPS_MEDIUM_CACHE, ALPS_STRICT);
        CHECK_EQ(both[i]->open(&m, &remember), ALPS_ENOTPMEM);
    }
    unsetenv("ALPS_PERSIST");
}

/* ---- what is done, and seen to be done ---------------------------------- */

static void use(const alps_policy *p, alps_map *m)
{
    unsigned char line[64] __attribute__((aligned(64)));
    for (unsigned char round = 1; round < 4; round++) {
        memset(line, round, sizeof line);
        memset(medium_, round + 100, 4096);
        CHECK_EQ(p->flush(m, medium_ + 60, 200), 0); // lines 0 to 4
        CHECK_EQ(p->stream(m, medium_ + 8192, line), 0);
        CHECK_EQ(p->fence(m, &remember), 0);
        CHECK_EQ(p->settle(m), 0);
        CHECK(!memcmp(medium_ + 8192, line, 64));
        CHECK(medium_[0] == round + 100 && medium_[4095] == round + 100);
        CHECK(medium_[8192 + 64] == 0);
    }
}

/* What ALPS_PERSIST said when the program began: the one instruction that can
 * be carried out, where an emulator claims to have one that it has not. */
static char given[32];

static void every_instruction_keeps_the_bytes(void)
{
    alps_map m;
    for (unsigned way = 0; way < ALPS_PERSIST_MSYNC; way++) {
        if (!alps_persist_has_(way) ||
            (*given && strcmp(given, alps_persist_name_(way))))
            continue;
        map_begin(&m, ALPS_MEDIUM_FSDAX, 0);
        setenv("ALPS_PERSIST", alps_persist_name_(way), 1);
        CHECK_EQ(alps_policy_flush_.open(&m, &remember), 0);
        CHECK_EQ(m.persist, way);
        use(&alps_policy_flush_, &m);
        CHECK_EQ(observed[ALPS_SAW_FLUSH], 3);
        CHECK_EQ(observed[ALPS_SAW_STREAM], 3);
        CHECK_EQ(observed[ALPS_SAW_FENCE], 3);
        CHECK_EQ(observed[0], 3 * (200 + 64));
        CHECK_EQ(sync_calls, 0);
    }
    unsetenv("ALPS_PERSIST");
}

static void what_is_observed_can_be_left_out(void)
{
    static const unsigned char line[64] __attribute__((aligned(64))) = {9};
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_FSDAX, 0);
    CHECK_EQ(alps_policy_flush_.open(&m, &remember), 0);
    memset(medium_, 0, 64);
    observe_skips = 1;
    CHECK_EQ(alps_policy_flush_.stream(&m, medium_, line), 0);
    CHECK_EQ(medium_[0], 0);
    CHECK_EQ(alps_policy_flush_.fence(&m, &remember), 0);

    map_begin(&m, ALPS_MEDIUM_CACHE, 0);
    CHECK_EQ(alps_policy_msync_.open(&m, &remember), 0);
    observe_skips = 1;
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_, 1), 0);
    observe_skips = 0;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK_EQ(sync_calls, 0); // nothing was gathered
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_, 1), 0);
    observe_skips = 1;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK_EQ(sync_calls, 0);
    observe_skips = 0;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK_EQ(sync_calls, 1);
}

static void none_writes_nothing_back(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_CACHE, ALPS_STRICT);
    CHECK_EQ(alps_policy_none_.durable, 0);
    CHECK_EQ(alps_policy_none_.open(&m, &remember), 0);
    CHECK_EQ(m.persist, ALPS_PERSIST_NONE);
    use(&alps_policy_none_, &m);
    CHECK_EQ(observed[ALPS_SAW_FLUSH] + observed[ALPS_SAW_FENCE], 0);
    CHECK_EQ(sync_calls, 0);
}

/* ---- policy fence ------------------------------------------------------- */

static void put(const char *name, const char *text)
{
    char at[300];
    snprintf(at, sizeof at, "%s%s", fake_sysfs, name);
    if (!text) {
        mkdir(at, 0700);
        return;
    }
    FILE *f = fopen(at, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static int strict_fence(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_FSDAX, ALPS_STRICT);
    int err = alps_policy_fence_.open(&m, &remember);
    CHECK_EQ(m.persist, ALPS_PERSIST_EADR);
    return err;
}

static void eadr_is_what_the_kernel_says_of_every_region(void)
{
    char command[200];
    snprintf(fake_sysfs, sizeof fake_sysfs, "/tmp/alps-test-XXXXXX");
    CHECK(mkdtemp(fake_sysfs) != NULL);
    CHECK_EQ(strict_fence(), ALPS_ENOTPMEM); // no persistent memory at all
    put("/bus", NULL);
    put("/bus/nd", NULL);
    put("/bus/nd/devices", NULL);
    CHECK_EQ(strict_fence(), ALPS_ENOTPMEM);
    put("/bus/nd/devices/region0", NULL);
    put("/bus/nd/devices/namespace0.0", NULL);
    CHECK_EQ(strict_fence(), ALPS_ENOTPMEM); // it does not say
    put("/bus/nd/devices/region0/persistence_domain", "cpu_cache\n");
    CHECK_EQ(strict_fence(), 0);
    put("/bus/nd/devices/region1", NULL);
    put("/bus/nd/devices/region1/persistence_domain", "memory_controller\n");
    CHECK_EQ(strict_fence(), ALPS_ENOTPMEM); // one of them has not
    setenv("ALPS_PERSIST", "eadr", 1);
    CHECK_EQ(strict_fence(), 0); // somebody knows better
    unsetenv("ALPS_PERSIST");
    snprintf(command, sizeof command, "rm -r '%s'", fake_sysfs);
    CHECK_EQ(system(command), 0);
    snprintf(fake_sysfs, sizeof fake_sysfs, "/sys");
}

static void fence_believes_who_chooses_it(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_FSDAX, 0);
    CHECK_EQ(alps_policy_fence_.open(&m, &remember), 0);
    CHECK_EQ(m.persist, ALPS_PERSIST_EADR);
    use(&alps_policy_fence_, &m);
    CHECK_EQ(observed[ALPS_SAW_FENCE], 3);
    setenv("ALPS_PERSIST", "none", 1);
    CHECK_EQ(alps_policy_fence_.open(&m, &remember), 0);
    CHECK_EQ(m.persist, ALPS_PERSIST_EADR);
    unsetenv("ALPS_PERSIST");
}

/* ---- policy msync ------------------------------------------------------- */

static unsigned seed = 1;
static unsigned roll(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return seed / 65536 % n;
}

/* Random ranges against a simple model: a page that was flushed is in some
 * range; while there is room no other is; ranges are sorted and apart. */
static void gathered_ranges_cover_what_was_flushed(void)
{
    static unsigned char flushed[PAGES];
    alps_gather g;
    for (int round = 0; round < 2000; round++) {
        unsigned covered = 0, asked = 0, steps = 1 + roll(60);
        int squeezed = 0;
        memset(&g, 0, sizeof g);
        memset(flushed, 0, sizeof flushed);
        for (unsigned i = 0; i < steps; i++) {
            unsigned from = roll(PAGES), n = 1 + roll(round % 8 ? 4 : 200);
            unsigned to = from + n < PAGES ? from + n : (unsigned)PAGES;
            squeezed |= g.n == ALPS_GATHER_MAX;
            memset(flushed + from, 1, to - from);
            alps_gather_add_(&g, from, to);
            CHECK(g.n <= ALPS_GATHER_MAX);
        }
        for (unsigned i = 0; i < g.n; i++) {
            CHECK(g.range[i].from < g.range[i].to && g.range[i].to <= PAGES);
            CHECK(!i || g.range[i - 1].to < g.range[i].from);
            for (uint64_t page = g.range[i].from; page < g.range[i].to; page++)
                asked += flushed[page];
            covered += (unsigned)(g.range[i].to - g.range[i].from);
        }
        for (int page = 0; page < PAGES; page++)
            asked -= flushed[page];
        CHECK_EQ((int)asked, 0);
        for (int page = 0; page < PAGES; page++)
            asked += flushed[page];
        CHECK(squeezed || covered == asked);
    }
}

static void when_full_the_closest_ranges_are_joined(void)
{
    alps_gather g;
    memset(&g, 0, sizeof g);
    for (unsigned i = 0; i < ALPS_GATHER_MAX; i++)
        alps_gather_add_(&g, i * 100, i * 100 + (i == 7 ? 95 : 10));
    CHECK_EQ(g.n, ALPS_GATHER_MAX);
    alps_gather_add_(&g, 90000, 90001);
    CHECK_EQ(g.n, ALPS_GATHER_MAX);
    CHECK(g.range[7].from == 700 && g.range[7].to == 810);
    CHECK(g.range[8].from == 900 && g.range[31].from == 90000);
}

static void one_fence_is_one_sync_call(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_CACHE, 0);
    CHECK_EQ(alps_policy_msync_.open(&m, &remember), 0);
    CHECK_EQ(m.persist, ALPS_PERSIST_MSYNC);
    m.always_off = ALPS_PAGE + 8;
    m.always_n = 64;
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_ + 3 * ALPS_PAGE, 0), 0);
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_ + 10 * ALPS_PAGE - 1, 2), 0);
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_ + 500 * ALPS_PAGE, 64), 0);
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK_EQ(sync_calls, 1);
    CHECK(synced[1] && synced[9] && synced[10] && synced[500]);
    CHECK(!synced[0] && !synced[501]);
    CHECK_EQ(m.gather.n, 0);
}

/* A region may be larger than is worth dragging along. */
static void distant_ranges_are_synced_apart(void)
{
    alps_gather g;
    uint64_t off = 1, n = 1;
    memset(&g, 0, sizeof g);
    CHECK_EQ(alps_gather_next_(&g, &off, &n), 0);
    alps_gather_add_(&g, 5, 6);
    alps_gather_add_(&g, 5 + ALPS_GATHER_GAP, 6 + ALPS_GATHER_GAP);
    alps_gather_add_(&g, 7 + 2 * ALPS_GATHER_GAP, 8 + 2 * ALPS_GATHER_GAP);
    CHECK_EQ(alps_gather_next_(&g, &off, &n), 2);
    CHECK_EQ(off, 5 * ALPS_PAGE);
    CHECK_EQ(n, (ALPS_GATHER_GAP + 1) * ALPS_PAGE);
    alps_gather_drop_(&g, 2);
    CHECK_EQ(alps_gather_next_(&g, &off, &n), 1);
    CHECK_EQ(n, ALPS_PAGE);
}

static void the_retire_words_are_always_taken_along(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_CACHE, 0);
    m.always_off = 20 * ALPS_PAGE;
    m.always_n = 2 * ALPS_PAGE;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK_EQ(sync_calls, 1);
    CHECK(synced[20] && synced[21] && pages_synced() == 2);
}

static void what_could_not_be_synced_is_tried_again(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_CACHE, 0);
    m.always_n = 1;
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_ + 40 * ALPS_PAGE, 1), 0);
    sync_fails_after = 1;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), ALPS_EIO);
    CHECK_EQ(alps_policy_msync_.flush(&m, medium_ + 60 * ALPS_PAGE, 1), 0);
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), ALPS_EIO);
    CHECK_EQ(pages_synced(), 0);
    sync_fails_after = 0;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), 0);
    CHECK(synced[0] && synced[40] && synced[60]);
    CHECK_EQ(m.gather.n, 0);
}

/* Of two stretches the first is written, the second is not: only that one is
 * kept. */
static void what_was_synced_is_not_kept(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_CACHE, ALPS_READ_ONLY);
    alps_gather_add_(&m.gather, 3, 4);
    alps_gather_add_(&m.gather, 5 + ALPS_GATHER_GAP, 6 + ALPS_GATHER_GAP);
    sync_fails_after = 2;
    CHECK_EQ(alps_policy_msync_.fence(&m, &remember), ALPS_EIO);
    CHECK(synced[3] && pages_synced() == 1);
    CHECK_EQ(m.gather.n, 1);
    CHECK_EQ(m.gather.range[0].from, 5 + ALPS_GATHER_GAP);
}

/* How many pages of the file wait to be written, or -1 where the kernel is too
 * old to tell (before 6.5). */
static long dirty_pages(int fd)
{
    struct {
        uint64_t off, n;
    } range = {0, 0};
    uint64_t answer[5] = {0};
    return syscall(451, fd, &range, answer, 0) ? -1 : (long)answer[1];
}

static void what_could_not_be_written_is_made_dirty_again(void)
{
    alps_map m;
    char name[] = "/tmp/alps-test-XXXXXX";
    map_begin(&m, ALPS_MEDIUM_CACHE, 0);
    m.fd = mkstemp(name);
    CHECK(m.fd >= 0 && unlink(name) == 0 && ftruncate(m.fd, 40960) == 0);
    void *p = mmap(NULL, 40960, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
    m.base = (unsigned char *)p;
    m.base[3 * ALPS_PAGE] = 7;
    if (dirty_pages(m.fd) == 1 && !msync(p, 40960, MS_SYNC) &&
        dirty_pages(m.fd) == 0) {
        alps_gather_add_(&m.gather, 3, 4);
        sync_fails_after = 1;
        CHECK_EQ(alps_policy_msync_.fence(&m, &remember), ALPS_EIO);
        CHECK_EQ(dirty_pages(m.fd), 1);
        CHECK_EQ(m.base[3 * ALPS_PAGE], 7);
    } else {
        SKIP("the system does not tell which pages are dirty");
    }
    munmap(p, 40960);
    close(m.fd);
}

static void strict_refuses_a_sync_that_promises_nothing(void)
{
    alps_map m;
    map_begin(&m, ALPS_MEDIUM_SHMEM, ALPS_STRICT);
    CHECK_EQ(alps_policy_msync_.open(&m, &remember), ALPS_ENOTPMEM);
    m.flags = 0;
    CHECK_EQ(alps_policy_msync_.open(&m, &remember), 0);
    map_begin(&m, ALPS_MEDIUM_CACHE, ALPS_STRICT);
    m.fd = open("/dev/shm", O_RDONLY | O_CLOEXEC);
    CHECK(m.fd >= 0);
    CHECK_EQ(alps_policy_msync_.open(&m, &remember), ALPS_ENOTPMEM);
    close(m.fd);
}

/* ---- many threads, one handle ------------------------------------------- */

enum { THREADS = 6, ROUNDS = 250 };
static alps_map shared;
static int torn;

/* Each thread stores into a page of its own; when its fence returns the medium
 * has what it stored, whoever synced it, and the `always` word with it. */
static void *publish(void *argument)
{
    const unsigned number = *(const unsigned *)argument;
    const size_t at = (10 + number) * ALPS_PAGE, done = number * 64;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        alps_store_(word_at(at), i);
        alps_store_(word_at(done), i); // in the `always` range, not flushed
        alps_policy_msync_.flush(&shared, medium_ + at, 1);
        while (alps_policy_msync_.fence(&shared, &remember))
            ; // some calls fail: then it is tried again
        if (alps_load_(&durable[at / 8]) != i ||
            alps_load_(&durable[done / 8]) != i)
            __atomic_store_n(&torn, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void a_fence_waits_for_whoever_took_its_pages_along(void)
{
    static unsigned number[THREADS];
    pthread_t thread[THREADS];
    map_begin(&shared, ALPS_MEDIUM_CACHE, 0);
    shared.always_n = THREADS * 64;
    sync_takes = 50;
    sync_fails_every = 2;
    for (unsigned i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK_EQ(pthread_create(&thread[i], NULL, publish, &number[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(torn, 0);
    CHECK_EQ(shared.gather.n, 0);
    printf("  %d fences shared %u sync calls\n", THREADS * ROUNDS, sync_calls);
    CHECK(sync_calls < 2 * THREADS * ROUNDS); // half of them fail
}

int main(void)
{
    const char *asked = getenv("ALPS_PERSIST");
    snprintf(given, sizeof given, "%s", asked ? asked : "");
    RUN(the_instruction_is_one_that_the_machine_has);
    RUN(the_environment_overrides);
    RUN(behind_a_page_cache_pages_are_synced);
    RUN(every_instruction_keeps_the_bytes);
    RUN(what_is_observed_can_be_left_out);
    RUN(none_writes_nothing_back);
    RUN(eadr_is_what_the_kernel_says_of_every_region);
    RUN(fence_believes_who_chooses_it);
    RUN(gathered_ranges_cover_what_was_flushed);
    RUN(when_full_the_closest_ranges_are_joined);
    RUN(one_fence_is_one_sync_call);
    RUN(distant_ranges_are_synced_apart);
    RUN(the_retire_words_are_always_taken_along);
    RUN(what_could_not_be_synced_is_tried_again);
    RUN(what_was_synced_is_not_kept);
    RUN(what_could_not_be_written_is_made_dirty_again);
    RUN(strict_refuses_a_sync_that_promises_nothing);
    RUN(a_fence_waits_for_whoever_took_its_pages_along);
    return check_end("test_policies");
}
