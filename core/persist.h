/* persist.h -- write-back by whichever way was chosen at open
 *
 * Lines by an instruction, pages by a sync call, or nothing where the caches
 * persist: policies flush and fence differ only in what they choose, so what
 * they do is here. */
#pragma once
#include "cpu.h"
#include "gather.h"

ALPS_FN_ int alps_persist_flush_(alps_map *m, const void *p, size_t n)
{
    if (ALPS_OBSERVE(ALPS_SAW_FLUSH, p, n))
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_persist_line_(m->persist)))
        alps_write_back_(m->persist, p, n);
    else if (m->persist == ALPS_PERSIST_MSYNC)
        return alps_gather_flush_(m, p, n);
    return ALPS_OK;
}

/* Where a line is not written back by itself a plain copy does. */
ALPS_FN_ int alps_persist_stream_(alps_map *m, void *to, const void *from)
{
    if (m->persist == ALPS_PERSIST_MSYNC) {
        memcpy(to, from, ALPS_LINE);
        return alps_persist_flush_(m, to, ALPS_LINE);
    }
    if (ALPS_OBSERVE(ALPS_SAW_STREAM, to, ALPS_LINE))
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_persist_line_(m->persist)))
        alps_stream_line_(m, to, from);
    else
        memcpy(to, from, ALPS_LINE);
    return ALPS_OK;
}

/* Also where the caches persist the machine is told to wait: for the program's
 * own non-temporal stores on x86, and for its order of stores elsewhere. */
ALPS_FAST_ int alps_persist_fence_(alps_map *m, const alps_backend *b)
{
    if (ALPS_OBSERVE(ALPS_SAW_FENCE, NULL, 0))
        return ALPS_OK;
    if (ALPS_LIKELY_(m->persist != ALPS_PERSIST_MSYNC)) {
        if (m->persist != ALPS_PERSIST_NONE)
            alps_drain_();
        return ALPS_OK;
    }
    return alps_gather_fence_(m, b);
}

/* On x86 the locked instruction that takes a lock drains the write-backs of
 * its thread. Elsewhere it does not. With pages nothing is needed: every fence
 * of every process takes the `always` range along. */
ALPS_FN_ int alps_persist_settle_(alps_map *m)
{
#if defined(__x86_64__)
    (void)m;
#else
    if (alps_persist_line_(m->persist))
        alps_drain_();
#endif
    return ALPS_OK;
}

/* The choice both begin with: behind a page cache, pages; and under
 * ALPS_STRICT a refusal, for then neither lines nor order are enough. */
ALPS_COLD_ int alps_persist_choose_(alps_map *m, unsigned persist)
{
    if (m->medium == ALPS_MEDIUM_CACHE) {
        m->persist = ALPS_PERSIST_MSYNC;
        return m->flags & ALPS_STRICT ? ALPS_ENOTPMEM : ALPS_OK;
    }
    m->persist = persist;
    int err = alps_persist_asked_(&m->persist);
    m->stream = alps_stream_pays_(m->persist);
    return err;
}
