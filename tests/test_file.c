/* test_file.c -- the file backend keeps its contract */
#include "../backends/file.h"
#include "races.h"

static void what_is_no_file_is_refused(void)
{
    alps_map m;
    struct sockaddr_un name;
    path_to("folder");
    CHECK_EQ(mkdir(path, 0700), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(try_open(&m, ALPS_READ_ONLY), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->remove(path), ALPS_EUNSUPPORTED);
    CHECK_EQ(rmdir(path), 0);

    path_to("pipe");
    CHECK_EQ(mkfifo(path, 0600), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(try_open(&m, ALPS_READ_ONLY), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->remove(path), ALPS_EUNSUPPORTED);
    CHECK_EQ(unlink(path), 0);

    path_to("socket");
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&name, 0, sizeof name);
    name.sun_family = AF_UNIX;
    snprintf(name.sun_path, sizeof name.sun_path, "%ssocket", folder);
    struct sockaddr *address = (struct sockaddr *)(void *)&name;
    CHECK_EQ(bind(s, address, sizeof name), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(unlink(path), 0);
    close(s);

    snprintf(path, sizeof path, "/dev/null");
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(backend->remove(path), ALPS_EUNSUPPORTED);
    CHECK_EQ(m.fd, -1);
}

static void paths_that_lead_nowhere_are_codes(void)
{
    alps_map m;
    char longest[600];
    memset(&m, 0, sizeof m);
    m.fd = -1;
    m.flags = ALPS_CREATE;
    CHECK_EQ(backend->open(&m, NULL, NULL), ALPS_EINVAL);
    CHECK_EQ(backend->open(&m, "", NULL), ALPS_EINVAL);
    CHECK_EQ(backend->remove(NULL), ALPS_EINVAL);
    CHECK_EQ(backend->remove(""), ALPS_EINVAL);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK_EQ(backend->open(&m, longest, NULL), ALPS_EINVAL);
    path_to("no/such/folder");
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_ENOENT);
    path_to("loop");
    CHECK_EQ(symlink(path, path), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EUNSUPPORTED);
    CHECK_EQ(unlink(path), 0);
}

static void the_mode_is_that_of_the_options(void)
{
    alps_map m;
    alps_options o;
    struct stat st;
    mode_t mask = umask(022);
    memset(&o, 0, sizeof o);
    for (unsigned mode = 0; mode <= 0666; mode += 0666) {
        path_to("mode");
        memset(&m, 0, sizeof m);
        m.fd = -1;
        m.flags = ALPS_CREATE;
        o.mode = mode;
        CHECK_EQ(backend->open(&m, path, &o), 0);
        CHECK(fstat(m.fd, &st) == 0);
        CHECK_EQ(st.st_mode & 0777, mode ? 0644 : 0600);
        CHECK_EQ(fcntl(m.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close_and_remove(&m);
    }
    umask(mask);
}

static int child_may_not_open(void)
{
    alps_map m;
    if (getuid() == 0 && (setgid(65534) || setuid(65534)))
        return 77; // root may do everything: become somebody else
    int err = try_open(&m, ALPS_CREATE);
    return err == ALPS_EACCES && backend->remove(path) == ALPS_EACCES ? 0 : 1;
}

static void no_permission_is_a_code(void)
{
    alps_map m;
    path_to("private");
    CHECK_EQ(chmod(folder, 0755), 0);
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(backend->close(&m), 0);
    CHECK_EQ(chmod(path, 0), 0);
    int found = in_child(child_may_not_open);
    if (found == 77)
        SKIP("root cannot become somebody else here");
    else
        CHECK_EQ(found, 0);
    CHECK_EQ(chmod(path, 0600), 0);
    CHECK_EQ(backend->remove(path), 0);
}

/* A file system that cannot be written to is read as it is. */
static int child_reads_what_cannot_be_written(void)
{
    alps_map m;
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount(folder, folder, NULL, MS_BIND, NULL) ||
        mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        return 77;
    if (try_open(&m, ALPS_CREATE) != ALPS_EREADONLY)
        return 1;
    if (open_whole(&m, ALPS_READ_ONLY, 0) || m.base[4095] != 8)
        return 2;
    return backend->close(&m) ? 3 : 0;
}

static void a_read_only_file_system_is_a_code(void)
{
    alps_map m;
    path_to("sealed");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    m.base[4095] = 8;
    CHECK_EQ(backend->close(&m), 0);
    int found = in_child(child_reads_what_cannot_be_written);
    if (found == 77)
        SKIP("mounting is not permitted here");
    else
        CHECK_EQ(found, 0);
    CHECK_EQ(backend->remove(path), 0);
}

static void the_medium_is_behind_a_page_cache(void)
{
    alps_map m;
    path_to("medium");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(m.medium, ALPS_MEDIUM_CACHE);
    CHECK_EQ(backend->sync(&m, 100, 200), 0); // any bytes, not only pages
    CHECK_EQ(backend->sync(&m, 4095, 1), 0);
    CHECK_EQ(backend->sync(&m, 0, 0), 0);
    close_and_remove(&m);
}

int main(void)
{
    backend = &alps_backend_file_;
    folder_make();
    RUN(a_new_medium_is_empty);
    RUN(without_create_nothing_is_made);
    RUN(exclusive_means_that_there_is_none);
    RUN(a_refused_open_leaves_nothing_open);
    RUN(what_is_no_file_is_refused);
    RUN(paths_that_lead_nowhere_are_codes);
    RUN(the_mode_is_that_of_the_options);
    RUN(no_permission_is_a_code);
    RUN(a_read_only_file_system_is_a_code);
    RUN(the_medium_is_behind_a_page_cache);
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
    RUN(folder_remove);
    return check_end("test_file");
}
