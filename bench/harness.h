/* harness.h -- the clock, the dice and the memory of the benchmarks
 *
 * What every workload in loads.h needs, and nothing that knows an allocator.
 * Plain C that is also C++, since one of the peers is C++. */
#pragma once
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_NOT_OFFERED 3 /* exit status: the peer has no such operation */
#define BENCH_MIB ((size_t)1 << 20)
#define BENCH_PAGE ((size_t)4096)
#define BENCH_RECORD 100u /* bytes of a record of commit */

/* How much is done. `quick` is for a smoke test; its figures mean little. */
typedef struct bench_scale {
    double seconds;        /* how long one measurement lasts at least */
    unsigned objects;      /* of rand1m */
    unsigned churn;        /* operations of churn */
    unsigned open_objects; /* the most live objects of open */
    unsigned opens;        /* openings of each kind, their median is taken */
    unsigned edges;        /* 16 << edges of them, of 1 << edges vertices */
    unsigned pages;        /* of the file of sync and snapshot */
    unsigned records;      /* of the table of commit */
    unsigned commits;
    unsigned keys;    /* of a map */
    unsigned limit;   /* of paged: MiB that may be in memory */
    unsigned touches; /* of paged, at random */
    unsigned regions; /* of paged, so many sizes of them */
} bench_scale;

static const bench_scale bench_full = {0.12, 1000000, 10000000, 10000000, 7,
                                       20,   262144,  100000,   1000,     50000,
                                       64,   1000,    3};
static const bench_scale bench_quick = {
    0.01, 100000, 300000, 100000, 5, 14, 4096, 10000, 50, 2000, 16, 100, 1};

/* Ends the program with what went wrong. What it made in the directory it was
 * given is removed by run.sh, as after a crash. */
__attribute__((noreturn, cold, format(printf, 1, 2))) static void
bench_die(const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    fputs("bench: ", stderr);
    vfprintf(stderr, why, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static inline double bench_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds that go by: for what sleeps, or waits for others. */
static inline double bench_now(void)
{
    return bench_clock(CLOCK_MONOTONIC);
}

static inline void bench_report(const char *metric, double value)
{
    printf("%s %.6g\n", metric, value);
    fflush(stdout);
}

/* The compiler may not look through `p`: neither leave out the pair of an
 * allocation and its free, nor forget what was stored. */
static inline void bench_keep(void *p)
{
    __asm__ volatile("" : : "g"(p) : "memory");
}

/* splitmix64: the same numbers in every run. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline unsigned bench_below(uint64_t *state, unsigned n)
{
    return (unsigned)((bench_random(state) >> 32) * n >> 32);
}

/* Zeroed and touched memory that is no allocator's, so that the harness
 * neither warms nor measures one. */
static inline void *bench_memory(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the harness");
    return p;
}

/* Fills a page with what no copy leaves out as a hole; its first word is 0. */
static inline void bench_fill_page(unsigned char *page)
{
    memset(page, 0x5a, BENCH_PAGE);
    memset(page, 0, sizeof(uint64_t));
}

/* Touches as much memory as a load will: where the system is a guest, fetching
 * a page from the host takes longer than all that is to be measured. Huge pages
 * are others than small ones. */
static inline void bench_warm_up(size_t n)
{
    char *p;
    size_t i;
    munmap(bench_memory(n), n);
    p = (char *)mmap(NULL, n, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the harness");
    madvise(p, n, MADV_HUGEPAGE);
    for (i = 0; i < n; i += BENCH_PAGE)
        p[i] = 1;
    munmap(p, n);
}

/* Memory of the harness that a child shares with its parent. */
static inline void *bench_shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the harness");
    return p;
}

/* The field `name` of a file in /proc/self, in bytes. */
static inline double bench_proc(const char *path, const char *name)
{
    char line[256];
    double kib = -1;
    FILE *f = fopen(path, "r");
    if (!f)
        bench_die("%s cannot be read", path);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %lf", &kib);
    fclose(f);
    if (kib < 0)
        bench_die("%s has no %s", path, name);
    return kib * 1024;
}

static inline int bench_ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(double *value, unsigned n)
{
    qsort(value, n, sizeof *value, bench_ascending);
    return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* Runs `body(context)` in a child of its own, which maps nothing of ours yet
 * and can die without us. */
static inline pid_t bench_child(void (*body)(void *), void *context)
{
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child < 0)
        bench_die("no child process");
    if (child == 0) {
        body(context);
        _exit(0);
    }
    return child;
}

/* The same, and how it ended, as of waitpid. */
static inline int bench_in_child(void (*body)(void *), void *context)
{
    pid_t child = bench_child(body, context);
    int status;
    if (waitpid(child, &status, 0) != child)
        bench_die("lost a child process");
    return status;
}
