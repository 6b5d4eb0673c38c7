/* dirty.h -- which pages were stored to
 *
 * Of a mapping that is this process's alone. The kernel knows, and there are
 * three ways to ask it; docs/checkpoint.md compares them. The structures and
 * numbers are Linux's, for C libraries that do not have them yet. */
#pragma once
#include "home.h"
#include <sys/ioctl.h>

typedef struct alps_scan_run {
    uint64_t from, to, categories;
} alps_scan_run;

typedef struct alps_scan_ask {
    uint64_t size, flags, from, to, walked, runs, room, most;
    uint64_t inverted, all, any, answer;
} alps_scan_ask;

#define ALPS_SCAN_RUNS_ 128u
#define ALPS_PAGEMAP_SCAN_ _IOWR('f', 16, alps_scan_ask)
#define ALPS_SCAN_PROTECT_ 3u /* what matches; refused if there is no uffd */
#define ALPS_SCAN_WRITTEN_ 2u
#define ALPS_SCAN_FILE_ 4u
#define ALPS_SCAN_PRESENT_ 8u
#define ALPS_SCAN_SWAPPED_ 16u
#define ALPS_SCAN_ZERO_ 32u

typedef struct alps_uffd_api {
    uint64_t api, features, calls;
} alps_uffd_api;

typedef struct alps_uffd_register {
    uint64_t from, n, mode, calls;
} alps_uffd_register;

#define ALPS_UFFD_API_ _IOWR(0xAA, 0x3F, alps_uffd_api)
#define ALPS_UFFD_REGISTER_ _IOWR(0xAA, 0x00, alps_uffd_register)
#define ALPS_UFFD_ASYNC_ ((1u << 15) | (1u << 13)) /* and unpopulated pages */
#define ALPS_UFFD_PROTECT_ 2u

/* Adds the pages in bytes [from, to) of the mapping. */
ALPS_FN_ void alps_dirty_add_(const alps_map *m, uint64_t *set, uint64_t from,
                              uint64_t to)
{
    uint64_t end = (m->size + ALPS_PAGE - 1) / ALPS_PAGE;
    to = to / ALPS_PAGE < end ? to / ALPS_PAGE : end;
    for (uint64_t page = from / ALPS_PAGE; page < to; page++)
        alps_page_add_(set, page);
}

/* Bytes of the mapping that may have been stored to. */
ALPS_FN_ uint64_t alps_dirty_bytes_(const alps_map *m)
{
    return alps_round_up_(m->size, alps_system_page_());
}

/* Adds the pages in bytes [from, to) of the mapping that were stored to, and
 * protects them again; but those of these categories, of which the system is
 * not to be asked in vain: to tell a file's page takes it three times as long
 * as all else. */
ALPS_COLD_ int alps_dirty_range_(const alps_map *m, uint64_t *set,
                                 uint64_t from, uint64_t to, uint64_t but)
{
    alps_scan_run run[ALPS_SCAN_RUNS_];
    alps_scan_ask ask;
    uint64_t base = (uint64_t)(uintptr_t)m->base;
    memset(&ask, 0, sizeof ask);
    ask.size = sizeof ask;
    ask.flags = ALPS_SCAN_PROTECT_;
    ask.from = base + from;
    ask.to = base + to;
    ask.runs = (uint64_t)(uintptr_t)run;
    ask.room = ALPS_SCAN_RUNS_;
    ask.inverted = but;
    ask.all = ALPS_SCAN_WRITTEN_ | but;
    ask.any = ALPS_SCAN_PRESENT_ | ALPS_SCAN_SWAPPED_;
    ask.answer = ALPS_SCAN_WRITTEN_;
    while (ask.from < ask.to) {
        int n = ioctl(m->journal->pagemap, ALPS_PAGEMAP_SCAN_, &ask);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alps_oserror_();
        for (int i = 0; i < n; i++)
            alps_dirty_add_(m, set, run[i].from - base, run[i].to - base);
        ask.from = ask.walked;
    }
    return ALPS_OK;
}

/* The same of the whole mapping: what is the file's, and the rest. */
ALPS_COLD_ int alps_dirty_scan_(const alps_map *m, uint64_t *set)
{
    uint64_t end = alps_dirty_bytes_(m), filed = m->journal->filed * ALPS_PAGE;
    if (filed > end)
        filed = end;
    int err =
        alps_dirty_range_(m, set, 0, filed, ALPS_SCAN_FILE_ | ALPS_SCAN_ZERO_);
    return err ? err : alps_dirty_range_(m, set, filed, end, ALPS_SCAN_ZERO_);
}

/* Adds pages of the system's, of which `n` from number `first` on have these
 * entries of the pagemap. */
typedef int alps_dirty_look(const alps_map *m, uint64_t *set,
                            const uint64_t *entry, uint64_t first, uint64_t n);

/* Those that are not the file's any more. */
ALPS_COLD_ int alps_dirty_own_(const alps_map *m, uint64_t *set,
                               const uint64_t *entry, uint64_t first,
                               uint64_t n)
{
    uint64_t page = alps_system_page_();
    for (uint64_t i = first; i < first + n; i++, entry++)
        if (*entry >> 62 && !(*entry >> 61 & 1))
            alps_dirty_add_(m, set, i * page, (i + 1) * page);
    return ALPS_OK;
}

/* Has all entries looked at. Forced inline: what looks is a constant there. */
ALPS_FAST_ int alps_dirty_walk_(const alps_map *m, uint64_t *set,
                                alps_dirty_look *look)
{
    uint64_t entry[512], page = alps_system_page_();
    uint64_t first = (uint64_t)(uintptr_t)m->base / page;
    uint64_t end = alps_dirty_bytes_(m) / page, k;
    for (uint64_t i = 0; i < end; i += k) {
        k = end - i < 512 ? end - i : 512;
        int err = alps_fd_read_(m->journal->pagemap, entry, k * sizeof *entry,
                                (first + i) * sizeof *entry);
        if (!err)
            err = look(m, set, entry, i, k);
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* Adds the pages that are not the file's any more. */
ALPS_COLD_ int alps_dirty_take_(const alps_map *m, uint64_t *set)
{
    return alps_dirty_walk_(m, set, alps_dirty_own_);
}

/* Has stores to the whole mapping noted by the kernel itself. */
ALPS_COLD_ int alps_dirty_watch_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_uffd_api api = {0xAA, ALPS_UFFD_ASYNC_, 0};
    alps_uffd_register all = {(uint64_t)(uintptr_t)m->base,
                              alps_round_up_(m->reserved, alps_system_page_()),
                              ALPS_UFFD_PROTECT_, 0};
    // 1: for faults of the program only, which needs no privilege
    j->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
    if (j->uffd < 0 || ioctl(j->uffd, ALPS_UFFD_API_, &api) ||
        ioctl(j->uffd, ALPS_UFFD_REGISTER_, &all))
        return ALPS_EUNSUPPORTED;
    return alps_dirty_scan_(m, j->due);
}
