/* test_backing.c -- a region larger than its memory, in several files
 *
 * Each file may be made to fail by itself, and its calls are counted. Borders
 * lie between segments, inside of one, two in one. Power that fails is in
 * test_medium.c; whatever does not ask which file has what, in test_parts.c. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__
#  define UNDER_TSAN 1
#  define UNSEEN_BY_TSAN __attribute__((no_sanitize_thread))
#else
#  define UNDER_TSAN 0
#  define UNSEEN_BY_TSAN
#endif

/* ---- media ------------------------------------------------------------------ */

#define FILES 3
static ino_t ino[FILES];
static volatile int bad_read[FILES], bad_write[FILES], bad_sync[FILES];
static volatile int bad_length[FILES], short_calls;
static volatile unsigned long syncs[FILES], begun[FILES];

/* Which file that is; the last of them where it is none. */
static UNSEEN_BY_TSAN unsigned which(int fd)
{
    struct stat st;
    unsigned i = 0;
    int saved = errno;
    while (i + 1 < FILES && (fstat(fd, &st) || st.st_ino != ino[i]))
        i++;
    errno = saved;
    return i;
}

static UNSEEN_BY_TSAN int fails(volatile int *bad)
{
    if (*bad)
        errno = *bad;
    return *bad != 0;
}

static UNSEEN_BY_TSAN long medium_read(int fd, void *p, size_t n, off_t off)
{
    unsigned i = which(fd);
    return fails(&bad_read[i]) ? -1
                               : syscall(SYS_pread64, fd, p,
                                         short_calls && n > 1000 ? 1000 : n,
                                         off);
}

static UNSEEN_BY_TSAN long medium_write(int fd, const void *p, size_t n,
                                        off_t off)
{
    return fails(&bad_write[which(fd)])
               ? -1
               : syscall(SYS_pwrite64, fd, p,
                         short_calls && n > 1000 ? 1000 : n, off);
}

/* No test pulls a plug, so a sync may be only counted. */
static UNSEEN_BY_TSAN int medium_sync(int fd)
{
    unsigned i = which(fd);
    __atomic_fetch_add(&syncs[i], 1, __ATOMIC_RELAXED);
    return fails(&bad_sync[i]) ? -1 : 0;
}

static UNSEEN_BY_TSAN int medium_length(int fd)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return fsync(fd);
    return fails(&bad_length[which(fd)]) ? -1 : 0;
}

#define ALPS_PAGED_BEGIN(fd, off, n) \
  ((void)(off), (void)(n), begun[which(fd)]++)
#define ALPS_PAGED_READ(fd, p, n, off) medium_read(fd, p, n, (off_t)(off))
#define ALPS_PAGED_WRITE(fd, p, n, off) medium_write(fd, p, n, (off_t)(off))
#define ALPS_PAGED_SYNC(fd) medium_sync(fd)
#define ALPS_PAGED_STEP 20000
#define fsync(fd) medium_length(fd)
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_POLICY ALPS_MSYNC
#define ALPS_FAULTS faults
#include "../alps.h"
#define ALPS_NAME at_once
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_POLICY ALPS_CHECKPOINT
#define ALPS_FAULTS faults
#include "../alps.h"
#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_NONE
#include "../alps.h"
#undef fsync

#include "told.h"

ALPS_HANDLER(faults);

/* ---- regions ---------------------------------------------------------------- */

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define BYTES (2600 * KIB) // of an object that lies in all files

static unsigned engine = 2; // ALPS_ENGINE_REWIRE
static char folder[64];
static alps_part parts[FILES] = {
    {"second", MIB}, {"third", 2 * MIB}, {NULL, 0}};

static const char *at(const char *name)
{
    static char path[4][120];
    static unsigned turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void folder_in(const char *base)
{
    snprintf(folder, sizeof folder, "%s/alps-test-XXXXXX", base);
    if (!mkdtemp(folder))
        exit(2);
}

static void folder_gone(void)
{
    CHECK_EQ(rmdir(folder), 0); // empty: the tests have cleaned up
}

static void borders(uint64_t second, uint64_t third)
{
    parts[0].from = second;
    parts[1].from = third;
}

/* 3 MiB in memory of one. */
static alps_options options(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = 3 * MIB;
    o.limit = 8 * MIB;
    o.extent = 64 * KIB;
    o.lanes = 16;
    o.processes = 4;
    o.shards = 1;
    o.memory = MIB;
    o.segment = 16 * KIB;
    o.engine = engine;
    o.parts = parts;
    return o;
}

/* Nothing fails, and the media are known. */
static void calm(void)
{
    static const char *const names[FILES] = {"region", "second", "third"};
    for (unsigned i = 0; i < FILES; i++) {
        struct stat st;
        ino[i] = stat(at(names[i]), &st) ? 0 : st.st_ino;
        bad_read[i] = bad_write[i] = bad_sync[i] = bad_length[i] = 0;
        syncs[i] = begun[i] = 0;
    }
    short_calls = 0;
}

/* The large object, which the root names; of a region that is there, or new. */
static unsigned char *object(alps_heap *h)
{
    alps_off *root = (alps_off *)alps_root(h, 64);
    if (!root[0])
        root[0] = alps_off_of(h, alps_alloc(h, BYTES));
    return (unsigned char *)alps_at(h, root[0]);
}

static unsigned char *begin(alps_heap *h, const alps_options *o)
{
    calm();
    CHECK_EQ(alps_open(h, at("region"), o), 0);
    CHECK(h->core.map.apart);
    unsigned char *p = object(h);
    CHECK(p != NULL);
    CHECK_EQ(alps_sync(h), 0);
    calm();
    return p;
}

static void end(alps_heap *h)
{
    calm();
    if (h->core.map.base)
        CHECK_EQ(alps_close(h), 0);
    CHECK_EQ(alps_remove(at("region")), 0);
}

/* Of the object, `n` bytes from where the region's byte `off` is. */
static unsigned char *place(const alps_heap *h, uint64_t off)
{
    return (unsigned char *)alps_at(h, off);
}

static uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* ---- contents --------------------------------------------------------------- */

/* Whether each file has what is its own, of `n` bytes of the region at `off`. */
static int files_have(const unsigned char *bytes, uint64_t off, uint64_t n)
{
    static const char *const names[FILES] = {"region", "second", "third"};
    unsigned char *got = (unsigned char *)malloc((size_t)n);
    int same = 1;
    for (uint64_t i = 0; i < n;) {
        uint64_t where = off + i;
        unsigned k = where < parts[0].from ? 0 : where < parts[1].from ? 1 : 2;
        uint64_t until = k < 2 ? parts[k].from : UINT64_MAX;
        uint64_t from = k ? parts[k - 1].from : 0, m = until - where;
        m = m < n - i ? m : n - i;
        int fd = open(at(names[k]), O_RDONLY | O_CLOEXEC);
        uint64_t in = where - from + (k ? alps_part_front_(from, 0) : 0);
        same &= fd >= 0 && pread(fd, got, (size_t)m, (off_t)in) == (ssize_t)m &&
                !memcmp(got, bytes + i, (size_t)m);
        close(fd);
        i += m;
    }
    free(got);
    return same;
}

/* Stores, loads and syncs at random, often at a border, beside a model. */
static void mixed(alps_options o, unsigned steps)
{
    alps_heap h;
    uint64_t state = o.segment + parts[0].from + 7;
    int bad = 0;
    unsigned char *model = (unsigned char *)calloc(1, BYTES);
    unsigned char *p = begin(&h, &o);
    uint64_t off = alps_off_of(&h, p);
    short_calls = steps % 2;
    for (unsigned i = 0; i < steps; i++) {
        uint64_t r = rnd(&state), in = rnd(&state) % BYTES, n = r / 16 % 9000;
        if (r % 4 == 0)
            in = parts[r / 4 % 2].from - off - n / 2;
        n = n < BYTES - in ? n : BYTES - in;
        if (r % 64 == 0)
            bad += alps_sync(&h) != 0;
        else if (r % 64 == 1)
            bad += alps_persist(&h, p + in, (size_t)n) != 0;
        else if (r % 2)
            bad += memcmp(p + in, model + in, (size_t)n) != 0;
        else {
            memset(p + in, (int)(r >> 20), (size_t)n);
            memset(model + in, (int)(r >> 20), (size_t)n);
        }
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(memcmp(p, model, BYTES), 0);
    CHECK_EQ(alps_close(&h), 0);
    short_calls = 0;
    CHECK(files_have(model, off, BYTES));
    o.flags = 0;
    CHECK_EQ(alps_open(&h, at("region"), &o), 0);
    CHECK_EQ(memcmp(object(&h), model, BYTES), 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    free(model);
    end(&h);
}

static const struct layout {
    uint64_t second, third, segment;
} layouts[] = {
    {1 << 20, 2 << 20, 16 << 10},                        // at segments
    {(1 << 20) + 4096, (2 << 20) + 61440, 64 << 10},     // inside
    {(1 << 20) + 4096, (1 << 20) + 8192, 64 << 10},      // two in one
    {(1 << 20) + 8192, (2 << 20) + 20480, 4 << 10},      // each a page
    {(1 << 20) - 4096, (1 << 20) + (72 << 10), 64 << 10} // a small one
};
#define LAYOUTS (sizeof layouts / sizeof *layouts)

static void contents_are_those_of_a_model(void)
{
    for (unsigned i = 0; i < LAYOUTS; i++) {
        alps_options o = options();
        borders(layouts[i].second, layouts[i].third);
        o.segment = layouts[i].segment;
        o.readahead = i % 2 ? 4 : 0;
        mixed(o, 1500 / SLOW + i);
    }
    borders(MIB, 2 * MIB);
}

/* A segment that is in two files, of which one was never written to there. */
static void what_was_never_written_is_asked_of_each_file(void)
{
    borders(MIB + 8192, 2 * MIB + 8192);
    for (unsigned i = 0; i < 2; i++) {
        plain_heap h;
        alps_heap paged;
        alps_options o = options();
        o.segment = 64 * KIB;
        calm();
        CHECK_EQ(plain_open(&h, at("region"), &o), 0);
        alps_off *root = (alps_off *)plain_root(&h, 64);
        root[0] = plain_off_of(&h, plain_alloc(&h, BYTES));
        for (unsigned k = 0; k < 2; k++) {
            uint64_t off = parts[k].from - i * 4096 + 100;
            *(unsigned char *)plain_at(&h, off) = 7;
        }
        CHECK_EQ(plain_close(&h), 0);
        CHECK_EQ(alps_open(&paged, at("region"), &o), 0);
        CHECK(paged.core.map.apart);
        for (unsigned k = 0; k < 2; k++) {
            uint64_t off = parts[k].from - i * 4096 + 100;
            CHECK_EQ(*place(&paged, off), 7);
            CHECK_EQ(*place(&paged, off + 8192), 0);
        }
        end(&paged);
    }
    borders(MIB, 2 * MIB);
}

/* Past the page cache, where the file system can. */
static void contents_past_the_page_cache(void)
{
    char old[64];
    alps_heap h;
    alps_options o = options();
    memcpy(old, folder, sizeof old);
    folder_in("/tmp");
    o.direct = 1;
    int err = alps_open(&h, at("region"), &o);
    if (!err) {
        end(&h);
        for (unsigned i = 0; i < 3; i++) {
            borders(layouts[i].second, layouts[i].third);
            o.segment = layouts[i].segment;
            mixed(o, 300);
        }
    }
    borders(MIB, 2 * MIB);
    folder_gone();
    memcpy(folder, old, sizeof old);
    if (err == ALPS_EUNSUPPORTED)
        SKIP("the file system of /tmp cannot");
    else
        CHECK_EQ(err, 0);
}

/* Committed all at once: what was evicted goes to the journal, and comes home
 * to the file that has its place. */
static void commits_come_home_to_each_file(void)
{
    at_once_heap h;
    alps_options o = options();
    uint64_t state = 5;
    int bad = 0;
    unsigned char *model = (unsigned char *)calloc(1, BYTES);
    borders(MIB + 4096, 2 * MIB + 61440);
    o.segment = 64 * KIB;
    calm();
    CHECK_EQ(at_once_open(&h, at("region"), &o), 0);
    alps_off *root = (alps_off *)at_once_root(&h, 64);
    unsigned char *p = (unsigned char *)at_once_alloc(&h, BYTES);
    uint64_t off = root[0] = at_once_off_of(&h, p);
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned k = 0; k < 30; k++) {
            uint64_t r = rnd(&state), in = r / 8 % BYTES, n = r % 5000;
            if (k % 5 == 0)
                in = parts[k % 2].from - off - n / 2;
            n = n < BYTES - in ? n : BYTES - in;
            memset(p + in, (int)(r >> 30), (size_t)n);
            memset(model + in, (int)(r >> 30), (size_t)n);
            bad += memcmp(p + in, model + in, (size_t)n) != 0;
        }
        bad += at_once_sync(&h) != 0;
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(memcmp(p, model, BYTES), 0);
    memset(p, 9, BYTES); // and what was not committed is gone
    CHECK_EQ(at_once_discard(&h), 0);
    CHECK_EQ(at_once_open(&h, at("region"), &o), 0);
    CHECK_EQ(memcmp(at_once_at(&h, off), model, BYTES), 0);
    CHECK_EQ(at_once_close(&h), 0);
    CHECK(files_have(model, off, BYTES));
    free(model);
    CHECK_EQ(at_once_remove(at("region")), 0);
    borders(MIB, 2 * MIB);
}

/* ---- syncs ------------------------------------------------------------------ */

static int syncs_were(unsigned long a, unsigned long b, unsigned long c)
{
    int are = syncs[0] == a && syncs[1] == b && syncs[2] == c;
    if (!are)
        printf("  syncs: %lu %lu %lu\n", syncs[0], syncs[1], syncs[2]);
    syncs[0] = syncs[1] = syncs[2] = 0;
    return are;
}

static void a_fence_syncs_the_files_that_were_written_to(void)
{
    alps_heap h;
    alps_options o = options();
    o.memory = 16 * MIB; // nothing has to go
    begin(&h, &o);
    unsigned char *a = place(&h, MIB - 100), *b = place(&h, MIB + 300 * KIB);
    unsigned char *c = place(&h, 2 * MIB + 50 * KIB), *d = place(&h, 2 * MIB);
    CHECK_EQ(alps_fence(&h), 0);
    CHECK(syncs_were(0, 0, 0));
    a[0] = 1;
    CHECK_EQ(alps_persist(&h, a, 1), 0);
    CHECK(syncs_were(1, 0, 0));
    b[0] = 1;
    CHECK_EQ(alps_persist(&h, b, 1), 0);
    CHECK(syncs_were(0, 1, 0));
    c[0] = 1;
    CHECK_EQ(alps_persist(&h, c, 1), 0);
    CHECK(syncs_were(0, 0, 1));
    memset(d - 50, 2, 100);
    CHECK_EQ(alps_persist(&h, d - 50, 100), 0);
    CHECK(syncs_were(0, 1, 1));
    a[0] = c[0] = 3;
    CHECK_EQ(alps_flush(&h, a, 1), 0);
    CHECK_EQ(alps_flush(&h, c, 1), 0);
    CHECK(syncs_were(0, 0, 0));
    CHECK_EQ(alps_fence(&h), 0);
    CHECK(syncs_were(1, 0, 1));
    CHECK_EQ(alps_fence(&h), 0);
    CHECK(syncs_were(0, 0, 0));
    end(&h);
}

/* Evictions write, and the next fence is for them, too. */
static void evictions_count_for_the_file_they_go_to(void)
{
    alps_heap h;
    alps_options o = options();
    o.eviction = ALPS_EVICT_FIFO;
    borders(512 * KIB, 2 * MIB);
    begin(&h, &o);
    memset(place(&h, 512 * KIB), 3, 3 * MIB / 2); // the second file's
    for (uint64_t i = 0; i < MIB - 200 * KIB; i += 4096)
        CHECK(place(&h, 2 * MIB)[i] != 1); // it has gone
    CHECK_EQ(alps_fence(&h), 0);
    CHECK_EQ(syncs[1], 1);
    CHECK_EQ(syncs[2], 0);
    if (engine == ALPS_ENGINE_REWIRE)
        CHECK(begun[1] > 0 && !begun[2]); // one behind the other
    end(&h);
    borders(MIB, 2 * MIB);
}

static void a_sync_of_one_file_that_fails_is_a_code(void)
{
    alps_heap h;
    alps_options o = options();
    o.memory = 16 * MIB; // nothing has to go
    begin(&h, &o);
    for (unsigned i = 0; i < FILES; i++) {
        unsigned char *p[FILES] = {place(&h, MIB - 100), place(&h, MIB + 100),
                                   place(&h, 2 * MIB + 100)};
        for (unsigned k = 0; k < FILES; k++) {
            p[k][0]++;
            CHECK_EQ(alps_flush(&h, p[k], 1), 0);
        }
        bad_sync[i] = EIO;
        CHECK_EQ(alps_fence(&h), ALPS_EIO);
        CHECK_EQ(alps_fence(&h), ALPS_EIO); // it is still due
        bad_sync[i] = 0;
        syncs[0] = syncs[1] = syncs[2] = 0;
        CHECK_EQ(alps_sync(&h), 0); // all in memory is written once more
        CHECK(syncs[0] && syncs[1] && syncs[2]);
    }
    end(&h);
}

/* What was evicted since the last good sync may be lost. */
static void what_was_evicted_before_a_sync_that_fails_is_lost(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        alps_heap h;
        alps_options o = options();
        unsigned char *p = begin(&h, &o);
        memset(p, 5, BYTES);
        bad_sync[i] = EIO;
        CHECK_EQ(alps_sync(&h), ALPS_EIO);
        bad_sync[i] = 0;
        CHECK_EQ(alps_sync(&h), ALPS_EIO);
        CHECK_EQ(alps_persist(&h, p, 8), ALPS_EIO);
        alps_close(&h);
        CHECK_EQ(alps_remove(at("region")), 0);
    }
}

/* The system tells of a write that failed to one sync only: if it is that of a
 * new length, the next fence knows all the same. */
static void a_length_that_cannot_be_synced_is_a_failed_sync(void)
{
    alps_heap h;
    alps_options o = options();
    unsigned char *p = begin(&h, &o);
    memset(p, 5, BYTES); // most of it was evicted
    bad_length[2] = EIO;
    CHECK_EQ(alps_grow(&h, 4 * MIB), ALPS_EIO);
    bad_length[2] = 0;
    CHECK_EQ(alps_persist(&h, p, 8), ALPS_EIO);
    alps_close(&h);
    CHECK_EQ(alps_remove(at("region")), 0);
}

/* ---- media that fail -------------------------------------------------------- */

/* Of a file that cannot be written to nothing goes; others go in its place. */
static void what_cannot_be_written_stays(void)
{
    for (unsigned i = 1; i < FILES; i++) {
        alps_heap h;
        alps_options o = options();
        int bad = 0;
        unsigned char *p = begin(&h, &o);
        unsigned char *q = place(&h, i == 1 ? 2 * MIB - 8192 : 2 * MIB);
        memset(q, 7, 8192);
        bad_write[i] = ENOSPC;
        CHECK_EQ(alps_persist(&h, q, 8192), ALPS_ENOSPC);
        for (unsigned turn = 0; turn < 2; turn++)
            for (uint64_t k = 0; k < BYTES; k += 4096)
                bad += p[k] != 0 && p[k] != 7;
        CHECK_EQ(bad, 0);
        CHECK_EQ(alps_sync(&h), ALPS_ENOSPC);
        bad_write[i] = 0;
        CHECK_EQ(alps_sync(&h), 0);
        for (uint64_t k = 0; k < 8192; k++)
            bad += q[k] != 7;
        CHECK_EQ(bad, 0);
        uint64_t off = alps_off_of(&h, q);
        CHECK_EQ(alps_close(&h), 0);
        unsigned char *want = (unsigned char *)malloc(8192);
        memset(want, 7, 8192);
        CHECK(files_have(want, off, 8192));
        free(want);
        end(&h);
    }
}

static alps_heap broken;

/* What is in other files can still be touched. */
static int child_touches_what_cannot_be_read(void)
{
    const volatile unsigned char *a = place(&broken, 700 * KIB);
    const volatile unsigned char *b = place(&broken, 2 * MIB + 100 * KIB);
    return a[0] + b[0];
}

static void what_cannot_be_read_is_a_bus_error(void)
{
    alps_options o = options();
    int status = 0;
    calm();
    CHECK_EQ(alps_open(&broken, at("region"), &o), 0);
    unsigned char *p = object(&broken);
    memset(p, 1, BYTES);
    CHECK_EQ(alps_close(&broken), 0);
    for (unsigned i = 0; i < 2; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            signal(SIGBUS, SIG_DFL);
            calm();
            if (alps_open(&broken, at("region"), &o))
                _exit(100);
            const volatile unsigned char *c = place(&broken, MIB + 50 * KIB);
            bad_read[1] = EIO;
            if (child_touches_what_cannot_be_read() != 2)
                _exit(101);
            if (i)
                _exit(c[0]);
            bad_read[1] = 0;
            _exit(c[0] == 1 ? 0 : 102);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        if (i)
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
        else
            CHECK_EQ(status, 0);
    }
    calm();
    CHECK_EQ(alps_remove(at("region")), 0);
}

/* ---- growth ----------------------------------------------------------------- */

static void *steps(void *heap)
{
    uint64_t bad = 0;
    alps_heap *h = (alps_heap *)heap;
    void *p[50] = {NULL};
    for (unsigned i = 0; i < 1500 / SLOW; i++) {
        unsigned k = i * 7 % 50;
        if (p[k])
            bad += alps_free(h, p[k]) != 0;
        p[k] = alps_alloc(h, 100 + i % 7 * 4000);
        bad += !p[k];
        if (p[k])
            memset(p[k], (int)i, 100);
    }
    return (void *)(uintptr_t)bad;
}

static void run_threads(alps_heap *h)
{
    pthread_t thread[3];
    void *bad = NULL;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, steps, h), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    CHECK_EQ(alps_check(h, NULL), 0);
}

static void threads_share_a_region_in_several_files(void)
{
    alps_heap h;
    alps_options o = options();
    borders(512 * KIB + 4096, MIB + 8192);
    calm();
    CHECK_EQ(alps_open(&h, at("region"), &o), 0);
    run_threads(&h);
    CHECK(h.core.map.pager->count.evictions > 0);
    CHECK_EQ(alps_trim(&h), 0);
    run_threads(&h);
    end(&h);
    borders(MIB, 2 * MIB);
}

/* A shared mapping of all files becomes paged while threads work in it; told
 * of faults it stays one until it is opened anew. */
static void it_outgrows_its_memory_in_several_files(void)
{
    alps_heap h;
    alps_options o = options();
    int bad = 0;
    borders(256 * KIB + 4096, 640 * KIB);
    o.size = 512 * KIB;
    o.grow = 65536;
    o.engine = engine == ALPS_ENGINE_REWIRE ? 0 : engine;
    if (engine != ALPS_ENGINE_REWIRE)
        o.memory = 16 * MIB;
    calm();
    CHECK_EQ(alps_open(&h, at("region"), &o), 0);
    CHECK_EQ(h.core.map.apart, engine != ALPS_ENGINE_REWIRE);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 300 * KIB);
    alps_off *root = (alps_off *)alps_root(&h, 64);
    for (uint64_t i = 0; i < 300 * KIB; i++)
        p[i] = (unsigned char)(i / 100);
    root[0] = alps_off_of(&h, p);
    run_threads(&h);
    CHECK_EQ(alps_grow(&h, 4 * MIB), 0);
    CHECK_EQ(h.core.map.apart, 1);
    syncs[0] = syncs[1] = syncs[2] = 0;
    CHECK_EQ(alps_sync(&h), 0);
    for (uint64_t i = 0; i < 300 * KIB; i++)
        bad += p[i] != (unsigned char)(i / 100);
    CHECK_EQ(bad, 0);
    run_threads(&h);
    CHECK_EQ(alps_close(&h), 0);
    plain_heap other; // as any other backend has it
    CHECK_EQ(plain_open(&other, at("region"), NULL), 0);
    p = (unsigned char *)plain_at(&other, *(alps_off *)plain_root(&other, 64));
    for (uint64_t i = 0; i < 300 * KIB; i++)
        bad += p[i] != (unsigned char)(i / 100);
    CHECK_EQ(bad, 0);
    CHECK_EQ(plain_check(&other, NULL), 0);
    CHECK_EQ(plain_close(&other), 0);
    end(&h);
    borders(MIB, 2 * MIB);
}

/* What was stored while it was a mapping is in the page cache of each file, and
 * the first fence behind the change is for it. */
static void the_first_fence_is_for_all_files(void)
{
    alps_heap h;
    alps_options o = options();
    o.size = 900 * KIB;
    o.engine = 0;
    borders(256 * KIB, 512 * KIB);
    calm();
    CHECK_EQ(alps_open(&h, at("region"), &o), 0);
    calm();
    CHECK_EQ(h.core.map.apart, 0);
    CHECK_EQ(alps_grow(&h, 3 * MIB), 0);
    CHECK_EQ(h.core.map.apart, 1);
    CHECK(syncs[0] && syncs[1] && syncs[2]);
    end(&h);
    borders(MIB, 2 * MIB);
}

/* ---- all -------------------------------------------------------------------- */

static void run_all(void)
{
    RUN(contents_are_those_of_a_model);
    RUN(what_was_never_written_is_asked_of_each_file);
    RUN(contents_past_the_page_cache);
    RUN(commits_come_home_to_each_file);
    RUN(a_fence_syncs_the_files_that_were_written_to);
    RUN(evictions_count_for_the_file_they_go_to);
    RUN(a_sync_of_one_file_that_fails_is_a_code);
    RUN(what_was_evicted_before_a_sync_that_fails_is_lost);
    RUN(a_length_that_cannot_be_synced_is_a_failed_sync);
    RUN(what_cannot_be_written_stays);
    RUN(what_cannot_be_read_is_a_bus_error);
    RUN(threads_share_a_region_in_several_files);
    RUN(it_outgrows_its_memory_in_several_files);
}

static void an_emulator_maps_in_another_way(void)
{
    SKIP("an emulator shows its own faults and mappings");
}

int main(void)
{
    (void)an_emulator_maps_in_another_way;
#ifdef CHECK_EMULATED
    RUN(an_emulator_maps_in_another_way);
    return check_end("backing");
#endif
    folder_in(access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    run_all();
    RUN(the_first_fence_is_for_all_files);
    if (may_be_told() && !UNDER_TSAN) {
        engine = ALPS_ENGINE_USERFAULTFD;
        run_all();
    }
    folder_gone();
    return check_end("backing");
}
