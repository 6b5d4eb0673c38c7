/* torn.h -- a disk that loses power, and calls that fail, under a checkpoint
 *
 * What test_torn.c and test_spill.c share: the files of a region are watched,
 * each write and each sync is seen before it happens. Before the include:
 * TORN_PAGED, where the region is larger than its memory. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t torn_write(int fd, const void *p, size_t n, off_t off);
static ssize_t torn_writev(int fd, const struct iovec *v, int n, off_t off);
static int torn_sync(int fd);
static int torn_name_sync(int fd);
static int torn_create(int dir, const char *name, int how, ...);
static int torn_ioctl(int fd, unsigned long what, void *p);
static int torn_remove(int dir, const char *name, int how);
static int torn_cut(int fd, off_t n);
static int torn_fill(sigset_t *set);
static long torn_call(long number, ...);

#define pwrite torn_write
#define pwritev torn_writev
#define fdatasync torn_sync
#define fsync torn_name_sync
#define openat torn_create
#define ioctl(fd, what, p) torn_ioctl(fd, what, (void *)(uintptr_t)(p))
#define unlinkat torn_remove
#define ftruncate torn_cut
#define sigfillset torn_fill
#define syscall(...) torn_call(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L)
#define ALPS_JOURNAL_MAX ((uint64_t)48 << 10)
#define ALPS_JOURNAL_AHEAD 3u
#define ALPS_CHECKPOINT_ROUNDS 2u
#ifdef TORN_PAGED
#  define ALPS_BACKEND ALPS_PAGED
#  define ALPS_FAULTS faults
#else
#  define ALPS_BACKEND ALPS_FILE
#endif
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"
#ifdef TORN_PAGED
ALPS_HANDLER(faults);
#endif
#undef pwrite
#undef pwritev
#undef fdatasync
#undef fsync
#undef openat
#undef ioctl
#undef unlinkat
#undef ftruncate
#undef sigfillset
#undef syscall

#include "check.h"

#define SECTOR 512u
#define REGION (240u << 10) // bytes of the region, about
#ifdef TORN_PAGED
#  define ROOM (1u << 20) // bytes of any file, at most
#  define SKIPS 5         // of so many calls one fails
#else
#  define ROOM (512u << 10)
#  define SKIPS 1
#endif
#define WRITES 4096u

/* ---- the disk */

struct write {
    uint32_t sector;
    unsigned char bytes[SECTOR]; // of it, afterwards
};

/* A file: what is on the disk for sure, what the system has, and the states in
 * between, oldest first. */
struct file {
    int there, named; // the system has it; the disk has its name for sure
    size_t length, now_length;
    unsigned char sure[ROOM], now[ROOM];
    unsigned n;
    struct write since[WRITES];
};

enum { HOME, JOURNAL };
struct disk {
    struct file file[2];
};

/* In memory that a clone of the process shares. */
struct shared {
    struct disk disk; // of the region under test
    struct disk nest; // of one that is being recovered
    unsigned long images, bad, nested;
};
static struct shared *count;
static struct disk *at; // the one that is watched; NULL: none
static char folder[160], region_path[200], image_path[200];

static void path_of(char *out, const char *base, int which)
{
    snprintf(out, 220, "%s%s", base, which == JOURNAL ? ".journal" : "");
}

static int which_file(int fd)
{
    char link[40], name[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = 0;
    return strstr(name, ".journal") ? JOURNAL : HOME;
}

/* ---- the model */

#define STATES 64
static unsigned char state[STATES][ROOM];
static size_t state_length[STATES];
static unsigned sure_state, states; // [sure_state, states) may be found

/* What is in a hole is nobody's business: it counts as zeroes. */
static void blank(const alps_handle *h, unsigned char *bytes)
{
    for (uint64_t i = 0; i < alps_extents_(h); i++) {
        alps_off off;
        uint64_t n = alps_hole_(h, i) ? alps_hole_at_(h, i, &off) : 0;
        if (n)
            memset(bytes + off, 0, n);
    }
}

static void remember(const alps_heap *h)
{
    if (states == STATES) {
        memmove(state[0], state[STATES / 2], sizeof state / 2);
        memmove(state_length, state_length + STATES / 2,
                sizeof state_length / 2);
        states -= STATES / 2;
        sure_state -= STATES / 2;
    }
    memcpy(state[states], h->core.map.base, h->core.map.size);
    memset(state[states] + ALPS_HOME_MARK_, 0, 8);
    blank(&h->core, state[states]);
    state_length[states++] = h->core.map.size;
}

static alps_heap heap;

/* ---- images */

static unsigned effort;
static unsigned seldom = 1;          // of so many writes one is looked at
static unsigned long calls, fail_at; // fails call number so and so
static int judges = 1;               // 0: crashes are not looked at
static int in_nest, lost_sync;       // kinds of syncs to leave out, as bits
static uint64_t dice = 88172645463325252ull;

static uint64_t throw_of(uint64_t n)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice * 0x2545f4914f6cdd1dull % n;
}

/* The same, for what does not concern the program: 1 of `n` times. */
static int chance(uint64_t n)
{
    static uint64_t looks = 2463534242u;
    looks ^= looks << 13;
    looks ^= looks >> 7;
    looks ^= looks << 17;
    return looks % n == 0;
}

static void put_file(const char *name, const unsigned char *p, size_t n)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
    if (fd < 0 || pwrite(fd, p, n, 0) != (ssize_t)n)
        abort();
    close(fd);
}

/* How a crash treats what is not sure: which state of each sector is kept. */
enum { NONE_KEPT, ALL_KEPT, ONE_LOST, ONE_KEPT, ANY_KEPT, KINDS };

static void make_file(const struct file *f, const char *base, int which,
                      int kind, unsigned chosen)
{
    static unsigned char bytes[ROOM];
    char name[220];
    path_of(name, base, which);
    int there = f->there;
    if (f->there != f->named)
        there = kind == ALL_KEPT   ? f->there
                : kind == ANY_KEPT ? (int)throw_of(2)
                                   : f->named;
    if (!there) {
        unlink(name);
        return;
    }
    size_t length = kind == NONE_KEPT ? f->length : f->now_length;
    memcpy(bytes, f->sure, ROOM);
    for (unsigned i = 0; i < f->n; i++) {
        int keep = kind == ALL_KEPT || (kind == ONE_LOST && i != chosen) ||
                   (kind == ONE_KEPT && i == chosen) ||
                   (kind == ANY_KEPT && throw_of(2));
        if (keep)
            memcpy(bytes + f->since[i].sector * (size_t)SECTOR,
                   f->since[i].bytes, SECTOR);
    }
    put_file(name, bytes, length);
}

static int found_one_of(const alps_handle *h)
{
    static unsigned char p[ROOM];
    size_t n = h->map.size;
    memcpy(p, h->map.base, n);
    blank(h, p);
    for (unsigned i = states; i-- > sure_state;)
        if (n == state_length[i] && !memcmp(p, state[i], ALPS_HOME_MARK_) &&
            !memcmp(p + ALPS_HOME_MARK_ + 8, state[i] + ALPS_HOME_MARK_ + 8,
                    n - ALPS_HOME_MARK_ - 8))
            return 1;
    return 0;
}

/* Opens what the crash left for reading, and compares. */
static void judge(void)
{
    alps_heap r;
    alps_options o;
    struct disk *watched = at;
    at = NULL;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    count->images++;
    int err = alps_open(&r, image_path, &o);
    if (err || !found_one_of(&r.core)) {
        if (!lost_sync && count->bad < 5)
            printf("  image %lu: %s, none of states %u to %u\n", count->images,
                   alps_strerror(err), sure_state, states);
        count->bad++;
    }
    if (!err)
        alps_close(&r);
    at = watched;
}

/* Takes the image up as a disk of its own. */
static void load(struct disk *d, const char *base)
{
    for (int which = HOME; which <= JOURNAL; which++) {
        struct file *f = &d->file[which];
        char name[220];
        path_of(name, base, which);
        int fd = open(name, O_RDONLY);
        memset(f->sure, 0, ROOM);
        f->there = f->named = fd >= 0;
        ssize_t n = fd < 0 ? 0 : pread(fd, f->sure, ROOM, 0);
        f->length = f->now_length = (size_t)n;
        memcpy(f->now, f->sure, ROOM);
        f->n = 0;
        if (fd >= 0)
            close(fd);
    }
}

/* Recovers the image by opening it for writing, with the power failing again. */
static void recover(void)
{
    static struct disk before;
    alps_heap h;
    alps_options o;
    char keep[200];
    memset(&o, 0, sizeof o);
    load(&count->nest, image_path);
    memcpy(&before, &count->nest, sizeof before);
    memcpy(keep, region_path, sizeof keep);
    // the image is written while it is recovered: recover a copy
    snprintf(region_path, sizeof region_path, "%s/nest", folder);
    for (int which = HOME; which <= JOURNAL; which++) {
        char name[220];
        path_of(name, region_path, which);
        if (before.file[which].there)
            put_file(name, before.file[which].sure, before.file[which].length);
        else
            unlink(name);
    }
    struct disk *watched = at;
    at = &count->nest;
    in_nest = 1;
    count->nested++;
    int err = alps_open(&h, region_path, &o);
    in_nest = 0;
    at = NULL;
    if (err) {
        if (!lost_sync && count->bad < 5)
            printf("  recovery: %s\n", alps_strerror(err));
        count->bad++;
    } else {
        alps_discard(&h);
    }
    at = watched;
    memcpy(region_path, keep, sizeof region_path);
}

static void image(int kind, const unsigned chosen[2])
{
    for (int which = HOME; which <= JOURNAL; which++)
        make_file(&at->file[which], image_path, which, kind, chosen[which]);
    judge();
    if (!in_nest && kind == ANY_KEPT && throw_of(8) == 0)
        recover();
}

/* The power fails. */
static void crash(void)
{
    unsigned chosen[2];
    if (!judges || calls + 1 < fail_at || (!effort && !chance(seldom)))
        return;
    unsigned n = at->file[HOME].n + at->file[JOURNAL].n;
    int split = at->file[HOME].there != at->file[HOME].named ||
                at->file[JOURNAL].there != at->file[JOURNAL].named;
    unsigned each = effort * (in_nest ? 1 : 2);
    for (int kind = 0; kind < KINDS; kind++) {
        unsigned times = kind < ONE_LOST ? 1 : n ? each : 0;
        if (kind == ANY_KEPT && split && !times)
            times = 1;
        for (unsigned i = 0; i < times; i++) {
            for (int which = HOME; which <= JOURNAL; which++) {
                unsigned m = at->file[which].n;
                chosen[which] = m ? (unsigned)throw_of(m) : 0;
            }
            image(kind, chosen);
        }
    }
}

/* The same with each single sector of a long commit lost in turn. */
static void crash_each(const struct file *f)
{
    unsigned chosen[2] = {0, 0};
    for (unsigned i = 0; !in_nest && i < f->n; i++) {
        chosen[JOURNAL] = i;
        image(ONE_LOST, chosen);
    }
}

/* ---- what the header calls */

static int fail_with;

/* Whether this call is the one that fails. */
static int fails(void)
{
    if (!at || in_nest || ++calls != fail_at)
        return 0;
    errno = fail_with;
    return 1;
}

/* Where syncs are left out the disk writes some day, without being asked. */
static void room_for_one(struct file *f)
{
    if (f->n < WRITES)
        return;
    if (!lost_sync)
        abort();
    memcpy(f->sure, f->now, ROOM);
    f->length = f->now_length;
    f->n = 0;
}

static ssize_t torn_write(int fd, const void *p, size_t n, off_t off)
{
    if (!at)
        return pwrite(fd, p, n, off);
    if (fails())
        return -1;
    struct file *f = &at->file[which_file(fd)];
    size_t from = (size_t)off, to = from + n;
    if (to > ROOM)
        abort();
    if (!from || chance(which_file(fd) == HOME ? 1 + seldom / 8 : seldom))
        crash();
    memcpy(f->now + from, p, n);
    for (size_t s = from / SECTOR; s <= (to - 1) / SECTOR; s++) {
        room_for_one(f);
        f->since[f->n].sector = (uint32_t)s;
        memcpy(f->since[f->n++].bytes, f->now + s * SECTOR, SECTOR);
    }
    if (to > f->now_length)
        f->now_length = to;
    return pwrite(fd, p, n, off);
}

static ssize_t torn_writev(int fd, const struct iovec *v, int n, off_t off)
{
    static unsigned char bytes[ROOM];
    size_t all = 0;
    for (int i = 0; i < n; all += v[i++].iov_len)
        memcpy(bytes + all, v[i].iov_base, v[i].iov_len);
    return torn_write(fd, bytes, all, off);
}

enum {
    SYNC_COMMIT = 1,
    SYNC_RESTART = 2,
    SYNC_HOME = 4,
    SYNC_MARK = 8,
    SYNC_UNMARK = 32,
    SYNC_NAME = 16
};

#ifdef TORN_PAGED
/* Whether a commit is under way; a head is written with it, or after it. */
static int commits(void)
{
    const alps_pager *p = heap.core.map.pager;
    return !in_nest && p && p->spill.journal &&
           p->spill.cut.tail != p->spill.journal->tail;
}
#else
static int commits(void)
{
    return 0;
}
#endif

/* What the sync is for, by what was written last. */
static int kind_of(const struct file *f, int which)
{
    if (!f->n)
        return 0;
    uint32_t last = f->since[f->n - 1].sector;
    if (which == JOURNAL)
        return last || commits() ? SYNC_COMMIT : SYNC_RESTART;
    if (f->n > 1 || last)
        return SYNC_HOME;
    return f->now[ALPS_HOME_MARK_] ? SYNC_MARK : SYNC_UNMARK;
}

static unsigned long_ones; // commits of which each sector is lost in turn
static int closing;        // what it commits is what is in memory by then

static int torn_sync(int fd)
{
    if (!at)
        return 0;
    int which = which_file(fd);
    struct file *f = &at->file[which];
    if (closing && !in_nest && which == JOURNAL)
        remember(&heap);
    crash();
    if (which == JOURNAL && f->n > 28 * ALPS_PAGE / SECTOR && long_ones) {
        long_ones--;
        crash_each(f);
    }
    if (fails()) {
        if (fail_with == EIO) // not written, and called clean
            f->n = 0, memcpy(f->now, f->sure, ROOM);
        return -1;
    }
    if (kind_of(f, which) & lost_sync)
        return 0;
    if (closing && !in_nest && which == JOURNAL)
        sure_state = states - 1;
    memcpy(f->sure, f->now, ROOM);
    f->length = f->now_length;
    f->n = 0;
    return 0;
}

static int torn_name_sync(int fd)
{
    (void)fd;
    if (!at)
        return 0;
    crash();
    if (fails())
        return -1;
    for (int which = HOME; which <= JOURNAL; which++)
        if (!(lost_sync & SYNC_NAME))
            at->file[which].named = at->file[which].there;
    return 0;
}

static int torn_create(int dir, const char *name, int how, ...)
{
    va_list more;
    va_start(more, how);
    mode_t mode = how & O_CREAT ? (mode_t)va_arg(more, unsigned) : 0;
    va_end(more);
    if (at && (how & O_CREAT) && !at->file[JOURNAL].there) {
        struct file *f = &at->file[JOURNAL];
        crash();
        if (fails())
            return -1;
        f->there = 1;
        f->length = f->now_length = 0;
        f->n = 0;
        memset(f->sure, 0, ROOM);
        memset(f->now, 0, ROOM);
    }
    return openat(dir, name, how, mode);
}

static int torn_remove(int dir, const char *name, int how)
{
    if (at && at->file[JOURNAL].there) {
        crash();
        if (fails())
            return -1;
        at->file[JOURNAL].there = 0;
    }
    return unlinkat(dir, name, how);
}

/* The file in memory that a region has its frames in is none of the two. */
static int is_pool(int fd)
{
    char link[40], name[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = 0;
    return strstr(name, "alps-paged") != NULL;
}

static int torn_cut(int fd, off_t n)
{
    if (at && !is_pool(fd)) {
        struct file *f = &at->file[which_file(fd)];
        crash();
        if (fails())
            return -1;
        f->now_length = (size_t)n;
    }
    return ftruncate(fd, n);
}

/* Of system calls that have no function: blocks are reserved, or punched. */
static long torn_call(long number, ...)
{
    long a[6];
    va_list more;
    va_start(more, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    if (at && number == SYS_fallocate && !is_pool((int)a[0])) {
        struct file *f = &at->file[which_file((int)a[0])];
        size_t from = (size_t)a[2], to = from + (size_t)a[3];
        crash();
        if (fails())
            return -1;
        if (to > ROOM)
            abort();
        size_t end = f->length > f->now_length ? f->length : f->now_length;
        if (!a[1] && to > end) { // blocks that are new are zero
            memset(f->sure + end, 0, to - end);
            memset(f->now + end, 0, to - end);
        }
        if (!a[1] && to > f->now_length)
            f->now_length = to;
        for (size_t s = from / SECTOR; a[1] && s < to / SECTOR; s++) {
            room_for_one(f);
            memset(f->now + s * SECTOR, 0, SECTOR);
            f->since[f->n].sector = (uint32_t)s;
            memset(f->since[f->n++].bytes, 0, SECTOR);
        }
    }
    if (number == SYS_pwrite64)
        return torn_write((int)a[0], (const void *)a[1], (size_t)a[2],
                          (off_t)a[3]);
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A thread that stores to another page whenever the dirty ones are asked for, so
 * that they are never at rest, and between the last time and the clone. */
static uint64_t *busy; // 16 pages; NULL: it rests
static unsigned long stores;

static void store(void)
{
    stores++;
    busy[stores % 16 * (ALPS_PAGE / sizeof *busy)] = stores;
}

static int torn_ioctl(int fd, unsigned long what, void *p)
{
    if (busy)
        store();
    return ioctl(fd, what, p);
}

static int torn_fill(sigset_t *set)
{
    if (busy) {
        store();
        states--; // this is the moment, and not when the sync was called
        remember(&heap);
    }
    return sigfillset(set);
}

/* ---- the program */

static unsigned flags; // of every open
#ifdef TORN_PAGED
static unsigned torn_engine = ALPS_ENGINE_REWIRE;
#endif

static alps_options again(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = flags;
#ifdef TORN_PAGED
    o.segment = 4096;
    o.engine = torn_engine;
    o.memory = 64 << 10;
    if (torn_engine == ALPS_ENGINE_USERFAULTFD)
        o.memory += 2 * o.segment; // which are no frames
#endif
    return o;
}

static void begin(uint64_t limit, uint64_t extent)
{
    alps_options o = again();
    o.size = REGION;
    o.limit = limit;
    o.extent = extent;
    o.lanes = 2;
    o.processes = 1;
    o.shards = 1;
    o.flags |= ALPS_CREATE;
    for (int which = HOME; which <= JOURNAL; which++) {
        char name[220];
        path_of(name, region_path, which);
        unlink(name);
    }
    at = NULL;
    count->images = count->bad = count->nested = 0;
    states = sure_state = 0;
    calls = 0;
    CHECK_EQ(alps_open(&heap, region_path, &o), 0);
    CHECK_EQ(alps_close(&heap), 0);
    load(&count->disk, region_path);
    memcpy(state[0], count->disk.file[HOME].sure,
           count->disk.file[HOME].length);
    memset(state[0] + ALPS_HOME_MARK_, 0, 8);
    state_length[0] = count->disk.file[HOME].length;
    states = 1;
    at = &count->disk;
    o = again();
    if (alps_open(&heap, region_path, &o)) // the call that fails
        CHECK_EQ(alps_open(&heap, region_path, &o), 0);
}

/* Changes some words and blocks. */
static void change(void)
{
    uint64_t *root = (uint64_t *)alps_root(&heap, ALPS_ROOT_SIZE);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t *link = &root[throw_of(16) * 32];
        if (*link) {
            alps_release(&heap, link);
        } else {
            size_t n = 1 + throw_of(3000);
            void *p = alps_reserve(&heap, n);
            if (!p)
                continue;
            memset(p, (int)throw_of(256), n);
            alps_publish(&heap, link, p);
        }
    }
    root[1] = throw_of(1000000);
    if (throw_of(3))
        return;
    if (!root[2]) { // so long that a table of its pages is in many sectors
        void *p = alps_reserve(&heap, 100 << 10);
        if (p)
            alps_publish(&heap, &root[2], p);
    }
    if (root[2])
        memset(alps_at(&heap, root[2]), (int)throw_of(256), 100 << 10);
}

/* One sync; whether it fails or not the states that may be found are known. */
static int synced(void)
{
    remember(&heap);
    int err = alps_sync(&heap);
    if (!err)
        sure_state = states - 1;
    return err;
}

static inline void run(unsigned syncs)
{
    begin(REGION, 8192);
    for (unsigned i = 0; i < syncs; i++) {
        change();
        CHECK_EQ(synced(), 0);
    }
    change();
    CHECK_EQ(alps_discard(&heap), 0);
    crash();
    alps_options o = again();
    CHECK_EQ(alps_open(&heap, region_path, &o), 0);
    change();
    CHECK_EQ(synced(), 0);
    CHECK_EQ(alps_discard(&heap), 0);
    crash();
    at = NULL;
}

static inline void every_crash_leaves_a_state(void)
{
    long_ones = 2;
    run(10);
    CHECK_EQ(long_ones, 0);
    printf("  %lu images, %lu recoveries with crashes of their own\n",
           count->images, count->nested);
    CHECK_EQ(count->bad, 0);
    CHECK(count->images > 500 && count->nested > 5);
}

/* Large blocks come and go: the region grows, has holes, and is cut. */
static void reshape(void)
{
    uint64_t *link =
        &((uint64_t *)alps_root(&heap, ALPS_ROOT_SIZE))[3 + throw_of(4)];
    if (*link) {
        CHECK_EQ(alps_release(&heap, link), 0);
        return;
    }
    size_t n = (40 << 10) + throw_of(60 << 10);
    void *p = alps_reserve(&heap, n);
    if (!p)
        return;
    memset(p, (int)throw_of(256), n);
    CHECK_EQ(alps_publish(&heap, link, p), 0);
}

static inline void grows_and_shrinks(void)
{
    uint64_t most = 0, least = ~0ull;
    alps_options o = again();
    dice = 4711;
    begin(ROOM - 4096, 16384);
    for (unsigned i = 0; i < 15; i++) {
        change();
        reshape();
        if (throw_of(2))
            CHECK_EQ(alps_trim(&heap), 0);
        CHECK_EQ(synced(), 0);
        if (heap.core.map.size > most)
            most = heap.core.map.size;
        if (i % 5 != 4)
            continue;
        closing = 1;
        CHECK_EQ(alps_close(&heap), 0);
        closing = 0;
        CHECK_EQ(alps_open(&heap, region_path, &o), 0);
        if (heap.core.map.size < least)
            least = heap.core.map.size;
    }
    CHECK_EQ(alps_discard(&heap), 0);
    at = NULL;
    CHECK(most > REGION && least < most);
}

static inline void every_crash_of_one_that_grows_and_shrinks(void)
{
    flags = ALPS_SHRINK;
    grows_and_shrinks();
    flags = 0;
    printf("  %lu images, %lu recoveries with crashes of their own\n",
           count->images, count->nested);
    CHECK_EQ(count->bad, 0);
    CHECK(count->images > 500);
}

static inline void a_sync_left_out_is_noticed(void)
{
    static const int kinds[] = {SYNC_COMMIT, SYNC_RESTART, SYNC_HOME,
                                SYNC_MARK,   SYNC_UNMARK,  SYNC_NAME};
    static const char *const names[] = {"commit", "restart", "home",
                                        "mark",   "unmark",  "name"};
    for (unsigned i = 0; i < 6; i++) {
        lost_sync = kinds[i];
        for (unsigned tries = 0; tries < 4; tries++) {
            run(10);
            if (count->bad)
                break;
        }
        if (!CHECK(count->bad > 0))
            printf("  %s\n", names[i]);
    }
    lost_sync = 0;
}

/* Each call fails once, in turn; a retry succeeds, and nothing is lost. */
static inline void a_call_that_fails(int how)
{
    unsigned saved = effort;
    unsigned long last = 0, seen = 0;
    effort = 0;
    fail_with = how;
    for (fail_at = 1 + (SKIPS > 1 && how == EIO); fail_at < 2000;
         fail_at += SKIPS) {
        uint64_t old = dice;
        int failed = 0;
        dice = 4711;
        begin(REGION, 8192);
        for (unsigned i = 0; i < 6; i++) {
            change();
            for (unsigned tries = 0; synced(); tries++) {
                failed++;
                if (!CHECK(tries < 3))
                    break;
            }
            CHECK_EQ(alps_check(&heap, NULL), 0);
        }
        judges = 0; // what closing changes is not known to the model
        int err = alps_close(&heap);
        if (err && heap.core.map.base) { // it stays open: again
            failed++;
            CHECK_EQ(alps_close(&heap), 0);
        }
        seen += failed != 0;
        judges = 1;
        last = calls;
        CHECK_EQ(count->bad, 0);
        at = NULL;
        unsigned char *want = state[sure_state];
        alps_options o;
        memset(&o, 0, sizeof o);
        o.flags = ALPS_READ_ONLY;
        alps_heap r;
        if (CHECK_EQ(alps_open(&r, region_path, &o), 0)) {
            const unsigned char *p = (const unsigned char *)alps_root(&r, 4096);
            CHECK(!memcmp(p, want + ALPS_PAGE, 4096));
            CHECK_EQ(alps_check(&r, NULL), 0);
            CHECK_EQ(alps_close(&r), 0);
        }
        dice = old;
        if (last < fail_at || check_bad_)
            break;
    }
    printf("  %lu calls, %lu of them a code\n", last, seen);
    CHECK(last > 20 && seen > 10 / SKIPS);
    fail_at = 0;
    effort = saved;
}

static inline void a_full_disk_at_any_call(void)
{
#ifdef CHECK_EMULATED
    SKIP("calls do not fail so under the emulator");
#else
    a_call_that_fails(ENOSPC);
#endif
}

static inline void an_error_at_any_call(void)
{
#ifdef CHECK_EMULATED
    SKIP("calls do not fail so under the emulator");
#else
    a_call_that_fails(EIO);
#endif
}

/* ---- begins and ends a test program */

#ifdef __SANITIZE_THREAD__
static const int under_tsan = 1;
#else
static const int under_tsan = 0;
#endif

static inline void torn_begin(int argc, char **argv, unsigned usual)
{
    effort = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : usual;
    const char *tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    snprintf(folder, sizeof folder, "%s/alps-torn-XXXXXX", tmp);
    count = (struct shared *)mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!mkdtemp(folder) || count == MAP_FAILED)
        exit(2);
    snprintf(region_path, sizeof region_path, "%s/region", folder);
    snprintf(image_path, sizeof image_path, "%s/image", folder);
}

static inline void torn_end(void)
{
    static const char *const left[] = {"region", "image", "nest"};
    for (unsigned i = 0; i < 3; i++)
        for (int which = HOME; which <= JOURNAL; which++) {
            char base[200], name[220];
            snprintf(base, sizeof base, "%s/%s", folder, left[i]);
            path_of(name, base, which);
            unlink(name);
        }
    rmdir(folder);
}
