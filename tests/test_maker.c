/* test_maker.c -- an object is found when it has been begun, or not at all
 *
 * A maker runs before the name is there and without a lock; one that refuses
 * leaves nothing; of several at once one is entered and the others are ended; a
 * process that is killed at any event leaves a whole object or none. */
#include <signal.h>

static __thread unsigned fences;
static __thread unsigned long kill_at; // this process dies at so many events

static int observe(int event)
{
    fences += event == 2; // ALPS_SAW_FENCE, which is not defined yet
    if (kill_at && !--kill_at)
        raise(SIGKILL);
    return 0;
}
#define ANY_APART
#define ALPS_OBSERVE(event, p, n) observe(event)
#include "worlds.h"
#include <pthread.h>

struct pair {
    uint64_t one, other; // whole: the other is the one's complement
};

static __thread unsigned made, unmade;

static int make(void *context, void *p, size_t n)
{
    struct pair *pair = (struct pair *)p;
    CHECK(n >= sizeof *pair && !pair->one && !pair->other);
    pair->one = context ? *(uint64_t *)context : 7;
    pair->other = ~pair->one;
    made++;
    return 0;
}

static void unmake(void *context, void *p, size_t n)
{
    struct pair *pair = (struct pair *)p;
    (void)context;
    CHECK(n >= sizeof *pair && pair->other == ~pair->one);
    unmade++;
}

static int refuse(void *context, void *p, size_t n)
{
    memset(p, 1, n);
    return context ? *(int *)context : ALPS_EIO;
}

static const alps_maker maker = {make, unmake, NULL};

static int is_whole(const struct pair *p)
{
    return p && p->one && p->other == ~p->one;
}

#define PAIR(name) ALPS_NAMING(struct pair, name, 1)

static void what_is_made_is_found_whole(void)
{
    begin(1u << 20, 16384);
    made = unmade = 0;
    void *p = any_construct_with(&heap, PAIR("p"), 0, &maker);
    CHECK(p && p == any_find_as(&heap, PAIR("p"), NULL));
    CHECK(is_whole((const struct pair *)p));
    CHECK_EQ(made, 1);
    CHECK(any_construct_with(&heap, PAIR("p"), 0, &maker) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EEXIST);
    CHECK(any_construct_with(&heap, PAIR("p"), 1, &maker) == p);
    CHECK(any_construct_with(&heap, ALPS_NAMING(char, "p", 1), 1, &maker) ==
          NULL);
    CHECK_EQ(any_error(&heap), ALPS_ETYPE);
    CHECK_EQ(made, 1); // what is there is not begun again
    CHECK_EQ(unmade, 0);
    CHECK_EQ(any_destroy(&heap, "p"), 0);
    CHECK(any_construct_with(&heap, PAIR("p"), 1, &maker) != NULL);
    CHECK_EQ(any_destroy(&heap, "p"), 0);
    CHECK(sound(&heap));
    end();
}

static void a_maker_that_refuses_leaves_nothing(void)
{
    alps_maker no = {refuse, unmake, NULL};
    int own = 17;
    begin(1u << 20, 16384);
    CHECK(any_construct(&heap, "first", 8) != NULL); // makes the table
    uint64_t before = stats().blocks;
    unmade = 0;
    CHECK(any_construct_with(&heap, PAIR("p"), 0, &no) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EIO);
    no.context = &own; // a code of the program's own is handed on
    CHECK(any_construct_with(&heap, PAIR("p"), 1, &no) == NULL);
    CHECK_EQ(any_error(&heap), 17);
    CHECK_EQ(unmade, 0);
    CHECK(any_find_as(&heap, PAIR("p"), NULL) == NULL);
    CHECK_EQ(stats().blocks, before);
    struct pair *p =
        (struct pair *)any_construct_with(&heap, PAIR("p"), 0, &maker);
    CHECK(is_whole(p)); // and its memory is zeroed for the next
    end();
}

/* A maker that names another object, and the same one. */
static int make_both(void *context, void *p, size_t n)
{
    CHECK(any_construct_with(&heap, PAIR("inner"), 0, &maker) != NULL);
    if (context)
        CHECK(any_construct_with(&heap, PAIR("outer"), 0, &maker) != NULL);
    return make(NULL, p, n);
}

static void a_maker_may_name_other_objects(void)
{
    alps_maker both = {make_both, unmake, NULL};
    begin(1u << 20, 16384);
    unmade = 0;
    CHECK(any_construct_with(&heap, PAIR("outer"), 0, &both) != NULL);
    CHECK(is_whole((struct pair *)any_find_as(&heap, PAIR("inner"), NULL)));
    CHECK(is_whole((struct pair *)any_find_as(&heap, PAIR("outer"), NULL)));
    CHECK_EQ(unmade, 0);
    CHECK_EQ(any_destroy(&heap, "outer"), 0);
    CHECK_EQ(any_destroy(&heap, "inner"), 0);

    uint64_t before = stats().blocks;
    both.context = &both; // it is quicker than itself
    CHECK(any_construct_with(&heap, PAIR("outer"), 0, &both) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EEXIST);
    CHECK_EQ(unmade, 1);
    CHECK(is_whole((struct pair *)any_find_as(&heap, PAIR("outer"), NULL)));
    CHECK_EQ(any_destroy(&heap, "outer"), 0);
    CHECK_EQ(any_destroy(&heap, "inner"), 0);
    CHECK_EQ(stats().blocks, before);
    CHECK(sound(&heap));
    end();
}

/* Now and then a name needs more than others, such as a bucket: the least. */
static void it_costs_what_a_construct_costs(void)
{
    unsigned least[2] = {99, 99};
    char name[20];
    begin(1u << 20, 16384);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%u", i);
        fences = 0;
        void *p = i % 2 ? any_construct(&heap, name, sizeof(struct pair))
                        : any_construct_with(&heap, PAIR(name), 0, &maker);
        CHECK(p != NULL);
        if (fences < least[i % 2])
            least[i % 2] = fences;
    }
    CHECK_EQ(least[0], least[1]);
    CHECK_EQ(least[0], manner.durable ? 2 : least[0]);
    end();
}

#define RACERS 4
#define RACES 50

static void *race(void *context)
{
    uint64_t me = *(uint64_t *)context;
    alps_maker mine = {make, unmake, context};
    unsigned *entered = (unsigned *)calloc(1, sizeof *entered);
    char name[20];
    made = unmade = 0;
    for (unsigned i = 0; i < RACES; i++) {
        snprintf(name, sizeof name, "%u", i);
        struct pair *p =
            (struct pair *)any_construct_with(&heap, PAIR(name), 1, &mine);
        CHECK(is_whole(p));
        *entered += p && p->one == me;
    }
    CHECK_EQ(made, *entered + unmade);
    return entered;
}

static void of_several_at_once_one_is_entered(void)
{
    pthread_t thread[RACERS];
    uint64_t me[RACERS];
    unsigned sum = 0;
    begin(4u << 20, 1u << 18);
    for (unsigned i = 0; i < RACERS; i++) {
        me[i] = i + 1;
        CHECK_EQ(pthread_create(&thread[i], NULL, race, &me[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        void *entered = NULL;
        CHECK_EQ(pthread_join(thread[i], &entered), 0);
        sum += entered ? *(unsigned *)entered : 0;
        free(entered);
    }
    CHECK_EQ(sum, RACES);
    CHECK_EQ(stats().names, RACES);
    CHECK(sound(&heap));
    end();
}

static unsigned long death;

static int make_and_die(void)
{
    any_heap own;
    if (open_too(&own))
        return 1;
    void *warm = any_alloc(&own, 40); // it has its lane
    if (!warm || any_free(&own, warm))
        return 2;
    kill_at = death;
    void *p = any_construct_with(&own, PAIR("p"), 0, &maker);
    kill_at = 0;
    return p && !any_close(&own) ? 0 : 3;
}

static void who_is_killed_leaves_it_whole_or_not_at_all(void)
{
    int how = -1, seen[2] = {0, 0};
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    begin(1u << 20, 16384);
    CHECK(any_construct(&heap, "first", 8) != NULL);
    uint64_t before = stats().blocks;
    for (death = 1; how; death++) {
        how = end_of(start_child(make_and_die));
        CHECK(how == 0 || how == 1000 + SIGKILL);
        CHECK_EQ(any_reap(&heap), 0);
        struct pair *p = (struct pair *)any_find_as(&heap, PAIR("p"), NULL);
        CHECK(!p || is_whole(p));
        CHECK(p || how);
        seen[p != NULL] = 1;
        if (p)
            CHECK_EQ(any_destroy(&heap, "p"), 0);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK_EQ(stats().blocks, before);
        CHECK(sound(&heap));
        if (death > 200 || (how && how != 1000 + SIGKILL))
            break;
    }
    CHECK(death > 4 && seen[0] && seen[1]);
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN_EVERYWHERE(what_is_made_is_found_whole);
    RUN_EVERYWHERE(a_maker_that_refuses_leaves_nothing);
    RUN_EVERYWHERE(a_maker_may_name_other_objects);
    RUN_EVERYWHERE(of_several_at_once_one_is_entered);
    RUN_WHERE_BYTES_STAY(it_costs_what_a_construct_costs);
    RUN_WHERE_BYTES_STAY(who_is_killed_leaves_it_whole_or_not_at_all);
    return check_end("maker");
}
