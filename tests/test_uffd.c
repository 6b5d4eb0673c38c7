/* test_uffd.c -- faults that are told to a thread
 *
 * What only the engine userfaultfd does: system calls into what is not in
 * memory, no handler, who may have it, systems that have less of it. What it
 * does as rewire does it is in test_pager.c, test_paged.c, test_outgrow.c,
 * test_capture.c and test_spill.c. */
#define _GNU_SOURCE 1 // O_DIRECT, vmsplice
#include <errno.h>

/* What the system has: features that are kept from the library. */
static unsigned long long masked;  // ALPS_UFFD_HAS_...
static volatile int bad_fill;      // an errno for the next fillings, or 0
static volatile int busy_moves;    // every second one
static volatile unsigned no_moves; // so many of the next ones
static volatile unsigned long moves;

static long masked_call(int fd, unsigned long what, void *with);
#define ALPS_UFFD_CALL(fd, what, with) \
  masked_call(fd, (unsigned long)(what), (void *)(with))

#include "pages.h"
#include "words.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/uio.h>

/* Half of it is filled, and then there is an error. */
static long filled_in_part(int fd, unsigned long what, alps_uffd_filling *f,
                           int err)
{
    uint64_t n = f->n;
    if (n <= 8192 && err == EAGAIN)
        return syscall(SYS_ioctl, fd, what, f);
    f->n = n / 2 / 4096 * 4096;
    if (f->n)
        syscall(SYS_ioctl, fd, what, f);
    f->n = n;
    errno = err;
    return -1;
}

static long masked_call(int fd, unsigned long what, void *with)
{
    moves += what == ALPS_UFFD_MOVE_;
    if (what == ALPS_UFFD_MOVE_ && no_moves) {
        no_moves--;
        errno = EBUSY;
        return -1;
    }
    if (what == ALPS_UFFD_MOVE_ && busy_moves && moves % 2)
        return filled_in_part(fd, what, (alps_uffd_filling *)with, EBUSY);
    if (bad_fill && (what == ALPS_UFFD_COPY_ || what == ALPS_UFFD_MOVE_))
        return filled_in_part(fd, what, (alps_uffd_filling *)with, bad_fill);
    long rc = syscall(SYS_ioctl, fd, what, with);
    if (!rc && what == ALPS_UFFD_API_)
        ((alps_uffd_api *)with)->features &= ~masked;
    return rc;
}

NOBODY_WATCHES_THE_MEDIUM

/* A file of 4 MiB, each byte of it known, and none in memory. */
static unsigned char known(uint64_t at)
{
    return (unsigned char)(at * 7 + at / 4096);
}

static unsigned char *known_file(const char *name, const alps_options *o)
{
    unsigned char *bytes = (unsigned char *)malloc(4 * MIB);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        bytes[i] = known(i);
    path_to(name);
    file_make(bytes, 4 * MIB);
    free(bytes);
    return (unsigned char *)alps_umalloc_(the_path, 4 * MIB, o, NULL);
}

/* How many of [from, to) are not what they were. */
static int unknown(const unsigned char *p, uint64_t from, uint64_t to)
{
    int bad = 0;
    for (uint64_t i = from; i < to; i++)
        bad += p[i] != known(i);
    return bad;
}

static void forget(unsigned char *p)
{
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* ---- who may have it ----------------------------------------------------- */

static void without_a_handler_it_is_taken_by_itself(void)
{
    alps_options o = paged(0);
    struct sigaction before, now;
    sigaction(SIGSEGV, NULL, &before);
    o.engine = 0;
    unsigned char *p = known_file("itself", &o);
    if (!CHECK(p != NULL))
        return;
    CHECK_EQ(pager_of(p)->engine, ALPS_ENGINE_USERFAULTFD);
    CHECK(strstr(pager_of(p)->why, "handler") != NULL);
    CHECK_EQ(pager_of(p)->uffd.part, 0);
    sigaction(SIGSEGV, NULL, &now);
    CHECK(before.sa_sigaction == now.sa_sigaction);
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    CHECK(pager_of(p)->count.evictions > 40);
    forget(p);
}

/* From now on these are refused: userfaultfd, and with `device` also that of
 * /dev. */
static int refuse(int device)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 4, 0, SYS_userfaultfd},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, device ? SYS_ioctl : ~0u},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0,
         offsetof(struct seccomp_data, args) + 8},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, (unsigned)ALPS_UFFD_NEW_},
        {BPF_JMP | BPF_JA, 1, 0, 0},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int become_nobody(void)
{
    return geteuid() == 0 &&
           (chmod(folder, 0777) || setgid(65534) || setuid(65534));
}

/* What a region gets that is larger than its memory: 0, or where it is not as
 * it should be. */
static int gets(unsigned asked, unsigned engine, const char *word)
{
    alps_options o = paged(0);
    o.engine = asked;
    errno = 0;
    unsigned char *p =
        (unsigned char *)alps_umalloc_(the_path, 4 * MIB, &o, NULL);
    if (!engine)
        return p || errno != ENOTSUP ? 10 : 0;
    if (!p)
        return 11;
    if (pager_of(p)->engine != engine || !strstr(pager_of(p)->why, word))
        return 12;
    for (uint64_t i = 0; i < 64; i++)
        p[i * 65536] = (unsigned char)(i + 1);
    for (uint64_t i = 0; i < 64; i++)
        if (p[i * 65536] != i + 1)
            return 13;
    return alps_ufree(p) ? 14 : 0;
}

static int child_is_refused_the_call(void)
{
    if (refuse(0))
        return 77;
    return gets(0, ALPS_ENGINE_USERFAULTFD, "handler"); // by way of /dev
}

static int child_is_refused_both(void)
{
    if (refuse(1))
        return 77;
    int bad = gets(0, ALPS_ENGINE_KERNEL, "refuses userfaultfd");
    return bad ? bad : gets(ALPS_ENGINE_USERFAULTFD, 0, NULL);
}

static int child_is_nobody(void)
{
    if (become_nobody())
        return 77;
    int bad = gets(0, ALPS_ENGINE_KERNEL, "refuses userfaultfd");
    return bad ? bad
               : gets(ALPS_ENGINE_USERFAULTFD, ALPS_ENGINE_USERFAULTFD,
                      "system calls");
}

/* Of nobody, whose system calls are not told of. */
static int child_is_nobody_and_calls(void)
{
    alps_options o = paged(0);
    if (become_nobody())
        return 77;
    int zero = open("/dev/zero", O_RDONLY);
    unsigned char *p =
        (unsigned char *)alps_umalloc_(the_path, 4 * MIB, &o, NULL);
    if (!p || !pager_of(p)->uffd.part)
        return 1;
    if (read(zero, p + MIB, 100) != -1 || errno != EFAULT)
        return 2;
    p[MIB] = 1;
    if (read(zero, p + MIB, 100) != 100 || p[MIB])
        return 3;
    return alps_ufree(p) ? 4 : 0;
}

static void who_may_not_have_it_is_told_why(void)
{
    path_to("refused");
    CHECK_EQ(in_child(child_is_refused_the_call), 0);
    CHECK_EQ(in_child(child_is_refused_both), 0);
    unlink(the_path);
    CHECK_EQ(in_child(child_is_nobody), 0);
    CHECK_EQ(in_child(child_is_nobody_and_calls), 0);
    unlink(the_path);
}

static void a_system_that_has_less_of_it_is_made_do(void)
{
    static const unsigned long long less[] = {
        0, ALPS_UFFD_HAS_MOVE_, ALPS_UFFD_HAS_POISON_,
        ALPS_UFFD_HAS_MOVE_ | ALPS_UFFD_HAS_POISON_};
    path_to("less");
    masked = ALPS_UFFD_HAS_PROTECT_;
    CHECK_EQ(gets(ALPS_ENGINE_USERFAULTFD, 0, NULL), 0);
    CHECK_EQ(gets(0, ALPS_ENGINE_KERNEL, "refuses userfaultfd"), 0);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned eviction = 0; eviction <= ALPS_EVICTIONS; eviction++) {
            alps_options o = paged(eviction);
            uint64_t state = eviction + 5;
            int bad = 0;
            masked = less[i];
            moves = 0;
            unsigned char *p = known_file("less", &o);
            CHECK_EQ(pager_of(p)->uffd.has & masked, 0);
            for (int k = 0; k < 300; k++) {
                uint64_t at = rnd(&state) % (4 * MIB);
                bad += p[at] != known(at);
                p[at] = known(at);
            }
            bad += unknown(p, MIB, MIB + 300000);
            CHECK_EQ(bad, 0);
            CHECK_EQ(moves > 0, !(masked & ALPS_UFFD_HAS_MOVE_));
            CHECK_EQ(alps_writeback_count_(pager_of(p)).evictions > 100, 1);
            forget(p);
        }
    masked = 0;
}

/* ---- system calls -------------------------------------------------------- */

/* A file with bytes that are known, on a disk where there is one: what goes past
 * the cache there is stored by the device. */
static int other_file(int flags)
{
    char name[] = "/tmp/alps-test-XXXXXX";
    unsigned char *bytes = (unsigned char *)malloc(4 * MIB);
    int fd = mkstemp(name);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        bytes[i] = (unsigned char)(known(i) + 1);
    CHECK(write(fd, bytes, 4 * MIB) == 4 * (ssize_t)MIB);
    close(fd);
    fd = open(name, flags);
    unlink(name);
    free(bytes);
    return fd;
}

static void system_calls_read_and_write_what_is_not_in_memory(void)
{
    alps_options o = paged(0);
    unsigned char *p = known_file("calls", &o);
    unsigned char *copy = (unsigned char *)malloc(4 * MIB);
    int fd = other_file(O_RDWR), bad = 0;
    CHECK(p && fd >= 0);
    CHECK_EQ(pwrite(fd, p, 4 * MIB, 0), 4 * (ssize_t)MIB); // all of it
    CHECK_EQ(pread(fd, copy, 4 * MIB, 0), 4 * (ssize_t)MIB);
    CHECK_EQ(unknown(copy, 0, 4 * MIB), 0);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        copy[i] = (unsigned char)(known(i) + 3);
    CHECK_EQ(pwrite(fd, copy, 4 * MIB, 0), 4 * (ssize_t)MIB);
    CHECK_EQ(pread(fd, p, 4 * MIB, 0), 4 * (ssize_t)MIB);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        bad += p[i] != (unsigned char)(known(i) + 3);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_usync(p), 0);
    CHECK(file_has(copy, 0, 4 * MIB));
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    struct iovec from = {p + MIB - 100, 200};
    CHECK_EQ(vmsplice(ends[1], &from, 1, 0), 200);
    CHECK_EQ(read(ends[0], p + 3 * MIB - 100, 200), 200);
    CHECK(!memcmp(p + 3 * MIB - 100, copy + MIB - 100, 200));
    close(ends[0]);
    close(ends[1]);
    close(fd);
    free(copy);
    forget(p);
}

static void system_calls_past_the_cache_find_it_too(void)
{
    alps_options o = paged(ALPS_EVICT_SFIFO);
    unsigned char *p = known_file("past", &o);
    int fd = other_file(O_RDWR | O_DIRECT), bad = 0;
    if (fd < 0) {
        forget(p);
        SKIP("this file system reads and writes by way of its cache only");
        return;
    }
    for (uint64_t at = 0; at < 4 * MIB; at += 256 * KIB)
        CHECK_EQ(pread(fd, p + at, 256 * KIB, (off_t)at),
                 256 * (ssize_t)KIB); // memory is less
    for (uint64_t i = 0; i < 4 * MIB; i++)
        bad += p[i] != (unsigned char)(known(i) + 1);
    CHECK_EQ(bad, 0);
    for (uint64_t at = 0; at < 4 * MIB; at += 256 * KIB)
        CHECK_EQ(pwrite(fd, p + at, 256 * KIB, (off_t)(4 * MIB - at)),
                 256 * (ssize_t)KIB);
    CHECK_EQ(pread(fd, p, 256 * KIB, 4 * (off_t)MIB), 256 * (ssize_t)KIB);
    for (uint64_t i = 0; i < 256 * KIB; i++)
        bad += p[i] != (unsigned char)(known(i) + 1);
    CHECK_EQ(bad, 0);
    close(fd);
    forget(p);
}

static void *churns(void *number)
{
    uint64_t state = (uintptr_t)number + 3, bad = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint64_t at = 2 * MIB + rnd(&state) % (2 * MIB);
        bad += ((volatile unsigned char *)shared)[at] != known(at);
    }
    return (void *)(uintptr_t)bad;
}

/* The system stores to pages that were there when it began: they do not go
 * before it ends. */
static void what_the_system_stores_to_stays(void)
{
    alps_options o = paged(ALPS_EVICT_RANDOM);
    pthread_t thread[2];
    void *late = NULL;
    o.segment = 16 * KIB; // so that there are frames for all
    shared = known_file("stores", &o);
    int fd = other_file(O_RDWR | O_DIRECT), bad = 0;
    if (fd < 0 || !(pager_of(shared)->uffd.has & ALPS_UFFD_HAS_MOVE_)) {
        close(fd);
        forget(shared);
        SKIP("no file past the cache, or no pages that tell who has them");
        return;
    }
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (uintptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, churns, (void *)i), 0);
    for (uint64_t at = 0; at < 2 * MIB; at += 128 * KIB)
        CHECK_EQ(pread(fd, shared + at, 128 * KIB, (off_t)at),
                 128 * (ssize_t)KIB);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(thread[i], &late), 0);
        CHECK_EQ((uintptr_t)late, 0);
    }
    for (uint64_t i = 0; i < 2 * MIB; i++)
        bad += shared[i] != (unsigned char)(known(i) + 1);
    CHECK_EQ(bad, 0);
    close(fd);
    forget(shared);
}

/* ---- threads ------------------------------------------------------------- */

/* Also where pages cannot be moved: then they are written where they are, which
 * nobody may store to meanwhile. */
static void threads_lose_no_word_on_any_system(void)
{
    for (unsigned turn = 0; turn < 4; turn++) {
        alps_options o = paged(turn < 2 ? ALPS_EVICT_SFIFO : ALPS_EVICT_RANDOM);
        shared_segment = o.segment = 16 * KIB;
        o.memory = 24 * o.segment;
        masked = turn % 2 ? ALPS_UFFD_HAS_MOVE_ : 0;
        path_to("threads");
        shared = (unsigned char *)alps_umalloc_(the_path, places * o.segment,
                                                &o, NULL);
        if (!CHECK(shared != NULL))
            return;
        threads_work(1);
        CHECK(alps_writeback_count_(pager_of(shared)).evictions > 100);
        CHECK(pager_of(shared)->threads > 1); // so more segments stay
        forget(shared);
    }
    masked = 0;
}

/* ---- order --------------------------------------------------------------- */

static void a_sync_has_what_this_thread_has_just_stored(void)
{
    alps_options o = paged(0);
    int bad = 0;
    unsigned char *p = known_file("just", &o);
    int fd = open(the_path, O_RDONLY);
    for (uint64_t i = 0; i < 600; i++) {
        unsigned char got = 0, want = (unsigned char)(i | 1);
        uint64_t at = i * 37 % 64 * 65536 + i;
        p[at] = want;
        bad += alps_usync(p) != 0 || pread(fd, &got, 1, (off_t)at) != 1 ||
               got != want;
    }
    CHECK_EQ(bad, 0);
    close(fd);
    forget(p);
}

/* ---- errors -------------------------------------------------------------- */

static sigjmp_buf jump;
static volatile int caught;

static void catches(int n, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    caught = n;
    siglongjmp(jump, 1);
}

static int signal_of(volatile unsigned char *p, int write)
{
    caught = 0;
    if (!sigsetjmp(jump, 1)) {
        if (write)
            *p = 9;
        else
            (void)*p;
    }
    return caught;
}

static void catch_bus(struct sigaction *old)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_sigaction = catches;
    act.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &act, old);
}

/* It may take a moment. */
static int comes_back(volatile unsigned char *p)
{
    for (int i = 0; i < 2000 && signal_of(p, 0); i++)
        usleep(1000);
    return !caught;
}

static void what_cannot_be_read_is_a_signal_and_comes_back(void)
{
    struct sigaction old;
    alps_options o = paged(0);
    catch_bus(&old);
    for (int poison = 0; poison < 2; poison++) {
        masked = poison ? 0 : ALPS_UFFD_HAS_POISON_;
        unsigned char *p = known_file("unread", &o);
        int zero = open("/dev/zero", O_RDONLY);
        bad_read = EIO;
        for (uint64_t i = 0; i < 40; i++) // more than are kept in mind
            CHECK_EQ(signal_of(p + MIB + i * 4096 + 5, i % 2 != 0), SIGBUS);
        errno = 0;
        CHECK(read(zero, p + 2 * MIB, 10) == -1 && errno == EFAULT);
        bad_read = 0;
        for (uint64_t i = 0; poison && i < 40; i++)
            CHECK(comes_back(p + MIB + i * 4096 + 5));
        CHECK_EQ(unknown(p, 0, MIB), 0);
        CHECK_EQ(unknown(p, poison ? MIB : 3 * MIB, 4 * MIB), 0);
        close(zero);
        forget(p);
    }
    masked = 0;
    sigaction(SIGBUS, &old, NULL);
}

/* Frames that have pages at their place in the pool, and are not to. */
static int strays(alps_pager *x)
{
    sigset_t old;
    int bad = 0;
    alps_latch_enter_(&x->latch, &old);
    for (uint32_t i = 0; x->pool.write && i < x->pool.n; i++) {
        const alps_page_frame *f = &x->pool.frame[i];
        unsigned char there[16]; // pages of 64 KiB
        if (f->state == ALPS_FRAME_HIDDEN || f->dirty == ALPS_KEPT_)
            continue;
        mincore(x->pool.write + i * x->pool.segment, x->pool.segment, there);
        for (unsigned k = 0; k < sizeof there; k++)
            bad += there[k] & 1;
    }
    alps_latch_leave_(&x->latch, &old);
    return bad;
}

static void a_store_that_fails_leaves_no_pages_behind(void)
{
    struct sigaction old;
    alps_options o = paged(ALPS_EVICT_FIFO);
    catch_bus(&old);
    unsigned char *p = known_file("strays", &o);
    for (uint64_t i = 0; i < 64; i++)
        p[i * 65536] = known(i * 65536);
    CHECK_EQ(strays(pager_of(p)), 0);
    bad_read = EIO;
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(signal_of(p + i * 65536, 1), SIGBUS);
    bad_read = 0;
    CHECK_EQ(strays(pager_of(p)), 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK(comes_back(p + i * 65536));
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    CHECK_EQ(strays(pager_of(p)), 0);
    forget(p);
    sigaction(SIGBUS, &old, NULL);
}

/* What is brought before it is touched goes to pages that were kept. */
static void a_guess_that_fails_leaves_no_pages_behind(void)
{
    struct sigaction old;
    alps_options o = paged(ALPS_EVICT_FIFO);
    o.memory = 2 * MIB;
    o.readahead = 2;
    catch_bus(&old);
    unsigned char *p = known_file("guesses", &o);
    alps_pager *x = pager_of(p);
    if (!(x->uffd.has & ALPS_UFFD_HAS_MOVE_)) {
        CHECK_EQ(x->ahead.most, 0);
        forget(p);
        SKIP("this system moves no pages");
        return;
    }
    for (uint64_t i = 0; i < 64; i++) {
        p[i * 65536] = known(i * 65536);
        guesses_are_there(x);
    }
    CHECK(alps_writeback_count_(x).prefetches > 10);
    bad_read = EIO;
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_EQ(signal_of(p + i * 65536, 1), SIGBUS);
        usleep(2000); // the next one is tried
    }
    bad_read = 0;
    CHECK_EQ(strays(x), 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK(comes_back(p + i * 65536));
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    CHECK_EQ(strays(x), 0);
    forget(p);
    sigaction(SIGBUS, &old, NULL);
}

/* Nothing can be poisoned there: an empty file takes the place of a segment
 * behind the end, but not of one that is there in part; and goes again. */
static void what_is_behind_the_end_comes_when_the_end_does(void)
{
    struct sigaction old;
    catch_bus(&old);
    for (int poison = 0; poison < 2; poison++) {
        alps_heap h;
        alps_options o = paged(0);
        int bad = 0;
        masked = poison ? 0 : ALPS_UFFD_HAS_POISON_;
        path_to("end");
        o.size = 2 * MIB;
        o.grow = ALPS_GROW_NEVER;
        if (!CHECK_EQ(alps_open(&h, the_path, &o), 0))
            break;
        unsigned char *end = h.core.map.base + h.core.map.size;
        CHECK_EQ(signal_of(end + 100000, 0), SIGBUS);
        CHECK_EQ(signal_of(end + 200000, 1), SIGBUS);
        CHECK_EQ(alps_grow(&h, 4 * MIB), 0);
        CHECK(comes_back(end + 100000) && comes_back(end + 200000));
        CHECK_EQ(signal_of(end + 200000, 1), 0);
        CHECK_EQ(alps_check(&h, NULL), 0);
        CHECK_EQ(alps_close(&h), 0);
        CHECK_EQ(alps_remove(the_path), 0);

        o = paged(0);
        unsigned char *p = (unsigned char *)alps_umalloc_(
            the_path, 3 * 65536 + 5000, &o, NULL);
        CHECK_EQ(signal_of(p + 3 * 65536 + 20000, 0), poison ? SIGBUS : 0);
        memset(p + 3 * 65536, 5, 5000);
        for (uint64_t i = 0; i < 5000; i++)
            bad += signal_of(p + 3 * 65536 + i, 0) || p[3 * 65536 + i] != 5;
        CHECK_EQ(bad, 0);
        forget(p);
    }
    masked = 0;
    sigaction(SIGBUS, &old, NULL);
}

/* The system cuts fillings short, or has no memory for them. */
static void what_cannot_be_filled_is_not_shown_in_part(void)
{
    struct sigaction old;
    alps_options o = paged(ALPS_EVICT_SFIFO);
    catch_bus(&old);
    unsigned char *p = known_file("unfilled", &o);
    bad_fill = EAGAIN;
    CHECK_EQ(unknown(p, 0, MIB / 2), 0); // in halves
    bad_fill = ENOMEM;
    CHECK_EQ(signal_of(p + 3 * MIB + 40000, 0), SIGBUS);
    CHECK_EQ(signal_of(p + 3 * MIB + 65536 + 7, 1), SIGBUS);
    bad_fill = 0;
    CHECK(comes_back(p + 3 * MIB + 40000));
    CHECK(comes_back(p + 3 * MIB + 65536 + 7));
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    forget(p);
    sigaction(SIGBUS, &old, NULL);
}

/* Pages that the system has in hand do not move: then all of them stay, and
 * another segment goes. */
static void what_cannot_be_moved_stays(void)
{
    unsigned char *model = (unsigned char *)malloc(4 * MIB);
    for (unsigned eviction = 0; eviction <= ALPS_EVICTIONS; eviction++) {
        alps_options o = paged(eviction);
        uint64_t state = eviction + 1;
        int bad = 0;
        unsigned char *p = known_file("unmoved", &o);
        for (uint64_t i = 0; i < 4 * MIB; i++)
            model[i] = known(i);
        busy_moves = 1;
        for (int i = 0; i < 300; i++) {
            uint64_t at = rnd(&state) % (4 * MIB);
            if (rnd(&state) % 3) // to what is not there, or is hidden
                p[at] = model[at] = (unsigned char)i;
            else
                bad += p[at] != model[at];
        }
        busy_moves = 0;
        CHECK_EQ(bad, 0);
        CHECK(!memcmp(p, model, 4 * MIB));
        CHECK_EQ(alps_ufree(p), 0);
        CHECK(file_has(model, 0, 4 * MIB));
        unlink(the_path);
    }
    free(model);
}

/* Part of a segment is punched that is protected: the library stores to it. */
static void what_is_punched_is_zero_where_it_is_protected(void)
{
    alps_options o = paged(0);
    int bad = 0;
    unsigned char *p = known_file("punched", &o);
    CHECK_EQ(unknown(p, 0, 3 * 65536), 0); // to be read
    alarm(20);
    alps_writeback_forget_(pager_of(p), 65536 + 4096, 8192);
    alarm(0);
    for (uint64_t i = 65536 + 4096; i < 65536 + 12288; i++)
        bad += p[i] != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(unknown(p, 65536, 65536 + 4096), 0);
    CHECK_EQ(unknown(p, 65536 + 12288, 4 * MIB), 0);
    for (uint64_t i = 65536 + 4096; i < 65536 + 12288; i++)
        bad += p[i] != 0; // also when it has gone and come again
    CHECK_EQ(bad, 0);
    forget(p);
}

/* All that might go is in the system's hands, for a moment. */
static void what_is_busy_is_waited_for(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    unsigned char *p = known_file("busy", &o);
    for (uint64_t i = 0; i < 64; i++)
        p[i * 65536] = known(i * 65536); // all is dirty, and memory full
    no_moves = 300;
    CHECK_EQ(p[5], known(5));
    CHECK_EQ(no_moves, 0);
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    forget(p);
}

/* ---- others -------------------------------------------------------------- */

static int child_touches(void)
{
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(SIGSEGV, &plain, NULL);
    shared[5] = 99;
    return 0;
}

static int child_does_nothing(void)
{
    const alps_uffd *u = &pager_of(shared)->uffd;
    if (!msync(u->bounce, 4096, MS_ASYNC) || errno != ENOMEM ||
        !msync(u->guess, 4096, MS_ASYNC) || errno != ENOMEM)
        return 2; // it shares pages with the parent
    usleep(50000);
    return alps_usync(shared) == ALPS_EFORK ? 0 : 1;
}

/* A child that has the descriptor changes nothing. */
static void a_child_has_none_of_it(void)
{
    alps_options o = paged(0);
    o.memory = 2 * MIB;
    o.readahead = 1;
    shared = known_file("child", &o);
    shared[5] = 1;
    int status = in_child(child_touches);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_does_nothing());
    CHECK_EQ(unknown(shared, 6, 4 * MIB), 0); // while the child is there
    for (uint64_t i = 0; i < 64; i++)
        shared[i * 65536 + 5] = 2;
    CHECK_EQ(alps_ufree(shared), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    unsigned char want = 2;
    CHECK(file_has(&want, 65536 + 5, 1));
    unlink(the_path);
}

static volatile sig_atomic_t handled;

static void touches(int n)
{
    (void)n;
    handled = 1 + shared[3 * MIB];
}

/* No thread of the process lets the signal in, but for those that were there
 * before, if they do: and who serves faults must not have any of its own. */
static int child_is_sent_a_signal(void)
{
    alps_options o = paged(0);
    struct sigaction act;
    sigset_t one;
    memset(&act, 0, sizeof act);
    act.sa_handler = touches;
    sigaction(SIGUSR1, &act, NULL);
    o.write_back = 1000;
    alarm(5);
    shared = known_file("signals", &o);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    kill(getpid(), SIGUSR1);
    usleep(20000);
    if (unknown(shared, 0, 4 * MIB))
        return 1;
    if (handled)
        return 2;
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    return handled != 1 + known(3 * MIB) || alps_ufree(shared) ? 3 : 0;
}

static void no_thread_of_ours_takes_a_signal(void)
{
    path_to("signals");
    CHECK_EQ(in_child(child_is_sent_a_signal), 0);
    unlink(the_path);
}

/* Locked as it comes, and not all at once. */
static void what_is_locked_goes_all_the_same(void)
{
    alps_options o = paged(ALPS_EVICT_FIFO);
    unsigned char there[16];
    int left = 0;
    unsigned char *p = known_file("goes", &o);
    if (syscall(SYS_mlock2, p, 65536, 1L /* MLOCK_ONFAULT */)) {
        forget(p);
        SKIP("this process may lock nothing");
        return;
    }
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    CHECK_EQ(alps_segment_frame_(pager_of(p), 0), ALPS_NO_FRAME);
    CHECK_EQ(mincore(p, 65536, there), 0);
    for (unsigned i = 0; i < 16; i++)
        left += there[i] & 1;
    CHECK_EQ(left, 0);
    p[5] = known(5);
    CHECK_EQ(unknown(p, 0, 4 * MIB), 0);
    munlock(p, 65536);
    forget(p);
}

static void all_that_is_locked_in_memory_is_paged_as_well(void)
{
    alps_options o = paged(0);
    unsigned char *p = known_file("locked", &o);
    p[0] = 0;
    if (mlock(p, 65536)) {
        forget(p);
        SKIP("this process may lock nothing");
        return;
    }
    CHECK_EQ(unknown(p, 1, 4 * MIB), 0);
    CHECK_EQ(unknown(p, 1, MIB), 0);
    munlock(p, 65536);
    forget(p);
}

static void the_heap_needs_no_handler(void)
{
    alps_heap h;
    alps_options o = paged(0);
    alps_description d;
    int bad = 0;
    path_to("heap");
    o.size = 8 * MIB;
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(alps_describe(&h, &d), 0);
    CHECK_EQ(strcmp(d.engine, "userfaultfd"), 0);
    unsigned char **p =
        (unsigned char **)malloc(3000 * sizeof(unsigned char *));
    for (int i = 0; i < 3000; i++) {
        p[i] = (unsigned char *)alps_alloc(&h, 2000);
        if (CHECK(p[i] != NULL))
            memset(p[i], i, 2000);
    }
    for (int i = 0; i < 3000; i++)
        bad += p[i][0] != (unsigned char)i || p[i][1999] != (unsigned char)i ||
               alps_free(&h, p[i]) != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    free(p);
    CHECK_EQ(alps_close(&h), 0);
    o.flags = ALPS_READ_ONLY;
    CHECK_EQ(alps_open(&h, the_path, &o), ALPS_EUNSUPPORTED);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void an_emulator_or_this_process_has_none(void)
{
    SKIP("no userfaultfd that tells of system calls; or ThreadSanitizer, which "
         "does not see that a fault waits for a thread");
}

int main(void)
{
    the_engine = ALPS_ENGINE_USERFAULTFD;
#ifndef CHECK_EMULATED
    if (may_be_told() && !UNDER_TSAN) {
        folder_make();
        RUN(without_a_handler_it_is_taken_by_itself);
        RUN(who_may_not_have_it_is_told_why);
        RUN(a_system_that_has_less_of_it_is_made_do);
        RUN(system_calls_read_and_write_what_is_not_in_memory);
        RUN(system_calls_past_the_cache_find_it_too);
        RUN(what_the_system_stores_to_stays);
        RUN(threads_lose_no_word_on_any_system);
        RUN(a_sync_has_what_this_thread_has_just_stored);
        RUN(what_cannot_be_read_is_a_signal_and_comes_back);
        RUN(a_store_that_fails_leaves_no_pages_behind);
        RUN(a_guess_that_fails_leaves_no_pages_behind);
        RUN(what_is_behind_the_end_comes_when_the_end_does);
        RUN(what_cannot_be_filled_is_not_shown_in_part);
        RUN(what_cannot_be_moved_stays);
        RUN(what_is_punched_is_zero_where_it_is_protected);
        RUN(what_is_busy_is_waited_for);
        RUN(a_child_has_none_of_it);
        RUN(no_thread_of_ours_takes_a_signal);
        RUN(what_is_locked_goes_all_the_same);
        RUN(all_that_is_locked_in_memory_is_paged_as_well);
        RUN(the_heap_needs_no_handler);
        folder_remove();
        return check_end("uffd");
    }
#endif
    RUN(an_emulator_or_this_process_has_none);
    return check_end("uffd");
}
