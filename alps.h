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
 *     backend \ policy  ALPS_NONE   ALPS_FLUSH    ALPS_FENCE   ALPS_MSYNC
 *     ALPS_ANON         nothing *   -             -            -
 *     ALPS_SHMEM        processes * (CXL)         -            -
 *     ALPS_FILE         processes   -             -            power *
 *     ALPS_PMEM         processes   power *       power, eADR  power
 *
 * A cell says what the data survives: the death of any process, a power
 * failure; `*` is the default of that backend; `-` is an #error. ALPS_FILE is
 * the default. With ALPS_USER the program brings a table of its own, see
 * docs/writing-a-backend.md.
 *
 *     #define ALPS_NAME ledger      ledger_heap, ledger_open ... instead of
 *                                   alps_...; include again for another heap
 *     #define ALPS_CORE_ONLY        the parts without an instance
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
 * The environment: ALPS_PERSIST=clwb|clflushopt|clflush|cvap|cvac|eadr|none
 * overrides how lines are written back, ALPS_PMEM_FORCE=1 takes any medium for
 * persistent memory (tests and benchmarks).
 *
 * The names of internal things end in an underscore; all others are listed,
 * with what they promise, at the end of this file (instance.h), the errors in
 * error.h, the options in backend.h, the report and statistics in check.h and
 * visit.h, pointers in ptr.h. */

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
#define ALPS_PAGED 5 /* not in this version */
#define ALPS_DSM 6   /* not in this version */

#define ALPS_NONE 11       /* nothing is written back */
#define ALPS_FLUSH 12      /* cache lines are written back */
#define ALPS_FENCE 13      /* caches persist: order is all it takes */
#define ALPS_MSYNC 14      /* pages are written back by the system */
#define ALPS_CHECKPOINT 15 /* not in this version */

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

/* A function that takes the constant tables of an instance: inlined always, so
 * that no call through a table is left in the program. */
#define ALPS_CORE_ static inline __attribute__((always_inline, unused))

/* A function off the fast path, kept out of it. */
#define ALPS_COLD_ static __attribute__((noinline, cold, unused))

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
    ALPS_EINVAL = -1,       /* an argument that cannot be meant */
    ALPS_ENOMEM = -2,       /* no address space or memory for the process */
    ALPS_EFULL = -3,        /* no free run in the region is long enough */
    ALPS_ELIMIT = -4,       /* the region may not grow past its limit */
    ALPS_ENOSPC = -5,       /* the medium under the region is full */
    ALPS_EBUSY = -6,        /* open elsewhere in a way that excludes this */
    ALPS_EEXIST = -7,       /* exists, and ALPS_EXCLUSIVE was asked for */
    ALPS_ENOENT = -8,       /* does not exist, and ALPS_CREATE was not given */
    ALPS_EACCES = -9,       /* the system refuses permission */
    ALPS_EREADONLY = -10,   /* the region was opened read-only */
    ALPS_EFORMAT = -11,     /* not a region of alps.h */
    ALPS_EVERSION = -12,    /* a region of a layout this header does not know */
    ALPS_ECORRUPT = -13,    /* damaged: a checksum or a structure is wrong */
    ALPS_EUNFINISHED = -14, /* its creation was cut short: may be made anew */
    ALPS_ETRUNCATED = -15,  /* shorter than the region says it is */
    ALPS_ELAYOUT = -16,     /* made by a program with another layout name */
    ALPS_EINVALID_FREE = -17, /* not a live block: double, wild or interior */
    ALPS_EOWNER = -18,        /* a reservation of another process */
    ALPS_EUNSUPPORTED = -19,  /* the medium or the system cannot do this */
    ALPS_ENOTPMEM = -20,      /* ALPS_STRICT, and the medium cannot keep the
                                 promise of the policy (no MAP_SYNC) */
    ALPS_EIO = -21,           /* the medium failed to read or write */
    ALPS_EPROCESSES = -22,    /* every process slot of the region is taken */
    ALPS_ERECOVER = -23,      /* needs recovery; open it once for writing */
    ALPS_ESYSTEM = -24,       /* another error of the system: see errno */
    ALPS_EFORK = -25          /* the child of a fork has to open the region for
                                 itself */
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
        "the region exists already",
        "the region does not exist",
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

#if defined(__x86_64__)
ALPS_FN_ uint32_t alps_crc_word_(uint32_t crc, uint64_t word)
{
    uint64_t wide = crc;
    __asm__("crc32q %1, %0" : "+r"(wide) : "r"(word));
    return (uint32_t)wide;
}

ALPS_FN_ uint32_t alps_crc_byte_(uint32_t crc, unsigned char byte)
{
    __asm__("crc32b %1, %0" : "+r"(crc) : "q"(byte));
    return crc;
}
#elif defined(__aarch64__)
ALPS_FN_ uint32_t alps_crc_word_(uint32_t crc, uint64_t word)
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
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = alps_crc_word_(crc, word);
    }
    for (; n; at++, n--)
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
} alps_options;

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
    unsigned persist;    /* how the policy writes back: see policy.h */
    unsigned stream;     /* 1: a record is faster past the caches */
    alps_gather gather;  /* of policy msync */
    void *user;          /* of a backend of the program's own */
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
} alps_backend;

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
    ALPS_PERSIST_MSYNC = 7
};

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
} alps_policy;

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

/* Holds `n` bytes of addresses from a multiple of `align` (a power of two) on.
 * Answers NULL where there are not so many. The caller maps into them with
 * MAP_FIXED, which is safe there and only there. */
ALPS_COLD_ unsigned char *alps_hold_addresses_(uint64_t n, uint64_t align)
{
    uint64_t page = alps_system_page_();
    uint64_t more = align > page ? align - page : 0;
    if (n + page < n || n + page + more < n)
        return NULL;
    n = alps_round_up_(n, page);
    void *p = mmap(NULL, n + more, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    unsigned char *held = (unsigned char *)p;
    unsigned char *base = held + (-(uintptr_t)held & (more ? align - 1 : 0));
    alps_drop_addresses_(held, base);
    alps_drop_addresses_(base + n, held + n + more);
    return base;
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

/* How much is reserved by one call: a signal makes the kernel start one over,
 * so a call must not take long. */
#define ALPS_FALLOC_STEP_ ((uint64_t)64 << 20)

/* How often a file may vanish under us while we open it. */
#define ALPS_OPEN_TRIES_ 1000

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
    for (int i = 0; err == ALPS_EBUSY && i < ALPS_OPEN_TRIES_; i++)
        err = alps_fd_once_(m, path, mode, device);
    return err;
}

/* Makes the name of a file that was just created as durable as the file will
 * be. A directory that we may not read, or a file system that has no such
 * operation, is left to do it in its own time. */
ALPS_COLD_ int alps_fd_sync_name_(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n + 2 > sizeof dir)
        return ALPS_EINVAL;
    memcpy(dir, path, n);
    memcpy(dir + n, ".", 2);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ALPS_OK;
    int err = fsync(fd) && errno != EINVAL ? alps_oserror_() : ALPS_OK;
    close(fd);
    return err;
}

/* Maps bytes [0, `n`) of the descriptor at `base`, which is held for it. */
ALPS_COLD_ int alps_fd_map_at_(alps_map *m, unsigned char *base, uint64_t n,
                               int how)
{
    int may = m->flags & ALPS_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    void *p =
        mmap(base, (size_t)n, may, how | MAP_NORESERVE | MAP_FIXED, m->fd, 0);
    return p == MAP_FAILED ? alps_oserror_() : ALPS_OK;
}

/* The map of the contract; `how` is MAP_SHARED, or more. Where so many
 * addresses are refused half as many are tried, down to what is needed. */
ALPS_COLD_ int alps_fd_map_(alps_map *m, uint64_t size, uint64_t reserve,
                            uint64_t align, int how)
{
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    for (;;) {
        int err = ALPS_ENOMEM;
        unsigned char *base = alps_hold_addresses_(reserve, align);
        if (base)
            err = alps_fd_map_at_(m, base, reserve, how);
        if (!err) {
            m->base = base;
            m->size = size;
            m->reserved = reserve;
            return ALPS_OK;
        }
        if (base)
            munmap(base, (size_t)reserve);
        if (err != ALPS_ENOMEM || reserve == size)
            return err;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
}

ALPS_COLD_ int alps_fd_unmap_(alps_map *m)
{
    if (m->base && munmap(m->base, (size_t)m->reserved))
        return alps_oserror_();
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_close_(alps_map *m)
{
    int err = alps_fd_unmap_(m);
    if (m->fd >= 0 && close(m->fd) && !err)
        err = alps_oserror_();
    m->fd = -1;
    return err;
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

/* The resize of the contract. Another process may have made the file longer
 * than this handle knows: then there is nothing left to do, and nothing is cut
 * off. Asked for the length it has, it reserves blocks where there are holes,
 * which a copying tool or `punch` may have left. */
ALPS_COLD_ int alps_fd_resize_(alps_map *m, uint64_t size)
{
    struct stat st;
    int err = ALPS_OK;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (m->base && size > m->reserved)
        return ALPS_ENOMEM;
    if (fstat(m->fd, &st))
        return alps_oserror_();
    uint64_t length = (uint64_t)st.st_size;
    if (size > length)
        err = alps_fd_grow_(m->fd, length, size);
    else if (size == length)
        err = alps_fd_reserve_(m->fd, 0, size);
    else if (size < m->length)
        err = ftruncate(m->fd, (off_t)size) ? alps_oserror_() : ALPS_OK;
    if (err)
        return err;
    m->length = size < m->length || size > length ? size : length;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

ALPS_COLD_ int alps_fd_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (!n)
        return ALPS_OK;
    if (syscall(SYS_fallocate, m->fd,
                ALPS_FALLOC_PUNCH_HOLE_ | ALPS_FALLOC_KEEP_SIZE_, (off_t)off,
                (off_t)n))
        return alps_oserror_();
    return ALPS_OK;
}

/* Bytes [off, off + n) of the mapping, and the length of the file with them,
 * are on the medium when this returns. */
ALPS_COLD_ int alps_fd_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    uint64_t into = off % alps_system_page_();
    if (n && msync(m->base + (off - into), (size_t)(n + into), MS_SYNC))
        return alps_oserror_();
    return ALPS_OK;
}

/* A new length is durable before anything that is stored in the new bytes, or
 * about them, can be: without this every one of 12 power cuts while a region
 * on DAX grew left a file shorter than the region in it said. One page of the
 * mapping will do: the file system writes the inode with it, and a sync of all
 * would stop the program until all that it has stored so far is written. */
ALPS_COLD_ int alps_fd_sync_length_(alps_map *m)
{
    if (m->base)
        return alps_fd_sync_(m, 0, 1);
    return fsync(m->fd) ? alps_oserror_() : ALPS_OK;
}

ALPS_COLD_ int alps_fd_remove_(const char *path)
{
    if (!path || !*path)
        return ALPS_EINVAL;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return alps_fd_open_error_();
    int err = alps_fd_remove_at_(fd, path);
    close(fd);
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
                                       "eadr", "msync"};
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
        m->base = alps_hold_addresses_(reserve, align);
        if (m->base || reserve == size)
            break;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
    if (!m->base)
        return ALPS_ENOMEM;
    m->reserved = reserve;
    int err = alps_anon_use_(m, 0, size);
    if (!err) {
        m->size = size;
        return ALPS_OK;
    }
    munmap(m->base, (size_t)reserve);
    m->base = NULL;
    m->reserved = 0;
    return err;
}

/* Takes the contents along: there is nothing else that keeps them. */
ALPS_COLD_ int alps_anon_unmap_(alps_map *m)
{
    if (m->base && munmap(m->base, (size_t)m->reserved))
        return alps_oserror_();
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
    alps_anon_sync_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_lease_,
    alps_anon_unmap_,
    alps_anon_remove_,
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
        alps_fd_close_(m);
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
    return alps_fd_map_(m, size, reserve, align, MAP_SHARED);
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
    return err ? err : alps_fd_remove_(path);
}

static const alps_backend alps_backend_shmem_ __attribute__((unused)) = {
    "shmem",
    alps_shmem_open_,
    alps_unguard_,
    alps_shmem_map_,
    alps_fd_unmap_,
    alps_fd_resize_,
    alps_fd_punch_,
    alps_shmem_sync_,
    alps_lease_,
    alps_unlease_,
    alps_leased_,
    alps_fd_close_,
    alps_shmem_remove_,
};

/* file.h -- a file behind the page cache
 *
 * Outlives processes as it stands, and power failures as far as it was synced.
 * The file is exactly as long as the region, and its blocks are reserved, so
 * that a full disk is a code when the region grows and not a signal when a
 * program stores. */

/* The name of a new file is made durable here, before anything is in it. */
ALPS_COLD_ int alps_file_open_(alps_map *m, const char *path,
                               const alps_options *o)
{
    int err = alps_fd_open_(m, path, o ? o->mode : 0, 0);
    if (err)
        return err;
    m->medium = ALPS_MEDIUM_CACHE;
    if (m->length == 0 && !(m->flags & ALPS_READ_ONLY))
        err = alps_fd_sync_name_(path);
    if (err)
        alps_fd_close_(m);
    return err;
}

ALPS_COLD_ int alps_file_map_(alps_map *m, uint64_t size, uint64_t reserve,
                              uint64_t align)
{
    return alps_fd_map_(m, size, reserve, align, MAP_SHARED);
}

ALPS_COLD_ int alps_file_resize_(alps_map *m, uint64_t size)
{
    uint64_t old = m->length;
    int err = alps_fd_resize_(m, size);
    return err || size <= old ? err : alps_fd_sync_length_(m);
}

static const alps_backend alps_backend_file_ __attribute__((unused)) = {
    "file",          alps_file_open_,   alps_unguard_,  alps_file_map_,
    alps_fd_unmap_,  alps_file_resize_, alps_fd_punch_, alps_fd_sync_,
    alps_lease_,     alps_unlease_,     alps_leased_,   alps_fd_close_,
    alps_fd_remove_,
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
    if (err)
        alps_fd_close_(m);
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
    int err = alps_fd_map_(m, m->length, m->length,
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
    int err =
        alps_fd_map_(m, size, reserve, align, MAP_SHARED_VALIDATE | MAP_SYNC);
    if (err != ALPS_EUNSUPPORTED && err != ALPS_EINVAL)
        return err;
    if (!alps_pmem_forced_()) {
        m->medium = ALPS_MEDIUM_CACHE;
        if (m->flags & ALPS_STRICT)
            return ALPS_ENOTPMEM;
    }
    return alps_fd_map_(m, size, reserve, align, MAP_SHARED);
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
    int err = alps_fd_resize_(m, size);
    return err || size <= old ? err : alps_fd_sync_length_(m);
}

ALPS_COLD_ int alps_pmem_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    return m->fixed ? ALPS_EUNSUPPORTED : alps_fd_punch_(m, off, n);
}

/* A device knows no msync: its lines are written back. */
ALPS_COLD_ int alps_pmem_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    if (!m->fixed)
        return alps_fd_sync_(m, off, n);
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
    "pmem",          alps_pmem_open_,   alps_unguard_,    alps_pmem_map_,
    alps_fd_unmap_,  alps_pmem_resize_, alps_pmem_punch_, alps_pmem_sync_,
    alps_lease_,     alps_unlease_,     alps_leased_,     alps_fd_close_,
    alps_fd_remove_,
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

/* How far apart, in pages, two ranges may be and still share a sync call. A
 * wider gap means fewer calls, and more of the pages that nobody asked for. */
#ifndef ALPS_GATHER_GAP
#  define ALPS_GATHER_GAP 16384u
#endif

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
        if (!(m->flags & ALPS_READ_ONLY))
            alps_gather_redirty_(m, left->range[i].from, left->range[i].to);
        alps_gather_add_(g, left->range[i].from, left->range[i].to);
    }
    alps_gather_unlock_(g, done - ALPS_GATHER_SYNCING_);
}

/* All that was gathered before is on the medium when this answers 0. */
ALPS_CORE_ int alps_gather_fence_(alps_map *m, const alps_backend *b)
{
    alps_gather taken;
    uint64_t off = 0, n = 0;
    unsigned k;
    int err = ALPS_OK;
    if (!alps_gather_begin_(m, &taken))
        return ALPS_OK;
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
ALPS_CORE_ int alps_persist_fence_(alps_map *m, const alps_backend *b)
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
};

/* msync.h -- pages are written back by the system
 *
 * For ordinary files, and for whatever else answers `sync`. A flush writes
 * down pages, a fence has them synced by as few calls as it can: gather.h. */
#include <sys/vfs.h>

/* Whether the file lies in memory only, so that a sync call promises nothing:
 * tmpfs, ramfs. */
ALPS_COLD_ int alps_msync_in_vain_(const alps_map *m)
{
    struct statfs fs;
    if (m->medium == ALPS_MEDIUM_ANON || m->medium == ALPS_MEDIUM_SHMEM)
        return 1;
    if (m->medium != ALPS_MEDIUM_CACHE || m->fd < 0 || fstatfs(m->fd, &fs))
        return 0;
    unsigned long type = (unsigned long)fs.f_type;
    return type == 0x01021994ul || type == 0x858458f6ul;
}

ALPS_COLD_ int alps_msync_open_(alps_map *m, const alps_backend *b)
{
    (void)b;
    m->persist = ALPS_PERSIST_MSYNC;
    return m->flags & ALPS_STRICT && alps_msync_in_vain_(m) ? ALPS_ENOTPMEM
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

ALPS_CORE_ int alps_msync_fence_(alps_map *m, const alps_backend *b)
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
} alps_superblock;
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, size) == 192, "line");
ALPS_STATIC_ASSERT_(sizeof(alps_superblock) == 320, "size");

/* One lane's retire word: records up to this sequence are done. The words of
 * all lanes lie together, so that under msync every sync call takes them. */
typedef struct alps_done {
    uint64_t seq;
    uint64_t line_[7];
} alps_done;
ALPS_STATIC_ASSERT_(sizeof(alps_done) == ALPS_LINE, "line");

/* What a publish or a release is about to do; one line, written by one
 * non-temporal store. Live while `check` is right and `seq` is above the
 * lane's retire word. */
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
    ALPS_OP_SUMMED = 16, /* `crc` tells whether the contents are there */
    ALPS_OP_LARGE = 32,  /* the block is a run of extents */
    ALPS_OP_SMALL = 64   /* the block is an object of a slab */
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
    uint64_t apply;   /* 1 while a record is being carried out */
    uint64_t token;   /* of the thread; 0: none */
    alps_off pending; /* a released object, held back until the next fence */
    uint64_t seq;     /* of the last record */
    uint64_t unused;
    uint64_t told[8]; /* extents, modulo 512, in which others freed objects of
                         this thread's full slabs */
    uint64_t pin;     /* the era that its thread reads in, see limbo.h; or 0 */
    alps_off limbo;   /* the chunk that takes what its thread retires */
    uint64_t line_[6];
    alps_record ring[ALPS_RING];
} alps_lane;
ALPS_STATIC_ASSERT_(sizeof(alps_lane) == 576, "size");

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
    uint64_t cursor;   /* heap extents below this have a shard */
    uint64_t seq;      /* of the last record */
    uint64_t policy;   /* what every opener of this epoch must use */
    uint64_t reaped;   /* processes that left or were found dead */
    uint64_t tokens;   /* given out in this epoch */
    uint64_t swept;    /* extents below this were looked at for loose slabs */
    uint64_t loose_by; /* the token of slabs in the lists of loose ones */
    uint64_t line2_[1];
    alps_off loose[24];  /* by class: the first head of a slab that no thread
                           owns and that has free objects */
    uint64_t era;        /* what who reads from now on is in; see limbo.h */
    uint64_t deaths;     /* processes found dead in this epoch */
    alps_off limbo;      /* the first chunk of what waits for readers */
    alps_off limbo_last; /* and the last */
    alps_off leaving;    /* the chunk that is being emptied, or 0 */
    uint64_t line3_[3];
} alps_shared;
ALPS_STATIC_ASSERT_(sizeof(alps_shared) == 6 * ALPS_LINE, "size");

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
    uint64_t line2_[4];
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

/* Entries of the held table when a region is made. */
#define ALPS_HELD_SHIFT 8u

/* Where everything is, which follows from the numbers in the superblock. */
typedef struct alps_geometry {
    alps_off done, lanes, slots, shared, shards, held, codes, kinds, slabs;
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

/* A sealed word. ALPS_SIZE_MAX itself is one past 47 bits and fits. */
ALPS_FN_ uint64_t alps_seal_(uint64_t value)
{
    return value << 16 | alps_crc16_(value);
}

ALPS_FN_ int alps_sealed_(uint64_t word)
{
    return (word & 0xffff) == alps_crc16_(word >> 16);
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
    alps_shared *shared;
    alps_done *done;
    alps_lane *lanes;
    alps_slot *slots;
    alps_shard *shards; /* of the heap, and then that of all extents */
    alps_shard *top;    /* the latter */
    uint64_t *codes;    /* of extents */
    uint64_t *kinds;    /* of extents: bit 1, a heap extent */
    uint64_t *slabs;    /* bit: a slab starts at this multiple of its size */
    struct alps_local *local;  /* gone in the child of a fork, see thread.h */
    struct alps_seat *seats;   /* where a thread finds its cache */
    struct alps_claim *claims; /* by slab: which of our threads owns it */
    unsigned keyed;            /* 1: `key` tells when a thread ends */
    pthread_key_t key;
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
    ALPS_SLOW_RETIRED = 16 /* this thread has retired enough */
};
typedef struct alps_tables {
    const alps_backend *backend;
    const alps_policy *policy;
    int (*slow)(alps_handle *h, int what, uint64_t a, uint64_t b);
    void (*ended)(void *cache); /* a thread ends */
    void *(*other)(alps_handle *h, uint64_t align, uint64_t n, int how);
    int (*far)(alps_handle *h, uint64_t off); /* frees what `other` gave, or
                                                 other threads allocated */
} alps_tables;

/* What is gone in the child of a fork: its first page. */
typedef struct alps_local {
    uint64_t owner; /* what this process writes into lock words; 0: none */
    uint64_t lock;  /* 1 while a thread works on the seats */
} alps_local;

/* Who this process is in the region: 0 where it only reads, and in the child of
 * a fork. */
ALPS_CORE_ uint64_t alps_self_(const alps_handle *h)
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
ALPS_CORE_ void alps_lock_word_(alps_handle *h, uint64_t *word, int inner,
                                const alps_tables *t)
{
    if (alps_lock_alone_(h) && !alps_load_(word))
        alps_store_(word, alps_self_(h));
    else if (ALPS_UNLIKELY_(!alps_lock_try_(word, alps_self_(h))))
        t->slow(h, ALPS_SLOW_WAIT, alps_offset_(h, word), (uint64_t)inner);
}

/* Takes the lock of the region, which comes before those of shards. */
ALPS_CORE_ void alps_lock_(alps_handle *h, const alps_tables *t)
{
    alps_lock_word_(h, &h->shared->lock, 0, t);
}

ALPS_FN_ void alps_unlock_(alps_handle *h)
{
    alps_lock_leave_(&h->shared->lock);
}

/* Takes the lock of a shard. Of the shards one is locked at a time, and besides
 * it the last one, after it. */
ALPS_CORE_ void alps_shard_lock_(alps_handle *h, alps_shard *s, int inner,
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

ALPS_CORE_ unsigned alps_code_(const uint64_t *codes, uint64_t unit)
{
    return (unsigned)(alps_load_(&codes[unit / 32]) >> (unit % 32 * 2)) & 3u;
}

ALPS_CORE_ void alps_code_set_(uint64_t *codes, uint64_t unit, unsigned code)
{
    uint64_t *word = &codes[unit / 32];
    unsigned shift = (unsigned)(unit % 32 * 2);
    alps_store_(word, (alps_load_(word) & ~(3ull << shift)) | (uint64_t)code
                                                                  << shift);
}

/* One bit for each start in the word that holds `unit`. */
ALPS_CORE_ uint64_t alps_code_starts_(const uint64_t *codes, uint64_t unit)
{
    uint64_t word = alps_load_(&codes[unit / 32]);
    return (word | word >> 1) & ALPS_STARTS_;
}

/* The first start in [unit, end), or `end`. */
ALPS_CORE_ uint64_t alps_code_next_(const uint64_t *codes, uint64_t unit,
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
ALPS_CORE_ uint64_t alps_code_near_(const uint64_t *codes, uint64_t unit)
{
    uint64_t last = unit - 1;
    uint64_t below = ~0ull >> (62 - last % 32 * 2);
    uint64_t starts = alps_code_starts_(codes, last) & below;
    return starts ? last / 32 * 32 + alps_high_bit_(starts) / 2 : unit;
}

/* Whether no unit of [from, to) is a start. */
ALPS_CORE_ int alps_code_inside_(const uint64_t *codes, uint64_t from,
                                 uint64_t to)
{
    return alps_code_next_(codes, from, to) == to;
}

/* Makes all of [from, to) the inside of what starts before it. */
ALPS_CORE_ void alps_code_clear_(uint64_t *codes, uint64_t from, uint64_t to)
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
ALPS_CORE_ alps_shard *alps_shard_named_(const alps_handle *h, uint64_t extent)
{
    uint64_t built = alps_load_(&alps_extent_(h, extent)->built);
    return &h->shards[built & (h->at.shard_count - 1)];
}

/* The zone of heap extent `extent`. */
ALPS_CORE_ alps_zone alps_zone_extent_(const alps_handle *h, uint64_t extent)
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
ALPS_CORE_ alps_zone alps_zone_top_(const alps_handle *h)
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

ALPS_CORE_ alps_off alps_zone_off_(const alps_zone *z, uint64_t unit)
{
    return z->origin + (unit << z->shift);
}

ALPS_CORE_ uint64_t alps_zone_unit_(const alps_zone *z, alps_off off)
{
    return (off - z->origin) >> z->shift;
}

/* Units of the block or run that starts at `unit`. */
ALPS_CORE_ uint64_t alps_zone_units_(const alps_zone *z, uint64_t unit)
{
    return alps_code_next_(z->codes, unit + 1, z->end) - unit;
}

/* The head of the free run at `unit`. */
ALPS_CORE_ alps_run *alps_run_(const alps_zone *z, uint64_t unit)
{
    return (alps_run *)(void *)(z->base + alps_zone_off_(z, unit));
}

/* The word in a run's last bytes that names its head. */
ALPS_CORE_ alps_off *alps_run_foot_(const alps_zone *z, uint64_t end)
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
ALPS_CORE_ void alps_run_size_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    alps_run_(z, unit)->units = units;
    *alps_run_foot_(z, unit + units) = alps_zone_off_(z, unit);
}

/* Whether a free run of so many units starts at `unit`, as far as both ends
 * tell. */
ALPS_CORE_ int alps_run_valid_(const alps_zone *z, uint64_t unit,
                               uint64_t units)
{
    return unit >= z->first && unit < z->end && units &&
           units <= z->end - unit && alps_code_(z->codes, unit) == ALPS_FREE &&
           (unit + units == z->end || alps_code_(z->codes, unit + units)) &&
           alps_run_peek_(alps_run_foot_(z, unit + units)) ==
               alps_zone_off_(z, unit);
}

/* Whether `off` can be the head of a run in the region: 0, or a unit. */
ALPS_CORE_ int alps_run_place_(const alps_handle *h, const alps_zone *z,
                               alps_off off)
{
    return off == 0 || (off >= h->at.heap && off < alps_size_(h) &&
                        off % (1ull << z->shift) == 0);
}

/* Puts the free run at `unit` into its bin. */
ALPS_CORE_ void alps_run_insert_(const alps_zone *z, uint64_t unit,
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
ALPS_CORE_ int alps_run_unlink_(const alps_handle *h, const alps_zone *z,
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
ALPS_CORE_ int alps_run_resize_(const alps_handle *h, const alps_zone *z,
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
ALPS_CORE_ alps_off alps_index_find_(const alps_handle *h, const alps_index *x,
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
ALPS_CORE_ int alps_zone_carve_(const alps_handle *h, const alps_zone *z,
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
    if (at + units < end) {
        alps_code_set_(z->codes, at + units, ALPS_FREE);
        alps_run_insert_(z, at + units, end - at - units);
    }
    alps_code_set_(z->codes, at, code);
    *block = at;
    return ALPS_OK;
}

/* The start of the free run that ends just before `unit`, or `unit`. The codes
 * tell when the start is near; else the last word of a free run does, believed
 * only when the run it names is free and ends here. */
ALPS_CORE_ uint64_t alps_zone_before_(const alps_zone *z, uint64_t unit)
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
ALPS_CORE_ int alps_zone_give_(const alps_handle *h, const alps_zone *z,
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

/* Takes out the entry at `at`, and with it what would lead searches on to
 * nothing. */
ALPS_FN_ void alps_held_drop_(const alps_handle *h, alps_shard *s, uint64_t at)
{
    uint64_t *table = alps_held_table_(h, s);
    uint64_t mask = (1ull << alps_held_shift_(s)) - 1;
    table[at] = ALPS_HELD_GONE_;
    if (table[(at + 1) & mask] != ALPS_HELD_EMPTY_)
        return;
    while (table[at] == ALPS_HELD_GONE_) {
        table[at] = ALPS_HELD_EMPTY_;
        s->held_used--;
        at = (at - 1) & mask;
    }
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
ALPS_CORE_ unsigned alps_kind_size_(unsigned kind)
{
    static const uint16_t size[ALPS_KINDS] = {16,  32,  48,  64,  80,  96,  112,
                                              128, 160, 192, 224, 256, 320, 384,
                                              448, 512, 640, 768, 896, 1024};
    return size[kind];
}

/* The class that serves `n` bytes, at most ALPS_SMALL_MAX. */
ALPS_CORE_ unsigned alps_kind_of_(uint64_t n)
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
ALPS_CORE_ int alps_slab_is_(const alps_handle *h, alps_off off)
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
ALPS_CORE_ alps_off alps_slab_place_(const alps_handle *h, alps_off off)
{
    return off >> h->at.slab_shift << h->at.slab_shift;
}

/* The head of the slab at or below `off`. */
ALPS_CORE_ alps_slab *alps_slab_head_(const alps_handle *h, alps_off off)
{
    uint64_t in = off & h->at.extent_mask;
    return (alps_slab *)alps_address_(
        h, off - in + h->at.heads + (in >> h->at.slab_shift) * h->at.head);
}

ALPS_CORE_ alps_pair *alps_slab_pairs_(alps_slab *s)
{
    return (alps_pair *)(void *)(s + 1);
}

ALPS_CORE_ alps_keep *alps_slab_keeps_(const alps_handle *h, alps_slab *s)
{
    return (alps_keep *)(void *)((unsigned char *)s + h->at.keeps);
}

ALPS_CORE_ unsigned alps_slab_groups_(const alps_slab *s)
{
    return (s->count + 63) / 64;
}

/* One bit for each object that group `g` has: the last may have fewer. */
ALPS_CORE_ uint64_t alps_slab_whole_(const alps_slab *s, unsigned g)
{
    unsigned left = s->count - 64 * g;
    return left < 64 ? (1ull << left) - 1 : ~0ull;
}

ALPS_CORE_ uint64_t alps_pair_live_(const alps_pair *p)
{
    uint64_t far = __atomic_load_n(&p->far, __ATOMIC_ACQUIRE);
    return alps_load_(&p->own) ^ far;
}

/* Objects of a group that are reserved, or held back. */
ALPS_CORE_ uint64_t alps_keep_any_(const alps_keep *k)
{
    return (alps_load_(&k->own) ^ alps_load_(&k->far)) |
           __atomic_load_n(&k->pinned, __ATOMIC_ACQUIRE);
}

/* The objects of group `g` that may be handed out. */
ALPS_CORE_ uint64_t alps_slab_free_(const alps_handle *h, alps_slab *s,
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
ALPS_CORE_ uint32_t alps_kind_count_(const alps_handle *h, unsigned kind)
{
    uint32_t count = (1u << h->at.slab_shift) / alps_kind_size_(kind);
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
    s->scale = (uint32_t)((1ull << 32) / s->size) + 1;
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
    uint64_t i = in / size;
    if (in >= alps_kind_granules_(h, o->kind) * ALPS_GRANULE)
        return 0;
    if (i * size != in || i >= alps_kind_count_(h, o->kind))
        return -1;
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

/* The shard that this thread prefers. Stacks lie an odd number of pages apart,
 * so threads made one after the other have different ones. */
ALPS_CORE_ alps_shard *alps_shard_home_(const alps_handle *h)
{
    uint64_t number = (uint64_t)ALPS_THREAD_() / ALPS_PAGE + h->slot;
    return &h->shards[number & (h->at.shard_count - 1)];
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
ALPS_CORE_ int alps_block_find_(const alps_handle *h, alps_off off,
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
    return 0;
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
ALPS_CORE_ uint64_t *alps_block_built_(const alps_handle *h,
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

/* Finds the block at `off`, takes the lock of its shard, and sees to it that
 * its zone is in the index. Answers its code; or -1, and there is no lock. */
ALPS_CORE_ int alps_block_lock_(alps_handle *h, alps_off off, alps_block *b,
                                int inner, const alps_tables *t)
{
    uint64_t extent = (off - h->at.heap) >> h->at.extent_shift;
    int code = alps_block_find_(h, off, b);
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
ALPS_CORE_ int alps_take_level_(alps_handle *h, alps_shard *s, int level,
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

/* The same; small blocks, which are most, by a path of their own. */
ALPS_CORE_ int alps_take_(alps_handle *h, alps_shard *s, uint64_t units,
                          uint64_t align, unsigned code, alps_off *off)
{
    if (ALPS_UNLIKELY_(s == h->top || align > ALPS_GRANULE))
        return alps_take_any_(h, s, units, align, code, off);
    return alps_take_level_(h, s, ALPS_LEVEL_GRANULE, units, 1, code, off);
}

ALPS_CORE_ void alps_give_level_(alps_handle *h, const alps_block *b)
{
    uint64_t units = alps_zone_units_(&b->zone, b->unit);
    if (ALPS_UNLIKELY_(alps_zone_give_(h, &b->zone, b->unit, units)))
        alps_index_reset_(b->shard);
}

ALPS_COLD_ void alps_give_large_(alps_handle *h, uint64_t extent)
{
    alps_block b;
    alps_block_large_(h, extent, &b);
    alps_give_level_(h, &b);
}

/* Gives a block, whose code is not ALPS_FREE, back to the index, which its zone
 * is in. Under the lock of its shard. */
ALPS_CORE_ void alps_give_(alps_handle *h, const alps_block *b)
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
ALPS_CORE_ int alps_codes_flush_(alps_handle *h, const alps_zone *z,
                                 uint64_t unit, uint64_t units,
                                 const alps_tables *t)
{
    uint64_t last = unit + units < z->end ? unit + units : z->end - 1;
    const unsigned char *bytes = (const unsigned char *)z->codes;
    return t->policy->flush(&h->map, bytes + unit / 4, last / 4 - unit / 4 + 1);
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
    alps_zone z = alps_zone_extent_(h, extent);
    for (uint64_t word = 0; word < (z.end + 31) / 32; word++)
        alps_store_(&z.codes[word], 0);
    alps_code_set_(z.codes, z.first, ALPS_FREE);
    memset(alps_address_(h, z.origin + h->at.told), 0,
           (size_t)(h->at.heads - h->at.told));
    int err = t->policy->flush(&h->map, alps_extent_(h, extent),
                               sizeof(alps_extent) + z.end / 4);
    alps_extent_kind_set_(h, extent, 1);
    if (!err)
        err = t->policy->flush(&h->map, &h->kinds[extent / 64], 8);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    if (!err) {
        alps_code_set_(h->codes, extent, ALPS_USED);
        err = alps_codes_flush_(h, &top, extent, 1, t);
    }
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
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
    int err = alps_take_any_(h, h->top, 1, 1, ALPS_HELD, &off);
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
        err = t->policy->fence(&h->map, t->backend);
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
            err = t->policy->fence(&h->map, t->backend);
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
        err = t->policy->fence(&h->map, t->backend);
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

/* cache.h -- what a thread has at hand, and how it finds that
 *
 * Caches lie in memory of the process alone. A thread finds its own from the
 * handle, in a table by its thread pointer: there is no hidden variable. The
 * memory is such that the system empties it in the child of a fork: the child
 * finds no cache, and no owner to write into a lock, so it cannot touch what is
 * its parent's. */

/* An object that a thread may hand out, and the word and the bit that make it
 * live. */
typedef struct alps_spot {
    void *object; /* NULL: there is none */
    uint64_t *own;
    uint64_t bit;
} alps_spot;

/* Objects of each class that a thread freed and has at hand, at most. */
#ifndef ALPS_SPOTS
#  define ALPS_SPOTS 128u
#endif

/* Empty slabs that a thread keeps at most, and what part of the region they
 * may be: a 32nd. What is more goes back to the heap. */
#ifndef ALPS_EMPTY_MAX
#  define ALPS_EMPTY_MAX 128u
#endif
#define ALPS_EMPTY_SHIFT 5

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
    unsigned empty;    /* of the partial ones: without any object */
} alps_rack;

typedef struct alps_cache {
    alps_handle *handle;
    alps_lane *lane;
    uint64_t token;  /* in the lane and in the heads of its slabs */
    uint64_t reaped; /* alps_shared.reaped when it last looked */
    uint64_t most;   /* empty slabs that it keeps */
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

/* The memory that caches are in: a page, the seats, a cache for each lane, and
 * a claim for each slab that there may be. */
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
    return ALPS_OK;
}

ALPS_FN_ void alps_local_close_(alps_handle *h)
{
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
ALPS_CORE_ alps_seat *alps_seat_(const alps_handle *h, uintptr_t self)
{
    return &h->seats[self / ALPS_PAGE % ALPS_SEATS];
}

/* Whether it is that of thread `self`: others may be taking or leaving it. */
ALPS_CORE_ int alps_seat_is_(const alps_seat *seat, uintptr_t self)
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

/* Nobody owns the lane any more. */
ALPS_FN_ void alps_lane_free_(alps_lane *lane)
{
    alps_store_(&lane->held, 0);
    alps_store_(&lane->pending, 0);
    alps_store_(&lane->apply, 0);
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
    c->most = alps_size_(h) >> h->at.slab_shift >> ALPS_EMPTY_SHIFT;
    if (c->most > ALPS_EMPTY_MAX)
        c->most = ALPS_EMPTY_MAX;
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
        alps_lane_free_(lane);
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
ALPS_CORE_ alps_cache *alps_cache_(alps_handle *h)
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
ALPS_CORE_ void alps_spot_push_(alps_rack *rack, void *object, uint64_t *own,
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

/* Takes an object off those at hand; one without an object where there is
 * none. */
ALPS_CORE_ alps_spot alps_rack_take_(alps_rack *rack)
{
    alps_spot spot = *rack->top;
    if (spot.object) {
        rack->top--;
    } else if (rack->mask) {
        spot.bit = rack->mask & (0 - rack->mask);
        spot.object = rack->base + alps_low_bit_(rack->mask) * rack->size;
        spot.own = rack->own;
        rack->mask ^= spot.bit;
    }
    return spot;
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
ALPS_CORE_ uint64_t alps_rack_trim_(alps_handle *h, alps_rack *rack,
                                    const alps_tables *t)
{
    uint64_t n = 0;
    alps_off place;
    rack->top = rack->bottom;
    alps_rack_review_(h, rack);
    place = rack->partial;
    while (place) {
        alps_slab *s = alps_slab_head_(h, place);
        alps_off next = s->next;
        if (alps_slab_empty_(h, s)) {
            rack->empty -= s->where == ALPS_EMPTY;
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
        n += alps_rack_trim_(h, &seat->cache->rack[kind], t);
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
    alps_object o;
    if (c->lane->pending && t->policy->fence(&h->map, t->backend) == ALPS_OK)
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
    alps_lane_free_(c->lane);
}

/* Ends the part of all threads of this process, none of which runs. */
ALPS_CORE_ void alps_threads_leave_(alps_handle *h, const alps_tables *t)
{
    alps_cache *c = alps_caches_(h);
    for (unsigned i = 0; i < alps_lanes_owned_(h); i++)
        if (alps_load_(&h->lanes[i].lock) == alps_self_(h))
            alps_thread_leave_(&c[i], t);
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
    return r->seq > h->done[lane].seq &&
           r->epoch == alps_load_(&h->super->epoch) &&
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
ALPS_CORE_ int alps_record_write_(alps_handle *h, alps_lane *lane,
                                  alps_record *r, const alps_tables *t)
{
    r->epoch = alps_load_(&h->super->epoch);
    r->check = alps_record_check_(h, r);
    alps_record *to = &lane->ring[lane->next++ % ALPS_RING];
    int err = t->policy->stream(&h->map, to, r);
    return err ? err : t->policy->fence(&h->map, t->backend);
}

/* The lane's records up to `seq` have been carried out: durably with the next
 * fence. */
ALPS_CORE_ int alps_record_done_(alps_handle *h, alps_lane *lane, uint64_t seq,
                                 const alps_tables *t)
{
    alps_done *done = &h->done[lane - h->lanes];
    ALPS_BARRIER_();
    alps_store_(&done->seq, seq);
    return t->policy->flush(&h->map, done, sizeof done->seq);
}

/* The same, durably before another thread can contradict it. Not fenced: until
 * it is durable, doing them again does no harm. */
ALPS_CORE_ int alps_record_retire_(alps_handle *h, alps_lane *lane,
                                   uint64_t seq, const alps_tables *t)
{
    int err = alps_record_done_(h, lane, seq, t);
    return err ? err : t->policy->settle(&h->map);
}

/* Whether the word at `off` may be a destination: in the root area, or in the
 * heap. */
ALPS_FN_ int alps_dest_valid_(const alps_handle *h, alps_off off)
{
    return off % sizeof(alps_off) == 0 && off >= ALPS_PAGE &&
           (off + sizeof(alps_off) <= ALPS_PAGE + ALPS_ROOT_SIZE ||
            off >= h->at.heap) &&
           off < alps_size_(h) && alps_size_(h) - off >= sizeof(alps_off);
}

/* Takes a lane for this operation: the thread's own, or one of those that
 * nobody owns. */
ALPS_CORE_ alps_lane *alps_lane_take_(alps_handle *h, const alps_tables *t)
{
    const alps_cache *c = alps_cache_(h);
    if (ALPS_LIKELY_(c != NULL))
        return c->lane;
    unsigned owned = alps_lanes_owned_(h);
    unsigned n = h->at.lane_count - owned;
    uint64_t hash = (uint64_t)ALPS_THREAD_() >> 12;
    for (unsigned i = 0;; i++) {
        alps_lane *lane = &h->lanes[owned + (hash + i) % n];
        if (!alps_load_(&lane->lock) &&
            alps_lock_try_(&lane->lock, alps_self_(h)))
            return lane;
        if (i % n == n - 1)
            t->slow(h, ALPS_SLOW_LANES, i / n, 0);
    }
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

/* Carries out the live record of an object, again or for the first time. Live
 * already: the first fence had completed. */
ALPS_CORE_ int alps_redo_small_(alps_handle *h, const alps_record *r,
                                const alps_tables *t)
{
    alps_object o;
    if (!alps_dest_valid_(h, r->dest) || alps_object_at_(h, r->block, &o) != 1)
        return ALPS_OK;
    uint64_t *dest = (uint64_t *)alps_address_(h, r->dest);
    int live = alps_object_live_(&o);
    if ((r->op & 15) == ALPS_OP_PUBLISH) {
        if (!live && r->op & ALPS_OP_SUMMED &&
            alps_crc32c_(h->crc, 0, alps_address_(h, r->block),
                         alps_kind_size_(o.kind)) != r->crc)
            return ALPS_OK;
        if (!live)
            alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
        alps_store_(dest, r->value);
    } else {
        if (live)
            alps_object_turn_(&o.pair->own, &o.pair->far, o.bit, 0);
        if (alps_load_(dest) == r->block)
            alps_store_(dest, r->value);
    }
    int err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    return err ? err : t->policy->flush(&h->map, dest, sizeof *dest);
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
    int err;
    if (!alps_dest_valid_(h, r->dest))
        return ALPS_OK;
    if (r->op & ALPS_OP_SMALL) {
        if (alps_object_at_(h, r->block, &o) != 1)
            return ALPS_OK;
        err = t->policy->flush(&h->map, o.pair, sizeof *o.pair);
    } else {
        if (alps_block_at_(h, r->block, &b) < 0 ||
            r->units - 1 >= b.zone.end - b.unit)
            return ALPS_OK;
        err = alps_codes_flush_(h, &b.zone, b.unit, r->units, t);
    }
    return err ? err : t->policy->flush(&h->map, alps_address_(h, r->dest), 8);
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
    if (code < 0 || !alps_dest_valid_(h, r->dest) ||
        b.level != !!(r->op & ALPS_OP_LARGE) ||
        r->units - 1 >= b.zone.end - b.unit)
        return ALPS_OK;
    uint64_t *dest = (uint64_t *)alps_address_(h, r->dest);
    if (publish && !alps_redo_whole_(h, r, &b.zone, (unsigned)code))
        return ALPS_OK;
    if (publish) {
        err = alps_redo_mark_(h, &b.zone, b.unit, r->units, t);
        alps_store_(dest, r->value);
    } else {
        if (code == ALPS_USED) {
            alps_store_(&lane->held, r->block);
            alps_code_set_(b.zone.codes, b.unit, ALPS_HELD);
        }
        err = alps_codes_flush_(h, &b.zone, b.unit, 1, t); // also of a dead one
        if (alps_load_(dest) == r->block)
            alps_store_(dest, r->value);
    }
    return err ? err : t->policy->flush(&h->map, dest, sizeof *dest);
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

/* Completes the record that a lane was carrying out under the lock of `s` when
 * its process died: it is retired before anybody can go further. */
ALPS_CORE_ int alps_lane_complete_(alps_handle *h, alps_lane *lane,
                                   const alps_shard *s, const alps_tables *t)
{
    unsigned number = (unsigned)(lane - h->lanes);
    int err = ALPS_OK;
    for (unsigned k = 0; !err && k < ALPS_RING; k++) {
        const alps_record *r = &lane->ring[k];
        alps_block b;
        if (r->op & ALPS_OP_SMALL || !alps_record_live_(h, number, r) ||
            alps_block_at_(h, r->block, &b) < 0 || b.shard != s)
            continue;
        err = alps_redo_prepare_(h, r, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        if (!err)
            err = alps_redo_(h, lane, r, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        if (!err)
            err = alps_record_done_(h, lane, r->seq, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
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
    uint64_t used = 0;
    for (uint64_t i = 0; i < 1ull << alps_held_shift_(s); i++) {
        alps_block b;
        if (table[i] > ALPS_HELD_GONE_ &&
            alps_block_at_(h, (table[i] >> 16) * ALPS_GRANULE, &b) != ALPS_HELD)
            table[i] = ALPS_HELD_GONE_;
        used += table[i] != ALPS_HELD_EMPTY_;
    }
    s->held_used = used;
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
        err = t->policy->fence(&h->map, t->backend);
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

/* Whether any lane has a live record. */
ALPS_FN_ int alps_redo_pending_(const alps_handle *h)
{
    alps_lane *lane;
    uint64_t order = 0;
    return alps_redo_next_(h, 0, &order, &lane) != NULL;
}

/* Retires what is live in lane `i`. Durable with the next fence. */
ALPS_CORE_ int alps_redo_retire_(alps_handle *h, unsigned i,
                                 const alps_tables *t)
{
    uint64_t seq = 0;
    for (unsigned k = 0; k < ALPS_RING; k++) {
        const alps_record *r = &h->lanes[i].ring[k];
        if (r->seq > seq && alps_record_live_(h, i, r))
            seq = r->seq;
    }
    ALPS_BARRIER_();
    if (seq)
        alps_store_(&h->done[i].seq, seq);
    return t->policy->flush(&h->map, &h->done[i], 8);
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
        err = alps_redo_prepare_(h, r, t);
    if (err || !n)
        return err;
    err = t->policy->fence(&h->map, t->backend);
    order = 0;
    while (!err && (r = alps_redo_next_(h, owner, &order, &lane)) != NULL)
        err = owner && !lane->apply ? alps_redo_settle_(h, r, t)
                                    : alps_redo_(h, lane, r, t);
    return err ? err : t->policy->fence(&h->map, t->backend);
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
ALPS_CORE_ void alps_lane_give_(alps_handle *h, uint64_t *word,
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
        err = t->policy->fence(&h->map, t->backend);
    if (err)
        return err;
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        alps_lane *lane = &h->lanes[i];
        if (alps_load_(&lane->lock) != owner)
            continue;
        alps_lane_give_(h, &lane->held, t);
        alps_lane_give_(h, &lane->pending, t);
        alps_limbo_leave_(h, lane, t);
        alps_lane_free_(lane);
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
    int err = alps_lanes_reap_(h, owner, t);
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
    s->lock = 0;
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
        lane->lock = lane->held = lane->next = lane->apply = 0;
        lane->token = lane->pending = lane->pin = lane->limbo = 0;
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
    h->shared->cursor = 0;
    h->shared->seq = seq;
    h->shared->tokens = 0;
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
        err = t->policy->fence(&h->map, t->backend);
    if (!err)
        alps_shared_reset_(h, epoch);
    return err;
}

/* Takes the lock at `off` when it is not free. From a dead owner that of a
 * shard comes with work to do, and then the dead one is reaped; unless another
 * lock is held, which comes after those that reaping takes: then that is left
 * to the next who finds it dead. */
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
            if (alps_load_(&h->done[i].seq) >= seq ||
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
        return alps_reap_now_(h, t);
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

/* Brings back what the dead hold, or else what this thread and nobody has at
 * hand: before the region is full. ALPS_EFULL: there is nothing. */
ALPS_CORE_ int alps_recover_more_(alps_handle *h, const alps_tables *t)
{
    alps_lock_(h, t);
    uint64_t before = h->shared->reaped;
    int err = alps_reap_dead_(h, t);
    uint64_t n = h->shared->reaped - before;
    if (!err && !n) {
        n = h->shared->swept < alps_extents_(h); // sweeping may bring some
        n += (uint64_t)alps_limbo_flush_(h, t);
        n += alps_thread_trim_(h, t) + alps_loose_trim_(h, t);
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
    for (alps_shard *s = h->shards; s <= h->top; s++)
        alps_store_(&s->lock, 0);
    for (alps_shard *s = h->shards; s <= h->top; s++) {
        alps_shard_lock_(h, s, 1, t);
        t->slow(h, ALPS_SLOW_MEND, (uint64_t)(uintptr_t)s, owner);
        alps_shard_unlock_(s);
    }
    alps_loose_reset_(h);
    alps_limbo_mend_(h, t);
    int err = alps_lanes_reap_(h, owner, t);
    alps_unlock_(h);
    return err;
}

/* region.h -- a region: made, opened, grown, closed
 *
 * A new region is marked as in the making before anything else is in it, and
 * as ready after everything else is durable; so a death in between leaves what
 * is recognised as unfinished, and may be made anew. An existing one is
 * examined before it is changed, and refused with its own code if it is
 * foreign, damaged, cut short or of another layout. All of this runs inside
 * the backend's guard, so that any number of processes may create or open one
 * region at the same instant. */

#define ALPS_SIZE_DEFAULT (64ull << 20)

ALPS_FN_ uint32_t alps_super_crc_(const alps_handle *h)
{
    alps_superblock copy = *h->super;
    copy.state = 0;
    copy.crc = 0;
    return alps_crc32c_(h->crc, 0, &copy, offsetof(alps_superblock, size));
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

/* Where everything is in this process, once the region is mapped. */
ALPS_FN_ void alps_region_place_(alps_handle *h)
{
    unsigned char *base = h->map.base;
    h->super = (alps_superblock *)(void *)base;
    h->done = (alps_done *)(void *)(base + h->at.done);
    h->lanes = (alps_lane *)(void *)(base + h->at.lanes);
    h->slots = (alps_slot *)(void *)(base + h->at.slots);
    h->shared = (alps_shared *)(void *)(base + h->at.shared);
    h->shards = (alps_shard *)(void *)(base + h->at.shards);
    h->top = &h->shards[h->at.shard_count];
    h->codes = (uint64_t *)(void *)(base + h->at.codes);
    h->kinds = (uint64_t *)(void *)(base + h->at.kinds);
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

ALPS_CORE_ int alps_super_state_(alps_handle *h, uint64_t state,
                                 const alps_tables *t)
{
    alps_store_(&h->super->state, state);
    return t->policy->flush(&h->map, h->super, 16);
}

/* How many shards a new region has unless said: one for a few extents, so that
 * none is without. */
ALPS_FN_ unsigned alps_region_shards_(uint64_t extents)
{
    unsigned n = 1;
    while (n < 16 && 8ull * n <= extents)
        n *= 2;
    return n;
}

/* The numbers of a new region, from what was asked for. */
ALPS_FN_ int alps_region_plan_(alps_handle *h, const alps_options *o,
                               uint64_t *size)
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
        (o->layout && strlen(o->layout) >= sizeof h->super->name))
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
    unsigned shards = shift < 20 ? 1 : alps_region_shards_(*size >> shift);
    int err = alps_geometry_init_(&h->at, limit, shift,
                                  o->lanes ? o->lanes : (unsigned)lanes,
                                  o->processes ? o->processes : 256,
                                  alps_kind_round_(o->small ? o->small : small),
                                  o->shards ? o->shards : shards);
    if (err)
        return err;
    return alps_geometry_extents_(&h->at, *size) ? ALPS_OK : ALPS_EINVAL;
}

/* Who this region is: RFC 4122, version 4. */
ALPS_FN_ void alps_uuid_(uint8_t uuid[16])
{
    uint64_t word[2] = {alps_random_(), alps_random_()};
    memcpy(uuid, word, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
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
    int err = alps_region_zero_(h, 16, old - 16, t);
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
    err = t->policy->flush(&h->map, h->codes, 8);
    if (!err)
        err = t->policy->flush(&h->map, s, sizeof *s);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
    return err ? err : alps_super_state_(h, ALPS_STATE_READY, t);
}

/* Makes a region on a medium whose contents do not matter. Its first page says
 * so before the medium gets its length. */
ALPS_CORE_ int alps_region_make_(alps_handle *h, const alps_options *o,
                                 const alps_tables *t)
{
    uint64_t size = 0;
    int err = alps_region_plan_(h, o, &size);
    if (!err && !h->map.fixed && h->map.length < ALPS_PAGE)
        err = t->backend->resize(&h->map, ALPS_PAGE);
    if (!err && !h->map.base)
        err = alps_region_map_(h, ALPS_PAGE, ALPS_PAGE, ALPS_PAGE, t);
    if (err)
        return err;
    err = alps_super_state_(h, ALPS_STATE_MAKING, t);
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
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
    if (err)
        return err;
    const alps_superblock *s = h->super;
    *size = alps_size_(h); // once: another process may be growing the region
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
    err = alps_reap_now_(h, t);
    alps_store_(&h->local->owner, 0);
    int late = t->backend->unlease(&h->map, number);
    return err || late == ALPS_EUNSUPPORTED ? err : late;
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
    err = others ? ALPS_OK : alps_epoch_begin_(h, t);
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
        err = alps_reap_now_(h, t);
    }
    h->attached = !err;
    return err;
}

/* Whether a region that is only read is whole: nothing waits to be redone, or
 * its writer lives and will see to it. */
ALPS_CORE_ int alps_region_settled_(alps_handle *h, const alps_tables *t)
{
    if (!alps_redo_pending_(h))
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
    if (!make) {
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
    err = t->backend->unmap(&h->map);
    if (!err)
        err = alps_region_map_(h, size, h->at.limit, h->at.extent, t);
    if (!err)
        alps_region_place_(h);
    return err;
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
    h->crc = alps_crc_kind_();
    int err = t->backend->open(&h->map, path, o);
    if (err)
        return err;
    *length = h->map.length;
    err = alps_region_enter_(h, o, t);
    if (!err)
        err = alps_local_open_(h);
    if (!err)
        err = o->flags & ALPS_READ_ONLY ? alps_region_settled_(h, t)
                                        : alps_region_attach_(h, t);
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
    if (!(o.flags & ~(ALPS_STRICT | ALPS_READ_ONLY)))
        o.flags |= o.flags & ALPS_READ_ONLY ? 0 : ALPS_CREATE;
    if ((o.flags & ALPS_READ_ONLY) &&
        (o.flags & (ALPS_CREATE | ALPS_TRUNCATE | ALPS_EXCLUSIVE))) {
        memset(h, 0, sizeof *h);
        return ALPS_EINVAL;
    }
    do {
        before = length;
        err = alps_region_try_(h, path, &o, &length, t);
    } while (err == ALPS_ETRUNCATED && length > before);
    return err;
}

/* Ends this process's part in the region; see alps_close. */
ALPS_CORE_ int alps_region_close_(alps_handle *h, const alps_tables *t)
{
    int err = ALPS_OK;
    if (!h->map.base)
        return ALPS_EINVAL;
    if (alps_self_(h)) {
        alps_threads_leave_(h, t);
        alps_lock_(h, t);
        err = alps_reap_dead_(h, t);
        int own = t->slow(h, ALPS_SLOW_REAP, alps_self_(h), 0);
        err = err ? err : own;
        alps_unlock_(h);
        t->backend->unlease(&h->map, h->slot);
    }
    alps_local_close_(h);
    int last = t->backend->close(&h->map);
    memset(h, 0, sizeof *h);
    h->map.fd = -1;
    return err ? err : last;
}

/* Makes the region `size` bytes long, at most its limit; see alps_grow. The
 * medium first, then the code that starts the new extents, then the size. */
ALPS_CORE_ int alps_region_grow_(alps_handle *h, uint64_t size,
                                 const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (size > h->at.limit || size > h->map.reserved)
        return ALPS_ELIMIT;
    alps_shard_lock_(h, h->top, 0, t);
    uint64_t old = alps_extents_(h);
    uint64_t now = alps_geometry_extents_(&h->at, size);
    if (size > alps_size_(h)) {
        err = h->map.fixed ? ALPS_ELIMIT : t->backend->resize(&h->map, size);
        if (!err && now > old) {
            alps_code_clear_(h->codes, old, now);
            alps_code_set_(h->codes, old, ALPS_FREE);
            err = t->policy->flush(&h->map,
                                   (const unsigned char *)h->codes + old / 4,
                                   now / 4 - old / 4 + 1);
            if (!err)
                err = t->policy->fence(&h->map, t->backend);
        }
        if (!err) {
            alps_store_(&h->super->size, alps_seal_(size));
            err = t->policy->flush(&h->map, &h->super->size, 8);
            if (!err)
                err = t->policy->fence(&h->map, t->backend);
            alps_index_reset_(h->top);
        }
    }
    alps_shard_unlock_(h->top);
    return err;
}

/* ptr.h -- pointers that survive a new address
 *
 * A region is mapped wherever there is room, so what is stored is not an
 * address. ALPS_PTR(T) is the offset from the first byte of the region: 8
 * bytes, typed, copied with `=` or memcpy, null when zeroed. ALPS_REL(T) is the
 * distance from itself: it is followed without a handle, and must not be
 * copied by memcpy. An offset read from a region is input, so it is checked. */

/* A typed offset. To C two ALPS_PTR(T) are two types: give it a typedef. */
#define ALPS_PTR(T) \
  union {           \
    alps_off off;   \
    T *type_;       \
  }

/* A typed distance from itself; 0 is null, 1 is itself (no object starts at
 * an odd distance). */
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

ALPS_FN_ void *alps_rel_get_(const int64_t *rel)
{
    if (!*rel)
        return NULL;
    return (void *)((uintptr_t)rel + (uintptr_t)(*rel == 1 ? 0 : *rel));
}

ALPS_FN_ void alps_rel_set_(int64_t *rel, const void *p)
{
    int64_t distance = (int64_t)((uintptr_t)p - (uintptr_t)rel);
    *rel = !p ? 0 : distance == 0 ? 1 : distance;
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
    alps_shard *shard; /* that it was taken from, and that is locked */
} alps_request;

ALPS_FN_ int alps_request_init_(const alps_handle *h, uint64_t align,
                                uint64_t n, unsigned code, alps_request *r)
{
    if (align & (align - 1) || align > h->at.extent || n > ALPS_SIZE_MAX)
        return ALPS_EINVAL;
    r->align = align ? align : 1;
    r->code = code;
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
        int err = alps_take_any_(h, r->shard, r->units, r->align, r->code, off);
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
        err = alps_extents_empty_(h, &n, t);
        if (err)
            return err;
    }
    return ALPS_EFULL;
}

/* The same; before the region is full, all that can comes back. */
ALPS_CORE_ int alps_heap_search_(alps_handle *h, alps_request *r, alps_off *off,
                                 const alps_tables *t)
{
    for (;;) {
        int err = alps_heap_look_(h, r, off, t);
        if (err == ALPS_EFULL)
            err = t->slow(h, ALPS_SLOW_MORE, 0, 0);
        else
            return err;
        if (err)
            return err;
    }
}

/* Takes a block for `r`; r->shard is where, and is locked then. */
ALPS_CORE_ int alps_heap_take_(alps_handle *h, alps_request *r, alps_off *off,
                               const alps_tables *t)
{
    r->shard = r->level == ALPS_LEVEL_EXTENT ? h->top : alps_shard_home_(h);
    alps_shard_lock_(h, r->shard, 0, t);
    if (ALPS_LIKELY_(alps_take_(h, r->shard, r->units, r->align, r->code,
                                off) == ALPS_OK))
        return ALPS_OK;
    alps_shard_unlock_(r->shard);
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
ALPS_CORE_ int alps_heap_settle_(alps_handle *h, alps_off off,
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
    return t->policy->fence(&h->map, t->backend);
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
            err = t->policy->fence(&h->map, t->backend);
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
ALPS_CORE_ void *alps_heap_alloc_(alps_handle *h, uint64_t align, uint64_t n,
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
        err = alps_heap_take_(h, &r, &off, t);
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
        alps_give_(h, &b);
    if (code >= 0)
        alps_block_unlock_(&b);
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
            err = t->policy->fence(&h->map, t->backend);
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

/* Frees the block at `off`, or gives the reservation back that it is. */
ALPS_CORE_ int alps_heap_free_(alps_handle *h, alps_off off,
                               const alps_tables *t)
{
    alps_block b;
    int err = alps_ready_(h, t);
    if (ALPS_UNLIKELY_(err))
        return err;
    if (t->policy->durable) {
        err = alps_heap_free_durable_(h, off, t);
    } else {
        err = alps_heap_own_(h, off, ALPS_USED, &b, t);
        if (ALPS_LIKELY_(!err)) {
            alps_give_(h, &b);
            alps_block_unlock_(&b);
        }
    }
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
                  : alps_zone_carve_(h, &z, unit, r->units, r->align, ALPS_HELD,
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
    int err = t->slow(h, ALPS_SLOW_REFILL, (uint64_t)(uintptr_t)r,
                      (uint64_t)(uintptr_t)off);
    for (alps_shard *s = h->shards; err == ALPS_EFULL && s < h->top; s++)
        err = alps_slab_fit_(h, r, s, off, t);
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
        err = t->policy->fence(&h->map, t->backend);
    if (!err) {
        alps_slab_mark_(h, *place, 1);
        err = t->policy->flush(&h->map,
                               &h->slabs[(*place >> h->at.slab_shift) / 64], 8);
    }
    if (!err)
        err = t->policy->fence(&h->map, t->backend);
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
ALPS_FN_ int alps_rack_turn_(alps_handle *h, alps_rack *rack)
{
    while (rack->partial) {
        alps_off place = rack->partial;
        alps_list_drop_(h, &rack->partial, place);
        rack->empty -= alps_slab_head_(h, place)->where == ALPS_EMPTY;
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
    if (alps_rack_turn_(h, rack))
        return ALPS_OK;
    alps_told_(h, c);
    uint64_t reaped = alps_load_(&h->shared->reaped);
    for (unsigned k = 0; c->reaped != reaped && k < ALPS_KINDS; k++)
        alps_rack_review_(h, &c->rack[k]);
    c->reaped = reaped;
    while (!alps_rack_turn_(h, rack)) {
        int err = alps_rack_get_(h, c, kind, t);
        if (err == ALPS_EFULL) { // readers may have left: look once more
            alps_told_(h, c);
            return alps_rack_turn_(h, rack) ? ALPS_OK : err;
        }
        if (err)
            return err;
    }
    return ALPS_OK;
}

/* How many empty slabs the thread keeps. */
ALPS_FN_ uint64_t alps_cache_empty_(const alps_cache *c)
{
    uint64_t n = 0;
    for (unsigned kind = 0; kind < ALPS_KINDS; kind++)
        n += c->rack[kind].empty;
    return n;
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
    if (alps_cache_empty_(c) < c->most) {
        s->where = ALPS_EMPTY;
        rack->empty++;
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
ALPS_CORE_ uint64_t alps_small_size_(const alps_handle *h, uint64_t align,
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
                err = t->policy->fence(&h->map, t->backend);
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

/* An object of this thread's slab is free to be handed out: it is put at hand,
 * or found again by its pair. `live` are the live ones of its group. */
ALPS_CORE_ int alps_small_back_(alps_handle *h, alps_rack *rack,
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
                            o->bit, off, alps_pair_live_(o->pair), t);
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
ALPS_CORE_ int alps_small_slow_(alps_handle *h, alps_off off,
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
ALPS_CORE_ void *alps_small_pop_(alps_handle *h, alps_rack *rack, uint64_t n,
                                 int how, const alps_tables *t)
{
    alps_spot spot = alps_rack_take_(rack);
    void *p = spot.object;
    uint64_t *own = spot.own;
    if (ALPS_UNLIKELY_(!p))
        return NULL;
    if (how & ALPS_ALLOC_ZERO)
        memset(p, 0, n);
    alps_store_(own, alps_load_(own) ^ spot.bit);
    if (t->policy->durable) {
        int err = ALPS_OK;
        if (how & ALPS_ALLOC_ZERO)
            err = t->policy->flush(&h->map, p, n);
        if (!err)
            err = t->policy->flush(&h->map, own, sizeof(alps_pair));
        if (!err && !(how & ALPS_ALLOC_LATER))
            err = t->policy->fence(&h->map, t->backend);
        if (err)
            alps_fail_(h, err);
    }
    return p;
}

/* The rack for objects of `n` bytes (not 0), with one at hand; NULL where there
 * is no slab to be had. */
ALPS_CORE_ alps_rack *alps_small_rack_(alps_handle *h, uint64_t n,
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
ALPS_CORE_ void *alps_small_other_(alps_handle *h, uint64_t align, uint64_t n,
                                   int how, const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, align, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    return rack ? alps_small_pop_(h, rack, n, how, t)
                : alps_heap_alloc_(h, align, n, how, t);
}

/* See alps_alloc, alps_zalloc, alps_alloc_aligned. */
ALPS_CORE_ void *alps_small_alloc_(alps_handle *h, uint64_t align, uint64_t n,
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
ALPS_CORE_ void *alps_small_reserve_(alps_handle *h, uint64_t n,
                                     const alps_tables *t)
{
    uint64_t small = alps_small_size_(h, 1, n);
    alps_rack *rack = small ? alps_small_rack_(h, small, t) : NULL;
    if (!rack)
        return NULL;
    alps_spot spot = alps_rack_take_(rack);
    alps_slab *s = alps_slab_head_(h, alps_offset_(h, spot.object));
    alps_pair *pair = (alps_pair *)(void *)spot.own;
    alps_keep *keep = &alps_slab_keeps_(h, s)[pair - alps_slab_pairs_(s)];
    if (!__atomic_load_n(&s->kept, __ATOMIC_RELAXED))
        __atomic_store_n(&s->kept, 1, __ATOMIC_RELEASE);
    alps_store_(&keep->own, alps_load_(&keep->own) ^ spot.bit);
    return spot.object;
}

/* See alps_free. */
ALPS_CORE_ int alps_small_free_(alps_handle *h, const void *p,
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
    uint64_t bit = 1ull << (i >> 32) % 64;
    uint64_t own = alps_load_(&pair->own);
    uint64_t live = own ^ alps_load_(&pair->far);
    if (ALPS_UNLIKELY_(!(live & bit)))
        return t->far(h, off);
    alps_store_(&pair->own, own ^ bit);
    if (t->policy->durable) {
        int err = t->policy->flush(&h->map, pair, sizeof *pair);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
        if (err)
            return err;
    }
    return alps_small_back_(h, claim->rack, claim->slab, pair, bit, off,
                            live ^ bit, t);
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
    int err = alps_heap_take_(h, r, off, t);
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
    if (!err)
        err = alps_publish_take_(h, &r, &off, t);
    while (err == ALPS_EFULL && t->slow(h, ALPS_SLOW_MORE, 0, 0) == ALPS_OK)
        err = alps_publish_take_(h, &r, &off, t);
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
    int is = alps_object_at_(h, r->block, &s->object);
    if (is < 0)
        return ALPS_EINVALID_FREE;
    s->small = is;
    if (is) {
        const alps_cache *c = alps_cache_(h);
        s->mine = c && alps_object_mine_(&s->object, c->token);
        s->n = r->units = alps_kind_size_(s->object.kind);
        r->op |= ALPS_OP_SMALL;
        if (code == ALPS_HELD)
            return alps_object_held_(h, &s->object, r->block);
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
    return err ? err : t->policy->fence(&h->map, t->backend);
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
    alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
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
    alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
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
        err = t->policy->fence(&h->map, t->backend);
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
        alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
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
    alps_store_((uint64_t *)alps_address_(h, r->dest), r->value);
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
ALPS_CORE_ int alps_epoch_enter_(alps_handle *h, const alps_tables *t)
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
ALPS_CORE_ int alps_epoch_leave_(alps_handle *h, const alps_tables *t)
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
        err = t->policy->fence(&h->map, t->backend);
    if (n > ALPS_RETIRE_LARGE)
        t->slow(h, ALPS_SLOW_RETIRED, 0, 0);
    return err;
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
            err = t->policy->fence(&h->map, t->backend);
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
    alps_block_unlock_(&next);
    if (!err && t->policy->durable) {
        err = alps_codes_flush_(h, &next.zone, next.unit, more, t);
        if (!err)
            err = t->policy->fence(&h->map, t->backend);
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
    return err ? err : t->policy->fence(&h->map, t->backend);
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
        err = t->policy->fence(&h->map, t->backend);
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
        err = t->policy->fence(&h->map, t->backend);
        if (!err)
            alps_pending_end_(h, c->lane, &o);
    }
    if (err)
        return err;
    alps_lock_(h, t);
    alps_limbo_flush_(h, t);
    alps_thread_trim_(h, t);
    alps_loose_trim_(h, t);
    alps_unlock_(h);
    return alps_extents_empty_(h, &n, t);
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
    case ALPS_SLOW_FREED: return alps_rack_freed_(h, a, t);
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
    case ALPS_SLOW_RETIRED: alps_retire_flush_(h, t); return ALPS_OK;
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
    uint64_t runs;                   /* free ones, a count */
    uint64_t extents;                /* all; a count */
    uint64_t heap_extents;           /* that hold small blocks; a count */
    unsigned fragmentation;          /* of free memory: 1 - largest / all,
                                          in thousandths */
    uint64_t by_class[ALPS_CLASSES]; /* live blocks by size; counts */
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

/* check.h -- every structure against every other
 *
 * The codes against themselves, the index against the codes, the reservations
 * and lanes against both. Nothing is changed and nothing is trusted: a damaged
 * region gives a longer report, not a crash. O(size of the maps). */

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

/* An idle lane has nothing that waits to be redone. */
ALPS_FN_ void alps_check_lane_(const alps_handle *h, unsigned i, alps_report *r)
{
    const alps_lane *lane = &h->lanes[i];
    if (h->done[i].seq > h->shared->seq && h->done[i].seq > lane->seq)
        alps_check_say_(r, h->at.done + i * sizeof(alps_done),
                        "a lane has retired what never was");
    if (lane->held)
        alps_check_say_(r, alps_offset_(h, lane), "an idle lane holds a block");
    for (unsigned k = 0; k < ALPS_RING; k++)
        if (alps_record_live_(h, i, &lane->ring[k]))
            alps_check_say_(r, alps_offset_(h, &lane->ring[k]),
                            "an idle lane has a live record");
}

/* The lanes, but those that are busy. */
ALPS_FN_ void alps_check_lanes_(const alps_handle *h, alps_report *r)
{
    for (unsigned i = 0; i < h->at.lane_count; i++) {
        if (!alps_lock_try_(&h->lanes[i].lock, alps_self_(h)))
            continue;
        alps_check_lane_(h, i, r);
        alps_lane_leave_(&h->lanes[i]);
    }
}

/* See alps_check. */
ALPS_CORE_ int alps_check_all_(alps_handle *h, alps_report *r,
                               const alps_tables *t)
{
    int live = alps_self_(h) != 0;
    memset(r, 0, sizeof *r);
    if (live)
        alps_lock_all_(h, t);
    int err = alps_super_check_(h);
    if (err)
        alps_check_say_(r, 0, "the superblock is damaged");
    alps_check_extents_(h, r);
    if (live) {
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
            alps_check_say_(r, h->at.shards,
                            "the bins hold more or fewer runs");
        alps_check_lanes_(h, r);
        alps_unlock_all_(h);
    }
    return r->problems ? ALPS_ECORRUPT : ALPS_OK;
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
    char layout[64]; /* the program's name for what it stores */
} alps_description;

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
    d->extent = h->at.extent;
    d->lanes = h->at.lane_count;
    d->processes = h->at.slot_count;
    for (unsigned i = 0; i < h->at.slot_count; i++)
        d->attached += alps_slot_owner_(h, i) != 0;
    d->created = h->super->created;
    d->epoch = h->super->epoch >> 16;
    memcpy(d->uuid, h->super->uuid, sizeof d->uuid);
    memcpy(d->layout, h->super->name, sizeof d->layout);
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
ALPS_CORE_ int alps_sync_(alps_handle *h, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (err)
        return err;
    if (!t->policy->durable || h->map.persist == ALPS_PERSIST_MSYNC)
        return t->backend->sync(&h->map, 0, alps_size_(h));
    alps_zone top = alps_zone_top_(h);
    err = t->policy->flush(&h->map, h->map.base, h->at.heap);
    for (uint64_t unit = 0, n; !err && unit < top.end; unit += n) {
        n = alps_zone_units_(&top, unit);
        if (alps_code_(top.codes, unit) == ALPS_USED)
            err = alps_sync_extent_(h, unit, n, t);
    }
    return err ? err : t->policy->fence(&h->map, t->backend);
}

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
#  define ALPS_NATURAL_POLICY_ ALPS_MSYNC
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
#  error \
      "alps.h: backend ALPS_PAGED is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM and ALPS_USER are"
#  define ALPS_REFUSED_
#elif ALPS_BACKEND == ALPS_DSM
#  error \
      "alps.h: backend ALPS_DSM is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM and ALPS_USER are"
#  define ALPS_REFUSED_
#else
#  error \
      "alps.h: ALPS_BACKEND is none of ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM and ALPS_USER"
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
#elif ALPS_POLICY != ALPS_CHECKPOINT
#  error \
      "alps.h: ALPS_POLICY is none of ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC and ALPS_USER"
#  define ALPS_REFUSED_
#elif ALPS_BACKEND == ALPS_FILE || ALPS_BACKEND == ALPS_USER
#  error \
      "alps.h: policy ALPS_CHECKPOINT is not in this version: ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC and ALPS_USER are"
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
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_MSYNC
#    error "alps.h: backend ALPS_FILE goes with policy ALPS_NONE or ALPS_MSYNC"
#    define ALPS_REFUSED_
#  endif
#elif ALPS_BACKEND == ALPS_PMEM
#  if ALPS_POLICY != ALPS_NONE && ALPS_POLICY != ALPS_FLUSH && \
      ALPS_POLICY != ALPS_FENCE && ALPS_POLICY != ALPS_MSYNC
#    error \
        "alps.h: backend ALPS_PMEM goes with policy ALPS_NONE, ALPS_FLUSH, ALPS_FENCE or ALPS_MSYNC"
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
 * Each hands the tables of its instance, a constant, to a function of the core
 * that is inlined here: what is left is direct calls and the policy's own
 * instructions. Unless said otherwise every function may be called from any
 * thread of any attached process at once, and answers 0 or a negative code for
 * alps_strerror. A thread needs no word at its start, and at its end gives back
 * what it has at hand by itself. In the child of a fork what would change the
 * region answers ALPS_EFORK; a region in memory of the process is a copy there,
 * and goes on. Not for signal handlers. */
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
ALPS_COLD_ void ALPS_(ended_)(void *cache);
static __attribute__((noinline, unused)) void *
    ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n, int how);
static __attribute__((noinline, unused)) int ALPS_(far_)(alps_handle *h,
                                                         uint64_t off);

static const alps_tables ALPS_(tables_) __attribute__((unused)) = {
    ALPS_BACKEND_TABLE_, ALPS_POLICY_TABLE_, ALPS_(slow_),
    ALPS_(ended_),       ALPS_(other_),      ALPS_(far_),
};

/* What seldom happens: a lock that is held by another, perhaps dead; an index
 * or a cache that has run out; no lane free; an object of another thread. */
ALPS_COLD_ int ALPS_(slow_)(alps_handle *h, int what, uint64_t a, uint64_t b)
{
    return alps_slow_path_(h, what, a, b, &ALPS_(tables_));
}

/* Allocates what this thread does not have at hand. */
static __attribute__((noinline, unused)) void *
ALPS_(other_)(alps_handle *h, uint64_t align, uint64_t n, int how)
{
    return alps_small_other_(h, align, n, how, &ALPS_(tables_));
}

/* Frees what is not of a slab of this thread. */
static __attribute__((noinline, unused)) int ALPS_(far_)(alps_handle *h,
                                                         uint64_t off)
{
    return alps_small_slow_(h, off, &ALPS_(tables_));
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
 * ALPS_EPROCESSES, ALPS_ERECOVER. One thread per handle at a time. */
static inline __attribute__((unused)) int
ALPS_(open)(ALPS_(heap) * h, const char *path, const alps_options *o)
{
    return alps_region_open_(&h->core, path, o, &ALPS_(tables_));
}

/* Closes the region for this process and gives its reservations back. What
 * alloc, free, publish and release did is durable already; so is, under msync,
 * what the program stored. No other thread may use the handle meanwhile, and
 * none that has used it may end. The child of a fork closes its parent's handle
 * without harm to the parent. */
static inline __attribute__((unused)) int ALPS_(close)(ALPS_(heap) * h)
{
    int err = ALPS_OK;
    if (alps_self_(&h->core) && h->core.map.persist == ALPS_PERSIST_MSYNC)
        err = alps_sync_(&h->core, &ALPS_(tables_));
    int last = alps_region_close_(&h->core, &ALPS_(tables_));
    return err ? err : last;
}

/* Makes the region `size` bytes long, in place; every attached process sees
 * it. A smaller size changes nothing. ALPS_ELIMIT, ALPS_ENOSPC. */
static inline __attribute__((unused)) int ALPS_(grow)(ALPS_(heap) * h,
                                                      uint64_t size)
{
    return alps_region_grow_(&h->core, size, &ALPS_(tables_));
}

/* Makes what lies idle memory for any use: the empty slabs of this thread and
 * those that nobody owns, for a fence each; what was retired and no reader can
 * have; and heap extents without a block. Happens by itself before
 * ALPS_EFULL. O(slabs). */
static inline __attribute__((unused)) int ALPS_(trim)(ALPS_(heap) * h)
{
    return alps_trim_(&h->core, &ALPS_(tables_));
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

/* Makes everything so far durable, the program's own stores included. Not
 * atomic: after a crash in it, some of them are. O(region) under flush. */
static inline __attribute__((unused)) int ALPS_(sync)(ALPS_(heap) * h)
{
    return alps_sync_(&h->core, &ALPS_(tables_));
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
 * unique object. NULL and a code in alps_error: ALPS_EFULL, ALPS_EINVAL (more
 * than any region holds), ALPS_EREADONLY, ALPS_EFORK. Under a durable policy
 * the block is durably allocated on return (one fence; above half an extent
 * two; now and then two more, for a new slab or a new heap extent): a crash
 * before the program's own link is durable leaks it; see alps_reserve. Up to
 * 1 KiB (less in a small region) it takes a lock only to get a slab. O(1) but
 * for the first touch of an extent. */
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
    return err ? err
               : ALPS_(tables_).policy->fence(&h->core.map,
                                              ALPS_(tables_).backend);
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
    return alps_check_all_(&h->core, r ? r : &own, &ALPS_(tables_));
}

/* Adds up what the region holds. Holds all locks meanwhile, which threads with
 * objects at hand do not wait for. O(size of the maps). */
static inline __attribute__((unused)) int ALPS_(stats)(ALPS_(heap) * h,
                                                       alps_statistics *s)
{
    if (alps_self_(&h->core))
        alps_lock_all_(&h->core, &ALPS_(tables_));
    alps_stats_all_(&h->core, s);
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

#undef ALPS_
#undef ALPS_PASTE2_
#undef ALPS_PASTE_

#endif

/* unselect.h -- the choices are forgotten
 *
 * The end of each include: the next one, in the same unit, starts from
 * nothing and may choose otherwise. */
#undef ALPS_NAME
#undef ALPS_BACKEND
#undef ALPS_POLICY
#undef ALPS_USER_BACKEND
#undef ALPS_USER_POLICY
#undef ALPS_CORE_ONLY
#undef ALPS_BACKEND_TABLE_
#undef ALPS_POLICY_TABLE_
#undef ALPS_NATURAL_POLICY_
#undef ALPS_REFUSED_
