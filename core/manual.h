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
#pragma once
