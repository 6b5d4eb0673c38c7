/* test_counts.c -- what each operation costs the medium, counted exactly
 *
 * The promise is a number of fences: reserve none, alloc, free and release as
 * many as stated, publish two as long as its contents are summed. Each call is
 * counted by itself, in a heap whose extents are in use, and every one of them
 * must cost the same: the worst and the best are compared, not the mean. */
#include "check.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned fences, flushed, streamed; // since the last `nothing_seen`

static int observe(int event, const void *p, size_t n)
{
    uintptr_t first = (uintptr_t)p / 64, last = ((uintptr_t)p + n + 63) / 64;
    if (event == 1) // ALPS_SAW_FLUSH, which is not defined yet
        flushed += (unsigned)(last - first);
    if (event == 2) // ALPS_SAW_FENCE
        fences++;
    if (event == 3) // ALPS_SAW_STREAM
        streamed++;
    return 0;
}
#define ALPS_OBSERVE(event, p, n) observe(event, p, n)

#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"

#define ALPS_NAME pages
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

enum { ROUNDS = 200, PAGE_ROUNDS = 12 };

/* The least and the most that one operation has cost. */
typedef struct cost {
    unsigned least, most, lines, streams;
} cost;

typedef struct costs {
    cost reserve, cancel, alloc, release, publish, give;
} costs;

static void nothing_seen(void)
{
    fences = flushed = streamed = 0;
}

static void seen(cost *c)
{
    c->least = fences < c->least ? fences : c->least;
    c->most = fences > c->most ? fences : c->most;
    c->lines = flushed > c->lines ? flushed : c->lines;
    c->streams = streamed > c->streams ? streamed : c->streams;
    nothing_seen();
}

static const costs none_yet = {
    {~0u, 0, 0, 0}, {~0u, 0, 0, 0}, {~0u, 0, 0, 0},
    {~0u, 0, 0, 0}, {~0u, 0, 0, 0}, {~0u, 0, 0, 0},
};

/* Measures all operations on objects of `n` bytes with an instance's own
 * functions. Before it counts it has had as much memory in use at once as it
 * will need, so that no extent is made meanwhile. */
#define MEASURE(name)                                                        \
  static void name##_measure(name##_heap *h, size_t n, int rounds, costs *c) \
  {                                                                          \
    static void *p[ROUNDS];                                                  \
    alps_off *dest = (alps_off *)name##_root(h, sizeof *dest * ROUNDS);      \
    int i;                                                                   \
    *c = none_yet;                                                           \
    CHECK(dest != NULL);                                                     \
    for (i = 0; i < rounds; i++)                                             \
      CHECK((p[i] = name##_alloc(h, n)) != NULL);                            \
    for (i = 0; i < rounds; i++)                                             \
      CHECK_EQ(name##_free(h, p[i]), 0);                                     \
    nothing_seen();                                                          \
    for (i = 0; i < rounds; i++, seen(&c->alloc))                            \
      CHECK((p[i] = name##_alloc(h, n)) != NULL);                            \
    for (i = 0; i < rounds; i++, seen(&c->give))                             \
      CHECK_EQ(name##_free(h, p[i]), 0);                                     \
    for (i = 0; i < rounds; i++, seen(&c->reserve))                          \
      CHECK((p[i] = name##_reserve(h, n)) != NULL);                          \
    for (i = 0; i < rounds; i++, seen(&c->cancel))                           \
      CHECK_EQ(name##_cancel(h, p[i]), 0);                                   \
    for (i = 0; i < rounds; i++)                                             \
      CHECK((p[i] = name##_reserve(h, n)) != NULL);                          \
    nothing_seen();                                                          \
    for (i = 0; i < rounds; i++, seen(&c->publish)) {                        \
      memset(p[i], i, n);                                                    \
      CHECK_EQ(name##_publish(h, &dest[i], p[i]), 0);                        \
    }                                                                        \
    for (i = 0; i < rounds; i++, seen(&c->release))                          \
      CHECK_EQ(name##_release(h, &dest[i]), 0);                              \
    CHECK_EQ(name##_check(h, NULL), 0);                                      \
  }
MEASURE(alps)
MEASURE(pages)
MEASURE(plain)

/* Every one of the operations cost exactly `want` fences. */
#define CHECK_COST(cost, want)      \
  do {                              \
    CHECK_EQ((cost).least, (want)); \
    CHECK_EQ((cost).most, (want));  \
  } while (0)

/* Neither region has a name that outlives the test, however it ends. */
static costs of_lines(size_t n)
{
    alps_options o;
    alps_heap h;
    costs c = none_yet;
    memset(&o, 0, sizeof o);
    o.size = 16u << 20;
    if (!CHECK_EQ(alps_open(&h, NULL, &o), 0))
        return c;
    alps_measure(&h, n, ROUNDS, &c);
    CHECK_EQ(alps_close(&h), 0);
    return c;
}

static costs of_pages(size_t n)
{
    alps_options o;
    pages_heap h;
    costs c = none_yet;
    char path[64];
    snprintf(path, sizeof path, "alps-test-counts-%ld", (long)getpid());
    memset(&o, 0, sizeof o);
    o.size = 1u << 20;
    o.flags = ALPS_CREATE | ALPS_EXCLUSIVE;
    if (!CHECK_EQ(pages_open(&h, path, &o), 0))
        return c;
    CHECK_EQ(unlink(path), 0);
    pages_measure(&h, n, PAGE_ROUNDS, &c);
    CHECK_EQ(pages_close(&h), 0);
    return c;
}

static void expect_summed(const costs *c)
{
    CHECK_COST(c->reserve, 0);
    CHECK_COST(c->cancel, 0);
    CHECK_COST(c->publish, 2);
    CHECK_COST(c->release, 2);
    CHECK_COST(c->alloc, 1);
    CHECK_COST(c->give, 1);
}

static void a_small_object_costs_two_fences_to_publish(void)
{
    costs c = of_lines(64);
    expect_summed(&c);
}

static void two_kib_are_still_summed(void)
{
    costs c = of_lines(2048);
    expect_summed(&c);
}

static void longer_contents_are_fenced_first(void)
{
    costs c = of_lines(4096);
    CHECK_COST(c.reserve, 0);
    CHECK_COST(c.publish, 3);
    CHECK_COST(c.release, 2);
    CHECK_COST(c.alloc, 1);
    CHECK_COST(c.give, 1);
}

/* At worst the object, two lines of the map, the word and the retire word; the
 * record goes past the caches. */
static void few_lines_are_written_back(void)
{
    costs c = of_lines(64);
    CHECK_EQ(c.publish.streams, 1);
    CHECK_EQ(c.release.streams, 1);
    CHECK_EQ(c.alloc.streams, 0);
    CHECK_EQ(c.reserve.lines, 0);
    CHECK(c.publish.lines >= 4 && c.publish.lines <= 5);
    CHECK(c.release.lines >= 3 && c.release.lines <= 4);
    CHECK(c.alloc.lines >= 1 && c.alloc.lines <= 2);
    CHECK(c.give.lines >= 1 && c.give.lines <= 2);
}

static void pages_cost_as_few_fences(void)
{
    costs c = of_pages(64);
    expect_summed(&c);
}

static void without_durability_nothing_is_asked_of_the_medium(void)
{
    plain_heap h;
    costs c = none_yet;
    if (!CHECK_EQ(plain_open(&h, NULL, NULL), 0))
        return;
    plain_measure(&h, 64, ROUNDS, &c);
    CHECK_EQ(plain_close(&h), 0);
    CHECK_COST(c.alloc, 0);
    CHECK_COST(c.give, 0);
    CHECK_EQ(c.alloc.lines, 0);
    CHECK_EQ(c.give.lines, 0);
}

/* What transactions cost: of `n` publishes of `size` bytes, of as many
 * releases, of 100 words, of snapshots, of both, of nothing. */
typedef struct deal {
    unsigned publish, release, set, keep, again, kept, both, abort, none, lines;
} deal;

#define DEAL(name)                                                 \
  static deal name##_deal(name##_heap *h, size_t size, unsigned n) \
  {                                                                \
    deal d;                                                        \
    name##_tx t;                                                   \
    void *p[64];                                                   \
    alps_off *dest = (alps_off *)name##_root(h, 4096);             \
    memset(&d, 0, sizeof d);                                       \
    for (int warm = 0; warm < 2; warm++) {                         \
      for (unsigned i = 0; i < n; i++)                             \
        memset(p[i] = name##_reserve(h, size), 1, size);           \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      for (unsigned i = 0; i < n; i++)                             \
        CHECK_EQ(name##_tx_publish(&t, &dest[i], p[i]), 0);        \
      nothing_seen();                                              \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.publish = fences;                                          \
      d.lines = flushed + streamed;                                \
      nothing_seen();                                              \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      for (unsigned i = 0; i < n; i++)                             \
        CHECK_EQ(name##_tx_release(&t, &dest[i]), 0);              \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.release = fences;                                          \
      nothing_seen();                                              \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      for (unsigned i = 0; i < 100; i++)                           \
        CHECK_EQ(name##_tx_set(&t, &dest[i], i), 0);               \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.set = fences;                                              \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      nothing_seen();                                              \
      CHECK_EQ(name##_tx_snapshot(&t, dest, 100), 0);              \
      d.keep = fences;                                             \
      CHECK_EQ(name##_tx_snapshot(&t, dest + 1, 50), 0);           \
      d.again = fences - d.keep;                                   \
      nothing_seen();                                              \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.kept = fences;                                             \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      CHECK_EQ(name##_tx_snapshot(&t, dest, 800), 0);              \
      memset(dest, 0, 800);                                        \
      CHECK_EQ(name##_tx_set(&t, dest, 0), 0);                     \
      nothing_seen();                                              \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.both = fences;                                             \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      CHECK_EQ(name##_tx_snapshot(&t, dest, 8), 0);                \
      nothing_seen();                                              \
      CHECK_EQ(name##_abort(&t), 0);                               \
      d.abort = fences;                                            \
      nothing_seen();                                              \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      CHECK_EQ(name##_tx_set(&t, dest, 0), 0);                     \
      CHECK_EQ(name##_abort(&t), 0);                               \
      CHECK_EQ(name##_begin(h, &t), 0);                            \
      CHECK_EQ(name##_commit(&t), 0);                              \
      d.none = fences;                                             \
    }                                                              \
    CHECK_EQ(name##_check(h, NULL), 0);                            \
    return d;                                                      \
  }
DEAL(alps)
DEAL(pages)
DEAL(plain)

static void expect_deal(deal d, unsigned publish)
{
    CHECK_EQ(d.publish, publish);
    CHECK_EQ(d.release, 2);
    CHECK_EQ(d.set, 2);
    CHECK_EQ(d.keep, 1);
    CHECK_EQ(d.again, 0);
    CHECK_EQ(d.kept, 2);
    CHECK_EQ(d.both, 3);
    CHECK_EQ(d.abort, 1);
    CHECK_EQ(d.none, 0);
}

/* Sixteen of them: each object and its line, two pairs and two lines of words
 * at most three, the record, the retire word. */
static void a_transaction_costs_two_fences(void)
{
    alps_options o;
    alps_heap h;
    memset(&o, 0, sizeof o);
    o.size = 16u << 20;
    if (!CHECK_EQ(alps_open(&h, NULL, &o), 0))
        return;
    expect_deal(alps_deal(&h, 64, 1), 2);
    deal d = alps_deal(&h, 64, 16);
    expect_deal(d, 2);
    CHECK(d.lines <= 16 + 16 + 8);
    expect_deal(alps_deal(&h, 2048, 64), 2);
    expect_deal(alps_deal(&h, 3000, 2), 3);
    CHECK_EQ(alps_close(&h), 0);
}

static void and_so_it_does_with_pages(void)
{
    alps_options o;
    pages_heap h;
    char path[64];
    snprintf(path, sizeof path, "alps-test-counts-%ld", (long)getpid());
    memset(&o, 0, sizeof o);
    o.size = 1u << 20;
    o.flags = ALPS_CREATE | ALPS_EXCLUSIVE;
    if (!CHECK_EQ(pages_open(&h, path, &o), 0))
        return;
    CHECK_EQ(unlink(path), 0);
    expect_deal(pages_deal(&h, 64, 16), 2);
    CHECK_EQ(pages_close(&h), 0);
}

static void and_none_where_only_processes_die(void)
{
    plain_heap h;
    if (!CHECK_EQ(plain_open(&h, NULL, NULL), 0))
        return;
    deal d = plain_deal(&h, 3000, 16);
    CHECK_EQ(d.publish + d.release + d.set + d.keep + d.kept + d.both + d.abort,
             0);
    CHECK_EQ(plain_close(&h), 0);
}

int main(void)
{
    RUN(a_transaction_costs_two_fences);
    RUN(and_so_it_does_with_pages);
    RUN(and_none_where_only_processes_die);
    RUN(a_small_object_costs_two_fences_to_publish);
    RUN(two_kib_are_still_summed);
    RUN(longer_contents_are_fenced_first);
    RUN(few_lines_are_written_back);
    RUN(pages_cost_as_few_fences);
    RUN(without_durability_nothing_is_asked_of_the_medium);
    return check_end("test_counts");
}
