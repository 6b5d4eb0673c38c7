/* malloc.c -- memory for programs that know nothing of alps.h
 *
 *     LD_PRELOAD=build/libalpsmalloc.so PROGRAM...
 *
 * What the program allocates lies in a region in memory of its process, which
 * grows as it fills, up to ALPS_MALLOC_LIMIT bytes (64 GiB). A free of what is
 * no live block ends the program with a message.
 *
 * The child of a fork goes on with its copy of the region, whatever the other
 * threads of its parent were doing: their half-done work is a valid heap too,
 * so nobody is held still for a fork. */
#include <malloc.h>

#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

#define EXTENT ((size_t)4 << 20) // nothing is aligned to more
#define HUGE ((size_t)32 << 20)  // is given back to the system when freed
#define LIMIT ((uint64_t)64 << 30)
#define START ((uint64_t)64 << 20)

static alps_heap heap;
static uint64_t size, limit; // of the region
static enum { CLOSED, OPENING, OPEN } state;

/* The C library may call malloc while the region is opened. That is served from
 * here, with its size before it, and never used again. */
static struct {
    size_t used;
    _Alignas(16) unsigned char bytes[1 << 16];
} early;

static void *early_take(size_t n)
{
    if (n > sizeof early.bytes)
        return NULL;
    size_t room = alps_round_up_(n + 1, 16) + 16;
    size_t at = __atomic_fetch_add(&early.used, room, __ATOMIC_RELAXED);
    if (at + room > sizeof early.bytes)
        return NULL;
    memcpy(&early.bytes[at], &n, sizeof n);
    return &early.bytes[at + 16];
}

static int is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)early.bytes < sizeof early.bytes;
}

/* The child of a fork makes the region its own while it has one thread. */
static void forked(void)
{
    alps_free(&heap, alps_alloc(&heap, 1));
}

/* Whether the region is open: now, where nobody was at it yet. */
static int opened(void)
{
    int was = CLOSED;
    if (!__atomic_compare_exchange_n((int *)&state, &was, OPENING, 0,
                                     __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
        return was == OPEN;
    const char *wish = getenv("ALPS_MALLOC_LIMIT");
    limit = wish ? strtoull(wish, NULL, 0) : LIMIT;
    limit = limit < START ? START : limit;
    size = START;
    alps_options o = {.size = size, .limit = limit, .extent = EXTENT};
    o.lanes = 256; // threads beyond them share a lock; each costs half a KiB
    o.processes = 1;
    o.grow = ALPS_GROW_NEVER; // `grow` does it, by doubling
    int err = alps_open(&heap, NULL, &o);
    if (!err)
        pthread_atfork(NULL, NULL, forked);
    __atomic_store_n(&state, err ? CLOSED : OPEN, __ATOMIC_RELEASE);
    return !err;
}

/* Makes the region twice as long, and longer where `n` bytes need it; less, if
 * that is more than the system gives. 0 at the limit. */
static int grow(size_t n)
{
    uint64_t was = alps_load_(&size), need = was + n + 2 * EXTENT;
    uint64_t to = need > 2 * was ? need : 2 * was;
    if (n > limit || was == limit)
        return 0;
    if (to > limit)
        to = limit;
    if (alps_grow(&heap, to) && alps_grow(&heap, to = need))
        return 0;
    alps_store_(&size, to);
    return 1;
}

static inline void *take(size_t align, size_t n)
{
    void *p = NULL;
    if (ALPS_LIKELY_(__atomic_load_n(&state, __ATOMIC_ACQUIRE) == OPEN) ||
        opened())
        do
            p = align > 16 ? alps_alloc_aligned(&heap, align, n)
                           : alps_alloc(&heap, n);
        while (ALPS_UNLIKELY_(!p) && align <= EXTENT && grow(n));
    else if (align <= 16)
        p = early_take(n);
    if (ALPS_UNLIKELY_(!p))
        errno = ENOMEM;
    return p;
}

/* Gives the pages of a huge block back to the system: they read as zero. What
 * fills more than half an extent starts one. */
static int empty(void *p)
{
    size_t n = (uintptr_t)p % EXTENT ? 0 : alps_usable(&heap, p);
    return n >= HUGE && madvise(p, n, MADV_DONTNEED) == 0;
}

static void stray(void)
{
    static const char text[] = "malloc: freed what is not a live block\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

void *malloc(size_t n)
{
    return take(16, n);
}

void *calloc(size_t count, size_t each)
{
    size_t n;
    if (__builtin_mul_overflow(count, each, &n))
        n = SIZE_MAX;
    void *p = take(16, n);
    if (p && !(n >= HUGE && empty(p)))
        memset(p, 0, n);
    return p;
}

/* Leaves errno alone. */
void free(void *p)
{
    int before = errno;
    if (!p || is_early(p))
        return;
    empty(p);
    if (alps_free(&heap, p))
        stray();
    errno = before;
}

size_t malloc_usable_size(void *p)
{
    size_t n = 0;
    if (is_early(p))
        memcpy(&n, (char *)p - 16, sizeof n);
    return !p || n ? n : alps_usable(&heap, p);
}

/* 0 bytes: frees, as glibc does. */
void *realloc(void *p, size_t n)
{
    size_t old = malloc_usable_size(p);
    if (!p || is_early(p)) {
        void *to = take(16, n);
        return to && p ? memcpy(to, p, old < n ? old : n) : to;
    }
    if (!old)
        stray();
    if (!n) {
        free(p);
        return NULL;
    }
    void *to;
    do
        to = alps_realloc(&heap, p, n);
    while (!to && grow(n));
    if (!to)
        errno = ENOMEM;
    return to;
}

void *reallocarray(void *p, size_t count, size_t each)
{
    size_t n;
    return realloc(p, __builtin_mul_overflow(count, each, &n) ? SIZE_MAX : n);
}

void *memalign(size_t align, size_t n)
{
    if (align && !(align & (align - 1)))
        return take(align, n);
    errno = EINVAL;
    return NULL;
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

/* Leaves errno alone as well. */
int posix_memalign(void **to, size_t align, size_t n)
{
    int before = errno;
    void *p = align % sizeof *to ? NULL : memalign(align, n);
    int err = p ? 0 : align % sizeof *to ? EINVAL : errno;
    errno = before;
    if (p)
        *to = p;
    return err;
}

void *valloc(size_t n)
{
    return memalign((size_t)sysconf(_SC_PAGESIZE), n);
}

/* Whole pages. */
void *pvalloc(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return valloc(n > SIZE_MAX - page ? n : alps_round_up_(n + !n, page));
}
