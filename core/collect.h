/* collect.h -- what nothing leads to is freed
 *
 * From what the library knows of (names, and what hangs between two regions)
 * and from the root area on, the program says what each object refers to; what
 * was not come to is freed. Marks are bits in memory of this process, one for
 * each 16 bytes of the region, so a death leaves nothing but what has been
 * freed. Nothing is freed before all that can be reached is marked. See
 * docs/repair.md. */
#pragma once
#include "audit.h"

struct alps_collecting;

/* Called for each object that something refers to, and for the root area, once:
 * calls alps_refer for each address that it holds. Anything but 0 ends it, and
 * is the answer; nothing is freed then. */
typedef int alps_refers(void *context, struct alps_collecting *c, void *p,
                        size_t n);

/* What came of it. */
typedef struct alps_collected {
    uint64_t objects, bytes;   /* that were freed */
    uint64_t kept, kept_bytes; /* that something leads to */
    uint64_t strays;           /* addresses of nothing that is allocated */
} alps_collected;

/* An object that is to be asked what it refers to. */
typedef struct alps_reached {
    alps_off off;
    uint64_t n;
} alps_reached;

/* A collection under way: the program hands it on, and looks at nothing. */
typedef struct alps_collecting {
    alps_handle *h;
    uint64_t *mark; /* a bit for each 16 bytes; of an object the first */
    uint64_t mark_n;
    alps_reached *row; /* those to be asked */
    uint64_t n, room;
    alps_collected sum;
    int err;
} alps_collecting;

/* Memory of the process, zeroed, lent as it is touched. */
ALPS_FN_ void *alps_collect_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Marks what starts at `off`. 0: it is marked. */
ALPS_FN_ int alps_collect_mark_(const alps_collecting *c, alps_off off)
{
    uint64_t *word = &c->mark[off / 16 / 64];
    uint64_t bit = 1ull << off / 16 % 64;
    if (*word & bit)
        return 0;
    *word |= bit;
    return 1;
}

/* [off, off + n) is to be asked. */
ALPS_FN_ void alps_collect_push_(alps_collecting *c, alps_off off, uint64_t n)
{
    if (c->n == c->room) {
        uint64_t room = c->room ? 2 * c->room : 4096;
        alps_reached *row =
            (alps_reached *)alps_collect_memory_(room * sizeof *row);
        if (!row) {
            c->err = ALPS_ENOMEM;
            return;
        }
        if (c->row) {
            memcpy(row, c->row, c->n * sizeof *row);
            munmap(c->row, c->room * sizeof *row);
        }
        c->row = row;
        c->room = room;
    }
    c->row[c->n].off = off;
    c->row[c->n].n = n;
    c->n++;
}

/* Marks what `off` lies in, if anything; `at` tells it. 1 if it was not. */
ALPS_FN_ int alps_collect_reach_(alps_collecting *c, alps_off off,
                                 alps_around *at)
{
    int code = alps_around_(c->h, off, at);
    if (code != ALPS_USED && code != ALPS_HELD) {
        c->sum.strays++;
        return 0;
    }
    return alps_collect_mark_(c, at->off);
}

/* See alps_refer. */
ALPS_FN_ int alps_collect_refer_(alps_collecting *c, const void *p)
{
    alps_around at;
    uint64_t strays = c->sum.strays;
    if (!p)
        return ALPS_OK;
    if (alps_collect_reach_(c, alps_offset_(c->h, p), &at))
        alps_collect_push_(c, at.off, at.n);
    return c->sum.strays != strays ? ALPS_EINVAL : c->err;
}

/* Marks what belongs to the library alone: it refers to nothing. */
ALPS_FN_ void alps_collect_own_(alps_collecting *c, alps_off off)
{
    alps_around at;
    if (off)
        (void)alps_collect_reach_(c, off, &at);
}

/* Marks an entry and its descriptions; its object is to be asked. */
ALPS_FN_ void alps_collect_entry_(alps_collecting *c, const alps_entry *e)
{
    size_t n = 0;
    const alps_handle *h = c->h;
    void *p = alps_name_object_(e, &n);
    alps_off off = e->text;
    alps_collect_own_(c, alps_offset_(h, e));
    alps_collect_push_(c, alps_offset_(h, p), n);
    for (unsigned k = 0; off && k < 64; k++) {
        const alps_text *x = alps_named_text_(h, off);
        if (!alps_named_inside_(h, e, off))
            alps_collect_own_(c, off);
        off = x ? x->before : 0;
    }
}

/* Marks all that names are found by, and all names. ALPS_ECORRUPT where they
 * are damaged: then nothing may be taken for unreachable. */
ALPS_FN_ int alps_collect_names_(alps_collecting *c)
{
    alps_report r;
    const alps_handle *h = c->h;
    alps_names *s = alps_node_names_(h);
    memset(&r, 0, sizeof r);
    alps_check_names_(h, &r);
    if (r.problems)
        return ALPS_ECORRUPT;
    if (!s)
        return ALPS_OK;
    alps_collect_own_(c, alps_offset_(h, s));
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++)
        alps_collect_own_(c, s->table[i]);
    for (alps_off off = s->first[0].next; off;) {
        const alps_node *n = alps_node_at_(h, off);
        if (alps_node_order_(n) & 1)
            alps_collect_entry_(c, (const alps_entry *)(const void *)n);
        off = n->next;
    }
    return c->err;
}

/* Marks what the library itself refers to. */
ALPS_FN_ int alps_collect_roots_(alps_collecting *c)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_off off = alps_load_(&alps_pledge_at_(c->h, i)->block);
        if (off)
            (void)alps_collect_refer_(c, alps_address_(c->h, off));
    }
    return alps_collect_names_(c);
}

/* Asks the root area, and then whatever is to be asked. */
ALPS_FN_ int alps_collect_ask_(alps_collecting *c, alps_refers *refers,
                               void *context)
{
    int stop = refers(context, c, c->h->map.base + ALPS_PAGE, ALPS_ROOT_SIZE);
    while (!stop && !c->err && c->n) {
        alps_reached at = c->row[--c->n];
        stop = refers(context, c, alps_address_(c->h, at.off), (size_t)at.n);
    }
    return stop ? stop : c->err;
}

/* The objects of group `g` of a slab that are marked. */
ALPS_FN_ uint64_t alps_collect_marked_(const alps_collecting *c, alps_off place,
                                       uint64_t size, unsigned g, uint64_t live)
{
    uint64_t marked = 0;
    for (uint64_t left = live; left; left &= left - 1) {
        unsigned i = alps_low_bit_(left);
        uint64_t at = (place + (64 * (uint64_t)g + i) * size) / 16;
        marked |= (c->mark[at / 64] >> at % 64 & 1) << i;
    }
    return marked;
}

/* Adds up. */
ALPS_FN_ void alps_collect_count_(alps_collecting *c, uint64_t live,
                                  uint64_t dead, uint64_t size)
{
    uint64_t all = (uint64_t)__builtin_popcountll(live);
    uint64_t n = (uint64_t)__builtin_popcountll(dead);
    c->sum.objects += n;
    c->sum.bytes += n * size;
    c->sum.kept += all - n;
    c->sum.kept_bytes += (all - n) * size;
}

/* Frees what is not marked in the slab at `place`, as one who does not own it:
 * a word for each 64 objects, and one fence for all. */
ALPS_CORE_ int alps_collect_slab_(alps_collecting *c, alps_off place,
                                  const alps_tables *t)
{
    alps_handle *h = c->h;
    alps_slab *head = alps_slab_head_(h, place);
    alps_slab s = *head;
    alps_object o;
    uint64_t any = 0;
    int err = ALPS_OK;
    if (!alps_slab_derive_(h, &s) || alps_object_at_(h, place, &o) != 1)
        return ALPS_OK;
    for (unsigned g = 0; !err && g < alps_slab_groups_(&s); g++) {
        alps_pair *pair = &alps_slab_pairs_(head)[g];
        uint64_t live = alps_pair_live_(pair) & alps_slab_whole_(&s, g);
        uint64_t dead = live & ~alps_collect_marked_(c, place, s.size, g, live);
        alps_collect_count_(c, live, dead, s.size);
        if (!dead)
            continue;
        any = 1;
        __atomic_fetch_xor(&pair->far, dead, __ATOMIC_SEQ_CST);
        err = t->policy->flush(&h->map, pair, sizeof *pair);
    }
    if (!err && any)
        err = t->fence(&h->map);
    if (any)
        alps_far_tell_(h, &o, place, t);
    return err;
}

/* Frees the blocks of a zone that are not marked. */
ALPS_CORE_ int alps_collect_zone_(alps_collecting *c, const alps_zone *z,
                                  const alps_tables *t)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    int err = ALPS_OK;
    while (!err && unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        alps_off off = alps_zone_off_(z, unit);
        if (alps_code_(z->codes, unit) == ALPS_USED &&
            (z->shift == ALPS_GRANULE_SHIFT ||
             !alps_extent_heap_(c->h, unit))) {
            int dead = !(c->mark[off / 16 / 64] >> off / 16 % 64 & 1);
            alps_collect_count_(c, 1, (uint64_t)dead,
                                (next - unit) << z->shift);
            if (dead)
                err = t->far(c->h, off);
        }
        unit = next;
    }
    return err;
}

/* Frees what is not marked in one heap extent. */
ALPS_CORE_ int alps_collect_extent_(alps_collecting *c, uint64_t extent,
                                    const alps_tables *t)
{
    alps_off off = c->h->at.heap + (extent << c->h->at.extent_shift);
    alps_off end = off + c->h->at.extent;
    int err = ALPS_OK;
    for (; !err && off < end; off += 1ull << c->h->at.slab_shift)
        if (alps_slab_is_(c->h, off))
            err = alps_collect_slab_(c, off, t);
    alps_zone z = alps_zone_extent_(c->h, extent);
    return err ? err : alps_collect_zone_(c, &z, t);
}

/* Frees all that is not marked. */
ALPS_CORE_ int alps_collect_sweep_(alps_collecting *c, const alps_tables *t)
{
    alps_zone top = alps_zone_top_(c->h);
    int err = ALPS_OK;
    for (uint64_t extent = 0; !err && extent < top.end; extent++)
        if (alps_extent_heap_(c->h, extent))
            err = alps_collect_extent_(c, extent, t);
    return err ? err : alps_collect_zone_(c, &top, t);
}

/* Whether this thread has a transaction open. */
ALPS_FN_ int alps_collect_busy_(const alps_handle *h)
{
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_draft_is_(&h->drafts[i], ALPS_THREAD_()))
            return 1;
    return 0;
}

/* See alps_collect. */
ALPS_CORE_ int alps_collect_(alps_handle *h, alps_refers *refers, void *context,
                             alps_collected *sum, const alps_tables *t)
{
    alps_collecting c;
    memset(&c, 0, sizeof c);
    memset(sum, 0, sizeof *sum);
    int err = alps_ready_(h, t);
    if (!err && alps_collect_busy_(h))
        err = ALPS_EBUSY;
    if (err)
        return err;
    c.h = h;
    c.mark_n = alps_round_up_(alps_size_(h) / 128 + 8, 8);
    c.mark = (uint64_t *)alps_collect_memory_(c.mark_n);
    if (!c.mark)
        return ALPS_ENOMEM;
    err = alps_collect_roots_(&c);
    if (!err)
        err = alps_collect_ask_(&c, refers, context);
    if (!err)
        err = alps_collect_sweep_(&c, t);
    munmap(c.mark, c.mark_n);
    if (c.row)
        munmap(c.row, c.room * sizeof *c.row);
    *sum = c.sum;
    return err;
}
