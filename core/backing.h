/* backing.h -- the files behind a paged region, as the pager sees them
 *
 * Most regions have one. One that is in several (parts.h) has each byte in one
 * of them: a run of bytes, a segment among them, may begin in one file and end
 * in the next, and is read and written by a call for each. What is known here
 * is taken over when paging begins, for no region gets or loses a file while it
 * is mapped; so it may be read in signal handlers, and without the latch. */
#pragma once
#include "parts.h"
#include "transfer.h"
#include <sys/vfs.h>

/* The C library tells it to GNU programs only. */
#if defined(__aarch64__) || defined(__arm__)
#  define ALPS_O_DIRECT_ 0200000
#else
#  define ALPS_O_DIRECT_ 040000
#endif

typedef struct alps_backing_file {
    int fd;
    int past;       /* the same past the page cache, or -1 */
    int tells;      /* 1: the file system tells what was never written */
    uint64_t from;  /* the first byte of the region that is in it, */
    uint64_t until; /* the first behind it that is not, */
    uint64_t front; /* and where in the file the first is */
    uint64_t wrote; /* the last write to it; writes are counted over all */
} alps_backing_file;

typedef struct alps_backing {
    unsigned n; /* files */
    alps_backing_file file[ALPS_PARTS_MAX + 1];
} alps_backing;

/* Bytes of the region that lie in one file. */
typedef struct alps_backing_run {
    unsigned file;
    int fd;
    uint64_t at; /* where in the file */
    uint64_t n;
} alps_backing_run;

/* Whether the file system tells what was never written, and what is in its
 * cache and not on the medium yet is none of it: ext4, XFS, btrfs, tmpfs. */
ALPS_COLD_ int alps_backing_tells_(int fd)
{
    struct statfs fs;
    if (alps_fd_block_(fd) || fstatfs(fd, &fs))
        return 0;
    unsigned long type = (unsigned long)fs.f_type;
    return type == 0xef53ul || type == 0x58465342ul || type == 0x9123683eul ||
           type == 0x01021994ul;
}

/* Gives up what was opened here; the files remain the region's. */
ALPS_COLD_ void alps_backing_close_(alps_backing *b)
{
    for (unsigned i = 0; i < b->n; i++)
        if (b->file[i].past >= 0)
            close(b->file[i].past);
    b->n = 0;
}

/* Takes over the files of `m`; what was stored so far counts as one write to
 * each. With `direct` each is opened once more, past the page cache:
 * ALPS_EUNSUPPORTED where that cannot be done for all. */
ALPS_COLD_ int alps_backing_open_(alps_backing *b, const alps_map *m,
                                  unsigned direct)
{
    char name[40];
    const alps_parts *p = m->parts;
    unsigned n = p ? p->n : 1;
    for (unsigned i = 0; i < n; i++) {
        alps_backing_file *f = &b->file[i];
        f->fd = p ? p->piece[i].fd : m->fd;
        f->from = p ? p->piece[i].from : 0;
        f->front = p ? p->piece[i].front : 0;
        f->until = p ? alps_parts_until_(p, i) : UINT64_MAX;
        f->tells = alps_backing_tells_(f->fd);
        f->wrote = 1;
        f->past = -1;
        b->n = i + 1;
        if (!direct)
            continue;
        snprintf(name, sizeof name, "/proc/self/fd/%d", f->fd);
        f->past = open(name, O_RDWR | O_CLOEXEC | ALPS_O_DIRECT_);
        if (f->past < 0)
            return ALPS_EUNSUPPORTED;
    }
    return ALPS_OK;
}

/* As much of [off, off + n) of the region as is in the file that has its
 * beginning. */
ALPS_COLD_ alps_backing_run alps_backing_run_(const alps_backing *b,
                                              uint64_t off, uint64_t n)
{
    unsigned i = 0;
    while (off >= b->file[i].until)
        i++;
    const alps_backing_file *f = &b->file[i];
    alps_backing_run r = {i, f->fd, off - f->from + f->front, n};
    if (r.n > f->until - off)
        r.n = f->until - off;
    return r;
}

/* As much of it as one call is asked for: past the page cache whole pages. */
ALPS_COLD_ alps_backing_run alps_backing_call_(const alps_backing *b,
                                               uint64_t off, uint64_t n)
{
    alps_backing_run r = alps_backing_run_(b, off, n);
    int past = b->file[r.file].past;
    if (r.n > ALPS_PAGED_STEP)
        r.n = ALPS_PAGED_STEP;
    if (past >= 0 && r.at % ALPS_PAGE == 0 && r.n >= ALPS_PAGE) {
        r.n -= r.n % ALPS_PAGE;
        r.fd = past;
    }
    return r;
}

/* All of `n` bytes at `off` of the region; ALPS_ETRUNCATED: somebody has cut a
 * file. */
ALPS_COLD_ int alps_backing_read_(const alps_backing *b, unsigned char *to,
                                  uint64_t n, uint64_t off, alps_paging *count)
{
    while (n) {
        alps_backing_run r = alps_backing_call_(b, off, n);
        long got = (long)ALPS_PAGED_READ(r.fd, to, r.n, r.at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            count->failed++;
            return got ? alps_oserror_() : ALPS_ETRUNCATED;
        }
        to += got;
        off += (uint64_t)got;
        n -= (uint64_t)got;
        count->bytes_read += (uint64_t)got;
    }
    return ALPS_OK;
}

/* Writes them. `*written` counts writes to all files; under the latch. */
ALPS_COLD_ int alps_backing_write_(alps_backing *b, const unsigned char *from,
                                   uint64_t n, uint64_t off, uint64_t *written,
                                   alps_paging *count)
{
    while (n) {
        alps_backing_run r = alps_backing_call_(b, off, n);
        long put = (long)ALPS_PAGED_WRITE(r.fd, from, r.n, r.at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            count->failed++;
            return put ? alps_oserror_() : ALPS_ENOSPC;
        }
        from += put;
        off += (uint64_t)put;
        n -= (uint64_t)put;
        count->bytes_written += (uint64_t)put;
        // the file first: who sees the count has to find it
        __atomic_store_n(&b->file[r.file].wrote, *written + 1,
                         __ATOMIC_RELAXED);
        __atomic_store_n(written, *written + 1, __ATOMIC_RELEASE);
    }
    return ALPS_OK;
}

/* The medium is told to begin to write [off, off + n). */
ALPS_COLD_ void alps_backing_begin_(const alps_backing *b, uint64_t off,
                                    uint64_t n)
{
    while (n) {
        alps_backing_run r = alps_backing_run_(b, off, n);
        ALPS_PAGED_BEGIN(r.fd, r.at, r.n);
        off += r.n;
        n -= r.n;
    }
}

/* Syncs each file that was written to since write number `done`. */
ALPS_COLD_ int alps_backing_sync_(const alps_backing *b, uint64_t done)
{
    for (unsigned i = 0; i < b->n; i++)
        if (__atomic_load_n(&b->file[i].wrote, __ATOMIC_RELAXED) > done &&
            ALPS_PAGED_SYNC(b->file[i].fd))
            return alps_oserror_();
    return ALPS_OK;
}

/* Whether nothing was ever written to bytes [off, off + n) of the region, so
 * that they need not be read to be known for zero: blocks that are reserved, or
 * none at all. A file that was cut is not meant. */
ALPS_COLD_ int alps_backing_empty_(const alps_backing *b, uint64_t off,
                                   uint64_t n)
{
    while (n) {
        alps_backing_run r = alps_backing_run_(b, off, n);
        const alps_backing_file *f = &b->file[r.file];
        if (!f->tells)
            return 0;
        off_t data = lseek(f->fd, (off_t)r.at, ALPS_SEEK_DATA_);
        if (data < 0 && errno == ENXIO)
            data = lseek(f->fd, 0, SEEK_END);
        if (data < 0 || (uint64_t)data < r.at + r.n)
            return 0;
        off += r.n;
        n -= r.n;
    }
    return 1;
}
