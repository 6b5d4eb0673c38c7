/* msync.h -- pages are written back by the system
 *
 * For ordinary files, and for whatever else answers `sync`. A flush writes
 * down pages, a fence has them synced by as few calls as it can: gather.h. */
#pragma once
#include "../core/gather.h"

ALPS_COLD_ int alps_msync_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_MSYNC;
    return m->flags & ALPS_STRICT && alps_gather_in_vain_(m) ? ALPS_ENOTPMEM
                                                             : ALPS_OK;
}

ALPS_FN_ int alps_msync_flush_(alps_map *m, const void *p, size_t n)
{
    if (ALPS_OBSERVE(ALPS_SAW_FLUSH, p, n))
        return ALPS_OK;
    return alps_gather_flush_(m, p, n);
}

/* A page has no way past the cache: an ordinary copy, to be flushed. */
ALPS_FN_ int alps_msync_stream_(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return alps_msync_flush_(m, to, ALPS_LINE);
}

ALPS_FAST_ int alps_msync_fence_(alps_map *m, const alps_backend *b)
{
    if (ALPS_OBSERVE(ALPS_SAW_FENCE, NULL, 0))
        return ALPS_OK;
    return alps_gather_fence_(m, b);
}

/* Every fence of every process takes the `always` range along. */
ALPS_FN_ int alps_msync_settle_(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

static const alps_policy alps_policy_msync_ __attribute__((unused)) = {
    "msync",
    1,
    alps_msync_open_,
    alps_msync_flush_,
    alps_msync_stream_,
    alps_msync_fence_,
    alps_msync_settle_,
    NULL,
    NULL,
    NULL,
};
