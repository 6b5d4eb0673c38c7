/* test_pmemalloc.c -- the calls of libpmemalloc do what its document says
 *
 * Reserved, active, free, and what is assigned on the way: any number of words
 * in one step, whatever event a process is killed at. And two things that its
 * own code gets wrong: what was noted for a free that never came, and what was
 * noted for a reservation that was given back, is forgotten. */
#include <signal.h>

static __thread unsigned long kill_at; // this process dies at so many events

static int observe(int event)
{
    (void)event;
    if (kill_at && !--kill_at)
        raise(SIGKILL);
    return 0;
}
#define ANY_APART
#define ALPS_OBSERVE(event, p, n) observe(event)
#include "model.h"
#define PMEMALLOC_BACKEND ALPS_USER
#define PMEMALLOC_POLICY ALPS_USER
#define ALPS_USER_BACKEND medium
#define ALPS_USER_POLICY manner
#include "examples/pmemalloc.h"

#define WORDS 40

struct item {
    struct item *next_;
    uint64_t number;
};

struct area {
    struct item *link_[WORDS];
};

static void *pmp;
static struct area *area;
static char path[80];

static void open_pool(void)
{
    pmp = pmemalloc_init(path, PMEM_MIN_POOL_SIZE);
    CHECK(pmp != NULL);
    area = (struct area *)pmemalloc_static_area(pmp);
}

static void begin_in(const alps_backend *b, const alps_policy *p)
{
    choose(b, p);
    snprintf(path, sizeof path, "%s", file_path("pool"));
    open_pool();
}

static void begin(void)
{
    begin_in(&alps_backend_file_, &alps_policy_none_);
}

static void again(void)
{
    CHECK_EQ(pmemalloc_close(pmp), 0);
    open_pool();
}

static uint64_t blocks(void)
{
    alps_statistics s;
    CHECK_EQ(pool_stats(&((struct pmemalloc *)pmp)->heap, &s), 0);
    return s.blocks;
}

static void end(void)
{
    CHECK_EQ(pool_check(&((struct pmemalloc *)pmp)->heap, NULL), 0);
    CHECK_EQ(pmemalloc_close(pmp), 0);
    CHECK_EQ(pool_remove(path), 0);
}

static struct item *reserve(uint64_t number)
{
    struct item *i_ = (struct item *)pmemalloc_reserve(pmp, sizeof *i_);
    CHECK(i_ != NULL);
    PMEM(pmp, i_)->next_ = NULL;
    PMEM(pmp, i_)->number = number;
    return i_;
}

static void link_to(unsigned i, struct item *i_)
{
    pmemalloc_onactive(pmp, i_, (void **)&area->link_[i], i_);
}

static void what_is_reserved_is_gone_what_is_active_stays(void)
{
    begin();
    uint64_t before = blocks();
    struct item *a_ = reserve(1), *b_ = reserve(2), *c_ = reserve(3);
    CHECK(a_ != b_ && PMEM(pmp, a_)->number == 1);
    link_to(0, a_);
    CHECK(area->link_[0] == NULL); // not yet
    pmemalloc_activate(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK(area->link_[0] == a_);
    pmemalloc_activate(pmp, c_); // without an assignment
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK_EQ(blocks(), before + 2);
    (void)b_;
    again();
    CHECK_EQ(blocks(), before + 2);
    CHECK(area->link_[0] == a_ && PMEM(pmp, a_)->number == 1);
    CHECK_EQ(PMEM(pmp, c_)->number, 3);
    pmemalloc_onfree(pmp, a_, (void **)&area->link_[0], NULL);
    CHECK(area->link_[0] == a_); // not yet
    pmemalloc_free(pmp, a_);
    CHECK(area->link_[0] == NULL);
    pmemalloc_free(pmp, c_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK_EQ(blocks(), before);
    pmemalloc_free(pmp, c_);
    CHECK_EQ(pmemalloc_error(pmp), ALPS_EINVALID_FREE);
    pmemalloc_activate(pmp, c_);
    CHECK_EQ(pmemalloc_error(pmp), ALPS_EINVALID_FREE);
    end();
}

/* That library ends the process at the fourth. */
static void any_number_is_assigned(void)
{
    begin();
    uint64_t before = blocks();
    struct item *a_ = reserve(1), *b_ = reserve(2);
    pmemalloc_activate(pmp, b_);
    for (unsigned i = 0; i < WORDS; i++)
        pmemalloc_onactive(pmp, a_, (void **)&area->link_[i],
                           i % 2 ? (void *)a_ : (void *)b_);
    pmemalloc_activate(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    for (unsigned i = 0; i < WORDS; i++)
        CHECK(area->link_[i] == (i % 2 ? a_ : b_));
    CHECK_EQ(blocks(), before + 2);
    for (unsigned i = 0; i < WORDS; i++)
        pmemalloc_onfree(pmp, a_, (void **)&area->link_[i],
                         i % 3 ? NULL : (void *)b_);
    pmemalloc_free(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    for (unsigned i = 0; i < WORDS; i++)
        CHECK(area->link_[i] == (i % 3 ? NULL : b_));
    CHECK_EQ(blocks(), before + 1);
    pmemalloc_free(pmp, b_);
    CHECK_EQ(blocks(), before);
    memset(area, 0, sizeof *area);
    end();
}

static void one_value_that_is_not_the_memory_is_assigned(void)
{
    begin();
    struct item *a_ = reserve(1), *b_ = reserve(2);
    pmemalloc_activate(pmp, a_);
    pmemalloc_onactive(pmp, b_, (void **)&area->link_[0], a_);
    pmemalloc_activate(pmp, b_);
    CHECK(area->link_[0] == a_);
    pmemalloc_onfree(pmp, b_, (void **)&area->link_[1], a_);
    pmemalloc_free(pmp, b_);
    CHECK(area->link_[1] == a_ && area->link_[0] == a_);
    pmemalloc_free(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    end();
}

static void what_was_noted_for_a_cancelled_reservation_is_forgotten(void)
{
    begin();
    struct item *a_ = reserve(1);
    link_to(0, a_);
    link_to(1, a_);
    pmemalloc_free(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK(!area->link_[0] && !area->link_[1]);
    struct item *b_ = NULL;
    for (unsigned i = 0; i < 2000 && b_ != a_; i++)
        b_ = reserve(2); // until it is the same memory
    CHECK(a_ == b_);
    pmemalloc_activate(pmp, b_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK(!area->link_[0] && !area->link_[1]);
    pmemalloc_free(pmp, b_);
    end();
}

static void what_was_noted_before_a_crash_is_forgotten(void)
{
    begin();
    struct item *a_ = reserve(1), *b_ = reserve(2);
    link_to(0, a_);
    pmemalloc_activate(pmp, a_);
    link_to(1, b_);
    pmemalloc_activate(pmp, b_);
    for (unsigned i = 2; i < 5; i++)
        pmemalloc_onfree(pmp, a_, (void **)&area->link_[i], b_);
    again(); // and the free never came
    CHECK(area->link_[0] == a_ && area->link_[1] == b_);
    pmemalloc_onfree(pmp, a_, (void **)&area->link_[0], b_);
    pmemalloc_free(pmp, a_);
    CHECK_EQ(pmemalloc_error(pmp), 0);
    CHECK(area->link_[0] == b_);
    for (unsigned i = 2; i < 5; i++)
        CHECK(area->link_[i] == NULL);
    again();
    for (unsigned i = 2; i < 5; i++)
        CHECK(area->link_[i] == NULL);
    pmemalloc_free(pmp, b_);
    area->link_[0] = area->link_[1] = NULL;
    end();
}

static void a_pool_is_refused_with_a_reason(void)
{
    begin();
    CHECK(pmemalloc_init("/nowhere/at/all", PMEM_MIN_POOL_SIZE) == NULL);
    CHECK_EQ(errno, ENOENT);
    CHECK(pmemalloc_init(file_path("small"), 1000) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(access(file_path("small"), F_OK), -1);
    CHECK_EQ(put_bytes(file_path("foreign"), "no pool", 7), 0);
    CHECK(pmemalloc_init(file_path("foreign"), PMEM_MIN_POOL_SIZE) == NULL);
    CHECK_EQ(errno, EINVAL);
    unlink(file_path("foreign"));
    errno = 0;
    CHECK(pmemalloc_reserve(pmp, (size_t)1 << 46) == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ(pmemalloc_check(path), 0);
    CHECK_EQ(pmemalloc_check("/nowhere/at/all"), ALPS_ENOENT);
    end();
}

#define THREADS 4
#define PUSHES 200

static void *push(void *context)
{
    unsigned i = *(unsigned *)context;
    for (unsigned k = 0; k < PUSHES; k++) {
        struct item *i_ = reserve(k);
        PMEM(pmp, i_)->next_ = area->link_[2 * i];
        link_to(2 * i, i_);
        if (k % 3 || k == PUSHES - 1) // by one word, or by two
            link_to(2 * i + 1, i_);
        pmemalloc_activate(pmp, i_);
    }
    return NULL;
}

static void threads_share_a_pool(void)
{
    pthread_t thread[THREADS];
    unsigned number[THREADS];
    begin();
    uint64_t before = blocks();
    for (unsigned i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK_EQ(pthread_create(&thread[i], NULL, push, &number[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(blocks(), before + THREADS * PUSHES);
    for (unsigned i = 0; i < THREADS; i++) {
        unsigned n = 0;
        CHECK(area->link_[2 * i] == area->link_[2 * i + 1]);
        for (struct item *i_ = area->link_[2 * i]; i_;
             i_ = PMEM(pmp, i_)->next_)
            n += PMEM(pmp, i_)->number == PUSHES - 1 - n;
        CHECK_EQ(n, PUSHES);
    }
    end();
}

/* ---- a process that is killed */

static unsigned long death;
static int death_frees;
static unsigned death_words;

static int child_dies(void)
{
    open_pool();
    struct item *a_ = death_frees ? area->link_[0] : reserve(5);
    if (!a_)
        return 1;
    void *warm = pmemalloc_reserve(pmp, 40);
    pmemalloc_free(pmp, warm); // it has its lane
    for (unsigned i = 0; i < death_words; i++)
        if (death_frees)
            pmemalloc_onfree(pmp, a_, (void **)&area->link_[i], NULL);
        else
            link_to(i, a_);
    kill_at = death;
    if (death_frees)
        pmemalloc_free(pmp, a_);
    else
        pmemalloc_activate(pmp, a_);
    kill_at = 0;
    return pmemalloc_error(pmp) || pmemalloc_close(pmp) ? 2 : 0;
}

static void killed_at_each_event(int frees, unsigned words)
{
    int how = -1, seen[2] = {0, 0};
    begin_in(&alps_backend_pmem_, &alps_policy_flush_);
    uint64_t before = blocks();
    death_frees = frees;
    death_words = words;
    for (death = 1; how && death < 300; death++) {
        if (frees && !area->link_[0]) {
            struct item *a_ = reserve(5);
            for (unsigned i = 0; i < words; i++)
                link_to(i, a_);
            pmemalloc_activate(pmp, a_);
        }
        CHECK_EQ(pmemalloc_close(pmp), 0);
        how = end_of(start_child(child_dies));
        CHECK(how == 0 || how == 1000 + SIGKILL);
        open_pool();
        struct item *a_ = area->link_[0];
        seen[a_ != NULL] = 1;
        for (unsigned i = 1; i < words; i++)
            CHECK(area->link_[i] == a_);
        CHECK(!a_ || PMEM(pmp, a_)->number == 5);
        CHECK_EQ(blocks(), before + (a_ != NULL));
        if (!frees && a_) {
            for (unsigned i = 0; i < words; i++)
                pmemalloc_onfree(pmp, a_, (void **)&area->link_[i], NULL);
            pmemalloc_free(pmp, a_);
        }
    }
    CHECK(how == 0 && death > 4 && seen[0] && seen[1]);
    end();
}

static void who_is_killed_has_done_all_or_nothing(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    for (unsigned words = 1; words < 8; words += 3)
        for (int frees = 0; frees < 2; frees++)
            killed_at_each_event(frees, words);
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN(what_is_reserved_is_gone_what_is_active_stays);
    RUN(any_number_is_assigned);
    RUN(one_value_that_is_not_the_memory_is_assigned);
    RUN(what_was_noted_for_a_cancelled_reservation_is_forgotten);
    RUN(what_was_noted_before_a_crash_is_forgotten);
    RUN(a_pool_is_refused_with_a_reason);
    RUN(threads_share_a_pool);
    RUN(who_is_killed_has_done_all_or_nothing);
    return check_end("pmemalloc");
}
