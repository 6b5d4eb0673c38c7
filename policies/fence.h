/* fence.h -- the caches persist
 *
 * For machines whose caches are inside the persistence domain (eADR): a store
 * is durable when it is visible, so nothing is written back and only the order
 * of stores counts. Records are copied by ordinary stores, not past the caches:
 * ordinary stores keep their order among themselves, non-temporal ones would
 * not. The fence is for those that the program itself may have used.
 *
 * The program chooses this policy, and is believed. Under ALPS_STRICT the
 * kernel is asked, which knows the persistence domain of every region of
 * persistent memory; only ALPS_PERSIST=eadr in the environment overrules it. */
#pragma once
#include "../core/persist.h"
#include "../core/sysfs.h"
#include <dirent.h>

#define ALPS_REGIONS_ "bus/nd/devices"

/* Whether the caches of region `name` persist. */
ALPS_COLD_ int alps_fence_persists_(const char *name)
{
    char dir[ALPS_SYSFS_PATH_], domain[64];
    int n = snprintf(dir, sizeof dir, "%s/%s", ALPS_REGIONS_, name);
    if (n < 0 || (size_t)n >= sizeof dir)
        return 0;
    if (alps_sysfs_text_(dir, "persistence_domain", domain, sizeof domain))
        return 0;
    return !strcmp(domain, "cpu_cache");
}

/* Whether the machine has regions of persistent memory, and all of them have
 * the caches inside: which of them holds the file is not ours to know. */
ALPS_COLD_ int alps_fence_eadr_(void)
{
    char path[ALPS_SYSFS_PATH_];
    int regions = 0, persist = 0;
    int n = snprintf(path, sizeof path, "%s/%s", ALPS_SYSFS, ALPS_REGIONS_);
    DIR *dir = n > 0 && (size_t)n < sizeof path ? opendir(path) : NULL;
    if (!dir)
        return 0;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (strncmp(d->d_name, "region", 6))
            continue;
        regions++;
        persist += alps_fence_persists_(d->d_name);
    }
    closedir(dir);
    return regions && persist == regions;
}

ALPS_COLD_ int alps_fence_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    int err = alps_persist_choose_(m, ALPS_PERSIST_NONE);
    if (err || m->persist != ALPS_PERSIST_NONE)
        return err; // pages, or what the environment asks for
    m->persist = ALPS_PERSIST_EADR;
    return m->flags & ALPS_STRICT && !alps_fence_eadr_() ? ALPS_ENOTPMEM
                                                         : ALPS_OK;
}

static const alps_policy alps_policy_fence_ __attribute__((unused)) = {
    "fence",
    1,
    alps_fence_open_,
    alps_persist_flush_,
    alps_persist_stream_,
    alps_persist_fence_,
    alps_persist_settle_,
    NULL,
    NULL,
    NULL,
};
