/* fill.c -- uMalloc's own example: a file is filled with 21
 *
 *     ALPS_MEMORY=256M fill FILE MIB
 *
 * Maps FILE, of so many MiB, as plain memory, of which no more is in memory than
 * the environment says; sets every byte to 21 and frees it. Then reads the file
 * as any program would, and counts. */
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_FAULTS pages
#include "alps.h"

ALPS_HANDLER(pages);

static int failed(const char *what)
{
    perror(what);
    return 1;
}

/* How many bytes of the file are not 21, or -1. */
static long long others(const char *path)
{
    static unsigned char part[1 << 16];
    long long n = 0, bad = 0;
    size_t got;
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    while ((got = fread(part, 1, sizeof part, f)) > 0) {
        for (size_t i = 0; i < got; i++)
            bad += part[i] != 21;
        n += (long long)got;
    }
    fclose(f);
    printf("%lld bytes, %lld of them not 21.\n", n, bad);
    return bad;
}

int main(int argc, char **argv)
{
    size_t bytes = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) << 20 : 0;
    if (!bytes) {
        fprintf(stderr, "fill FILE MIB\n");
        return 2;
    }
    void *p = alps_umalloc(argv[1], bytes);
    if (!p)
        return failed(argv[1]);
    memset(p, 21, bytes);
    if (alps_ufree(p))
        return failed(argv[1]);
    return others(argv[1]) != 0;
}
