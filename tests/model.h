/* model.h -- what the tests of the region and of the heap share
 *
 * A heap whose backend and policy a test chooses while it runs; a policy that
 * means power failure, so that all that is done for it is done, and that waits
 * for nothing; random numbers that are the same in every run; names that
 * belong to this process alone; other processes. */
#pragma once
#include "any.h"
#include "check.h"
#include <signal.h>
#include <sys/wait.h>

/* ---- a policy that is durable in name */

static inline int quiet_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_NONE;
    return ALPS_OK;
}

static inline int quiet_flush_(alps_map *m, const void *p, size_t n)
{
    const unsigned char *at = (const unsigned char *)p;
    if (at < m->base || (uint64_t)(at - m->base) > m->reserved - n)
        return ALPS_EIO; // not in the region: nobody may ask for this
    return ALPS_OK;
}

static inline int quiet_stream_(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return quiet_flush_(m, to, ALPS_LINE);
}

static inline int quiet_fence_(alps_map *m, const alps_backend *b)
{
    (void)m;
    (void)b;
    ALPS_BARRIER_();
    return ALPS_OK;
}

static inline int quiet_settle_(alps_map *m)
{
    (void)m;
    ALPS_BARRIER_();
    return ALPS_OK;
}

static const alps_policy quiet = {
    "quiet",       1,    quiet_open_, quiet_flush_, quiet_stream_, quiet_fence_,
    quiet_settle_, NULL, NULL,        NULL,
};

/* Calls a test twice: what it says holds for a policy that means the death of
 * processes, and for one that means power failure. */
#define RUN_BOTH(name)                                \
  do {                                                \
    choose(&alps_backend_shmem_, &alps_policy_none_); \
    check_run_(name, #name);                          \
    choose(&alps_backend_shmem_, &quiet);             \
    check_run_(name, #name " (durably)");             \
  } while (0)

/* ---- random numbers */

static uint64_t dice = 1;

/* A number below `n`. */
static inline uint64_t throw_of(uint64_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice * 0x2545f4914f6cdd1dull % n;
}

/* ---- names, and what lies behind them */

/* The name of shared memory of this process, and of the test `what`. */
static inline const char *shm_name(const char *what)
{
    static char name[2][64];
    static int turn;
    turn = !turn;
    snprintf(name[turn], sizeof name[turn], "alps-test-%d-%s", (int)getpid(),
             what);
    return name[turn];
}

/* The same, as a file. */
static inline const char *shm_path(const char *what)
{
    static char path[2][80];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "/dev/shm/%s", shm_name(what));
    return path[turn];
}

/* A number of all that a region stores, but for what every lock, lane and
 * counter may change. By words: an emulator takes its time for bytes. It is for
 * moments when no thread runs, and a sanitizer takes its time too. */
__attribute__((noinline, unused, no_sanitize_thread)) static uint64_t
fingerprint_of(const alps_handle *h)
{
    const uint64_t *word =
        (const uint64_t *)(const void *)(h->map.base + h->at.shards);
    uint64_t n = (alps_size_(h) - h->at.shards) / sizeof *word, sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        sum = (sum ^ word[i]) * (uint64_t)0x9e3779b97f4a7c15;
        sum ^= sum >> 29;
    }
    return sum;
}

/* The path of a file of this process, on a file system of the machine. */
static inline const char *disk_path(const char *what)
{
    static char path[2][80];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "/tmp/alps-test-%d-%s",
             (int)getpid(), what);
    return path[turn];
}

/* The same where it does not matter which: in memory, which is faster. */
static inline const char *file_path(const char *what)
{
    return shm_path(what);
}

/* All bytes of a file, to be freed; NULL where it cannot be read. */
static inline unsigned char *bytes_of(const char *path, size_t *n)
{
    struct stat st;
    unsigned char *bytes = NULL;
    size_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (!fstat(fd, &st))
        bytes = (unsigned char *)malloc((size_t)st.st_size + 1);
    for (*n = bytes ? (size_t)st.st_size : 0; got < *n;) {
        ssize_t k = read(fd, bytes + got, *n - got);
        if (k <= 0)
            break;
        got += (size_t)k;
    }
    close(fd);
    return bytes;
}

/* Makes a file of these bytes. */
static inline int put_bytes(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t put = fd < 0 ? -1 : write(fd, bytes, n);
    if (fd >= 0)
        close(fd);
    return put == (ssize_t)n ? 0 : -1;
}

static inline int copy_file(const char *from, const char *to)
{
    size_t n = 0;
    unsigned char *bytes = bytes_of(from, &n);
    int err = bytes ? put_bytes(to, bytes, n) : -1;
    free(bytes);
    return err;
}

/* ---- other processes */

/* Runs `body` in a process of its own; it is killed if it takes a minute. */
static inline pid_t start_child(int (*body)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(body());
    }
    return pid;
}

/* How it ended: its exit status, or 1000 and the signal. */
static inline int end_of(pid_t pid)
{
    int status = 0;
    if (pid <= 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Where on_a_small_disk has room for a file system. */
static inline char *mount_path(void)
{
    static char path[64];
    return path;
}

/* Runs what mounts one there, in a child; 77 from it: that is not permitted. */
static inline void on_a_small_disk(const char *name, int (*body)(void))
{
    snprintf(mount_path(), 64, "%s", disk_path(name));
    CHECK_EQ(mkdir(mount_path(), 0700), 0);
    int found = end_of(start_child(body));
    CHECK_EQ(rmdir(mount_path()), 0);
    if (found == 77)
        SKIP("mounting a small file system is not permitted here");
    else
        CHECK_EQ(found, 0);
}

/* Memory that forked processes share, apart from any region. */
static inline void *board_make(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static inline void nap(long microseconds)
{
    struct timespec t = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* Waits until `*word` is `value`; 0 after 20 seconds in vain. */
static inline int await(const uint64_t *word, uint64_t value)
{
    for (int i = 0; i < 200000; i++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
            return 1;
        nap(100);
    }
    return 0;
}

static inline void tell(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* ---- a look at the whole */

/* Whether alps_check has nothing to say; else prints what it says. */
static inline int sound(any_heap *heap)
{
    alps_report r;
    if (!any_check(heap, &r))
        return 1;
    for (uint64_t i = 0; i < r.problems && i < ALPS_PROBLEMS; i++)
        printf("  at %llu: %s\n", (unsigned long long)r.first[i].off,
               r.first[i].text);
    return 0;
}

/* With nothing alive all memory is one block again. */
static inline int one_block_again(any_heap *heap)
{
    alps_statistics s;
    uint64_t whole = alps_extents_(&heap->core) << heap->core.at.extent_shift;
    if (any_trim(heap) || any_stats(heap, &s) || s.blocks ||
        s.largest_free != whole)
        return 0;
    void *p = any_alloc(heap, (size_t)whole);
    return p && !any_free(heap, p);
}

/* An object that tells whether it is still the one it was. */
struct token {
    uint64_t n, seed; // bytes of it all, and what the rest is filled from
};

static inline void token_fill(void *p, uint64_t n, uint64_t seed)
{
    struct token *t = (struct token *)p;
    uint64_t *word = (uint64_t *)p;
    t->n = n;
    t->seed = seed;
    for (uint64_t i = 2; i < n / 8; i++)
        word[i] = seed + i;
}

static inline int token_whole(const void *p)
{
    const struct token *t = (const struct token *)p;
    const uint64_t *word = (const uint64_t *)p;
    for (uint64_t i = 2; i < t->n / 8; i++)
        if (word[i] != t->seed + i)
            return 0;
    return t->n >= sizeof *t;
}

/* The options of a small region. */
static inline alps_options small(uint64_t size, uint64_t extent)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = size;
    o.extent = extent;
    o.lanes = 2;
    o.processes = 4;
    o.flags = ALPS_CREATE;
    return o;
}
