/* mine.h -- a backend and a policy of the program's own
 *
 * They hand on to those of anonymous memory. Enough to show that a table from
 * outside works wherever one of the library's does, in C and in C++. */
#define ALPS_CORE_ONLY
#include "alps.h"

static int my_open(alps_map *m, const char *path, const alps_options *o)
{
    return alps_backend_anon_.open(m, path, o);
}

static int my_unguard(alps_map *m)
{
    return alps_backend_anon_.unguard(m);
}

static int my_map(alps_map *m, uint64_t size, uint64_t reserve, uint64_t align)
{
    return alps_backend_anon_.map(m, size, reserve, align);
}

static int my_unmap(alps_map *m)
{
    return alps_backend_anon_.unmap(m);
}

static int my_resize(alps_map *m, uint64_t size)
{
    return alps_backend_anon_.resize(m, size);
}

static int my_punch(alps_map *m, uint64_t off, uint64_t n)
{
    return alps_backend_anon_.punch(m, off, n);
}

static int my_reserve(alps_map *m, uint64_t off, uint64_t n)
{
    return alps_backend_anon_.reserve(m, off, n);
}

static int my_sync(alps_map *m, uint64_t off, uint64_t n)
{
    return alps_backend_anon_.sync(m, off, n);
}

static int my_lease(alps_map *m, unsigned number)
{
    return alps_backend_anon_.lease(m, number);
}

static int my_unlease(alps_map *m, unsigned number)
{
    return alps_backend_anon_.unlease(m, number);
}

static int my_leased(alps_map *m, unsigned number)
{
    return alps_backend_anon_.leased(m, number);
}

static int my_close(alps_map *m)
{
    return alps_backend_anon_.close(m);
}

static int my_remove(const char *path)
{
    return alps_backend_anon_.remove(path);
}

static const alps_backend my_backend __attribute__((unused)) = {
    "mine",   my_open,    my_unguard, my_map,   my_unmap,   my_resize,
    my_punch, my_reserve, my_sync,    my_lease, my_unlease, my_leased,
    my_close, my_remove,  NULL,       NULL,
};

static int my_policy_open(alps_map *m, const alps_backend *b)
{
    return alps_policy_none_.open(m, b);
}

static int my_flush(alps_map *m, const void *p, size_t n)
{
    return alps_policy_none_.flush(m, p, n);
}

static int my_stream(alps_map *m, void *to, const void *from)
{
    return alps_policy_none_.stream(m, to, from);
}

static int my_fence(alps_map *m, const alps_backend *b)
{
    return alps_policy_none_.fence(m, b);
}

static int my_settle(alps_map *m)
{
    return alps_policy_none_.settle(m);
}

static const alps_policy my_policy __attribute__((unused)) = {
    "mine",   0,         my_policy_open, my_flush, my_stream,
    my_fence, my_settle, NULL,           NULL,     NULL,
};
