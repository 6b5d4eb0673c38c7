/* test_ties.c -- links between regions of which one commits by moments
 *
 * Links are made and cut by a program that syncs now the one region and now the
 * other. At each write and sync of its files the power fails: of each file the
 * disk has what was synced, or what was written, or a mixture by sectors. What is
 * opened then has, for each link, one of the objects that it has named since it
 * was last sure, or none if it was that; no object that is not linked; and is the
 * same when it is opened once more. Some of what a crash leaves is opened with
 * the power failing again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t watched_write(int fd, const void *p, size_t n, off_t off);
static int watched_sync(int fd);
static int watched_msync(void *p, size_t n, int how);
#define pwrite(fd, p, n, off) watched_write(fd, p, n, off)
#define fdatasync(fd) watched_sync(fd)
#define fsync(fd) watched_sync(fd)
#define msync(p, n, how) watched_msync(p, n, how)

#define ALPS_NAME commits
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"

#define ALPS_NAME pages
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"
#undef pwrite
#undef fdatasync
#undef fsync
#undef msync

#include "check.h"

#define SECTOR 512u
#define ROOM (3u << 20) // bytes of any file, at most
#define SLOTS 5u        // links; half of them are packed

/* ---- the disk */

enum { FILES = 4 };
static const char *const names[FILES] = {"one", "one.journal", "two",
                                         "two.journal"};
static struct file {
    unsigned char *sure, *now;
    size_t sure_n, now_n;
} file[FILES];

static char folder[2][96]; // of the program, of images
static int watching;
static unsigned long images, events, bad, nested;
static uint64_t dice[2]; // of the program, of the crashes

static unsigned throw_with(unsigned which_dice, unsigned n)
{
    uint64_t *d = &dice[which_dice];
    *d = *d * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((*d >> 33) % n);
}

static unsigned throw_of(unsigned n)
{
    return throw_with(1, n);
}

static const char *path_of(unsigned where, unsigned i)
{
    static char path[2][FILES][224];
    snprintf(path[where][i], sizeof path[0][0], "%s/%s", folder[where],
             names[i]);
    return path[where][i];
}

/* What the system has now. */
static void look(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        int fd = open(path_of(0, i), O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : pread(fd, file[i].now, ROOM, 0);
        if (n < 0 || n == ROOM)
            abort();
        file[i].now_n = (size_t)n;
        if (fd >= 0)
            close(fd);
    }
}

static void make_sure(unsigned i, size_t from, size_t to)
{
    struct file *f = &file[i];
    if (to > f->now_n)
        to = f->now_n;
    if (from < to)
        memcpy(f->sure + from, f->now + from, to - from);
    f->sure_n = f->now_n;
}

/* Files as a crash may leave them: 0: as the system has them, 1: as they were
 * synced, 2: each as the one or the other, 3: by sectors. */
static void put_image(unsigned kind, unsigned char *bytes)
{
    for (unsigned i = 0; i < FILES; i++) {
        const struct file *f = &file[i];
        unsigned way = kind == 2 ? throw_of(2) : kind;
        size_t n = way == 1 ? f->sure_n : f->now_n;
        memcpy(bytes, way == 1 ? f->sure : f->now, n);
        for (size_t s = 0; way == 3 && s < n; s += SECTOR) {
            size_t k = n - s < SECTOR ? n - s : SECTOR;
            if (memcmp(f->sure + s, f->now + s, k) && throw_of(2))
                memcpy(bytes + s, f->sure + s, k);
        }
        unlink(path_of(1, i));
        if (!n)
            continue;
        int fd = open(path_of(1, i), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
            abort();
        close(fd);
    }
}

/* ---- the regions */

typedef ALPS_FAR(uint64_t) wide_link;
typedef ALPS_PACKED(uint64_t) packed_link;
typedef struct links {
    wide_link wide[SLOTS];
    packed_link packed[SLOTS];
} links;

/* A region of either instance. */
typedef struct side {
    int commits;
    union {
        commits_heap c;
        pages_heap p;
    };
} side;

typedef struct pair {
    alps_space space;
    side one, two; /* of the links, of the objects */
} pair;

static int kinds[2]; // whether the regions commit

static int open_side(alps_space *s, side *r, const char *path, int commits)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = 160u << 10;
    o.extent = 8192;
    o.lanes = 3;
    o.processes = 2;
    o.shards = 1;
    o.grow = ALPS_GROW_NEVER;
    o.flags = ALPS_CREATE;
    r->commits = commits;
    return commits ? commits_space_open(s, &r->c, path, &o)
                   : pages_space_open(s, &r->p, path, &o);
}

static alps_handle *core_of(side *r)
{
    return &r->c.core;
}

static int close_side(pair *g, side *r, int discard)
{
    if (!core_of(r)->map.base)
        return 0;
    if (r->commits) {
        (void)commits_space_remove(&g->space, &r->c);
        return discard ? commits_discard(&r->c) : commits_close(&r->c);
    }
    (void)pages_space_remove(&g->space, &r->p);
    return pages_close(&r->p);
}

static int open_pair(pair *g, unsigned where, unsigned first)
{
    memset(g, 0, sizeof *g);
    int err = 0;
    for (unsigned i = 0; !err && i < 2; i++)
        err = i == first
                  ? open_side(&g->space, &g->one, path_of(where, 0), kinds[0])
                  : open_side(&g->space, &g->two, path_of(where, 2), kinds[1]);
    return err;
}

static void close_pair(pair *g, int discard)
{
    (void)close_side(g, &g->one, discard);
    (void)close_side(g, &g->two, discard);
    commits_space_end(&g->space);
}

static links *links_of(pair *g)
{
    return (links *)(void *)(core_of(&g->one)->map.base + ALPS_PAGE);
}

/* The number in what slot `i` names: 0: null, ~0: nothing it may name. */
static uint64_t number_at(pair *g, unsigned i)
{
    const links *l = links_of(g);
    const alps_handle *to = core_of(&g->two);
    const uint64_t *p =
        i < SLOTS ? ALPS_FAR_GET(&g->space, l->wide[i])
                  : ALPS_PACKED_GET(&g->space, &g->one.c, l->packed[i - SLOTS]);
    uint64_t word =
        i < SLOTS ? l->wide[i].far.off : l->packed[i - SLOTS].packed;
    if (!word)
        return 0;
    if (!p || !alps_pledge_live_(to, alps_offset_(to, p)) || p[1] != ~p[0])
        return ~0ull;
    return p[0];
}

static uint64_t blocks_of(side *r, int *sound)
{
    alps_statistics s;
    memset(&s, 0, sizeof s);
    int err =
        r->commits ? commits_check(&r->c, NULL) : pages_check(&r->p, NULL);
    err |= r->commits ? commits_stats(&r->c, &s) : pages_stats(&r->p, &s);
    *sound &= !err;
    return s.blocks;
}

/* Pledges and ties that are left. */
static unsigned left_in(side *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(core_of(r), i);
        n += p->block || p->tied;
    }
    return n;
}

/* ---- the model: what each link may name, the newest first */

enum { SEEN = 64 };
static uint64_t may[2 * SLOTS][SEEN];
static unsigned may_n[2 * SLOTS];

static void now_names(unsigned i, uint64_t number)
{
    if (may_n[i] == SEEN)
        abort();
    may[i][may_n[i]++] = number;
}

static void is_sure(void)
{
    for (unsigned i = 0; i < 2 * SLOTS; i++) {
        may[i][0] = may[i][may_n[i] - 1];
        may_n[i] = 1;
    }
}

static int may_name(unsigned i, uint64_t number)
{
    for (unsigned k = 0; k < may_n[i]; k++)
        if (may[i][k] == number)
            return 1;
    return 0;
}

/* What is wrong with what is open; `got` is what the links name. */
static const char *judge(pair *g, uint64_t got[2 * SLOTS])
{
    uint64_t n = 0;
    int sound = 1;
    for (unsigned i = 0; i < 2 * SLOTS; i++) {
        got[i] = number_at(g, i);
        n += got[i] != 0;
        if (got[i] == ~0ull)
            return "a link leads to what is not there";
        if (!may_name(i, got[i]))
            return "a link names what it may not";
    }
    if (blocks_of(&g->one, &sound) || blocks_of(&g->two, &sound) != n)
        return "an object is there that no link names";
    if (!sound)
        return "a region is not sound";
    return left_in(&g->one) + left_in(&g->two) ? "something waits" : NULL;
}

static pair image;

/* The image is opened, and once more. */
static const char *found(unsigned first)
{
    uint64_t got[2 * SLOTS], again[2 * SLOTS];
    int err = open_pair(&image, 1, first);
    const char *wrong = err ? alps_error_text_(err) : judge(&image, got);
    close_pair(&image, !err && throw_of(2)); // or it is killed
    if (wrong)
        return wrong;
    err = open_pair(&image, 1, !first);
    wrong = err ? alps_error_text_(err) : judge(&image, again);
    close_pair(&image, 0);
    if (!wrong && memcmp(got, again, sizeof got))
        wrong = "another opening finds something else";
    return wrong;
}

static unsigned char *scratch;
static unsigned long stop_at; // the event whose image the program goes on with
static int stopped;

/* The power fails. */
static void crash(void)
{
    if (!watching || stopped)
        return;
    watching = 0;
    look();
    if (++events == stop_at) {
        put_image(throw_of(4), scratch);
        stopped = 1;
    }
    for (unsigned kind = 0; !stop_at && kind < 4; kind++) {
        put_image(kind, scratch);
        images++;
        const char *wrong = found(throw_of(2));
        bad += wrong != NULL;
        if (wrong && bad < 4)
            printf("  event %lu, kind %u: %s\n", events, kind, wrong);
    }
    watching = 1;
}

/* ---- what the header calls */

static unsigned which(int fd)
{
    struct stat a, b;
    unsigned i = 0;
    while (i < FILES &&
           (fstat(fd, &a) || stat(path_of(0, i), &b) || a.st_ino != b.st_ino))
        i++;
    return i;
}

static ssize_t watched_write(int fd, const void *p, size_t n, off_t off)
{
    crash();
    return pwrite(fd, p, n, off);
}

static int watched_sync(int fd)
{
    crash();
    unsigned i = watching ? which(fd) : FILES;
    if (i < FILES) {
        look();
        make_sure(i, 0, ROOM);
    }
    return 0;
}

static pair program;

static int watched_msync(void *p, size_t n, int how)
{
    (void)how;
    crash();
    for (unsigned i = 0; watching && i < 2; i++) {
        const alps_map *m = &core_of(i ? &program.two : &program.one)->map;
        uintptr_t off = (uintptr_t)p - (uintptr_t)m->base;
        if (m->base && off < m->size) {
            look();
            make_sure(2 * i, off, alps_round_up_(off + n, ALPS_PAGE));
        }
    }
    return 0;
}

/* ---- what is done */

static uint64_t numbers;

static uint64_t *new_object(side *r)
{
    uint64_t *p = (uint64_t *)(r->commits ? commits_reserve(&r->c, 40)
                                          : pages_reserve(&r->p, 40));
    if (!CHECK(p != NULL))
        abort();
    p[0] = ++numbers;
    p[1] = ~numbers;
    return p;
}

static int sync_side(side *r)
{
    return r->commits ? commits_sync(&r->c) : pages_sync(&r->p);
}

static void sync_all(void)
{
    CHECK_EQ(commits_space_sync(&program.space), 0);
    if (!stopped)
        is_sure();
}

static void make_link(unsigned i)
{
    links *l = links_of(&program);
    uint64_t *p = new_object(&program.two);
    now_names(i, numbers);
    int err = i < SLOTS
                  ? commits_far_publish(&program.space, &l->wide[i].far, p)
                  : commits_packed_publish(&program.space,
                                           &l->packed[i - SLOTS].packed, p);
    CHECK_EQ(err, 0);
    CHECK_EQ(number_at(&program, i), numbers);
}

static void cut_link(unsigned i)
{
    links *l = links_of(&program);
    now_names(i, 0);
    int err = i < SLOTS ? commits_far_release(&program.space, &l->wide[i].far)
                        : commits_packed_release(&program.space,
                                                 &l->packed[i - SLOTS].packed);
    CHECK_EQ(err, 0);
    CHECK_EQ(number_at(&program, i), 0);
}

static void work(unsigned steps)
{
    for (unsigned n = 0; n < steps && !stopped; n++) {
        unsigned i = throw_with(0, 2 * SLOTS), left = left_in(&program.one);
        unsigned what = throw_with(0, 10);
        if (left_in(&program.two) > left)
            left = left_in(&program.two);
        if (what == 9 || left > ALPS_PLEDGE_MAX - 2)
            sync_all();
        else if (what > 6)
            CHECK_EQ(sync_side(what == 7 ? &program.one : &program.two), 0);
        else if (number_at(&program, i))
            cut_link(i);
        else
            make_link(i);
        crash();
    }
}

static void begin(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        file[i].sure_n = file[i].now_n = 0;
        memset(file[i].sure, 0, ROOM);
        memset(file[i].now, 0, ROOM);
    }
    for (unsigned i = 0; i < 2 * SLOTS; i++) {
        may[i][0] = 0;
        may_n[i] = 1;
    }
    numbers = 0;
    stopped = 0;
    events = 0;
    for (unsigned k = 0; k < 2; k++)
        if (mkdir(folder[k], 0700))
            abort();
}

static void end(void)
{
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < FILES; i++)
            unlink(path_of(k, i));
        CHECK_EQ(rmdir(folder[k]), 0);
    }
}

/* From now on the files are watched: all so far is on the disk. */
static void watch(void)
{
    look();
    for (unsigned i = 0; i < FILES; i++) {
        memcpy(file[i].sure, file[i].now, ROOM);
        file[i].sure_n = file[i].now_n;
    }
    watching = 1;
}

static void a_life(unsigned seed, unsigned steps)
{
    begin();
    dice[0] = dice[1] = seed;
    CHECK_EQ(open_pair(&program, 0, 0), 0);
    CHECK_EQ(commits_space_sync(&program.space), 0);
    watch();
    work(steps);
    watching = 0;
    if (!stopped)
        sync_all();
    close_pair(&program, stopped);
}

/* What event `at` left is opened, with the power failing at each event of
 * that. Answers whether there was such an event. */
static int opened_again(unsigned seed, unsigned steps, unsigned long at)
{
    stop_at = at;
    a_life(seed, steps);
    stop_at = 0;
    int is = stopped;
    stopped = 0;
    for (unsigned i = 0; is && i < FILES; i++)
        if (unlink(path_of(0, i)) | rename(path_of(1, i), path_of(0, i)) &&
            errno != ENOENT)
            abort();
    if (is) {
        nested++;
        events = 0;
        watch();
        CHECK_EQ(open_pair(&program, 0, throw_of(2)), 0);
        watching = 0;
        close_pair(&program, 1);
    }
    end();
    return is;
}

/* Of three kinds of pairs: the links' region commits, or not; the objects'. */
static void for_pair(int one, int two, unsigned seed)
{
    unsigned long last;
    kinds[0] = one;
    kinds[1] = two;
    images = bad = nested = 0;
    a_life(seed, 60 / SLOW + 10);
    last = events;
    end();
    unsigned long step = last / (12 / SLOW) + 1;
    for (unsigned long at = 1 + seed % step; at <= last; at += step)
        if (!CHECK(opened_again(seed, 60 / SLOW + 10, at)))
            break;
    CHECK_EQ(bad, 0);
    printf("  %lu images, %lu opened again\n", images, nested);
}

static void both_commit(void)
{
    for_pair(1, 1, 3);
}

static void the_links_region_commits(void)
{
    for_pair(1, 0, 4);
}

static void the_objects_region_commits(void)
{
    for_pair(0, 1, 5);
}

int main(void)
{
    for (unsigned k = 0; k < 2; k++)
        snprintf(folder[k], sizeof folder[k], "/dev/shm/alps-test-%d-ties-%u",
                 (int)getpid(), k);
    for (unsigned i = 0; i < FILES; i++) {
        file[i].sure = (unsigned char *)malloc(ROOM);
        file[i].now = (unsigned char *)malloc(ROOM);
        CHECK(file[i].sure && file[i].now);
    }
    scratch = (unsigned char *)malloc(ROOM);
    RUN(both_commit);
    RUN(the_links_region_commits);
    RUN(the_objects_region_commits);
    return check_end("ties");
}
