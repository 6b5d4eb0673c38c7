/* file.h -- a file behind the page cache
 *
 * Outlives processes as it stands, and power failures as far as it was synced.
 * The file is exactly as long as the region, and its blocks are reserved, so
 * that a full disk is a code when the region grows and not a signal when a
 * program stores. */
#pragma once
#include "../core/descriptor.h"

/* The name of a new file is made durable here, before anything is in it. */
ALPS_COLD_ int alps_file_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    int err = alps_fd_open_(m, path, o ? o->mode : 0, 0);
    if (err)
        return err;
    m->medium = ALPS_MEDIUM_CACHE;
    if (m->length == 0 && !(m->flags & ALPS_READ_ONLY))
        err = alps_fd_sync_name_(path);
    if (err)
        alps_fd_close_(m);
    return err;
}

ALPS_COLD_ int alps_file_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    return alps_fd_map_(m, size, reserve, align, MAP_SHARED);
}

ALPS_COLD_ int alps_file_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    int err = alps_fd_resize_(m, size);
    return err || size <= old ? err : alps_fd_sync_length_(m);
}

static const alps_backend alps_backend_file_ __attribute__((unused)) = {
    "file",          alps_file_open_,   alps_unguard_,  alps_file_map_,
    alps_fd_unmap_,  alps_file_resize_, alps_fd_punch_, alps_fd_sync_,
    alps_lease_,     alps_unlease_,     alps_leased_,   alps_fd_close_,
    alps_fd_remove_,
};
