/* filed.h -- a region's file, and the journal beside it
 *
 * How a file is opened for a region, closed and removed: its place among those
 * who have it open, and what commits of a crash are in the journal. */
#pragma once
#include "sole.h"

/* What can be seen of the journal, and of the mark, is durable: who was killed
 * may have written it and not synced it. */
ALPS_COLD_ int alps_filed_certain_(const alps_map *m)
{
    if (m->journal->fd < 0)
        return ALPS_OK;
    int err = alps_fd_sync_data_(m->journal->fd);
    return err ? err : alps_medium_sync_data_(m);
}

/* Commits that a crash left in the journal come home. While a reader keeps them
 * from it only one who writes alone can open the region. */
ALPS_COLD_ int alps_filed_recover_(alps_map *m)
{
    int err = alps_filed_certain_(m);
    if (!err)
        err = alps_home_come_(m);
    if (err == ALPS_EBUSY && m->sole)
        err = ALPS_OK;
    if (!err && !m->sole && !m->journal->lost)
        err = alps_journal_remove_(m);
    return err ? err : alps_medium_length_(m, &m->length);
}

/* Finds its place among those who have the file open, and the journal. */
ALPS_COLD_ int alps_filed_enter_(alps_map *m, const char *path)
{
    int reads = (m->flags & ALPS_READ_ONLY) != 0;
    int err = reads ? alps_apart_lock_(m->fd, F_RDLCK)
                    : alps_sole_lock_(m->fd, m->sole != 0);
    if (!err && reads)
        err = alps_home_lock_(m->fd, F_RDLCK, 1);
    // the name of a new file is durable before anything is in it
    if (!err && !reads && m->length == 0)
        err = alps_fd_sync_name_(path);
    if (!err)
        err = alps_journal_open_(m, path);
    return err || reads ? err : alps_filed_recover_(m);
}

ALPS_COLD_ int alps_filed_close_(alps_map *m)
{
    if (m->journal)
        alps_protect_end_(m->journal);
    alps_journal_close_(m);
    return alps_medium_close_(m);
}

ALPS_COLD_ int alps_filed_open_(alps_map *m, const char *path,
                                const alps_options *o)
{
    int err = alps_fd_open_(m, path, o ? o->mode : 0, 0);
    if (err)
        return err;
    m->medium = ALPS_MEDIUM_CACHE;
    err = alps_medium_enter_(m, path, o);
    if (!err)
        err = alps_filed_enter_(m, path);
    if (err)
        alps_filed_close_(m);
    return err;
}

/* A journal that is left beside a region means nothing without it. */
ALPS_COLD_ int alps_filed_remove_(const char *path)
{
    char real[4096], journal[4096 + 8];
    int fd = path ? open(path, O_CLOEXEC | ALPS_O_PATH_) : -1;
    int known = fd >= 0 && !alps_fd_path_(fd, path, real);
    int err = alps_medium_remove_(path);
    if (fd >= 0)
        close(fd);
    if (!err && known) {
        snprintf(journal, sizeof journal, "%s.journal", real);
        unlink(journal);
    }
    return err;
}
