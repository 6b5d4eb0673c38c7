/* two.c -- two instances in one unit, and beside them those of other.c
 *
 * Both units have an instance of the same name: it is private to each. */
#define ALPS_NAME ledger
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#define ALPS_NAME cache
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

#define USE(word) ledger_##word
#include "use.h"
#undef USE
#define USE(word) cache_##word
#include "use.h"

int other(const char *path);

int main(int argc, char **argv)
{
    int at;
    if (argc < 3)
        return 100;
    at = ledger_use(argv[1]);
    at = at ? at : cache_use(NULL);
    return at ? at : other(argv[2]);
}
