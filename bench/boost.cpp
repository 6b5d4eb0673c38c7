/* boost.cpp -- Boost.Interprocess: a best-fit tree in a mapped file */
#include <boost/interprocess/managed_mapped_file.hpp>
#include <new>

namespace ipc = boost::interprocess;

typedef struct peer {
    ipc::managed_mapped_file *file;
} peer;

#define PEER_SHARES 1
#define PEER_KEEPS 1

typedef struct peer_ref {
    ipc::offset_ptr<void> to;
} peer_ref;

#define PEER_CHASES 1
#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/boost", dir);
    if (fresh)
        unlink(path);
    p->file = fresh
                  ? new ipc::managed_mapped_file(ipc::create_only, path, bytes)
                  : new ipc::managed_mapped_file(ipc::open_only, path);
}

static void peer_close(peer *p)
{
    delete p->file;
}

static inline void *peer_alloc(peer *p, size_t n)
{
    return p->file->allocate(n, std::nothrow);
}

static inline void peer_free(peer *p, void *o)
{
    p->file->deallocate(o);
}

static inline uint64_t peer_name(peer *p, void *o)
{
    return (uint64_t)p->file->get_handle_from_address(o);
}

static inline void *peer_at(peer *p, uint64_t name)
{
    return p->file->get_address_from_handle(
        (ipc::managed_mapped_file::handle_t)name);
}

static inline void *peer_root(peer *p)
{
    return p->file->find_or_construct<uint64_t>("root")[32](0);
}

/* `flush` of the library only tells the system that it may begin (MS_ASYNC). */
static void peer_sync(peer *p)
{
    uintptr_t begin = (uintptr_t)p->file->get_address();
    size_t before = begin % BENCH_PAGE;
    if (msync((void *)(begin - before), p->file->get_size() + before, MS_SYNC))
        bench_die("msync failed: %s", strerror(errno));
}

static inline void *peer_get(const peer *p, const peer_ref *r)
{
    (void)p;
    return r->to.get();
}

static inline void peer_set(const peer *p, peer_ref *r, void *to)
{
    (void)p;
    r->to = to;
}

#include "chase.h"

#define BENCH_OFFSET_GET(p, at) ((at)->to.get())
#define BENCH_OFFSET_SET(p, at, ring) ((void)((at)->to = (ring)))
BENCH_CHASE(offset, peer_ref, BENCH_OFFSET_GET, BENCH_OFFSET_SET)

static void peer_chase(peer *p)
{
    bench_chase_both(p, "chase", bench_chase_offset);
}

#include "loads.h"
