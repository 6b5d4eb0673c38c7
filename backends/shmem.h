/* shmem.h -- shared memory
 *
 * Outlives processes, not the machine. A name is that of shm_open(): `/name`,
 * or `name`, a file under /dev/shm; opened there by its path, which is all
 * that shm_open() does, so that no library is needed and errors are those of
 * open(). No name, or an empty one, is memory without a name (memfd): it lives
 * as long as this process and those forked from it have it open. */
#pragma once
#include "../core/medium.h"

#define ALPS_SHMEM_DIR_ "/dev/shm/"
#define ALPS_SHMEM_PATH_ 300

/* The path of shared memory `name`. */
ALPS_COLD_ int alps_shmem_path_(const char *name, char path[ALPS_SHMEM_PATH_])
{
    if (*name == '/')
        name++;
    size_t n = strlen(name);
    if (n == 0 || n > 255 || strchr(name, '/') || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return ALPS_EINVAL;
    memcpy(path, ALPS_SHMEM_DIR_, sizeof ALPS_SHMEM_DIR_ - 1);
    memcpy(path + sizeof ALPS_SHMEM_DIR_ - 1, name, n + 1);
    return ALPS_OK;
}

/* Memory without a name: always new, and nobody to guard it from. */
ALPS_COLD_ int alps_shmem_nameless_(alps_map *m)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT;
    m->fd = (int)syscall(SYS_memfd_create, "alps", 1u); // MFD_CLOEXEC
    if (m->fd < 0)
        return alps_oserror_();
    m->length = 0;
    m->align = 1;
    int err = alps_guard_(m->fd, 0);
    if (!err)
        err = alps_attach_(m->fd);
    if (err)
        alps_medium_close_(m);
    return err;
}

ALPS_COLD_ int alps_shmem_open_(alps_map *m, const char *name,
                                const alps_options *o)
{
    char path[ALPS_SHMEM_PATH_];
    m->medium = ALPS_MEDIUM_SHMEM;
    if (!name || !*name)
        return alps_shmem_nameless_(m);
    int err = alps_shmem_path_(name, path);
    return err ? err : alps_fd_open_(m, path, o ? o->mode : 0, 0);
}

ALPS_COLD_ int alps_shmem_map_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* What is stored in memory is in memory. */
ALPS_COLD_ int alps_shmem_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

ALPS_COLD_ int alps_shmem_remove_(const char *name)
{
    char path[ALPS_SHMEM_PATH_];
    if (!name || !*name)
        return ALPS_ENOENT;
    int err = alps_shmem_path_(name, path);
    return err ? err : alps_medium_remove_(path);
}

static const alps_backend alps_backend_shmem_ __attribute__((unused)) = {
    "shmem",
    alps_shmem_open_,
    alps_unguard_,
    alps_shmem_map_,
    alps_medium_unmap_,
    alps_medium_resize_,
    alps_medium_punch_,
    alps_medium_refill_,
    alps_shmem_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_medium_close_,
    alps_shmem_remove_,
    NULL,
    NULL,
};
