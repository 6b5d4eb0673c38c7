/* pmemalloc.h -- the calls of libpmemalloc, over alps.h
 *
 * A program that is written against the API document of that library (Intel,
 * 2013) includes this file instead, and links nothing. A pool is a region; its
 * static area is the root; a pointer with a _ at its end is an offset. Memory
 * is reserved (a crash gives it back), then activated together with all the
 * assignments that onactive noted, or freed with those that onfree noted: in
 * one step, whatever crashes.
 *
 * What is noted is memory of this process until then. So, unlike there, it may
 * be any number; a crash forgets it; and so does freeing the reservation.
 *
 * One assignment, of the memory itself, is alps_publish. More are written down
 * first: an intent is published, then the memory is published to the intent,
 * and from then on the assignments are made, now or by the next pmemalloc_init.
 *
 * Any thread may call; a pool is open in one process. */
#ifndef PMEMALLOC_H
#define PMEMALLOC_H

#ifndef PMEMALLOC_BACKEND
#  define PMEMALLOC_BACKEND ALPS_PMEM
#  define PMEMALLOC_POLICY ALPS_FLUSH
#endif
#define ALPS_NAME pool
#define ALPS_BACKEND PMEMALLOC_BACKEND
#define ALPS_POLICY PMEMALLOC_POLICY
#include "alps.h"

#define PMEM_STATIC_SIZE ALPS_ROOT_SIZE
#define PMEM_MIN_POOL_SIZE (1024 * 1024)

/* The address of a pointer that is an offset, of its type. */
#define PMEM(pmp, ptr_)                                           \
  ((__typeof__(ptr_))(void *)(((struct pmemalloc *)(pmp))->base + \
                              (uintptr_t)(ptr_)))

/* An assignment. */
struct pmemalloc_on {
    uint64_t dest; /* where */
    uint64_t value;
};

/* Assignments that will be made, whatever crashes. In the region. */
struct pmemalloc_intent {
    alps_off object; /* what is activated, once it is; or is to be freed */
    uint64_t freed;  /* 1: the latter */
    uint64_t n;      /* assignments, which follow */
};

/* In the region, by the name "pmemalloc". */
struct pmemalloc_state {
    alps_off intent;
    alps_off last; /* what was activated without an assignment: to have a word
                      that names it */
};

/* An assignment that is noted. */
struct pmemalloc_note {
    uint64_t object;
    int on_free;
    struct pmemalloc_on on;
};

/* What pmemalloc_init answers. */
struct pmemalloc {
    unsigned char *base;
    pool_heap heap;
    struct pmemalloc_state *state;
    struct pmemalloc_note *note;
    size_t notes, room;
    pthread_mutex_t lock;
    int error; /* of the last call that answers nothing */
};

/* The errno of a code. */
static inline int pmemalloc_errno(int code)
{
    switch (code) {
    case ALPS_ENOMEM:
    case ALPS_EFULL:
    case ALPS_ELIMIT: return ENOMEM;
    case ALPS_ENOSPC: return ENOSPC;
    case ALPS_EBUSY: return EBUSY;
    case ALPS_EEXIST: return EEXIST;
    case ALPS_ENOENT: return ENOENT;
    case ALPS_EACCES: return EACCES;
    case ALPS_EREADONLY: return EROFS;
    case ALPS_EIO: return EIO;
    default: return EINVAL;
    }
}

/* Makes the assignments of the intent, and ends it. May be done again. */
static inline int pmemalloc_finish(struct pmemalloc *p)
{
    struct pmemalloc_intent *i =
        (struct pmemalloc_intent *)pool_at(&p->heap, p->state->intent);
    const struct pmemalloc_on *on = (const struct pmemalloc_on *)(i + 1);
    int err = ALPS_OK;
    for (uint64_t k = 0; !err && i->object && k < i->n; k++) {
        uint64_t *dest = (uint64_t *)pool_at(&p->heap, on[k].dest);
        if (dest)
            *dest = on[k].value;
        err = dest ? pool_flush(&p->heap, dest, sizeof *dest) : ALPS_ECORRUPT;
    }
    if (!err)
        err = pool_fence(&p->heap);
    if (!err && i->freed && i->object)
        err = pool_release(&p->heap, &i->object);
    return err ? err : pool_release(&p->heap, &p->state->intent);
}

/* Publishes what is to be done with `object`: for a reservation it is certain
 * when that is published too, for a block at once. */
static inline int pmemalloc_intend(struct pmemalloc *p, uint64_t object,
                                   int on_free, size_t n)
{
    size_t bytes =
        sizeof(struct pmemalloc_intent) + n * sizeof(struct pmemalloc_on);
    struct pmemalloc_intent *i =
        (struct pmemalloc_intent *)pool_reserve(&p->heap, bytes);
    if (!i)
        return pool_error(&p->heap);
    struct pmemalloc_on *on = (struct pmemalloc_on *)(i + 1);
    i->object = on_free ? object : ALPS_NULL;
    i->freed = on_free != 0;
    i->n = n;
    for (size_t k = 0; k < p->notes; k++)
        if (p->note[k].object == object && p->note[k].on_free == on_free)
            *on++ = p->note[k].on;
    int err = pool_publish(&p->heap, &p->state->intent, i);
    if (err)
        return err;
    if (!on_free) {
        err = pool_publish(&p->heap, &i->object, pool_at(&p->heap, object));
        if (err) {
            pool_release(&p->heap, &p->state->intent);
            return err;
        }
    }
    return pmemalloc_finish(p);
}

/* How many assignments are noted for `object`, and the last of them. */
static inline size_t pmemalloc_count(const struct pmemalloc *p, uint64_t object,
                                     int on_free, struct pmemalloc_on *last)
{
    size_t n = 0;
    for (size_t k = 0; k < p->notes; k++) {
        if (p->note[k].object != object || p->note[k].on_free != on_free)
            continue;
        *last = p->note[k].on;
        n++;
    }
    return n;
}

/* Forgets what is noted for `object`. */
static inline void pmemalloc_forget(struct pmemalloc *p, uint64_t object)
{
    size_t kept = 0;
    for (size_t k = 0; k < p->notes; k++)
        if (p->note[k].object != object)
            p->note[kept++] = p->note[k];
    p->notes = kept;
}

static inline void pmemalloc_note(void *pmp, const void *ptr_, void **parentp_,
                                  const void *nptr_, int on_free)
{
    struct pmemalloc *p = (struct pmemalloc *)pmp;
    pthread_mutex_lock(&p->lock);
    p->error = ALPS_OK;
    if (p->notes == p->room) {
        size_t room = p->room ? 2 * p->room : 8;
        void *more = realloc(p->note, room * sizeof *p->note);
        p->error = more ? ALPS_OK : ALPS_ENOMEM;
        if (more) {
            p->note = (struct pmemalloc_note *)more;
            p->room = room;
        }
    }
    if (!p->error) {
        struct pmemalloc_note *note = &p->note[p->notes++];
        note->object = (uintptr_t)ptr_;
        note->on_free = on_free;
        note->on.dest = pool_off_of(&p->heap, parentp_);
        note->on.value = (uintptr_t)nptr_;
    }
    pthread_mutex_unlock(&p->lock);
}

/* Opens the pool at `path`, or makes one of `size` bytes (1 MiB or more), and
 * finishes what a crash cut short. NULL, and errno. */
static inline void *pmemalloc_init(const char *path, size_t size)
{
    struct pmemalloc *p = (struct pmemalloc *)calloc(1, sizeof *p);
    alps_options o;
    if (!p)
        return NULL;
    memset(&o, 0, sizeof o);
    o.size = size;
    int err = ALPS_EINVAL; // it would have to be made, and is too small
    if (size >= PMEM_MIN_POOL_SIZE || access(path, F_OK) == 0)
        err = pool_open(&p->heap, path, &o);
    if (err) {
        free(p);
        errno = pmemalloc_errno(err);
        return NULL;
    }
    p->base = p->heap.core.map.base;
    p->state = (struct pmemalloc_state *)pool_find_or_construct(
        &p->heap, "pmemalloc", sizeof *p->state);
    err = p->state ? ALPS_OK : pool_error(&p->heap);
    if (!err && p->state->intent)
        err = pmemalloc_finish(p);
    if (err) {
        pool_close(&p->heap);
        free(p);
        errno = pmemalloc_errno(err);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

/* The 4 KiB of the pool that are the program's: an address. */
static inline void *pmemalloc_static_area(void *pmp)
{
    return pool_root(&((struct pmemalloc *)pmp)->heap, PMEM_STATIC_SIZE);
}

/* Reserves `size` bytes: an offset, for PMEM. NULL, and errno. */
static inline void *pmemalloc_reserve(void *pmp, size_t size)
{
    struct pmemalloc *p = (struct pmemalloc *)pmp;
    void *got = pool_reserve(&p->heap, size);
    if (!got)
        errno = pmemalloc_errno(pool_error(&p->heap));
    return (void *)(uintptr_t)pool_off_of(&p->heap, got);
}

/* When `ptr_` is activated `*parentp_` is to become `nptr_`. */
static inline void pmemalloc_onactive(void *pmp, void *ptr_, void **parentp_,
                                      void *nptr_)
{
    pmemalloc_note(pmp, ptr_, parentp_, nptr_, 0);
}

/* When `ptr_` is freed `*parentp_` is to become `nptr_`. */
static inline void pmemalloc_onfree(void *pmp, void *ptr_, void **parentp_,
                                    void *nptr_)
{
    pmemalloc_note(pmp, ptr_, parentp_, nptr_, 1);
}

/* In one step: what is reserved is allocated, its contents are durable, and all
 * that was noted is assigned. */
static inline void pmemalloc_activate(void *pmp, void *ptr_)
{
    struct pmemalloc *p = (struct pmemalloc *)pmp;
    struct pmemalloc_on on = {0, 0};
    uint64_t object = (uintptr_t)ptr_;
    pthread_mutex_lock(&p->lock);
    size_t n = pmemalloc_count(p, object, 0, &on);
    if (n > 1 || (n == 1 && on.value != object)) {
        p->error = pmemalloc_intend(p, object, 0, n);
    } else {
        alps_off *dest =
            n ? (alps_off *)pool_at(&p->heap, on.dest) : &p->state->last;
        p->error = pool_publish(&p->heap, dest, pool_at(&p->heap, object));
    }
    if (!p->error)
        pmemalloc_forget(p, object);
    pthread_mutex_unlock(&p->lock);
}

/* In one step: the memory is free, and all that was noted is assigned. A
 * reservation is given back, and what was noted for it forgotten. */
static inline void pmemalloc_free(void *pmp, void *ptr_)
{
    struct pmemalloc *p = (struct pmemalloc *)pmp;
    struct pmemalloc_on on = {0, 0};
    uint64_t object = (uintptr_t)ptr_;
    void *at = pool_at(&p->heap, object);
    pthread_mutex_lock(&p->lock);
    size_t n = pmemalloc_count(p, object, 1, &on);
    p->error = at ? pool_cancel(&p->heap, at) : ALPS_EINVALID_FREE;
    if (p->error == ALPS_EINVALID_FREE && at && pool_usable(&p->heap, at)) {
        alps_off *dest = (alps_off *)pool_at(&p->heap, on.dest);
        if (n == 0)
            p->error = pool_free(&p->heap, at);
        else if (n == 1 && !on.value && dest && *dest == object)
            p->error = pool_release(&p->heap, dest);
        else
            p->error = pmemalloc_intend(p, object, 1, n);
    }
    if (!p->error)
        pmemalloc_forget(p, object);
    pthread_mutex_unlock(&p->lock);
}

/* Looks whether the pool at `path` is sound, says what it holds, and changes
 * nothing. 0, or a code for alps_strerror. */
static inline int pmemalloc_check(const char *path)
{
    pool_heap h;
    alps_options o;
    alps_statistics s;
    memset(&o, 0, sizeof o);
    memset(&s, 0, sizeof s);
    o.flags = ALPS_READ_ONLY;
    int err = pool_open(&h, path, &o);
    if (!err) {
        err = pool_check(&h, NULL);
        pool_stats(&h, &s);
        pool_close(&h);
    }
    printf("%s: %s\n", path, pool_strerror(err));
    if (!err)
        printf("%llu bytes, %llu used in %llu blocks, %llu free, %llu of them "
               "together\n",
               (unsigned long long)s.size, (unsigned long long)s.used,
               (unsigned long long)s.blocks, (unsigned long long)s.free,
               (unsigned long long)s.largest_free);
    return err;
}

/* ---- not in that library */

/* Stores of the program are durable: what pmem_persist is for. */
static inline int pmemalloc_durable(void *pmp, const void *p, size_t n)
{
    return pool_persist(&((struct pmemalloc *)pmp)->heap, p, n);
}

/* The code of the last call that answers nothing: 0 where it has worked. Where
 * that library ends the process this one says so here. */
static inline int pmemalloc_error(const void *pmp)
{
    return ((const struct pmemalloc *)pmp)->error;
}

/* Closes the pool. Who just ends loses what is reserved, and nothing else. */
static inline int pmemalloc_close(void *pmp)
{
    struct pmemalloc *p = (struct pmemalloc *)pmp;
    int err = pool_close(&p->heap);
    pthread_mutex_destroy(&p->lock);
    free(p->note);
    free(p);
    return err;
}

#endif
