/* image.h -- a region in an array, which a test may damage
 *
 * A backend of the test's own: the medium is memory between two pages that
 * fault, so whatever reads or writes outside it is found out at once. The
 * tests of damage and the fuzz target open the same bytes again and again,
 * and `image_use` does with them what a program would. */
#pragma once
#define ALPS_CORE_ONLY
#include "alps.h"

#define IMAGE_ROOM (1u << 20)

typedef struct image {
    unsigned char *bytes; // IMAGE_ROOM of them, of which `length` are there
    uint64_t length;
} image;

/* The core hands a path through as it is: ours is the address. */
static inline const char *image_path(image *i)
{
    return (const char *)i;
}

static inline int image_open_(alps_map *m, const char *path,
                              const alps_options *o)
{
    image *i = (image *)(uintptr_t)path;
    (void)o;
    m->user = i;
    m->length = i->length;
    m->align = 1;
    m->medium = ALPS_MEDIUM_SHMEM;
    return ALPS_OK;
}

static inline int image_map_(alps_map *m, uint64_t size, uint64_t reserve,
                             uint64_t align)
{
    image *i = (image *)m->user;
    (void)reserve;
    if (size > i->length || align > IMAGE_ROOM)
        return ALPS_ENOMEM;
    m->base = i->bytes;
    m->size = m->reserved = size;
    return ALPS_OK;
}

static inline int image_unmap_(alps_map *m)
{
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

/* Makes exactly the first `n` bytes, rounded up to a page, accessible. */
static inline void image_length(image *i, uint64_t n)
{
    uint64_t pages = alps_round_up_(n, ALPS_PAGE);
    mprotect(i->bytes, IMAGE_ROOM, PROT_NONE);
    if (pages)
        mprotect(i->bytes, pages, PROT_READ | PROT_WRITE);
    i->length = n;
}

static inline int image_resize_(alps_map *m, uint64_t size)
{
    image *i = (image *)m->user;
    if (size > IMAGE_ROOM)
        return ALPS_ENOSPC;
    image_length(i, size);
    m->length = size;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

static inline int image_nothing_(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

static inline int image_range_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

static inline int image_lease_(alps_map *m, unsigned number)
{
    (void)m;
    (void)number;
    return ALPS_OK;
}

static inline int image_leased_(alps_map *m, unsigned number)
{
    (void)m;
    (void)number;
    return 0;
}

static inline int image_remove_(const char *path)
{
    (void)path;
    return ALPS_EUNSUPPORTED;
}

static const alps_backend image_backend = {
    "image",      image_open_,   image_nothing_, image_map_,
    image_unmap_, image_resize_, image_range_,   image_range_,
    image_range_, image_lease_,  image_lease_,   image_leased_,
    image_unmap_, image_remove_, NULL,           NULL};

/* A policy that means power failure, so that all that is done for it is done,
 * and that waits for nothing: asking the machine how to is slow in places. */
static inline int image_policy_(alps_map *m, const alps_backend *b)
{
    (void)m;
    (void)b;
    return ALPS_OK;
}

static inline int image_flush_(alps_map *m, const void *p, size_t n)
{
    (void)m;
    (void)p;
    (void)n;
    return ALPS_OK;
}

static inline int image_stream_(alps_map *m, void *to, const void *from)
{
    (void)m;
    memcpy(to, from, ALPS_LINE);
    return ALPS_OK;
}

static const alps_policy image_policy = {
    "image",        1,
    image_policy_,  image_flush_,
    image_stream_,  image_policy_,
    image_nothing_, NULL,
    NULL,           NULL,
};

#define ALPS_NAME region
#define ALPS_BACKEND ALPS_USER
#define ALPS_USER_BACKEND image_backend
#define ALPS_POLICY ALPS_USER
#define ALPS_USER_POLICY image_policy
#include "alps.h"

/* Memory for an image, aligned as any extent may ask. */
static inline int image_make(image *i)
{
    unsigned char *p = (unsigned char *)mmap(
        NULL, 3 * IMAGE_ROOM, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == (unsigned char *)MAP_FAILED)
        return ALPS_ENOMEM;
    i->bytes = p + (-(uintptr_t)p & (IMAGE_ROOM - 1));
    if (i->bytes == p)
        i->bytes += IMAGE_ROOM;
    i->length = 0;
    return ALPS_OK;
}

/* The smallest region: extents of a page, two lanes, two processes. */
static inline alps_options image_options(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = 64u << 10;
    o.extent = 4096;
    o.lanes = o.processes = 2;
    o.layout = "image";
    return o;
}

/* Every block that is shown lies where it may be read. */
static inline int image_touch_(void *context, void *p, size_t n)
{
    const volatile unsigned char *byte = (const volatile unsigned char *)p;
    unsigned *blocks = (unsigned *)context;
    (void)byte[0];
    (void)byte[n - 1];
    return ++*blocks > IMAGE_ROOM / 16;
}

/* Allocates, links, frees. What it meets may be spoilt, so the codes do not
 * matter: only that answers come, and that what is handed out is memory. */
static inline void image_churn_(region_heap *h)
{
    static const size_t sizes[] = {1, 64, 700, 3000, 9000};
    void *p[5];
    alps_off *root = (alps_off *)(void *)region_root(h, 64);
    for (int i = 0; i < 5; i++) {
        p[i] = i % 2 ? region_alloc(h, sizes[i]) : region_reserve(h, sizes[i]);
        if (p[i])
            memset(p[i], i, sizes[i]);
    }
    for (int i = 0; root && i < 5; i += 2)
        if (p[i])
            (void)region_publish(h, &root[i], p[i]);
    for (int i = 1; i < 5; i += 2)
        if (p[i])
            (void)region_free(h, p[i]);
    for (int i = 0; root && i < 5; i++)
        (void)region_release(h, &root[i]);
}

/* Opens the image, looks at all of it, and works in it. Answers what `open`
 * answered. */
static inline int image_use(image *i, unsigned flags)
{
    region_heap h;
    alps_options o = image_options();
    alps_statistics s;
    alps_report report;
    unsigned blocks = 0;
    o.flags = flags;
    int err = region_open(&h, image_path(i), &o);
    if (err)
        return err;
    (void)region_check(&h, &report);
    (void)region_each(&h, image_touch_, &blocks);
    if (!(flags & ALPS_READ_ONLY)) {
        image_churn_(&h);
        (void)region_check(&h, NULL);
        (void)region_stats(&h, &s);
    }
    (void)region_close(&h);
    return ALPS_OK;
}
