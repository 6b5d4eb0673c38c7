/* test_anon.c -- the anon backend keeps its contract */
#include "../backends/anon.h"
#include "check.h"
#include <sys/resource.h>
#include <sys/wait.h>

static const alps_backend *const backend = &alps_backend_anon_;

static int try_open(alps_map *m, unsigned flags)
{
    memset(m, 0, sizeof *m);
    m->flags = flags;
    m->fd = -1;
    return backend->open(m, NULL, NULL);
}

static void every_open_is_a_new_medium(void)
{
    alps_map a, b;
    CHECK_EQ(try_open(&a, ALPS_CREATE), 0);
    CHECK_EQ(try_open(&b, 0), 0);
    CHECK(a.length == 0 && a.fd == -1 && a.align == 1 && !a.fixed);
    CHECK_EQ(a.medium, ALPS_MEDIUM_ANON);
    CHECK_EQ(backend->unguard(&a), 0);
    CHECK_EQ(backend->resize(&a, 4096), 0);
    CHECK_EQ(backend->map(&a, 4096, 8192, 4096), 0);
    CHECK_EQ(backend->resize(&b, 4096), 0);
    CHECK_EQ(backend->map(&b, 4096, 8192, 4096), 0);
    a.base[0] = 1;
    CHECK_EQ(b.base[0], 0);
    CHECK_EQ(backend->close(&a), 0);
    CHECK_EQ(backend->close(&b), 0);
    CHECK(a.base == NULL && a.size == 0 && a.reserved == 0);
}

static void there_is_nothing_to_read_or_remove(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_READ_ONLY), ALPS_ENOENT);
    CHECK_EQ(backend->remove(NULL), ALPS_ENOENT);
    CHECK_EQ(backend->remove("name"), ALPS_ENOENT);
}

static void growth_happens_in_place(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 8192), 0);
    CHECK_EQ(backend->map(&m, 8192, 1u << 30, 65536), 0);
    unsigned char *base = m.base;
    memset(base, 7, 8192);
    for (uint64_t size = 8193; size < 40u << 20; size = size * 3 + 1) {
        CHECK_EQ(backend->resize(&m, size), 0);
        CHECK(m.base == base && m.size == size && m.length == size);
        CHECK_EQ(base[size - 1], 0);
        base[size - 1] = 9;
    }
    CHECK_EQ(base[8191], 7);
    CHECK_EQ(base[8192], 9);
    CHECK_EQ(backend->resize(&m, (1u << 30) + 1), ALPS_ENOMEM);
    CHECK_EQ(backend->close(&m), 0);
}

static void what_was_cut_off_reads_as_zero(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 65536), 0);
    CHECK_EQ(backend->map(&m, 65536, 1u << 20, 4096), 0);
    memset(m.base, 3, 65536);
    CHECK_EQ(backend->resize(&m, 8100), 0);
    CHECK_EQ(m.size, 8100);
    CHECK_EQ(backend->resize(&m, 65536), 0);
    CHECK(m.base[8099] == 3 && m.base[8100] == 0);
    CHECK(m.base[8192] == 0 && m.base[65535] == 0);
    CHECK_EQ(backend->resize(&m, 0), 0);
    CHECK_EQ(backend->resize(&m, 4096), 0);
    CHECK_EQ(m.base[0], 0);
    CHECK_EQ(backend->close(&m), 0);
}

static void bases_are_aligned(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 12288), 0);
    for (uint64_t align = 1; align <= 1u << 30; align *= 2) {
        CHECK_EQ(backend->map(&m, 12288, 1u << 22, align), 0);
        CHECK_EQ((uintptr_t)m.base % align, 0);
        m.base[12287] = 1;
        CHECK_EQ(backend->unmap(&m), 0);
    }
    CHECK_EQ(backend->close(&m), 0);
}

static void refused_sizes_are_codes(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 12288), 0);
    CHECK_EQ(backend->map(&m, 12289, 1u << 20, 4096), ALPS_EINVAL);
    CHECK_EQ(backend->map(&m, 0, 4096, 4096), ALPS_EINVAL);
    CHECK_EQ(backend->map(&m, 12288, 4096, 4096), ALPS_EINVAL);
    CHECK_EQ(backend->resize(&m, 1ull << 60), 0); // not mapped: only a number
    CHECK_EQ(backend->map(&m, 1ull << 60, 1ull << 62, 4096), ALPS_ENOMEM);
    CHECK(m.base == NULL && m.size == 0 && m.reserved == 0);
    CHECK_EQ(backend->close(&m), 0);
}

/* Leaves this process 1 GiB of addresses more than it has. Answers 0 where the
 * system does not keep it to that. */
static int few_addresses(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    int n = f ? fscanf(f, "%lu", &pages) : 0;
    if (f)
        fclose(f);
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = pages * 4096 + (1u << 30);
    if (n != 1 || setrlimit(RLIMIT_AS, &limit))
        return 0;
    void *p =
        mmap(NULL, 2u << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED;
}

static void child_holds_fewer_addresses(void)
{
    alps_map m;
    if (!few_addresses())
        _exit(77);
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 12288), 0);
    CHECK_EQ(backend->map(&m, 12288, 1ull << 36, 1u << 22), 0);
    CHECK(m.reserved >= 1u << 26 && m.reserved <= 1u << 30);
    m.base[12287] = 1;
    CHECK_EQ(backend->close(&m), 0);
    fflush(stdout);
    _exit(check_bad_ != 0);
}

static void fewer_addresses_are_held_where_there_are_not_so_many(void)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child_holds_fewer_addresses();
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("a process cannot be kept to few addresses here");
    else
        CHECK_EQ(status, 0);
}

static void punched_pages_read_as_zero(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->resize(&m, 65536), 0);
    CHECK_EQ(backend->map(&m, 65536, 65536, 4096), 0);
    memset(m.base, 3, 65536);
    CHECK_EQ(backend->punch(&m, 8192, 16384), 0);
    CHECK_EQ(backend->punch(&m, 0, 0), 0);
    CHECK(m.base[8191] == 3 && m.base[8192] == 0);
    CHECK(m.base[24575] == 0 && m.base[24576] == 3);
    CHECK_EQ(backend->close(&m), 0);
}

static void nobody_else_holds_a_lease(void)
{
    alps_map m;
    CHECK_EQ(try_open(&m, ALPS_CREATE), 0);
    CHECK_EQ(backend->lease(&m, 5), 0);
    CHECK_EQ(backend->leased(&m, 5), 0);
    CHECK_EQ(backend->leased(&m, ~0u), 0);
    CHECK_EQ(backend->unlease(&m, 5), 0);
    CHECK_EQ(backend->sync(&m, 0, 4096), 0);
    CHECK_EQ(backend->close(&m), 0);
}

int main(void)
{
    RUN(every_open_is_a_new_medium);
    RUN(there_is_nothing_to_read_or_remove);
    RUN(growth_happens_in_place);
    RUN(what_was_cut_off_reads_as_zero);
    RUN(bases_are_aligned);
    RUN(refused_sizes_are_codes);
    RUN(fewer_addresses_are_held_where_there_are_not_so_many);
    RUN(punched_pages_read_as_zero);
    RUN(nobody_else_holds_a_lease);
    return check_end("test_anon");
}
