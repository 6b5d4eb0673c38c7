/* file.h -- a file behind the page cache
 *
 * Outlives processes as it stands, and power failures as far as it was synced.
 * The file is exactly as long as the region, and its blocks are reserved, so
 * that a full disk is a code when the region grows and not a signal when a
 * program stores. */
#pragma once
#include "../core/filed.h"

ALPS_COLD_ int alps_file_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (m->sole)
        return alps_sole_map_(m, size, reserve, align);
    if (m->flags & ALPS_READ_ONLY && m->journal->size)
        return alps_sole_read_(m, size, reserve, align);
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* What is cut off for one who writes alone is cut when the commit that says so
 * is at home: policy checkpoint. */
ALPS_COLD_ int alps_file_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    if (m->sole && m->base && size < old) {
        m->size = size;
        return ALPS_OK;
    }
    int err = alps_medium_resize_(m, size);
    if (err || (size <= old && !m->parts))
        return err;
    return alps_medium_sync_length_(m);
}

/* So is what is given back. */
ALPS_COLD_ int alps_file_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return m->sole ? alps_home_give_(m, off, n) : alps_medium_punch_(m, off, n);
}

ALPS_COLD_ int alps_file_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->sole)
        alps_home_keep_(m, off, n);
    int err = alps_medium_refill_(m, off, n);
    return err || m->sole ? err : alps_medium_sync_length_(m);
}

static const alps_backend alps_backend_file_ __attribute__((unused)) = {
    "file",
    alps_filed_open_,
    alps_unguard_,
    alps_file_map_,
    alps_medium_unmap_,
    alps_file_resize_,
    alps_file_punch_,
    alps_file_reserve_,
    alps_medium_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_filed_close_,
    alps_filed_remove_,
    NULL,
    NULL,
};
