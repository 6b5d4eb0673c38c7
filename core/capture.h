/* capture.h -- a region larger than its memory is committed, all at once
 *
 * What is dirty is spilled; at one moment nobody can store; what is dirty then
 * is spilled too, and all that was, since the last commit, is the next. Then it
 * is made durable, and comes home while threads go on. docs/paged.md has the
 * order, and why no crash finds part of a commit. */
#pragma once
#include "turn.h"
#include "writeback.h"

/* Whole pages of the region, which another thread may make larger. */
ALPS_FN_ uint64_t alps_capture_pages_(const alps_pager *p)
{
    return __atomic_load_n(&p->length, __ATOMIC_ACQUIRE) / ALPS_PAGE;
}

/* ALPS_EBUSY: the system may store to something, which cannot wait. */
ALPS_COLD_ int alps_capture_pinned_(const alps_pager *p)
{
    for (uint32_t i = 0; i < p->pool.n; i++)
        if (p->pool.frame[i].pins & ALPS_PINNED_STORE_)
            return ALPS_EBUSY;
    return ALPS_OK;
}

/* Spills the frame, if it is dirty and the system does not store to it. */
ALPS_COLD_ int alps_capture_frame_(alps_pager *p, uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    if (f->state == ALPS_FRAME_FREE || !f->dirty ||
        f->pins & ALPS_PINNED_STORE_)
        return ALPS_OK;
    return alps_segment_clean_(p, frame);
}

/* Spills what is dirty, while others work. */
ALPS_COLD_ int alps_capture_most_(alps_pager *p)
{
    int err = ALPS_OK;
    for (uint32_t i = 0; !err && i < p->pool.n; i++) {
        sigset_t old;
        alps_latch_enter_(&p->latch, &old);
        uint64_t n = alps_pool_dirty_(&p->pool, i, i + 1);
        err = alps_capture_frame_(p, i);
        alps_latch_leave_(&p->latch, &old);
        if (!err)
            alps_progress_step_(&p->spill.journal->telling, n);
    }
    return err;
}

/* The moment, and all that was stored before it: what is spilled is protected
 * first, and who stores to it then waits for the latch. So the moment is when
 * the last one is protected. */
ALPS_COLD_ int alps_capture_moment_(alps_pager *p)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    uint64_t n = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    int err = alps_capture_pinned_(p);
    for (uint32_t i = 0; !err && i < p->pool.n; i++)
        err = alps_capture_frame_(p, i);
    if (!err)
        err = alps_spill_cut_(&p->spill, p->length, &p->count);
    alps_latch_leave_(&p->latch, &old);
    if (!err)
        alps_progress_step_(&p->spill.journal->telling, n);
    return err;
}

/* Writes bytes [at, end) of the journal once more. */
ALPS_COLD_ int alps_capture_rewrite_(const alps_journal *j, uint64_t at,
                                     uint64_t end)
{
    int err = ALPS_OK;
    while (!err && at < end) {
        uint64_t n = ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
        if (n > end - at)
            n = end - at;
        err = alps_fd_read_(j->fd, j->bytes, n, at);
        if (!err)
            err = alps_fd_write_(j->fd, j->bytes, n, at);
        at += n;
    }
    return err;
}

/* A sync has failed: the system may take for written what is not. What no
 * durable commit has is looked at, and written again. */
ALPS_COLD_ int alps_capture_again_(alps_pager *p)
{
    sigset_t old;
    alps_frame_head head;
    alps_spill *s = &p->spill;
    const alps_journal *j = s->journal;
    uint64_t at = j->tail, seq = j->seq;
    uint32_t before = j->before;
    int err = ALPS_OK;
    alps_latch_enter_(&p->latch, &old);
    uint64_t end = s->end.tail;
    alps_latch_leave_(&p->latch, &old);
    while (!err && at < end) {
        err = alps_frame_head_(j, at, seq, before, &head);
        if (!err)
            err = alps_frame_check_(j, at, &head);
        if (err == ALPS_ECORRUPT || err == ALPS_ETRUNCATED)
            err = s->lost = ALPS_EIO;
        if (!err)
            err = alps_capture_rewrite_(j, at, alps_frame_end_(at, &head));
        if (err)
            return err;
        at = alps_frame_end_(at, &head);
        before = head.crc;
        seq++;
    }
    s->unsure = 0;
    return ALPS_OK;
}

/* The first half of a commit: up to the moment. */
ALPS_COLD_ int alps_capture_first_(alps_map *m)
{
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_pages_move_(j->going, j->gone, alps_capture_pages_(p));
    uint64_t n = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    alps_latch_leave_(&p->latch, &old);
    alps_progress_begin_(&j->telling, m, n);
    int err = p->spill.lost;
    if (!err && p->spill.unsure)
        err = alps_capture_again_(p);
    if (!err)
        err = alps_capture_most_(p);
    return err ? err : alps_capture_moment_(p);
}

/* Punches the first pages from `page` on that the last durable commit does not
 * need, and answers where to go on. One who needs them again says so under the
 * latch. */
ALPS_COLD_ uint64_t alps_capture_punch_(alps_map *m, uint64_t page,
                                        uint64_t end)
{
    sigset_t old;
    alps_pager *p = m->pager;
    const alps_journal *j = m->journal;
    uint64_t n = 0;
    alps_latch_enter_(&p->latch, &old);
    page = alps_page_next_(j->hole, page, end);
    while (page + n < end && alps_page_in_(j->hole, page + n))
        n++;
    if (n)
        alps_medium_punch_(m, page * ALPS_PAGE, n * ALPS_PAGE);
    alps_latch_leave_(&p->latch, &old);
    return page + n + 1;
}

/* Punches them all. */
ALPS_COLD_ void alps_capture_punches_(alps_map *m)
{
    sigset_t old;
    alps_pager *p = m->pager;
    uint64_t end = alps_capture_pages_(p), page = 0;
    while (page < end)
        page = alps_capture_punch_(m, page, end);
    alps_latch_enter_(&p->latch, &old);
    alps_pages_clear_(m->journal->hole, end);
    alps_latch_leave_(&p->latch, &old);
}

/* All is at home, durably: frames before the end of the last commit are not
 * needed any more. */
ALPS_COLD_ int alps_capture_empty_(alps_map *m)
{
    sigset_t old;
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    uint64_t from = j->start;
    alps_latch_enter_(&p->latch, &old);
    alps_pages_clear_(j->here, p->spill.top);
    alps_latch_leave_(&p->latch, &old);
    j->start = j->tail;
    j->headed = 0;
    int err = alps_journal_head_(j);
    if (!err)
        err = alps_fd_sync_data_(j->fd);
    if (err)
        return err;
    j->headed = 1;
    alps_latch_enter_(&p->latch, &old);
    int anew = alps_spill_anew_(&p->spill);
    if (anew)
        alps_journal_shorten_(j);
    alps_latch_leave_(&p->latch, &old);
    if (!anew)
        syscall(SYS_fallocate, j->fd,
                ALPS_FALLOC_PUNCH_HOLE_ | ALPS_FALLOC_KEEP_SIZE_, (off_t)from,
                (off_t)(j->start - from));
    return ALPS_OK;
}

/* Bytes [off, off + n), whole pages, are not needed any more. */
ALPS_COLD_ int alps_capture_give_(const alps_map *m, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&m->pager->latch, &old);
    alps_home_gone_(m->journal, off, n);
    alps_latch_leave_(&m->pager->latch, &old);
    alps_writeback_forget_(m->pager, off, n);
    return ALPS_OK;
}

/* They are needed again. */
ALPS_COLD_ void alps_capture_keep_(const alps_map *m, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&m->pager->latch, &old);
    alps_home_keep_(m, off, n);
    alps_latch_leave_(&m->pager->latch, &old);
}

/* Brings home what is committed, while others work. Not while a reader is
 * there. */
ALPS_COLD_ int alps_capture_home_(alps_map *m)
{
    return alps_home_carry_(m, alps_capture_punches_, alps_capture_empty_);
}

/* The frames up to the cut are durable when this answers 0. */
ALPS_COLD_ int alps_capture_sync_(alps_pager *p)
{
    alps_journal *j = p->spill.journal;
    int err = j->headed ? ALPS_OK : alps_journal_head_(j);
    if (err)
        return err;
    err = ALPS_PAGED_SYNC(j->fd) ? alps_oserror_() : ALPS_OK;
    if (!err)
        j->headed = 1;
    else
        p->spill.unsure = 1;
    return err;
}

/* The second half: durable, or part of the next. */
ALPS_COLD_ int alps_capture_last_(alps_map *m, int err)
{
    sigset_t old;
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    int some = p->spill.cut.tail != j->tail;
    if (!err && some)
        err = alps_capture_sync_(p);
    alps_latch_enter_(&p->latch, &old);
    if (some)
        alps_spill_settle_(&p->spill, !err);
    if (some && !err)
        p->count.syncs++;
    else if (p->spill.unsure)
        p->count.failed++;
    alps_pages_move_(err ? j->gone : j->hole, j->going, alps_capture_pages_(p));
    alps_latch_leave_(&p->latch, &old);
    if (err && p->spill.unsure && !p->spill.lost)
        alps_capture_again_(p); // while the system has it still; or next time
    if (!err && j->tail - j->start > ALPS_JOURNAL_MAX)
        alps_capture_home_(m); // or the next time
    if (!err)
        alps_progress_end_(&j->telling);
    return err;
}

/* The commit of a region that is rewired: see turn.h. */
ALPS_COLD_ int alps_capture_(alps_map *m, unsigned part)
{
    return alps_turn_(m, part, alps_capture_first_, alps_capture_last_);
}

/* Makes ready for it: a journal, which the region names, before anything can be
 * spilled. Home names it before the first page is read: so every commit does,
 * and a sync touches nothing, for which there may be no memory. */
ALPS_COLD_ int alps_capture_open_(alps_map *m, uint64_t reserved)
{
    alps_pager *p = m->pager;
    int err = alps_journal_room_(m->journal, reserved / ALPS_PAGE + 1);
    if (err)
        return err;
    alps_sole_known_(m);
    alps_journal *j = m->journal;
    uint64_t words = alps_page_words_(j->size / ALPS_PAGE);
    for (uint64_t i = 0; i < words; i++)
        if (j->here[i])
            j->known[i] |= j->here[i];
    err = alps_journal_ready_(m);
    if (err)
        return err;
    return alps_spill_open_(&p->spill, j, j->pages,
                            ((uint64_t)1 << p->shift) / ALPS_PAGE);
}
