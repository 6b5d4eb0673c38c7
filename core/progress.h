/* progress.h -- how far a long sync is, told to the program
 *
 * A sync of gigabytes takes seconds. Whoever asked for it is told now and then
 * how much is written, by a function of its own, on its own thread, while no
 * latch is held; docs/options.md has what it may do. */
#pragma once
#include "backend.h"

/* How far a sync is, and who wants to know. */
typedef struct alps_telling {
    alps_progress *tell; /* or NULL: nobody */
    void *context;
    uint64_t done, total; /* bytes */
    pid_t process;        /* whose function it is: not a clone's */
} alps_telling;

/* A call of the program's function, the only one there is. */
ALPS_COLD_ void alps_progress_tell_(const alps_telling *s)
{
    if (s->tell && s->process == getpid())
        s->tell(s->context, s->done, s->total);
}

/* A sync begins that is to write so many bytes. */
ALPS_COLD_ void alps_progress_begin_(alps_telling *s, const alps_map *m,
                                     uint64_t total)
{
    s->tell = m->progress;
    s->context = m->progress_context;
    s->done = 0;
    s->total = total;
    s->process = s->tell ? getpid() : 0;
    if (total)
        alps_progress_tell_(s);
}

/* It is to write so many more. */
ALPS_COLD_ void alps_progress_add_(alps_telling *s, uint64_t n)
{
    int first = !s->total;
    s->total += n;
    if (first && n)
        alps_progress_tell_(s);
}

/* So many are written, or were found to be there already. */
ALPS_COLD_ void alps_progress_step_(alps_telling *s, uint64_t n)
{
    if (s->total - s->done < n) // others have stored meanwhile
        alps_progress_add_(s, n - (s->total - s->done));
    s->done += n;
    if (n)
        alps_progress_tell_(s);
}

/* All that it had to do is done. */
ALPS_COLD_ void alps_progress_end_(alps_telling *s)
{
    s->done = s->total;
    if (s->total)
        alps_progress_tell_(s);
}
