/* evict.h -- the eviction policies of the library
 *
 * FIFO, LIFO, PLRU, random, WIRO-F and WIRO-L are those of uMMAP-IO (Rivas-
 * Gomez et al. 2018) and uMalloc; CLOCK (Corbato 1968), segmented FIFO (Turner
 * and Levy 1981) and 2Q (Johnson and Shasha 1994) see second uses by way of
 * hidden frames. Measured on traces of 1024 segments in 256 frames, in hard
 * misses of a hundred uses: docs/paged.md. */
#pragma once
#include "victim.h"

/* For alps_options.eviction. */
enum {
    ALPS_EVICT_FIFO = 1,
    ALPS_EVICT_LIFO = 2,
    ALPS_EVICT_PLRU = 3,
    ALPS_EVICT_RANDOM = 4,
    ALPS_EVICT_WIRO_F = 5,
    ALPS_EVICT_WIRO_L = 6,
    ALPS_EVICT_CLOCK = 7,
    ALPS_EVICT_SFIFO = 8, /* the default */
    ALPS_EVICT_2Q = 9
};
#define ALPS_EVICTIONS 9u

/* ---- FIFO, LIFO: by when a segment came ---------------------------------- */

ALPS_FN_ void alps_evict_fifo_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_WRITE)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

ALPS_FN_ uint32_t alps_evict_fifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0};
    return alps_queue_walk_((const alps_queues *)state, after, order, 1, 0);
}

ALPS_FN_ uint32_t alps_evict_lifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0};
    return alps_queue_walk_((const alps_queues *)state, after, order, 1, 1);
}

/* ---- PLRU: by the last fault of any kind --------------------------------- */

ALPS_FN_ void alps_evict_plru_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what <= ALPS_TOLD_DIRTY)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

/* ---- random -------------------------------------------------------------- */

/* xorshift64 (Marsaglia 2003). */
ALPS_FN_ uint32_t alps_evict_random_next_(void *state, uint32_t after)
{
    alps_queues *q = (alps_queues *)state;
    (void)after;
    q->random ^= q->random << 13;
    q->random ^= q->random >> 7;
    q->random ^= q->random << 17;
    return (uint32_t)(q->random % q->frames);
}

/* ---- WIRO: written in, read out: what need not be written goes first ----- */

ALPS_FN_ void alps_evict_wiro_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_CLEAN)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_WRITE || what == ALPS_TOLD_DIRTY)
        alps_queue_put_(q, 1, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

ALPS_FN_ uint32_t alps_evict_wiro_f_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0, 1};
    return alps_queue_walk_((const alps_queues *)state, after, order, 2, 0);
}

ALPS_FN_ uint32_t alps_evict_wiro_l_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0, 1};
    return alps_queue_walk_((const alps_queues *)state, after, order, 2, 1);
}

/* ---- queues with a hidden end: what is used again goes back -------------- */

/* Queue 0 is shown, queue 1 hidden. */
ALPS_FN_ void alps_evict_sfifo_saw_(void *state, unsigned what, uint32_t frame,
                                    uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what <= ALPS_TOLD_AGAIN)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_HIDDEN)
        alps_queue_put_(q, 1, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

/* A quarter is hidden, from the oldest on. */
ALPS_FN_ uint32_t alps_evict_sfifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {1, 0};
    const alps_queues *q = (const alps_queues *)state;
    if (after == ALPS_NO_FRAME && q->count[0] && q->count[1] < q->frames / 4)
        return q->oldest[0] | ALPS_VICTIM_HIDE;
    return alps_queue_walk_(q, after, order, 2, 0);
}

/* The hand goes round the frames: hidden ones go, others are hidden. */
ALPS_FN_ uint32_t alps_evict_clock_next_(void *state, uint32_t after)
{
    alps_queues *q = (alps_queues *)state;
    (void)after;
    for (uint32_t i = 0; i < q->frames; i++) {
        uint32_t frame = q->hand;
        q->hand = (frame + 1) % q->frames;
        if (q->at[frame].in == 1)
            return frame;
        if (q->at[frame].in == 0)
            return frame | ALPS_VICTIM_HIDE;
    }
    return ALPS_NO_FRAME;
}

/* ---- 2Q: what came once is let go before what came twice ----------------- */

/* The segments that went lately, in a ring behind the frames. */
#define ALPS_GHOSTS_MAX 4096u

ALPS_FN_ uint32_t alps_evict_ghosts_(uint32_t frames)
{
    return frames / 2 < ALPS_GHOSTS_MAX ? frames / 2 + 1 : ALPS_GHOSTS_MAX;
}

ALPS_FN_ uint32_t *alps_evict_ring_(const alps_queues *q)
{
    return (uint32_t *)(void *)(q->at + q->frames);
}

ALPS_FN_ uint64_t alps_evict_2q_room_(uint32_t frames)
{
    return alps_queues_room_(frames) +
           alps_evict_ghosts_(frames) * sizeof(uint32_t);
}

ALPS_FN_ void alps_evict_2q_begin_(void *state, uint32_t frames)
{
    alps_queues *q = (alps_queues *)state;
    alps_queues_begin_(state, frames);
    q->ghosts = alps_evict_ghosts_(frames);
    for (uint32_t i = 0; i < q->ghosts; i++)
        alps_evict_ring_(q)[i] = ALPS_NO_SEGMENT;
}

/* Whether the segment went lately; it is forgotten. */
ALPS_FN_ int alps_evict_ghost_(const alps_queues *q, uint32_t segment)
{
    uint32_t *ring = alps_evict_ring_(q);
    for (uint32_t i = 0; i < q->ghosts; i++)
        if (ring[i] == segment) {
            ring[i] = ALPS_NO_SEGMENT;
            return 1;
        }
    return 0;
}

/* Queue 0 has what came once, 1 what came twice, 2 the hidden end of that. */
ALPS_FN_ void alps_evict_2q_saw_(void *state, unsigned what, uint32_t frame,
                                 uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_WRITE) {
        alps_queue_put_(q, alps_evict_ghost_(q, segment) ? 1 : 0, frame);
    } else if (what == ALPS_TOLD_AGAIN) {
        alps_queue_put_(q, 1, frame);
    } else if (what == ALPS_TOLD_HIDDEN) {
        alps_queue_put_(q, 2, frame);
    } else if (what == ALPS_TOLD_GONE) {
        if (q->at[frame].in == 0) {
            alps_evict_ring_(q)[q->ghost] = segment;
            q->ghost = (q->ghost + 1) % q->ghosts;
        }
        alps_queue_drop_(q, frame);
    }
}

ALPS_FN_ uint32_t alps_evict_2q_next_(void *state, uint32_t after)
{
    static const unsigned char once[] = {0, 2, 1}, twice[] = {2, 1, 0};
    const alps_queues *q = (const alps_queues *)state;
    int first = q->count[0] > q->frames / 4;
    if (after == ALPS_NO_FRAME && !first && q->count[1] &&
        q->count[2] < q->frames / 8)
        return q->oldest[1] | ALPS_VICTIM_HIDE;
    return alps_queue_walk_(q, after, first ? once : twice, 3, 0);
}

/* The policy of a number. */
ALPS_FN_ const alps_eviction *alps_evict_policy_(unsigned number)
{
    static const alps_eviction policy[] = {
        {"sfifo", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_sfifo_next_},
        {"fifo", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_fifo_next_},
        {"lifo", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_lifo_next_},
        {"plru", alps_queues_room_, alps_queues_begin_, alps_evict_plru_saw_,
         alps_evict_fifo_next_},
        {"random", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_random_next_},
        {"wiro-f", alps_queues_room_, alps_queues_begin_, alps_evict_wiro_saw_,
         alps_evict_wiro_f_next_},
        {"wiro-l", alps_queues_room_, alps_queues_begin_, alps_evict_wiro_saw_,
         alps_evict_wiro_l_next_},
        {"clock", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_clock_next_},
        {"sfifo", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_sfifo_next_},
        {"2q", alps_evict_2q_room_, alps_evict_2q_begin_, alps_evict_2q_saw_,
         alps_evict_2q_next_},
    };
    return &policy[number <= ALPS_EVICTIONS ? number : 0];
}
