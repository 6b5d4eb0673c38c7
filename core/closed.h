/* closed.h -- regions that are not open, by their names
 *
 * Each is opened for reading, inside the guard, so that nobody gets to open it
 * for writing meanwhile; nothing of it is changed. */
#pragma once
#include "snapshot.h"

/* Opens the region at `path` to look at it, in the guard: nobody gets to open
 * it for writing until it is closed. */
ALPS_CORE_ int alps_closed_open_(alps_handle *h, const char *path,
                                 const alps_tables *t)
{
    alps_options o;
    uint64_t before, length = 0;
    int err;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    do { // what seems cut short may be growing
        before = length;
        memset(h, 0, sizeof *h);
        h->map.fd = -1;
        h->map.flags = o.flags;
        h->crc = alps_crc_kind_();
        err = t->backend->open(&h->map, path, &o);
        if (err)
            return err;
        length = h->map.length;
        err = alps_region_enter_(h, &o, t);
        if (err)
            t->backend->close(&h->map);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* See alps_copy. */
ALPS_CORE_ int alps_closed_copy_(const char *from, const char *to,
                                 const alps_tables *t)
{
    alps_handle h;
    char named[ALPS_SHMEM_PATH_];
    int err = alps_closed_open_(&h, from, t);
    if (err)
        return err;
    if (t->backend->leased(&h.map, ALPS_LEASE_ANY) == 1)
        err = ALPS_EBUSY;
    if (!err && h.map.medium == ALPS_MEDIUM_SHMEM) {
        err = to && *to ? alps_shmem_path_(to, named) : ALPS_EINVAL;
        to = named;
    }
    if (!err)
        err = alps_snapshot_medium_(&h, to);
    int late = t->backend->close(&h.map);
    return err ? err : late;
}

/* See alps_consistent. */
ALPS_CORE_ int alps_closed_consistent_(const char *path, const alps_tables *t)
{
    alps_handle h;
    int err = alps_closed_open_(&h, path, t);
    if (err)
        return err;
    err = alps_region_settled_(&h, t);
    if (!err && h.map.journal && h.map.journal->marked &&
        t->backend->leased(&h.map, ALPS_LEASE_ANY) != 1)
        err = ALPS_ERECOVER; // a writer has died, and left its journal
    t->backend->close(&h.map);
    return err == ALPS_OK ? 1 : err == ALPS_ERECOVER ? 0 : err;
}

/* See alps_inspect. */
ALPS_CORE_ int alps_closed_describe_(const char *path, alps_description *d,
                                     const alps_tables *t)
{
    alps_handle h;
    int err = alps_closed_open_(&h, path, t);
    if (err)
        return err;
    alps_describe_(&h, d, t);
    return t->backend->close(&h.map);
}
