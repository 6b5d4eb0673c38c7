/* test_retire.c -- what can be retired, and what becomes of it
 *
 * Codes for what cannot; a region that is full, closed, copied, or inherited in
 * the middle; and what it costs. */
static __thread unsigned fences;

static int observe(int event)
{
    fences += event == 2; // ALPS_SAW_FENCE, which is not defined yet
    return 0;
}
#define ANY_APART
#define ALPS_OBSERVE(event, p, n) observe(event)
#include "things.h"

/* ---- codes */

/* It is not retired, nor freed in another way, and nothing has changed. */
static void refused(void *p)
{
    uint64_t before = fingerprint();
    CHECK_EQ(any_retire(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_free(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_publish(&heap, (alps_off *)any_root(&heap, 8), p),
             ALPS_EINVALID_FREE);
    CHECK(any_realloc(&heap, p, 10) == NULL);
    CHECK_EQ(fingerprint(), before);
}

static void what_is_not_alive_is_not_retired(void)
{
    furnish();
    CHECK_EQ(any_retire(&heap, NULL), 0);
    CHECK_EQ(any_enter(&heap), 0);
    retire_things();
    uint64_t retired = stats().retired;
    for (unsigned i = 0; i < 24; i++) {
        unsigned char *p = (unsigned char *)thing[i];
        refused(p); // for the second time
        refused(p + 8);
        refused(p + 64);
        void *reserved = any_reserve(&heap, size_of(i));
        CHECK_EQ(any_retire(&heap, reserved), ALPS_EINVALID_FREE);
        CHECK_EQ(any_cancel(&heap, reserved), 0);
        CHECK_EQ(any_retire(&heap, reserved), ALPS_EINVALID_FREE);
    }
    CHECK_EQ(stats().retired, retired);
    refused(heap.core.map.base);
    refused(heap.core.map.base + heap.core.map.size);
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    end();
}

static void *has_no_lane(void *unused)
{
    (void)unused;
    int bad = any_enter(&heap) != ALPS_EBUSY;
    bad += any_leave(&heap) != ALPS_EINVAL;
    bad += any_retire(&heap, thing[0]) != ALPS_EBUSY;
    bad += any_free(&heap, thing[0]) != 0; // it lived
    return bad ? thing : NULL;
}

static void a_thread_without_a_lane_is_told(void)
{
    alps_options o = options(4u << 20, 1u << 18);
    o.lanes = 2; // one for a thread, one for all others
    begin_with(o);
    thing[0] = any_alloc(&heap, 100);
    on_a_thread(has_no_lane);
    all_comes_back();
    end();
}

/* ---- full */

static void *filler[40000];

/* Fills the region, where `n` are there already; answers how many are now. */
static unsigned fill(unsigned n, size_t size)
{
    while (n < sizeof filler / sizeof *filler &&
           (filler[n] = any_alloc(&heap, size)) != NULL)
        n++;
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    return n;
}

/* Some of what fills it is retired; it is full until the reader has left. */
static void fill_and_drain(size_t size)
{
    begin(4u << 20, 1u << 18);
    void *room_for_a_note = any_alloc(&heap, 3000);
    unsigned n = fill(0, size), k = n / 2 < 50 ? n / 2 : 50;
    CHECK_EQ(any_free(&heap, room_for_a_note), 0);
    CHECK_EQ(any_enter(&heap), 0);
    for (unsigned i = 0; i < k; i++)
        CHECK_EQ(any_retire(&heap, filler[i * (n / k)]), 0);
    unsigned all = fill(n, size);
    CHECK_EQ(any_leave(&heap), 0);
    for (unsigned i = 0; i < k; i++)
        CHECK((filler[i * (n / k)] = any_alloc(&heap, size)) != NULL);
    for (unsigned i = 0; i < all; i++)
        CHECK_EQ(any_free(&heap, filler[i]), 0);
    all_comes_back();
    end();
}

static void a_full_region_is_drained_first(void)
{
    static const size_t size[] = {100, 600, 1024, 3000, 200000};
    for (unsigned i = 0; i < sizeof size / sizeof *size; i++)
        fill_and_drain(size[i]);
}

static void where_nothing_can_be_noted_nothing_is_done(void)
{
    alps_options o = options(1u << 20, 1u << 16);
    o.small = 1; // so that the last granule is taken
    begin_with(o);
    void *p = any_alloc(&heap, 3000);
    token_fill(p, 3000, 7);
    unsigned n = fill(0, 64);
    uint64_t before = fingerprint();
    CHECK_EQ(any_retire(&heap, p), ALPS_EFULL);
    CHECK_EQ(fingerprint(), before);
    CHECK_EQ(any_usable(&heap, p), 3008);
    CHECK(token_whole(p));
    CHECK_EQ(any_free(&heap, p), 0);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(any_retire(&heap, filler[i]), 0);
    all_comes_back();
    end();
}

/* ---- the region ends, or is copied */

static int counts(void *context, void *p, size_t n)
{
    (void)p;
    (void)n;
    ++*(unsigned *)context;
    return 0;
}

/* Retires every other thing, all of which wait; then the region is opened anew
 * after it came to its end. */
static void retired_is_free_after(void (*happens)(void))
{
    unsigned alive = 0;
    furnish();
    CHECK_EQ(any_enter(&heap), 0);
    for (unsigned i = 0; i < THINGS; i += 2)
        CHECK_EQ(any_retire(&heap, thing[i]), 0);
    happens();
    CHECK_EQ(any_leave(&heap), ALPS_EINVAL);
    CHECK_EQ(stats().retired, 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK(sound(&heap));
    CHECK_EQ(any_each(&heap, counts, &alive), 0);
    CHECK_EQ(alive, THINGS / 2);
    for (unsigned i = 0; i < THINGS; i++) {
        void *p = any_at(&heap, board->off[i]);
        CHECK(i % 2 == 0 || is_thing(p, i));
        CHECK_EQ(any_free(&heap, p), i % 2 ? 0 : ALPS_EINVALID_FREE);
    }
    all_comes_back();
    end();
}

static void close_and_open(void)
{
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(open_too(&heap), 0);
}

static void retired_is_free_after_a_crash(void)
{
    retired_is_free_after(crash);
}

static void retired_is_free_after_the_last_close(void)
{
    retired_is_free_after(close_and_open);
}

/* A child of a fork is no reader, nor retires. */
static int child_is_refused(void)
{
    uint64_t before = fingerprint();
    int bad = any_enter(&heap) != ALPS_EFORK;
    bad += any_leave(&heap) != ALPS_EFORK;
    bad += any_retire(&heap, thing[0]) != ALPS_EFORK;
    bad += any_retire(&heap, thing[95]) != ALPS_EFORK;
    return bad + (fingerprint() != before);
}

/* Of memory of one process it has a copy, where nobody reads yet. */
static int child_goes_on(void)
{
    check_bad_ = 0;
    CHECK_EQ(any_leave(&heap), ALPS_EINVAL);
    CHECK_EQ(any_enter(&heap), 0);
    make_things();
    retire_things();
    CHECK(any_trim(&heap) == 0 && sound(&heap));
    for (unsigned i = 0; i < THINGS; i++)
        CHECK(is_thing(thing[i], i));
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    return check_bad_ != 0;
}

static void the_child_of_a_fork_reads_for_itself(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    furnish();
    CHECK_EQ(any_enter(&heap), 0);
    if (is_anon())
        retire_things();
    CHECK_EQ(end_of(start_child(is_anon() ? child_goes_on : child_is_refused)),
             0);
    if (!is_anon())
        retire_things();
    all_is_kept();
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    end();
}

/* The table of reservations has grown, and what is retired leaves it last. */
static void a_table_that_has_grown_is_given_back(void)
{
    static void *p[600];
    uint64_t reserved = 0;
    begin(16u << 20, 1u << 18);
    void *q = any_alloc(&heap, 2000);
    for (unsigned i = 0; i < 600; i++) {
        CHECK((p[i] = any_reserve(&heap, 2000)) != NULL);
        reserved += any_usable(&heap, p[i]);
    }
    CHECK_EQ(stats().reserved, reserved); // the table itself is not
    CHECK_EQ(any_retire(&heap, q), 0);
    for (unsigned i = 0; i < 600; i++)
        CHECK_EQ(any_cancel(&heap, p[i]), 0);
    all_comes_back();
    CHECK_EQ(stats().reserved, 0);
    end();
}

static void *leaves_things(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 8; i++)
        thing[i] = any_alloc(&heap, 200);
    return NULL;
}

/* Objects of a slab that nobody owns: each is counted once. */
static void what_an_ended_thread_left_is_retired(void)
{
    begin(4u << 20, 1u << 18);
    on_a_thread(leaves_things);
    CHECK_EQ(any_free(&heap, any_alloc(&heap, 100)), 0); // has its slab
    CHECK_EQ(any_enter(&heap), 0);
    alps_statistics s = stats();
    uint64_t all = s.used + s.free + s.spare;
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(any_retire(&heap, thing[i]), 0);
    s = stats();
    CHECK_EQ(s.used, 0);
    CHECK_EQ(s.reserved, 0);
    CHECK_EQ(s.retired, 8 * 224 + sizeof(alps_chunk));
    CHECK_EQ(s.free + s.spare + s.retired, all);
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    end();
}

/* ---- what it costs */

static unsigned fences_of(int err)
{
    unsigned n = fences;
    CHECK_EQ(err, 0);
    fences = 0;
    return n;
}

static void to_retire_is_one_fence_and_to_read_is_none(void)
{
    unsigned want = manner.durable ? 1 : 0;
    begin(16u << 20, 1u << 18);
    for (unsigned i = 0; i < 400; i++) {
        void *p = any_alloc(&heap, i % 3 ? 200 : 2000);
        fences = 0;
        CHECK_EQ(fences_of(any_enter(&heap)), 0);
        CHECK_EQ(fences_of(any_leave(&heap)), 0);
        CHECK_EQ(fences_of(any_retire(&heap, p)), want);
    }
    all_comes_back();
    end();
}

int main(void)
{
    if (board_begin())
        return 2;
    RUN_EVERYWHERE(what_is_not_alive_is_not_retired);
    RUN_EVERYWHERE(a_thread_without_a_lane_is_told);
    RUN_EVERYWHERE(a_full_region_is_drained_first);
    RUN_EVERYWHERE(where_nothing_can_be_noted_nothing_is_done);
    RUN_WHERE_BYTES_STAY(retired_is_free_after_a_crash);
    RUN_WHERE_BYTES_STAY(retired_is_free_after_the_last_close);
    RUN_EVERYWHERE(the_child_of_a_fork_reads_for_itself);
    RUN_EVERYWHERE(a_table_that_has_grown_is_given_back);
    RUN_EVERYWHERE(what_an_ended_thread_left_is_retired);
    RUN_EVERYWHERE(to_retire_is_one_fence_and_to_read_is_none);
    return check_end("retire");
}
