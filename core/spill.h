/* spill.h -- what goes before the commit that has it
 *
 * A region that commits all at once, and is larger than its memory: what is
 * dirty and has to go goes to the end of the journal, as a frame of a commit
 * that is not complete, and is found there until it is. The journal may have
 * three versions of a page: one that no commit has, one of the commit under
 * way, one of a durable commit. All of it under the pager's latch, and called
 * from signal handlers. docs/paged.md has the protocol. */
#pragma once
#include "home.h"
#include "transfer.h"

/* Where frames end: what the next one has to fit. */
typedef struct alps_chain {
    uint64_t tail;   /* the place behind the last one */
    uint64_t seq;    /* of the next one */
    uint32_t before; /* crc of the last one */
} alps_chain;

/* A page in the journal, before its commit is durable. */
typedef struct alps_spilled {
    uint32_t place; /* in multiples of ALPS_PAGE */
    uint32_t sum;   /* CRC-32C of its bytes */
} alps_spilled;

typedef struct alps_spill {
    alps_journal *journal; /* or NULL: what is dirty goes home */
    alps_chain end;        /* of all frames, */
    alps_chain cut;        /* and of those of the commit under way */
    uint64_t size;         /* bytes of the region by that one */
    uint64_t begun;        /* what is before was begun to be written */
    uint64_t top;          /* pages from here on are in no version in it */
    uint64_t *fresh;       /* bit: one that no commit has */
    uint64_t *taken;       /* bit: one that the commit under way has */
    alps_spilled *newest;  /* where `fresh` is */
    alps_spilled *held;    /* where `taken` is */
    unsigned char *front;  /* head and table of the frame in the making */
    unsigned char *old;    /* room for ALPS_FRAME_CHUNK_ pages */
    uint64_t bytes;        /* of all this */
    int unsure;            /* 1: a sync has failed, and what it should have made
                              durable is to be written again */
    int lost;              /* the code, if that could not be */
} alps_spill;

/* Where the newest version of a page is. */
enum {
    ALPS_SPILL_HOME_ = 0,
    ALPS_SPILL_DURABLE_ = 1, /* in the journal, durably */
    ALPS_SPILL_SUMMED_ = 2   /* in the journal, with its checksum */
};

/* Makes ready to spill to `j`, for a region of at most `pages`, in segments of
 * so many. */
ALPS_COLD_ int alps_spill_open_(alps_spill *s, alps_journal *j, uint64_t pages,
                                uint64_t segment)
{
    uint64_t words = alps_page_words_(pages);
    uint64_t front = alps_round_up_(
        sizeof(alps_frame_head) + segment * sizeof(alps_frame_page), ALPS_PAGE);
    uint64_t sets = alps_round_up_(2 * words * 8, ALPS_PAGE);
    uint64_t places = alps_round_up_(pages * sizeof(alps_spilled), ALPS_PAGE);
    memset(s, 0, sizeof *s);
    s->bytes =
        sets + 2 * places + front + ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
    void *p = mmap(NULL, (size_t)s->bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
    unsigned char *at = (unsigned char *)p;
    s->fresh = (uint64_t *)p;
    s->taken = s->fresh + words;
    s->newest = (alps_spilled *)(void *)(at + sets);
    s->held = (alps_spilled *)(void *)(at + sets + places);
    s->front = at + sets + 2 * places;
    s->old = s->front + front;
    s->end.tail = s->begun = j->tail;
    s->end.seq = j->seq;
    s->end.before = j->before;
    s->cut = s->end;
    s->top = j->size / ALPS_PAGE + 1;
    s->journal = j;
    return ALPS_OK;
}

ALPS_COLD_ void alps_spill_close_(alps_spill *s)
{
    if (s->journal)
        munmap(s->fresh, (size_t)s->bytes);
    memset(s, 0, sizeof *s);
}

/* Where the newest version of the page is: ALPS_SPILL_.... */
ALPS_FN_ int alps_spill_where_(const alps_spill *s, uint64_t page,
                               alps_spilled *at)
{
    const alps_journal *j = s->journal;
    at->place = at->sum = 0;
    if (alps_page_in_(s->fresh, page)) {
        *at = s->newest[page];
        return ALPS_SPILL_SUMMED_;
    }
    if (alps_page_in_(s->taken, page)) {
        *at = s->held[page];
        return ALPS_SPILL_SUMMED_;
    }
    if (!alps_page_in_(j->here, page))
        return ALPS_SPILL_HOME_;
    at->place = j->place[page];
    return ALPS_SPILL_DURABLE_;
}

/* Whether `n` pages at `bytes`, from number `page` on, are those that were
 * spilled. */
ALPS_COLD_ int alps_spill_same_(const alps_spill *s, const unsigned char *bytes,
                                uint64_t page, uint64_t n)
{
    alps_spilled at;
    for (uint64_t i = 0; i < n; i++)
        if (alps_spill_where_(s, page + i, &at) == ALPS_SPILL_SUMMED_ &&
            alps_crc32c_(s->journal->crc, 0, bytes + i * ALPS_PAGE,
                         ALPS_PAGE) != at.sum)
            return 0;
    return 1;
}

/* Pages [page, page + n) as they are at home are at `to`: those of which the
 * journal has a newer version are read over them. ALPS_EIO: one is not what was
 * spilled. */
ALPS_COLD_ int alps_spill_load_(const alps_spill *s, unsigned char *to,
                                uint64_t page, uint64_t n, alps_paging *count)
{
    for (uint64_t i = 0, k = 1; i < n; i += k, k = 1) {
        alps_spilled at, next;
        int where = alps_spill_where_(s, page + i, &at);
        if (where == ALPS_SPILL_HOME_)
            continue;
        while (i + k < n &&
               alps_spill_where_(s, page + i + k, &next) == where &&
               next.place == at.place + k)
            k++;
        unsigned char *into = to + i * ALPS_PAGE;
        int err = alps_transfer_read_(s->journal->fd, into, k * ALPS_PAGE,
                                      (uint64_t)at.place * ALPS_PAGE, count);
        if (err)
            return err;
        if (!alps_spill_same_(s, into, page + i, k)) {
            count->failed++;
            return ALPS_EIO;
        }
    }
    return ALPS_OK;
}

ALPS_FN_ alps_frame_page *alps_spill_table_(const alps_spill *s)
{
    return (alps_frame_page *)(void *)(s->front + sizeof(alps_frame_head));
}

/* A page of this number with these bytes is the next one of the frame in the
 * making, which has `n`. */
ALPS_FN_ void alps_spill_add_(const alps_spill *s, uint64_t n, uint64_t page,
                              const unsigned char *bytes)
{
    alps_frame_page *entry = &alps_spill_table_(s)[n];
    entry->page = page;
    entry->crc = alps_crc32c_(s->journal->crc, 0, bytes, ALPS_PAGE);
    entry->opens = s->journal->opens;
}

/* Writes the pages of the table to the journal from page `to` on; `bytes` is
 * where page number `first` is. */
ALPS_COLD_ int alps_spill_pages_(const alps_spill *s,
                                 const unsigned char *bytes, uint64_t first,
                                 uint64_t n, uint64_t to, alps_paging *count)
{
    const alps_frame_page *table = alps_spill_table_(s);
    int err = ALPS_OK;
    for (uint64_t i = 0, k = 1; !err && i < n; i += k, k = 1) {
        while (i + k < n && table[i + k].page == table[i].page + k)
            k++;
        err = alps_transfer_write_(s->journal->fd,
                                   bytes + (table[i].page - first) * ALPS_PAGE,
                                   k * ALPS_PAGE, (to + i) * ALPS_PAGE, count);
    }
    return err;
}

/* Begins to have it written, a stretch at a time; nothing is durable by it. */
ALPS_COLD_ void alps_spill_begin_(alps_spill *s)
{
    if (s->end.tail - s->begun < (uint64_t)1 << 20)
        return;
    ALPS_PAGED_BEGIN(s->journal->fd, s->begun, s->end.tail - s->begun);
    s->begun = s->end.tail;
}

/* Writes the frame of the `n` pages in the table; `bytes` is where page number
 * `first` is. With `last` all frames so far are a commit. Where it fails, it is
 * as if it had not been tried. */
ALPS_COLD_ int alps_spill_frame_(alps_spill *s, const unsigned char *bytes,
                                 uint64_t first, uint64_t n, uint64_t size,
                                 int last, alps_paging *count)
{
    const alps_journal *j = s->journal;
    const alps_frame_page *table = alps_spill_table_(s);
    alps_frame_head *head = (alps_frame_head *)(void *)s->front;
    uint64_t used = sizeof *head + n * sizeof *table;
    uint64_t front = alps_round_up_(used, ALPS_PAGE);
    memset(head, 0, sizeof *head);
    memset(s->front + used, 0, (size_t)(front - used));
    head->magic = ALPS_FRAME_MAGIC_;
    head->salt = j->salt;
    head->seq = s->end.seq;
    head->size = size;
    head->count = n;
    head->last = last != 0;
    head->before = s->end.before;
    head->table = alps_crc32c_(j->crc, 0, table, n * sizeof *table);
    head->first = (uint32_t)(front / ALPS_PAGE);
    head->crc = alps_frame_sum_(j, head);
    uint64_t place = s->end.tail / ALPS_PAGE + head->first;
    uint64_t end = (place + n) * ALPS_PAGE;
    int err = place + n > UINT32_MAX ? ALPS_ENOSPC : alps_fd_limit_(end);
    if (!err)
        err = alps_spill_pages_(s, bytes, first, n, place, count);
    if (!err)
        err = alps_transfer_write_(j->fd, s->front, front, s->end.tail, count);
    if (err)
        return err;
    for (uint64_t i = 0; i < n; i++) {
        alps_page_add_(s->fresh, table[i].page);
        alps_page_add_(j->known, table[i].page);
        s->newest[table[i].page].place = (uint32_t)(place + i);
        s->newest[table[i].page].sum = table[i].crc;
        if (s->top <= table[i].page)
            s->top = table[i].page + 1;
    }
    s->end.tail = end;
    s->end.seq++;
    s->end.before = head->crc;
    alps_spill_begin_(s);
    return ALPS_OK;
}

/* All that is spilled is the commit under way, of a region of `size` bytes. */
ALPS_COLD_ int alps_spill_cut_(alps_spill *s, uint64_t size, alps_paging *count)
{
    alps_journal *j = s->journal;
    uint64_t page = 0;
    int err = ALPS_OK;
    if (s->end.tail != j->tail)
        err = alps_spill_frame_(s, NULL, 0, 0, size, 1, count);
    if (err)
        return err;
    if (s->end.tail - j->tail <= ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE)
        alps_journal_ahead_(j, s->end.tail);
    while ((page = alps_page_next_(s->fresh, page, s->top)) < s->top) {
        alps_page_add_(s->taken, page);
        s->held[page] = s->newest[page];
        page++;
    }
    alps_pages_clear_(s->fresh, s->top);
    s->cut = s->end;
    s->size = size;
    return ALPS_OK;
}

/* The commit under way is durable; or is not, and is part of the next. */
ALPS_COLD_ void alps_spill_settle_(alps_spill *s, int durable)
{
    alps_journal *j = s->journal;
    uint64_t page = 0;
    while ((page = alps_page_next_(s->taken, page, s->top)) < s->top) {
        if (durable) {
            alps_page_add_(j->here, page);
            j->place[page] = s->held[page].place;
        } else if (!alps_page_in_(s->fresh, page)) {
            alps_page_add_(s->fresh, page);
            s->newest[page] = s->held[page];
        }
        page++;
    }
    alps_pages_clear_(s->taken, s->top);
    if (!durable)
        return;
    j->tail = s->cut.tail;
    j->seq = s->cut.seq;
    j->before = s->cut.before;
    j->size = s->size;
}

/* All is at home, and the durable head of the journal says that it begins where
 * the last commit ends. Where nothing was spilled behind it, it begins anew:
 * its next head, with the next commit, says so. Answers whether it does. */
ALPS_COLD_ int alps_spill_anew_(alps_spill *s)
{
    alps_journal *j = s->journal;
    if (s->end.tail != j->tail)
        return 0;
    j->salt = alps_random_();
    j->start = j->tail = s->end.tail = s->begun = ALPS_PAGE;
    j->before = s->end.before = 0;
    j->headed = 0;
    return 1;
}
