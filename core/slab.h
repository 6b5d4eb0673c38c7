/* slab.h -- small objects without headers
 *
 * Objects of one size share a slab, a block of granules. Which of them are
 * live is told by pairs of words in the front of the extent, where no overflow
 * reaches them. The thread that owns the slab changes one word of a pair with
 * ordinary stores, all others the other word with atomic ones, and an object is
 * live while its two bits differ: so each change is one store, and needs
 * neither a lock nor a log. The slabs' bits, one per slab-sized piece of the
 * region, tell where slabs are. Nothing here changes what a slab holds but by
 * those words.
 *
 * One word for the owner and one for others: "freed by others" of mimalloc
 * (Leijen, Zorn, de Moura: Mimalloc, APLAS 2019), as bits. */
#pragma once
#include "codes.h"
#include "process.h"

#define ALPS_KINDS 20u

/* Bytes of an object of class `kind`: steps of 16, then four to a doubling. */
ALPS_FAST_ unsigned alps_kind_size_(unsigned kind)
{
    static const uint16_t size[ALPS_KINDS] = {16,  32,  48,  64,  80,  96,  112,
                                              128, 160, 192, 224, 256, 320, 384,
                                              448, 512, 640, 768, 896, 1024};
    return size[kind];
}

/* 2^32 by the bytes of an object, rounded up: `in` times this is, above its
 * low 32 bits, how many objects fit into `in` bytes, exactly for less than
 * 2^22. A division would take longer than all else that finds an object. */
ALPS_FAST_ uint64_t alps_kind_scale_(unsigned kind)
{
    static const uint32_t scale[ALPS_KINDS] = {
        268435457, 134217729, 89478486, 67108865, 53687092, 44739243, 38347923,
        33554433,  26843546,  22369622, 19173962, 16777217, 13421773, 11184811,
        9586981,   8388609,   6710887,  5592406,  4793491,  4194305};
    return scale[kind];
}

/* The class that serves `n` bytes, at most ALPS_SMALL_MAX. */
ALPS_FAST_ unsigned alps_kind_of_(uint64_t n)
{
    static const uint8_t kind[ALPS_SMALL_MAX / 16 + 1] = {
        0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  9,  9,  10, 10, 11, 11,
        12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16,
        16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 17, 17, 17, 18, 18,
        18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19};
    return kind[(n + 15) / 16];
}

/* The bytes of the class that serves `n` bytes, as far as one does. */
ALPS_FN_ uint64_t alps_kind_round_(uint64_t n)
{
    return n < 16 || n > ALPS_SMALL_MAX ? n : alps_kind_size_(alps_kind_of_(n));
}

/* Which list of its owner a slab is in. */
enum {
    ALPS_NOWHERE = 0, /* in none; or it has no owner */
    ALPS_IN_USE = 1,  /* a rack hands out its objects */
    ALPS_PARTIAL = 2, /* has free objects */
    ALPS_EMPTY = 3,   /* the same, and no others */
    ALPS_FULL = 4     /* has none */
};

/* Whether a slab starts at the multiple of its size at or below `off`. */
ALPS_FAST_ int alps_slab_is_(const alps_handle *h, alps_off off)
{
    uint64_t unit = off >> h->at.slab_shift;
    return off < h->at.slab_end &&
           (__atomic_load_n(&h->slabs[unit / 64], __ATOMIC_ACQUIRE) >>
                (unit % 64) &
            1);
}

ALPS_FN_ void alps_slab_mark_(const alps_handle *h, alps_off off, int slab)
{
    uint64_t unit = off >> h->at.slab_shift;
    uint64_t bit = 1ull << (unit % 64);
    if (slab)
        __atomic_fetch_or(&h->slabs[unit / 64], bit, __ATOMIC_RELEASE);
    else
        __atomic_fetch_and(&h->slabs[unit / 64], ~bit, __ATOMIC_RELEASE);
}

/* Where a slab would start whose objects `off` can be one of. */
ALPS_FAST_ alps_off alps_slab_place_(const alps_handle *h, alps_off off)
{
    return off >> h->at.slab_shift << h->at.slab_shift;
}

/* The head of the slab at or below `off`. */
ALPS_FAST_ alps_slab *alps_slab_head_(const alps_handle *h, alps_off off)
{
    uint64_t in = off & h->at.extent_mask;
    return (alps_slab *)alps_address_(
        h, off - in + h->at.heads + (in >> h->at.slab_shift) * h->at.head);
}

ALPS_FAST_ alps_pair *alps_slab_pairs_(alps_slab *s)
{
    return (alps_pair *)(void *)(s + 1);
}

ALPS_FAST_ alps_keep *alps_slab_keeps_(const alps_handle *h, alps_slab *s)
{
    return (alps_keep *)(void *)((unsigned char *)s + h->at.keeps);
}

ALPS_FAST_ unsigned alps_slab_groups_(const alps_slab *s)
{
    return (s->count + 63) / 64;
}

/* One bit for each object that group `g` has: the last may have fewer. */
ALPS_FAST_ uint64_t alps_slab_whole_(const alps_slab *s, unsigned g)
{
    unsigned left = s->count - 64 * g;
    return left < 64 ? (1ull << left) - 1 : ~0ull;
}

ALPS_FAST_ uint64_t alps_pair_live_(const alps_pair *p)
{
    uint64_t far = __atomic_load_n(&p->far, __ATOMIC_ACQUIRE);
    return alps_load_(&p->own) ^ far;
}

/* Objects of a group that are reserved, or held back. */
ALPS_FAST_ uint64_t alps_keep_any_(const alps_keep *k)
{
    return (alps_load_(&k->own) ^ alps_load_(&k->far)) |
           __atomic_load_n(&k->pinned, __ATOMIC_ACQUIRE);
}

/* The objects of group `g` that may be handed out. */
ALPS_FAST_ uint64_t alps_slab_free_(const alps_handle *h, alps_slab *s,
                                    unsigned g)
{
    uint64_t taken = alps_pair_live_(&alps_slab_pairs_(s)[g]);
    if (__atomic_load_n(&s->kept, __ATOMIC_ACQUIRE))
        taken |= alps_keep_any_(&alps_slab_keeps_(h, s)[g]);
    return ~taken & alps_slab_whole_(s, g);
}

/* Whether the slab has an object to hand out. */
ALPS_FN_ int alps_slab_room_(const alps_handle *h, alps_slab *s)
{
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_slab_free_(h, s, g))
            return 1;
    return 0;
}

/* Whether all of its objects may be handed out. */
ALPS_FN_ int alps_slab_empty_(const alps_handle *h, alps_slab *s)
{
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_slab_free_(h, s, g) != alps_slab_whole_(s, g))
            return 0;
    return 1;
}

/* Whether a group next to that of the object at `in` has a live one. In most
 * orders in which a row is freed one has until the end. */
ALPS_FN_ int alps_slab_live_beside_(alps_slab *s, uint64_t in)
{
    unsigned g = (unsigned)(in * s->scale >> 32) / 64;
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = i ? g - 1 : g + 1; // far behind the last: there is none
        if (at < alps_slab_groups_(s) &&
            alps_pair_live_(&alps_slab_pairs_(s)[at]))
            return 1;
    }
    return 0;
}

/* Objects of a slab of class `kind`. */
ALPS_FAST_ uint32_t alps_kind_count_(const alps_handle *h, unsigned kind)
{
    uint32_t count =
        (uint32_t)(alps_kind_scale_(kind) << h->at.slab_shift >> 32);
    return count < 64 * h->at.groups ? count : 64 * h->at.groups;
}

/* Granules of the block that holds it. */
ALPS_FN_ uint64_t alps_kind_granules_(const alps_handle *h, unsigned kind)
{
    uint64_t n = (uint64_t)alps_kind_count_(h, kind) * alps_kind_size_(kind);
    return (n + ALPS_GRANULE - 1) / ALPS_GRANULE;
}

/* What follows from the class of a slab. 0 where that cannot be one. */
ALPS_FN_ int alps_slab_derive_(const alps_handle *h, alps_slab *s)
{
    uint32_t kind = s->kind - 1;
    if (kind >= ALPS_KINDS || alps_kind_size_(kind) > h->at.small)
        return 0;
    s->size = alps_kind_size_(kind);
    s->scale = (uint32_t)alps_kind_scale_(kind);
    s->count = alps_kind_count_(h, kind);
    return 1;
}

/* Makes the head that of a slab of class `kind`, with no object live. Who frees
 * what lies behind a slab that was here may look at it meanwhile. */
ALPS_FN_ void alps_slab_begin_(const alps_handle *h, alps_slab *s,
                               unsigned kind)
{
    uint64_t *word = (uint64_t *)(void *)s;
    for (uint64_t i = 0; i < h->at.head / 8; i++)
        alps_store_(&word[i], 0);
    ALPS_BARRIER_(); // these were words, what follows are halves of words
    __atomic_store_n(&s->kind, kind + 1, __ATOMIC_RELAXED);
    alps_slab_derive_(h, s);
}

/* An object of a slab: which bit of which words speaks for it. */
typedef struct alps_object {
    alps_slab *slab;
    alps_pair *pair;
    alps_keep *keep;
    uint64_t bit;
    unsigned kind;
} alps_object;

/* Whether `off`, at or behind the start of a slab, is an object of it: 1; lies
 * inside of one, or behind the last: -1; or is none of its business: 0.
 * Believes nothing of the head but its class. */
ALPS_FN_ int alps_object_at_(const alps_handle *h, alps_off off, alps_object *o)
{
    if (off < h->at.heap || !alps_slab_is_(h, off) ||
        (off - h->at.heap) >> h->at.extent_shift >= alps_extents_(h))
        return 0;
    o->slab = alps_slab_head_(h, off);
    o->kind = __atomic_load_n(&o->slab->kind, __ATOMIC_RELAXED) - 1;
    if (o->kind >= ALPS_KINDS)
        return 0;
    uint64_t size = alps_kind_size_(o->kind);
    uint64_t in = off - alps_slab_place_(h, off);
    uint64_t i = in * alps_kind_scale_(o->kind) >> 32;
    if (i * size != in || i >= alps_kind_count_(h, o->kind))
        return in < alps_kind_granules_(h, o->kind) * ALPS_GRANULE ? -1 : 0;
    o->pair = &alps_slab_pairs_(o->slab)[i / 64];
    o->keep = &alps_slab_keeps_(h, o->slab)[i / 64];
    o->bit = 1ull << (i % 64);
    return 1;
}

ALPS_FN_ int alps_object_live_(const alps_object *o)
{
    return (alps_pair_live_(o->pair) & o->bit) != 0;
}

/* Whether the object belongs to a slab of this token. */
ALPS_FN_ int alps_object_mine_(const alps_object *o, uint64_t token)
{
    return token && alps_load_(&o->slab->owner) == token;
}

/* Turns the bit in the word that is `own`, if this thread owns the slab, or
 * else in the other: one ordinary store, or an atomic one. */
ALPS_FN_ void alps_object_turn_(uint64_t *own, uint64_t *far, uint64_t bit,
                                int mine)
{
    if (mine)
        alps_store_(own, alps_load_(own) ^ bit);
    else
        __atomic_fetch_xor(far, bit, __ATOMIC_SEQ_CST);
}

/* Holds an object back, whoever owns it, or lets it go. */
ALPS_FN_ void alps_object_pin_(const alps_object *o, int pin)
{
    if (pin) {
        __atomic_store_n(&o->slab->kept, 1, __ATOMIC_RELEASE);
        __atomic_fetch_or(&o->keep->pinned, o->bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&o->keep->pinned, ~o->bit, __ATOMIC_SEQ_CST);
    }
}
