/* test_capture.c -- a heap larger than its memory, committed all at once
 *
 * What other threads, readers, system calls and a failing medium find of it.
 * Memory is 1 MiB in segments of 16 KiB; every crash of a commit is in
 * test_spill.c. */
#define ALPS_JOURNAL_MAX ((uint64_t)256 << 10)
#define ALPS_POLICY ALPS_CHECKPOINT
#include <signal.h>
#include <unistd.h>

/* A latch that was just given back is not taken again at once, so that others
 * come in between. */
static unsigned latch_takes; // microseconds
static inline int unhurried(int how, const sigset_t *set, sigset_t *old)
{
    int rc = pthread_sigmask(how, set, old);
    if (latch_takes && !old)
        usleep(latch_takes);
    return rc;
}
#define pthread_sigmask unhurried
#include "pages.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "../alps.h"

static void medium_wrote(const void *p, size_t n, off_t off)
{
    (void)p;
    (void)n;
    (void)off;
}

static unsigned sync_takes; // microseconds

static void medium_synced(void)
{
    if (sync_takes)
        usleep(sync_takes);
}

static alps_options small(uint64_t size)
{
    alps_options o = paged(0);
    o.size = size;
    o.extent = 65536;
    o.segment = 16 * KIB;
    o.lanes = 16;
    return o;
}

static alps_options to_read(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    return o;
}

static void end(alps_heap *h)
{
    char journal[140];
    CHECK_EQ(alps_close(h), 0);
    snprintf(journal, sizeof journal, "%s.journal", the_path);
    CHECK(access(journal, F_OK) != 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* ---- a heap, and what a model says of it --------------------------------- */

#define OBJECTS 300u
struct top {
    alps_off object[OBJECTS];
    uint64_t seed[OBJECTS]; // of its bytes; 0: there is none
    uint64_t steps;
};

static uint64_t bytes_of(uint64_t seed)
{
    return seed % 5 ? seed % 3000 + 16 : seed % 40000 + 16;
}

static void fill(unsigned char *p, uint64_t seed)
{
    uint64_t state = seed, n = bytes_of(seed);
    for (uint64_t i = 0; i < n; i += 64)
        p[i] = (unsigned char)rnd(&state);
}

static int differs(const unsigned char *p, uint64_t seed)
{
    uint64_t state = seed, n = bytes_of(seed);
    for (uint64_t i = 0; i < n; i += 64)
        if (p[i] != (unsigned char)rnd(&state))
            return 1;
    return 0;
}

/* One object comes, goes or is another one, by a transaction. */
static int step(alps_heap *h, uint64_t *state)
{
    struct top *top = (struct top *)alps_root(h, 8);
    alps_tx t;
    top = (struct top *)alps_at(h, *(alps_off *)(void *)top);
    uint64_t k = rnd(state) % OBJECTS, seed = rnd(state) | 1;
    int err = alps_begin(h, &t);
    if (!err && top->seed[k])
        err = alps_tx_release(&t, &top->object[k]);
    if (!err && top->seed[k] % 3 == 0) {
        unsigned char *p =
            (unsigned char *)alps_reserve(h, (size_t)bytes_of(seed));
        err = p ? ALPS_OK : alps_error(h);
        if (p)
            fill(p, seed);
        if (p)
            err = alps_tx_publish(&t, &top->object[k], p);
    } else {
        seed = 0;
    }
    if (!err)
        err = alps_tx_set(&t, &top->seed[k], seed);
    if (!err)
        err = alps_tx_set(&t, &top->steps, top->steps + 1);
    return err ? err : alps_commit(&t);
}

#define WHOLE(name)                                                  \
  static int name##_whole(name##_heap *h, uint64_t *steps)           \
  {                                                                  \
    const alps_off *root = (const alps_off *)name##_root(h, 8);      \
    const struct top *top = (const struct top *)name##_at(h, *root); \
    int bad = name##_check(h, NULL) != 0 || !top;                    \
    for (unsigned i = 0; i < OBJECTS && !bad; i++)                   \
      if (top->seed[i]) {                                            \
        const void *p = name##_at(h, top->object[i]);                \
        bad = !p || differs((const unsigned char *)p, top->seed[i]); \
      }                                                              \
    *steps = bad ? 0 : top->steps;                                   \
    return bad;                                                      \
  }
WHOLE(alps)
WHOLE(plain)

static int begin(alps_heap *h, const alps_options *o)
{
    int err = alps_open(h, the_path, o);
    alps_off *root = err ? NULL : (alps_off *)alps_root(h, 8);
    if (root && !*root) {
        void *p = alps_reserve(h, sizeof(struct top));
        if (p)
            memset(p, 0, sizeof(struct top));
        err = p ? alps_publish(h, root, p) : alps_error(h);
    }
    return err;
}

/* What the file and its journal say, to another backend. */
static int found(uint64_t *steps)
{
    plain_heap r;
    alps_options o = to_read();
    int err = plain_open(&r, the_path, &o);
    *steps = 0;
    if (err)
        return err;
    err = plain_whole(&r, steps);
    int last = plain_close(&r);
    return err ? err : last;
}

static void the_heap_works_beyond_its_memory(void)
{
    alps_heap h;
    alps_statistics s;
    alps_options o = small(8 * MIB);
    uint64_t state = 11, steps = 0;
    int bad = 0;
    path_to("heap");
    CHECK_EQ(begin(&h, &o), 0);
    CHECK(h.core.map.apart && h.core.map.sole);
    for (uint64_t i = 1; i <= 2000; i++) {
        bad += step(&h, &state) != 0;
        if (i % 200)
            continue;
        CHECK_EQ(alps_sync(&h), 0);
        bad += step(&h, &state) != 0; // and is not in it
        CHECK_EQ(found(&steps), 0);
        CHECK_EQ(steps, i + i / 200 - 1);
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_whole(&h, &steps), 0);
    CHECK_EQ(steps, 2010);
    CHECK_EQ(alps_stats(&h, &s), 0);
    CHECK(s.used > MIB); // more than is in memory
    CHECK(s.paging.evictions > 300);
    CHECK_EQ(alps_discard(&h), 0);
    CHECK_EQ(found(&steps), 0);
    CHECK_EQ(steps, 2009);
    CHECK_EQ(begin(&h, &o), 0);
    CHECK_EQ(alps_whole(&h, &steps), 0);
    CHECK_EQ(steps, 2009);
    end(&h);
}

static void a_sync_after_one_store_writes_a_page(void)
{
    alps_heap h;
    alps_options o = small(8 * MIB);
    o.segment = 64 * KIB;
    path_to("one");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    uint64_t *p = (uint64_t *)alps_alloc(&h, 100000);
    memset(p, 3, 100000);
    CHECK_EQ(alps_sync(&h), 0);
    const alps_paging *count = &h.core.map.pager->count;
    uint64_t before = count->bytes_written, synced = count->syncs;
    p[1]++;
    CHECK_EQ(alps_sync(&h), 0);
    // the page, the front of its frame, and the frame that ends the commit
    CHECK_EQ(count->bytes_written - before, 12288);
    CHECK_EQ(count->syncs, synced + 1);
    CHECK_EQ(alps_sync(&h), 0); // of nothing
    CHECK_EQ(count->bytes_written - before, 12288);
    CHECK_EQ(count->syncs, synced + 1);
    CHECK(h.core.map.journal->filled > h.core.map.pager->spill.end.tail);
    end(&h);
}

static void names_and_snapshots_are_those_of_the_last_commit(void)
{
    alps_heap h;
    plain_heap copy;
    char name[40], path[140];
    int bad = 0;
    alps_options o = small(8 * MIB);
    path_to("names");
    snprintf(path, sizeof path, "%s.copy", the_path);
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "number %d", i);
        int *p = (int *)alps_construct(&h, name, 12000);
        bad += !p;
        if (p)
            p[0] = p[2999] = i;
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_snapshot(&h, path), 0);
    CHECK_EQ(alps_destroy(&h, "number 7"), 0);
    CHECK_EQ(plain_open(&copy, path, NULL), 0);
    CHECK_EQ(plain_check(&copy, NULL), 0);
    for (int i = 0; i < 400; i++) {
        size_t n = 0;
        snprintf(name, sizeof name, "number %d", i);
        const int *p = (const int *)plain_find(&copy, name, &n);
        bad += !p || n != 12000 || p[0] != i || p[2999] != i;
        p = (const int *)alps_find(&h, name, &n);
        bad += i == 7 ? p != NULL : !p || p[0] != i || p[2999] != i;
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(plain_close(&copy), 0);
    CHECK_EQ(plain_remove(path), 0);
    end(&h);
}

/* ---- others -------------------------------------------------------------- */

/* Number k is stored to word k % WORDS, each in a segment of its own, in order:
 * at every moment the words are some number and those before it. */
struct line {
    volatile uint64_t *word;
    uint64_t n; // of them
};
static struct line line[2] = {{NULL, 150}, {NULL, 6}}; // many, or a few hot
static int stop;

static void *stores(void *at)
{
    const struct line *l = (const struct line *)at;
    uint64_t k = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED) && ++k)
        __atomic_store_n(&l->word[k % l->n * 2048], k, __ATOMIC_RELEASE);
    return NULL;
}

/* Whether these words were so at a moment. */
static int at_a_moment(const uint64_t *word, uint64_t n)
{
    uint64_t last = 0;
    for (uint64_t i = 0; i < n; i++)
        if (word[i * 2048] > last)
            last = word[i * 2048];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t back = (last + n - i) % n; // so many numbers before the last
        if (word[i * 2048] != (back <= last ? last - back : 0))
            return 0;
    }
    return 1;
}

static void a_sync_is_of_one_moment_whoever_stores(void)
{
    alps_heap h;
    pthread_t thread[2];
    alps_options o = small(8 * MIB), r = to_read();
    int bad = 0, behind = 0;
    path_to("moment");
    o.write_back = 1;
    o.memory = 320 * KIB;
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    alps_off *root = (alps_off *)alps_root(&h, 64);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++) {
        void *p = alps_alloc(&h, (size_t)line[i].n * 16384);
        memset(p, 0, (size_t)line[i].n * 16384);
        root[i] = alps_off_of(&h, p);
        line[i].word = (volatile uint64_t *)p;
    }
    CHECK_EQ(alps_sync(&h), 0);
    sync_takes = 2000;
    latch_takes = 100;
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, stores, &line[i]), 0);
    uint64_t seen = 0;
    for (int i = 0; i < 25; i++) {
        plain_heap reader;
        CHECK_EQ(alps_sync(&h), 0);
        behind += h.core.map.journal->start > ALPS_PAGE;
        CHECK_EQ(plain_open(&reader, the_path, &r), 0);
        const alps_off *at = (const alps_off *)plain_root(&reader, 64);
        for (unsigned k = 0; k < 2; k++) {
            const uint64_t *word = (const uint64_t *)plain_at(&reader, at[k]);
            bad += !at_a_moment(word, line[k].n);
            seen += word[0] + word[2048];
        }
        CHECK_EQ(plain_close(&reader), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    sync_takes = latch_takes = 0;
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(bad, 0);
    CHECK(seen > 0);
    CHECK(behind > 0); // what was spilled while pages came home
    end(&h);
}

static void *works(void *heap)
{
    uint64_t bad = 0;
    alps_heap *h = (alps_heap *)heap;
    void *p[40] = {NULL};
    for (unsigned i = 0; i < 1000; i++) {
        unsigned k = i * 7 % 40;
        if (p[k])
            bad += alps_free(h, p[k]) != 0;
        p[k] = alps_alloc(h, 100 + i % 7 * 5000);
        bad += !p[k];
        if (p[k])
            memset(p[k], (int)i, 100 + i % 7 * 5000);
    }
    return (void *)(uintptr_t)bad;
}

static void threads_allocate_while_others_sync_and_the_region_grows(void)
{
    alps_heap h;
    pthread_t thread[3];
    uint64_t steps = 0;
    void *bad = NULL;
    alps_options o = small(2 * MIB);
    o.grow = 65536;
    o.limit = 32 * MIB;
    path_to("grows");
    CHECK_EQ(begin(&h, &o), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, works, &h), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(found(&steps), 0);
        CHECK_EQ(alps_trim(&h), 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    CHECK_EQ(alps_check(&h, NULL), 0);
    end(&h);
}

static void readers_keep_the_state_they_opened(void)
{
    alps_heap h;
    plain_heap r;
    alps_options o = small(8 * MIB), ro = to_read();
    uint64_t state = 5, steps = 0;
    path_to("readers");
    CHECK_EQ(begin(&h, &o), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(step(&h, &state), 0);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(plain_open(&r, the_path, &ro), 0);
    for (int i = 0; i < 400; i++) {
        CHECK_EQ(step(&h, &state), 0);
        if (i % 40 == 0)
            CHECK_EQ(alps_sync(&h), 0);
    }
    CHECK_EQ(plain_whole(&r, &steps), 0);
    CHECK_EQ(steps, 100);
    CHECK(h.core.map.journal->tail > 2 * ALPS_JOURNAL_MAX); // it could not go
    plain_heap second;
    CHECK_EQ(plain_open(&second, the_path, NULL), ALPS_EBUSY);
    CHECK_EQ(plain_close(&r), 0);
    CHECK_EQ(step(&h, &state), 0);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(h.core.map.journal->tail, ALPS_PAGE); // and now it has
    CHECK_EQ(found(&steps), 0);
    CHECK_EQ(steps, 501);
    end(&h);
}

static void nothing_is_pinned_to_be_stored_to_while_a_commit_is_made(void)
{
    alps_heap h;
    alps_options o = small(8 * MIB);
    int from = open("/dev/zero", O_RDONLY);
    path_to("pins");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 3 * MIB);
    memset(p, 5, 3 * MIB);
    CHECK_EQ(alps_pin(&h, p, 50000, 1), 0);
    CHECK_EQ(alps_sync(&h), ALPS_EBUSY);
    CHECK_EQ(read(from, p, 50000), 50000);
    CHECK_EQ(alps_pin(&h, p, 50000, 0), 0);
    alps_unpin(&h, p, 50000);
    CHECK_EQ(alps_sync(&h), ALPS_EBUSY);
    alps_unpin(&h, p, 50000);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_pin(&h, p, 50000, 0), 0);
    p[1] = 1;
    CHECK_EQ(alps_sync(&h), 0); // what is read only may be pinned
    alps_unpin(&h, p, 50000);
    close(from);
    end(&h);
}

/* ---- failures ------------------------------------------------------------ */

static sigjmp_buf jump;
static volatile int caught;

static void catches(int n)
{
    caught = n;
    siglongjmp(jump, 1);
}

/* The signal that storing to a byte brings, or 0. */
static int signal_of(volatile unsigned char *at)
{
    struct sigaction act, old;
    memset(&act, 0, sizeof act);
    act.sa_handler = catches;
    sigaction(SIGBUS, &act, &old);
    caught = 0;
    if (!sigsetjmp(jump, 1))
        *at = 9;
    sigaction(SIGBUS, &old, NULL);
    return caught;
}

/* The same where nothing is wrong any more: it may take a moment. */
static int signal_after(unsigned char *p)
{
    int n = signal_of(p);
    for (int i = 0; n && the_engine == ALPS_ENGINE_USERFAULTFD && i < 2000;
         i++) {
        usleep(1000);
        n = signal_of(p);
    }
    return n;
}

static void a_spill_that_fails_loses_nothing(void)
{
    alps_heap h;
    alps_options o = small(8 * MIB), r = to_read();
    plain_heap reader;
    int refused = 0, bad = 0;
    path_to("full");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    alps_off *root = (alps_off *)alps_root(&h, 8);
    memset(p, 1, 4 * MIB);
    *root = alps_off_of(&h, p);
    CHECK_EQ(alps_sync(&h), 0);
    bad_write = ENOSPC;
    uint64_t done = 0;
    for (; done < 4 * MIB && !refused; done += 16384)
        refused = signal_of(p + done);
    CHECK_EQ(refused, SIGBUS); // all that is in memory is dirty
    done -= 16384;
    CHECK(done > 512 * KIB);
    CHECK_EQ(alps_sync(&h), ALPS_ENOSPC);
    for (uint64_t i = 0; i < done; i += 16384)
        bad += p[i] != 9; // and is there
    CHECK_EQ(bad, 0);
    CHECK_EQ(plain_open(&reader, the_path, &r), 0);
    const unsigned char *q = (const unsigned char *)plain_at(
        &reader, *(const alps_off *)plain_root(&reader, 8));
    for (uint64_t i = 0; i < 4 * MIB; i += 512)
        bad += q[i] != 1; // the last commit
    CHECK_EQ(plain_close(&reader), 0);
    bad_write = 0;
    CHECK_EQ(signal_after(p + done), 0);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(plain_open(&reader, the_path, &r), 0);
    q = (const unsigned char *)plain_at(
        &reader, *(const alps_off *)plain_root(&reader, 8));
    for (uint64_t i = 0; i < 4 * MIB; i += 512)
        bad += q[i] != (i % 16384 || i > done ? 1 : 9);
    CHECK_EQ(bad, 0);
    CHECK_EQ(plain_close(&reader), 0);
    end(&h);
}

/* While threads go on: as what fits in memory does, see test_checkpoint.c. */
static void free_memory_goes_back(void)
{
    for (int again = 0; again < 2; again++) {
        alps_heap h;
        struct stat st;
        alps_options o = small(8 * MIB);
        path_to("trim");
        CHECK_EQ(alps_open(&h, the_path, &o), 0);
        void *p = alps_alloc(&h, 4 * MIB);
        memset(p, 1, 4 * MIB);
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(alps_free(&h, p), 0);
        CHECK_EQ(alps_trim(&h), 0);
        CHECK_EQ(alps_sync(&h), 0); // its pages are in the journal, and here
        if (again)
            CHECK((p = alps_alloc(&h, 4 * MIB)) != NULL);
        // a byte of each page, so that all comes home
        unsigned char *q = (unsigned char *)alps_alloc(&h, 512 * KIB);
        for (unsigned i = 0; i < 3; i++) {
            memset(q, (int)i, 512 * KIB);
            CHECK_EQ(alps_sync(&h), 0);
        }
        CHECK_EQ(stat(the_path, &st), 0);
        CHECK(((uint64_t)st.st_blocks * 512 >= 4 * MIB) == again);
        end(&h);
    }
}

/* A process is told, and not killed, where files may not be any longer. */
static void what_may_not_be_longer_is_no_place_to_spill(void)
{
    alps_heap h;
    struct rlimit old, tight;
    alps_options o = small(8 * MIB);
    path_to("limit");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    memset(p, 1, 4 * MIB);
    CHECK_EQ(alps_sync(&h), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = old;
    tight.rlim_cur = 8192;
    p[1] = 2;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int err = alps_sync(&h);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    CHECK_EQ(err, ALPS_ENOSPC);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK(p[0] == 1 && p[1] == 2);
    end(&h);
}

static void what_a_failed_sync_has_lost_is_told(void)
{
    char journal[140];
    alps_heap h;
    alps_options o = small(8 * MIB);
    uint64_t state = 17, steps = 0;
    path_to("lost");
    snprintf(journal, sizeof journal, "%s.journal", the_path);
    CHECK_EQ(begin(&h, &o), 0);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(step(&h, &state), 0);
    CHECK_EQ(alps_sync(&h), 0);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(step(&h, &state), 0);
    bad_sync = EIO;
    CHECK_EQ(alps_sync(&h), ALPS_EIO);
    CHECK_EQ(h.core.map.pager->spill.unsure, 0); // it was all still there
    bad_sync = 0;
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(found(&steps), 0);
    CHECK_EQ(steps, 600);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(step(&h, &state), 0);
    CHECK(h.core.map.pager->spill.end.tail > h.core.map.journal->tail);
    int fd = open(journal, O_RDWR);
    CHECK_EQ(pwrite(fd, "what is not it", 14,
                    (off_t)h.core.map.pager->spill.end.tail - 2000),
             14);
    close(fd);
    bad_sync = EIO;
    CHECK_EQ(alps_sync(&h), ALPS_EIO);
    bad_sync = 0;
    CHECK_EQ(alps_sync(&h), ALPS_EIO); // and for good
    CHECK_EQ(alps_close(&h), ALPS_EIO);
    CHECK_EQ(alps_discard(&h), 0);
    CHECK_EQ(found(&steps), 0);
    CHECK_EQ(steps, 600);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void a_spilled_page_that_was_damaged_is_not_used(void)
{
    char journal[140];
    alps_heap h;
    alps_options o = small(8 * MIB);
    unsigned sick = 0;
    path_to("damaged");
    snprintf(journal, sizeof journal, "%s.journal", the_path);
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        p[i] = (unsigned char)(i * 7 + i / 4096);
    int fd = open(journal, O_RDWR);
    for (off_t at = 3 * 4096 + 5; at < (off_t)MIB; at += 16 * 4096)
        CHECK_EQ(pwrite(fd, "damage", 6, at), 6);
    close(fd);
    for (uint64_t i = 0; i < 4 * MIB; i += 16384)
        sick += signal_of(p + i) == SIGBUS;
    CHECK(sick > 10 && sick < 100);
    CHECK_EQ(alps_discard(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* ---- death --------------------------------------------------------------- */

struct seen {
    uint64_t begun, done; // steps of the sync under way, of the last
};

static int child_syncs_until_killed(struct seen *seen)
{
    alps_heap h;
    alps_options o = small(8 * MIB);
    uint64_t state = (uint64_t)getpid() * 7919;
    if (begin(&h, &o))
        return 1;
    const alps_off *root = (const alps_off *)alps_root(&h, 8);
    for (;;) {
        const struct top *top = (const struct top *)alps_at(&h, *root);
        uint64_t n = rnd(&state) % 60;
        for (uint64_t i = 0; i < n; i++)
            if (step(&h, &state))
                return 2;
        __atomic_store_n(&seen->begun, top->steps, __ATOMIC_RELEASE);
        if (alps_sync(&h))
            return 3;
        __atomic_store_n(&seen->done, top->steps, __ATOMIC_RELEASE);
    }
}

static void a_kill_goes_back_to_the_last_commit(void)
{
    struct seen *seen =
        (struct seen *)mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    alps_heap h;
    alps_options o = small(8 * MIB);
    path_to("kill");
    CHECK_EQ(begin(&h, &o), 0);
    CHECK_EQ(alps_close(&h), 0);
    for (int i = 0; i < 10; i++) {
        uint64_t steps = 0;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            _exit(child_syncs_until_killed(seen));
        }
        usleep((useconds_t)(20000 + i * 7000));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(found(&steps), 0);
        CHECK(steps == seen->done || steps == seen->begun);
        CHECK_EQ(begin(&h, &o), 0);
        CHECK_EQ(alps_whole(&h, &steps), 0);
        CHECK(steps == seen->done || steps == seen->begun);
        seen->begun = seen->done = steps;
        CHECK_EQ(alps_close(&h), 0);
    }
    CHECK(seen->done > 0);
    CHECK_EQ(alps_remove(the_path), 0);
    munmap(seen, sizeof *seen);
}

static void what_fits_is_a_mapping(void)
{
    alps_heap h;
    alps_options o = small(MIB);
    uint64_t state = 3, steps = 0;
    path_to("fits");
    o.engine = 0;
    o.limit = 8 * MIB;
    CHECK_EQ(begin(&h, &o), 0);
    CHECK_EQ(h.core.map.pager->engine, ALPS_ENGINE_KERNEL);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(step(&h, &state), 0);
    CHECK_EQ(alps_grow(&h, 4 * MIB), 0);
    CHECK_EQ(h.core.map.pager->engine, ALPS_ENGINE_KERNEL);
    CHECK(strstr(h.core.map.pager->why, "outgrown") != NULL);
    CHECK_EQ(step(&h, &state), 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(begin(&h, &o), 0);
    CHECK_EQ(h.core.map.pager->engine, ALPS_ENGINE_REWIRE);
    CHECK_EQ(alps_whole(&h, &steps), 0);
    CHECK_EQ(steps, 21);
    end(&h);
}

static void run_all(void)
{
    RUN(the_heap_works_beyond_its_memory);
    RUN(a_sync_after_one_store_writes_a_page);
    RUN(names_and_snapshots_are_those_of_the_last_commit);
    RUN(a_sync_is_of_one_moment_whoever_stores);
    RUN(threads_allocate_while_others_sync_and_the_region_grows);
    RUN(readers_keep_the_state_they_opened);
    RUN(nothing_is_pinned_to_be_stored_to_while_a_commit_is_made);
    RUN(a_spill_that_fails_loses_nothing);
    RUN(free_memory_goes_back);
    RUN(what_may_not_be_longer_is_no_place_to_spill);
    RUN(what_a_failed_sync_has_lost_is_told);
    RUN(a_spilled_page_that_was_damaged_is_not_used);
    RUN(a_kill_goes_back_to_the_last_commit);
    RUN(what_fits_is_a_mapping);
}

int main(void)
{
    folder_make();
    with_each_engine(run_all);
    RUN(folder_remove);
    return check_end("capture");
}
