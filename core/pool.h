/* pool.h -- a pool of frames: all the memory that a paged region has
 *
 * One memory file, cut into frames of a segment each. It is mapped twice as a
 * whole, to be written and to be read, for the library's own eyes; a frame is
 * *shown* in the region by a third mapping of the same pages, and hidden by one
 * of nothing. Either is one system call, so that a thread sees all of a segment
 * or none of it, whatever others do.
 *
 * A shown frame is a copy of its place in the pool made by mremap(): so it
 * keeps what was said of the pool, that a child of fork() does not get it.
 * Where a system cannot, it is mapped and then told so. */
#pragma once
#include "uffd.h"

#define ALPS_REMAP_MOVE_ 3u /* MREMAP_MAYMOVE | MREMAP_FIXED */
#define ALPS_POPULATE_READ_ 22

#define ALPS_NO_SEGMENT (~(uint32_t)0)
#define ALPS_NO_FRAME (~(uint32_t)0)

/* What a frame is to the region. */
enum {
    ALPS_FRAME_FREE = 0,
    ALPS_FRAME_HIDDEN = 1, /* has a segment, but no mapping */
    ALPS_FRAME_READ = 2,   /* shown, to be read */
    ALPS_FRAME_WRITE = 3   /* shown, to be written */
};

/* Added to `pins` while one of them is for the system to store. */
#define ALPS_PINNED_STORE_ 0x8000u

/* A free frame of userfaultfd has pages at its place, of no content. */
#define ALPS_KEPT_ 3u

typedef struct alps_page_frame {
    uint64_t born;    /* the number of the fault that last showed it */
    uint32_t segment; /* what is in it, or ALPS_NO_SEGMENT */
    uint16_t pins;    /* who wants it to stay; and ALPS_PINNED_STORE_ */
    uint8_t state;    /* ALPS_FRAME_... */
    uint8_t dirty;    /* 1: the file does not have all of it; 2: and the
                         cleaner has come by once. A free one: ALPS_KEPT_ */
} alps_page_frame;
ALPS_STATIC_ASSERT_(sizeof(alps_page_frame) == 16, "size");

typedef struct alps_pool {
    alps_uffd *uffd;          /* what tells of faults; NULL: it is rewired */
    unsigned char *base;      /* of the region */
    uint64_t segment;         /* bytes of a frame */
    unsigned char *write;     /* all frames */
    const unsigned char *see; /* the same, to be read */
    alps_page_frame *frame;   /* the table */
    uint32_t n;               /* frames */
    uint32_t used;            /* so many have memory */
    uint32_t fresh;           /* frames from here on were never used */
    uint32_t bare;            /* one before that without memory; its `segment`
                                 is the next */
    uint32_t spare;           /* a free one before that, or ALPS_NO_FRAME; its
                                 `segment` is the next */
    int fd;
    int plain; /* 1: mremap cannot do it here */
} alps_pool;

/* Memory of this process that reads as zero, lent as it is touched. */
ALPS_COLD_ void *alps_pool_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* A file without a name, in memory. */
ALPS_COLD_ int alps_pool_file_(uint64_t n)
{
    int fd = -1;
#ifdef SYS_memfd_create // since Linux 3.17
    fd = (int)syscall(SYS_memfd_create, "alps-paged", 1u /* MFD_CLOEXEC */);
#endif
    if (fd < 0) { // a sandbox may refuse it
        char name[64];
        snprintf(name, sizeof name, "/dev/shm/alps-paged-%016llx",
                 (unsigned long long)alps_random_());
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlink(name);
    }
    if (fd >= 0 && ftruncate(fd, (off_t)n)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* All of the pool at once; the child of a fork does not get it. */
ALPS_COLD_ unsigned char *alps_pool_map_(const alps_pool *pool, int may)
{
    size_t n = (size_t)(pool->n * pool->segment);
    void *p = mmap(NULL, n, may, MAP_SHARED, pool->fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!madvise(p, n, MADV_DONTFORK))
        return (unsigned char *)p;
    munmap(p, n);
    return NULL;
}

ALPS_FN_ unsigned char *alps_pool_at_(const alps_pool *pool, uint32_t frame)
{
    return pool->write + frame * pool->segment;
}

/* Nothing is to be seen at `at`, for as long as a segment. */
ALPS_COLD_ int alps_pool_hide_(const alps_pool *pool, unsigned char *at,
                               uint64_t segments)
{
    long p = syscall(SYS_mmap, at, segments * pool->segment, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                     -1, 0L);
    return p == -1 ? alps_oserror_() : ALPS_OK;
}

/* The frame is to be seen at `at`; what was there is not, from the same moment
 * on. By system calls and not by the library's functions: this is for signal
 * handlers. */
ALPS_COLD_ int alps_pool_show_(const alps_pool *pool, uint32_t frame,
                               unsigned char *at, int write)
{
    uint64_t off = frame * pool->segment;
    long p;
    if (!pool->plain) {
        p = syscall(SYS_mremap, write ? pool->write + off : pool->see + off, 0L,
                    pool->segment, ALPS_REMAP_MOVE_, at);
    } else {
        p = syscall(SYS_mmap, at, pool->segment,
                    write ? PROT_READ | PROT_WRITE : PROT_READ,
                    MAP_SHARED | MAP_FIXED, pool->fd, (long)off);
        if (p != -1)
            syscall(SYS_madvise, at, pool->segment, MADV_DONTFORK);
    }
    if (p == -1) {
        int err = alps_oserror_();
        alps_pool_hide_(pool, at, 1); // it may have gone so far
        return err;
    }
    // One call, and not a fault for each page. As if to be read: what may be
    // written is so at once, and where several pages are seen at a stroke.
    if (pool->segment > ALPS_PAGE)
        syscall(SYS_madvise, at, pool->segment, ALPS_POPULATE_READ_);
    return ALPS_OK;
}

/* Whether a frame that is shown is the frame. */
ALPS_COLD_ int alps_pool_try_(const alps_pool *pool)
{
    unsigned char *at = alps_hold_addresses_(pool->segment, ALPS_PAGE);
    if (!at)
        return ALPS_ENOMEM;
    int err = alps_pool_show_(pool, 0, at, 1);
    if (!err) {
        volatile unsigned char *shown = at;
        *shown = 1;
        if (*(volatile unsigned char *)pool->write != 1)
            err = ALPS_EUNSUPPORTED;
        *shown = 0;
    }
    munmap(at, (size_t)pool->segment);
    return err;
}

ALPS_COLD_ void alps_pool_close_(alps_pool *pool)
{
    size_t n = (size_t)(pool->n * pool->segment);
    if (pool->write)
        munmap(pool->write, n);
    if (pool->see)
        munmap((void *)(uintptr_t)pool->see, n);
    if (pool->frame)
        munmap(pool->frame, pool->n * sizeof *pool->frame);
    if (pool->fd >= 0)
        close(pool->fd);
    memset(pool, 0, sizeof *pool);
    pool->fd = -1;
}

/* A pool of `n` frames that have no pages, and no memory file. */
ALPS_COLD_ int alps_pool_told_(alps_pool *pool, alps_uffd *u, uint32_t n,
                               uint64_t segment)
{
    memset(pool, 0, sizeof *pool);
    pool->uffd = u;
    pool->n = n;
    pool->segment = segment;
    pool->spare = pool->bare = ALPS_NO_FRAME;
    pool->fd = -1;
    pool->frame = (alps_page_frame *)alps_pool_memory_(n * sizeof *pool->frame);
    if (u->has & ALPS_UFFD_HAS_MOVE_)
        pool->write = alps_hold_addresses_(n * segment, segment);
    if (!pool->frame || (u->has & ALPS_UFFD_HAS_MOVE_ && !pool->write))
        return ALPS_ENOMEM;
    return pool->write ? alps_uffd_take_(u, pool->write, n * segment) : ALPS_OK;
}

/* Makes a pool of `n` frames, and tries the first. */
ALPS_COLD_ int alps_pool_open_(alps_pool *pool, uint32_t n, uint64_t segment)
{
    memset(pool, 0, sizeof *pool);
    pool->n = n;
    pool->segment = segment;
    pool->spare = pool->bare = ALPS_NO_FRAME;
    pool->fd = alps_pool_file_(n * segment);
    if (pool->fd >= 0) {
        pool->frame =
            (alps_page_frame *)alps_pool_memory_(n * sizeof *pool->frame);
        pool->write = alps_pool_map_(pool, PROT_READ | PROT_WRITE);
        pool->see = alps_pool_map_(pool, PROT_READ);
    }
    int err = ALPS_EUNSUPPORTED;
    if (pool->fd >= 0 && pool->frame && pool->write && pool->see)
        err = alps_pool_try_(pool);
    if (err && pool->write && pool->see && pool->frame) {
        pool->plain = 1;
        err = alps_pool_try_(pool);
    }
    if (err)
        alps_pool_close_(pool);
    return err;
}

/* A free frame that has memory, or ALPS_NO_FRAME. */
ALPS_FN_ uint32_t alps_pool_take_(alps_pool *pool)
{
    uint32_t frame = pool->spare;
    if (frame != ALPS_NO_FRAME)
        pool->spare = pool->frame[frame].segment;
    return frame;
}

/* One that has none yet, or ALPS_NO_FRAME; it has from now on. */
ALPS_FN_ uint32_t alps_pool_more_(alps_pool *pool)
{
    uint32_t frame = pool->bare;
    if (frame != ALPS_NO_FRAME)
        pool->bare = pool->frame[frame].segment;
    else if (pool->fresh < pool->n)
        frame = pool->fresh++;
    if (frame != ALPS_NO_FRAME)
        __atomic_store_n(&pool->used, pool->used + 1, __ATOMIC_RELAXED);
    return frame;
}

/* The memory of a free frame goes back to the system; 0 if there is none. */
ALPS_COLD_ int alps_pool_less_(alps_pool *pool)
{
    uint32_t frame = alps_pool_take_(pool);
    if (frame == ALPS_NO_FRAME)
        return 0;
    alps_page_frame *f = &pool->frame[frame];
    if (f->dirty == ALPS_KEPT_)
        alps_uffd_drop_(alps_pool_at_(pool, frame), pool->segment);
    f->dirty = 0;
    if (!pool->uffd && // else it has no more
        syscall(SYS_fallocate, pool->fd, 3L /* PUNCH_HOLE | KEEP_SIZE */,
                (long)(frame * pool->segment), (long)pool->segment)) {
        f->segment = pool->spare;
        pool->spare = frame;
        return 0;
    }
    f->segment = pool->bare;
    pool->bare = frame;
    __atomic_store_n(&pool->used, pool->used - 1, __ATOMIC_RELAXED);
    return 1;
}

/* Bytes of frames [from, to) that are dirty. */
ALPS_FN_ uint64_t alps_pool_dirty_(const alps_pool *pool, uint32_t from,
                                   uint32_t to)
{
    uint64_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += pool->frame[i].dirty != 0;
    return n * pool->segment;
}

ALPS_FN_ void alps_pool_give_(alps_pool *pool, uint32_t frame)
{
    alps_page_frame *f = &pool->frame[frame];
    memset(f, 0, sizeof *f);
    f->segment = pool->spare;
    pool->spare = frame;
}

/* One that was taken and is not used after all: it has what it had. */
ALPS_FN_ void alps_pool_return_(alps_pool *pool, uint32_t frame)
{
    uint8_t kept = pool->frame[frame].dirty;
    alps_pool_give_(pool, frame);
    pool->frame[frame].dirty = kept;
}
