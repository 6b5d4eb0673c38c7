/* test_paging.c -- what every design of paged memory has to show
 *
 * The properties that docs/paged.md lists, those that are not the matter of
 * another test: by every policy, every limit and every engine; by the system's
 * own count of memory; by system calls; by size, and by number. */
#define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#include "pages.h"
#include "words.h"
#include <pthread.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static uint64_t written_bytes, written_to, written_bad;

UNSEEN_BY_TSAN static void medium_wrote(const void *p, size_t n, off_t off)
{
    written_bytes += n;
    written_bad += (uint64_t)off != written_to || !n ||
                   ((const unsigned char *)p)[0] != 7 ||
                   ((const unsigned char *)p)[n - 1] != 7;
    written_to = (uint64_t)off + n;
}

static void medium_synced(void)
{
}

/* The least memory that is so many frames of a segment. */
static uint64_t memory_of(uint32_t frames, uint64_t segment, uint64_t size)
{
    alps_pager x;
    memset(&x, 0, sizeof x);
    while ((uint64_t)1 << x.shift < segment)
        x.shift++;
    x.memory = frames * segment;
    int told = the_engine == ALPS_ENGINE_USERFAULTFD;
    while (alps_engine_frames_(&x, size, (uint64_t)1 << 40, told) < frames)
        x.memory += segment;
    return x.memory;
}

/* ---- contents ------------------------------------------------------------ */

/* 1: the file system has a way past its cache. */
static unsigned direct_here(void)
{
    alps_options o = paged(0);
    path_to("direct");
    o.direct = 1;
    void *p = alps_umalloc_with(the_path, 2 * MIB, &o);
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
    return p != NULL;
}

/* Sizes about one segment and many, memory from the least that there is to more
 * than all. */
static void contents_are_those_of_a_model_by_size_policy_and_limit(void)
{
    static const uint64_t sizes[] = {1, 4095, 4096, 4097, 14336, 240007};
    unsigned direct = direct_here();
    alarm(40);
    for (unsigned size = 0; size < 6; size++)
        for (unsigned limit = 0; limit < 4; limit++)
            for (unsigned e = 0; e <= ALPS_EVICTIONS; e += SLOW) {
                alps_options o = paged(e);
                uint64_t n = sizes[size];
                uint32_t frames[4] = {ALPS_FRAMES_MIN, ALPS_FRAMES_MIN + 2,
                                      (uint32_t)(n / 4 / 4096), 80};
                if (frames[limit] < ALPS_FRAMES_MIN)
                    continue; // a fourth is not enough
                o.segment = 4096;
                o.memory = memory_of(frames[limit], 4096, n);
                o.direct = direct & (size + limit + e);
                mixed(n, &o, n < 10000 ? 30 : 150);
                if (!e) {
                    o.engine = ALPS_ENGINE_KERNEL;
                    mixed(n, &o, 30);
                }
            }
    alarm(0);
}

/* ---- memory -------------------------------------------------------------- */

/* Bytes of this process as the system shares them out: what is mapped thrice
 * counts once. 0: it does not tell. */
static uint64_t held(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %lu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * KIB;
}

static int child_measures(void)
{
    for (unsigned e = 1; e <= ALPS_EVICTIONS; e++) {
        alps_options o = paged(e);
        uint64_t state = e, most = 0;
        o.memory = 8 * MIB;
        o.write_back = e == 1;
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 64 * MIB, &o);
        if (!p)
            return 2;
        memset(p, 1, 64 * KIB);
        uint64_t before = held() - 64 * KIB;
        for (unsigned i = 0; i < 600; i++) {
            p[rnd(&state) % (64 * MIB)]++;
            uint64_t now = i % 20 ? 0 : held();
            most = now > most ? now : most;
        }
        if (alps_ufree(p))
            return 3;
        if (most < before + 4 * MIB || most > before + o.memory)
            return 4;
    }
    return 0;
}

static void the_system_counts_no_more_than_was_allowed(void)
{
    if (SLOW > 1 || !held()) {
        SKIP("what a sanitizer takes is counted as well");
        return;
    }
    path_to("counted");
    CHECK_EQ(in_child(child_measures), 0);
    unlink(the_path);
}

/* A folder on a medium that has a page cache, in place of `folder`. */
static int on_disk(void)
{
    struct statfs fs;
    snprintf(folder, sizeof folder, "/tmp/alps-test-XXXXXX");
    if (!mkdtemp(folder))
        return 0;
    return !statfs(folder, &fs) && (unsigned long)fs.f_type != 0x01021994ul;
}

/* Pages of the file that are in the page cache. */
static uint64_t cached(uint64_t size)
{
    unsigned char in[1024];
    uint64_t n = 0;
    int fd = open(the_path, O_RDONLY);
    CHECK_EQ(fsync(fd), 0);
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED && mincore(p, (size_t)size, in) == 0);
    for (uint64_t i = 0; i < size / 4096; i++)
        n += in[i] & 1;
    munmap(p, (size_t)size);
    close(fd);
    return n;
}

static void past_the_page_cache_nothing_is_in_it(void)
{
    char were[sizeof folder];
    alps_options o = paged(0);
    memcpy(were, folder, sizeof were);
    if (on_disk()) {
        path_to("past");
        for (unsigned direct = 0; direct < 2; direct++) {
            o.direct = direct;
            unsigned char *p =
                (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
            if (!p)
                break; // the file system has no such way
            for (uint64_t i = 0; i < 4 * MIB; i += 64 * KIB)
                p[i] = (unsigned char)i;
            CHECK_EQ(alps_usync(p), 0);
            uint64_t n = cached(4 * MIB);
            CHECK(direct ? n == 0 : n > 100);
            CHECK_EQ(alps_ufree(p), 0);
            unlink(the_path);
        }
    } else {
        SKIP("there is no medium with a page cache");
    }
    rmdir(folder);
    memcpy(folder, were, sizeof were);
}

/* ---- no instruction waits for ever --------------------------------------- */

#if defined(__x86_64__)
static void store_32(void *to, const void *from)
{
    __asm__ volatile("vmovdqu (%1), %%ymm0\n\tvmovdqu %%ymm0, (%0)\n\t"
                     "vzeroupper" ::"r"(to),
                     "r"(from)
                     : "memory", "xmm0");
}

static void store_64(void *to, const void *from)
{
    __asm__ volatile(
        "vmovdqu64 (%1), %%zmm16\n\tvmovdqu64 %%zmm16, (%0)" ::"r"(to),
        "r"(from)
        : "memory");
}
#endif

/* One instruction that loads from two segments and stores to two others, none
 * of which is in memory. */
static void wide(unsigned char *p, uint64_t segment)
{
#if defined(__x86_64__)
    static const unsigned char source[64] = {7};
    if (__builtin_cpu_supports("avx512f")) { // the first two of all
        store_64(p + 50 * segment - 32, source);
        CHECK(p[50 * segment - 32] == 7 && p[50 * segment] == 0);
    }
#endif
    for (uint64_t i = 2; i < 20; i += 3) {
        unsigned char *to = p + i * segment, *from = to + 30 * segment;
        memset(from - 32, (int)i, 64);
        for (uint64_t k = 60; k < 80; k++)
            p[k * segment] = 1; // and they are gone
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2")) {
            store_32(to - 16, from - 16);
            CHECK(to[-16] == i && to[15] == i);
        }
        if (__builtin_cpu_supports("avx512f")) {
            store_64(to - 32, from - 32);
            CHECK(to[-32] == i && to[31] == i);
        }
#endif
        memcpy(to - 4, from - 4, 8);
        CHECK(to[-4] == i && to[3] == i);
    }
}

static void the_widest_store_needs_no_more_than_the_least_memory(void)
{
    for (unsigned e = 1; e <= ALPS_EVICTIONS; e++) {
        alps_options o = paged(e);
        o.segment = 4096;
        o.memory = memory_of(ALPS_FRAMES_MIN, 4096, 100 * 4096);
        o.dirty_high = e % 2 ? 1 : 0; // what was stored to is written at once
        path_to("wide");
        alarm(10);
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 100 * 4096, &o);
        if (CHECK(p != NULL)) {
            CHECK_EQ(pager_of(p)->pool.n, ALPS_FRAMES_MIN);
            wide(p, 4096);
        }
        CHECK_EQ(alps_ufree(p), 0);
        alarm(0);
        unlink(the_path);
    }
}

static void threads_share_the_least_memory(void)
{
    for (unsigned e = 1; e <= ALPS_EVICTIONS; e++) {
        alps_options o = paged(e);
        shared_segment = o.segment = 4096;
        places = 14;
        turns = 3000 / SLOW;
        o.memory = memory_of(ALPS_FRAMES_MIN, 4096, 14 * 4096);
        o.dirty_high = e % 2 ? 20 : 0;
        path_to("least");
        alarm(20);
        shared = (unsigned char *)alps_umalloc_with(the_path, 14 * 4096, &o);
        if (!CHECK(shared != NULL))
            return;
        threads_work(0);
        alarm(0);
        CHECK_EQ(alps_ufree(shared), 0);
        unlink(the_path);
    }
}

/* ---- system calls -------------------------------------------------------- */

/* Bytes of the region that a pipe gets without their being copied. */
static ssize_t spliced(int to, void *p, size_t n)
{
    struct iovec piece = {p, n};
    return syscall(SYS_vmsplice, to, &piece, 1ul, 0u);
}

/* Whole pages of it go straight to a file and back: 1; 0: they do not. -1: no
 * file can be had in that way. */
static int straight(unsigned char *p, size_t n)
{
    char name[110];
    snprintf(name, sizeof name, "%s.straight", the_path);
    int fd = open(name, O_RDWR | O_CREAT | ALPS_O_DIRECT_, 0600), rc = -1;
    if (fd >= 0) {
        rc = pwrite(fd, p, n, 0) == (ssize_t)n;
        if (rc)
            memset(p, 0, n);
        rc = rc && pread(fd, p, n, 0) == (ssize_t)n;
        close(fd);
    }
    unlink(name);
    return rc;
}

static void what_is_pinned_goes_straight_to_devices_and_pipes(void)
{
    alps_heap h;
    char were[sizeof folder];
    unsigned char got[2000];
    int ends[2], bad = 0;
    memcpy(were, folder, sizeof were);
    on_disk();
    path_to("straight");
    CHECK_EQ(pipe(ends), 0);
    alps_options o = paged(0);
    o.size = 8 * MIB;
    o.segment = 16 * KIB;
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p =
        (unsigned char *)alps_alloc_aligned(&h, 64 * KIB, 4 * MIB);
    for (uint64_t i = 0; i < 4 * MIB; i++)
        p[i] = (unsigned char)(i / 1000);
    CHECK(spliced(ends[1], p, 2000) == -1 && errno == EFAULT);
    CHECK(straight(p, 40960) != 1);
    CHECK_EQ(alps_pin(&h, p, 40960, 1), 0);
    for (uint64_t i = MIB; i < 4 * MIB; i += 4096)
        bad += p[i] != (unsigned char)(i / 1000); // all others have gone
    CHECK(straight(p, 40960) != 0);
    for (uint64_t i = 0; i < 40960; i++)
        bad += p[i] != (unsigned char)(i / 1000);
    CHECK_EQ(bad, 0);
    CHECK_EQ(spliced(ends[1], p, 2000), 2000);
    CHECK_EQ(read(ends[0], got, 2000), 2000);
    CHECK(got[0] == 0 && got[1000] == 1 && got[1999] == 1);
    alps_unpin(&h, p, 40960);
    close(ends[0]);
    close(ends[1]);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
    CHECK_EQ(rmdir(folder), 0);
    memcpy(folder, were, sizeof were);
}

/* ---- large numbers ------------------------------------------------------- */

/* Bytes that the system could lend now. */
static uint64_t lendable(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * KIB;
}

/* More than a system call writes at once, and than an int counts. */
static void more_than_two_gigabytes_are_dirty_at_once(void)
{
    alps_options o = paged(0);
    uint64_t size = (uint64_t)2100 * MIB;
    if (SLOW > 1 || lendable() < 3 * size) {
        SKIP("there is not so much memory, or it is slow");
        return;
    }
    path_to("dirty");
    o.segment = 16 * MIB;
    o.memory = 2600 * MIB;
    int fd = open(the_path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    close(fd);
    unsigned char *p = (unsigned char *)alps_umalloc_with(the_path, size, &o);
    if (!CHECK(p != NULL))
        return;
    for (uint64_t i = 0; i < size; i += o.segment) {
        uint64_t n = size - i < o.segment ? size - i : o.segment;
        p[i] = p[i + n - 1] = 7;
    }
    CHECK_EQ(pager_of(p)->count.evictions, 0);
    written_bytes = written_to = written_bad = 0;
    keeps_nothing = 1;
    CHECK_EQ(alps_usync(p), 0);
    CHECK_EQ(written_bytes, size);
    CHECK_EQ(written_bad, 0); // each once, in a row, from their places
    CHECK_EQ(pager_of(p)->count.bytes_written, size);
    CHECK_EQ(alps_ufree(p), 0);
    keeps_nothing = 0;
    unlink(the_path);
}

static void thousands_of_mappings_leave_nothing(void)
{
    alps_options o = paged(0);
    uint64_t before = 0;
    int maps = 0, fds = 0, tasks = 0;
    unsigned cycles = (the_engine == ALPS_ENGINE_REWIRE ? 10000 : 1000) / SLOW;
    path_to("cycles");
    unsigned direct = direct_here();
    for (unsigned i = 0; i < cycles; i++) {
        o.eviction = i % (ALPS_EVICTIONS + 1);
        o.write_back = i % 64 == 0;
        o.dirty_high = i % 64 == 1 ? 50 : 0;
        o.direct = direct & (i / 4);
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 2 * MIB, &o);
        if (!CHECK(p != NULL))
            return;
        p[i % 32 * 65536]++;
        CHECK_EQ(alps_ufree(p), 0);
        if (i == 100) { // all that is kept once is there
            maps = mappings();
            fds = descriptors();
            tasks = threads();
            before = held();
        }
    }
    CHECK(mappings() <= maps + (SLOW > 1 ? 50 : 2));
    CHECK_EQ(descriptors(), fds);
    CHECK(threads_at_most(tasks));
    CHECK(SLOW > 1 || held() < before + 256 * KIB);
    unlink(the_path);
}

static void run_all(void)
{
    RUN(contents_are_those_of_a_model_by_size_policy_and_limit);
    RUN(the_system_counts_no_more_than_was_allowed);
    RUN(the_widest_store_needs_no_more_than_the_least_memory);
    RUN(threads_share_the_least_memory);
    RUN(thousands_of_mappings_leave_nothing);
}

int main(void)
{
#ifdef CHECK_EMULATED
    RUN(an_emulator_maps_in_another_way);
    return check_end("paging");
#endif
    folder_make();
    run_all();
    RUN(past_the_page_cache_nothing_is_in_it);
    RUN(what_is_pinned_goes_straight_to_devices_and_pipes);
    RUN(more_than_two_gigabytes_are_dirty_at_once);
    if (may_be_told()) {
        the_engine = ALPS_ENGINE_USERFAULTFD;
        run_all();
    }
    folder_remove();
    return check_end("paging");
}
