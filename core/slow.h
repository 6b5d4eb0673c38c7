/* slow.h -- what an instance does off its fast path
 *
 * One function of each instance, so that the fast paths stay small. */
#pragma once
#include "epoch.h"

/* See alps_trim. */
ALPS_CORE_ int alps_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n;
    alps_object o;
    int err = alps_ready_(h, t);
    const alps_cache *c = err ? NULL : alps_cache_(h);
    if (c && alps_load_(&c->lane->pending)) {
        err = t->policy->fence(&h->map, t->backend);
        if (!err)
            alps_pending_end_(h, c->lane, &o);
    }
    if (err)
        return err;
    alps_lock_(h, t);
    alps_limbo_flush_(h, t);
    alps_thread_trim_(h, t);
    alps_loose_trim_(h, t);
    alps_unlock_(h);
    return alps_extents_empty_(h, &n, t);
}

ALPS_CORE_ int alps_slow_path_(alps_handle *h, int what, uint64_t a, uint64_t b,
                               const alps_tables *t)
{
    switch (what) {
    case ALPS_SLOW_WAIT: return alps_lock_slow_(h, a, b, t);
    case ALPS_SLOW_REFILL:
        return alps_heap_search_(h, (alps_request *)(uintptr_t)a,
                                 (alps_off *)(uintptr_t)b, t);
    case ALPS_SLOW_JOIN:
        return alps_block_join_(h, (alps_block *)(uintptr_t)a, b, t);
    case ALPS_SLOW_LANES: return alps_lanes_slow_(h, a, t);
    case ALPS_SLOW_SELF: return alps_self_slow_(h, t);
    case ALPS_SLOW_RACK: return alps_rack_fill_(h, (unsigned)a, t);
    case ALPS_SLOW_FREED: return alps_rack_freed_(h, a, t);
    case ALPS_SLOW_TAKE:
        return alps_shard_take_(h, (const alps_request *)(uintptr_t)a,
                                (alps_off *)(uintptr_t)b, t);
    case ALPS_SLOW_FOLD:
        return alps_held_unfold_(h, (alps_shard *)(uintptr_t)a, t);
    case ALPS_SLOW_MEND:
        return alps_shard_mend_(h, (alps_shard *)(uintptr_t)a, b, t);
    case ALPS_SLOW_REAP: return alps_reap_(h, a, t);
    case ALPS_SLOW_MORE: return alps_recover_more_(h, t);
    case ALPS_SLOW_LOOSEN: alps_slab_loosen_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_FOUND: alps_slab_find_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_LET_GO: alps_limbo_give_block_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_RETIRED: alps_retire_flush_(h, t); return ALPS_OK;
    default: return ALPS_EINVAL;
    }
}
