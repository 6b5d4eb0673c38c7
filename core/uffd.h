/* uffd.h -- userfaultfd: the system tells a thread what another one touched
 *
 * For memory of this process whose faults are told to who asks for them; the
 * thread that touched it waits meanwhile, also inside of a system call. Here is
 * what is done to a range of it: filled, moved, protected, opened, spoilt. The
 * headers of many systems are older than the calls, so they stand here. */
#pragma once
#include "address.h"
#include "protect.h"
#include <sys/mman.h>

/* How the system is asked; a test puts its own in place, which has less. */
#ifndef ALPS_UFFD_CALL
#  define ALPS_UFFD_CALL(fd, what, with) \
    syscall(SYS_ioctl, fd, (unsigned long)(what), with)
#endif

typedef struct alps_uffd_range {
    uint64_t from, n;
} alps_uffd_range;

typedef struct alps_uffd_filling {
    uint64_t to, from, n, mode;
    int64_t done;
} alps_uffd_filling;

typedef struct alps_uffd_spoiling {
    uint64_t from, n, mode;
    int64_t done;
} alps_uffd_spoiling;

#define ALPS_UFFD_NEW_ _IO(0xAA, 0x00) /* of /dev/userfaultfd, since 6.1 */
#define ALPS_UFFD_WAKE_ _IOR(0xAA, 0x02, alps_uffd_range)
#define ALPS_UFFD_COPY_ _IOWR(0xAA, 0x03, alps_uffd_filling)
#define ALPS_UFFD_MOVE_ _IOWR(0xAA, 0x05, alps_uffd_filling)
#define ALPS_UFFD_POISON_ _IOWR(0xAA, 0x08, alps_uffd_spoiling)

#define ALPS_UFFD_MISSING_ 1u    /* to register: tells of what is not there */
#define ALPS_UFFD_FILL_SLEEP_ 1u /* to fill: who waits for it goes on waiting */
#define ALPS_UFFD_FILL_PROTECT_ 2u /* to copy: nobody may store to it */
#define ALPS_UFFD_USER_ 1          /* to open: faults of system calls fail */
#define ALPS_UFFD_STORE_ 3u        /* of an event: it was a store */

/* What a system has: protection since 5.7, the rest since the number beside. */
#define ALPS_UFFD_HAS_PROTECT_ (1ull << 0)
#define ALPS_UFFD_HAS_THREAD_ (1ull << 8)  /* 4.14 */
#define ALPS_UFFD_HAS_POISON_ (1ull << 14) /* 6.6 */
#define ALPS_UFFD_HAS_MOVE_ (1ull << 16)   /* 6.8 */

#define ALPS_DONTNEED_LOCKED_ 24

/* Pages that are poisoned and will be tried again. */
#define ALPS_UFFD_SPOILT_ 16u

typedef struct alps_uffd {
    int fd;           /* what tells of faults, or -1 */
    int stop;         /* an eventfd that ends the thread, or -1 */
    int hole;         /* an empty file, if nothing can be poisoned; or -1 */
    int part;         /* 1: faults of system calls fail */
    int serves;       /* 1: there is a thread */
    int stores;       /* 1: the last fault was a store */
    uint64_t has;     /* ALPS_UFFD_HAS_... */
    uint64_t segment; /* bytes that come and go at once */
    unsigned char *bounce; /* a segment that is filled before it is shown */
    unsigned char *guess;  /* one that nobody has asked for yet; or NULL */
    unsigned busy;         /* how often a fault in a row had to wait */
    unsigned spoilt_n;
    uint64_t spoilt[ALPS_UFFD_SPOILT_]; /* addresses */
    pthread_t thread;
} alps_uffd;

ALPS_COLD_ int alps_uffd_ask_(const alps_uffd *u, unsigned long what,
                              void *with)
{
    long rc;
    do
        rc = ALPS_UFFD_CALL(u->fd, what, with);
    while (rc && (errno == EINTR || errno == EAGAIN));
    return rc ? alps_oserror_() : ALPS_OK;
}

/* One that tells of all faults, if this process may have it; or, with `some`,
 * one that tells of those of threads alone. */
ALPS_COLD_ int alps_uffd_get_(alps_uffd *u, int some)
{
    int flags = O_CLOEXEC | O_NONBLOCK;
    u->part = 0;
    u->fd = (int)syscall(SYS_userfaultfd, flags);
    int device = u->fd < 0 ? open("/dev/userfaultfd", O_RDWR | O_CLOEXEC) : -1;
    if (device >= 0) {
        u->fd = (int)ALPS_UFFD_CALL(device, ALPS_UFFD_NEW_, (long)flags);
        close(device);
    }
    if (u->fd < 0 && some) {
        u->fd = (int)syscall(SYS_userfaultfd, flags | ALPS_UFFD_USER_);
        u->part = 1;
    }
    return u->fd < 0 ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* Opens it with what the system has of what is needed. It says what it has only
 * to one that is not used for anything else. */
ALPS_COLD_ int alps_uffd_open_(alps_uffd *u, int some)
{
    const uint64_t all = ALPS_UFFD_HAS_PROTECT_ | ALPS_UFFD_HAS_THREAD_ |
                         ALPS_UFFD_HAS_POISON_ | ALPS_UFFD_HAS_MOVE_;
    alps_uffd_api api = {0xAA, 0, 0};
    int err = alps_uffd_get_(u, some);
    if (err)
        return err;
    err = alps_uffd_ask_(u, ALPS_UFFD_API_, &api);
    close(u->fd);
    u->fd = -1;
    u->has = api.features & all;
    if (err || !(u->has & ALPS_UFFD_HAS_PROTECT_))
        return ALPS_EUNSUPPORTED;
    err = alps_uffd_get_(u, some);
    if (err)
        return err;
    api.api = 0xAA;
    api.features = u->has;
    return alps_uffd_ask_(u, ALPS_UFFD_API_, &api) ? ALPS_EUNSUPPORTED
                                                   : ALPS_OK;
}

/* Addresses that are held become memory whose faults are told. Nobody sees it
 * before they are, and the child of a fork does not get it. */
ALPS_COLD_ int alps_uffd_take_(const alps_uffd *u, unsigned char *at,
                               uint64_t n)
{
    alps_uffd_register all = {(uint64_t)(uintptr_t)at, n,
                              ALPS_UFFD_MISSING_ | ALPS_UFFD_PROTECT_, 0};
    long p = syscall(SYS_mmap, at, n, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                     -1, 0L);
    if (p == -1 || syscall(SYS_madvise, at, n, MADV_DONTFORK))
        return alps_oserror_();
    syscall(SYS_madvise, at, n, MADV_NOHUGEPAGE); // they come and go as a whole
    int err = alps_uffd_ask_(u, ALPS_UFFD_REGISTER_, &all);
    if (err)
        return err;
    return syscall(SYS_mprotect, at, n, PROT_READ | PROT_WRITE)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Fills `n` bytes at `to`, of which nothing is there, by a copy of those at
 * `from` or by the pages themselves. `*did` are those that were. Threads that
 * wait are woken by the server, when it has written down what is there. */
ALPS_COLD_ int alps_uffd_fill_(const alps_uffd *u, unsigned long what,
                               unsigned char *to, const unsigned char *from,
                               uint64_t n, uint64_t mode, uint64_t *did)
{
    *did = 0;
    while (*did < n) {
        alps_uffd_filling f = {(uint64_t)(uintptr_t)to + *did,
                               (uint64_t)(uintptr_t)from + *did, n - *did,
                               mode | ALPS_UFFD_FILL_SLEEP_, 0};
        long rc = ALPS_UFFD_CALL(u->fd, what, &f);
        if (f.done > 0)
            *did += (uint64_t)f.done;
        if (rc && errno != EINTR && errno != EAGAIN)
            return alps_oserror_();
    }
    return ALPS_OK;
}

/* Nobody may store to it; or threads may again, and those that wait go on. */
ALPS_COLD_ int alps_uffd_protect_(const alps_uffd *u, unsigned char *at,
                                  uint64_t n, int on)
{
    alps_uffd_change change = {(uint64_t)(uintptr_t)at, n, on != 0};
    return alps_uffd_ask_(u, ALPS_UFFD_CHANGE_, &change);
}

/* Threads that wait for it try again. */
ALPS_COLD_ void alps_uffd_wake_(const alps_uffd *u, uint64_t at, uint64_t n)
{
    alps_uffd_range range = {at, n};
    alps_uffd_ask_(u, ALPS_UFFD_WAKE_, &range);
}

/* What is there is not there any more. */
ALPS_COLD_ int alps_uffd_drop_(unsigned char *at, uint64_t n)
{
    if (syscall(SYS_madvise, at, n, ALPS_DONTNEED_LOCKED_) &&
        syscall(SYS_madvise, at, n, MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* ---- memory that cannot be had ------------------------------------------- */

/* A touch of the page at `at`, of which nothing is there, is SIGBUS from now
 * on, and EFAULT to a system call. Where the system cannot poison it, so is all
 * of the segment, for good. */
ALPS_COLD_ int alps_uffd_spoil_(alps_uffd *u, uint64_t at)
{
    alps_uffd_spoiling s = {at, alps_system_page_(), 0, 0};
    if (!(u->has & ALPS_UFFD_HAS_POISON_))
        return syscall(SYS_mmap, at & ~(u->segment - 1), u->segment,
                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, u->hole,
                       0L) == -1
                   ? alps_oserror_()
                   : ALPS_OK;
    if (u->spoilt_n == ALPS_UFFD_SPOILT_)
        return ALPS_EFULL;
    int err = alps_uffd_ask_(u, ALPS_UFFD_POISON_, &s);
    if (err)
        return err;
    u->spoilt[u->spoilt_n] = at;
    __atomic_store_n(&u->spoilt_n, u->spoilt_n + 1, __ATOMIC_RELAXED);
    return ALPS_OK;
}

/* What was poisoned in [from, from + n) is told of again. */
ALPS_COLD_ void alps_uffd_mend_(alps_uffd *u, uint64_t from, uint64_t n)
{
    unsigned left = 0;
    for (unsigned i = 0; i < u->spoilt_n; i++) {
        uint64_t at = u->spoilt[i];
        if (at - from >= n || alps_uffd_drop_((unsigned char *)(uintptr_t)at,
                                              alps_system_page_()))
            u->spoilt[left++] = at;
    }
    __atomic_store_n(&u->spoilt_n, left, __ATOMIC_RELAXED);
}

/* Ends all of it but the thread, and the mappings that are others'. */
ALPS_COLD_ void alps_uffd_close_(alps_uffd *u)
{
    int *const fd[] = {&u->fd, &u->stop, &u->hole};
    for (unsigned i = 0; i < 3; i++) {
        if (*fd[i] >= 0)
            close(*fd[i]);
        *fd[i] = -1;
    }
}
