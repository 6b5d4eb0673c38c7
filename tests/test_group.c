/* test_group.c -- what the control group of a process leaves it
 *
 * A tree of our own in place of /sys/fs/cgroup, of either version; and a group
 * that the system has, where this process may make one. */
static char fake_sysfs[128], fake_groups[192];
#define ALPS_SYSFS fake_sysfs
#define ALPS_GROUPS fake_groups
#include "check.h"
#define ALPS_CORE_ONLY
#include "../alps.h"
#include <sys/wait.h>

static char folder[64];

/* Writes a file of the tree, and makes the folders above it. */
static void has(const char *path, const char *text)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", folder, path);
    for (char *at = name + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(name, 0700);
        *at = '/';
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void tree_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

static void tree_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/alps-test-XXXXXX");
    if (!mkdtemp(folder))
        exit(2);
    snprintf(fake_sysfs, sizeof fake_sysfs, "%s/sys", folder);
    snprintf(fake_groups, sizeof fake_groups, "%s/groups", folder);
}

static void the_least_limit_of_all_around_it_counts(void)
{
    tree_make();
    has("groups", "0::/a/b/c\n");
    has("sys/fs/cgroup/a/b/c/memory.max", "max\n");
    CHECK(alps_group_memory_() == UINT64_MAX);
    has("sys/fs/cgroup/a/b/memory.max", "1000\n");
    CHECK_EQ(alps_group_memory_(), 1000);
    has("sys/fs/cgroup/a/memory.max", "500\n");
    CHECK_EQ(alps_group_memory_(), 500);
    has("sys/fs/cgroup/a/b/c/memory.max", "400\n");
    CHECK_EQ(alps_group_memory_(), 400);
    has("sys/fs/cgroup/x/memory.max", "5\n"); // another group
    CHECK_EQ(alps_group_memory_(), 400);
    tree_remove();
}

static void the_first_version_has_a_tree_for_memory(void)
{
    tree_make();
    has("groups", "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n");
    has("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_EQ(alps_group_memory_(), 9223372036854771712ull);
    has("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096\n");
    CHECK_EQ(alps_group_memory_(), 4096);
    has("groups", "4:memory2:/a\n3:xmemory:/a\n2:cpu,cpuacct:/a\n");
    CHECK(alps_group_memory_() == UINT64_MAX);
    tree_remove();
}

static void what_is_known_only_outside_is_at_the_root(void)
{
    tree_make();
    has("groups", "4:memory:/docker/0123\n");
    has("sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n");
    CHECK_EQ(alps_group_memory_(), 8192);
    has("groups", "0::/../0123\n");
    has("sys/fs/cgroup/memory.max", "7000\n");
    CHECK_EQ(alps_group_memory_(), 7000);
    tree_remove();
}

static void what_says_nothing_has_no_limit(void)
{
    static const char *const lines[] = {
        "", "\n", "0", "0:", "0::", "0:memory", ":::::\n", "\n\n0::/none\n"};
    tree_make();
    CHECK(alps_group_memory_() == UINT64_MAX); // there is no file
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        has("groups", lines[i]);
        CHECK(alps_group_memory_() == UINT64_MAX);
    }
    tree_remove();
}

/* Makes a group of the system, of 32 MiB; answers 0 where it may not. */
static int group_make(char *group, size_t n)
{
    static const char *const limit[] = {"memory.limit_in_bytes", "memory.max"};
    static const char *const root[] = {"/sys/fs/cgroup/memory",
                                       "/sys/fs/cgroup"};
    for (unsigned i = 0; i < 2; i++) {
        char name[256];
        snprintf(group, n, "%s/alps-test.%d", root[i], (int)getpid());
        if (mkdir(group, 0700))
            continue;
        snprintf(name, sizeof name, "%s/%s", group, limit[i]);
        int fd = open(name, O_WRONLY);
        int done = fd >= 0 && write(fd, "33554432", 8) == 8;
        if (fd >= 0)
            close(fd);
        if (done)
            return 1;
        rmdir(group);
    }
    return 0;
}

static void a_group_of_the_system_is_found(void)
{
    char group[128], name[192];
    snprintf(fake_sysfs, sizeof fake_sysfs, "/sys");
    snprintf(fake_groups, sizeof fake_groups, "/proc/self/cgroup");
    if (!group_make(group, sizeof group)) {
        SKIP("this process may make no group");
        return;
    }
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(name, sizeof name, "%s/cgroup.procs", group);
        int fd = open(name, O_WRONLY);
        if (fd < 0 || write(fd, "0", 1) != 1)
            _exit(2);
        _exit(alps_group_memory_() != 32 << 20);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    for (int i = 0; i < 50 && rmdir(group); i++)
        usleep(20000); // who ended in it may take a moment to leave
    CHECK(access(group, F_OK));
}

int main(void)
{
    RUN(the_least_limit_of_all_around_it_counts);
    RUN(the_first_version_has_a_tree_for_memory);
    RUN(what_is_known_only_outside_is_at_the_root);
    RUN(what_says_nothing_has_no_limit);
    RUN(a_group_of_the_system_is_found);
    return check_end("group");
}
