/* contract.h -- what every backend promises, put to the test
 *
 * The tests that hold for any medium with a name. A test program sets
 * `backend`, makes paths with `path_to`, and runs those that its medium can
 * keep. Children are forked to be other processes; they tell what they found
 * by their exit status, and none outlives its test. */
#pragma once
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static const alps_backend *backend; // the table under test
static char folder[64];             // where paths lie, with a closing slash
static char path[160];              // of the medium of the running test
static char file[200];              // the file that is behind it
static const char *behind = "";     // what stands before `path` there
static const char *mount_at;        // the folder of the file

/* Makes a new folder for the files of this program. */
static inline void folder_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/alps-test-XXXXXX");
    if (!mkdtemp(folder)) {
        printf("no folder under /tmp\n");
        exit(2);
    }
    strcat(folder, "/");
    mount_at = folder;
}

static inline void folder_remove(void)
{
    CHECK_EQ(rmdir(folder), 0); // empty: the tests have cleaned up
}

/* Sets `path` to that of `name`; nothing is there. */
static inline void path_to(const char *name)
{
    snprintf(path, sizeof path, "%s%s", folder, name);
    snprintf(file, sizeof file, "%s%s", behind, path);
    unlink(file);
}

static inline int try_open(alps_map *m, unsigned flags)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    memset(m, 0, sizeof *m);
    o.flags = m->flags = flags;
    m->fd = -1;
    return backend->open(m, path, &o);
}

/* Opens, maps all of it with room to grow, and leaves the guard; makes it
 * `size` bytes long if it is empty. */
static inline int open_whole(alps_map *m, unsigned flags, uint64_t size)
{
    int err = try_open(m, flags);
    if (!err && m->length == 0 && size)
        err = backend->resize(m, size);
    if (!err && m->length)
        err = backend->map(m, m->length, 1u << 26, ALPS_PAGE);
    if (!err)
        err = backend->unguard(m);
    return err;
}

static inline void close_and_remove(alps_map *m)
{
    CHECK_EQ(backend->close(m), 0);
    CHECK_EQ(backend->remove(path), 0);
}

/* Runs `body` in a process of its own; answers its exit status, or -1. */
static inline int in_child(int (*body)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(body());
    }
    waitpid(pid, &status, 0);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The same in `n` processes at once; answers how many ended with `want`, and
 * keeps the status of one that did not. */
static int other_status;
static inline int in_children(int n, int (*body)(void), int want)
{
    pid_t pid[64];
    int hits = 0, status = 0;
    other_status = 0;
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            alarm(60);
            _exit(body());
        }
    }
    for (int i = 0; i < n; i++) {
        waitpid(pid[i], &status, 0);
        int hit = WIFEXITED(status) && WEXITSTATUS(status) == want;
        hits += hit;
        if (!hit)
            other_status = status;
    }
    return hits;
}

/* Starts a child that runs `body` and then waits to be killed; returns when
 * `body` is done. */
static inline pid_t hold_in_child(int (*body)(void))
{
    int pipe_[2];
    char answer = 0;
    if (pipe(pipe_))
        return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        answer = (char)(body() ? 'x' : 'k');
        if (write(pipe_[1], &answer, 1) == 1)
            for (alarm(60);;)
                pause();
        _exit(1);
    }
    CHECK(read(pipe_[0], &answer, 1) == 1 && answer == 'k');
    close(pipe_[0]);
    close(pipe_[1]);
    return pid;
}

static inline void kill_child(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    waitpid(pid, NULL, 0);
}

static inline int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- opening ------------------------------------------------------------ */

static inline void a_new_medium_is_empty(void)
{
    alps_map m;
    path_to("new");
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(m.length, 0);
    CHECK(m.fd >= 0 && m.align == 1 && !m.fixed);
    CHECK_EQ(backend->unguard(&m), 0);
    close_and_remove(&m);
    CHECK_EQ(m.fd, -1);
}

static inline void without_create_nothing_is_made(void)
{
    alps_map m;
    path_to("absent");
    CHECK_EQ(try_open(&m, 0), ALPS_ENOENT);
    CHECK_EQ(try_open(&m, ALPS_READ_ONLY), ALPS_ENOENT);
    CHECK_EQ(backend->remove(path), ALPS_ENOENT);
    CHECK_EQ(m.fd, -1);
}

static inline void exclusive_means_that_there_is_none(void)
{
    alps_map m, n;
    path_to("exclusive");
    CHECK_EQ(open_whole(&m, ALPS_CREATE | ALPS_EXCLUSIVE, 8192), 0);
    CHECK_EQ(try_open(&n, ALPS_CREATE | ALPS_EXCLUSIVE), ALPS_EEXIST);
    CHECK_EQ(try_open(&n, ALPS_READ_ONLY | ALPS_EXCLUSIVE), ALPS_EINVAL);
    CHECK_EQ(try_open(&n, ALPS_READ_ONLY | ALPS_TRUNCATE), ALPS_EINVAL);
    CHECK_EQ(open_whole(&n, ALPS_CREATE, 0), 0);
    CHECK_EQ(n.length, 8192);
    CHECK_EQ(backend->close(&n), 0);
    close_and_remove(&m);
}

static inline void a_refused_open_leaves_nothing_open(void)
{
    alps_map m;
    int before = descriptors();
    path_to("none");
    CHECK_EQ(try_open(&m, 0), ALPS_ENOENT);
    path_to("a\1folder");
    mkdir(path, 0700);
    CHECK(try_open(&m, ALPS_CREATE) != 0);
    CHECK_EQ(m.fd, -1);
    rmdir(path);
    CHECK_EQ(descriptors(), before);
}

/* ---- lengths and mappings ----------------------------------------------- */

static inline void growth_happens_in_place(void)
{
    alps_map m;
    struct stat st;
    path_to("grows");
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 8192), 0);
    CHECK_EQ(backend->map(&m, 8192, 1u << 30, 65536), 0);
    unsigned char *base = m.base;
    CHECK(m.size == 8192 && m.reserved == 1u << 30);
    memset(base, 7, 8192);
    CHECK_EQ(backend->resize(&m, 1000001), 0); // exact, not rounded
    CHECK(m.base == base && m.size == 1000001 && m.length == 1000001);
    CHECK(fstat(m.fd, &st) == 0 && st.st_size == 1000001);
    CHECK(base[8191] == 7 && base[8192] == 0 && base[1000000] == 0);
    base[1000000] = 9;
    CHECK_EQ(backend->resize(&m, (1u << 30) + 1), ALPS_ENOMEM);
    CHECK_EQ(backend->sync(&m, 4096, 1000001 - 4096), 0);
    CHECK_EQ(backend->close(&m), 0);

    CHECK_EQ(open_whole(&m, 0, 0), 0);
    CHECK_EQ(m.length, 1000001);
    CHECK(m.base[8191] == 7 && m.base[1000000] == 9);
    close_and_remove(&m);
}

/* The blocks are there before anything is stored. */
static inline void blocks_are_reserved(void)
{
    alps_map m;
    struct stat st;
    path_to("reserved");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 1u << 20), 0);
    CHECK(fstat(m.fd, &st) == 0 && st.st_blocks * 512 >= 1 << 20);
    int err = backend->punch(&m, 65536, 1u << 19);
    CHECK(err == 0 || err == ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->resize(&m, 1u << 20), 0); // the same length: no holes
    CHECK(fstat(m.fd, &st) == 0 && st.st_blocks * 512 >= 1 << 20);
    close_and_remove(&m);
}

static inline void bases_are_aligned(void)
{
    alps_map m;
    path_to("aligned");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 12288), 0);
    for (uint64_t align = 1; align <= 1u << 30; align *= 2) {
        CHECK_EQ(backend->unmap(&m), 0);
        CHECK(m.base == NULL && m.size == 0 && m.reserved == 0);
        CHECK_EQ(backend->map(&m, 12288, 1u << 22, align), 0);
        CHECK_EQ((uintptr_t)m.base % align, 0);
        m.base[12287]++;
    }
    CHECK_EQ(m.base[12287], 31);
    close_and_remove(&m);
}

/* Leaves this process 1 GiB of addresses more than it has. Answers 0 where the
 * system does not keep it to that. */
static inline int few_addresses(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    int n = f ? fscanf(f, "%lu", &pages) : 0;
    if (f)
        fclose(f);
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = pages * 4096 + (1u << 30);
    if (n != 1 || setrlimit(RLIMIT_AS, &limit))
        return 0;
    void *p =
        mmap(NULL, 2u << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED;
}

static inline int child_holds_fewer_addresses(void)
{
    alps_map m;
    if (!few_addresses())
        return 77;
    if (try_open(&m, 0) || backend->map(&m, 12288, 1ull << 36, 1u << 22))
        return 1;
    if (m.reserved < 1u << 26 || m.reserved > 1u << 30 || m.base[12287])
        return 2;
    return backend->close(&m) ? 3 : 0;
}

static inline void fewer_addresses_are_held_where_there_are_not_so_many(void)
{
    alps_map m;
    path_to("addresses");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 12288), 0);
    CHECK_EQ(backend->unmap(&m), 0);
    CHECK_EQ(backend->map(&m, 12289, 1u << 20, 4096), ALPS_EINVAL);
    CHECK_EQ(backend->map(&m, 0, 4096, 4096), ALPS_EINVAL);
    CHECK(m.base == NULL);
    int found = in_child(child_holds_fewer_addresses);
    if (found == 77)
        SKIP("a process cannot be kept to few addresses here");
    else
        CHECK_EQ(found, 0);
    close_and_remove(&m);
}

/* Growth by one shows in the other, which need not map again, and which does
 * not cut off what it did not know of. */
static inline void growth_by_another_needs_no_remap(void)
{
    alps_map a, b;
    path_to("two");
    CHECK_EQ(try_open(&a, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&a, 8192), 0);
    CHECK_EQ(backend->map(&a, 8192, 1u << 24, 4096), 0);
    CHECK_EQ(backend->unguard(&a), 0);
    CHECK_EQ(try_open(&b, 0), 0);
    CHECK_EQ(backend->map(&b, 8192, 1u << 24, 4096), 0);
    CHECK_EQ(backend->unguard(&b), 0);
    CHECK_EQ(backend->resize(&a, 1u << 20), 0);
    a.base[(1u << 20) - 1] = 5;
    CHECK_EQ(b.base[(1u << 20) - 1], 5);
    CHECK_EQ(backend->resize(&b, 1u << 19), 0);
    CHECK_EQ(b.size, 1u << 19);
    CHECK_EQ(b.length, 1u << 20);
    CHECK_EQ(a.base[(1u << 20) - 1], 5);
    CHECK_EQ(backend->resize(&b, 4096), 0); // this is meant
    CHECK_EQ(b.length, 4096);
    CHECK_EQ(backend->close(&b), 0);
    close_and_remove(&a);
}

static inline void punched_pages_read_as_zero(void)
{
    alps_map m;
    path_to("punched");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 65536), 0);
    memset(m.base, 3, 65536);
    int err = backend->punch(&m, 8192, 16384);
    CHECK(err == 0 || err == ALPS_EUNSUPPORTED);
    CHECK(m.base[8191] == 3 && m.base[24576] == 3);
    CHECK(err || (m.base[8192] == 0 && m.base[24575] == 0));
    CHECK_EQ(backend->punch(&m, 0, 0), 0);
    CHECK_EQ(m.length, 65536);
    close_and_remove(&m);
}

/* Shortened in the middle of a store beyond the process's limit, it would be
 * killed by a signal: asked in a child, for the limit stays. */
static inline int child_grows_beyond_its_limit(void)
{
    alps_map m;
    struct rlimit limit = {1u << 20, 1u << 20};
    if (setrlimit(RLIMIT_FSIZE, &limit) || open_whole(&m, 0, 0))
        return 1;
    if (backend->resize(&m, 2u << 20) != ALPS_ENOSPC || m.length != 65536)
        return 2;
    return backend->close(&m) ? 3 : 0;
}

static inline void the_limit_of_the_process_is_a_code(void)
{
    alps_map m;
    path_to("limited");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 65536), 0);
    CHECK_EQ(in_child(child_grows_beyond_its_limit), 0);
    close_and_remove(&m);
}

/* Runs with a file system of 80 MiB at `mount_at`, which nobody else sees. The
 * first step of the growth finds room there, the second does not. */
static inline int child_fills_the_medium(void)
{
    alps_map m;
    struct stat st;
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_at, "tmpfs", 0, "size=80m"))
        return 77;
    if (open_whole(&m, ALPS_CREATE, 200000))
        return 1;
    memset(m.base, 1, 200000);
    if (backend->unmap(&m) || backend->map(&m, 200000, 1u << 28, 4096))
        return 2;
    if (backend->resize(&m, 200u << 20) != ALPS_ENOSPC)
        return 3;
    if (m.length != 200000 || m.size != 200000)
        return 4;
    if (fstat(m.fd, &st) || st.st_size != 200000 || m.base[199999] != 1)
        return 5;
    if (st.st_blocks * 512 > 300000)
        return 6; // what was reserved before it was full is given back
    if (backend->resize(&m, 600000))
        return 7; // so there is room for this
    memset(m.base, 2, 600000);
    return backend->close(&m) ? 8 : 0;
}

static inline void a_full_medium_is_a_code(void)
{
    path_to("full");
    int found = in_child(child_fills_the_medium);
    if (found == 77)
        SKIP("mounting a small file system is not permitted here");
    else
        CHECK_EQ(found, 0);
}

/* ---- the guard, leases, removal ----------------------------------------- */

static inline int child_opens_and_closes(void)
{
    alps_map m;
    int err = try_open(&m, ALPS_CREATE);
    return err ? -err : -backend->close(&m);
}

/* While this process is in the guard a child does not get past its open. */
static inline void the_guard_keeps_others_out(void)
{
    alps_map m;
    path_to("guarded");
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        backend->close(&m); // the guard stays with the parent, who has it open
        alarm(60);
        _exit(child_opens_and_closes());
    }
    usleep(100000);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(backend->unguard(&m), 0);
    int status = 1;
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    close_and_remove(&m);
}

static inline int child_opens_what_is_named(void)
{
    alps_map m;
    if (try_open(&m, ALPS_CREATE) || m.length != 0)
        return 1;
    return !alps_fd_named_(m.fd, file) || backend->close(&m);
}

/* Removed, or replaced, while an opener waits for the guard. */
static inline void what_vanished_meanwhile_is_made_anew(void)
{
    alps_map m;
    int status = 1;
    path_to("vanished");
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 4096), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        backend->close(&m);
        alarm(60);
        _exit(child_opens_what_is_named());
    }
    usleep(100000);
    CHECK_EQ(unlink(file), 0);
    CHECK_EQ(backend->close(&m), 0);
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    CHECK_EQ(backend->remove(path), 0);
}

static inline int child_stays_in_the_guard(void)
{
    static alps_map m;
    return try_open(&m, ALPS_CREATE);
}

static inline void a_killed_process_leaves_the_guard(void)
{
    alps_map m;
    path_to("killed");
    pid_t pid = hold_in_child(child_stays_in_the_guard);
    kill_child(pid);
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    close_and_remove(&m);
}

static inline void a_lease_has_one_holder(void)
{
    alps_map a, b;
    path_to("leased");
    CHECK_EQ(open_whole(&a, ALPS_CREATE, 4096), 0);
    CHECK_EQ(open_whole(&b, 0, 0), 0);
    CHECK_EQ(backend->leased(&b, ~0u), 0);
    CHECK_EQ(backend->lease(&a, 0), 0);
    CHECK_EQ(backend->lease(&a, 4095), 0);
    CHECK_EQ(backend->leased(&b, 0), 1);
    CHECK_EQ(backend->leased(&b, 1), 0);
    CHECK_EQ(backend->leased(&b, 4095), 1);
    CHECK_EQ(backend->leased(&b, ~0u), 1);
    CHECK_EQ(backend->leased(&a, 0), 0); // nobody else
    CHECK_EQ(backend->leased(&a, ~0u), 0);
    CHECK_EQ(backend->lease(&b, 0), ALPS_EBUSY);
    CHECK_EQ(backend->lease(&b, 1), 0);
    CHECK_EQ(backend->unlease(&a, 0), 0);
    CHECK_EQ(backend->leased(&b, 0), 0);
    CHECK_EQ(backend->lease(&b, 0), 0);
    CHECK_EQ(backend->close(&a), 0);
    CHECK_EQ(backend->leased(&b, 4095), 0);
    close_and_remove(&b);
}

static inline int child_takes_leases(void)
{
    static alps_map m;
    return open_whole(&m, 0, 0) || backend->lease(&m, 3) ||
           backend->lease(&m, 4);
}

static inline void a_killed_process_loses_its_leases(void)
{
    alps_map m;
    path_to("orphaned");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    pid_t pid = hold_in_child(child_takes_leases);
    CHECK_EQ(backend->leased(&m, 3), 1);
    CHECK_EQ(kill(pid, SIGSTOP), 0); // one that sleeps keeps them
    CHECK_EQ(backend->leased(&m, 4), 1);
    kill_child(pid);
    CHECK_EQ(backend->leased(&m, 3), 0);
    CHECK_EQ(backend->leased(&m, 4), 0);
    CHECK_EQ(backend->leased(&m, ~0u), 0);
    close_and_remove(&m);
}

static inline void an_open_medium_is_not_removed(void)
{
    alps_map a, b;
    path_to("kept");
    CHECK_EQ(open_whole(&a, ALPS_CREATE, 4096), 0);
    CHECK_EQ(backend->remove(path), ALPS_EBUSY);
    CHECK_EQ(open_whole(&b, ALPS_READ_ONLY, 0), 0);
    CHECK_EQ(backend->close(&a), 0);
    CHECK_EQ(backend->remove(path), ALPS_EBUSY);
    close_and_remove(&b);
    CHECK_EQ(backend->remove(path), ALPS_ENOENT);
}

/* Whether the pages at `p` may be written, as the system tells it. */
static inline int writable(const void *p)
{
    char line[256];
    int may = -1;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        char *end;
        unsigned long from = strtoul(line, &end, 16);
        unsigned long to = strtoul(end + 1, &end, 16);
        if (from <= (unsigned long)p && (unsigned long)p < to)
            may = end[2] == 'w';
    }
    if (maps)
        fclose(maps);
    return may;
}

static inline void read_only_never_writes(void)
{
    alps_map m;
    struct stat before, after;
    struct timespec old[2] = {{1000000000, 1}, {1000000000, 1}};
    path_to("read");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 20000), 0);
    memset(m.base, 0x5a, 20000);
    CHECK_EQ(backend->sync(&m, 0, 20000), 0);
    CHECK_EQ(futimens(m.fd, old), 0);
    CHECK(fstat(m.fd, &before) == 0);
    CHECK_EQ(backend->close(&m), 0);

    CHECK_EQ(open_whole(&m, ALPS_READ_ONLY, 0), 0);
    CHECK_EQ(writable(m.base), 0);
    CHECK_EQ(backend->resize(&m, 40000), ALPS_EREADONLY);
    CHECK_EQ(backend->resize(&m, 20000), ALPS_EREADONLY);
    CHECK_EQ(backend->punch(&m, 0, 4096), ALPS_EREADONLY);
    CHECK_EQ(backend->lease(&m, 0), ALPS_EREADONLY);
    CHECK_EQ(backend->leased(&m, 0), 0);
    CHECK_EQ(backend->sync(&m, 0, 20000), 0);
    int same = 1;
    for (int i = 0; i < 20000; i++)
        same &= m.base[i] == 0x5a;
    CHECK(same);
    CHECK(fstat(m.fd, &after) == 0);
    CHECK_EQ(after.st_mtime, before.st_mtime);
    CHECK_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    CHECK_EQ(after.st_blocks, before.st_blocks);
    close_and_remove(&m);
}
