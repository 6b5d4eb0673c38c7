/* journal.h -- commits, beside the region, until their pages come home
 *
 * A commit is one or more frames at the end of a file beside the region's: page
 * numbers, checksums, pages. It is there as a whole or not at all, by checksums
 * and not by order, so that one fdatasync makes it durable. The newest version
 * of each page comes home later, for many commits at once. docs/checkpoint.md
 * has the bytes, and why no crash can leave part of a commit. */
#pragma once
#include "frame.h"
#include "medium.h"
#include <sys/uio.h>

/* Pages come home when the journal is longer than this, in bytes. A longer one
 * means fewer writes of a page that many commits change, and more to read after
 * a crash. */
#ifndef ALPS_JOURNAL_MAX
#  define ALPS_JOURNAL_MAX ((uint64_t)16 << 20)
#endif

/* Pages of a journal that are written at once before they are needed. */
#ifndef ALPS_JOURNAL_AHEAD
#  define ALPS_JOURNAL_AHEAD 128u
#endif

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
    j->pages = j->size = j->filled = 0;
    j->start = j->tail = ALPS_PAGE;
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

/* Writes the head: the next frame is the first that counts. */
ALPS_COLD_ int alps_journal_head_(const alps_journal *j)
{
    alps_journal_head head;
    memset(&head, 0, sizeof head);
    head.magic = ALPS_JOURNAL_MAGIC_;
    head.id = j->id;
    head.salt = j->salt;
    head.seq = j->seq;
    head.start = j->start;
    head.before = j->before;
    head.crc = alps_journal_sum_(j, &head);
    return alps_fd_write_(j->fd, &head, sizeof head, 0);
}

/* From now on frames of `salt` count, from the first place on. Where that fails
 * nobody knows which head is there, and it is to be tried again before a frame
 * is written. */
ALPS_COLD_ int alps_journal_restart_(alps_journal *j, uint64_t salt)
{
    j->salt = salt;
    j->start = j->tail = ALPS_PAGE;
    j->before = 0;
    j->headed = 0;
    int err = alps_journal_head_(j);
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
    struct stat st;
    int how = m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    j->lost = 1;
    if (j->dir < 0)
        return ALPS_OK;
    j->fd = openat(j->dir, j->name, how | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return errno == ENOENT ? ALPS_OK : alps_oserror_();
    if (!fstat(j->fd, &st))
        j->filled = (uint64_t)st.st_size;
    int err = alps_fd_read_(j->fd, &head, sizeof head, 0);
    if (err)
        return err == ALPS_ETRUNCATED ? ALPS_OK : err;
    int whole = head.magic == ALPS_JOURNAL_MAGIC_ &&
                head.crc == alps_journal_sum_(j, &head) && head.start &&
                !(head.start % ALPS_PAGE);
    if (whole && head.id != id)
        return ALPS_OK;
    j->lost = 0;
    j->marked = 1;
    j->id = id;
    j->seq = 1;
    if (!whole)
        return how == O_RDWR ? alps_journal_restart_(j, alps_random_())
                             : ALPS_OK;
    j->headed = 1;
    j->salt = head.salt;
    j->seq = head.seq;
    j->start = head.start;
    j->before = head.before;
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
    j->opens = (uint32_t)alps_random_();
    j->start = j->tail = ALPS_PAGE;
    j->bytes = (unsigned char *)(void *)j + 2 * ALPS_PAGE;
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

/* Writes zeroes from `end` on, where the next small frames will be: a sync of
 * what has a block already, and is written, does not wait for the journal of
 * the file system as well. Where it fails they only take longer. */
ALPS_COLD_ void alps_journal_ahead_(alps_journal *j, uint64_t end)
{
    struct iovec zeroes[ALPS_JOURNAL_AHEAD];
    if (end <= j->filled)
        return;
    j->filled = end;
    for (unsigned i = 0; i < ALPS_JOURNAL_AHEAD; i++) {
        zeroes[i].iov_base = j->bytes + (ALPS_FRAME_CHUNK_ + 1) * ALPS_PAGE;
        zeroes[i].iov_len = ALPS_PAGE;
    }
    if (alps_fd_limit_(end + ALPS_JOURNAL_AHEAD * ALPS_PAGE))
        return;
    ssize_t put = pwritev(j->fd, zeroes, ALPS_JOURNAL_AHEAD, (off_t)end);
    if (put > 0)
        j->filled += (uint64_t)put;
}

/* After a long commit the room is given back, some day. */
ALPS_COLD_ void alps_journal_shorten_(alps_journal *j)
{
    struct stat st;
    if (fstat(j->fd, &st) || (uint64_t)st.st_size <= 2 * ALPS_JOURNAL_MAX)
        return;
    if (ftruncate(j->fd, (off_t)ALPS_JOURNAL_MAX))
        errno = 0; // it stays long, then
    else if (j->filled > ALPS_JOURNAL_MAX)
        j->filled = ALPS_JOURNAL_MAX;
}

/* Writes the superblock's word that names the journal, durably. */
ALPS_COLD_ int alps_journal_mark_(const alps_map *m, uint64_t id)
{
    int err = alps_fd_write_(m->fd, &id, sizeof id, ALPS_HOME_MARK_);
    return err ? err : alps_fd_sync_data_(m->fd);
}

/* Creates the file. A leftover, which nothing names, is removed: when that is
 * durable. */
ALPS_COLD_ int alps_journal_create_(const alps_map *m, mode_t mode)
{
    alps_journal *j = m->journal;
    int how = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    j->fd = openat(j->dir, j->name, how, mode);
    if (j->fd >= 0)
        return ALPS_OK;
    int err = errno == EEXIST ? alps_fd_sync_data_(m->fd) : alps_oserror_();
    if (err)
        return err;
    unlinkat(j->dir, j->name, 0);
    j->fd = openat(j->dir, j->name, how, mode);
    return j->fd < 0 ? alps_oserror_() : ALPS_OK;
}

/* Makes the journal, with nothing in it. */
ALPS_COLD_ int alps_journal_make_(const alps_map *m)
{
    alps_journal *j = m->journal;
    struct stat st;
    mode_t mode = fstat(m->fd, &st) ? 0600 : st.st_mode & 0777;
    int err = alps_journal_create_(m, mode);
    if (err)
        return err;
    j->id = alps_random_() | 1;
    j->seq = 1;
    j->filled = 0;
    err = alps_journal_restart_(j, alps_random_());
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
