/* test_spaces.c -- links between two regions, and processes that are killed
 *
 * A worker makes and cuts links, and commits now the one region and now the
 * other; it is killed with SIGKILL: at each write, sync, flush, fence and lock
 * of a short life in turn, at such an event or some single steps after it in a
 * long one, or after a random time, also while it opens what the last one left.
 * Then another process opens both, in any order: each link names one of the
 * objects that it has named since it was last sure, or none if it was that; no
 * object is there that is not linked, and nothing waits. Where neither region
 * commits by moments somebody has both open all the time, and settles. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* This process ends at so many events from now; or, where it is traced, stops
 * there. */
static unsigned long events, end_at;
static int is_traced;

static void happens(void)
{
    events++;
    if (!end_at || --end_at)
        return;
#if defined(__x86_64__)
    if (is_traced)
        __asm__ volatile("int3");
#endif
    if (!is_traced)
        raise(SIGKILL);
}

#define pwrite(fd, p, n, off) (happens(), pwrite(fd, p, n, off))
#define pwritev(fd, v, n, off) (happens(), pwritev(fd, v, n, off))
#define fdatasync(fd) (happens(), fdatasync(fd))
#define fsync(fd) (happens(), fsync(fd))
#define msync(p, n, how) (happens(), msync(p, n, how))
#define ALPS_OBSERVE(event, p, n) (happens(), 0)
#define ALPS_JOURNAL_MAX ((uint64_t)64 << 10)
#define ALPS_JOURNAL_AHEAD 3u
#include "pairs.h"
#undef pwrite
#undef pwritev
#undef fdatasync
#undef fsync
#undef msync
#include "traced.h"

/* ---- what all processes know */

static struct board {
    struct model model;
    uint64_t began; // the worker has, so often
    uint64_t events;
    int line, err; // where it has met something wrong
} * board;

static char folder[96], name[2][120];
static const char *const path[2] = {name[0], name[1]};
static uint64_t dice = 0x2545f4914f6cdd1dull;
static unsigned kills;

static uint64_t roll(uint64_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (dice >> 11) % below;
}

static void nap(uint64_t microseconds)
{
    struct timespec t = {0, (long)(microseconds * 1000)};
    nanosleep(&t, NULL);
}

/* ---- a worker */

static pair mine;

#define DEMAND(what)          \
  do {                        \
    int is = (what);          \
    if (is) {                 \
      board->line = __LINE__; \
      board->err = is;        \
      _exit(1);               \
    }                         \
  } while (0)

/* Opens both. What the links name then is settled, and nothing else can come
 * back. */
static void come(void)
{
    DEMAND(open_pair(&mine, path, (unsigned)roll(2), 0));
    for (unsigned i = 0; i < LINKS; i++)
        names_only(i, number_at(&mine, i));
    __atomic_add_fetch(&board->began, 1, __ATOMIC_SEQ_CST);
}

static void none_yet(void)
{
    for (unsigned k = 0; k < 3; k++)
        if (word_of(&mine, short_link[k]))
            DEMAND(cut_link(&mine, short_link[k]));
    DEMAND(commit_both(&mine));
}

static void short_life(void)
{
    for (unsigned step = 0; step < SHORT_STEPS; step++)
        DEMAND(short_step(&mine, step));
}

static void long_life(void)
{
    for (;;)
        DEMAND(a_step(&mine, (unsigned)roll(20), (unsigned)roll(LINKS)));
}

/* Starts one that does this; `early`: events are counted from before it opens
 * the regions. */
static pid_t start(void (*life)(void), unsigned long ends, int traced,
                   int early)
{
    uint64_t seed = roll(1ull << 40) * 2 + 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid)
        return pid;
    alarm(60);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(77);
    dice = seed;
    is_traced = traced;
    end_at = early ? ends : 0;
    come();
    if (life == short_life)
        none_yet();
    if (!early)
        end_at = ends;
    events = 0;
    life();
    DEMAND(close_pair(&mine, 0));
    board->events = events;
    _exit(0);
}

/* How it has ended: killed, 1; by itself, 0. */
static int ended(pid_t pid)
{
    int status = 1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        kills++;
        return 1;
    }
    if (!CHECK_EQ(status, 0))
        printf("  the worker, line %d: %s\n", board->line,
               alps_error_text_(board->err));
    return 0;
}

/* ---- who looks afterwards */

/* Opens both, and once more. */
static void opened(void)
{
    static pair g;
    uint64_t got[2][LINKS];
    unsigned first = (unsigned)roll(2);
    memset(got, 0, sizeof got);
    for (unsigned k = 0; k < 2; k++, first = !first) {
        int err = open_pair(&g, path, first, 0);
        const char *wrong = err ? alps_error_text_(err) : judge(&g, got[k]);
        if (wrong)
            printf("  kill %u, opening %u: %s\n", kills, k, wrong);
        CHECK(!wrong);
        CHECK_EQ(close_pair(&g, roll(2) == 0), 0);
    }
    CHECK(!memcmp(got[0], got[1], sizeof got[0]));
    for (unsigned i = 0; i < LINKS; i++)
        names_only(i, got[1][i]);
}

/* Somebody who has both open all the time; or nobody. */
static pair witness;
static int has_witness;

static void witnessed(void)
{
    uint64_t got[LINKS];
    CHECK_EQ(from_space_settle(&witness.space), 0);
    CHECK_EQ(from_reap(&witness.one), 0);
    CHECK_EQ(to_reap(&witness.two), 0);
    const char *wrong = judge(&witness, got);
    if (wrong)
        printf("  kill %u, beside a witness: %s\n", kills, wrong);
    CHECK(!wrong);
    for (unsigned i = 0; i < LINKS; i++)
        names_only(i, got[i]);
}

static void what_is_left(void)
{
    if (has_witness)
        witnessed();
    else
        opened();
}

/* ---- the kills */

static void at_each_event(void)
{
    unsigned long last;
    CHECK_EQ(ended(start(short_life, 0, 0, 0)), 0);
    last = (unsigned long)board->events;
    what_is_left();
    CHECK(last > 10);
    for (unsigned long at = 1; at <= last && !check_bad_; at += SLOW) {
        if (!ended(start(short_life, at, 0, 0)))
            break; // there was less to do than the first time
        what_is_left();
    }
}

/* Of three rounds one leaves all to the next worker. */
static void at_some_event(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        CHECK(ended(start(long_life, 1 + roll(400), 0, i % 2 == 0)));
        if (i % 3)
            what_is_left();
    }
    what_is_left();
}

static void after_some_time(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        uint64_t began = board->began;
        pid_t pid = start(long_life, 0, 0, 0);
        for (unsigned n = 0; i % 4 && n < 20000; n++) {
            if (__atomic_load_n(&board->began, __ATOMIC_SEQ_CST) != began)
                break;
            nap(100);
        }
        nap(roll(2500));
        kill(pid, SIGKILL);
        CHECK(ended(pid));
        if (i % 3)
            what_is_left();
    }
    what_is_left();
}

/* How it was stopped: a signal that is for itself, such as a fault of paged
 * memory; 0: it was where it stops by itself, or one step on; -1: it is gone. */
static long stop_of(pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status))
        return -1;
    return WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
}

/* Waits for the stop that it makes by itself, and takes `n` single steps. */
static int stepped(pid_t pid, uint64_t n)
{
    long is = stop_of(pid);
    while (is > 0 && !ptrace(PTRACE_CONT, pid, NULL, (void *)is))
        is = stop_of(pid);
    while (is >= 0 && n-- && !ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)is))
        is = stop_of(pid);
    return is >= 0;
}

static void at_some_instruction(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        pid_t pid = start(long_life, 1 + roll(300), 1, 0);
        CHECK(stepped(pid, roll(150)));
        kill(pid, SIGKILL);
        CHECK(ended(pid));
        what_is_left();
    }
}

/* So many rounds, beside a witness if there can be one. */
#ifdef ALL // in make soak
#  define ROUNDS 1000u
#else
#  define ROUNDS (30u / SLOW)
#endif

static void tear(unsigned one, unsigned two)
{
    unsigned before = kills;
    kinds[0] = one;
    kinds[1] = two;
    choose_kinds(0);
    memset(board, 0, sizeof *board);
    model_begin();
    for (int beside = 0; beside < 2; beside++) {
        has_witness = beside;
        if (beside && (commits(0) || commits(1)))
            break;
        if (beside)
            CHECK_EQ(open_pair(&witness, path, 0, 0), 0);
        at_each_event();
        at_some_event(ROUNDS);
        after_some_time(ROUNDS);
#if defined(__x86_64__)
        if (may_trace())
            at_some_instruction(ROUNDS);
#endif
        if (beside)
            CHECK_EQ(close_pair(&witness, 0), 0);
    }
    CHECK(kills - before > 2 * ROUNDS);
    for (unsigned side = 0; side < 2; side++)
        CHECK_EQ(from_remove(path[side]), 0);
}

static void both_commit(void)
{
    tear(COMMITS, COMMITS);
}

static void one_commits_beside_pages(void)
{
    tear(COMMITS, PAGES);
    tear(PAGES, COMMITS);
}

static void one_commits_beside_persistent_memory(void)
{
    tear(COMMITS, LINES);
    tear(LINES, COMMITS);
}

static void one_is_larger_than_its_memory(void)
{
    tear(PAGED, LINES);
}

static void neither_commits(void)
{
    tear(LINES, LINES);
    tear(PAGES, LINES);
}

static void hundreds_were_killed(void)
{
    printf("  %u kills\n", kills);
    CHECK(kills > 500 / SLOW);
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    snprintf(folder, sizeof folder, "/dev/shm/alps-test-%d-spaces",
             (int)getpid());
    board = (struct board *)mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == (struct board *)MAP_FAILED || mkdir(folder, 0700))
        return 1;
    model = &board->model;
    for (unsigned side = 0; side < 2; side++)
        snprintf(name[side], sizeof name[side], "%s/%s", folder,
                 side ? "two" : "one");
    RUN(both_commit);
    RUN(one_commits_beside_pages);
    RUN(one_commits_beside_persistent_memory);
    RUN(one_is_larger_than_its_memory);
    RUN(neither_commits);
    RUN(hundreds_were_killed);
    CHECK_EQ(rmdir(folder), 0);
    return check_end("spaces");
}
