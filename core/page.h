/* page.h -- pages: sets of them, and one copied while others store to it
 *
 * A set is a bit for each page of a region, in memory that is lent as it is
 * touched: few pages of a large region take little, and are found quickly. */
#pragma once
#include "bits.h"

ALPS_FN_ int alps_page_in_(const uint64_t *set, uint64_t page)
{
    return (int)(set[page / 64] >> (page % 64) & 1);
}

ALPS_FN_ void alps_page_add_(uint64_t *set, uint64_t page)
{
    set[page / 64] |= 1ull << (page % 64);
}

/* The first page of the set from `page` on, or `end`. */
ALPS_FN_ uint64_t alps_page_next_(const uint64_t *set, uint64_t page,
                                  uint64_t end)
{
    while (page < end) {
        uint64_t word = set[page / 64] >> (page % 64);
        if (word) {
            page += alps_low_bit_(word);
            return page < end ? page : end;
        }
        page = (page / 64 + 1) * 64;
    }
    return end;
}

/* Words of a set that has room for so many. */
ALPS_FN_ uint64_t alps_page_words_(uint64_t pages)
{
    return pages / 64 + 1;
}

ALPS_FN_ void alps_pages_clear_(uint64_t *set, uint64_t pages)
{
    for (uint64_t i = 0; i < alps_page_words_(pages); i++)
        if (set[i]) // a page of zeroes that nobody touched stays no memory
            set[i] = 0;
}

/* Adds `more`, and empties it. Others may add to it meanwhile, or take a page
 * from both, as alps_page_drop_ does: that one is in neither. */
ALPS_FN_ void alps_pages_move_(uint64_t *set, uint64_t *more, uint64_t pages)
{
    for (uint64_t i = 0; i < alps_page_words_(pages); i++) {
        uint64_t word = __atomic_load_n(&more[i], __ATOMIC_RELAXED);
        if (!word)
            continue;
        __atomic_fetch_or(&set[i], word, __ATOMIC_ACQ_REL);
        uint64_t was = __atomic_fetch_and(&more[i], ~word, __ATOMIC_ACQ_REL);
        if (word & ~was) // taken from it before, and perhaps too early from us
            __atomic_fetch_and(&set[i], ~word | was, __ATOMIC_ACQ_REL);
    }
}

/* Takes a page from a set, while others may move it: to be called for where it
 * may come from, and then for where it may go to. */
ALPS_FN_ void alps_page_drop_(uint64_t *set, uint64_t page)
{
    __atomic_fetch_and(&set[page / 64], ~(1ull << (page % 64)),
                       __ATOMIC_ACQ_REL);
}

ALPS_FN_ uint64_t alps_pages_count_(const uint64_t *set, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < (end + 63) / 64; i++)
        n += (uint64_t)__builtin_popcountll(set[i]);
    return n;
}

/* Copies a page that others may be storing to; answers whether it is all
 * zeroes. Word by word, and unseen by ThreadSanitizer: what is torn is copied
 * again, or is as a crash at this moment would leave it. */
__attribute__((no_sanitize_thread)) ALPS_COLD_ int
alps_page_take_(void *to, const void *from)
{
    uint64_t *out = (uint64_t *)to, any = 0;
    const volatile uint64_t *in = (const volatile uint64_t *)from;
    for (unsigned i = 0; i < ALPS_PAGE / sizeof *out; i++)
        any |= out[i] = in[i];
    return !any;
}
