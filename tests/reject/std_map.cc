/* std_map.cc -- libstdc++ stops it in "stl_tree.h" */
#include "alps.h"
#include <map>

#ifdef CONTROL
typedef std::allocator<std::pair<const int, int>> of;
#else
typedef alps::allocator<std::pair<const int, int>> of;
#endif

void fill(std::map<int, int, std::less<int>, of> &c);
void fill(std::map<int, int, std::less<int>, of> &c)
{
    c.emplace(1, 1);
}
