/* test_tx.c -- transactions: all of it happens, or nothing
 *
 * What is asked for is seen at the commit and not before; an abort, a death, the
 * end of a thread and a close leave what was there before. Lists and sums tell
 * whether it came as a whole, with threads and with processes that are killed. */
#include "worlds.h"
#include <pthread.h>

typedef ALPS_PTR(struct item) item_ptr;
struct item {
    item_ptr next;
    uint64_t number;
};

struct book {
    item_ptr first;
    uint64_t items; // of the list
    int64_t account[16];
    alps_off spare[4];
};

static struct book *book;

static void open_book(void)
{
    begin(16u << 20, 1u << 18);
    book = (struct book *)any_root(&heap, sizeof *book);
}

/* Puts an item before the first. */
static int push(alps_tx *t, uint64_t number, size_t n)
{
    struct item *it = (struct item *)any_reserve(&heap, n);
    if (!it)
        return any_error(&heap);
    it->next.off = book->first.off;
    it->number = number;
    int err = ALPS_TX_PUBLISH(t, book->first, it);
    if (err)
        any_cancel(&heap, it);
    return err ? err : ALPS_TX_SET(t, book->items, book->items + 1);
}

/* Takes the first one away. */
static int pop(alps_tx *t)
{
    struct item *it = ALPS_GET(&heap, book->first);
    int err = ALPS_TX_RELEASE(t, book->first);
    err = err ? err : ALPS_TX_POINT(t, book->first, ALPS_GET(&heap, it->next));
    return err ? err : ALPS_TX_SET(t, book->items, book->items - 1);
}

/* Whether the list has as many as it says, and no other is live. */
static int in_order(uint64_t others)
{
    uint64_t n = 0;
    for (struct item *it = ALPS_GET(&heap, book->first); it; n++)
        it = ALPS_GET(&heap, it->next);
    return n == book->items && stats().blocks == n + others && sound(&heap);
}

static void close_book(void)
{
    alps_tx t;
    while (book->first.off) {
        CHECK_EQ(any_begin(&heap, &t), 0);
        CHECK_EQ(pop(&t), 0);
        CHECK_EQ(any_commit(&t), 0);
    }
    CHECK(in_order(0));
    CHECK_EQ(stats().reserved, 0);
    CHECK(one_block_again(&heap));
    end();
}

/* ---- alone */

static void all_of_it_happens_at_the_commit(void)
{
    static const size_t sizes[] = {16, 100, 1000, 3000, 200000, 600000};
    alps_tx t;
    open_book();
    for (unsigned i = 0; i < 6; i++) {
        alps_off before = book->first.off;
        CHECK_EQ(any_begin(&heap, &t), 0);
        CHECK_EQ(push(&t, i, sizes[i]), 0);
        CHECK_EQ(ALPS_TX_SNAPSHOT(&t, book->account[i]), 0);
        book->account[i] = 5;
        CHECK(book->first.off == before && book->items == i);
        CHECK_EQ(any_commit(&t), 0);
        CHECK(book->first.off != before && book->account[i] == 5);
        CHECK(in_order(0));
    }
    for (unsigned i = 6; i-- > 0;) {
        CHECK_EQ(any_begin(&heap, &t), 0);
        CHECK_EQ(pop(&t), 0);
        CHECK(book->items == i + 1);
        CHECK_EQ(any_commit(&t), 0);
        CHECK(in_order(0));
    }
    close_book();
}

static void an_abort_leaves_what_was_before(void)
{
    alps_tx t;
    struct book was;
    void *p;
    open_book();
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (unsigned i = 0; i < 40; i++)
        CHECK_EQ(ALPS_TX_SET(&t, book->account[i % 16], i), 0);
    CHECK_EQ(push(&t, 1, 100), 0);
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(book->account[7], 39);
    CHECK_EQ(book->account[0], 32);
    was = *book;
    p = any_reserve(&heap, 5000);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &book->spare[0], p), 0);
    CHECK_EQ(pop(&t), 0);
    CHECK_EQ(any_tx_snapshot(&t, book, sizeof *book), 0);
    memset(book, 0xff, sizeof *book);
    CHECK_EQ(ALPS_TX_SNAPSHOT(&t, book->account), 0); // once more, changed
    memset(book->account, 0xee, sizeof book->account);
    CHECK_EQ(any_abort(&t), 0);
    CHECK(!memcmp(&was, book, sizeof was));
    CHECK_EQ(any_cancel(&heap, p), 0); // a reservation still
    CHECK(in_order(0));
    CHECK_EQ(any_abort(&t), ALPS_EINVAL);
    CHECK_EQ(any_commit(&t), ALPS_EINVAL);
    close_book();
}

static void what_is_published_may_be_linked_inside(void)
{
    alps_tx t;
    struct item *a, *b, *c;
    open_book();
    a = (struct item *)any_reserve(&heap, sizeof *a);
    b = (struct item *)any_reserve(&heap, 3000);
    c = (struct item *)any_reserve(&heap, 300000);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(ALPS_TX_POINT(&t, c->next, (struct item *)NULL), 0);
    CHECK_EQ(ALPS_TX_PUBLISH(&t, b->next, c), 0);
    CHECK_EQ(ALPS_TX_PUBLISH(&t, a->next, b), 0);
    CHECK_EQ(ALPS_TX_PUBLISH(&t, book->first, a), 0);
    CHECK_EQ(ALPS_TX_SET(&t, b->number, 7), 0);
    CHECK_EQ(ALPS_TX_SET(&t, b->number, 8), 0);
    CHECK_EQ(ALPS_TX_SET(&t, book->items, 3), 0);
    CHECK_EQ(any_commit(&t), 0);
    CHECK(in_order(0));
    CHECK_EQ(b->number, 8);
    close_book();
}

static void what_cannot_be_is_refused(void)
{
    alps_tx t, none;
    void *p, *q;
    alps_off *spare;
    open_book();
    spare = book->spare;
    p = any_reserve(&heap, 100);
    q = any_alloc(&heap, 3000);
    memset(&none, 0, sizeof none);
    CHECK_EQ(any_commit(&none), ALPS_EINVAL);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_publish(&t, (alps_off *)&none, p), ALPS_EINVAL);
    CHECK_EQ(any_tx_publish(&t, &spare[0], NULL), ALPS_EINVAL);
    CHECK_EQ(any_tx_free(&t, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, (char *)q + 64), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_set(&t, (uint64_t *)&none, 1), ALPS_EINVAL);
    CHECK_EQ(any_tx_set(&t, (uint64_t *)(void *)((char *)spare + 4), 1),
             ALPS_EINVAL);
    CHECK_EQ(any_tx_set(&t, (uint64_t *)(void *)heap.core.super, 1),
             ALPS_EINVAL);
    CHECK_EQ(any_tx_snapshot(&t, &none, 8), ALPS_EINVAL);
    CHECK_EQ(any_tx_snapshot(&t, spare, 1u << 20), ALPS_EINVAL);
    CHECK_EQ(any_tx_publish(&t, &spare[0], p), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[1], p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, q), 0);
    CHECK_EQ(any_tx_free(&t, q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, NULL), 0);
    CHECK_EQ(any_tx_release(&t, &spare[2]), 0); // null: nothing
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(stats().blocks, 1);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_release(&t, &spare[0]), 0);
    CHECK_EQ(any_tx_set(&t, &spare[3], 9), 0);
    CHECK_EQ(any_free(&heap, p), 0); // behind its back
    CHECK_EQ(any_commit(&t), ALPS_EINVALID_FREE);
    CHECK(!spare[3] && spare[0]);
    spare[0] = 0;
    CHECK(any_abort(&t) == ALPS_EINVAL && in_order(0));
    close_book();
}

/* Of slabs of this thread, which are found in a way of their own. */
static void small_ones_are_refused_too(void)
{
    alps_tx t;
    open_book();
    alps_off *spare = book->spare;
    char *p = (char *)any_reserve(&heap, 100);
    char *q = (char *)any_alloc(&heap, 100);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_publish(&t, &spare[0], p + 16), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, q + 16), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_publish(&t, &spare[0], p), 0);
    CHECK_EQ(any_cancel(&heap, p), 0); // behind its back
    CHECK_EQ(any_commit(&t), ALPS_EINVALID_FREE);
    CHECK_EQ(spare[0], 0);
    p = (char *)any_reserve(&heap, 100);
    CHECK_EQ(any_publish(&heap, &spare[0], p), 0);
    CHECK_EQ(any_release(&heap, &spare[0]), 0); // not handed out yet
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_abort(&t), 0);
    CHECK_EQ(any_publish(&heap, &spare[0], p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_free(&heap, q), 0);
    CHECK(sound(&heap));
    close_book();
}

static void *other_allocates(void *p)
{
    *(void **)p = any_alloc(&heap, 100);
    return NULL;
}

/* What a refused action was about is nothing to the one that takes its place in
 * the log: a word, an object of another thread, a block where no slab lies. */
static void what_was_refused_leaves_nothing_behind(void)
{
    alps_tx t;
    pthread_t thread;
    void *others = NULL;
    open_book();
    alps_off *spare = book->spare;
    CHECK_EQ(pthread_create(&thread, NULL, other_allocates, &others), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    char *q = (char *)any_alloc(&heap, 100);
    char *block = (char *)any_alloc(&heap, 5000);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_set(&t, &spare[1], 7), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, others), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], q), ALPS_EINVALID_FREE);
    CHECK_EQ(any_tx_free(&t, block), 0);
    CHECK_EQ(any_commit(&t), 0);
    CHECK(spare[1] == 7 && in_order(1));
    CHECK_EQ(any_free(&heap, q), 0);
    spare[1] = 0;
    close_book();
}

/* A slab that was let go of, and is one of another kind, has the object no
 * more, whatever its bits are. */
static void a_slab_may_change_behind_its_back(void)
{
    enum { MANY = 2000 };
    alps_tx t;
    static void *other[MANY];
    unsigned i, n = 0, there = 0;
    open_book();
    alps_off *spare = book->spare;
    char *p = (char *)any_reserve(&heap, 112);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish(&t, &spare[0], p), 0);
    CHECK_EQ(any_cancel(&heap, p), 0);
    CHECK_EQ(any_trim(&heap), 0);
    while (n < MANY && !there && (other[n] = any_reserve(&heap, 16)) != NULL)
        there = other[n++] == p;
    CHECK(there);
    CHECK_EQ(any_commit(&t), ALPS_EINVALID_FREE);
    CHECK_EQ(spare[0], 0);
    for (i = 0; i < n; i++)
        CHECK_EQ(any_cancel(&heap, other[i]), 0);
    CHECK(in_order(0));
    close_book();
}

/* The first few are looked up in a row, more in a table; and whatever the log
 * goes on in, all of them happen. */
static void none_is_published_twice(void)
{
    enum { MANY = 40 };
    alps_tx t;
    void *p[MANY];
    open_book();
    alps_off *word = (alps_off *)any_zalloc(&heap, MANY * sizeof *word);
    CHECK(word != NULL);
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK((p[i] = any_reserve(&heap, 48)) != NULL);
        CHECK_EQ(any_tx_publish(&t, &word[i], p[i]), 0);
        for (unsigned k = 0; k <= i; k++)
            CHECK_EQ(any_tx_publish(&t, &word[k], p[k]), ALPS_EINVALID_FREE);
    }
    CHECK_EQ(any_commit(&t), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(word[i], any_off_of(&heap, p[i]));
    CHECK(sound(&heap));
    CHECK_EQ(stats().reserved, 0);
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(any_tx_release(&t, &word[i]), 0);
        for (unsigned k = 0; k <= i; k++)
            CHECK_EQ(any_tx_free(&t, p[k]), ALPS_EINVALID_FREE);
    }
    CHECK_EQ(any_tx_free(&t, word), 0);
    CHECK_EQ(any_commit(&t), 0);
    close_book();
}

static void nested_ones_are_one(void)
{
    alps_tx outer, inner;
    open_book();
    CHECK_EQ(any_begin(&heap, &outer), 0);
    CHECK_EQ(push(&outer, 1, 100), 0);
    CHECK_EQ(any_begin(&heap, &inner), 0);
    CHECK_EQ(ALPS_TX_SET(&inner, book->account[0], 4), 0);
    CHECK_EQ(any_commit(&inner), 0);
    CHECK(!book->first.off && !book->account[0]);
    CHECK_EQ(any_commit(&outer), 0);
    CHECK(book->first.off && book->account[0] == 4);
    CHECK_EQ(any_begin(&heap, &outer), 0);
    CHECK_EQ(ALPS_TX_SNAPSHOT(&outer, book->account), 0);
    book->account[0] = 5;
    CHECK_EQ(any_begin(&heap, &inner), 0);
    CHECK_EQ(any_begin(&heap, &inner), 0);
    CHECK_EQ(any_abort(&inner), 0);
    CHECK_EQ(book->account[0], 4); // at once
    CHECK_EQ(ALPS_TX_SET(&inner, book->items, 9), ALPS_EABORTED);
    CHECK_EQ(any_commit(&inner), ALPS_EABORTED);
    CHECK_EQ(ALPS_TX_SNAPSHOT(&outer, book->account), ALPS_EABORTED);
    CHECK_EQ(any_commit(&outer), ALPS_EABORTED);
    CHECK_EQ(any_commit(&outer), ALPS_EINVAL);
    CHECK(in_order(0));
    close_book();
}

static int numbered(void *context, void *p, size_t n)
{
    uint64_t *number = (uint64_t *)context;
    memset(p, 0, n);
    ((struct item *)p)->number = *number;
    return *number == 13 ? 13 : 0;
}

static void a_constructor_may_fail(void)
{
    alps_tx t;
    uint64_t number = 13;
    open_book();
    CHECK_EQ(any_publish_new(&heap, &book->first.off, 100, numbered, &number),
             13);
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(any_tx_publish_new(&t, &book->first.off, 100, numbered, &number),
             13);
    number = 14;
    CHECK_EQ(any_tx_publish_new(&t, &book->first.off, 5000, numbered, &number),
             0);
    CHECK_EQ(any_abort(&t), 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK_EQ(any_publish_new(&heap, &book->first.off, 100, numbered, &number),
             0);
    CHECK_EQ(ALPS_GET(&heap, book->first)->number, 14);
    book->items = 1;
    CHECK(in_order(0));
    close_book();
}

/* ---- many */

#define MANY (1000000u / (SLOW * SLOW))

/* Each sets a word of its own; every tenth block of them is freed as well. */
static void a_million_actions_are_one_step(void)
{
    alps_tx t;
    uint64_t *words, sum = 0;
    alps_options o = options(512u << 20, 1u << 22);
    begin_with(o);
    book = (struct book *)any_root(&heap, sizeof *book);
    words = (uint64_t *)any_zalloc(&heap, MANY * sizeof *words);
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (uint64_t i = 0; i < MANY; i++)
        if (any_tx_set(&t, &words[i], i + 1))
            CHECK(0);
    for (uint64_t i = 0; i < MANY; i++)
        sum += words[i];
    CHECK_EQ(sum, 0);
    CHECK_EQ(any_commit(&t), 0);
    for (uint64_t i = 0; i < MANY; i++)
        sum += words[i];
    CHECK_EQ(sum, (uint64_t)MANY * (MANY + 1) / 2);
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (uint64_t i = 0; i < MANY / 20; i++) {
        void *p = any_reserve(&heap, i % 10 ? 48 : 1500);
        if (any_tx_publish(&t, &words[i], p))
            CHECK(0);
    }
    CHECK_EQ(any_tx_publish(&t, &words[0], any_at(&heap, 1)),
             ALPS_EINVALID_FREE);
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(stats().blocks, MANY / 20 + 1);
    CHECK_EQ(any_begin(&heap, &t), 0);
    for (uint64_t i = 0; i < MANY / 20; i++)
        if (any_tx_release(&t, &words[i]))
            CHECK(0);
    CHECK_EQ(any_tx_release(&t, &words[5]), ALPS_EINVALID_FREE);
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(any_free(&heap, words), 0);
    close_book();
}

static void where_there_is_no_room_it_can_go_on_or_not(void)
{
    alps_tx t;
    unsigned n = 0;
    int err = 0;
    alps_options o = options(2u << 20, 1u << 16);
    begin_with(o);
    book = (struct book *)any_root(&heap, sizeof *book);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(any_begin(&heap, &t), 0);
        CHECK_EQ(ALPS_TX_SNAPSHOT(&t, book->account[1]), 0);
        book->account[1]++;
        for (n = 0; !(err = ALPS_TX_SET(&t, book->account[0], n)); n++)
            continue;
        CHECK(err == ALPS_EFULL && n > 10000);
        CHECK_EQ(any_tx_snapshot(&t, book, ALPS_ROOT_SIZE), ALPS_EFULL);
        CHECK_EQ(round ? any_commit(&t) : any_abort(&t), 0);
        CHECK_EQ(book->account[0], round ? n - 1 : 0);
        CHECK_EQ(book->account[1], round);
    }
    close_book();
}

/* ---- crashes */

static void what_is_open_when_all_ends_has_not_happened(void)
{
    alps_tx t;
    struct book was;
    open_book();
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(push(&t, 1, 100), 0);
    CHECK_EQ(any_commit(&t), 0);
    was = *book;
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(any_begin(&heap, &t), 0);
        CHECK_EQ(push(&t, 2, 3000), 0);
        CHECK_EQ(any_tx_snapshot(&t, book, sizeof *book), 0);
        memset(book->account, round + 1, sizeof book->account);
        if (round)
            CHECK_EQ(pop(&t), 0);
        if (round < 2) {
            crash();
        } else {
            CHECK_EQ(any_close(&heap), 0);
            CHECK_EQ(any_commit(&t), ALPS_EINVAL);
            CHECK_EQ(open_too(&heap), 0);
        }
        book = (struct book *)any_root(&heap, sizeof *book);
        CHECK(!memcmp(&was, book, sizeof was));
        CHECK(in_order(0));
    }
    close_book();
}

/* What a sync has of a transaction that is open is not there in the end. */
static void a_sync_in_the_middle_keeps_the_beginning(void)
{
    any_heap h;
    alps_tx t;
    struct book *b;
    alps_options o = options(4u << 20, 1u << 16);
    const char *path = disk_path("tx");
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    unlink(path);
    CHECK_EQ(any_open(&h, path, &o), 0);
    b = (struct book *)any_root(&h, sizeof *b);
    CHECK_EQ(any_begin(&h, &t), 0);
    CHECK_EQ(ALPS_TX_SET(&t, b->items, 7), 0);
    CHECK_EQ(any_tx_snapshot(&t, b->account, 16), 0);
    b->account[0] = 1;
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(any_begin(&h, &t), 0);
    CHECK_EQ(ALPS_TX_SET(&t, b->items, 8), 0);
    CHECK_EQ(any_tx_publish(&t, &b->spare[0], any_reserve(&h, 5000)), 0);
    CHECK_EQ(any_tx_snapshot(&t, b->account, 16), 0);
    b->account[0] = 2;
    CHECK_EQ(any_sync(&h), 0);
    b->account[0] = 3;
    CHECK_EQ(any_commit(&t), 0);
    CHECK_EQ(any_discard(&h), 0);
    o.flags = ALPS_STRICT;
    CHECK_EQ(any_open(&h, path, &o), 0);
    b = (struct book *)any_root(&h, sizeof *b);
    CHECK(b->items == 7 && b->account[0] == 1 && !b->spare[0]);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK_EQ(any_begin(&h, &t), 0);
    CHECK_EQ(any_tx_snapshot(&t, b->account, 16), 0);
    b->account[0] = 4;
    CHECK_EQ(any_close(&h), 0); // which aborts it
    CHECK_EQ(any_open(&h, path, &o), 0);
    b = (struct book *)any_root(&h, sizeof *b);
    CHECK_EQ(b->account[0], 1);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(path), 0);
}

/* ---- threads */

#define THREADS 4
static unsigned bad;

/* Moves money between accounts of its own, and has a list of its own. */
static void *clerk(void *context)
{
    uint64_t me = (uint64_t)(uintptr_t)context;
    int64_t *mine = &book->account[2 * me];
    alps_off *link = &book->spare[me];
    for (unsigned i = 0; i < 1500 / SLOW; i++) {
        alps_tx t;
        void *p = any_reserve(&heap, 20 + 700 * (i % 3));
        int err = any_begin(&heap, &t);
        err = err ? err : ALPS_TX_SNAPSHOT(&t, mine[0]);
        if (!err)
            mine[0]--;
        err = err ? err : ALPS_TX_SET(&t, mine[1], mine[1] + 1);
        err = err ? err : any_tx_release(&t, link);
        err = err ? err : any_tx_publish(&t, link, p);
        int stays = i % 4;
        err = err ? err : stays ? any_commit(&t) : any_abort(&t);
        err = err || stays ? err : any_cancel(&heap, p);
        if (err || mine[0] + mine[1])
            __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void each_thread_has_its_own(void)
{
    pthread_t thread[THREADS];
    bad = 0;
    open_book();
    for (uint64_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, clerk, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(bad, 0);
    CHECK_EQ(stats().blocks, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(any_release(&heap, &book->spare[i]), 0);
    close_book();
}

/* Begins, and ends without a word. */
static void *leaver(void *context)
{
    alps_tx *t = (alps_tx *)context;
    bad += any_begin(&heap, t) != 0;
    bad += push(t, 1, 100) != 0;
    bad += ALPS_TX_SNAPSHOT(t, book->account[0]) != 0;
    book->account[0] = 1;
    return NULL;
}

static void the_end_of_a_thread_aborts(void)
{
    alps_tx t;
    pthread_t thread;
    bad = 0;
    open_book();
    CHECK_EQ(pthread_create(&thread, NULL, leaver, &t), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(!bad && !book->account[0] && !book->first.off);
    CHECK_EQ(any_commit(&t), ALPS_EINVAL); // another's
    any_reap(&heap);
    CHECK(in_order(0));
    CHECK_EQ(any_cancel(&heap, (char *)heap.core.map.base), ALPS_EINVALID_FREE);
    CHECK_EQ(any_close(&heap), 0);
    if (is_anon())
        return;
    CHECK_EQ(open_too(&heap), 0); // which gives the reservation back
    book = (struct book *)any_root(&heap, sizeof *book);
    close_book();
}

/* The one thread of a region whose lanes the others have. */
static void *stranger(void *context)
{
    alps_tx t, u;
    void *p = any_reserve(&heap, 100);
    unsigned *busy = (unsigned *)context;
    int err = any_begin(&heap, &t);
    if (err == ALPS_EBUSY && ++*busy) {
        any_cancel(&heap, p);
        return NULL;
    }
    bad += err || any_begin(&heap, &u) || u.number != t.number;
    bad += any_tx_publish(&u, &book->spare[0], p) != 0;
    bad += any_publish_new(&heap, &book->spare[1], 64, numbered,
                           &book->items) != 0; // on the same lane
    bad += any_release(&heap, &book->spare[1]) != 0;
    bad += any_commit(&u) != 0 || any_commit(&t) != 0;
    bad += any_release(&heap, &book->spare[0]) != 0;
    return NULL;
}

/* Lanes are taken by nobody. */
static void lanes_taken(unsigned lanes, unsigned want)
{
    pthread_t thread;
    unsigned busy = 0;
    alps_options o = options(16u << 20, 1u << 18);
    o.lanes = lanes;
    begin_with(o);
    book = (struct book *)any_root(&heap, sizeof *book);
    bad = 0;
    for (unsigned i = 0; i < alps_lanes_owned_(&heap.core); i++)
        alps_store_(&heap.core.lanes[i].lock, alps_self_(&heap.core));
    CHECK_EQ(pthread_create(&thread, NULL, stranger, &busy), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (unsigned i = 0; i < alps_lanes_owned_(&heap.core); i++)
        alps_store_(&heap.core.lanes[i].lock, 0);
    CHECK(!bad && busy == want);
    CHECK(in_order(0));
    close_book();
}

static void who_owns_no_lane_borrows_one(void)
{
    lanes_taken(40, 0); // two serve operations
    lanes_taken(16, 1); // one: it is not lent
}

/* ---- processes */

static uint64_t *signs; // of the child: how far it is

/* Money is moved from one account to all others, and items come and go. */
static int mover(void)
{
    if (open_too(&heap)) // over the parent's, which is left alone
        return 1;
    book = (struct book *)any_root(&heap, sizeof *book);
    for (uint64_t i = 1;; i++) {
        alps_tx t;
        int err = any_begin(&heap, &t);
        if (!err && i % 2)
            err = any_tx_snapshot(&t, book->account, sizeof book->account);
        if (!err && i % 2) {
            for (unsigned k = 1; k < 16; k++) {
                book->account[k]++;
                book->account[0]--;
            }
        }
        if (!err && i % 3 && book->items < 300)
            err = push(&t, i, i % 7 ? 100 : 3000);
        else if (!err && book->first.off)
            err = pop(&t);
        err = err ? err : any_commit(&t);
        if (err)
            return 2;
        __atomic_store_n(signs, i, __ATOMIC_RELEASE);
    }
}

static int64_t total(void)
{
    int64_t sum = 0;
    for (unsigned k = 0; k < 16; k++)
        sum += book->account[k];
    return sum;
}

/* One that is killed leaves all of its last one, or nothing: found by the next
 * who opens, or by one who has it open already and reaps. */
static void a_kill_leaves_all_or_nothing(void)
{
    open_book();
    for (unsigned round = 0; round < 24 / SLOW; round++) {
        int beside = round % 2;
        tell(signs, 0);
        if (!beside)
            CHECK_EQ(any_close(&heap), 0);
        pid_t pid = start_child(mover);
        for (int i = 0; i < 20000 && !__atomic_load_n(signs, __ATOMIC_ACQUIRE);
             i++)
            nap(100);
        nap((long)throw_of(3000));
        kill(pid, SIGKILL);
        CHECK_EQ(end_of(pid), 1000 + SIGKILL);
        if (!beside)
            CHECK_EQ(open_too(&heap), 0);
        CHECK_EQ(any_reap(&heap), 0);
        book = (struct book *)any_root(&heap, sizeof *book);
        CHECK_EQ(total(), 0);
        CHECK(in_order(0));
        CHECK_EQ(stats().reserved, 0);
    }
    close_book();
}

/* In memory of one process the child goes on with a copy: as before. */
static int heir(void)
{
    alps_tx u;
    int err = any_begin(&heap, &u);
    if (err || book->account[0] || book->first.off)
        return 10;
    err = push(&u, 3, 50);
    return err || any_commit(&u) || !in_order(0) ? 11 : 0;
}

static void the_child_of_a_fork_has_none(void)
{
    alps_tx t;
#ifdef CHECK_EMULATED
    if (is_anon()) {
        SKIP("the emulator knows no memory that a fork empties");
        return;
    }
#endif
    open_book();
    CHECK_EQ(any_begin(&heap, &t), 0);
    CHECK_EQ(push(&t, 1, 100), 0);
    CHECK_EQ(ALPS_TX_SNAPSHOT(&t, book->account[0]), 0);
    book->account[0] = 1;
    if (is_anon())
        CHECK_EQ(end_of(start_child(heir)), 0);
    CHECK_EQ(any_commit(&t), 0);
    CHECK(book->account[0] == 1 && in_order(0));
    close_book();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    signs = (uint64_t *)board_make(sizeof *signs);
    RUN_EVERYWHERE(all_of_it_happens_at_the_commit);
    RUN_EVERYWHERE(an_abort_leaves_what_was_before);
    RUN_EVERYWHERE(what_is_published_may_be_linked_inside);
    RUN_EVERYWHERE(what_cannot_be_is_refused);
    RUN_EVERYWHERE(small_ones_are_refused_too);
    RUN_EVERYWHERE(what_was_refused_leaves_nothing_behind);
    RUN_EVERYWHERE(a_slab_may_change_behind_its_back);
    RUN_EVERYWHERE(none_is_published_twice);
    RUN_EVERYWHERE(nested_ones_are_one);
    RUN_EVERYWHERE(a_constructor_may_fail);
    RUN_EVERYWHERE(where_there_is_no_room_it_can_go_on_or_not);
    RUN_EVERYWHERE(each_thread_has_its_own);
    RUN_EVERYWHERE(the_end_of_a_thread_aborts);
    RUN_EVERYWHERE(who_owns_no_lane_borrows_one);
    RUN_EVERYWHERE(the_child_of_a_fork_has_none);
    world = &worlds[2];
    choose(world->backend, world->policy);
    RUN(a_million_actions_are_one_step);
    RUN(a_sync_in_the_middle_keeps_the_beginning);
    for (unsigned i = 1; i < 3; i++) {
        world = &worlds[i];
        choose(world->backend, world->policy);
        RUN(what_is_open_when_all_ends_has_not_happened);
        RUN(a_kill_leaves_all_or_nothing);
    }
    return check_end("test_tx");
}
