/* local.c -- what a process has for itself
 *
 * The caches of a handle's threads are memory of its process: none of it is on
 * the medium, and nobody else sees it. Each handle of the unit has its own,
 * which lasts until it is opened again, whatever becomes of the process. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static unsigned char local[SIM_HANDLES][SIM_LOCAL]
    __attribute__((aligned(SIM_PAGE)));
static size_t used[SIM_HANDLES];
static unsigned opening[SIM_DEPTH + 1]; // a crash on the way opens others
static unsigned char scratch[SIM_DEPTH + 1][SIM_SCRATCH];
static size_t scratched[SIM_DEPTH + 1]; // of it are lent, and 1 more; 0: none

/* The memory of handle `h`, and how much of it there is. */
void *sim_local(unsigned h, size_t *n)
{
    *n = used[h];
    return local[h];
}

/* The next mapping is for handle `h`. */
void sim_local_of(unsigned h)
{
    opening[sim_depth] = h;
    scratched[sim_depth] = 0;
}

/* The next mappings are for one call alone; or are not any more. */
void sim_scratch(int on)
{
    scratched[sim_depth] = on != 0;
}

static void *lend(size_t n)
{
    size_t at = (scratched[sim_depth] + 63) / 64 * 64;
    if (n > SIM_SCRATCH - at)
        abort();
    scratched[sim_depth] = at + n + 1;
    return memset(scratch[sim_depth] + at, 0, n);
}

/* ---- what of the unit is renamed ---- */

void *sim_mmap(void *at, size_t n, int access, int flags, int fd, long off);
void *sim_mmap(void *at, size_t n, int access, int flags, int fd, long off)
{
    (void)at;
    (void)access;
    (void)flags;
    (void)fd;
    (void)off;
    if (scratched[sim_depth])
        return lend(n);
    if (n > SIM_LOCAL)
        abort();
    unsigned h = opening[sim_depth];
    used[h] = n;
    return memset(local[h], 0, n);
}

int sim_no_unmap(void *at, size_t n);
int sim_no_unmap(void *at, size_t n)
{
    (void)at;
    (void)n;
    return 0;
}

int sim_no_advice(void *at, size_t n, int advice);
int sim_no_advice(void *at, size_t n, int advice)
{
    (void)at;
    (void)n;
    (void)advice;
    return 0;
}

int sim_no_key(void *key, void (*ended)(void *));
int sim_no_key(void *key, void (*ended)(void *))
{
    (void)ended;
    memset(key, 0, sizeof(unsigned));
    return 0; // no thread ends
}

int sim_no_key_gone(unsigned key);
int sim_no_key_gone(unsigned key)
{
    (void)key;
    return 0;
}

int sim_no_value(unsigned key, const void *value);
int sim_no_value(unsigned key, const void *value)
{
    (void)key;
    (void)value;
    return 0;
}
