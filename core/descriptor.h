/* descriptor.h -- what the backends over a file descriptor share
 *
 * Opening without a race, lengths with their blocks reserved, and the mapping.
 *
 * All of `reserve` is mapped at once, also what lies beyond the end of the
 * file: such pages fault only when touched, and become usable by themselves
 * when the file grows, in every process that has mapped it, whoever makes it
 * grow. So growth needs no second mapping, and no word to other processes. */
#pragma once
#include "address.h"
#include "lease.h"
#include <sys/resource.h>

/* The C library tells these to GNU programs only; Linux does not change. */
#define ALPS_FALLOC_KEEP_SIZE_ 1
#define ALPS_FALLOC_PUNCH_HOLE_ 2
#define ALPS_O_PATH_ 010000000
#define ALPS_SEEK_DATA_ 3
#define ALPS_SEEK_HOLE_ 4

/* How much is reserved by one call: a signal makes the kernel start one over,
 * so a call must not take long. */
#define ALPS_FALLOC_STEP_ ((uint64_t)64 << 20)

/* How often a file may vanish under us, or somebody be about to remove it,
 * while we open it. He may have to wait for a processor to do so, and so we
 * wait: in all about a second. */
#define ALPS_OPEN_TRIES_ 10000

/* The code for an open that failed: what is no file is not a medium. */
ALPS_COLD_ int alps_fd_open_error_(void)
{
    switch (errno) {
    case EISDIR:
    case ENXIO:
    case ELOOP: return ALPS_EUNSUPPORTED;
    case ENAMETOOLONG: return ALPS_EINVAL;
    default: return alps_oserror_();
    }
}

/* Whether `path` still names what is open as `fd`. */
ALPS_COLD_ int alps_fd_named_(int fd, const char *path)
{
    struct stat there, here;
    return !fstat(fd, &here) && !stat(path, &there) &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* Whether the open is to fail where there is a medium already. */
ALPS_COLD_ int alps_fd_must_make_(const alps_map *m)
{
    return (m->flags & ALPS_CREATE) && (m->flags & ALPS_EXCLUSIVE);
}

/* Opens `path`, or creates it; `*made` says which. Existing files are opened
 * without O_CREAT, which the system may refuse for the files of others in a
 * shared directory. ALPS_EBUSY: it came and went meanwhile; try again. */
ALPS_COLD_ int alps_fd_try_(alps_map *m, const char *path, unsigned mode,
                            int *made)
{
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    how |= m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    if (m->medium == ALPS_MEDIUM_SHMEM)
        how |= O_NOFOLLOW; // a directory where anybody may put a link
    m->fd = open(path, how);
    if (m->fd >= 0)
        return alps_fd_must_make_(m) ? ALPS_EEXIST : ALPS_OK;
    if (errno != ENOENT)
        return alps_fd_open_error_();
    if (!(m->flags & ALPS_CREATE) || m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT;
    m->fd = open(path, how | O_CREAT | O_EXCL, (mode_t)(mode ? mode : 0600));
    *made = m->fd >= 0;
    if (*made)
        return ALPS_OK;
    return errno == EEXIST ? ALPS_EBUSY : alps_fd_open_error_();
}

/* Whether what was opened is of a kind that can be a medium: a file, or what
 * `also` says, S_IFCHR or S_IFBLK. */
ALPS_COLD_ int alps_fd_kind_(int fd, unsigned also)
{
    struct stat st;
    if (fstat(fd, &st))
        return alps_oserror_();
    if (S_ISREG(st.st_mode) || (st.st_mode & S_IFMT) == also)
        return ALPS_OK;
    return ALPS_EUNSUPPORTED;
}

ALPS_COLD_ int alps_fd_block_(int fd)
{
    struct stat st;
    return !fstat(fd, &st) && S_ISBLK(st.st_mode);
}

/* Bytes of a file; or of a block device, whole pages, of which fstat() does not
 * tell. */
ALPS_COLD_ int alps_fd_length_(int fd, uint64_t *n)
{
    struct stat st;
    *n = 0;
    if (fstat(fd, &st))
        return alps_oserror_();
    off_t end = S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : st.st_size;
    if (end < 0)
        return alps_oserror_();
    *n = (uint64_t)end;
    if (S_ISBLK(st.st_mode))
        *n -= *n % alps_system_page_();
    return ALPS_OK;
}

/* The file that `path` names now is unlinked, unless it is open anywhere. */
ALPS_COLD_ int alps_fd_remove_at_(int fd, const char *path)
{
    int err = alps_fd_kind_(fd, 0);
    if (!err)
        err = alps_detached_(fd);
    if (err)
        return err;
    if (!alps_fd_named_(fd, path))
        return ALPS_ENOENT; // somebody else removed it meanwhile
    return unlink(path) ? alps_oserror_() : ALPS_OK;
}

/* The file is guarded: is it still the one that is meant? Sets `length`. It
 * is attached to before the name is looked at, so that it cannot be removed
 * from then on. */
ALPS_COLD_ int alps_fd_settle_(alps_map *m, const char *path)
{
    struct stat st;
    int err = alps_attach_(m->fd);
    if (err)
        return err;
    if (fstat(m->fd, &st))
        return alps_oserror_();
    if (!alps_fd_named_(m->fd, path))
        return ALPS_EBUSY; // removed, or replaced, before we were guarded
    m->length = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    m->align = 1;
    if (alps_fd_must_make_(m) && m->length)
        return ALPS_EEXIST; // our file, but somebody was quicker to fill it
    return ALPS_OK;
}

/* One try of `alps_fd_open_`; closes, and removes what it made, on failure. */
ALPS_COLD_ int alps_fd_once_(alps_map *m, const char *path, unsigned mode,
                             unsigned also)
{
    int made = 0;
    int err = alps_fd_try_(m, path, mode, &made);
    if (!err)
        err = alps_fd_kind_(m->fd, also);
    if (!err)
        err = alps_guard_(m->fd, (m->flags & ALPS_READ_ONLY) != 0);
    if (!err)
        err = alps_fd_settle_(m, path);
    if (!err || m->fd < 0)
        return err;
    if (made && err != ALPS_EEXIST)
        alps_fd_remove_at_(m->fd, path); // unless somebody has come to use it
    close(m->fd);
    m->fd = -1;
    return err;
}

/* Opens the file `path`, or what it is `also` allowed to be, and enters the
 * guard. An opener attaches and then looks at the name again, a remover
 * sees that nobody is attached and then removes the name: so of the two at
 * least one sees the other. */
ALPS_COLD_ int alps_fd_open_(alps_map *m, const char *path, unsigned mode,
                             unsigned also)
{
    if (!path || !*path)
        return ALPS_EINVAL;
    if (m->flags & ALPS_READ_ONLY &&
        m->flags & (ALPS_EXCLUSIVE | ALPS_TRUNCATE))
        return ALPS_EINVAL;
    int err = alps_fd_once_(m, path, mode, also);
    for (unsigned i = 0; err == ALPS_EBUSY && i < ALPS_OPEN_TRIES_; i++) {
        ALPS_WAIT_(i);
        err = alps_fd_once_(m, path, mode, also);
    }
    return err;
}

/* Beyond its limit a process would not get an error but be killed. */
ALPS_COLD_ int alps_fd_limit_(uint64_t size)
{
    struct rlimit limit;
    if (size > (uint64_t)INT64_MAX - ALPS_PAGE)
        return ALPS_ENOSPC;
    if (getrlimit(RLIMIT_FSIZE, &limit))
        return alps_oserror_();
    return limit.rlim_cur < size ? ALPS_ENOSPC : ALPS_OK;
}

/* All of `n` bytes at `off` of a file; ALPS_ETRUNCATED: it ends before. */
ALPS_COLD_ int alps_fd_read_(int fd, void *to, uint64_t n, uint64_t off)
{
    unsigned char *at = (unsigned char *)to;
    while (n) {
        ssize_t got = pread(fd, at, (size_t)n, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? alps_oserror_() : ALPS_ETRUNCATED;
        at += got;
        off += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_write_(int fd, const void *from, uint64_t n,
                              uint64_t off)
{
    const unsigned char *at = (const unsigned char *)from;
    int err = alps_fd_limit_(off + n);
    while (!err && n) {
        ssize_t put = pwrite(fd, at, (size_t)n, (off_t)off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put ? alps_oserror_() : ALPS_ENOSPC;
        at += put;
        off += (uint64_t)put;
        n -= (uint64_t)put;
    }
    return err;
}

/* The next stretch of a file of `length` bytes that is not a hole, from `off`
 * on; 1 if there is one. Where the file system does not tell, all is. */
ALPS_COLD_ int alps_fd_data_(int fd, uint64_t length, uint64_t off,
                             uint64_t *from, uint64_t *to)
{
    if (off >= length)
        return 0;
    off_t data = lseek(fd, (off_t)off, ALPS_SEEK_DATA_);
    if (data < 0 && errno == ENXIO)
        return 0;
    off_t hole = data < 0 ? -1 : lseek(fd, data, ALPS_SEEK_HOLE_);
    *from = data < 0 ? off : (uint64_t)data;
    *to = hole < 0 || (uint64_t)hole > length ? length : (uint64_t)hole;
    return *from < *to;
}

ALPS_COLD_ int alps_fd_sync_data_(int fd)
{
    return fdatasync(fd) ? alps_oserror_() : ALPS_OK;
}

/* Makes the names in directory `dir` durable. A directory that we may not read,
 * or a file system that has no such operation, is left to do it in its own
 * time. */
ALPS_COLD_ int alps_fd_sync_dir_(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ALPS_OK;
    int err = fsync(fd) && errno != EINVAL ? alps_oserror_() : ALPS_OK;
    close(fd);
    return err;
}

/* Makes the name of a file that was just created as durable as the file will
 * be. */
ALPS_COLD_ int alps_fd_sync_name_(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n + 2 > sizeof dir)
        return ALPS_EINVAL;
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    int fd = open(dir, O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
    if (fd < 0)
        return ALPS_OK;
    int err = alps_fd_sync_dir_(fd);
    close(fd);
    return err;
}

/* The path of the file behind `fd`, by whatever links it was opened; where the
 * system does not tell, that by which it was. */
ALPS_COLD_ int alps_fd_path_(int fd, const char *path, char real[4096])
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, 4095);
    real[n < 0 ? 0 : n] = 0;
    if (real[0] == '/')
        return ALPS_OK;
    if (strlen(path) > 4095)
        return ALPS_EINVAL;
    strcpy(real, path);
    return ALPS_OK;
}

/* Fills bytes [off, off + n), which lie beyond the old end, with zeros: slow,
 * but where the file system cannot reserve blocks it does so for sure. */
ALPS_COLD_ int alps_fd_fill_(int fd, uint64_t off, uint64_t n)
{
    static const char zeros[16384] = {0};
    while (n) {
        size_t k = n < sizeof zeros ? (size_t)n : sizeof zeros;
        ssize_t put = pwrite(fd, zeros, k, (off_t)off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put ? alps_oserror_() : ALPS_ENOSPC;
        off += (uint64_t)put;
        n -= (uint64_t)put;
    }
    return ALPS_OK;
}

/* Reserves the blocks of [off, off + n) and makes the file reach so far. By
 * the system call itself: the library's posix_fallocate() writes a byte to
 * every block where the system call is missing, also where others store. */
ALPS_COLD_ int alps_fd_reserve_(int fd, uint64_t off, uint64_t n)
{
    while (n) {
        uint64_t k = n < ALPS_FALLOC_STEP_ ? n : ALPS_FALLOC_STEP_;
        if (syscall(SYS_fallocate, fd, 0, (off_t)off, (off_t)k)) {
            if (errno == EINTR)
                continue;
            return alps_oserror_();
        }
        off += k;
        n -= k;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_grow_(int fd, uint64_t from, uint64_t to)
{
    int err = alps_fd_limit_(to);
    if (!err)
        err = alps_fd_reserve_(fd, from, to - from);
    if (err == ALPS_EUNSUPPORTED)
        err = alps_fd_fill_(fd, from, to - from);
    if (err && ftruncate(fd, (off_t)from))
        return alps_oserror_();
    return err;
}
