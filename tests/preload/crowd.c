/* crowd.c -- threads and forks on the malloc of the examples
 *
 * Threads allocate, fill, hand to each other, look and free. Meanwhile the
 * first one forks: each child has the blocks it had before, whole, and its own
 * threads go on. If two blocks overlapped, one would find the other's bytes. */
#define _GNU_SOURCE
#include "../check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3, SHELF = 400, BOXES = 32 };

struct block {
    size_t n;
    unsigned char byte, data[];
};

static struct block *box[BOXES]; // on their way to another thread
static unsigned bad;             // what went wrong, counted
static int ending;               // the threads are to end

static unsigned random_below(uint64_t *dice, unsigned n)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return (unsigned)(*dice * 0x2545f4914f6cdd1dull >> 33) % n;
}

/* A block of some size, with bytes that tell it. */
static struct block *make(uint64_t *dice)
{
    unsigned kind = random_below(dice, 100);
    size_t n = random_below(dice, kind < 80 ? 300 : kind < 99 ? 9000 : 300000);
    struct block *b = random_below(dice, 4) ? malloc(sizeof *b + n)
                                            : calloc(1, sizeof *b + n);
    if (!b) {
        __atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    b->n = n;
    b->byte = (unsigned char)random_below(dice, 255);
    memset(b->data, b->byte, n);
    return b;
}

static void look(const struct block *b)
{
    for (size_t i = 0; b && i < b->n; i++)
        if (b->data[i] != b->byte) {
            __atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
            return;
        }
}

/* Makes a block longer or shorter. */
static struct block *change(struct block *b, uint64_t *dice)
{
    size_t n = b->n * (1 + random_below(dice, 4)) / 2;
    struct block *to = realloc(b, sizeof *b + n);
    if (!to) {
        __atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
        return b;
    }
    if (n > to->n)
        memset(to->data + to->n, to->byte, n - to->n);
    to->n = n;
    return to;
}

/* One step with a place of a shelf. */
static void step(struct block **place, uint64_t *dice)
{
    look(*place);
    if (*place && random_below(dice, 4) == 0) {
        *place = change(*place, dice);
        look(*place);
    } else if (random_below(dice, 3) == 0) {
        struct block **to = &box[random_below(dice, BOXES)];
        *place = __atomic_exchange_n(to, *place, __ATOMIC_ACQ_REL);
    } else {
        free(*place);
        *place = make(dice);
    }
}

static void clear(struct block **shelf)
{
    for (int i = 0; i < SHELF; i++) {
        look(shelf[i]);
        free(shelf[i]);
        shelf[i] = NULL;
    }
}

static void *hammer(void *steps)
{
    struct block *shelf[SHELF] = {NULL};
    uint64_t dice = (uintptr_t)&dice | 1;
    for (uintptr_t i = (uintptr_t)steps; i; i--) {
        step(&shelf[random_below(&dice, SHELF)], &dice);
        if (__atomic_load_n(&ending, __ATOMIC_RELAXED))
            break;
    }
    clear(shelf);
    return NULL;
}

static void start(pthread_t *thread, uintptr_t steps)
{
    ending = 0;
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, hammer, (void *)steps), 0);
}

static void join(const pthread_t *thread)
{
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void blocks_of_threads_do_not_overlap(void)
{
    pthread_t thread[THREADS];
    start(thread, 30000);
    join(thread);
    CHECK_EQ(bad, 0);
}

/* What a child does with the blocks its parent had; the boxes are left alone,
 * for nobody knows what the other threads were doing to them. */
static int go_on(struct block **shelf, uint64_t dice)
{
    pthread_t thread[THREADS];
    memset(box, 0, sizeof box);
    for (int i = 0; i < 3000; i++)
        step(&shelf[random_below(&dice, SHELF)], &dice);
    start(thread, 1000);
    clear(shelf);
    join(thread);
    return bad != 0;
}

/* A fork of a process whose threads go on meanwhile. The child ends by exit, so
 * that its region is checked. */
static void a_child_has_what_its_parent_had(void)
{
    struct block *shelf[SHELF] = {NULL};
    pthread_t thread[THREADS];
    uint64_t dice = 88172645463325252ull;
    int status = 0;
    start(thread, (uintptr_t)-1);
    for (int round = 0; round < 60 && !status; round++) {
        for (int i = 0; i < 300; i++)
            step(&shelf[random_below(&dice, SHELF)], &dice);
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            exit(go_on(shelf, dice + (unsigned)round));
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    join(thread);
    clear(shelf);
    CHECK_EQ(bad, 0);
}

/* Forks from threads that are not the first, all at once, and from children. */
static void *fork_twice(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20; i++) {
        char *p = malloc(100);
        memset(p, i, 100);
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            pid_t second = fork();
            free(p);
            p = calloc(100, 100);
            if (second)
                waitpid(second, &status, 0);
            _exit(!p || p[99] || status);
        }
        if (waitpid(child, &status, 0) != child || status || p[99] != i)
            __atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
        free(p);
    }
    return NULL;
}

static void any_thread_may_fork(void)
{
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, fork_twice, NULL), 0);
    join(thread);
    CHECK_EQ(bad, 0);
}

/* What a thread leaves behind is freed as it ends, by a destructor that
 * allocates as well, twice. Keys from the 33rd on are in memory that the C
 * library asks malloc for. */
static pthread_key_t key[100];

static void destroy(void *p)
{
    uintptr_t rounds = *(uintptr_t *)p;
    void *more = malloc(1000);
    free(p);
    if (rounds) {
        uintptr_t *next = malloc(sizeof *next);
        *next = rounds - 1;
        pthread_setspecific(key[99], next);
    }
    free(more);
}

/* Before the first malloc, so that the region's own key is such a one: for the
 * 33rd and later the C library calls malloc. */
static __attribute__((constructor)) void take_keys(void)
{
    pthread_key_t taken;
    for (int i = 0; i < 40; i++)
        pthread_key_create(&taken, NULL);
}

static void *brief(void *given)
{
    free(given);
    for (int i = 0; i < 100; i++) {
        uintptr_t *p = malloc(sizeof *p);
        *p = i == 99 ? 2 : 0;
        pthread_setspecific(key[i], p);
    }
    return malloc(500);
}

static void threads_come_and_go(void)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(pthread_key_create(&key[i], destroy), 0);
    for (int i = 0; i < 500; i++) {
        pthread_t one, other;
        void *left = NULL;
        CHECK_EQ(pthread_create(&one, NULL, brief, malloc(200)), 0);
        CHECK_EQ(pthread_create(&other, NULL, brief, malloc(5000)), 0);
        pthread_join(one, &left);
        free(left);
        pthread_join(other, &left);
        free(left);
    }
    for (int i = 0; i < 100; i++)
        pthread_key_delete(key[i]);
}

static void *sleeper(void *gate)
{
    free(malloc(10));
    pthread_barrier_wait(gate);
    void *p = malloc(100);
    pthread_barrier_wait(gate);
    free(p);
    return NULL;
}

/* More than there are lanes for. */
static void there_may_be_many_threads(void)
{
    enum { MANY = 400 };
    static pthread_t thread[MANY];
    pthread_attr_t small;
    pthread_barrier_t gate;
    unsigned n = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&gate, NULL, MANY + 1);
    while (n < MANY && !pthread_create(&thread[n], &small, sleeper, &gate))
        n++;
    if (!CHECK_EQ(n, MANY))
        exit(1);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    while (n)
        pthread_join(thread[--n], NULL);
    pthread_barrier_destroy(&gate);
    pthread_attr_destroy(&small);
}

static void libraries_come_and_go(void)
{
    for (int i = 0; i < 200; i++) {
        void *library = dlopen("libresolv.so.2", RTLD_NOW);
        CHECK(library && dlsym(library, "ns_initparse"));
        if (library)
            dlclose(library);
        CHECK(!dlopen("libnot-there.so.1", RTLD_NOW) && dlerror());
    }
}

int main(void)
{
    RUN(blocks_of_threads_do_not_overlap);
    RUN(a_child_has_what_its_parent_had);
    RUN(any_thread_may_fork);
    RUN(threads_come_and_go);
    RUN(there_may_be_many_threads);
    RUN(libraries_come_and_go);
    return check_end("crowd");
}
