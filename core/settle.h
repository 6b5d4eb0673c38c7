/* settle.h -- links between regions that the dead were making, and those that
 * wait
 *
 * A pledge ends by what its link holds, when no tie stands for it; a tie by
 * what is pledged. Regions that commit by moments do so before ties end, before
 * pledges end, and after: what one of them forgets the other one has then. See
 * docs/spaces.md. */
#pragma once
#include "far.h"

/* What is settled. */
typedef struct alps_settling {
    const alps_space *s;
    const alps_handle *only; /* in this region alone; or NULL */
    uint64_t lost;           /* this region is taken for one without links */
    int mine;                /* what waits of this process, too */
    int one;                 /* nobody died but in a region just added */
    unsigned ended;          /* so many pledges and ties did */
} alps_settling;

/* Why. */
enum {
    ALPS_SETTLE_DEAD_ = 0, /* somebody may have died */
    ALPS_SETTLE_MINE_ = 1, /* and what waits of this process is to end */
    ALPS_SETTLE_ADDED_ = 2 /* a region has come */
};

/* Where one is among the regions of a space. */
typedef struct alps_tour {
    alps_members *members;
    uint64_t i;
} alps_tour;

ALPS_FN_ alps_tour alps_tour_(const alps_space *s)
{
    alps_tour t;
    t.members = __atomic_load_n(&s->members, __ATOMIC_ACQUIRE);
    t.i = 0;
    return t;
}

/* The next region; NULL: that was the last. */
ALPS_FN_ const alps_member *alps_tour_next_(alps_tour *t)
{
    while (t->members && t->i < 1ull << t->members->shift) {
        const alps_member *m = alps_member_at_(t->members, t->i++);
        if (__atomic_load_n(&m->handle, __ATOMIC_ACQUIRE))
            return m;
    }
    return NULL;
}

/* Whether the link of a pledge, or of a tie, names `block`. */
ALPS_FN_ int alps_settle_linked_(const alps_member *from, uint64_t id,
                                 const alps_pledge *p, alps_off block)
{
    const alps_handle *h = from->handle;
    if (!alps_dest_valid_(h, p->dest) || p->dest < ALPS_PAGE ||
        alps_pledge_place_(p) != block || !block)
        return 0;
    const uint64_t *word = (const uint64_t *)alps_address_(h, p->dest);
    return alps_load_(word) == p->value &&
           (!p->wide || alps_load_(word - 1) == id);
}

/* The link is durable as it is: its maker may have died between the store and
 * the fence. Not so where it can only be read: then nothing is certain. */
ALPS_COLD_ int alps_settle_certain_(const alps_member *from,
                                    const alps_pledge *p)
{
    alps_off off = p->dest - sizeof(uint64_t);
    uint64_t n = 2 * sizeof(uint64_t);
    return alps_dest_valid_(from->handle, p->dest) && p->dest > ALPS_PAGE
               ? alps_far_ask_(from, ALPS_DEED_FLUSH, off, &n)
               : ALPS_OK; // no link can be there
}

/* Whether the object of a tie is pledged to it. */
ALPS_FN_ int alps_settle_pledged_(const alps_member *to, uint64_t id,
                                  const alps_pledge *tie)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(to->handle, i);
        if (alps_load_(&p->block) == alps_pledge_place_(tie) && p->block &&
            p->region == id && p->dest == tie->dest)
            return 1;
    }
    return 0;
}

/* Takes a pledge or a tie over, if its maker does not live or it waits: 1. */
ALPS_COLD_ int alps_settle_claim_(const alps_settling *c, const alps_member *m,
                                  alps_pledge *p)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.pledge = p;
    d.what = ALPS_DEED_CLAIM;
    d.value = (uint64_t)c->mine;
    return m->perform(m->handle, &d);
}

/* It cannot be settled now. What waits stays this process's. */
ALPS_FN_ void alps_settle_leave_(alps_pledge *p)
{
    if (!alps_load_(&p->waits))
        alps_pledge_leave_(p);
}

/* What becomes of a tie whose two regions are there: a link whose object was
 * never pledged is void; an object that is to go is pledged. */
ALPS_COLD_ int alps_settle_judge_(const alps_member *from,
                                  const alps_member *to, const alps_pledge *tie)
{
    alps_deed d;
    alps_off block = alps_pledge_place_(tie);
    int err = alps_settle_certain_(from, tie);
    int linked = alps_settle_linked_(from, to->id, tie, block);
    if (err || alps_settle_pledged_(to, from->id, tie))
        return err;
    if (tie->tied == ALPS_TIE_LINK)
        return linked ? alps_far_store_(from, tie->dest, 0) : ALPS_OK;
    if (linked || !alps_pledge_live_(to->handle, block))
        return ALPS_OK;
    memset(&d, 0, sizeof d);
    d.what = ALPS_DEED_HOLD;
    d.as = *tie;
    d.as.region = from->id;
    d.as.block = block;
    err = to->perform(to->handle, &d);
    if (!err)
        alps_pledge_leave_(d.pledge);
    return err;
}

/* The first step for one tie: it `waits` for the second then, as 2. */
ALPS_COLD_ int alps_settle_tie_(alps_settling *c, const alps_member *from,
                                alps_pledge *tie)
{
    int is = alps_settle_claim_(c, from, tie);
    if (is != 1)
        return is;
    const alps_member *to = alps_space_find_(c->s, tie->region);
    is = !to ? (tie->region != c->lost ? ALPS_EMISSING : ALPS_OK)
             : alps_far_ask_(to, ALPS_DEED_ASK, 0, NULL);
    if (!is && to)
        is = alps_settle_judge_(from, to, tie);
    if (is)
        alps_settle_leave_(tie);
    else
        alps_store_(&tie->waits, 2);
    return ALPS_OK; // the others can be settled
}

/* The second: it ends. */
ALPS_COLD_ int alps_settle_untie_(alps_settling *c, const alps_member *from,
                                  alps_pledge *tie)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.pledge = tie;
    d.what = ALPS_DEED_UNTIE;
    c->ended++;
    return from->perform(from->handle, &d);
}

/* Whether a tie still stands for the link of a pledge. */
ALPS_FN_ int alps_settle_tied_(const alps_member *from, uint64_t id,
                               const alps_pledge *p)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *tie = alps_pledge_at_(from->handle, i);
        if (alps_load_(&tie->tied) && tie->region == id && tie->dest == p->dest)
            return 1;
    }
    return 0;
}

/* Settles one pledge of a region, if it is to be settled and can be. */
ALPS_COLD_ int alps_settle_pledge_(alps_settling *c, const alps_member *to,
                                   alps_pledge *p)
{
    alps_deed d;
    int is = alps_settle_claim_(c, to, p);
    if (is != 1)
        return is;
    const alps_member *from = alps_space_find_(c->s, p->region);
    if (from ? alps_settle_tied_(from, to->id, p) ||
                   alps_settle_certain_(from, p) != ALPS_OK
             : p->region != c->lost) {
        alps_settle_leave_(p);
        return ALPS_OK;
    }
    memset(&d, 0, sizeof d);
    d.pledge = p;
    d.what = from && alps_settle_linked_(from, to->id, p, p->block)
                 ? ALPS_DEED_KEEP
                 : ALPS_DEED_FREE;
    c->ended++;
    return to->perform(to->handle, &d);
}

/* The steps. */
enum {
    ALPS_SETTLE_TIES_ = 0,
    ALPS_SETTLE_UNTIE_ = 1,
    ALPS_SETTLE_PLEDGES_ = 2
};

ALPS_COLD_ int alps_settle_step_(alps_settling *c, int step)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    while (!err && (m = alps_tour_next_(&t)) != NULL)
        for (unsigned i = 0; !err && i < ALPS_PLEDGE_MAX; i++) {
            alps_pledge *p = alps_pledge_at_(m->handle, i);
            if (c->only && m->handle != c->only)
                break;
            if (step == ALPS_SETTLE_PLEDGES_ && alps_load_(&p->block))
                err = alps_settle_pledge_(c, m, p);
            if (!alps_load_(&p->tied))
                continue;
            if (step == ALPS_SETTLE_TIES_)
                err = alps_settle_tie_(c, m, p);
            if (step == ALPS_SETTLE_UNTIE_ && alps_load_(&p->waits) == 2 &&
                p->owner == alps_self_(m->handle))
                err = alps_settle_untie_(c, m, p);
            if (err == ALPS_EREADONLY || err == ALPS_EFORK)
                err = ALPS_OK; // who only reads has nothing to settle
        }
    return err;
}

/* Commits all regions that commit by moments. */
ALPS_COLD_ int alps_settle_commit_(const alps_settling *c)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    while (!err && (m = alps_tour_next_(&t)) != NULL) {
        err = alps_far_ask_(m, ALPS_DEED_COMMIT, 0, NULL);
        if (err == ALPS_EREADONLY || err == ALPS_EFORK)
            err = ALPS_OK;
    }
    return err;
}

/* What the dead were at in a region is completed, which may be a pledge; and
 * what can be seen in its tables of neighbours and of pledges is durable, for
 * it may have come from one who died before his fence. */
ALPS_COLD_ int alps_settle_seen_(const alps_member *m)
{
    uint64_t n = ALPS_PAGE - ALPS_NEIGHBOURS;
    int err = alps_far_ask_(m, ALPS_DEED_REAP, 0, NULL);
    if (!err)
        err = alps_far_ask_(m, ALPS_DEED_FLUSH, ALPS_NEIGHBOURS, &n);
    return err == ALPS_EREADONLY || err == ALPS_EFORK ? ALPS_OK : err;
}

ALPS_COLD_ int alps_settle_seen_all_(const alps_settling *c)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    while (!err && (m = alps_tour_next_(&t)) != NULL)
        err = alps_settle_seen_(m);
    return err;
}

/* Whether there is anything to settle. */
ALPS_COLD_ int alps_settle_any_(const alps_settling *c)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    uint64_t any = 0;
    while ((m = alps_tour_next_(&t)) != NULL)
        for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
            const alps_pledge *p = alps_pledge_at_(m->handle, i);
            any |= alps_load_(&p->block) | alps_load_(&p->tied);
        }
    return any != 0;
}

/* All of it, in order. Nobody ties meanwhile. */
ALPS_COLD_ int alps_settle_in_(alps_settling *c)
{
    int any = alps_settle_any_(c), err = ALPS_OK;
    if (any || !(c->mine || c->one))
        err = alps_settle_seen_all_(c);
    any = alps_settle_any_(c);
    if (!err && any)
        err = alps_settle_step_(c, ALPS_SETTLE_TIES_);
    if (!err && (any || c->mine))
        err = alps_settle_commit_(c);
    if (err || !any)
        return err;
    err = alps_settle_step_(c, ALPS_SETTLE_UNTIE_);
    if (!err && c->ended)
        err = alps_settle_commit_(c);
    c->ended = 0;
    if (!err)
        err = alps_settle_step_(c, ALPS_SETTLE_PLEDGES_);
    return err || !c->ended ? err : alps_settle_commit_(c);
}

ALPS_COLD_ int alps_settle_(alps_space *s, const alps_handle *only,
                            uint64_t lost, int why)
{
    alps_settling c;
    memset(&c, 0, sizeof c);
    c.s = s;
    c.only = only;
    c.lost = lost;
    c.mine = why == ALPS_SETTLE_MINE_;
    c.one = why == ALPS_SETTLE_ADDED_;
    alps_space_lock_(&s->tying, 1);
    int err = alps_settle_in_(&c);
    alps_space_unlock_(&s->tying);
    return err;
}

/* See alps_space_add. */
ALPS_COLD_ int alps_settle_add_(alps_space *s, alps_handle *h,
                                alps_deed_do *perform)
{
    if (!alps_opened_(h))
        return ALPS_EINVAL;
    alps_space_lock_(&s->lock, 1);
    int err = alps_space_enter_(s, h, perform);
    alps_space_unlock_(&s->lock);
    if (err)
        return err;
    err =
        alps_settle_seen_(alps_space_find_(s, alps_space_id_(h->super->uuid)));
    if (!err)
        err = alps_settle_(s, NULL, 0, ALPS_SETTLE_ADDED_);
    if (err)
        (void)alps_space_remove_(s, h);
    return err;
}

/* See alps_space_forgo. */
ALPS_COLD_ int alps_settle_forgo_(alps_space *s, const alps_handle *h,
                                  uint64_t id)
{
    const alps_member *m = alps_space_find_(s, alps_space_id_(h->super->uuid));
    if (!m || m->handle != h)
        return ALPS_EMISSING;
    return alps_space_find_(s, id) ? ALPS_EEXIST
                                   : alps_settle_(s, h, id, ALPS_SETTLE_MINE_);
}
