/* group.h -- a limit to all the memory of a load, page cache and all
 *
 * run.sh makes a control group and says in BENCH_GROUP where it is. A load
 * enters it once the harness has what it needs for itself: that stays charged
 * to whoever it was charged to. Without a group nothing happens. */
#pragma once
#include <fcntl.h>
#include "harness.h"

static inline int bench_group_write(const char *group, const char *file,
                                    const char *word)
{
    char path[4096];
    size_t n = strlen(word);
    int fd, done;
    snprintf(path, sizeof path, "%s/%s", group, file);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return 0;
    done = write(fd, word, n) == (ssize_t)n;
    close(fd);
    return done;
}

/* From here on this process, and the files it reads and writes, have at most
 * `limit` bytes of memory: if there is a group. Answers that. */
static inline int bench_group_enter(size_t limit)
{
    const char *group = getenv("BENCH_GROUP");
    char word[32];
    if (!group || !*group)
        return 0;
    snprintf(word, sizeof word, "%zu", limit);
    if (!bench_group_write(group, "memory.max", word) &&
        !bench_group_write(group, "memory.limit_in_bytes", word))
        bench_die("%s takes no limit: %s", group, strerror(errno));
    bench_group_write(group, "memory.swap.max", "0");
    if (!bench_group_write(group, "cgroup.procs", "0"))
        bench_die("%s is not to be entered: %s", group, strerror(errno));
    return 1;
}
