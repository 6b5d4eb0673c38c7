/* checkpoint.h -- all at once, when the program says so
 *
 * For ordinary files: stores go to memory of this process alone, and a commit
 * carries all that changed to the medium, atomically, as of one moment.
 * docs/checkpoint.md has the protocol, and what that moment is when other
 * threads go on. While a region is made its mapping is shared, and pages are
 * synced as under msync. */
#pragma once
#include "../core/sole.h"
#include "../core/cleaner.h"
#include "../core/gather.h"
#include "../core/turn.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* How often pages are copied again because somebody stored to them, before the
 * process is cloned. */
#ifndef ALPS_CHECKPOINT_ROUNDS
#  define ALPS_CHECKPOINT_ROUNDS 4u
#endif

ALPS_COLD_ int alps_checkpoint_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_CHECKPOINT;
    return m->flags & ALPS_STRICT && alps_gather_in_vain_(m) ? ALPS_ENOTPMEM
                                                             : ALPS_OK;
}

/* The order of the program is the order in memory; nothing else counts until
 * the commit. */
ALPS_FN_ int alps_checkpoint_flush_(alps_map *m, const void *p, size_t n)
{
    return ALPS_LIKELY_(m->sole) ? ALPS_OK : alps_gather_flush_(m, p, n);
}

ALPS_FN_ int alps_checkpoint_stream_(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return alps_checkpoint_flush_(m, to, ALPS_LINE);
}

ALPS_FAST_ int alps_checkpoint_fence_(alps_map *m, const alps_backend *b)
{
    ALPS_BARRIER_();
    return ALPS_LIKELY_(m->sole) ? ALPS_OK : alps_gather_fence_(m, b);
}

ALPS_FN_ int alps_checkpoint_settle_(alps_map *m)
{
    (void)m;
    ALPS_BARRIER_();
    return ALPS_OK;
}

/* The region is open and m->reserved bytes may be stored to. */
ALPS_COLD_ int alps_checkpoint_begin_(alps_map *m, const alps_options *o)
{
    alps_journal *j = m->journal;
    if (!j)
        return ALPS_EUNSUPPORTED; // a backend that knows no journal
    if (m->apart)
        return ALPS_OK; // one that commits by itself, and has begun
    int err = alps_journal_room_(j, m->reserved / ALPS_PAGE + 1);
    if (err)
        return err;
    alps_sole_known_(m);
    uint64_t words = alps_page_words_(j->size / ALPS_PAGE);
    for (uint64_t i = 0; i < words; i++) // what a reader keeps from home
        if (j->here[i])
            j->known[i] |= j->here[i];
    return alps_watch_begin_(m, o->dirty);
}

/* Whether no thread but this one can store anything. */
ALPS_COLD_ int alps_checkpoint_alone_(const alps_journal *j)
{
    struct stat st; // a directory, with a link from each thread's
    unsigned threads = j->way == ALPS_DIRTY_PROTECT ? 2 : 1;
    return !stat("/proc/self/task", &st) && st.st_nlink == 2 + threads;
}

/* Pages of the region, which another thread may make larger: to be asked for
 * after a look at what is dirty, so that nothing of that is passed over. Its
 * limit would be far more: sets of 256 GiB take 4 ms to go through. */
ALPS_FN_ uint64_t alps_checkpoint_pages_(const alps_map *m)
{
    return (m->size + ALPS_PAGE - 1) / ALPS_PAGE;
}

/* Writes the pages of `set` as one frame, but for its head. */
ALPS_COLD_ int alps_checkpoint_copy_(const alps_map *m, alps_frame *f,
                                     const uint64_t *set)
{
    uint64_t end = alps_checkpoint_pages_(m);
    alps_frame_begin_(m->journal, f, alps_pages_count_(set, end), m->size);
    return alps_frame_add_(m, f, set, end);
}

/* What the clone does: when the pages are known it copies them, and ends. */
ALPS_COLD_ void alps_checkpoint_in_clone_(const alps_map *m, pid_t parent)
{
    alps_journal *j = m->journal;
    struct timespec nap = {0, 20000};
    alps_frame f;
    unsigned go;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (!(go = __atomic_load_n(&j->go, __ATOMIC_ACQUIRE)) &&
           getppid() == parent)
        nanosleep(&nap, NULL);
    int err = go == 1 ? alps_checkpoint_copy_(m, &f, j->again) : ALPS_ESYSTEM;
    if (!err)
        err = alps_frame_end_with_(j, &f, 1);
    syscall(SYS_exit_group, -err);
}

/* Waits for the clone; answers the code it ended with. */
ALPS_COLD_ int alps_checkpoint_reap_(pid_t clone)
{
    int status;
    pid_t got;
    do
        got = waitpid(clone, &status, 0x40000000); // __WALL
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return alps_oserror_();
    return WIFEXITED(status) ? -WEXITSTATUS(status) : ALPS_ESYSTEM;
}

/* Completes the commit by a clone of the process, whose memory stands still:
 * the pages of `again`, and those stored to until it does. */
ALPS_COLD_ int alps_checkpoint_clone_(const alps_map *m)
{
    alps_journal *j = m->journal;
    sigset_t all, old;
    pid_t parent = getpid();
    sigfillset(&all);
    __atomic_store_n(&j->go, 0u, __ATOMIC_RELAXED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t clone = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (clone < 0 && errno == EINVAL) // an emulator that knows fork only
        clone = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!clone)
        alps_checkpoint_in_clone_(m, parent);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (clone < 0)
        return alps_oserror_();
    int err = alps_watch_take_(m, j->later);
    uint64_t words = alps_page_words_(alps_checkpoint_pages_(m));
    for (uint64_t i = 0; i < words; i++)
        if (j->later[i])
            j->again[i] |= j->later[i];
    __atomic_store_n(&j->go, err ? 2u : 1u, __ATOMIC_RELEASE);
    int late = alps_checkpoint_reap_(clone);
    return err ? err : late;
}

/* Copies the pages of `due`, and those stored to meanwhile, until nobody has
 * stored to any between two looks; or else by a clone. */
ALPS_COLD_ int alps_checkpoint_rounds_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_frame f;
    int err = alps_checkpoint_copy_(m, &f, j->due);
    for (unsigned round = 0; !err; round++) {
        err = alps_watch_take_(m, j->again);
        uint64_t end = alps_checkpoint_pages_(m);
        uint64_t n = alps_pages_count_(j->again, end);
        if (err || !n)
            break;
        alps_progress_add_(&j->telling, n * ALPS_PAGE);
        err = alps_frame_end_with_(j, &f, 0);
        if (!err && round == ALPS_CHECKPOINT_ROUNDS)
            return alps_checkpoint_clone_(m);
        if (!err)
            err = alps_checkpoint_copy_(m, &f, j->again);
        alps_pages_move_(j->due, j->again, end);
    }
    return err ? err : alps_frame_end_with_(j, &f, 1);
}

/* The same, where nobody else can store, so that one look is enough. What is
 * due may be candidates, of which perhaps none has changed. */
ALPS_COLD_ int alps_checkpoint_once_(const alps_map *m)
{
    alps_frame f;
    int err = alps_checkpoint_copy_(m, &f, m->journal->due);
    if (err || !f.head.count)
        return err;
    return alps_frame_end_with_(m->journal, &f, 1);
}

/* Writes the frames of a commit: the state of the region at a moment in this
 * call. They are not durable yet. */
ALPS_COLD_ int alps_checkpoint_capture_(const alps_map *m)
{
    alps_journal *j = m->journal;
    uint64_t *mark = (uint64_t *)(void *)(m->base + ALPS_HOME_MARK_);
    if (*mark != j->id)
        alps_store_(mark, j->id);
    int err = alps_watch_take_(m, j->due);
    uint64_t end = alps_checkpoint_pages_(m);
    uint64_t n = alps_pages_count_(j->due, end);
    alps_progress_begin_(&j->telling, m, n * ALPS_PAGE);
    if (err || !n)
        return err;
    if (alps_checkpoint_alone_(j))
        return alps_checkpoint_once_(m);
    if (j->way == ALPS_DIRTY_SCAN || j->way == ALPS_DIRTY_PROTECT)
        return alps_checkpoint_rounds_(m);
    alps_pages_move_(j->again, j->due, end);
    return alps_checkpoint_clone_(m);
}

/* The first half of a commit: up to the moment. */
ALPS_COLD_ int alps_checkpoint_first_(alps_map *m)
{
    alps_journal *j = m->journal;
    uint64_t end = alps_checkpoint_pages_(m);
    int err = alps_journal_ready_(m); // which may begin it anew
    j->was_tail = j->tail;
    j->was_seq = j->seq;
    j->was_before = j->before;
    alps_pages_move_(j->going, j->gone, end);
    return err ? err : alps_checkpoint_capture_(m);
}

/* The second half: durable, or as if it had never begun. */
ALPS_COLD_ int alps_checkpoint_last_(alps_map *m, int err)
{
    alps_journal *j = m->journal;
    uint64_t end = alps_checkpoint_pages_(m);
    if (!err && j->tail != j->was_tail)
        err = alps_fd_sync_data_(j->fd);
    if (!err)
        err = alps_journal_note_(j, j->was_tail, j->tail);
    if (err) {
        j->tail = j->was_tail;
        j->seq = j->was_seq;
        j->before = j->was_before;
        alps_pages_move_(j->gone, j->going, end);
    } else {
        alps_pages_move_(j->hole, j->going, end);
        alps_pages_clear_(j->due, end);
        alps_pages_clear_(j->again, end);
    }
    alps_pages_move_(j->due, j->again, end);
    alps_pages_move_(j->due, j->later, end);
    if (!err && j->tail > ALPS_JOURNAL_MAX)
        alps_home_come_(m); // or the next time
    if (!err)
        alps_progress_end_(&j->telling);
    return err;
}

/* See turn.h. */
ALPS_COLD_ int alps_checkpoint_commit_(alps_map *m, unsigned part)
{
    return alps_turn_(m, part, alps_checkpoint_first_, alps_checkpoint_last_);
}

/* Brings all home, so that the file is the region and nothing else is needed.
 * With a reader there that is left to whoever opens it next. */
ALPS_COLD_ int alps_checkpoint_end_(alps_map *m)
{
    uint64_t length = 0;
    if (m->pager)
        alps_cleaner_stop_(m->pager); // it spills, and this is the end of that
    int err = alps_home_come_(m);
    if (!err)
        err = alps_home_lock_(m->fd, F_WRLCK, 0);
    if (err)
        return err == ALPS_EBUSY ? ALPS_OK : err;
    if (m->journal->size == m->size && !alps_medium_length_(m, &length) &&
        length > m->size)
        err = alps_medium_cut_(m, m->size); // it was cut, and says so at home
    if (!err)
        err = alps_journal_remove_(m);
    alps_home_lock_(m->fd, F_UNLCK, 0);
    return err;
}

static const alps_policy alps_policy_checkpoint_ __attribute__((unused)) = {
    "checkpoint",
    0,
    alps_checkpoint_open_,
    alps_checkpoint_flush_,
    alps_checkpoint_stream_,
    alps_checkpoint_fence_,
    alps_checkpoint_settle_,
    alps_checkpoint_begin_,
    alps_checkpoint_commit_,
    alps_checkpoint_end_,
};
