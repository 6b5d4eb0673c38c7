/* copy.h -- a file that is a copy, there as a whole or not at all
 *
 * A copy is made aside, in the directory it is to be in, under the name it is
 * to have with `.new-` and 16 digits behind it. When it is complete and synced
 * it is renamed, and the directory is synced: whenever a crash comes, the name
 * means what it meant before or all of the copy. What a crash leaves aside is
 * known by its name, is in nobody's way, and may be deleted.
 *
 * Where the file system shares blocks between files (FICLONE) that is all that
 * is done. Elsewhere what is data is copied by the system, and holes remain. */
#pragma once
#include "layout.h"
#include "medium.h"
#include "page.h"
#include <sys/ioctl.h>

/* The C library tells these to GNU programs only, or not at all. */
#define ALPS_FICLONE_ 0x40049409ul

#define ALPS_COPY_PATH_ 4096u
#define ALPS_COPY_ROOM_ ((uint64_t)65536)
#define ALPS_COPY_STEP_ ((uint64_t)16 << 20)

/* A copy in the making. */
typedef struct alps_copying {
    int fd;                     /* the file aside */
    int old;                    /* what has the name until now; -1: nothing */
    unsigned way;               /* how it was copied: ALPS_COPIED_... */
    char path[ALPS_COPY_PATH_]; /* of the file aside */
} alps_copying;
enum {
    ALPS_COPIED_CLONE = 1, /* blocks are shared */
    ALPS_COPIED_RANGE = 2, /* by the system, from file to file */
    ALPS_COPIED_BYTES = 3  /* read and written */
};

/* What has the name may be replaced: an old copy, that nobody has open, or
 * nothing at all. Until it is closed nobody gets to open it. */
ALPS_COLD_ int alps_copy_over_(alps_copying *c, const char *to)
{
    uint64_t magic = 0;
    c->old = open(to, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (c->old < 0)
        return errno == ENOENT ? ALPS_OK : alps_fd_open_error_();
    int err = alps_fd_kind_(c->old, 0);
    if (!err) {
        ssize_t n = pread(c->old, &magic, sizeof magic, 0);
        if (n < 0)
            err = alps_oserror_();
        else if (n && (n != sizeof magic || (magic && magic != ALPS_MAGIC)))
            err = ALPS_EFORMAT; // somebody's file, and no region
    }
    if (!err)
        err = alps_detached_(c->old);
    return err == ALPS_EUNSUPPORTED ? ALPS_OK : err;
}

/* Begins a copy that is to be called `to`. ALPS_EBUSY: that is open. */
ALPS_COLD_ int alps_copy_begin_(alps_copying *c, const char *to, unsigned mode)
{
    c->fd = c->old = -1;
    if (!to || !*to)
        return ALPS_EINVAL;
    int err = alps_copy_over_(c, to);
    while (!err && c->fd < 0) {
        int n = snprintf(c->path, sizeof c->path, "%s.new-%016llx", to,
                         (unsigned long long)alps_random_());
        if (n < 0 || (size_t)n >= sizeof c->path) {
            err = ALPS_EINVAL;
            break;
        }
        c->fd = open(c->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY,
                     (mode_t)mode);
        if (c->fd < 0 && errno != EEXIST)
            err = alps_fd_open_error_();
    }
    if (err && c->old >= 0)
        close(c->old);
    return err;
}

/* The files that an old copy went on in go with it. */
ALPS_COLD_ int alps_copy_replaced_(int old, const char *to)
{
    alps_map m;
    memset(&m, 0, sizeof m);
    m.fd = old;
    return alps_medium_bare_(&m, to);
}

/* Ends it: under its name if `err` is 0, or else not at all. */
ALPS_COLD_ int alps_copy_end_(alps_copying *c, const char *to, int err)
{
    int renamed = 0;
    if (!err && fsync(c->fd))
        err = alps_oserror_();
    if (!err) {
        renamed = !rename(c->path, to);
        err = renamed ? alps_fd_sync_name_(to) : alps_oserror_();
    }
    if (renamed && !err && c->old >= 0)
        err = alps_copy_replaced_(c->old, to);
    if (!renamed)
        unlink(c->path);
    close(c->fd);
    if (c->old >= 0)
        close(c->old);
    return err;
}

/* Writes [off, off + n) of the memory at `base`, whole pages, to the same place
 * of a file that has a hole there; pages of zeroes remain holes. */
ALPS_COLD_ int alps_copy_memory_(int fd, const unsigned char *base,
                                 uint64_t off, uint64_t n)
{
    uint64_t *bytes = (uint64_t *)malloc(ALPS_COPY_ROOM_);
    uint64_t pages = 0, from = off, end = off + n;
    int err = bytes ? ALPS_OK : ALPS_ENOMEM;
    while (!err && off < end) {
        int any = !alps_page_take_(bytes + pages * (ALPS_PAGE / 8), base + off);
        pages += (uint64_t)any;
        off += ALPS_PAGE;
        if (any && pages * ALPS_PAGE < ALPS_COPY_ROOM_ && off < end)
            continue;
        err = alps_fd_write_(fd, bytes, pages * ALPS_PAGE, from);
        from = off;
        pages = 0;
    }
    free(bytes);
    return err;
}

/* Copies [off, off + n) of a region to a file by reading and writing. */
ALPS_COLD_ int alps_copy_read_(const alps_map *from, int to, uint64_t off,
                               uint64_t n)
{
    char *bytes = (char *)malloc(ALPS_COPY_ROOM_);
    int err = bytes ? ALPS_OK : ALPS_ENOMEM;
    while (!err && n) {
        uint64_t k = n < ALPS_COPY_ROOM_ ? n : ALPS_COPY_ROOM_;
        err = alps_medium_read_(from, bytes, k, off);
        if (!err)
            err = alps_fd_write_(to, bytes, k, off);
        off += k;
        n -= k;
    }
    free(bytes);
    return err;
}

/* Copies [off, off + n), by the system where it can. */
ALPS_COLD_ int alps_copy_range_(alps_copying *c, const alps_map *from,
                                uint64_t off, uint64_t n)
{
    while (n && c->way == ALPS_COPIED_RANGE) {
        uint64_t k = n < ALPS_COPY_STEP_ ? n : ALPS_COPY_STEP_;
        alps_stretch s = alps_stretch_(from, off, k);
        int64_t in = (int64_t)s.at, out = (int64_t)off;
        long got = syscall(SYS_copy_file_range, s.fd, &in, c->fd, &out,
                           (size_t)s.n, 0u);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO ||
                        errno == EFBIG))
            return alps_oserror_();
        if (got <= 0) {
            c->way = ALPS_COPIED_BYTES; // not between these two
            break;
        }
        off += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return alps_copy_read_(from, c->fd, off, n);
}

/* Copies what is data of the first `length` bytes; all is, where the file
 * system does not tell. */
ALPS_COLD_ int alps_copy_data_(alps_copying *c, const alps_map *from,
                               uint64_t length)
{
    uint64_t off = 0, end = 0;
    int err = ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    c->way = ALPS_COPIED_RANGE;
    while (!err && alps_medium_data_(from, length, end, &off, &end))
        err = alps_copy_range_(c, from, off, end - off);
    return err;
}

/* Copies the first `length` bytes of the region `from`: by sharing the blocks
 * of its file, or else by copying what is not a hole. */
ALPS_COLD_ int alps_copy_file_(alps_copying *c, const alps_map *from,
                               uint64_t length)
{
    if (!from->parts && ioctl(c->fd, ALPS_FICLONE_, from->fd) == 0) {
        c->way = ALPS_COPIED_CLONE;
        return ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    }
    return alps_copy_data_(c, from, length);
}

/* The copy says of itself that blocks of it may be missing: who opens it first
 * for writing reserves them, see alps_region_bare_. And nobody has it open, of
 * whom its slots might tell; and all of it is in one file. */
ALPS_COLD_ int alps_copy_mark_(const alps_copying *c)
{
    static const uint64_t bare = 1, loose = 0;
    static const alps_onward nowhere = {0, 0, 0, {0}, {0}};
    static const unsigned char none[sizeof(alps_slot)] = {0};
    alps_superblock s;
    if (pread(c->fd, &s, sizeof s, 0) != (ssize_t)sizeof s)
        return ALPS_EFORMAT;
    uint64_t slots =
        2ull * ALPS_PAGE + s.lanes * (sizeof(alps_done) + sizeof(alps_lane));
    int err = alps_fd_write_(c->fd, &bare, sizeof bare, ALPS_BARE);
    if (!err)
        err = alps_fd_write_(c->fd, &loose, sizeof loose, ALPS_LOOSE);
    if (!err)
        err = alps_fd_write_(c->fd, &nowhere, sizeof nowhere, ALPS_ONWARD);
    for (unsigned i = 0; !err && i < s.processes; i++)
        err = alps_fd_write_(c->fd, none, sizeof none, slots + i * sizeof none);
    return err;
}

/* Makes the first `length` bytes of the files of `from`, a region that is as it
 * should be on the medium and stays so meanwhile, the file `to`. */
ALPS_COLD_ int alps_copy_medium_(const alps_map *from, uint64_t length,
                                 const char *to, unsigned mode)
{
    alps_copying c;
    int err = alps_fd_limit_(length);
    if (!err)
        err = alps_copy_begin_(&c, to, mode);
    if (err)
        return err;
    err = alps_copy_file_(&c, from, length);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}
