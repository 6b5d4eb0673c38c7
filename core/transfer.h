/* transfer.h -- files as a pager reads and writes them
 *
 * By system calls and not by the library's functions: this is for signal
 * handlers, and no point where a thread can be cancelled. What is asked for is
 * done as a whole, in steps, and counted. */
#pragma once
#include "error.h"

/* How the medium is read and written; all there is of it here. A test puts its
 * own in place. They are called from a signal handler. */
#ifndef ALPS_PAGED_READ
#  define ALPS_PAGED_READ(fd, p, n, off) \
    syscall(SYS_pread64, fd, p, (size_t)(n), (off_t)(off))
#endif
#ifndef ALPS_PAGED_WRITE
#  define ALPS_PAGED_WRITE(fd, p, n, off) \
    syscall(SYS_pwrite64, fd, p, (size_t)(n), (off_t)(off))
#endif
#ifndef ALPS_PAGED_BEGIN // to write what is in the page cache
#  ifdef SYS_sync_file_range
#    define ALPS_PAGED_BEGIN(fd, off, n)                         \
      syscall(SYS_sync_file_range, fd, (off_t)(off), (off_t)(n), \
              2u /* SYNC_FILE_RANGE_WRITE */)
#  else
#    define ALPS_PAGED_BEGIN(fd, off, n) ((void)(off), (void)(n))
#  endif
#endif
#ifndef ALPS_PAGED_SYNC
#  define ALPS_PAGED_SYNC(fd) fdatasync(fd)
#endif

/* The most that one system call is asked for: they end at 2 GiB. */
#ifndef ALPS_PAGED_STEP
#  define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#endif

/* What a pager has done since it was opened. */
typedef struct alps_paging {
    uint64_t faults;      /* segments read because they were touched */
    uint64_t soft;        /* hidden ones shown again */
    uint64_t upgrades;    /* first stores to what was clean */
    uint64_t evictions;   /* segments that went */
    uint64_t write_backs; /* calls that wrote */
    uint64_t bytes_read, bytes_written;
    uint64_t prefetches; /* segments read before they were touched */
    uint64_t cleaned;    /* segments written by the region's thread, or because
                         too many were dirty */
    uint64_t syncs;      /* of the file */
    uint64_t failed;     /* reads and writes that did not succeed */
} alps_paging;

/* All of `n` bytes at `off`; ALPS_ETRUNCATED: somebody has cut the file. */
ALPS_COLD_ int alps_transfer_read_(int fd, unsigned char *to, uint64_t n,
                                   uint64_t off, alps_paging *count)
{
    while (n) {
        uint64_t k = n < ALPS_PAGED_STEP ? n : ALPS_PAGED_STEP;
        long got = (long)ALPS_PAGED_READ(fd, to, k, off);
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

ALPS_COLD_ int alps_transfer_write_(int fd, const unsigned char *from,
                                    uint64_t n, uint64_t off,
                                    alps_paging *count)
{
    while (n) {
        uint64_t k = n < ALPS_PAGED_STEP ? n : ALPS_PAGED_STEP;
        long put = (long)ALPS_PAGED_WRITE(fd, from, k, off);
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
    }
    return ALPS_OK;
}
