/* undo.h -- bytes as they were
 *
 * Before a program changes a range by plain stores it is copied to a log, a
 * line in front of it, durably; with the first the lane's mark says so. Whoever
 * ends a transaction that was not committed puts them back, the last first:
 * the first copy of a byte is the one from before. See docs/transactions.md. */
#pragma once
#include "log.h"

/* Bytes behind one line, at most. */
#ifndef ALPS_UNDO_MOST
#  define ALPS_UNDO_MOST 16384u
#endif

/* Whether [off, off + n) is memory of the program: root area or heap. */
ALPS_FN_ int alps_undo_covers_(const alps_handle *h, alps_off off, uint64_t n)
{
    uint64_t end = alps_size_(h);
    if (off < h->at.heap) {
        end = ALPS_PAGE + ALPS_ROOT_SIZE;
        if (off < ALPS_PAGE)
            return 0;
    }
    return off < end && n <= end - off;
}

/* Whether lane `i` has something to undo, unless it is committed. */
ALPS_FN_ int alps_undo_live_(const alps_handle *h, unsigned i)
{
    const alps_record *mark = &h->lanes[i].mark;
    return mark->op == ALPS_OP_UNDO &&
           (mark->seq & ((1u << ALPS_NUMBER_SHIFT_) - 1)) == i &&
           mark->seq >> ALPS_NUMBER_SHIFT_ > alps_load_(&h->done[i].tx) &&
           mark->epoch == alps_load_(&h->super->epoch) &&
           mark->check == alps_record_check_(h, mark);
}

/* The line of bytes at `*off`, if it and they are whole. */
ALPS_FN_ const alps_record *alps_undo_look_(const alps_handle *h, alps_off *off,
                                            uint64_t number)
{
    const alps_record *r = alps_log_look_(h, off, number);
    if (!r || r->op != ALPS_OP_UNDO || r->units > ALPS_UNDO_MOST ||
        r->units > alps_size_(h) - *off - sizeof *r ||
        !alps_undo_covers_(h, r->dest, r->units) ||
        alps_crc32c_(h->crc, 0, r + 1, r->units) != r->crc)
        return NULL;
    return r;
}

/* How far a line reaches with the bytes behind it. */
ALPS_FN_ uint64_t alps_undo_length_(uint64_t n)
{
    return sizeof(alps_record) + alps_round_up_(n, ALPS_LINE);
}

/* Writes back the ranges as they are now. */
ALPS_CORE_ int alps_undo_flush_(alps_handle *h, const alps_draft *o,
                                const alps_tables *t)
{
    int err = ALPS_OK;
    for (alps_off off = o->last; off && !err;) {
        const alps_record *r = (const alps_record *)alps_address_(h, off);
        err = t->policy->flush(&h->map, alps_address_(h, r->dest),
                               (size_t)r->units);
        off = r->block;
    }
    return err;
}

/* Puts the bytes back that the log from `first` on has: durably with the next
 * fence. */
ALPS_CORE_ int alps_undo_restore_(alps_handle *h, alps_off first,
                                  uint64_t number, const alps_tables *t)
{
    const alps_record *r;
    alps_off off = first, last = 0;
    uint64_t n = 0, most = alps_size_(h) / ALPS_LINE;
    int err = ALPS_OK;
    while (n < most && (r = alps_undo_look_(h, &off, number)) != NULL) {
        last = off;
        off += alps_undo_length_(r->units);
        n++;
    }
    while (!err && n-- && (r = alps_undo_look_(h, &last, number)) != NULL) {
        void *to = alps_address_(h, r->dest);
        memcpy(to, r + 1, (size_t)r->units);
        err = t->policy->flush(&h->map, to, (size_t)r->units);
        last = r->block;
    }
    return err;
}

/* Copies up to ALPS_UNDO_MOST bytes to the log. */
ALPS_CORE_ int alps_undo_copy_(alps_handle *h, alps_draft *o, alps_off off,
                               uint64_t n, const alps_tables *t)
{
    alps_record r;
    const unsigned char *from = (const unsigned char *)alps_address_(h, off);
    int err = alps_log_room_(h, &o->undo, alps_undo_length_(n), o->number, t);
    if (err)
        return err;
    memset(&r, 0, sizeof r);
    r.seq = o->number;
    r.op = ALPS_OP_UNDO;
    r.crc = alps_crc32c_(h->crc, 0, from, n);
    r.block = o->last;
    r.units = n;
    r.dest = off;
    alps_log_seal_(h, &r);
    o->last = o->undo.at;
    err = alps_log_put_(h, o->undo.at, &r, t);
    for (uint64_t at = 0; at < n && !err; at += ALPS_LINE) {
        alps_record line;
        memset(&line, 0, sizeof line);
        memcpy(&line, from + at, n - at < ALPS_LINE ? n - at : ALPS_LINE);
        err = alps_log_put_(h, o->undo.at + sizeof r + at, &line, t);
    }
    o->undo.at += alps_undo_length_(n);
    return err;
}

/* The lane says from now on that there is something to undo. */
ALPS_CORE_ int alps_undo_mark_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    alps_record r;
    memset(&r, 0, sizeof r);
    r.seq = o->number;
    r.op = ALPS_OP_UNDO;
    r.block = o->undo.first;
    alps_log_seal_(h, &r);
    return t->policy->stream(&h->map, &o->lane->mark, &r);
}
