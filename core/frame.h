/* frame.h -- what a journal has: its bytes, and what they say
 *
 * Frames, one behind the other, each with the checksum of the one before it: so
 * what is there of them is there from the first on. docs/checkpoint.md. */
#pragma once
#include "descriptor.h"
#include "page.h"
#include "progress.h"

#define ALPS_JOURNAL_MAGIC_ 0x4c4e524a53504c41ull /* "ALPSJRNL" */
#define ALPS_FRAME_MAGIC_ 0x4d41524653504c41ull   /* "ALPSFRAM" */

/* Where the superblock has what is needed before the region is looked at. */
#define ALPS_HOME_MAGIC_ 0x5041454853504c41ull
#define ALPS_HOME_LIMIT_ 32u
#define ALPS_HOME_MARK_ 320u

/* The first sector of a journal. */
typedef struct alps_journal_head {
    uint64_t magic;
    uint64_t id;     /* what the region's superblock says as well */
    uint64_t salt;   /* of the frames that count */
    uint64_t seq;    /* of the first of them, */
    uint64_t start;  /* where it is, */
    uint32_t before; /* and what it has there */
    uint32_t crc;    /* CRC-32C of the above */
    uint32_t line_[4];
} alps_journal_head;
ALPS_STATIC_ASSERT_(sizeof(alps_journal_head) == ALPS_LINE, "line");

/* The first line of a frame. */
typedef struct alps_frame_head {
    uint64_t magic;
    uint64_t salt;
    uint64_t seq;
    uint64_t size;   /* bytes of the region */
    uint64_t count;  /* of its pages */
    uint32_t last;   /* 1: the commit is complete */
    uint32_t before; /* crc of the frame before; 0: there is none */
    uint32_t table;  /* CRC-32C of the table */
    uint32_t first;  /* pages from the frame's first byte to its first page */
    uint32_t crc;    /* CRC-32C of the above */
    uint32_t unused;
} alps_frame_head;
ALPS_STATIC_ASSERT_(sizeof(alps_frame_head) == ALPS_LINE, "line");

/* One page of a frame; the table of them follows the head. */
typedef struct alps_frame_page {
    uint64_t page;
    uint32_t crc;   /* CRC-32C of its bytes */
    uint32_t opens; /* the number of the opening that wrote it */
} alps_frame_page;
ALPS_STATIC_ASSERT_(sizeof(alps_frame_page) == 16, "size");

/* Pages copied, summed and written at once. */
#define ALPS_FRAME_CHUNK_ 32u

/* Bytes of what a process knows: of a journal, and with it for 64 pages. */
#define ALPS_JOURNAL_BYTES_ \
  (ALPS_PAGE + (ALPS_FRAME_CHUNK_ + 3) * (uint64_t)ALPS_PAGE)
#define ALPS_JOURNAL_64_ (8 * 8 + 64 * 4)

/* What a process knows of a journal. In memory that a clone of the process
 * shares. */
typedef struct alps_journal {
    int fd;  /* or -1: there is none yet */
    int dir; /* the directory it is in */
    char name[272];
    unsigned crc; /* how checksums are computed */
    uint64_t id, salt;
    uint64_t start; /* where the first frame is */
    uint32_t opens; /* a random number: this opening's */
    uint64_t seq;   /* of the next frame */
    uint64_t tail;  /* where it goes */
    uint64_t front; /* where the frame is whose first page is in memory, or 0 */
    uint64_t filled; /* bytes of the file that were written to, once */
    uint32_t before; /* crc of the last one */
    int headed;      /* its head is durable; else no frame may follow it */
    int marked;      /* the superblock names it */
    int lost;        /* the superblock names one that is not here */
    uint64_t size;   /* bytes of the region by the last commit, or 0 */
    uint64_t filed;  /* pages from the first on that are mapped from the file */
    uint64_t pages;  /* what follows has room for; 0: is not there yet */
    uint64_t *due;   /* bit: a page to be committed */
    uint64_t *again; /* bit: one that was stored to while it was copied */
    uint64_t *later; /* bit: one that was stored to behind a clone */
    uint64_t *known; /* bit: one that may be other than zeroes on the medium */
    uint64_t *here;  /* bit: one whose newest version is in the journal */
    uint64_t *gone;  /* bit: one that is not needed any more, */
    uint64_t *going; /* by the commit under way, */
    uint64_t *hole;  /* by one that is durable: it may be punched at home */
    uint32_t *place; /* where `here` is, in multiples of ALPS_PAGE */
    unsigned way;    /* ALPS_DIRTY_...: how stores are found */
    int uffd;        /* descriptors for that, or -1 */
    int pagemap;
    int stop[2];                /* a pipe: a byte in it ends a thread, */
    pthread_t lifter;           /* this one, see protect.h, */
    pid_t owner;                /* of this process */
    unsigned go;                /* what a clone waits for, see checkpoint.h */
    unsigned half;              /* 1: a commit was begun and is to be ended */
    uint64_t was_tail, was_seq; /* what it puts back if it fails */
    uint32_t was_before;
    pthread_mutex_t turn; /* of who commits */
    uint64_t begun;       /* commits that were begun */
    uint64_t done;        /* the last that was completed */
    alps_telling telling; /* of the commit under way */
    unsigned char *bytes; /* room for ALPS_FRAME_CHUNK_ pages, one before them,
                             and two behind, of which the last is zero */
} alps_journal;
ALPS_STATIC_ASSERT_(sizeof(alps_journal) <= ALPS_PAGE, "size");

ALPS_FN_ uint32_t alps_journal_sum_(const alps_journal *j,
                                    const alps_journal_head *head)
{
    return alps_crc32c_(j->crc, 0, head, offsetof(alps_journal_head, crc));
}

ALPS_FN_ uint32_t alps_frame_sum_(const alps_journal *j,
                                  const alps_frame_head *head)
{
    return alps_crc32c_(j->crc, 0, head, offsetof(alps_frame_head, crc));
}

/* The head of the frame at `at`, if it follows on what was read so far. */
ALPS_COLD_ int alps_frame_head_(const alps_journal *j, uint64_t at,
                                uint64_t seq, uint32_t before,
                                alps_frame_head *head)
{
    int err = alps_fd_read_(j->fd, head, sizeof *head, at);
    if (err)
        return err;
    if (head->magic != ALPS_FRAME_MAGIC_ || head->salt != j->salt ||
        head->seq != seq || head->before != before ||
        head->crc != alps_frame_sum_(j, head))
        return ALPS_ECORRUPT;
    uint64_t room = (uint64_t)head->first * ALPS_PAGE - sizeof *head;
    return head->count > room / sizeof(alps_frame_page) ||
                   head->size > j->pages * ALPS_PAGE
               ? ALPS_ECORRUPT
               : ALPS_OK;
}

ALPS_FN_ uint64_t alps_frame_end_(uint64_t at, const alps_frame_head *head)
{
    return at + (head->first + head->count) * ALPS_PAGE;
}

/* Whether the table of the frame at `at` and all its pages are as they were
 * written. */
ALPS_COLD_ int alps_frame_check_(const alps_journal *j, uint64_t at,
                                 const alps_frame_head *head)
{
    alps_frame_page table[ALPS_FRAME_CHUNK_];
    unsigned char bytes[ALPS_PAGE];
    uint32_t sum = 0;
    for (uint64_t i = 0; i < head->count; i++) {
        uint64_t k = i % ALPS_FRAME_CHUNK_, n = head->count - i;
        if (n > ALPS_FRAME_CHUNK_)
            n = ALPS_FRAME_CHUNK_;
        int err = ALPS_OK;
        if (!k) {
            err = alps_fd_read_(j->fd, table, n * sizeof *table,
                                at + sizeof *head + i * sizeof *table);
            sum = alps_crc32c_(j->crc, sum, table, n * sizeof *table);
        }
        if (!err)
            err = alps_fd_read_(j->fd, bytes, ALPS_PAGE,
                                at + (head->first + i) * ALPS_PAGE);
        if (err)
            return err;
        if (table[k].page >= j->pages ||
            alps_crc32c_(j->crc, 0, bytes, ALPS_PAGE) != table[k].crc)
            return ALPS_ECORRUPT;
    }
    return sum == head->table ? ALPS_OK : ALPS_ECORRUPT;
}

/* Bytes [off, off + n) of the frame at `at`, of its head and table: from memory
 * if it is the one that was written last. */
ALPS_COLD_ int alps_frame_read_(const alps_journal *j, void *to, uint64_t n,
                                uint64_t at, uint64_t off)
{
    if (at != j->front || off + n > ALPS_PAGE)
        return alps_fd_read_(j->fd, to, n, at + off);
    memcpy(to, j->bytes - ALPS_PAGE + off, (size_t)n);
    return ALPS_OK;
}

/* The frames in [from, to) are durable: their pages are here. */
ALPS_COLD_ int alps_journal_note_(alps_journal *j, uint64_t from, uint64_t to)
{
    alps_frame_head head;
    alps_frame_page table[ALPS_FRAME_CHUNK_];
    while (from < to) {
        int err = alps_frame_read_(j, &head, sizeof head, from, 0);
        for (uint64_t i = 0; !err && i < head.count; i++) {
            uint64_t k = i % ALPS_FRAME_CHUNK_, n = head.count - i;
            if (n > ALPS_FRAME_CHUNK_)
                n = ALPS_FRAME_CHUNK_;
            if (!k)
                err = alps_frame_read_(j, table, n * sizeof *table, from,
                                       sizeof head + i * sizeof *table);
            if (err)
                break;
            alps_page_add_(j->here, table[k].page);
            j->place[table[k].page] =
                (uint32_t)(from / ALPS_PAGE + head.first + i);
        }
        if (err)
            return err;
        j->size = head.size;
        from = alps_frame_end_(from, &head);
    }
    return ALPS_OK;
}

/* Reads what the journal says: the commits that are complete. */
ALPS_COLD_ int alps_journal_read_(alps_journal *j)
{
    alps_frame_head head;
    uint64_t at = j->start, seq = j->seq;
    uint32_t before = j->before;
    int err;
    j->tail = at;
    while (!(err = alps_frame_head_(j, at, seq, before, &head)) &&
           !(err = alps_frame_check_(j, at, &head))) {
        at = alps_frame_end_(at, &head);
        before = head.crc;
        seq++;
        if (head.last) {
            j->tail = at;
            j->seq = seq;
            j->before = before;
        }
    }
    if (err != ALPS_ECORRUPT && err != ALPS_ETRUNCATED)
        return err;
    return alps_journal_note_(j, j->start, j->tail);
}
