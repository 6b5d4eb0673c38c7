/* snapshot.h -- the region as it is now, in a file
 *
 * A snapshot is a region like any other, with the uuid of the one it shows: it
 * is that region at another time, and may take its place. It is what a crash
 * at this moment would have left to a next opener, and is opened in the same
 * way: an epoch begins, and what is found half done is done. All locks of the
 * heap are held while it is made, so that blocks are as a whole; small objects
 * are allocated and freed meanwhile, each of which is in it or is not. */
#pragma once
#include "copy.h"
#include "describe.h"

/* How the medium of a region is to be read. */
typedef struct alps_source {
    int file;        /* 1: it is in files; 0: there is memory only */
    unsigned mode;   /* permission bits for a copy */
    uint64_t length; /* bytes of the region */
} alps_source;

ALPS_FN_ alps_source alps_source_of_(const alps_handle *h)
{
    struct stat st;
    alps_source s = {0, 0600, alps_size_(h)};
    if (h->map.fd >= 0 && !fstat(h->map.fd, &st) && S_ISREG(st.st_mode)) {
        s.file = 1;
        s.mode = st.st_mode & 0777u;
    }
    return s;
}

/* Writes the region from memory: its front, and the extents in use. Of those
 * that are free nothing is read. */
ALPS_FN_ int alps_snapshot_memory_(const alps_handle *h, const alps_copying *c,
                                   uint64_t length)
{
    alps_zone top = alps_zone_top_(h);
    const unsigned char *base = h->map.base;
    int err = ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    if (!err)
        err = alps_copy_memory_(c->fd, base, 0, h->at.heap);
    for (uint64_t unit = 0, n; !err && unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        if (alps_code_(top.codes, unit) != ALPS_FREE)
            err = alps_copy_memory_(c->fd, base, alps_zone_off_(&top, unit),
                                    n << top.shift);
    }
    return err;
}

/* Makes `to` a copy of the region as of the last commit: what is at home, and
 * what is in the journal. It names no journal. */
ALPS_FN_ int alps_snapshot_journal_(const alps_handle *h, const char *to,
                                    unsigned mode)
{
    static const uint64_t none = 0;
    alps_copying c;
    alps_map copy;
    alps_journal *j = h->map.journal;
    uint64_t size = j->size ? j->size : alps_size_(h); // else all is at home
    int err = alps_fd_limit_(size);
    if (!err)
        err = alps_copy_begin_(&c, to, mode);
    if (err)
        return err;
    err = alps_copy_file_(&c, &h->map, size);
    memset(&copy, 0, sizeof copy);
    copy.fd = c.fd;
    if (!err && j->size)
        err = alps_home_copy_(j, &copy);
    if (!err)
        err = alps_fd_write_(c.fd, &none, sizeof none, ALPS_HOME_MARK_);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}

/* Makes `to` a copy of the region that `h` has mapped, as it is. */
ALPS_FN_ int alps_snapshot_medium_(const alps_handle *h, const char *to)
{
    alps_copying c;
    alps_source s = alps_source_of_(h);
    if (h->map.journal && h->map.journal->fd >= 0)
        return alps_snapshot_journal_(h, to, s.mode);
    if (s.file)
        return alps_copy_medium_(&h->map, s.length, to, s.mode);
    int err = alps_fd_limit_(s.length);
    if (!err)
        err = alps_copy_begin_(&c, to, s.mode);
    if (err)
        return err;
    err = alps_snapshot_memory_(h, &c, s.length);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}

/* The same where the policy keeps stores from the medium until it commits. */
ALPS_CORE_ int alps_snapshot_commit_(alps_handle *h, const char *path,
                                     const alps_tables *t)
{
    int err =
        alps_policy_commit_(t->policy, t->backend, &h->map, ALPS_COMMIT_ALL);
    if (err)
        return err;
    pthread_mutex_lock(&h->map.journal->turn);
    err = alps_snapshot_medium_(h, path);
    pthread_mutex_unlock(&h->map.journal->turn);
    return err;
}

/* See alps_snapshot. */
ALPS_CORE_ int alps_snapshot_(alps_handle *h, const char *path,
                              const alps_tables *t)
{
    if (!alps_opened_(h))
        return ALPS_EINVAL;
    if (h->map.flags & ALPS_READ_ONLY)
        return alps_snapshot_medium_(h, path);
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (t->policy->commit && h->map.sole)
        return alps_snapshot_commit_(h, path, t);
    alps_lock_all_(h, t);
    if (t->backend->write && h->map.apart) // the file is what is copied
        err = t->backend->write(&h->map, 0, alps_size_(h));
    if (!err)
        err = alps_snapshot_medium_(h, path);
    alps_unlock_all_(h);
    return err;
}
