/* far.h -- links between regions, made and cut
 *
 * A publish and a release whose word is in one region and whose object in
 * another. Each is one store to the word, between a pledge that is made and one
 * that ends; or, where one of the two commits by moments, behind a pledge and a
 * tie, which end when both regions have been committed. See docs/spaces.md. */
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
 * durable before its place: null until then. It gets that also where it has it:
 * who stored it may have died before the fence. */
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
    if (alps_load_(&wide->off))
        return alps_load_(&wide->region) == k->to->id ? ALPS_OK : ALPS_EINVAL;
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

/* The tie that makes a link hold only if its object is pledged; or NULL. */
ALPS_FN_ alps_pledge *alps_far_tied_(const alps_tie *k, uint64_t value)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *p = alps_pledge_at_(k->from->handle, i);
        if (alps_load_(&p->tied) == ALPS_TIE_LINK && p->region == k->to->id &&
            p->dest == k->deed.as.dest && p->value == value)
            return p;
    }
    return NULL;
}

/* The same where one of the two commits by moments: a tie and a pledge stand
 * when the link is stored to, and wait for alps_space_sync. */
ALPS_COLD_ int alps_far_defer_(alps_tie *k, int what, uint64_t value,
                               uint64_t tied)
{
    alps_deed tie = k->deed;
    tie.what = ALPS_DEED_TIE;
    tie.as.region = k->to->id;
    tie.as.tied = tied;
    int err = k->from->perform(k->from->handle, &tie);
    if (err)
        return err;
    k->deed.what = what;
    err = k->to->perform(k->to->handle, &k->deed);
    if (err) {
        tie.what = ALPS_DEED_UNTIE;
        (void)k->from->perform(k->from->handle, &tie);
        return err;
    }
    err = alps_far_store_(k->from, k->deed.as.dest, value);
    alps_store_(&k->deed.pledge->waits, 1);
    alps_store_(&tie.pledge->waits, 1);
    return err;
}

/* Whether the two regions of a link are not durable in the order of the
 * program: 1, 0, or a code. */
ALPS_COLD_ int alps_far_late_(const alps_tie *k)
{
    if (k->from == k->to)
        return 0;
    int is = alps_far_ask_(k->from, ALPS_DEED_COMMITS, 0, NULL);
    return is ? is : alps_far_ask_(k->to, ALPS_DEED_COMMITS, 0, NULL);
}

/* Makes the link. What it names now must not wait: that would be freed. */
ALPS_COLD_ int alps_far_make_(alps_space *s, alps_tie *k)
{
    uint64_t value = k->deed.as.value;
    const uint64_t *word =
        (const uint64_t *)alps_address_(k->from->handle, k->deed.as.dest);
    int late = alps_far_late_(k);
    if (late <= 0)
        return late ? late
                    : alps_far_carry_out_(k, ALPS_DEED_PLEDGE, value,
                                          ALPS_DEED_KEEP);
    alps_space_lock_(&s->tying, 1);
    int err = ALPS_EBUSY;
    if (!alps_load_(word) || !alps_far_tied_(k, alps_load_(word)))
        err = alps_far_defer_(k, ALPS_DEED_PLEDGE, value, ALPS_TIE_LINK);
    alps_space_unlock_(&s->tying);
    return err;
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
    return err ? err : alps_far_make_(s, &k);
}

/* Cuts the link. One that waits has what it takes: tie and pledge stand. */
ALPS_COLD_ int alps_far_unmake_(alps_space *s, alps_tie *k)
{
    int late = alps_far_late_(k);
    if (late <= 0)
        return late ? late
                    : alps_far_carry_out_(k, ALPS_DEED_HOLD, 0, ALPS_DEED_FREE);
    alps_space_lock_(&s->tying, 1);
    int err = alps_far_tied_(k, k->deed.as.value)
                  ? alps_far_store_(k->from, k->deed.as.dest, 0)
                  : alps_far_defer_(k, ALPS_DEED_HOLD, 0, ALPS_TIE_CUT);
    alps_space_unlock_(&s->tying);
    return err;
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
    k.deed.as.block = alps_pledge_place_(&k.deed.as);
    if (!k.deed.as.block)
        return ALPS_OK;
    uint64_t id = wide ? alps_load_(&wide->region)
                       : alps_space_neighbour_(k.from->handle, value >> 48);
    k.to = alps_space_demand_(s, id, &err);
    return err ? err : alps_far_unmake_(s, &k);
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
