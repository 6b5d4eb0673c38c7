/* boost.cpp -- Boost.Interprocess: a best-fit tree in a mapped file */
#include <boost/interprocess/managed_mapped_file.hpp>
#include <new>

namespace ipc = boost::interprocess;

typedef struct peer {
    ipc::managed_mapped_file *file;
} peer;

#define PEER_SHARES 1

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

#include "loads.h"
