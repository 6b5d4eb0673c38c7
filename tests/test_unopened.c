/* test_unopened.c -- a handle with no region behind it
 *
 * Zeroed by the program, left by an open that failed, or closed: every call
 * answers a code, NULL or nothing, and touches nothing. */
#include "worlds.h"
#include <fcntl.h>

static int never(void *context, void *p, size_t n)
{
    (void)p;
    (void)n;
    return ++*(int *)context;
}

static int never_named(void *context, const char *name, size_t length, void *p,
                       size_t n)
{
    (void)name;
    (void)length;
    (void)p;
    (void)n;
    return ++*(int *)context;
}

static int never_refers(void *context, alps_collecting *c, void *p, size_t n)
{
    (void)context;
    (void)c;
    (void)p;
    (void)n;
    return ALPS_EINVAL;
}

static void memory_is_refused(any_heap *h)
{
    uint64_t word = 0;
    char p[64] = "";
    CHECK(any_alloc(h, 16) == NULL && any_alloc(h, 1u << 20) == NULL);
    CHECK(any_zalloc(h, 16) == NULL && any_alloc_aligned(h, 64, 64) == NULL);
    CHECK(any_realloc(h, NULL, 16) == NULL && any_reserve(h, 16) == NULL);
    CHECK(any_reserve(h, 1u << 20) == NULL && any_root(h, 16) == NULL);
    CHECK(any_error(h) < 0);
    CHECK(any_free(h, p) < 0 && any_cancel(h, p) < 0);
    CHECK(any_publish(h, &word, p) < 0 && any_release(h, &word) < 0);
    CHECK(any_retire(h, p) < 0 && any_usable(h, p) == 0);
    CHECK(any_at(h, 4096) == NULL);
    CHECK(any_enter(h) < 0 && any_leave(h) < 0 && any_reap(h) < 0);
}

static void transactions_are_refused(any_heap *h)
{
    alps_tx t;
    uint64_t word = 0;
    CHECK(any_begin(h, &t) < 0);
    CHECK(any_tx_set(&t, &word, 1) < 0 && any_tx_publish(&t, &word, &word) < 0);
    CHECK(any_tx_release(&t, &word) < 0 && any_tx_free(&t, &word) < 0);
    CHECK(any_tx_snapshot(&t, &word, 8) < 0);
    CHECK(any_commit(&t) < 0 && any_abort(&t) < 0);
}

static void names_are_refused(any_heap *h)
{
    int calls = 0;
    alps_naming as;
    char p[64] = "";
    CHECK(any_construct(h, "a", 16) == NULL && any_error(h) < 0);
    CHECK(any_find(h, "a", NULL) == NULL);
    CHECK(any_find_or_construct(h, "a", 16) == NULL);
    CHECK(any_destroy(h, "a") < 0 && any_named(h, p, &as) < 0);
    CHECK(any_redescribe(h, p, "text", 4) < 0);
    CHECK(any_each_name(h, never_named, &calls) < 0 && !calls);
    CHECK(any_set_description(h, "text") < 0);
}

static void the_whole_is_refused(any_heap *h)
{
    int calls = 0;
    uint64_t skipped = 0;
    alps_report r;
    alps_statistics s;
    alps_description d;
    alps_collected sum;
    CHECK(any_check(h, &r) < 0 && any_check(h, NULL) < 0);
    CHECK(any_stats(h, &s) < 0 && any_describe(h, &d) < 0);
    CHECK(any_each(h, never, &calls) < 0 && !calls);
    CHECK(any_salvage(h, never, &calls, &skipped) < 0 && !calls);
    CHECK(any_collect(h, never_refers, NULL, &sum) < 0);
    CHECK(any_grow(h, 1u << 30) < 0 && any_trim(h) < 0);
    CHECK(any_sync(h) < 0 && any_sync_begin(h) < 0 && any_sync_end(h) < 0);
    CHECK(any_persist(h, &calls, 4) < 0);
    CHECK(any_snapshot(h, the_path) < 0 && access(the_path, F_OK) != 0);
    CHECK(any_deaths(h) == 0);
    CHECK(any_discard(h) < 0 && any_close(h) < 0);
}

static void everything_is_refused(any_heap *h)
{
    memory_is_refused(h);
    transactions_are_refused(h);
    names_are_refused(h);
    the_whole_is_refused(h);
    CHECK(fcntl(0, F_GETFD) >= 0); // 0 is nobody's but the program's
}

static void a_zeroed_one(void)
{
    memset(&heap, 0, sizeof heap);
    everything_is_refused(&heap);
}

static void one_whose_open_has_failed(void)
{
    alps_options o = options(1u << 20, 0);
    o.flags = 0;
    memset(&heap, 0xee, sizeof heap);
    if (is_anon())
        o.size = (uint64_t)1 << 60;
    CHECK(any_open(&heap, is_anon() ? NULL : "/dev/shm/alps-none/none", &o) <
          0);
    everything_is_refused(&heap);
}

static void a_closed_one(void)
{
    begin(16u << 20, 1u << 18);
    CHECK(any_alloc(&heap, 100) != NULL);
    CHECK_EQ(any_close(&heap), 0);
    if (!is_anon())
        CHECK_EQ(any_remove(place()), 0);
    everything_is_refused(&heap);
}

/* Where a sync is a commit, and where memory is paged. */
static const struct world further[] = {
    {"commits", &alps_backend_file_, &alps_policy_checkpoint_},
    {"paged", &alps_backend_paged_, &alps_policy_checkpoint_},
};

static void run_further(void (*test)(void), const char *name)
{
    char text[120];
    for (unsigned i = 0; i < sizeof further / sizeof *further; i++) {
        world = &further[i];
        choose(world->backend, world->policy);
        snprintf(text, sizeof text, "%s (%s)", name, world->name);
        check_run_(test, text);
    }
}

#define RUN_IN_ALL(name) (RUN_EVERYWHERE(name), run_further(name, #name))

int main(void)
{
    RUN_IN_ALL(a_zeroed_one);
    RUN_IN_ALL(one_whose_open_has_failed);
    RUN_IN_ALL(a_closed_one);
    return check_end("unopened");
}
