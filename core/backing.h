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
    int direct; /* 1: all goes past the page cache, as was asked */
    int narrow; /* 1: what comes or goes in a row goes past the page cache, and
                   to one that cannot be had so by way of it after all */
    alps_backing_file file[ALPS_PARTS_MAX + 1];
} alps_backing;

/* Bytes of the region that lie in one file. */
typedef struct alps_backing_run {
    unsigned file;
    int fd;
    uint64_t at; /* where in the file */
    uint64_t n;
} alps_backing_run;

/* Whether what comes or goes in a row is to go past the page cache. Also read
 * without the latch. */
ALPS_FN_ int alps_backing_narrow_(const alps_backing *b)
{
    return __atomic_load_n(&b->narrow, __ATOMIC_RELAXED);
}

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
 * ALPS_EUNSUPPORTED where that cannot be done for all. With `narrow` it is so
 * where it can be. */
ALPS_COLD_ int alps_backing_open_(alps_backing *b, const alps_map *m,
                                  unsigned direct, int narrow)
{
    char name[40];
    const alps_parts *p = m->parts;
    unsigned n = p ? p->n : 1;
    b->direct = direct != 0;
    b->narrow = narrow && !direct;
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
        if (!direct && !b->narrow)
            continue;
        snprintf(name, sizeof name, "/proc/self/fd/%d", f->fd);
        f->past = open(name, O_RDWR | O_CLOEXEC | ALPS_O_DIRECT_);
        if (f->past < 0 && direct)
            return ALPS_EUNSUPPORTED;
        b->narrow &= f->past >= 0;
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

/* As much of it as one call is asked for: `past` the page cache whole pages. */
ALPS_COLD_ alps_backing_run alps_backing_call_(const alps_backing *b, int past,
                                               uint64_t off, uint64_t n)
{
    alps_backing_run r = alps_backing_run_(b, off, n);
    past = past ? b->file[r.file].past : -1;
    if (r.n > ALPS_PAGED_STEP)
        r.n = ALPS_PAGED_STEP;
    if (past >= 0 && r.at % ALPS_PAGE == 0 && r.n >= ALPS_PAGE) {
        r.n -= r.n % ALPS_PAGE;
        r.fd = past;
    }
    return r;
}

/* Whether a call that failed is to be tried once more: a signal came, or the
 * file cannot be had past the cache after all and nobody has asked for that. */
ALPS_COLD_ int alps_backing_again_(alps_backing *b, const alps_backing_run *r,
                                   int *past)
{
    if (errno == EINTR)
        return 1;
    if (errno != EINVAL || r->fd != b->file[r->file].past || b->direct)
        return 0; // else also where another thread has found that out
    *past = 0;
    __atomic_store_n(&b->narrow, 0, __ATOMIC_RELAXED);
    return 1;
}

/* All of `n` bytes at `off` of the region, `past` the page cache or not;
 * ALPS_ETRUNCATED: somebody has cut a file. */
ALPS_COLD_ int alps_backing_read_(alps_backing *b, int past, unsigned char *to,
                                  uint64_t n, uint64_t off, alps_paging *count)
{
    while (n) {
        alps_backing_run r = alps_backing_call_(b, past, off, n);
        long got = (long)ALPS_PAGED_READ(r.fd, to, r.n, r.at);
        if (got < 0 && alps_backing_again_(b, &r, &past))
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

/* Bytes [off, off + n) were written: `*written` counts writes to all files. The
 * file first, for who sees the count has to find it. Under the latch. */
ALPS_COLD_ void alps_backing_wrote_(alps_backing *b, uint64_t off, uint64_t n,
                                    uint64_t *written)
{
    while (n) {
        alps_backing_run r = alps_backing_run_(b, off, n);
        __atomic_store_n(&b->file[r.file].wrote, *written + 1,
                         __ATOMIC_RELAXED);
        off += r.n;
        n -= r.n;
    }
    __atomic_store_n(written, *written + 1, __ATOMIC_RELEASE);
}

/* Writes them, and counts that; `written` is NULL without the latch: then the
 * caller does. */
ALPS_COLD_ int alps_backing_write_(alps_backing *b, int past,
                                   const unsigned char *from, uint64_t n,
                                   uint64_t off, uint64_t *written,
                                   alps_paging *count)
{
    while (n) {
        alps_backing_run r = alps_backing_call_(b, past, off, n);
        long put = (long)ALPS_PAGED_WRITE(r.fd, from, r.n, r.at);
        if (put < 0 && alps_backing_again_(b, &r, &past))
            continue;
        if (put <= 0) {
            count->failed++;
            return put ? alps_oserror_() : ALPS_ENOSPC;
        }
        if (written)
            alps_backing_wrote_(b, off, (uint64_t)put, written);
        from += put;
        off += (uint64_t)put;
        n -= (uint64_t)put;
        count->bytes_written += (uint64_t)put;
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

/* Whether bytes [off, off + n) have something already; 0 where a file does not
 * tell. */
ALPS_COLD_ int alps_backing_had_(const alps_backing *b, uint64_t off,
                                 uint64_t n)
{
    for (uint64_t at = off; at < off + n;) {
        alps_backing_run r = alps_backing_run_(b, at, off + n - at);
        if (!b->file[r.file].tells)
            return 0;
        at += r.n;
    }
    return !alps_backing_empty_(b, off, n);
}
