/* test_codes.c -- two bits a unit, at every bit position
 *
 * Each function is compared with one that looks at unit after unit. */
#include "model.h"

#define UNITS 200u // a little more than six words
#define WORDS (UNITS / 32 + 2)

static uint64_t codes[WORDS];
static unsigned char naive[UNITS];

static void set(unsigned unit, unsigned code)
{
    naive[unit] = (unsigned char)code;
    alps_code_set_(codes, unit, code);
}

static void clear_all(void)
{
    memset(codes, 0, sizeof codes);
    memset(naive, 0, sizeof naive);
}

/* Starts with about one in `sparse` units. */
static void scatter(unsigned sparse)
{
    clear_all();
    for (unsigned i = 0; i < UNITS; i++)
        if (throw_of(sparse) == 0)
            set(i, 1 + (unsigned)throw_of(3));
}

static int agree(void)
{
    for (unsigned i = 0; i < UNITS; i++)
        if (alps_code_(codes, i) != naive[i])
            return 0;
    return 1;
}

static unsigned naive_next(unsigned unit, unsigned end)
{
    while (unit < end && !naive[unit])
        unit++;
    return unit < end ? unit : end;
}

/* The last start before `unit` in the word of the unit before. */
static unsigned naive_near(unsigned unit)
{
    unsigned first = (unit - 1) / 32 * 32;
    for (unsigned i = unit; i > first; i--)
        if (naive[i - 1])
            return i - 1;
    return unit;
}

static void a_code_is_kept_apart_from_its_neighbours(void)
{
    for (unsigned i = 0; i < UNITS; i++)
        for (unsigned code = 0; code < 4; code++) {
            memset(codes, code % 2 ? 0 : 0xff, sizeof codes);
            memset(naive, code % 2 ? 0 : 3, sizeof naive);
            set(i, code);
            CHECK(agree());
        }
    clear_all();
    for (unsigned i = 0; i < 20000 && !check_bad_; i++) {
        set((unsigned)throw_of(UNITS), (unsigned)throw_of(4));
        CHECK(agree());
    }
}

static void one_start_is_found_from_everywhere(void)
{
    for (unsigned at = 0; at < UNITS; at++)
        for (unsigned code = 1; code < 4; code++) {
            clear_all();
            set(at, code);
            for (unsigned from = 0; from <= UNITS; from++)
                CHECK_EQ(alps_code_next_(codes, from, UNITS),
                         from <= at ? at : UNITS);
            for (unsigned end = 0; end <= UNITS; end++)
                CHECK_EQ(alps_code_next_(codes, 0, end), at < end ? at : end);
            for (unsigned from = 1; from <= UNITS; from++)
                CHECK_EQ(alps_code_near_(codes, from), naive_near(from));
        }
}

static void next_and_near_find_what_is_there(void)
{
    static const unsigned sparse[] = {1, 2, 5, 33, 100, 1000};
    for (unsigned round = 0; round < 60 / SLOW; round++) {
        scatter(sparse[round % 6]);
        for (unsigned from = 0; from <= UNITS; from++) {
            for (unsigned end = 0; end <= UNITS; end++) {
                unsigned next = from < end ? naive_next(from, end) : end;
                CHECK_EQ(alps_code_next_(codes, from, end), next);
                if (from <= end)
                    CHECK_EQ(alps_code_inside_(codes, from, end), next == end);
            }
            if (from)
                CHECK_EQ(alps_code_near_(codes, from), naive_near(from));
        }
    }
}

static void clear_makes_inside_of_exactly_these(void)
{
    for (unsigned from = 0; from <= UNITS; from += 1 + (SLOW > 1))
        for (unsigned to = from; to <= UNITS; to++) {
            scatter(3);
            alps_code_clear_(codes, from, to);
            memset(naive + from, 0, to - from);
            CHECK(agree());
            CHECK(alps_code_inside_(codes, from, to));
        }
}

static void bits_are_found(void)
{
    for (unsigned i = 0; i < 64; i++) {
        CHECK_EQ(alps_low_bit_(1ull << i), i);
        CHECK_EQ(alps_high_bit_(1ull << i), i);
        CHECK_EQ(alps_low_bit_(~0ull << i), i);
        CHECK_EQ(alps_high_bit_(~0ull >> i), 63 - i);
    }
}

/* RFC 3720, appendix B.4; and both ways of computing it agree. */
static void checksums_are_crc32c(void)
{
    unsigned char bytes[4096];
    memset(bytes, 0, 32);
    CHECK_EQ(alps_crc32c_(ALPS_CRC_TABLE, 0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    CHECK_EQ(alps_crc32c_(ALPS_CRC_TABLE, 0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    CHECK_EQ(alps_crc32c_(ALPS_CRC_TABLE, 0, bytes, 32), 0x46dd794e);
    CHECK_EQ(alps_crc32c_(ALPS_CRC_TABLE, 0, "123456789", 9), 0xe3069283);
    CHECK_EQ(alps_crc32c_(ALPS_CRC_TABLE, 0, bytes, 0), 0);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)throw_of(256);
    unsigned kind = alps_crc_kind_();
    for (unsigned i = 0; i < 500; i++) {
        size_t from = (size_t)throw_of(100), n = (size_t)throw_of(2000);
        size_t cut = (size_t)throw_of(n + 1);
        uint32_t seed = (uint32_t)throw_of(1ull << 32);
        uint32_t sum = alps_crc32c_(ALPS_CRC_TABLE, seed, bytes + from, n);
        CHECK_EQ(alps_crc32c_(kind, seed, bytes + from, n), sum);
        uint32_t half = alps_crc32c_(kind, seed, bytes + from, cut);
        CHECK_EQ(alps_crc32c_(kind, half, bytes + from + cut, n - cut), sum);
    }
}

static void a_sealed_word_shows_every_flipped_bit(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t value = throw_of(1ull << throw_of(49));
        uint64_t word = alps_seal_(value);
        CHECK(alps_sealed_(word) && word >> 16 == value);
        for (unsigned bit = 0; bit < 64; bit++)
            CHECK(!alps_sealed_(word ^ 1ull << bit));
    }
    CHECK(!alps_sealed_(0));
    CHECK(!alps_sealed_(~0ull));
    CHECK_EQ(alps_seal_(ALPS_SIZE_MAX) >> 16, ALPS_SIZE_MAX);
}

int main(void)
{
    RUN(a_code_is_kept_apart_from_its_neighbours);
    RUN(one_start_is_found_from_everywhere);
    RUN(next_and_near_find_what_is_there);
    RUN(clear_makes_inside_of_exactly_these);
    RUN(bits_are_found);
    RUN(checksums_are_crc32c);
    RUN(a_sealed_word_shows_every_flipped_bit);
    return check_end("codes");
}
