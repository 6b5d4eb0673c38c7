/* direct.c -- what a program calls in its loops, for the disassembly
 *
 * The tables of the instance are constants, so none of this may go through a
 * pointer to a function. */
#define ALPS_BACKEND BACKEND
#define ALPS_POLICY POLICY
#include "alps.h"

int direct_life(alps_heap *h, const char *path);
void *direct_alloc(alps_heap *h, void *p);
int direct_publish(alps_heap *h, alps_off *dest);

int direct_life(alps_heap *h, const char *path)
{
    int err = alps_repair(path, NULL);
    err = err ? err : alps_open(h, path, NULL);
    if (err)
        return err;
    err = alps_grow(h, 1u << 30);
    err = err ? err : alps_check(h, NULL);
    err = err ? err : alps_sync(h);
    return err ? err : alps_close(h);
}

void *direct_alloc(alps_heap *h, void *p)
{
    void *q = alps_alloc(h, 64);
    if (alps_free(h, p) || alps_usable(h, q) < 64)
        return NULL;
    q = alps_realloc(h, q, 128);
    return q ? alps_alloc_aligned(h, 256, 64) : alps_zalloc(h, 64);
}

int direct_publish(alps_heap *h, alps_off *dest)
{
    void *p = alps_reserve(h, 64);
    int err = alps_publish(h, dest, p);
    err = err ? err : alps_persist(h, dest, sizeof *dest);
    err = err ? err : alps_release(h, dest);
    return err ? err : alps_cancel(h, p);
}
