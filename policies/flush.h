/* flush.h -- cache lines are written back
 *
 * For persistent memory: clwb, clflushopt or clflush, on AArch64 dc cvap or dc
 * cvac, whichever the machine says it has, then a fence. Where the medium turns
 * out to lie behind a page cache, lines would not be enough: pages are synced
 * then, `persist` says so, and ALPS_STRICT refuses it. */
#pragma once
#include "../core/persist.h"

ALPS_COLD_ int alps_flush_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    int err = alps_persist_choose_(m, alps_persist_best_());
    if (!err && m->flags & ALPS_STRICT && m->persist == ALPS_PERSIST_NONE)
        return ALPS_ENOTPMEM; // so the environment asks
    return err;
}

static const alps_policy alps_policy_flush_ __attribute__((unused)) = {
    "flush",
    1,
    alps_flush_open_,
    alps_persist_flush_,
    alps_persist_stream_,
    alps_persist_fence_,
    alps_persist_settle_,
    NULL,
    NULL,
    NULL,
};
