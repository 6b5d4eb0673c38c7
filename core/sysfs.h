/* sysfs.h -- what the kernel says of a device
 *
 * One line of text in a small file per attribute. Two questions are asked
 * there: how long and how aligned a devdax device is, and whether the caches
 * of the machine survive a power failure. */
#pragma once
#include "error.h"

/* Where the kernel tells it. A test puts a tree of its own here. */
#ifndef ALPS_SYSFS
#  define ALPS_SYSFS "/sys"
#endif

#define ALPS_SYSFS_PATH_ 512

/* Reads attribute `name` of directory `dir` under ALPS_SYSFS into `text` of
 * `n` bytes, without the newline. Answers 0 or a code. */
ALPS_COLD_ int alps_sysfs_text_(const char *dir, const char *name, char *text,
                                size_t n)
{
    char path[ALPS_SYSFS_PATH_];
    int k = snprintf(path, sizeof path, "%s/%s/%s", ALPS_SYSFS, dir, name);
    if (k < 0 || (size_t)k >= sizeof path)
        return ALPS_EINVAL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return alps_oserror_();
    ssize_t got = read(fd, text, n - 1);
    int err = got < 0 ? alps_oserror_() : ALPS_OK;
    close(fd);
    if (err)
        return err;
    text[got] = 0;
    text[strcspn(text, "\n")] = 0;
    return ALPS_OK;
}

/* The same for an attribute that is a number, decimal or 0x. */
ALPS_COLD_ int alps_sysfs_number_(const char *dir, const char *name,
                                  uint64_t *number)
{
    char text[64], *end;
    int err = alps_sysfs_text_(dir, name, text, sizeof text);
    if (err)
        return err;
    *number = strtoull(text, &end, 0);
    return end == text || *end ? ALPS_EINVAL : ALPS_OK;
}
