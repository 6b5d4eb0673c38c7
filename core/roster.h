/* roster.h -- the list of names, made anew
 *
 * An entry tells by its checksum and by its hash that it is one, and lies at
 * the start of a live block: so all are found without the list, which is linked
 * anew through them and through the buckets that are left. Nothing of an entry
 * but its link is changed, so whenever a crash comes they are found again. */
#pragma once
#include "restore.h"

/* The entries of a region, by their places. */
typedef struct alps_roster {
    const alps_handle *h;
    alps_off *off;
    uint64_t n, room;
    int err;
} alps_roster;

/* Memory for twice as many. */
ALPS_FN_ int alps_roster_grow_(alps_roster *o)
{
    uint64_t room = o->room ? 2 * o->room : 4096;
    void *p = mmap(NULL, room * sizeof *o->off, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
    if (o->off) {
        memcpy(p, o->off, o->n * sizeof *o->off);
        munmap(o->off, o->room * sizeof *o->off);
    }
    o->off = (alps_off *)p;
    o->room = room;
    return ALPS_OK;
}

/* Whether a block of `n` bytes is an entry. */
ALPS_FN_ int alps_roster_is_(const alps_handle *h, alps_off off, uint64_t n)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    return n >= sizeof *e && alps_name_sane_(h, off) && e->place <= n &&
           e->element * e->count <= n - e->place &&
           (alps_hash_reverse_(
                alps_hash_of_(h->super->uuid, e + 1, e->length)) |
            1) == e->node.key;
}

/* Called for each live block. */
ALPS_FN_ int alps_roster_visit_(void *context, void *p, size_t n)
{
    alps_roster *o = (alps_roster *)context;
    alps_off off = alps_offset_(o->h, p);
    if (!alps_roster_is_(o->h, off, n))
        return 0;
    if (o->n == o->room)
        o->err = alps_roster_grow_(o);
    if (!o->err)
        o->off[o->n++] = off;
    return o->err;
}

ALPS_FN_ uint64_t alps_roster_key_(const alps_roster *o, uint64_t i)
{
    return ((const alps_node *)alps_address_(o->h, o->off[i]))->key;
}

/* Lets the entry at `i` sink to where it belongs in a heap of `n`. */
ALPS_FN_ void alps_roster_sink_(const alps_roster *o, uint64_t i, uint64_t n)
{
    for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n &&
            alps_roster_key_(o, child) < alps_roster_key_(o, child + 1))
            child++;
        if (alps_roster_key_(o, i) >= alps_roster_key_(o, child))
            return;
        alps_off off = o->off[i];
        o->off[i] = o->off[child];
        o->off[child] = off;
    }
}

/* Sorts them by key. */
ALPS_FN_ void alps_roster_sort_(const alps_roster *o)
{
    for (uint64_t i = o->n / 2; i--;)
        alps_roster_sink_(o, i, o->n);
    for (uint64_t n = o->n; n > 1;) {
        alps_off off = o->off[--n];
        o->off[n] = o->off[0];
        o->off[0] = off;
        alps_roster_sink_(o, 0, n);
    }
}

/* Whether the `n` nodes at `node` are of the buckets from `b` on. */
ALPS_FN_ int alps_roster_buckets_(const alps_node *node, uint64_t b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key = node[i].key & ~ALPS_NODE_READY_;
        if (node[i].key && key != alps_hash_reverse_(b + i))
            return 0;
    }
    return 1;
}

/* What names are found by, if it looks like that. */
ALPS_FN_ alps_names *alps_roster_names_(const alps_handle *h)
{
    alps_names *s = alps_node_names_(h);
    int is = s && alps_roster_buckets_(s->first, 0, 1u << ALPS_NAMES_SHIFT);
    for (unsigned i = 0; is && i < 7; i++)
        is = !s->line_[i];
    return is && s->first[0].key == ALPS_NODE_READY_ ? s : NULL;
}

/* What is at `off` and has `n` bytes is live again, where its object or block
 * says that it is not, and nothing else starts in it. */
ALPS_FN_ void alps_roster_revive_(const alps_handle *h, alps_off off,
                                  uint64_t n, alps_repaired *r)
{
    alps_object o;
    alps_block b;
    if (alps_check_live_(h, off, n))
        return;
    int is = alps_object_at_(h, off, &o);
    if (is == 1 && !alps_object_live_(&o) && alps_kind_size_(o.kind) >= n)
        alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
    int code = is ? -1 : alps_block_at_(h, off, &b);
    uint64_t end = code < 0
                       ? 0
                       : b.unit + (alps_round_up_(n, 1ull << b.zone.shift) >>
                                   b.zone.shift);
    if (end && end <= b.zone.end && code != ALPS_USED &&
        alps_code_inside_(b.zone.codes, b.unit + 1, end)) {
        if (end < b.zone.end && code == ALPS_FREE &&
            alps_code_(b.zone.codes, end) == ALPS_INSIDE)
            alps_code_set_(b.zone.codes, end, ALPS_FREE);
        alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    }
    if (alps_check_live_(h, off, n))
        alps_report_mended_(r, off, "what has a name is not live");
}

/* Revives what names are found by, and what has a name, as far as the list
 * goes. */
ALPS_FN_ void alps_roster_walk_(const alps_handle *h, alps_repaired *r)
{
    alps_names *s = alps_roster_names_(h);
    uint64_t most = alps_size_(h) / sizeof(alps_entry);
    if (!s)
        return;
    alps_roster_revive_(h, h->super->names, sizeof *s, r);
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++) {
        uint64_t b = 8ull << i;
        const alps_node *node = alps_node_bucket_(h, s, b);
        if (s->table[i] && node && alps_roster_buckets_(node, b, b))
            alps_roster_revive_(h, s->table[i], b * sizeof *node, r);
    }
    for (alps_off off = s->first[0].next; off && most; most--) {
        const alps_node *n = alps_node_at_(h, off);
        if (!n)
            return;
        const alps_entry *e = (const alps_entry *)(const void *)n;
        if (n->key & 1 && alps_name_sane_(h, off))
            alps_roster_revive_(h, off, e->place + e->element * e->count, r);
        off = n->next;
    }
}

/* Makes a run of `units` at the end of one that is free a used block: when all
 * that it is to hold is durable. */
ALPS_FN_ alps_off alps_roster_take_(const alps_handle *h, uint64_t units)
{
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_zone z = alps_zone_extent_(h, extent);
        for (uint64_t unit = z.first, n; unit < z.end; unit += n) {
            n = alps_zone_units_(&z, unit);
            if (alps_code_(z.codes, unit) == ALPS_FREE && n >= units)
                return alps_zone_off_(&z, unit + n - units);
        }
    }
    return 0;
}

/* All that was stored so far is on the medium. */
ALPS_CORE_ int alps_repair_sync_(alps_handle *h, const alps_tables *t)
{
    return t->backend->sync(&h->map, 0, h->map.size);
}

/* Makes a free extent an empty heap extent. */
ALPS_CORE_ int alps_roster_extent_(alps_handle *h, const alps_tables *t)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t extent = 0, n = 0;
    for (uint64_t unit = 0; unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        extent = unit + n - 1;
        if (alps_code_(top.codes, unit) == ALPS_FREE)
            break;
        n = extent + 1 < top.end ? n : 0;
        if (!n)
            return ALPS_EFULL;
    }
    (void)alps_extent_clear_(h, extent);
    alps_extent_kind_set_(h, extent, 1);
    int err = alps_repair_sync_(h, t);
    if (!err)
        alps_code_set_(top.codes, extent, ALPS_USED);
    return err;
}

/* Makes what names are found by, which nothing leads to yet, and whose buckets
 * are yet to be linked. */
ALPS_CORE_ int alps_roster_make_(alps_handle *h, alps_names **names,
                                 const alps_tables *t)
{
    alps_block b;
    uint64_t units = (sizeof(alps_names) + ALPS_GRANULE - 1) / ALPS_GRANULE;
    alps_off off = alps_roster_take_(h, units);
    int err = off ? ALPS_OK : alps_roster_extent_(h, t);
    if (!err && !off)
        off = alps_roster_take_(h, units);
    if (err || !off)
        return err ? err : ALPS_EFULL;
    alps_names *s = (alps_names *)alps_address_(h, off);
    memset(s, 0, units * ALPS_GRANULE);
    s->shift = ALPS_NAMES_SHIFT;
    s->first[0].key = ALPS_NODE_READY_;
    if (alps_block_at_(h, off, &b) < 0)
        return ALPS_ECORRUPT;
    alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    *names = s;
    return ALPS_OK;
}

/* Keeps the tables of buckets that are such, up to the first that is not. */
ALPS_FN_ unsigned alps_roster_tables_(const alps_handle *h, alps_names *s)
{
    unsigned shift = ALPS_NAMES_SHIFT, most = shift + ALPS_NAMES_TABLES;
    for (; shift < most && s->table[shift - ALPS_NAMES_SHIFT]; shift++) {
        alps_off off = s->table[shift - ALPS_NAMES_SHIFT];
        const alps_node *node = alps_node_bucket_(h, s, 1ull << shift);
        if (!node || !alps_check_live_(h, off, sizeof *node << shift) ||
            !alps_roster_buckets_(node, 1ull << shift, 1ull << shift))
            break;
    }
    for (unsigned i = shift; i < most; i++)
        if (s->table[i - ALPS_NAMES_SHIFT])
            s->table[i - ALPS_NAMES_SHIFT] = 0;
    return shift;
}

/* Links the buckets of `s`, 2^`shift`, and the entries. */
ALPS_FN_ void alps_roster_link_(const alps_roster *o, alps_names *s,
                                unsigned shift)
{
    const alps_handle *h = o->h;
    alps_node *last = NULL;
    uint64_t i = 0;
    for (uint64_t turn = 0; turn < 1ull << shift; turn++) {
        uint64_t order = turn << (64 - shift);
        alps_node *n = alps_node_bucket_(h, s, alps_hash_reverse_(order));
        for (; i < o->n && alps_roster_key_(o, i) < order; i++) {
            last->next = o->off[i];
            last = (alps_node *)alps_address_(h, o->off[i]);
        }
        n->key = order | ALPS_NODE_READY_;
        if (last)
            last->next = alps_offset_(h, n);
        last = n;
    }
    for (; i < o->n; i++) {
        last->next = o->off[i];
        last = (alps_node *)alps_address_(h, o->off[i]);
    }
    last->next = 0;
    alps_store_(&s->shift, shift);
}

/* Descriptions that are none are given up. */
ALPS_FN_ void alps_roster_texts_(const alps_roster *o, alps_repaired *r)
{
    for (uint64_t i = 0; i < o->n; i++) {
        alps_report own;
        alps_entry *e = (alps_entry *)alps_address_(o->h, o->off[i]);
        memset(&own, 0, sizeof own);
        alps_check_text_(o->h, e, &own);
        if (!own.problems)
            continue;
        alps_store_(&e->text, 0);
        alps_report_lost_(r, o->off[i], 0, "the description of a name");
    }
}

/* Links all names anew: in place where there is what they are found by, else
 * the list is found by one store, when all of it is durable. `was` are those
 * that there seemed to be. */
ALPS_CORE_ int alps_roster_renew_(alps_handle *h, const alps_roster *o,
                                  uint64_t was, alps_repaired *r,
                                  const alps_tables *t)
{
    alps_names *s = alps_roster_names_(h);
    int err = ALPS_OK;
    if (s && !alps_check_live_(h, h->super->names, sizeof *s))
        s = NULL;
    int anew = !s && o->n;
    alps_roster_sort_(o);
    if (anew)
        err = alps_roster_make_(h, &s, t);
    if (err)
        return err;
    if (s)
        alps_roster_link_(o, s, alps_roster_tables_(h, s));
    if (anew)
        err = alps_repair_sync_(h, t);
    if (err)
        return err;
    alps_store_(&h->super->names, s ? alps_offset_(h, s) : 0);
    alps_report_mended_(r, h->super->names, "the list of names");
    for (uint64_t i = o->n; i < was; i++)
        alps_report_lost_(r, h->super->names, 0, "a name");
    return ALPS_OK;
}

/* Finds all names, and sees to their list where it has not all of them. */
ALPS_CORE_ int alps_roster_restore_(alps_handle *h, alps_repaired *r,
                                    const alps_tables *t)
{
    alps_report list;
    alps_roster o;
    memset(&o, 0, sizeof o);
    memset(&list, 0, sizeof list);
    o.h = h;
    alps_roster_walk_(h, r);
    (void)alps_visit_all_(h, alps_roster_visit_, &o);
    int err = o.err;
    if (!err)
        alps_roster_texts_(&o, r);
    if (!err)
        alps_check_names_(h, &list);
    if (!err && (list.problems || list.names != o.n))
        err = alps_roster_renew_(h, &o, list.names, r, t);
    if (o.off)
        munmap(o.off, o.room * sizeof *o.off);
    return err;
}
