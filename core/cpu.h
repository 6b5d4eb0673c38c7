/* cpu.h -- how this machine writes a line back
 *
 * Which instruction there is, the machine says itself (CPUID, HWCAP): a
 * program built on one machine runs on another, and under an emulator that
 * hides an instruction. The instructions are written as bytes or as the system
 * operation they are, so that no compiler needs to be told of them. */
#pragma once
#include "bits.h"
#include "policy.h"

/* The names, as ALPS_PERSIST in the environment spells them. */
ALPS_COLD_ const char *alps_persist_name_(unsigned persist)
{
    static const char *const name[] = {"none", "clflush", "clflushopt",
                                       "clwb", "cvac",    "cvap",
                                       "eadr", "msync",   "checkpoint"};
    return persist < sizeof name / sizeof *name ? name[persist] : "unknown";
}

/* Whether this machine has the instruction; none of the other ways asks for
 * one. */
ALPS_COLD_ int alps_persist_has_(unsigned persist)
{
#if defined(__x86_64__)
    unsigned a, b = 0, c, d = 0;
    switch (persist) {
    case ALPS_PERSIST_CLFLUSH:
        return __get_cpuid(1, &a, &b, &c, &d) && (d & 1u << 19);
    case ALPS_PERSIST_CLFLUSHOPT:
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 23);
    case ALPS_PERSIST_CLWB:
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 24);
    case ALPS_PERSIST_CVAC:
    case ALPS_PERSIST_CVAP: return 0;
    default: return 1;
    }
#else
    switch (persist) {
    case ALPS_PERSIST_CLFLUSH:
    case ALPS_PERSIST_CLFLUSHOPT:
    case ALPS_PERSIST_CLWB: return 0;
    case ALPS_PERSIST_CVAP: return (getauxval(AT_HWCAP) & 1ul << 16) != 0;
    default: return 1;
    }
#endif
}

/* The best way to write a line back on this machine. */
ALPS_COLD_ unsigned alps_persist_best_(void)
{
    static const unsigned best[] = {ALPS_PERSIST_CLWB, ALPS_PERSIST_CVAP,
                                    ALPS_PERSIST_CLFLUSHOPT, ALPS_PERSIST_CVAC,
                                    ALPS_PERSIST_CLFLUSH};
    for (unsigned i = 0; i < sizeof best / sizeof *best; i++)
        if (alps_persist_has_(best[i]))
            return best[i];
    return ALPS_PERSIST_NONE;
}

/* What ALPS_PERSIST asks for, into `*persist`, which stays as it is where the
 * variable is not set. A word that names nothing, or nothing that this machine
 * has, is refused: a promise is not weakened in silence. */
ALPS_COLD_ int alps_persist_asked_(unsigned *persist)
{
    const char *asked = getenv("ALPS_PERSIST");
    if (!asked || !*asked)
        return ALPS_OK;
    for (unsigned i = 0; i < ALPS_PERSIST_MSYNC; i++)
        if (!strcmp(asked, alps_persist_name_(i))) {
            *persist = i;
            return alps_persist_has_(i) ? ALPS_OK : ALPS_EUNSUPPORTED;
        }
    return ALPS_EINVAL;
}

/* Starts writing one line back. The memory is an operand that may be written,
 * so that no store to it moves past. */
#if defined(__x86_64__)
ALPS_FN_ void alps_write_back_line_(unsigned persist, volatile char *line)
{
    if (ALPS_LIKELY_(persist == ALPS_PERSIST_CLWB))
        __asm__ volatile(".byte 0x66; xsaveopt %0" : "+m"(*line) : : "memory");
    else if (persist == ALPS_PERSIST_CLFLUSHOPT)
        __asm__ volatile(".byte 0x66; clflush %0" : "+m"(*line) : : "memory");
    else
        __asm__ volatile("clflush %0" : "+m"(*line) : : "memory");
}

/* Waits for what this thread started. */
ALPS_FN_ void alps_drain_(void)
{
    __asm__ volatile("sfence" : : : "memory");
}

/* Two 16-byte words that may lie over anything. */
typedef long long alps_wide_ __attribute__((vector_size(16), may_alias));

/* Whether a line gets to the medium sooner past the caches than by a store and
 * a write-back. With the fence behind it: AMD Zen 4 92 against 158 ns, Intel
 * Sapphire Rapids 178 against 140. */
ALPS_COLD_ unsigned alps_stream_pays_(unsigned persist)
{
    unsigned a, b = 0, c, d;
    if (persist != ALPS_PERSIST_CLWB)
        return 1; // the other ways take the line out of the cache, too
    return !__get_cpuid(0, &a, &b, &c, &d) || b != 0x756e6547; // "Genu"
}

/* Copies one line and starts it on its way to the medium. */
ALPS_FN_ void alps_stream_line_(const alps_map *m, void *to, const void *from)
{
    alps_wide_ *line = (alps_wide_ *)to;
    const alps_wide_ *word = (const alps_wide_ *)from;
    for (int i = 0; i < 4; i++)
        if (m->stream)
            __asm__ volatile("movntdq %1, %0" : "=m"(line[i]) : "x"(word[i]));
        else
            __asm__ volatile("movdqa %1, %0" : "=m"(line[i]) : "x"(word[i]));
    if (!m->stream)
        alps_write_back_line_(m->persist, (volatile char *)to);
    __asm__ volatile("" : : : "memory");
}
#else
ALPS_FN_ void alps_write_back_line_(unsigned persist, volatile char *line)
{
    if (ALPS_LIKELY_(persist == ALPS_PERSIST_CVAP)) // dc cvap
        __asm__ volatile("sys #3, c7, c12, #1, %0" : : "r"(line) : "memory");
    else
        __asm__ volatile("dc cvac, %0" : : "r"(line) : "memory");
}

ALPS_FN_ void alps_drain_(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

ALPS_COLD_ unsigned alps_stream_pays_(unsigned persist)
{
    (void)persist;
    return 0;
}

/* No store here goes past the caches and is sure to arrive as one. */
ALPS_FN_ void alps_stream_line_(const alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    alps_write_back_line_(m->persist, (volatile char *)to);
}
#endif

/* Whether `persist` is an instruction, and not a way to do without. */
ALPS_FN_ int alps_persist_line_(unsigned persist)
{
    return persist - ALPS_PERSIST_CLFLUSH <=
           (unsigned)ALPS_PERSIST_CVAP - ALPS_PERSIST_CLFLUSH;
}

/* Starts writing back the lines of [p, p + n). */
ALPS_FN_ void alps_write_back_(unsigned persist, const void *p, size_t n)
{
    uintptr_t at = (uintptr_t)p & ~(uintptr_t)(ALPS_LINE - 1);
    uintptr_t end = (uintptr_t)p + n;
    for (; at < end; at += ALPS_LINE)
        alps_write_back_line_(persist, (volatile char *)at);
}
