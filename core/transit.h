/* transit.h -- segments come and leave while threads go on
 *
 * The latch is for what is known of segments, and the medium takes long: so it
 * is given while a segment is read or written. One that comes is in no table
 * yet, and its frame is known to nobody. One that leaves is hidden, stays in
 * the table until the write has returned, and its frame is pinned. Who touches
 * either waits until it is neither; and so does who syncs, or gives back, one
 * that leaves. Who waits has given the latch. Who is waited for wants the
 * medium and then the latch, or gives up its place where there is no frame. */
#pragma once
#include "budget.h"

/* Whether one may come without the latch: a journal's versions of a page may
 * move meanwhile; and where faults are told there is one place alone where what
 * is wanted is filled. */
ALPS_FN_ int alps_transit_may_(const alps_pager *p)
{
    return !p->spill.journal && !p->pool.uffd;
}

/* Where the segment says that it is on its way, or NULL. */
ALPS_FN_ alps_transit *alps_transit_find_(alps_pager *p, uint32_t segment)
{
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++)
        if (p->transit[i].segment == segment + 1)
            return &p->transit[i];
    return NULL;
}

/* It is on its way from now on. NULL: so many are. */
ALPS_COLD_ alps_transit *alps_transit_begin_(alps_pager *p, uint32_t segment,
                                             uint32_t frame, int leaves)
{
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++) {
        alps_transit *t = &p->transit[i];
        if (t->segment)
            continue;
        t->frame = frame;
        t->leaves = leaves;
        t->gone = 0;
        __atomic_store_n(&t->segment, segment + 1, __ATOMIC_RELEASE);
        return t;
    }
    return NULL;
}

/* It is there, or gone, or neither could be done. */
ALPS_COLD_ void alps_transit_end_(alps_transit *t)
{
    __atomic_store_n(&t->segment, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, &t->segment, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
            0);
}

/* The latch is given until that one is no longer on its way. */
ALPS_COLD_ void alps_transit_wait_(alps_pager *p, alps_transit *t)
{
    uint32_t word = t->segment;
    alps_latch_give_(&p->latch);
    while (__atomic_load_n(&t->segment, __ATOMIC_ACQUIRE) == word)
        syscall(SYS_futex, &t->segment, FUTEX_WAIT_PRIVATE, word, NULL, NULL,
                0);
    alps_latch_take_(&p->latch);
}

/* The same until the segment is not. */
ALPS_COLD_ void alps_transit_over_(alps_pager *p, uint32_t segment)
{
    for (alps_transit *t; (t = alps_transit_find_(p, segment)) != NULL;)
        alps_transit_wait_(p, t);
}

/* The same until any is not, whose frame may be had then; 0: there is none. Who
 * waits here has none in transit itself. */
ALPS_COLD_ int alps_transit_land_(alps_pager *p)
{
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++)
        if (p->transit[i].segment) {
            alps_transit_wait_(p, &p->transit[i]);
            return 1;
        }
    return 0;
}

/* How many frames are pinned because what is in them leaves. */
ALPS_FN_ uint32_t alps_transit_pins_(const alps_pager *p)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++)
        n += p->transit[i].segment && p->transit[i].leaves;
    return n;
}

/* What the file keeps of bytes [off, off + n) is about to change: what is being
 * read of them is not used. Under the latch. */
ALPS_FN_ void alps_transit_void_(alps_pager *p, uint64_t off, uint64_t n)
{
    for (unsigned i = 0; i < ALPS_TRANSITS_; i++) {
        alps_transit *t = &p->transit[i];
        if (t->segment && alps_segment_off_(p, t->segment - 1) < off + n &&
            off < alps_segment_off_(p, t->segment))
            t->gone = 1;
    }
}

/* Reads the segment to where a frame is filled. Under the latch, which is given
 * meanwhile where `t` says that it comes, unless there is a journal. */
ALPS_COLD_ int alps_transit_read_(alps_pager *p, const alps_transit *t,
                                  int past, uint32_t segment, unsigned char *to)
{
    int given = t && !p->spill.journal;
    uint64_t n = alps_segment_bytes_(p, segment);
    alps_paging count;
    memset(&count, 0, sizeof count);
    if (given)
        alps_latch_give_(&p->latch);
    int err = alps_segment_fill_(p, past, segment, n, to, &count);
    if (given)
        alps_latch_take_(&p->latch);
    p->count.bytes_read += count.bytes_read;
    p->count.failed += count.failed;
    if (!err && p->spill.journal)
        err = alps_spill_load_(&p->spill, to,
                               alps_segment_off_(p, segment) / ALPS_PAGE,
                               (n + ALPS_PAGE - 1) / ALPS_PAGE, &p->count);
    return err;
}

/* Whether a frame can be written without the latch: whole, hidden, and with
 * nothing in it that is compared with a copy or goes to a journal. */
ALPS_COLD_ int alps_transit_leaves_(const alps_pager *p, uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    uint64_t off = alps_segment_off_(p, f->segment), n = p->pool.segment;
    return f->state == ALPS_FRAME_HIDDEN && !p->spill.journal &&
           alps_segment_bytes_(p, f->segment) == n &&
           (!p->echo.n || off >= p->echo.off + p->echo.n ||
            p->echo.off >= off + n);
}

/* Writes it to its place. ALPS_EBUSY: a sync has failed meanwhile, and it has
 * to stay. Under the latch, which is given in between. */
ALPS_COLD_ int alps_transit_write_(alps_pager *p, alps_transit *t)
{
    alps_page_frame *f = &p->pool.frame[t->frame];
    uint64_t off = alps_segment_off_(p, f->segment), n = p->pool.segment;
    const unsigned char *at = alps_view_at_(&p->pool, t->frame);
    uint32_t failures = p->failures;
    alps_paging count;
    memset(&count, 0, sizeof count);
    alps_segment_goes_(p, off, n);
    int past = p->direct || p->straight;
    f->pins++;
    p->pinned++;
    alps_latch_give_(&p->latch);
    int err = alps_backing_write_(&p->backing, past, at, n, off, NULL, &count);
    alps_latch_take_(&p->latch);
    f->pins--;
    p->pinned--;
    p->count.bytes_written += count.bytes_written;
    p->count.failed += count.failed;
    p->count.write_backs += !err;
    if (count.bytes_written)
        alps_backing_wrote_(&p->backing, off, n, &p->written);
    return !err && failures != p->failures ? ALPS_EBUSY : err;
}
