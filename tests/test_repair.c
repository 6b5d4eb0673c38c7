/* test_repair.c -- damaged regions, put right
 *
 * A small region is damaged in each of its structures: open refuses it or check
 * names the damage; what can be saved is shown by a walk, read-only; repair
 * makes check pass, and what could be told is as it was. The power fails at
 * each sync of a repair, with any mixture of what was stored since the last
 * one: a second repair then leaves the same. */
#include "wreck.h"
#include <signal.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__aarch64__)
#  define MIXTURES 1u
#else
#  define MIXTURES 4u
#endif

#define THINGS 64u
#define NAMES 40u

static any_heap heap;
static unsigned char *whole; // the region as it was closed
static unsigned char *left;  // as its user left it, who died
static uint64_t length;

/* What is in it: objects, blocks and runs of extents, of which the root names
 * each; and names. */
static struct {
    alps_off off;
    uint64_t n;
} thing[THINGS];
static alps_off named[NAMES];
static alps_off hung; // what a pledge names
static uint64_t live; // blocks, as alps_check counts them

static void fill(void *p, uint64_t n, unsigned seed)
{
    for (uint64_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)(seed * 31 + i * 7 + 1);
}

static int filled(const void *p, uint64_t n, unsigned seed)
{
    for (uint64_t i = 0; i < n; i++)
        if (((const unsigned char *)p)[i] !=
            (unsigned char)(seed * 31 + i * 7 + 1))
            return 0;
    return 1;
}

static uint64_t size_of(unsigned i)
{
    return i % 21 == 7 ? 12000 : i % 9 == 4 ? 600 + i * 5 : 16 + i * 3 % 110;
}

static const char *name_of(unsigned i)
{
    static char name[16];
    snprintf(name, sizeof name, "name %u", i);
    return name;
}

static void keep(unsigned char **to)
{
    *to = (unsigned char *)malloc(length);
    CHECK(*to != NULL);
    memcpy(*to, scene.bytes, length);
}

static void make_things(void)
{
    alps_off *root = (alps_off *)any_root(&heap, THINGS * sizeof *root);
    for (unsigned i = 0; i < THINGS; i++) {
        void *p = any_reserve(&heap, size_of(i));
        CHECK(p != NULL);
        thing[i].n = size_of(i);
        thing[i].off = any_off_of(&heap, p);
        fill(p, thing[i].n, i);
        CHECK_EQ(any_publish(&heap, &root[i], p), 0);
    }
    for (unsigned i = 1; i < THINGS; i += 4) { // free runs between them
        CHECK_EQ(any_release(&heap, &root[i]), 0);
        thing[i].n = 0;
    }
}

static void make_names(void)
{
    for (unsigned i = 0; i < NAMES; i++) {
        void *p = any_construct(&heap, name_of(i), 24);
        CHECK(p != NULL);
        fill(p, 24, i);
        CHECK_EQ(any_redescribe(&heap, p, "what it is", 10), 0);
        named[i] = any_off_of(&heap, p);
    }
}

/* An object that is pledged to a region which never comes. */
static void make_pledge(void)
{
    alps_pledge *p = alps_pledge_at_(&heap.core, 3);
    p->region = 77;
    p->dest = 4096;
    CHECK_EQ(any_publish(&heap, &p->block, any_reserve(&heap, 48)), 0);
    hung = p->value = p->block;
}

static void build(void)
{
    alps_report r;
    CHECK_EQ(wreck_choose(), 0);
    CHECK_EQ(wreck_open(&heap, ALPS_CREATE), 0);
    make_things();
    make_names();
    make_pledge();
    CHECK_EQ(any_check(&heap, &r), 0);
    live = r.blocks;
    length = scene.length;
    CHECK(any_reserve(&heap, 100) != NULL);
    CHECK(any_reserve(&heap, 900) != NULL);
    keep(&left);
    CHECK_EQ(any_close(&heap), 0);
    keep(&whole);
}

static void put(const unsigned char *from)
{
    if (scene.length != length)
        image_length(&scene, length);
    memcpy(scene.bytes, from, length);
}

/* ---- looking */

static int count(void *context, void *p, size_t n)
{
    (void)p;
    (void)n;
    ++*(uint64_t *)context;
    return 0;
}

/* What may be gone: the thing, the name of these numbers; ~0: none. */
struct gone {
    unsigned thing, name;
};
static const struct gone none = {~0u, ~0u};

static unsigned things_here(const any_heap *h, struct gone g)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < THINGS; i++) {
        const void *p = any_at(h, thing[i].off);
        if (thing[i].n && i != g.thing)
            bad += !p || any_usable(h, p) < thing[i].n ||
                   !filled(p, thing[i].n, i);
    }
    return bad;
}

static unsigned names_here(any_heap *h, struct gone g)
{
    unsigned bad = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        size_t n = 0;
        const void *p = any_find(h, name_of(i), &n);
        if (i != g.name)
            bad += !p || any_off_of(h, p) != named[i] || n != 24 ||
                   !filled(p, 24, i);
    }
    return bad;
}

/* Opens it as any program does: all is well, and can be used. */
static int is_well(struct gone g)
{
    alps_report r;
    memset(&r, 0, sizeof r);
    int err = wreck_open(&heap, 0);
    CHECK_EQ(err, 0);
    if (err)
        return err;
    CHECK_EQ(any_check(&heap, &r), 0);
    if (r.problems)
        printf("  %s at %llx\n", r.first[0].text,
               (unsigned long long)r.first[0].off);
    CHECK_EQ(things_here(&heap, g), 0);
    CHECK_EQ(names_here(&heap, g), 0);
    void *p = any_alloc(&heap, 500);
    void *q = any_construct(&heap, "later", 30);
    CHECK(p && q);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_destroy(&heap, "later"), 0);
    CHECK_EQ(any_check(&heap, NULL), 0);
    CHECK_EQ(any_close(&heap), 0);
    return 0;
}

/* Looks at what is damaged without changing it: 1 if check has a word for it.
 * A walk sees no more than there is. */
static int is_named(const char *text)
{
    static unsigned char before[IMAGE_ROOM];
    alps_report r;
    uint64_t n = 0, skipped = 0;
    int has = 0;
    memcpy(before, scene.bytes, scene.length);
    int err = wreck_open(&heap, ALPS_SALVAGE);
    CHECK_EQ(err, 0);
    if (err)
        return 0;
    (void)any_check(&heap, &r);
    for (unsigned i = 0; i < ALPS_PROBLEMS && i < r.problems; i++)
        has |= !text || strcmp(r.first[i].text, text) == 0;
    if (!has && r.problems)
        printf("  %s\n", r.first[0].text);
    CHECK_EQ(any_salvage(&heap, count, &n, &skipped), 0);
    CHECK(n <= live + 2 * THINGS);
    CHECK(any_alloc(&heap, 16) == NULL);
    CHECK_EQ(any_close(&heap), 0);
    CHECK(!memcmp(before, scene.bytes, scene.length));
    return has;
}

/* Repairs the scene; the power fails on the way, at each barrier, and behind
 * the last one. */
static int repair(struct gone g, alps_repaired *r)
{
    static unsigned char damaged[IMAGE_ROOM];
    static unsigned long at;
    static unsigned k;
    static uint64_t n;
    n = scene.length;
    memcpy(damaged, scene.bytes, n);
    wreck_begin(~0ul);
    int err = any_repair(image_path(&scene), r);
    unsigned long barriers = wreck_barriers;
    wreck_begin(0);
    for (at = 1; !err && at <= barriers; at++)
        for (k = 0; k < MIXTURES; k++) {
            if (scene.length != n)
                image_length(&scene, n);
            memcpy(scene.bytes, damaged, n);
            wreck_begin(at);
            if (!setjmp(wreck_back))
                (void)any_repair(image_path(&scene), NULL);
            wreck_begin(0);
            int again = any_repair(image_path(&scene), NULL);
            CHECK_EQ(again, 0);
            if (again || is_well(g)) {
                printf("  after power failed at %lu of %lu\n", at, barriers);
                return -1;
            }
        }
    for (k = 0; !err && k < MIXTURES; k++) { // and when it has answered
        if (scene.length != n)
            image_length(&scene, n);
        memcpy(scene.bytes, damaged, n);
        wreck_begin(~0ul);
        CHECK_EQ(any_repair(image_path(&scene), NULL), 0);
        wreck_mix();
        wreck_begin(0);
        if (is_well(g)) {
            printf("  after power failed behind it\n");
            return -1;
        }
    }
    if (scene.length != n)
        image_length(&scene, n);
    memcpy(scene.bytes, damaged, n);
    CHECK_EQ(any_repair(image_path(&scene), r), err);
    return err;
}

/* The scene is damaged: open says `code`, check `text` (NULL: anything); and it
 * is put right, with nothing lost but `g`. */
static void heals(int code, const char *text, struct gone g, alps_repaired *r)
{
    static unsigned char damaged[IMAGE_ROOM];
    memcpy(damaged, scene.bytes, scene.length);
    if (code)
        CHECK_EQ(wreck_open(&heap, 0), code);
    CHECK(is_named(text));
    CHECK_EQ(repair(g, r), 0);
    CHECK_EQ(r->refused, code);
    CHECK(r->report.problems > 0);
    CHECK(r->mended + r->lost + r->doubtful == r->report.problems);
    CHECK(!is_named(NULL));
    is_well(g);
}

/* A handle that only tells where things are. */
static const alps_handle *places(void)
{
    static alps_handle h;
    memset(&h, 0, sizeof h);
    h.map.base = scene.bytes;
    h.map.size = h.map.length = scene.length;
    h.crc = alps_crc_kind_();
    h.super = (alps_superblock *)(void *)scene.bytes;
    const alps_superblock *s = (const alps_superblock *)(const void *)whole;
    CHECK_EQ(alps_geometry_init_(&h.at, s->limit, s->extent_shift, s->lanes,
                                 s->processes, s->small, s->shards),
             0);
    alps_region_place_(&h);
    return &h;
}

/* ---- nothing to be done */

static void what_is_whole_is_not_touched(void)
{
    alps_repaired r;
    put(whole);
    CHECK_EQ(any_repair(image_path(&scene), &r), 0);
    CHECK_EQ(r.report.problems, 0);
    CHECK(!memcmp(scene.bytes, whole, length));
    put(left); // died in no operation
    CHECK_EQ(any_repair(image_path(&scene), &r), 0);
    CHECK_EQ(r.report.problems, 0);
    CHECK(!memcmp(scene.bytes, left, length));
    is_well(none);
    put(whole);
    memset(scene.bytes + ALPS_SPARE, 0, ALPS_SUPER_FIXED_); // an older region
    CHECK(!is_named(NULL));
    CHECK_EQ(any_repair(image_path(&scene), &r), 0);
    CHECK_EQ(r.report.problems, 0);
}

static void what_is_no_region_is_refused(void)
{
    alps_repaired r;
    uint64_t making = ALPS_STATE_MAKING;
    put(whole);
    memset(scene.bytes, 'x', 4096);
    CHECK_EQ(any_repair(image_path(&scene), &r), ALPS_EFORMAT);
    CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE), ALPS_EFORMAT);
    put(whole);
    memcpy(scene.bytes + offsetof(alps_superblock, state), &making, 8);
    CHECK_EQ(any_repair(image_path(&scene), &r), ALPS_EUNFINISHED);
    put(whole); // another version, whose sum is right
    alps_handle h = *places();
    alps_superblock s = *h.super;
    s.layout = ALPS_LAYOUT + 1;
    s.crc = alps_super_sum_(&h, &s);
    memcpy(scene.bytes, &s, ALPS_SUPER_FIXED_);
    memset(scene.bytes + ALPS_SPARE, 0, ALPS_SUPER_FIXED_);
    CHECK_EQ(any_repair(image_path(&scene), &r), ALPS_EVERSION);
    put(whole); // two fields, and no spare
    scene.bytes[40] ^= 0xff;
    scene.bytes[50] ^= 0xff;
    memset(scene.bytes + ALPS_SPARE, 0, ALPS_SUPER_FIXED_);
    CHECK_EQ(any_repair(image_path(&scene), &r), ALPS_ECORRUPT);
    CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE), ALPS_ECORRUPT);
    CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE | ALPS_CREATE), ALPS_EINVAL);
}

static void who_has_it_open_is_not_disturbed(void)
{
    alps_repaired r;
    choose(&alps_backend_shmem_, &alps_policy_none_);
    char name[64];
    snprintf(name, sizeof name, "alps-test-%d-repair", (int)getpid());
    CHECK_EQ(any_open(&heap, name, NULL), 0);
    CHECK_EQ(any_repair(name, &r), ALPS_EBUSY);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_repair(name, &r), 0);
    CHECK_EQ(any_remove(name), 0);
    CHECK_EQ(any_repair(name, &r), ALPS_ENOENT);
    CHECK_EQ(wreck_choose(), 0);
}

/* ---- the first page */

static void each_field_of_the_superblock_has_a_spare(void)
{
    for (uint64_t at = 0; at < ALPS_SUPER_FIXED_; at += 4) {
        alps_repaired r;
        put(whole);
        for (unsigned i = 0; i < 4; i++)
            scene.bytes[at + i] ^= (unsigned char)(0x5a + i);
        int code = wreck_open(&heap, 0);
        CHECK(code < 0);
        heals(code, "the superblock is damaged", none, &r);
        CHECK_EQ(r.mended, 1);
        CHECK_EQ(r.lost + r.doubtful, 0);
    }
}

static void the_spare_is_mended_from_the_superblock(void)
{
    for (uint64_t at = 0; at < ALPS_SUPER_FIXED_; at += 8) {
        alps_repaired r;
        put(whole);
        scene.bytes[ALPS_SPARE + at] ^= 0x11;
        CHECK(is_named("the spare of the superblock differs"));
        CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        CHECK_EQ(r.refused, 0);
        CHECK(!memcmp(scene.bytes, whole, length));
    }
}

/* A region that is older than spares. */
static void one_bit_is_found_by_the_checksum(void)
{
    for (uint64_t bit = 0; bit < 8 * ALPS_SUPER_FIXED_; bit += 5) {
        alps_repaired r;
        put(whole);
        memset(scene.bytes + ALPS_SPARE, 0, ALPS_SUPER_FIXED_);
        scene.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        CHECK_EQ(r.mended, 1);
        CHECK(!memcmp(scene.bytes, whole, length));
    }
}

static void the_other_words_of_the_first_page(void)
{
    static const struct {
        uint64_t at, value;
        int code;
        const char *text;
    } word[] = {
        {offsetof(alps_superblock, size), 0x1234, ALPS_ECORRUPT, NULL},
        {offsetof(alps_superblock, epoch), 0x1234, ALPS_ECORRUPT, NULL},
        {offsetof(alps_superblock, journal), 99, ALPS_EJOURNAL,
         "the journal is not there"},
        {ALPS_BARE, 7, 0, "neither a copy nor none"},
        {ALPS_LOOSE, 1, ALPS_ECORRUPT, "the newest bytes were not written"},
        {ALPS_LOOSE, 7, ALPS_ECORRUPT, "the newest bytes were not written"},
    };
    for (unsigned i = 0; i < sizeof word / sizeof *word; i++) {
        alps_repaired r;
        put(i % 2 ? left : whole);
        memcpy(scene.bytes + word[i].at, &word[i].value, 8);
        heals(word[i].code, word[i].text, none, &r);
    }
}

/* Epochs are counted from 1 again; what earlier ones left in extents and slabs
 * is not taken for their own. */
static void an_epoch_of_which_there_is_no_trace(void)
{
    const alps_handle *h = places();
    alps_repaired r;
    put(left);
    memset(scene.bytes + offsetof(alps_superblock, epoch), 0x55, 8);
    memset(h->lanes, 0, h->at.lane_count * sizeof *h->lanes);
    memset(h->shards, 0, (h->at.shard_count + 1) * sizeof *h->shards);
    for (uint64_t e = 0; e < alps_extents_(h); e++)
        if (alps_extent_heap_(h, e)) // as the second of all left it
            alps_extent_(h, e)->built =
                2ull << ALPS_BUILD_EPOCH_ | ALPS_SHARDS_MAX;
    heals(ALPS_ECORRUPT, "the superblock is damaged", none, &r);
    for (unsigned i = 0; i < 4; i++)
        is_well(none);
}

/* The end is cut off: what was before it is there. */
static void a_medium_that_is_shorter(void)
{
    for (uint64_t n = length - 1; n > length - 40000; n -= 4999) {
        alps_repaired r;
        alps_report report;
        uint64_t skipped = 0, seen = 0;
        put(whole);
        image_length(&scene, n);
        CHECK_EQ(wreck_open(&heap, 0), ALPS_ETRUNCATED);
        CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE), 0);
        CHECK_EQ(any_check(&heap, &report), ALPS_ECORRUPT);
        CHECK_EQ(any_salvage(&heap, count, &seen, &skipped), 0);
        CHECK(seen > 0 && skipped >= length - n);
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        CHECK_EQ(r.refused, ALPS_ETRUNCATED);
        CHECK(r.lost >= 1 && r.bytes >= length - n && r.first >= n);
        CHECK_EQ(wreck_open(&heap, 0), 0);
        CHECK_EQ(any_check(&heap, NULL), 0);
        for (unsigned i = 0; i < THINGS; i++)
            if (thing[i].n && thing[i].off + thing[i].n <= n - 8192)
                CHECK(filled(any_at(&heap, thing[i].off), thing[i].n, i));
        CHECK_EQ(any_close(&heap), 0);
    }
    put(whole);
    image_length(&scene, 8192);
    CHECK_EQ(any_repair(image_path(&scene), NULL), ALPS_ETRUNCATED);
}

/* ---- codes, kinds, slabs */

/* What is in an extent has not changed; that it is a heap extent is told by its
 * slabs, or by its kind and its map. */
static void an_extent_that_lost_its_code(void)
{
    const alps_handle *h = places();
    unsigned heaps = 0;
    for (uint64_t e = 0; e < alps_extents_(h); e++) {
        alps_repaired r;
        put(whole);
        if (!alps_extent_heap_(h, e) || !alps_restore_marked_(h, e))
            continue;
        alps_code_set_(h->codes, e, ALPS_INSIDE);
        heals(0, NULL, none, &r);
        put(left);
        alps_code_set_(h->codes, e, ALPS_FREE);
        heals(0, "a slab outside of the heap extents", none, &r);
        put(whole);
        alps_extent_kind_set_(h, e, 0);
        heals(0, "a slab outside of the heap extents", none, &r);
        heaps++;
    }
    CHECK(heaps > 2);
}

static void all_codes_of_extents_are_zeroes(void)
{
    alps_repaired r;
    put(whole);
    memset(scene.bytes + places()->at.codes, 0, 16);
    CHECK(is_named(NULL));
    CHECK_EQ(any_repair(image_path(&scene), &r), 0);
    CHECK_EQ(wreck_open(&heap, 0), 0);
    CHECK_EQ(any_check(&heap, NULL), 0);
    for (unsigned i = 0; i < THINGS; i++) // large ones may be parts of others
        if (thing[i].n)
            CHECK(filled(any_at(&heap, thing[i].off), thing[i].n, i));
    CHECK_EQ(names_here(&heap, none), 0);
    CHECK_EQ(any_close(&heap), 0);
}

static void the_front_of_a_map(void)
{
    const alps_handle *h = places();
    for (uint64_t e = 0; e < alps_extents_(h); e++) {
        alps_repaired r;
        put(whole);
        if (!alps_extent_heap_(h, e))
            continue;
        alps_zone z = alps_zone_extent_(h, e);
        alps_code_set_(z.codes, 1 + e % 4, ALPS_USED);
        heals(0, "a code where no block can start", none, &r);
        CHECK_EQ(r.lost + r.doubtful, 0);
        put(whole);
        alps_code_set_(z.codes, z.first, ALPS_INSIDE);
        heals(0, "the first block has no start", none, &r);
        CHECK_EQ(r.lost, 0);
    }
}

/* A large object whose kind says that it is a heap extent: not a byte of it
 * changes. */
static void a_large_object_of_another_kind(void)
{
    const alps_handle *h = places();
    unsigned n = 0;
    for (unsigned i = 0; i < THINGS; i++) {
        alps_repaired r;
        if (thing[i].n < 8192)
            continue;
        put(n % 2 ? whole : left);
        alps_extent_kind_set_(
            h, (thing[i].off - h->at.heap) >> h->at.extent_shift, 1);
        heals(0, NULL, none, &r);
        n++;
    }
    CHECK(n > 1);
}

/* Calls `damage` for each slab that has live objects. */
static void each_slab(void (*damage)(const alps_handle *, alps_off))
{
    unsigned n = 0;
    const alps_handle *h = places();
    for (alps_off off = h->at.heap; off < h->at.slab_end;
         off += 1ull << h->at.slab_shift) {
        put(n % 2 ? left : whole);
        if (!alps_slab_is_(h, off))
            continue;
        alps_slab s = *alps_slab_head_(h, off);
        if (!alps_slab_derive_(h, &s) ||
            !alps_restore_live_(h, alps_slab_head_(h, off), &s, 0))
            continue;
        damage(h, off);
        n++;
    }
    CHECK(n > 4);
}

static void loses_mark(const alps_handle *h, alps_off off)
{
    alps_repaired r;
    alps_slab_mark_(h, off, 0);
    CHECK_EQ(repair(none, &r), 0);
    CHECK(r.mended > 0);
    is_well(none);
}

static void loses_class(const alps_handle *h, alps_off off)
{
    alps_repaired r;
    alps_slab_head_(h, off)->kind = 4711;
    heals(0, "a slab of no class", none, &r);
    CHECK_EQ(r.lost, 0);
}

static void loses_codes(const alps_handle *h, alps_off off)
{
    alps_repaired r;
    alps_block b;
    CHECK_EQ(alps_block_at_(h, off, &b), ALPS_HELD);
    alps_code_set_(b.zone.codes, b.unit, ALPS_INSIDE);
    heals(0, NULL, none, &r);
    CHECK_EQ(r.lost, 0);
    put(whole);
    alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    heals(0, "a slab that no block holds", none, &r);
    put(whole);
    if (alps_zone_units_(&b.zone, b.unit) < 3)
        return;
    alps_code_set_(b.zone.codes, b.unit + 2, ALPS_USED);
    heals(0, "a slab that no block holds", none, &r);
}

static void gains_objects(const alps_handle *h, alps_off off)
{
    alps_repaired r;
    alps_slab s = *alps_slab_head_(h, off);
    CHECK(alps_slab_derive_(h, &s));
    if (s.count == 64 * h->at.groups)
        return;
    alps_pair *pair = &alps_slab_pairs_(alps_slab_head_(h, off))[s.count / 64];
    pair->far ^= 1ull << s.count % 64;
    heals(0, "a live object behind a slab's end", none, &r);
    CHECK_EQ(r.lost, 0);
}

/* Where a word of the first page keeps others out, an open is refused until all
 * is right: it would free the slab. */
static void loses_mark_and_is_refused(const alps_handle *h, alps_off off)
{
    static unsigned char damaged[IMAGE_ROOM];
    static unsigned long at;
    static unsigned k;
    unsigned long barriers;
    uint64_t one = 1;
    alps_slab_mark_(h, off, 0);
    memcpy(scene.bytes + ALPS_LOOSE, &one, 8);
    memcpy(damaged, scene.bytes, scene.length);
    wreck_begin(~0ul);
    CHECK_EQ(any_repair(image_path(&scene), NULL), 0);
    barriers = wreck_barriers;
    for (at = 1; at <= barriers; at++)
        for (k = 0; k < 4 * MIXTURES; k++) {
            memcpy(scene.bytes, damaged, scene.length);
            wreck_begin(at);
            if (!setjmp(wreck_back))
                (void)any_repair(image_path(&scene), NULL);
            wreck_begin(0);
            int err = wreck_open(&heap, 0);
            if (err) {
                CHECK_EQ(err, ALPS_ECORRUPT);
                continue;
            }
            CHECK_EQ(any_close(&heap), 0);
            is_well(none);
        }
}

static void a_slab_that_is_not_marked_and_a_word_that_refuses(void)
{
    each_slab(loses_mark_and_is_refused);
}

static void a_slab_that_is_not_marked(void)
{
    each_slab(loses_mark);
}

static void a_slab_of_no_class(void)
{
    each_slab(loses_class);
}

static void a_slab_without_a_block(void)
{
    each_slab(loses_codes);
}

static void live_objects_behind_the_end(void)
{
    each_slab(gains_objects);
}

/* What was a slab is a block that is live, with all that was in it. */
static void is_one_block(const alps_handle *h, alps_off place)
{
    unsigned seen = 0;
    CHECK_EQ(wreck_open(&heap, 0), 0);
    CHECK_EQ(any_check(&heap, NULL), 0);
    for (unsigned i = 0; i < THINGS; i++) {
        const void *p = any_at(&heap, thing[i].off);
        if (thing[i].n && alps_slab_place_(h, thing[i].off) == place)
            seen += (unsigned)filled(p, thing[i].n, i);
    }
    CHECK(seen > 0);
    CHECK(alps_check_live_(&heap.core, place, 512));
    CHECK_EQ(any_close(&heap), 0);
}

/* Nothing tells what was in it: its memory stays as it is, as one block. */
static void a_slab_of_which_nothing_is_left(void)
{
    static unsigned char damaged[IMAGE_ROOM];
    static unsigned long at;
    static alps_off place;
    const alps_handle *h = places();
    static alps_repaired r;
    place = 0;
    for (unsigned i = 0; i < THINGS && !place; i++)
        if (thing[i].n && thing[i].n <= h->at.small)
            place = alps_slab_place_(h, thing[i].off);
    put(whole);
    memset(alps_slab_head_(h, place), 0xee, sizeof(alps_slab));
    CHECK(is_named("a slab of no class"));
    uint64_t n = 0, skipped = 0;
    CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE), 0);
    CHECK_EQ(any_salvage(&heap, count, &n, &skipped), 0);
    CHECK(skipped >= 512 && n < live);
    CHECK_EQ(any_close(&heap), 0);
    memcpy(damaged, scene.bytes, length);
    for (at = 1; at <= 32 * MIXTURES; at++) {
        memcpy(scene.bytes, damaged, length);
        wreck_begin(at % 4);
        if (!setjmp(wreck_back))
            CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        wreck_begin(0);
        if (at % 4 == 0)
            CHECK(r.lost >= 1 && r.bytes >= 512 && r.first == place);
        CHECK_EQ(any_repair(image_path(&scene), NULL), 0);
        is_one_block(h, place);
    }
}
/* A mark is set where there is no slab. */
static void marks_without_slabs(void)
{
    const alps_handle *h = places();
    for (alps_off off = 0; off < h->at.slab_end;
         off += 1ull << h->at.slab_shift) {
        alps_repaired r;
        put(off & 1024 ? whole : left);
        if (alps_slab_is_(h, off))
            continue;
        alps_slab_mark_(h, off, 1);
        CHECK(is_named(NULL));
        CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        CHECK(r.mended + r.lost > 0);
        is_well(none);
    }
}

/* ---- names */

static void each_link_of_the_list(void)
{
    const alps_handle *h = places();
    put(whole);
    alps_names *s = alps_node_names_(h);
    CHECK(s != NULL);
    unsigned n = 0;
    for (alps_off at = alps_offset_(h, &s->first[0]); at; n++) {
        alps_repaired r;
        static const uint64_t odd[] = {0, 8, 4096, 1ull << 40, 64 << 10};
        put(whole);
        alps_node *node = (alps_node *)alps_address_(h, at);
        at = node->next;
        node->next = odd[n % 5];
        if (at == node->next) // it was the last
            continue;
        if (n % 5)
            heals(0, NULL, none, &r);
        CHECK_EQ(repair(none, &r), 0);
        is_well(none);
    }
    CHECK(n > NAMES);
}

static void the_word_that_leads_to_names(void)
{
    static const uint64_t odd[] = {0, 8, 4096, 1ull << 40, 65536, 131072};
    for (unsigned i = 0; i < 6; i++) {
        alps_repaired r;
        put(i % 2 ? left : whole);
        memcpy(scene.bytes + offsetof(alps_superblock, names), &odd[i], 8);
        if (odd[i])
            heals(0, NULL, none, &r);
        CHECK_EQ(repair(none, &r), 0);
        is_well(none);
    }
}

static void what_names_are_found_by(void)
{
    const alps_handle *h = places();
    alps_repaired r;
    put(whole);
    for (unsigned i = 0; i < sizeof(alps_names) / 8; i += 3) {
        put(whole);
        uint64_t *word = (uint64_t *)(void *)alps_node_names_(h);
        word[i] = 0x4141414141414141ull;
        CHECK_EQ(repair(none, &r), 0);
        is_well(none);
    }
}

/* Its checksum is wrong: that name is given up, and the block is there. */
static void an_entry_that_is_damaged(void)
{
    const alps_handle *h = places();
    for (unsigned i = 0; i < NAMES; i += 7) {
        alps_repaired r;
        struct gone g = {~0u, i};
        put(whole);
        const void *p = scene.bytes + named[i];
        alps_entry *e = alps_named_entry_(h, p);
        CHECK(e != NULL);
        e->count ^= 1;
        heals(0, "a named object is damaged", g, &r);
        CHECK(r.lost >= 1);
    }
}

/* The code or the bit of a named object says that it is free. */
static void a_named_object_that_is_not_live(void)
{
    const alps_handle *h = places();
    for (unsigned i = 0; i < NAMES; i += 5) {
        alps_repaired r;
        alps_block b;
        alps_object o;
        put(whole);
        alps_off off =
            alps_offset_(h, alps_named_entry_(h, scene.bytes + named[i]));
        if (alps_object_at_(h, off, &o) == 1)
            o.pair->far ^= o.bit;
        else if (alps_block_at_(h, off, &b) == ALPS_USED)
            alps_code_set_(b.zone.codes, b.unit, ALPS_FREE);
        heals(0, "a named object is no live block", none, &r);
        CHECK_EQ(r.lost, 0);
    }
}

static void a_description_that_is_none(void)
{
    const alps_handle *h = places();
    alps_repaired r;
    put(whole);
    alps_named_entry_(h, scene.bytes + named[3])->text = 4096;
    heals(0, "a description is no live block", none, &r);
    CHECK_EQ(r.lost, 1);
}

/* ---- pledges, lanes, logs */

static void pledges_of_what_is_not(void)
{
    const alps_handle *h = places();
    alps_repaired r;
    put(whole);
    alps_pledge_at_(h, 5)->block = 64;
    heals(0, "a pledge of what is not live", none, &r);
    CHECK_EQ(r.lost, 1);
    CHECK_EQ(alps_pledge_at_(h, 3)->block, hung);
    put(whole);
    alps_pledge_at_(h, 3)->wide = 9;
    heals(0, "a pledge whose link can be nowhere", none, &r);
    CHECK_EQ(r.doubtful, 1);
    CHECK_EQ(alps_pledge_at_(h, 3)->block, 0);
    put(whole);
    *alps_pledge_at_(h, 9) = *alps_pledge_at_(h, 3);
    heals(0, "an object that is pledged twice", none, &r);
    CHECK_EQ(r.lost, 1);
    CHECK_EQ(alps_pledge_at_(h, 3)->block, hung);
    CHECK_EQ(alps_pledge_at_(h, 9)->block, 0);
}

/* A tie of a link in the root area, by a wide pointer or by a packed one. */
static alps_pledge *put_tie(const alps_handle *h, int wide)
{
    alps_pledge *p = alps_pledge_at_(h, 6);
    put(whole);
    memset(p, 0, sizeof *p);
    p->owner = 1ull << 40; // nobody's
    p->region = 77;
    p->dest = ALPS_PAGE + 8;
    p->value = 4096 | (wide ? 0 : 3ull << 48);
    p->wide = (uint64_t)wide;
    p->tied = ALPS_TIE_LINK;
    ((uint64_t *)alps_address_(h, ALPS_NEIGHBOURS))[2] = 77;
    return p;
}

static void tie_heals(alps_pledge *p, const char *text)
{
    alps_repaired r;
    heals(0, text, none, &r);
    CHECK_EQ(r.lost, 1);
    CHECK_EQ(p->tied, 0);
}

static void ties_of_what_is_not(void)
{
    const alps_handle *h = places();
    uint64_t own = alps_space_id_(h->super->uuid);
    for (int wide = 0; wide < 2; wide++) {
        const uint64_t dest[] = {0,
                                 8,
                                 ALPS_PAGE + 3,
                                 alps_size_(h),
                                 ~7ull,
                                 ALPS_PAGE + ALPS_ROOT_SIZE,
                                 wide ? ALPS_PAGE : 16};
        alps_pledge *p = put_tie(h, wide);
        CHECK_EQ(is_well(none), 0); // one that waits for its region is right
        CHECK_EQ(p->tied, ALPS_TIE_LINK);
        for (unsigned i = 0; i < sizeof dest / sizeof *dest; i++) {
            put_tie(h, wide)->dest = dest[i];
            tie_heals(p, "a tie whose link can be nowhere");
        }
        put_tie(h, wide)->region = 0;
        tie_heals(p, "a tie whose link can be nowhere");
        put_tie(h, wide)->region = own;
        tie_heals(p, "a tie whose link can be nowhere");
        put_tie(h, wide)->wide = 2;
        tie_heals(p, "a tie whose link can be nowhere");
        put_tie(h, wide)->value &= ~4096ull;
        tie_heals(p, "a tie whose link can be nowhere");
        put_tie(h, wide)->tied = 3;
        tie_heals(p, "a tie of no kind");
    }
    put_tie(h, 0)->value += 1ull << 48; // of a neighbour that there is not
    tie_heals(alps_pledge_at_(h, 6), "a tie whose link can be nowhere");
    put_tie(h, 0)->region = 78; // of another one
    tie_heals(alps_pledge_at_(h, 6), "a tie whose link can be nowhere");
    alps_repaired r;
    put_tie(h, 1)->block = hung; // in a pledge
    alps_pledge_at_(h, 3)->block = 0;
    heals(0, "a tie of no kind", none, &r);
    CHECK_EQ(r.lost, 1);
}

static void words_of_lanes(void)
{
    const alps_handle *h = places();
    alps_repaired r;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        put(i % 2 ? left : whole);
        h->done[i].seq = ~0ull;
        CHECK_EQ(repair(none, &r), 0);
        CHECK_EQ(r.mended, 1);
        is_well(none);
        put(whole);
        h->done[i].tx = 1ull << 60;
        CHECK_EQ(repair(none, &r), 0);
        is_well(none);
        put(left);
        memset(&h->lanes[i], 0xa5, sizeof(alps_lane));
        CHECK_EQ(repair(none, &r), 0);
        is_well(none);
    }
}

/* Words of a lane that is open, and what they lead to, are seen by check. */
static void lanes_that_are_open(void)
{
    alps_report r;
    alps_tx t;
    put(whole);
    CHECK_EQ(wreck_open(&heap, 0), 0);
    alps_lane *lane = &heap.core.lanes[heap.core.at.lane_count - 1];
    lane->limbo = 4096;
    CHECK_EQ(any_check(&heap, &r), ALPS_ECORRUPT);
    lane->limbo = 0;
    lane->pending = 17;
    CHECK_EQ(any_check(&heap, &r), ALPS_ECORRUPT);
    lane->pending = 0;
    heap.core.done[1].seq = 1ull << 50;
    CHECK_EQ(any_check(&heap, &r), ALPS_ECORRUPT);
    heap.core.done[1].seq = 0;
    heap.core.shared->limbo = 12345;
    CHECK_EQ(any_check(&heap, &r), ALPS_ECORRUPT);
    heap.core.shared->limbo = 0;
    CHECK_EQ(any_check(&heap, &r), 0);
    CHECK_EQ(any_begin(&heap, &t), 0);
    uint64_t *root = (uint64_t *)any_root(&heap, 8);
    CHECK_EQ(any_tx_snapshot(&t, &root[100], 800), 0);
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(any_tx_set(&t, &root[300 + i], i), 0);
    CHECK_EQ(any_check(&heap, &r), 0);
    alps_draft *o = alps_tx_draft_(&t);
    CHECK(o && o->log.chunk);
    alps_off *before = (alps_off *)alps_address_(&heap.core, o->log.chunk);
    alps_off was = *before;
    CHECK(was != 0);
    *before = 4096;
    CHECK_EQ(any_check(&heap, &r), ALPS_ECORRUPT);
    *before = was;
    CHECK_EQ(any_check(&heap, &r), 0);
    CHECK_EQ(any_abort(&t), 0);
    CHECK_EQ(any_close(&heap), 0);
}

/* A process died in a transaction, and the superblock is damaged: repair ends
 * the one by the other's spare. */
static void a_transaction_that_was_under_way(void)
{
    static unsigned long at;
    for (at = 1; at <= 6; at++) {
        alps_repaired r;
        static alps_tx t;
        put(whole);
        CHECK_EQ(wreck_open(&heap, 0), 0);
        uint64_t *root = (uint64_t *)any_root(&heap, 8);
        uint64_t *word = &root[200];
        wreck_begin(at);
        if (!setjmp(wreck_back)) {
            CHECK_EQ(any_begin(&heap, &t), 0);
            CHECK_EQ(any_tx_snapshot(&t, word, 256), 0);
            for (unsigned i = 0; i < 32; i++)
                word[i] = 1;
            for (unsigned i = 0; i < 40; i++)
                CHECK_EQ(any_tx_set(&t, &word[100 + i], 1), 0);
            CHECK_EQ(any_commit(&t), 0);
        }
        wreck_begin(0);
        alps_local_close_(&heap.core);
        scene.bytes[32] ^= 0x7f;
        CHECK_EQ(wreck_open(&heap, 0), ALPS_ECORRUPT);
        CHECK_EQ(repair(none, &r), 0);
        CHECK_EQ(wreck_open(&heap, 0), 0);
        CHECK_EQ(any_check(&heap, NULL), 0);
        root = (uint64_t *)any_root(&heap, 8);
        uint64_t all = root[200] + root[200 + 31] + root[300] + root[339];
        CHECK(all == 0 || all == 4);
        CHECK_EQ(any_close(&heap), 0);
    }
}

/* ---- all at once */

/* Whatever it is, a repair ends, with a code or with a region that check has
 * nothing to say of; and doing it once more changes nothing. */
static void many_changes_at_once(void)
{
    static unsigned char once[IMAGE_ROOM];
    unsigned done = 0;
    for (unsigned round = 0; round < 2000 * MIXTURES; round++) {
        alps_repaired r;
        put(round & 1 ? whole : left);
        for (unsigned n = 1 + round % 30; n; n--) {
            uint64_t at = wreck_throw(length - 64);
            memset(scene.bytes + at, (int)wreck_throw(256),
                   wreck_throw(8) ? 1 + wreck_throw(8) : 64);
        }
        if (any_repair(image_path(&scene), &r))
            continue;
        memcpy(once, scene.bytes, length);
        CHECK_EQ(any_repair(image_path(&scene), &r), 0);
        CHECK_EQ(r.report.problems, 0);
        CHECK(!memcmp(once, scene.bytes, length));
        uint64_t n = 0, skipped = 1;
        CHECK_EQ(wreck_open(&heap, ALPS_SALVAGE), 0);
        CHECK_EQ(any_check(&heap, &r.report), 0);
        CHECK_EQ(any_salvage(&heap, count, &n, &skipped), 0);
        CHECK_EQ(skipped, 0);
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(wreck_open(&heap, 0), 0);
        CHECK_EQ(any_check(&heap, NULL), 0);
        CHECK_EQ(any_close(&heap), 0);
        if (check_bad_) {
            printf("  round %u: %s at %llx\n", round,
                   r.report.first[0].text ? r.report.first[0].text : "",
                   (unsigned long long)r.report.first[0].off);
            return;
        }
        done++;
    }
    CHECK(done > 100);
}

/* In a file, by way of the system, under checkpoint: what a crash left in the
 * journal is there when the superblock is read again. */
static void a_file_with_a_journal(void)
{
    char path[64];
    alps_repaired r;
    snprintf(path, sizeof path, "/dev/shm/alps-test-%d-repair", (int)getpid());
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    pid_t pid = fork();
    if (!pid) {
        alps_options o = wreck_options();
        o.flags = ALPS_CREATE;
        if (any_open(&heap, path, &o))
            _exit(1);
        uint64_t *root = (uint64_t *)any_root(&heap, 8);
        root[7] = 4711;
        if (any_sync(&heap))
            _exit(2);
        root[7] = 1;
        raise(SIGKILL);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint64_t bad = 0x123456789abcdefull;
    CHECK(pwrite(fd, &bad, 8, 0) == 8);
    close(fd);
    CHECK_EQ(any_open(&heap, path, NULL), ALPS_EFORMAT);
    CHECK_EQ(any_repair(path, &r), 0);
    CHECK_EQ(r.refused, ALPS_EFORMAT);
    CHECK_EQ(r.lost, 0);
    CHECK_EQ(any_open(&heap, path, NULL), 0);
    CHECK_EQ(any_check(&heap, NULL), 0);
    CHECK_EQ(((uint64_t *)any_root(&heap, 64))[7], 4711);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(wreck_choose(), 0);
}

int main(void)
{
    build();
    RUN(what_is_whole_is_not_touched);
    RUN(what_is_no_region_is_refused);
    RUN(who_has_it_open_is_not_disturbed);
    RUN(each_field_of_the_superblock_has_a_spare);
    RUN(the_spare_is_mended_from_the_superblock);
    RUN(one_bit_is_found_by_the_checksum);
    RUN(the_other_words_of_the_first_page);
    RUN(an_epoch_of_which_there_is_no_trace);
    RUN(a_medium_that_is_shorter);
    RUN(an_extent_that_lost_its_code);
    RUN(all_codes_of_extents_are_zeroes);
    RUN(the_front_of_a_map);
    RUN(a_large_object_of_another_kind);
    RUN(a_slab_that_is_not_marked);
    RUN(a_slab_that_is_not_marked_and_a_word_that_refuses);
    RUN(a_slab_of_no_class);
    RUN(a_slab_without_a_block);
    RUN(live_objects_behind_the_end);
    RUN(a_slab_of_which_nothing_is_left);
    RUN(marks_without_slabs);
    RUN(each_link_of_the_list);
    RUN(the_word_that_leads_to_names);
    RUN(what_names_are_found_by);
    RUN(an_entry_that_is_damaged);
    RUN(a_named_object_that_is_not_live);
    RUN(a_description_that_is_none);
    RUN(pledges_of_what_is_not);
    RUN(ties_of_what_is_not);
    RUN(words_of_lanes);
    RUN(lanes_that_are_open);
    RUN(a_transaction_that_was_under_way);
    RUN(many_changes_at_once);
    RUN(a_file_with_a_journal);
    return check_end("repair");
}
