/* std_string_libcxx.cc -- libc++ stops it in "basic_string" */
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
    c = std::basic_string<char, std::char_traits<char>, of>(c.get_allocator());
}
