/* hash.h -- names as numbers
 *
 * SipHash-1-3 (Aumasson and Bernstein: SipHash, 2012) under a key of 128 bits,
 * which is the region's uuid: who does not know that cannot choose names that
 * collide. A CRC would be shorter, but it is linear: names that collide under
 * one key do so under all. */
#pragma once
#include "bits.h"

typedef struct alps_hash {
    uint64_t a, b, c, d;
} alps_hash;

ALPS_FN_ uint64_t alps_hash_turn_(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

ALPS_FN_ void alps_hash_round_(alps_hash *s)
{
    s->a += s->b;
    s->b = alps_hash_turn_(s->b, 13) ^ s->a;
    s->a = alps_hash_turn_(s->a, 32);
    s->c += s->d;
    s->d = alps_hash_turn_(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = alps_hash_turn_(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = alps_hash_turn_(s->b, 17) ^ s->c;
    s->c = alps_hash_turn_(s->c, 32);
}

ALPS_FN_ void alps_hash_word_(alps_hash *s, uint64_t word)
{
    s->d ^= word;
    alps_hash_round_(s);
    s->a ^= word;
}

/* The hash of `n` bytes under `key`. */
ALPS_FN_ uint64_t alps_hash_of_(const uint8_t key[16], const void *p, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)p;
    uint64_t k[2], word;
    memcpy(k, key, sizeof k);
    alps_hash s = {k[0] ^ 0x736f6d6570736575ull, k[1] ^ 0x646f72616e646f6dull,
                   k[0] ^ 0x6c7967656e657261ull, k[1] ^ 0x7465646279746573ull};
    size_t left = n;
    for (; left >= 8; left -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        alps_hash_word_(&s, word);
    }
    word = (uint64_t)n << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    alps_hash_word_(&s, word);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        alps_hash_round_(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

/* The bits of `word` from the lowest to the highest. */
ALPS_FN_ uint64_t alps_hash_reverse_(uint64_t word)
{
    word = (word & 0x5555555555555555ull) << 1 |
           (word >> 1 & 0x5555555555555555ull);
    word = (word & 0x3333333333333333ull) << 2 |
           (word >> 2 & 0x3333333333333333ull);
    word = (word & 0x0f0f0f0f0f0f0f0full) << 4 |
           (word >> 4 & 0x0f0f0f0f0f0f0f0full);
    return __builtin_bswap64(word);
}

/* A tag for a type by its name: FNV-1a (Fowler, Noll and Vo), never 0. The same
 * in every program. */
ALPS_FN_ uint64_t alps_hash_tag_(const char *type)
{
    uint64_t tag = 0xcbf29ce484222325ull;
    for (; *type; type++)
        tag = (tag ^ (unsigned char)*type) * 0x100000001b3ull;
    return tag ? tag : 1;
}
