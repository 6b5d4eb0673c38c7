/* test_snapshot.c -- copies: whole or not there, sparse, and regions */
#include "list.h"
#include "worlds.h"
#include <pthread.h>
#include <dirent.h>
#include <sys/mount.h>

static char copy_path[80];

static void aside(const char *what)
{
    snprintf(copy_path, sizeof copy_path, "%s", shm_path(what));
    unlink(copy_path);
}

/* Opens a copy as what it is, a file. */
static int open_copy(any_heap *h, unsigned flags)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = flags ? flags : ALPS_STRICT;
    choose(&alps_backend_file_, &alps_policy_none_);
    return any_open(h, copy_path, &o);
}

/* Back to the kind of the world. */
static void again(void)
{
    choose(world->backend, world->policy);
}

static uint64_t blocks_of(const char *path, uint64_t *length)
{
    struct stat st;
    memset(&st, 0, sizeof st);
    CHECK_EQ(stat(path, &st), 0);
    *length = (uint64_t)st.st_size;
    return (uint64_t)st.st_blocks * 512;
}

/* How many files there are beside the copy that were not finished. */
static unsigned unfinished(int sweep)
{
    unsigned n = 0;
    char path[400];
    const char *name = strrchr(copy_path, '/') + 1;
    DIR *d = opendir("/dev/shm");
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, name, strlen(name)) ||
            strncmp(e->d_name + strlen(name), ".new-", 5))
            continue;
        n++;
        snprintf(path, sizeof path, "/dev/shm/%s", e->d_name);
        if (sweep)
            unlink(path);
    }
    if (d)
        closedir(d);
    return n;
}

#define THINGS 500u

static void open_world(void)
{
    alps_options o = options(4u << 20, 1u << 16);
    o.limit = 64u << 20;
    o.layout = "things";
    o.description = "what the test keeps";
    begin_with(o);
    aside("copy");
}

static void no_copy_left(void)
{
    CHECK_EQ(unfinished(1), 0);
    CHECK_EQ(unlink(copy_path), 0);
    again();
    end();
}

/* ---- what it is --------------------------------------------------------- */

static void a_snapshot_is_the_region_as_it_was(void)
{
    any_heap copy;
    alps_description d, of;
    open_world();
    furnish(&heap, THINGS, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    furnish(&heap, 10, 50, 200000); // later: not in it
    CHECK_EQ(any_describe(&heap, &of), 0);
    CHECK_EQ(open_copy(&copy, 0), 0); // while the region is open
    CHECK_EQ(listed(&copy), THINGS);
    CHECK(sound(&copy));
    CHECK_EQ(any_describe(&copy, &d), 0);
    CHECK(!memcmp(d.uuid, of.uuid, sizeof d.uuid));
    CHECK(!strcmp(d.layout, "things"));
    CHECK(!strcmp(d.description, "what the test keeps"));
    CHECK_EQ(d.version, ALPS_LAYOUT);
    CHECK_EQ(d.created, of.created);
    CHECK_EQ(d.epoch, of.epoch + 1);
    CHECK_EQ(d.attached, 1);
    void *p = any_alloc(&copy, 100000); // it lives by itself
    CHECK(p != NULL);
    memset(p, 1, 100000);
    CHECK_EQ(any_free(&copy, p), 0);
    while (*(alps_off *)any_root(&copy, 64)) {
        alps_off *root = (alps_off *)any_root(&copy, 64);
        alps_off next = *(alps_off *)any_at(&copy, *root);
        CHECK_EQ(any_free(&copy, any_at(&copy, *root)), 0);
        *root = next;
    }
    CHECK(one_block_again(&copy));
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    again();
    CHECK_EQ(listed(&heap), THINGS + 10);
    CHECK(sound(&heap));
    no_copy_left();
}

static void reservations_are_not_in_it(void)
{
    any_heap copy;
    open_world();
    furnish(&heap, 20, 50, 200000);
    for (unsigned i = 0; i < 50; i++)
        CHECK(any_reserve(&heap, i % 2 ? 100 : 5000) != NULL);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    CHECK_EQ(open_copy(&copy, 0), 0);
    alps_statistics s;
    CHECK_EQ(any_stats(&copy, &s), 0);
    CHECK_EQ(s.blocks, 20);
    CHECK_EQ(s.reserved, 0);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    no_copy_left();
}

static void holes_are_kept_until_it_is_opened_for_writing(void)
{
    any_heap copy;
    uint64_t length, taken;
    alps_options o = options(32u << 20, 1u << 20);
    begin_with(o);
    aside("copy");
    furnish(&heap, 50, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    taken = blocks_of(copy_path, &length);
    CHECK_EQ(length, alps_size_(&heap.core));
    CHECK(taken < 8u << 20);
    CHECK_EQ(open_copy(&copy, ALPS_READ_ONLY), 0);
    CHECK_EQ(listed(&copy), 50);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    CHECK(blocks_of(copy_path, &length) < 8u << 20);
    CHECK_EQ(open_copy(&copy, 0), 0);
    CHECK_EQ(listed(&copy), 50);
    CHECK(blocks_of(copy_path, &length) >= length); // no store finds no room
    CHECK_EQ(any_close(&copy), 0);
    no_copy_left();
}

static void a_copy_of_a_copy_is_a_copy(void)
{
    any_heap copy;
    char second[80];
    open_world();
    furnish(&heap, THINGS, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    medium = alps_backend_file_;
    snprintf(second, sizeof second, "%s", shm_path("second"));
    CHECK_EQ(any_copy(copy_path, second), 0);
    CHECK_EQ(rename(second, copy_path), 0);
    CHECK_EQ(open_copy(&copy, ALPS_READ_ONLY), 0);
    char third[80];
    snprintf(third, sizeof third, "%s", shm_path("third"));
    CHECK_EQ(any_snapshot(&copy, third), 0); // also of what is only read
    CHECK_EQ(any_close(&copy), 0);
    CHECK_EQ(rename(third, copy_path), 0);
    CHECK_EQ(open_copy(&copy, 0), 0);
    CHECK_EQ(listed(&copy), THINGS);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    no_copy_left();
}

/* ---- by other ways ------------------------------------------------------- */

static unsigned char *bytes;
#define BYTES (1u << 20)
#define ALL (BYTES + 100)

/* The bytes of a file through each way of copying. */
static void every_way_of_copying_gives_the_same_bytes(void)
{
    char from[80];
    size_t n = 0;
    alps_map m;
    memset(&m, 0, sizeof m);
    snprintf(from, sizeof from, "%s", disk_path("from"));
    int fd = open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    m.fd = fd;
    bytes = (unsigned char *)calloc(1, ALL);
    CHECK(fd >= 0 && bytes);
    for (unsigned i = 0; i < BYTES; i++)
        if (i / 65536 % 3 == 1)
            bytes[i] = (unsigned char)(i * 7 + i / 256 + 1);
    bytes[BYTES + 99] = 9;
    for (unsigned i = 0; i < BYTES; i += 65536)
        if (i / 65536 % 3 == 1)
            CHECK_EQ(pwrite(fd, bytes + i, 65536, i), 65536);
    CHECK_EQ(pwrite(fd, bytes + BYTES + 99, 1, BYTES + 99), 1);
    for (unsigned way = 0; way < 4; way++) {
        alps_copying c;
        uint64_t length = 0;
        snprintf(copy_path, sizeof copy_path, "%s", disk_path("to"));
        CHECK_EQ(alps_copy_begin_(&c, copy_path, 0600), 0);
        int err = 0;
        if (way == 0)
            err = alps_copy_file_(&c, &m, ALL);
        else if (way == 1)
            err = alps_copy_data_(&c, &m, ALL);
        else if (way == 2)
            err = alps_copy_read_(&m, c.fd, 0, ALL);
        else
            err = alps_copy_memory_(c.fd, bytes, 0, BYTES) ||
                  alps_fd_write_(c.fd, bytes + BYTES, 100, BYTES);
        CHECK_EQ(alps_copy_end_(&c, copy_path, err), 0);
        unsigned char *got = bytes_of(copy_path, &n);
        CHECK(got && n == ALL && !memcmp(got, bytes, n));
        free(got);
        if (way != 2)
            CHECK(blocks_of(copy_path, &length) < BYTES / 2);
        CHECK_EQ(unlink(copy_path), 0);
    }
    free(bytes);
    close(fd);
    CHECK_EQ(unlink(from), 0);
}

/* ---- what is refused ------------------------------------------------------ */

static void what_is_no_region_is_neither_copied_nor_replaced(void)
{
    struct stat st;
    open_world();
    furnish(&heap, 5, 50, 200000);
    CHECK_EQ(put_bytes(copy_path, "somebody's letter", 17), 0);
    CHECK_EQ(any_snapshot(&heap, copy_path), ALPS_EFORMAT);
    CHECK(!stat(copy_path, &st) && st.st_size == 17);
    medium = alps_backend_file_;
    CHECK_EQ(any_copy(copy_path, shm_path("other")), ALPS_EFORMAT);
    CHECK(any_consistent(copy_path) < 0);
    again();
    CHECK_EQ(unlink(copy_path), 0);
    CHECK_EQ(any_snapshot(&heap, "/dev/shm"), ALPS_EUNSUPPORTED);
    CHECK_EQ(any_snapshot(&heap, "/nowhere/at/all"), ALPS_ENOENT);
    CHECK_EQ(any_snapshot(&heap, ""), ALPS_EINVAL);
    CHECK_EQ(any_snapshot(&heap, NULL), ALPS_EINVAL);
    CHECK_EQ(put_bytes(copy_path, "", 0), 0); // an empty file is nobody's
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    no_copy_left();
}

static void what_is_open_is_neither_copied_nor_replaced(void)
{
    any_heap copy;
    open_world();
    furnish(&heap, 5, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    CHECK_EQ(open_copy(&copy, 0), 0);
    CHECK_EQ(any_copy(copy_path, shm_path("other")), ALPS_EBUSY);
    CHECK_EQ(any_snapshot(&heap, copy_path), ALPS_EBUSY);
    CHECK_EQ(any_consistent(copy_path), 1);
    CHECK_EQ(any_remove(copy_path), ALPS_EBUSY);
    CHECK_EQ(any_close(&copy), 0);
    CHECK_EQ(open_copy(&copy, ALPS_READ_ONLY), 0);
    CHECK_EQ(any_copy(copy_path, shm_path("other")), 0);
    CHECK_EQ(unlink(shm_path("other")), 0);
    CHECK_EQ(any_snapshot(&heap, copy_path), ALPS_EBUSY);
    CHECK_EQ(any_remove(copy_path), ALPS_EBUSY);
    CHECK_EQ(any_close(&copy), 0);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    no_copy_left();
}

static void closed_regions_are_copied_by_name(void)
{
    any_heap copy;
    char to[80];
    open_world();
    furnish(&heap, THINGS, 50, 200000);
    CHECK_EQ(any_copy(place(), shm_name("to")), ALPS_EBUSY);
    CHECK_EQ(any_close(&heap), 0);
    if (world->backend == &alps_backend_shmem_)
        snprintf(to, sizeof to, "%s", shm_name("to"));
    else
        snprintf(to, sizeof to, "%s", shm_path("to"));
    CHECK_EQ(any_consistent(place()), 1);
    CHECK_EQ(any_copy(place(), to), 0);
    CHECK_EQ(any_consistent(to), 1);
    alps_description d;
    CHECK_EQ(any_inspect(to, &d), 0);
    CHECK(!strcmp(d.description, "what the test keeps"));
    CHECK_EQ(d.attached, 0);
    alps_options o = options(0, 0);
    CHECK_EQ(any_open(&copy, to, &o), 0);
    CHECK_EQ(listed(&copy), THINGS);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    CHECK_EQ(any_remove(to), 0);
    CHECK_EQ(any_consistent(to), ALPS_ENOENT);
    CHECK_EQ(any_copy(to, place()), ALPS_ENOENT);
    CHECK_EQ(open_too(&heap), 0);
    CHECK_EQ(listed(&heap), THINGS);
    end();
}

/* ---- words ---------------------------------------------------------------- */

static void a_description_is_kept_and_changed(void)
{
    alps_description d;
    char longest[600];
    memset(longest, 'x', sizeof longest);
    longest[599] = 0;
    open_world();
    CHECK_EQ(any_set_description(&heap, longest), ALPS_EINVAL);
    longest[495] = 0;
    CHECK_EQ(any_set_description(&heap, longest), 0);
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK(!strcmp(d.description, longest));
    for (unsigned i = 0; i < 5; i++) {
        snprintf(longest, sizeof longest, "number %u", i);
        CHECK_EQ(any_set_description(&heap, longest), 0);
        CHECK_EQ(any_describe(&heap, &d), 0);
        CHECK(!strcmp(d.description, longest));
    }
    // the last one is torn: the one before it is there
    ((alps_note *)alps_address_(&heap.core, ALPS_NOTE))[0].text[3] ^= 1;
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK(!strcmp(d.description, "number 3"));
    CHECK_EQ(any_set_description(&heap, NULL), 0);
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK_EQ(d.description[0], 0);
    CHECK(sound(&heap));
    end();
}

/* ---- a region that needs recovery ------------------------------------------ */

/* A record as a crash leaves it in the middle of a publish. */
static void what_needs_recovery_is_not_consistent_and_is_copied(void)
{
    any_heap copy;
    char crashed[80];
    world = &worlds[1]; // a file
    choose(&alps_backend_file_, &quiet);
    open_world();
    furnish(&heap, 10, 50, 200000);
    alps_handle *h = &heap.core;
    alps_off *root = (alps_off *)any_root(&heap, 64);
    unsigned i = 0;
    while (!alps_load_(&h->lanes[i].next))
        i++;
    alps_store_(&h->done[i].seq, h->done[i].seq - 1); // not retired
    *root = 0;                                        // nor carried out
    snprintf(crashed, sizeof crashed, "%s", shm_path("crashed"));
    CHECK_EQ(copy_file(the_path, crashed), 0);
    alps_options o;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    CHECK_EQ(any_consistent(crashed), 0);
    CHECK_EQ(any_open(&copy, crashed, &o), ALPS_ERECOVER);
    alps_description d;
    CHECK_EQ(any_inspect(crashed, &d), 0);
    CHECK_EQ(any_copy(crashed, copy_path), 0);
    CHECK_EQ(any_consistent(copy_path), 0);
    CHECK_EQ(any_consistent(the_path), 1); // its writer lives
    o.flags = 0;
    CHECK_EQ(any_open(&copy, copy_path, &o), 0);
    CHECK_EQ(listed(&copy), 10);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    CHECK_EQ(any_consistent(copy_path), 1);
    CHECK_EQ(unlink(crashed) | unlink(copy_path), 0);
    end();
}

/* ---- beside others ---------------------------------------------------------- */

static uint64_t *shared_word;

static void *thread_works(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument, bad = 0;
    void *p[64] = {0};
    for (unsigned i = 0; !alps_load_(shared_word); i++) {
        unsigned k = (unsigned)((seed += 0x9e3779b9) >> 7) % 64;
        if (p[k])
            bad += any_free(&heap, p[k]) != 0;
        p[k] = any_alloc(&heap, i % 40 == 0 ? 150000 : i % 5 ? 100 : 2000);
        bad += !p[k];
    }
    for (unsigned k = 0; k < 64; k++)
        bad += any_free(&heap, p[k]) != 0;
    return (void *)(uintptr_t)bad;
}

static void what_others_do_meanwhile_leaves_a_sound_copy(void)
{
    pthread_t thread[2];
    shared_word = (uint64_t *)board_make(4096);
    open_world();
    furnish(&heap, 100, 50, 200000);
    for (uintptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, thread_works,
                                (void *)(77 * i + 1)),
                 0);
    for (unsigned i = 0; i < 16 / SLOW; i++) {
        any_heap copy;
        CHECK_EQ(any_snapshot(&heap, copy_path), 0);
        size_t n = 0;
        unsigned char *b = bytes_of(copy_path, &n);
        CHECK(b && n >= 4u << 20);
        free(b);
        if (i % 4)
            continue;
        char kept[80];
        snprintf(kept, sizeof kept, "%s", shm_path("kept"));
        CHECK_EQ(copy_file(copy_path, kept), 0);
        alps_options o;
        memset(&o, 0, sizeof o);
        o.flags = ALPS_STRICT;
        alps_tables file = any_tables_;
        file.backend = &alps_backend_file_;
        file.policy = &alps_policy_none_;
        CHECK_EQ(alps_region_open_(&copy.core, kept, &o, &file), 0);
        CHECK_EQ(listed(&copy), 100);
        CHECK(sound(&copy));
        CHECK_EQ(alps_region_close_(&copy.core, 0, &file), 0);
        CHECK_EQ(unlink(kept), 0);
    }
    tell(shared_word, 1);
    for (unsigned i = 0; i < 2; i++) {
        void *bad = NULL;
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK(bad == NULL);
    }
    CHECK(sound(&heap));
    munmap(shared_word, 4096);
    no_copy_left();
}

static int child_makes_snapshots(void)
{
    if (open_too(&heap))
        return 1;
    for (;;)
        if (any_snapshot(&heap, copy_path))
            return 2;
}

/* Whatever the instant, one or the other is there. */
static void a_kill_leaves_the_old_snapshot_or_the_new_one(void)
{
    any_heap copy;
    unsigned left = 0;
    open_world();
    furnish(&heap, 200, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    for (unsigned i = 0; i < 20 / SLOW; i++) {
        pid_t child = start_child(child_makes_snapshots);
        nap(1000 + (long)throw_of(9000));
        CHECK_EQ(kill(child, SIGKILL), 0);
        CHECK_EQ(end_of(child), 1000 + SIGKILL);
        CHECK_EQ(any_reap(&heap), 0);
        CHECK_EQ(open_copy(&copy, ALPS_READ_ONLY), 0);
        CHECK_EQ(listed(&copy), 200);
        CHECK(sound(&copy));
        CHECK_EQ(any_close(&copy), 0);
        again();
        left += unfinished(1);
    }
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    CHECK(left > 0 || SLOW > 1); // some were in the middle of it
    CHECK(sound(&heap));
    no_copy_left();
}

static int child_on_a_small_disk(void)
{
    any_heap copy;
    if (syscall(SYS_unshare, 0x00020000) || // CLONE_NEWNS
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", mount_path(), "tmpfs", 0, "size=3m"))
        return 77;
    if (open_too(&heap))
        return 1;
    snprintf(copy_path, sizeof copy_path, "%s/c", mount_path());
    if (any_snapshot(&heap, copy_path))
        return 2;
    furnish(&heap, 40, 50, 200000); // extents
    for (unsigned i = 0; i < 20; i++) {
        void *p = any_alloc(&heap, 300000);
        memset(p, 3, 300000);
    }
    if (any_snapshot(&heap, copy_path) != ALPS_ENOSPC)
        return 3;
    if (open_copy(&copy, ALPS_READ_ONLY) || listed(&copy) != 20 ||
        any_close(&copy))
        return 4;
    if (open_copy(&copy, 0) != ALPS_ENOSPC) // no room for all its blocks
        return 5;
    DIR *d = opendir(mount_path());
    unsigned n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    again();
    return n != 3 || any_close(&heap) ? 6 : check_bad_ ? 7 : 0;
}

static void a_full_disk_leaves_the_old_snapshot(void)
{
    open_world();
    furnish(&heap, 20, 50, 200000);
    on_a_small_disk("small-copy", child_on_a_small_disk);
    end();
}

static void memory_of_the_process_becomes_a_file(void)
{
    any_heap copy;
    uint64_t length;
    world = &worlds[3];
    again();
    open_world();
    furnish(&heap, THINGS, 50, 200000);
    CHECK_EQ(any_snapshot(&heap, copy_path), 0);
    CHECK(blocks_of(copy_path, &length) < length);
    CHECK_EQ(length, alps_size_(&heap.core));
    CHECK_EQ(any_consistent(copy_path), ALPS_ENOENT); // of this backend
    CHECK_EQ(open_copy(&copy, 0), 0);
    CHECK_EQ(listed(&copy), THINGS);
    CHECK(sound(&copy));
    CHECK_EQ(any_close(&copy), 0);
    no_copy_left();
}

int main(void)
{
    setenv("ALPS_PMEM_FORCE", "1", 1);
    RUN(every_way_of_copying_gives_the_same_bytes);
    RUN_EVERYWHERE(a_snapshot_is_the_region_as_it_was);
    RUN_EVERYWHERE(reservations_are_not_in_it);
    RUN_WHERE_BYTES_STAY(holes_are_kept_until_it_is_opened_for_writing);
    RUN_EVERYWHERE(a_copy_of_a_copy_is_a_copy);
    RUN_EVERYWHERE(what_is_no_region_is_neither_copied_nor_replaced);
    RUN_EVERYWHERE(what_is_open_is_neither_copied_nor_replaced);
    RUN_WHERE_BYTES_STAY(closed_regions_are_copied_by_name);
    RUN_EVERYWHERE(a_description_is_kept_and_changed);
    RUN(what_needs_recovery_is_not_consistent_and_is_copied);
    RUN_EVERYWHERE(what_others_do_meanwhile_leaves_a_sound_copy);
    RUN_WHERE_BYTES_STAY(a_kill_leaves_the_old_snapshot_or_the_new_one);
    RUN_WHERE_BYTES_STAY(a_full_disk_leaves_the_old_snapshot);
    RUN(memory_of_the_process_becomes_a_file);
    return check_end("snapshot");
}
