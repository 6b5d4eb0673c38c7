/* alps.c -- alps.h itself, once for each pair of backend and policy
 *
 * BENCH_BACKEND and BENCH_POLICY are the pair. The media are those of the
 * peers: files on tmpfs for pmem, which is told to trust them, a file on disk
 * for msync. */
#ifndef BENCH_LINKS
#  define BENCH_LINKS 256
#endif
#define ALPS_BACKEND BENCH_BACKEND
#define ALPS_POLICY BENCH_POLICY
#include "alps.h"

#define PEER_SHARES BENCH_SHARES
#if BENCH_DURABLE
#  define PEER_LINKS BENCH_LINKS
#endif
#define PEER_REOPENS BENCH_REOPENS

typedef struct peer {
    alps_heap heap;
    alps_off *head;
} peer;

#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    const char *slash = strrchr(dir, '/');
    char path[4096];
    alps_options o;
    int err;
    memset(&o, 0, sizeof o);
    o.size = bytes;
    o.flags = fresh ? ALPS_CREATE | ALPS_TRUNCATE : 0;
    // A name of shared memory has no directory: ours begins with that of `dir`,
    // which is how run.sh knows what to remove.
    if (BENCH_SHMEM)
        snprintf(path, sizeof path, "/%s-shmem", slash ? slash + 1 : dir);
    else
        snprintf(path, sizeof path, "%s/alps", dir);
    setenv("ALPS_PMEM_FORCE", "1", 1);
    err = alps_open(&p->heap, path, &o);
    if (err)
        bench_die("%s: %s", path, alps_strerror(err));
    p->head = (alps_off *)alps_root(&p->heap, 256 * sizeof *p->head);
}

static void peer_close(peer *p)
{
    int err = alps_close(&p->heap);
    if (err)
        bench_die("alps_close: %s", alps_strerror(err));
}

static inline void *peer_alloc(peer *p, size_t n)
{
    return alps_alloc(&p->heap, n);
}

static inline void peer_free(peer *p, void *o)
{
    int err = alps_free(&p->heap, o);
    if (err)
        bench_die("alps_free: %s", alps_strerror(err));
}

#if BENCH_SHARES
static inline uint64_t peer_name(peer *p, void *o)
{
    return alps_off_of(&p->heap, o);
}

static inline void *peer_at(peer *p, uint64_t name)
{
    return alps_at(&p->heap, name);
}
#endif

#if BENCH_DURABLE
static inline void peer_link(peer *p, unsigned i, uint64_t fill)
{
    void *o = alps_reserve(&p->heap, 64);
    if (!o)
        bench_die("alps_reserve: %s", alps_strerror(alps_error(&p->heap)));
    memset(o, (unsigned char)fill, 64);
    if (alps_publish(&p->heap, &p->head[i], o))
        bench_die("alps_publish failed");
}

static inline void peer_release(peer *p, unsigned i)
{
    if (alps_release(&p->heap, &p->head[i]))
        bench_die("alps_release failed");
}
#endif

#include "loads.h"
