/* paged.h -- a file in memory that is larger than the memory it may have
 *
 * Regions of half the limit, twice and four times as much: written from one end
 * to the other, read, updated; touched at random, a page or 64 KiB at a time;
 * touched with a fifth of it hot; three of them in a triad. Every file is cold
 * before: on the medium, and not in the page cache. */
#pragma once
#include "group.h"

#ifndef PEER_ORDERED
#  define PEER_ORDERED 1 // 0: it is for what is touched at random
#endif

#define BENCH_PIECE ((size_t)65536)
#define BENCH_WORDS (BENCH_PAGE / sizeof(uint64_t))

typedef struct bench_paged {
    peer p;
    const bench_scale *scale;
    const char *dir;
    const char *suffix; /* of the metrics: how large the region is */
    size_t limit;       /* bytes that there are for it */
    size_t memory;      /* of them, those that a peer is told it may have */
    size_t n;           /* of the region */
    uint64_t dice;
} bench_paged;

static void bench_paged_report(const bench_paged *b, const char *name,
                               double value)
{
    char metric[64];
    snprintf(metric, sizeof metric, "paged_%s%s", name, b->suffix);
    bench_report(metric, value);
}

/* ---- files --------------------------------------------------------------- */

static void bench_paged_path(const bench_paged *b, unsigned i, char *path,
                             size_t n)
{
    snprintf(path, n, "%s/region%u", b->dir, i);
}

/* The file is new and its blocks are there; or it is on the medium, and nothing
 * of it in memory. */
static void bench_paged_file(const bench_paged *b, unsigned i, int fresh)
{
    char path[4096];
    int fd, err;
    bench_paged_path(b, i, path, sizeof path);
    fd = open(path, O_RDWR | (fresh ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0)
        bench_die("%s: %s", path, strerror(errno));
    err = fresh ? posix_fallocate(fd, 0, (off_t)b->n) : 0;
    if (err || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        bench_die("%s: %s", path, strerror(err ? err : errno));
    close(fd);
}

static uint64_t *bench_paged_map(bench_paged *b, unsigned i, int fresh)
{
    char path[4096];
    bench_paged_file(b, i, fresh);
    bench_paged_path(b, i, path, sizeof path);
    return (uint64_t *)peer_map(&b->p, path, b->n);
}

/* ---- from one end to the other ------------------------------------------- */

static void bench_fill(uint64_t *word, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        word[i] = i;
}

static void bench_raise(uint64_t *word, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        word[i]++;
}

static uint64_t bench_words_sum(const uint64_t *word, size_t n)
{
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < n; i++)
        sum += word[i];
    return sum;
}

/* What a pass takes, by the clock on the wall and by that of the processor. */
typedef struct bench_lap_time {
    double wall, processor;
} bench_lap_time;

static bench_lap_time bench_paged_begin(void)
{
    bench_lap_time t;
    t.wall = bench_now();
    t.processor = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    return t;
}

/* Reports both, in microseconds a MiB. */
static void bench_paged_end(const bench_paged *b, const char *name,
                            bench_lap_time t)
{
    double mib = (double)b->n / (double)BENCH_MIB;
    char metric[32];
    t.wall = bench_now() - t.wall;
    t.processor = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - t.processor;
    if (!PEER_ORDERED)
        return;
    bench_paged_report(b, name, t.wall * 1e6 / mib);
    snprintf(metric, sizeof metric, "%s_processor", name);
    bench_paged_report(b, metric, t.processor * 1e6 / mib);
}

/* The sync is part of it. */
static void bench_paged_pass(bench_paged *b, const char *name,
                             void (*body)(uint64_t *, size_t), int fresh)
{
    uint64_t *word = bench_paged_map(b, 0, fresh);
    bench_lap_time t = bench_paged_begin();
    body(word, b->n / sizeof *word);
    peer_map_sync(&b->p, word, b->n);
    bench_paged_end(b, name, t);
    peer_unmap(&b->p, word, b->n);
}

/* `more` is what was added to every word. */
static void bench_paged_read(bench_paged *b, const char *name, uint64_t more)
{
    uint64_t *word = bench_paged_map(b, 0, 0), n = b->n / sizeof *word, sum;
    bench_lap_time t = bench_paged_begin();
    sum = bench_words_sum(word, n);
    if (name)
        bench_paged_end(b, name, t);
    if (sum != n / 2 * (n - 1) + more * n)
        bench_die("what was stored is not in the file");
    peer_unmap(&b->p, word, b->n);
}

static void bench_paged_sequential(bench_paged *b)
{
    bench_paged_pass(b, "write", bench_fill, 1);
    if (!PEER_ORDERED) // the file is there now, and that is all
        return;
    bench_paged_read(b, "read", 0);
    bench_paged_pass(b, "update", bench_raise, 0);
    bench_paged_read(b, NULL, 1);
}

/* ---- at random ----------------------------------------------------------- */

/* A page anywhere; or, four times in five, in the first fifth. */
static size_t bench_paged_draw(bench_paged *b, int skewed)
{
    unsigned pages = (unsigned)(b->n / BENCH_PAGE);
    if (skewed && bench_below(&b->dice, 5))
        pages /= 5;
    return bench_below(&b->dice, pages) * BENCH_WORDS;
}

/* Touches a page, or all pages of a piece. */
static inline void bench_paged_touch(uint64_t *word, size_t n, int write)
{
    size_t i;
    for (i = 0; i < n / sizeof *word; i += BENCH_WORDS)
        if (write)
            ++*(volatile uint64_t *)&word[i];
        else
            (void)*(volatile uint64_t *)&word[i];
}

/* A way to touch at random. */
typedef struct bench_touches {
    const char *name;
    size_t bytes;   /* at once */
    unsigned write; /* one in so many stores; 0: none */
    int skewed;
    unsigned times; /* as often as in the scale */
} bench_touches;

/* Half a second is enough of what is slow. */
#define BENCH_TOUCH_SECONDS 0.5

/* Touches until it is enough; answers how often that was. */
static unsigned bench_paged_touches(bench_paged *b, const bench_touches *t,
                                    uint64_t *word, double begin)
{
    const size_t mask = ~(t->bytes / sizeof *word - 1);
    unsigned most = t->times * b->scale->touches, i;
    for (i = 0; i < most; i++) {
        size_t at = bench_paged_draw(b, t->skewed) & mask;
        int write = t->write && bench_below(&b->dice, t->write) == 0;
        bench_paged_touch(word + at, t->bytes, write);
        if (i % 16 == 15 && bench_now() - begin > BENCH_TOUCH_SECONDS)
            return i + 1;
    }
    return most;
}

/* Microseconds a touch, with a part of the sync. What is skewed is touched as
 * often before, for the hot part to be there. */
static void bench_paged_random(bench_paged *b, const bench_touches *t)
{
    uint64_t *word = bench_paged_map(b, 0, 0);
    double begin;
    unsigned n;
    b->dice = 1;
    if (t->skewed)
        bench_paged_touches(b, t, word, bench_now());
    begin = bench_now();
    n = bench_paged_touches(b, t, word, begin);
    if (t->write)
        peer_map_sync(&b->p, word, b->n);
    bench_paged_report(b, t->name, (bench_now() - begin) / n * 1e6);
    peer_unmap(&b->p, word, b->n);
}

static void bench_paged_at_random(bench_paged *b)
{
    static const bench_touches way[] = {
        {"random_read", BENCH_PAGE, 0, 0, 1},
        {"random_write", BENCH_PAGE, 1, 0, 1},
        {"random_piece", BENCH_PIECE, 0, 0, 1},
        {"skewed", BENCH_PAGE, 5, 1, 6},
    };
    unsigned i;
    for (i = 0; i < sizeof way / sizeof *way; i++)
        bench_paged_random(b, &way[i]);
}

/* ---- STREAM's triad ------------------------------------------------------ */

/* a = b + 3 c, twice, and sync: microseconds a MiB of all three, each of which
 * is as large as the limit. */
static void bench_paged_triad(bench_paged *b)
{
    uint64_t *word[3];
    double begin, seconds;
    size_t i, n;
    unsigned k;
    b->n = b->limit;
    b->suffix = "";
    n = b->n / sizeof **word;
    peer_limit(&b->p, b->memory, 1);
    for (k = 0; k < 3; k++)
        word[k] = bench_paged_map(b, k, 1);
    bench_fill(word[1], n);
    bench_fill(word[2], n);
    peer_map_sync(&b->p, word[1], b->n);
    peer_map_sync(&b->p, word[2], b->n);
    begin = bench_now();
    for (k = 0; k < 2; k++)
        for (i = 0; i < n; i++)
            word[0][i] = word[1][i] + 3 * word[2][i];
    peer_map_sync(&b->p, word[0], b->n);
    seconds = bench_now() - begin;
    bench_paged_report(b, "triad",
                       seconds * 1e6 / (6.0 * (double)b->n / BENCH_MIB));
    for (k = 0; k < 3; k++)
        peer_unmap(&b->p, word[k], b->n);
}

/* ---- in core, and how much of it is -------------------------------------- */

/* Words all over, updated at random. */
static void bench_scatter(uint64_t *word, size_t n)
{
    uint64_t dice = 1;
    size_t i;
    for (i = 0; i < n / 16; i++)
        word[bench_below(&dice, (unsigned)n)]++;
}

/* What `body` takes, to what it takes in anonymous memory in turn with it. */
static double bench_paged_to_anon(uint64_t *ours, uint64_t *anon, size_t n,
                                  void (*body)(uint64_t *, size_t))
{
    double ratio[15], begin, middle;
    const unsigned rounds = sizeof ratio / sizeof *ratio;
    unsigned i;
    for (i = 0; i < rounds; i++) {
        begin = bench_now();
        body(anon, n);
        middle = bench_now();
        body(ours, n);
        ratio[i] = (bench_now() - middle) / (middle - begin);
    }
    return bench_median(ratio, rounds);
}

static void bench_paged_in_core(bench_paged *b)
{
    size_t n;
    uint64_t *ours, *anon;
    b->n = b->limit / 2;
    b->suffix = "";
    n = b->n / sizeof *ours;
    peer_limit(&b->p, b->memory, 0);
    ours = bench_paged_map(b, 0, 1);
    anon = (uint64_t *)bench_memory(b->n);
    bench_fill(ours, n);
    bench_fill(anon, n);
    bench_paged_report(b, "core_stream",
                       bench_paged_to_anon(ours, anon, n, bench_raise));
    bench_paged_report(b, "core_random",
                       bench_paged_to_anon(ours, anon, n, bench_scatter));
    munmap(anon, b->n);
    peer_unmap(&b->p, ours, b->n);
}

/* The most that is resident while four times the limit is updated, to the
 * limit. A page that is mapped twice counts once. */
static void bench_paged_resident(bench_paged *b)
{
    const char *path = "/proc/self/smaps_rollup";
    double before, most = 0, now;
    uint64_t *word;
    size_t n, i;
    b->n = 4 * b->limit;
    b->suffix = "";
    n = b->n / sizeof *word / 64;
    before = bench_proc(path, "Pss");
    peer_limit(&b->p, b->memory, 0);
    word = bench_paged_map(b, 0, 1);
    for (i = 0; i < 64; i++) {
        bench_raise(word + i * n, n);
        now = bench_proc(path, "Pss") - before;
        most = now > most ? now : most;
    }
    bench_paged_report(b, "resident", most / (double)b->memory);
    peer_unmap(&b->p, word, b->n);
}

static void bench_load_paged(const char *dir, const bench_scale *s)
{
    static const struct {
        const char *suffix;
        size_t halves;
    } size[] = {{"_4", 8}, {"_2", 4}, {"_half", 1}};
    bench_paged b;
    unsigned i;
    memset(&b, 0, sizeof b);
    b.scale = s;
    b.dir = dir;
    b.limit = s->limit * BENCH_MIB;
    // in a group the rest of it is for the page cache that files go through
    b.memory = bench_group_enter(b.limit) ? b.limit / 4 * 3 : b.limit;
    for (i = 0; i < s->regions; i++) {
        b.n = b.limit / 2 * size[i].halves;
        b.suffix = size[i].suffix;
        peer_limit(&b.p, b.memory, 0);
        bench_paged_sequential(&b);
        bench_paged_at_random(&b);
    }
    if (PEER_ORDERED)
        bench_paged_triad(&b);
    bench_paged_resident(&b);
    if (b.memory == b.limit) // beside as much anonymous memory
        bench_paged_in_core(&b);
}
