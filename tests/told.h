/* told.h -- whether the system tells this process of all its faults
 *
 * For tests of the engine userfaultfd; behind alps.h. */
#pragma once

/* Whether this process may have userfaultfd in full. */
static inline int may_be_told(void)
{
    alps_uffd u;
    memset(&u, 0, sizeof u);
    u.stop = u.hole = -1;
    int err = alps_uffd_open_(&u, 0);
    alps_uffd_close_(&u);
    return !err;
}
