/* test_parts.c -- one region in several files */
#include "list.h"
#include "told.h"
#include <dirent.h>
#include <sys/mount.h>

/* ---- where ---------------------------------------------------------------- */

ALPS_HANDLER(faults);

static const struct world {
    const char *name;
    const alps_backend *backend;
    const alps_policy *policy;
    unsigned engine;  // of backend paged
    uint64_t segment; // bytes
} worlds[] = {
    {"file, none", &alps_backend_file_, &alps_policy_none_, 0, 0},
    {"file, msync", &alps_backend_file_, &alps_policy_msync_, 0, 0},
    {"file, checkpoint", &alps_backend_file_, &alps_policy_checkpoint_, 0, 0},
    {"pmem, flush", &alps_backend_pmem_, &alps_policy_flush_, 0, 0},
    {"paged, mapped", &alps_backend_paged_, &alps_policy_msync_,
     ALPS_ENGINE_KERNEL, 0},
    {"paged, rewired", &alps_backend_paged_, &alps_policy_msync_,
     ALPS_ENGINE_REWIRE, 1 << 14},
    {"paged, committed", &alps_backend_paged_, &alps_policy_checkpoint_,
     ALPS_ENGINE_REWIRE, 1 << 17}, // borders lie inside of segments
    {"paged, told", &alps_backend_paged_, &alps_policy_none_,
     ALPS_ENGINE_USERFAULTFD, 1 << 14},
};
static const struct world *world = worlds;
static any_heap heap;
static char folder[80];

static void again(void)
{
    choose(world->backend, world->policy);
}

/* Whether this can be run here. */
static int can_be(const struct world *w)
{
#ifdef CHECK_EMULATED // which shows its own faults and mappings
    return w->engine <= ALPS_ENGINE_KERNEL;
#else
    return w->engine < ALPS_ENGINE_USERFAULTFD || may_be_told();
#endif
}

/* Runs the test in each world but the first `from`, up to `n`. */
static void run_in(unsigned from, unsigned n, void (*test)(void),
                   const char *name)
{
    char text[120];
    for (world = worlds + from; world < worlds + n; world++) {
        if (!can_be(world))
            continue;
        again();
        snprintf(text, sizeof text, "%s (%s)", name, world->name);
        CHECK_EQ(mkdir(folder, 0700), 0);
        check_run_(test, text);
        CHECK_EQ(rmdir(folder), 0); // each test has cleaned up
    }
}
#define RUN_IN_ALL(name) run_in(0, 8, name, #name)
#define RUN_ONCE(name) run_in(0, 1, name, #name)
#define RUN_PAGED(name) run_in(5, 7, name, #name)

static int commits(void)
{
    return world->policy->commit != NULL;
}

/* Whether one process at a time has it open. */
static int alone(void)
{
    return commits() || world->engine > ALPS_ENGINE_KERNEL;
}

/* A path in the folder of the test. */
static const char *at(const char *name)
{
    static char path[4][160];
    static unsigned turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static uint64_t length_of(const char *name)
{
    struct stat st;
    return stat(at(name), &st) ? UINT64_MAX : (uint64_t)st.st_size;
}

static int there(const char *name)
{
    return length_of(name) != UINT64_MAX;
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* A number of all bytes and names in the folder. */
static uint64_t folder_sum(void)
{
    uint64_t sum = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        size_t n = 0;
        unsigned char *bytes =
            e->d_type == DT_REG ? bytes_of(at(e->d_name), &n) : NULL;
        unsigned how = alps_crc_kind_();
        if (bytes) // the order of names does not matter
            sum += (uint64_t)alps_crc32c_(how, 1, bytes, n) * (n + 1) ^
                   alps_crc32c_(how, 2, e->d_name, strlen(e->d_name));
        free(bytes);
    }
    if (d)
        closedir(d);
    return sum;
}

#define KIB(n) ((uint64_t)(n) << 10)

static const alps_part two_more[] = {
    {"second", KIB(320)}, {"third", KIB(640)}, {NULL, 0}};
static const alps_part even[] = {{"second", 0}, {"third", 0}, {NULL, 0}};

/* A few frames, where it is paged. */
static void page(alps_options *o)
{
    int reads = (o->flags & (ALPS_READ_ONLY | ALPS_SALVAGE)) != 0;
    o->engine = reads ? 0 : world->engine;
    o->faults = &faults;
    o->segment = world->segment;
    o->memory = 16 * world->segment;
}

static alps_options options(const alps_part *parts)
{
    alps_options o = small(KIB(960), KIB(64));
    o.limit = KIB(4096);
    o.parts = parts;
    page(&o);
    return o;
}

static int open_with(any_heap *h, alps_options o)
{
    return any_open(h, at("region"), &o);
}

/* Opens what is there; creates nothing. */
static int reopen(any_heap *h, unsigned flags)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = flags ? flags : ALPS_EXCLUSIVE; // without ALPS_CREATE
    page(&o);
    return any_open(h, at("region"), &o);
}

static unsigned parts_of(any_heap *h)
{
    alps_description d;
    return any_describe(h, &d) ? 99 : d.parts;
}

static void begin(void)
{
    CHECK_EQ(open_with(&heap, options(two_more)), 0);
}

/* Closes and removes it: with it go all its files. */
static void end(void)
{
    if (heap.core.map.base)
        CHECK_EQ(any_close(&heap), 0);
    again();
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(files(), 0);
}

/* ---- what it is ----------------------------------------------------------- */

static void a_region_lies_in_all_its_files(void)
{
    begin();
    CHECK_EQ(parts_of(&heap), 2);
    CHECK_EQ(alps_size_(&heap.core), KIB(960));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(length_of("region"), KIB(320));
    CHECK_EQ(length_of("second"), KIB(64 + 320));
    CHECK_EQ(length_of("third"), KIB(64 + 320));
    CHECK_EQ(files(), 3);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(parts_of(&heap), 2);
    // one object over all three
    alps_off *root = (alps_off *)any_root(&heap, 64);
    root[0] = 0;
    uint64_t *p = (uint64_t *)any_reserve(&heap, KIB(700));
    CHECK(p != NULL);
    token_fill(p + 1, KIB(700) - 8, 5);
    p[0] = 0;
    CHECK(any_off_of(&heap, p) < KIB(320));
    CHECK_EQ(any_publish(&heap, root, p), 0);
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 1);
    CHECK(sound(&heap));
    CHECK_EQ(any_release(&heap, (alps_off *)any_root(&heap, 64)), 0);
    CHECK(one_block_again(&heap));
    end();
}

static void each_byte_is_in_the_file_that_has_its_place(void)
{
    begin();
    unsigned char *p = (unsigned char *)any_alloc(&heap, KIB(700));
    CHECK(p != NULL);
    alps_off off = any_off_of(&heap, p);
    for (uint64_t i = 0; i < KIB(700); i++)
        p[i] = (unsigned char)(i * 7 + i / 256);
    CHECK_EQ(any_close(&heap), 0);
    size_t n[3] = {0, 0, 0};
    unsigned char *bytes[3] = {bytes_of(at("region"), &n[0]),
                               bytes_of(at("second"), &n[1]),
                               bytes_of(at("third"), &n[2])};
    unsigned bad = 0;
    for (uint64_t i = 0; i < KIB(700); i++) {
        uint64_t place = off + i;
        unsigned file = place < KIB(320) ? 0 : place < KIB(640) ? 1 : 2;
        uint64_t in = file ? place - KIB(320) * file + KIB(64) : place;
        bad += bytes[file][in] != (unsigned char)(i * 7 + i / 256);
    }
    CHECK_EQ(bad, 0);
    for (unsigned i = 0; i < 3; i++)
        free(bytes[i]);
    end();
}

static void a_new_region_is_divided_evenly(void)
{
    CHECK_EQ(open_with(&heap, options(even)), 0);
    furnish(&heap, 20, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(length_of("region"), KIB(320));
    CHECK_EQ(length_of("second"), KIB(64 + 320));
    CHECK(length_of("third") >= KIB(64 + 320));
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 20);
    end();
}

/* The first file ends inside of what the region needs for itself. */
static void the_front_may_lie_in_several_files(void)
{
    static const alps_part early[] = {{"second", 4096 * 16}, {NULL, 0}};
    alps_options o = options(early);
    o.shards = 16;
    o.lanes = 64;
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK(heap.core.at.heap > KIB(64));
    furnish(&heap, 30, 20, 150000);
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(length_of("region"), KIB(64));
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

/* ---- growth ----------------------------------------------------------------- */

static void it_grows_from_file_to_file(void)
{
    alps_options o = options(two_more);
    o.size = KIB(256);
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK_EQ(length_of("region"), KIB(256));
    CHECK_EQ(length_of("second"), KIB(64)); // nothing of it yet
    CHECK_EQ(length_of("third"), KIB(64));
    furnish(&heap, 100, 20, 150000);
    CHECK(alps_size_(&heap.core) > KIB(640));
    CHECK_EQ(length_of("region"), KIB(320));
    CHECK_EQ(length_of("second"), KIB(64 + 320));
    CHECK_EQ(length_of("third"), KIB(64) + alps_size_(&heap.core) - KIB(640));
    CHECK_EQ(listed(&heap), 100);
    CHECK(sound(&heap));
    CHECK_EQ(any_grow(&heap, KIB(4096)), 0);
    CHECK_EQ(length_of("third"), KIB(64 + 4096 - 640));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 100);
    CHECK_EQ(any_grow(&heap, KIB(8192)), ALPS_ELIMIT);
    end();
}

static uint64_t *board;

/* Reads, and allocates, beside the one who makes it grow. */
static int child_beside(void)
{
    any_heap h;
    if (reopen(&h, 0))
        return 1;
    tell(&board[0], 1);
    if (!await(&board[1], 1))
        return 2;
    unsigned char *p = (unsigned char *)any_at(&h, board[2]);
    for (uint64_t i = 0; p && i < KIB(500); i++)
        if (p[i] != 7)
            return 3;
    if (!p || parts_of(&h) != 2)
        return 4;
    p = (unsigned char *)any_alloc(&h, KIB(700)); // grows it once more
    if (!p)
        return 5;
    memset(p, 9, KIB(700));
    board[3] = any_off_of(&h, p);
    return any_close(&h) ? 6 : 0;
}

static void other_processes_see_it_grow(void)
{
    alps_options o = options(two_more);
    o.size = KIB(256);
    if (alone()) {
        CHECK_EQ(open_with(&heap, o), 0);
        end();
        return;
    }
    CHECK_EQ(open_with(&heap, o), 0);
    board[0] = board[1] = 0;
    pid_t child = start_child(child_beside);
    CHECK(await(&board[0], 1));
    unsigned char *p = (unsigned char *)any_alloc(&heap, KIB(500));
    CHECK(p != NULL);
    memset(p, 7, KIB(500));
    board[2] = any_off_of(&heap, p);
    tell(&board[1], 1);
    CHECK_EQ(end_of(child), 0);
    unsigned bad = 0;
    p = (unsigned char *)any_at(&heap, board[3]);
    for (uint64_t i = 0; p && i < KIB(700); i++)
        bad += p[i] != 9;
    CHECK(p && !bad);
    CHECK(sound(&heap));
    end();
}

static void what_is_free_at_the_end_is_cut_off(void)
{
    alps_options o = options(two_more);
    o.flags |= ALPS_SHRINK;
    CHECK_EQ(open_with(&heap, o), 0);
    void *p = any_alloc(&heap, KIB(700));
    CHECK(p != NULL);
    CHECK_EQ(any_grow(&heap, KIB(1800)), 0);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK(length_of("region") < KIB(320));
    CHECK_EQ(length_of("second"), KIB(64));
    CHECK_EQ(length_of("third"), KIB(64));
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK(sound(&heap));
    CHECK((p = any_alloc(&heap, KIB(900))) != NULL);
    memset(p, 1, KIB(900));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(one_block_again(&heap));
    end();
}

/* Free extents are given back in each file, and come again. */
static void what_is_trimmed_has_its_blocks_again(void)
{
    struct stat before, after;
    begin();
    CHECK_EQ(any_sync(&heap), 0);
    void *p = any_alloc(&heap, KIB(700));
    CHECK(p != NULL);
    memset(p, 3, KIB(700));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(stat(at("second"), &before), 0);
    CHECK_EQ(any_trim(&heap), 0);
    if (!commits()) {
        CHECK_EQ(stat(at("second"), &after), 0);
        CHECK(after.st_blocks < before.st_blocks / 2);
    }
    CHECK((p = any_alloc(&heap, KIB(700))) != NULL);
    memset(p, 4, KIB(700));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(sound(&heap));
    end();
}

static int child_with_a_small_disk(void)
{
    char part[160];
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_path(), "tmpfs", 0, "size=512k"))
        return 77;
    snprintf(part, sizeof part, "%s/", mount_path()); // a folder
    alps_part parts[] = {{part, KIB(320)}, {NULL, 0}};
    alps_options o = options(parts);
    o.size = KIB(256);
    o.limit = KIB(4096);
    if (open_with(&heap, o))
        return 1;
    furnish(&heap, 5, 20, 150000);
    uint64_t old = alps_size_(&heap.core), first = length_of("region");
    if (any_grow(&heap, KIB(2048)) != ALPS_ENOSPC)
        return 2; // the disk of the second file is full
    if (alps_size_(&heap.core) != old || length_of("region") != first)
        return 3; // as it was, in each file
    if (any_alloc(&heap, KIB(2000)) || any_error(&heap) != ALPS_ENOSPC)
        return 4;
    furnish(&heap, 5, 20, 150000);
    if (listed(&heap) != 10 || !sound(&heap))
        return 5;
    // what is there goes on in a third file, on a disk that has room
    alps_part more[] = {{part, 0}, {"third", 0}, {NULL, 0}};
    if (any_close(&heap) || (o.parts = more, open_with(&heap, o)))
        return 6;
    if (!any_alloc(&heap, KIB(2000)) || listed(&heap) != 10 || !sound(&heap))
        return 7;
    if (any_close(&heap) || any_remove(at("region")) || files())
        return 8;
    return check_bad_ ? 9 : 0;
}

static void a_full_disk_of_one_file_is_a_code(void)
{
    on_a_small_disk("parts-disk", child_with_a_small_disk);
}

static int child_with_memory_for_a_disk(void)
{
    char part[160];
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_path(), "ramfs", 0, NULL))
        return 77;
    snprintf(part, sizeof part, "%s/second", mount_path());
    alps_part parts[] = {{part, KIB(320)}, {NULL, 0}};
    alps_options o = options(parts);
    if (open_with(&heap, o) || any_close(&heap))
        return 1;
    o.direct = 1;
    if (open_with(&heap, o) != ALPS_EUNSUPPORTED)
        return 2;
    o.direct = 0;
    if (open_with(&heap, o))
        return 3;
    furnish(&heap, 20, 20, 150000);
    if (any_close(&heap) || any_remove(at("region")) || files())
        return 4;
    return check_bad_ ? 5 : 0;
}

/* One file that knows no way past the page cache is enough. */
static void past_the_page_cache_go_all_or_none(void)
{
    on_a_small_disk("parts-direct", child_with_memory_for_a_disk);
}

/* ---- further files ---------------------------------------------------------- */

static void a_region_gets_further_files(void)
{
    any_heap reader;
    alps_options o = options(NULL);
    static const alps_part first[] = {{"second", 0}, {NULL, 0}};
    static const alps_part wrong[] = {
        {"second", 0}, {"third", KIB(640)}, {NULL, 0}};
    static const alps_part both[] = {
        {"elsewhere", 0}, {"third", KIB(1600)}, {NULL, 0}};
    CHECK_EQ(open_with(&heap, o), 0);
    furnish(&heap, 20, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(files(), 1);
    uint64_t size = length_of("region");
    o.parts = first;
    CHECK_EQ(reopen(&reader, ALPS_READ_ONLY), 0);
    CHECK_EQ(open_with(&heap, o), ALPS_EBUSY); // who would not see it
    CHECK_EQ(files(), 1);
    CHECK_EQ(any_close(&reader), 0);
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK_EQ(parts_of(&heap), 1);
    CHECK_EQ(any_grow(&heap, size + KIB(192)), 0);
    CHECK_EQ(length_of("region"), size);
    CHECK(length_of("second") >= KIB(64 + 192));
    furnish(&heap, 20, 20, 150000);
    size = alps_size_(&heap.core);
    CHECK_EQ(any_close(&heap), 0);
    // what it has it keeps, and where it goes on cannot be before its end
    uint64_t sum = folder_sum();
    o.parts = wrong;
    CHECK_EQ(open_with(&heap, o), ALPS_EINVAL);
    CHECK_EQ(folder_sum(), sum);
    o.parts = first;
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK_EQ(parts_of(&heap), 1);
    CHECK_EQ(any_close(&heap), 0);
    o.parts = both;
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK_EQ(parts_of(&heap), 2);
    CHECK(!there("elsewhere"));
    CHECK_EQ(any_grow(&heap, KIB(2048)), 0);
    CHECK_EQ(length_of("third"), KIB(64 + 2048 - 1600));
    furnish(&heap, 60, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 100);
    CHECK(sound(&heap));
    end();
}

/* ---- what is refused -------------------------------------------------------- */

/* A region is closed, furnished, and has three files. */
static void prepare(void)
{
    begin();
    furnish(&heap, 30, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
}

/* Whatever is tried with it answers `code`, and changes nothing. */
static void refused_with(int code)
{
    alps_description d;
    uint64_t sum = folder_sum();
    alps_options o = options(two_more);
    CHECK_EQ(reopen(&heap, 0), code);
    CHECK_EQ(open_with(&heap, o), code);
    CHECK_EQ(reopen(&heap, ALPS_READ_ONLY), code);
    CHECK_EQ(any_consistent(at("region")), code);
    CHECK_EQ(any_inspect(at("region"), &d), code);
    CHECK_EQ(any_copy(at("region"), at("copy")), code);
    CHECK_EQ(folder_sum(), sum);
}

static void a_missing_part_is_a_code(void)
{
    static const char *const names[] = {"second", "third"};
    prepare();
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(rename(at(names[i]), at("away")), 0);
        refused_with(ALPS_EPART);
        alps_repaired r;
        CHECK_EQ(any_repair(at("region"), &r), ALPS_EPART);
        CHECK_EQ(mkdir(at(names[i]), 0700), 0);
        refused_with(ALPS_EUNSUPPORTED); // nor is a folder one
        CHECK_EQ(rmdir(at(names[i])), 0);
        CHECK_EQ(rename(at("away"), at(names[i])), 0);
    }
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

static void parts_that_were_exchanged_are_found_out(void)
{
    alps_options o = options(two_more);
    prepare();
    CHECK_EQ(rename(at("second"), at("away")), 0);
    CHECK_EQ(rename(at("third"), at("second")), 0);
    CHECK_EQ(rename(at("away"), at("third")), 0);
    refused_with(ALPS_EPART);
    CHECK_EQ(rename(at("second"), at("away")), 0);
    CHECK_EQ(rename(at("third"), at("second")), 0);
    CHECK_EQ(rename(at("away"), at("third")), 0);
    // the same part of another region
    static const alps_part others[] = {
        {"other.2", KIB(320)}, {"other.3", KIB(640)}, {NULL, 0}};
    o.parts = others;
    CHECK_EQ(any_open(&heap, at("other"), &o), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(rename(at("third"), at("away")), 0);
    CHECK_EQ(rename(at("other.3"), at("third")), 0);
    refused_with(ALPS_EPART);
    CHECK_EQ(rename(at("third"), at("other.3")), 0);
    CHECK_EQ(rename(at("away"), at("third")), 0);
    CHECK_EQ(any_remove(at("other")), 0);
    // a part twice, and the first file as a part
    CHECK_EQ(rename(at("third"), at("away")), 0);
    CHECK_EQ(symlink("second", at("third")), 0);
    refused_with(ALPS_EPART);
    CHECK_EQ(unlink(at("third")), 0);
    CHECK_EQ(symlink("region", at("third")), 0);
    refused_with(ALPS_EPART);
    CHECK_EQ(unlink(at("third")), 0);
    CHECK_EQ(rename(at("away"), at("third")), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

static void a_file_of_anybody_is_no_part(void)
{
    static char letter[600 << 10];
    size_t n = 0;
    prepare();
    CHECK_EQ(rename(at("second"), at("away")), 0);
    for (unsigned i = 0; i < 4; i++) { // empty, short, zeroes, a long letter
        memset(letter, i == 3 ? 'a' : i == 1 ? 'b' : 0, sizeof letter);
        CHECK_EQ(put_bytes(at("second"), letter, i == 1 ? 20 : i * KIB(200)),
                 0);
        refused_with(ALPS_EPART);
    }
    // each byte of a head counts
    unsigned char *bytes = bytes_of(at("away"), &n);
    for (size_t i = 0; i < sizeof(alps_part_head); i++) {
        bytes[i] ^= 4;
        CHECK_EQ(put_bytes(at("second"), bytes, n), 0);
        int err = reopen(&heap, 0);
        CHECK(err == (i < ALPS_PART_NEXT_ ? ALPS_EPART : ALPS_ECORRUPT));
        bytes[i] ^= 4;
    }
    // a head that is whole has to be this one
    for (unsigned i = 0; i < 4; i++) {
        alps_part_head head;
        memcpy(&head, bytes, sizeof head);
        head.from += i == 0 ? 4096 : 0;
        head.number += i == 1;
        head.front = i == 2 ? 0 : head.front;
        head.version += i == 3;
        head.crc = alps_part_sum_(alps_crc_kind_(), &head);
        CHECK_EQ(put_bytes(at("second"), bytes, n), 0);
        int fd = open(at("second"), O_RDWR | O_CLOEXEC);
        CHECK_EQ(pwrite(fd, &head, sizeof head, 0), sizeof head);
        close(fd);
        CHECK_EQ(reopen(&heap, 0), ALPS_EPART);
    }
    free(bytes);
    CHECK_EQ(rename(at("away"), at("second")), 0);
    // so does each of what leads to it
    bytes = bytes_of(at("region"), &n);
    for (size_t i = ALPS_ONWARD; i < ALPS_ONWARD + sizeof(alps_onward); i++) {
        bytes[i] ^= 4;
        CHECK_EQ(put_bytes(at("region"), bytes, n), 0);
        CHECK_EQ(reopen(&heap, 0), ALPS_ECORRUPT);
        CHECK_EQ(any_consistent(at("region")), ALPS_ECORRUPT);
        bytes[i] ^= 4;
    }
    CHECK_EQ(put_bytes(at("region"), bytes, n), 0);
    free(bytes);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

static void a_part_that_is_cut_short_is_truncated(void)
{
    static const char *const names[] = {"region", "second", "third"};
    size_t n = 0;
    prepare();
    for (unsigned i = 0; i < 3; i++) {
        unsigned char *bytes = bytes_of(at(names[i]), &n);
        CHECK_EQ(truncate(at(names[i]), (off_t)n - 1), 0);
        refused_with(ALPS_ETRUNCATED);
        CHECK_EQ(truncate(at(names[i]), (off_t)KIB(16)), 0);
        refused_with(ALPS_ETRUNCATED);
        CHECK_EQ(put_bytes(at(names[i]), bytes, n), 0);
        free(bytes);
    }
    // longer ones do no harm
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(truncate(at(names[i]), (off_t)KIB(1000)), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK(sound(&heap));
    CHECK_EQ(any_grow(&heap, KIB(2048)), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

static int try_parts(const alps_part *parts, unsigned flags)
{
    alps_options o = options(parts);
    o.flags |= flags;
    return open_with(&heap, o);
}

static void what_cannot_be_a_part_is_refused(void)
{
    static const char longest[] =
        "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
        "ppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
        "pppppppppppppppppppppp";
    const struct {
        alps_part part[3];
        int code;
    } wrong[] = {
        {{{"", 0}, {NULL, 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{longest, 0}, {NULL, 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", 1000}, {NULL, 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", KIB(640)}, {"third", KIB(320)}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", KIB(320)}, {"third", KIB(320)}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", KIB(320)}, {"third", 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", 0}, {"second", 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"second", 1ull << 47}, {NULL, 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"region", 0}, {NULL, 0}, {NULL, 0}}, ALPS_EINVAL},
        {{{"taken", 0}, {NULL, 0}, {NULL, 0}}, ALPS_EEXIST},
        {{{"second", 0}, {"taken", 0}, {NULL, 0}}, ALPS_EEXIST},
        {{{"no/such/folder", 0}, {NULL, 0}, {NULL, 0}}, ALPS_ENOENT},
        {{{".", 0}, {NULL, 0}, {NULL, 0}}, ALPS_EUNSUPPORTED},
    };
    CHECK_EQ(put_bytes(at("taken"), "a letter", 8), 0);
    for (unsigned old = 0; old < 2; old++) {
        for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            uint64_t sum = folder_sum();
            int err = try_parts(wrong[i].part, old ? ALPS_TRUNCATE : 0);
            if (!CHECK_EQ(err, wrong[i].code))
                printf("  row %u\n", i);
            if (old)
                CHECK_EQ(folder_sum(), sum);
            else
                CHECK(files() <= 2 && !there("second"));
            if (!old)
                unlink(at("region"));
        }
        if (!old)
            prepare();
    }
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(unlink(at("taken")), 0);
    end();
}

/* A part that another region has open, or is made of, is not taken. */
static void a_part_is_of_one_region_alone(void)
{
    any_heap other;
    alps_options o = options(two_more);
    begin();
    uint64_t sum = folder_sum();
    CHECK_EQ(any_open(&other, at("other"), &o), ALPS_EEXIST);
    unlink(at("other"));
    CHECK_EQ(folder_sum(), sum);
    CHECK_EQ(any_remove(at("region")), ALPS_EBUSY);
    CHECK_EQ(any_remove(at("second")), ALPS_EBUSY);
    CHECK_EQ(any_close(&heap), 0);
    sum = folder_sum();
    CHECK_EQ(reopen(&heap, ALPS_READ_ONLY), 0);
    CHECK_EQ(any_remove(at("third")), ALPS_EBUSY);
    CHECK_EQ(folder_sum(), sum);
    CHECK_EQ(files(), 3 + (there("region.journal") != 0));
    end();
}

/* One part in memory is enough for syncs to promise nothing. */
static void the_strict_want_every_part_on_a_disk(void)
{
    const alps_part parts[] = {{at("second"), KIB(320)}, {NULL, 0}};
    const alps_part nearby[] = {{disk_path("parts-second"), KIB(320)},
                                {NULL, 0}};
    char first[80];
    snprintf(first, sizeof first, "%s", disk_path("parts-first"));
    choose(&alps_backend_file_, &alps_policy_msync_);
    alps_options o = options(nearby);
    o.flags |= ALPS_STRICT;
    int err = any_open(&heap, first, &o);
    if (!err)
        CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(first), 0);
    if (err == ALPS_ENOTPMEM) {
        SKIP("there is no disk here");
        return;
    }
    CHECK_EQ(err, 0);
    o.parts = parts;
    CHECK_EQ(any_open(&heap, first, &o), ALPS_ENOTPMEM);
    o.flags = ALPS_CREATE;
    CHECK_EQ(any_open(&heap, first, &o), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(first), 0);
}

static void who_knows_no_parts_refuses_them(void)
{
    char blind_name[64];
    snprintf(blind_name, sizeof blind_name, "%s", shm_name("parts-blind"));
    const struct {
        const alps_backend *backend;
        const char *path;
    } blind[] = {{&alps_backend_anon_, NULL},
                 {&alps_backend_shmem_, blind_name}};
    alps_options o = options(two_more);
    char apart_name[64];
    snprintf(apart_name, sizeof apart_name, "%s", shm_name("parts-apart"));
    const alps_part apart[] = {{apart_name, KIB(320)}, {NULL, 0}};
    for (unsigned i = 0; i < 2; i++) {
        choose(blind[i].backend, &alps_policy_none_);
        CHECK_EQ(any_open(&heap, blind[i].path, &o), ALPS_EUNSUPPORTED);
        if (i)
            any_remove(blind[i].path);
    }
    // nor do they open what has some, though all of it were in the first file
    o = options(apart);
    o.size = KIB(256);
    again();
    CHECK_EQ(any_open(&heap, shm_path("parts-blind"), &o), 0);
    furnish(&heap, 1, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    o = options(NULL);
    alps_repaired r;
    choose(&alps_backend_shmem_, &alps_policy_none_);
    CHECK_EQ(any_open(&heap, blind_name, &o), ALPS_EUNSUPPORTED);
    CHECK_EQ(any_repair(blind_name, &r), ALPS_EUNSUPPORTED);
    again();
    CHECK_EQ(any_open(&heap, shm_path("parts-blind"), &o), 0);
    CHECK_EQ(listed(&heap), 1);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(shm_path("parts-blind")), 0);
}

/* ---- made anew, removed, copied, moved ------------------------------------- */

static void what_is_made_anew_leaves_no_old_parts(void)
{
    static const alps_part other[] = {
        {"second", KIB(128)}, {"fourth", KIB(512)}, {NULL, 0}};
    prepare();
    CHECK_EQ(try_parts(other, ALPS_TRUNCATE), 0);
    CHECK_EQ(parts_of(&heap), 2);
    CHECK_EQ(*(alps_off *)any_root(&heap, 64), 0);
    furnish(&heap, 10, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK(there("second") && there("fourth") && !there("third"));
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 10);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(try_parts(NULL, ALPS_TRUNCATE), 0);
    CHECK_EQ(parts_of(&heap), 0);
    furnish(&heap, 10, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(files(), 1);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 10);
    end();
}

static void what_is_missing_or_foreign_does_not_keep_it_from_being_removed(void)
{
    prepare();
    CHECK_EQ(unlink(at("third")), 0);
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(files(), 0);
    prepare();
    CHECK_EQ(put_bytes(at("third"), "a letter", 8), 0);
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(files(), 1); // somebody's
    CHECK_EQ(unlink(at("third")), 0);
    prepare();
    CHECK_EQ(unlink(at("second")), 0); // nobody knows of the third one now
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(unlink(at("third")), 0);
}

static void a_copy_is_one_file(void)
{
    any_heap copy;
    alps_options o = options(NULL);
    begin();
    furnish(&heap, 30, 20, 150000);
    alps_description d, of;
    for (unsigned i = 0; i < 3; i++) {
        if (i == 1)
            CHECK_EQ(any_sync(&heap) | any_close(&heap), 0);
        if (i == 2)
            CHECK_EQ(reopen(&heap, ALPS_READ_ONLY), 0);
        CHECK_EQ(i == 1 ? any_copy(at("region"), at("copy"))
                        : any_snapshot(&heap, at("copy")),
                 0);
        CHECK_EQ(length_of("copy"), KIB(320) > length_of("third")
                                        ? length_of("third") + KIB(576)
                                        : length_of("third") + KIB(640 - 64));
        choose(&alps_backend_file_, &alps_policy_none_);
        CHECK_EQ(any_open(&copy, at("copy"), &o), 0);
        CHECK_EQ(parts_of(&copy), 0);
        CHECK_EQ(listed(&copy), 30);
        CHECK(sound(&copy));
        CHECK_EQ(any_describe(&copy, &of), 0);
        CHECK_EQ(any_close(&copy), 0);
        again();
        if (i == 0 && alone() && !commits()) { // it is ours alone
            CHECK_EQ(any_inspect(at("region"), &d), ALPS_EBUSY);
        } else {
            CHECK_EQ(any_inspect(at("region"), &d), 0);
            CHECK_EQ(d.parts, 2);
            CHECK(!memcmp(d.uuid, of.uuid, sizeof d.uuid));
        }
        CHECK_EQ(unlink(at("copy")), 0);
    }
    end();
}

/* A copy takes the place of a region: the parts of that one go. */
static void a_copy_over_a_region_takes_its_parts_away(void)
{
    alps_options o = options(NULL);
    prepare();
    CHECK_EQ(any_open(&heap, at("plain"), &o), 0);
    furnish(&heap, 4, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_copy(at("plain"), at("region")), 0);
    CHECK_EQ(files(), 2);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 4);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(at("plain")), 0);
    end();
}

/* Paths that are not absolute are of the folder of the first file, wherever
 * that is; links are followed. */
static void all_of_it_may_move(void)
{
    char old[80], there_now[120];
    prepare();
    snprintf(old, sizeof old, "%s", folder);
    snprintf(there_now, sizeof there_now, "%s-moved", folder);
    CHECK_EQ(rename(folder, there_now), 0);
    snprintf(folder, sizeof folder, "%.79s", there_now);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    char link[120];
    snprintf(link, sizeof link, "%s-link", old);
    CHECK_EQ(symlink(at("region"), link), 0);
    alps_options o = options(NULL);
    CHECK_EQ(any_open(&heap, link, &o), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(unlink(link), 0);
    // one part elsewhere, and a link in its place
    snprintf(link, sizeof link, "%s-part", old);
    CHECK_EQ(rename(at("third"), link), 0);
    CHECK_EQ(symlink(link, at("third")), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(unlink(at("third")), 0);
    CHECK_EQ(rename(link, at("third")), 0);
    CHECK_EQ(rename(folder, old), 0);
    snprintf(folder, sizeof folder, "%s", old);
    end();
}

/* An absolute path, and a folder. */
static void a_part_lies_where_it_is_said(void)
{
    char absolute[160];
    CHECK_EQ(mkdir(at("disk"), 0700), 0);
    snprintf(absolute, sizeof absolute, "%s", at("absolute"));
    alps_part parts[] = {{absolute, KIB(320)}, {"disk/", KIB(640)}, {NULL, 0}};
    CHECK_EQ(try_parts(parts, 0), 0);
    furnish(&heap, 30, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK(there("absolute") && there("disk/region.2"));
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(rmdir(at("disk")), 0);
    CHECK_EQ(files(), 0);
}

static void the_environment_may_name_them(void)
{
    CHECK_EQ(mkdir(at("disk"), 0700), 0);
    setenv("ALPS_PARTS", "320K@disk/,640K@third", 1);
    CHECK_EQ(try_parts(NULL, 0), 0);
    CHECK_EQ(parts_of(&heap), 2);
    furnish(&heap, 30, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK(there("disk/region.1") && there("third"));
    CHECK_EQ(length_of("region"), KIB(320));
    setenv("ALPS_PARTS", "1@x,2@y,3@z", 1); // of one that is there: nothing
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(parts_of(&heap), 2);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(try_parts(even, ALPS_TRUNCATE), 0); // the program comes first
    CHECK(there("second") && !there("disk/region.1"));
    CHECK_EQ(any_close(&heap), 0);
    setenv("ALPS_PARTS", "x@y,third", 1); // no number: part of the name
    CHECK_EQ(try_parts(NULL, ALPS_TRUNCATE), 0);
    CHECK(there("x@y") && there("third"));
    CHECK_EQ(any_close(&heap), 0);
    setenv("ALPS_PARTS", "second,,third", 1);
    CHECK_EQ(try_parts(NULL, ALPS_TRUNCATE), ALPS_EINVAL);
    unsetenv("ALPS_PARTS");
    CHECK_EQ(rmdir(at("disk")), 0);
    end();
}

/* ---- damage ----------------------------------------------------------------- */

/* What leads to the parts lies beside the superblock: who mends that still
 * finds them. */
static void a_damaged_superblock_keeps_its_parts(void)
{
    size_t n = 0;
    alps_repaired r;
    prepare();
    unsigned char *bytes = bytes_of(at("region"), &n);
    memset(bytes, 0x55, 8); // not even its magic is left
    CHECK_EQ(put_bytes(at("region"), bytes, n), 0);
    free(bytes);
    CHECK_EQ(reopen(&heap, 0), ALPS_EFORMAT);
    CHECK_EQ(any_repair(at("region"), &r), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    CHECK_EQ(parts_of(&heap), 2);
    end();
}

/* Who looks into an open region looks at the heads of its parts too. */
static void check_sees_a_head_that_is_overwritten(void)
{
    alps_report r;
    begin();
    CHECK_EQ(any_check(&heap, &r), 0);
    char byte = 0;
    int fd = open(at("third"), O_RDWR | O_CLOEXEC);
    CHECK_EQ(pread(fd, &byte, 1, 20), 1);
    byte = (char)~byte;
    CHECK_EQ(pwrite(fd, &byte, 1, 20), 1);
    close(fd);
    CHECK(any_check(&heap, &r) != 0);
    CHECK_EQ(r.problems, 1);
    CHECK_EQ(r.first[0].off, KIB(640));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(&heap, 0), ALPS_EPART);
    CHECK_EQ(unlink(at("third")), 0);
    CHECK_EQ(any_remove(at("region")), 0);
}

static int count_visit(void *context, void *p, size_t n)
{
    (void)p;
    (void)n;
    ++*(unsigned *)context;
    return 0;
}

/* Without a part there is less to salvage, and no harm is done. */
static void what_is_left_without_a_part_can_be_salvaged(void)
{
    unsigned all = 0, some = 0;
    uint64_t skipped = 0;
    prepare();
    CHECK_EQ(reopen(&heap, ALPS_SALVAGE), 0);
    CHECK_EQ(any_salvage(&heap, count_visit, &all, &skipped), 0);
    CHECK_EQ(skipped, 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(rename(at("third"), at("away")), 0);
    uint64_t sum = folder_sum();
    CHECK_EQ(reopen(&heap, ALPS_SALVAGE), 0);
    CHECK_EQ(alps_size_(&heap.core), KIB(640));
    CHECK_EQ(any_salvage(&heap, count_visit, &some, &skipped), 0);
    CHECK(some > 0 && some < all);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(folder_sum(), sum);
    CHECK_EQ(rename(at("away"), at("third")), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 30);
    end();
}

/* ---- many ------------------------------------------------------------------- */

static void there_may_be_many(void)
{
    static char names[ALPS_PARTS_MAX + 1][16];
    static alps_part parts[ALPS_PARTS_MAX + 2];
    alps_options o;
    for (unsigned i = 0; i <= ALPS_PARTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "part.%u", i);
        parts[i].path = names[i];
        parts[i].from = KIB(64) * (i + 1);
    }
    o = options(parts);
    o.size = KIB(4096);
    CHECK_EQ(open_with(&heap, o), ALPS_EINVAL); // one too many
    parts[ALPS_PARTS_MAX].path = NULL;
    CHECK_EQ(open_with(&heap, o), 0);
    CHECK_EQ(parts_of(&heap), ALPS_PARTS_MAX);
    furnish(&heap, 150, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(&heap, 0), 0);
    CHECK_EQ(listed(&heap), 150);
    CHECK(sound(&heap));
    end();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    snprintf(folder, sizeof folder, "%s", shm_path("parts"));
    board = (uint64_t *)board_make(4096);
    RUN_IN_ALL(a_region_lies_in_all_its_files);
    RUN_IN_ALL(each_byte_is_in_the_file_that_has_its_place);
    RUN_IN_ALL(a_new_region_is_divided_evenly);
    RUN_IN_ALL(the_front_may_lie_in_several_files);
    RUN_IN_ALL(it_grows_from_file_to_file);
    RUN_IN_ALL(other_processes_see_it_grow);
    RUN_IN_ALL(what_is_free_at_the_end_is_cut_off);
    RUN_IN_ALL(what_is_trimmed_has_its_blocks_again);
    RUN_ONCE(a_full_disk_of_one_file_is_a_code);
    RUN_PAGED(a_full_disk_of_one_file_is_a_code);
    RUN_PAGED(past_the_page_cache_go_all_or_none);
    RUN_IN_ALL(a_region_gets_further_files);
    RUN_IN_ALL(a_missing_part_is_a_code);
    RUN_IN_ALL(parts_that_were_exchanged_are_found_out);
    RUN_ONCE(a_file_of_anybody_is_no_part);
    RUN_IN_ALL(a_part_that_is_cut_short_is_truncated);
    RUN_IN_ALL(what_cannot_be_a_part_is_refused);
    RUN_IN_ALL(a_part_is_of_one_region_alone);
    RUN_ONCE(the_strict_want_every_part_on_a_disk);
    RUN_ONCE(who_knows_no_parts_refuses_them);
    RUN_IN_ALL(what_is_made_anew_leaves_no_old_parts);
    RUN_ONCE(what_is_missing_or_foreign_does_not_keep_it_from_being_removed);
    RUN_IN_ALL(a_copy_is_one_file);
    RUN_IN_ALL(a_copy_over_a_region_takes_its_parts_away);
    RUN_ONCE(all_of_it_may_move);
    RUN_IN_ALL(a_part_lies_where_it_is_said);
    RUN_IN_ALL(the_environment_may_name_them);
    RUN_IN_ALL(a_damaged_superblock_keeps_its_parts);
    RUN_IN_ALL(check_sees_a_head_that_is_overwritten);
    RUN_IN_ALL(what_is_left_without_a_part_can_be_salvaged);
    RUN_ONCE(there_may_be_many);
    return check_end("parts");
}
