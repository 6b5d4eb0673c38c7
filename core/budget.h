/* budget.h -- memory that several regions share
 *
 * An object of the program, like the handler: so many bytes for all regions
 * that are opened with it. Each has its nine frames for sure, and up to its own
 * limit what nobody has taken. When all is taken, a region that has less than
 * its share takes a frame from the one that has most; one that has more lets go
 * of its own. Locks: a region's latch, then the budget's, then another region's
 * if that is free, and not otherwise. */
#pragma once
#include "segment.h"

/* Zeroed but for `bytes`, and it stays where it is while regions have it. */
typedef struct alps_budget {
    uint64_t bytes; /* for all */
    uint64_t used;  /* by frames, and by those that are promised */
    struct alps_pager *first;
    uint32_t regions;
    uint32_t latch;
    pid_t process; /* whose it is: not the child of a fork */
} alps_budget;

/* Nine frames, and what is between a frame and the region. */
ALPS_FN_ uint64_t alps_budget_least_(const alps_pager *p)
{
    uint32_t more =
        p->pool.uffd ? ALPS_FRAMES_MORE + (p->uffd.guess != NULL) : 0;
    return (uint64_t)(ALPS_FRAMES_MIN + more) << p->shift;
}

/* Joins it. ALPS_ENOMEM: there is not enough left for nine frames. */
ALPS_COLD_ int alps_budget_join_(alps_pager *p)
{
    sigset_t old;
    alps_budget *b = p->budget;
    int err = ALPS_OK;
    if (!b)
        return ALPS_OK;
    if (b->process != p->process) { // a first one, or in the child of a fork
        uint64_t bytes = b->bytes;
        memset(b, 0, sizeof *b);
        b->bytes = bytes;
        b->process = p->process;
    }
    alps_latch_enter_(&b->latch, &old);
    if (b->used + alps_budget_least_(p) > b->bytes) {
        err = ALPS_ENOMEM;
    } else {
        b->used += alps_budget_least_(p);
        b->regions++;
        p->sharer = b->first;
        b->first = p;
        p->shares = 1;
    }
    alps_latch_leave_(&b->latch, &old);
    return err;
}

/* Leaves it, and gives back all that was taken. */
ALPS_COLD_ void alps_budget_leave_(alps_pager *p)
{
    sigset_t old;
    alps_budget *b = p->budget;
    if (!p->shares || b->process != getpid())
        return;
    alps_latch_enter_(&b->latch, &old);
    uint32_t more =
        p->pool.used > ALPS_FRAMES_MIN ? p->pool.used - ALPS_FRAMES_MIN : 0;
    b->used -= alps_budget_least_(p) + ((uint64_t)more << p->shift);
    b->regions--;
    for (alps_pager **at = &b->first; *at; at = &(*at)->sharer)
        if (*at == p) {
            *at = p->sharer;
            break;
        }
    p->shares = 0;
    alps_latch_leave_(&b->latch, &old);
}

/* Takes one more frame's bytes, if there are any. */
ALPS_COLD_ int alps_budget_take_(alps_pager *p)
{
    alps_budget *b = p->budget;
    uint64_t n = (uint64_t)1 << p->shift;
    if (!b || p->pool.used < ALPS_FRAMES_MIN)
        return 1;
    alps_latch_take_(&b->latch);
    int is = b->used + n <= b->bytes;
    b->used += is ? n : 0;
    alps_latch_give_(&b->latch);
    return is;
}

/* Who has more than `p`, and more than it needs: the one with most. Under the
 * budget's latch. */
ALPS_COLD_ alps_pager *alps_budget_rich_(const alps_pager *p)
{
    alps_pager *best = NULL;
    uint64_t most = (uint64_t)p->pool.used << p->shift;
    for (alps_pager *q = p->budget->first; q; q = q->sharer) {
        uint32_t used = __atomic_load_n(&q->pool.used, __ATOMIC_RELAXED);
        if (q == p || used <= ALPS_FRAMES_MIN ||
            (uint64_t)used << q->shift <= most)
            continue;
        best = q;
        most = (uint64_t)used << q->shift;
    }
    return best;
}

/* Whether `p` has less than its share. */
ALPS_FN_ int alps_budget_poor_(const alps_pager *p)
{
    const alps_budget *b = p->budget;
    return b && (uint64_t)(p->pool.used + 1) << p->shift <=
                    b->bytes / (b->regions ? b->regions : 1);
}
