/* own.h -- loads whose workers free what they allocated themselves */
#pragma once
#include "team.h"

/* An object of `n` bytes into which one word is stored. The compiler does not
 * know what becomes of it, so it cannot leave out anything. */
static inline void *bench_take(peer *p, size_t n)
{
    uint64_t *o = (uint64_t *)peer_alloc(p, n);
    if (!o)
        bench_die("an allocation of %zu bytes failed", n);
    *o = n;
    bench_keep(o);
    return o;
}

/* Random sizes, drawn before the time is taken. */
#define BENCH_SIZES 4096u

static uint16_t *bench_sizes(bench_worker *w, uint16_t (*draw)(uint64_t *dice))
{
    uint16_t *size = (uint16_t *)bench_memory(BENCH_SIZES * sizeof *size);
    unsigned i;
    for (i = 0; i < BENCH_SIZES; i++)
        size[i] = draw(&w->dice);
    return size;
}

/* As many of one size as of any other. */
static uint16_t bench_draw_even(uint64_t *dice)
{
    return (uint16_t)(16 + bench_below(dice, 1009));
}

/* Half of the objects have 16..31 bytes, half of the others 32..63, and so on
 * up to a few of 2 KiB. */
static uint16_t bench_draw_skewed(uint64_t *dice)
{
    unsigned least = 16;
    while (least < 1024 && bench_random(dice) >> 63)
        least *= 2;
    return (uint16_t)(least + bench_below(dice, least));
}

/* pair: allocate one object, store into it, free it. The size is a constant,
 * as in `malloc(sizeof *p)`. */
#define BENCH_PAIRS(size)                             \
  static void bench_pairs_##size(peer *p, unsigned n) \
  {                                                   \
    while (n--)                                       \
      peer_free(p, bench_take(p, size));              \
  }                                                   \
  static void bench_work_pair##size(bench_worker *w)  \
  {                                                   \
    bench_pairs_##size(w->p, 2000);                   \
    bench_start(w);                                   \
    do {                                              \
      bench_pairs_##size(w->p, 20000);                \
    } while (bench_goes_on(w, 20000));                \
  }
BENCH_PAIRS(64)
BENCH_PAIRS(256)
BENCH_PAIRS(4096)

/* threadtest: allocate very many objects of one size, then free them all. */
#define BENCH_ROW 100000u

static void bench_row(peer *p, void **object)
{
    unsigned i;
    for (i = 0; i < BENCH_ROW; i++)
        object[i] = bench_take(p, 64);
    for (i = 0; i < BENCH_ROW; i++)
        peer_free(p, object[i]);
}

static void bench_work_threadtest(bench_worker *w)
{
    void **object = (void **)bench_memory(BENCH_ROW * sizeof *object);
    bench_row(w->p, object); // touches the pages
    bench_start(w);
    do {
        bench_row(w->p, object);
    } while (bench_goes_on(w, 2 * BENCH_ROW));
}

/* larson: a server. One object of a thread's array after the other is replaced
 * by one of another size; after some time the thread ends, and a new one goes
 * on with the array. */
#define BENCH_ARRAY 1000u
#define BENCH_GENERATION 20000u

typedef struct bench_server {
    peer *p;
    const uint16_t *size;
    uint64_t dice;
    void *object[BENCH_ARRAY];
} bench_server;

static void *bench_serve(void *context)
{
    bench_server *s = (bench_server *)context;
    unsigned i;
    for (i = 0; i < BENCH_GENERATION; i++) {
        void **o = &s->object[bench_below(&s->dice, BENCH_ARRAY)];
        if (*o)
            peer_free(s->p, *o);
        *o = bench_take(s->p, s->size[i % BENCH_SIZES]);
    }
    return NULL;
}

static void bench_serve_in_thread(bench_server *s)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, bench_serve, s))
        bench_die("no thread");
    pthread_join(thread, NULL);
}

static void bench_work_larson(bench_worker *w)
{
    bench_server *s = (bench_server *)bench_memory(sizeof *s);
    unsigned i;
    s->p = w->p;
    s->dice = w->dice;
    s->size = bench_sizes(w, bench_draw_even);
    bench_serve_in_thread(s); // fills the array
    bench_start(w);
    do {
        bench_serve_in_thread(s);
    } while (bench_goes_on(w, BENCH_GENERATION));
    for (i = 0; i < BENCH_ARRAY; i++)
        if (s->object[i])
            peer_free(s->p, s->object[i]);
}

/* shbench: small objects mostly, most of which live for a short time and some
 * for a long one. */
#define BENCH_YOUNG 64u
#define BENCH_OLD 8192u

static void bench_mix(peer *p, void **object, const uint16_t *size,
                      uint64_t *dice)
{
    unsigned i, k;
    for (i = 0; i < BENCH_SIZES; i++) {
        k = i % 4 ? bench_below(dice, BENCH_YOUNG)
                  : BENCH_YOUNG + bench_below(dice, BENCH_OLD);
        if (object[k])
            peer_free(p, object[k]);
        object[k] = bench_take(p, size[i]);
    }
}

static void bench_work_shbench(bench_worker *w)
{
    const unsigned n = BENCH_YOUNG + BENCH_OLD;
    void **object = (void **)bench_memory(n * sizeof *object);
    uint16_t *size = bench_sizes(w, bench_draw_skewed);
    unsigned i;
    for (i = 0; i < 24; i++) // nearly all of the old ones are there then
        bench_mix(w->p, object, size, &w->dice);
    bench_start(w);
    do {
        bench_mix(w->p, object, size, &w->dice);
    } while (bench_goes_on(w, BENCH_SIZES));
    for (i = 0; i < n; i++)
        if (object[i])
            peer_free(w->p, object[i]);
}

/* rand1m: a million objects of random size, freed in random order, twice: the
 * first time every page is new. A team shares the million. */
#define BENCH_RAND1M                                            \
  "rand1m_cold_alloc", "rand1m_cold_free", "rand1m_warm_alloc", \
      "rand1m_warm_free"

static void bench_rand(bench_worker *w, void **object, const uint16_t *size,
                       const unsigned *order, unsigned n, double *figure)
{
    double begin, middle, end;
    unsigned i;
    bench_meet(w);
    begin = bench_time(w);
    for (i = 0; i < n; i++)
        object[i] = bench_take(w->p, size[i]);
    middle = bench_time(w);
    bench_meet(w);
    figure[0] = (middle - begin) / n * 1e9;
    middle = bench_time(w);
    for (i = 0; i < n; i++)
        peer_free(w->p, object[order[i]]);
    end = bench_time(w);
    figure[1] = (end - middle) / n * 1e9;
}

static void bench_work_rand1m(bench_worker *w)
{
    unsigned n = w->scale->objects / w->of, i, j, other;
    void **object = (void **)bench_memory(n * sizeof *object);
    uint16_t *size = (uint16_t *)bench_memory(n * sizeof *size);
    unsigned *order = (unsigned *)bench_memory(n * sizeof *order);
    for (i = 0; i < n; i++) {
        size[i] = bench_draw_even(&w->dice);
        j = bench_below(&w->dice, i + 1);
        other = order[j];
        order[j] = i;
        order[i] = i == j ? i : other;
    }
    bench_rand(w, object, size, order, n, w->figure);
    bench_rand(w, object, size, order, n, w->figure + 2);
}

/* churn: random objects come and go while 70 % of 128 MiB is live; what is
 * compared is the memory that was resident at the peak with the bytes that
 * were asked for at the peak. Every byte is written, so that what an allocator
 * spreads its objects over is what is resident. A team shares the bytes and
 * the operations. Of processes that share memory each is counted for its part
 * of what is resident at the end, as much as ever is live then. */
static double bench_resident(const bench_worker *w)
{
    return w->apart ? bench_proc("/proc/self/smaps_rollup", "Pss")
                    : bench_proc("/proc/self/status", "VmHWM");
}

typedef struct bench_crowd {
    void **object;
    uint16_t *size;
    unsigned n;
    uint64_t live; /* bytes */
    uint64_t peak;
} bench_crowd;

static void bench_crowd_add(bench_crowd *c, peer *p, unsigned size, int fill)
{
    c->object[c->n] = bench_take(p, size);
    memset(c->object[c->n], fill, size);
    c->size[c->n++] = (uint16_t)size;
    c->live += size;
    if (c->peak < c->live)
        c->peak = c->live;
}

static void bench_crowd_drop(bench_crowd *c, peer *p, unsigned k)
{
    peer_free(p, c->object[k]);
    c->live -= c->size[k];
    c->object[k] = c->object[--c->n];
    c->size[k] = c->size[c->n];
}

static void bench_work_churn(bench_worker *w)
{
    const uint64_t full = 128 * BENCH_MIB * 7 / 10 / w->of;
    const size_t most = (size_t)full / 16;
    const unsigned operations = w->scale->churn / w->of;
    bench_crowd c = {NULL, NULL, 0, 0, 0};
    double ours =
        (double)(most * w->threads * (sizeof *c.object + sizeof *c.size));
    unsigned i;
    c.object = (void **)bench_memory(most * sizeof *c.object);
    c.size = (uint16_t *)bench_memory(most * sizeof *c.size);
    bench_start(w);
    for (i = 0; i < operations; i++) {
        unsigned size = 16 + bench_below(&w->dice, 4081);
        if (c.live + size <= full)
            bench_crowd_add(&c, w->p, size, (int)i);
        else
            bench_crowd_drop(&c, w->p, bench_below(&w->dice, c.n));
    }
    bench_goes_on(w, operations);
    w->figure[1] = w->figure[0];
    bench_meet(w);
    w->figure[0] = (bench_resident(w) - w->resident - ours) /
                   ((double)c.peak * w->threads);
    bench_meet(w);
}
