/* test_descriptor.c -- file systems without range locks are served as well
 *
 * The kernel is asked for commands that it does not know, which it answers as
 * it does where there are no such locks. */
#include <fcntl.h>
#undef F_OFD_GETLK
#undef F_OFD_SETLK
#undef F_OFD_SETLKW
#define F_OFD_GETLK 30036
#define F_OFD_SETLK 30037
#define F_OFD_SETLKW 30038
#include "../backends/file.h"
#include "races.h"

static void what_needs_range_locks_says_so(void)
{
    alps_map m;
    path_to("lockless");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(backend->lease(&m, 0), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->unlease(&m, 0), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->leased(&m, 0), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->leased(&m, ~0u), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->remove(path), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(unlink(path), 0);
}

static void the_guard_is_there_nevertheless(void)
{
    alps_map m;
    for (int round = 0; round < 25; round++) {
        path_to("crowd");
        CHECK_EQ(in_children(RACERS, child_creates_or_opens, 1), 1);
        CHECK_EQ(open_whole(&m, 0, 0), 0);
        CHECK_EQ(m.base[0], RACERS);
        CHECK_EQ(backend->close(&m), 0);
        CHECK_EQ(unlink(path), 0);
    }
}

static int child_opens_and_is_told(void)
{
    static alps_map m;
    return open_whole(&m, 0, 0);
}

static void a_killed_process_leaves_even_this_guard(void)
{
    alps_map m;
    path_to("killed");
    pid_t pid = hold_in_child(child_stays_in_the_guard);
    kill_child(pid);
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(in_child(child_opens_and_is_told), 0);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(unlink(path), 0);
}

/* Blocks are filled where they cannot be reserved; the bytes that are there
 * are not touched. */
static void blocks_can_be_filled(void)
{
    alps_map m;
    struct stat st;
    path_to("filled");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 5000), 0);
    memset(m.base, 9, 5000);
    CHECK_EQ(alps_fd_fill_(m.fd, 5000, 300001), 0);
    CHECK(fstat(m.fd, &st) == 0 && st.st_size == 305001);
    CHECK(st.st_blocks * 512 >= 305001);
    CHECK(m.base[4999] == 9 && m.base[5000] == 0 && m.base[305000] == 0);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(unlink(path), 0);
}

int main(void)
{
    backend = &alps_backend_file_;
    folder_make();
    RUN(what_needs_range_locks_says_so);
    RUN(the_guard_is_there_nevertheless);
    RUN(a_killed_process_leaves_even_this_guard);
    RUN(blocks_can_be_filled);
    RUN(folder_remove);
    return check_end("test_descriptor");
}
