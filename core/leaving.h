/* leaving.h -- a segment is written because it goes, while threads go on
 *
 * The region's thread makes room for what is likely next, and nobody waits for
 * that room: so it gives the latch while the medium works. The segment is
 * hidden, and stays in the table until the write has returned; its frame is
 * pinned. Who touches it, syncs it or gives it back waits until then. One at a
 * time: there is one such thread. */
#pragma once
#include "budget.h"

/* The segment is no longer between the region and the file: the latch is given
 * until then. */
ALPS_COLD_ void alps_leaving_wait_(alps_pager *p, uint32_t segment)
{
    alps_segment_wait_(p, &p->leaving, segment);
}

/* Whether it can be written without the latch: whole, hidden, and with nothing
 * in it that is compared with a copy or goes to a journal. */
ALPS_COLD_ int alps_leaving_may_(const alps_pager *p, uint32_t frame)
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
ALPS_COLD_ int alps_leaving_write_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    uint64_t off = alps_segment_off_(p, f->segment), n = p->pool.segment;
    const unsigned char *at = alps_view_at_(&p->pool, frame);
    alps_paging count;
    memset(&count, 0, sizeof count);
    alps_segment_goes_(p, off, n);
    int past = p->direct || p->straight;
    f->pins++;
    p->stays = 0;
    __atomic_store_n(&p->leaving, f->segment + 1, __ATOMIC_RELEASE);
    alps_latch_give_(&p->latch);
    int err = alps_backing_write_(&p->backing, past, at, n, off, NULL, &count);
    alps_latch_take_(&p->latch);
    f->pins--;
    p->count.bytes_written += count.bytes_written;
    p->count.failed += count.failed;
    p->count.write_backs += !err;
    if (count.bytes_written)
        alps_backing_wrote_(&p->backing, off, n, &p->written);
    if (!err && p->stays)
        err = ALPS_EBUSY;
    __atomic_store_n(&p->leaving, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, &p->leaving, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
            0);
    return err;
}
