/* std_set.cc -- libstdc++ stops it in "stl_tree.h" */
#include "alps.h"
#include <set>

#ifdef CONTROL
typedef std::allocator<int> of;
#else
typedef alps::allocator<int> of;
#endif

void fill(std::set<int, std::less<int>, of> &c);
void fill(std::set<int, std::less<int>, of> &c)
{
    c.insert(1);
}
