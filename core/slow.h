/* slow.h -- what an instance does off its fast path
 *
 * One function of each instance, so that the fast paths stay small. */
#pragma once
#include "tx.h"

/* See alps_trim. */
ALPS_CORE_ int alps_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n;
    alps_object o;
    int err = alps_ready_(h, t);
    const alps_cache *c = err ? NULL : alps_cache_(h);
    if (c && alps_load_(&c->lane->pending)) {
        err = t->fence(&h->map);
        if (!err)
            alps_pending_end_(h, c->lane, &o);
    }
    if (err)
        return err;
    alps_lock_(h, t);
    t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    alps_unlock_(h);
    err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
    return err ? err : alps_holes_make_(h, t);
}

/* More lies idle than is worth keeping: 64 MiB, and a quarter of the region.
 * Empty extents that are in some index become memory for any use, and all that
 * is free goes to the file system. */
ALPS_CORE_ int alps_idle_end_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    int err = ALPS_OK;
    if (alps_load_(&h->shared->idle) < alps_extents_(h) / 4)
        return ALPS_OK;
    for (alps_shard *s = h->shards; !err && s < h->top && !h->map.fixed; s++) {
        alps_shard_lock_(h, s, 0, t);
        err = alps_extents_drop_(h, s, &n, t);
        alps_shard_unlock_(s);
    }
    return err && err != ALPS_ECORRUPT ? err : alps_holes_make_(h, t);
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
    case ALPS_SLOW_IDLE: return alps_idle_end_(h, t);
    case ALPS_SLOW_FREED: {
        int err = alps_rack_freed_(h, a, t);
        return err || !alps_idle_over_(h) ? err
                                          : t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    }
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
    case ALPS_SLOW_RETIRED:
        alps_retire_flush_(h, t);
        return alps_idle_over_(h) ? t->slow(h, ALPS_SLOW_IDLE, 0, 0) : ALPS_OK;
    case ALPS_SLOW_RESERVE:
        return alps_publish_other_(h, a, (void **)(uintptr_t)b, t);
    case ALPS_SLOW_PUBLISH: {
        int err = alps_publish_(h, (alps_off *)alps_address_(h, a),
                                alps_address_(h, b), t);
        if (err)
            t->slow(h, ALPS_SLOW_CANCEL, b, 0);
        return err;
    }
    case ALPS_SLOW_CUT:
        return alps_link_carry_out_(h, (alps_link *)(uintptr_t)a, t);
    case ALPS_SLOW_CUT_END:
        return alps_link_close_(h, (alps_link *)(uintptr_t)a, t);
    case ALPS_SLOW_AT_HAND: return alps_at_hand_(h, t);
    case ALPS_SLOW_EMPTY:
        return alps_extents_empty_(h, (uint64_t *)(uintptr_t)a, t);
    case ALPS_SLOW_CANCEL: return alps_cancel_(h, a, t);
    case ALPS_SLOW_ABORT: return alps_tx_abandon_(h, a, t);
    case ALPS_SLOW_COMMIT:
        return alps_commit_slow_(h, (const alps_record *)(uintptr_t)a, b, t);
    case ALPS_SLOW_RESTORE: return alps_undo_restore_(h, a, b, t);
    case ALPS_SLOW_GIVE: alps_commit_give_(h, a, (int)b, t); return ALPS_OK;
    case ALPS_SLOW_DEAD: return alps_reap_now_(h, t);
    case ALPS_SLOW_ENDED: return alps_lanes_reap_(h, a, t);
    default: return ALPS_EINVAL;
    }
}
