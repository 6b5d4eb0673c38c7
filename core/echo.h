/* echo.h -- pages of which we know what the file has
 *
 * The retire words of all lanes are part of every fence under msync, and few of
 * their pages have changed since the last one. The system would know which; we
 * keep a copy of what was written last and compare: 17 pages in a microsecond
 * or two, where writing them all is 68 KiB to the device for each fence. What
 * is written is the copy, so that it is the file's content whatever happens to
 * the page meanwhile. */
#pragma once
#include "pool.h"

typedef struct alps_echo {
    uint64_t off, n;      /* the range of the region, whole pages */
    unsigned char *bytes; /* its pages as they were written last; or NULL */
    unsigned char *known; /* by page: 1: they were */
} alps_echo;

/* Begins to listen to the pages of [off, off + n). Without memory it does
 * not. */
ALPS_COLD_ void alps_echo_open_(alps_echo *e, uint64_t off, uint64_t n)
{
    uint64_t from = off - off % ALPS_PAGE;
    n = alps_round_up_(off + n, ALPS_PAGE) - from;
    e->bytes = (unsigned char *)alps_pool_memory_(n + n / ALPS_PAGE);
    if (!e->bytes)
        return;
    e->known = e->bytes + n;
    e->off = from;
    e->n = n;
}

ALPS_COLD_ void alps_echo_close_(alps_echo *e)
{
    if (e->bytes)
        munmap(e->bytes, (size_t)(e->n + e->n / ALPS_PAGE));
    memset(e, 0, sizeof *e);
}

/* Whether the page at `off` is one of them. */
ALPS_FN_ int alps_echo_has_(const alps_echo *e, uint64_t off)
{
    return off - e->off < e->n;
}

/* How many of `n` bytes at `off` are up to the next page that is one. */
ALPS_FN_ uint64_t alps_echo_before_(const alps_echo *e, uint64_t off,
                                    uint64_t n)
{
    return e->n && off < e->off && off + n > e->off ? e->off - off : n;
}

/* Whether the file has the page as it is; else its copy is that from now on,
 * and the file is to have it. */
ALPS_COLD_ int alps_echo_same_(alps_echo *e, uint64_t off, const void *page)
{
    unsigned char *copy = e->bytes + (off - e->off);
    unsigned char *known = &e->known[(off - e->off) / ALPS_PAGE];
    if (*known && !memcmp(copy, page, ALPS_PAGE))
        return 1;
    memcpy(copy, page, ALPS_PAGE);
    *known = 0;
    return 0;
}

/* The page was written. */
ALPS_FN_ void alps_echo_wrote_(alps_echo *e, uint64_t off)
{
    e->known[(off - e->off) / ALPS_PAGE] = 1;
}

/* Nobody knows any more what the medium has. */
ALPS_FN_ void alps_echo_forget_(alps_echo *e)
{
    if (e->bytes)
        memset(e->known, 0, (size_t)(e->n / ALPS_PAGE));
}
