/* pager.h -- a segment is brought when it is touched, and another one goes
 *
 * The thread that touches it does all of it, in its signal handler; while it
 * waits for the medium others go on. Until the frame holds the whole segment
 * nobody sees any of it, and before a frame is given away nobody sees it any
 * more: so no thread reads a byte that is not there yet or not there any more,
 * and none stores where it would be lost. */
#pragma once
#include "ahead.h"

/* How often the same fault may need nothing before it is the program's own. A
 * few are normal: threads that touched one segment at once. */
#define ALPS_STALE_MAX 10000u

/* So many bytes that go one behind the other are begun with at once. */
#define ALPS_TRAIL_ ((uint64_t)1 << 20)

/* A thread may be at an instruction that needs four segments at once. */
ALPS_FN_ void alps_pager_thread_(alps_pager *p, uintptr_t self)
{
    uintptr_t *seat = &p->thread[(self * 0x9e3779b97f4a7c15ull) >> 58];
    if (*seat == self)
        return;
    if (!*seat)
        p->threads++;
    *seat = self;
    p->young = p->threads > 2 ? 4 * p->threads : 8;
}

/* So many of the last to come stay: what instructions need at once, but never
 * all of `n` frames. */
ALPS_FN_ uint32_t alps_pager_young_(const alps_pager *p, uint32_t n)
{
    uint32_t most = n - n / 8 - 1;
    return p->young < most ? p->young : most;
}

/* Whether a frame may be taken from its segment: not from the last to come. */
ALPS_FN_ int alps_pager_may_(const alps_pager *p, uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    return f->state != ALPS_FRAME_FREE && !f->pins &&
           p->clock - f->born >= alps_pager_young_(p, p->pool.used - p->pinned);
}

/* A segment was written because it goes. Where one goes behind the other, the
 * medium is told to begin, a stretch at a time: so it is at work while threads
 * are, and a sync finds little left to wait for. Nothing is durable by it. What
 * goes here and there is left to the system, for it may come back and be
 * written again. */
ALPS_COLD_ void alps_pager_trail_(alps_pager *p, uint64_t off)
{
    if (off != p->trail_to)
        p->trail = off;
    p->trail_to = off + p->pool.segment;
    if (off > p->trail && p->trail_to - p->trail >= ALPS_TRAIL_) {
        alps_backing_begin_(&p->backing, p->trail, p->trail_to - p->trail);
        p->trail = p->trail_to;
    }
}

/* Whether what was written last went by way of the page cache. */
ALPS_FN_ int alps_pager_trails_(const alps_pager *p)
{
    return !p->direct && !p->straight && !p->spill.journal;
}

/* Writes a frame that is to go. `aside`: the latch may be given meanwhile. */
ALPS_COLD_ int alps_pager_leave_(alps_pager *p, uint32_t frame, int aside)
{
    uint32_t segment = p->pool.frame[frame].segment;
    alps_transit *t = aside && alps_transit_leaves_(p, frame)
                          ? alps_transit_begin_(p, segment, frame, 1)
                          : NULL;
    int err = t ? alps_transit_write_(p, t)
                : alps_segment_write_(p, frame, 0, p->pool.segment);
    if (t)
        alps_transit_end_(t);
    if (err)
        return err;
    p->unheld = p->written;
    if (alps_pager_trails_(p))
        alps_pager_trail_(p, alps_segment_off_(p, segment));
    return ALPS_OK;
}

/* Takes the frame from its segment; what the file does not have is written
 * before, and where that fails the segment stays. */
ALPS_COLD_ int alps_pager_evict_(alps_pager *p, uint32_t frame, int aside)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int shown = f->state != ALPS_FRAME_HIDDEN;
    int err = alps_segment_still_(p, frame);
    if (!err && f->dirty)
        err = alps_pager_leave_(p, frame, aside);
    if (!err) {
        alps_segment_drop_(p, frame);
        p->count.evictions++;
    } else if (shown && f->state == ALPS_FRAME_HIDDEN) {
        alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
    }
    return err;
}

/* One who is dirty, and was not stored to lately, is written; it stays.
 * ALPS_EFULL: there is none. */
ALPS_COLD_ int alps_pager_clean_(alps_pager *p)
{
    // of all there may be: while few are in use none of them has to go
    uint32_t young = alps_pager_young_(p, p->pool.n);
    uint32_t frame = alps_watermark_next_(&p->mark, &p->pool, young);
    if (frame == ALPS_NO_FRAME)
        return ALPS_EFULL;
    int err = alps_segment_clean_(p, frame);
    if (err)
        return err;
    p->count.cleaned++;
    if (alps_pager_trails_(p))
        alps_pager_trail_(p,
                          alps_segment_off_(p, p->pool.frame[frame].segment));
    return ALPS_OK;
}

/* The region's thread has something to do. */
ALPS_COLD_ void alps_pager_call_(alps_pager *p)
{
    if (!__atomic_exchange_n(&p->called, 1, __ATOMIC_RELEASE))
        syscall(SYS_futex, &p->called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Something may be dirty that was not. From the high mark on the region's
 * thread is called, and who stores to one more writes one: so there are never
 * more, however fast a program is. */
ALPS_COLD_ void alps_pager_stored_(alps_pager *p)
{
    uint32_t n = alps_watermark_count_(&p->mark);
    if (n >= p->mark.high)
        alps_pager_call_(p);
    if (n > p->mark.high)
        alps_pager_clean_(p); // or it stays dirty, and goes some day
}

/* Asks the policy until somebody has gone. A wish to hide what came lately is
 * refused, like a wish to let it go. */
ALPS_COLD_ int alps_pager_ask_(alps_pager *p, int aside)
{
    uint32_t after = ALPS_NO_FRAME;
    int err = ALPS_EFULL;
    for (uint32_t i = 0; err && i < 4 * p->pool.n + 64; i++) {
        uint32_t answer = p->eviction->next(p->state, after);
        uint32_t frame = answer & ~ALPS_VICTIM_HIDE;
        if (answer == ALPS_NO_FRAME || frame >= p->pool.n)
            break;
        after = frame;
        if (!alps_pager_may_(p, frame))
            continue;
        if (frame == answer) {
            err = alps_pager_evict_(p, frame, aside);
        } else if (!alps_segment_hide_(p, frame)) {
            alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
            after = ALPS_NO_FRAME;
        }
    }
    return err;
}

/* Somebody goes whom the policy did not name: the longest here; or, if they
 * cannot be written, any who need not be. */
ALPS_COLD_ int alps_pager_force_(alps_pager *p, int aside)
{
    uint32_t best = ALPS_NO_FRAME;
    uint64_t most = 0;
    for (uint32_t i = 0; i < p->pool.n; i++) {
        uint64_t age = p->clock - p->pool.frame[i].born;
        if (age >= most && alps_pager_may_(p, i)) {
            best = i;
            most = age;
        }
    }
    int err =
        best == ALPS_NO_FRAME ? ALPS_EFULL : alps_pager_evict_(p, best, aside);
    for (uint32_t i = 0; err && i < p->pool.n; i++)
        if (alps_pager_may_(p, i) && !p->pool.frame[i].dirty)
            err = alps_pager_evict_(p, i, aside);
    return err;
}

/* Somebody goes. */
ALPS_COLD_ int alps_pager_free_(alps_pager *p, int aside)
{
    int err = alps_pager_ask_(p, aside);
    return err ? alps_pager_force_(p, aside) : ALPS_OK;
}

/* Takes a frame's bytes from another region of the budget, if its latch is free
 * and it has more; answers 1 then. What is left over goes back. */
ALPS_COLD_ int alps_pager_rob_(alps_pager *p)
{
    alps_budget *b = p->budget;
    uint32_t free = ALPS_LATCH_FREE_;
    uint64_t need = (uint64_t)1 << p->shift, got = 0;
    alps_latch_take_(&b->latch);
    alps_pager *q = alps_budget_rich_(p);
    if (q && !__atomic_compare_exchange_n(&q->latch, &free, ALPS_LATCH_HELD_, 0,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        q = NULL;
    while (q && got < need && q->pool.used > ALPS_FRAMES_MIN) {
        if (q->pool.spare == ALPS_NO_FRAME && alps_pager_free_(q, 0))
            break;
        if (!alps_pool_less_(&q->pool))
            break;
        got += (uint64_t)1 << q->shift;
    }
    if (q)
        alps_latch_give_(&q->latch);
    b->used += got >= need ? need : 0;
    b->used -= got;
    alps_latch_give_(&b->latch);
    return got >= need;
}

/* A free frame: one that has memory, or may have it, or was another region's,
 * or was another segment's. */
ALPS_COLD_ int alps_pager_frame_(alps_pager *p, uint32_t *frame, int aside)
{
    int may = p->pool.fresh < p->pool.n || p->pool.bare != ALPS_NO_FRAME;
    *frame = alps_pool_take_(&p->pool);
    if (*frame != ALPS_NO_FRAME)
        return ALPS_OK;
    if (may && (alps_budget_take_(p) ||
                (alps_budget_poor_(p) && alps_pager_rob_(p)))) {
        *frame = alps_pool_more_(&p->pool);
        return ALPS_OK;
    }
    int err = alps_pager_free_(p, aside);
    if (!err)
        *frame = alps_pool_take_(&p->pool);
    return err;
}

/* Fills a frame with the segment, and shows it to be read or to be written. `t`
 * says that it comes, or is NULL. */
ALPS_COLD_ int alps_pager_fill_(alps_pager *p, const alps_transit *t,
                                uint32_t frame, uint32_t segment, int write,
                                int past)
{
    p->pool.frame[frame].segment = segment;
    int err =
        alps_transit_read_(p, t, past, segment, alps_view_at_(&p->pool, frame));
    if (!err && t && t->gone)
        err = ALPS_EBUSY;
    if (!err) {
        // Before it is shown: who stores to it then and syncs has to find it.
        alps_segment_set_(p, segment, frame);
        err = alps_segment_show_(p, frame, write);
        if (err)
            alps_segment_set_(p, segment, ALPS_NO_FRAME);
    }
    if (err) {
        alps_pool_return_(&p->pool, frame);
        return err;
    }
    alps_segment_tell_(p, write ? ALPS_TOLD_WRITE : ALPS_TOLD_READ, frame);
    p->count.faults++;
    return ALPS_OK;
}

/* Brings the segment, to be read or to be written. ALPS_EBUSY: the file has
 * changed meanwhile. */
ALPS_COLD_ int alps_pager_bring_(alps_pager *p, uint32_t segment, int write,
                                 int past)
{
    uint32_t frame;
    alps_transit *t = alps_transit_may_(p)
                          ? alps_transit_begin_(p, segment, ALPS_NO_FRAME, 0)
                          : NULL;
    int err = alps_pager_frame_(p, &frame, t != NULL);
    if (t)
        t->frame = frame;
    if (!err)
        err = alps_pager_fill_(p, t, frame, segment, write, past);
    if (t)
        alps_transit_end_(t);
    return err;
}

/* Shows a hidden one. One that is dirty may be shown to be read, and is dirty
 * all the same. */
ALPS_COLD_ int alps_pager_again_(alps_pager *p, uint32_t frame, int write)
{
    int was = p->pool.frame[frame].dirty;
    int err = alps_segment_show_(p, frame, write);
    if (err)
        return err;
    p->count.soft++;
    alps_segment_tell_(p, ALPS_TOLD_AGAIN, frame);
    if (write && !was)
        alps_segment_tell_(p, ALPS_TOLD_DIRTY, frame);
    return ALPS_OK;
}

/* The segment is as it is wanted already: another thread was quicker. But not
 * ten thousand times in a row, with nothing to be done in between. */
ALPS_COLD_ int alps_pager_stale_(alps_pager *p, uint64_t off)
{
    p->stale = p->stale_off == off ? p->stale + 1 : 0;
    p->stale_off = off;
    return p->stale > ALPS_STALE_MAX ? ALPS_NOT_OURS : ALPS_OK;
}

/* Whether the segment is one to be brought. */
ALPS_FN_ int alps_pager_lacks_(alps_pager *p, uint32_t segment)
{
    return segment < p->length >> p->shift &&
           alps_segment_frame_(p, segment) == ALPS_NO_FRAME &&
           !alps_transit_find_(p, segment);
}

/* Brings a segment that comes and that nobody has asked for, past the page
 * cache or not. */
ALPS_COLD_ int alps_pager_guess_(alps_pager *p, alps_transit *t, int past)
{
    int err = alps_pager_frame_(p, &t->frame, 1);
    if (!err)
        err = alps_ahead_bring_(p, t, past);
    alps_transit_end_(t);
    return err;
}

/* Brings the next segment of a stream. Where it fails the stream ends. 0: so
 * many are on their way. */
ALPS_COLD_ int alps_pager_next_(alps_pager *p, alps_stream *s)
{
    alps_transit *t = NULL;
    if (alps_pager_lacks_(p, s->next)) {
        t = alps_transit_begin_(p, s->next, ALPS_NO_FRAME, 0);
        if (!t)
            return 0;
    }
    s->next++;
    if (t && alps_pager_guess_(p, t, s->past))
        s->end = 0;
    return 1;
}

/* Brings one segment, of the streams by turns; answers 0 if there is none to be
 * brought. Under the latch, which is given in between. */
ALPS_COLD_ int alps_pager_ahead_(alps_pager *p)
{
    for (unsigned i = 1; i <= ALPS_STREAMS_; i++) {
        uint32_t k = (p->ahead.served + i) % ALPS_STREAMS_;
        alps_stream *s = &p->ahead.stream[k];
        if (s->next < s->end) {
            p->ahead.served = k;
            return alps_pager_next_(p, s);
        }
    }
    return 0;
}

/* The segment is on its way by another thread's doing: until it is not. Who
 * would wait for it helps that thread with what is next meanwhile, so that the
 * medium always has something to do. */
ALPS_COLD_ void alps_pager_await_(alps_pager *p, uint32_t segment)
{
    for (alps_transit *t; (t = alps_transit_find_(p, segment)) != NULL;)
        if (!alps_transit_may_(p) || !alps_pager_ahead_(p))
            alps_transit_wait_(p, t);
}

/* The segment is not there: it is brought. Where no frame is to be had that
 * would be in a moment, or what was read is void, all is as it was before, and
 * tried again; unless another thread was quicker then. */
ALPS_COLD_ int alps_pager_fetch_(alps_pager *p, uint32_t segment, int write)
{
    int past = p->ahead.past, err = ALPS_OK, more = 1;
    while (more && alps_segment_frame_(p, segment) == ALPS_NO_FRAME) {
        err = alps_segment_bytes_(p, segment)
                  ? alps_pager_bring_(p, segment, write, past)
                  : ALPS_ETRUNCATED;
        more = (err == ALPS_EBUSY && alps_transit_may_(p)) ||
               (err == ALPS_EFULL && alps_transit_land_(p));
        if (more)
            alps_transit_over_(p, segment);
    }
    return more ? ALPS_OK : err;
}

/* Makes the segment fit to be touched in this way, by thread `self`; or another
 * one does so, or all but so, and it is to be looked at again. Under the latch,
 * which may be given in between. */
ALPS_COLD_ int alps_pager_want_(alps_pager *p, uint64_t off, int how,
                                uintptr_t self)
{
    uint32_t segment = (uint32_t)(off >> p->shift);
    alps_pager_await_(p, segment);
    uint32_t frame = alps_segment_frame_(p, segment);
    int write = how == ALPS_TOUCH_WRITE;
    unsigned state = frame == ALPS_NO_FRAME ? (unsigned)ALPS_FRAME_FREE
                                            : p->pool.frame[frame].state;
    if (state == ALPS_FRAME_WRITE ||
        (state == ALPS_FRAME_READ && how == ALPS_TOUCH_READ))
        return alps_pager_stale_(p, off);
    p->stale = 0;
    p->uffd.stores = write;
    alps_pager_thread_(p, self);
    int err;
    if (state <= ALPS_FRAME_HIDDEN && alps_ahead_saw_(p, segment))
        alps_pager_call_(p);
    if (state == ALPS_FRAME_FREE)
        err = alps_pager_fetch_(p, segment, write);
    else if (state == ALPS_FRAME_HIDDEN)
        err = alps_pager_again_(p, frame, write);
    else
        err = alps_segment_upgrade_(p, frame);
    if (p->mark.high)
        alps_pager_stored_(p);
    return err;
}

/* A thread touched what is hidden, or stored to what is not to be written. */
ALPS_COLD_ int alps_pager_touched_(void *context, uint64_t off, int how)
{
    alps_pager *p = (alps_pager *)context;
    uint64_t length = __atomic_load_n(&p->length, __ATOMIC_ACQUIRE);
    if (off >= alps_round_up_(length, ALPS_PAGE))
        return ALPS_NOT_OURS;
    alps_latch_take_(&p->latch);
    int err = alps_pager_want_(p, off, how, ALPS_THREAD_());
    alps_latch_give_(&p->latch);
    return err;
}
