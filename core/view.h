/* view.h -- how a frame is seen in the region, for either engine
 *
 * Rewired, a frame is pages of the pool, and shown by one more mapping of them.
 * With userfaultfd it is so many pages of this process: while it is shown they
 * are in the region itself, and while it is hidden at its place in the pool. In
 * both cases nobody sees a page of it that is not filled, and nobody stores to
 * it but while it is ALPS_FRAME_WRITE. All of it under the pager's latch. */
#pragma once
#include "pool.h"

/* How long is waited for memory of the system, where nothing else is left. */
#define ALPS_VIEW_NAP_ 1000000 /* nanoseconds */

/* Where the region has it. */
ALPS_FN_ unsigned char *alps_view_in_(const alps_pool *pool, uint32_t frame)
{
    return pool->base + pool->frame[frame].segment * pool->segment;
}

/* Where its bytes are: those of a free one are filled there before it is shown;
 * others may be read there, and stored to while it is ALPS_FRAME_WRITE. */
ALPS_FN_ unsigned char *alps_view_at_(const alps_pool *pool, uint32_t frame)
{
    const alps_page_frame *f = &pool->frame[frame];
    if (pool->uffd && f->state > ALPS_FRAME_HIDDEN)
        return alps_view_in_(pool, frame);
    if (pool->uffd && f->state == ALPS_FRAME_FREE && f->dirty != ALPS_KEPT_)
        return pool->uffd->bounce;
    return alps_pool_at_(pool, frame);
}

/* Where a free frame is filled while others are, for it will be hidden. */
ALPS_FN_ unsigned char *alps_view_aside_(const alps_pool *pool, uint32_t frame)
{
    if (pool->uffd && pool->frame[frame].dirty != ALPS_KEPT_)
        return pool->uffd->guess;
    return alps_pool_at_(pool, frame);
}

/* What was filled there is in the pool from now on. */
ALPS_COLD_ int alps_view_keep_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    unsigned char *at = alps_pool_at_(pool, frame);
    const unsigned char *from = alps_view_aside_(pool, frame);
    if (from == at)
        return ALPS_OK;
    int err = alps_uffd_fill_(pool->uffd, ALPS_UFFD_COPY_, at, from,
                              pool->segment, 0, &did);
    if (err)
        alps_uffd_drop_(at, pool->segment);
    return err;
}

/* Shows a copy of what is at `from`. Until all of it is there it is to be read
 * only: so what was there can be dropped again where the rest cannot be had. */
ALPS_COLD_ int alps_view_copy_(const alps_uffd *u, unsigned char *at,
                               const unsigned char *from, uint64_t n, int write)
{
    uint64_t did;
    int err = alps_uffd_fill_(u, ALPS_UFFD_COPY_, at, from, n,
                              ALPS_UFFD_FILL_PROTECT_, &did);
    if (!err && write)
        err = alps_uffd_protect_(u, at, n, 0);
    if (err)
        alps_uffd_drop_(at, n);
    return err;
}

/* Bytes [did, n) of it come from its place in the pool, to be written. They
 * have to, for the rest may have been stored to: where there is no memory, it
 * waits for some. */
ALPS_COLD_ void alps_view_rest_(const alps_pool *pool, uint32_t frame,
                                uint64_t did, uint64_t n)
{
    struct timespec nap = {0, ALPS_VIEW_NAP_};
    unsigned char *at = alps_view_in_(pool, frame);
    unsigned char *from = alps_pool_at_(pool, frame);
    for (uint64_t k; did < n; did += k)
        if (alps_uffd_fill_(pool->uffd, ALPS_UFFD_COPY_, at + did, from + did,
                            n - did, 0, &k))
            syscall(SYS_nanosleep, &nap, NULL);
    alps_uffd_drop_(from, pool->segment);
}

/* The first `n` bytes of it have gone to the pool, the rest cannot: it comes
 * back, and may have been stored to. */
ALPS_COLD_ void alps_view_return_(const alps_pool *pool, uint32_t frame,
                                  uint64_t n)
{
    alps_view_rest_(pool, frame, 0, n);
    alps_uffd_protect_(pool->uffd, alps_view_in_(pool, frame), pool->segment,
                       0);
    pool->frame[frame].state = ALPS_FRAME_WRITE;
    pool->frame[frame].dirty = 1;
}

/* Shows its pages that are in the pool, to be written: by themselves. */
ALPS_COLD_ int alps_view_move_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    int err =
        alps_uffd_fill_(pool->uffd, ALPS_UFFD_MOVE_, alps_view_in_(pool, frame),
                        alps_pool_at_(pool, frame), pool->segment, 0, &did);
    if (err && did)
        alps_view_rest_(pool, frame, did, pool->segment);
    return did ? ALPS_OK : err;
}

/* Shows it where the region has it, to be read or to be written. Its state is
 * the caller's to change. */
ALPS_COLD_ int alps_view_show_(const alps_pool *pool, uint32_t frame, int write)
{
    unsigned char *at = alps_view_in_(pool, frame);
    if (!pool->uffd)
        return alps_pool_show_(pool, frame, at, write);
    if (pool->uffd->spoilt_n)
        alps_uffd_mend_(pool->uffd, (uint64_t)(uintptr_t)at, pool->segment);
    unsigned char *from = alps_view_at_(pool, frame);
    int pooled = from != pool->uffd->bounce;
    if (pooled && write && !alps_view_move_(pool, frame))
        return ALPS_OK;
    int err = alps_view_copy_(pool->uffd, at, from, pool->segment, write);
    if (!err && pooled)
        alps_uffd_drop_(from, pool->segment);
    return err;
}

/* Hides it. ALPS_EUNSUPPORTED: the system cannot move pages; ALPS_EBUSY: it is
 * reading or storing to some itself, and they stay where they are. */
ALPS_COLD_ int alps_view_hide_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    unsigned char *at = alps_view_in_(pool, frame);
    if (!pool->uffd)
        return alps_pool_hide_(pool, at, 1);
    if (!(pool->uffd->has & ALPS_UFFD_HAS_MOVE_))
        return ALPS_EUNSUPPORTED;
    int err =
        alps_uffd_fill_(pool->uffd, ALPS_UFFD_MOVE_, alps_pool_at_(pool, frame),
                        at, pool->segment, 0, &did);
    if (err && did)
        alps_view_return_(pool, frame, did);
    return err;
}

/* Changes what may be done with bytes [from, to) of a shown frame. */
ALPS_COLD_ int alps_view_protect_(const alps_pool *pool, uint32_t frame,
                                  uint64_t from, uint64_t to, int may)
{
    unsigned char *at = alps_view_in_(pool, frame) + from;
    if (pool->uffd)
        return alps_uffd_protect_(pool->uffd, at, to - from,
                                  !(may & PROT_WRITE));
    return syscall(SYS_mprotect, at, (size_t)(to - from), (long)may)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Nobody stores to it from now on, for it is to go: hidden; or protected, where
 * it is that by itself or cannot be hidden. */
ALPS_COLD_ int alps_view_still_(const alps_pool *pool, uint32_t frame)
{
    alps_page_frame *f = &pool->frame[frame];
    if (pool->uffd && f->state == ALPS_FRAME_READ && !f->dirty)
        return ALPS_OK;
    unsigned still = ALPS_FRAME_HIDDEN;
    int err = alps_view_hide_(pool, frame);
    if (err == ALPS_EUNSUPPORTED && pool->uffd) {
        still = ALPS_FRAME_READ;
        err = alps_view_protect_(pool, frame, 0, pool->segment, PROT_READ);
    }
    if (!err)
        f->state = (uint8_t)still;
    return err;
}

/* Nothing of it is needed any more; it is still, and free from now on. If it is
 * in the pool, and another segment is wanted to be stored to, its pages stay
 * there for that one. */
ALPS_COLD_ void alps_view_drop_(alps_pool *pool, uint32_t frame)
{
    int keeps = pool->uffd && pool->uffd->stores &&
                pool->frame[frame].state == ALPS_FRAME_HIDDEN;
    if (pool->uffd && !keeps)
        alps_uffd_drop_(alps_view_at_(pool, frame), pool->segment);
    alps_pool_give_(pool, frame);
    if (keeps)
        pool->frame[frame].dirty = ALPS_KEPT_;
}

/* ---- from end to end ----------------------------------------------------- */

/* The addresses of the region tell of faults from now on, whatever was there;
 * `n` are whole segments. With userfaultfd nobody touches them meanwhile. */
ALPS_COLD_ int alps_view_begin_(const alps_pool *pool, uint64_t n)
{
    return pool->uffd ? alps_uffd_take_(pool->uffd, pool->base, n)
                      : alps_pool_hide_(pool, pool->base, n / pool->segment);
}

/* The region ends at `to` now, and not at `from`: what was spoilt because it
 * was behind the end is whole. */
ALPS_COLD_ void alps_view_more_(const alps_pool *pool, uint64_t from,
                                uint64_t to)
{
    const alps_uffd *u = pool->uffd;
    from = alps_round_up_(from, pool->segment);
    to = alps_round_up_(to, pool->segment);
    if (u && u->hole >= 0 && from < to)
        alps_uffd_take_(u, pool->base + from, to - from);
}
