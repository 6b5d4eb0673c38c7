/* test_small.c -- objects that share slabs
 *
 * What one thread sees of them: their sizes and places, what is refused, what
 * a crash leaves. A map of the region, a byte for 16, tells what is handed
 * out; beside it stand the objects themselves. */
#include "worlds.h"

/* The sizes of objects, by the rule: steps of 16 up to 128, then four to a
 * doubling. */
static size_t class_of(size_t n)
{
    size_t step = 16;
    while (n > step * 8)
        step *= 2;
    return n ? (n + step - 1) / step * step : 16;
}

static void every_size_has_its_class_and_its_place(void)
{
    static void *p[1025];
    begin(8u << 20, 1u << 20);
    for (size_t n = 0; n <= 1024; n++) {
        p[n] = n % 2 ? any_alloc(&heap, n) : any_zalloc(&heap, n);
        CHECK(p[n] && in_slab(p[n]));
        CHECK_EQ((uintptr_t)p[n] % 16, 0);
        CHECK_EQ(any_usable(&heap, p[n]), class_of(n));
    }
    void *more = any_alloc(&heap, 1025);
    CHECK(more && !in_slab(more));
    CHECK_EQ(any_free(&heap, more), 0);
    CHECK(sound(&heap));
    for (size_t n = 0; n <= 1024; n++) {
        CHECK_EQ(any_usable(&heap, p[n]), class_of(n));
        CHECK_EQ(any_free(&heap, p[n]), 0);
        CHECK_EQ(any_usable(&heap, p[n]), 0);
    }
    CHECK(one_block_again(&heap));
    end();
}

/* Every power of two, at the address, of several objects side by side. */
static void every_alignment_is_kept(void)
{
    begin(16u << 20, 1u << 20);
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t n = 0; n <= 1100; n += n < 130 ? 1 : 23) {
            void *p[3];
            for (unsigned i = 0; i < 3; i++) {
                p[i] = any_alloc_aligned(&heap, align, n);
                CHECK(p[i] && any_usable(&heap, p[i]) >= n);
                CHECK_EQ((uintptr_t)p[i] % align, 0);
            }
            CHECK_EQ(any_free(&heap, p[0]) | any_free(&heap, p[2]), 0);
            if (n % 5)
                CHECK_EQ(any_free(&heap, p[1]), 0);
        }
    CHECK(any_alloc_aligned(&heap, 24, 24) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVAL);
    CHECK(sound(&heap));
    end();
}

/* Zeroed is zeroed, also where others were before. */
static void what_is_zeroed_is_zero(void)
{
    begin(8u << 20, 1u << 20);
    for (size_t n = 1; n <= 1024; n += 7)
        for (unsigned round = 0; round < 3; round++) {
            unsigned char *p = (unsigned char *)any_zalloc(&heap, n);
            size_t i = 0;
            while (i < n && !p[i])
                i++;
            CHECK_EQ(i, n);
            memset(p, 0xff, any_usable(&heap, p));
            CHECK_EQ(any_free(&heap, p), 0);
        }
    CHECK(sound(&heap));
    end();
}

/* ---- against a model */

#define OBJECTS 3000
#define SLOTS 64 // words of the root that name objects

struct object {
    alps_off off;
    size_t n; // usable
    int held; // reserved
    int slot; // of the root, or -1
};

static struct object model[OBJECTS];
static unsigned objects;
static unsigned char taken[(8u << 20) / 16];

/* Marks the bytes of an object as handed out, or no more; answers how many
 * were so already. */
static unsigned mark(const struct object *o, unsigned char as)
{
    unsigned same = 0;
    for (alps_off at = o->off; at < o->off + o->n; at += 16) {
        same += taken[at / 16] == as;
        taken[at / 16] = as;
    }
    return same;
}

static void add(void *p, size_t n, int held)
{
    struct object *o = &model[objects++];
    o->off = any_off_of(&heap, p);
    o->n = any_usable(&heap, p);
    o->held = held;
    o->slot = -1;
    CHECK(o->n >= n && o->n >= 16 && o->n % 16 == 0);
    CHECK_EQ(mark(o, 1), 0);
    token_fill(p, o->n, o->off);
}

/* Takes object `i` out of the model. */
static void forget(unsigned i)
{
    CHECK_EQ(mark(&model[i], 0), 0);
    model[i] = model[--objects];
}

/* The same, of one that is alive. */
static void drop(unsigned i)
{
    CHECK(token_whole(any_at(&heap, model[i].off)));
    forget(i);
}

static int in_order(const void *a, const void *b)
{
    const struct object *x = (const struct object *)a;
    const struct object *y = (const struct object *)b;
    return x->off < y->off ? -1 : x->off > y->off;
}

static int is_in_model(void *context, void *p, size_t n)
{
    struct object o;
    memset(&o, 0, sizeof o);
    o.off = any_off_of(&heap, p);
    const struct object *found =
        (const struct object *)bsearch(&o, model, objects, sizeof o, in_order);
    CHECK(found && !found->held && found->n == n);
    ++*(unsigned *)context;
    return 0;
}

/* What each, stats and check tell is what the model knows. */
static void agree(void)
{
    unsigned seen = 0, live = 0;
    uint64_t bytes[2] = {0, 0}, by_class[ALPS_CLASSES] = {0};
    qsort(model, objects, sizeof *model, in_order);
    for (unsigned i = 0; i < objects; i++) {
        const struct object *o = &model[i];
        bytes[o->held] += o->n;
        live += !o->held;
        by_class[alps_high_bit_(o->n)] += !o->held;
        CHECK(token_whole(any_at(&heap, o->off)));
        CHECK_EQ(any_usable(&heap, any_at(&heap, o->off)), o->n);
    }
    alps_statistics s = stats();
    CHECK_EQ(any_each(&heap, is_in_model, &seen), 0);
    CHECK_EQ(seen, live);
    CHECK_EQ(s.blocks, live);
    CHECK_EQ(s.used, bytes[0]);
    CHECK_EQ(s.reserved, bytes[1]);
    for (unsigned k = 0; k < ALPS_CLASSES; k++)
        CHECK_EQ(s.by_class[k], by_class[k]);
    CHECK(sound(&heap));
}

static size_t some_size(void)
{
    return (size_t)throw_of(throw_of(8) ? 300 : 1100);
}

static void step_add(void)
{
    size_t n = some_size();
    unsigned how = (unsigned)throw_of(4);
    size_t align = (size_t)1 << throw_of(8);
    void *p = how == 0   ? any_reserve(&heap, n)
              : how == 1 ? any_alloc_aligned(&heap, align, n)
                         : any_alloc(&heap, n);
    CHECK(p != NULL && (how != 1 || (uintptr_t)p % align == 0));
    if (p)
        add(p, n, how == 0);
}

/* A reservation is published into the word, or what it names is released. */
static void step_turn(alps_off *root, int slot)
{
    unsigned i = 0;
    while (i < objects && (root[slot] ? model[i].slot != slot : !model[i].held))
        i++;
    if (i == objects)
        return;
    if (root[slot]) {
        drop(i);
        CHECK_EQ(any_release(&heap, &root[slot]), 0);
        CHECK_EQ(root[slot], 0);
    } else {
        CHECK_EQ(any_publish(&heap, &root[slot], any_at(&heap, model[i].off)),
                 0);
        CHECK_EQ(root[slot], model[i].off);
        model[i].held = 0;
        model[i].slot = slot;
    }
}

static void step_free(unsigned i)
{
    void *p = any_at(&heap, model[i].off);
    alps_off *root = (alps_off *)any_root(&heap, SLOTS * sizeof *root);
    if (model[i].slot >= 0)
        root[model[i].slot] = 0;
    int held = model[i].held;
    drop(i);
    CHECK_EQ(held && throw_of(2) ? any_cancel(&heap, p) : any_free(&heap, p),
             0);
}

static void step_realloc(unsigned i)
{
    void *p = any_at(&heap, model[i].off);
    size_t n = some_size() + 16;
    uint64_t seed = model[i].off;
    if (model[i].held || model[i].slot >= 0)
        return;
    drop(i);
    struct token *q = (struct token *)any_realloc(&heap, p, n);
    CHECK(q && q->seed == seed);
    if (q)
        add(q, n, 0);
}

static void steps(unsigned rounds, unsigned keep)
{
    alps_off *root = (alps_off *)any_root(&heap, SLOTS * sizeof *root);
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        unsigned kind = (unsigned)throw_of(8);
        if (kind < 4 && objects < keep)
            step_add();
        else if (kind == 4)
            step_turn(root, (int)throw_of(SLOTS));
        else if (kind == 5 && objects)
            step_realloc((unsigned)throw_of(objects));
        else if (objects)
            step_free((unsigned)throw_of(objects));
        if (i % 1024 == 0)
            agree();
    }
}

/* All reservations are gone, and nothing else. */
static void forget_reservations(void)
{
    for (unsigned i = 0; i < objects;)
        if (model[i].held) {
            void *p = any_at(&heap, model[i].off);
            forget(i);
            CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
            CHECK_EQ(any_free(&heap, p), ALPS_EINVALID_FREE);
            CHECK(!in_slab(p) || any_usable(&heap, p) == 0);
        } else {
            i++;
        }
    agree();
}

static void model_begin(uint64_t extent)
{
    objects = 0;
    memset(taken, 0, sizeof taken);
    begin(8u << 20, extent);
}

static void model_end(void)
{
    while (objects)
        step_free((unsigned)throw_of(objects));
    agree();
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
    end();
}

/* No two overlap; each holds what was written to it until it is freed. */
static void objects_agree_with_the_model(void)
{
    for (uint64_t extent = 4096; extent <= 1u << 20; extent *= 16) {
        model_begin(extent);
        steps(24000 / SLOW, 200);
        steps(24000 / SLOW, OBJECTS);
        model_end();
    }
}

static void a_crash_leaves_what_was_alive(void)
{
    for (uint64_t extent = 4096; extent <= 1u << 20; extent *= 16) {
        model_begin(extent);
        for (unsigned i = 0; i < 12 / SLOW; i++) {
            steps(2000, i % 2 ? 150 : OBJECTS);
            crash();
            forget_reservations();
        }
        model_end();
    }
}

static void a_close_leaves_what_was_alive(void)
{
    model_begin(1u << 18);
    for (unsigned i = 0; i < 12 / SLOW; i++) {
        steps(2000, i % 2 ? 150 : OBJECTS);
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(open_too(&heap), 0);
        forget_reservations();
    }
    model_end();
}

/* ---- what is refused */

static void a_double_free_is_refused(void)
{
    void *p[200];
    begin(1u << 20, 1u << 18);
    for (unsigned i = 0; i < 200; i++)
        CHECK((p[i] = any_alloc(&heap, 1 + i * 5)) != NULL);
    for (unsigned i = 0; i < 200; i += 3) {
        CHECK_EQ(any_free(&heap, p[i]), 0);
        not_freed(p[i]);
    }
    CHECK(sound(&heap));
    CHECK_EQ(any_trim(&heap), 0);
    for (unsigned i = 0; i < 200; i++)
        if (i % 3)
            CHECK_EQ(any_free(&heap, p[i]), 0);
    for (unsigned i = 0; i < 200; i++)
        not_freed(p[i]);
    CHECK_EQ(any_trim(&heap), 0);
    for (unsigned i = 0; i < 200; i++)
        not_freed(p[i]); // where no slab is any more
    CHECK(one_block_again(&heap));
    end();
}

static void an_interior_free_is_refused(void)
{
    begin(1u << 20, 1u << 18);
    for (size_t n = 16; n <= 1024; n = class_of(n + 1)) {
        unsigned char *p = (unsigned char *)any_alloc(&heap, n);
        unsigned char *q = (unsigned char *)any_reserve(&heap, n);
        CHECK(p && q);
        for (size_t i = 1; i < n; i += 1 + i * SLOW / 16) {
            not_freed(p + i);
            not_freed(q + i);
        }
    }
    CHECK(sound(&heap));
    end();
}

static void a_foreign_free_is_refused(void)
{
    uint64_t here[8] = {0};
    any_heap other;
    alps_options o = options(1u << 20, 1u << 18);
    choose(&alps_backend_anon_, world->policy);
    CHECK_EQ(any_open(&other, NULL, &o), 0);
    choose(world->backend, world->policy);
    begin(1u << 20, 1u << 18);
    unsigned char *base = heap.core.map.base;
    unsigned char *p = (unsigned char *)any_alloc(&heap, 100);
    void *q = any_alloc(&other, 100);
    CHECK(p && q);
    CHECK_EQ(any_free(&heap, NULL), 0);
    not_freed(here);
    not_freed(q);
    for (alps_off off = 0; off < heap.core.at.heap; off += 4096 - 16)
        not_freed(base + off);
    alps_slab *s = alps_slab_head_(&heap.core, any_off_of(&heap, p));
    not_freed(s);
    not_freed(s + 1);
    not_freed(base + alps_size_(&heap.core));
    not_freed(base + heap.core.at.limit + (1u << 20));
    not_freed(base - 16);
    not_freed((void *)(uintptr_t)16);
    not_freed((void *)~(uintptr_t)15);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(sound(&heap));
    end();
    choose(&alps_backend_anon_, world->policy);
    CHECK_EQ(any_close(&other), 0);
    choose(world->backend, world->policy);
}

/* Old objects of slabs that were given back and made anew for another class:
 * refused, unless one of the new ones starts there. */
static void a_stale_free_is_refused(void)
{
    enum { OLD = 500, NEW = 1500 };
    static void *old[OLD], *new_[NEW];
    static const size_t sizes[] = {64, 48, 1024, 80, 16, 896};
    unsigned reused = 0;
    begin(1u << 20, 1u << 18);
    for (unsigned k = 0; k + 1 < sizeof sizes / sizeof *sizes; k++) {
        for (unsigned i = 0; i < OLD; i++)
            CHECK((old[i] = any_alloc(&heap, sizes[k])) != NULL);
        for (unsigned i = 0; i < OLD; i++)
            CHECK_EQ(any_free(&heap, old[i]), 0);
        CHECK_EQ(any_trim(&heap), 0);
        for (unsigned i = 0; i < NEW / 3; i++)
            CHECK((new_[i] = any_alloc(&heap, sizes[k + 1])) != NULL);
        for (unsigned i = 0; i < OLD; i += SLOW) {
            if (any_usable(&heap, old[i]))
                continue; // it is alive again
            reused +=
                (unsigned)alps_slab_is_(&heap.core, any_off_of(&heap, old[i]));
            not_freed(old[i]);
        }
        CHECK(sound(&heap));
        for (unsigned i = 0; i < NEW / 3; i++)
            CHECK_EQ(any_free(&heap, new_[i]), 0);
        CHECK_EQ(any_trim(&heap), 0);
    }
    CHECK(reused > 500 / SLOW);
    CHECK(one_block_again(&heap));
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(every_size_has_its_class_and_its_place);
    RUN_EVERYWHERE(every_alignment_is_kept);
    RUN_EVERYWHERE(what_is_zeroed_is_zero);
    RUN_EVERYWHERE(objects_agree_with_the_model);
    RUN_WHERE_BYTES_STAY(a_crash_leaves_what_was_alive);
    RUN_WHERE_BYTES_STAY(a_close_leaves_what_was_alive);
    RUN_EVERYWHERE(a_double_free_is_refused);
    RUN_EVERYWHERE(an_interior_free_is_refused);
    RUN_EVERYWHERE(a_foreign_free_is_refused);
    RUN_EVERYWHERE(a_stale_free_is_refused);
    return check_end("small");
}
