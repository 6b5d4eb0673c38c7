/* oracle.c -- what a crash must leave, kept beside the heap
 *
 * Written from the promises of the interface, not from the library: the
 * blocks that are live, their sizes and contents, what the root area names,
 * and what the one call under way may have done by the time of a crash. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

struct sim_oracle sim_oracle, sim_after;
int sim_commits;
uint64_t sim_inner_at, sim_inner;

void sim_oracle_clear(void)
{
    memset(&sim_oracle, 0, offsetof(struct sim_oracle, live));
    sim_commits = 0;
}

/* What a killed process was freeing is found free, but may be live on the
 * medium, of whatever length, until its memory is used again; what it was
 * allocating, the reverse. Each until power has failed. */
static void doubt(struct sim_block b)
{
    struct sim_oracle *o = &sim_oracle;
    if (o->doubt_n == sizeof o->doubt / sizeof *o->doubt)
        sim_fault("more blocks in doubt than there is room for");
    o->doubt[o->doubt_n++] = b;
}

static int doubtful(uint64_t off)
{
    for (unsigned i = 0; i < sim_oracle.doubt_n; i++)
        if (sim_oracle.doubt[i].off == off)
            return 1;
    return 0;
}

/* What these `n` bytes were is no question any more. */
void sim_oracle_settle(uint64_t off, uint64_t n)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned kept = 0;
    for (unsigned i = 0; i < o->doubt_n; i++) {
        const struct sim_block *b = &o->doubt[i];
        if (off >= b->off + b->n || b->off >= off + n)
            o->doubt[kept++] = *b;
    }
    o->doubt_n = kept;
}

/* Blocks are kept by place. */
void sim_oracle_add(struct sim_block b)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned i = o->n++;
    for (; i && o->live[i - 1].off > b.off; i--)
        o->live[i] = o->live[i - 1];
    o->live[i] = b;
    sim_oracle_settle(b.off, b.n);
}

struct sim_block *sim_oracle_find(uint64_t off)
{
    for (unsigned i = 0; i < sim_oracle.n; i++)
        if (sim_oracle.live[i].off == off)
            return &sim_oracle.live[i];
    return NULL;
}

void sim_oracle_drop(uint64_t off)
{
    struct sim_oracle *o = &sim_oracle;
    unsigned i = 0;
    while (i < o->n && o->live[i].off != off)
        i++;
    if (i == o->n)
        return;
    sim_oracle_settle(off, 1);
    o->n--;
    memmove(o->live + i, o->live + i + 1, (o->n - i) * sizeof *o->live);
}

/* What word `word` of the block with pattern `id` holds; pattern 0 is zero. */
uint64_t sim_pattern(uint64_t id, uint64_t word)
{
    uint64_t mixed = id * 0x9e3779b97f4a7c15ull;
    return id ? mixed ^ word * 0xbf58476d1ce4e5b9ull : 0;
}

static int contents_intact(uint64_t off, uint64_t n, uint64_t id)
{
    for (uint64_t at = 0; at + 8 <= n; at += 8) {
        uint64_t want = sim_pattern(id, at / 8), got;
        sim_saw_read(sim_here->mem + off + at, 8);
        memcpy(&got, sim_here->mem + off + at, 8);
        if (got != want)
            return 0;
    }
    return 1;
}

/* How the blocks found differ from the live ones of the model, as far as one
 * call under way can be the cause. */
struct difference {
    unsigned missing, extra, resized; /* how many */
    struct sim_block lost, more;      /* one of each, as the model and as the */
    struct sim_block before, after;   /* medium has it */
};

/* All differences: each call's, and those that none can be the cause of. */
struct differences {
    struct difference of[SIM_THREADS + 1];
};

static int takes_away(enum sim_doing doing)
{
    return doing == SIM_FREE || doing == SIM_RELEASE || doing == SIM_REALLOC;
}

/* The call that may free or resize the block at `off`; SIM_THREADS: none. */
static unsigned who_frees(uint64_t off)
{
    const struct sim_call *call = sim_oracle.call;
    unsigned i = 0;
    while (i < SIM_THREADS &&
           (!takes_away(call[i].doing) || call[i].block.off != off))
        i++;
    return i;
}

/* The call that may have made the block at `off`; SIM_THREADS: none. What a dead
 * process had reserved another may have by now. */
static unsigned who_makes(const struct differences *d, const struct sim_view *v,
                          uint64_t off)
{
    const struct sim_call *call = sim_oracle.call;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        if (call[i].doing == SIM_PUBLISH && call[i].block.off == off &&
            (!call[i].dead || v->root[call[i].slot] == off))
            return i;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        if ((call[i].doing == SIM_ALLOC || call[i].doing == SIM_REALLOC) &&
            !d->of[i].extra)
            return i;
    return SIM_THREADS;
}

static void is_missing(struct differences *d, struct sim_block b)
{
    struct difference *of = &d->of[who_frees(b.off)];
    of->missing++;
    of->lost = b;
}

static void is_extra(struct differences *d, const struct sim_view *v,
                     struct sim_block b)
{
    struct difference *of = &d->of[who_makes(d, v, b.off)];
    of->extra++;
    of->more = b;
}

/* What one call freed another may have taken again, or a part of it; a free may
 * also have made it longer first. */
static void is_resized(struct differences *d, const struct sim_view *v,
                       struct sim_block before, struct sim_block after)
{
    unsigned who = who_frees(before.off);
    unsigned by = who_makes(d, v, after.off);
    int longer = who < SIM_THREADS && sim_oracle.call[who].doing == SIM_FREE &&
                 after.n > before.n;
    if (who < SIM_THREADS && by < SIM_THREADS && by != who && !longer) {
        is_missing(d, before);
        is_extra(d, v, after);
        return;
    }
    d->of[who].resized++;
    d->of[who].before = before;
    d->of[who].after = after;
}

/* What is in doubt may also be longer: by what is behind it and free, or in
 * doubt as well, if what tells where that begins is not there. */
static void compare(struct differences *d, const struct sim_view *v)
{
    const struct sim_oracle *o = &sim_oracle;
    memset(d, 0, sizeof *d);
    unsigned i = 0, k = 0;
    while (i < o->n || k < v->n) {
        if (k == v->n || (i < o->n && o->live[i].off < v->block[k].off)) {
            if (!doubtful(o->live[i].off))
                is_missing(d, o->live[i]);
            i++;
        } else if (i == o->n || v->block[k].off < o->live[i].off) {
            if (!doubtful(v->block[k].off) &&
                (!sim_left_over || v->block[k].n != sim_left_over))
                is_extra(d, v, v->block[k]);
            k++;
        } else {
            if (o->live[i].n != v->block[k].n &&
                !(doubtful(o->live[i].off) && o->live[i].n < v->block[k].n))
                is_resized(d, v, o->live[i], v->block[k]);
            i++;
            k++;
        }
    }
}

static const char *overlap(const struct sim_view *v)
{
    for (unsigned i = 1; i < v->n; i++)
        if (v->block[i - 1].off + v->block[i - 1].n > v->block[i].off)
            return "two live blocks overlap";
    return NULL;
}

/* Calls under way. */
static unsigned calls(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        n += sim_oracle.call[i].doing != SIM_NOTHING;
    return n;
}

/* What is being freed has no contents any more: the heap may use its memory
 * before its code says so, and so may another call. */
static int has_contents(const struct sim_block *b, const struct differences *d)
{
    unsigned who = who_frees(b->off);
    if (who == SIM_THREADS)
        return 1;
    switch (sim_oracle.call[who].doing) {
    case SIM_FREE: return 0;
    case SIM_REALLOC: return !d->of[who].extra;
    default: return calls() == 1;
    }
}

static const char *contents(const struct sim_view *v,
                            const struct differences *d)
{
    const struct sim_oracle *o = &sim_oracle;
    for (unsigned i = 0, k = 0; i < o->n && k < v->n; k++) {
        while (i < o->n && o->live[i].off < v->block[k].off)
            i++;
        if (i == o->n || o->live[i].off != v->block[k].off)
            continue;
        if (!has_contents(&o->live[i], d))
            continue;
        uint64_t n = o->live[i].filled;
        if (!contents_intact(o->live[i].off,
                             n < v->block[k].n ? n : v->block[k].n,
                             o->live[i].id))
            return "the contents of a live block are damaged";
    }
    return NULL;
}

static int a_call_sets(unsigned slot)
{
    const struct sim_call *call = sim_oracle.call;
    for (unsigned i = 0; i < SIM_THREADS; i++)
        if ((call[i].doing == SIM_PUBLISH || call[i].doing == SIM_RELEASE) &&
            call[i].slot == slot)
            return 1;
    return 0;
}

static const char *roots(const struct sim_view *v)
{
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        if (v->root[i] != sim_oracle.root[i] &&
            v->root[i] != sim_oracle.maybe[i] && !a_call_sets(i))
            return "a word of the root area is neither old nor new";
    return NULL;
}

static const char *publish(const struct sim_view *v, const struct sim_call *c,
                           const struct difference *d)
{
    uint64_t word = v->root[c->slot];
    if (!d->extra)
        return word == sim_oracle.root[c->slot]
                   ? NULL
                   : "a destination names a dead block";
    if (d->more.off != c->block.off || d->more.n != c->block.n)
        return "a block is live that nobody published";
    if (word != c->block.off)
        return "a block is live that no destination names";
    return contents_intact(c->block.off, c->block.filled, c->block.id)
               ? NULL
               : "a published block has not its contents";
}

static const char *release(const struct sim_view *v, const struct sim_call *c,
                           const struct difference *d)
{
    uint64_t word = v->root[c->slot];
    if (d->resized)
        return "a release under way resized a block";
    if (!d->missing) // or another call has made one of its memory
        return word == c->block.off || (calls() > 1 && !word)
                   ? NULL
                   : "a released block was leaked";
    return word == 0 ? NULL : "a destination names a released block";
}

/* `block` may be gone, or be longer: what follows it was merged first. */
static const char *freeing(const struct difference *d)
{
    if (d->missing && d->resized)
        return "a block that is being freed is there twice";
    if (d->resized && d->after.n < d->before.n)
        return "a free under way made a block shorter";
    return NULL;
}

/* Whether a block in doubt, which no difference counts, has the contents of
 * `block`: its memory was taken for the copy. */
static int copied_to_doubt(const struct sim_view *v, const struct sim_block *b)
{
    for (unsigned k = 0; k < v->n; k++)
        if (v->block[k].off != b->off && doubtful(v->block[k].off) &&
            contents_intact(v->block[k].off, b->filled, b->id))
            return 1;
    return 0;
}

/* `block` may have any size between the two; or there may be another one, with
 * or without it, which may be longer by then: it is being freed. */
static const char *resizing(const struct sim_view *v, const struct sim_call *c,
                            const struct difference *d)
{
    if (d->resized &&
        (d->after.n < c->block.n || (d->after.n > c->most && !d->extra)))
        return "a realloc under way made a block too short or too long";
    if (!d->extra)
        return d->missing && !copied_to_doubt(v, &c->block)
                   ? "a realloc under way lost a block"
                   : NULL;
    if (!d->missing &&
        contents_intact(c->block.off, c->block.filled, c->block.id))
        return NULL;
    return contents_intact(d->more.off, c->block.filled, c->block.id)
               ? NULL
               : "a moved block has not its contents";
}

static const char *by_call(const struct sim_view *v, const struct sim_call *c,
                           const struct difference *d)
{
    switch (c->doing) {
    case SIM_PUBLISH: return publish(v, c, d);
    case SIM_RELEASE: return release(v, c, d);
    case SIM_FREE: return freeing(d);
    case SIM_REALLOC: return resizing(v, c, d);
    default: return NULL;
    }
}

static const char *by_nobody(const struct difference *d)
{
    if (d->missing)
        return "a live block is gone";
    if (d->extra)
        return "a block is live that nobody owns";
    return d->resized ? "a live block has another size" : NULL;
}

/* Of each name is known what was, or what the call under way makes of it; one
 * that is destroyed may have lost its description first. */
static const char *names(const struct sim_view *v)
{
    const struct sim_call *call = sim_oracle.call;
    for (unsigned i = 0; i < SIM_NAMES; i++) {
        int can = v->name[i] == sim_oracle.name[i];
        for (unsigned k = 0; k < SIM_THREADS; k++)
            can |= call[k].doing == SIM_NAME && call[k].slot == i &&
                   (v->name[i] == call[k].most ||
                    (!call[k].most && v->name[i] == 1));
        if (!can)
            return v->name[i] ? "a name is there, or described, as none was"
                              : "a name is gone";
    }
    return NULL;
}

static int is_empty(const struct sim_view *v)
{
    uint64_t any = v->n;
    for (unsigned i = 0; i < SIM_NAMES; i++)
        any |= v->name[i];
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        any |= v->root[i];
    return !any;
}

/* Why this cannot be what the model says; NULL: it can. */
static const char *model_differs(const struct sim_view *v)
{
    struct differences d;
    if (v->err)
        return "the region is refused";
    if (sim_oracle.call[0].doing == SIM_ANEW && is_empty(v))
        return NULL;
    compare(&d, v);
    const char *wrong = overlap(v);
    if (!wrong)
        wrong = by_nobody(&d.of[SIM_THREADS]);
    for (unsigned i = 0; !wrong && i < SIM_THREADS; i++)
        wrong = by_call(v, &sim_oracle.call[i], &d.of[i]);
    if (!wrong)
        wrong = roots(v);
    if (!wrong)
        wrong = names(v);
    return wrong ? wrong : contents(v, &d);
}

/* The transaction of a thread has happened. */
void sim_tx_happens(unsigned who)
{
    struct sim_tx *t = &sim_oracle.tx[who];
    t->state = SIM_TX_NONE;
    for (unsigned i = 0; i < t->n; i++) {
        const struct sim_act *a = &t->act[i];
        if (a->kind == SIM_ACT_PUBLISH)
            sim_oracle_add(a->block);
        else if (a->kind == SIM_ACT_GO)
            sim_oracle_drop(a->block.off);
        if (a->slot < SIM_ROOTS)
            sim_oracle.root[a->slot] = sim_oracle.maybe[a->slot] = a->value;
    }
}

/* Why this cannot be, whichever of the transactions that commit have
 * happened. */
static const char *together_differs(const struct sim_view *v)
{
    static struct sim_oracle none; // has happened
    const char *wrong = "more than one transaction under way is torn";
    none = sim_oracle;
    for (unsigned some = 1; wrong && some < 1u << SIM_THREADS; some++) {
        int may = 1;
        for (unsigned i = 0; i < SIM_THREADS; i++)
            may &= !(some >> i & 1) || none.tx[i].state == SIM_TX_COMMITS;
        if (!may)
            continue;
        for (unsigned i = 0; i < SIM_THREADS; i++)
            if (some >> i & 1)
                sim_tx_happens(i);
        if (!model_differs(v))
            wrong = NULL;
        sim_oracle = none;
    }
    return wrong;
}

static void exchange(void)
{
    static struct sim_oracle other;
    other = sim_oracle;
    sim_oracle = sim_after;
    sim_after = other;
}

/* The same, for the model with what a transaction has made of it. */
static const char *after_differs(const struct sim_view *v)
{
    exchange();
    const char *wrong = model_differs(v);
    exchange();
    if (wrong || !sim_inner_at)
        return wrong;
    uint64_t got;
    sim_saw_read(sim_here->mem + sim_inner_at, 8);
    memcpy(&got, sim_here->mem + sim_inner_at, 8);
    return got == sim_inner ? NULL
                            : "a word inside of what is published is lost";
}

/* Why this cannot be what a crash now leaves; NULL: it can. */
const char *sim_oracle_differs(const struct sim_view *v)
{
    const char *wrong = model_differs(v);
    if (wrong && sim_commits && !after_differs(v))
        return NULL;
    return wrong && !together_differs(v) ? NULL : wrong;
}

/* The call that a crash cut short; of a program that runs one at a time. */
static const struct sim_call *under_way(void)
{
    const struct sim_call *call = sim_oracle.call;
    unsigned i = 0;
    while (i + 1 < SIM_THREADS && call[i].doing == SIM_NOTHING)
        i++;
    return &call[i];
}

/* Goes on from what a crash has left: what was found is what there is. */
void sim_oracle_adopt(const struct sim_view *found)
{
    struct sim_oracle *o = &sim_oracle;
    if (sim_commits && model_differs(found))
        exchange();
    sim_commits = 0;
    const struct sim_call *c = under_way();
    static struct sim_block now[SIM_BLOCKS];
    if (!sim_was_killed)
        o->doubt_n = 0;
    else if (c->doing == SIM_FREE && !doubtful(c->block.off))
        doubt(c->block);
    for (unsigned i = 0; i < found->n; i++) {
        const struct sim_block *b = sim_oracle_find(found->block[i].off);
        now[i] = found->block[i];
        now[i].filled = 0;
        now[i].id = ++o->ids;
        if (!b && c->doing == SIM_PUBLISH && c->block.off == now[i].off)
            b = &c->block;
        if (sim_was_killed && c->doing == SIM_ALLOC && !b)
            doubt(now[i]);
        if (b && c->doing == SIM_FREE && b->off == c->block.off)
            continue; // it has no contents any more
        if (b && b->filled <= now[i].n) {
            now[i].filled = b->filled;
            now[i].id = b->id;
        }
    }
    o->n = found->n;
    memcpy(o->live, now, o->n * sizeof *now);
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        o->root[i] = o->maybe[i] = found->root[i];
    memcpy(o->name, found->name, sizeof o->name);
    o->held_n = 0;
    memset(o->call, 0, sizeof o->call);
    memset(o->tx, 0, sizeof o->tx);
}
