/* writeback.h -- what is dirty comes to the file, and becomes durable there
 *
 * Writing is one thing and being durable another: evictions write all the time
 * and sync never. Every write is counted; a fence syncs the file if any was
 * made since the last sync, whoever made it, and is free if none was. */
#pragma once
#include "pager.h"

/* Bytes [from, to) of a frame that may be dirty. All of a segment leaves it
 * clean; pages of it are just written. */
ALPS_COLD_ int alps_writeback_frame_(alps_pager *p, uint32_t frame,
                                     uint64_t from, uint64_t to)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    if (!f->dirty)
        return ALPS_OK;
    if (from == 0 && to >= alps_segment_bytes_(p, f->segment))
        return alps_segment_clean_(p, frame);
    from -= from % ALPS_PAGE;
    to = alps_round_up_(to, ALPS_PAGE);
    return alps_segment_pages_(p, frame, from, to);
}

/* Bytes that a sync of `n` may have to write. */
ALPS_COLD_ uint64_t alps_writeback_due_(alps_pager *p, uint64_t n)
{
    sigset_t old;
    if (!n)
        return 0;
    alps_latch_enter_(&p->latch, &old);
    uint64_t due = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    alps_latch_leave_(&p->latch, &old);
    return due;
}

/* Bytes [off, off + n) of the region are in the file when this returns 0, as
 * far as they were stored before it was called. The latch is held for one
 * segment at a time. Goes on after an error, and answers the first. `telling`,
 * or NULL, hears of each segment that was dirty. */
ALPS_COLD_ int alps_writeback_(alps_pager *p, uint64_t off, uint64_t n,
                               alps_telling *telling)
{
    uint64_t end = off + n;
    uint64_t length = __atomic_load_n(&p->length, __ATOMIC_ACQUIRE);
    int first = ALPS_OK;
    if (end > length)
        end = length;
    while (off < end) {
        uint32_t segment = (uint32_t)(off >> p->shift);
        uint64_t start = alps_segment_off_(p, segment);
        uint64_t stop = start + p->pool.segment;
        uint64_t to = end < stop ? end : stop;
        if (alps_segment_frame_(p, segment) != ALPS_NO_FRAME) {
            sigset_t old;
            int err = ALPS_OK;
            uint64_t due = 0;
            alps_latch_enter_(&p->latch, &old);
            alps_transit_over_(p, segment);
            uint32_t frame = alps_segment_frame_(p, segment);
            if (frame != ALPS_NO_FRAME) {
                due = alps_pool_dirty_(&p->pool, frame, frame + 1);
                err = alps_writeback_frame_(p, frame, off - start, to - start);
            }
            alps_latch_leave_(&p->latch, &old);
            first = first ? first : err;
            if (telling && !err)
                alps_progress_step_(telling, due);
        }
        off = stop;
    }
    return first;
}

/* What every fence takes along is listened to from now on, where that is not
 * much of the memory there is. */
ALPS_COLD_ void alps_writeback_listen_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    if (n + 2 * ALPS_PAGE > p->memory / 64)
        return;
    alps_latch_enter_(&p->latch, &old);
    if (!p->echo.bytes)
        alps_echo_open_(&p->echo, off, n);
    alps_latch_leave_(&p->latch, &old);
}

/* A sync has failed: the system takes pages for clean that are not on the
 * medium. What is in memory is due once more; what is not is lost. */
ALPS_COLD_ void alps_writeback_failed_(alps_pager *p, int err)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    p->count.failed++;
    p->failures++;
    if (p->unheld > p->synced)
        p->lost = err;
    alps_echo_forget_(&p->echo);
    for (uint32_t i = 0; i < p->pool.n; i++)
        if (p->pool.frame[i].state != ALPS_FRAME_FREE) {
            p->pool.frame[i].dirty = 1;
            alps_watermark_saw_(&p->mark, ALPS_TOLD_DIRTY, i,
                                &p->pool.frame[i]);
        }
    alps_latch_leave_(&p->latch, &old);
}

/* What was written to the file before is durable when this returns 0. */
ALPS_COLD_ int alps_writeback_fence_(alps_pager *p)
{
    sigset_t old;
    uint64_t now = __atomic_load_n(&p->written, __ATOMIC_ACQUIRE);
    uint64_t done = __atomic_load_n(&p->synced, __ATOMIC_ACQUIRE);
    int lost = __atomic_load_n(&p->lost, __ATOMIC_ACQUIRE);
    if (lost || now <= done)
        return lost;
    int err = alps_backing_sync_(&p->backing, done);
    if (err) {
        alps_writeback_failed_(p, err);
        return err;
    }
    alps_latch_enter_(&p->latch, &old);
    p->count.syncs++;
    alps_latch_leave_(&p->latch, &old);
    while (done < now &&
           !__atomic_compare_exchange_n(&p->synced, &done, now, 0,
                                        __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        continue;
    return ALPS_OK;
}

/* What the file has of bytes [off, off + n) changes. */
ALPS_COLD_ void alps_writeback_void_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_transit_void_(p, off, n);
    alps_latch_leave_(&p->latch, &old);
}

/* Bytes [off, off + n), of which the file keeps nothing from now on, are
 * forgotten: whole segments, and what shares one with others is zero. */
ALPS_COLD_ void alps_writeback_forget_(alps_pager *p, uint64_t off, uint64_t n)
{
    uint64_t size = p->pool.segment, end = off + n;
    alps_writeback_void_(p, off, n);
    while (off < end) {
        sigset_t old;
        uint32_t segment = (uint32_t)(off >> p->shift);
        uint64_t start = alps_segment_off_(p, segment), stop = start + size;
        uint64_t to = end < stop ? end : stop;
        if (alps_segment_frame_(p, segment) != ALPS_NO_FRAME) {
            alps_latch_enter_(&p->latch, &old);
            alps_transit_over_(p, segment); // or it is written once more
            uint32_t frame = alps_segment_frame_(p, segment);
            int whole = off == start && to == stop;
            if (frame != ALPS_NO_FRAME && whole && !p->pool.frame[frame].pins &&
                !alps_segment_still_(p, frame))
                alps_segment_drop_(p, frame);
            else if (frame != ALPS_NO_FRAME && !p->spill.journal)
                alps_segment_zero_(p, frame, off - start, to - start);
            alps_latch_leave_(&p->latch, &old);
        }
        off = stop;
    }
}

/* The region ends at `length` now. What was behind it is zero if it comes
 * back. */
ALPS_COLD_ void alps_writeback_length_(alps_pager *p, uint64_t length)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    uint64_t was = p->length;
    alps_echo_forget_(&p->echo);
    if (length > was)
        alps_view_more_(&p->pool, was, length);
    __atomic_store_n(&p->length, length, __ATOMIC_RELEASE);
    alps_latch_leave_(&p->latch, &old);
    if (length < was) // from now on nothing of it is brought
        alps_writeback_forget_(p, length, p->reserved - length);
}

/* Lets go of what `alps_writeback_pin_` held. */
ALPS_COLD_ void alps_writeback_unpin_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    uint64_t end = off + n;
    alps_latch_enter_(&p->latch, &old);
    for (off -= off % p->pool.segment; off < end; off += p->pool.segment) {
        uint32_t frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
        if (frame == ALPS_NO_FRAME || !p->pool.frame[frame].pins)
            continue;
        alps_page_frame *f = &p->pool.frame[frame];
        f->pins--;
        if (f->pins == ALPS_PINNED_STORE_)
            f->pins = 0;
        p->pinned -= !f->pins;
    }
    alps_latch_leave_(&p->latch, &old);
}

/* One segment is in memory, to be read or to be written, and stays. Under the
 * latch. */
ALPS_COLD_ int alps_writeback_hold_(alps_pager *p, uint64_t off, int write)
{
    int err = ALPS_OK;
    uint32_t kept = p->pinned - alps_transit_pins_(p); // held for longer
    uint32_t frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
    if (kept + p->young + 1 >= p->pool.n &&
        (frame == ALPS_NO_FRAME || !p->pool.frame[frame].pins))
        return ALPS_EFULL;
    while (!err && (frame == ALPS_NO_FRAME ||
                    p->pool.frame[frame].state <
                        (write ? ALPS_FRAME_WRITE : ALPS_FRAME_READ))) {
        err = alps_pager_want_(
            p, off, write ? ALPS_TOUCH_WRITE : ALPS_TOUCH_READ, ALPS_THREAD_());
        frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
    }
    if (err)
        return err;
    alps_page_frame *f = &p->pool.frame[frame];
    if ((f->pins & ~ALPS_PINNED_STORE_) == ALPS_PINNED_STORE_ - 1)
        return ALPS_EFULL;
    p->pinned += !f->pins;
    f->pins++;
    if (write)
        f->pins = (uint16_t)(f->pins | ALPS_PINNED_STORE_);
    return ALPS_OK;
}

/* Bytes [off, off + n) are in memory and stay there: for system calls, which do
 * not fault as threads do. ALPS_EFULL: so many cannot. */
ALPS_COLD_ int alps_writeback_pin_(alps_pager *p, uint64_t off, uint64_t n,
                                   int write)
{
    uint64_t start = off - off % p->pool.segment, at = start, end = off + n;
    int err = ALPS_OK;
    while (!err && at < end) {
        sigset_t old;
        alps_latch_enter_(&p->latch, &old);
        err = alps_writeback_hold_(p, at, write);
        alps_latch_leave_(&p->latch, &old);
        at += err ? 0 : p->pool.segment;
    }
    if (err && at > start)
        alps_writeback_unpin_(p, start, at - start);
    return err;
}

/* What it has done so far. */
ALPS_COLD_ alps_paging alps_writeback_count_(alps_pager *p)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_paging count = p->count;
    alps_latch_leave_(&p->latch, &old);
    return count;
}
