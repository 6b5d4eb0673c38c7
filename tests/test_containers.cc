/* test_containers.cc -- which containers of the standard library can be kept
 *
 * The table in docs/cxx.md, line by line: those that honour fancy pointers are
 * kept in a region; those that compile and store addresses do that, and are
 * told by it. What does not compile is in tests/reject/. The claims are of
 * libstdc++ 12 and libc++ 14. */
#include "containers.h"
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

template <class T>
using of = alps::allocator<T>;
typedef std::pair<const int, int> entry;

#define FILL(name, as, ...)         \
  typedef __VA_ARGS__ name;         \
  template <>                       \
  struct filling<name> : as<name> { \
  };

FILL(vector, as_array, std::vector<int, of<int>>)
FILL(deque, as_array, std::deque<int, of<int>>)

static void a_vector_is_kept()
{
    is_kept<vector>();
}
static void a_deque_is_kept()
{
    is_kept<deque>();
}

/* The adaptors are what the container in them is. */
typedef std::priority_queue<int, vector> heap_of_ints;
typedef std::queue<int, deque> queue_of_ints;
typedef std::stack<int, vector> stack_of_ints;

template <class A, class C>
struct adapted : A {
    typedef typename C::allocator_type allocator_type;
    explicit adapted(const allocator_type &a) : A(a)
    {
    }
    const C &inside() const
    {
        return this->c;
    }
};
template <class A, class C>
struct as_adapted {
    static void put(A &c, unsigned i)
    {
        c.push(static_cast<int>(i));
    }
    static bool has(const A &c, unsigned i)
    {
        for (size_t k = 0; k < c.size(); k++)
            if (c.inside()[k] == static_cast<int>(i))
                return true;
        return false;
    }
    static size_t count(const A &c)
    {
        return c.size();
    }
};
typedef adapted<heap_of_ints, vector> kept_heap;
typedef adapted<queue_of_ints, deque> kept_queue;
typedef adapted<stack_of_ints, vector> kept_stack;
template <>
struct filling<kept_heap> : as_adapted<kept_heap, vector> {
};
template <>
struct filling<kept_queue> : as_adapted<kept_queue, deque> {
};
template <>
struct filling<kept_stack> : as_adapted<kept_stack, vector> {
};

static void adaptors_of_such_are_kept()
{
    is_kept<kept_heap>();
    is_kept<kept_queue>();
    is_kept<kept_stack>();
}

FILL(bits, as_sequence, std::vector<bool, of<bool>>)
FILL(forward, as_stack, std::forward_list<int, of<int>>)
FILL(hash_set, as_set,
     std::unordered_set<int, std::hash<int>, std::equal_to<int>, of<int>>)
FILL(
    hash_map, as_map,
    std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, of<entry>>)
FILL(hash_multiset, as_set,
     std::unordered_multiset<int, std::hash<int>, std::equal_to<int>, of<int>>)
FILL(hash_multimap, as_map,
     std::unordered_multimap<int, int, std::hash<int>, std::equal_to<int>,
                             of<entry>>)

#ifdef _LIBCPP_VERSION
#  define LIBRARY "containers-libc++"
FILL(list, as_sequence, std::list<int, of<int>>)
FILL(set, as_set, std::set<int, std::less<int>, of<int>>)
FILL(map, as_map, std::map<int, int, std::less<int>, of<entry>>)
FILL(multiset, as_set, std::multiset<int, std::less<int>, of<int>>)
FILL(multimap, as_map, std::multimap<int, int, std::less<int>, of<entry>>)

static void lists_are_kept()
{
    is_kept<list>();
    is_kept<forward>();
}
static void trees_are_kept()
{
    is_kept<set>();
    is_kept<map>();
    is_kept<multiset>();
    is_kept<multimap>();
}
static void hash_tables_are_kept()
{
    is_kept<hash_set>();
    is_kept<hash_map>();
    is_kept<hash_multiset>();
    is_kept<hash_multimap>();
}
static void a_vector_of_bool_is_kept()
{
    is_kept<bits>();
}

int main()
{
    RUN(a_vector_is_kept);
    RUN(a_deque_is_kept);
    RUN(adaptors_of_such_are_kept);
    RUN(lists_are_kept);
    RUN(trees_are_kept);
    RUN(hash_tables_are_kept);
    RUN(a_vector_of_bool_is_kept);
    return check_end(LIBRARY);
}

#else
#  define LIBRARY "containers"

static void a_forward_list_stores_addresses()
{
    CHECK(addresses_of<forward>() > 0);
}
static void hash_tables_store_addresses()
{
    CHECK(addresses_of<hash_set>() > 0);
    CHECK(addresses_of<hash_map>() > 0);
    CHECK(addresses_of<hash_multiset>() > 0);
    CHECK(addresses_of<hash_multimap>() > 0);
}
static void a_vector_of_bool_stores_addresses()
{
    CHECK(addresses_of<bits>() > 0);
}

int main()
{
    RUN(a_vector_is_kept);
    RUN(a_deque_is_kept);
    RUN(adaptors_of_such_are_kept);
    RUN(a_forward_list_stores_addresses);
    RUN(hash_tables_store_addresses);
    RUN(a_vector_of_bool_stores_addresses);
    return check_end(LIBRARY);
}
#endif
