/* gather.h -- pages that wait for one sync call
 *
 * Behind a page cache a fence is a sync call of a tenth of a millisecond or
 * more, whatever it covers, so what is flushed is only written down, as ranges
 * of pages, and the fence syncs all of it. The lock is held for the whole time
 * of the syncs: a fence that finds nothing left to do has waited for the
 * thread that took its ranges along. That is a group commit: many threads that
 * publish at once share the calls.
 *
 * Ranges less than ALPS_GATHER_GAP pages apart are synced by one call. Every
 * call costs a flush of the device, 175 us on the ext4 this was measured on;
 * clean pages between two ranges cost nothing and a few dirty ones little:
 *
 *     2 ranges, 4 other dirty pages    2 msyncs 336 us, 1 over all 183 us
 *     3 ranges, 4 other dirty pages    3 msyncs 699 us, 1 over all 492 us
 *     3 ranges, 256 other dirty pages  3 msyncs 621 us, 1 over all 2876 us
 *     one fdatasync of a 64 MiB file with those 256: 6888 us
 *
 * so the gap is wide, but a region has an end to what it may drag along. */
#pragma once
#include "policy.h"

/* How far apart, in pages, two ranges may be and still share a sync call. A
 * wider gap means fewer calls, and more of the pages that nobody asked for. */
#ifndef ALPS_GATHER_GAP
#  define ALPS_GATHER_GAP 16384u
#endif

/* The lock word: bit 0 while a thread works here, above it how many fences
 * have begun to sync. */
ALPS_FN_ void alps_gather_lock_(alps_gather *g)
{
    for (unsigned tries = 1;; tries++) {
        uint64_t word = alps_load_(&g->lock);
        if (!(word & 1) &&
            __atomic_compare_exchange_n(&g->lock, &word, word | 1, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        if (tries % 64)
            alps_pause_();
        else
            sched_yield();
    }
}

ALPS_FN_ void alps_gather_unlock_(alps_gather *g)
{
    __atomic_store_n(&g->lock, alps_load_(&g->lock) & ~1ull, __ATOMIC_RELEASE);
}

/* Joins the two ranges that are closest, to make room. */
ALPS_COLD_ void alps_gather_squeeze_(alps_gather *g)
{
    unsigned best = 0;
    for (unsigned i = 1; i + 1 < g->n; i++)
        if (g->range[i + 1].from - g->range[i].to <
            g->range[best + 1].from - g->range[best].to)
            best = i;
    g->range[best].to = g->range[best + 1].to;
    g->n--;
    memmove(&g->range[best + 1], &g->range[best + 2],
            (g->n - best - 1) * sizeof *g->range);
}

/* Adds pages [from, to). Ranges stay sorted and apart from each other. */
ALPS_COLD_ void alps_gather_add_(alps_gather *g, uint64_t from, uint64_t to)
{
    unsigned first = 0, last;
    while (first < g->n && g->range[first].to < from)
        first++;
    for (last = first; last < g->n && g->range[last].from <= to; last++) {
        from = from < g->range[last].from ? from : g->range[last].from;
        to = to > g->range[last].to ? to : g->range[last].to;
    }
    if (first == last && g->n == ALPS_GATHER_MAX) {
        alps_gather_squeeze_(g);
        alps_gather_add_(g, from, to); // may touch the joined range now
        return;
    }
    memmove(&g->range[first + 1], &g->range[last],
            (g->n - last) * sizeof *g->range);
    g->range[first].from = from;
    g->range[first].to = to;
    g->n = g->n - (last - first) + 1;
}

ALPS_FN_ void alps_gather_bytes_(alps_gather *g, uint64_t off, uint64_t n)
{
    if (n)
        alps_gather_add_(g, off / ALPS_PAGE, (off + n - 1) / ALPS_PAGE + 1);
}

/* The pages of [p, p + n) are to be synced by the next fence. */
ALPS_COLD_ int alps_gather_flush_(alps_map *m, const void *p, size_t n)
{
    const unsigned char *at = (const unsigned char *)p;
    ALPS_ASSERT(at >= m->base && n <= m->reserved &&
                (uint64_t)(at - m->base) <= m->reserved - n);
    alps_gather_lock_(&m->gather);
    alps_gather_bytes_(&m->gather, (uint64_t)(at - m->base), n);
    alps_gather_unlock_(&m->gather);
    return ALPS_OK;
}

/* Enters the fence. Answers whether there is something to sync: not, if all
 * that was gathered here was taken along by a fence that began after this one
 * was called, for that took the `always` range along as well. */
ALPS_COLD_ int alps_gather_begin_(alps_map *m)
{
    alps_gather *g = &m->gather;
    // an operation on the word and not a load: our stores come before it
    uint64_t began = __atomic_fetch_add(&g->lock, 0, __ATOMIC_SEQ_CST) >> 1;
    alps_gather_lock_(g);
    if (!g->n && alps_load_(&g->lock) >> 1 != began)
        return 0;
    __atomic_fetch_add(&g->lock, 2, __ATOMIC_SEQ_CST);
    alps_gather_bytes_(g, m->always_off, m->always_n);
    return g->n != 0;
}

/* The next stretch to sync by one call, and how many ranges it covers: 0 at
 * the end. */
ALPS_COLD_ unsigned alps_gather_next_(const alps_gather *g, uint64_t *off,
                                      uint64_t *n)
{
    unsigned k = 1;
    if (!g->n)
        return 0;
    while (k < g->n && g->range[k].from - g->range[k - 1].to < ALPS_GATHER_GAP)
        k++;
    *off = g->range[0].from * ALPS_PAGE;
    *n = g->range[k - 1].to * ALPS_PAGE - *off;
    return k;
}

/* The first `k` ranges are on the medium. */
ALPS_COLD_ void alps_gather_drop_(alps_gather *g, unsigned k)
{
    g->n -= k;
    memmove(&g->range[0], &g->range[k], g->n * sizeof *g->range);
}

/* Linux takes a page that it could not write for clean from then on, and the
 * next sync call would answer 0 without having written it. Storing into each
 * what it holds, as one atomic operation, makes it dirty again. */
ALPS_COLD_ void alps_gather_redirty_(alps_map *m)
{
    for (unsigned i = 0; i < m->gather.n; i++)
        for (uint64_t page = m->gather.range[i].from;
             page < m->gather.range[i].to; page++) {
            void *at = m->base + page * ALPS_PAGE;
            uint64_t *word = (uint64_t *)at, value = alps_load_(word);
            __atomic_compare_exchange_n(word, &value, value, 0,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        }
}

/* Leaves the fence. After a failure what was not synced stays gathered, so
 * that a later fence tries again. */
ALPS_COLD_ int alps_gather_end_(alps_map *m, int err)
{
    if (err && !(m->flags & ALPS_READ_ONLY))
        alps_gather_redirty_(m);
    alps_gather_unlock_(&m->gather);
    return err;
}

/* All that was gathered before is on the medium when this answers 0. */
ALPS_CORE_ int alps_gather_fence_(alps_map *m, const alps_backend *b)
{
    uint64_t off = 0, n = 0;
    unsigned k = alps_gather_begin_(m) != 0;
    int err = ALPS_OK;
    while (k && !err && (k = alps_gather_next_(&m->gather, &off, &n)) != 0) {
        err = b->sync(m, off, n);
        if (!err)
            alps_gather_drop_(&m->gather, k);
    }
    return alps_gather_end_(m, err);
}
