/* bare.c -- the instructions of link, release and batch with no allocator
 *
 * The floor that a machine sets: the same records, the same lines written back
 * and the same fences as `publish`, `release` and a transaction of alps.h, with
 * no decision in between. BARE_STREAM chooses how a record gets there: 1, by
 * non-temporal stores; 0, by ordinary stores and a write-back. */
#ifndef __x86_64__
#  error "bare is written for x86-64"
#endif
#include <cpuid.h>
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PEER_ALLOCATES 0
#define PEER_LINKS 256
#define PEER_BATCHES 1

typedef struct peer {
    unsigned char *base; /* 64 KiB: done word, heads, map, records, objects */
    uint64_t sequence;
    int clwb;
} peer;

#include "harness.h"

enum {
    BARE_DONE = 0,
    BARE_HEADS = 4096,
    BARE_MAP = 8192,
    BARE_RECORDS = 12288,
    BARE_OBJECTS = 16384,
    BARE_LOG = 40960,
    BARE_BYTES = 65536
};

static void peer_open(peer *p, const char *dir, size_t bytes, int fresh)
{
    unsigned a, b = 0, c, d;
    char path[4096];
    int fd;
    (void)bytes, (void)fresh;
    snprintf(path, sizeof path, "%s/bare", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, BARE_BYTES))
        bench_die("%s cannot be made", path);
    unlink(path);
    p->base = (unsigned char *)mmap(NULL, BARE_BYTES, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    if (p->base == MAP_FAILED)
        bench_die("%s cannot be mapped", path);
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    p->clwb = b >> 24 & 1;
    p->sequence = 0;
}

static void peer_close(peer *p)
{
    munmap(p->base, BARE_BYTES);
}

static inline void bare_write_back(const peer *p, void *line)
{
    if (p->clwb)
        __asm__ volatile("clwb %0" : "+m"(*(volatile char *)line));
    else
        _mm_clflush(line);
}

/* A record, on its way. */
static inline void bare_record(const peer *p, unsigned char *to,
                               uint64_t sequence, uint64_t value)
{
    __m128i half = _mm_set_epi64x((long long)value, (long long)sequence);
    __m128i *record = (__m128i *)(void *)to;
    unsigned k;
    for (k = 0; k < 4; k++)
        BARE_STREAM ? _mm_stream_si128(record + k, half)
                    : _mm_store_si128(record + k, half);
    if (!BARE_STREAM)
        bare_write_back(p, record);
}

/* Object `i` is live or not, and its head is stored to. */
static inline void bare_apply(const peer *p, unsigned i, uint64_t value)
{
    uint64_t *head = (uint64_t *)(void *)(p->base + BARE_HEADS) + i;
    unsigned char *map = p->base + BARE_MAP + i / 4;
    *map = (unsigned char)(*map ^ (unsigned char)(1u << i % 4 * 2));
    *head = value;
}

static inline void bare_done(const peer *p, uint64_t sequence)
{
    uint64_t *done = (uint64_t *)(void *)(p->base + BARE_DONE);
    *done = sequence;
    bare_write_back(p, done);
}

/* The two fences of an operation on object `i`, whose contents are there to be
 * written back if `contents` is not NULL. */
static inline void bare_operation(peer *p, unsigned i, void *contents,
                                  uint64_t value)
{
    uint64_t sequence = ++p->sequence;
    bare_record(p, p->base + BARE_RECORDS + sequence % 16 * 64, sequence,
                value);
    if (contents)
        bare_write_back(p, contents);
    _mm_sfence();
    bare_apply(p, i, value);
    bare_write_back(p, p->base + BARE_MAP + i / 4);
    bare_write_back(p, p->base + BARE_HEADS + i * 8);
    _mm_sfence();
    bare_done(p, sequence);
}

/* The same for sixteen: a line of a log for each, and a record for all. */
static void peer_batch(peer *p, unsigned kind, unsigned first, uint64_t fill)
{
    uint64_t sequence = ++p->sequence;
    unsigned i;
    (void)kind;
    for (i = first; i < first + 16; i++) {
        unsigned char *object = p->base + BARE_OBJECTS + i * 64;
        memset(object, (unsigned char)fill, 64);
        bare_record(p, p->base + BARE_LOG + i % 16 * 64, sequence, i);
        bare_write_back(p, object);
    }
    bare_record(p, p->base + BARE_RECORDS + sequence % 16 * 64, sequence,
                first);
    _mm_sfence();
    for (i = first; i < first + 16; i++)
        bare_apply(p, i, BARE_OBJECTS + i * 64);
    bare_write_back(p, p->base + BARE_MAP + first / 4);
    bare_write_back(p, p->base + BARE_HEADS + first * 8);
    bare_write_back(p, p->base + BARE_HEADS + first * 8 + 64);
    _mm_sfence();
    bare_done(p, sequence);
}

static inline void peer_link(peer *p, unsigned i, uint64_t fill)
{
    unsigned char *object = p->base + BARE_OBJECTS + i * 64;
    memset(object, (unsigned char)fill, 64);
    bare_operation(p, i, object, BARE_OBJECTS + i * 64);
}

static inline void peer_release(peer *p, unsigned i)
{
    bare_operation(p, i, NULL, 0);
}

#include "loads.h"
