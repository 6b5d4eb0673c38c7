/* none.h -- nothing is written back
 *
 * For memory, and for files that need to outlive processes only: what a
 * process stored before it died is in the page cache, in the order of its
 * program. The policy to copy. */
#pragma once
#include "../core/policy.h"

ALPS_COLD_ int alps_none_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_NONE;
    return ALPS_OK;
}

ALPS_FN_ int alps_none_flush_(alps_map *m, const void *p, size_t n)
{
    (void)m;
    (void)p;
    (void)n;
    return ALPS_OK;
}

ALPS_FN_ int alps_none_stream_(alps_map *m, void *to, const void *from)
{
    (void)m;
    memcpy(to, from, ALPS_LINE);
    return ALPS_OK;
}

/* The order of the program is what a dying process leaves; the compiler has to
 * keep it, too. */
ALPS_FN_ int alps_none_fence_(alps_map *m, const alps_backend *b)
{
    (void)m;
    (void)b;
    ALPS_BARRIER_();
    return ALPS_OK;
}

ALPS_FN_ int alps_none_settle_(alps_map *m)
{
    (void)m;
    ALPS_BARRIER_();
    return ALPS_OK;
}

static const alps_policy alps_policy_none_ __attribute__((unused)) = {
    "none",
    0,
    alps_none_open_,
    alps_none_flush_,
    alps_none_stream_,
    alps_none_fence_,
    alps_none_settle_,
    NULL,
    NULL,
    NULL,
};
