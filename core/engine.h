/* engine.h -- who pages: the system, or we
 *
 * While a region fits into the memory it may have, the system pages it as it
 * does any file, and nothing in user space is as fast. Beyond, frames of our
 * own are rewired: docs/paged.md. A region that grows beyond changes over while
 * it is in use: all of it is hidden at one stroke, and what was stored until
 * then is in the page cache, from where it is read as it is touched. */
#pragma once
#include "amount.h"
#include "capture.h"
#include "cleaner.h"
#include "group.h"
#include "server.h"

/* For alps_options.engine, and what it turned out to be. */
enum {
    ALPS_ENGINE_KERNEL = 1,     /* a shared mapping of the file */
    ALPS_ENGINE_REWIRE = 2,     /* frames of our own, faults in the thread */
    ALPS_ENGINE_USERFAULTFD = 3 /* the same, faults in a thread of ours */
};

#define ALPS_SEGMENT_MAX ((uint64_t)1 << 30)
#define ALPS_SEGMENT_DEFAULT_ ((uint64_t)1 << 20)
#define ALPS_SEGMENT_SMALL_ ((uint64_t)1 << 16)

/* What the page cache has to have for rows: the system reads up to 8 MiB ahead,
 * twice, and beside it is what is being written. */
#define ALPS_ENGINE_ROOM_ ((uint64_t)32 << 20)

/* Segments from here on are as fast past it; of smaller ones each waits for the
 * device by itself. */
#define ALPS_ENGINE_LONG_ ((uint64_t)1 << 18)

/* Mappings that are left to the rest of the program. */
#define ALPS_MAPPINGS_SPARE_ 1024u

/* Half of the memory of the machine, or of what the group may have. */
ALPS_COLD_ uint64_t alps_engine_memory_(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    uint64_t group = alps_group_memory_() / 2;
    uint64_t n = pages > 0 ? (uint64_t)pages / 2 * alps_system_page_()
                           : (uint64_t)1 << 30;
    n = group < n ? group : n;
    return n > ALPS_SEGMENT_SMALL_ ? n : ALPS_SEGMENT_SMALL_;
}

/* Whether the group leaves the page cache so little that what the system reads
 * ahead in a row has to go before it is used. */
ALPS_COLD_ int alps_engine_narrow_(const alps_pager *p)
{
    uint64_t group = alps_group_memory_();
    uint64_t ours = p->budget ? p->budget->bytes : p->memory;
    if (p->commits || (uint64_t)1 << p->shift < ALPS_ENGINE_LONG_)
        return 0;
    return group < UINT64_MAX && group < ours + ALPS_ENGINE_ROOM_;
}

/* How many mappings a process may have. */
ALPS_COLD_ uint64_t alps_engine_mappings_(void)
{
    char text[32];
    uint64_t n = 65530;
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (got > 0) {
        text[got] = 0;
        n = strtoull(text, NULL, 10);
    }
    return n;
}

/* The most frames that can be shown at once: two mappings for each, its own
 * and the nothing beside it, and two while pages of it are written. */
ALPS_COLD_ uint64_t alps_engine_most_(void)
{
    uint64_t n = alps_engine_mappings_();
    return n > 2 * ALPS_MAPPINGS_SPARE_ ? (n - ALPS_MAPPINGS_SPARE_) / 2 : 0;
}

/* The bytes of a segment, if the program has no wish: 1 MiB, less where that
 * would be few frames, more where they would be more than can be shown. */
ALPS_COLD_ uint64_t alps_engine_segment_(const alps_pager *p)
{
    uint64_t n = ALPS_SEGMENT_DEFAULT_, least = alps_system_page_();
    uint64_t most = alps_engine_most_();
    while (n > ALPS_SEGMENT_SMALL_ && p->memory / n < 64)
        n /= 2;
    while (n > least && p->memory / n <= ALPS_FRAMES_MIN)
        n /= 2;
    while (n < ALPS_SEGMENT_MAX && most && p->memory / n > most)
        n *= 2;
    return n;
}

/* What the options and the environment ask for. ALPS_EINVAL: what cannot be
 * meant. */
ALPS_COLD_ int alps_engine_ask_(alps_pager *p, const alps_options *o)
{
    static const char *const engines[] = {"kernel", "rewire", "userfaultfd"};
    static const char *const policies[ALPS_EVICTIONS] = {
        "fifo",   "lifo",  "plru",  "random", "wiro-f",
        "wiro-l", "clock", "sfifo", "2q"};
    unsigned eviction = o ? o->eviction : 0;
    p->asked = o ? o->engine : 0;
    p->memory = o ? o->memory : 0;
    p->wish = o ? o->segment : 0;
    p->faults = o ? o->faults : NULL;
    p->budget = o ? o->budget : NULL;
    uint64_t direct = o ? o->direct : 0, interval = o ? o->write_back : 0;
    int err = alps_watermark_ask_(&p->mark, o);
    if (!err)
        err = alps_ahead_ask_(&p->ahead, o);
    if (err)
        return err;
    if (alps_word_asked_("ALPS_ENGINE", engines, 3, &p->asked) ||
        alps_word_asked_("ALPS_EVICTION", policies, ALPS_EVICTIONS,
                         &eviction) ||
        alps_amount_asked_("ALPS_MEMORY", &p->memory) ||
        alps_amount_asked_("ALPS_SEGMENT", &p->wish) ||
        alps_amount_asked_("ALPS_DIRECT", &direct) || direct > 1 ||
        alps_amount_asked_("ALPS_WRITE_BACK", &interval) ||
        interval > UINT32_MAX)
        return ALPS_EINVAL;
    p->direct = (unsigned)direct;
    p->interval = (unsigned)interval;
    if (p->wish & (p->wish - 1) || p->wish > ALPS_SEGMENT_MAX ||
        (p->wish && p->wish < alps_system_page_()))
        return ALPS_EINVAL;
    if (!p->memory)
        p->memory = alps_engine_memory_();
    if (p->budget && p->memory > p->budget->bytes)
        p->memory = p->budget->bytes;
    p->eviction = alps_evict_policy_(eviction);
    if (o && o->evict && !eviction)
        p->eviction = o->evict;
    uint64_t segment = p->wish ? p->wish : alps_engine_segment_(p);
    for (p->shift = 0; (uint64_t)1 << p->shift < segment; p->shift++)
        continue;
    return ALPS_OK;
}

/* Makes what is known of the medium's opening; NULL: no memory. */
ALPS_COLD_ alps_pager *alps_engine_begin_(void)
{
    alps_pager *p = (alps_pager *)alps_pool_memory_(sizeof *p);
    if (!p)
        return NULL;
    p->pool.fd = -1;
    p->process = getpid();
    p->engine = ALPS_ENGINE_KERNEL;
    p->why = "nothing is mapped yet";
    return p;
}

/* Frames for a region of `reserved` bytes; what is kept of them counts as
 * memory as well. 0: too few. Where faults are told there are more, and no
 * mapping for each. */
ALPS_COLD_ uint32_t alps_engine_frames_(const alps_pager *p, uint64_t length,
                                        uint64_t reserved, int told)
{
    uint64_t segment = (uint64_t)1 << p->shift;
    uint64_t most = told ? 0 : alps_engine_most_(), n = p->memory >> p->shift;
    uint64_t kept = n * (sizeof(alps_page_frame) + 2 * sizeof(alps_queued)) +
                    (length >> p->shift) * sizeof *p->table + 4 * ALPS_PAGE +
                    p->memory / 64;
    uint64_t less = alps_round_up_(kept, segment) >> p->shift;
    less += told ? ALPS_FRAMES_MORE + (p->ahead.most != 0) : 0;
    n = n > less ? n - less : 0;
    if (n < ALPS_FRAMES_MIN || (most && n > most) || n >= ALPS_VICTIM_HIDE)
        return 0;
    uint64_t all = reserved >> p->shift;
    if (n > all)
        n = all > ALPS_FRAMES_MIN ? all : ALPS_FRAMES_MIN;
    return (uint32_t)n;
}

/* Gives up what was made for paging; the addresses remain. */
ALPS_COLD_ void alps_engine_stop_(alps_pager *p)
{
    alps_cleaner_stop_(p);
    alps_backing_close_(&p->backing);
    alps_budget_leave_(p);
    if (p->process == getpid() && p->range.context)
        alps_fault_detach_(p->faults, &p->range);
    memset(&p->range, 0, sizeof p->range);
    alps_server_close_(p);
    if (p->process != getpid())
        p->pool.write = NULL, p->pool.see = NULL; // the child has none
    if (p->pool.segment)
        alps_pool_close_(&p->pool);
    alps_watermark_close_(&p->mark);
    alps_echo_close_(&p->echo);
    alps_spill_close_(&p->spill);
    if (p->table)
        munmap(p->table, (size_t)p->table_n);
    if (p->state)
        munmap(p->state, (size_t)p->state_n);
    p->table = NULL;
    p->state = NULL;
    p->engine = ALPS_ENGINE_KERNEL;
}

/* The frames, and who tells of faults. Answers why not, or NULL. */
ALPS_COLD_ const char *alps_engine_pool_(alps_pager *p, uint32_t n,
                                         unsigned engine, int *err)
{
    uint64_t segment = (uint64_t)1 << p->shift;
    if (engine == ALPS_ENGINE_REWIRE) {
        *err = alps_pool_open_(&p->pool, n, segment);
        return *err ? "the system does not lend a memory file to map twice"
                    : NULL;
    }
    *err = alps_server_open_(p, segment, p->asked != 0);
    if (*err)
        return p->faults ? "the system refuses userfaultfd"
                         : "the program has no handler for faults "
                           "(ALPS_FAULTS), and the system refuses userfaultfd";
    *err = alps_pool_told_(&p->pool, &p->uffd, n, segment);
    return *err ? "the system does not tell of faults in its frames" : NULL;
}

/* So many bytes of the files are the region's: who commits all at once cuts
 * them later, and what is behind its addresses is none of its own. */
ALPS_FN_ uint64_t alps_engine_length_(const alps_map *m, uint64_t reserved)
{
    uint64_t length = m->sole ? m->size : m->length;
    return length < reserved ? length : reserved;
}

/* Makes ready to page `reserved` bytes from `base` on, whole segments, of which
 * the files of `m` have a part. Answers why not, or NULL; `*err` is a code. */
ALPS_COLD_ const char *alps_engine_start_(alps_pager *p, const alps_map *m,
                                          unsigned char *base,
                                          uint64_t reserved, unsigned engine,
                                          int *err)
{
    int told = engine == ALPS_ENGINE_USERFAULTFD;
    uint64_t length = alps_engine_length_(m, reserved);
    *err = ALPS_EINVAL;
    if (!p->faults && !told)
        return "the program has no handler for faults (ALPS_FAULTS)";
    int narrow = alps_engine_narrow_(p);
    if (narrow && !p->ahead.most)
        p->ahead.most = ALPS_AHEAD_NARROW_;
    uint32_t n = alps_engine_frames_(p, length, reserved, told);
    if (!n)
        return "the memory is too few segments, or more than the system maps";
    *err = ALPS_ENOMEM;
    p->table_n = (reserved >> p->shift) * sizeof *p->table;
    p->state_n = p->eviction->room(n);
    p->table = (uint32_t *)alps_pool_memory_(p->table_n);
    p->state = alps_pool_memory_(p->state_n);
    if (!p->table || !p->state)
        return "there is no memory for its tables";
    *err = alps_watermark_open_(&p->mark, n);
    if (*err)
        return "there is no memory for its tables";
    const char *why = alps_engine_pool_(p, n, engine, err);
    if (why)
        return why;
    *err = alps_budget_join_(p);
    if (*err)
        return "the budget has not enough left";
    *err = alps_backing_open_(&p->backing, m, p->direct, narrow);
    if (*err)
        return "the file system reads and writes by way of its cache only";
    alps_ahead_open_(&p->ahead, told && !p->uffd.guess ? 0 : n);
    p->eviction->begin(p->state, n);
    p->base = p->pool.base = base;
    p->length = length;
    p->reserved = reserved;
    p->young = 8;
    p->range.from = base;
    p->range.n = reserved;
    p->range.touched = alps_pager_touched_;
    p->range.context = p;
    *err = told ? ALPS_OK : alps_fault_attach_(p->faults, &p->range);
    if (*err || told)
        p->range.context = NULL;
    if (*err)
        return "the system does not let us handle faults";
    *err = alps_cleaner_start_(p);
    return *err ? "there is no thread to be had for its cleaner" : NULL;
}

/* Begins to page what it is ready for. */
ALPS_COLD_ const char *alps_engine_go_(alps_pager *p, unsigned engine, int *err)
{
    p->written = p->unheld = 1; // what was stored so far is not synced
    __atomic_store_n(&p->engine, engine, __ATOMIC_SEQ_CST);
    *err = alps_view_begin_(&p->pool, p->reserved);
    if (*err)
        return p->pool.uffd ? "the system does not tell of faults in the region"
                            : "the system does not hide the region";
    if (p->pool.uffd)
        *err = alps_server_start_(p);
    return *err ? "there is no thread to be had for its faults" : NULL;
}

/* Who else may have the file open while we keep parts of it: nobody. Who
 * commits all at once is the only one to write already, and readers have what
 * was committed. */
ALPS_COLD_ int alps_engine_alone_(const alps_map *m, int alone)
{
    if (m->sole)
        return ALPS_OK;
    int err = alps_sole_lock_(m->fd, alone);
    if (!err && alone)
        err = alps_apart_lock_(m->fd, F_WRLCK);
    if (err && alone)
        alps_sole_lock_(m->fd, 0);
    if (!alone)
        alps_apart_lock_(m->fd, F_UNLCK);
    return err;
}

/* Which engine a region of `size` bytes is to have, and why. Where the program
 * has no handler, faults are told to a thread of ours. */
ALPS_COLD_ unsigned alps_engine_choose_(alps_pager *p, const alps_map *m,
                                        uint64_t size)
{
    p->why = "the region is open to be read: the system drops its pages freely";
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENGINE_KERNEL;
    p->why = "it was asked for";
    if (p->asked)
        return p->asked;
    p->why = "the region fits into its memory";
    if (size <= p->memory && !p->budget)
        return ALPS_ENGINE_KERNEL;
    p->why = p->budget ? "the region shares its memory"
                       : "the region is larger than its memory";
    if (p->faults)
        return ALPS_ENGINE_REWIRE;
    p->why = p->budget ? "the region shares its memory, and the program has no "
                         "handler for faults (ALPS_FAULTS)"
                       : "the region is larger than its memory, and the "
                         "program has no handler for faults (ALPS_FAULTS)";
    return ALPS_ENGINE_USERFAULTFD;
}

/* Begins to page the addresses of `m`, whatever they showed before. Where that
 * is refused the code says so, `why` tells, and nothing has changed. */
ALPS_COLD_ int alps_engine_page_(alps_pager *p, alps_map *m, unsigned engine,
                                 unsigned char *base, uint64_t reserved)
{
    const char *why = "it is open elsewhere";
    const char *good = p->why;
    int err = alps_engine_alone_(m, 1);
    if (err)
        p->why = why;
    if (err)
        return err;
    why = alps_engine_start_(p, m, base, reserved, engine, &err);
    if (!why && m->sole) {
        err = alps_capture_open_(m, reserved);
        why = err ? "the journal beside it is not to be had" : NULL;
    }
    if (!why)
        why = alps_engine_go_(p, engine, &err);
    if (!why && p->uffd.part)
        good = "it was asked for; system calls on what is not in memory fail, "
               "for the system refuses more";
    if (why) {
        alps_engine_stop_(p);
        alps_engine_alone_(m, 0);
    }
    p->why = why ? why : good;
    __atomic_store_n(&m->apart, why == NULL, __ATOMIC_RELAXED);
    return err;
}

/* Whether we page it, and not the system. */
ALPS_FN_ int alps_engine_ours_(const alps_map *m)
{
    return __atomic_load_n(&m->pager->engine, __ATOMIC_SEQ_CST) !=
           ALPS_ENGINE_KERNEL;
}

/* All that is dirty is written before the addresses go. In the child of a fork
 * they never came, and may be another's. */
ALPS_COLD_ int alps_engine_unmap_(alps_map *m)
{
    alps_pager *p = m->pager;
    if (!m->base || !alps_engine_ours_(m))
        return alps_medium_unmap_(m);
    int err = ALPS_OK;
    int ours = p->process == getpid();
    alps_cleaner_stop_(p);
    alps_budget_leave_(p); // from now on no thread but this one is at it
    if (ours && !m->sole)  // or else what was not committed is dropped
        err = alps_writeback_(p, 0, p->length, NULL);
    alps_server_stop_(p); // before others have the addresses
    if (ours) {
        int late = alps_let_addresses_(p->base, p->reserved, m->door);
        err = err ? err : late;
    }
    alps_engine_stop_(p);
    if (ours)
        alps_engine_alone_(m, 0);
    m->apart = 0;
    m->base = NULL;
    m->size = m->reserved = 0;
    return err;
}

/* Bytes [off, off + n) are on the medium. A mapping that the system was asked
 * to sync may be ours when it is done: then the file is synced once more. */
ALPS_COLD_ int alps_engine_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    int err = ALPS_OK;
    if (!alps_engine_ours_(m))
        err = alps_medium_sync_(m, off, n);
    if (err || m->sole || !alps_engine_ours_(m))
        return err; // what is committed all at once is not synced otherwise
    alps_telling telling;
    alps_progress_begin_(&telling, m, alps_writeback_due_(m->pager, n));
    err = alps_writeback_(m->pager, off, n, &telling);
    if (!err)
        err = alps_writeback_fence_(m->pager);
    if (!err)
        alps_progress_end_(&telling);
    return err;
}
