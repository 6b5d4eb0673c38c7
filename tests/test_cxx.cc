/* test_cxx.cc -- what C++ adds
 *
 * The fancy pointer has what the standard asks of one; the allocator finds its
 * region from wherever it lies; objects with constructors are found whole, and
 * are destroyed when their name is gone; a region closes itself. */
#define ANY_APART
#include "worlds.h"
#include <algorithm>
#include <memory>
#include <scoped_allocator>
#include <stdexcept>
#include <string>
#include <vector>

using alps::ptr;

struct base {
    int one;
};
struct other_base {
    int two;
};
struct derived : base, other_base {
    int three;
};

/* ---- the pointer */

typedef std::pointer_traits<ptr<int>> traits;
static_assert(std::is_same<traits::element_type, int>::value, "");
static_assert(std::is_same<traits::difference_type, std::ptrdiff_t>::value, "");
static_assert(std::is_same<traits::rebind<char>, ptr<char>>::value, "");
static_assert(
    std::is_same<std::pointer_traits<ptr<void>>::rebind<int>, ptr<int>>::value,
    "");
static_assert(
    std::is_same<std::iterator_traits<ptr<const int>>::value_type, int>::value,
    "");
static_assert(
    std::is_same<std::iterator_traits<ptr<int>>::reference, int &>::value, "");
static_assert(
    std::is_base_of<std::random_access_iterator_tag,
                    std::iterator_traits<ptr<int>>::iterator_category>::value,
    "");
static_assert(std::is_convertible<ptr<int>, ptr<const int>>::value, "");
static_assert(!std::is_convertible<ptr<const int>, ptr<int>>::value, "");
static_assert(std::is_convertible<ptr<derived>, ptr<base>>::value, "");
static_assert(!std::is_convertible<ptr<base>, ptr<derived>>::value, "");
static_assert(std::is_constructible<ptr<derived>, ptr<base>>::value, "");
static_assert(!std::is_constructible<ptr<int>, ptr<char>>::value, "");
static_assert(std::is_convertible<ptr<int>, ptr<void>>::value, "");
static_assert(!std::is_convertible<ptr<void>, ptr<int>>::value, "");
static_assert(std::is_constructible<ptr<int>, ptr<void>>::value, "");
static_assert(std::is_nothrow_copy_constructible<ptr<int>>::value, "");
static_assert(!std::is_trivially_copyable<ptr<int>>::value, "");
static_assert(!std::is_convertible<ptr<int>, bool>::value, "");
static_assert(std::is_standard_layout<ptr<int>>::value, "");
static_assert(sizeof(ptr<int>) == 8 && sizeof(ptr<void>) == 8, "");
#if __cplusplus >= 202002L
static_assert(std::contiguous_iterator<ptr<int>>);
#endif

static void it_is_null_or_an_address()
{
    int i = 5;
    ptr<int> none, null = nullptr, zeroed = ptr<int>(), p = &i;
    CHECK(!none && !null && !zeroed && p);
    CHECK(none == nullptr && nullptr == null && none == zeroed);
    CHECK(p != nullptr && nullptr != p && p != none);
    CHECK(p == &i && &i == p && *p == 5 && p.get() == &i);
    p = nullptr;
    CHECK(!p);
    int64_t bytes;
    CHECK_EQ(sizeof p, sizeof bytes);
    memcpy(&bytes, static_cast<const void *>(&p), sizeof bytes);
    CHECK_EQ(bytes, 0); // zeroed memory is null
}

static void a_copy_names_the_same()
{
    int i = 5, k = 6;
    ptr<int> on_stack = &i;
    std::unique_ptr<ptr<int>> far_away(new ptr<int>(on_stack));
    std::vector<ptr<int>> many(1, on_stack);
    for (unsigned n = 0; n < 100; n++) // they move
        many.push_back(many[n]);
    CHECK(*far_away == &i && many[0] == &i && many[100] == &i);
    ptr<int> other = &k;
    swap(other, *far_away);
    CHECK(*other == 5 && **far_away == 6);
    std::swap(other, on_stack);
    CHECK(other == &i && on_stack == &i);
    on_stack = *&on_stack;
    CHECK(on_stack == &i);
}

/* To itself, to each byte of itself and around it: none of them is null. */
static void every_distance_is_what_it_says()
{
    struct {
        char before[40];
        ptr<char> p;
        char after[40];
    } s;
    for (char *to = s.before; to < s.after + 40; to++) {
        s.p = to;
        CHECK(s.p && s.p.get() == to);
        ptr<void> copy = s.p;
        CHECK(copy == static_cast<void *>(to));
    }
    ptr<void> self;
    self = &self;
    CHECK(self && self.get() == &self);
    ptr<void> copy = self;
    CHECK(copy == self && copy.get() == &self);
    self = nullptr;
    CHECK(!self);
}

static void it_is_the_same_bytes_as_in_c()
{
    typedef ALPS_REL(int) int_rel;
    int i = 5;
    ptr<int> p = &i;
    int_rel *c = reinterpret_cast<int_rel *>(&p);
    CHECK(ALPS_REL_GET(*c) == &i);
    int k = 6;
    ALPS_REL_SET(*c, &k);
    CHECK(p == &k);
}

static void it_walks_as_an_iterator()
{
    int a[10] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    ptr<int> begin = a, end = a + 10, p = begin;
    CHECK_EQ(end - begin, 10);
    CHECK(*p++ == 9 && *p == 8 && *++p == 7 && *p-- == 7 && *--p == 9);
    CHECK((p += 4) == a + 4 && (p -= 1) == a + 3);
    CHECK(p + 2 == a + 5 && 2 + p == a + 5 && p - 2 == a + 1 && p[-1] == 7);
    CHECK(begin < end && begin <= end && end > begin && end >= begin);
    CHECK(!(begin < begin) && begin <= begin);
    std::sort(begin, end);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(begin[i], i);
    CHECK(std::lower_bound(begin, end, 6) == a + 6);
    CHECK(ptr<int>::pointer_to(a[3]) == a + 3);
    CHECK(ptr<int>(0) + 0 == nullptr); // as of T *
}

static void it_is_cast_as_an_address_is()
{
    derived d;
    d.one = 1;
    d.two = 2;
    d.three = 3;
    ptr<derived> p = &d;
    ptr<other_base> to_base = p; // the address changes
    CHECK(to_base == &d && to_base->two == 2);
    CHECK(static_cast<ptr<derived>>(to_base)->three == 3);
    ptr<void> v = p;
    CHECK(static_cast<ptr<derived>>(v)->one == 1);
    ptr<const base> fixed = p;
    CHECK(fixed->one == 1 && (*fixed).one == 1);
    ptr<derived> none;
    to_base = none;
    CHECK(!to_base && !static_cast<ptr<derived>>(to_base));
}

/* ---- the allocator */

typedef std::vector<int, alps::allocator<int>> ints;

/* Words that could be addresses in the region. */
static int count_addresses(void *context, void *p, size_t n)
{
    const uint64_t *word = static_cast<const uint64_t *>(p);
    for (size_t i = 0; i < n / 8; i++)
        *static_cast<unsigned *>(context) +=
            word[i] - reinterpret_cast<uint64_t>(heap.core.map.base) <
            heap.core.map.reserved;
    return 0;
}

static void a_container_lies_in_the_region()
{
    unsigned addresses = 0;
    begin(1u << 20, 16384);
    alps::allocator<int> a(&heap);
    void *p = any_alloc(&heap, sizeof(ints));
    ints *v = new (p) ints(a);
    for (int i = 0; i < 1000; i++)
        v->push_back(i);
    CHECK_EQ(sizeof *v, 32);
    CHECK(any_usable(&heap, v->data()) >= 4000);
    CHECK_EQ(any_each(&heap, count_addresses, &addresses), 0);
    CHECK_EQ(addresses, 0);
    long sum = 0;
    for (int i : *v)
        sum += i;
    CHECK_EQ(sum, 499500);
    v->~ints();
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(stats().blocks, 0);
    end();
}

static int in_another_process()
{
    any_region r;
    alps_options o = options(0, 0);
    o.flags = ALPS_STRICT;
    if (r.open(place(), &o) || r.heap()->core.map.base == heap.core.map.base)
        return 1;
    ints *v = r.find<ints>("ints");
    if (!v || v->size() != 1000)
        return 2;
    for (int i = 0; i < 1000; i++)
        if ((*v)[static_cast<size_t>(i)] != i)
            return 3;
    for (int i = 1000; i < 3000; i++)
        v->push_back(i); // by the allocator that lies there
    return r.close() ? 4 : 0;
}

static void another_process_has_it_elsewhere()
{
    any_region r;
    alps_options o = options(0, 0);
    begin(1u << 20, 16384);
    CHECK_EQ(r.open(place(), &o), 0);
    ints *v = r.construct<ints>("ints")(r.get_allocator<int>());
    CHECK(v != NULL);
    for (int i = 0; v && i < 1000; i++)
        v->push_back(i);
    CHECK_EQ(end_of(start_child(in_another_process)), 0);
    CHECK_EQ(v->size(), 3000);
    for (int i = 0; i < 3000; i++)
        CHECK_EQ((*v)[static_cast<size_t>(i)], i);
    CHECK_EQ(r.destroy<ints>("ints"), 0);
    CHECK_EQ(r.close(), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK(sound(&heap));
    end();
}

static void two_are_equal_where_their_region_is()
{
    any_heap too;
    begin(1u << 20, 16384);
    CHECK_EQ(open_too(&too), 0);
    alps::allocator<int> a(&heap), b(&too);
    alps::allocator<char> c(a);
    CHECK(a == c && !(a != c) && a != b && !(b == c));
    CHECK(a == alps::allocator<int>(&heap));
    b = a;
    CHECK(a == b);
    CHECK_EQ(sizeof a, 8);
    CHECK_EQ(any_close(&too), 0);
    end();
}

struct alignas(256) wide {
    char bytes[256];
};

static void what_it_gives_is_aligned()
{
    begin(1u << 20, 16384);
    alps::allocator<wide> a(&heap);
    alps::allocator<char> c(&heap);
    for (size_t n = 1; n < 20; n++) {
        ptr<wide> p = a.allocate(n);
        CHECK_EQ(reinterpret_cast<uintptr_t>(p.get()) % 256, 0);
        a.deallocate(p, n);
        ptr<char> q = c.allocate(n);
        CHECK_EQ(reinterpret_cast<uintptr_t>(q.get()) % 16, 0);
        c.deallocate(q, n);
    }
    CHECK_EQ(stats().blocks, 0);
    end();
}

/* What `f` throws: 1, std::bad_alloc. */
template <class F>
static int bad_alloc_of(F f)
{
    try {
        f();
    } catch (const std::bad_alloc &) {
        return 1;
    }
    return 0;
}

static void what_is_not_there_is_bad_alloc()
{
    begin(1u << 20, 16384);
    alps::allocator<int> a(&heap);
    ints v(a);
    CHECK(bad_alloc_of([&] { v.resize(1u << 20); }));
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    CHECK(bad_alloc_of([&] { (void)a.allocate(a.max_size()); }));
    CHECK(bad_alloc_of([&] { (void)a.allocate(~static_cast<size_t>(0)); }));
    v.push_back(1);
    CHECK_EQ(v[0], 1);
    v.clear();
    v.shrink_to_fit();
    CHECK_EQ(stats().blocks, 0);
    end();
}

static int doorless_map(alps_map *m, uint64_t size, uint64_t reserve,
                        uint64_t align)
{
    int err = world->backend->map(m, size, reserve, align);
    m->door = 0; // as a backend that does not know of it
    return err;
}

static void a_backend_without_a_door_is_refused()
{
    any_region r;
    alps_options o = options(1u << 20, 16384);
    medium.map = doorless_map;
    begin_with(o);
    alps::allocator<int> a(&heap);
    CHECK(bad_alloc_of([&] { (void)a.allocate(1); }));
    if (!is_anon()) {
        o.flags = 0;
        CHECK_EQ(r.open(place(), &o), ALPS_EUNSUPPORTED);
    }
    CHECK(!r);
    end();
    choose(world->backend, world->policy);
}

static void the_page_in_front_is_kept_free()
{
    begin(1u << 20, 16384);
    uint64_t page = alps_system_page_();
    unsigned char *base = heap.core.map.base;
    CHECK_EQ(heap.core.map.door, 1);
    CHECK(mmap(base - page, page, PROT_READ,
               MAP_PRIVATE | MAP_ANONYMOUS | 0x100000 /* no replacing */, -1,
               0) == MAP_FAILED);
    ints v{alps::allocator<int>(&heap)};
    v.push_back(1);
    CHECK(reinterpret_cast<alps::door_ *>(base)[-1].handle == &heap.core);
    v.clear();
    v.shrink_to_fit();
    end();
    CHECK_EQ(msync(base - page, page, MS_ASYNC), -1); // it is gone as well
}

typedef std::vector<ints, std::scoped_allocator_adaptor<alps::allocator<ints>>>
    tables;

static void containers_are_in_containers()
{
    unsigned addresses = 0;
    begin(4u << 20, 1u << 18);
    {
        tables t{alps::allocator<ints>(&heap)};
        for (int i = 0; i < 50; i++) {
            t.emplace_back();
            for (int k = 0; k < i; k++)
                t.back().push_back(k);
        }
        CHECK_EQ(any_each(&heap, count_addresses, &addresses), 0);
        CHECK_EQ(addresses, 0);
        CHECK_EQ(t[49].size(), 49);
        CHECK(t[49].get_allocator() == alps::allocator<int>(&heap));
    }
    CHECK_EQ(stats().blocks, 0);
    end();
}

/* ---- objects by name */

static int living, limit_of_living;

struct thing {
    int a, b;
    alps::ptr<thing> self;
    thing(int x, int y) : a(x), b(y), self(this)
    {
        if (limit_of_living && living >= limit_of_living)
            throw std::runtime_error("too many");
        living++;
    }
    thing(const thing &) = delete;
    ~thing()
    {
        living--;
    }
};

static void with_region(void (*body)(any_region &))
{
    {
        any_region r;
        alps_options o = options(1u << 20, 16384);
        snprintf(the_name, sizeof the_name, "%s", shm_name("cxx"));
        snprintf(the_path, sizeof the_path, "%s", shm_path("cxx"));
        o.flags = ALPS_CREATE;
        CHECK_EQ(r.open(place(), &o), 0);
        CHECK(!!r);
        living = limit_of_living = 0;
        body(r);
        CHECK_EQ(any_check(r.heap(), NULL), 0);
    } // closes it
    if (!is_anon())
        CHECK_EQ(any_remove(place()), 0);
}

static void found(any_region &r)
{
    thing *t = r.construct<thing>("t")(1, 2);
    CHECK(t && t->a == 1 && t->b == 2 && t->self == t && living == 1);
    size_t n = 0;
    CHECK(r.find<thing>("t", &n) == t && n == 1);
    CHECK(r.construct<thing>("t")(3, 4) == NULL);
    CHECK_EQ(r.error(), ALPS_EEXIST);
    CHECK(r.find_or_construct<thing>("t")(3, 4) == t && t->a == 1);
    CHECK(r.find<thing>("u") == NULL);
    CHECK_EQ(r.error(), ALPS_ENOENT);
    CHECK(r.find<int>("t") == NULL);
    CHECK_EQ(r.error(), ALPS_ETYPE);
    CHECK_EQ(r.destroy<int>("t"), ALPS_ETYPE);
    CHECK_EQ(living, 1);
    CHECK_EQ(r.destroy<thing>("t"), 0);
    CHECK_EQ(living, 0);
    CHECK_EQ(r.destroy<thing>("t"), ALPS_ENOENT);
    std::string name("a name\0of any bytes", 19);
    int *i = r.construct<int>(name)(6);
    CHECK(i && *i == 6 && r.find<int>(name) == i);
    CHECK(r.find<int>(alps::name(name.data(), 6)) == NULL);
    CHECK_EQ(r.destroy<int>(name), 0);
}
static void what_is_constructed_is_found_and_destroyed()
{
    with_region(found);
}

static void several(any_region &r)
{
    thing *t = r.construct<thing>("t")[5](1, 2);
    size_t n = 0;
    CHECK_EQ(living, 5);
    CHECK(r.find<thing>("t", &n) == t && n == 5);
    for (int i = 0; t && i < 5; i++)
        CHECK(t[i].a == 1 && t[i].self == t + i);
    CHECK(r.find_or_construct<thing>("t")[6](1, 2) == NULL);
    CHECK_EQ(r.error(), ALPS_ETYPE);
    CHECK(r.find_or_construct<thing>("t")[4](1, 2) == t);
    CHECK_EQ(r.destroy<thing>("t"), 0);
    CHECK_EQ(living, 0);
    CHECK(r.construct<int>(alps::unique)(8) != NULL);
    CHECK(r.find<int>(alps::unique) && *r.find<int>(alps::unique) == 8);
    CHECK(r.find<long>(alps::unique) == NULL);
    CHECK_EQ(r.destroy<int>(alps::unique), 0);
}
static void several_are_one_object()
{
    with_region(several);
}

static void thrown(any_region &r)
{
    CHECK(r.construct<int>("first")() != NULL); // makes the table
    alps_statistics before, after;
    CHECK_EQ(any_stats(r.heap(), &before), 0);
    limit_of_living = 3;
    int caught = 0;
    try {
        r.construct<thing>("t")[5](1, 2);
    } catch (const std::runtime_error &e) {
        caught = !strcmp(e.what(), "too many");
    }
    CHECK(caught);
    CHECK_EQ(living, 0); // those that were begun have ended
    CHECK(r.find<thing>("t") == NULL);
    CHECK_EQ(any_stats(r.heap(), &after), 0);
    CHECK_EQ(after.blocks, before.blocks);
    CHECK(r.construct<thing>("t")[3](1, 2) != NULL);
    CHECK_EQ(r.destroy<thing>("t"), 0);
}
static void who_throws_leaves_nothing()
{
    with_region(thrown);
}

struct point {
    double x, y;
};
ALPS_TAG(struct point)

static void tagged(any_region &r)
{
    point *p = static_cast<point *>(
        any_construct_as(r.heap(), ALPS_NAMING(struct point, "p", 1)));
    CHECK(p && r.find<point>("p") == p);
    CHECK(r.construct<point>("q")() != NULL);
    CHECK(any_find_as(r.heap(), ALPS_NAMING(struct point, "q", 1), NULL) ==
          r.find<point>("q"));
    CHECK(alps::tag<int>::of() != alps::tag<long>::of());
    CHECK_EQ(alps::tag<int>::of(), alps_hash_tag_("i")); // of all compilers
}
static void a_tag_makes_it_the_type_of_c()
{
    with_region(tagged);
}

static void a_region_closes_itself_and_opens_anew()
{
    alps_options o = options(1u << 20, 16384);
    snprintf(the_name, sizeof the_name, "%s", shm_name("cxx"));
    snprintf(the_path, sizeof the_path, "%s", shm_path("cxx"));
    o.flags = ALPS_CREATE;
    {
        any_region r;
        CHECK(!r);
        CHECK_EQ(r.close(), ALPS_EINVAL);
        if (!is_anon())
            CHECK(r.open("/nowhere/at/all", NULL) < 0);
        CHECK(!r);
        CHECK_EQ(r.open(place(), &o), 0);
        CHECK_EQ(r.open(place(), &o), ALPS_EBUSY);
        CHECK(r.construct<int>("i")(5) != NULL);
        CHECK_EQ(r.sync(), 0);
        if (!is_anon())
            CHECK_EQ(any_remove(place()), ALPS_EBUSY);
    }
    any_region r;
    CHECK_EQ(r.open(place(), &o), 0);
    if (!is_anon())
        CHECK(r.find<int>("i") && *r.find<int>("i") == 5);
    CHECK_EQ(r.close(), 0);
    CHECK(!r);
    CHECK_EQ(r.open(place(), &o), 0);
    CHECK_EQ(r.discard(), 0);
    if (!is_anon())
        CHECK_EQ(any_remove(place()), 0);
}

static void under_checkpoint_it_is_as_of_the_last_sync()
{
    choose(&alps_backend_file_, &alps_policy_checkpoint_);
    alps_options o = options(1u << 20, 16384);
    o.flags = ALPS_CREATE;
    const char *path = file_path("cxx");
    any_region r;
    CHECK_EQ(r.open(path, &o), 0);
    ints *v = r.construct<ints>("ints")(r.get_allocator<int>());
    CHECK(v != NULL);
    v->assign(1000, 7);
    CHECK_EQ(r.sync(), 0);
    v->assign(5000, 8);
    CHECK_EQ(r.discard(), 0);
    CHECK_EQ(r.open(path, &o), 0);
    v = r.find<ints>("ints");
    CHECK(v && v->size() == 1000 && v->front() == 7 && v->back() == 7);
    CHECK_EQ(r.close(), 0);
    CHECK_EQ(any_remove(path), 0);
}

int main()
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN(it_is_null_or_an_address);
    RUN(a_copy_names_the_same);
    RUN(every_distance_is_what_it_says);
    RUN(it_is_the_same_bytes_as_in_c);
    RUN(it_walks_as_an_iterator);
    RUN(it_is_cast_as_an_address_is);
    RUN_EVERYWHERE(a_container_lies_in_the_region);
    RUN_WHERE_BYTES_STAY(another_process_has_it_elsewhere);
    RUN_WHERE_BYTES_STAY(two_are_equal_where_their_region_is);
    RUN_EVERYWHERE(what_it_gives_is_aligned);
    RUN_EVERYWHERE(what_is_not_there_is_bad_alloc);
    RUN_EVERYWHERE(a_backend_without_a_door_is_refused);
    RUN_EVERYWHERE(the_page_in_front_is_kept_free);
    RUN_EVERYWHERE(containers_are_in_containers);
    RUN_EVERYWHERE(what_is_constructed_is_found_and_destroyed);
    RUN_EVERYWHERE(several_are_one_object);
    RUN_EVERYWHERE(who_throws_leaves_nothing);
    RUN_EVERYWHERE(a_tag_makes_it_the_type_of_c);
    RUN_EVERYWHERE(a_region_closes_itself_and_opens_anew);
    RUN(under_checkpoint_it_is_as_of_the_last_sync);
    return check_end("cxx");
}
