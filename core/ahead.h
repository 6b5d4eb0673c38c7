/* ahead.h -- segments are brought before they are touched
 *
 * Where one fault comes behind the other, the region's thread fills the next
 * segments into frames that it leaves hidden: so the next use is a fault that
 * reads nothing, and tells that the guess was good, and a wrong guess goes
 * before anything that is shown. The medium is read without the latch; who
 * touches that very segment meanwhile waits for it. */
#pragma once
#include "evict.h"
#include "leaving.h"

/* What the options and the environment ask for. */
ALPS_COLD_ int alps_ahead_ask_(alps_ahead *a, const alps_options *o)
{
    uint64_t n = o ? o->readahead : 0;
    if (alps_amount_asked_("ALPS_READAHEAD", &n) || n > ALPS_AHEAD_MAX)
        return ALPS_EINVAL;
    a->most = (uint32_t)n;
    a->asked = n != 0;
    return ALPS_OK;
}

/* Makes ready for `n` frames, of which less than an eighth is for guesses: of
 * the fourth that segmented FIFO hides half would go before they are touched,
 * if they were more. */
ALPS_FN_ void alps_ahead_open_(alps_ahead *a, uint32_t n)
{
    if (a->most >= n / 8)
        a->most = n / 8 ? n / 8 - 1 : 0;
    memset(a->stream, 0, sizeof a->stream);
    for (unsigned i = 0; i < ALPS_STREAMS_; i++)
        a->stream[i].last = ALPS_NO_SEGMENT;
    a->turn = a->served = a->coming = 0;
}

/* The stream that ends with this segment, or NULL. */
ALPS_FN_ alps_stream *alps_ahead_find_(alps_ahead *a, uint32_t segment)
{
    for (unsigned i = 0; i < ALPS_STREAMS_; i++)
        if (a->stream[i].last == segment)
            return &a->stream[i];
    return NULL;
}

/* A segment is touched that is not shown. Answers 1 if it comes behind another
 * one, and those behind it are to be brought. */
ALPS_COLD_ int alps_ahead_saw_(alps_pager *p, uint32_t segment, int write)
{
    alps_ahead *a = &p->ahead;
    uint32_t all = (uint32_t)(p->length >> p->shift); // that are whole
    alps_stream *s = segment ? alps_ahead_find_(a, segment - 1) : NULL;
    a->past = s && (write || s->stored);
    if (!s) {
        s = &a->stream[a->turn++ % ALPS_STREAMS_];
        memset(s, 0, sizeof *s);
    } else if (a->asked || (alps_backing_narrow_(&p->backing) && a->past)) {
        s->next = s->next > segment ? s->next : segment + 1;
        s->end = segment + 1 + a->most;
        s->end = s->end < all ? s->end : all;
    }
    s->last = segment;
    s->stored = write;
    s->past = a->past;
    return s->next < s->end;
}

/* It was touched before, and is stored to. */
ALPS_FN_ void alps_ahead_stored_(alps_pager *p, uint32_t segment)
{
    alps_stream *s = alps_ahead_find_(&p->ahead, segment);
    if (s)
        s->stored = 1;
}

/* The segment is being brought by the region's thread: the latch is given until
 * it is there, or is not. */
ALPS_COLD_ void alps_ahead_wait_(alps_pager *p, uint32_t segment)
{
    alps_segment_wait_(p, &p->ahead.coming, segment);
}

/* What the file keeps of bytes [off, off + n) is about to change: what is being
 * read of them is not used. Under the latch. */
ALPS_FN_ void alps_ahead_void_(alps_pager *p, uint64_t off, uint64_t n)
{
    uint32_t coming = p->ahead.coming;
    if (coming && alps_segment_off_(p, coming - 1) < off + n &&
        off < alps_segment_off_(p, coming))
        p->ahead.gone = 1;
}

/* Reads a whole segment into a frame that nobody knows of. Without the latch,
 * unless there is a journal, of which the versions may come home meanwhile. */
ALPS_COLD_ int alps_ahead_read_(alps_pager *p, int past, uint32_t segment,
                                uint32_t frame, alps_paging *count)
{
    uint64_t off = alps_segment_off_(p, segment), n = p->pool.segment;
    unsigned char *to = alps_view_aside_(&p->pool, frame);
    if (p->spill.journal)
        return alps_segment_read_(p, segment, to);
    int err = ALPS_OK;
    past = p->direct || (alps_backing_narrow_(&p->backing) && past);
    alps_latch_give_(&p->latch);
    if (alps_backing_empty_(&p->backing, off, n))
        memset(to, 0, (size_t)n);
    else
        err = alps_backing_read_(&p->backing, past, to, n, off, count);
    alps_latch_take_(&p->latch);
    return err;
}

/* The frame holds the segment, which nobody has asked for: it is hidden, and as
 * old as one can be. */
ALPS_COLD_ void alps_ahead_keep_(alps_pager *p, uint32_t segment,
                                 uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    f->state = ALPS_FRAME_HIDDEN;
    f->dirty = 0;
    f->born = p->clock > p->pool.n ? p->clock - p->pool.n : 0;
    alps_segment_set_(p, segment, frame);
    alps_segment_tell_(p, ALPS_TOLD_READ, frame);
    alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
    p->count.prefetches++;
}

/* Brings the segment into the frame. Under the latch, which is given in
 * between. */
ALPS_COLD_ int alps_ahead_bring_(alps_pager *p, int past, uint32_t segment,
                                 uint32_t frame)
{
    alps_ahead *a = &p->ahead;
    alps_paging count;
    memset(&count, 0, sizeof count);
    alps_page_frame *f = &p->pool.frame[frame];
    f->segment = segment;
    a->gone = 0;
    __atomic_store_n(&a->coming, segment + 1, __ATOMIC_RELEASE);
    int err = alps_ahead_read_(p, past, segment, frame, &count);
    p->count.bytes_read += count.bytes_read;
    if (!err && a->gone)
        err = ALPS_ETRUNCATED;
    if (!err)
        err = alps_view_keep_(&p->pool, frame);
    if (!err)
        alps_ahead_keep_(p, segment, frame);
    else
        alps_pool_return_(&p->pool, frame);
    __atomic_store_n(&a->coming, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, &a->coming, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
            0);
    return err; // who touches it hears of a failure
}
