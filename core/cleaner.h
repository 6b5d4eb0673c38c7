/* cleaner.h -- the thread of a region: what can be done before it has to be
 *
 * For a program that wants its file to be nearly up to date, its evictions to
 * find clean segments, and its syncs little to write. It comes by once in an
 * interval: what it finds dirty for the second time it writes. And it is called
 * where too much is dirty, or a segment is likely to be touched next. Nothing
 * is durable by it: fences do that. */
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
    if (!alps_segment_clean_(p, frame)) // a failure is found by who syncs
        p->count.cleaned++;
}

ALPS_FN_ int alps_cleaner_ends_(const alps_pager *p)
{
    return (int)__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE);
}

/* Comes by all frames. No signal comes to this thread. */
ALPS_COLD_ void alps_cleaner_round_(alps_pager *p)
{
    for (uint32_t i = 0; i < p->pool.n && !alps_cleaner_ends_(p); i++) {
        alps_latch_take_(&p->latch);
        alps_cleaner_look_(p, i);
        alps_latch_give_(&p->latch);
    }
}

/* Writes until the low mark, or until nothing can be written. Whoever waits for
 * the latch has it in between. */
ALPS_COLD_ void alps_cleaner_lower_(alps_pager *p)
{
    int err = ALPS_OK;
    while (!err && !alps_cleaner_ends_(p)) {
        alps_latch_take_(&p->latch);
        err = p->mark.high && alps_watermark_count_(&p->mark) > p->mark.low
                  ? alps_pager_clean_(p)
                  : ALPS_EFULL;
        alps_latch_give_(&p->latch);
        sched_yield();
    }
}

/* Brings what is likely next, by turns for each stream. */
ALPS_COLD_ void alps_cleaner_ahead_(alps_pager *p)
{
    for (int more = 1; more && !alps_cleaner_ends_(p);) {
        alps_latch_take_(&p->latch);
        more = alps_pager_ahead_(p);
        alps_latch_give_(&p->latch);
    }
}

/* Milliseconds of a clock that nobody sets. */
ALPS_COLD_ uint64_t alps_cleaner_now_(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Sleeps until it is called, or `n` milliseconds; 0: until it is called. */
ALPS_COLD_ void alps_cleaner_sleep_(alps_pager *p, uint64_t n)
{
    struct timespec nap = {(time_t)(n / 1000), (long)(n % 1000) * 1000000};
    syscall(SYS_futex, &p->called, FUTEX_WAIT_PRIVATE, 0, n ? &nap : NULL, NULL,
            0);
    __atomic_exchange_n(&p->called, 0, __ATOMIC_ACQUIRE);
}

ALPS_COLD_ void *alps_cleaner_run_(void *pager)
{
    alps_pager *p = (alps_pager *)pager;
    uint64_t due = alps_cleaner_now_() + p->interval;
    while (!alps_cleaner_ends_(p)) {
        uint64_t now = alps_cleaner_now_();
        if (p->interval && now >= due) {
            alps_cleaner_round_(p);
            now = alps_cleaner_now_();
            due = now + p->interval;
        }
        alps_cleaner_sleep_(p, p->interval ? due - now : 0);
        if (p->ahead.most)
            alps_cleaner_ahead_(p);
        alps_cleaner_lower_(p);
    }
    return NULL;
}

/* Starts it, where there is something for it to do. */
ALPS_COLD_ int alps_cleaner_start_(alps_pager *p)
{
    sigset_t all, old;
    if (!p->interval && !p->mark.high && !p->ahead.most)
        return ALPS_OK;
    p->ended = p->called = 0;
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
    alps_pager_call_(p);
    pthread_join(p->cleaner, NULL);
    p->cleans = 0;
}
