/* test_space.c -- pointers between regions
 *
 * What a far pointer leads to, wherever the regions lie; a region that is
 * missing; many of them; links that are made and cut in one step, by a process
 * that is killed at each event, and where of two media each keeps whatever it
 * may keep of what was not fenced. */
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
#include <pthread.h>

struct item;
typedef ALPS_FAR(struct item) item_far;
typedef ALPS_PACKED(struct item) item_packed;
struct item {
    item_far far;
    item_packed near;
    uint64_t number;
};

static any_heap one, two; // of one the links, of two the objects
static alps_space space;
static alps_options o;
static char path_one[80], path_two[80];

static struct item *root(any_heap *h)
{
    return (struct item *)any_root(h, sizeof(struct item));
}

static void open_both(void)
{
    CHECK_EQ(any_space_open(&space, &one, path_one, &o), 0);
    CHECK_EQ(any_space_open(&space, &two, path_two, &o), 0);
}

static void close_both(void)
{
    CHECK_EQ(any_space_remove(&space, &one), 0);
    CHECK_EQ(any_space_remove(&space, &two), 0);
    any_space_end(&space);
    CHECK_EQ(any_close(&one), 0);
    CHECK_EQ(any_close(&two), 0);
}

static void begin_in(const alps_backend *b, const alps_policy *p)
{
    choose(b, p);
    snprintf(path_one, sizeof path_one, "%s", file_path("one"));
    snprintf(path_two, sizeof path_two, "%s", file_path("two"));
    o = small(1u << 18, 16384);
    o.flags = ALPS_CREATE;
    memset(&space, 0, sizeof space);
    open_both();
}

static void begin(void)
{
    begin_in(&alps_backend_file_, &alps_policy_none_);
}

static void end(void)
{
    CHECK(sound(&one) && sound(&two));
    close_both();
    CHECK_EQ(any_remove(path_one), 0);
    CHECK_EQ(any_remove(path_two), 0);
}

static struct item *new_item(any_heap *h, uint64_t number)
{
    struct item *i = (struct item *)any_reserve(h, sizeof *i);
    CHECK(i != NULL);
    memset(i, 0, sizeof *i);
    i->number = number;
    return i;
}

static uint64_t blocks(any_heap *h)
{
    alps_statistics s;
    CHECK_EQ(any_stats(h, &s), 0);
    return s.blocks;
}

/* ---- pointers */

static void a_far_pointer_leads_into_any_region(void)
{
    begin();
    struct item *a = root(&one), *b = root(&two);
    CHECK_EQ(sizeof(item_far), 16);
    CHECK(ALPS_FAR_GET(&space, a->far) == NULL); // zeroed is null
    CHECK_EQ(ALPS_FAR_SET(&space, a->far, b), 0);
    CHECK_EQ(ALPS_FAR_SET(&space, b->far, a), 0);
    CHECK(ALPS_FAR_GET(&space, a->far) == b);
    CHECK(ALPS_FAR_GET(&space, b->far) == a);
    CHECK_EQ(ALPS_FAR_SET(&space, b->far, b), 0); // into its own as well
    CHECK(ALPS_FAR_GET(&space, b->far) == b);
    item_far copy;
    memcpy(&copy, &a->far, sizeof copy);
    CHECK(ALPS_FAR_GET(&space, copy) == b);
    CHECK_EQ(ALPS_FAR_SET(&space, a->far, NULL), 0);
    CHECK(!a->far.far.off && !ALPS_FAR_GET(&space, a->far));
    alps_far far;
    CHECK_EQ(any_space_far(&space, &far, &far), ALPS_EMISSING);
    CHECK(far.off == ALPS_NULL && far.region == 0);
    CHECK_EQ(any_space_far(&space, one.core.map.base + 9, &far), 0);
    CHECK_EQ(far.off, 9);
    CHECK_EQ(far.region, any_space_id(&one));
    end();
}

static void what_cannot_be_a_far_pointer_is_null(void)
{
    void *p = &o;
    begin();
    uint64_t size = alps_size_(&two.core);
    item_far wild = {{any_space_id(&two), 0}};
    static const uint64_t off[] = {1ull << 47, 1ull << 63, ~0ull};
    for (unsigned i = 0; i < 3; i++) {
        wild.far.off = off[i];
        CHECK(ALPS_FAR_GET(&space, wild) == NULL);
        CHECK_EQ(any_space_at(&space, wild.far, &p), ALPS_EINVAL);
        CHECK(p == NULL);
    }
    wild.far.off = size;
    CHECK_EQ(any_space_at(&space, wild.far, &p), ALPS_EINVAL);
    wild.far.off = size - 1;
    CHECK_EQ(any_space_at(&space, wild.far, &p), 0);
    for (uint64_t id = 0; id < 100; id++) {
        wild.far.region = id;
        CHECK(ALPS_FAR_GET(&space, wild) == NULL);
        CHECK_EQ(any_space_at(&space, wild.far, &p), ALPS_EMISSING);
    }
    end();
}

static int reads_elsewhere(void)
{
    any_heap first, second;
    alps_space own;
    memset(&own, 0, sizeof own);
    o.flags = 0;
    if (any_space_open(&own, &second, path_two, &o) ||
        any_space_open(&own, &first, path_one, &o))
        return 1;
    if (first.core.map.base == one.core.map.base)
        return 2;
    struct item *a = root(&first);
    struct item *b = ALPS_FAR_GET(&own, a->far);
    if (b != root(&second) || b->number != 22 ||
        ALPS_FAR_GET(&own, b->far) != a)
        return 3;
    if (ALPS_PACKED_GET(&own, &first, a->near) != b ||
        ALPS_PACKED_GET(&own, &second, b->near) != a)
        return 4;
    any_space_end(&own);
    return any_close(&first) || any_close(&second) ? 5 : 0;
}

static void they_are_right_in_another_process(void)
{
    begin();
    struct item *a = root(&one), *b = root(&two);
    b->number = 22;
    CHECK_EQ(ALPS_FAR_SET(&space, a->far, b), 0);
    CHECK_EQ(ALPS_FAR_SET(&space, b->far, a), 0);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, b), 0);
    CHECK_EQ(ALPS_PACKED_SET(&space, &two, b->near, a), 0);
    CHECK_EQ(end_of(start_child(reads_elsewhere)), 0);
    end();
}

static void a_packed_pointer_is_a_word(void)
{
    begin();
    struct item *a = root(&one), *b = root(&two);
    CHECK_EQ(sizeof(item_packed), 8);
    CHECK(ALPS_PACKED_GET(&space, &one, a->near) == NULL);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, a), 0);
    CHECK_EQ(a->near.packed, any_off_of(&one, a)); // neighbour 0 is itself
    CHECK(ALPS_PACKED_GET(&space, &one, a->near) == a);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, b), 0);
    CHECK_EQ(a->near.packed >> 48, 1);
    CHECK(ALPS_PACKED_GET(&space, &one, a->near) == b);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, NULL), 0);
    CHECK_EQ(a->near.packed, 0);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, b), 0);
    CHECK_EQ(a->near.packed >> 48, 1); // the same again
    for (uint64_t n = 2; n < 1u << 16; n += 97) {
        item_packed wild = {n << 48 | 4096};
        CHECK(ALPS_PACKED_GET(&space, &one, wild) == NULL);
    }
    struct item stranger;
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, a->near, &stranger), ALPS_EMISSING);
    close_both();
    open_both(); // numbers of neighbours stay
    CHECK(ALPS_PACKED_GET(&space, &one, root(&one)->near) == NULL);
    item_packed kept = {1ull << 48 | any_off_of(&two, root(&two))};
    CHECK(ALPS_PACKED_GET(&space, &one, kept) == root(&two));
    end();
}

/* ---- the space */

static void a_region_is_in_it_once(void)
{
    any_heap copy;
    begin();
    CHECK_EQ(any_space_add(&space, &one), ALPS_EEXIST);
    CHECK_EQ(any_snapshot(&one, file_path("copy")), 0);
    CHECK_EQ(any_space_open(&space, &copy, file_path("copy"), &o), ALPS_EEXIST);
    CHECK(copy.core.map.base == NULL);
    struct item *a = root(&one);
    CHECK_EQ(ALPS_FAR_SET(&space, a->far, root(&two)), 0);
    CHECK_EQ(any_space_remove(&space, &two), 0);
    CHECK(ALPS_FAR_GET(&space, a->far) == NULL);
    alps_far far;
    CHECK_EQ(any_space_far(&space, root(&two), &far), ALPS_EMISSING);
    CHECK_EQ(any_space_remove(&space, &two), ALPS_ENOENT);
    CHECK_EQ(any_space_add(&space, &two), 0); // it may come back
    CHECK(ALPS_FAR_GET(&space, a->far) == root(&two));
    memset(&copy, 0, sizeof copy);
    CHECK_EQ(any_space_add(&space, &copy), ALPS_EINVAL); // it is closed
    CHECK_EQ(any_remove(file_path("copy")), 0);
    end();
}

static unsigned resolved;

static int resolve(void *context, alps_space *s, uint64_t id)
{
    alps_description d;
    const char *path = (const char *)context;
    resolved++;
    if (any_inspect(path, &d) || any_space_id_of(d.uuid) != id)
        return ALPS_EMISSING;
    return any_space_open(s, &two, path, &o);
}

static void a_missing_region_is_a_code_or_opened_on_demand(void)
{
    void *p;
    begin();
    struct item *a = root(&one);
    root(&two)->number = 7;
    CHECK_EQ(ALPS_FAR_SET(&space, a->far, root(&two)), 0);
    CHECK_EQ(any_space_remove(&space, &two), 0);
    CHECK_EQ(any_close(&two), 0);
    CHECK_EQ(any_space_at(&space, a->far.far, &p), ALPS_EMISSING);
    CHECK(p == NULL && ALPS_FAR_GET(&space, a->far) == NULL);
    resolved = 0;
    space.resolver = resolve;
    space.context = path_one; // the wrong one
    CHECK_EQ(any_space_at(&space, a->far.far, &p), ALPS_EMISSING);
    CHECK_EQ(resolved, 1);
    space.context = path_two;
    struct item *b = ALPS_FAR_GET(&space, a->far);
    CHECK(b && b->number == 7 && b == root(&two));
    CHECK(ALPS_FAR_GET(&space, a->far) == b);
    CHECK_EQ(resolved, 2);
    end();
}

#define MANY 150

/* More than there can be neighbours. */
static void many_regions_are_told_apart(void)
{
    any_heap *h = (any_heap *)calloc(MANY, sizeof *h);
    alps_space s;
    alps_far far;
    item_packed near;
    int err = 0;
    unsigned in = 0;
    memset(&s, 0, sizeof s);
    choose(&alps_backend_anon_, &alps_policy_none_);
    o = small(1u << 16, 4096);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(any_space_open(&s, &h[i], NULL, &o), 0);
    for (unsigned i = 1; i < MANY; i++) {
        near.packed = 1;
        err = alps_far_pack_(&s, &h[0].core, root(&h[i]), &near.packed);
        CHECK_EQ(err, i <= ALPS_NEIGHBOUR_MAX ? 0 : ALPS_EFULL);
        CHECK(err ? !near.packed
                  : ALPS_PACKED_GET(&s, &h[0], near) == root(&h[i]));
    }
    for (unsigned round = 0; round < 2000; round++) {
        any_heap *now = &h[throw_of(MANY)];
        unsigned char *p = now->core.map.base + 1 + throw_of(65000);
        int is = any_space_far(&s, p, &far);
        in += !is;
        CHECK(is == 0 || is == ALPS_EMISSING);
        void *back = NULL;
        CHECK(is || (!any_space_at(&s, far, &back) && back == p));
        CHECK(is || far.region == any_space_id(now));
        if (round % 3 == 0) {
            err = any_space_remove(&s, now);
            CHECK_EQ(err, is ? ALPS_ENOENT : 0);
        } else if (is) {
            CHECK_EQ(any_space_add(&s, now), 0);
        }
    }
    CHECK(in > 500 && in < 1900);
    any_space_end(&s);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(any_close(&h[i]), 0);
    free(h);
}

static uint64_t stop;

static void *follow(void *context)
{
    uint64_t n = 0;
    alps_far far;
    struct item *a = root(&one), *b = root(&two);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE) || n < 1000) {
        n += ALPS_FAR_GET(&space, a->far) == b &&
             !any_space_far(&space, b, &far) &&
             far.region == any_space_id(&two);
        n += any_space_far(&space, context, &far) == ALPS_EMISSING;
    }
    return NULL;
}

static void pointers_are_followed_while_regions_come_and_go(void)
{
    any_heap h[20];
    pthread_t thread[2];
    begin();
    CHECK_EQ(ALPS_FAR_SET(&space, root(&one)->far, root(&two)), 0);
    stop = 0;
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, follow, &stop), 0);
    choose(&alps_backend_anon_, &alps_policy_none_);
    for (unsigned round = 0; round < 20 / SLOW; round++) {
        for (unsigned i = 0; i < 20; i++)
            CHECK_EQ(any_space_open(&space, &h[i], NULL, &o), 0);
        for (unsigned i = 0; i < 20; i++)
            CHECK_EQ(any_space_remove(&space, &h[i]), 0);
        for (unsigned i = 0; i < 20; i++)
            CHECK_EQ(any_close(&h[i]), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    choose(&alps_backend_file_, &alps_policy_none_);
    end();
}

/* ---- links */

/* Links an item of `two` to the root of `one`, or cuts it. */
static int link_item(alps_space *s, any_heap *from, int wide, void *p)
{
    struct item *a = root(from);
    return wide ? any_far_publish(s, &a->far.far, p)
                : any_packed_publish(s, &a->near.packed, p);
}

static int cut_item(alps_space *s, any_heap *from, int wide)
{
    struct item *a = root(from);
    return wide ? any_far_release(s, &a->far.far)
                : any_packed_release(s, &a->near.packed);
}

static struct item *linked(alps_space *s, any_heap *from, int wide)
{
    struct item *a = root(from);
    return wide ? ALPS_FAR_GET(s, a->far) : ALPS_PACKED_GET(s, from, a->near);
}

static void a_link_is_made_and_cut(int wide)
{
    uint64_t before = blocks(&two);
    CHECK_EQ(cut_item(&space, &one, wide), 0); // null already
    struct item *first = new_item(&two, 1), *second = new_item(&two, 2);
    CHECK_EQ(link_item(&space, &one, wide, first), 0);
    CHECK(linked(&space, &one, wide) == first);
    CHECK_EQ(blocks(&two), before + 1);
    CHECK_EQ(ALPS_FAR_SET(&space, second->far, first), 0);
    CHECK_EQ(link_item(&space, &one, wide, second), 0); // in its place
    CHECK(linked(&space, &one, wide) == second);
    CHECK(ALPS_FAR_GET(&space, second->far)->number == 1);
    CHECK_EQ(any_free(&two, first), 0);
    CHECK_EQ(cut_item(&space, &one, wide), 0);
    CHECK(linked(&space, &one, wide) == NULL);
    CHECK_EQ(blocks(&two), before);
    CHECK_EQ(cut_item(&space, &one, wide), 0);
    struct item *own = new_item(&one, 3); // within one region
    CHECK_EQ(link_item(&space, &one, wide, own), 0);
    CHECK(linked(&space, &one, wide) == own);
    CHECK_EQ(cut_item(&space, &one, wide), 0);
}

static void links_are_made_and_cut(void)
{
    begin();
    a_link_is_made_and_cut(0);
    a_link_is_made_and_cut(1);
    end();
}

static void a_link_that_cannot_be_changes_nothing(void)
{
    begin();
    struct item *a = root(&one), *p = new_item(&two, 1), stranger;
    uint64_t before = blocks(&two);
    memset(&stranger, 0, sizeof stranger);
    CHECK_EQ(any_far_publish(&space, &stranger.far.far, p), ALPS_EMISSING);
    CHECK_EQ(any_far_publish(&space, &a->far.far, &stranger), ALPS_EMISSING);
    uint64_t *head = (uint64_t *)(void *)one.core.map.base; // the library's
    CHECK_EQ(any_packed_publish(&space, &head[500], p), ALPS_EINVAL);
    CHECK_EQ(any_packed_publish(&space, &a->near.packed, (char *)p + 8),
             ALPS_EINVALID_FREE);
    CHECK_EQ(any_packed_publish(&space, &a->near.packed, p), 0);
    CHECK_EQ(any_packed_publish(&space, &a->near.packed, p),
             ALPS_EINVALID_FREE); // no reservation any more
    CHECK(ALPS_PACKED_GET(&space, &one, a->near) == p);
    CHECK_EQ(blocks(&two), before + 1);
    struct item *own = new_item(&one, 2);
    CHECK_EQ(any_far_publish(&space, &a->far.far, own), 0);
    struct item *q = new_item(&two, 3);
    CHECK_EQ(any_far_publish(&space, &a->far.far, q), ALPS_EINVAL);
    CHECK(ALPS_FAR_GET(&space, a->far) == own); // of another region
    CHECK_EQ(any_cancel(&two, q), 0);
    CHECK_EQ(any_far_release(&space, &a->far.far), 0);
    CHECK_EQ(any_free(&two, p), 0);
    CHECK_EQ(any_packed_release(&space, &a->near.packed), ALPS_EINVALID_FREE);
    CHECK(a->near.packed != 0);
    a->near.packed = 0;
    CHECK_EQ(blocks(&two), before);
    end();
}

/* A link waits until both have been committed: what it takes is there sixteen
 * times, and what was released is free then. */
static void under_checkpoint_links_wait(void)
{
    begin_in(&alps_backend_file_, &alps_policy_checkpoint_);
    uint64_t before = blocks(&two);
    for (int wide = 0; wide < 2; wide++) {
        struct item *p = new_item(&two, 1), *q = new_item(&two, 2);
        CHECK_EQ(link_item(&space, &one, wide, p), 0);
        CHECK(linked(&space, &one, wide) == p);
        CHECK_EQ(link_item(&space, &one, wide, q), ALPS_EBUSY);
        CHECK_EQ(cut_item(&space, &one, wide), 0);
        CHECK_EQ(blocks(&two), before + 1);
        CHECK_EQ(any_space_sync(&space), 0);
        CHECK_EQ(blocks(&two), before);
        CHECK_EQ(link_item(&space, &one, wide, q), 0);
        CHECK_EQ(any_space_sync(&space), 0);
        CHECK_EQ(cut_item(&space, &one, wide), 0);
        CHECK_EQ(blocks(&two), before + 1);
        CHECK_EQ(any_space_sync(&space), 0);
        CHECK_EQ(blocks(&two), before);
    }
    unsigned n = 0;
    int err = 0;
    for (; !err && n < 20; n++) {
        struct item *p = new_item(&two, n);
        err = link_item(&space, &one, 1, p);
        if (err)
            CHECK_EQ(any_cancel(&two, p), 0);
        else
            CHECK_EQ(cut_item(&space, &one, 1), 0);
    }
    CHECK_EQ(n, 17);
    CHECK_EQ(err, ALPS_EBUSY);
    CHECK_EQ(any_space_sync(&space), 0);
    CHECK_EQ(blocks(&two), before);
    CHECK_EQ(ALPS_FAR_SET(&space, root(&one)->far, root(&two)), 0);
    CHECK_EQ(ALPS_PACKED_SET(&space, &one, root(&one)->near, root(&two)), 0);
    CHECK_EQ(any_sync(&one), 0);
    close_both();
    open_both();
    CHECK(linked(&space, &one, 0) == root(&two));
    CHECK(linked(&space, &one, 1) == root(&two));
    end();
}

/* What a lost region had is given up, and of what waits for one that is there
 * nothing: the tie is to end before the pledge. */
static void what_waits_is_not_forgone(void)
{
    for (int wide = 0; wide < 2; wide++) {
        begin_in(&alps_backend_file_, &alps_policy_checkpoint_);
        uint64_t before = blocks(&two);
        struct item *p = new_item(&two, 1);
        CHECK_EQ(link_item(&space, &one, wide, p), 0);
        CHECK_EQ(any_space_forgo(&space, &two, 77), 0);
        CHECK_EQ(any_space_forgo(&space, &one, 77), 0);
        CHECK(linked(&space, &one, wide) == p);
        CHECK_EQ(any_space_sync(&space), 0);
        CHECK(linked(&space, &one, wide) == p);
        CHECK_EQ(blocks(&two), before + 1);
        CHECK_EQ(cut_item(&space, &one, wide), 0);
        CHECK_EQ(any_space_forgo(&space, &two, 77), 0);
        CHECK_EQ(blocks(&two), before + 1); // it waits, too
        CHECK_EQ(any_space_sync(&space), 0);
        CHECK_EQ(blocks(&two), before);
        end();
    }
}

/* ---- a process that is killed */

static unsigned long death;
static int death_is_wide, death_cuts;

static int child_links(void)
{
    any_heap first, second;
    alps_space own;
    memset(&own, 0, sizeof own);
    if (any_space_open(&own, &first, path_one, &o) ||
        any_space_open(&own, &second, path_two, &o))
        return 1;
    void *warm = any_alloc(&second, 40); // it has its lane
    if (!warm || any_free(&second, warm))
        return 2;
    struct item *p =
        death_cuts ? NULL : (struct item *)any_reserve(&second, sizeof *p);
    if (p)
        memset(p, 0, sizeof *p);
    kill_at = death;
    int err = death_cuts ? cut_item(&own, &first, death_is_wide)
                         : link_item(&own, &first, death_is_wide, p);
    kill_at = 0;
    any_space_end(&own);
    return err || any_close(&first) || any_close(&second) ? 3 : 0;
}

/* Kills it at each event in turn; survivors settle. */
static void killed_at_each_event(int cuts, int wide)
{
    int how = -1, seen[2] = {0, 0};
    uint64_t before = blocks(&two);
    death_cuts = cuts;
    death_is_wide = wide;
    for (death = 1; how && death < 200; death++) {
        if (cuts)
            CHECK_EQ(link_item(&space, &one, wide, new_item(&two, 1)), 0);
        how = end_of(start_child(child_links));
        CHECK(how == 0 || how == 1000 + SIGKILL);
        CHECK_EQ(any_space_settle(&space), 0);
        struct item *p = linked(&space, &one, wide);
        seen[p != NULL] = 1;
        CHECK_EQ(any_reap(&two), 0);
        CHECK_EQ(blocks(&two), before + (p != NULL));
        CHECK(!p || any_usable(&two, p) >= sizeof *p);
        CHECK_EQ(cut_item(&space, &one, wide), 0);
        CHECK_EQ(blocks(&two), before);
    }
    CHECK_EQ(how, 0);
    if (manner.durable) // else there are locks alone to die at
        CHECK(death > 9 && seen[0] && seen[1]);
    CHECK(sound(&one) && sound(&two));
}

static void who_is_killed_has_linked_or_not(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            begin_in(&alps_backend_pmem_, &alps_policy_flush_);
        else
            begin();
        for (int k = 0; k < 4; k++)
            killed_at_each_event(k & 1, k >> 1);
        end();
    }
}

/* ---- two media */

/* What each medium surely has: lines as they were flushed, once fenced. */
struct medium_of {
    unsigned char *base, *sure, *flushed;
};
static struct medium_of media[2];
static unsigned fences;
static int images; // whether they are taken at each fence
static void take_images(void);

static int modelled_flush(alps_map *m, const void *p, size_t n)
{
    const unsigned char *at = (const unsigned char *)p;
    for (unsigned i = 0; i < 2; i++) {
        if (media[i].base != m->base)
            continue;
        uint64_t from = (uint64_t)(at - m->base) / ALPS_LINE * ALPS_LINE;
        uint64_t to = alps_round_up_((uint64_t)(at - m->base) + n, ALPS_LINE);
        memcpy(media[i].flushed + from, m->base + from, (size_t)(to - from));
    }
    return ALPS_OK;
}

static int modelled_stream(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return modelled_flush(m, to, ALPS_LINE);
}

static int modelled_fence(alps_map *m, const alps_backend *b)
{
    (void)b;
    if (images)
        take_images();
    for (unsigned i = 0; i < 2; i++)
        if (media[i].base && media[i].base == m->base)
            memcpy(media[i].sure, media[i].flushed, 1u << 18);
    fences++;
    if (images)
        take_images();
    return ALPS_OK;
}

static const alps_policy modelled = {
    "modelled",
    1,
    quiet_open_,
    modelled_flush,
    modelled_stream,
    modelled_fence,
    quiet_settle_,
    NULL,
    NULL,
    NULL,
};

static char image_path[2][80];
static uint64_t wants; // objects that there were before
static unsigned taken, saw[2];
static int image_is_wide;

/* What the medium may hold: what is sure, all that was stored, some lines of it,
 * or even some words, which is more than a line can do, whose stores are in
 * order. */
static int put_image(unsigned i, unsigned how)
{
    unsigned char *image = (unsigned char *)malloc(1u << 18);
    memcpy(image, media[i].sure, 1u << 18);
    unsigned step = how == 3 ? 8 : ALPS_LINE;
    for (unsigned at = 0; at < 1u << 18; at += step)
        if (how == 1 || (how > 1 && throw_of(2)))
            memcpy(image + at, media[i].base + at, step);
    int err = put_bytes(image_path[i], image, 1u << 18);
    free(image);
    return err;
}

/* Opens what is left, and looks at it. */
static void look_at_image(void)
{
    any_heap first, second;
    alps_space s;
    memset(&s, 0, sizeof s);
    choose(&alps_backend_file_, &alps_policy_none_);
    CHECK_EQ(any_space_open(&s, &second, image_path[1], &o), 0);
    CHECK_EQ(any_space_open(&s, &first, image_path[0], &o), 0);
    struct item *p = linked(&s, &first, image_is_wide);
    saw[p != NULL]++;
    CHECK_EQ(blocks(&second), wants + (p != NULL));
    CHECK(!p || (p->number == 77 && any_usable(&second, p) >= sizeof *p));
    CHECK_EQ(cut_item(&s, &first, image_is_wide), 0);
    CHECK_EQ(blocks(&second), wants);
    CHECK(sound(&first) && sound(&second));
    any_space_end(&s);
    CHECK_EQ(any_close(&first), 0);
    CHECK_EQ(any_close(&second), 0);
    choose(&alps_backend_file_, &modelled);
    taken++;
}

/* Each medium for itself. */
static void take_images(void)
{
    images = 0;
    for (unsigned how = 0; how < 16; how += SLOW) {
        CHECK_EQ(put_image(0, how % 4), 0);
        CHECK_EQ(put_image(1, how / 4), 0);
        look_at_image();
    }
    images = 1;
}

static void begin_media(void)
{
    any_heap *h[2] = {&one, &two};
    memset(media, 0, sizeof media);
    begin_in(&alps_backend_file_, &modelled);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(image_path[i], sizeof image_path[i], "%s",
                 file_path(i ? "image-two" : "image-one"));
        media[i].base = h[i]->core.map.base;
        media[i].sure = (unsigned char *)malloc(1u << 18);
        media[i].flushed = (unsigned char *)malloc(1u << 18);
        memcpy(media[i].sure, media[i].base, 1u << 18);
        memcpy(media[i].flushed, media[i].base, 1u << 18);
    }
}

static void end_media(void)
{
    memset(&saw, 0, sizeof saw);
    for (unsigned i = 0; i < 2; i++) {
        media[i].base = NULL;
        free(media[i].sure);
        free(media[i].flushed);
        unlink(image_path[i]);
    }
    end();
}

static void whatever_two_media_keep_it_is_linked_or_not(void)
{
    for (image_is_wide = 0; image_is_wide < 2; image_is_wide++) {
        begin_media();
        struct item *other = new_item(&two, 0); // its pledge was the last
        CHECK_EQ(link_item(&space, &one, !image_is_wide, other), 0);
        wants = blocks(&two);
        struct item *p = new_item(&two, 77);
        taken = 0;
        memset(&saw, 0, sizeof saw);
        images = 1;
        fences = 0;
        CHECK_EQ(link_item(&space, &one, image_is_wide, p), 0);
        CHECK_EQ(fences, 5); // one for the id of the region, or its number
        images = 0;
        CHECK_EQ(cut_item(&space, &one, !image_is_wide), 0);
        other = new_item(&two, 0); // so is this
        CHECK_EQ(link_item(&space, &one, !image_is_wide, other), 0);
        images = 1;
        fences = 0;
        CHECK_EQ(cut_item(&space, &one, image_is_wide), 0);
        CHECK_EQ(fences, 5);
        images = 0;
        CHECK(saw[0] > 10 && saw[1] > 10 && taken == saw[0] + saw[1]);
        CHECK(linked(&space, &one, !image_is_wide) == other);
        CHECK_EQ(cut_item(&space, &one, !image_is_wide), 0);
        end_media();
    }
}

/* A maker that was killed between the store to the link and its fence; then
 * somebody settles, and power fails. */
static void a_kill_and_then_a_power_failure(void)
{
    for (int cuts = 0; cuts < 2; cuts++) {
        begin_media();
        struct item *a = root(&one), *p = new_item(&two, 77);
        alps_tie k;
        image_is_wide = 0;
        wants = blocks(&two);
        if (cuts)
            CHECK_EQ(link_item(&space, &one, 0, p), 0);
        CHECK_EQ(alps_far_begin_(&space, &a->near.packed, &k), 0);
        k.to = alps_far_region_(&space, p, &k.deed.as.block);
        CHECK_EQ(alps_far_value_(&k, NULL), 0);
        k.deed.what = cuts ? ALPS_DEED_HOLD : ALPS_DEED_PLEDGE;
        CHECK_EQ(k.to->perform(k.to->handle, &k.deed), 0);
        a->near.packed = cuts ? 0 : k.deed.as.value; // and no flush
        k.deed.pledge->owner = 1ull << 40;           // nobody's
        taken = 0;
        images = 1;
        CHECK_EQ(any_space_settle(&space), 0);
        images = 0;
        CHECK(taken > 10);
        CHECK(linked(&space, &one, 0) == (cuts ? NULL : p));
        CHECK_EQ(blocks(&two), wants + !cuts);
        CHECK_EQ(cut_item(&space, &one, 0), 0);
        end_media();
    }
}

/* A pledge whose end its maker stored, and was killed: who sees that makes it
 * durable, before the object can be another's. */
static void what_was_seen_to_end_has_ended(void)
{
    for (int adds = 0; adds < 2; adds++) {
        begin_media();
        struct item *p = new_item(&two, 77);
        image_is_wide = 0;
        wants = blocks(&two);
        CHECK_EQ(link_item(&space, &one, 0, p), 0);
        alps_pledge *dead = alps_pledge_at_(&two.core, 3);
        *dead = *alps_pledge_at_(&two.core, 0); // its own has ended
        dead->owner = 1ull << 40;               // nobody's
        dead->block = any_off_of(&two, p);
        CHECK_EQ(any_persist(&two, dead, sizeof *dead), 0);
        dead->block = 0; // and no flush
        if (adds) {
            CHECK_EQ(any_space_remove(&space, &two), 0);
            CHECK_EQ(any_space_add(&space, &two), 0);
        } else {
            CHECK_EQ(any_space_settle(&space), 0);
        }
        taken = 0;
        images = 1;
        CHECK_EQ(cut_item(&space, &one, 0), 0);
        images = 0;
        CHECK(taken > 10);
        end_media();
    }
}

/* The number of a neighbour that another process has stored, and not fenced
 * yet: who uses it makes it durable first. */
static void a_number_is_durable_before_it_is_used(void)
{
    begin_media();
    struct item *p = new_item(&two, 77);
    uint64_t *word = (uint64_t *)alps_address_(&one.core, ALPS_NEIGHBOURS);
    word[0] = alps_space_id_(two.core.super->uuid);
    image_is_wide = 0;
    wants = blocks(&two);
    taken = 0;
    images = 1;
    CHECK_EQ(link_item(&space, &one, 0, p), 0);
    CHECK_EQ(cut_item(&space, &one, 0), 0);
    images = 0;
    CHECK(taken > 10 && word[0] && !word[1]);
    end_media();
}

/* The same, and the test of the test: a link whose pledge says nothing. */
static void without_the_pledge_the_images_tell(void)
{
    begin_media();
    image_is_wide = 0;
    wants = blocks(&two);
    struct item *p = new_item(&two, 77);
    alps_off *word = (alps_off *)any_root(&two, 8);
    CHECK_EQ(any_publish(&two, word, p), 0); // allocated
    CHECK_EQ(put_image(0, 0), 0);
    CHECK_EQ(put_image(1, 0), 0);
    any_heap h;
    choose(&alps_backend_file_, &alps_policy_none_);
    CHECK_EQ(any_open(&h, image_path[1], &o), 0);
    CHECK_EQ(blocks(&h), wants + 1); // nobody in `one` names it: a leak
    CHECK_EQ(any_close(&h), 0);
    choose(&alps_backend_file_, &modelled);
    CHECK_EQ(any_release(&two, word), 0);
    end_media();
}

/* ---- one of two is lost */

static unsigned pledges;

static int child_pledges(void)
{
    any_heap first, second;
    alps_space own;
    memset(&own, 0, sizeof own);
    if (any_space_open(&own, &first, path_one, &o) ||
        any_space_open(&own, &second, path_two, &o))
        return 1;
    for (unsigned i = 0; i < pledges; i++) {
        void *p = any_reserve(&second, sizeof(struct item));
        alps_tie k;
        memset(p, 0, sizeof(struct item));
        if (alps_far_begin_(&own, &root(&first)->near.packed, &k))
            return 2;
        k.to = alps_far_region_(&own, p, &k.deed.as.block);
        k.deed.what = ALPS_DEED_PLEDGE;
        if (!k.to || alps_far_value_(&k, NULL) ||
            k.to->perform(k.to->handle, &k.deed))
            return 3;
    }
    raise(SIGKILL); // before the link
    return 4;
}

static void what_hangs_waits_for_the_other_region(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    begin();
    uint64_t before = blocks(&two), id = any_space_id(&one);
    pledges = ALPS_PLEDGE_MAX;
    CHECK_EQ(end_of(start_child(child_pledges)), 1000 + SIGKILL);
    CHECK_EQ(any_reap(&two), 0);
    CHECK_EQ(blocks(&two), before + ALPS_PLEDGE_MAX);
    struct item *p = new_item(&two, 1);
    CHECK_EQ(link_item(&space, &one, 0, p), ALPS_EBUSY); // no room for more
    CHECK_EQ(any_space_forgo(&space, &two, id), ALPS_EEXIST);
    CHECK_EQ(any_space_remove(&space, &one), 0);
    CHECK_EQ(any_space_settle(&space), 0);
    CHECK_EQ(blocks(&two), before + ALPS_PLEDGE_MAX); // nobody can know
    CHECK_EQ(any_space_add(&space, &one), 0);
    CHECK_EQ(blocks(&two), before); // it is known: there are no links
    CHECK_EQ(link_item(&space, &one, 0, p), 0);
    CHECK_EQ(cut_item(&space, &one, 0), 0);

    pledges = 1;
    CHECK_EQ(end_of(start_child(child_pledges)), 1000 + SIGKILL);
    CHECK_EQ(any_space_remove(&space, &one), 0);
    CHECK_EQ(any_space_settle(&space), 0);
    CHECK_EQ(any_reap(&two), 0);
    CHECK_EQ(blocks(&two), before + 1);
    CHECK_EQ(any_space_forgo(&space, &two, id + 1), 0);
    CHECK_EQ(blocks(&two), before + 1);
    CHECK_EQ(any_space_forgo(&space, &two, id), 0); // it is lost
    CHECK_EQ(blocks(&two), before);
    CHECK_EQ(any_space_forgo(&space, &one, id), ALPS_EMISSING);
    CHECK_EQ(any_space_add(&space, &one), 0);
    end();
}

static void what_a_lost_region_had_is_missing(void)
{
    begin();
    struct item *p = new_item(&two, 1);
    CHECK_EQ(link_item(&space, &one, 0, p), 0);
    CHECK_EQ(any_space_remove(&space, &two), 0);
    CHECK(linked(&space, &one, 0) == NULL);
    CHECK_EQ(cut_item(&space, &one, 0), ALPS_EMISSING);
    CHECK(root(&one)->near.packed != 0); // nothing is changed
    CHECK_EQ(any_space_add(&space, &two), 0);
    CHECK(linked(&space, &one, 0) == p);
    CHECK_EQ(cut_item(&space, &one, 0), 0);
    end();
}

/* A dead process was to cut a link to what is no object any more, as only damage
 * can say: the tie ends, and nothing is pledged. */
static void a_tie_to_what_is_gone_ends(void)
{
    begin();
    struct item *p = new_item(&two, 1);
    alps_pledge *tie = alps_pledge_at_(&one.core, 2);
    tie->region = alps_space_id_(two.core.super->uuid);
    tie->dest = any_off_of(&one, &root(&one)->far.far.off);
    tie->value = any_off_of(&two, p);
    tie->wide = 1;
    tie->owner = 1ull << 40; // nobody's
    tie->tied = ALPS_TIE_CUT;
    CHECK_EQ(any_persist(&one, tie, sizeof *tie), 0);
    CHECK_EQ(any_cancel(&two, p), 0);
    CHECK_EQ(any_space_settle(&space), 0);
    CHECK_EQ(tie->tied, 0);
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++)
        CHECK_EQ(alps_pledge_at_(&two.core, i)->block, 0);
    CHECK(sound(&one) && sound(&two));
    end();
}

/* What a process says in a pledge or a tie: of `block`, or of `value` in a
 * tie. */
static alps_pledge *said(any_heap *h, unsigned i, uint64_t owner,
                         uint64_t region, const uint64_t *link, alps_off block,
                         unsigned tied)
{
    alps_pledge *p = alps_pledge_at_(&h->core, i);
    p->region = region;
    p->dest = any_off_of(&one, link);
    p->value = block;
    p->wide = 1;
    p->owner = owner;
    p->tied = tied;
    p->block = tied ? 0 : block;
    CHECK_EQ(any_persist(h, p, sizeof *p), 0);
    return p;
}

/* A tie to a region that is missing, or of one who lives, stays when others
 * end; it stands for its own link alone; and what is pledged to another link
 * makes none hold. */
static void only_what_is_judged_ends(void)
{
    enum { MISSING = 12345 };
    any_heap again;
    begin();
    CHECK_EQ(any_open(&again, path_one, NULL), 0);
    uint64_t dead = 1ull << 40, lives = alps_self_(&again.core);
    uint64_t id = alps_space_id_(two.core.super->uuid);
    uint64_t from = alps_space_id_(one.core.super->uuid);
    uint64_t *link = (uint64_t *)any_root(&one, 4096);
    uint64_t before = blocks(&two);
    alps_off p[3];
    for (unsigned i = 0; i < 3; i++)
        p[i] = any_off_of(&two, any_alloc(&two, 64));
    alps_pledge *missing =
        said(&one, 1, dead, MISSING, &link[101], p[0], ALPS_TIE_LINK);
    alps_pledge *anothers =
        said(&one, 2, lives, id, &link[103], p[0], ALPS_TIE_LINK);
    anothers->waits = 2;
    alps_pledge *judged =
        said(&one, 3, dead, id, &link[105], p[0], ALPS_TIE_LINK);
    link[104] = id;
    link[105] = p[0];
    said(&two, 4, dead, from, &link[107], p[0], 0);
    link[106] = MISSING; // it names what is there in another region
    link[107] = p[0];
    said(&two, 5, dead, from, &link[101], p[1], 0);
    said(&two, 6, dead, from, &link[109], p[2], 0);
    CHECK_EQ(any_space_settle(&space), 0);
    CHECK(missing->tied == ALPS_TIE_LINK && anothers->tied == ALPS_TIE_LINK);
    CHECK(judged->tied == 0 && link[105] == 0);
    CHECK_EQ(blocks(&two), before);
    alps_pledge *ours = said(&one, 7, alps_self_(&one.core), MISSING,
                             &link[111], p[0], ALPS_TIE_LINK);
    ours->waits = 1;
    CHECK_EQ(any_space_sync(&space), 0);
    CHECK(ours->tied == ALPS_TIE_LINK && missing->tied == ALPS_TIE_LINK);
    CHECK_EQ(any_space_forgo(&space, &one, MISSING), 0);
    CHECK(missing->tied == 0 && anothers->tied == ALPS_TIE_LINK);
    anothers->tied = anothers->waits = anothers->owner = 0;
    CHECK_EQ(any_close(&again), 0);
    end();
}

/* That an older one waited is nothing to a pledge that is under way. */
static void a_new_pledge_does_not_wait(void)
{
    begin();
    alps_pledge *p = alps_pledge_at_(&two.core, 0);
    p->waits = 1;
    CHECK_EQ(link_item(&space, &one, 0, new_item(&two, 1)), 0);
    CHECK_EQ(p->waits, 0);
    CHECK_EQ(cut_item(&space, &one, 0), 0);
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN(a_far_pointer_leads_into_any_region);
    RUN(what_cannot_be_a_far_pointer_is_null);
    RUN(they_are_right_in_another_process);
    RUN(a_packed_pointer_is_a_word);
    RUN(a_region_is_in_it_once);
    RUN(a_missing_region_is_a_code_or_opened_on_demand);
    RUN(many_regions_are_told_apart);
    RUN(pointers_are_followed_while_regions_come_and_go);
    RUN(links_are_made_and_cut);
    RUN(a_link_that_cannot_be_changes_nothing);
    RUN(under_checkpoint_links_wait);
    RUN(what_waits_is_not_forgone);
    RUN(who_is_killed_has_linked_or_not);
    RUN(whatever_two_media_keep_it_is_linked_or_not);
    RUN(a_kill_and_then_a_power_failure);
    RUN(what_was_seen_to_end_has_ended);
    RUN(a_number_is_durable_before_it_is_used);
    RUN(without_the_pledge_the_images_tell);
    RUN(what_hangs_waits_for_the_other_region);
    RUN(what_a_lost_region_had_is_missing);
    RUN(a_tie_to_what_is_gone_ends);
    RUN(only_what_is_judged_ends);
    RUN(a_new_pledge_does_not_wait);
    return check_end("space");
}
