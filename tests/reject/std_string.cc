/* std_string.cc -- libstdc++ stops it in "basic_string" */
#include "alps.h"
#include <string>

#ifdef CONTROL
typedef std::allocator<char> of;
#else
typedef alps::allocator<char> of;
#endif

void fill(std::basic_string<char, std::char_traits<char>, of> &c);
void fill(std::basic_string<char, std::char_traits<char>, of> &c)
{
    c.push_back('a');
}
