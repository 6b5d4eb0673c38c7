/* cleaner.h -- a thread that writes what has been dirty for long
 *
 * For a program that wants its file to be nearly up to date, and its evictions
 * to find clean segments. It comes by once in an interval: what it finds dirty
 * for the second time it writes. Nothing is durable by it: fences do that. */
#pragma once
#include "writeback.h"

/* Comes by one frame. */
ALPS_COLD_ void alps_cleaner_look_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    if (f->state == ALPS_FRAME_FREE || !f->dirty || f->pins)
        return;
    if (f->dirty++ == 1)
        return;
    f->dirty = 2;
    alps_segment_clean_(p, frame); // a failure is found again by who syncs
}

ALPS_COLD_ void *alps_cleaner_run_(void *pager)
{
    alps_pager *p = (alps_pager *)pager;
    struct timespec nap = {(time_t)(p->interval / 1000),
                           (long)(p->interval % 1000) * 1000000};
    while (!__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE)) {
        syscall(SYS_futex, &p->ended, FUTEX_WAIT_PRIVATE, 0, &nap, NULL, 0);
        for (uint32_t i = 0; i < p->pool.n; i++) {
            if (__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE))
                break;
            alps_latch_take_(&p->latch); // no signal comes to this thread
            alps_cleaner_look_(p, i);
            alps_latch_give_(&p->latch);
        }
    }
    return NULL;
}

/* Starts it, where there is an interval. */
ALPS_COLD_ int alps_cleaner_start_(alps_pager *p)
{
    sigset_t all, old;
    if (!p->interval)
        return ALPS_OK;
    p->ended = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&p->cleaner, NULL, alps_cleaner_run_, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->cleans = !err;
    return err ? ALPS_ENOMEM : ALPS_OK;
}

/* Ends it; the child of a fork has none. */
ALPS_COLD_ void alps_cleaner_stop_(alps_pager *p)
{
    if (!p->cleans || p->process != getpid())
        return;
    __atomic_store_n(&p->ended, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &p->ended, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(p->cleaner, NULL);
    p->cleans = 0;
}
