/* placement.h -- whose memory a region has, on a machine with several nodes
 *
 * Pages are taken from the nodes in turn (MPOL_INTERLEAVE), by a system call
 * and no library. The system does it for memory of the process and for shared
 * memory; pages of a file it takes as it likes. */
#pragma once
#include "backend.h"

#define ALPS_MPOL_INTERLEAVE_ 3

/* Asks for `o->nodes`. Where there are no such nodes, or the system does not
 * care, memory is taken as it comes, but for ALPS_STRICT: then it is
 * ALPS_EUNSUPPORTED. */
ALPS_COLD_ int alps_placement_(alps_map *m, const alps_options *o)
{
    unsigned long nodes = o->nodes;
    if (!nodes)
        return ALPS_OK;
#ifdef SYS_mbind
    int heeded = m->medium == ALPS_MEDIUM_ANON ||
                 m->medium == ALPS_MEDIUM_SHMEM || (m->sole && !m->apart);
    if (heeded && !syscall(SYS_mbind, m->base, (unsigned long)m->reserved,
                           ALPS_MPOL_INTERLEAVE_, &nodes, 65ul, 0u)) {
        m->nodes = nodes;
        return ALPS_OK;
    }
#endif
    return o->flags & ALPS_STRICT ? ALPS_EUNSUPPORTED : ALPS_OK;
}
