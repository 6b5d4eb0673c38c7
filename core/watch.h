/* watch.h -- the way in which stores are found
 *
 * The best that the system has, or the one that was asked for. */
#pragma once
#include "protect.h"

/* Adds the pages that were, or may have been, stored to since the last time. */
ALPS_COLD_ int alps_watch_take_(const alps_map *m, uint64_t *set)
{
    switch (m->journal->way) {
    case ALPS_DIRTY_SCAN: return alps_dirty_scan_(m, set);
    case ALPS_DIRTY_PROTECT: return alps_protect_take_(m, set);
    case ALPS_DIRTY_PAGEMAP: return alps_dirty_take_(m, set);
    default: alps_dirty_add_(m, set, 0, alps_dirty_bytes_(m)); return ALPS_OK;
    }
}

/* The way that was asked for: by the environment, the options, or 0: any. */
ALPS_COLD_ int alps_watch_asked_(unsigned *way)
{
    const char *word = getenv("ALPS_DIRTY");
    if (!word || !*word)
        return *way > ALPS_DIRTY_COMPARE ? ALPS_EINVAL : ALPS_OK;
    if (!strcmp(word, "scan"))
        *way = ALPS_DIRTY_SCAN;
    else if (!strcmp(word, "protect"))
        *way = ALPS_DIRTY_PROTECT;
    else if (!strcmp(word, "pagemap"))
        *way = ALPS_DIRTY_PAGEMAP;
    else if (!strcmp(word, "compare"))
        *way = ALPS_DIRTY_COMPARE;
    else
        return ALPS_EINVAL;
    return ALPS_OK;
}

/* Whether /proc tells the truth. The first page was stored to just now; an
 * emulator shows its own memory in place of ours. */
ALPS_COLD_ int alps_watch_trusts_(const alps_map *m)
{
    int err = alps_dirty_take_(m, m->journal->due);
    return !err && alps_page_in_(m->journal->due, 0);
}

/* Begins to watch the mapping in one way. */
ALPS_COLD_ int alps_watch_in_(const alps_map *m, unsigned way)
{
    alps_journal *j = m->journal;
    int err = ALPS_OK;
    j->way = way;
    if (way == ALPS_DIRTY_COMPARE)
        return alps_watch_take_(m, j->due);
    if (!alps_watch_trusts_(m))
        return ALPS_EUNSUPPORTED;
    if (way == ALPS_DIRTY_SCAN)
        err = alps_dirty_watch_(m);
    else if (way == ALPS_DIRTY_PROTECT)
        err = alps_protect_begin_(m);
    if (err && j->uffd >= 0) {
        close(j->uffd);
        j->uffd = -1;
    }
    return err;
}

/* Begins to watch the mapping; what was stored to before counts as stored to.
 * ALPS_EUNSUPPORTED: the system does not have the way that was asked for. */
ALPS_COLD_ int alps_watch_begin_(const alps_map *m, unsigned way)
{
    static const unsigned char best[] = {ALPS_DIRTY_SCAN, ALPS_DIRTY_PROTECT,
                                         ALPS_DIRTY_PAGEMAP,
                                         ALPS_DIRTY_COMPARE};
    int err = alps_watch_asked_(&way);
    if (err)
        return err;
    m->journal->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (way)
        return alps_watch_in_(m, way);
    for (unsigned i = 0; i < sizeof best; i++) {
        err = alps_watch_in_(m, best[i]);
        if (err != ALPS_EUNSUPPORTED)
            break;
    }
    return err;
}
