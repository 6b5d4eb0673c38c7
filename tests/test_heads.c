/* test_heads.c -- damaged heads of slabs
 *
 * What tells of small objects is changed, field by field and in pairs of
 * fields, in a region full of slabs that lies between two pages which fault.
 * Open, check, each, alloc and free answer; check names what is wrong; what is
 * index may hold anything, and the objects are still there. */
#include "check.h"
#include "image.h"
#include <signal.h>
#include <sys/time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(__aarch64__)
#  define STRIDE 7u
#else
#  define STRIDE 1u
#endif

#define SLOTS 500

static image scene;
static unsigned char *closed;  // a region as it was closed
static unsigned char *crashed; // a region as it was when its user died
static uint64_t length;        // of both
static alps_handle at;         // where everything is in them
static char doing[96];         // for the one who waits for us

/* An open that takes seconds is taken for a hang. */
static void hangs(int number)
{
    (void)number;
    if (write(2, doing, strlen(doing)) < 0 ||
        write(2, ": hangs or crashes\n", 19) < 0)
        _exit(2);
    _exit(1);
}

static void watch(void)
{
    static const struct itimerval patience = {{0, 0}, {20, 0}};
    setitimer(ITIMER_REAL, &patience, NULL);
}

static alps_options options(void)
{
    alps_options o = image_options();
    o.limit = 2 * o.size;
    o.lanes = 16;
    return o;
}

/* Objects of every class, every third free again, reservations, and large
 * blocks around them. */
static void build(void)
{
    region_heap h;
    alps_options o = options();
    CHECK_EQ(image_make(&scene), 0);
    CHECK_EQ(region_open(&h, image_path(&scene), &o), 0);
    alps_off *root = (alps_off *)(void *)region_root(&h, SLOTS * 8);
    for (unsigned i = 0; i < SLOTS; i++) {
        void *p = region_reserve(&h, i % 50 ? 1 + i * 7 % 128 : 1000);
        if (p)
            CHECK_EQ(region_publish(&h, &root[i], p), 0);
    }
    for (unsigned i = 0; i < SLOTS; i += 3)
        CHECK_EQ(region_release(&h, &root[i]), 0);
    for (unsigned i = 0; i < 20; i++)
        CHECK(region_reserve(&h, 6 * i) && region_alloc(&h, 6 * i));
    CHECK_EQ(region_check(&h, NULL), 0);
    at = h.core;
    length = scene.length;
    closed = (unsigned char *)malloc(length);
    crashed = (unsigned char *)malloc(length);
    memcpy(crashed, scene.bytes, length);
    CHECK_EQ(region_close(&h), 0);
    memcpy(closed, scene.bytes, length);
}

static void put_back(const unsigned char *from)
{
    image_length(&scene, length);
    memcpy(scene.bytes, from, length);
}

/* Objects of all sizes come and go, and whatever `each` shows is freed. */
static void churn(region_heap *h)
{
    static void *p[300];
    alps_off *root = (alps_off *)(void *)region_root(h, SLOTS * 8);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 300; i++) {
            p[i] =
                i % 3 ? region_alloc(h, i % 130) : region_reserve(h, i % 130);
            if (p[i])
                memset(p[i], (int)i, i % 130);
        }
        for (unsigned i = 0; i < 300; i++)
            (void)region_free(h, p[i]);
        for (unsigned i = round; i < SLOTS; i += 2)
            (void)region_release(h, &root[i]);
        (void)region_trim(h);
    }
}

/* Opens the scene and works in it; answers what `check` said first, or NULL.
 * What `open` refuses is as good as named. */
static const char *use(void)
{
    region_heap h;
    alps_options o = options();
    alps_report r;
    alps_statistics s;
    unsigned blocks = 0;
    o.flags = ALPS_READ_ONLY;
    if (region_open(&h, image_path(&scene), &o) == 0) {
        (void)region_check(&h, &r);
        (void)region_stats(&h, &s);
        (void)region_each(&h, image_touch_, &blocks);
        (void)region_close(&h);
    }
    o.flags = 0;
    if (region_open(&h, image_path(&scene), &o))
        return "refused";
    int err = region_check(&h, &r);
    (void)region_stats(&h, &s);
    (void)region_each(&h, image_touch_, &blocks);
    churn(&h);
    (void)region_check(&h, NULL);
    (void)region_close(&h);
    return err ? r.first[0].text : NULL;
}

static uint64_t *word_at(alps_off off)
{
    return (uint64_t *)(void *)(scene.bytes + off);
}

/* The word with the bit of a slab. */
static uint64_t *slab_word(alps_off place)
{
    alps_off slabs = (alps_off)((unsigned char *)at.slabs - at.map.base);
    return word_at(slabs) + (place >> at.at.slab_shift) / 64;
}

static int slab_at(alps_off place)
{
    return (int)(*slab_word(place) >> (place >> at.at.slab_shift) % 64 & 1);
}

static void mark(alps_off place)
{
    *slab_word(place) |= 1ull << (place >> at.at.slab_shift) % 64;
}

static alps_slab *head_at(alps_off place)
{
    uint64_t in = place & at.at.extent_mask;
    return (alps_slab *)(void *)(scene.bytes + place - in + at.at.heads +
                                 (in >> at.at.slab_shift) * at.at.head);
}

#define EACH_PLACE(place)                           \
  for (alps_off place = at.at.heap; place < length; \
       place += at.at.slab_mask + 1)

static unsigned slabs(void)
{
    unsigned n = 0;
    EACH_PLACE(place)
    n += (unsigned)slab_at(place);
    return n;
}

/* ---- what is truth */

static void a_slab_of_no_class_is_named(void)
{
    static const uint32_t bad[] = {0, 21, 22, 255, 1u << 16, ~0u, 20, 9};
    CHECK(slabs() > 8);
    EACH_PLACE(place)
    {
        for (unsigned i = 0; slab_at(place) && i < 8; i++) {
            put_back(i % 2 ? closed : crashed);
            snprintf(doing, sizeof doing, "class %u at %llu", bad[i],
                     (unsigned long long)place);
            watch();
            head_at(place)->kind = bad[i];
            const char *said = use();
            CHECK(said && !strcmp(said, "a slab of no class"));
            put_back(closed);
        }
    }
}

/* Any other class: its objects lie elsewhere. No harm but to contents. */
static void another_class_does_no_harm(void)
{
    unsigned named = 0;
    put_back(closed);
    EACH_PLACE(place)
    {
        for (uint32_t kind = 1; slab_at(place) && kind <= 8; kind++) {
            snprintf(doing, sizeof doing, "class %u at %llu", kind,
                     (unsigned long long)place);
            watch();
            put_back(kind % 2 ? closed : crashed);
            head_at(place)->kind = kind;
            named += use() != NULL;
            put_back(closed);
        }
    }
    CHECK(named > 0);
}

/* Bits of objects that a slab does not have. */
static void a_live_object_behind_the_end_is_named(void)
{
    unsigned tried = 0;
    put_back(closed);
    EACH_PLACE(place)
    {
        alps_slab *s = head_at(place);
        if (!slab_at(place) || s->count >= 64)
            continue;
        tried++;
        for (unsigned bit = s->count; bit < 64; bit += STRIDE) {
            snprintf(doing, sizeof doing, "object %u at %llu", bit,
                     (unsigned long long)place);
            watch();
            put_back(closed);
            ((alps_pair *)(void *)(s + 1))->own ^= 1ull << bit;
            const char *said = use();
            CHECK(said && !strcmp(said, "a live object behind a slab's end"));
        }
        put_back(closed);
    }
    CHECK(tried > 3);
}

/* A bit that says that there is a slab, where there is none: in a block, at
 * the front of an extent, below the heap, behind the region. The head there
 * holds whatever it holds, or a class. */
static void a_slab_that_is_none_is_named(void)
{
    put_back(closed);
    alps_off end = at.at.limit;
    for (alps_off place = 0; place < end; place += at.at.slab_mask + 1)
        for (uint32_t kind = 0; kind <= 8; kind++) {
            put_back(kind % 2 ? closed : crashed);
            if (slab_at(place))
                continue;
            snprintf(doing, sizeof doing, "a slab at %llu, class %u",
                     (unsigned long long)place, kind);
            watch();
            mark(place);
            if (kind && place >= at.at.heap && place < length)
                head_at(place)->kind = kind;
            CHECK(use() != NULL);
        }
}

/* A record that is whole, of an object that is none. */
static void a_record_of_no_object_does_no_harm(void)
{
    region_heap h;
    memset(&h, 0, sizeof h);
    for (alps_off off = 0; off < at.at.limit; off += 16 * STRIDE) {
        put_back(crashed);
        snprintf(doing, sizeof doing, "a record of %llu",
                 (unsigned long long)off);
        watch();
        if (off / 16 % 2)
            mark(off);
        h.core.crc = alps_crc_kind_();
        h.core.super = (alps_superblock *)(void *)scene.bytes;
        for (unsigned k = 0; k < 2; k++) {
            alps_lane *lane = (alps_lane *)(void *)(scene.bytes + at.at.lanes);
            alps_record *r = &lane->ring[k];
            memset(r, 0, sizeof *r);
            r->seq = 100000 + k;
            r->op = (k ? ALPS_OP_RELEASE : ALPS_OP_PUBLISH) | ALPS_OP_SMALL |
                    (off / 32 % 2 ? ALPS_OP_SUMMED : 0);
            r->block = r->value = off;
            r->units = 48;
            r->dest = ALPS_PAGE;
            r->epoch = h.core.super->epoch;
            r->check = alps_record_check_(&h.core, r);
        }
        (void)use();
    }
}

/* ---- what is index */

/* Every word of a head but its class, of the keeps and of what is told: any
 * value, and what `check` says stays as it was. */
static void what_is_index_may_hold_anything(void)
{
    static const uint64_t junk[] = {~0ull, 1, 64, 0x0123456789abcdef};
    put_back(closed);
    EACH_PLACE(place)
    {
        if (!slab_at(place))
            continue;
        alps_off head =
            (alps_off)((unsigned char *)head_at(place) - scene.bytes);
        for (uint64_t in = 4; in < at.at.head; in += 4) {
            if (in >= sizeof(alps_slab) && in < at.at.keeps)
                continue; // pairs
            for (unsigned i = 0; i < 4; i += 1 + (STRIDE > 1)) {
                put_back(i % 2 ? closed : crashed);
                snprintf(doing, sizeof doing, "head at %llu, byte %llu",
                         (unsigned long long)place, (unsigned long long)in);
                watch();
                memcpy(scene.bytes + head + in, &junk[i], 4);
                CHECK(use() == NULL);
            }
        }
        put_back(closed);
    }
}

/* All of it at once, the lanes' first lines as well. */
static void all_index_may_be_noise(void)
{
    uint64_t x = 1;
    for (unsigned round = 0; round < 2000 / STRIDE; round++) {
        put_back(round % 2 ? closed : crashed);
        snprintf(doing, sizeof doing, "noise %u", round);
        watch();
        for (unsigned i = 0; i < at.at.lane_count; i++) {
            uint64_t *word = word_at(at.at.lanes + i * sizeof(alps_lane));
            for (unsigned k = 0; k < 16; k++)
                word[k] = x = x * 6364136223846793005u + 1442695040888963407u;
        }
        EACH_PLACE(place)
        {
            if (!slab_at(place))
                continue;
            unsigned char *head = (unsigned char *)head_at(place);
            for (uint64_t in = 4; in < at.at.head; in += 4) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                if (in < sizeof(alps_slab) || in >= at.at.keeps)
                    memcpy(head + in, (unsigned char *)&x + 4, 4);
            }
        }
        CHECK(use() == NULL);
    }
}

/* The token that the thread which opens it will have, in heads that it does
 * not own: the next open of the same bytes gives the same one. */
static void a_token_that_comes_true_does_no_harm(void)
{
    region_heap h;
    alps_options o = options();
    put_back(crashed);
    CHECK_EQ(region_open(&h, image_path(&scene), &o), 0);
    CHECK_EQ(region_free(&h, region_alloc(&h, 10)), 0);
    uint64_t token = alps_cache_(&h.core)->token;
    uint64_t loose = h.core.shared->loose_by;
    CHECK_EQ(region_close(&h), 0);
    for (unsigned where = 0; where < 12; where++) {
        put_back(crashed);
        snprintf(doing, sizeof doing, "token, where %u", where);
        watch();
        EACH_PLACE(place)
        {
            alps_slab *s = head_at(place);
            if (!slab_at(place))
                continue;
            s->owner = where < 6 ? token : loose;
            s->where = where % 6;
            s->full = where & 1;
        }
        (void)use();
    }
}

int main(void)
{
    signal(SIGALRM, hangs);
    signal(SIGSEGV, hangs);
    signal(SIGBUS, hangs);
    build();
    RUN(a_slab_of_no_class_is_named);
    RUN(another_class_does_no_harm);
    RUN(a_live_object_behind_the_end_is_named);
    RUN(a_slab_that_is_none_is_named);
    RUN(what_is_index_may_hold_anything);
    RUN(all_index_may_be_noise);
    RUN(a_token_that_comes_true_does_no_harm);
    RUN(a_record_of_no_object_does_no_harm);
    return check_end("heads");
}
