/* base.h -- the compiler, the machine, the little words
 *
 * Everything the parts below take for granted: integer types, how a function
 * is declared so that an unused one leaves no symbol, and how memory that
 * other threads and processes see is read and written. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if !defined(__linux__) || !defined(__LP64__)
#  error \
      "alps.h needs 64-bit Linux: it is written against its mmap, locks and /proc"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error \
      "alps.h needs a little-endian machine: the stored bytes are little-endian"
#endif

/* Checks promises of the caller. Define empty to remove. */
#ifndef ALPS_ASSERT
#  include <assert.h>
#  define ALPS_ASSERT(cond) assert(cond)
#endif

/* An ordinary function of a part: dropped where it is not called. */
#define ALPS_FN_ static inline __attribute__((unused))

/* A function of the fast path: a copy in each place that calls it. */
#define ALPS_FAST_ static inline __attribute__((always_inline, unused))

/* A function that takes the constant tables of an instance. Where they are the
 * same in all its calls an optimising compiler puts them in, so that no call
 * through a table is left in the program. A test that tells places of the
 * source apart has a copy of each, and of the fence, in every place. */
#ifdef ALPS_APART
#  define ALPS_CORE_ ALPS_FAST_
#  define ALPS_FENCE_ ALPS_FAST_
#else
#  define ALPS_CORE_ static inline __attribute__((unused))
#  define ALPS_FENCE_ ALPS_ONCE_
#endif

/* A function that is compiled once, if it is called at all; and one off the
 * fast path. Without optimisation nothing is inlined but what has to be, and
 * what is not called is only dropped where it is declared inline. */
#ifdef __OPTIMIZE__
#  define ALPS_ONCE_ static __attribute__((noinline, unused))
#  define ALPS_COLD_ static __attribute__((noinline, cold, unused))
#else
#  define ALPS_ONCE_ static inline __attribute__((unused))
#  define ALPS_COLD_ static inline __attribute__((unused))
#endif

/* What must hold of a stored structure. */
#ifdef __cplusplus
#  define ALPS_STATIC_ASSERT_(cond, text) static_assert(cond, text)
#else
#  define ALPS_STATIC_ASSERT_(cond, text) _Static_assert(cond, text)
#endif

#define ALPS_LIKELY_(cond) __builtin_expect(!!(cond), 1)
#define ALPS_UNLIKELY_(cond) __builtin_expect(!!(cond), 0)

/* The compiler keeps stores on their side of this; the machine need not. A
 * process that is killed has done what stands before, so this is all that the
 * death of a process asks for. */
#define ALPS_BARRIER_() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The cache line: what the machine writes back as a whole. */
#define ALPS_LINE 64u

/* The page: what msync writes back as a whole, and what mappings are made
 * of. */
#define ALPS_PAGE 4096u

/* Words that other threads and processes read and write meanwhile. On the
 * machines we know these are ordinary moves. */
ALPS_FN_ uint64_t alps_load_(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

ALPS_FN_ void alps_store_(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

ALPS_FN_ uint64_t alps_round_up_(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* A random number, from the system; where it has none, of time and process. */
static __attribute__((noinline, cold, unused)) uint64_t alps_random_(void)
{
    uint64_t word = 0;
#ifdef SYS_getrandom // since Linux 3.17
    if (syscall(SYS_getrandom, &word, sizeof word, 0) == (long)sizeof word)
        return word;
#endif
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    word = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
    return word ^ (uint64_t)getpid() * (uint64_t)0x9e3779b97f4a7c15;
}

/* What waits in a loop says so to the machine. */
ALPS_FN_ void alps_pause_(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Who runs: a number that no other living thread of this process has. The
 * thread pointer, one instruction; another thread may get it when this one has
 * ended. A test that runs several threads on one stack defines its own. */
#ifndef ALPS_THREAD_
#  define ALPS_THREAD_() alps_thread_pointer_()
#endif
ALPS_FN_ uintptr_t alps_thread_pointer_(void)
{
    uintptr_t self;
#if defined(__x86_64__)
    __asm__("movq %%fs:0, %0" : "=r"(self));
#elif defined(__aarch64__)
    __asm__("mrs %0, tpidr_el0" : "=r"(self));
#else
    self = (uintptr_t)&errno;
#endif
    return self;
}

/* What waits for another thread or process: by turns a spin, a yield, a nap of
 * 50 us. `round` counts from 0. A test that schedules threads itself defines
 * ALPS_WAIT_ to let another one run. */
#ifndef ALPS_WAIT_
#  define ALPS_WAIT_(round) alps_wait_(round)
#endif
ALPS_FN_ void alps_wait_(unsigned round)
{
    struct timespec nap = {0, 50000};
    if (round < 100)
        alps_pause_();
    else if (round < 1000)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}
