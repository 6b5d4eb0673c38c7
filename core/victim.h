/* victim.h -- who goes when memory is full: the contract, and queues
 *
 * An eviction policy is a table of functions over a state of its own. It is
 * told what happens to each frame and names, when asked, the frames that it
 * would rather see go, best first. It cannot do harm: the pager lets nobody go
 * who is pinned, or was among the last to come, whatever the policy says; so no
 * policy can take from an instruction the segments that it needs at once (LIFO
 * and WIRO-L as they were live-lock on one store over two segments).
 *
 * Nothing in user space sees which page was read lately. What a policy can have
 * is a frame hidden: its segment stays in memory, and the next use of it is a
 * fault that costs no input or output, and tells. */
#pragma once
#include "pool.h"

/* What a policy is told of a frame. */
enum {
    ALPS_TOLD_READ = 1,   /* a segment was brought into it, to be read */
    ALPS_TOLD_WRITE = 2,  /* the same, to be written */
    ALPS_TOLD_AGAIN = 3,  /* it was hidden, and is used again */
    ALPS_TOLD_DIRTY = 4,  /* it was clean and shown, and is written to */
    ALPS_TOLD_CLEAN = 5,  /* the file has it all */
    ALPS_TOLD_HIDDEN = 6, /* it is no longer shown, as the policy wished */
    ALPS_TOLD_GONE = 7    /* its segment is gone, the frame is free */
};

/* Added to a frame that `next` answers: do not let it go, hide it; then ask
 * from the start. */
#define ALPS_VICTIM_HIDE ((uint32_t)1 << 31)

/* An eviction policy. Its functions are called from a signal handler, by one
 * thread at a time: they take no lock, allocate nothing, touch no region. */
typedef struct alps_eviction {
    const char *name;

    /* Bytes of state for so many frames. */
    uint64_t (*room)(uint32_t frames);

    /* Makes the state ready; its bytes are zero. */
    void (*begin)(void *state, uint32_t frames);

    /* Something happened to `frame`, which holds `segment`: ALPS_TOLD_.... */
    void (*saw)(void *state, unsigned what, uint32_t frame, uint32_t segment);

    /* The frame to go first, or after `after` was refused the next one; with
     * ALPS_VICTIM_HIDE added one to hide. ALPS_NO_FRAME: none; then the pager
     * takes the one that is in memory longest. */
    uint32_t (*next)(void *state, uint32_t after);
} alps_eviction;

/* ---- queues of frames, which the policies of the library are made of ---- */

#define ALPS_QUEUES 3u
#define ALPS_QUEUE_NONE ((uint8_t)ALPS_QUEUES)

typedef struct alps_queued {
    uint32_t newer, older; /* neighbours, or ALPS_NO_FRAME */
    uint32_t in;           /* which queue, or ALPS_QUEUE_NONE */
} alps_queued;

typedef struct alps_queues {
    uint32_t frames;
    uint32_t newest[ALPS_QUEUES], oldest[ALPS_QUEUES], count[ALPS_QUEUES];
    uint32_t hand;   /* of clock */
    uint64_t random; /* the last number */
    uint32_t ghosts; /* of 2Q: places in the ring behind the frames */
    uint32_t ghost;  /* the next one to be overwritten */
    alps_queued *at; /* one for each frame, behind this */
} alps_queues;

ALPS_FN_ uint64_t alps_queues_room_(uint32_t frames)
{
    return sizeof(alps_queues) + frames * sizeof(alps_queued);
}

ALPS_FN_ void alps_queues_begin_(void *state, uint32_t frames)
{
    alps_queues *q = (alps_queues *)state;
    q->frames = frames;
    q->at = (alps_queued *)(void *)(q + 1);
    q->random = 0x9e3779b97f4a7c15ull;
    for (unsigned k = 0; k < ALPS_QUEUES; k++)
        q->newest[k] = q->oldest[k] = ALPS_NO_FRAME;
    for (uint32_t i = 0; i < frames; i++)
        q->at[i].in = ALPS_QUEUE_NONE;
}

ALPS_FN_ void alps_queue_drop_(alps_queues *q, uint32_t frame)
{
    alps_queued *f = &q->at[frame];
    uint32_t k = f->in;
    if (k >= ALPS_QUEUES)
        return;
    if (f->newer != ALPS_NO_FRAME)
        q->at[f->newer].older = f->older;
    else
        q->newest[k] = f->older;
    if (f->older != ALPS_NO_FRAME)
        q->at[f->older].newer = f->newer;
    else
        q->oldest[k] = f->newer;
    q->count[k]--;
    f->in = ALPS_QUEUE_NONE;
}

/* Puts it at the newest end of queue `k`, wherever it was before. */
ALPS_FN_ void alps_queue_put_(alps_queues *q, unsigned k, uint32_t frame)
{
    alps_queued *f = &q->at[frame];
    alps_queue_drop_(q, frame);
    f->in = k;
    f->newer = ALPS_NO_FRAME;
    f->older = q->newest[k];
    if (f->older != ALPS_NO_FRAME)
        q->at[f->older].newer = frame;
    else
        q->oldest[k] = frame;
    q->newest[k] = frame;
    q->count[k]++;
}

/* The one after `after` on a walk through the queues in this order, from the
 * oldest of each or, `newest`, from the newest. */
ALPS_FN_ uint32_t alps_queue_walk_(const alps_queues *q, uint32_t after,
                                   const unsigned char *order, unsigned n,
                                   int newest)
{
    unsigned i = 0;
    if (after != ALPS_NO_FRAME) {
        const alps_queued *f = &q->at[after];
        uint32_t frame = newest ? f->older : f->newer;
        if (frame != ALPS_NO_FRAME)
            return frame;
        while (i < n && order[i] != f->in)
            i++;
        i++; // the next queue
    }
    for (; i < n; i++) {
        uint32_t frame = newest ? q->newest[order[i]] : q->oldest[order[i]];
        if (frame != ALPS_NO_FRAME)
            return frame;
    }
    return ALPS_NO_FRAME;
}
