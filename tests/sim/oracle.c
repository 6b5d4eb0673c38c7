/* oracle.c -- what a crash must leave, kept beside the heap
 *
 * Written from the promises of the interface, not from the library: the
 * blocks that are live, their sizes and contents, what the root area names,
 * and what the one call under way may have done by the time of a crash. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

struct sim_oracle sim_oracle;

void sim_oracle_clear(void)
{
    memset(&sim_oracle, 0, offsetof(struct sim_oracle, live));
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

/* How the blocks found differ from the live ones of the model. */
struct difference {
    unsigned missing, extra, resized; /* how many */
    struct sim_block lost, more;      /* one of each, as the model and as the */
    struct sim_block before, after;   /* medium has it */
};

static void compare(struct difference *d, const struct sim_view *v)
{
    const struct sim_oracle *o = &sim_oracle;
    memset(d, 0, sizeof *d);
    unsigned i = 0, k = 0;
    while (i < o->n || k < v->n) {
        if (k == v->n || (i < o->n && o->live[i].off < v->block[k].off)) {
            if (!doubtful(o->live[i].off)) {
                d->missing++;
                d->lost = o->live[i];
            }
            i++;
        } else if (i == o->n || v->block[k].off < o->live[i].off) {
            if (!doubtful(v->block[k].off)) {
                d->extra++;
                d->more = v->block[k];
            }
            k++;
        } else {
            if (o->live[i].n != v->block[k].n) {
                d->resized++;
                d->before = o->live[i];
                d->after = v->block[k];
            }
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

/* What is being freed has no contents any more: the heap may use its memory
 * before its code says so. */
static const char *contents(const struct sim_view *v,
                            const struct difference *d)
{
    const struct sim_oracle *o = &sim_oracle;
    int freed = o->doing == SIM_FREE || (o->doing == SIM_REALLOC && d->extra);
    for (unsigned i = 0, k = 0; i < o->n && k < v->n; k++) {
        while (i < o->n && o->live[i].off < v->block[k].off)
            i++;
        if (i == o->n || o->live[i].off != v->block[k].off)
            continue;
        if (freed && o->live[i].off == o->block.off)
            continue;
        uint64_t n = o->live[i].filled;
        if (!contents_intact(o->live[i].off,
                             n < v->block[k].n ? n : v->block[k].n,
                             o->live[i].id))
            return "the contents of a live block are damaged";
    }
    return NULL;
}

static const char *roots(const struct sim_view *v, int but)
{
    for (int i = 0; i < (int)SIM_ROOTS; i++)
        if (i != but && v->root[i] != sim_oracle.root[i] &&
            v->root[i] != sim_oracle.maybe[i])
            return "a word of the root area is neither old nor new";
    return NULL;
}

static const char *publish(const struct sim_view *v, const struct difference *d)
{
    const struct sim_oracle *o = &sim_oracle;
    uint64_t word = v->root[o->slot];
    if (d->missing || d->resized || d->extra > 1)
        return "a publish under way changed another block";
    if (!d->extra)
        return word == o->root[o->slot] ? NULL
                                        : "a destination names a dead block";
    if (d->more.off != o->block.off || d->more.n != o->block.n)
        return "a block is live that nobody published";
    if (word != o->block.off)
        return "a block is live that no destination names";
    return contents_intact(o->block.off, o->block.filled, o->block.id)
               ? NULL
               : "a published block has not its contents";
}

static const char *release(const struct sim_view *v, const struct difference *d)
{
    const struct sim_oracle *o = &sim_oracle;
    uint64_t word = v->root[o->slot];
    if (d->extra || d->resized || d->missing > 1)
        return "a release under way changed another block";
    if (!d->missing)
        return word == o->block.off ? NULL : "a released block was leaked";
    if (d->lost.off != o->block.off)
        return "another block than the released one is gone";
    return word == 0 ? NULL : "a destination names a released block";
}

/* `block` may be gone, or be longer: what follows it was merged first. */
static const char *freeing(const struct difference *d)
{
    const struct sim_oracle *o = &sim_oracle;
    if (d->extra || d->missing > 1 || d->resized > 1)
        return "a free under way changed another block";
    if (d->missing && (d->resized || d->lost.off != o->block.off))
        return "another block than the freed one is gone";
    if (d->resized &&
        (d->before.off != o->block.off || d->after.n < d->before.n))
        return "a free under way resized another block";
    return NULL;
}

/* Whether a block in doubt, which no difference counts, has the contents of
 * `block`: its memory was taken for the copy. */
static int copied_to_doubt(const struct sim_view *v)
{
    const struct sim_block *b = &sim_oracle.block;
    for (unsigned k = 0; k < v->n; k++)
        if (v->block[k].off != b->off && doubtful(v->block[k].off) &&
            contents_intact(v->block[k].off, b->filled, b->id))
            return 1;
    return 0;
}

/* `block` may have any size between the two; or there may be another one, with
 * or without it, which may be longer by then: it is being freed. */
static const char *resizing(const struct sim_view *v,
                            const struct difference *d)
{
    const struct sim_oracle *o = &sim_oracle;
    if (d->extra > 1 || d->missing > 1 || d->resized > 1)
        return "a realloc under way changed another block";
    if (d->resized &&
        (d->before.off != o->block.off || d->after.n < o->block.n ||
         (d->after.n > o->most && !d->extra)))
        return "a realloc under way resized another block";
    if (!d->extra)
        return d->missing &&
                       (d->lost.off != o->block.off || !copied_to_doubt(v))
                   ? "a realloc under way lost a block"
                   : NULL;
    if (d->missing && d->lost.off != o->block.off)
        return "a realloc under way lost another block";
    if (!d->missing &&
        contents_intact(o->block.off, o->block.filled, o->block.id))
        return NULL;
    return contents_intact(d->more.off, o->block.filled, o->block.id)
               ? NULL
               : "a moved block has not its contents";
}

static const char *by_doing(const struct sim_view *v,
                            const struct difference *d)
{
    switch (sim_oracle.doing) {
    case SIM_PUBLISH: return publish(v, d);
    case SIM_RELEASE: return release(v, d);
    case SIM_FREE: return freeing(d);
    case SIM_REALLOC: return resizing(v, d);
    case SIM_ALLOC:
        return d->missing || d->resized || d->extra > 1
                   ? "an alloc under way changed another block"
                   : NULL;
    default: break;
    }
    if (d->missing)
        return "a live block is gone";
    if (d->extra)
        return "a block is live that nobody owns";
    return d->resized ? "a live block has another size" : NULL;
}

static int is_empty(const struct sim_view *v)
{
    uint64_t any = v->n;
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        any |= v->root[i];
    return !any;
}

/* Why this cannot be what a crash now leaves; NULL: it can. */
const char *sim_oracle_differs(const struct sim_view *v)
{
    enum sim_doing doing = sim_oracle.doing;
    int but = doing == SIM_PUBLISH || doing == SIM_RELEASE
                  ? (int)sim_oracle.slot
                  : -1;
    if (v->err)
        return "the region is refused";
    if (doing == SIM_ANEW && is_empty(v))
        return NULL;
    struct difference d;
    compare(&d, v);
    const char *wrong = overlap(v);
    if (!wrong)
        wrong = by_doing(v, &d);
    if (!wrong)
        wrong = roots(v, but);
    return wrong ? wrong : contents(v, &d);
}

/* Goes on from what a crash has left: what was found is what there is. */
void sim_oracle_adopt(const struct sim_view *found)
{
    struct sim_oracle *o = &sim_oracle;
    static struct sim_block now[SIM_BLOCKS];
    if (!sim_was_killed)
        o->doubt_n = 0;
    else if (o->doing == SIM_FREE && !doubtful(o->block.off))
        doubt(o->block);
    for (unsigned i = 0; i < found->n; i++) {
        const struct sim_block *b = sim_oracle_find(found->block[i].off);
        now[i] = found->block[i];
        now[i].filled = 0;
        now[i].id = ++o->ids;
        if (!b && o->doing == SIM_PUBLISH && o->block.off == now[i].off)
            b = &o->block;
        if (sim_was_killed && o->doing == SIM_ALLOC && !b)
            doubt(now[i]);
        if (b && o->doing == SIM_FREE && b->off == o->block.off)
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
    o->held_n = 0;
    o->doing = SIM_NOTHING;
}
