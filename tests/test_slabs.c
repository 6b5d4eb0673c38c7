/* test_slabs.c -- slabs fill, go back, and keep to themselves
 *
 * How much room they take, in regions of every kind and under every option;
 * what a full region answers; that no object reaches what tells of it. */
#include "worlds.h"

#define OBJECTS 70000

static void *object[OBJECTS];

static uint64_t room_of(size_t size)
{
    return alps_kind_granules_(&heap.core, alps_kind_of_(size)) * 64;
}

/* Objects of a whole slab. */
static uint64_t objects_of(size_t size)
{
    return room_of(size) / size;
}

/* Allocates until there is no more; answers how many. */
static unsigned fill(size_t size)
{
    unsigned n = 0;
    while (n < OBJECTS && (object[n] = any_alloc(&heap, size)) != NULL)
        n++;
    CHECK(n < OBJECTS);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    return n;
}

/* The slabs of a class, from their heads. */
static unsigned slabs_of(size_t size)
{
    alps_handle *h = &heap.core;
    unsigned n = 0;
    for (alps_off off = h->at.heap; off < alps_size_(h);
         off += h->at.slab_mask + 1)
        n += alps_slab_is_(h, off) &&
             alps_slab_head_(h, off)->kind == alps_kind_of_(size) + 1;
    return n;
}

/* No byte is left that an object of the size could have. */
static void is_full(size_t size)
{
    alps_statistics s = stats();
    CHECK(s.largest_free < size);
    CHECK_EQ(s.spare, slabs_of(size) * (room_of(size) % size));
    CHECK(any_reserve(&heap, size) == NULL);
    CHECK(any_zalloc(&heap, size) == NULL);
    CHECK(any_realloc(&heap, object[0], 10 * size) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK(sound(&heap));
}

static void small_objects_go_on_until_all_is_taken(void)
{
    static const size_t sizes[] = {16, 256, 64, 112, 224};
    begin(1u << 20, 1u << 16);
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t size = sizes[k];
        unsigned n = fill(size), gone = 0;
        CHECK(n * size > (1u << 20) * 7 / 10);
        is_full(size);
        CHECK_EQ(any_free(&heap, object[n / 2]), 0);
        CHECK((object[n / 2] = any_alloc(&heap, size)) != NULL);
        CHECK(any_alloc(&heap, size) == NULL);
        for (unsigned i = 0; i < n; i += 2, gone++)
            CHECK_EQ(any_free(&heap, object[i]), 0);
        for (unsigned i = 0; i < n; i += 2, gone--)
            CHECK((object[i] = any_alloc(&heap, size)) != NULL);
        CHECK_EQ(gone, 0);
        is_full(size);
        while (n)
            CHECK_EQ(any_free(&heap, object[--n]), 0);
        CHECK_EQ(stats().blocks, 0); // the next class finds all of it
    }
    CHECK(one_block_again(&heap));
    end();
}

/* What is free in slabs comes back before a block is refused. */
static void empty_slabs_go_back(void)
{
    begin(1u << 20, 1u << 16);
    for (size_t size = 16; size <= 256; size += size) {
        unsigned n = fill(size);
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(any_free(&heap, object[i]), 0);
        // but for those whose last objects came to hand
        CHECK(stats().spare <= (ALPS_EMPTY_MAX + 1 + ALPS_SPOTS) << 11);
        CHECK(slabs_of(size) > 0);
        void *p = any_alloc(&heap, 700000);
        CHECK(p != NULL);
        CHECK_EQ(any_free(&heap, p), 0);
    }
    unsigned n = fill(64);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(any_free(&heap, object[n - 1 - i]), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(slabs_of(64), 0);
    CHECK_EQ(stats().spare, 0);
    CHECK(one_block_again(&heap));
    end();
}

/* One object keeps its slab, and no other. */
static void a_slab_goes_back_when_its_last_object_does(void)
{
    begin(8u << 20, 1u << 18);
    for (size_t size = 32; size <= 1024; size *= 2) {
        uint64_t n = objects_of(size);
        for (unsigned i = 0; i < 20 * n; i++)
            CHECK((object[i] = any_alloc(&heap, size)) != NULL);
        CHECK_EQ(slabs_of(size), 20);
        for (unsigned i = 0; i < 20 * n; i++)
            if (i % (3 * n))
                CHECK_EQ(any_free(&heap, object[i]), 0);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK_EQ(slabs_of(size), 7);
        CHECK_EQ(stats().blocks, 7);
        for (unsigned i = 0; i < 20 * n; i += 3 * (unsigned)n)
            CHECK_EQ(any_free(&heap, object[i]), 0);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK_EQ(slabs_of(size), 0);
        CHECK(sound(&heap));
    }
    CHECK(one_block_again(&heap));
    end();
}

/* By a product in place of a division. */
static void every_place_has_its_object(void)
{
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        uint64_t size = alps_kind_size_(kind), wrong = 0;
        for (uint64_t in = 0; in <= 1u << ALPS_SLAB_SHIFT_MAX; in++)
            wrong += in * alps_kind_scale_(kind) >> 32 != in / size;
        CHECK_EQ(wrong, 0);
    }
}

/* Over its neighbours, to the end of the slab: objects are spoilt, what tells
 * of them is not. */
static void an_overflow_reaches_no_bit(void)
{
    begin(8u << 20, 1u << 20);
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        size_t size = alps_kind_size_(kind);
        uint64_t slab = heap.core.at.slab_mask + 1;
        unsigned n = (unsigned)(slab / size * 3 / 2);
        for (unsigned i = 0; i < n; i++) {
            object[i] = any_alloc(&heap, size);
            uint64_t in = any_off_of(&heap, object[i]) % slab;
            CHECK(object[i] && in_slab(object[i]));
            memset(object[i], 0xa5, (size_t)(room_of(size) - in));
        }
        CHECK(sound(&heap));
        CHECK_EQ(stats().blocks, n);
        for (unsigned i = 0; i < n; i += 2)
            CHECK_EQ(any_free(&heap, object[i]), 0);
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(any_usable(&heap, object[i]), i % 2 ? size : 0);
        for (unsigned i = 1; i < n; i += 2)
            CHECK_EQ(any_free(&heap, object[i]), 0);
        CHECK(sound(&heap));
    }
    CHECK(one_block_again(&heap));
    end();
}

/* ---- reservations of one thread */

static void a_reservation_is_published_cancelled_or_freed(void)
{
    begin(1u << 20, 1u << 18);
    alps_off *root = (alps_off *)any_root(&heap, 8);
    for (unsigned i = 0; i < 3000; i++) {
        void *p = any_reserve(&heap, 1 + i % 1024);
        CHECK(p && in_slab(p));
        CHECK(any_realloc(&heap, p, 2000) == NULL);
        CHECK_EQ(any_error(&heap), ALPS_EINVALID_FREE);
        CHECK_EQ(stats().reserved, any_usable(&heap, p));
        CHECK_EQ(stats().blocks, 0);
        if (i % 3 == 0) {
            CHECK_EQ(any_publish(&heap, root, p), 0);
            CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
            CHECK_EQ(any_publish(&heap, root, p), ALPS_EINVALID_FREE);
            CHECK_EQ(stats().blocks, 1);
            CHECK_EQ(any_release(&heap, root), 0);
        } else {
            CHECK_EQ(i % 3 == 1 ? any_cancel(&heap, p) : any_free(&heap, p), 0);
        }
        CHECK_EQ(stats().reserved, 0);
        if (i % 64 == 0)
            not_freed(p);
    }
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

/* ---- regions and options */

/* Objects of all sizes, some of them freed, come and go. */
static void use_all_sizes(unsigned n)
{
    size_t most = (size_t)heap.core.at.small;
    for (unsigned i = 0; i < n; i++) {
        size_t size = 1 + i * 37 % most;
        CHECK((object[i] = any_alloc(&heap, size)) != NULL);
        CHECK(any_usable(&heap, object[i]) >= size);
        CHECK_EQ((uintptr_t)object[i] % 16, 0);
        CHECK_EQ(in_slab(object[i]), most >= 16);
        if (object[i])
            memset(object[i], 1, size);
    }
    CHECK(sound(&heap));
    CHECK_EQ(stats().blocks, n);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(any_free(&heap, object[i]), 0);
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
}

static void extents_of_every_size_have_slabs(void)
{
    uint64_t most = is_anon() ? 1u << 30 : 32u << 20;
    for (uint64_t extent = 4096; extent <= most; extent *= 2) {
        uint64_t extents = extent < 65536 ? 64 : 2;
        begin(extents * extent + (extent < 1u << 18 ? 1u << 18 : extent),
              extent);
        CHECK_EQ(heap.core.at.small, extent < 65536    ? 128
                                     : extent < 131072 ? 256
                                     : extent < 262144 ? 512
                                                       : 1024);
        use_all_sizes(100);
        end();
    }
}

/* What `open` answers to this largest size of objects in slabs. */
static int open_with(uint64_t extent, uint64_t most)
{
    alps_options o = options(4u << 20, extent);
    unlink(the_path);
    o.small = most;
    o.flags = ALPS_CREATE;
    return any_open(&heap, place(), &o);
}

/* It is one of the classes: what is between two of them is the upper one. */
static void option_small_is_the_largest_object_in_slabs(void)
{
    static const uint64_t sizes[][2] = {
        {0, 1024},  {1, 1},     {15, 15},   {16, 16},    {17, 32},    {64, 64},
        {100, 112}, {128, 128}, {129, 160}, {999, 1024}, {1024, 1024}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_EQ(open_with(1u << 18, sizes[i][0]), 0);
        for (int again = 0; again < 2; again++) { // whoever opens it
            CHECK_EQ(heap.core.at.small, sizes[i][1]);
            use_all_sizes(500);
            void *p = any_alloc(&heap, (size_t)heap.core.at.small + 1);
            CHECK(p && !in_slab(p));
            CHECK_EQ(any_free(&heap, p), 0);
            if (is_anon())
                break;
            CHECK_EQ(any_close(&heap), 0);
            CHECK_EQ(open_too(&heap), 0);
        }
        end();
    }
}

static void an_option_small_that_cannot_be_is_refused(void)
{
    static const struct {
        uint64_t extent, most;
    } bad[] = {
        {1u << 18, 1025}, {1u << 18, 4096}, {1u << 18, ~0ull}, {4096, 160},
        {4096, 1024},     {1u << 15, 256},  {1u << 16, 320},   {1u << 22, 2048},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(open_with(bad[i].extent, bad[i].most), ALPS_EINVAL);
}

/* ---- what is told of them */

static int count(void *context, void *p, size_t n)
{
    unsigned *seen = (unsigned *)context;
    CHECK_EQ(any_usable(&heap, p), n);
    return ++*seen == 700 ? 77 : 0;
}

static int frees_it(void *context, void *p, size_t n)
{
    CHECK_EQ(any_usable(&heap, p), n);
    CHECK_EQ(any_free(&heap, p), 0);
    ++*(unsigned *)context;
    return 0;
}

static void each_shows_what_lives_and_may_free_it(void)
{
    unsigned seen = 0, freed = 0;
    begin(4u << 20, 1u << 18);
    for (unsigned i = 0; i < 1000; i++)
        CHECK((object[i] = any_alloc(&heap, 1 + i)) != NULL);
    CHECK(any_reserve(&heap, 77) != NULL); // is not shown
    CHECK_EQ(any_each(&heap, count, &seen), 77);
    CHECK_EQ(seen, 700);
    CHECK_EQ(any_each(&heap, frees_it, &freed), 0);
    CHECK_EQ(freed, 1000);
    CHECK_EQ(stats().blocks, 0);
    CHECK_EQ(any_each(&heap, frees_it, &freed), 0);
    CHECK_EQ(freed, 1000);
    CHECK(sound(&heap));
    end();
}

static void stats_tell_used_spare_and_reserved(void)
{
    begin(4u << 20, 1u << 18);
    uint64_t all = stats().free;
    CHECK(any_alloc(&heap, 100) && any_alloc(&heap, 112));
    CHECK(any_reserve(&heap, 97) && any_alloc(&heap, 1000));
    alps_statistics s = stats();
    CHECK_EQ(s.blocks, 3);
    CHECK_EQ(s.used, 112 + 112 + 1024);
    CHECK_EQ(s.reserved, 112);
    CHECK_EQ(s.by_class[6], 2);
    CHECK_EQ(s.by_class[10], 1);
    CHECK_EQ(s.spare, room_of(112) - 3 * 112 + room_of(1024) - 1024);
    CHECK_EQ(s.used + s.reserved + s.spare + s.free,
             all - heap.core.at.first * 64);
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(small_objects_go_on_until_all_is_taken);
    RUN_EVERYWHERE(empty_slabs_go_back);
    RUN_EVERYWHERE(a_slab_goes_back_when_its_last_object_does);
    RUN(every_place_has_its_object);
    RUN_EVERYWHERE(an_overflow_reaches_no_bit);
    RUN_EVERYWHERE(a_reservation_is_published_cancelled_or_freed);
    RUN_EVERYWHERE(extents_of_every_size_have_slabs);
    RUN_EVERYWHERE(option_small_is_the_largest_object_in_slabs);
    RUN_EVERYWHERE(an_option_small_that_cannot_be_is_refused);
    RUN_EVERYWHERE(each_shows_what_lives_and_may_free_it);
    RUN_EVERYWHERE(stats_tell_used_spare_and_reserved);
    return check_end("slabs");
}
