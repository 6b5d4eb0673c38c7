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
 * than option `memory` says (else half of what there is). Beyond that its pages
 * are brought by the thread that touches them, in a signal handler; what such a
 * handler starts from is an object of the program, for the library has none of
 * its own. One unit defines it, all name it before the include:
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
#pragma once
