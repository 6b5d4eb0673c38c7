/* test_name.c -- objects that are found by name
 *
 * What a name may be, what is kept with it and checked; names by the hundred
 * thousand; a region that is full, damaged, opened anew, only read; threads and
 * processes at once, and such as are killed at each of the events that make an
 * operation. */
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
#include "things.h"

static void names_are(uint64_t n)
{
    alps_report r;
    CHECK(sound(&heap));
    CHECK_EQ(any_check(&heap, &r), 0);
    CHECK_EQ(r.names, n);
    CHECK_EQ(stats().names, n);
}

static alps_naming bytes_as(const void *name, size_t length, size_t n)
{
    alps_naming as = alps_name_typed_(NULL, 0, 0, n);
    as.name = name;
    as.length = length;
    return as;
}

static int is_zero(const void *p, size_t n)
{
    const unsigned char *byte = (const unsigned char *)p;
    for (size_t i = 0; i < n; i++)
        if (byte[i])
            return 0;
    return 1;
}

/* Fails as it should: nothing is found, and why. */
#define NONE(call, code)                \
  do {                                  \
    CHECK((call) == NULL);              \
    CHECK_EQ(any_error(&heap), (code)); \
  } while (0)

/* ---- what a name is */

static void what_is_constructed_is_found(void)
{
    size_t n = 1;
    begin(4u << 20, 1u << 18);
    NONE(any_find(&heap, "a", &n), ALPS_ENOENT);
    CHECK_EQ(any_destroy(&heap, "a"), ALPS_ENOENT);
    names_are(0);
    static const size_t size[] = {0, 1, 15, 16, 100, 900, 1024, 5000, 300000};
    char name[16];
    for (unsigned i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "number %u", i);
        void *p = any_construct(&heap, name, size[i]);
        CHECK(p != NULL && is_zero(p, size[i]));
        CHECK_EQ((uintptr_t)p % (size[i] >= 1024 ? 64 : 16), 0);
        memset(p, 0xff, size[i]);
        NONE(any_construct(&heap, name, size[i]), ALPS_EEXIST);
        CHECK(any_find(&heap, name, &n) == p);
        CHECK_EQ(n, size[i]);
        CHECK(any_find_or_construct(&heap, name, size[i]) == p);
        NONE(any_find_or_construct(&heap, name, size[i] + 1), ALPS_ETYPE);
        not_freed(p);
    }
    names_are(9);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "number %u", i);
        CHECK_EQ(any_destroy(&heap, name), 0);
        NONE(any_find(&heap, name, NULL), ALPS_ENOENT);
        CHECK_EQ(any_destroy(&heap, name), ALPS_ENOENT);
    }
    names_are(0);
    end();
}

/* All of one byte, of two, none at all; none is a part of another's. */
static void any_bytes_are_a_name(void)
{
    begin(8u << 20, 1u << 18);
    unsigned char name[2];
    for (unsigned i = 0; i < 256; i++)
        for (size_t length = 0; length < 3; length++) {
            if (length == 0 && i)
                continue;
            name[0] = (unsigned char)i;
            name[1] = 0;
            unsigned *p = (unsigned *)any_construct_as(
                &heap, bytes_as(name, length, sizeof *p));
            CHECK(p != NULL);
            if (p)
                *p = i * 3 + (unsigned)length;
        }
    names_are(513);
    for (unsigned i = 0; i < 256; i++)
        for (size_t length = i ? 1 : 0; length < 3; length++) {
            name[0] = (unsigned char)i;
            name[1] = 0;
            alps_naming as = bytes_as(name, length, 0), is;
            const unsigned *p = (const unsigned *)any_find_as(&heap, as, NULL);
            CHECK(p && *p == i * 3 + length);
            CHECK_EQ(any_named(&heap, p, &is), 0);
            CHECK(is.length == length && !memcmp(is.name, name, length));
            CHECK_EQ(((const char *)is.name)[length], 0);
        }
    CHECK(any_find(&heap, "", NULL) != NULL);
    end();
}

static void a_name_has_up_to_64_kib(void)
{
    static char name[65537];
    size_t n = 0;
    begin(4u << 20, 1u << 18);
    memset(name, 'x', sizeof name);
    for (size_t length = 65520; length <= 65536; length += 8) {
        void *p = any_construct_as(&heap, bytes_as(name, length, 10));
        CHECK(p != NULL);
        CHECK(any_find_as(&heap, bytes_as(name, length, 0), &n) == p);
        CHECK_EQ(n, 10);
    }
    names_are(3);
    NONE(any_construct_as(&heap, bytes_as(name, 65537, 1)), ALPS_EINVAL);
    NONE(any_find_as(&heap, bytes_as(name, 65537, 0), NULL), ALPS_EINVAL);
    CHECK_EQ(any_destroy_as(&heap, bytes_as(name, 65537, 0)), ALPS_EINVAL);
    NONE(any_construct_as(&heap, bytes_as(NULL, 0, 1)), ALPS_EINVAL);
    NONE(any_construct(&heap, "too much", (size_t)1 << 60), ALPS_EINVAL);
    alps_naming as = ALPS_NAMING(double, "overflows", (size_t)1 << 62);
    NONE(any_construct_as(&heap, as), ALPS_EINVAL);
    as = ALPS_UNIQUE(int, 1);
    as.text_length = 4; // of no text
    NONE(any_construct_as(&heap, as), ALPS_EINVAL);
    as.text = name;
    as.text_length = 65537;
    NONE(any_construct_as(&heap, as), ALPS_EINVAL);
    names_are(3);
    end();
}

struct point {
    double x, y;
};

static void type_and_length_are_checked(void)
{
    size_t n = 0;
    begin(4u << 20, 1u << 18);
    alps_naming as = ALPS_NAMING(struct point, "path", 5), is;
    struct point *p = (struct point *)any_construct_as(&heap, as);
    CHECK(p != NULL);
    CHECK(any_find_as(&heap, as, &n) == p);
    CHECK_EQ(n, 5 * sizeof *p);
    CHECK(any_find(&heap, "path", NULL) == p);
    CHECK(any_find_as(&heap, ALPS_NAMING(struct point, "path", 0), NULL) == p);
    NONE(any_find_as(&heap, ALPS_NAMING(struct point, "path", 6), NULL),
         ALPS_ETYPE);
    NONE(any_find_as(&heap, ALPS_NAMING(double, "path", 1), NULL), ALPS_ETYPE);
    as.tag++;
    NONE(any_find_as(&heap, as, NULL), ALPS_ETYPE);
    NONE(any_find_or_construct_as(&heap, as), ALPS_ETYPE);
    NONE(any_construct_as(&heap, as), ALPS_EEXIST);
    CHECK_EQ(any_destroy_as(&heap, as), ALPS_ETYPE);
    as.tag = 0;
    as.element++;
    NONE(any_find_as(&heap, as, NULL), ALPS_ETYPE);
    CHECK_EQ(any_named(&heap, p, &is), 0);
    CHECK_EQ(is.tag, alps_hash_tag_("struct point"));
    CHECK_EQ(is.element, sizeof *p);
    CHECK_EQ(is.count, 5);
    CHECK(is.length == 4 && !strcmp((const char *)is.name, "path"));
    CHECK(is.text == NULL && !is.text_length);
    names_are(1);
    end();
}

/* Also beside a name that is the bytes of the tag. */
static void one_object_of_a_type_needs_no_name(void)
{
    begin(4u << 20, 1u << 18);
    alps_naming unique = ALPS_UNIQUE(struct point, 1), is;
    alps_naming other = ALPS_UNIQUE(double, 1);
    NONE(any_find_as(&heap, unique, NULL), ALPS_ENOENT);
    void *p = any_find_or_construct_as(&heap, unique);
    CHECK(p != NULL && any_find_as(&heap, unique, NULL) == p);
    NONE(any_find_as(&heap, other, NULL), ALPS_ENOENT);
    NONE(any_find_as(&heap, bytes_as(&unique.tag, 8, 0), NULL), ALPS_ENOENT);
    CHECK(any_construct_as(&heap, bytes_as(&unique.tag, 8, 1)) != NULL);
    CHECK(any_construct_as(&heap, other) != NULL);
    names_are(3);
    CHECK_EQ(any_named(&heap, p, &is), 0);
    CHECK(is.name == NULL && is.tag == unique.tag);
    CHECK_EQ(any_destroy_as(&heap, unique), 0);
    names_are(2);
    end();
}

static void described(const void *p, const char *text)
{
    alps_naming is;
    size_t n = text ? strlen(text) : 0;
    CHECK_EQ(any_named(&heap, p, &is), 0);
    CHECK_EQ(is.text_length, n);
    CHECK(text ? is.text && !strcmp(is.text, text) : is.text == NULL);
}

static void a_description_is_kept_and_changed(void)
{
    static const char *const text[] = {"short", NULL, "and another",
                                       "and one more", NULL};
    char large[40001];
    memset(large, 'd', 40000);
    large[40000] = 0;
    begin(4u << 20, 1u << 18);
    alps_naming as = ALPS_NAMING(int, "it", 3);
    for (int with = 0; with < 2; with++) {
        as.text = with ? "as it was made" : NULL;
        as.text_length = with ? strlen(as.text) : 0;
        int *p = (int *)any_construct_as(&heap, as);
        CHECK(p != NULL && is_zero(p, 12));
        p[2] = 7;
        described(p, as.text);
        for (unsigned i = 0; i < 5; i++) {
            size_t n = text[i] ? strlen(text[i]) : 0;
            CHECK_EQ(any_redescribe(&heap, p, text[i], n), 0);
            described(p, text[i]);
            CHECK(sound(&heap));
        }
        CHECK_EQ(any_redescribe(&heap, p, large, 40000), 0);
        described(p, large);
        CHECK_EQ(any_redescribe(&heap, p, large, 65537), ALPS_EINVAL);
        CHECK_EQ(any_redescribe(&heap, p, NULL, 1), ALPS_EINVAL);
        CHECK_EQ(any_redescribe(&heap, p + 1, "no", 2), ALPS_EINVAL);
        CHECK(p[2] == 7);
        names_are(1);
        CHECK_EQ(any_destroy(&heap, "it"), 0);
        CHECK_EQ(any_redescribe(&heap, p, "gone", 4), ALPS_EINVAL);
        CHECK_EQ(any_trim(&heap), 0);
        CHECK_EQ(stats().blocks, 1); // by which names are found
    }
    end();
}

static void what_has_no_name_is_none(void)
{
    begin(4u << 20, 1u << 18);
    alps_naming is;
    unsigned char *p = (unsigned char *)any_zalloc(&heap, 4000);
    unsigned char *q = (unsigned char *)any_construct(&heap, "q", 100);
    CHECK_EQ(any_named(&heap, NULL, &is), ALPS_EINVAL);
    CHECK_EQ(any_named(&heap, heap.core.map.base, &is), ALPS_EINVAL);
    for (unsigned i = 0; i < 4000; i += 8)
        CHECK_EQ(any_named(&heap, p + i, &is), ALPS_EINVAL);
    for (int i = -64; i < 64; i += 4)
        CHECK_EQ(any_named(&heap, q + i, &is), i ? ALPS_EINVAL : 0);
    memcpy(p + 64, q - 128, 256); // looks like one
    for (unsigned i = 0; i < 4000; i += 8)
        CHECK_EQ(any_named(&heap, p + i, &is), ALPS_EINVAL);
    end();
}

/* ---- many */

static void put(char *name, unsigned i)
{
    sprintf(name, "the %u", i);
}

/* Nodes that are passed on the way to name `i`. */
static uint64_t steps_to(unsigned i)
{
    char text[32];
    alps_name n;
    alps_place p;
    put(text, i);
    alps_naming as = alps_name_typed_(text, 0, 0, 0);
    CHECK_EQ(alps_name_init_(&heap.core, &as, &n), 0);
    CHECK_EQ(alps_name_seek_(&heap.core, &n, &p), 1);
    return p.steps;
}

static void steps_are_few(unsigned n)
{
    uint64_t steps = 0, most = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t now = steps_to(i);
        steps += now;
        most = now > most ? now : most;
    }
    CHECK(steps <= 3ull * n);
    CHECK(most <= 64); // where a bucket is not linked yet, its parent is walked
}

static void of_many_each_is_found_at_once(void)
{
    char name[32];
    unsigned n = (world->policy->durable ? 100000 : 1000000) / (SLOW * SLOW);
    begin(1u << 28, 0);
    for (unsigned i = 0; i < n; i++) {
        put(name, i);
        unsigned *p = (unsigned *)any_construct(&heap, name, sizeof *p);
        if (!CHECK(p != NULL))
            break;
        *p = i;
        if (i == 1000 || i == 10000)
            steps_are_few(i);
    }
    steps_are_few(n);
    names_are(n);
    for (unsigned i = 0; i < n; i++) {
        put(name, i);
        const unsigned *p = (const unsigned *)any_find(&heap, name, NULL);
        if (!CHECK(p && *p == i))
            break;
        if (i % 3 == 0 && !CHECK_EQ(any_destroy(&heap, name), 0))
            break;
    }
    names_are(n - (n + 2) / 3);
    end();
}

struct seen {
    unsigned count, most, stop, destroy;
    unsigned char found[1000];
};

static int see(void *context, const char *name, size_t length, void *p,
               size_t n)
{
    struct seen *s = (struct seen *)context;
    unsigned i = (unsigned)strtoul(name + 4, NULL, 10);
    s->count++;
    CHECK(strlen(name) == length && n == sizeof i && i < 1000);
    CHECK_EQ(*(unsigned *)p, i);
    CHECK_EQ(s->found[i]++, 0);
    if (s->destroy)
        CHECK_EQ(any_destroy(&heap, name), 0);
    return s->count == s->stop ? 17 : 0;
}

static void furnish_names(unsigned n)
{
    char name[32];
    for (unsigned i = 0; i < n; i++) {
        put(name, i);
        unsigned *p = (unsigned *)any_construct(&heap, name, sizeof *p);
        CHECK(p != NULL);
        *p = i;
    }
}

static void all_are_visited_and_may_be_destroyed(void)
{
    struct seen s;
    begin(4u << 20, 1u << 18);
    memset(&s, 0, sizeof s);
    CHECK_EQ(any_each_name(&heap, see, &s), 0);
    furnish_names(1000);
    CHECK_EQ(any_each_name(&heap, see, &s), 0);
    CHECK_EQ(s.count, 1000);
    memset(&s, 0, sizeof s);
    s.stop = 10;
    CHECK_EQ(any_each_name(&heap, see, &s), 17);
    CHECK_EQ(s.count, 10);
    memset(&s, 0, sizeof s);
    s.destroy = 1;
    CHECK_EQ(any_each_name(&heap, see, &s), 0);
    CHECK_EQ(s.count, 1000);
    names_are(0);
    memset(&s, 0, sizeof s);
    CHECK_EQ(any_each_name(&heap, see, &s), 0);
    CHECK_EQ(s.count, 0);
    end();
}

/* ---- the region */

static void names_outlive_the_handle(void)
{
    struct seen s;
    void (*happens[])(void) = {crash, NULL};
    for (unsigned i = 0; i < 2; i++) {
        begin(4u << 20, 1u << 18);
        furnish_names(500);
        if (happens[i])
            happens[i]();
        else
            CHECK(any_close(&heap) == 0 && open_too(&heap) == 0);
        names_are(500);
        memset(&s, 0, sizeof s);
        s.destroy = 1;
        CHECK_EQ(any_each_name(&heap, see, &s), 0);
        CHECK_EQ(s.count, 500);
        furnish_names(1000);
        names_are(1000);
        end();
    }
}

static void who_only_reads_finds(void)
{
    struct seen s;
    any_heap h;
    char name[32];
    alps_options o = options(0, 0);
    o.flags = ALPS_READ_ONLY;
    begin(4u << 20, 1u << 18);
    furnish_names(300);
    CHECK_EQ(any_open(&h, place(), &o), 0);
    for (unsigned i = 0; i < 400; i++) {
        put(name, i);
        const unsigned *p = (const unsigned *)any_find(&h, name, NULL);
        CHECK(i < 300 ? p && *p == i : !p && any_error(&h) == ALPS_ENOENT);
    }
    memset(&s, 0, sizeof s);
    CHECK_EQ(any_each_name(&h, see, &s), 0);
    CHECK_EQ(s.count, 300);
    alps_statistics now;
    CHECK_EQ(any_stats(&h, &now), 0);
    CHECK_EQ(now.names, 300);
    CHECK_EQ(any_check(&h, NULL), 0);
    CHECK(!any_construct(&h, "new", 1) && any_error(&h) == ALPS_EREADONLY);
    CHECK(!any_find_or_construct(&h, "new", 1));
    CHECK_EQ(any_destroy(&h, "the 1"), ALPS_EREADONLY);
    CHECK_EQ(any_redescribe(&h, any_find(&h, "the 1", NULL), "x", 1),
             ALPS_EREADONLY);
    CHECK_EQ(any_close(&h), 0);
    end();
}

/* Filled to the last granule, twice, and emptied, also by a visitor. */
static void a_full_region_loses_nothing(void)
{
    char name[32];
    unsigned n[2];
    begin(1u << 20, 1u << 16);
    for (unsigned round = 0; round < 2; round++) {
        unsigned i = 0;
        for (size_t size = 2000; size; size = size > 100 ? 100 : size / 100)
            for (;; i++) {
                put(name, i);
                if (!any_construct(&heap, name, size))
                    break;
            }
        CHECK_EQ(any_error(&heap), ALPS_EFULL);
        while (any_alloc(&heap, 16) || any_alloc(&heap, 64))
            continue;
        n[round] = i;
        names_are(i);
        void *p = any_find(&heap, "the 0", NULL);
        CHECK(p != NULL);
        int err = any_redescribe(&heap, p, name, 30);
        CHECK_EQ(err, ALPS_EFULL);
        for (unsigned k = 0; k < i; k++) {
            put(name, k);
            CHECK(any_find(&heap, name, NULL) != NULL);
            CHECK_EQ(any_destroy(&heap, name), 0);
        }
        names_are(0);
        CHECK_EQ(any_trim(&heap), 0);
    }
    CHECK(n[1] > 200);
    end();
}

static void *works_without_a_lane(void *unused)
{
    (void)unused;
    CHECK_EQ(any_enter(&heap), ALPS_EBUSY);
    void *p = any_construct(&heap, "without", 10);
    CHECK(p != NULL && any_find(&heap, "without", NULL) == p);
    CHECK_EQ(any_redescribe(&heap, p, "a", 1), 0);
    CHECK_EQ(any_redescribe(&heap, p, "b", 1), 0);
    CHECK_EQ(any_destroy(&heap, "without"), 0);
    CHECK_EQ(any_destroy(&heap, "within"), 0);
    struct seen s;
    CHECK_EQ(any_each_name(&heap, see, &s), ALPS_EBUSY);
    return NULL;
}

static void a_thread_without_a_lane_has_names_too(void)
{
    alps_options o = options(4u << 20, 1u << 18);
    o.lanes = 2; // one for a thread, one for all others
    begin_with(o);
    CHECK(any_construct(&heap, "within", 10) != NULL);
    on_a_thread(works_without_a_lane);
    names_are(0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK_EQ(stats().retired, 0);
    end();
}

static int child_names(void)
{
    check_bad_ = 0;
    CHECK(any_find(&heap, "the 1", NULL) != NULL);
    if (is_anon()) {
        CHECK(any_construct(&heap, "of the child", 10) != NULL);
        CHECK_EQ(any_destroy(&heap, "the 2"), 0);
        names_are(10);
    } else {
        NONE(any_construct(&heap, "of the child", 10), ALPS_EFORK);
        CHECK_EQ(any_destroy(&heap, "the 2"), ALPS_EFORK);
    }
    return check_bad_ != 0;
}

static void the_child_of_a_fork_finds(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    begin(4u << 20, 1u << 18);
    furnish_names(10);
    CHECK_EQ(end_of(start_child(child_names)), 0);
    names_are(10);
    end();
}

/* ---- damage */

static int any_one(void *context, const char *name, size_t length, void *p,
                   size_t n)
{
    (void)name;
    (void)length;
    (void)p;
    (void)n;
    return ++*(unsigned *)context > 1000;
}

/* Uses names in every way; answers whether alps_check sees that they are
 * damaged. */
static int use_names(void)
{
    char name[32];
    unsigned n = 0;
    int bad = any_check(&heap, NULL) != 0;
    for (unsigned i = 0; i < 20; i++) {
        put(name, i);
        const void *p = any_find(&heap, name, NULL);
        CHECK(p || any_error(&heap) == ALPS_ECORRUPT ||
              any_error(&heap) == ALPS_ENOENT);
        alps_naming is;
        if (p)
            any_named(&heap, p, &is);
    }
    int err = any_each_name(&heap, any_one, &n);
    CHECK(err == 0 || err == ALPS_ECORRUPT);
    any_stats(&heap, &(alps_statistics){0});
    for (unsigned i = 18; i < 24; i++) {
        put(name, i);
        void *p = any_find_or_construct(&heap, name, 4);
        if (p)
            any_redescribe(&heap, p, name, 6);
        any_destroy(&heap, name);
    }
    return bad;
}

static void damage_is_told_and_harms_nobody(void)
{
#ifdef CHECK_EMULATED
    SKIP("the emulator itself dies of it");
    return;
#endif
    static unsigned char before[1u << 18];
    begin(1u << 18, 1u << 14);
    furnish_names(20);
    void *p = any_find(&heap, "the 3", NULL);
    CHECK_EQ(any_redescribe(&heap, p, "the third", 9), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(open_too(&heap), 0);
    size_t n = sizeof before;
    unsigned char *bytes = heap.core.map.base;
    memcpy(before, bytes, n);
    uint64_t names = heap.core.super->names, target[22] = {names};
    for (unsigned i = 1; i < 21; i++) {
        char name[32];
        put(name, i - 1);
        target[i] = any_off_of(&heap, any_find(&heap, name, NULL)) - 96;
    }
    target[21] = ((alps_entry *)alps_named_entry_(&heap.core, p))->text;
    unsigned seen = 0, all = 0;
    for (unsigned round = 0; round < 3000 / SLOW; round++) {
        uint64_t at = round < 8     ? 384 + round
                      : round < 456 ? names + round - 8
                                    : target[throw_of(22)] + throw_of(104);
        uint64_t value = throw_of(3) ? throw_of(256) : before[at] ^ 1u << 4;
        if (round > 1800 / SLOW) { // a link that leads elsewhere
            at = at / 8 * 8;
            value = throw_of(3)   ? target[throw_of(22)] + throw_of(9) * 16
                    : throw_of(2) ? throw_of(1u << 18)
                                  : throw_of(1u << 18) / 16 * 16;
            memcpy(bytes + at, &value, 8);
        } else {
            bytes[at] = (unsigned char)value;
        }
        if (memcmp(bytes, before, n)) {
            all++;
            seen += (unsigned)use_names();
        }
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(put_bytes(the_path, before, n), 0);
        CHECK_EQ(open_too(&heap), 0);
        bytes = heap.core.map.base;
        memcpy(before, bytes, n);
    }
    CHECK(seen > all / 4);
    names_are(20);
    end();
}

/* ---- threads */

enum { CROWD = 4, ALIKE = 3000 };
static void *made[CROWD][ALIKE];
static unsigned rounds_of_crowd;

/* All make the same objects; each counts in them, once. */
static void *makes_alike(void *which)
{
    char name[32];
    void **mine = made[(uintptr_t)which];
    for (unsigned i = 0; i < ALIKE; i++) {
        put(name, i);
        uint64_t *p = (uint64_t *)any_find_or_construct(&heap, name, 8);
        if (!p)
            return made;
        __atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
        mine[i] = p;
    }
    return NULL;
}

static void together(void *(*body)(void *), uintptr_t n)
{
    pthread_t thread[CROWD];
    for (uintptr_t i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, body, (void *)i), 0);
    for (uintptr_t i = 0; i < n; i++) {
        void *bad = NULL;
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK(bad == NULL);
    }
}

static void of_all_who_construct_one_does(void)
{
    begin(16u << 20, 1u << 18);
    together(makes_alike, CROWD);
    for (unsigned i = 0; i < ALIKE; i++) {
        for (unsigned k = 1; k < CROWD; k++)
            CHECK(made[k][i] == made[0][i]);
        CHECK_EQ(*(uint64_t *)made[0][i], CROWD);
    }
    names_are(ALIKE);
    end();
}

/* The names below 64 stay; each finds them while it makes and destroys others,
 * and reads what others made while it is inside. */
static void *comes_and_goes(void *which)
{
    char name[32];
    unsigned x = (unsigned)(uintptr_t)which + 1;
    for (unsigned i = 0; i < rounds_of_crowd; i++) {
        x = x * 1664525u + 1013904223u;
        unsigned k = 64 + (x >> 8) % 300;
        put(name, k);
        if (x >> 28 & 1)
            any_construct(&heap, name, 8 + k * 5);
        else
            any_destroy(&heap, name);
        put(name, k % 64);
        const unsigned *p = (const unsigned *)any_find(&heap, name, NULL);
        if (!p || *p != k % 64 || any_enter(&heap))
            return made;
        put(name, 64 + (x >> 4) % 300);
        const unsigned char *q =
            (const unsigned char *)any_find(&heap, name, NULL);
        if (q && (q[0] || q[7]))
            return made;
        any_leave(&heap);
    }
    return NULL;
}

static void who_reads_needs_no_lock(void)
{
    begin(16u << 20, 1u << 18);
    furnish_names(64);
    rounds_of_crowd = 20000 / SLOW;
    together(comes_and_goes, CROWD);
    CHECK(sound(&heap));
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(stats().retired, 0);
    CHECK_EQ(stats().reserved, 0);
    end();
}

/* ---- processes */

static int child_makes_alike(void)
{
    any_heap mine;
    char name[32];
    if (open_too(&mine))
        return 2;
    for (unsigned i = 0; i < ALIKE; i++) {
        put(name, i);
        uint64_t *p = (uint64_t *)any_find_or_construct(&mine, name, 8);
        if (!p)
            return 3;
        __atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
    }
    return any_close(&mine) != 0;
}

static void of_all_processes_one_does(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    pid_t pid[3];
    char name[32];
    begin(16u << 20, 1u << 18);
    for (unsigned i = 0; i < 3; i++)
        pid[i] = start_child(child_makes_alike);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    for (unsigned i = 0; i < ALIKE; i++) {
        put(name, i);
        const uint64_t *p = (const uint64_t *)any_find(&heap, name, NULL);
        CHECK(p && *p == 3);
    }
    names_are(ALIKE);
    end();
}

/* What the child is at when it dies: of the sizes, of names that are there, of
 * such that are not, in a list that has just begun or has to grow. */
enum { MAKES, DESTROYS, DESCRIBES, DEATHS };
static unsigned death, size_at_death;
static unsigned long dies_at;

static int child_dies(void)
{
    any_heap mine;
    if (open_too(&mine))
        return 2;
    void *warm = any_alloc(&mine, 40); // it has its lane
    int err = !warm || any_free(&mine, warm);
    void *p = any_find(&mine, "there", NULL);
    kill_at = dies_at;
    switch (death) {
    case MAKES: err |= !any_construct(&mine, "new", size_at_death); break;
    case DESTROYS: err |= any_destroy(&mine, "there"); break;
    default: err |= any_redescribe(&mine, p, "of the child", 12); break;
    }
    kill_at = 0;
    return any_close(&mine) || err;
}

/* It has happened or has not. Who goes on finds the one or the other, and all
 * else as it was. */
static int look_after(unsigned others)
{
    char name[32];
    alps_naming is;
    size_t n = 0;
    CHECK(any_construct(&heap, "after", 100) != NULL); // takes the lock over
    CHECK_EQ(any_destroy(&heap, "after"), 0);
    CHECK_EQ(any_reap(&heap), 0);
    for (unsigned i = 0; i < others; i++) {
        put(name, i);
        const unsigned *p = (const unsigned *)any_find(&heap, name, NULL);
        CHECK(p && *p == i);
    }
    const char *made_or_not = death == MAKES ? "new" : "there";
    void *p = any_find(&heap, made_or_not, &n);
    CHECK(p || any_error(&heap) == ALPS_ENOENT);
    CHECK(p || death != DESCRIBES);
    names_are(others + (p != NULL) + (death == MAKES));
    if (p) {
        CHECK(is_zero(p, n));
        CHECK_EQ(n, size_at_death);
        CHECK_EQ(any_named(&heap, p, &is), 0);
    }
    CHECK(sound(&heap));
    int happened = death == DESCRIBES ? !strcmp(is.text, "of the child")
                   : death == MAKES   ? p != NULL
                                      : p == NULL;
    if (death == DESCRIBES && !happened)
        CHECK(!strcmp(is.text, "of the parent"));
    any_destroy(&heap, "new");
    any_destroy(&heap, "there");
    return happened;
}

static void dies_at_each(unsigned others)
{
    unsigned happened = 0;
    begin(4u << 20, 1u << 18);
    furnish_names(others);
    for (dies_at = 1;; dies_at++) {
        void *p = any_construct(&heap, "there", size_at_death);
        CHECK(p != NULL);
        CHECK_EQ(any_redescribe(&heap, p, "of the parent", 13), 0);
        int how = end_of(start_child(child_dies));
        CHECK(how == 0 || how == 1000 + SIGKILL);
        happened += (unsigned)look_after(others);
        if (!how || how != 1000 + SIGKILL)
            break;
    }
    CHECK(happened >= 1);
    CHECK(dies_at > (world->policy->durable ? 6 : 1));
    for (unsigned i = 0; i < others; i++) {
        char name[32];
        put(name, i);
        CHECK_EQ(any_destroy(&heap, name), 0);
    }
    CHECK_EQ(any_trim(&heap), 0);
    CHECK_EQ(stats().reserved, 0);
    CHECK_EQ(stats().retired, 0);
    end();
}

static void who_is_killed_has_made_it_or_not(void)
{
#ifdef CHECK_EMULATED
    SKIP(NO_WIPE);
    return;
#endif
    static const unsigned size[] = {40, 3000, 200000};
    for (death = 0; death < DEATHS; death++)
        for (unsigned i = 0; i < 3; i++) {
            size_at_death = size[i];
            dies_at_each(i % 2 ? 40 : 3);
        }
}

/* ---- what it costs */

static unsigned cost(int ok)
{
    unsigned n = fences;
    CHECK(ok);
    fences = 0;
    return n;
}

static void a_name_costs_two_fences(void)
{
    char name[32];
    unsigned two = world->policy->durable ? 2 : 0, more = 0, n = 3000;
    begin(16u << 20, 1u << 18);
    furnish_names(n);
    fences = 0;
    for (unsigned i = 0; i < n; i++) {
        put(name, i);
        CHECK_EQ(cost(any_find(&heap, name, NULL) != NULL), 0);
        unsigned now = cost(any_destroy(&heap, name) == 0);
        CHECK(now >= two && now <= two + two);
        more += now > two;
    }
    CHECK(more <= n / 50); // a slab that is empty goes back
    more = 0;
    for (unsigned i = 0; i < n; i++) {
        put(name, i);
        unsigned now = cost(any_construct(&heap, name, 4) != NULL);
        CHECK(now >= two && now <= 6 * two);
        more += now > two;
    }
    // Buckets, of which each is begun once, and most with others that follow:
    // how many there are depends on the hashes, which differ from region to
    // region.
    const alps_names *names =
        (const alps_names *)alps_address_(&heap.core, heap.core.super->names);
    uint64_t buckets = 1ull << alps_node_shift_(names);
    CHECK(buckets < 4 * n && more <= 2 * buckets / ALPS_NODE_BATCH);
    CHECK_EQ(cost(any_find_or_construct(&heap, "the 7", 4) != NULL), 0);
    end();
}

int main(void)
{
    if (board_begin())
        return 2;
    RUN_EVERYWHERE(what_is_constructed_is_found);
    RUN_EVERYWHERE(any_bytes_are_a_name);
    RUN_EVERYWHERE(a_name_has_up_to_64_kib);
    RUN_EVERYWHERE(type_and_length_are_checked);
    RUN_EVERYWHERE(one_object_of_a_type_needs_no_name);
    RUN_EVERYWHERE(a_description_is_kept_and_changed);
    RUN_EVERYWHERE(what_has_no_name_is_none);
    choose(&alps_backend_anon_, &alps_policy_none_);
    world = &worlds[3];
    RUN(of_many_each_is_found_at_once);
    RUN_EVERYWHERE(all_are_visited_and_may_be_destroyed);
    RUN_WHERE_BYTES_STAY(names_outlive_the_handle);
    RUN_WHERE_BYTES_STAY(who_only_reads_finds);
    RUN_EVERYWHERE(a_full_region_loses_nothing);
    RUN_EVERYWHERE(a_thread_without_a_lane_has_names_too);
    RUN_EVERYWHERE(the_child_of_a_fork_finds);
    world = &worlds[1];
    choose(&alps_backend_file_, &alps_policy_none_);
    RUN(damage_is_told_and_harms_nobody);
    RUN_EVERYWHERE(of_all_who_construct_one_does);
    RUN_EVERYWHERE(who_reads_needs_no_lock);
    RUN_WHERE_BYTES_STAY(of_all_processes_one_does);
    RUN_WHERE_BYTES_STAY(who_is_killed_has_made_it_or_not);
    RUN_EVERYWHERE(a_name_costs_two_fences);
    return check_end("name");
}
