/* test_shmem.c -- the shmem backend keeps its contract */
#include "../backends/shmem.h"
#include "races.h"

static void names_are_those_of_shm_open(void)
{
    alps_map m, n;
    char with[80], without[80], real[100];
    snprintf(with, sizeof with, "/alps-test-%d", (int)getpid());
    snprintf(without, sizeof without, "%s", with + 1);
    snprintf(path, sizeof path, "%s", with);
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(m.medium, ALPS_MEDIUM_SHMEM);
    m.base[0] = 6;
    snprintf(path, sizeof path, "%s", without);
    CHECK_EQ(open_whole(&n, 0, 0), 0);
    CHECK_EQ(n.base[0], 6);
    snprintf(real, sizeof real, "/dev/shm/%s", without);
    CHECK_EQ(access(real, R_OK), 0);
    CHECK_EQ(backend->close(&n), 0);
    close_and_remove(&m);
    CHECK(access(real, R_OK) < 0 && errno == ENOENT);
}

static void names_that_lead_elsewhere_are_refused(void)
{
    static const char *const bad[] = {"/",   ".",    "/..",     "//x",
                                      "a/b", "/a/b", "../tmp/x"};
    alps_map m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(path, sizeof path, "%s", bad[i]);
        CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EINVAL);
        CHECK_EQ(backend->remove(path), ALPS_EINVAL);
    }
    memset(&m, 0, sizeof m);
    m.fd = -1;
    m.flags = ALPS_CREATE;
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK_EQ(backend->open(&m, longest, NULL), ALPS_EINVAL);
}

static void a_link_is_not_followed(void)
{
    alps_map m;
    path_to("link");
    CHECK_EQ(symlink("/tmp/alps-test-nothing", file), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(unlink(file), 0);
}

static alps_map nameless;

static int child_stores_into_what_it_inherited(void)
{
    nameless.base[4999] = 4;
    return 0;
}

static void memory_without_a_name_is_shared_by_fork(void)
{
    alps_map other;
    path[0] = 0;
    CHECK_EQ(try_open(&nameless, ALPS_CREATE), 0);
    CHECK_EQ(nameless.length, 0);
    CHECK_EQ(backend->resize(&nameless, 5000), 0);
    CHECK_EQ(backend->map(&nameless, 5000, 1u << 20, 4096), 0);
    CHECK_EQ(backend->unguard(&nameless), 0);
    CHECK_EQ(in_child(child_stores_into_what_it_inherited), 0);
    CHECK_EQ(nameless.base[4999], 4);
    CHECK_EQ(open_whole(&other, ALPS_CREATE, 4096), 0); // another one
    CHECK_EQ(other.base[0], 0);
    CHECK_EQ(backend->close(&other), 0);
    CHECK_EQ(backend->remove(path), ALPS_ENOENT);
    CHECK_EQ(try_open(&other, ALPS_READ_ONLY), ALPS_ENOENT);
    CHECK_EQ(backend->close(&nameless), 0);
}

/* What is in shared memory is on its medium. */
static void sync_has_nothing_to_do(void)
{
    alps_map m;
    path_to("sync");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(backend->sync(&m, 0, 4096), 0);
    close_and_remove(&m);
}

int main(void)
{
    backend = &alps_backend_shmem_;
    snprintf(folder, sizeof folder, "/alps-test-%d-", (int)getpid());
    behind = mount_at = "/dev/shm";
    RUN(names_are_those_of_shm_open);
    RUN(names_that_lead_elsewhere_are_refused);
    RUN(a_link_is_not_followed);
    RUN(memory_without_a_name_is_shared_by_fork);
    RUN(sync_has_nothing_to_do);
    RUN(a_new_medium_is_empty);
    RUN(without_create_nothing_is_made);
    RUN(exclusive_means_that_there_is_none);
    RUN(growth_happens_in_place);
    RUN(blocks_are_reserved);
    RUN(bases_are_aligned);
    RUN(fewer_addresses_are_held_where_there_are_not_so_many);
    RUN(growth_by_another_needs_no_remap);
    RUN(punched_pages_read_as_zero);
    RUN(the_limit_of_the_process_is_a_code);
    RUN(a_full_medium_is_a_code);
    RUN(the_guard_keeps_others_out);
    RUN(what_vanished_meanwhile_is_made_anew);
    RUN(a_killed_process_leaves_the_guard);
    RUN(a_lease_has_one_holder);
    RUN(a_killed_process_loses_its_leases);
    RUN(an_open_medium_is_not_removed);
    RUN(read_only_never_writes);
    RUN(one_of_many_creates_and_all_open);
    RUN(one_of_many_creates_exclusively);
    RUN(a_slow_remover_is_waited_for);
    RUN(openers_and_removers_agree);
    return check_end("test_shmem");
}
