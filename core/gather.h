/* gather.h -- pages that wait for one sync call
 *
 * Behind a page cache a fence is a sync call of a tenth of a millisecond or
 * more, whatever it covers, so what is flushed is only written down, as ranges
 * of pages, and the fence syncs all of it. One fence syncs at a time; what is
 * flushed meanwhile waits for the next one, which takes along whatever all
 * threads have gathered, and those whose pages it took need no call of their
 * own. That is a group commit: many threads that publish at once share calls.
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
#include "parts.h"
#include "policy.h"
#include <sys/vfs.h>

/* How far apart, in pages, two ranges may be and still share a sync call. A
 * wider gap means fewer calls, and more of the pages that nobody asked for. */
#ifndef ALPS_GATHER_GAP
#  define ALPS_GATHER_GAP 16384u
#endif

/* Whether a file lies in memory only: tmpfs, ramfs. A device does not, though
 * what has its name may. */
ALPS_COLD_ int alps_gather_in_memory_(int fd)
{
    struct statfs fs;
    if (fd < 0 || alps_fd_block_(fd) || fstatfs(fd, &fs))
        return 0;
    unsigned long type = (unsigned long)fs.f_type;
    return type == 0x01021994ul || type == 0x858458f6ul;
}

/* Whether something of the region lies in memory only, so that a sync call
 * promises nothing. */
ALPS_COLD_ int alps_gather_in_vain_(const alps_map *m)
{
    const alps_parts *p = m->parts;
    if (m->medium == ALPS_MEDIUM_ANON || m->medium == ALPS_MEDIUM_SHMEM)
        return 1;
    if (m->medium != ALPS_MEDIUM_CACHE)
        return 0;
    int vain = alps_gather_in_memory_(m->fd);
    for (unsigned i = 1; !vain && p && i < p->n; i++)
        vain = alps_gather_in_memory_(p->piece[i].fd);
    return vain;
}

/* The lock word. The ranges belong to whoever has set the first bit, for a few
 * instructions; above the bits is counted how many syncs are done. */
#define ALPS_GATHER_HELD_ 1u    /* a thread works on the ranges */
#define ALPS_GATHER_SYNCING_ 2u /* a fence is syncing what it took */
#define ALPS_GATHER_DONE_ 4u    /* one sync of all that was taken */

/* Takes the ranges, as soon as nobody has them, nor any of `bits` is set;
 * answers 1. Or answers 0, as soon as `enough` syncs are done. */
ALPS_FN_ int alps_gather_lock_(alps_gather *g, unsigned bits, uint64_t enough)
{
    for (unsigned tries = 1;; tries++) {
        uint64_t word = __atomic_load_n(&g->lock, __ATOMIC_ACQUIRE);
        uint64_t held = word | ALPS_GATHER_HELD_;
        if (word / ALPS_GATHER_DONE_ >= enough)
            return 0;
        if (!(word & (bits | ALPS_GATHER_HELD_)) &&
            __atomic_compare_exchange_n(&g->lock, &word, held, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return 1;
        if (tries % 64)
            alps_pause_();
        else
            sched_yield();
    }
}

/* Gives the ranges back, and changes the word by `change` as well. */
ALPS_FN_ void alps_gather_unlock_(alps_gather *g, uint64_t change)
{
    __atomic_fetch_add(&g->lock, change - ALPS_GATHER_HELD_, __ATOMIC_SEQ_CST);
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
    alps_gather_lock_(&m->gather, 0, ~0ull);
    alps_gather_bytes_(&m->gather, (uint64_t)(at - m->base), n);
    alps_gather_unlock_(&m->gather, 0);
    return ALPS_OK;
}

/* Enters the fence: moves all that is gathered into `taken`, and answers 1.
 * Or answers 0, once a sync is done that began after this was called: that one
 * had all of ours. It is the next but one to be done if one is under way. */
ALPS_COLD_ int alps_gather_begin_(alps_map *m, alps_gather *taken)
{
    alps_gather *g = &m->gather;
    // an operation on the word and not a load: our stores come before it
    uint64_t word = __atomic_fetch_add(&g->lock, 0, __ATOMIC_SEQ_CST);
    uint64_t enough = word / ALPS_GATHER_DONE_ + 1;
    enough += (word & ALPS_GATHER_SYNCING_) != 0;
    if (!alps_gather_lock_(g, ALPS_GATHER_SYNCING_, enough))
        return 0;
    alps_gather_bytes_(g, m->always_off, m->always_n);
    taken->n = g->n;
    memcpy(taken->range, g->range, g->n * sizeof *g->range);
    g->n = 0;
    alps_gather_unlock_(g, ALPS_GATHER_SYNCING_);
    return 1;
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
ALPS_COLD_ void alps_gather_redirty_(alps_map *m, uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page < to; page++) {
        void *at = m->base + page * ALPS_PAGE;
        uint64_t *word = (uint64_t *)at, value = alps_load_(word);
        __atomic_compare_exchange_n(word, &value, value, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

/* Leaves the fence. What could not be synced is gathered again, so that a
 * later fence tries once more. */
ALPS_COLD_ void alps_gather_end_(alps_map *m, const alps_gather *left)
{
    alps_gather *g = &m->gather;
    uint64_t done = left->n ? 0 : ALPS_GATHER_DONE_;
    alps_gather_lock_(g, 0, ~0ull);
    for (unsigned i = 0; i < left->n; i++) {
        if (!(m->flags & ALPS_READ_ONLY) && !m->apart)
            alps_gather_redirty_(m, left->range[i].from, left->range[i].to);
        alps_gather_add_(g, left->range[i].from, left->range[i].to);
    }
    alps_gather_unlock_(g, done - ALPS_GATHER_SYNCING_);
}

/* The same where the backend writes, and one sync is for all. */
ALPS_FAST_ int alps_gather_write_(alps_map *m, const alps_backend *b,
                                  alps_gather *taken)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < taken->n; i++) {
        uint64_t off = taken->range[i].from * ALPS_PAGE;
        err = b->write(m, off, taken->range[i].to * ALPS_PAGE - off);
    }
    if (!err)
        err = b->sync(m, 0, 0);
    if (!err)
        taken->n = 0;
    return err;
}

/* All that was gathered before is on the medium when this answers 0. */
ALPS_FAST_ int alps_gather_fence_(alps_map *m, const alps_backend *b)
{
    alps_gather taken;
    uint64_t off = 0, n = 0;
    unsigned k;
    int err = ALPS_OK;
    if (!alps_gather_begin_(m, &taken))
        return ALPS_OK;
    if (b->write && __atomic_load_n(&m->apart, __ATOMIC_RELAXED))
        err = alps_gather_write_(m, b, &taken);
    while (!err && (k = alps_gather_next_(&taken, &off, &n)) != 0) {
        err = b->sync(m, off, n);
        if (!err)
            alps_gather_drop_(&taken, k);
    }
    alps_gather_end_(m, &taken);
    return err;
}
