/* report.h -- what is wrong with a region, in words
 *
 * The first few things with their places, and how many there are. */
#pragma once
#include "layout.h"

#define ALPS_PROBLEMS 8

/* One thing that is not as it should be. */
typedef struct alps_problem {
    int code;         /* ALPS_ECORRUPT, or why it could not be looked at */
    alps_off off;     /* where */
    const char *text; /* what */
} alps_problem;

/* What alps_check found. */
typedef struct alps_report {
    uint64_t problems;                 /* how many */
    alps_problem first[ALPS_PROBLEMS]; /* the first of them */
    uint64_t blocks, runs, reserved;   /* seen on the way; counts */
    uint64_t names;                    /* the same */
    uint64_t indexed;                  /* free runs that should be indexed */
} alps_report;

ALPS_FN_ void alps_check_say_(alps_report *r, alps_off off, const char *text)
{
    if (r->problems < ALPS_PROBLEMS) {
        alps_problem *p = &r->first[r->problems];
        p->code = ALPS_ECORRUPT;
        p->off = off;
        p->text = text;
    }
    r->problems++;
}

/* What alps_repair did. */
typedef struct alps_repaired {
    int refused;        /* what alps_open would have said before: 0 or a code */
    uint64_t mended;    /* things put right of which nothing is lost */
    uint64_t lost;      /* objects, blocks, names, pledges given up */
    uint64_t doubtful;  /* blocks kept of which nothing tells that they are
                           used: alps_each shows them */
    uint64_t bytes;     /* of what was lost, as far as that can be told */
    alps_off first;     /* where the first of it was; or 0 */
    alps_report report; /* the first things that were wrong, and how many */
} alps_repaired;

/* Something was put right. */
ALPS_FN_ void alps_report_mended_(alps_repaired *r, alps_off off,
                                  const char *text)
{
    r->mended++;
    alps_check_say_(&r->report, off, text);
}

/* Something had to be given up, of `n` bytes or who knows how many (0). */
ALPS_FN_ void alps_report_lost_(alps_repaired *r, alps_off off, uint64_t n,
                                const char *text)
{
    r->first = r->lost ? r->first : off;
    r->lost++;
    r->bytes += n;
    alps_check_say_(&r->report, off, text);
}

/* A block is kept that nothing speaks for. */
ALPS_FN_ void alps_report_doubt_(alps_repaired *r, alps_off off,
                                 const char *text)
{
    r->doubtful++;
    alps_check_say_(&r->report, off, text);
}
