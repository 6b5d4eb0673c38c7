/* test_calls.c -- every system call fails once
 *
 * A child opens a region, or makes it, and does all there is to do. Its parent
 * traces it, and lets one system call after the other fail without the system
 * having done it, as strace's fault injection does. Whatever fails there is no
 * crash and no hang, what answered 0 has happened, and who opens the region next
 * finds a sound one: under checkpoint as of a sync that answered 0, or of a
 * later one. */
#define _GNU_SOURCE
#include "model.h"
#include "traced.h"
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__ && \
    !defined __SANITIZE_THREAD__

enum { COUNT = 4096, FIRST = 8 };

/* What the child tells; `errors` counts calls of ours that were refused, and
 * `loosely` is 1 during those that may get on without what has failed. */
struct told {
    uint64_t opened, synced, snapped, closed, errors, loosely;
};
static struct told *told;
static char path[96], kept[96], copied[96];
static int fresh;              // the child makes the region
static const alps_part *parts; // in several files

/* ---- what is done */

static alps_options how(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = fresh ? ALPS_CREATE : 0;
    o.size = 512 << 10;
    o.limit = 4 << 20;
    o.extent = 1 << 16;
    o.lanes = 4;
    o.processes = 4;
    o.parts = fresh ? parts : NULL;
    return o;
}

/* Whether the call answered 0. */
static int done(int err)
{
    told->errors += err != 0;
    told->loosely = 0;
    return !err;
}

static void publish(any_heap *h, alps_off *word, size_t n)
{
    told->loosely = 1; // a block serves where no slab can be made
    void *p = any_reserve(h, n);
    if (!done(p ? 0 : any_error(h)))
        return;
    memset(p, 7, n);
    done(any_publish(h, word, p)); // if the medium fails the word may have it
}

static void transact(any_heap *h, uint64_t *root, uint64_t value)
{
    alps_tx t;
    if (!done(any_begin(h, &t)))
        return;
    int kept_it = done(any_tx_snapshot(&t, &root[2], 16));
    if (kept_it) {
        root[2] = value;
        root[3] = value;
    }
    if (kept_it && done(any_tx_set(&t, &root[4], value)))
        done(any_commit(&t));
    else
        done(any_abort(&t));
}

static void work(void)
{
    any_heap h;
    alps_options o = how();
    if (!done(any_open(&h, path, &o)))
        return;
    told->opened = 1;
    uint64_t *root = (uint64_t *)any_root(&h, COUNT);
    for (uint64_t i = 1; i <= 2; i++) {
        root[0]++;
        publish(&h, &root[FIRST + i], i == 1 ? 100 : 700 << 10); // it grows
        told->loosely = 1;                                       // the same
        void *named = any_construct(&h, i == 1 ? "one" : "two", 50);
        done(named ? 0 : any_error(&h));
        transact(&h, root, root[0]);
        root[1]++;
        if (done(any_sync(&h)))
            told->synced = root[1];
        if (root[FIRST + i] && done(any_release(&h, &root[FIRST + i])))
            CHECK(!root[FIRST + i]);
    }
    told->loosely = 1; // what cannot be given back is kept
    done(any_trim(&h));
    if (done(any_snapshot(&h, copied)))
        told->snapped = root[1];
    done(any_check(&h, NULL)); // it reads the heads of parts
    told->loosely = !strcmp(manner.name, "checkpoint"); // the journal has it
    told->closed = (uint64_t)done(any_close(&h));
}

/* ---- one that fails */

/* Calls that cannot fail, or whose failure nobody can do anything about, and the
 * mark that the work begins or is done. */
static int spared(long call)
{
    static const long none[] = {
        SYS_exit,           SYS_exit_group,      SYS_rt_sigprocmask,
        SYS_rt_sigaction,   SYS_rt_sigreturn,    SYS_futex,
        SYS_munmap,         SYS_close,           SYS_getpid,
        SYS_gettid,         SYS_clock_gettime,   SYS_sched_yield,
        SYS_nanosleep,      SYS_restart_syscall, SYS_brk,
        SYS_clock_nanosleep};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
        if (call == none[i])
            return 1;
    return 0;
}

/* Calls that write or make durable. What needs them must say that they
 * failed. */
static int must_be_told(long call)
{
    return call == SYS_msync || call == SYS_fdatasync || call == SYS_fsync ||
           call == SYS_pwrite64 || call == SYS_ftruncate;
}

static long number_of(pid_t pid)
{
    return ptrace(PTRACE_PEEKUSER, pid,
                  (void *)offsetof(struct user_regs_struct, orig_rax), NULL);
}

static void answer(pid_t pid, size_t where, long value)
{
    ptrace(PTRACE_POKEUSER, pid, (void *)where, (void *)value);
}

static const size_t NUMBER = offsetof(struct user_regs_struct, orig_rax),
                    RESULT = offsetof(struct user_regs_struct, rax);

/* Runs the child, whose call number `fails` (0: none) fails with `error`; counts
 * its calls, and tells which one failed, and in what. Answers how it ended. */
static int run(unsigned fails, int error, unsigned *calls, long *which,
               uint64_t *loosely)
{
    int status = 0, sig = 0, inside = 0, on = 0, failing = 0;
    memset(told, 0, sizeof *told);
    *calls = 0;
    *which = 0; // not each run makes as many calls as the first
    *loosely = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        alarm(30); // what hangs
        syscall(SYS_getppid);
        check_bad_ = 0;
        work();
        syscall(SYS_getppid);
        fflush(stdout);
        _exit(check_bad_ != 0);
    }
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL,
           (void *)(long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig) ||
            waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
            return status;
        sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
        if (sig)
            continue;
        inside = !inside;
        if (!inside && failing)
            answer(pid, RESULT, -error);
        failing = 0;
        long call = inside ? number_of(pid) : 0;
        if (!inside || spared(call))
            continue;
        if (call == SYS_getppid) {
            on = !on;
        } else if (on && ++*calls == fails) {
            *which = call;
            *loosely = told->loosely;
            answer(pid, NUMBER, -1);
            failing = 1;
        }
    }
}

/* ---- what is found */

static void is_sound(const char *name, int must)
{
    any_heap h;
    alps_options o = how();
    if (!must && access(name, F_OK))
        return;
    int err = any_open(&h, name, &o);
    if (!CHECK_EQ(err, 0))
        return;
    uint64_t *root = (uint64_t *)any_root(&h, COUNT);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK(root[2] == root[3] && root[3] == root[4]);
    for (unsigned i = 1; i <= 2; i++)
        CHECK(!root[FIRST + i] || any_usable(&h, any_at(&h, root[FIRST + i])));
    if (manner.durable || !strcmp(manner.name, "none")) {
        CHECK(root[1] >= told->synced);
    } else if (must) {
        CHECK_EQ(root[0], root[1]);
        CHECK(root[1] >= told->synced);
        CHECK(!told->closed || root[1] == 2);
    }
    CHECK_EQ(any_close(&h), 0);
}

static void copy_of(const char *from, const char *to)
{
    unlink(to);
    if (from)
        CHECK_EQ(copy_file(from, to), 0);
}

static void remove_all(void)
{
    char journal[110], part[110];
    unlink(path);
    for (unsigned i = 1; i <= 2; i++) {
        snprintf(part, sizeof part, "%s.%u", path, i);
        unlink(part);
    }
    unlink(copied);
    snprintf(journal, sizeof journal, "%s.journal", path);
    unlink(journal);
    snprintf(journal, sizeof journal, "%s.journal", copied);
    unlink(journal);
}

/* A region that is opened again has something in it. */
static void prepare(const alps_backend *b, const alps_policy *p)
{
    any_heap h;
    choose(b, p);
    fresh = 1;
    alps_options o = how();
    remove_all();
    CHECK_EQ(any_open(&h, path, &o), 0);
    CHECK(any_construct(&h, "zero", 3000) != NULL);
    publish(&h, (alps_off *)any_root(&h, COUNT) + FIRST, 5000);
    CHECK_EQ(any_close(&h), 0);
    copy_of(path, kept);
}

static void each_fails(const alps_backend *b, const alps_policy *p, int anew)
{
    static const int errors[] = {EIO, ENOSPC, ENOMEM};
    unsigned calls = 0, all = 0, met = 0;
    uint64_t loosely = 0;
    long which = 0;
    if (!may_trace()) {
        SKIP("processes may not be traced here");
        return;
    }
    told = (struct told *)board_make(sizeof *told);
    prepare(b, p);
    for (unsigned k = 0; k <= all && k < 2000; k++) {
        fresh = anew;
        remove_all();
        if (!anew)
            copy_of(kept, path);
        int error = errors[k % 3];
        int status = run(k, error, &calls, &which, &loosely);
        unsigned bad = check_bad_;
        CHECK_EQ(status, 0);
        if (!k) {
            CHECK(told->opened && told->closed && told->snapped == 2);
            CHECK_EQ(told->synced, 2);
            CHECK_EQ(told->errors, 0);
            all = calls;
        }
        fresh = anew && !told->opened; // it may have to be made
        is_sound(path, 1);
        fresh = 0;
        is_sound(copied, told->snapped != 0);
        CHECK(!k || !must_be_told(which) || loosely || told->errors);
        met += told->closed != 0;
        if (check_bad_ > bad)
            printf("  when call %u of %u, number %ld, answers %s\n", k, all,
                   which, strerror(error));
    }
    CHECK(all > 40 && met > 0);
    remove_all();
    unlink(kept);
    munmap(told, sizeof *told);
}

static void under_checkpoint(void)
{
    each_fails(&alps_backend_file_, &alps_policy_checkpoint_, 0);
}

static void under_checkpoint_made_anew(void)
{
    each_fails(&alps_backend_file_, &alps_policy_checkpoint_, 1);
}

static void under_msync(void)
{
    each_fails(&alps_backend_file_, &alps_policy_msync_, 0);
}

static void under_msync_made_anew(void)
{
    each_fails(&alps_backend_file_, &alps_policy_msync_, 1);
}

static void under_none(void)
{
    each_fails(&alps_backend_file_, &alps_policy_none_, 1);
}

/* The same in a file and two more, of which the region grows into the last. */
static void each_fails_in_parts(const alps_policy *p)
{
    char folder[96];
    snprintf(folder, sizeof folder, "%s", path);
    *(strrchr(folder, '/') + 1) = 0;
    const alps_part two[] = {
        {folder, 256 << 10}, {folder, 576 << 10}, {NULL, 0}};
    parts = two;
    each_fails(&alps_backend_file_, p, 1);
    parts = NULL;
}

static void under_checkpoint_in_parts(void)
{
    each_fails_in_parts(&alps_policy_checkpoint_);
}

static void under_msync_in_parts(void)
{
    each_fails_in_parts(&alps_policy_msync_);
}

int main(void)
{
    snprintf(path, sizeof path, "%s", file_path("calls"));
    snprintf(kept, sizeof kept, "%s", file_path("kept"));
    snprintf(copied, sizeof copied, "%s", file_path("copied"));
    RUN(under_checkpoint);
    RUN(under_checkpoint_made_anew);
    RUN(under_msync);
    RUN(under_msync_made_anew);
    RUN(under_none);
    RUN(under_checkpoint_in_parts);
    RUN(under_msync_in_parts);
    return check_end("calls");
}

#else

static void a_call_is_made_to_fail(void)
{
    SKIP("calls of a sanitizer would fail too; elsewhere than on x86-64 the "
         "tracer does not know the registers");
}

int main(void)
{
    RUN(a_call_is_made_to_fail);
    return check_end("calls");
}

#endif
