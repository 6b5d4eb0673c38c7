/* test_heap.c -- the heap against a shadow of it
 *
 * The shadow knows every block that is alive: where it is, how long, what is
 * in it, who names it. Random operations change both; after each of them
 * alps_check has nothing to say, and what the heap tells agrees. */
#include "model.h"

#define BLOCKS 512
#define SLOTS 100 // words of the root that may name a block

struct block {
    unsigned char *p;
    size_t n;       // bytes that were asked for
    alps_off *dest; // the word that names it, or NULL
    unsigned char seed;
    int held;
};

static struct block shadow[BLOCKS];
static unsigned blocks;
static any_heap heap;

/* Whether small objects share slabs in this test, or are blocks. */
static int slabs;

/* Opens the region of this test; `flags` as for any_open. */
static int enter(alps_options o, unsigned flags)
{
    o.small = slabs ? 0 : 1;
    o.flags = flags;
    return any_open(&heap, shm_name("heap"), &o);
}

static void begin(uint64_t size, uint64_t extent)
{
    blocks = 0;
    (void)any_remove(shm_name("heap")); // of one who died and had our number
    CHECK_EQ(enter(small(size, extent), ALPS_CREATE | ALPS_EXCLUSIVE), 0);
}

static void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(shm_name("heap")), 0);
}

static alps_statistics stats(void)
{
    alps_statistics s;
    CHECK_EQ(any_stats(&heap, &s), 0);
    return s;
}

/* All bytes that blocks could ever take, as one block. */
static uint64_t whole(void)
{
    return alps_extents_(&heap.core) << heap.core.at.extent_shift;
}

/* ---- contents */

/* The next byte that is looked at: all of a small block, of a large one both
 * ends and some between. */
static size_t after(size_t i, size_t n)
{
    return i < 256 || n - i <= 256 ? i + 1
           : i + 251 < n - 256     ? i + 251
                                   : n - 256;
}

static void fill(const struct block *b)
{
    for (size_t i = 0; i < b->n; i = after(i, b->n))
        b->p[i] = (unsigned char)(b->seed + i * 7);
}

/* Whether the first `n` bytes are those of `b`, which had `b->n`. */
static int intact(const struct block *b, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < b->n; i = after(i, b->n))
        if (i < n && p[i] != (unsigned char)(b->seed + i * 7))
            return 0;
    return 1;
}

/* ---- the shadow */

static unsigned found(const void *p)
{
    unsigned i = 0;
    while (i < blocks && shadow[i].p != p)
        i++;
    return i;
}

static void forget(unsigned i)
{
    shadow[i] = shadow[--blocks];
}

/* A block that was just handed out, in the place of `i` in the shadow. */
static void enter_block(unsigned i, void *p, size_t n, int held)
{
    struct block *b = &shadow[i];
    size_t room = any_usable(&heap, p);
    b->p = (unsigned char *)p;
    b->n = n;
    b->dest = NULL;
    b->seed = (unsigned char)throw_of(256);
    b->held = held;
    CHECK_EQ((uintptr_t)p % (slabs ? 16 : 64), 0);
    CHECK(room >= n && room > 0);
    CHECK(any_off_of(&heap, p) + room <= alps_size_(&heap.core));
    for (unsigned k = 0; k < blocks; k++)
        CHECK(k == i || shadow[k].p >= b->p + room ||
              b->p >= shadow[k].p + any_usable(&heap, shadow[k].p));
    fill(b);
}

/* What alps_each shows is what the shadow holds. */
static int is_in_shadow(void *context, void *p, size_t n)
{
    unsigned i = found(p);
    CHECK(i < blocks && !shadow[i].held);
    CHECK(i == blocks || (n >= shadow[i].n && n == any_usable(&heap, p)));
    ++*(unsigned *)context;
    return 0;
}

static void agree(void)
{
    unsigned seen = 0, used = 0;
    uint64_t bytes = 0, held = 0;
    alps_statistics s = stats();
    for (unsigned i = 0; i < blocks; i++) {
        CHECK(intact(&shadow[i], shadow[i].p, shadow[i].n));
        if (shadow[i].dest)
            CHECK_EQ(*shadow[i].dest, any_off_of(&heap, shadow[i].p));
        used += !shadow[i].held;
        *(shadow[i].held ? &held : &bytes) += any_usable(&heap, shadow[i].p);
    }
    CHECK_EQ(any_each(&heap, is_in_shadow, &seen), 0);
    CHECK_EQ(seen, used);
    CHECK_EQ(s.blocks, used);
    CHECK_EQ(s.used, bytes);
    CHECK_EQ(s.reserved, held);
    CHECK_EQ(s.used + s.reserved + s.spare + s.free +
                 s.heap_extents * heap.core.at.first * ALPS_GRANULE,
             whole());
}

/* ---- steps */

/* Mostly small, sometimes anything up to more than there is. */
static size_t any_size(void)
{
    uint64_t extent = 1ull << heap.core.at.extent_shift;
    switch (throw_of(8)) {
    case 0: return (size_t)throw_of(2);
    case 1: return (size_t)(64 * throw_of(10));
    case 2: return (size_t)throw_of(extent / 2 + 2);
    case 3:
        return (size_t)(throw_of(16) ? throw_of(512) : throw_of(3 * extent));
    default: return (size_t)throw_of(512);
    }
}

/* No memory was given, so there was none. */
static void refused(size_t n)
{
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK(stats().largest_free < n + 64);
}

static void step_alloc(void)
{
    size_t n = any_size();
    size_t align = (size_t)1 << throw_of(heap.core.at.extent_shift + 1);
    int kind = (int)throw_of(5);
    void *p = kind == 0   ? any_zalloc(&heap, n)
              : kind == 1 ? any_alloc_aligned(&heap, align, n)
              : kind == 2 ? any_reserve(&heap, n)
                          : any_alloc(&heap, n);
    if (kind == 1 && !p)
        CHECK_EQ(any_error(&heap), ALPS_EFULL);
    if (!p && kind != 1)
        refused(n);
    if (!p)
        return;
    if (kind == 1)
        CHECK_EQ((uintptr_t)p % align, 0);
    for (size_t i = 0; kind == 0 && i < n; i = after(i, n))
        CHECK_EQ(((unsigned char *)p)[i], 0);
    enter_block(blocks, p, n, kind == 2);
    blocks++;
}

/* A block of the shadow that is named, held or neither, as asked; `blocks`
 * where there is none. */
static unsigned pick(int held, int named)
{
    unsigned first = blocks ? (unsigned)throw_of(blocks) : 0;
    for (unsigned k = 0; k < blocks; k++) {
        unsigned i = (first + k) % blocks;
        if (shadow[i].held == held && (shadow[i].dest != NULL) == named)
            return i;
    }
    return blocks;
}

static void step_realloc(void)
{
    unsigned i = pick(0, 0);
    size_t n = any_size();
    if (i == blocks)
        return;
    struct block old = shadow[i];
    unsigned char *p = (unsigned char *)any_realloc(&heap, old.p, n);
    if (!p) {
        refused(n);
        CHECK(intact(&old, old.p, old.n));
        return;
    }
    CHECK(intact(&old, p, n));
    enter_block(i, p, n, 0);
}

static void step_free(void)
{
    unsigned i = blocks ? (unsigned)throw_of(blocks) : 0;
    if (i == blocks)
        return;
    struct block b = shadow[i];
    CHECK(intact(&b, b.p, b.n));
    if (b.dest) {
        CHECK_EQ(any_release(&heap, b.dest), 0);
        CHECK_EQ(*b.dest, 0);
    } else if (b.held && throw_of(2)) {
        CHECK_EQ(any_cancel(&heap, b.p), 0);
    } else {
        CHECK_EQ(any_free(&heap, b.p), 0);
    }
    CHECK_EQ(any_usable(&heap, b.p), 0);
    forget(i);
}

static void step_publish(void)
{
    alps_off *root = (alps_off *)any_root(&heap, SLOTS * sizeof *root);
    unsigned i = pick(1, 0);
    alps_off *dest = &root[throw_of(SLOTS)];
    if (i == blocks || *dest)
        return;
    CHECK_EQ(any_publish(&heap, dest, shadow[i].p), 0);
    shadow[i].held = 0;
    shadow[i].dest = dest;
    CHECK_EQ(*dest, any_off_of(&heap, shadow[i].p));
}

static void step(unsigned keep)
{
    unsigned kind = (unsigned)throw_of(8);
    if (kind < 4 && blocks < keep)
        step_alloc();
    else if (kind < 5)
        step_realloc();
    else if (kind < 6)
        step_publish();
    else
        step_free();
}

/* The heap is in other addresses now: reservations are gone. */
static void moved(const unsigned char *from)
{
    for (unsigned i = 0; i < blocks;) {
        struct block *b = &shadow[i];
        b->p = heap.core.map.base + (b->p - from);
        if (b->dest)
            b->dest = (alps_off *)(void *)(heap.core.map.base +
                                           ((unsigned char *)b->dest - from));
        if (b->held)
            forget(i);
        else
            i++;
    }
}

static void reopen(void)
{
    const unsigned char *from = heap.core.map.base;
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(enter(small(0, 0), 0), 0);
    moved(from);
}

/* The process stops without a word: the bytes as they are now are opened. */
static void crash(void)
{
    const unsigned char *from = heap.core.map.base;
    CHECK_EQ(copy_file(shm_path("heap"), shm_path("crash")), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(shm_name("heap")), 0);
    CHECK_EQ(rename(shm_path("crash"), shm_path("heap")), 0);
    CHECK_EQ(enter(small(0, 0), 0), 0);
    moved(from);
}

static void free_all(void)
{
    while (blocks)
        step_free();
}

/* With nothing alive all memory is one block again. */
static void one_block(void)
{
    if (slabs)
        CHECK_EQ(any_trim(&heap), 0);
    alps_statistics s = stats();
    CHECK_EQ(s.blocks, 0);
    CHECK_EQ(s.largest_free, whole());
    void *p = any_alloc(&heap, (size_t)s.largest_free);
    CHECK(p != NULL);
    CHECK(sound(&heap));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(sound(&heap));
}

static void churn(uint64_t size, uint64_t extent, unsigned rounds,
                  unsigned keep)
{
    begin(size, extent);
    for (unsigned i = 0; i < rounds / SLOW && !check_bad_; i++) {
        step(keep);
        CHECK(sound(&heap));
        if (i % 16 == 0)
            agree();
        if (i % 512 == 511)
            reopen();
        if (i % 512 == 255)
            crash();
    }
    agree();
    free_all();
    one_block();
    reopen();
    one_block();
    end();
}

static void tiny_extents_agree_with_the_shadow(void)
{
    churn(64u << 10, 4096, 4000, 60);
    churn(256u << 10, 4096, 4000, 150);
}

static void middling_extents_agree_with_the_shadow(void)
{
    churn(1u << 20, 16384, 4000, 200);
    churn((1u << 20) + 12345, 65536, 3000, 300);
}

static void large_extents_agree_with_the_shadow(void)
{
    churn(17u << 20, 4u << 20, 2000, 400);
    churn(10u << 20, 1u << 20, 2000, 400);
}

/* ---- what the largest free block is */

static void what_stats_call_the_largest_is_to_be_had(void)
{
    begin(256u << 10, 4096);
    for (unsigned i = 0; i < 600 / SLOW && !check_bad_; i++) {
        step(150);
        uint64_t most = stats().largest_free;
        void *p = most ? any_alloc(&heap, (size_t)most) : NULL;
        CHECK(!most == !p);
        if (p)
            CHECK_EQ(any_free(&heap, p), 0);
        CHECK(any_alloc(&heap, (size_t)most + 1) == NULL);
    }
    free_all();
    one_block();
    end();
}

/* Also where every extent has a small block in it, at its end. */
static void the_largest_is_to_be_had_among_small_blocks(void)
{
    static void *p[4096];
    begin(256u << 10, 16384);
    unsigned n = 0, kept = 0;
    while (n < 4096 && (p[n] = any_alloc(&heap, 64)) != NULL)
        n++;
    while (n--)
        if ((any_off_of(&heap, p[n]) + 64) % 16384)
            CHECK_EQ(any_free(&heap, p[n]), 0);
        else
            kept++;
    alps_statistics s = stats();
    CHECK_EQ(s.heap_extents, s.extents);
    CHECK_EQ(s.heap_extents, kept);
    void *q = any_alloc(&heap, (size_t)s.largest_free);
    CHECK(q != NULL);
    CHECK_EQ(any_free(&heap, q), 0);
    CHECK(any_alloc(&heap, (size_t)s.largest_free + 1) == NULL);
    CHECK(sound(&heap));
    end();
}

static void stats_count_size_classes_and_fragmentation(void)
{
    begin(1u << 20, 65536);
    CHECK_EQ(stats().fragmentation, 0);
    void *a = any_alloc(&heap, 1), *b = any_alloc(&heap, 64);
    void *c = any_alloc(&heap, 65), *d = any_alloc(&heap, 5000);
    void *e = any_alloc(&heap, 100000);
    CHECK(a && b && c && d && e);
    alps_statistics s = stats();
    CHECK_EQ(s.blocks, 5);
    CHECK_EQ(s.by_class[6], 2);
    CHECK_EQ(s.by_class[7], 1);
    CHECK_EQ(s.by_class[12], 1);
    CHECK_EQ(s.by_class[17], 1);
    CHECK_EQ(s.used, 64 + 64 + 128 + 5056 + 131072);
    CHECK_EQ(s.size, 1u << 20);
    CHECK_EQ(s.heap_extents, 1);
    CHECK(s.fragmentation > 0 && s.fragmentation < 1000);
    CHECK_EQ(any_free(&heap, c), 0);
    CHECK_EQ(stats().by_class[7], 0);
    end();
}

/* ---- bad frees */

static uint64_t fingerprint(void)
{
    return fingerprint_of(&heap.core);
}

/* Freeing `p` in any way is refused, and nothing has changed. */
static void not_freed(void *p)
{
    alps_off *root = (alps_off *)any_root(&heap, 8);
    uint64_t before = fingerprint();
    CHECK_EQ(any_free(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_publish(&heap, root, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_usable(&heap, p), 0);
    CHECK(any_realloc(&heap, p, 10) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVALID_FREE);
    CHECK_EQ(fingerprint(), before);
    CHECK(sound(&heap));
}

static void wild_frees_are_refused(void)
{
    int here = 0;
    begin(256u << 10, 4096);
    unsigned char *base = heap.core.map.base;
    unsigned char *p = (unsigned char *)any_alloc(&heap, 300);
    unsigned char *large = (unsigned char *)any_alloc(&heap, 9000);
    CHECK(p && large);
    CHECK_EQ(any_free(&heap, NULL), 0);
    not_freed(&here);
    not_freed(base);
    not_freed(base + 64);
    not_freed(any_root(&heap, 1));
    not_freed(base + heap.core.at.shared);
    not_freed(base + heap.core.at.heap);      // the header of an extent
    not_freed(base + heap.core.at.heap + 64); // its map
    not_freed(base + alps_size_(&heap.core));
    not_freed(base + alps_size_(&heap.core) + 64);
    not_freed(base - 64);
    not_freed((void *)(uintptr_t)1);
    not_freed((void *)(uintptr_t)-64);
    not_freed((void *)((uintptr_t)base + ((uintptr_t)1 << 47)));
    for (size_t i = 1; i < 320; i++)
        not_freed(p + i);
    for (size_t i = 64; i < 12288; i += 64)
        not_freed(large + i);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_free(&heap, large), 0);
    end();
}

static void a_double_free_is_refused(void)
{
    void *p[12];
    begin(256u << 10, 4096);
    for (unsigned i = 0; i < 12; i++)
        CHECK((p[i] = any_alloc(&heap, i < 9 ? 200 : 5000)) != NULL);
    for (unsigned i = 0; i < 12; i++) {
        CHECK_EQ(any_free(&heap, p[i]), 0);
        for (unsigned k = 0; k <= i; k++)
            not_freed(p[k]); // also when it has merged with others
    }
    reopen();
    for (unsigned i = 0; i < 12; i++)
        not_freed(p[i]);
    one_block();
    end();
}

static void a_block_is_not_published_or_cancelled(void)
{
    begin(256u << 10, 4096);
    alps_off *root = (alps_off *)any_root(&heap, 16);
    void *p = any_alloc(&heap, 100);
    uint64_t before = fingerprint();
    CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_publish(&heap, root, p), ALPS_EINVALID_FREE);
    CHECK_EQ(*root, 0);
    CHECK_EQ(fingerprint(), before);
    CHECK(sound(&heap));
    end();
}

/* A word outside the program's part of the region, or of no region. */
static void a_destination_is_in_the_root_or_in_the_heap(void)
{
    alps_off here = 0;
    begin(256u << 10, 4096);
    unsigned char *base = heap.core.map.base;
    unsigned char *root = (unsigned char *)any_root(&heap, ALPS_ROOT_SIZE);
    void *p = any_reserve(&heap, 100);
    CHECK(p != NULL);
    void *bad[] = {&here,
                   base,
                   base + 8,
                   root - 8,
                   root + 4,
                   root + 4096,
                   base + heap.core.at.shared,
                   base + alps_size_(&heap.core)};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(any_publish(&heap, (alps_off *)bad[i], p), ALPS_EINVAL);
        CHECK_EQ(any_release(&heap, (alps_off *)bad[i]), ALPS_EINVAL);
    }
    alps_off *last = (alps_off *)(void *)(root + 4088);
    CHECK_EQ(any_publish(&heap, last, p), 0);
    alps_off *inner = (alps_off *)p;
    *inner = 0;
    void *q = any_reserve(&heap, 100);
    CHECK_EQ(any_publish(&heap, inner, q), 0); // from within a block
    CHECK(any_at(&heap, *inner) == q);
    CHECK_EQ(any_release(&heap, inner), 0);
    CHECK_EQ(any_release(&heap, inner), 0); // null already
    CHECK_EQ(any_release(&heap, last), 0);
    CHECK(sound(&heap));
    one_block();
    end();
}

/* What `*dest` names is a block, or nothing happens. */
static void what_is_no_block_is_not_released(void)
{
    begin(256u << 10, 4096);
    alps_off *root = (alps_off *)any_root(&heap, 16);
    void *p = any_alloc(&heap, 300), *held = any_reserve(&heap, 300);
    alps_off bad[] = {1,
                      64,
                      4096,
                      any_off_of(&heap, p) + 64,
                      any_off_of(&heap, p) + 1,
                      any_off_of(&heap, held),
                      alps_size_(&heap.core),
                      ~0ull,
                      1ull << 47};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        *root = bad[i];
        uint64_t before = fingerprint();
        CHECK_EQ(any_release(&heap, root), ALPS_EINVALID_FREE);
        CHECK(*root == bad[i]);
        CHECK_EQ(fingerprint(), before);
    }
    CHECK(sound(&heap));
    end();
}

/* A block that overflows spoils its neighbour's contents, and that is all. */
static void an_overflow_reaches_no_metadata(void)
{
    unsigned char *p[40];
    begin(256u << 10, 4096);
    for (unsigned i = 0; i < 40; i++)
        CHECK((p[i] = (unsigned char *)any_alloc(&heap, 100)) != NULL);
    for (unsigned i = 0; i < 40; i++)
        if (any_usable(&heap, p[i] + 128) == 128) // the next is a block
            memset(p[i], 0xa5, 256);
    CHECK(sound(&heap));
    for (unsigned i = 0; i < 40; i += 2)
        CHECK_EQ(any_free(&heap, p[i]), 0);
    for (unsigned i = 0; i < 40; i += 2)
        not_freed(p[i]);
    for (unsigned i = 1; i < 40; i += 2)
        CHECK_EQ(any_free(&heap, p[i]), 0);
    one_block();
    end();
}

/* Stores into what was freed reach the links of the index: it is found out,
 * or built anew, but no block is given out twice. */
static void use_after_free_gives_no_block_twice(void)
{
    static void *gone[BLOCKS];
    static size_t room[BLOCKS];
    for (unsigned round = 0; round < 60 / SLOW && !check_bad_; round++) {
        unsigned n = 0;
        begin(256u << 10, round % 2 ? 4096 : 16384);
        for (unsigned i = 0; i < 300; i++) {
            if (throw_of(2))
                step_alloc();
            else if (blocks) {
                unsigned k = (unsigned)throw_of(blocks);
                gone[n] = shadow[k].p;
                room[n++] = any_usable(&heap, shadow[k].p);
                CHECK_EQ(shadow[k].held ? any_cancel(&heap, shadow[k].p)
                                        : any_free(&heap, shadow[k].p),
                         0);
                forget(k);
            }
            for (unsigned k = n < 4 ? 0 : n - 4; k < n; k++) {
                uint64_t *word = (uint64_t *)gone[k];
                int again = 0;
                for (unsigned b = 0; b < blocks; b++)
                    again |= shadow[b].p < (unsigned char *)gone[k] + room[k] &&
                             (unsigned char *)gone[k] <
                                 shadow[b].p + any_usable(&heap, shadow[b].p);
                if (again || any_usable(&heap, gone[k]))
                    continue; // somebody has it now
                uint64_t junk[] = {0,
                                   ~0ull,
                                   64,
                                   1,
                                   any_off_of(&heap, gone[0]),
                                   any_off_of(&heap, gone[k]) + 64,
                                   throw_of(256u << 10) / 64 * 64,
                                   4096};
                word[throw_of(3)] = junk[throw_of(8)];
                word[room[k] / 8 - 1] = junk[throw_of(8)];
            }
            (void)any_check(&heap, NULL); // may speak, must not crash
        }
        for (unsigned i = 0; i < blocks; i++)
            CHECK(intact(&shadow[i], shadow[i].p, shadow[i].n));
        reopen();
        CHECK(sound(&heap));
        agree();
        free_all();
        one_block();
        end();
    }
}

/* The length in a block of `long_` granules, which was freed, is made to reach
 * over the next block, up to the start of the one after it. */
static void spoil_length(unsigned long_, unsigned wide)
{
    begin(1u << 20, 65536);
    struct block far = {NULL, 64 * 200, NULL, 1, 0};
    struct block next = {NULL, 64 * (size_t)wide, NULL, 2, 0};
    far.p = (unsigned char *)any_alloc(&heap, far.n);
    next.p = (unsigned char *)any_alloc(&heap, next.n);
    unsigned char *gone = (unsigned char *)any_alloc(&heap, 64 * long_);
    CHECK(gone + 64 * long_ == next.p && next.p + next.n == far.p);
    unsigned char *stop = (unsigned char *)any_alloc(&heap, 64);
    CHECK(stop + 64 == gone);
    fill(&far);
    fill(&next);
    CHECK_EQ(any_free(&heap, gone), 0);
    ((uint64_t *)(void *)gone)[2] = long_ + wide; // after it was freed
    if (wide % 3 == 0)
        CHECK_EQ(any_free(&heap, stop), 0); // which merges with it
    for (unsigned i = 0; i < 30; i++) {
        unsigned char *p = (unsigned char *)any_alloc(&heap, 64 * 2);
        CHECK(p && (p >= far.p + far.n || p + 128 <= next.p));
    }
    CHECK(intact(&next, next.p, next.n) && intact(&far, far.p, far.n));
    CHECK(sound(&heap));
    end();
}

static void a_spoilt_length_reaches_no_live_block(void)
{
    for (unsigned wide = 1; wide < 400 && !check_bad_; wide += SLOW)
        spoil_length(40, wide);
    for (unsigned wide = 1; wide < 80 && !check_bad_; wide++)
        spoil_length(300, wide);
}

/* ---- full, absurd and unusual requests */

static void a_full_region_is_a_code_and_comes_back(void)
{
    static void *p[4096];
    for (int large = 0; large < 2; large++) {
        unsigned n = 0;
        size_t size = large ? 5000 : 100;
        begin(256u << 10, 4096);
        while (n < 4096 && (p[n] = any_alloc(&heap, size)) != NULL)
            n++;
        CHECK_EQ(any_error(&heap), ALPS_EFULL);
        CHECK(n > 20 && n < 4096);
        CHECK(sound(&heap));
        uint64_t before = fingerprint();
        CHECK(any_alloc(&heap, size) == NULL);
        CHECK(any_reserve(&heap, size) == NULL);
        CHECK(any_zalloc(&heap, size) == NULL);
        CHECK(any_realloc(&heap, p[0], 100000) == NULL);
        CHECK_EQ(any_error(&heap), ALPS_EFULL);
        CHECK_EQ(fingerprint(), before);
        CHECK_EQ(any_free(&heap, p[n / 2]), 0);
        CHECK((p[n / 2] = any_alloc(&heap, size)) != NULL);
        CHECK(any_alloc(&heap, size) == NULL);
        while (n)
            CHECK_EQ(any_free(&heap, p[--n]), 0);
        one_block();
        end();
    }
}

static void sizes_of_all_kinds_are_served_or_refused(void)
{
    static const size_t absurd[] = {
        (size_t)-1,      (size_t)-64,           (size_t)-65,
        (size_t)1 << 63, ((size_t)1 << 63) - 1, ((size_t)1 << 47) + 1,
    };
    begin(256u << 10, 4096);
    void *a = any_alloc(&heap, 0), *b = any_alloc(&heap, 0);
    CHECK(a && b && a != b);
    CHECK_EQ(any_free(&heap, a) | any_free(&heap, b), 0);
    for (unsigned i = 0; i < sizeof absurd / sizeof *absurd; i++) {
        CHECK(any_alloc(&heap, absurd[i]) == NULL);
        CHECK_EQ(any_error(&heap), ALPS_EINVAL);
        CHECK(any_reserve(&heap, absurd[i]) == NULL);
        CHECK(any_zalloc(&heap, absurd[i]) == NULL);
        CHECK(any_realloc(&heap, NULL, absurd[i]) == NULL);
        CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    }
    CHECK(any_alloc(&heap, (size_t)1 << 47) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK(any_alloc(&heap, (size_t)whole() + 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    for (size_t n = 1; n <= whole(); n += n < 4300 ? 1 : 997) {
        void *p = any_alloc(&heap, n);
        CHECK(p != NULL && any_usable(&heap, p) >= n);
        if (p)
            memset(p, 1, n);
        CHECK_EQ(any_free(&heap, p), 0);
    }
    CHECK(sound(&heap));
    one_block();
    end();
}

/* The address is aligned in this mapping and in another. */
static void every_alignment_is_kept_in_every_mapping(void)
{
    any_heap other;
    alps_options o = small(4u << 20, 65536);
    begin(4u << 20, 65536);
    o.flags = 0;
    CHECK_EQ(any_open(&other, shm_name("heap"), &o), 0);
    CHECK(other.core.map.base != heap.core.map.base);
    for (int round = 0; round < 3; round++)
        for (size_t align = 1; align <= 65536; align *= 2)
            for (size_t n = 1; n < 200000; n = n * 5 + 1) {
                void *p = any_alloc_aligned(&heap, align, n);
                if (!p)
                    continue;
                alps_off off = any_off_of(&heap, p);
                CHECK_EQ((uintptr_t)p % align, 0);
                CHECK_EQ((uintptr_t)any_at(&other, off) % align, 0);
                CHECK(any_usable(&heap, p) >= n);
                if (throw_of(4))
                    CHECK_EQ(any_free(&other, any_at(&other, off)), 0);
            }
    CHECK(sound(&heap));
    CHECK(any_alloc_aligned(&heap, 131072, 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    CHECK(any_alloc_aligned(&heap, 48, 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    CHECK(any_alloc_aligned(&heap, (size_t)1 << 63, 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    CHECK_EQ(any_close(&other), 0);
    end();
}

/* ---- realloc */

static void realloc_stays_in_place_where_there_is_room(void)
{
    begin(1u << 20, 65536);
    unsigned char *a = (unsigned char *)any_alloc(&heap, 30000);
    CHECK_EQ(any_free(&heap, any_alloc(&heap, 1)), 0);
    unsigned char *p = (unsigned char *)any_realloc(&heap, a, 200);
    CHECK(p == a); // it shrinks: what is behind it is free now
    memset(p, 9, 200);
    for (size_t n = 200; n <= 30000; n += 640) {
        p = (unsigned char *)any_realloc(&heap, a, n);
        CHECK(p == a && any_usable(&heap, p) >= n);
        CHECK(sound(&heap));
    }
    for (size_t n = 30000; n > 0; n -= 600) {
        p = (unsigned char *)any_realloc(&heap, a, n);
        CHECK(p == a && any_usable(&heap, p) < n + 64);
    }
    CHECK(a[0] == 9);
    CHECK(any_realloc(&heap, a, 0) == a); // a unique object
    CHECK_EQ(any_free(&heap, a), 0);
    CHECK(sound(&heap));

    unsigned char *b = (unsigned char *)any_alloc(&heap, 500000);
    CHECK(b != NULL); // whole extents, of which it gives some back
    memset(b, 8, 500000);
    CHECK(any_realloc(&heap, b, 70000) == b);
    CHECK(any_realloc(&heap, b, 400000) == b);
    CHECK_EQ(any_usable(&heap, b), 7 * 65536);
    CHECK(b[69999] == 8);
    CHECK(sound(&heap));
    CHECK_EQ(any_free(&heap, b), 0);
    one_block();
    end();
}

static void realloc_of_null_allocates(void)
{
    begin(256u << 10, 4096);
    void *p = any_realloc(&heap, NULL, 100);
    CHECK(p != NULL && any_usable(&heap, p) == 128);
    void *held = any_reserve(&heap, 100);
    CHECK(any_realloc(&heap, held, 200) == NULL); // no block yet
    CHECK_EQ(any_error(&heap), ALPS_EINVALID_FREE);
    CHECK_EQ(any_cancel(&heap, held), 0);
    CHECK_EQ(any_free(&heap, p), 0);
    one_block();
    end();
}

/* ---- reservations */

static void thousands_of_reservations_are_held(void)
{
    enum { MANY = 6000 };
    static void *p[MANY];
    begin(4u << 20, 65536);
    alps_off *root = (alps_off *)any_root(&heap, 8);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            CHECK((p[i] = any_reserve(&heap, 16 + i % 400)) != NULL);
            token_fill(p[i], 16 + i % 400 / 8 * 8, i);
        }
        CHECK(sound(&heap));
        CHECK_EQ(stats().blocks, 0);
        for (unsigned i = 0; i < MANY; i++) {
            unsigned k = i + (unsigned)throw_of(MANY - i);
            void *q = p[k];
            p[k] = p[i];
            CHECK(token_whole(q));
            if (i % 3) {
                CHECK_EQ(any_cancel(&heap, q), 0);
            } else {
                CHECK_EQ(any_publish(&heap, root, q), 0);
                CHECK_EQ(any_release(&heap, root), 0);
            }
            CHECK_EQ(any_cancel(&heap, q), ALPS_EINVALID_FREE);
            if (i % 500 == 0)
                CHECK(sound(&heap));
        }
        CHECK(sound(&heap));
    }
    CHECK(stats().reserved <= 8ull * 4 * 8192); // what tells who holds what
    reopen();
    CHECK(sound(&heap));
    one_block();
    end();
}

/* Those who come and go with reservations leave nothing behind. */
static void visitors_with_reservations_leave_no_trace(void)
{
    any_heap other;
    alps_options o = small(0, 0);
    begin(1u << 20, 16384);
    o.flags = 0;
    for (unsigned i = 0; i < 400 / SLOW; i++) {
        CHECK_EQ(any_open(&other, shm_name("heap"), &o), 0);
        for (unsigned k = 0; k < 100; k++)
            CHECK(any_reserve(&other, 64) != NULL);
        CHECK_EQ(any_close(&other), 0);
    }
    CHECK(sound(&heap));
    CHECK(stats().reserved <= 16384);
    CHECK_EQ(stats().blocks, 0);
    end();
}

static void a_reservation_of_another_is_left_alone(void)
{
    any_heap other;
    alps_options o = small(0, 0);
    begin(256u << 10, 4096);
    o.flags = 0;
    alps_off *root = (alps_off *)any_root(&heap, 8);
    CHECK_EQ(any_open(&other, shm_name("heap"), &o), 0);
    void *theirs = any_reserve(&other, 300);
    CHECK(theirs != NULL);
    void *p = any_at(&heap, any_off_of(&other, theirs));
    uint64_t before = fingerprint();
    CHECK_EQ(any_free(&heap, p), ALPS_EOWNER);
    CHECK_EQ(any_cancel(&heap, p), ALPS_EOWNER);
    CHECK_EQ(any_publish(&heap, root, p), ALPS_EOWNER);
    CHECK_EQ(*root, 0);
    CHECK_EQ(fingerprint(), before);
    CHECK_EQ(any_usable(&heap, p), 320);
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&other), 0); // gives it back
    CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
    CHECK(sound(&heap));
    one_block();
    end();
}

static void a_reservation_may_be_freed(void)
{
    begin(256u << 10, 4096);
    void *p = any_reserve(&heap, 300), *q = any_reserve(&heap, 9000);
    CHECK(p && q);
    CHECK_EQ(stats().reserved, 320 + 12288);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_free(&heap, q), 0);
    CHECK_EQ(stats().reserved, 0);
    not_freed(p);
    not_freed(q);
    one_block();
    end();
}

/* ---- visits */

struct visits {
    unsigned seen, stop;
};

static int frees_what_it_sees(void *context, void *p, size_t n)
{
    struct visits *v = (struct visits *)context;
    CHECK_EQ(any_usable(&heap, p), n);
    CHECK_EQ(any_free(&heap, p), 0);
    return ++v->seen == v->stop ? (int)v->stop + 1000 : 0;
}

static void a_visitor_may_free_and_may_stop(void)
{
    struct visits v = {0, 0};
    for (uint64_t extent = 4096; extent <= 65536; extent *= 4) {
        begin(1u << 20, extent);
        for (unsigned i = 0; i < 200; i++)
            CHECK(any_alloc(&heap, i % 50 ? i * 5 : extent) != NULL);
        v.seen = 0;
        v.stop = 50;
        CHECK_EQ(any_each(&heap, frees_what_it_sees, &v), 1050);
        CHECK_EQ(stats().blocks, 150);
        v.stop = 0;
        CHECK_EQ(any_each(&heap, frees_what_it_sees, &v), 0);
        CHECK_EQ(v.seen, 200);
        CHECK_EQ(any_each(&heap, frees_what_it_sees, &v), 0);
        CHECK_EQ(v.seen, 200);
        one_block();
        end();
    }
}

/* ---- the program's own stores */

static void flush_fence_and_persist_answer(void)
{
    begin(256u << 10, 4096);
    char *p = (char *)any_alloc(&heap, 1000);
    memset(p, 1, 1000);
    CHECK_EQ(any_flush(&heap, p, 1000), 0);
    CHECK_EQ(any_fence(&heap), 0);
    CHECK_EQ(any_persist(&heap, p, 1), 0);
    CHECK_EQ(any_persist(&heap, p, 0), 0);
    CHECK_EQ(any_sync(&heap), 0);
    CHECK(any_root(&heap, ALPS_ROOT_SIZE) == any_root(&heap, 1));
    CHECK(any_root(&heap, ALPS_ROOT_SIZE + 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    end();
}

int main(void)
{
    RUN_BOTH(tiny_extents_agree_with_the_shadow);
    RUN_BOTH(middling_extents_agree_with_the_shadow);
    RUN_BOTH(large_extents_agree_with_the_shadow);
    RUN_BOTH(what_stats_call_the_largest_is_to_be_had);
    RUN_BOTH(the_largest_is_to_be_had_among_small_blocks);
    RUN_BOTH(stats_count_size_classes_and_fragmentation);
    RUN_BOTH(wild_frees_are_refused);
    RUN_BOTH(a_double_free_is_refused);
    RUN_BOTH(a_block_is_not_published_or_cancelled);
    RUN_BOTH(a_destination_is_in_the_root_or_in_the_heap);
    RUN_BOTH(what_is_no_block_is_not_released);
    RUN_BOTH(an_overflow_reaches_no_metadata);
    RUN_BOTH(use_after_free_gives_no_block_twice);
    RUN_BOTH(a_spoilt_length_reaches_no_live_block);
    RUN_BOTH(a_full_region_is_a_code_and_comes_back);
    RUN_BOTH(sizes_of_all_kinds_are_served_or_refused);
    RUN_BOTH(every_alignment_is_kept_in_every_mapping);
    RUN_BOTH(realloc_stays_in_place_where_there_is_room);
    RUN_BOTH(realloc_of_null_allocates);
    RUN_BOTH(thousands_of_reservations_are_held);
    RUN_BOTH(visitors_with_reservations_leave_no_trace);
    RUN_BOTH(a_reservation_of_another_is_left_alone);
    RUN_BOTH(a_reservation_may_be_freed);
    RUN_BOTH(a_visitor_may_free_and_may_stop);
    RUN_BOTH(flush_fence_and_persist_answer);
    slabs = 1;
    RUN_BOTH(tiny_extents_agree_with_the_shadow);
    RUN_BOTH(middling_extents_agree_with_the_shadow);
    RUN_BOTH(large_extents_agree_with_the_shadow);
    RUN_BOTH(wild_frees_are_refused);
    RUN_BOTH(a_double_free_is_refused);
    RUN_BOTH(a_block_is_not_published_or_cancelled);
    RUN_BOTH(what_is_no_block_is_not_released);
    RUN_BOTH(an_overflow_reaches_no_metadata);
    RUN_BOTH(a_full_region_is_a_code_and_comes_back);
    RUN_BOTH(sizes_of_all_kinds_are_served_or_refused);
    RUN_BOTH(every_alignment_is_kept_in_every_mapping);
    RUN_BOTH(thousands_of_reservations_are_held);
    RUN_BOTH(visitors_with_reservations_leave_no_trace);
    RUN_BOTH(a_reservation_of_another_is_left_alone);
    RUN_BOTH(a_reservation_may_be_freed);
    RUN_BOTH(a_visitor_may_free_and_may_stop);
    return check_end("heap");
}
