/* names.c -- what it costs to name an object, and to find it
 *
 *     names [NAMES]     up to 10^7, or so many
 *
 * Nanoseconds a call, of processor time: in memory of the process, without
 * durability, one thread. Each row makes all names, finds as many in random
 * order, and destroys them. A name is some ten bytes, an object eight. */
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void failed(const char *what, int code)
{
    fprintf(stderr, "names: %s: %s\n", what, alps_strerror(code));
    exit(1);
}

/* One row: makes, finds, destroys `n`. */
static void row(unsigned n)
{
    alps_heap h;
    alps_options o;
    alps_statistics s;
    char name[32];
    uint64_t x = 1;
    memset(&o, 0, sizeof o);
    o.size = (64ull << 20) + n * 256ull;
    int err = alps_open(&h, NULL, &o);
    if (err)
        failed("open", err);
    double begin = now();
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "name %u", i);
        if (!alps_construct(&h, name, 8))
            failed("construct", alps_error(&h));
    }
    double made = now();
    for (unsigned i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        snprintf(name, sizeof name, "name %u", (unsigned)((x >> 32) % n));
        if (!alps_find(&h, name, NULL))
            failed("find", alps_error(&h));
    }
    double found = now();
    alps_stats(&h, &s);
    double counted = now();
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "name %u", i);
        err = alps_destroy(&h, name);
        if (err)
            failed("destroy", err);
    }
    double gone = now();
    printf("| %u | %.0f | %.0f | %.0f | %.0f |\n", n, (made - begin) / n,
           (found - made) / n, (gone - counted) / n,
           (double)(s.used + s.spare) / n);
    alps_close(&h);
}

int main(int argc, char **argv)
{
    unsigned most = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000000;
    printf("| names | construct | find | destroy | bytes a name |\n"
           "|---|---|---|---|---|\n");
    for (unsigned n = 10000; n && n <= most; n *= 10)
        row(n);
    return 0;
}
