/* log.h -- what a transaction has written down
 *
 * Lines in chunks of the heap, which are reservations of this process. Each
 * line says by its `seq` which transaction it is of, and by its `check` that it
 * is whole, so a log is read as far as it goes; the last line of a chunk that
 * is full says where it goes on. The first line of a chunk is index: the place
 * of the chunk before. */
#pragma once
#include "lane.h"

/* Bytes of the first chunk, which is an object or a block, and at most. */
#ifndef ALPS_LOG_FIRST
#  define ALPS_LOG_FIRST 1024u
#endif
#ifndef ALPS_LOG_MOST
#  define ALPS_LOG_MOST (1u << 20)
#endif

/* The line at `off`, if it is a whole one of transaction `number`. */
ALPS_FN_ const alps_record *alps_log_line_(const alps_handle *h, alps_off off,
                                           uint64_t number)
{
    if (off < h->at.heap || off % ALPS_LINE || off >= alps_size_(h))
        return NULL;
    const alps_record *r = (const alps_record *)alps_address_(h, off);
    return r->seq == number && r->epoch == alps_load_(&h->super->epoch) &&
                   r->check == alps_record_check_(h, r)
               ? r
               : NULL;
}

/* The line at `*off`, or where the log goes on from there; `*off` is that place
 * then. NULL: the log ends. */
ALPS_FN_ const alps_record *alps_log_look_(const alps_handle *h, alps_off *off,
                                           uint64_t number)
{
    const alps_record *r = alps_log_line_(h, *off, number);
    if (r && r->op == ALPS_OP_NEXT) {
        *off = r->block;
        r = alps_log_line_(h, *off, number);
    }
    return r && r->op != ALPS_OP_NEXT ? r : NULL;
}

/* The same of the own log, whose lines of actions need not be whole yet. */
ALPS_FN_ alps_record *alps_log_at_(const alps_handle *h, alps_off *off)
{
    alps_record *r = (alps_record *)alps_address_(h, *off);
    if (r->op != ALPS_OP_NEXT)
        return r;
    *off = r->block;
    return (alps_record *)alps_address_(h, *off);
}

/* Makes the line whole. */
ALPS_FN_ void alps_log_seal_(const alps_handle *h, alps_record *r)
{
    r->epoch = alps_load_(&h->super->epoch);
    r->check = alps_record_check_(h, r);
}

/* Writes a line, or what follows one, durably with the next fence. */
ALPS_CORE_ int alps_log_put_(alps_handle *h, alps_off off, const void *line,
                             const alps_tables *t)
{
    return t->policy->stream(&h->map, alps_address_(h, off), line);
}

/* Reserves a chunk: of `bytes`, or less where they are not to be had, but of
 * `least`. */
ALPS_CORE_ int alps_log_reserve_(alps_handle *h, uint64_t bytes, uint64_t least,
                                 alps_log *to, const alps_tables *t)
{
    void *p = NULL;
    for (;; bytes /= 2) {
        to->bytes = bytes < least ? least : bytes / ALPS_LINE * ALPS_LINE;
        int err =
            t->slow(h, ALPS_SLOW_RESERVE, to->bytes, (uint64_t)(uintptr_t)&p);
        if (!err)
            break;
        if (bytes <= least || err != ALPS_EFULL)
            return err;
    }
    to->chunk = alps_offset_(h, p);
    return ALPS_OK;
}

/* Goes on in another chunk, as large as all before it. */
ALPS_CORE_ int alps_log_more_(alps_handle *h, alps_log *log, uint64_t n,
                              uint64_t number, const alps_tables *t)
{
    alps_log to;
    alps_record next;
    uint64_t most =
        h->at.extent / 2 < ALPS_LOG_MOST ? h->at.extent / 2 : ALPS_LOG_MOST;
    uint64_t bytes = log->first ? log->all : ALPS_LOG_FIRST;
    int err = alps_log_reserve_(h, bytes < most ? bytes : most,
                                n + 2 * sizeof next, &to, t);
    if (err)
        return err;
    to.all = log->all + to.bytes;
    *(alps_off *)alps_address_(h, to.chunk) = log->first ? log->chunk : 0;
    to.at = to.chunk + ALPS_LINE;
    to.end = to.chunk + to.bytes - sizeof next;
    to.first = log->first ? log->first : to.at;
    if (log->first) {
        memset(&next, 0, sizeof next);
        next.seq = number;
        next.op = ALPS_OP_NEXT;
        next.block = to.at;
        alps_log_seal_(h, &next);
        err = alps_log_put_(h, log->at, &next, t);
    }
    *log = to;
    return err;
}

/* Sees to room for `n` bytes of lines in one chunk. A line more is always
 * left: that which says where the log goes on. */
ALPS_FAST_ int alps_log_room_(alps_handle *h, alps_log *log, uint64_t n,
                              uint64_t number, const alps_tables *t)
{
    return ALPS_LIKELY_(log->end - log->at >= n)
               ? ALPS_OK
               : alps_log_more_(h, log, n, number, t);
}

/* Gives the chunks back. */
ALPS_CORE_ void alps_log_drop_(alps_handle *h, alps_log *log,
                               const alps_tables *t)
{
    while (log->first && log->chunk) {
        alps_off before = *(const alps_off *)alps_address_(h, log->chunk);
        t->slow(h, ALPS_SLOW_CANCEL, log->chunk, 0);
        log->chunk = before;
    }
    memset(log, 0, sizeof *log);
}
