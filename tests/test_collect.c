/* test_collect.c -- what nothing leads to is freed
 *
 * Graphes of plainly allocated objects, of all sizes, with a model of what the
 * program still leads to. What is collected is all the rest and nothing else:
 * with names, pledges, reservations, other threads' slabs; and the power fails
 * at each fence of a collection. */
#include "wreck.h"
#include "model.h"
#include <pthread.h>

#define NODES 400u
#define LINKS 3u

struct node {
    uint64_t number;
    alps_off link[LINKS]; // to nodes, or into them
};

static any_heap heap;
static alps_off place[NODES]; // 0: there is none
static alps_off into[NODES];  // how far inside of it links lead
static int reached[NODES];    // in the model
static alps_collected sum;
static char path[64]; // of the region, also for other processes

static struct node *node_at(alps_off off)
{
    return (struct node *)any_at(&heap, off);
}

/* What the program knows of its objects: each begins with links, and so does
 * the root area. Objects of names are nodes, too. */
static int refers(void *context, alps_collecting *c, void *p, size_t n)
{
    uint64_t *calls = (uint64_t *)context;
    if (calls)
        ++*calls;
    if (p == any_root(&heap, 8)) {
        const alps_off *root = (const alps_off *)p;
        for (unsigned i = 0; i < 8; i++)
            CHECK_EQ(any_refer(c, any_at(&heap, root[i])), 0);
        return 0;
    }
    const struct node *node = (const struct node *)p;
    for (unsigned i = 0; n >= sizeof *node && i < LINKS; i++)
        CHECK_EQ(any_refer(c, any_at(&heap, node->link[i])), 0);
    return 0;
}

static size_t node_size(void)
{
    uint64_t kind = throw_of(20);
    return kind == 0  ? 9000 + throw_of(9000) // runs of extents
           : kind < 4 ? 700 + throw_of(2000)
                      : sizeof(struct node) + throw_of(200);
}

/* Makes up to `n` nodes, with links between them; the root leads to some. */
static void grow(unsigned n)
{
    memset(place, 0, sizeof place);
    for (unsigned i = 0; i < n; i++) {
        size_t size = node_size();
        struct node *p = (struct node *)any_alloc(&heap, size);
        if (!p)
            continue;
        memset(p, (int)i, size);
        p->number = i;
        memset(p->link, 0, sizeof p->link);
        place[i] = any_off_of(&heap, p);
        into[i] = throw_of(4) ? 0 : throw_of(size);
    }
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; place[i] && k < LINKS; k++) {
            unsigned to = (unsigned)throw_of(n);
            if (place[to] && throw_of(3) == 0)
                node_at(place[i])->link[k] = place[to] + into[to];
        }
    alps_off *root = (alps_off *)any_root(&heap, 64);
    for (unsigned i = 0; i < 8; i++) {
        unsigned to = (unsigned)throw_of(n);
        root[i] = place[to] ? place[to] + into[to] : 0;
    }
}

static unsigned number_at(alps_off off)
{
    for (unsigned i = 0; i < NODES; i++)
        if (place[i] && place[i] + into[i] == off)
            return i;
    return NODES;
}

static void reach(alps_off off)
{
    unsigned i = off ? number_at(off) : NODES;
    if (i == NODES || reached[i])
        return;
    reached[i] = 1;
    for (unsigned k = 0; k < LINKS; k++)
        reach(node_at(place[i])->link[k]);
}

/* The model of a collection; answers how many nodes it leaves. */
static unsigned model(void)
{
    unsigned n = 0;
    const alps_off *root = (const alps_off *)any_root(&heap, 64);
    memset(reached, 0, sizeof reached);
    for (unsigned i = 0; i < 8; i++)
        reach(root[i]);
    for (unsigned i = 0; i < NODES; i++)
        n += (unsigned)reached[i];
    return n;
}

/* All that the model reaches is as it was. */
static int all_reached(void)
{
    int bad = 0;
    for (unsigned i = 0; i < NODES; i++) {
        if (!reached[i])
            continue;
        const struct node *p = node_at(place[i]);
        bad += any_usable(&heap, p) < sizeof *p || p->number != i ||
               (*(const unsigned char *)(p + 1) != (unsigned char)i &&
                any_usable(&heap, p) > sizeof *p + 16);
    }
    return !bad;
}

static uint64_t blocks(void)
{
    alps_report r;
    CHECK_EQ(any_check(&heap, &r), 0);
    return r.blocks;
}

static void begin(uint64_t size)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = size;
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    o.grow = ALPS_GROW_NEVER;
    CHECK_EQ(any_open(&heap, path, &o), 0);
}

static void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(path), 0);
}

static void what_is_not_reached_is_freed(void)
{
    for (unsigned round = 0; round < 40 / SLOW; round++) {
        uint64_t calls = 0;
        begin(8u << 20);
        grow(NODES);
        uint64_t all = blocks();
        unsigned left = model();
        CHECK_EQ(any_collect(&heap, refers, &calls, &sum), 0);
        CHECK_EQ(calls, left + 1); // and the root
        CHECK_EQ(sum.kept, left);
        CHECK_EQ(sum.objects, all - left);
        CHECK_EQ(sum.strays, 0);
        CHECK(sum.bytes >= sum.objects * sizeof(struct node));
        CHECK_EQ(blocks(), left);
        CHECK(all_reached());
        CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
        CHECK_EQ(sum.objects, 0);
        memset(any_root(&heap, 64), 0, 64);
        CHECK_EQ(any_collect(&heap, refers, NULL, NULL), 0);
        CHECK_EQ(blocks(), 0);
        CHECK_EQ(any_trim(&heap), 0);
        void *p = any_alloc(&heap, 6u << 20); // it is all there again
        CHECK(p != NULL);
        end();
    }
}

/* Names, their descriptions and what names are found by stay; what they lead to
 * does, too. */
static void names_are_roots(void)
{
    char name[16];
    begin(8u << 20);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.kept + sum.objects, 0);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "name %u", i);
        struct node *p =
            (struct node *)any_construct(&heap, name, sizeof *p + i * 20);
        struct node *q = (struct node *)any_zalloc(&heap, sizeof *q);
        CHECK(p && q && any_zalloc(&heap, 40));
        CHECK_EQ(any_redescribe(&heap, p, "words", 5), 0);
        q->number = i;
        p->link[1] = any_off_of(&heap, q);
    }
    uint64_t all = blocks();
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.objects, 100);
    CHECK_EQ(sum.kept, all - 100);
    CHECK_EQ(blocks(), all - 100);
    for (unsigned i = 0; i < 100; i++) {
        alps_naming as;
        snprintf(name, sizeof name, "name %u", i);
        const struct node *p = (const struct node *)any_find(&heap, name, NULL);
        CHECK(p && node_at(p->link[1])->number == i);
        CHECK_EQ(any_named(&heap, p, &as), 0);
        CHECK(as.text_length == 5 && !memcmp(as.text, "words", 5));
    }
    end();
}

/* Reservations and what is retired stay; so does what is pledged, with what it
 * leads to. */
static void what_is_held_stays(void)
{
    begin(8u << 20);
    void *small = any_reserve(&heap, 100), *large = any_reserve(&heap, 5000);
    void *gone = any_alloc(&heap, 100);
    struct node *hung = (struct node *)any_reserve(&heap, sizeof *hung);
    struct node *next = (struct node *)any_zalloc(&heap, sizeof *next);
    CHECK(small && large && gone && hung && next);
    memset(hung, 0, sizeof *hung);
    hung->link[0] = any_off_of(&heap, next);
    CHECK_EQ(any_publish(&heap, &alps_pledge_at_(&heap.core, 2)->block, hung),
             0);
    CHECK_EQ(any_retire(&heap, gone), 0);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.kept, 2);
    CHECK_EQ(sum.objects, 0);
    alps_off *root = (alps_off *)any_root(&heap, 64);
    memset(small, 0, 100);
    memset(large, 0, 5000);
    CHECK_EQ(any_publish(&heap, &root[0], small), 0);
    CHECK_EQ(any_publish(&heap, &root[1], large), 0);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.kept, 4);
    CHECK_EQ(blocks(), 4);
    end();
}

static int stops(void *context, alps_collecting *c, void *p, size_t n)
{
    (void)p;
    (void)n;
    const char *stray = (const char *)&sum; // in no region
    CHECK_EQ(any_refer(c, NULL), 0);
    CHECK_EQ(any_refer(c, stray), ALPS_EINVAL);
    CHECK_EQ(any_refer(c, any_at(&heap, 64)), ALPS_EINVAL);
    return *(int *)context;
}

/* Whoever stops it, and what is not ready for it, leaves all as it was. */
static void nothing_is_freed_by_half(void)
{
    int stop = 17;
    alps_tx t;
    begin(8u << 20);
    grow(50);
    uint64_t all = blocks();
    CHECK_EQ(any_collect(&heap, stops, &stop, &sum), 17);
    CHECK_EQ(sum.strays, 2);
    CHECK_EQ(sum.objects, 0);
    CHECK_EQ(blocks(), all);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), ALPS_EBUSY);
    CHECK_EQ(any_commit(&t), 0);
    CHECK(any_construct(&heap, "a", 10) != NULL);
    all = blocks();
    alps_off *names = &heap.core.super->names, was = *names;
    *names = was + 16;
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), ALPS_ECORRUPT);
    *names = was;
    CHECK_EQ(blocks(), all);
    stop = 0; // nothing is reached, but what has a name
    CHECK_EQ(any_collect(&heap, stops, &stop, &sum), 0);
    CHECK_EQ(sum.kept, 2);
    CHECK_EQ(any_close(&heap), 0);
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    CHECK_EQ(any_open(&heap, path, &o), 0);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), ALPS_EREADONLY);
    end();
}

static void *allocates(void *context)
{
    alps_off *head = (alps_off *)context;
    for (unsigned i = 0; i < 1000; i++) {
        struct node *p = (struct node *)any_zalloc(&heap, sizeof *p + i % 100);
        if (!p)
            return &heap;
        if (i % 10)
            continue;
        p->link[0] = *head; // each tenth is in a row
        *head = any_off_of(&heap, p);
    }
    return NULL;
}

/* Of slabs that other threads own, or that nobody owns any more. */
static void slabs_of_other_threads(void)
{
    pthread_t thread[4];
    begin(8u << 20);
    alps_off *root = (alps_off *)any_root(&heap, 64);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, allocates, &root[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK(allocates(&root[4]) == NULL);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.kept, 500);
    CHECK_EQ(sum.objects, 4500);
    CHECK_EQ(blocks(), 500);
    CHECK(allocates(&root[5]) == NULL); // in the same slabs
    CHECK_EQ(blocks(), 1500);
    memset(root, 0, 64);
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.objects, 1500);
    CHECK_EQ(blocks(), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK(any_alloc(&heap, 6u << 20) != NULL);
    end();
}

/* A row is as long as it likes: who walks it is not called by itself. */
static void a_long_row(void)
{
    begin(64u << 20);
    alps_off *root = (alps_off *)any_root(&heap, 64);
    for (unsigned i = 0; i < 200000 / SLOW; i++) {
        struct node *p = (struct node *)any_zalloc(&heap, sizeof *p);
        CHECK(p != NULL);
        p->link[0] = root[i % 3];
        root[i % 3] = any_off_of(&heap, p);
    }
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK_EQ(sum.kept, 200000 / SLOW);
    root[1] = 0;
    CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
    CHECK(sum.objects >= 200000 / SLOW / 3);
    CHECK_EQ(sum.kept + sum.objects, 200000 / SLOW);
    end();
}

/* Whenever the power fails nothing is gone that is reached, and the next
 * collection frees the rest. */
static void power_may_fail_at_each_fence(void)
{
    static unsigned char before[IMAGE_ROOM];
    static unsigned long at, fences;
    static unsigned left, round;
    static uint64_t length;
    for (round = 0; round < 6 / SLOW + 1; round++) {
        CHECK_EQ(wreck_choose(), 0);
        CHECK_EQ(wreck_open(&heap, ALPS_CREATE | ALPS_TRUNCATE), 0);
        grow(120);
        left = model();
        CHECK_EQ(any_close(&heap), 0);
        length = scene.length;
        memcpy(before, scene.bytes, length);
        fences = 1;
        for (at = 1; at <= fences; at++) {
            memcpy(scene.bytes, before, length);
            CHECK_EQ(wreck_open(&heap, 0), 0);
            wreck_begin(at < fences || fences == 1 ? at : 0);
            if (fences == 1)
                wreck_begin(~0ul);
            if (!setjmp(wreck_back))
                CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
            if (fences == 1)
                fences = wreck_barriers + 2; // and once without a failure
            wreck_begin(0);
            alps_local_close_(&heap.core);
            CHECK_EQ(wreck_open(&heap, 0), 0);
            CHECK_EQ(any_check(&heap, NULL), 0);
            CHECK(all_reached());
            CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
            CHECK_EQ(sum.kept, left);
            CHECK(all_reached());
            CHECK_EQ(blocks(), left);
            CHECK_EQ(any_close(&heap), 0);
        }
        CHECK(fences > 10);
    }
}

/* A process is killed in the middle: another goes on at once. */
static int collects_and_dies(void)
{
    memset(&heap, 0, sizeof heap);
    if (any_open(&heap, path, NULL))
        return 2;
    (void)any_collect(&heap, refers, NULL, &sum);
    return 1;
}

static unsigned long fences_left;

static int deadly_fence(alps_map *m, const alps_backend *b)
{
    if (fences_left && !--fences_left)
        raise(SIGKILL);
    return quiet_fence_(m, b);
}

static void a_process_may_be_killed_at_each_fence(void)
{
    choose(&alps_backend_shmem_, &quiet);
    manner.fence = deadly_fence;
    unsigned killed = 0;
    for (unsigned long at = 3; at < 60; at += 1 + 6 * (SLOW - 1)) {
        begin(8u << 20);
        grow(150);
        unsigned left = model();
        fences_left = at;
        int how = end_of(start_child(collects_and_dies));
        fences_left = 0;
        CHECK(how == 1 || how == 1000 + SIGKILL);
        killed += how == 1000 + SIGKILL;
        CHECK(all_reached());
        CHECK_EQ(any_reap(&heap), 0);
        CHECK_EQ(any_check(&heap, NULL), 0);
        CHECK_EQ(any_collect(&heap, refers, NULL, &sum), 0);
        CHECK_EQ(blocks(), left);
        CHECK(all_reached());
        end();
    }
    CHECK(killed > 0);
}

int main(void)
{
    snprintf(path, sizeof path, "%s", shm_name("collect"));
    RUN_BOTH(what_is_not_reached_is_freed);
    RUN_BOTH(names_are_roots);
    RUN_BOTH(what_is_held_stays);
    RUN_BOTH(nothing_is_freed_by_half);
    RUN_BOTH(slabs_of_other_threads);
    RUN_BOTH(a_long_row);
    RUN(power_may_fail_at_each_fence);
    RUN(a_process_may_be_killed_at_each_fence);
    return check_end("collect");
}
