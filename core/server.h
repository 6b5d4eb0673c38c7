/* server.h -- the thread that serves faults, where no signal does
 *
 * The system tells it who touched what, and lets that thread wait; it brings
 * the segment, as a thread of a rewired region does for itself, and the other
 * goes on. It is one for each region, lets no signal in, and touches no memory
 * of the region that is not there: who it would have to wait for is itself. */
#pragma once
#include "pager.h"

/* Events that are asked for at once. */
#define ALPS_SERVER_EVENTS_ 16u

/* So long a page stays spoilt before it is tried again. */
#define ALPS_SERVER_MENDS_ 10 /* milliseconds */

/* So often, a millisecond each, the system is waited for that reads or stores
 * to all that might go: what it does so far may be for this very page. */
#define ALPS_SERVER_WAITS_ 1000u

/* What cannot be brought is SIGBUS, and what is behind the end as well. Where
 * not even that can be had the thread tries again. Under the latch. */
ALPS_COLD_ void alps_server_spoil_(alps_pager *p, uint64_t at)
{
    uint32_t segment =
        (uint32_t)((at - (uint64_t)(uintptr_t)p->base) >> p->shift);
    uint32_t frame = alps_segment_frame_(p, segment);
    if (frame == ALPS_NO_FRAME ||
        p->pool.frame[frame].state == ALPS_FRAME_HIDDEN)
        alps_uffd_spoil_(&p->uffd, at);
}

/* Whether the fault is to be tried again in a moment. */
ALPS_COLD_ int alps_server_waits_(alps_uffd *u, int err)
{
    u->busy = err == ALPS_EBUSY ? u->busy + 1 : 0;
    return u->busy % (ALPS_SERVER_WAITS_ + 1) != 0;
}

/* One thread touched something. */
ALPS_COLD_ void alps_server_fault_(alps_pager *p, const alps_uffd_event *e)
{
    struct timespec nap = {0, ALPS_VIEW_NAP_};
    uint64_t page = alps_system_page_();
    uint64_t at = e->address / page * page;
    uint64_t off = at - (uint64_t)(uintptr_t)p->base;
    uint64_t whole = p->uffd.hole < 0 ? ALPS_PAGE : p->uffd.segment;
    int store = (e->flags & ALPS_UFFD_STORE_) != 0;
    if (e->what != ALPS_UFFD_FAULT_ || off >= p->reserved)
        return;
    alps_latch_take_(&p->latch); // no signal comes to this thread
    int err = ALPS_ETRUNCATED;   // behind the end
    if (off < alps_round_up_(p->length, whole))
        err =
            alps_pager_want_(p, off, store ? ALPS_TOUCH_WRITE : ALPS_TOUCH_READ,
                             (uintptr_t)(uint32_t)e->more + 1);
    int waits = alps_server_waits_(&p->uffd, err);
    if (err && err != ALPS_NOT_OURS && !waits)
        alps_server_spoil_(p, at);
    alps_latch_give_(&p->latch);
    if (waits)
        nanosleep(&nap, NULL);
    alps_uffd_wake_(&p->uffd, at, page); // also where nothing was to be done
}

ALPS_COLD_ void alps_server_mend_(alps_pager *p)
{
    alps_latch_take_(&p->latch);
    alps_uffd_mend_(&p->uffd, (uint64_t)(uintptr_t)p->base, p->reserved);
    alps_latch_give_(&p->latch);
}

ALPS_COLD_ void *alps_server_run_(void *pager)
{
    alps_pager *p = (alps_pager *)pager;
    alps_uffd_event event[ALPS_SERVER_EVENTS_];
    for (unsigned round = 1;; round++) {
        struct pollfd from[2] = {{p->uffd.fd, POLLIN, 0},
                                 {p->uffd.stop, POLLIN, 0}};
        unsigned bad = __atomic_load_n(&p->uffd.spoilt_n, __ATOMIC_RELAXED);
        int n = poll(from, 2, bad ? ALPS_SERVER_MENDS_ : -1);
        if (from[1].revents)
            return NULL;
        if (bad && (n == 0 || bad == ALPS_UFFD_SPOILT_ || round % 64 == 0))
            alps_server_mend_(p);
        long got = n > 0 ? (long)read(p->uffd.fd, event, sizeof event) : 0;
        for (long i = 0; i < got / (long)sizeof *event; i++)
            alps_server_fault_(p, &event[i]);
    }
}

/* Room for a segment that is filled; the child of a fork does not get it. */
ALPS_COLD_ int alps_server_room_(const alps_uffd *u, unsigned char **room)
{
    *room = (unsigned char *)alps_pool_memory_(u->segment);
    if (!*room)
        return ALPS_ENOMEM;
    return syscall(SYS_madvise, *room, u->segment, MADV_DONTFORK)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Makes ready to serve frames of `segment` bytes. `some`: faults of threads
 * alone will do. */
ALPS_COLD_ int alps_server_open_(alps_pager *p, uint64_t segment, int some)
{
    alps_uffd *u = &p->uffd;
    u->segment = segment;
    u->fd = u->stop = u->hole = -1;
    int err = alps_uffd_open_(u, some);
    if (err)
        return err;
    u->stop = (int)syscall(SYS_eventfd2, 0L, (long)O_CLOEXEC);
    if (!(u->has & ALPS_UFFD_HAS_POISON_))
        u->hole = alps_pool_file_(0);
    err = alps_server_room_(u, &u->bounce);
    if (!err && p->ahead.most && u->has & ALPS_UFFD_HAS_MOVE_)
        err = alps_server_room_(u, &u->guess); // else nothing can be hidden
    if (err || u->stop < 0 ||
        (u->hole < 0 && !(u->has & ALPS_UFFD_HAS_POISON_)))
        return err ? err : ALPS_ENOMEM;
    return ALPS_OK;
}

/* From now on it serves. */
ALPS_COLD_ int alps_server_start_(alps_pager *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&p->uffd.thread, NULL, alps_server_run_, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->uffd.serves = !err;
    return err ? ALPS_ENOMEM : ALPS_OK;
}

/* No longer. The child of a fork has no thread. */
ALPS_COLD_ void alps_server_stop_(alps_pager *p)
{
    uint64_t one = 1;
    if (!p->uffd.serves || p->process != getpid())
        return;
    while (write(p->uffd.stop, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(p->uffd.thread, NULL);
    p->uffd.serves = 0;
}

/* Gives up what it had; the child of a fork has no memory of it. */
ALPS_COLD_ void alps_server_close_(alps_pager *p)
{
    alps_uffd *u = &p->uffd;
    if (!u->segment)
        return; // it was never made ready
    alps_server_stop_(p);
    if (u->bounce && p->process == getpid())
        munmap(u->bounce, (size_t)u->segment);
    if (u->guess && p->process == getpid())
        munmap(u->guess, (size_t)u->segment);
    alps_uffd_close_(u);
    memset(u, 0, sizeof *u);
}
