/* test_fork.c -- the child of a fork
 *
 * What it inherits of a region that processes share it may only close, and
 * then open for itself; of memory of one process it has a copy, in which it
 * goes on as if nothing had happened. In both cases its parent does not
 * notice, whatever the threads of the parent were at. */
#include "worlds.h"
#include <pthread.h>

#define OBJECTS 400

static void *object[OBJECTS];
static void *held[OBJECTS];
static alps_off *root;

static size_t size_of(unsigned i)
{
    return i % 10 ? 1 + i * 7 % 1024 : 3000;
}

/* A region with objects, reservations, and some that are published. */
static void furnish(void)
{
    begin(8u << 20, 1u << 18);
    root = (alps_off *)any_root(&heap, OBJECTS * sizeof *root);
    for (unsigned i = 0; i < OBJECTS; i++) {
        object[i] = any_alloc(&heap, size_of(i));
        held[i] = any_reserve(&heap, size_of(i));
        CHECK(object[i] && held[i]);
        token_fill(object[i], any_usable(&heap, object[i]), i);
        token_fill(held[i], any_usable(&heap, held[i]), i);
        if (i % 2)
            CHECK_EQ(any_publish(&heap, &root[i], held[i]), 0);
    }
}

/* All of it is as it was, and works. */
static int clear_away(void)
{
    int bad = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        bad += !token_whole(object[i]) || !token_whole(held[i]);
        bad += any_free(&heap, object[i]) != 0;
        if (i % 2)
            bad += any_release(&heap, &root[i]) != 0 || root[i];
        else if (i % 4)
            bad += any_publish(&heap, &root[i], held[i]) ||
                   any_release(&heap, &root[i]);
        else
            bad += any_cancel(&heap, held[i]) != 0;
    }
    return bad;
}

static int refused(const void *p)
{
    return p == NULL && any_error(&heap) == ALPS_EFORK;
}

/* Tries everything; answers how much of it was not refused. */
static int try_all(void)
{
    int bad = !refused(any_alloc(&heap, 40)) + !refused(any_alloc(&heap, 4000));
    bad += !refused(any_zalloc(&heap, 40));
    bad += !refused(any_alloc_aligned(&heap, 64, 40));
    bad +=
        !refused(any_reserve(&heap, 40)) + !refused(any_reserve(&heap, 4000));
    for (unsigned i = 0; i < 20; i++) { // also blocks
        bad += !refused(any_realloc(&heap, object[i], 2 * size_of(i)));
        bad += any_free(&heap, object[i]) != ALPS_EFORK;
        bad += any_free(&heap, held[i]) != ALPS_EFORK;
        bad += any_cancel(&heap, held[2 * i]) != ALPS_EFORK;
        bad += any_publish(&heap, &root[2 * i], held[2 * i]) != ALPS_EFORK;
        bad += any_release(&heap, &root[2 * i + 1]) != ALPS_EFORK;
    }
    bad += any_grow(&heap, 8u << 20) != ALPS_EFORK;
    bad += any_trim(&heap) != ALPS_EFORK;
    bad += any_reap(&heap) != ALPS_EFORK;
    bad += any_sync(&heap) != ALPS_EFORK;
    bad += any_flush(&heap, object[0], 8) != ALPS_EFORK;
    bad += any_fence(&heap) != ALPS_EFORK;
    bad += any_persist(&heap, object[0], 8) != ALPS_EFORK;
    return bad;
}

static int is_refused_until_it_opens(void)
{
    uint64_t before = fingerprint();
    int bad = try_all();
    bad += fingerprint() != before;
    bad += any_close(&heap) != 0;
    if (bad || open_too(&heap))
        return bad + 100;
    void *p = any_alloc(&heap, 40), *q = any_reserve(&heap, 400);
    root = (alps_off *)any_root(&heap, OBJECTS * sizeof *root);
    bad += !p || !q || any_publish(&heap, &root[0], q);
    for (unsigned i = 1; i < OBJECTS; i += 2)
        bad += any_release(&heap, &root[i]) != 0;
    bad += any_free(&heap, p) || any_release(&heap, &root[0]);
    return bad + !sound(&heap) + any_close(&heap);
}

static void a_child_opens_a_shared_region_for_itself(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    furnish();
    for (unsigned round = 0; round < 3; round++) {
        CHECK_EQ(end_of(start_child(is_refused_until_it_opens)), 0);
        CHECK(sound(&heap));
        for (unsigned i = 1; i < OBJECTS; i += 2) { // which it has released
            CHECK_EQ(root[i], 0);
            held[i] = any_reserve(&heap, size_of(i));
            token_fill(held[i], any_usable(&heap, held[i]), i);
            CHECK_EQ(any_publish(&heap, &root[i], held[i]), 0);
        }
    }
    CHECK_EQ(clear_away(), 0);
    CHECK(one_block_again(&heap));
    end();
}

/* A child that does not even close leaves no trace either. */
static void a_child_may_end_at_once(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    furnish();
    uint64_t before = fingerprint();
    for (unsigned round = 0; round < 20; round++)
        CHECK_EQ(end_of(start_child(try_all)), 0);
    CHECK_EQ(fingerprint(), before);
    CHECK_EQ(clear_away(), 0);
    CHECK(one_block_again(&heap));
    end();
}

/* ---- with a copy */

static int goes_on(void)
{
    if (!sound(&heap) || clear_away() || !sound(&heap))
        return 1;
    for (unsigned i = 0; i < 3000; i++) {
        void *p = any_alloc(&heap, size_of(i));
        if (!p || any_free(&heap, i % 3 ? p : any_realloc(&heap, p, 900)))
            return 2;
    }
    if (!one_block_again(&heap) || !sound(&heap))
        return 3;
    return any_close(&heap) ? 4 : 0;
}

static int has_a_child_as_well(void)
{
    int bad = end_of(start_child(goes_on)); // which it does not notice
    return bad ? bad : goes_on();
}

static void a_child_goes_on_with_a_copy(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    furnish();
    uint64_t before = fingerprint();
    CHECK_EQ(end_of(start_child(goes_on)), 0);
    CHECK_EQ(end_of(start_child(has_a_child_as_well)), 0);
    CHECK_EQ(fingerprint(), before);
    CHECK(sound(&heap));
    CHECK_EQ(clear_away(), 0);
    CHECK(one_block_again(&heap));
    end();
}

/* ---- while others work */

static unsigned stop;

static void *churn(void *context)
{
    uint64_t x = (uint64_t)(uintptr_t)context;
    void *mine[64] = {NULL};
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        void **p = &mine[x >> 58];
        size_t n = (size_t)(x >> 20 & (x >> 40 & 7 ? 511 : 8191));
        if (*p)
            (void)any_free(&heap, *p);
        *p = x >> 45 & 1 ? any_alloc(&heap, n) : any_reserve(&heap, n);
    }
    for (unsigned i = 0; i < 64; i++)
        (void)any_free(&heap, mine[i]);
    return NULL;
}

/* Memory is handed out until there is no more, none of it twice. */
static int fills_up(void)
{
    unsigned char **first = NULL;
    unsigned n = 0;
    if (!sound(&heap) || clear_away())
        return 1;
    for (;; n++) {
        size_t size = 16 + n % 100 * 10;
        void *p = any_alloc(&heap, size);
        if (!p)
            break;
        memset(p, (int)(n & 255), size);
        *(unsigned char ***)p = first;
        first = (unsigned char **)p;
    }
    if (any_error(&heap) != ALPS_EFULL || !sound(&heap))
        return 2;
    while (first) {
        unsigned char *p = (unsigned char *)first;
        size_t size = 16 + --n % 100 * 10;
        for (size_t i = 8; i < size; i++)
            if (p[i] != (unsigned char)n)
                return 3;
        first = *(unsigned char ***)first;
        if (any_free(&heap, p))
            return 4;
    }
    return sound(&heap) ? 0 : 5;
}

static void forks_in_the_middle_of_things(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    pthread_t thread[2];
    furnish();
    stop = 0;
    for (uintptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)), 0);
    for (unsigned round = 0; round < 100 / SLOW && !check_bad_; round++) {
        nap((long)throw_of(500));
        CHECK_EQ(end_of(start_child(is_anon() ? fills_up : try_all)), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK(sound(&heap));
    CHECK_EQ(clear_away(), 0);
    CHECK(one_block_again(&heap));
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_WHERE_BYTES_STAY(a_child_opens_a_shared_region_for_itself);
    RUN_WHERE_BYTES_STAY(a_child_may_end_at_once);
    RUN_EVERYWHERE(forks_in_the_middle_of_things);
    RUN(a_child_goes_on_with_a_copy); // the world is the last one: anon
    return check_end("fork");
}
