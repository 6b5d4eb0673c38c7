/* policy.h -- the contract between the core and what makes bytes durable
 *
 * The core tells a policy which bytes must be written back (`flush`) and when
 * all that was told so far must be durable (`fence`). Costs are counted in
 * fences: one is about 160 ns on pmem and a sync call in a file, and further
 * lines in the same fence are nearly free. A policy part ends in one `static
 * const` table. */
#pragma once
#include "backend.h"

/* A test may watch every write-back, fence and non-temporal store, and leave
 * it out: define this before the include; where it answers non-zero the policy
 * skips the act. */
#ifndef ALPS_OBSERVE
#  define ALPS_OBSERVE(event, p, n) 0
#endif
enum {
    ALPS_SAW_FLUSH = 1,  /* lines of [p, p + n) are written back */
    ALPS_SAW_FENCE = 2,  /* all write-backs of this thread are durable */
    ALPS_SAW_STREAM = 3, /* a non-temporal store of n bytes to p is about to
                            happen; it is durable with the next fence */
    ALPS_SAW_LOCK = 4    /* a locked instruction: on x86 it waits for the
                            write-backs of this thread, elsewhere it does not */
};

/* How lines are written back; in alps_map.persist. Chosen by the machine's
 * own word (CPUID, HWCAP) at open, never by -march; `ALPS_PERSIST` in the
 * environment overrides: clwb, clflushopt, clflush, cvap, cvac, eadr, none. */
enum {
    ALPS_PERSIST_NONE = 0,
    ALPS_PERSIST_CLFLUSH = 1,
    ALPS_PERSIST_CLFLUSHOPT = 2,
    ALPS_PERSIST_CLWB = 3,
    ALPS_PERSIST_CVAC = 4,
    ALPS_PERSIST_CVAP = 5,
    ALPS_PERSIST_EADR = 6, /* caches are inside the persistence domain */
    ALPS_PERSIST_MSYNC = 7,
    ALPS_PERSIST_CHECKPOINT = 8
};

/* What of a commit is asked for: all; or up to the moment whose state it is,
 * and then what makes it durable. */
enum { ALPS_COMMIT_ALL = 0, ALPS_COMMIT_BEGIN = 1, ALPS_COMMIT_END = 2 };

/* The table a policy fills. `flush`, `stream` and `fence` are called from any
 * thread; each answers 0 or a code. */
typedef struct alps_policy {
    const char *name;

    /* 1: the policy means power failure, so the core orders, checksums and
     * fences for it. 0: it means the death of processes; program order is all
     * the order there is, and `flush` and `fence` cost nothing. */
    int durable;

    /* Looks at the mapped medium and chooses; under ALPS_STRICT refuses
     * (ALPS_ENOTPMEM) what cannot keep the promise. Sets `persist`. */
    int (*open)(alps_map *m, const alps_backend *b);

    /* The lines of [p, p + n) are to be durable at the next fence. */
    int (*flush)(alps_map *m, const void *p, size_t n);

    /* Copies one line (64 bytes, both 64-aligned) to the medium, durable at the
     * next fence, with no need to flush it. */
    int (*stream)(alps_map *m, void *to, const void *from);

    /* What was flushed or streamed before is durable when this returns. */
    int (*fence)(alps_map *m, const alps_backend *b);

    /* What was flushed before is durable before anything that another thread
     * or process does after it next took a lock of this one. Nothing where a
     * locked instruction does this by itself (x86). */
    int (*settle)(alps_map *m);

    /* Where durable means a commit of everything, else NULL: the medium is then
     * mapped for this process alone (`sole`), while it is made anew it is not,
     * and `flush` and `fence` count as for msync. `begin` is called once the
     * region is open, `end` before it is closed, with the last commit behind
     * it. */
    int (*begin)(alps_map *m, const alps_options *o);
    int (*commit)(alps_map *m, unsigned part);
    int (*end)(alps_map *m);
} alps_policy;

/* A commit of all, or a part of it, by whoever knows what was stored. */
ALPS_FAST_ int alps_policy_commit_(const alps_policy *policy,
                                   const alps_backend *b, alps_map *m,
                                   unsigned part)
{
    if (b->commit && __atomic_load_n(&m->apart, __ATOMIC_RELAXED))
        return b->commit(m, part);
    return policy->commit(m, part);
}
