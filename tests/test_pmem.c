/* test_pmem.c -- the pmem backend keeps its contract
 *
 * There is no persistent memory here, so the machine is told that there is:
 * ALPS_PMEM_FORCE takes any file for it, and a tree of our own in place of
 * /sys takes /dev/zero for a device. */
static char fake_sysfs[128] = "/sys";
#define ALPS_SYSFS fake_sysfs
#include "../backends/pmem.h"
#include "races.h"

/* Granted where /tmp is persistent memory, and by an emulator of another
 * machine that does not know the flag. */
static int map_sync_is_granted(void)
{
    alps_map m;
    path_to("granted");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 8192), 0);
    int granted = m.medium == ALPS_MEDIUM_FSDAX;
    close_and_remove(&m);
    return granted;
}

static void without_map_sync_the_medium_says_so(void)
{
    alps_map m;
    if (map_sync_is_granted()) {
        SKIP("MAP_SYNC is granted in /tmp");
        return;
    }
    path_to("cache");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 8192), 0);
    CHECK_EQ(m.medium, ALPS_MEDIUM_CACHE);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(try_open(&m, ALPS_STRICT), 0);
    CHECK_EQ(backend->map(&m, 8192, 8192, 4096), ALPS_ENOTPMEM);
    CHECK(m.base == NULL);
    close_and_remove(&m);
}

static void any_file_can_be_taken_for_pmem(void)
{
    alps_map m;
    unsigned medium =
        map_sync_is_granted() ? ALPS_MEDIUM_FSDAX : ALPS_MEDIUM_CACHE;
    path_to("forced");
    CHECK_EQ(setenv("ALPS_PMEM_FORCE", "1", 1), 0);
    CHECK_EQ(open_whole(&m, ALPS_CREATE | ALPS_STRICT, 8192), 0);
    CHECK_EQ(m.medium, ALPS_MEDIUM_FSDAX);
    CHECK_EQ(backend->sync(&m, 0, 8192), 0);
    CHECK_EQ(backend->resize(&m, 100000), 0);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(setenv("ALPS_PMEM_FORCE", "0", 1), 0);
    CHECK_EQ(open_whole(&m, 0, 0), 0);
    CHECK_EQ(m.medium, medium);
    CHECK_EQ(unsetenv("ALPS_PMEM_FORCE"), 0);
    close_and_remove(&m);
}

/* Room for huge pages, where there is room at all. */
static void large_mappings_are_aligned_for_huge_pages(void)
{
    alps_map m;
    path_to("huge");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 8192), 0);
    CHECK(m.reserved >= 2u << 20);
    CHECK_EQ((uintptr_t)m.base % (2u << 20), 0);
    close_and_remove(&m);
}

/* ---- a device ----------------------------------------------------------- */

/* Writes one attribute of the tree; NULL removes it. */
static void attribute(const char *dir, const char *name, const char *text)
{
    char at[300];
    snprintf(at, sizeof at, "%s/%s", fake_sysfs, dir);
    for (char *slash = at + strlen(fake_sysfs);
         (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = 0;
        mkdir(at, 0700);
    }
    mkdir(at, 0700);
    snprintf(at, sizeof at, "%s/%s/%s", fake_sysfs, dir, name);
    unlink(at);
    FILE *f = text ? fopen(at, "w") : NULL;
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static void device_begin(void)
{
    snprintf(fake_sysfs, sizeof fake_sysfs, "%ssys", folder);
    mkdir(fake_sysfs, 0700);
    attribute("dev/char/1:5", "size", "16777216\n");
    attribute("dev/char/1:5/device", "align", "2097152\n");
    snprintf(path, sizeof path, "/dev/zero");
}

static void device_end(void)
{
    static const char *const dirs[] = {"/dev/char/1:5/device", "/dev/char/1:5",
                                       "/dev/char", "/dev", ""};
    char at[300];
    attribute("dev/char/1:5", "size", NULL);
    attribute("dev/char/1:5", "align", NULL);
    attribute("dev/char/1:5/device", "align", NULL);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(at, sizeof at, "%s%s", fake_sysfs, dirs[i]);
        CHECK_EQ(rmdir(at), 0);
    }
    snprintf(fake_sysfs, sizeof fake_sysfs, "/sys");
}

static void a_device_has_the_length_that_sysfs_tells(void)
{
    alps_map m;
    device_begin();
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(m.length, 16u << 20);
    CHECK_EQ(m.align, 2u << 20);
    CHECK(m.fixed == 1 && m.medium == ALPS_MEDIUM_DEVDAX);
    CHECK_EQ(backend->unguard(&m), 0);
    CHECK_EQ(backend->close(&m), 0);
    attribute("dev/char/1:5", "align", "0x1000\n"); // newer kernels
    CHECK_EQ(try_open(&m, 0), 0);
    CHECK_EQ(m.align, 4096);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE | ALPS_EXCLUSIVE), ALPS_EEXIST);
    device_end();
}

static void a_device_is_mapped_whole_and_never_resized(void)
{
    alps_map m;
    device_begin();
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->map(&m, 4096, 4096, 4096), 0);
    CHECK_EQ(m.medium, ALPS_MEDIUM_DEVDAX);
    CHECK(m.size == 4096 && m.reserved == 16u << 20);
    CHECK_EQ((uintptr_t)m.base % (2u << 20), 0);
    m.base[(16u << 20) - 1] = 1;
    CHECK_EQ(backend->sync(&m, 0, 4096), 0);
    CHECK_EQ(backend->sync(&m, 0, 65536), 0);
    CHECK_EQ(backend->punch(&m, 0, 4096), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->resize(&m, (16u << 20) + 1), ALPS_ENOSPC);
    CHECK_EQ(backend->resize(&m, 16u << 20), 0);
    CHECK_EQ(m.size, 16u << 20);
    CHECK_EQ(backend->unmap(&m), 0);
    CHECK_EQ(backend->map(&m, (16u << 20) + 1, 1u << 30, 4096), ALPS_EINVAL);
    CHECK_EQ(backend->map(&m, 16u << 20, 1u << 30, 1u << 24), 0);
    CHECK_EQ((uintptr_t)m.base % (16u << 20), 0);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(backend->remove(path), ALPS_EUNSUPPORTED);
    CHECK_EQ(access(path, F_OK), 0);
    device_end();
}

static void a_device_that_is_no_devdax_is_refused(void)
{
    static const char *const bad[][2] = {
        {NULL, "4096\n"},       {"0\n", "4096\n"},  {"4096\n", NULL},
        {"4096\n", "8192\n"},   {"12288\n", "0\n"}, {"junk\n", "4096\n"},
        {"12288\n", "12288\n"}, {"4096\n", "-\n"},  {"", "4096\n"},
    };
    alps_map m;
    int before = descriptors();
    snprintf(path, sizeof path, "/dev/null"); // /sys knows no size of it
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    device_begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        attribute("dev/char/1:5", "size", bad[i][0]);
        attribute("dev/char/1:5/device", "align", bad[i][1]);
        CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
        CHECK_EQ(m.fd, -1);
    }
    CHECK_EQ(descriptors(), before);
    device_end();
}

static void device_leases_have_one_holder(void)
{
    alps_map a, b;
    device_begin();
    CHECK_EQ(try_open(&a, ALPS_CREATE), 0);
    CHECK_EQ(backend->unguard(&a), 0);
    CHECK_EQ(try_open(&b, ALPS_CREATE), 0);
    CHECK_EQ(backend->unguard(&b), 0);
    CHECK_EQ(backend->lease(&a, 1), 0);
    CHECK_EQ(backend->leased(&b, 1), 1);
    CHECK_EQ(backend->close(&a), 0);
    CHECK_EQ(backend->leased(&b, 1), 0);
    CHECK_EQ(backend->close(&b), 0);
    device_end();
}

int main(void)
{
    backend = &alps_backend_pmem_;
    unsetenv("ALPS_PMEM_FORCE");
    folder_make();
    RUN(without_map_sync_the_medium_says_so);
    RUN(any_file_can_be_taken_for_pmem);
    RUN(large_mappings_are_aligned_for_huge_pages);
    RUN(a_device_has_the_length_that_sysfs_tells);
    RUN(a_device_is_mapped_whole_and_never_resized);
    RUN(a_device_that_is_no_devdax_is_refused);
    RUN(device_leases_have_one_holder);
    RUN(a_new_medium_is_empty);
    RUN(without_create_nothing_is_made);
    RUN(exclusive_means_that_there_is_none);
    RUN(a_refused_open_leaves_nothing_open);
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
    RUN(a_slow_remover_is_waited_for);
    RUN(openers_and_removers_agree);
    RUN(folder_remove);
    return check_end("test_pmem");
}
