/* test_devices.c -- a region that goes on on a block device
 *
 * A loop device over a file in memory. Who may make none skips. */
#include "list.h"
#include "told.h"
#include <dirent.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

ALPS_HANDLER(faults);

#define KIB(n) ((uint64_t)(n) << 10)
#define DEVICE KIB(2048) // bytes of it; 128 KiB are in front of its piece

static const struct world {
    const char *name;
    const alps_backend *backend;
    const alps_policy *policy;
    unsigned engine;
} worlds[] = {
    {"file, none", &alps_backend_file_, &alps_policy_none_, 0},
    {"file, msync", &alps_backend_file_, &alps_policy_msync_, 0},
    {"file, checkpoint", &alps_backend_file_, &alps_policy_checkpoint_, 0},
    {"pmem, msync", &alps_backend_pmem_, &alps_policy_msync_, 0},
    {"paged, rewired", &alps_backend_paged_, &alps_policy_msync_,
     ALPS_ENGINE_REWIRE},
    {"paged, committed", &alps_backend_paged_, &alps_policy_checkpoint_,
     ALPS_ENGINE_REWIRE},
};
static const struct world *world = worlds;
static any_heap heap;
static char folder[80], device[32], disk[120];
static int loop = -1; // the device

static const char *at(const char *name)
{
    static char path[4][160];
    static unsigned turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
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

/* Makes the device, over `n` bytes of `value`, and a sector that is no page; it
 * goes when it is closed. */
static int device_make(uint64_t n, int value)
{
    struct loop_config how;
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(disk, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    n += 512;
    char *bytes = (char *)malloc(n);
    memset(bytes, value, n);
    memset(&how, 0, sizeof how);
    how.fd = (unsigned)file;
    how.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    loop = -1;
    CHECK_EQ(write(file, bytes, n), n);
    free(bytes);
    for (int i = 0; control >= 0 && loop < 0 && i < 20; i++) {
        snprintf(device, sizeof device, "/dev/loop%d",
                 ioctl(control, LOOP_CTL_GET_FREE));
        loop = open(device, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &how)) {
            close(loop); // somebody else was quicker
            loop = -1;
        }
    }
    close(file);
    if (control >= 0)
        close(control);
    return loop >= 0;
}

static void device_end(void)
{
    if (loop >= 0)
        close(loop);
    loop = -1;
    unlink(disk);
}

/* The first bytes of the device are zeroes. */
static int device_is_bare(void)
{
    static char bytes[128 << 10], none[128 << 10];
    return pread(loop, bytes, sizeof bytes, 0) == sizeof bytes &&
           !memcmp(bytes, none, sizeof none);
}

static alps_part parts[3];

static alps_options options(int more)
{
    alps_options o = small(KIB(960), KIB(64));
    parts[0].path = device;
    parts[0].from = KIB(260); // inside of a segment
    parts[1].path = more ? "third" : NULL;
    parts[1].from = KIB(640);
    o.limit = KIB(8192);
    o.parts = parts;
    o.engine = world->engine;
    o.faults = &faults;
    o.segment = world->engine ? 16384 : 0;
    o.memory = 16 * o.segment;
    return o;
}

static int open_with(alps_options o)
{
    return any_open(&heap, at("region"), &o);
}

/* Opens what is there. */
static int reopen(unsigned flags)
{
    alps_options o = options(0);
    o.parts = NULL;
    o.size = 0;
    o.flags = flags ? flags : ALPS_EXCLUSIVE; // without ALPS_CREATE
    if (flags)
        o.engine = 0;
    return any_open(&heap, at("region"), &o);
}

/* Closes and removes it: with it go its files, and what is on the device. */
static void end(void)
{
    if (heap.core.map.base)
        CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(files(), 0);
    CHECK(loop < 0 || device_is_bare());
}

static void a_region_goes_on_on_a_device(void)
{
    alps_description d;
    for (int more = 0; more < 2; more++) {
        CHECK_EQ(open_with(options(more)), 0);
        furnish(&heap, 60, 20, 150000);
        CHECK_EQ(any_sync(&heap), 0);
        CHECK(sound(&heap));
        CHECK_EQ(any_close(&heap), 0);
        CHECK(!device_is_bare());
        CHECK_EQ(reopen(0), 0);
        CHECK_EQ(listed(&heap), 60);
        CHECK(sound(&heap));
        CHECK_EQ(any_describe(&heap, &d), 0);
        CHECK_EQ(d.parts, 1 + more);
        CHECK_EQ(any_snapshot(&heap, at("copy")), 0);
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(reopen(ALPS_READ_ONLY), 0);
        CHECK_EQ(listed(&heap), 60);
        CHECK_EQ(any_close(&heap), 0);
        alps_options o = options(0);
        o.parts = NULL;
        CHECK_EQ(any_open(&heap, at("copy"), &o), 0);
        CHECK_EQ(listed(&heap), 60);
        CHECK_EQ(any_close(&heap), 0);
        CHECK_EQ(any_remove(at("copy")), 0);
        end();
    }
}

/* What was on the device is in no place where the region looks for zeroes. */
static void what_a_device_held_is_nothing_to_the_region(void)
{
    device_end();
    if (!CHECK(device_make(DEVICE, 0xff)))
        return;
    static const char zeroes[128 << 10];
    CHECK_EQ(pwrite(loop, zeroes, sizeof zeroes, 0), sizeof zeroes);
    alps_options o = options(0);
    parts[0].from = KIB(64); // the front of the region goes on there
    o.lanes = 64;
    o.shards = 4;
    CHECK_EQ(open_with(o), 0);
    CHECK(heap.core.at.heap > KIB(64));
    CHECK(sound(&heap));
    furnish(&heap, 30, 20, 150000);
    CHECK_EQ(any_grow(&heap, KIB(1600)), 0);
    furnish(&heap, 30, 20, 150000);
    char *p = (char *)any_zalloc(&heap, 300000);
    for (unsigned i = 0; p && i < 300000; i++)
        if (p[i] && !CHECK_EQ(p[i], 0))
            break;
    alps_off off = any_off_of(&heap, p);
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(0), 0);
    CHECK_EQ(listed(&heap), 60);
    CHECK(sound(&heap));
    p = (char *)any_at(&heap, off); // zeroes are as good as other bytes
    for (unsigned i = 0; p && i < 300000; i++)
        if (p[i] && !CHECK_EQ(p[i], 0))
            break;
    end();
}

static void a_device_has_its_length(void)
{
    CHECK_EQ(open_with(options(0)), 0);
    uint64_t most = KIB(260) + DEVICE - KIB(128);
    furnish(&heap, 10, 20, 150000);
    CHECK_EQ(any_grow(&heap, most), 0);
    CHECK_EQ(any_grow(&heap, most + 4096), ALPS_ENOSPC);
    CHECK(!any_alloc(&heap, KIB(3000)));
    CHECK_EQ(any_error(&heap), ALPS_ENOSPC);
    CHECK_EQ(alps_size_(&heap.core), most);
    heap.core.map.flags |= ALPS_SHRINK;
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(0), 0);
    CHECK(alps_size_(&heap.core) <= KIB(960));
    CHECK_EQ(listed(&heap), 10);
    CHECK_EQ(any_grow(&heap, KIB(1500)), 0);
    void *p = any_alloc(&heap, KIB(800));
    CHECK(p != NULL);
    memset(p, 5, KIB(800));
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK((p = any_alloc(&heap, KIB(800))) != NULL);
    memset(p, 6, KIB(800));
    CHECK_EQ(listed(&heap), 10);
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&heap), 0);
    // where the next part begins behind its end nobody gets there
    alps_options o = options(1);
    parts[1].from = KIB(4096);
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    CHECK_EQ(open_with(o), 0);
    CHECK_EQ(any_grow(&heap, KIB(5000)), ALPS_ENOSPC);
    CHECK(sound(&heap));
    end();
}

/* Something on it, or somebody who uses it: nothing is written. */
static void a_device_that_is_not_free_is_refused(void)
{
    static const uint64_t where[] = {0, 8, 1080, 4086, 65600, 131064};
    uint64_t mark = 0x4d5f53665248425f, zero = 0, found;
    for (unsigned i = 0; i < sizeof where / sizeof *where; i++) {
        off_t off = (off_t)where[i];
        CHECK_EQ(pwrite(loop, &mark, sizeof mark, off), sizeof mark);
        CHECK_EQ(open_with(options(0)), ALPS_EEXIST);
        CHECK_EQ(pread(loop, &found, sizeof found, off), sizeof found);
        CHECK_EQ(found, mark);
        CHECK_EQ(pwrite(loop, &zero, sizeof zero, off), sizeof zero);
        unlink(at("region"));
    }
    int user = open(device, O_RDWR | O_EXCL | O_CLOEXEC); // as who mounts it
    CHECK(user >= 0);
    CHECK_EQ(open_with(options(0)), ALPS_EBUSY);
    CHECK(device_is_bare());
    close(user);
    unlink(at("region"));
    // nor is it a first file, or what a copy goes to
    alps_options o = options(0);
    o.parts = NULL;
    CHECK_EQ(any_open(&heap, device, &o), ALPS_EUNSUPPORTED);
    CHECK_EQ(any_remove(device), ALPS_EUNSUPPORTED);
    CHECK(device_is_bare());
    // by another path it is the same
    alps_part twice[] = {{device, KIB(256)}, {at("node"), KIB(640)}, {NULL, 0}};
    struct stat st;
    CHECK_EQ(fstat(loop, &st), 0);
    CHECK_EQ(mknod(at("node"), S_IFBLK | 0600, st.st_rdev), 0);
    o.parts = twice;
    int err = open_with(o);
    CHECK(err == ALPS_EINVAL || err == ALPS_EACCES);
    CHECK(device_is_bare());
    unlink(at("node"));
    unlink(at("region"));
}

/* A new region takes the device of the one that it takes the place of, and who
 * has one of its parts taken away does without. */
static void a_device_is_taken_again(void)
{
    CHECK_EQ(open_with(options(1)), 0);
    furnish(&heap, 20, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    alps_options o = options(0);
    any_heap other;
    CHECK_EQ(any_open(&other, at("other"), &o), ALPS_EEXIST); // is another's
    unlink(at("other"));
    CHECK_EQ(reopen(0), 0);
    CHECK_EQ(listed(&heap), 20);
    CHECK_EQ(any_close(&heap), 0);
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    CHECK_EQ(open_with(o), 0);
    CHECK_EQ(*(alps_off *)any_root(&heap, 64), 0);
    furnish(&heap, 15, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(files(), 1 + (access(at("region.journal"), F_OK) == 0));
    CHECK_EQ(reopen(0), 0);
    CHECK_EQ(listed(&heap), 15);
    CHECK_EQ(any_close(&heap), 0);
    o = options(0);
    o.parts = NULL;
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    CHECK_EQ(open_with(o), 0);
    CHECK(device_is_bare());
    end();
}

static void a_device_that_is_gone_is_a_code(void)
{
    uint64_t word, wrong = 7;
    CHECK_EQ(open_with(options(0)), 0);
    furnish(&heap, 20, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(pread(loop, &word, 8, 16), 8);
    CHECK_EQ(pwrite(loop, &wrong, 8, 16), 8); // another part's
    CHECK_EQ(reopen(0), ALPS_EPART);
    CHECK_EQ(reopen(ALPS_READ_ONLY), ALPS_EPART);
    CHECK_EQ(any_remove(at("region")), 0); // what is not its own stays
    CHECK(!device_is_bare());
    device_end();
    CHECK(device_make(DEVICE, 0));
    CHECK_EQ(open_with(options(0)), 0);
    CHECK_EQ(any_close(&heap), 0);
    device_end();
    CHECK_EQ(reopen(0), ALPS_EPART); // it has nothing behind it
    CHECK_EQ(any_remove(at("region")), 0);
    CHECK_EQ(files(), 0);
    CHECK(device_make(DEVICE, 0));
}

static void further_parts_may_be_devices(void)
{
    alps_options o = options(0);
    o.parts = NULL;
    CHECK_EQ(open_with(o), 0);
    furnish(&heap, 20, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    o = options(0);
    parts[0].from = 0;
    CHECK_EQ(open_with(o), 0);
    CHECK_EQ(any_grow(&heap, alps_size_(&heap.core) + KIB(1024)), 0);
    furnish(&heap, 40, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(0), 0);
    CHECK_EQ(listed(&heap), 60);
    CHECK(sound(&heap));
    uint64_t end_of_device = heap.core.map.length;
    CHECK_EQ(any_close(&heap), 0);
    // and one behind it begins where it ends
    alps_part more[] = {{device, 0}, {"third", 0}, {NULL, 0}};
    o.parts = more;
    CHECK_EQ(open_with(o), 0);
    CHECK_EQ(heap.core.map.parts->piece[2].from, end_of_device);
    CHECK_EQ(any_grow(&heap, end_of_device + KIB(500)), 0);
    furnish(&heap, 40, 20, 150000);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(reopen(0), 0);
    CHECK_EQ(listed(&heap), 100);
    CHECK(sound(&heap));
    end();
}

/* What has the name of a device lies in memory, but not the device. */
static void a_device_is_a_disk_to_the_strict(void)
{
    char first[80];
    snprintf(first, sizeof first, "%s", disk_path("devices-first"));
    alps_options o = options(0);
    o.parts = NULL;
    o.flags = ALPS_CREATE | ALPS_STRICT;
    int err = any_open(&heap, first, &o);
    if (!err)
        CHECK_EQ(any_close(&heap), 0);
    any_remove(first);
    if (err) {
        SKIP("there is no disk here");
        return;
    }
    o.parts = parts;
    CHECK_EQ(any_open(&heap, first, &o), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(first), 0);
}

static void run(void (*test)(void), const char *name)
{
    char text[120];
    for (world = worlds; world < worlds + 6; world++) {
        choose(world->backend, world->policy);
        snprintf(text, sizeof text, "%s (%s)", name, world->name);
        CHECK(device_make(DEVICE, 0));
        check_run_(test, text);
        device_end();
    }
}
#define RUN_IN_ALL(name) run(name, #name)

static int may_be_made(void)
{
#ifdef CHECK_EMULATED // which does not know these calls
    return 0;
#else
    int may = device_make(DEVICE, 0);
    device_end();
    return may;
#endif
}

static void a_block_device_is_a_part(void)
{
    SKIP("no loop device may be made here");
}

int main(void)
{
    snprintf(folder, sizeof folder, "%s", shm_path("devices"));
    snprintf(disk, sizeof disk, "%s", shm_path("devices-disk"));
    if (mkdir(folder, 0700))
        return 2;
    if (may_be_made()) {
        RUN_IN_ALL(a_region_goes_on_on_a_device);
        RUN_IN_ALL(what_a_device_held_is_nothing_to_the_region);
        RUN_IN_ALL(a_device_has_its_length);
        RUN_IN_ALL(a_device_that_is_not_free_is_refused);
        RUN_IN_ALL(a_device_is_taken_again);
        RUN_IN_ALL(a_device_that_is_gone_is_a_code);
        RUN_IN_ALL(further_parts_may_be_devices);
        world = &worlds[1];
        choose(world->backend, world->policy);
        CHECK(device_make(DEVICE, 0));
        RUN(a_device_is_a_disk_to_the_strict);
        device_end();
        rmdir(folder);
        return check_end("devices");
    }
    RUN(a_block_device_is_a_part);
    rmdir(folder);
    return check_end("devices");
}
