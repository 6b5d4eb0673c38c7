/* open.c -- damaged regions into open, check, each, alloc and free
 *
 * For libFuzzer. The first byte of the input says how its rest becomes a
 * region: as it is; over a region that is whole, or over what its user left who
 * died; anywhere in it, or only where it is told of slabs; with checksums made
 * right, so that what lies behind them is reached. Whatever comes, the library
 * answers with codes.
 *
 * Built without a fuzzer, with -DFUZZ_MAIN, the program makes its inputs
 * itself: fuzz_open [SECONDS [SEED]]. */
#include "../image.h"

static unsigned char *whole; // a region that is whole, used and closed
static unsigned char *left;  // the same before it was closed
static uint64_t whole_length;
static alps_geometry at; // where everything is in it
static alps_off slabs;   // and the bits that tell where slabs are
static image scene;

/* Blocks, and small objects of all sizes in slabs, some reserved, some free. */
static void furnish(region_heap *h)
{
    alps_off *root = (alps_off *)(void *)region_root(h, 64 * sizeof *root);
    for (size_t i = 0; i < 64; i++) {
        void *p = region_reserve(h, i < 6 ? i * i * 100 + 1 : i * 2);
        if (!p || region_publish(h, &root[i], p))
            abort();
    }
    for (size_t i = 2; i < 64; i += 1 + i % 3)
        if (region_release(h, &root[i]))
            abort();
    for (size_t i = 0; i < 20; i++)
        if (!region_alloc(h, 1 + i * 6) || !region_reserve(h, 1 + i * 6))
            break; // full
}

static void begin(void)
{
    region_heap h;
    alps_options o = image_options();
    o.limit = 2 * o.size;
    o.lanes = 4; // of which threads own some
    if (image_make(&scene) || region_open(&h, image_path(&scene), &o))
        abort();
    furnish(&h);
    at = h.core.at;
    slabs = (alps_off)((unsigned char *)h.core.slabs - h.core.map.base);
    whole_length = scene.length;
    whole = (unsigned char *)malloc(whole_length);
    left = (unsigned char *)malloc(whole_length);
    if (!whole || !left)
        abort();
    memcpy(left, scene.bytes, whole_length);
    if (region_close(&h))
        abort();
    memcpy(whole, scene.bytes, whole_length);
}

/* Makes the checksums of superblock and records right. */
static void seal(void)
{
    region_heap h;
    memset(&h, 0, sizeof h);
    h.core.crc = alps_crc_kind_();
    alps_superblock *s = (alps_superblock *)(void *)scene.bytes;
    h.core.super = s;
    if (scene.length < ALPS_PAGE)
        return;
    s->crc = alps_super_crc_(&h.core);
    s->size = alps_seal_(s->size >> 16);
    s->epoch = alps_seal_(s->epoch >> 16);
    if (alps_geometry_init_(&h.core.at, s->limit, s->extent_shift, s->lanes,
                            s->processes, s->small, s->shards) ||
        h.core.at.slots > scene.length)
        return;
    alps_lane *lanes = (alps_lane *)(void *)(scene.bytes + h.core.at.lanes);
    for (unsigned i = 0; i < h.core.at.lane_count; i++)
        for (unsigned k = 0; k < ALPS_RING; k++) {
            alps_record *r = &lanes[i].ring[k];
            r->epoch = h.core.super->epoch;
            r->check = alps_record_check_(&h.core, r);
        }
}

/* The place that two bytes of the input choose among those that tell of slabs:
 * heads with their pairs and keeps, the words of what is told, the bits of all
 * slabs, the lanes. */
static uint64_t place_of_slabs(unsigned choice)
{
    uint64_t extents = (whole_length - at.heap) >> at.extent_shift;
    uint64_t told = at.first * ALPS_GRANULE - at.told; // bytes of an extent
    uint64_t bits = (at.limit >> at.slab_shift) / 8;
    uint64_t n = choice >> 2;
    switch (choice & 3) {
    case 0: return slabs + n % bits;
    case 1: return at.lanes + n % (at.slots - at.lanes);
    default:
        return at.heap + (n / told % extents << at.extent_shift) + at.told +
               n % told;
    }
}

/* Over a whole region: places and bytes, three of the input each. */
static void scatter(unsigned how, const uint8_t *data, size_t size)
{
    memcpy(scene.bytes, how & 8 ? left : whole, whole_length);
    for (; size >= 3; data += 3, size -= 3) {
        uint64_t where = (uint64_t)data[0] << 8 | data[1];
        if (how & 16)
            where = place_of_slabs((unsigned)where);
        if (where < whole_length)
            scene.bytes[where] = data[2];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!whole)
        begin();
    if (!size || size > IMAGE_ROOM / 2)
        return 0;
    unsigned how = data[0];
    if (how & 1) {
        image_length(&scene, whole_length);
        scatter(how, data + 1, size - 1);
    } else {
        image_length(&scene, size - 1);
        memcpy(scene.bytes, data + 1, size - 1);
    }
    if (how & 2)
        seal();
    (void)image_use(&scene, how & 4 ? ALPS_READ_ONLY : 0);
    return 0;
}

#ifdef FUZZ_MAIN
static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

int main(int argc, char **argv)
{
    static uint8_t input[1 + (64u << 10)];
    long seconds = argc > 1 ? atol(argv[1]) : 10;
    uint64_t x = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    time_t end = time(NULL) + seconds;
    unsigned long runs = 0;
    x = x * 0x9e3779b97f4a7c15ull | 1;
    begin();
    for (; time(NULL) < end; runs++) {
        size_t n = 1 + 3 * (next(&x) % 50);
        input[0] = (uint8_t)(next(&x) % 32);
        if (input[0] & 1) {
            for (size_t i = 1; i < n; i++)
                input[i] = (uint8_t)(next(&x) >> 32);
        } else {
            n = 1 + whole_length - next(&x) % 4 * 1000;
            memcpy(input + 1, whole, n - 1);
            for (uint64_t k = next(&x) % 30; k; k--)
                input[1 + (next(&x) >> 20) % (n - 1)] =
                    (uint8_t)(next(&x) >> 40);
        }
        LLVMFuzzerTestOneInput(input, n);
    }
    printf("%lu regions, none did harm.\n", runs);
    return 0;
}
#endif
