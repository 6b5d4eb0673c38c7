/* journal.h -- commits, beside the region, until their pages come home
 *
 * A commit is one or more frames at the end of a file beside the region's: page
 * numbers, checksums, pages. It is there as a whole or not at all, by checksums
 * and not by order, so that one fdatasync makes it durable. The newest version
 * of each page comes home later, for many commits at once. docs/checkpoint.md
 * has the bytes, and why no crash can leave part of a commit. */
#pragma once
#include "medium.h"
#include "page.h"

/* Pages come home when the journal is longer than this, in bytes. A longer one
 * means fewer writes of a page that many commits change, and more to read after
 * a crash. */
#ifndef ALPS_JOURNAL_MAX
#  define ALPS_JOURNAL_MAX ((uint64_t)16 << 20)
#endif

#define ALPS_JOURNAL_MAGIC_ 0x4c4e524a53504c41ull /* "ALPSJRNL" */
#define ALPS_FRAME_MAGIC_ 0x4d41524653504c41ull   /* "ALPSFRAM" */

/* Where the superblock has what is needed before the region is looked at. */
#define ALPS_HOME_MAGIC_ 0x5041454853504c41ull
#define ALPS_HOME_LIMIT_ 32u
#define ALPS_HOME_MARK_ 320u

/* The first sector of a journal. */
typedef struct alps_journal_head {
    uint64_t magic;
    uint64_t id;   /* what the region's superblock says as well */
    uint64_t salt; /* of the frames that count */
    uint64_t seq;  /* of the first of them */
    uint32_t crc;  /* CRC-32C of the above */
    uint32_t line_[7];
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
    uint32_t crc; /* CRC-32C of its bytes */
    uint32_t unused;
} alps_frame_page;
ALPS_STATIC_ASSERT_(sizeof(alps_frame_page) == 16, "size");

/* Pages copied, summed and written at once. */
#define ALPS_FRAME_CHUNK_ 32u

/* Bytes of what a process knows: of a journal, and with it for 64 pages. */
#define ALPS_JOURNAL_BYTES_ \
  (ALPS_PAGE + (ALPS_FRAME_CHUNK_ + 1) * (uint64_t)ALPS_PAGE)
#define ALPS_JOURNAL_64_ (8 * 8 + 64 * 4)

/* What a process knows of a journal. In memory that a clone of the process
 * shares. */
typedef struct alps_journal {
    int fd;  /* or -1: there is none yet */
    int dir; /* the directory it is in */
    char name[272];
    unsigned crc; /* how checksums are computed */
    uint64_t id, salt;
    uint64_t seq;    /* of the next frame */
    uint64_t tail;   /* where it goes */
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
    unsigned char *bytes; /* room for ALPS_FRAME_CHUNK_ pages, and one */
} alps_journal;
ALPS_STATIC_ASSERT_(sizeof(alps_journal) <= ALPS_PAGE, "size");

/* Memory that a clone of the process shares, zeroed, lent when touched. */
ALPS_COLD_ void *alps_shared_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Makes room for what is known of `pages` pages. */
ALPS_COLD_ int alps_journal_room_(alps_journal *j, uint64_t pages)
{
    if (j->pages)
        return pages <= j->pages ? ALPS_OK : ALPS_EINVAL;
    j->pages = pages;
    uint64_t words = alps_page_words_(j->pages);
    uint64_t *p = (uint64_t *)alps_shared_memory_(words * ALPS_JOURNAL_64_);
    if (!p) {
        j->pages = 0;
        return ALPS_ENOMEM;
    }
    j->due = p;
    j->again = p + words;
    j->later = p + 2 * words;
    j->known = p + 3 * words;
    j->here = p + 4 * words;
    j->gone = p + 5 * words;
    j->going = p + 6 * words;
    j->hole = p + 7 * words;
    j->place = (uint32_t *)(void *)(p + 8 * words);
    return ALPS_OK;
}

/* Finds out where the journal of the file behind `fd` would be. */
ALPS_COLD_ int alps_journal_name_(alps_journal *j, int fd, const char *path)
{
    char dir[4096];
    int err = alps_fd_path_(fd, path, dir);
    if (err)
        return err;
    char *slash = strrchr(dir, '/');
    const char *last = slash ? slash + 1 : dir;
    size_t n = strlen(last);
    if (n > 255 - strlen(".journal"))
        return ALPS_EINVAL;
    memcpy(j->name, last, n);
    memcpy(j->name + n, ".journal", sizeof ".journal");
    if (slash)
        slash[1] = 0;
    else
        strcpy(dir, ".");
    j->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
    return j->dir < 0 ? alps_oserror_() : ALPS_OK;
}

/* The region is made anew: what the journal says does not matter any more. */
ALPS_COLD_ void alps_journal_drop_(alps_journal *j)
{
    if (j->pages)
        munmap(j->due, (size_t)(alps_page_words_(j->pages) * ALPS_JOURNAL_64_));
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
    j->pages = j->size = 0;
    j->tail = ALPS_PAGE;
    j->lost = j->marked = 0;
}

/* Forgets the journal; the file stays as it is. Nothing is stored: in the child
 * of a fork this is the parent's memory as well. */
ALPS_COLD_ void alps_journal_close_(alps_map *m)
{
    alps_journal *j = m->journal;
    if (!j)
        return;
    if (j->pages)
        munmap(j->due, (size_t)(alps_page_words_(j->pages) * ALPS_JOURNAL_64_));
    int fds[] = {j->fd, j->dir, j->uffd, j->pagemap, j->stop[0], j->stop[1]};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    munmap(j, (size_t)ALPS_JOURNAL_BYTES_);
    m->journal = NULL;
}

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

/* The frames in [from, to) are durable: their pages are here. */
ALPS_COLD_ int alps_journal_note_(alps_journal *j, uint64_t from, uint64_t to)
{
    alps_frame_head head;
    alps_frame_page table[ALPS_FRAME_CHUNK_];
    while (from < to) {
        int err = alps_fd_read_(j->fd, &head, sizeof head, from);
        for (uint64_t i = 0; !err && i < head.count; i++) {
            uint64_t k = i % ALPS_FRAME_CHUNK_, n = head.count - i;
            if (n > ALPS_FRAME_CHUNK_)
                n = ALPS_FRAME_CHUNK_;
            if (!k)
                err = alps_fd_read_(j->fd, table, n * sizeof *table,
                                    from + sizeof head + i * sizeof *table);
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
    uint64_t at = ALPS_PAGE, seq = j->seq;
    uint32_t before = 0;
    int err;
    j->tail = at;
    j->before = 0;
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
    return alps_journal_note_(j, ALPS_PAGE, j->tail);
}

/* Writes the head: from now on frames of `salt` count, from `seq` on. Where
 * that fails nobody knows which head is there, and it is to be tried again
 * before a frame is written. */
ALPS_COLD_ int alps_journal_restart_(alps_journal *j, uint64_t salt)
{
    alps_journal_head head;
    memset(&head, 0, sizeof head);
    head.magic = ALPS_JOURNAL_MAGIC_;
    head.id = j->id;
    head.salt = salt;
    head.seq = j->seq;
    head.crc = alps_journal_sum_(j, &head);
    j->salt = salt;
    j->tail = ALPS_PAGE;
    j->before = 0;
    j->headed = 0;
    int err = alps_fd_write_(j->fd, &head, sizeof head, 0);
    if (!err)
        err = alps_fd_sync_data_(j->fd);
    j->headed = !err;
    return err;
}

/* Opens the journal that the superblock calls `id`. A journal whose head is no
 * head was being emptied when the power failed: all is at home. */
ALPS_COLD_ int alps_journal_find_(alps_map *m, uint64_t id)
{
    alps_journal *j = m->journal;
    alps_journal_head head;
    int how = m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    j->lost = 1;
    if (j->dir < 0)
        return ALPS_OK;
    j->fd = openat(j->dir, j->name, how | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return errno == ENOENT ? ALPS_OK : alps_oserror_();
    int err = alps_fd_read_(j->fd, &head, sizeof head, 0);
    if (err)
        return err == ALPS_ETRUNCATED ? ALPS_OK : err;
    int whole = head.magic == ALPS_JOURNAL_MAGIC_ &&
                head.crc == alps_journal_sum_(j, &head);
    if (whole && head.id != id)
        return ALPS_OK;
    j->lost = 0;
    j->marked = 1;
    j->id = id;
    j->seq = 1;
    j->tail = ALPS_PAGE;
    if (!whole)
        return how == O_RDWR ? alps_journal_restart_(j, alps_random_())
                             : ALPS_OK;
    j->headed = 1;
    j->salt = head.salt;
    j->seq = head.seq;
    return alps_journal_read_(j);
}

/* Looks for the journal of the file that was just opened. */
ALPS_COLD_ int alps_journal_open_(alps_map *m, const char *path)
{
    uint64_t magic = 0, limit = 0, id = 0;
    alps_journal *j = (alps_journal *)alps_shared_memory_(ALPS_JOURNAL_BYTES_);
    if (!j)
        return ALPS_ENOMEM;
    j->fd = j->dir = j->uffd = j->pagemap = j->stop[0] = j->stop[1] = -1;
    j->crc = alps_crc_kind_();
    j->tail = ALPS_PAGE;
    j->bytes = (unsigned char *)(void *)j + ALPS_PAGE;
    pthread_mutex_init(&j->turn, NULL);
    m->journal = j;
    int err = alps_journal_name_(j, m->fd, path);
    if (err && !m->sole)
        err = ALPS_OK; // who needs no journal misses it when one is named
    if (err || m->length < ALPS_PAGE)
        return err;
    err = alps_fd_read_(m->fd, &magic, sizeof magic, 0);
    if (!err)
        err = alps_fd_read_(m->fd, &limit, sizeof limit, ALPS_HOME_LIMIT_);
    if (!err)
        err = alps_fd_read_(m->fd, &id, sizeof id, ALPS_HOME_MARK_);
    if (err || magic != ALPS_HOME_MAGIC_ || !id || limit > (uint64_t)1 << 47)
        return err;
    err = alps_journal_room_(j, limit / ALPS_PAGE + 1);
    return err ? err : alps_journal_find_(m, id);
}

/* After a long commit the room is given back, some day. */
ALPS_COLD_ void alps_journal_shorten_(const alps_journal *j)
{
    struct stat st;
    if (!fstat(j->fd, &st) && (uint64_t)st.st_size > 2 * ALPS_JOURNAL_MAX &&
        ftruncate(j->fd, (off_t)ALPS_JOURNAL_MAX))
        errno = 0; // it stays long, then
}

/* Writes the superblock's word that names the journal, durably. */
ALPS_COLD_ int alps_journal_mark_(const alps_map *m, uint64_t id)
{
    int err = alps_fd_write_(m->fd, &id, sizeof id, ALPS_HOME_MARK_);
    return err ? err : alps_fd_sync_data_(m->fd);
}

/* Creates the journal file, with nothing in it. */
ALPS_COLD_ int alps_journal_make_(const alps_map *m)
{
    alps_journal *j = m->journal;
    struct stat st;
    mode_t mode = fstat(m->fd, &st) ? 0600 : st.st_mode & 0777;
    unlinkat(j->dir, j->name, 0); // a leftover, which nothing names
    j->fd = openat(j->dir, j->name,
                   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (j->fd < 0)
        return alps_oserror_();
    j->id = alps_random_() | 1;
    j->seq = 1;
    int err = alps_journal_restart_(j, alps_random_());
    if (!err)
        err = alps_fd_sync_dir_(j->dir);
    if (!err)
        return ALPS_OK;
    unlinkat(j->dir, j->name, 0);
    close(j->fd);
    j->fd = -1;
    return err;
}

/* Sees to it that there is a journal and that the region names it. What may
 * have been named is not made anew. */
ALPS_COLD_ int alps_journal_ready_(const alps_map *m)
{
    alps_journal *j = m->journal;
    int err = j->fd < 0 ? alps_journal_make_(m) : ALPS_OK;
    if (!err && !j->headed)
        err = alps_journal_restart_(j, alps_random_());
    if (!err && !j->marked)
        err = alps_journal_mark_(m, j->id);
    if (!err)
        j->marked = 1;
    return err;
}

/* Everything is at home: the region does not name the journal any more, and
 * then it is removed. */
ALPS_COLD_ int alps_journal_remove_(const alps_map *m)
{
    alps_journal *j = m->journal;
    if (j->fd < 0)
        return ALPS_OK;
    int err = j->marked ? alps_journal_mark_(m, 0) : ALPS_OK;
    if (err)
        return err;
    j->marked = 0;
    unlinkat(j->dir, j->name, 0);
    close(j->fd);
    j->fd = -1;
    return ALPS_OK;
}
