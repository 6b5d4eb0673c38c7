/* test_torn.c -- every crash of a checkpoint, and every failing call
 *
 * The files of a region are watched: each write and each sync is seen before it
 * happens. At every one of them the power fails: of each 512 bytes written since
 * the last sync of their file the disk has any state they went through. What is
 * then found has to be, byte for byte, the region as of the last sync that
 * returned, or of the one that was under way; also after a crash in the
 * recovery. Leaving any one sync out has to be noticed. And each call fails
 * once: with a full disk, with an error that drops what was to be written. */
#include "torn.h"

/* Somebody stores all the time, also before the clone and behind it: the moment
 * is the clone's, and what came later is in the next sync. */
static void *sleeps(void *context)
{
    const volatile int *wake = (const volatile int *)context;
    while (!*wake)
        usleep(1000);
    return NULL;
}

static void a_clone_is_of_one_moment(void)
{
    pthread_t other; // one thread alone would not be looked after
    static volatile int wake;
    begin(REGION, 8192);
    if (heap.core.map.journal->way != ALPS_DIRTY_SCAN) {
        SKIP("asks for PAGEMAP_SCAN, Linux 6.7");
        return;
    }
    busy = (uint64_t *)alps_alloc_aligned(&heap, ALPS_PAGE, 16 * ALPS_PAGE);
    uint64_t *pages = busy;
    pthread_create(&other, NULL, sleeps, (void *)(uintptr_t)&wake);
    for (unsigned i = 0; i < 6; i++) {
        busy = pages;
        CHECK_EQ(synced(), 0);
        crash();
        busy = NULL;
        change();
        CHECK_EQ(synced(), 0);
        crash();
    }
    CHECK_EQ(count->bad, 0);
    CHECK_EQ(alps_discard(&heap), 0);
    at = NULL;
    wake = 1;
    pthread_join(other, NULL);
}

static void threads_are_in_other_tests(void)
{
    SKIP("one thread; minutes under ThreadSanitizer");
}

/* Twice as many images where they are made soonest. */
#if defined __clang__ || defined __SANITIZE_ADDRESS__
static const unsigned usual = 1;
#else
static const unsigned usual = 2;
#endif

int main(int argc, char **argv)
{
    torn_begin(argc, argv, usual);
    if (under_tsan) {
        RUN(threads_are_in_other_tests);
    } else {
        RUN(every_crash_leaves_a_state);
        RUN(every_crash_of_one_that_grows_and_shrinks);
        RUN(a_clone_is_of_one_moment);
        RUN(a_sync_left_out_is_noticed);
        RUN(a_full_disk_at_any_call);
        RUN(an_error_at_any_call);
    }
    torn_end();
    return check_end("torn");
}
