/* amount.h -- a number of bytes in words
 *
 * What the environment says of sizes: digits, and K, M, G or T behind them.
 * Anything else is refused: who mistypes a limit learns of it. */
#pragma once
#include "error.h"

/* Reads `word` into `*n`. ALPS_EINVAL: it is no such number, or too large. */
ALPS_COLD_ int alps_amount_(const char *word, uint64_t *n)
{
    static const char suffix[] = "KMGT";
    uint64_t value = 0;
    const char *at = word;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > (UINT64_MAX >> 8) / 10)
            return ALPS_EINVAL;
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (at == word)
        return ALPS_EINVAL;
    const char *found = *at ? strchr(suffix, *at) : NULL;
    unsigned shift = found ? 10 * (unsigned)(found - suffix + 1) : 0;
    if ((*at && !found) || (found && at[1]) || value > UINT64_MAX >> 8 >> shift)
        return ALPS_EINVAL;
    *n = value << shift;
    return ALPS_OK;
}

/* The same of the variable `name`; `*n` stays where there is none. */
ALPS_COLD_ int alps_amount_asked_(const char *name, uint64_t *n)
{
    const char *word = getenv(name);
    return word && *word ? alps_amount_(word, n) : ALPS_OK;
}

/* The number from 1 on of `word` in a table of words, into `*n`. */
ALPS_COLD_ int alps_word_asked_(const char *name, const char *const *words,
                                unsigned count, unsigned *n)
{
    const char *word = getenv(name);
    if (!word || !*word)
        return *n > count ? ALPS_EINVAL : ALPS_OK;
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(word, words[i])) {
            *n = i + 1;
            return ALPS_OK;
        }
    return ALPS_EINVAL;
}
