/* counts.c -- what each operation asks of the medium, counted exactly
 *
 * Every write-back, fence and non-temporal store of the library passes the
 * hook ALPS_OBSERVE; this counts them per operation, in a region that has been
 * used for a while. tests/test_counts.c holds the same figures to what is
 * promised. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_EVENTS = 8 };
static struct {
    unsigned long event[COUNT_EVENTS];
    unsigned long lines; /* written back, or stored non-temporally */
} count_seen;

static int count_observe(int event, const void *p, size_t n)
{
    uintptr_t first = (uintptr_t)p / 64, last = ((uintptr_t)p + n + 63) / 64;
    count_seen.event[event]++;
    if (n && (event == 1 || event == 3))
        count_seen.lines += last - first;
    return 0;
}
#define ALPS_OBSERVE(event, p, n) count_observe(event, p, n)

#define ALPS_BACKEND ALPS_PMEM
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"

#include "store_alps.h"

#include "maps.h"

enum { COUNT_ROUNDS = 1000 };

static void count_die(const char *what, int code)
{
    fprintf(stderr, "counts: %s: %s\n", what, alps_strerror(code));
    exit(1);
}

static void count_expect(const char *what, int err)
{
    if (err)
        count_die(what, err);
}

static void count_figures(void)
{
    double rounds = COUNT_ROUNDS;
    printf(" %7.2f %7.2f %7.2f %7.2f\n",
           (double)count_seen.event[ALPS_SAW_FENCE] / rounds,
           (double)count_seen.lines / rounds,
           (double)count_seen.event[ALPS_SAW_STREAM] / rounds,
           (double)count_seen.event[ALPS_SAW_LOCK] / rounds);
    memset(&count_seen, 0, sizeof count_seen);
}

static void count_line(const char *operation, size_t n)
{
    printf("%-8s %6zu", operation, n);
    count_figures();
}

/* Counts one operation on COUNT_ROUNDS objects of `n` bytes each. */
static void count_size(alps_heap *h, alps_off *head, size_t n)
{
    static void *object[COUNT_ROUNDS];
    int i;
    memset(&count_seen, 0, sizeof count_seen);
    for (i = 0; i < COUNT_ROUNDS; i++)
        if (!(object[i] = alps_reserve(h, n)))
            count_die("reserve", alps_error(h));
    count_line("reserve", n);
    for (i = 0; i < COUNT_ROUNDS; i++)
        count_expect("cancel", alps_cancel(h, object[i]));
    count_line("cancel", n);
    for (i = 0; i < COUNT_ROUNDS; i++)
        if (!(object[i] = alps_alloc(h, n)))
            count_die("alloc", alps_error(h));
    count_line("alloc", n);
    for (i = 0; i < COUNT_ROUNDS; i++)
        count_expect("free", alps_free(h, object[i]));
    count_line("free", n);
    for (i = 0; i < COUNT_ROUNDS; i++)
        if (!(object[i] = alps_reserve(h, n)))
            count_die("reserve", alps_error(h));
    memset(&count_seen, 0, sizeof count_seen);
    for (i = 0; i < COUNT_ROUNDS; i++) {
        memset(object[i], i, n);
        count_expect("publish", alps_publish(h, &head[i], object[i]));
    }
    count_line("publish", n);
    for (i = 0; i < COUNT_ROUNDS; i++)
        count_expect("release", alps_release(h, &head[i]));
    count_line("release", n);
}

/* Counts a key's share of inserting COUNT_ROUNDS keys, and of removing them. */
static void count_map(alps_heap *h, const bench_map *m)
{
    unsigned i, round;
    uint64_t dice = 1, root[8] = {0};
    store s;
    s.heap = h;
    s.root = alps_root(h, sizeof root);
    memcpy(s.root, root, sizeof root);
    for (round = 0; round < 2; round++) { // the first one takes what it needs
        uint64_t keys = dice;
        memset(&count_seen, 0, sizeof count_seen);
        for (i = 0; i < COUNT_ROUNDS; i++)
            m->insert(&s, bench_random(&keys), i);
        if (round) {
            printf("%-8sinsert ", m->name);
            count_figures();
        }
        for (i = 0, keys = dice; i < COUNT_ROUNDS; i++)
            if (!m->remove(&s, bench_random(&keys)))
                count_die(m->name, ALPS_EINVAL);
    }
    printf("%-8sremove ", m->name);
    count_figures();
}

/* Takes a heap's extents into use, which is done once for many objects and is
 * not what an operation costs. */
static void count_warm_up(alps_heap *h)
{
    static void *object[COUNT_ROUNDS];
    int i;
    for (i = 0; i < COUNT_ROUNDS; i++)
        if (!(object[i] = alps_alloc(h, 8192)))
            count_die("alloc", alps_error(h));
    for (i = 0; i < COUNT_ROUNDS; i++)
        count_expect("free", alps_free(h, object[i]));
}

/* usage: counts DIRECTORY */
int main(int argc, char **argv)
{
    static const size_t size[] = {64, 2048, 4096};
    char path[4096];
    alps_options o;
    alps_off *head;
    alps_heap h;
    unsigned i;
    if (argc != 2)
        count_die("usage: counts DIRECTORY", ALPS_EINVAL);
    snprintf(path, sizeof path, "%s/counts", argv[1]);
    memset(&o, 0, sizeof o);
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    setenv("ALPS_PMEM_FORCE", "1", 1);
    count_expect(path, alps_open(&h, path, &o));
    head = (alps_off *)alps_alloc(&h, COUNT_ROUNDS * sizeof *head);
    if (!head)
        count_die("alloc", alps_error(&h));
    memset(head, 0, COUNT_ROUNDS * sizeof *head);
    count_warm_up(&h);
    printf("%-8s %6s %7s %7s %7s %7s\n", "", "bytes", "fences", "lines",
           "streams", "locks");
    for (i = 0; i < sizeof size / sizeof *size; i++)
        count_size(&h, head, size[i]);
    for (i = 0; i < sizeof bench_maps / sizeof *bench_maps; i++)
        count_map(&h, bench_maps[i]);
    count_expect("close", alps_close(&h));
    return 0;
}
