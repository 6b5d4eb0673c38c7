/* epoch.h -- readers without locks, and frees that wait for them
 *
 * A reader is between enter and leave: one store and one fence, one store. Who
 * unlinks something from a structure retires it; it is durably free at once,
 * as by a free, and is handed out again when no reader can have it. See
 * limbo.h. */
#pragma once
#include "publish.h"

/* See alps_enter. What is read after the fence was linked when the pin was
 * seen. On x86 the exchange is the fence. */
ALPS_FAST_ int alps_epoch_enter_(alps_handle *h, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    alps_cache *c = alps_cache_(h);
    if (!c)
        return ALPS_EBUSY;
    if (c->reads++)
        return ALPS_OK;
    uint64_t era = __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST);
    (void)__atomic_exchange_n(&c->lane->pin, era, __ATOMIC_SEQ_CST);
#if !defined(__x86_64__)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
    return ALPS_OK;
}

/* See alps_leave. */
ALPS_FAST_ int alps_epoch_leave_(alps_handle *h, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    if (!seat || !seat->cache->reads)
        return ALPS_EINVAL;
    if (!--seat->cache->reads)
        __atomic_store_n(&seat->cache->lane->pin, 0, __ATOMIC_RELEASE);
    return ALPS_OK;
}

/* What a thread has retired waits for company, and that would be much memory if
 * it were large: above so many bytes it goes to the region at once. */
#define ALPS_RETIRE_LARGE (32u * 1024u)

/* What this thread has retired is the region's; what readers are done with is
 * let go. */
ALPS_CORE_ void alps_retire_flush_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    alps_limbo_flush_(h, t);
    alps_unlock_(h);
}

/* Sees to a chunk in the lane that has room, for what follows one that was
 * full. A new one is a reservation of this process until the lane has it. */
ALPS_CORE_ int alps_retire_room_(alps_handle *h, alps_lane *lane,
                                 const alps_tables *t)
{
    alps_request r;
    alps_block b;
    alps_off off;
    t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    int err = alps_request_init_(h, 1, sizeof(alps_chunk), ALPS_HELD, &r);
    if (!err)
        err = alps_publish_take_(h, &r, &off, t);
    if (err)
        return err;
    alps_chunk *c = (alps_chunk *)alps_address_(h, off);
    c->next = c->era = c->count = 0;
    alps_store_(&lane->limbo, off);
    ALPS_BARRIER_();
    (void)alps_block_lock_(h, off, &b, 0, t);
    alps_held_table_(h, b.shard)[alps_held_find_(h, b.shard, off)] |=
        ALPS_HELD_LIMBO_;
    alps_block_unlock_(&b);
    return ALPS_OK;
}

/* Enters `off` in the lane's chunk, which has room. */
ALPS_FN_ void alps_retire_note_(const alps_handle *h, const alps_lane *lane,
                                alps_off off)
{
    alps_chunk *c = (alps_chunk *)alps_address_(h, lane->limbo);
    alps_store_(&c->thing[c->count], off);
    ALPS_BARRIER_();
    alps_store_(&c->count, c->count + 1);
    ALPS_BARRIER_();
}

/* It was not retired after all. */
ALPS_FN_ void alps_retire_forget_(const alps_handle *h, const alps_lane *lane)
{
    alps_chunk *c = (alps_chunk *)alps_address_(h, lane->limbo);
    alps_store_(&c->count, c->count - 1);
}

/* Retires an object: it is noted, pinned, and then no more live. */
ALPS_CORE_ int alps_retire_object_(alps_handle *h, const alps_cache *c,
                                   const alps_object *o, alps_off off,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    if (!alps_object_live_(o))
        return ALPS_EINVALID_FREE;
    alps_retire_note_(h, c->lane, off);
    alps_object_pin_(o, 1);
    if (alps_object_mine_(o, c->token))
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    else
        err = alps_far_turn_(o);
    if (err) { // freed by somebody else meanwhile
        alps_object_pin_(o, 0);
        alps_retire_forget_(h, c->lane);
    }
    if (err || !t->policy->durable)
        return err;
    return t->policy->flush(&h->map, o->pair, sizeof *o->pair);
}

/* Retires a block; `n` is how many bytes it has. */
ALPS_CORE_ int alps_retire_block_(alps_handle *h, const alps_lane *lane,
                                  alps_off off, uint64_t *n,
                                  const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (err)
        return err;
    if (!alps_held_room_(b.shard))
        alps_held_grow_(h, b.shard, t);
    if (alps_held_full_(b.shard)) {
        err = ALPS_EFULL;
    } else {
        alps_retire_note_(h, lane, off);
        alps_held_add_(h, b.shard, off, ALPS_HELD_LIMBO_);
        ALPS_BARRIER_();
        alps_code_set_(b.zone.codes, b.unit, ALPS_HELD);
        *n = alps_block_size_(&b);
    }
    alps_block_unlock_(&b);
    return err || !t->policy->durable
               ? err
               : alps_codes_flush_(h, &b.zone, b.unit, 0, t);
}

/* See alps_retire. The lock of the region is taken for every sixty-first. */
ALPS_CORE_ int alps_retire_(alps_handle *h, const void *p, const alps_tables *t)
{
    alps_object o;
    uint64_t n = 0;
    alps_off off = alps_offset_(h, p);
    int err = alps_ready_(h, t);
    if (err || !p)
        return err;
    const alps_cache *c = alps_cache_(h);
    if (!c)
        return ALPS_EBUSY;
    int is = alps_object_at_(h, off, &o);
    const alps_chunk *chunk = alps_limbo_chunk_(h, alps_load_(&c->lane->limbo));
    if (!chunk || chunk->count >= ALPS_CHUNK)
        err = alps_retire_room_(h, c->lane, t);
    if (!err)
        err = is == 1   ? alps_retire_object_(h, c, &o, off, t)
              : is == 0 ? alps_retire_block_(h, c->lane, off, &n, t)
                        : ALPS_EINVALID_FREE;
    if (!err && t->policy->durable)
        err = t->fence(&h->map);
    if (n > ALPS_RETIRE_LARGE)
        t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    return err;
}
