/* bare.c -- the instructions of link and release with no allocator
 *
 * The floor that a machine sets: the same record, the same lines written back
 * and the same fences as `publish` and `release` of alps.h, with no decision
 * in between. BARE_STREAM chooses how the record gets there: 1, by
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

/* The two fences of an operation on object `i`, whose contents are there to be
 * written back if `contents` is not NULL. */
static inline void bare_operation(peer *p, unsigned i, void *contents,
                                  uint64_t value)
{
    uint64_t sequence = ++p->sequence;
    uint64_t *head = (uint64_t *)(void *)(p->base + BARE_HEADS) + i;
    unsigned char *map = p->base + BARE_MAP + i / 4;
    uint64_t *done = (uint64_t *)(void *)(p->base + BARE_DONE);
    __m128i half = _mm_set_epi64x((long long)value, (long long)sequence);
    __m128i *record =
        (__m128i *)(void *)(p->base + BARE_RECORDS) + sequence % 16 * 4;
    unsigned k;
    for (k = 0; k < 4; k++)
        BARE_STREAM ? _mm_stream_si128(record + k, half)
                    : _mm_store_si128(record + k, half);
    if (!BARE_STREAM)
        bare_write_back(p, record);
    if (contents)
        bare_write_back(p, contents);
    _mm_sfence();
    *map = (unsigned char)(*map ^ (unsigned char)(1u << i % 4 * 2));
    *head = value;
    bare_write_back(p, map);
    bare_write_back(p, head);
    _mm_sfence();
    *done = sequence;
    bare_write_back(p, done);
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
