/* test_spill.c -- a region larger than its memory, committed all at once
 *
 * Every crash, every sync left out and every failing call, as in test_torn.c:
 * a region of 60 pages in memory of 10, in segments of a page. */
#define TORN_PAGED
#include "torn.h"

static void threads_are_in_other_tests(void)
{
    SKIP("one thread; minutes under ThreadSanitizer");
}

int main(int argc, char **argv)
{
    torn_begin(argc, argv, 1);
    seldom = 32;
    if (under_tsan) {
        RUN(threads_are_in_other_tests);
    } else {
        RUN(every_crash_leaves_a_state);
        RUN(every_crash_of_one_that_grows_and_shrinks);
        RUN(a_sync_left_out_is_noticed);
        RUN(a_full_disk_at_any_call);
        RUN(an_error_at_any_call);
    }
    torn_end();
    return check_end("spill");
}
