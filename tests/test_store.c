/* test_store.c -- the store under policy checkpoint
 *
 * Names, growth, what is given back, snapshots and copies: all of it is as of
 * a sync, and none of it touches the file before. */
#include "any.h"
#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char folder[160], path[200], beside[220], copied[200];
static alps_options options;

static void fresh(uint64_t size)
{
    memset(&options, 0, sizeof options);
    options.size = size;
    options.flags = ALPS_CREATE;
    unlink(path);
    unlink(beside);
    unlink(copied);
}

static void open_it(any_heap *h)
{
    CHECK_EQ(any_open(h, path, &options), 0);
}

static uint64_t blocks_of(const char *name)
{
    struct stat st;
    return stat(name, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static uint64_t length_of(const char *name)
{
    struct stat st;
    return stat(name, &st) ? 0 : (uint64_t)st.st_size;
}

static int there(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0;
}

static void names_are_as_of_the_sync(void)
{
    any_heap h;
    alps_report r;
    char name[32];
    fresh(8 << 20);
    open_it(&h);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "object %u", i);
        uint64_t *p = (uint64_t *)any_construct(&h, name, 8);
        if (!CHECK(p != NULL))
            return;
        *p = i;
        if (i == 1999)
            CHECK_EQ(any_sync(&h), 0);
    }
    CHECK_EQ(any_destroy(&h, "object 7"), 0);
    CHECK_EQ(any_discard(&h), 0);
    open_it(&h);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = 0;
        snprintf(name, sizeof name, "object %u", i);
        const uint64_t *p = (const uint64_t *)any_find(&h, name, &n);
        CHECK_EQ(p != NULL, i < 2000);
        if (p)
            CHECK(*p == i && n == 8);
    }
    CHECK_EQ(any_check(&h, &r), 0);
    CHECK_EQ(r.names, 2000);
    CHECK_EQ(any_close(&h), 0);
}

static void growth_is_as_of_the_sync(void)
{
    any_heap h;
    alps_description d;
    fresh(2 << 20);
    open_it(&h);
    void *p = any_alloc(&h, 20 << 20);
    CHECK(p != NULL);
    memset(p, 1, 20 << 20);
    CHECK_EQ(any_discard(&h), 0);
    open_it(&h);
    CHECK_EQ(any_describe(&h, &d), 0);
    CHECK_EQ(d.size, 2 << 20);
    uint64_t *root = (uint64_t *)any_root(&h, 8);
    p = any_alloc(&h, 20 << 20);
    CHECK(p != NULL);
    memset(p, 2, 20 << 20);
    *root = any_off_of(&h, p);
    CHECK_EQ(any_sync(&h), 0);
    CHECK_EQ(any_discard(&h), 0);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    const unsigned char *q = (const unsigned char *)any_at(&h, *root);
    CHECK(q && q[0] == 2 && q[(20 << 20) - 1] == 2);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK_EQ(any_close(&h), 0);
}

/* What is free goes back to the file system when the commit that says so is at
 * home, and not before. */
static void what_is_free_is_punched(void)
{
    any_heap h;
    size_t n = 24 << 20;
    fresh(64 << 20);
    open_it(&h);
    uint64_t *root = (uint64_t *)any_root(&h, 8);
    unsigned char *p = (unsigned char *)any_alloc(&h, n);
    memset(p, 3, n);
    *root = any_off_of(&h, p);
    CHECK_EQ(any_close(&h), 0);
    uint64_t full = blocks_of(path);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    CHECK_EQ(any_release(&h, root), 0);
    CHECK_EQ(any_trim(&h), 0);
    CHECK(blocks_of(path) >= n);
    CHECK_EQ(any_discard(&h), 0); // it never was free
    CHECK(blocks_of(path) >= n);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    p = (unsigned char *)any_at(&h, *root);
    CHECK(p && p[0] == 3 && p[n - 1] == 3 && p[n / 2] == 3);
    CHECK_EQ(any_release(&h, root), 0);
    CHECK_EQ(any_trim(&h), 0);
    CHECK_EQ(any_close(&h), 0);
    CHECK(blocks_of(path) + n / 2 < full);
    open_it(&h);
    CHECK_EQ(any_check(&h, NULL), 0);
    p = (unsigned char *)any_alloc(&h, n); // and is there again
    CHECK(p != NULL);
    memset(p, 4, n);
    root = (uint64_t *)any_root(&h, 8);
    *root = any_off_of(&h, p);
    CHECK_EQ(any_close(&h), 0);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    p = (unsigned char *)any_at(&h, *root);
    CHECK(p && p[0] == 4 && p[n - 1] == 4);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK_EQ(any_close(&h), 0);
}

/* Given back and taken again before that was at home, with the same bytes: by
 * comparison nothing has changed. */
static void what_is_taken_again_is_not_punched(void)
{
    any_heap h;
    size_t n = 24 << 20;
    fresh(64 << 20);
    options.dirty = ALPS_DIRTY_COMPARE;
    open_it(&h);
    uint64_t *root = (uint64_t *)any_root(&h, 8);
    unsigned char *p = (unsigned char *)any_alloc(&h, n);
    memset(p, 3, n);
    *root = any_off_of(&h, p);
    CHECK_EQ(any_close(&h), 0);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    uint64_t was = *root;
    CHECK_EQ(any_release(&h, root), 0);
    CHECK_EQ(any_trim(&h), 0);
    p = (unsigned char *)any_alloc(&h, n);
    memset(p, 3, n);
    *root = any_off_of(&h, p);
    CHECK_EQ(*root, was);
    CHECK_EQ(any_sync(&h), 0);
    CHECK_EQ(any_close(&h), 0);
    open_it(&h);
    p = (unsigned char *)any_at(&h, *(uint64_t *)any_root(&h, 8));
    size_t bad = 0;
    for (size_t i = 0; p && i < n; i++)
        bad += p[i] != 3;
    CHECK(p && !bad);
    CHECK_EQ(any_close(&h), 0);
}

/* A sync that fails has given nothing back: the next one does. */
static void what_a_failed_sync_gave_back_is_punched_later(void)
{
    any_heap h;
    size_t n = 24 << 20;
    struct rlimit old, tight;
    fresh(64 << 20);
    open_it(&h);
    uint64_t *root = (uint64_t *)any_root(&h, 8);
    unsigned char *p = (unsigned char *)any_alloc(&h, n);
    memset(p, 3, n);
    *root = any_off_of(&h, p);
    CHECK_EQ(any_close(&h), 0);
    uint64_t full = blocks_of(path);
    open_it(&h);
    root = (uint64_t *)any_root(&h, 8);
    CHECK_EQ(any_release(&h, root), 0);
    CHECK_EQ(any_trim(&h), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    CHECK_EQ(any_sync(&h), ALPS_ENOSPC);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK(blocks_of(path) >= n);
    CHECK_EQ(any_close(&h), 0);
    CHECK(blocks_of(path) + n / 2 < full);
}

static void it_shrinks_when_asked(void)
{
    any_heap h;
    fresh(64 << 20);
    open_it(&h);
    uint64_t *root = (uint64_t *)any_root(&h, 16);
    uint64_t *p = (uint64_t *)any_reserve(&h, 8);
    *p = 77;
    CHECK_EQ(any_publish(&h, root, p), 0);
    CHECK_EQ(any_close(&h), 0);
    options.flags |= ALPS_SHRINK;
    open_it(&h);
    CHECK_EQ(length_of(path), 64 << 20);
    // the block may lie at the end: then nothing is cut, but nothing is lost
    CHECK_EQ(any_close(&h), 0);
    uint64_t length = length_of(path);
    CHECK(length <= 64 << 20);
    open_it(&h);
    alps_description d;
    CHECK_EQ(any_describe(&h, &d), 0);
    CHECK_EQ(d.size, length);
    root = (uint64_t *)any_root(&h, 16);
    CHECK_EQ(*(uint64_t *)any_at(&h, *root), 77);
    CHECK_EQ(any_release(&h, root), 0);
    CHECK_EQ(any_close(&h), 0);
    CHECK(length_of(path) < 32 << 20);
    open_it(&h);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK_EQ(any_close(&h), 0);
}

struct counting {
    any_heap *h;
    int stop;
};

static void *counts(void *context)
{
    struct counting *c = (struct counting *)context;
    uint64_t *root = (uint64_t *)any_root(c->h, 4096);
    for (uint64_t n = 1; !__atomic_load_n(&c->stop, __ATOMIC_RELAXED); n++) {
        __atomic_store_n(&root[0], n, __ATOMIC_RELEASE);
        __atomic_store_n(&root[1], n, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void a_snapshot_is_of_one_moment(void)
{
    any_heap h, s;
    pthread_t thread;
    struct counting c = {&h, 0};
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    uint64_t last = 0;
    fresh(4 << 20);
    open_it(&h);
    CHECK(any_construct(&h, "a name", 100) != NULL);
    pthread_create(&thread, NULL, counts, &c);
    for (unsigned i = 0; i < 12; i++) {
        CHECK_EQ(any_snapshot(&h, copied), 0);
        alps_options *how = i % 2 ? NULL : &read_only;
        if (!CHECK_EQ(any_open(&s, copied, how), 0))
            break;
        const uint64_t *root = (const uint64_t *)any_root(&s, 16);
        CHECK(root[0] == root[1] || root[0] == root[1] + 1);
        CHECK(root[0] >= last);
        last = root[0];
        CHECK(any_find(&s, "a name", NULL) != NULL);
        CHECK_EQ(any_check(&s, NULL), 0);
        CHECK_EQ(any_close(&s), 0);
    }
    __atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK_EQ(any_close(&h), 0);
    CHECK(last > 0);
}

/* Dies with a journal that has commits. */
static void leave_a_journal(void)
{
    pid_t pid = fork();
    if (!pid) {
        any_heap h;
        open_it(&h);
        *(uint64_t *)any_root(&h, 8) = 5;
        int err = any_sync(&h);
        *(uint64_t *)any_root(&h, 8) = 6;
        _exit(err || check_bad_);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(there(beside));
}

static void copies_have_what_was_committed(void)
{
    any_heap h;
    fresh(4 << 20);
    leave_a_journal();
    CHECK_EQ(any_consistent(path), 0);
    CHECK_EQ(any_copy(path, copied), 0);
    CHECK(there(beside)); // nothing of it was changed
    CHECK_EQ(any_consistent(copied), 1);
    CHECK_EQ(any_open(&h, copied, NULL), 0);
    CHECK_EQ(*(uint64_t *)any_root(&h, 8), 5);
    CHECK_EQ(any_copy(copied, path), ALPS_EBUSY);
    CHECK_EQ(any_close(&h), 0);
    open_it(&h);
    CHECK_EQ(*(uint64_t *)any_root(&h, 8), 5);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_consistent(path), 1);
}

static void a_reader_takes_a_snapshot(void)
{
    any_heap h, r, s;
    alps_options read_only = {.flags = ALPS_READ_ONLY};
    fresh(4 << 20);
    open_it(&h);
    uint64_t *root = (uint64_t *)any_root(&h, 8);
    *root = 1;
    CHECK_EQ(any_sync(&h), 0);
    CHECK_EQ(any_open(&r, path, &read_only), 0);
    *root = 2;
    CHECK_EQ(any_sync(&h), 0);
    CHECK_EQ(any_snapshot(&r, copied), 0);
    CHECK_EQ(any_open(&s, copied, &read_only), 0);
    CHECK_EQ(*(const uint64_t *)any_root(&s, 8), 1);
    CHECK_EQ(any_close(&s), 0);
    CHECK_EQ(any_close(&r), 0);
    CHECK_EQ(any_close(&h), 0);
}

static void remove_takes_the_journal_along(void)
{
    fresh(4 << 20);
    leave_a_journal();
    CHECK_EQ(any_remove(path), 0);
    CHECK(!there(path) && !there(beside));
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/alps-store-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 2;
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    snprintf(path, sizeof path, "%s/region", folder);
    snprintf(beside, sizeof beside, "%s.journal", path);
    snprintf(copied, sizeof copied, "%s/copy", folder);
    RUN(names_are_as_of_the_sync);
    RUN(growth_is_as_of_the_sync);
    RUN(what_is_free_is_punched);
    RUN(what_is_taken_again_is_not_punched);
    RUN(what_a_failed_sync_gave_back_is_punched_later);
    RUN(it_shrinks_when_asked);
    RUN(a_snapshot_is_of_one_moment);
    RUN(copies_have_what_was_committed);
    RUN(a_reader_takes_a_snapshot);
    RUN(remove_takes_the_journal_along);
    fresh(0);
    rmdir(folder);
    return check_end("store");
}
