/* ahead.h -- segments are brought before they are touched
 *
 * Where one fault comes behind the other, the region's thread fills the next
 * segments into frames that it leaves hidden: so the next use is a fault that
 * reads nothing, and tells that the guess was good, and a wrong guess goes
 * before anything that is shown. */
#pragma once
#include "evict.h"
#include "transit.h"

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
    a->turn = a->served = 0;
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
 * one, and those behind it are to be brought. Where the page cache has little
 * room two in a row may be chance, and a guess is dear. */
ALPS_COLD_ int alps_ahead_saw_(alps_pager *p, uint32_t segment)
{
    alps_ahead *a = &p->ahead;
    uint32_t all = (uint32_t)(p->length >> p->shift); // that are whole
    alps_stream *s = segment ? alps_ahead_find_(a, segment - 1) : NULL;
    if (!s) {
        s = &a->stream[a->turn++ % ALPS_STREAMS_];
        memset(s, 0, sizeof *s);
    } else {
        s->past = s->row;
        s->row = 1;
        if (a->asked || (alps_backing_narrow_(&p->backing) && s->past)) {
            s->next = s->next > segment ? s->next : segment + 1;
            s->end = segment + 1 + a->most;
            s->end = s->end < all ? s->end : all;
        }
    }
    s->last = segment;
    a->past = s->past;
    return s->next < s->end;
}

/* The frame holds the segment, which nobody has asked for: it is hidden, and as
 * old as one can be. */
ALPS_COLD_ void alps_ahead_keep_(alps_pager *p, uint32_t segment,
                                 uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    f->state = ALPS_FRAME_HIDDEN;
    f->dirty = 0;
    f->born = p->clock - p->pool.n; // also where that is below 0
    alps_segment_set_(p, segment, frame);
    alps_segment_tell_(p, ALPS_TOLD_READ, frame);
    alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
    p->count.prefetches++;
}

/* Brings the segment that comes into its frame. Under the latch, which is given
 * in between. */
ALPS_COLD_ int alps_ahead_bring_(alps_pager *p, const alps_transit *t, int past)
{
    uint32_t segment = t->segment - 1;
    p->pool.frame[t->frame].segment = segment;
    int err = alps_transit_read_(p, t, past, segment,
                                 alps_view_aside_(&p->pool, t->frame));
    if (!err && t->gone)
        err = ALPS_ETRUNCATED;
    if (!err)
        err = alps_view_keep_(&p->pool, t->frame);
    if (!err)
        alps_ahead_keep_(p, segment, t->frame);
    else
        alps_pool_return_(&p->pool, t->frame);
    return err; // who touches it hears of a failure
}
