/* shared.c -- copies where the file system shares blocks between files
 *
 *     shared DIRECTORY
 *
 * The directory is on a file system with FICLONE, of 400 MiB or so; run.sh makes
 * one. What the file system tells of the extents of a copy (FIEMAP) says whether
 * they are shared; a copy of the bytes would fail here. */
#define _GNU_SOURCE
#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"
#undef ALPS_NAME
#undef ALPS_POLICY
#define ALPS_NAME synced
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"

#include "check.h"
#include <dirent.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

/* Of a region, and what is stored in it: more than stays in a journal, which a
 * snapshot has to write into the copy. */
#define ROOM (48ull << 20)
#define BYTES (32ull << 20)

static const char *folder;
static char region[200], copied[200];

static alps_options how(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_CREATE;
    o.size = o.limit = ROOM;
    return o;
}

static void begin(void)
{
    snprintf(region, sizeof region, "%s/region", folder);
    snprintf(copied, sizeof copied, "%s/copy", folder);
    unlink(region);
    unlink(copied);
}

/* Bytes of a file that it has for itself, and those that it shares. */
static uint64_t alone(const char *path, uint64_t *shared)
{
    enum { AT_ONCE = 64 };
    static uint64_t
        room[(sizeof(struct fiemap) + AT_ONCE * sizeof(struct fiemap_extent)) /
                 8 +
             1];
    struct fiemap *map = (struct fiemap *)(void *)room;
    uint64_t sum[2] = {0, 0}, at = 0;
    int last = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    *shared = 0;
    if (!CHECK(fd >= 0))
        return ROOM;
    while (!last) {
        memset(room, 0, sizeof room);
        map->fm_start = at;
        map->fm_length = FIEMAP_MAX_OFFSET - at;
        map->fm_flags = FIEMAP_FLAG_SYNC;
        map->fm_extent_count = AT_ONCE;
        if (!CHECK_EQ(ioctl(fd, FS_IOC_FIEMAP, map), 0) ||
            !map->fm_mapped_extents)
            break;
        for (unsigned i = 0; i < map->fm_mapped_extents; i++) {
            const struct fiemap_extent *e = &map->fm_extents[i];
            sum[!!(e->fe_flags & FIEMAP_EXTENT_SHARED)] += e->fe_length;
            last |= !!(e->fe_flags & FIEMAP_EXTENT_LAST);
            at = e->fe_logical + e->fe_length;
        }
    }
    close(fd);
    *shared = sum[1];
    return sum[0];
}

/* Most of the copy is shared; what it says of itself is its own. */
static void is_shared(const char *path)
{
    uint64_t shared, own = alone(path, &shared);
    CHECK(shared >= BYTES);
    CHECK(own <= 1 << 20);
}

static int holds(const unsigned char *p, int value)
{
    return p && p[0] == value && !memcmp(p, p + 1, BYTES - 1);
}

/* Fills the file system but for `left` bytes, about; answers the descriptor of
 * the file that does. */
static int fill_up(uint64_t left)
{
    char path[220];
    uint64_t n = 0, step = 1 << 20;
    snprintf(path, sizeof path, "%s/filler", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    unlink(path);
    CHECK(fd >= 0);
    while (!posix_fallocate(fd, (off_t)n, (off_t)step))
        n += step;
    CHECK(n > left);
    CHECK_EQ(ftruncate(fd, (off_t)(n - left)), 0);
    CHECK_EQ(fsync(fd), 0);
    return fd;
}

/* A region whose root has BYTES of `what`, synced: where they are. */
static unsigned char *open_full_of(synced_heap *h, int what)
{
    alps_options o = how();
    begin();
    CHECK_EQ(synced_open(h, region, &o), 0);
    unsigned char *p = (unsigned char *)synced_alloc(h, BYTES);
    alps_off *root = (alps_off *)synced_root(h, 8);
    if (!CHECK(p != NULL))
        exit(1);
    *root = synced_off_of(h, p);
    memset(p, what, BYTES);
    CHECK_EQ(synced_sync(h), 0);
    return p;
}

static unsigned char *found(synced_heap *h)
{
    return (unsigned char *)synced_at(h, *(alps_off *)synced_root(h, 8));
}

static void a_snapshot_shares_blocks(void)
{
    synced_heap h, copy;
    alps_options o = how();
    unsigned char *p = open_full_of(&h, 1);
    CHECK_EQ(synced_snapshot(&h, copied), 0);
    is_shared(copied);
    memset(p, 2, BYTES); // the region goes on, the copy stays
    CHECK_EQ(synced_sync(&h), 0);
    o.flags = 0;
    o.size = o.limit = 0;
    CHECK_EQ(synced_open(&copy, copied, &o), 0);
    CHECK_EQ(synced_check(&copy, NULL), 0);
    unsigned char *q = found(&copy);
    CHECK(holds(q, 1));
    memset(q, 3, BYTES); // and the other way round
    CHECK_EQ(synced_close(&copy), 0);
    CHECK(holds(p, 2));
    CHECK_EQ(synced_close(&h), 0);
    CHECK_EQ(synced_open(&h, region, &o), 0);
    CHECK(holds(found(&h), 2));
    CHECK_EQ(synced_close(&h), 0);
    CHECK_EQ(synced_remove(region), 0);
    CHECK_EQ(synced_remove(copied), 0);
}

/* It needs no room for bytes, so it can be made where a copy of them cannot. */
static void a_snapshot_needs_no_room(void)
{
    plain_heap h;
    alps_options o = how();
    begin();
    CHECK_EQ(plain_open(&h, region, &o), 0);
    void *p = plain_alloc(&h, BYTES);
    if (!CHECK(p != NULL))
        return;
    memset(p, 4, BYTES);
    CHECK_EQ(plain_sync(&h), 0);
    int fd = fill_up(4 << 20);
    CHECK_EQ(plain_snapshot(&h, copied), 0);
    is_shared(copied);
    close(fd);
    CHECK_EQ(plain_close(&h), 0);
    CHECK_EQ(plain_remove(copied), 0);
    CHECK_EQ(plain_copy(region, copied), 0); // of a region that is closed
    is_shared(copied);
    CHECK_EQ(plain_consistent(copied), 1);
    CHECK_EQ(plain_remove(copied), 0);
    CHECK_EQ(plain_remove(region), 0);
}

/* Stores into shared blocks need others: there are none, and that is a code; the
 * region is as it was. */
static void a_full_disk_is_told_when_shared_blocks_part(void)
{
    synced_heap h;
    alps_options o = how();
    unsigned char *p = open_full_of(&h, 5);
    CHECK_EQ(synced_snapshot(&h, copied), 0);
    int fd = fill_up(2 << 20);
    memset(p, 6, BYTES);
    int err = synced_sync(&h);
    CHECK(err == ALPS_ENOSPC || err == ALPS_EFULL);
    CHECK(holds(p, 6)); // memory is as it was left
    close(fd);
    CHECK_EQ(synced_sync(&h), 0); // and again
    CHECK_EQ(synced_close(&h), 0);
    o.flags = ALPS_READ_ONLY;
    CHECK_EQ(synced_open(&h, region, &o), 0);
    CHECK(holds(found(&h), 6));
    CHECK_EQ(synced_close(&h), 0);
    CHECK_EQ(synced_open(&h, copied, &o), 0);
    CHECK(holds(found(&h), 5));
    CHECK_EQ(synced_close(&h), 0);
    CHECK_EQ(synced_remove(region), 0);
    CHECK_EQ(synced_remove(copied), 0);
}

int main(int argc, char **argv)
{
    struct statvfs s;
    if (argc != 2 || statvfs(argv[1], &s) ||
        (uint64_t)s.f_blocks * s.f_frsize > 1 << 30) // it is filled
        return 2;
    folder = argv[1];
    RUN(a_snapshot_shares_blocks);
    RUN(a_snapshot_needs_no_room);
    RUN(a_full_disk_is_told_when_shared_blocks_part);
    return check_end("shared");
}
