/* ptr.h -- pointers that survive a new address
 *
 * A region is mapped wherever there is room, so what is stored is not an
 * address. ALPS_PTR(T) is the offset from the first byte of the region: 8
 * bytes, typed, copied with `=` or memcpy, null when zeroed. ALPS_REL(T) is the
 * distance from itself: it is followed without a handle, and must not be
 * copied by `=` or memcpy, only by ALPS_REL_SET(to, ALPS_REL_GET(from)); what
 * contains one must not be moved by memcpy or alps_realloc. An offset read from
 * a region is input, so it is checked. */
#pragma once
#include "handle.h"

/* A typed offset. To C two ALPS_PTR(T) are two types: give it a typedef. */
#define ALPS_PTR(T) \
  union {           \
    alps_off off;   \
    T *type_;       \
  }

/* A typed distance from itself; 0 is null, and -2^63, farther than any address
 * is from another, is itself: so every other distance is what it says, that of
 * a byte as well. */
#define ALPS_REL(T) \
  union {           \
    int64_t rel;    \
    T *type_;       \
  }

/* The address of `off` in a region mapped at `map`, or NULL for null and for
 * what lies outside. One comparison. */
ALPS_FN_ void *alps_ptr_get_(const alps_map *map, alps_off off)
{
    return ALPS_LIKELY_(off - 1 < map->reserved - 1) ? map->base + off : NULL;
}

/* The offset of `p`, which is NULL or an address in the region. */
ALPS_FN_ alps_off alps_ptr_off_(const alps_map *map, const void *p)
{
    if (!p)
        return ALPS_NULL;
    ALPS_ASSERT((uintptr_t)p - (uintptr_t)map->base < map->reserved);
    return (alps_off)((uintptr_t)p - (uintptr_t)map->base);
}

/* Twice the distance is 0 for null and for itself: one comparison for both. The
 * compiler is not to conclude that what is reached from `rel` is part of what
 * `rel` is in: the empty instruction tells it nothing of where `p` leads. */
ALPS_FN_ void *alps_rel_get_(const int64_t *rel)
{
    uintptr_t p = (uintptr_t)rel, distance = (uintptr_t)*rel;
    if (ALPS_LIKELY_(distance * 2 != 0))
        p += distance;
    else if (!distance)
        return NULL;
    __asm__("" : "+r"(p));
    return (void *)p;
}

ALPS_FN_ void alps_rel_set_(int64_t *rel, const void *p)
{
    int64_t distance = (int64_t)((uintptr_t)p - (uintptr_t)rel);
    *rel = !p ? 0 : distance ? distance : INT64_MIN;
}

/* The address that an ALPS_PTR names, of its type; and the other way. */
#define ALPS_GET(h, ptr) \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_ptr_get_(&(h)->core.map, (ptr).off))
#define ALPS_SET(h, ptr, p)          \
  ((void)sizeof((ptr).type_ == (p)), \
   (void)((ptr).off = alps_ptr_off_(&(h)->core.map, (p))))

#define ALPS_REL_GET(ptr) \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_rel_get_(&(ptr).rel))
#define ALPS_REL_SET(ptr, p) \
  ((void)sizeof((ptr).type_ == (p)), alps_rel_set_(&(ptr).rel, (p)))

/* Assigns between two ALPS_PTR(T) that are two types to C; the T must agree. */
#define ALPS_COPY(to, from) \
  ((void)sizeof((to).type_ == (from).type_), (void)((to).off = (from).off))
