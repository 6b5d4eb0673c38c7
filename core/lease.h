/* lease.h -- range locks on an open file: the guard, attachment, leases
 *
 * All are "open file description" locks on bytes far beyond any content, which
 * a lock may name without their being there. The kernel drops them when the
 * last descriptor of the open is gone: at close, or when the process dies,
 * however it dies, across pid namespaces. Unlike the older POSIX locks they do
 * not vanish because some library closed another descriptor of the same file,
 * and two opens in one process are two owners. A forked child shares the open
 * of its parent, and so keeps the parent's locks alive: a program that forks
 * and goes on in both should close the heap in one of them.
 *
 * Where a file system has no such locks, flock() stands in for the guard, and
 * the rest is answered with ALPS_EUNSUPPORTED. */
#pragma once
#include "backend.h"
#include <sys/file.h>

/* The C library tells these to GNU programs only. */
#ifndef F_OFD_GETLK
#  define F_OFD_GETLK 36
#  define F_OFD_SETLK 37
#  define F_OFD_SETLKW 38
#endif

#define ALPS_LOCK_GUARD_ ((off_t)1 << 62)
#define ALPS_LOCK_ATTACHED_ (ALPS_LOCK_GUARD_ + 1)
#define ALPS_LOCK_LEASE_ (ALPS_LOCK_GUARD_ + 4096)

/* `n` bytes at `off`, or with 0 all from there on, are locked as `type` says,
 * or with F_OFD_GETLK asked for. Answers the type of the lock found, or -1 and
 * errno. */
ALPS_COLD_ int alps_range_lock_(int fd, int command, int type, off_t off,
                                off_t n)
{
    struct flock lock;
    int rc;
    memset(&lock, 0, sizeof lock);
    lock.l_type = (short)type;
    lock.l_whence = SEEK_SET;
    lock.l_start = off;
    lock.l_len = n;
    do
        rc = fcntl(fd, command, &lock);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -1 : lock.l_type;
}

/* Whether errno means that there are no range locks here at all. */
ALPS_COLD_ int alps_no_range_locks_(void)
{
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ||
           errno == ENOLCK;
}

ALPS_COLD_ int alps_file_lock_(int fd, int how)
{
    int rc;
    do
        rc = flock(fd, how);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? alps_oserror_() : ALPS_OK;
}

/* Waits for the guard of the medium behind `fd`. A descriptor that may only
 * read can only lock for reading: readers do not exclude each other, and need
 * not, for none of them creates or recovers anything. */
ALPS_COLD_ int alps_guard_(int fd, int read_only)
{
    int type = read_only ? F_RDLCK : F_WRLCK;
    if (alps_range_lock_(fd, F_OFD_SETLKW, type, ALPS_LOCK_GUARD_, 1) >= 0)
        return ALPS_OK;
    if (!alps_no_range_locks_())
        return alps_oserror_();
    return alps_file_lock_(fd, read_only ? LOCK_SH : LOCK_EX);
}

ALPS_COLD_ int alps_unguard_(alps_map *m)
{
    int fd = m->fd;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_UNLCK, ALPS_LOCK_GUARD_, 1) >= 0)
        return ALPS_OK;
    if (!alps_no_range_locks_())
        return alps_oserror_();
    return alps_file_lock_(fd, LOCK_UN);
}

/* Says for as long as `fd` is open that somebody has the medium open. Where
 * somebody is about to remove it, ALPS_EBUSY. */
ALPS_COLD_ int alps_attach_(int fd)
{
    off_t off = ALPS_LOCK_ATTACHED_;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_RDLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_OK;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* 0 where nobody else has the medium open, and none gets to open it while `fd`
 * is; ALPS_EBUSY where somebody has. */
ALPS_COLD_ int alps_detached_(int fd)
{
    off_t off = ALPS_LOCK_ATTACHED_;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_WRLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_EUNSUPPORTED;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* A lease is an exclusive lock, which asks for a descriptor that may write. */
ALPS_COLD_ int alps_lease_(alps_map *m, unsigned number)
{
    off_t off = ALPS_LOCK_LEASE_ + (off_t)number;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (alps_range_lock_(m->fd, F_OFD_SETLK, F_WRLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_EUNSUPPORTED;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

ALPS_COLD_ int alps_unlease_(alps_map *m, unsigned number)
{
    off_t off = ALPS_LOCK_LEASE_ + (off_t)number;
    if (alps_range_lock_(m->fd, F_OFD_SETLK, F_UNLCK, off, 1) >= 0)
        return ALPS_OK;
    return alps_no_range_locks_() ? ALPS_EUNSUPPORTED : alps_oserror_();
}

/* Whether another open holds lease `number`, or with ~0u any at all. */
ALPS_COLD_ int alps_leased_(alps_map *m, unsigned number)
{
    off_t n = number == ~0u ? 0 : 1;
    off_t off = ALPS_LOCK_LEASE_ + (n ? (off_t)number : 0);
    int found = alps_range_lock_(m->fd, F_OFD_GETLK, F_WRLCK, off, n);
    if (found >= 0)
        return found != F_UNLCK;
    return alps_no_range_locks_() ? ALPS_EUNSUPPORTED : alps_oserror_();
}

#define ALPS_LOCK_SOLE_ (ALPS_LOCK_GUARD_ + 2)
#define ALPS_LOCK_HOME_ (ALPS_LOCK_GUARD_ + 3)

/* One who writes: alone, or one of many. For as long as `fd` is open. */
ALPS_COLD_ int alps_sole_lock_(int fd, int alone)
{
    int type = alone ? F_WRLCK : F_RDLCK;
    if (alps_range_lock_(fd, F_OFD_SETLK, type, ALPS_LOCK_SOLE_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return alone ? ALPS_EUNSUPPORTED : ALPS_OK;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* Readers keep pages from coming home: they have F_RDLCK, who brings them has
 * F_WRLCK, F_UNLCK ends it. */
ALPS_COLD_ int alps_home_lock_(int fd, int type, int wait)
{
    int command = wait ? F_OFD_SETLKW : F_OFD_SETLK;
    if (alps_range_lock_(fd, command, type, ALPS_LOCK_HOME_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_OK;
    return errno == EACCES || errno == EAGAIN ? ALPS_EBUSY : alps_oserror_();
}

/* One who keeps parts of the file in memory of its own, so that the file alone
 * tells nobody anything, has F_WRLCK; readers have F_RDLCK. */
#define ALPS_LOCK_APART_ (ALPS_LOCK_GUARD_ + 4)
ALPS_COLD_ int alps_apart_lock_(int fd, int type)
{
    if (alps_range_lock_(fd, F_OFD_SETLK, type, ALPS_LOCK_APART_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return type == F_WRLCK ? ALPS_EUNSUPPORTED : ALPS_OK;
    return errno == EACCES || errno == EAGAIN ? ALPS_EBUSY : alps_oserror_();
}
