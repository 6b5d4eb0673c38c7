/* test_boost.cc -- the containers of Boost.Container in a region
 *
 * All of them honour fancy pointers: they are made for memory that is shared. */
#include "containers.h"
#include <algorithm>
#include <iterator>

#ifdef __has_include
#  if __has_include(<boost/container/vector.hpp>)
#    define HAVE_BOOST
#  endif
#endif

#ifndef HAVE_BOOST
static void they_are_kept()
{
    SKIP("there is no Boost");
    CHECK(sizeof(addresses) > 0 && key_of(0) == 0 && the_path == NULL);
    CHECK(count_addresses != NULL && container_options(0).size > 0);
}

int main()
{
    RUN(they_are_kept);
    return check_end("boost");
}

#else
#  include <boost/container/deque.hpp>
#  include <boost/container/flat_map.hpp>
#  include <boost/container/list.hpp>
#  include <boost/container/map.hpp>
#  include <boost/container/scoped_allocator.hpp>
#  include <boost/container/set.hpp>
#  include <boost/container/slist.hpp>
#  include <boost/container/stable_vector.hpp>
#  include <boost/container/string.hpp>
#  include <boost/container/vector.hpp>

namespace bc = boost::container;
template <class T>
using of = alps::allocator<T>;
typedef std::pair<const int, int> entry;

#  define FILL(name, as, ...)         \
    typedef __VA_ARGS__ name;         \
    template <>                       \
    struct filling<name> : as<name> { \
    };

FILL(vector, as_sequence, bc::vector<int, of<int>>)
FILL(bits, as_sequence, bc::vector<bool, of<bool>>)
FILL(stable_vector, as_sequence, bc::stable_vector<int, of<int>>)
FILL(deque, as_sequence, bc::deque<int, of<int>>)
FILL(list, as_sequence, bc::list<int, of<int>>)
FILL(slist, as_stack, bc::slist<int, of<int>>)
FILL(string, as_sequence,
     bc::basic_string<char, std::char_traits<char>, of<char>>)
FILL(set, as_set, bc::set<int, std::less<int>, of<int>>)
FILL(map, as_map, bc::map<int, int, std::less<int>, of<entry>>)
FILL(flat_map, as_map,
     bc::flat_map<int, int, std::less<int>, of<std::pair<int, int>>>)

static void vectors_are_kept()
{
    is_kept<vector>();
    is_kept<bits>();
    is_kept<stable_vector>();
    is_kept<deque>();
}
static void lists_are_kept()
{
    is_kept<list>();
    is_kept<slist>();
}
static void a_string_is_kept()
{
    is_kept<string>();
}
static void trees_are_kept()
{
    is_kept<set>();
    is_kept<map>();
    is_kept<flat_map>();
}

/* A container in a container gets the allocator from it. */
typedef bc::vector<string, bc::scoped_allocator_adaptor<of<string>>> words;
template <>
struct filling<words> {
    static void put(words &c, unsigned i)
    {
        c.emplace_back(40 + i % 5, static_cast<char>('a' + i % 26));
    }
    static bool has(const words &c, unsigned i)
    {
        return c[i].size() == 40 + i % 5 &&
               c[i].back() == static_cast<char>('a' + i % 26);
    }
    static size_t count(const words &c)
    {
        return c.size();
    }
};
static void strings_in_a_vector_are_kept()
{
    is_kept<words>();
}

int main()
{
    RUN(vectors_are_kept);
    RUN(lists_are_kept);
    RUN(a_string_is_kept);
    RUN(trees_are_kept);
    RUN(strings_in_a_vector_are_kept);
    return check_end("boost");
}
#endif
