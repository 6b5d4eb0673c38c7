/* group.h -- how much memory the control group of this process may have
 *
 * Such a limit is for all of its memory, and the pages of files that it reads
 * and writes are part of it: what a region has in frames, the page cache has
 * not. Both versions of groups are asked, where a system has them by custom; a
 * group that is not found there has no limit that we know. */
#pragma once
#include "sysfs.h"

/* Where the system tells which groups this process is in. A test puts a file of
 * its own here. */
#ifndef ALPS_GROUPS
#  define ALPS_GROUPS "/proc/self/cgroup"
#endif

/* The least limit of the group `path` and of those around it, below `root`. In
 * a container the path may be one that is only known outside: then what is at
 * the root is its own. */
ALPS_COLD_ uint64_t alps_group_least_(const char *root, char *path,
                                      const char *limit)
{
    char dir[ALPS_SYSFS_PATH_];
    uint64_t least = UINT64_MAX, n;
    for (char *end = path + strlen(path); end; end = strrchr(path, '/')) {
        *end = 0;
        int k = snprintf(dir, sizeof dir, "fs/cgroup%s%s", root, path);
        if (k > 0 && (size_t)k < sizeof dir &&
            !alps_sysfs_number_(dir, limit, &n) && n < least)
            least = n;
    }
    return least;
}

/* The limit of the group in `line`: a number, what it is for, its path. */
ALPS_COLD_ uint64_t alps_group_line_(char *line)
{
    char *what = strchr(line, ':'), *path = what ? strchr(what + 1, ':') : NULL;
    if (!path)
        return UINT64_MAX;
    *what++ = *path++ = 0;
    if (!*what)
        return alps_group_least_("", path, "memory.max");
    for (char *word = what; word; word = strchr(word, ',')) {
        word += *word == ',';
        if (!strncmp(word, "memory", 6) && (!word[6] || word[6] == ','))
            return alps_group_least_("/memory", path, "memory.limit_in_bytes");
    }
    return UINT64_MAX;
}

/* Bytes that this process and its group may have in memory, or UINT64_MAX. */
ALPS_COLD_ uint64_t alps_group_memory_(void)
{
    char text[4096];
    uint64_t least = UINT64_MAX;
    int fd = open(ALPS_GROUPS, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    for (char *line = text, *next; *line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : line + strlen(line);
        if (end)
            *end = 0;
        uint64_t n = alps_group_line_(line);
        least = n < least ? n : least;
    }
    return least;
}
