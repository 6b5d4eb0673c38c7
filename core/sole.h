/* sole.h -- a mapping whose stores are this process's alone
 *
 * What the file holds is mapped privately, what it never held is anonymous
 * memory: so the system never writes a page of it to the file, and fresh memory
 * comes without reading zeroes from the file first, in huge pages where there
 * are any. A reader has what was committed and is not at home yet on top. */
#pragma once
#include "watch.h"

/* Holes are given away by as much as a huge page. */
#define ALPS_SOLE_STEP_ ((uint64_t)2 << 20)

/* How many holes are mapped so, so that a file full of them does not take all
 * the mappings a process may have. */
#define ALPS_SOLE_HOLES_ 1024u

/* Up to where the files may hold something: behind their length, too, where a
 * device goes on, of which what nobody has stored yet need not be zero. */
ALPS_COLD_ uint64_t alps_sole_end_(const alps_map *m)
{
    const alps_parts *p = m->parts;
    uint64_t end = m->length, n;
    for (unsigned i = 0; p && i < p->n; i++) {
        const alps_piece *piece = &p->piece[i];
        uint64_t most = alps_parts_until_(p, i) - piece->from;
        if (!piece->block || alps_fd_length_(piece->fd, &n))
            continue;
        n = n < piece->front ? 0 : n - piece->front;
        n = piece->from + (n < most ? n : most);
        end = n > end ? n : end;
    }
    return end;
}

/* Adds the pages that may be other than zeroes in the file. */
ALPS_COLD_ void alps_sole_known_(const alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t from = 0, to = 0, all = alps_sole_end_(m);
    while (alps_medium_data_(m, all, to, &from, &to))
        for (uint64_t page = from / ALPS_PAGE;
             page * ALPS_PAGE < to && page < j->pages; page++)
            alps_page_add_(j->known, page);
}

/* Bytes [from, to) of the mapping become anonymous memory. */
ALPS_COLD_ int alps_sole_blank_(const alps_map *m, uint64_t from, uint64_t to)
{
    void *p =
        from < to
            ? mmap(m->base + from, (size_t)(to - from), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                   0)
            : NULL;
    if (p == MAP_FAILED)
        return alps_oserror_();
    if (p)
        madvise(p, (size_t)(to - from), MADV_HUGEPAGE);
    return ALPS_OK;
}

/* So do holes, by whole steps, and all behind the file's last data. */
ALPS_COLD_ int alps_sole_blanks_(const alps_map *m, uint64_t end)
{
    uint64_t from = 0, to = 0, step = ALPS_SOLE_STEP_, last = 0;
    uint64_t all = alps_sole_end_(m);
    unsigned n = 0;
    while (to < end && alps_medium_data_(m, all, to, &from, &to)) {
        if (n++ == ALPS_SOLE_HOLES_)
            to = all; // the other holes remain the file's
        from -= from % step;
        int err = alps_sole_blank_(m, last, from < end ? from : end);
        if (err)
            return err;
        last = alps_round_up_(to, step);
    }
    if (to >= all) // beyond the end of the file there is nothing
        last = alps_round_up_(all, alps_system_page_());
    if (last > end)
        last = end;
    m->journal->filed = last / ALPS_PAGE;
    return alps_sole_blank_(m, last, end);
}

/* The map of the contract, for one who writes alone. */
ALPS_COLD_ int alps_sole_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    uint64_t page = alps_system_page_();
    if (align < ALPS_SOLE_STEP_)
        align = ALPS_SOLE_STEP_;
    reserve = alps_round_up_(reserve, page);
    int err = alps_medium_map_(m, size, reserve, align, MAP_PRIVATE);
    if (err)
        return err;
    err = alps_sole_blanks_(m, alps_round_up_(m->reserved, page));
    if (!err)
        err = alps_home_overlay_(m);
    if (err)
        alps_medium_unmap_(m);
    return err;
}

/* The map of the contract, for one who reads what is not at home yet. */
ALPS_COLD_ int alps_sole_read_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    int err = alps_medium_map_(m, size, reserve, align, MAP_PRIVATE);
    if (err)
        return err;
    size_t n = (size_t)alps_dirty_bytes_(m);
    if (mprotect(m->base, n, PROT_READ | PROT_WRITE))
        err = alps_oserror_();
    if (!err)
        err = alps_home_overlay_(m);
    if (!err && mprotect(m->base, n, PROT_READ))
        err = alps_oserror_();
    if (err)
        alps_medium_unmap_(m);
    return err;
}
