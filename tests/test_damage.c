/* test_damage.c -- regions that are not what they should be
 *
 * Every byte of a small region is changed, in several ways; it is cut short,
 * overwritten, exchanged for something else. Whatever is opened, the answer
 * must be a code: no crash, no hang, no access outside the region (it lies
 * between two pages that fault), and what is refused is left as it was. A
 * change in the program's own bytes cannot be noticed, but must do no harm. */
#include "any.h"
#include "check.h"
#include "image.h"
#include <signal.h>
#include <sys/time.h>

/* The sanitizers and emulators are slow: they get every third byte. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    defined(__aarch64__)
#  define STRIDE 3u
#else
#  define STRIDE 1u
#endif

static image scene;            // what is damaged and opened
static unsigned char *closed;  // a region as it was closed
static unsigned char *crashed; // a region as it was when its user died
static uint64_t length;        // of both
static char doing[96];         // for the one who waits for us

/* An open that takes seconds is taken for a hang. */
static void hangs(int signal)
{
    (void)signal;
    if (write(2, doing, strlen(doing)) < 0 ||
        write(2, ": hangs or crashes\n", 19) < 0)
        _exit(2);
    _exit(1);
}

static void watch(void)
{
    static const struct itimerval patience = {{0, 0}, {20, 0}};
    setitimer(ITIMER_REAL, &patience, NULL);
}

static void put_back(const unsigned char *from)
{
    if (scene.length != length)
        image_length(&scene, length);
    memcpy(scene.bytes, from, length);
}

/* Uses the damaged scene; a refusal must not have changed it. */
static int use(unsigned flags)
{
    static unsigned char before[64u << 10];
    uint64_t n = scene.length;
    memcpy(before, scene.bytes, n);
    int err = image_use(&scene, flags);
    if (err && (scene.length != n || memcmp(before, scene.bytes, n))) {
        fprintf(stderr, "%s: refused with %d, but changed\n", doing, err);
        CHECK_EQ(err, 0); // a refused region is left untouched
    }
    return err;
}

/* A region with blocks of all kinds, free ones between them, a large object,
 * reservations under way, records in the lanes. */
static void build(void)
{
    region_heap h;
    alps_options o = image_options();
    void *kept[24];
    CHECK_EQ(image_make(&scene), 0);
    CHECK_EQ(region_open(&h, image_path(&scene), &o), 0);
    alps_off *root = (alps_off *)(void *)region_root(&h, 32 * sizeof *root);
    for (unsigned i = 0; i < 24; i++) {
        kept[i] = region_reserve(&h, 40 + i * 37);
        CHECK(kept[i] != NULL);
        memset(kept[i], (int)i, 40);
        CHECK_EQ(region_publish(&h, &root[i], kept[i]), 0);
    }
    for (unsigned i = 0; i < 24; i += 3)
        CHECK_EQ(region_release(&h, &root[i]), 0);
    void *large = region_reserve(&h, 9000);
    CHECK(large != NULL);
    memset(large, 1, 9000);
    CHECK_EQ(region_publish(&h, &root[24], large), 0);
    CHECK(region_reserve(&h, 100) != NULL);
    CHECK(region_alloc(&h, 200) != NULL);
    CHECK_EQ(region_check(&h, NULL), 0);
    length = scene.length;
    closed = (unsigned char *)malloc(length);
    crashed = (unsigned char *)malloc(length);
    CHECK(closed && crashed);
    memcpy(crashed, scene.bytes, length);
    CHECK_EQ(region_close(&h), 0);
    memcpy(closed, scene.bytes, length);
    CHECK_EQ(use(0), 0);
    put_back(crashed);
    CHECK_EQ(use(0), 0);
}

/* Changes each byte of `from` in turn. Answers how often that was refused. */
static unsigned long each_byte(const unsigned char *from, const char *what,
                               unsigned char keep, unsigned char flip)
{
    unsigned long refused = 0;
    for (uint64_t i = 0; i < length; i += STRIDE) {
        snprintf(doing, sizeof doing, "%s, byte %llu: & %02x ^ %02x", what,
                 (unsigned long long)i, keep, flip);
        if (i % 4096 < STRIDE)
            watch();
        put_back(from);
        scene.bytes[i] = (unsigned char)((from[i] & keep) ^ flip);
        if (scene.bytes[i] != from[i])
            refused += use(0) != 0;
    }
    return refused;
}

static void each_byte_of_a_closed_region(void)
{
    CHECK(each_byte(closed, "closed", 0xff, 0x01) > 100 / STRIDE);
    CHECK(each_byte(closed, "closed", 0x00, 0xff) > 100 / STRIDE);
}

static void each_byte_of_a_crashed_region(void)
{
    CHECK(each_byte(crashed, "crashed", 0xff, 0x80) > 100 / STRIDE);
    CHECK(each_byte(crashed, "crashed", 0x00, 0x00) > 40 / STRIDE);
}

/* No bit of the superblock may change without a refusal, but for those that
 * follow the checksum and say nothing. */
static void each_bit_of_the_superblock_is_guarded(void)
{
    static const struct {
        uint64_t from, to;
    } guarded[] = {
        {0, offsetof(alps_superblock, line_)},
        {offsetof(alps_superblock, size),
         offsetof(alps_superblock, size_line_)},
        {offsetof(alps_superblock, epoch),
         offsetof(alps_superblock, epoch_line_)},
    };
    for (unsigned k = 0; k < 3; k++)
        for (uint64_t i = guarded[k].from; i < guarded[k].to; i++)
            for (int bit = 0; bit < 8; bit++) {
                snprintf(doing, sizeof doing, "superblock, byte %d, bit %d",
                         (int)i, bit);
                watch();
                put_back(closed);
                scene.bytes[i] ^= (unsigned char)(1 << bit);
                int err = use(ALPS_CREATE);
                CHECK(err == ALPS_EFORMAT || err == ALPS_ECORRUPT ||
                      (err == ALPS_EVERSION && i / 4 == 4));
            }
}

/* The superblock with a checksum that is right. */
static void seal(void)
{
    region_heap h;
    memset(&h, 0, sizeof h);
    h.core.crc = alps_crc_kind_();
    h.core.super = (alps_superblock *)(void *)scene.bytes;
    h.core.super->crc = alps_super_crc_(&h.core);
}

/* Numbers that no creation would write, under a checksum that is right. */
static void each_number_of_the_superblock_is_doubted(void)
{
    static const uint64_t odd[] = {
        0,          1,          2,          3,          11,
        13,         31,         63,         64,         4095,
        4097,       65535,      65537,      1ull << 20, 1ull << 31,
        1ull << 32, 1ull << 46, 1ull << 47, 1ull << 48, ~0ull};
    for (uint64_t at = offsetof(alps_superblock, layout);
         at < offsetof(alps_superblock, crc); at += 4)
        for (unsigned k = 0; k < sizeof odd / sizeof *odd; k++)
            for (unsigned wide = 4; wide <= 8; wide += 4) {
                snprintf(doing, sizeof doing,
                         "superblock, %u bytes at %d: %llx", wide, (int)at,
                         (unsigned long long)odd[k]);
                watch();
                put_back(crashed);
                memcpy(scene.bytes + at, &odd[k], wide);
                seal();
                (void)use(0);
            }
    for (unsigned k = 0; k < sizeof odd / sizeof *odd; k++) {
        snprintf(doing, sizeof doing, "size %llx", (unsigned long long)odd[k]);
        watch();
        put_back(crashed);
        uint64_t size = alps_seal_(odd[k] & ((1ull << 48) - 1));
        memcpy(scene.bytes + offsetof(alps_superblock, size), &size, 8);
        (void)use(0);
    }
}

/* Records that recovery would believe, of what cannot be. */
static void each_number_of_a_record_is_doubted(void)
{
    static const uint64_t odd[] = {
        0,    1,     8,     63,    64,    4096,     4100,       8184,
        8192, 28672, 65528, 65535, 65536, 1u << 20, 1ull << 40, ~0ull};
    const unsigned n = sizeof odd / sizeof *odd;
    region_heap h;
    alps_options o = image_options();
    put_back(closed);
    CHECK_EQ(region_open(&h, image_path(&scene), &o), 0);
    alps_off lanes = h.core.at.lanes, heap = h.core.at.heap;
    CHECK_EQ(region_close(&h), 0);
    for (unsigned k = 0; k < 4 * n * n; k++) {
        alps_record r;
        snprintf(doing, sizeof doing, "record %u", k);
        watch();
        put_back(closed);
        memset(&h, 0, sizeof h);
        h.core.crc = alps_crc_kind_();
        h.core.super = (alps_superblock *)(void *)scene.bytes;
        memset(&r, 0, sizeof r);
        r.seq = 1ull << 40;
        r.op = (k & 1 ? ALPS_OP_PUBLISH : ALPS_OP_RELEASE) |
               (k & 2 ? ALPS_OP_LARGE : 0);
        r.block = odd[k / 4 % n] + (k % 3 ? heap : 0);
        r.units = odd[(k / 4 + k % 7) % n];
        r.dest = odd[k / 4 / n] + (k % 5 ? 0 : heap);
        r.value = odd[(k + 3) % n];
        r.epoch = h.core.super->epoch;
        r.check = alps_record_check_(&h.core, &r);
        memcpy(scene.bytes + lanes + ALPS_LINE, &r, sizeof r);
        CHECK_EQ(use(0), 0);
    }
}

/* Many changes at once, the same in every run. */
static void many_changes_at_once(void)
{
    uint64_t x = 88172645463325252ull;
    for (unsigned round = 0; round < 30000 / STRIDE; round++) {
        snprintf(doing, sizeof doing, "many changes, round %u", round);
        if (round % 100 == 0)
            watch();
        put_back(round & 1 ? closed : crashed);
        for (unsigned n = 1 + round % 40; n; n--) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Past the superblock, where there is no checksum; one in eight
            // runs over a whole line.
            uint64_t at = 320 + (x >> 8) % (length - 320 - 64);
            memset(scene.bytes + at, (int)(x >> 48), x & 7 ? 1 : 64);
        }
        (void)use(round % 16 ? 0 : ALPS_READ_ONLY);
    }
}

/* Works in a region whose index is spoilt while it is open. The truth lies
 * apart, so blocks stay what they are, and alloc rebuilds what it needs. */
static void use_spoilt(region_heap *h, uint64_t off, uint64_t n, int byte)
{
    unsigned blocks = 0;
    alps_report report;
    memset(scene.bytes + off, byte, n);
    (void)region_check(h, &report);
    CHECK_EQ(region_each(h, image_touch_, &blocks), 0);
    image_churn_(h);
    image_churn_(h);
    unsigned later = 0;
    CHECK_EQ(region_each(h, image_touch_, &later), 0);
    CHECK_EQ(later, blocks);
}

/* A program that writes to what it has freed. */
static void scribbles_over_free_memory_do_no_harm(void)
{
    region_heap h;
    alps_options o = image_options();
    for (int byte = 0; byte < 256; byte++) {
        void *p[6];
        put_back(closed);
        CHECK_EQ(region_open(&h, image_path(&scene), &o), 0);
        snprintf(doing, sizeof doing, "scribble %d", byte);
        watch();
        image_churn_(&h); // whatever it frees is gone before we count
        for (size_t i = 0; i < 6; i++)
            p[i] = region_alloc(&h, (size_t)64 << i);
        for (size_t i = 0; i < 6; i++) {
            CHECK_EQ(region_free(&h, p[i]), 0);
            memset(p[i], byte, (size_t)64 << i);
        }
        use_spoilt(&h, region_off_of(&h, p[1]), 128, byte ^ 0x55);
        CHECK_EQ(region_close(&h), 0);
    }
}

/* Cut short, at lengths of every class. */
static void cut_short(void)
{
    for (uint64_t n = 0; n < length; n += n < 600 ? 1 : n < 9000 ? 61 : 1021) {
        snprintf(doing, sizeof doing, "cut to %llu bytes",
                 (unsigned long long)n);
        watch();
        put_back(closed);
        image_length(&scene, n);
        int err = use(ALPS_READ_ONLY);
        CHECK(err == (n == 0     ? ALPS_EUNFINISHED
                      : n < 4096 ? ALPS_EFORMAT
                                 : ALPS_ETRUNCATED));
        if (n)
            CHECK_EQ(use(ALPS_CREATE), err);
    }
    put_back(closed);
    CHECK_EQ(use(0), 0);
}

/* Overwritten with zeroes: pages, lines, from the front, to the end. */
static void filled_with_zeroes(void)
{
    for (uint64_t n = 64; n <= length; n *= 2)
        for (uint64_t at = 0; at < length; at += n) {
            snprintf(doing, sizeof doing, "%llu zeroes at %llu",
                     (unsigned long long)n, (unsigned long long)at);
            watch();
            put_back(at / n % 2 ? closed : crashed);
            memset(scene.bytes + at, 0, n);
            int err = use(0);
            CHECK(at >= 320 || err == ALPS_EFORMAT || err == ALPS_ECORRUPT);
        }
}

/* Neither an older nor a newer layout is touched, also where the rest of its
 * superblock makes no sense to this one. */
static void other_versions(void)
{
    for (uint32_t layout = 0; layout < 40; layout++) {
        if (layout == ALPS_LAYOUT)
            continue;
        put_back(closed);
        memcpy(scene.bytes + offsetof(alps_superblock, layout), &layout, 4);
        memset(scene.bytes + offsetof(alps_superblock, extent_shift), 0x5a, 8);
        seal();
        CHECK_EQ(use(0), ALPS_EVERSION);
        CHECK_EQ(use(ALPS_READ_ONLY), ALPS_EVERSION);
        CHECK_EQ(use(ALPS_CREATE), ALPS_EVERSION);
    }
}

/* What was never a region is not made into one. */
static void foreign_files(void)
{
    static const char *const heads[] = {
        "\177ELF\2\1\1",   "PK\3\4",  "#!/bin/sh\n",
        "SQLite format 3", "ALPSHEA", "ALPS",
        "HEAPALPS",        "<html>",  "\n",
        "alpsheap"};
    for (unsigned k = 0; k < sizeof heads / sizeof *heads; k++)
        for (uint64_t n = 1; n <= length; n *= 4) {
            put_back(crashed);
            memset(scene.bytes, (int)k, n);
            size_t head = strlen(heads[k]);
            memcpy(scene.bytes, heads[k], n < head ? n : head);
            image_length(&scene, n);
            CHECK_EQ(use(ALPS_CREATE), ALPS_EFORMAT);
            CHECK_EQ(use(0), ALPS_EFORMAT);
            CHECK_EQ(use(ALPS_READ_ONLY), ALPS_EFORMAT);
        }
}

/* A creation that was cut short is told from damage, and made anew only by
 * one who may create. */
static void half_made(void)
{
    uint64_t making = ALPS_STATE_MAKING;
    put_back(closed);
    memcpy(scene.bytes + offsetof(alps_superblock, state), &making, 8);
    CHECK_EQ(use(ALPS_READ_ONLY), ALPS_EUNFINISHED);
    CHECK_EQ(use(ALPS_CREATE), 0);
    CHECK_EQ(use(ALPS_READ_ONLY), 0);
}

/* The same in a file, through the system: nothing of what is refused changes,
 * neither its bytes nor its length. */
static int file_is(const char *path, const unsigned char *bytes, uint64_t n)
{
    static unsigned char found[IMAGE_ROOM];
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, found, sizeof found);
    if (fd >= 0)
        close(fd);
    return got == (ssize_t)n && !memcmp(found, bytes, n);
}

static void refused_files_stay_as_they_were(void)
{
    char path[64];
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.40s/alps-damage.XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    unsigned refused = 0;
    CHECK(fd >= 0);
    choose(&alps_backend_file_, &alps_policy_msync_);
    for (unsigned k = 0; k < 700; k++) {
        any_heap h;
        uint64_t n = k < 320 ? length : (k - 319) * 97 % length;
        snprintf(doing, sizeof doing, "file, round %u", k);
        watch();
        put_back(closed);
        if (k < 320)
            scene.bytes[k] ^= 0x10;
        CHECK(ftruncate(fd, 0) == 0);
        CHECK_EQ(pwrite(fd, scene.bytes, n, 0), (ssize_t)n);
        int err = any_open(&h, path, NULL);
        if (!err)
            CHECK_EQ(any_close(&h), 0);
        else
            CHECK(file_is(path, scene.bytes, n));
        refused += err != 0;
    }
    CHECK(refused > 500);
    close(fd);
    unlink(path);
}

int main(void)
{
    signal(SIGALRM, hangs);
    signal(SIGSEGV, hangs);
    signal(SIGBUS, hangs);
    signal(SIGABRT, hangs);
    RUN(build);
    RUN(each_byte_of_a_closed_region);
    RUN(each_byte_of_a_crashed_region);
    RUN(each_bit_of_the_superblock_is_guarded);
    RUN(each_number_of_the_superblock_is_doubted);
    RUN(each_number_of_a_record_is_doubted);
    RUN(many_changes_at_once);
    RUN(scribbles_over_free_memory_do_no_harm);
    RUN(cut_short);
    RUN(filled_with_zeroes);
    RUN(other_versions);
    RUN(foreign_files);
    RUN(half_made);
    RUN(refused_files_stay_as_they_were);
    return check_end("test_damage");
}
