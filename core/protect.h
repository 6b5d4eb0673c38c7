/* protect.h -- pages that tell when they are first stored to
 *
 * For kernels that can protect pages (5.7) and tell which ones are (5.14), but
 * cannot lift the protection by themselves: a thread of the handle does, and
 * the store goes on. What is not protected has been stored to. Only anonymous
 * memory can be protected so; of what is mapped from the file, pages that are
 * private are candidates, and compared. The thread stores nothing, holds no
 * lock and ends with the handle. */
#pragma once
#include "dirty.h"
#include <poll.h>
#include <signal.h>

typedef struct alps_uffd_change {
    uint64_t from, n, mode;
} alps_uffd_change;

typedef struct alps_uffd_event {
    uint8_t what, unused[7];
    uint64_t flags, address, more;
} alps_uffd_event;

#define ALPS_UFFD_CHANGE_ _IOWR(0xAA, 0x06, alps_uffd_change)
#define ALPS_UFFD_FAULT_ 0x12u
#define ALPS_UFFD_FLAGS_ 1u /* tells stores to what is protected */

/* What a page table entry has in /proc/self/pagemap. */
#define ALPS_ENTRY_THERE_ (3ull << 62) /* in memory or in swap */
#define ALPS_ENTRY_FILE_ (1ull << 61)
#define ALPS_ENTRY_PROTECTED_ (1ull << 57)

ALPS_COLD_ int alps_protect_range_(const alps_journal *j, uint64_t from,
                                   uint64_t n, int on)
{
    alps_uffd_change change = {from, n, on != 0};
    int rc;
    do
        rc = ioctl(j->uffd, ALPS_UFFD_CHANGE_, &change);
    while (rc && (errno == EINTR || errno == EAGAIN));
    return rc ? alps_oserror_() : ALPS_OK;
}

/* The thread: lifts the protection of each page that somebody stores to. */
ALPS_COLD_ void *alps_protect_lift_(void *context)
{
    const alps_journal *j = (const alps_journal *)context;
    uint64_t page = alps_system_page_();
    for (;;) {
        alps_uffd_event e;
        struct pollfd from[2] = {{j->uffd, POLLIN, 0}, {j->stop[0], POLLIN, 0}};
        if (poll(from, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (from[1].revents)
            return NULL;
        while (read(j->uffd, &e, sizeof e) == (ssize_t)sizeof e)
            if (e.what == ALPS_UFFD_FAULT_)
                alps_protect_range_(j, e.address / page * page, page, 0);
    }
}

/* Adds the pages that were stored to, and protects them again: an
 * alps_dirty_look. */
ALPS_COLD_ int alps_protect_entries_(const alps_map *m, uint64_t *set,
                                     const uint64_t *entry, uint64_t first,
                                     uint64_t n)
{
    uint64_t page = alps_system_page_(), run = 0;
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t there = i < n ? entry[i] & ALPS_ENTRY_THERE_ : 0;
        uint64_t lies = (first + i) * page;
        int own = there && !(entry[i] & ALPS_ENTRY_FILE_);
        if (own && lies / ALPS_PAGE < m->journal->filed) {
            alps_dirty_add_(m, set, lies, lies + page);
            own = 0;
        }
        if (own && !(entry[i] & ALPS_ENTRY_PROTECTED_)) {
            alps_dirty_add_(m, set, lies, lies + page);
            run++;
            continue;
        }
        int err = run ? alps_protect_range_(m->journal,
                                            (uint64_t)(uintptr_t)m->base +
                                                lies - run * page,
                                            run * page, 1)
                      : ALPS_OK;
        if (err)
            return err;
        run = 0;
    }
    return ALPS_OK;
}

/* Adds the pages that were stored to since the last time. */
ALPS_COLD_ int alps_protect_take_(const alps_map *m, uint64_t *set)
{
    return alps_dirty_walk_(m, set, alps_protect_entries_);
}

/* Whether a page that is protected shows as such. */
ALPS_COLD_ int alps_protect_shows_(const alps_map *m)
{
    uint64_t page = alps_system_page_(), entry = 0;
    uint64_t at = (uint64_t)(uintptr_t)m->base + m->journal->filed * ALPS_PAGE;
    volatile unsigned char *byte = (volatile unsigned char *)(uintptr_t)at;
    *byte = *byte; // so that it is there
    return !alps_protect_range_(m->journal, at, page, 1) &&
           !alps_fd_read_(m->journal->pagemap, &entry, sizeof entry,
                          at / page * sizeof entry) &&
           (entry & ALPS_ENTRY_PROTECTED_) &&
           !alps_protect_range_(m->journal, at, page, 0);
}

/* Ends the thread, where there is one: the child of a fork has none. */
ALPS_COLD_ void alps_protect_end_(alps_journal *j)
{
    if (j->stop[1] < 0 || j->owner != getpid())
        return;
    while (write(j->stop[1], "", 1) < 0 && errno == EINTR)
        continue;
    pthread_join(j->lifter, NULL);
}

/* Begins to watch the mapping in this way. A store of the system, as by read(),
 * is told only to those with the privilege to handle it. */
ALPS_COLD_ int alps_protect_begin_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_uffd_api api = {0xAA, ALPS_UFFD_FLAGS_, 0};
    uint64_t off = j->filed * ALPS_PAGE, page = alps_system_page_();
    alps_uffd_register all = {(uint64_t)(uintptr_t)m->base + off,
                              alps_round_up_(m->reserved, page) - off,
                              ALPS_UFFD_PROTECT_, 0};
    sigset_t every, old;
    if (off >= m->reserved)
        return ALPS_EUNSUPPORTED; // all is mapped from the file
    j->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (j->uffd < 0 || ioctl(j->uffd, ALPS_UFFD_API_, &api) ||
        ioctl(j->uffd, ALPS_UFFD_REGISTER_, &all) || !alps_protect_shows_(m))
        return ALPS_EUNSUPPORTED;
    if (syscall(SYS_pipe2, j->stop, O_CLOEXEC))
        return alps_oserror_();
    j->owner = getpid();
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &old);
    int rc = pthread_create(&j->lifter, NULL, alps_protect_lift_, j);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!rc)
        return alps_protect_take_(m, j->due);
    close(j->stop[0]);
    close(j->stop[1]);
    j->stop[0] = j->stop[1] = -1;
    return ALPS_ENOMEM;
}
