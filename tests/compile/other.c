/* other.c -- the second unit of two.c: a `cache` of another kind */
#define ALPS_NAME cache
#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"

#define USE(word) cache_##word
#include "use.h"

int other(const char *path);

int other(const char *path)
{
    return cache_use(path);
}
