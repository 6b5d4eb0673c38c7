/* alone.c -- alps.h and nothing else, its defaults, every function called */
#include "alps.h"

#define USE(word) alps_##word
#include "use.h"

int main(int argc, char **argv)
{
    return alps_use(argc > 1 ? argv[1] : NULL);
}
