/* home.h -- frames written, pages brought home
 *
 * What goes into a journal and what comes out of it; docs/checkpoint.md has the
 * order, and why it is enough. */
#pragma once
#include "journal.h"
#include "lease.h"

/* A frame that is being written. */
typedef struct alps_frame {
    uint64_t at; /* where in the journal */
    alps_frame_head head;
    unsigned n; /* pages that wait to be written at once */
    int small;  /* 1: head, table and pages are, at the end */
    alps_frame_page table[ALPS_FRAME_CHUNK_];
} alps_frame;

/* A frame for at most `most` pages of a region of `size` bytes. */
ALPS_COLD_ void alps_frame_begin_(alps_journal *j, alps_frame *f, uint64_t most,
                                  uint64_t size)
{
    uint64_t front = sizeof f->head + most * sizeof(alps_frame_page);
    memset(&f->head, 0, sizeof f->head);
    f->at = j->tail;
    j->front = 0;
    f->n = 0;
    f->small = most <= ALPS_FRAME_CHUNK_;
    f->head.magic = ALPS_FRAME_MAGIC_;
    f->head.salt = j->salt;
    f->head.seq = j->seq;
    f->head.size = size;
    f->head.before = j->before;
    f->head.first = (uint32_t)((front + ALPS_PAGE - 1) / ALPS_PAGE);
}

/* Writes the pages that wait, and their part of the table. */
ALPS_COLD_ int alps_frame_flush_(const alps_journal *j, alps_frame *f)
{
    uint64_t n = f->n, done = f->head.count;
    int err = ALPS_OK;
    if (!n)
        return ALPS_OK;
    if (!f->small)
        err = alps_fd_write_(j->fd, j->bytes, n * ALPS_PAGE,
                             f->at + (f->head.first + done) * ALPS_PAGE);
    if (!f->small && !err)
        err = alps_fd_write_(j->fd, f->table, n * sizeof *f->table,
                             f->at + sizeof f->head + done * sizeof *f->table);
    if (err)
        return err;
    f->head.table =
        alps_crc32c_(j->crc, f->head.table, f->table, n * sizeof *f->table);
    f->head.count += n;
    f->n = 0;
    return ALPS_OK;
}

/* Whether the page holds what was last committed, or is at home. */
ALPS_COLD_ int alps_home_same_(const alps_map *m, uint64_t page,
                               const unsigned char *bytes)
{
    const alps_journal *j = m->journal;
    unsigned char *old = j->bytes + ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
    int here = alps_page_in_(j->here, page);
    int err = here ? alps_fd_read_(j->fd, old, ALPS_PAGE,
                                   j->place[page] * (uint64_t)ALPS_PAGE)
                   : alps_medium_read_(m, old, ALPS_PAGE, page * ALPS_PAGE);
    return !err && !memcmp(old, bytes, ALPS_PAGE);
}

/* Whether a page that is due may be as it was. */
ALPS_FN_ int alps_home_candidate_(const alps_journal *j, uint64_t page)
{
    return j->way == ALPS_DIRTY_PAGEMAP || j->way == ALPS_DIRTY_COMPARE ||
           (j->way == ALPS_DIRTY_PROTECT && page < j->filed);
}

/* Adds the pages of `set` below `end`; but those that hold zeroes and were
 * never anything else, and candidates that are as they were. */
ALPS_COLD_ int alps_frame_add_(const alps_map *m, alps_frame *f,
                               const uint64_t *set, uint64_t end)
{
    alps_journal *j = m->journal;
    uint64_t page = alps_page_next_(set, 0, end), looked = 0;
    for (; page < end; page = alps_page_next_(set, page + 1, end)) {
        unsigned char *to = j->bytes + f->n * (uint64_t)ALPS_PAGE;
        looked++;
        int zero = alps_page_take_(to, m->base + page * ALPS_PAGE);
        if (zero && !alps_page_in_(j->known, page))
            continue;
        if (alps_home_candidate_(j, page) && alps_home_same_(m, page, to))
            continue;
        alps_page_add_(j->known, page);
        f->table[f->n].page = page;
        f->table[f->n].crc = alps_crc32c_(j->crc, 0, to, ALPS_PAGE);
        f->table[f->n].opens = j->opens;
        if (++f->n < ALPS_FRAME_CHUNK_)
            continue;
        int err = alps_frame_flush_(j, f);
        if (err)
            return err;
        alps_progress_step_(&j->telling, looked * ALPS_PAGE);
        looked = 0;
    }
    int err = alps_frame_flush_(j, f);
    if (!err)
        alps_progress_step_(&j->telling, looked * ALPS_PAGE);
    return err;
}

/* Writes a small frame. */
ALPS_COLD_ int alps_frame_write_(alps_journal *j, const alps_frame *f)
{
    unsigned char *front = j->bytes - ALPS_PAGE;
    ALPS_STATIC_ASSERT_(sizeof f->head + sizeof f->table <= ALPS_PAGE, "page");
    memset(front, 0, ALPS_PAGE);
    memcpy(front, &f->head, sizeof f->head);
    memcpy(front + sizeof f->head, f->table, f->head.count * sizeof *f->table);
    j->front = f->at;
    return alps_fd_write_(j->fd, front, (1 + f->head.count) * ALPS_PAGE, f->at);
}

/* Ends the frame; with `last` the commit is complete. */
ALPS_COLD_ int alps_frame_end_with_(alps_journal *j, alps_frame *f, int last)
{
    f->head.last = last != 0;
    f->head.crc = alps_frame_sum_(j, &f->head);
    int err = f->small ? alps_frame_write_(j, f)
                       : alps_fd_write_(j->fd, &f->head, sizeof f->head, f->at);
    if (err)
        return err;
    j->tail = alps_frame_end_(f->at, &f->head);
    if (f->small)
        alps_journal_ahead_(j, j->tail);
    j->seq++;
    j->before = f->head.crc;
    return ALPS_OK;
}

/* Pages [page, page + answer) lie one after the other in the journal, too. */
ALPS_FN_ uint64_t alps_home_run_(const alps_journal *j, uint64_t page,
                                 uint64_t end)
{
    uint64_t n = 1;
    while (n < ALPS_FRAME_CHUNK_ && page + n < end &&
           alps_page_in_(j->here, page + n) &&
           j->place[page + n] == j->place[page] + n)
        n++;
    return n;
}

/* Copies the newest version of each page to the files of the region, or to any
 * other. */
ALPS_COLD_ int alps_home_copy_(alps_journal *j, const alps_map *to)
{
    uint64_t end = j->size / ALPS_PAGE + (j->size % ALPS_PAGE != 0), n;
    alps_progress_add_(&j->telling,
                       alps_pages_count_(j->here, end) * ALPS_PAGE);
    uint64_t page = alps_page_next_(j->here, 0, end);
    for (; page < end; page = alps_page_next_(j->here, page + n, end)) {
        n = alps_home_run_(j, page, end);
        uint64_t off = page * ALPS_PAGE, k = n * ALPS_PAGE;
        if (off + k > j->size)
            k = j->size - off; // the region ends inside its last page
        int err = alps_fd_read_(j->fd, j->bytes, k,
                                (uint64_t)j->place[page] * ALPS_PAGE);
        if (!err)
            err = alps_medium_write_(to, j->bytes, k, off);
        if (err)
            return err;
        alps_progress_step_(&j->telling, n * ALPS_PAGE);
    }
    return ALPS_OK;
}

/* The files have room for all that the journal says. */
ALPS_COLD_ int alps_home_room_(const alps_map *m)
{
    uint64_t length = 0, size = m->journal->size;
    int err = alps_medium_length_(m, &length);
    return err || length >= size ? err : alps_medium_grow_(m, length, size);
}

/* Bytes [off, off + n), whole pages, are not needed at home when a commit that
 * knows it has come. */
ALPS_COLD_ void alps_home_gone_(const alps_journal *j, uint64_t off, uint64_t n)
{
    uint64_t end = (off + n) / ALPS_PAGE;
    for (uint64_t page = off / ALPS_PAGE; page < end && page < j->pages; page++)
        __atomic_fetch_or(&j->gone[page / 64], 1ull << (page % 64),
                          __ATOMIC_RELAXED);
}

/* Nor by the process from now on. */
ALPS_COLD_ int alps_home_give_(const alps_map *m, uint64_t off, uint64_t n)
{
    alps_home_gone_(m->journal, off, n);
    if (n && madvise(m->base + off, (size_t)n, MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* They are needed again. */
ALPS_COLD_ void alps_home_keep_(const alps_map *m, uint64_t off, uint64_t n)
{
    alps_journal *j = m->journal;
    // a commit that fails moves them back
    uint64_t *const sets[] = {j->gone, j->going, j->hole, j->gone};
    uint64_t end = (off + n) / ALPS_PAGE;
    for (uint64_t page = off / ALPS_PAGE; page < end && page < j->pages; page++)
        for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++)
            alps_page_drop_(sets[i], page);
}

/* Punches what the last durable commit does not need, also what has just come
 * home. A file system that cannot keeps the blocks. */
ALPS_COLD_ void alps_home_punch_(alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t end = m->size / ALPS_PAGE, n;
    uint64_t page = alps_page_next_(j->hole, 0, end);
    for (; page < end; page = alps_page_next_(j->hole, page + n, end)) {
        for (n = 1; page + n < end && alps_page_in_(j->hole, page + n);)
            n++;
        alps_medium_punch_(m, page * ALPS_PAGE, n * ALPS_PAGE);
    }
    alps_pages_clear_(j->hole, j->pages);
}

/* How free pages are given back, and the journal is emptied, when all is at
 * home. */
typedef void alps_home_punching(alps_map *m);
typedef int alps_home_emptying(alps_map *m);

/* Brings all that was committed home, and then empties the journal. ALPS_EBUSY:
 * a reader is there. */
ALPS_FAST_ int alps_home_carry_(alps_map *m, alps_home_punching *punch,
                                alps_home_emptying *empty)
{
    int err = alps_home_lock_(m->fd, F_WRLCK, 0);
    if (err)
        return err;
    err = alps_home_room_(m);
    if (!err)
        err = alps_home_copy_(m->journal, m);
    if (!err)
        punch(m);
    if (!err)
        err = alps_medium_sync_data_(m);
    if (!err)
        err = empty(m);
    alps_home_lock_(m->fd, F_UNLCK, 0);
    return err;
}

ALPS_COLD_ int alps_home_empty_(alps_map *m)
{
    alps_journal *j = m->journal;
    alps_pages_clear_(j->here, j->size / ALPS_PAGE + 1);
    int err = alps_journal_restart_(j, alps_random_());
    if (!err)
        alps_journal_shorten_(j);
    return err;
}

/* The same where nobody spills meanwhile. */
ALPS_COLD_ int alps_home_come_(alps_map *m)
{
    const alps_journal *j = m->journal;
    return j->fd < 0 || j->tail == j->start
               ? ALPS_OK
               : alps_home_carry_(m, alps_home_punch_, alps_home_empty_);
}

/* What a mapping that nobody else sees has to have on top of the file. */
ALPS_COLD_ int alps_home_overlay_(const alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t end = (m->size + ALPS_PAGE - 1) / ALPS_PAGE, n;
    if (!j->size)
        return ALPS_OK;
    uint64_t page = alps_page_next_(j->here, 0, end);
    for (; page < end; page = alps_page_next_(j->here, page + n, end)) {
        n = alps_home_run_(j, page, end);
        int err =
            alps_fd_read_(j->fd, m->base + page * ALPS_PAGE, n * ALPS_PAGE,
                          (uint64_t)j->place[page] * ALPS_PAGE);
        if (err)
            return err;
    }
    return ALPS_OK;
}
