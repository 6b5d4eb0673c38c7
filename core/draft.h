/* draft.h -- the transaction that a thread has open
 *
 * In memory of the process alone, one for each lane: where its logs are, and
 * which objects it has spoken for already. The child of a fork finds none. What
 * the others need to know when this process dies is in the lane. */
#pragma once
#include "limbo.h"

/* Lines in chunks of the heap, see log.h. */
typedef struct alps_log {
    alps_off first; /* the first line, or 0 */
    alps_off at;    /* where the next one goes */
    alps_off end;   /* of the room for lines, in this chunk */
    alps_off chunk; /* the last chunk */
    uint64_t bytes; /* of it */
    uint64_t all;   /* of all chunks */
} alps_log;

/* Bytes that are kept already. */
typedef struct alps_kept {
    alps_off off;
    uint64_t n;
} alps_kept;

#define ALPS_DRAFT_FEW 16u
#define ALPS_DRAFT_KEPT 8u
typedef struct alps_draft {
    uintptr_t thread; /* whose it is; 0: none is open */
    uint64_t number;  /* of the transaction: a count of the lane, and that */
    alps_lane *lane;
    unsigned depth; /* begun, and not ended */
    int aborted;    /* by one inside */
    int early;      /* contents are to be durable before the record */
    int publishes;  /* some action does */
    int frees;      /* the same */
    uint64_t actions;
    alps_log log;   /* of actions */
    alps_log undo;  /* of bytes as they were */
    alps_off last;  /* the newest line of that; or 0 */
    int marked;     /* the lane's mark says that there is that log */
    uint64_t used;  /* objects spoken for */
    uint64_t seen;  /* a bit for each of 64 kinds of places: none of `few` has
                       a place of a kind whose bit is not set */
    uint64_t room;  /* in `many`: a power of two */
    uint64_t *many; /* a hash of their places; NULL: `few` has them */
    unsigned found; /* which of `object` are set, maybe by what was refused */
    uint64_t few[ALPS_DRAFT_FEW];
    unsigned kept_n;
    alps_kept kept[ALPS_DRAFT_KEPT];    /* the last ranges */
    alps_object object[ALPS_DRAFT_FEW]; /* of our slabs, by action */
} alps_draft;

/* The count in the number of a transaction; below it is its lane. */
#define ALPS_NUMBER_SHIFT_ 12

/* Whether the running thread has this one. */
ALPS_FN_ int alps_draft_is_(const alps_draft *o, uintptr_t self)
{
    return __atomic_load_n(&o->thread, __ATOMIC_RELAXED) == self;
}

/* Enters `off` into a table that has room. 0: it is there already. */
ALPS_FN_ int alps_draft_enter_(uint64_t *table, uint64_t room, alps_off off)
{
    uint64_t at = off * 0x9e3779b97f4a7c15ull >> 20;
    for (;; at++) {
        uint64_t *word = &table[at & (room - 1)];
        if (*word == off)
            return 0;
        if (!*word) {
            *word = off;
            return 1;
        }
    }
}

ALPS_FN_ uint64_t *alps_draft_table_(uint64_t room)
{
    void *p = mmap(NULL, room * 8, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : (uint64_t *)p;
}

/* Goes on in a table of twice the room. */
ALPS_COLD_ int alps_draft_widen_(alps_draft *o)
{
    uint64_t room = o->many ? 2 * o->room : 512;
    uint64_t *table = alps_draft_table_(room);
    const uint64_t *old = o->many ? o->many : o->few;
    if (!table)
        return ALPS_ENOMEM;
    for (uint64_t i = 0; i < (o->many ? o->room : o->used); i++)
        if (old[i])
            alps_draft_enter_(table, room, old[i]);
    if (o->many)
        munmap(o->many, o->room * 8);
    o->many = table;
    o->room = room;
    return ALPS_OK;
}

/* See alps_draft_speak_: there may be one like it, or no room. */
ALPS_ONCE_ int alps_draft_speak_more_(alps_draft *o, alps_off off,
                                      uint64_t kind)
{
    int err = ALPS_OK;
    for (uint64_t i = 0; !o->many && i < o->used; i++)
        if (o->few[i] == off)
            return ALPS_EINVALID_FREE;
    if (o->many ? 2 * o->used >= o->room : o->used == ALPS_DRAFT_FEW)
        err = alps_draft_widen_(o);
    if (err)
        return err;
    if (!o->many)
        o->few[o->used] = off;
    else if (!alps_draft_enter_(o->many, o->room, off))
        return ALPS_EINVALID_FREE;
    o->seen |= kind;
    o->used++;
    return ALPS_OK;
}

/* The object at `off` is spoken for. ALPS_EINVALID_FREE: it was. */
ALPS_FAST_ int alps_draft_speak_(alps_draft *o, alps_off off)
{
    uint64_t kind = 1ull << (off * 0x9e3779b97f4a7c15ull >> 58);
    if (ALPS_UNLIKELY_(o->seen & kind || o->used >= ALPS_DRAFT_FEW))
        return alps_draft_speak_more_(o, off, kind);
    o->few[o->used++] = off;
    o->seen |= kind;
    return ALPS_OK;
}

/* Whether [off, off + n) is known to be kept. */
ALPS_FN_ int alps_draft_keeps_(const alps_draft *o, alps_off off, uint64_t n)
{
    unsigned most = o->kept_n < ALPS_DRAFT_KEPT ? o->kept_n : ALPS_DRAFT_KEPT;
    for (unsigned i = 0; i < most; i++)
        if (off >= o->kept[i].off && off + n <= o->kept[i].off + o->kept[i].n)
            return 1;
    return 0;
}

ALPS_FN_ void alps_draft_keep_(alps_draft *o, alps_off off, uint64_t n)
{
    alps_kept *k = &o->kept[o->kept_n % ALPS_DRAFT_KEPT];
    k->off = off;
    k->n = n;
    o->kept_n =
        o->kept_n + 1 < 2 * ALPS_DRAFT_KEPT ? o->kept_n + 1 : ALPS_DRAFT_KEPT;
}

/* Forgets all; the memory of a large table goes back. */
ALPS_FN_ void alps_draft_end_(alps_draft *o)
{
    if (o->many)
        munmap(o->many, o->room * 8);
    memset((char *)o + sizeof o->thread, 0, offsetof(alps_draft, few) - 8);
    o->kept_n = 0;
    __atomic_store_n(&o->thread, (uintptr_t)0, __ATOMIC_RELEASE);
}
