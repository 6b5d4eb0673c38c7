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
