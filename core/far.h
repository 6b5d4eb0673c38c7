/* far.h -- links between regions, made and cut
 *
 * A publish and a release whose word is in one region and whose object in
 * another. Each is one store to the word, between a pledge that is made and one
 * that ends. See docs/spaces.md. */
#pragma once
#include "pledge.h"

/* A link that is to be made or cut. */
typedef struct alps_tie {
    const alps_member *from, *to; /* of the link, of the object */
    alps_deed deed;               /* what is asked of the object's region */
} alps_tie;

/* The region of the space that `p` is in. */
ALPS_COLD_ const alps_member *alps_far_region_(const alps_space *s,
                                               const void *p, alps_off *off)
{
    alps_span is;
    if (!p || !alps_space_seek_(s, p, &is))
        return NULL;
    *off = (uint64_t)(uintptr_t)p - is.base;
    return alps_space_find_(s, is.id);
}

/* Asks a region to do something; `id` and `value` are what it is about. */
ALPS_COLD_ int alps_far_ask_(const alps_member *m, int what, uint64_t id,
                             uint64_t *value)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.what = what;
    d.id = id;
    d.value = value ? *value : 0;
    int err = m->perform(m->handle, &d);
    if (value)
        *value = d.value;
    return err;
}

/* Stores to a word of a region, durably. */
ALPS_COLD_ int alps_far_store_(const alps_member *m, alps_off off,
                               uint64_t value)
{
    return alps_far_ask_(m, ALPS_DEED_STORE, off, &value);
}

/* What the link will hold. A wide one first gets the id of the region, which is
 * durable before its place: null until then. */
ALPS_COLD_ int alps_far_value_(alps_tie *k, const alps_far *wide)
{
    uint64_t n = 0;
    k->deed.as.value = k->deed.as.block;
    k->deed.as.wide = wide != NULL;
    if (!wide) {
        if (k->from == k->to)
            return ALPS_OK;
        int err = alps_far_ask_(k->from, ALPS_DEED_NEIGHBOUR, k->to->id, &n);
        k->deed.as.value |= n << 48;
        return err;
    }
    if (alps_load_(&wide->region) == k->to->id)
        return ALPS_OK;
    if (alps_load_(&wide->off))
        return ALPS_EINVAL;
    return alps_far_store_(k->from, k->deed.as.dest - sizeof(uint64_t),
                           k->to->id);
}

/* The word that is stored to, and where it is. */
ALPS_COLD_ int alps_far_begin_(alps_space *s, const uint64_t *word, alps_tie *k)
{
    memset(k, 0, sizeof *k);
    k->from = alps_far_region_(s, word, &k->deed.as.dest);
    if (!k->from)
        return ALPS_EMISSING;
    k->deed.as.region = k->from->id;
    if (!alps_dest_valid_(k->from->handle, k->deed.as.dest) ||
        k->deed.as.dest < ALPS_PAGE)
        return ALPS_EINVAL;
    return alps_far_ask_(k->from, ALPS_DEED_ASK, 0, NULL);
}

/* Both regions are known: pledges, stores, and ends the pledge. Where the store
 * fails the pledge stands, for whoever settles it. */
ALPS_COLD_ int alps_far_carry_out_(alps_tie *k, int what, uint64_t value,
                                   int then)
{
    k->deed.what = what;
    int err = k->to->perform(k->to->handle, &k->deed);
    if (!err)
        err = alps_far_store_(k->from, k->deed.as.dest, value);
    if (err)
        return err;
    k->deed.what = then;
    return k->to->perform(k->to->handle, &k->deed);
}

/* See alps_far_publish, alps_packed_publish. */
ALPS_COLD_ int alps_far_link_(alps_space *s, const uint64_t *word,
                              const alps_far *wide, const void *p)
{
    alps_tie k;
    int err = alps_far_begin_(s, word, &k);
    if (err)
        return err;
    k.to = alps_far_region_(s, p, &k.deed.as.block);
    if (!k.to)
        return ALPS_EMISSING;
    err = alps_far_ask_(k.to, ALPS_DEED_ASK, 0, NULL);
    if (!err)
        err = alps_far_value_(&k, wide);
    return err ? err
               : alps_far_carry_out_(&k, ALPS_DEED_PLEDGE, k.deed.as.value,
                                     ALPS_DEED_KEEP);
}

/* See alps_far_release, alps_packed_release. */
ALPS_COLD_ int alps_far_cut_(alps_space *s, const uint64_t *word,
                             const alps_far *wide)
{
    alps_tie k;
    int err = alps_far_begin_(s, word, &k);
    if (err)
        return err;
    uint64_t value = alps_load_(word);
    k.deed.as.value = value;
    k.deed.as.wide = wide != NULL;
    k.deed.as.block = wide ? value : value & ((1ull << 48) - 1);
    if (!k.deed.as.block)
        return ALPS_OK;
    uint64_t id = wide ? alps_load_(&wide->region)
                       : alps_space_neighbour_(k.from->handle, value >> 48);
    k.to = alps_space_demand_(s, id, &err);
    return err ? err
               : alps_far_carry_out_(&k, ALPS_DEED_HOLD, 0, ALPS_DEED_FREE);
}

/* Whether the link of a pledge names its object. */
ALPS_FN_ int alps_far_linked_(const alps_member *from, uint64_t id,
                              const alps_pledge *p)
{
    const alps_handle *h = from->handle;
    alps_off mask = p->wide ? ~0ull : (1ull << 48) - 1;
    if (!alps_dest_valid_(h, p->dest) || p->dest < ALPS_PAGE ||
        (p->value & mask) != p->block)
        return 0;
    const uint64_t *word = (const uint64_t *)alps_address_(h, p->dest);
    return alps_load_(word) == p->value &&
           (!p->wide || alps_load_(word - 1) == id);
}

/* The link is durable as it is: its maker may have died between the store and
 * the fence. Not so where it can only be read: then nothing is certain. */
ALPS_COLD_ int alps_far_certain_(const alps_member *from, const alps_pledge *p)
{
    alps_off off = p->dest - sizeof(uint64_t);
    return alps_dest_valid_(from->handle, p->dest) && p->dest > ALPS_PAGE
               ? alps_far_ask_(from, ALPS_DEED_FLUSH, off, NULL)
               : ALPS_OK; // no link can be there
}

/* Settles one pledge of a region, if it is to be settled and can be. With
 * `lost` the region of that id is taken for one that has no link. */
ALPS_COLD_ int alps_far_settle_one_(const alps_space *s, const alps_member *to,
                                    alps_pledge *p, uint64_t lost)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.pledge = p;
    d.what = ALPS_DEED_CLAIM;
    int is = to->perform(to->handle, &d);
    if (is != 1)
        return is;
    const alps_member *from = alps_space_find_(s, p->region);
    if (from ? alps_far_certain_(from, p) != ALPS_OK : p->region != lost) {
        alps_pledge_leave_(p);
        return ALPS_OK;
    }
    d.what = from && alps_far_linked_(from, to->id, p) ? ALPS_DEED_KEEP
                                                       : ALPS_DEED_FREE;
    return to->perform(to->handle, &d);
}

/* Settles what can be of the pledges of one region. Who only reads it, or
 * commits it, has nothing to settle. */
ALPS_COLD_ int alps_far_settle_in_(const alps_space *s, const alps_member *to,
                                   uint64_t lost)
{
    int err = ALPS_OK;
    unsigned n = 0;
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++)
        n += alps_load_(&alps_pledge_at_(to->handle, i)->block) != 0;
    if (!n)
        return ALPS_OK;
    err = alps_far_ask_(to, ALPS_DEED_REAP, 0, NULL);
    if (err == ALPS_EREADONLY || err == ALPS_EUNSUPPORTED)
        return ALPS_OK;
    for (unsigned i = 0; !err && i < ALPS_PLEDGE_MAX; i++)
        err = alps_far_settle_one_(s, to, alps_pledge_at_(to->handle, i), lost);
    return err;
}

/* See alps_space_settle. */
ALPS_COLD_ int alps_far_settle_(const alps_space *s)
{
    alps_members *t = __atomic_load_n(&s->members, __ATOMIC_ACQUIRE);
    int err = ALPS_OK;
    for (uint64_t i = 0; t && i < 1ull << t->shift; i++) {
        const alps_member *m = alps_member_at_(t, i);
        if (!__atomic_load_n(&m->handle, __ATOMIC_ACQUIRE))
            continue;
        int own = alps_far_settle_in_(s, m, 0);
        err = err ? err : own;
    }
    return err;
}

/* See alps_space_add. */
ALPS_COLD_ int alps_far_add_(alps_space *s, alps_handle *h,
                             alps_deed_do *perform)
{
    if (!h->map.base)
        return ALPS_EINVAL;
    alps_space_lock_(&s->lock, 1);
    int err = alps_space_enter_(s, h, perform);
    alps_space_unlock_(&s->lock);
    if (err)
        return err;
    err = alps_far_settle_(s);
    if (err)
        (void)alps_space_remove_(s, h);
    return err;
}

/* See alps_space_forgo. */
ALPS_COLD_ int alps_far_forgo_(const alps_space *s, const alps_handle *h,
                               uint64_t id)
{
    const alps_member *m = alps_space_find_(s, alps_space_id_(h->super->uuid));
    if (!m || m->handle != h)
        return ALPS_EMISSING;
    return alps_space_find_(s, id) ? ALPS_EEXIST
                                   : alps_far_settle_in_(s, m, id);
}

/* The packed pointer to `p` for one that lies in `h`. */
ALPS_COLD_ int alps_far_pack_(const alps_space *s, const alps_handle *h,
                              const void *p, uint64_t *packed)
{
    alps_off off = 0;
    uint64_t n = 0;
    int err = ALPS_OK;
    *packed = 0;
    if (!p)
        return ALPS_OK;
    const alps_member *own =
        alps_space_find_(s, alps_space_id_(h->super->uuid));
    const alps_member *m = alps_far_region_(s, p, &off);
    if (!own || !m)
        return ALPS_EMISSING;
    if (m != own)
        err = alps_far_ask_(own, ALPS_DEED_NEIGHBOUR, m->id, &n);
    if (!err)
        *packed = off | n << 48;
    return err;
}

/* Sets an ALPS_PACKED that lies in the region of `h`: 0, or a code. */
#define ALPS_PACKED_SET(space, h, ptr, p) \
  ((void)sizeof((ptr).type_ == (p)),      \
   alps_far_pack_((space), &(h)->core, (p), &(ptr).packed))
