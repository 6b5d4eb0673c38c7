/* test_ties.c -- links between regions of which one commits by moments
 *
 * Links are made and cut by a program that syncs now the one region and now the
 * other. At each write and sync of its files, and at each fence, the power
 * fails: of each file the disk has what was synced, or what was written, or a
 * mixture by sectors; of persistent memory there are the lines that were
 * fenced, or all that was stored, or any words of that. What is opened then has,
 * for each link, one of the objects that it has named since it was last sure, or
 * none if it was that; no object that is not linked; and is the same when it is
 * opened once more. Some of what a crash leaves is opened with the power failing
 * again; and some of what a process leaves that is killed, with the power
 * failing after that. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t watched_write(int fd, const void *p, size_t n, off_t off);
static int watched_sync(int fd);
static int watched_msync(void *p, size_t n, int how);
static int watched_lines(int event, const void *p, size_t n);
#define pwrite(fd, p, n, off) watched_write(fd, p, n, off)
#define fdatasync(fd) watched_sync(fd)
#define fsync(fd) watched_sync(fd)
#define msync(p, n, how) watched_msync(p, n, how)
#define ALPS_PAGED_WRITE(fd, p, n, off) watched_write(fd, p, n, (off_t)(off))
#define ALPS_OBSERVE(event, p, n) watched_lines(event, p, n)
#define ALPS_JOURNAL_MAX ((uint64_t)128 << 10)
#define ALPS_JOURNAL_AHEAD 3u
#include "pairs.h"
#undef pwrite
#undef fdatasync
#undef fsync
#undef msync

/* All that a crash may leave would be minutes; `make soak` takes all. */
#ifdef ALL
#  define SPARE 1u
#else
#  define SPARE (5u * SLOW)
#endif

#define SECTOR 512u
#define ROOM (3u << 20) // bytes of any file, at most

/* ---- the disk */

enum { FILES = 4 };
static const char *const names[FILES] = {"one", "one.journal", "two",
                                         "two.journal"};
static struct file {
    unsigned char *sure, *now;
    unsigned char *flushed; // of lines: what the next fence makes sure
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

/* Whether the file is persistent memory: sure is what was flushed and fenced. */
static int is_lines(unsigned i)
{
    return i % 2 == 0 && kinds[i / 2] == LINES;
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

/* Files as a crash may leave them: 0: as the system has them, which is what a
 * kill leaves, 1: as they were synced, 2: each as the one or the other, 3: by
 * sectors or words. */
static void put_image(unsigned kind, unsigned char *bytes)
{
    for (unsigned i = 0; i < FILES; i++) {
        const struct file *f = &file[i];
        unsigned way = kind == 2 ? throw_of(2) : kind;
        size_t n = way == 1 ? f->sure_n : f->now_n;
        size_t step = is_lines(i) ? sizeof(uint64_t) : SECTOR;
        memcpy(bytes, way == 1 ? f->sure : f->now, n);
        for (size_t s = 0; way == 3 && s < n; s += step) {
            size_t k = n - s < step ? n - s : step;
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

/* ---- what is found */

static pair image, program;

static int open_in(pair *g, unsigned where, unsigned first)
{
    const char *path[2] = {path_of(where, 0), path_of(where, 2)};
    return open_pair(g, path, first, where == 1);
}

/* The image is opened, and once more. */
static const char *found(unsigned first)
{
    uint64_t got[LINKS], again[LINKS];
    int err = open_in(&image, 1, first);
    const char *wrong = err ? alps_error_text_(err) : judge(&image, got);
    close_pair(&image, !err && throw_of(2)); // or it is killed
    if (wrong || throw_of(SPARE))
        return wrong;
    err = open_in(&image, 1, !first);
    wrong = err ? alps_error_text_(err) : judge(&image, again);
    close_pair(&image, 0);
    if (!wrong && memcmp(got, again, sizeof got))
        wrong = "another opening finds something else";
    return wrong;
}

static unsigned char *scratch;
static unsigned long stop_at; // the event whose image the program goes on with
static int stopped;
static int killed;  // no power fails at that event
static int opening; // 1: the program opens what is left, 2: it has
static const unsigned one_of[] = {2, 12, 1}; // images, at an event
static struct model then;                    // what was known at that event

/* The power fails. */
static void crash(void)
{
    if (!watching || stopped)
        return;
    watching = 0;
    choose_kinds(1);
    look();
    if (++events == stop_at) {
        put_image(killed ? 0 : throw_of(4), scratch);
        then = *model;
        stopped = 1;
    }
    for (unsigned kind = 0; !stop_at && kind < 4; kind++) {
        if (SPARE > 1 && throw_of(one_of[opening]))
            continue;
        put_image(kind, scratch);
        images++;
        const char *wrong = found(throw_of(2));
        bad += wrong != NULL;
        if (wrong && bad < 4)
            printf("  event %lu, kind %u: %s\n", events, kind, wrong);
    }
    choose_kinds(0);
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
    unsigned i = watching && !stopped ? which(fd) : FILES;
    if (i < FILES && !is_lines(i)) {
        look();
        make_sure(i, 0, ROOM);
    }
    return 0;
}

/* The file that `p` is in, as the program maps it, and where; or FILES. */
static unsigned place_of(const void *p, size_t *off)
{
    for (unsigned side = 0; side < 2; side++) {
        const alps_map *m = &core_of(&program, side)->map;
        *off = (uintptr_t)p - (uintptr_t)m->base;
        if (m->base && *off < m->size)
            return 2 * side;
    }
    return FILES;
}

static int watched_msync(void *p, size_t n, int how)
{
    size_t off;
    (void)how;
    crash();
    unsigned i = watching && !stopped ? place_of(p, &off) : FILES;
    if (i < FILES && !is_lines(i)) {
        look();
        make_sure(i, off, alps_round_up_(off + n, ALPS_PAGE));
    }
    return 0;
}

/* Lines that were streamed since the last fence: they are not there yet when
 * that is told. */
static size_t streamed[64];
static unsigned streamed_n;
static int on_the_way; // something was flushed

static void take_lines(unsigned i, size_t off, size_t n)
{
    size_t from = off / ALPS_LINE * ALPS_LINE;
    size_t to = alps_round_up_(off + n, ALPS_LINE);
    memcpy(file[i].flushed + from, core_of(&program, i / 2)->map.base + from,
           to - from);
}

static void fence(void)
{
    for (unsigned k = 0; k < streamed_n; k++)
        take_lines(streamed[k] % FILES, streamed[k] / FILES * ALPS_LINE,
                   ALPS_LINE);
    if (on_the_way)
        crash();
    for (unsigned i = 0; i < FILES && !stopped; i++)
        if (on_the_way && is_lines(i))
            memcpy(file[i].sure, file[i].flushed, file[i].sure_n);
    streamed_n = 0;
    on_the_way = 0;
}

static int watched_lines(int event, const void *p, size_t n)
{
    size_t off = 0;
    if (!watching || stopped)
        return 0;
    if (event == ALPS_SAW_FENCE)
        fence();
    unsigned i = p && event != ALPS_SAW_LOCK ? place_of(p, &off) : FILES;
    if (i == FILES || !is_lines(i))
        return 0;
    on_the_way = 1;
    if (event == ALPS_SAW_FLUSH)
        take_lines(i, off, n);
    else if (streamed_n < 64)
        streamed[streamed_n++] = off / ALPS_LINE * FILES + i;
    else
        abort();
    return 0;
}

/* ---- what is done */

/* So many steps at random; or, 0, a short life. */
static void work(unsigned steps)
{
    unsigned last = steps ? steps : (unsigned)SHORT_STEPS;
    for (unsigned n = 0; n < last && !stopped; n++) {
        unsigned i = throw_with(0, LINKS), what = throw_with(0, 20);
        int err = steps ? a_step(&program, what, i) : short_step(&program, n);
        if (!stopped)
            CHECK_EQ(err, 0);
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
    model_begin();
    choose_kinds(0);
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

/* From now on the files are watched. All so far is on the disk; or was left by
 * a process that was killed, and what is sure is what was. */
static void watch(int after_a_kill)
{
    look();
    for (unsigned i = 0; i < FILES; i++) {
        if (!after_a_kill) {
            memcpy(file[i].sure, file[i].now, ROOM);
            file[i].sure_n = file[i].now_n;
        }
        memcpy(file[i].flushed, file[i].sure, ROOM);
    }
    streamed_n = 0;
    on_the_way = 0;
    watching = 1;
}

static void a_life(unsigned seed, unsigned steps)
{
    begin();
    dice[0] = dice[1] = seed;
    CHECK_EQ(open_in(&program, 0, 0), 0);
    if (steps) // else the first sync, too, is watched
        CHECK_EQ(from_space_sync(&program.space), 0);
    watch(0);
    work(steps);
    watching = 0;
    if (!stopped)
        CHECK_EQ(commit_both(&program), 0);
    close_pair(&program, stopped);
}

/* What was found stays, whatever fails then; and more is done. */
static void go_on(void)
{
    int err = ALPS_OK;
    for (unsigned i = 0; i < LINKS; i++)
        names_only(i, number_at(&program, i));
    opening = 2;
    crash();
    opening = 1;
    for (unsigned k = 0; !err && k < 3; k++)
        err = word_of(&program, short_link[k])
                  ? cut_link(&program, short_link[k])
                  : make_link(&program, short_link[k]);
    CHECK_EQ(err, 0);
    CHECK_EQ(commit_both(&program), 0);
    opening = 2;
    crash();
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
        *model = then;
        watch(killed);
        opening = 1;
        if (CHECK_EQ(open_in(&program, 0, throw_of(2)), 0))
            go_on();
        opening = 0;
        watching = 0;
        close_pair(&program, 1);
    }
    end();
    return is;
}

/* A life; and what a power failure leaves at one event of `every`, and a kill at
 * one of `kill_every`. */
static void live(unsigned seed, unsigned steps, unsigned long every,
                 unsigned long kill_every)
{
    a_life(seed, steps);
    unsigned long last = events;
    end();
    for (unsigned long at = 1; at <= last; at++)
        for (killed = 0; killed < 2; killed++)
            if ((at + seed) % (killed ? kill_every : every) == 0 &&
                !CHECK(opened_again(seed, steps, at)))
                return;
}

/* A pair of kinds: of the region that most links are in, of the other. */
static void for_pair(unsigned one, unsigned two, unsigned seed)
{
    unsigned paged = one == PAGED || two == PAGED ? 3 : 1; // has more events
    kinds[0] = one;
    kinds[1] = two;
    images = bad = nested = 0;
    live(seed, 50 / SLOW / paged + 10, 16 * SPARE, 16 * SPARE);
    live(seed, 0, SPARE > 1 ? 3 * paged * SPARE : 1,
         SPARE > 1 ? 2 * paged * SLOW : 1);
    CHECK_EQ(bad, 0);
    printf("  %lu images, %lu opened again\n", images, nested);
}

static void both_commit(void)
{
    for_pair(COMMITS, COMMITS, 3);
}

static void one_commits_beside_pages(void)
{
    for_pair(COMMITS, PAGES, 4);
    for_pair(PAGES, COMMITS, 5);
}

static void one_commits_beside_persistent_memory(void)
{
    for_pair(COMMITS, LINES, 6);
    for_pair(LINES, COMMITS, 7);
}

static void one_is_larger_than_its_memory(void)
{
    for_pair(PAGED, COMMITS, 8);
    for_pair(LINES, PAGED, 9);
}

static void both_are_larger_than_their_memory(void)
{
    for_pair(PAGED, PAGED, 10);
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    for (unsigned k = 0; k < 2; k++)
        snprintf(folder[k], sizeof folder[k], "/dev/shm/alps-test-%d-ties-%u",
                 (int)getpid(), k);
    for (unsigned i = 0; i < FILES; i++) {
        file[i].sure = (unsigned char *)malloc(ROOM);
        file[i].now = (unsigned char *)malloc(ROOM);
        file[i].flushed = (unsigned char *)malloc(ROOM);
        CHECK(file[i].sure && file[i].now && file[i].flushed);
    }
    scratch = (unsigned char *)malloc(ROOM);
    model = (struct model *)malloc(sizeof *model);
    CHECK(scratch && model);
    RUN(both_commit);
    RUN(one_commits_beside_pages);
    RUN(one_commits_beside_persistent_memory);
    RUN(one_is_larger_than_its_memory);
    RUN(both_are_larger_than_their_memory);
    return check_end("ties");
}
