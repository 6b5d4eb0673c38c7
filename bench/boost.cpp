/* boost.cpp -- Boost.Interprocess: a best-fit tree in a mapped file */
#include <boost/interprocess/managed_mapped_file.hpp>
#include <new>

namespace ipc = boost::interprocess;

typedef struct peer {
    ipc::managed_mapped_file *file;
    char path[4096];
} peer;

#include "harness.h"

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    (void)fresh;
    snprintf(p->path, sizeof p->path, "%s/boost", dir);
    unlink(p->path);
    p->file = new ipc::managed_mapped_file(ipc::create_only, p->path, bytes);
}

static void peer_close(peer *p)
{
    delete p->file;
    unlink(p->path);
}

static inline void *peer_alloc(peer *p, size_t n)
{
    return p->file->allocate(n, std::nothrow);
}

static inline void peer_free(peer *p, void *o)
{
    p->file->deallocate(o);
}

#include "loads.h"
