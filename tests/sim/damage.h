/* damage.h -- what may be wrong with a region, and its repair
 *
 * A part of unit.c: it knows the bytes. Each damage is one that alps_repair
 * puts right without a loss, but for the last ones, which tell what is lost. */
#pragma once

/* A handle that only tells where things are. */
static const alps_handle *places(void)
{
    static alps_handle h;
    memset(&h, 0, sizeof h);
    h.map.base = sim_here->mem;
    h.map.size = h.map.length = sim_here->length;
    h.super = (alps_superblock *)(void *)sim_here->mem;
    h.crc = alps_crc_kind_();
    const alps_superblock *s = h.super;
    if (alps_geometry_init_(&h.at, s->limit, s->extent_shift, s->lanes,
                            s->processes, s->small, s->shards))
        sim_fault("a region to be damaged is none");
    alps_region_place_(&h);
    return &h;
}

/* The first slab with live objects, or 0. */
static alps_off live_slab(const alps_handle *h)
{
    for (alps_off off = h->at.heap; off < alps_size_(h);
         off += 1ull << h->at.slab_shift) {
        if (!alps_slab_is_(h, off))
            continue;
        alps_slab s = *alps_slab_head_(h, off);
        if (alps_slab_derive_(h, &s) &&
            alps_restore_live_(h, alps_slab_head_(h, off), &s, 0))
            return off;
    }
    return 0;
}

static uint64_t heap_extent(const alps_handle *h)
{
    uint64_t extent = 0;
    while (!alps_extent_heap_(h, extent))
        extent++;
    return extent;
}

/* The entry of some name. */
static alps_entry *some_entry(const alps_handle *h)
{
    alps_off off = alps_node_names_(h)->first[0].next;
    while (off && !(alps_node_at_(h, off)->key & 1))
        off = alps_node_at_(h, off)->next;
    if (!off)
        sim_fault("no name is to be damaged");
    return (alps_entry *)alps_address_(h, off);
}

static void wipe(void *p, size_t n)
{
    memset(p, 0x5a, n);
}

static void damage_super(const alps_handle *h)
{
    wipe(h->super, 8);
    wipe(h->super->name, 40);
    wipe(&h->super->small, 8);
}

static void damage_spare(const alps_handle *h)
{
    wipe(h->map.base + ALPS_SPARE + 24, 80);
}

/* Of a region that has no spare that is whole. */
static void damage_bit(const alps_handle *h)
{
    damage_spare(h);
    h->super->uuid[3] ^= 4;
}

static void damage_size(const alps_handle *h)
{
    h->super->size = 0x1234;
}

static void damage_journal(const alps_handle *h)
{
    h->super->journal = 99;
}

/* There is a trace of the epoch: a shard's, or a record's. */
static void damage_epoch(const alps_handle *h)
{
    h->super->epoch = 0x1234;
}

/* There is none. Extents were built in epochs that come again; their indexes
 * are empty. */
static void damage_epochs(const alps_handle *h)
{
    damage_epoch(h);
    memset(h->lanes, 0, h->at.lane_count * sizeof *h->lanes);
    memset(h->shards, 0, (h->at.shard_count + 1) * sizeof *h->shards);
    for (uint64_t e = 0, k = 0; e < alps_extents_(h); e++)
        if (alps_extent_heap_(h, e))
            alps_extent_(h, e)->built = (1 + k++ % 2) << ALPS_BUILD_EPOCH_;
}

static void damage_done(const alps_handle *h)
{
    for (unsigned i = 0; i < h->at.lane_count; i++)
        h->done[i].seq = ~0ull;
}

static void damage_code(const alps_handle *h)
{
    alps_code_set_(h->codes, heap_extent(h), ALPS_INSIDE);
}

static void damage_kind(const alps_handle *h)
{
    alps_extent_kind_set_(h, heap_extent(h), 0);
}

static void damage_class(const alps_handle *h)
{
    alps_slab_head_(h, live_slab(h))->kind = 4711;
}

static void damage_mark(const alps_handle *h)
{
    alps_slab_mark_(h, live_slab(h), 0);
}

/* So that open refuses it, as long as the mark is missing. */
static void damage_mark_loose(const alps_handle *h)
{
    damage_mark(h);
    *(uint64_t *)alps_address_(h, ALPS_LOOSE) = 1;
}

static void damage_mark_journal(const alps_handle *h)
{
    damage_mark(h);
    damage_journal(h);
}

static void damage_bare(const alps_handle *h)
{
    *(uint64_t *)alps_address_(h, ALPS_BARE) = 7;
}

static void damage_held(const alps_handle *h)
{
    alps_block b;
    if (alps_block_at_(h, live_slab(h), &b) == ALPS_HELD)
        alps_code_set_(b.zone.codes, b.unit, ALPS_INSIDE);
}

static void damage_inside(const alps_handle *h)
{
    alps_block b;
    if (alps_block_at_(h, live_slab(h), &b) == ALPS_HELD)
        alps_code_set_(b.zone.codes, b.unit + 2, ALPS_USED);
}

static void damage_behind(const alps_handle *h)
{
    alps_slab *head = alps_slab_head_(h, live_slab(h));
    alps_slab s = *head;
    if (alps_slab_derive_(h, &s) && s.count < 64 * h->at.groups)
        alps_slab_pairs_(head)[s.count / 64].far ^= 1ull << s.count % 64;
}

static void damage_front(const alps_handle *h)
{
    alps_zone z = alps_zone_extent_(h, heap_extent(h));
    alps_code_set_(z.codes, 3, ALPS_USED);
}

static void damage_pledge(const alps_handle *h)
{
    alps_pledge_at_(h, 5)->block = 64;
}

/* All free extents are full of old bytes. */
static void damage_free(const alps_handle *h)
{
    alps_zone top = alps_zone_top_(h);
    for (uint64_t unit = 0, n; unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        if (alps_code_(top.codes, unit) == ALPS_FREE)
            wipe(alps_address_(h, alps_zone_off_(&top, unit)), n * 4096);
    }
}

/* What names are found by is lost. Its block and those of its tables are free:
 * a repair cannot know that they were used. */
static void damage_names(const alps_handle *h)
{
    alps_names *s = alps_node_names_(h);
    alps_block b;
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++)
        if (s->table[i] && alps_block_at_(h, s->table[i], &b) == ALPS_USED)
            alps_code_set_(b.zone.codes, b.unit, ALPS_FREE);
    if (alps_block_at_(h, h->super->names, &b) == ALPS_USED)
        alps_code_set_(b.zone.codes, b.unit, ALPS_FREE);
    wipe(s, sizeof *s);
    h->super->names = 0;
    damage_free(h);
}

static void damage_link(const alps_handle *h)
{
    some_entry(h)->node.next = 4096;
}

static void damage_named(const alps_handle *h)
{
    alps_off off = alps_offset_(h, some_entry(h));
    alps_block b;
    alps_object o;
    if (alps_object_at_(h, off, &o) == 1)
        o.pair->far ^= o.bit;
    else if (alps_block_at_(h, off, &b) == ALPS_USED)
        alps_code_set_(b.zone.codes, b.unit, ALPS_FREE);
}

/* Nothing tells what was in a slab: its block is one then. */
static void damage_slab(const alps_handle *h)
{
    wipe(alps_slab_head_(h, live_slab(h)), sizeof(alps_slab));
}

static const struct {
    const char *name;
    void (*damage)(const alps_handle *h);
} damages[] = {
    {"super", damage_super},
    {"spare", damage_spare},
    {"bit", damage_bit},
    {"size", damage_size},
    {"journal", damage_journal},
    {"epoch", damage_epoch},
    {"epochs", damage_epochs},
    {"done", damage_done},
    {"code", damage_code},
    {"kind", damage_kind},
    {"class", damage_class},
    {"mark", damage_mark},
    {"mark loose", damage_mark_loose},
    {"mark journal", damage_mark_journal},
    {"bare", damage_bare},
    {"held", damage_held},
    {"inside", damage_inside},
    {"behind", damage_behind},
    {"front", damage_front},
    {"pledge", damage_pledge},
    {"names", damage_names},
    {"link", damage_link},
    {"named", damage_named},
    {"slab", damage_slab},
};

/* Damages the medium, which nobody has open. Of "slab" the block that its
 * objects become; else `lost->n` is 0. */
void unit_damage(const char *name, struct sim_block *lost)
{
    const alps_handle *h = places();
    alps_block b;
    unsigned i = 0;
    memset(lost, 0, sizeof *lost);
    while (strcmp(damages[i].name, name))
        if (++i == sizeof damages / sizeof *damages)
            sim_fault("no damage is called %s", name);
    if (!strcmp(name, "slab") &&
        alps_block_at_(h, live_slab(h), &b) == ALPS_HELD) {
        lost->off = live_slab(h);
        lost->n = alps_zone_units_(&b.zone, b.unit) * ALPS_GRANULE;
    }
    damages[i].damage(h);
}

/* Repairs what is there. */
int unit_repair(void)
{
    sim_scratch(1);
    int err = alps_repair("sim", NULL);
    sim_scratch(0);
    return err;
}

/* What there is to be seen is made ready for it. A region that open refuses is
 * repaired; one that it does not is whole, though its names may yet have to
 * come back. */
static int ready(unsigned h, struct sim_view *v)
{
    int err = ALPS_OK;
    if (sim_repairs == SIM_REPAIRS_REFUSED && !unit_open(h, 0)) {
        if (checked(h, v))
            return v->err;
        if (sim_left_over == 0 || heaps[h].core.super->names)
            return failed(v, "", ALPS_OK);
        err = unit_close(h);
    }
    if (!err && sim_repairs)
        err = unit_repair();
    if (err)
        return failed(v, "alps_repair", err);
    return failed(v, "alps_open", unit_open(h, 0));
}
