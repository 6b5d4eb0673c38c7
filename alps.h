/* Generated from core/, backends/ and policies/ by tools/amalgamate.awk.
 * Edit the parts, then type: make alps.h */

/* alps.h -- memory that outlives the process, the crash and the machine
 *
 * One header, no library. `#define` a backend (where bytes live) and a policy
 * (when they are durable), include, and get regions, offset pointers and a
 * crash-consistent TLSF heap. SPDX-License-Identifier: MIT */
#ifndef ALPS_PARTS_
#  define ALPS_PARTS_

/* manual.h -- the manual
 *
 * A whole program, which survives kill -9 at any instruction:
 *
 *     #include "alps.h"
 *
 *     typedef ALPS_PTR(struct run) run_ptr;
 *     struct run {
 *         run_ptr before;
 *         unsigned long number;
 *     };
 *
 *     static int failed(int code)
 *     {
 *         fprintf(stderr, "hello: %s\n", alps_strerror(code));
 *         return 1;
 *     }
 *
 *     int main(void)
 *     {
 *         alps_heap h;
 *         int err = alps_open(&h, "hello.alps", NULL);
 *         if (err)
 *             return failed(err);
 *         run_ptr *last = (run_ptr *)alps_root(&h, sizeof *last);
 *         struct run *before = ALPS_GET(&h, *last);
 *         struct run *now = (struct run *)alps_reserve(&h, sizeof *now);
 *         if (!now)
 *             return failed(alps_error(&h));
 *         now->before = *last;
 *         now->number = before ? before->number + 1 : 1;
 *         err = alps_publish(&h, &last->off, now);
 *         if (err)
 *             return failed(err);
 *         printf("This program has run %lu times.\n", now->number);
 *         return alps_close(&h) ? 1 : 0;
 *     }
 *
 * Choose before the include; both have defaults:
 *
 *     #define ALPS_BACKEND  where bytes live
 *     #define ALPS_POLICY   when they are durable
 *
 *     backend \ policy  ALPS_NONE   ALPS_FLUSH  ALPS_FENCE   ALPS_MSYNC
 *     ALPS_ANON         nothing *   -           -            -
 *     ALPS_SHMEM        processes * (CXL)       -            -
 *     ALPS_FILE         processes   -           -            power
 *     ALPS_PMEM         processes   power *     power, eADR  power
 *     ALPS_PAGED        a close     -           -            power
 *
 * and ALPS_FILE and ALPS_PAGED with ALPS_CHECKPOINT *: power, all at once.
 * Stores, alloc and free are those of memory; alps_sync makes everything since
 * the last one durable, and after a crash the region is as it was at the last
 * sync: the one moment in it that docs/checkpoint.md speaks of. One process
 * writes, readers see the last sync before they opened.
 *
 * A cell says what the data survives: the death of any process, a power
 * failure; `*` is the default of that backend; `-` is an #error. ALPS_FILE is
 * the default. With ALPS_USER the program brings a table of its own, see
 * docs/writing-a-backend.md.
 *
 *     #define ALPS_NAME ledger      ledger_heap, ledger_open ... instead of
 *                                   alps_...; include again for another heap
 *     #define ALPS_CORE_ONLY        the parts without an instance
 *     #define ALPS_FAULTS pages     backend ALPS_PAGED: the program's handler
 *     #define ALPS_ASSERT(cond)     before the first include: checks of what
 *                                   the caller promised
 *
 * The words. A *region* is a file or memory with a heap in it. A *handle*
 * (alps_heap) is a region that a process has open: all its threads share it,
 * and it stays where it is until it is closed. A *root* is 4 KiB of the region
 * that are yours from the start. An *offset pointer* (ALPS_PTR) stays right
 * when the region is mapped elsewhere. A *block* is what is allocated: up to
 * 1 KiB from a *slab* of the thread's own, without a lock and aligned to 16
 * bytes; more, aligned to 64. `alloc` and `free` are durable when they return;
 * but a crash between an alloc and your own link leaks. `reserve`, fill,
 * `publish` does not: the block is allocated, filled and linked, or nothing
 * happened. `release` frees and unlinks in the same way.
 *
 * Transactions. Between `begin` and `commit` any number of `tx_set` (a word),
 * `tx_publish`, `tx_release`, `tx_free`, and of stores to what `tx_snapshot`
 * has kept: all of it happens, whatever crashes, or by an `abort` nothing.
 * Actions are carried out by the commit, for two fences together. ALPS_TX_SET,
 * ALPS_TX_POINT, ALPS_TX_PUBLISH, ALPS_TX_RELEASE, ALPS_TX_SNAPSHOT are the
 * same with types. `publish_new`, `tx_publish_new` have a function fill what
 * they publish.
 *
 * Names. An object may have a name, any bytes: `construct` makes it, zeroed,
 * `find` finds it in any process and after any crash, `find_or_construct` does
 * what is needed, `destroy` frees it and takes its name away, `each_name`
 * visits all. Each is one step whatever crashes. ALPS_NAMING(T, "name", n) says
 * the type as well, which is checked; ALPS_UNIQUE(T, n) is the one object of a
 * type: alps_find_or_construct_as(&h, ALPS_NAMING(struct point, "path", 100)).
 *
 * Threads and processes. Any thread of any process frees what any other
 * allocated. What a thread has at hand goes back when it ends, what a process
 * had reserved when it dies. A program that takes over a lock of its own from
 * a dead process calls alps_reap before it touches what that lock guards.
 * Who reads without a lock does so between `enter` and `leave`; who has
 * unlinked something calls `retire` instead of free, and no thread of any
 * process that was inside finds it handed out again. Who is killed inside holds
 * up nothing, who is stopped holds up all. `deaths` counts who was found dead.
 * After fork() the child gets ALPS_EFORK from what would change the region:
 * it closes the handle, which leaves the parent's alone, and opens the region
 * for itself. Until it has closed it, ended or called exec, it keeps the locks
 * of a parent that dies. Memory of the process (ALPS_ANON) is copied by fork,
 * and the child goes on with its copy.
 *
 * Size. A region grows by itself up to its limit, in place, and all processes
 * see it; `grow` does it at once, `trim` gives what is free back to the file
 * system, and so does the library when it is much. `snapshot` copies a region
 * that is open, `copy` one that is closed, into a file that is there as a whole
 * or not at all. `consistent` and `inspect` look at a closed one. Where one
 * disk is too small, option `parts` lets it go on in further files:
 * docs/parts.md.
 *
 * Damage and leaks. `check` compares all structures. A region that is refused
 * is opened with ALPS_SALVAGE to be read, and `salvage` shows what is left in
 * it; `repair` puts it right in place, closed, and tells what it gave up.
 * `collect` frees what nothing leads to: docs/repair.md.
 *
 * Several regions. A *space* (alps_space) is a set of open regions: an
 * ALPS_FAR(T) in one of them leads into any, an ALPS_PACKED(T) in 8 bytes. A
 * region that is missing is a code, or opened on demand by your `resolver`.
 * `far_publish` and `far_release` link and cut between two of them in one step,
 * whatever crashes: docs/spaces.md.
 *
 * C++ (11 and later). alps::ptr<T> and alps::allocator<T> put containers into a
 * region; class alps_region closes itself, and makes objects with their
 * constructors: r.construct<T>("name")(1, 2). Not every library's containers
 * can: docs/cxx.md.
 *
 * Larger than memory. With ALPS_PAGED a region has no more of itself in memory
 * than option `memory` says (half of the machine's, unless said). Beyond that
 * its pages are brought by the thread that touches them, in a signal handler;
 * what such a handler starts from is an object of the program, for the library
 * has none of its own. One unit defines it, all name it before the include:
 *
 *     #define ALPS_BACKEND ALPS_PAGED
 *     #define ALPS_FAULTS  pages
 *     #include "alps.h"
 *     ALPS_HANDLER(pages);
 *
 * The program's own faults stay its own, and its own handlers keep their turn.
 * read(2) and its like cannot touch what is not in memory: alps_pin. They can
 * where there is no ALPS_FAULTS, or option `engine` is ALPS_ENGINE_USERFAULTFD:
 * then a thread of the region brings the pages, if the process may have that.
 * Where the system refuses, the kernel pages as it likes; alps_describe tells
 * which, and why. alps_umalloc maps a file as plain memory, alps_usync makes it
 * durable, alps_ufree ends it. See docs/paged.md.
 *
 * The environment: ALPS_PERSIST=clwb|clflushopt|clflush|cvap|cvac|eadr|none
 * overrides how lines are written back, ALPS_PMEM_FORCE=1 takes any medium for
 * persistent memory (tests and benchmarks); ALPS_SIZE, ALPS_LIMIT and others
 * stand in for options that are left 0. docs/options.md has them all.
 *
 * The names of internal things end in an underscore; all others are listed,
 * with what they promise, at the end of this file (instance.h, naming.h,
 * acting.h, keeping.h, spaces.h), the errors in error.h, the options in
 * backend.h, the reports and statistics in report.h and visit.h, what is
 * collected in collect.h, pointers in ptr.h and space.h, what a name is in
 * name.h, how an object is made in maker.h, macros of transactions in tx.h, C++
 * in cxx.h and made.h.
 */

/* choice.h -- the words in which a program chooses
 *
 * A program defines ALPS_BACKEND and ALPS_POLICY as two of these before it
 * includes alps.h. They are numbers because #if compares nothing else. Those
 * that no part answers to yet are here so that asking for them is told apart
 * from a slip of the pen. */

#define ALPS_ANON 1  /* memory of this process */
#define ALPS_SHMEM 2 /* shared memory */
#define ALPS_FILE 3  /* a file behind the page cache */
#define ALPS_PMEM 4  /* persistent memory: fsdax or devdax */
#define ALPS_PAGED 5 /* a file larger than the memory it may have */
#define ALPS_DSM 6   /* not in this version */

#define ALPS_NONE 11       /* nothing is written back */
#define ALPS_FLUSH 12      /* cache lines are written back */
#define ALPS_FENCE 13      /* caches persist: order is all it takes */
#define ALPS_MSYNC 14      /* pages are written back by the system */
#define ALPS_CHECKPOINT 15 /* all at once, when the program says so */

/* A table of the program's own, named by ALPS_USER_BACKEND or by
 * ALPS_USER_POLICY. */
#define ALPS_USER 99

/* base.h -- the compiler, the machine, the little words
 *
 * Everything the parts below take for granted: integer types, how a function
 * is declared so that an unused one leaves no symbol, and how memory that
 * other threads and processes see is read and written. */
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

/* error.h -- what can go wrong, and how it is said
 *
 * Every refusal has a code of its own, so that a program can act on it. The
 * library never prints and never exits. */

enum {
    ALPS_OK = 0,
    ALPS_EINVAL = -1,     /* an argument that cannot be meant */
    ALPS_ENOMEM = -2,     /* no address space or memory for the process */
    ALPS_EFULL = -3,      /* no free run in the region is long enough */
    ALPS_ELIMIT = -4,     /* the region may not grow past its limit */
    ALPS_ENOSPC = -5,     /* the medium under the region is full */
    ALPS_EBUSY = -6,      /* open elsewhere in a way that excludes this */
    ALPS_EEXIST = -7,     /* exists: ALPS_EXCLUSIVE; or a name that is there */
    ALPS_ENOENT = -8,     /* does not exist; there is no such name */
    ALPS_EACCES = -9,     /* the system refuses permission */
    ALPS_EREADONLY = -10, /* the region was opened read-only */
    ALPS_EFORMAT = -11,   /* not a region of alps.h */
    ALPS_EVERSION = -12,  /* a region of a layout this header does not know */
    ALPS_ECORRUPT = -13,  /* damaged: a checksum or a structure is wrong */
    ALPS_EUNFINISHED = -14,   /* its creation was cut short: may be made anew */
    ALPS_ETRUNCATED = -15,    /* shorter than the region says it is */
    ALPS_ELAYOUT = -16,       /* made by a program with another layout name */
    ALPS_EINVALID_FREE = -17, /* not a live block: double, wild or interior */
    ALPS_EOWNER = -18,        /* a reservation of another process */
    ALPS_EUNSUPPORTED = -19,  /* the medium or the system cannot do this */
    ALPS_ENOTPMEM = -20,      /* ALPS_STRICT, and the medium cannot keep the
                                 promise of the policy (no MAP_SYNC) */
    ALPS_EIO = -21,           /* the medium failed to read or write */
    ALPS_EPROCESSES = -22,    /* every process slot of the region is taken */
    ALPS_ERECOVER = -23,      /* needs recovery; open it once for writing */
    ALPS_ESYSTEM = -24,       /* another error of the system: see errno */
    ALPS_EFORK = -25,         /* the child of a fork has to open the region for
                                 itself */
    ALPS_ETYPE = -26,    /* a name is there with another type, with elements
                         of another length, or with fewer */
    ALPS_EJOURNAL = -27, /* commits of the region are in a journal that is
                            not beside it */
    ALPS_EMISSING = -28, /* a region that is not in the space */
    ALPS_EABORTED = -29, /* the transaction was aborted by one inside of it */
    ALPS_EPART = -30 /* a file that the region goes on in is not there, or is
                            not the one */
};

/* The text of a code. Never NULL. Safe in any thread. */
ALPS_COLD_ const char *alps_error_text_(int code)
{
    static const char *const text[] = {
        "success",
        "invalid argument",
        "out of address space or memory",
        "no free run in the region is long enough",
        "the region may not grow past its limit",
        "the medium under the region is full",
        "the region is open elsewhere in a way that excludes this",
        "it exists already",
        "it does not exist",
        "permission denied by the system",
        "the region is open read-only",
        "not a region of alps.h",
        "a region of a layout this header does not know",
        "the region is damaged",
        "the creation of the region was cut short; it may be made anew",
        "the medium is shorter than the region in it",
        "the region was made with another layout name",
        "not a live block: double, wild or interior free",
        "the reservation belongs to another process",
        "not supported by the medium or the system",
        "the medium cannot keep the promise of the policy",
        "the medium failed to read or write",
        "every process slot of the region is taken",
        "the region needs recovery: open it once for writing",
        "error of the operating system",
        "the child of a fork has to open the region for itself",
        "the name is there with another type or length",
        "commits of the region are in a journal that is not beside it",
        "the region is not in the space",
        "the transaction was aborted",
        "a file that the region goes on in is missing, or is another",
    };
    if (code > 0 || code <= -(int)(sizeof text / sizeof *text))
        return "unknown code";
    return text[-code];
}

/* The code for what the system just answered in errno. */
ALPS_COLD_ int alps_oserror_(void)
{
    switch (errno) {
    case 0: return ALPS_OK;
    case EINVAL: return ALPS_EINVAL;
    case ENOMEM: return ALPS_ENOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ALPS_ENOSPC;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY: return ALPS_EBUSY;
    case EEXIST: return ALPS_EEXIST;
    case ENOENT:
    case ENOTDIR: return ALPS_ENOENT;
    case EACCES:
    case EPERM: return ALPS_EACCES;
    case EROFS: return ALPS_EREADONLY;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENODEV: return ALPS_EUNSUPPORTED;
    case EIO: return ALPS_EIO;
    default: return ALPS_ESYSTEM;
    }
}

/* bits.h -- bits of words, and the checksum of bytes
 *
 * The two bit searches that TLSF lives on, and CRC32C: the machine's own
 * instruction where the machine says it has one, asked at open and never by
 * -march, so that one program runs everywhere. Pure arithmetic: no memory is
 * changed here. */
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

ALPS_FN_ uint32_t alps_crc_hard_(uint32_t crc, const unsigned char *at,
                                 size_t n)
{
    uint64_t sum = crc, word[4];
    for (; n >= sizeof word; at += sizeof word, n -= sizeof word) {
        memcpy(word, at, sizeof word);
        sum = alps_crc_word_(sum, word[0]);
        sum = alps_crc_word_(sum, word[1]);
        sum = alps_crc_word_(sum, word[2]);
        sum = alps_crc_word_(sum, word[3]);
    }
    for (; n >= 8; at += 8, n -= 8) {
        memcpy(word, at, 8);
        sum = alps_crc_word_(sum, word[0]);
    }
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

/* hash.h -- names as numbers
 *
 * SipHash-1-3 (Aumasson and Bernstein: SipHash, 2012) under a key of 128 bits,
 * which is the region's uuid: who does not know that cannot choose names that
 * collide. A CRC would be shorter, but it is linear: names that collide under
 * one key do so under all. */

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

/* backend.h -- the contract between the core and the place where bytes live
 *
 * A backend opens one medium, sizes it, maps it, and says who else has it
 * open. It knows nothing of regions or heaps: the core tells it how many bytes
 * it wants and reads them. A backend part ends in one `static const` table. */

/* Flags of alps_options. With no options at all a region is opened, or
 * created where there is none. */
#define ALPS_CREATE 1u    /* create the region where there is none */
#define ALPS_EXCLUSIVE 2u /* with ALPS_CREATE: there must be none */
#define ALPS_TRUNCATE 4u  /* discard what is there and make the region anew */
#define ALPS_READ_ONLY 8u /* map it PROT_READ and never write to it */
#define ALPS_STRICT 16u   /* refuse a medium that cannot keep the promise */
#define ALPS_SALVAGE 64u /* read-only, also what is damaged: see alps_salvage */
#define ALPS_SHRINK \
  32u /* the last to close it cuts off what is free at the
                             end */

/* For alps_options.grow. */
#define ALPS_GROW_NEVER 1u

/* A file that a region goes on in, behind the one that it is opened by. */
typedef struct alps_part {
    const char *path; /* where it is not absolute, from the folder of the first
                         file; with a / at its end a folder: the file is then
                         called as the first one, with .1, .2 ... behind; at
                         most 159 bytes; NULL ends the list */
    uint64_t from;    /* the first byte of the region that is in it, a multiple
                         of the system's page; 0, of all that are new: a new
                         region is divided evenly, one that is there goes on
                         where it ends */
} alps_part;

/* How far a sync is: `done` of `total` bytes. Both only grow while it lasts; in
 * the last call of one that succeeds they are the same. Called by the thread
 * that syncs, between two writes; nothing of the library may be called. */
typedef void alps_progress(void *context, uint64_t done, uint64_t total);

/* How a region is opened. All zero asks for the defaults. */
typedef struct alps_options {
    uint64_t size;  /* bytes of a new region; 0: 64 MiB */
    uint64_t limit; /* bytes it may grow to; 0: 2^16 extents; at most 2^47 */
    unsigned flags; /* ALPS_CREATE ...; with no options: ALPS_CREATE */
    unsigned mode;  /* permission bits of a new file; 0: 0600 */
    const char *layout; /* the program's name for what it stores, stored with a
                           new region and compared at open; NULL: any; at most
                           63 bytes */
    uint64_t extent;    /* bytes of an extent of a new region: a power of two
                           from 4 KiB to 1 GiB; 0: by size, up to 4 MiB */
    uint64_t small;     /* bytes of the largest object that shares a slab with
                           others of its size, up to 1024 and an 8th of a slab,
                           rounded up to a class; 0: as many; 1: there are no
                           slabs */
    unsigned lanes;     /* threads of all processes that allocate by themselves;
                           more work, but wait for each other; 0: 1,088, fewer
                           in a small region; at most 4,032 */
    unsigned processes; /* processes attached at once; 0: 256; at most 4096 */
    unsigned shards;    /* parts of the heap, each with a lock, so that threads
                           do not wait for each other over blocks: a power of
                           two up to 64; 0: by size, up to 16 */
    unsigned dirty; /* policy checkpoint: ALPS_DIRTY_..., how pages that were
                        stored to are found; 0: the best way there is */
    uint64_t grow;  /* bytes by which this process lets the region get
                           longer at least when it is full, up to its limit; 0:
                           an 8th of its size; ALPS_GROW_NEVER: alps_grow alone
                           does it */
    const char *description; /* what else the program says of a new region, in
                                words; NULL: nothing; at most 495 bytes */
    const alps_part *parts;  /* files that the region goes on in when the ones
                               before are full, NULL: none; kept in it. One that
                               is there gets those that it has not, if nobody
                               else has it open (ALPS_EBUSY). File and pmem */
    uint64_t
        nodes; /* bit i: pages are taken from node i of the machine, in turn
                       with others; 0: as they come. See placement.h */
    alps_progress *progress; /* told how far a sync is, while it writes; NULL:
                                nobody */
    void *progress_context;  /* what it is called with */
    /* Backend paged, docs/paged.md. ALPS_MEMORY, ALPS_SEGMENT, ALPS_ENGINE and
     * ALPS_EVICTION in the environment come first. */
    uint64_t memory;   /* bytes the region may have in memory; 0: half of the
                         machine's */
    uint64_t segment;  /* bytes that come and go at once: a power of two from a
                         page to 1 GiB; 0: by memory, up to 1 MiB */
    unsigned engine;   /* ALPS_ENGINE_...; 0: the best one there is */
    unsigned eviction; /* ALPS_EVICT_..., who goes when memory is full; 0:
                          `evict`, or segmented FIFO */
    unsigned direct;   /* 1: past the page cache, which then holds none of it */
    unsigned write_back; /* milliseconds after which what is dirty is written,
                            by a thread of the region; 0: when it goes, or is
                            synced */
    unsigned readahead;  /* segments that are brought before they are touched,
                            where one comes behind the other; up to 64 */
    unsigned dirty_high; /* percent of the frames: where so many are dirty, the
                            thread begins to write; 0: it does not */
    unsigned dirty_low;  /* and ends where so few are; 0: half of that */
    const struct alps_eviction *evict; /* a policy of the program's own */
    struct alps_budget *budget; /* memory that it shares with other regions; it
                                   has `memory` of that at most */
    struct alps_faults *faults; /* the program's ALPS_HANDLER; NULL: the one of
                                   the instance, ALPS_FAULTS */
} alps_options;

/* Ways to find the pages that were stored to: docs/checkpoint.md. */
enum {
    ALPS_DIRTY_SCAN = 1,    /* PAGEMAP_SCAN, Linux 6.7 */
    ALPS_DIRTY_PAGEMAP = 2, /* /proc/self/pagemap, and a look at the contents */
    ALPS_DIRTY_PROTECT = 3, /* write protection and a thread, Linux 5.14 */
    ALPS_DIRTY_COMPARE = 4  /* a look at every page: asks the system nothing */
};

/* What the mapping turned out to be: who survives what depends on it. */
enum {
    ALPS_MEDIUM_ANON = 1,  /* memory of this process */
    ALPS_MEDIUM_SHMEM = 2, /* shared memory: outlives processes */
    ALPS_MEDIUM_CACHE = 3, /* a file behind the page cache: needs msync */
    ALPS_MEDIUM_FSDAX = 4, /* a file mapped with MAP_SYNC: flush is enough */
    ALPS_MEDIUM_DEVDAX = 5 /* a device: flush is enough, no file operations */
};

/* Ranges that msync will write, page numbers [from, to). */
#define ALPS_GATHER_MAX 32
typedef struct alps_gather {
    uint64_t lock; /* 0, or 1 while a thread works here */
    unsigned n;
    struct {
        uint64_t from, to;
    } range[ALPS_GATHER_MAX];
} alps_gather;

/* One open medium, inside the handle. The core reads it; backend and policy
 * fill it in. */
typedef struct alps_map {
    unsigned char *base; /* address of offset 0; NULL while not mapped */
    uint64_t length;     /* bytes of the medium; 0: just created or empty */
    uint64_t size;       /* bytes mapped and usable */
    uint64_t reserved;   /* bytes of address range held from `base` on: the
                             region can grow in place up to here */
    uint64_t align;      /* the medium's own alignment of lengths, or 1 */
    uint64_t always_off; /* a range that every fence of msync includes: the */
    uint64_t always_n;   /* retire words of all lanes, see lane.h */
    int fd;              /* the open file, or -1 */
    unsigned flags;      /* the flags of the open */
    unsigned medium;     /* ALPS_MEDIUM_... */
    unsigned fixed;      /* 1: the length of the medium cannot be changed */
    uint64_t nodes;      /* whose memory it takes in turn; 0: as it comes */
    unsigned door;       /* 1: the page of the system's in front of `base` is
                            this mapping's too, for what the process needs to
                            find by an address in the region: see cxx.h */
    unsigned persist;    /* how the policy writes back: see policy.h */
    unsigned stream;     /* 1: a record is faster past the caches */
    unsigned sole;       /* 1: stores are to be this process's alone until the
                            policy commits them; set before `open` */
    struct alps_journal *journal; /* where it commits them to, or NULL */
    alps_gather gather;           /* of policy msync */
    struct alps_pager *pager;     /* of backend paged, or NULL */
    struct alps_parts *parts;     /* of a region that is in several files, see
                                     parts.h; or NULL */
    unsigned more;  /* 1: it is to get further ones, by a `resize` to the length
                      that it has */
    unsigned apart; /* 1: what is stored is not in the file until the backend's
                       `write` has put it there */
    void *user;     /* of a backend of the program's own */
    alps_progress *progress; /* told how far a sync is, or NULL, */
    void *progress_context;  /* with this */
} alps_map;

/* Asks `leased` for any lease at all. */
#define ALPS_LEASE_ANY (~0u)

/* The table a backend fills. Every function answers 0 or a code; none prints,
 * none exits. `m` is zeroed but for `flags`, and `fd` is -1, before `open`. */
typedef struct alps_backend {
    const char *name;

    /* Opens the medium at `path`, or creates it (flags), and enters the
     * *guard*: until `unguard`, no other open of the same medium, in any
     * process, gets past its own `open`. Sets `length`, `fd`, `fixed`, `align`
     * and, as far as known, `medium`. An existing medium is not changed, also
     * with ALPS_TRUNCATE: the core decides. On failure nothing is left open,
     * and a medium that was there is as it was. */
    int (*open)(alps_map *m, const char *path, const alps_options *o);

    /* Leaves the guard. */
    int (*unguard)(alps_map *m);

    /* Maps bytes [0, size) and holds addresses for `reserve` >= size bytes
     * from `base` on, `base` being a multiple of `align` (a power of two).
     * Where so many addresses are not to be had, holds fewer, at least `size`.
     * Read-only where the flags say so. Sets `base`, `size`, `reserved`,
     * `medium`. */
    int (*map)(alps_map *m, uint64_t size, uint64_t reserve, uint64_t align);
    int (*unmap)(alps_map *m);

    /* Makes the medium `size` bytes long, with its blocks reserved, so that a
     * later store cannot find the medium full; and, where it is mapped, makes
     * bytes up to `size` usable (`size` <= `reserved`). ALPS_ENOSPC where there
     * is no room: the medium then has its old length. Sets `length`, `size`. */
    int (*resize)(alps_map *m, uint64_t size);

    /* Bytes [off, off + n) are no longer needed: they may read as zero. Whole
     * pages only. ALPS_EUNSUPPORTED is no failure of the caller's work. */
    int (*punch)(alps_map *m, uint64_t off, uint64_t n);

    /* Their blocks are reserved again, as `resize` does it, and durably so;
     * what is stored there remains. Whole pages inside of the medium. */
    int (*reserve)(alps_map *m, uint64_t off, uint64_t n);

    /* Bytes [off, off + n) are on the medium when this returns. */
    int (*sync)(alps_map *m, uint64_t off, uint64_t n);

    /* Leases, numbers from 0 on: `lease` takes one for as long as `m` is open
     * and the process lives; `leased` answers 1 where any other open of the
     * medium holds it (ALPS_LEASE_ANY: holds any), 0 where none does,
     * ALPS_EUNSUPPORTED where the medium cannot tell (the core then asks for
     * the process). */
    int (*lease)(alps_map *m, unsigned number);
    int (*unlease)(alps_map *m, unsigned number);
    int (*leased)(alps_map *m, unsigned number);

    /* Unmaps and closes; the guard and the leases go with it. */
    int (*close)(alps_map *m);

    /* Removes the medium; not while any process has it open (ALPS_EBUSY). */
    int (*remove)(const char *path);

    /* Bytes [off, off + n) as they are now are in the file when this returns,
     * and durable with the next `sync` of anything, of 0 bytes if need be.
     * Asked only where `apart` is set; else it may be NULL. */
    int (*write)(alps_map *m, uint64_t off, uint64_t n);

    /* Where `apart` is set and the policy commits all at once: its `commit`, of
     * which this backend alone knows what was stored. Else it may be NULL. */
    int (*commit)(alps_map *m, unsigned part);
} alps_backend;

/* progress.h -- how far a long sync is, told to the program
 *
 * A sync of gigabytes takes seconds. Whoever asked for it is told now and then
 * how much is written, by a function of its own, on its own thread, while no
 * latch is held; docs/options.md has what it may do. */

/* How far a sync is, and who wants to know. */
typedef struct alps_telling {
    alps_progress *tell; /* or NULL: nobody */
    void *context;
    uint64_t done, total; /* bytes */
    pid_t process;        /* whose function it is: not a clone's */
} alps_telling;

/* A call of the program's function, the only one there is. */
ALPS_COLD_ void alps_progress_tell_(const alps_telling *s)
{
    if (s->tell && s->process == getpid())
        s->tell(s->context, s->done, s->total);
}

/* A sync begins that is to write so many bytes. */
ALPS_COLD_ void alps_progress_begin_(alps_telling *s, const alps_map *m,
                                     uint64_t total)
{
    s->tell = m->progress;
    s->context = m->progress_context;
    s->done = 0;
    s->total = total;
    s->process = s->tell ? getpid() : 0;
    if (total)
        alps_progress_tell_(s);
}

/* It is to write so many more. */
ALPS_COLD_ void alps_progress_add_(alps_telling *s, uint64_t n)
{
    int first = !s->total;
    s->total += n;
    if (first && n)
        alps_progress_tell_(s);
}

/* So many are written, or were found to be there already. */
ALPS_COLD_ void alps_progress_step_(alps_telling *s, uint64_t n)
{
    if (s->total - s->done < n) // others have stored meanwhile
        alps_progress_add_(s, n - (s->total - s->done));
    s->done += n;
    if (n)
        alps_progress_tell_(s);
}

/* All that it had to do is done. */
ALPS_COLD_ void alps_progress_end_(alps_telling *s)
{
    s->done = s->total;
    if (s->total)
        alps_progress_tell_(s);
}

/* policy.h -- the contract between the core and what makes bytes durable
 *
 * The core tells a policy which bytes must be written back (`flush`) and when
 * all that was told so far must be durable (`fence`). Costs are counted in
 * fences: one is about 160 ns on pmem and a sync call in a file, and further
 * lines in the same fence are nearly free. A policy part ends in one `static
 * const` table. */

/* A test may watch every write-back, fence and non-temporal store, and leave
 * it out: define this before the include; where it answers non-zero the policy
 * skips the act. */
#ifndef ALPS_OBSERVE
#  define ALPS_OBSERVE(event, p, n) 0
#endif
enum {
    ALPS_SAW_FLUSH = 1,  /* lines of [p, p + n) are written back */
    ALPS_SAW_FENCE = 2,  /* all write-backs of this thread are durable */
    ALPS_SAW_STREAM = 3, /* a non-temporal store of n bytes to p is about to
                            happen; it is durable with the next fence */
    ALPS_SAW_LOCK = 4    /* a locked instruction: on x86 it waits for the
                            write-backs of this thread, elsewhere it does not */
};

/* How lines are written back; in alps_map.persist. Chosen by the machine's
 * own word (CPUID, HWCAP) at open, never by -march; `ALPS_PERSIST` in the
 * environment overrides: clwb, clflushopt, clflush, cvap, cvac, eadr, none. */
enum {
    ALPS_PERSIST_NONE = 0,
    ALPS_PERSIST_CLFLUSH = 1,
    ALPS_PERSIST_CLFLUSHOPT = 2,
    ALPS_PERSIST_CLWB = 3,
    ALPS_PERSIST_CVAC = 4,
    ALPS_PERSIST_CVAP = 5,
    ALPS_PERSIST_EADR = 6, /* caches are inside the persistence domain */
    ALPS_PERSIST_MSYNC = 7,
    ALPS_PERSIST_CHECKPOINT = 8
};

/* What of a commit is asked for: all; or up to the moment whose state it is,
 * and then what makes it durable. */
enum { ALPS_COMMIT_ALL = 0, ALPS_COMMIT_BEGIN = 1, ALPS_COMMIT_END = 2 };

/* The table a policy fills. `flush`, `stream` and `fence` are called from any
 * thread; each answers 0 or a code. */
typedef struct alps_policy {
    const char *name;

    /* 1: the policy means power failure, so the core orders, checksums and
     * fences for it. 0: it means the death of processes; program order is all
     * the order there is, and `flush` and `fence` cost nothing. */
    int durable;

    /* Looks at the mapped medium and chooses; under ALPS_STRICT refuses
     * (ALPS_ENOTPMEM) what cannot keep the promise. Sets `persist`. */
    int (*open)(alps_map *m, const alps_backend *b);

    /* The lines of [p, p + n) are to be durable at the next fence. */
    int (*flush)(alps_map *m, const void *p, size_t n);

    /* Copies one line (64 bytes, both 64-aligned) to the medium, durable at the
     * next fence, with no need to flush it. */
    int (*stream)(alps_map *m, void *to, const void *from);

    /* What was flushed or streamed before is durable when this returns. */
    int (*fence)(alps_map *m, const alps_backend *b);

    /* What was flushed before is durable before anything that another thread
     * or process does after it next took a lock of this one. Nothing where a
     * locked instruction does this by itself (x86). */
    int (*settle)(alps_map *m);

    /* Where durable means a commit of everything, else NULL: the medium is then
     * mapped for this process alone (`sole`), while it is made anew it is not,
     * and `flush` and `fence` count as for msync. `begin` is called once the
     * region is open, `end` before it is closed, with the last commit behind
     * it. */
    int (*begin)(alps_map *m, const alps_options *o);
    int (*commit)(alps_map *m, unsigned part);
    int (*end)(alps_map *m);
} alps_policy;

/* A commit of all, or a part of it, by whoever knows what was stored. */
ALPS_FAST_ int alps_policy_commit_(const alps_policy *policy,
                                   const alps_backend *b, alps_map *m,
                                   unsigned part)
{
    if (b->commit && __atomic_load_n(&m->apart, __ATOMIC_RELAXED))
        return b->commit(m, part);
    return policy->commit(m, part);
}

/* address.h -- a range of addresses, held before anything lies in it
 *
 * A region grows in place, so its addresses are taken all at once at open, as
 * memory that may not be touched. That costs a page table entry or two and no
 * memory: 2^47 bytes may be asked for, and often most of it is granted. */

/* The system's page, which may be larger than ALPS_PAGE (AArch64). */
ALPS_COLD_ uint64_t alps_system_page_(void)
{
    long n = sysconf(_SC_PAGESIZE);
    return n > 0 ? (uint64_t)n : ALPS_PAGE;
}

ALPS_COLD_ void alps_drop_addresses_(unsigned char *from, unsigned char *to)
{
    if (from < to)
        munmap(from, (size_t)(to - from));
}

/* Holds `n` bytes of addresses from a multiple of `align` (a power of two) on,
 * and one page of the system's in front of them: the door, see cxx.h. Answers
 * NULL where there are not so many. The caller maps into them with MAP_FIXED,
 * which is safe there and only there. */
ALPS_COLD_ unsigned char *alps_hold_region_(uint64_t n, uint64_t align)
{
    uint64_t page = alps_system_page_();
    uint64_t more = align > page ? align : page;
    if (n + page < n || n + page + more < n)
        return NULL;
    n = alps_round_up_(n, page);
    void *p = mmap(NULL, n + more, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    unsigned char *held = (unsigned char *)p;
    unsigned char *base = held + page;
    base += -(uintptr_t)base & (more - 1);
    alps_drop_addresses_(held, base - page);
    alps_drop_addresses_(base + n, held + n + more);
    return base;
}

/* The same without the page in front. */
ALPS_COLD_ unsigned char *alps_hold_addresses_(uint64_t n, uint64_t align)
{
    unsigned char *base = alps_hold_region_(n, align);
    if (base)
        alps_drop_addresses_(base - alps_system_page_(), base);
    return base;
}

/* Lets go of what was held, and of what is mapped there; with `door` of the
 * page in front. */
ALPS_COLD_ int alps_let_addresses_(unsigned char *base, uint64_t n,
                                   unsigned door)
{
    uint64_t page = alps_system_page_(), front = door ? page : 0;
    return munmap(base - front, (size_t)(alps_round_up_(n, page) + front))
               ? alps_oserror_()
               : ALPS_OK;
}

/* lease.h -- range locks on an open file: the guard, attachment, leases
 *
 * All are "open file description" locks on bytes far beyond any content, which
 * a lock may name without their being there. The kernel drops them when the
 * last descriptor of the open is gone: at close, or when the process dies,
 * however it dies, across pid namespaces. Unlike the older POSIX locks they do
 * not vanish because some library closed another descriptor of the same file,
 * and two opens in one process are two owners. A forked child shares the open
 * of its parent, and so keeps the parent's locks alive: a program that forks
 * and goes on in both should close the heap in one of them.
 *
 * Where a file system has no such locks, flock() stands in for the guard, and
 * the rest is answered with ALPS_EUNSUPPORTED. */
#include <sys/file.h>

/* The C library tells these to GNU programs only. */
#ifndef F_OFD_GETLK
#  define F_OFD_GETLK 36
#  define F_OFD_SETLK 37
#  define F_OFD_SETLKW 38
#endif

#define ALPS_LOCK_GUARD_ ((off_t)1 << 62)
#define ALPS_LOCK_ATTACHED_ (ALPS_LOCK_GUARD_ + 1)
#define ALPS_LOCK_LEASE_ (ALPS_LOCK_GUARD_ + 4096)

/* `n` bytes at `off`, or with 0 all from there on, are locked as `type` says,
 * or with F_OFD_GETLK asked for. Answers the type of the lock found, or -1 and
 * errno. */
ALPS_COLD_ int alps_range_lock_(int fd, int command, int type, off_t off,
                                off_t n)
{
    struct flock lock;
    int rc;
    memset(&lock, 0, sizeof lock);
    lock.l_type = (short)type;
    lock.l_whence = SEEK_SET;
    lock.l_start = off;
    lock.l_len = n;
    do
        rc = fcntl(fd, command, &lock);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -1 : lock.l_type;
}

/* Whether errno means that there are no range locks here at all. */
ALPS_COLD_ int alps_no_range_locks_(void)
{
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ||
           errno == ENOLCK;
}

ALPS_COLD_ int alps_file_lock_(int fd, int how)
{
    int rc;
    do
        rc = flock(fd, how);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? alps_oserror_() : ALPS_OK;
}

/* Waits for the guard of the medium behind `fd`. A descriptor that may only
 * read can only lock for reading: readers do not exclude each other, and need
 * not, for none of them creates or recovers anything. */
ALPS_COLD_ int alps_guard_(int fd, int read_only)
{
    int type = read_only ? F_RDLCK : F_WRLCK;
    if (alps_range_lock_(fd, F_OFD_SETLKW, type, ALPS_LOCK_GUARD_, 1) >= 0)
        return ALPS_OK;
    if (!alps_no_range_locks_())
        return alps_oserror_();
    return alps_file_lock_(fd, read_only ? LOCK_SH : LOCK_EX);
}

ALPS_COLD_ int alps_unguard_(alps_map *m)
{
    int fd = m->fd;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_UNLCK, ALPS_LOCK_GUARD_, 1) >= 0)
        return ALPS_OK;
    if (!alps_no_range_locks_())
        return alps_oserror_();
    return alps_file_lock_(fd, LOCK_UN);
}

/* Says for as long as `fd` is open that somebody has the medium open. Where
 * somebody is about to remove it, ALPS_EBUSY. */
ALPS_COLD_ int alps_attach_(int fd)
{
    off_t off = ALPS_LOCK_ATTACHED_;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_RDLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_OK;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* 0 where nobody else has the medium open, and none gets to open it while `fd`
 * is; ALPS_EBUSY where somebody has. */
ALPS_COLD_ int alps_detached_(int fd)
{
    off_t off = ALPS_LOCK_ATTACHED_;
    if (alps_range_lock_(fd, F_OFD_SETLK, F_WRLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_EUNSUPPORTED;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* A lease is an exclusive lock, which asks for a descriptor that may write. */
ALPS_COLD_ int alps_lease_(alps_map *m, unsigned number)
{
    off_t off = ALPS_LOCK_LEASE_ + (off_t)number;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (alps_range_lock_(m->fd, F_OFD_SETLK, F_WRLCK, off, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_EUNSUPPORTED;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

ALPS_COLD_ int alps_unlease_(alps_map *m, unsigned number)
{
    off_t off = ALPS_LOCK_LEASE_ + (off_t)number;
    if (alps_range_lock_(m->fd, F_OFD_SETLK, F_UNLCK, off, 1) >= 0)
        return ALPS_OK;
    return alps_no_range_locks_() ? ALPS_EUNSUPPORTED : alps_oserror_();
}

/* Whether another open holds lease `number`, or with ~0u any at all. */
ALPS_COLD_ int alps_leased_(alps_map *m, unsigned number)
{
    off_t n = number == ~0u ? 0 : 1;
    off_t off = ALPS_LOCK_LEASE_ + (n ? (off_t)number : 0);
    int found = alps_range_lock_(m->fd, F_OFD_GETLK, F_WRLCK, off, n);
    if (found >= 0)
        return found != F_UNLCK;
    return alps_no_range_locks_() ? ALPS_EUNSUPPORTED : alps_oserror_();
}

#define ALPS_LOCK_SOLE_ (ALPS_LOCK_GUARD_ + 2)
#define ALPS_LOCK_HOME_ (ALPS_LOCK_GUARD_ + 3)

/* One who writes: alone, or one of many. For as long as `fd` is open. */
ALPS_COLD_ int alps_sole_lock_(int fd, int alone)
{
    int type = alone ? F_WRLCK : F_RDLCK;
    if (alps_range_lock_(fd, F_OFD_SETLK, type, ALPS_LOCK_SOLE_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return alone ? ALPS_EUNSUPPORTED : ALPS_OK;
    return errno == EACCES ? ALPS_EBUSY : alps_oserror_();
}

/* Readers keep pages from coming home: they have F_RDLCK, who brings them has
 * F_WRLCK, F_UNLCK ends it. */
ALPS_COLD_ int alps_home_lock_(int fd, int type, int wait)
{
    int command = wait ? F_OFD_SETLKW : F_OFD_SETLK;
    if (alps_range_lock_(fd, command, type, ALPS_LOCK_HOME_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return ALPS_OK;
    return errno == EACCES || errno == EAGAIN ? ALPS_EBUSY : alps_oserror_();
}

/* One who keeps parts of the file in memory of its own, so that the file alone
 * tells nobody anything, has F_WRLCK; readers have F_RDLCK. */
#define ALPS_LOCK_APART_ (ALPS_LOCK_GUARD_ + 4)
ALPS_COLD_ int alps_apart_lock_(int fd, int type)
{
    if (alps_range_lock_(fd, F_OFD_SETLK, type, ALPS_LOCK_APART_, 1) >= 0)
        return ALPS_OK;
    if (alps_no_range_locks_())
        return type == F_WRLCK ? ALPS_EUNSUPPORTED : ALPS_OK;
    return errno == EACCES || errno == EAGAIN ? ALPS_EBUSY : alps_oserror_();
}

/* descriptor.h -- what the backends over a file descriptor share
 *
 * Opening without a race, lengths with their blocks reserved, and the mapping.
 *
 * All of `reserve` is mapped at once, also what lies beyond the end of the
 * file: such pages fault only when touched, and become usable by themselves
 * when the file grows, in every process that has mapped it, whoever makes it
 * grow. So growth needs no second mapping, and no word to other processes. */
#include <sys/resource.h>

/* The C library tells these to GNU programs only; Linux does not change. */
#define ALPS_FALLOC_KEEP_SIZE_ 1
#define ALPS_FALLOC_PUNCH_HOLE_ 2
#define ALPS_O_PATH_ 010000000
#define ALPS_SEEK_DATA_ 3
#define ALPS_SEEK_HOLE_ 4

/* How much is reserved by one call: a signal makes the kernel start one over,
 * so a call must not take long. */
#define ALPS_FALLOC_STEP_ ((uint64_t)64 << 20)

/* How often a file may vanish under us while we open it. */
#define ALPS_DRAFT_TRIES_ 1000

/* The code for an open that failed: what is no file is not a medium. */
ALPS_COLD_ int alps_fd_open_error_(void)
{
    switch (errno) {
    case EISDIR:
    case ENXIO:
    case ELOOP: return ALPS_EUNSUPPORTED;
    case ENAMETOOLONG: return ALPS_EINVAL;
    default: return alps_oserror_();
    }
}

/* Whether `path` still names what is open as `fd`. */
ALPS_COLD_ int alps_fd_named_(int fd, const char *path)
{
    struct stat there, here;
    return !fstat(fd, &here) && !stat(path, &there) &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* Whether the open is to fail where there is a medium already. */
ALPS_COLD_ int alps_fd_must_make_(const alps_map *m)
{
    return (m->flags & ALPS_CREATE) && (m->flags & ALPS_EXCLUSIVE);
}

/* Opens `path`, or creates it; `*made` says which. Existing files are opened
 * without O_CREAT, which the system may refuse for the files of others in a
 * shared directory. ALPS_EBUSY: it came and went meanwhile; try again. */
ALPS_COLD_ int alps_fd_try_(alps_map *m, const char *path, unsigned mode,
                            int *made)
{
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    how |= m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    if (m->medium == ALPS_MEDIUM_SHMEM)
        how |= O_NOFOLLOW; // a directory where anybody may put a link
    m->fd = open(path, how);
    if (m->fd >= 0)
        return alps_fd_must_make_(m) ? ALPS_EEXIST : ALPS_OK;
    if (errno != ENOENT)
        return alps_fd_open_error_();
    if (!(m->flags & ALPS_CREATE) || m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT;
    m->fd = open(path, how | O_CREAT | O_EXCL, (mode_t)(mode ? mode : 0600));
    *made = m->fd >= 0;
    if (*made)
        return ALPS_OK;
    return errno == EEXIST ? ALPS_EBUSY : alps_fd_open_error_();
}

/* Whether what was opened is of a kind that can be a medium. */
ALPS_COLD_ int alps_fd_kind_(int fd, int device)
{
    struct stat st;
    if (fstat(fd, &st))
        return alps_oserror_();
    if (S_ISREG(st.st_mode) || (device && S_ISCHR(st.st_mode)))
        return ALPS_OK;
    return ALPS_EUNSUPPORTED;
}

/* The file that `path` names now is unlinked, unless it is open anywhere. */
ALPS_COLD_ int alps_fd_remove_at_(int fd, const char *path)
{
    int err = alps_fd_kind_(fd, 0);
    if (!err)
        err = alps_detached_(fd);
    if (err)
        return err;
    if (!alps_fd_named_(fd, path))
        return ALPS_ENOENT; // somebody else removed it meanwhile
    return unlink(path) ? alps_oserror_() : ALPS_OK;
}

/* The file is guarded: is it still the one that is meant? Sets `length`. It
 * is attached to before the name is looked at, so that it cannot be removed
 * from then on. */
ALPS_COLD_ int alps_fd_settle_(alps_map *m, const char *path)
{
    struct stat st;
    int err = alps_attach_(m->fd);
    if (err)
        return err;
    if (fstat(m->fd, &st))
        return alps_oserror_();
    if (!alps_fd_named_(m->fd, path))
        return ALPS_EBUSY; // removed, or replaced, before we were guarded
    m->length = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    m->align = 1;
    if (alps_fd_must_make_(m) && m->length)
        return ALPS_EEXIST; // our file, but somebody was quicker to fill it
    return ALPS_OK;
}

/* One try of `alps_fd_open_`; closes, and removes what it made, on failure. */
ALPS_COLD_ int alps_fd_once_(alps_map *m, const char *path, unsigned mode,
                             int device)
{
    int made = 0;
    int err = alps_fd_try_(m, path, mode, &made);
    if (!err)
        err = alps_fd_kind_(m->fd, device);
    if (!err)
        err = alps_guard_(m->fd, (m->flags & ALPS_READ_ONLY) != 0);
    if (!err)
        err = alps_fd_settle_(m, path);
    if (!err || m->fd < 0)
        return err;
    if (made && err != ALPS_EEXIST)
        alps_fd_remove_at_(m->fd, path); // unless somebody has come to use it
    close(m->fd);
    m->fd = -1;
    return err;
}

/* Opens the file `path`, or with `device` also a character device, and enters
 * the guard. An opener attaches and then looks at the name again, a remover
 * sees that nobody is attached and then removes the name: so of the two at
 * least one sees the other. */
ALPS_COLD_ int alps_fd_open_(alps_map *m, const char *path, unsigned mode,
                             int device)
{
    int err = ALPS_EBUSY;
    if (!path || !*path)
        return ALPS_EINVAL;
    if (m->flags & ALPS_READ_ONLY &&
        m->flags & (ALPS_EXCLUSIVE | ALPS_TRUNCATE))
        return ALPS_EINVAL;
    for (int i = 0; err == ALPS_EBUSY && i < ALPS_DRAFT_TRIES_; i++)
        err = alps_fd_once_(m, path, mode, device);
    return err;
}

/* Beyond its limit a process would not get an error but be killed. */
ALPS_COLD_ int alps_fd_limit_(uint64_t size)
{
    struct rlimit limit;
    if (size > (uint64_t)INT64_MAX - ALPS_PAGE)
        return ALPS_ENOSPC;
    if (getrlimit(RLIMIT_FSIZE, &limit))
        return alps_oserror_();
    return limit.rlim_cur < size ? ALPS_ENOSPC : ALPS_OK;
}

/* All of `n` bytes at `off` of a file; ALPS_ETRUNCATED: it ends before. */
ALPS_COLD_ int alps_fd_read_(int fd, void *to, uint64_t n, uint64_t off)
{
    unsigned char *at = (unsigned char *)to;
    while (n) {
        ssize_t got = pread(fd, at, (size_t)n, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got ? alps_oserror_() : ALPS_ETRUNCATED;
        at += got;
        off += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_write_(int fd, const void *from, uint64_t n,
                              uint64_t off)
{
    const unsigned char *at = (const unsigned char *)from;
    int err = alps_fd_limit_(off + n);
    while (!err && n) {
        ssize_t put = pwrite(fd, at, (size_t)n, (off_t)off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put ? alps_oserror_() : ALPS_ENOSPC;
        at += put;
        off += (uint64_t)put;
        n -= (uint64_t)put;
    }
    return err;
}

/* The next stretch of a file of `length` bytes that is not a hole, from `off`
 * on; 1 if there is one. Where the file system does not tell, all is. */
ALPS_COLD_ int alps_fd_data_(int fd, uint64_t length, uint64_t off,
                             uint64_t *from, uint64_t *to)
{
    if (off >= length)
        return 0;
    off_t data = lseek(fd, (off_t)off, ALPS_SEEK_DATA_);
    if (data < 0 && errno == ENXIO)
        return 0;
    off_t hole = data < 0 ? -1 : lseek(fd, data, ALPS_SEEK_HOLE_);
    *from = data < 0 ? off : (uint64_t)data;
    *to = hole < 0 || (uint64_t)hole > length ? length : (uint64_t)hole;
    return *from < *to;
}

ALPS_COLD_ int alps_fd_sync_data_(int fd)
{
    return fdatasync(fd) ? alps_oserror_() : ALPS_OK;
}

/* Makes the names in directory `dir` durable. A directory that we may not read,
 * or a file system that has no such operation, is left to do it in its own
 * time. */
ALPS_COLD_ int alps_fd_sync_dir_(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ALPS_OK;
    int err = fsync(fd) && errno != EINVAL ? alps_oserror_() : ALPS_OK;
    close(fd);
    return err;
}

/* Makes the name of a file that was just created as durable as the file will
 * be. */
ALPS_COLD_ int alps_fd_sync_name_(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n + 2 > sizeof dir)
        return ALPS_EINVAL;
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    int fd = open(dir, O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
    if (fd < 0)
        return ALPS_OK;
    int err = alps_fd_sync_dir_(fd);
    close(fd);
    return err;
}

/* The path of the file behind `fd`, by whatever links it was opened; where the
 * system does not tell, that by which it was. */
ALPS_COLD_ int alps_fd_path_(int fd, const char *path, char real[4096])
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, 4095);
    real[n < 0 ? 0 : n] = 0;
    if (real[0] == '/')
        return ALPS_OK;
    if (strlen(path) > 4095)
        return ALPS_EINVAL;
    strcpy(real, path);
    return ALPS_OK;
}

/* Fills bytes [off, off + n), which lie beyond the old end, with zeros: slow,
 * but where the file system cannot reserve blocks it does so for sure. */
ALPS_COLD_ int alps_fd_fill_(int fd, uint64_t off, uint64_t n)
{
    static const char zeros[16384] = {0};
    while (n) {
        size_t k = n < sizeof zeros ? (size_t)n : sizeof zeros;
        ssize_t put = pwrite(fd, zeros, k, (off_t)off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put ? alps_oserror_() : ALPS_ENOSPC;
        off += (uint64_t)put;
        n -= (uint64_t)put;
    }
    return ALPS_OK;
}

/* Reserves the blocks of [off, off + n) and makes the file reach so far. By
 * the system call itself: the library's posix_fallocate() writes a byte to
 * every block where the system call is missing, also where others store. */
ALPS_COLD_ int alps_fd_reserve_(int fd, uint64_t off, uint64_t n)
{
    while (n) {
        uint64_t k = n < ALPS_FALLOC_STEP_ ? n : ALPS_FALLOC_STEP_;
        if (syscall(SYS_fallocate, fd, 0, (off_t)off, (off_t)k)) {
            if (errno == EINTR)
                continue;
            return alps_oserror_();
        }
        off += k;
        n -= k;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_grow_(int fd, uint64_t from, uint64_t to)
{
    int err = alps_fd_limit_(to);
    if (!err)
        err = alps_fd_reserve_(fd, from, to - from);
    if (err == ALPS_EUNSUPPORTED)
        err = alps_fd_fill_(fd, from, to - from);
    if (err && ftruncate(fd, (off_t)from))
        return alps_oserror_();
    return err;
}

/* amount.h -- a number of bytes in words
 *
 * What the environment says of sizes: digits, and K, M, G or T behind them.
 * Anything else is refused: who mistypes a limit learns of it. */

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

/* part.h -- a file that a region goes on in, and what it says of itself
 *
 * A region may lie in several files, one behind the other. Each names the next:
 * the first file in its first page, the others, the *parts*, in their heads.
 * What names a part has a random number that the part's head has as well, so
 * that parts which were exchanged are found out. docs/parts.md has the order of
 * things, docs/format.md the bytes. */

#define ALPS_PART_MAGIC_ 0x5452415053504c41ull /* "ALPSPART" */

/* What the first 16 bytes of a region say, and say of one in the making. */
#define ALPS_PART_REGION_ 0x5041454853504c41ull
#define ALPS_PART_MAKING_ 0x676e696b616d2e2eull

/* Files of a region at most, beside the first. */
#define ALPS_PARTS_MAX 63u

/* Where the first page of a region names what it goes on in. */
#define ALPS_ONWARD 576u
#define ALPS_PART_PATH 160u
typedef struct alps_onward {
    uint64_t from;   /* the first byte of the region that is there, sealed; 0:
                        the region goes on nowhere, or not yet */
    uint32_t crc;    /* CRC-32C of what follows */
    uint32_t number; /* of the part, from 1 on */
    uint8_t id[16];  /* random, of this part alone */
    char path[ALPS_PART_PATH]; /* zero-padded; where it is not absolute, from
                                  the folder of the region's first file */
} alps_onward;
ALPS_STATIC_ASSERT_(sizeof(alps_onward) == 192, "size");

/* The first bytes of a part. */
typedef struct alps_part_head {
    uint64_t magic;    /* ALPS_PART_MAGIC_ */
    uint32_t version;  /* ALPS_PART_VERSION_ */
    uint32_t crc;      /* CRC-32C of what follows, up to `next` */
    uint8_t id[16];    /* what names this part has the same */
    uint64_t from;     /* the first byte of the region that is here */
    uint64_t front;    /* where in the file that byte is */
    uint32_t number;   /* of this part */
    uint32_t line_[3]; /* zero */
    alps_onward next;  /* what the region goes on in behind it */
} alps_part_head;
ALPS_STATIC_ASSERT_(sizeof(alps_part_head) == 256, "size");
#define ALPS_PART_VERSION_ 1u
#define ALPS_PART_NEXT_ offsetof(alps_part_head, next)

/* Bytes of a part before its piece of the region, which is to be where the
 * system can map it, by huge pages if the region's own place lets it. They are
 * a hole but for the head. */
#define ALPS_PART_FRONT_ ((uint64_t)64 << 10)
#define ALPS_PART_HUGE_ ((uint64_t)2 << 20)

ALPS_FN_ uint64_t alps_part_front_(uint64_t from)
{
    return from % ALPS_PART_HUGE_ ? ALPS_PART_FRONT_ : ALPS_PART_HUGE_;
}

ALPS_FN_ uint32_t alps_onward_sum_(unsigned how, const alps_onward *on)
{
    return alps_crc32c_(how, 0, &on->number,
                        sizeof *on - offsetof(alps_onward, number));
}

/* Whether what names a part can be read, also of a part that is not there
 * yet. */
ALPS_FN_ int alps_onward_whole_(unsigned how, const alps_onward *on)
{
    return on->crc == alps_onward_sum_(how, on) && on->path[0] &&
           !on->path[ALPS_PART_PATH - 1];
}

/* Whether a region goes on, as `on` says: 1, 0, or ALPS_ECORRUPT. */
ALPS_FN_ int alps_onward_leads_(unsigned how, const alps_onward *on)
{
    if (!on->from)
        return 0;
    return alps_sealed_(on->from) && alps_onward_whole_(how, on)
               ? 1
               : ALPS_ECORRUPT;
}

ALPS_FN_ uint32_t alps_part_sum_(unsigned how, const alps_part_head *head)
{
    return alps_crc32c_(how, 0, head->id,
                        ALPS_PART_NEXT_ - offsetof(alps_part_head, id));
}

/* What a file turns out to be for which a region names a part. */
enum {
    ALPS_PART_HERE = 1,  /* that part */
    ALPS_PART_BEGUN = 2, /* nothing yet: its making was cut short */
    ALPS_PART_OTHER = 3  /* something else */
};

/* Whether the file behind `fd` is the part that `on` names; reads its head. */
ALPS_COLD_ int alps_part_judge_(unsigned how, int fd, const alps_onward *on,
                                alps_part_head *head)
{
    struct stat st;
    static const alps_part_head none = {
        0, 0, 0, {0}, 0, 0, 0, {0}, {0, 0, 0, {0}, {0}}};
    memset(head, 0, sizeof *head);
    if (fstat(fd, &st))
        return alps_oserror_();
    uint64_t n = (uint64_t)st.st_size;
    int err = alps_fd_read_(fd, head, n < sizeof *head ? n : sizeof *head, 0);
    if (err)
        return err;
    int sound = head->magic == ALPS_PART_MAGIC_ &&
                head->crc == alps_part_sum_(how, head);
    if (sound)
        return head->version == ALPS_PART_VERSION_ &&
                       !memcmp(head->id, on->id, sizeof head->id) &&
                       head->number == on->number &&
                       head->front % ALPS_PAGE == 0 && head->front &&
                       (!on->from || head->from == on->from >> 16)
                   ? ALPS_PART_HERE
                   : ALPS_PART_OTHER;
    return n <= ALPS_PAGE && (head->magic == ALPS_PART_MAGIC_ ||
                              !memcmp(head, &none, sizeof none))
               ? ALPS_PART_BEGUN
               : ALPS_PART_OTHER;
}

/* The folder that `path` is in, which is from the folder `dir` on; or -1. */
ALPS_COLD_ int alps_part_folder_(int dir, const char *path)
{
    char folder[ALPS_PART_PATH + 2];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    memcpy(folder, path, n);
    memcpy(folder + n, ".", 2);
    return openat(dir, folder, O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
}

/* Makes the name `path` durable. */
ALPS_COLD_ int alps_part_sync_name_(int dir, const char *path)
{
    int fd = alps_part_folder_(dir, path);
    if (fd < 0)
        return ALPS_OK; // as alps_fd_sync_name_
    int err = alps_fd_sync_dir_(fd);
    close(fd);
    return err;
}

/* parts.h -- the files of a region that is in several
 *
 * Found by following who names whom, each looked at before it is believed. A
 * part is named before there is a file, and counts when the name says where it
 * begins: so whatever a crash leaves can be found, and be taken away. */

/* One file of a region, and what is in it. */
typedef struct alps_piece {
    int fd;
    unsigned grown; /* 1: its length, or its blocks, are not durable yet */
    uint64_t from;  /* the first byte of the region that is in it, */
    uint64_t front; /* and where in the file that is */
} alps_piece;

/* What a process knows of them. */
typedef struct alps_parts {
    const alps_part *asked; /* what the program wants the region to go on in; */
    const char *words;      /* or the environment. NULL: nothing */
    unsigned n;             /* files, with the first; */
    unsigned crc;           /* how checksums are computed */
    int dir;                /* the folder of the first */
    dev_t dev;              /* which file that is */
    ino_t ino;
    char name[256]; /* its name there */
    alps_piece piece[ALPS_PARTS_MAX + 1];
} alps_parts;
ALPS_STATIC_ASSERT_(sizeof(alps_parts) <= ALPS_PAGE, "a page");

/* Forgets all files but the first `keep`; they stay as they are. */
ALPS_COLD_ void alps_parts_drop_(alps_parts *p, unsigned keep)
{
    while (p->n > keep)
        close(p->piece[--p->n].fd);
}

ALPS_COLD_ void alps_parts_end_(alps_map *m)
{
    alps_parts *p = m->parts;
    if (!p)
        return;
    alps_parts_drop_(p, 1);
    if (p->dir >= 0)
        close(p->dir);
    munmap(p, sizeof *p);
    m->parts = NULL;
}

/* Begins with the first file, that is open already. */
ALPS_COLD_ int alps_parts_begin_(alps_map *m, const char *path)
{
    char real[4096];
    void *room = mmap(NULL, sizeof(alps_parts), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return ALPS_ENOMEM;
    alps_parts *p = (alps_parts *)room;
    m->parts = p;
    p->n = 1;
    p->dir = -1;
    p->crc = alps_crc_kind_();
    p->piece[0].fd = m->fd;
    struct stat st;
    int err =
        fstat(m->fd, &st) ? alps_oserror_() : alps_fd_path_(m->fd, path, real);
    char *slash = err ? NULL : strrchr(real, '/');
    const char *last = slash ? slash + 1 : real;
    if (!err && strlen(last) >= sizeof p->name)
        err = ALPS_EINVAL;
    if (!err) {
        p->dev = st.st_dev;
        p->ino = st.st_ino;
        strcpy(p->name, last);
        if (slash)
            slash[1] = 0;
        p->dir = open(slash ? real : ".",
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
        if (p->dir < 0)
            err = alps_oserror_();
    }
    if (err)
        alps_parts_end_(m);
    return err;
}

/* Where the region ends in file `i`, if it goes on behind it. */
ALPS_FN_ uint64_t alps_parts_until_(const alps_parts *p, unsigned i)
{
    return i + 1 < p->n ? p->piece[i + 1].from : UINT64_MAX;
}

/* Where file `i` names the next. */
ALPS_FN_ uint64_t alps_parts_place_(unsigned i)
{
    return i ? ALPS_PART_NEXT_ : ALPS_ONWARD;
}

/* Whether the file behind `fd` is one of them already. */
ALPS_COLD_ int alps_parts_among_(const alps_parts *p, int fd)
{
    struct stat st, other;
    if (fstat(fd, &st))
        return 1; // never mind which
    for (unsigned i = 0; i < p->n; i++)
        if (!fstat(p->piece[i].fd, &other) && st.st_dev == other.st_dev &&
            st.st_ino == other.st_ino)
            return 1;
    return 0;
}

/* The file behind `fd` is the next one; `grown`: it was made just now. */
ALPS_FN_ void alps_parts_join_(alps_parts *p, int fd,
                               const alps_part_head *head, unsigned grown)
{
    alps_piece *piece = &p->piece[p->n++];
    piece->fd = fd;
    piece->grown = grown;
    piece->from = head->from;
    piece->front = head->front;
}

/* Takes the file that `on` names, if it is that part; with `any` also one whose
 * making was cut short. ALPS_EPART: there is no such file, or another. */
ALPS_COLD_ int alps_parts_take_(alps_map *m, const alps_onward *on, int any)
{
    alps_part_head head;
    alps_parts *p = m->parts;
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    how |= m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    int fd = openat(p->dir, on->path, how);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ALPS_EPART
                                                   : alps_fd_open_error_();
    int err = alps_fd_kind_(fd, 0);
    int is = err ? err : alps_part_judge_(p->crc, fd, on, &head);
    if (is < 0)
        err = is;
    else if (is != ALPS_PART_HERE && !(any && is == ALPS_PART_BEGUN))
        err = ALPS_EPART;
    if (!err && !any)
        err = alps_attach_(fd);
    if (err) {
        close(fd);
        return err;
    }
    alps_parts_join_(p, fd, &head, 0);
    return ALPS_OK;
}

/* Takes all that the region goes on in. With `any` as far as they are there,
 * also what was begun only: to take it away. */
ALPS_COLD_ int alps_parts_find_(alps_map *m, int any)
{
    alps_parts *p = m->parts;
    alps_onward on;
    for (;;) {
        unsigned i = p->n - 1;
        int err =
            alps_fd_read_(p->piece[i].fd, &on, sizeof on, alps_parts_place_(i));
        if (err)
            return any && err == ALPS_ETRUNCATED ? ALPS_OK : err;
        int leads = any ? alps_onward_whole_(p->crc, &on)
                        : alps_onward_leads_(p->crc, &on);
        if (leads <= 0)
            return leads;
        if (on.number != p->n || p->n > ALPS_PARTS_MAX ||
            (on.from && on.from >> 16 <= p->piece[i].from))
            return any ? ALPS_OK : ALPS_ECORRUPT;
        err = alps_parts_take_(m, &on, any);
        if (err)
            return any && err == ALPS_EPART ? ALPS_OK : err;
    }
}

/* Takes away what was found behind the first `keep` files, the last one first,
 * so that a crash leaves what can still be found. */
ALPS_COLD_ int alps_parts_unlink_(alps_map *m, unsigned keep)
{
    alps_parts *p = m->parts;
    alps_onward on;
    int err = alps_parts_find_(m, 1);
    while (!err && p->n > keep) {
        unsigned i = p->n - 2;
        err =
            alps_fd_read_(p->piece[i].fd, &on, sizeof on, alps_parts_place_(i));
        if (!err && unlinkat(p->dir, on.path, 0) && errno != ENOENT)
            err = alps_oserror_();
        if (!err)
            err = alps_part_sync_name_(p->dir, on.path);
        if (!err)
            close(p->piece[--p->n].fd);
    }
    return err;
}

/* Takes all parts away, and then the word that leads to them: durably with what
 * is made next. What is not of the region stays. */
ALPS_COLD_ int alps_parts_discard_(alps_map *m)
{
    static const alps_onward none = {0, 0, 0, {0}, {0}};
    alps_onward on;
    alps_parts_drop_(m->parts, 1);
    int err = alps_parts_unlink_(m, 1);
    alps_parts_drop_(m->parts, 1);
    if (err || alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD) ||
        !memcmp(&on, &none, sizeof on))
        return err;
    return alps_fd_write_(m->fd, &none, sizeof none, ALPS_ONWARD);
}

/* Opens a part's file, or creates it, for a region to go on in. ALPS_EEXIST:
 * something is in it. */
ALPS_COLD_ int alps_parts_file_(const alps_map *m, const char *path, int *fd)
{
    struct stat st;
    const alps_parts *p = m->parts;
    int how = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    mode_t mode = fstat(m->fd, &st) ? 0600 : st.st_mode & 0777;
    *fd = openat(p->dir, path, how);
    if (*fd < 0 && errno == ENOENT)
        *fd = openat(p->dir, path, how | O_CREAT | O_EXCL, mode);
    if (*fd < 0)
        return alps_fd_open_error_();
    int err = alps_fd_kind_(*fd, 0);
    if (!err && alps_parts_among_(p, *fd))
        err = ALPS_EINVAL;
    if (!err)
        err = alps_detached_(*fd);
    if (err == ALPS_EUNSUPPORTED)
        err = ALPS_OK; // no range locks here
    if (!err && fstat(*fd, &st))
        err = alps_oserror_();
    if (!err && st.st_size)
        err = ALPS_EEXIST;
    if (err)
        close(*fd);
    return err;
}

/* Writes what file `i` says of the next, durably. */
ALPS_COLD_ int alps_parts_name_(const alps_parts *p, unsigned i,
                                const alps_onward *on)
{
    int fd = p->piece[i].fd;
    int err = alps_fd_write_(fd, on, sizeof *on, alps_parts_place_(i));
    return err ? err : alps_fd_sync_data_(fd);
}

/* Lets the region go on from byte `from` in the file `on` names: named first,
 * then made, then it counts. */
ALPS_COLD_ int alps_parts_add_(alps_map *m, alps_onward *on, uint64_t from)
{
    alps_parts *p = m->parts;
    alps_part_head head;
    unsigned last = p->n - 1;
    uint64_t id[2] = {alps_random_(), alps_random_()};
    int fd = -1;
    memset(&head, 0, sizeof head);
    memcpy(on->id, id, sizeof id);
    on->from = 0;
    on->number = p->n;
    on->crc = alps_onward_sum_(p->crc, on);
    memcpy(head.id, id, sizeof id);
    head.magic = ALPS_PART_MAGIC_;
    head.version = ALPS_PART_VERSION_;
    head.from = from;
    head.front = alps_part_front_(from);
    head.number = on->number;
    head.crc = alps_part_sum_(p->crc, &head);
    int err = alps_parts_unlink_(m, p->n); // what was begun before
    if (!err)
        err = alps_parts_name_(p, last, on);
    if (!err)
        err = alps_parts_file_(m, on->path, &fd);
    if (err)
        return err;
    err = alps_part_sync_name_(p->dir, on->path);
    if (!err)
        err = alps_fd_write_(fd, &head, sizeof head, 0);
    if (!err)
        err = alps_fd_sync_data_(fd);
    if (!err && ftruncate(fd, (off_t)head.front))
        err = alps_oserror_();
    on->from = alps_seal_(from);
    if (!err)
        err = alps_parts_name_(p, last, on);
    if (!err)
        err = alps_attach_(fd);
    if (err) {
        close(fd);
        return err;
    }
    alps_parts_join_(p, fd, &head, 1);
    return ALPS_OK;
}

/* wanted.h -- the files that a program wants a region to go on in
 *
 * By alps_options, or by the environment. All of it is looked at before
 * anything is changed; then the region gets its parts. */

/* What the environment says of part `i`, from 1 on: [from@]path, and a comma
 * before the next. 1; 0: no more; or ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_word_(const char *words, unsigned i, alps_onward *on,
                                 uint64_t *from)
{
    char number[32];
    for (; i > 1; i--) {
        words = strchr(words, ',');
        if (!words)
            return 0;
        words++;
    }
    size_t n = strcspn(words, ","), k = strcspn(words, "@");
    if (k < n && k < sizeof number) {
        memcpy(number, words, k);
        number[k] = 0;
        if (!alps_amount_(number, from)) {
            words += k + 1;
            n -= k + 1;
        }
    }
    if (!n || n >= sizeof on->path)
        return ALPS_EINVAL;
    memcpy(on->path, words, n);
    return 1;
}

/* Which path part `i` is to have, and where it is to begin; 0: that is for us
 * to say. 1; 0: no more parts are asked for; or ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_(const alps_parts *p, unsigned i, alps_onward *on,
                            uint64_t *from)
{
    memset(on, 0, sizeof *on);
    *from = 0;
    if (p->asked) {
        const alps_part *part = p->asked;
        for (unsigned k = 0; k < i; k++, part++)
            if (!part->path)
                return 0;
        part--;
        size_t n = strlen(part->path);
        if (!n || n >= sizeof on->path)
            return ALPS_EINVAL;
        memcpy(on->path, part->path, n);
        *from = part->from;
    } else {
        int is = p->words ? alps_wanted_word_(p->words, i, on, from) : 0;
        if (is <= 0)
            return is;
    }
    size_t n = strlen(on->path), room = sizeof on->path - n;
    if (on->path[n - 1] == '/') { // a folder
        int k = snprintf(on->path + n, room, "%s.%u", p->name, i);
        if (k < 0 || (size_t)k >= room)
            return ALPS_EINVAL;
    }
    return i > ALPS_PARTS_MAX ? ALPS_EINVAL : 1;
}

/* How many parts are asked for, those that are there among them; or
 * ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_count_(const alps_parts *p)
{
    alps_onward on;
    uint64_t from;
    for (unsigned i = 1;; i++) {
        int is = alps_wanted_(p, i, &on, &from);
        if (is <= 0)
            return is < 0 ? is : (int)i - 1;
    }
}

/* Where a region that is there can go on at the earliest: behind all that it
 * has, and each file has something of it. */
ALPS_COLD_ uint64_t alps_wanted_least_(const alps_map *m)
{
    uint64_t page = alps_system_page_();
    uint64_t last = m->parts->piece[m->parts->n - 1].from + page;
    uint64_t end = alps_round_up_(m->length, page);
    return end < last ? last : end;
}

/* Whether a file can be made there. */
ALPS_COLD_ int alps_wanted_folder_(const alps_parts *p, const char *path)
{
    int fd = alps_part_folder_(p->dir, path);
    if (fd < 0)
        return alps_oserror_();
    int err = faccessat(fd, ".", W_OK | X_OK, 0) ? alps_oserror_() : ALPS_OK;
    close(fd);
    return err;
}

/* Whether what has the path of a part may become one: it is nothing yet, or of
 * the region that is to be made anew. */
ALPS_COLD_ int alps_wanted_free_(const alps_parts *p, const char *path)
{
    struct stat st;
    int fd = openat(p->dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return alps_wanted_folder_(p, path);
    int err = fd < 0 ? alps_fd_open_error_() : alps_fd_kind_(fd, 0);
    if (fd < 0)
        return err;
    if (!err && fstat(fd, &st))
        err = alps_oserror_();
    int among = !err && alps_parts_among_(p, fd);
    if (among && st.st_dev == p->dev && st.st_ino == p->ino)
        err = ALPS_EINVAL; // the first file itself
    else if (!err && st.st_size && !among)
        err = ALPS_EEXIST;
    close(fd);
    return err;
}

/* Looks at what is asked for behind the parts that there are. ALPS_EINVAL: no
 * order, or no pages; ALPS_EEXIST: a file has that path. */
ALPS_COLD_ int alps_wanted_check_(alps_parts *p, unsigned first, uint64_t least)
{
    alps_onward on, other;
    uint64_t from, other_from, page = alps_system_page_();
    unsigned placed = 0;
    int n = alps_wanted_count_(p);
    for (unsigned i = first; n >= 0 && i <= (unsigned)n; i++) {
        (void)alps_wanted_(p, i, &on, &from);
        placed += from != 0;
        if (from && (from % page || from % ALPS_PAGE || from < least ||
                     from >= (uint64_t)1 << 47))
            return ALPS_EINVAL;
        least = from + page;
        for (unsigned k = 1; k < i; k++) {
            (void)alps_wanted_(p, k, &other, &other_from);
            if (!strcmp(on.path, other.path))
                return ALPS_EINVAL;
        }
        int err = alps_wanted_free_(p, on.path);
        if (err)
            return err;
    }
    if (n >= 0 && placed && placed != (unsigned)n - first + 1)
        return ALPS_EINVAL; // some have their place and others have not
    return n < 0 ? n : ALPS_OK;
}

/* Lets the region, of `size` bytes, go on in all that is asked for. Where
 * nobody said where, a new region is divided evenly, and one that is there goes
 * on where it ends. */
ALPS_COLD_ int alps_wanted_make_(alps_map *m, uint64_t size)
{
    alps_parts *p = m->parts;
    alps_onward on;
    uint64_t from;
    int n = alps_wanted_count_(p), err = n < 0 ? n : ALPS_OK;
    if (!err && m->more) // who has it mapped would not see them
        err = alps_detached_(m->fd);
    if (err)
        return err;
    uint64_t each = size / ((uint64_t)n + 1);
    each = alps_round_up_(each, each < ALPS_PART_HUGE_ ? ALPS_PART_FRONT_
                                                       : ALPS_PART_HUGE_);
    uint64_t end = alps_wanted_least_(m);
    for (unsigned i = p->n; !err && i <= (unsigned)n; i++) {
        err = alps_wanted_(p, i, &on, &from);
        if (err < 0)
            return err;
        if (!from)
            from = m->more ? end : each * i;
        end = from + ALPS_PART_FRONT_;
        err = alps_parts_add_(m, &on, from);
    }
    int late = m->more ? alps_attach_(m->fd) : ALPS_OK; // as others do
    return err ? err : late;
}

/* medium.h -- the file of a region, or all its files, as one
 *
 * What the backends over descriptors share: the mapping, lengths, what is given
 * back and reserved, and what is synced. Bytes are those of the region: most
 * regions have one file, and its bytes are theirs.
 *
 * All of `reserve` is mapped at once, also what lies beyond the end of the
 * files: such pages fault only when touched, and become usable by themselves
 * when the files grow, in every process that has mapped them, whoever makes
 * them grow. So growth needs no second mapping, and no word to other
 * processes. */

/* A stretch of the region that lies in one file. */
typedef struct alps_stretch {
    int fd;
    unsigned file;
    uint64_t at; /* where in it */
    uint64_t n;
} alps_stretch;

/* As much of [off, off + n) as lies in the file that has its beginning. */
ALPS_COLD_ alps_stretch alps_stretch_(const alps_map *m, uint64_t off,
                                      uint64_t n)
{
    alps_stretch s = {m->fd, 0, off, n};
    const alps_parts *p = m->parts;
    if (!p)
        return s;
    while (off >= alps_parts_until_(p, s.file))
        s.file++;
    uint64_t left = alps_parts_until_(p, s.file) - off;
    const alps_piece *piece = &p->piece[s.file];
    s.fd = piece->fd;
    s.at = off - piece->from + piece->front;
    s.n = n < left ? n : left;
    return s;
}

ALPS_COLD_ int alps_medium_read_(const alps_map *m, void *to, uint64_t n,
                                 uint64_t off)
{
    unsigned char *at = (unsigned char *)to;
    int err = ALPS_OK;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        err = alps_fd_read_(s.fd, at, s.n, s.at);
        at += s.n;
        off += s.n;
        n -= s.n;
    }
    return err;
}

ALPS_COLD_ int alps_medium_write_(const alps_map *m, const void *from,
                                  uint64_t n, uint64_t off)
{
    const unsigned char *at = (const unsigned char *)from;
    int err = ALPS_OK;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        err = alps_fd_write_(s.fd, at, s.n, s.at);
        at += s.n;
        off += s.n;
        n -= s.n;
    }
    return err;
}

/* As alps_fd_data_; what is found is in one file. */
ALPS_COLD_ int alps_medium_data_(const alps_map *m, uint64_t length,
                                 uint64_t off, uint64_t *from, uint64_t *to)
{
    while (off < length) {
        alps_stretch s = alps_stretch_(m, off, length - off);
        uint64_t shift = off - s.at;
        if (alps_fd_data_(s.fd, s.at + s.n, s.at, from, to)) {
            *from += shift;
            *to += shift;
            return 1;
        }
        off += s.n;
    }
    return 0;
}

/* All that was written to the files is on the medium. */
ALPS_COLD_ int alps_medium_sync_data_(const alps_map *m)
{
    const alps_parts *p = m->parts;
    int err = alps_fd_sync_data_(m->fd);
    for (unsigned i = 1; !err && p && i < p->n; i++)
        err = alps_fd_sync_data_(p->piece[i].fd);
    return err;
}

/* How many bytes of a region there are, up to the first that is missing. */
ALPS_COLD_ int alps_medium_length_(const alps_map *m, uint64_t *length)
{
    struct stat st;
    const alps_parts *p = m->parts;
    if (fstat(m->fd, &st))
        return alps_oserror_();
    *length = (uint64_t)st.st_size;
    for (unsigned i = 0; p && i < p->n; i++) {
        const alps_piece *piece = &p->piece[i];
        uint64_t most = alps_parts_until_(p, i) - piece->from;
        if (fstat(piece->fd, &st))
            return alps_oserror_();
        uint64_t have = (uint64_t)st.st_size;
        have = have < piece->front ? 0 : have - piece->front;
        *length = piece->from + (have < most ? have : most);
        if (have < most)
            break;
    }
    return ALPS_OK;
}

/* ---- lengths */

/* How long file `i` is in a region of `size` bytes. */
ALPS_COLD_ uint64_t alps_medium_end_(const alps_parts *p, unsigned i,
                                     uint64_t size)
{
    const alps_piece *piece = &p->piece[i];
    uint64_t until = alps_parts_until_(p, i);
    if (size <= piece->from)
        return piece->front;
    return piece->front + (size < until ? size : until) - piece->from;
}

/* Makes one file as long as it is to be; `*was` is how long it was before, or
 * UINT64_MAX if it was so long. */
ALPS_COLD_ int alps_medium_stretch_(alps_parts *p, unsigned i, uint64_t size,
                                    uint64_t *was)
{
    struct stat st;
    alps_piece *piece = &p->piece[i];
    uint64_t end = alps_medium_end_(p, i, size);
    *was = UINT64_MAX;
    if (fstat(piece->fd, &st))
        return alps_oserror_();
    uint64_t length = (uint64_t)st.st_size;
    if (length >= end)
        return ALPS_OK;
    piece->grown = 1;
    if (length < piece->front)
        length = piece->front;
    int err = alps_fd_grow_(piece->fd, length, end);
    if (!err)
        *was = length;
    return err;
}

/* Makes the region longer, from `length` to `size`: in every file that has
 * something of it, or in none. */
ALPS_COLD_ int alps_medium_grow_(const alps_map *m, uint64_t length,
                                 uint64_t size)
{
    uint64_t was[ALPS_PARTS_MAX + 1];
    alps_parts *p = m->parts;
    int err = ALPS_OK;
    unsigned i = 0;
    if (!p)
        return alps_fd_grow_(m->fd, length, size);
    for (; !err && i < p->n; i++)
        err = alps_medium_stretch_(p, i, size, &was[i]);
    while (err && i--)
        if (was[i] != UINT64_MAX && ftruncate(p->piece[i].fd, (off_t)was[i]))
            return alps_oserror_();
    return err;
}

/* Cuts off all beyond `size`. */
ALPS_COLD_ int alps_medium_cut_(const alps_map *m, uint64_t size)
{
    struct stat st;
    const alps_parts *p = m->parts;
    if (!p)
        return ftruncate(m->fd, (off_t)size) ? alps_oserror_() : ALPS_OK;
    for (unsigned i = p->n; i--;) {
        int fd = p->piece[i].fd;
        uint64_t end = alps_medium_end_(p, i, size);
        if (fstat(fd, &st))
            return alps_oserror_();
        if ((uint64_t)st.st_size > end && ftruncate(fd, (off_t)end))
            return alps_oserror_();
    }
    return ALPS_OK;
}

/* The reserve of the contract, where it need not last. */
ALPS_COLD_ int alps_medium_refill_(alps_map *m, uint64_t off, uint64_t n)
{
    int err = ALPS_OK;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        err = alps_fd_reserve_(s.fd, s.at, s.n);
        if (m->parts)
            m->parts->piece[s.file].grown = 1;
        off += s.n;
        n -= s.n;
    }
    return err;
}

/* The files that a region goes on in: they come when it gets its length, and go
 * when it has none any more. */
ALPS_COLD_ int alps_medium_parts_(alps_map *m, uint64_t size)
{
    alps_parts *p = m->parts;
    int err = ALPS_OK;
    if (!p)
        return ALPS_OK;
    if (size <= ALPS_PAGE)
        return alps_parts_discard_(m);
    if (m->base || !(p->asked || p->words))
        return ALPS_OK;
    err = alps_wanted_make_(m, size);
    p->asked = NULL;
    p->words = NULL;
    m->more = 0;
    return err;
}

/* The resize of the contract. Another process may have made the region longer
 * than this handle knows: then there is nothing left to do, and nothing is cut
 * off. Asked for the length it has, it reserves blocks where there are holes,
 * which a copying tool or `punch` may have left. */
ALPS_COLD_ int alps_medium_resize_(alps_map *m, uint64_t size)
{
    uint64_t length = 0;
    unsigned more = m->more;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (m->base && size > m->reserved)
        return ALPS_ENOMEM;
    int err = alps_medium_parts_(m, size);
    if (err || more)
        return err;
    err = alps_medium_length_(m, &length);
    if (err)
        return err;
    if (size > length)
        err = alps_medium_grow_(m, length, size);
    else if (size == length)
        err = alps_medium_refill_(m, 0, size);
    else if (size < m->length)
        err = alps_medium_cut_(m, size);
    if (err)
        return err;
    m->length = size < m->length || size > length ? size : length;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

ALPS_COLD_ int alps_medium_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    while (n) {
        alps_stretch s = alps_stretch_(m, off, n);
        if (syscall(SYS_fallocate, s.fd,
                    ALPS_FALLOC_PUNCH_HOLE_ | ALPS_FALLOC_KEEP_SIZE_,
                    (off_t)s.at, (off_t)s.n))
            return alps_oserror_();
        off += s.n;
        n -= s.n;
    }
    return ALPS_OK;
}

/* ---- the mapping */

/* Maps bytes [0, `n`) at `base`, which is held for them. */
ALPS_COLD_ int alps_medium_map_at_(const alps_map *m, unsigned char *base,
                                   uint64_t n, int how)
{
    int may = m->flags & ALPS_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    for (uint64_t off = 0; off < n;) {
        alps_stretch s = alps_stretch_(m, off, n - off);
        if (mmap(base + off, (size_t)s.n, may, how | MAP_NORESERVE | MAP_FIXED,
                 s.fd, (off_t)s.at) == MAP_FAILED)
            return alps_oserror_();
        off += s.n;
    }
    return ALPS_OK;
}

/* The map of the contract; `how` is MAP_SHARED, or more. Where so many
 * addresses are refused half as many are tried, down to what is needed. */
ALPS_COLD_ int alps_medium_map_(alps_map *m, uint64_t size, uint64_t reserve,
                                uint64_t align, int how)
{
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    for (;;) {
        int err = ALPS_ENOMEM;
        unsigned char *base = alps_hold_region_(reserve, align);
        if (base)
            err = alps_medium_map_at_(m, base, reserve, how);
        if (!err) {
            m->base = base;
            m->size = size;
            m->reserved = reserve;
            m->door = 1;
            return ALPS_OK;
        }
        if (base)
            alps_let_addresses_(base, reserve, 1);
        if (err != ALPS_ENOMEM || reserve == size)
            return err;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
}

ALPS_COLD_ int alps_medium_unmap_(alps_map *m)
{
    int err =
        m->base ? alps_let_addresses_(m->base, m->reserved, m->door) : ALPS_OK;
    if (err)
        return err;
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

/* Bytes [off, off + n) of the mapping, and the lengths of files with them, are
 * on the medium when this returns: the system syncs each file that has some. */
ALPS_COLD_ int alps_medium_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    uint64_t into = off % alps_system_page_();
    if (n && msync(m->base + (off - into), (size_t)(n + into), MS_SYNC))
        return alps_oserror_();
    return ALPS_OK;
}

/* The same of the length of one file, where the region has some of it at
 * `off`. */
ALPS_COLD_ int alps_medium_sync_file_(alps_map *m, int fd, uint64_t off)
{
    if (m->sole)
        return alps_fd_sync_data_(fd);
    if (m->base && off < m->size)
        return alps_medium_sync_(m, off, 1);
    return fsync(fd) ? alps_oserror_() : ALPS_OK;
}

/* A new length is durable before anything that is stored in the new bytes, or
 * about them, can be: without this every one of 12 power cuts while a region
 * on DAX grew left a file shorter than the region in it said. One page of the
 * mapping will do: the file system writes the inode with it, and a sync of all
 * would stop the program until all that it has stored so far is written. */
ALPS_COLD_ int alps_medium_sync_length_(alps_map *m)
{
    alps_parts *p = m->parts;
    if (!p)
        return alps_medium_sync_file_(m, m->fd, 0);
    for (unsigned i = 0; i < p->n; i++) {
        alps_piece *piece = &p->piece[i];
        if (!piece->grown)
            continue;
        int err = alps_medium_sync_file_(m, piece->fd, piece->from);
        if (err)
            return err;
        piece->grown = 0;
    }
    return ALPS_OK;
}

/* ---- opened, closed, removed */

ALPS_COLD_ int alps_medium_close_(alps_map *m)
{
    int err = alps_medium_unmap_(m);
    alps_parts_end_(m);
    if (m->fd >= 0 && close(m->fd) && !err)
        err = alps_oserror_();
    m->fd = -1;
    return err;
}

/* Finds the files of a region that is there, and whether it is to get more. For
 * who salvages there are as many as there are. */
ALPS_COLD_ int alps_medium_find_(alps_map *m)
{
    alps_parts *p = m->parts;
    int salvage = m->flags & ALPS_SALVAGE && m->flags & ALPS_READ_ONLY;
    int err = alps_parts_find_(m, 0);
    if (salvage && (err == ALPS_EPART || err == ALPS_ECORRUPT))
        err = ALPS_OK;
    if (!err && p->n > 1)
        err = alps_medium_length_(m, &m->length);
    int n = err ? 0 : alps_wanted_count_(p);
    if (err || n < 0)
        return err ? err : n;
    unsigned there = p->n;
    uint64_t least = alps_wanted_least_(m);
    m->more = (unsigned)n >= there;
    if (!m->more) {
        p->asked = NULL;
        return ALPS_OK;
    }
    err = alps_parts_find_(m, 1); // what was begun before is in nobody's way
    if (!err)
        err = alps_wanted_check_(p, there, least);
    alps_parts_drop_(p, there);
    return err;
}

/* Finds the files of the region at `path`, whose first one was just opened. Of
 * one that is to be made anew they go then, and are not looked for. */
ALPS_COLD_ int alps_medium_enter_(alps_map *m, const char *path,
                                  const alps_options *o)
{
    alps_onward on;
    uint64_t word[2] = {0, 0}; // magic and state
    const char *words = getenv("ALPS_PARTS");
    int reads = (m->flags & ALPS_READ_ONLY) != 0, err = ALPS_OK;
    memset(&on, 0, sizeof on);
    if (m->length >= ALPS_PAGE)
        err = alps_fd_read_(m->fd, word, sizeof word, 0);
    if (!err && m->length >= ALPS_PAGE)
        err = alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD);
    if (err)
        return err;
    int leads = alps_onward_leads_(alps_crc_kind_(), &on);
    int named =
        leads > 0 || ((on.from || on.crc) && word[0] == ALPS_PART_REGION_);
    int anew = m->length <= ALPS_PAGE || word[1] == ALPS_PART_MAKING_ ||
               m->flags & ALPS_TRUNCATE;
    const alps_part *asked = o && !reads ? o->parts : NULL;
    if (asked || reads || !anew || m->pager || (words && !*words))
        words = NULL;
    if (!asked && !words && !named)
        return ALPS_OK;
    if (m->pager)
        return asked || leads ? ALPS_EUNSUPPORTED : ALPS_OK;
    err = alps_parts_begin_(m, path);
    if (err)
        return err;
    m->parts->asked = asked;
    m->parts->words = words;
    if (!anew)
        return alps_medium_find_(m);
    err = alps_parts_find_(m, 1);
    if (!err)
        err = alps_wanted_check_(m->parts, 1, ALPS_PAGE);
    alps_parts_drop_(m->parts, 1);
    return err;
}

/* Removes the parts of the region behind `m->fd`, if it has any. */
ALPS_COLD_ int alps_medium_bare_(alps_map *m, const char *path)
{
    alps_onward on;
    if (alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD) || !on.path[0])
        return ALPS_OK;
    int err = alps_parts_begin_(m, path);
    if (!err)
        err = alps_parts_unlink_(m, 1);
    alps_parts_end_(m);
    return err;
}

ALPS_COLD_ int alps_medium_remove_(const char *path)
{
    alps_map m;
    if (!path || !*path)
        return ALPS_EINVAL;
    memset(&m, 0, sizeof m);
    m.fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (m.fd < 0)
        return alps_fd_open_error_();
    int err = alps_fd_kind_(m.fd, 0);
    if (!err)
        err = alps_detached_(m.fd);
    if (!err)
        err = alps_medium_bare_(&m, path);
    if (!err)
        err = alps_fd_remove_at_(m.fd, path);
    close(m.fd);
    return err;
}

/* cpu.h -- how this machine writes a line back
 *
 * Which instruction there is, the machine says itself (CPUID, HWCAP): a
 * program built on one machine runs on another, and under an emulator that
 * hides an instruction. The instructions are written as bytes or as the system
 * operation they are, so that no compiler needs to be told of them. */

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

/* sysfs.h -- what the kernel says of a device
 *
 * One line of text in a small file per attribute. Two questions are asked
 * there: how long and how aligned a devdax device is, and whether the caches
 * of the machine survive a power failure. */

/* Where the kernel tells it. A test puts a tree of its own here. */
#ifndef ALPS_SYSFS
#  define ALPS_SYSFS "/sys"
#endif

#define ALPS_SYSFS_PATH_ 512

/* Reads attribute `name` of directory `dir` under ALPS_SYSFS into `text` of
 * `n` bytes, without the newline. Answers 0 or a code. */
ALPS_COLD_ int alps_sysfs_text_(const char *dir, const char *name, char *text,
                                size_t n)
{
    char path[ALPS_SYSFS_PATH_];
    int k = snprintf(path, sizeof path, "%s/%s/%s", ALPS_SYSFS, dir, name);
    if (k < 0 || (size_t)k >= sizeof path)
        return ALPS_EINVAL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return alps_oserror_();
    ssize_t got = read(fd, text, n - 1);
    int err = got < 0 ? alps_oserror_() : ALPS_OK;
    close(fd);
    if (err)
        return err;
    text[got] = 0;
    text[strcspn(text, "\n")] = 0;
    return ALPS_OK;
}

/* The same for an attribute that is a number, decimal or 0x. */
ALPS_COLD_ int alps_sysfs_number_(const char *dir, const char *name,
                                  uint64_t *number)
{
    char text[64], *end;
    int err = alps_sysfs_text_(dir, name, text, sizeof text);
    if (err)
        return err;
    *number = strtoull(text, &end, 0);
    return end == text || *end ? ALPS_EINVAL : ALPS_OK;
}

/* page.h -- pages: sets of them, and one copied while others store to it
 *
 * A set is a bit for each page of a region, in memory that is lent as it is
 * touched: few pages of a large region take little, and are found quickly. */

ALPS_FN_ int alps_page_in_(const uint64_t *set, uint64_t page)
{
    return (int)(set[page / 64] >> (page % 64) & 1);
}

ALPS_FN_ void alps_page_add_(uint64_t *set, uint64_t page)
{
    set[page / 64] |= 1ull << (page % 64);
}

/* The first page of the set from `page` on, or `end`. */
ALPS_FN_ uint64_t alps_page_next_(const uint64_t *set, uint64_t page,
                                  uint64_t end)
{
    while (page < end) {
        uint64_t word = set[page / 64] >> (page % 64);
        if (word) {
            page += alps_low_bit_(word);
            return page < end ? page : end;
        }
        page = (page / 64 + 1) * 64;
    }
    return end;
}

/* Words of a set that has room for so many. */
ALPS_FN_ uint64_t alps_page_words_(uint64_t pages)
{
    return pages / 64 + 1;
}

ALPS_FN_ void alps_pages_clear_(uint64_t *set, uint64_t pages)
{
    for (uint64_t i = 0; i < alps_page_words_(pages); i++)
        if (set[i]) // a page of zeroes that nobody touched stays no memory
            set[i] = 0;
}

/* Adds `more`, and empties it. Others may add to it meanwhile, or take a page
 * from both, as alps_page_drop_ does: that one is in neither. */
ALPS_FN_ void alps_pages_move_(uint64_t *set, uint64_t *more, uint64_t pages)
{
    for (uint64_t i = 0; i < alps_page_words_(pages); i++) {
        uint64_t word = __atomic_load_n(&more[i], __ATOMIC_RELAXED);
        if (!word)
            continue;
        __atomic_fetch_or(&set[i], word, __ATOMIC_ACQ_REL);
        uint64_t was = __atomic_fetch_and(&more[i], ~word, __ATOMIC_ACQ_REL);
        if (word & ~was) // taken from it before, and perhaps too early from us
            __atomic_fetch_and(&set[i], ~word | was, __ATOMIC_ACQ_REL);
    }
}

/* Takes a page from a set, while others may move it: to be called for where it
 * may come from, and then for where it may go to. */
ALPS_FN_ void alps_page_drop_(uint64_t *set, uint64_t page)
{
    __atomic_fetch_and(&set[page / 64], ~(1ull << (page % 64)),
                       __ATOMIC_ACQ_REL);
}

ALPS_FN_ uint64_t alps_pages_count_(const uint64_t *set, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < (end + 63) / 64; i++)
        n += (uint64_t)__builtin_popcountll(set[i]);
    return n;
}

/* Copies a page that others may be storing to; answers whether it is all
 * zeroes. Word by word, and unseen by ThreadSanitizer: what is torn is copied
 * again, or is as a crash at this moment would leave it. */
__attribute__((no_sanitize_thread)) ALPS_COLD_ int
alps_page_take_(void *to, const void *from)
{
    uint64_t *out = (uint64_t *)to, any = 0;
    const volatile uint64_t *in = (const volatile uint64_t *)from;
    for (unsigned i = 0; i < ALPS_PAGE / sizeof *out; i++)
        any |= out[i] = in[i];
    return !any;
}

/* frame.h -- what a journal has: its bytes, and what they say
 *
 * Frames, one behind the other, each with the checksum of the one before it: so
 * what is there of them is there from the first on. docs/checkpoint.md. */

#define ALPS_JOURNAL_MAGIC_ 0x4c4e524a53504c41ull /* "ALPSJRNL" */
#define ALPS_FRAME_MAGIC_ 0x4d41524653504c41ull   /* "ALPSFRAM" */

/* Where the superblock has what is needed before the region is looked at. */
#define ALPS_HOME_MAGIC_ 0x5041454853504c41ull
#define ALPS_HOME_LIMIT_ 32u
#define ALPS_HOME_MARK_ 320u

/* The first sector of a journal. */
typedef struct alps_journal_head {
    uint64_t magic;
    uint64_t id;     /* what the region's superblock says as well */
    uint64_t salt;   /* of the frames that count */
    uint64_t seq;    /* of the first of them, */
    uint64_t start;  /* where it is, */
    uint32_t before; /* and what it has there */
    uint32_t crc;    /* CRC-32C of the above */
    uint32_t line_[4];
} alps_journal_head;
ALPS_STATIC_ASSERT_(sizeof(alps_journal_head) == ALPS_LINE, "line");

/* The first line of a frame. */
typedef struct alps_frame_head {
    uint64_t magic;
    uint64_t salt;
    uint64_t seq;
    uint64_t size;   /* bytes of the region */
    uint64_t count;  /* of its pages */
    uint32_t last;   /* 1: the commit is complete */
    uint32_t before; /* crc of the frame before; 0: there is none */
    uint32_t table;  /* CRC-32C of the table */
    uint32_t first;  /* pages from the frame's first byte to its first page */
    uint32_t crc;    /* CRC-32C of the above */
    uint32_t unused;
} alps_frame_head;
ALPS_STATIC_ASSERT_(sizeof(alps_frame_head) == ALPS_LINE, "line");

/* One page of a frame; the table of them follows the head. */
typedef struct alps_frame_page {
    uint64_t page;
    uint32_t crc;   /* CRC-32C of its bytes */
    uint32_t opens; /* the number of the opening that wrote it */
} alps_frame_page;
ALPS_STATIC_ASSERT_(sizeof(alps_frame_page) == 16, "size");

/* Pages copied, summed and written at once. */
#define ALPS_FRAME_CHUNK_ 32u

/* Bytes of what a process knows: of a journal, and with it for 64 pages. */
#define ALPS_JOURNAL_BYTES_ \
  (ALPS_PAGE + (ALPS_FRAME_CHUNK_ + 3) * (uint64_t)ALPS_PAGE)
#define ALPS_JOURNAL_64_ (8 * 8 + 64 * 4)

/* What a process knows of a journal. In memory that a clone of the process
 * shares. */
typedef struct alps_journal {
    int fd;  /* or -1: there is none yet */
    int dir; /* the directory it is in */
    char name[272];
    unsigned crc; /* how checksums are computed */
    uint64_t id, salt;
    uint64_t start; /* where the first frame is */
    uint32_t opens; /* a random number: this opening's */
    uint64_t seq;   /* of the next frame */
    uint64_t tail;  /* where it goes */
    uint64_t front; /* where the frame is whose first page is in memory, or 0 */
    uint64_t filled; /* bytes of the file that were written to, once */
    uint32_t before; /* crc of the last one */
    int headed;      /* its head is durable; else no frame may follow it */
    int marked;      /* the superblock names it */
    int lost;        /* the superblock names one that is not here */
    uint64_t size;   /* bytes of the region by the last commit, or 0 */
    uint64_t filed;  /* pages from the first on that are mapped from the file */
    uint64_t pages;  /* what follows has room for; 0: is not there yet */
    uint64_t *due;   /* bit: a page to be committed */
    uint64_t *again; /* bit: one that was stored to while it was copied */
    uint64_t *later; /* bit: one that was stored to behind a clone */
    uint64_t *known; /* bit: one that may be other than zeroes on the medium */
    uint64_t *here;  /* bit: one whose newest version is in the journal */
    uint64_t *gone;  /* bit: one that is not needed any more, */
    uint64_t *going; /* by the commit under way, */
    uint64_t *hole;  /* by one that is durable: it may be punched at home */
    uint32_t *place; /* where `here` is, in multiples of ALPS_PAGE */
    unsigned way;    /* ALPS_DIRTY_...: how stores are found */
    int uffd;        /* descriptors for that, or -1 */
    int pagemap;
    int stop[2];                /* a pipe: a byte in it ends a thread, */
    pthread_t lifter;           /* this one, see protect.h, */
    pid_t owner;                /* of this process */
    unsigned go;                /* what a clone waits for, see checkpoint.h */
    unsigned half;              /* 1: a commit was begun and is to be ended */
    uint64_t was_tail, was_seq; /* what it puts back if it fails */
    uint32_t was_before;
    pthread_mutex_t turn; /* of who commits */
    uint64_t begun;       /* commits that were begun */
    uint64_t done;        /* the last that was completed */
    alps_telling telling; /* of the commit under way */
    unsigned char *bytes; /* room for ALPS_FRAME_CHUNK_ pages, one before them,
                             and two behind, of which the last is zero */
} alps_journal;
ALPS_STATIC_ASSERT_(sizeof(alps_journal) <= ALPS_PAGE, "size");

ALPS_FN_ uint32_t alps_journal_sum_(const alps_journal *j,
                                    const alps_journal_head *head)
{
    return alps_crc32c_(j->crc, 0, head, offsetof(alps_journal_head, crc));
}

ALPS_FN_ uint32_t alps_frame_sum_(const alps_journal *j,
                                  const alps_frame_head *head)
{
    return alps_crc32c_(j->crc, 0, head, offsetof(alps_frame_head, crc));
}

/* The head of the frame at `at`, if it follows on what was read so far. */
ALPS_COLD_ int alps_frame_head_(const alps_journal *j, uint64_t at,
                                uint64_t seq, uint32_t before,
                                alps_frame_head *head)
{
    int err = alps_fd_read_(j->fd, head, sizeof *head, at);
    if (err)
        return err;
    if (head->magic != ALPS_FRAME_MAGIC_ || head->salt != j->salt ||
        head->seq != seq || head->before != before ||
        head->crc != alps_frame_sum_(j, head))
        return ALPS_ECORRUPT;
    uint64_t room = (uint64_t)head->first * ALPS_PAGE - sizeof *head;
    return head->count > room / sizeof(alps_frame_page) ||
                   head->size > j->pages * ALPS_PAGE
               ? ALPS_ECORRUPT
               : ALPS_OK;
}

ALPS_FN_ uint64_t alps_frame_end_(uint64_t at, const alps_frame_head *head)
{
    return at + (head->first + head->count) * ALPS_PAGE;
}

/* Whether the table of the frame at `at` and all its pages are as they were
 * written. */
ALPS_COLD_ int alps_frame_check_(const alps_journal *j, uint64_t at,
                                 const alps_frame_head *head)
{
    alps_frame_page table[ALPS_FRAME_CHUNK_];
    unsigned char bytes[ALPS_PAGE];
    uint32_t sum = 0;
    for (uint64_t i = 0; i < head->count; i++) {
        uint64_t k = i % ALPS_FRAME_CHUNK_, n = head->count - i;
        if (n > ALPS_FRAME_CHUNK_)
            n = ALPS_FRAME_CHUNK_;
        int err = ALPS_OK;
        if (!k) {
            err = alps_fd_read_(j->fd, table, n * sizeof *table,
                                at + sizeof *head + i * sizeof *table);
            sum = alps_crc32c_(j->crc, sum, table, n * sizeof *table);
        }
        if (!err)
            err = alps_fd_read_(j->fd, bytes, ALPS_PAGE,
                                at + (head->first + i) * ALPS_PAGE);
        if (err)
            return err;
        if (table[k].page >= j->pages ||
            alps_crc32c_(j->crc, 0, bytes, ALPS_PAGE) != table[k].crc)
            return ALPS_ECORRUPT;
    }
    return sum == head->table ? ALPS_OK : ALPS_ECORRUPT;
}

/* Bytes [off, off + n) of the frame at `at`, of its head and table: from memory
 * if it is the one that was written last. */
ALPS_COLD_ int alps_frame_read_(const alps_journal *j, void *to, uint64_t n,
                                uint64_t at, uint64_t off)
{
    if (at != j->front || off + n > ALPS_PAGE)
        return alps_fd_read_(j->fd, to, n, at + off);
    memcpy(to, j->bytes - ALPS_PAGE + off, (size_t)n);
    return ALPS_OK;
}

/* The frames in [from, to) are durable: their pages are here. */
ALPS_COLD_ int alps_journal_note_(alps_journal *j, uint64_t from, uint64_t to)
{
    alps_frame_head head;
    alps_frame_page table[ALPS_FRAME_CHUNK_];
    while (from < to) {
        int err = alps_frame_read_(j, &head, sizeof head, from, 0);
        for (uint64_t i = 0; !err && i < head.count; i++) {
            uint64_t k = i % ALPS_FRAME_CHUNK_, n = head.count - i;
            if (n > ALPS_FRAME_CHUNK_)
                n = ALPS_FRAME_CHUNK_;
            if (!k)
                err = alps_frame_read_(j, table, n * sizeof *table, from,
                                       sizeof head + i * sizeof *table);
            if (err)
                break;
            alps_page_add_(j->here, table[k].page);
            j->place[table[k].page] =
                (uint32_t)(from / ALPS_PAGE + head.first + i);
        }
        if (err)
            return err;
        j->size = head.size;
        from = alps_frame_end_(from, &head);
    }
    return ALPS_OK;
}

/* Reads what the journal says: the commits that are complete. */
ALPS_COLD_ int alps_journal_read_(alps_journal *j)
{
    alps_frame_head head;
    uint64_t at = j->start, seq = j->seq;
    uint32_t before = j->before;
    int err;
    j->tail = at;
    while (!(err = alps_frame_head_(j, at, seq, before, &head)) &&
           !(err = alps_frame_check_(j, at, &head))) {
        at = alps_frame_end_(at, &head);
        before = head.crc;
        seq++;
        if (head.last) {
            j->tail = at;
            j->seq = seq;
            j->before = before;
        }
    }
    if (err != ALPS_ECORRUPT && err != ALPS_ETRUNCATED)
        return err;
    return alps_journal_note_(j, j->start, j->tail);
}

/* journal.h -- commits, beside the region, until their pages come home
 *
 * A commit is one or more frames at the end of a file beside the region's: page
 * numbers, checksums, pages. It is there as a whole or not at all, by checksums
 * and not by order, so that one fdatasync makes it durable. The newest version
 * of each page comes home later, for many commits at once. docs/checkpoint.md
 * has the bytes, and why no crash can leave part of a commit. */
#include <sys/uio.h>

/* Pages come home when the journal is longer than this, in bytes. A longer one
 * means fewer writes of a page that many commits change, and more to read after
 * a crash. */
#ifndef ALPS_JOURNAL_MAX
#  define ALPS_JOURNAL_MAX ((uint64_t)16 << 20)
#endif

/* Pages of a journal that are written at once before they are needed. */
#ifndef ALPS_JOURNAL_AHEAD
#  define ALPS_JOURNAL_AHEAD 128u
#endif

/* Memory that a clone of the process shares, zeroed, lent when touched. */
ALPS_COLD_ void *alps_shared_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Makes room for what is known of `pages` pages. */
ALPS_COLD_ int alps_journal_room_(alps_journal *j, uint64_t pages)
{
    if (j->pages)
        return pages <= j->pages ? ALPS_OK : ALPS_EINVAL;
    j->pages = pages;
    uint64_t words = alps_page_words_(j->pages);
    uint64_t *p = (uint64_t *)alps_shared_memory_(words * ALPS_JOURNAL_64_);
    if (!p) {
        j->pages = 0;
        return ALPS_ENOMEM;
    }
    j->due = p;
    j->again = p + words;
    j->later = p + 2 * words;
    j->known = p + 3 * words;
    j->here = p + 4 * words;
    j->gone = p + 5 * words;
    j->going = p + 6 * words;
    j->hole = p + 7 * words;
    j->place = (uint32_t *)(void *)(p + 8 * words);
    return ALPS_OK;
}

/* Finds out where the journal of the file behind `fd` would be. */
ALPS_COLD_ int alps_journal_name_(alps_journal *j, int fd, const char *path)
{
    char dir[4096];
    int err = alps_fd_path_(fd, path, dir);
    if (err)
        return err;
    char *slash = strrchr(dir, '/');
    const char *last = slash ? slash + 1 : dir;
    size_t n = strlen(last);
    if (n > 255 - strlen(".journal"))
        return ALPS_EINVAL;
    memcpy(j->name, last, n);
    memcpy(j->name + n, ".journal", sizeof ".journal");
    if (slash)
        slash[1] = 0;
    else
        strcpy(dir, ".");
    j->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
    return j->dir < 0 ? alps_oserror_() : ALPS_OK;
}

/* The region is made anew: what the journal says does not matter any more. */
ALPS_COLD_ void alps_journal_drop_(alps_journal *j)
{
    if (j->pages)
        munmap(j->due, (size_t)(alps_page_words_(j->pages) * ALPS_JOURNAL_64_));
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
    j->pages = j->size = j->filled = 0;
    j->start = j->tail = ALPS_PAGE;
    j->lost = j->marked = 0;
}

/* Forgets the journal; the file stays as it is. Nothing is stored: in the child
 * of a fork this is the parent's memory as well. */
ALPS_COLD_ void alps_journal_close_(alps_map *m)
{
    alps_journal *j = m->journal;
    if (!j)
        return;
    if (j->pages)
        munmap(j->due, (size_t)(alps_page_words_(j->pages) * ALPS_JOURNAL_64_));
    int fds[] = {j->fd, j->dir, j->uffd, j->pagemap, j->stop[0], j->stop[1]};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    munmap(j, (size_t)ALPS_JOURNAL_BYTES_);
    m->journal = NULL;
}

/* Writes the head: the next frame is the first that counts. */
ALPS_COLD_ int alps_journal_head_(const alps_journal *j)
{
    alps_journal_head head;
    memset(&head, 0, sizeof head);
    head.magic = ALPS_JOURNAL_MAGIC_;
    head.id = j->id;
    head.salt = j->salt;
    head.seq = j->seq;
    head.start = j->start;
    head.before = j->before;
    head.crc = alps_journal_sum_(j, &head);
    return alps_fd_write_(j->fd, &head, sizeof head, 0);
}

/* From now on frames of `salt` count, from the first place on. Where that fails
 * nobody knows which head is there, and it is to be tried again before a frame
 * is written. */
ALPS_COLD_ int alps_journal_restart_(alps_journal *j, uint64_t salt)
{
    j->salt = salt;
    j->start = j->tail = ALPS_PAGE;
    j->before = 0;
    j->headed = 0;
    int err = alps_journal_head_(j);
    if (!err)
        err = alps_fd_sync_data_(j->fd);
    j->headed = !err;
    return err;
}

/* Opens the journal that the superblock calls `id`. A journal whose head is no
 * head was being emptied when the power failed: all is at home. */
ALPS_COLD_ int alps_journal_find_(alps_map *m, uint64_t id)
{
    alps_journal *j = m->journal;
    alps_journal_head head;
    struct stat st;
    int how = m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    j->lost = 1;
    if (j->dir < 0)
        return ALPS_OK;
    j->fd = openat(j->dir, j->name, how | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return errno == ENOENT ? ALPS_OK : alps_oserror_();
    if (!fstat(j->fd, &st))
        j->filled = (uint64_t)st.st_size;
    int err = alps_fd_read_(j->fd, &head, sizeof head, 0);
    if (err)
        return err == ALPS_ETRUNCATED ? ALPS_OK : err;
    int whole = head.magic == ALPS_JOURNAL_MAGIC_ &&
                head.crc == alps_journal_sum_(j, &head) && head.start &&
                !(head.start % ALPS_PAGE);
    if (whole && head.id != id)
        return ALPS_OK;
    j->lost = 0;
    j->marked = 1;
    j->id = id;
    j->seq = 1;
    if (!whole)
        return how == O_RDWR ? alps_journal_restart_(j, alps_random_())
                             : ALPS_OK;
    j->headed = 1;
    j->salt = head.salt;
    j->seq = head.seq;
    j->start = head.start;
    j->before = head.before;
    return alps_journal_read_(j);
}

/* Looks for the journal of the file that was just opened. */
ALPS_COLD_ int alps_journal_open_(alps_map *m, const char *path)
{
    uint64_t magic = 0, limit = 0, id = 0;
    alps_journal *j = (alps_journal *)alps_shared_memory_(ALPS_JOURNAL_BYTES_);
    if (!j)
        return ALPS_ENOMEM;
    j->fd = j->dir = j->uffd = j->pagemap = j->stop[0] = j->stop[1] = -1;
    j->crc = alps_crc_kind_();
    j->opens = (uint32_t)alps_random_();
    j->start = j->tail = ALPS_PAGE;
    j->bytes = (unsigned char *)(void *)j + 2 * ALPS_PAGE;
    pthread_mutex_init(&j->turn, NULL);
    m->journal = j;
    int err = alps_journal_name_(j, m->fd, path);
    if (err && !m->sole)
        err = ALPS_OK; // who needs no journal misses it when one is named
    if (err || m->length < ALPS_PAGE)
        return err;
    err = alps_fd_read_(m->fd, &magic, sizeof magic, 0);
    if (!err)
        err = alps_fd_read_(m->fd, &limit, sizeof limit, ALPS_HOME_LIMIT_);
    if (!err)
        err = alps_fd_read_(m->fd, &id, sizeof id, ALPS_HOME_MARK_);
    if (err || magic != ALPS_HOME_MAGIC_ || !id || limit > (uint64_t)1 << 47)
        return err;
    err = alps_journal_room_(j, limit / ALPS_PAGE + 1);
    return err ? err : alps_journal_find_(m, id);
}

/* Writes zeroes from `end` on, where the next small frames will be: a sync of
 * what has a block already, and is written, does not wait for the journal of
 * the file system as well. Where it fails they only take longer. */
ALPS_COLD_ void alps_journal_ahead_(alps_journal *j, uint64_t end)
{
    struct iovec zeroes[ALPS_JOURNAL_AHEAD];
    if (end <= j->filled)
        return;
    j->filled = end;
    for (unsigned i = 0; i < ALPS_JOURNAL_AHEAD; i++) {
        zeroes[i].iov_base = j->bytes + (ALPS_FRAME_CHUNK_ + 1) * ALPS_PAGE;
        zeroes[i].iov_len = ALPS_PAGE;
    }
    if (alps_fd_limit_(end + ALPS_JOURNAL_AHEAD * ALPS_PAGE))
        return;
    ssize_t put = pwritev(j->fd, zeroes, ALPS_JOURNAL_AHEAD, (off_t)end);
    if (put > 0)
        j->filled += (uint64_t)put;
}

/* After a long commit the room is given back, some day. */
ALPS_COLD_ void alps_journal_shorten_(alps_journal *j)
{
    struct stat st;
    if (fstat(j->fd, &st) || (uint64_t)st.st_size <= 2 * ALPS_JOURNAL_MAX)
        return;
    if (ftruncate(j->fd, (off_t)ALPS_JOURNAL_MAX))
        errno = 0; // it stays long, then
    else if (j->filled > ALPS_JOURNAL_MAX)
        j->filled = ALPS_JOURNAL_MAX;
}

/* Writes the superblock's word that names the journal, durably. */
ALPS_COLD_ int alps_journal_mark_(const alps_map *m, uint64_t id)
{
    int err = alps_fd_write_(m->fd, &id, sizeof id, ALPS_HOME_MARK_);
    return err ? err : alps_fd_sync_data_(m->fd);
}

/* Creates the journal file, with nothing in it. */
ALPS_COLD_ int alps_journal_make_(const alps_map *m)
{
    alps_journal *j = m->journal;
    struct stat st;
    mode_t mode = fstat(m->fd, &st) ? 0600 : st.st_mode & 0777;
    unlinkat(j->dir, j->name, 0); // a leftover, which nothing names
    j->fd = openat(j->dir, j->name,
                   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (j->fd < 0)
        return alps_oserror_();
    j->id = alps_random_() | 1;
    j->seq = 1;
    j->filled = 0;
    int err = alps_journal_restart_(j, alps_random_());
    if (!err)
        err = alps_fd_sync_dir_(j->dir);
    if (!err)
        return ALPS_OK;
    unlinkat(j->dir, j->name, 0);
    close(j->fd);
    j->fd = -1;
    return err;
}

/* Sees to it that there is a journal and that the region names it. What may
 * have been named is not made anew. */
ALPS_COLD_ int alps_journal_ready_(const alps_map *m)
{
    alps_journal *j = m->journal;
    int err = j->fd < 0 ? alps_journal_make_(m) : ALPS_OK;
    if (!err && !j->headed)
        err = alps_journal_restart_(j, alps_random_());
    if (!err && !j->marked)
        err = alps_journal_mark_(m, j->id);
    if (!err)
        j->marked = 1;
    return err;
}

/* Everything is at home: the region does not name the journal any more, and
 * then it is removed. */
ALPS_COLD_ int alps_journal_remove_(const alps_map *m)
{
    alps_journal *j = m->journal;
    if (j->fd < 0)
        return ALPS_OK;
    int err = j->marked ? alps_journal_mark_(m, 0) : ALPS_OK;
    if (err)
        return err;
    j->marked = 0;
    unlinkat(j->dir, j->name, 0);
    close(j->fd);
    j->fd = -1;
    return ALPS_OK;
}

/* home.h -- frames written, pages brought home
 *
 * What goes into a journal and what comes out of it; docs/checkpoint.md has the
 * order, and why it is enough. */

/* A frame that is being written. */
typedef struct alps_frame {
    uint64_t at; /* where in the journal */
    alps_frame_head head;
    unsigned n; /* pages that wait to be written at once */
    int small;  /* 1: head, table and pages are, at the end */
    alps_frame_page table[ALPS_FRAME_CHUNK_];
} alps_frame;

/* A frame for at most `most` pages of a region of `size` bytes. */
ALPS_COLD_ void alps_frame_begin_(alps_journal *j, alps_frame *f, uint64_t most,
                                  uint64_t size)
{
    uint64_t front = sizeof f->head + most * sizeof(alps_frame_page);
    memset(&f->head, 0, sizeof f->head);
    f->at = j->tail;
    j->front = 0;
    f->n = 0;
    f->small = most <= ALPS_FRAME_CHUNK_;
    f->head.magic = ALPS_FRAME_MAGIC_;
    f->head.salt = j->salt;
    f->head.seq = j->seq;
    f->head.size = size;
    f->head.before = j->before;
    f->head.first = (uint32_t)((front + ALPS_PAGE - 1) / ALPS_PAGE);
}

/* Writes the pages that wait, and their part of the table. */
ALPS_COLD_ int alps_frame_flush_(const alps_journal *j, alps_frame *f)
{
    uint64_t n = f->n, done = f->head.count;
    int err = ALPS_OK;
    if (!n)
        return ALPS_OK;
    if (!f->small)
        err = alps_fd_write_(j->fd, j->bytes, n * ALPS_PAGE,
                             f->at + (f->head.first + done) * ALPS_PAGE);
    if (!f->small && !err)
        err = alps_fd_write_(j->fd, f->table, n * sizeof *f->table,
                             f->at + sizeof f->head + done * sizeof *f->table);
    if (err)
        return err;
    f->head.table =
        alps_crc32c_(j->crc, f->head.table, f->table, n * sizeof *f->table);
    f->head.count += n;
    f->n = 0;
    return ALPS_OK;
}

/* Whether the page holds what was last committed, or is at home. */
ALPS_COLD_ int alps_home_same_(const alps_map *m, uint64_t page,
                               const unsigned char *bytes)
{
    const alps_journal *j = m->journal;
    unsigned char *old = j->bytes + ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
    int here = alps_page_in_(j->here, page);
    int err = here ? alps_fd_read_(j->fd, old, ALPS_PAGE,
                                   j->place[page] * (uint64_t)ALPS_PAGE)
                   : alps_medium_read_(m, old, ALPS_PAGE, page * ALPS_PAGE);
    return !err && !memcmp(old, bytes, ALPS_PAGE);
}

/* Whether a page that is due may be as it was. */
ALPS_FN_ int alps_home_candidate_(const alps_journal *j, uint64_t page)
{
    return j->way == ALPS_DIRTY_PAGEMAP || j->way == ALPS_DIRTY_COMPARE ||
           (j->way == ALPS_DIRTY_PROTECT && page < j->filed);
}

/* Adds the pages of `set` below `end`; but those that hold zeroes and were
 * never anything else, and candidates that are as they were. */
ALPS_COLD_ int alps_frame_add_(const alps_map *m, alps_frame *f,
                               const uint64_t *set, uint64_t end)
{
    alps_journal *j = m->journal;
    uint64_t page = alps_page_next_(set, 0, end), looked = 0;
    for (; page < end; page = alps_page_next_(set, page + 1, end)) {
        unsigned char *to = j->bytes + f->n * (uint64_t)ALPS_PAGE;
        looked++;
        int zero = alps_page_take_(to, m->base + page * ALPS_PAGE);
        if (zero && !alps_page_in_(j->known, page))
            continue;
        if (alps_home_candidate_(j, page) && alps_home_same_(m, page, to))
            continue;
        alps_page_add_(j->known, page);
        f->table[f->n].page = page;
        f->table[f->n].crc = alps_crc32c_(j->crc, 0, to, ALPS_PAGE);
        f->table[f->n].opens = j->opens;
        if (++f->n < ALPS_FRAME_CHUNK_)
            continue;
        int err = alps_frame_flush_(j, f);
        if (err)
            return err;
        alps_progress_step_(&j->telling, looked * ALPS_PAGE);
        looked = 0;
    }
    int err = alps_frame_flush_(j, f);
    if (!err)
        alps_progress_step_(&j->telling, looked * ALPS_PAGE);
    return err;
}

/* Writes a small frame. */
ALPS_COLD_ int alps_frame_write_(alps_journal *j, const alps_frame *f)
{
    unsigned char *front = j->bytes - ALPS_PAGE;
    ALPS_STATIC_ASSERT_(sizeof f->head + sizeof f->table <= ALPS_PAGE, "page");
    memset(front, 0, ALPS_PAGE);
    memcpy(front, &f->head, sizeof f->head);
    memcpy(front + sizeof f->head, f->table, f->head.count * sizeof *f->table);
    j->front = f->at;
    return alps_fd_write_(j->fd, front, (1 + f->head.count) * ALPS_PAGE, f->at);
}

/* Ends the frame; with `last` the commit is complete. */
ALPS_COLD_ int alps_frame_end_with_(alps_journal *j, alps_frame *f, int last)
{
    f->head.last = last != 0;
    f->head.crc = alps_frame_sum_(j, &f->head);
    int err = f->small ? alps_frame_write_(j, f)
                       : alps_fd_write_(j->fd, &f->head, sizeof f->head, f->at);
    if (err)
        return err;
    j->tail = alps_frame_end_(f->at, &f->head);
    if (f->small)
        alps_journal_ahead_(j, j->tail);
    j->seq++;
    j->before = f->head.crc;
    return ALPS_OK;
}

/* Pages [page, page + answer) lie one after the other in the journal, too. */
ALPS_FN_ uint64_t alps_home_run_(const alps_journal *j, uint64_t page,
                                 uint64_t end)
{
    uint64_t n = 1;
    while (n < ALPS_FRAME_CHUNK_ && page + n < end &&
           alps_page_in_(j->here, page + n) &&
           j->place[page + n] == j->place[page] + n)
        n++;
    return n;
}

/* Copies the newest version of each page to the files of the region, or to any
 * other. */
ALPS_COLD_ int alps_home_copy_(alps_journal *j, const alps_map *to)
{
    uint64_t end = j->size / ALPS_PAGE + (j->size % ALPS_PAGE != 0), n;
    alps_progress_add_(&j->telling,
                       alps_pages_count_(j->here, end) * ALPS_PAGE);
    uint64_t page = alps_page_next_(j->here, 0, end);
    for (; page < end; page = alps_page_next_(j->here, page + n, end)) {
        n = alps_home_run_(j, page, end);
        uint64_t off = page * ALPS_PAGE, k = n * ALPS_PAGE;
        if (off + k > j->size)
            k = j->size - off; // the region ends inside its last page
        int err = alps_fd_read_(j->fd, j->bytes, k,
                                (uint64_t)j->place[page] * ALPS_PAGE);
        if (!err)
            err = alps_medium_write_(to, j->bytes, k, off);
        if (err)
            return err;
        alps_progress_step_(&j->telling, n * ALPS_PAGE);
    }
    return ALPS_OK;
}

/* The files have room for all that the journal says. */
ALPS_COLD_ int alps_home_room_(const alps_map *m)
{
    uint64_t length = 0, size = m->journal->size;
    int err = alps_medium_length_(m, &length);
    return err || length >= size ? err : alps_medium_grow_(m, length, size);
}

/* Bytes [off, off + n), whole pages, are not needed at home when a commit that
 * knows it has come. */
ALPS_COLD_ void alps_home_gone_(const alps_journal *j, uint64_t off, uint64_t n)
{
    uint64_t end = (off + n) / ALPS_PAGE;
    for (uint64_t page = off / ALPS_PAGE; page < end && page < j->pages; page++)
        __atomic_fetch_or(&j->gone[page / 64], 1ull << (page % 64),
                          __ATOMIC_RELAXED);
}

/* Nor by the process from now on. */
ALPS_COLD_ int alps_home_give_(const alps_map *m, uint64_t off, uint64_t n)
{
    alps_home_gone_(m->journal, off, n);
    if (n && madvise(m->base + off, (size_t)n, MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* They are needed again. */
ALPS_COLD_ void alps_home_keep_(const alps_map *m, uint64_t off, uint64_t n)
{
    alps_journal *j = m->journal;
    // a commit that fails moves them back
    uint64_t *const sets[] = {j->gone, j->going, j->hole, j->gone};
    uint64_t end = (off + n) / ALPS_PAGE;
    for (uint64_t page = off / ALPS_PAGE; page < end && page < j->pages; page++)
        for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++)
            alps_page_drop_(sets[i], page);
}

/* Punches what the last durable commit does not need, also what has just come
 * home. A file system that cannot keeps the blocks. */
ALPS_COLD_ void alps_home_punch_(alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t end = m->size / ALPS_PAGE, n;
    uint64_t page = alps_page_next_(j->hole, 0, end);
    for (; page < end; page = alps_page_next_(j->hole, page + n, end)) {
        for (n = 1; page + n < end && alps_page_in_(j->hole, page + n);)
            n++;
        alps_medium_punch_(m, page * ALPS_PAGE, n * ALPS_PAGE);
    }
    alps_pages_clear_(j->hole, j->pages);
}

/* How free pages are given back, and the journal is emptied, when all is at
 * home. */
typedef void alps_home_punching(alps_map *m);
typedef int alps_home_emptying(alps_map *m);

/* Brings all that was committed home, and then empties the journal. ALPS_EBUSY:
 * a reader is there. */
ALPS_FAST_ int alps_home_carry_(alps_map *m, alps_home_punching *punch,
                                alps_home_emptying *empty)
{
    int err = alps_home_lock_(m->fd, F_WRLCK, 0);
    if (err)
        return err;
    err = alps_home_room_(m);
    if (!err)
        err = alps_home_copy_(m->journal, m);
    if (!err)
        punch(m);
    if (!err)
        err = alps_medium_sync_data_(m);
    if (!err)
        err = empty(m);
    alps_home_lock_(m->fd, F_UNLCK, 0);
    return err;
}

ALPS_COLD_ int alps_home_empty_(alps_map *m)
{
    alps_journal *j = m->journal;
    alps_pages_clear_(j->here, j->size / ALPS_PAGE + 1);
    int err = alps_journal_restart_(j, alps_random_());
    if (!err)
        alps_journal_shorten_(j);
    return err;
}

/* The same where nobody spills meanwhile. */
ALPS_COLD_ int alps_home_come_(alps_map *m)
{
    const alps_journal *j = m->journal;
    return j->fd < 0 || j->tail == j->start
               ? ALPS_OK
               : alps_home_carry_(m, alps_home_punch_, alps_home_empty_);
}

/* What a mapping that nobody else sees has to have on top of the file. */
ALPS_COLD_ int alps_home_overlay_(const alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t end = (m->size + ALPS_PAGE - 1) / ALPS_PAGE, n;
    if (!j->size)
        return ALPS_OK;
    uint64_t page = alps_page_next_(j->here, 0, end);
    for (; page < end; page = alps_page_next_(j->here, page + n, end)) {
        n = alps_home_run_(j, page, end);
        int err =
            alps_fd_read_(j->fd, m->base + page * ALPS_PAGE, n * ALPS_PAGE,
                          (uint64_t)j->place[page] * ALPS_PAGE);
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* dirty.h -- which pages were stored to
 *
 * Of a mapping that is this process's alone. The kernel knows, and there are
 * three ways to ask it; docs/checkpoint.md compares them. The structures and
 * numbers are Linux's, for C libraries that do not have them yet. */
#include <sys/ioctl.h>

typedef struct alps_scan_run {
    uint64_t from, to, categories;
} alps_scan_run;

typedef struct alps_scan_ask {
    uint64_t size, flags, from, to, walked, runs, room, most;
    uint64_t inverted, all, any, answer;
} alps_scan_ask;

#define ALPS_SCAN_RUNS_ 128u
#define ALPS_PAGEMAP_SCAN_ _IOWR('f', 16, alps_scan_ask)
#define ALPS_SCAN_PROTECT_ 3u /* what matches; refused if there is no uffd */
#define ALPS_SCAN_WRITTEN_ 2u
#define ALPS_SCAN_FILE_ 4u
#define ALPS_SCAN_PRESENT_ 8u
#define ALPS_SCAN_SWAPPED_ 16u
#define ALPS_SCAN_ZERO_ 32u

typedef struct alps_uffd_api {
    uint64_t api, features, calls;
} alps_uffd_api;

typedef struct alps_uffd_register {
    uint64_t from, n, mode, calls;
} alps_uffd_register;

#define ALPS_UFFD_API_ _IOWR(0xAA, 0x3F, alps_uffd_api)
#define ALPS_UFFD_REGISTER_ _IOWR(0xAA, 0x00, alps_uffd_register)
#define ALPS_UFFD_ASYNC_ ((1u << 15) | (1u << 13)) /* and unpopulated pages */
#define ALPS_UFFD_PROTECT_ 2u

/* Adds the pages in bytes [from, to) of the mapping. */
ALPS_FN_ void alps_dirty_add_(const alps_map *m, uint64_t *set, uint64_t from,
                              uint64_t to)
{
    uint64_t end = (m->size + ALPS_PAGE - 1) / ALPS_PAGE;
    to = to / ALPS_PAGE < end ? to / ALPS_PAGE : end;
    for (uint64_t page = from / ALPS_PAGE; page < to; page++)
        alps_page_add_(set, page);
}

/* Bytes of the mapping that may have been stored to. */
ALPS_FN_ uint64_t alps_dirty_bytes_(const alps_map *m)
{
    return alps_round_up_(m->size, alps_system_page_());
}

/* Adds the pages in bytes [from, to) of the mapping that were stored to, and
 * protects them again; but those of these categories, of which the system is
 * not to be asked in vain: to tell a file's page takes it three times as long
 * as all else. */
ALPS_COLD_ int alps_dirty_range_(const alps_map *m, uint64_t *set,
                                 uint64_t from, uint64_t to, uint64_t but)
{
    alps_scan_run run[ALPS_SCAN_RUNS_];
    alps_scan_ask ask;
    uint64_t base = (uint64_t)(uintptr_t)m->base;
    memset(&ask, 0, sizeof ask);
    ask.size = sizeof ask;
    ask.flags = ALPS_SCAN_PROTECT_;
    ask.from = base + from;
    ask.to = base + to;
    ask.runs = (uint64_t)(uintptr_t)run;
    ask.room = ALPS_SCAN_RUNS_;
    ask.inverted = but;
    ask.all = ALPS_SCAN_WRITTEN_ | but;
    ask.any = ALPS_SCAN_PRESENT_ | ALPS_SCAN_SWAPPED_;
    ask.answer = ALPS_SCAN_WRITTEN_;
    while (ask.from < ask.to) {
        int n = ioctl(m->journal->pagemap, ALPS_PAGEMAP_SCAN_, &ask);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return alps_oserror_();
        for (int i = 0; i < n; i++)
            alps_dirty_add_(m, set, run[i].from - base, run[i].to - base);
        ask.from = ask.walked;
    }
    return ALPS_OK;
}

/* The same of the whole mapping: what is the file's, and the rest. */
ALPS_COLD_ int alps_dirty_scan_(const alps_map *m, uint64_t *set)
{
    uint64_t end = alps_dirty_bytes_(m), filed = m->journal->filed * ALPS_PAGE;
    if (filed > end)
        filed = end;
    int err =
        alps_dirty_range_(m, set, 0, filed, ALPS_SCAN_FILE_ | ALPS_SCAN_ZERO_);
    return err ? err : alps_dirty_range_(m, set, filed, end, ALPS_SCAN_ZERO_);
}

/* Adds pages of the system's, of which `n` from number `first` on have these
 * entries of the pagemap. */
typedef int alps_dirty_look(const alps_map *m, uint64_t *set,
                            const uint64_t *entry, uint64_t first, uint64_t n);

/* Those that are not the file's any more. */
ALPS_COLD_ int alps_dirty_own_(const alps_map *m, uint64_t *set,
                               const uint64_t *entry, uint64_t first,
                               uint64_t n)
{
    uint64_t page = alps_system_page_();
    for (uint64_t i = first; i < first + n; i++, entry++)
        if (*entry >> 62 && !(*entry >> 61 & 1))
            alps_dirty_add_(m, set, i * page, (i + 1) * page);
    return ALPS_OK;
}

/* Has all entries looked at. Forced inline: what looks is a constant there. */
ALPS_FAST_ int alps_dirty_walk_(const alps_map *m, uint64_t *set,
                                alps_dirty_look *look)
{
    uint64_t entry[512], page = alps_system_page_();
    uint64_t first = (uint64_t)(uintptr_t)m->base / page;
    uint64_t end = alps_dirty_bytes_(m) / page, k;
    for (uint64_t i = 0; i < end; i += k) {
        k = end - i < 512 ? end - i : 512;
        int err = alps_fd_read_(m->journal->pagemap, entry, k * sizeof *entry,
                                (first + i) * sizeof *entry);
        if (!err)
            err = look(m, set, entry, i, k);
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* Adds the pages that are not the file's any more. */
ALPS_COLD_ int alps_dirty_take_(const alps_map *m, uint64_t *set)
{
    return alps_dirty_walk_(m, set, alps_dirty_own_);
}

/* Has stores to the whole mapping noted by the kernel itself. */
ALPS_COLD_ int alps_dirty_watch_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_uffd_api api = {0xAA, ALPS_UFFD_ASYNC_, 0};
    alps_uffd_register all = {(uint64_t)(uintptr_t)m->base,
                              alps_round_up_(m->reserved, alps_system_page_()),
                              ALPS_UFFD_PROTECT_, 0};
    // 1: for faults of the program only, which needs no privilege
    j->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
    if (j->uffd < 0 || ioctl(j->uffd, ALPS_UFFD_API_, &api) ||
        ioctl(j->uffd, ALPS_UFFD_REGISTER_, &all))
        return ALPS_EUNSUPPORTED;
    return alps_dirty_scan_(m, j->due);
}

/* protect.h -- pages that tell when they are first stored to
 *
 * For kernels that can protect pages (5.7) and tell which ones are (5.14), but
 * cannot lift the protection by themselves: a thread of the handle does, and
 * the store goes on. What is not protected has been stored to. Only anonymous
 * memory can be protected so; of what is mapped from the file, pages that are
 * private are candidates, and compared. The thread stores nothing, holds no
 * lock and ends with the handle. */
#include <poll.h>
#include <signal.h>

typedef struct alps_uffd_change {
    uint64_t from, n, mode;
} alps_uffd_change;

typedef struct alps_uffd_event {
    uint8_t what, unused[7];
    uint64_t flags, address, more;
} alps_uffd_event;

#define ALPS_UFFD_CHANGE_ _IOWR(0xAA, 0x06, alps_uffd_change)
#define ALPS_UFFD_FAULT_ 0x12u
#define ALPS_UFFD_FLAGS_ 1u /* tells stores to what is protected */

/* What a page table entry has in /proc/self/pagemap. */
#define ALPS_ENTRY_THERE_ (3ull << 62) /* in memory or in swap */
#define ALPS_ENTRY_FILE_ (1ull << 61)
#define ALPS_ENTRY_PROTECTED_ (1ull << 57)

ALPS_COLD_ int alps_protect_range_(const alps_journal *j, uint64_t from,
                                   uint64_t n, int on)
{
    alps_uffd_change change = {from, n, on != 0};
    int rc;
    do
        rc = ioctl(j->uffd, ALPS_UFFD_CHANGE_, &change);
    while (rc && (errno == EINTR || errno == EAGAIN));
    return rc ? alps_oserror_() : ALPS_OK;
}

/* The thread: lifts the protection of each page that somebody stores to. */
ALPS_COLD_ void *alps_protect_lift_(void *context)
{
    const alps_journal *j = (const alps_journal *)context;
    uint64_t page = alps_system_page_();
    for (;;) {
        alps_uffd_event e;
        struct pollfd from[2] = {{j->uffd, POLLIN, 0}, {j->stop[0], POLLIN, 0}};
        if (poll(from, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (from[1].revents)
            return NULL;
        while (read(j->uffd, &e, sizeof e) == (ssize_t)sizeof e)
            if (e.what == ALPS_UFFD_FAULT_)
                alps_protect_range_(j, e.address / page * page, page, 0);
    }
}

/* Adds the pages that were stored to, and protects them again: an
 * alps_dirty_look. */
ALPS_COLD_ int alps_protect_entries_(const alps_map *m, uint64_t *set,
                                     const uint64_t *entry, uint64_t first,
                                     uint64_t n)
{
    uint64_t page = alps_system_page_(), run = 0;
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t there = i < n ? entry[i] & ALPS_ENTRY_THERE_ : 0;
        uint64_t lies = (first + i) * page;
        int own = there && !(entry[i] & ALPS_ENTRY_FILE_);
        if (own && lies / ALPS_PAGE < m->journal->filed) {
            alps_dirty_add_(m, set, lies, lies + page);
            own = 0;
        }
        if (own && !(entry[i] & ALPS_ENTRY_PROTECTED_)) {
            alps_dirty_add_(m, set, lies, lies + page);
            run++;
            continue;
        }
        int err = run ? alps_protect_range_(m->journal,
                                            (uint64_t)(uintptr_t)m->base +
                                                lies - run * page,
                                            run * page, 1)
                      : ALPS_OK;
        if (err)
            return err;
        run = 0;
    }
    return ALPS_OK;
}

/* Adds the pages that were stored to since the last time. */
ALPS_COLD_ int alps_protect_take_(const alps_map *m, uint64_t *set)
{
    return alps_dirty_walk_(m, set, alps_protect_entries_);
}

/* Whether a page that is protected shows as such. */
ALPS_COLD_ int alps_protect_shows_(const alps_map *m)
{
    uint64_t page = alps_system_page_(), entry = 0;
    uint64_t at = (uint64_t)(uintptr_t)m->base + m->journal->filed * ALPS_PAGE;
    volatile unsigned char *byte = (volatile unsigned char *)(uintptr_t)at;
    *byte = *byte; // so that it is there
    return !alps_protect_range_(m->journal, at, page, 1) &&
           !alps_fd_read_(m->journal->pagemap, &entry, sizeof entry,
                          at / page * sizeof entry) &&
           (entry & ALPS_ENTRY_PROTECTED_) &&
           !alps_protect_range_(m->journal, at, page, 0);
}

/* Ends the thread, where there is one: the child of a fork has none. */
ALPS_COLD_ void alps_protect_end_(alps_journal *j)
{
    if (j->stop[1] < 0 || j->owner != getpid())
        return;
    while (write(j->stop[1], "", 1) < 0 && errno == EINTR)
        continue;
    pthread_join(j->lifter, NULL);
}

/* Begins to watch the mapping in this way. A store of the system, as by read(),
 * is told only to those with the privilege to handle it. */
ALPS_COLD_ int alps_protect_begin_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_uffd_api api = {0xAA, ALPS_UFFD_FLAGS_, 0};
    uint64_t off = j->filed * ALPS_PAGE, page = alps_system_page_();
    alps_uffd_register all = {(uint64_t)(uintptr_t)m->base + off,
                              alps_round_up_(m->reserved, page) - off,
                              ALPS_UFFD_PROTECT_, 0};
    sigset_t every, old;
    if (off >= m->reserved)
        return ALPS_EUNSUPPORTED; // all is mapped from the file
    j->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (j->uffd < 0 || ioctl(j->uffd, ALPS_UFFD_API_, &api) ||
        ioctl(j->uffd, ALPS_UFFD_REGISTER_, &all) || !alps_protect_shows_(m))
        return ALPS_EUNSUPPORTED;
    if (syscall(SYS_pipe2, j->stop, O_CLOEXEC))
        return alps_oserror_();
    j->owner = getpid();
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &old);
    int rc = pthread_create(&j->lifter, NULL, alps_protect_lift_, j);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!rc)
        return alps_protect_take_(m, j->due);
    close(j->stop[0]);
    close(j->stop[1]);
    j->stop[0] = j->stop[1] = -1;
    return ALPS_ENOMEM;
}

/* watch.h -- the way in which stores are found
 *
 * The best that the system has, or the one that was asked for. */

/* Adds the pages that were, or may have been, stored to since the last time. */
ALPS_COLD_ int alps_watch_take_(const alps_map *m, uint64_t *set)
{
    switch (m->journal->way) {
    case ALPS_DIRTY_SCAN: return alps_dirty_scan_(m, set);
    case ALPS_DIRTY_PROTECT: return alps_protect_take_(m, set);
    case ALPS_DIRTY_PAGEMAP: return alps_dirty_take_(m, set);
    default: alps_dirty_add_(m, set, 0, alps_dirty_bytes_(m)); return ALPS_OK;
    }
}

/* The way that was asked for: by the environment, the options, or 0: any. */
ALPS_COLD_ int alps_watch_asked_(unsigned *way)
{
    const char *word = getenv("ALPS_DIRTY");
    if (!word || !*word)
        return *way > ALPS_DIRTY_COMPARE ? ALPS_EINVAL : ALPS_OK;
    if (!strcmp(word, "scan"))
        *way = ALPS_DIRTY_SCAN;
    else if (!strcmp(word, "protect"))
        *way = ALPS_DIRTY_PROTECT;
    else if (!strcmp(word, "pagemap"))
        *way = ALPS_DIRTY_PAGEMAP;
    else if (!strcmp(word, "compare"))
        *way = ALPS_DIRTY_COMPARE;
    else
        return ALPS_EINVAL;
    return ALPS_OK;
}

/* Whether /proc tells the truth. The first page was stored to just now; an
 * emulator shows its own memory in place of ours. */
ALPS_COLD_ int alps_watch_trusts_(const alps_map *m)
{
    int err = alps_dirty_take_(m, m->journal->due);
    return !err && alps_page_in_(m->journal->due, 0);
}

/* Begins to watch the mapping in one way. */
ALPS_COLD_ int alps_watch_in_(const alps_map *m, unsigned way)
{
    alps_journal *j = m->journal;
    int err = ALPS_OK;
    j->way = way;
    if (way == ALPS_DIRTY_COMPARE)
        return alps_watch_take_(m, j->due);
    if (!alps_watch_trusts_(m))
        return ALPS_EUNSUPPORTED;
    if (way == ALPS_DIRTY_SCAN)
        err = alps_dirty_watch_(m);
    else if (way == ALPS_DIRTY_PROTECT)
        err = alps_protect_begin_(m);
    if (err && j->uffd >= 0) {
        close(j->uffd);
        j->uffd = -1;
    }
    return err;
}

/* Begins to watch the mapping; what was stored to before counts as stored to.
 * ALPS_EUNSUPPORTED: the system does not have the way that was asked for. */
ALPS_COLD_ int alps_watch_begin_(const alps_map *m, unsigned way)
{
    static const unsigned char best[] = {ALPS_DIRTY_SCAN, ALPS_DIRTY_PROTECT,
                                         ALPS_DIRTY_PAGEMAP,
                                         ALPS_DIRTY_COMPARE};
    int err = alps_watch_asked_(&way);
    if (err)
        return err;
    m->journal->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (way)
        return alps_watch_in_(m, way);
    for (unsigned i = 0; i < sizeof best; i++) {
        err = alps_watch_in_(m, best[i]);
        if (err != ALPS_EUNSUPPORTED)
            break;
    }
    return err;
}

/* sole.h -- a mapping whose stores are this process's alone
 *
 * What the file holds is mapped privately, what it never held is anonymous
 * memory: so the system never writes a page of it to the file, and fresh memory
 * comes without reading zeroes from the file first, in huge pages where there
 * are any. A reader has what was committed and is not at home yet on top. */

/* Holes are given away by as much as a huge page. */
#define ALPS_SOLE_STEP_ ((uint64_t)2 << 20)

/* How many holes are mapped so, so that a file full of them does not take all
 * the mappings a process may have. */
#define ALPS_SOLE_HOLES_ 1024u

/* Adds the pages that may be other than zeroes in the file. */
ALPS_COLD_ void alps_sole_known_(const alps_map *m)
{
    const alps_journal *j = m->journal;
    uint64_t from = 0, to = 0;
    while (alps_medium_data_(m, m->length, to, &from, &to))
        for (uint64_t page = from / ALPS_PAGE;
             page * ALPS_PAGE < to && page < j->pages; page++)
            alps_page_add_(j->known, page);
}

/* Bytes [from, to) of the mapping become anonymous memory. */
ALPS_COLD_ int alps_sole_blank_(const alps_map *m, uint64_t from, uint64_t to)
{
    void *p =
        from < to
            ? mmap(m->base + from, (size_t)(to - from), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
                   0)
            : NULL;
    if (p == MAP_FAILED)
        return alps_oserror_();
    if (p)
        madvise(p, (size_t)(to - from), MADV_HUGEPAGE);
    return ALPS_OK;
}

/* So do holes, by whole steps, and all behind the file's last data. */
ALPS_COLD_ int alps_sole_blanks_(const alps_map *m, uint64_t end)
{
    uint64_t from = 0, to = 0, step = ALPS_SOLE_STEP_, last = 0;
    unsigned n = 0;
    while (to < end && alps_medium_data_(m, m->length, to, &from, &to)) {
        if (n++ == ALPS_SOLE_HOLES_)
            to = m->length; // the other holes remain the file's
        from -= from % step;
        int err = alps_sole_blank_(m, last, from < end ? from : end);
        if (err)
            return err;
        last = alps_round_up_(to, step);
    }
    if (to >= m->length) // beyond the end of the file there is nothing
        last = alps_round_up_(m->length, alps_system_page_());
    if (last > end)
        last = end;
    m->journal->filed = last / ALPS_PAGE;
    return alps_sole_blank_(m, last, end);
}

/* The map of the contract, for one who writes alone. */
ALPS_COLD_ int alps_sole_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    uint64_t page = alps_system_page_();
    if (align < ALPS_SOLE_STEP_)
        align = ALPS_SOLE_STEP_;
    reserve = alps_round_up_(reserve, page);
    int err = alps_medium_map_(m, size, reserve, align, MAP_PRIVATE);
    if (err)
        return err;
    err = alps_sole_blanks_(m, alps_round_up_(m->reserved, page));
    if (!err)
        err = alps_home_overlay_(m);
    if (err)
        alps_medium_unmap_(m);
    return err;
}

/* The map of the contract, for one who reads what is not at home yet. */
ALPS_COLD_ int alps_sole_read_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    int err = alps_medium_map_(m, size, reserve, align, MAP_PRIVATE);
    if (err)
        return err;
    size_t n = (size_t)alps_dirty_bytes_(m);
    if (mprotect(m->base, n, PROT_READ | PROT_WRITE))
        err = alps_oserror_();
    if (!err)
        err = alps_home_overlay_(m);
    if (!err && mprotect(m->base, n, PROT_READ))
        err = alps_oserror_();
    if (err)
        alps_medium_unmap_(m);
    return err;
}

/* filed.h -- a region's file, and the journal beside it
 *
 * How a file is opened for a region, closed and removed: its place among those
 * who have it open, and what commits of a crash are in the journal. */

/* Commits that a crash left in the journal come home. While a reader keeps them
 * from it only one who writes alone can open the region. */
ALPS_COLD_ int alps_filed_recover_(alps_map *m)
{
    int err = alps_home_come_(m);
    if (err == ALPS_EBUSY && m->sole)
        err = ALPS_OK;
    if (!err && !m->sole && !m->journal->lost)
        err = alps_journal_remove_(m);
    return err ? err : alps_medium_length_(m, &m->length);
}

/* Finds its place among those who have the file open, and the journal. */
ALPS_COLD_ int alps_filed_enter_(alps_map *m, const char *path)
{
    int reads = (m->flags & ALPS_READ_ONLY) != 0;
    int err = reads ? alps_apart_lock_(m->fd, F_RDLCK)
                    : alps_sole_lock_(m->fd, m->sole != 0);
    if (!err && reads)
        err = alps_home_lock_(m->fd, F_RDLCK, 1);
    // the name of a new file is durable before anything is in it
    if (!err && !reads && m->length == 0)
        err = alps_fd_sync_name_(path);
    if (!err)
        err = alps_journal_open_(m, path);
    return err || reads ? err : alps_filed_recover_(m);
}

ALPS_COLD_ int alps_filed_close_(alps_map *m)
{
    if (m->journal)
        alps_protect_end_(m->journal);
    alps_journal_close_(m);
    return alps_medium_close_(m);
}

ALPS_COLD_ int alps_filed_open_(alps_map *m, const char *path,
                                const alps_options *o)
{
    int err = alps_fd_open_(m, path, o ? o->mode : 0, 0);
    if (err)
        return err;
    m->medium = ALPS_MEDIUM_CACHE;
    err = alps_medium_enter_(m, path, o);
    if (!err)
        err = alps_filed_enter_(m, path);
    if (err)
        alps_filed_close_(m);
    return err;
}

/* A journal that is left beside a region means nothing without it. */
ALPS_COLD_ int alps_filed_remove_(const char *path)
{
    char real[4096], journal[4096 + 8];
    int fd = path ? open(path, O_CLOEXEC | ALPS_O_PATH_) : -1;
    int known = fd >= 0 && !alps_fd_path_(fd, path, real);
    int err = alps_medium_remove_(path);
    if (fd >= 0)
        close(fd);
    if (!err && known) {
        snprintf(journal, sizeof journal, "%s.journal", real);
        unlink(journal);
    }
    return err;
}

/* latch.h -- a lock that a signal handler may take
 *
 * Three states and a futex (Drepper, "Futexes are tricky", 2011). Whoever holds
 * it lets no signal in meanwhile: so no handler of the program runs on top of
 * it, which might touch a page that only the holder can bring. Nothing under it
 * is a point where a thread can be cancelled. */
#include <linux/futex.h>
#include <signal.h>

#define ALPS_LATCH_FREE_ 0u
#define ALPS_LATCH_HELD_ 1u
#define ALPS_LATCH_AWAITED_ 2u

ALPS_COLD_ void alps_latch_wait_(uint32_t *word)
{
    while (__atomic_exchange_n(word, ALPS_LATCH_AWAITED_, __ATOMIC_ACQUIRE) !=
           ALPS_LATCH_FREE_)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, ALPS_LATCH_AWAITED_, NULL,
                NULL, 0);
}

/* Takes it, in a signal handler that lets no other in. */
ALPS_FN_ void alps_latch_take_(uint32_t *word)
{
    uint32_t free = ALPS_LATCH_FREE_;
    if (!__atomic_compare_exchange_n(word, &free, ALPS_LATCH_HELD_, 0,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        alps_latch_wait_(word);
}

ALPS_FN_ void alps_latch_give_(uint32_t *word)
{
    if (__atomic_exchange_n(word, ALPS_LATCH_FREE_, __ATOMIC_RELEASE) ==
        ALPS_LATCH_AWAITED_)
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The same anywhere else; `old` keeps which signals were let in. */
ALPS_COLD_ void alps_latch_enter_(uint32_t *word, sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, old);
    alps_latch_take_(word);
}

ALPS_COLD_ void alps_latch_leave_(uint32_t *word, const sigset_t *old)
{
    alps_latch_give_(word);
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* uffd.h -- userfaultfd: the system tells a thread what another one touched
 *
 * For memory of this process whose faults are told to who asks for them; the
 * thread that touched it waits meanwhile, also inside of a system call. Here is
 * what is done to a range of it: filled, moved, protected, opened, spoilt. The
 * headers of many systems are older than the calls, so they stand here. */
#include <sys/mman.h>

/* How the system is asked; a test puts its own in place, which has less. */
#ifndef ALPS_UFFD_CALL
#  define ALPS_UFFD_CALL(fd, what, with) \
    syscall(SYS_ioctl, fd, (unsigned long)(what), with)
#endif

typedef struct alps_uffd_range {
    uint64_t from, n;
} alps_uffd_range;

typedef struct alps_uffd_filling {
    uint64_t to, from, n, mode;
    int64_t done;
} alps_uffd_filling;

typedef struct alps_uffd_spoiling {
    uint64_t from, n, mode;
    int64_t done;
} alps_uffd_spoiling;

#define ALPS_UFFD_NEW_ _IO(0xAA, 0x00) /* of /dev/userfaultfd, since 6.1 */
#define ALPS_UFFD_WAKE_ _IOR(0xAA, 0x02, alps_uffd_range)
#define ALPS_UFFD_COPY_ _IOWR(0xAA, 0x03, alps_uffd_filling)
#define ALPS_UFFD_MOVE_ _IOWR(0xAA, 0x05, alps_uffd_filling)
#define ALPS_UFFD_POISON_ _IOWR(0xAA, 0x08, alps_uffd_spoiling)

#define ALPS_UFFD_MISSING_ 1u    /* to register: tells of what is not there */
#define ALPS_UFFD_FILL_SLEEP_ 1u /* to fill: who waits for it goes on waiting */
#define ALPS_UFFD_FILL_PROTECT_ 2u /* to copy: nobody may store to it */
#define ALPS_UFFD_USER_ 1          /* to open: faults of system calls fail */
#define ALPS_UFFD_STORE_ 3u        /* of an event: it was a store */

/* What a system has: protection since 5.7, the rest since the number beside. */
#define ALPS_UFFD_HAS_PROTECT_ (1ull << 0)
#define ALPS_UFFD_HAS_THREAD_ (1ull << 8)  /* 4.14 */
#define ALPS_UFFD_HAS_POISON_ (1ull << 14) /* 6.6 */
#define ALPS_UFFD_HAS_MOVE_ (1ull << 16)   /* 6.8 */

#define ALPS_DONTNEED_LOCKED_ 24

/* Pages that are poisoned and will be tried again. */
#define ALPS_UFFD_SPOILT_ 16u

typedef struct alps_uffd {
    int fd;           /* what tells of faults, or -1 */
    int stop;         /* an eventfd that ends the thread, or -1 */
    int hole;         /* an empty file, if nothing can be poisoned; or -1 */
    int part;         /* 1: faults of system calls fail */
    int serves;       /* 1: there is a thread */
    int stores;       /* 1: the last fault was a store */
    uint64_t has;     /* ALPS_UFFD_HAS_... */
    uint64_t segment; /* bytes that come and go at once */
    unsigned char *bounce; /* a segment that is filled before it is shown */
    unsigned char *guess;  /* one that nobody has asked for yet; or NULL */
    unsigned busy;         /* how often a fault in a row had to wait */
    unsigned spoilt_n;
    uint64_t spoilt[ALPS_UFFD_SPOILT_]; /* addresses */
    pthread_t thread;
} alps_uffd;

ALPS_COLD_ int alps_uffd_ask_(const alps_uffd *u, unsigned long what,
                              void *with)
{
    long rc;
    do
        rc = ALPS_UFFD_CALL(u->fd, what, with);
    while (rc && (errno == EINTR || errno == EAGAIN));
    return rc ? alps_oserror_() : ALPS_OK;
}

/* One that tells of all faults, if this process may have it; or, with `some`,
 * one that tells of those of threads alone. */
ALPS_COLD_ int alps_uffd_get_(alps_uffd *u, int some)
{
    int flags = O_CLOEXEC | O_NONBLOCK;
    u->part = 0;
    u->fd = (int)syscall(SYS_userfaultfd, flags);
    int device = u->fd < 0 ? open("/dev/userfaultfd", O_RDWR | O_CLOEXEC) : -1;
    if (device >= 0) {
        u->fd = (int)ALPS_UFFD_CALL(device, ALPS_UFFD_NEW_, (long)flags);
        close(device);
    }
    if (u->fd < 0 && some) {
        u->fd = (int)syscall(SYS_userfaultfd, flags | ALPS_UFFD_USER_);
        u->part = 1;
    }
    return u->fd < 0 ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* Opens it with what the system has of what is needed. It says what it has only
 * to one that is not used for anything else. */
ALPS_COLD_ int alps_uffd_open_(alps_uffd *u, int some)
{
    const uint64_t all = ALPS_UFFD_HAS_PROTECT_ | ALPS_UFFD_HAS_THREAD_ |
                         ALPS_UFFD_HAS_POISON_ | ALPS_UFFD_HAS_MOVE_;
    alps_uffd_api api = {0xAA, 0, 0};
    int err = alps_uffd_get_(u, some);
    if (err)
        return err;
    err = alps_uffd_ask_(u, ALPS_UFFD_API_, &api);
    close(u->fd);
    u->fd = -1;
    u->has = api.features & all;
    if (err || !(u->has & ALPS_UFFD_HAS_PROTECT_))
        return ALPS_EUNSUPPORTED;
    err = alps_uffd_get_(u, some);
    if (err)
        return err;
    api.api = 0xAA;
    api.features = u->has;
    return alps_uffd_ask_(u, ALPS_UFFD_API_, &api) ? ALPS_EUNSUPPORTED
                                                   : ALPS_OK;
}

/* Addresses that are held become memory whose faults are told. Nobody sees it
 * before they are, and the child of a fork does not get it. */
ALPS_COLD_ int alps_uffd_take_(const alps_uffd *u, unsigned char *at,
                               uint64_t n)
{
    alps_uffd_register all = {(uint64_t)(uintptr_t)at, n,
                              ALPS_UFFD_MISSING_ | ALPS_UFFD_PROTECT_, 0};
    long p = syscall(SYS_mmap, at, n, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                     -1, 0L);
    if (p == -1 || syscall(SYS_madvise, at, n, MADV_DONTFORK))
        return alps_oserror_();
    syscall(SYS_madvise, at, n, MADV_NOHUGEPAGE); // they come and go as a whole
    int err = alps_uffd_ask_(u, ALPS_UFFD_REGISTER_, &all);
    if (err)
        return err;
    return syscall(SYS_mprotect, at, n, PROT_READ | PROT_WRITE)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Fills `n` bytes at `to`, of which nothing is there, by a copy of those at
 * `from` or by the pages themselves. `*did` are those that were. Threads that
 * wait are woken by the server, when it has written down what is there. */
ALPS_COLD_ int alps_uffd_fill_(const alps_uffd *u, unsigned long what,
                               unsigned char *to, const unsigned char *from,
                               uint64_t n, uint64_t mode, uint64_t *did)
{
    *did = 0;
    while (*did < n) {
        alps_uffd_filling f = {(uint64_t)(uintptr_t)to + *did,
                               (uint64_t)(uintptr_t)from + *did, n - *did,
                               mode | ALPS_UFFD_FILL_SLEEP_, 0};
        long rc = ALPS_UFFD_CALL(u->fd, what, &f);
        if (f.done > 0)
            *did += (uint64_t)f.done;
        if (rc && errno != EINTR && errno != EAGAIN)
            return alps_oserror_();
    }
    return ALPS_OK;
}

/* Nobody may store to it; or threads may again, and those that wait go on. */
ALPS_COLD_ int alps_uffd_protect_(const alps_uffd *u, unsigned char *at,
                                  uint64_t n, int on)
{
    alps_uffd_change change = {(uint64_t)(uintptr_t)at, n, on != 0};
    return alps_uffd_ask_(u, ALPS_UFFD_CHANGE_, &change);
}

/* Threads that wait for it try again. */
ALPS_COLD_ void alps_uffd_wake_(const alps_uffd *u, uint64_t at, uint64_t n)
{
    alps_uffd_range range = {at, n};
    alps_uffd_ask_(u, ALPS_UFFD_WAKE_, &range);
}

/* What is there is not there any more. */
ALPS_COLD_ int alps_uffd_drop_(unsigned char *at, uint64_t n)
{
    if (syscall(SYS_madvise, at, n, ALPS_DONTNEED_LOCKED_) &&
        syscall(SYS_madvise, at, n, MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* ---- memory that cannot be had ------------------------------------------- */

/* A touch of the page at `at`, of which nothing is there, is SIGBUS from now
 * on, and EFAULT to a system call. Where the system cannot poison it, so is all
 * of the segment, for good. */
ALPS_COLD_ int alps_uffd_spoil_(alps_uffd *u, uint64_t at)
{
    alps_uffd_spoiling s = {at, alps_system_page_(), 0, 0};
    if (!(u->has & ALPS_UFFD_HAS_POISON_))
        return syscall(SYS_mmap, at & ~(u->segment - 1), u->segment,
                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, u->hole,
                       0L) == -1
                   ? alps_oserror_()
                   : ALPS_OK;
    if (u->spoilt_n == ALPS_UFFD_SPOILT_)
        return ALPS_EFULL;
    int err = alps_uffd_ask_(u, ALPS_UFFD_POISON_, &s);
    if (err)
        return err;
    u->spoilt[u->spoilt_n] = at;
    __atomic_store_n(&u->spoilt_n, u->spoilt_n + 1, __ATOMIC_RELAXED);
    return ALPS_OK;
}

/* What was poisoned in [from, from + n) is told of again. */
ALPS_COLD_ void alps_uffd_mend_(alps_uffd *u, uint64_t from, uint64_t n)
{
    unsigned left = 0;
    for (unsigned i = 0; i < u->spoilt_n; i++) {
        uint64_t at = u->spoilt[i];
        if (at - from >= n || alps_uffd_drop_((unsigned char *)(uintptr_t)at,
                                              alps_system_page_()))
            u->spoilt[left++] = at;
    }
    __atomic_store_n(&u->spoilt_n, left, __ATOMIC_RELAXED);
}

/* Ends all of it but the thread, and the mappings that are others'. */
ALPS_COLD_ void alps_uffd_close_(alps_uffd *u)
{
    int *const fd[] = {&u->fd, &u->stop, &u->hole};
    for (unsigned i = 0; i < 3; i++) {
        if (*fd[i] >= 0)
            close(*fd[i]);
        *fd[i] = -1;
    }
}

/* pool.h -- a pool of frames: all the memory that a paged region has
 *
 * One memory file, cut into frames of a segment each. It is mapped twice as a
 * whole, to be written and to be read, for the library's own eyes; a frame is
 * *shown* in the region by a third mapping of the same pages, and hidden by one
 * of nothing. Either is one system call, so that a thread sees all of a segment
 * or none of it, whatever others do.
 *
 * A shown frame is a copy of its place in the pool made by mremap(): so it
 * keeps what was said of the pool, that a child of fork() does not get it.
 * Where a system cannot, it is mapped and then told so. */

#define ALPS_REMAP_MOVE_ 3u /* MREMAP_MAYMOVE | MREMAP_FIXED */
#define ALPS_POPULATE_READ_ 22

#define ALPS_NO_SEGMENT (~(uint32_t)0)
#define ALPS_NO_FRAME (~(uint32_t)0)

/* What a frame is to the region. */
enum {
    ALPS_FRAME_FREE = 0,
    ALPS_FRAME_HIDDEN = 1, /* has a segment, but no mapping */
    ALPS_FRAME_READ = 2,   /* shown, to be read */
    ALPS_FRAME_WRITE = 3   /* shown, to be written */
};

/* Added to `pins` while one of them is for the system to store. */
#define ALPS_PINNED_STORE_ 0x8000u

/* A free frame of userfaultfd has pages at its place, of no content. */
#define ALPS_KEPT_ 3u

typedef struct alps_page_frame {
    uint64_t born;    /* the number of the fault that last showed it */
    uint32_t segment; /* what is in it, or ALPS_NO_SEGMENT */
    uint16_t pins;    /* who wants it to stay; and ALPS_PINNED_STORE_ */
    uint8_t state;    /* ALPS_FRAME_... */
    uint8_t dirty;    /* 1: the file does not have all of it; 2: and the
                         cleaner has come by once. A free one: ALPS_KEPT_ */
} alps_page_frame;
ALPS_STATIC_ASSERT_(sizeof(alps_page_frame) == 16, "size");

typedef struct alps_pool {
    alps_uffd *uffd;          /* what tells of faults; NULL: it is rewired */
    unsigned char *base;      /* of the region */
    uint64_t segment;         /* bytes of a frame */
    unsigned char *write;     /* all frames */
    const unsigned char *see; /* the same, to be read */
    alps_page_frame *frame;   /* the table */
    uint32_t n;               /* frames */
    uint32_t used;            /* so many have memory */
    uint32_t fresh;           /* frames from here on were never used */
    uint32_t bare;            /* one before that without memory; its `segment`
                                 is the next */
    uint32_t spare;           /* a free one before that, or ALPS_NO_FRAME; its
                                 `segment` is the next */
    int fd;
    int plain; /* 1: mremap cannot do it here */
} alps_pool;

/* Memory of this process that reads as zero, lent as it is touched. */
ALPS_COLD_ void *alps_pool_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* A file without a name, in memory. */
ALPS_COLD_ int alps_pool_file_(uint64_t n)
{
    int fd = -1;
#ifdef SYS_memfd_create // since Linux 3.17
    fd = (int)syscall(SYS_memfd_create, "alps-paged", 1u /* MFD_CLOEXEC */);
#endif
    if (fd < 0) { // a sandbox may refuse it
        char name[64];
        snprintf(name, sizeof name, "/dev/shm/alps-paged-%016llx",
                 (unsigned long long)alps_random_());
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlink(name);
    }
    if (fd >= 0 && ftruncate(fd, (off_t)n)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* All of the pool at once; the child of a fork does not get it. */
ALPS_COLD_ unsigned char *alps_pool_map_(const alps_pool *pool, int may)
{
    size_t n = (size_t)(pool->n * pool->segment);
    void *p = mmap(NULL, n, may, MAP_SHARED, pool->fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!madvise(p, n, MADV_DONTFORK))
        return (unsigned char *)p;
    munmap(p, n);
    return NULL;
}

ALPS_FN_ unsigned char *alps_pool_at_(const alps_pool *pool, uint32_t frame)
{
    return pool->write + frame * pool->segment;
}

/* Nothing is to be seen at `at`, for as long as a segment. */
ALPS_COLD_ int alps_pool_hide_(const alps_pool *pool, unsigned char *at,
                               uint64_t segments)
{
    long p = syscall(SYS_mmap, at, segments * pool->segment, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                     -1, 0L);
    return p == -1 ? alps_oserror_() : ALPS_OK;
}

/* The frame is to be seen at `at`; what was there is not, from the same moment
 * on. By system calls and not by the library's functions: this is for signal
 * handlers. */
ALPS_COLD_ int alps_pool_show_(const alps_pool *pool, uint32_t frame,
                               unsigned char *at, int write)
{
    uint64_t off = frame * pool->segment;
    long p;
    if (!pool->plain) {
        p = syscall(SYS_mremap, write ? pool->write + off : pool->see + off, 0L,
                    pool->segment, ALPS_REMAP_MOVE_, at);
    } else {
        p = syscall(SYS_mmap, at, pool->segment,
                    write ? PROT_READ | PROT_WRITE : PROT_READ,
                    MAP_SHARED | MAP_FIXED, pool->fd, (long)off);
        if (p != -1)
            syscall(SYS_madvise, at, pool->segment, MADV_DONTFORK);
    }
    if (p == -1) {
        int err = alps_oserror_();
        alps_pool_hide_(pool, at, 1); // it may have gone so far
        return err;
    }
    // One call, and not a fault for each page. As if to be read: what may be
    // written is so at once, and where several pages are seen at a stroke.
    if (pool->segment > ALPS_PAGE)
        syscall(SYS_madvise, at, pool->segment, ALPS_POPULATE_READ_);
    return ALPS_OK;
}

/* Whether a frame that is shown is the frame. */
ALPS_COLD_ int alps_pool_try_(const alps_pool *pool)
{
    unsigned char *at = alps_hold_addresses_(pool->segment, ALPS_PAGE);
    if (!at)
        return ALPS_ENOMEM;
    int err = alps_pool_show_(pool, 0, at, 1);
    if (!err) {
        volatile unsigned char *shown = at;
        *shown = 1;
        if (*(volatile unsigned char *)pool->write != 1)
            err = ALPS_EUNSUPPORTED;
        *shown = 0;
    }
    munmap(at, (size_t)pool->segment);
    return err;
}

ALPS_COLD_ void alps_pool_close_(alps_pool *pool)
{
    size_t n = (size_t)(pool->n * pool->segment);
    if (pool->write)
        munmap(pool->write, n);
    if (pool->see)
        munmap((void *)(uintptr_t)pool->see, n);
    if (pool->frame)
        munmap(pool->frame, pool->n * sizeof *pool->frame);
    if (pool->fd >= 0)
        close(pool->fd);
    memset(pool, 0, sizeof *pool);
    pool->fd = -1;
}

/* A pool of `n` frames that have no pages, and no memory file. */
ALPS_COLD_ int alps_pool_told_(alps_pool *pool, alps_uffd *u, uint32_t n,
                               uint64_t segment)
{
    memset(pool, 0, sizeof *pool);
    pool->uffd = u;
    pool->n = n;
    pool->segment = segment;
    pool->spare = pool->bare = ALPS_NO_FRAME;
    pool->fd = -1;
    pool->frame = (alps_page_frame *)alps_pool_memory_(n * sizeof *pool->frame);
    if (u->has & ALPS_UFFD_HAS_MOVE_)
        pool->write = alps_hold_addresses_(n * segment, segment);
    if (!pool->frame || (u->has & ALPS_UFFD_HAS_MOVE_ && !pool->write))
        return ALPS_ENOMEM;
    return pool->write ? alps_uffd_take_(u, pool->write, n * segment) : ALPS_OK;
}

/* Makes a pool of `n` frames, and tries the first. */
ALPS_COLD_ int alps_pool_open_(alps_pool *pool, uint32_t n, uint64_t segment)
{
    memset(pool, 0, sizeof *pool);
    pool->n = n;
    pool->segment = segment;
    pool->spare = pool->bare = ALPS_NO_FRAME;
    pool->fd = alps_pool_file_(n * segment);
    if (pool->fd >= 0) {
        pool->frame =
            (alps_page_frame *)alps_pool_memory_(n * sizeof *pool->frame);
        pool->write = alps_pool_map_(pool, PROT_READ | PROT_WRITE);
        pool->see = alps_pool_map_(pool, PROT_READ);
    }
    int err = ALPS_EUNSUPPORTED;
    if (pool->fd >= 0 && pool->frame && pool->write && pool->see)
        err = alps_pool_try_(pool);
    if (err && pool->write && pool->see && pool->frame) {
        pool->plain = 1;
        err = alps_pool_try_(pool);
    }
    if (err)
        alps_pool_close_(pool);
    return err;
}

/* A free frame that has memory, or ALPS_NO_FRAME. */
ALPS_FN_ uint32_t alps_pool_take_(alps_pool *pool)
{
    uint32_t frame = pool->spare;
    if (frame != ALPS_NO_FRAME)
        pool->spare = pool->frame[frame].segment;
    return frame;
}

/* One that has none yet, or ALPS_NO_FRAME; it has from now on. */
ALPS_FN_ uint32_t alps_pool_more_(alps_pool *pool)
{
    uint32_t frame = pool->bare;
    if (frame != ALPS_NO_FRAME)
        pool->bare = pool->frame[frame].segment;
    else if (pool->fresh < pool->n)
        frame = pool->fresh++;
    if (frame != ALPS_NO_FRAME)
        __atomic_store_n(&pool->used, pool->used + 1, __ATOMIC_RELAXED);
    return frame;
}

/* The memory of a free frame goes back to the system; 0 if there is none. */
ALPS_COLD_ int alps_pool_less_(alps_pool *pool)
{
    uint32_t frame = alps_pool_take_(pool);
    if (frame == ALPS_NO_FRAME)
        return 0;
    alps_page_frame *f = &pool->frame[frame];
    if (f->dirty == ALPS_KEPT_)
        alps_uffd_drop_(alps_pool_at_(pool, frame), pool->segment);
    f->dirty = 0;
    if (!pool->uffd && // else it has no more
        syscall(SYS_fallocate, pool->fd, 3L /* PUNCH_HOLE | KEEP_SIZE */,
                (long)(frame * pool->segment), (long)pool->segment)) {
        f->segment = pool->spare;
        pool->spare = frame;
        return 0;
    }
    f->segment = pool->bare;
    pool->bare = frame;
    __atomic_store_n(&pool->used, pool->used - 1, __ATOMIC_RELAXED);
    return 1;
}

/* Bytes of frames [from, to) that are dirty. */
ALPS_FN_ uint64_t alps_pool_dirty_(const alps_pool *pool, uint32_t from,
                                   uint32_t to)
{
    uint64_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += pool->frame[i].dirty != 0;
    return n * pool->segment;
}

ALPS_FN_ void alps_pool_give_(alps_pool *pool, uint32_t frame)
{
    alps_page_frame *f = &pool->frame[frame];
    memset(f, 0, sizeof *f);
    f->segment = pool->spare;
    pool->spare = frame;
}

/* One that was taken and is not used after all: it has what it had. */
ALPS_FN_ void alps_pool_return_(alps_pool *pool, uint32_t frame)
{
    uint8_t kept = pool->frame[frame].dirty;
    alps_pool_give_(pool, frame);
    pool->frame[frame].dirty = kept;
}

/* view.h -- how a frame is seen in the region, for either engine
 *
 * Rewired, a frame is pages of the pool, and shown by one more mapping of them.
 * With userfaultfd it is so many pages of this process: while it is shown they
 * are in the region itself, and while it is hidden at its place in the pool. In
 * both cases nobody sees a page of it that is not filled, and nobody stores to
 * it but while it is ALPS_FRAME_WRITE. All of it under the pager's latch. */

/* How long is waited for memory of the system, where nothing else is left. */
#define ALPS_VIEW_NAP_ 1000000 /* nanoseconds */

/* Where the region has it. */
ALPS_FN_ unsigned char *alps_view_in_(const alps_pool *pool, uint32_t frame)
{
    return pool->base + pool->frame[frame].segment * pool->segment;
}

/* Where its bytes are: those of a free one are filled there before it is shown;
 * others may be read there, and stored to while it is ALPS_FRAME_WRITE. */
ALPS_FN_ unsigned char *alps_view_at_(const alps_pool *pool, uint32_t frame)
{
    const alps_page_frame *f = &pool->frame[frame];
    if (pool->uffd && f->state > ALPS_FRAME_HIDDEN)
        return alps_view_in_(pool, frame);
    if (pool->uffd && f->state == ALPS_FRAME_FREE && f->dirty != ALPS_KEPT_)
        return pool->uffd->bounce;
    return alps_pool_at_(pool, frame);
}

/* Where a free frame is filled while others are, for it will be hidden. */
ALPS_FN_ unsigned char *alps_view_aside_(const alps_pool *pool, uint32_t frame)
{
    if (pool->uffd && pool->frame[frame].dirty != ALPS_KEPT_)
        return pool->uffd->guess;
    return alps_pool_at_(pool, frame);
}

/* What was filled there is in the pool from now on. */
ALPS_COLD_ int alps_view_keep_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    unsigned char *at = alps_pool_at_(pool, frame);
    const unsigned char *from = alps_view_aside_(pool, frame);
    if (from == at)
        return ALPS_OK;
    int err = alps_uffd_fill_(pool->uffd, ALPS_UFFD_COPY_, at, from,
                              pool->segment, 0, &did);
    if (err)
        alps_uffd_drop_(at, pool->segment);
    return err;
}

/* Shows a copy of what is at `from`. Until all of it is there it is to be read
 * only: so what was there can be dropped again where the rest cannot be had. */
ALPS_COLD_ int alps_view_copy_(const alps_uffd *u, unsigned char *at,
                               const unsigned char *from, uint64_t n, int write)
{
    uint64_t did;
    int err = alps_uffd_fill_(u, ALPS_UFFD_COPY_, at, from, n,
                              ALPS_UFFD_FILL_PROTECT_, &did);
    if (!err && write)
        err = alps_uffd_protect_(u, at, n, 0);
    if (err)
        alps_uffd_drop_(at, n);
    return err;
}

/* Bytes [did, n) of it come from its place in the pool, to be written. They
 * have to, for the rest may have been stored to: where there is no memory, it
 * waits for some. */
ALPS_COLD_ void alps_view_rest_(const alps_pool *pool, uint32_t frame,
                                uint64_t did, uint64_t n)
{
    struct timespec nap = {0, ALPS_VIEW_NAP_};
    unsigned char *at = alps_view_in_(pool, frame);
    unsigned char *from = alps_pool_at_(pool, frame);
    for (uint64_t k; did < n; did += k)
        if (alps_uffd_fill_(pool->uffd, ALPS_UFFD_COPY_, at + did, from + did,
                            n - did, 0, &k))
            syscall(SYS_nanosleep, &nap, NULL);
    alps_uffd_drop_(from, pool->segment);
}

/* The first `n` bytes of it have gone to the pool, the rest cannot: it comes
 * back, and may have been stored to. */
ALPS_COLD_ void alps_view_return_(const alps_pool *pool, uint32_t frame,
                                  uint64_t n)
{
    alps_view_rest_(pool, frame, 0, n);
    alps_uffd_protect_(pool->uffd, alps_view_in_(pool, frame), pool->segment,
                       0);
    pool->frame[frame].state = ALPS_FRAME_WRITE;
    pool->frame[frame].dirty = 1;
}

/* Shows its pages that are in the pool, to be written: by themselves. */
ALPS_COLD_ int alps_view_move_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    int err =
        alps_uffd_fill_(pool->uffd, ALPS_UFFD_MOVE_, alps_view_in_(pool, frame),
                        alps_pool_at_(pool, frame), pool->segment, 0, &did);
    if (err && did)
        alps_view_rest_(pool, frame, did, pool->segment);
    return did ? ALPS_OK : err;
}

/* Shows it where the region has it, to be read or to be written. Its state is
 * the caller's to change. */
ALPS_COLD_ int alps_view_show_(const alps_pool *pool, uint32_t frame, int write)
{
    unsigned char *at = alps_view_in_(pool, frame);
    if (!pool->uffd)
        return alps_pool_show_(pool, frame, at, write);
    if (pool->uffd->spoilt_n)
        alps_uffd_mend_(pool->uffd, (uint64_t)(uintptr_t)at, pool->segment);
    unsigned char *from = alps_view_at_(pool, frame);
    int pooled = from != pool->uffd->bounce;
    if (pooled && write && !alps_view_move_(pool, frame))
        return ALPS_OK;
    int err = alps_view_copy_(pool->uffd, at, from, pool->segment, write);
    if (!err && pooled)
        alps_uffd_drop_(from, pool->segment);
    return err;
}

/* Hides it. ALPS_EUNSUPPORTED: the system cannot move pages; ALPS_EBUSY: it is
 * reading or storing to some itself, and they stay where they are. */
ALPS_COLD_ int alps_view_hide_(const alps_pool *pool, uint32_t frame)
{
    uint64_t did;
    unsigned char *at = alps_view_in_(pool, frame);
    if (!pool->uffd)
        return alps_pool_hide_(pool, at, 1);
    if (!(pool->uffd->has & ALPS_UFFD_HAS_MOVE_))
        return ALPS_EUNSUPPORTED;
    int err =
        alps_uffd_fill_(pool->uffd, ALPS_UFFD_MOVE_, alps_pool_at_(pool, frame),
                        at, pool->segment, 0, &did);
    if (err && did)
        alps_view_return_(pool, frame, did);
    return err;
}

/* Changes what may be done with bytes [from, to) of a shown frame. */
ALPS_COLD_ int alps_view_protect_(const alps_pool *pool, uint32_t frame,
                                  uint64_t from, uint64_t to, int may)
{
    unsigned char *at = alps_view_in_(pool, frame) + from;
    if (pool->uffd)
        return alps_uffd_protect_(pool->uffd, at, to - from,
                                  !(may & PROT_WRITE));
    return syscall(SYS_mprotect, at, (size_t)(to - from), (long)may)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Nobody stores to it from now on, for it is to go: hidden; or protected, where
 * it is that by itself or cannot be hidden. */
ALPS_COLD_ int alps_view_still_(const alps_pool *pool, uint32_t frame)
{
    alps_page_frame *f = &pool->frame[frame];
    if (pool->uffd && f->state == ALPS_FRAME_READ && !f->dirty)
        return ALPS_OK;
    unsigned still = ALPS_FRAME_HIDDEN;
    int err = alps_view_hide_(pool, frame);
    if (err == ALPS_EUNSUPPORTED && pool->uffd) {
        still = ALPS_FRAME_READ;
        err = alps_view_protect_(pool, frame, 0, pool->segment, PROT_READ);
    }
    if (!err)
        f->state = (uint8_t)still;
    return err;
}

/* Nothing of it is needed any more; it is still, and free from now on. If it is
 * in the pool, and another segment is wanted to be stored to, its pages stay
 * there for that one. */
ALPS_COLD_ void alps_view_drop_(alps_pool *pool, uint32_t frame)
{
    int keeps = pool->uffd && pool->uffd->stores &&
                pool->frame[frame].state == ALPS_FRAME_HIDDEN;
    if (pool->uffd && !keeps)
        alps_uffd_drop_(alps_view_at_(pool, frame), pool->segment);
    alps_pool_give_(pool, frame);
    if (keeps)
        pool->frame[frame].dirty = ALPS_KEPT_;
}

/* ---- from end to end ----------------------------------------------------- */

/* The addresses of the region tell of faults from now on, whatever was there;
 * `n` are whole segments. With userfaultfd nobody touches them meanwhile. */
ALPS_COLD_ int alps_view_begin_(const alps_pool *pool, uint64_t n)
{
    return pool->uffd ? alps_uffd_take_(pool->uffd, pool->base, n)
                      : alps_pool_hide_(pool, pool->base, n / pool->segment);
}

/* The region ends at `to` now, and not at `from`: what was spoilt because it
 * was behind the end is whole. */
ALPS_COLD_ void alps_view_more_(const alps_pool *pool, uint64_t from,
                                uint64_t to)
{
    const alps_uffd *u = pool->uffd;
    from = alps_round_up_(from, pool->segment);
    to = alps_round_up_(to, pool->segment);
    if (u && u->hole >= 0 && from < to)
        alps_uffd_take_(u, pool->base + from, to - from);
}

/* fault.h -- a thread touched what is not in memory
 *
 * The system calls one function for the whole process and hands it an address.
 * The library keeps nothing of its own outside of handles and regions, so the
 * object that this function starts from is the program's: one ALPS_HANDLER at
 * file scope, in one unit. It lists the ranges that are the library's. What
 * lies in none of them goes to whoever had the signal before, as if we were not
 * there; and when the last range is gone, so is our handler. */
#include <ucontext.h>

/* How memory was touched, where the machine tells. */
enum { ALPS_TOUCH_READ = 0, ALPS_TOUCH_WRITE = 1, ALPS_TOUCH_UNKNOWN = 2 };

/* The C library tells it to GNU programs only. */
#define ALPS_WIPEONFORK_ 18

/* What a range answers that does not know what to do about a fault. */
#define ALPS_NOT_OURS 1

/* A range of addresses whose faults are served. */
typedef struct alps_fault_range {
    unsigned char *from;
    uint64_t n;
    int (*touched)(void *context, uint64_t off, int how); /* 0, a code, or
                                                             ALPS_NOT_OURS */
    void *context;
    struct alps_fault_range *next;
} alps_fault_range;

/* What is kept for a handler, from the first range on. The first part is empty
 * in the child of a fork: whatever its parent did at that moment, no fault is
 * ours there, until the child opens a region for itself. */
#define ALPS_FAULTING_PART_ ((size_t)65536) /* pages, on every machine */
typedef struct alps_faulting {
    uint32_t latch;
    alps_fault_range *first;
} alps_faulting;

typedef struct alps_faulted {
    struct sigaction before; /* who had the signal */
    int installed;
} alps_faulted;

ALPS_FN_ alps_faulted *alps_fault_kept_(alps_faulting *f)
{
    return (alps_faulted *)(void *)((char *)f + ALPS_FAULTING_PART_);
}

/* The program's handler. All its regions share one; or have one each. */
typedef struct alps_faults {
    void (*handler)(int signal, siginfo_t *info, void *context);
    alps_faulting *state;
} alps_faults;

/* Defines the handler `name`, at file scope, in one unit of the program. Other
 * units see it by defining ALPS_FAULTS as `name` before they include alps.h, or
 * by `extern alps_faults name;`. */
#define ALPS_HANDLER(name)                                         \
  static void name##_signal(int, siginfo_t *, void *);             \
  alps_faults name = {name##_signal, NULL};                        \
  static void name##_signal(int n, siginfo_t *info, void *machine) \
  {                                                                \
    alps_fault_signal_(&name, n, info, machine);                   \
  }                                                                \
  struct alps_faults

/* What the machine says of the access: bits of the page fault on x86. */
ALPS_FN_ int alps_fault_how_(const void *machine, int *code)
{
    *code = 0;
#if defined(__x86_64__)
    const ucontext_t *u = (const ucontext_t *)machine;
    long long bits = u->uc_mcontext.gregs[19]; // REG_ERR
    *code = (bits & 16) != 0;                  // it was an instruction
    return bits & 2 ? ALPS_TOUCH_WRITE : ALPS_TOUCH_READ;
#else
    (void)machine;
    return ALPS_TOUCH_UNKNOWN;
#endif
}

/* Ends the process by `n`, as the system would have. A fault comes again by
 * itself; what was sent is sent again. */
ALPS_COLD_ void alps_fault_default_(int n, int sent)
{
    struct sigaction plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    sigaction(n, &plain, NULL);
    if (sent)
        syscall(SYS_tgkill, (long)getpid(), syscall(SYS_gettid), (long)n);
}

/* Does what `to` says about a signal that came in `machine`. */
ALPS_COLD_ void alps_fault_chain_(const struct sigaction *to, int n, int sent,
                                  siginfo_t *info, void *machine)
{
    const ucontext_t *u = (const ucontext_t *)machine;
    int plain = !(to->sa_flags & SA_SIGINFO);
    if (plain && to->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    if (plain && (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN)) {
        alps_fault_default_(n, sent);
        return;
    }
    sigset_t mask = u->uc_sigmask;
    for (int i = 1; i < 64; i++)
        if (sigismember(&to->sa_mask, i) == 1)
            sigaddset(&mask, i);
    if (!(to->sa_flags & SA_NODEFER))
        sigaddset(&mask, n);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (plain)
        to->sa_handler(n);
    else
        to->sa_sigaction(n, info, machine);
}

/* The medium could not be read: the thread gets what it would get of a mapping
 * that the system cannot fill. If the program's handler comes back, the access
 * is tried again. */
ALPS_COLD_ void alps_fault_bus_(siginfo_t *info, void *machine)
{
    struct sigaction to;
    siginfo_t bus;
    memset(&bus, 0, sizeof bus);
    bus.si_signo = SIGBUS;
    bus.si_code = BUS_ADRERR;
    bus.si_addr = info->si_addr;
    if (!sigaction(SIGBUS, NULL, &to))
        alps_fault_chain_(&to, SIGBUS, 1, &bus, machine);
}

/* The range that `at` lies in, or NULL. */
ALPS_FN_ alps_fault_range *alps_fault_range_(alps_faulting *f, uintptr_t at)
{
    alps_fault_range *range;
    alps_latch_take_(&f->latch);
    for (range = f->first; range; range = range->next)
        if (at - (uintptr_t)range->from < range->n)
            break;
    alps_latch_give_(&f->latch);
    return range;
}

/* Whoever had the signal before us has it now. */
ALPS_COLD_ void alps_fault_pass_(alps_faulting *f, int n, siginfo_t *info,
                                 void *machine)
{
    int sent = info->si_code <= 0;
    if (f)
        alps_fault_chain_(&alps_fault_kept_(f)->before, n, sent, info, machine);
    else
        alps_fault_default_(n, sent);
}

/* What ALPS_HANDLER makes the system call. All signals wait meanwhile. */
ALPS_COLD_ void alps_fault_signal_(alps_faults *faults, int n, siginfo_t *info,
                                   void *machine)
{
    int saved = errno, found = ALPS_NOT_OURS, code = 0;
    alps_faulting *f = __atomic_load_n(&faults->state, __ATOMIC_ACQUIRE);
    int how = alps_fault_how_(machine, &code);
    uintptr_t at = (uintptr_t)info->si_addr;
    if (f && !code && info->si_code == SEGV_ACCERR) {
        const alps_fault_range *range = alps_fault_range_(f, at);
        if (range)
            found = range->touched(range->context, at - (uintptr_t)range->from,
                                   how);
    }
    errno = saved;
    if (found == ALPS_NOT_OURS)
        alps_fault_pass_(f, n, info, machine);
    else if (found)
        alps_fault_bus_(info, machine);
}

/* Whether the signal comes to us. */
ALPS_COLD_ int alps_fault_current_(const alps_faults *faults)
{
    struct sigaction now;
    return !sigaction(SIGSEGV, NULL, &now) && now.sa_flags & SA_SIGINFO &&
           now.sa_sigaction == faults->handler;
}

/* Makes the signal come to us, and notes who had it. One who came after us and
 * hands on to us may stay where he is. */
ALPS_COLD_ int alps_fault_install_(alps_faults *faults)
{
    struct sigaction to;
    alps_faulted *kept = alps_fault_kept_(faults->state);
    if (kept->installed)
        return ALPS_OK;
    memset(&to, 0, sizeof to);
    to.sa_sigaction = faults->handler;
    to.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&to.sa_mask);
    if (sigaction(SIGSEGV, NULL, &kept->before) ||
        sigaction(SIGSEGV, &to, NULL))
        return alps_oserror_();
    kept->installed = 1;
    return ALPS_OK;
}

/* The page that a handler has, made for the first range and kept. */
ALPS_COLD_ alps_faulting *alps_fault_state_(alps_faults *faults)
{
    alps_faulting *none = NULL, *f = NULL;
    f = __atomic_load_n(&faults->state, __ATOMIC_ACQUIRE);
    if (f)
        return f;
    f = (alps_faulting *)alps_pool_memory_(2 * ALPS_FAULTING_PART_);
    if (f)
        madvise(f, ALPS_FAULTING_PART_, ALPS_WIPEONFORK_);
    if (f && !__atomic_compare_exchange_n(&faults->state, &none, f, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(f, 2 * ALPS_FAULTING_PART_);
        f = none;
    }
    return f;
}

/* Faults in `range` are served from now on. */
ALPS_COLD_ int alps_fault_attach_(alps_faults *faults, alps_fault_range *range)
{
    sigset_t old;
    alps_faulting *f = alps_fault_state_(faults);
    if (!f)
        return ALPS_ENOMEM;
    alps_latch_enter_(&f->latch, &old);
    int err = alps_fault_install_(faults);
    if (!err) {
        range->next = f->first;
        f->first = range;
    }
    alps_latch_leave_(&f->latch, &old);
    return err;
}

/* No longer. Behind the last one goes the handler, unless somebody came after
 * us: he may hand on to us, and then we hand on. */
ALPS_COLD_ void alps_fault_detach_(alps_faults *faults,
                                   const alps_fault_range *range)
{
    sigset_t old;
    alps_faulting *f = faults->state;
    alps_latch_enter_(&f->latch, &old);
    for (alps_fault_range **at = &f->first; *at; at = &(*at)->next)
        if (*at == range) {
            *at = range->next;
            break;
        }
    if (!f->first && alps_fault_current_(faults) &&
        !sigaction(SIGSEGV, &alps_fault_kept_(f)->before, NULL))
        alps_fault_kept_(f)->installed = 0;
    alps_latch_leave_(&f->latch, &old);
}

/* victim.h -- who goes when memory is full: the contract, and queues
 *
 * An eviction policy is a table of functions over a state of its own. It is
 * told what happens to each frame and names, when asked, the frames that it
 * would rather see go, best first. It cannot do harm: the pager lets nobody go
 * who is pinned, or was among the last to come, whatever the policy says; so no
 * policy can take from an instruction the segments that it needs at once (LIFO
 * and WIRO-L as they were live-lock on one store over two segments).
 *
 * Nothing in user space sees which page was read lately. What a policy can have
 * is a frame hidden: its segment stays in memory, and the next use of it is a
 * fault that costs no input or output, and tells. */

/* What a policy is told of a frame. */
enum {
    ALPS_TOLD_READ = 1,   /* a segment was brought into it, to be read */
    ALPS_TOLD_WRITE = 2,  /* the same, to be written */
    ALPS_TOLD_AGAIN = 3,  /* it was hidden, and is used again */
    ALPS_TOLD_DIRTY = 4,  /* it was clean and shown, and is written to */
    ALPS_TOLD_CLEAN = 5,  /* the file has it all */
    ALPS_TOLD_HIDDEN = 6, /* it is no longer shown, as the policy wished */
    ALPS_TOLD_GONE = 7    /* its segment is gone, the frame is free */
};

/* Added to a frame that `next` answers: do not let it go, hide it; then ask
 * from the start. */
#define ALPS_VICTIM_HIDE ((uint32_t)1 << 31)

/* An eviction policy. Its functions are called from a signal handler, by one
 * thread at a time: they take no lock, allocate nothing, touch no region. */
typedef struct alps_eviction {
    const char *name;

    /* Bytes of state for so many frames. */
    uint64_t (*room)(uint32_t frames);

    /* Makes the state ready; its bytes are zero. */
    void (*begin)(void *state, uint32_t frames);

    /* Something happened to `frame`, which holds `segment`: ALPS_TOLD_.... */
    void (*saw)(void *state, unsigned what, uint32_t frame, uint32_t segment);

    /* The frame to go first, or after `after` was refused the next one; with
     * ALPS_VICTIM_HIDE added one to hide. ALPS_NO_FRAME: none; then the pager
     * takes the one that is in memory longest. */
    uint32_t (*next)(void *state, uint32_t after);
} alps_eviction;

/* ---- queues of frames, which the policies of the library are made of ---- */

#define ALPS_QUEUES 3u
#define ALPS_QUEUE_NONE ((uint8_t)ALPS_QUEUES)

typedef struct alps_queued {
    uint32_t newer, older; /* neighbours, or ALPS_NO_FRAME */
    uint32_t in;           /* which queue, or ALPS_QUEUE_NONE */
} alps_queued;

typedef struct alps_queues {
    uint32_t frames;
    uint32_t newest[ALPS_QUEUES], oldest[ALPS_QUEUES], count[ALPS_QUEUES];
    uint32_t hand;   /* of clock */
    uint64_t random; /* the last number */
    uint32_t ghosts; /* of 2Q: places in the ring behind the frames */
    uint32_t ghost;  /* the next one to be overwritten */
    alps_queued *at; /* one for each frame, behind this */
} alps_queues;

ALPS_FN_ uint64_t alps_queues_room_(uint32_t frames)
{
    return sizeof(alps_queues) + frames * sizeof(alps_queued);
}

ALPS_FN_ void alps_queues_begin_(void *state, uint32_t frames)
{
    alps_queues *q = (alps_queues *)state;
    q->frames = frames;
    q->at = (alps_queued *)(void *)(q + 1);
    q->random = 0x9e3779b97f4a7c15ull;
    for (unsigned k = 0; k < ALPS_QUEUES; k++)
        q->newest[k] = q->oldest[k] = ALPS_NO_FRAME;
    for (uint32_t i = 0; i < frames; i++)
        q->at[i].in = ALPS_QUEUE_NONE;
}

ALPS_FN_ void alps_queue_drop_(alps_queues *q, uint32_t frame)
{
    alps_queued *f = &q->at[frame];
    uint32_t k = f->in;
    if (k >= ALPS_QUEUES)
        return;
    if (f->newer != ALPS_NO_FRAME)
        q->at[f->newer].older = f->older;
    else
        q->newest[k] = f->older;
    if (f->older != ALPS_NO_FRAME)
        q->at[f->older].newer = f->newer;
    else
        q->oldest[k] = f->newer;
    q->count[k]--;
    f->in = ALPS_QUEUE_NONE;
}

/* Puts it at the newest end of queue `k`, wherever it was before. */
ALPS_FN_ void alps_queue_put_(alps_queues *q, unsigned k, uint32_t frame)
{
    alps_queued *f = &q->at[frame];
    alps_queue_drop_(q, frame);
    f->in = k;
    f->newer = ALPS_NO_FRAME;
    f->older = q->newest[k];
    if (f->older != ALPS_NO_FRAME)
        q->at[f->older].newer = frame;
    else
        q->oldest[k] = frame;
    q->newest[k] = frame;
    q->count[k]++;
}

/* The one after `after` on a walk through the queues in this order, from the
 * oldest of each or, `newest`, from the newest. */
ALPS_FN_ uint32_t alps_queue_walk_(const alps_queues *q, uint32_t after,
                                   const unsigned char *order, unsigned n,
                                   int newest)
{
    unsigned i = 0;
    if (after != ALPS_NO_FRAME) {
        const alps_queued *f = &q->at[after];
        uint32_t frame = newest ? f->older : f->newer;
        if (frame != ALPS_NO_FRAME)
            return frame;
        while (i < n && order[i] != f->in)
            i++;
        i++; // the next queue
    }
    for (; i < n; i++) {
        uint32_t frame = newest ? q->newest[order[i]] : q->oldest[order[i]];
        if (frame != ALPS_NO_FRAME)
            return frame;
    }
    return ALPS_NO_FRAME;
}

/* evict.h -- the eviction policies of the library
 *
 * FIFO, LIFO, PLRU, random, WIRO-F and WIRO-L are those of uMMAP-IO (Rivas-
 * Gomez et al. 2018) and uMalloc; CLOCK (Corbato 1968), segmented FIFO (Turner
 * and Levy 1981) and 2Q (Johnson and Shasha 1994) see second uses by way of
 * hidden frames. Measured on traces of 1024 segments in 256 frames, in hard
 * misses of a hundred uses: docs/paged.md. */

/* For alps_options.eviction. */
enum {
    ALPS_EVICT_FIFO = 1,
    ALPS_EVICT_LIFO = 2,
    ALPS_EVICT_PLRU = 3,
    ALPS_EVICT_RANDOM = 4,
    ALPS_EVICT_WIRO_F = 5,
    ALPS_EVICT_WIRO_L = 6,
    ALPS_EVICT_CLOCK = 7,
    ALPS_EVICT_SFIFO = 8, /* the default */
    ALPS_EVICT_2Q = 9
};
#define ALPS_EVICTIONS 9u

/* ---- FIFO, LIFO: by when a segment came ---------------------------------- */

ALPS_FN_ void alps_evict_fifo_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_WRITE)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

ALPS_FN_ uint32_t alps_evict_fifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0};
    return alps_queue_walk_((const alps_queues *)state, after, order, 1, 0);
}

ALPS_FN_ uint32_t alps_evict_lifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0};
    return alps_queue_walk_((const alps_queues *)state, after, order, 1, 1);
}

/* ---- PLRU: by the last fault of any kind --------------------------------- */

ALPS_FN_ void alps_evict_plru_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what <= ALPS_TOLD_DIRTY)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

/* ---- random -------------------------------------------------------------- */

/* xorshift64 (Marsaglia 2003). */
ALPS_FN_ uint32_t alps_evict_random_next_(void *state, uint32_t after)
{
    alps_queues *q = (alps_queues *)state;
    (void)after;
    q->random ^= q->random << 13;
    q->random ^= q->random >> 7;
    q->random ^= q->random << 17;
    return (uint32_t)(q->random % q->frames);
}

/* ---- WIRO: written in, read out: what need not be written goes first ----- */

ALPS_FN_ void alps_evict_wiro_saw_(void *state, unsigned what, uint32_t frame,
                                   uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_CLEAN)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_WRITE || what == ALPS_TOLD_DIRTY)
        alps_queue_put_(q, 1, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

ALPS_FN_ uint32_t alps_evict_wiro_f_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0, 1};
    return alps_queue_walk_((const alps_queues *)state, after, order, 2, 0);
}

ALPS_FN_ uint32_t alps_evict_wiro_l_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {0, 1};
    return alps_queue_walk_((const alps_queues *)state, after, order, 2, 1);
}

/* ---- queues with a hidden end: what is used again goes back -------------- */

/* Queue 0 is shown, queue 1 hidden. */
ALPS_FN_ void alps_evict_sfifo_saw_(void *state, unsigned what, uint32_t frame,
                                    uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    (void)segment;
    if (what <= ALPS_TOLD_AGAIN)
        alps_queue_put_(q, 0, frame);
    else if (what == ALPS_TOLD_HIDDEN)
        alps_queue_put_(q, 1, frame);
    else if (what == ALPS_TOLD_GONE)
        alps_queue_drop_(q, frame);
}

/* A quarter is hidden, from the oldest on. */
ALPS_FN_ uint32_t alps_evict_sfifo_next_(void *state, uint32_t after)
{
    static const unsigned char order[] = {1, 0};
    const alps_queues *q = (const alps_queues *)state;
    if (after == ALPS_NO_FRAME && q->count[0] && q->count[1] < q->frames / 4)
        return q->oldest[0] | ALPS_VICTIM_HIDE;
    return alps_queue_walk_(q, after, order, 2, 0);
}

/* The hand goes round the frames: hidden ones go, others are hidden. */
ALPS_FN_ uint32_t alps_evict_clock_next_(void *state, uint32_t after)
{
    alps_queues *q = (alps_queues *)state;
    (void)after;
    for (uint32_t i = 0; i < q->frames; i++) {
        uint32_t frame = q->hand;
        q->hand = (frame + 1) % q->frames;
        if (q->at[frame].in == 1)
            return frame;
        if (q->at[frame].in == 0)
            return frame | ALPS_VICTIM_HIDE;
    }
    return ALPS_NO_FRAME;
}

/* ---- 2Q: what came once is let go before what came twice ----------------- */

/* The segments that went lately, in a ring behind the frames. */
#define ALPS_GHOSTS_MAX 4096u

ALPS_FN_ uint32_t alps_evict_ghosts_(uint32_t frames)
{
    return frames / 2 < ALPS_GHOSTS_MAX ? frames / 2 + 1 : ALPS_GHOSTS_MAX;
}

ALPS_FN_ uint32_t *alps_evict_ring_(const alps_queues *q)
{
    return (uint32_t *)(void *)(q->at + q->frames);
}

ALPS_FN_ uint64_t alps_evict_2q_room_(uint32_t frames)
{
    return alps_queues_room_(frames) +
           alps_evict_ghosts_(frames) * sizeof(uint32_t);
}

ALPS_FN_ void alps_evict_2q_begin_(void *state, uint32_t frames)
{
    alps_queues *q = (alps_queues *)state;
    alps_queues_begin_(state, frames);
    q->ghosts = alps_evict_ghosts_(frames);
    for (uint32_t i = 0; i < q->ghosts; i++)
        alps_evict_ring_(q)[i] = ALPS_NO_SEGMENT;
}

/* Whether the segment went lately; it is forgotten. */
ALPS_FN_ int alps_evict_ghost_(const alps_queues *q, uint32_t segment)
{
    uint32_t *ring = alps_evict_ring_(q);
    for (uint32_t i = 0; i < q->ghosts; i++)
        if (ring[i] == segment) {
            ring[i] = ALPS_NO_SEGMENT;
            return 1;
        }
    return 0;
}

/* Queue 0 has what came once, 1 what came twice, 2 the hidden end of that. */
ALPS_FN_ void alps_evict_2q_saw_(void *state, unsigned what, uint32_t frame,
                                 uint32_t segment)
{
    alps_queues *q = (alps_queues *)state;
    if (what == ALPS_TOLD_READ || what == ALPS_TOLD_WRITE) {
        alps_queue_put_(q, alps_evict_ghost_(q, segment) ? 1 : 0, frame);
    } else if (what == ALPS_TOLD_AGAIN) {
        alps_queue_put_(q, 1, frame);
    } else if (what == ALPS_TOLD_HIDDEN) {
        alps_queue_put_(q, 2, frame);
    } else if (what == ALPS_TOLD_GONE) {
        if (q->at[frame].in == 0) {
            alps_evict_ring_(q)[q->ghost] = segment;
            q->ghost = (q->ghost + 1) % q->ghosts;
        }
        alps_queue_drop_(q, frame);
    }
}

ALPS_FN_ uint32_t alps_evict_2q_next_(void *state, uint32_t after)
{
    static const unsigned char once[] = {0, 2, 1}, twice[] = {2, 1, 0};
    const alps_queues *q = (const alps_queues *)state;
    int first = q->count[0] > q->frames / 4;
    if (after == ALPS_NO_FRAME && !first && q->count[1] &&
        q->count[2] < q->frames / 8)
        return q->oldest[1] | ALPS_VICTIM_HIDE;
    return alps_queue_walk_(q, after, first ? once : twice, 3, 0);
}

/* The policy of a number. */
ALPS_FN_ const alps_eviction *alps_evict_policy_(unsigned number)
{
    static const alps_eviction policy[] = {
        {"sfifo", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_sfifo_next_},
        {"fifo", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_fifo_next_},
        {"lifo", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_lifo_next_},
        {"plru", alps_queues_room_, alps_queues_begin_, alps_evict_plru_saw_,
         alps_evict_fifo_next_},
        {"random", alps_queues_room_, alps_queues_begin_, alps_evict_fifo_saw_,
         alps_evict_random_next_},
        {"wiro-f", alps_queues_room_, alps_queues_begin_, alps_evict_wiro_saw_,
         alps_evict_wiro_f_next_},
        {"wiro-l", alps_queues_room_, alps_queues_begin_, alps_evict_wiro_saw_,
         alps_evict_wiro_l_next_},
        {"clock", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_clock_next_},
        {"sfifo", alps_queues_room_, alps_queues_begin_, alps_evict_sfifo_saw_,
         alps_evict_sfifo_next_},
        {"2q", alps_evict_2q_room_, alps_evict_2q_begin_, alps_evict_2q_saw_,
         alps_evict_2q_next_},
    };
    return &policy[number <= ALPS_EVICTIONS ? number : 0];
}

/* watermark.h -- how much of a region may be dirty
 *
 * Two marks, in frames. At the high one the region's thread begins to write
 * what is dirty, hidden segments before shown ones and the oldest first, until
 * the low one; what is dirty is kept in two queues for that. The segments that
 * were stored to last are not among it: an instruction may need them still. */

typedef struct alps_watermark {
    unsigned asked_high, asked_low; /* percent of the frames, or 0 */
    uint32_t high, low;             /* in frames; `high` 0: there are none */
    alps_queues *dirty; /* queue 0 is shown, 1 hidden, each by when it became
                           so */
    uint64_t bytes;     /* of it */
} alps_watermark;

/* What the options and the environment ask for. */
ALPS_COLD_ int alps_watermark_ask_(alps_watermark *w, const alps_options *o)
{
    uint64_t high = o ? o->dirty_high : 0, low = o ? o->dirty_low : 0;
    if (alps_amount_asked_("ALPS_DIRTY_HIGH", &high) ||
        alps_amount_asked_("ALPS_DIRTY_LOW", &low) || high > 100 || low > high)
        return ALPS_EINVAL;
    w->asked_high = (unsigned)high;
    w->asked_low = (unsigned)(low ? low : high / 2);
    return ALPS_OK;
}

/* Makes ready for `n` frames. */
ALPS_COLD_ int alps_watermark_open_(alps_watermark *w, uint32_t n)
{
    if (!w->asked_high)
        return ALPS_OK;
    w->bytes = alps_queues_room_(n);
    w->dirty = (alps_queues *)alps_pool_memory_(w->bytes);
    if (!w->dirty)
        return ALPS_ENOMEM;
    alps_queues_begin_(w->dirty, n);
    w->high = (uint32_t)((uint64_t)n * w->asked_high / 100);
    w->low = (uint32_t)((uint64_t)n * w->asked_low / 100);
    if (!w->high)
        w->high = 1;
    return ALPS_OK;
}

ALPS_COLD_ void alps_watermark_close_(alps_watermark *w)
{
    if (w->dirty)
        munmap(w->dirty, (size_t)w->bytes);
    w->dirty = NULL;
    w->high = 0;
}

/* Something happened to a frame, as the eviction policy is told. */
ALPS_FN_ void alps_watermark_saw_(const alps_watermark *w, unsigned what,
                                  uint32_t frame, const alps_page_frame *f)
{
    unsigned k = f->state == ALPS_FRAME_HIDDEN;
    if (!w->dirty)
        return;
    if (!f->dirty || what == ALPS_TOLD_GONE)
        alps_queue_drop_(w->dirty, frame);
    else if (w->dirty->at[frame].in != k)
        alps_queue_put_(w->dirty, k, frame);
}

/* Frames that are dirty. */
ALPS_FN_ uint32_t alps_watermark_count_(const alps_watermark *w)
{
    return w->dirty->count[0] + w->dirty->count[1];
}

/* Who is to be written next, or ALPS_NO_FRAME: not who is pinned, nor the last
 * `young` that are shown. */
ALPS_FN_ uint32_t alps_watermark_next_(const alps_watermark *w,
                                       const alps_pool *pool, uint32_t young)
{
    const alps_queues *q = w->dirty;
    uint32_t old = q->count[0] > young ? q->count[0] - young : 0;
    uint32_t frame = q->oldest[1]; // nobody has pinned that
    if (frame != ALPS_NO_FRAME)
        return frame;
    for (frame = q->oldest[0]; old--; frame = q->at[frame].newer)
        if (!pool->frame[frame].pins)
            return frame;
    return ALPS_NO_FRAME;
}

/* echo.h -- pages of which we know what the file has
 *
 * The retire words of all lanes are part of every fence under msync, and few of
 * their pages have changed since the last one. The system would know which; we
 * keep a copy of what was written last and compare: 17 pages in a microsecond
 * or two, where writing them all is 68 KiB to the device for each fence. What
 * is written is the copy, so that it is the file's content whatever happens to
 * the page meanwhile. */

typedef struct alps_echo {
    uint64_t off, n;      /* the range of the region, whole pages */
    unsigned char *bytes; /* its pages as they were written last; or NULL */
    unsigned char *known; /* by page: 1: they were */
} alps_echo;

/* Begins to listen to the pages of [off, off + n). Without memory it does
 * not. */
ALPS_COLD_ void alps_echo_open_(alps_echo *e, uint64_t off, uint64_t n)
{
    uint64_t from = off - off % ALPS_PAGE;
    n = alps_round_up_(off + n, ALPS_PAGE) - from;
    e->bytes = (unsigned char *)alps_pool_memory_(n + n / ALPS_PAGE);
    if (!e->bytes)
        return;
    e->known = e->bytes + n;
    e->off = from;
    e->n = n;
}

ALPS_COLD_ void alps_echo_close_(alps_echo *e)
{
    if (e->bytes)
        munmap(e->bytes, (size_t)(e->n + e->n / ALPS_PAGE));
    memset(e, 0, sizeof *e);
}

/* Whether the page at `off` is one of them. */
ALPS_FN_ int alps_echo_has_(const alps_echo *e, uint64_t off)
{
    return off - e->off < e->n;
}

/* How many of `n` bytes at `off` are up to the next page that is one. */
ALPS_FN_ uint64_t alps_echo_before_(const alps_echo *e, uint64_t off,
                                    uint64_t n)
{
    return e->n && off < e->off && off + n > e->off ? e->off - off : n;
}

/* Whether the file has the page as it is; else its copy is that from now on,
 * and the file is to have it. */
ALPS_COLD_ int alps_echo_same_(alps_echo *e, uint64_t off, const void *page)
{
    unsigned char *copy = e->bytes + (off - e->off);
    unsigned char *known = &e->known[(off - e->off) / ALPS_PAGE];
    if (*known && !memcmp(copy, page, ALPS_PAGE))
        return 1;
    memcpy(copy, page, ALPS_PAGE);
    *known = 0;
    return 0;
}

/* The page was written. */
ALPS_FN_ void alps_echo_wrote_(alps_echo *e, uint64_t off)
{
    e->known[(off - e->off) / ALPS_PAGE] = 1;
}

/* Nobody knows any more what the medium has. */
ALPS_FN_ void alps_echo_forget_(alps_echo *e)
{
    if (e->bytes)
        memset(e->known, 0, (size_t)(e->n / ALPS_PAGE));
}

/* transfer.h -- files as a pager reads and writes them
 *
 * By system calls and not by the library's functions: this is for signal
 * handlers, and no point where a thread can be cancelled. What is asked for is
 * done as a whole, in steps, and counted. */

/* How the medium is read and written; all there is of it here. A test puts its
 * own in place. They are called from a signal handler. */
#ifndef ALPS_PAGED_READ
#  define ALPS_PAGED_READ(fd, p, n, off) \
    syscall(SYS_pread64, fd, p, (size_t)(n), (off_t)(off))
#endif
#ifndef ALPS_PAGED_WRITE
#  define ALPS_PAGED_WRITE(fd, p, n, off) \
    syscall(SYS_pwrite64, fd, p, (size_t)(n), (off_t)(off))
#endif
#ifndef ALPS_PAGED_BEGIN // to write what is in the page cache
#  ifdef SYS_sync_file_range
#    define ALPS_PAGED_BEGIN(fd, off, n)                         \
      syscall(SYS_sync_file_range, fd, (off_t)(off), (off_t)(n), \
              2u /* SYNC_FILE_RANGE_WRITE */)
#  else
#    define ALPS_PAGED_BEGIN(fd, off, n) ((void)(off), (void)(n))
#  endif
#endif
#ifndef ALPS_PAGED_SYNC
#  define ALPS_PAGED_SYNC(fd) fdatasync(fd)
#endif

/* The most that one system call is asked for: they end at 2 GiB. */
#ifndef ALPS_PAGED_STEP
#  define ALPS_PAGED_STEP ((uint64_t)1 << 30)
#endif

/* What a pager has done since it was opened. */
typedef struct alps_paging {
    uint64_t faults;      /* segments read because they were touched */
    uint64_t soft;        /* hidden ones shown again */
    uint64_t upgrades;    /* first stores to what was clean */
    uint64_t evictions;   /* segments that went */
    uint64_t write_backs; /* calls that wrote */
    uint64_t bytes_read, bytes_written;
    uint64_t prefetches; /* segments read before they were touched */
    uint64_t cleaned;    /* segments written by the region's thread, or because
                         too many were dirty */
    uint64_t syncs;      /* of the file */
    uint64_t failed;     /* reads and writes that did not succeed */
} alps_paging;

/* All of `n` bytes at `off`; ALPS_ETRUNCATED: somebody has cut the file. */
ALPS_COLD_ int alps_transfer_read_(int fd, unsigned char *to, uint64_t n,
                                   uint64_t off, alps_paging *count)
{
    while (n) {
        uint64_t k = n < ALPS_PAGED_STEP ? n : ALPS_PAGED_STEP;
        long got = (long)ALPS_PAGED_READ(fd, to, k, off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            count->failed++;
            return got ? alps_oserror_() : ALPS_ETRUNCATED;
        }
        to += got;
        off += (uint64_t)got;
        n -= (uint64_t)got;
        count->bytes_read += (uint64_t)got;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_transfer_write_(int fd, const unsigned char *from,
                                    uint64_t n, uint64_t off,
                                    alps_paging *count)
{
    while (n) {
        uint64_t k = n < ALPS_PAGED_STEP ? n : ALPS_PAGED_STEP;
        long put = (long)ALPS_PAGED_WRITE(fd, from, k, off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            count->failed++;
            return put ? alps_oserror_() : ALPS_ENOSPC;
        }
        from += put;
        off += (uint64_t)put;
        n -= (uint64_t)put;
        count->bytes_written += (uint64_t)put;
    }
    return ALPS_OK;
}

/* spill.h -- what goes before the commit that has it
 *
 * A region that commits all at once, and is larger than its memory: what is
 * dirty and has to go goes to the end of the journal, as a frame of a commit
 * that is not complete, and is found there until it is. The journal may have
 * three versions of a page: one that no commit has, one of the commit under
 * way, one of a durable commit. All of it under the pager's latch, and called
 * from signal handlers. docs/paged.md has the protocol. */

/* Where frames end: what the next one has to fit. */
typedef struct alps_chain {
    uint64_t tail;   /* the place behind the last one */
    uint64_t seq;    /* of the next one */
    uint32_t before; /* crc of the last one */
} alps_chain;

/* A page in the journal, before its commit is durable. */
typedef struct alps_spilled {
    uint32_t place; /* in multiples of ALPS_PAGE */
    uint32_t sum;   /* CRC-32C of its bytes */
} alps_spilled;

typedef struct alps_spill {
    alps_journal *journal; /* or NULL: what is dirty goes home */
    alps_chain end;        /* of all frames, */
    alps_chain cut;        /* and of those of the commit under way */
    uint64_t size;         /* bytes of the region by that one */
    uint64_t begun;        /* what is before was begun to be written */
    uint64_t top;          /* pages from here on are in no version in it */
    uint64_t *fresh;       /* bit: one that no commit has */
    uint64_t *taken;       /* bit: one that the commit under way has */
    alps_spilled *newest;  /* where `fresh` is */
    alps_spilled *held;    /* where `taken` is */
    unsigned char *front;  /* head and table of the frame in the making */
    unsigned char *old;    /* room for ALPS_FRAME_CHUNK_ pages */
    uint64_t bytes;        /* of all this */
    int unsure;            /* 1: a sync has failed, and what it should have made
                              durable is to be written again */
    int lost;              /* the code, if that could not be */
} alps_spill;

/* Where the newest version of a page is. */
enum {
    ALPS_SPILL_HOME_ = 0,
    ALPS_SPILL_DURABLE_ = 1, /* in the journal, durably */
    ALPS_SPILL_SUMMED_ = 2   /* in the journal, with its checksum */
};

/* Makes ready to spill to `j`, for a region of at most `pages`, in segments of
 * so many. */
ALPS_COLD_ int alps_spill_open_(alps_spill *s, alps_journal *j, uint64_t pages,
                                uint64_t segment)
{
    uint64_t words = alps_page_words_(pages);
    uint64_t front = alps_round_up_(
        sizeof(alps_frame_head) + segment * sizeof(alps_frame_page), ALPS_PAGE);
    uint64_t sets = alps_round_up_(2 * words * 8, ALPS_PAGE);
    uint64_t places = alps_round_up_(pages * sizeof(alps_spilled), ALPS_PAGE);
    memset(s, 0, sizeof *s);
    s->bytes =
        sets + 2 * places + front + ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
    void *p = mmap(NULL, (size_t)s->bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
    unsigned char *at = (unsigned char *)p;
    s->fresh = (uint64_t *)p;
    s->taken = s->fresh + words;
    s->newest = (alps_spilled *)(void *)(at + sets);
    s->held = (alps_spilled *)(void *)(at + sets + places);
    s->front = at + sets + 2 * places;
    s->old = s->front + front;
    s->end.tail = s->begun = j->tail;
    s->end.seq = j->seq;
    s->end.before = j->before;
    s->cut = s->end;
    s->top = j->size / ALPS_PAGE + 1;
    s->journal = j;
    return ALPS_OK;
}

ALPS_COLD_ void alps_spill_close_(alps_spill *s)
{
    if (s->journal)
        munmap(s->fresh, (size_t)s->bytes);
    memset(s, 0, sizeof *s);
}

/* Where the newest version of the page is: ALPS_SPILL_.... */
ALPS_FN_ int alps_spill_where_(const alps_spill *s, uint64_t page,
                               alps_spilled *at)
{
    const alps_journal *j = s->journal;
    at->place = at->sum = 0;
    if (alps_page_in_(s->fresh, page)) {
        *at = s->newest[page];
        return ALPS_SPILL_SUMMED_;
    }
    if (alps_page_in_(s->taken, page)) {
        *at = s->held[page];
        return ALPS_SPILL_SUMMED_;
    }
    if (!alps_page_in_(j->here, page))
        return ALPS_SPILL_HOME_;
    at->place = j->place[page];
    return ALPS_SPILL_DURABLE_;
}

/* Whether `n` pages at `bytes`, from number `page` on, are those that were
 * spilled. */
ALPS_COLD_ int alps_spill_same_(const alps_spill *s, const unsigned char *bytes,
                                uint64_t page, uint64_t n)
{
    alps_spilled at;
    for (uint64_t i = 0; i < n; i++)
        if (alps_spill_where_(s, page + i, &at) == ALPS_SPILL_SUMMED_ &&
            alps_crc32c_(s->journal->crc, 0, bytes + i * ALPS_PAGE,
                         ALPS_PAGE) != at.sum)
            return 0;
    return 1;
}

/* Pages [page, page + n) as they are at home are at `to`: those of which the
 * journal has a newer version are read over them. ALPS_EIO: one is not what was
 * spilled. */
ALPS_COLD_ int alps_spill_load_(const alps_spill *s, unsigned char *to,
                                uint64_t page, uint64_t n, alps_paging *count)
{
    for (uint64_t i = 0, k = 1; i < n; i += k, k = 1) {
        alps_spilled at, next;
        int where = alps_spill_where_(s, page + i, &at);
        if (where == ALPS_SPILL_HOME_)
            continue;
        while (i + k < n &&
               alps_spill_where_(s, page + i + k, &next) == where &&
               next.place == at.place + k)
            k++;
        unsigned char *into = to + i * ALPS_PAGE;
        int err = alps_transfer_read_(s->journal->fd, into, k * ALPS_PAGE,
                                      (uint64_t)at.place * ALPS_PAGE, count);
        if (err)
            return err;
        if (!alps_spill_same_(s, into, page + i, k)) {
            count->failed++;
            return ALPS_EIO;
        }
    }
    return ALPS_OK;
}

ALPS_FN_ alps_frame_page *alps_spill_table_(const alps_spill *s)
{
    return (alps_frame_page *)(void *)(s->front + sizeof(alps_frame_head));
}

/* A page of this number with these bytes is the next one of the frame in the
 * making, which has `n`. */
ALPS_FN_ void alps_spill_add_(const alps_spill *s, uint64_t n, uint64_t page,
                              const unsigned char *bytes)
{
    alps_frame_page *entry = &alps_spill_table_(s)[n];
    entry->page = page;
    entry->crc = alps_crc32c_(s->journal->crc, 0, bytes, ALPS_PAGE);
    entry->opens = s->journal->opens;
}

/* Writes the pages of the table to the journal from page `to` on; `bytes` is
 * where page number `first` is. */
ALPS_COLD_ int alps_spill_pages_(const alps_spill *s,
                                 const unsigned char *bytes, uint64_t first,
                                 uint64_t n, uint64_t to, alps_paging *count)
{
    const alps_frame_page *table = alps_spill_table_(s);
    int err = ALPS_OK;
    for (uint64_t i = 0, k = 1; !err && i < n; i += k, k = 1) {
        while (i + k < n && table[i + k].page == table[i].page + k)
            k++;
        err = alps_transfer_write_(s->journal->fd,
                                   bytes + (table[i].page - first) * ALPS_PAGE,
                                   k * ALPS_PAGE, (to + i) * ALPS_PAGE, count);
    }
    return err;
}

/* Begins to have it written, a stretch at a time; nothing is durable by it. */
ALPS_COLD_ void alps_spill_begin_(alps_spill *s)
{
    if (s->end.tail - s->begun < (uint64_t)1 << 20)
        return;
    ALPS_PAGED_BEGIN(s->journal->fd, s->begun, s->end.tail - s->begun);
    s->begun = s->end.tail;
}

/* Writes the frame of the `n` pages in the table; `bytes` is where page number
 * `first` is. With `last` all frames so far are a commit. Where it fails, it is
 * as if it had not been tried. */
ALPS_COLD_ int alps_spill_frame_(alps_spill *s, const unsigned char *bytes,
                                 uint64_t first, uint64_t n, uint64_t size,
                                 int last, alps_paging *count)
{
    const alps_journal *j = s->journal;
    const alps_frame_page *table = alps_spill_table_(s);
    alps_frame_head *head = (alps_frame_head *)(void *)s->front;
    uint64_t used = sizeof *head + n * sizeof *table;
    uint64_t front = alps_round_up_(used, ALPS_PAGE);
    memset(head, 0, sizeof *head);
    memset(s->front + used, 0, (size_t)(front - used));
    head->magic = ALPS_FRAME_MAGIC_;
    head->salt = j->salt;
    head->seq = s->end.seq;
    head->size = size;
    head->count = n;
    head->last = last != 0;
    head->before = s->end.before;
    head->table = alps_crc32c_(j->crc, 0, table, n * sizeof *table);
    head->first = (uint32_t)(front / ALPS_PAGE);
    head->crc = alps_frame_sum_(j, head);
    uint64_t place = s->end.tail / ALPS_PAGE + head->first;
    uint64_t end = (place + n) * ALPS_PAGE;
    int err = place + n > UINT32_MAX ? ALPS_ENOSPC : alps_fd_limit_(end);
    if (!err)
        err = alps_spill_pages_(s, bytes, first, n, place, count);
    if (!err)
        err = alps_transfer_write_(j->fd, s->front, front, s->end.tail, count);
    if (err)
        return err;
    for (uint64_t i = 0; i < n; i++) {
        alps_page_add_(s->fresh, table[i].page);
        alps_page_add_(j->known, table[i].page);
        s->newest[table[i].page].place = (uint32_t)(place + i);
        s->newest[table[i].page].sum = table[i].crc;
        if (s->top <= table[i].page)
            s->top = table[i].page + 1;
    }
    s->end.tail = end;
    s->end.seq++;
    s->end.before = head->crc;
    alps_spill_begin_(s);
    return ALPS_OK;
}

/* All that is spilled is the commit under way, of a region of `size` bytes. */
ALPS_COLD_ int alps_spill_cut_(alps_spill *s, uint64_t size, alps_paging *count)
{
    alps_journal *j = s->journal;
    uint64_t page = 0;
    int err = ALPS_OK;
    if (s->end.tail != j->tail)
        err = alps_spill_frame_(s, NULL, 0, 0, size, 1, count);
    if (err)
        return err;
    if (s->end.tail - j->tail <= ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE)
        alps_journal_ahead_(j, s->end.tail);
    while ((page = alps_page_next_(s->fresh, page, s->top)) < s->top) {
        alps_page_add_(s->taken, page);
        s->held[page] = s->newest[page];
        page++;
    }
    alps_pages_clear_(s->fresh, s->top);
    s->cut = s->end;
    s->size = size;
    return ALPS_OK;
}

/* The commit under way is durable; or is not, and is part of the next. */
ALPS_COLD_ void alps_spill_settle_(alps_spill *s, int durable)
{
    alps_journal *j = s->journal;
    uint64_t page = 0;
    while ((page = alps_page_next_(s->taken, page, s->top)) < s->top) {
        if (durable) {
            alps_page_add_(j->here, page);
            j->place[page] = s->held[page].place;
        } else if (!alps_page_in_(s->fresh, page)) {
            alps_page_add_(s->fresh, page);
            s->newest[page] = s->held[page];
        }
        page++;
    }
    alps_pages_clear_(s->taken, s->top);
    if (!durable)
        return;
    j->tail = s->cut.tail;
    j->seq = s->cut.seq;
    j->before = s->cut.before;
    j->size = s->size;
}

/* All is at home, and the durable head of the journal says that it begins where
 * the last commit ends. Where nothing was spilled behind it, it begins anew:
 * its next head, with the next commit, says so. Answers whether it does. */
ALPS_COLD_ int alps_spill_anew_(alps_spill *s)
{
    alps_journal *j = s->journal;
    if (s->end.tail != j->tail)
        return 0;
    j->salt = alps_random_();
    j->start = j->tail = s->end.tail = s->begun = ALPS_PAGE;
    j->before = s->end.before = 0;
    j->headed = 0;
    return 1;
}

/* segment.h -- the segments of a region, and how they come and go
 *
 * A region is cut into segments, each of which is in a frame or is not; the
 * table says which. The file has the bytes of those that are not, and of those
 * that are clean. Here is what is done to one segment: read, written, shown,
 * hidden. All of it under the pager's latch. */

/* The fewest frames a region is paged with: one instruction may need four
 * segments at once, and the last eight stay. */
#define ALPS_FRAMES_MIN 9u

/* Where faults are told: one is filled before it is shown, and one is at two
 * places for a moment. */
#define ALPS_FRAMES_MORE 2u

/* What comes one behind the other, in this many places at once. */
#define ALPS_STREAMS_ 8u
#define ALPS_AHEAD_MAX 64u

typedef struct alps_stream {
    uint32_t last; /* the last one that was touched, or ALPS_NO_SEGMENT */
    uint32_t next; /* from here */
    uint32_t end;  /* to there segments are to be brought */
} alps_stream;

typedef struct alps_ahead {
    uint32_t most;   /* segments ahead, or 0 */
    uint32_t turn;   /* which stream is the next to be forgotten */
    uint32_t coming; /* 1 + the one that is being read, or 0 */
    int gone;        /* 1: what is read of it is not what the file has */
    alps_stream stream[ALPS_STREAMS_];
} alps_ahead;

/* A region larger than its memory: what one process keeps of it. */
typedef struct alps_pager {
    uint32_t latch;
    unsigned engine;            /* ALPS_ENGINE_... */
    const char *why;            /* it is that one, in words */
    unsigned asked;             /* the engine that was asked for, or 0 */
    uint64_t memory;            /* bytes the region may have in memory */
    uint64_t wish;              /* bytes of a segment as asked for, or 0 */
    alps_faults *faults;        /* the program's handler, or NULL */
    struct alps_budget *budget; /* what it shares with other regions, or NULL */
    struct alps_pager *sharer;  /* the next one that does */
    int shares;                 /* 1: it is in the budget's list */
    const alps_eviction *eviction;
    void *state;         /* of the policy */
    uint64_t state_n;    /* its bytes */
    int fd;              /* the file */
    int past;            /* the same past the page cache, or -1 */
    unsigned direct;     /* 1: that was asked for */
    int tells;           /* 1: the file system tells what was never written */
    alps_watermark mark; /* of what is dirty */
    alps_ahead ahead;    /* what is likely next */
    unsigned interval;   /* milliseconds of the cleaner, or 0 */
    uint32_t called;     /* 1: it is not to sleep */
    uint32_t ended;      /* 1: it is to end */
    int cleans;          /* 1: there is one */
    pthread_t cleaner;
    pid_t process;          /* who opened it: not the child of a fork */
    unsigned char *base;    /* of the region */
    uint64_t length;        /* bytes of the file that are the region */
    uint64_t reserved;      /* bytes of addresses, whole segments */
    unsigned shift;         /* log2 of the bytes of a segment */
    uint32_t *table;        /* by segment: 1 + its frame, or 0 */
    uint64_t table_n;       /* its bytes */
    alps_pool pool;         /* the frames */
    alps_uffd uffd;         /* who tells of faults, if no signal does */
    alps_echo echo;         /* of the pages that every fence takes */
    alps_spill spill;       /* of one that commits all at once */
    int commits;            /* 1: it is to be one */
    alps_fault_range range; /* of the addresses, for the handler */
    uint64_t clock;         /* faults, counted */
    uint32_t young;         /* so many of the last ones stay */
    uint32_t threads;       /* threads that were seen to fault, */
    uintptr_t thread[64];   /* and which, by a hash */
    uint64_t stale_off;     /* the last fault that needed nothing, */
    uint32_t stale;         /* and how often it came in a row */
    uint64_t written;       /* writes to the file, counted, */
    uint64_t synced;        /* up to here they are durable */
    uint64_t trail;         /* from here to there segments went one behind */
    uint64_t trail_to;      /* the other, and the medium was not told */
    uint64_t unheld;        /* the last one of what is not in memory */
    int lost; /* the code of a sync that failed, and what it should
                             have made durable is not in memory */
    alps_paging count;
} alps_pager;

ALPS_FN_ uint64_t alps_segment_off_(const alps_pager *p, uint32_t segment)
{
    return (uint64_t)segment << p->shift;
}

/* Bytes of the file that are in it. */
ALPS_FN_ uint64_t alps_segment_bytes_(const alps_pager *p, uint32_t segment)
{
    uint64_t off = alps_segment_off_(p, segment), n = p->pool.segment;
    if (off >= p->length)
        return 0;
    return p->length - off < n ? p->length - off : n;
}

/* The frame it is in, or ALPS_NO_FRAME. Who asks without the latch, and hears
 * that there is none, knows that what was stored is with the file. */
ALPS_FN_ uint32_t alps_segment_frame_(const alps_pager *p, uint32_t segment)
{
    return __atomic_load_n(&p->table[segment], __ATOMIC_ACQUIRE) - 1;
}

ALPS_FN_ void alps_segment_set_(const alps_pager *p, uint32_t segment,
                                uint32_t frame)
{
    __atomic_store_n(&p->table[segment], frame + 1, __ATOMIC_RELEASE);
}

/* Tells the policy. */
ALPS_FN_ void alps_segment_tell_(const alps_pager *p, unsigned what,
                                 uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    p->eviction->saw(p->state, what, frame, f->segment);
    alps_watermark_saw_(&p->mark, what, frame, f);
}

/* The file by which `*k` bytes at `from` are read or written, and how many at
 * once: past the page cache whole pages only. */
ALPS_FN_ int alps_segment_file_(const alps_pager *p, uint64_t from, uint64_t *k)
{
    if (*k > ALPS_PAGED_STEP)
        *k = ALPS_PAGED_STEP;
    if (p->past < 0 || from % ALPS_PAGE || *k < ALPS_PAGE)
        return p->fd;
    *k -= *k % ALPS_PAGE;
    return p->past;
}

/* Whether nothing was ever written to bytes [off, off + n) of the file, so that
 * they need not be read to be known for zero: blocks that are reserved, or none
 * at all. A file that was cut is not meant. */
ALPS_COLD_ int alps_segment_empty_(const alps_pager *p, uint64_t off,
                                   uint64_t n)
{
    if (!p->tells)
        return 0;
    off_t data = lseek(p->fd, (off_t)off, ALPS_SEEK_DATA_);
    if (data < 0 && errno == ENXIO)
        data = lseek(p->fd, 0, SEEK_END);
    return data > 0 && (uint64_t)data >= off + n;
}

/* Reads bytes [from, to) of the segment as the file has them. */
ALPS_COLD_ int alps_segment_get_(alps_pager *p, uint32_t segment,
                                 unsigned char *at, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t k = to - from;
        int fd = alps_segment_file_(p, from, &k);
        long got = (long)ALPS_PAGED_READ(fd, at, k,
                                         alps_segment_off_(p, segment) + from);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { // the end: somebody has cut the file
            p->count.failed++;
            return got ? alps_oserror_() : ALPS_ETRUNCATED;
        }
        at += got;
        from += (uint64_t)got;
        p->count.bytes_read += (uint64_t)got;
    }
    return ALPS_OK;
}

/* Reads the segment to where a frame is filled; what is behind the end is
 * zero. */
ALPS_COLD_ int alps_segment_read_(alps_pager *p, uint32_t segment,
                                  unsigned char *to)
{
    uint64_t off = alps_segment_off_(p, segment);
    uint64_t all = alps_segment_bytes_(p, segment), n = all;
    if (n && alps_segment_empty_(p, off, n))
        n = 0;
    int err = alps_segment_get_(p, segment, to, 0, n);
    if (err)
        return err;
    memset(to + n, 0, (size_t)(p->pool.segment - n));
    if (p->spill.journal)
        err = alps_spill_load_(&p->spill, to, off / ALPS_PAGE,
                               (all + ALPS_PAGE - 1) / ALPS_PAGE, &p->count);
    return err;
}

/* Reads the newest version of `n` pages of the segment from its page `first` on
 * that anybody but this process can have. */
ALPS_COLD_ int alps_segment_old_(alps_pager *p, uint32_t segment,
                                 uint64_t first, uint64_t n)
{
    const alps_journal *j = p->spill.journal;
    uint64_t page = alps_segment_off_(p, segment) / ALPS_PAGE + first;
    uint64_t from = first * ALPS_PAGE, to = from + n * ALPS_PAGE;
    uint64_t end = alps_segment_bytes_(p, segment);
    memset(p->spill.old, 0, (size_t)(n * ALPS_PAGE));
    if (alps_page_next_(j->known, page, page + n) == page + n)
        return ALPS_OK; // nothing but zeroes
    int err =
        alps_segment_get_(p, segment, p->spill.old, from, to < end ? to : end);
    return err ? err
               : alps_spill_load_(&p->spill, p->spill.old, page, n, &p->count);
}

/* Spills a frame to which nobody stores: those of its pages that are not what
 * they were. */
ALPS_COLD_ int alps_segment_spill_(alps_pager *p, uint32_t frame)
{
    const unsigned char *at = alps_view_at_(&p->pool, frame);
    uint32_t segment = p->pool.frame[frame].segment;
    uint64_t first = alps_segment_off_(p, segment) / ALPS_PAGE, found = 0, k;
    uint64_t n = (alps_segment_bytes_(p, segment) + ALPS_PAGE - 1) / ALPS_PAGE;
    for (uint64_t i = 0; i < n; i += k) {
        k = n - i < ALPS_FRAME_CHUNK_ ? n - i : ALPS_FRAME_CHUNK_;
        int err = alps_segment_old_(p, segment, i, k); // else all has changed
        for (uint64_t page = i; page < i + k; page++)
            if (err || memcmp(at + page * ALPS_PAGE,
                              p->spill.old + (page - i) * ALPS_PAGE, ALPS_PAGE))
                alps_spill_add_(&p->spill, found++, first + page,
                                at + page * ALPS_PAGE);
    }
    if (!found)
        return ALPS_OK;
    p->count.write_backs++;
    return alps_spill_frame_(&p->spill, at, first, found, p->length, 0,
                             &p->count);
}

/* Writes `n` bytes of memory to place `off` of the file, `into` a segment. */
ALPS_COLD_ int alps_segment_put_(alps_pager *p, const unsigned char *at,
                                 uint64_t n, uint64_t off, uint64_t into)
{
    while (n) {
        uint64_t k = n;
        int fd = alps_segment_file_(p, into, &k);
        long put = (long)ALPS_PAGED_WRITE(fd, at, k, off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            p->count.failed++;
            return put ? alps_oserror_() : ALPS_ENOSPC;
        }
        at += put;
        n -= (uint64_t)put;
        off += (uint64_t)put;
        into += (uint64_t)put;
        p->count.bytes_written += (uint64_t)put;
        __atomic_store_n(&p->written, p->written + 1, __ATOMIC_RELEASE);
    }
    p->count.write_backs++;
    return ALPS_OK;
}

/* Writes bytes [from, to) of a frame, whole pages, to their place. */
ALPS_COLD_ int alps_segment_write_(alps_pager *p, uint32_t frame, uint64_t from,
                                   uint64_t to)
{
    const unsigned char *at = alps_view_at_(&p->pool, frame);
    uint32_t segment = p->pool.frame[frame].segment;
    uint64_t off = alps_segment_off_(p, segment);
    uint64_t end = alps_segment_bytes_(p, segment);
    int err = ALPS_OK;
    if (p->spill.journal)
        return alps_segment_spill_(p, frame);
    if (to > end)
        to = end;
    while (!err && from < to) {
        uint64_t n = to - from;
        if (!alps_echo_has_(&p->echo, off + from) || n < ALPS_PAGE) {
            n = alps_echo_before_(&p->echo, off + from, n);
            err = alps_segment_put_(p, at + from, n, off + from, from);
        } else {
            n = ALPS_PAGE;
            if (!alps_echo_same_(&p->echo, off + from, at + from)) {
                const unsigned char *copy =
                    p->echo.bytes + (off + from - p->echo.off);
                err = alps_segment_put_(p, copy, n, off + from, from);
                if (!err)
                    alps_echo_wrote_(&p->echo, off + from);
            }
        }
        from += n;
    }
    return err;
}

/* Shows a frame, to be read or to be written. */
ALPS_COLD_ int alps_segment_show_(alps_pager *p, uint32_t frame, int write)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = alps_view_show_(&p->pool, frame, write);
    if (err)
        return err;
    if (write || f->state == ALPS_FRAME_FREE)
        f->dirty = write != 0;
    f->state = write ? ALPS_FRAME_WRITE : ALPS_FRAME_READ;
    f->born = ++p->clock;
    return ALPS_OK;
}

/* Hides it: from now on nobody stores to it. */
ALPS_COLD_ int alps_segment_hide_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    if (f->state <= ALPS_FRAME_HIDDEN)
        return ALPS_OK;
    int err = alps_view_hide_(&p->pool, frame);
    if (!err)
        f->state = ALPS_FRAME_HIDDEN;
    else // it may have come back, and be dirty
        alps_watermark_saw_(&p->mark, ALPS_TOLD_DIRTY, frame, f);
    return err;
}

/* It is to go: from now on nobody stores to it. */
ALPS_COLD_ int alps_segment_still_(alps_pager *p, uint32_t frame)
{
    return p->pool.frame[frame].state <= ALPS_FRAME_HIDDEN
               ? ALPS_OK
               : alps_view_still_(&p->pool, frame);
}

/* What was to be read is to be written. */
ALPS_COLD_ int alps_segment_upgrade_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = alps_view_protect_(&p->pool, frame, 0, p->pool.segment,
                                 PROT_READ | PROT_WRITE);
    if (err)
        return err;
    f->state = ALPS_FRAME_WRITE;
    f->dirty = 1;
    p->count.upgrades++;
    alps_segment_tell_(p, ALPS_TOLD_DIRTY, frame);
    return ALPS_OK;
}

/* All of a frame is written, while nobody stores to it. It is clean then, and
 * still in memory; where that fails it is as dirty as before. */
ALPS_COLD_ int alps_segment_clean_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int err = ALPS_OK;
    unsigned stays = p->spill.journal ? ALPS_PINNED_STORE_ : ~0u;
    if (f->pins & stays) // the system may be storing to it: it stays as it is
        return alps_segment_write_(p, frame, 0, p->pool.segment);
    if (f->state == ALPS_FRAME_WRITE) {
        err =
            alps_view_protect_(&p->pool, frame, 0, p->pool.segment, PROT_READ);
        if (!err)
            f->state = ALPS_FRAME_READ;
    }
    if (!err)
        err = alps_segment_write_(p, frame, 0, p->pool.segment);
    if (err)
        return err;
    f->dirty = 0;
    alps_segment_tell_(p, ALPS_TOLD_CLEAN, frame);
    return ALPS_OK;
}

/* Pages [from, to) of a dirty frame are written, while nobody stores to them;
 * it stays dirty, for there may be others. */
ALPS_COLD_ int alps_segment_pages_(alps_pager *p, uint32_t frame, uint64_t from,
                                   uint64_t to)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int shown = f->state == ALPS_FRAME_WRITE && !f->pins;
    int err = ALPS_OK;
    if (shown)
        err = alps_view_protect_(&p->pool, frame, from, to, PROT_READ);
    if (!err)
        err = alps_segment_write_(p, frame, from, to);
    if (shown &&
        alps_view_protect_(&p->pool, frame, from, to, PROT_READ | PROT_WRITE))
        f->state = ALPS_FRAME_READ; // the next store to it opens it
    return err;
}

/* Bytes [from, to) of a frame are zero, for whoever looks. */
ALPS_COLD_ int alps_segment_zero_(alps_pager *p, uint32_t frame, uint64_t from,
                                  uint64_t to)
{
    int err = ALPS_OK;
    if (p->pool.uffd && p->pool.frame[frame].state == ALPS_FRAME_READ)
        err = alps_segment_upgrade_(p, frame); // or who stores here waits
    if (!err)
        memset(alps_view_at_(&p->pool, frame) + from, 0, (size_t)(to - from));
    return err;
}

/* The segment is forgotten, and the frame free. It is still. */
ALPS_COLD_ void alps_segment_drop_(alps_pager *p, uint32_t frame)
{
    uint32_t segment = p->pool.frame[frame].segment;
    alps_segment_tell_(p, ALPS_TOLD_GONE, frame);
    alps_segment_set_(p, segment, ALPS_NO_FRAME);
    alps_view_drop_(&p->pool, frame);
}

/* budget.h -- memory that several regions share
 *
 * An object of the program, like the handler: so many bytes for all regions
 * that are opened with it. Each has its nine frames for sure, and up to its own
 * limit what nobody has taken. When all is taken, a region that has less than
 * its share takes a frame from the one that has most; one that has more lets go
 * of its own. Locks: a region's latch, then the budget's, then another region's
 * if that is free, and not otherwise. */

/* Zeroed but for `bytes`, and it stays where it is while regions have it. */
typedef struct alps_budget {
    uint64_t bytes; /* for all */
    uint64_t used;  /* by frames, and by those that are promised */
    struct alps_pager *first;
    uint32_t regions;
    uint32_t latch;
    pid_t process; /* whose it is: not the child of a fork */
} alps_budget;

/* Nine frames, and what is between a frame and the region. */
ALPS_FN_ uint64_t alps_budget_least_(const alps_pager *p)
{
    uint32_t more =
        p->pool.uffd ? ALPS_FRAMES_MORE + (p->uffd.guess != NULL) : 0;
    return (uint64_t)(ALPS_FRAMES_MIN + more) << p->shift;
}

/* Joins it. ALPS_ENOMEM: there is not enough left for nine frames. */
ALPS_COLD_ int alps_budget_join_(alps_pager *p)
{
    sigset_t old;
    alps_budget *b = p->budget;
    int err = ALPS_OK;
    if (!b)
        return ALPS_OK;
    if (b->process != p->process) { // a first one, or in the child of a fork
        uint64_t bytes = b->bytes;
        memset(b, 0, sizeof *b);
        b->bytes = bytes;
        b->process = p->process;
    }
    alps_latch_enter_(&b->latch, &old);
    if (b->used + alps_budget_least_(p) > b->bytes) {
        err = ALPS_ENOMEM;
    } else {
        b->used += alps_budget_least_(p);
        b->regions++;
        p->sharer = b->first;
        b->first = p;
        p->shares = 1;
    }
    alps_latch_leave_(&b->latch, &old);
    return err;
}

/* Leaves it, and gives back all that was taken. */
ALPS_COLD_ void alps_budget_leave_(alps_pager *p)
{
    sigset_t old;
    alps_budget *b = p->budget;
    if (!p->shares || b->process != getpid())
        return;
    alps_latch_enter_(&b->latch, &old);
    uint32_t more =
        p->pool.used > ALPS_FRAMES_MIN ? p->pool.used - ALPS_FRAMES_MIN : 0;
    b->used -= alps_budget_least_(p) + ((uint64_t)more << p->shift);
    b->regions--;
    for (alps_pager **at = &b->first; *at; at = &(*at)->sharer)
        if (*at == p) {
            *at = p->sharer;
            break;
        }
    p->shares = 0;
    alps_latch_leave_(&b->latch, &old);
}

/* Takes one more frame's bytes, if there are any. */
ALPS_COLD_ int alps_budget_take_(alps_pager *p)
{
    alps_budget *b = p->budget;
    uint64_t n = (uint64_t)1 << p->shift;
    if (!b || p->pool.used < ALPS_FRAMES_MIN)
        return 1;
    alps_latch_take_(&b->latch);
    int is = b->used + n <= b->bytes;
    b->used += is ? n : 0;
    alps_latch_give_(&b->latch);
    return is;
}

/* Who has more than `p`, and more than it needs: the one with most. Under the
 * budget's latch. */
ALPS_COLD_ alps_pager *alps_budget_rich_(const alps_pager *p)
{
    alps_pager *best = NULL;
    uint64_t most = (uint64_t)p->pool.used << p->shift;
    for (alps_pager *q = p->budget->first; q; q = q->sharer) {
        uint32_t used = __atomic_load_n(&q->pool.used, __ATOMIC_RELAXED);
        if (q == p || used <= ALPS_FRAMES_MIN ||
            (uint64_t)used << q->shift <= most)
            continue;
        best = q;
        most = (uint64_t)used << q->shift;
    }
    return best;
}

/* Whether `p` has less than its share. */
ALPS_FN_ int alps_budget_poor_(const alps_pager *p)
{
    const alps_budget *b = p->budget;
    return b && (uint64_t)(p->pool.used + 1) << p->shift <=
                    b->bytes / (b->regions ? b->regions : 1);
}

/* ahead.h -- segments are brought before they are touched
 *
 * Where one fault comes behind the other, the region's thread fills the next
 * segments into frames that it leaves hidden: so the next use is a fault that
 * reads nothing, and tells that the guess was good, and a wrong guess goes
 * before anything that is shown. The medium is read without the latch; who
 * touches that very segment meanwhile waits for it. */

/* What the options and the environment ask for. */
ALPS_COLD_ int alps_ahead_ask_(alps_ahead *a, const alps_options *o)
{
    uint64_t n = o ? o->readahead : 0;
    if (alps_amount_asked_("ALPS_READAHEAD", &n) || n > ALPS_AHEAD_MAX)
        return ALPS_EINVAL;
    a->most = (uint32_t)n;
    return ALPS_OK;
}

/* Makes ready for `n` frames, of which less than an eighth is for guesses: of
 * the fourth that segmented FIFO hides half would go before they are touched,
 * if they were more. */
ALPS_FN_ void alps_ahead_open_(alps_ahead *a, uint32_t n)
{
    if (a->most >= n / 8)
        a->most = n / 8 ? n / 8 - 1 : 0;
    memset(a->stream, 0, sizeof a->stream);
    for (unsigned i = 0; i < ALPS_STREAMS_; i++)
        a->stream[i].last = ALPS_NO_SEGMENT;
    a->turn = a->coming = 0;
}

/* A segment was touched that was not shown. Answers 1 if it came behind another
 * one, and those behind it are to be brought. */
ALPS_COLD_ int alps_ahead_saw_(alps_pager *p, uint32_t segment)
{
    alps_ahead *a = &p->ahead;
    uint32_t all = (uint32_t)(p->length >> p->shift); // that are whole
    for (unsigned i = 0; i < ALPS_STREAMS_; i++) {
        alps_stream *s = &a->stream[i];
        if (s->last == ALPS_NO_SEGMENT || s->last + 1 != segment)
            continue;
        s->last = segment;
        s->next = s->next > segment ? s->next : segment + 1;
        s->end = segment + 1 + a->most;
        if (s->end > all)
            s->end = all;
        return s->next < s->end;
    }
    alps_stream *s = &a->stream[a->turn++ % ALPS_STREAMS_];
    s->last = segment;
    s->next = s->end = 0;
    return 0;
}

/* The segment is being brought by the region's thread: the latch is given until
 * it is there, or is not. */
ALPS_COLD_ void alps_ahead_wait_(alps_pager *p, uint32_t segment)
{
    uint32_t *coming = &p->ahead.coming;
    while (__atomic_load_n(coming, __ATOMIC_ACQUIRE) == segment + 1) {
        alps_latch_give_(&p->latch);
        syscall(SYS_futex, coming, FUTEX_WAIT_PRIVATE, segment + 1, NULL, NULL,
                0);
        alps_latch_take_(&p->latch);
    }
}

/* What the file keeps of bytes [off, off + n) is about to change: what is being
 * read of them is not used. Under the latch. */
ALPS_FN_ void alps_ahead_void_(alps_pager *p, uint64_t off, uint64_t n)
{
    uint32_t coming = p->ahead.coming;
    if (coming && alps_segment_off_(p, coming - 1) < off + n &&
        off < alps_segment_off_(p, coming))
        p->ahead.gone = 1;
}

/* Reads a whole segment into a frame that nobody knows of. Without the latch,
 * unless there is a journal, of which the versions may come home meanwhile. */
ALPS_COLD_ int alps_ahead_read_(alps_pager *p, uint32_t segment, uint32_t frame,
                                alps_paging *count)
{
    uint64_t off = alps_segment_off_(p, segment), n = p->pool.segment;
    unsigned char *to = alps_view_aside_(&p->pool, frame);
    if (p->spill.journal)
        return alps_segment_read_(p, segment, to);
    alps_latch_give_(&p->latch);
    int err = ALPS_OK;
    if (alps_segment_empty_(p, off, n))
        memset(to, 0, (size_t)n);
    else
        err = alps_transfer_read_(p->past < 0 ? p->fd : p->past, to, n, off,
                                  count);
    alps_latch_take_(&p->latch);
    return err;
}

/* The frame holds the segment, which nobody has asked for: it is hidden, and as
 * old as one can be. */
ALPS_COLD_ void alps_ahead_keep_(alps_pager *p, uint32_t segment,
                                 uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    f->state = ALPS_FRAME_HIDDEN;
    f->dirty = 0;
    f->born = p->clock > p->pool.n ? p->clock - p->pool.n : 0;
    alps_segment_set_(p, segment, frame);
    alps_segment_tell_(p, ALPS_TOLD_READ, frame);
    alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
    p->count.prefetches++;
}

/* Brings the segment into the frame. Under the latch, which is given in
 * between. */
ALPS_COLD_ int alps_ahead_bring_(alps_pager *p, uint32_t segment,
                                 uint32_t frame)
{
    alps_ahead *a = &p->ahead;
    alps_paging count;
    memset(&count, 0, sizeof count);
    alps_page_frame *f = &p->pool.frame[frame];
    f->segment = segment;
    a->gone = 0;
    __atomic_store_n(&a->coming, segment + 1, __ATOMIC_RELEASE);
    int err = alps_ahead_read_(p, segment, frame, &count);
    p->count.bytes_read += count.bytes_read;
    if (!err && a->gone)
        err = ALPS_ETRUNCATED;
    if (!err)
        err = alps_view_keep_(&p->pool, frame);
    if (!err)
        alps_ahead_keep_(p, segment, frame);
    else
        alps_pool_return_(&p->pool, frame);
    __atomic_store_n(&a->coming, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, &a->coming, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
            0);
    return err; // who touches it hears of a failure
}

/* pager.h -- a segment is brought when it is touched, and another one goes
 *
 * The thread that touches it does all of it, in its signal handler. Until the
 * frame holds the whole segment nobody sees any of it, and before a frame is
 * given away nobody sees it any more: so no thread reads a byte that is not
 * there yet or not there any more, and none stores where it would be lost. */

/* How often the same fault may need nothing before it is the program's own. A
 * few are normal: threads that touched one segment at once. */
#define ALPS_STALE_MAX 10000u

/* So many bytes that go one behind the other are begun with at once. */
#define ALPS_TRAIL_ ((uint64_t)1 << 20)

/* A thread may be at an instruction that needs four segments at once. */
ALPS_FN_ void alps_pager_thread_(alps_pager *p, uintptr_t self)
{
    uintptr_t *seat = &p->thread[(self * 0x9e3779b97f4a7c15ull) >> 58];
    if (*seat == self)
        return;
    if (!*seat)
        p->threads++;
    *seat = self;
    p->young = p->threads > 2 ? 4 * p->threads : 8;
}

/* So many of the last to come stay: what instructions need at once, but never
 * all of `n` frames. */
ALPS_FN_ uint32_t alps_pager_young_(const alps_pager *p, uint32_t n)
{
    uint32_t most = n - n / 8 - 1;
    return p->young < most ? p->young : most;
}

/* Whether a frame may be taken from its segment: not from the last to come. */
ALPS_FN_ int alps_pager_may_(const alps_pager *p, uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    return f->state != ALPS_FRAME_FREE && !f->pins &&
           p->clock - f->born >= alps_pager_young_(p, p->pool.used);
}

/* A segment was written because it goes. Where one goes behind the other, the
 * medium is told to begin, a stretch at a time: so it is at work while threads
 * are, and a sync finds little left to wait for. Nothing is durable by it. What
 * goes here and there is left to the system, for it may come back and be
 * written again. */
ALPS_COLD_ void alps_pager_trail_(alps_pager *p, uint64_t off)
{
    if (off != p->trail_to)
        p->trail = off;
    p->trail_to = off + p->pool.segment;
    if (off > p->trail && p->trail_to - p->trail >= ALPS_TRAIL_) {
        ALPS_PAGED_BEGIN(p->fd, p->trail, p->trail_to - p->trail);
        p->trail = p->trail_to;
    }
}

/* Takes the frame from its segment; what the file does not have is written
 * before, and where that fails the segment stays. */
ALPS_COLD_ int alps_pager_evict_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    int shown = f->state != ALPS_FRAME_HIDDEN;
    int err = alps_segment_still_(p, frame);
    if (!err && f->dirty) {
        err = alps_segment_write_(p, frame, 0, p->pool.segment);
        if (!err) {
            p->unheld = p->written;
            if (p->past < 0 && !p->spill.journal)
                alps_pager_trail_(p, alps_segment_off_(p, f->segment));
        }
    }
    if (!err) {
        alps_segment_drop_(p, frame);
        p->count.evictions++;
    } else if (shown && f->state == ALPS_FRAME_HIDDEN) {
        alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
    }
    return err;
}

/* One who is dirty, and was not stored to lately, is written; it stays.
 * ALPS_EFULL: there is none. */
ALPS_COLD_ int alps_pager_clean_(alps_pager *p)
{
    // of all there may be: while few are in use none of them has to go
    uint32_t young = alps_pager_young_(p, p->pool.n);
    uint32_t frame = alps_watermark_next_(&p->mark, &p->pool, young);
    if (frame == ALPS_NO_FRAME)
        return ALPS_EFULL;
    int err = alps_segment_clean_(p, frame);
    if (err)
        return err;
    p->count.cleaned++;
    if (p->past < 0 && !p->spill.journal)
        alps_pager_trail_(p,
                          alps_segment_off_(p, p->pool.frame[frame].segment));
    return ALPS_OK;
}

/* The region's thread has something to do. */
ALPS_COLD_ void alps_pager_call_(alps_pager *p)
{
    if (!__atomic_exchange_n(&p->called, 1, __ATOMIC_RELEASE))
        syscall(SYS_futex, &p->called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Something may be dirty that was not. From the high mark on the region's
 * thread is called, and who stores to one more writes one: so there are never
 * more, however fast a program is. */
ALPS_COLD_ void alps_pager_stored_(alps_pager *p)
{
    uint32_t n = alps_watermark_count_(&p->mark);
    if (n >= p->mark.high)
        alps_pager_call_(p);
    if (n > p->mark.high)
        alps_pager_clean_(p); // or it stays dirty, and goes some day
}

/* Asks the policy until somebody has gone. A wish to hide what came lately is
 * refused, like a wish to let it go. */
ALPS_COLD_ int alps_pager_ask_(alps_pager *p)
{
    uint32_t after = ALPS_NO_FRAME;
    int err = ALPS_EFULL;
    for (uint32_t i = 0; err && i < 4 * p->pool.n + 64; i++) {
        uint32_t answer = p->eviction->next(p->state, after);
        uint32_t frame = answer & ~ALPS_VICTIM_HIDE;
        if (answer == ALPS_NO_FRAME || frame >= p->pool.n)
            break;
        after = frame;
        if (!alps_pager_may_(p, frame))
            continue;
        if (frame == answer) {
            err = alps_pager_evict_(p, frame);
        } else if (!alps_segment_hide_(p, frame)) {
            alps_segment_tell_(p, ALPS_TOLD_HIDDEN, frame);
            after = ALPS_NO_FRAME;
        }
    }
    return err;
}

/* Somebody goes whom the policy did not name: the longest here; or, if they
 * cannot be written, any who need not be. */
ALPS_COLD_ int alps_pager_force_(alps_pager *p)
{
    uint32_t best = ALPS_NO_FRAME;
    for (uint32_t i = 0; i < p->pool.n; i++)
        if (alps_pager_may_(p, i) &&
            (best == ALPS_NO_FRAME ||
             p->pool.frame[i].born < p->pool.frame[best].born))
            best = i;
    int err = best == ALPS_NO_FRAME ? ALPS_EFULL : alps_pager_evict_(p, best);
    for (uint32_t i = 0; err && i < p->pool.n; i++)
        if (alps_pager_may_(p, i) && !p->pool.frame[i].dirty)
            err = alps_pager_evict_(p, i);
    return err;
}

/* Somebody goes. */
ALPS_COLD_ int alps_pager_free_(alps_pager *p)
{
    int err = alps_pager_ask_(p);
    return err ? alps_pager_force_(p) : ALPS_OK;
}

/* Takes a frame's bytes from another region of the budget, if its latch is free
 * and it has more; answers 1 then. What is left over goes back. */
ALPS_COLD_ int alps_pager_rob_(alps_pager *p)
{
    alps_budget *b = p->budget;
    uint32_t free = ALPS_LATCH_FREE_;
    uint64_t need = (uint64_t)1 << p->shift, got = 0;
    alps_latch_take_(&b->latch);
    alps_pager *q = alps_budget_rich_(p);
    if (q && !__atomic_compare_exchange_n(&q->latch, &free, ALPS_LATCH_HELD_, 0,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        q = NULL;
    while (q && got < need && q->pool.used > ALPS_FRAMES_MIN) {
        if (q->pool.spare == ALPS_NO_FRAME && alps_pager_free_(q))
            break;
        if (!alps_pool_less_(&q->pool))
            break;
        got += (uint64_t)1 << q->shift;
    }
    if (q)
        alps_latch_give_(&q->latch);
    b->used += got >= need ? need : 0;
    b->used -= got;
    alps_latch_give_(&b->latch);
    return got >= need;
}

/* A free frame: one that has memory, or may have it, or was another region's,
 * or was another segment's. */
ALPS_COLD_ int alps_pager_frame_(alps_pager *p, uint32_t *frame)
{
    int may = p->pool.fresh < p->pool.n || p->pool.bare != ALPS_NO_FRAME;
    *frame = alps_pool_take_(&p->pool);
    if (*frame != ALPS_NO_FRAME)
        return ALPS_OK;
    if (may && (alps_budget_take_(p) ||
                (alps_budget_poor_(p) && alps_pager_rob_(p)))) {
        *frame = alps_pool_more_(&p->pool);
        return ALPS_OK;
    }
    int err = alps_pager_free_(p);
    if (!err)
        *frame = alps_pool_take_(&p->pool);
    return err;
}

/* Brings the segment, to be read or to be written. */
ALPS_COLD_ int alps_pager_bring_(alps_pager *p, uint32_t segment, int write)
{
    uint32_t frame;
    int err = alps_pager_frame_(p, &frame);
    if (err)
        return err;
    alps_page_frame *f = &p->pool.frame[frame];
    f->segment = segment;
    err = alps_segment_read_(p, segment, alps_view_at_(&p->pool, frame));
    if (!err) {
        // Before it is shown: who stores to it then and syncs has to find it.
        alps_segment_set_(p, segment, frame);
        err = alps_segment_show_(p, frame, write);
        if (err)
            alps_segment_set_(p, segment, ALPS_NO_FRAME);
    }
    if (err) {
        alps_pool_return_(&p->pool, frame);
        return err;
    }
    alps_segment_tell_(p, write ? ALPS_TOLD_WRITE : ALPS_TOLD_READ, frame);
    p->count.faults++;
    return ALPS_OK;
}

/* Shows a hidden one. One that is dirty may be shown to be read, and is dirty
 * all the same. */
ALPS_COLD_ int alps_pager_again_(alps_pager *p, uint32_t frame, int write)
{
    int was = p->pool.frame[frame].dirty;
    int err = alps_segment_show_(p, frame, write);
    if (err)
        return err;
    p->count.soft++;
    alps_segment_tell_(p, ALPS_TOLD_AGAIN, frame);
    if (write && !was)
        alps_segment_tell_(p, ALPS_TOLD_DIRTY, frame);
    return ALPS_OK;
}

/* The segment is as it is wanted already: another thread was quicker. But not
 * ten thousand times in a row, with nothing to be done in between. */
ALPS_COLD_ int alps_pager_stale_(alps_pager *p, uint64_t off)
{
    p->stale = p->stale_off == off ? p->stale + 1 : 0;
    p->stale_off = off;
    return p->stale > ALPS_STALE_MAX ? ALPS_NOT_OURS : ALPS_OK;
}

/* Makes the segment fit to be touched in this way, by thread `self`. Under the
 * latch. */
ALPS_COLD_ int alps_pager_want_(alps_pager *p, uint64_t off, int how,
                                uintptr_t self)
{
    uint32_t segment = (uint32_t)(off >> p->shift);
    alps_ahead_wait_(p, segment);
    uint32_t frame = alps_segment_frame_(p, segment);
    int write = how == ALPS_TOUCH_WRITE;
    unsigned state = frame == ALPS_NO_FRAME ? (unsigned)ALPS_FRAME_FREE
                                            : p->pool.frame[frame].state;
    if (state == ALPS_FRAME_WRITE ||
        (state == ALPS_FRAME_READ && how == ALPS_TOUCH_READ))
        return alps_pager_stale_(p, off);
    p->stale = 0;
    p->uffd.stores = write;
    alps_pager_thread_(p, self);
    int err;
    if (state == ALPS_FRAME_FREE)
        err = alps_pager_bring_(p, segment, write);
    else if (state == ALPS_FRAME_HIDDEN)
        err = alps_pager_again_(p, frame, write);
    else
        err = alps_segment_upgrade_(p, frame);
    if (p->mark.high)
        alps_pager_stored_(p);
    if (p->ahead.most && state <= ALPS_FRAME_HIDDEN &&
        alps_ahead_saw_(p, segment))
        alps_pager_call_(p);
    return err;
}

/* Brings the next segment of a stream, if there is one; answers 1 then. Where
 * that fails the stream ends. Under the latch. */
ALPS_COLD_ int alps_pager_ahead_(alps_pager *p, alps_stream *s)
{
    uint32_t frame, segment = s->next, all = (uint32_t)(p->length >> p->shift);
    if (segment >= s->end || segment >= all)
        return 0;
    s->next++;
    if (alps_segment_frame_(p, segment) != ALPS_NO_FRAME)
        return 1;
    if (alps_pager_frame_(p, &frame) || alps_ahead_bring_(p, segment, frame))
        s->end = 0;
    return 1;
}

/* A thread touched what is hidden, or stored to what is not to be written. */
ALPS_COLD_ int alps_pager_touched_(void *context, uint64_t off, int how)
{
    alps_pager *p = (alps_pager *)context;
    uint64_t length = __atomic_load_n(&p->length, __ATOMIC_ACQUIRE);
    if (off >= alps_round_up_(length, ALPS_PAGE))
        return ALPS_NOT_OURS;
    alps_latch_take_(&p->latch);
    int err = alps_pager_want_(p, off, how, ALPS_THREAD_());
    alps_latch_give_(&p->latch);
    return err;
}

/* server.h -- the thread that serves faults, where no signal does
 *
 * The system tells it who touched what, and lets that thread wait; it brings
 * the segment, as a thread of a rewired region does for itself, and the other
 * goes on. It is one for each region, lets no signal in, and touches no memory
 * of the region that is not there: who it would have to wait for is itself. */

/* Events that are asked for at once. */
#define ALPS_SERVER_EVENTS_ 16u

/* So long a page stays spoilt before it is tried again. */
#define ALPS_SERVER_MENDS_ 10 /* milliseconds */

/* So often, a millisecond each, the system is waited for that reads or stores
 * to all that might go: what it does so far may be for this very page. */
#define ALPS_SERVER_WAITS_ 1000u

/* What cannot be brought is SIGBUS, and what is behind the end as well. Where
 * not even that can be had the thread tries again. Under the latch. */
ALPS_COLD_ void alps_server_spoil_(alps_pager *p, uint64_t at)
{
    uint32_t segment =
        (uint32_t)((at - (uint64_t)(uintptr_t)p->base) >> p->shift);
    uint32_t frame = alps_segment_frame_(p, segment);
    if (frame == ALPS_NO_FRAME ||
        p->pool.frame[frame].state == ALPS_FRAME_HIDDEN)
        alps_uffd_spoil_(&p->uffd, at);
}

/* Whether the fault is to be tried again in a moment. */
ALPS_COLD_ int alps_server_waits_(alps_uffd *u, int err)
{
    u->busy = err == ALPS_EBUSY ? u->busy + 1 : 0;
    return u->busy % (ALPS_SERVER_WAITS_ + 1) != 0;
}

/* One thread touched something. */
ALPS_COLD_ void alps_server_fault_(alps_pager *p, const alps_uffd_event *e)
{
    struct timespec nap = {0, ALPS_VIEW_NAP_};
    uint64_t page = alps_system_page_();
    uint64_t at = e->address / page * page;
    uint64_t off = at - (uint64_t)(uintptr_t)p->base;
    uint64_t whole = p->uffd.hole < 0 ? ALPS_PAGE : p->uffd.segment;
    int store = (e->flags & ALPS_UFFD_STORE_) != 0;
    if (e->what != ALPS_UFFD_FAULT_ || off >= p->reserved)
        return;
    alps_latch_take_(&p->latch); // no signal comes to this thread
    int err = ALPS_ETRUNCATED;   // behind the end
    if (off < alps_round_up_(p->length, whole))
        err =
            alps_pager_want_(p, off, store ? ALPS_TOUCH_WRITE : ALPS_TOUCH_READ,
                             (uintptr_t)(uint32_t)e->more + 1);
    int waits = alps_server_waits_(&p->uffd, err);
    if (err && err != ALPS_NOT_OURS && !waits)
        alps_server_spoil_(p, at);
    alps_latch_give_(&p->latch);
    if (waits)
        nanosleep(&nap, NULL);
    alps_uffd_wake_(&p->uffd, at, page); // also where nothing was to be done
}

ALPS_COLD_ void alps_server_mend_(alps_pager *p)
{
    alps_latch_take_(&p->latch);
    alps_uffd_mend_(&p->uffd, (uint64_t)(uintptr_t)p->base, p->reserved);
    alps_latch_give_(&p->latch);
}

ALPS_COLD_ void *alps_server_run_(void *pager)
{
    alps_pager *p = (alps_pager *)pager;
    alps_uffd_event event[ALPS_SERVER_EVENTS_];
    for (unsigned round = 1;; round++) {
        struct pollfd from[2] = {{p->uffd.fd, POLLIN, 0},
                                 {p->uffd.stop, POLLIN, 0}};
        unsigned bad = __atomic_load_n(&p->uffd.spoilt_n, __ATOMIC_RELAXED);
        int n = poll(from, 2, bad ? ALPS_SERVER_MENDS_ : -1);
        if (from[1].revents)
            return NULL;
        if (bad && (n == 0 || bad == ALPS_UFFD_SPOILT_ || round % 64 == 0))
            alps_server_mend_(p);
        long got = n > 0 ? (long)read(p->uffd.fd, event, sizeof event) : 0;
        for (long i = 0; i < got / (long)sizeof *event; i++)
            alps_server_fault_(p, &event[i]);
    }
}

/* Room for a segment that is filled; the child of a fork does not get it. */
ALPS_COLD_ int alps_server_room_(const alps_uffd *u, unsigned char **room)
{
    *room = (unsigned char *)alps_pool_memory_(u->segment);
    if (!*room)
        return ALPS_ENOMEM;
    return syscall(SYS_madvise, *room, u->segment, MADV_DONTFORK)
               ? alps_oserror_()
               : ALPS_OK;
}

/* Makes ready to serve frames of `segment` bytes. `some`: faults of threads
 * alone will do. */
ALPS_COLD_ int alps_server_open_(alps_pager *p, uint64_t segment, int some)
{
    alps_uffd *u = &p->uffd;
    u->segment = segment;
    u->fd = u->stop = u->hole = -1;
    int err = alps_uffd_open_(u, some);
    if (err)
        return err;
    u->stop = (int)syscall(SYS_eventfd2, 0L, (long)O_CLOEXEC);
    if (!(u->has & ALPS_UFFD_HAS_POISON_))
        u->hole = alps_pool_file_(0);
    err = alps_server_room_(u, &u->bounce);
    if (!err && p->ahead.most && u->has & ALPS_UFFD_HAS_MOVE_)
        err = alps_server_room_(u, &u->guess); // else nothing can be hidden
    if (err || u->stop < 0 ||
        (u->hole < 0 && !(u->has & ALPS_UFFD_HAS_POISON_)))
        return err ? err : ALPS_ENOMEM;
    return ALPS_OK;
}

/* From now on it serves. */
ALPS_COLD_ int alps_server_start_(alps_pager *p)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&p->uffd.thread, NULL, alps_server_run_, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->uffd.serves = !err;
    return err ? ALPS_ENOMEM : ALPS_OK;
}

/* No longer. The child of a fork has no thread. */
ALPS_COLD_ void alps_server_stop_(alps_pager *p)
{
    uint64_t one = 1;
    if (!p->uffd.serves || p->process != getpid())
        return;
    while (write(p->uffd.stop, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(p->uffd.thread, NULL);
    p->uffd.serves = 0;
}

/* Gives up what it had; the child of a fork has no memory of it. */
ALPS_COLD_ void alps_server_close_(alps_pager *p)
{
    alps_uffd *u = &p->uffd;
    if (!u->segment)
        return; // it was never made ready
    alps_server_stop_(p);
    if (u->bounce && p->process == getpid())
        munmap(u->bounce, (size_t)u->segment);
    if (u->guess && p->process == getpid())
        munmap(u->guess, (size_t)u->segment);
    alps_uffd_close_(u);
    memset(u, 0, sizeof *u);
}

/* writeback.h -- what is dirty comes to the file, and becomes durable there
 *
 * Writing is one thing and being durable another: evictions write all the time
 * and sync never. Every write is counted; a fence syncs the file if any was
 * made since the last sync, whoever made it, and is free if none was. */

/* Bytes [from, to) of a frame that may be dirty. All of a segment leaves it
 * clean; pages of it are just written. */
ALPS_COLD_ int alps_writeback_frame_(alps_pager *p, uint32_t frame,
                                     uint64_t from, uint64_t to)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    if (!f->dirty)
        return ALPS_OK;
    if (from == 0 && to >= alps_segment_bytes_(p, f->segment))
        return alps_segment_clean_(p, frame);
    from -= from % ALPS_PAGE;
    to = alps_round_up_(to, ALPS_PAGE);
    return alps_segment_pages_(p, frame, from, to);
}

/* Bytes that a sync of `n` may have to write. */
ALPS_COLD_ uint64_t alps_writeback_due_(alps_pager *p, uint64_t n)
{
    sigset_t old;
    if (!n)
        return 0;
    alps_latch_enter_(&p->latch, &old);
    uint64_t due = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    alps_latch_leave_(&p->latch, &old);
    return due;
}

/* Bytes [off, off + n) of the region are in the file when this returns 0, as
 * far as they were stored before it was called. The latch is held for one
 * segment at a time. Goes on after an error, and answers the first. `telling`,
 * or NULL, hears of each segment that was dirty. */
ALPS_COLD_ int alps_writeback_(alps_pager *p, uint64_t off, uint64_t n,
                               alps_telling *telling)
{
    uint64_t end = off + n;
    uint64_t length = __atomic_load_n(&p->length, __ATOMIC_ACQUIRE);
    int first = ALPS_OK;
    if (end > length)
        end = length;
    while (off < end) {
        uint32_t segment = (uint32_t)(off >> p->shift);
        uint64_t start = alps_segment_off_(p, segment);
        uint64_t stop = start + p->pool.segment;
        uint64_t to = end < stop ? end : stop;
        if (alps_segment_frame_(p, segment) != ALPS_NO_FRAME) {
            sigset_t old;
            int err = ALPS_OK;
            uint64_t due = 0;
            alps_latch_enter_(&p->latch, &old);
            uint32_t frame = alps_segment_frame_(p, segment);
            if (frame != ALPS_NO_FRAME) {
                due = alps_pool_dirty_(&p->pool, frame, frame + 1);
                err = alps_writeback_frame_(p, frame, off - start, to - start);
            }
            alps_latch_leave_(&p->latch, &old);
            first = first ? first : err;
            if (telling && !err)
                alps_progress_step_(telling, due);
        }
        off = stop;
    }
    return first;
}

/* What every fence takes along is listened to from now on, where that is not
 * much of the memory there is. */
ALPS_COLD_ void alps_writeback_listen_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    if (n + 2 * ALPS_PAGE > p->memory / 64)
        return;
    alps_latch_enter_(&p->latch, &old);
    if (!p->echo.bytes)
        alps_echo_open_(&p->echo, off, n);
    alps_latch_leave_(&p->latch, &old);
}

/* A sync has failed: the system takes pages for clean that are not on the
 * medium. What is in memory is due once more; what is not is lost. */
ALPS_COLD_ void alps_writeback_failed_(alps_pager *p, int err)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    p->count.failed++;
    if (p->unheld > p->synced)
        p->lost = err;
    alps_echo_forget_(&p->echo);
    for (uint32_t i = 0; i < p->pool.n; i++)
        if (p->pool.frame[i].state != ALPS_FRAME_FREE) {
            p->pool.frame[i].dirty = 1;
            alps_watermark_saw_(&p->mark, ALPS_TOLD_DIRTY, i,
                                &p->pool.frame[i]);
        }
    alps_latch_leave_(&p->latch, &old);
}

/* What was written to the file before is durable when this returns 0. */
ALPS_COLD_ int alps_writeback_fence_(alps_pager *p)
{
    sigset_t old;
    uint64_t now = __atomic_load_n(&p->written, __ATOMIC_ACQUIRE);
    uint64_t done = __atomic_load_n(&p->synced, __ATOMIC_ACQUIRE);
    int lost = __atomic_load_n(&p->lost, __ATOMIC_ACQUIRE);
    if (lost || now <= done)
        return lost;
    if (ALPS_PAGED_SYNC(p->fd)) {
        int err = alps_oserror_();
        alps_writeback_failed_(p, err);
        return err;
    }
    alps_latch_enter_(&p->latch, &old);
    p->count.syncs++;
    alps_latch_leave_(&p->latch, &old);
    while (done < now &&
           !__atomic_compare_exchange_n(&p->synced, &done, now, 0,
                                        __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        continue;
    return ALPS_OK;
}

/* What the file has of bytes [off, off + n) changes. */
ALPS_COLD_ void alps_writeback_void_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_ahead_void_(p, off, n);
    alps_latch_leave_(&p->latch, &old);
}

/* Bytes [off, off + n), of which the file keeps nothing from now on, are
 * forgotten: whole segments, and what shares one with others is zero. */
ALPS_COLD_ void alps_writeback_forget_(alps_pager *p, uint64_t off, uint64_t n)
{
    uint64_t size = p->pool.segment, end = off + n;
    alps_writeback_void_(p, off, n);
    while (off < end) {
        sigset_t old;
        uint32_t segment = (uint32_t)(off >> p->shift);
        uint64_t start = alps_segment_off_(p, segment), stop = start + size;
        uint64_t to = end < stop ? end : stop;
        if (alps_segment_frame_(p, segment) != ALPS_NO_FRAME) {
            alps_latch_enter_(&p->latch, &old);
            uint32_t frame = alps_segment_frame_(p, segment);
            int whole = off == start && to == stop;
            if (frame != ALPS_NO_FRAME && whole && !p->pool.frame[frame].pins &&
                !alps_segment_still_(p, frame))
                alps_segment_drop_(p, frame);
            else if (frame != ALPS_NO_FRAME && !p->spill.journal)
                alps_segment_zero_(p, frame, off - start, to - start);
            alps_latch_leave_(&p->latch, &old);
        }
        off = stop;
    }
}

/* The region ends at `length` now. What was behind it is zero if it comes
 * back. */
ALPS_COLD_ void alps_writeback_length_(alps_pager *p, uint64_t length)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    uint64_t was = p->length;
    alps_echo_forget_(&p->echo);
    if (length > was)
        alps_view_more_(&p->pool, was, length);
    __atomic_store_n(&p->length, length, __ATOMIC_RELEASE);
    alps_latch_leave_(&p->latch, &old);
    if (length < was) // from now on nothing of it is brought
        alps_writeback_forget_(p, length, p->reserved - length);
}

/* Lets go of what `alps_writeback_pin_` held. */
ALPS_COLD_ void alps_writeback_unpin_(alps_pager *p, uint64_t off, uint64_t n)
{
    sigset_t old;
    uint64_t end = off + n;
    alps_latch_enter_(&p->latch, &old);
    for (off -= off % p->pool.segment; off < end; off += p->pool.segment) {
        uint32_t frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
        if (frame == ALPS_NO_FRAME || !p->pool.frame[frame].pins)
            continue;
        alps_page_frame *f = &p->pool.frame[frame];
        f->pins--;
        if (f->pins == ALPS_PINNED_STORE_)
            f->pins = 0;
    }
    alps_latch_leave_(&p->latch, &old);
}

/* One segment is in memory, to be read or to be written, and stays. Under the
 * latch. */
ALPS_COLD_ int alps_writeback_hold_(alps_pager *p, uint64_t off, int write)
{
    uint32_t frame, kept = 0;
    int err = ALPS_OK;
    for (uint32_t i = 0; i < p->pool.n; i++)
        kept += p->pool.frame[i].pins != 0;
    frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
    if (kept + p->young + 1 >= p->pool.n &&
        (frame == ALPS_NO_FRAME || !p->pool.frame[frame].pins))
        return ALPS_EFULL;
    if (frame == ALPS_NO_FRAME ||
        p->pool.frame[frame].state <
            (write ? ALPS_FRAME_WRITE : ALPS_FRAME_READ))
        err = alps_pager_want_(
            p, off, write ? ALPS_TOUCH_WRITE : ALPS_TOUCH_READ, ALPS_THREAD_());
    frame = alps_segment_frame_(p, (uint32_t)(off >> p->shift));
    if (err)
        return err;
    alps_page_frame *f = &p->pool.frame[frame];
    if ((f->pins & ~ALPS_PINNED_STORE_) == ALPS_PINNED_STORE_ - 1)
        return ALPS_EFULL;
    f->pins++;
    if (write)
        f->pins = (uint16_t)(f->pins | ALPS_PINNED_STORE_);
    return ALPS_OK;
}

/* Bytes [off, off + n) are in memory and stay there: for system calls, which do
 * not fault as threads do. ALPS_EFULL: so many cannot. */
ALPS_COLD_ int alps_writeback_pin_(alps_pager *p, uint64_t off, uint64_t n,
                                   int write)
{
    uint64_t start = off - off % p->pool.segment, at = start, end = off + n;
    int err = ALPS_OK;
    while (!err && at < end) {
        sigset_t old;
        alps_latch_enter_(&p->latch, &old);
        err = alps_writeback_hold_(p, at, write);
        alps_latch_leave_(&p->latch, &old);
        at += err ? 0 : p->pool.segment;
    }
    if (err && at > start)
        alps_writeback_unpin_(p, start, at - start);
    return err;
}

/* What it has done so far. */
ALPS_COLD_ alps_paging alps_writeback_count_(alps_pager *p)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_paging count = p->count;
    alps_latch_leave_(&p->latch, &old);
    return count;
}

/* turn.h -- one thread commits, for all that wait
 *
 * A commit has two halves: up to the moment whose state it is, and what makes
 * that durable. Threads that come while one commits wait for it, and one of
 * them commits for all. */

/* The halves. The second is told how the first ended, and answers how the whole
 * did; where that is no 0 it is as if the commit had never begun. */
typedef int alps_turn_first(alps_map *m);
typedef int alps_turn_last(alps_map *m, int err);

/* One half of a commit. The turn is this thread's in between. */
ALPS_FAST_ int alps_turn_half_(alps_map *m, unsigned part,
                               alps_turn_first *first, alps_turn_last *last)
{
    alps_journal *j = m->journal;
    int err;
    if (part == ALPS_COMMIT_BEGIN) {
        pthread_mutex_lock(&j->turn);
        __atomic_add_fetch(&j->begun, 1, __ATOMIC_SEQ_CST);
        err = first(m);
        j->half = !err;
        if (!err)
            return ALPS_OK;
    } else if (!j->half) {
        return ALPS_EINVAL;
    } else {
        err = ALPS_OK;
        j->half = 0;
    }
    err = last(m, err);
    if (!err)
        j->done = j->begun;
    pthread_mutex_unlock(&j->turn);
    return err;
}

/* Makes everything so far durable, or does a half of that. */
ALPS_FAST_ int alps_turn_(alps_map *m, unsigned part, alps_turn_first *first,
                          alps_turn_last *last)
{
    alps_journal *j = m->journal;
    uint64_t seen = __atomic_fetch_add(&j->begun, 0, __ATOMIC_SEQ_CST);
    int err = ALPS_OK;
    if (part != ALPS_COMMIT_ALL)
        return alps_turn_half_(m, part, first, last);
    pthread_mutex_lock(&j->turn);
    if (j->done <= seen) {
        uint64_t number = __atomic_add_fetch(&j->begun, 1, __ATOMIC_SEQ_CST);
        err = last(m, first(m));
        if (!err)
            j->done = number;
    }
    pthread_mutex_unlock(&j->turn);
    return err;
}

/* capture.h -- a region larger than its memory is committed, all at once
 *
 * What is dirty is spilled; at one moment nobody can store; what is dirty then
 * is spilled too, and all that was, since the last commit, is the next. Then it
 * is made durable, and comes home while threads go on. docs/paged.md has the
 * order, and why no crash finds part of a commit. */

/* Whole pages of the region, which another thread may make larger. */
ALPS_FN_ uint64_t alps_capture_pages_(const alps_pager *p)
{
    return __atomic_load_n(&p->length, __ATOMIC_ACQUIRE) / ALPS_PAGE;
}

/* ALPS_EBUSY: the system may store to something, which cannot wait. */
ALPS_COLD_ int alps_capture_pinned_(const alps_pager *p)
{
    for (uint32_t i = 0; i < p->pool.n; i++)
        if (p->pool.frame[i].pins & ALPS_PINNED_STORE_)
            return ALPS_EBUSY;
    return ALPS_OK;
}

/* Spills the frame, if it is dirty and the system does not store to it. */
ALPS_COLD_ int alps_capture_frame_(alps_pager *p, uint32_t frame)
{
    const alps_page_frame *f = &p->pool.frame[frame];
    if (f->state == ALPS_FRAME_FREE || !f->dirty ||
        f->pins & ALPS_PINNED_STORE_)
        return ALPS_OK;
    return alps_segment_clean_(p, frame);
}

/* Spills what is dirty, while others work. */
ALPS_COLD_ int alps_capture_most_(alps_pager *p)
{
    int err = ALPS_OK;
    for (uint32_t i = 0; !err && i < p->pool.n; i++) {
        sigset_t old;
        alps_latch_enter_(&p->latch, &old);
        uint64_t n = alps_pool_dirty_(&p->pool, i, i + 1);
        err = alps_capture_frame_(p, i);
        alps_latch_leave_(&p->latch, &old);
        if (!err)
            alps_progress_step_(&p->spill.journal->telling, n);
    }
    return err;
}

/* The moment, and all that was stored before it: what is spilled is protected
 * first, and who stores to it then waits for the latch. So the moment is when
 * the last one is protected. */
ALPS_COLD_ int alps_capture_moment_(alps_pager *p)
{
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    uint64_t n = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    int err = alps_capture_pinned_(p);
    for (uint32_t i = 0; !err && i < p->pool.n; i++)
        err = alps_capture_frame_(p, i);
    if (!err)
        err = alps_spill_cut_(&p->spill, p->length, &p->count);
    alps_latch_leave_(&p->latch, &old);
    if (!err)
        alps_progress_step_(&p->spill.journal->telling, n);
    return err;
}

/* Writes bytes [at, end) of the journal once more. */
ALPS_COLD_ int alps_capture_rewrite_(const alps_journal *j, uint64_t at,
                                     uint64_t end)
{
    int err = ALPS_OK;
    while (!err && at < end) {
        uint64_t n = ALPS_FRAME_CHUNK_ * (uint64_t)ALPS_PAGE;
        if (n > end - at)
            n = end - at;
        err = alps_fd_read_(j->fd, j->bytes, n, at);
        if (!err)
            err = alps_fd_write_(j->fd, j->bytes, n, at);
        at += n;
    }
    return err;
}

/* A sync has failed: the system may take for written what is not. What no
 * durable commit has is looked at, and written again. */
ALPS_COLD_ int alps_capture_again_(alps_pager *p)
{
    sigset_t old;
    alps_frame_head head;
    alps_spill *s = &p->spill;
    const alps_journal *j = s->journal;
    uint64_t at = j->tail, seq = j->seq;
    uint32_t before = j->before;
    int err = ALPS_OK;
    alps_latch_enter_(&p->latch, &old);
    uint64_t end = s->end.tail;
    alps_latch_leave_(&p->latch, &old);
    while (!err && at < end) {
        err = alps_frame_head_(j, at, seq, before, &head);
        if (!err)
            err = alps_frame_check_(j, at, &head);
        if (err == ALPS_ECORRUPT || err == ALPS_ETRUNCATED)
            err = s->lost = ALPS_EIO;
        if (!err)
            err = alps_capture_rewrite_(j, at, alps_frame_end_(at, &head));
        if (err)
            return err;
        at = alps_frame_end_(at, &head);
        before = head.crc;
        seq++;
    }
    s->unsure = 0;
    return ALPS_OK;
}

/* The first half of a commit: up to the moment. */
ALPS_COLD_ int alps_capture_first_(alps_map *m)
{
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    sigset_t old;
    alps_latch_enter_(&p->latch, &old);
    alps_pages_move_(j->going, j->gone, alps_capture_pages_(p));
    uint64_t n = alps_pool_dirty_(&p->pool, 0, p->pool.n);
    alps_latch_leave_(&p->latch, &old);
    alps_progress_begin_(&j->telling, m, n);
    int err = p->spill.lost;
    if (!err && p->spill.unsure)
        err = alps_capture_again_(p);
    if (!err)
        err = alps_capture_most_(p);
    return err ? err : alps_capture_moment_(p);
}

/* Punches the first pages from `page` on that the last durable commit does not
 * need, and answers where to go on. One who needs them again says so under the
 * latch. */
ALPS_COLD_ uint64_t alps_capture_punch_(alps_map *m, uint64_t page,
                                        uint64_t end)
{
    sigset_t old;
    alps_pager *p = m->pager;
    const alps_journal *j = m->journal;
    uint64_t n = 0;
    alps_latch_enter_(&p->latch, &old);
    page = alps_page_next_(j->hole, page, end);
    while (page + n < end && alps_page_in_(j->hole, page + n))
        n++;
    if (n)
        alps_medium_punch_(m, page * ALPS_PAGE, n * ALPS_PAGE);
    alps_latch_leave_(&p->latch, &old);
    return page + n + 1;
}

/* Punches them all. */
ALPS_COLD_ void alps_capture_punches_(alps_map *m)
{
    sigset_t old;
    alps_pager *p = m->pager;
    uint64_t end = alps_capture_pages_(p), page = 0;
    while (page < end)
        page = alps_capture_punch_(m, page, end);
    alps_latch_enter_(&p->latch, &old);
    alps_pages_clear_(m->journal->hole, end);
    alps_latch_leave_(&p->latch, &old);
}

/* All is at home, durably: frames before the end of the last commit are not
 * needed any more. */
ALPS_COLD_ int alps_capture_empty_(alps_map *m)
{
    sigset_t old;
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    uint64_t from = j->start;
    alps_latch_enter_(&p->latch, &old);
    alps_pages_clear_(j->here, p->spill.top);
    alps_latch_leave_(&p->latch, &old);
    j->start = j->tail;
    j->headed = 0;
    int err = alps_journal_head_(j);
    if (!err)
        err = alps_fd_sync_data_(j->fd);
    if (err)
        return err;
    j->headed = 1;
    alps_latch_enter_(&p->latch, &old);
    int anew = alps_spill_anew_(&p->spill);
    if (anew)
        alps_journal_shorten_(j);
    alps_latch_leave_(&p->latch, &old);
    if (!anew)
        syscall(SYS_fallocate, j->fd,
                ALPS_FALLOC_PUNCH_HOLE_ | ALPS_FALLOC_KEEP_SIZE_, (off_t)from,
                (off_t)(j->start - from));
    return ALPS_OK;
}

/* Bytes [off, off + n), whole pages, are not needed any more. */
ALPS_COLD_ int alps_capture_give_(const alps_map *m, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&m->pager->latch, &old);
    alps_home_gone_(m->journal, off, n);
    alps_latch_leave_(&m->pager->latch, &old);
    alps_writeback_forget_(m->pager, off, n);
    return ALPS_OK;
}

/* They are needed again. */
ALPS_COLD_ void alps_capture_keep_(const alps_map *m, uint64_t off, uint64_t n)
{
    sigset_t old;
    alps_latch_enter_(&m->pager->latch, &old);
    alps_home_keep_(m, off, n);
    alps_latch_leave_(&m->pager->latch, &old);
}

/* Brings home what is committed, while others work. Not while a reader is
 * there. */
ALPS_COLD_ int alps_capture_home_(alps_map *m)
{
    return alps_home_carry_(m, alps_capture_punches_, alps_capture_empty_);
}

/* The frames up to the cut are durable when this answers 0. */
ALPS_COLD_ int alps_capture_sync_(alps_pager *p)
{
    alps_journal *j = p->spill.journal;
    int err = j->headed ? ALPS_OK : alps_journal_head_(j);
    if (err)
        return err;
    err = ALPS_PAGED_SYNC(j->fd) ? alps_oserror_() : ALPS_OK;
    if (!err)
        j->headed = 1;
    else
        p->spill.unsure = 1;
    return err;
}

/* The second half: durable, or part of the next. */
ALPS_COLD_ int alps_capture_last_(alps_map *m, int err)
{
    sigset_t old;
    alps_pager *p = m->pager;
    alps_journal *j = m->journal;
    int some = p->spill.cut.tail != j->tail;
    if (!err && some)
        err = alps_capture_sync_(p);
    alps_latch_enter_(&p->latch, &old);
    if (some)
        alps_spill_settle_(&p->spill, !err);
    if (some && !err)
        p->count.syncs++;
    else if (p->spill.unsure)
        p->count.failed++;
    alps_pages_move_(err ? j->gone : j->hole, j->going, alps_capture_pages_(p));
    alps_latch_leave_(&p->latch, &old);
    if (err && p->spill.unsure && !p->spill.lost)
        alps_capture_again_(p); // while the system has it still; or next time
    if (!err && j->tail - j->start > ALPS_JOURNAL_MAX)
        alps_capture_home_(m); // or the next time
    if (!err)
        alps_progress_end_(&j->telling);
    return err;
}

/* The commit of a region that is rewired: see turn.h. */
ALPS_COLD_ int alps_capture_(alps_map *m, unsigned part)
{
    return alps_turn_(m, part, alps_capture_first_, alps_capture_last_);
}

/* Makes ready for it: a journal, which the region names, before anything can be
 * spilled. Home names it before the first page is read: so every commit does,
 * and a sync touches nothing, for which there may be no memory. */
ALPS_COLD_ int alps_capture_open_(alps_map *m, uint64_t reserved)
{
    alps_pager *p = m->pager;
    int err = alps_journal_room_(m->journal, reserved / ALPS_PAGE + 1);
    if (err)
        return err;
    alps_sole_known_(m);
    alps_journal *j = m->journal;
    uint64_t words = alps_page_words_(j->size / ALPS_PAGE);
    for (uint64_t i = 0; i < words; i++)
        if (j->here[i])
            j->known[i] |= j->here[i];
    err = alps_journal_ready_(m);
    if (err)
        return err;
    return alps_spill_open_(&p->spill, j, j->pages,
                            ((uint64_t)1 << p->shift) / ALPS_PAGE);
}

/* cleaner.h -- the thread of a region: what can be done before it has to be
 *
 * For a program that wants its file to be nearly up to date, its evictions to
 * find clean segments, and its syncs little to write. It comes by once in an
 * interval: what it finds dirty for the second time it writes. And it is called
 * where too much is dirty, or a segment is likely to be touched next. Nothing
 * is durable by it: fences do that. */

/* Comes by one frame. */
ALPS_COLD_ void alps_cleaner_look_(alps_pager *p, uint32_t frame)
{
    alps_page_frame *f = &p->pool.frame[frame];
    if (f->state == ALPS_FRAME_FREE || !f->dirty || f->pins)
        return;
    if (f->dirty++ == 1)
        return;
    f->dirty = 2;
    if (!alps_segment_clean_(p, frame)) // a failure is found by who syncs
        p->count.cleaned++;
}

ALPS_FN_ int alps_cleaner_ends_(const alps_pager *p)
{
    return (int)__atomic_load_n(&p->ended, __ATOMIC_ACQUIRE);
}

/* Comes by all frames. No signal comes to this thread. */
ALPS_COLD_ void alps_cleaner_round_(alps_pager *p)
{
    for (uint32_t i = 0; i < p->pool.n && !alps_cleaner_ends_(p); i++) {
        alps_latch_take_(&p->latch);
        alps_cleaner_look_(p, i);
        alps_latch_give_(&p->latch);
    }
}

/* Writes until the low mark, or until nothing can be written. Whoever waits for
 * the latch has it in between. */
ALPS_COLD_ void alps_cleaner_lower_(alps_pager *p)
{
    int err = ALPS_OK;
    while (!err && !alps_cleaner_ends_(p)) {
        alps_latch_take_(&p->latch);
        err = p->mark.high && alps_watermark_count_(&p->mark) > p->mark.low
                  ? alps_pager_clean_(p)
                  : ALPS_EFULL;
        alps_latch_give_(&p->latch);
        sched_yield();
    }
}

/* Brings what is likely next, by turns for each stream. */
ALPS_COLD_ void alps_cleaner_ahead_(alps_pager *p)
{
    for (int more = 1; more && !alps_cleaner_ends_(p);) {
        more = 0;
        for (unsigned i = 0; i < ALPS_STREAMS_; i++) {
            alps_latch_take_(&p->latch);
            more |= alps_pager_ahead_(p, &p->ahead.stream[i]);
            alps_latch_give_(&p->latch);
        }
    }
}

/* Milliseconds of a clock that nobody sets. */
ALPS_COLD_ uint64_t alps_cleaner_now_(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Sleeps until it is called, or `n` milliseconds; 0: until it is called. */
ALPS_COLD_ void alps_cleaner_sleep_(alps_pager *p, uint64_t n)
{
    struct timespec nap = {(time_t)(n / 1000), (long)(n % 1000) * 1000000};
    syscall(SYS_futex, &p->called, FUTEX_WAIT_PRIVATE, 0, n ? &nap : NULL, NULL,
            0);
    __atomic_exchange_n(&p->called, 0, __ATOMIC_ACQUIRE);
}

ALPS_COLD_ void *alps_cleaner_run_(void *pager)
{
    alps_pager *p = (alps_pager *)pager;
    uint64_t due = alps_cleaner_now_() + p->interval;
    while (!alps_cleaner_ends_(p)) {
        uint64_t now = alps_cleaner_now_();
        if (p->interval && now >= due) {
            alps_cleaner_round_(p);
            now = alps_cleaner_now_();
            due = now + p->interval;
        }
        alps_cleaner_sleep_(p, p->interval ? due - now : 0);
        if (p->ahead.most)
            alps_cleaner_ahead_(p);
        alps_cleaner_lower_(p);
    }
    return NULL;
}

/* Starts it, where there is something for it to do. */
ALPS_COLD_ int alps_cleaner_start_(alps_pager *p)
{
    sigset_t all, old;
    if (!p->interval && !p->mark.high && !p->ahead.most)
        return ALPS_OK;
    p->ended = p->called = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&p->cleaner, NULL, alps_cleaner_run_, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->cleans = !err;
    return err ? ALPS_ENOMEM : ALPS_OK;
}

/* Ends it; the child of a fork has none. */
ALPS_COLD_ void alps_cleaner_stop_(alps_pager *p)
{
    if (!p->cleans || p->process != getpid())
        return;
    __atomic_store_n(&p->ended, 1, __ATOMIC_RELEASE);
    alps_pager_call_(p);
    pthread_join(p->cleaner, NULL);
    p->cleans = 0;
}

/* engine.h -- who pages: the system, or we
 *
 * While a region fits into the memory it may have, the system pages it as it
 * does any file, and nothing in user space is as fast. Beyond, frames of our
 * own are rewired: docs/paged.md. A region that grows beyond changes over while
 * it is in use: all of it is hidden at one stroke, and what was stored until
 * then is in the page cache, from where it is read as it is touched. */
#include <sys/vfs.h>

/* For alps_options.engine, and what it turned out to be. */
enum {
    ALPS_ENGINE_KERNEL = 1,     /* a shared mapping of the file */
    ALPS_ENGINE_REWIRE = 2,     /* frames of our own, faults in the thread */
    ALPS_ENGINE_USERFAULTFD = 3 /* the same, faults in a thread of ours */
};

#define ALPS_SEGMENT_MAX ((uint64_t)1 << 30)
#define ALPS_SEGMENT_DEFAULT_ ((uint64_t)1 << 20)
#define ALPS_SEGMENT_SMALL_ ((uint64_t)1 << 16)

/* Mappings that are left to the rest of the program. */
#define ALPS_MAPPINGS_SPARE_ 1024u

/* Half of the machine's memory. */
ALPS_COLD_ uint64_t alps_engine_memory_(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages / 2 * alps_system_page_()
                     : (uint64_t)1 << 30;
}

/* How many mappings a process may have. */
ALPS_COLD_ uint64_t alps_engine_mappings_(void)
{
    char text[32];
    uint64_t n = 65530;
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (got > 0) {
        text[got] = 0;
        n = strtoull(text, NULL, 10);
    }
    return n;
}

/* The most frames that can be shown at once: two mappings for each, its own
 * and the nothing beside it, and two while pages of it are written. */
ALPS_COLD_ uint64_t alps_engine_most_(void)
{
    uint64_t n = alps_engine_mappings_();
    return n > 2 * ALPS_MAPPINGS_SPARE_ ? (n - ALPS_MAPPINGS_SPARE_) / 2 : 0;
}

/* The bytes of a segment, if the program has no wish: 1 MiB, less where that
 * would be few frames, more where they would be more than can be shown. */
ALPS_COLD_ uint64_t alps_engine_segment_(const alps_pager *p)
{
    uint64_t n = ALPS_SEGMENT_DEFAULT_, least = alps_system_page_();
    uint64_t most = alps_engine_most_();
    while (n > ALPS_SEGMENT_SMALL_ && p->memory / n < 64)
        n /= 2;
    while (n > least && p->memory / n <= ALPS_FRAMES_MIN)
        n /= 2;
    while (n < ALPS_SEGMENT_MAX && most && p->memory / n > most)
        n *= 2;
    return n;
}

/* What the options and the environment ask for. ALPS_EINVAL: what cannot be
 * meant. */
ALPS_COLD_ int alps_engine_ask_(alps_pager *p, const alps_options *o)
{
    static const char *const engines[] = {"kernel", "rewire", "userfaultfd"};
    static const char *const policies[ALPS_EVICTIONS] = {
        "fifo",   "lifo",  "plru",  "random", "wiro-f",
        "wiro-l", "clock", "sfifo", "2q"};
    unsigned eviction = o ? o->eviction : 0;
    p->asked = o ? o->engine : 0;
    p->memory = o ? o->memory : 0;
    p->wish = o ? o->segment : 0;
    p->faults = o ? o->faults : NULL;
    p->budget = o ? o->budget : NULL;
    uint64_t direct = o ? o->direct : 0, interval = o ? o->write_back : 0;
    int err = alps_watermark_ask_(&p->mark, o);
    if (!err)
        err = alps_ahead_ask_(&p->ahead, o);
    if (err)
        return err;
    if (alps_word_asked_("ALPS_ENGINE", engines, 3, &p->asked) ||
        alps_word_asked_("ALPS_EVICTION", policies, ALPS_EVICTIONS,
                         &eviction) ||
        alps_amount_asked_("ALPS_MEMORY", &p->memory) ||
        alps_amount_asked_("ALPS_SEGMENT", &p->wish) ||
        alps_amount_asked_("ALPS_DIRECT", &direct) || direct > 1 ||
        alps_amount_asked_("ALPS_WRITE_BACK", &interval) ||
        interval > UINT32_MAX)
        return ALPS_EINVAL;
    p->direct = (unsigned)direct;
    p->interval = (unsigned)interval;
    if (p->wish & (p->wish - 1) || p->wish > ALPS_SEGMENT_MAX ||
        (p->wish && p->wish < alps_system_page_()))
        return ALPS_EINVAL;
    if (!p->memory)
        p->memory = alps_engine_memory_();
    if (p->budget && p->memory > p->budget->bytes)
        p->memory = p->budget->bytes;
    p->eviction = alps_evict_policy_(eviction);
    if (o && o->evict && !eviction)
        p->eviction = o->evict;
    uint64_t segment = p->wish ? p->wish : alps_engine_segment_(p);
    for (p->shift = 0; (uint64_t)1 << p->shift < segment; p->shift++)
        continue;
    return ALPS_OK;
}

/* Makes what is known of the medium's opening; NULL: no memory. */
ALPS_COLD_ alps_pager *alps_engine_begin_(void)
{
    alps_pager *p = (alps_pager *)alps_pool_memory_(sizeof *p);
    if (!p)
        return NULL;
    p->pool.fd = p->fd = p->past = -1;
    p->process = getpid();
    p->engine = ALPS_ENGINE_KERNEL;
    p->why = "nothing is mapped yet";
    return p;
}

/* Frames for a region of `reserved` bytes; what is kept of them counts as
 * memory as well. 0: too few. Where faults are told there are more, and no
 * mapping for each. */
ALPS_COLD_ uint32_t alps_engine_frames_(const alps_pager *p, uint64_t length,
                                        uint64_t reserved, int told)
{
    uint64_t segment = (uint64_t)1 << p->shift;
    uint64_t most = told ? 0 : alps_engine_most_(), n = p->memory >> p->shift;
    uint64_t kept = n * (sizeof(alps_page_frame) + 2 * sizeof(alps_queued)) +
                    (length >> p->shift) * sizeof *p->table + 4 * ALPS_PAGE +
                    p->memory / 64;
    uint64_t less = alps_round_up_(kept, segment) >> p->shift;
    less += told ? ALPS_FRAMES_MORE + (p->ahead.most != 0) : 0;
    n = n > less ? n - less : 0;
    if (n < ALPS_FRAMES_MIN || (most && n > most) || n >= ALPS_VICTIM_HIDE)
        return 0;
    uint64_t all = reserved >> p->shift;
    if (n > all)
        n = all > ALPS_FRAMES_MIN ? all : ALPS_FRAMES_MIN;
    return (uint32_t)n;
}

/* Gives up what was made for paging; the addresses remain. */
ALPS_COLD_ void alps_engine_stop_(alps_pager *p)
{
    alps_cleaner_stop_(p);
    if (p->past >= 0)
        close(p->past);
    p->past = -1;
    alps_budget_leave_(p);
    if (p->process == getpid() && p->range.context)
        alps_fault_detach_(p->faults, &p->range);
    memset(&p->range, 0, sizeof p->range);
    alps_server_close_(p);
    if (p->process != getpid())
        p->pool.write = NULL, p->pool.see = NULL; // the child has none
    if (p->pool.segment)
        alps_pool_close_(&p->pool);
    alps_watermark_close_(&p->mark);
    alps_echo_close_(&p->echo);
    alps_spill_close_(&p->spill);
    if (p->table)
        munmap(p->table, (size_t)p->table_n);
    if (p->state)
        munmap(p->state, (size_t)p->state_n);
    p->table = NULL;
    p->state = NULL;
    p->engine = ALPS_ENGINE_KERNEL;
}

/* The C library tells it to GNU programs only. */
#if defined(__aarch64__) || defined(__arm__)
#  define ALPS_O_DIRECT_ 0200000
#else
#  define ALPS_O_DIRECT_ 040000
#endif

/* Opens the file once more, past the page cache. */
ALPS_COLD_ int alps_engine_past_(alps_pager *p)
{
    char name[40];
    if (!p->direct)
        return ALPS_OK;
    snprintf(name, sizeof name, "/proc/self/fd/%d", p->fd);
    p->past = open(name, O_RDWR | O_CLOEXEC | ALPS_O_DIRECT_);
    return p->past < 0 ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* Whether the file system tells what was never written, and what is in its
 * cache and not on the medium yet is none of it: ext4, XFS, btrfs, tmpfs. */
ALPS_COLD_ int alps_engine_tells_(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs))
        return 0;
    unsigned long type = (unsigned long)fs.f_type;
    return type == 0xef53ul || type == 0x58465342ul || type == 0x9123683eul ||
           type == 0x01021994ul;
}

/* The frames, and who tells of faults. Answers why not, or NULL. */
ALPS_COLD_ const char *alps_engine_pool_(alps_pager *p, uint32_t n,
                                         unsigned engine, int *err)
{
    uint64_t segment = (uint64_t)1 << p->shift;
    if (engine == ALPS_ENGINE_REWIRE) {
        *err = alps_pool_open_(&p->pool, n, segment);
        return *err ? "the system does not lend a memory file to map twice"
                    : NULL;
    }
    *err = alps_server_open_(p, segment, p->asked != 0);
    if (*err)
        return p->faults ? "the system refuses userfaultfd"
                         : "the program has no handler for faults "
                           "(ALPS_FAULTS), and the system refuses userfaultfd";
    *err = alps_pool_told_(&p->pool, &p->uffd, n, segment);
    return *err ? "the system does not tell of faults in its frames" : NULL;
}

/* Makes ready to page `reserved` bytes from `base` on, whole segments, of which
 * the file has `length`. Answers why not, or NULL; `*err` is a code. */
ALPS_COLD_ const char *alps_engine_start_(alps_pager *p, unsigned char *base,
                                          uint64_t length, uint64_t reserved,
                                          unsigned engine, int *err)
{
    int told = engine == ALPS_ENGINE_USERFAULTFD;
    *err = ALPS_EINVAL;
    if (!p->faults && !told)
        return "the program has no handler for faults (ALPS_FAULTS)";
    uint32_t n = alps_engine_frames_(p, length, reserved, told);
    if (!n)
        return "the memory is too few segments, or more than the system maps";
    *err = ALPS_ENOMEM;
    p->table_n = (reserved >> p->shift) * sizeof *p->table;
    p->state_n = p->eviction->room(n);
    p->table = (uint32_t *)alps_pool_memory_(p->table_n);
    p->state = alps_pool_memory_(p->state_n);
    if (!p->table || !p->state)
        return "there is no memory for its tables";
    *err = alps_watermark_open_(&p->mark, n);
    if (*err)
        return "there is no memory for its tables";
    const char *why = alps_engine_pool_(p, n, engine, err);
    if (why)
        return why;
    *err = alps_budget_join_(p);
    if (*err)
        return "the budget has not enough left";
    *err = alps_engine_past_(p);
    if (*err)
        return "the file system reads and writes by way of its cache only";
    p->tells = alps_engine_tells_(p->fd);
    alps_ahead_open_(&p->ahead, told && !p->uffd.guess ? 0 : n);
    p->eviction->begin(p->state, n);
    p->base = p->pool.base = base;
    p->length = length;
    p->reserved = reserved;
    p->young = 8;
    p->range.from = base;
    p->range.n = reserved;
    p->range.touched = alps_pager_touched_;
    p->range.context = p;
    *err = told ? ALPS_OK : alps_fault_attach_(p->faults, &p->range);
    if (*err || told)
        p->range.context = NULL;
    if (*err)
        return "the system does not let us handle faults";
    *err = alps_cleaner_start_(p);
    return *err ? "there is no thread to be had for its cleaner" : NULL;
}

/* Begins to page what it is ready for. */
ALPS_COLD_ const char *alps_engine_go_(alps_pager *p, unsigned engine, int *err)
{
    p->written = p->unheld = 1; // what was stored so far is not synced
    __atomic_store_n(&p->engine, engine, __ATOMIC_SEQ_CST);
    *err = alps_view_begin_(&p->pool, p->reserved);
    if (*err)
        return p->pool.uffd ? "the system does not tell of faults in the region"
                            : "the system does not hide the region";
    if (p->pool.uffd)
        *err = alps_server_start_(p);
    return *err ? "there is no thread to be had for its faults" : NULL;
}

/* Who else may have the file open while we keep parts of it: nobody. Who
 * commits all at once is the only one to write already, and readers have what
 * was committed. */
ALPS_COLD_ int alps_engine_alone_(const alps_map *m, int alone)
{
    if (m->sole)
        return ALPS_OK;
    int err = alps_sole_lock_(m->fd, alone);
    if (!err && alone)
        err = alps_apart_lock_(m->fd, F_WRLCK);
    if (err && alone)
        alps_sole_lock_(m->fd, 0);
    if (!alone)
        alps_apart_lock_(m->fd, F_UNLCK);
    return err;
}

/* Which engine a region of `size` bytes is to have, and why. Where the program
 * has no handler, faults are told to a thread of ours. */
ALPS_COLD_ unsigned alps_engine_choose_(alps_pager *p, const alps_map *m,
                                        uint64_t size)
{
    p->why = "the region is open to be read: the system drops its pages freely";
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENGINE_KERNEL;
    p->why = "it was asked for";
    if (p->asked)
        return p->asked;
    p->why = "the region fits into its memory";
    if (size <= p->memory && !p->budget)
        return ALPS_ENGINE_KERNEL;
    p->why = p->budget ? "the region shares its memory"
                       : "the region is larger than its memory";
    if (p->faults)
        return ALPS_ENGINE_REWIRE;
    p->why = p->budget ? "the region shares its memory, and the program has no "
                         "handler for faults (ALPS_FAULTS)"
                       : "the region is larger than its memory, and the "
                         "program has no handler for faults (ALPS_FAULTS)";
    return ALPS_ENGINE_USERFAULTFD;
}

/* Begins to page the addresses of `m`, whatever they showed before. Where that
 * is refused the code says so, `why` tells, and nothing has changed. */
ALPS_COLD_ int alps_engine_page_(alps_pager *p, alps_map *m, unsigned engine,
                                 unsigned char *base, uint64_t reserved)
{
    const char *why = "it is open elsewhere";
    const char *good = p->why;
    int err = alps_engine_alone_(m, 1);
    if (err)
        p->why = why;
    if (err)
        return err;
    p->fd = m->fd;
    why = alps_engine_start_(p, base, m->sole ? m->size : m->length, reserved,
                             engine, &err);
    if (!why && m->sole) {
        err = alps_capture_open_(m, reserved);
        why = err ? "the journal beside it is not to be had" : NULL;
    }
    if (!why)
        why = alps_engine_go_(p, engine, &err);
    if (!why && p->uffd.part)
        good = "it was asked for; system calls on what is not in memory fail, "
               "for the system refuses more";
    if (why) {
        alps_engine_stop_(p);
        alps_engine_alone_(m, 0);
    }
    p->why = why ? why : good;
    __atomic_store_n(&m->apart, why == NULL, __ATOMIC_RELAXED);
    return err;
}

/* Whether we page it, and not the system. */
ALPS_FN_ int alps_engine_ours_(const alps_map *m)
{
    return __atomic_load_n(&m->pager->engine, __ATOMIC_SEQ_CST) !=
           ALPS_ENGINE_KERNEL;
}

/* All that is dirty is written before the addresses go. In the child of a fork
 * they never came, and may be another's. */
ALPS_COLD_ int alps_engine_unmap_(alps_map *m)
{
    alps_pager *p = m->pager;
    if (!m->base || !alps_engine_ours_(m))
        return alps_medium_unmap_(m);
    int err = ALPS_OK;
    int ours = p->process == getpid();
    alps_cleaner_stop_(p);
    alps_budget_leave_(p); // from now on no thread but this one is at it
    if (ours && !m->sole)  // or else what was not committed is dropped
        err = alps_writeback_(p, 0, p->length, NULL);
    alps_server_stop_(p); // before others have the addresses
    if (ours) {
        int late = alps_let_addresses_(p->base, p->reserved, m->door);
        err = err ? err : late;
    }
    alps_engine_stop_(p);
    if (ours)
        alps_engine_alone_(m, 0);
    m->apart = 0;
    m->base = NULL;
    m->size = m->reserved = 0;
    return err;
}

/* Bytes [off, off + n) are on the medium. A mapping that the system was asked
 * to sync may be ours when it is done: then the file is synced once more. */
ALPS_COLD_ int alps_engine_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    int err = ALPS_OK;
    if (!alps_engine_ours_(m))
        err = alps_medium_sync_(m, off, n);
    if (err || m->sole || !alps_engine_ours_(m))
        return err; // what is committed all at once is not synced otherwise
    alps_telling telling;
    alps_progress_begin_(&telling, m, alps_writeback_due_(m->pager, n));
    err = alps_writeback_(m->pager, off, n, &telling);
    if (!err)
        err = alps_writeback_fence_(m->pager);
    if (!err)
        alps_progress_end_(&telling);
    return err;
}

/* umalloc.h -- a file as plain memory
 *
 * What uMalloc does (Awan et al. 2020), with its promises kept: the mapping is
 * as long as was asked for, a file that is there is never cut, a sync is of all
 * that was stored, and an error is a code. No heap and no header is in the
 * file. What is known of the mapping lies in the page before it, so that its
 * address is all that a program has to keep. */

#define ALPS_UMALLOC_MAGIC_ 0x434c4c414d555350ull

typedef struct alps_umapped {
    uint64_t magic; /* and its own address, so that no other page has it */
    uint64_t bytes; /* that the program asked for */
    unsigned char *held;
    uint64_t held_n; /* of the addresses, this page and what is before it */
    alps_map map;
} alps_umapped;
ALPS_STATIC_ASSERT_(sizeof(alps_umapped) <= ALPS_PAGE, "a page");

/* What errno is for a code. */
ALPS_COLD_ int alps_umalloc_errno_(int code)
{
    switch (code) {
    case ALPS_OK: return 0;
    case ALPS_EINVAL: return EINVAL;
    case ALPS_ENOMEM:
    case ALPS_EFULL: return ENOMEM;
    case ALPS_ENOSPC: return ENOSPC;
    case ALPS_EBUSY: return EBUSY;
    case ALPS_EEXIST: return EEXIST;
    case ALPS_ENOENT: return ENOENT;
    case ALPS_EACCES: return EACCES;
    case ALPS_EREADONLY: return EROFS;
    case ALPS_EUNSUPPORTED: return ENOTSUP;
    default: return EIO;
    }
}

/* Leaves errno as the code says, and answers the code. */
ALPS_COLD_ int alps_umalloc_fail_(int code)
{
    if (code)
        errno = alps_umalloc_errno_(code);
    return code;
}

/* The page before `p`, or NULL where `p` is nothing of ours. */
ALPS_COLD_ alps_umapped *alps_umalloc_of_(const void *p)
{
    uint64_t page = alps_system_page_();
    uintptr_t at = (uintptr_t)p - page;
    unsigned char there;
    if (!p || (uintptr_t)p % page ||
        mincore((void *)at, (size_t)page, &there)) // nothing is mapped there
        return NULL;
    alps_umapped *u = (alps_umapped *)at;
    return u->magic == (ALPS_UMALLOC_MAGIC_ ^ at) ? u : NULL;
}

/* Holds addresses for `n` bytes in whole segments, and a page before them. */
ALPS_COLD_ alps_umapped *alps_umalloc_hold_(uint64_t n, uint64_t segment)
{
    uint64_t page = alps_system_page_();
    uint64_t before = segment > page ? segment : page;
    unsigned char *at =
        n + before < n ? NULL : alps_hold_addresses_(n + before, before);
    if (!at)
        return NULL;
    alps_umapped *u = (alps_umapped *)(void *)(at + before - page);
    if (mprotect(u, (size_t)page, PROT_READ | PROT_WRITE)) {
        munmap(at, (size_t)(n + before));
        return NULL;
    }
    u->held = at;
    u->held_n = before;
    u->map.fd = -1;
    return u;
}

/* The file is at least as long as what is mapped of it, and its blocks are
 * there. */
ALPS_COLD_ int alps_umalloc_file_(alps_map *m, uint64_t bytes)
{
    int err = alps_sole_lock_(m->fd, 0);
    if (!err && m->length < bytes)
        err = alps_fd_grow_(m->fd, m->length, bytes);
    if (!err && m->length < bytes && fsync(m->fd))
        err = alps_oserror_();
    m->length = bytes;
    return err ? err : alps_unguard_(m);
}

/* Maps it, by whom the options say or whoever can. */
ALPS_COLD_ int alps_umalloc_map_(alps_umapped *u, unsigned char *base,
                                 uint64_t n)
{
    alps_map *m = &u->map;
    int err = ALPS_ENOENT;
    unsigned engine = alps_engine_choose_(m->pager, m, u->bytes);
    if (engine != ALPS_ENGINE_KERNEL) {
        err = alps_engine_page_(m->pager, m, engine, base, n);
        if (err && m->pager->asked)
            return err;
    }
    if (err)
        err = alps_medium_map_at_(m, base, n, MAP_SHARED);
    if (err)
        return err;
    m->base = base;
    m->size = u->bytes;
    m->reserved = n;
    return ALPS_OK;
}

/* Ends a mapping: what is dirty is written, and all addresses go. */
ALPS_COLD_ int alps_umalloc_end_(alps_umapped *u, uint64_t n)
{
    alps_map m = u->map;
    unsigned char *held = u->held, *base = held + u->held_n;
    int mapped = m.base != NULL, err = ALPS_OK;
    if (mapped)
        err = alps_engine_unmap_(&m);
    if (m.fd >= 0)
        close(m.fd);
    if (m.pager)
        munmap(m.pager, sizeof *m.pager);
    munmap(held, (size_t)(base - held));
    if (!mapped)
        munmap(base, (size_t)n);
    return err;
}

/* See alps_umalloc. */
ALPS_COLD_ void *alps_umalloc_(const char *path, uint64_t bytes,
                               const alps_options *o, alps_faults *faults)
{
    alps_options own;
    memset(&own, 0, sizeof own);
    if (o)
        own = *o;
    if (!own.faults)
        own.faults = faults;
    alps_pager *pager = alps_engine_begin_();
    int err = pager ? alps_engine_ask_(pager, &own) : ALPS_ENOMEM;
    if (!err && (!bytes || bytes > (uint64_t)1 << 47))
        err = ALPS_EINVAL;
    uint64_t segment = err ? 0 : (uint64_t)1 << pager->shift;
    uint64_t n = err ? 0 : alps_round_up_(bytes, segment);
    alps_umapped *u = err ? NULL : alps_umalloc_hold_(n, segment);
    if (!u) {
        if (pager)
            munmap(pager, sizeof *pager);
        alps_umalloc_fail_(err ? err : ALPS_ENOMEM);
        return NULL;
    }
    u->bytes = bytes;
    u->map.pager = pager;
    u->map.flags = ALPS_CREATE;
    u->map.progress = own.progress;
    u->map.progress_context = own.progress_context;
    unsigned char *base = u->held + u->held_n;
    err = alps_fd_open_(&u->map, path, own.mode, 0);
    if (!err)
        err = alps_umalloc_file_(&u->map, bytes);
    if (!err)
        err = alps_umalloc_map_(u, base, n);
    if (err) {
        alps_umalloc_end_(u, n);
        alps_umalloc_fail_(err);
        return NULL;
    }
    u->magic = ALPS_UMALLOC_MAGIC_ ^ (uintptr_t)u;
    return base;
}

/* See alps_usync. */
ALPS_COLD_ int alps_umalloc_sync_(void *p)
{
    alps_umapped *u = alps_umalloc_of_(p);
    if (!u)
        return alps_umalloc_fail_(ALPS_EINVAL);
    if (u->map.pager->process != getpid())
        return alps_umalloc_fail_(ALPS_EFORK);
    return alps_umalloc_fail_(alps_engine_sync_(&u->map, 0, u->bytes));
}

/* See alps_ufree. */
ALPS_COLD_ int alps_umalloc_free_(void *p)
{
    alps_umapped *u = alps_umalloc_of_(p);
    int err = ALPS_OK;
    if (!u)
        return alps_umalloc_fail_(p ? ALPS_EINVAL : ALPS_OK);
    if (u->map.pager->process == getpid())
        err = alps_engine_sync_(&u->map, 0, u->bytes);
    int late = alps_umalloc_end_(u, u->map.reserved);
    return alps_umalloc_fail_(err ? err : late);
}

/* anon.h -- memory of this process
 *
 * The plainest backend, and the one to copy: nothing outlives the process,
 * nobody else can open it, and `path` means nothing. Every open is a new
 * medium of length 0. The system lends memory when a page is first touched and
 * may have promised more than it has; no call can reserve it. */

ALPS_COLD_ int alps_anon_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    (void)path;
    (void)o;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT; // there never is anything to read
    m->fd = -1;
    m->length = 0;
    m->align = 1;
    m->medium = ALPS_MEDIUM_ANON;
    return ALPS_OK;
}

/* Makes bytes [from, to) of the held addresses usable, by whole pages. */
ALPS_COLD_ int alps_anon_use_(alps_map *m, uint64_t from, uint64_t to)
{
    uint64_t page = alps_system_page_();
    from -= from % page;
    to = alps_round_up_(to, page);
    if (mprotect(m->base + from, (size_t)(to - from), PROT_READ | PROT_WRITE))
        return alps_oserror_();
    return ALPS_OK;
}

/* Whole pages, bytes [from, to), are given back, and read as zero. */
ALPS_COLD_ int alps_anon_drop_(alps_map *m, uint64_t from, uint64_t to)
{
    if (from < to &&
        madvise(m->base + from, (size_t)(to - from), MADV_DONTNEED))
        return alps_oserror_();
    return ALPS_OK;
}

/* A limit of 2^47 bytes is more than there are addresses: half as many are
 * asked for, until it works. */
ALPS_COLD_ int alps_anon_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    for (;;) {
        m->base = alps_hold_region_(reserve, align);
        if (m->base || reserve == size)
            break;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
    if (!m->base)
        return ALPS_ENOMEM;
    m->reserved = reserve;
    m->door = 1;
    int err = alps_anon_use_(m, 0, size);
    if (!err) {
        m->size = size;
        return ALPS_OK;
    }
    alps_let_addresses_(m->base, reserve, 1);
    m->base = NULL;
    m->reserved = 0;
    return err;
}

/* Takes the contents along: there is nothing else that keeps them. */
ALPS_COLD_ int alps_anon_unmap_(alps_map *m)
{
    int err =
        m->base ? alps_let_addresses_(m->base, m->reserved, m->door) : ALPS_OK;
    if (err)
        return err;
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

/* What is cut off reads as zero if it comes back, as it does in a file. */
ALPS_COLD_ int alps_anon_cut_(alps_map *m, uint64_t size)
{
    uint64_t page = alps_system_page_();
    uint64_t whole = alps_round_up_(size, page);
    uint64_t end = whole < m->size ? whole : m->size;
    memset(m->base + size, 0, (size_t)(end - size));
    return alps_anon_drop_(m, whole, alps_round_up_(m->size, page));
}

ALPS_COLD_ int alps_anon_resize_(alps_map *m, uint64_t size)
{
    int err = ALPS_OK;
    if (m->base && size > m->reserved)
        return ALPS_ENOMEM;
    if (m->base)
        err = size > m->size ? alps_anon_use_(m, m->size, size)
                             : alps_anon_cut_(m, size);
    if (err)
        return err;
    m->length = size;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

ALPS_COLD_ int alps_anon_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return alps_anon_drop_(m, off, off + n);
}

/* What reserves nothing has nothing to reserve again. */
ALPS_COLD_ int alps_anon_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

/* Nothing has to be done, and no other open of this medium can exist. */
ALPS_COLD_ int alps_anon_nothing_(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

ALPS_COLD_ int alps_anon_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)off;
    (void)n;
    return alps_anon_nothing_(m);
}

ALPS_COLD_ int alps_anon_lease_(alps_map *m, unsigned number)
{
    (void)number;
    return alps_anon_nothing_(m);
}

ALPS_COLD_ int alps_anon_remove_(const char *path)
{
    (void)path;
    return ALPS_ENOENT;
}

static const alps_backend alps_backend_anon_ __attribute__((unused)) = {
    "anon",
    alps_anon_open_,
    alps_anon_nothing_,
    alps_anon_map_,
    alps_anon_unmap_,
    alps_anon_resize_,
    alps_anon_punch_,
    alps_anon_reserve_,
    alps_anon_sync_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_unmap_,
    alps_anon_remove_,
    NULL,
    NULL,
};

/* shmem.h -- shared memory
 *
 * Outlives processes, not the machine. A name is that of shm_open(): `/name`,
 * or `name`, a file under /dev/shm; opened there by its path, which is all
 * that shm_open() does, so that no library is needed and errors are those of
 * open(). No name, or an empty one, is memory without a name (memfd): it lives
 * as long as this process and those forked from it have it open. */

#define ALPS_SHMEM_DIR_ "/dev/shm/"
#define ALPS_SHMEM_PATH_ 300

/* The path of shared memory `name`. */
ALPS_COLD_ int alps_shmem_path_(const char *name, char path[ALPS_SHMEM_PATH_])
{
    if (*name == '/')
        name++;
    size_t n = strlen(name);
    if (n == 0 || n > 255 || strchr(name, '/') || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return ALPS_EINVAL;
    memcpy(path, ALPS_SHMEM_DIR_, sizeof ALPS_SHMEM_DIR_ - 1);
    memcpy(path + sizeof ALPS_SHMEM_DIR_ - 1, name, n + 1);
    return ALPS_OK;
}

/* Memory without a name: always new, and nobody to guard it from. */
ALPS_COLD_ int alps_shmem_nameless_(alps_map *m)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_ENOENT;
    m->fd = (int)syscall(SYS_memfd_create, "alps", 1u); // MFD_CLOEXEC
    if (m->fd < 0)
        return alps_oserror_();
    m->length = 0;
    m->align = 1;
    int err = alps_guard_(m->fd, 0);
    if (!err)
        err = alps_attach_(m->fd);
    if (err)
        alps_medium_close_(m);
    return err;
}

ALPS_COLD_ int alps_shmem_open_(alps_map *m, const char *name,
                                const alps_options *o)
{
    char path[ALPS_SHMEM_PATH_];
    m->medium = ALPS_MEDIUM_SHMEM;
    if (!name || !*name)
        return alps_shmem_nameless_(m);
    int err = alps_shmem_path_(name, path);
    return err ? err : alps_fd_open_(m, path, o ? o->mode : 0, 0);
}

ALPS_COLD_ int alps_shmem_map_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* What is stored in memory is in memory. */
ALPS_COLD_ int alps_shmem_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

ALPS_COLD_ int alps_shmem_remove_(const char *name)
{
    char path[ALPS_SHMEM_PATH_];
    if (!name || !*name)
        return ALPS_ENOENT;
    int err = alps_shmem_path_(name, path);
    return err ? err : alps_medium_remove_(path);
}

static const alps_backend alps_backend_shmem_ __attribute__((unused)) = {
    "shmem",
    alps_shmem_open_,
    alps_unguard_,
    alps_shmem_map_,
    alps_medium_unmap_,
    alps_medium_resize_,
    alps_medium_punch_,
    alps_medium_refill_,
    alps_shmem_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_medium_close_,
    alps_shmem_remove_,
    NULL,
    NULL,
};

/* file.h -- a file behind the page cache
 *
 * Outlives processes as it stands, and power failures as far as it was synced.
 * The file is exactly as long as the region, and its blocks are reserved, so
 * that a full disk is a code when the region grows and not a signal when a
 * program stores. */

ALPS_COLD_ int alps_file_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (m->sole)
        return alps_sole_map_(m, size, reserve, align);
    if (m->flags & ALPS_READ_ONLY && m->journal->size)
        return alps_sole_read_(m, size, reserve, align);
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* What is cut off for one who writes alone is cut when the commit that says so
 * is at home: policy checkpoint. */
ALPS_COLD_ int alps_file_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    if (m->sole && m->base && size < old) {
        m->size = size;
        return ALPS_OK;
    }
    int err = alps_medium_resize_(m, size);
    if (err || (size <= old && !m->parts))
        return err;
    return alps_medium_sync_length_(m);
}

/* So is what is given back. */
ALPS_COLD_ int alps_file_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return m->sole ? alps_home_give_(m, off, n) : alps_medium_punch_(m, off, n);
}

ALPS_COLD_ int alps_file_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->sole)
        alps_home_keep_(m, off, n);
    int err = alps_medium_refill_(m, off, n);
    return err || m->sole ? err : alps_medium_sync_length_(m);
}

static const alps_backend alps_backend_file_ __attribute__((unused)) = {
    "file",
    alps_filed_open_,
    alps_unguard_,
    alps_file_map_,
    alps_medium_unmap_,
    alps_file_resize_,
    alps_file_punch_,
    alps_file_reserve_,
    alps_medium_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_filed_close_,
    alps_filed_remove_,
    NULL,
    NULL,
};

/* pmem.h -- persistent memory: a file on a DAX file system, or a device
 *
 * A file is mapped with MAP_SYNC where the file system grants it; then what
 * lies in the caches is all that a power failure can take, and writing lines
 * back is enough. A file system that does not grant it has metadata, or all
 * data, behind a page cache: under ALPS_STRICT that is refused, otherwise the
 * region is opened as an ordinary file, `medium` says so, and the policies
 * sync pages. A device (devdax) has no file system: its length and alignment
 * are told by sysfs, and neither can be changed. */

/* Linux 4.15; older C libraries do not know them. */
#ifndef MAP_SHARED_VALIDATE
#  define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#  define MAP_SYNC 0x80000
#endif

/* What a file has to be aligned to, and its mapping as well, for the machine
 * to translate it by huge pages. */
#define ALPS_HUGE_PAGE_ ((uint64_t)2 << 20)

/* Where sysfs describes a character device. The numbers are taken out of the
 * word by hand: the header that does it defines `major` and `minor` as macros,
 * which a program may not want. */
ALPS_COLD_ void alps_pmem_sysfs_(dev_t device, char *dir, size_t n)
{
    uint64_t word = (uint64_t)device;
    uint64_t major_ = (word >> 8 & 0xfff) | (word >> 32 & 0xfffff000u);
    uint64_t minor_ = (word & 0xff) | (word >> 12 & 0xffffff00u);
    snprintf(dir, n, "dev/char/%llu:%llu", (unsigned long long)major_,
             (unsigned long long)minor_);
}

/* Length and alignment of the device that is open. Kernels have put the
 * alignment in different places. What has neither is not a devdax device. */
ALPS_COLD_ int alps_pmem_device_(alps_map *m, const struct stat *st)
{
    static const char *const where[] = {
        "align", "device/align", "device/dax_region/align", "dax_region/align"};
    char dir[64];
    int err = ALPS_EUNSUPPORTED;
    alps_pmem_sysfs_(st->st_rdev, dir, sizeof dir);
    if (alps_sysfs_number_(dir, "size", &m->length) || !m->length)
        return ALPS_EUNSUPPORTED;
    for (unsigned i = 0; err && i < sizeof where / sizeof *where; i++)
        err = alps_sysfs_number_(dir, where[i], &m->align);
    if (err || !m->align || m->align & (m->align - 1) || m->length % m->align)
        return ALPS_EUNSUPPORTED;
    m->fixed = 1;
    m->medium = ALPS_MEDIUM_DEVDAX;
    return ALPS_OK;
}

ALPS_COLD_ int alps_pmem_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    struct stat st;
    int err = alps_fd_open_(m, path, o ? o->mode : 0, 1);
    if (err)
        return err;
    if (fstat(m->fd, &st))
        err = alps_oserror_();
    else if (S_ISCHR(st.st_mode))
        err = alps_pmem_device_(m, &st);
    else if (m->length == 0 && !(m->flags & ALPS_READ_ONLY))
        err = alps_fd_sync_name_(path);
    if (!err && !m->fixed)
        err = alps_medium_enter_(m, path, o);
    if (err)
        alps_medium_close_(m);
    return err;
}

/* Takes every medium for persistent memory: ALPS_PMEM_FORCE=1 in the
 * environment, for tests and measurements on machines that have none. */
ALPS_COLD_ int alps_pmem_forced_(void)
{
    const char *force = getenv("ALPS_PMEM_FORCE");
    return force && !strcmp(force, "1");
}

/* A device refuses every mapping that is not aligned as it wants, so all of it
 * is mapped, whatever part is used. */
ALPS_COLD_ int alps_pmem_map_device_(alps_map *m, uint64_t size, uint64_t align)
{
    if (size == 0 || size > m->length)
        return ALPS_EINVAL;
    int err = alps_medium_map_(m, m->length, m->length,
                               align > m->align ? align : m->align, MAP_SHARED);
    if (!err)
        m->size = size;
    return err;
}

ALPS_COLD_ int alps_pmem_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    if (m->fixed)
        return alps_pmem_map_device_(m, size, align);
    if (reserve >= ALPS_HUGE_PAGE_ && align < ALPS_HUGE_PAGE_)
        align = ALPS_HUGE_PAGE_;
    m->medium = ALPS_MEDIUM_FSDAX;
    int err = alps_medium_map_(m, size, reserve, align,
                               MAP_SHARED_VALIDATE | MAP_SYNC);
    if (err != ALPS_EUNSUPPORTED && err != ALPS_EINVAL)
        return err;
    if (!alps_pmem_forced_()) {
        m->medium = ALPS_MEDIUM_CACHE;
        if (m->flags & ALPS_STRICT)
            return ALPS_ENOTPMEM;
    }
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* A device has its length. A file's new length lies in the file system's
 * journal, which no write-back of lines reaches: it is synced here. */
ALPS_COLD_ int alps_pmem_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (m->fixed && size > m->length)
        return ALPS_ENOSPC;
    if (m->fixed && m->base)
        m->size = size;
    if (m->fixed)
        return ALPS_OK;
    int err = alps_medium_resize_(m, size);
    if (err || (size <= old && !m->parts))
        return err;
    return alps_medium_sync_length_(m);
}

ALPS_COLD_ int alps_pmem_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return m->fixed ? ALPS_EUNSUPPORTED : alps_medium_punch_(m, off, n);
}

ALPS_COLD_ int alps_pmem_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->fixed)
        return ALPS_OK;
    int err = alps_medium_refill_(m, off, n);
    return err ? err : alps_medium_sync_length_(m);
}

/* A device knows no msync: its lines are written back. */
ALPS_COLD_ int alps_pmem_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    if (!m->fixed)
        return alps_medium_sync_(m, off, n);
    if (m->size - off < n)
        n = m->size - off; // the last page may reach beyond
    unsigned persist = alps_persist_best_();
    int err = alps_persist_asked_(&persist);
    if (!err && alps_persist_line_(persist))
        alps_write_back_(persist, m->base + off, (size_t)n);
    alps_drain_();
    return err;
}

static const alps_backend alps_backend_pmem_ __attribute__((unused)) = {
    "pmem",
    alps_pmem_open_,
    alps_unguard_,
    alps_pmem_map_,
    alps_medium_unmap_,
    alps_pmem_resize_,
    alps_pmem_punch_,
    alps_pmem_reserve_,
    alps_pmem_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_medium_close_,
    alps_medium_remove_,
    NULL,
    NULL,
};

/* paged.h -- a file that is larger than the memory it may have
 *
 * The file of backend file, and the same bytes. What is in memory is ours to
 * choose: docs/paged.md. */

ALPS_COLD_ int alps_paged_close_(alps_map *m);

ALPS_COLD_ int alps_paged_open_(alps_map *m, const char *path,
                                const alps_options *o)
{
    m->pager = alps_engine_begin_();
    if (!m->pager)
        return ALPS_ENOMEM;
    m->pager->commits = m->sole != 0;
    int err = alps_engine_ask_(m->pager, o);
    unsigned asked = err ? 0 : m->pager->asked;
    int reads = (m->flags & ALPS_READ_ONLY) != 0;
    if (asked > ALPS_ENGINE_KERNEL && reads && o &&
        o->engine) // the environment means others
        err = ALPS_EUNSUPPORTED;
    else if (asked == ALPS_ENGINE_REWIRE && !reads && !m->pager->faults)
        err = ALPS_EINVAL;
    if (!err)
        err = alps_filed_open_(m, path, o);
    if (err)
        alps_paged_close_(m);
    return err;
}

/* A shared mapping, as of any file; all of it whole segments, so that it can
 * change over. */
ALPS_COLD_ int alps_paged_kernel_(alps_map *m, uint64_t size, uint64_t reserve,
                                  uint64_t align)
{
    uint64_t segment = (uint64_t)1 << m->pager->shift;
    if (m->flags & ALPS_READ_ONLY && m->journal->size)
        return alps_sole_read_(m, size, reserve, align);
    if (m->sole)
        return alps_sole_map_(m, size, reserve, align);
    if (reserve > ALPS_PAGE)
        reserve = alps_round_up_(reserve, segment);
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* Addresses, and behind each a fault. */
ALPS_COLD_ int alps_paged_ours_(alps_map *m, unsigned engine, uint64_t size,
                                uint64_t reserve, uint64_t align)
{
    alps_pager *p = m->pager;
    unsigned char *base = NULL;
    uint64_t segment = (uint64_t)1 << p->shift;
    uint64_t held = alps_round_up_(reserve, segment);
    uint64_t most = (uint64_t)(ALPS_NO_SEGMENT - 1) << p->shift;
    if (held > most)
        held = most;
    while (!base && held >= size) {
        base = alps_hold_region_(held, align > segment ? align : segment);
        if (base || held == alps_round_up_(size, segment))
            break;
        held = alps_round_up_(held / 2 > size ? held / 2 : size, segment);
    }
    m->size = size;
    int err = base ? alps_engine_page_(p, m, engine, base, held) : ALPS_ENOMEM;
    if (err && base)
        alps_let_addresses_(base, held, 1);
    if (err)
        m->size = 0;
    if (err)
        return err;
    m->base = base;
    m->door = 1;
    m->reserved = held < reserve ? held : reserve;
    return ALPS_OK;
}

/* The first page alone, which the core looks at, needs no engine; nor does a
 * region in the making that is committed all at once from then on. */
ALPS_COLD_ int alps_paged_map_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    alps_pager *p = m->pager;
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    int making = p->commits && !m->sole;
    unsigned engine = reserve > ALPS_PAGE && !making
                          ? alps_engine_choose_(p, m, size)
                          : (unsigned)ALPS_ENGINE_KERNEL;
    if (engine != ALPS_ENGINE_KERNEL) {
        int err = alps_paged_ours_(m, engine, size, reserve, align);
        if (!err || p->asked)
            return err;
    }
    return alps_paged_kernel_(m, size, reserve, align);
}

ALPS_COLD_ int alps_paged_close_(alps_map *m)
{
    int err = m->pager && m->base ? alps_engine_unmap_(m) : ALPS_OK;
    if (m->fd >= 0) {
        int late = alps_filed_close_(m);
        err = err ? err : late;
    }
    if (m->pager)
        munmap(m->pager, sizeof *m->pager);
    m->pager = NULL;
    return err;
}

/* The region no longer fits: we page it from now on, if we can. */
ALPS_COLD_ void alps_paged_outgrow_(alps_map *m)
{
    alps_pager *p = m->pager;
    uint64_t segment = (uint64_t)1 << p->shift;
    unsigned engine = alps_engine_choose_(p, m, m->length);
    if (engine == ALPS_ENGINE_KERNEL)
        return;
    if (m->sole || engine != ALPS_ENGINE_REWIRE)
        p->why = "it has outgrown its memory; opened anew it will be paged";
    else if (m->reserved % segment)
        p->why = "its addresses are no whole segments";
    else
        alps_engine_page_(p, m, engine, m->base, m->reserved);
}

ALPS_COLD_ int alps_paged_resize_(alps_map *m, uint64_t size)
{
    alps_pager *p = m->pager;
    uint64_t old = m->length;
    int ours = m->base && alps_engine_ours_(m);
    if (ours && size < (m->sole ? m->size : old))
        alps_writeback_length_(p, size);
    int err = ALPS_OK;
    if (m->sole && m->base && size < old)
        m->size = size; // it is cut when the commit that says so is at home
    else
        err = alps_medium_resize_(m, size);
    if (ours)
        alps_writeback_length_(p, m->sole ? m->size : m->length);
    if (err || size <= old)
        return err;
    if (m->sole)
        err = alps_fd_sync_data_(m->fd);
    else if (!ours)
        err = alps_medium_sync_length_(m);
    else if (fsync(m->fd))
        err = alps_oserror_();
    if (!err && m->base && !ours && size > ALPS_PAGE)
        alps_paged_outgrow_(m);
    return err;
}

ALPS_COLD_ int alps_paged_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    int ours = m->base && alps_engine_ours_(m);
    if (m->sole)
        return ours ? alps_capture_give_(m, off, n)
                    : alps_home_give_(m, off, n);
    if (ours)
        alps_writeback_forget_(m->pager, off, n);
    int err = alps_medium_punch_(m, off, n);
    if (ours && m->pager->ahead.most)
        alps_writeback_forget_(m->pager, off, n); // what was brought meanwhile
    return err;
}

ALPS_COLD_ int alps_paged_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->sole)
        alps_capture_keep_(m, off, n);
    int err = alps_medium_refill_(m, off, n);
    return err || m->sole || !fsync(m->fd) ? err : alps_oserror_();
}

ALPS_COLD_ int alps_paged_write_(alps_map *m, uint64_t off, uint64_t n)
{
    alps_pager *p = m->pager;
    if (!alps_engine_ours_(m) || m->sole)
        return ALPS_OK;
    if (m->always_n)
        alps_writeback_listen_(p, m->always_off, m->always_n);
    return alps_writeback_(p, off, n, NULL);
}

static const alps_backend alps_backend_paged_ __attribute__((unused)) = {
    "paged",           alps_paged_open_,    alps_unguard_,
    alps_paged_map_,   alps_engine_unmap_,  alps_paged_resize_,
    alps_paged_punch_, alps_paged_reserve_, alps_engine_sync_,
    alps_lease_,       alps_unlease_,       alps_leased_,
    alps_paged_close_, alps_filed_remove_,  alps_paged_write_,
    alps_capture_,
};

/* gather.h -- pages that wait for one sync call
 *
 * Behind a page cache a fence is a sync call of a tenth of a millisecond or
 * more, whatever it covers, so what is flushed is only written down, as ranges
 * of pages, and the fence syncs all of it. One fence syncs at a time; what is
 * flushed meanwhile waits for the next one, which takes along whatever all
 * threads have gathered, and those whose pages it took need no call of their
 * own. That is a group commit: many threads that publish at once share calls.
 *
 * Ranges less than ALPS_GATHER_GAP pages apart are synced by one call. Every
 * call costs a flush of the device, 175 us on the ext4 this was measured on;
 * clean pages between two ranges cost nothing and a few dirty ones little:
 *
 *     2 ranges, 4 other dirty pages    2 msyncs 336 us, 1 over all 183 us
 *     3 ranges, 4 other dirty pages    3 msyncs 699 us, 1 over all 492 us
 *     3 ranges, 256 other dirty pages  3 msyncs 621 us, 1 over all 2876 us
 *     one fdatasync of a 64 MiB file with those 256: 6888 us
 *
 * so the gap is wide, but a region has an end to what it may drag along. */
#include <sys/vfs.h>

/* How far apart, in pages, two ranges may be and still share a sync call. A
 * wider gap means fewer calls, and more of the pages that nobody asked for. */
#ifndef ALPS_GATHER_GAP
#  define ALPS_GATHER_GAP 16384u
#endif

/* Whether a file lies in memory only: tmpfs, ramfs. */
ALPS_COLD_ int alps_gather_in_memory_(int fd)
{
    struct statfs fs;
    if (fd < 0 || fstatfs(fd, &fs))
        return 0;
    unsigned long type = (unsigned long)fs.f_type;
    return type == 0x01021994ul || type == 0x858458f6ul;
}

/* Whether something of the region lies in memory only, so that a sync call
 * promises nothing. */
ALPS_COLD_ int alps_gather_in_vain_(const alps_map *m)
{
    const alps_parts *p = m->parts;
    if (m->medium == ALPS_MEDIUM_ANON || m->medium == ALPS_MEDIUM_SHMEM)
        return 1;
    if (m->medium != ALPS_MEDIUM_CACHE)
        return 0;
    int vain = alps_gather_in_memory_(m->fd);
    for (unsigned i = 1; !vain && p && i < p->n; i++)
        vain = alps_gather_in_memory_(p->piece[i].fd);
    return vain;
}

/* The lock word. The ranges belong to whoever has set the first bit, for a few
 * instructions; above the bits is counted how many syncs are done. */
#define ALPS_GATHER_HELD_ 1u    /* a thread works on the ranges */
#define ALPS_GATHER_SYNCING_ 2u /* a fence is syncing what it took */
#define ALPS_GATHER_DONE_ 4u    /* one sync of all that was taken */

/* Takes the ranges, as soon as nobody has them, nor any of `bits` is set;
 * answers 1. Or answers 0, as soon as `enough` syncs are done. */
ALPS_FN_ int alps_gather_lock_(alps_gather *g, unsigned bits, uint64_t enough)
{
    for (unsigned tries = 1;; tries++) {
        uint64_t word = __atomic_load_n(&g->lock, __ATOMIC_ACQUIRE);
        uint64_t held = word | ALPS_GATHER_HELD_;
        if (word / ALPS_GATHER_DONE_ >= enough)
            return 0;
        if (!(word & (bits | ALPS_GATHER_HELD_)) &&
            __atomic_compare_exchange_n(&g->lock, &word, held, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return 1;
        if (tries % 64)
            alps_pause_();
        else
            sched_yield();
    }
}

/* Gives the ranges back, and changes the word by `change` as well. */
ALPS_FN_ void alps_gather_unlock_(alps_gather *g, uint64_t change)
{
    __atomic_fetch_add(&g->lock, change - ALPS_GATHER_HELD_, __ATOMIC_SEQ_CST);
}

/* Joins the two ranges that are closest, to make room. */
ALPS_COLD_ void alps_gather_squeeze_(alps_gather *g)
{
    unsigned best = 0;
    for (unsigned i = 1; i + 1 < g->n; i++)
        if (g->range[i + 1].from - g->range[i].to <
            g->range[best + 1].from - g->range[best].to)
            best = i;
    g->range[best].to = g->range[best + 1].to;
    g->n--;
    memmove(&g->range[best + 1], &g->range[best + 2],
            (g->n - best - 1) * sizeof *g->range);
}

/* Adds pages [from, to). Ranges stay sorted and apart from each other. */
ALPS_COLD_ void alps_gather_add_(alps_gather *g, uint64_t from, uint64_t to)
{
    unsigned first = 0, last;
    while (first < g->n && g->range[first].to < from)
        first++;
    for (last = first; last < g->n && g->range[last].from <= to; last++) {
        from = from < g->range[last].from ? from : g->range[last].from;
        to = to > g->range[last].to ? to : g->range[last].to;
    }
    if (first == last && g->n == ALPS_GATHER_MAX) {
        alps_gather_squeeze_(g);
        alps_gather_add_(g, from, to); // may touch the joined range now
        return;
    }
    memmove(&g->range[first + 1], &g->range[last],
            (g->n - last) * sizeof *g->range);
    g->range[first].from = from;
    g->range[first].to = to;
    g->n = g->n - (last - first) + 1;
}

ALPS_FN_ void alps_gather_bytes_(alps_gather *g, uint64_t off, uint64_t n)
{
    if (n)
        alps_gather_add_(g, off / ALPS_PAGE, (off + n - 1) / ALPS_PAGE + 1);
}

/* The pages of [p, p + n) are to be synced by the next fence. */
ALPS_COLD_ int alps_gather_flush_(alps_map *m, const void *p, size_t n)
{
    const unsigned char *at = (const unsigned char *)p;
    ALPS_ASSERT(at >= m->base && n <= m->reserved &&
                (uint64_t)(at - m->base) <= m->reserved - n);
    alps_gather_lock_(&m->gather, 0, ~0ull);
    alps_gather_bytes_(&m->gather, (uint64_t)(at - m->base), n);
    alps_gather_unlock_(&m->gather, 0);
    return ALPS_OK;
}

/* Enters the fence: moves all that is gathered into `taken`, and answers 1.
 * Or answers 0, once a sync is done that began after this was called: that one
 * had all of ours. It is the next but one to be done if one is under way. */
ALPS_COLD_ int alps_gather_begin_(alps_map *m, alps_gather *taken)
{
    alps_gather *g = &m->gather;
    // an operation on the word and not a load: our stores come before it
    uint64_t word = __atomic_fetch_add(&g->lock, 0, __ATOMIC_SEQ_CST);
    uint64_t enough = word / ALPS_GATHER_DONE_ + 1;
    enough += (word & ALPS_GATHER_SYNCING_) != 0;
    if (!alps_gather_lock_(g, ALPS_GATHER_SYNCING_, enough))
        return 0;
    alps_gather_bytes_(g, m->always_off, m->always_n);
    taken->n = g->n;
    memcpy(taken->range, g->range, g->n * sizeof *g->range);
    g->n = 0;
    alps_gather_unlock_(g, ALPS_GATHER_SYNCING_);
    return 1;
}

/* The next stretch to sync by one call, and how many ranges it covers: 0 at
 * the end. */
ALPS_COLD_ unsigned alps_gather_next_(const alps_gather *g, uint64_t *off,
                                      uint64_t *n)
{
    unsigned k = 1;
    if (!g->n)
        return 0;
    while (k < g->n && g->range[k].from - g->range[k - 1].to < ALPS_GATHER_GAP)
        k++;
    *off = g->range[0].from * ALPS_PAGE;
    *n = g->range[k - 1].to * ALPS_PAGE - *off;
    return k;
}

/* The first `k` ranges are on the medium. */
ALPS_COLD_ void alps_gather_drop_(alps_gather *g, unsigned k)
{
    g->n -= k;
    memmove(&g->range[0], &g->range[k], g->n * sizeof *g->range);
}

/* Linux takes a page that it could not write for clean from then on, and the
 * next sync call would answer 0 without having written it. Storing into each
 * what it holds, as one atomic operation, makes it dirty again. */
ALPS_COLD_ void alps_gather_redirty_(alps_map *m, uint64_t from, uint64_t to)
{
    for (uint64_t page = from; page < to; page++) {
        void *at = m->base + page * ALPS_PAGE;
        uint64_t *word = (uint64_t *)at, value = alps_load_(word);
        __atomic_compare_exchange_n(word, &value, value, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

/* Leaves the fence. What could not be synced is gathered again, so that a
 * later fence tries once more. */
ALPS_COLD_ void alps_gather_end_(alps_map *m, const alps_gather *left)
{
    alps_gather *g = &m->gather;
    uint64_t done = left->n ? 0 : ALPS_GATHER_DONE_;
    alps_gather_lock_(g, 0, ~0ull);
    for (unsigned i = 0; i < left->n; i++) {
        if (!(m->flags & ALPS_READ_ONLY) && !m->apart)
            alps_gather_redirty_(m, left->range[i].from, left->range[i].to);
        alps_gather_add_(g, left->range[i].from, left->range[i].to);
    }
    alps_gather_unlock_(g, done - ALPS_GATHER_SYNCING_);
}

/* The same where the backend writes, and one sync is for all. */
ALPS_FAST_ int alps_gather_write_(alps_map *m, const alps_backend *b,
                                  alps_gather *taken)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < taken->n; i++) {
        uint64_t off = taken->range[i].from * ALPS_PAGE;
        err = b->write(m, off, taken->range[i].to * ALPS_PAGE - off);
    }
    if (!err)
        err = b->sync(m, 0, 0);
    if (!err)
        taken->n = 0;
    return err;
}

/* All that was gathered before is on the medium when this answers 0. */
ALPS_FAST_ int alps_gather_fence_(alps_map *m, const alps_backend *b)
{
    alps_gather taken;
    uint64_t off = 0, n = 0;
    unsigned k;
    int err = ALPS_OK;
    if (!alps_gather_begin_(m, &taken))
        return ALPS_OK;
    if (b->write && __atomic_load_n(&m->apart, __ATOMIC_RELAXED))
        err = alps_gather_write_(m, b, &taken);
    while (!err && (k = alps_gather_next_(&taken, &off, &n)) != 0) {
        err = b->sync(m, off, n);
        if (!err)
            alps_gather_drop_(&taken, k);
    }
    alps_gather_end_(m, &taken);
    return err;
}

/* persist.h -- write-back by whichever way was chosen at open
 *
 * Lines by an instruction, pages by a sync call, or nothing where the caches
 * persist: policies flush and fence differ only in what they choose, so what
 * they do is here. */

ALPS_FN_ int alps_persist_flush_(alps_map *m, const void *p, size_t n)
{
    if (ALPS_OBSERVE(ALPS_SAW_FLUSH, p, n))
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_persist_line_(m->persist)))
        alps_write_back_(m->persist, p, n);
    else if (m->persist == ALPS_PERSIST_MSYNC)
        return alps_gather_flush_(m, p, n);
    return ALPS_OK;
}

/* Where a line is not written back by itself a plain copy does. */
ALPS_FN_ int alps_persist_stream_(alps_map *m, void *to, const void *from)
{
    if (m->persist == ALPS_PERSIST_MSYNC) {
        memcpy(to, from, ALPS_LINE);
        return alps_persist_flush_(m, to, ALPS_LINE);
    }
    if (ALPS_OBSERVE(ALPS_SAW_STREAM, to, ALPS_LINE))
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_persist_line_(m->persist)))
        alps_stream_line_(m, to, from);
    else
        memcpy(to, from, ALPS_LINE);
    return ALPS_OK;
}

/* Also where the caches persist the machine is told to wait: for the program's
 * own non-temporal stores on x86, and for its order of stores elsewhere. */
ALPS_FAST_ int alps_persist_fence_(alps_map *m, const alps_backend *b)
{
    if (ALPS_OBSERVE(ALPS_SAW_FENCE, NULL, 0))
        return ALPS_OK;
    if (ALPS_LIKELY_(m->persist != ALPS_PERSIST_MSYNC)) {
        if (m->persist != ALPS_PERSIST_NONE)
            alps_drain_();
        return ALPS_OK;
    }
    return alps_gather_fence_(m, b);
}

/* On x86 the locked instruction that takes a lock drains the write-backs of
 * its thread. Elsewhere it does not. With pages nothing is needed: every fence
 * of every process takes the `always` range along. */
ALPS_FN_ int alps_persist_settle_(alps_map *m)
{
#if defined(__x86_64__)
    (void)m;
#else
    if (alps_persist_line_(m->persist))
        alps_drain_();
#endif
    return ALPS_OK;
}

/* The choice both begin with: behind a page cache, pages; and under
 * ALPS_STRICT a refusal, for then neither lines nor order are enough. */
ALPS_COLD_ int alps_persist_choose_(alps_map *m, unsigned persist)
{
    if (m->medium == ALPS_MEDIUM_CACHE) {
        m->persist = ALPS_PERSIST_MSYNC;
        return m->flags & ALPS_STRICT ? ALPS_ENOTPMEM : ALPS_OK;
    }
    m->persist = persist;
    int err = alps_persist_asked_(&m->persist);
    m->stream = alps_stream_pays_(m->persist);
    return err;
}

/* none.h -- nothing is written back
 *
 * For memory, and for files that need to outlive processes only: what a
 * process stored before it died is in the page cache, in the order of its
 * program. The policy to copy. */

ALPS_COLD_ int alps_none_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_NONE;
    return ALPS_OK;
}

ALPS_FN_ int alps_none_flush_(alps_map *m, const void *p, size_t n)
{
    (void)m;
    (void)p;
    (void)n;
    return ALPS_OK;
}

ALPS_FN_ int alps_none_stream_(alps_map *m, void *to, const void *from)
{
    (void)m;
    memcpy(to, from, ALPS_LINE);
    return ALPS_OK;
}

/* The order of the program is what a dying process leaves; the compiler has to
 * keep it, too. */
ALPS_FN_ int alps_none_fence_(alps_map *m, const alps_backend *b)
{
    (void)m;
    (void)b;
    ALPS_BARRIER_();
    return ALPS_OK;
}

ALPS_FN_ int alps_none_settle_(alps_map *m)
{
    (void)m;
    ALPS_BARRIER_();
    return ALPS_OK;
}

static const alps_policy alps_policy_none_ __attribute__((unused)) = {
    "none",
    0,
    alps_none_open_,
    alps_none_flush_,
    alps_none_stream_,
    alps_none_fence_,
    alps_none_settle_,
    NULL,
    NULL,
    NULL,
};

/* flush.h -- cache lines are written back
 *
 * For persistent memory: clwb, clflushopt or clflush, on AArch64 dc cvap or dc
 * cvac, whichever the machine says it has, then a fence. Where the medium turns
 * out to lie behind a page cache, lines would not be enough: pages are synced
 * then, `persist` says so, and ALPS_STRICT refuses it. */

ALPS_COLD_ int alps_flush_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    int err = alps_persist_choose_(m, alps_persist_best_());
    if (!err && m->flags & ALPS_STRICT && m->persist == ALPS_PERSIST_NONE)
        return ALPS_ENOTPMEM; // so the environment asks
    return err;
}

static const alps_policy alps_policy_flush_ __attribute__((unused)) = {
    "flush",
    1,
    alps_flush_open_,
    alps_persist_flush_,
    alps_persist_stream_,
    alps_persist_fence_,
    alps_persist_settle_,
    NULL,
    NULL,
    NULL,
};

/* fence.h -- the caches persist
 *
 * For machines whose caches are inside the persistence domain (eADR): a store
 * is durable when it is visible, so nothing is written back and only the order
 * of stores counts. Records are copied by ordinary stores, not past the caches:
 * ordinary stores keep their order among themselves, non-temporal ones would
 * not. The fence is for those that the program itself may have used.
 *
 * The program chooses this policy, and is believed. Under ALPS_STRICT the
 * kernel is asked, which knows the persistence domain of every region of
 * persistent memory; only ALPS_PERSIST=eadr in the environment overrules it. */
#include <dirent.h>

#define ALPS_REGIONS_ "bus/nd/devices"

/* Whether the caches of region `name` persist. */
ALPS_COLD_ int alps_fence_persists_(const char *name)
{
    char dir[ALPS_SYSFS_PATH_], domain[64];
    int n = snprintf(dir, sizeof dir, "%s/%s", ALPS_REGIONS_, name);
    if (n < 0 || (size_t)n >= sizeof dir)
        return 0;
    if (alps_sysfs_text_(dir, "persistence_domain", domain, sizeof domain))
        return 0;
    return !strcmp(domain, "cpu_cache");
}

/* Whether the machine has regions of persistent memory, and all of them have
 * the caches inside: which of them holds the file is not ours to know. */
ALPS_COLD_ int alps_fence_eadr_(void)
{
    char path[ALPS_SYSFS_PATH_];
    int regions = 0, persist = 0;
    int n = snprintf(path, sizeof path, "%s/%s", ALPS_SYSFS, ALPS_REGIONS_);
    DIR *dir = n > 0 && (size_t)n < sizeof path ? opendir(path) : NULL;
    if (!dir)
        return 0;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (strncmp(d->d_name, "region", 6))
            continue;
        regions++;
        persist += alps_fence_persists_(d->d_name);
    }
    closedir(dir);
    return regions && persist == regions;
}

ALPS_COLD_ int alps_fence_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    int err = alps_persist_choose_(m, ALPS_PERSIST_NONE);
    if (err || m->persist != ALPS_PERSIST_NONE)
        return err; // pages, or what the environment asks for
    m->persist = ALPS_PERSIST_EADR;
    return m->flags & ALPS_STRICT && !alps_fence_eadr_() ? ALPS_ENOTPMEM
                                                         : ALPS_OK;
}

static const alps_policy alps_policy_fence_ __attribute__((unused)) = {
    "fence",
    1,
    alps_fence_open_,
    alps_persist_flush_,
    alps_persist_stream_,
    alps_persist_fence_,
    alps_persist_settle_,
    NULL,
    NULL,
    NULL,
};

/* msync.h -- pages are written back by the system
 *
 * For ordinary files, and for whatever else answers `sync`. A flush writes
 * down pages, a fence has them synced by as few calls as it can: gather.h. */

ALPS_COLD_ int alps_msync_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_MSYNC;
    return m->flags & ALPS_STRICT && alps_gather_in_vain_(m) ? ALPS_ENOTPMEM
                                                             : ALPS_OK;
}

ALPS_FN_ int alps_msync_flush_(alps_map *m, const void *p, size_t n)
{
    if (ALPS_OBSERVE(ALPS_SAW_FLUSH, p, n))
        return ALPS_OK;
    return alps_gather_flush_(m, p, n);
}

/* A page has no way past the cache: an ordinary copy, to be flushed. */
ALPS_FN_ int alps_msync_stream_(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return alps_msync_flush_(m, to, ALPS_LINE);
}

ALPS_FAST_ int alps_msync_fence_(alps_map *m, const alps_backend *b)
{
    if (ALPS_OBSERVE(ALPS_SAW_FENCE, NULL, 0))
        return ALPS_OK;
    return alps_gather_fence_(m, b);
}

/* Every fence of every process takes the `always` range along. */
ALPS_FN_ int alps_msync_settle_(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

static const alps_policy alps_policy_msync_ __attribute__((unused)) = {
    "msync",
    1,
    alps_msync_open_,
    alps_msync_flush_,
    alps_msync_stream_,
    alps_msync_fence_,
    alps_msync_settle_,
    NULL,
    NULL,
    NULL,
};

/* checkpoint.h -- all at once, when the program says so
 *
 * For ordinary files: stores go to memory of this process alone, and a commit
 * carries all that changed to the medium, atomically, as of one moment.
 * docs/checkpoint.md has the protocol, and what that moment is when other
 * threads go on. While a region is made its mapping is shared, and pages are
 * synced as under msync. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* How often pages are copied again because somebody stored to them, before the
 * process is cloned. */
#ifndef ALPS_CHECKPOINT_ROUNDS
#  define ALPS_CHECKPOINT_ROUNDS 4u
#endif

ALPS_COLD_ int alps_checkpoint_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_CHECKPOINT;
    return m->flags & ALPS_STRICT && alps_gather_in_vain_(m) ? ALPS_ENOTPMEM
                                                             : ALPS_OK;
}

/* The order of the program is the order in memory; nothing else counts until
 * the commit. */
ALPS_FN_ int alps_checkpoint_flush_(alps_map *m, const void *p, size_t n)
{
    return ALPS_LIKELY_(m->sole) ? ALPS_OK : alps_gather_flush_(m, p, n);
}

ALPS_FN_ int alps_checkpoint_stream_(alps_map *m, void *to, const void *from)
{
    memcpy(to, from, ALPS_LINE);
    return alps_checkpoint_flush_(m, to, ALPS_LINE);
}

ALPS_FAST_ int alps_checkpoint_fence_(alps_map *m, const alps_backend *b)
{
    ALPS_BARRIER_();
    return ALPS_LIKELY_(m->sole) ? ALPS_OK : alps_gather_fence_(m, b);
}

ALPS_FN_ int alps_checkpoint_settle_(alps_map *m)
{
    (void)m;
    ALPS_BARRIER_();
    return ALPS_OK;
}

/* The region is open and m->reserved bytes may be stored to. */
ALPS_COLD_ int alps_checkpoint_begin_(alps_map *m, const alps_options *o)
{
    alps_journal *j = m->journal;
    if (!j)
        return ALPS_EUNSUPPORTED; // a backend that knows no journal
    if (m->apart)
        return ALPS_OK; // one that commits by itself, and has begun
    int err = alps_journal_room_(j, m->reserved / ALPS_PAGE + 1);
    if (err)
        return err;
    alps_sole_known_(m);
    uint64_t words = alps_page_words_(j->size / ALPS_PAGE);
    for (uint64_t i = 0; i < words; i++) // what a reader keeps from home
        if (j->here[i])
            j->known[i] |= j->here[i];
    return alps_watch_begin_(m, o->dirty);
}

/* Whether no thread but this one can store anything. */
ALPS_COLD_ int alps_checkpoint_alone_(const alps_journal *j)
{
    struct stat st; // a directory, with a link from each thread's
    unsigned threads = j->way == ALPS_DIRTY_PROTECT ? 2 : 1;
    return !stat("/proc/self/task", &st) && st.st_nlink == 2 + threads;
}

/* Pages of the region, which another thread may make larger: to be asked for
 * after a look at what is dirty, so that nothing of that is passed over. Its
 * limit would be far more: sets of 256 GiB take 4 ms to go through. */
ALPS_FN_ uint64_t alps_checkpoint_pages_(const alps_map *m)
{
    return (m->size + ALPS_PAGE - 1) / ALPS_PAGE;
}

/* Writes the pages of `set` as one frame, but for its head. */
ALPS_COLD_ int alps_checkpoint_copy_(const alps_map *m, alps_frame *f,
                                     const uint64_t *set)
{
    uint64_t end = alps_checkpoint_pages_(m);
    alps_frame_begin_(m->journal, f, alps_pages_count_(set, end), m->size);
    return alps_frame_add_(m, f, set, end);
}

/* What the clone does: when the pages are known it copies them, and ends. */
ALPS_COLD_ void alps_checkpoint_in_clone_(const alps_map *m, pid_t parent)
{
    alps_journal *j = m->journal;
    struct timespec nap = {0, 20000};
    alps_frame f;
    unsigned go;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (!(go = __atomic_load_n(&j->go, __ATOMIC_ACQUIRE)) &&
           getppid() == parent)
        nanosleep(&nap, NULL);
    int err = go == 1 ? alps_checkpoint_copy_(m, &f, j->again) : ALPS_ESYSTEM;
    if (!err)
        err = alps_frame_end_with_(j, &f, 1);
    syscall(SYS_exit_group, -err);
}

/* Waits for the clone; answers the code it ended with. */
ALPS_COLD_ int alps_checkpoint_reap_(pid_t clone)
{
    int status;
    pid_t got;
    do
        got = waitpid(clone, &status, 0x40000000); // __WALL
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return alps_oserror_();
    return WIFEXITED(status) ? -WEXITSTATUS(status) : ALPS_ESYSTEM;
}

/* Completes the commit by a clone of the process, whose memory stands still:
 * the pages of `again`, and those stored to until it does. */
ALPS_COLD_ int alps_checkpoint_clone_(const alps_map *m)
{
    alps_journal *j = m->journal;
    sigset_t all, old;
    pid_t parent = getpid();
    sigfillset(&all);
    __atomic_store_n(&j->go, 0u, __ATOMIC_RELAXED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t clone = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (clone < 0 && errno == EINVAL) // an emulator that knows fork only
        clone = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!clone)
        alps_checkpoint_in_clone_(m, parent);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (clone < 0)
        return alps_oserror_();
    int err = alps_watch_take_(m, j->later);
    uint64_t words = alps_page_words_(alps_checkpoint_pages_(m));
    for (uint64_t i = 0; i < words; i++)
        if (j->later[i])
            j->again[i] |= j->later[i];
    __atomic_store_n(&j->go, err ? 2u : 1u, __ATOMIC_RELEASE);
    int late = alps_checkpoint_reap_(clone);
    return err ? err : late;
}

/* Copies the pages of `due`, and those stored to meanwhile, until nobody has
 * stored to any between two looks; or else by a clone. */
ALPS_COLD_ int alps_checkpoint_rounds_(const alps_map *m)
{
    alps_journal *j = m->journal;
    alps_frame f;
    int err = alps_checkpoint_copy_(m, &f, j->due);
    for (unsigned round = 0; !err; round++) {
        err = alps_watch_take_(m, j->again);
        uint64_t end = alps_checkpoint_pages_(m);
        uint64_t n = alps_pages_count_(j->again, end);
        if (err || !n)
            break;
        alps_progress_add_(&j->telling, n * ALPS_PAGE);
        err = alps_frame_end_with_(j, &f, 0);
        if (!err && round == ALPS_CHECKPOINT_ROUNDS)
            return alps_checkpoint_clone_(m);
        if (!err)
            err = alps_checkpoint_copy_(m, &f, j->again);
        alps_pages_move_(j->due, j->again, end);
    }
    return err ? err : alps_frame_end_with_(j, &f, 1);
}

/* The same, where nobody else can store, so that one look is enough. What is
 * due may be candidates, of which perhaps none has changed. */
ALPS_COLD_ int alps_checkpoint_once_(const alps_map *m)
{
    alps_frame f;
    int err = alps_checkpoint_copy_(m, &f, m->journal->due);
    if (err || !f.head.count)
        return err;
    return alps_frame_end_with_(m->journal, &f, 1);
}

/* Writes the frames of a commit: the state of the region at a moment in this
 * call. They are not durable yet. */
ALPS_COLD_ int alps_checkpoint_capture_(const alps_map *m)
{
    alps_journal *j = m->journal;
    uint64_t *mark = (uint64_t *)(void *)(m->base + ALPS_HOME_MARK_);
    if (*mark != j->id)
        alps_store_(mark, j->id);
    int err = alps_watch_take_(m, j->due);
    uint64_t end = alps_checkpoint_pages_(m);
    uint64_t n = alps_pages_count_(j->due, end);
    alps_progress_begin_(&j->telling, m, n * ALPS_PAGE);
    if (err || !n)
        return err;
    if (alps_checkpoint_alone_(j))
        return alps_checkpoint_once_(m);
    if (j->way == ALPS_DIRTY_SCAN || j->way == ALPS_DIRTY_PROTECT)
        return alps_checkpoint_rounds_(m);
    alps_pages_move_(j->again, j->due, end);
    return alps_checkpoint_clone_(m);
}

/* The first half of a commit: up to the moment. */
ALPS_COLD_ int alps_checkpoint_first_(alps_map *m)
{
    alps_journal *j = m->journal;
    uint64_t end = alps_checkpoint_pages_(m);
    int err = alps_journal_ready_(m); // which may begin it anew
    j->was_tail = j->tail;
    j->was_seq = j->seq;
    j->was_before = j->before;
    alps_pages_move_(j->going, j->gone, end);
    return err ? err : alps_checkpoint_capture_(m);
}

/* The second half: durable, or as if it had never begun. */
ALPS_COLD_ int alps_checkpoint_last_(alps_map *m, int err)
{
    alps_journal *j = m->journal;
    uint64_t end = alps_checkpoint_pages_(m);
    if (!err && j->tail != j->was_tail)
        err = alps_fd_sync_data_(j->fd);
    if (!err)
        err = alps_journal_note_(j, j->was_tail, j->tail);
    if (err) {
        j->tail = j->was_tail;
        j->seq = j->was_seq;
        j->before = j->was_before;
        alps_pages_move_(j->gone, j->going, end);
    } else {
        alps_pages_move_(j->hole, j->going, end);
        alps_pages_clear_(j->due, end);
        alps_pages_clear_(j->again, end);
    }
    alps_pages_move_(j->due, j->again, end);
    alps_pages_move_(j->due, j->later, end);
    if (!err && j->tail > ALPS_JOURNAL_MAX)
        alps_home_come_(m); // or the next time
    if (!err)
        alps_progress_end_(&j->telling);
    return err;
}

/* See turn.h. */
ALPS_COLD_ int alps_checkpoint_commit_(alps_map *m, unsigned part)
{
    return alps_turn_(m, part, alps_checkpoint_first_, alps_checkpoint_last_);
}

/* Brings all home, so that the file is the region and nothing else is needed.
 * With a reader there that is left to whoever opens it next. */
ALPS_COLD_ int alps_checkpoint_end_(alps_map *m)
{
    uint64_t length = 0;
    if (m->pager)
        alps_cleaner_stop_(m->pager); // it spills, and this is the end of that
    int err = alps_home_come_(m);
    if (!err)
        err = alps_home_lock_(m->fd, F_WRLCK, 0);
    if (err)
        return err == ALPS_EBUSY ? ALPS_OK : err;
    if (m->journal->size == m->size && !alps_medium_length_(m, &length) &&
        length > m->size)
        err = alps_medium_cut_(m, m->size); // it was cut, and says so at home
    if (!err)
        err = alps_journal_remove_(m);
    alps_home_lock_(m->fd, F_UNLCK, 0);
    return err;
}

static const alps_policy alps_policy_checkpoint_ __attribute__((unused)) = {
    "checkpoint",
    0,
    alps_checkpoint_open_,
    alps_checkpoint_flush_,
    alps_checkpoint_stream_,
    alps_checkpoint_fence_,
    alps_checkpoint_settle_,
    alps_checkpoint_begin_,
    alps_checkpoint_commit_,
    alps_checkpoint_end_,
};

/* layout.h -- the bytes on the medium
 *
 * The same on every backend: a region made in a file continues in shared
 * memory and on pmem. Numbers are little-endian, places are offsets from the
 * first byte, and offset 0 is never an object, so 0 is null. What is *truth*
 * is flushed; what is *index* is rebuilt and may hold anything after a crash.
 * docs/format.md has the same as a table. */

/* The version of this layout. A header opens regions of its own number only. */
#define ALPS_LAYOUT 2u

/* Bytes of the program's static area, at offset 4096. */
#define ALPS_ROOT_SIZE 4096u

/* The place of an object in its region; 0 is null. */
typedef uint64_t alps_off;
#define ALPS_NULL ((alps_off)0)

#define ALPS_MAGIC 0x5041454853504c41ull        /* "ALPSHEAP" */
#define ALPS_STATE_MAKING 0x676e696b616d2e2eull /* "..making" */
#define ALPS_STATE_READY 0x2e2e2e7964616572ull  /* "ready..." */

#define ALPS_GRANULE 64u /* bytes one code of a heap extent speaks for */
#define ALPS_GRANULE_SHIFT 6u
#define ALPS_SLAB_SHIFT_MIN 10u           /* a slab is a 32nd of an extent, */
#define ALPS_SLAB_SHIFT_MAX 16u           /* but from 1 KiB to 64 KiB */
#define ALPS_SLAB_OBJECTS 2048u           /* at most, of one slab */
#define ALPS_SLAB_END ((uint64_t)1 << 40) /* none lies above */
#define ALPS_SMALL_MAX 1024u /* bytes of an object in any slab, at most */
#define ALPS_EXTENT_SHIFT_MIN 12u
#define ALPS_EXTENT_SHIFT_MAX 30u
#define ALPS_SIZE_MAX (1ull << 47)
#define ALPS_EXTENTS_MAX (1ull << 25)

/* Codes of a granule or of an extent, two bits each. Every combination of
 * them is a valid heap: see docs/design.md. */
enum {
    ALPS_INSIDE = 0, /* goes on from the start before it */
    ALPS_FREE = 1,   /* starts a free run */
    ALPS_USED = 2,   /* starts a used block */
    ALPS_HELD = 3    /* starts a run that is neither used nor in the index: a
                        reservation, or a free whose fence is under way, or a
                        slab. Recovery reads all but a slab as free. */
};

/* The first page. Checked as a whole by `crc`, except for what follows it. */
typedef struct alps_superblock {
    uint64_t magic;        /* ALPS_MAGIC */
    uint64_t state;        /* ALPS_STATE_...: READY is the last store of all
                               that make the region. Not in `crc`. */
    uint32_t layout;       /* ALPS_LAYOUT */
    uint32_t extent_shift; /* log2 of the bytes of an extent */
    uint32_t lanes;        /* how many */
    uint32_t processes;    /* slots, how many */
    uint64_t limit;        /* bytes the region may grow to */
    uint64_t created;      /* nanoseconds since 1970 */
    uint8_t uuid[16];      /* random, of this region alone */
    char name[64];         /* the program's layout name, zero-padded */
    uint32_t shards;       /* of the heap: a power of two */
    uint32_t crc;          /* CRC-32C of the above but `state` */
    uint64_t small;        /* bytes of the largest object in slabs */
    uint64_t line_[6];     /* zero */
    /* Sealed words, each in its own line: a value of 48 bits above a CRC-16 of
     * it, so that one 8-byte store changes both. */
    uint64_t size;          /* bytes of the region */
    uint64_t size_line_[7]; /* zero */
    uint64_t epoch;         /* how often the region was opened by a first one */
    uint64_t epoch_line_[7];
    uint64_t journal; /* which journal beside the file has commits that are not
                         here yet; 0: none. See journal.h */
    uint64_t journal_line_[7];
    alps_off names; /* what names are found by, see alps_names; or 0 */
    uint64_t names_line_[7];
} alps_superblock;
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, size) == 192, "line");
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, names) == 384, "line");
ALPS_STATIC_ASSERT_(sizeof(alps_superblock) == 448, "size");
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, journal) == ALPS_HOME_MARK_ &&
                        offsetof(alps_superblock, limit) == ALPS_HOME_LIMIT_ &&
                        ALPS_MAGIC == ALPS_HOME_MAGIC_,
                    "home");

/* Further places in the first page. A word: 1: this is a copy, and blocks of
 * its medium may be missing. Another: 1: a process has the newest bytes in
 * memory of its own and will write them when it closes the region; whoever
 * finds it so, with no such process alive, has half of them. And two notes, of
 * which the newer one that is whole is the program's description of the
 * region. */
#define ALPS_BARE 448u
#define ALPS_LOOSE 512u
#define ALPS_SPARE 768u /* what `crc` sums once more, see super.h */
#define ALPS_NOTE 1024u
typedef struct alps_note {
    uint32_t crc;    /* CRC-32C of what follows */
    uint32_t length; /* of the text */
    uint64_t seq;    /* notes are counted from 1 */
    char text[496];  /* zero-padded */
} alps_note;
ALPS_STATIC_ASSERT_(sizeof(alps_note) == 512, "size");

/* What the region goes on in, if it is in several files: see part.h. */
ALPS_STATIC_ASSERT_(ALPS_LOOSE + ALPS_LINE == ALPS_ONWARD &&
                        ALPS_ONWARD + sizeof(alps_onward) == ALPS_SPARE &&
                        ALPS_MAGIC == ALPS_PART_REGION_ &&
                        ALPS_STATE_MAKING == ALPS_PART_MAKING_,
                    "onward");

/* Words: the ids of the regions that packed pointers of this one lead to. */
#define ALPS_NEIGHBOURS 2048u
#define ALPS_NEIGHBOUR_MAX 128u

/* What hangs between two regions: an object of this one, and the link to it in
 * another that is being made or cut. See pledge.h. */
#define ALPS_PLEDGES 3072u
#define ALPS_PLEDGE_MAX 16u
typedef struct alps_pledge {
    uint64_t owner;  /* the process that is at it. Index */
    uint64_t region; /* id of the region that has the link */
    alps_off dest;   /* the link there: the word that names the object */
    uint64_t value;  /* what that word holds when it does */
    uint64_t wide;  /* 1: the word before it holds the id of this region then */
    alps_off block; /* the object; 0: nothing is pledged */
    uint64_t tied;  /* not 0: it is a tie, ALPS_TIE_...; `region` has the object
                       then, `dest` is here, and `block` is 0 */
    uint64_t waits; /* 1: its maker is done, and it is to be settled. Index */
} alps_pledge;
enum {
    ALPS_TIE_LINK = 1, /* the link holds only if the object is pledged */
    ALPS_TIE_CUT = 2   /* the object is to be freed unless the link holds */
};
ALPS_STATIC_ASSERT_(sizeof(alps_pledge) == ALPS_LINE, "line");
ALPS_STATIC_ASSERT_(ALPS_NEIGHBOURS + 8 * ALPS_NEIGHBOUR_MAX == ALPS_PLEDGES &&
                        ALPS_PLEDGES + ALPS_LINE * ALPS_PLEDGE_MAX == ALPS_PAGE,
                    "page");

/* One lane's retire words: records up to this sequence are done. The words of
 * all lanes lie together, so that under msync every sync call takes them. */
typedef struct alps_done {
    uint64_t seq;
    uint64_t tx; /* transactions of this lane up to this count are ended */
    uint64_t line_[6];
} alps_done;
ALPS_STATIC_ASSERT_(sizeof(alps_done) == ALPS_LINE, "line");

/* What a publish or a release is about to do; one line, written by one
 * non-temporal store. Live while `check` is right and `seq` is above the
 * lane's retire word. Lines of the logs of transactions look the same: their
 * `seq` is the number of the transaction. */
typedef struct alps_record {
    uint64_t seq;   /* counts in the lane; under msync in the region */
    uint32_t op;    /* ALPS_OP_... */
    uint32_t crc;   /* CRC-32C of the block's bytes, where ALPS_OP_SUMMED */
    alps_off block; /* the object */
    uint64_t units; /* its granules; extents where ALPS_OP_LARGE; bytes where
                       ALPS_OP_SMALL */
    alps_off dest;  /* the word that is to name it, or that names it */
    uint64_t value; /* what that word is to hold */
    uint64_t epoch; /* the superblock's, when it was written */
    uint64_t check; /* CRC-32C of the above, and its complement */
} __attribute__((aligned(64))) alps_record;
ALPS_STATIC_ASSERT_(sizeof(alps_record) == ALPS_LINE, "line");

enum {
    ALPS_OP_PUBLISH = 1,
    ALPS_OP_RELEASE = 2,
    ALPS_OP_SET = 3,     /* a line of a log: a word gets a value */
    ALPS_OP_COMMIT = 4,  /* `units` lines, from the one at `block` on, are to be
                            carried out; `value` is the transaction's number */
    ALPS_OP_UNDO = 5,    /* a line: the bytes that were at `dest` follow; or the
                            mark of a lane: there are such lines */
    ALPS_OP_NEXT = 6,    /* a line: the log goes on at `block` */
    ALPS_OP_SUMMED = 16, /* `crc` tells whether the contents are there */
    ALPS_OP_LARGE = 32,  /* the block is a run of extents */
    ALPS_OP_SMALL = 64,  /* the block is an object of a slab */
    ALPS_OP_WORDLESS = 128, /* no word is stored to: there is none, or it is
                               in what is not published yet */
    ALPS_OP_MADE = 256      /* the transaction itself reserved the block */
};

/* A lane carries the records of one thread. It belongs to that thread as long
 * as it lives, and makes it known to the others by its *token*, a number that
 * is never used twice in an epoch; or, one of the last few, to one operation of
 * any thread that found no lane of its own. Its first lines are index; the
 * records are truth. They rotate, so that a store does not meet a line whose
 * write-back is under way. */
#define ALPS_RING 6u
#define ALPS_LANES_MAX 4032u
typedef struct alps_lane {
    uint64_t lock;    /* whose it is: a process, see lock.h */
    alps_off held;    /* a block held back by the operation under way */
    uint64_t next;    /* records written so far */
    uint64_t apply;   /* 1 while a record is being carried out; of a commit:
                         and how many of its actions have been */
    uint64_t token;   /* of the thread; 0: none */
    alps_off pending; /* a released object, held back until the next fence */
    uint64_t seq;     /* of the last record */
    uint64_t empty;   /* empty slabs that its thread keeps */
    uint64_t told[8]; /* extents, modulo 512, in which others freed objects of
                         this thread's full slabs */
    uint64_t pin;     /* the era that its thread reads in, see limbo.h; or 0 */
    alps_off limbo;   /* the chunk that takes what its thread retires */
    uint64_t freeing; /* the transaction that holds back what it freed; or 0 */
    alps_off log;     /* the first line of its actions */
    uint64_t given;   /* so many of them are seen to */
    uint64_t line_[3];
    alps_record ring[ALPS_RING];
    alps_record mark; /* the transaction under way has something to undo */
} alps_lane;
ALPS_STATIC_ASSERT_(sizeof(alps_lane) == 640, "size");

/* One attached process. Index: void with the epoch. */
typedef struct alps_slot {
    uint64_t generation; /* counts the users of this slot; odd: in use */
    uint64_t pid;
    uint64_t start; /* when that process started, clock ticks after boot */
    uint64_t line_[5];
} alps_slot;
ALPS_STATIC_ASSERT_(sizeof(alps_slot) == ALPS_LINE, "line");

/* What all processes share and recovery makes anew. Index. */
typedef struct alps_shared {
    uint64_t lock; /* guards what is loose, and who is in the region */
    uint64_t line_[7];
    uint64_t cursor;     /* heap extents below this have a shard */
    uint64_t seq;        /* of the last record */
    uint64_t policy;     /* what every opener of this epoch must use */
    uint64_t reaped;     /* processes that left or were found dead */
    uint64_t tokens;     /* given out in this epoch */
    uint64_t swept;      /* extents below this were looked at for loose slabs */
    uint64_t loose_by;   /* the token of slabs in the lists of loose ones */
    uint64_t empty;      /* empty slabs that threads keep: about */
    alps_off loose[24];  /* by class: the first head of a slab that no thread
                           owns and that has free objects */
    uint64_t era;        /* what who reads from now on is in; see limbo.h */
    uint64_t deaths;     /* processes found dead in this epoch */
    alps_off limbo;      /* the first chunk of what waits for readers */
    alps_off limbo_last; /* and the last */
    alps_off leaving;    /* the chunk that is being emptied, or 0 */
    uint64_t idle;     /* extents that are empty and could be punched: about */
    uint64_t idle_max; /* beyond so many they are */
    uint64_t line3_[1];
    uint64_t naming;  /* the lock of who changes names */
    uint64_t named;   /* names, and one more; 0: they are to be counted */
    uint64_t unnamed; /* names that were destroyed */
    uint64_t line4_[5];
} alps_shared;
ALPS_STATIC_ASSERT_(sizeof(alps_shared) == 7 * ALPS_LINE, "size");

/* What was retired: held back until no reader can have it. Index. */
#define ALPS_CHUNK 61u
typedef struct alps_chunk {
    alps_off next;
    uint64_t era;   /* when it was closed: all in it was retired by then */
    uint64_t count; /* of the things in it */
    alps_off thing[ALPS_CHUNK];
} alps_chunk;
ALPS_STATIC_ASSERT_(sizeof(alps_chunk) == 512, "size");

/* Free runs by size class: see bins.h, tlsf.h. Index. */
#define ALPS_ROWS 24u
#define ALPS_COLUMNS 32u
typedef struct alps_index {
    uint64_t rows; /* bit: some bin of this row has a run */
    uint64_t line_[3];
    uint32_t columns[ALPS_ROWS]; /* bit: this bin has a run */
    alps_off head[ALPS_ROWS][ALPS_COLUMNS];
} alps_index;
ALPS_STATIC_ASSERT_(sizeof(alps_index) % ALPS_LINE == 0, "lines");

/* A part of the heap that one thread at a time works on: the heap extents that
 * name it in `built`; or, the last one, all extents of the region. A *build* is
 * a number of the epoch, of how often its index was emptied, and of the shard:
 * no two are the same. Index. */
#define ALPS_SHARDS_MAX 64u
#define ALPS_BUILD_EPOCH_ 30 /* where the epoch is in a build */
typedef struct alps_shard {
    uint64_t lock; /* guards all below, and every code of its extents */
    uint64_t line_[7];
    uint64_t built;     /* what an extent's `built` must say to be trusted */
    uint64_t cursor;    /* extents below this are none, or trusted; of the last
                           shard: `built`, if its index is to be trusted */
    uint64_t held;      /* place of the held table | log2 of its entries */
    uint64_t held_used; /* entries of it that are not empty */
    uint64_t idle;      /* what it has not told alps_shared.idle yet: signed */
    uint64_t line2_[3];
    alps_index index;
} alps_shard;
ALPS_STATIC_ASSERT_(sizeof(alps_shard) % ALPS_LINE == 0, "lines");

/* The first line of a heap extent. Its map of codes follows, a word of `told`
 * for every 64 slabs, the slabs' heads, and then granules. */
typedef struct alps_extent {
    uint64_t built; /* alps_shard.built when its free runs were indexed; if it
                       is of this epoch it names its shard at least. Index */
    uint64_t line_[7];
} alps_extent;
ALPS_STATIC_ASSERT_(sizeof(alps_extent) == ALPS_LINE, "line");

/* The head of a slab: objects of one size in a block of granules that starts at
 * a multiple of the slab's size. It lies apart from the objects, in the front
 * of the extent; pairs follow it, one for every 64 objects, and then keeps. */
typedef struct alps_slab {
    uint32_t kind;     /* class of size + 1. Truth; all else is index */
    uint32_t size;     /* bytes of an object */
    uint32_t scale;    /* 2^32 / size, rounded up */
    uint32_t count;    /* objects */
    uint64_t owner;    /* token of the thread it belongs to */
    uint64_t process;  /* of which that was a thread, see process.h */
    uint64_t full;     /* 1: its owner waits to be told of a free */
    alps_off next;     /* in a list of its owner, or of loose slabs */
    alps_off previous; /* in a list of its owner */
    uint32_t where;    /* which list of its owner it is in */
    uint32_t kept;     /* 1: some keep may not be zero */
} alps_slab;
ALPS_STATIC_ASSERT_(sizeof(alps_slab) == ALPS_LINE, "line");

/* Which of 64 objects are live: those whose two bits differ. Truth. Only the
 * owner of the slab changes `own`, so it needs no locked instruction; all
 * others change `far`, atomically. Every change is one store of one word. */
typedef struct alps_pair {
    uint64_t own, far;
} alps_pair;

/* Which of them are not free though they are not live. Index. A reservation
 * shows as a difference of the first two, like a live object. */
typedef struct alps_keep {
    uint64_t own, far;
    uint64_t pinned; /* held back until a fence, or until readers are gone */
} alps_keep;

/* The head of a free run, in the free memory itself; the last 8 bytes of the
 * run hold the place of its head. Index: checked against the codes. */
typedef struct alps_run {
    alps_off next, previous; /* in the same bin, or 0 */
    uint64_t units;
} alps_run;

/* Bytes that lie idle before any are punched by themselves. Define more to have
 * less of it. */
#ifndef ALPS_IDLE_MAX
#  define ALPS_IDLE_MAX (64ull << 20)
#endif

/* Names: one list, kept by the reverse of their hashes. A node is an entry, the
 * lowest bit of whose key is set, or where a bucket begins; there bit 1 tells
 * that it is linked, durably. See node.h. Truth. */
typedef struct alps_node {
    alps_off next; /* the node with the next higher key, or 0 */
    uint64_t key;
} alps_node;

/* How names are found: tables of buckets, each as large as all before it. */
#define ALPS_NAMES_SHIFT 3u
#define ALPS_NAMES_TABLES 32u
typedef struct alps_names {
    uint64_t shift; /* log2 of the buckets in use; may be behind: index */
    uint64_t line_[7];
    alps_off table[ALPS_NAMES_TABLES]; /* of buckets from 2^(i + 3) on, or 0 */
    alps_node first[1u << ALPS_NAMES_SHIFT];
} alps_names;
ALPS_STATIC_ASSERT_(sizeof(alps_names) == 448, "size");

/* A named object, in one block: this, the name and a zero byte, the distance
 * of the object from here once more in 8 bytes, the object. Truth. */
typedef struct alps_entry {
    alps_node node;
    uint64_t tag;     /* of its type, or 0 */
    uint64_t element; /* bytes of an element */
    uint64_t count;   /* of elements */
    alps_off text;    /* its description, an alps_text, or 0 */
    uint32_t length;  /* bytes of the name */
    uint32_t place;   /* of the object, from here on */
    uint32_t unique;  /* 1: it has no name but its tag */
    uint32_t crc;     /* CRC-32C of all this but `next`, `text` and `crc`, and
                         of the name */
} alps_entry;
ALPS_STATIC_ASSERT_(sizeof(alps_entry) == ALPS_LINE, "line");

/* A description; its bytes and a zero byte follow. */
typedef struct alps_text {
    alps_off before; /* that this one replaces, and that is to be freed; or 0 */
    uint64_t length;
} alps_text;

/* Entries of the held table when a region is made. */
#define ALPS_HELD_SHIFT 8u

/* Where everything is, which follows from the numbers in the superblock. */
typedef struct alps_geometry {
    alps_off done, lanes, slots, shared, shards, held, codes, kinds, holes,
        slabs;
    alps_off heap;
    uint64_t limit;
    uint64_t extents_max; /* that fit below the limit */
    uint64_t extent;      /* bytes of one */
    uint64_t extent_mask; /* the same - 1 */
    uint64_t slab_mask;   /* bytes of a slab - 1 */
    uint64_t granules;    /* of an extent */
    uint64_t first;       /* of them before its first block */
    uint64_t told, heads; /* places in an extent: words, heads of slabs */
    uint64_t head;        /* bytes of a slab's head with what follows it */
    uint64_t keeps;       /* place of the keeps, from a head on */
    uint64_t small;       /* bytes of the largest object in slabs */
    uint64_t slab_end;    /* no slab lies above this */
    unsigned extent_shift, slab_shift, lane_count, slot_count, shard_count;
    unsigned groups; /* pairs of a slab */
} alps_geometry;

/* The number of extents that fit between `heap` and `size`. */
ALPS_FN_ uint64_t alps_geometry_extents_(const alps_geometry *g, uint64_t size)
{
    return size < g->heap ? 0 : (size - g->heap) >> g->extent_shift;
}

/* Lays out the front of a heap extent: its line, the map, and the heads of
 * slabs with all that a slab of the smallest objects needs. */
ALPS_FN_ void alps_geometry_extent_(alps_geometry *g)
{
    unsigned shift = g->extent_shift - 5;
    if (shift < ALPS_SLAB_SHIFT_MIN)
        shift = ALPS_SLAB_SHIFT_MIN;
    if (shift > ALPS_SLAB_SHIFT_MAX)
        shift = ALPS_SLAB_SHIFT_MAX;
    uint64_t slabs = g->extent >> shift;
    uint64_t objects = (1ull << shift) / 16;
    if (objects > ALPS_SLAB_OBJECTS)
        objects = ALPS_SLAB_OBJECTS;
    g->slab_shift = shift;
    g->slab_mask = (1ull << shift) - 1;
    g->groups = (unsigned)(objects / 64);
    g->keeps = sizeof(alps_slab) +
               alps_round_up_(g->groups * sizeof(alps_pair), ALPS_LINE);
    g->head =
        g->keeps + alps_round_up_(g->groups * sizeof(alps_keep), ALPS_LINE);
    g->told = sizeof(alps_extent) + alps_round_up_(g->granules / 4, ALPS_LINE);
    g->heads = g->told + alps_round_up_((slabs + 63) / 64 * 8, ALPS_LINE);
    if (g->small < 16) { // no slabs at all
        g->heads = g->told;
        slabs = 0;
    }
    g->first = (g->heads + slabs * g->head) / ALPS_GRANULE;
}

/* Lays out a region. ALPS_EINVAL where the numbers are not sane. */
ALPS_FN_ int alps_geometry_init_(alps_geometry *g, uint64_t limit,
                                 unsigned extent_shift, unsigned lanes,
                                 unsigned slots, uint64_t small,
                                 unsigned shards)
{
    if (extent_shift < ALPS_EXTENT_SHIFT_MIN ||
        extent_shift > ALPS_EXTENT_SHIFT_MAX || lanes < 1 ||
        lanes > ALPS_LANES_MAX || slots < 1 || slots > 4096 || shards < 1 ||
        shards > ALPS_SHARDS_MAX || shards & (shards - 1) ||
        limit > ALPS_SIZE_MAX || limit >> extent_shift > ALPS_EXTENTS_MAX)
        return ALPS_EINVAL;
    uint64_t extents = limit >> extent_shift;
    alps_off off = 2 * ALPS_PAGE;
    g->extent_shift = extent_shift;
    g->extent = 1ull << extent_shift;
    g->extent_mask = g->extent - 1;
    g->granules = g->extent / ALPS_GRANULE;
    g->small = small;
    alps_geometry_extent_(g);
    if (small > (1ull << g->slab_shift) / 8 || small > ALPS_SMALL_MAX)
        return ALPS_EINVAL;
    g->done = off;
    g->lanes = off += lanes * sizeof(alps_done);
    g->slots = off += lanes * sizeof(alps_lane);
    g->shared = off += slots * sizeof(alps_slot);
    g->shards = off += sizeof(alps_shared);
    g->held = off += (shards + 1) * sizeof(alps_shard);
    g->codes = off += (shards + 1) * (8ull << ALPS_HELD_SHIFT);
    g->kinds = off += alps_round_up_(extents / 4 + 1, ALPS_LINE);
    g->holes = off += alps_round_up_(extents / 8 + 1, ALPS_LINE);
    g->slabs = off += alps_round_up_(extents / 8 + 1, ALPS_LINE);
    g->slab_end = limit < ALPS_SLAB_END ? limit : ALPS_SLAB_END;
    off += alps_round_up_((g->slab_end >> g->slab_shift) / 8 + 8, ALPS_LINE);
    g->heap = alps_round_up_(off, 1ull << extent_shift);
    g->limit = limit;
    g->lane_count = lanes;
    g->slot_count = slots;
    g->shard_count = shards;
    g->extents_max = alps_geometry_extents_(g, limit);
    return g->extents_max ? ALPS_OK : ALPS_EINVAL;
}

/* copy.h -- a file that is a copy, there as a whole or not at all
 *
 * A copy is made aside, in the directory it is to be in, under the name it is
 * to have with `.new-` and 16 digits behind it. When it is complete and synced
 * it is renamed, and the directory is synced: whenever a crash comes, the name
 * means what it meant before or all of the copy. What a crash leaves aside is
 * known by its name, is in nobody's way, and may be deleted.
 *
 * Where the file system shares blocks between files (FICLONE) that is all that
 * is done. Elsewhere what is data is copied by the system, and holes remain. */
#include <sys/ioctl.h>

/* The C library tells these to GNU programs only, or not at all. */
#define ALPS_FICLONE_ 0x40049409ul

#define ALPS_COPY_PATH_ 4096u
#define ALPS_COPY_ROOM_ ((uint64_t)65536)
#define ALPS_COPY_STEP_ ((uint64_t)16 << 20)

/* A copy in the making. */
typedef struct alps_copying {
    int fd;                     /* the file aside */
    int old;                    /* what has the name until now; -1: nothing */
    unsigned way;               /* how it was copied: ALPS_COPIED_... */
    char path[ALPS_COPY_PATH_]; /* of the file aside */
} alps_copying;
enum {
    ALPS_COPIED_CLONE = 1, /* blocks are shared */
    ALPS_COPIED_RANGE = 2, /* by the system, from file to file */
    ALPS_COPIED_BYTES = 3  /* read and written */
};

/* What has the name may be replaced: an old copy, that nobody has open, or
 * nothing at all. Until it is closed nobody gets to open it. */
ALPS_COLD_ int alps_copy_over_(alps_copying *c, const char *to)
{
    uint64_t magic = 0;
    c->old = open(to, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (c->old < 0)
        return errno == ENOENT ? ALPS_OK : alps_fd_open_error_();
    int err = alps_fd_kind_(c->old, 0);
    if (!err) {
        ssize_t n = pread(c->old, &magic, sizeof magic, 0);
        if (n < 0)
            err = alps_oserror_();
        else if (n && (n != sizeof magic || (magic && magic != ALPS_MAGIC)))
            err = ALPS_EFORMAT; // somebody's file, and no region
    }
    if (!err)
        err = alps_detached_(c->old);
    return err == ALPS_EUNSUPPORTED ? ALPS_OK : err;
}

/* Begins a copy that is to be called `to`. ALPS_EBUSY: that is open. */
ALPS_COLD_ int alps_copy_begin_(alps_copying *c, const char *to, unsigned mode)
{
    c->fd = c->old = -1;
    if (!to || !*to)
        return ALPS_EINVAL;
    int err = alps_copy_over_(c, to);
    while (!err && c->fd < 0) {
        int n = snprintf(c->path, sizeof c->path, "%s.new-%016llx", to,
                         (unsigned long long)alps_random_());
        if (n < 0 || (size_t)n >= sizeof c->path) {
            err = ALPS_EINVAL;
            break;
        }
        c->fd = open(c->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY,
                     (mode_t)mode);
        if (c->fd < 0 && errno != EEXIST)
            err = alps_fd_open_error_();
    }
    if (err && c->old >= 0)
        close(c->old);
    return err;
}

/* The files that an old copy went on in go with it. */
ALPS_COLD_ int alps_copy_replaced_(int old, const char *to)
{
    alps_map m;
    memset(&m, 0, sizeof m);
    m.fd = old;
    return alps_medium_bare_(&m, to);
}

/* Ends it: under its name if `err` is 0, or else not at all. */
ALPS_COLD_ int alps_copy_end_(alps_copying *c, const char *to, int err)
{
    int renamed = 0;
    if (!err && fsync(c->fd))
        err = alps_oserror_();
    if (!err) {
        renamed = !rename(c->path, to);
        err = renamed ? alps_fd_sync_name_(to) : alps_oserror_();
    }
    if (renamed && !err && c->old >= 0)
        err = alps_copy_replaced_(c->old, to);
    if (!renamed)
        unlink(c->path);
    close(c->fd);
    if (c->old >= 0)
        close(c->old);
    return err;
}

/* Writes [off, off + n) of the memory at `base`, whole pages, to the same place
 * of a file that has a hole there; pages of zeroes remain holes. */
ALPS_COLD_ int alps_copy_memory_(int fd, const unsigned char *base,
                                 uint64_t off, uint64_t n)
{
    uint64_t *bytes = (uint64_t *)malloc(ALPS_COPY_ROOM_);
    uint64_t pages = 0, from = off, end = off + n;
    int err = bytes ? ALPS_OK : ALPS_ENOMEM;
    while (!err && off < end) {
        int any = !alps_page_take_(bytes + pages * (ALPS_PAGE / 8), base + off);
        pages += (uint64_t)any;
        off += ALPS_PAGE;
        if (any && pages * ALPS_PAGE < ALPS_COPY_ROOM_ && off < end)
            continue;
        err = alps_fd_write_(fd, bytes, pages * ALPS_PAGE, from);
        from = off;
        pages = 0;
    }
    free(bytes);
    return err;
}

/* Copies [off, off + n) of a region to a file by reading and writing. */
ALPS_COLD_ int alps_copy_read_(const alps_map *from, int to, uint64_t off,
                               uint64_t n)
{
    char *bytes = (char *)malloc(ALPS_COPY_ROOM_);
    int err = bytes ? ALPS_OK : ALPS_ENOMEM;
    while (!err && n) {
        uint64_t k = n < ALPS_COPY_ROOM_ ? n : ALPS_COPY_ROOM_;
        err = alps_medium_read_(from, bytes, k, off);
        if (!err)
            err = alps_fd_write_(to, bytes, k, off);
        off += k;
        n -= k;
    }
    free(bytes);
    return err;
}

/* Copies [off, off + n), by the system where it can. */
ALPS_COLD_ int alps_copy_range_(alps_copying *c, const alps_map *from,
                                uint64_t off, uint64_t n)
{
    while (n && c->way == ALPS_COPIED_RANGE) {
        uint64_t k = n < ALPS_COPY_STEP_ ? n : ALPS_COPY_STEP_;
        alps_stretch s = alps_stretch_(from, off, k);
        int64_t in = (int64_t)s.at, out = (int64_t)off;
        long got = syscall(SYS_copy_file_range, s.fd, &in, c->fd, &out,
                           (size_t)s.n, 0u);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO ||
                        errno == EFBIG))
            return alps_oserror_();
        if (got <= 0) {
            c->way = ALPS_COPIED_BYTES; // not between these two
            break;
        }
        off += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return alps_copy_read_(from, c->fd, off, n);
}

/* Copies what is data of the first `length` bytes; all is, where the file
 * system does not tell. */
ALPS_COLD_ int alps_copy_data_(alps_copying *c, const alps_map *from,
                               uint64_t length)
{
    uint64_t off = 0, end = 0;
    int err = ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    c->way = ALPS_COPIED_RANGE;
    while (!err && alps_medium_data_(from, length, end, &off, &end))
        err = alps_copy_range_(c, from, off, end - off);
    return err;
}

/* Copies the first `length` bytes of the region `from`: by sharing the blocks
 * of its file, or else by copying what is not a hole. */
ALPS_COLD_ int alps_copy_file_(alps_copying *c, const alps_map *from,
                               uint64_t length)
{
    if (!from->parts && ioctl(c->fd, ALPS_FICLONE_, from->fd) == 0) {
        c->way = ALPS_COPIED_CLONE;
        return ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    }
    return alps_copy_data_(c, from, length);
}

/* The copy says of itself that blocks of it may be missing: who opens it first
 * for writing reserves them, see alps_region_bare_. And nobody has it open, of
 * whom its slots might tell; and all of it is in one file. */
ALPS_COLD_ int alps_copy_mark_(const alps_copying *c)
{
    static const uint64_t bare = 1, loose = 0;
    static const alps_onward nowhere = {0, 0, 0, {0}, {0}};
    static const unsigned char none[sizeof(alps_slot)] = {0};
    alps_superblock s;
    if (pread(c->fd, &s, sizeof s, 0) != (ssize_t)sizeof s)
        return ALPS_EFORMAT;
    uint64_t slots =
        2ull * ALPS_PAGE + s.lanes * (sizeof(alps_done) + sizeof(alps_lane));
    int err = alps_fd_write_(c->fd, &bare, sizeof bare, ALPS_BARE);
    if (!err)
        err = alps_fd_write_(c->fd, &loose, sizeof loose, ALPS_LOOSE);
    if (!err)
        err = alps_fd_write_(c->fd, &nowhere, sizeof nowhere, ALPS_ONWARD);
    for (unsigned i = 0; !err && i < s.processes; i++)
        err = alps_fd_write_(c->fd, none, sizeof none, slots + i * sizeof none);
    return err;
}

/* Makes the first `length` bytes of the files of `from`, a region that is as it
 * should be on the medium and stays so meanwhile, the file `to`. */
ALPS_COLD_ int alps_copy_medium_(const alps_map *from, uint64_t length,
                                 const char *to, unsigned mode)
{
    alps_copying c;
    int err = alps_fd_limit_(length);
    if (!err)
        err = alps_copy_begin_(&c, to, mode);
    if (err)
        return err;
    err = alps_copy_file_(&c, from, length);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}

/* handle.h -- what a process keeps of a region it has open
 *
 * Addresses in this process, who this process is in the region, and the caches
 * of its threads. All other state is in the region, where every process sees
 * it. A handle stays where it is while it is open. */

typedef struct alps_handle {
    alps_map map;     /* the open medium */
    alps_geometry at; /* where everything is */
    alps_superblock *super;
    alps_superblock *spare; /* of a damaged region, as it should be; or NULL */
    alps_shared *shared;
    alps_done *done;
    alps_lane *lanes;
    alps_slot *slots;
    alps_shard *shards; /* of the heap, and then that of all extents */
    alps_shard *top;    /* the latter */
    uint64_t *codes;    /* of extents */
    uint64_t *kinds;    /* of extents: bit 1, a heap extent */
    uint64_t *holes;    /* of extents: bit 1, the inside may be a hole */
    uint64_t *slabs;    /* bit: a slab starts at this multiple of its size */
    struct alps_local *local;  /* gone in the child of a fork, see thread.h */
    struct alps_seat *seats;   /* where a thread finds its cache */
    struct alps_claim *claims; /* by slab: which of our threads owns it */
    struct alps_draft *drafts; /* by lane: the transaction that is under way */
    unsigned keyed;            /* 1: `key` tells when a thread ends */
    pthread_key_t key;
    uint64_t grow; /* bytes of a step by which the region grows, or how */
    unsigned slot; /* this handle's number among the attached */
    unsigned crc;  /* how checksums are computed */
    int attached;  /* 1: this process, or the one it was forked from, is in */
    int error;     /* the last code that an allocation met */
} alps_handle;

/* The tables of an instance and its path off the fast one, handed down as a
 * constant so that the compiler sees through it. */
enum {
    ALPS_SLOW_WAIT = 1,
    ALPS_SLOW_REFILL = 2,
    ALPS_SLOW_LANES = 3,
    ALPS_SLOW_RACK = 4,    /* this thread's cache has no object of a class */
    ALPS_SLOW_FREED = 5,   /* a full slab is not full any more, or is empty */
    ALPS_SLOW_SELF = 6,    /* not attached: read-only, or the child of a fork */
    ALPS_SLOW_JOIN = 7,    /* an extent has no shard, or is not built */
    ALPS_SLOW_TAKE = 8,    /* a shard has to look for more */
    ALPS_SLOW_FOLD = 9,    /* a table of reservations is empty */
    ALPS_SLOW_MEND = 10,   /* a shard was locked by a process that died */
    ALPS_SLOW_REAP = 11,   /* a process is dead, or leaves */
    ALPS_SLOW_MORE = 12,   /* the region seems full */
    ALPS_SLOW_LOOSEN = 13, /* a slab has no owner any more */
    ALPS_SLOW_FOUND = 14,  /* a slab seems to have none */
    ALPS_SLOW_LET_GO = 15, /* no reader can have a block */
    ALPS_SLOW_RETIRED = 16, /* this thread has retired enough */
    ALPS_SLOW_IDLE = 17,    /* much is free that the file system could have */
    ALPS_SLOW_PUBLISH = 18, /* a publish of the library's own */
    ALPS_SLOW_CUT = 19,     /* a link is cut */
    ALPS_SLOW_CUT_END = 20, /* and its lock is no longer held */
    ALPS_SLOW_RESERVE = 21, /* a reservation of the library's own */
    ALPS_SLOW_AT_HAND = 22, /* what this thread and nobody has comes back */
    ALPS_SLOW_EMPTY = 23,   /* empty extents become memory for any use */
    ALPS_SLOW_ENDED = 24,   /* the lanes of a process are at nothing more */
    ALPS_SLOW_DEAD = 25,    /* some process may be dead */
    ALPS_SLOW_CANCEL = 26,  /* a reservation of the library's own goes back */
    ALPS_SLOW_ABORT = 27,   /* the transaction of a lane is not to be */
    ALPS_SLOW_GIVE = 28,    /* what it freed is free at last */
    ALPS_SLOW_COMMIT = 29,  /* a commit record of the dead, see commit.h */
    ALPS_SLOW_RESTORE = 30  /* bytes are put back as they were */
};
typedef struct alps_tables {
    const alps_backend *backend;
    const alps_policy *policy;
    int (*slow)(alps_handle *h, int what, uint64_t a, uint64_t b);
    int (*fence)(alps_map *m);  /* of the policy, with the backend */
    void (*ended)(void *cache); /* a thread ends */
    void *(*other)(alps_handle *h, uint64_t align, uint64_t n, int how);
    int (*far)(alps_handle *h, uint64_t off); /* frees what `other` gave, or
                                                 other threads allocated */
    struct alps_faults *faults;               /* of the instance, or NULL */
} alps_tables;

#define ALPS_HOPS_ 64u

/* What is gone in the child of a fork: its first page. */
typedef struct alps_local {
    uint64_t owner;    /* what this process writes into lock words; 0: none */
    uint64_t lock;     /* 1 while a thread works on the seats */
    uint64_t borrowed; /* transactions of threads that own no lane */
    unsigned char hops[ALPS_HOPS_]; /* by thread, see alps_shard_home_ */
} alps_local;

/* Who this process is in the region: 0 where it only reads, and in the child of
 * a fork. */
ALPS_FAST_ uint64_t alps_self_(const alps_handle *h)
{
    return ALPS_LIKELY_(h->local != NULL) ? alps_load_(&h->local->owner) : 0;
}

/* Keeps `code` for alps_error. */
ALPS_FN_ void alps_fail_(alps_handle *h, int code)
{
    __atomic_store_n(&h->error, code, __ATOMIC_RELAXED);
}

/* The bytes of the region now; another process may have grown it. */
ALPS_FN_ uint64_t alps_size_(const alps_handle *h)
{
    return alps_load_(&h->super->size) >> 16;
}

ALPS_FN_ uint64_t alps_extents_(const alps_handle *h)
{
    return alps_geometry_extents_(&h->at, alps_size_(h));
}

/* The address of an offset that the library itself has checked. */
ALPS_FN_ void *alps_address_(const alps_handle *h, alps_off off)
{
    return h->map.base + off;
}

ALPS_FN_ alps_off alps_offset_(const alps_handle *h, const void *p)
{
    return (alps_off)((uintptr_t)p - (uintptr_t)h->map.base);
}

#define ALPS_IDLE_FEW_ 3u

/* Counts extents without a block that still have all their blocks on the
 * medium: roughly, for what is done about it may be done too soon or too
 * late. */
ALPS_FN_ void alps_idle_more_(const alps_handle *h, uint64_t n)
{
    __atomic_fetch_add(&h->shared->idle, n, __ATOMIC_RELAXED);
}

ALPS_FN_ void alps_idle_less_(const alps_handle *h, uint64_t n)
{
    uint64_t idle = alps_load_(&h->shared->idle);
    alps_store_(&h->shared->idle, idle < n ? 0 : idle - n);
}

/* One more (1) or less (-1) in an index, of which the lock is held. Its shard
 * tells the region of a few at once: threads that take and free the only block
 * of an extent would fight for the line of the count. */
ALPS_FN_ void alps_idle_turn_(const alps_handle *h, alps_index *index, int n)
{
    alps_shard *s = (alps_shard *)(void *)((unsigned char *)index -
                                           offsetof(alps_shard, index));
    s->idle += (uint64_t)(int64_t)n;
    if (s->idle + ALPS_IDLE_FEW_ <= 2 * ALPS_IDLE_FEW_)
        return;
    if (n > 0)
        alps_idle_more_(h, s->idle);
    else
        alps_idle_less_(h, 0 - s->idle);
    s->idle = 0;
}

/* Whether it is time to do something about them. */
ALPS_FAST_ int alps_idle_over_(const alps_handle *h)
{
    return alps_load_(&h->shared->idle) > alps_load_(&h->shared->idle_max);
}

/* process.h -- who is attached, and who is still alive
 *
 * A process takes a slot when it opens a region and a lease on the medium with
 * the slot's number, which the system drops when the process dies, in whatever
 * pid namespace. Media that cannot lease are asked for pid and start time. The
 * generation tells one user of a slot from the next; what carries an older one
 * is void. */

/* What a user of a slot writes into lock words; never 0. */
ALPS_FN_ uint64_t alps_owner_(uint64_t generation, unsigned slot)
{
    return generation << 16 | slot;
}

/* The generation that comes `n` after `generation`: the low 24 bits count, the
 * epoch above them stays. */
ALPS_FN_ uint64_t alps_generation_(uint64_t generation, uint64_t n)
{
    uint64_t count = 0xffffff;
    return (generation & ~count) | ((generation + n) & count);
}

/* In place of a generation, above the pid: this process has no slot, and reaps
 * to get one. */
#define ALPS_NO_SLOT_ ((uint64_t)1 << 47)

/* What the system says of a process. */
typedef struct alps_process {
    uint64_t start; /* clock ticks after boot; 0: there is no such process */
    int dying;      /* it has begun to end: it runs none of its own code */
    int stopped;    /* by a signal or a debugger */
} alps_process;

/* Reads /proc. The fields behind the name, which may hold spaces, are the
 * state, then five numbers, flags (4: exiting), and start time as the 22nd. */
ALPS_COLD_ alps_process alps_process_look_(uint64_t pid)
{
    alps_process found = {0, 0, 0};
    char path[40], text[512];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return found;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return found;
    found.stopped = at[2] == 'T' || at[2] == 't';
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (at && field == 8)
            found.dying = (strtoull(at, NULL, 10) & 4) != 0;
    }
    found.start = at ? strtoull(at, NULL, 10) : 0;
    return found;
}

/* Whether the owner of a lock word, or of anything else, still lives. */
ALPS_CORE_ int alps_owner_lives_(alps_handle *h, uint64_t owner,
                                 const alps_tables *t)
{
    unsigned number = (unsigned)(owner & 0xffff);
    if (owner == alps_self_(h))
        return 1;
    if (number > h->at.slot_count)
        return 0;
    const alps_slot *slot = &h->slots[number];
    if (number < h->at.slot_count &&
        alps_load_(&slot->generation) != owner >> 16)
        return 0;
    int leased = t->backend->leased(&h->map, number);
    if (leased >= 0)
        return leased;
    if (number == h->at.slot_count)
        return alps_process_look_(owner >> 16 & ~ALPS_NO_SLOT_).start != 0;
    uint64_t start = alps_process_look_(alps_load_(&slot->pid)).start;
    return start && start == alps_load_(&slot->start);
}

/* The owner that slot `number` stands for, or 0 if nobody is in it. */
ALPS_FN_ uint64_t alps_slot_owner_(const alps_handle *h, unsigned number)
{
    uint64_t generation = alps_load_(&h->slots[number].generation);
    return generation & 1 ? alps_owner_(generation, number) : 0;
}

/* Takes a free slot, and its lease. Runs inside the guard. */
ALPS_CORE_ int alps_slot_take_(alps_handle *h, const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.slot_count; i++) {
        alps_slot *slot = &h->slots[i];
        if (slot->generation & 1)
            continue;
        int err = t->backend->lease(&h->map, i);
        if (err == ALPS_EBUSY)
            continue; // its last user has not quite gone
        if (err && err != ALPS_EUNSUPPORTED)
            return err;
        uint64_t pid = (uint64_t)getpid();
        alps_store_(&slot->pid, pid);
        alps_store_(&slot->start, alps_process_look_(pid).start);
        ALPS_BARRIER_();
        alps_store_(&slot->generation, alps_generation_(slot->generation, 1));
        h->slot = i;
        alps_store_(&h->local->owner, alps_owner_(slot->generation, i));
        return ALPS_OK;
    }
    return ALPS_EPROCESSES;
}

/* Nobody is in slot `number` any more. */
ALPS_FN_ void alps_slot_free_(alps_handle *h, unsigned number)
{
    alps_slot *slot = &h->slots[number];
    alps_store_(&slot->pid, 0);
    __atomic_store_n(&slot->generation,
                     alps_generation_(slot->generation | 1, 1),
                     __ATOMIC_RELEASE);
}

/* Waits for those that have begun to end to be gone. A process that is killed
 * gives up the program's locks and its lease one after the other, in whatever
 * order the system likes; who got the one is told of the other here. */
ALPS_CORE_ void alps_process_wait_(alps_handle *h, const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.slot_count; i++) {
        uint64_t owner = alps_slot_owner_(h, i);
        if (!owner || owner == alps_self_(h))
            continue;
        for (unsigned round = 0; round < 20000; round++) {
            struct timespec nap = {0, 50000};
            alps_process found = alps_process_look_(h->slots[i].pid);
            if (!found.dying || found.start != h->slots[i].start ||
                !alps_owner_lives_(h, owner, t))
                break;
            nanosleep(&nap, NULL);
        }
    }
}

/* lock.h -- a lock word in the region, whose owner may die
 *
 * 0, or the owner's slot and generation. No pthread object is stored in a
 * region: this word means the same in every process, libc and boot. Waiting is
 * spinning, then yielding, then sleeping; who has slept for a while asks
 * whether the owner lives, and breaks the lock of a dead one. A stopped process
 * is alive, and is waited for. */

/* Takes the word if it is free. The locked instruction is also what makes the
 * write-backs that this thread began before complete (x86). */
ALPS_FN_ int alps_lock_try_(uint64_t *word, uint64_t owner)
{
    uint64_t nobody = 0;
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, word, sizeof *word);
    return __atomic_compare_exchange_n(word, &nobody, owner, 0,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

ALPS_FN_ void alps_lock_leave_(uint64_t *word)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

/* Waits for the word. Answers the dead owner from whom it was taken, or 0. */
ALPS_CORE_ uint64_t alps_lock_wait_(alps_handle *h, uint64_t *word,
                                    const alps_tables *t)
{
    for (unsigned round = 0;; round++) {
        if (!alps_load_(word) && alps_lock_try_(word, alps_self_(h)))
            return 0;
        ALPS_WAIT_(round);
        if (round >= 1000) {
            uint64_t owner = alps_load_(word);
            if (round % 100 == 0 && owner && !alps_owner_lives_(h, owner, t) &&
                __atomic_compare_exchange_n(word, &owner, alps_self_(h), 0,
                                            __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                return owner;
        }
    }
}

/* Whether nobody else can want the lock: memory of this process alone, which
 * has one thread, as the C library knows (glibc 2.32). A locked instruction
 * costs more than half of a small allocation. */
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
#  include <sys/single_threaded.h>
ALPS_FN_ int alps_lock_alone_(const alps_handle *h)
{
    return h->map.medium == ALPS_MEDIUM_ANON && __libc_single_threaded;
}
#else
ALPS_FN_ int alps_lock_alone_(const alps_handle *h)
{
    (void)h;
    return 0;
}
#endif

/* Takes the lock at `word`. `inner`: another one is held, so that a dead owner
 * is not reaped at once, see recover.h. */
ALPS_FAST_ void alps_lock_word_(alps_handle *h, uint64_t *word, int inner,
                                const alps_tables *t)
{
    if (alps_lock_alone_(h) && !alps_load_(word))
        alps_store_(word, alps_self_(h));
    else if (ALPS_UNLIKELY_(!alps_lock_try_(word, alps_self_(h))))
        t->slow(h, ALPS_SLOW_WAIT, alps_offset_(h, word), (uint64_t)inner);
}

/* Takes the lock of the region, which comes before those of shards. */
ALPS_FAST_ void alps_lock_(alps_handle *h, const alps_tables *t)
{
    alps_lock_word_(h, &h->shared->lock, 0, t);
}

ALPS_FN_ void alps_unlock_(alps_handle *h)
{
    alps_lock_leave_(&h->shared->lock);
}

/* Takes the lock of names, which comes before that of the region. */
ALPS_FAST_ void alps_names_lock_(alps_handle *h, const alps_tables *t)
{
    alps_lock_word_(h, &h->shared->naming, 0, t);
}

/* What this thread wrote back is durable before the next one has the lock: on
 * x86 by the locked instruction. */
ALPS_FN_ void alps_names_unlock_(alps_handle *h)
{
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, &h->shared->naming, 8);
    (void)__atomic_exchange_n(&h->shared->naming, 0, __ATOMIC_SEQ_CST);
}

/* Takes the lock of a shard. Of the shards one is locked at a time, and besides
 * it the last one, after it. */
ALPS_FAST_ void alps_shard_lock_(alps_handle *h, alps_shard *s, int inner,
                                 const alps_tables *t)
{
    alps_lock_word_(h, &s->lock, inner, t);
}

ALPS_FN_ void alps_shard_unlock_(alps_shard *s)
{
    alps_lock_leave_(&s->lock);
}

/* Takes every lock, so that all is seen at one moment; in this order no two
 * threads wait for each other. */
ALPS_CORE_ void alps_lock_all_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_lock_(h, s, 1, t);
}

ALPS_FN_ void alps_unlock_all_(alps_handle *h)
{
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_unlock_(s);
    alps_unlock_(h);
}

/* bins.h -- which free list a size belongs to
 *
 * Two indices: the power of two below the size, and which of its 32 equal
 * slices the size falls in (Masmano, Ripoll, Crespo, Real: TLSF, ECRTS 2004).
 * Sizes are counts of units, granules or extents. Pure arithmetic: no memory
 * is touched here. */

typedef struct alps_bin {
    unsigned row, column;
} alps_bin;

/* The bin in which a run of `units` is kept. */
ALPS_CORE_ alps_bin alps_bin_of_(uint64_t units)
{
    alps_bin bin;
    if (units < ALPS_COLUMNS) {
        bin.row = 0;
        bin.column = (unsigned)units;
    } else {
        unsigned high = 63u - (unsigned)__builtin_clzll(units);
        bin.row = high - 4;
        bin.column = (unsigned)(units >> (high - 5)) % ALPS_COLUMNS;
    }
    return bin;
}

/* `units` rounded up to where a bin begins: any run of that bin is enough. */
ALPS_CORE_ uint64_t alps_bin_ceiling_(uint64_t units)
{
    if (units < ALPS_COLUMNS)
        return units;
    unsigned high = 63u - (unsigned)__builtin_clzll(units);
    return units + ((1ull << (high - 5)) - 1);
}

/* Whether runs of `a` and of `b` units belong to one bin. */
ALPS_CORE_ int alps_bin_same_(uint64_t a, uint64_t b)
{
    if (a < ALPS_COLUMNS)
        return a == b;
    unsigned slice = 58u - (unsigned)__builtin_clzll(a);
    return a >> slice == b >> slice;
}

/* codes.h -- the truth about blocks: two bits a unit
 *
 * A map of codes says where blocks and free runs start; there are no headers,
 * so a block that overflows cannot reach it. 32 codes share a word. Stores
 * are made under the lock of the region; loads may be made without it. */

#define ALPS_STARTS_ 0x5555555555555555ull

ALPS_FAST_ unsigned alps_code_(const uint64_t *codes, uint64_t unit)
{
    return (unsigned)(alps_load_(&codes[unit / 32]) >> (unit % 32 * 2)) & 3u;
}

ALPS_FAST_ void alps_code_set_(uint64_t *codes, uint64_t unit, unsigned code)
{
    uint64_t *word = &codes[unit / 32];
    unsigned shift = (unsigned)(unit % 32 * 2);
    alps_store_(word, (alps_load_(word) & ~(3ull << shift)) | (uint64_t)code
                                                                  << shift);
}

/* One bit for each start in the word that holds `unit`. */
ALPS_FAST_ uint64_t alps_code_starts_(const uint64_t *codes, uint64_t unit)
{
    uint64_t word = alps_load_(&codes[unit / 32]);
    return (word | word >> 1) & ALPS_STARTS_;
}

/* The first start in [unit, end), or `end`. */
ALPS_FAST_ uint64_t alps_code_next_(const uint64_t *codes, uint64_t unit,
                                    uint64_t end)
{
    if (unit >= end)
        return end;
    uint64_t starts = alps_code_starts_(codes, unit) >> (unit % 32 * 2)
                                                            << (unit % 32 * 2);
    while (!starts) {
        unit = (unit / 32 + 1) * 32;
        if (unit >= end)
            return end;
        starts = alps_code_starts_(codes, unit);
    }
    unit = unit / 32 * 32 + alps_low_bit_(starts) / 2;
    return unit < end ? unit : end;
}

/* The last start before `unit`, looked for in one word, that of the unit
 * before; or `unit` where there is none so near. */
ALPS_FAST_ uint64_t alps_code_near_(const uint64_t *codes, uint64_t unit)
{
    uint64_t last = unit - 1;
    uint64_t below = ~0ull >> (62 - last % 32 * 2);
    uint64_t starts = alps_code_starts_(codes, last) & below;
    return starts ? last / 32 * 32 + alps_high_bit_(starts) / 2 : unit;
}

/* Whether no unit of [from, to) is a start. */
ALPS_FAST_ int alps_code_inside_(const uint64_t *codes, uint64_t from,
                                 uint64_t to)
{
    return alps_code_next_(codes, from, to) == to;
}

/* Makes all of [from, to) the inside of what starts before it. */
ALPS_FAST_ void alps_code_clear_(uint64_t *codes, uint64_t from, uint64_t to)
{
    for (from = alps_code_next_(codes, from, to); from < to;
         from = alps_code_next_(codes, from, to))
        alps_code_set_(codes, from, ALPS_INSIDE);
}

/* tlsf.h -- the index of free runs: two-level segregated fit
 *
 * Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for
 * real-time systems", ECRTS 2004. A zone is a map of codes with an index over
 * its free runs: the granules of one heap extent (all heap extents of a shard
 * share an index), or the extents of the region (which have their own).
 *
 * The index is a hint and the codes are the truth. Links lie in free memory,
 * where a stray store of the program may reach them, so whatever is read there
 * is checked against the codes before it is followed; ALPS_ECORRUPT means that
 * the index cannot be trusted and has to be built anew, and that nothing was
 * given out wrongly. Blocks are carved from the tail of a run, so that taking
 * one is a single code. All of this runs under the lock of its shard. */

typedef struct alps_zone {
    unsigned char *base; /* address of the region */
    uint64_t *codes;
    alps_index *index;
    alps_off origin;     /* place of unit 0 */
    uint64_t first, end; /* units that blocks may take: [first, end) */
    unsigned shift;      /* log2 of the bytes of a unit */
} alps_zone;

/* Which of the two kinds of zone. */
enum { ALPS_LEVEL_GRANULE = 0, ALPS_LEVEL_EXTENT = 1 };

ALPS_FN_ alps_extent *alps_extent_(const alps_handle *h, uint64_t extent)
{
    return (alps_extent *)alps_address_(h, h->at.heap +
                                               (extent << h->at.extent_shift));
}

/* The shard that heap extent `extent` names; see alps_shard_has_. */
ALPS_FAST_ alps_shard *alps_shard_named_(const alps_handle *h, uint64_t extent)
{
    uint64_t built = alps_load_(&alps_extent_(h, extent)->built);
    return &h->shards[built & (h->at.shard_count - 1)];
}

/* The zone of heap extent `extent`. */
ALPS_FAST_ alps_zone alps_zone_extent_(const alps_handle *h, uint64_t extent)
{
    alps_zone z;
    z.base = h->map.base;
    z.origin = h->at.heap + (extent << h->at.extent_shift);
    z.codes = (uint64_t *)(void *)(z.base + z.origin + sizeof(alps_extent));
    z.index = &alps_shard_named_(h, extent)->index;
    z.first = h->at.first;
    z.end = h->at.granules;
    z.shift = ALPS_GRANULE_SHIFT;
    return z;
}

/* The zone of all extents. */
ALPS_FAST_ alps_zone alps_zone_top_(const alps_handle *h)
{
    alps_zone z;
    z.base = h->map.base;
    z.origin = h->at.heap;
    z.codes = h->codes;
    z.index = &h->top->index;
    z.first = 0;
    z.end = alps_extents_(h);
    z.shift = h->at.extent_shift;
    return z;
}

ALPS_FAST_ alps_off alps_zone_off_(const alps_zone *z, uint64_t unit)
{
    return z->origin + (unit << z->shift);
}

ALPS_FAST_ uint64_t alps_zone_unit_(const alps_zone *z, alps_off off)
{
    return (off - z->origin) >> z->shift;
}

/* Units of the block or run that starts at `unit`. */
ALPS_FAST_ uint64_t alps_zone_units_(const alps_zone *z, uint64_t unit)
{
    return alps_code_next_(z->codes, unit + 1, z->end) - unit;
}

/* The head of the free run at `unit`. */
ALPS_FAST_ alps_run *alps_run_(const alps_zone *z, uint64_t unit)
{
    return (alps_run *)(void *)(z->base + alps_zone_off_(z, unit));
}

/* The word in a run's last bytes that names its head. */
ALPS_FAST_ alps_off *alps_run_foot_(const alps_zone *z, uint64_t end)
{
    return (alps_off *)(void *)(z->base + alps_zone_off_(z, end)) - 1;
}

/* Reads what may be the foot of a run, or the program's own memory, which a
 * thread writes meanwhile: then what is read is not believed anyway. */
__attribute__((no_sanitize_thread)) ALPS_FN_ alps_off
alps_run_peek_(const alps_off *foot)
{
    return *(const volatile alps_off *)foot;
}

/* Writes how long the free run at `unit` is. */
ALPS_FAST_ void alps_run_size_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    alps_run_(z, unit)->units = units;
    *alps_run_foot_(z, unit + units) = alps_zone_off_(z, unit);
}

/* Whether a free run of so many units starts at `unit`, as far as both ends
 * tell. */
ALPS_FAST_ int alps_run_valid_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    return unit >= z->first && unit < z->end && units &&
           units <= z->end - unit && alps_code_(z->codes, unit) == ALPS_FREE &&
           (unit + units == z->end || alps_code_(z->codes, unit + units)) &&
           alps_run_peek_(alps_run_foot_(z, unit + units)) ==
               alps_zone_off_(z, unit);
}

/* Whether `off` can be the head of a run in the region: 0, or a unit. */
ALPS_FAST_ int alps_run_place_(const alps_handle *h, const alps_zone *z,
                               alps_off off)
{
    return off == 0 || (off >= h->at.heap && off < alps_size_(h) &&
                        off % (1ull << z->shift) == 0);
}

/* Puts the free run at `unit` into its bin. */
ALPS_FAST_ void alps_run_insert_(const alps_zone *z, uint64_t unit,
                                 uint64_t units)
{
    alps_index *x = z->index;
    alps_bin bin = alps_bin_of_(units);
    alps_off *head = &x->head[bin.row][bin.column];
    alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    run->next = *head;
    run->previous = 0;
    alps_run_size_(z, unit, units);
    if (*head)
        ((alps_run *)(void *)(z->base + *head))->previous = off;
    *head = off;
    x->columns[bin.row] |= 1u << bin.column;
    x->rows |= 1ull << bin.row;
}

/* Takes the free run at `unit` out of its bin. */
ALPS_FAST_ int alps_run_unlink_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit)
{
    alps_index *x = z->index;
    alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    if (!run->units || run->units > z->end - unit)
        return ALPS_ECORRUPT;
    alps_bin bin = alps_bin_of_(run->units);
    alps_off *head = &x->head[bin.row][bin.column];
    if (!alps_run_place_(h, z, run->next) ||
        !alps_run_place_(h, z, run->previous))
        return ALPS_ECORRUPT;
    alps_run *next =
        run->next ? (alps_run *)(void *)(z->base + run->next) : NULL;
    alps_off *back =
        run->previous ? &((alps_run *)(void *)(z->base + run->previous))->next
                      : head;
    if (*back != off || (next && next->previous != off))
        return ALPS_ECORRUPT;
    *back = run->next;
    if (next)
        next->previous = run->previous;
    if (!*head) {
        x->columns[bin.row] &= ~(1u << bin.column);
        if (!x->columns[bin.row])
            x->rows &= ~(1ull << bin.row);
    }
    return ALPS_OK;
}

/* Gives the indexed run at `unit` another length, `to` units; it may start
 * elsewhere in the bins after it. */
ALPS_FAST_ int alps_run_resize_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit, uint64_t to)
{
    uint64_t units = alps_run_(z, unit)->units;
    if (alps_bin_same_(units, to)) {
        alps_run_size_(z, unit, to);
        return ALPS_OK;
    }
    int err = alps_run_unlink_(h, z, unit);
    if (!err)
        alps_run_insert_(z, unit, to);
    return err;
}

/* The head of a run of at least `units`, or 0. Two bit searches; where they
 * find nothing, the bin in which longer and shorter runs are mixed is looked
 * through for a while, so that the last long run is not overlooked. */
ALPS_FAST_ alps_off alps_index_find_(const alps_handle *h, const alps_index *x,
                                     uint64_t units, unsigned shift)
{
    alps_bin bin = alps_bin_of_(alps_bin_ceiling_(units));
    if (bin.row >= ALPS_ROWS)
        return 0;
    uint32_t columns = x->columns[bin.row] & ~0u << bin.column;
    if (ALPS_UNLIKELY_(!columns)) {
        uint64_t rows = x->rows & ~1ull << bin.row;
        if (rows && alps_low_bit_(rows) < ALPS_ROWS) {
            bin.row = alps_low_bit_(rows);
            columns = x->columns[bin.row];
        }
    }
    if (ALPS_LIKELY_(columns))
        return x->head[bin.row][alps_low_bit_(columns)];
    bin = alps_bin_of_(units);
    alps_off off = x->head[bin.row][bin.column];
    for (int looks = 0; off && looks < 64; looks++) {
        if (off < h->at.heap || off >= alps_size_(h) ||
            off % (1ull << shift) != 0)
            return off; // the caller finds out what is wrong with it
        const alps_run *run = (const alps_run *)alps_address_(h, off);
        if (run->units >= units)
            return off;
        off = run->next;
    }
    return 0;
}

/* Carves `units` out of the free run at `unit`, as near to its end as `align`
 * (bytes, a power of two) lets them lie, and gives them `code`. Answers the
 * block's first unit through `block`. */
ALPS_FAST_ int alps_zone_carve_(const alps_handle *h, const alps_zone *z,
                                uint64_t unit, uint64_t units, uint64_t align,
                                unsigned code, uint64_t *block)
{
    uint64_t have = alps_run_(z, unit)->units;
    if (alps_code_(z->codes, unit) != ALPS_FREE || have < units ||
        have > z->end - unit ||
        alps_run_peek_(alps_run_foot_(z, unit + have)) !=
            alps_zone_off_(z, unit))
        return ALPS_ECORRUPT;
    uint64_t end = unit + have;
    uint64_t at = end - units;
    if (align >> z->shift > 1) {
        alps_off off = alps_zone_off_(z, at) & ~(align - 1);
        if (off < alps_zone_off_(z, unit))
            return ALPS_EFULL;
        at = alps_zone_unit_(z, off);
    }
    if (alps_code_next_(z->codes, at + (at == unit), z->end) != end)
        return ALPS_ECORRUPT;
    int err = at == unit ? alps_run_unlink_(h, z, unit)
                         : alps_run_resize_(h, z, unit, at - unit);
    if (err)
        return err;
    if (ALPS_UNLIKELY_(have == z->end - z->first) &&
        z->shift == ALPS_GRANULE_SHIFT)
        alps_idle_turn_(h, z->index, -1);
    if (at + units < end) {
        alps_code_set_(z->codes, at + units, ALPS_FREE);
        alps_run_insert_(z, at + units, end - at - units);
    }
    alps_code_set_(z->codes, at, code);
    *block = at;
    return ALPS_OK;
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ int alps_zone_cut_(const alps_handle *h, const alps_zone *z,
                              uint64_t unit, uint64_t units, uint64_t align,
                              unsigned code, uint64_t *block)
{
    return alps_zone_carve_(h, z, unit, units, align, code, block);
}

/* The start of the free run that ends just before `unit`, or `unit`. The codes
 * tell when the start is near; else the last word of a free run does, believed
 * only when the run it names is free and ends here. */
ALPS_FAST_ uint64_t alps_zone_before_(const alps_zone *z, uint64_t unit)
{
    if (unit == z->first)
        return unit;
    uint64_t near = alps_code_near_(z->codes, unit);
    if (near != unit)
        return alps_code_(z->codes, near) == ALPS_FREE ? near : unit;
    alps_off off = alps_run_peek_(alps_run_foot_(z, unit));
    if (off < alps_zone_off_(z, z->first) || off >= alps_zone_off_(z, unit) ||
        (off - z->origin) % (1ull << z->shift))
        return unit;
    uint64_t start = alps_zone_unit_(z, off);
    if (alps_code_(z->codes, start) != ALPS_FREE ||
        alps_run_(z, start)->units != unit - start)
        return unit;
    return start;
}

/* Makes the `units` at `unit`, whose code is not ALPS_FREE, a free run or part
 * of one: it merges with the runs beside it. On ALPS_ECORRUPT the codes are
 * right all the same. */
ALPS_FAST_ int alps_zone_give_(const alps_handle *h, const alps_zone *z,
                               uint64_t unit, uint64_t units)
{
    uint64_t next = unit + units;
    uint64_t start = alps_zone_before_(z, unit);
    int err = ALPS_OK;
    if (next < z->end && alps_code_(z->codes, next) == ALPS_FREE) {
        uint64_t more = alps_run_(z, next)->units;
        if (!alps_run_valid_(z, next, more) || alps_run_unlink_(h, z, next))
            err = ALPS_ECORRUPT;
        else
            units += more;
    }
    if (start != unit && alps_run_(z, start)->units != unit - start)
        err = ALPS_ECORRUPT;
    if (!err && start != unit)
        err = alps_run_resize_(h, z, start, unit - start + units);
    if (err) {
        alps_code_set_(z->codes, unit, ALPS_FREE);
        return err;
    }
    if (ALPS_UNLIKELY_(unit + units - start == z->end - z->first) &&
        z->shift == ALPS_GRANULE_SHIFT)
        alps_idle_turn_(h, z->index, 1);
    if (next != unit + units)
        alps_code_set_(z->codes, next, ALPS_INSIDE);
    if (start != unit) {
        alps_code_set_(z->codes, unit, ALPS_INSIDE);
    } else {
        alps_code_set_(z->codes, unit, ALPS_FREE);
        alps_run_insert_(z, unit, units);
    }
    return ALPS_OK;
}

/* held.h -- who holds which reservation
 *
 * A reserved block has the code ALPS_HELD and, in the table of its shard, its
 * owner: an open hash of words {place / 64, slot}. Each change is one store, so
 * that the death of a process leaves a table that can be read. It is index:
 * nothing is flushed, and a new epoch starts with an empty one, which is how a
 * crash gives every reservation back. When the table fills up it moves into a
 * larger block of the heap, itself held. Runs under the lock of the shard. */

#define ALPS_HELD_EMPTY_ 0ull
#define ALPS_HELD_GONE_ 1ull /* was an entry: a search goes on behind it */

/* No entry. */
#define ALPS_HELD_NONE_ (~0ull)

ALPS_FN_ uint64_t alps_held_key_(alps_off off)
{
    return off / ALPS_GRANULE << 16;
}

ALPS_FN_ alps_off alps_held_place_(const alps_shard *s)
{
    return alps_load_(&s->held) & ~63ull;
}

/* The place made for the first table of a shard. */
ALPS_FN_ alps_off alps_held_first_(const alps_handle *h, const alps_shard *s)
{
    return h->at.held +
           (alps_off)(s - h->shards) * (sizeof(uint64_t) << ALPS_HELD_SHIFT);
}

ALPS_FN_ unsigned alps_held_shift_(const alps_shard *s)
{
    return (unsigned)(s->held & 63);
}

ALPS_FN_ uint64_t *alps_held_table_(const alps_handle *h, const alps_shard *s)
{
    return (uint64_t *)alps_address_(h, alps_held_place_(s));
}

ALPS_FN_ uint64_t alps_held_hash_(uint64_t key, unsigned shift)
{
    return (key >> 16) * 0x9e3779b97f4a7c15ull >> (64 - shift);
}

/* The place of `off` in the table, or ALPS_HELD_NONE_. */
ALPS_FN_ uint64_t alps_held_find_(const alps_handle *h, const alps_shard *s,
                                  alps_off off)
{
    const uint64_t *table = alps_held_table_(h, s);
    unsigned shift = alps_held_shift_(s);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t key = alps_held_key_(off);
    uint64_t at = alps_held_hash_(key, shift);
    for (uint64_t looks = 0; looks <= mask; looks++, at = (at + 1) & mask) {
        if (table[at] == ALPS_HELD_EMPTY_)
            return ALPS_HELD_NONE_;
        if (table[at] != ALPS_HELD_GONE_ && (table[at] & ~0xffffull) == key)
            return at;
    }
    return ALPS_HELD_NONE_;
}

/* The slot that holds `off`, or -1. */
ALPS_FN_ int alps_held_slot_(const alps_handle *h, const alps_shard *s,
                             alps_off off)
{
    uint64_t at = alps_held_find_(h, s, off);
    return at == ALPS_HELD_NONE_ ? -1
                                 : (int)(alps_held_table_(h, s)[at] & 0xffff);
}

/* Whether the table has room for one more. */
ALPS_FN_ int alps_held_room_(const alps_shard *s)
{
    return s->held_used < 1ull << (alps_held_shift_(s) - 1);
}

/* Whether it has none to spare, and must not have one more. */
ALPS_FN_ int alps_held_full_(const alps_shard *s)
{
    return s->held_used >= 3ull << (alps_held_shift_(s) - 2);
}

/* Enters `off`, which is not there, for `slot`; the table is not full. */
ALPS_FN_ void alps_held_add_(const alps_handle *h, alps_shard *s, alps_off off,
                             unsigned slot)
{
    uint64_t *table = alps_held_table_(h, s);
    unsigned shift = alps_held_shift_(s);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t key = alps_held_key_(off);
    uint64_t at = alps_held_hash_(key, shift);
    while (table[at] > ALPS_HELD_GONE_)
        at = (at + 1) & mask;
    if (table[at] == ALPS_HELD_EMPTY_)
        s->held_used++;
    table[at] = key | slot;
}

/* Where the place behind `at` is empty, entries that are gone lead nowhere. */
ALPS_FN_ void alps_held_clear_(alps_shard *s, uint64_t *table, uint64_t mask,
                               uint64_t at)
{
    if (table[(at + 1) & mask] != ALPS_HELD_EMPTY_)
        return;
    while (table[at] == ALPS_HELD_GONE_) {
        table[at] = ALPS_HELD_EMPTY_;
        s->held_used--;
        at = (at - 1) & mask;
    }
}

/* Takes out the entry at `at`, and with it what would lead searches on to
 * nothing. */
ALPS_FN_ void alps_held_drop_(const alps_handle *h, alps_shard *s, uint64_t at)
{
    uint64_t *table = alps_held_table_(h, s);
    uint64_t mask = (1ull << alps_held_shift_(s)) - 1;
    table[at] = ALPS_HELD_GONE_;
    alps_held_clear_(s, table, mask, at);
}

/* Starts empty, in the place made for it. */
ALPS_FN_ void alps_held_reset_(const alps_handle *h, alps_shard *s)
{
    alps_off first = alps_held_first_(h, s);
    uint64_t *table = (uint64_t *)alps_address_(h, first);
    for (uint64_t i = 0; i < 1ull << ALPS_HELD_SHIFT; i++)
        table[i] = ALPS_HELD_EMPTY_;
    ALPS_BARRIER_(); // until here the other table is whole
    alps_store_(&s->held, first | ALPS_HELD_SHIFT);
    s->held_used = 0;
}

/* Goes on in the zeroed memory of 2^`shift` entries at `off`. The word that
 * names the table changes last: until then the old one is whole. */
ALPS_FN_ void alps_held_move_(const alps_handle *h, alps_shard *s, alps_off off,
                              unsigned shift)
{
    const uint64_t *from = alps_held_table_(h, s);
    uint64_t n = 1ull << alps_held_shift_(s);
    uint64_t *to = (uint64_t *)alps_address_(h, off);
    uint64_t mask = (1ull << shift) - 1;
    uint64_t used = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (from[i] <= ALPS_HELD_GONE_)
            continue;
        uint64_t at = alps_held_hash_(from[i] & ~0xffffull, shift);
        while (to[at])
            at = (at + 1) & mask;
        to[at] = from[i];
        used++;
    }
    ALPS_BARRIER_();
    alps_store_(&s->held, off | shift);
    s->held_used = used;
}

/* slab.h -- small objects without headers
 *
 * Objects of one size share a slab, a block of granules. Which of them are
 * live is told by pairs of words in the front of the extent, where no overflow
 * reaches them. The thread that owns the slab changes one word of a pair with
 * ordinary stores, all others the other word with atomic ones, and an object is
 * live while its two bits differ: so each change is one store, and needs
 * neither a lock nor a log. The slabs' bits, one per slab-sized piece of the
 * region, tell where slabs are. Nothing here changes what a slab holds but by
 * those words.
 *
 * One word for the owner and one for others: "freed by others" of mimalloc
 * (Leijen, Zorn, de Moura: Mimalloc, APLAS 2019), as bits. */

#define ALPS_KINDS 20u

/* Bytes of an object of class `kind`: steps of 16, then four to a doubling. */
ALPS_FAST_ unsigned alps_kind_size_(unsigned kind)
{
    static const uint16_t size[ALPS_KINDS] = {16,  32,  48,  64,  80,  96,  112,
                                              128, 160, 192, 224, 256, 320, 384,
                                              448, 512, 640, 768, 896, 1024};
    return size[kind];
}

/* 2^32 by the bytes of an object, rounded up: `in` times this is, above its
 * low 32 bits, how many objects fit into `in` bytes, exactly for less than
 * 2^22. A division would take longer than all else that finds an object. */
ALPS_FAST_ uint64_t alps_kind_scale_(unsigned kind)
{
    static const uint32_t scale[ALPS_KINDS] = {
        268435457, 134217729, 89478486, 67108865, 53687092, 44739243, 38347923,
        33554433,  26843546,  22369622, 19173962, 16777217, 13421773, 11184811,
        9586981,   8388609,   6710887,  5592406,  4793491,  4194305};
    return scale[kind];
}

/* The class that serves `n` bytes, at most ALPS_SMALL_MAX. */
ALPS_FAST_ unsigned alps_kind_of_(uint64_t n)
{
    static const uint8_t kind[ALPS_SMALL_MAX / 16 + 1] = {
        0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  8,  9,  9,  10, 10, 11, 11,
        12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16,
        16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 17, 17, 17, 18, 18,
        18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19};
    return kind[(n + 15) / 16];
}

/* The bytes of the class that serves `n` bytes, as far as one does. */
ALPS_FN_ uint64_t alps_kind_round_(uint64_t n)
{
    return n < 16 || n > ALPS_SMALL_MAX ? n : alps_kind_size_(alps_kind_of_(n));
}

/* Which list of its owner a slab is in. */
enum {
    ALPS_NOWHERE = 0, /* in none; or it has no owner */
    ALPS_IN_USE = 1,  /* a rack hands out its objects */
    ALPS_PARTIAL = 2, /* has free objects */
    ALPS_EMPTY = 3,   /* the same, and no others */
    ALPS_FULL = 4     /* has none */
};

/* Whether a slab starts at the multiple of its size at or below `off`. */
ALPS_FAST_ int alps_slab_is_(const alps_handle *h, alps_off off)
{
    uint64_t unit = off >> h->at.slab_shift;
    return off < h->at.slab_end &&
           (__atomic_load_n(&h->slabs[unit / 64], __ATOMIC_ACQUIRE) >>
                (unit % 64) &
            1);
}

ALPS_FN_ void alps_slab_mark_(const alps_handle *h, alps_off off, int slab)
{
    uint64_t unit = off >> h->at.slab_shift;
    uint64_t bit = 1ull << (unit % 64);
    if (slab)
        __atomic_fetch_or(&h->slabs[unit / 64], bit, __ATOMIC_RELEASE);
    else
        __atomic_fetch_and(&h->slabs[unit / 64], ~bit, __ATOMIC_RELEASE);
}

/* Where a slab would start whose objects `off` can be one of. */
ALPS_FAST_ alps_off alps_slab_place_(const alps_handle *h, alps_off off)
{
    return off >> h->at.slab_shift << h->at.slab_shift;
}

/* The head of the slab at or below `off`. */
ALPS_FAST_ alps_slab *alps_slab_head_(const alps_handle *h, alps_off off)
{
    uint64_t in = off & h->at.extent_mask;
    return (alps_slab *)alps_address_(
        h, off - in + h->at.heads + (in >> h->at.slab_shift) * h->at.head);
}

ALPS_FAST_ alps_pair *alps_slab_pairs_(alps_slab *s)
{
    return (alps_pair *)(void *)(s + 1);
}

ALPS_FAST_ alps_keep *alps_slab_keeps_(const alps_handle *h, alps_slab *s)
{
    return (alps_keep *)(void *)((unsigned char *)s + h->at.keeps);
}

ALPS_FAST_ unsigned alps_slab_groups_(const alps_slab *s)
{
    return (s->count + 63) / 64;
}

/* One bit for each object that group `g` has: the last may have fewer. */
ALPS_FAST_ uint64_t alps_slab_whole_(const alps_slab *s, unsigned g)
{
    unsigned left = s->count - 64 * g;
    return left < 64 ? (1ull << left) - 1 : ~0ull;
}

ALPS_FAST_ uint64_t alps_pair_live_(const alps_pair *p)
{
    uint64_t far = __atomic_load_n(&p->far, __ATOMIC_ACQUIRE);
    return alps_load_(&p->own) ^ far;
}

/* Objects of a group that are reserved, or held back. */
ALPS_FAST_ uint64_t alps_keep_any_(const alps_keep *k)
{
    return (alps_load_(&k->own) ^ alps_load_(&k->far)) |
           __atomic_load_n(&k->pinned, __ATOMIC_ACQUIRE);
}

/* The objects of group `g` that may be handed out. */
ALPS_FAST_ uint64_t alps_slab_free_(const alps_handle *h, alps_slab *s,
                                    unsigned g)
{
    uint64_t taken = alps_pair_live_(&alps_slab_pairs_(s)[g]);
    if (__atomic_load_n(&s->kept, __ATOMIC_ACQUIRE))
        taken |= alps_keep_any_(&alps_slab_keeps_(h, s)[g]);
    return ~taken & alps_slab_whole_(s, g);
}

/* Whether the slab has an object to hand out. */
ALPS_FN_ int alps_slab_room_(const alps_handle *h, alps_slab *s)
{
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_slab_free_(h, s, g))
            return 1;
    return 0;
}

/* Whether all of its objects may be handed out. */
ALPS_FN_ int alps_slab_empty_(const alps_handle *h, alps_slab *s)
{
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_slab_free_(h, s, g) != alps_slab_whole_(s, g))
            return 0;
    return 1;
}

/* Whether a group next to that of the object at `in` has a live one. In most
 * orders in which a row is freed one has until the end. */
ALPS_FN_ int alps_slab_live_beside_(alps_slab *s, uint64_t in)
{
    unsigned g = (unsigned)(in * s->scale >> 32) / 64;
    for (unsigned i = 0; i < 2; i++) {
        unsigned at = i ? g - 1 : g + 1; // far behind the last: there is none
        if (at < alps_slab_groups_(s) &&
            alps_pair_live_(&alps_slab_pairs_(s)[at]))
            return 1;
    }
    return 0;
}

/* Objects of a slab of class `kind`. */
ALPS_FAST_ uint32_t alps_kind_count_(const alps_handle *h, unsigned kind)
{
    uint32_t count =
        (uint32_t)(alps_kind_scale_(kind) << h->at.slab_shift >> 32);
    return count < 64 * h->at.groups ? count : 64 * h->at.groups;
}

/* Granules of the block that holds it. */
ALPS_FN_ uint64_t alps_kind_granules_(const alps_handle *h, unsigned kind)
{
    uint64_t n = (uint64_t)alps_kind_count_(h, kind) * alps_kind_size_(kind);
    return (n + ALPS_GRANULE - 1) / ALPS_GRANULE;
}

/* What follows from the class of a slab. 0 where that cannot be one. */
ALPS_FN_ int alps_slab_derive_(const alps_handle *h, alps_slab *s)
{
    uint32_t kind = s->kind - 1;
    if (kind >= ALPS_KINDS || alps_kind_size_(kind) > h->at.small)
        return 0;
    s->size = alps_kind_size_(kind);
    s->scale = (uint32_t)alps_kind_scale_(kind);
    s->count = alps_kind_count_(h, kind);
    return 1;
}

/* Makes the head that of a slab of class `kind`, with no object live. Who frees
 * what lies behind a slab that was here may look at it meanwhile. */
ALPS_FN_ void alps_slab_begin_(const alps_handle *h, alps_slab *s,
                               unsigned kind)
{
    uint64_t *word = (uint64_t *)(void *)s;
    for (uint64_t i = 0; i < h->at.head / 8; i++)
        alps_store_(&word[i], 0);
    ALPS_BARRIER_(); // these were words, what follows are halves of words
    __atomic_store_n(&s->kind, kind + 1, __ATOMIC_RELAXED);
    alps_slab_derive_(h, s);
}

/* An object of a slab: which bit of which words speaks for it. */
typedef struct alps_object {
    alps_slab *slab;
    alps_pair *pair;
    alps_keep *keep;
    uint64_t bit;
    unsigned kind;
} alps_object;

/* Whether `off`, at or behind the start of a slab, is an object of it: 1; lies
 * inside of one, or behind the last: -1; or is none of its business: 0.
 * Believes nothing of the head but its class. */
ALPS_FN_ int alps_object_at_(const alps_handle *h, alps_off off, alps_object *o)
{
    if (off < h->at.heap || !alps_slab_is_(h, off) ||
        (off - h->at.heap) >> h->at.extent_shift >= alps_extents_(h))
        return 0;
    o->slab = alps_slab_head_(h, off);
    o->kind = __atomic_load_n(&o->slab->kind, __ATOMIC_RELAXED) - 1;
    if (o->kind >= ALPS_KINDS)
        return 0;
    uint64_t size = alps_kind_size_(o->kind);
    uint64_t in = off - alps_slab_place_(h, off);
    uint64_t i = in * alps_kind_scale_(o->kind) >> 32;
    if (i * size != in || i >= alps_kind_count_(h, o->kind))
        return in < alps_kind_granules_(h, o->kind) * ALPS_GRANULE ? -1 : 0;
    o->pair = &alps_slab_pairs_(o->slab)[i / 64];
    o->keep = &alps_slab_keeps_(h, o->slab)[i / 64];
    o->bit = 1ull << (i % 64);
    return 1;
}

ALPS_FN_ int alps_object_live_(const alps_object *o)
{
    return (alps_pair_live_(o->pair) & o->bit) != 0;
}

/* Whether the object belongs to a slab of this token. */
ALPS_FN_ int alps_object_mine_(const alps_object *o, uint64_t token)
{
    return token && alps_load_(&o->slab->owner) == token;
}

/* Turns the bit in the word that is `own`, if this thread owns the slab, or
 * else in the other: one ordinary store, or an atomic one. */
ALPS_FN_ void alps_object_turn_(uint64_t *own, uint64_t *far, uint64_t bit,
                                int mine)
{
    if (mine)
        alps_store_(own, alps_load_(own) ^ bit);
    else
        __atomic_fetch_xor(far, bit, __ATOMIC_SEQ_CST);
}

/* Holds an object back, whoever owns it, or lets it go. */
ALPS_FN_ void alps_object_pin_(const alps_object *o, int pin)
{
    if (pin) {
        __atomic_store_n(&o->slab->kept, 1, __ATOMIC_RELEASE);
        __atomic_fetch_or(&o->keep->pinned, o->bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&o->keep->pinned, ~o->bit, __ATOMIC_SEQ_CST);
    }
}

/* block.h -- blocks: found, locked, taken, given back
 *
 * A block lies in a heap extent, under a map of its own, or is a run of
 * extents. A heap extent belongs to a shard from when it is first needed in an
 * epoch until it is given back, and names it in `built`. Its free runs are read
 * off its codes then (*rebuild*), and again whenever the shard's index is void:
 * the one path of recovery, for power failure, the death of a process and an
 * index that a stray store has spoilt.
 *
 * Under the lock of a shard its own extents remain heap extents, and those of
 * others are not touched. Who gives an extent a shard, or takes it away, holds
 * the lock of the last shard as well, that of all extents. */

ALPS_FN_ int alps_extent_kind_(const alps_handle *h, uint64_t extent)
{
    return (int)(alps_load_(&h->kinds[extent / 64]) >> (extent % 64) & 1);
}

ALPS_FN_ void alps_extent_kind_set_(const alps_handle *h, uint64_t extent,
                                    int heap)
{
    uint64_t *word = &h->kinds[extent / 64];
    uint64_t bit = 1ull << (extent % 64);
    alps_store_(word, heap ? alps_load_(word) | bit : alps_load_(word) & ~bit);
}

/* Whether `extent` holds small blocks. */
ALPS_FN_ int alps_extent_heap_(const alps_handle *h, uint64_t extent)
{
    return alps_code_(h->codes, extent) == ALPS_USED &&
           alps_extent_kind_(h, extent);
}

/* Whether heap extent `extent` belongs to `s`: it says so in this epoch. */
ALPS_FN_ int alps_shard_has_(const alps_handle *h, const alps_shard *s,
                             uint64_t extent)
{
    uint64_t built = alps_load_(&alps_extent_(h, extent)->built);
    return alps_shard_named_(h, extent) == s &&
           built >> ALPS_BUILD_EPOCH_ ==
               alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
}

/* How often this thread left a shard to another one: about, for threads whose
 * stacks lie far apart may share the count. */
ALPS_FAST_ unsigned char *alps_hops_(const alps_handle *h)
{
    return &h->local->hops[(uint64_t)ALPS_THREAD_() / ALPS_PAGE % ALPS_HOPS_];
}

/* The shard that this thread prefers. Stacks lie an odd number of pages apart,
 * so threads made one after the other have different ones. */
ALPS_FAST_ alps_shard *alps_shard_home_(const alps_handle *h)
{
    uint64_t number = (uint64_t)ALPS_THREAD_() / ALPS_PAGE + h->slot +
                      __atomic_load_n(alps_hops_(h), __ATOMIC_RELAXED);
    return &h->shards[number & (h->at.shard_count - 1)];
}

/* The same; where another thread of this process is in it, it is the next one
 * from now on, so that threads part that met (ptmalloc's arenas). Of another
 * process it may be a dead one, and somebody has to notice. */
ALPS_FAST_ alps_shard *alps_shard_apart_(const alps_handle *h)
{
    alps_shard *s = alps_shard_home_(h);
    uint64_t owner = alps_load_(&s->lock);
    if (ALPS_LIKELY_(!owner || owner != alps_self_(h)))
        return s;
    __atomic_fetch_add(alps_hops_(h), 1, __ATOMIC_RELAXED);
    return alps_shard_home_(h);
}

/* A block: where its code is. */
typedef struct alps_block {
    alps_zone zone;
    alps_shard *shard;
    uint64_t unit;
    int level;
} alps_block;

/* The block that starts at `off`, as far as one can start there, with its
 * code; or -1. Needs no lock; what is not for sure then is its shard. */
ALPS_FAST_ int alps_block_find_(const alps_handle *h, alps_off off,
                                alps_block *b)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    b->unit = 0;
    b->shard = h->top;
    if (off < h->at.heap || off % ALPS_GRANULE || extent >= h->at.extents_max)
        return -1;
    if (ALPS_LIKELY_(alps_extent_heap_(h, extent))) {
        b->zone = alps_zone_extent_(h, extent);
        b->shard = alps_shard_named_(h, extent);
        b->level = ALPS_LEVEL_GRANULE;
    } else if (extent < alps_extents_(h)) {
        b->zone = alps_zone_top_(h);
        b->level = ALPS_LEVEL_EXTENT;
    } else {
        return -1;
    }
    b->unit = alps_zone_unit_(&b->zone, off);
    if (b->unit < b->zone.first || alps_zone_off_(&b->zone, b->unit) != off)
        return -1;
    return (int)alps_code_(b->zone.codes, b->unit);
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ int alps_block_at_(const alps_handle *h, alps_off off, alps_block *b)
{
    return alps_block_find_(h, off, b);
}

/* The run of extents that starts at `extent`. */
ALPS_FN_ void alps_block_large_(const alps_handle *h, uint64_t extent,
                                alps_block *b)
{
    b->zone = alps_zone_top_(h);
    b->shard = h->top;
    b->unit = extent;
    b->level = ALPS_LEVEL_EXTENT;
}

/* Bytes of the block. */
ALPS_FN_ uint64_t alps_block_size_(const alps_block *b)
{
    return alps_zone_units_(&b->zone, b->unit) << b->zone.shift;
}

/* What a block that a transaction freed has at its start, as long as it is held
 * back: its place, and the number of the transaction. */
#define ALPS_FREED_ 0x6465657266706c61ull

ALPS_FN_ void alps_freed_note_(const alps_handle *h, alps_off off,
                               uint64_t number)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    alps_store_(&word[0], number ? off ^ ALPS_FREED_ : 0);
    alps_store_(&word[1], number);
    ALPS_BARRIER_();
}

/* Whether the held block at `off`, which nobody else holds, is held back so. */
ALPS_FN_ int alps_freed_is_(const alps_handle *h, alps_off off)
{
    const uint64_t *word = (const uint64_t *)alps_address_(h, off);
    uint64_t number = alps_load_(&word[1]);
    uint64_t lane = number & 0xfff;
    return alps_load_(&word[0]) == (off ^ ALPS_FREED_) && number &&
           lane < h->at.lane_count &&
           alps_load_(&h->lanes[lane].freeing) == number;
}

/* Whether the ALPS_HELD block at `off`, of shard `s`, has a holder. A table of
 * reservations is in its own shard, or is a run of extents. */
ALPS_FN_ int alps_held_alive_(const alps_handle *h, const alps_shard *s,
                              alps_off off)
{
    if (off == alps_slab_place_(h, off) && alps_slab_is_(h, off))
        return 1;
    if (alps_held_slot_(h, s, off) >= 0)
        return 1;
    for (unsigned i = 0; i <= h->at.shard_count; i++)
        if (alps_held_place_(&h->shards[i]) == off)
            return 1;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_load_(&h->lanes[i].held) == off)
            return 1;
    return alps_freed_is_(h, off);
}

/* Whether what starts at `unit` is free: it says so, or nobody holds it. */
ALPS_FN_ int alps_zone_free_(const alps_handle *h, const alps_shard *s,
                             const alps_zone *z, uint64_t unit)
{
    unsigned code = alps_code_(z->codes, unit);
    return code == ALPS_FREE ||
           (code == ALPS_HELD &&
            !alps_held_alive_(h, s, alps_zone_off_(z, unit)));
}

/* Reads the free runs of a zone, none of which is in the index, off its codes;
 * runs side by side become one. O(units / 32 + runs). */
ALPS_COLD_ void alps_zone_rebuild_(const alps_handle *h, const alps_shard *s,
                                   const alps_zone *z)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    while (unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        if (!alps_zone_free_(h, s, z, unit)) {
            unit = next;
            continue;
        }
        while (next < z->end && alps_zone_free_(h, s, z, next)) {
            alps_code_set_(z->codes, next, ALPS_INSIDE);
            next = alps_code_next_(z->codes, next + 1, z->end);
        }
        if (alps_code_(z->codes, unit) != ALPS_FREE)
            alps_code_set_(z->codes, unit, ALPS_FREE);
        alps_run_insert_(z, unit, next - unit);
        unit = next;
    }
}

/* The index of a shard is void: empty it, and distrust every extent of it. */
ALPS_COLD_ void alps_index_reset_(alps_shard *s)
{
    alps_index *x = &s->index;
    alps_store_(&s->built, s->built + ALPS_SHARDS_MAX);
    s->cursor = 0;
    x->rows = 0;
    for (unsigned row = 0; row < ALPS_ROWS; row++) {
        x->columns[row] = 0;
        for (unsigned column = 0; column < ALPS_COLUMNS; column++)
            x->head[row][column] = 0;
    }
}

/* Where it is said for which build of the index a block's zone is built. */
ALPS_FAST_ uint64_t *alps_block_built_(const alps_handle *h,
                                       const alps_block *b)
{
    return b->level == ALPS_LEVEL_GRANULE
               ? &((alps_extent *)alps_address_(h, b->zone.origin))->built
               : &h->top->cursor;
}

/* Makes sure that the free runs of a block's zone are in the index; what is
 * held, but noted nowhere, becomes free by that. Under the lock of its
 * shard. */
ALPS_CORE_ void alps_block_build_(alps_handle *h, const alps_block *b)
{
    uint64_t *built = alps_block_built_(h, b);
    if (ALPS_LIKELY_(alps_load_(built) == b->shard->built))
        return;
    alps_zone zone = b->zone; // a copy: the other one stays in registers
    alps_zone_rebuild_(h, b->shard, &zone);
    alps_store_(built, b->shard->built);
}

/* A build of shard `s` in this epoch that was never its index's. */
ALPS_FN_ uint64_t alps_build_void_(const alps_handle *h, const alps_shard *s)
{
    uint64_t epoch = alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
    return epoch << ALPS_BUILD_EPOCH_ | (uint64_t)(s - h->shards);
}

/* Gives heap extent `extent`, if it has none, to shard `s`, whose lock is held.
 */
ALPS_CORE_ void alps_extent_join_(alps_handle *h, uint64_t extent,
                                  alps_shard *s, const alps_tables *t)
{
    alps_shard_lock_(h, h->top, 1, t);
    if (alps_extent_heap_(h, extent) &&
        !alps_shard_has_(h, alps_shard_named_(h, extent), extent))
        alps_store_(&alps_extent_(h, extent)->built, alps_build_void_(h, s));
    alps_shard_unlock_(h->top);
}

/* Whether `b` is of shard `s`, whose lock is held, perhaps from now on; its
 * zone is in the index then. */
ALPS_CORE_ int alps_block_joins_(alps_handle *h, alps_block *b, alps_shard *s,
                                 const alps_tables *t)
{
    if (b->level == ALPS_LEVEL_GRANULE) {
        uint64_t extent = (b->zone.origin - h->at.heap) >> h->at.extent_shift;
        if (s == h->top)
            return 0;
        alps_extent_join_(h, extent, s, t);
        if (!alps_extent_heap_(h, extent) || !alps_shard_has_(h, s, extent))
            return 0;
        b->zone.index = &s->index;
        b->shard = s;
    }
    if (b->shard != s)
        return 0;
    alps_block_build_(h, b);
    return 1;
}

/* The lock of the shard that `b`, at `off`, seemed to be of has been taken.
 * Answers its code if it is; or -1 if there is no block, and 4 if it is of
 * another shard: then the lock is let go. */
ALPS_CORE_ int alps_block_join_(alps_handle *h, alps_block *b, alps_off off,
                                const alps_tables *t)
{
    alps_shard *s = b->shard;
    int code = alps_block_at_(h, off, b);
    if (code >= ALPS_USED && alps_block_joins_(h, b, s, t))
        return code;
    alps_shard_unlock_(s);
    return code < ALPS_USED ? -1 : 4;
}

/* The block at `off` was found to be `b`, with that code. Takes the lock of its
 * shard, and sees to it that its zone is in the index. Answers its code; or -1,
 * and there is no lock. */
ALPS_FAST_ int alps_block_found_(alps_handle *h, alps_off off, int code,
                                 alps_block *b, int inner, const alps_tables *t)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    while (ALPS_LIKELY_(code >= 0)) {
        alps_shard_lock_(h, b->shard, inner, t);
        if (ALPS_LIKELY_(b->level == ALPS_LEVEL_GRANULE &&
                         alps_extent_heap_(h, extent) &&
                         alps_load_(alps_block_built_(h, b)) ==
                             b->shard->built))
            return (int)alps_code_(b->zone.codes, b->unit);
        code = t->slow(h, ALPS_SLOW_JOIN, (uint64_t)(uintptr_t)b, off);
        if (code < 4)
            return code;
        code = alps_block_at_(h, off, b);
    }
    return -1;
}

/* Finds the block, and does that. */
ALPS_FAST_ int alps_block_lock_(alps_handle *h, alps_off off, alps_block *b,
                                int inner, const alps_tables *t)
{
    return alps_block_found_(h, off, alps_block_at_(h, off, b), b, inner, t);
}

ALPS_FN_ void alps_block_unlock_(const alps_block *b)
{
    alps_shard_unlock_(b->shard);
}

/* Gives the run of extents that starts at `extent`, and is held, its code. It
 * is no heap extent any more before that says that it is used: who finds the
 * one without the other takes it for one. */
ALPS_FN_ void alps_extents_code_(const alps_handle *h, uint64_t extent,
                                 unsigned code)
{
    if (alps_extent_kind_(h, extent))
        alps_extent_kind_set_(h, extent, 0);
    ALPS_BARRIER_();
    if (code != ALPS_HELD)
        alps_code_set_(h->codes, extent, code);
}

/* Looks for a run of `units` in the index of `s`, carves it, and gives it
 * `code`; `off` is where it is. ALPS_EFULL: the index has none. ALPS_ECORRUPT:
 * the index was wrong, and is reset; try again. Under the lock of `s`. */
ALPS_FAST_ int alps_take_level_(alps_handle *h, alps_shard *s, int level,
                                uint64_t units, uint64_t align, unsigned code,
                                alps_off *off)
{
    alps_zone z;
    unsigned shift = ALPS_GRANULE_SHIFT;
    if (level == ALPS_LEVEL_EXTENT) {
        alps_block top;
        z = top.zone = alps_zone_top_(h);
        top.shard = s;
        top.level = level;
        alps_block_build_(h, &top);
        shift = z.shift;
    }
    uint64_t extra = align >> shift > 1 ? (align >> shift) - 1 : 0;
    alps_off run = alps_index_find_(h, &s->index, units + extra, shift);
    if (!run)
        return ALPS_EFULL;
    int err = ALPS_ECORRUPT;
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (extent < h->at.extents_max && run % (1ull << shift) == 0 &&
        (level == ALPS_LEVEL_EXTENT ||
         (alps_extent_heap_(h, extent) &&
          alps_load_(&alps_extent_(h, extent)->built) == s->built))) {
        if (level == ALPS_LEVEL_GRANULE)
            z = alps_zone_extent_(h, extent);
        z.index = &s->index;
        uint64_t unit = alps_zone_unit_(&z, run);
        unsigned first = code;
        if (level == ALPS_LEVEL_EXTENT)
            first = ALPS_HELD;
        if (unit >= z.first && unit < z.end)
            err = alps_zone_carve_(h, &z, unit, units, align, first, &unit);
        if (!err)
            *off = alps_zone_off_(&z, unit);
        if (!err && level == ALPS_LEVEL_EXTENT)
            alps_extents_code_(h, unit, code);
    }
    if (ALPS_UNLIKELY_(err == ALPS_ECORRUPT))
        alps_index_reset_(s);
    return err;
}

ALPS_COLD_ int alps_take_any_(alps_handle *h, alps_shard *s, uint64_t units,
                              uint64_t align, unsigned code, alps_off *off)
{
    int level = s == h->top ? ALPS_LEVEL_EXTENT : ALPS_LEVEL_GRANULE;
    return alps_take_level_(h, s, level, units, align, code, off);
}

/* The same; if `fast`, small blocks, which are most, by a path of their own. */
ALPS_FAST_ int alps_take_(alps_handle *h, alps_shard *s, int fast,
                          uint64_t units, uint64_t align, unsigned code,
                          alps_off *off)
{
    if (ALPS_UNLIKELY_(!fast || align > ALPS_GRANULE))
        return alps_take_any_(h, s, units, align, code, off);
    return alps_take_level_(h, s, ALPS_LEVEL_GRANULE, units, 1, code, off);
}

ALPS_FAST_ void alps_give_level_(alps_handle *h, const alps_block *b)
{
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (ALPS_UNLIKELY_(alps_zone_give_(h, &b->zone, b->unit, units)))
        alps_index_reset_(b->shard);
}

ALPS_COLD_ void alps_give_large_(alps_handle *h, uint64_t extent)
{
    alps_block b;
    alps_block_large_(h, extent, &b);
    alps_idle_more_(h, alps_zone_units_(&b.zone, b.unit));
    alps_give_level_(h, &b);
}

/* Gives a block, whose code is not ALPS_FREE, back to the index, which its zone
 * is in. Under the lock of its shard. */
ALPS_FAST_ void alps_give_(alps_handle *h, const alps_block *b)
{
    if (ALPS_UNLIKELY_(b->level != ALPS_LEVEL_GRANULE)) {
        alps_give_large_(h, b->unit);
        return;
    }
    alps_block small = *b;
    small.zone.shift = ALPS_GRANULE_SHIFT; // known to the compiler from here
    small.level = ALPS_LEVEL_GRANULE;
    alps_give_level_(h, &small);
}

/* The same, where it is no matter how fast. */
ALPS_COLD_ void alps_give_back_(alps_handle *h, const alps_block *b)
{
    alps_give_(h, b);
}

/* Writes back the codes from the one of `unit` to the one that ends its
 * `units`: also those that somebody else changed and did not write back. */
ALPS_FAST_ int alps_codes_flush_(alps_handle *h, const alps_zone *z,
                                 uint64_t unit, uint64_t units,
                                 const alps_tables *t)
{
    uint64_t last = unit + units < z->end ? unit + units : z->end - 1;
    const unsigned char *bytes = (const unsigned char *)z->codes;
    return t->policy->flush(&h->map, bytes + unit / 4, last / 4 - unit / 4 + 1);
}

/* holes.h -- what is free, given back to the file system
 *
 * An extent that nobody uses keeps its first page and its last, where the index
 * has its links; the inside may be a hole. A bit says so: it is durable before
 * the hole is made, and goes after its blocks are reserved again, which is
 * before the extent is handed out. So a store into memory that was handed out
 * finds its blocks, whoever died when: a bit too many costs a call that does
 * nothing, and a hole has its bit. All of this runs under the lock of all
 * extents. */

/* How many extents are punched under one taking of the lock, so that others do
 * not wait for long. */
#define ALPS_HOLES_AT_ONCE_ 16u

/* Whether `extent` may have a hole. */
ALPS_FN_ int alps_hole_(const alps_handle *h, uint64_t extent)
{
    return (int)(alps_load_(&h->holes[extent / 64]) >> (extent % 64) & 1);
}

ALPS_FN_ void alps_hole_set_(const alps_handle *h, uint64_t extent, int hole)
{
    uint64_t *word = &h->holes[extent / 64];
    uint64_t bit = 1ull << (extent % 64);
    alps_store_(word, hole ? alps_load_(word) | bit : alps_load_(word) & ~bit);
}

/* The inside of an extent, as a place and bytes; 0 bytes: it has none. */
ALPS_FN_ uint64_t alps_hole_at_(const alps_handle *h, uint64_t extent,
                                alps_off *off)
{
    uint64_t page = alps_system_page_();
    *off = h->at.heap + (extent << h->at.extent_shift) + page;
    return h->at.extent > 2 * page ? h->at.extent - 2 * page : 0;
}

/* Reserves the blocks of `n` extents that are about to be handed out. */
ALPS_CORE_ int alps_holes_fill_(alps_handle *h, uint64_t extent, uint64_t n,
                                const alps_tables *t)
{
    uint64_t filled = 0;
    for (uint64_t end = extent + n; extent < end; extent++) {
        alps_off off;
        if (!alps_hole_(h, extent))
            continue;
        uint64_t bytes = alps_hole_at_(h, extent, &off);
        int err = bytes ? t->backend->reserve(&h->map, off, bytes) : ALPS_OK;
        if (err && err != ALPS_EUNSUPPORTED)
            return err;
        alps_hole_set_(h, extent, 0);
        filled++;
    }
    alps_idle_less_(h, n - filled);
    // it was given back too early: be slower next time
    if (filled && alps_load_(&h->shared->idle_max) < alps_extents_(h))
        alps_store_(&h->shared->idle_max, 2 * h->shared->idle_max);
    return ALPS_OK;
}

/* Takes a run of extents, as alps_take_any_ does, with all their blocks.
 * ALPS_ENOSPC: there are none; it is free again. */
ALPS_CORE_ int alps_holes_take_(alps_handle *h, uint64_t units, uint64_t align,
                                unsigned code, alps_off *off,
                                const alps_tables *t)
{
    int err = alps_take_any_(h, h->top, units, align, ALPS_HELD, off);
    if (err)
        return err;
    uint64_t extent = (*off - h->at.heap) >> h->at.extent_shift;
    err = alps_holes_fill_(h, extent, units, t);
    if (err) {
        alps_give_large_(h, extent);
        alps_idle_less_(h, units); // as it was
    } else {
        alps_extents_code_(h, extent, code);
    }
    return err;
}

/* Punches those of the `n` free extents at `extent` that are not yet. */
ALPS_CORE_ int alps_holes_punch_(alps_handle *h, uint64_t extent, uint64_t n,
                                 const alps_tables *t)
{
    uint64_t fresh = 0; // bit: punch it
    for (uint64_t i = 0; i < n; i++) {
        if (alps_hole_(h, extent + i))
            continue;
        fresh |= 1ull << i;
        alps_hole_set_(h, extent + i, 1);
    }
    uint64_t first = extent / 64, last = (extent + n - 1) / 64;
    int err = t->policy->flush(&h->map, &h->holes[first],
                               (size_t)(last - first + 1) * 8);
    if (!err)
        err = t->fence(&h->map);
    for (; !err && fresh; fresh &= fresh - 1) {
        alps_off off;
        uint64_t bytes = alps_hole_at_(h, extent + alps_low_bit_(fresh), &off);
        err = bytes ? t->backend->punch(&h->map, off, bytes) : ALPS_OK;
    }
    return err;
}

/* Punches the next free extents from `*cursor` on, a few; answers whether there
 * were any through `*some`. */
ALPS_CORE_ int alps_holes_some_(alps_handle *h, uint64_t *cursor, int *some,
                                const alps_tables *t)
{
    alps_block top;
    alps_block_large_(h, 0, &top);
    alps_block_build_(h, &top);
    const alps_zone *z = &top.zone;
    *some = 0;
    for (uint64_t unit = 0, next; unit < z->end; unit = next) {
        next = alps_code_next_(z->codes, unit + 1, z->end);
        if (next <= *cursor || alps_code_(z->codes, unit) != ALPS_FREE)
            continue;
        uint64_t at = unit < *cursor ? *cursor : unit;
        while (at < next && alps_hole_(h, at))
            at++;
        if (at == next)
            continue;
        uint64_t n = next - at;
        if (n > ALPS_HOLES_AT_ONCE_)
            n = ALPS_HOLES_AT_ONCE_;
        *some = 1;
        *cursor = at + n;
        return alps_holes_punch_(h, at, n, t);
    }
    return ALPS_OK;
}

/* Gives all free extents back to the file system; a medium that cannot take
 * them keeps them. No lock of a shard is held. */
ALPS_CORE_ int alps_holes_make_(alps_handle *h, const alps_tables *t)
{
    uint64_t cursor = 0;
    int err = ALPS_OK, some = !h->map.fixed;
    while (!err && some) {
        alps_shard_lock_(h, h->top, 0, t);
        err = alps_holes_some_(h, &cursor, &some, t);
        alps_shard_unlock_(h->top);
    }
    alps_store_(&h->shared->idle, 0);
    return err == ALPS_EUNSUPPORTED ? ALPS_OK : err;
}

/* extent.h -- heap extents: made, built, given back
 *
 * An extent is free, part of a large object, or a heap extent that holds small
 * blocks under a map of its own and belongs to a shard, see block.h. A shard
 * that has no room builds extents that this epoch has not touched, then makes
 * one; what is empty goes back when runs of extents are asked for. */

/* How many extents one allocation rebuilds before it prefers a fresh one: the
 * first allocation after a crash is bounded by this. */
#ifndef ALPS_REBUILD_MAX
#  define ALPS_REBUILD_MAX 16u
#endif

/* Makes all of the extent, whatever was there, one free run; answers what it
 * is then. */
ALPS_FN_ alps_zone alps_extent_clear_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    for (uint64_t word = 0; word < (z.end + 31) / 32; word++)
        alps_store_(&z.codes[word], 0);
    alps_code_set_(z.codes, z.first, ALPS_FREE);
    memset(alps_address_(h, z.origin + h->at.told), 0,
           (size_t)(h->at.heads - h->at.told));
    return z;
}

/* Makes the extent at `off`, which is held, a heap extent of shard `s`. Its map
 * and kind are durable before its code says that it is used. Under the locks of
 * `s` and of all extents. */
ALPS_CORE_ int alps_extent_fill_(alps_handle *h, alps_shard *s, alps_off off,
                                 const alps_tables *t)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t extent = alps_zone_unit_(&top, off);
    // what is there may be of a former region
    alps_store_(&alps_extent_(h, extent)->built, alps_build_void_(h, s));
    alps_zone z = alps_extent_clear_(h, extent);
    int err = t->policy->flush(&h->map, alps_extent_(h, extent),
                               sizeof(alps_extent) + z.end / 4);
    alps_extent_kind_set_(h, extent, 1);
    if (!err)
        err = t->policy->flush(&h->map, &h->kinds[extent / 64], 8);
    if (!err)
        err = t->fence(&h->map);
    if (!err) {
        alps_code_set_(h->codes, extent, ALPS_USED);
        err = alps_codes_flush_(h, &top, extent, 1, t);
    }
    if (!err)
        err = t->fence(&h->map);
    if (err)
        alps_give_large_(h, extent);
    return err;
}

/* Makes a free extent a heap extent of shard `s`, empty and in the index. Under
 * its lock. */
ALPS_CORE_ int alps_extent_make_(alps_handle *h, alps_shard *s,
                                 const alps_tables *t)
{
    alps_off off;
    alps_shard_lock_(h, h->top, 1, t);
    int err = alps_holes_take_(h, 1, 1, ALPS_HELD, &off, t);
    if (!err)
        err = alps_extent_fill_(h, s, off, t);
    alps_shard_unlock_(h->top);
    if (err)
        return err;
    alps_block b;
    b.zone = alps_zone_extent_(h, (off - h->at.heap) >> h->at.extent_shift);
    b.shard = s;
    b.level = ALPS_LEVEL_GRANULE;
    alps_block_build_(h, &b);
    return ALPS_OK;
}

/* Makes a heap extent without a block, whose run is not in the index any more,
 * free. The kind bit that it leaves set means nothing while it is free; who
 * takes it for a large object clears it. Under the lock of its shard. */
ALPS_CORE_ int alps_extent_drop_(alps_handle *h, uint64_t extent,
                                 const alps_tables *t)
{
    alps_shard_lock_(h, h->top, 1, t);
    alps_block b;
    alps_block_large_(h, extent, &b);
    alps_block_build_(h, &b);
    alps_code_set_(b.zone.codes, extent, ALPS_HELD);
    int err = alps_codes_flush_(h, &b.zone, extent, 1, t);
    if (!err)
        err = t->fence(&h->map);
    alps_give_large_(h, extent);
    alps_shard_unlock_(h->top);
    return err;
}

/* Gives the heap extents of `s` without a block to those of any use; adds to
 * `n` how many. Under its lock. */
ALPS_CORE_ int alps_extents_drop_(alps_handle *h, alps_shard *s, uint64_t *n,
                                  const alps_tables *t)
{
    uint64_t whole =
        (1ull << (h->at.extent_shift - ALPS_GRANULE_SHIFT)) - h->at.first;
    alps_bin bin = alps_bin_of_(whole);
    alps_off off = s->index.head[bin.row][bin.column];
    for (uint64_t looks = alps_extents_(h); off && looks; looks--) {
        alps_block b;
        if (alps_block_at_(h, off, &b) != ALPS_FREE || b.shard != s ||
            b.level) {
            alps_index_reset_(s);
            return ALPS_ECORRUPT;
        }
        off = alps_run_(&b.zone, b.unit)->next;
        if (alps_zone_units_(&b.zone, b.unit) != whole)
            continue;
        if (alps_run_unlink_(h, &b.zone, b.unit)) {
            alps_index_reset_(s);
            return ALPS_ECORRUPT;
        }
        alps_idle_turn_(h, &s->index, -1);
        int err = alps_extent_drop_(
            h, (b.zone.origin - h->at.heap) >> h->at.extent_shift, t);
        if (err)
            return err;
        ++*n;
    }
    return ALPS_OK;
}

/* Sees to the free runs of one heap extent, if it is of shard `s` or of none
 * yet; 1 if it was not in the index before. */
ALPS_CORE_ int alps_extent_build_(alps_handle *h, alps_shard *s,
                                  uint64_t extent, const alps_tables *t)
{
    alps_block b;
    if (!alps_extent_heap_(h, extent) ||
        alps_load_(&alps_extent_(h, extent)->built) == s->built)
        return 0;
    b.zone = alps_zone_extent_(h, extent);
    b.shard = alps_shard_named_(h, extent);
    b.level = ALPS_LEVEL_GRANULE;
    return (b.shard == s || !alps_shard_has_(h, b.shard, extent)) &&
           alps_block_joins_(h, &b, s, t);
}

/* Rebuilds heap extents for `s`, at most `max`, until one brings a run of
 * `units`: its own, and those that this epoch has not touched. Answers through
 * `n` how many. Under its lock. */
ALPS_CORE_ void alps_extents_build_(alps_handle *h, alps_shard *s,
                                    uint64_t units, uint64_t max, uint64_t *n,
                                    const alps_tables *t)
{
    uint64_t extents = alps_extents_(h);
    for (*n = 0; *n < max;) {
        uint64_t extent;
        if (s->cursor < extents)
            extent = s->cursor++;
        else if (alps_load_(&h->shared->cursor) < extents)
            extent =
                __atomic_fetch_add(&h->shared->cursor, 1, __ATOMIC_RELAXED);
        else
            return;
        if (extent >= extents || !alps_extent_build_(h, s, extent, t))
            continue;
        ++*n;
        if (alps_index_find_(h, &s->index, units, ALPS_GRANULE_SHIFT))
            return;
    }
}

/* Makes the empty heap extents of all shards free; answers how many through
 * `n`. No lock of a shard is held. */
ALPS_CORE_ int alps_extents_empty_(alps_handle *h, uint64_t *n,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    *n = 0;
    for (alps_shard *s = h->shards; !err && s < h->top; s++) {
        alps_shard_lock_(h, s, 0, t);
        for (int spoilt = 0; spoilt < 3; spoilt++) {
            uint64_t built;
            alps_extents_build_(h, s, ~0ull >> 16, ~0ull, &built, t);
            err = alps_extents_drop_(h, s, n, t);
            if (err != ALPS_ECORRUPT)
                break;
        }
        alps_shard_unlock_(s);
    }
    return err;
}

/* Brings more into the index of `s`, which has no run of `units`: an extent not
 * yet rebuilt, a fresh extent. ALPS_EFULL: there is no more. Under its lock. */
ALPS_CORE_ int alps_refill_(alps_handle *h, alps_shard *s, uint64_t units,
                            const alps_tables *t)
{
    uint64_t n;
    for (int all = 0; all < 2; all++) {
        alps_extents_build_(h, s, units, all ? ~0ull : ALPS_REBUILD_MAX, &n, t);
        if (n && alps_index_find_(h, &s->index, units, ALPS_GRANULE_SHIFT))
            return ALPS_OK;
        int err = all ? ALPS_EFULL : alps_extent_make_(h, s, t);
        if (err != ALPS_EFULL)
            return err;
    }
    return ALPS_EFULL;
}

/* The block that the table of reservations of `s` is in, whose zone is built
 * while it is still held; 0 if that is the one made for it. */
ALPS_CORE_ int alps_held_block_(alps_handle *h, const alps_shard *s,
                                alps_block *b)
{
    if (alps_block_at_(h, alps_held_place_(s), b) != ALPS_HELD)
        return 0;
    alps_block_build_(h, b);
    return 1;
}

/* Goes back to the first table of reservations, when there are none left. Where
 * the table is a run of extents, that changes hands under their lock. */
ALPS_CORE_ int alps_held_unfold_(alps_handle *h, alps_shard *s,
                                 const alps_tables *t)
{
    alps_block b;
    alps_off off = alps_held_place_(s);
    int large = s != h->top &&
                !alps_extent_heap_(h, (off - h->at.heap) >> h->at.extent_shift);
    if (large)
        alps_shard_lock_(h, h->top, 1, t);
    int has = alps_held_block_(h, s, &b);
    alps_held_reset_(h, s);
    if (has)
        alps_give_back_(h, &b);
    if (large)
        alps_shard_unlock_(h->top);
    return ALPS_OK;
}

/* An entry has been taken out of the table of `s`. */
ALPS_CORE_ void alps_held_fold_(alps_handle *h, alps_shard *s,
                                const alps_tables *t)
{
    if (ALPS_UNLIKELY_(alps_held_place_(s) != alps_held_first_(h, s) &&
                       !s->held_used))
        t->slow(h, ALPS_SLOW_FOLD, (uint64_t)(uintptr_t)s, 0);
}

/* loose.h -- slabs that no thread owns
 *
 * A thread that ends gives back its empty slabs and puts those with free
 * objects into a list, by class, from which the next one takes them. What a
 * process leaves that is killed is found by sweeping: the slabs of an extent
 * are looked at when a thread would else make a slab, a few extents at a time.
 * The lists are index: when the lock is broken they start again empty, and so
 * does the sweep. Runs under the lock of the region. */

/* How many extents one allocation sweeps before it prefers a fresh slab. */
#ifndef ALPS_SWEEP_MAX
#  define ALPS_SWEEP_MAX 4u
#endif

/* A token: the epoch, a count, and the lane of the thread that has it. */
#define ALPS_TOKEN_LANE_ 0xfffu

/* Where the epoch is in a token, and in the word of a process. */
#define ALPS_EPOCH_SHIFT_ 40

ALPS_FN_ uint64_t alps_epoch_(const alps_handle *h)
{
    return alps_load_(&h->super->epoch) >> 16 & 0xffffff;
}

/* A token that was never used in this epoch, for lane `number`. */
ALPS_FN_ uint64_t alps_token_new_(const alps_handle *h, unsigned number)
{
    uint64_t count =
        __atomic_add_fetch(&h->shared->tokens, 1, __ATOMIC_RELAXED);
    return alps_epoch_(h) << ALPS_EPOCH_SHIFT_ | (count & 0xfffffff) << 12 |
           number;
}

/* The lane of the living thread that has `token`, or NULL. */
ALPS_FN_ alps_lane *alps_token_lane_(const alps_handle *h, uint64_t token)
{
    uint64_t number = token & ALPS_TOKEN_LANE_;
    if (!token || number >= h->at.lane_count)
        return NULL;
    alps_lane *lane = &h->lanes[number];
    return __atomic_load_n(&lane->token, __ATOMIC_ACQUIRE) == token ? lane
                                                                    : NULL;
}

/* Whether a process that owned a slab is still in the region. */
ALPS_FN_ int alps_process_in_(const alps_handle *h, uint64_t process)
{
    uint64_t number = process & 0xffff;
    return number < h->at.slot_count &&
           alps_slot_owner_(h, (unsigned)number) == process;
}

/* Whether the object at `off` is reserved, by a process that is still here. One
 * that its owner released, and that waits for a fence, looks the same but is
 * not. */
ALPS_FN_ int alps_object_reserved_(const alps_handle *h, const alps_object *o,
                                   alps_off off)
{
    uint64_t kept = alps_load_(&o->keep->own) ^ alps_load_(&o->keep->far);
    if (!(kept & ~alps_pair_live_(o->pair) & o->bit) ||
        !alps_process_in_(h, alps_load_(&o->slab->process)))
        return 0;
    const alps_lane *lane = alps_token_lane_(h, alps_load_(&o->slab->owner));
    return !lane || alps_load_(&lane->pending) != off;
}

/* Whether somebody sees to the slab: its owner, or a list of loose ones. */
ALPS_FN_ int alps_slab_seen_to_(const alps_handle *h, const alps_slab *s)
{
    uint64_t owner = __atomic_load_n(&s->owner, __ATOMIC_SEQ_CST);
    return alps_token_lane_(h, owner) || owner == h->shared->loose_by;
}

/* The words of an extent that tell which of its slabs others freed in. */
ALPS_FN_ uint64_t *alps_told_words_(const alps_handle *h, alps_off extent)
{
    return (uint64_t *)alps_address_(h, extent + h->at.told);
}

/* An object of the slab has become free, and not by its owner: tells that if
 * the slab was full. 0: nobody sees to the slab. */
ALPS_CORE_ int alps_slab_tell_(const alps_handle *h, alps_slab *s, alps_off off)
{
    uint64_t owner = __atomic_load_n(&s->owner, __ATOMIC_SEQ_CST);
    alps_lane *lane = alps_token_lane_(h, owner);
    uint64_t full = 1;
    if (lane && __atomic_load_n(&s->full, __ATOMIC_SEQ_CST) &&
        __atomic_compare_exchange_n(&s->full, &full, 0, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED)) {
        uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
        uint64_t slab = (off & (h->at.extent - 1)) >> h->at.slab_shift;
        uint64_t *told =
            alps_told_words_(h, h->at.heap + (extent << h->at.extent_shift));
        __atomic_fetch_or(&told[slab / 64], 1ull << (slab % 64),
                          __ATOMIC_SEQ_CST);
        __atomic_fetch_or(&lane->told[extent % 512 / 64], 1ull << (extent % 64),
                          __ATOMIC_SEQ_CST);
    }
    return lane || owner == alps_load_(&h->shared->loose_by);
}

/* The lists of loose slabs are void, and all are to be found again. */
ALPS_FN_ void alps_loose_reset_(alps_handle *h)
{
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++)
        h->shared->loose[kind] = 0;
    alps_store_(&h->shared->loose_by, alps_token_new_(h, ALPS_TOKEN_LANE_));
    alps_store_(&h->shared->swept, 0);
}

/* Gives the block of an empty slab back: from here on no slab starts there,
 * durably so before the block is anything else. */
ALPS_CORE_ int alps_slab_drop_(alps_handle *h, alps_off place,
                               const alps_tables *t)
{
    alps_block b;
    uint64_t unit = place >> h->at.slab_shift;
    int err = ALPS_ECORRUPT;
    int code = alps_block_lock_(h, place, &b, 1, t);
    if (code == ALPS_HELD && b.level == ALPS_LEVEL_GRANULE) {
        alps_slab_mark_(h, place, 0);
        err = t->policy->flush(&h->map, &h->slabs[unit / 64], 8);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            alps_slab_mark_(h, place, 1);
        else
            alps_give_back_(h, &b);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
    return err;
}

/* In the place of a process: there is none. */
#define ALPS_NO_PROCESS_ 0xffffu

/* Voids what does not outlive the process that owned the slab: reservations,
 * and, of an earlier epoch, all that was held back. */
ALPS_FN_ void alps_slab_forget_(alps_handle *h, alps_slab *s)
{
    uint64_t process = alps_load_(&s->process);
    uint64_t number = process & 0xffff;
    int old = process >> ALPS_EPOCH_SHIFT_ != alps_epoch_(h);
    if (!old && (number >= h->at.slot_count || alps_process_in_(h, process)))
        return;
    alps_keep *keep = alps_slab_keeps_(h, s);
    for (unsigned g = 0; g < alps_slab_groups_(s); g++) {
        alps_store_(&keep[g].own, 0);
        alps_store_(&keep[g].far, 0);
        if (old)
            alps_store_(&keep[g].pinned, 0);
    }
    alps_store_(&s->process,
                alps_epoch_(h) << ALPS_EPOCH_SHIFT_ | ALPS_NO_PROCESS_);
}

/* Whether process `self` may own the slab: another living one has no
 * reservation in it. */
ALPS_FN_ int alps_slab_open_to_(const alps_handle *h, alps_slab *s,
                                uint64_t self)
{
    uint64_t process = alps_load_(&s->process);
    const alps_keep *keep = alps_slab_keeps_(h, s);
    if ((process & 0xffff) >= h->at.slot_count || process == self ||
        !__atomic_load_n(&s->kept, __ATOMIC_RELAXED))
        return 1;
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        if (alps_load_(&keep[g].own) ^ alps_load_(&keep[g].far))
            return 0;
    return 1;
}

/* Lets go of a slab. It is given back, or listed, or full: then who frees the
 * next object of it sees to it. The owner is gone before the slab is looked
 * at, and who frees looks for the owner after freeing, so one of the two sees
 * the other. */
ALPS_CORE_ void alps_slab_loosen_(alps_handle *h, alps_off place,
                                  const alps_tables *t)
{
    alps_slab *s = alps_slab_head_(h, place);
    uint32_t kind = s->kind - 1;
    s->where = ALPS_NOWHERE;
    (void)__atomic_exchange_n(&s->owner, 0, __ATOMIC_SEQ_CST);
    if (kind >= ALPS_KINDS)
        return;
    if (alps_slab_empty_(h, s) && alps_slab_drop_(h, place, t) == ALPS_OK)
        return;
    if (!alps_slab_room_(h, s))
        return;
    s->next = h->shared->loose[kind];
    __atomic_store_n(&s->owner, h->shared->loose_by, __ATOMIC_SEQ_CST);
    h->shared->loose[kind] = place;
}

/* Whether a held block is where a slab of class `kind` is said to be. */
ALPS_FN_ int alps_slab_fits_(const alps_handle *h, alps_off place,
                             unsigned kind)
{
    alps_block b;
    return alps_block_at_(h, place, &b) == ALPS_HELD && !b.level &&
           alps_zone_units_(&b.zone, b.unit) >= alps_kind_granules_(h, kind);
}

/* Takes in hand a slab that its owner left without a word. What its threads
 * stored, and did not come to write back, is durable first: the medium must not
 * say of an object that is handed out again that it is live. One fence. */
ALPS_CORE_ void alps_slab_find_(alps_handle *h, alps_off place,
                                const alps_tables *t)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (alps_slab_seen_to_(h, s) || !alps_slab_derive_(h, s) ||
        !alps_slab_fits_(h, place, s->kind - 1))
        return;
    int err = t->policy->flush(&h->map, s, (size_t)h->at.keeps);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return;
    alps_slab_forget_(h, s);
    t->slow(h, ALPS_SLOW_LOOSEN, place, 0);
}

/* Looks at the slabs of one heap extent. */
ALPS_CORE_ void alps_loose_extent_(alps_handle *h, uint64_t extent,
                                   const alps_tables *t)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift)
        if (alps_slab_is_(h, off))
            t->slow(h, ALPS_SLOW_FOUND, off, 0);
}

/* Sweeps up to `max` extents, or until there is a loose slab of `kind`. */
ALPS_CORE_ void alps_loose_sweep_(alps_handle *h, unsigned kind, uint64_t max,
                                  const alps_tables *t)
{
    uint64_t extents = alps_extents_(h);
    while (max && h->shared->swept < extents &&
           (kind >= ALPS_KINDS || !h->shared->loose[kind])) {
        uint64_t extent = h->shared->swept++;
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_loose_extent_(h, extent, t);
        max--;
    }
}

/* Whether `place` can be the first of the list of loose slabs of `kind`. */
ALPS_FN_ int alps_loose_valid_(const alps_handle *h, alps_off place,
                               unsigned kind)
{
    if (place < h->at.heap || place >= alps_size_(h) ||
        place != alps_slab_place_(h, place) || !alps_slab_is_(h, place))
        return 0;
    const alps_slab *s = alps_slab_head_(h, place);
    return s->owner == h->shared->loose_by && s->kind == kind + 1;
}

/* Takes a loose slab of `kind` that `self` may own; 0 if there is none. */
ALPS_FN_ alps_off alps_loose_take_(alps_handle *h, unsigned kind,
                                   uint64_t token, uint64_t self)
{
    alps_off *link = &h->shared->loose[kind];
    for (unsigned looks = 0; *link && looks < 64; looks++) {
        alps_off place = *link;
        if (!alps_loose_valid_(h, place, kind)) {
            alps_loose_reset_(h);
            return 0;
        }
        alps_slab *s = alps_slab_head_(h, place);
        alps_slab_forget_(h, s);
        if (alps_slab_open_to_(h, s, self)) {
            *link = s->next;
            alps_store_(&s->process, self);
            __atomic_store_n(&s->owner, token, __ATOMIC_SEQ_CST);
            return place;
        }
        link = &s->next;
    }
    return 0;
}

/* Gives back the loose slabs that have become empty; answers how many. */
ALPS_CORE_ uint64_t alps_loose_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    alps_loose_sweep_(h, ALPS_KINDS, ~0ull, t);
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_off *link = &h->shared->loose[kind];
        while (*link) {
            alps_off place = *link;
            if (!alps_loose_valid_(h, place, kind)) {
                alps_loose_reset_(h);
                return n;
            }
            alps_slab *s = alps_slab_head_(h, place);
            alps_slab_forget_(h, s);
            alps_off next = s->next;
            if (alps_slab_empty_(h, s) &&
                alps_slab_drop_(h, place, t) == ALPS_OK) {
                *link = next;
                n++;
            } else {
                link = &s->next;
            }
        }
    }
    return n;
}

/* around.h -- the object or block that an address lies in
 *
 * Its start is found from any address inside of it: of an object by its size,
 * of a block by the codes before it. */

/* What was found. */
typedef struct alps_around {
    alps_off off;
    uint64_t n;
} alps_around;

/* The start at or before `unit`, or the first unit of the zone. */
ALPS_FN_ uint64_t alps_around_start_(const alps_zone *z, uint64_t unit)
{
    while (unit > z->first && alps_code_(z->codes, unit) == ALPS_INSIDE) {
        uint64_t near = alps_code_near_(z->codes, unit);
        unit = near != unit ? near : (unit - 1) / 32 * 32;
    }
    return unit < z->first ? z->first : unit;
}

/* The object of a slab that `off` lies in; -1 if it lies behind the last. */
ALPS_FN_ int alps_around_object_(const alps_handle *h, alps_off off,
                                 alps_around *s)
{
    alps_object o;
    alps_off place = alps_slab_place_(h, off);
    if (alps_object_at_(h, place, &o) != 1)
        return -1;
    s->n = alps_kind_size_(o.kind);
    s->off = off - (off - place) % s->n;
    if (alps_object_at_(h, s->off, &o) != 1)
        return -1;
    if (alps_object_live_(&o))
        return ALPS_USED;
    return alps_keep_any_(o.keep) & o.bit ? ALPS_HELD : ALPS_FREE;
}

/* The block that `off` lies in. */
ALPS_FN_ int alps_around_block_(const alps_handle *h, alps_off off,
                                alps_around *s)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    alps_zone z = alps_extent_heap_(h, extent) ? alps_zone_extent_(h, extent)
                                               : alps_zone_top_(h);
    uint64_t unit = alps_zone_unit_(&z, off);
    if (unit < z.first)
        return -1;
    unit = alps_around_start_(&z, unit);
    s->off = alps_zone_off_(&z, unit);
    s->n = alps_zone_units_(&z, unit) << z.shift;
    int code = (int)alps_code_(z.codes, unit);
    return code == ALPS_INSIDE ? -1 : code;
}

/* The code of what `off` lies in: ALPS_USED is a live object or block,
 * ALPS_HELD one that is reserved or waits, and -1: it can be in none. */
ALPS_FN_ int alps_around_(const alps_handle *h, alps_off off, alps_around *s)
{
    alps_block b;
    s->off = s->n = 0;
    if (off < h->at.heap ||
        (off - h->at.heap) >> h->at.extent_shift >= alps_extents_(h))
        return -1;
    alps_off place = alps_slab_place_(h, off);
    if (alps_slab_is_(h, off) && alps_block_at_(h, place, &b) == ALPS_HELD &&
        off - place < alps_block_size_(&b))
        return alps_around_object_(h, off, s);
    return alps_around_block_(h, off, s);
}

/* limbo.h -- what was retired, and waits for readers to be gone
 *
 * Readers that take no lock say that they read: their lane's `pin` holds the
 * era they began in. The era moves on when all who read are in it; so what was
 * unlinked in one era is seen by nobody two eras later. Until then it is held
 * back: an object by its pin, a block by an entry of a table of reservations
 * that names no process. Its place is in a chunk: first in that of the lane
 * that retired it, then, when that is full or its thread is gone, in the
 * region's list, oldest first. All of this is index: after a crash what was
 * retired is free. Epoch-based reclamation (Fraser: Practical lock-freedom,
 * 2004), for readers of several processes. Runs under the lock of the
 * region. */

/* In the table of reservations: held back for readers, by no process. */
#define ALPS_HELD_LIMBO_ 0xffffu

/* The chunk at `off`; NULL where none can be. */
ALPS_FN_ alps_chunk *alps_limbo_chunk_(const alps_handle *h, alps_off off)
{
    alps_block b;
    if (!off || alps_block_at_(h, off, &b) != ALPS_HELD || b.level)
        return NULL;
    return (alps_chunk *)alps_address_(h, off);
}

/* Lets go of the block at `off`, if it is held back. */
ALPS_CORE_ void alps_limbo_give_block_(alps_handle *h, alps_off off,
                                       const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 1, t);
    if (code == ALPS_HELD &&
        alps_held_slot_(h, b.shard, off) == (int)ALPS_HELD_LIMBO_) {
        alps_held_drop_(h, b.shard, alps_held_find_(h, b.shard, off));
        if (h->shared->leaving == off) // a chunk, which may soon be another's
            alps_store_(&h->shared->leaving, 0);
        ALPS_BARRIER_();
        alps_give_back_(h, &b);
        alps_held_fold_(h, b.shard, t);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
}

/* Whether the block at `off` is held back; or, for a chunk that a dead process
 * was about to use, only reserved. */
ALPS_CORE_ int alps_limbo_holds_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 1, t);
    int holds = code == ALPS_HELD &&
                alps_held_slot_(h, b.shard, off) == (int)ALPS_HELD_LIMBO_;
    if (code >= 0)
        alps_block_unlock_(&b);
    return holds;
}

/* Lets go of one thing. */
ALPS_CORE_ void alps_limbo_give_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_object o;
    if (alps_object_at_(h, off, &o) != 1) {
        t->slow(h, ALPS_SLOW_LET_GO, off, 0);
        return;
    }
    alps_object_pin_(&o, 0);
    if (!alps_slab_tell_(h, o.slab, off))
        t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, off), 0);
}

/* The region's list goes on behind its first chunk, which is empty. */
ALPS_CORE_ void alps_limbo_shift_(alps_handle *h, alps_off off,
                                  const alps_tables *t)
{
    const alps_chunk *c = alps_limbo_chunk_(h, off);
    if (h->shared->limbo == off)
        h->shared->limbo = c ? c->next : 0;
    if (!h->shared->limbo)
        h->shared->limbo_last = 0;
    t->slow(h, ALPS_SLOW_LET_GO, off, 0);
}

/* Empties the first chunk of the list, from its end. */
ALPS_CORE_ void alps_limbo_empty_(alps_handle *h, alps_off off,
                                  const alps_tables *t)
{
    alps_chunk *c = alps_limbo_chunk_(h, off);
    alps_store_(&h->shared->leaving, off);
    while (c && c->count && c->count <= ALPS_CHUNK) {
        alps_limbo_give_(h, c->thing[c->count - 1], t);
        ALPS_BARRIER_();
        alps_store_(&c->count, c->count - 1);
    }
    alps_limbo_shift_(h, off, t);
    alps_store_(&h->shared->leaving, 0);
}

/* Puts the chunk of a lane, which takes no more, at the end of the list. */
ALPS_FN_ void alps_limbo_close_(alps_handle *h, alps_lane *lane)
{
    alps_off off = alps_load_(&lane->limbo);
    alps_chunk *c = alps_limbo_chunk_(h, off);
    alps_chunk *last = alps_limbo_chunk_(h, h->shared->limbo_last);
    if (c && off != h->shared->limbo_last) {
        c->next = 0;
        c->era = h->shared->era;
        ALPS_BARRIER_();
        if (last)
            alps_store_(&last->next, off);
        else
            alps_store_(&h->shared->limbo, off);
        alps_store_(&h->shared->limbo_last, off);
    }
    ALPS_BARRIER_();
    alps_store_(&lane->limbo, 0);
}

/* Whether what was held back for a thing that left is held back for another
 * reason: it was handed out since, and freed or retired again. */
ALPS_FN_ int alps_limbo_names_(const alps_handle *h, alps_off off)
{
    alps_off at = h->shared->limbo;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_chunk *c = alps_limbo_chunk_(h, h->lanes[i].limbo);
        if (alps_load_(&h->lanes[i].held) == off)
            return 1;
        for (uint64_t k = 0; c && k < c->count && k < ALPS_CHUNK; k++)
            if (c->thing[k] == off)
                return 1;
    }
    for (uint64_t n = alps_extents_(h) * h->at.granules; at && n; n--) {
        const alps_chunk *c = alps_limbo_chunk_(h, at);
        if (!c)
            break;
        for (uint64_t k = 0; k < c->count && k < ALPS_CHUNK; k++)
            if (c->thing[k] == off && at != h->shared->leaving)
                return 1;
        at = c->next;
    }
    return 0;
}

/* The lock was taken from a dead process, which may have died in here: finds
 * the end of the list, and finishes with the thing that was leaving. */
ALPS_CORE_ void alps_limbo_mend_(alps_handle *h, const alps_tables *t)
{
    alps_off off = h->shared->leaving;
    alps_chunk *c = alps_limbo_chunk_(h, h->shared->limbo);
    if (!c)
        h->shared->limbo = h->shared->limbo_last = 0;
    for (uint64_t n = alps_extents_(h) * h->at.granules; c && n; n--) {
        h->shared->limbo_last = alps_offset_(h, c);
        c = alps_limbo_chunk_(h, c->next);
    }
    if (!off)
        return;
    c = alps_limbo_chunk_(h, off);
    if (c && c->count && c->count <= ALPS_CHUNK) {
        alps_off thing = c->thing[c->count - 1];
        if (!alps_limbo_names_(h, thing))
            alps_limbo_give_(h, thing, t);
        alps_store_(&c->count, c->count - 1);
        alps_store_(&h->shared->leaving, 0);
    } else {
        alps_limbo_shift_(h, off, t);
        alps_store_(&h->shared->leaving, 0);
    }
}

/* A lane's thread is gone: its chunk goes to the region. What it was retiring
 * at the end, and did not come to free, is not retired. */
ALPS_CORE_ void alps_limbo_leave_(alps_handle *h, alps_lane *lane,
                                  const alps_tables *t)
{
    alps_block b;
    alps_object o;
    if (!alps_limbo_holds_(h, alps_load_(&lane->limbo), t))
        alps_store_(&lane->limbo, 0);
    alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (c && c->count && c->count <= ALPS_CHUNK) {
        alps_off off = c->thing[c->count - 1];
        int is = alps_object_at_(h, off, &o);
        if (is == 1 && alps_object_live_(&o)) {
            alps_object_pin_(&o, 0);
            c->count--;
        } else if (is != 1 && alps_block_at_(h, off, &b) != ALPS_HELD) {
            c->count--; // its entry is of what is not held: forgotten too
        }
    }
    alps_limbo_close_(h, lane);
}

/* Lets the next era begin if all who read are in this one. Who is not, and is
 * dead, is in none: its owner through `dead`. */
ALPS_CORE_ int alps_era_next_(alps_handle *h, uint64_t *dead,
                              const alps_tables *t)
{
    uint64_t era = h->shared->era;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t pin = __atomic_load_n(&h->lanes[i].pin, __ATOMIC_SEQ_CST);
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        if (!pin || pin == era)
            continue;
        if (owner && !alps_owner_lives_(h, owner, t))
            *dead = owner;
        return 0;
    }
    __atomic_store_n(&h->shared->era, era + 1, __ATOMIC_SEQ_CST);
    return 1;
}

/* Lets go of all that no reader can have any more. A reader that does not end
 * is waited for; one that is dead is answered through `dead`. */
ALPS_CORE_ void alps_limbo_drain_(alps_handle *h, uint64_t *dead,
                                  const alps_tables *t)
{
    *dead = 0;
    for (int steps = 0; steps < 2 && h->shared->limbo; steps++)
        if (!alps_era_next_(h, dead, t))
            break;
    while (h->shared->limbo) {
        alps_off off = h->shared->limbo;
        const alps_chunk *c = alps_limbo_chunk_(h, off);
        if (c && c->era + 2 > h->shared->era)
            return;
        alps_limbo_empty_(h, off, t);
    }
}

/* A new epoch: what was retired is free. */
ALPS_FN_ void alps_limbo_reset_(alps_handle *h)
{
    h->shared->era = 1;
    h->shared->deaths = 0;
    h->shared->limbo = h->shared->limbo_last = h->shared->leaving = 0;
}

/* draft.h -- the transaction that a thread has open
 *
 * In memory of the process alone, one for each lane: where its logs are, and
 * which objects it has spoken for already. The child of a fork finds none. What
 * the others need to know when this process dies is in the lane. */

/* Lines in chunks of the heap, see log.h. */
typedef struct alps_log {
    alps_off first; /* the first line, or 0 */
    alps_off at;    /* where the next one goes */
    alps_off end;   /* of the room for lines, in this chunk */
    alps_off chunk; /* the last chunk */
    uint64_t bytes; /* of it */
    uint64_t all;   /* of all chunks */
} alps_log;

/* Bytes that are kept already. */
typedef struct alps_kept {
    alps_off off;
    uint64_t n;
} alps_kept;

#define ALPS_DRAFT_FEW 16u
#define ALPS_DRAFT_KEPT 8u
typedef struct alps_draft {
    uintptr_t thread; /* whose it is; 0: none is open */
    uint64_t number;  /* of the transaction: a count of the lane, and that */
    alps_lane *lane;
    unsigned depth; /* begun, and not ended */
    int aborted;    /* by one inside */
    int early;      /* contents are to be durable before the record */
    int publishes;  /* some action does */
    int frees;      /* the same */
    uint64_t actions;
    alps_log log;   /* of actions */
    alps_log undo;  /* of bytes as they were */
    alps_off last;  /* the newest line of that; or 0 */
    int marked;     /* the lane's mark says that there is that log */
    uint64_t used;  /* objects spoken for */
    uint64_t seen;  /* a bit for each of 64 kinds of places: none of `few` has
                       a place of a kind whose bit is not set */
    uint64_t room;  /* in `many`: a power of two */
    uint64_t *many; /* a hash of their places; NULL: `few` has them */
    uint64_t few[ALPS_DRAFT_FEW];
    unsigned kept_n;
    alps_kept kept[ALPS_DRAFT_KEPT]; /* the last ranges */
} alps_draft;

/* The count in the number of a transaction; below it is its lane. */
#define ALPS_NUMBER_SHIFT_ 12

/* Whether the running thread has this one. */
ALPS_FN_ int alps_draft_is_(const alps_draft *o, uintptr_t self)
{
    return __atomic_load_n(&o->thread, __ATOMIC_RELAXED) == self;
}

/* Enters `off` into a table that has room. 0: it is there already. */
ALPS_FN_ int alps_draft_enter_(uint64_t *table, uint64_t room, alps_off off)
{
    uint64_t at = off * 0x9e3779b97f4a7c15ull >> 20;
    for (;; at++) {
        uint64_t *word = &table[at & (room - 1)];
        if (*word == off)
            return 0;
        if (!*word) {
            *word = off;
            return 1;
        }
    }
}

ALPS_FN_ uint64_t *alps_draft_table_(uint64_t room)
{
    void *p = mmap(NULL, room * 8, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : (uint64_t *)p;
}

/* Goes on in a table of twice the room. */
ALPS_COLD_ int alps_draft_widen_(alps_draft *o)
{
    uint64_t room = o->many ? 2 * o->room : 512;
    uint64_t *table = alps_draft_table_(room);
    const uint64_t *old = o->many ? o->many : o->few;
    if (!table)
        return ALPS_ENOMEM;
    for (uint64_t i = 0; i < (o->many ? o->room : o->used); i++)
        if (old[i])
            alps_draft_enter_(table, room, old[i]);
    if (o->many)
        munmap(o->many, o->room * 8);
    o->many = table;
    o->room = room;
    return ALPS_OK;
}

/* The object at `off` is spoken for. ALPS_EINVALID_FREE: it was. */
ALPS_FN_ int alps_draft_speak_(alps_draft *o, alps_off off)
{
    int err = ALPS_OK;
    uint64_t kind = 1ull << (off * 0x9e3779b97f4a7c15ull >> 58);
    for (uint64_t i = 0; o->seen & kind && !o->many && i < o->used; i++)
        if (o->few[i] == off)
            return ALPS_EINVALID_FREE;
    if (o->many ? 2 * o->used >= o->room : o->used == ALPS_DRAFT_FEW)
        err = alps_draft_widen_(o);
    if (err)
        return err;
    if (!o->many)
        o->few[o->used] = off;
    else if (!alps_draft_enter_(o->many, o->room, off))
        return ALPS_EINVALID_FREE;
    o->seen |= kind;
    o->used++;
    return ALPS_OK;
}

/* Whether [off, off + n) is known to be kept. */
ALPS_FN_ int alps_draft_keeps_(const alps_draft *o, alps_off off, uint64_t n)
{
    unsigned most = o->kept_n < ALPS_DRAFT_KEPT ? o->kept_n : ALPS_DRAFT_KEPT;
    for (unsigned i = 0; i < most; i++)
        if (off >= o->kept[i].off && off + n <= o->kept[i].off + o->kept[i].n)
            return 1;
    return 0;
}

ALPS_FN_ void alps_draft_keep_(alps_draft *o, alps_off off, uint64_t n)
{
    alps_kept *k = &o->kept[o->kept_n % ALPS_DRAFT_KEPT];
    k->off = off;
    k->n = n;
    o->kept_n =
        o->kept_n + 1 < 2 * ALPS_DRAFT_KEPT ? o->kept_n + 1 : ALPS_DRAFT_KEPT;
}

/* Forgets all; the memory of a large table goes back. */
ALPS_FN_ void alps_draft_end_(alps_draft *o)
{
    if (o->many)
        munmap(o->many, o->room * 8);
    memset((char *)o + sizeof o->thread, 0, offsetof(alps_draft, few) - 8);
    o->kept_n = 0;
    __atomic_store_n(&o->thread, (uintptr_t)0, __ATOMIC_RELEASE);
}

/* cache.h -- what a thread has at hand, and how it finds that
 *
 * Caches lie in memory of the process alone. A thread finds its own from the
 * handle, in a table by its thread pointer: there is no hidden variable. The
 * memory is such that the system empties it in the child of a fork: the child
 * finds no cache, and no owner to write into a lock, so it cannot touch what is
 * its parent's. */

/* An object that a thread may hand out, and the word and the bit in it that
 * make it live. */
typedef struct alps_spot {
    void *object; /* NULL: there is none */
    uint64_t *own;
    uint64_t bit; /* its number, modulo 64 */
} alps_spot;

/* Objects of each class that a thread freed and has at hand, at most. */
#ifndef ALPS_SPOTS
#  define ALPS_SPOTS 128u
#endif

/* Empty slabs that a thread keeps at most, and what part of the region those
 * of all threads may be: an eighth. What is more goes back to the heap. */
#ifndef ALPS_EMPTY_MAX
#  define ALPS_EMPTY_MAX 128u
#endif
#define ALPS_EMPTY_SHIFT 3

/* One class of size in a cache. All free objects of the thread's own slabs are
 * free by their pairs. Those at hand are besides in a stack, which has what was
 * freed last on top, or in `mask`, as a group of the slab in use had them; no
 * other way to find a free object is taken before both are empty. */
typedef struct alps_rack {
    alps_spot *top;    /* of the stack */
    alps_spot *bottom; /* the one without an object */
    alps_spot *end;    /* the highest there is room for */
    uint64_t mask;     /* objects of a group, a bit each */
    uint64_t *own;     /* the word of that group that makes them live */
    char *base;        /* its first object... */
    uint64_t size;     /* ...and the bytes of each */
    alps_slab *slab;   /* the slab in use, or NULL */
    alps_off place;    /* where that starts */
    alps_off partial;  /* the first of the owner's slabs with free objects */
    alps_off full;     /* and of those without */
    unsigned group;    /* of the slab in use: the last that was looked at */
} alps_rack;

typedef struct alps_cache {
    alps_handle *handle;
    alps_lane *lane;
    uint64_t token;  /* in the lane and in the heads of its slabs */
    uint64_t reaped; /* alps_shared.reaped when it last looked */
    unsigned reads;  /* sections that it is in, one within the other */
    alps_rack rack[ALPS_KINDS];
    alps_spot spot[ALPS_KINDS][ALPS_SPOTS + 1];
} alps_cache;

/* Where a thread finds its cache: near where its number hashes to. */
typedef struct alps_seat {
    uintptr_t thread; /* 0: nobody's */
    alps_cache *cache;
} alps_seat;
/* What a thread that owns a slab has to know to free an object of it, without
 * a look at the head. */
typedef struct alps_claim {
    uintptr_t thread; /* the owner; 0: none of this process */
    alps_rack *rack;
    alps_slab *slab;
    uint32_t scale; /* as in the head */
    uint32_t count;
} alps_claim;

#ifndef ALPS_SEATS
#  define ALPS_SEATS 4096u
#endif
#define ALPS_SEAT_REACH 8u /* seats a thread may be found in */

/* How many of the lanes threads may own. The others are taken for one
 * operation at a time. */
ALPS_FN_ unsigned alps_lanes_owned_(const alps_handle *h)
{
    unsigned n = h->at.lane_count / 16;
    return h->at.lane_count - (n < 1 ? 1 : n > 64 ? 64 : n);
}

/* The memory that caches are in: a page, the seats, a cache for each lane that
 * is owned, a claim for each slab that there may be, and a transaction for each
 * lane. */
ALPS_FN_ alps_cache *alps_caches_(const alps_handle *h)
{
    return (alps_cache *)(void *)(h->seats + ALPS_SEATS + ALPS_SEAT_REACH);
}

ALPS_FN_ uint64_t alps_local_bytes_(const alps_handle *h)
{
    uint64_t n = ALPS_PAGE;
    n += (ALPS_SEATS + ALPS_SEAT_REACH) * sizeof(alps_seat);
    n += alps_lanes_owned_(h) * sizeof(alps_cache);
    n += ((h->at.slab_end >> h->at.slab_shift) + 1) * sizeof(alps_claim);
    n += h->at.lane_count * sizeof(alps_draft);
    return alps_round_up_(n, ALPS_PAGE);
}

ALPS_FN_ int alps_local_open_(alps_handle *h)
{
    size_t n = (size_t)alps_local_bytes_(h);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
#ifdef MADV_WIPEONFORK
    madvise(p, n, MADV_WIPEONFORK); // since Linux 4.14
#endif
    h->local = (alps_local *)p;
    h->seats = (alps_seat *)(void *)((unsigned char *)p + ALPS_PAGE);
    h->claims = (alps_claim *)(void *)(alps_caches_(h) + alps_lanes_owned_(h));
    h->drafts = (alps_draft *)(void *)(h->claims + 1 +
                                       (h->at.slab_end >> h->at.slab_shift));
    return ALPS_OK;
}

ALPS_FN_ void alps_local_close_(alps_handle *h)
{
    if (h->spare)
        munmap(h->spare, ALPS_PAGE);
    h->spare = NULL;
    if (!h->local)
        return;
    if (h->keyed)
        pthread_key_delete(h->key);
    munmap(h->local, (size_t)alps_local_bytes_(h));
    h->local = NULL;
    h->seats = NULL;
    h->keyed = 0;
}

/* The first seat that thread `self` may have. Stacks lie an odd number of
 * pages apart, with their guard, and the thread pointer is in them. */
ALPS_FAST_ alps_seat *alps_seat_(const alps_handle *h, uintptr_t self)
{
    return &h->seats[self / ALPS_PAGE % ALPS_SEATS];
}

/* Whether it is that of thread `self`: others may be taking or leaving it. */
ALPS_FAST_ int alps_seat_is_(const alps_seat *seat, uintptr_t self)
{
    return __atomic_load_n(&seat->thread, __ATOMIC_RELAXED) == self;
}

ALPS_FN_ void alps_local_lock_(alps_handle *h)
{
    for (unsigned round = 0;; round++) {
        uint64_t nobody = 0;
        if (__atomic_compare_exchange_n(&h->local->lock, &nobody, 1, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        ALPS_WAIT_(round);
    }
}

/* The seat of thread `self`, or NULL. */
ALPS_FN_ alps_seat *alps_seat_find_(const alps_handle *h, uintptr_t self)
{
    alps_seat *seat = alps_seat_(h, self);
    for (unsigned i = 0; h->seats && i < ALPS_SEAT_REACH; i++)
        if (__atomic_load_n(&seat[i].thread, __ATOMIC_ACQUIRE) == self)
            return &seat[i];
    return NULL;
}

/* Gives thread `self` the seat that `was` has within its reach (0: a seat that
 * is nobody's), for `c`; or makes it nobody's (NULL). */
ALPS_FN_ int alps_seat_set_(alps_handle *h, uintptr_t self, uintptr_t was,
                            alps_cache *c)
{
    alps_seat *seat = alps_seat_(h, self);
    unsigned i = 0;
    alps_local_lock_(h);
    while (i < ALPS_SEAT_REACH && seat[i].thread != was)
        i++;
    if (i < ALPS_SEAT_REACH) {
        seat[i].cache = c;
        __atomic_store_n(&seat[i].thread, c ? self : 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&h->local->lock, 0, __ATOMIC_RELEASE);
    return i < ALPS_SEAT_REACH ? ALPS_OK : ALPS_EFULL;
}

/* thread.h -- a thread's part in the region: lane, cache, slabs
 *
 * A thread that allocates owns a lane, and with it a cache: for each class of
 * size the slab it hands objects out of, and those it owns besides. A key of
 * the C library tells when a thread ends, without its saying so; the cache is
 * given back then. Threads that find no lane or no key left have no cache: they
 * allocate under a lock. */

/* Takes a lane for a thread to own. */
ALPS_FN_ alps_lane *alps_thread_lane_(alps_handle *h, uintptr_t self)
{
    unsigned n = alps_lanes_owned_(h);
    uint64_t start = (uint64_t)self * (uint64_t)0x9e3779b97f4a7c15 >> 40;
    for (unsigned i = 0; i < n; i++) {
        alps_lane *lane = &h->lanes[(start + h->slot + i) % n];
        if (!alps_load_(&lane->lock) &&
            alps_lock_try_(&lane->lock, alps_self_(h)))
            return lane;
    }
    return NULL;
}

/* Counts empty slabs that the thread of this lane keeps from now on, or no
 * more. Who is killed between the two leaves the second wrong by one. */
ALPS_FN_ void alps_empty_add_(const alps_handle *h, alps_lane *lane, uint64_t n)
{
    alps_store_(&lane->empty, alps_load_(&lane->empty) + n);
    __atomic_fetch_add(&h->shared->empty, n, __ATOMIC_RELAXED);
}

/* Whether it may keep one more. */
ALPS_FN_ int alps_empty_may_(const alps_handle *h, const alps_lane *lane)
{
    uint64_t slabs = alps_size_(h) >> h->at.slab_shift;
    return alps_load_(&lane->empty) < ALPS_EMPTY_MAX &&
           (int64_t)alps_load_(&h->shared->empty) <
               (int64_t)(slabs >> ALPS_EMPTY_SHIFT);
}

/* Nobody owns the lane any more. */
ALPS_FN_ void alps_lane_free_(const alps_handle *h, alps_lane *lane)
{
    if (alps_load_(&lane->empty))
        alps_empty_add_(h, lane, 0 - lane->empty);
    alps_store_(&lane->held, 0);
    alps_store_(&lane->pending, 0);
    alps_store_(&lane->apply, 0);
    alps_store_(&lane->freeing, 0);
    __atomic_store_n(&lane->pin, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&lane->token, 0, __ATOMIC_SEQ_CST);
    alps_lock_leave_(&lane->lock);
}

/* Makes a cache for the thread that runs. Where there is no lane, no seat or
 * no key left, there is none, and that is said by ALPS_EFULL. */
ALPS_FN_ int alps_thread_enter_(alps_handle *h)
{
    uintptr_t self = ALPS_THREAD_();
    alps_lane *lane = h->keyed ? alps_thread_lane_(h, self) : NULL;
    if (!lane)
        return ALPS_EFULL;
    unsigned number = (unsigned)(lane - h->lanes);
    alps_cache *c = &alps_caches_(h)[number];
    memset(c, 0, offsetof(alps_cache, spot));
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        c->rack[kind].top = c->rack[kind].bottom = c->spot[kind];
        c->rack[kind].end = c->spot[kind] + ALPS_SPOTS;
    }
    c->handle = h;
    c->lane = lane;
    c->token = alps_token_new_(h, number);
    c->reaped = alps_load_(&h->shared->reaped);
    for (unsigned i = 0; i < 8; i++)
        alps_store_(&lane->told[i], 0);
    __atomic_store_n(&lane->token, c->token, __ATOMIC_SEQ_CST);
    int err = alps_seat_set_(h, self, 0, c);
    if (!err && pthread_setspecific(h->key, c)) { // it may allocate from here
        alps_seat_set_(h, self, self, NULL);
        err = ALPS_EFULL;
    }
    if (err) {
        c->token = 0;
        alps_lane_free_(h, lane);
    }
    return err;
}

/* The cache of this thread, which may be made now; NULL where it has none. */
ALPS_COLD_ alps_cache *alps_cache_search_(alps_handle *h, uintptr_t self)
{
    const alps_seat *seat = alps_seat_find_(h, self);
    if (!seat && alps_self_(h) && alps_thread_enter_(h) == ALPS_OK)
        seat = alps_seat_find_(h, self);
    return seat ? seat->cache : NULL;
}

/* The same, found at once where it is where it should be. */
ALPS_FAST_ alps_cache *alps_cache_(alps_handle *h)
{
    uintptr_t self = ALPS_THREAD_();
    if (ALPS_UNLIKELY_(!h->seats))
        return NULL;
    const alps_seat *seat = alps_seat_(h, self);
    if (ALPS_LIKELY_(alps_seat_is_(seat, self)))
        return seat->cache;
    return alps_cache_search_(h, self);
}

/* Makes the slab at `place` known to be this thread's, or nobody's (NULL). */
ALPS_FN_ void alps_claim_(const alps_handle *h, alps_off place, alps_rack *rack)
{
    alps_claim *claim = &h->claims[place >> h->at.slab_shift];
    if (rack) {
        alps_slab *s = alps_slab_head_(h, place);
        claim->rack = rack;
        claim->slab = s;
        claim->scale = s->scale;
        claim->count = s->count;
    }
    __atomic_store_n(&claim->thread, rack ? ALPS_THREAD_() : 0,
                     __ATOMIC_RELEASE);
}

/* Whether `off` is an object of a slab of this thread: found by its claim, for
 * a fifth of what it takes to ask the region. */
ALPS_FAST_ int alps_object_claimed_(const alps_handle *h, alps_off off,
                                    alps_object *o)
{
    if (off >= h->at.slab_end)
        return 0;
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    if (__atomic_load_n(&claim->thread, __ATOMIC_RELAXED) != ALPS_THREAD_())
        return 0; // and the rest is another's to write
    uint64_t i = (off & h->at.slab_mask) * claim->scale;
    if ((uint32_t)i >= claim->scale || i >> 32 >= claim->count)
        return 0;
    o->slab = claim->slab;
    o->pair = &alps_slab_pairs_(o->slab)[i >> 38];
    o->keep = &alps_slab_keeps_(h, o->slab)[i >> 38];
    o->bit = 1ull << (i >> 32) % 64;
    o->kind = __atomic_load_n(&o->slab->kind, __ATOMIC_RELAXED) - 1;
    return 1;
}

/* See alps_object_at_; `*mine` tells whether it is of a slab of this thread. */
ALPS_FAST_ int alps_object_find_(alps_handle *h, alps_off off, alps_object *o,
                                 int *mine)
{
    *mine = alps_object_claimed_(h, off, o);
    return ALPS_LIKELY_(*mine) ? 1 : alps_object_at_(h, off, o);
}

/* Lets go of a slab of this thread: see alps_slab_loosen_. */
ALPS_CORE_ void alps_claim_end_(alps_handle *h, alps_off place,
                                const alps_tables *t)
{
    alps_claim_(h, place, NULL);
    t->slow(h, ALPS_SLOW_LOOSEN, place, 0);
}

/* Lets go of the slabs of a list, one at a time: others may take the lock
 * between two. */
ALPS_CORE_ void alps_thread_let_go_(alps_handle *h, alps_off place,
                                    const alps_tables *t)
{
    while (place) {
        alps_off next = alps_slab_head_(h, place)->next;
        alps_lock_(h, t);
        alps_claim_end_(h, place, t);
        alps_unlock_(h);
        place = next;
    }
}

/* Puts the slab that starts at `place` into a list of its owner. */
ALPS_FN_ void alps_list_push_(const alps_handle *h, alps_off *list,
                              alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    s->next = *list;
    s->previous = 0;
    if (*list)
        alps_slab_head_(h, *list)->previous = place;
    *list = place;
}

/* Takes it out of the list. */
ALPS_FN_ void alps_list_drop_(const alps_handle *h, alps_off *list,
                              alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (s->previous)
        alps_slab_head_(h, s->previous)->next = s->next;
    else
        *list = s->next;
    if (s->next)
        alps_slab_head_(h, s->next)->previous = s->previous;
}

/* Puts an object at hand; there is room. */
ALPS_FAST_ void alps_spot_push_(alps_rack *rack, void *object, uint64_t *own,
                                uint64_t bit)
{
    alps_spot *spot = ++rack->top;
    spot->object = object;
    spot->own = own;
    spot->bit = bit;
}

/* Puts the objects in `mask`, of group `g` of the slab in use, at hand. */
ALPS_FN_ void alps_rack_use_(const alps_handle *h, alps_rack *rack, unsigned g,
                             uint64_t mask)
{
    rack->group = g;
    rack->mask = mask;
    rack->own = &alps_slab_pairs_(rack->slab)[g].own;
    rack->size = rack->slab->size;
    rack->base = (char *)alps_address_(h, rack->place) + 64 * g * rack->size;
}

/* Takes an object off those at hand; 0 where there is none. */
ALPS_FAST_ int alps_rack_take_(alps_rack *rack, alps_spot *spot)
{
    const alps_spot *top = rack->top;
    uint64_t mask = rack->mask;
    if (top->object) {
        *spot = *top;
        rack->top--;
        return 1;
    }
    if (!mask)
        return 0;
    spot->bit = alps_low_bit_(mask);
    spot->object = rack->base + spot->bit * rack->size;
    spot->own = rack->own;
    rack->mask = mask & (mask - 1);
    return 1;
}

/* Forgets the objects at hand that are of slab `s`. */
ALPS_FN_ void alps_rack_purge_(const alps_handle *h, alps_rack *rack,
                               const alps_slab *s)
{
    alps_spot *kept = rack->bottom;
    for (alps_spot *spot = kept + 1; spot <= rack->top; spot++)
        if ((uintptr_t)spot->own - (uintptr_t)s >= h->at.head)
            *++kept = *spot;
    rack->top = kept;
}

/* The rack has no slab in use. */
ALPS_FN_ void alps_rack_clear_(alps_rack *rack)
{
    rack->slab = NULL;
    rack->place = 0;
    rack->mask = 0;
}

/* Asks those who free in a slab of this thread to tell, and looks for what they
 * freed before they could know. Who frees looks at `full` after that, so one of
 * the two sees the other. */
ALPS_FN_ int alps_slab_ask_(const alps_handle *h, alps_slab *s)
{
    (void)__atomic_exchange_n(&s->full, 1, __ATOMIC_SEQ_CST);
    return alps_slab_room_(h, s);
}

/* A full slab of this thread has a free object again. */
ALPS_FN_ void alps_rack_refound_(const alps_handle *h, alps_rack *rack,
                                 alps_slab *s, alps_off place)
{
    alps_list_drop_(h, &rack->full, place);
    alps_list_push_(h, &rack->partial, place);
    s->where = ALPS_PARTIAL;
    alps_store_(&s->full, 0);
}

/* Looks at all full slabs of the rack: a process has died, perhaps before it
 * told what it freed. */
ALPS_FN_ void alps_rack_review_(const alps_handle *h, alps_rack *rack)
{
    for (alps_off place = rack->full, next; place; place = next) {
        alps_slab *s = alps_slab_head_(h, place);
        next = s->next;
        if (alps_slab_ask_(h, s))
            alps_rack_refound_(h, rack, s, place);
    }
}

/* Gives back the slabs of a rack that have no object; answers how many. Under
 * the lock. */
ALPS_CORE_ uint64_t alps_rack_trim_(alps_handle *h, alps_cache *c,
                                    unsigned kind, const alps_tables *t)
{
    alps_rack *rack = &c->rack[kind];
    uint64_t n = 0;
    alps_off place;
    rack->top = rack->bottom;
    alps_rack_review_(h, rack);
    place = rack->partial;
    while (place) {
        alps_slab *s = alps_slab_head_(h, place);
        alps_off next = s->next;
        if (alps_slab_empty_(h, s)) {
            if (s->where == ALPS_EMPTY)
                alps_empty_add_(h, c->lane, ~0ull);
            alps_list_drop_(h, &rack->partial, place);
            alps_claim_end_(h, place, t);
            n++;
        }
        place = next;
    }
    if (rack->slab && alps_slab_empty_(h, rack->slab)) {
        place = rack->place;
        alps_rack_clear_(rack);
        alps_claim_end_(h, place, t);
        n++;
    }
    return n;
}

/* The same for all of this thread's. */
ALPS_CORE_ uint64_t alps_thread_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    for (unsigned kind = 0; seat && kind < ALPS_KINDS; kind++)
        n += alps_rack_trim_(h, seat->cache, kind, t);
    return n;
}

/* Lets an object of this thread go that a release held back until its
 * retirement was durable, which it is; 0 if there is none. */
ALPS_FN_ alps_off alps_pending_end_(alps_handle *h, alps_lane *lane,
                                    alps_object *o)
{
    alps_off off = alps_load_(&lane->pending);
    if (!off || alps_object_at_(h, off, o) != 1)
        return 0;
    alps_store_(&o->keep->own, alps_load_(&o->keep->own) ^ o->bit);
    ALPS_BARRIER_();
    alps_store_(&lane->pending, 0);
    return off;
}

/* Ends the part of a thread: its cache is given back, its lane is free. */
ALPS_CORE_ void alps_thread_leave_(alps_cache *c, const alps_tables *t)
{
    alps_handle *h = c->handle;
    if (!h || !c->token || !alps_self_(h))
        return; // the child of a fork has found it emptied
    unsigned number = (unsigned)(c->lane - h->lanes);
    alps_object o;
    if (h->drafts[number].thread)
        t->slow(h, ALPS_SLOW_ABORT, number, 0);
    if (c->lane->pending && t->fence(&h->map) == ALPS_OK)
        alps_pending_end_(h, c->lane, &o);
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_rack *rack = &c->rack[kind];
        if (rack->slab)
            rack->slab->next = 0;
        alps_thread_let_go_(h, rack->place, t);
        alps_thread_let_go_(h, rack->partial, t);
        alps_thread_let_go_(h, rack->full, t);
    }
    if (alps_load_(&c->lane->limbo)) {
        alps_lock_(h, t);
        alps_limbo_close_(h, c->lane);
        alps_unlock_(h);
    }
    c->token = 0;
    uintptr_t self = ALPS_THREAD_();
    const alps_seat *seat = alps_seat_find_(h, self);
    if (seat && seat->cache == c)
        alps_seat_set_(h, self, self, NULL);
    alps_lane_free_(h, c->lane);
}

/* Ends the part of all threads of this process, none of which runs. */
ALPS_CORE_ void alps_threads_leave_(alps_handle *h, const alps_tables *t)
{
    alps_cache *c = alps_caches_(h);
    for (unsigned i = 0; i < alps_lanes_owned_(h); i++)
        if (alps_load_(&h->lanes[i].lock) == alps_self_(h))
            alps_thread_leave_(&c[i], t);
    for (unsigned i = alps_lanes_owned_(h); i < h->at.lane_count; i++)
        if (alps_load_(&h->local->borrowed) && h->drafts[i].thread)
            t->slow(h, ALPS_SLOW_ABORT, i, 0);
}

/* lane.h -- records that make two stores one
 *
 * A publish changes a code and a word of the program, a release as well. What
 * is going to happen is first written as one line into the ring of a lane; once
 * a fence has made it durable it *will* happen, by the operation itself or by
 * recovery. The lane's retire word then says so; it is written back, and needs
 * no fence of its own: see docs/design.md. A lane belongs to one thread, or to
 * one operation, so no two threads share a fence or a line. */

/* The checksum of a record: the sum, and its complement. */
ALPS_FN_ uint64_t alps_record_check_(const alps_handle *h, const alps_record *r)
{
    uint32_t crc = h->super->crc;
    crc = alps_crc32c_(h->crc, crc, r, offsetof(alps_record, check));
    return (uint64_t)crc << 32 | (uint32_t)~crc;
}

/* Whether the record is to be redone. By the one store that begins a new epoch,
 * recovery retires all records at once, in whatever order words of lanes would
 * reach the medium. */
ALPS_FN_ int alps_record_live_(const alps_handle *h, unsigned lane,
                               const alps_record *r)
{
    int new_one = (r->op & 15) == ALPS_OP_COMMIT
                      ? r->value >> ALPS_NUMBER_SHIFT_ > h->done[lane].tx
                      : r->seq > h->done[lane].seq;
    return new_one && r->epoch == alps_load_(&h->super->epoch) &&
           r->check == alps_record_check_(h, r);
}

/* The number of the next record of the lane. Records that can be live together
 * after a crash and concern one word are in order: with lines no two such are,
 * because who hands over a block or a word makes the retirement of its own
 * record durable by that; with pages one count serves all lanes. */
ALPS_FN_ uint64_t alps_record_seq_(alps_handle *h, alps_lane *lane)
{
    uint64_t seq = alps_load_(&lane->seq) + 1;
    if (h->map.persist == ALPS_PERSIST_MSYNC)
        seq = __atomic_add_fetch(&h->shared->seq, 1, __ATOMIC_SEQ_CST);
    alps_store_(&lane->seq, seq);
    return seq;
}

/* Makes the record durable. One fence. */
ALPS_FAST_ int alps_record_write_(alps_handle *h, alps_lane *lane,
                                  alps_record *r, const alps_tables *t)
{
    r->epoch = alps_load_(&h->super->epoch);
    r->check = alps_record_check_(h, r);
    alps_record *to = &lane->ring[lane->next++ % ALPS_RING];
    int err = t->policy->stream(&h->map, to, r);
    return err ? err : t->fence(&h->map);
}

/* The lane's records up to `seq` have been carried out: durably with the next
 * fence. */
ALPS_FAST_ int alps_record_done_(alps_handle *h, alps_lane *lane, uint64_t seq,
                                 const alps_tables *t)
{
    alps_done *done = &h->done[lane - h->lanes];
    ALPS_BARRIER_();
    alps_store_(&done->seq, seq);
    return t->policy->flush(&h->map, done, sizeof done->seq);
}

/* The same, durably before another thread can contradict it. Not fenced: until
 * it is durable, doing them again does no harm. */
ALPS_FAST_ int alps_record_retire_(alps_handle *h, alps_lane *lane,
                                   uint64_t seq, const alps_tables *t)
{
    int err = alps_record_done_(h, lane, seq, t);
    return err ? err : t->policy->settle(&h->map);
}

/* Whether the word at `off` may be a destination: in the root area, in the
 * heap, or the one that names are found by. */
ALPS_FN_ int alps_dest_valid_(const alps_handle *h, alps_off off)
{
    if (off == offsetof(alps_superblock, names))
        return 1;
    if (off - ALPS_PLEDGES < ALPS_LINE * ALPS_PLEDGE_MAX)
        return off % ALPS_LINE == offsetof(alps_pledge, block);
    return off % sizeof(alps_off) == 0 && off >= ALPS_PAGE &&
           (off + sizeof(alps_off) <= ALPS_PAGE + ALPS_ROOT_SIZE ||
            off >= h->at.heap) &&
           off < alps_size_(h) && alps_size_(h) - off >= sizeof(alps_off);
}

/* The transaction that this thread has open on a lane that it does not own; or
 * NULL. */
ALPS_COLD_ alps_draft *alps_lane_borrowed_(const alps_handle *h)
{
    if (!h->local || !alps_load_(&h->local->borrowed))
        return NULL;
    for (unsigned i = alps_lanes_owned_(h); i < h->at.lane_count; i++)
        if (alps_draft_is_(&h->drafts[i], ALPS_THREAD_()))
            return &h->drafts[i];
    return NULL;
}

/* Takes a lane for this operation: the thread's own, or one of those that
 * nobody owns. */
ALPS_FAST_ alps_lane *alps_lane_take_(alps_handle *h, const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    if (ALPS_LIKELY_(c != NULL))
        return c->lane;
    unsigned owned = alps_lanes_owned_(h);
    unsigned n = h->at.lane_count - owned;
    uint64_t hash = (uint64_t)ALPS_THREAD_() >> 12;
    const alps_draft *o = alps_lane_borrowed_(h);
    for (unsigned i = 0; !o; i++) {
        alps_lane *lane = &h->lanes[owned + (hash + i) % n];
        if (!alps_load_(&lane->lock) &&
            alps_lock_try_(&lane->lock, alps_self_(h)))
            return lane;
        if (i % n == n - 1)
            t->slow(h, ALPS_SLOW_LANES, i / n, 0);
    }
    return o->lane;
}

ALPS_FN_ void alps_lane_leave_(alps_lane *lane)
{
    if (!alps_load_(&lane->token))
        alps_lock_leave_(&lane->lock);
}

/* Whether the contents that a publish meant are there. A block already marked
 * used tells that its first fence had completed. */
ALPS_FN_ int alps_redo_whole_(const alps_handle *h, const alps_record *r,
                              const alps_zone *z, unsigned code)
{
    return code == ALPS_USED || !(r->op & ALPS_OP_SUMMED) ||
           alps_crc32c_(h->crc, 0, alps_address_(h, r->block),
                        r->units << z->shift) == r->crc;
}

/* Marks `units` at `unit` used, whatever of it had reached the medium. */
ALPS_CORE_ int alps_redo_mark_(alps_handle *h, const alps_zone *z,
                               uint64_t unit, uint64_t units,
                               const alps_tables *t)
{
    uint64_t next = unit + units;
    alps_code_set_(z->codes, unit, ALPS_USED);
    alps_code_clear_(z->codes, unit + 1, next);
    if (next < z->end && alps_code_(z->codes, next) == ALPS_INSIDE)
        alps_code_set_(z->codes, next, ALPS_FREE);
    return alps_codes_flush_(h, z, unit, units, t);
}

/* Where the contents are that a record publishes, and how many bytes; 0 where
 * it does not, or is damaged. */
ALPS_FN_ uint64_t alps_redo_contents_(const alps_handle *h,
                                      const alps_record *r)
{
    alps_block b;
    alps_object o;
    if ((r->op & 15) != ALPS_OP_PUBLISH)
        return 0;
    int is = alps_object_at_(h, r->block, &o);
    if (is)
        return is == 1 ? alps_kind_size_(o.kind) : 0;
    if (alps_block_at_(h, r->block, &b) < 0 ||
        r->units - 1 >= b.zone.end - b.unit)
        return 0;
    return r->units << b.zone.shift;
}

/* Writes back a live record and what it publishes: who wrote it may have been
 * killed before its fence, and power fail only now. */
ALPS_CORE_ int alps_redo_prepare_(alps_handle *h, const alps_record *r,
                                  const alps_tables *t)
{
    uint64_t n = alps_redo_contents_(h, r);
    int err = t->policy->flush(&h->map, r, sizeof *r);
    if (!err && n)
        err = t->policy->flush(&h->map, alps_address_(h, r->block), (size_t)n);
    return err;
}

/* Whether the record has no word to store to, or a sane one. */
ALPS_FN_ int alps_redo_sane_(const alps_handle *h, const alps_record *r)
{
    return (r->op & ALPS_OP_WORDLESS) || alps_dest_valid_(h, r->dest);
}

/* Stores to the word, if there is one; a release does where it still names what
 * is released. Who reads without a lock finds what it names as it was
 * before. */
ALPS_FN_ void alps_redo_store_(const alps_handle *h, const alps_record *r)
{
    uint64_t *dest = (uint64_t *)alps_address_(h, r->dest);
    if (r->op & ALPS_OP_WORDLESS ||
        ((r->op & 15) == ALPS_OP_RELEASE && alps_load_(dest) != r->block))
        return;
    __atomic_store_n(dest, r->value, __ATOMIC_RELEASE);
}

/* Writes the word back. */
ALPS_CORE_ int alps_redo_word_(alps_handle *h, const alps_record *r,
                               const alps_tables *t)
{
    return r->op & ALPS_OP_WORDLESS
               ? ALPS_OK
               : t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
}

/* Carries out the live record of an object, again or for the first time. Live
 * already: the first fence had completed. */
ALPS_CORE_ int alps_redo_small_(alps_handle *h, const alps_record *r,
                                const alps_tables *t)
{
    alps_object o;
    if (!alps_redo_sane_(h, r) || alps_object_at_(h, r->block, &o) != 1)
        return ALPS_OK;
    int live = alps_object_live_(&o);
    if ((r->op & 15) == ALPS_OP_PUBLISH) {
        if (!live && r->op & ALPS_OP_SUMMED &&
            alps_crc32c_(h->crc, 0, alps_address_(h, r->block),
                         alps_kind_size_(o.kind)) != r->crc)
            return ALPS_OK;
    }
    if (live != ((r->op & 15) == ALPS_OP_PUBLISH))
        alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
    alps_redo_store_(h, r);
    int err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    return err ? err : alps_redo_word_(h, r, t);
}

/* Settles the live record of a process that died while others went on, outside
 * the lock: it was carried out as a whole or not at all. What it may have
 * changed is written back as it is now; nothing is done again, because the
 * others may have gone further. */
ALPS_CORE_ int alps_redo_settle_(alps_handle *h, const alps_record *r,
                                 const alps_tables *t)
{
    alps_block b;
    alps_object o;
    int err = ALPS_OK;
    if (!alps_redo_sane_(h, r))
        return ALPS_OK;
    if (r->op & ALPS_OP_SMALL) {
        if (alps_object_at_(h, r->block, &o) != 1)
            return ALPS_OK;
        err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    } else if ((r->op & 15) != ALPS_OP_SET) {
        if (alps_block_at_(h, r->block, &b) < 0 ||
            r->units - 1 >= b.zone.end - b.unit)
            return ALPS_OK;
        err = alps_codes_flush_(h, &b.zone, b.unit, r->units, t);
    }
    return err ? err : alps_redo_word_(h, r, t);
}

/* Carries out a live record, again or for the first time; what is damaged in
 * it is left alone. A released block is left ALPS_HELD, named in the lane. */
ALPS_CORE_ int alps_redo_(alps_handle *h, alps_lane *lane, const alps_record *r,
                          const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    alps_object o;
    if (r->op & ALPS_OP_SMALL)
        return alps_redo_small_(h, r, t);
    if (alps_object_at_(h, r->block, &o))
        return ALPS_OK;
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int code = alps_block_at_(h, r->block, &b);
    if (code < 0 || !alps_redo_sane_(h, r) ||
        b.level != !!(r->op & ALPS_OP_LARGE) ||
        r->units - 1 >= b.zone.end - b.unit)
        return ALPS_OK;
    if (publish && !alps_redo_whole_(h, r, &b.zone, (unsigned)code))
        return ALPS_OK;
    if (publish) {
        err = alps_redo_mark_(h, &b.zone, b.unit, r->units, t);
    } else {
        if (code == ALPS_USED) {
            alps_store_(&lane->held, r->block);
            alps_code_set_(b.zone.codes, b.unit, ALPS_HELD);
        }
        err = alps_codes_flush_(h, &b.zone, b.unit, 1, t); // also of a dead one
    }
    alps_redo_store_(h, r);
    return err ? err : alps_redo_word_(h, r, t);
}

/* log.h -- what a transaction has written down
 *
 * Lines in chunks of the heap, which are reservations of this process. Each
 * line says by its `seq` which transaction it is of, and by its `check` that it
 * is whole, so a log is read as far as it goes; the last line of a chunk that
 * is full says where it goes on. The first line of a chunk is index: the place
 * of the chunk before. */

/* Bytes of the first chunk, which is an object or a block, and at most. */
#ifndef ALPS_LOG_FIRST
#  define ALPS_LOG_FIRST 1024u
#endif
#ifndef ALPS_LOG_MOST
#  define ALPS_LOG_MOST (1u << 20)
#endif

/* The line at `off`, if it is a whole one of transaction `number`. */
ALPS_FN_ const alps_record *alps_log_line_(const alps_handle *h, alps_off off,
                                           uint64_t number)
{
    if (off < h->at.heap || off % ALPS_LINE || off >= alps_size_(h))
        return NULL;
    const alps_record *r = (const alps_record *)alps_address_(h, off);
    return r->seq == number && r->epoch == alps_load_(&h->super->epoch) &&
                   r->check == alps_record_check_(h, r)
               ? r
               : NULL;
}

/* The line at `*off`, or where the log goes on from there; `*off` is that place
 * then. NULL: the log ends. */
ALPS_FN_ const alps_record *alps_log_look_(const alps_handle *h, alps_off *off,
                                           uint64_t number)
{
    const alps_record *r = alps_log_line_(h, *off, number);
    if (r && r->op == ALPS_OP_NEXT) {
        *off = r->block;
        r = alps_log_line_(h, *off, number);
    }
    return r && r->op != ALPS_OP_NEXT ? r : NULL;
}

/* The same of the own log, whose lines of actions need not be whole yet. */
ALPS_FN_ alps_record *alps_log_at_(const alps_handle *h, alps_off *off)
{
    alps_record *r = (alps_record *)alps_address_(h, *off);
    if (r->op != ALPS_OP_NEXT)
        return r;
    *off = r->block;
    return (alps_record *)alps_address_(h, *off);
}

/* Makes the line whole. */
ALPS_FN_ void alps_log_seal_(const alps_handle *h, alps_record *r)
{
    r->epoch = alps_load_(&h->super->epoch);
    r->check = alps_record_check_(h, r);
}

/* Writes a line, or what follows one, durably with the next fence. */
ALPS_CORE_ int alps_log_put_(alps_handle *h, alps_off off, const void *line,
                             const alps_tables *t)
{
    return t->policy->stream(&h->map, alps_address_(h, off), line);
}

/* Reserves a chunk: of `bytes`, or less where they are not to be had, but of
 * `least`. */
ALPS_CORE_ int alps_log_reserve_(alps_handle *h, uint64_t bytes, uint64_t least,
                                 alps_log *to, const alps_tables *t)
{
    void *p = NULL;
    for (;; bytes /= 2) {
        to->bytes = bytes < least ? least : bytes / ALPS_LINE * ALPS_LINE;
        int err =
            t->slow(h, ALPS_SLOW_RESERVE, to->bytes, (uint64_t)(uintptr_t)&p);
        if (!err)
            break;
        if (bytes <= least || err != ALPS_EFULL)
            return err;
    }
    to->chunk = alps_offset_(h, p);
    return ALPS_OK;
}

/* Goes on in another chunk, as large as all before it. */
ALPS_CORE_ int alps_log_more_(alps_handle *h, alps_log *log, uint64_t n,
                              uint64_t number, const alps_tables *t)
{
    alps_log to;
    alps_record next;
    uint64_t most =
        h->at.extent / 2 < ALPS_LOG_MOST ? h->at.extent / 2 : ALPS_LOG_MOST;
    uint64_t bytes = log->first ? log->all : ALPS_LOG_FIRST;
    int err = alps_log_reserve_(h, bytes < most ? bytes : most,
                                n + 2 * sizeof next, &to, t);
    if (err)
        return err;
    to.all = log->all + to.bytes;
    *(alps_off *)alps_address_(h, to.chunk) = log->first ? log->chunk : 0;
    to.at = to.chunk + ALPS_LINE;
    to.end = to.chunk + to.bytes - sizeof next;
    to.first = log->first ? log->first : to.at;
    if (log->first) {
        memset(&next, 0, sizeof next);
        next.seq = number;
        next.op = ALPS_OP_NEXT;
        next.block = to.at;
        alps_log_seal_(h, &next);
        err = alps_log_put_(h, log->at, &next, t);
    }
    *log = to;
    return err;
}

/* Sees to room for `n` bytes of lines in one chunk. A line more is always
 * left: that which says where the log goes on. */
ALPS_FAST_ int alps_log_room_(alps_handle *h, alps_log *log, uint64_t n,
                              uint64_t number, const alps_tables *t)
{
    return ALPS_LIKELY_(log->end - log->at >= n)
               ? ALPS_OK
               : alps_log_more_(h, log, n, number, t);
}

/* Gives the chunks back. */
ALPS_CORE_ void alps_log_drop_(alps_handle *h, alps_log *log,
                               const alps_tables *t)
{
    while (log->first && log->chunk) {
        alps_off before = *(const alps_off *)alps_address_(h, log->chunk);
        t->slow(h, ALPS_SLOW_CANCEL, log->chunk, 0);
        log->chunk = before;
    }
    memset(log, 0, sizeof *log);
}

/* undo.h -- bytes as they were
 *
 * Before a program changes a range by plain stores it is copied to a log, a
 * line in front of it, durably; with the first the lane's mark says so. Whoever
 * ends a transaction that was not committed puts them back, the last first:
 * the first copy of a byte is the one from before. See docs/transactions.md. */

/* Bytes behind one line, at most. */
#ifndef ALPS_UNDO_MOST
#  define ALPS_UNDO_MOST 16384u
#endif

/* Whether [off, off + n) is memory of the program: root area or heap. */
ALPS_FN_ int alps_undo_covers_(const alps_handle *h, alps_off off, uint64_t n)
{
    uint64_t end = alps_size_(h);
    if (off < h->at.heap) {
        end = ALPS_PAGE + ALPS_ROOT_SIZE;
        if (off < ALPS_PAGE)
            return 0;
    }
    return off < end && n <= end - off;
}

/* Whether lane `i` has something to undo, unless it is committed. */
ALPS_FN_ int alps_undo_live_(const alps_handle *h, unsigned i)
{
    const alps_record *mark = &h->lanes[i].mark;
    return mark->op == ALPS_OP_UNDO &&
           (mark->seq & ((1u << ALPS_NUMBER_SHIFT_) - 1)) == i &&
           mark->seq >> ALPS_NUMBER_SHIFT_ > alps_load_(&h->done[i].tx) &&
           mark->epoch == alps_load_(&h->super->epoch) &&
           mark->check == alps_record_check_(h, mark);
}

/* The line of bytes at `*off`, if it and they are whole. */
ALPS_FN_ const alps_record *alps_undo_look_(const alps_handle *h, alps_off *off,
                                            uint64_t number)
{
    const alps_record *r = alps_log_look_(h, off, number);
    if (!r || r->op != ALPS_OP_UNDO || r->units > ALPS_UNDO_MOST ||
        r->units > alps_size_(h) - *off - sizeof *r ||
        !alps_undo_covers_(h, r->dest, r->units) ||
        alps_crc32c_(h->crc, 0, r + 1, r->units) != r->crc)
        return NULL;
    return r;
}

/* How far a line reaches with the bytes behind it. */
ALPS_FN_ uint64_t alps_undo_length_(uint64_t n)
{
    return sizeof(alps_record) + alps_round_up_(n, ALPS_LINE);
}

/* Writes back the ranges as they are now. */
ALPS_CORE_ int alps_undo_flush_(alps_handle *h, const alps_draft *o,
                                const alps_tables *t)
{
    int err = ALPS_OK;
    for (alps_off off = o->last; off && !err;) {
        const alps_record *r = (const alps_record *)alps_address_(h, off);
        err = t->policy->flush(&h->map, alps_address_(h, r->dest),
                               (size_t)r->units);
        off = r->block;
    }
    return err;
}

/* Puts the bytes back that the log from `first` on has: durably with the next
 * fence. */
ALPS_CORE_ int alps_undo_restore_(alps_handle *h, alps_off first,
                                  uint64_t number, const alps_tables *t)
{
    const alps_record *r;
    alps_off off = first, last = 0;
    uint64_t n = 0, most = alps_size_(h) / ALPS_LINE;
    int err = ALPS_OK;
    while (n < most && (r = alps_undo_look_(h, &off, number)) != NULL) {
        last = off;
        off += alps_undo_length_(r->units);
        n++;
    }
    while (!err && n-- && (r = alps_undo_look_(h, &last, number)) != NULL) {
        void *to = alps_address_(h, r->dest);
        memcpy(to, r + 1, (size_t)r->units);
        err = t->policy->flush(&h->map, to, (size_t)r->units);
        last = r->block;
    }
    return err;
}

/* Copies up to ALPS_UNDO_MOST bytes to the log. */
ALPS_CORE_ int alps_undo_copy_(alps_handle *h, alps_draft *o, alps_off off,
                               uint64_t n, const alps_tables *t)
{
    alps_record r;
    const unsigned char *from = (const unsigned char *)alps_address_(h, off);
    int err = alps_log_room_(h, &o->undo, alps_undo_length_(n), o->number, t);
    if (err)
        return err;
    memset(&r, 0, sizeof r);
    r.seq = o->number;
    r.op = ALPS_OP_UNDO;
    r.crc = alps_crc32c_(h->crc, 0, from, n);
    r.block = o->last;
    r.units = n;
    r.dest = off;
    alps_log_seal_(h, &r);
    o->last = o->undo.at;
    err = alps_log_put_(h, o->undo.at, &r, t);
    for (uint64_t at = 0; at < n && !err; at += ALPS_LINE) {
        alps_record line;
        memset(&line, 0, sizeof line);
        memcpy(&line, from + at, n - at < ALPS_LINE ? n - at : ALPS_LINE);
        err = alps_log_put_(h, o->undo.at + sizeof r + at, &line, t);
    }
    o->undo.at += alps_undo_length_(n);
    return err;
}

/* The lane says from now on that there is something to undo. */
ALPS_CORE_ int alps_undo_mark_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    alps_record r;
    memset(&r, 0, sizeof r);
    r.seq = o->number;
    r.op = ALPS_OP_UNDO;
    r.block = o->undo.first;
    alps_log_seal_(h, &r);
    return t->policy->stream(&h->map, &o->lane->mark, &r);
}

/* commit.h -- the actions of a transaction, carried out
 *
 * By the thread that commits; by recovery, again or for the first time; or for
 * a process that died while others went on. The commit record in the lane's
 * ring decides whether they are; see docs/transactions.md. What is freed is
 * held back until the record is retired. */

/* Whether lane `i` has committed transaction `number`, as its ring has it. */
ALPS_FN_ int alps_commit_is_(const alps_handle *h, unsigned i, uint64_t number)
{
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *r = &h->lanes[i].ring[k];
        if ((r->op & 15) == ALPS_OP_COMMIT && r->value == number &&
            alps_record_live_(h, i, r))
            return 1;
    }
    return 0;
}

/* Whether all that the commit record `c` speaks of is there: then nothing has
 * been carried out, or anything; else nothing, or all. */
ALPS_FN_ int alps_commit_whole_(const alps_handle *h, const alps_record *c)
{
    alps_off off = c->block;
    if (c->units > alps_size_(h) / ALPS_LINE)
        return 0;
    for (uint64_t i = 0; i < c->units; i++, off += ALPS_LINE) {
        alps_block b;
        alps_object o;
        const alps_record *r = alps_log_look_(h, &off, c->value);
        if (!r)
            return 0;
        uint64_t n = r->op & ALPS_OP_SUMMED ? alps_redo_contents_(h, r) : 0;
        if (!n)
            continue;
        int used =
            r->op & ALPS_OP_SMALL
                ? alps_object_at_(h, r->block, &o) == 1 && alps_object_live_(&o)
                : alps_block_at_(h, r->block, &b) == ALPS_USED;
        if (!used &&
            alps_crc32c_(h->crc, 0, alps_address_(h, r->block), n) != r->crc)
            return 0;
    }
    return 1;
}

/* Writes back the record, the lines and what they publish: who wrote them may
 * have been killed before its fence, and power fail only now. */
ALPS_CORE_ int alps_commit_prepare_(alps_handle *h, const alps_record *c,
                                    const alps_tables *t)
{
    alps_off off = c->block;
    int err = t->policy->flush(&h->map, c, sizeof *c);
    uint64_t most = alps_size_(h) / ALPS_LINE;
    for (uint64_t i = 0; i < c->units && most-- && !err;) {
        const alps_record *r = alps_log_line_(h, off, c->value);
        if (!r)
            break;
        err = alps_redo_prepare_(h, r, t);
        off = r->op == ALPS_OP_NEXT ? r->block : off + ALPS_LINE;
        i += r->op != ALPS_OP_NEXT;
    }
    return err;
}

/* Carries out what a line says of an object, unless it was. `own`: we commit,
 * and the object is of our slab if it is `mine`; else its process is dead. What
 * is freed is pinned. */
ALPS_FN_ void alps_commit_object_(const alps_handle *h, const alps_record *r,
                                  const alps_object *o, int own, int mine)
{
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int turn = alps_object_live_(o) != publish;
    if (turn && !publish)
        alps_object_pin_(o, 1);
    if (turn)
        alps_object_turn_(&o->pair->own, &o->pair->far, o->bit, mine);
    alps_redo_store_(h, r);
    if (publish && own)
        alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, mine);
}

/* The same for a block, whose code is `code`. Under the lock of its shard. */
ALPS_FN_ void alps_commit_block_(const alps_handle *h, const alps_record *r,
                                 const alps_block *b, unsigned code)
{
    if ((r->op & 15) == ALPS_OP_PUBLISH) {
        uint64_t entry = alps_held_find_(h, b->shard, r->block);
        if (code == ALPS_HELD)
            alps_code_set_(b->zone.codes, b->unit, ALPS_USED);
        alps_redo_store_(h, r);
        if (entry != ALPS_HELD_NONE_)
            alps_held_drop_(h, b->shard, entry);
        return;
    }
    if (code == ALPS_USED) {
        alps_freed_note_(h, r->block, r->seq);
        alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
    }
    alps_redo_store_(h, r);
}

/* Carries out a line while others work. `own`: as above, and an object is not
 * of our slab; otherwise the lock of the region is held. */
ALPS_CORE_ void alps_commit_line_(alps_handle *h, const alps_record *r, int own,
                                  const alps_tables *t)
{
    alps_object o;
    alps_block b;
    if ((r->op & 15) == ALPS_OP_SET) {
        alps_redo_store_(h, r);
    } else if (r->op & ALPS_OP_SMALL) {
        if (alps_object_at_(h, r->block, &o) == 1)
            alps_commit_object_(h, r, &o, own, 0);
    } else {
        int code = alps_block_lock_(h, r->block, &b, !own, t);
        if (code < 0)
            return;
        alps_commit_block_(h, r, &b, (unsigned)code);
        alps_held_fold_(h, b.shard, t);
        alps_block_unlock_(&b);
    }
}

/* Recovery carries out the live commit record `c`, if it is whole. */
ALPS_CORE_ int alps_commit_redo_(alps_handle *h, alps_lane *lane,
                                 const alps_record *c, const alps_tables *t)
{
    alps_off off = c->block;
    int err = ALPS_OK;
    if (!alps_commit_whole_(h, c))
        return ALPS_OK;
    for (uint64_t i = 0; i < c->units && !err; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_look_(h, &off, c->value);
        if ((r->op & 15) != ALPS_OP_SET) {
            err = alps_redo_(h, lane, r, t);
        } else if (alps_redo_sane_(h, r)) {
            alps_redo_store_(h, r);
            err = alps_redo_word_(h, r, t);
        }
    }
    return err;
}

/* Carries on with it for a process that died while others go on. What it had
 * done is not done again. */
ALPS_CORE_ int alps_commit_go_on_(alps_handle *h, alps_lane *lane,
                                  const alps_record *c, const alps_tables *t)
{
    const alps_record *r;
    alps_off off = c->block;
    int err = ALPS_OK;
    for (uint64_t i = 0; i < c->units && !err; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, c->value);
        if (!r)
            break;
        if (i + 1 >= alps_load_(&lane->apply)) {
            alps_commit_line_(h, r, 0, t);
            ALPS_BARRIER_();
            alps_store_(&lane->apply, i + 2);
        }
        err = alps_redo_settle_(h, r, t);
    }
    return err;
}

/* What is to be done with a commit record of the dead. */
enum {
    ALPS_COMMIT_PREPARE_ = 0,
    ALPS_COMMIT_REDO_ = 1, /* all are dead */
    ALPS_COMMIT_GO_ON_ = 2 /* others go on */
};

/* Does that, for whoever asks by the slow path. */
ALPS_CORE_ int alps_commit_slow_(alps_handle *h, const alps_record *c,
                                 uint64_t what, const alps_tables *t)
{
    uint64_t in = (uint64_t)((uintptr_t)c - (uintptr_t)h->lanes);
    alps_lane *lane = &h->lanes[in / sizeof(alps_lane)];
    if (what == ALPS_COMMIT_PREPARE_)
        return alps_commit_prepare_(h, c, t);
    return what == ALPS_COMMIT_REDO_ ? alps_commit_redo_(h, lane, c, t)
                                     : alps_commit_go_on_(h, lane, c, t);
}

ALPS_CORE_ int alps_commit_ask_(alps_handle *h, const alps_record *c,
                                uint64_t what, const alps_tables *t)
{
    return t->slow(h, ALPS_SLOW_COMMIT, (uint64_t)(uintptr_t)c, what);
}

/* Completes the action that a lane may have been at under the lock of `s` when
 * its process died, if that is what it was at: durably, before anybody can go
 * further. */
ALPS_CORE_ int alps_commit_complete_(alps_handle *h, alps_lane *lane,
                                     const alps_record *c, const alps_shard *s,
                                     const alps_tables *t)
{
    alps_block b;
    alps_off off = c->block;
    uint64_t at = alps_load_(&lane->apply) - 1;
    const alps_record *r = NULL;
    if (at >= c->units)
        return ALPS_OK;
    for (uint64_t i = 0; i <= at; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, c->value);
        if (!r)
            return ALPS_OK;
    }
    if (r->op & ALPS_OP_SMALL || (r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    int code = alps_block_at_(h, r->block, &b);
    if (code < ALPS_USED || b.shard != s)
        return ALPS_OK;
    int err = alps_commit_ask_(h, c, ALPS_COMMIT_PREPARE_, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    alps_commit_block_(h, r, &b, (unsigned)code);
    err = alps_redo_settle_(h, r, t);
    if (!err)
        err = t->fence(&h->map);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, at + 2);
    return err;
}

/* Lets go of a block that was freed: the commit record is retired. */
ALPS_CORE_ void alps_commit_give_(alps_handle *h, alps_off off, int inner,
                                  const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, inner, t);
    if (code == ALPS_HELD && alps_freed_is_(h, off)) {
        alps_freed_note_(h, off, 0);
        alps_give_back_(h, &b);
    }
    if (code >= 0)
        alps_block_unlock_(&b);
}

/* Lets go of what the lane of a dead process held back. Under the lock. */
ALPS_CORE_ void alps_commit_reap_(alps_handle *h, alps_lane *lane,
                                  const alps_tables *t)
{
    alps_object o;
    const alps_record *r;
    alps_off off = alps_load_(&lane->log);
    uint64_t number = alps_load_(&lane->freeing);
    if (number >> ALPS_NUMBER_SHIFT_ > alps_load_(&h->done[lane - h->lanes].tx))
        number = 0; // it was not committed
    for (uint64_t i = 0; number; i++, off += ALPS_LINE) {
        r = alps_log_look_(h, &off, number);
        if (!r)
            break;
        if (i < alps_load_(&lane->given) || (r->op & 15) != ALPS_OP_RELEASE)
            continue;
        if (!(r->op & ALPS_OP_SMALL)) {
            t->slow(h, ALPS_SLOW_GIVE, r->block, 1);
        } else if (alps_object_at_(h, r->block, &o) == 1 &&
                   !alps_object_live_(&o)) {
            alps_object_pin_(&o, 0);
            if (!alps_slab_tell_(h, o.slab, r->block))
                t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, r->block), 0);
        }
        ALPS_BARRIER_();
        alps_store_(&lane->given, i + 1);
    }
    alps_store_(&lane->freeing, 0);
}

/* Puts back what was stored by transactions that the lanes of `owner` (0: all)
 * did not come to commit. Counts them. */
ALPS_CORE_ int alps_commit_undo_(alps_handle *h, uint64_t owner, uint64_t *n,
                                 const alps_tables *t)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < h->at.lane_count; i++) {
        const alps_lane *lane = &h->lanes[i];
        if ((owner && alps_load_(&lane->lock) != owner) ||
            !alps_undo_live_(h, i) || alps_commit_is_(h, i, lane->mark.seq))
            continue;
        err = t->slow(h, ALPS_SLOW_RESTORE, lane->mark.block, lane->mark.seq);
        ++*n;
    }
    return err;
}

/* mend.h -- a lock of a shard that its owner died with
 *
 * Who waits for it takes it over, with an index that may be half changed, a
 * record that may be half carried out, and words of lanes and of the table of
 * reservations that may be ahead of the codes or behind them. All of that is
 * put right here, under that lock, and none of it can be of another shard. */

/* Writes back where the region ends, and where its extents and slabs are: what
 * is changed under locks. Not the kinds of extents: who uses one writes that
 * back. */
ALPS_CORE_ int alps_marks_flush_(alps_handle *h, const alps_tables *t)
{
    uint64_t end =
        alps_size_(h) < h->at.slab_end ? alps_size_(h) : h->at.slab_end;
    uint64_t extents = alps_extents_(h);
    int err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->policy->flush(&h->map, h->codes, extents / 4 + 1);
    if (!err)
        err = t->policy->flush(&h->map, h->slabs,
                               (end >> h->at.slab_shift) / 8 + 1);
    return err;
}

/* What a lane was cutting loose, see link.h, is held back for readers and not
 * for the lane: it was noted before anything else. Under the lock of `s`. */
ALPS_FN_ void alps_lane_retire_(const alps_handle *h, alps_lane *lane,
                                alps_shard *s, alps_off off)
{
    const alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (!c || !c->count || c->count > ALPS_CHUNK ||
        c->thing[c->count - 1] != off)
        return;
    if (alps_held_slot_(h, s, off) < 0 && !alps_held_full_(s))
        alps_held_add_(h, s, off, ALPS_HELD_LIMBO_);
    ALPS_BARRIER_();
    alps_store_(&lane->held, 0);
}

/* Completes the record that a lane was carrying out under the lock of `s` when
 * its process died: it is retired before anybody can go further. */
ALPS_CORE_ int alps_lane_complete_(alps_handle *h, alps_lane *lane,
                                   alps_shard *s, const alps_tables *t)
{
    unsigned number = (unsigned)(lane - h->lanes);
    int err = ALPS_OK;
    for (unsigned k = 0; !err && k < ALPS_RING; k++) {
        const alps_record *r = &lane->ring[k];
        alps_block b;
        if ((r->op & 15) == ALPS_OP_COMMIT) {
            if (alps_record_live_(h, number, r))
                err = alps_commit_complete_(h, lane, r, s, t);
            continue;
        }
        if (r->op & ALPS_OP_SMALL || !alps_record_live_(h, number, r) ||
            alps_block_at_(h, r->block, &b) < 0 || b.shard != s)
            continue;
        err = alps_redo_prepare_(h, r, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            err = alps_redo_(h, lane, r, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            err = alps_record_done_(h, lane, r->seq, t);
        if (!err)
            err = t->fence(&h->map);
        if (!err)
            alps_lane_retire_(h, lane, s, r->block);
        if (!err)
            alps_store_(&lane->apply, 0);
    }
    return err;
}

/* A lane of a dead process names a block of `s` as held that is not, because it
 * died before it was or after: forgets it. */
ALPS_FN_ void alps_lane_mend_(const alps_handle *h, alps_lane *lane,
                              const alps_shard *s)
{
    alps_block b;
    alps_object o;
    alps_off off = alps_load_(&lane->held);
    if (!off || alps_object_at_(h, off, &o) == 1)
        return;
    int code = alps_block_at_(h, off, &b);
    if (code >= 0 && code != ALPS_HELD && b.shard == s)
        alps_store_(&lane->held, 0);
}

/* Forgets reservations of what is not held, and counts the others anew. */
ALPS_FN_ void alps_held_mend_(const alps_handle *h, alps_shard *s)
{
    uint64_t *table = alps_held_table_(h, s);
    uint64_t used = 0, mask = (1ull << alps_held_shift_(s)) - 1;
    for (uint64_t i = 0; i <= mask; i++) {
        alps_block b;
        if (table[i] > ALPS_HELD_GONE_ &&
            alps_block_at_(h, (table[i] >> 16) * ALPS_GRANULE, &b) != ALPS_HELD)
            table[i] = ALPS_HELD_GONE_;
        used += table[i] != ALPS_HELD_EMPTY_;
    }
    s->held_used = used;
    for (uint64_t i = 0; i <= mask; i++)
        alps_held_clear_(s, table, mask, i);
}

/* The lock of `s`, which we have, comes from the dead `owner` with an index
 * that may be half changed: it is void. What was begun under the lock is
 * completed or undone; what else the dead one left is for alps_reap_. */
ALPS_CORE_ int alps_shard_mend_(alps_handle *h, alps_shard *s, uint64_t owner,
                                const alps_tables *t)
{
    alps_index_reset_(s);
    int err = alps_marks_flush_(h, t);
    if (!err)
        err = t->fence(&h->map);
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (alps_load_(&lane->lock) != owner)
            continue;
        if (!err && alps_load_(&lane->apply))
            err = alps_lane_complete_(h, lane, s, t);
        alps_lane_mend_(h, lane, s);
    }
    alps_held_mend_(h, s);
    alps_store_(&h->shared->cursor, 0);
    if (s != h->top) { // a table of reservations may have been about to move
        alps_shard_lock_(h, h->top, 1, t);
        alps_index_reset_(h->top);
        alps_shard_unlock_(h->top);
    }
    return err;
}

/* Takes the locks of shards over that the dead `owner` has. */
ALPS_CORE_ int alps_shards_reap_(alps_handle *h, uint64_t owner,
                                 const alps_tables *t)
{
    int err = ALPS_OK;
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        uint64_t was = owner;
        if (owner == alps_self_(h) || alps_load_(&s->lock) != owner ||
            !__atomic_compare_exchange_n(&s->lock, &was, alps_self_(h), 0,
                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        int late = t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, owner);
        err = err ? err : late;
        alps_shard_unlock_(s);
    }
    return err;
}

/* recover.h -- what is done for those who died
 *
 * After a crash the first opener redoes the live records of all lanes, oldest
 * first; nothing else is read, so it takes the same time for a large region.
 * When one process of several dies, whoever meets its lock or its lanes does
 * the same for those lanes, and gives back what the dead one held. A death in
 * here leaves it to the next. */

/* Where the live record of the lanes of `owner` (0: of all) is that comes next
 * after the one with the order `*order`, and its order; NULL: there is none
 * left. Records come by sequence; those of one sequence, of lanes that each
 * count for themselves, by lane. */
ALPS_FN_ const alps_record *alps_redo_next_(const alps_handle *h,
                                            uint64_t owner, uint64_t *order,
                                            alps_lane **lane)
{
    const alps_record *best = NULL;
    uint64_t first = ~0ull;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        if (owner && alps_load_(&h->lanes[i].lock) != owner)
            continue;
        for (unsigned k = 0; k < ALPS_RING; k++) {
            const alps_record *r = &h->lanes[i].ring[k];
            uint64_t mine = r->seq << 12 | i; // ALPS_LANES_MAX fits
            if (mine <= *order || mine >= first || !alps_record_live_(h, i, r))
                continue;
            best = r;
            first = mine;
            *lane = &h->lanes[i];
        }
    }
    *order = first;
    return best;
}

/* Whether any lane has a live record, or something to undo. */
ALPS_FN_ int alps_redo_pending_(const alps_handle *h)
{
    alps_lane *lane;
    uint64_t order = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_undo_live_(h, i))
            return 1;
    return alps_redo_next_(h, 0, &order, &lane) != NULL;
}

/* Retires what is live in lane `i`. Durable with the next fence. */
ALPS_CORE_ int alps_redo_retire_(alps_handle *h, unsigned i,
                                 const alps_tables *t)
{
    uint64_t seq = 0;
    uint64_t tx = alps_undo_live_(h, i) ? h->lanes[i].mark.seq : 0;
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *r = &h->lanes[i].ring[k];
        if (!alps_record_live_(h, i, r))
            continue;
        if ((r->op & 15) != ALPS_OP_COMMIT)
            seq = r->seq > seq ? r->seq : seq;
        else if (r->value > tx)
            tx = r->value;
    }
    ALPS_BARRIER_();
    if (seq)
        alps_store_(&h->done[i].seq, seq);
    if (tx)
        alps_store_(&h->done[i].tx, tx >> ALPS_NUMBER_SHIFT_);
    return t->policy->flush(&h->map, &h->done[i], 16);
}

/* Carries out the live record `r`, for the lane of a process that is dead: of
 * `owner`, while others go on; or all are (0). */
ALPS_CORE_ int alps_redo_one_(alps_handle *h, alps_lane *lane,
                              const alps_record *r, uint64_t owner,
                              const alps_tables *t)
{
    if ((r->op & 15) == ALPS_OP_COMMIT)
        return alps_commit_ask_(
            h, r, owner ? ALPS_COMMIT_GO_ON_ : ALPS_COMMIT_REDO_, t);
    return owner && !lane->apply ? alps_redo_settle_(h, r, t)
                                 : alps_redo_(h, lane, r, t);
}

/* Redoes the live records of the lanes of `owner` (0: of all). Of a process
 * that others outlive only the one of each lane is redone that it was carrying
 * out. All are durable before any is redone, and what they change is before
 * they are retired, which is left to who calls this. Two fences where there was
 * a record, else none. */
ALPS_CORE_ int alps_redo_all_(alps_handle *h, uint64_t owner,
                              const alps_tables *t)
{
    alps_lane *lane = NULL;
    const alps_record *r;
    uint64_t order = 0, n = 0;
    int err = ALPS_OK;
    for (; !err && (r = alps_redo_next_(h, owner, &order, &lane)) != NULL; n++)
        err = (r->op & 15) == ALPS_OP_COMMIT
                  ? alps_commit_ask_(h, r, ALPS_COMMIT_PREPARE_, t)
                  : alps_redo_prepare_(h, r, t);
    if (!err && n)
        err = t->fence(&h->map);
    order = 0;
    if (!err) // first: with pages, what is redone may have come after an abort
        err = alps_commit_undo_(h, owner, &n, t);
    while (!err && (r = alps_redo_next_(h, owner, &order, &lane)) != NULL)
        err = alps_redo_one_(h, lane, r, owner, t);
    return err || !n ? err : t->fence(&h->map);
}

/* Whether this process is in the region: if not, why. */
ALPS_CORE_ int alps_ready_(alps_handle *h, const alps_tables *t)
{
    return ALPS_LIKELY_(alps_self_(h) != 0) ? ALPS_OK
                                            : t->slow(h, ALPS_SLOW_SELF, 0, 0);
}

/* Gives back what `word` of a lane names, if it still is held: a block, or an
 * object that was pinned. The lane forgets it first: were it after, and we died
 * in between, it could name what is another's by then. */
ALPS_COLD_ void alps_lane_give_(alps_handle *h, uint64_t *word,
                                const alps_tables *t)
{
    alps_block b;
    alps_object o;
    alps_off off = alps_load_(word);
    if (!off)
        return;
    if (alps_object_at_(h, off, &o) == 1) {
        alps_object_pin_(&o, 0);
    } else {
        int code = alps_block_lock_(h, off, &b, 1, t);
        alps_store_(word, 0);
        ALPS_BARRIER_();
        if (code == ALPS_HELD)
            alps_give_back_(h, &b);
        if (code >= 0)
            alps_block_unlock_(&b);
    }
    alps_store_(word, 0);
}

/* Gives back the reservations of slot `number` in shard `s`. */
ALPS_CORE_ void alps_held_reap_(alps_handle *h, alps_shard *s, unsigned number,
                                const alps_tables *t)
{
    alps_shard_lock_(h, s, 1, t);
    const uint64_t *table = alps_held_table_(h, s);
    uint64_t n = 1ull << alps_held_shift_(s);
    for (uint64_t i = 0; i < n; i++) {
        alps_block b;
        alps_off off = (table[i] >> 16) * ALPS_GRANULE;
        if (table[i] <= ALPS_HELD_GONE_ || (table[i] & 0xffff) != number)
            continue;
        int code = alps_block_at_(h, off, &b);
        if (code == ALPS_HELD)
            alps_block_build_(h, &b); // while it is still held
        alps_held_drop_(h, s, i);
        if (code == ALPS_HELD)
            alps_give_back_(h, &b);
    }
    alps_held_fold_(h, s, t);
    alps_shard_unlock_(s);
}

/* Writes back what says whether the thing at `off` is free, which the dead
 * `owner` had in hand; where all are dead (0), the slab of an object is written
 * back by who finds it. */
ALPS_CORE_ int alps_held_flush_(alps_handle *h, alps_off off, uint64_t owner,
                                const alps_tables *t)
{
    alps_block b;
    alps_object o;
    if (alps_object_at_(h, off, &o) == 1)
        return owner ? t->policy->flush(&h->map, o.pair, sizeof *o.pair)
                     : ALPS_OK;
    if (alps_block_at_(h, off, &b) == ALPS_HELD)
        return alps_codes_flush_(h, &b.zone, b.unit, 1, t);
    return ALPS_OK;
}

/* The same for what the thread of a lane retired last. */
ALPS_CORE_ int alps_retired_flush_(alps_handle *h, const alps_lane *lane,
                                   uint64_t owner, const alps_tables *t)
{
    const alps_chunk *c = alps_limbo_chunk_(h, alps_load_(&lane->limbo));
    if (!c || !c->count || c->count > ALPS_CHUNK)
        return ALPS_OK;
    return alps_held_flush_(h, c->thing[c->count - 1], owner, t);
}

/* Makes durable what the lanes of `owner` (0: all) were at: redoes its records,
 * retires them (of all: the next epoch does), and writes back what was about to
 * be free. Durable with the next fence. */
ALPS_CORE_ int alps_lanes_settle_(alps_handle *h, uint64_t owner,
                                  const alps_tables *t)
{
    int err = alps_redo_all_(h, owner, t);
    for (unsigned i = 0; !err && i < h->at.lane_count; i++) {
        const alps_lane *lane = &h->lanes[i];
        if (owner && alps_load_(&lane->lock) != owner)
            continue;
        if (owner)
            err = alps_redo_retire_(h, i, t);
        if (!err && alps_load_(&lane->held))
            err = alps_held_flush_(h, lane->held, owner, t);
        if (!err)
            err = alps_retired_flush_(h, lane, owner, t);
    }
    return err;
}

/* Ends what the lanes of `owner` are at: gives back what was held for an
 * operation, frees the lanes. Under the lock. */
ALPS_CORE_ int alps_lanes_reap_(alps_handle *h, uint64_t owner,
                                const alps_tables *t)
{
    int err = alps_shards_reap_(h, owner, t);
    if (!err)
        err = alps_lanes_settle_(h, owner, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (alps_load_(&lane->lock) != owner)
            continue;
        alps_commit_reap_(h, lane, t);
        alps_lane_give_(h, &lane->held, t);
        alps_lane_give_(h, &lane->pending, t);
        alps_limbo_leave_(h, lane, t);
        alps_lane_free_(h, lane);
    }
    alps_store_(&h->shared->swept, 0);
    alps_store_(&h->shared->cursor, 0);
    return ALPS_OK;
}

/* Ends the part of `owner`, who is dead or leaves: of its lanes, and of its
 * slot, with the reservations it held. Its slabs are found by sweeping. Under
 * the lock. */
ALPS_CORE_ int alps_reap_(alps_handle *h, uint64_t owner, const alps_tables *t)
{
    unsigned number = (unsigned)(owner & 0xffff);
    if (number >= h->at.slot_count || alps_slot_owner_(h, number) != owner)
        return ALPS_OK;
    int err = t->slow(h, ALPS_SLOW_ENDED, owner, 0);
    if (err)
        return err;
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_held_reap_(h, s, number, t);
    alps_slot_free_(h, number);
    h->shared->reaped++;
    if (owner != alps_self_(h))
        alps_store_(&h->shared->deaths, h->shared->deaths + 1);
    return ALPS_OK;
}

/* Reaps every dead process. Under the lock. */
ALPS_CORE_ int alps_reap_dead_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    for (unsigned i = 0; !err && i < h->at.slot_count; i++) {
        uint64_t owner = alps_slot_owner_(h, i);
        if (owner && !alps_owner_lives_(h, owner, t))
            err = t->slow(h, ALPS_SLOW_REAP, owner, 0);
    }
    return err;
}

/* Makes a shard anew: in this epoch it has no extent yet. */
ALPS_FN_ void alps_shard_reset_(alps_handle *h, alps_shard *s, uint64_t epoch)
{
    s->lock = s->idle = 0;
    s->built = epoch << ALPS_BUILD_EPOCH_ | (uint64_t)(s - h->shards);
    alps_index_reset_(s);
    if (s != h->top)
        s->cursor = ~0ull;
    alps_held_reset_(h, s);
}

/* Makes the state that dies with the epoch anew: locks, slots, indexes,
 * reservations. */
ALPS_FN_ void alps_shared_reset_(alps_handle *h, uint64_t epoch)
{
    uint64_t seq = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (h->done[i].seq > seq)
            seq = h->done[i].seq;
        if (h->done[i].tx > seq)
            seq = h->done[i].tx;
        lane->freeing = 0;
        lane->lock = lane->held = lane->next = lane->apply = 0;
        lane->token = lane->pending = lane->pin = lane->limbo = lane->empty = 0;
    }
    for (unsigned i = 0; i < h->at.lane_count; i++)
        h->lanes[i].seq = seq;
    for (unsigned i = 0; i < h->at.slot_count; i++) {
        h->slots[i].generation = (epoch & 0xffffff) << 24;
        h->slots[i].pid = 0;
    }
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_shard_reset_(h, s, epoch);
    h->shared->lock = 0;
    h->shared->naming = h->shared->named = 0;
    h->shared->cursor = 0;
    h->shared->seq = seq;
    h->shared->tokens = 0;
    h->shared->empty = 0;
    h->shared->idle = 0;
    h->shared->idle_max = (ALPS_IDLE_MAX >> h->at.extent_shift) + 1;
    alps_limbo_reset_(h);
    alps_loose_reset_(h);
}

/* Begins an epoch: nobody else is attached. What the last one left undone is
 * done first, and what its processes stored and did not come to write back is
 * written back: they may have been killed, and power fail only now. Both share
 * a fence with the number of the new one, which retires the records, and is
 * durable before an extent can carry it, so that no extent is believed built
 * that is not. */
ALPS_CORE_ int alps_epoch_begin_(alps_handle *h, const alps_tables *t)
{
    uint64_t epoch = (h->super->epoch >> 16) + 1;
    int err = alps_lanes_settle_(h, 0, t);
    if (!err)
        err = alps_marks_flush_(h, t);
    alps_store_(&h->super->epoch, alps_seal_(epoch));
    if (!err)
        err = t->policy->flush(&h->map, &h->super->epoch, 8);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        alps_shared_reset_(h, epoch);
    return err;
}

/* Takes the lock at `off` when it is not free. From a dead owner that of a
 * shard comes with work to do, and then the dead one is reaped; unless another
 * lock is held, which comes after those that reaping takes: then that is left
 * to the next who finds it dead. Names are as they should be when what the dead
 * one was carrying out is completed. */
ALPS_CORE_ int alps_lock_slow_(alps_handle *h, alps_off off, uint64_t inner,
                               const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    for (;;) {
        uint64_t dead = alps_lock_wait_(h, word, t);
        if (!dead)
            return ALPS_OK;
        if (word == &h->shared->lock) {
            alps_loose_reset_(h);
            alps_limbo_mend_(h, t);
            return t->slow(h, ALPS_SLOW_REAP, dead, 0);
        }
        if (word == &h->shared->naming) {
            alps_store_(&h->shared->named, 0);
            alps_lock_(h, t);
            int late = t->slow(h, ALPS_SLOW_REAP, dead, 0);
            alps_unlock_(h);
            return late;
        }
        alps_shard *s = &h->shards[(off - h->at.shards) / sizeof(alps_shard)];
        int err = t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, dead);
        if (inner)
            return err;
        alps_shard_unlock_(s);
        alps_lock_(h, t);
        t->slow(h, ALPS_SLOW_REAP, dead, 0);
        alps_unlock_(h);
    }
}

/* The sequence of a live record of lane `i`, or 0. */
ALPS_FN_ uint64_t alps_lane_at_(const alps_handle *h, unsigned i)
{
    for (unsigned k = 0; k < ALPS_RING; k++)
        if (alps_record_live_(h, i, &h->lanes[i].ring[k]))
            return h->lanes[i].ring[k].seq;
    return 0;
}

/* Waits for what others are carrying out now: to be done, or to be that of a
 * dead process. One thread of a process that is killed may be gone, and with it
 * a lock of the program, while another one has yet to get a processor to die
 * on. Who is stopped is not waited for. */
ALPS_CORE_ void alps_records_wait_(alps_handle *h, const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        uint64_t number = owner & 0xffff;
        if (!owner || owner == alps_self_(h) || number >= h->at.slot_count)
            continue;
        uint64_t seq = alps_lane_at_(h, i);
        for (unsigned round = 0; seq && round < 20000; round++) {
            struct timespec nap = {0, 50000};
            if (alps_lane_at_(h, i) != seq ||
                alps_load_(&h->lanes[i].lock) != owner ||
                !alps_owner_lives_(h, owner, t) ||
                alps_process_look_(alps_load_(&h->slots[number].pid)).stopped)
                break;
            nanosleep(&nap, NULL);
        }
    }
}

/* Reaps every dead process; see alps_reap. */
ALPS_CORE_ int alps_reap_now_(alps_handle *h, const alps_tables *t)
{
    int ready = alps_ready_(h, t);
    if (ready)
        return ready;
    alps_process_wait_(h, t);
    alps_records_wait_(h, t);
    alps_lock_(h, t);
    int err = alps_reap_dead_(h, t);
    alps_unlock_(h);
    return err;
}

/* The lane is busy: that of a dead process is freed, for others we wait. */
ALPS_CORE_ int alps_lanes_slow_(alps_handle *h, uint64_t round,
                                const alps_tables *t)
{
    if (round % 1024 == 255)
        return t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    ALPS_WAIT_(round < 64 ? 0 : 100 + (unsigned)(round % 800));
    return ALPS_OK;
}

/* Lets go of what readers are done with, also of what this thread retired.
 * Readers that died are reaped. Answers whether anything came of it. Under the
 * lock. */
ALPS_CORE_ int alps_limbo_flush_(alps_handle *h, const alps_tables *t)
{
    uint64_t dead = 0;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    if (seat && alps_load_(&seat->cache->lane->limbo))
        alps_limbo_close_(h, seat->cache->lane);
    alps_off first = h->shared->limbo;
    alps_limbo_drain_(h, &dead, t);
    if (dead && t->slow(h, ALPS_SLOW_REAP, dead, 0) == ALPS_OK)
        alps_limbo_drain_(h, &dead, t);
    return h->shared->limbo != first;
}

/* What readers are done with, and what this thread and nobody has at hand, is
 * free. Answers how much came of it. Under the lock. */
ALPS_CORE_ int alps_at_hand_(alps_handle *h, const alps_tables *t)
{
    int some = alps_limbo_flush_(h, t);
    return some + (alps_thread_trim_(h, t) + alps_loose_trim_(h, t) > 0);
}

/* Brings back what the dead hold, or else what is at hand: before the region is
 * full. ALPS_EFULL: there is nothing. */
ALPS_CORE_ int alps_recover_more_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    uint64_t before = h->shared->reaped;
    int err = alps_reap_dead_(h, t);
    uint64_t n = h->shared->reaped - before;
    if (!err && !n) {
        n = h->shared->swept < alps_extents_(h); // sweeping may bring some
        n += (uint64_t)t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    }
    alps_unlock_(h);
    return err ? err : n ? ALPS_OK : ALPS_EFULL;
}

/* The child of a fork uses what its parent had open. Memory of one process goes
 * on as a copy, of which the child is the only user: what the threads of the
 * parent were at, is ended. A region that others see is not for two. */
ALPS_CORE_ int alps_self_slow_(alps_handle *h, const alps_tables *t)
{
    if (!h->attached)
        return ALPS_EREADONLY;
    if (h->map.medium != ALPS_MEDIUM_ANON)
        return ALPS_EFORK;
    uint64_t owner = alps_slot_owner_(h, h->slot);
    alps_store_(&h->shared->lock, owner);
    alps_store_(&h->local->owner, owner);
    alps_store_(&h->shared->naming, 0);
    alps_store_(&h->shared->named, 0);
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_store_(&s->lock, 0);
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        alps_shard_lock_(h, s, 1, t);
        t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, owner);
        alps_shard_unlock_(s);
    }
    alps_loose_reset_(h);
    alps_limbo_mend_(h, t);
    int err = t->slow(h, ALPS_SLOW_ENDED, owner, 0);
    alps_unlock_(h);
    return err;
}

/* super.h -- the first page: what a region says of itself
 *
 * Judged before anything else is believed, and the last thing to become valid
 * when a region is made. What never changes of it is in the page twice: the
 * *spare* is read by who is asked to make do with a damaged region, and by
 * nobody else. */

/* Bytes that never change, and that `crc` is of. */
#define ALPS_SUPER_FIXED_ offsetof(alps_superblock, size)

/* CRC-32C of all but the state, and what changes by itself. */
ALPS_FN_ uint32_t alps_super_sum_(const alps_handle *h,
                                  const alps_superblock *s)
{
    alps_superblock copy = *s;
    copy.state = 0;
    copy.crc = 0;
    return alps_crc32c_(h->crc, 0, &copy, ALPS_SUPER_FIXED_);
}

ALPS_FN_ uint32_t alps_super_crc_(const alps_handle *h)
{
    return alps_super_sum_(h, h->super);
}

/* The spare is to be written: what it says, as of the superblock. */
ALPS_FN_ void alps_super_spare_(const alps_superblock *s, alps_superblock *to)
{
    memset(to, 0, sizeof *to);
    memcpy(to, s, ALPS_SUPER_FIXED_);
    to->state = 0;
}

/* Stores the spare. */
ALPS_FN_ uint64_t *alps_super_copy_(alps_handle *h)
{
    alps_superblock s;
    uint64_t word[ALPS_SUPER_FIXED_ / 8];
    uint64_t *to = (uint64_t *)(void *)(h->map.base + ALPS_SPARE);
    alps_super_spare_(h->super, &s);
    memcpy(word, &s, sizeof word);
    for (unsigned i = 0; i < sizeof word / 8; i++)
        alps_store_(&to[i], word[i]);
    return to;
}

/* Writes the spare: durably with the next fence. */
ALPS_CORE_ int alps_super_double_(alps_handle *h, const alps_tables *t)
{
    return t->policy->flush(&h->map, alps_super_copy_(h), ALPS_SUPER_FIXED_);
}

/* Whether the first page of the medium holds nothing at all. */
ALPS_FN_ int alps_super_blank_(const alps_handle *h)
{
    const uint64_t *word = (const uint64_t *)(const void *)h->map.base;
    for (unsigned i = 0; i < ALPS_PAGE / sizeof *word; i++)
        if (word[i])
            return 0;
    return 1;
}

/* Judges the first page; 0 if it is a region that this header may open. */
ALPS_FN_ int alps_super_check_(const alps_handle *h)
{
    const alps_superblock *s = h->super;
    if (s->state == ALPS_STATE_MAKING && (!s->magic || s->magic == ALPS_MAGIC))
        return ALPS_EUNFINISHED;
    if (s->magic != ALPS_MAGIC)
        return h->map.length <= ALPS_PAGE && alps_super_blank_(h)
                   ? ALPS_EUNFINISHED
                   : ALPS_EFORMAT;
    if (s->state == ALPS_STATE_READY && s->layout != ALPS_LAYOUT)
        return ALPS_EVERSION;
    if (s->state != ALPS_STATE_READY || alps_super_crc_(h) != s->crc ||
        !alps_sealed_(s->size) || !alps_sealed_(s->epoch))
        return ALPS_ECORRUPT;
    return s->size >> 16 > s->limit ? ALPS_ECORRUPT : ALPS_OK;
}

/* What goes on in files that the backend does not know would be a part of a
 * region only. */
ALPS_FN_ int alps_super_alone_(const alps_handle *h)
{
    const uint64_t *on = (const uint64_t *)alps_address_(h, ALPS_ONWARD);
    return *on && !h->map.parts ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* Who this region is: RFC 4122, version 4. */
ALPS_FN_ void alps_uuid_(uint8_t uuid[16])
{
    uint64_t word[2] = {alps_random_(), alps_random_()};
    memcpy(uuid, word, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

ALPS_CORE_ int alps_super_state_(alps_handle *h, uint64_t state,
                                 const alps_tables *t)
{
    alps_store_(&h->super->state, state);
    return t->policy->flush(&h->map, h->super, 16);
}

/* salvage.h -- what a damaged region says of itself
 *
 * Its numbers come from the superblock, or from the spare, or from the
 * superblock with one bit turned if the checksum says which; from nothing else.
 * They are put right in memory of this process: the medium is only read. So a
 * region that open refuses can be looked at, and what is left be saved. */

/* Whether these are the numbers of a region of this layout. */
ALPS_FN_ int alps_salvage_whole_(const alps_handle *h, const alps_superblock *s)
{
    return s->magic == ALPS_MAGIC && s->layout == ALPS_LAYOUT &&
           s->crc == alps_super_sum_(h, s);
}

/* Turns the one bit back that makes `s` wrong. 0: it is more than one. */
ALPS_FN_ int alps_salvage_bit_(const alps_handle *h, alps_superblock *s)
{
    unsigned char *byte = (unsigned char *)(void *)s;
    for (unsigned bit = 0; bit < 8 * ALPS_SUPER_FIXED_; bit++) {
        byte[bit / 8] = (unsigned char)(byte[bit / 8] ^ 1u << bit % 8);
        if (alps_salvage_whole_(h, s))
            return 1;
        byte[bit / 8] = (unsigned char)(byte[bit / 8] ^ 1u << bit % 8);
    }
    return 0;
}

/* What never changes of the superblock, made right in `s`. Otherwise the code
 * that open has for it. */
ALPS_COLD_ int alps_salvage_fixed_(const alps_handle *h, alps_superblock *s)
{
    alps_superblock spare;
    const unsigned char *base = h->map.base;
    memcpy(s, base, sizeof *s);
    if (alps_salvage_whole_(h, s))
        return ALPS_OK;
    memcpy(&spare, base + ALPS_SPARE, sizeof spare);
    if (alps_salvage_whole_(h, &spare)) {
        memcpy(s, &spare, ALPS_SUPER_FIXED_);
        return ALPS_OK;
    }
    if (alps_salvage_bit_(h, s))
        return ALPS_OK;
    int err = alps_super_check_(h);
    return err ? err : ALPS_ECORRUPT;
}

/* The highest epoch that anything of this one can tell of: a record that is
 * whole, an index of a shard. */
ALPS_COLD_ uint64_t alps_salvage_epoch_(const alps_handle *h)
{
    uint64_t epoch = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++)
        for (unsigned k = 0; k <= ALPS_RING; k++) {
            const alps_record *r =
                k < ALPS_RING ? &h->lanes[i].ring[k] : &h->lanes[i].mark;
            if (r->check == alps_record_check_(h, r) && alps_sealed_(r->epoch))
                epoch = r->epoch >> 16 > epoch ? r->epoch >> 16 : epoch;
        }
    for (const alps_shard *s = h->shards; s <= h->top; s++) {
        uint64_t built = alps_load_(&s->built) >> ALPS_BUILD_EPOCH_;
        epoch = built > epoch ? built : epoch;
    }
    return epoch;
}

/* Memory of the process for a superblock. */
ALPS_FN_ alps_superblock *alps_salvage_page_(void)
{
    void *p = mmap(NULL, ALPS_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : (alps_superblock *)p;
}

/* How much of the medium is region: as much as it says, but no more than there
 * is. */
ALPS_FN_ uint64_t alps_salvage_size_(const alps_handle *h,
                                     const alps_superblock *s)
{
    uint64_t most = h->map.length < s->limit ? h->map.length : s->limit;
    return alps_sealed_(s->size) && s->size >> 16 <= most ? s->size >> 16
                                                          : most;
}

/* Examines a medium whose first page is mapped: what is wrong with it and can
 * be made do with is no refusal. */
ALPS_COLD_ int alps_salvage_look_(alps_handle *h, const alps_options *o,
                                  uint64_t *size)
{
    const alps_superblock *there = (const alps_superblock *)h->map.base;
    if (there->state == ALPS_STATE_MAKING)
        return ALPS_EUNFINISHED;
    h->spare = alps_salvage_page_();
    if (!h->spare)
        return ALPS_ENOMEM;
    alps_superblock *s = h->spare;
    int err = alps_salvage_fixed_(h, s);
    if (!err)
        err = alps_super_alone_(h);
    if (err)
        return err;
    s->state = ALPS_STATE_READY;
    *size = alps_salvage_size_(h, s);
    s->size = alps_seal_(*size);
    if (!alps_sealed_(s->epoch))
        s->epoch = alps_seal_(0);
    if (o->layout && strncmp(o->layout, s->name, sizeof s->name))
        return ALPS_ELAYOUT;
    err = alps_geometry_init_(&h->at, s->limit, s->extent_shift, s->lanes,
                              s->processes, s->small, s->shards);
    if (err || s->small != alps_kind_round_(s->small))
        return ALPS_ECORRUPT;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_ETRUNCATED;
}

/* See alps_region_examine_. */
ALPS_CORE_ int alps_salvage_examine_(alps_handle *h, const alps_options *o,
                                     uint64_t *size, const alps_tables *t)
{
    if (h->map.length < ALPS_PAGE)
        return h->map.length ? ALPS_EFORMAT : ALPS_EUNFINISHED;
    int err = t->backend->map(&h->map, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE);
    if (err)
        return err;
    h->super = (alps_superblock *)(void *)h->map.base;
    return alps_salvage_look_(h, o, size);
}

/* tail.h -- the free extents at the end of the region
 *
 * They count towards what a growth is to bring, and are cut off when the last
 * process closes the region and was asked to: the size first, then the medium,
 * for that is never to be shorter than the region says. */

/* How many extents at the end of the region are free. Under the lock of all
 * extents. */
ALPS_CORE_ uint64_t alps_tail_free_(alps_handle *h)
{
    alps_block b;
    alps_block_large_(h, 0, &b);
    alps_block_build_(h, &b);
    return b.zone.end - alps_zone_before_(&b.zone, b.zone.end);
}

/* Cuts them off, but for the first extent of all. A crash leaves the old size,
 * or the new one and a medium that is longer. */
ALPS_CORE_ int alps_tail_cut_(alps_handle *h, const alps_tables *t)
{
    uint64_t old = alps_size_(h), extents = alps_extents_(h);
    uint64_t left = extents - alps_tail_free_(h);
    uint64_t size = h->at.heap + (left + !left) * h->at.extent;
    if (size >= old)
        return ALPS_OK;
    alps_index_reset_(h->top);
    ALPS_BARRIER_();
    alps_store_(&h->super->size, alps_seal_(size));
    int err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->fence(&h->map);
    if (h->map.length < old)
        h->map.length = old; // another process made it longer
    return err ? err : t->backend->resize(&h->map, size);
}

/* Gives back what is empty, and cuts the end off, if nobody else has the
 * region open for writing: who comes to open it now finds the one size or the
 * other. */
ALPS_CORE_ int alps_tail_shrink_(alps_handle *h, const alps_tables *t)
{
    uint64_t n;
    if (h->map.fixed || t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1)
        return ALPS_OK;
    alps_lock_(h, t);
    t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    alps_unlock_(h);
    int err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
    if (err)
        return err;
    alps_shard_lock_(h, h->top, 0, t);
    err = alps_tail_cut_(h, t);
    alps_shard_unlock_(h->top);
    return err;
}

/* note.h -- what the program says of its region, in words
 *
 * Two places in the first page. The newer one that is whole is the note, and
 * the other one is written next; so a crash leaves the old words or the new
 * ones. Whoever reads them makes a copy and sums it. */

/* Whether a copy of a note is whole. */
ALPS_FN_ int alps_note_whole_(const alps_handle *h, const alps_note *n)
{
    return n->seq && n->length < sizeof n->text && !n->text[n->length] &&
           n->crc == alps_crc32c_(h->crc, 0, &n->length,
                                  sizeof *n - offsetof(alps_note, length));
}

/* Reads the note; answers which place is to be written next. Without one it is
 * empty, and has the number 0. */
ALPS_FN_ unsigned alps_note_read_(const alps_handle *h, alps_note *note)
{
    const uint64_t *place = (const uint64_t *)alps_address_(h, ALPS_NOTE);
    alps_note n;
    unsigned next = 0;
    memset(note, 0, sizeof *note);
    for (unsigned i = 0; i < 2; i++, place += sizeof n / 8) {
        uint64_t word[sizeof n / 8];
        for (unsigned k = 0; k < sizeof n / 8; k++)
            word[k] = alps_load_(&place[k]);
        memcpy(&n, word, sizeof n);
        if (!alps_note_whole_(h, &n) || n.seq <= note->seq)
            continue;
        *note = n;
        next = !i;
    }
    return next;
}

/* Writes a note, durably with the next fence. ALPS_EINVAL: it is too long.
 * Under the lock of the region. */
ALPS_CORE_ int alps_note_write_(alps_handle *h, const char *text,
                                const alps_tables *t)
{
    alps_note n;
    uint64_t word[sizeof n / 8];
    unsigned next = alps_note_read_(h, &n);
    size_t length = strlen(text);
    if (length >= sizeof n.text)
        return ALPS_EINVAL;
    memset(n.text, 0, sizeof n.text);
    memcpy(n.text, text, length);
    n.seq++;
    n.length = (uint32_t)length;
    n.crc = alps_crc32c_(h->crc, 0, &n.length,
                         sizeof n - offsetof(alps_note, length));
    memcpy(word, &n, sizeof n);
    uint64_t *place = (uint64_t *)alps_address_(h, ALPS_NOTE + next * sizeof n);
    for (unsigned k = 0; k < sizeof n / 8; k++)
        alps_store_(&place[k], word[k]);
    return t->policy->flush(&h->map, place, sizeof n);
}

/* See alps_set_description. */
ALPS_CORE_ int alps_note_change_(alps_handle *h, const char *text,
                                 const alps_tables *t)
{
    alps_lock_(h, t);
    int err = alps_note_write_(h, text ? text : "", t);
    if (!err)
        err = t->fence(&h->map);
    alps_unlock_(h);
    return err;
}

/* environment.h -- options that the program left open
 *
 * Who runs a program may say how its regions are made and opened, where the
 * program has not: docs/options.md has the table. What cannot be read is
 * refused, so that who mistypes learns of it. */

/* A number that is asked for where `*n` is 0. */
ALPS_COLD_ int alps_environment_word_(const char *name, unsigned *n)
{
    uint64_t value = *n;
    int err = value ? ALPS_OK : alps_amount_asked_(name, &value);
    if (!err && value > UINT32_MAX)
        err = ALPS_EINVAL;
    if (!err)
        *n = (unsigned)value;
    return err;
}

/* Fills in what the program left 0. ALPS_EINVAL: a variable is no number. */
ALPS_COLD_ int alps_environment_(alps_options *o)
{
    const struct {
        const char *name;
        uint64_t *n;
    } wide[] = {{"ALPS_SIZE", &o->size},     {"ALPS_LIMIT", &o->limit},
                {"ALPS_EXTENT", &o->extent}, {"ALPS_SMALL", &o->small},
                {"ALPS_GROW", &o->grow},     {"ALPS_NODES", &o->nodes}};
    uint64_t strict = 0;
    int err = alps_amount_asked_("ALPS_STRICT", &strict);
    if (strict)
        o->flags |= ALPS_STRICT;
    for (unsigned i = 0; !err && i < sizeof wide / sizeof *wide; i++)
        if (!*wide[i].n)
            err = alps_amount_asked_(wide[i].name, wide[i].n);
    if (!err)
        err = alps_environment_word_("ALPS_LANES", &o->lanes);
    if (!err)
        err = alps_environment_word_("ALPS_PROCESSES", &o->processes);
    return err ? err : alps_environment_word_("ALPS_SHARDS", &o->shards);
}

/* placement.h -- whose memory a region has, on a machine with several nodes
 *
 * Pages are taken from the nodes in turn (MPOL_INTERLEAVE), by a system call
 * and no library. The system does it for memory of the process and for shared
 * memory; pages of a file it takes as it likes. */

#define ALPS_MPOL_INTERLEAVE_ 3

/* Asks for `o->nodes`. Where there are no such nodes, or the system does not
 * care, memory is taken as it comes, but for ALPS_STRICT: then it is
 * ALPS_EUNSUPPORTED. */
ALPS_COLD_ int alps_placement_(alps_map *m, const alps_options *o)
{
    unsigned long nodes = o->nodes;
    if (!nodes)
        return ALPS_OK;
#ifdef SYS_mbind
    int heeded = m->medium == ALPS_MEDIUM_ANON ||
                 m->medium == ALPS_MEDIUM_SHMEM || (m->sole && !m->apart);
    if (heeded && !syscall(SYS_mbind, m->base, (unsigned long)m->reserved,
                           ALPS_MPOL_INTERLEAVE_, &nodes, 65ul, 0u)) {
        m->nodes = nodes;
        return ALPS_OK;
    }
#endif
    return o->flags & ALPS_STRICT ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* plan.h -- the numbers of a new region
 *
 * What the program left open is chosen here, from what it said. */

#define ALPS_SIZE_DEFAULT (64ull << 20)

/* How many shards a new region has unless said: one for a few extents, so that
 * none is without. */
ALPS_FN_ unsigned alps_plan_shards_(uint64_t extents)
{
    unsigned n = 1;
    while (n < 16 && 8ull * n <= extents)
        n *= 2;
    return n;
}

/* The numbers of a new region, from what was asked for. */
ALPS_FN_ int alps_plan_(alps_handle *h, const alps_options *o, uint64_t *size)
{
    *size = h->map.fixed ? h->map.length
            : o->size    ? o->size
                         : ALPS_SIZE_DEFAULT;
    uint64_t extent = o->extent;
    unsigned shift = ALPS_EXTENT_SHIFT_MIN;
    if (extent & (extent - 1) || extent > 1ull << ALPS_EXTENT_SHIFT_MAX ||
        (extent && extent < 1ull << ALPS_EXTENT_SHIFT_MIN) ||
        *size > ALPS_SIZE_MAX || o->limit > ALPS_SIZE_MAX ||
        (o->limit && o->limit < *size && !h->map.fixed) ||
        (o->layout && strlen(o->layout) >= sizeof h->super->name) ||
        (o->description &&
         strlen(o->description) >= sizeof(((alps_note *)0)->text)))
        return ALPS_EINVAL;
    if (extent)
        while (1ull << shift < extent)
            shift++;
    else
        while (shift < 22 && 32ull << shift <= *size)
            shift++;
    uint64_t limit =
        o->limit ? o->limit : 1ull << (shift == 22 ? 38 : shift + 14);
    if (h->map.fixed)
        limit = *size;
    if (limit < *size)
        limit = *size;
    uint64_t lanes = *size >> 15 < 1088 ? *size >> 15 : 1088;
    uint64_t small = 1ull << (shift < 15 ? 7 : shift > 18 ? 10 : shift - 8);
    if (lanes < 8)
        lanes = 8;
    unsigned shards = shift < 20 ? 1 : alps_plan_shards_(*size >> shift);
    int err = alps_geometry_init_(&h->at, limit, shift,
                                  o->lanes ? o->lanes : (unsigned)lanes,
                                  o->processes ? o->processes : 256,
                                  alps_kind_round_(o->small ? o->small : small),
                                  o->shards ? o->shards : shards);
    if (err)
        return err;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_EINVAL;
}

/* region.h -- a region: made, opened, closed
 *
 * A new region is marked as in the making before anything else is in it, and
 * as ready after everything else is durable; so a death in between leaves what
 * is recognised as unfinished, and may be made anew. An existing one is
 * examined before it is changed, and refused with its own code if it is
 * foreign, damaged, cut short or of another layout. All of this runs inside
 * the backend's guard, so that any number of processes may create or open one
 * region at the same instant. */

/* Where everything is in this process, once the region is mapped. */
ALPS_FN_ void alps_region_place_(alps_handle *h)
{
    unsigned char *base = h->map.base;
    h->super = h->spare ? h->spare : (alps_superblock *)(void *)base;
    h->done = (alps_done *)(void *)(base + h->at.done);
    h->lanes = (alps_lane *)(void *)(base + h->at.lanes);
    h->slots = (alps_slot *)(void *)(base + h->at.slots);
    h->shared = (alps_shared *)(void *)(base + h->at.shared);
    h->shards = (alps_shard *)(void *)(base + h->at.shards);
    h->top = &h->shards[h->at.shard_count];
    h->codes = (uint64_t *)(void *)(base + h->at.codes);
    h->kinds = (uint64_t *)(void *)(base + h->at.kinds);
    h->holes = (uint64_t *)(void *)(base + h->at.holes);
    h->slabs = (uint64_t *)(void *)(base + h->at.slabs);
    h->map.always_off = h->at.done;
    h->map.always_n = h->at.lane_count * sizeof(alps_done);
}

/* Maps `size` bytes with room for `limit`, and asks the policy. */
ALPS_CORE_ int alps_region_map_(alps_handle *h, uint64_t size, uint64_t limit,
                                uint64_t align, const alps_tables *t)
{
    int err = t->backend->map(&h->map, size, limit, align);
    if (err)
        return err;
    h->super = (alps_superblock *)(void *)h->map.base;
    return t->policy->open(&h->map, t->backend);
}

/* Makes [off, off + n) zero and durable with the next fence. */
ALPS_CORE_ int alps_region_zero_(alps_handle *h, alps_off off, uint64_t n,
                                 const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, off);
    for (uint64_t i = 0; i < n / sizeof *word; i++)
        if (word[i])
            word[i] = 0;
    return t->policy->flush(&h->map, word, n);
}

/* Fills the mapped medium with an empty region, and marks it ready: durably
 * with the next fence, which is that of the first epoch. */
ALPS_CORE_ int alps_region_fill_(alps_handle *h, const alps_options *o,
                                 uint64_t size, const alps_tables *t)
{
    alps_superblock *s = h->super;
    struct timespec now;
    alps_region_place_(h);
    uint64_t old = h->map.fixed ? h->at.heap : ALPS_PAGE; // the rest is new
    uint64_t to = h->map.parts ? ALPS_ONWARD : old;
    int err = alps_region_zero_(h, 16, to - 16, t);
    if (!err && h->map.parts) // what they are found by stays
        err = alps_region_zero_(h, ALPS_SPARE, old - ALPS_SPARE, t);
    if (err)
        return err;
    alps_code_set_(h->codes, 0, ALPS_FREE);
    s->magic = ALPS_MAGIC;
    clock_gettime(CLOCK_REALTIME, &now);
    s->layout = ALPS_LAYOUT;
    s->extent_shift = h->at.extent_shift;
    s->lanes = h->at.lane_count;
    s->processes = h->at.slot_count;
    s->limit = h->at.limit;
    s->small = h->at.small;
    s->created = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint8_t uuid[16];
    alps_uuid_(uuid);
    for (unsigned i = 0; i < sizeof uuid; i++)
        s->uuid[i] = uuid[i];
    int end = 0;
    for (unsigned i = 0; i < sizeof s->name; i++) {
        end = end || !o->layout || !o->layout[i];
        s->name[i] = end ? 0 : o->layout[i];
    }
    s->shards = h->at.shard_count;
    alps_store_(&s->size, alps_seal_(size));
    alps_store_(&s->epoch, alps_seal_(0));
    s->crc = alps_super_crc_(h);
    err = o->description ? alps_note_write_(h, o->description, t) : ALPS_OK;
    if (!err)
        err = t->policy->flush(&h->map, h->codes, 8);
    if (!err)
        err = t->policy->flush(&h->map, s, sizeof *s);
    if (!err)
        err = alps_super_double_(h, t);
    if (!err)
        err = t->fence(&h->map);
    return err ? err : alps_super_state_(h, ALPS_STATE_READY, t);
}

/* Makes a region on a medium whose contents do not matter. Its first page says
 * so before the medium gets its length. */
ALPS_CORE_ int alps_region_write_(alps_handle *h, const alps_options *o,
                                  const alps_tables *t)
{
    uint64_t size = 0;
    int err = alps_plan_(h, o, &size);
    if (!err && !h->map.fixed && h->map.length < ALPS_PAGE)
        err = t->backend->resize(&h->map, ALPS_PAGE);
    if (!err && !h->map.base)
        err = alps_region_map_(h, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_state_(h, ALPS_STATE_MAKING, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = t->backend->unmap(&h->map);
    if (!err && !h->map.fixed)
        err = t->backend->resize(&h->map, ALPS_PAGE); // what was behind is gone
    if (!err && !h->map.fixed)
        err = t->backend->resize(&h->map, size);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    return err ? err : alps_region_fill_(h, o, size, t);
}

/* Maps anew, for a region of `size` bytes. */
ALPS_CORE_ int alps_region_again_(alps_handle *h, uint64_t size,
                                  const alps_tables *t)
{
    int err = t->backend->unmap(&h->map);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    if (!err)
        alps_region_place_(h);
    return err;
}

/* The same, and maps it as it is to be used: what is to be this process's alone
 * is written through a mapping that is not. */
ALPS_CORE_ int alps_region_make_(alps_handle *h, const alps_options *o,
                                 const alps_tables *t)
{
    unsigned sole = h->map.sole;
    if (h->map.base && sole)
        t->backend->unmap(&h->map);
    h->map.sole = 0;
    if (h->map.journal)
        alps_journal_drop_(h->map.journal);
    int err = alps_region_write_(h, o, t);
    h->map.sole = sole;
    if (err || !sole)
        return err;
    err = t->fence(&h->map);
    return err ? err : alps_region_again_(h, h->map.size, t);
}

/* Examines the region on the medium: 0, or the code it is refused with. */
ALPS_CORE_ int alps_region_examine_(alps_handle *h, const alps_options *o,
                                    uint64_t *size, const alps_tables *t)
{
    uint64_t n = h->map.length < ALPS_PAGE ? h->map.length : ALPS_PAGE;
    if (n < ALPS_PAGE)
        return ALPS_EFORMAT;
    int err = alps_region_map_(h, n, n, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_check_(h);
    if (!err)
        err = alps_super_alone_(h);
    if (err)
        return err;
    const alps_superblock *s = h->super;
    if (h->map.journal ? h->map.journal->lost : s->journal != 0)
        return ALPS_EJOURNAL;
    if (alps_load_((const uint64_t *)alps_address_(h, ALPS_LOOSE)))
        return ALPS_ECORRUPT; // who had the rest was killed
    *size = alps_size_(h);    // once: another process may be growing the region
    if (*size > h->map.length)
        return ALPS_ETRUNCATED;
    if (o->layout && strncmp(o->layout, s->name, sizeof s->name))
        return ALPS_ELAYOUT;
    err = alps_geometry_init_(&h->at, s->limit, s->extent_shift, s->lanes,
                              s->processes, s->small, s->shards);
    if (err || !alps_geometry_extents_(&h->at, *size) ||
        s->small != alps_kind_round_(s->small))
        return ALPS_ECORRUPT;
    return ALPS_OK;
}

/* Reaps the dead for one who has no slot yet, because every slot is taken. For
 * that time it has the lease behind the last slot's; the guard sees to it that
 * there is one such at a time. */
ALPS_CORE_ int alps_region_make_room_(alps_handle *h, const alps_tables *t)
{
    unsigned number = h->at.slot_count;
    int err = t->backend->lease(&h->map, number);
    if (err && err != ALPS_EUNSUPPORTED)
        return err;
    alps_store_(&h->local->owner,
                alps_owner_((uint64_t)getpid() | ALPS_NO_SLOT_, number));
    err = t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    alps_store_(&h->local->owner, 0);
    int late = t->backend->unlease(&h->map, number);
    return err || late == ALPS_EUNSUPPORTED ? err : late;
}

/* A copy has no blocks for what is not stored in it: they are reserved before
 * anybody stores to it. ALPS_ENOSPC: there is no room, and it stays a copy. */
ALPS_CORE_ int alps_region_bare_(alps_handle *h, const alps_tables *t)
{
    uint64_t *bare = (uint64_t *)alps_address_(h, ALPS_BARE);
    if (!alps_load_(bare))
        return ALPS_OK;
    int err =
        h->map.fixed ? ALPS_OK : t->backend->resize(&h->map, h->map.length);
    if (err == ALPS_EUNSUPPORTED)
        err = ALPS_OK; // a file system that cannot reserve
    if (!err)
        err = t->backend->sync(&h->map, 0, ALPS_PAGE);
    if (err)
        return err;
    alps_store_(bare, 0);
    return t->policy->flush(&h->map, bare, sizeof *bare);
}

/* Where the backend keeps stores from the file, and the policy does not order
 * them, the file is whole only when the region is closed: it says so itself.
 * Called again when a region has grown, and at its end with 0. */
ALPS_CORE_ int alps_region_loose_(alps_handle *h, uint64_t loose,
                                  const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, ALPS_LOOSE);
    int err = ALPS_OK;
    if (!t->backend->write || t->policy->durable || !h->map.apart ||
        h->map.sole || alps_load_(word) == loose)
        return ALPS_OK;
    if (!loose)
        err = t->backend->write(&h->map, 0, alps_size_(h));
    if (err)
        return err;
    alps_store_(word, loose);
    return t->backend->write(&h->map, 0, ALPS_PAGE);
}

/* Enters the region: as the first of an epoch, or beside others. */
ALPS_CORE_ int alps_region_attach_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    int others = t->backend->leased(&h->map, ALPS_LEASE_ANY);
    if (others < 0) { // the medium cannot tell: ask for the processes
        others = 0;
        for (unsigned i = 0; i < h->at.slot_count; i++) {
            uint64_t owner = alps_slot_owner_(h, i);
            others |= owner && alps_owner_lives_(h, owner, t);
        }
    }
    uint64_t policy =
        alps_crc32c_(h->crc, 0, t->policy->name, strlen(t->policy->name)) |
        1ull << 32;
    if (others && h->shared->policy != policy)
        return ALPS_EBUSY;
    err = others ? ALPS_OK : alps_region_bare_(h, t);
    if (!err && !others)
        err = alps_epoch_begin_(h, t);
    if (err)
        return err;
    h->shared->policy = policy;
    h->keyed = pthread_key_create(&h->key, t->ended) == 0;
    err = alps_slot_take_(h, t);
    if (err == ALPS_EPROCESSES) {
        err = alps_region_make_room_(h, t);
        if (!err)
            err = alps_slot_take_(h, t);
    } else if (!err && others) {
        err = t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    }
    h->attached = !err;
    return err ? err : alps_region_loose_(h, 1, t);
}

/* Whether a region that is only read is whole: nothing waits to be redone, or
 * its writer lives and will see to it. */
ALPS_CORE_ int alps_region_settled_(alps_handle *h, const alps_tables *t)
{
    if (h->spare || !alps_redo_pending_(h))
        return ALPS_OK;
    return t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1 ? ALPS_OK
                                                            : ALPS_ERECOVER;
}

/* Opens inside the guard. */
ALPS_CORE_ int alps_region_enter_(alps_handle *h, const alps_options *o,
                                  const alps_tables *t)
{
    int read_only = (h->map.flags & ALPS_READ_ONLY) != 0;
    int make = h->map.length == 0 || (h->map.flags & ALPS_TRUNCATE);
    uint64_t size = 0;
    int err;
    if (make && read_only)
        return ALPS_EUNFINISHED;
    if (h->map.length && (h->map.flags & ALPS_TRUNCATE) &&
        t->backend->leased(&h->map, ALPS_LEASE_ANY) == 1)
        return ALPS_EBUSY;
    if (!make && h->map.flags & ALPS_SALVAGE) {
        err = alps_salvage_examine_(h, o, &size, t);
        if (err)
            return err;
    } else if (!make) {
        err = alps_region_examine_(h, o, &size, t);
        if (err == ALPS_EUNFINISHED && (h->map.flags & ALPS_CREATE) &&
            !read_only)
            make = 1;
        else if (err == ALPS_EFORMAT && h->map.fixed && !read_only &&
                 (h->map.flags & ALPS_CREATE) && alps_super_blank_(h))
            make = 1; // a device that was never used
        else if (err)
            return err;
    }
    if (make)
        return alps_region_make_(h, o, t);
    if (h->map.more)
        err = t->backend->unmap(&h->map);
    if (!err && h->map.more)
        err = t->backend->resize(&h->map, h->map.length);
    return err ? err : alps_region_again_(h, size, t);
}

/* Opens or makes the region at `path` once. `length` is what the medium was
 * found to have. */
ALPS_CORE_ int alps_region_try_(alps_handle *h, const char *path,
                                const alps_options *o, uint64_t *length,
                                const alps_tables *t)
{
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    h->map.flags = o->flags;
    h->map.sole = t->policy->commit && !(o->flags & ALPS_READ_ONLY);
    h->map.progress = o->progress;
    h->map.progress_context = o->progress_context;
    h->grow = o->grow;
    h->crc = alps_crc_kind_();
    int err = t->backend->open(&h->map, path, o);
    if (err)
        return err;
    *length = h->map.length;
    err = o->parts && !h->map.parts && !(o->flags & ALPS_READ_ONLY)
              ? ALPS_EUNSUPPORTED
              : alps_region_enter_(h, o, t);
    if (!err)
        err = alps_placement_(&h->map, o);
    if (!err)
        err = alps_local_open_(h);
    if (!err)
        err = o->flags & ALPS_READ_ONLY ? alps_region_settled_(h, t)
                                        : alps_region_attach_(h, t);
    if (!err && t->policy->begin && h->map.sole)
        err = t->policy->begin(&h->map, o);
    if (!err)
        err = t->backend->unguard(&h->map);
    if (!err)
        return ALPS_OK;
    if (!*length && h->map.length && !h->map.fixed)
        t->backend->resize(&h->map, 0); // made by us, for nothing
    alps_local_close_(h);
    t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err;
}

/* Opens or makes the region at `path`; see alps_open. What seems cut short may
 * be growing: the medium gets longer before the region says so, and is then
 * longer when it is looked at again. */
ALPS_CORE_ int alps_region_open_(alps_handle *h, const char *path,
                                 const alps_options *given,
                                 const alps_tables *t)
{
    alps_options o;
    uint64_t before, length = 0;
    int err;
    memset(&o, 0, sizeof o);
    if (given)
        o = *given;
    if (!o.faults)
        o.faults = t->faults;
    if (o.flags & ALPS_SALVAGE)
        o.flags |= ALPS_READ_ONLY;
    if (!(o.flags & ~(ALPS_STRICT | ALPS_READ_ONLY | ALPS_SHRINK)))
        o.flags |= o.flags & ALPS_READ_ONLY ? 0 : ALPS_CREATE;
    err = alps_environment_(&o);
    if (!err && (o.flags & ALPS_READ_ONLY) &&
        (o.flags & (ALPS_CREATE | ALPS_TRUNCATE | ALPS_EXCLUSIVE)))
        err = ALPS_EINVAL;
    if (err) {
        memset(h, 0, sizeof *h);
        return err;
    }
    do {
        before = length;
        err = alps_region_try_(h, path, &o, &length, t);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* Ends this process's part in the region; see alps_close. What is to be
 * committed is, before anything is given up; with `discard` it is dropped. */
ALPS_CORE_ int alps_region_close_(alps_handle *h, int discard,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    if (!h->map.base)
        return ALPS_EINVAL;
    int sole = t->policy->commit && alps_self_(h) && h->map.sole;
    if (t->policy->commit && sole && !discard)
        err = alps_policy_commit_(t->policy, t->backend, &h->map,
                                  ALPS_COMMIT_ALL);
    if (err)
        return err;
    if (alps_self_(h)) {
        alps_threads_leave_(h, t);
        alps_lock_(h, t);
        err = alps_reap_dead_(h, t);
        if (!err && h->map.flags & ALPS_SHRINK) {
            alps_unlock_(h);
            err = alps_tail_shrink_(h, t);
            alps_lock_(h, t);
        }
        int own = t->slow(h, ALPS_SLOW_REAP, alps_self_(h), 0);
        err = err ? err : own;
        alps_unlock_(h);
        if (t->policy->commit && sole && !discard && !err)
            alps_policy_commit_(t->policy, t->backend, &h->map,
                                ALPS_COMMIT_ALL); // only neat
        if (t->policy->end && sole)
            err = t->policy->end(&h->map);
        t->backend->unlease(&h->map, h->slot);
        own = alps_region_loose_(h, 0, t);
        err = err ? err : own;
    }
    alps_local_close_(h);
    int last = t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err ? err : last;
}

/* growth.h -- a region gets longer in place
 *
 * All addresses up to the limit are held at open, so nothing moves and nobody
 * has to be told: the size in the superblock is read again wherever it counts.
 * Growing is a change of extents, under the lock of all extents; so any number
 * of threads and processes may find the region full at once, and one step is
 * taken for all of them. */

/* The most extents the region can have here: what its limit lets it have, and
 * what there are addresses for in this process. */
ALPS_FN_ uint64_t alps_growth_most_(const alps_handle *h)
{
    uint64_t most = alps_geometry_extents_(&h->at, h->map.reserved);
    return most < h->at.extents_max ? most : h->at.extents_max;
}

/* Whether an allocation that finds no room may make the region longer. */
ALPS_FN_ int alps_growth_may_(const alps_handle *h)
{
    return h->grow != ALPS_GROW_NEVER && !h->map.fixed &&
           alps_extents_(h) < alps_growth_most_(h);
}

/* Makes the region `size` bytes long, more than it is. The medium first, then
 * the code that starts the new extents, then the size: a crash leaves the old
 * one or the new one. Under the lock of all extents. */
ALPS_CORE_ int alps_growth_extend_(alps_handle *h, uint64_t size,
                                   const alps_tables *t)
{
    uint64_t old = alps_extents_(h);
    uint64_t now = alps_geometry_extents_(&h->at, size);
    int err = t->backend->resize(&h->map, size);
    if (!err)
        err = alps_region_loose_(h, 1, t);
    if (!err && now > old) {
        alps_code_clear_(h->codes, old, now);
        alps_code_set_(h->codes, old, ALPS_FREE);
        err =
            t->policy->flush(&h->map, (const unsigned char *)h->codes + old / 4,
                             now / 4 - old / 4 + 1);
        if (!err)
            err = t->fence(&h->map);
    }
    if (err)
        return err;
    ALPS_BARRIER_();
    alps_store_(&h->super->size, alps_seal_(size));
    err = t->policy->flush(&h->map, &h->super->size, 8);
    if (!err)
        err = t->fence(&h->map);
    alps_index_reset_(h->top);
    return err;
}

/* Makes the region `size` bytes long, at most its limit; see alps_grow. */
ALPS_CORE_ int alps_growth_to_(alps_handle *h, uint64_t size,
                               const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (size > h->at.limit || size > h->map.reserved)
        return ALPS_ELIMIT;
    alps_shard_lock_(h, h->top, 0, t);
    if (size > alps_size_(h))
        err = h->map.fixed ? ALPS_ELIMIT : alps_growth_extend_(h, size, t);
    alps_shard_unlock_(h->top);
    return err;
}

/* Makes the region longer by what a run of `extents` lacks at its end, or by a
 * step if that is more: so n allocations take O(log n) steps. If the medium has
 * no room for that, by no more than is needed. Under the lock of all
 * extents. */
ALPS_CORE_ int alps_growth_step_(alps_handle *h, uint64_t extents,
                                 const alps_tables *t)
{
    uint64_t now = alps_extents_(h);
    uint64_t most = alps_growth_most_(h);
    uint64_t tail = alps_tail_free_(h);
    uint64_t need = extents > tail ? extents - tail : 1;
    uint64_t step = h->grow ? (h->grow - 1) >> h->at.extent_shift : now / 8;
    step += h->grow || !step;
    if (now >= most || need > most - now)
        return ALPS_EFULL;
    if (step < need)
        step = need;
    if (step > most - now)
        step = most - now;
    uint64_t shift = h->at.extent_shift;
    int err = alps_growth_extend_(h, h->at.heap + ((now + step) << shift), t);
    if (err == ALPS_ENOSPC && step > need)
        err = alps_growth_extend_(h, h->at.heap + ((now + need) << shift), t);
    return err;
}

/* A region that had `size` bytes has no room for a run of `extents`, whatever
 * was tried: makes it longer, unless somebody did so meanwhile. ALPS_EFULL: it
 * may not grow so far. ALPS_ENOSPC: the medium is full. */
ALPS_CORE_ int alps_growth_demand_(alps_handle *h, uint64_t size,
                                   uint64_t extents, const alps_tables *t)
{
    if (!alps_growth_may_(h))
        return alps_size_(h) == size ? ALPS_EFULL : ALPS_OK;
    alps_shard_lock_(h, h->top, 0, t);
    int err =
        alps_size_(h) == size ? alps_growth_step_(h, extents, t) : ALPS_OK;
    alps_shard_unlock_(h->top);
    return err;
}

/* ptr.h -- pointers that survive a new address
 *
 * A region is mapped wherever there is room, so what is stored is not an
 * address. ALPS_PTR(T) is the offset from the first byte of the region: 8
 * bytes, typed, copied with `=` or memcpy, null when zeroed. ALPS_REL(T) is the
 * distance from itself: it is followed without a handle, and must not be
 * copied by `=` or memcpy, only by ALPS_REL_SET(to, ALPS_REL_GET(from)); what
 * contains one must not be moved by memcpy or alps_realloc. An offset read from
 * a region is input, so it is checked. */

/* A typed offset. To C two ALPS_PTR(T) are two types: give it a typedef. */
#define ALPS_PTR(T) \
  union {           \
    alps_off off;   \
    T *type_;       \
  }

/* A typed distance from itself; 0 is null, and -2^63, farther than any address
 * is from another, is itself: so every other distance is what it says, that of
 * a byte as well. */
#define ALPS_REL(T) \
  union {           \
    int64_t rel;    \
    T *type_;       \
  }

/* The address of `off` in a region mapped at `map`, or NULL for null and for
 * what lies outside. One comparison. */
ALPS_FN_ void *alps_ptr_get_(const alps_map *map, alps_off off)
{
    return ALPS_LIKELY_(off - 1 < map->reserved - 1) ? map->base + off : NULL;
}

/* The offset of `p`, which is NULL or an address in the region. */
ALPS_FN_ alps_off alps_ptr_off_(const alps_map *map, const void *p)
{
    if (!p)
        return ALPS_NULL;
    ALPS_ASSERT((uintptr_t)p - (uintptr_t)map->base < map->reserved);
    return (alps_off)((uintptr_t)p - (uintptr_t)map->base);
}

/* Twice the distance is 0 for null and for itself: one comparison for both. The
 * compiler is not to conclude that what is reached from `rel` is part of what
 * `rel` is in: the empty instruction tells it nothing of where `p` leads. */
ALPS_FN_ void *alps_rel_get_(const int64_t *rel)
{
    uintptr_t p = (uintptr_t)rel, distance = (uintptr_t)*rel;
    if (ALPS_LIKELY_(distance * 2 != 0))
        p += distance;
    else if (!distance)
        return NULL;
    __asm__("" : "+r"(p));
    return (void *)p;
}

ALPS_FN_ void alps_rel_set_(int64_t *rel, const void *p)
{
    int64_t distance = (int64_t)((uintptr_t)p - (uintptr_t)rel);
    *rel = !p ? 0 : distance ? distance : INT64_MIN;
}

/* The address that an ALPS_PTR names, of its type; and the other way. */
#define ALPS_GET(h, ptr) \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_ptr_get_(&(h)->core.map, (ptr).off))
#define ALPS_SET(h, ptr, p)          \
  ((void)sizeof((ptr).type_ == (p)), \
   (void)((ptr).off = alps_ptr_off_(&(h)->core.map, (p))))

#define ALPS_REL_GET(ptr) \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_rel_get_(&(ptr).rel))
#define ALPS_REL_SET(ptr, p) \
  ((void)sizeof((ptr).type_ == (p)), alps_rel_set_(&(ptr).rel, (p)))

/* Assigns between two ALPS_PTR(T) that are two types to C; the T must agree. */
#define ALPS_COPY(to, from) \
  ((void)sizeof((to).type_ == (from).type_), (void)((to).off = (from).off))

/* heap.h -- blocks: taken, freed
 *
 * Blocks of whole granules (64 bytes), aligned to them, without headers; above
 * half an extent, of whole extents. Under a durable policy a block is durably
 * allocated when it is taken and durably free when it is freed, for one
 * fence each; no lock is held across it. A freed block enters the index only
 * after its fence: so nothing in the index is marked used on the medium, which
 * is what lets recovery tell a publish that was cut short (docs/design.md). */

/* A request in units of the level that serves it. */
typedef struct alps_request {
    uint64_t units, align;
    int level;
    unsigned code;     /* of the block: ALPS_USED or ALPS_HELD */
    int fixed;         /* 1: the region is not to grow for it */
    alps_shard *shard; /* that it was taken from, and that is locked */
} alps_request;

ALPS_FN_ int alps_request_init_(const alps_handle *h, uint64_t align,
                                uint64_t n, unsigned code, alps_request *r)
{
    if (align & (align - 1) || align > h->at.extent || n > ALPS_SIZE_MAX)
        return ALPS_EINVAL;
    r->align = align ? align : 1;
    r->code = code;
    r->fixed = 0;
    r->units = (n + !n + ALPS_GRANULE - 1) >> ALPS_GRANULE_SHIFT;
    r->level = ALPS_LEVEL_GRANULE;
    uint64_t room =
        r->units +
        (r->align > ALPS_GRANULE ? (r->align >> ALPS_GRANULE_SHIFT) - 1 : 0);
    if (ALPS_UNLIKELY_(room > h->at.granules / 2)) {
        r->level = ALPS_LEVEL_EXTENT;
        r->units = (n + !n + h->at.extent - 1) >> h->at.extent_shift;
    }
    return ALPS_OK;
}

/* Takes a run for `r` from its shard, which is locked, and whose index is
 * refilled as often as it helps. One that is spoilt is reset, and the search
 * begun again, twice. */
ALPS_CORE_ int alps_shard_take_(alps_handle *h, const alps_request *r,
                                alps_off *off, const alps_tables *t)
{
    for (int spoilt = 0;;) {
        int err =
            r->shard == h->top
                ? alps_holes_take_(h, r->units, r->align, r->code, off, t)
                : alps_take_any_(h, r->shard, r->units, r->align, r->code, off);
        if (err == ALPS_EFULL && r->shard != h->top)
            err = alps_refill_(h, r->shard,
                               r->units + (r->align >> ALPS_GRANULE_SHIFT), t);
        else if (err != ALPS_ECORRUPT)
            return err;
        if (err && (err != ALPS_ECORRUPT || ++spoilt == 3))
            return err;
    }
}

/* Takes a block for `r` from a shard, and leaves it locked if there is one. */
ALPS_CORE_ int alps_heap_try_(alps_handle *h, alps_request *r, alps_shard *s,
                              alps_off *off, const alps_tables *t)
{
    alps_shard_lock_(h, s, 0, t);
    r->shard = s;
    int err = t->slow(h, ALPS_SLOW_TAKE, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    if (err)
        alps_shard_unlock_(s);
    return err;
}

/* Looks for granules in all shards, the thread's own first; or for extents,
 * also among those that are empty. */
ALPS_CORE_ int alps_heap_look_(alps_handle *h, alps_request *r, alps_off *off,
                               const alps_tables *t)
{
    uint64_t n = 1;
    int err = ALPS_EFULL;
    if (r->level == ALPS_LEVEL_GRANULE) {
        uint64_t home = (uint64_t)(alps_shard_home_(h) - h->shards);
        for (uint64_t i = 0; err == ALPS_EFULL && i < h->at.shard_count; i++)
            err = alps_heap_try_(
                h, r, &h->shards[(home + i) & (h->at.shard_count - 1)], off, t);
        return err;
    }
    while (n) {
        err = alps_heap_try_(h, r, h->top, off, t);
        if (err != ALPS_EFULL)
            return err;
        err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
        if (err)
            return err;
    }
    return ALPS_EFULL;
}

/* The same; all that can comes back then, and at last the region grows. */
ALPS_CORE_ int alps_heap_search_(alps_handle *h, alps_request *r, alps_off *off,
                                 const alps_tables *t)
{
    uint64_t extents = r->level == ALPS_LEVEL_EXTENT ? r->units : 1;
    for (;;) {
        uint64_t size = alps_size_(h);
        int err = alps_heap_look_(h, r, off, t);
        if (err != ALPS_EFULL)
            return err;
        err = t->slow(h, ALPS_SLOW_MORE, 0, 0);
        if (err == ALPS_EFULL && !r->fixed)
            err = alps_growth_demand_(h, size, extents, t);
        if (err)
            return err;
    }
}

/* Takes a block for `r`; r->shard is where, and is locked then. `fast`: nothing
 * follows, such as a fence, beside which a call would not be seen. */
ALPS_FAST_ int alps_heap_take_(alps_handle *h, alps_request *r, int fast,
                               alps_off *off, const alps_tables *t)
{
    if (ALPS_LIKELY_(r->level == ALPS_LEVEL_GRANULE)) {
        r->shard = alps_shard_apart_(h);
        alps_shard_lock_(h, r->shard, 0, t);
        if (ALPS_LIKELY_(alps_take_(h, r->shard, fast, r->units, r->align,
                                    r->code, off) == ALPS_OK))
            return ALPS_OK;
        alps_shard_unlock_(r->shard);
    }
    return t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                   (uint64_t)(uintptr_t)off);
}

/* The zone of a block of `level` at `off`. */
ALPS_FN_ void alps_heap_block_(const alps_handle *h, alps_off off, int level,
                               alps_block *b)
{
    b->level = level;
    b->zone =
        level == ALPS_LEVEL_EXTENT
            ? alps_zone_top_(h)
            : alps_zone_extent_(h, (off - h->at.heap) >> h->at.extent_shift);
    b->shard =
        level == ALPS_LEVEL_EXTENT
            ? h->top
            : alps_shard_named_(h, (off - h->at.heap) >> h->at.extent_shift);
    b->unit = alps_zone_unit_(&b->zone, off);
}

/* What else an allocation is to do. */
enum {
    ALPS_ALLOC_ZERO = 1, /* zero the block */
    ALPS_ALLOC_LATER = 2 /* leave the fence to the caller */
};

/* Makes the used block at `off` durable, with the zeroes in it if so asked.
 * One fence. */
ALPS_FAST_ int alps_heap_settle_(alps_handle *h, alps_off off,
                                 const alps_request *r, int how,
                                 const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    alps_heap_block_(h, off, r->level, &b);
    if (how & ALPS_ALLOC_ZERO)
        err = t->policy->flush(&h->map, alps_address_(h, off),
                               r->units << b.zone.shift);
    if (!err)
        err = alps_codes_flush_(h, &b.zone, b.unit, r->units, t);
    if (err || how & ALPS_ALLOC_LATER)
        return err;
    return t->fence(&h->map);
}

/* Takes a run of extents, durably known to be no heap extent before its code
 * says that it is used. One fence. */
ALPS_CORE_ int alps_heap_take_large_(alps_handle *h, alps_request *r,
                                     alps_off *off, const alps_tables *t)
{
    alps_block b;
    alps_lane *lane = alps_lane_take_(h, t);
    r->code = ALPS_HELD;
    int err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    if (!err) {
        alps_store_(&lane->held, *off);
        alps_shard_unlock_(r->shard);
        alps_heap_block_(h, *off, r->level, &b);
        err = t->policy->flush(&h->map, &h->kinds[b.unit / 64], 8);
        if (!err)
            err = t->fence(&h->map);
        alps_shard_lock_(h, b.shard, 0, t);
        alps_block_build_(h, &b);
        if (err)
            alps_give_back_(h, &b);
        else
            alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
        alps_store_(&lane->held, 0);
        alps_shard_unlock_(b.shard);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Takes a block of `n` bytes; `how` is of ALPS_ALLOC_... */
ALPS_FAST_ void *alps_heap_alloc_(alps_handle *h, uint64_t align, uint64_t n,
                                  int how, const alps_tables *t)
{
    alps_request r;
    alps_off off = 0;
    int err = alps_request_init_(h, align, n, ALPS_USED, &r);
    if (ALPS_LIKELY_(!err))
        err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err != ALPS_OK)) {
        alps_fail_(h, err);
        return NULL;
    }
    if (t->policy->durable && r.level == ALPS_LEVEL_EXTENT) {
        err = alps_heap_take_large_(h, &r, &off, t);
    } else {
        err = alps_heap_take_(h, &r, !t->policy->durable, &off, t);
        if (ALPS_LIKELY_(!err))
            alps_shard_unlock_(r.shard);
    }
    if (ALPS_UNLIKELY_(err != ALPS_OK)) {
        alps_fail_(h, err);
        return NULL;
    }
    void *p = alps_address_(h, off);
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    if (t->policy->durable) {
        err = alps_heap_settle_(h, off, &r, how, t);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* Finds the block at `off` for one who is to free it or publish it: 0 if its
 * code is `code`, and if it is held, by this process. The lock of its shard is
 * taken then, and its zone is in the index. */
ALPS_CORE_ int alps_heap_own_(alps_handle *h, alps_off off, unsigned code,
                              alps_block *b, const alps_tables *t)
{
    int err = ALPS_OK;
    int is = alps_block_lock_(h, off, b, 0, t);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    if (ALPS_UNLIKELY_((unsigned)is != code)) {
        err = ALPS_EINVALID_FREE;
    } else if (code == ALPS_HELD) {
        int slot = alps_held_slot_(h, b->shard, off);
        if (slot < 0 || slot == (int)ALPS_HELD_LIMBO_)
            err = ALPS_EINVALID_FREE; // it is free, or as good as that
        else if ((unsigned)slot != h->slot)
            err = ALPS_EOWNER;
    }
    if (ALPS_UNLIKELY_(err))
        alps_block_unlock_(b);
    return err;
}

/* The second half of a durable free: the block at `off` is durably not used,
 * and enters the index. The lane forgets it first: should we die in between,
 * the index is void, and who builds it finds a block that nobody holds. */
ALPS_CORE_ void alps_heap_enter_(alps_handle *h, alps_lane *lane, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    int code = alps_block_lock_(h, off, &b, 0, t);
    alps_store_(&lane->held, 0);
    ALPS_BARRIER_();
    if (code == ALPS_HELD)
        alps_give_back_(h, &b);
    if (code >= 0)
        alps_block_unlock_(&b);
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
}

/* Marks the used block ALPS_HELD for `lane`. Under the lock of its shard. */
ALPS_FN_ void alps_heap_hold_(alps_lane *lane, const alps_block *b)
{
    alps_store_(&lane->held, alps_zone_off_(&b->zone, b->unit));
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
}

/* Frees the used block at `off`, durably. One fence, outside the lock. */
ALPS_CORE_ int alps_heap_free_durable_(alps_handle *h, alps_off off,
                                       const alps_tables *t)
{
    alps_block b;
    alps_lane *lane = alps_lane_take_(h, t);
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (!err) {
        alps_heap_hold_(lane, &b);
        alps_block_unlock_(&b);
        err = alps_codes_flush_(h, &b.zone, b.unit, 0, t);
        if (!err)
            err = t->fence(&h->map);
        alps_heap_enter_(h, lane, off, t);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Gives a reservation back; see alps_cancel. */
ALPS_CORE_ int alps_heap_cancel_(alps_handle *h, alps_off off,
                                 const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_own_(h, off, ALPS_HELD, &b, t);
    if (err)
        return err;
    alps_held_drop_(h, b.shard, alps_held_find_(h, b.shard, off));
    alps_give_back_(h, &b);
    alps_held_fold_(h, b.shard, t);
    alps_block_unlock_(&b);
    return ALPS_OK;
}

/* Frees the used block at `off`, where only processes die. */
ALPS_FAST_ int alps_heap_free_fast_(alps_handle *h, alps_off off,
                                    const alps_tables *t)
{
    alps_block b;
    int code = alps_block_find_(h, off, &b);
    code = alps_block_found_(h, off, code, &b, 0, t);
    if (ALPS_LIKELY_(code == ALPS_USED))
        alps_give_(h, &b);
    if (ALPS_LIKELY_(code >= 0))
        alps_block_unlock_(&b);
    if (ALPS_UNLIKELY_(code != ALPS_USED))
        return ALPS_EINVALID_FREE;
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    return ALPS_OK;
}

/* Frees the block at `off`, or gives the reservation back that it is. */
ALPS_FAST_ int alps_heap_free_(alps_handle *h, alps_off off,
                               const alps_tables *t)
{
    alps_block b;
    int err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err))
        return err;
    err = t->policy->durable ? alps_heap_free_durable_(h, off, t)
                             : alps_heap_free_fast_(h, off, t);
    if (ALPS_UNLIKELY_(err == ALPS_EINVALID_FREE &&
                       alps_block_at_(h, off, &b) == ALPS_HELD))
        err = alps_heap_cancel_(h, off, t);
    return err;
}

/* rack.h -- where a thread's next objects come from
 *
 * From the slab in use, from another slab of the thread's own, from one in
 * which others have freed, from one that no thread owns, from a new one: each
 * is asked when the one before it has nothing. A slab that is empty goes back
 * to the heap, but for a few. */

/* Goes on to the next group of the slab in use that has a free object. */
ALPS_FN_ int alps_rack_next_(const alps_handle *h, alps_rack *rack)
{
    unsigned groups = alps_slab_groups_(rack->slab);
    unsigned g = rack->group;
    for (unsigned i = 0; i < groups; i++) {
        g = g + 1 < groups ? g + 1 : 0;
        uint64_t mask = alps_slab_free_(h, rack->slab, g);
        if (mask) {
            alps_rack_use_(h, rack, g, mask);
            return 1;
        }
    }
    return 0;
}

/* Puts a slab of this thread into use; 0 if it has no free object. */
ALPS_FN_ int alps_rack_open_(const alps_handle *h, alps_rack *rack,
                             alps_off place)
{
    rack->slab = alps_slab_head_(h, place);
    rack->place = place;
    rack->group = alps_slab_groups_(rack->slab) - 1;
    rack->slab->where = ALPS_IN_USE;
    return alps_rack_next_(h, rack);
}

/* The slab in use has no free object left: it is set aside until somebody
 * frees one, which others are asked to tell. */
ALPS_FN_ void alps_rack_close_(const alps_handle *h, alps_rack *rack)
{
    alps_off place = rack->place;
    alps_slab *s = rack->slab;
    alps_rack_clear_(rack);
    s->where = ALPS_FULL;
    alps_list_push_(h, &rack->full, place);
    if (alps_slab_ask_(h, s))
        alps_rack_refound_(h, rack, s, place);
}

/* Looks at one slab of this thread that others said they freed in. */
ALPS_FN_ void alps_told_slab_(alps_handle *h, alps_cache *c, alps_off place)
{
    alps_slab *s = alps_slab_head_(h, place);
    if (s->where != ALPS_FULL || s->kind - 1 >= ALPS_KINDS)
        return;
    if (alps_slab_ask_(h, s))
        alps_rack_refound_(h, &c->rack[s->kind - 1], s, place);
}

/* Takes what was told of this thread's slabs in one extent. */
ALPS_FN_ void alps_told_extent_(alps_handle *h, alps_cache *c, uint64_t extent)
{
    alps_off origin = h->at.heap + (extent << h->at.extent_shift);
    uint64_t slabs = h->at.extent >> h->at.slab_shift;
    uint64_t *told = alps_told_words_(h, origin);
    for (uint64_t w = 0; w < (slabs + 63) / 64; w++) {
        uint64_t left = alps_load_(&told[w]);
        for (; left; left &= left - 1) {
            unsigned bit = alps_low_bit_(left);
            alps_off place = origin + ((w * 64 + bit) << h->at.slab_shift);
            if (!alps_slab_is_(h, place) ||
                alps_load_(&alps_slab_head_(h, place)->owner) != c->token)
                continue;
            __atomic_fetch_and(&told[w], ~(1ull << bit), __ATOMIC_SEQ_CST);
            alps_told_slab_(h, c, place);
        }
    }
}

/* Takes what this thread was told since it last looked. */
ALPS_FN_ void alps_told_(alps_handle *h, alps_cache *c)
{
    for (unsigned w = 0; w < 8; w++) {
        uint64_t left = alps_load_(&c->lane->told[w]);
        if (left)
            left = __atomic_exchange_n(&c->lane->told[w], 0, __ATOMIC_SEQ_CST);
        for (; left; left &= left - 1) {
            uint64_t extent = w * 64 + alps_low_bit_(left);
            for (; extent < alps_extents_(h); extent += 512)
                if (alps_extent_heap_(h, extent))
                    alps_told_extent_(h, c, extent);
        }
    }
}

/* Looks for a run of the index that has room for an aligned slab though it is
 * shorter than one that is sure to have: a slab given back between two others
 * is such a run. */
ALPS_CORE_ alps_off alps_slab_run_(alps_handle *h, const alps_shard *s,
                                   const alps_request *r)
{
    const alps_index *x = &s->index;
    uint64_t most = r->units + (r->align >> ALPS_GRANULE_SHIFT);
    for (uint64_t units = r->units; units < most;) {
        alps_bin bin = alps_bin_of_(units);
        alps_off off = x->head[bin.row][bin.column];
        for (unsigned looks = 0; off && looks < 4; looks++) {
            if (off < h->at.heap || off >= alps_size_(h) || off % ALPS_GRANULE)
                return 0;
            const alps_run *run = (const alps_run *)alps_address_(h, off);
            alps_off end = off + run->units * ALPS_GRANULE;
            alps_off at = (end - r->units * ALPS_GRANULE) & ~(r->align - 1);
            if (run->units >= r->units && at >= off)
                return off;
            off = run->next;
        }
        units = units < ALPS_COLUMNS
                    ? units + 1
                    : ((units >> (alps_high_bit_(units) - 5)) + 1)
                          << (alps_high_bit_(units) - 5);
    }
    return 0;
}

/* Takes the block for a slab out of such a run of shard `s`, and leaves it
 * locked if there is one. */
ALPS_CORE_ int alps_slab_fit_(alps_handle *h, alps_request *r, alps_shard *s,
                              alps_off *off, const alps_tables *t)
{
    int err = ALPS_EFULL;
    alps_shard_lock_(h, s, 0, t);
    r->shard = s;
    alps_off run = alps_slab_run_(h, s, r);
    uint64_t extent = (run - h->at.heap) >> h->at.extent_shift;
    if (run && alps_extent_heap_(h, extent) &&
        alps_load_(&alps_extent_(h, extent)->built) == s->built) {
        alps_zone z = alps_zone_extent_(h, extent);
        uint64_t unit = alps_zone_unit_(&z, run);
        err = unit < z.first || unit >= z.end
                  ? ALPS_ECORRUPT
                  : alps_zone_cut_(h, &z, unit, r->units, r->align, ALPS_HELD,
                                   &unit);
        *off = alps_zone_off_(&z, unit);
        if (err == ALPS_ECORRUPT)
            alps_index_reset_(s);
    }
    if (err)
        alps_shard_unlock_(s);
    return err;
}

/* Takes the block for a slab, in ALPS_HELD; r->shard is where, and is locked
 * then. */
ALPS_CORE_ int alps_slab_block_(alps_handle *h, alps_request *r, alps_off *off,
                                const alps_tables *t)
{
    if (alps_slab_fit_(h, r, alps_shard_home_(h), off, t) == ALPS_OK)
        return ALPS_OK;
    r->fixed = 1;
    int err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    for (alps_shard *s = h->shards; err == ALPS_EFULL && s < h->top; s++)
        err = alps_slab_fit_(h, r, s, off, t);
    r->fixed = 0;
    if (err == ALPS_EFULL && alps_growth_may_(h))
        err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    return err;
}

/* Makes a slab of class `kind` for `c`. Its pairs, and the codes around its
 * block, are durable before it is durably a slab. Two fences. */
ALPS_CORE_ int alps_slab_make_(alps_handle *h, alps_cache *c, unsigned kind,
                               alps_off *place, const alps_tables *t)
{
    alps_request r;
    alps_block b;
    r.units = alps_kind_granules_(h, kind);
    r.align = 1ull << h->at.slab_shift;
    r.level = ALPS_LEVEL_GRANULE;
    r.code = ALPS_HELD;
    int err = alps_slab_block_(h, &r, place, t);
    if (err)
        return err;
    alps_heap_block_(h, *place, ALPS_LEVEL_GRANULE, &b);
    if (*place >= h->at.slab_end) {
        alps_give_back_(h, &b);
        alps_block_unlock_(&b);
        return ALPS_EFULL;
    }
    alps_slab *s = alps_slab_head_(h, *place);
    alps_slab_begin_(h, s, kind);
    alps_store_(&s->process, alps_self_(h));
    __atomic_store_n(&s->owner, c->token, __ATOMIC_SEQ_CST);
    err = t->policy->flush(&h->map, s, (size_t)h->at.keeps);
    if (!err)
        err = alps_codes_flush_(h, &b.zone, b.unit, r.units, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err) {
        alps_slab_mark_(h, *place, 1);
        err = t->policy->flush(&h->map,
                               &h->slabs[(*place >> h->at.slab_shift) / 64], 8);
    }
    if (!err)
        err = t->fence(&h->map);
    if (err) {
        alps_slab_mark_(h, *place, 0);
        alps_give_back_(h, &b);
    }
    alps_block_unlock_(&b);
    return err;
}

/* Gets a slab with a free object of class `kind` from elsewhere: one that
 * nobody owns, or a new one. */
ALPS_CORE_ int alps_rack_get_(alps_handle *h, alps_cache *c, unsigned kind,
                              const alps_tables *t)
{
    alps_off place;
    int err = ALPS_OK;
    alps_lock_(h, t);
    place = alps_loose_take_(h, kind, c->token, alps_self_(h));
    if (!place) {
        alps_loose_sweep_(h, kind, ALPS_SWEEP_MAX, t);
        place = alps_loose_take_(h, kind, c->token, alps_self_(h));
    }
    alps_unlock_(h);
    if (!place)
        err = alps_slab_make_(h, c, kind, &place, t);
    if (err)
        return err;
    alps_slab *s = alps_slab_head_(h, place);
    alps_claim_(h, place, &c->rack[kind]);
    s->where = ALPS_PARTIAL;
    alps_store_(&s->full, 0);
    alps_list_push_(h, &c->rack[kind].partial, place);
    return ALPS_OK;
}

/* Puts one of the rack's slabs with free objects into use. */
ALPS_FN_ int alps_rack_turn_(alps_handle *h, alps_cache *c, unsigned kind)
{
    alps_rack *rack = &c->rack[kind];
    while (rack->partial) {
        alps_off place = rack->partial;
        alps_list_drop_(h, &rack->partial, place);
        if (alps_slab_head_(h, place)->where == ALPS_EMPTY)
            alps_empty_add_(h, c->lane, ~0ull);
        if (alps_rack_open_(h, rack, place))
            return 1;
        alps_rack_close_(h, rack);
    }
    return 0;
}

/* Finds objects of class `kind` for this thread: in the slab in use, in
 * another of its own, in one where others have freed, in one that nobody owns,
 * or in a new one. */
ALPS_CORE_ int alps_rack_fill_(alps_handle *h, unsigned kind,
                               const alps_tables *t)
{
    alps_cache *c = alps_cache_(h);
    alps_rack *rack = &c->rack[kind];
    if (rack->slab && alps_rack_next_(h, rack))
        return ALPS_OK;
    if (rack->slab)
        alps_rack_close_(h, rack);
    if (alps_rack_turn_(h, c, kind))
        return ALPS_OK;
    alps_told_(h, c);
    uint64_t reaped = alps_load_(&h->shared->reaped);
    for (unsigned k = 0; c->reaped != reaped && k < ALPS_KINDS; k++)
        alps_rack_review_(h, &c->rack[k]);
    c->reaped = reaped;
    while (!alps_rack_turn_(h, c, kind)) {
        int err = alps_rack_get_(h, c, kind, t);
        if (err == ALPS_EFULL) { // readers may have left: look once more
            alps_told_(h, c);
            return alps_rack_turn_(h, c, kind) ? ALPS_OK : err;
        }
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* A slab of this thread, not in use, has one object less: it is no more full,
 * or it is empty. */
ALPS_CORE_ int alps_rack_freed_(alps_handle *h, alps_off off,
                                const alps_tables *t)
{
    alps_off place = alps_slab_place_(h, off);
    alps_slab *s = alps_slab_head_(h, place);
    alps_cache *c = alps_cache_(h);
    alps_rack *rack = &c->rack[s->kind - 1];
    if (s->where == ALPS_FULL)
        alps_rack_refound_(h, rack, s, place);
    if (s->where != ALPS_PARTIAL || alps_slab_live_beside_(s, off - place) ||
        !alps_slab_empty_(h, s))
        return ALPS_OK;
    if (alps_empty_may_(h, c->lane)) {
        s->where = ALPS_EMPTY;
        alps_empty_add_(h, c->lane, 1);
        return ALPS_OK;
    }
    alps_list_drop_(h, &rack->partial, place);
    alps_rack_purge_(h, rack, s);
    alps_lock_(h, t);
    alps_claim_end_(h, place, t);
    alps_unlock_(h);
    return ALPS_OK;
}

/* small.h -- alloc, free, reserve: objects of slabs, and blocks
 *
 * An object up to the region's `small` comes from a slab of this thread: a bit
 * is turned, and that is all; no lock, no search, no system call. Who frees an
 * object of another thread's slab turns a bit of the other word, and tells the
 * owner if its slab was full. All else, and all that finds no slab, is a
 * block. */

/* The bytes to ask a class for, or 0 where none serves: a multiple of the
 * alignment, so that all objects of its slabs have it. */
ALPS_FAST_ uint64_t alps_small_size_(const alps_handle *h, uint64_t align,
                                     uint64_t n)
{
    if (n > ALPS_SMALL_MAX)
        return 0; // seen by the compiler where `n` is a constant
    n += !n;
    if (align > 16) {
        if (align & (align - 1) || align > ALPS_SMALL_MAX)
            return 0;
        n = alps_round_up_(n, align);
        if (n > ALPS_SMALL_MAX || alps_kind_size_(alps_kind_of_(n)) % align)
            return 0;
    }
    return n <= h->at.small && h->at.small >= 16 ? n : 0;
}

/* An object of a slab that this thread does not own has become free. A slab
 * that nobody sees to is listed. */
ALPS_CORE_ void alps_far_tell_(alps_handle *h, const alps_object *o,
                               alps_off off, const alps_tables *t)
{
    if (alps_slab_tell_(h, o->slab, off))
        return;
    alps_lock_(h, t);
    if (alps_slab_is_(h, off))
        t->slow(h, ALPS_SLOW_FOUND, alps_slab_place_(h, off), 0);
    alps_unlock_(h);
}

/* Makes a live object free, with the other word. Who frees one twice at the
 * same instant finds it free the second time. */
ALPS_FN_ int alps_far_turn_(const alps_object *o)
{
    uint64_t far = __atomic_load_n(&o->pair->far, __ATOMIC_ACQUIRE);
    do {
        if (!((alps_load_(&o->pair->own) ^ far) & o->bit))
            return ALPS_EINVALID_FREE;
    } while (!__atomic_compare_exchange_n(&o->pair->far, &far, far ^ o->bit, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    return ALPS_OK;
}

/* Frees an object of a slab that this thread does not own. Under a durable
 * policy the object is held back until its fence is done: the owner must not
 * hand out what is live on the medium. */
ALPS_CORE_ int alps_far_free_(alps_handle *h, const alps_object *o,
                              alps_off off, const alps_tables *t)
{
    int err;
    if (!t->policy->durable) {
        err = alps_far_turn_(o);
    } else {
        alps_lane *lane = alps_lane_take_(h, t);
        alps_store_(&lane->held, off);
        ALPS_BARRIER_();
        alps_object_pin_(o, 1);
        err = alps_far_turn_(o);
        if (!err) {
            err = t->policy->flush(&h->map, o->pair, sizeof *o->pair);
            if (!err)
                err = t->fence(&h->map);
        }
        alps_object_pin_(o, 0);
        ALPS_BARRIER_();
        alps_store_(&lane->held, 0);
        alps_lane_leave_(lane);
    }
    if (err != ALPS_EINVALID_FREE)
        alps_far_tell_(h, o, off, t);
    return err;
}

/* Whether this process may publish or cancel the reserved object: 0, or why
 * not. */
ALPS_FN_ int alps_object_held_(const alps_handle *h, const alps_object *o,
                               alps_off off)
{
    if (!alps_object_reserved_(h, o, off))
        return ALPS_EINVALID_FREE;
    return alps_load_(&o->slab->process) == alps_self_(h) ? ALPS_OK
                                                          : ALPS_EOWNER;
}

/* The same for one of a slab of this thread, whose cache is `c`. */
ALPS_FAST_ int alps_object_mine_held_(const alps_cache *c, const alps_object *o,
                                      alps_off off)
{
    uint64_t kept = alps_load_(&o->keep->own) ^ alps_load_(&o->keep->far);
    return kept & ~alps_pair_live_(o->pair) & o->bit && c &&
                   alps_load_(&c->lane->pending) != off
               ? ALPS_OK
               : ALPS_EINVALID_FREE;
}

/* An object of this thread's slab, number `bit` % 64 of its group, may be
 * handed out: it is put at hand, or found again by its pair. `live` are the
 * live ones of the group. */
ALPS_FAST_ int alps_small_back_(alps_handle *h, alps_rack *rack,
                                const alps_slab *s, alps_pair *pair,
                                uint64_t bit, alps_off off, uint64_t live,
                                const alps_tables *t)
{
    if (ALPS_LIKELY_(rack->top != rack->end)) {
        alps_spot_push_(rack, alps_address_(h, off), &pair->own, bit);
        return ALPS_OK;
    }
    if (ALPS_LIKELY_(live && s->where != ALPS_FULL))
        return ALPS_OK;
    return t->slow(h, ALPS_SLOW_FREED, off, 0);
}

/* The same for what was kept from others. */
ALPS_CORE_ int alps_object_back_(alps_handle *h, const alps_object *o,
                                 alps_off off, const alps_tables *t)
{
    return alps_small_back_(h, &alps_cache_(h)->rack[o->kind], o->slab, o->pair,
                            alps_low_bit_(o->bit), off,
                            alps_pair_live_(o->pair), t);
}

/* Gives a reserved object back; see alps_cancel. */
ALPS_CORE_ int alps_small_cancel_(alps_handle *h, const alps_object *o,
                                  alps_off off, const alps_tables *t)
{
    int err = alps_object_held_(h, o, off);
    if (err)
        return err;
    alps_cache *c = alps_cache_(h);
    int mine = c && alps_object_mine_(o, c->token);
    alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, mine);
    if (mine)
        return alps_object_back_(h, o, off, t);
    alps_far_tell_(h, o, off, t);
    return ALPS_OK;
}

/* Frees what `off` names where that is not as simple as most: an object of
 * another thread's slab, a reservation, what is no object, a block. */
ALPS_FAST_ int alps_small_slow_(alps_handle *h, alps_off off,
                                const alps_tables *t)
{
    alps_object o;
    memset(&o, 0, sizeof o);
    int is = alps_object_at_(h, off, &o);
    if (is == 0)
        return alps_heap_free_(h, off, t);
    int err = alps_ready_(h, t);
    if (err || is < 0)
        return err ? err : ALPS_EINVALID_FREE;
    if (alps_object_live_(&o))
        return alps_far_free_(h, &o, off, t);
    return alps_small_cancel_(h, &o, off, t);
}

/* Takes an object off those at hand, and makes it live; durably, if `how` does
 * not leave the fence to the caller. NULL where none is at hand. */
ALPS_FAST_ void *alps_small_pop_(alps_handle *h, alps_rack *rack, uint64_t n,
                                 int how, const alps_tables *t)
{
    alps_spot spot;
    if (ALPS_UNLIKELY_(!alps_rack_take_(rack, &spot)))
        return NULL;
    void *p = spot.object;
    uint64_t *own = spot.own;
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    alps_store_(own, alps_load_(own) ^ 1ull << spot.bit % 64);
    if (t->policy->durable) {
        int err = ALPS_OK;
        if (how & ALPS_ALLOC_ZERO)
            err = t->policy->flush(&h->map, p, n);
        if (!err)
            err = t->policy->flush(&h->map, own, sizeof(alps_pair));
        if (!err && !(how & ALPS_ALLOC_LATER))
            err = t->fence(&h->map);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* The rack for objects of `n` bytes (not 0), with one at hand; NULL where there
 * is no slab to be had. */
ALPS_FAST_ alps_rack *alps_small_rack_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    unsigned kind = alps_kind_of_(n);
    alps_cache *c = alps_cache_(h);
    if (!c)
        return NULL;
    alps_rack *rack = &c->rack[kind];
    return rack->top != rack->bottom || rack->mask ||
                   t->slow(h, ALPS_SLOW_RACK, kind, 0) == ALPS_OK
               ? rack
               : NULL;
}

/* Allocates what is not at hand: after looking for more, or as a block. */
ALPS_FAST_ void *alps_small_other_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, align, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    return rack ? alps_small_pop_(h, rack, n, how, t)
                : alps_heap_alloc_(h, align, n, how, t);
}

/* See alps_alloc, alps_zalloc, alps_alloc_aligned. */
ALPS_FAST_ void *alps_small_alloc_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    uint64_t small = alps_small_size_(h, align, n);
    if (ALPS_LIKELY_(small != 0)) {
        const alps_seat *seat = alps_seat_(h, self);
        if (ALPS_LIKELY_(alps_seat_is_(seat, self))) {
            alps_rack *rack = &seat->cache->rack[alps_kind_of_(small)];
            void *p = alps_small_pop_(h, rack, n, how, t);
            if (ALPS_LIKELY_(p != NULL))
                return p;
        }
    }
    return t->other(h, align, n, how);
}

/* Takes an object that is not live, but kept from others: a reservation. NULL
 * where no slab is to be had. */
ALPS_FAST_ void *alps_small_reserve_(alps_handle *h, uint64_t n,
                                     const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, 1, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    alps_spot spot;
    if (!rack || !alps_rack_take_(rack, &spot))
        return NULL;
    alps_slab *s = alps_slab_head_(h, alps_offset_(h, spot.object));
    alps_pair *pair = (alps_pair *)(void *)spot.own;
    alps_keep *keep = &alps_slab_keeps_(h, s)[pair - alps_slab_pairs_(s)];
    if (!__atomic_load_n(&s->kept, __ATOMIC_RELAXED))
        __atomic_store_n(&s->kept, 1, __ATOMIC_RELEASE);
    alps_store_(&keep->own, alps_load_(&keep->own) ^ 1ull << spot.bit % 64);
    return spot.object;
}

/* See alps_free. */
ALPS_FAST_ int alps_small_free_(alps_handle *h, const void *p,
                                const alps_tables *t)
{
    uintptr_t self = ALPS_THREAD_();
    alps_off off = alps_offset_(h, p);
    if (ALPS_UNLIKELY_(off >= h->at.slab_end))
        return p ? t->far(h, off) : ALPS_OK;
    const alps_claim *claim = &h->claims[off >> h->at.slab_shift];
    if (ALPS_UNLIKELY_(__atomic_load_n(&claim->thread, __ATOMIC_RELAXED) !=
                       self))
        return t->far(h, off);
    uint64_t i = (off & h->at.slab_mask) * claim->scale;
    if (ALPS_UNLIKELY_((uint32_t)i >= claim->scale || // does not come out even
                       i >> 32 >= claim->count))
        return t->far(h, off);
    alps_pair *pair = &alps_slab_pairs_(claim->slab)[i >> 38];
    uint64_t bit = i >> 32;
    uint64_t own = alps_load_(&pair->own) ^ 1ull << bit % 64;
    uint64_t live = own ^ alps_load_(&pair->far);
    if (ALPS_UNLIKELY_(live >> bit % 64 & 1)) // it was not before
        return t->far(h, off);
    alps_store_(&pair->own, own);
    if (t->policy->durable) {
        int err = t->policy->flush(&h->map, pair, sizeof *pair);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            return err;
    }
    return alps_small_back_(h, claim->rack, claim->slab, pair, bit, off, live,
                            t);
}

/* Bytes of the live or reserved object or block at `p`, or 0. */
ALPS_FN_ uint64_t alps_small_usable_(const alps_handle *h, const void *p)
{
    alps_object o;
    alps_block b;
    alps_off off = alps_offset_(h, p);
    int is = p ? alps_object_at_(h, off, &o) : -1;
    if (is == 1)
        return alps_object_live_(&o) || alps_object_reserved_(h, &o, off)
                   ? alps_kind_size_(o.kind)
                   : 0;
    int code = is ? -1 : alps_block_at_(h, off, &b);
    return code == ALPS_USED || code == ALPS_HELD ? alps_block_size_(&b) : 0;
}

/* publish.h -- reserve, fill, publish; release
 *
 * A reservation is volatile: a crash gives it back. A publish makes one change
 * of it atomically: the object is allocated and durable, and `*dest` names it.
 * A release is the reverse. Each costs two fences, as many as writing an object
 * and then a pointer to it would cost without any allocator. */

/* Contents up to this many bytes share the record's fence, by a checksum;
 * longer ones are fenced first: summing would take longer than that. */
#ifndef ALPS_SUM_MAX
#  define ALPS_SUM_MAX 2048u
#endif

/* Moves the table of reservations of `s` into twice its room: in `s` itself, or
 * in a run of extents, whose lock is held meanwhile. Under the lock of `s`. */
ALPS_CORE_ int alps_held_grow_(alps_handle *h, alps_shard *s,
                               const alps_tables *t)
{
    alps_request r;
    alps_block old;
    alps_off off = 0;
    unsigned shift = alps_held_shift_(s) + 1;
    int err = alps_request_init_(h, 1, 8ull << shift, ALPS_HELD, &r);
    if (err)
        return err;
    if (s == h->top && r.level == ALPS_LEVEL_GRANULE)
        r.units = 1;
    if (s == h->top)
        r.level = ALPS_LEVEL_EXTENT;
    r.shard = r.level == ALPS_LEVEL_EXTENT ? h->top : s;
    if (r.shard != s)
        alps_shard_lock_(h, r.shard, 1, t);
    err = t->slow(h, ALPS_SLOW_TAKE, (uint64_t)(uintptr_t)&r,
                  (uint64_t)(uintptr_t)&off);
    if (!err) {
        int has = alps_held_block_(h, s, &old);
        memset(alps_address_(h, off), 0, 8ull << shift);
        alps_held_move_(h, s, off, shift);
        if (has)
            alps_give_back_(h, &old);
    }
    if (r.shard != s)
        alps_shard_unlock_(r.shard);
    return err;
}

/* Takes a block for `r`, and enters it into the table of its shard; that grows
 * when it is half full, or else as soon as it can. */
ALPS_CORE_ int alps_publish_take_(alps_handle *h, alps_request *r,
                                  alps_off *off, const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_take_(h, r, 0, off, t);
    if (err)
        return err;
    if (ALPS_LIKELY_(!alps_held_full_(r->shard))) {
        alps_held_add_(h, r->shard, *off, h->slot);
        if (ALPS_UNLIKELY_(!alps_held_room_(r->shard)))
            alps_held_grow_(h, r->shard, t);
    } else {
        err = ALPS_EFULL;
        alps_heap_block_(h, *off, r->level, &b);
        alps_give_back_(h, &b);
    }
    alps_shard_unlock_(r->shard);
    return err;
}

/* See alps_reserve. No flush, no fence. */
ALPS_CORE_ void *alps_publish_reserve_(alps_handle *h, uint64_t n,
                                       const alps_tables *t)
{
    alps_request r;
    alps_off off = 0;
    void *p = alps_small_reserve_(h, n, t);
    if (ALPS_LIKELY_(p != NULL))
        return p;
    int err = alps_request_init_(h, 1, n, ALPS_HELD, &r);
    if (!err)
        err = alps_ready_(h, t);
    while (!err) {
        err = alps_publish_take_(h, &r, &off, t);
        if (ALPS_LIKELY_(err != ALPS_EFULL))
            break;
        err = t->slow(h, ALPS_SLOW_MORE, 0, 0);
    }
    if (!err)
        return alps_address_(h, off);
    alps_fail_(h, err);
    return NULL;
}

/* What a record is about: an object of a slab, or a block. */
typedef struct alps_subject {
    alps_object object;
    alps_block block;
    int small;  /* 1: `object` is meant */
    int mine;   /* 1: of a slab of this thread */
    uint64_t n; /* bytes */
} alps_subject;

/* Finds what `r->block` names. `code` tells what it has to be: ALPS_HELD, of
 * this process, or ALPS_USED. Fills the record in. */
ALPS_CORE_ int alps_subject_find_(alps_handle *h, alps_record *r, unsigned code,
                                  alps_subject *s, const alps_tables *t)
{
    int is = alps_object_find_(h, r->block, &s->object, &s->mine);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    s->small = is;
    if (is) {
        s->n = r->units = alps_kind_size_(s->object.kind);
        r->op |= ALPS_OP_SMALL;
        if (code == ALPS_HELD)
            return s->mine ? alps_object_mine_held_(alps_cache_(h), &s->object,
                                                    r->block)
                           : alps_object_held_(h, &s->object, r->block);
        return alps_object_live_(&s->object) ? ALPS_OK : ALPS_EINVALID_FREE;
    }
    int err = alps_heap_own_(h, r->block, code, &s->block, t);
    if (err)
        return err;
    r->units = alps_zone_units_(&s->block.zone, s->block.unit);
    s->n = r->units << s->block.zone.shift;
    if (s->block.level == ALPS_LEVEL_EXTENT)
        r->op |= ALPS_OP_LARGE;
    alps_block_unlock_(&s->block);
    return ALPS_OK;
}

/* Sees to it that the contents are on their way to the medium, or there; those
 * of a large object with its kind, which must be durable before its code is.
 * The sum is taken before the write-back: loads from a line that is being
 * written back stall. */
ALPS_CORE_ int alps_publish_prepare_(alps_handle *h, const alps_subject *s,
                                     alps_record *r, const alps_tables *t)
{
    const void *p = alps_address_(h, r->block);
    if (!t->policy->durable)
        return ALPS_OK;
    if (s->n <= ALPS_SUM_MAX && !(r->op & ALPS_OP_LARGE)) {
        r->op |= ALPS_OP_SUMMED;
        r->crc = alps_crc32c_(h->crc, 0, p, s->n);
        return t->policy->flush(&h->map, p, s->n);
    }
    int err = t->policy->flush(&h->map, p, s->n);
    if (!err && r->op & ALPS_OP_LARGE)
        err = t->policy->flush(&h->map, &h->kinds[s->block.unit / 64], 8);
    return err ? err : t->fence(&h->map);
}

/* Writes the record: durable when this returns, and with it the retirement of
 * the lane's last one. One fence. */
ALPS_CORE_ int alps_record_begin_(alps_handle *h, alps_lane *lane,
                                  alps_record *r, const alps_tables *t)
{
    r->seq = alps_record_seq_(h, lane);
    int err = alps_record_write_(h, lane, r, t);
    if (!err && alps_load_(&lane->pending)) {
        alps_object o;
        alps_off off = alps_pending_end_(h, lane, &o);
        if (off)
            err = alps_object_back_(h, &o, off, t);
    }
    return err;
}

/* Stores to the word. Who reads without a lock finds what it names as it was
 * before. */
ALPS_FN_ void alps_record_store_(const alps_handle *h, const alps_record *r)
{
    __atomic_store_n((uint64_t *)alps_address_(h, r->dest), r->value,
                     __ATOMIC_RELEASE);
}

/* Carries the publish of an object out. */
ALPS_FN_ int alps_publish_object_(alps_handle *h, alps_lane *lane,
                                  const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    if (!alps_object_reserved_(h, o, r->block))
        return ALPS_EINVALID_FREE; // published or cancelled meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_object_turn_(&o->pair->own, &o->pair->far, o->bit, s->mine);
    alps_record_store_(h, r);
    alps_object_turn_(&o->keep->own, &o->keep->far, o->bit, s->mine);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

/* Carries the publish of a block out: the code, the word, the reservation.
 * Under the lock of its shard. */
ALPS_CORE_ int alps_publish_block_(alps_handle *h, alps_lane *lane,
                                   const alps_block *b, const alps_record *r,
                                   const alps_tables *t)
{
    uint64_t entry = alps_held_find_(h, b->shard, r->block);
    if (entry == ALPS_HELD_NONE_)
        return ALPS_EINVALID_FREE; // published or cancelled meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_USED);
    alps_record_store_(h, r);
    alps_held_drop_(h, b->shard, entry);
    alps_held_fold_(h, b->shard, t);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_publish_apply_(alps_handle *h, alps_lane *lane,
                                   const alps_subject *s, const alps_record *r,
                                   const alps_tables *t)
{
    if (s->small)
        return alps_publish_object_(h, lane, s, r);
    alps_block b;
    if (alps_block_lock_(h, r->block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_publish_block_(h, lane, &b, r, t);
    alps_block_unlock_(&b);
    return err;
}

/* Writes back what a record has changed, and retires it. One fence. */
ALPS_CORE_ int alps_record_end_(alps_handle *h, alps_lane *lane,
                                const alps_subject *s, const alps_record *r,
                                const alps_tables *t)
{
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    int err = s->small ? t->policy->flush(&h->map, s->object.pair,
                                          sizeof *s->object.pair)
                       : alps_codes_flush_(h, &s->block.zone, s->block.unit,
                                           publish ? r->units : 0, t);
    if (!err)
        err = t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
    if (!err)
        err = t->fence(&h->map);
    int late = alps_record_retire_(h, lane, r->seq, t);
    return err ? err : late;
}

/* See alps_publish. */
ALPS_CORE_ int alps_publish_(alps_handle *h, alps_off *dest, const void *p,
                             const alps_tables *t)
{
    alps_subject s;
    alps_record r;
    int err = alps_ready_(h, t);
    if (err)
        return err;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_PUBLISH;
    r.block = r.value = alps_offset_(h, p);
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    alps_lane *lane = alps_lane_take_(h, t);
    err = alps_subject_find_(h, &r, ALPS_HELD, &s, t);
    if (!err)
        err = alps_publish_prepare_(h, &s, &r, t);
    if (!err) {
        err = alps_record_begin_(h, lane, &r, t);
        if (!err)
            err = alps_publish_apply_(h, lane, &s, &r, t);
        if (err)
            alps_record_retire_(h, lane, r.seq, t);
        else
            err = alps_record_end_(h, lane, &s, &r, t);
    }
    alps_lane_leave_(lane);
    return err;
}

/* Carries the release of an object out: it is held back first. */
ALPS_FN_ int alps_release_object_(alps_handle *h, alps_lane *lane,
                                  const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    int err = ALPS_OK;
    alps_store_(&lane->held, r->block);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    if (s->mine) {
        __atomic_store_n(&o->slab->kept, 1, __ATOMIC_RELEASE);
        alps_store_(&o->keep->own, alps_load_(&o->keep->own) ^ o->bit);
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    } else {
        alps_object_pin_(o, 1);
        err = alps_far_turn_(o); // freed by somebody else meanwhile
        if (err)
            alps_object_pin_(o, 0);
    }
    if (!err)
        alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    if (err)
        alps_store_(&lane->held, 0);
    return err;
}

/* Carries the first half of the release of a block out. Under the lock of its
 * shard. */
ALPS_FN_ int alps_release_block_(alps_handle *h, alps_lane *lane,
                                 const alps_block *b, const alps_record *r)
{
    if (alps_code_(b->zone.codes, b->unit) != ALPS_USED)
        return ALPS_EINVALID_FREE; // freed by somebody else meanwhile
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_heap_hold_(lane, b);
    alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_release_apply_(alps_handle *h, alps_lane *lane,
                                   const alps_subject *s, const alps_record *r,
                                   const alps_tables *t)
{
    if (s->small)
        return alps_release_object_(h, lane, s, r);
    alps_block b;
    if (alps_block_lock_(h, r->block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_release_block_(h, lane, &b, r);
    alps_block_unlock_(&b);
    return err;
}

/* Lets the released thing be handed out: when its record is retired, durably.
 * Otherwise recovery could free its next owner's. A block enters the index at
 * once: taking the lock makes the retirement complete (x86), or `settle` has
 * (elsewhere). An object of this thread waits for the thread's next fence,
 * which costs nothing; one of another's, for a locked instruction. */
ALPS_CORE_ int alps_release_end_(alps_handle *h, alps_lane *lane,
                                 const alps_subject *s, alps_off off,
                                 const alps_tables *t)
{
    if (!s->small) {
        alps_heap_enter_(h, lane, off, t);
        return ALPS_OK;
    }
    alps_store_(&lane->pending, off);
    ALPS_BARRIER_();
    alps_store_(&lane->held, 0);
    if (s->mine && t->policy->durable)
        return ALPS_OK;
    (void)ALPS_OBSERVE(ALPS_SAW_LOCK, &s->object.keep->pinned, 8);
    if (!s->mine) {
        alps_object_pin_(&s->object, 0);
        ALPS_BARRIER_();
        alps_store_(&lane->pending, 0);
        alps_far_tell_(h, &s->object, off, t);
        return ALPS_OK;
    }
    alps_store_(&s->object.keep->own,
                alps_load_(&s->object.keep->own) ^ s->object.bit);
    ALPS_BARRIER_();
    alps_store_(&lane->pending, 0);
    return alps_object_back_(h, &s->object, off, t);
}

/* See alps_release. */
ALPS_CORE_ int alps_publish_release_(alps_handle *h, alps_off *dest,
                                     const alps_tables *t)
{
    alps_subject s;
    alps_record r;
    int err = alps_ready_(h, t);
    if (err)
        return err;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_RELEASE;
    r.dest = alps_offset_(h, dest);
    if (!alps_dest_valid_(h, r.dest))
        return ALPS_EINVAL;
    r.block = alps_load_(dest);
    if (!r.block)
        return ALPS_OK;
    alps_lane *lane = alps_lane_take_(h, t);
    err = alps_subject_find_(h, &r, ALPS_USED, &s, t);
    if (!err) {
        err = alps_record_begin_(h, lane, &r, t);
        if (!err)
            err = alps_release_apply_(h, lane, &s, &r, t);
        if (err) {
            alps_record_retire_(h, lane, r.seq, t);
        } else {
            err = alps_record_end_(h, lane, &s, &r, t);
            int late = alps_release_end_(h, lane, &s, r.block, t);
            err = err ? err : late;
        }
    }
    alps_lane_leave_(lane);
    return err;
}

/* See alps_cancel. */
ALPS_CORE_ int alps_cancel_(alps_handle *h, alps_off off, const alps_tables *t)
{
    alps_object o;
    int err = alps_ready_(h, t);
    if (err)
        return err;
    int is = alps_object_at_(h, off, &o);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    return is ? alps_small_cancel_(h, &o, off, t)
              : alps_heap_cancel_(h, off, t);
}

/* epoch.h -- readers without locks, and frees that wait for them
 *
 * A reader is between enter and leave: one store and one fence, one store. Who
 * unlinks something from a structure retires it; it is durably free at once,
 * as by a free, and is handed out again when no reader can have it. See
 * limbo.h. */

/* See alps_enter. What is read after the fence was linked when the pin was
 * seen. On x86 the exchange is the fence. */
ALPS_FAST_ int alps_epoch_enter_(alps_handle *h, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    alps_cache *c = alps_cache_(h);
    if (!c)
        return ALPS_EBUSY;
    if (c->reads++)
        return ALPS_OK;
    uint64_t era = __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST);
    (void)__atomic_exchange_n(&c->lane->pin, era, __ATOMIC_SEQ_CST);
#if !defined(__x86_64__)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
    return ALPS_OK;
}

/* See alps_leave. */
ALPS_FAST_ int alps_epoch_leave_(alps_handle *h, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    const alps_seat *seat = alps_seat_find_(h, ALPS_THREAD_());
    if (!seat || !seat->cache->reads)
        return ALPS_EINVAL;
    if (!--seat->cache->reads)
        __atomic_store_n(&seat->cache->lane->pin, 0, __ATOMIC_RELEASE);
    return ALPS_OK;
}

/* What a thread has retired waits for company, and that would be much memory if
 * it were large: above so many bytes it goes to the region at once. */
#define ALPS_RETIRE_LARGE (32u * 1024u)

/* What this thread has retired is the region's; what readers are done with is
 * let go. */
ALPS_CORE_ void alps_retire_flush_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    alps_limbo_flush_(h, t);
    alps_unlock_(h);
}

/* Sees to a chunk in the lane that has room, for what follows one that was
 * full. A new one is a reservation of this process until the lane has it. */
ALPS_CORE_ int alps_retire_room_(alps_handle *h, alps_lane *lane,
                                 const alps_tables *t)
{
    alps_request r;
    alps_block b;
    alps_off off;
    t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    int err = alps_request_init_(h, 1, sizeof(alps_chunk), ALPS_HELD, &r);
    if (!err)
        err = alps_publish_take_(h, &r, &off, t);
    if (err)
        return err;
    alps_chunk *c = (alps_chunk *)alps_address_(h, off);
    c->next = c->era = c->count = 0;
    alps_store_(&lane->limbo, off);
    ALPS_BARRIER_();
    (void)alps_block_lock_(h, off, &b, 0, t);
    alps_held_table_(h, b.shard)[alps_held_find_(h, b.shard, off)] |=
        ALPS_HELD_LIMBO_;
    alps_block_unlock_(&b);
    return ALPS_OK;
}

/* Enters `off` in the lane's chunk, which has room. */
ALPS_FN_ void alps_retire_note_(const alps_handle *h, const alps_lane *lane,
                                alps_off off)
{
    alps_chunk *c = (alps_chunk *)alps_address_(h, lane->limbo);
    alps_store_(&c->thing[c->count], off);
    ALPS_BARRIER_();
    alps_store_(&c->count, c->count + 1);
    ALPS_BARRIER_();
}

/* It was not retired after all. */
ALPS_FN_ void alps_retire_forget_(const alps_handle *h, const alps_lane *lane)
{
    alps_chunk *c = (alps_chunk *)alps_address_(h, lane->limbo);
    alps_store_(&c->count, c->count - 1);
}

/* Retires an object: it is noted, pinned, and then no more live. */
ALPS_CORE_ int alps_retire_object_(alps_handle *h, const alps_cache *c,
                                   const alps_object *o, alps_off off,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    if (!alps_object_live_(o))
        return ALPS_EINVALID_FREE;
    alps_retire_note_(h, c->lane, off);
    alps_object_pin_(o, 1);
    if (alps_object_mine_(o, c->token))
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    else
        err = alps_far_turn_(o);
    if (err) { // freed by somebody else meanwhile
        alps_object_pin_(o, 0);
        alps_retire_forget_(h, c->lane);
    }
    if (err || !t->policy->durable)
        return err;
    return t->policy->flush(&h->map, o->pair, sizeof *o->pair);
}

/* Retires a block; `n` is how many bytes it has. */
ALPS_CORE_ int alps_retire_block_(alps_handle *h, const alps_lane *lane,
                                  alps_off off, uint64_t *n,
                                  const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (err)
        return err;
    if (!alps_held_room_(b.shard))
        alps_held_grow_(h, b.shard, t);
    if (alps_held_full_(b.shard)) {
        err = ALPS_EFULL;
    } else {
        alps_retire_note_(h, lane, off);
        alps_held_add_(h, b.shard, off, ALPS_HELD_LIMBO_);
        ALPS_BARRIER_();
        alps_code_set_(b.zone.codes, b.unit, ALPS_HELD);
        *n = alps_block_size_(&b);
    }
    alps_block_unlock_(&b);
    return err || !t->policy->durable
               ? err
               : alps_codes_flush_(h, &b.zone, b.unit, 0, t);
}

/* See alps_retire. The lock of the region is taken for every sixty-first. */
ALPS_CORE_ int alps_retire_(alps_handle *h, const void *p, const alps_tables *t)
{
    alps_object o;
    uint64_t n = 0;
    alps_off off = alps_offset_(h, p);
    int err = alps_ready_(h, t);
    if (err || !p)
        return err;
    const alps_cache *c = alps_cache_(h);
    if (!c)
        return ALPS_EBUSY;
    int is = alps_object_at_(h, off, &o);
    const alps_chunk *chunk = alps_limbo_chunk_(h, alps_load_(&c->lane->limbo));
    if (!chunk || chunk->count >= ALPS_CHUNK)
        err = alps_retire_room_(h, c->lane, t);
    if (!err)
        err = is == 1   ? alps_retire_object_(h, c, &o, off, t)
              : is == 0 ? alps_retire_block_(h, c->lane, off, &n, t)
                        : ALPS_EINVALID_FREE;
    if (!err && t->policy->durable)
        err = t->fence(&h->map);
    if (n > ALPS_RETIRE_LARGE)
        t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    return err;
}

/* link.h -- a link is cut, and what it named is retired, in one step
 *
 * As by a release the block is free and the link holds another value, whatever
 * crashes; as by a retire its memory stays until no reader can have it. The
 * record is that of a release. What is cut is first noted in the chunk of the
 * lane, so that whoever completes the record for a dead process finds for whom
 * it is held back. */

/* A cut, and what there is left to do when the lock of the structure is no
 * longer held. */
typedef struct alps_link {
    alps_record record;
    alps_subject subject;
    alps_lane *lane; /* to be let go of; or NULL */
    uint64_t era;    /* in which it was cut, if it could not be noted; or 0 */
} alps_link;

/* Carries the cut of an object out: as a retire does, with the link. */
ALPS_FN_ int alps_link_object_(alps_handle *h, alps_lane *lane,
                               const alps_subject *s, const alps_record *r)
{
    const alps_object *o = &s->object;
    alps_retire_note_(h, lane, r->block);
    alps_object_pin_(o, 1);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    int err = ALPS_OK;
    if (s->mine)
        alps_store_(&o->pair->own, alps_load_(&o->pair->own) ^ o->bit);
    else
        err = alps_far_turn_(o); // freed by somebody else meanwhile
    if (!err)
        alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    if (err) {
        alps_object_pin_(o, 0);
        alps_retire_forget_(h, lane);
    }
    return err;
}

/* The same for a block. Under the lock of its shard. */
ALPS_CORE_ int alps_link_block_(alps_handle *h, alps_lane *lane,
                                const alps_block *b, const alps_record *r,
                                const alps_tables *t)
{
    if (alps_code_(b->zone.codes, b->unit) != ALPS_USED)
        return ALPS_EINVALID_FREE; // freed by somebody else meanwhile
    if (!alps_held_room_(b->shard))
        alps_held_grow_(h, b->shard, t);
    if (alps_held_full_(b->shard))
        return ALPS_EFULL;
    alps_retire_note_(h, lane, r->block);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    alps_held_add_(h, b->shard, r->block, ALPS_HELD_LIMBO_);
    ALPS_BARRIER_();
    alps_code_set_(b->zone.codes, b->unit, ALPS_HELD);
    alps_record_store_(h, r);
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    return ALPS_OK;
}

ALPS_CORE_ int alps_link_apply_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    alps_block b;
    if (k->era)
        return alps_release_apply_(h, k->lane, &k->subject, &k->record, t);
    if (k->subject.small)
        return alps_link_object_(h, k->lane, &k->subject, &k->record);
    if (alps_block_lock_(h, k->record.block, &b, 0, t) < 0)
        return ALPS_EINVALID_FREE;
    int err = alps_link_block_(h, k->lane, &b, &k->record, t);
    alps_block_unlock_(&b);
    return err;
}

/* Finds a lane for the cut, and a place to note it. Where there is none, in a
 * region that is full or for a thread without a lane, readers will be waited
 * for; unless this thread is one. */
ALPS_CORE_ int alps_link_begin_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    int err = ALPS_EFULL;
    if (c) {
        const alps_chunk *chunk =
            alps_limbo_chunk_(h, alps_load_(&c->lane->limbo));
        err = chunk && chunk->count < ALPS_CHUNK
                  ? ALPS_OK
                  : alps_retire_room_(h, c->lane, t);
        if (err && c->reads)
            return err;
    }
    k->lane = alps_lane_take_(h, t);
    k->era = err ? __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST) : 0;
    return ALPS_OK;
}

/* Carries out what the record says. */
ALPS_CORE_ int alps_link_carry_out_(alps_handle *h, alps_link *k,
                                    const alps_tables *t)
{
    alps_record *r = &k->record;
    int err = alps_link_begin_(h, k, t);
    if (err)
        return err;
    err = alps_subject_find_(h, r, ALPS_USED, &k->subject, t);
    if (!err) {
        err = alps_record_begin_(h, k->lane, r, t);
        if (!err)
            err = alps_link_apply_(h, k, t);
        if (err)
            alps_record_retire_(h, k->lane, r->seq, t);
        else
            err = alps_record_end_(h, k->lane, &k->subject, r, t);
    }
    if (k->era) // readers may have begun since it was looked at
        k->era = __atomic_load_n(&h->shared->era, __ATOMIC_SEQ_CST);
    if (err)
        k->era = k->subject.n = 0;
    return err;
}

/* Stores `value` to the link and frees what it named: durably when this
 * returns. Two fences. The rest is for alps_link_end_, also where this
 * fails. The caller has the lock of the structure. */
ALPS_CORE_ int alps_link_cut_(alps_handle *h, const alps_off *link,
                              alps_off value, alps_link *k,
                              const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    k->record.op = ALPS_OP_RELEASE;
    k->record.dest = alps_offset_(h, link);
    k->record.block = alps_load_(link);
    k->record.value = value;
    return t->slow(h, ALPS_SLOW_CUT, (uint64_t)(uintptr_t)k, 0);
}

/* Waits until nobody reads who read in `era`. */
ALPS_CORE_ void alps_link_wait_(alps_handle *h, uint64_t era,
                                const alps_tables *t)
{
    for (unsigned round = 0;; round++) {
        uint64_t dead = 0;
        alps_lock_(h, t);
        (void)alps_era_next_(h, &dead, t);
        if (dead)
            t->slow(h, ALPS_SLOW_REAP, dead, 0);
        int gone = h->shared->era >= era + 2;
        alps_unlock_(h);
        if (gone)
            return;
        ALPS_WAIT_(round);
    }
}

/* See alps_link_end_. */
ALPS_CORE_ int alps_link_close_(alps_handle *h, alps_link *k,
                                const alps_tables *t)
{
    int err = ALPS_OK;
    if (k->era) {
        alps_link_wait_(h, k->era, t);
        err = alps_release_end_(h, k->lane, &k->subject, k->record.block, t);
    } else if (k->subject.n > ALPS_RETIRE_LARGE) {
        t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    }
    alps_lane_leave_(k->lane);
    return err;
}

/* What is left to do: the lock of the structure is no longer held, so readers
 * that want it go on. */
ALPS_CORE_ int alps_link_end_(alps_handle *h, alps_link *k,
                              const alps_tables *t)
{
    return k->lane ? t->slow(h, ALPS_SLOW_CUT_END, (uint64_t)(uintptr_t)k, 0)
                   : ALPS_OK;
}

/* Reserves `n` bytes for what a link is to name. NULL: see h->error. */
ALPS_CORE_ void *alps_link_reserve_(alps_handle *h, uint64_t n,
                                    const alps_tables *t)
{
    void *p = NULL;
    return t->slow(h, ALPS_SLOW_RESERVE, n, (uint64_t)(uintptr_t)&p) ? NULL : p;
}

/* Publishes `p` to the link; what can't be is cancelled. Two fences, or
 * three. */
ALPS_CORE_ int alps_link_publish_(alps_handle *h, const alps_off *link,
                                  const void *p, const alps_tables *t)
{
    return t->slow(h, ALPS_SLOW_PUBLISH, alps_offset_(h, link),
                   alps_offset_(h, p));
}

/* action.h -- the actions of a transaction, as its own thread commits them
 *
 * Looked at once more, prepared (contents and lines on their way to the
 * medium), carried out, and at last what they freed is let go. In between come
 * fences, see tx.h: all stores of a step are made before any is written back,
 * for a store to a line that is being written back stalls. */

/* The block that has the byte at `off` is reserved, not used. */
ALPS_FN_ int alps_action_inside_(const alps_handle *h, alps_off off)
{
    alps_zone z = alps_zone_top_(h);
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    if (alps_extent_heap_(h, extent))
        z = alps_zone_extent_(h, extent);
    uint64_t at = alps_zone_unit_(&z, off) + 1;
    while (at > z.first) {
        uint64_t start = alps_code_near_(z.codes, at);
        if (start != at)
            return alps_code_(z.codes, start) == ALPS_HELD;
        at = (at - 1) / 32 * 32;
    }
    return 0;
}

/* Whether the word at `off` is in what is reserved: nobody but the program
 * sees it before it is published. */
ALPS_FN_ int alps_action_private_(const alps_handle *h, alps_off off)
{
    alps_object o;
    if (off < h->at.heap)
        return 0;
    if (!alps_slab_is_(h, off))
        return alps_action_inside_(h, off);
    const alps_slab *s = alps_slab_head_(h, off);
    uint32_t kind = __atomic_load_n(&s->kind, __ATOMIC_RELAXED) - 1;
    if (kind >= ALPS_KINDS)
        return 0;
    uint64_t in = off - alps_slab_place_(h, off);
    in = (in * alps_kind_scale_(kind) >> 32) * alps_kind_size_(kind);
    alps_off start = alps_slab_place_(h, off) + in;
    if (ALPS_LIKELY_(alps_object_claimed_(h, start, &o)))
        return !alps_object_live_(&o);
    int is = alps_object_at_(h, start, &o);
    return is == 1 ? !alps_object_live_(&o)
                   : !is && alps_action_inside_(h, off);
}

/* Whether what the line is about still is as it was when it was added. */
ALPS_CORE_ int alps_action_same_(const alps_handle *h, const alps_cache *c,
                                 const alps_record *r)
{
    alps_object o;
    alps_block b;
    int publish = (r->op & 15) == ALPS_OP_PUBLISH;
    if ((r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    if (!(r->op & ALPS_OP_SMALL))
        return alps_block_at_(h, r->block, &b) ==
                       (publish ? ALPS_HELD : ALPS_USED)
                   ? ALPS_OK
                   : ALPS_EINVALID_FREE;
    int mine = alps_object_claimed_(h, r->block, &o);
    if ((!mine && alps_object_at_(h, r->block, &o) != 1) ||
        alps_kind_size_(o.kind) != r->units)
        return ALPS_EINVALID_FREE;
    if (publish)
        return mine ? alps_object_mine_held_(c, &o, r->block)
                    : alps_object_held_(h, &o, r->block);
    return alps_object_live_(&o) ? ALPS_OK : ALPS_EINVALID_FREE;
}

/* Stores to words that are contents of what is not published yet. */
ALPS_FN_ void alps_action_store_(const alps_handle *h, const alps_draft *o)
{
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        alps_record *r = alps_log_at_(h, &off);
        if (r->op & ALPS_OP_WORDLESS || !alps_action_private_(h, r->dest))
            continue;
        alps_redo_store_(h, r);
        r->op |= ALPS_OP_WORDLESS;
    }
}

/* The first step of a commit: looks at every action once more, and stores to
 * such words where there are any. */
ALPS_CORE_ int alps_action_look_(alps_handle *h, const alps_draft *o)
{
    int err = ALPS_OK, inside = 0;
    alps_off off = o->log.first;
    const alps_cache *c = alps_cache_(h);
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        err = alps_action_same_(h, c, r);
        if (o->publishes && !inside && !(r->op & ALPS_OP_WORDLESS))
            inside = alps_action_private_(h, r->dest);
    }
    if (!err && inside)
        alps_action_store_(h, o);
    return err;
}

/* The bytes that the line publishes, which was looked at. */
ALPS_FN_ uint64_t alps_action_contents_(const alps_handle *h,
                                        const alps_record *r)
{
    int small =
        (r->op & (15 | ALPS_OP_SMALL)) == (ALPS_OP_PUBLISH | ALPS_OP_SMALL);
    return ALPS_LIKELY_(small) ? r->units : alps_redo_contents_(h, r);
}

/* Contents, with their sums, and lines are on their way to the medium. */
ALPS_CORE_ int alps_action_prepare_(alps_handle *h, const alps_draft *o,
                                    const alps_tables *t)
{
    int err = ALPS_OK;
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE) {
        alps_record *r = alps_log_at_(h, &off);
        uint64_t n = t->policy->durable ? alps_action_contents_(h, r) : 0;
        const void *p = alps_address_(h, r->block);
        if (n && !o->early && !o->marked) {
            r->op |= ALPS_OP_SUMMED;
            r->crc = alps_crc32c_(h->crc, 0, p, n);
        }
        if (n)
            err = t->policy->flush(&h->map, p, n);
        if (n && r->op & ALPS_OP_LARGE && !err)
            err = t->policy->flush(
                &h->map,
                &h->kinds[((r->block - h->at.heap) >> h->at.extent_shift) / 64],
                8);
        alps_log_seal_(h, r);
        if (!err)
            err = t->policy->flush(&h->map, r, sizeof *r);
    }
    if (!err && o->marked)
        err = alps_undo_flush_(h, o, t);
    if (!err && (o->marked || o->early))
        err = t->fence(&h->map);
    return err;
}

/* Lines that were written back just now: a pair that many objects share is so
 * once. */
typedef struct alps_recent {
    unsigned any; /* which of `line` are set */
    const void *line[16];
} alps_recent;

ALPS_FN_ int alps_action_recent_(alps_recent *recent, const void *p)
{
    unsigned k = (uintptr_t)p / ALPS_LINE % 16;
    const void *line = (const void *)((uintptr_t)p / ALPS_LINE * ALPS_LINE);
    int is = recent->any >> k & 1 && recent->line[k] == line;
    recent->any |= 1u << k;
    recent->line[k] = line;
    return is;
}

/* The words that speak for the object at `off`. */
ALPS_FN_ const alps_pair *alps_action_pair_(const alps_handle *h, alps_off off)
{
    alps_object o;
    if (ALPS_LIKELY_(alps_object_claimed_(h, off, &o)))
        return o.pair;
    return alps_object_at_(h, off, &o) == 1 ? o.pair : NULL;
}

/* Writes back what a line has changed. */
ALPS_CORE_ int alps_action_flush_(alps_handle *h, const alps_record *r,
                                  alps_recent *recent, const alps_tables *t)
{
    alps_block b;
    int err = ALPS_OK;
    if (r->op & ALPS_OP_SMALL) {
        const alps_pair *pair = alps_action_pair_(h, r->block);
        if (pair && !alps_action_recent_(recent, pair))
            err = t->policy->flush(&h->map, pair, sizeof *pair);
    } else if ((r->op & 15) != ALPS_OP_SET &&
               alps_block_at_(h, r->block, &b) >= 0) {
        int publish = (r->op & 15) == ALPS_OP_PUBLISH;
        err = alps_codes_flush_(h, &b.zone, b.unit, publish ? r->units : 0, t);
    }
    if (err || r->op & ALPS_OP_WORDLESS ||
        alps_action_recent_(recent, alps_address_(h, r->dest)))
        return err;
    return t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
}

/* Carries the actions out. One fence. */
ALPS_CORE_ int alps_action_apply_(alps_handle *h, const alps_draft *o,
                                  const alps_tables *t)
{
    int err = ALPS_OK;
    alps_recent recent;
    alps_off off = o->log.first;
    recent.any = 0;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        alps_object own;
        if (r->op & ALPS_OP_SMALL && alps_object_claimed_(h, r->block, &own))
            alps_commit_object_(h, r, &own, 1, 1);
        else
            alps_commit_line_(h, r, 1, t);
        ALPS_BARRIER_();
        alps_store_(&o->lane->apply, i + 2);
    }
    off = o->log.first;
    if (t->policy->durable)
        for (uint64_t i = 0; i < o->actions && !err; i++, off += ALPS_LINE)
            err = alps_action_flush_(h, alps_log_at_(h, &off), &recent, t);
    return err ? err : t->fence(&h->map);
}

/* Lets go of what was freed. */
ALPS_CORE_ int alps_action_give_(alps_handle *h, const alps_draft *o,
                                 const alps_tables *t)
{
    alps_object b;
    int err = ALPS_OK;
    const alps_cache *c = alps_cache_(h);
    alps_off off = o->log.first;
    for (uint64_t i = 0; o->frees && i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        if ((r->op & 15) != ALPS_OP_RELEASE)
            continue;
        if (!(r->op & ALPS_OP_SMALL)) {
            t->slow(h, ALPS_SLOW_GIVE, r->block, 0);
        } else if (alps_object_at_(h, r->block, &b) == 1) {
            alps_object_pin_(&b, 0);
            if (c && alps_object_mine_(&b, c->token)) {
                int late = alps_object_back_(h, &b, r->block, t);
                err = err ? err : late;
            } else {
                alps_far_tell_(h, &b, r->block, t);
            }
        }
        ALPS_BARRIER_();
        alps_store_(&o->lane->given, i + 1);
    }
    alps_store_(&o->lane->freeing, 0);
    if (alps_idle_over_(h))
        t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    return err;
}

/* tx.h -- transactions: begun, added to, committed, aborted
 *
 * Sets, publishes, releases and frees are written down as they are asked for
 * and carried out by the commit, all or none, for two fences; ranges are copied
 * before the program changes them. See docs/transactions.md. A redo log for
 * what the library does and an undo log for what the program does: as NV-Heaps
 * and PMDK's libpmemobj have them, with one commit record over both. */

/* A transaction, for the thread that began it. */
typedef struct alps_tx {
    alps_handle *handle;
    uint64_t number;
    int (*act)(struct alps_tx *t, unsigned op, void *word, const void *p,
               uint64_t value);
    int (*keep)(struct alps_tx *t, void *p, size_t n);
} alps_tx;

/* What the macros below call: any instance's. */
ALPS_FN_ int alps_tx_act_(alps_tx *t, unsigned op, void *word, const void *p,
                          uint64_t value)
{
    return t->act(t, op, word, p, value);
}

ALPS_FN_ int alps_tx_hold_(alps_tx *t, void *p, size_t n)
{
    return t->keep(t, p, n);
}

/* alps_tx_set for an integer of 8 bytes, and for an ALPS_PTR, which is to point
 * to `p`; alps_tx_publish and alps_tx_release for an ALPS_PTR, and
 * alps_tx_snapshot for any object, of whatever instance. Types are checked. */
#define ALPS_TX_SET(t, word, number)                            \
  ((void)sizeof(char[sizeof((word) | 1u) == sizeof(uint64_t) && \
                             sizeof(word) == sizeof(uint64_t)   \
                         ? 1                                    \
                         : -1]),                                \
   alps_tx_act_((t), ALPS_OP_SET, &(word), NULL, (uint64_t)(number)))
#define ALPS_TX_POINT(t, ptr, p)     \
  ((void)sizeof((ptr).type_ == (p)), \
   alps_tx_act_((t), ALPS_OP_SET, &(ptr).off, (p), 0))
#define ALPS_TX_PUBLISH(t, ptr, p)   \
  ((void)sizeof((ptr).type_ == (p)), \
   alps_tx_act_((t), ALPS_OP_PUBLISH, &(ptr).off, (p), 0))
#define ALPS_TX_RELEASE(t, ptr) \
  ((void)sizeof((ptr).type_),   \
   alps_tx_act_((t), ALPS_OP_RELEASE, &(ptr).off, NULL, 0))
#define ALPS_TX_SNAPSHOT(t, object) \
  alps_tx_hold_((t), &(object), sizeof(object))

/* A range of bytes in the region. */
typedef struct alps_range {
    void *p;
    size_t n;
} alps_range;

/* Makes an object in the `n` bytes at `p`. Not 0: it cannot, and that is
 * answered. */
typedef int alps_make(void *context, void *p, size_t n);

/* The open transaction that `x` is, of this thread; or NULL. */
ALPS_FN_ alps_draft *alps_tx_draft_(const alps_tx *x)
{
    const alps_handle *h = x->handle;
    if (!h || !h->local || !h->drafts)
        return NULL;
    alps_draft *o = &h->drafts[x->number & ((1u << ALPS_NUMBER_SHIFT_) - 1)];
    return alps_draft_is_(o, ALPS_THREAD_()) && o->number == x->number ? o
                                                                       : NULL;
}

/* The same, where something is to be added: 0, or why that cannot be. */
ALPS_CORE_ int alps_tx_ready_(const alps_tx *x, alps_draft **o,
                              const alps_tables *t)
{
    *o = NULL;
    if (!x->handle || !x->handle->local)
        return ALPS_EINVAL;
    int err = alps_ready_(x->handle, t);
    *o = err ? NULL : alps_tx_draft_(x);
    return err ? err : !*o ? ALPS_EINVAL : (*o)->aborted ? ALPS_EABORTED : 0;
}

/* A lane for the transaction of a thread that owns none. One is left for
 * operations, so that nobody waits for who waits for him. */
ALPS_CORE_ alps_lane *alps_tx_borrow_(alps_handle *h, const alps_tables *t)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = alps_lanes_owned_(h); i + 1 < h->at.lane_count; i++) {
            alps_lane *lane = &h->lanes[i];
            if (alps_load_(&lane->lock) ||
                !alps_lock_try_(&lane->lock, alps_self_(h)))
                continue;
            __atomic_fetch_add(&h->local->borrowed, 1, __ATOMIC_SEQ_CST);
            __atomic_store_n(&lane->token, alps_token_new_(h, i),
                             __ATOMIC_SEQ_CST);
            return lane;
        }
        if (!round)
            t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    }
    return NULL;
}

/* See alps_begin. */
ALPS_CORE_ int alps_tx_begin_(alps_handle *h, alps_tx *x, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    const alps_cache *c = alps_cache_(h);
    alps_draft *o = alps_lane_borrowed_(h);
    if (!o) {
        alps_lane *lane = c ? c->lane : alps_tx_borrow_(h, t);
        if (!lane)
            return ALPS_EBUSY;
        uint64_t i = (uint64_t)(lane - h->lanes);
        o = &h->drafts[i];
        o->lane = lane;
        if (!o->thread)
            o->number = alps_record_seq_(h, lane) << ALPS_NUMBER_SHIFT_ | i;
        __atomic_store_n(&o->thread, ALPS_THREAD_(), __ATOMIC_RELAXED);
    }
    o->depth++;
    x->handle = h;
    x->number = o->number;
    return ALPS_OK;
}

/* Whether the word at `off` is the program's, and may be set. */
ALPS_FN_ int alps_tx_word_(const alps_handle *h, alps_off off)
{
    return off >= ALPS_PAGE && alps_dest_valid_(h, off);
}

/* Fills in what the line is about. The block, if there is one, is what it has
 * to be. */
ALPS_FAST_ int alps_tx_line_(alps_handle *h, alps_draft *o, alps_record *r,
                             const alps_tables *t)
{
    alps_subject s;
    alps_object own;
    int err, publish = (r->op & 15) == ALPS_OP_PUBLISH;
    if (!(r->op & ALPS_OP_WORDLESS) && !alps_tx_word_(h, r->dest))
        return ALPS_EINVAL;
    if ((r->op & 15) == ALPS_OP_SET)
        return ALPS_OK;
    if (ALPS_LIKELY_(alps_object_claimed_(h, r->block, &own))) {
        s.n = r->units = alps_kind_size_(own.kind);
        r->op |= ALPS_OP_SMALL;
        err = publish ? alps_object_mine_held_(alps_cache_(h), &own, r->block)
              : alps_object_live_(&own) ? ALPS_OK
                                        : ALPS_EINVALID_FREE;
    } else {
        err = alps_subject_find_(h, r, publish ? ALPS_HELD : ALPS_USED, &s, t);
    }
    if (!err && publish && t->policy->durable &&
        (s.n > ALPS_SUM_MAX || r->op & ALPS_OP_LARGE))
        o->early = 1;
    return err;
}

/* Adds an action: see alps_tx_set and those beside it. In line, so that who
 * always adds the same has nothing to decide. */
ALPS_FAST_ int alps_tx_add_(alps_tx *x, unsigned op, const void *word,
                            const void *p, uint64_t value, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    alps_handle *h = x->handle;
    if (!err)
        err = alps_log_room_(h, &o->log, ALPS_LINE, o->number, t);
    if (err)
        return err;
    // where it is to be: a copy would wait for the words it is made of
    alps_record *r = (alps_record *)alps_address_(h, o->log.at);
    memset(r, 0, sizeof *r);
    r->seq = o->number;
    r->op = op;
    r->dest = word ? alps_offset_(h, word) : 0;
    r->value = value;
    if (p && op == ALPS_OP_SET)
        r->value = alps_offset_(h, p);
    else if (p)
        r->block = alps_offset_(h, p);
    if ((op & 15) == ALPS_OP_PUBLISH)
        r->value = r->block;
    if (op == ALPS_OP_RELEASE) {
        if (!alps_tx_word_(h, r->dest))
            return ALPS_EINVAL;
        r->block = alps_load_((const uint64_t *)alps_address_(h, r->dest));
        if (!r->block)
            return ALPS_OK;
    }
    err = alps_tx_line_(h, o, r, t);
    if (!err && r->block)
        err = alps_draft_speak_(o, r->block);
    if (err)
        return err;
    o->log.at += sizeof *r;
    o->actions++;
    o->publishes |= (op & 15) == ALPS_OP_PUBLISH;
    o->frees |= (op & 15) == ALPS_OP_RELEASE;
    return ALPS_OK;
}

/* See alps_tx_snapshot_all. */
ALPS_CORE_ int alps_tx_keep_(alps_tx *x, const alps_range *range, unsigned n,
                             const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err)
        return err;
    alps_handle *h = x->handle;
    alps_off last = o->last;
    for (unsigned i = 0; i < n; i++)
        if (!alps_undo_covers_(h, alps_offset_(h, range[i].p), range[i].n))
            return ALPS_EINVAL;
    for (unsigned i = 0; i < n; i++) {
        alps_off off = alps_offset_(h, range[i].p);
        uint64_t left = range[i].n;
        if (alps_draft_keeps_(o, off, left))
            continue;
        for (; left && !err; off += ALPS_UNDO_MOST) {
            uint64_t part = left < ALPS_UNDO_MOST ? left : ALPS_UNDO_MOST;
            err = alps_undo_copy_(h, o, off, part, t);
            left -= part;
        }
    }
    if (err || last == o->last)
        return err;
    if (!o->marked)
        err = alps_undo_mark_(h, o, t);
    if (!err)
        err = t->fence(&h->map);
    if (err)
        return err;
    o->marked = 1;
    for (unsigned i = 0; i < n; i++)
        alps_draft_keep_(o, alps_offset_(h, range[i].p), range[i].n);
    return ALPS_OK;
}

/* The transaction is ended, for any recovery: durably with the next fence. */
ALPS_CORE_ int alps_tx_done_(alps_handle *h, const alps_draft *o,
                             const alps_tables *t)
{
    alps_done *done = &h->done[o->lane - h->lanes];
    ALPS_BARRIER_();
    alps_store_(&done->tx, o->number >> ALPS_NUMBER_SHIFT_);
    return t->policy->flush(&h->map, &done->tx, sizeof done->tx);
}

/* The same, durably before another thread can contradict it. */
ALPS_CORE_ int alps_tx_retire_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    int err = alps_tx_done_(h, o, t);
    return err ? err : t->policy->settle(&h->map);
}

/* Nothing is left of the transaction: its chunks go back, and a lane that was
 * borrowed. */
ALPS_CORE_ void alps_tx_close_(alps_handle *h, alps_draft *o,
                               const alps_tables *t)
{
    alps_lane *lane = o->lane;
    alps_log_drop_(h, &o->log, t);
    alps_log_drop_(h, &o->undo, t);
    alps_draft_end_(o);
    if (lane - h->lanes < (ptrdiff_t)alps_lanes_owned_(h))
        return;
    __atomic_fetch_sub(&h->local->borrowed, 1, __ATOMIC_SEQ_CST);
    alps_lane_free_(h, lane);
}

/* Gives back what was reserved for the transaction alone. */
ALPS_CORE_ void alps_tx_unmake_(alps_handle *h, const alps_draft *o,
                                const alps_tables *t)
{
    alps_off off = o->log.first;
    for (uint64_t i = 0; i < o->actions; i++, off += ALPS_LINE) {
        const alps_record *r = alps_log_at_(h, &off);
        if (r->op & ALPS_OP_MADE)
            t->slow(h, ALPS_SLOW_CANCEL, r->block, 0);
    }
}

/* Undoes what was stored, and forgets the actions. Under `o` there is nothing
 * then but its depth. One fence where something was stored. */
ALPS_CORE_ int alps_tx_undo_(alps_handle *h, alps_draft *o,
                             const alps_tables *t)
{
    int err = ALPS_OK;
    if (o->marked) {
        err = t->slow(h, ALPS_SLOW_RESTORE, o->undo.first, o->number);
        if (!err)
            err = t->fence(&h->map);
        int late = alps_tx_retire_(h, o, t);
        err = err ? err : late;
    }
    alps_tx_unmake_(h, o, t);
    alps_log_drop_(h, &o->log, t);
    alps_log_drop_(h, &o->undo, t);
    o->marked = 0;
    o->actions = 0;
    o->last = 0;
    return err;
}

/* Ends the transaction of lane `i`, whoever's it is: nothing of it is to be. */
ALPS_CORE_ int alps_tx_abandon_(alps_handle *h, uint64_t i,
                                const alps_tables *t)
{
    alps_draft *o = &h->drafts[i];
    if (!o->thread)
        return ALPS_OK;
    int err = alps_tx_undo_(h, o, t);
    alps_tx_close_(h, o, t);
    return err;
}

/* See alps_abort. */
ALPS_CORE_ int alps_tx_abort_(const alps_tx *x, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err && err != ALPS_EABORTED)
        return err;
    alps_handle *h = x->handle;
    if (o->depth == 1)
        return t->slow(h, ALPS_SLOW_ABORT, (uint64_t)(o->lane - h->lanes), 0);
    o->depth--;
    if (err)
        return ALPS_OK; // it is undone already
    o->aborted = 1;
    return alps_tx_undo_(h, o, t);
}

/* Makes the commit record durable: from here on all of it will happen. Where it
 * has ranges this is the second fence, else the first. */
ALPS_CORE_ int alps_tx_record_(alps_handle *h, const alps_draft *o,
                               const alps_tables *t)
{
    alps_record r;
    alps_lane *lane = o->lane;
    memset(&r, 0, sizeof r);
    r.op = ALPS_OP_COMMIT;
    r.block = o->log.first;
    r.units = o->actions;
    r.value = o->number;
    alps_store_(&lane->log, o->log.first);
    alps_store_(&lane->given, 0);
    alps_store_(&lane->freeing, o->number);
    alps_store_(&lane->apply, 1);
    ALPS_BARRIER_();
    return alps_record_begin_(h, lane, &r, t);
}

/* Carries out what was prepared. A record that the medium refuses must not be
 * found, should it be there. */
ALPS_CORE_ int alps_tx_carry_out_(alps_handle *h, alps_draft *o,
                                  const alps_tables *t)
{
    alps_lane *lane = o->lane;
    int late, err = alps_tx_record_(h, o, t);
    if (err) {
        alps_tx_retire_(h, o, t);
        alps_tx_undo_(h, o, t);
        alps_store_(&lane->apply, 0);
        alps_store_(&lane->freeing, 0);
        return err;
    }
    err = alps_action_apply_(h, o, t);
    late = alps_tx_retire_(h, o, t);
    err = err ? err : late;
    ALPS_BARRIER_();
    alps_store_(&lane->apply, 0);
    late = alps_action_give_(h, o, t);
    return err ? err : late;
}

/* Commits ranges alone: when they are durable, and that there is nothing to
 * undo. */
ALPS_CORE_ int alps_tx_commit_ranges_(alps_handle *h, const alps_draft *o,
                                      const alps_tables *t)
{
    int err = alps_undo_flush_(h, o, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_tx_done_(h, o, t);
    return err ? err : t->fence(&h->map);
}

/* The end of the outermost one. */
ALPS_CORE_ int alps_tx_commit_all_(alps_handle *h, alps_draft *o,
                                   const alps_tables *t)
{
    int err = ALPS_OK;
    if (o->actions) {
        err = alps_action_look_(h, o);
        if (!err)
            err = alps_action_prepare_(h, o, t);
        if (!err)
            err = alps_tx_carry_out_(h, o, t);
        else
            alps_tx_undo_(h, o, t);
    } else if (o->marked) {
        err = alps_tx_commit_ranges_(h, o, t);
    }
    alps_tx_close_(h, o, t);
    return err;
}

/* See alps_commit. */
ALPS_CORE_ int alps_tx_commit_(const alps_tx *x, const alps_tables *t)
{
    alps_draft *o;
    int err = alps_tx_ready_(x, &o, t);
    if (err && err != ALPS_EABORTED)
        return err;
    alps_handle *h = x->handle;
    if (--o->depth)
        return err;
    if (!err)
        return alps_tx_commit_all_(h, o, t);
    o->depth++;
    t->slow(h, ALPS_SLOW_ABORT, (uint64_t)(o->lane - h->lanes), 0);
    return err;
}

/* node.h -- the list of names, and where to begin in it
 *
 * A split-ordered list (Shalev and Shavit: Split-Ordered Lists, JACM 2006): all
 * names are in one list, kept by the reversed bits of their hashes, so that the
 * names of a bucket are together, and stay so when there are twice as many
 * buckets: no entry ever moves, and a name comes or goes by the store of one
 * link. A bucket has a node of its own in the list, which is never removed; it
 * is linked when it is first needed. Those of the upper half of the buckets lie
 * in one block, by number. See docs/names.md.
 *
 * What is read is not trusted: a link leads to where a node can be, and keys
 * rise, or the region is damaged. So every walk ends. */

/* Entries that a name may have before it in its bucket until there should be
 * more buckets. */
#ifndef ALPS_NODE_CROWD
#  define ALPS_NODE_CROWD 8u
#endif

/* Buckets that are linked together, for two fences. */
#ifndef ALPS_NODE_BATCH
#  define ALPS_NODE_BATCH 16u
#endif

/* Bit 1 of the key of a bucket's node: it may be begun at. */
#define ALPS_NODE_READY_ 2ull

/* Nodes in a row with one key; more of them are a damage. */
#define ALPS_NODE_SAME_ 64u

/* What is looked for, and where it is or should be: behind `before`, which
 * links to `off`. */
typedef struct alps_place {
    uint64_t key;
    alps_node *before;
    alps_off off;
    uint64_t steps; /* nodes passed */
} alps_place;

/* What the list is kept by. */
ALPS_FN_ uint64_t alps_node_order_(const alps_node *n)
{
    uint64_t key = __atomic_load_n(&n->key, __ATOMIC_RELAXED);
    return key & 1 ? key : key & ~ALPS_NODE_READY_;
}

/* The node at `off`, or NULL where none can be. */
ALPS_FN_ alps_node *alps_node_at_(const alps_handle *h, alps_off off)
{
    uint64_t size = alps_size_(h);
    if (off % 16 || off < h->at.heap || off >= size ||
        size - off < sizeof(alps_node))
        return NULL;
    return (alps_node *)alps_address_(h, off);
}

/* Where names are found, or NULL: there is none yet, or it cannot be. */
ALPS_FN_ alps_names *alps_node_names_(const alps_handle *h)
{
    alps_off off = __atomic_load_n(&h->super->names, __ATOMIC_ACQUIRE);
    uint64_t size = alps_size_(h);
    if (off % 16 || off < h->at.heap || off >= size ||
        size - off < sizeof(alps_names))
        return NULL;
    return (alps_names *)alps_address_(h, off);
}

/* The node of bucket `b`, or NULL where there is no table for it. */
ALPS_FN_ alps_node *alps_node_bucket_(const alps_handle *h, alps_names *s,
                                      uint64_t b)
{
    if (b < 1u << ALPS_NAMES_SHIFT)
        return &s->first[b];
    unsigned top = alps_high_bit_(b), i = top - ALPS_NAMES_SHIFT;
    if (i >= ALPS_NAMES_TABLES)
        return NULL;
    alps_off off = __atomic_load_n(&s->table[i], __ATOMIC_ACQUIRE);
    uint64_t size = alps_size_(h), n = sizeof(alps_node) << top;
    if (off % 16 || off < h->at.heap || off >= size || size - off < n)
        return NULL;
    return (alps_node *)alps_address_(h, off) + (b - (1ull << top));
}

/* Whether the node of bucket `b` is in the list, durably. */
ALPS_FN_ int alps_node_ready_(const alps_node *n, uint64_t b)
{
    return n && __atomic_load_n(&n->key, __ATOMIC_ACQUIRE) ==
                    (alps_hash_reverse_(b) | ALPS_NODE_READY_);
}

/* How many buckets are in use, as a power of two. */
ALPS_FN_ unsigned alps_node_shift_(const alps_names *s)
{
    uint64_t shift = alps_load_(&s->shift);
    return shift < ALPS_NAMES_SHIFT                       ? ALPS_NAMES_SHIFT
           : shift > ALPS_NAMES_SHIFT + ALPS_NAMES_TABLES ? ALPS_NAMES_SHIFT
                                                          : (unsigned)shift;
}

/* The bucket of `key`. */
ALPS_FN_ uint64_t alps_node_number_(const alps_names *s, uint64_t key)
{
    return alps_hash_reverse_(key) & ((1ull << alps_node_shift_(s)) - 1);
}

/* The node to begin at for bucket `b`: its own, or that of the next smaller
 * bucket that it was once a part of. NULL: not even the first is there. */
ALPS_FN_ alps_node *alps_node_begin_(const alps_handle *h, alps_names *s,
                                     uint64_t b)
{
    for (;; b ^= 1ull << alps_high_bit_(b)) {
        alps_node *n = alps_node_bucket_(h, s, b);
        if (alps_node_ready_(n, b))
            return n;
        if (!b)
            return NULL;
    }
}

/* What a walk asks of each node that has the key: whether it is the one. */
typedef int alps_node_is(const alps_handle *h, alps_off off, const void *what);

/* Walks from `from` to the node with the key that `is` the one: 1; or to where
 * it should be: 0; or ALPS_ECORRUPT. */
ALPS_FN_ int alps_node_seek_(const alps_handle *h, alps_node *from,
                             alps_place *p, alps_node_is *is, const void *what)
{
    uint64_t last = alps_node_order_(from);
    unsigned same = 0;
    for (p->before = from;; p->steps++) {
        p->off = __atomic_load_n(&p->before->next, __ATOMIC_ACQUIRE);
        if (!p->off)
            return 0;
        alps_node *n = alps_node_at_(h, p->off);
        uint64_t order = n ? alps_node_order_(n) : 0;
        same = order == last ? same + 1 : 0;
        if (!n || order < last || same > ALPS_NODE_SAME_)
            return ALPS_ECORRUPT;
        if (order > p->key)
            return 0;
        if (order == p->key && is(h, p->off, what))
            return 1;
        p->before = n;
        last = order;
    }
}

/* The node of a bucket is the one at its place. */
ALPS_FN_ int alps_node_own_(const alps_handle *h, alps_off off,
                            const void *what)
{
    return alps_address_(h, off) == what;
}

/* The bucket that comes `i` after `b` in the list, of 2^`shift`; or 0 where the
 * list ends. */
ALPS_FN_ uint64_t alps_node_after_(uint64_t b, unsigned shift, unsigned i)
{
    uint64_t turn = alps_hash_reverse_(b) >> (64 - shift);
    if ((turn + i) >> shift)
        return 0;
    return alps_hash_reverse_((turn + i) << (64 - shift));
}

/* Does one step of linking for bucket `b`, of which there may be no node. Step
 * 0: the node is made. Step 1: it is linked; what it leads to is as it was, for
 * of several the first in the list comes first. Step 2: it is ready. The first
 * two are each durable before the next. */
ALPS_CORE_ int alps_node_step_(alps_handle *h, alps_names *s, uint64_t b,
                               int step, const alps_tables *t)
{
    alps_node *n = alps_node_bucket_(h, s, b), *from;
    alps_place p;
    memset(&p, 0, sizeof p);
    p.key = alps_hash_reverse_(b);
    if (!n || alps_node_ready_(n, b))
        return ALPS_OK;
    if (step == 2) {
        __atomic_store_n(&n->key, p.key | ALPS_NODE_READY_, __ATOMIC_RELEASE);
        return ALPS_OK; // should it be lost, this is done again
    }
    from = alps_node_begin_(h, s, b);
    int is =
        from ? alps_node_seek_(h, from, &p, alps_node_own_, n) : ALPS_ECORRUPT;
    if (is < 0)
        return is;
    if (step == 0) {
        if (is)
            return ALPS_OK; // by one who died, and it was durable before
        alps_store_(&n->key, p.key);
        alps_store_(&n->next, p.off);
        return t->policy->flush(&h->map, n, sizeof *n);
    }
    if (!is)
        __atomic_store_n(&p.before->next, alps_offset_(h, n), __ATOMIC_RELEASE);
    return t->policy->flush(&h->map, &p.before->next, 8);
}

/* Makes bucket `b` one to begin at, and some that follow it in the list. Two
 * fences. Under the lock of names. */
ALPS_CORE_ int alps_node_link_(alps_handle *h, alps_names *s, uint64_t b,
                               const alps_tables *t)
{
    unsigned shift = alps_node_shift_(s);
    int err = ALPS_OK;
    for (int step = 0; !err && step < 3; step++) {
        for (unsigned i = 0; !err && i < ALPS_NODE_BATCH; i++) {
            uint64_t at = alps_node_after_(b, shift, i);
            if (at || (!b && !i))
                err = alps_node_step_(h, s, at, step, t);
        }
        if (!err && step < 2)
            err = t->fence(&h->map);
    }
    return err;
}

/* Whether there are more names than buckets, by how far apart they are from
 * `from` on: hashes are as good as random. */
ALPS_FN_ int alps_node_crowded_(const alps_handle *h, const alps_node *from,
                                unsigned shift)
{
    uint64_t first = alps_node_order_(from), last = ~0ull, n = 0;
    for (unsigned steps = 0; n < 64 && steps < 4096; steps++) {
        from = alps_node_at_(h, __atomic_load_n(&from->next, __ATOMIC_ACQUIRE));
        if (!from)
            break;
        if (alps_node_order_(from) & 1)
            n++;
    }
    if (from)
        last = alps_node_order_(from);
    return last > first && n > (last - first) >> (64 - shift);
}

/* Doubles the buckets. Where there is no room for that, names are found as
 * before, only slower. Under the lock of names. */
ALPS_CORE_ void alps_node_grow_(alps_handle *h, alps_names *s,
                                const alps_tables *t)
{
    unsigned shift = alps_node_shift_(s), i = shift - ALPS_NAMES_SHIFT;
    if (i >= ALPS_NAMES_TABLES)
        return;
    if (!s->table[i]) {
        uint64_t n = sizeof(alps_node) << shift;
        void *p = alps_link_reserve_(h, n, t);
        if (!p)
            return;
        memset(p, 0, n);
        if (alps_link_publish_(h, &s->table[i], p, t))
            return;
    }
    alps_store_(&s->shift, shift + 1); // should it be lost, this is done again
}

/* Makes what names are found by. Under the lock of names. */
ALPS_CORE_ int alps_node_found_(alps_handle *h, const alps_tables *t)
{
    alps_names *s = (alps_names *)alps_link_reserve_(h, sizeof(alps_names), t);
    if (!s)
        return h->error;
    memset(s, 0, sizeof *s);
    s->shift = ALPS_NAMES_SHIFT;
    s->first[0].key = ALPS_NODE_READY_;
    return alps_link_publish_(h, &h->super->names, s, t);
}

/* name.h -- objects with names
 *
 * An entry is one block: its node, what is known of it, the name, the object.
 * It is reserved, filled, and published to the link that is to name it; so an
 * object is found when it is whole, or not at all. To destroy it is to cut that
 * link. Who changes names holds the lock of names; who looks one up takes no
 * lock, but is a reader. See docs/names.md. */

/* Bytes of a name, and of a description, at most. */
#define ALPS_NAME_MAX 65536u

/* What an object is called and what it is. All zero but what is meant. */
typedef struct alps_naming {
    const void *name;   /* any bytes; NULL: the object is the only one of its
                           tag, which is not 0 then */
    size_t length;      /* of the name */
    uint64_t tag;       /* of the type; 0: not said, and not checked */
    size_t element;     /* bytes of an element; 0: not said, `count` is bytes */
    size_t count;       /* of elements; to find: at least so many */
    const char *text;   /* a description, or NULL */
    size_t text_length; /* of the description */
} alps_naming;

/* Called for each named object; anything but 0 ends the walk, and is what the
 * walk answers. `name` is NULL for the only one of a tag; a zero byte follows
 * it. It may destroy the object it is called for. */
typedef int alps_name_visit(void *context, const char *name, size_t length,
                            void *p, size_t n);

/* A typed description of an object: of type T, which is its tag as well. */
#define ALPS_NAMING(T, name, count) \
  alps_name_typed_((name), alps_hash_tag_(#T), sizeof(T), (count))

/* The same for the only object of a type. */
#define ALPS_UNIQUE(T, count) \
  alps_name_typed_(NULL, alps_hash_tag_(#T), sizeof(T), (count))

ALPS_FN_ alps_naming alps_name_typed_(const char *name, uint64_t tag,
                                      size_t element, size_t count)
{
    alps_naming n;
    memset(&n, 0, sizeof n);
    n.name = name;
    n.length = name ? strlen(name) : 0;
    n.tag = tag;
    n.element = element;
    n.count = count;
    return n;
}

/* A naming as it is looked for. */
typedef struct alps_name {
    const alps_naming *as;
    const void *bytes;
    uint64_t length, key, total;
    uint32_t unique, text, place; /* places in the entry */
} alps_name;

/* What follows from a naming. ALPS_EINVAL where it cannot be meant. */
ALPS_FN_ int alps_name_init_(const alps_handle *h, const alps_naming *as,
                             alps_name *n)
{
    uint64_t element = as->element ? as->element : 1;
    n->as = as;
    n->unique = !as->name;
    n->bytes = as->name ? as->name : &as->tag;
    n->length = as->name ? as->length : sizeof as->tag;
    if ((!as->name && (!as->tag || as->length)) || n->length > ALPS_NAME_MAX ||
        as->text_length > ALPS_NAME_MAX || (as->text_length && !as->text) ||
        element > ALPS_SIZE_MAX || as->count > ALPS_SIZE_MAX / element)
        return ALPS_EINVAL;
    uint64_t size = element * as->count, head = sizeof(alps_entry);
    uint64_t align = size >= ALPS_SMALL_MAX ? ALPS_GRANULE : 16;
    n->key = alps_hash_reverse_(
                 alps_hash_of_(h->super->uuid, n->bytes, (size_t)n->length)) |
             1;
    n->text = (uint32_t)alps_round_up_(head + n->length + 1, 8);
    head = n->text;
    if (as->text_length)
        head += sizeof(alps_text) + as->text_length + 1;
    n->place = (uint32_t)alps_round_up_(head + sizeof(uint64_t), align);
    n->total = n->place + size + !size;
    return ALPS_OK;
}

/* The checksum of an entry: of what never changes. */
ALPS_FN_ uint32_t alps_name_crc_(const alps_handle *h, const alps_entry *e)
{
    alps_entry copy;
    memset(&copy, 0, sizeof copy);
    copy.node.key = e->node.key;
    copy.tag = e->tag;
    copy.element = e->element;
    copy.count = e->count;
    copy.length = e->length;
    copy.place = e->place;
    copy.unique = e->unique;
    uint32_t crc = alps_crc32c_(h->crc, 0, &copy, sizeof copy);
    return alps_crc32c_(h->crc, crc, e + 1, e->length);
}

/* Whether what the entry at `off` says can be. */
ALPS_FN_ int alps_name_sane_(const alps_handle *h, alps_off off)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    uint64_t left = alps_size_(h) - off;
    return left >= sizeof *e && e->length <= ALPS_NAME_MAX && e->element &&
           e->place % 16 == 0 &&
           e->place >= sizeof *e + e->length + 1 + sizeof(uint64_t) &&
           e->place <= left && e->count <= (left - e->place) / e->element &&
           e->crc == alps_name_crc_(h, e);
}

/* Whether the entry at `off` has the name that is looked for. */
ALPS_FN_ int alps_name_is_(const alps_handle *h, alps_off off, const void *what)
{
    const alps_name *n = (const alps_name *)what;
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    return alps_size_(h) - off >= sizeof *e &&
           alps_size_(h) - off - sizeof *e >= n->length &&
           e->length == n->length && e->unique == n->unique &&
           memcmp(e + 1, n->bytes, (size_t)n->length) == 0;
}

/* Where the name is, or should be: 1, 0, or a code. */
ALPS_FN_ int alps_name_seek_(const alps_handle *h, const alps_name *n,
                             alps_place *p)
{
    memset(p, 0, sizeof *p);
    p->key = n->key;
    alps_names *s = alps_node_names_(h);
    if (!s)
        return alps_load_(&h->super->names) ? ALPS_ECORRUPT : 0;
    alps_node *from = alps_node_begin_(h, s, alps_node_number_(s, n->key));
    if (!from)
        return ALPS_ECORRUPT;
    int is = alps_node_seek_(h, from, p, alps_name_is_, n);
    return is == 1 && !alps_name_sane_(h, p->off) ? ALPS_ECORRUPT : is;
}

/* Looks without being a reader: where only reading is allowed. What is found
 * beside a writer counts if nothing was freed meanwhile. */
ALPS_FN_ int alps_name_peek_(const alps_handle *h, const alps_name *n,
                             alps_place *p)
{
    for (unsigned round = 0; round < 1000; round++) {
        uint64_t before =
            __atomic_load_n(&h->shared->unnamed, __ATOMIC_ACQUIRE) +
            __atomic_load_n(&h->shared->reaped, __ATOMIC_ACQUIRE);
        int is = alps_name_seek_(h, n, p);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (alps_load_(&h->shared->unnamed) + alps_load_(&h->shared->reaped) ==
            before)
            return is;
    }
    return ALPS_EBUSY;
}

/* Looks as a reader; a thread that cannot be one takes the lock. */
ALPS_CORE_ int alps_name_read_(alps_handle *h, const alps_name *n,
                               alps_place *p, const alps_tables *t)
{
    int err = alps_epoch_enter_(h, t);
    if (err && err != ALPS_EBUSY)
        return err;
    if (err)
        alps_names_lock_(h, t);
    int is = alps_name_seek_(h, n, p);
    if (err)
        alps_names_unlock_(h);
    else
        alps_epoch_leave_(h, t);
    return is;
}

/* Looks the name up: 1, 0 or a code. */
ALPS_CORE_ int alps_name_look_(alps_handle *h, const alps_name *n,
                               alps_place *p, const alps_tables *t)
{
    if (!alps_self_(h) && (!h->attached || h->map.medium != ALPS_MEDIUM_ANON))
        return alps_name_peek_(h, n, p);
    return alps_name_read_(h, n, p, t);
}

/* Whether the entry is what is asked for. */
ALPS_FN_ int alps_name_fits_(const alps_entry *e, const alps_naming *as)
{
    uint64_t count = as->element ? e->count : e->count * e->element;
    if ((as->tag && e->tag != as->tag) ||
        (as->element && e->element != as->element) || count < as->count)
        return ALPS_ETYPE;
    return ALPS_OK;
}

/* The object of an entry, and its bytes through `n`, which may be NULL. */
ALPS_FN_ void *alps_name_object_(const alps_entry *e, size_t *n)
{
    if (n)
        *n = (size_t)(e->element * e->count);
    return (unsigned char *)(uintptr_t)e + e->place;
}

/* Fills a reserved entry. */
ALPS_FN_ void alps_name_fill_(const alps_handle *h, const alps_name *n,
                              alps_off next, alps_entry *e)
{
    memset(e, 0, (size_t)n->total);
    e->node.next = next;
    e->node.key = n->key;
    e->tag = n->as->tag;
    e->element = n->as->element ? n->as->element : 1;
    e->count = n->as->count;
    e->length = (uint32_t)n->length;
    e->place = n->place;
    e->unique = n->unique;
    memcpy(e + 1, n->bytes, (size_t)n->length);
    if (n->as->text_length) {
        alps_text *x = (alps_text *)(void *)((unsigned char *)e + n->text);
        x->length = n->as->text_length;
        memcpy(x + 1, n->as->text, n->as->text_length);
        e->text = alps_offset_(h, x);
    }
    *(uint64_t *)(void *)((unsigned char *)e + e->place - 8) = e->place;
    e->crc = alps_name_crc_(h, e);
}

/* Enters the name behind `p->before`. */
ALPS_CORE_ int alps_name_enter_(alps_handle *h, const alps_name *n,
                                alps_place *p, const alps_tables *t)
{
    alps_entry *e = (alps_entry *)alps_link_reserve_(h, n->total, t);
    if (!e)
        return h->error;
    alps_name_fill_(h, n, p->off, e);
    int err = alps_link_publish_(h, &p->before->next, e, t);
    if (err)
        return err;
    p->off = alps_offset_(h, e);
    if (h->shared->named)
        h->shared->named++;
    return ALPS_OK;
}

/* Sees to it that the list has a beginning near the name: where it should be,
 * found under the lock. 1: it is there. */
ALPS_CORE_ int alps_name_ready_(alps_handle *h, const alps_name *n,
                                alps_place *p, const alps_tables *t)
{
    int err = alps_load_(&h->super->names) ? ALPS_OK : alps_node_found_(h, t);
    alps_names *s = alps_node_names_(h);
    if (err || !s)
        return err ? err : ALPS_ECORRUPT;
    uint64_t b = alps_node_number_(s, n->key);
    alps_node *own = alps_node_bucket_(h, s, b);
    if (own && !alps_node_ready_(own, b))
        err = alps_node_link_(h, s, b, t);
    return err ? err : alps_name_seek_(h, n, p);
}

/* More buckets, if the name that was entered had many before it. */
ALPS_CORE_ void alps_name_grow_(alps_handle *h, const alps_name *n,
                                const alps_place *p, const alps_tables *t)
{
    alps_names *s = alps_node_names_(h);
    if (ALPS_LIKELY_(p->steps <= ALPS_NODE_CROWD) || !s)
        return;
    const alps_node *from =
        alps_node_begin_(h, s, alps_node_number_(s, n->key));
    if (from && alps_node_crowded_(h, from, alps_node_shift_(s)))
        alps_node_grow_(h, s, t);
}

/* The object of the name at `p`, which was there (`is`), or was made. */
ALPS_FN_ void *alps_name_got_(alps_handle *h, const alps_naming *as,
                              const alps_place *p, int is, int old)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, p->off);
    int err = !is ? ALPS_OK : old ? alps_name_fits_(e, as) : ALPS_EEXIST;
    if (!err)
        return alps_name_object_(e, NULL);
    alps_fail_(h, err);
    return NULL;
}

/* See alps_construct_as. `old`: what is there already does as well. */
ALPS_CORE_ void *alps_name_construct_(alps_handle *h, const alps_naming *as,
                                      int old, const alps_tables *t)
{
    alps_name n;
    alps_place p;
    void *got = NULL;
    p.off = 0; // gcc does not see that it is not used before it is set
    int err = alps_ready_(h, t);
    int is = err ? err : alps_name_init_(h, as, &n);
    if (!is && old)
        is = alps_name_read_(h, &n, &p, t);
    if (is == 1)
        return alps_name_got_(h, as, &p, is, old);
    if (!is) {
        alps_names_lock_(h, t);
        is = alps_name_ready_(h, &n, &p, t);
        err = is ? ALPS_OK : alps_name_enter_(h, &n, &p, t);
        if (!is && !err)
            alps_name_grow_(h, &n, &p, t);
        if (is >= 0 && !err) // later another may have destroyed it
            got = alps_name_got_(h, as, &p, is, old);
        alps_names_unlock_(h);
    }
    if (is < 0 || err)
        alps_fail_(h, is < 0 ? is : err);
    return got;
}

/* See alps_find_as. */
ALPS_CORE_ void *alps_name_find_(alps_handle *h, const alps_naming *as,
                                 size_t *bytes, const alps_tables *t)
{
    alps_name n;
    alps_place p;
    int is = alps_name_init_(h, as, &n);
    if (!is)
        is = alps_name_look_(h, &n, &p, t);
    if (is == 1) {
        const alps_entry *e = (const alps_entry *)alps_address_(h, p.off);
        is = alps_name_fits_(e, as);
        if (!is)
            return alps_name_object_(e, bytes);
    } else if (!is) {
        is = ALPS_ENOENT;
    }
    alps_fail_(h, is);
    return NULL;
}

/* named.h -- what is done with objects that have names
 *
 * They are destroyed, described, asked for what is known of them, walked and
 * counted, and checked. See name.h. */

/* The entry of the object at `p`, or NULL where that is none. */
ALPS_FN_ alps_entry *alps_named_entry_(const alps_handle *h, const void *p)
{
    alps_off off = alps_offset_(h, p);
    alps_object o;
    alps_block b;
    if (!p || off % 16 || off < h->at.heap + sizeof(alps_entry) ||
        off >= alps_size_(h))
        return NULL;
    uint64_t place = ((const uint64_t *)p)[-1];
    if (place % 16 || place < sizeof(alps_entry) || place > off - h->at.heap)
        return NULL;
    off -= place;
    int is = alps_object_at_(h, off, &o);
    if (is < 0 || (is == 1 && !alps_object_live_(&o)) ||
        (is == 0 && alps_block_at_(h, off, &b) != ALPS_USED))
        return NULL;
    alps_entry *e = (alps_entry *)alps_address_(h, off);
    return alps_name_sane_(h, off) && e->place == place ? e : NULL;
}

/* Whether the description at `off` is part of the entry. */
ALPS_FN_ int alps_named_inside_(const alps_handle *h, const alps_entry *e,
                                alps_off off)
{
    return off - alps_offset_(h, e) < e->place;
}

/* The description at `off`, or NULL where none can be. */
ALPS_FN_ alps_text *alps_named_text_(const alps_handle *h, alps_off off)
{
    uint64_t size = alps_size_(h);
    if (off % 8 || off < h->at.heap || off >= size ||
        size - off <= sizeof(alps_text))
        return NULL;
    alps_text *x = (alps_text *)alps_address_(h, off);
    return x->length < size - off - sizeof *x ? x : NULL;
}

/* Cuts off what `*link` names: one description, or the next of a row that a
 * crash has left. Under the lock of names. */
ALPS_CORE_ int alps_named_cut_(alps_handle *h, const alps_entry *e,
                               alps_off *link, alps_link *k,
                               const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    const alps_text *x = alps_named_text_(h, alps_load_(link));
    if (!x)
        return ALPS_ECORRUPT;
    if (!alps_named_inside_(h, e, *link))
        return alps_link_cut_(h, link, x->before, k, t);
    alps_store_(link, 0);
    int err = t->policy->flush(&h->map, link, 8);
    return err ? err : t->fence(&h->map);
}

/* The link to what is to go first: what a description replaced, or that. */
ALPS_FN_ alps_off *alps_named_last_(const alps_handle *h, alps_entry *e)
{
    alps_text *x = alps_named_text_(h, e->text);
    return x && !alps_named_inside_(h, e, e->text) && x->before ? &x->before
                                                                : &e->text;
}

/* Which step it was: nothing more, or another is to follow. */
enum { ALPS_NAMED_DONE_ = 0, ALPS_NAMED_MORE_ = 1 };

/* One step of destroying a name: a description that is a block, or the entry,
 * which is told through `entry`. Under the lock of names. */
ALPS_CORE_ int alps_named_step_(alps_handle *h, const alps_name *n,
                                alps_link *k, alps_off *entry,
                                const alps_tables *t)
{
    alps_place p;
    memset(k, 0, sizeof *k);
    int is = alps_name_seek_(h, n, &p);
    if (is < 1)
        return is ? is : ALPS_ENOENT;
    alps_entry *e = (alps_entry *)alps_address_(h, p.off);
    int err = alps_name_fits_(e, n->as);
    if (err)
        return err;
    if (e->text && !alps_named_inside_(h, e, e->text)) {
        err = alps_named_cut_(h, e, alps_named_last_(h, e), k, t);
        return err ? err : ALPS_NAMED_MORE_;
    }
    err = alps_link_cut_(h, &p.before->next, alps_load_(&e->node.next), k, t);
    *entry = p.off;
    __atomic_fetch_add(&h->shared->unnamed, 1, __ATOMIC_SEQ_CST);
    if (!err && h->shared->named)
        h->shared->named--;
    return err;
}

/* Lets the lock of names go after a step that answered `*err`, and ends the
 * step: whether another one is to follow. */
ALPS_CORE_ int alps_named_more_(alps_handle *h, alps_link *k, int *err,
                                const alps_tables *t)
{
    int more = *err == ALPS_NAMED_MORE_;
    alps_names_unlock_(h);
    int late = alps_link_end_(h, k, t);
    *err = *err < 0 ? *err : late;
    return more && !*err;
}

/* See alps_destroy_as. `*entry` is what was destroyed: it is as it was until
 * readers of now have left. */
ALPS_CORE_ int alps_named_destroy_(alps_handle *h, const alps_naming *as,
                                   alps_off *entry, const alps_tables *t)
{
    alps_name n;
    int err = alps_ready_(h, t);
    if (!err)
        err = alps_name_init_(h, as, &n);
    for (int more = !err; more;) {
        alps_link k;
        alps_names_lock_(h, t);
        err = alps_named_step_(h, &n, &k, entry, t);
        more = alps_named_more_(h, &k, &err, t);
    }
    return err;
}

/* Makes a description and lets the entry name it; what it replaces is named by
 * it until it is free. Under the lock of names. */
ALPS_CORE_ int alps_named_describe_(alps_handle *h, alps_entry *e,
                                    const char *text, size_t n,
                                    const alps_tables *t)
{
    alps_text *x = (alps_text *)alps_link_reserve_(h, sizeof *x + n + 1, t);
    if (!x)
        return h->error;
    x->before = e->text && !alps_named_inside_(h, e, e->text) ? e->text : 0;
    x->length = n;
    memcpy(x + 1, text, n);
    ((char *)(x + 1))[n] = 0;
    return alps_link_publish_(h, &e->text, x, t);
}

/* One step of setting a description: it is made, or what it replaced is cut
 * off. `made` tells which. */
ALPS_CORE_ int alps_named_text_step_(alps_handle *h, void *p, const char *text,
                                     size_t n, int made, alps_link *k,
                                     const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    alps_entry *e = alps_named_entry_(h, p);
    if (!e)
        return ALPS_EINVAL;
    if (!made && n) {
        int err = alps_named_describe_(h, e, text, n, t);
        return err ? err : ALPS_NAMED_MORE_;
    }
    alps_off *link = alps_named_last_(h, e);
    if (!*link || (n && link == &e->text))
        return ALPS_NAMED_DONE_;
    int err = alps_named_cut_(h, e, link, k, t);
    return err ? err : ALPS_NAMED_MORE_;
}

/* See alps_redescribe. */
ALPS_CORE_ int alps_named_redescribe_(alps_handle *h, void *p, const char *text,
                                      size_t n, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (!err && (n > ALPS_NAME_MAX || (n && !text)))
        err = ALPS_EINVAL;
    int made = 0;
    for (int more = !err; more; made = 1) {
        alps_link k;
        alps_names_lock_(h, t);
        err = alps_named_text_step_(h, p, text, n, made, &k, t);
        more = alps_named_more_(h, &k, &err, t);
    }
    return err;
}

/* What is known of the object at `p`. */
ALPS_FN_ int alps_named_look_(const alps_handle *h, const void *p,
                              alps_naming *as)
{
    const alps_entry *e = alps_named_entry_(h, p);
    memset(as, 0, sizeof *as);
    if (!e)
        return ALPS_EINVAL;
    alps_off off = __atomic_load_n(&e->text, __ATOMIC_ACQUIRE);
    const alps_text *x = off ? alps_named_text_(h, off) : NULL;
    if (off && !x)
        return ALPS_ECORRUPT;
    as->name = e->unique ? NULL : (const void *)(e + 1);
    as->length = e->unique ? 0 : e->length;
    as->tag = e->tag;
    as->element = (size_t)e->element;
    as->count = (size_t)e->count;
    as->text = x ? (const char *)(x + 1) : NULL;
    as->text_length = x ? (size_t)x->length : 0;
    return ALPS_OK;
}

/* Walks all names, as a reader or with the lock. */
ALPS_FN_ int alps_named_walk_(const alps_handle *h, alps_name_visit *visit,
                              void *context)
{
    alps_names *s = alps_node_names_(h);
    if (!s)
        return alps_load_(&h->super->names) ? ALPS_ECORRUPT : ALPS_OK;
    const alps_node *n = &s->first[0];
    uint64_t last = 0;
    unsigned same = 0;
    for (;;) {
        alps_off off = __atomic_load_n(&n->next, __ATOMIC_ACQUIRE);
        if (!off)
            return ALPS_OK;
        n = alps_node_at_(h, off);
        uint64_t order = n ? alps_node_order_(n) : 0;
        same = order == last ? same + 1 : 0;
        if (!n || order < last || same > ALPS_NODE_SAME_)
            return ALPS_ECORRUPT;
        last = order;
        if (!(order & 1))
            continue;
        if (!alps_name_sane_(h, off))
            return ALPS_ECORRUPT;
        const alps_entry *e = (const alps_entry *)alps_address_(h, off);
        size_t bytes;
        void *p = alps_name_object_(e, &bytes);
        const char *name = e->unique ? NULL : (const char *)(e + 1);
        int stop = visit(context, name, name ? e->length : 0, p, bytes);
        if (stop)
            return stop;
    }
}

/* See alps_each_name. */
ALPS_CORE_ int alps_named_each_(alps_handle *h, alps_name_visit *visit,
                                void *context, const alps_tables *t)
{
    if (!alps_self_(h) && (!h->attached || h->map.medium != ALPS_MEDIUM_ANON))
        return alps_named_walk_(h, visit, context);
    int err = alps_epoch_enter_(h, t);
    if (err)
        return err;
    int stop = alps_named_walk_(h, visit, context);
    alps_epoch_leave_(h, t);
    return stop;
}

ALPS_FN_ int alps_named_one_(void *context, const char *name, size_t length,
                             void *p, size_t n)
{
    (void)name;
    (void)length;
    (void)p;
    (void)n;
    ++*(uint64_t *)context;
    return 0;
}

/* How many names there are: known, or counted. */
ALPS_CORE_ uint64_t alps_named_count_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    if (!alps_self_(h)) {
        (void)alps_named_walk_(h, alps_named_one_, &n);
        return n;
    }
    alps_names_lock_(h, t);
    if (h->shared->named)
        n = h->shared->named - 1;
    else if (alps_named_walk_(h, alps_named_one_, &n) == ALPS_OK)
        h->shared->named = n + 1;
    alps_names_unlock_(h);
    return n;
}

/* maker.h -- an object that is begun before it is found
 *
 * A type whose zeroes do not make it whole has a maker: it gets the memory of a
 * named object before anybody can find it, and what it stores there is
 * published with the name. It runs without a lock, so it may allocate, and name
 * other objects. */

/* How an object is begun, and ended where it is not needed. */
typedef struct alps_maker {
    int (*make)(void *context, void *p, size_t n);    /* 0, or a code: there is
                                                         to be no object */
    void (*unmake)(void *context, void *p, size_t n); /* another was quicker,
                                                         or no name could be
                                                         given; or NULL */
    void *context;
} alps_maker;

/* Gives an entry back that was not entered. */
ALPS_CORE_ void alps_maker_end_(alps_handle *h, const alps_maker *m,
                                alps_entry *e, const alps_tables *t)
{
    size_t n;
    void *p = alps_name_object_(e, &n);
    if (m && m->unmake)
        m->unmake(m->context, p, n);
    (void)alps_cancel_(h, alps_offset_(h, e), t);
}

/* Reserves an entry, and lets the maker begin its object. NULL: see `*err`. */
ALPS_CORE_ alps_entry *alps_maker_begin_(alps_handle *h, const alps_name *n,
                                         const alps_maker *m, int *err,
                                         const alps_tables *t)
{
    size_t bytes;
    alps_entry *e = (alps_entry *)alps_link_reserve_(h, n->total, t);
    *err = e ? ALPS_OK : h->error;
    if (!e)
        return NULL;
    alps_name_fill_(h, n, 0, e);
    void *p = alps_name_object_(e, &bytes);
    *err = m->make(m->context, p, bytes);
    if (!*err)
        return e;
    alps_maker_end_(h, NULL, e, t);
    return NULL;
}

/* Enters the begun entry, where the name is not there yet: 0, or a code. Else
 * 1. `*got` is the object, or NULL; later another may have destroyed it. */
ALPS_CORE_ int alps_maker_enter_(alps_handle *h, const alps_name *n,
                                 alps_entry *e, int old, void **got,
                                 const alps_tables *t)
{
    alps_place p;
    alps_names_lock_(h, t);
    int is = alps_name_ready_(h, n, &p, t);
    if (!is) {
        e->node.next = p.off;
        is = alps_publish_(h, &p.before->next, e, t);
        if (!is) {
            *got = alps_name_object_(e, NULL);
            if (h->shared->named)
                h->shared->named++;
            alps_name_grow_(h, n, &p, t);
        }
    } else if (is == 1) {
        *got = alps_name_got_(h, n->as, &p, is, old);
    }
    alps_names_unlock_(h);
    return is;
}

/* See alps_construct_with. `old`: what is there already does as well. */
ALPS_CORE_ void *alps_maker_construct_(alps_handle *h, const alps_naming *as,
                                       int old, const alps_maker *m,
                                       const alps_tables *t)
{
    alps_name n;
    alps_place p;
    alps_entry *e = NULL;
    void *got = NULL;
    p.off = 0;
    int err = alps_ready_(h, t);
    int is = err ? err : alps_name_init_(h, as, &n);
    if (!is)
        is = alps_name_read_(h, &n, &p, t);
    if (is == 1)
        return alps_name_got_(h, as, &p, is, old);
    if (!is)
        e = alps_maker_begin_(h, &n, m, &err, t);
    if (e) {
        is = alps_maker_enter_(h, &n, e, old, &got, t);
        if (is)
            alps_maker_end_(h, m, e, t);
    }
    if (is < 0 || err)
        alps_fail_(h, is < 0 ? is : err);
    return got;
}

/* resize.h -- realloc
 *
 * In place where the block shrinks, or where the run behind it is free and
 * long enough; else a new block, a copy, and a free. */

/* Cuts the block at `off` after `units`; the rest is freed as free does it. */
ALPS_CORE_ int alps_resize_cut_(alps_handle *h, alps_lane *lane, alps_off off,
                                uint64_t units, const alps_tables *t)
{
    alps_block b;
    int err = alps_heap_own_(h, off, ALPS_USED, &b, t);
    if (err)
        return err;
    b.unit += units;
    alps_off rest = alps_zone_off_(&b.zone, b.unit);
    alps_heap_hold_(lane, &b);
    alps_block_unlock_(&b);
    if (t->policy->durable) {
        err = alps_codes_flush_(h, &b.zone, b.unit, 0, t);
        if (!err)
            err = t->fence(&h->map);
    }
    alps_heap_enter_(h, lane, rest, t);
    return err;
}

/* Takes `more` units off the front of the free run behind the block, as a held
 * block of their own. ALPS_EFULL where it is not free or too short. Under the
 * lock of their shard. */
ALPS_FN_ int alps_resize_claim_(alps_handle *h, alps_lane *lane,
                                const alps_block *next, uint64_t more)
{
    const alps_zone *z = &next->zone;
    if (next->unit >= z->end || alps_code_(z->codes, next->unit) != ALPS_FREE)
        return ALPS_EFULL;
    uint64_t have = alps_run_(z, next->unit)->units;
    if (alps_run_valid_(z, next->unit, have) && have < more)
        return ALPS_EFULL;
    if (!alps_run_valid_(z, next->unit, have) ||
        !alps_code_inside_(z->codes, next->unit + 1, next->unit + have) ||
        alps_run_unlink_(h, z, next->unit)) {
        alps_index_reset_(next->shard);
        return ALPS_EFULL;
    }
    if (have > more) {
        alps_code_set_(z->codes, next->unit + more, ALPS_FREE);
        alps_run_insert_(z, next->unit + more, have - more);
    }
    alps_heap_hold_(lane, next);
    return ALPS_OK;
}

/* Lets the block go on into `more` units behind it. What follows them is
 * durably a start before the block durably reaches up to it: two fences. */
ALPS_CORE_ int alps_resize_extend_(alps_handle *h, alps_lane *lane,
                                   alps_off off, uint64_t units, uint64_t more,
                                   const alps_tables *t)
{
    alps_block next;
    int err = alps_heap_own_(h, off, ALPS_USED, &next, t);
    if (err)
        return err;
    next.unit += units;
    err = alps_resize_claim_(h, lane, &next, more);
    if (!err && next.level == ALPS_LEVEL_EXTENT) {
        err = alps_holes_fill_(h, next.unit, more, t);
        if (err) {
            alps_store_(&lane->held, 0);
            ALPS_BARRIER_();
            alps_give_back_(h, &next);
        }
    }
    alps_block_unlock_(&next);
    if (!err && t->policy->durable) {
        err = alps_codes_flush_(h, &next.zone, next.unit, more, t);
        if (!err)
            err = t->fence(&h->map);
        if (err)
            alps_heap_enter_(h, lane, alps_zone_off_(&next.zone, next.unit), t);
    }
    if (err)
        return err;
    alps_shard_lock_(h, next.shard, 0, t);
    alps_code_set_(next.zone.codes, next.unit, ALPS_INSIDE);
    alps_store_(&lane->held, 0);
    alps_block_unlock_(&next);
    if (!t->policy->durable)
        return ALPS_OK;
    err = alps_codes_flush_(h, &next.zone, next.unit, 0, t);
    return err ? err : t->fence(&h->map);
}

/* Changes the size of the block in place, or answers ALPS_EFULL. */
ALPS_CORE_ int alps_resize_in_place_(alps_handle *h, const alps_block *b,
                                     const alps_request *r,
                                     const alps_tables *t)
{
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (r->level != b->level)
        return ALPS_EFULL;
    if (r->units == units)
        return ALPS_OK;
    alps_lane *lane = alps_lane_take_(h, t);
    alps_off off = alps_zone_off_(&b->zone, b->unit);
    int err = r->units < units ? alps_resize_cut_(h, lane, off, r->units, t)
                               : alps_resize_extend_(h, lane, off, units,
                                                     r->units - units, t);
    alps_lane_leave_(lane);
    return err;
}

/* Whether the object or block at `off` serves `n` bytes where it is, perhaps
 * after its size was changed: ALPS_EFULL if it has to move. `old` is what it
 * has now. */
ALPS_CORE_ int alps_resize_here_(alps_handle *h, alps_off off, uint64_t n,
                                 uint64_t *old, const alps_tables *t)
{
    alps_object o;
    alps_block b;
    alps_request r;
    int is = alps_object_at_(h, off, &o);
    if (is < 0 || (is && !alps_object_live_(&o)))
        return ALPS_EINVALID_FREE;
    if (is) {
        *old = alps_kind_size_(o.kind);
        return n <= *old && n > *old / 2 ? ALPS_OK : ALPS_EFULL;
    }
    if (alps_block_at_(h, off, &b) != ALPS_USED)
        return ALPS_EINVALID_FREE;
    *old = alps_block_size_(&b);
    if (alps_small_size_(h, 1, n) && *old > 2 * n)
        return ALPS_EFULL;
    int err = alps_request_init_(h, 1, n, ALPS_USED, &r);
    return err ? err : alps_resize_in_place_(h, &b, &r, t);
}

/* See alps_realloc. */
ALPS_CORE_ void *alps_resize_(alps_handle *h, void *p, uint64_t n,
                              const alps_tables *t)
{
    uint64_t old = 0;
    if (!p)
        return alps_small_alloc_(h, 1, n, 0, t);
    int err = alps_ready_(h, t);
    if (!err)
        err = n > ALPS_SIZE_MAX
                  ? ALPS_EINVAL
                  : alps_resize_here_(h, alps_offset_(h, p), n, &old, t);
    if (!err)
        return p;
    if (err != ALPS_EFULL) {
        alps_fail_(h, err);
        return NULL;
    }
    void *to = alps_small_alloc_(h, 1, n, ALPS_ALLOC_LATER, t);
    if (!to)
        return n <= old ? p : NULL;
    memcpy(to, p, old < n ? old : n);
    err = t->policy->flush(&h->map, to, old < n ? old : n);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_small_free_(h, p, t);
    if (err)
        alps_fail_(h, err);
    return to;
}

/* slow.h -- what an instance does off its fast path
 *
 * One function of each instance, so that the fast paths stay small. */

/* See alps_trim. */
ALPS_CORE_ int alps_trim_(alps_handle *h, const alps_tables *t)
{
    uint64_t n;
    alps_object o;
    int err = alps_ready_(h, t);
    const alps_cache *c = err ? NULL : alps_cache_(h);
    if (c && alps_load_(&c->lane->pending)) {
        err = t->fence(&h->map);
        if (!err)
            alps_pending_end_(h, c->lane, &o);
    }
    if (err)
        return err;
    alps_lock_(h, t);
    t->slow(h, ALPS_SLOW_AT_HAND, 0, 0);
    alps_unlock_(h);
    err = t->slow(h, ALPS_SLOW_EMPTY, (uint64_t)(uintptr_t)&n, 0);
    return err ? err : alps_holes_make_(h, t);
}

/* More lies idle than is worth keeping: 64 MiB, and a quarter of the region.
 * Empty extents that are in some index become memory for any use, and all that
 * is free goes to the file system. */
ALPS_CORE_ int alps_idle_end_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    int err = ALPS_OK;
    if (alps_load_(&h->shared->idle) < alps_extents_(h) / 4)
        return ALPS_OK;
    for (alps_shard *s = h->shards; !err && s < h->top && !h->map.fixed; s++) {
        alps_shard_lock_(h, s, 0, t);
        err = alps_extents_drop_(h, s, &n, t);
        alps_shard_unlock_(s);
    }
    return err && err != ALPS_ECORRUPT ? err : alps_holes_make_(h, t);
}

ALPS_CORE_ int alps_slow_path_(alps_handle *h, int what, uint64_t a, uint64_t b,
                               const alps_tables *t)
{
    switch (what) {
    case ALPS_SLOW_WAIT: return alps_lock_slow_(h, a, b, t);
    case ALPS_SLOW_REFILL:
        return alps_heap_search_(h, (alps_request *)(uintptr_t)a,
                                 (alps_off *)(uintptr_t)b, t);
    case ALPS_SLOW_JOIN:
        return alps_block_join_(h, (alps_block *)(uintptr_t)a, b, t);
    case ALPS_SLOW_LANES: return alps_lanes_slow_(h, a, t);
    case ALPS_SLOW_SELF: return alps_self_slow_(h, t);
    case ALPS_SLOW_RACK: return alps_rack_fill_(h, (unsigned)a, t);
    case ALPS_SLOW_IDLE: return alps_idle_end_(h, t);
    case ALPS_SLOW_FREED: {
        int err = alps_rack_freed_(h, a, t);
        return err || !alps_idle_over_(h) ? err
                                          : t->slow(h, ALPS_SLOW_IDLE, 0, 0);
    }
    case ALPS_SLOW_TAKE:
        return alps_shard_take_(h, (const alps_request *)(uintptr_t)a,
                                (alps_off *)(uintptr_t)b, t);
    case ALPS_SLOW_FOLD:
        return alps_held_unfold_(h, (alps_shard *)(uintptr_t)a, t);
    case ALPS_SLOW_MEND:
        return alps_shard_mend_(h, (alps_shard *)(uintptr_t)a, b, t);
    case ALPS_SLOW_REAP: return alps_reap_(h, a, t);
    case ALPS_SLOW_MORE: return alps_recover_more_(h, t);
    case ALPS_SLOW_LOOSEN: alps_slab_loosen_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_FOUND: alps_slab_find_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_LET_GO: alps_limbo_give_block_(h, a, t); return ALPS_OK;
    case ALPS_SLOW_RETIRED:
        alps_retire_flush_(h, t);
        return alps_idle_over_(h) ? t->slow(h, ALPS_SLOW_IDLE, 0, 0) : ALPS_OK;
    case ALPS_SLOW_RESERVE: {
        void *p = alps_publish_reserve_(h, a, t);
        *(void **)(uintptr_t)b = p;
        return p ? ALPS_OK : h->error;
    }
    case ALPS_SLOW_PUBLISH: {
        int err = alps_publish_(h, (alps_off *)alps_address_(h, a),
                                alps_address_(h, b), t);
        if (err)
            t->slow(h, ALPS_SLOW_CANCEL, b, 0);
        return err;
    }
    case ALPS_SLOW_CUT:
        return alps_link_carry_out_(h, (alps_link *)(uintptr_t)a, t);
    case ALPS_SLOW_CUT_END:
        return alps_link_close_(h, (alps_link *)(uintptr_t)a, t);
    case ALPS_SLOW_AT_HAND: return alps_at_hand_(h, t);
    case ALPS_SLOW_EMPTY:
        return alps_extents_empty_(h, (uint64_t *)(uintptr_t)a, t);
    case ALPS_SLOW_CANCEL: return alps_cancel_(h, a, t);
    case ALPS_SLOW_ABORT: return alps_tx_abandon_(h, a, t);
    case ALPS_SLOW_COMMIT:
        return alps_commit_slow_(h, (const alps_record *)(uintptr_t)a, b, t);
    case ALPS_SLOW_RESTORE: return alps_undo_restore_(h, a, b, t);
    case ALPS_SLOW_GIVE: alps_commit_give_(h, a, (int)b, t); return ALPS_OK;
    case ALPS_SLOW_DEAD: return alps_reap_now_(h, t);
    case ALPS_SLOW_ENDED: return alps_lanes_reap_(h, a, t);
    default: return ALPS_EINVAL;
    }
}

/* visit.h -- every block, and what they add up to
 *
 * Read off the codes, so the answers do not depend on the index, and a region
 * that is open read-only gives the same ones. */

/* Called for each live block; anything but 0 ends the walk, and is what the
 * walk answers. It may free the block it is called for. */
typedef int alps_visit(void *context, void *p, size_t n);

/* Blocks from 2^k bytes up to twice that are counted in class k. */
#define ALPS_CLASSES 48

/* What a region holds, in bytes unless said. */
typedef struct alps_statistics {
    uint64_t size;                   /* of the region */
    uint64_t used;                   /* by live objects and blocks */
    uint64_t free;                   /* that blocks could take */
    uint64_t reserved;               /* by reservations */
    uint64_t retired;                /* and waiting for readers */
    uint64_t spare;                  /* in slabs, for objects of their size */
    uint64_t largest_free;           /* the longest block that would fit now */
    uint64_t blocks;                 /* live ones, a count */
    uint64_t names;                  /* a count */
    uint64_t runs;                   /* free ones, a count */
    uint64_t extents;                /* all; a count */
    uint64_t heap_extents;           /* that hold small blocks; a count */
    unsigned fragmentation;          /* of free memory: 1 - largest / all,
                                          in thousandths */
    uint64_t by_class[ALPS_CLASSES]; /* live blocks by size; counts */
    alps_paging paging;              /* of backend paged, since the open */
} alps_statistics;

/* Walks the live objects of the slab at `place`. */
ALPS_FN_ int alps_visit_slab_(const alps_handle *h, alps_off place,
                              alps_visit *visit, void *context)
{
    alps_slab s = *alps_slab_head_(h, place);
    if (!alps_slab_derive_(h, &s))
        return 0;
    const alps_pair *pair = alps_slab_pairs_(alps_slab_head_(h, place));
    for (uint64_t i = 0; i < s.count; i++)
        if (alps_pair_live_(&pair[i / 64]) >> (i % 64) & 1) {
            int stop = visit(context, h->map.base + place + i * s.size,
                             (size_t)s.size);
            if (stop)
                return stop;
        }
    return 0;
}

/* Walks the live objects of all slabs in one extent. */
ALPS_FN_ int alps_visit_slabs_(const alps_handle *h, uint64_t extent,
                               alps_visit *visit, void *context)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift) {
        int stop = alps_slab_is_(h, off)
                       ? alps_visit_slab_(h, off, visit, context)
                       : 0;
        if (stop)
            return stop;
    }
    return 0;
}

/* Walks the live blocks of one zone. */
ALPS_FN_ int alps_visit_zone_(const alps_handle *h, const alps_zone *z,
                              alps_visit *visit, void *context)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    while (unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        int small =
            z->shift != ALPS_GRANULE_SHIFT && alps_extent_heap_(h, unit);
        if (!small && alps_code_(z->codes, unit) == ALPS_USED) {
            int stop = visit(context, z->base + alps_zone_off_(z, unit),
                             (size_t)((next - unit) << z->shift));
            if (stop)
                return stop;
        }
        unit = next;
    }
    return 0;
}

/* See alps_each. */
ALPS_FN_ int alps_visit_all_(const alps_handle *h, alps_visit *visit,
                             void *context)
{
    alps_zone top = alps_zone_top_(h);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_zone z = alps_zone_extent_(h, extent);
        int stop = alps_visit_slabs_(h, extent, visit, context);
        if (!stop)
            stop = alps_visit_zone_(h, &z, visit, context);
        if (stop)
            return stop;
    }
    return alps_visit_zone_(h, &top, visit, context);
}

/* The code at `unit` as a rebuild would read it: what is held by nobody is
 * free. A reader takes nobody's word for a holder. */
ALPS_FN_ unsigned alps_stats_code_(const alps_handle *h,
                                   const alps_shard *shard, const alps_zone *z,
                                   uint64_t unit)
{
    unsigned code = alps_code_(z->codes, unit);
    alps_off off = alps_zone_off_(z, unit);
    if (code != ALPS_HELD ||
        (off == alps_slab_place_(h, off) && alps_slab_is_(h, off)))
        return code;
    if (!alps_self_(h) || alps_zone_free_(h, shard, z, unit))
        return ALPS_FREE;
    return code;
}

/* Adds up one block or run. */
ALPS_FN_ void alps_stats_add_(alps_statistics *s, unsigned code, uint64_t n)
{
    if (code == ALPS_USED) {
        s->used += n;
        s->blocks++;
        s->by_class[alps_high_bit_(n)]++;
    } else if (code == ALPS_HELD) {
        s->reserved += n;
    } else {
        s->free += n;
        s->runs++;
    }
}

/* The objects of a group that are reserved by a living process, or held back in
 * this epoch. */
ALPS_FN_ uint64_t alps_stats_keep_(const alps_handle *h, alps_slab *s,
                                   const alps_keep *keep)
{
    uint64_t process = alps_load_(&s->process);
    if (!alps_self_(h) || !__atomic_load_n(&s->kept, __ATOMIC_RELAXED) ||
        process >> ALPS_EPOCH_SHIFT_ != alps_epoch_(h))
        return 0;
    return alps_process_in_(h, process)
               ? alps_keep_any_(keep)
               : __atomic_load_n(&keep->pinned, __ATOMIC_ACQUIRE);
}

/* Adds up the slab at `place`, whose block has `n` bytes. */
ALPS_FN_ void alps_stats_slab_(const alps_handle *h, alps_off place, uint64_t n,
                               alps_statistics *s)
{
    alps_slab slab = *alps_slab_head_(h, place);
    alps_slab *head = alps_slab_head_(h, place);
    uint64_t live = 0, kept = 0;
    if (!alps_slab_derive_(h, &slab))
        return;
    for (unsigned g = 0; g < alps_slab_groups_(&slab); g++) {
        uint64_t now = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        uint64_t keep =
            alps_stats_keep_(h, head, &alps_slab_keeps_(h, head)[g]);
        live += (uint64_t)__builtin_popcountll(now);
        kept += (uint64_t)__builtin_popcountll(keep & ~now);
    }
    s->blocks += live;
    s->by_class[alps_high_bit_(slab.size)] += live;
    s->used += live * slab.size;
    s->reserved += kept * slab.size;
    s->spare += n - (live + kept) * slab.size;
}

/* Adds up a heap extent; answers its longest free run, in bytes. */
ALPS_FN_ uint64_t alps_stats_extent_(const alps_handle *h, uint64_t extent,
                                     alps_statistics *s)
{
    alps_zone z = alps_zone_extent_(h, extent);
    const alps_shard *shard = alps_shard_named_(h, extent);
    uint64_t run = 0, longest = 0;
    uint64_t unit = alps_code_next_(z.codes, z.first, z.end);
    while (unit < z.end) {
        uint64_t n = alps_zone_units_(&z, unit) << z.shift;
        unsigned code = alps_stats_code_(h, shard, &z, unit);
        run = code == ALPS_FREE ? run + n : 0;
        if (run > longest)
            longest = run;
        alps_off off = alps_zone_off_(&z, unit);
        if (off == alps_slab_place_(h, off) && alps_slab_is_(h, off))
            alps_stats_slab_(h, off, n, s);
        else
            alps_stats_add_(s, code, n);
        unit += n >> z.shift;
    }
    return longest;
}

/* Released objects that wait for a fence are not reserved. */
ALPS_FN_ void alps_stats_pending_(const alps_handle *h, alps_statistics *s)
{
    for (unsigned i = 0; alps_self_(h) && i < h->at.lane_count; i++) {
        alps_object o;
        alps_off off = alps_load_(&h->lanes[i].pending);
        if (!off || alps_object_at_(h, off, &o) != 1 ||
            !((alps_load_(&o.keep->own) ^ alps_load_(&o.keep->far)) & o.bit))
            continue;
        s->reserved -= alps_kind_size_(o.kind);
        s->spare += alps_kind_size_(o.kind);
    }
}

/* Bytes of what is in a chunk, and of the chunk. */
ALPS_FN_ uint64_t alps_stats_chunk_(const alps_handle *h, const alps_chunk *c)
{
    uint64_t n = sizeof *c;
    for (uint64_t i = 0; i < c->count && i < ALPS_CHUNK; i++) {
        alps_object o;
        alps_block b;
        int is = alps_object_at_(h, c->thing[i], &o);
        if (is == 1)
            n += alps_kind_size_(o.kind);
        else if (alps_block_at_(h, c->thing[i], &b) == ALPS_HELD)
            n += alps_block_size_(&b);
    }
    return n;
}

/* A table of reservations that has grown is not reserved. */
ALPS_FN_ void alps_stats_tables_(const alps_handle *h, alps_statistics *s)
{
    for (const alps_shard *x = h->shards; x <= h->top; x++) {
        alps_block b;
        alps_off table = alps_held_place_(x);
        if (table != alps_held_first_(h, x) &&
            alps_block_at_(h, table, &b) == ALPS_HELD)
            s->reserved -= alps_block_size_(&b);
    }
}

/* What was retired is not, either. */
ALPS_FN_ void alps_stats_limbo_(const alps_handle *h, alps_statistics *s)
{
    const alps_chunk *c = alps_limbo_chunk_(h, h->shared->limbo);
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_chunk *own = alps_limbo_chunk_(h, h->lanes[i].limbo);
        s->retired += own ? alps_stats_chunk_(h, own) : 0;
    }
    for (uint64_t n = s->size / sizeof *c; c && n; n--) {
        s->retired += alps_stats_chunk_(h, c);
        c = alps_limbo_chunk_(h, c->next);
    }
    s->reserved -= s->retired < s->reserved ? s->retired : s->reserved;
}

/* See alps_stats. Under all locks, where there are any. */
ALPS_FN_ void alps_stats_all_(const alps_handle *h, alps_statistics *s)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t whole = (1ull << top.shift) - h->at.first * ALPS_GRANULE;
    uint64_t run = 0;
    memset(s, 0, sizeof *s);
    if (h->map.pager)
        s->paging = alps_writeback_count_(h->map.pager);
    s->size = alps_size_(h);
    s->extents = top.end;
    for (uint64_t unit = 0, n; unit < top.end; unit += n) {
        int empty = 0;
        n = alps_zone_units_(&top, unit);
        unsigned code = alps_stats_code_(h, h->top, &top, unit);
        if (alps_extent_heap_(h, unit)) {
            n = 1;
            s->heap_extents++;
            uint64_t longest = alps_stats_extent_(h, unit, s);
            empty = longest == whole;
            if (longest > h->at.extent / 2)
                longest = h->at.extent / 2; // more takes whole extents
            if (longest > s->largest_free)
                s->largest_free = longest;
        } else {
            alps_stats_add_(s, code, n << top.shift);
            empty = code == ALPS_FREE;
        }
        run = empty ? run + n : 0;
        if (run << top.shift > s->largest_free)
            s->largest_free = run << top.shift;
    }
    alps_stats_pending_(h, s);
    if (alps_self_(h)) {
        alps_stats_tables_(h, s);
        alps_stats_limbo_(h, s);
    }
    s->fragmentation =
        s->free <= s->largest_free
            ? 0
            : (unsigned)(1000 - s->largest_free * 1000 / s->free);
}

/* describe.h -- what a program got
 *
 * A policy may find a medium that keeps less than was hoped, or a machine with
 * another instruction; the program can read what it is. */

typedef struct alps_description {
    const char *backend; /* names of the parts */
    const char *policy;
    const char *medium;  /* "anon", "shmem", "cache", "fsdax", "devdax" */
    const char *persist; /* "none", "clflush", "clflushopt", "clwb", "cvac",
                            "cvap", "eadr", "msync" */
    uint64_t size, limit, extent; /* bytes */
    unsigned lanes, processes;    /* how many of each at most */
    unsigned attached;            /* processes attached now */
    uint64_t created;             /* nanoseconds since 1970 */
    uint64_t epoch;               /* openings by a first process, counted */
    uint8_t uuid[16];
    char layout[64];       /* the program's name for what it stores */
    unsigned version;      /* of the layout of the bytes: ALPS_LAYOUT */
    char description[496]; /* what the program says of the region */
    unsigned parts;        /* files that it goes on in behind the first */
    uint64_t nodes;        /* whose memory it takes in turn; 0: as it comes */
    const char *engine;    /* backend paged: "kernel", "rewire",
                              "userfaultfd"; else "" */
    const char *why;       /* it is that one */
    const char *eviction;  /* the policy by which segments go */
    uint64_t memory;       /* bytes the region may have in memory */
    uint64_t segment;      /* bytes that come and go at once */
    unsigned frames;       /* segments that are in memory at most */
} alps_description;

/* What a backend that pages turned out to do. */
ALPS_FN_ void alps_describe_paging_(const alps_pager *p, alps_description *d)
{
    d->engine = d->why = d->eviction = "";
    if (!p)
        return;
    static const char *const engine[] = {"kernel", "rewire", "userfaultfd"};
    int ours = p->engine != ALPS_ENGINE_KERNEL;
    d->engine = engine[p->engine - ALPS_ENGINE_KERNEL];
    d->why = p->why;
    d->memory = p->memory;
    d->segment = (uint64_t)1 << p->shift;
    d->eviction = p->eviction->name;
    d->frames = ours ? p->pool.n : 0;
}

/* See alps_describe. */
ALPS_FN_ void alps_describe_(const alps_handle *h, alps_description *d,
                             const alps_tables *t)
{
    static const char *const medium[] = {"",      "anon",  "shmem",
                                         "cache", "fsdax", "devdax"};
    memset(d, 0, sizeof *d);
    d->backend = t->backend->name;
    d->policy = t->policy->name;
    d->medium = h->map.medium < 6 ? medium[h->map.medium] : "";
    d->persist = alps_persist_name_(h->map.persist);
    d->size = alps_size_(h);
    d->limit = h->at.limit;
    d->nodes = h->map.nodes;
    d->parts = h->map.parts ? h->map.parts->n - 1 : 0;
    d->extent = h->at.extent;
    d->lanes = h->at.lane_count;
    d->processes = h->at.slot_count;
    for (unsigned i = 0; i < h->at.slot_count; i++)
        d->attached += alps_slot_owner_(h, i) != 0;
    d->created = h->super->created;
    d->epoch = h->super->epoch >> 16;
    memcpy(d->uuid, h->super->uuid, sizeof d->uuid);
    memcpy(d->layout, h->super->name, sizeof d->layout);
    d->version = h->super->layout;
    alps_note note;
    alps_note_read_(h, &note);
    memcpy(d->description, note.text, sizeof d->description);
    alps_describe_paging_(h->map.pager, d);
}

/* Writes back what a zone's used blocks hold. */
ALPS_CORE_ int alps_sync_extent_(alps_handle *h, uint64_t extent, uint64_t n,
                                 const alps_tables *t)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    return t->policy->flush(&h->map, alps_address_(h, off),
                            n << h->at.extent_shift);
}

/* See alps_sync. A file is synced whole; lines are written back of the front
 * and of every extent in use. */
ALPS_CORE_ int alps_sync_(alps_handle *h, unsigned part, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (t->policy->commit && h->map.sole)
        return alps_policy_commit_(t->policy, t->backend, &h->map, part);
    if (part == ALPS_COMMIT_BEGIN)
        return ALPS_OK;
    if (!t->policy->durable || h->map.persist == ALPS_PERSIST_MSYNC)
        return t->backend->sync(&h->map, 0, alps_size_(h));
    alps_zone top = alps_zone_top_(h);
    err = t->policy->flush(&h->map, h->map.base, h->at.heap);
    for (uint64_t unit = 0, n; !err && unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        if (alps_code_(top.codes, unit) == ALPS_USED)
            err = alps_sync_extent_(h, unit, n, t);
    }
    return err ? err : t->fence(&h->map);
}

/* snapshot.h -- the region as it is now, in a file
 *
 * A snapshot is a region like any other, with the uuid of the one it shows: it
 * is that region at another time, and may take its place. It is what a crash
 * at this moment would have left to a next opener, and is opened in the same
 * way: an epoch begins, and what is found half done is done. All locks of the
 * heap are held while it is made, so that blocks are as a whole; small objects
 * are allocated and freed meanwhile, each of which is in it or is not. */

/* How the medium of a region is to be read. */
typedef struct alps_source {
    int file;        /* 1: it is in files; 0: there is memory only */
    unsigned mode;   /* permission bits for a copy */
    uint64_t length; /* bytes of the region */
} alps_source;

ALPS_FN_ alps_source alps_source_of_(const alps_handle *h)
{
    struct stat st;
    alps_source s = {0, 0600, alps_size_(h)};
    if (h->map.fd >= 0 && !fstat(h->map.fd, &st) && S_ISREG(st.st_mode)) {
        s.file = 1;
        s.mode = st.st_mode & 0777u;
    }
    return s;
}

/* Writes the region from memory: its front, and the extents in use. Of those
 * that are free nothing is read. */
ALPS_FN_ int alps_snapshot_memory_(const alps_handle *h, const alps_copying *c,
                                   uint64_t length)
{
    alps_zone top = alps_zone_top_(h);
    const unsigned char *base = h->map.base;
    int err = ftruncate(c->fd, (off_t)length) ? alps_oserror_() : ALPS_OK;
    if (!err)
        err = alps_copy_memory_(c->fd, base, 0, h->at.heap);
    for (uint64_t unit = 0, n; !err && unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        if (alps_code_(top.codes, unit) != ALPS_FREE)
            err = alps_copy_memory_(c->fd, base, alps_zone_off_(&top, unit),
                                    n << top.shift);
    }
    return err;
}

/* Makes `to` a copy of the region as of the last commit: what is at home, and
 * what is in the journal. It names no journal. */
ALPS_FN_ int alps_snapshot_journal_(const alps_handle *h, const char *to,
                                    unsigned mode)
{
    static const uint64_t none = 0;
    alps_copying c;
    alps_map copy;
    alps_journal *j = h->map.journal;
    uint64_t size = j->size ? j->size : alps_size_(h); // else all is at home
    int err = alps_fd_limit_(size);
    if (!err)
        err = alps_copy_begin_(&c, to, mode);
    if (err)
        return err;
    err = alps_copy_file_(&c, &h->map, size);
    memset(&copy, 0, sizeof copy);
    copy.fd = c.fd;
    if (!err && j->size)
        err = alps_home_copy_(j, &copy);
    if (!err)
        err = alps_fd_write_(c.fd, &none, sizeof none, ALPS_HOME_MARK_);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}

/* Makes `to` a copy of the region that `h` has mapped, as it is. */
ALPS_FN_ int alps_snapshot_medium_(const alps_handle *h, const char *to)
{
    alps_copying c;
    alps_source s = alps_source_of_(h);
    if (h->map.journal && h->map.journal->fd >= 0)
        return alps_snapshot_journal_(h, to, s.mode);
    if (s.file)
        return alps_copy_medium_(&h->map, s.length, to, s.mode);
    int err = alps_fd_limit_(s.length);
    if (!err)
        err = alps_copy_begin_(&c, to, s.mode);
    if (err)
        return err;
    err = alps_snapshot_memory_(h, &c, s.length);
    if (!err)
        err = alps_copy_mark_(&c);
    return alps_copy_end_(&c, to, err);
}

/* The same where the policy keeps stores from the medium until it commits. */
ALPS_CORE_ int alps_snapshot_commit_(alps_handle *h, const char *path,
                                     const alps_tables *t)
{
    int err =
        alps_policy_commit_(t->policy, t->backend, &h->map, ALPS_COMMIT_ALL);
    if (err)
        return err;
    pthread_mutex_lock(&h->map.journal->turn);
    err = alps_snapshot_medium_(h, path);
    pthread_mutex_unlock(&h->map.journal->turn);
    return err;
}

/* See alps_snapshot. */
ALPS_CORE_ int alps_snapshot_(alps_handle *h, const char *path,
                              const alps_tables *t)
{
    if (!h->map.base)
        return ALPS_EINVAL;
    if (h->map.flags & ALPS_READ_ONLY)
        return alps_snapshot_medium_(h, path);
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (t->policy->commit && h->map.sole)
        return alps_snapshot_commit_(h, path, t);
    alps_lock_all_(h, t);
    if (t->backend->write && h->map.apart) // the file is what is copied
        err = t->backend->write(&h->map, 0, alps_size_(h));
    if (!err)
        err = alps_snapshot_medium_(h, path);
    alps_unlock_all_(h);
    return err;
}

/* closed.h -- regions that are not open, by their names
 *
 * Each is opened for reading, inside the guard, so that nobody gets to open it
 * for writing meanwhile; nothing of it is changed. */

/* Opens the region at `path` to look at it, in the guard: nobody gets to open
 * it for writing until it is closed. */
ALPS_CORE_ int alps_closed_open_(alps_handle *h, const char *path,
                                 const alps_tables *t)
{
    alps_options o;
    uint64_t before, length = 0;
    int err;
    memset(&o, 0, sizeof o);
    o.flags = ALPS_READ_ONLY;
    do { // what seems cut short may be growing
        before = length;
        memset(h, 0, sizeof *h);
        h->map.fd = -1;
        h->map.flags = o.flags;
        h->crc = alps_crc_kind_();
        err = t->backend->open(&h->map, path, &o);
        if (err)
            return err;
        length = h->map.length;
        err = alps_region_enter_(h, &o, t);
        if (err)
            t->backend->close(&h->map);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* See alps_copy. */
ALPS_CORE_ int alps_closed_copy_(const char *from, const char *to,
                                 const alps_tables *t)
{
    alps_handle h;
    char named[ALPS_SHMEM_PATH_];
    int err = alps_closed_open_(&h, from, t);
    if (err)
        return err;
    if (t->backend->leased(&h.map, ALPS_LEASE_ANY) == 1)
        err = ALPS_EBUSY;
    if (!err && h.map.medium == ALPS_MEDIUM_SHMEM) {
        err = to && *to ? alps_shmem_path_(to, named) : ALPS_EINVAL;
        to = named;
    }
    if (!err)
        err = alps_snapshot_medium_(&h, to);
    int late = t->backend->close(&h.map);
    return err ? err : late;
}

/* See alps_consistent. */
ALPS_CORE_ int alps_closed_consistent_(const char *path, const alps_tables *t)
{
    alps_handle h;
    int err = alps_closed_open_(&h, path, t);
    if (err)
        return err;
    err = alps_region_settled_(&h, t);
    if (!err && h.map.journal && h.map.journal->marked &&
        t->backend->leased(&h.map, ALPS_LEASE_ANY) != 1)
        err = ALPS_ERECOVER; // a writer has died, and left its journal
    t->backend->close(&h.map);
    return err == ALPS_OK ? 1 : err == ALPS_ERECOVER ? 0 : err;
}

/* See alps_inspect. */
ALPS_CORE_ int alps_closed_describe_(const char *path, alps_description *d,
                                     const alps_tables *t)
{
    alps_handle h;
    int err = alps_closed_open_(&h, path, t);
    if (err)
        return err;
    alps_describe_(&h, d, t);
    return t->backend->close(&h.map);
}

/* space.h -- regions that know each other
 *
 * A space is an object of the program: the regions that it has open and wants
 * pointers between. A region has an id, 64 bits of its uuid, which is the same
 * wherever and by whoever it is opened; a far pointer is an id and an offset.
 * Id to address is a look into a table without a lock, address to id a search
 * in a sorted array that is read again where it has changed meanwhile. */

/* A region and a place in it; null where `off` is. */
typedef struct alps_far {
    uint64_t region; /* id of the region */
    alps_off off;
} alps_far;

/* A typed pointer into any region of a space: 16 bytes. To C two ALPS_FAR(T)
 * are two types: give it a typedef. */
#define ALPS_FAR(T) \
  union {           \
    alps_far far;   \
    T *type_;       \
  }

/* The same in 8 bytes, from a region to at most 128 others. */
#define ALPS_PACKED(T) \
  union {              \
    uint64_t packed;   \
    T *type_;          \
  }

/* What a region is asked to do for a space, through its own instance. */
typedef struct alps_deed {
    int what;       /* ALPS_DEED_... */
    uint64_t id;    /* of another region; or an offset */
    uint64_t value; /* ... */
    alps_pledge *pledge;
    alps_pledge as; /* what a pledge is to say */
} alps_deed;
typedef int alps_deed_do(alps_handle *h, alps_deed *d);

/* A region of a space. */
typedef struct alps_member {
    uint64_t id;           /* 0: nothing was ever here */
    alps_handle *handle;   /* NULL: it is no longer in the space */
    unsigned char *base;   /* where it is mapped */
    uint64_t reserved;     /* and how many addresses it has */
    alps_deed_do *perform; /* by its instance */
} alps_member;

/* The table of all of them, behind it 2^shift members. */
typedef struct alps_members {
    struct alps_members *before; /* smaller ones, which may still be read */
    uint64_t bytes;              /* of this one */
    unsigned shift;
    uint64_t used; /* members with an id */
} alps_members;

typedef struct alps_span {
    uint64_t base, reserved, id;
} alps_span;

/* The same sorted by address; behind it `room` spans. */
typedef struct alps_spans {
    struct alps_spans *before;
    uint64_t bytes, room;
} alps_spans;

struct alps_space;
/* Asked for a region that is not in the space: opens it and adds it, and
 * answers 0, or a code. */
typedef int alps_resolver(void *context, struct alps_space *s, uint64_t id);

/* A set of open regions. All zero it is empty; `resolver` and `context` are the
 * program's to set. It stays where it is while it is used. */
typedef struct alps_space {
    alps_resolver *resolver; /* or NULL */
    void *context;           /* for the resolver */
    alps_members *members;
    alps_spans *spans;
    uint64_t count;     /* of spans */
    uint64_t seq;       /* odd while spans are changed */
    uint64_t lock;      /* 1 while members are changed */
    uint64_t resolving; /* the thread that asks the resolver */
    uint64_t tying;     /* 1 while ties are made or settled */
} alps_space;

/* The id of a region: never 0. */
ALPS_FN_ uint64_t alps_space_id_(const uint8_t uuid[16])
{
    uint64_t half[2];
    memcpy(half, uuid, sizeof half);
    return half[0] == half[1] ? 1 : half[0] ^ half[1];
}

ALPS_FN_ alps_member *alps_member_at_(alps_members *t, uint64_t i)
{
    return (alps_member *)(void *)(t + 1) + (i & ((1ull << t->shift) - 1));
}

/* The place of `id` in the table, or the empty one where it would be. */
ALPS_FN_ alps_member *alps_member_seek_(alps_members *t, uint64_t id)
{
    for (uint64_t i = id >> (64 - t->shift);; i++) {
        alps_member *m = alps_member_at_(t, i);
        uint64_t is = __atomic_load_n(&m->id, __ATOMIC_ACQUIRE);
        if (ALPS_LIKELY_(is == id || !is))
            return m;
    }
}

/* The region with this id, or NULL. No lock; O(1). */
ALPS_FN_ const alps_member *alps_space_find_(const alps_space *s, uint64_t id)
{
    alps_members *t = __atomic_load_n(&s->members, __ATOMIC_ACQUIRE);
    if (ALPS_UNLIKELY_(!t || !id))
        return NULL;
    alps_member *m = alps_member_seek_(t, id);
    return m->id && __atomic_load_n(&m->handle, __ATOMIC_ACQUIRE) ? m : NULL;
}

ALPS_FN_ void alps_space_lock_(uint64_t *lock, uint64_t mine)
{
    uint64_t none = 0;
    for (unsigned round = 0; !__atomic_compare_exchange_n(
             lock, &none, mine, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
         round++) {
        none = 0;
        ALPS_WAIT_(round);
    }
}

ALPS_FN_ void alps_space_unlock_(uint64_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* Zeroed memory of the process; NULL where there is none. */
ALPS_COLD_ void *alps_space_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* A table with room for one more: the same, or one twice as large. Readers may
 * be in the old one, which stays until the space ends. */
ALPS_COLD_ alps_members *alps_members_room_(alps_space *s)
{
    alps_members *old = s->members;
    if (old && old->used < 1ull << old->shift >> 1)
        return old;
    unsigned shift = old ? old->shift + 1 : 4;
    uint64_t bytes = sizeof *old + (sizeof(alps_member) << shift);
    alps_members *t = (alps_members *)alps_space_memory_(bytes);
    if (!t)
        return NULL;
    t->before = old;
    t->bytes = bytes;
    t->shift = shift;
    for (uint64_t i = 0; old && i < 1ull << old->shift; i++) {
        const alps_member *m = alps_member_at_(old, i);
        if (!m->handle)
            continue;
        *alps_member_seek_(t, m->id) = *m;
        t->used++;
    }
    __atomic_store_n(&s->members, t, __ATOMIC_RELEASE);
    return t;
}

ALPS_COLD_ alps_spans *alps_spans_room_(alps_space *s)
{
    alps_spans *old = s->spans;
    if (old && s->count < old->room)
        return old;
    uint64_t room = old ? 2 * old->room : 16;
    uint64_t bytes = sizeof *old + room * sizeof(alps_span);
    alps_spans *t = (alps_spans *)alps_space_memory_(bytes);
    if (!t)
        return NULL;
    t->before = old;
    t->bytes = bytes;
    t->room = room;
    if (old)
        memcpy((void *)(t + 1), (const void *)(old + 1),
               (size_t)(s->count * sizeof(alps_span)));
    __atomic_store_n(&s->spans, t, __ATOMIC_RELEASE);
    return t;
}

ALPS_FN_ void alps_span_copy_(alps_span *to, const alps_span *from)
{
    alps_store_(&to->base, alps_load_(&from->base));
    alps_store_(&to->reserved, alps_load_(&from->reserved));
    alps_store_(&to->id, alps_load_(&from->id));
}

/* The number of spans that begin at `p` or before. */
ALPS_FN_ uint64_t alps_spans_below_(const alps_span *span, uint64_t n,
                                    uint64_t p)
{
    uint64_t from = 0;
    while (from < n) {
        uint64_t middle = from + (n - from) / 2;
        if (alps_load_(&span[middle].base) <= p)
            from = middle + 1;
        else
            n = middle;
    }
    return from;
}

/* The spans are changed between these two: who reads meanwhile reads again. */
ALPS_FN_ alps_span *alps_spans_begin_(alps_space *s)
{
    __atomic_fetch_add(&s->seq, 1, __ATOMIC_SEQ_CST);
    return (alps_span *)(void *)(s->spans + 1);
}

ALPS_FN_ void alps_spans_end_(alps_space *s, uint64_t count)
{
    alps_store_(&s->count, count);
    __atomic_fetch_add(&s->seq, 1, __ATOMIC_SEQ_CST);
}

/* What `p` is in: 1 and the span, or 0. No lock; O(log regions). */
ALPS_FN_ int alps_space_seek_(const alps_space *s, const void *p, alps_span *is)
{
    for (unsigned round = 0;; round++) {
        uint64_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
        uint64_t n = alps_load_(&s->count), at = (uint64_t)(uintptr_t)p;
        const alps_spans *t = __atomic_load_n(&s->spans, __ATOMIC_ACQUIRE);
        int found = 0;
        if (t && n && n <= t->room) {
            const alps_span *span = (const alps_span *)(const void *)(t + 1);
            uint64_t below = alps_spans_below_(span, n, at);
            if (below)
                alps_span_copy_(is, &span[below - 1]);
            found = below && at - is->base < is->reserved;
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (ALPS_LIKELY_(!(seq & 1) && alps_load_(&s->seq) == seq))
            return found;
        ALPS_WAIT_(round);
    }
}

/* Enters a region. Under the lock. */
ALPS_COLD_ int alps_space_enter_(alps_space *s, alps_handle *h,
                                 alps_deed_do *perform)
{
    uint64_t id = alps_space_id_(h->super->uuid);
    alps_members *t = alps_members_room_(s);
    if (!t || !alps_spans_room_(s))
        return ALPS_ENOMEM;
    alps_member *m = alps_member_seek_(t, id);
    if (m->id && m->handle)
        return ALPS_EEXIST;
    t->used += !m->id;
    m->base = h->map.base;
    m->reserved = h->map.reserved;
    m->perform = perform;
    __atomic_store_n(&m->handle, h, __ATOMIC_RELEASE);
    __atomic_store_n(&m->id, id, __ATOMIC_RELEASE);
    alps_span *span = alps_spans_begin_(s);
    alps_span own = {(uint64_t)(uintptr_t)h->map.base, h->map.reserved, id};
    uint64_t i = s->count;
    for (; i && span[i - 1].base > own.base; i--)
        alps_span_copy_(&span[i], &span[i - 1]);
    alps_span_copy_(&span[i], &own);
    alps_spans_end_(s, s->count + 1);
    return ALPS_OK;
}

/* See alps_space_remove. */
ALPS_COLD_ int alps_space_remove_(alps_space *s, const alps_handle *h)
{
    int err = ALPS_ENOENT;
    alps_space_lock_(&s->lock, 1);
    for (uint64_t i = 0; s->members && i < 1ull << s->members->shift; i++) {
        alps_member *m = alps_member_at_(s->members, i);
        if (!m->handle || m->handle != h)
            continue;
        __atomic_store_n(&m->handle, (alps_handle *)NULL, __ATOMIC_RELEASE);
        alps_span *span = alps_spans_begin_(s);
        uint64_t k = 0;
        while (k < s->count && span[k].id != m->id)
            k++;
        for (; k + 1 < s->count; k++)
            alps_span_copy_(&span[k], &span[k + 1]);
        alps_spans_end_(s, s->count - 1);
        err = ALPS_OK;
    }
    alps_space_unlock_(&s->lock);
    return err;
}

/* See alps_space_end. */
ALPS_COLD_ void alps_space_end_(alps_space *s)
{
    for (alps_members *t = s->members, *next; t; t = next) {
        next = t->before;
        munmap(t, (size_t)t->bytes);
    }
    for (alps_spans *t = s->spans, *next; t; t = next) {
        next = t->before;
        munmap(t, (size_t)t->bytes);
    }
    memset(s, 0, sizeof *s);
}

/* The region with this id, for which the resolver is asked where it is not
 * there: by one thread at a time, which may ask for others meanwhile. */
ALPS_COLD_ const alps_member *alps_space_demand_(alps_space *s, uint64_t id,
                                                 int *err)
{
    uint64_t self = (uint64_t)ALPS_THREAD_();
    const alps_member *m = alps_space_find_(s, id);
    *err = m ? ALPS_OK : ALPS_EMISSING;
    if (m || !s->resolver || !id)
        return m;
    int nested = alps_load_(&s->resolving) == self;
    if (!nested)
        alps_space_lock_(&s->resolving, self);
    m = alps_space_find_(s, id);
    *err = m ? ALPS_OK : s->resolver(s->context, s, id);
    if (!nested)
        alps_space_unlock_(&s->resolving);
    if (!m && !*err) {
        m = alps_space_find_(s, id);
        *err = m ? ALPS_OK : ALPS_EMISSING;
    }
    return m;
}

/* See alps_space_at. */
ALPS_COLD_ int alps_space_at_(alps_space *s, uint64_t id, alps_off off,
                              void **p)
{
    int err;
    *p = NULL;
    if (!off)
        return ALPS_OK;
    const alps_member *m = alps_space_demand_(s, id, &err);
    if (!m)
        return err;
    if (off >= alps_size_(m->handle))
        return ALPS_EINVAL;
    *p = m->base + off;
    return ALPS_OK;
}

/* The address of a far pointer, or NULL: for null, for what cannot be one, for
 * a region that is missing. */
ALPS_FN_ void *alps_space_get_(alps_space *s, uint64_t id, alps_off off)
{
    const alps_member *m = alps_space_find_(s, id);
    void *p = NULL;
    if (ALPS_LIKELY_(m && off - 1 < m->reserved - 1))
        return m->base + off;
    (void)alps_space_at_(s, id, off, &p);
    return p;
}

/* See alps_space_far. */
ALPS_FN_ int alps_space_far_(const alps_space *s, const void *p, alps_far *far)
{
    alps_span is;
    far->region = 0;
    far->off = ALPS_NULL;
    if (!p)
        return ALPS_OK;
    if (!alps_space_seek_(s, p, &is))
        return ALPS_EMISSING;
    far->region = is.id;
    far->off = (uint64_t)(uintptr_t)p - is.base;
    return far->off ? ALPS_OK : ALPS_EINVAL;
}

/* The word of a packed pointer that lies in `h`. */
ALPS_FN_ const uint64_t *alps_space_neighbours_(const alps_handle *h)
{
    return (const uint64_t *)alps_address_(h, ALPS_NEIGHBOURS);
}

/* The id of neighbour `n` of a region; 0: there is none. */
ALPS_FN_ uint64_t alps_space_neighbour_(const alps_handle *h, uint64_t n)
{
    if (!n)
        return alps_space_id_(h->super->uuid);
    return n <= ALPS_NEIGHBOUR_MAX
               ? alps_load_(alps_space_neighbours_(h) + n - 1)
               : 0;
}

/* The address of a packed pointer that lies in `h`. */
ALPS_FN_ void *alps_space_unpack_(alps_space *s, const alps_handle *h,
                                  uint64_t packed)
{
    uint64_t n = packed >> 48, off = packed & ((1ull << 48) - 1);
    if (!n)
        return alps_ptr_get_(&h->map, off);
    return alps_space_get_(s, alps_space_neighbour_(h, n), off);
}

/* The address that an ALPS_FAR names, of its type. */
#define ALPS_FAR_GET(space, ptr)                                               \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_space_get_((space), (ptr).far.region, \
                                                    (ptr).far.off))
/* The other way: 0, or ALPS_EMISSING: `p` is in no region of the space. */
#define ALPS_FAR_SET(space, ptr, p) \
  ((void)sizeof((ptr).type_ == (p)), alps_space_far_((space), (p), &(ptr).far))

/* The same for an ALPS_PACKED that lies in the region of `h`. */
#define ALPS_PACKED_GET(space, h, ptr)                                      \
  ((__typeof__(1 ? (ptr).type_ : 0))alps_space_unpack_((space), &(h)->core, \
                                                       (ptr).packed))

/* pledge.h -- an object that hangs between two regions
 *
 * The link is in one region, the object in another: no store is in both, so the
 * region of the object notes what is under way. While that stands, and its
 * maker does not live, the link decides: if it names the object, the object
 * stays; if not, it is free. So a publish and a release are the same to whoever
 * settles them. Where one of the two commits by moments, the region of the link
 * has a note, too: a tie. docs/spaces.md has the order of the stores, and why
 * it is enough. */

enum {
    ALPS_DEED_ASK = 1,       /* whether this can be done here at all */
    ALPS_DEED_NEIGHBOUR = 2, /* the number of region `id`: in `value` */
    ALPS_DEED_STORE = 3,     /* the word at `id` becomes `value`, durably */
    ALPS_DEED_PLEDGE = 4,    /* a reservation is allocated and pledged */
    ALPS_DEED_HOLD = 5,      /* an object is pledged */
    ALPS_DEED_KEEP = 6,      /* the pledge ends, the object stays */
    ALPS_DEED_FREE = 7,      /* the pledge ends, the object is free */
    ALPS_DEED_REAP = 8,      /* what the dead were at is completed */
    ALPS_DEED_FLUSH = 9,     /* the words at `id` become durable as they are */
    ALPS_DEED_CLAIM = 10,    /* a pledge or tie of one who does not live, or
                                where `value` is 1 one of ours that waits, is
                                ours: 1 */
    ALPS_DEED_COMMITS = 11,  /* whether it commits by moments: 1, or 0 */
    ALPS_DEED_COMMIT = 12,   /* it does, if it can be written */
    ALPS_DEED_TIE = 13,      /* a link is tied */
    ALPS_DEED_UNTIE = 14     /* a tie ends */
};

/* The pledges of a region. */
ALPS_FN_ alps_pledge *alps_pledge_at_(const alps_handle *h, unsigned i)
{
    return (alps_pledge *)alps_address_(h, ALPS_PLEDGES) + i;
}

/* Ends its maker's part in it. */
ALPS_FN_ void alps_pledge_leave_(alps_pledge *p)
{
    __atomic_store_n(&p->owner, 0, __ATOMIC_RELEASE);
}

/* Makes a word durable. One fence. */
ALPS_CORE_ int alps_pledge_store_(alps_handle *h, uint64_t *word,
                                  uint64_t value, const alps_tables *t)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    int err = t->policy->flush(&h->map, word, sizeof *word);
    return err ? err : t->fence(&h->map);
}

/* Finds an empty pledge, and says in it what is under way. */
ALPS_CORE_ int alps_pledge_take_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    alps_pledge *p = NULL;
    alps_lock_(h, t);
    for (unsigned i = 0; !p && i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *at = alps_pledge_at_(h, i);
        uint64_t owner = __atomic_load_n(&at->owner, __ATOMIC_ACQUIRE);
        if (!alps_load_(&at->block) && !alps_load_(&at->tied) &&
            (!owner || !alps_owner_lives_(h, owner, t)))
            p = at;
    }
    if (p) {
        alps_store_(&p->owner, alps_self_(h));
        alps_store_(&p->waits, 0);
    }
    alps_unlock_(h);
    d->pledge = p;
    if (!p)
        return ALPS_EBUSY;
    alps_store_(&p->value, d->as.value);
    alps_store_(&p->region, d->as.region);
    alps_store_(&p->dest, d->as.dest);
    alps_store_(&p->wide, d->as.wide);
    return t->policy->flush(&h->map, p, sizeof *p);
}

/* Allocates what is reserved, and pledges it: in one step. Should the record be
 * durable and the rest of the pledge not, `value` is not that of the object, or
 * the link does not hold it yet: it is free either way. Two fences, or
 * three. */
ALPS_CORE_ int alps_pledge_make_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = alps_publish_(h, &d->pledge->block, alps_address_(h, d->as.block),
                            t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Whether a live object begins at `off`. */
ALPS_FN_ int alps_pledge_live_(const alps_handle *h, alps_off off)
{
    alps_object o;
    alps_block b;
    int is = alps_object_at_(h, off, &o);
    return is == 1   ? alps_object_live_(&o)
           : is == 0 ? alps_block_at_(h, off, &b) == ALPS_USED
                     : 0;
}

/* Pledges an object that is linked. What the pledge says is durable before it
 * is one: else the wrong link would be looked at, and the object be free while
 * its own link stands. Two fences. */
ALPS_CORE_ int alps_pledge_hold_(alps_handle *h, alps_deed *d,
                                 const alps_tables *t)
{
    if (!alps_pledge_live_(h, d->as.block))
        return ALPS_EINVALID_FREE;
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_pledge_store_(h, &d->pledge->block, d->as.block, t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Ends a pledge: one fence, or two. */
ALPS_CORE_ int alps_pledge_end_(alps_handle *h, const alps_deed *d,
                                const alps_tables *t)
{
    int err = d->what == ALPS_DEED_KEEP
                  ? alps_pledge_store_(h, &d->pledge->block, 0, t)
                  : alps_publish_release_(h, &d->pledge->block, t);
    alps_pledge_leave_(d->pledge);
    return err;
}

/* Ties a link that is about to change: what the tie says is durable before it
 * is one, and it is before the link changes. Two fences. */
ALPS_CORE_ int alps_pledge_tie_(alps_handle *h, alps_deed *d,
                                const alps_tables *t)
{
    int err = alps_pledge_take_(h, d, t);
    if (!err)
        err = t->fence(&h->map);
    if (!err)
        err = alps_pledge_store_(h, &d->pledge->tied, d->as.tied, t);
    if (err && d->pledge)
        alps_pledge_leave_(d->pledge);
    return err;
}

/* Ends a tie. One fence. */
ALPS_CORE_ int alps_pledge_untie_(alps_handle *h, const alps_deed *d,
                                  const alps_tables *t)
{
    int err = alps_pledge_store_(h, &d->pledge->tied, 0, t);
    alps_pledge_leave_(d->pledge);
    return err;
}

/* Takes a pledge or a tie over whose maker does not live, or is done: 1; or
 * 0. */
ALPS_CORE_ int alps_pledge_claim_(alps_handle *h, const alps_deed *d,
                                  const alps_tables *t)
{
    alps_lock_(h, t);
    uint64_t owner = __atomic_load_n(&d->pledge->owner, __ATOMIC_ACQUIRE);
    int ours =
        d->value && owner == alps_self_(h) && alps_load_(&d->pledge->waits);
    int is = (alps_load_(&d->pledge->block) | alps_load_(&d->pledge->tied)) &&
             (ours || !owner || !alps_owner_lives_(h, owner, t));
    if (is)
        alps_store_(&d->pledge->owner, alps_self_(h));
    if (is && !ours)
        alps_store_(&d->pledge->waits, 0);
    alps_unlock_(h);
    return is;
}

/* The number of a neighbour, which may be a new one: durably then. */
ALPS_CORE_ int alps_pledge_neighbour_(alps_handle *h, alps_deed *d,
                                      const alps_tables *t)
{
    uint64_t *word = (uint64_t *)alps_address_(h, ALPS_NEIGHBOURS);
    uint64_t i = 0;
    int err = ALPS_OK;
    while (i < ALPS_NEIGHBOUR_MAX && alps_load_(&word[i]) != d->id)
        i++;
    if (i == ALPS_NEIGHBOUR_MAX) {
        err = alps_ready_(h, t);
        if (err)
            return err;
        alps_lock_(h, t);
        for (i = 0; i < ALPS_NEIGHBOUR_MAX; i++)
            if (!alps_load_(&word[i]) || alps_load_(&word[i]) == d->id)
                break;
        err = i < ALPS_NEIGHBOUR_MAX ? alps_pledge_store_(h, &word[i], d->id, t)
                                     : ALPS_EFULL;
        alps_unlock_(h);
    }
    d->value = i + 1;
    return err;
}

/* Does what another region asks for. */
ALPS_CORE_ int alps_pledge_perform_(alps_handle *h, alps_deed *d,
                                    const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (d->what == ALPS_DEED_NEIGHBOUR)
        return alps_pledge_neighbour_(h, d, t);
    int commits = t->policy->commit && h->map.sole;
    if (err)
        return err;
    switch (d->what) {
    case ALPS_DEED_ASK: return ALPS_OK;
    case ALPS_DEED_COMMITS: return commits;
    case ALPS_DEED_COMMIT:
        return commits ? alps_sync_(h, ALPS_COMMIT_ALL, t) : ALPS_OK;
    case ALPS_DEED_TIE: return alps_pledge_tie_(h, d, t);
    case ALPS_DEED_UNTIE: return alps_pledge_untie_(h, d, t);
    case ALPS_DEED_STORE:
        return alps_pledge_store_(h, (uint64_t *)alps_address_(h, d->id),
                                  d->value, t);
    case ALPS_DEED_FLUSH:
        err = t->policy->flush(&h->map, alps_address_(h, d->id), 16);
        return err ? err : t->fence(&h->map);
    case ALPS_DEED_PLEDGE: return alps_pledge_make_(h, d, t);
    case ALPS_DEED_HOLD: return alps_pledge_hold_(h, d, t);
    case ALPS_DEED_KEEP:
    case ALPS_DEED_FREE: return alps_pledge_end_(h, d, t);
    case ALPS_DEED_REAP: return t->slow(h, ALPS_SLOW_DEAD, 0, 0);
    case ALPS_DEED_CLAIM: return alps_pledge_claim_(h, d, t);
    default: return ALPS_EINVAL;
    }
}

/* far.h -- links between regions, made and cut
 *
 * A publish and a release whose word is in one region and whose object in
 * another. Each is one store to the word, between a pledge that is made and one
 * that ends; or, where one of the two commits by moments, behind a pledge and a
 * tie, which end when both regions have been committed. See docs/spaces.md. */

/* A link that is to be made or cut. */
typedef struct alps_tie {
    const alps_member *from, *to; /* of the link, of the object */
    alps_deed deed;               /* what is asked of the object's region */
} alps_tie;

/* The region of the space that `p` is in. */
ALPS_COLD_ const alps_member *alps_far_region_(const alps_space *s,
                                               const void *p, alps_off *off)
{
    alps_span is;
    if (!p || !alps_space_seek_(s, p, &is))
        return NULL;
    *off = (uint64_t)(uintptr_t)p - is.base;
    return alps_space_find_(s, is.id);
}

/* Asks a region to do something; `id` and `value` are what it is about. */
ALPS_COLD_ int alps_far_ask_(const alps_member *m, int what, uint64_t id,
                             uint64_t *value)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.what = what;
    d.id = id;
    d.value = value ? *value : 0;
    int err = m->perform(m->handle, &d);
    if (value)
        *value = d.value;
    return err;
}

/* Stores to a word of a region, durably. */
ALPS_COLD_ int alps_far_store_(const alps_member *m, alps_off off,
                               uint64_t value)
{
    return alps_far_ask_(m, ALPS_DEED_STORE, off, &value);
}

/* What the link will hold. A wide one first gets the id of the region, which is
 * durable before its place: null until then. */
ALPS_COLD_ int alps_far_value_(alps_tie *k, const alps_far *wide)
{
    uint64_t n = 0;
    k->deed.as.value = k->deed.as.block;
    k->deed.as.wide = wide != NULL;
    if (!wide) {
        if (k->from == k->to)
            return ALPS_OK;
        int err = alps_far_ask_(k->from, ALPS_DEED_NEIGHBOUR, k->to->id, &n);
        k->deed.as.value |= n << 48;
        return err;
    }
    if (alps_load_(&wide->region) == k->to->id)
        return ALPS_OK;
    if (alps_load_(&wide->off))
        return ALPS_EINVAL;
    return alps_far_store_(k->from, k->deed.as.dest - sizeof(uint64_t),
                           k->to->id);
}

/* The word that is stored to, and where it is. */
ALPS_COLD_ int alps_far_begin_(alps_space *s, const uint64_t *word, alps_tie *k)
{
    memset(k, 0, sizeof *k);
    k->from = alps_far_region_(s, word, &k->deed.as.dest);
    if (!k->from)
        return ALPS_EMISSING;
    k->deed.as.region = k->from->id;
    if (!alps_dest_valid_(k->from->handle, k->deed.as.dest) ||
        k->deed.as.dest < ALPS_PAGE)
        return ALPS_EINVAL;
    return alps_far_ask_(k->from, ALPS_DEED_ASK, 0, NULL);
}

/* Both regions are known: pledges, stores, and ends the pledge. Where the store
 * fails the pledge stands, for whoever settles it. */
ALPS_COLD_ int alps_far_carry_out_(alps_tie *k, int what, uint64_t value,
                                   int then)
{
    k->deed.what = what;
    int err = k->to->perform(k->to->handle, &k->deed);
    if (!err)
        err = alps_far_store_(k->from, k->deed.as.dest, value);
    if (err)
        return err;
    k->deed.what = then;
    return k->to->perform(k->to->handle, &k->deed);
}

/* The place of the object that the link of a pledge or of a tie names. */
ALPS_FN_ alps_off alps_far_place_(const alps_pledge *p)
{
    return p->value & (p->wide ? ~0ull : (1ull << 48) - 1);
}

/* The tie that makes a link hold only if its object is pledged; or NULL. */
ALPS_FN_ alps_pledge *alps_far_tied_(const alps_tie *k, uint64_t value)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *p = alps_pledge_at_(k->from->handle, i);
        if (alps_load_(&p->tied) == ALPS_TIE_LINK && p->region == k->to->id &&
            p->dest == k->deed.as.dest && p->value == value)
            return p;
    }
    return NULL;
}

/* The same where one of the two commits by moments: a tie and a pledge stand
 * when the link is stored to, and wait for alps_space_sync. */
ALPS_COLD_ int alps_far_defer_(alps_tie *k, int what, uint64_t value,
                               uint64_t tied)
{
    alps_deed tie = k->deed;
    tie.what = ALPS_DEED_TIE;
    tie.as.region = k->to->id;
    tie.as.tied = tied;
    int err = k->from->perform(k->from->handle, &tie);
    if (err)
        return err;
    k->deed.what = what;
    err = k->to->perform(k->to->handle, &k->deed);
    if (err) {
        tie.what = ALPS_DEED_UNTIE;
        (void)k->from->perform(k->from->handle, &tie);
        return err;
    }
    err = alps_far_store_(k->from, k->deed.as.dest, value);
    alps_store_(&k->deed.pledge->waits, 1);
    alps_store_(&tie.pledge->waits, 1);
    return err;
}

/* Whether the two regions of a link are not durable in the order of the
 * program: 1, 0, or a code. */
ALPS_COLD_ int alps_far_late_(const alps_tie *k)
{
    if (k->from == k->to)
        return 0;
    int is = alps_far_ask_(k->from, ALPS_DEED_COMMITS, 0, NULL);
    return is ? is : alps_far_ask_(k->to, ALPS_DEED_COMMITS, 0, NULL);
}

/* Makes the link. What it names now must not wait: that would be freed. */
ALPS_COLD_ int alps_far_make_(alps_space *s, alps_tie *k)
{
    uint64_t value = k->deed.as.value;
    const uint64_t *word =
        (const uint64_t *)alps_address_(k->from->handle, k->deed.as.dest);
    int late = alps_far_late_(k);
    if (late <= 0)
        return late ? late
                    : alps_far_carry_out_(k, ALPS_DEED_PLEDGE, value,
                                          ALPS_DEED_KEEP);
    alps_space_lock_(&s->tying, 1);
    int err = ALPS_EBUSY;
    if (!alps_load_(word) || !alps_far_tied_(k, alps_load_(word)))
        err = alps_far_defer_(k, ALPS_DEED_PLEDGE, value, ALPS_TIE_LINK);
    alps_space_unlock_(&s->tying);
    return err;
}

/* See alps_far_publish, alps_packed_publish. */
ALPS_COLD_ int alps_far_link_(alps_space *s, const uint64_t *word,
                              const alps_far *wide, const void *p)
{
    alps_tie k;
    int err = alps_far_begin_(s, word, &k);
    if (err)
        return err;
    k.to = alps_far_region_(s, p, &k.deed.as.block);
    if (!k.to)
        return ALPS_EMISSING;
    err = alps_far_ask_(k.to, ALPS_DEED_ASK, 0, NULL);
    if (!err)
        err = alps_far_value_(&k, wide);
    return err ? err : alps_far_make_(s, &k);
}

/* Cuts the link. One that waits has what it takes: tie and pledge stand. */
ALPS_COLD_ int alps_far_unmake_(alps_space *s, alps_tie *k)
{
    int late = alps_far_late_(k);
    if (late <= 0)
        return late ? late
                    : alps_far_carry_out_(k, ALPS_DEED_HOLD, 0, ALPS_DEED_FREE);
    alps_space_lock_(&s->tying, 1);
    int err = alps_far_tied_(k, k->deed.as.value)
                  ? alps_far_store_(k->from, k->deed.as.dest, 0)
                  : alps_far_defer_(k, ALPS_DEED_HOLD, 0, ALPS_TIE_CUT);
    alps_space_unlock_(&s->tying);
    return err;
}

/* See alps_far_release, alps_packed_release. */
ALPS_COLD_ int alps_far_cut_(alps_space *s, const uint64_t *word,
                             const alps_far *wide)
{
    alps_tie k;
    int err = alps_far_begin_(s, word, &k);
    if (err)
        return err;
    uint64_t value = alps_load_(word);
    k.deed.as.value = value;
    k.deed.as.wide = wide != NULL;
    k.deed.as.block = alps_far_place_(&k.deed.as);
    if (!k.deed.as.block)
        return ALPS_OK;
    uint64_t id = wide ? alps_load_(&wide->region)
                       : alps_space_neighbour_(k.from->handle, value >> 48);
    k.to = alps_space_demand_(s, id, &err);
    return err ? err : alps_far_unmake_(s, &k);
}

/* The packed pointer to `p` for one that lies in `h`. */
ALPS_COLD_ int alps_far_pack_(const alps_space *s, const alps_handle *h,
                              const void *p, uint64_t *packed)
{
    alps_off off = 0;
    uint64_t n = 0;
    int err = ALPS_OK;
    *packed = 0;
    if (!p)
        return ALPS_OK;
    const alps_member *own =
        alps_space_find_(s, alps_space_id_(h->super->uuid));
    const alps_member *m = alps_far_region_(s, p, &off);
    if (!own || !m)
        return ALPS_EMISSING;
    if (m != own)
        err = alps_far_ask_(own, ALPS_DEED_NEIGHBOUR, m->id, &n);
    if (!err)
        *packed = off | n << 48;
    return err;
}

/* Sets an ALPS_PACKED that lies in the region of `h`: 0, or a code. */
#define ALPS_PACKED_SET(space, h, ptr, p) \
  ((void)sizeof((ptr).type_ == (p)),      \
   alps_far_pack_((space), &(h)->core, (p), &(ptr).packed))

/* settle.h -- links between regions that the dead were making, and those that
 * wait
 *
 * A pledge ends by what its link holds, when no tie stands for it; a tie by
 * what is pledged. Regions that commit by moments do so before ties end, before
 * pledges end, and after: what one of them forgets the other one has then. See
 * docs/spaces.md. */

/* What is settled. */
typedef struct alps_settling {
    const alps_space *s;
    const alps_handle *only; /* in this region alone; or NULL */
    uint64_t lost;           /* this region is taken for one without links */
    int mine;                /* what waits of this process, too */
    unsigned ended;          /* so many pledges and ties did */
} alps_settling;

/* Where one is among the regions of a space. */
typedef struct alps_tour {
    alps_members *members;
    uint64_t i;
} alps_tour;

ALPS_FN_ alps_tour alps_tour_(const alps_space *s)
{
    alps_tour t;
    t.members = __atomic_load_n(&s->members, __ATOMIC_ACQUIRE);
    t.i = 0;
    return t;
}

/* The next region; NULL: that was the last. */
ALPS_FN_ const alps_member *alps_tour_next_(alps_tour *t)
{
    while (t->members && t->i < 1ull << t->members->shift) {
        const alps_member *m = alps_member_at_(t->members, t->i++);
        if (__atomic_load_n(&m->handle, __ATOMIC_ACQUIRE))
            return m;
    }
    return NULL;
}

/* Whether the link of a pledge, or of a tie, names `block`. */
ALPS_FN_ int alps_settle_linked_(const alps_member *from, uint64_t id,
                                 const alps_pledge *p, alps_off block)
{
    const alps_handle *h = from->handle;
    if (!alps_dest_valid_(h, p->dest) || p->dest < ALPS_PAGE ||
        alps_far_place_(p) != block || !block)
        return 0;
    const uint64_t *word = (const uint64_t *)alps_address_(h, p->dest);
    return alps_load_(word) == p->value &&
           (!p->wide || alps_load_(word - 1) == id);
}

/* The link is durable as it is: its maker may have died between the store and
 * the fence. Not so where it can only be read: then nothing is certain. */
ALPS_COLD_ int alps_settle_certain_(const alps_member *from,
                                    const alps_pledge *p)
{
    alps_off off = p->dest - sizeof(uint64_t);
    return alps_dest_valid_(from->handle, p->dest) && p->dest > ALPS_PAGE
               ? alps_far_ask_(from, ALPS_DEED_FLUSH, off, NULL)
               : ALPS_OK; // no link can be there
}

/* Whether the object of a tie is pledged to it. */
ALPS_FN_ int alps_settle_pledged_(const alps_member *to, uint64_t id,
                                  const alps_pledge *tie)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(to->handle, i);
        if (alps_load_(&p->block) == alps_far_place_(tie) && p->block &&
            p->region == id && p->dest == tie->dest)
            return 1;
    }
    return 0;
}

/* Takes a pledge or a tie over, if its maker does not live or it waits: 1. */
ALPS_COLD_ int alps_settle_claim_(const alps_settling *c, const alps_member *m,
                                  alps_pledge *p)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.pledge = p;
    d.what = ALPS_DEED_CLAIM;
    d.value = (uint64_t)c->mine;
    return m->perform(m->handle, &d);
}

/* It cannot be settled now. What waits stays this process's. */
ALPS_FN_ void alps_settle_leave_(alps_pledge *p)
{
    if (!alps_load_(&p->waits))
        alps_pledge_leave_(p);
}

/* What becomes of a tie whose two regions are there: a link whose object was
 * never pledged is void; an object that is to go is pledged. */
ALPS_COLD_ int alps_settle_judge_(const alps_member *from,
                                  const alps_member *to, const alps_pledge *tie)
{
    alps_deed d;
    alps_off block = alps_far_place_(tie);
    int err = alps_settle_certain_(from, tie);
    int linked = alps_settle_linked_(from, to->id, tie, block);
    if (err || alps_settle_pledged_(to, from->id, tie))
        return err;
    if (tie->tied == ALPS_TIE_LINK)
        return linked ? alps_far_store_(from, tie->dest, 0) : ALPS_OK;
    if (linked || !alps_pledge_live_(to->handle, block))
        return ALPS_OK;
    memset(&d, 0, sizeof d);
    d.what = ALPS_DEED_HOLD;
    d.as = *tie;
    d.as.region = from->id;
    d.as.block = block;
    err = to->perform(to->handle, &d);
    if (!err)
        alps_pledge_leave_(d.pledge);
    return err;
}

/* The first step for one tie: it `waits` for the second then, as 2. */
ALPS_COLD_ int alps_settle_tie_(alps_settling *c, const alps_member *from,
                                alps_pledge *tie)
{
    int is = alps_settle_claim_(c, from, tie);
    if (is != 1)
        return is;
    const alps_member *to = alps_space_find_(c->s, tie->region);
    is = !to ? (tie->region != c->lost ? ALPS_EMISSING : ALPS_OK)
             : alps_far_ask_(to, ALPS_DEED_ASK, 0, NULL);
    if (!is && to)
        is = alps_settle_judge_(from, to, tie);
    if (is)
        alps_settle_leave_(tie);
    else
        alps_store_(&tie->waits, 2);
    return ALPS_OK; // the others can be settled
}

/* The second: it ends. */
ALPS_COLD_ int alps_settle_untie_(alps_settling *c, const alps_member *from,
                                  alps_pledge *tie)
{
    alps_deed d;
    memset(&d, 0, sizeof d);
    d.pledge = tie;
    d.what = ALPS_DEED_UNTIE;
    c->ended++;
    return from->perform(from->handle, &d);
}

/* Whether a tie still stands for the link of a pledge. */
ALPS_FN_ int alps_settle_tied_(const alps_member *from, uint64_t id,
                               const alps_pledge *p)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *tie = alps_pledge_at_(from->handle, i);
        if (alps_load_(&tie->tied) && tie->region == id && tie->dest == p->dest)
            return 1;
    }
    return 0;
}

/* Settles one pledge of a region, if it is to be settled and can be. */
ALPS_COLD_ int alps_settle_pledge_(alps_settling *c, const alps_member *to,
                                   alps_pledge *p)
{
    alps_deed d;
    int is = alps_settle_claim_(c, to, p);
    if (is != 1)
        return is;
    const alps_member *from = alps_space_find_(c->s, p->region);
    if (from ? alps_settle_tied_(from, to->id, p) ||
                   alps_settle_certain_(from, p) != ALPS_OK
             : p->region != c->lost) {
        alps_settle_leave_(p);
        return ALPS_OK;
    }
    memset(&d, 0, sizeof d);
    d.pledge = p;
    d.what = from && alps_settle_linked_(from, to->id, p, p->block)
                 ? ALPS_DEED_KEEP
                 : ALPS_DEED_FREE;
    c->ended++;
    return to->perform(to->handle, &d);
}

/* The steps. */
enum {
    ALPS_SETTLE_TIES_ = 0,
    ALPS_SETTLE_UNTIE_ = 1,
    ALPS_SETTLE_PLEDGES_ = 2
};

ALPS_COLD_ int alps_settle_step_(alps_settling *c, int step)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    while (!err && (m = alps_tour_next_(&t)) != NULL)
        for (unsigned i = 0; !err && i < ALPS_PLEDGE_MAX; i++) {
            alps_pledge *p = alps_pledge_at_(m->handle, i);
            if (c->only && m->handle != c->only)
                break;
            if (step == ALPS_SETTLE_PLEDGES_ && alps_load_(&p->block))
                err = alps_settle_pledge_(c, m, p);
            if (!alps_load_(&p->tied))
                continue;
            if (step == ALPS_SETTLE_TIES_)
                err = alps_settle_tie_(c, m, p);
            if (step == ALPS_SETTLE_UNTIE_ && alps_load_(&p->waits) == 2 &&
                p->owner == alps_self_(m->handle))
                err = alps_settle_untie_(c, m, p);
            if (err == ALPS_EREADONLY || err == ALPS_EFORK)
                err = ALPS_OK; // who only reads has nothing to settle
        }
    return err;
}

/* Commits all regions that commit by moments. */
ALPS_COLD_ int alps_settle_commit_(const alps_settling *c)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    while (!err && (m = alps_tour_next_(&t)) != NULL) {
        err = alps_far_ask_(m, ALPS_DEED_COMMIT, 0, NULL);
        if (err == ALPS_EREADONLY || err == ALPS_EFORK)
            err = ALPS_OK;
    }
    return err;
}

/* Completes what the dead were at in regions that have something to settle;
 * answers whether there is any. */
ALPS_COLD_ int alps_settle_reap_(const alps_settling *c, int *any)
{
    alps_tour t = alps_tour_(c->s);
    const alps_member *m;
    int err = ALPS_OK;
    *any = 0;
    while (!err && (m = alps_tour_next_(&t)) != NULL) {
        unsigned n = 0;
        for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
            const alps_pledge *p = alps_pledge_at_(m->handle, i);
            n += (alps_load_(&p->block) | alps_load_(&p->tied)) != 0;
        }
        if (!n)
            continue;
        *any = 1;
        err = alps_far_ask_(m, ALPS_DEED_REAP, 0, NULL);
        if (err == ALPS_EREADONLY || err == ALPS_EFORK)
            err = ALPS_OK;
    }
    return err;
}

/* All of it, in order. Nobody ties meanwhile. */
ALPS_COLD_ int alps_settle_in_(alps_settling *c)
{
    int any, err = alps_settle_reap_(c, &any);
    if (!err && any)
        err = alps_settle_step_(c, ALPS_SETTLE_TIES_);
    if (!err && (any || c->mine))
        err = alps_settle_commit_(c);
    if (err || !any)
        return err;
    err = alps_settle_step_(c, ALPS_SETTLE_UNTIE_);
    if (!err && c->ended)
        err = alps_settle_commit_(c);
    c->ended = 0;
    if (!err)
        err = alps_settle_step_(c, ALPS_SETTLE_PLEDGES_);
    return err || !c->ended ? err : alps_settle_commit_(c);
}

ALPS_COLD_ int alps_settle_(alps_space *s, const alps_handle *only,
                            uint64_t lost, int mine)
{
    alps_settling c;
    memset(&c, 0, sizeof c);
    c.s = s;
    c.only = only;
    c.lost = lost;
    c.mine = mine;
    alps_space_lock_(&s->tying, 1);
    int err = alps_settle_in_(&c);
    alps_space_unlock_(&s->tying);
    return err;
}

/* See alps_space_add. */
ALPS_COLD_ int alps_settle_add_(alps_space *s, alps_handle *h,
                                alps_deed_do *perform)
{
    if (!h->map.base)
        return ALPS_EINVAL;
    alps_space_lock_(&s->lock, 1);
    int err = alps_space_enter_(s, h, perform);
    alps_space_unlock_(&s->lock);
    if (err)
        return err;
    err = alps_settle_(s, NULL, 0, 0);
    if (err)
        (void)alps_space_remove_(s, h);
    return err;
}

/* See alps_space_forgo. */
ALPS_COLD_ int alps_settle_forgo_(alps_space *s, const alps_handle *h,
                                  uint64_t id)
{
    const alps_member *m = alps_space_find_(s, alps_space_id_(h->super->uuid));
    if (!m || m->handle != h)
        return ALPS_EMISSING;
    return alps_space_find_(s, id) ? ALPS_EEXIST : alps_settle_(s, h, id, 1);
}

/* report.h -- what is wrong with a region, in words
 *
 * The first few things with their places, and how many there are. */

#define ALPS_PROBLEMS 8

/* One thing that is not as it should be. */
typedef struct alps_problem {
    int code;         /* ALPS_ECORRUPT, or why it could not be looked at */
    alps_off off;     /* where */
    const char *text; /* what */
} alps_problem;

/* What alps_check found. */
typedef struct alps_report {
    uint64_t problems;                 /* how many */
    alps_problem first[ALPS_PROBLEMS]; /* the first of them */
    uint64_t blocks, runs, reserved;   /* seen on the way; counts */
    uint64_t names;                    /* the same */
    uint64_t indexed;                  /* free runs that should be indexed */
} alps_report;

ALPS_FN_ void alps_check_say_(alps_report *r, alps_off off, const char *text)
{
    if (r->problems < ALPS_PROBLEMS) {
        alps_problem *p = &r->first[r->problems];
        p->code = ALPS_ECORRUPT;
        p->off = off;
        p->text = text;
    }
    r->problems++;
}

/* What alps_repair did. */
typedef struct alps_repaired {
    int refused;        /* what alps_open would have said before: 0 or a code */
    uint64_t mended;    /* things put right of which nothing is lost */
    uint64_t lost;      /* objects, blocks, names, pledges given up */
    uint64_t doubtful;  /* blocks kept of which nothing tells that they are
                           used: alps_each shows them */
    uint64_t bytes;     /* of what was lost, as far as that can be told */
    alps_off first;     /* where the first of it was; or 0 */
    alps_report report; /* the first things that were wrong, and how many */
} alps_repaired;

/* Something was put right. */
ALPS_FN_ void alps_report_mended_(alps_repaired *r, alps_off off,
                                  const char *text)
{
    r->mended++;
    alps_check_say_(&r->report, off, text);
}

/* Something had to be given up, of `n` bytes or who knows how many (0). */
ALPS_FN_ void alps_report_lost_(alps_repaired *r, alps_off off, uint64_t n,
                                const char *text)
{
    r->first = r->lost ? r->first : off;
    r->lost++;
    r->bytes += n;
    alps_check_say_(&r->report, off, text);
}

/* A block is kept that nothing speaks for. */
ALPS_FN_ void alps_report_doubt_(alps_repaired *r, alps_off off,
                                 const char *text)
{
    r->doubtful++;
    alps_check_say_(&r->report, off, text);
}

/* check.h -- every structure of the heap against every other
 *
 * The codes against themselves, the index against the codes, the reservations
 * against both, names against what is live. Nothing is changed and nothing is
 * trusted: a damaged region gives a longer report, not a crash. O(size of the
 * maps). */

/* A free run that is indexed: its head, its foot, its neighbours in the bin. */
ALPS_FN_ void alps_check_run_(const alps_handle *h, const alps_zone *z,
                              uint64_t unit, uint64_t units, alps_report *r)
{
    const alps_run *run = alps_run_(z, unit);
    alps_off off = alps_zone_off_(z, unit);
    alps_bin bin = alps_bin_of_(units);
    r->indexed++;
    if (run->units != units) {
        alps_check_say_(r, off, "a free run has another length than its codes");
        return;
    }
    if (*alps_run_foot_(z, unit + units) != off)
        alps_check_say_(r, off, "the foot of a free run names another head");
    if (!alps_run_place_(h, z, run->next) ||
        !alps_run_place_(h, z, run->previous)) {
        alps_check_say_(r, off, "a free run links to where no run can be");
        return;
    }
    const alps_off *back = &z->index->head[bin.row][bin.column];
    if (run->previous)
        back = &((const alps_run *)alps_address_(h, run->previous))->next;
    if (*back != off)
        alps_check_say_(r, off, "a free run is not in the bin of its length");
}

/* The codes of a zone, and whether what is free is indexed if it should be. */
ALPS_FN_ void alps_check_zone_(const alps_handle *h, const alps_shard *s,
                               const alps_zone *z, int built, alps_report *r)
{
    uint64_t unit = z->first;
    unsigned before = ALPS_INSIDE;
    if (!alps_code_inside_(z->codes, 0, z->first))
        alps_check_say_(r, z->origin, "a code where no block can start");
    if (alps_code_(z->codes, unit) == ALPS_INSIDE)
        alps_check_say_(r, z->origin, "the first block has no start");
    while (unit < z->end) {
        uint64_t units = alps_zone_units_(z, unit);
        unsigned code = alps_code_(z->codes, unit);
        alps_off off = alps_zone_off_(z, unit);
        r->blocks += code == ALPS_USED;
        r->runs += code == ALPS_FREE;
        r->reserved += code == ALPS_HELD;
        if (built && code == ALPS_FREE && before == ALPS_FREE)
            alps_check_say_(r, off, "two free runs side by side");
        if (built && code == ALPS_FREE)
            alps_check_run_(h, z, unit, units, r);
        if (built && code == ALPS_HELD && !alps_held_alive_(h, s, off))
            alps_check_say_(r, off, "a held block that nobody holds");
        before = code;
        unit += units;
    }
}

/* A slab: its block, its class, no object behind its end, and what its threads
 * say of it. */
ALPS_FN_ void alps_check_slab_(const alps_handle *h, alps_off place,
                               alps_report *r)
{
    alps_block b;
    alps_slab *head = alps_slab_head_(h, place);
    alps_slab s = *head;
    if (!alps_slab_derive_(h, &s)) {
        alps_check_say_(r, place, "a slab of no class");
        return;
    }
    if (alps_block_at_(h, place, &b) != ALPS_HELD || b.level ||
        alps_zone_units_(&b.zone, b.unit) < alps_kind_granules_(h, s.kind - 1))
        alps_check_say_(r, place, "a slab that no block holds");
    int mine = alps_self_(h) && alps_slab_seen_to_(h, head);
    if (mine && (head->size != s.size || head->count != s.count))
        alps_check_say_(r, place, "a slab in use of another size");
    for (unsigned g = 0; g < h->at.groups; g++) {
        uint64_t live = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        uint64_t whole =
            g < alps_slab_groups_(&s) ? alps_slab_whole_(&s, g) : 0;
        r->blocks += (uint64_t)__builtin_popcountll(live & whole);
        if (live & ~whole)
            alps_check_say_(r, place, "a live object behind a slab's end");
    }
}

/* The slabs: of one extent, if it is a heap extent; else there must be
 * none. */
ALPS_FN_ void alps_check_slabs_(const alps_handle *h, uint64_t extent,
                                alps_report *r)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    for (; off < end; off += 1ull << h->at.slab_shift) {
        if (!alps_slab_is_(h, off))
            continue;
        if (alps_extent_heap_(h, extent))
            alps_check_slab_(h, off, r);
        else
            alps_check_say_(r, off, "a slab outside of the heap extents");
    }
}

/* No slab lies where no extent does. */
ALPS_FN_ void alps_check_strays_(const alps_handle *h, alps_report *r)
{
    uint64_t first = h->at.heap >> h->at.slab_shift;
    uint64_t last = (h->at.heap + (alps_extents_(h) << h->at.extent_shift)) >>
                    h->at.slab_shift;
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    for (uint64_t word = 0; word <= end / 64; word++)
        for (uint64_t left = alps_load_(&h->slabs[word]); left;
             left &= left - 1) {
            uint64_t unit = word * 64 + alps_low_bit_(left);
            if (unit < first || unit >= last)
                alps_check_say_(r, unit << h->at.slab_shift,
                                "a slab where there is no extent");
        }
}

/* The extents: each is free, large, or a heap extent of its own length. */
ALPS_FN_ void alps_check_extents_(const alps_handle *h, alps_report *r)
{
    alps_zone top = alps_zone_top_(h);
    int live = alps_self_(h) != 0;
    alps_check_strays_(h, r);
    alps_check_zone_(h, h->top, &top, live && h->top->cursor == h->top->built,
                     r);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        alps_check_slabs_(h, extent, r);
        if (!alps_extent_heap_(h, extent))
            continue;
        const alps_shard *s = alps_shard_named_(h, extent);
        alps_zone z = alps_zone_extent_(h, extent);
        if (alps_zone_units_(&top, extent) != 1)
            alps_check_say_(r, z.origin, "a heap extent of several extents");
        r->blocks--; // it was counted as a block of the zone of extents
        alps_check_zone_(h, s, &z,
                         live && alps_extent_(h, extent)->built == s->built, r);
    }
}

/* An index: its bits, its heads, and how many runs its bins hold. */
ALPS_FN_ uint64_t alps_check_index_(const alps_handle *h, const alps_zone *z,
                                    uint64_t most, alps_report *r)
{
    const alps_index *x = z->index;
    alps_off where = alps_offset_(h, x);
    uint64_t n = 0;
    for (unsigned row = 0; row < ALPS_ROWS; row++) {
        if (!(x->rows >> row & 1) != !x->columns[row])
            alps_check_say_(r, where, "a row bit differs from its columns");
        for (unsigned column = 0; column < ALPS_COLUMNS; column++) {
            alps_off off = x->head[row][column];
            if (!(x->columns[row] >> column & 1) != !off)
                alps_check_say_(r, where, "a column bit differs from its bin");
            for (; off && n <= most; n++) {
                if (!alps_run_place_(h, z, off)) {
                    alps_check_say_(r, where, "a bin names no run");
                    break;
                }
                off = ((const alps_run *)alps_address_(h, off))->next;
            }
        }
    }
    return n;
}

/* The reservations of a shard: each names a held block of it. The table is
 * looked at only when it lies where it can. */
ALPS_FN_ void alps_check_held_(const alps_handle *h, const alps_shard *s,
                               alps_report *r)
{
    alps_off off = alps_held_place_(s);
    unsigned shift = alps_held_shift_(s);
    if (off >= alps_size_(h) || shift < ALPS_HELD_SHIFT || shift > 40 ||
        8ull << shift > alps_size_(h) - off) {
        alps_check_say_(r, h->at.shared, "the table of reservations is lost");
        return;
    }
    const uint64_t *table = alps_held_table_(h, s);
    for (uint64_t i = 0; i < 1ull << shift; i++) {
        alps_block b;
        alps_off place = (table[i] >> 16) * ALPS_GRANULE;
        if (table[i] > ALPS_HELD_GONE_ &&
            (alps_block_at_(h, place, &b) != ALPS_HELD || b.shard != s))
            alps_check_say_(r, place, "a reservation of what is not held");
    }
}

/* Whether a live block of `n` bytes or more starts at `off`. */
ALPS_FN_ int alps_check_live_(const alps_handle *h, alps_off off, uint64_t n)
{
    alps_object o;
    alps_block b;
    int is = alps_object_at_(h, off, &o);
    if (is)
        return is == 1 && alps_object_live_(&o) && alps_kind_size_(o.kind) >= n;
    return alps_block_at_(h, off, &b) == ALPS_USED && alps_block_size_(&b) >= n;
}

/* The descriptions of an entry. */
ALPS_FN_ void alps_check_text_(const alps_handle *h, const alps_entry *e,
                               alps_report *r)
{
    alps_off off = e->text;
    for (unsigned n = 0; off; n++) {
        const alps_text *x = alps_named_text_(h, off);
        if (!x || n == 64 ||
            (!alps_named_inside_(h, e, off) &&
             !alps_check_live_(h, off, sizeof *x + x->length + 1))) {
            alps_check_say_(r, off, "a description is no live block");
            return;
        }
        off = x->before;
    }
}

/* An entry: a live block, whose name has the hash that it is kept by. */
ALPS_FN_ void alps_check_entry_(const alps_handle *h, alps_off off,
                                alps_report *r)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    r->names++;
    if (!alps_name_sane_(h, off))
        alps_check_say_(r, off, "a named object is damaged");
    else if (!alps_check_live_(h, off, e->place + e->element * e->count))
        alps_check_say_(r, off, "a named object is no live block");
    else if ((alps_hash_reverse_(
                  alps_hash_of_(h->super->uuid, e + 1, e->length)) |
              1) != e->node.key)
        alps_check_say_(r, off, "a name is kept by another hash");
    else
        alps_check_text_(h, e, r);
}

/* The buckets that may be begun at; those without a table are none. */
ALPS_FN_ uint64_t alps_check_buckets_(const alps_handle *h, alps_names *s,
                                      alps_report *r)
{
    uint64_t ready = 0;
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++) {
        uint64_t n = sizeof(alps_node) << (i + ALPS_NAMES_SHIFT);
        if (s->table[i] && !alps_check_live_(h, s->table[i], n)) {
            alps_check_say_(r, s->table[i], "a table of names is no block");
            return ~0ull;
        }
    }
    for (unsigned i = 0; i <= ALPS_NAMES_TABLES; i++) {
        uint64_t first = i ? 4ull << i : 0, end = 8ull << i;
        for (uint64_t b = first; b < end; b++) {
            const alps_node *n = alps_node_bucket_(h, s, b);
            if (!n)
                break;
            ready += (uint64_t)alps_node_ready_(n, b);
        }
    }
    return ready;
}

/* The list of names. */
ALPS_FN_ void alps_check_names_(const alps_handle *h, alps_report *r)
{
    uint64_t ready = 0;
    alps_off off = h->super->names;
    alps_names *s = alps_node_names_(h);
    if (!off)
        return;
    if (!s || !alps_check_live_(h, off, sizeof *s)) {
        alps_check_say_(r, off, "what names are found by is no block");
        return;
    }
    uint64_t buckets = alps_check_buckets_(h, s, r);
    uint64_t last = 0;
    unsigned same = 0;
    for (const alps_node *n = &s->first[0]; n; n = alps_node_at_(h, off)) {
        uint64_t order = alps_node_order_(n), b = alps_hash_reverse_(order);
        same = order == last ? same + 1 : 0;
        if (order < last || same > ALPS_NODE_SAME_) {
            alps_check_say_(r, alps_offset_(h, n), "names are not in order");
            return;
        }
        if (order & 1)
            alps_check_entry_(h, alps_offset_(h, n), r);
        else if (alps_node_bucket_(h, s, b) != n)
            alps_check_say_(r, alps_offset_(h, n), "a node is of no bucket");
        else
            ready += (uint64_t)alps_node_ready_(n, b);
        last = order;
        off = n->next;
    }
    if (off)
        alps_check_say_(r, off, "a name links to where no name can be");
    else if (ready != buckets && buckets != ~0ull)
        alps_check_say_(r, h->super->names, "a bucket is not in the list");
}

/* audit.h -- what the first page, the lanes and their logs refer to
 *
 * The superblock against its spare, pledges against what is live, lanes against
 * what they hold, the log of a transaction against the chunks it is in. Of a
 * lane whose thread is at work only words are looked at, and once more where
 * they seem wrong; its log is its own. */

/* Bits that no count of a lane reaches. */
#define ALPS_RETIRED_MAX_ 48

/* The first page: the superblock as it is on the medium, its spare, and words
 * beside it. A region that is older than the spare has zeroes there. */
ALPS_FN_ void alps_audit_super_(const alps_handle *h, alps_report *r)
{
    alps_superblock real, spare, want;
    alps_handle there = *h;
    memcpy(&real, h->map.base, sizeof real);
    memcpy(&spare, h->map.base + ALPS_SPARE, sizeof spare);
    there.super = &real;
    if (alps_super_check_(&there))
        alps_check_say_(r, 0, "the superblock is damaged");
    else if (real.size >> 16 > h->map.length && h->spare)
        alps_check_say_(r, h->map.length, "the medium is shorter");
    alps_super_spare_(h->super, &want);
    if (memcmp(&spare, &want, ALPS_SUPER_FIXED_) &&
        (spare.magic || spare.crc || spare.layout || spare.limit))
        alps_check_say_(r, ALPS_SPARE, "the spare of the superblock differs");
    const uint64_t *bare = (const uint64_t *)alps_address_(h, ALPS_BARE);
    const uint64_t *loose = (const uint64_t *)alps_address_(h, ALPS_LOOSE);
    if (alps_load_(bare) > 1)
        alps_check_say_(r, ALPS_BARE, "neither a copy nor none");
    if (alps_load_(loose) && (h->spare || alps_load_(loose) != 1))
        alps_check_say_(r, ALPS_LOOSE, "the newest bytes were not written");
    if (h->spare && h->map.journal ? h->map.journal->lost
                                   : h->spare && h->spare->journal)
        alps_check_say_(r, ALPS_HOME_MARK_, "the journal is not there");
}

/* What the files say of themselves that the region goes on in. */
ALPS_FN_ void alps_audit_parts_(const alps_handle *h, alps_report *r)
{
    const alps_parts *p = h->map.parts;
    alps_part_head head;
    alps_onward on;
    for (unsigned i = 1; p && i < p->n; i++) {
        const alps_piece *before = &p->piece[i - 1];
        int is =
            alps_fd_read_(before->fd, &on, sizeof on, alps_parts_place_(i - 1));
        int leads = !is && alps_onward_leads_(h->crc, &on) == 1;
        if (leads)
            is = alps_part_judge_(h->crc, p->piece[i].fd, &on, &head);
        if (is < 0)
            alps_check_say_(r, p->piece[i].from, "a part cannot be read");
        else if (!leads || is != ALPS_PART_HERE)
            alps_check_say_(r, p->piece[i].from, "a part is not what it was");
    }
}

/* Pledges, but those that their makers are at: of a live object each. The rest
 * of what one says may be of an older one, see docs/spaces.md. */
ALPS_FN_ void alps_audit_pledges_(const alps_handle *h, alps_report *r)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        const alps_pledge *p = alps_pledge_at_(h, i);
        alps_off where = alps_offset_(h, p);
        uint64_t owner = __atomic_load_n(&p->owner, __ATOMIC_ACQUIRE);
        alps_off off = alps_load_(&p->block);
        if (alps_load_(&p->tied) > ALPS_TIE_CUT || (off && p->tied))
            alps_check_say_(r, where, "a tie of no kind");
        if (!off || (alps_self_(h) && owner && alps_process_in_(h, owner)))
            continue;
        if (!alps_pledge_live_(h, off))
            alps_check_say_(r, where, "a pledge of what is not live");
        else if (alps_load_(&p->wide) > 1 || alps_load_(&p->dest) % 8)
            alps_check_say_(r, where, "a pledge whose link can be nowhere");
    }
}

/* Whether `off` is in memory that is reserved or held back, or has none. */
ALPS_FN_ int alps_audit_kept_(const alps_handle *h, alps_off off)
{
    alps_around s;
    return alps_around_(h, off, &s) == ALPS_HELD;
}

/* Whether the `n` lines of actions from `off` on are whole, and in chunks. */
ALPS_FN_ int alps_audit_log_(const alps_handle *h, alps_off off, uint64_t n,
                             uint64_t number)
{
    for (; n; n--, off += ALPS_LINE) {
        const alps_record *r = alps_log_look_(h, &off, number);
        unsigned op = r ? r->op & 15u : 0;
        if (op < ALPS_OP_PUBLISH || op > ALPS_OP_SET ||
            !alps_audit_kept_(h, off))
            return 0;
    }
    return 1;
}

/* A lane that nobody is at, because its process is dead: what it was at is to
 * be completed, or undone. */
ALPS_FN_ void alps_audit_dead_(const alps_handle *h, unsigned i, alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    alps_off off = lane->mark.block;
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *c = &lane->ring[k];
        if ((c->op & 15) == ALPS_OP_COMMIT && alps_record_live_(h, i, c) &&
            !alps_audit_log_(h, c->block, c->units, c->value))
            alps_check_say_(r, alps_offset_(h, c),
                            "the log of a transaction is not whole");
    }
    if (alps_undo_live_(h, i) && !alps_commit_is_(h, i, lane->mark.seq) &&
        (!alps_audit_kept_(h, off) ||
         !alps_undo_look_(h, &off, lane->mark.seq)))
        alps_check_say_(r, alps_offset_(h, &lane->mark),
                        "there are no bytes to put back");
}

/* What a word of a lane names, as far as anybody can tell: 1 if it can be. */
ALPS_FN_ int alps_audit_named_(const alps_handle *h, const uint64_t *word)
{
    alps_off off = alps_load_(word);
    for (unsigned looks = 0; off && looks < 2; looks++) {
        if (off >= h->at.heap && off < alps_size_(h) && off % 16 == 0)
            return 1;
        off = alps_load_(word);
    }
    return !off;
}

/* The words of any lane. */
ALPS_FN_ void alps_audit_words_(const alps_handle *h, unsigned i,
                                alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    alps_off where = alps_offset_(h, lane);
    uint64_t freeing = alps_load_(&lane->freeing);
    if (!alps_audit_named_(h, &lane->held) ||
        !alps_audit_named_(h, &lane->pending))
        alps_check_say_(r, where, "a lane holds what is no memory");
    if (freeing && (freeing & ((1u << ALPS_NUMBER_SHIFT_) - 1)) != i)
        alps_check_say_(r, where, "a lane frees for another's transaction");
    alps_off limbo = alps_load_(&lane->limbo);
    if (limbo && !alps_limbo_chunk_(h, limbo) &&
        alps_load_(&lane->limbo) == limbo)
        alps_check_say_(r, where, "a lane retires into what is no chunk");
}

/* An idle lane has nothing that waits to be redone. */
ALPS_FN_ void alps_audit_lane_(const alps_handle *h, unsigned i, alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    uint64_t done = h->done[i].seq;
    done = h->done[i].tx > done ? h->done[i].tx : done;
    if (done > h->shared->seq && done > lane->seq)
        alps_check_say_(r, h->at.done + i * sizeof(alps_done),
                        "a lane has retired what never was");
    if (done >> ALPS_RETIRED_MAX_)
        alps_check_say_(r, h->at.done + i * sizeof(alps_done),
                        "a lane has retired more than it can");
    if (lane->held || lane->freeing)
        alps_check_say_(r, alps_offset_(h, lane), "an idle lane holds a block");
    if (alps_undo_live_(h, i))
        alps_check_say_(r, alps_offset_(h, &lane->mark),
                        "an idle lane has something to undo");
    for (unsigned k = 0; k < ALPS_RING; k++)
        if (alps_record_live_(h, i, &lane->ring[k]))
            alps_check_say_(r, alps_offset_(h, &lane->ring[k]),
                            "an idle lane has a live record");
}

/* All lanes. */
ALPS_CORE_ void alps_audit_lanes_(alps_handle *h, alps_report *r,
                                  const alps_tables *t)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        uint64_t owner = alps_load_(&h->lanes[i].lock);
        alps_audit_words_(h, i, r);
        if (owner && owner != alps_self_(h) && !alps_owner_lives_(h, owner, t))
            alps_audit_dead_(h, i, r);
        if (!alps_lock_try_(&h->lanes[i].lock, alps_self_(h)))
            continue;
        alps_audit_lane_(h, i, r);
        alps_lane_leave_(&h->lanes[i]);
    }
}

/* What waits for readers: a list of chunks, none of which is overfull. Under
 * the lock of the region. */
ALPS_FN_ void alps_audit_limbo_(const alps_handle *h, alps_report *r)
{
    alps_off off = h->shared->limbo, last = 0;
    uint64_t most = alps_size_(h) / sizeof(alps_chunk);
    for (; off && most; most--) {
        const alps_chunk *c = alps_limbo_chunk_(h, off);
        if (!c || c->count > ALPS_CHUNK) {
            alps_check_say_(r, off, "what waits for readers is no chunk");
            return;
        }
        last = off;
        off = c->next;
    }
    if (off || last != h->shared->limbo_last)
        alps_check_say_(r, last, "the list of what waits has another end");
}

/* One log of the transaction under way: its chunks are this process's, one
 * behind the other, and the next line goes into the last one. */
ALPS_FN_ void alps_audit_chunks_(const alps_handle *h, const alps_log *log,
                                 alps_report *r)
{
    alps_off chunk = log->chunk, first = chunk;
    uint64_t most = alps_size_(h) / ALPS_LINE;
    if (!log->first)
        return;
    for (; chunk && most; most--) {
        alps_around s;
        if (alps_around_(h, chunk, &s) != ALPS_HELD || s.off != chunk) {
            alps_check_say_(r, chunk, "a chunk of a log is not reserved");
            return;
        }
        first = chunk;
        chunk = *(const alps_off *)alps_address_(h, chunk);
    }
    if (chunk || log->first != first + ALPS_LINE || log->at <= log->chunk ||
        log->at > log->end || log->end - log->chunk > log->bytes)
        alps_check_say_(r, log->chunk, "the chunks of a log are not in a row");
}

/* The transaction that this thread has open. */
ALPS_FN_ void alps_audit_draft_(const alps_handle *h, alps_report *r)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        const alps_draft *o = &h->drafts[i];
        if (!alps_draft_is_(o, ALPS_THREAD_()))
            continue;
        alps_audit_chunks_(h, &o->log, r);
        alps_audit_chunks_(h, &o->undo, r);
        if (o->marked && !alps_undo_live_(h, i))
            alps_check_say_(r, alps_offset_(h, &o->lane->mark),
                            "a transaction has lost its mark");
    }
}

/* All of the index. Under all locks. */
ALPS_CORE_ void alps_audit_index_(alps_handle *h, alps_report *r,
                                  const alps_tables *t)
{
    uint64_t n = 0;
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        alps_zone any = alps_zone_top_(h);
        any.index = &s->index;
        if (s != h->top)
            any.shift = ALPS_GRANULE_SHIFT;
        n += alps_check_index_(h, &any, r->indexed, r);
        alps_check_held_(h, s, r);
    }
    if (n != r->indexed)
        alps_check_say_(r, h->at.shards, "the bins hold more or fewer runs");
    alps_audit_lanes_(h, r, t);
    alps_audit_limbo_(h, r);
    alps_audit_draft_(h, r);
}

/* See alps_check. */
ALPS_CORE_ int alps_audit_(alps_handle *h, alps_report *r, const alps_tables *t)
{
    int live = alps_self_(h) != 0;
    memset(r, 0, sizeof *r);
    if (live) {
        alps_names_lock_(h, t);
        alps_lock_all_(h, t);
    }
    alps_audit_super_(h, r);
    alps_audit_parts_(h, r);
    alps_check_extents_(h, r);
    alps_check_names_(h, r);
    alps_audit_pledges_(h, r);
    if (live) {
        alps_audit_index_(h, r, t);
        alps_unlock_all_(h);
        alps_names_unlock_(h);
    }
    return r->problems ? ALPS_ECORRUPT : ALPS_OK;
}

/* rescue.h -- what is left in a damaged region
 *
 * Shows what is live beyond doubt, and counts the bytes of the rest: what has
 * no start, slabs of no class or without a block, and what the medium has
 * lost. */

/* Bytes of [first, end) of a zone that no block starts in. */
ALPS_FN_ uint64_t alps_rescue_front_(const alps_zone *z)
{
    uint64_t start = alps_code_next_(z->codes, z->first, z->end);
    return (start - z->first) << z->shift;
}

/* Whether the slab at `place` is one: of a class, and with a block. Otherwise
 * the bytes that it seems to have. */
ALPS_FN_ int alps_rescue_slab_(const alps_handle *h, alps_off place,
                               uint64_t *bytes)
{
    alps_block b;
    alps_slab s = *alps_slab_head_(h, place);
    int held = alps_block_at_(h, place, &b) == ALPS_HELD;
    *bytes = held ? alps_block_size_(&b) : 1ull << h->at.slab_shift;
    if (!alps_slab_derive_(h, &s))
        return 0;
    uint64_t n = alps_kind_granules_(h, s.kind - 1) * ALPS_GRANULE;
    if (held && *bytes >= n)
        return 1;
    *bytes = n;
    return 0;
}

/* Walks the slabs of one extent; what is outside of heap extents is lost. */
ALPS_FN_ int alps_rescue_slabs_(const alps_handle *h, uint64_t extent,
                                alps_visit *visit, void *context,
                                uint64_t *skipped)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    alps_off end = off + h->at.extent;
    int heap = alps_extent_heap_(h, extent);
    for (; off < end; off += 1ull << h->at.slab_shift) {
        uint64_t bytes = 1ull << h->at.slab_shift;
        if (!alps_slab_is_(h, off))
            continue;
        if (!heap || !alps_rescue_slab_(h, off, &bytes)) {
            *skipped += bytes;
            continue;
        }
        int stop = alps_visit_slab_(h, off, visit, context);
        if (stop)
            return stop;
    }
    return 0;
}

/* Bytes that the region has by its superblock and the medium has not. */
ALPS_FN_ uint64_t alps_rescue_cut_(const alps_handle *h)
{
    const alps_superblock *s = (const alps_superblock *)h->map.base;
    uint64_t size = s->size >> 16;
    return h->spare && alps_sealed_(s->size) && size <= h->at.limit &&
                   size > alps_size_(h)
               ? size - alps_size_(h)
               : 0;
}

/* See alps_salvage. */
ALPS_FN_ int alps_rescue_(const alps_handle *h, alps_visit *visit,
                          void *context, uint64_t *skipped)
{
    alps_zone top = alps_zone_top_(h);
    *skipped = alps_rescue_cut_(h) + alps_rescue_front_(&top);
    for (uint64_t extent = 0; extent < top.end; extent++) {
        int stop = alps_rescue_slabs_(h, extent, visit, context, skipped);
        if (!stop && alps_extent_heap_(h, extent)) {
            alps_zone z = alps_zone_extent_(h, extent);
            *skipped += alps_rescue_front_(&z);
            *skipped += (alps_zone_units_(&top, extent) - 1) << top.shift;
            stop = alps_visit_zone_(h, &z, visit, context);
        }
        if (stop)
            return stop;
    }
    return alps_visit_zone_(h, &top, visit, context);
}

/* restore.h -- the heap of a damaged region, made whole
 *
 * Codes, kinds of extents, slabs and their bits, as far as each is told by the
 * others; docs/repair.md has the rules. Nobody else is in the region, and no
 * index is. Where nothing tells whether memory is used it is kept. Whatever
 * subset of the stores of one step a crash leaves, the same is found again, or
 * something that is kept. */

/* Wrong codes of a map, at most, for it to be one. */
#define ALPS_RESTORE_FEW_ 4u

/* Whether the map of `extent` is that of a heap extent: no block starts in its
 * front, and one behind it. */
ALPS_FN_ int alps_restore_front_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    return alps_code_inside_(z.codes, 0, z.first) &&
           alps_code_(z.codes, z.first) != ALPS_INSIDE;
}

/* Whether a slab is marked in `extent`. */
ALPS_FN_ int alps_restore_marked_(const alps_handle *h, uint64_t extent)
{
    alps_off off = h->at.heap + (extent << h->at.extent_shift);
    for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
        if (alps_slab_is_(h, off + in))
            return 1;
    return 0;
}

/* Whether `extent`, which is not a heap extent by its code, is one: its front
 * is, and a slab is marked in it or its kind says so. */
ALPS_FN_ int alps_restore_was_(const alps_handle *h, uint64_t extent)
{
    return extent < alps_extents_(h) && alps_restore_front_(h, extent) &&
           (alps_restore_marked_(h, extent) || alps_extent_kind_(h, extent));
}

/* Whether a heap extent without slabs has a map that is at most a little wrong.
 * Else it is a large object, whose bytes are not to be touched. */
ALPS_FN_ int alps_restore_mapped_(const alps_handle *h, uint64_t extent)
{
    alps_zone z = alps_zone_extent_(h, extent);
    unsigned n = 0;
    for (uint64_t unit = alps_code_next_(z.codes, 0, z.first);
         unit < z.first && n <= ALPS_RESTORE_FEW_; n++)
        unit = alps_code_next_(z.codes, unit + 1, z.first);
    if (alps_code_(z.codes, z.first) == ALPS_INSIDE)
        return !n && !alps_code_inside_(z.codes, z.first, z.end);
    return n <= ALPS_RESTORE_FEW_;
}

/* `extent` starts something: a heap extent if it was one, else what is kept as
 * a large block. */
ALPS_FN_ void alps_restore_start_(const alps_handle *h, uint64_t extent,
                                  alps_repaired *r)
{
    alps_zone top = alps_zone_top_(h);
    alps_off off = alps_zone_off_(&top, extent);
    int heap = alps_restore_was_(h, extent);
    if (alps_extent_kind_(h, extent) != heap)
        alps_extent_kind_set_(h, extent, heap);
    alps_code_set_(top.codes, extent, ALPS_USED);
    if (heap)
        alps_report_mended_(r, off, "a heap extent without a start");
    else
        alps_report_doubt_(r, off, "extents without a start");
}

/* What its slabs say is a heap extent becomes one again. */
ALPS_FN_ void alps_restore_lost_(const alps_handle *h, uint64_t extent,
                                 alps_repaired *r)
{
    alps_zone top = alps_zone_top_(h);
    alps_extent_kind_set_(h, extent, 1);
    alps_code_set_(top.codes, extent, ALPS_USED);
    alps_report_mended_(r, alps_zone_off_(&top, extent),
                        "a heap extent that says it is none");
}

/* The extents, from the first on: each is free, large, or a heap extent, and
 * what follows a heap extent is a start. */
ALPS_FN_ void alps_restore_extents_(const alps_handle *h, alps_repaired *r)
{
    uint64_t extents = alps_extents_(h);
    int starts = 1;
    for (uint64_t extent = 0; extent < extents; extent++) {
        int marked = alps_restore_marked_(h, extent);
        if (starts && alps_code_(h->codes, extent) == ALPS_INSIDE)
            alps_restore_start_(h, extent, r);
        if (!alps_extent_heap_(h, extent)) {
            if (marked && alps_restore_front_(h, extent))
                alps_restore_lost_(h, extent, r);
        } else if (!marked && !alps_restore_mapped_(h, extent)) {
            alps_extent_kind_set_(h, extent, 0);
            alps_report_doubt_(r, h->at.heap + (extent << h->at.extent_shift),
                               "a heap extent without a map");
        }
        starts = alps_extent_heap_(h, extent);
    }
}

/* The map of a heap extent: where its blocks begin. */
ALPS_FN_ void alps_restore_zone_(const alps_handle *h, uint64_t extent,
                                 alps_repaired *r)
{
    alps_zone z = alps_zone_extent_(h, extent);
    alps_off off = alps_zone_off_(&z, z.first);
    if (!alps_code_inside_(z.codes, 0, z.first)) {
        alps_code_clear_(z.codes, 0, z.first);
        alps_report_mended_(r, z.origin, "a code where no block can start");
    }
    if (alps_code_(z.codes, z.first) != ALPS_INSIDE)
        return;
    alps_code_set_(z.codes, z.first, ALPS_USED);
    alps_report_doubt_(r, off, "the first block has no start");
}

/* The live objects of a slab whose class is known, and those behind its end. */
ALPS_FN_ uint64_t alps_restore_live_(const alps_handle *h, alps_slab *head,
                                     const alps_slab *s, int behind)
{
    uint64_t n = 0;
    for (unsigned g = 0; g < h->at.groups; g++) {
        uint64_t whole = g < alps_slab_groups_(s) ? alps_slab_whole_(s, g) : 0;
        uint64_t live = alps_pair_live_(&alps_slab_pairs_(head)[g]);
        n += (uint64_t)__builtin_popcountll(behind ? live & ~whole
                                                   : live & whole);
    }
    return n;
}

/* The class of a slab that has lost it, by what its last owner noted: 0 where
 * that does not fit together. */
ALPS_FN_ uint32_t alps_restore_kind_(const alps_handle *h,
                                     const alps_slab *head)
{
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++) {
        alps_slab s = *head;
        s.kind = kind + 1;
        if (head->size == alps_kind_size_(kind) && alps_slab_derive_(h, &s) &&
            head->scale == s.scale && head->count == s.count)
            return s.kind;
    }
    return 0;
}

/* Where a slab is, and what its map says of that. */
typedef struct alps_ward {
    alps_off place;
    alps_slab *head;
    alps_slab s; /* a copy, with what follows from its class */
    alps_zone z;
    uint64_t unit, units; /* that it takes */
    uint64_t has;         /* to the next start */
    unsigned code;
    int known; /* it has a class */
} alps_ward;

ALPS_FN_ void alps_restore_ward_(const alps_handle *h, alps_off place,
                                 alps_ward *w)
{
    uint64_t extent = (place - h->at.heap) >> h->at.extent_shift;
    w->place = place;
    w->head = alps_slab_head_(h, place);
    w->s = *w->head;
    w->known = alps_slab_derive_(h, &w->s);
    w->z = alps_zone_extent_(h, extent);
    w->unit = alps_zone_unit_(&w->z, place);
    w->units = w->known ? alps_kind_granules_(h, w->s.kind - 1) : 1;
    w->has = 0;
    w->code = ALPS_INSIDE;
    if (w->unit >= w->z.first && w->unit < w->z.end) {
        w->has = alps_zone_units_(&w->z, w->unit);
        w->code = alps_code_(w->z.codes, w->unit);
    }
}

/* Whether a block holds the slab. */
ALPS_FN_ int alps_restore_sound_(const alps_ward *w)
{
    return w->known && w->code == ALPS_HELD && w->has >= w->units;
}

/* A slab whose class is lost: it is found again; or its block is kept as one,
 * so that what is in it can be looked at. */
ALPS_FN_ void alps_restore_class_(const alps_handle *h, const alps_ward *w,
                                  alps_repaired *r)
{
    uint32_t kind = alps_restore_kind_(h, w->head);
    if (kind && w->code == ALPS_HELD) {
        __atomic_store_n(&w->head->kind, kind, __ATOMIC_RELAXED);
        alps_report_mended_(r, w->place, "a slab of no class");
        return;
    }
    if (w->code == ALPS_HELD)
        alps_code_set_(w->z.codes, w->unit, ALPS_USED);
    alps_report_lost_(r, w->place,
                      w->code == ALPS_HELD ? w->has << ALPS_GRANULE_SHIFT : 0,
                      "a slab of no class: its objects are one block");
}

/* A slab with live objects that no block holds: codes inside of it are wrong,
 * for a slab has no live objects when its bit is cleared. */
ALPS_FN_ void alps_restore_block_(const alps_ward *w, alps_repaired *r)
{
    uint64_t end = w->unit + w->units;
    if (w->unit < w->z.first || end > w->z.end)
        return;
    if (end < w->z.end && alps_code_(w->z.codes, end) == ALPS_INSIDE) {
        alps_code_set_(w->z.codes, end, ALPS_USED);
        alps_report_doubt_(r, alps_zone_off_(&w->z, end),
                           "memory behind a slab without a start");
    }
    ALPS_BARRIER_();
    alps_code_set_(w->z.codes, w->unit, ALPS_HELD);
    alps_code_clear_(w->z.codes, w->unit + 1, end);
    alps_report_mended_(r, w->place, "a slab that no block holds");
}

/* No object behind the last is live. */
ALPS_FN_ void alps_restore_behind_(const alps_handle *h, const alps_ward *w,
                                   alps_repaired *r)
{
    for (unsigned g = 0; g < h->at.groups; g++) {
        alps_pair *pair = &alps_slab_pairs_(w->head)[g];
        uint64_t whole =
            g < alps_slab_groups_(&w->s) ? alps_slab_whole_(&w->s, g) : 0;
        uint64_t more = alps_pair_live_(pair) & ~whole;
        if (more)
            alps_store_(&pair->far, alps_load_(&pair->far) ^ more);
    }
    alps_report_mended_(r, w->place, "a live object behind a slab's end");
}

/* The first step for the slab that is marked at `place`: its class and codes,
 * not its bit. */
ALPS_FN_ void alps_restore_slab_(const alps_handle *h, alps_off place,
                                 alps_repaired *r)
{
    alps_ward w;
    alps_restore_ward_(h, place, &w);
    if (!w.known) {
        alps_restore_class_(h, &w, r);
        alps_restore_ward_(h, place, &w);
    }
    if (!w.known)
        return;
    if (alps_restore_live_(h, w.head, &w.s, 1))
        alps_restore_behind_(h, &w, r);
    if (!alps_restore_sound_(&w) && alps_restore_live_(h, w.head, &w.s, 0))
        alps_restore_block_(&w, r);
}

/* Whether a slab is at `place` whose bit is lost: a block is held that is as
 * long as it, and has live objects. Where there is no slab none is live. */
ALPS_FN_ int alps_restore_unmarked_(const alps_handle *h, alps_off place)
{
    alps_ward w;
    alps_restore_ward_(h, place, &w);
    return w.known && w.code == ALPS_HELD && w.has == w.units &&
           !alps_restore_live_(h, w.head, &w.s, 1) &&
           alps_restore_live_(h, w.head, &w.s, 0);
}

/* The second step, when the first is durable: the bit itself. */
ALPS_FN_ void alps_restore_bit_(const alps_handle *h, alps_off place,
                                alps_repaired *r)
{
    alps_ward w;
    uint64_t extent = (place - h->at.heap) >> h->at.extent_shift;
    int heap = place >= h->at.heap && extent < alps_extents_(h) &&
               alps_extent_heap_(h, extent);
    if (!alps_slab_is_(h, place)) {
        if (!heap || !alps_restore_unmarked_(h, place))
            return;
        alps_slab_mark_(h, place, 1);
        alps_report_mended_(r, place, "a slab that is not marked");
        return;
    }
    if (heap)
        alps_restore_ward_(h, place, &w);
    if (heap && alps_restore_sound_(&w))
        return;
    alps_slab_mark_(h, place, 0);
    alps_report_mended_(r, place, "a mark where there is no slab");
}

/* Codes, kinds and slabs; not the bits of slabs. */
ALPS_FN_ void alps_restore_codes_(const alps_handle *h, alps_repaired *r)
{
    alps_restore_extents_(h, r);
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        alps_off off = h->at.heap + (extent << h->at.extent_shift);
        if (!alps_extent_heap_(h, extent))
            continue;
        for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
            if (alps_slab_is_(h, off + in))
                alps_restore_slab_(h, off + in, r);
        alps_restore_zone_(h, extent, r);
    }
}

/* No bit is set before the first extent or behind the last. */
ALPS_FN_ void alps_restore_strays_(const alps_handle *h, uint64_t first,
                                   uint64_t last, alps_repaired *r)
{
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    for (uint64_t word = 0; word <= end / 64; word++)
        for (uint64_t left = h->slabs[word]; left; left &= left - 1) {
            uint64_t piece = word * 64 + alps_low_bit_(left);
            if (piece >= first && piece < last && piece < end)
                continue;
            h->slabs[word] ^= left & (0 - left);
            alps_report_mended_(r, piece << h->at.slab_shift,
                                "a mark where there is no extent");
        }
}

/* The bits of slabs, when the rest is durable. */
ALPS_FN_ void alps_restore_bits_(const alps_handle *h, alps_repaired *r)
{
    uint64_t end = h->at.slab_end >> h->at.slab_shift;
    uint64_t first = h->at.heap >> h->at.slab_shift;
    uint64_t last = (h->at.heap + (alps_extents_(h) << h->at.extent_shift)) >>
                    h->at.slab_shift;
    if (h->at.small < 16)
        last = first; // there are no slabs
    alps_restore_strays_(h, first, last, r);
    for (uint64_t piece = first; piece < last && piece < end; piece++)
        alps_restore_bit_(h, piece << h->at.slab_shift, r);
}

/* roster.h -- the list of names, made anew
 *
 * An entry tells by its checksum and by its hash that it is one, and lies at
 * the start of a live block: so all are found without the list, which is linked
 * anew through them and through the buckets that are left. Nothing of an entry
 * but its link is changed, so whenever a crash comes they are found again. */

/* The entries of a region, by their places. */
typedef struct alps_roster {
    const alps_handle *h;
    alps_off *off;
    uint64_t n, room;
    int err;
} alps_roster;

/* Memory for twice as many. */
ALPS_FN_ int alps_roster_grow_(alps_roster *o)
{
    uint64_t room = o->room ? 2 * o->room : 4096;
    void *p = mmap(NULL, room * sizeof *o->off, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return ALPS_ENOMEM;
    if (o->off) {
        memcpy(p, o->off, o->n * sizeof *o->off);
        munmap(o->off, o->room * sizeof *o->off);
    }
    o->off = (alps_off *)p;
    o->room = room;
    return ALPS_OK;
}

/* Whether a block of `n` bytes is an entry. */
ALPS_FN_ int alps_roster_is_(const alps_handle *h, alps_off off, uint64_t n)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    return n >= sizeof *e && alps_name_sane_(h, off) && e->place <= n &&
           e->element * e->count <= n - e->place &&
           (alps_hash_reverse_(
                alps_hash_of_(h->super->uuid, e + 1, e->length)) |
            1) == e->node.key;
}

/* Called for each live block. */
ALPS_FN_ int alps_roster_visit_(void *context, void *p, size_t n)
{
    alps_roster *o = (alps_roster *)context;
    alps_off off = alps_offset_(o->h, p);
    if (!alps_roster_is_(o->h, off, n))
        return 0;
    if (o->n == o->room)
        o->err = alps_roster_grow_(o);
    if (!o->err)
        o->off[o->n++] = off;
    return o->err;
}

ALPS_FN_ uint64_t alps_roster_key_(const alps_roster *o, uint64_t i)
{
    return ((const alps_node *)alps_address_(o->h, o->off[i]))->key;
}

/* Lets the entry at `i` sink to where it belongs in a heap of `n`. */
ALPS_FN_ void alps_roster_sink_(const alps_roster *o, uint64_t i, uint64_t n)
{
    for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n &&
            alps_roster_key_(o, child) < alps_roster_key_(o, child + 1))
            child++;
        if (alps_roster_key_(o, i) >= alps_roster_key_(o, child))
            return;
        alps_off off = o->off[i];
        o->off[i] = o->off[child];
        o->off[child] = off;
    }
}

/* Sorts them by key. */
ALPS_FN_ void alps_roster_sort_(const alps_roster *o)
{
    for (uint64_t i = o->n / 2; i--;)
        alps_roster_sink_(o, i, o->n);
    for (uint64_t n = o->n; n > 1;) {
        alps_off off = o->off[--n];
        o->off[n] = o->off[0];
        o->off[0] = off;
        alps_roster_sink_(o, 0, n);
    }
}

/* Whether the `n` nodes at `node` are of the buckets from `b` on. */
ALPS_FN_ int alps_roster_buckets_(const alps_node *node, uint64_t b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key = node[i].key & ~ALPS_NODE_READY_;
        if (node[i].key && key != alps_hash_reverse_(b + i))
            return 0;
    }
    return 1;
}

/* What names are found by, if it looks like that. */
ALPS_FN_ alps_names *alps_roster_names_(const alps_handle *h)
{
    alps_names *s = alps_node_names_(h);
    int is = s && alps_roster_buckets_(s->first, 0, 1u << ALPS_NAMES_SHIFT);
    for (unsigned i = 0; is && i < 7; i++)
        is = !s->line_[i];
    return is && s->first[0].key == ALPS_NODE_READY_ ? s : NULL;
}

/* What is at `off` and has `n` bytes is live again, where its object or block
 * says that it is not, and nothing else starts in it. */
ALPS_FN_ void alps_roster_revive_(const alps_handle *h, alps_off off,
                                  uint64_t n, alps_repaired *r)
{
    alps_object o;
    alps_block b;
    if (alps_check_live_(h, off, n))
        return;
    int is = alps_object_at_(h, off, &o);
    if (is == 1 && !alps_object_live_(&o) && alps_kind_size_(o.kind) >= n)
        alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
    int code = is ? -1 : alps_block_at_(h, off, &b);
    uint64_t end = code < 0
                       ? 0
                       : b.unit + (alps_round_up_(n, 1ull << b.zone.shift) >>
                                   b.zone.shift);
    if (end && end <= b.zone.end && code != ALPS_USED &&
        alps_code_inside_(b.zone.codes, b.unit + 1, end)) {
        if (end < b.zone.end && code == ALPS_FREE &&
            alps_code_(b.zone.codes, end) == ALPS_INSIDE)
            alps_code_set_(b.zone.codes, end, ALPS_FREE);
        alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    }
    if (alps_check_live_(h, off, n))
        alps_report_mended_(r, off, "what has a name is not live");
}

/* Revives what names are found by, and what has a name, as far as the list
 * goes. */
ALPS_FN_ void alps_roster_walk_(const alps_handle *h, alps_repaired *r)
{
    alps_names *s = alps_roster_names_(h);
    uint64_t most = alps_size_(h) / sizeof(alps_entry);
    if (!s)
        return;
    alps_roster_revive_(h, h->super->names, sizeof *s, r);
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++) {
        uint64_t b = 8ull << i;
        const alps_node *node = alps_node_bucket_(h, s, b);
        if (s->table[i] && node && alps_roster_buckets_(node, b, b))
            alps_roster_revive_(h, s->table[i], b * sizeof *node, r);
    }
    for (alps_off off = s->first[0].next; off && most; most--) {
        const alps_node *n = alps_node_at_(h, off);
        if (!n)
            return;
        const alps_entry *e = (const alps_entry *)(const void *)n;
        if (n->key & 1 && alps_name_sane_(h, off))
            alps_roster_revive_(h, off, e->place + e->element * e->count, r);
        off = n->next;
    }
}

/* Makes a run of `units` at the end of one that is free a used block: when all
 * that it is to hold is durable. */
ALPS_FN_ alps_off alps_roster_take_(const alps_handle *h, uint64_t units)
{
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_zone z = alps_zone_extent_(h, extent);
        for (uint64_t unit = z.first, n; unit < z.end; unit += n) {
            n = alps_zone_units_(&z, unit);
            if (alps_code_(z.codes, unit) == ALPS_FREE && n >= units)
                return alps_zone_off_(&z, unit + n - units);
        }
    }
    return 0;
}

/* All that was stored so far is on the medium. */
ALPS_CORE_ int alps_repair_sync_(alps_handle *h, const alps_tables *t)
{
    return t->backend->sync(&h->map, 0, h->map.size);
}

/* Makes a free extent an empty heap extent. */
ALPS_CORE_ int alps_roster_extent_(alps_handle *h, const alps_tables *t)
{
    alps_zone top = alps_zone_top_(h);
    uint64_t extent = 0, n = 0;
    for (uint64_t unit = 0; unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        extent = unit + n - 1;
        if (alps_code_(top.codes, unit) == ALPS_FREE)
            break;
        n = extent + 1 < top.end ? n : 0;
        if (!n)
            return ALPS_EFULL;
    }
    (void)alps_extent_clear_(h, extent);
    alps_extent_kind_set_(h, extent, 1);
    int err = alps_repair_sync_(h, t);
    if (!err)
        alps_code_set_(top.codes, extent, ALPS_USED);
    return err;
}

/* Makes what names are found by, which nothing leads to yet, and whose buckets
 * are yet to be linked. */
ALPS_CORE_ int alps_roster_make_(alps_handle *h, alps_names **names,
                                 const alps_tables *t)
{
    alps_block b;
    uint64_t units = (sizeof(alps_names) + ALPS_GRANULE - 1) / ALPS_GRANULE;
    alps_off off = alps_roster_take_(h, units);
    int err = off ? ALPS_OK : alps_roster_extent_(h, t);
    if (!err && !off)
        off = alps_roster_take_(h, units);
    if (err || !off)
        return err ? err : ALPS_EFULL;
    alps_names *s = (alps_names *)alps_address_(h, off);
    memset(s, 0, units * ALPS_GRANULE);
    s->shift = ALPS_NAMES_SHIFT;
    s->first[0].key = ALPS_NODE_READY_;
    if (alps_block_at_(h, off, &b) < 0)
        return ALPS_ECORRUPT;
    alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    *names = s;
    return ALPS_OK;
}

/* Keeps the tables of buckets that are such, up to the first that is not. */
ALPS_FN_ unsigned alps_roster_tables_(const alps_handle *h, alps_names *s)
{
    unsigned shift = ALPS_NAMES_SHIFT, most = shift + ALPS_NAMES_TABLES;
    for (; shift < most && s->table[shift - ALPS_NAMES_SHIFT]; shift++) {
        alps_off off = s->table[shift - ALPS_NAMES_SHIFT];
        const alps_node *node = alps_node_bucket_(h, s, 1ull << shift);
        if (!node || !alps_check_live_(h, off, sizeof *node << shift) ||
            !alps_roster_buckets_(node, 1ull << shift, 1ull << shift))
            break;
    }
    for (unsigned i = shift; i < most; i++)
        if (s->table[i - ALPS_NAMES_SHIFT])
            s->table[i - ALPS_NAMES_SHIFT] = 0;
    return shift;
}

/* Links the buckets of `s`, 2^`shift`, and the entries. */
ALPS_FN_ void alps_roster_link_(const alps_roster *o, alps_names *s,
                                unsigned shift)
{
    const alps_handle *h = o->h;
    alps_node *last = NULL;
    uint64_t i = 0;
    for (uint64_t turn = 0; turn < 1ull << shift; turn++) {
        uint64_t order = turn << (64 - shift);
        alps_node *n = alps_node_bucket_(h, s, alps_hash_reverse_(order));
        for (; i < o->n && alps_roster_key_(o, i) < order; i++) {
            last->next = o->off[i];
            last = (alps_node *)alps_address_(h, o->off[i]);
        }
        n->key = order | ALPS_NODE_READY_;
        if (last)
            last->next = alps_offset_(h, n);
        last = n;
    }
    for (; i < o->n; i++) {
        last->next = o->off[i];
        last = (alps_node *)alps_address_(h, o->off[i]);
    }
    last->next = 0;
    alps_store_(&s->shift, shift);
}

/* Descriptions that are none are given up. */
ALPS_FN_ void alps_roster_texts_(const alps_roster *o, alps_repaired *r)
{
    for (uint64_t i = 0; i < o->n; i++) {
        alps_report own;
        alps_entry *e = (alps_entry *)alps_address_(o->h, o->off[i]);
        memset(&own, 0, sizeof own);
        alps_check_text_(o->h, e, &own);
        if (!own.problems)
            continue;
        alps_store_(&e->text, 0);
        alps_report_lost_(r, o->off[i], 0, "the description of a name");
    }
}

/* Links all names anew: in place where there is what they are found by, else
 * the list is found by one store, when all of it is durable. `was` are those
 * that there seemed to be. */
ALPS_CORE_ int alps_roster_renew_(alps_handle *h, const alps_roster *o,
                                  uint64_t was, alps_repaired *r,
                                  const alps_tables *t)
{
    alps_names *s = alps_roster_names_(h);
    int err = ALPS_OK;
    if (s && !alps_check_live_(h, h->super->names, sizeof *s))
        s = NULL;
    int anew = !s && o->n;
    alps_roster_sort_(o);
    if (anew)
        err = alps_roster_make_(h, &s, t);
    if (err)
        return err;
    if (s)
        alps_roster_link_(o, s, alps_roster_tables_(h, s));
    if (anew)
        err = alps_repair_sync_(h, t);
    if (err)
        return err;
    alps_store_(&h->super->names, s ? alps_offset_(h, s) : 0);
    alps_report_mended_(r, h->super->names, "the list of names");
    for (uint64_t i = o->n; i < was; i++)
        alps_report_lost_(r, h->super->names, 0, "a name");
    return ALPS_OK;
}

/* Finds all names, and sees to their list where it has not all of them. */
ALPS_CORE_ int alps_roster_restore_(alps_handle *h, alps_repaired *r,
                                    const alps_tables *t)
{
    alps_report list;
    alps_roster o;
    memset(&o, 0, sizeof o);
    memset(&list, 0, sizeof list);
    o.h = h;
    alps_roster_walk_(h, r);
    (void)alps_visit_all_(h, alps_roster_visit_, &o);
    int err = o.err;
    if (!err)
        alps_roster_texts_(&o, r);
    if (!err)
        alps_check_names_(h, &list);
    if (!err && (list.problems || list.names != o.n))
        err = alps_roster_renew_(h, &o, list.names, r, t);
    if (o.off)
        munmap(o.off, o.room * sizeof *o.off);
    return err;
}

/* repair.h -- a damaged region is put right, by one who was asked to
 *
 * Where nobody has it open, in place: first the superblock, then what a crash
 * left half done, then codes, bits of slabs, names and pledges, each step
 * durable before the next. So a crash leaves a region that can be repaired
 * again. docs/repair.md has the rules. */

/* Whether anybody has the region open for writing. */
ALPS_CORE_ int alps_repair_busy_(alps_handle *h, const alps_tables *t)
{
    int others = t->backend->leased(&h->map, ALPS_LEASE_ANY);
    for (unsigned i = 0; others < 0 && i < h->at.slot_count; i++) {
        uint64_t owner = alps_slot_owner_(h, i);
        if (owner && alps_owner_lives_(h, owner, t))
            return 1;
    }
    return others > 0;
}

/* The superblock becomes what `h->spare` says, and so does the spare on the
 * medium: of both any words may be there, for as long as one of them is not
 * whole the other has not changed, or by one bit. 1: it was wrong. */
ALPS_FN_ int alps_repair_super_(alps_handle *h, alps_repaired *r)
{
    alps_superblock *s = (alps_superblock *)(void *)h->map.base, want;
    const uint64_t *from = (const uint64_t *)(const void *)h->spare;
    uint64_t *to = (uint64_t *)(void *)s;
    int wrong = memcmp(s, h->spare, ALPS_SUPER_FIXED_) != 0;
    for (unsigned i = 0; i < ALPS_SUPER_FIXED_ / 8; i++)
        if (to[i] != from[i])
            alps_store_(&to[i], from[i]);
    if (wrong)
        alps_report_mended_(r, 0, "the superblock");
    alps_super_spare_(h->spare, &want);
    h->super = s;
    if (memcmp(h->map.base + ALPS_SPARE, &want, ALPS_SUPER_FIXED_)) {
        const uint64_t *old = (const uint64_t *)alps_address_(h, ALPS_SPARE);
        int none = !old[0] && !old[2]; // a region that is older than spares
        if (!none)
            alps_report_mended_(r, ALPS_SPARE, "the spare of the superblock");
        if (!none || wrong)
            alps_super_copy_(h);
    }
    return wrong;
}

/* Bytes of the region that the medium has not. */
ALPS_FN_ void alps_repair_size_(const alps_handle *h, alps_repaired *r)
{
    uint64_t old = h->super->size >> 16, size = h->spare->size >> 16;
    if (h->super->size == h->spare->size)
        return;
    if (alps_sealed_(h->super->size) && old > size && old <= h->at.limit)
        alps_report_lost_(r, size, old - size, "the end of the region");
    else
        alps_report_mended_(r, offsetof(alps_superblock, size), "the size");
    alps_store_(&h->super->size, h->spare->size);
}

/* Words of the first page beside the superblock. */
ALPS_FN_ void alps_repair_words_(const alps_handle *h, alps_repaired *r)
{
    uint64_t *bare = (uint64_t *)alps_address_(h, ALPS_BARE);
    uint64_t *loose = (uint64_t *)alps_address_(h, ALPS_LOOSE);
    if (*bare > 1) {
        alps_store_(bare, 1); // whoever opens it reserves its blocks
        alps_report_mended_(r, ALPS_BARE, "neither a copy nor none");
    }
    if (*loose) {
        alps_store_(loose, 0);
        alps_report_lost_(r, ALPS_LOOSE, 0, "the newest bytes");
    }
    if (h->super->journal &&
        (h->map.journal ? h->map.journal->lost : h->super->journal != 0)) {
        alps_store_(&h->super->journal, 0);
        alps_report_lost_(r, ALPS_HOME_MARK_, 0, "what is in the journal");
    }
}

/* What an index of a later epoch could take for its own is cleared: extents
 * are of no shard, slabs of nobody. */
ALPS_FN_ void alps_repair_void_(const alps_handle *h)
{
    for (uint64_t extent = 0; extent < alps_extents_(h); extent++) {
        alps_off off = h->at.heap + (extent << h->at.extent_shift);
        if (!alps_extent_heap_(h, extent))
            continue;
        alps_store_(&alps_extent_(h, extent)->built, 0);
        for (uint64_t in = 0; in < h->at.extent; in += 1ull << h->at.slab_shift)
            if (alps_slab_is_(h, off + in)) {
                alps_slab *s = alps_slab_head_(h, off + in);
                alps_store_(&s->owner, 0);
                alps_store_(&s->process, 0);
            }
    }
}

/* The epoch is not known: it becomes the last of which there is a trace, when
 * what may be of a later one is durably cleared. */
ALPS_CORE_ int alps_repair_epoch_(alps_handle *h, alps_repaired *r,
                                  const alps_tables *t)
{
    alps_repair_void_(h);
    int err = alps_repair_sync_(h, t);
    if (err)
        return err;
    alps_store_(&h->super->epoch, alps_seal_(alps_salvage_epoch_(h)));
    alps_report_mended_(r, offsetof(alps_superblock, epoch), "the epoch");
    return ALPS_OK;
}

/* Words of lanes that cannot be, when an epoch has durably begun, of which
 * there is no record yet. */
ALPS_FN_ void alps_repair_done_(alps_handle *h, alps_repaired *r)
{
    int any = 0;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_done *done = &h->done[i];
        if (!((done->seq | done->tx) >> ALPS_RETIRED_MAX_))
            continue;
        alps_report_mended_(r, alps_offset_(h, done),
                            "a lane has retired more than it can");
        alps_store_(&done->seq, 0);
        alps_store_(&done->tx, 0);
        any = 1;
    }
    if (any)
        alps_shared_reset_(h, h->super->epoch >> 16);
}

/* Whether a lane has retired more than it can. */
ALPS_FN_ int alps_repair_ahead_(const alps_handle *h)
{
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if ((h->done[i].seq | h->done[i].tx) >> ALPS_RETIRED_MAX_)
            return 1;
    return 0;
}

/* Completes what a crash left, as an open does; nothing where there is
 * nothing. */
ALPS_CORE_ int alps_repair_recover_(alps_handle *h, alps_repaired *r,
                                    const alps_tables *t)
{
    int unsure = !alps_sealed_(h->super->epoch);
    if (!unsure && !alps_redo_pending_(h) && !alps_repair_ahead_(h))
        return ALPS_OK;
    int err = unsure ? alps_repair_epoch_(h, r, t) : ALPS_OK;
    if (!err)
        err = alps_epoch_begin_(h, t);
    if (!err)
        alps_repair_done_(h, r);
    return err;
}

/* Pledges of what is not live end; where the link can be nowhere the object
 * stays. */
ALPS_FN_ void alps_repair_pledges_(const alps_handle *h, alps_repaired *r)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_pledge *p = alps_pledge_at_(h, i);
        alps_off off = alps_load_(&p->block);
        if (p->tied > ALPS_TIE_CUT || (off && p->tied)) {
            alps_store_(&p->tied, 0);
            alps_report_lost_(r, alps_offset_(h, p), 0, "a tie");
        }
        if (!off)
            continue;
        if (alps_pledge_live_(h, off) && p->wide <= 1 && p->dest % 8 == 0)
            continue;
        if (alps_pledge_live_(h, off))
            alps_report_doubt_(r, off, "an object whose pledge is damaged");
        else
            alps_report_lost_(r, alps_offset_(h, p), 0, "a pledge");
        alps_store_(&p->block, 0);
    }
}

/* All but the superblock. */
ALPS_CORE_ int alps_repair_inside_(alps_handle *h, alps_repaired *r,
                                   const alps_tables *t)
{
    alps_repair_size_(h, r);
    int err = alps_repair_recover_(h, r, t);
    if (!err)
        alps_restore_codes_(h, r);
    if (!err && r->report.problems)
        err = alps_repair_sync_(h, t);
    if (!err)
        alps_restore_bits_(h, r);
    if (!err)
        err = alps_roster_restore_(h, r, t);
    if (err)
        return err;
    alps_repair_pledges_(h, r);
    if (r->report.problems)
        err = alps_repair_sync_(h, t);
    if (!err)
        alps_repair_words_(h, r); // last: until then open refuses it
    return err || !r->report.problems ? err : alps_repair_sync_(h, t);
}

/* What open would say of it. */
ALPS_FN_ int alps_repair_refused_(const alps_handle *h)
{
    alps_handle there = *h;
    there.super = (alps_superblock *)(void *)h->map.base;
    int err = alps_super_check_(&there);
    if (err)
        return err;
    if (h->map.journal ? h->map.journal->lost : there.super->journal != 0)
        return ALPS_EJOURNAL;
    if (alps_load_((const uint64_t *)alps_address_(h, ALPS_LOOSE)))
        return ALPS_ECORRUPT;
    return alps_size_(&there) > h->map.length ? ALPS_ETRUNCATED : ALPS_OK;
}

/* Repairs the region that `h` has open, and whose first page was examined.
 * `again`: a journal beside it is to be looked at first, which the superblock
 * did not lead to. */
ALPS_CORE_ int alps_repair_mapped_(alps_handle *h, uint64_t size, int *again,
                                   alps_repaired *r, const alps_tables *t)
{
    int first = !*again;
    int err = alps_region_again_(h, size, t);
    if (!err && alps_repair_busy_(h, t))
        err = ALPS_EBUSY;
    if (err)
        return err;
    if (first)
        r->refused = alps_repair_refused_(h);
    int wrong = alps_repair_super_(h, r);
    *again = first && wrong && h->super->journal;
    return *again ? ALPS_OK : alps_repair_inside_(h, r, t);
}

/* Opens the medium, in the guard, and repairs what is in it. */
ALPS_CORE_ int alps_repair_try_(const char *path, int *again, alps_repaired *r,
                                const alps_tables *t)
{
    alps_handle h;
    alps_options o;
    uint64_t size = 0;
    memset(&h, 0, sizeof h);
    memset(&o, 0, sizeof o);
    h.map.fd = -1;
    h.map.flags = o.flags = ALPS_SALVAGE;
    h.crc = alps_crc_kind_();
    o.faults = t->faults;
    int err = alps_environment_(&o);
    if (!err)
        err = t->backend->open(&h.map, path, &o);
    if (err)
        return err;
    err = alps_salvage_examine_(&h, &o, &size, t);
    if (!err)
        err = alps_repair_mapped_(&h, size, again, r, t);
    if (!err && t->backend->write && h.map.apart)
        err = t->backend->write(&h.map, 0, size);
    alps_local_close_(&h);
    int late = t->backend->close(&h.map);
    return err ? err : late;
}

/* See alps_repair. */
ALPS_CORE_ int alps_repair_(const char *path, alps_repaired *r,
                            const alps_tables *t)
{
    int again = 0;
    memset(r, 0, sizeof *r);
    int err = alps_repair_try_(path, &again, r, t);
    return err || !again ? err : alps_repair_try_(path, &again, r, t);
}

/* collect.h -- what nothing leads to is freed
 *
 * From what the library knows of (names, and what hangs between two regions)
 * and from the root area on, the program says what each object refers to; what
 * was not come to is freed. Marks are bits in memory of this process, one for
 * each 16 bytes of the region, so a death leaves nothing but what has been
 * freed. Nothing is freed before all that can be reached is marked. See
 * docs/repair.md. */

struct alps_collecting;

/* Called for each object that something refers to, and for the root area, once:
 * calls alps_refer for each address that it holds. Anything but 0 ends it, and
 * is the answer; nothing is freed then. */
typedef int alps_refers(void *context, struct alps_collecting *c, void *p,
                        size_t n);

/* What came of it. */
typedef struct alps_collected {
    uint64_t objects, bytes;   /* that were freed */
    uint64_t kept, kept_bytes; /* that something leads to */
    uint64_t strays;           /* addresses of nothing that is allocated */
} alps_collected;

/* An object that is to be asked what it refers to. */
typedef struct alps_reached {
    alps_off off;
    uint64_t n;
} alps_reached;

/* A collection under way: the program hands it on, and looks at nothing. */
typedef struct alps_collecting {
    alps_handle *h;
    uint64_t *mark; /* a bit for each 16 bytes; of an object the first */
    uint64_t mark_n;
    alps_reached *row; /* those to be asked */
    uint64_t n, room;
    alps_collected sum;
    int err;
} alps_collecting;

/* Memory of the process, zeroed, lent as it is touched. */
ALPS_FN_ void *alps_collect_memory_(uint64_t n)
{
    void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Marks what starts at `off`. 0: it is marked. */
ALPS_FN_ int alps_collect_mark_(const alps_collecting *c, alps_off off)
{
    uint64_t *word = &c->mark[off / 16 / 64];
    uint64_t bit = 1ull << off / 16 % 64;
    if (*word & bit)
        return 0;
    *word |= bit;
    return 1;
}

/* [off, off + n) is to be asked. */
ALPS_FN_ void alps_collect_push_(alps_collecting *c, alps_off off, uint64_t n)
{
    if (c->n == c->room) {
        uint64_t room = c->room ? 2 * c->room : 4096;
        alps_reached *row =
            (alps_reached *)alps_collect_memory_(room * sizeof *row);
        if (!row) {
            c->err = ALPS_ENOMEM;
            return;
        }
        if (c->row) {
            memcpy(row, c->row, c->n * sizeof *row);
            munmap(c->row, c->room * sizeof *row);
        }
        c->row = row;
        c->room = room;
    }
    c->row[c->n].off = off;
    c->row[c->n].n = n;
    c->n++;
}

/* Marks what `off` lies in, if anything; `at` tells it. 1 if it was not. */
ALPS_FN_ int alps_collect_reach_(alps_collecting *c, alps_off off,
                                 alps_around *at)
{
    int code = alps_around_(c->h, off, at);
    if (code != ALPS_USED && code != ALPS_HELD) {
        c->sum.strays++;
        return 0;
    }
    return alps_collect_mark_(c, at->off);
}

/* See alps_refer. */
ALPS_FN_ int alps_collect_refer_(alps_collecting *c, const void *p)
{
    alps_around at;
    uint64_t strays = c->sum.strays;
    if (!p)
        return ALPS_OK;
    if (alps_collect_reach_(c, alps_offset_(c->h, p), &at))
        alps_collect_push_(c, at.off, at.n);
    return c->sum.strays != strays ? ALPS_EINVAL : c->err;
}

/* Marks what belongs to the library alone: it refers to nothing. */
ALPS_FN_ void alps_collect_own_(alps_collecting *c, alps_off off)
{
    alps_around at;
    if (off)
        (void)alps_collect_reach_(c, off, &at);
}

/* Marks an entry and its descriptions; its object is to be asked. */
ALPS_FN_ void alps_collect_entry_(alps_collecting *c, const alps_entry *e)
{
    size_t n = 0;
    const alps_handle *h = c->h;
    void *p = alps_name_object_(e, &n);
    alps_off off = e->text;
    alps_collect_own_(c, alps_offset_(h, e));
    alps_collect_push_(c, alps_offset_(h, p), n);
    for (unsigned k = 0; off && k < 64; k++) {
        const alps_text *x = alps_named_text_(h, off);
        if (!alps_named_inside_(h, e, off))
            alps_collect_own_(c, off);
        off = x ? x->before : 0;
    }
}

/* Marks all that names are found by, and all names. ALPS_ECORRUPT where they
 * are damaged: then nothing may be taken for unreachable. */
ALPS_FN_ int alps_collect_names_(alps_collecting *c)
{
    alps_report r;
    const alps_handle *h = c->h;
    alps_names *s = alps_node_names_(h);
    memset(&r, 0, sizeof r);
    alps_check_names_(h, &r);
    if (r.problems)
        return ALPS_ECORRUPT;
    if (!s)
        return ALPS_OK;
    alps_collect_own_(c, alps_offset_(h, s));
    for (unsigned i = 0; i < ALPS_NAMES_TABLES; i++)
        alps_collect_own_(c, s->table[i]);
    for (alps_off off = s->first[0].next; off;) {
        const alps_node *n = alps_node_at_(h, off);
        if (alps_node_order_(n) & 1)
            alps_collect_entry_(c, (const alps_entry *)(const void *)n);
        off = n->next;
    }
    return c->err;
}

/* Marks what the library itself refers to. */
ALPS_FN_ int alps_collect_roots_(alps_collecting *c)
{
    for (unsigned i = 0; i < ALPS_PLEDGE_MAX; i++) {
        alps_off off = alps_load_(&alps_pledge_at_(c->h, i)->block);
        if (off)
            (void)alps_collect_refer_(c, alps_address_(c->h, off));
    }
    return alps_collect_names_(c);
}

/* Asks the root area, and then whatever is to be asked. */
ALPS_FN_ int alps_collect_ask_(alps_collecting *c, alps_refers *refers,
                               void *context)
{
    int stop = refers(context, c, c->h->map.base + ALPS_PAGE, ALPS_ROOT_SIZE);
    while (!stop && !c->err && c->n) {
        alps_reached at = c->row[--c->n];
        stop = refers(context, c, alps_address_(c->h, at.off), (size_t)at.n);
    }
    return stop ? stop : c->err;
}

/* The objects of group `g` of a slab that are marked. */
ALPS_FN_ uint64_t alps_collect_marked_(const alps_collecting *c, alps_off place,
                                       uint64_t size, unsigned g, uint64_t live)
{
    uint64_t marked = 0;
    for (uint64_t left = live; left; left &= left - 1) {
        unsigned i = alps_low_bit_(left);
        uint64_t at = (place + (64 * (uint64_t)g + i) * size) / 16;
        marked |= (c->mark[at / 64] >> at % 64 & 1) << i;
    }
    return marked;
}

/* Adds up. */
ALPS_FN_ void alps_collect_count_(alps_collecting *c, uint64_t live,
                                  uint64_t dead, uint64_t size)
{
    uint64_t all = (uint64_t)__builtin_popcountll(live);
    uint64_t n = (uint64_t)__builtin_popcountll(dead);
    c->sum.objects += n;
    c->sum.bytes += n * size;
    c->sum.kept += all - n;
    c->sum.kept_bytes += (all - n) * size;
}

/* Frees what is not marked in the slab at `place`, as one who does not own it:
 * a word for each 64 objects, and one fence for all. */
ALPS_CORE_ int alps_collect_slab_(alps_collecting *c, alps_off place,
                                  const alps_tables *t)
{
    alps_handle *h = c->h;
    alps_slab *head = alps_slab_head_(h, place);
    alps_slab s = *head;
    alps_object o;
    uint64_t any = 0;
    int err = ALPS_OK;
    if (!alps_slab_derive_(h, &s) || alps_object_at_(h, place, &o) != 1)
        return ALPS_OK;
    for (unsigned g = 0; !err && g < alps_slab_groups_(&s); g++) {
        alps_pair *pair = &alps_slab_pairs_(head)[g];
        uint64_t live = alps_pair_live_(pair) & alps_slab_whole_(&s, g);
        uint64_t dead = live & ~alps_collect_marked_(c, place, s.size, g, live);
        alps_collect_count_(c, live, dead, s.size);
        if (!dead)
            continue;
        any = 1;
        __atomic_fetch_xor(&pair->far, dead, __ATOMIC_SEQ_CST);
        err = t->policy->flush(&h->map, pair, sizeof *pair);
    }
    if (!err && any)
        err = t->fence(&h->map);
    if (any)
        alps_far_tell_(h, &o, place, t);
    return err;
}

/* Frees the blocks of a zone that are not marked. */
ALPS_CORE_ int alps_collect_zone_(alps_collecting *c, const alps_zone *z,
                                  const alps_tables *t)
{
    uint64_t unit = alps_code_next_(z->codes, z->first, z->end);
    int err = ALPS_OK;
    while (!err && unit < z->end) {
        uint64_t next = alps_code_next_(z->codes, unit + 1, z->end);
        alps_off off = alps_zone_off_(z, unit);
        if (alps_code_(z->codes, unit) == ALPS_USED &&
            (z->shift == ALPS_GRANULE_SHIFT ||
             !alps_extent_heap_(c->h, unit))) {
            int dead = !(c->mark[off / 16 / 64] >> off / 16 % 64 & 1);
            alps_collect_count_(c, 1, (uint64_t)dead,
                                (next - unit) << z->shift);
            if (dead)
                err = t->far(c->h, off);
        }
        unit = next;
    }
    return err;
}

/* Frees what is not marked in one heap extent. */
ALPS_CORE_ int alps_collect_extent_(alps_collecting *c, uint64_t extent,
                                    const alps_tables *t)
{
    alps_off off = c->h->at.heap + (extent << c->h->at.extent_shift);
    alps_off end = off + c->h->at.extent;
    int err = ALPS_OK;
    for (; !err && off < end; off += 1ull << c->h->at.slab_shift)
        if (alps_slab_is_(c->h, off))
            err = alps_collect_slab_(c, off, t);
    alps_zone z = alps_zone_extent_(c->h, extent);
    return err ? err : alps_collect_zone_(c, &z, t);
}

/* Frees all that is not marked. */
ALPS_CORE_ int alps_collect_sweep_(alps_collecting *c, const alps_tables *t)
{
    alps_zone top = alps_zone_top_(c->h);
    int err = ALPS_OK;
    for (uint64_t extent = 0; !err && extent < top.end; extent++)
        if (alps_extent_heap_(c->h, extent))
            err = alps_collect_extent_(c, extent, t);
    return err ? err : alps_collect_zone_(c, &top, t);
}

/* Whether this thread has a transaction open. */
ALPS_FN_ int alps_collect_busy_(const alps_handle *h)
{
    for (unsigned i = 0; i < h->at.lane_count; i++)
        if (alps_draft_is_(&h->drafts[i], ALPS_THREAD_()))
            return 1;
    return 0;
}

/* See alps_collect. */
ALPS_CORE_ int alps_collect_(alps_handle *h, alps_refers *refers, void *context,
                             alps_collected *sum, const alps_tables *t)
{
    alps_collecting c;
    memset(&c, 0, sizeof c);
    memset(sum, 0, sizeof *sum);
    int err = alps_ready_(h, t);
    if (!err && alps_collect_busy_(h))
        err = ALPS_EBUSY;
    if (err)
        return err;
    c.h = h;
    c.mark_n = alps_round_up_(alps_size_(h) / 128 + 8, 8);
    c.mark = (uint64_t *)alps_collect_memory_(c.mark_n);
    if (!c.mark)
        return ALPS_ENOMEM;
    err = alps_collect_roots_(&c);
    if (!err)
        err = alps_collect_ask_(&c, refers, context);
    if (!err)
        err = alps_collect_sweep_(&c, t);
    munmap(c.mark, c.mark_n);
    if (c.row)
        munmap(c.row, c.room * sizeof *c.row);
    *sum = c.sum;
    return err;
}

/* cxx.h -- what C++ adds: fancy pointers, an allocator, objects by name
 *
 * In C++11 and later only. Nothing here depends on an instance: what does is
 * reached through the table of a region, or through its door, so that a unit
 * with several instances has each class once. See docs/cxx.md. */

#ifdef __cplusplus
#  include <cstddef>
#  include <exception>
#  include <iterator>
#  include <new>
#  include <type_traits>
#  include <utility>
#  if defined(__GXX_RTTI) || defined(__cpp_rtti)
#    define ALPS_RTTI_
#    include <typeinfo>
#  endif
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#    define ALPS_THROW_(what) throw what
#  else
#    define ALPS_THROW_(what) __builtin_trap()
#  endif

extern "C++" {
namespace alps
{

/* ---- pointers */

/* A pointer that is the distance from itself, in the bytes of ALPS_REL(T): it
 * stays right when what it is in and what it names are mapped elsewhere
 * together. A fancy pointer of the standard (NullablePointer, random access
 * iterator, std::pointer_traits); null when zeroed; copied by its constructor
 * and not by memcpy. */
template <class T>
class ptr
{
    int64_t rel_;

    struct none_; /* stands for what void has no reference to */
    typedef typename std::conditional<std::is_void<T>::value, none_, T>::type
        object_;

    /* Whether static_cast leads from U* to T*. */
    template <class U, class = decltype(static_cast<T *>((U *)0))>
    static std::true_type casts_(int);
    template <class U>
    static std::false_type casts_(...);

    template <class U>
    struct implicit_ : std::is_convertible<U *, T *> {
    };
    template <class U>
    struct explicit_
        : std::integral_constant<bool, !implicit_<U>::value &&
                                           decltype(casts_<U>(0))::value> {
    };

  public:
    typedef T element_type;
    typedef std::ptrdiff_t difference_type;
    typedef typename std::remove_cv<T>::type value_type;
    typedef ptr pointer;
    typedef object_ &reference;
    typedef std::random_access_iterator_tag iterator_category;
#  if __cplusplus >= 202002L
    typedef std::contiguous_iterator_tag iterator_concept;
#  endif

    ptr() noexcept : rel_(0)
    {
    }
    template <class N,
              typename std::enable_if<std::is_same<N, std::nullptr_t>::value,
                                      int>::type = 0>
    ptr(N) noexcept : rel_(0) // a 0 is of T *, so that it means one thing
    {
    }
    ptr(T *p) noexcept
    {
        alps_rel_set_(&rel_, p);
    }
    ptr(const ptr &other) noexcept
    {
        alps_rel_set_(&rel_, other.get());
    }
    template <class U,
              typename std::enable_if<implicit_<U>::value, int>::type = 0>
    ptr(const ptr<U> &other) noexcept
    {
        alps_rel_set_(&rel_, static_cast<T *>(other.get()));
    }
    template <class U,
              typename std::enable_if<explicit_<U>::value, int>::type = 0>
    explicit ptr(const ptr<U> &other) noexcept
    {
        alps_rel_set_(&rel_, static_cast<T *>(other.get()));
    }
    ptr &operator=(const ptr &other) noexcept
    {
        alps_rel_set_(&rel_, other.get());
        return *this;
    }

    /* The address, which is right as long as the region is open. */
    T *get() const noexcept
    {
        return static_cast<T *>(alps_rel_get_(&rel_));
    }
    explicit operator bool() const noexcept
    {
        return rel_ != 0;
    }
    T *operator->() const noexcept
    {
        return get();
    }
    reference operator*() const noexcept
    {
        return *get();
    }
    reference operator[](difference_type n) const noexcept
    {
        return get()[n];
    }
    static ptr pointer_to(object_ &object) noexcept
    {
        return ptr(__builtin_addressof(object));
    }

    ptr &operator+=(difference_type n) noexcept
    {
        alps_rel_set_(&rel_, get() + n);
        return *this;
    }
    ptr &operator-=(difference_type n) noexcept
    {
        alps_rel_set_(&rel_, get() - n);
        return *this;
    }
    ptr &operator++() noexcept
    {
        return *this += 1;
    }
    ptr &operator--() noexcept
    {
        return *this -= 1;
    }
    ptr operator++(int) noexcept
    {
        T *old = get();
        *this += 1;
        return ptr(old);
    }
    ptr operator--(int) noexcept
    {
        T *old = get();
        *this -= 1;
        return ptr(old);
    }
    ptr operator+(difference_type n) const noexcept
    {
        return ptr(get() + n);
    }
    ptr operator-(difference_type n) const noexcept
    {
        return ptr(get() - n);
    }
    friend ptr operator+(difference_type n, const ptr &p) noexcept
    {
        return ptr(p.get() + n);
    }
    friend difference_type operator-(const ptr &a, const ptr &b) noexcept
    {
        return a.get() - b.get();
    }

    friend bool operator==(const ptr &a, const ptr &b) noexcept
    {
        return a.get() == b.get();
    }
    friend bool operator!=(const ptr &a, const ptr &b) noexcept
    {
        return a.get() != b.get();
    }
    friend bool operator<(const ptr &a, const ptr &b) noexcept
    {
        return a.get() < b.get();
    }
    friend bool operator>(const ptr &a, const ptr &b) noexcept
    {
        return b < a;
    }
    friend bool operator<=(const ptr &a, const ptr &b) noexcept
    {
        return !(b < a);
    }
    friend bool operator>=(const ptr &a, const ptr &b) noexcept
    {
        return !(a < b);
    }
    friend void swap(ptr &a, ptr &b) noexcept
    {
        T *p = a.get();
        a = b;
        b = ptr(p);
    }
};

/* ---- the allocator */

/* What lies in front of the region's first byte, in memory of the process: how
 * one who has but an address in the region comes to this process's handle. */
struct door_ {
    alps_handle *handle;
    void *(*alloc)(alps_handle *h, size_t align, size_t n);
    int (*free)(alps_handle *h, void *p);
};

/* Opens the door: what is in it may be written, and is. */
ALPS_COLD_ int door_open_(alps_handle *h,
                          void *(*alloc)(alps_handle *, size_t, size_t),
                          int (*free)(alps_handle *, void *))
{
    uint64_t page = alps_system_page_();
    if (!h->map.base)
        return ALPS_EINVAL;
    if (!h->map.door)
        return ALPS_EUNSUPPORTED;
    if (mprotect(h->map.base - page, (size_t)page, PROT_READ | PROT_WRITE))
        return alps_oserror_();
    door_ *d = reinterpret_cast<door_ *>(h->map.base) - 1;
    __atomic_store_n(&d->alloc, alloc, __ATOMIC_RELAXED);
    __atomic_store_n(&d->free, free, __ATOMIC_RELAXED);
    __atomic_store_n(&d->handle, h, __ATOMIC_RELEASE);
    return ALPS_OK;
}

class region;

/* Allocates in one region, for containers: it is 8 bytes, and may lie in the
 * region itself as part of a container, whatever process has it open at
 * whatever address. Two are equal if they are of the same region as this
 * process has it mapped. */
template <class T>
class allocator
{
    ptr<unsigned char> base_;
    template <class U>
    friend class allocator;
    friend class region;

    explicit allocator(unsigned char *base) noexcept : base_(base)
    {
    }
    door_ *door() const noexcept
    {
        return reinterpret_cast<door_ *>(base_.get()) - 1;
    }

  public:
    typedef T value_type;
    typedef ptr<T> pointer;
    typedef ptr<const T> const_pointer;
    typedef ptr<void> void_pointer;
    typedef ptr<const void> const_void_pointer;
    typedef std::size_t size_type;
    typedef std::ptrdiff_t difference_type;
    typedef std::false_type is_always_equal;
    template <class U>
    struct rebind {
        typedef allocator<U> other;
    };

    /* Of the region that is open as `h`, an alps_heap of any instance. Of a
     * backend of the program's own that holds no page in front of the region
     * (docs/writing-a-backend.md), it is one that has nothing to give. */
    template <class H, class = decltype(&((H *)0)->core.map)>
    allocator(H *h) noexcept
    {
        if (alps_introduce_(h) == ALPS_OK)
            base_ = h->core.map.base;
    }
    template <class U>
    allocator(const allocator<U> &other) noexcept : base_(other.base_)
    {
    }
    allocator(const allocator &other) noexcept : base_(other.base_)
    {
    }
    allocator &operator=(const allocator &other) noexcept
    {
        base_ = other.base_;
        return *this;
    }

    size_type max_size() const noexcept
    {
        return static_cast<size_type>(PTRDIFF_MAX) / sizeof(T);
    }

    /* As alps_alloc_aligned; std::bad_alloc where there is nothing to be had,
     * and alps_error has the code. Without exceptions: a trap. */
    pointer allocate(size_type n)
    {
        void *p = NULL;
        if (base_ && n <= max_size())
            p = door()->alloc(door()->handle, alignof(T), n * sizeof(T));
        if (!p)
            ALPS_THROW_(std::bad_alloc());
        return pointer(static_cast<T *>(p));
    }
    void deallocate(const pointer &p, size_type) noexcept
    {
        int err = door()->free(door()->handle, p.get());
        ALPS_ASSERT(!err);
        (void)err;
    }

    /* Whether both are of one region. */
    template <class U>
    bool shares(const allocator<U> &other) const noexcept
    {
        return base_ == other.base_;
    }
};

template <class T, class U>
bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.shares(b);
}
template <class T, class U>
bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return !a.shares(b);
}

} // namespace alps
}
#endif

/* made.h -- objects of C++ by their names, and the handle that closes itself
 *
 * As alps_construct and its like, with constructors and destructors. A region
 * is a class of no instance; each instance derives its own, which brings the
 * table of its functions. See docs/cxx.md. */

#ifdef __cplusplus
extern "C++" {
namespace alps
{

/* The number that is stored with an object to tell its type: of the name that
 * the compiler has for it, which is the same with gcc and clang, and another
 * for another standard library's class. ALPS_TAG(struct point), outside of all
 * namespaces, makes it that of ALPS_NAMING(struct point, ...) in C. */
template <class T>
struct tag {
#  ifdef ALPS_RTTI_
    static uint64_t of() noexcept
    {
        return alps_hash_tag_(typeid(T).name());
    }
#  else
    static uint64_t of() noexcept
    {
        static_assert(!sizeof(T *),
                      "alps.h: without RTTI a type needs ALPS_TAG(type)");
        return 0;
    }
#  endif
};
#  define ALPS_TAG(T)               \
    namespace alps                  \
    {                               \
    template <>                     \
    struct tag<T> {                 \
      static uint64_t of() noexcept \
      {                             \
        return alps_hash_tag_(#T);  \
      }                             \
    };                              \
    }

/* In place of a name: the only object of its type. */
enum unique_name { unique };

/* What an object is called: a C string, any bytes, or a class that has data()
 * and size(), which is to outlive this. */
class name
{
    const void *bytes_;
    std::size_t length_;

  public:
    name(const char *text) noexcept : bytes_(text), length_(strlen(text))
    {
    }
    name(const void *bytes, std::size_t n) noexcept : bytes_(bytes), length_(n)
    {
    }
    name(unique_name) noexcept : bytes_(NULL), length_(0)
    {
    }
    template <class S, class = decltype(std::declval<const S &>().data()),
              class = decltype(std::declval<const S &>().size())>
    name(const S &s) noexcept : bytes_(s.data()), length_(s.size())
    {
    }

    template <class T>
    alps_naming as(std::size_t count) const noexcept
    {
        alps_naming n = alps_name_typed_(NULL, tag<T>::of(), sizeof(T), count);
        n.name = bytes_;
        n.length = length_;
        return n;
    }
};

/* The functions of an instance, for those who do not know which it is. */
struct table_ {
    int (*open)(alps_handle *h, const char *path, const alps_options *o);
    int (*close)(alps_handle *h);
    int (*discard)(alps_handle *h);
    int (*sync)(alps_handle *h);
    int (*enter)(alps_handle *h);
    int (*leave)(alps_handle *h);
    void *(*construct)(alps_handle *h, const alps_naming *as, int old,
                       const alps_maker *m);
    void *(*find)(alps_handle *h, const alps_naming *as, size_t *n);
    int (*destroy)(alps_handle *h, const alps_naming *as, alps_off *entry);
    int (*introduce)(alps_handle *h);
};

template <class T>
void end_all_(T *element, std::size_t n) noexcept
{
    while (n--)
        element[n].~T();
}

/* Begins the elements of an object, one after the other; if one throws, ends
 * those that were begun. */
template <class T, class F>
class making_
{
    F &begin_;
    std::exception_ptr thrown_;

    static int make_(void *context, void *p, std::size_t n)
    {
        making_ *m = static_cast<making_ *>(context);
        T *element = static_cast<T *>(p);
        std::size_t i = 0;
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
        try {
            for (; i < n / sizeof(T); i++)
                m->begin_(element + i);
            return ALPS_OK;
        } catch (...) {
            m->thrown_ = std::current_exception();
        }
        end_all_(element, i);
        return ALPS_EINVAL;
#  else
        for (; i < n / sizeof(T); i++)
            m->begin_(element + i);
        return ALPS_OK;
#  endif
    }
    static void unmake_(void *, void *p, std::size_t n)
    {
        end_all_(static_cast<T *>(p), n / sizeof(T));
    }

  public:
    explicit making_(F &begin) : begin_(begin)
    {
    }
    T *construct(const table_ *t, alps_handle *h, const alps_naming &as,
                 int old)
    {
        alps_maker m = {make_, unmake_, this};
        void *p = t->construct(h, &as, old, &m);
#  if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
        if (thrown_)
            std::rethrow_exception(thrown_);
#  endif
        return static_cast<T *>(p);
    }
};

/* An object that is to be made, or several. */
template <class T>
class construction_
{
    const table_ *table_of_;
    alps_handle *handle_;
    name name_;
    int old_;

  public:
    construction_(const table_ *t, alps_handle *h, const name &n, int old)
        : table_of_(t), handle_(h), name_(n), old_(old)
    {
        static_assert(
            alignof(T) <= 16 || (alignof(T) <= 64 && sizeof(T) >= 1024),
            "alps.h: a named object is aligned to 16 bytes, and to 64 from "
            "1 KiB on");
    }
    template <class F>
    T *with(F begin, std::size_t count) const
    {
        making_<T, F> m(begin);
        return m.construct(table_of_, handle_, name_.as<T>(count), old_);
    }
};

/* What `construct<T>(name)[n]` answers: call it with what each constructor is
 * to have. */
template <class T>
class constructions
{
    construction_<T> one_;
    std::size_t count_;

  public:
    constructions(const construction_<T> &one, std::size_t count)
        : one_(one), count_(count)
    {
    }
    template <class... Args>
    T *operator()(const Args &...args) const
    {
        return one_.with(
            [&](T *p) { ::new (static_cast<void *>(p)) T(args...); }, count_);
    }
};

/* What `construct<T>(name)` answers: call it with what the constructor is to
 * have. */
template <class T>
class construction
{
    construction_<T> one_;

  public:
    explicit construction(const construction_<T> &one) : one_(one)
    {
    }
    constructions<T> operator[](std::size_t count) const
    {
        return constructions<T>(one_, count);
    }
    template <class... Args>
    T *operator()(Args &&...args) const
    {
        return one_.with(
            [&](T *p) {
                ::new (static_cast<void *>(p)) T(std::forward<Args>(args)...);
            },
            1);
    }
};

/* A region that is closed when this goes. Each instance has one that can be
 * made: alps_region, ledger_region. Like the handle that it holds it stays
 * where it is. */
class region
{
    const table_ *table_of_;
    alps_handle *handle_;

  protected:
    region(const table_ *t, alps_handle *h) : table_of_(t), handle_(h)
    {
        memset(h, 0, sizeof *h);
    }
    /* Closes it as `close` does; where that fails under policy checkpoint, as
     * `discard`. Who wants to know calls `close` before. */
    ~region()
    {
        if (*this && close())
            (void)discard();
    }

  public:
    region(const region &) = delete;
    region &operator=(const region &) = delete;

    /* As alps_open. ALPS_EBUSY: it is open already. ALPS_EUNSUPPORTED: a
     * backend of the program's own that holds no page in front of the
     * region. */
    int open(const char *path, const alps_options *o = NULL)
    {
        if (*this)
            return ALPS_EBUSY;
        int err = table_of_->open(handle_, path, o);
        if (err)
            return err;
        err = table_of_->introduce(handle_);
        if (err)
            (void)table_of_->discard(handle_);
        return err;
    }
    int close()
    {
        return table_of_->close(handle_);
    }
    int discard()
    {
        return table_of_->discard(handle_);
    }
    int sync()
    {
        return table_of_->sync(handle_);
    }
    explicit operator bool() const noexcept
    {
        return handle_->map.base != NULL;
    }
    /* For containers of T in this region. */
    template <class T>
    allocator<T> get_allocator() const noexcept
    {
        return allocator<T>(handle_->map.base);
    }
    /* The code of what last answered NULL, as alps_error. */
    int error() const noexcept
    {
        return __atomic_load_n(&handle_->error, __ATOMIC_RELAXED);
    }

    /* Makes an object, or several: `construct<T>("name")(1, 2)`,
     * `construct<T>("name")[10](1, 2)`. They are found when their constructors
     * have run, or not at all, whatever crashes; what a constructor allocated
     * besides is lost then. If a constructor throws, there is no object, and
     * this throws the same. NULL and a code in `error`, as
     * alps_construct_with. */
    template <class T>
    construction<T> construct(const name &n)
    {
        return construction<T>(construction_<T>(table_of_, handle_, n, 0));
    }

    /* The same; but what is there already does as well. Of several who call it
     * at once each may run the constructor: one object gets the name, the
     * others are destroyed again. */
    template <class T>
    construction<T> find_or_construct(const name &n)
    {
        return construction<T>(construction_<T>(table_of_, handle_, n, 1));
    }

    /* Finds the object, and how many elements it has. NULL and a code in
     * `error`: ALPS_ENOENT, ALPS_ETYPE, as alps_find_as. */
    template <class T>
    T *find(const name &n, std::size_t *count = NULL)
    {
        std::size_t bytes = 0;
        alps_naming as = n.as<T>(0);
        void *p = table_of_->find(handle_, &as, &bytes);
        if (count)
            *count = bytes / sizeof(T);
        return static_cast<T *>(p);
    }

    /* Takes the name away and frees the memory in one step, and runs the
     * destructors between: a crash may lose what they would have freed, and
     * never leaves a destroyed object under its name. As alps_destroy_as;
     * ALPS_EBUSY as alps_enter. */
    template <class T>
    int destroy(const name &n)
    {
        alps_naming as = n.as<T>(0);
        alps_off off = ALPS_NULL;
        int err = table_of_->enter(handle_);
        if (err)
            return err;
        err = table_of_->destroy(handle_, &as, &off);
        if (!err) {
            std::size_t bytes;
            void *p = alps_name_object_(
                static_cast<const alps_entry *>(alps_address_(handle_, off)),
                &bytes);
            end_all_(static_cast<T *>(p), bytes / sizeof(T));
        }
        int late = table_of_->leave(handle_);
        return err ? err : late;
    }
};

} // namespace alps
}
#endif

#endif

#ifndef ALPS_CORE_ONLY

/* select.h -- which backend and which policy this instance has
 *
 * Read anew at each include of alps.h. What the program left open is filled
 * in, what cannot work is refused by name, and the two tables are chosen: as
 * constant addresses, so that the compiler sees through every call. */
#ifndef ALPS_NAME
#  define ALPS_NAME alps
#endif
#ifndef ALPS_BACKEND
#  define ALPS_BACKEND ALPS_FILE
#endif

/* The backend, and the policy that is natural for it. */
#if ALPS_BACKEND == ALPS_ANON
#  define ALPS_BACKEND_TABLE_ &alps_backend_anon_
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_SHMEM
#  define ALPS_BACKEND_TABLE_ &alps_backend_shmem_
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_FILE
#  define ALPS_BACKEND_TABLE_ &alps_backend_file_
#  define ALPS_NATURAL_POLICY_ ALPS_CHECKPOINT
#elif ALPS_BACKEND == ALPS_PMEM
#  define ALPS_BACKEND_TABLE_ &alps_backend_pmem_
#  define ALPS_NATURAL_POLICY_ ALPS_FLUSH
#elif ALPS_BACKEND == ALPS_USER && defined(ALPS_USER_BACKEND)
#  define ALPS_BACKEND_TABLE_ &(ALPS_USER_BACKEND)
#  define ALPS_NATURAL_POLICY_ ALPS_NONE
#elif ALPS_BACKEND == ALPS_USER
#  error \
      "alps.h: backend ALPS_USER needs ALPS_USER_BACKEND, the name of your table"
#  define ALPS_REFUSED_
#elif ALPS_BACKEND == ALPS_PAGED
#  define ALPS_BACKEND_TABLE_ &alps_backend_paged_
#  define ALPS_NATURAL_POLICY_ ALPS_CHECKPOINT
#elif ALPS_BACKEND == ALPS_DSM
#  error \
      "alps.h: backend ALPS_DSM is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER are"
#  define ALPS_REFUSED_
#else
#  error \
      "alps.h: ALPS_BACKEND is none of ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER"
#  define ALPS_REFUSED_
#endif

#if !defined(ALPS_POLICY) && !defined(ALPS_REFUSED_)
#  define ALPS_POLICY ALPS_NATURAL_POLICY_
#endif

/* The policy. After a refusal nothing more is looked at: one mistake, one
 * message. */
#ifdef ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_NONE
#  define ALPS_POLICY_TABLE_ &alps_policy_none_
#elif ALPS_POLICY == ALPS_FLUSH
#  define ALPS_POLICY_TABLE_ &alps_policy_flush_
#elif ALPS_POLICY == ALPS_FENCE
#  define ALPS_POLICY_TABLE_ &alps_policy_fence_
#elif ALPS_POLICY == ALPS_MSYNC
#  define ALPS_POLICY_TABLE_ &alps_policy_msync_
#elif ALPS_POLICY == ALPS_USER && defined(ALPS_USER_POLICY)
#  define ALPS_POLICY_TABLE_ &(ALPS_USER_POLICY)
#elif ALPS_POLICY == ALPS_USER
#  error \
      "alps.h: policy ALPS_USER needs ALPS_USER_POLICY, the name of your table"
#  define ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_CHECKPOINT
#  define ALPS_POLICY_TABLE_ &alps_policy_checkpoint_
#else
#  error \
      "alps.h: ALPS_POLICY is none of ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC, ALPS_CHECKPOINT and ALPS_USER"
#  define ALPS_REFUSED_
#endif

/* The pair. A policy of the program's own goes with every backend, a backend
 * of its own with every policy. */
#ifdef ALPS_REFUSED_
#elif ALPS_POLICY == ALPS_USER || ALPS_BACKEND == ALPS_USER
#elif ALPS_BACKEND == ALPS_ANON
#  if ALPS_POLICY != ALPS_NONE
#    error "alps.h: backend ALPS_ANON goes with policy ALPS_NONE"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_SHMEM
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_FLUSH
#    error "alps.h: backend ALPS_SHMEM goes with policy ALPS_NONE or ALPS_FLUSH"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_FILE
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_MSYNC && \
      ALPS_POLICY != ALPS_CHECKPOINT
#    error \
        "alps.h: backend ALPS_FILE goes with policy ALPS_NONE, ALPS_MSYNC or ALPS_CHECKPOINT"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_PMEM
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_FLUSH && \
      ALPS_POLICY != ALPS_FENCE && ALPS_POLICY != ALPS_MSYNC
#    error \
        "alps.h: backend ALPS_PMEM goes with policy ALPS_NONE, ALPS_FLUSH, ALPS_FENCE or ALPS_MSYNC"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_PAGED
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_MSYNC && \
      ALPS_POLICY != ALPS_CHECKPOINT
#    error \
        "alps.h: backend ALPS_PAGED goes with policy ALPS_NONE, ALPS_MSYNC or ALPS_CHECKPOINT"
#    define ALPS_REFUSED_
#  endif
#endif

/* A table that nobody will ask is a choice that was not made. */
#ifdef ALPS_REFUSED_
#elif defined(ALPS_USER_BACKEND) && ALPS_BACKEND != ALPS_USER
#  error "alps.h: ALPS_USER_BACKEND goes with backend ALPS_USER"
#  define ALPS_REFUSED_
#elif defined(ALPS_USER_POLICY) && ALPS_POLICY != ALPS_USER
#  error "alps.h: ALPS_USER_POLICY goes with policy ALPS_USER"
#  define ALPS_REFUSED_
#endif

/* The program's handler for faults, which one of its units defines. */
#ifdef ALPS_FAULTS
extern alps_faults ALPS_FAULTS;
#  define ALPS_FAULTS_ &ALPS_FAULTS
#else
#  define ALPS_FAULTS_ NULL
#endif

/* Any table does where the compiler goes on after the refusal: it should find
 * nothing else to complain about. */
#ifdef ALPS_REFUSED_
#  undef ALPS_BACKEND_TABLE_
#  undef ALPS_POLICY_TABLE_
#  define ALPS_BACKEND_TABLE_ &alps_backend_anon_
#  define ALPS_POLICY_TABLE_ &alps_policy_none_
#endif

/* instance.h -- the public functions, under the name of this instance
 *
 * Each hands the tables of its instance, a constant, to a function of the core,
 * which the compiler makes for them: what is left is direct calls and the
 * policy's own instructions. Unless said otherwise every function may be called
 * from any thread of any attached process at once, and answers 0 or a negative
 * code for alps_strerror. A thread needs no word at its start, and at its end
 * gives back what it has at hand by itself. In the child of a fork what would
 * change the region answers ALPS_EFORK; a region in memory of the process is a
 * copy there, and goes on. Not for signal handlers. */
#define ALPS_PASTE_(a, b) a##_##b
#define ALPS_PASTE2_(a, b) ALPS_PASTE_(a, b)
#define ALPS_(word) ALPS_PASTE2_(ALPS_NAME, word)

/* A region that this process has open, for all its threads. Zeroed, it is
 * closed. Open, it stays where it is: caches of threads point to it. */
typedef struct ALPS_(heap) {
    alps_handle core;
} ALPS_(heap);

typedef alps_options ALPS_(options);
typedef alps_off ALPS_(off);
typedef alps_statistics ALPS_(statistics);
typedef alps_report ALPS_(report);
typedef alps_description ALPS_(description);
typedef alps_visit ALPS_(visit);

ALPS_COLD_ int ALPS_(slow_)(alps_handle *h, int what, uint64_t a, uint64_t b);
ALPS_FENCE_ int ALPS_(fence_)(alps_map *m);
ALPS_COLD_ void ALPS_(ended_)(void *cache);
ALPS_ONCE_ void *ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n,
                               int how);
ALPS_ONCE_ int ALPS_(far_)(alps_handle *h, uint64_t off);

static const alps_tables ALPS_(tables_) __attribute__((unused)) = {
    ALPS_BACKEND_TABLE_, ALPS_POLICY_TABLE_, ALPS_(slow_), ALPS_(fence_),
    ALPS_(ended_),       ALPS_(other_),      ALPS_(far_),  ALPS_FAULTS_,
};

/* What seldom happens: a lock that is held by another, perhaps dead; an index
 * or a cache that has run out; no lane free; an object of another thread. */
ALPS_COLD_ int ALPS_(slow_)(alps_handle *h, int what, uint64_t a, uint64_t b)
{
    return alps_slow_path_(h, what, a, b, &ALPS_(tables_));
}

/* Allocates what this thread does not have at hand. */
ALPS_ONCE_ void *ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n,
                               int how)
{
    return alps_small_other_(h, align, n, how, &ALPS_(tables_));
}

/* Frees what is not of a slab of this thread. */
ALPS_ONCE_ int ALPS_(far_)(alps_handle *h, uint64_t off)
{
    return alps_small_slow_(h, off, &ALPS_(tables_));
}

/* What was written back so far is durable. */
ALPS_FENCE_ int ALPS_(fence_)(alps_map *m)
{
    return ALPS_(tables_).policy->fence(m, ALPS_(tables_).backend);
}

/* What the C library calls when a thread ends that has a cache. */
ALPS_COLD_ void ALPS_(ended_)(void *cache)
{
    alps_thread_leave_((alps_cache *)cache, &ALPS_(tables_));
}

/* Opens the region at `path`, or makes it; `o` may be NULL (open or create,
 * 64 MiB). `path` is a file (file, pmem), a device (pmem), a name (shmem; NULL:
 * one without a name), or nothing (anon). After a crash this redoes at most one
 * operation a lane; the heap is rebuilt as it is used. On failure `h` is
 * closed, and an existing medium is as it was: ALPS_ENOENT, ALPS_EEXIST,
 * ALPS_EACCES, ALPS_EFORMAT (foreign), ALPS_EVERSION, ALPS_ECORRUPT,
 * ALPS_EUNFINISHED, ALPS_ETRUNCATED, ALPS_ELAYOUT, ALPS_EBUSY (open with
 * another policy, or ALPS_TRUNCATE while open), ALPS_ENOSPC, ALPS_ENOTPMEM,
 * ALPS_EPROCESSES, ALPS_ERECOVER, ALPS_EJOURNAL, ALPS_EPART (docs/parts.md).
 * One thread per handle at a time. */
static inline __attribute__((unused)) int
ALPS_(open)(ALPS_(heap) * h, const char *path, const alps_options *o)
{
    return alps_region_open_(&h->core, path, o, &ALPS_(tables_));
}

/* Closes the region for this process and gives its reservations back. What
 * alloc, free, publish and release did is durable already; so is, under msync,
 * what the program stored. Under checkpoint everything is committed first;
 * where that fails the code says why and the region stays open: alps_sync or
 * this once more, or alps_discard. No other thread may use the handle
 * meanwhile, and none that has used it may end. The child of a fork closes its
 * parent's handle without harm to the parent. */
static inline __attribute__((unused)) int ALPS_(close)(ALPS_(heap) * h)
{
    int err = ALPS_OK;
    if (alps_self_(&h->core) && h->core.map.persist == ALPS_PERSIST_MSYNC)
        err = alps_sync_(&h->core, ALPS_COMMIT_ALL, &ALPS_(tables_));
    int last = alps_region_close_(&h->core, 0, &ALPS_(tables_));
    return err ? err : last;
}

/* Closes the region and, under checkpoint, drops what was stored since the last
 * sync. Under other policies it is alps_close without its sync. */
static inline __attribute__((unused)) int ALPS_(discard)(ALPS_(heap) * h)
{
    return alps_region_close_(&h->core, 1, &ALPS_(tables_));
}

/* Makes the region `size` bytes long, in place; every attached process sees
 * it. A smaller size changes nothing. ALPS_ELIMIT, ALPS_ENOSPC. */
static inline __attribute__((unused)) int ALPS_(grow)(ALPS_(heap) * h,
                                                      uint64_t size)
{
    return alps_growth_to_(&h->core, size, &ALPS_(tables_));
}

/* Makes what lies idle memory for any use: the empty slabs of this thread and
 * those that nobody owns, for a fence each; what was retired and no reader can
 * have; and heap extents without a block. Then gives free extents back to the
 * file system; it happens by itself when they are much, and all but that before
 * the region grows or is ALPS_EFULL. O(slabs). */
static inline __attribute__((unused)) int ALPS_(trim)(ALPS_(heap) * h)
{
    return alps_trim_(&h->core, &ALPS_(tables_));
}

/* Makes the file `path` a copy of the region as it is now, or replaces an older
 * one; whatever the backend, it is opened as a file. It is complete and durable
 * before it has its name: a crash leaves the old one or the new one, and maybe
 * a file `path`.new-..., which may be deleted. Blocks are shared where the file
 * system can, else what is not a hole is copied. It has the uuid of this
 * region. The program goes on; blocks (not small objects) wait meanwhile. What
 * other threads and processes store or publish meanwhile may be in it or not:
 * for a copy of one moment the program holds its writers still. ALPS_EBUSY
 * (`path` is open), ALPS_EFORMAT (`path` is no region), ALPS_ENOSPC, and what
 * the system says. O(region), or O(1) where blocks are shared. */
static inline __attribute__((unused)) int ALPS_(snapshot)(ALPS_(heap) * h,
                                                          const char *path)
{
    return alps_snapshot_(&h->core, path, &ALPS_(tables_));
}

/* Makes `to` a copy of the region `from`, which nobody has open for writing
 * (else ALPS_EBUSY) nor gets to while it is copied; both are names as for
 * alps_open. As for alps_snapshot otherwise. */
static inline __attribute__((unused)) int ALPS_(copy)(const char *from,
                                                      const char *to)
{
    return alps_closed_copy_(from, to, &ALPS_(tables_));
}

/* 1: the region at `path` was closed, or was left by a crash with nothing to be
 * done, or is open and in good hands; 0: the next to open it for writing will
 * complete what a crash cut short; or the code that alps_open would refuse it
 * with. Never writes. */
static inline __attribute__((unused)) int ALPS_(consistent)(const char *path)
{
    return alps_closed_consistent_(path, &ALPS_(tables_));
}

/* Describes the region at `path`, which may be open, or need recovery. Never
 * writes. */
static inline __attribute__((unused)) int ALPS_(inspect)(const char *path,
                                                         alps_description *d)
{
    return alps_closed_describe_(path, d, &ALPS_(tables_));
}

/* Changes what the program says of the region, at most 495 bytes (else
 * ALPS_EINVAL); NULL: nothing. One fence; a crash leaves the old words or the
 * new ones. */
static inline __attribute__((unused)) int
ALPS_(set_description)(ALPS_(heap) * h, const char *text)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : alps_note_change_(&h->core, text, &ALPS_(tables_));
}

/* Removes a region. ALPS_EBUSY while any process has it open. */
static inline __attribute__((unused)) int ALPS_(remove)(const char *path)
{
    return ALPS_(tables_).backend->remove(path);
}

/* The program's static area: `n` <= ALPS_ROOT_SIZE bytes, zeroed when the
 * region was made, always the same ones. NULL if `n` is more. */
static inline __attribute__((unused)) void *ALPS_(root)(ALPS_(heap) * h,
                                                        size_t n)
{
    if (n > ALPS_ROOT_SIZE) {
        alps_fail_(&h->core, ALPS_EINVAL);
        return NULL;
    }
    return h->core.map.base + ALPS_PAGE;
}

/* Makes everything so far durable, the program's own stores included. Under
 * checkpoint atomically: the state at one moment in this call, or nothing; a
 * code (ALPS_ENOSPC, ALPS_EIO ...) means that memory is as it was, the last
 * state is on the medium, and a retry may work. O(pages stored to), and threads
 * that call it at once share the work. Under other policies not atomic: after a
 * crash in it, some of it is there; O(region) under flush. */
static inline __attribute__((unused)) int ALPS_(sync)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_ALL, &ALPS_(tables_));
}

/* The first half of a sync under checkpoint: the moment whose state is to be
 * durable has passed when this returns 0. A program whose changes are not each
 * complete at their last store keeps its writers from storing during this call,
 * and lets them go on during alps_sync_end, which does what takes long. Nothing
 * under other policies. */
static inline __attribute__((unused)) int ALPS_(sync_begin)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_BEGIN, &ALPS_(tables_));
}

/* The second half, in the same thread: what the first one took is durable when
 * this returns 0. Under other policies it is alps_sync. ALPS_EINVAL: there was
 * no first half. */
static inline __attribute__((unused)) int ALPS_(sync_end)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, ALPS_COMMIT_END, &ALPS_(tables_));
}

/* The address of `off`; NULL for null and for what cannot be one. O(1). */
static inline __attribute__((unused)) void *ALPS_(at)(const ALPS_(heap) * h,
                                                      alps_off off)
{
    return off < alps_size_(&h->core) ? alps_ptr_get_(&h->core.map, off) : NULL;
}

/* The offset of `p`, which is NULL or an address in the region. O(1). */
static inline __attribute__((unused)) alps_off
ALPS_(off_of)(const ALPS_(heap) * h, const void *p)
{
    return alps_ptr_off_(&h->core.map, p);
}

/* Allocates `n` bytes, 16-byte aligned, contents undefined; `n` == 0 gives a
 * unique object. The region grows where it has to. NULL and a code in
 * alps_error: ALPS_EFULL (at its limit), ALPS_ENOSPC (the disk is),
 * ALPS_EINVAL (more than any region holds), ALPS_EREADONLY, ALPS_EFORK.
 * Under a durable policy the block is durably allocated on return (one
 * fence; above half an extent two; now and then two more, for a new slab or
 * a new heap extent): a crash before the program's own link is durable leaks
 * it; see alps_reserve. Up to 1 KiB (less in a small region) it takes a lock
 * only to get a slab. O(1) but for the first touch of an extent. */
static inline __attribute__((unused)) void *ALPS_(alloc)(ALPS_(heap) * h,
                                                         size_t n)
{
    return alps_small_alloc_(&h->core, 1, n, 0, &ALPS_(tables_));
}

/* The same, zeroed; the zeroes are durable as well, in the same fence. */
static inline __attribute__((unused)) void *ALPS_(zalloc)(ALPS_(heap) * h,
                                                          size_t n)
{
    return alps_small_alloc_(&h->core, 1, n, ALPS_ALLOC_ZERO, &ALPS_(tables_));
}

/* The same, aligned to `align` bytes in every mapping: a power of two, at most
 * the size of an extent (else ALPS_EINVAL). */
static inline __attribute__((unused)) void *
ALPS_(alloc_aligned)(ALPS_(heap) * h, size_t align, size_t n)
{
    return alps_small_alloc_(&h->core, align, n, 0, &ALPS_(tables_));
}

/* Changes the size of the block at `p` (NULL: allocates), in place where it has
 * room enough and not too much, or the memory behind it is free; else it moves,
 * and a crash between that and the program's own link leaves the old block
 * freed. NULL and a code in alps_error when it fails; the block is then as it
 * was. */
static inline __attribute__((unused)) void *ALPS_(realloc)(ALPS_(heap) * h,
                                                           void *p, size_t n)
{
    return alps_resize_(&h->core, p, n, &ALPS_(tables_));
}

/* Frees the block at `p`, whichever thread of whichever process allocated it,
 * or gives this process's reservation back; NULL is fine. Durable on return
 * (one fence). A double, wild or interior free is ALPS_EINVALID_FREE, the
 * reservation of another process ALPS_EOWNER, and nothing is changed. What
 * named the block must be durably gone before. O(1). */
static inline __attribute__((unused)) int ALPS_(free)(ALPS_(heap) * h, void *p)
{
    return alps_small_free_(&h->core, p, &ALPS_(tables_));
}

/* Bytes that the block or reservation at `p` has; 0 if it is none. No lock. */
static inline __attribute__((unused)) size_t
ALPS_(usable)(const ALPS_(heap) * h, const void *p)
{
    return (size_t)alps_small_usable_(&h->core, p);
}

/* Reserves `n` bytes, aligned as by alps_alloc: memory to fill and then, in any
 * thread of this process, to publish. Nothing is written back and no fence is
 * spent, but for a new slab or heap extent; a crash gives it back, and so does
 * the death of this process. NULL and a code in alps_error. O(1). */
static inline __attribute__((unused)) void *ALPS_(reserve)(ALPS_(heap) * h,
                                                           size_t n)
{
    return alps_publish_reserve_(&h->core, n, &ALPS_(tables_));
}

/* In one step, whatever crashes: the reservation `p` is allocated, its contents
 * are durable, and `*dest` (in the region, 8-aligned) is its offset. Two
 * fences, three above ALPS_SUM_MAX bytes. `*dest` is the caller's alone until
 * this returns: guard it with the lock that guards the structure, of a kind
 * that docs/durability.md names. ALPS_EOWNER, ALPS_EINVALID_FREE (not a
 * reservation), ALPS_EINVAL. */
static inline __attribute__((unused)) int
ALPS_(publish)(ALPS_(heap) * h, alps_off *dest, void *p)
{
    return alps_publish_(&h->core, dest, p, &ALPS_(tables_));
}

/* Gives the reservation `p` back. Costs nothing durable. */
static inline __attribute__((unused)) int ALPS_(cancel)(ALPS_(heap) * h,
                                                        void *p)
{
    return alps_cancel_(&h->core, alps_offset_(&h->core, p), &ALPS_(tables_));
}

/* In one step, whatever crashes: the block that `*dest` names is freed, and
 * `*dest` is null. Two fences. Null already: nothing. `*dest` is the caller's
 * alone, as for publish. */
static inline __attribute__((unused)) int ALPS_(release)(ALPS_(heap) * h,
                                                         alps_off *dest)
{
    return alps_publish_release_(&h->core, dest, &ALPS_(tables_));
}

/* Ends the part of processes that have died: what one was carrying out is
 * completed, its reservations come back. Happens by itself when a lock of a
 * dead process is waited for, no lane is free for an operation, at open, at
 * close, and before ALPS_EFULL; not by another publish to the same word. A
 * program that takes over a lock of its own from a dead process calls it before
 * it touches what that lock guards. */
static inline __attribute__((unused)) int ALPS_(reap)(ALPS_(heap) * h)
{
    return alps_reap_now_(&h->core, &ALPS_(tables_));
}

/* How many processes were found dead since the region was last opened by a
 * first one: who compares it with what it was learns that one died. */
static inline __attribute__((unused)) uint64_t ALPS_(deaths)(const ALPS_(heap) *
                                                             h)
{
    return alps_load_(&h->core.shared->deaths);
}

/* This thread reads without locks until it leaves: what is retired meanwhile
 * stays as it is. Nests. One store and one fence; no lock, no system call.
 * ALPS_EBUSY: the region has no lane left for this thread. A section ends with
 * its thread and with its process. */
static inline __attribute__((unused)) int ALPS_(enter)(ALPS_(heap) * h)
{
    return alps_epoch_enter_(&h->core, &ALPS_(tables_));
}

/* Ends what the last enter of this thread began. ALPS_EINVAL: there was
 * none. */
static inline __attribute__((unused)) int ALPS_(leave)(ALPS_(heap) * h)
{
    return alps_epoch_leave_(&h->core, &ALPS_(tables_));
}

/* Frees `p`, which nobody can find any more, as alps_free does, but keeps its
 * memory until no thread of any process is left inside that was between enter
 * and leave at this time (Fraser 2004). Durably free when this returns: one
 * fence. At most 61 things of a thread, of 32 KiB each, and what a reader that
 * does not leave holds up, wait for a next retire, alps_trim, the end of the
 * thread, or a region that is full. A reader that died holds up nothing.
 * ALPS_EINVALID_FREE, ALPS_EFULL (no room to note it: nothing was done),
 * ALPS_EBUSY as for enter. */
static inline __attribute__((unused)) int ALPS_(retire)(ALPS_(heap) * h,
                                                        void *p)
{
    return alps_retire_(&h->core, p, &ALPS_(tables_));
}

/* The program's own stores to [p, p + n) are durable after the next fence. */
static inline __attribute__((unused)) int ALPS_(flush)(ALPS_(heap) * h,
                                                       const void *p, size_t n)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : ALPS_(tables_).policy->flush(&h->core.map, p, n);
}

/* What this thread flushed before is durable on return. */
static inline __attribute__((unused)) int ALPS_(fence)(ALPS_(heap) * h)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    return err ? err : ALPS_(fence_)(&h->core.map);
}

/* Both. */
static inline __attribute__((unused)) int
ALPS_(persist)(ALPS_(heap) * h, const void *p, size_t n)
{
    int err = ALPS_(flush)(h, p, n);
    return err ? err : ALPS_(fence)(h);
}

/* Calls `visit` for every live block: extent by extent those in slabs and then
 * the others, and at last those above half an extent. It may free the block it
 * is called for. No lock: what other threads do meanwhile may be seen or not.
 * O(size of the maps). */
static inline __attribute__((unused)) int
ALPS_(each)(ALPS_(heap) * h, alps_visit *visit, void *context)
{
    return alps_visit_all_(&h->core, visit, context);
}

/* Checks every structure against every other; `r` may be NULL. ALPS_ECORRUPT
 * and a report when something is wrong. Never changes anything. Holds all
 * locks meanwhile. O(size of the maps). */
static inline __attribute__((unused)) int ALPS_(check)(ALPS_(heap) * h,
                                                       alps_report *r)
{
    alps_report own;
    return alps_audit_(&h->core, r ? r : &own, &ALPS_(tables_));
}

/* Adds up what the region holds. Holds all locks meanwhile, which threads with
 * objects at hand do not wait for. O(size of the maps); names are counted one
 * by one the first time, and when a process died that changed them. */
static inline __attribute__((unused)) int ALPS_(stats)(ALPS_(heap) * h,
                                                       alps_statistics *s)
{
    uint64_t names = alps_named_count_(&h->core, &ALPS_(tables_));
    if (alps_self_(&h->core))
        alps_lock_all_(&h->core, &ALPS_(tables_));
    alps_stats_all_(&h->core, s);
    s->names = names;
    if (alps_self_(&h->core))
        alps_unlock_all_(&h->core);
    return ALPS_OK;
}

/* What this instance and this medium turned out to be. */
static inline __attribute__((unused)) int ALPS_(describe)(ALPS_(heap) * h,
                                                          alps_description *d)
{
    alps_describe_(&h->core, d, &ALPS_(tables_));
    return ALPS_OK;
}

/* The code of the last allocation of this handle that failed, in any thread. */
static inline __attribute__((unused)) int ALPS_(error)(const ALPS_(heap) * h)
{
    return __atomic_load_n(&h->core.error, __ATOMIC_RELAXED);
}

/* The text of a code. Never NULL. */
static inline __attribute__((unused)) const char *ALPS_(strerror)(int code)
{
    return alps_error_text_(code);
}

/* naming.h -- the public functions of names, under the name of this instance
 *
 * As those of instance.h. Those that are no matter of a few instructions are
 * not inlined. */
typedef alps_naming ALPS_(naming);
typedef alps_maker ALPS_(maker);
typedef alps_name_visit ALPS_(name_visit);

ALPS_ONCE_ void *ALPS_(construct_or_find_)(ALPS_(heap) * h,
                                           const alps_naming *as, int old)
{
    return alps_name_construct_(&h->core, as, old, &ALPS_(tables_));
}

/* Makes an object of `as->count` elements of `as->element` bytes, all zero,
 * that is found by its name, tag, element length and description (up to 64 KiB)
 * being kept with it. It is found when it is whole and durable, or not at all:
 * whatever crashes, there is no half-made object, and nothing leaks. Aligned as
 * by alps_alloc. It is freed by alps_destroy alone. NULL and a code in
 * alps_error: ALPS_EEXIST, ALPS_EINVAL (a name above 64 KiB; none, and no tag),
 * ALPS_EFULL, ALPS_ECORRUPT (a link to where no name can be), ALPS_EREADONLY,
 * ALPS_EFORK. Two fences, three above ALPS_SUM_MAX bytes; two more for the
 * first name in some sixteen buckets, three for each doubling of them. O(1),
 * but for a doubling, whose table is zeroed. */
ALPS_ONCE_ void *ALPS_(construct_as)(ALPS_(heap) * h, alps_naming as)
{
    return ALPS_(construct_or_find_)(h, &as, 0);
}

/* The same; but the object is found if it is there, and then it must be of that
 * tag and element length, where said, and of as many elements: else NULL, and
 * ALPS_ETYPE. All who call it at once get the same object, which one of them
 * has made. */
ALPS_ONCE_ void *ALPS_(find_or_construct_as)(ALPS_(heap) * h, alps_naming as)
{
    return ALPS_(construct_or_find_)(h, &as, 1);
}

/* Finds it, and how many bytes it has (`n` may be NULL). NULL and a code in
 * alps_error: ALPS_ENOENT, ALPS_ETYPE, ALPS_ECORRUPT; ALPS_EBUSY in a region
 * that is open for reading, whose writers destroy without end. No lock, no
 * fence. Who uses what is found, while others may destroy it, does so between
 * alps_enter and alps_leave. O(1). */
ALPS_ONCE_ void *ALPS_(find_as)(ALPS_(heap) * h, alps_naming as, size_t *n)
{
    return alps_name_find_(&h->core, &as, n, &ALPS_(tables_));
}

/* Frees the object and takes its name away, in one step. As alps_retire does it
 * leaves the memory alone while readers are inside. ALPS_ENOENT, ALPS_ETYPE;
 * ALPS_EFULL for a thread that is inside itself, in a region without 512 bytes
 * to spare. Two fences; two more for a description that was changed, which is
 * freed first: a crash between leaves the object without it. O(1). */
ALPS_ONCE_ int ALPS_(destroy_as)(ALPS_(heap) * h, alps_naming as)
{
    alps_off entry;
    return alps_named_destroy_(&h->core, &as, &entry, &ALPS_(tables_));
}

/* As alps_construct_as, or, with `old`, as alps_find_or_construct_as; but the
 * object is begun by `m->make` before anybody can find it. That runs without a
 * lock; what it stores in the object, all zero before, is durable with the
 * name; what it allocates besides is lost if a crash comes before that. Its
 * code, if not 0, is that in alps_error, and there is no object. Where several
 * begin one of a name, one is entered, and `m->unmake` is called for the
 * others. */
ALPS_ONCE_ void *ALPS_(construct_with)(ALPS_(heap) * h, alps_naming as, int old,
                                       const alps_maker *m)
{
    return alps_maker_construct_(&h->core, &as, old, m, &ALPS_(tables_));
}

/* An object of `n` bytes by a name that is a C string; see alps_construct_as.
 * Any bytes may be a name, none as well: ALPS_NAMING, alps_naming. */
static inline __attribute__((unused)) void *
ALPS_(construct)(ALPS_(heap) * h, const char *name, size_t n)
{
    return ALPS_(construct_as)(h, alps_name_typed_(name, 0, 0, n));
}

/* See alps_find_as. */
static inline __attribute__((unused)) void *
ALPS_(find)(ALPS_(heap) * h, const char *name, size_t *n)
{
    return ALPS_(find_as)(h, alps_name_typed_(name, 0, 0, 0), n);
}

/* See alps_find_or_construct_as. What is there has `n` bytes or more. */
static inline __attribute__((unused)) void *
ALPS_(find_or_construct)(ALPS_(heap) * h, const char *name, size_t n)
{
    return ALPS_(find_or_construct_as)(h, alps_name_typed_(name, 0, 0, n));
}

/* See alps_destroy_as. */
static inline __attribute__((unused)) int ALPS_(destroy)(ALPS_(heap) * h,
                                                         const char *name)
{
    return ALPS_(destroy_as)(h, alps_name_typed_(name, 0, 0, 0));
}

/* What is known of the named object at `p`. Name and description are in the
 * region, a zero byte behind each; they stay until the object is destroyed or
 * described anew, and for one who is inside (alps_enter) until that leaves.
 * ALPS_EINVAL: `p` is no named object. O(1). */
static inline __attribute__((unused)) int
ALPS_(named)(const ALPS_(heap) * h, const void *p, alps_naming *as)
{
    return alps_named_look_(&h->core, p, as);
}

/* Describes the named object at `p` by these `n` bytes (up to 64 KiB), in place
 * of what it had; if `n` is 0, by none. Durable on return; after a crash it has
 * the one or the other. ALPS_EINVAL, ALPS_EFULL, and as for alps_destroy_as.
 * Two fences, three above ALPS_SUM_MAX bytes; two more where there was one that
 * was not given to alps_construct_as. */
ALPS_ONCE_ int ALPS_(redescribe)(ALPS_(heap) * h, void *p, const char *text,
                                 size_t n)
{
    return alps_named_redescribe_(&h->core, p, text, n, &ALPS_(tables_));
}

/* Calls `visit` for every named object, in no order that means anything. It may
 * destroy the object it is called for, and construct others. What others do
 * meanwhile may be seen or not. The thread is a reader meanwhile: ALPS_EBUSY as
 * for alps_enter. O(names). */
static inline __attribute__((unused)) int
ALPS_(each_name)(ALPS_(heap) * h, alps_name_visit *visit, void *context)
{
    return alps_named_each_(&h->core, visit, context, &ALPS_(tables_));
}

/* spaces.h -- the public functions of spaces, under the name of this instance
 *
 * As those of instance.h. A space may have regions of several instances: each
 * is added by its own. Unless said otherwise every function may be called from
 * any thread at once. */
typedef alps_space ALPS_(space);
typedef alps_far ALPS_(far);

ALPS_ONCE_ int ALPS_(perform_)(alps_handle *h, alps_deed *d)
{
    return alps_pledge_perform_(h, d, &ALPS_(tables_));
}

/* Adds an open region to the space; in it far pointers lead to it. What hung
 * between it and others of the space when their makers died is settled (see
 * alps_space_settle). ALPS_EEXIST: a region of the same uuid is there, such as
 * a copy; ALPS_ENOMEM; what settling met. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_add)(alps_space *s,
                                                           ALPS_(heap) * h)
{
    return alps_settle_add_(s, &h->core, ALPS_(perform_));
}

/* Opens a region as alps_open does, and adds it; closed again where that
 * fails. */
static inline __attribute__((unused)) int
ALPS_(space_open)(alps_space *s, ALPS_(heap) * h, const char *path,
                  const alps_options *o)
{
    int err = ALPS_(open)(h, path, o);
    if (err)
        return err;
    err = ALPS_(space_add)(s, h);
    if (err)
        (void)ALPS_(discard)(h);
    return err;
}

/* Takes a region out of the space; before it is closed. ALPS_ENOENT: it is not
 * there. No other thread may be following pointers into it. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_remove)(alps_space *s,
                                                              ALPS_(heap) * h)
{
    return alps_space_remove_(s, &h->core);
}

/* Empties the space and frees what it took; the regions stay open. No other
 * thread may be using it. */
static inline __attribute__((unused)) void ALPS_(space_end)(alps_space *s)
{
    alps_space_end_(s);
}

/* The id of an open region, as it is in far pointers. */
static inline __attribute__((unused)) uint64_t
ALPS_(space_id)(const ALPS_(heap) * h)
{
    return alps_space_id_(h->core.super->uuid);
}

/* The id of a region by its uuid, as alps_inspect tells it. */
static inline __attribute__((unused)) uint64_t
ALPS_(space_id_of)(const uint8_t uuid[16])
{
    return alps_space_id_(uuid);
}

/* The address of a far pointer; NULL for null. ALPS_EMISSING: the region is not
 * in the space, and no resolver has brought it, or what the resolver answered;
 * ALPS_EINVAL: nothing can be there. O(1) but for a resolver. */
static inline __attribute__((unused)) int
ALPS_(space_at)(alps_space *s, alps_far far, void **p)
{
    return alps_space_at_(s, far.region, far.off, p);
}

/* The far pointer to `p`, which may be NULL. ALPS_EMISSING: it is in no region
 * of the space. O(log regions). */
static inline __attribute__((unused)) int
ALPS_(space_far)(const alps_space *s, const void *p, alps_far *far)
{
    return alps_space_far_(s, p, far);
}

/* In one step, whatever crashes: the reservation `p` is allocated, durable, and
 * `*dest`, in the same or another region of the space, names it. `*dest` is the
 * caller's alone, as for alps_publish; it is null, or names an object of the
 * region of `p` (else ALPS_EINVAL; a packed pointer may name any). A crash is
 * settled when both regions are in a space again: alps_space_add. Four fences,
 * one more if the region in `*dest` is another. Where one of the two regions is
 * under checkpoint it is durable when both are: after the next alps_space_sync,
 * or an alps_sync of each; a crash before leaves all of it, or nothing. The
 * link is changed by these calls alone until alps_space_sync. ALPS_EMISSING:
 * one of the two is in no region of the space; ALPS_EBUSY: 16 such links of one
 * of the regions are under way, wait for alps_space_sync, or for their region,
 * or `*dest` names an object that waits; and as for alps_publish. */
static inline __attribute__((unused)) int
ALPS_(far_publish)(alps_space *s, alps_far *dest, void *p)
{
    return alps_far_link_(s, &dest->off, dest, p);
}

/* In one step, whatever crashes: what `*dest` names is freed, and `*dest` is
 * null. Null already: nothing. Five fences. Where one of the two regions is
 * under checkpoint the object is freed by the next alps_space_sync.
 * ALPS_EMISSING: the region of the object is missing, and nothing is changed;
 * else as for alps_far_publish and alps_release. */
static inline __attribute__((unused)) int ALPS_(far_release)(alps_space *s,
                                                             alps_far *dest)
{
    return alps_far_cut_(s, &dest->off, dest);
}

/* The same for packed pointers. ALPS_EFULL: the region of `*dest` has 128
 * neighbours already. */
static inline __attribute__((unused)) int
ALPS_(packed_publish)(alps_space *s, uint64_t *dest, void *p)
{
    return alps_far_link_(s, dest, NULL, p);
}

static inline __attribute__((unused)) int ALPS_(packed_release)(alps_space *s,
                                                                uint64_t *dest)
{
    return alps_far_cut_(s, dest, NULL);
}

/* Settles what processes that have died were linking between regions of the
 * space: the object stays if its link names it, else it is free. Happens when a
 * region is added; a program that takes over a lock of its own from a dead
 * process calls it as it would alps_reap. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_settle)(alps_space *s)
{
    return alps_settle_(s, NULL, 0, 0);
}

/* As alps_sync of each region under checkpoint, in the order that links between
 * them ask for; then these are links as any others, and what was released is
 * free. The moments of the regions are not one: the program holds the writers
 * of all of them still, or makes links by the calls above. Three syncs of each
 * region if any link was made or cut since the last, else one. A code: it can
 * be called again. Other policies: nothing but what the dead have left.
 * O(regions), and as alps_sync. */
static inline __attribute__((unused)) int ALPS_(space_sync)(alps_space *s)
{
    return alps_settle_(s, NULL, 0, 1);
}

/* Region `id` is lost, or older than it was: what hangs between it and the
 * region of `h` is settled as if it had no link. ALPS_EEXIST: it is in the
 * space; ALPS_EMISSING: `h` is not. */
static inline __attribute__((unused)) int
ALPS_(space_forgo)(alps_space *s, ALPS_(heap) * h, uint64_t id)
{
    return alps_settle_forgo_(s, &h->core, id);
}

/* wrapped.h -- the handle of this instance as a class of C++
 *
 * In C++11 and later only. What it does is in made.h; here is the table through
 * which it is done. Both units that have an instance of this name have one of
 * their own: what is not static is inlined always. */
#ifdef __cplusplus
extern "C++" {

ALPS_ONCE_ void *ALPS_(lend_)(alps_handle *h, size_t align, size_t n)
{
    return alps_small_alloc_(h, align, n, 0, &ALPS_(tables_));
}

ALPS_ONCE_ int ALPS_(back_)(alps_handle *h, void *p)
{
    return alps_small_free_(h, p, &ALPS_(tables_));
}

/* Lets containers that lie in the region find this process's handle: an
 * allocator that is made of the handle does it. ALPS_EUNSUPPORTED: a backend of
 * the program's own that holds no page in front of the region. */
static inline __attribute__((unused)) int alps_introduce_(ALPS_(heap) * h)
{
    return alps::door_open_(&h->core, ALPS_(lend_), ALPS_(back_));
}

ALPS_ONCE_ int ALPS_(open_)(alps_handle *h, const char *path,
                            const alps_options *o)
{
    return ALPS_(open)((ALPS_(heap) *)(void *)h, path, o);
}

ALPS_ONCE_ int ALPS_(close_)(alps_handle *h)
{
    return ALPS_(close)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(discard_)(alps_handle *h)
{
    return ALPS_(discard)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(sync_)(alps_handle *h)
{
    return ALPS_(sync)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(enter_)(alps_handle *h)
{
    return ALPS_(enter)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ int ALPS_(leave_)(alps_handle *h)
{
    return ALPS_(leave)((ALPS_(heap) *)(void *)h);
}

ALPS_ONCE_ void *ALPS_(make_)(alps_handle *h, const alps_naming *as, int old,
                              const alps_maker *m)
{
    return ALPS_(construct_with)((ALPS_(heap) *)(void *)h, *as, old, m);
}

ALPS_ONCE_ void *ALPS_(find_)(alps_handle *h, const alps_naming *as, size_t *n)
{
    return ALPS_(find_as)((ALPS_(heap) *)(void *)h, *as, n);
}

ALPS_ONCE_ int ALPS_(destroy_)(alps_handle *h, const alps_naming *as,
                               alps_off *entry)
{
    return alps_named_destroy_(h, as, entry, &ALPS_(tables_));
}

ALPS_ONCE_ int ALPS_(introduce_)(alps_handle *h)
{
    return alps_introduce_((ALPS_(heap) *)(void *)h);
}

static const alps::table_ ALPS_(table_) __attribute__((unused)) = {
    ALPS_(open_),    ALPS_(close_),     ALPS_(discard_), ALPS_(sync_),
    ALPS_(enter_),   ALPS_(leave_),     ALPS_(make_),    ALPS_(find_),
    ALPS_(destroy_), ALPS_(introduce_),
};

/* A region that is closed when this goes: see alps::region in made.h. */
class ALPS_(region) : public alps::region
{
    ALPS_(heap) heap_;

  public:
    __attribute__((always_inline)) inline ALPS_(region)()
        : alps::region(&ALPS_(table_), &heap_.core)
    {
    }
    /* The handle, for the functions of C. */
    ALPS_(heap) * heap() noexcept
    {
        return &heap_;
    }
};
}
#endif

/* paging.h -- the public functions of paged memory, under the name of this
 * instance
 *
 * As those of instance.h; with backend paged alone. */
#if ALPS_BACKEND == ALPS_PAGED

/* Maps the first `size` bytes of the file `path` as plain memory, which may be
 * larger than the machine's; no heap is in it. The file is made where there is
 * none, and made longer where it is shorter, its blocks reserved; it is never
 * cut. Of `o` (NULL: the defaults) memory, segment, engine, eviction, evict,
 * faults and mode count, and the environment. NULL and errno: EINVAL, ENOSPC,
 * ENOMEM, EACCES, EBUSY (open elsewhere in a way that excludes this). Any
 * number of mappings, any threads in each. O(1), but for the blocks. */
ALPS_ONCE_ void *ALPS_(umalloc_with)(const char *path, size_t size,
                                     const alps_options *o)
{
    return alps_umalloc_(path, size, o, ALPS_FAULTS_);
}

/* The same with the defaults. */
static inline __attribute__((unused)) void *ALPS_(umalloc)(const char *path,
                                                           size_t size)
{
    return ALPS_(umalloc_with)(path, size, NULL);
}

/* What was stored to the mapping at `p` before this call is durable when it
 * returns 0; else a code, and errno: a retry may work. ALPS_EINVAL: `p` was not
 * answered by alps_umalloc. O(size in memory). */
static inline __attribute__((unused)) int ALPS_(usync)(void *p)
{
    return alps_umalloc_sync_(p);
}

/* Syncs the mapping at `p` and ends it, also where the sync fails; the code
 * says so. NULL is fine. No thread uses it any more. */
static inline __attribute__((unused)) int ALPS_(ufree)(void *p)
{
    return alps_umalloc_free_(p);
}

/* Bytes [p, p + n) of the region are in memory until alps_unpin: for read(2),
 * write(2) and their like, which fail with EFAULT where a thread would fault
 * and go on. `write`: the system call stores to them. Pins nest. Not needed,
 * and nothing, with engine kernel; with userfaultfd needed by little (what,
 * docs/paged.md tells). ALPS_EFULL: the memory of the region has not
 * so many segments to spare; do it piece by piece. O(n). */
static inline __attribute__((unused)) int
ALPS_(pin)(ALPS_(heap) * h, const void *p, size_t n, int write)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    if (err || !h->core.map.apart || !n)
        return err;
    return alps_writeback_pin_(h->core.map.pager, alps_offset_(&h->core, p), n,
                               write);
}

/* Ends what alps_pin began for the same bytes. */
static inline __attribute__((unused)) void ALPS_(unpin)(ALPS_(heap) * h,
                                                        const void *p, size_t n)
{
    if (h->core.map.apart && n && !alps_ready_(&h->core, &ALPS_(tables_)))
        alps_writeback_unpin_(h->core.map.pager, alps_offset_(&h->core, p), n);
}
#endif

/* acting.h -- the public functions of transactions, under the name of this
 * instance
 *
 * As those of instance.h. A transaction is its thread's: what others call with
 * it, and what comes after its end, is ALPS_EINVAL. docs/transactions.md tells
 * what it promises. None of them is inlined. */
typedef alps_tx ALPS_(tx);
typedef alps_range ALPS_(range);
typedef alps_make ALPS_(make);

ALPS_ONCE_ int ALPS_(act_)(alps_tx *t, unsigned op, void *word, const void *p,
                           uint64_t value)
{
    return alps_tx_add_(t, op, word, p, value, &ALPS_(tables_));
}

/* Several ranges as by alps_tx_snapshot, for one fence. */
ALPS_ONCE_ int ALPS_(tx_snapshot_all)(ALPS_(tx) * t, const alps_range *range,
                                      unsigned n)
{
    return alps_tx_keep_(t, range, n, &ALPS_(tables_));
}

/* Keeps the `n` bytes at `p`, in the root area or in the heap, as they are: the
 * program may store to them when this has returned 0, and the commit makes that
 * durable; an abort and a crash put them back. Aligned or not, of any length;
 * what is kept already may be so again. One fence, none where the last few
 * ranges cover it. ALPS_EINVAL, ALPS_EFULL, ALPS_EABORTED. O(n). */
static inline __attribute__((unused)) int ALPS_(tx_snapshot)(ALPS_(tx) * t,
                                                             void *p, size_t n)
{
    alps_range range;
    range.p = p;
    range.n = n;
    return ALPS_(tx_snapshot_all)(t, &range, 1);
}

/* Begins a transaction of this thread, which `t` is to be; inside of one that
 * it has open on this region, joins that. ALPS_EBUSY: the thread has no lane of
 * its own and finds none to borrow. No fence. */
ALPS_ONCE_ int ALPS_(begin)(ALPS_(heap) * h, ALPS_(tx) * t)
{
    t->act = ALPS_(act_);
    t->keep = ALPS_(tx_snapshot);
    return alps_tx_begin_(&h->core, t, &ALPS_(tables_));
}

/* `*word`, in the region and 8-aligned, is to be `value` when the transaction
 * commits. ALPS_EINVAL, ALPS_EFULL, ALPS_EABORTED. No fence. O(1). */
ALPS_ONCE_ int ALPS_(tx_set)(ALPS_(tx) * t, uint64_t *word, uint64_t value)
{
    return alps_tx_add_(t, ALPS_OP_SET, word, NULL, value, &ALPS_(tables_));
}

/* See alps_publish: when the transaction commits, with the contents as of
 * then. `dest` may be in what is reserved and published as well. Aborted, it
 * is a reservation still. No fence. O(1). */
ALPS_ONCE_ int ALPS_(tx_publish)(ALPS_(tx) * t, alps_off *dest, void *p)
{
    return p ? alps_tx_add_(t, ALPS_OP_PUBLISH, dest, p, 0, &ALPS_(tables_))
             : ALPS_EINVAL;
}

/* See alps_release: what `*dest` names now, when the transaction commits. A
 * word that another action of it sets keeps that value. No fence. O(1). */
static inline __attribute__((unused)) int ALPS_(tx_release)(ALPS_(tx) * t,
                                                            alps_off *dest)
{
    return ALPS_(act_)(t, ALPS_OP_RELEASE, dest, NULL, 0);
}

/* Frees the block at `p` when the transaction commits; NULL: nothing. Twice in
 * one transaction, or what is not live: ALPS_EINVALID_FREE. No fence. O(1). */
static inline __attribute__((unused)) int ALPS_(tx_free)(ALPS_(tx) * t, void *p)
{
    return p ? ALPS_(act_)(t, ALPS_OP_RELEASE | ALPS_OP_WORDLESS, NULL, p, 0)
             : ALPS_OK;
}

/* Ends it: all of it happens, or by a crash nothing. The inner one of two does
 * nothing. A code: nothing of it has happened, and it is ended; or, from the
 * medium itself (ALPS_EIO), no promise. ALPS_EABORTED: an inner one has aborted
 * it. Two fences for any number of actions, one more with snapshots or with
 * objects above ALPS_SUM_MAX bytes; two for snapshots alone. O(actions). */
ALPS_ONCE_ int ALPS_(commit)(ALPS_(tx) * t)
{
    return alps_tx_commit_(t, &ALPS_(tables_));
}

/* Ends it: nothing of it happens, what was stored to ranges is put back. Also
 * of an inner one: all is put back at once, and the outer one can but end. One
 * fence where there are ranges. O(bytes). */
ALPS_ONCE_ int ALPS_(abort)(ALPS_(tx) * t)
{
    return alps_tx_abort_(t, &ALPS_(tables_));
}

/* Reserves `n` bytes, has `make` fill them and publishes them to `*dest`. What
 * `make` answers, if not 0, is answered, and so is the code of what fails; the
 * memory goes back then. As alps_publish otherwise. */
ALPS_ONCE_ int ALPS_(publish_new)(ALPS_(heap) * h, alps_off *dest, size_t n,
                                  alps_make *make, void *context)
{
    void *p = ALPS_(reserve)(h, n);
    int err = p ? make(context, p, n) : ALPS_(error)(h);
    if (!err)
        err = ALPS_(publish)(h, dest, p);
    if (err && p)
        ALPS_(cancel)(h, p);
    return err;
}

/* The same, published by the commit; aborted, the memory goes back. */
ALPS_ONCE_ int ALPS_(tx_publish_new)(ALPS_(tx) * t, alps_off *dest, size_t n,
                                     alps_make *make, void *context)
{
    void *p = NULL;
    alps_draft *o;
    int err = alps_tx_ready_(t, &o, &ALPS_(tables_));
    if (!err)
        err = ALPS_(slow_)(t->handle, ALPS_SLOW_RESERVE, n,
                           (uint64_t)(uintptr_t)&p);
    if (!err)
        err = make(context, p, n);
    if (!err)
        err = ALPS_(act_)(t, ALPS_OP_PUBLISH | ALPS_OP_MADE, dest, p, 0);
    if (err && p)
        ALPS_(slow_)
    (t->handle, ALPS_SLOW_CANCEL, alps_offset_(t->handle, p), 0);
    return err;
}

/* keeping.h -- the public functions of damage and of leaks, under the name of
 * this instance
 *
 * As those of instance.h. docs/repair.md tells what is put right and how. None
 * of them is inlined. */
typedef alps_repaired ALPS_(repaired);
typedef alps_collecting ALPS_(collecting);
typedef alps_collected ALPS_(collected);
typedef alps_refers ALPS_(refers);

/* Puts the region at `path` right, which nobody has open: alps_open refuses it,
 * or alps_check has found something. In place; copy it first, where what is
 * given up matters. What structures tell of each other is made whole again;
 * memory is kept where nothing tells whether it is used; what cannot be kept
 * is given up, and `r` (which may be NULL) tells how much, and the first of it.
 * 0: it can be opened; where nothing was wrong, nothing is changed. A crash in
 * it leaves a region to be repaired again. ALPS_EFORMAT, ALPS_EVERSION,
 * ALPS_ECORRUPT: neither the superblock nor its spare is left.
 * ALPS_EUNFINISHED: nothing is in it. ALPS_ETRUNCATED: nor is any extent.
 * ALPS_EBUSY, ALPS_EFULL (no room for the table of names). O(region). */
ALPS_ONCE_ int ALPS_(repair)(const char *path, alps_repaired *r)
{
    alps_repaired own;
    return alps_repair_(path, r ? r : &own, &ALPS_(tables_));
}

/* As alps_each, for a region that is damaged, mostly one opened with
 * ALPS_SALVAGE: calls `visit` for what is live without doubt. `*skipped`, which
 * may be NULL, are the bytes of what is not shown though it may have been live:
 * slabs of no class or without a block, memory without a start, what the medium
 * has lost. 0 bytes: alps_each shows the same. */
ALPS_ONCE_ int ALPS_(salvage)(ALPS_(heap) * h, alps_visit *visit, void *context,
                              uint64_t *skipped)
{
    uint64_t own = 0;
    return alps_rescue_(&h->core, visit, context, skipped ? skipped : &own);
}

/* Frees what nothing leads to. `refers` is called for the root area, for each
 * named object, for what is pledged between two regions, and for each object
 * come to, once; it calls alps_refer with every address in it. What else the
 * program refers to, from other regions or from memory of its own, it says when
 * it is called for the root area. Nobody else uses the region meanwhile, no
 * thread and no process, and `refers` changes nothing: what another has
 * allocated and not linked yet is freed. Reservations stay, but what only they
 * lead to does not. Nothing is freed before all is marked: not 0 from `refers`,
 * which is the answer then, ALPS_ENOMEM and ALPS_ECORRUPT (damaged names) leave
 * all as it was. After a crash in it, what was freed is, and the rest is as it
 * was. `sum` may be NULL. ALPS_EBUSY: this thread has a transaction open. A
 * fence for each slab and each block freed; memory of 1/128 of the region.
 * O(region). */
ALPS_ONCE_ int ALPS_(collect)(ALPS_(heap) * h, alps_refers *refers,
                              void *context, alps_collected *sum)
{
    alps_collected own;
    return alps_collect_(&h->core, refers, context, sum ? sum : &own,
                         &ALPS_(tables_));
}

/* An object that is asked refers to `p`: NULL, or an address anywhere in what
 * is allocated. ALPS_EINVAL: it is in nothing that is; which is counted, and
 * does no harm by itself, but tells that the program is wrong somewhere. */
ALPS_ONCE_ int ALPS_(refer)(ALPS_(collecting) * c, const void *p)
{
    return alps_collect_refer_(c, p);
}

#endif

/* unselect.h -- the choices are forgotten
 *
 * The end of each include: the next one, in the same unit, starts from
 * nothing and may choose otherwise. */
#undef ALPS_
#undef ALPS_PASTE2_
#undef ALPS_PASTE_
#undef ALPS_NAME
#undef ALPS_BACKEND
#undef ALPS_POLICY
#undef ALPS_USER_BACKEND
#undef ALPS_USER_POLICY
#undef ALPS_FAULTS
#undef ALPS_FAULTS_
#undef ALPS_CORE_ONLY
#undef ALPS_BACKEND_TABLE_
#undef ALPS_POLICY_TABLE_
#undef ALPS_NATURAL_POLICY_
#undef ALPS_REFUSED_
