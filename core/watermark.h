/* watermark.h -- how much of a region may be dirty
 *
 * Two marks, in frames. At the high one the region's thread begins to write
 * what is dirty, hidden segments before shown ones and the oldest first, until
 * the low one; what is dirty is kept in two queues for that. The segments that
 * were stored to last are not among it: an instruction may need them still. */
#pragma once
#include "amount.h"
#include "victim.h"

typedef struct alps_watermark {
    unsigned asked_high, asked_low; /* percent of the frames, or 0 */
    uint32_t high, low;             /* in frames; `high` 0: there are none */
    alps_queues *dirty; /* queue 0 is shown, 1 hidden, each by when it became
                           so */
    uint64_t bytes;     /* of it */
} alps_watermark;

/* What the options and the environment ask for. */
ALPS_COLD_ int alps_watermark_ask_(alps_watermark *w, const alps_options *o)
{
    uint64_t high = o ? o->dirty_high : 0, low = o ? o->dirty_low : 0;
    if (alps_amount_asked_("ALPS_DIRTY_HIGH", &high) ||
        alps_amount_asked_("ALPS_DIRTY_LOW", &low) || high > 100 || low > high)
        return ALPS_EINVAL;
    w->asked_high = (unsigned)high;
    w->asked_low = (unsigned)(low ? low : high / 2);
    return ALPS_OK;
}

/* Makes ready for `n` frames. */
ALPS_COLD_ int alps_watermark_open_(alps_watermark *w, uint32_t n)
{
    if (!w->asked_high)
        return ALPS_OK;
    w->bytes = alps_queues_room_(n);
    w->dirty = (alps_queues *)alps_pool_memory_(w->bytes);
    if (!w->dirty)
        return ALPS_ENOMEM;
    alps_queues_begin_(w->dirty, n);
    w->high = (uint32_t)((uint64_t)n * w->asked_high / 100);
    w->low = (uint32_t)((uint64_t)n * w->asked_low / 100);
    if (!w->high)
        w->high = 1;
    return ALPS_OK;
}

ALPS_COLD_ void alps_watermark_close_(alps_watermark *w)
{
    if (w->dirty)
        munmap(w->dirty, (size_t)w->bytes);
    w->dirty = NULL;
    w->high = 0;
}

/* Something happened to a frame, as the eviction policy is told. */
ALPS_FN_ void alps_watermark_saw_(const alps_watermark *w, unsigned what,
                                  uint32_t frame, const alps_page_frame *f)
{
    unsigned k = f->state == ALPS_FRAME_HIDDEN;
    if (!w->dirty)
        return;
    if (!f->dirty || what == ALPS_TOLD_GONE)
        alps_queue_drop_(w->dirty, frame);
    else if (w->dirty->at[frame].in != k)
        alps_queue_put_(w->dirty, k, frame);
}

/* Frames that are dirty. */
ALPS_FN_ uint32_t alps_watermark_count_(const alps_watermark *w)
{
    return w->dirty->count[0] + w->dirty->count[1];
}

/* Who is to be written next, or ALPS_NO_FRAME: not who is pinned, nor the last
 * `young` that are shown. */
ALPS_FN_ uint32_t alps_watermark_next_(const alps_watermark *w,
                                       const alps_pool *pool, uint32_t young)
{
    const alps_queues *q = w->dirty;
    uint32_t old = q->count[0] > young ? q->count[0] - young : 0;
    uint32_t frame = q->oldest[1];
    for (; frame != ALPS_NO_FRAME; frame = q->at[frame].newer)
        if (!pool->frame[frame].pins) // or it is leaving already
            return frame;
    for (frame = q->oldest[0]; old--; frame = q->at[frame].newer)
        if (!pool->frame[frame].pins)
            return frame;
    return ALPS_NO_FRAME;
}
