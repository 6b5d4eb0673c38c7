/* test_spill.c -- a region larger than its memory, committed all at once
 *
 * Every crash, every sync left out and every failing call, as in test_torn.c:
 * a region of 60 pages in memory of 10, in segments of a page. */
#define TORN_PAGED
#include "torn.h"
#include "told.h"

/* What changes between the halves of a sync is spilled behind the commit, and
 * is not part of it; pages come home meanwhile. */
static void halves(unsigned syncs)
{
    unsigned behind = 0;
    dice = 99;
    begin(REGION, 8192);
    uint64_t *pages = (uint64_t *)alps_alloc(&heap, 20 * ALPS_PAGE);
    for (unsigned i = 0; i < syncs && CHECK(pages != NULL); i++) {
        alps_journal *j = heap.core.map.journal;
        change();
        remember(&heap);
        if (!CHECK_EQ(alps_sync_begin(&heap), 0))
            break;
        for (unsigned k = 0; i % 3 < 2 && k < 20; k++)
            pages[k * (ALPS_PAGE / 8)] = throw_of(1000);
        CHECK_EQ(alps_sync_end(&heap), 0);
        sure_state = states - 1;
        behind += j->start > ALPS_PAGE;
        crash();
    }
    CHECK_EQ(alps_discard(&heap), 0);
    crash();
    at = NULL;
    CHECK(behind > 0);
}

static void what_is_spilled_behind_a_commit_is_not_in_it(void)
{
    halves(10);
    printf("  %lu images, %lu recoveries with crashes of their own\n",
           count->images, count->nested);
    CHECK_EQ(count->bad, 0);
    CHECK(count->images > 200);
}

static void a_head_that_is_not_durable_is_noticed(void)
{
    lost_sync = SYNC_RESTART;
    for (unsigned tries = 0; tries < 4; tries++) {
        halves(10);
        if (count->bad)
            break;
    }
    lost_sync = 0;
    CHECK(count->bad > 0);
}

static void threads_are_in_other_tests(void)
{
    SKIP("one thread; minutes under ThreadSanitizer");
}

int main(int argc, char **argv)
{
    torn_begin(argc, argv, 1);
    seldom = 64;
    if (under_tsan) {
        RUN(threads_are_in_other_tests);
    } else {
        RUN(every_crash_leaves_a_state);
        RUN(every_crash_of_one_that_grows_and_shrinks);
        RUN(a_sync_left_out_is_noticed);
        RUN(what_is_spilled_behind_a_commit_is_not_in_it);
        RUN(a_head_that_is_not_durable_is_noticed);
        RUN(a_full_disk_at_any_call);
        RUN(an_error_at_any_call);
        if (may_be_told()) {
            torn_engine = ALPS_ENGINE_USERFAULTFD;
            RUN(every_crash_of_one_that_grows_and_shrinks);
            RUN(what_is_spilled_behind_a_commit_is_not_in_it);
            RUN(an_error_at_any_call);
        }
    }
    torn_end();
    return check_end("spill");
}
