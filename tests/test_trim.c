/* test_trim.c -- what is free goes back to the file system, and comes again */
#define ANY_APART
#define ALPS_IDLE_MAX (2ull << 20)
#include "worlds.h"
#include <pthread.h>
#include <sys/mount.h>

#define EXTENT (1u << 18)

/* Bytes that the region takes on its medium; of memory of the process, what is
 * in memory. */
static uint64_t taken(void)
{
    struct stat st;
    if (!is_anon()) {
        CHECK_EQ(fstat(heap.core.map.fd, &st), 0);
        return (uint64_t)st.st_blocks * 512;
    }
    static unsigned char there[1u << 15];
    uint64_t pages = alps_size_(&heap.core) / ALPS_PAGE, n = 0;
    CHECK(pages <= sizeof there);
    CHECK_EQ(mincore(heap.core.map.base, pages * ALPS_PAGE, there), 0);
    for (uint64_t i = 0; i < pages; i++)
        n += there[i] & 1u;
    return n * ALPS_PAGE;
}

static uint64_t size_of_it(void)
{
    return alps_size_(&heap.core);
}

/* Whether every extent in use has all its blocks: no hole in what was handed
 * out, nor where the index has its links. */
static int no_store_finds_a_hole(void)
{
    alps_handle *h = &heap.core;
    int holes = 0;
    for (uint64_t i = 0; i < alps_extents_(h); i++) {
        alps_zone top = alps_zone_top_(h);
        uint64_t unit = i;
        while (!alps_code_(top.codes, unit))
            unit--;
        if (alps_code_(top.codes, unit) != ALPS_FREE && alps_hole_(h, i))
            holes++;
    }
    return !holes;
}

static void *kept[64];

/* Some that stay, for as much as half of the region. */
static void furnish(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t size = i % 3 == 0 ? 500000 : i % 3 == 1 ? 20000 : 800;
        kept[i] = any_alloc(&heap, size);
        if (CHECK(kept[i] != NULL))
            token_fill(kept[i], size / 8 * 8, i);
    }
}

static void all_there(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        CHECK(token_whole(kept[i]));
}

static void let_go(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(any_free(&heap, kept[i]), 0);
}

/* Takes all that there is in blocks of `n` bytes, and gives it back. */
static uint64_t come_and_go(size_t n, uint64_t most)
{
    alps_off list = 0;
    uint64_t made = 0;
    for (void *p; made < most && (p = any_alloc(&heap, n)); made++) {
        memset(p, 0x55, n);
        *(alps_off *)p = list;
        list = any_off_of(&heap, p);
    }
    for (void *p; (p = any_at(&heap, list)) != NULL;) {
        CHECK(n < 9 || ((unsigned char *)p)[n - 1] == 0x55);
        list = *(alps_off *)p;
        CHECK_EQ(any_free(&heap, p), 0);
    }
    return made;
}

/* ---- holes --------------------------------------------------------------- */

static void trim_gives_free_extents_back_and_they_come_again(void)
{
    begin(16u << 20, EXTENT);
    furnish(12);
    void *p = any_alloc(&heap, 8u << 20);
    CHECK(p != NULL);
    memset(p, 1, 8u << 20);
    uint64_t before = taken();
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK(taken() + (6u << 20) < before);
    CHECK(sound(&heap));
    all_there(12);
    uint64_t after = taken();
    CHECK_EQ(any_trim(&heap), 0); // again: nothing
    CHECK_EQ(taken(), after);
    p = any_alloc(&heap, 8u << 20);
    CHECK(p != NULL);
    if (!is_anon()) // its blocks are there before it is stored to
        CHECK(taken() >= after + (7u << 20));
    memset(p, 2, 8u << 20);
    CHECK(no_store_finds_a_hole());
    CHECK(sound(&heap));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_trim(&heap), 0);
    come_and_go(30000, 200); // as heap extents
    come_and_go(100, 20000);
    CHECK(no_store_finds_a_hole());
    CHECK(sound(&heap));
    all_there(12);
    let_go(12);
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
    end();
}

/* A block of extents that gets longer where it is gets its blocks, too. */
static void what_grows_in_place_has_its_blocks(void)
{
    begin(16u << 20, EXTENT);
    void *p = any_alloc(&heap, 12u << 20);
    CHECK(p != NULL);
    memset(p, 1, 12u << 20);
    p = any_realloc(&heap, p, 2u << 20);
    CHECK_EQ(any_trim(&heap), 0);
    void *q = any_realloc(&heap, p, 9u << 20);
    CHECK(q == p);
    memset(q, 3, 9u << 20);
    CHECK(no_store_finds_a_hole());
    CHECK(sound(&heap));
    CHECK_EQ(any_free(&heap, q), 0);
    end();
}

/* Without a word from the program, beyond so much. */
static void much_that_lies_idle_goes_back_by_itself(void)
{
    static const size_t sizes[] = {3000000, 30000, 900};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(24u << 20, EXTENT);
        come_and_go(sizes[i], (16u << 20) / sizes[i]);
        CHECK(taken() < 16u << 20);
        CHECK(sound(&heap));
        come_and_go(sizes[i], (16u << 20) / sizes[i]);
        CHECK(no_store_finds_a_hole());
        CHECK(sound(&heap));
        CHECK(one_block_again(&heap));
        end();
    }
}

/* What comes and goes all the time is soon left alone. */
static void what_is_needed_again_is_given_back_less_and_less(void)
{
    begin(24u << 20, EXTENT);
    uint64_t was = 0, times = 0;
    for (unsigned i = 0; i < 40; i++) {
        void *p = any_alloc(&heap, 12u << 20);
        CHECK(p != NULL);
        CHECK_EQ(any_free(&heap, p), 0);
        times += heap.core.shared->idle_max != was;
        was = heap.core.shared->idle_max;
    }
    CHECK(times > 1 && times < 8);
    CHECK_EQ(heap.core.shared->idle << 18, 12u << 20);
    CHECK(sound(&heap));
    end();
}

static uint64_t stop;

static void *thread_comes_and_goes(void *argument)
{
    uint64_t bad = 0, seed = (uint64_t)(uintptr_t)argument;
    for (unsigned i = 0; i < 300 / SLOW; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        size_t n = seed >> 60 ? 3000 + (seed >> 33) % 60000 : 700000;
        void *p[8];
        for (unsigned k = 0; k < 8; k++) {
            p[k] = any_alloc(&heap, n);
            if (p[k])
                token_fill(p[k], n / 8 * 8, seed + k);
        }
        for (unsigned k = 0; k < 8; k++)
            bad += p[k] && (!token_whole(p[k]) || any_free(&heap, p[k]));
    }
    return (void *)(uintptr_t)bad;
}

static void *thread_trims(void *argument)
{
    uint64_t bad = 0;
    (void)argument;
    while (!alps_load_(&stop))
        bad += any_trim(&heap) != 0;
    return (void *)(uintptr_t)bad;
}

static void trimming_beside_others_takes_nothing_from_them(void)
{
    pthread_t thread[3];
    begin(24u << 20, EXTENT);
    furnish(9);
    alps_store_(&stop, 0);
    for (uintptr_t i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL,
                                i ? thread_comes_and_goes : thread_trims,
                                (void *)(i * 99)),
                 0);
    for (unsigned i = 3; i--;) {
        void *bad = NULL;
        if (i == 0)
            alps_store_(&stop, 1);
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK(bad == NULL);
    }
    all_there(9);
    CHECK(no_store_finds_a_hole());
    CHECK(sound(&heap));
    let_go(9);
    CHECK(one_block_again(&heap));
    end();
}

static int child_trims_and_takes(void)
{
    if (open_too(&heap))
        return 1;
    for (uint64_t i = 0;; i++) {
        void *p = any_alloc(&heap, i % 3 ? 2u << 20 : 30000);
        if (p)
            memset(p, 1, 30000);
        if (any_free(&heap, p) || any_trim(&heap))
            return 2;
    }
}

static void a_kill_in_the_middle_leaves_no_hole_in_what_is_handed_out(void)
{
    begin(16u << 20, EXTENT);
    furnish(9);
    for (unsigned i = 0; i < 10 / SLOW; i++) {
        pid_t child = start_child(child_trims_and_takes);
        nap(1000 + (long)throw_of(6000));
        CHECK_EQ(kill(child, SIGKILL), 0);
        CHECK_EQ(end_of(child), 1000 + SIGKILL);
        CHECK_EQ(any_reap(&heap), 0);
        CHECK(sound(&heap));
        if (i % 5 == 4) { // and the next begins an epoch
            CHECK_EQ(any_close(&heap), 0);
            CHECK_EQ(open_too(&heap), 0);
            CHECK(sound(&heap));
            for (unsigned k = 0; k < 9; k++)
                kept[k] = NULL;
        }
        come_and_go(1500000, 3);
        CHECK(no_store_finds_a_hole());
        CHECK(sound(&heap));
    }
    end();
}

/* What was given back is somebody else's now: a code, and no signal. */
static int child_on_a_small_disk(void)
{
    char other[80];
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_path(), "tmpfs", 0, "size=20m"))
        return 77;
    snprintf(the_path, sizeof the_path, "%s/region", mount_path());
    snprintf(other, sizeof other, "%s/other", mount_path());
    alps_options o = options(16u << 20, EXTENT);
    if (any_open(&heap, the_path, &o))
        return 1;
    furnish(6);
    if (come_and_go(1000000, 10) < 8 || any_trim(&heap))
        return 2;
    int fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const char page[4096] = {1};
    uint64_t n = 0;
    while (write(fd, page, sizeof page) == (ssize_t)sizeof page)
        n++;
    if (fd < 0 || n < 2000)
        return 3;
    if (any_alloc(&heap, 6u << 20) || any_error(&heap) != ALPS_ENOSPC)
        return 4;
    uint64_t fit = come_and_go(3000, ~0ull); // in what has blocks
    uint64_t small = come_and_go(100, ~0ull);
    if (!fit || !small || !sound(&heap) || !no_store_finds_a_hole())
        return 5;
    any_trim(&heap); // links are written, in pages that are there
    all_there(6);
    close(fd);
    if (unlink(other) || come_and_go(1000000, 10) < 8 || !sound(&heap))
        return 6;
    if (any_close(&heap) || any_open(&heap, the_path, &o) || !sound(&heap))
        return 7;
    return check_bad_ ? 8 : 0;
}

static void a_disk_that_filled_up_meanwhile_is_a_code(void)
{
    choose(&alps_backend_file_, &alps_policy_none_);
    on_a_small_disk("small-trim", child_on_a_small_disk);
}

/* ---- shorter -------------------------------------------------------------- */

static uint64_t length_of_it(void)
{
    struct stat st;
    const char *path =
        world->backend == &alps_backend_shmem_ ? shm_path("small") : the_path;
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static alps_options shrinking(void)
{
    alps_options o = options(2u << 20, 1u << 16);
    o.limit = 64u << 20;
    o.grow = 0;
    o.flags = ALPS_CREATE | ALPS_SHRINK;
    return o;
}

static void reopen(void)
{
    alps_options o = shrinking();
    CHECK_EQ(any_open(&heap, place(), &o), 0);
}

static void the_last_to_close_cuts_the_end_off_when_asked(void)
{
    any_heap second;
    alps_options o = shrinking();
    begin_with(o);
    CHECK_EQ(any_close(&heap), 0);
    reopen();
    alps_off *root = (alps_off *)any_root(&heap, 8);
    void *p = any_alloc(&heap, 300000);
    *root = any_off_of(&heap, p);
    token_fill(p, 300000, 8);
    come_and_go(2000, 8000);
    come_and_go(300000, 30);
    uint64_t grown = size_of_it();
    CHECK(grown > 8u << 20);
    CHECK_EQ(any_open(&second, place(), &o), 0);
    CHECK_EQ(any_close(&heap), 0); // not the last
    CHECK_EQ(length_of_it(), grown);
    CHECK_EQ(any_close(&second), 0);
    CHECK(length_of_it() < 4u << 20);
    uint64_t cut = length_of_it();
    reopen();
    CHECK_EQ(size_of_it(), cut);
    CHECK(sound(&heap));
    CHECK(token_whole(any_at(&heap, *(alps_off *)any_root(&heap, 8))));
    come_and_go(300000, 30); // and it grows again
    CHECK(size_of_it() > 8u << 20);
    CHECK(sound(&heap));
    CHECK_EQ(any_free(&heap, any_at(&heap, *(alps_off *)any_root(&heap, 8))),
             0);
    CHECK(one_block_again(&heap));
    CHECK_EQ(any_close(&heap), 0);
    cut = length_of_it();
    reopen();
    CHECK_EQ(alps_extents_(&heap.core), 1); // as short as can be
    CHECK(sound(&heap));
    come_and_go(3000, 1000);
    CHECK(sound(&heap));
    end();
}

/* The size is cut, and the medium is not yet. */
static void a_crash_between_size_and_medium_is_harmless(void)
{
    begin_with(shrinking());
    CHECK_EQ(any_close(&heap), 0);
    reopen();
    come_and_go(300000, 30);
    uint64_t grown = size_of_it();
    CHECK_EQ(any_close(&heap), 0);
    reopen();
    uint64_t cut = size_of_it();
    CHECK(cut < grown);
    CHECK_EQ(any_close(&heap), 0);
    const char *path =
        world->backend == &alps_backend_shmem_ ? shm_path("small") : the_path;
    CHECK_EQ(truncate(path, (off_t)grown), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    static const char dirt[4096] = {'x'};
    for (uint64_t at = cut; at + sizeof dirt <= grown; at += 8192)
        CHECK_EQ(pwrite(fd, dirt, sizeof dirt, (off_t)at), sizeof dirt);
    close(fd);
    alps_options o = options(0, 0);
    CHECK_EQ(any_open(&heap, place(), &o), 0);
    CHECK_EQ(size_of_it(), cut);
    CHECK(sound(&heap));
    heap.core.grow = 0;
    come_and_go(300000, 30);
    CHECK(size_of_it() > 8u << 20);
    CHECK(sound(&heap));
    CHECK(one_block_again(&heap));
    end();
}

static int child_opens_uses_and_shrinks(void)
{
    alps_options o = shrinking();
    o.flags = ALPS_SHRINK | ALPS_CREATE;
    for (;;) {
        if (any_open(&heap, place(), &o))
            return 1;
        come_and_go(200000, 15);
        if (any_close(&heap) || check_bad_)
            return 2;
    }
}

static void kills_while_it_shrinks_and_grows_lose_nothing(void)
{
    begin_with(shrinking());
    alps_off *root = (alps_off *)any_root(&heap, 8);
    void *p = any_alloc(&heap, 100000);
    token_fill(p, 100000, 8);
    *root = any_off_of(&heap, p);
    CHECK_EQ(any_close(&heap), 0);
    for (unsigned i = 0; i < 10 / SLOW; i++) {
        pid_t child[2];
        for (unsigned k = 0; k < 2; k++)
            child[k] = start_child(child_opens_uses_and_shrinks);
        nap(2000 + (long)throw_of(8000));
        for (unsigned k = 0; k < 2; k++) {
            CHECK_EQ(kill(child[k], SIGKILL), 0);
            CHECK_EQ(end_of(child[k]), 1000 + SIGKILL);
        }
        alps_options o = options(0, 0);
        CHECK_EQ(any_open(&heap, place(), &o), 0);
        CHECK(token_whole(any_at(&heap, *(alps_off *)any_root(&heap, 8))));
        CHECK(sound(&heap));
        CHECK_EQ(any_close(&heap), 0);
    }
    CHECK_EQ(open_too(&heap), 0);
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(trim_gives_free_extents_back_and_they_come_again);
    RUN_EVERYWHERE(what_grows_in_place_has_its_blocks);
    RUN_EVERYWHERE(much_that_lies_idle_goes_back_by_itself);
    RUN_EVERYWHERE(what_is_needed_again_is_given_back_less_and_less);
    RUN_EVERYWHERE(trimming_beside_others_takes_nothing_from_them);
    RUN_WHERE_BYTES_STAY(
        a_kill_in_the_middle_leaves_no_hole_in_what_is_handed_out);
    RUN(a_disk_that_filled_up_meanwhile_is_a_code);
    RUN_WHERE_BYTES_STAY(the_last_to_close_cuts_the_end_off_when_asked);
    RUN_WHERE_BYTES_STAY(a_crash_between_size_and_medium_is_harmless);
    RUN_WHERE_BYTES_STAY(kills_while_it_shrinks_and_grows_lose_nothing);
    return check_end("trim");
}
