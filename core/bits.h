/* bits.h -- bits of words, and the checksum of bytes
 *
 * The two bit searches that TLSF lives on, and CRC32C: the machine's own
 * instruction where the machine says it has one, asked at open and never by
 * -march, so that one program runs everywhere. Pure arithmetic: no memory is
 * changed here. */
#pragma once
#include "base.h"
#if defined(__x86_64__)
#  include <cpuid.h>
#elif defined(__aarch64__)
#  include <sys/auxv.h>
#endif

/* The index of the lowest set bit of `word`, which is not 0. */
ALPS_FN_ unsigned alps_low_bit_(uint64_t word)
{
    return (unsigned)__builtin_ctzll(word);
}

/* The index of the highest set bit of `word`, which is not 0. */
ALPS_FN_ unsigned alps_high_bit_(uint64_t word)
{
    return 63u - (unsigned)__builtin_clzll(word);
}

/* How CRC32C is computed. The same bytes give the same sum either way. */
enum {
    ALPS_CRC_TABLE = 0, /* four bits a step, any machine */
    ALPS_CRC_HARD = 1   /* eight bytes a step, by an instruction */
};

/* What this machine offers. Costs a microsecond under a hypervisor, so it is
 * asked once, at open, and the answer kept. */
ALPS_COLD_ unsigned alps_crc_kind_(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 20)) // SSE4.2
        return ALPS_CRC_HARD;
#elif defined(__aarch64__)
    if (getauxval(AT_HWCAP) & 1ul << 7) // HWCAP_CRC32
        return ALPS_CRC_HARD;
#endif
    return ALPS_CRC_TABLE;
}

/* A step of the sum, whose upper half is 0 before and after. */
#if defined(__x86_64__)
ALPS_FN_ uint64_t alps_crc_word_(uint64_t crc, uint64_t word)
{
    __asm__("crc32q %1, %0" : "+r"(crc) : "rm"(word));
    return crc;
}

ALPS_FN_ uint32_t alps_crc_byte_(uint32_t crc, unsigned char byte)
{
    __asm__("crc32b %1, %0" : "+r"(crc) : "q"(byte));
    return crc;
}
#elif defined(__aarch64__)
ALPS_FN_ uint64_t alps_crc_word_(uint64_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1"
            : "+r"(crc)
            : "r"(word));
    return crc;
}

ALPS_FN_ uint32_t alps_crc_byte_(uint32_t crc, unsigned char byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1"
            : "+r"(crc)
            : "r"((uint32_t)byte));
    return crc;
}
#else
#  error "alps.h knows x86-64 and AArch64 only: base.h, bits.h, cpu.h"
#endif

/* Eight bytes anywhere. */
typedef uint64_t alps_word_ __attribute__((may_alias, aligned(1)));

ALPS_FN_ uint32_t alps_crc_hard_(uint32_t crc, const unsigned char *at,
                                 size_t n)
{
    uint64_t sum = crc;
    for (; n >= 32; at += 32, n -= 32) {
        const alps_word_ *word = (const alps_word_ *)(const void *)at;
        sum = alps_crc_word_(sum, word[0]);
        sum = alps_crc_word_(sum, word[1]);
        sum = alps_crc_word_(sum, word[2]);
        sum = alps_crc_word_(sum, word[3]);
    }
    for (; n >= 8; at += 8, n -= 8)
        sum = alps_crc_word_(sum, *(const alps_word_ *)(const void *)at);
    for (crc = (uint32_t)sum; n; at++, n--)
        crc = alps_crc_byte_(crc, *at);
    return crc;
}

/* The polynomial 0x1EDC6F41, reflected, for each value of four bits. */
ALPS_COLD_ uint32_t alps_crc_soft_(uint32_t crc, const unsigned char *at,
                                   size_t n)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
        0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du,
        0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
        0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
    };
    for (; n; at++, n--) {
        crc ^= *at;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

/* The CRC32C of `n` bytes at `p`, going on from `seed`: 0 to begin with, or
 * the sum of the bytes before these. `how` is an answer of alps_crc_kind_. */
ALPS_FN_ uint32_t alps_crc32c_(unsigned how, uint32_t seed, const void *p,
                               size_t n)
{
    const unsigned char *at = (const unsigned char *)p;
    if (ALPS_LIKELY_(how == ALPS_CRC_HARD))
        return ~alps_crc_hard_(~seed, at, n);
    return ~alps_crc_soft_(~seed, at, n);
}

/* A CRC-16 (CCITT) of the 48 bits of `value`. */
ALPS_FN_ uint64_t alps_crc16_(uint64_t value)
{
    uint32_t crc = 0xffff;
    for (int bit = 47; bit >= 0; bit--) {
        uint32_t in = (uint32_t)(value >> bit & 1) ^ (crc >> 15 & 1);
        crc = (crc << 1 & 0xffff) ^ (in ? 0x1021u : 0u);
    }
    return crc;
}

/* A sealed word: a value of 48 bits above its CRC-16, so that one 8-byte store
 * changes both. */
ALPS_FN_ uint64_t alps_seal_(uint64_t value)
{
    return value << 16 | alps_crc16_(value);
}

ALPS_FN_ int alps_sealed_(uint64_t word)
{
    return (word & 0xffff) == alps_crc16_(word >> 16);
}
