/* malloc.c -- the peers that replace malloc, and glibc itself
 *
 * One source, linked once for each library: PEER_LIBRARY is a part of the file
 * name that malloc must then come from, so that no program measures another
 * allocator than its name says. */
#define _GNU_SOURCE 1 // dladdr
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct peer {
    int unused;
} peer;

#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    void *(*taken)(size_t) = malloc;
    void *address;
    Dl_info from;
    (void)p, (void)dir, (void)bytes, (void)fresh;
    memcpy(&address, &taken, sizeof address);
    if (!dladdr(address, &from) || !strstr(from.dli_fname, PEER_LIBRARY))
        bench_die("malloc is not that of " PEER_LIBRARY);
}

static void peer_close(peer *p)
{
    (void)p;
}

static inline void *peer_alloc(peer *p, size_t n)
{
    (void)p;
    return malloc(n);
}

static inline void peer_free(peer *p, void *o)
{
    (void)p;
    free(o);
}

#include "loads.h"
