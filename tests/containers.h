/* containers.h -- a container that lies in a region
 *
 * It is filled by the process that made it, read and filled by another one that
 * has the region at another address, and destroyed by the first, which then has
 * all its memory back. Meanwhile no word of the region is an address. */
#pragma once
#define ANY_APART
#include "model.h"

/* Puts the i-th element into a container, and tells whether element `n` is
 * there: what a test specialises for its container. */
template <class C>
struct filling;

static any_heap heap; // the region once more, to look at it

static alps_options container_options(unsigned flags)
{
    alps_options o = small(4u << 20, 1u << 18);
    o.lanes = 16;
    o.flags = flags;
    return o;
}

/* Words of live objects that could be addresses in one of two mappings. */
struct addresses {
    const alps_handle *h[2];
    unsigned n;
};

static inline int count_addresses(void *context, void *p, size_t n)
{
    addresses *a = static_cast<addresses *>(context);
    const uint64_t *word = static_cast<const uint64_t *>(p);
    for (size_t i = 0; i < n / 8; i++)
        for (const alps_handle *h : a->h)
            a->n += word[i] - reinterpret_cast<uint64_t>(h->map.base) <
                    h->map.reserved;
    return 0;
}

static const char *the_path;

enum { ELEMENTS = 500 };

template <class C>
static int all_there(const C &c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!filling<C>::has(c, i))
            return 0;
    return filling<C>::count(c) == n;
}

template <class C>
static int other_process()
{
    any_region r;
    alps_options o = container_options(0);
    if (r.open(the_path, &o))
        return 1;
    if (r.heap()->core.map.base == heap.core.map.base)
        return 2;
    C *c = r.template find<C>("container");
    if (!c || !all_there(*c, ELEMENTS))
        return 3;
    for (unsigned i = ELEMENTS; i < 2 * ELEMENTS; i++)
        filling<C>::put(*c, i);
    return r.close() ? 4 : 0;
}

/* How many addresses the container has in its region. */
template <class C>
static unsigned addresses_of()
{
    addresses a = {{NULL, NULL}, 0};
    any_region r;
    alps_options o = container_options(ALPS_CREATE);
    choose(&alps_backend_shmem_, &alps_policy_none_);
    CHECK_EQ(r.open(shm_name("container"), &o), 0);
    {
        typename C::allocator_type alloc(r.get_allocator<int>());
        C *c = r.construct<C>("container")(alloc);
        CHECK(c != NULL);
        for (unsigned i = 0; c && i < ELEMENTS; i++)
            filling<C>::put(*c, i);
        a.h[0] = a.h[1] = &r.heap()->core;
        CHECK_EQ(any_each(r.heap(), count_addresses, &a), 0);
    }
    CHECK_EQ(r.destroy<C>("container"), 0);
    CHECK_EQ(any_check(r.heap(), NULL), 0);
    CHECK_EQ(r.close(), 0);
    CHECK_EQ(any_remove(shm_name("container")), 0);
    return a.n;
}

/* The container honours fancy pointers: in every process, at every address. */
template <class C>
static void is_kept()
{
    addresses a = {{NULL, NULL}, 0};
    any_region r;
    alps_options o = container_options(ALPS_CREATE);
    alps_statistics before, after;
    choose(&alps_backend_shmem_, &alps_policy_none_);
    the_path = shm_name("container");
    CHECK_EQ(any_open(&heap, the_path, &o), 0);
    CHECK_EQ(r.open(the_path, &o), 0);
    CHECK(r.construct<int>("first")(1) != NULL); // makes the table of names
    CHECK_EQ(any_stats(r.heap(), &before), 0);
    typename C::allocator_type alloc(r.get_allocator<int>());
    C *c = r.construct<C>("container")(alloc);
    CHECK(c != NULL);
    for (unsigned i = 0; c && i < ELEMENTS; i++)
        filling<C>::put(*c, i);
    CHECK(c && all_there(*c, ELEMENTS));
    CHECK_EQ(end_of(start_child(other_process<C>)), 0);
    CHECK(c && all_there(*c, 2 * ELEMENTS));
    a.h[0] = &r.heap()->core;
    a.h[1] = &heap.core;
    CHECK_EQ(any_each(&heap, count_addresses, &a), 0);
    CHECK_EQ(a.n, 0);
    CHECK_EQ(r.destroy<C>("container"), 0);
    CHECK_EQ(any_trim(r.heap()), 0);
    CHECK_EQ(any_stats(r.heap(), &after), 0);
    CHECK_EQ(after.blocks, before.blocks);
    CHECK_EQ(any_check(r.heap(), NULL), 0);
    CHECK_EQ(r.close(), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(the_path), 0);
}

/* ---- how the usual ones are filled */

template <class C>
struct as_sequence {
    static void put(C &c, unsigned i)
    {
        c.push_back(static_cast<typename C::value_type>(i));
    }
    static bool has(const C &c, unsigned i)
    {
        return *std::next(c.begin(), i) ==
               static_cast<typename C::value_type>(i);
    }
    static size_t count(const C &c)
    {
        return c.size();
    }
};

/* A const deque of libc++ 14 has an operator[], but cannot be walked. */
template <class C>
struct as_array : as_sequence<C> {
    static bool has(const C &c, unsigned i)
    {
        return c[i] == static_cast<int>(i);
    }
};

/* 1009 is prime: no key comes twice, and none in order. */
static inline int key_of(unsigned i)
{
    return static_cast<int>(i * 7919 % 1009 + i / 1009 * 1009);
}

template <class C>
struct as_set {
    static void put(C &c, unsigned i)
    {
        c.insert(key_of(i));
    }
    static bool has(const C &c, unsigned i)
    {
        return c.count(key_of(i)) == 1;
    }
    static size_t count(const C &c)
    {
        return c.size();
    }
};

template <class C>
struct as_map {
    static void put(C &c, unsigned i)
    {
        c.emplace(key_of(i), static_cast<int>(i));
    }
    static bool has(const C &c, unsigned i)
    {
        typename C::const_iterator found = c.find(key_of(i));
        return found != c.end() && found->second == static_cast<int>(i);
    }
    static size_t count(const C &c)
    {
        return c.size();
    }
};

/* Those that have only a front. */
template <class C>
struct as_stack {
    static void put(C &c, unsigned i)
    {
        c.push_front(static_cast<int>(i));
    }
    static bool has(const C &c, unsigned i)
    {
        return i == 0 ||
               *std::next(c.begin(), i) == *std::next(c.begin(), i - 1) - 1;
    }
    static size_t count(const C &c)
    {
        return static_cast<size_t>(std::distance(c.begin(), c.end()));
    }
};
