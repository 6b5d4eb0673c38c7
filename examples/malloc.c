/* malloc.c -- memory for programs that know nothing of alps.h
 *
 *     LD_PRELOAD=build/libalpsmalloc.so PROGRAM...
 *
 * Every malloc of the program is served by a region in memory of its process,
 * which grows as it fills, up to ALPS_MALLOC_LIMIT bytes (64 GiB). What is
 * freed and is no live block ends the program, with a message.
 *
 * The child of a fork goes on with its copy of the region, whatever the other
 * threads of its parent were at: each state that memory can be in is a valid
 * heap, so nobody has to hold them still. */
#include <limits.h>
#include <malloc.h>

#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

#define EXTENT ((size_t)4 << 20) // nothing is aligned to more
#define HUGE ((size_t)32 << 20)  // goes back to the system when it is freed
#define LIMIT ((uint64_t)64 << 30)

enum { CLOSED, OPENING, OPEN };

static alps_heap heap;
static int state;
static uint64_t size, limit; // of the region

/* While the region is opened, the C library may call malloc. It is served from
 * here, and so is a thread that comes too early; nothing of it is used again.
 * The size of an object lies before it. */
static struct {
    size_t used;
    _Alignas(16) unsigned char bytes[1 << 16];
} early;

static void *early_take(size_t align, size_t n)
{
    if (align > sizeof early.bytes || n > sizeof early.bytes)
        return NULL;
    size_t room = alps_round_up_(n, 16) + align + 16;
    size_t at = __atomic_fetch_add(&early.used, room, __ATOMIC_RELAXED);
    if (at + room > sizeof early.bytes)
        return NULL;
    uintptr_t p = (uintptr_t)&early.bytes[at] + 16 + align - 1;
    p -= p % align;
    ((size_t *)p)[-1] = n;
    return (void *)p;
}

static int early_has(const void *p)
{
    return (uintptr_t)p - (uintptr_t)&early < sizeof early;
}

/* The child of a fork makes the region its own while it has one thread. */
static void forked(void)
{
    alps_free(&heap, alps_alloc(&heap, 1));
}

/* Opens the region. No program calls anything before it calls malloc: so the
 * key that tells the region of the end of threads is one of the first 32, for
 * which the C library has room in each thread and need not ask us. */
static int begin(void)
{
    int was = CLOSED;
    if (!__atomic_compare_exchange_n(&state, &was, OPENING, 0, __ATOMIC_ACQUIRE,
                                     __ATOMIC_ACQUIRE))
        return was == OPEN;
    const char *wish = getenv("ALPS_MALLOC_LIMIT");
    limit = wish ? strtoull(wish, NULL, 0) : LIMIT;
    size = 16 * EXTENT;
    if (limit < size)
        limit = size;
    alps_options o = {.size = size, .limit = limit, .extent = EXTENT};
    o.lanes = 256; // threads beyond these wait for each other; costs 128 KiB
    o.processes = 1;
    int err = alps_open(&heap, NULL, &o);
    if (!err)
        pthread_atfork(NULL, NULL, forked);
    __atomic_store_n(&state, err ? CLOSED : OPEN, __ATOMIC_RELEASE);
    return !err;
}

/* Whether the region is open: so there may be something to free. */
static inline int is_open(void)
{
    return __atomic_load_n(&state, __ATOMIC_ACQUIRE) == OPEN;
}

/* Nothing in the region has room for `n` bytes: makes it twice as long, or, if
 * the system will not have that, as long as it has to be. 0 at its limit. */
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
    if (ALPS_UNLIKELY_(!is_open()) && !begin())
        return early_take(align, n);
    do
        p = align > 16 ? alps_alloc_aligned(&heap, align, n)
                       : alps_alloc(&heap, n);
    while (ALPS_UNLIKELY_(!p) && align <= EXTENT && grow(n));
    if (ALPS_UNLIKELY_(!p))
        errno = ENOMEM;
    return p;
}

/* Gives the pages of a block this large back to the system. What more than half
 * fills an extent starts one. */
static int punch(void *p)
{
    size_t n = (uintptr_t)p % EXTENT ? 0 : alps_usable(&heap, p);
    return n >= HUGE && madvise(p, n, MADV_DONTNEED) == 0;
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
    if (p && !(n >= HUGE && punch(p)))
        memset(p, 0, n);
    return p;
}

static void stray(void)
{
    static const char text[] = "malloc: freed what is not a live block\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

/* Leaves errno as it was. */
void free(void *p)
{
    int before = errno;
    if (!p || early_has(p))
        return;
    punch(p);
    if (alps_free(&heap, p))
        stray();
    errno = before;
}

size_t malloc_usable_size(void *p)
{
    return !p ? 0 : early_has(p) ? ((size_t *)p)[-1] : alps_usable(&heap, p);
}

/* 0 bytes free the object, as they do in glibc. */
void *realloc(void *p, size_t n)
{
    size_t old = malloc_usable_size(p);
    void *to = NULL;
    if (!p || early_has(p)) {
        to = take(16, n);
        return to && p ? memcpy(to, p, old < n ? old : n) : to;
    }
    if (!old)
        stray();
    if (!n) {
        free(p);
        return NULL;
    }
    while (!(to = alps_realloc(&heap, p, n)) && grow(n))
        ;
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
    if (!align || align & (align - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return take(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

int posix_memalign(void **to, size_t align, size_t n)
{
    int before = errno;
    if (align % sizeof *to || !align || align & (align - 1))
        return EINVAL;
    void *p = take(align, n);
    errno = before;
    if (!p)
        return ENOMEM;
    *to = p;
    return 0;
}

void *valloc(size_t n)
{
    return take((size_t)sysconf(_SC_PAGESIZE), n);
}

/* The same, for whole pages. */
void *pvalloc(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return take(page, n > SIZE_MAX - page ? n : alps_round_up_(n + !n, page));
}
