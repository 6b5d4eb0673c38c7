/* address.h -- a range of addresses, held before anything lies in it
 *
 * A region grows in place, so its addresses are taken all at once at open, as
 * memory that may not be touched. That costs a page table entry or two and no
 * memory: 2^47 bytes may be asked for, and often most of it is granted. */
#pragma once
#include "error.h"

/* The system's page, which may be larger than ALPS_PAGE (AArch64). */
ALPS_COLD_ uint64_t alps_system_page_(void)
{
    long n = sysconf(_SC_PAGESIZE);
    return n > 0 ? (uint64_t)n : ALPS_PAGE;
}

ALPS_COLD_ void alps_drop_addresses_(unsigned char *from, unsigned char *to)
{
    if (from < to)
        munmap(from, (size_t)(to - from));
}

/* Holds `n` bytes of addresses from a multiple of `align` (a power of two) on,
 * and one page of the system's in front of them: the door, see cxx.h. Answers
 * NULL where there are not so many. The caller maps into them with MAP_FIXED,
 * which is safe there and only there. */
ALPS_COLD_ unsigned char *alps_hold_region_(uint64_t n, uint64_t align)
{
    uint64_t page = alps_system_page_();
    uint64_t more = align > page ? align : page;
    if (n + page < n || n + page + more < n)
        return NULL;
    n = alps_round_up_(n, page);
    void *p = mmap(NULL, n + more, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    unsigned char *held = (unsigned char *)p;
    unsigned char *base = held + page;
    base += -(uintptr_t)base & (more - 1);
    alps_drop_addresses_(held, base - page);
    alps_drop_addresses_(base + n, held + n + more);
    return base;
}

/* The same without the page in front. */
ALPS_COLD_ unsigned char *alps_hold_addresses_(uint64_t n, uint64_t align)
{
    unsigned char *base = alps_hold_region_(n, align);
    if (base)
        alps_drop_addresses_(base - alps_system_page_(), base);
    return base;
}

/* Lets go of what was held, and of what is mapped there; with `door` of the
 * page in front. */
ALPS_COLD_ int alps_let_addresses_(unsigned char *base, uint64_t n,
                                   unsigned door)
{
    uint64_t page = alps_system_page_(), front = door ? page : 0;
    return munmap(base - front, (size_t)(alps_round_up_(n, page) + front))
               ? alps_oserror_()
               : ALPS_OK;
}
