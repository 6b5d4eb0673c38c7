/* pages.c -- what the system takes to make pages of a file durable
 *
 * No allocator, and no promise beyond that of the calls. PAGES_WRITES is how
 * often every byte is written: 0, by msync of a shared mapping; 1, in place and
 * with one fdatasync: after a crash some of it may be there; 2, to a journal
 * first, with an fdatasync of its own, which is the least that makes it all or
 * nothing. With PAGES_COPIES the file is copied, by cp. */
#define _GNU_SOURCE 1
#include <fcntl.h>

#define PEER_ALLOCATES 0
#define PEER_PAGES 1
#define PEER_COPIES PAGES_COPIES

typedef struct peer {
    unsigned char *base, *gathered;
    unsigned n;
    int file, journal;
} peer;

#include "harness.h"

#define PEER_GATHER 256u // pages that go to the journal in one call

static void peer_write(int file, const unsigned char *from, size_t n, size_t at)
{
    while (n) {
        ssize_t some = pwrite(file, from, n, (off_t)at);
        if (some <= 0)
            bench_die("a write failed: %s", strerror(errno));
        from += some;
        at += (size_t)some;
        n -= (size_t)some;
    }
}

static void peer_durable(int file)
{
    if (fdatasync(file))
        bench_die("fdatasync failed: %s", strerror(errno));
}

/* A file of `n` bytes, all of them written. */
static int peer_file(const char *dir, const char *name,
                     const unsigned char *filled, size_t n, int fresh)
{
    char path[4096];
    int file;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = open(path, O_RDWR | O_CREAT | (fresh ? O_TRUNC : 0), 0600);
    if (file < 0)
        bench_die("%s: %s", path, strerror(errno));
    if (fresh) {
        peer_write(file, filled, n, 0);
        peer_durable(file);
    }
    return file;
}

static unsigned char *peer_pages(peer *p, const char *dir, unsigned n,
                                 int fresh)
{
    size_t bytes = n * BENCH_PAGE;
    unsigned char *memory = (unsigned char *)bench_memory(bytes);
    unsigned i;
    for (i = 0; fresh && i < n; i++)
        bench_fill_page(memory + i * BENCH_PAGE);
    p->n = n;
    p->gathered = (unsigned char *)bench_memory(PEER_GATHER * BENCH_PAGE);
    p->file = peer_file(dir, "file", memory, bytes, fresh);
    p->journal = PAGES_WRITES == 2
                     ? peer_file(dir, "journal", memory, bytes / 4, fresh)
                     : -1;
    p->base = memory;
    if (PAGES_WRITES && fresh)
        return memory;
    munmap(memory, bytes);
    p->base = (unsigned char *)mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_POPULATE, p->file, 0);
    if (p->base == MAP_FAILED)
        bench_die("no mapping: %s", strerror(errno));
    return p->base;
}

static void peer_pages_close(peer *p)
{
    munmap(p->base, p->n * BENCH_PAGE);
    munmap(p->gathered, PEER_GATHER * BENCH_PAGE);
    close(p->file);
    if (p->journal >= 0)
        close(p->journal);
}

/* How many of the `k` pages lie one behind the other. */
static unsigned peer_run(const unsigned *page, unsigned k)
{
    unsigned n = 1;
    while (n < k && page[n] == page[0] + n)
        n++;
    return n;
}

static void peer_in_place(peer *p, const unsigned *page, unsigned k)
{
    unsigned i, n;
    for (i = 0; i < k; i += n) {
        size_t at = page[i] * BENCH_PAGE;
        n = peer_run(page + i, k - i);
        peer_write(p->file, p->base + at, n * BENCH_PAGE, at);
    }
    peer_durable(p->file);
}

/* As who writes a journal well does it: few calls, of many pages each. */
static void peer_to_journal(peer *p, const unsigned *page, unsigned k)
{
    unsigned i, n;
    for (i = 0; i < k; i += n) {
        for (n = 0; n < PEER_GATHER && i + n < k; n++)
            memcpy(p->gathered + n * BENCH_PAGE,
                   p->base + page[i + n] * BENCH_PAGE, BENCH_PAGE);
        peer_write(p->journal, p->gathered, n * BENCH_PAGE, i * BENCH_PAGE);
    }
    peer_durable(p->journal);
}

/* One call from the first page to the last: the system knows which between
 * them are dirty. */
static void peer_msync(peer *p, const unsigned *page, unsigned k)
{
    size_t at = page[0] * BENCH_PAGE, end = (page[k - 1] + 1) * BENCH_PAGE;
    if (msync(p->base + at, end - at, MS_SYNC))
        bench_die("msync failed: %s", strerror(errno));
}

static void peer_sync_pages(peer *p, const unsigned *page, unsigned k)
{
    if (PAGES_WRITES == 2)
        peer_to_journal(p, page, k);
    if (PAGES_WRITES)
        peer_in_place(p, page, k);
    else
        peer_msync(p, page, k);
}

#if PAGES_COPIES
/* The seconds that cp takes, and then fsync, since cp does not wait for the
 * medium. */
static double peer_snapshot(peer *p, const char *dir, const char *to)
{
    char from[4200], path[4200];
    double begin;
    pid_t child;
    int file, status;
    (void)p;
    snprintf(from, sizeof from, "%s/file", dir);
    snprintf(path, sizeof path, "%s/file", to);
    unlink(path);
    begin = bench_now();
    child = fork();
    if (child == 0) {
        execlp("cp", "cp", "--sparse=always", from, path, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        bench_die("cp failed");
    file = open(path, O_RDONLY);
    if (file < 0)
        bench_die("%s: %s", path, strerror(errno));
    peer_durable(file);
    close(file);
    return bench_now() - begin;
}
#endif

#include "loads.h"
