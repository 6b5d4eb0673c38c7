/* anon.h -- memory of this process
 *
 * The plainest backend, and the one to copy: nothing outlives the process,
 * nobody else can open it, and `path` means nothing. Every open is a new
 * medium of length 0. The system lends memory when a page is first touched and
 * may have promised more than it has; no call can reserve it. */
#pragma once
#include "../core/address.h"
#include "../core/backend.h"

ALPS_COLD_ int alps_anon_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    (void)path;
    (void)o;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT; // there never is anything to read
    m->fd = -1;
    m->length = 0;
    m->align = 1;
    m->medium = ALPS_MEDIUM_ANON;
    return ALPS_OK;
}

/* Makes bytes [from, to) of the held addresses usable, by whole pages. */
ALPS_COLD_ int alps_anon_use_(alps_map *m, uint64_t from, uint64_t to)
{
    uint64_t page = alps_system_page_();
    from -= from % page;
    to = alps_round_up_(to, page);
    if (mprotect(m->base + from, (size_t)(to - from), PROT_READ | PROT_WRITE))
        return alps_oserror_();
    return ALPS_OK;
}

/* Whole pages, bytes [from, to), are given back, and read as zero. */
ALPS_COLD_ int alps_anon_drop_(alps_map *m, uint64_t from, uint64_t to)
{
    if (from < to &&
        madvise(m->base + from, (size_t)(to - from), MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* A limit of 2^47 bytes is more than there are addresses: half as many are
 * asked for, until it works. */
ALPS_COLD_ int alps_anon_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    for (;;) {
        m->base = alps_hold_region_(reserve, align);
        if (m->base || reserve == size)
            break;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
    if (!m->base)
        return ALPS_ENOMEM;
    m->reserved = reserve;
    m->door = 1;
    int err = alps_anon_use_(m, 0, size);
    if (!err) {
        m->size = size;
        return ALPS_OK;
    }
    alps_let_addresses_(m->base, reserve, 1);
    m->base = NULL;
    m->reserved = 0;
    return err;
}

/* Takes the contents along: there is nothing else that keeps them. */
ALPS_COLD_ int alps_anon_unmap_(alps_map *m)
{
    int err =
        m->base ? alps_let_addresses_(m->base, m->reserved, m->door) : ALPS_OK;
    if (err)
        return err;
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

/* What is cut off reads as zero if it comes back, as it does in a file. */
ALPS_COLD_ int alps_anon_cut_(alps_map *m, uint64_t size)
{
    uint64_t page = alps_system_page_();
    uint64_t whole = alps_round_up_(size, page);
    uint64_t end = whole < m->size ? whole : m->size;
    memset(m->base + size, 0, (size_t)(end - size));
    return alps_anon_drop_(m, whole, alps_round_up_(m->size, page));
}

ALPS_COLD_ int alps_anon_resize_(alps_map *m, uint64_t size)
{
    int err = ALPS_OK;
    if (m->base && size > m->reserved)
        return ALPS_ENOMEM;
    if (m->base)
        err = size > m->size ? alps_anon_use_(m, m->size, size)
                             : alps_anon_cut_(m, size);
    if (err)
        return err;
    m->length = size;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

ALPS_COLD_ int alps_anon_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return alps_anon_drop_(m, off, off + n);
}

/* What reserves nothing has nothing to reserve again. */
ALPS_COLD_ int alps_anon_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

/* Nothing has to be done, and no other open of this medium can exist. */
ALPS_COLD_ int alps_anon_nothing_(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

ALPS_COLD_ int alps_anon_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)off;
    (void)n;
    return alps_anon_nothing_(m);
}

ALPS_COLD_ int alps_anon_lease_(alps_map *m, unsigned number)
{
    (void)number;
    return alps_anon_nothing_(m);
}

ALPS_COLD_ int alps_anon_remove_(const char *path)
{
    (void)path;
    return ALPS_ENOENT;
}

static const alps_backend alps_backend_anon_ __attribute__((unused)) = {
    "anon",
    alps_anon_open_,
    alps_anon_nothing_,
    alps_anon_map_,
    alps_anon_unmap_,
    alps_anon_resize_,
    alps_anon_punch_,
    alps_anon_reserve_,
    alps_anon_sync_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_unmap_,
    alps_anon_remove_,
    NULL,
    NULL,
};
