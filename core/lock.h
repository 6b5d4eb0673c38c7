/* lock.h -- a lock word in the region, whose owner may die
 *
 * 0, or the owner's slot and generation. No pthread object is stored in a
 * region: this word means the same in every process, libc and boot. Waiting is
 * spinning, then yielding, then sleeping; who has slept for a while asks
 * whether the owner lives, and breaks the lock of a dead one. A stopped process
 * is alive, and is waited for. */
#pragma once
#include "process.h"

/* Takes the word if it is free. The locked instruction is also what makes the
 * write-backs that this thread began before complete (x86). */
ALPS_FN_ int alps_lock_try_(uint64_t *word, uint64_t owner)
{
    uint64_t nobody = 0;
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, word, sizeof *word);
    return __atomic_compare_exchange_n(word, &nobody, owner, 0,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

ALPS_FN_ void alps_lock_leave_(uint64_t *word)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

/* Waits for the word. Answers the dead owner from whom it was taken, or 0. */
ALPS_CORE_ uint64_t alps_lock_wait_(alps_handle *h, uint64_t *word,
                                    const alps_tables *t)
{
    for (unsigned round = 0;; round++) {
        if (!alps_load_(word) && alps_lock_try_(word, alps_self_(h)))
            return 0;
        ALPS_WAIT_(round);
        if (round >= 1000) {
            uint64_t owner = alps_load_(word);
            if (round % 100 == 0 && owner && !alps_owner_lives_(h, owner, t) &&
                __atomic_compare_exchange_n(word, &owner, alps_self_(h), 0,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return owner;
        }
    }
}

/* Whether nobody else can want the lock: memory of this process alone, which
 * has one thread, as the C library knows (glibc 2.32). A locked instruction
 * costs more than half of a small allocation. */
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
#  include <sys/single_threaded.h>
ALPS_FN_ int alps_lock_alone_(const alps_handle *h)
{
    return h->map.medium == ALPS_MEDIUM_ANON && __libc_single_threaded;
}
#else
ALPS_FN_ int alps_lock_alone_(const alps_handle *h)
{
    (void)h;
    return 0;
}
#endif

/* Takes the lock at `word`. `inner`: another one is held, so that a dead owner
 * is not reaped at once, see recover.h. */
ALPS_FAST_ void alps_lock_word_(alps_handle *h, uint64_t *word, int inner,
                                const alps_tables *t)
{
    if (alps_lock_alone_(h) && !alps_load_(word))
        alps_store_(word, alps_self_(h));
    else if (ALPS_UNLIKELY_(!alps_lock_try_(word, alps_self_(h))))
        t->slow(h, ALPS_SLOW_WAIT, alps_offset_(h, word), (uint64_t)inner);
}

/* Takes the lock of the region, which comes before those of shards. */
ALPS_FAST_ void alps_lock_(alps_handle *h, const alps_tables *t)
{
    alps_lock_word_(h, &h->shared->lock, 0, t);
}

ALPS_FN_ void alps_unlock_(alps_handle *h)
{
    alps_lock_leave_(&h->shared->lock);
}

/* Takes the lock of names, which comes before that of the region. */
ALPS_FAST_ void alps_names_lock_(alps_handle *h, const alps_tables *t)
{
    alps_lock_word_(h, &h->shared->naming, 0, t);
}

/* What this thread wrote back is durable before the next one has the lock: on
 * x86 by the locked instruction. */
ALPS_FN_ void alps_names_unlock_(alps_handle *h)
{
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, &h->shared->naming, 8);
    (void)__atomic_exchange_n(&h->shared->naming, 0, __ATOMIC_SEQ_CST);
}

/* Takes the lock of a shard. Of the shards one is locked at a time, and besides
 * it the last one, after it. */
ALPS_FAST_ void alps_shard_lock_(alps_handle *h, alps_shard *s, int inner,
                                 const alps_tables *t)
{
    alps_lock_word_(h, &s->lock, inner, t);
}

ALPS_FN_ void alps_shard_unlock_(alps_shard *s)
{
    alps_lock_leave_(&s->lock);
}

/* Takes every lock, so that all is seen at one moment; in this order no two
 * threads wait for each other. */
ALPS_CORE_ void alps_lock_all_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_lock_(h, s, 1, t);
}

ALPS_FN_ void alps_unlock_all_(alps_handle *h)
{
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_unlock_(s);
    alps_unlock_(h);
}
