/* space.h -- regions that know each other
 *
 * A space is an object of the program: the regions that it has open and wants
 * pointers between. A region has an id, 64 bits of its uuid, which is the same
 * wherever and by whoever it is opened; a far pointer is an id and an offset.
 * Id to address is a look into a table without a lock, address to id a search
 * in a sorted array that is read again where it has changed meanwhile. */
#pragma once
#include "closed.h"

/* A region and a place in it; null where `off` is. */
typedef struct alps_far {
    uint64_t region; /* id of the region */
    alps_off off;
} alps_far;

/* A typed pointer into any region of a space: 16 bytes. To C two ALPS_FAR(T)
 * are two types: give it a typedef. */
#define ALPS_FAR(T) \
  union {           \
    alps_far far;   \
    T *type_;       \
  }

/* The same in 8 bytes, from a region to at most 128 others. */
#define ALPS_PACKED(T) \
  union {              \
    uint64_t packed;   \
    T *type_;          \
  }

/* What a region is asked to do for a space, through its own instance. */
typedef struct alps_deed {
    int what;       /* ALPS_DEED_... */
    uint64_t id;    /* of another region; or an offset */
    uint64_t value; /* ... */
    alps_pledge *pledge;
    alps_pledge as; /* what a pledge is to say */
} alps_deed;
typedef int alps_deed_do(alps_handle *h, alps_deed *d);

/* A region of a space. */
typedef struct alps_member {
    uint64_t id;           /* 0: nothing was ever here */
    alps_handle *handle;   /* NULL: it is no longer in the space */
    unsigned char *base;   /* where it is mapped */
    uint64_t reserved;     /* and how many addresses it has */
    alps_deed_do *perform; /* by its instance */
} alps_member;

/* The table of all of them, behind it 2^shift members. */
typedef struct alps_members {
    struct alps_members *before; /* smaller ones, which may still be read */
    uint64_t bytes;              /* of this one */
    unsigned shift;
    uint64_t used; /* members with an id */
} alps_members;

typedef struct alps_span {
    uint64_t base, reserved, id;
} alps_span;

/* The same sorted by address; behind it `room` spans. */
typedef struct alps_spans {
    struct alps_spans *before;
    uint64_t bytes, room;
} alps_spans;

struct alps_space;
/* Asked for a region that is not in the space: opens it and adds it, and
 * answers 0, or a code. */
typedef int alps_resolver(void *context, struct alps_space *s, uint64_t id);

/* A set of open regions. All zero it is empty; `resolver` and `context` are the
 * program's to set. It stays where it is while it is used. */
typedef struct alps_space {
    alps_resolver *resolver; /* or NULL */
    void *context;           /* for the resolver */
    alps_members *members;
    alps_spans *spans;
    uint64_t count;     /* of spans */
    uint64_t seq;       /* odd while spans are changed */
    uint64_t lock;      /* 1 while members are changed */
    uint64_t resolving; /* the thread that asks the resolver */
    uint64_t tying;     /* 1 while ties are made or settled */
} alps_space;

/* The id of a region: never 0. */
ALPS_FN_ uint64_t alps_space_id_(const uint8_t uuid[16])
{
    uint64_t half[2];
    memcpy(half, uuid, sizeof half);
    return half[0] == half[1] ? 1 : half[0] ^ half[1];
}

ALPS_FN_ alps_member *alps_member_at_(alps_members *t, uint64_t i)
{
    return (alps_member *)(void *)(t + 1) + (i & ((1ull << t->shift) - 1));
}

/* The place of `id` in the table, or the empty one where it would be. */
ALPS_FN_ alps_member *alps_member_seek_(alps_members *t, uint64_t id)
{
    for (uint64_t i = id >> (64 - t->shift);; i++) {
        alps_member *m = alps_member_at_(t, i);
        uint64_t is = __atomic_load_n(&m->id, __ATOMIC_ACQUIRE);
        if (ALPS_LIKELY_(is == id || !is))
            return m;
    }
}

/* The region with this id, or NULL. No lock; O(1). */
ALPS_FN_ const alps_member *alps_space_find_(const alps_space *s, uint64_t id)
{
    alps_members *t = __atomic_load_n(&s->members, __ATOMIC_ACQUIRE);
    if (ALPS_UNLIKELY_(!t || !id))
        return NULL;
    alps_member *m = alps_member_seek_(t, id);
    return m->id && __atomic_load_n(&m->handle, __ATOMIC_ACQUIRE) ? m : NULL;
}

ALPS_FN_ void alps_space_lock_(uint64_t *lock, uint64_t mine)
{
    uint64_t none = 0;
    for (unsigned round = 0; !__atomic_compare_exchange_n(
             lock, &none, mine, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
         round++) {
        none = 0;
        ALPS_WAIT_(round);
    }
}

ALPS_FN_ void alps_space_unlock_(uint64_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* Zeroed memory of the process; NULL where there is none. */
ALPS_COLD_ void *alps_space_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* A table with room for one more: the same, or one twice as large. Readers may
 * be in the old one, which stays until the space ends. */
ALPS_COLD_ alps_members *alps_members_room_(alps_space *s)
{
    alps_members *old = s->members;
    if (old && old->used < 1ull << old->shift >> 1)
        return old;
    unsigned shift = old ? old->shift + 1 : 4;
    uint64_t bytes = sizeof *old + (sizeof(alps_member) << shift);
    alps_members *t = (alps_members *)alps_space_memory_(bytes);
    if (!t)
        return NULL;
    t->before = old;
    t->bytes = bytes;
    t->shift = shift;
    for (uint64_t i = 0; old && i < 1ull << old->shift; i++) {
        const alps_member *m = alps_member_at_(old, i);
        if (!m->handle)
            continue;
        *alps_member_seek_(t, m->id) = *m;
        t->used++;
    }
    __atomic_store_n(&s->members, t, __ATOMIC_RELEASE);
    return t;
}

ALPS_COLD_ alps_spans *alps_spans_room_(alps_space *s)
{
    alps_spans *old = s->spans;
    if (old && s->count < old->room)
        return old;
    uint64_t room = old ? 2 * old->room : 16;
    uint64_t bytes = sizeof *old + room * sizeof(alps_span);
    alps_spans *t = (alps_spans *)alps_space_memory_(bytes);
    if (!t)
        return NULL;
    t->before = old;
    t->bytes = bytes;
    t->room = room;
    if (old)
        memcpy((void *)(t + 1), (const void *)(old + 1),
               (size_t)(s->count * sizeof(alps_span)));
    __atomic_store_n(&s->spans, t, __ATOMIC_RELEASE);
    return t;
}

ALPS_FN_ void alps_span_copy_(alps_span *to, const alps_span *from)
{
    alps_store_(&to->base, alps_load_(&from->base));
    alps_store_(&to->reserved, alps_load_(&from->reserved));
    alps_store_(&to->id, alps_load_(&from->id));
}

/* The number of spans that begin at `p` or before. */
ALPS_FN_ uint64_t alps_spans_below_(const alps_span *span, uint64_t n,
                                    uint64_t p)
{
    uint64_t from = 0;
    while (from < n) {
        uint64_t middle = from + (n - from) / 2;
        if (alps_load_(&span[middle].base) <= p)
            from = middle + 1;
        else
            n = middle;
    }
    return from;
}

/* The spans are changed between these two: who reads meanwhile reads again. */
ALPS_FN_ alps_span *alps_spans_begin_(alps_space *s)
{
    __atomic_fetch_add(&s->seq, 1, __ATOMIC_SEQ_CST);
    return (alps_span *)(void *)(s->spans + 1);
}

ALPS_FN_ void alps_spans_end_(alps_space *s, uint64_t count)
{
    alps_store_(&s->count, count);
    __atomic_fetch_add(&s->seq, 1, __ATOMIC_SEQ_CST);
}

/* What `p` is in: 1 and the span, or 0. No lock; O(log regions). */
ALPS_FN_ int alps_space_seek_(const alps_space *s, const void *p, alps_span *is)
{
    for (unsigned round = 0;; round++) {
        uint64_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
        uint64_t n = alps_load_(&s->count), at = (uint64_t)(uintptr_t)p;
        const alps_spans *t = __atomic_load_n(&s->spans, __ATOMIC_ACQUIRE);
        int found = 0;
        if (t && n && n <= t->room) {
            const alps_span *span = (const alps_span *)(const void *)(t + 1);
            uint64_t below = alps_spans_below_(span, n, at);
            if (below)
                alps_span_copy_(is, &span[below - 1]);
            found = below && at - is->base < is->reserved;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (ALPS_LIKELY_(!(seq & 1) && alps_load_(&s->seq) == seq))
            return found;
        ALPS_WAIT_(round);
    }
}

/* Enters a region. Under the lock. */
ALPS_COLD_ int alps_space_enter_(alps_space *s, alps_handle *h,
                                 alps_deed_do *perform)
{
    uint64_t id = alps_space_id_(h->super->uuid);
    alps_members *t = alps_members_room_(s);
    if (!t || !alps_spans_room_(s))
        return ALPS_ENOMEM;
    alps_member *m = alps_member_seek_(t, id);
    if (m->id && m->handle)
        return ALPS_EEXIST;
    t->used += !m->id;
    m->base = h->map.base;
    m->reserved = h->map.reserved;
    m->perform = perform;
    __atomic_store_n(&m->handle, h, __ATOMIC_RELEASE);
    __atomic_store_n(&m->id, id, __ATOMIC_RELEASE);
    alps_span *span = alps_spans_begin_(s);
    alps_span own = {(uint64_t)(uintptr_t)h->map.base, h->map.reserved, id};
    uint64_t i = s->count;
    for (; i && span[i - 1].base > own.base; i--)
        alps_span_copy_(&span[i], &span[i - 1]);
    alps_span_copy_(&span[i], &own);
    alps_spans_end_(s, s->count + 1);
    return ALPS_OK;
}

/* See alps_space_remove. */
ALPS_COLD_ int alps_space_remove_(alps_space *s, const alps_handle *h)
{
    int err = ALPS_ENOENT;
    alps_space_lock_(&s->lock, 1);
    for (uint64_t i = 0; s->members && i < 1ull << s->members->shift; i++) {
        alps_member *m = alps_member_at_(s->members, i);
        if (!m->handle || m->handle != h)
            continue;
        __atomic_store_n(&m->handle, (alps_handle *)NULL, __ATOMIC_RELEASE);
        alps_span *span = alps_spans_begin_(s);
        uint64_t k = 0;
        while (k < s->count && span[k].id != m->id)
            k++;
        for (; k + 1 < s->count; k++)
            alps_span_copy_(&span[k], &span[k + 1]);
        alps_spans_end_(s, s->count - 1);
        err = ALPS_OK;
    }
    alps_space_unlock_(&s->lock);
    return err;
}

/* See alps_space_end. */
ALPS_COLD_ void alps_space_end_(alps_space *s)
{
    for (alps_members *t = s->members, *next; t; t = next) {
        next = t->before;
        munmap(t, (size_t)t->bytes);
    }
    for (alps_spans *t = s->spans, *next; t; t = next) {
        next = t->before;
        munmap(t, (size_t)t->bytes);
    }
    memset(s, 0, sizeof *s);
}

/* The region with this id, for which the resolver is asked where it is not
 * there: by one thread at a time, which may ask for others meanwhile. */
ALPS_COLD_ const alps_member *alps_space_demand_(alps_space *s, uint64_t id,
                                                 int *err)
{
    uint64_t self = (uint64_t)ALPS_THREAD_();
    const alps_member *m = alps_space_find_(s, id);
    *err = m ? ALPS_OK : ALPS_EMISSING;
    if (m || !s->resolver || !id)
        return m;
    int nested = alps_load_(&s->resolving) == self;
    if (!nested)
        alps_space_lock_(&s->resolving, self);
    m = alps_space_find_(s, id);
    *err = m ? ALPS_OK : s->resolver(s->context, s, id);
    if (!nested)
        alps_space_unlock_(&s->resolving);
    if (!m && !*err) {
        m = alps_space_find_(s, id);
        *err = m ? ALPS_OK : ALPS_EMISSING;
    }
    return m;
}

/* See alps_space_at. */
ALPS_COLD_ int alps_space_at_(alps_space *s, uint64_t id, alps_off off,
                              void **p)
{
    int err;
    *p = NULL;
    if (!off)
        return ALPS_OK;
    const alps_member *m = alps_space_demand_(s, id, &err);
    if (!m)
        return err;
    if (off >= alps_size_(m->handle))
        return ALPS_EINVAL;
    *p = m->base + off;
    return ALPS_OK;
}

/* The address of a far pointer, or NULL: for null, for what cannot be one, for
 * a region that is missing. */
ALPS_FN_ void *alps_space_get_(alps_space *s, uint64_t id, alps_off off)
{
    const alps_member *m = alps_space_find_(s, id);
    void *p = NULL;
    if (ALPS_LIKELY_(m && off - 1 < m->reserved - 1))
        return m->base + off;
    (void)alps_space_at_(s, id, off, &p);
    return p;
}

/* See alps_space_far. */
ALPS_FN_ int alps_space_far_(const alps_space *s, const void *p, alps_far *far)
{
    alps_span is;
    far->region = 0;
    far->off = ALPS_NULL;
    if (!p)
        return ALPS_OK;
    if (!alps_space_seek_(s, p, &is))
        return ALPS_EMISSING;
    far->region = is.id;
    far->off = (uint64_t)(uintptr_t)p - is.base;
    return far->off ? ALPS_OK : ALPS_EINVAL;
}

/* The word of a packed pointer that lies in `h`. */
ALPS_FN_ const uint64_t *alps_space_neighbours_(const alps_handle *h)
{
    return (const uint64_t *)alps_address_(h, ALPS_NEIGHBOURS);
}

/* The id of neighbour `n` of a region; 0: there is none. */
ALPS_FN_ uint64_t alps_space_neighbour_(const alps_handle *h, uint64_t n)
{
    if (!n)
        return alps_space_id_(h->super->uuid);
    return n <= ALPS_NEIGHBOUR_MAX
               ? alps_load_(alps_space_neighbours_(h) + n - 1)
               : 0;
}

/* The address of a packed pointer that lies in `h`. */
ALPS_FN_ void *alps_space_unpack_(alps_space *s, const alps_handle *h,
                                  uint64_t packed)
{
    uint64_t n = packed >> 48, off = packed & ((1ull << 48) - 1);
    if (!n)
        return alps_ptr_get_(&h->map, off);
    return alps_space_get_(s, alps_space_neighbour_(h, n), off);
}

/* The address that an ALPS_FAR names, of its type. */
#define ALPS_FAR_GET(space, ptr)                                               \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_space_get_((space), (ptr).far.region, \
                                                    (ptr).far.off))
/* The other way: 0, or ALPS_EMISSING: `p` is in no region of the space. */
#define ALPS_FAR_SET(space, ptr, p) \
  ((void)sizeof((ptr).type_ == (p)), alps_space_far_((space), (p), &(ptr).far))

/* The same for an ALPS_PACKED that lies in the region of `h`. */
#define ALPS_PACKED_GET(space, h, ptr)                                      \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_space_unpack_((space), &(h)->core, \
                                                       (ptr).packed))
