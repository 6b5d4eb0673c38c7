/* pages.h -- what tests of paged memory share
 *
 * A medium that can be made to fail, and that writes down what it was asked to
 * do; the handler of this program; a place for files. */
#pragma once
#include "check.h"
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ThreadSanitizer does not see that a thread which faults waits for another: it
 * is shown what is done under a latch, and not what tests look at behind. */
#ifdef __SANITIZE_THREAD__
#  define UNDER_TSAN 1
#  define UNSEEN_BY_TSAN __attribute__((no_sanitize_thread))
#else
#  define UNDER_TSAN 0
#  define UNSEEN_BY_TSAN
#endif

/* What the medium answers to the next calls: an errno, or 0. */
static volatile int bad_read, bad_write, bad_sync, short_calls;
static volatile int keeps_nothing; // what is written goes nowhere
static volatile unsigned read_takes, write_takes; // microseconds
static volatile unsigned long writes, syncs;

/* A read that has its bytes waits while the gate is shut; how many wait. And a
 * write that has yet to begin. */
static volatile int gate_is_shut, writes_are_shut_out;
static volatile unsigned at_the_gate;

/* How many reads and writes there were at once, and how many began beside
 * another one. */
static volatile unsigned reading, writing, most_reading, most_writing;
static volatile unsigned began_beside;

/* By which descriptors it was read and written, and the one of them that
 * answers EINVAL. */
#define BY_MAX 256
static volatile unsigned long reads_by[BY_MAX], writes_by[BY_MAX];
static volatile int crooked = -1;

/* Where the medium was told to begin to write, the last time; how often. */
static volatile uint64_t began_at, began_n;
static volatile unsigned long begins;

static void medium_wrote(const void *p, size_t n, off_t off);
static void medium_synced(void);

#define NOBODY_WATCHES_THE_MEDIUM                                \
  static void medium_wrote(const void *p, size_t n, off_t off)   \
  {                                                              \
    (void)p;                                                     \
    (void)n;                                                     \
    (void)off;                                                   \
  }                                                              \
  static void medium_synced(void) {}

static inline UNSEEN_BY_TSAN void begins_to(volatile unsigned *now,
                                            volatile unsigned *most)
{
    unsigned n = __atomic_add_fetch(now, 1, __ATOMIC_RELAXED);
    if (n > *most)
        *most = n;
    began_beside += n > 1;
}

static inline void passes_the_gate(void)
{
    __atomic_fetch_add(&at_the_gate, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&gate_is_shut, __ATOMIC_RELAXED))
        usleep(100);
    __atomic_fetch_sub(&at_the_gate, 1, __ATOMIC_RELAXED);
}

static inline UNSEEN_BY_TSAN long medium_read(int fd, void *p, size_t n,
                                              off_t off)
{
    int bad = __atomic_load_n(&bad_read, __ATOMIC_RELAXED);
    unsigned takes = __atomic_load_n(&read_takes, __ATOMIC_RELAXED);
    begins_to(&reading, &most_reading);
    if (takes)
        usleep(takes);
    __atomic_fetch_sub(&reading, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&reads_by[fd % BY_MAX], 1, __ATOMIC_RELAXED);
    if (fd == crooked)
        bad = EINVAL;
    if (bad) {
        errno = bad;
        return -1;
    }
    n = short_calls && n > 1000 ? 1000 : n;
    long got = syscall(SYS_pread64, fd, p, n, off);
    passes_the_gate();
    return got;
}

/* Threads write side by side; who watches hears of one write after the other. */
static __attribute__((noinline)) void tell_who_watches(const void *p, size_t n,
                                                       off_t off)
{
    static int busy;
    while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
        usleep(10);
    medium_wrote(p, n, off);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

static inline UNSEEN_BY_TSAN long medium_write(int fd, const void *p, size_t n,
                                               off_t off)
{
    int bad = fd == crooked ? EINVAL : bad_write;
    unsigned takes = __atomic_load_n(&write_takes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&writes_by[fd % BY_MAX], 1, __ATOMIC_RELAXED);
    begins_to(&writing, &most_writing);
    if (takes)
        usleep(takes);
    while (__atomic_load_n(&writes_are_shut_out, __ATOMIC_RELAXED))
        usleep(100);
    __atomic_fetch_sub(&writing, 1, __ATOMIC_RELAXED);
    if (bad) {
        errno = bad;
        return -1;
    }
    n = short_calls && n > 1000 ? 1000 : n;
    tell_who_watches(p, n, off);
    if (keeps_nothing)
        return (long)n;
    return syscall(SYS_pwrite64, fd, p, n, off);
}

/* No test pulls a plug, so a sync may be only counted. */
static inline UNSEEN_BY_TSAN int medium_sync(void)
{
    __atomic_fetch_add(&syncs, 1, __ATOMIC_RELAXED);
    if (bad_sync) {
        errno = bad_sync;
        return -1;
    }
    medium_synced();
    return 0;
}

static inline UNSEEN_BY_TSAN void medium_begin(uint64_t off, uint64_t n)
{
    began_at = off;
    began_n = n;
    begins++;
}

#define ALPS_PAGED_BEGIN(fd, off, n) medium_begin(off, n)
#define ALPS_PAGED_READ(fd, p, n, off) medium_read(fd, p, n, (off_t)(off))
#define ALPS_PAGED_WRITE(fd, p, n, off) medium_write(fd, p, n, (off_t)(off))
#define ALPS_PAGED_SYNC(fd) medium_sync()
#ifndef ALPS_PAGED_STEP
#  define ALPS_PAGED_STEP 20000
#endif
#define ALPS_BACKEND ALPS_PAGED
#ifndef ALPS_POLICY
#  define ALPS_POLICY ALPS_MSYNC
#endif
#define ALPS_FAULTS faults
#include "../alps.h"

#include "told.h"

ALPS_HANDLER(faults);

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

static char folder[64], the_path[100];

/* The engine that is tested. */
static unsigned the_engine = 2; // ALPS_ENGINE_REWIRE

static inline void folder_make(void)
{
    snprintf(folder, sizeof folder, "%s/alps-test-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder))
        exit(2);
}

static inline void folder_remove(void)
{
    CHECK_EQ(rmdir(folder), 0); // empty: the tests have cleaned up
}

/* Sets `the_path` to that of `name`; nothing is there. */
static inline void path_to(const char *name)
{
    snprintf(the_path, sizeof the_path, "%s/%s", folder, name);
    unlink(the_path);
    bad_read = bad_write = bad_sync = short_calls = 0;
}

static inline const char *engine_name(void)
{
    static const char *const name[] = {"", "kernel", "rewire", "userfaultfd"};
    return name[the_engine];
}

/* So many segments more are not frames. */
static inline uint64_t more_segments(void)
{
    return the_engine == 3 ? 2 : 0; // ALPS_ENGINE_USERFAULTFD
}

/* Memory for 15 segments of 64 KiB, unless changed. */
static inline alps_options paged(unsigned eviction)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.segment = 64 * KIB;
    o.memory = MIB + more_segments() * o.segment;
    o.engine = the_engine;
    o.eviction = eviction;
    return o;
}

static inline alps_pager *pager_of(void *p)
{
    return alps_umalloc_of_(p)->map.pager;
}

static inline uint64_t rnd(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static inline uint64_t file_size(void)
{
    struct stat st;
    return stat(the_path, &st) ? 0 : (uint64_t)st.st_size;
}

/* Whether the file has exactly these bytes from `off` on. */
static inline int file_has(const unsigned char *bytes, uint64_t off, uint64_t n)
{
    unsigned char *got = (unsigned char *)malloc((size_t)n + 1);
    int fd = open(the_path, O_RDONLY);
    int same = fd >= 0 && pread(fd, got, (size_t)n, (off_t)off) == (ssize_t)n &&
               !memcmp(got, bytes, (size_t)n);
    close(fd);
    free(got);
    return same;
}

/* Bytes of [at, at + n) that are in memory. */
static inline uint64_t resident_of(unsigned char *at, uint64_t n)
{
    unsigned char there[4096];
    uint64_t sum = 0;
    for (uint64_t i = 0; at && i < n; i += sizeof there * 4096) {
        uint64_t k = n - i < sizeof there * 4096 ? n - i : sizeof there * 4096;
        CHECK_EQ(mincore(at + i, k, there), 0);
        for (uint64_t page = 0; page < k / 4096; page++)
            sum += there[page] & 1 ? 4096 : 0;
    }
    return sum;
}

/* Bytes of the frames, as the system counts them. */
static inline uint64_t resident(const alps_pager *x)
{
    struct stat st;
    if (x->pool.uffd)
        return resident_of(x->base, x->reserved) +
               resident_of(x->pool.write, x->pool.n * x->pool.segment) +
               resident_of(x->uffd.bounce, x->pool.segment) +
               resident_of(x->uffd.guess, x->pool.segment);
    CHECK(fstat(x->pool.fd, &st) == 0);
    return (uint64_t)st.st_blocks * 512;
}

/* Makes the file with these bytes. */
static inline void file_make(const unsigned char *bytes, uint64_t n)
{
    int fd = open(the_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, (size_t)n) == (ssize_t)n);
    close(fd);
}

/* In place of all tests. */
static inline void an_emulator_maps_in_another_way(void)
{
    SKIP("an emulator shows its own faults and mappings");
}

static inline int mappings(void)
{
    char line[512];
    int n = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        n++;
    if (maps)
        fclose(maps);
    return n;
}

/* Of this process. */
static inline int threads(void)
{
    char line[128];
    int n = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "Threads:", 8))
            n = atoi(line + 8);
    if (status)
        fclose(status);
    return n;
}

/* Whether there are no more than `most`: one that was joined may be counted for
 * a moment yet. */
static inline int threads_at_most(int most)
{
    for (int i = 0; i < 1000 && threads() > most; i++)
        usleep(2000);
    return threads() <= most;
}

static inline int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Runs `body` in a process of its own; answers how it ended. */
static inline int in_child(int (*body)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(body());
    }
    waitpid(pid, &status, 0);
    return status;
}

/* Stores and loads at random, beside a model, and the file at the end. */
static inline void mixed(uint64_t size, const alps_options *o, unsigned steps)
{
    uint64_t state = size * 77 + o->eviction + 1;
    unsigned char *model = (unsigned char *)malloc((size_t)size);
    int bad = 0;
    path_to("mixed");
    for (uint64_t i = 0; i < size; i++)
        model[i] = (unsigned char)(i * 7 + i / 4096);
    file_make(model, size);
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, (size_t)size, o);
    if (!CHECK(p != NULL)) {
        free(model);
        return;
    }
    for (unsigned i = 0; i < steps; i++) {
        uint64_t r = rnd(&state), at = rnd(&state) % size;
        uint64_t n = r / 16 % 300 + 1;
        n = n < size - at ? n : size - at;
        if (r % 16 == 0)
            bad += alps_usync(p) != 0;
        else if (r % 2)
            bad += memcmp(p + at, model + at, (size_t)n) != 0;
        else {
            memset(p + at, (int)(r >> 20), (size_t)n);
            memset(model + at, (int)(r >> 20), (size_t)n);
        }
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_ufree(p), 0);
    CHECK_EQ(file_size(), size);
    CHECK(file_has(model, 0, size));
    unlink(the_path);
    free(model);
}

/* Runs them with each engine that can be had. ThreadSanitizer does not see that
 * a fault waits for a thread. */
static inline void with_each_engine(void (*tests)(void))
{
    tests();
    if (may_be_told() && !UNDER_TSAN) {
        the_engine = ALPS_ENGINE_USERFAULTFD;
        tests();
    }
}

/* 1 + a segment that leaves, or that comes, or 0. */
static inline uint32_t under_way(alps_pager *x, int leaves)
{
    sigset_t old;
    uint32_t found = 0;
    alps_latch_enter_(&x->latch, &old);
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++)
        if (x->transit[i].segment && x->transit[i].leaves == leaves)
            found = x->transit[i].segment;
    alps_latch_leave_(&x->latch, &old);
    return found;
}

/* Waits until the thread of the region has brought what it wants to. */
static inline void guesses_are_there(alps_pager *x)
{
    int more = 1;
    for (unsigned round = 0; round < 5000 && more; round++) {
        sigset_t old;
        more = 0;
        alps_latch_enter_(&x->latch, &old);
        for (unsigned i = 0; i < ALPS_STREAMS_; i++)
            more |= x->ahead.stream[i].next < x->ahead.stream[i].end;
        alps_latch_leave_(&x->latch, &old);
        more |= under_way(x, 0) != 0;
        if (more)
            usleep(200);
    }
}
