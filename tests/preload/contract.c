/* contract.c -- what a program may ask of malloc
 *
 * Built without the compiler's knowledge of malloc, and run with the example
 * before the C library. The first call of all is made while the region is being
 * opened: pthread_key_create, of which the region needs one, is this program's
 * here. */
#define _GNU_SOURCE
#include "../check.h"
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static char *early[3]; // allocated while the region was being opened

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    typedef int create(pthread_key_t *, void (*)(void *));
    create *real;
    void *found = dlsym(RTLD_NEXT, "pthread_key_create");
    memcpy(&real, &found, sizeof real);
    for (int i = 0; i < 3 && !early[i]; i++) {
        early[i] = i ? malloc(100) : calloc(10, 10);
        if (early[i])
            memset(early[i], 'a' + i, 100);
        if (i == 2)
            free(early[i]);
    }
    return real(key, destructor);
}

/* Whether [p, p + n) is all `byte`. */
static int all(const void *p, int byte, size_t n)
{
    const unsigned char *b = p;
    size_t i = 0;
    while (i < n && b[i] == byte)
        i++;
    return i == n;
}

static int aligned(const void *p, size_t to)
{
    return p && (uintptr_t)p % to == 0;
}

static void malloc_is_the_example(void)
{
    Dl_info info;
    void *(*function)(size_t) = malloc;
    void *address;
    memcpy(&address, &function, sizeof address);
    CHECK(dladdr(address, &info) && strstr(info.dli_fname, "alpsmalloc"));
}

static void a_call_while_the_region_opens_is_served(void)
{
    for (int i = 0; i < 3; i++)
        if (!CHECK(early[i] && all(early[i], 'a' + i, 100)))
            return;
    CHECK(aligned(early[0], 16) && aligned(early[1], 16));
    CHECK_EQ(malloc_usable_size(early[1]), 100);
    early[1] = realloc(early[1], 1000);
    CHECK(early[1] && all(early[1], 'b', 100));
    CHECK(malloc_usable_size(early[1]) >= 1000);
    free(early[0]);
    free(early[1]);
}

static void every_size_is_aligned_and_whole(void)
{
    for (size_t n = 0; n < 70000; n += n < 3000 ? 1 : 997) {
        char *p = malloc(n), *q = malloc(n);
        CHECK(aligned(p, 16) && aligned(q, 16) && p != q);
        CHECK(malloc_usable_size(p) >= n);
        memset(p, 1, malloc_usable_size(p));
        memset(q, 2, malloc_usable_size(q));
        CHECK(all(p, 1, malloc_usable_size(p)));
        free(p);
        free(q);
    }
}

static void calloc_is_zero(void)
{
    for (size_t n = 1; n < 100 * MIB; n = n * 3 + 1) {
        char *p = malloc(n);
        memset(p, 0xff, n);
        free(p);
        p = calloc(n, 1);
        CHECK(aligned(p, 16) && all(p, 0, n));
        free(p);
    }
}

/* That `call` answers NULL, and why. */
#define CHECK_NO_MEMORY(call) \
  (errno = 0, CHECK((call) == NULL), CHECK_EQ(errno, ENOMEM))

static void what_no_memory_can_hold_is_refused(void)
{
    volatile size_t half = SIZE_MAX / 2 + 1; // unknown to the compiler
    char *volatile p = malloc(100);
    memset(p, 7, 100);
    CHECK_NO_MEMORY(malloc(half));
    CHECK_NO_MEMORY(malloc(half - 1));
    CHECK_NO_MEMORY(malloc(half * 2 - 1));
    CHECK_NO_MEMORY(malloc((size_t)1 << 46));
    CHECK_NO_MEMORY(calloc(half, 2));
    CHECK_NO_MEMORY(calloc(half / 8, 17));
    CHECK_NO_MEMORY(realloc(p, half));
    CHECK_NO_MEMORY(realloc(p, half * 2 - 1));
    CHECK_NO_MEMORY(realloc(NULL, half));
    CHECK_NO_MEMORY(reallocarray(p, half, 2));
    CHECK_NO_MEMORY(reallocarray(p, half / 8, 16));
    CHECK_NO_MEMORY(memalign(64, half));
    CHECK_NO_MEMORY(aligned_alloc(64, half * 2 - 64));
    CHECK_NO_MEMORY(valloc(half));
    CHECK_NO_MEMORY(pvalloc(half * 2 - 1));
    CHECK_NO_MEMORY(memalign(half, 1));
    CHECK(all(p, 7, 100));
    free(p);
}

static void alignment_is_kept_or_refused(void)
{
    for (size_t align = 1; align <= 4 * MIB; align *= 2)
        for (size_t n = 1; n < 8 * MIB; n = n * 5 + 3) {
            char *p = memalign(align, n), *q = aligned_alloc(align, n);
            CHECK(aligned(p, align) && aligned(q, align));
            memset(p, 1, n);
            memset(q, 2, n);
            CHECK(p[0] == 1 && p[n - 1] == 1);
            free(p);
            free(q);
        }
    for (size_t align = 3; align < 100; align += 4) {
        errno = 0;
        CHECK(memalign(align, 8) == NULL);
        CHECK_EQ(errno, EINVAL);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = valloc(10), *q = pvalloc(page + 1);
    CHECK(aligned(p, page) && aligned(q, page));
    CHECK(malloc_usable_size(q) >= 2 * page);
    free(p);
    free(q);
}

static void posix_memalign_answers_its_code(void)
{
    char it;
    void *p = &it;
    errno = EDOM;
    const size_t bad[] = {0, 1, 2, 4, 12, 24, 100};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(posix_memalign(&p, bad[i], 100), EINVAL);
    CHECK_EQ(posix_memalign(&p, 64, SIZE_MAX / 2), ENOMEM);
    CHECK(p == &it);
    for (size_t align = 8; align <= MIB; align *= 2) {
        CHECK_EQ(posix_memalign(&p, align, 100), 0);
        CHECK(aligned(p, align));
        free(p);
    }
    CHECK_EQ(errno, EDOM);
}

static void realloc_keeps_the_contents(void)
{
    char *p = NULL;
    size_t n = 0;
    for (size_t to = 1; to < 80 * MIB; to = to * 3 + 5) {
        p = realloc(p, to);
        CHECK(aligned(p, 16) && all(p, 9, n));
        memset(p, 9, to);
        n = to;
    }
    for (; n; n = n * 2 / 7) {
        p = realloc(p, n);
        CHECK(aligned(p, 16) && all(p, 9, n));
    }
    CHECK(realloc(p, 0) == NULL);
    p = reallocarray(NULL, 10, 10);
    CHECK(malloc_usable_size(p) >= 100);
    free(p);
}

static void free_keeps_errno(void)
{
    void *p[] = {NULL, malloc(1), malloc(5000), malloc(100 * MIB)};
    for (int i = 0; i < 4; i++) {
        errno = EDOM;
        free(p[i]);
        CHECK_EQ(errno, EDOM);
    }
    CHECK_EQ(malloc_usable_size(NULL), 0);
}

/* Whether a child that frees `p` is aborted. */
static int aborts(void *p)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        free(p);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void a_wrong_free_is_seen(void)
{
    char *small = malloc(100), *large = malloc(10000), *huge = malloc(50 * MIB);
    char here;
    CHECK(aborts(small + 16) && aborts(large + 64) && aborts(huge + 4 * MIB));
    CHECK(aborts(&here) && aborts((void *)16) && aborts((void *)-16));
    free(small);
    free(large);
    free(huge);
    CHECK(aborts(small) && aborts(large) && aborts(huge));
}

/* Resident bytes of this process. */
static size_t resident(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void what_is_huge_goes_back_to_the_system(void)
{
    char *p = malloc(200 * MIB);
    memset(p, 1, 200 * MIB);
    size_t full = resident();
    CHECK(full > 190 * MIB);
    free(p);
    CHECK(resident() < full - 190 * MIB);
    p = calloc(200, MIB);
    CHECK(p && resident() < full - 190 * MIB);
    free(p);
}

static void the_region_grows(void)
{
    char *block[600];
    for (int i = 0; i < 600; i++) {
        block[i] = malloc(MIB);
        if (CHECK(block[i] != NULL))
            memset(block[i], i & 0x7f, i % 16 ? 100 : MIB);
    }
    for (int i = 0; i < 600; i++) {
        CHECK(all(block[i], i & 0x7f, i % 16 ? 100 : MIB));
        free(block[i]);
    }
    char *one = malloc(1024 * MIB); // never touched
    CHECK(one != NULL);
    free(one);
}

/* With ALPS_MALLOC_LIMIT at 100 MiB. */
static void at_the_limit_there_is_no_memory(void)
{
    enum { MOST = 1100 };
    static void *block[MOST];
    int n = 0;
    CHECK_NO_MEMORY(malloc(200 * MIB));
    for (int round = 0; round < 3; round++) {
        n = 0;
        errno = 0;
        while (n < MOST && (block[n] = malloc(MIB / 10)) != NULL)
            n++;
        CHECK(n > 800 && n < 1000);
        CHECK_EQ(errno, ENOMEM);
        while (n)
            free(block[--n]);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "limit")) {
        RUN(at_the_limit_there_is_no_memory);
        return check_end("limit");
    }
    RUN(malloc_is_the_example);
    RUN(a_call_while_the_region_opens_is_served);
    RUN(every_size_is_aligned_and_whole);
    RUN(calloc_is_zero);
    RUN(what_no_memory_can_hold_is_refused);
    RUN(alignment_is_kept_or_refused);
    RUN(posix_memalign_answers_its_code);
    RUN(realloc_keeps_the_contents);
    RUN(free_keeps_errno);
    RUN(a_wrong_free_is_seen);
    RUN(what_is_huge_goes_back_to_the_system);
    RUN(the_region_grows);
    return check_end("contract");
}
