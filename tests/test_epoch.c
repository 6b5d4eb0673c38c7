/* test_epoch.c -- what was retired waits for its readers, and no longer
 *
 * The reader is a thread, another process, one that is stopped. What it may
 * have keeps its contents until it has left, has ended, or was killed. */
#include "things.h"

/* ---- readers that stay, leave, end */

static void what_a_reader_may_have_is_not_handed_out(void)
{
    furnish();
    CHECK_EQ(any_enter(&heap), 0);
    retire_things();
    all_is_kept();
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    end();
}

static void who_came_later_holds_nothing_back(void)
{
    any_heap *reader = &heap, other;
    furnish();
    if (!is_anon()) {
        CHECK_EQ(open_too(&other), 0);
        reader = &other;
    }
    retire_things();
    CHECK_EQ(any_trim(&heap), 0); // nobody reads yet
    CHECK_EQ(any_enter(reader), 0);
    CHECK_EQ(stats().retired, 0);
    CHECK_EQ(any_leave(reader), 0);
    if (reader == &other)
        CHECK_EQ(any_close(&other), 0);
    all_comes_back();
    end();
}

static void sections_nest(void)
{
    furnish();
    CHECK_EQ(any_leave(&heap), ALPS_EINVAL); // before there was any
    for (int i = 0; i < 3; i++)
        CHECK_EQ(any_enter(&heap), 0);
    retire_things();
    for (int i = 0; i < 2; i++)
        CHECK_EQ(any_leave(&heap), 0);
    all_is_kept();
    CHECK_EQ(any_leave(&heap), 0);
    CHECK_EQ(any_leave(&heap), ALPS_EINVAL);
    all_comes_back();
    CHECK_EQ(any_enter(&heap), 0);
    CHECK_EQ(any_leave(&heap), 0);
    end();
}

static void *enters_and_ends(void *unused)
{
    (void)unused;
    return any_enter(&heap) || any_enter(&heap) ? thing : NULL;
}

static void a_section_ends_with_its_thread(void)
{
    furnish();
    on_a_thread(enters_and_ends);
    retire_things();
    all_comes_back();
    end();
}

static void *retires_and_ends(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < THINGS; i++)
        if (any_retire(&heap, thing[i]))
            return thing;
    return NULL;
}

static void what_an_ended_thread_retired_waits_for_readers(void)
{
    furnish();
    CHECK_EQ(any_enter(&heap), 0);
    on_a_thread(retires_and_ends);
    all_is_kept();
    CHECK_EQ(any_leave(&heap), 0);
    all_comes_back();
    end();
}

static void a_reader_that_closes_holds_nothing(void)
{
    any_heap other;
    furnish();
    CHECK_EQ(open_too(&other), 0);
    CHECK_EQ(any_enter(&other), 0);
    retire_things();
    all_is_kept();
    CHECK_EQ(any_close(&other), 0);
    all_comes_back();
    CHECK_EQ(any_deaths(&heap), 0); // it said that it went
    end();
}

/* ---- readers in other processes */

static int child_reads_and_is_stopped(void)
{
    any_heap h;
    int bad = 0;
    if (open_too(&h) || any_enter(&h))
        return 1;
    raise(SIGSTOP);
    for (unsigned i = 0; i < THINGS; i++)
        bad += !is_thing(any_at(&h, board->off[i]), i);
    return bad || any_leave(&h) || any_close(&h) ? 2 : 0;
}

static pid_t begin_to_read(void)
{
    int status = 0;
    pid_t pid = start_child(child_reads_and_is_stopped);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    return pid;
}

static void a_stopped_reader_is_waited_for(void)
{
    furnish();
    pid_t pid = begin_to_read();
    retire_things();
    all_is_kept();
    CHECK_EQ(any_reap(&heap), 0);
    all_is_kept();
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(end_of(pid), 0); // it found all as it was
    CHECK_EQ(any_deaths(&heap), 0);
    all_comes_back();
    end();
}

static void a_killed_reader_holds_nothing(void)
{
    furnish();
    for (unsigned round = 1; round <= 3; round++) {
        pid_t pid = begin_to_read();
        retire_things();
        all_is_kept();
        CHECK_EQ(any_deaths(&heap), round - 1);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_EQ(end_of(pid), 1000 + SIGKILL);
        all_comes_back();
        CHECK_EQ(any_deaths(&heap), round);
        make_things();
    }
    retire_things();
    all_comes_back();
    end();
}

/* Who only allocates and retires meets the death as well. */
static void retiring_goes_on_after_a_reader_is_killed(void)
{
    furnish();
    pid_t pid = begin_to_read();
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(end_of(pid), 1000 + SIGKILL);
    for (unsigned i = 0; i < 20000 / SLOW; i++) { // twice the region
        void *p = any_alloc(&heap, i % 16 ? 1000 : 9000);
        CHECK(p != NULL);
        CHECK_EQ(any_retire(&heap, p), 0);
    }
    CHECK_EQ(any_deaths(&heap), 1);
    retire_things();
    all_comes_back();
    end();
}

int main(void)
{
    if (board_begin())
        return 2;
    RUN_EVERYWHERE(what_a_reader_may_have_is_not_handed_out);
    RUN_EVERYWHERE(who_came_later_holds_nothing_back);
    RUN_EVERYWHERE(sections_nest);
    RUN_EVERYWHERE(a_section_ends_with_its_thread);
    RUN_EVERYWHERE(what_an_ended_thread_retired_waits_for_readers);
    RUN_WHERE_BYTES_STAY(a_reader_that_closes_holds_nothing);
    RUN_WHERE_BYTES_STAY(a_stopped_reader_is_waited_for);
    RUN_WHERE_BYTES_STAY(a_killed_reader_holds_nothing);
    RUN_WHERE_BYTES_STAY(retiring_goes_on_after_a_reader_is_killed);
    return check_end("epoch");
}
