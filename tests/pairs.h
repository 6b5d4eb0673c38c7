/* pairs.h -- two regions of any kinds, with links between them
 *
 * What test_ties.c and test_spaces.c share: the regions, links from each into
 * the other, and a model of what each link may name when the pair is opened
 * again, which was written from the interface alone. Before the include: the
 * hooks of the header. */
#pragma once
#define ALPS_CORE_ONLY
#include "alps.h"

static alps_backend from_medium, to_medium; // of the one region, of the other
static alps_policy from_manner, to_manner;

#define ALPS_NAME from
#define ALPS_BACKEND ALPS_USER
#define ALPS_USER_BACKEND from_medium
#define ALPS_POLICY ALPS_USER
#define ALPS_USER_POLICY from_manner
#include "alps.h"

#define ALPS_NAME to
#define ALPS_BACKEND ALPS_USER
#define ALPS_USER_BACKEND to_medium
#define ALPS_POLICY ALPS_USER
#define ALPS_USER_POLICY to_manner
#include "alps.h"

#include "check.h"

/* ---- the regions */

enum { COMMITS, PAGED, PAGES, LINES };
static const struct kind {
    const alps_backend *backend;
    const alps_policy *policy;
    int commits; // by moments
} all_kinds[] = {
    {&alps_backend_file_, &alps_policy_checkpoint_, 1},
    {&alps_backend_paged_, &alps_policy_checkpoint_, 1}, // not all in memory
    {&alps_backend_file_, &alps_policy_msync_, 0},
    {&alps_backend_pmem_, &alps_policy_flush_, 0},
};
static unsigned kinds[2];

ALPS_HANDLER(faults);

/* A paged region's image is opened as the file that it is: it may be looked at
 * while a fault is served. */
static unsigned kind_in(unsigned side, int image)
{
    return image && kinds[side] == PAGED ? COMMITS : kinds[side];
}

static int commits(unsigned side)
{
    return all_kinds[kinds[side]].commits;
}

/* The next calls are for regions of these kinds. */
static void choose_kinds(int image)
{
    from_medium = *all_kinds[kind_in(0, image)].backend;
    from_manner = *all_kinds[kind_in(0, image)].policy;
    to_medium = *all_kinds[kind_in(1, image)].backend;
    to_manner = *all_kinds[kind_in(1, image)].policy;
}

typedef struct pair {
    alps_space space;
    from_heap one;
    to_heap two;
} pair;

static alps_handle *core_of(pair *g, unsigned side)
{
    return side ? &g->two.core : &g->one.core;
}

static int open_side(pair *g, unsigned side, const char *path, int image)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = 160u << 10;
    o.extent = 8192;
    o.lanes = 3;
    o.processes = 2;
    o.shards = 1;
    o.grow = ALPS_GROW_NEVER;
    o.flags = ALPS_CREATE;
    if (kind_in(side, image) == PAGED) {
        o.engine = ALPS_ENGINE_REWIRE;
        o.faults = &faults;
        o.segment = 4096;
        o.memory = 64u << 10; // for 11 of 40 pages
    }
    return side ? to_space_open(&g->space, &g->two, path, &o)
                : from_space_open(&g->space, &g->one, path, &o);
}

/* Takes it out of the space and closes it, or drops what is not committed. */
static int close_side(pair *g, unsigned side, int discard)
{
    if (!core_of(g, side)->map.base)
        return 0;
    discard = discard && commits(side);
    if (side) {
        (void)to_space_remove(&g->space, &g->two);
        return discard ? to_discard(&g->two) : to_close(&g->two);
    }
    (void)from_space_remove(&g->space, &g->one);
    return discard ? from_discard(&g->one) : from_close(&g->one);
}

static int open_pair(pair *g, const char *const path[2], unsigned first,
                     int image)
{
    memset(g, 0, sizeof *g);
    int err = open_side(g, first, path[first], image);
    return err ? err : open_side(g, !first, path[!first], image);
}

static int close_pair(pair *g, int discard)
{
    int err = close_side(g, 0, discard), late = close_side(g, 1, discard);
    from_space_end(&g->space);
    return err ? err : late;
}

static int sync_side(pair *g, unsigned side)
{
    return side ? to_sync(&g->two) : from_sync(&g->one);
}

/* Pledges and ties that are left, of the region that has more. */
static unsigned left_in(pair *g)
{
    unsigned n[2] = {0, 0};
    for (unsigned i = 0; i < 2 * ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(core_of(g, i % 2), i / 2);
        n[i % 2] += p->block || p->tied;
    }
    return n[0] > n[1] ? n[0] : n[1];
}

/* ---- links: wide ones and packed ones of the one region, wide ones back */

#define FORTH 4u
#define LINKS (3 * FORTH)

typedef ALPS_FAR(uint64_t) wide_link;
typedef ALPS_PACKED(uint64_t) packed_link;
typedef struct links {
    wide_link wide[FORTH];
    packed_link packed[FORTH];
} links;

/* The region that link `i` lies in. */
static unsigned holder(unsigned i)
{
    return i >= 2 * FORTH;
}

static int is_packed(unsigned i)
{
    return i >= FORTH && i < 2 * FORTH;
}

static links *links_of(pair *g, unsigned side)
{
    return (links *)(void *)(core_of(g, side)->map.base + ALPS_PAGE);
}

static uint64_t word_of(pair *g, unsigned i)
{
    const links *l = links_of(g, holder(i));
    return is_packed(i) ? l->packed[i % FORTH].packed
                        : l->wide[i % FORTH].far.off;
}

/* The number in what link `i` names: 0: null, ~0: nothing it may name. */
static uint64_t number_at(pair *g, unsigned i)
{
    const links *l = links_of(g, holder(i));
    const alps_handle *to = core_of(g, !holder(i));
    const uint64_t *p =
        is_packed(i) ? ALPS_PACKED_GET(&g->space, &g->one, l->packed[i % FORTH])
                     : ALPS_FAR_GET(&g->space, l->wide[i % FORTH]);
    if (!word_of(g, i))
        return 0;
    if (!p || !alps_pledge_live_(to, alps_offset_(to, p)) || p[1] != ~p[0])
        return ~0ull;
    return p[0];
}

/* ---- the model: what each link may name, from the `first` on */

#define SEEN 64u
struct model {
    uint64_t numbers; // given out
    struct may {
        uint64_t first, n;
        uint64_t
            at[2]; // of n when it was durable in this region, the last time
        uint64_t number[SEEN];
    } link[LINKS];
};
static struct model *model;

static void model_begin(void)
{
    memset(model, 0, sizeof *model);
    for (unsigned i = 0; i < LINKS; i++)
        model->link[i].n = 1; // null
}

/* From now on it may. */
static void may_name_now(unsigned i, uint64_t number)
{
    struct may *m = &model->link[i];
    if (m->n - m->first == SEEN)
        abort();
    m->number[m->n % SEEN] = number;
    __atomic_store_n(&m->n, m->n + 1, __ATOMIC_RELEASE);
}

/* What a link holds is durable in this region: when it is in both, nothing that
 * it named before can come back. */
static void is_durable(unsigned i, unsigned side)
{
    struct may *m = &model->link[i];
    m->at[side] = m->n;
    uint64_t least = m->at[0] < m->at[1] ? m->at[0] : m->at[1];
    if (least > m->first + 1)
        m->first = least - 1;
}

static void all_are_durable(unsigned side)
{
    for (unsigned i = 0; i < LINKS; i++)
        is_durable(i, side);
}

/* A region that does not commit has it when the call returns. */
static void was_changed(unsigned i)
{
    for (unsigned side = 0; side < 2; side++)
        if (!commits(side))
            is_durable(i, side);
}

/* It names this and nothing else. */
static inline void names_only(unsigned i, uint64_t number)
{
    may_name_now(i, number);
    is_durable(i, 0);
    is_durable(i, 1);
}

static int may_name(unsigned i, uint64_t number)
{
    const struct may *m = &model->link[i];
    for (uint64_t k = m->first; k < m->n; k++)
        if (m->number[k % SEEN] == number)
            return 1;
    return 0;
}

/* What is wrong with what is open; `got` is what the links name. */
static const char *judge(pair *g, uint64_t got[LINKS])
{
    alps_statistics s;
    uint64_t n[2] = {0, 0};
    for (unsigned i = 0; i < LINKS; i++) {
        got[i] = number_at(g, i);
        n[!holder(i)] += got[i] != 0;
        if (got[i] == ~0ull)
            return "a link leads to what is not there";
        if (!may_name(i, got[i]))
            return "a link names what it may not";
    }
    for (unsigned side = 0; side < 2; side++) {
        memset(&s, 0, sizeof s);
        int err = side ? to_check(&g->two, NULL) : from_check(&g->one, NULL);
        err |= side ? to_stats(&g->two, &s) : from_stats(&g->one, &s);
        if (err)
            return "a region is not sound";
        if (s.blocks != n[side])
            return "an object is there that no link names";
    }
    return left_in(g) ? "something waits" : NULL;
}

/* ---- what is done; each answers a code */

static int make_link(pair *g, unsigned i)
{
    links *l = links_of(g, holder(i));
    uint64_t number = model->numbers + 1;
    size_t bytes = 24 + number * 37 % 600;
    uint64_t *p = (uint64_t *)(holder(i) ? from_reserve(&g->one, bytes)
                                         : to_reserve(&g->two, bytes));
    if (!p)
        return ALPS_ENOMEM;
    model->numbers = number;
    p[0] = number;
    p[1] = ~number;
    may_name_now(i, number);
    int err =
        is_packed(i)
            ? from_packed_publish(&g->space, &l->packed[i % FORTH].packed, p)
            : from_far_publish(&g->space, &l->wide[i % FORTH].far, p);
    if (!err)
        was_changed(i);
    return err;
}

static int cut_link(pair *g, unsigned i)
{
    links *l = links_of(g, holder(i));
    may_name_now(i, 0);
    int err = is_packed(i)
                  ? from_packed_release(&g->space, &l->packed[i % FORTH].packed)
                  : from_far_release(&g->space, &l->wide[i % FORTH].far);
    if (!err)
        was_changed(i);
    return err;
}

static int commit_side(pair *g, unsigned side)
{
    int err = sync_side(g, side);
    if (!err)
        all_are_durable(side);
    return err;
}

static int commit_both(pair *g)
{
    int err = from_space_sync(&g->space);
    for (unsigned side = 0; !err && side < 2; side++)
        all_are_durable(side);
    return err;
}

/* Each page of what is paged comes by, and others have to go. */
static inline void stir(pair *g)
{
    static volatile unsigned char sum;
    for (unsigned side = 0; side < 2; side++) {
        const alps_handle *h = core_of(g, side);
        for (uint64_t at = 0; kinds[side] == PAGED && at < h->map.size;
             at += ALPS_PAGE)
            sum = (unsigned char)(sum + h->map.base[at]);
    }
}

/* One of these, by two random numbers. */
static int a_step(pair *g, unsigned what, unsigned i)
{
    int err = ALPS_OK;
    i %= LINKS;
    if (what % 10 == 9 || left_in(g) > ALPS_PLEDGE_MAX - 2)
        err = commit_both(g);
    else if (what % 10 > 6)
        err = commit_side(g, what % 2);
    else if (word_of(g, i))
        err = cut_link(g, i);
    else
        err = make_link(g, i);
    if (what % 4 == 0)
        stir(g);
    return err;
}

/* The steps of a short life: a link of each kind is made and cut, with syncs of
 * either region between, and one is cut that waits. None is there before. */
enum { SHORT_STEPS = 14 };
static const unsigned short_link[] = {0, FORTH, 2 * FORTH};

static int short_step(pair *g, unsigned step)
{
    const unsigned *link = short_link;
    switch (step) {
    case 0: return make_link(g, link[0]);
    case 1: return make_link(g, link[1]);
    case 2: return cut_link(g, link[1]);
    case 3: return make_link(g, link[2]);
    case 4: return cut_link(g, link[0]);
    case 5: return make_link(g, link[0]);
    case 6: return commit_side(g, 0);
    case 7: return cut_link(g, link[2]);
    case 8: return commit_both(g);
    case 9: return cut_link(g, link[0]);
    case 10: return make_link(g, link[1]);
    case 11: return commit_side(g, 1);
    case 12: return cut_link(g, link[1]);
    default: return commit_both(g);
    }
}
