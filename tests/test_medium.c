/* test_medium.c -- power that fails while a region in several files changes
 *
 * The files are watched: each write, sync and change of a length is seen before
 * it happens. At every one of them the power fails: of each 512 bytes stored
 * since the last sync the disk has the old or the new ones, each file has its
 * old or its new length, blocks that were reserved since may be holes, and a name
 * that was not synced is there or is not. What is then found has to be the region,
 * made, grown, extended, shortened and removed as a whole, with a block for each
 * page that may be stored to, and nothing is left behind that nobody would find.
 * Leaving any kind of sync out has to be noticed. The same where the region is
 * larger than its memory: then what is stored gets to the files when a segment
 * goes, in the middle of anything. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t watched_write(int fd, const void *p, size_t n, off_t off);
static int watched_stat(int fd, struct stat *st);
static int watched_sync(int fd);
static int watched_all_sync(int fd);
static int watched_cut(int fd, off_t n);
static int watched_msync(void *p, size_t n, int how);
static int watched_remove(int dir, const char *name);
static long watched_call(long number, ...);
#define pwrite(fd, p, n, off) watched_write(fd, p, n, off)
#define fstat(fd, st) watched_stat(fd, st)
#define fdatasync(fd) watched_sync(fd)
#define fsync(fd) watched_all_sync(fd)
#define ftruncate(fd, n) watched_cut(fd, n)
#define msync(p, n, how) watched_msync(p, n, how)
#define unlinkat(dir, name, how) watched_remove(dir, name)
#define unlink(name) watched_remove(AT_FDCWD, name)
#define syscall(...) watched_call(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L)
#define ALPS_JOURNAL_MAX ((uint64_t)48 << 10)
#define ALPS_JOURNAL_AHEAD 3u
#define ANY_APART
#include "model.h"
#undef pwrite
#undef fstat
#undef fdatasync
#undef fsync
#undef ftruncate
#undef msync
#undef unlinkat
#undef unlink
#undef syscall

ALPS_HANDLER(faults);

#define SECTOR 512u
#define ROOM (640u << 10) // bytes of any file, at most

/* ---- the disk ------------------------------------------------------------- */

static const char *const names[] = {"region", "second", "third", "fourth",
                                    "region.journal"};
#define FILES (sizeof names / sizeof *names)

/* What is on the disk for sure; what the system has is in the file itself. */
static struct file {
    int there, named; // the system has it; the disk has its name for sure
    ino_t ino;
    size_t length;
    unsigned char *sure;
    size_t now_length; // as of the last look
    unsigned char *now;
    size_t used; // of both, in whole sectors; zeroes are behind
    unsigned char sure_block[ROOM / 4096], block[ROOM / 4096]; // reserved
    unsigned char in_image[ROOM / 4096]; // the same in an image
} file[FILES];

static char folder[80], image[80], region_path[120], image_path[120];
static int device;          // 1: the second file is one, for all that asks
static ino_t device_ino[2]; // which that is, and in an image
static int watching;
static unsigned lost; // kinds of syncs that are left out, as bits
static int refilled;  // blocks were reserved within a file's length
static unsigned long images, bad, events;

enum {
    SYNC_NAME = 1,     // of a folder
    SYNC_FIRST = 2,    // of all of the first file
    SYNC_PART = 4,     // of all of another
    SYNC_LENGTH = 8,   // of one page, or one file, for its length
    SYNC_PAGES = 16,   // of pages, by a fence
    SYNC_JOURNAL = 32, // of a commit
    SYNC_BLOCKS = 64   // the same, for blocks that are reserved again
};

static const char *path_in(const char *base, const char *name)
{
    static char path[2][160];
    static unsigned turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", base, name);
    return path[turn];
}

/* What the system has now. */
static void look(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        struct file *f = &file[i];
        struct stat st;
        int fd = open(path_in(folder, names[i]), O_RDONLY | O_CLOEXEC);
        f->there = fd >= 0 && !fstat(fd, &st);
        if (f->there && st.st_ino != f->ino) { // a new one
            f->ino = st.st_ino;
            f->named = 0;
            f->length = 0;
            memset(f->sure, 0, ROOM);
            memset(f->sure_block, 0, sizeof f->block);
            memset(f->block, 0, sizeof f->block);
        }
        memset(f->now, 0, f->used);
        if (f->there && st.st_size > ROOM)
            abort();
        f->now_length = f->there ? (size_t)st.st_size : 0;
        if (f->there && pread(fd, f->now, ROOM, 0) < 0)
            abort();
        f->used = f->now_length > f->length ? f->now_length : f->length;
        f->used = (f->used + SECTOR - 1) / SECTOR * SECTOR;
        if (fd >= 0)
            close(fd);
    }
}

/* [from, to) of file `i`, and its length, are on the disk. */
static void make_sure(unsigned i, size_t from, size_t to)
{
    struct file *f = &file[i];
    f->length = f->now_length;
    memcpy(f->sure_block, f->block, sizeof f->block);
    if (to > ROOM)
        to = ROOM;
    if (from < to)
        memcpy(f->sure + from, f->now + from, to - from);
    memset(f->sure + f->length, 0, ROOM - f->length);
}

/* How a crash treats what is not sure. */
enum {
    NONE_KEPT,
    ALL_KEPT,
    FILE_KEPT,
    FILE_LOST,
    ONE_KEPT,
    ONE_LOST,
    ANY_KEPT
};

static unsigned dirty_sectors(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < FILES; i++)
        for (size_t s = 0; s < file[i].used; s += SECTOR)
            n += memcmp(file[i].sure + s, file[i].now + s, SECTOR) != 0;
    return n;
}

static int keeps(int kind, unsigned which, unsigned chosen)
{
    return kind == ALL_KEPT || (which == chosen && kind % 2 == 0 && kind) ||
           (which != chosen && (kind == FILE_LOST || kind == ONE_LOST)) ||
           (kind == ANY_KEPT && throw_of(2));
}

static ino_t inode(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : st.st_ino;
}

static void put_image(int kind, unsigned chosen)
{
    static unsigned char bytes[ROOM];
    unsigned nth = 0;
    for (unsigned i = 0; i < FILES; i++) {
        struct file *f = &file[i];
        int whole = kind == ONE_KEPT   ? 0
                    : kind == ONE_LOST ? 1
                                       : keeps(kind, i, chosen);
        int there = f->there == f->named ? f->there
                    : whole              ? f->there
                                         : f->named;
        size_t length = whole && f->there ? f->now_length : f->length;
        memcpy(f->in_image, whole ? f->block : f->sure_block, sizeof f->block);
        memcpy(bytes, f->sure, f->used);
        for (size_t s = 0; f->there && s < f->used; s += SECTOR) {
            if (!memcmp(f->sure + s, f->now + s, SECTOR))
                continue;
            int keep = kind == FILE_KEPT || kind == FILE_LOST
                           ? whole
                           : keeps(kind, nth, chosen);
            nth++;
            if (keep)
                memcpy(bytes + s, f->now + s, SECTOR);
        }
        if (!there)
            continue;
        int fd =
            open(path_in(image, names[i]), O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)length))
            abort();
        if (i == 1 && device)
            device_ino[1] = inode(fd);
        for (size_t s = 0; s < length; s += SECTOR) {
            size_t n = length - s < SECTOR ? length - s : SECTOR;
            static const unsigned char none[SECTOR];
            if (memcmp(bytes + s, none, n) &&
                pwrite(fd, bytes + s, n, (off_t)s) != (ssize_t)n)
                abort();
        }
        close(fd);
    }
}

/* ---- the region ------------------------------------------------------------- */

#define KIB(n) ((uint64_t)(n) << 10)

static any_heap heap;
static enum { MAKE, WORK, ADD, ANEW, REMOVE } phase;
static const alps_part *wanted; // what it is made with, or is to get
static unsigned sure_parts, now_parts;
static unsigned things;                  // that there are
static unsigned sure_things, now_things; // from so many to so many may be found
static unsigned engine; // of the region, where it is paged; images are mapped

static alps_options options(const alps_part *parts)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = KIB(96);
    o.limit = KIB(512);
    o.extent = KIB(16); // an inside that may be a hole
    o.lanes = 2;
    o.processes = 2;
    o.shards = 1;
    o.grow = ALPS_GROW_NEVER;
    o.parts = parts;
    o.flags = ALPS_CREATE;
    o.engine = engine ? ALPS_ENGINE_KERNEL : 0;
    return o;
}

/* Of 8 KiB a segment, borders inside of some; about a dozen frames. */
static void page(alps_options *o)
{
    o->engine = engine;
    o->segment = KIB(8);
    o->memory = KIB(128);
    o->faults = &faults;
}

/* How many things the list has; 0 also where one is not whole. */
static unsigned listed(any_heap *h)
{
    unsigned n = 0;
    alps_off off = *(alps_off *)any_root(h, 64);
    for (uint64_t *p; (p = (uint64_t *)any_at(h, off)) != NULL; off = p[0]) {
        if (!token_whole(p + 1))
            return 9999;
        n++;
    }
    return n;
}

static unsigned files_in(const char *base)
{
    unsigned n = 0;
    DIR *d = opendir(base);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* Pages of the image that may be stored to, as no bit says that they are holes,
 * and that have no blocks. */
static unsigned without_blocks(const alps_handle *h)
{
    unsigned n = 0;
    for (uint64_t e = 0; e < alps_extents_(h) && !manner.commit; e++) {
        alps_off off;
        uint64_t bytes = alps_hole_at_(h, e, &off);
        for (; bytes && !alps_hole_(h, e); off += 4096, bytes -= 4096) {
            alps_stretch s = alps_stretch_(&h->map, off, 4096);
            struct stat at, of;
            unsigned i = 0;
            while (i < FILES &&
                   (fstat(s.fd, &at) || stat(path_in(image, names[i]), &of) ||
                    at.st_ino != of.st_ino))
                i++;
            n += i < FILES && !file[i].in_image[s.at / 4096];
        }
    }
    return n;
}

/* Opens the image as `o` says; what is found has to be what may be. Answers
 * what is wrong, or NULL. */
static const char *found(const alps_options *o, unsigned least, unsigned most,
                         unsigned least_parts, unsigned most_parts)
{
    any_heap h;
    const char *wrong = NULL;
    int err = any_open(&h, image_path, o);
    if (err)
        return any_strerror(err);
    unsigned n = listed(&h);
    unsigned parts = h.core.map.parts ? h.core.map.parts->n - 1 : 0;
    uint64_t to = device && parts < 2 ? KIB(160) : KIB(400);
    if (n < least || n > most)
        wrong = "things are missing, or too many";
    else if (any_check(&h, NULL))
        wrong = "it is not sound";
    else if (phase == WORK && without_blocks(&h.core))
        wrong = "blocks are missing";
    else if (parts < least_parts || parts > most_parts)
        wrong = "it has other parts";
    else if (o->parts && any_grow(&h, to))
        wrong = "it does not grow";
    else if (any_check(&h, NULL) || listed(&h) != n)
        wrong = "it is not sound when it has grown";
    err = any_close(&h);
    return wrong ? wrong : err ? any_strerror(err) : NULL;
}

/* What is left when it is removed. */
static const char *removed(void)
{
    int err = any_remove(image_path);
    if (err && err != ALPS_ENOENT)
        return any_strerror(err);
    if (device) { // it stays, and says nothing
        static unsigned char head[256], none[256];
        int fd = open(path_in(image, names[1]), O_RDONLY | O_CLOEXEC);
        int bare = pread(fd, head, sizeof head, 0) == sizeof head &&
                   !memcmp(head, none, sizeof head);
        close(fd);
        if (!bare)
            return "the device is still a part";
    }
    return files_in(image) > (unsigned)device ? "something is left behind"
                                              : NULL;
}

static const char *judge(void)
{
    alps_description d;
    const char *wrong = NULL;
    alps_options old = options(NULL), made = options(wanted);
    old.flags = ALPS_EXCLUSIVE; // does not create
    int err = any_inspect(image_path, &d);
    if (err == ALPS_ERECOVER)
        err = 0;
    if (phase == WORK || phase == ADD || (phase == ANEW && !err)) {
        if (err)
            return any_strerror(err);
        unsigned least =
            phase == ANEW && d.parts != sure_parts ? 0 : sure_things;
        wrong = found(&old, least, now_things,
                      sure_parts < now_parts ? sure_parts : now_parts,
                      sure_parts > now_parts ? sure_parts : now_parts);
        if (!wrong && phase == ADD)
            wrong = found(&made, sure_things, now_things, now_parts, now_parts);
        return wrong || phase == WORK ? wrong : removed();
    }
    if (phase == REMOVE) {
        if (!err)
            wrong =
                found(&old, sure_things, now_things, sure_parts, sure_parts);
        else if (err != ALPS_EPART && err != ALPS_ENOENT)
            wrong = any_strerror(err);
        return wrong ? wrong : removed();
    }
    if (err && err != ALPS_ENOENT && err != ALPS_EUNFINISHED &&
        err != ALPS_EFORMAT) // too short to tell
        return any_strerror(err);
    wrong = found(err ? &made : &old, 0, 0, now_parts, now_parts);
    return wrong ? wrong : removed();
}

static void crash_as(int kind, unsigned chosen)
{
    put_image(kind, chosen);
    images++;
    const char *wrong = judge();
    if (wrong && !lost && bad < 5)
        printf("  phase %d, event %lu, kind %d of %u: %s\n", (int)phase, events,
               kind, chosen, wrong);
    bad += wrong != NULL;
    for (unsigned i = 0; i < FILES; i++)
        unlink(path_in(image, names[i]));
    if (files_in(image))
        abort();
}

static unsigned effort = 3;

/* The power fails. */
static void crash(void)
{
    if (lost && bad) // it is noticed
        return;
    watching = 0;
    events++;
    look();
    unsigned n = dirty_sectors();
    crash_as(NONE_KEPT, 0);
    crash_as(ALL_KEPT, 0);
    for (unsigned i = 0; i < FILES; i++)
        if (file[i].there || file[i].named) {
            crash_as(FILE_KEPT, i);
            crash_as(FILE_LOST, i);
        }
    for (unsigned i = 0; n && i < effort; i++) {
        crash_as(ONE_KEPT, (unsigned)throw_of(n));
        crash_as(ONE_LOST, (unsigned)throw_of(n));
        crash_as(ANY_KEPT, FILES);
    }
    watching = 1;
}

/* ---- what the header calls --------------------------------------------------- */

/* Which file that is; FILES: a folder, or none of ours. */
static unsigned which(int fd)
{
    struct stat st;
    unsigned i = 0;
    if (fstat(fd, &st) || S_ISDIR(st.st_mode))
        return FILES;
    while (i < FILES && file[i].ino != st.st_ino)
        i++;
    return i;
}

static int is_device(int fd)
{
    ino_t is = device ? inode(fd) : 0;
    return is && (is == device_ino[0] || is == device_ino[1]);
}

static int watched_stat(int fd, struct stat *st)
{
    int err = fstat(fd, st);
    if (!err && device &&
        (st->st_ino == device_ino[0] || st->st_ino == device_ino[1]))
        st->st_mode = S_IFBLK | 0600;
    return err;
}

static ssize_t watched_write(int fd, const void *p, size_t n, off_t off)
{
    if (watching)
        crash();
    return pwrite(fd, p, n, off);
}

static int sync_it(int fd, int lengths)
{
    if (!watching)
        return 0;
    crash();
    look();
    unsigned i = which(fd);
    unsigned kind = i == FILES                            ? SYNC_NAME
                    : lengths && refilled                 ? SYNC_BLOCKS
                    : lengths                             ? SYNC_LENGTH
                    : i == 0                              ? SYNC_FIRST
                    : !strcmp(names[i], "region.journal") ? SYNC_JOURNAL
                                                          : SYNC_PART;
    if (kind == SYNC_BLOCKS)
        refilled = 0;
    if (kind & lost)
        return 0;
    if (i < FILES)
        make_sure(i, 0, ROOM);
    for (unsigned k = 0; i == FILES && k < FILES; k++)
        file[k].named = file[k].there;
    return 0;
}

static int watched_sync(int fd)
{
    return sync_it(fd, 0);
}

/* Of a whole file for its length, where we page; of a folder. */
static int watched_all_sync(int fd)
{
    return sync_it(fd, engine != 0);
}

/* Pages [from, to) of a file have blocks, or have none. */
static void blocks(int fd, size_t from, size_t to, unsigned char is)
{
    unsigned i = which(fd);
    for (size_t k = from / 4096; i < FILES && k < to / 4096; k++) {
        file[i].block[k] = is;
        if (!is) // a crash may have it at any time
            file[i].sure_block[k] = 0;
    }
}

static int watched_cut(int fd, off_t n)
{
    if (is_device(fd))
        abort(); // a device cannot
    if (watching)
        crash();
    int err = ftruncate(fd, n);
    look();
    blocks(fd, alps_round_up_((uint64_t)n, 4096), ROOM, 0);
    return err;
}

static int watched_msync(void *p, size_t n, int how)
{
    const alps_map *m = &heap.core.map;
    (void)how;
    if (!watching || m->apart) // what is there are no pages of the files
        return 0;
    uint64_t off = (uint64_t)((unsigned char *)p - m->base);
    unsigned kind = n > 1 ? SYNC_PAGES : refilled ? SYNC_BLOCKS : SYNC_LENGTH;
    refilled = 0;
    crash();
    look();
    uint64_t end = alps_round_up_(off + n, ALPS_PAGE);
    while (!(kind & lost) && off < end) {
        alps_stretch s = alps_stretch_(m, off, end - off);
        unsigned i = which(s.fd);
        if (i < FILES)
            make_sure(i, (size_t)s.at, (size_t)(s.at + s.n));
        off += s.n;
    }
    return 0;
}

static int watched_remove(int dir, const char *name)
{
    if (device && strstr(name, "second"))
        abort();
    if (watching)
        crash();
    return unlinkat(dir, name, 0);
}

/* Whether the power fails here: segments go all the time. */
static int seen(void)
{
    static unsigned n;
    return n++ % 8 == 0;
}

static long watched_call(long number, ...)
{
    long a[6];
    va_list more;
    va_start(more, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    int reserves = number == SYS_fallocate, fd = (int)a[0];
    struct stat st;
    if (watching && (reserves || (number == SYS_pwrite64 && seen())))
        crash();
    if (!reserves)
        return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (!fstat(fd, &st))
        refilled = !a[1] && a[2] + a[3] <= st.st_size;
    long got = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    look();
    if (reserves && !a[1] && is_device(fd))
        abort();
    if (!got && !is_device(fd)) // which has its blocks
        blocks(fd, (size_t)a[2], (size_t)(a[2] + a[3]), !a[1]);
    return got;
}

/* ---- what is done ------------------------------------------------------------ */

/* All so far is on the disk. */
static void settled(void)
{
    sure_things = now_things = things;
}

static void publish(size_t n)
{
    alps_off *root = (alps_off *)any_root(&heap, 64);
    uint64_t *p = (uint64_t *)any_reserve(&heap, n);
    if (!CHECK(p != NULL))
        return;
    token_fill(p + 1, (n - 8) / 8 * 8, n);
    p[0] = root[0];
    if (++things > now_things)
        now_things = things;
    CHECK_EQ(any_publish(&heap, root, p), 0);
    if (!manner.commit)
        settled();
}

static void commit(void)
{
    CHECK_EQ(any_sync(&heap), 0);
    settled();
}

static void drop(void)
{
    alps_off *root = (alps_off *)any_root(&heap, 64);
    uint64_t *p = (uint64_t *)any_at(&heap, root[0]);
    alps_tx t;
    if (--things < sure_things)
        sure_things = things;
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_set(&t, root, p[0]), 0);
    CHECK_EQ(any_tx_free(&t, p), 0);
    CHECK_EQ(any_commit(&t), 0);
    if (!manner.commit)
        settled();
}

static int open_it(const alps_part *parts, unsigned flags)
{
    alps_options o = options(parts);
    o.flags |= flags;
    if (engine)
        page(&o);
    return any_open(&heap, region_path, &o);
}

static void begin_disk(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        struct file *f = &file[i];
        unsigned char *sure = f->sure, *now = f->now;
        memset(f, 0, sizeof *f);
        f->sure = sure ? sure : (unsigned char *)malloc(ROOM);
        f->now = now ? now : (unsigned char *)malloc(ROOM);
        if (!f->sure || !f->now)
            abort();
        memset(f->sure, 0, ROOM);
        memset(f->now, 0, ROOM);
    }
    refilled = 0;
    device_ino[0] = device_ino[1] = 0;
    snprintf(folder, sizeof folder, "%s", shm_path("medium"));
    snprintf(image, sizeof image, "%s", shm_path("medium-image"));
    snprintf(region_path, sizeof region_path, "%s/region", folder);
    snprintf(image_path, sizeof image_path, "%s/region", image);
    if (mkdir(folder, 0700) || mkdir(image, 0700))
        abort();
    if (device) { // full of what was there before
        int fd = open(path_in(folder, names[1]), O_RDWR | O_CREAT, 0600);
        memset(file[1].now, 0xff, ROOM);
        memset(file[1].now, 0, KIB(128));
        if (pwrite(fd, file[1].now, KIB(204), 0) != KIB(204))
            abort();
        device_ino[0] = inode(fd);
        close(fd);
        look();
        file[1].named = 1;
        memset(file[1].block, 1, sizeof file[1].block);
        make_sure(1, 0, ROOM);
    }
    things = 0;
    settled();
    dice = 88172645463325252ull;
    events = bad = images = 0;
}

static void end_disk(void)
{
    watching = 0;
    for (unsigned i = 0; i < FILES; i++)
        unlink(path_in(folder, names[i]));
    CHECK_EQ(rmdir(folder) | rmdir(image), 0);
}

static const alps_part one[] = {{"second", KIB(84)}, {NULL, 0}};
static const alps_part two[] = {
    {"second", KIB(84)}, {"third", KIB(160)}, {NULL, 0}};
static const alps_part other[] = {
    {"third", KIB(72)}, {"second", KIB(120)}, {"fourth", KIB(180)}, {NULL, 0}};

/* The whole life of a region, with the power failing at each step. */
static void live(void)
{
    begin_disk();
    watching = 1;
    phase = MAKE;
    wanted = one;
    sure_parts = now_parts = 1;
    CHECK_EQ(open_it(one, 0), 0);
    if (manner.commit)
        commit();
    phase = WORK;
    publish(100);
    publish(30000);
    commit();
    CHECK_EQ(any_grow(&heap, KIB(150)), 0);
    publish(5000);
    publish(40000);
    commit();
    CHECK_EQ(any_close(&heap), 0);
    phase = ADD;
    wanted = two;
    now_parts = 2;
    CHECK_EQ(open_it(two, 0), 0);
    sure_parts = 2;
    phase = WORK;
    CHECK_EQ(any_grow(&heap, KIB(300)), 0);
    publish(120000);
    commit();
    drop();
    drop();
    commit();
    CHECK_EQ(any_trim(&heap), 0);
    publish(50000);
    drop();
    commit();
    heap.core.map.flags |= ALPS_SHRINK;
    CHECK(!engine || heap.core.map.pager->count.evictions > 20);
    CHECK_EQ(any_close(&heap), 0);
    phase = ANEW;
    wanted = other;
    now_parts = 3;
    CHECK_EQ(open_it(other, ALPS_TRUNCATE), 0);
    sure_parts = 3;
    things = 0;
    settled();
    if (manner.commit)
        commit();
    phase = WORK;
    publish(9000);
    CHECK_EQ(any_close(&heap), 0);
    settled();
    phase = REMOVE;
    CHECK_EQ(any_remove(region_path), 0);
    end_disk();
}

static void live_with(const char *text, unsigned much)
{
    effort = much / SLOW + 1;
    live();
    CHECK_EQ(bad, 0);
    printf("  %s: %lu images at %lu moments\n", text, images, events);
    CHECK(images > 500);
}

static void a_region_in_files_that_are_synced(void)
{
    choose(&alps_backend_file_, &alps_policy_msync_);
    live_with("msync", 4);
}

static void a_region_in_files_that_are_committed(void)
{
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    live_with("checkpoint", 4);
}

static void a_region_that_is_paged_and_synced(void)
{
    choose(&alps_backend_paged_, &alps_policy_msync_);
    live_with("paged, msync", 2);
}

static void a_region_that_is_paged_and_committed(void)
{
    choose(&alps_backend_paged_, &alps_policy_checkpoint_);
    live_with("paged, checkpoint", 1);
}

/* The second file is a device, full of other bytes. */
static void a_region_that_goes_on_on_a_device(void)
{
    unsigned was = engine;
    device = 1;
    choose(&alps_backend_file_, &alps_policy_msync_);
    engine = 0;
    live_with("on a device, msync", 2);
    choose(&alps_backend_paged_, &alps_policy_checkpoint_);
    engine = was;
    live_with("on a device, paged, checkpoint", 1);
    device = 0;
}

/* Leaves the kinds of `which_ones` out, one at a time. */
static void needs(const char *text, unsigned which_ones)
{
    effort = 1;
    for (lost = SYNC_NAME; lost <= SYNC_BLOCKS; lost *= 2) {
        if (!(lost & which_ones))
            continue;
        live();
        if (!CHECK(bad > 0))
            printf("  under %s, %u\n", text, lost);
    }
    lost = 0;
}

static void each_kind_of_sync_is_needed(void)
{
    choose(&alps_backend_file_, &alps_policy_msync_);
    needs("msync", SYNC_NAME | SYNC_FIRST | SYNC_PART | SYNC_LENGTH |
                       SYNC_PAGES | SYNC_BLOCKS);
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    needs("checkpoint", SYNC_NAME | SYNC_FIRST | SYNC_PART | SYNC_PAGES |
                            SYNC_JOURNAL);
}

static void each_kind_is_needed_where_it_is_paged(void)
{
    choose(&alps_backend_paged_, &alps_policy_msync_);
    needs("msync", SYNC_NAME | SYNC_FIRST | SYNC_PART | SYNC_LENGTH |
                       SYNC_PAGES | SYNC_BLOCKS);
    choose(&alps_backend_paged_, &alps_policy_checkpoint_);
    needs("checkpoint", SYNC_NAME | SYNC_FIRST | SYNC_PART | SYNC_PAGES |
                            SYNC_JOURNAL);
}

int main(void)
{
    RUN(a_region_in_files_that_are_synced);
    RUN(a_region_in_files_that_are_committed);
    RUN(each_kind_of_sync_is_needed);
    engine = ALPS_ENGINE_REWIRE;
    RUN(a_region_that_is_paged_and_synced);
    RUN(a_region_that_is_paged_and_committed);
    RUN(each_kind_is_needed_where_it_is_paged);
    RUN(a_region_that_goes_on_on_a_device);
    return check_end("medium");
}
