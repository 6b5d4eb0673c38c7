/* check.h -- every structure of the heap against every other
 *
 * The codes against themselves, the index against the codes, the reservations
 * against both, names against what is live. Nothing is changed and nothing is
 * trusted: a damaged region gives a longer report, not a crash. O(size of the
 * maps). */
#pragma once
#include "named.h"
#include "report.h"
#include "visit.h"

/* A free run that is indexed: its head, its foot, its neighbours in the bin. */
ALPS_FN_ void alps_check_run_(const alps_handle *h, const alps_zone *z,
                              uint64_t unit, uint64_t units, alps_report *r)
{
    const alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    alps_bin bin = alps_bin_of_(units);
    r->indexed++;
    if (run->units != units) {
        alps_check_say_(r, off, "a free run has another length than its codes");
        return;
    }
    if (*alps_run_foot_(z, unit + units) != off)
        alps_check_say_(r, off, "the foot of a free run names another head");
    if (!alps_run_place_(h, z, run->next) ||
        !alps_run_place_(h, z, run->previous)) {
        alps_check_say_(r, off, "a free run links to where no run can be");
        return;
    }
    const alps_off *back = &z->index->head[bin.row][bin.column];
    if (run->previous)
        back = &((const alps_run *)alps_address_(h, run->previous))->next;
    if (*back != off)
        alps_check_say_(r, off, "a free run is not in the bin of its length");
}

/* The codes of a zone, and whether what is free is indexed if it should be. */
ALPS_FN_ void alps_check_zone_(const alps_handle *h, const alps_shard *s,
                               const alps_zone *z, int built, alps_report *r)
{
    uint64_t unit = z->first;
    unsigned before = ALPS_INSIDE;
    if (!alps_code_inside_(z->codes, 0, z->first))
        alps_check_say_(r, z->origin, "a code where no block can start");
    if (alps_code_(z->codes, unit) == ALPS_INSIDE)
        alps_check_say_(r, z->origin, "the first block has no start");
    while (unit < z->end) {
        uint64_t units = alps_zone_units_(z, unit);
        unsigned code = alps_code_(z->codes, unit);
        alps_off off = alps_zone_off_(z, unit);
        r->blocks += code == ALPS_USED;
        r->runs += code == ALPS_FREE;
        r->reserved += code == ALPS_HELD;
        if (built && code == ALPS_FREE && before == ALPS_FREE)
            alps_check_say_(r, off, "two free runs side by side");
        if (built && code == ALPS_FREE)
            alps_check_run_(h, z, unit, units, r);
        if (built && code == ALPS_HELD && !alps_held_alive_(h, s, off))
            alps_check_say_(r, off, "a held block that nobody holds");
        before = code;
        unit += units;
    }
}

/* A slab: its block, its class, no object behind its end, and what its threads
 * say of it. */
ALPS_FN_ void alps_check_slab_(const alps_handle *h, alps_off place,
                               alps_report *r)
{
    alps_block b;
    alps_slab *head = alps_slab_head_(h, place);
    alps_slab s = *head;
    if (!alps_slab_derive_(h, &s)) {
        alps_check_say_(r, place, "a slab of no class");
        return;
    }
    if (alps_block_at_(h, place, &b) != ALPS_HELD || b.level ||
        alps_zone_units_(&b.zone, b.unit) < alps_kind_granules_(h, s.kind - 1))
        alps_check_say_(r, place, "a slab that no block holds");
    int mine = alps_self_(h) && alps_slab_seen_to_(h, head);
    if (mine && (head->size != s.size || head->count != s.count))
        alps_check_say_(r, place, "a slab in use of another size");
    for (unsigned g = 0; g < h->at.groups; g++) {
        uint64_t live = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        uint64_t whole =
            g < alps_slab_groups_(&s) ? alps_slab_whole_(&s, g) : 0;
        r->blocks += (uint64_t)__builtin_popcountll(live & whole);
        if (live & ~whole)
            alps_check_say_(r, place, "a live object behind a slab's end");
    }
}

/* The slabs: of one extent, if it is a heap extent; else there must be
 * none. */
ALPS_FN_ void alps_check_slabs_(const alps_handle *h, uint64_t extent,
                                alps_report *r)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift) {
        if (!alps_slab_is_(h, off))
            continue;
        if (alps_extent_heap_(h, extent))
            alps_check_slab_(h, off, r);
        else
            alps_check_say_(r, off, "a slab outside of the heap extents");
    }
}

/* No slab lies where no extent does. */
ALPS_FN_ void alps_check_strays_(const alps_handle *h, alps_report *r)
{
    uint64_t first = h->at.heap >> h->at.slab_shift;
    uint64_t last = (h->at.heap + (alps_extents_(h) << h->at.extent_shift)) >>
                    h->at.slab_shift;
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    for (uint64_t word = 0; word <= end / 64; word++)
        for (uint64_t left = alps_load_(&h->slabs[word]); left;
             left &= left - 1) {
            uint64_t unit = word * 64 + alps_low_bit_(left);
            if (unit < first || unit >= last)
                alps_check_say_(r, unit << h->at.slab_shift,
                                "a slab where there is no extent");
        }
}

/* The extents: each is free, large, or a heap extent of its own length. */
ALPS_FN_ void alps_check_extents_(const alps_handle *h, alps_report *r)
{
    alps_zone top = alps_zone_top_(h);
    int live = alps_self_(h) != 0;
    alps_check_strays_(h, r);
    alps_check_zone_(h, h->top, &top, live && h->top->cursor == h->top->built,
                     r);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        alps_check_slabs_(h, extent, r);
        if (!alps_extent_heap_(h, extent))
            continue;
        const alps_shard *s = alps_shard_named_(h, extent);
        alps_zone z = alps_zone_extent_(h, extent);
        if (alps_zone_units_(&top, extent) != 1)
            alps_check_say_(r, z.origin, "a heap extent of several extents");
        r->blocks--; // it was counted as a block of the zone of extents
        alps_check_zone_(h, s, &z,
                         live && alps_extent_(h, extent)->built == s->built, r);
    }
}

/* An index: its bits, its heads, and how many runs its bins hold. */
ALPS_FN_ uint64_t alps_check_index_(const alps_handle *h, const alps_zone *z,
                                    uint64_t most, alps_report *r)
{
    const alps_index *x = z->index;
    alps_off where = alps_offset_(h, x);
    uint64_t n = 0;
    for (unsigned row = 0; row < ALPS_ROWS; row++) {
        if (!(x->rows >> row & 1) != !x->columns[row])
            alps_check_say_(r, where, "a row bit differs from its columns");
        for (unsigned column = 0; column < ALPS_COLUMNS; column++) {
            alps_off off = x->head[row][column];
            if (!(x->columns[row] >> column & 1) != !off)
                alps_check_say_(r, where, "a column bit differs from its bin");
            for (; off && n <= most; n++) {
                if (!alps_run_place_(h, z, off)) {
                    alps_check_say_(r, where, "a bin names no run");
                    break;
                }
                off = ((const alps_run *)alps_address_(h, off))->next;
            }
        }
    }
    return n;
}

/* The reservations of a shard: each names a held block of it. The table is
 * looked at only when it lies where it can. */
ALPS_FN_ void alps_check_held_(const alps_handle *h, const alps_shard *s,
                               alps_report *r)
{
    alps_off off = alps_held_place_(s);
    unsigned shift = alps_held_shift_(s);
    if (off >= alps_size_(h) || shift < ALPS_HELD_SHIFT || shift > 40 ||
        8ull << shift > alps_size_(h) - off) {
        alps_check_say_(r, h->at.shared, "the table of reservations is lost");
        return;
    }
    const uint64_t *table = alps_held_table_(h, s);
    for (uint64_t i = 0; i < 1ull << shift; i++) {
        alps_block b;
        alps_off place = (table[i] >> 16) * ALPS_GRANULE;
        if (table[i] > ALPS_HELD_GONE_ &&
            (alps_block_at_(h, place, &b) != ALPS_HELD || b.shard != s))
            alps_check_say_(r, place, "a reservation of what is not held");
    }
}

/* Whether a live block of `n` bytes or more starts at `off`. */
ALPS_FN_ int alps_check_live_(const alps_handle *h, alps_off off, uint64_t n)
{
    alps_object o;
    alps_block b;
    int is = alps_object_at_(h, off, &o);
    if (is)
        return is == 1 && alps_object_live_(&o) && alps_kind_size_(o.kind) >= n;
    return alps_block_at_(h, off, &b) == ALPS_USED && alps_block_size_(&b) >= n;
}

/* The descriptions of an entry. */
ALPS_FN_ void alps_check_text_(const alps_handle *h, const alps_entry *e,
                               alps_report *r)
{
    alps_off off = e->text;
    for (unsigned n = 0; off; n++) {
        const alps_text *x = alps_named_text_(h, off);
        if (!x || n == 64 ||
            (!alps_named_inside_(h, e, off) &&
             !alps_check_live_(h, off, sizeof *x + x->length + 1))) {
            alps_check_say_(r, off, "a description is no live block");
            return;
        }
        off = x->before;
    }
}

/* An entry: a live block, whose name has the hash that it is kept by. */
ALPS_FN_ void alps_check_entry_(const alps_handle *h, alps_off off,
                                alps_report *r)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    r->names++;
    if (!alps_name_sane_(h, off))
        alps_check_say_(r, off, "a named object is damaged");
    else if (!alps_check_live_(h, off, e->place + e->element * e->count))
        alps_check_say_(r, off, "a named object is no live block");
    else if ((alps_hash_reverse_(
                  alps_hash_of_(h->super->uuid, e + 1, e->length)) |
              1) != e->node.key)
        alps_check_say_(r, off, "a name is kept by another hash");
    else
        alps_check_text_(h, e, r);
}

/* The buckets that may be begun at; those without a table are none. */
ALPS_FN_ uint64_t alps_check_buckets_(const alps_handle *h, alps_names *s,
                                      alps_report *r)
{
    uint64_t ready = 0;
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++) {
        uint64_t n = sizeof(alps_node) << (i + ALPS_NAMES_SHIFT);
        if (s->table[i] && !alps_check_live_(h, s->table[i], n)) {
            alps_check_say_(r, s->table[i], "a table of names is no block");
            return ~0ull;
        }
    }
    for (unsigned i = 0; i <= ALPS_NAMES_TABLES; i++) {
        uint64_t first = i ? 4ull << i : 0, end = 8ull << i;
        for (uint64_t b = first; b < end; b++) {
            const alps_node *n = alps_node_bucket_(h, s, b);
            if (!n)
                break;
            ready += (uint64_t)alps_node_ready_(n, b);
        }
    }
    return ready;
}

/* The list of names. */
ALPS_FN_ void alps_check_names_(const alps_handle *h, alps_report *r)
{
    uint64_t ready = 0;
    alps_off off = h->super->names;
    alps_names *s = alps_node_names_(h);
    if (!off)
        return;
    if (!s || !alps_check_live_(h, off, sizeof *s)) {
        alps_check_say_(r, off, "what names are found by is no block");
        return;
    }
    uint64_t buckets = alps_check_buckets_(h, s, r);
    uint64_t last = 0;
    unsigned same = 0;
    for (const alps_node *n = &s->first[0]; n; n = alps_node_at_(h, off)) {
        uint64_t order = alps_node_order_(n), b = alps_hash_reverse_(order);
        same = order == last ? same + 1 : 0;
        if (order < last || same > ALPS_NODE_SAME_) {
            alps_check_say_(r, alps_offset_(h, n), "names are not in order");
            return;
        }
        if (order & 1)
            alps_check_entry_(h, alps_offset_(h, n), r);
        else if (alps_node_bucket_(h, s, b) != n)
            alps_check_say_(r, alps_offset_(h, n), "a node is of no bucket");
        else
            ready += (uint64_t)alps_node_ready_(n, b);
        last = order;
        off = n->next;
    }
    if (off)
        alps_check_say_(r, off, "a name links to where no name can be");
    else if (ready != buckets && buckets != ~0ull)
        alps_check_say_(r, h->super->names, "a bucket is not in the list");
}
