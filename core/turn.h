/* turn.h -- one thread commits, for all that wait
 *
 * A commit has two halves: up to the moment whose state it is, and what makes
 * that durable. Threads that come while one commits wait for it, and one of
 * them commits for all. */
#pragma once
#include "frame.h"
#include "policy.h"

/* The halves. The second is told how the first ended, and answers how the whole
 * did; where that is no 0 it is as if the commit had never begun. */
typedef int alps_turn_first(alps_map *m);
typedef int alps_turn_last(alps_map *m, int err);

/* One half of a commit. The turn is this thread's in between. */
ALPS_FAST_ int alps_turn_half_(alps_map *m, unsigned part,
                               alps_turn_first *first, alps_turn_last *last)
{
    alps_journal *j = m->journal;
    int err;
    if (part == ALPS_COMMIT_BEGIN) {
        pthread_mutex_lock(&j->turn);
        __atomic_add_fetch(&j->begun, 1, __ATOMIC_SEQ_CST);
        err = first(m);
        j->half = !err;
        if (!err)
            return ALPS_OK;
    } else if (!j->half) {
        return ALPS_EINVAL;
    } else {
        err = ALPS_OK;
        j->half = 0;
    }
    err = last(m, err);
    if (!err)
        j->done = j->begun;
    pthread_mutex_unlock(&j->turn);
    return err;
}

/* Makes everything so far durable, or does a half of that. */
ALPS_FAST_ int alps_turn_(alps_map *m, unsigned part, alps_turn_first *first,
                          alps_turn_last *last)
{
    alps_journal *j = m->journal;
    uint64_t seen = __atomic_fetch_add(&j->begun, 0, __ATOMIC_SEQ_CST);
    int err = ALPS_OK;
    if (part != ALPS_COMMIT_ALL)
        return alps_turn_half_(m, part, first, last);
    pthread_mutex_lock(&j->turn);
    if (j->done <= seen) {
        uint64_t number = __atomic_add_fetch(&j->begun, 1, __ATOMIC_SEQ_CST);
        err = last(m, first(m));
        if (!err)
            j->done = number;
    }
    pthread_mutex_unlock(&j->turn);
    return err;
}
