/* std_list.cc -- libstdc++ stops it in "stl_list.h" */
#include "alps.h"
#include <list>

#ifdef CONTROL
typedef std::allocator<int> of;
#else
typedef alps::allocator<int> of;
#endif

void fill(std::list<int, of> &c);
void fill(std::list<int, of> &c)
{
    c.push_back(1);
}
