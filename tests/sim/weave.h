/* weave.h -- what runs at the same time, and in which order */
#pragma once
#include "sim.h"

/* A program of up to SIM_THREADS threads. */
struct weave {
    unsigned threads;          /* those that there are, a bit each */
    int dies;                  /* the process of thread 1 may be killed */
    void (*begin)(void);       /* goes back to where all begins */
    void (*run)(unsigned who); /* what a thread does */
    void (*killed)(unsigned who);
    void (*end)(void); /* all have ended */
};

extern unsigned long weave_runs, weave_longest; /* points of the longest run */
void weave_all(const struct weave *p, unsigned turns);
void weave_seed(const struct weave *p, unsigned among);
void weave_text(char *text, size_t n);
