/* choice.h -- the words in which a program chooses
 *
 * A program defines ALPS_BACKEND and ALPS_POLICY as two of these before it
 * includes alps.h. They are numbers because #if compares nothing else. Those
 * that no part answers to yet are here so that asking for them is told apart
 * from a slip of the pen. */
#pragma once

#define ALPS_ANON 1  /* memory of this process */
#define ALPS_SHMEM 2 /* shared memory */
#define ALPS_FILE 3  /* a file behind the page cache */
#define ALPS_PMEM 4  /* persistent memory: fsdax or devdax */
#define ALPS_PAGED 5 /* a file larger than the memory it may have */
#define ALPS_DSM 6   /* not in this version */

#define ALPS_NONE 11       /* nothing is written back */
#define ALPS_FLUSH 12      /* cache lines are written back */
#define ALPS_FENCE 13      /* caches persist: order is all it takes */
#define ALPS_MSYNC 14      /* pages are written back by the system */
#define ALPS_CHECKPOINT 15 /* all at once, when the program says so */

/* A table of the program's own, named by ALPS_USER_BACKEND or by
 * ALPS_USER_POLICY. */
#define ALPS_USER 99
