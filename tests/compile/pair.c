/* pair.c -- one instance, of the BACKEND and the POLICY of the command line
 *
 * With -DMY_BACKEND or -DMY_POLICY that table is the program's own. Its argument
 * is a path, or nothing for memory of its own. */
#include "mine.h"

#ifdef MY_BACKEND
#  define ALPS_USER_BACKEND my_backend
#endif
#ifdef MY_POLICY
#  define ALPS_USER_POLICY my_policy
#endif
#define ALPS_BACKEND BACKEND
#define ALPS_POLICY POLICY
#include "alps.h"

#define USE(word) alps_##word
#include "use.h"

int main(int argc, char **argv)
{
    return alps_use(argc > 1 ? argv[1] : NULL);
}
