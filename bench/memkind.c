/* memkind.c -- memkind's pmem kind: jemalloc over a file, nothing survives */
#include <memkind.h>

typedef struct peer {
    struct memkind *kind;
} peer;

#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    (void)bytes, (void)fresh;
    if (memkind_create_pmem(dir, 0, &p->kind))
        bench_die("memkind_create_pmem failed");
}

static void peer_close(peer *p)
{
    memkind_destroy_kind(p->kind);
}

static inline void *peer_alloc(peer *p, size_t n)
{
    return memkind_malloc(p->kind, n);
}

static inline void peer_free(peer *p, void *o)
{
    memkind_free(p->kind, o);
}

#include "loads.h"
