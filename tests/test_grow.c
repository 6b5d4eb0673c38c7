/* test_grow.c -- a region gets longer where it is, by itself */
#include "worlds.h"
#include <pthread.h>
#include <sys/mount.h>

static uint64_t size_of_it(void)
{
    return alps_size_(&heap.core);
}

/* A region that may grow from `size` to `limit`. */
static alps_options growing(uint64_t size, uint64_t limit, uint64_t extent)
{
    alps_options o = options(size, extent);
    o.limit = limit;
    return o;
}

/* Allocates up to `most` blocks of `n` bytes, linked by their first word, and
 * fills them. Answers how many. */
static uint64_t fill(alps_off *list, uint64_t n, uint64_t most)
{
    uint64_t made = 0;
    for (void *p; made < most && (p = any_alloc(&heap, n)); made++) {
        memset(p, (int)(n & 0xff), n);
        *(alps_off *)p = *list;
        *list = any_off_of(&heap, p);
    }
    return made;
}

static void drain(alps_off *list, uint64_t n)
{
    for (unsigned char *p; *list;) {
        p = (unsigned char *)any_at(&heap, *list);
        CHECK(p != NULL && (n < 9 || p[n - 1] == (n & 0xff)));
        *list = *(alps_off *)(void *)p;
        CHECK_EQ(any_free(&heap, p), 0);
    }
}

/* ---- by itself ---------------------------------------------------------- */

static void a_full_region_grows_by_itself_up_to_its_limit(void)
{
    alps_off list = 0;
    begin_with(growing(2u << 20, 16u << 20, 1u << 16));
    uint64_t before = size_of_it(), steps = 0, made = 0;
    while (fill(&list, 50000, 1)) {
        made++;
        steps += size_of_it() != before;
        before = size_of_it();
    }
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK(size_of_it() > 16u * 1000 * 1000 && size_of_it() <= 16u << 20);
    CHECK(made > 200);
    CHECK(steps > 4 && steps < 30); // an eighth each
    CHECK(sound(&heap));
    drain(&list, 50000);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

/* Objects, blocks, runs of extents, reservations: whatever finds it full. */
static void whatever_finds_it_full_makes_it_grow(void)
{
    static const size_t sizes[] = {16, 1000, 3000, 40000, 700000, 3000000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        alps_off list = 0;
        begin_with(growing(1u << 20, 16u << 20, 1u << 16));
        CHECK(fill(&list, sizes[i], (6u << 20) / sizes[i]) ==
              (6u << 20) / sizes[i]);
        CHECK(size_of_it() > 5u << 20);
        CHECK(sound(&heap));
        drain(&list, sizes[i]);
        CHECK(one_block_again(&heap));
        CHECK(sound(&heap));
        end();
    }
    begin_with(growing(1u << 20, 8u << 20, 1u << 16));
    for (unsigned i = 0; i < 1500; i++)
        CHECK(any_reserve(&heap, i % 2 ? 3000 : 300) != NULL);
    void *p = any_alloc(&heap, 1000), *q = any_alloc(&heap, 1000);
    CHECK((p = any_realloc(&heap, p, 2000000)) != NULL);
    CHECK_EQ(any_free(&heap, p) | any_free(&heap, q), 0);
    CHECK(sound(&heap));
    end();
}

/* What is free at the end counts towards what is asked for. */
static void no_more_is_added_than_the_limit_lets(void)
{
    begin_with(growing(1u << 20, 4u << 20, 1u << 16));
    uint64_t most = heap.core.at.extents_max << 16;
    CHECK(any_alloc(&heap, most + 1) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK_EQ(size_of_it(), 1u << 20);
    void *p = any_alloc(&heap, most);
    CHECK(p != NULL);
    CHECK(any_alloc(&heap, 1) == NULL);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

static void a_step_is_what_the_program_says(void)
{
    alps_off list = 0;
    alps_options o = growing(1u << 20, 64u << 20, 1u << 16);
    o.grow = 3000000;
    begin_with(o);
    uint64_t extents = alps_extents_(&heap.core);
    while (alps_extents_(&heap.core) == extents)
        CHECK_EQ(fill(&list, 5000, 1), 1);
    CHECK_EQ(alps_extents_(&heap.core), extents + 46);
    drain(&list, 5000);
    end();
    o.grow = ALPS_GROW_NEVER;
    begin_with(o);
    while (fill(&list, 5000, 1)) {
    }
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK_EQ(size_of_it(), 1u << 20);
    CHECK_EQ(any_grow(&heap, 2u << 20), 0); // unless asked for
    CHECK_EQ(fill(&list, 5000, 1), 1);
    drain(&list, 5000);
    CHECK(one_block_again(&heap));
    end();
}

/* ---- many at once ------------------------------------------------------- */

#define HANDS 4u

static uint64_t serial; // of objects, in all threads

static void *thread_fills(void *argument)
{
    void *p[400];
    uint64_t bad = 0;
    if (argument)
        pthread_barrier_wait((pthread_barrier_t *)argument);
    for (unsigned i = 0; i < 400; i++) {
        size_t n = i % 3 ? 900 : 20000;
        p[i] = any_alloc(&heap, n);
        if (p[i])
            token_fill(p[i], n / 8 * 8,
                       __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
        bad += !p[i];
    }
    for (unsigned i = 0; i < 400; i++)
        if (p[i])
            bad += !token_whole(p[i]) || any_free(&heap, p[i]) != 0;
    return (void *)(uintptr_t)bad;
}

/* All find it full at once; one step is taken for all. */
static void threads_that_find_it_full_take_one_step(void)
{
    pthread_t thread[HANDS];
    pthread_barrier_t start;
    CHECK_EQ(pthread_barrier_init(&start, NULL, HANDS), 0);
    begin_with(growing(1u << 20, 64u << 20, 1u << 16));
    for (unsigned i = 0; i < HANDS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, thread_fills, &start), 0);
    for (unsigned i = 0; i < HANDS; i++) {
        void *bad = NULL;
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK(bad == NULL);
    }
    pthread_barrier_destroy(&start);
    CHECK(size_of_it() > 4u << 20 && size_of_it() < 20u << 20);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

static int child_fills(void)
{
    if (open_too(&heap))
        return 1;
    heap.core.grow = 0; // open_too asks for none
    if (thread_fills(NULL))
        return 2;
    return any_close(&heap) ? 3 : 0;
}

static void processes_grow_it_for_each_other(void)
{
    pid_t child[3];
    begin_with(growing(1u << 20, 64u << 20, 1u << 16));
    CHECK_EQ(any_close(&heap), 0);
    for (unsigned i = 0; i < 3; i++)
        child[i] = start_child(child_fills);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(end_of(child[i]), 0);
    CHECK_EQ(open_too(&heap), 0);
    CHECK(size_of_it() > 3u << 20);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

static uint64_t *shared_word;

/* Reads beside a writer, without a slot. */
static int child_reads(void)
{
    any_heap h;
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    if (any_open(&h, place(), &o))
        return 1;
    uint64_t before = alps_size_(&h.core);
    tell(&shared_word[0], 1);
    if (!await(&shared_word[1], 1))
        return 2;
    const unsigned char *p =
        (const unsigned char *)any_at(&h, *(alps_off *)any_root(&h, 8));
    if (!p || alps_size_(&h.core) <= before)
        return 3;
    for (unsigned i = 0; i < 3000000; i++)
        if (p[i] != 7)
            return 4;
    tell(&shared_word[0], 2);
    if (!await(&shared_word[1], 2))
        return 5;
    return any_close(&h) ? 6 : 0;
}

static void a_reader_sees_the_growth_and_keeps_it_from_being_removed(void)
{
    shared_word = (uint64_t *)board_make(4096);
    begin_with(growing(1u << 20, 16u << 20, 1u << 16));
    pid_t child = start_child(child_reads);
    CHECK(await(&shared_word[0], 1));
    void *p = any_reserve(&heap, 3000000);
    CHECK(p != NULL);
    memset(p, 7, 3000000);
    CHECK_EQ(any_publish(&heap, (alps_off *)any_root(&heap, 8), p), 0);
    tell(&shared_word[1], 1);
    CHECK(await(&shared_word[0], 2));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(place()), ALPS_EBUSY); // the reader has it open
    CHECK_EQ(open_too(&heap), 0);
    tell(&shared_word[1], 2);
    CHECK_EQ(end_of(child), 0);
    end();
    munmap(shared_word, 4096);
}

/* ---- the medium is full ------------------------------------------------- */

static int child_on_a_small_disk(void)
{
    alps_off list = 0;
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_path(), "tmpfs", 0, "size=6m"))
        return 77;
    snprintf(the_path, sizeof the_path, "%s/region", mount_path());
    alps_options o = growing(1u << 20, 64u << 20, 1u << 16);
    if (any_open(&heap, the_path, &o))
        return 1;
    if (any_alloc(&heap, 20u << 20) || any_error(&heap) != ALPS_ENOSPC)
        return 2;
    uint64_t made = fill(&list, 30000, ~0ull);
    if (made < 60 || any_error(&heap) != ALPS_ENOSPC || !sound(&heap))
        return 3;
    if (any_alloc(&heap, 100000) || any_reserve(&heap, 100000))
        return 4; // again and again
    drain(&list, 30000);
    if (!sound(&heap) || fill(&list, 30000, made) != made)
        return 5;
    if (any_close(&heap) || any_open(&heap, the_path, &o) || !sound(&heap))
        return 6;
    drain(&list, 30000);
    if (!one_block_again(&heap) || any_close(&heap))
        return 7;
    return check_bad_ ? 8 : 0;
}

static void a_full_disk_is_a_code_and_the_region_goes_on(void)
{
    choose(&alps_backend_file_, &alps_policy_none_);
    on_a_small_disk("small-disk", child_on_a_small_disk);
}

/* The same by another way to be full, wherever mounting is not permitted. */
static int child_beyond_its_limit(void)
{
    alps_off list = 0;
    struct rlimit limit = {5u << 20, 5u << 20};
    if (setrlimit(RLIMIT_FSIZE, &limit) || open_too(&heap))
        return 1;
    heap.core.grow = 0;
    if (fill(&list, 30000, ~0ull) < 60 || any_error(&heap) != ALPS_ENOSPC)
        return 2;
    if (size_of_it() > 5u << 20 || !sound(&heap))
        return 3;
    drain(&list, 30000);
    return any_close(&heap) ? 4 : 0;
}

static void the_limit_of_the_process_is_a_code(void)
{
    begin_with(growing(1u << 20, 64u << 20, 1u << 16));
    CHECK_EQ(end_of(start_child(child_beyond_its_limit)), 0);
    alps_off list = 0;
    CHECK_EQ(fill(&list, 30000, 250), 250); // we have no such limit
    drain(&list, 30000);
    CHECK(one_block_again(&heap));
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(a_full_region_grows_by_itself_up_to_its_limit);
    RUN_EVERYWHERE(whatever_finds_it_full_makes_it_grow);
    RUN_EVERYWHERE(no_more_is_added_than_the_limit_lets);
    RUN_EVERYWHERE(a_step_is_what_the_program_says);
    RUN_EVERYWHERE(threads_that_find_it_full_take_one_step);
    RUN_WHERE_BYTES_STAY(processes_grow_it_for_each_other);
    RUN_WHERE_BYTES_STAY(
        a_reader_sees_the_growth_and_keeps_it_from_being_removed);
    RUN_WHERE_BYTES_STAY(the_limit_of_the_process_is_a_code);
    RUN(a_full_disk_is_a_code_and_the_region_goes_on);
    return check_end("grow");
}
