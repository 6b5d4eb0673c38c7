/* test_region.c -- regions: made, opened, refused, grown, carried about
 *
 * A region is the same bytes on every backend; what is not a region, or not
 * one of ours, is refused with a code of its own and left as it is. */
#include "model.h"
#include <sys/mount.h>

static void on_file(void)
{
    choose(&alps_backend_file_, &quiet);
}

static void on_shmem(void)
{
    choose(&alps_backend_shmem_, &quiet);
}

static void on_anon(void)
{
    choose(&alps_backend_anon_, &alps_policy_none_);
}

static alps_options with(unsigned flags)
{
    alps_options o = small(128u << 10, 4096);
    o.flags = flags;
    o.grow = ALPS_GROW_NEVER; // test_grow.c has what grows by itself
    return o;
}

static int open_as(any_heap *h, const char *path, unsigned flags)
{
    alps_options o = with(flags);
    return any_open(h, path, &o);
}

static uint64_t length_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

/* Opens and closes; answers the first code. */
static int touch(const char *path, unsigned flags)
{
    any_heap h;
    int err = open_as(&h, path, flags);
    return err ? err : any_close(&h);
}

/* ---- how it is opened */

static void create_open_and_exclusive_are_told_apart(void)
{
    any_heap h;
    on_file();
    const char *path = file_path("made");
    CHECK_EQ(touch(path, ALPS_STRICT), 0); // no flag that says how: create
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(any_open(&h, path, NULL), 0);
    CHECK_EQ(length_of(path), 64u << 20);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(touch(path, ALPS_READ_ONLY), ALPS_ENOENT);
    CHECK_EQ(length_of(path), 0);
    CHECK_EQ(any_remove(path), ALPS_ENOENT);
    CHECK_EQ(touch(path, ALPS_CREATE | ALPS_EXCLUSIVE), 0);
    CHECK_EQ(length_of(path), 128u << 10);
    CHECK_EQ(touch(path, ALPS_CREATE | ALPS_EXCLUSIVE), ALPS_EEXIST);
    CHECK_EQ(touch(path, ALPS_CREATE), 0);
    CHECK_EQ(touch(path, 0), 0);
    CHECK_EQ(touch(path, ALPS_READ_ONLY), 0);
    CHECK_EQ(touch(path, ALPS_READ_ONLY | ALPS_CREATE), ALPS_EINVAL);
    CHECK_EQ(touch(path, ALPS_READ_ONLY | ALPS_TRUNCATE), ALPS_EINVAL);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(touch("", 0), ALPS_EINVAL);
    CHECK_EQ(touch("/nowhere/to/be/found", 0), ALPS_ENOENT);
    CHECK_EQ(touch("/tmp", 0), ALPS_EUNSUPPORTED);
}

/* A closed handle can be closed again, and a failed open leaves it closed. */
static void a_closed_handle_is_known(void)
{
    any_heap h;
    on_file();
    memset(&h, 0, sizeof h);
    CHECK_EQ(any_close(&h), ALPS_EINVAL);
    CHECK_EQ(open_as(&h, "/nowhere/to/be/found", 0), ALPS_ENOENT);
    CHECK_EQ(any_close(&h), ALPS_EINVAL);
    const char *path = file_path("closed");
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_close(&h), ALPS_EINVAL);
    CHECK_EQ(any_remove(path), 0);
}

static void truncate_makes_it_anew(void)
{
    any_heap h;
    on_file();
    const char *path = file_path("anew");
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    CHECK(any_alloc(&h, 5000) != NULL);
    memset(any_root(&h, ALPS_ROOT_SIZE), 7, ALPS_ROOT_SIZE);
    CHECK_EQ(touch(path, ALPS_TRUNCATE), ALPS_EBUSY); // it is in use
    CHECK_EQ(*(unsigned char *)any_root(&h, 1), 7);
    CHECK_EQ(any_close(&h), 0);
    alps_options o = with(ALPS_TRUNCATE);
    o.size = o.limit = 200000;
    o.extent = 8192;
    CHECK_EQ(any_open(&h, path, &o), 0);
    CHECK_EQ(length_of(path), 200000);
    const unsigned char *root =
        (const unsigned char *)any_root(&h, ALPS_ROOT_SIZE);
    int zero = 1;
    for (unsigned i = 0; i < ALPS_ROOT_SIZE; i++)
        zero &= !root[i];
    CHECK(zero);
    CHECK(one_block_again(&h));
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(touch(path, ALPS_TRUNCATE), ALPS_ENOENT);
    CHECK_EQ(touch(path, ALPS_CREATE | ALPS_TRUNCATE), 0);
    CHECK_EQ(put_bytes(path, "not a region at all", 19), 0);
    CHECK_EQ(touch(path, ALPS_TRUNCATE), 0); // whatever it was
    CHECK_EQ(touch(path, 0), 0);
    CHECK_EQ(any_remove(path), 0);
}

static void read_only_answers_and_writes_nothing(void)
{
    any_heap h, writer;
    size_t n = 0, m = 0;
    on_file();
    const char *path = file_path("read");
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    void *kept = any_alloc(&h, 1000);
    alps_off off = any_off_of(&h, kept);
    memset(kept, 5, 1000);
    *(alps_off *)any_root(&h, 8) = off;
    CHECK_EQ(any_close(&h), 0);
    unsigned char *before = bytes_of(path, &n);

    CHECK_EQ(open_as(&h, path, ALPS_READ_ONLY), 0);
    alps_off *root = (alps_off *)any_root(&h, 8);
    CHECK_EQ(*root, off);
    unsigned char *p = (unsigned char *)any_at(&h, off);
    CHECK(p && p[999] == 5);
    CHECK_EQ(any_usable(&h, p), 1024);
    CHECK(any_alloc(&h, 10) == NULL);
    CHECK_EQ(any_error(&h), ALPS_EREADONLY);
    CHECK(any_zalloc(&h, 10) == NULL);
    CHECK(any_alloc_aligned(&h, 64, 10) == NULL);
    CHECK(any_reserve(&h, 10) == NULL);
    CHECK(any_realloc(&h, p, 10) == NULL);
    CHECK_EQ(any_error(&h), ALPS_EREADONLY);
    CHECK_EQ(any_free(&h, p), ALPS_EREADONLY);
    CHECK_EQ(any_cancel(&h, p), ALPS_EREADONLY);
    CHECK_EQ(any_publish(&h, root, p), ALPS_EREADONLY);
    CHECK_EQ(any_release(&h, root), ALPS_EREADONLY);
    CHECK_EQ(any_grow(&h, 1u << 20), ALPS_EREADONLY);
    CHECK_EQ(any_reap(&h), ALPS_EREADONLY);
    CHECK_EQ(any_sync(&h), ALPS_EREADONLY);
    CHECK_EQ(any_flush(&h, p, 8), ALPS_EREADONLY);
    CHECK_EQ(any_fence(&h), ALPS_EREADONLY);
    alps_statistics s;
    alps_description d;
    CHECK_EQ(any_stats(&h, &s), 0);
    CHECK_EQ(s.blocks, 1);
    CHECK_EQ(s.used, 1024);
    CHECK_EQ(any_describe(&h, &d), 0);
    CHECK(sound(&h));
    CHECK_EQ(open_as(&writer, path, 0), 0); // beside a reader
    CHECK(any_alloc(&writer, 100) != NULL);
    CHECK_EQ(any_stats(&h, &s), 0);
    CHECK_EQ(s.blocks, 2);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&writer), 0);
    CHECK_EQ(any_close(&h), 0);
    free(before);

    before = bytes_of(path, &n);
    CHECK_EQ(touch(path, ALPS_READ_ONLY), 0);
    unsigned char *now = bytes_of(path, &m);
    CHECK(n == m && !memcmp(before, now, n));
    free(before);
    free(now);
    CHECK_EQ(any_remove(path), 0);
}

/* A record that waits to be redone is for one who may write. */
static void read_only_asks_for_recovery(void)
{
    any_heap h;
    on_file();
    const char *path = file_path("waits"), *crashed = file_path("crashed");
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    alps_off *root = (alps_off *)any_root(&h, 8);
    void *p = any_reserve(&h, 100);
    memset(p, 3, 112);
    alps_record r;
    memset(&r, 0, sizeof r);
    r.seq = ++h.core.shared->seq;
    r.op = ALPS_OP_PUBLISH | ALPS_OP_SUMMED | ALPS_OP_SMALL;
    r.block = r.value = any_off_of(&h, p);
    r.dest = any_off_of(&h, root);
    r.units = 112;
    r.crc = alps_crc32c_(h.core.crc, 0, p, 112);
    CHECK_EQ(alps_record_write_(&h.core, &h.core.lanes[1], &r, &any_tables_),
             0);
    CHECK_EQ(copy_file(path, crashed), 0);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(touch(crashed, ALPS_READ_ONLY), ALPS_ERECOVER);
    CHECK_EQ(touch(crashed, 0), 0);
    CHECK_EQ(open_as(&h, crashed, ALPS_READ_ONLY), 0);
    CHECK_EQ(*(alps_off *)any_root(&h, 8), r.block); // it was redone
    CHECK_EQ(any_usable(&h, any_at(&h, r.block)), 112);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(any_remove(crashed), 0);
}

/* ---- what is refused */

static const char *victim; // a region, whole
static unsigned char *whole;
static size_t whole_n;

static void victim_make(void)
{
    static char path[80];
    any_heap h;
    alps_options o = with(ALPS_CREATE);
    on_file();
    snprintf(path, sizeof path, "%s", file_path("victim"));
    victim = path;
    o.layout = "victim";
    CHECK_EQ(any_open(&h, victim, &o), 0);
    CHECK(any_alloc(&h, 3000) != NULL);
    CHECK_EQ(any_close(&h), 0);
    whole = bytes_of(victim, &whole_n);
}

/* The file is `n` bytes of `bytes`: opening it says `code` and changes
 * nothing. */
static void refused(const void *bytes, size_t n, unsigned flags,
                    const char *layout, int code)
{
    any_heap h;
    size_t m = 0;
    alps_options o = with(flags);
    o.layout = layout;
    CHECK_EQ(put_bytes(victim, bytes, n), 0);
    CHECK_EQ(any_open(&h, victim, &o), code);
    CHECK_EQ(any_close(&h), ALPS_EINVAL);
    unsigned char *now = bytes_of(victim, &m);
    CHECK(now && m == n && !memcmp(now, bytes, n));
    free(now);
}

/* The same region with `n` bytes at `off` changed, and the sum made right
 * again if `sum` says so. */
static unsigned char *changed(size_t off, const void *bytes, size_t n, int sum)
{
    unsigned char *copy = (unsigned char *)malloc(whole_n);
    alps_superblock *s = (alps_superblock *)(void *)copy;
    memcpy(copy, whole, whole_n);
    memcpy(copy + off, bytes, n);
    uint64_t state = s->state;
    if (sum) {
        s->state = 0;
        s->crc = 0;
        s->crc = alps_crc32c_(alps_crc_kind_(), 0, s,
                              offsetof(alps_superblock, size));
        s->state = state;
    }
    return copy;
}

static void refused_when(size_t off, const void *bytes, size_t n, int sum,
                         int code)
{
    static const unsigned flags[] = {0, ALPS_CREATE, ALPS_READ_ONLY};
    unsigned char *copy = changed(off, bytes, n, sum);
    for (unsigned i = 0; i < 3; i++)
        refused(copy, whole_n, flags[i], NULL, code);
    free(copy);
}

static void what_is_foreign_is_refused(void)
{
    static unsigned char page[8192];
    victim_make();
    refused("#!/bin/sh\n", 10, 0, NULL, ALPS_EFORMAT);
    refused("#!/bin/sh\n", 10, ALPS_CREATE, NULL, ALPS_EFORMAT);
    memset(page, 0x5a, sizeof page);
    refused(page, 4095, ALPS_CREATE, NULL, ALPS_EFORMAT);
    refused(page, 4096, ALPS_CREATE, NULL, ALPS_EFORMAT);
    refused(page, 8192, ALPS_CREATE, NULL, ALPS_EFORMAT);
    memset(page, 0, sizeof page);
    refused(page, 8192, ALPS_CREATE, NULL, ALPS_EFORMAT); // zeroes of others
    refused_when(0, "alps", 4, 1, ALPS_EFORMAT);
    free(whole);
    unlink(victim);
}

static void a_damaged_superblock_is_refused(void)
{
    static const size_t at[] = {20, 24, 28,  32,  40,  48,  63, // 192 and 256:
                                64, 99, 127, 128, 132, 192, 256}; // sealed
    uint64_t word = 0x1111111111111111ull;
    victim_make();
    for (unsigned i = 0; i < sizeof at / sizeof *at; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            unsigned char byte = (unsigned char)(whole[at[i]] ^ 1u << bit);
            refused_when(at[i], &byte, 1, 0, ALPS_ECORRUPT);
        }
    refused_when(8, &word, 8, 0, ALPS_ECORRUPT); // neither state
    word = 0;
    refused_when(192, &word, 8, 0, ALPS_ECORRUPT);
    refused_when(256, &word, 8, 0, ALPS_ECORRUPT);
    word = alps_seal_(8192); // no room for an extent
    refused_when(192, &word, 8, 0, ALPS_ECORRUPT);
    word = alps_seal_(ALPS_SIZE_MAX); // more than its limit
    refused_when(192, &word, 8, 0, ALPS_ECORRUPT);
    free(whole);
    unlink(victim);
}

/* Right sums over numbers that cannot be meant. */
static void an_absurd_geometry_is_refused(void)
{
    victim_make();
    for (uint32_t shift = 0; shift < 70; shift++)
        if (shift < 12 || shift > 16)
            refused_when(offsetof(alps_superblock, extent_shift), &shift, 4, 1,
                         ALPS_ECORRUPT);
    uint32_t counts[] = {0, 1025, 4097, ~0u, 1u << 31};
    for (unsigned i = 0; i < 5; i++) {
        refused_when(offsetof(alps_superblock, lanes), &counts[i], 4, 1,
                     ALPS_ECORRUPT);
        if (counts[i] != 1025)
            refused_when(offsetof(alps_superblock, processes), &counts[i], 4, 1,
                         ALPS_ECORRUPT);
    }
    uint64_t limits[] = {
        0, 1, 4096, whole_n - 1, ~0ull, 1ull << 63, (1ull << 47) + 1};
    for (unsigned i = 0; i < 7; i++)
        refused_when(offsetof(alps_superblock, limit), &limits[i], 8, 1,
                     ALPS_ECORRUPT);
    free(whole);
    unlink(victim);
}

static void a_future_version_is_refused(void)
{
    victim_make();
    for (uint32_t layout = 0; layout < 1000; layout += 333) {
        if (layout == ALPS_LAYOUT)
            continue;
        refused_when(16, &layout, 4, 1, ALPS_EVERSION);
        refused_when(16, &layout, 4, 0, ALPS_EVERSION); // its sum is its own
    }
    free(whole);
    unlink(victim);
}

static void a_truncated_region_is_refused(void)
{
    victim_make();
    refused(whole, whole_n - 1, 0, NULL, ALPS_ETRUNCATED);
    refused(whole, whole_n / 2, ALPS_CREATE, NULL, ALPS_ETRUNCATED);
    refused(whole, 4096, ALPS_READ_ONLY, NULL, ALPS_ETRUNCATED);
    refused(whole, 4095, ALPS_CREATE, NULL, ALPS_EFORMAT);
    refused(whole, 1, ALPS_CREATE, NULL, ALPS_EFORMAT);
    free(whole);
    unlink(victim);
}

static void another_layout_name_is_refused(void)
{
    victim_make();
    refused(whole, whole_n, 0, "another", ALPS_ELAYOUT);
    refused(whole, whole_n, ALPS_CREATE, "victi", ALPS_ELAYOUT);
    refused(whole, whole_n, ALPS_READ_ONLY, "victims", ALPS_ELAYOUT);
    refused(whole, whole_n, 0, "", ALPS_ELAYOUT);
    any_heap h;
    alps_options o = with(0);
    o.layout = "victim";
    CHECK_EQ(any_open(&h, victim, &o), 0);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(touch(victim, 0), 0); // NULL: any
    free(whole);
    unlink(victim);
}

/* Dead while it was made: made anew by who may create, else refused. */
static void an_unfinished_region_is_made_anew(void)
{
    uint64_t making = ALPS_STATE_MAKING;
    static unsigned char page[4096];
    victim_make();
    for (unsigned i = 0; i < 3; i++) {
        unsigned char *copy = changed(8, &making, 8, 0);
        size_t n = i == 0 ? whole_n : i == 1 ? 4096 : 60000;
        refused(copy, n, ALPS_READ_ONLY, NULL, ALPS_EUNFINISHED);
        refused(copy, n, ALPS_EXCLUSIVE, NULL, ALPS_EUNFINISHED);
        CHECK_EQ(touch(victim, ALPS_CREATE), 0);
        CHECK_EQ(length_of(victim), 128u << 10);
        CHECK_EQ(touch(victim, 0), 0);
        free(copy);
    }
    refused(page, 4096, ALPS_READ_ONLY, NULL, ALPS_EUNFINISHED);
    CHECK_EQ(touch(victim, ALPS_CREATE), 0);
    refused("", 0, ALPS_READ_ONLY, NULL, ALPS_EUNFINISHED);
    CHECK_EQ(touch(victim, ALPS_CREATE), 0);
    CHECK_EQ(touch(victim, 0), 0);
    free(whole);
    unlink(victim);
}

static void permission_is_a_code(void)
{
    any_heap h;
    const char *path = file_path("locked");
    on_file();
    CHECK_EQ(touch(path, ALPS_CREATE), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { // one who may not even read it
        int err =
            setgid(65534) || setuid(65534) ? ALPS_EACCES : open_as(&h, path, 0);
        _exit(err == ALPS_EACCES ? 0 : 1);
    }
    CHECK_EQ(end_of(pid), 0);
    CHECK_EQ(any_remove(path), 0);
}

/* ---- options */

static void every_option_is_kept(void)
{
    any_heap h;
    alps_description d;
    struct stat st;
    alps_options o;
    on_file();
    const char *path = disk_path("options");
    memset(&o, 0, sizeof o);
    o.size = 1234567;
    o.limit = 76543210;
    o.flags = ALPS_CREATE;
    o.mode = 0640;
    o.layout =
        "sixty-three bytes are the longest name that a layout may have..";
    o.extent = 32768;
    o.lanes = 17;
    o.processes = 33;
    CHECK_EQ(strlen(o.layout), 63);
    mode_t old = umask(0);
    CHECK_EQ(any_open(&h, path, &o), 0);
    umask(old);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(any_describe(&h, &d), 0);
        CHECK_EQ(d.size, 1234567);
        CHECK_EQ(d.limit, 76543210);
        CHECK_EQ(d.extent, 32768);
        CHECK_EQ(d.lanes, 17);
        CHECK_EQ(d.processes, 33);
        CHECK_EQ(d.attached, 1);
        CHECK_EQ(d.epoch, round + 1);
        CHECK(!strcmp(d.layout, o.layout));
        CHECK(!strcmp(d.backend, "file") && !strcmp(d.policy, "quiet"));
        CHECK(!strcmp(d.medium, "cache") && !strcmp(d.persist, "none"));
        CHECK(d.created > 1600000000ull * 1000000000u);
        CHECK((d.uuid[6] & 0xf0) == 0x40);
        CHECK_EQ(any_close(&h), 0);
        CHECK_EQ(touch(path, ALPS_READ_ONLY), 0);
        if (round == 0)
            CHECK_EQ(open_as(&h, path, 0), 0); // other options do not matter
    }
    CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0640);
    CHECK_EQ(st.st_size, 1234567);
    CHECK_EQ(any_remove(path), 0);
}

static int try_options(uint64_t size, uint64_t limit, uint64_t extent,
                       unsigned lanes, unsigned processes, const char *layout)
{
    any_heap h;
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = size;
    o.limit = limit;
    o.extent = extent;
    o.lanes = lanes;
    o.processes = processes;
    o.layout = layout;
    const char *path = file_path("tried");
    int err = any_open(&h, path, &o);
    if (err) {
        CHECK_EQ(length_of(path), 0);
        unlink(path);
        return err;
    }
    CHECK(sound(&h));
    CHECK(one_block_again(&h));
    CHECK_EQ(alps_size_(&h.core), size);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(length_of(path), size);
    CHECK_EQ(any_remove(path), 0);
    return 0;
}

static void options_that_cannot_be_meant_are_refused(void)
{
    static const char long_name[65] =
        "sixty-four bytes are one too many for the name of a layout......";
    on_file();
    CHECK_EQ(try_options(1u << 20, 0, 4096, 0, 0, long_name), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 5000, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 2048, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 1ull << 31, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 1ull << 63, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 4096, 4096, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, (1u << 20) - 1, 0, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, (1ull << 47) + 1, 0, 0, 0, NULL),
             ALPS_EINVAL);
    CHECK_EQ(try_options((1ull << 47) + 1, 0, 0, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(~0ull, 0, 0, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(~0ull - 4095, ~0ull, 0, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1ull << 63, 1ull << 63, 0, 0, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 0, 4033, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 0, ~0u, 0, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 0, 0, 0, 4097, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(1u << 20, 1ull << 47, 4096, 1, 1, NULL),
             ALPS_EINVAL); // more extents than there are codes for
    CHECK_EQ(try_options(1, 0, 0, 1, 1, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(4096, 0, 4096, 1, 1, NULL), ALPS_EINVAL);
    CHECK_EQ(try_options(20000, 20000, 4096, 1, 1, NULL), ALPS_EINVAL);
}

/* Also those that are no multiple of a page. */
static void sizes_are_kept_to_the_byte(void)
{
    on_file();
    for (uint64_t size = 60000; size < 70000; size += 1237)
        CHECK_EQ(try_options(size, size, 4096, 1, 1, NULL), 0);
    CHECK_EQ(try_options(1000001, 0, 65536, 3, 5, "name"), 0);
    CHECK_EQ(try_options(1000001, 2000003, 4096, 1024, 1024, ""), 0);
    CHECK_EQ(try_options(600001, 2000003, 4096, 1024, 1024, ""), ALPS_EINVAL);
    CHECK_EQ(try_options(9000001, 9000001, 4096, 1024, 4096, ""), 0);
    CHECK_EQ(try_options(5000011, 0, 1u << 20, 0, 0, NULL), 0);
    CHECK_EQ(try_options(12345678, 0, 0, 0, 0, NULL), 0);
}

/* ---- several at once */

static void a_full_table_of_processes_is_a_code(void)
{
    any_heap h[5];
    on_shmem();
    const char *name = shm_name("crowd");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++)
            CHECK_EQ(open_as(&h[i], name, ALPS_CREATE), 0);
        CHECK_EQ(open_as(&h[4], name, ALPS_CREATE), ALPS_EPROCESSES);
        CHECK(any_alloc(&h[3], 100) != NULL); // the others have no harm of it
        CHECK_EQ(touch(name, ALPS_READ_ONLY), 0); // a reader needs no slot
        CHECK_EQ(any_close(&h[2]), 0);
        CHECK_EQ(open_as(&h[2], name, ALPS_CREATE), 0);
        for (int i = 0; i < 4; i++) {
            CHECK(sound(&h[i]));
            CHECK_EQ(any_close(&h[i]), 0);
        }
    }
    CHECK_EQ(any_remove(name), 0);
}

static void another_policy_is_kept_out_while_one_is_in(void)
{
    any_heap h;
    on_shmem();
    const char *name = shm_name("policy");
    CHECK_EQ(open_as(&h, name, ALPS_CREATE), 0);
    choose(&alps_backend_shmem_, &alps_policy_none_);
    CHECK_EQ(touch(name, 0), ALPS_EBUSY);
    CHECK_EQ(touch(name, ALPS_READ_ONLY), 0);
    on_shmem();
    CHECK_EQ(touch(name, 0), 0);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    choose(&alps_backend_shmem_, &alps_policy_none_);
    CHECK_EQ(touch(name, 0), 0);
    CHECK_EQ(any_remove(name), 0);
}

static void an_open_region_is_not_removed(void)
{
    any_heap h;
    on_file();
    const char *path = file_path("kept");
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    CHECK_EQ(any_remove(path), ALPS_EBUSY);
    CHECK(any_alloc(&h, 100) != NULL);
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(any_remove(path), ALPS_ENOENT);
}

static const char *race_path;
static uint64_t *race_go;

/* Makes it or finds it, and counts itself in; the first object is one. */
static int child_races(void)
{
    any_heap h;
    if (!await(race_go, 1) || open_as(&h, race_path, ALPS_CREATE))
        return 1;
    uint64_t *root = (uint64_t *)any_root(&h, 16);
    __atomic_fetch_add(&root[0], 1, __ATOMIC_RELAXED);
    void *p = any_alloc(&h, 100);
    if (!p || any_check(&h, NULL))
        return 2;
    return any_close(&h) ? 3 : 0;
}

static void race(const char *path)
{
    pid_t pid[4];
    static char kept[80];
    snprintf(kept, sizeof kept, "%s", path);
    race_path = kept;
    for (unsigned i = 0; i < 30 / SLOW; i++) {
        any_heap h;
        alps_statistics s;
        tell(race_go, 0);
        for (int k = 0; k < 4; k++)
            pid[k] = start_child(child_races);
        nap(500);
        tell(race_go, 1);
        for (int k = 0; k < 4; k++)
            CHECK_EQ(end_of(pid[k]), 0);
        CHECK_EQ(open_as(&h, race_path, 0), 0);
        CHECK_EQ(*(uint64_t *)any_root(&h, 8), 4);
        CHECK_EQ(any_stats(&h, &s), 0);
        CHECK_EQ(s.blocks, 4);
        CHECK(sound(&h));
        CHECK_EQ(any_close(&h), 0);
        CHECK_EQ(any_remove(race_path), 0);
    }
}

static void many_may_create_at_once(void)
{
    race_go = (uint64_t *)board_make(sizeof *race_go);
    on_file();
    race(file_path("race"));
    on_shmem();
    race(shm_name("race"));
    munmap(race_go, sizeof *race_go);
}

/* ---- growth */

static void growth_is_in_place_and_seen_by_all(void)
{
    any_heap a, b;
    on_file();
    const char *path = file_path("grows");
    alps_options o = with(ALPS_CREATE);
    o.limit = 2000000;
    CHECK_EQ(any_open(&a, path, &o), 0);
    CHECK_EQ(any_open(&b, path, &o), 0);
    unsigned char *p = (unsigned char *)any_alloc(&a, 5000);
    memset(p, 9, 5000);
    CHECK(any_alloc(&a, 300000) == NULL);
    CHECK_EQ(any_error(&a), ALPS_EFULL);
    CHECK_EQ(any_grow(&a, 2000001), ALPS_ELIMIT);
    CHECK_EQ(any_grow(&a, ~0ull), ALPS_ELIMIT);
    CHECK_EQ(any_grow(&a, 1000), 0); // smaller: nothing
    CHECK_EQ(length_of(path), 128u << 10);
    uint64_t size = 128u << 10;
    for (unsigned i = 0; size < 2000000; i++) {
        size = size + 1 + throw_of(100000);
        size = size < 2000000 ? size : 2000000;
        CHECK_EQ(any_grow(i % 2 ? &b : &a, size), 0);
        CHECK_EQ(length_of(path), size); // to the byte
        CHECK_EQ(alps_size_(&a.core), size);
        CHECK_EQ(alps_size_(&b.core), size);
        CHECK(sound(&a));
        CHECK(sound(&b));
        alps_statistics s;
        CHECK_EQ(any_stats(&b, &s), 0);
        unsigned char *q =
            (unsigned char *)any_alloc(i % 2 ? &a : &b, s.largest_free);
        CHECK(q != NULL); // who did not grow it finds the new room
        if (q) {
            memset(q, 1, s.largest_free);
            CHECK_EQ(any_free(i % 2 ? &a : &b, q), 0);
        }
    }
    CHECK_EQ(any_at(&a, size - 1) != NULL, 1);
    CHECK(any_at(&b, size - 1) != NULL && any_at(&b, size) == NULL);
    CHECK(p[0] == 9 && p[4999] == 9);
    CHECK_EQ(any_free(&a, p), 0);
    CHECK_EQ(any_close(&a), 0);
    CHECK_EQ(any_close(&b), 0);
    CHECK_EQ(any_open(&a, path, &o), 0);
    CHECK_EQ(alps_size_(&a.core), 2000000);
    CHECK(one_block_again(&a));
    CHECK_EQ(any_close(&a), 0);
    CHECK_EQ(any_remove(path), 0);
}

static struct {
    uint64_t ready, grown, off, done;
} * talk;

static int child_uses_the_room(void)
{
    any_heap h;
    if (open_as(&h, race_path, 0))
        return 1;
    if (any_alloc(&h, 500000) != NULL)
        return 2;
    tell(&talk->ready, 1);
    if (!await(&talk->grown, 1))
        return 3;
    unsigned char *p = (unsigned char *)any_alloc(&h, 500000);
    if (!p)
        return 4;
    memset(p, 0x77, 500000);
    talk->off = any_off_of(&h, p);
    return any_grow(&h, 1500000) || any_close(&h) ? 5 : 0;
}

static void another_process_sees_the_growth(void)
{
    any_heap h;
    talk = board_make(sizeof *talk);
    on_shmem();
    static char kept[80];
    snprintf(kept, sizeof kept, "%s", shm_name("grown"));
    race_path = kept;
    alps_options o = with(ALPS_CREATE);
    o.limit = 4u << 20;
    CHECK_EQ(any_open(&h, race_path, &o), 0);
    pid_t pid = start_child(child_uses_the_room);
    CHECK(await(&talk->ready, 1));
    CHECK_EQ(any_grow(&h, 1000000), 0);
    tell(&talk->grown, 1);
    CHECK_EQ(end_of(pid), 0);
    unsigned char *p = (unsigned char *)any_at(&h, talk->off);
    CHECK(p && p[0] == 0x77 && p[499999] == 0x77);
    CHECK_EQ(alps_size_(&h.core), 1500000);
    void *q = any_alloc(&h, 400000); // where the child made room
    CHECK(q != NULL);
    memset(q, 1, 400000);
    CHECK_EQ(any_free(&h, q) | any_free(&h, p), 0);
    CHECK(sound(&h));
    CHECK(one_block_again(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(race_path), 0);
    munmap(talk, sizeof *talk);
}

/* Under heavy use by one process another one grows the region. */
static int child_allocates_meanwhile(void)
{
    any_heap h;
    static void *p[64];
    if (open_as(&h, race_path, 0))
        return 1;
    tell(&talk->ready, 1);
    for (unsigned i = 0;
         __atomic_load_n(&talk->done, __ATOMIC_ACQUIRE) == 0 || i < 2000; i++) {
        unsigned k = (unsigned)throw_of(64);
        if (p[k] && (!token_whole(p[k]) || any_free(&h, p[k])))
            return 2;
        uint64_t n = 16 + 8 * throw_of(800);
        p[k] = any_alloc(&h, (size_t)n);
        if (p[k])
            token_fill(p[k], n, i);
    }
    for (unsigned k = 0; k < 64; k++)
        if (p[k] && (!token_whole(p[k]) || any_free(&h, p[k])))
            return 3;
    return any_close(&h) ? 4 : 0;
}

static void growth_beside_running_processes_duplicates_nothing(void)
{
    any_heap h;
    talk = board_make(sizeof *talk);
    on_shmem();
    static char kept[80];
    snprintf(kept, sizeof kept, "%s", shm_name("busy"));
    race_path = kept;
    alps_options o = with(ALPS_CREATE);
    o.limit = 64u << 20;
    CHECK_EQ(any_open(&h, race_path, &o), 0);
    pid_t pid[2];
    for (int i = 0; i < 2; i++)
        pid[i] = start_child(child_allocates_meanwhile);
    CHECK(await(&talk->ready, 1));
    for (uint64_t size = 130u << 10; size < 8u << 20; size += 37000) {
        CHECK_EQ(any_grow(&h, size), 0);
        void *p = any_alloc(&h, 2000);
        CHECK(p || any_error(&h) == ALPS_EFULL); // the others may have it all
        CHECK_EQ(any_free(&h, p), 0);
    }
    tell(&talk->done, 1);
    CHECK_EQ(end_of(pid[0]), 0);
    CHECK_EQ(end_of(pid[1]), 0);
    CHECK(sound(&h));
    CHECK(one_block_again(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(any_remove(race_path), 0);
    munmap(talk, sizeof *talk);
}

/* On a file system of 1 MiB that only this child sees. */
static int child_fills_the_medium(void)
{
    any_heap h;
    char path[120];
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", race_path, "tmpfs", 0, "size=1m"))
        return 77;
    snprintf(path, sizeof path, "%s/region", race_path);
    alps_options o = with(ALPS_CREATE);
    o.size = o.limit = 4u << 20;
    if (any_open(&h, path, &o) != ALPS_ENOSPC)
        return 1;
    o.size = 200000;
    o.limit = 64u << 20;
    if (any_open(&h, path, &o))
        return 2;
    unsigned char *p = (unsigned char *)any_alloc(&h, 50000);
    if (!p)
        return 3;
    memset(p, 4, 50000);
    for (uint64_t size = 2u << 20; size <= 32u << 20; size *= 2)
        if (any_grow(&h, size) != ALPS_ENOSPC)
            return 4;
    if (alps_size_(&h.core) != 200000 || length_of(path) != 200000)
        return 5;
    if (!sound(&h) || any_grow(&h, 700000))
        return 6;
    unsigned char *q = (unsigned char *)any_alloc(&h, 400000);
    if (!q)
        return 7;
    memset(q, 5, 400000); // its blocks are there: no signal
    if (any_free(&h, q) || any_close(&h) || any_open(&h, path, &o))
        return 8;
    alps_statistics s;
    if (!sound(&h) || any_stats(&h, &s) || s.blocks != 1 || s.used < 50000)
        return 9;
    return any_close(&h) || any_remove(path) ? 10 : 0;
}

static void a_full_medium_is_a_code_and_nothing_is_lost(void)
{
    on_file();
    race_path = disk_path("mount");
    CHECK_EQ(mkdir(race_path, 0700), 0);
    int found = end_of(start_child(child_fills_the_medium));
    CHECK_EQ(rmdir(race_path), 0);
    if (found == 77)
        SKIP("mounting a small file system is not permitted here");
    else
        CHECK_EQ(found, 0);
}

/* ---- very large regions */

/* Addresses without memory behind them, so that a region may be as large as
 * there are addresses. */
static int sparse_open(alps_map *m, const char *path, const alps_options *o)
{
    (void)path;
    (void)o;
    m->length = 0;
    m->align = 1;
    m->medium = ALPS_MEDIUM_ANON;
    return ALPS_OK;
}

static int sparse_map(alps_map *m, uint64_t size, uint64_t reserve,
                      uint64_t align)
{
    uint64_t more = align > ALPS_PAGE ? align : 0;
    (void)reserve;
    void *p = mmap(NULL, size + more, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
    m->user = p;
    m->base = (unsigned char *)p + (-(uintptr_t)p & (align - 1));
    m->size = m->reserved = size;
    return ALPS_OK;
}

static int sparse_unmap(alps_map *m)
{
    if (m->base)
        munmap(m->user, (size_t)m->size);
    m->base = NULL;
    return ALPS_OK;
}

static int sparse_resize(alps_map *m, uint64_t size)
{
    m->length = size;
    return ALPS_OK;
}

/* Opens a region of `size` bytes without memory, and uses its end. */
static int use_sparse(uint64_t size, uint64_t extent)
{
    any_heap h;
    alps_options o = small(size, extent);
    int err = any_open(&h, NULL, &o);
    if (err)
        return err;
    alps_statistics s;
    unsigned char *p = (unsigned char *)any_alloc(&h, 100000);
    CHECK(p != NULL);
    CHECK(any_off_of(&h, p) > size / 2); // carved from the end of it all
    CHECK(any_at(&h, any_off_of(&h, p)) == p);
    memset(p, 1, 100000);
    alps_off *root = (alps_off *)any_root(&h, 8);
    p = (unsigned char *)any_reserve(&h, 100000);
    CHECK_EQ(any_publish(&h, root, p), 0);
    CHECK(*root > size / 2);
    uint64_t most = (alps_extents_(&h.core) / 2) * extent;
    void *q = any_alloc(&h, (size_t)most); // half of it in one piece
    CHECK(q != NULL && any_usable(&h, q) == most);
    CHECK_EQ(any_stats(&h, &s), 0);
    CHECK(s.used >= most && s.size == size);
    CHECK_EQ(any_free(&h, q), 0);
    CHECK_EQ(any_release(&h, root), 0);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    return 0;
}

static void regions_are_as_large_as_there_are_addresses(void)
{
    choose(&alps_backend_anon_, &quiet);
    medium.open = sparse_open;
    medium.map = sparse_map;
    medium.unmap = medium.close = sparse_unmap;
    medium.resize = sparse_resize;
    uint64_t size = 1ull << 47;
    int err = ALPS_ENOMEM;
    for (; err == ALPS_ENOMEM && size > 1ull << 40; size /= 2)
        err = use_sparse(size, 1ull << 30);
#if defined(CHECK_EMULATED) || defined(__SANITIZE_THREAD__)
    if (err == ALPS_ENOMEM) {
        SKIP("the emulator or the sanitizer leaves too few addresses");
        return;
    }
#endif
    CHECK_EQ(err, 0);
    CHECK(size >= 1ull << 40);
    CHECK_EQ(use_sparse((1ull << 40) + 12345, 1ull << 22), 0);
}

/* The limit costs addresses, and where there are fewer than that, nothing. */
static void the_limit_may_be_all_there_is(void)
{
    const alps_backend *each[] = {&alps_backend_anon_, &alps_backend_shmem_,
                                  &alps_backend_file_};
    for (unsigned i = 0; i < 3; i++) {
        any_heap h;
        alps_description d;
        alps_options o = small(64u << 20, 4u << 20);
        choose(each[i], &quiet);
        const char *path = i == 2 ? file_path("wide") : shm_name("wide");
        o.limit = 1ull << 47;
        CHECK_EQ(any_open(&h, path, &o), 0);
        CHECK_EQ(any_describe(&h, &d), 0);
        CHECK_EQ(d.limit, 1ull << 47);
        CHECK(any_alloc(&h, 1000) != NULL);
        CHECK(h.core.map.reserved >= 64u << 20);
        CHECK_EQ(any_grow(&h, (1ull << 47) + 1), ALPS_ELIMIT);
        CHECK_EQ(any_grow(&h, 80u << 20), 0);
        CHECK(any_alloc(&h, 40u << 20) != NULL);
        CHECK(sound(&h));
        CHECK_EQ(any_close(&h), 0);
        if (i)
            CHECK_EQ(any_remove(path), 0);
    }
}

static void memory_of_the_process_grows(void)
{
    any_heap h;
    alps_options o = with(0);
    on_anon();
    o.limit = 64u << 20;
    CHECK_EQ(any_open(&h, NULL, &o), 0);
    unsigned char *p = (unsigned char *)any_alloc(&h, 50000);
    memset(p, 8, 50000);
    CHECK_EQ(any_grow(&h, 30000001), 0);
    unsigned char *q = (unsigned char *)any_alloc(&h, 29000000);
    CHECK(q != NULL);
    memset(q, 9, 29000000);
    CHECK(p[49999] == 8);
    CHECK_EQ(any_free(&h, p) | any_free(&h, q), 0);
    CHECK(sound(&h));
    CHECK(one_block_again(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(touch(NULL, ALPS_READ_ONLY), ALPS_ENOENT);
    CHECK_EQ(any_remove("nothing"), ALPS_ENOENT);
}

/* ---- the same bytes everywhere */

struct node {
    alps_off next;
    uint64_t number;
};

/* Adds a node in front of the list; answers how many there are. */
static uint64_t extend(const char *path)
{
    any_heap h;
    uint64_t n = 0;
    CHECK_EQ(open_as(&h, path, ALPS_CREATE), 0);
    alps_off *head = (alps_off *)any_root(&h, 8);
    struct node *first = (struct node *)any_at(&h, *head);
    for (struct node *at = first; at;
         at = (struct node *)any_at(&h, at->next)) {
        CHECK_EQ(at->number, first->number - n);
        CHECK_EQ(any_usable(&h, at), 16);
        n++;
    }
    struct node *node = (struct node *)any_reserve(&h, sizeof *node);
    CHECK(node != NULL);
    node->next = *head;
    node->number = n + 1;
    CHECK_EQ(any_publish(&h, head, node), 0);
    void *p = any_alloc(&h, 9000); // and something that comes and goes
    CHECK_EQ(any_free(&h, p), 0);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    return n + 1;
}

static void a_region_is_the_same_bytes_on_every_backend(void)
{
    static char disk[80], name[80], memory[80];
    snprintf(disk, sizeof disk, "%s", disk_path("travels"));
    snprintf(name, sizeof name, "%s", shm_name("travels"));
    snprintf(memory, sizeof memory, "%s", shm_path("travels"));
    choose(&alps_backend_file_, &alps_policy_msync_);
    CHECK_EQ(extend(disk), 1);
    CHECK_EQ(extend(disk), 2);
    CHECK_EQ(copy_file(disk, memory), 0);
    choose(&alps_backend_shmem_, &alps_policy_none_);
    CHECK_EQ(extend(name), 3);
    CHECK_EQ(extend(name), 4);
    CHECK_EQ(copy_file(memory, disk), 0);
    CHECK_EQ(any_remove(name), 0);
    choose(&alps_backend_pmem_, &alps_policy_flush_);
    CHECK_EQ(extend(disk), 5);
    choose(&alps_backend_pmem_, &alps_policy_fence_);
    CHECK_EQ(extend(disk), 6);
    choose(&alps_backend_file_, &alps_policy_none_);
    CHECK_EQ(extend(disk), 7);
    choose(&alps_backend_pmem_, &alps_policy_msync_);
    CHECK_EQ(extend(disk), 8);
    choose(&alps_backend_file_, &alps_policy_msync_);
    CHECK_EQ(extend(disk), 9);
    CHECK_EQ(any_remove(disk), 0);
}

/* ---- recovery leaves what was right as it was */

/* What is true: the root, the codes and kinds of extents, the maps of heap
 * extents, the contents of used blocks. A code that says that it is held is
 * free to recovery, and free runs side by side are one: so where blocks start
 * is what is summed, and not how free memory is cut up. */
static uint32_t truth_sum;

static int adds_block(void *context, void *p, size_t n)
{
    any_heap *h = (any_heap *)context;
    uint64_t where[2] = {any_off_of(h, p), n};
    truth_sum = alps_crc32c_(h->core.crc, truth_sum, where, sizeof where);
    truth_sum = alps_crc32c_(h->core.crc, truth_sum, p, n);
    return 0;
}

static uint32_t truth_of(const char *path)
{
    any_heap h;
    CHECK_EQ(open_as(&h, path, ALPS_READ_ONLY), 0);
    truth_sum = alps_crc32c_(h.core.crc, 0, h.core.map.base + ALPS_PAGE,
                             ALPS_ROOT_SIZE);
    CHECK_EQ(any_each(&h, adds_block, &h), 0);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    return truth_sum;
}

/* The bytes that are truth, of two images of one region: those of the maps of
 * codes too, when nothing was reserved. */
static int same_truth(const char *one, const char *two, int codes)
{
    any_heap a, b;
    CHECK_EQ(open_as(&a, one, ALPS_READ_ONLY), 0);
    CHECK_EQ(open_as(&b, two, ALPS_READ_ONLY), 0);
    const alps_handle *h = &a.core, *k = &b.core;
    int same = !memcmp(h->map.base + ALPS_PAGE, k->map.base + ALPS_PAGE,
                       ALPS_ROOT_SIZE);
    uint64_t front = h->at.heap - h->at.codes;
    same &= !codes || !memcmp(h->codes, k->codes, front);
    for (uint64_t e = 0; codes && e < alps_extents_(h); e++) {
        if (!alps_extent_heap_(h, e))
            continue;
        alps_zone z = alps_zone_extent_(h, e), y = alps_zone_extent_(k, e);
        same &= !memcmp(z.codes, y.codes, z.end / 4);
    }
    CHECK_EQ(any_close(&a), 0);
    CHECK_EQ(any_close(&b), 0);
    return same && truth_of(one) == truth_of(two);
}

static void recovery_leaves_a_clean_region_as_it_is(void)
{
    any_heap h;
    static void *p[400];
    static char path[80], old[80], crashed[80];
    on_file();
    snprintf(path, sizeof path, "%s", file_path("clean"));
    snprintf(old, sizeof old, "%s", file_path("clean-old"));
    snprintf(crashed, sizeof crashed, "%s", file_path("clean-crashed"));
    alps_options o = small(1u << 20, 16384);
    CHECK_EQ(any_open(&h, path, &o), 0);
    for (unsigned i = 0; i < 400; i++) {
        unsigned k = (unsigned)throw_of(400);
        if (p[k])
            CHECK_EQ(any_free(&h, p[k]), 0);
        uint64_t n = 16 + throw_of(i % 20 ? 600 : 40000);
        p[k] = any_alloc(&h, (size_t)n);
        if (p[k])
            token_fill(p[k], n, i);
    }
    memset(any_root(&h, ALPS_ROOT_SIZE), 0x3c, ALPS_ROOT_SIZE);
    CHECK_EQ(copy_file(path, crashed), 0); // nothing is under way in it
    CHECK_EQ(any_close(&h), 0);
    CHECK_EQ(copy_file(path, old), 0);
    CHECK(same_truth(path, crashed, 1));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(touch(path, 0), 0);
        CHECK(same_truth(path, old, 1));
        CHECK_EQ(touch(crashed, 0), 0); // recovery, and once more
        CHECK(same_truth(crashed, old, 1));
    }
    CHECK_EQ(any_open(&h, crashed, &o), 0); // used: every extent is built
    void *q = any_reserve(&h, 700);
    CHECK(q && any_alloc(&h, 100u << 20) == NULL);
    CHECK_EQ(copy_file(crashed, path), 0); // with the reservation
    CHECK_EQ(any_cancel(&h, q), 0);
    CHECK(sound(&h));
    CHECK_EQ(any_close(&h), 0);
    CHECK(same_truth(crashed, old, 0));
    CHECK_EQ(touch(path, 0), 0);
    CHECK(same_truth(path, old, 0));
    CHECK_EQ(touch(path, 0), 0);
    CHECK(same_truth(path, old, 0));
    CHECK_EQ(any_remove(path), 0);
    CHECK_EQ(any_remove(old), 0);
    CHECK_EQ(any_remove(crashed), 0);
}

/* Each open by a first one counts, and so does nothing else. */
static void openings_are_counted(void)
{
    any_heap h, other;
    alps_description d;
    on_shmem();
    const char *name = shm_name("epoch");
    for (uint64_t i = 1; i < 5; i++) {
        CHECK_EQ(open_as(&h, name, ALPS_CREATE), 0);
        CHECK_EQ(open_as(&other, name, 0), 0);
        CHECK_EQ(any_describe(&other, &d), 0);
        CHECK_EQ(d.epoch, i);
        CHECK_EQ(d.attached, 2);
        CHECK(!strcmp(d.medium, "shmem"));
        CHECK_EQ(any_close(&h), 0);
        CHECK_EQ(any_describe(&other, &d), 0);
        CHECK_EQ(d.attached, 1);
        CHECK_EQ(any_close(&other), 0);
    }
    CHECK_EQ(any_remove(name), 0);
}

static void codes_have_texts(void)
{
    for (int code = 0; code > -25; code--) {
        CHECK(strlen(any_strerror(code)) > 5);
        CHECK(strcmp(any_strerror(code), "unknown code"));
        for (int other = 0; other > code; other--)
            CHECK(strcmp(any_strerror(code), any_strerror(other)));
    }
    CHECK(!strcmp(any_strerror(1), "unknown code"));
    CHECK(!strcmp(any_strerror(-1000), "unknown code"));
    CHECK(!strcmp(any_strerror(-2147483647 - 1), "unknown code"));
}

int main(void)
{
    RUN(create_open_and_exclusive_are_told_apart);
    RUN(a_closed_handle_is_known);
    RUN(truncate_makes_it_anew);
    RUN(read_only_answers_and_writes_nothing);
    RUN(read_only_asks_for_recovery);
    RUN(what_is_foreign_is_refused);
    RUN(a_damaged_superblock_is_refused);
    RUN(an_absurd_geometry_is_refused);
    RUN(a_future_version_is_refused);
    RUN(a_truncated_region_is_refused);
    RUN(another_layout_name_is_refused);
    RUN(an_unfinished_region_is_made_anew);
    RUN(permission_is_a_code);
    RUN(every_option_is_kept);
    RUN(options_that_cannot_be_meant_are_refused);
    RUN(sizes_are_kept_to_the_byte);
    RUN(a_full_table_of_processes_is_a_code);
    RUN(another_policy_is_kept_out_while_one_is_in);
    RUN(an_open_region_is_not_removed);
    RUN(many_may_create_at_once);
    RUN(growth_is_in_place_and_seen_by_all);
    RUN(another_process_sees_the_growth);
    RUN(growth_beside_running_processes_duplicates_nothing);
    RUN(a_full_medium_is_a_code_and_nothing_is_lost);
    RUN(regions_are_as_large_as_there_are_addresses);
    RUN(the_limit_may_be_all_there_is);
    RUN(memory_of_the_process_grows);
    RUN(a_region_is_the_same_bytes_on_every_backend);
    RUN(recovery_leaves_a_clean_region_as_it_is);
    RUN(openings_are_counted);
    RUN(codes_have_texts);
    return check_end("region");
}
