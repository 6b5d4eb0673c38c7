/* segment.h -- the segments of a region, and how they come and go
 *
 * A region is cut into segments, each of which is in a frame or is not; the
 * table says which. The file has the bytes of those that are not, and of those
 * that are clean. Here is what is done to one segment: read, written, shown,
 * hidden. All of it under the pager's latch. */
#pragma once
#include "backing.h"
#include "echo.h"
#include "fault.h"
#include "spill.h"
#include "view.h"
#include "watermark.h"

/* The fewest frames a region is paged with: one instruction may need four
 * segments at once, and the last eight stay. */
#define ALPS_FRAMES_MIN 9u

/* Where faults are told: one is filled before it is shown, and one is at two
 * places for a moment. */
#define ALPS_FRAMES_MORE 2u

/* What comes one behind the other, in this many places at once. */
#define ALPS_STREAMS_ 8u
#define ALPS_AHEAD_MAX 64u

/* So many are ahead where nobody else does it. */
#define ALPS_AHEAD_NARROW_ 4u

typedef struct alps_stream {
    uint32_t last; /* the last one that was touched, or ALPS_NO_SEGMENT */
    uint32_t next; /* from here */
    uint32_t end;  /* to there segments are to be brought */
    int row;       /* 1: that one came behind another, */
    int past;      /* 1: and that one as well: past the page cache, where that
                      has little room */
} alps_stream;

typedef struct alps_ahead {
    uint32_t most;   /* segments ahead, or 0 */
    uint32_t turn;   /* which stream is the next to be forgotten, */
    uint32_t served; /* and which was served last */
    int past;        /* 1: the last one that was touched is of such a row */
    int asked;       /* 1: by the program; 0: for such rows alone */
    alps_stream stream[ALPS_STREAMS_];
} alps_ahead;

/* So many segments are between the file and memory at once; what more there is
 * to do is done under the latch. */
#define ALPS_TRANSITS_ 8u

/* One that comes or leaves without the latch. */
typedef struct alps_transit {
    uint32_t segment; /* 1 + it, or 0: there is none */
    uint32_t frame;   /* it has, or ALPS_NO_FRAME */
    int leaves;       /* 1: it is written, and is in the table until then */
    int gone;         /* 1: what is read of it is not what the file has */
} alps_transit;

/* A region larger than its memory: what one process keeps of it. */
typedef struct alps_pager {
    uint32_t latch;
    unsigned engine;            /* ALPS_ENGINE_... */
    const char *why;            /* it is that one, in words */
    unsigned asked;             /* the engine that was asked for, or 0 */
    uint64_t memory;            /* bytes the region may have in memory */
    uint64_t wish;              /* bytes of a segment as asked for, or 0 */
    alps_faults *faults;        /* the program's handler, or NULL */
    struct alps_budget *budget; /* what it shares with other regions, or NULL */
    struct alps_pager *sharer;  /* the next one that does */
    int shares;                 /* 1: it is in the budget's list */
    const alps_eviction *eviction;
    void *state;          /* of the policy */
    uint64_t state_n;     /* its bytes */
    alps_backing backing; /* the files */
    unsigned direct;      /* 1: past the page cache, all of it, as was asked */
    int straight;         /* 1: the last one that went did */
    uint64_t went;        /* the end of that one */
    alps_watermark mark;  /* of what is dirty */
    alps_ahead ahead;     /* what is likely next */
    alps_transit transit[ALPS_TRANSITS_];
    uint32_t failures; /* syncs that failed, counted */
    unsigned interval; /* milliseconds of the cleaner, or 0 */
    uint32_t called;   /* 1: it is not to sleep */
    uint32_t ended;    /* 1: it is to end */
    int cleans;        /* 1: there is one */
    pthread_t cleaner;
    pid_t process;          /* who opened it: not the child of a fork */
    unsigned char *base;    /* of the region */
    uint64_t length;        /* bytes of the file that are the region */
    uint64_t reserved;      /* bytes of addresses, whole segments */
    unsigned shift;         /* log2 of the bytes of a segment */
    uint32_t *table;        /* by segment: 1 + its frame, or 0 */
    uint64_t table_n;       /* its bytes */
    alps_pool pool;         /* the frames */
    alps_uffd uffd;         /* who tells of faults, if no signal does */
    alps_echo echo;         /* of the pages that every fence takes */
    alps_spill spill;       /* of one that commits all at once */
    int commits;            /* 1: it is to be one */
    alps_fault_range range; /* of the addresses, for the handler */
    uint64_t clock;         /* faults, counted */
    uint32_t young;         /* so many of the last ones stay */
    uint32_t pinned;        /* frames that do */
    uint32_t threads;       /* threads that were seen to fault, */
    uintptr_t thread[64];   /* and which, by a hash */
    uint64_t stale_off;     /* the last fault that needed nothing, */
    uint32_t stale;         /* and how often it came in a row */
    uint64_t written;       /* writes to the files, counted, */
    uint64_t synced;        /* up to here they are durable */
    uint64_t trail;         /* from here to there segments went one behind */
    uint64_t trail_to;      /* the other, and the medium was not told */
    uint64_t unheld;        /* the last one of what is not in memory */
    int lost; /* the code of a sync that failed, and what it should
                             have made durable is not in memory */
    alps_paging count;
} alps_pager;

ALPS_FN_ uint64_t alps_segment_off_(const alps_pager *p, uint32_t segment)
{
    return (uint64_t)segment << p->shift;
}

/* Bytes of the file that are in it. */
ALPS_FN_ uint64_t alps_segment_bytes_(const alps_pager *p, uint32_t segment)
{
    uint64_t off = alps_segment_off_(p, segment), n = p->pool.segment;
    if (off >= p->length)
        return 0;
    return p->length - off < n ? p->length - off : n;
}

/* The frame it is in, or ALPS_NO_FRAME. Who asks without the latch, and hears
 * that there is none, knows that what was stored is with the file. */
ALPS_FN_ uint32_t alps_segment_frame_(const alps_pager *p, uint32_t segment)
{
    return __atomic_load_n(&p->table[segment], __ATOMIC_ACQUIRE) - 1;
}

ALPS_FN_ void alps_segment_set_(const alps_pager *p, uint32_t segment,
                                uint32_t frame)
{
    __atomic_store_n(&p->table[segment], frame + 1, __ATOMIC_RELEASE);
}

/* Tells the policy. */
ALPS_FN_ void alps_segment_tell_(const alps_pager *p, unsigned what,
                                 uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    p->eviction->saw(p->state, what, frame, f->segment);
    alps_watermark_saw_(&p->mark, what, frame, f);
}

/* Reads the first `n` bytes of the segment, which are all that the file has of
 * it, to where a frame is filled; what is behind them is zero. With a journal
 * what that has is to come over it. Needs no latch. */
ALPS_COLD_ int alps_segment_fill_(alps_pager *p, int past, uint32_t segment,
                                  uint64_t n, unsigned char *to,
                                  alps_paging *count)
{
    uint64_t off = alps_segment_off_(p, segment);
    past = p->direct || (past && alps_backing_narrow_(&p->backing));
    if (n && alps_backing_empty_(&p->backing, off, n))
        n = 0;
    int err = alps_backing_read_(&p->backing, past, to, n, off, count);
    if (!err)
        memset(to + n, 0, (size_t)(p->pool.segment - n));
    return err;
}

/* Reads the newest version of `n` pages of the segment from its page `first` on
 * that anybody but this process can have. */
ALPS_COLD_ int alps_segment_old_(alps_pager *p, uint32_t segment,
                                 uint64_t first, uint64_t n)
{
    const alps_journal *j = p->spill.journal;
    uint64_t off = alps_segment_off_(p, segment) + first * ALPS_PAGE;
    uint64_t page = off / ALPS_PAGE, k = n * ALPS_PAGE;
    uint64_t end = alps_segment_bytes_(p, segment) - first * ALPS_PAGE;
    memset(p->spill.old, 0, (size_t)(n * ALPS_PAGE));
    if (alps_page_next_(j->known, page, page + n) == page + n)
        return ALPS_OK; // nothing but zeroes
    int err = alps_backing_read_(&p->backing, (int)p->direct, p->spill.old,
                                 k < end ? k : end, off, &p->count);
    return err ? err
               : alps_spill_load_(&p->spill, p->spill.old, page, n, &p->count);
}

/* Spills a frame to which nobody stores: those of its pages that are not what
 * they were. */
ALPS_COLD_ int alps_segment_spill_(alps_pager *p, uint32_t frame)
{
    const unsigned char *at = alps_view_at_(&p->pool, frame);
    uint32_t segment = p->pool.frame[frame].segment;
    uint64_t first = alps_segment_off_(p, segment) / ALPS_PAGE, found = 0, k;
    uint64_t n = (alps_segment_bytes_(p, segment) + ALPS_PAGE - 1) / ALPS_PAGE;
    for (uint64_t i = 0; i < n; i += k) {
        k = n - i < ALPS_FRAME_CHUNK_ ? n - i : ALPS_FRAME_CHUNK_;
        int err = alps_segment_old_(p, segment, i, k); // else all has changed
        for (uint64_t page = i; page < i + k; page++)
            if (err || memcmp(at + page * ALPS_PAGE,
                              p->spill.old + (page - i) * ALPS_PAGE, ALPS_PAGE))
                alps_spill_add_(&p->spill, found++, first + page,
                                at + page * ALPS_PAGE);
    }
    if (!found)
        return ALPS_OK;
    p->count.write_backs++;
    return alps_spill_frame_(&p->spill, at, first, found, p->length, 0,
                             &p->count);
}

/* Writes `n` bytes of memory to their place. */
ALPS_COLD_ int alps_segment_put_(alps_pager *p, const unsigned char *at,
                                 uint64_t n, uint64_t off)
{
    int err = alps_backing_write_(&p->backing, p->direct || p->straight, at, n,
                                  off, &p->written, &p->count);
    p->count.write_backs += !err;
    return err;
}

/* Notes that bytes [off, off + n) are written, and whether past the page cache:
 * where that has little room, a whole segment that goes behind another one, to
 * blocks that have something already. (The system makes a note of every block
 * that has its first; by way of the cache it does so for many at a time.) */
ALPS_COLD_ void alps_segment_goes_(alps_pager *p, uint64_t off, uint64_t n)
{
    int row = off == p->went && n == p->pool.segment;
    p->went = off + n;
    p->straight = row && alps_backing_narrow_(&p->backing) &&
                  alps_backing_had_(&p->backing, off, n);
}

/* Writes bytes [from, to) of a frame, whole pages, to their place. */
ALPS_COLD_ int alps_segment_write_(alps_pager *p, uint32_t frame, uint64_t from,
                                   uint64_t to)
{
    const unsigned char *at = alps_view_at_(&p->pool, frame);
    uint32_t segment = p->pool.frame[frame].segment;
    uint64_t off = alps_segment_off_(p, segment);
    uint64_t end = alps_segment_bytes_(p, segment);
    int err = ALPS_OK;
    if (p->spill.journal)
        return alps_segment_spill_(p, frame);
    if (to > end)
        to = end;
    alps_segment_goes_(p, off + from, to - from);
    while (!err && from < to) {
        uint64_t n = to - from;
        if (!alps_echo_has_(&p->echo, off + from) || n < ALPS_PAGE) {
            n = alps_echo_before_(&p->echo, off + from, n);
            err = alps_segment_put_(p, at + from, n, off + from);
        } else {
            n = ALPS_PAGE;
            if (!alps_echo_same_(&p->echo, off + from, at + from)) {
                const unsigned char *copy =
                    p->echo.bytes + (off + from - p->echo.off);
                err = alps_segment_put_(p, copy, n, off + from);
                if (!err)
                    alps_echo_wrote_(&p->echo, off + from);
            }
        }
        from += n;
    }
    return err;
}

/* Shows a frame, to be read or to be written. */
ALPS_COLD_ int alps_segment_show_(alps_pager *p, uint32_t frame, int write)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = alps_view_show_(&p->pool, frame, write);
    if (err)
        return err;
    if (write || f->state == ALPS_FRAME_FREE)
        f->dirty = write != 0;
    f->state = write ? ALPS_FRAME_WRITE : ALPS_FRAME_READ;
    f->born = ++p->clock;
    return ALPS_OK;
}

/* Hides it: from now on nobody stores to it. */
ALPS_COLD_ int alps_segment_hide_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    if (f->state <= ALPS_FRAME_HIDDEN)
        return ALPS_OK;
    int err = alps_view_hide_(&p->pool, frame);
    if (!err)
        f->state = ALPS_FRAME_HIDDEN;
    else // it may have come back, and be dirty
        alps_watermark_saw_(&p->mark, ALPS_TOLD_DIRTY, frame, f);
    return err;
}

/* It is to go: from now on nobody stores to it. */
ALPS_COLD_ int alps_segment_still_(alps_pager *p, uint32_t frame)
{
    return p->pool.frame[frame].state <= ALPS_FRAME_HIDDEN
               ? ALPS_OK
               : alps_view_still_(&p->pool, frame);
}

/* What was to be read is to be written. */
ALPS_COLD_ int alps_segment_upgrade_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = alps_view_protect_(&p->pool, frame, 0, p->pool.segment,
                                 PROT_READ | PROT_WRITE);
    if (err)
        return err;
    f->state = ALPS_FRAME_WRITE;
    f->dirty = 1;
    p->count.upgrades++;
    alps_segment_tell_(p, ALPS_TOLD_DIRTY, frame);
    return ALPS_OK;
}

/* All of a frame is written, while nobody stores to it. It is clean then, and
 * still in memory; where that fails it is as dirty as before. */
ALPS_COLD_ int alps_segment_clean_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = ALPS_OK;
    unsigned stays = p->spill.journal ? ALPS_PINNED_STORE_ : ~0u;
    if (f->pins & stays) // the system may be storing to it: it stays as it is
        return alps_segment_write_(p, frame, 0, p->pool.segment);
    if (f->state == ALPS_FRAME_WRITE) {
        err =
            alps_view_protect_(&p->pool, frame, 0, p->pool.segment, PROT_READ);
        if (!err)
            f->state = ALPS_FRAME_READ;
    }
    if (!err)
        err = alps_segment_write_(p, frame, 0, p->pool.segment);
    if (err)
        return err;
    f->dirty = 0;
    alps_segment_tell_(p, ALPS_TOLD_CLEAN, frame);
    return ALPS_OK;
}

/* Pages [from, to) of a dirty frame are written, while nobody stores to them;
 * it stays dirty, for there may be others. */
ALPS_COLD_ int alps_segment_pages_(alps_pager *p, uint32_t frame, uint64_t from,
                                   uint64_t to)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int shown = f->state == ALPS_FRAME_WRITE && !f->pins;
    int err = ALPS_OK;
    if (shown)
        err = alps_view_protect_(&p->pool, frame, from, to, PROT_READ);
    if (!err)
        err = alps_segment_write_(p, frame, from, to);
    if (shown &&
        alps_view_protect_(&p->pool, frame, from, to, PROT_READ | PROT_WRITE))
        f->state = ALPS_FRAME_READ; // the next store to it opens it
    return err;
}

/* Bytes [from, to) of a frame are zero, for whoever looks. */
ALPS_COLD_ int alps_segment_zero_(alps_pager *p, uint32_t frame, uint64_t from,
                                  uint64_t to)
{
    int err = ALPS_OK;
    if (p->pool.uffd && p->pool.frame[frame].state == ALPS_FRAME_READ)
        err = alps_segment_upgrade_(p, frame); // or who stores here waits
    if (!err)
        memset(alps_view_at_(&p->pool, frame) + from, 0, (size_t)(to - from));
    return err;
}

/* The segment is forgotten, and the frame free. It is still. */
ALPS_COLD_ void alps_segment_drop_(alps_pager *p, uint32_t frame)
{
    uint32_t segment = p->pool.frame[frame].segment;
    alps_segment_tell_(p, ALPS_TOLD_GONE, frame);
    alps_segment_set_(p, segment, ALPS_NO_FRAME);
    alps_view_drop_(&p->pool, frame);
}
