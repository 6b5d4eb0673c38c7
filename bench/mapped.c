/* mapped.c -- a file as the system maps it
 *
 * No limit but that of a control group. MAPPED_ADVICE is what the system is
 * told of how it will be touched. */
#include <fcntl.h>

#define PEER_ALLOCATES 0
#define PEER_MAPS 1

typedef struct peer {
    int unused;
} peer;

#include "harness.h"

static void peer_limit(peer *p, size_t limit, int shared)
{
    (void)p, (void)limit, (void)shared;
}

static void *peer_map(peer *p, const char *path, size_t n)
{
    int fd = open(path, O_RDWR);
    void *at = MAP_FAILED;
    (void)p;
    if (fd >= 0)
        at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || madvise(at, n, MAPPED_ADVICE))
        bench_die("%s: %s", path, strerror(errno));
    close(fd);
    return at;
}

static void peer_map_sync(peer *p, void *at, size_t n)
{
    (void)p;
    if (msync(at, n, MS_SYNC))
        bench_die("msync: %s", strerror(errno));
}

static void peer_unmap(peer *p, void *at, size_t n)
{
    (void)p;
    munmap(at, n);
}

#include "loads.h"
