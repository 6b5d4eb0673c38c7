/* test_checkpoint.c -- a sync is atomic, and nothing else reaches the file
 *
 * On a real file: what is there after a sync, after a kill, beside readers, with
 * a disk that is full. Every crash is in test_torn.c. */
#define ALPS_JOURNAL_MAX (1 << 20) // pages come home now and then
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"

#define ALPS_NAME shared
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NO_CLONE "an emulator with threads is no process to be cloned"

static char path[200], beside[220];
static alps_options options;

/* A new region's file, in the directory that is ours. */
static void fresh(void)
{
    memset(&options, 0, sizeof options);
    options.size = 4 << 20;
    options.flags = ALPS_CREATE;
    unlink(path);
    unlink(beside);
}

static uint64_t *open_words(alps_heap *h)
{
    int err = alps_open(h, path, &options);
    return CHECK_EQ(err, 0) ? (uint64_t *)alps_root(h, ALPS_ROOT_SIZE) : NULL;
}

static int there(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0;
}

/* All ways to find what was stored to; all but one may be missing. */
static void with_each_way(void (*test)(void))
{
    for (unsigned way = ALPS_DIRTY_SCAN; way <= ALPS_DIRTY_COMPARE; way++) {
        alps_heap h;
        fresh();
        options.dirty = way;
        int err = alps_open(&h, path, &options);
        if (err == ALPS_EUNSUPPORTED && way != ALPS_DIRTY_COMPARE) {
            printf("  not here: way %u\n", way); // an older Linux
            continue;
        }
        CHECK_EQ(err, 0);
        CHECK_EQ(alps_close(&h), 0);
        test();
    }
}

/* ---- what is durable */

/* What a child does that then dies without a word. */
static void child(void (*what)(alps_heap *, uint64_t *))
{
    pid_t pid = fork();
    if (!pid) {
        alps_heap h;
        uint64_t *w = open_words(&h);
        if (w)
            what(&h, w);
        _exit(check_bad_ != 0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void store_sync_store(alps_heap *h, uint64_t *w)
{
    w[0] = 1;
    CHECK_EQ(alps_sync(h), 0);
    w[0] = 2;
    w[300] = 2;
    void *p = alps_alloc(h, 100000);
    CHECK(p != NULL);
    memset(p, 5, 100000);
}

static void the_last_sync_is_found_way(void)
{
    alps_heap h;
    alps_statistics before, after;
    child(store_sync_store);
    CHECK(there(beside));
    uint64_t *w = open_words(&h);
    CHECK_EQ(w[0], 1);
    CHECK_EQ(w[300], 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    alps_stats(&h, &before);
    CHECK_EQ(before.used, 0);
    w[0] = 3;
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
    w = open_words(&h);
    CHECK_EQ(w[0], 3);
    alps_stats(&h, &after);
    CHECK_EQ(after.used, before.used);
    CHECK_EQ(alps_close(&h), 0);
}

static void the_last_sync_is_found(void)
{
    with_each_way(the_last_sync_is_found_way);
}

/* A list of blocks, longer by one with each sync. */
static void build_list(alps_heap *h, uint64_t *w)
{
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t *p = (uint64_t *)alps_reserve(h, 16 + i * 37 % 3000);
        if (!CHECK(p != NULL))
            return;
        p[0] = w[0];
        p[1] = i;
        CHECK_EQ(alps_publish(h, &w[0], p), 0);
        w[1] = i + 1;
        if (i % 3 == 2)
            CHECK_EQ(alps_sync(h), 0);
    }
}

static void many_syncs_add_up_way(void)
{
    alps_heap h;
    alps_statistics s;
    child(build_list);
    uint64_t *w = open_words(&h);
    CHECK_EQ(w[1], 300);
    uint64_t i = 300, off = w[0];
    while (off && i) {
        const uint64_t *p = (const uint64_t *)alps_at(&h, off);
        if (!CHECK(p != NULL))
            break;
        CHECK_EQ(p[1], --i);
        off = p[0];
    }
    CHECK_EQ(i, 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    alps_stats(&h, &s);
    CHECK_EQ(s.blocks, 300);
    CHECK_EQ(alps_close(&h), 0);
}

static void many_syncs_add_up(void)
{
    with_each_way(many_syncs_add_up_way);
}

/* Pages change again and again until they come home in between. */
static void fill_journals(alps_heap *h, uint64_t *w)
{
    unsigned char *p = (unsigned char *)alps_alloc(h, 3 << 20);
    w[0] = alps_off_of(h, p);
    for (uint64_t i = 1; i <= 20; i++) {
        memset(p, (int)i, 3 << 20);
        w[1] = i;
        CHECK_EQ(alps_sync(h), 0);
        struct stat st;
        CHECK_EQ(stat(beside, &st), 0);
        CHECK((uint64_t)st.st_size <= ALPS_JOURNAL_MAX + (5 << 20));
    }
}

static void pages_come_home_way(void)
{
    alps_heap h;
    child(fill_journals);
    uint64_t *w = open_words(&h);
    const unsigned char *p = (const unsigned char *)alps_at(&h, w[0]);
    CHECK_EQ(w[1], 20);
    for (size_t i = 0; p && i < 3 << 20; i++)
        if (p[i] != 20) {
            CHECK_EQ(p[i], 20);
            break;
        }
    CHECK_EQ(alps_close(&h), 0);
}

static void pages_come_home(void)
{
    with_each_way(pages_come_home_way);
}

static void what_grew_is_found(alps_heap *h, uint64_t *w)
{
    CHECK_EQ(alps_grow(h, 40 << 20), 0);
    void *p = alps_alloc(h, 30 << 20);
    CHECK(p != NULL);
    w[0] = alps_off_of(h, p);
    memset(p, 9, 30 << 20);
    CHECK_EQ(alps_sync(h), 0);
}

static void a_region_grows(void)
{
    alps_heap h;
    alps_description d;
    fresh();
    child(what_grew_is_found);
    uint64_t *w = open_words(&h);
    CHECK_EQ(alps_describe(&h, &d), 0);
    CHECK_EQ(d.size, 40 << 20);
    const unsigned char *p = (const unsigned char *)alps_at(&h, w[0]);
    CHECK(p && p[0] == 9 && p[(30 << 20) - 1] == 9);
    CHECK_EQ(alps_close(&h), 0);
}

static void discard_goes_back(void)
{
    alps_heap h;
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 1;
    CHECK_EQ(alps_sync(&h), 0);
    w[0] = 2;
    CHECK_EQ(alps_discard(&h), 0);
    CHECK(!there(beside));
    w = open_words(&h);
    CHECK_EQ(w[0], 1);
    CHECK_EQ(alps_close(&h), 0);
}

/* What was never anything but zeroes is not written, what is zero again is. */
static void zeroes_way(void)
{
    alps_heap h;
    struct stat st;
    size_t n = 4 << 20;
    unsigned way = options.dirty;
    fresh();
    options.dirty = way;
    options.size = 32 << 20;
    uint64_t *w = open_words(&h);
    unsigned char *p = (unsigned char *)alps_alloc_aligned(&h, 4096, n);
    w[0] = alps_off_of(&h, p);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(stat(beside, &st), 0);
    long before = (long)st.st_blocks;
    for (size_t i = 0; i < n; i += 4096)
        p[i] = 0; // a store, for all that
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(stat(beside, &st), 0);
    CHECK((long)st.st_blocks - before < 64);
    memset(p, 1, n);
    CHECK_EQ(alps_sync(&h), 0);
    memset(p, 0, n);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_discard(&h), 0);
    w = open_words(&h);
    p = (unsigned char *)alps_at(&h, w[0]);
    unsigned any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    CHECK_EQ(any, 0);
    CHECK_EQ(alps_close(&h), 0);
}

static void zeroes(void)
{
    with_each_way(zeroes_way);
}

/* What the file holds in its own name. */
static uint32_t sum_of_file(void)
{
    static unsigned char bytes[1 << 20];
    uint32_t sum = 0;
    int fd = open(path, O_RDONLY);
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        sum = alps_crc32c_(ALPS_CRC_TABLE, sum, bytes, (size_t)n);
    CHECK_EQ(n, 0);
    close(fd);
    return sum;
}

/* The system takes back all that it can of the region's memory. */
static void press(alps_heap *h)
{
#ifndef MADV_PAGEOUT
#  define MADV_PAGEOUT 21
#endif
    if (madvise(h->core.map.base, h->core.map.size, MADV_PAGEOUT))
        CHECK_EQ(errno, EINVAL); // before Linux 5.4
}

static int all_are(const unsigned char *p, size_t n, unsigned char what)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != what)
            return 0;
    return 1;
}

/* Whether anything was synced or not, nothing reaches the file by it, and
 * nothing is lost. */
static void memory_pressure_way(void)
{
    alps_heap h;
    enum { N = 1 << 20 };
    uint64_t *w = open_words(&h);
    unsigned char *p = (unsigned char *)alps_alloc_aligned(&h, 4096, N);
    if (!CHECK(p != NULL))
        return;
    w[0] = alps_off_of(&h, p);
    memset(p, 1, N);
    CHECK_EQ(alps_sync(&h), 0);
    for (unsigned char round = 2; round < 5; round++) {
        uint32_t file = sum_of_file();
        press(&h); // of what was synced
        CHECK(all_are(p, N, (unsigned char)(round - 1)));
        memset(p, round, N);
        press(&h); // of what was not
        CHECK(all_are(p, N, round));
        CHECK_EQ(sum_of_file(), file);
        CHECK_EQ(alps_sync(&h), 0);
        press(&h);
        CHECK(all_are(p, N, round));
    }
    memset(p, 9, N);
    press(&h);
    CHECK_EQ(alps_discard(&h), 0);
    w = open_words(&h);
    CHECK(all_are((unsigned char *)alps_at(&h, w[0]), N, 4));
    CHECK_EQ(alps_check(&h, NULL), 0);
    CHECK_EQ(alps_close(&h), 0);
}

static void memory_pressure(void)
{
    with_each_way(memory_pressure_way);
}

/* ---- who else */

static void one_writes(void)
{
    alps_heap h, other;
    shared_heap third;
    fresh();
    uint64_t *w = open_words(&h);
    for (uint64_t i = 1; i < 3; i++) { // what is refused leaves the journal
        w[0] = i;
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(shared_open(&third, path, &options), ALPS_EBUSY);
        CHECK_EQ(alps_open(&other, path, &options), ALPS_EBUSY);
        CHECK_EQ(alps_remove(path), ALPS_EBUSY);
        CHECK(there(beside));
    }
    CHECK_EQ(alps_discard(&h), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], 2);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(shared_open(&third, path, &options), 0);
    CHECK_EQ(alps_open(&other, path, &options), ALPS_EBUSY);
    CHECK_EQ(shared_close(&third), 0);
    CHECK_EQ(alps_open(&other, path, &options), 0);
    CHECK_EQ(alps_close(&other), 0);
}

static void readers_see_the_last_sync(void)
{
    alps_heap h, r, later;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 1;
    CHECK_EQ(alps_sync(&h), 0);
    w[0] = 2;
    CHECK_EQ(alps_open(&r, path, &read_only), 0);
    const uint64_t *seen = (const uint64_t *)alps_root(&r, 64);
    CHECK_EQ(seen[0], 1);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_open(&later, path, &read_only), 0);
    CHECK_EQ(*(const uint64_t *)alps_root(&later, 64), 2);
    for (uint64_t i = 3; i < 40; i++) { // more than a journal holds
        void *p = alps_alloc(&h, 1 << 20);
        CHECK(p || i > 5);
        w[0] = i;
        for (uint64_t k = 0; p && k < 1 << 20; k += 4096)
            ((unsigned char *)p)[k] = (unsigned char)i;
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(alps_free(&h, p), 0);
    }
    CHECK_EQ(seen[0], 1);
    CHECK_EQ(alps_check(&r, NULL), 0);
    CHECK_EQ(alps_close(&h), 0); // commits stay in the journal
    CHECK(there(beside));
    CHECK_EQ(seen[0], 1);
    CHECK_EQ(alps_close(&r), 0);
    CHECK_EQ(alps_open(&r, path, &read_only), 0);
    CHECK_EQ(*(const uint64_t *)alps_root(&r, 64), 39);
    CHECK_EQ(alps_close(&later), 0);
    w = open_words(&h); // with a reader there: goes on from the journal
    CHECK_EQ(w[0], 39);
    w[0] = 40;
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_close(&r), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], 40);
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
}

/* All of it was at home, so a reader has nothing but the file: that stays. */
static void the_file_of_a_reader_stays(void)
{
    alps_heap h, r;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh();
    uint64_t *w = open_words(&h);
    unsigned char *p = (unsigned char *)alps_alloc_aligned(&h, 4096, 4 << 20);
    CHECK(p != NULL);
    w[0] = alps_off_of(&h, p);
    w[1] = 1;
    memset(p, 1, 4 << 20);
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
    CHECK_EQ(alps_open(&r, path, &read_only), 0);
    w = open_words(&h);
    p = (unsigned char *)alps_at(&h, w[0]);
    for (unsigned char i = 2; i < 8; i++) { // more than a journal holds
        w[1] = i;
        memset(p, i, 4 << 20);
        CHECK_EQ(alps_sync(&h), 0);
    }
    const uint64_t *seen = (const uint64_t *)alps_root(&r, 64);
    const unsigned char *q = (const unsigned char *)alps_at(&r, seen[0]);
    CHECK_EQ(seen[1], 1);
    for (unsigned i = 0; i < 4 << 20; i += 4096)
        CHECK_EQ(q[i], 1);
    CHECK_EQ(alps_close(&r), 0);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
}

static void fill_a_block(alps_heap *h, uint64_t *w)
{
    void *p = alps_alloc_aligned(h, 4096, 4 << 20);
    CHECK(p != NULL);
    memset(p, 1, 4 << 20);
    w[0] = alps_off_of(h, p);
    CHECK_EQ(alps_sync(h), 0);
}

/* What a dead one committed is not at home, because of a reader, and is made
 * zero by the next. */
static void what_is_in_the_journal_only_can_be_zeroed(void)
{
    alps_heap h, r;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh();
    options.size = 32 << 20;
    open_words(&h);
    CHECK_EQ(alps_close(&h), 0);
    child(fill_a_block);
    CHECK_EQ(alps_open(&r, path, &read_only), 0);
    int fd = open(path, O_RDONLY); // what was read ahead passes for data
    CHECK(fd >= 0 && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    close(fd);
    uint64_t *w = open_words(&h);
    memset(alps_at(&h, w[0]), 0, 4 << 20);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_discard(&h), 0);
    CHECK_EQ(alps_close(&r), 0);
    w = open_words(&h);
    const unsigned char *p = (const unsigned char *)alps_at(&h, w[0]);
    unsigned any = 0;
    for (size_t i = 0; i < 4 << 20; i++)
        any |= p[i];
    CHECK_EQ(any, 0);
    CHECK_EQ(alps_close(&h), 0);
}

static void a_reader_needs_no_recovery(void)
{
    alps_heap r;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh();
    child(store_sync_store);
    CHECK_EQ(alps_open(&r, path, &read_only), 0);
    CHECK_EQ(*(const uint64_t *)alps_root(&r, 64), 1);
    CHECK_EQ(alps_close(&r), 0);
    CHECK(there(beside));
}

static void another_policy_recovers(void)
{
    shared_heap h;
    fresh();
    child(store_sync_store);
    CHECK_EQ(shared_open(&h, path, NULL), 0);
    CHECK_EQ(*(const uint64_t *)shared_root(&h, 64), 1);
    CHECK(!there(beside));
    CHECK_EQ(shared_close(&h), 0);
}

static void the_child_of_a_fork_commits_nothing(void)
{
    alps_heap h;
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 1;
    CHECK_EQ(alps_sync(&h), 0);
    pid_t pid = fork();
    if (!pid) {
        w[0] = 7;
        int bad = alps_sync(&h) != ALPS_EFORK || alps_close(&h) != 0;
        _exit(bad);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(w[0], 1);
    w[1] = 2;
    CHECK_EQ(alps_close(&h), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], 1);
    CHECK_EQ(w[1], 2);
    CHECK_EQ(alps_close(&h), 0);
}

/* ---- journals that are missing, or mixed up */

static void a_journal_that_is_gone_is_missed(void)
{
    alps_heap h;
    shared_heap s;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    char aside[230];
    snprintf(aside, sizeof aside, "%s.aside", beside);
    fresh();
    child(store_sync_store);
    CHECK_EQ(rename(beside, aside), 0);
    CHECK_EQ(alps_open(&h, path, &options), ALPS_EJOURNAL);
    CHECK_EQ(shared_open(&s, path, NULL), ALPS_EJOURNAL);
    CHECK_EQ(alps_open(&h, path, &read_only), ALPS_EJOURNAL);
    CHECK_EQ(rename(aside, beside), 0);
    CHECK_EQ(*open_words(&h), 1);
    CHECK_EQ(alps_close(&h), 0);
}

static void the_journal_of_another_is_not_taken(void)
{
    alps_heap h;
    char aside[230];
    snprintf(aside, sizeof aside, "%s.aside", beside);
    fresh();
    child(store_sync_store);
    CHECK_EQ(rename(beside, aside), 0);
    fresh();
    child(store_sync_store);
    CHECK_EQ(rename(aside, beside), 0);
    CHECK_EQ(alps_open(&h, path, &options), ALPS_EJOURNAL);
    options.flags |= ALPS_TRUNCATE; // anew, and the journal is nobody's
    CHECK_EQ(*open_words(&h), 0);
    options.flags = ALPS_CREATE;
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
}

static void links_are_followed(void)
{
    alps_heap h;
    char link[230], real[200];
    snprintf(link, sizeof link, "%s.link", path);
    fresh();
    memcpy(real, path, sizeof real);
    open_words(&h);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(symlink(real, link), 0);
    memcpy(path, link, sizeof path);
    child(store_sync_store);
    memcpy(path, real, sizeof path);
    CHECK(there(beside));
    CHECK_EQ(*open_words(&h), 1);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(unlink(link), 0);
}

static void a_leftover_means_nothing(void)
{
    alps_heap h;
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 4;
    CHECK_EQ(alps_close(&h), 0);
    int fd = open(beside, O_CREAT | O_RDWR, 0600);
    CHECK(write(fd, "rubbish", 7) == 7);
    close(fd);
    w = open_words(&h);
    CHECK_EQ(w[0], 4);
    CHECK_EQ(alps_close(&h), 0);
    CHECK(!there(beside));
}

/* ---- a disk that is full */

static uint64_t blocks_of(const char *name)
{
    struct stat st;
    return stat(name, &st) ? UINT64_MAX : (uint64_t)st.st_blocks * 512;
}

/* Also what the journal has a version of, from before it was free; and what is
 * used again has blocks, though nothing was stored there yet. */
static void free_memory_goes_back_with_the_commit_that_knows(void)
{
    enum { ROOM = 3 << 20 };
    for (int again = 0; again < 2; again++) {
        alps_heap h;
        fresh();
        uint64_t *w = open_words(&h);
        void *p = alps_alloc(&h, ROOM);
        if (!CHECK(p != NULL))
            return;
        memset(p, 1, ROOM);
        CHECK_EQ(alps_sync(&h), 0);
        uint64_t before = blocks_of(path);
        CHECK_EQ(alps_free(&h, p), 0);
        CHECK_EQ(alps_trim(&h), 0);
        w[0] = 7;
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(blocks_of(path), before); // a crash may need the journal
        if (again)
            CHECK((p = alps_alloc(&h, ROOM)) != NULL);
        CHECK_EQ(alps_close(&h), 0);
        CHECK((blocks_of(path) >= ROOM) == again);
        w = open_words(&h);
        CHECK_EQ(w[0], 7);
        CHECK_EQ(alps_check(&h, NULL), 0);
        CHECK_EQ(alps_close(&h), 0);
    }
}

/* A sync of blocks that the file has, and that were written before, does not
 * make the file system write down where they are. */
static void a_small_commit_finds_written_blocks(void)
{
    alps_heap h;
    struct rlimit old, tight;
    struct stat before, after;
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 1;
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(stat(beside, &before), 0);
    for (w[0] = 2; w[0] < 20; w[0]++)
        CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(stat(beside, &after), 0);
    CHECK((uint64_t)after.st_size > h.core.map.journal->tail);
    CHECK(after.st_size == before.st_size &&
          after.st_blocks == before.st_blocks);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old; // for one that is needed, not for those ahead
    tight.rlim_cur = (rlim_t)after.st_size + 16384;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    while (h.core.map.journal->tail + 16384 < tight.rlim_cur) {
        w[0]++;
        CHECK_EQ(alps_sync(&h), 0);
    }
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK_EQ(stat(beside, &after), 0);
    CHECK((uint64_t)after.st_size == h.core.map.journal->tail);
    uint64_t last = w[0];
    CHECK_EQ(alps_discard(&h), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], last);
    CHECK_EQ(alps_close(&h), 0);
}

static void a_full_disk_loses_nothing(void)
{
    alps_heap h;
    struct rlimit old, tight = {5 << 20, 5 << 20};
    fresh();
    uint64_t *w = open_words(&h);
    w[0] = 1;
    CHECK_EQ(alps_sync(&h), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 2 << 20);
    w[1] = alps_off_of(&h, p);
    memset(p, 1, 2 << 20);
    CHECK_EQ(alps_sync(&h), 0);
    tight.rlim_max = old.rlim_max;
    tight.rlim_cur = 1 << 20; // the journal is longer already
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    memset(p, 2, 2 << 20);
    w[0] = 2;
    CHECK_EQ(alps_sync(&h), ALPS_ENOSPC);
    CHECK_EQ(alps_sync(&h), ALPS_ENOSPC);
    CHECK_EQ(alps_close(&h), ALPS_ENOSPC); // and stays open
    CHECK_EQ(p[5], 2);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_close(&h), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], 2);
    p = (unsigned char *)alps_at(&h, w[1]);
    CHECK(p && p[0] == 2 && p[(2 << 20) - 1] == 2);
    CHECK_EQ(alps_close(&h), 0);
}

/* ---- threads */

#define WRITERS 4
#define RING 64 // pages

struct writer {
    alps_heap *h;
    uint64_t *ring; // a word in each of so many pages
    const int *stop;
    unsigned pause; // between two stores, in loads of a word
    unsigned long rounds;
};

static uint64_t *in_ring(uint64_t *ring, uint64_t n)
{
    return &ring[n % RING * (ALPS_PAGE / sizeof *ring)];
}

/* Counts, a page further with each number: what is there at any moment tells
 * which. The heap changes as well. */
static void *goes_round(void *context)
{
    struct writer *me = (struct writer *)context;
    while (!__atomic_load_n(me->stop, __ATOMIC_RELAXED)) {
        uint64_t n = ++me->rounds;
        __atomic_store_n(in_ring(me->ring, n), n, __ATOMIC_RELEASE);
        void *p = n % 8 ? NULL : alps_alloc(me->h, 1 + n % 2000);
        if (p)
            alps_free(me->h, p);
        for (unsigned i = 0; i < me->pause; i++)
            (void)__atomic_load_n(me->stop, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Whether the ring is as it was at one moment. */
static int of_one_moment(uint64_t *ring)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < RING; i++)
        if (*in_ring(ring, i) > last)
            last = *in_ring(ring, i);
    for (uint64_t i = 0; i < RING && i < last; i++)
        if (*in_ring(ring, last - i) != last - i)
            return 0;
    return 1;
}

/* Reads what the file has now. */
static void judge(uint64_t at)
{
    alps_heap r;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    if (!CHECK_EQ(alps_open(&r, path, &read_only), 0))
        return;
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK(of_one_moment(
            (uint64_t *)alps_at(&r, at + i * (uint64_t)RING * ALPS_PAGE)));
    CHECK_EQ(alps_check(&r, NULL), 0);
    CHECK_EQ(alps_close(&r), 0);
}

static void a_sync_is_of_one_moment_way(void)
{
    alps_heap h;
    int stop = 0;
    pthread_t thread[WRITERS];
    struct writer w[WRITERS];
    size_t n = WRITERS * RING * (size_t)ALPS_PAGE;
    open_words(&h);
    unsigned char *p = (unsigned char *)alps_alloc_aligned(&h, 4096, n);
    memset(p, 0, n);
    uint64_t at = alps_off_of(&h, p);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i].h = &h;
        w[i].ring = (uint64_t *)(void *)(p + i * (size_t)RING * ALPS_PAGE);
        w[i].stop = &stop;
        w[i].pause = i * i * i * 1000; // from no time at all on
        w[i].rounds = 0;
        pthread_create(&thread[i], NULL, goes_round, &w[i]);
    }
    for (unsigned i = 0; i < 60 / SLOW; i++) {
        CHECK_EQ(alps_sync(&h), 0);
        judge(at);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(w[i].rounds > 0);
        CHECK(of_one_moment(w[i].ring));
    }
    CHECK_EQ(alps_check(&h, NULL), 0);
    CHECK_EQ(alps_close(&h), 0);
    judge(at);
}

static void a_sync_is_of_one_moment(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_CLONE);
    return;
#endif
    with_each_way(a_sync_is_of_one_moment_way);
}

#define COUNTED 64 // pages

/* The same number in each page, one more for each sync. */
static void *counts_and_syncs(void *context)
{
    struct writer *me = (struct writer *)context;
    while (!__atomic_load_n(me->stop, __ATOMIC_RELAXED)) {
        me->rounds++;
        for (unsigned i = 0; i < COUNTED; i++)
            __atomic_store_n(in_ring(me->ring, i), me->rounds,
                             __ATOMIC_RELEASE);
        if (alps_sync(me->h))
            break;
    }
    return NULL;
}

/* A snapshot is of one moment, though others bring pages home meanwhile. */
static void a_snapshot_waits_for_its_turn(void)
{
    char copied[240];
    alps_heap h, s;
    int stop = 0;
    pthread_t thread;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh();
    open_words(&h);
    struct writer w = {&h, NULL, &stop, 0, 0};
    w.ring = (uint64_t *)alps_alloc_aligned(&h, ALPS_PAGE, COUNTED * ALPS_PAGE);
    uint64_t at = alps_off_of(&h, w.ring);
    memset(w.ring, 0, COUNTED * ALPS_PAGE);
    snprintf(copied, sizeof copied, "%s.copy", path);
    pthread_create(&thread, NULL, counts_and_syncs, &w);
    for (unsigned i = 0; i < 100 / SLOW; i++) {
        CHECK_EQ(alps_snapshot(&h, copied), 0);
        if (!CHECK_EQ(alps_open(&s, copied, &read_only), 0))
            break;
        uint64_t *ring = (uint64_t *)alps_at(&s, at);
        uint64_t first = *in_ring(ring, 0), k = 1;
        while (k < COUNTED && *in_ring(ring, k) == first)
            k++;
        for (; k < COUNTED; k++) // of one moment, so of two rounds at most
            CHECK_EQ(*in_ring(ring, k), first - 1);
        CHECK_EQ(alps_close(&s), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(w.rounds > 1);
    unlink(copied);
    CHECK_EQ(alps_close(&h), 0);
}

/* Many that commit at once share commits, and each finds its own. */
static void *commits(void *context)
{
    struct writer *me = (struct writer *)context;
    for (uint64_t i = 1; i <= 100; i++) {
        __atomic_store_n(me->ring, i, __ATOMIC_RELEASE);
        if (alps_sync(me->h))
            break;
        me->rounds++;
    }
    return NULL;
}

static void commits_are_shared(void)
{
    alps_heap h;
#ifdef CHECK_EMULATED
    SKIP(NO_CLONE);
    return;
#endif
    pthread_t thread[8];
    struct writer w[8];
    fresh();
    uint64_t *root = open_words(&h);
    for (unsigned i = 0; i < 8; i++) {
        w[i].h = &h;
        w[i].ring = &root[i * 8];
        w[i].rounds = 0;
        pthread_create(&thread[i], NULL, commits, &w[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(thread[i], NULL);
        CHECK_EQ(w[i].rounds, 100);
    }
    CHECK(h.core.map.journal->begun < 800);
    CHECK_EQ(alps_discard(&h), 0);
    root = open_words(&h);
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(root[i * 8], 100);
    CHECK_EQ(alps_close(&h), 0);
}

static void a_sync_in_halves(void)
{
    alps_heap h;
    fresh();
    uint64_t *w = open_words(&h);
    CHECK_EQ(alps_sync_end(&h), ALPS_EINVAL);
    w[0] = 1;
    CHECK_EQ(alps_sync_begin(&h), 0);
    w[0] = 2;
    CHECK_EQ(alps_sync_end(&h), 0);
    CHECK_EQ(alps_discard(&h), 0);
    w = open_words(&h);
    CHECK_EQ(w[0], 1);
    CHECK_EQ(alps_close(&h), 0);
}

/* ---- killed at random */

/* `synced` tells, outside the region, what sync has answered for. */
static void works_until_killed(alps_heap *h, uint64_t *w, uint64_t *synced)
{
    uint64_t *p = (uint64_t *)alps_at(h, w[2]);
    for (;;) {
        uint64_t n = w[0] + 1;
        w[0] = n;
        for (unsigned k = 0; k < 64; k++)
            p[k * 512 + n % 512] = n;
        w[1] = n;
        if (n % 4 == 0 && alps_sync(h) == 0)
            __atomic_store_n(synced, n, __ATOMIC_RELEASE);
    }
}

/* Waits until the child has synced something more than `last`; or is dead. */
static void wait_for_sync(pid_t pid, const uint64_t *synced, uint64_t last)
{
    struct timespec nap = {0, 1000000};
    while (__atomic_load_n(synced, __ATOMIC_ACQUIRE) <= last) {
        siginfo_t is = {0};
        if (waitid(P_PID, (id_t)pid, &is, WEXITED | WNOHANG | WNOWAIT) ||
            is.si_pid)
            return;
        nanosleep(&nap, NULL);
    }
}

static void killed_at_random(void)
{
    alps_heap h;
    uint64_t last = 0;
#ifdef CHECK_EMULATED
    SKIP("an emulator that was killed holds its locks for a while");
    return;
#endif
    uint64_t *synced = (uint64_t *)mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fresh();
    uint64_t *w = open_words(&h);
    uint64_t *p = (uint64_t *)alps_alloc_aligned(&h, 4096, 64 * 4096);
    memset(p, 0, 64 * 4096);
    w[2] = alps_off_of(&h, p);
    CHECK_EQ(alps_close(&h), 0);
    for (unsigned i = 0; i < 40; i++) {
        pid_t pid = fork();
        if (!pid) {
            alarm(20);
            w = open_words(&h);
            works_until_killed(&h, w, synced);
            _exit(1);
        }
        wait_for_sync(pid, synced, last);
        struct timespec nap = {0, (long)(i * 7919 % 20) * 1000000};
        nanosleep(&nap, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        w = open_words(&h);
        if (!w)
            return;
        CHECK_EQ(w[0], w[1]);
        CHECK_EQ(w[0] % 4, 0);
        CHECK(w[0] > last);
        CHECK(w[0] >= *synced);
        last = w[0];
        p = (uint64_t *)alps_at(&h, w[2]);
        for (unsigned k = 0; k < 64; k++)
            CHECK_EQ(p[k * 512 + last % 512], last);
        CHECK_EQ(alps_check(&h, NULL), 0);
        CHECK_EQ(alps_discard(&h), 0);
    }
    munmap(synced, 4096);
}

static void unknown_ways_are_refused(void)
{
    alps_heap h;
    fresh();
    options.dirty = 9;
    CHECK_EQ(alps_open(&h, path, &options), ALPS_EINVAL);
    options.dirty = 0;
    setenv("ALPS_DIRTY", "magic", 1);
    CHECK_EQ(alps_open(&h, path, &options), ALPS_EINVAL);
    unsetenv("ALPS_DIRTY");
    open_words(&h);
    CHECK_EQ(alps_close(&h), 0);
}

int main(void)
{
    char folder[160];
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/alps-checkpoint-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 2;
    snprintf(path, sizeof path, "%s/region", folder);
    snprintf(beside, sizeof beside, "%s.journal", path);
    RUN(the_last_sync_is_found);
    RUN(many_syncs_add_up);
    RUN(pages_come_home);
    RUN(a_region_grows);
    RUN(discard_goes_back);
    RUN(zeroes);
    RUN(memory_pressure);
    RUN(one_writes);
    RUN(readers_see_the_last_sync);
    RUN(the_file_of_a_reader_stays);
    RUN(what_is_in_the_journal_only_can_be_zeroed);
    RUN(a_reader_needs_no_recovery);
    RUN(another_policy_recovers);
    RUN(the_child_of_a_fork_commits_nothing);
    RUN(a_journal_that_is_gone_is_missed);
    RUN(the_journal_of_another_is_not_taken);
    RUN(links_are_followed);
    RUN(a_leftover_means_nothing);
    RUN(free_memory_goes_back_with_the_commit_that_knows);
    RUN(a_small_commit_finds_written_blocks);
    RUN(a_full_disk_loses_nothing);
    RUN(a_sync_is_of_one_moment);
    RUN(a_snapshot_waits_for_its_turn);
    RUN(commits_are_shared);
    RUN(a_sync_in_halves);
    RUN(killed_at_random);
    RUN(unknown_ways_are_refused);
    unlink(path);
    unlink(beside);
    rmdir(folder);
    return check_end("checkpoint");
}
