/* test_readers.c -- readers without locks, beside those who retire
 *
 * Threads and processes push to a stack, pop from it and walk down it, with no
 * lock: its nodes are retired. Were one handed out again too early, a walker
 * would find it overwritten, or the stack would lose nodes. Any of them may be
 * killed at any instant: nothing is freed early, and nothing is left. */
static __thread unsigned events_left; // until this process kills itself

static int observe(void);
#define ANY_APART
#define ALPS_OBSERVE(event, p, n) observe()
#include "worlds.h"
#include <pthread.h>

#define WORKERS 3
#define SLOTS 100
#define KILLS 12
#define DEPTH 60u

struct node {
    alps_off next;
    struct token token; // and more
};

struct root {
    alps_off top;         // of the stack
    alps_off slot[SLOTS]; // objects of the other tests
};

/* Beside the region, so that no fault in it can mislead the test. */
struct board {
    uint64_t ready, go; // a child says, is told
    uint64_t pushed, popped, bad;
    uint64_t event; // at which a child dies
};
static struct board *board;
static unsigned rounds;

struct worker {
    pthread_t thread;
    any_heap *heap;
    uint64_t dice;
};

static int observe(void)
{
    if (events_left && --events_left == 0)
        raise(SIGKILL);
    return 0;
}

static void must(int holds)
{
    if (!holds)
        __atomic_fetch_add(&board->bad, 1, __ATOMIC_RELAXED);
}

static uint64_t random_below(struct worker *w, uint64_t n)
{
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return w->dice * 0x2545f4914f6cdd1dull % n;
}

static struct root *root_of(any_heap *h)
{
    return (struct root *)any_root(h, sizeof(struct root));
}

/* ---- the stack */

static int is_node(const struct node *n)
{
    return n->token.n <= 4096 && token_whole(&n->token);
}

static void push(struct worker *w)
{
    alps_off *top = &root_of(w->heap)->top;
    uint64_t n = 32 + 8 * random_below(w, random_below(w, 20) ? 40 : 400);
    struct node *node = (struct node *)any_alloc(w->heap, (size_t)n);
    must(node != NULL);
    if (!node)
        return;
    memset(node, 0xff, (size_t)n); // whoever still reads it is to notice
    token_fill(&node->token, n - offsetof(struct node, token), w->dice);
    alps_off off = any_off_of(w->heap, node);
    node->next = __atomic_load_n(top, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(top, &node->next, off, 0,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
    __atomic_fetch_add(&board->pushed, 1, __ATOMIC_RELAXED);
}

/* Takes the node on top, which others may do as well; NULL if there is none.
 * Inside of a section. */
static struct node *take_top(any_heap *h)
{
    alps_off *top = &root_of(h)->top;
    alps_off off = __atomic_load_n(top, __ATOMIC_ACQUIRE);
    while (off) {
        struct node *node = (struct node *)any_at(h, off);
        if (__atomic_compare_exchange_n(top, &off, node->next, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return node;
    }
    return NULL;
}

static int pop(struct worker *w)
{
    must(any_enter(w->heap) == 0);
    struct node *node = take_top(w->heap);
    must(!node || is_node(node));
    int inside = (int)random_below(w, 2);
    if (inside)
        must(any_retire(w->heap, node) == 0);
    must(any_leave(w->heap) == 0);
    if (!inside)
        must(any_retire(w->heap, node) == 0);
    if (node)
        __atomic_fetch_add(&board->popped, 1, __ATOMIC_RELAXED);
    return node != NULL;
}

/* Whether all nodes down from the top are whole; and still after a while. */
static void walk(struct worker *w)
{
    const struct node *seen[DEPTH];
    unsigned n = 0;
    must(any_enter(w->heap) == 0);
    alps_off off = __atomic_load_n(&root_of(w->heap)->top, __ATOMIC_ACQUIRE);
    while (off && n < DEPTH) {
        seen[n] = (const struct node *)any_at(w->heap, off);
        if (!is_node(seen[n]))
            break;
        off = seen[n++]->next;
    }
    must(!off || n == DEPTH);
    if (random_below(w, 4) == 0)
        nap((long)random_below(w, 200));
    while (n)
        must(is_node(seen[--n]));
    must(any_leave(w->heap) == 0);
}

static void *work(void *context)
{
    struct worker *w = (struct worker *)context;
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t deep = __atomic_load_n(&board->pushed, __ATOMIC_RELAXED) -
                        __atomic_load_n(&board->popped, __ATOMIC_RELAXED);
        uint64_t kind = random_below(w, 16);
        if (kind == 0)
            walk(w);
        else if (kind < 8 && deep < DEPTH)
            push(w);
        else
            pop(w);
    }
    return NULL;
}

static void begin_to_work(unsigned each)
{
    memset(board, 0, sizeof *board);
    rounds = each / SLOW;
    begin(16u << 20, 1u << 18);
    (void)root_of(&heap);
}

/* Bytes of the heap that tables of what is held back take. They move there when
 * very much waits, for a reader that gets no processor. */
static uint64_t table_bytes(void)
{
    uint64_t n = 0;
    for (const alps_shard *s = heap.core.shards; s <= heap.core.top; s++)
        if (alps_held_shift_(s) != ALPS_HELD_SHIFT)
            n += 8ull << alps_held_shift_(s);
    return n;
}

static void all_comes_back(void)
{
    CHECK_EQ(board->bad, 0);
    CHECK_EQ(any_reap(&heap), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(stats().blocks, 0);
    CHECK_EQ(stats().retired, 0);
    CHECK_EQ(stats().spare, 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK(sound(&heap));
    CHECK(table_bytes() || one_block_again(&heap));
    CHECK(sound(&heap));
}

static unsigned empty_stack(void)
{
    struct worker w = {0, &heap, 99};
    unsigned n = 0;
    while (pop(&w))
        n++;
    return n;
}

static void threads_read_what_threads_retire(void)
{
    struct worker w[WORKERS];
    begin_to_work(20000);
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i].heap = &heap;
        w[i].dice = 88172645463325252ull + i * 1000003;
        CHECK_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(w[i].thread, NULL);
    CHECK(board->popped > 1000 / SLOW);
    empty_stack();
    CHECK_EQ(board->pushed, board->popped);
    all_comes_back();
    end();
}

static int child_works(void)
{
    any_heap h;
    struct worker w = {0, &h,
                       88172645463325252ull + 7919u * (unsigned)getpid()};
    if (open_too(&h))
        return 1;
    __atomic_fetch_add(&board->ready, 1, __ATOMIC_ACQ_REL);
    do
        work(&w);
    while (!__atomic_load_n(&board->go, __ATOMIC_ACQUIRE));
    return any_close(&h) ? 2 : 0;
}

static void processes_read_what_processes_retire(void)
{
    pid_t pid[WORKERS];
    begin_to_work(10000);
    for (unsigned i = 0; i < WORKERS; i++)
        pid[i] = start_child(child_works);
    tell(&board->go, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    empty_stack();
    CHECK_EQ(board->pushed, board->popped);
    CHECK_EQ(any_deaths(&heap), 0);
    all_comes_back();
    end();
}

/* ---- the killed */

static alps_off known[SLOTS]; // what is alive and has a name
static unsigned strays;       // what had none

static int retires_strays(void *context, void *p, size_t n)
{
    alps_off off = any_off_of(&heap, p);
    (void)context;
    (void)n;
    for (unsigned i = 0; i < SLOTS; i++)
        if (known[i] == off)
            return 0;
    strays++;
    return any_retire(&heap, p); // a reader may have seen it
}

/* What a killed process had in its hands is alive, and nobody else's: a node
 * not yet pushed or not yet retired. */
static void strays_are_few(unsigned most)
{
    strays = 0;
    CHECK_EQ(any_reap(&heap), 0);
    CHECK(sound(&heap));
    CHECK_EQ(any_each(&heap, retires_strays, NULL), 0);
    CHECK(strays <= most);
}

static void the_killed_hold_nothing_and_free_nothing_early(void)
{
    pid_t pid[WORKERS];
    begin_to_work(200);
    for (unsigned i = 0; i < WORKERS; i++)
        pid[i] = start_child(child_works);
    for (unsigned i = 0; i < KILLS; i++) {
        pid_t *one = &pid[i % WORKERS];
        CHECK(await(&board->ready, WORKERS + i));
        nap((long)throw_of(3000));
        CHECK_EQ(kill(*one, SIGKILL), 0);
        CHECK_EQ(end_of(*one), 1000 + SIGKILL);
        *one = start_child(child_works);
    }
    tell(&board->go, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    empty_stack();
    memset(known, 0, sizeof known);
    strays_are_few(KILLS);
    CHECK_EQ(any_deaths(&heap), KILLS);
    all_comes_back();
    end();
}

/* ---- one who retires is killed, under the eyes of a reader */

static const void *object[SLOTS];

static size_t size_of(uint64_t i)
{
    return i % 50 == 7 ? 300000 : i % 5 ? 16 + i * 7 % 1000 : 1100 + i * 20;
}

/* A new object in place of what is in slot `i`; NULL: full. */
static void *replace(any_heap *h, unsigned i, uint64_t seed)
{
    void *p = any_alloc(h, size_of(i));
    if (!p)
        return NULL;
    memset(p, 0xff, size_of(i));
    token_fill(p, any_usable(h, p), seed);
    alps_off old = __atomic_exchange_n(&root_of(h)->slot[i], any_off_of(h, p),
                                       __ATOMIC_ACQ_REL);
    must(any_retire(h, any_at(h, old)) == 0);
    return p;
}

static int child_replaces(void)
{
    any_heap h;
    unsigned i = 0;
    if (open_too(&h))
        return 1;
    tell(&board->ready, 1);
    events_left = (unsigned)board->event;
    while (i < 4 * SLOTS && replace(&h, i % SLOTS, SLOTS + i))
        i++;
    tell(&board->go, 1);
    raise(SIGKILL);
    return 2;
}

static void objects_are_whole(void)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct token *t = (const struct token *)object[i];
        CHECK(t->n >= size_of(i) && t->seed == i && token_whole(t));
    }
}

static void kill_at(uint64_t event, long after)
{
    void *p[SLOTS];
    begin_to_work(0);
    struct root *r = root_of(&heap);
    for (unsigned i = 0; i < SLOTS; i++)
        object[i] = replace(&heap, i, i);
    CHECK_EQ(any_enter(&heap), 0);
    board->event = event;
    pid_t pid = start_child(child_replaces);
    CHECK(await(&board->ready, 1));
    if (after >= 0) {
        nap(after);
        CHECK_EQ(kill(pid, SIGKILL), 0);
    }
    CHECK_EQ(end_of(pid), 1000 + SIGKILL);
    objects_are_whole();
    memcpy(known, r->slot, sizeof known);
    strays_are_few(2);
    for (unsigned i = 0; i < SLOTS; i++)
        if ((p[i] = any_alloc(&heap, size_of(i))) != NULL)
            memset(p[i], 0xff, size_of(i));
    objects_are_whole();
    CHECK_EQ(any_leave(&heap), 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        CHECK(token_whole(any_at(&heap, r->slot[i])));
        CHECK_EQ(any_free(&heap, p[i]), 0);
        CHECK_EQ(any_release(&heap, &r->slot[i]), 0);
    }
    CHECK_EQ(any_deaths(&heap), 1);
    all_comes_back();
    end();
}

static void who_retires_dies_at_any_lock_or_fence(void)
{
    uint64_t event = 1;
    for (unsigned i = 0; i < 40 / SLOW; i++) {
        kill_at(event, -1);
        event += 1 + throw_of(2 + event / 4);
    }
}

static void who_retires_dies_at_any_instant(void)
{
    for (unsigned i = 0; i < 30 / SLOW; i++)
        kill_at(0, (long)throw_of(1 + 40 * i));
    kill_at(0, -1); // with all that it retired
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    board = (struct board *)board_make(sizeof *board);
    if (!board)
        return 2;
    RUN_EVERYWHERE(threads_read_what_threads_retire);
    RUN_WHERE_BYTES_STAY(processes_read_what_processes_retire);
    RUN_WHERE_BYTES_STAY(the_killed_hold_nothing_and_free_nothing_early);
    RUN_WHERE_BYTES_STAY(who_retires_dies_at_any_lock_or_fence);
    RUN_WHERE_BYTES_STAY(who_retires_dies_at_any_instant);
    return check_end("readers");
}
