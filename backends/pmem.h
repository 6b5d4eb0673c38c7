/* pmem.h -- persistent memory: a file on a DAX file system, or a device
 *
 * A file is mapped with MAP_SYNC where the file system grants it; then what
 * lies in the caches is all that a power failure can take, and writing lines
 * back is enough. A file system that does not grant it has metadata, or all
 * data, behind a page cache: under ALPS_STRICT that is refused, otherwise the
 * region is opened as an ordinary file, `medium` says so, and the policies
 * sync pages. A device (devdax) has no file system: its length and alignment
 * are told by sysfs, and neither can be changed. */
#pragma once
#include "../core/cpu.h"
#include "../core/medium.h"
#include "../core/sysfs.h"

/* Linux 4.15; older C libraries do not know them. */
#ifndef MAP_SHARED_VALIDATE
#  define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#  define MAP_SYNC 0x80000
#endif

/* What a file has to be aligned to, and its mapping as well, for the machine
 * to translate it by huge pages. */
#define ALPS_HUGE_PAGE_ ((uint64_t)2 << 20)

/* Where sysfs describes a character device. The numbers are taken out of the
 * word by hand: the header that does it defines `major` and `minor` as macros,
 * which a program may not want. */
ALPS_COLD_ void alps_pmem_sysfs_(dev_t device, char *dir, size_t n)
{
    uint64_t word = (uint64_t)device;
    uint64_t major_ = (word >> 8 & 0xfff) | (word >> 32 & 0xfffff000u);
    uint64_t minor_ = (word & 0xff) | (word >> 12 & 0xffffff00u);
    snprintf(dir, n, "dev/char/%llu:%llu", (unsigned long long)major_,
             (unsigned long long)minor_);
}

/* Length and alignment of the device that is open. Kernels have put the
 * alignment in different places. What has neither is not a devdax device. */
ALPS_COLD_ int alps_pmem_device_(alps_map *m, const struct stat *st)
{
    static const char *const where[] = {
        "align", "device/align", "device/dax_region/align", "dax_region/align"};
    char dir[64];
    int err = ALPS_EUNSUPPORTED;
    alps_pmem_sysfs_(st->st_rdev, dir, sizeof dir);
    if (alps_sysfs_number_(dir, "size", &m->length) || !m->length)
        return ALPS_EUNSUPPORTED;
    for (unsigned i = 0; err && i < sizeof where / sizeof *where; i++)
        err = alps_sysfs_number_(dir, where[i], &m->align);
    if (err || !m->align || m->align & (m->align - 1) || m->length % m->align)
        return ALPS_EUNSUPPORTED;
    m->fixed = 1;
    m->medium = ALPS_MEDIUM_DEVDAX;
    return ALPS_OK;
}

ALPS_COLD_ int alps_pmem_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    struct stat st;
    int err = alps_fd_open_(m, path, o ? o->mode : 0, S_IFCHR);
    if (err)
        return err;
    if (fstat(m->fd, &st))
        err = alps_oserror_();
    else if (S_ISCHR(st.st_mode))
        err = alps_pmem_device_(m, &st);
    else if (m->length == 0 && !(m->flags & ALPS_READ_ONLY))
        err = alps_fd_sync_name_(path);
    if (!err && !m->fixed)
        err = alps_medium_enter_(m, path, o);
    if (err)
        alps_medium_close_(m);
    return err;
}

/* Takes every medium for persistent memory: ALPS_PMEM_FORCE=1 in the
 * environment, for tests and measurements on machines that have none. */
ALPS_COLD_ int alps_pmem_forced_(void)
{
    const char *force = getenv("ALPS_PMEM_FORCE");
    return force && !strcmp(force, "1");
}

/* A device refuses every mapping that is not aligned as it wants, so all of it
 * is mapped, whatever part is used. */
ALPS_COLD_ int alps_pmem_map_device_(alps_map *m, uint64_t size, uint64_t align)
{
    if (size == 0 || size > m->length)
        return ALPS_EINVAL;
    int err = alps_medium_map_(m, m->length, m->length,
                               align > m->align ? align : m->align, MAP_SHARED);
    if (!err)
        m->size = size;
    return err;
}

ALPS_COLD_ int alps_pmem_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (m->fixed)
        return alps_pmem_map_device_(m, size, align);
    if (reserve >= ALPS_HUGE_PAGE_ && align < ALPS_HUGE_PAGE_)
        align = ALPS_HUGE_PAGE_;
    m->medium = ALPS_MEDIUM_FSDAX;
    int err = alps_medium_map_(m, size, reserve, align,
                               MAP_SHARED_VALIDATE | MAP_SYNC);
    if (err != ALPS_EUNSUPPORTED && err != ALPS_EINVAL)
        return err;
    if (!alps_pmem_forced_()) {
        m->medium = ALPS_MEDIUM_CACHE;
        if (m->flags & ALPS_STRICT)
            return ALPS_ENOTPMEM;
    }
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* A device has its length. A file's new length lies in the file system's
 * journal, which no write-back of lines reaches: it is synced here. */
ALPS_COLD_ int alps_pmem_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (m->fixed && size > m->length)
        return ALPS_ENOSPC;
    if (m->fixed && m->base)
        m->size = size;
    if (m->fixed)
        return ALPS_OK;
    int err = alps_medium_resize_(m, size);
    if (err || (size <= old && !m->parts))
        return err;
    return alps_medium_sync_length_(m);
}

ALPS_COLD_ int alps_pmem_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return m->fixed ? ALPS_EUNSUPPORTED : alps_medium_punch_(m, off, n);
}

ALPS_COLD_ int alps_pmem_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->fixed)
        return ALPS_OK;
    int err = alps_medium_refill_(m, off, n);
    return err ? err : alps_medium_sync_length_(m);
}

/* A device knows no msync: its lines are written back. */
ALPS_COLD_ int alps_pmem_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    if (!m->fixed)
        return alps_medium_sync_(m, off, n);
    if (m->size - off < n)
        n = m->size - off; // the last page may reach beyond
    unsigned persist = alps_persist_best_();
    int err = alps_persist_asked_(&persist);
    if (!err && alps_persist_line_(persist))
        alps_write_back_(persist, m->base + off, (size_t)n);
    alps_drain_();
    return err;
}

static const alps_backend alps_backend_pmem_ __attribute__((unused)) = {
    "pmem",
    alps_pmem_open_,
    alps_unguard_,
    alps_pmem_map_,
    alps_medium_unmap_,
    alps_pmem_resize_,
    alps_pmem_punch_,
    alps_pmem_reserve_,
    alps_pmem_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_medium_close_,
    alps_medium_remove_,
    NULL,
    NULL,
};
