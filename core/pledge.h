/* pledge.h -- an object that hangs between two regions
 *
 * The link is in one region, the object in another: no store is in both, so the
 * region of the object notes what is under way. While that stands, and its
 * maker does not live, the link decides: if it names the object, the object
 * stays; if not, it is free. So a publish and a release are the same to whoever
 * settles them. Where one of the two commits by moments, the region of the link
 * has a note, too: a tie. docs/spaces.md has the order of the stores, and why
 * it is enough. */
#pragma once
#include "describe.h"
#include "space.h"

enum {
    ALPS_DEED_ASK = 1,       /* whether this can be done here at all */
    ALPS_DEED_NEIGHBOUR = 2, /* the number of region `id`: in `value` */
    ALPS_DEED_STORE = 3,     /* the word at `id` becomes `value`, durably */
    ALPS_DEED_PLEDGE = 4,    /* a reservation is allocated and pledged */
    ALPS_DEED_HOLD = 5,      /* an object is pledged */
    ALPS_DEED_KEEP = 6,      /* the pledge ends, the object stays */
    ALPS_DEED_FREE = 7,      /* the pledge ends, the object is free */
    ALPS_DEED_REAP = 8,      /* what the dead were at is completed */
    ALPS_DEED_FLUSH = 9,     /* `value` bytes at `id` become durable as they
                                are */
    ALPS_DEED_CLAIM = 10,    /* a pledge or tie of one who does not live, or
                                where `value` is 1 one of ours that waits, is
                                ours: 1 */
    ALPS_DEED_COMMITS = 11,  /* whether it commits by moments: 1, or 0 */
    ALPS_DEED_COMMIT = 12,   /* it does, if it can be written */
    ALPS_DEED_TIE = 13,      /* a link is tied */
    ALPS_DEED_UNTIE = 14     /* a tie ends */
};

/* The pledges of a region. */
ALPS_FN_ alps_pledge *alps_pledge_at_(const alps_handle *h, unsigned i)
{
    return (alps_pledge *)alps_address_(h, ALPS_PLEDGES) + i;
}

/* Ends its maker's part in it. */
ALPS_FN_ void alps_pledge_leave_(alps_pledge *p)
{
    __atomic_store_n(&p->owner, 0, __ATOMIC_RELEASE);
}

/* The place of the object that the link of a pledge or of a tie names. */
ALPS_FN_ alps_off alps_pledge_place_(const alps_pledge *p)
{
    return p->value & (p->wide ? ~0ull : (1ull << 48) - 1);
}

/* Whether what a tie says can be: a link of this region, to an object of
 * another. All of it was durable before it was a tie. */
ALPS_FN_ int alps_pledge_ties_(const alps_handle *h, const alps_pledge *p)
{
    uint64_t before = p->wide ? sizeof(uint64_t) : 0;
    if (p->wide > 1 || p->dest < ALPS_PAGE + before ||
        !alps_dest_valid_(h, p->dest) ||
        !alps_dest_valid_(h, p->dest - before) || !alps_pledge_place_(p))
        return 0;
    return p->region && p->region != alps_space_id_(h->super->uuid) &&
           (p->wide || alps_space_neighbour_(h, p->value >> 48) == p->region);
}

/* Whether an object is pledged by an earlier one already: it would be freed
 * twice. */
ALPS_FN_ int alps_pledge_again_(const alps_handle *h, unsigned i)
{
    alps_off off = alps_load_(&alps_pledge_at_(h, i)->block);
    while (i-- > 0)
        if (off && alps_load_(&alps_pledge_at_(h, i)->block) == off)
            return 1;
    return 0;
}

/* Makes a word durable. One fence. */
ALPS_CORE_ int alps_pledge_store_(alps_handle *h, uint64_t *word,
                                  uint64_t value, const alps_tables *t)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    int err = t->policy->flush(&h->map, word, sizeof *word);
    return err ? err : t->fence(&h->map);
}

/* Finds an empty pledge, and says in it what is under way. */
ALPS_CORE_ int alps_pledge_take_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    alps_pledge *p = NULL;
    alps_lock_(h, t);
    for (unsigned i = 0; !p && i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *at = alps_pledge_at_(h, i);
        uint64_t owner = __atomic_load_n(&at->owner, __ATOMIC_ACQUIRE);
        if (!alps_load_(&at->block) && !alps_load_(&at->tied) &&
            (!owner || !alps_owner_lives_(h, owner, t)))
            p = at;
    }
    if (p) {
        alps_store_(&p->owner, alps_self_(h));
        alps_store_(&p->waits, 0);
    }
    alps_unlock_(h);
    d->pledge = p;
    if (!p)
        return ALPS_EBUSY;
    alps_store_(&p->value, d->as.value);
    alps_store_(&p->region, d->as.region);
    alps_store_(&p->dest, d->as.dest);
    alps_store_(&p->wide, d->as.wide);
    return t->policy->flush(&h->map, p, sizeof *p);
}

/* Allocates what is reserved, and pledges it: in one step. Should the record be
 * durable and the rest of the pledge not, `value` is not that of the object, or
 * the link does not hold it yet: it is free either way. Two fences, or
 * three. */
ALPS_CORE_ int alps_pledge_make_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = alps_publish_(h, &d->pledge->block, alps_address_(h, d->as.block),
                            t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Whether a live object begins at `off`. */
ALPS_FN_ int alps_pledge_live_(const alps_handle *h, alps_off off)
{
    alps_object o;
    alps_block b;
    int is = alps_object_at_(h, off, &o);
    return is == 1   ? alps_object_live_(&o)
           : is == 0 ? alps_block_at_(h, off, &b) == ALPS_USED
                     : 0;
}

/* Pledges an object that is linked. What the pledge says is durable before it
 * is one: else the wrong link would be looked at, and the object be free while
 * its own link stands. Two fences. */
ALPS_CORE_ int alps_pledge_hold_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    if (!alps_pledge_live_(h, d->as.block))
        return ALPS_EINVALID_FREE;
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_pledge_store_(h, &d->pledge->block, d->as.block, t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Ends a pledge: one fence, or two. */
ALPS_CORE_ int alps_pledge_end_(alps_handle *h, const alps_deed *d,
                                const alps_tables *t)
{
    int err = d->what == ALPS_DEED_KEEP
                  ? alps_pledge_store_(h, &d->pledge->block, 0, t)
                  : alps_publish_release_(h, &d->pledge->block, t);
    alps_pledge_leave_(d->pledge);
    return err;
}

/* Ties a link that is about to change: what the tie says is durable before it
 * is one, and it is before the link changes. Two fences. */
ALPS_CORE_ int alps_pledge_tie_(alps_handle *h, alps_deed *d,
                                const alps_tables *t)
{
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_pledge_store_(h, &d->pledge->tied, d->as.tied, t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Ends a tie. One fence. */
ALPS_CORE_ int alps_pledge_untie_(alps_handle *h, const alps_deed *d,
                                  const alps_tables *t)
{
    int err = alps_pledge_store_(h, &d->pledge->tied, 0, t);
    alps_pledge_leave_(d->pledge);
    return err;
}

/* Takes a pledge or a tie over whose maker does not live, or is done: 1; or
 * 0. */
ALPS_CORE_ int alps_pledge_claim_(alps_handle *h, const alps_deed *d,
                                  const alps_tables *t)
{
    alps_lock_(h, t);
    uint64_t owner = __atomic_load_n(&d->pledge->owner, __ATOMIC_ACQUIRE);
    int ours =
        d->value && owner == alps_self_(h) && alps_load_(&d->pledge->waits);
    int is = (alps_load_(&d->pledge->block) | alps_load_(&d->pledge->tied)) &&
             (ours || !owner || !alps_owner_lives_(h, owner, t));
    if (is)
        alps_store_(&d->pledge->owner, alps_self_(h));
    if (is && !ours)
        alps_store_(&d->pledge->waits, 0);
    alps_unlock_(h);
    return is;
}

/* Gives a neighbour a number, which may be one that another gives it now. */
ALPS_CORE_ int alps_pledge_number_(alps_handle *h, uint64_t id, uint64_t *i,
                                   const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, ALPS_NEIGHBOURS);
    alps_lock_(h, t);
    for (*i = 0; *i < ALPS_NEIGHBOUR_MAX; ++*i)
        if (!alps_load_(&word[*i]) || alps_load_(&word[*i]) == id)
            break;
    int err = *i < ALPS_NEIGHBOUR_MAX ? alps_pledge_store_(h, &word[*i], id, t)
                                      : ALPS_EFULL;
    alps_unlock_(h);
    return err;
}

/* The number of a neighbour, which may be a new one: durably. What is there may
 * be another's who has not fenced it yet: so it is, once for each process. */
ALPS_CORE_ int alps_pledge_neighbour_(alps_handle *h, alps_deed *d,
                                      const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, ALPS_NEIGHBOURS), i = 0;
    while (i < ALPS_NEIGHBOUR_MAX && alps_load_(&word[i]) != d->id)
        i++;
    d->value = i + 1;
    int err = alps_ready_(h, t), found = i < ALPS_NEIGHBOUR_MAX;
    if (err)
        return found ? ALPS_OK : err;
    if (found && alps_load_(&h->local->neighbours[i / 64]) >> i % 64 & 1)
        return ALPS_OK;
    err = found ? alps_pledge_store_(h, &word[i], d->id, t)
                : alps_pledge_number_(h, d->id, &i, t);
    if (!err)
        __atomic_fetch_or(&h->local->neighbours[i / 64], 1ull << i % 64,
                          __ATOMIC_RELAXED);
    d->value = i + 1;
    return err;
}

/* Does what another region asks for. */
ALPS_CORE_ int alps_pledge_perform_(alps_handle *h, alps_deed *d,
                                    const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (d->what == ALPS_DEED_NEIGHBOUR)
        return alps_pledge_neighbour_(h, d, t);
    int commits = t->policy->commit && h->map.sole;
    if (err)
        return err;
    switch (d->what) {
    case ALPS_DEED_ASK: return ALPS_OK;
    case ALPS_DEED_COMMITS: return commits;
    case ALPS_DEED_COMMIT:
        return commits ? alps_sync_(h, ALPS_COMMIT_ALL, t) : ALPS_OK;
    case ALPS_DEED_TIE: return alps_pledge_tie_(h, d, t);
    case ALPS_DEED_UNTIE: return alps_pledge_untie_(h, d, t);
    case ALPS_DEED_STORE:
        return alps_pledge_store_(h, (uint64_t *)alps_address_(h, d->id),
                                  d->value, t);
    case ALPS_DEED_FLUSH:
        err = t->policy->flush(&h->map, alps_address_(h, d->id),
                               (size_t)d->value);
        return err ? err : t->fence(&h->map);
    case ALPS_DEED_PLEDGE: return alps_pledge_make_(h, d, t);
    case ALPS_DEED_HOLD: return alps_pledge_hold_(h, d, t);
    case ALPS_DEED_KEEP:
    case ALPS_DEED_FREE: return alps_pledge_end_(h, d, t);
    case ALPS_DEED_REAP: return t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    case ALPS_DEED_CLAIM: return alps_pledge_claim_(h, d, t);
    default: return ALPS_EINVAL;
    }
}
