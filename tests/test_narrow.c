/* test_narrow.c -- a group that leaves the page cache little room
 *
 * By what a file of our own says of it: 24 MiB, of which a region is told that
 * it may have 16. Segments are 256 KiB. */
#define _GNU_SOURCE 1 // O_DIRECT
static char fake_sysfs[128], fake_groups[192];
#define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#define ALPS_SYSFS fake_sysfs
#define ALPS_GROUPS fake_groups
#define ALPS_POLICY ALPS_CHECKPOINT
#include "pages.h"

NOBODY_WATCHES_THE_MEDIUM

#define SEGMENT (256 * KIB)
#define SEGMENTS 96u

/* What the group may have, in words. */
static void group_has(const char *limit)
{
    char name[192];
    snprintf(fake_sysfs, sizeof fake_sysfs, "%s/sys", folder);
    snprintf(fake_groups, sizeof fake_groups, "%s/groups", folder);
    snprintf(name, sizeof name, "%s/sys/fs/cgroup/memory.max", folder);
    for (char *at = name + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(name, 0700);
        *at = '/';
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, limit, strlen(limit)) == (ssize_t)strlen(limit));
    close(fd);
    fd = open(fake_groups, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, "0::/\n", 5) == 5);
    close(fd);
}

static void group_gone(void)
{
    static const char *const part[] = {"sys/fs/cgroup/memory.max", "groups",
                                       "sys/fs/cgroup", "sys/fs", "sys"};
    char name[192];
    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, part[i]);
        CHECK(!(i < 2 ? unlink(name) : rmdir(name)));
    }
}

static alps_options narrow(void)
{
    alps_options o = paged(0);
    o.segment = SEGMENT;
    o.memory = 16 * MIB;
    return o;
}

static unsigned char byte_of(uint64_t at)
{
    return (unsigned char)(at / SEGMENT * 7 + at % 251 + 1);
}

/* A file with something everywhere, or nothing, mapped. */
static unsigned char *mapped(const alps_options *o, int filled)
{
    path_to("narrow");
    if (filled) {
        unsigned char *bytes = (unsigned char *)malloc(SEGMENTS * SEGMENT);
        for (uint64_t i = 0; i < SEGMENTS * SEGMENT; i++)
            bytes[i] = byte_of(i);
        file_make(bytes, SEGMENTS * SEGMENT);
        free(bytes);
    }
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, SEGMENTS * SEGMENT, o);
    CHECK(p != NULL);
    memset((void *)(uintptr_t)reads_by, 0, sizeof reads_by);
    memset((void *)(uintptr_t)writes_by, 0, sizeof writes_by);
    return p;
}

static void gone(unsigned char *p)
{
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

/* Whether this file system can be read past its cache at all. */
static int can_be_past(void)
{
    path_to("past");
    int fd = open(the_path, O_RDWR | O_CREAT | O_DIRECT, 0600);
    if (fd >= 0)
        close(fd);
    unlink(the_path);
    return fd >= 0;
}

static unsigned long read_past(const unsigned char *p)
{
    int fd = pager_of((void *)(uintptr_t)p)->backing.file[0].past;
    return fd < 0 ? 0 : reads_by[fd];
}

static unsigned long wrote_past(const unsigned char *p)
{
    int fd = pager_of((void *)(uintptr_t)p)->backing.file[0].past;
    return fd < 0 ? 0 : writes_by[fd];
}

/* Adds one to a byte of each segment. */
static int updated(unsigned char *p)
{
    int bad = 0;
    for (uint64_t i = 0; i < SEGMENTS; i++) {
        volatile unsigned char *at = p + i * SEGMENT + i * 999;
        bad += *at != byte_of(i * SEGMENT + i * 999);
        ++*at;
        guesses_are_there(pager_of(p));
    }
    return bad;
}

/* And whether all of the file is so. */
static int is_updated(void)
{
    unsigned char *bytes = (unsigned char *)malloc(SEGMENTS * SEGMENT);
    for (uint64_t i = 0; i < SEGMENTS * SEGMENT; i++)
        bytes[i] = byte_of(i);
    for (uint64_t i = 0; i < SEGMENTS; i++)
        bytes[i * SEGMENT + i * 999]++;
    int same = file_has(bytes, 0, SEGMENTS * SEGMENT);
    free(bytes);
    return same;
}

static void what_is_updated_in_a_row_goes_past_the_cache(void)
{
    alps_options o = narrow();
    unsigned char *p = mapped(&o, 1);
    alps_pager *x = pager_of(p);
    CHECK(x->backing.narrow && x->backing.file[0].past >= 0 && x->ahead.most == 4);
    CHECK_EQ(updated(p), 0);
    alps_paging count = alps_writeback_count_(x);
    CHECK(read_past(p) > SEGMENTS - 8);
    CHECK(wrote_past(p) > SEGMENTS / 4);
    CHECK(count.prefetches > SEGMENTS / 8);
    CHECK_EQ(alps_ufree(p), 0);
    CHECK(is_updated());
    unlink(the_path);
}

static void what_is_read_in_a_row_goes_past_it_too(void)
{
    alps_options o = narrow();
    int bad = 0;
    unsigned char *p = mapped(&o, 1);
    for (uint64_t i = 0; i < SEGMENTS; i++) {
        bad += *(volatile unsigned char *)(p + i * SEGMENT) !=
               byte_of(i * SEGMENT);
        guesses_are_there(pager_of(p));
    }
    CHECK_EQ(bad, 0);
    CHECK(read_past(p) > SEGMENTS - 8);
    CHECK(alps_writeback_count_(pager_of(p)).prefetches > SEGMENTS / 8);
    gone(p);
}

/* Two may be so by chance. */
static void two_in_a_row_go_by_way_of_it(void)
{
    alps_options o = narrow();
    int bad = 0;
    unsigned char *p = mapped(&o, 1);
    for (uint64_t i = 0; i < SEGMENTS / 3 * 2; i++) {
        uint64_t at = (i / 2 * 21 + i % 2) % SEGMENTS * SEGMENT;
        bad += *(volatile unsigned char *)(p + at) != byte_of(at);
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(read_past(p), 0);
    CHECK_EQ(alps_writeback_count_(pager_of(p)).prefetches, 0);
    gone(p);
}

static void what_is_here_and_there_goes_by_way_of_it(void)
{
    alps_options o = narrow();
    unsigned char *p = mapped(&o, 1);
    for (uint64_t i = 0; i < 2 * SEGMENTS; i++)
        ++*(volatile unsigned char *)(p + i * 7 % SEGMENTS * SEGMENT);
    CHECK_EQ(read_past(p), 0);
    CHECK(wrote_past(p) <= 1); // the first is behind nothing
    CHECK_EQ(alps_writeback_count_(pager_of(p)).prefetches, 0);
    gone(p);
}

/* The system has to be told of each block that has its first bytes, and is told
 * of many at once by way of the cache. */
static void what_was_never_written_goes_by_way_of_it(void)
{
    alps_options o = narrow();
    unsigned char *p = mapped(&o, 0);
    if (!pager_of(p)->backing.file[0].tells) {
        gone(p);
        SKIP("the file system does not tell what was never written");
        return;
    }
    memset(p, 5, SEGMENTS * SEGMENT);
    CHECK(alps_writeback_count_(pager_of(p)).evictions > SEGMENTS / 4);
    CHECK_EQ(wrote_past(p), 0);
    gone(p);
}

static void where_there_is_room_all_goes_by_way_of_it(void)
{
    static const char *const limit[] = {"max\n", "50331648\n", "25165824\n"};
    for (unsigned i = 0; i < 3; i++) {
        alps_options o = narrow();
        group_has(limit[i]);
        if (i == 2)
            o.segment = 128 * KIB; // too small
        unsigned char *p = mapped(&o, 1);
        CHECK_EQ(pager_of(p)->backing.narrow, 0);
        CHECK_EQ(pager_of(p)->backing.file[0].past, -1);
        CHECK_EQ(pager_of(p)->cleans, 0);
        CHECK_EQ(updated(p), 0);
        CHECK_EQ(alps_ufree(p), 0);
        CHECK(is_updated());
        unlink(the_path);
    }
    group_has("25165824\n");
}

/* The file system takes the flag, and then does not do it. */
static void what_cannot_go_past_it_does_not(void)
{
    for (unsigned at = 0; at < 100; at += 60) {
        alps_options o = narrow();
        unsigned char *p = mapped(&o, 1);
        int bad = 0;
        for (uint64_t i = 0; i < SEGMENTS; i++) {
            volatile unsigned char *byte = p + i * SEGMENT + i * 999;
            if (i == at)
                __atomic_store_n(&crooked, pager_of(p)->backing.file[0].past, __ATOMIC_RELAXED);
            bad += *byte != byte_of(i * SEGMENT + i * 999);
            ++*byte;
        }
        CHECK_EQ(bad, 0);
        CHECK_EQ(pager_of(p)->backing.narrow, 0);
        CHECK_EQ(alps_ufree(p), 0);
        __atomic_store_n(&crooked, -1, __ATOMIC_RELAXED);
        CHECK(is_updated());
        unlink(the_path);
    }
}

/* Two threads may hear of it at once. */
static void what_another_has_found_out_is_no_error(void)
{
    static unsigned char bytes[SEGMENT];
    alps_options o = narrow();
    alps_paging count;
    unsigned char *p = mapped(&o, 1);
    alps_backing *b = &pager_of(p)->backing;
    memset(&count, 0, sizeof count);
    __atomic_store_n(&b->narrow, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&crooked, b->file[0].past, __ATOMIC_RELAXED);
    CHECK_EQ(alps_backing_read_(b, 1, bytes, SEGMENT, 0, &count), 0);
    CHECK(bytes[0] == byte_of(0) && bytes[SEGMENT - 1] == byte_of(SEGMENT - 1));
    CHECK_EQ(count.failed, 0);
    __atomic_store_n(&crooked, -1, __ATOMIC_RELAXED);
    gone(p);
}

static void what_was_asked_to_go_past_it_does_or_fails(void)
{
    static unsigned char bytes[SEGMENT];
    alps_options o = narrow();
    alps_paging count;
    o.direct = 1;
    unsigned char *p = mapped(&o, 1);
    alps_backing *b = &pager_of(p)->backing;
    memset(&count, 0, sizeof count);
    __atomic_store_n(&crooked, b->file[0].past, __ATOMIC_RELAXED);
    CHECK_EQ(alps_backing_read_(b, 1, bytes, SEGMENT, 0, &count), ALPS_EINVAL);
    __atomic_store_n(&crooked, -1, __ATOMIC_RELAXED);
    gone(p);
}

static void half_of_the_group_is_the_default(void)
{
    CHECK_EQ(alps_engine_memory_(), 12 * MIB);
    group_has("max\n");
    CHECK(alps_engine_memory_() > 12 * MIB);
    group_has("1000\n");
    CHECK(alps_engine_memory_() >= 64 * KIB);
    group_has("25165824\n");
}

/* What is committed all at once goes to the journal. */
static void under_checkpoint_nothing_goes_past_it(void)
{
    alps_heap h;
    alps_options o = narrow();
    o.size = 48 * MIB;
    path_to("committed");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(h.core.map.pager->backing.narrow, 0);
    CHECK_EQ(h.core.map.pager->backing.file[0].past, -1);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void run_all(void)
{
    RUN(what_is_updated_in_a_row_goes_past_the_cache);
    RUN(what_is_read_in_a_row_goes_past_it_too);
    RUN(two_in_a_row_go_by_way_of_it);
    RUN(what_is_here_and_there_goes_by_way_of_it);
    RUN(what_was_never_written_goes_by_way_of_it);
    RUN(where_there_is_room_all_goes_by_way_of_it);
    RUN(what_cannot_go_past_it_does_not);
    RUN(what_another_has_found_out_is_no_error);
    RUN(what_was_asked_to_go_past_it_does_or_fails);
    RUN(half_of_the_group_is_the_default);
    RUN(under_checkpoint_nothing_goes_past_it);
}

static void nothing_goes_past_the_cache_here(void)
{
    SKIP("this file system reads and writes by way of its cache only");
}

int main(void)
{
    folder_make();
    if (!can_be_past()) {
        RUN(nothing_goes_past_the_cache_here);
        folder_remove();
        return check_end("narrow");
    }
    group_has("25165824\n");
    with_each_engine(run_all);
    group_gone();
    folder_remove();
    return check_end("narrow");
}
