/* fault.h -- a thread touched what is not in memory
 *
 * The system calls one function for the whole process and hands it an address.
 * The library keeps nothing of its own outside of handles and regions, so the
 * object that this function starts from is the program's: one ALPS_HANDLER at
 * file scope, in one unit. It lists the ranges that are the library's. What
 * lies in none of them goes to whoever had the signal before, as if we were not
 * there; and when the last range is gone, so is our handler. */
#pragma once
#include "latch.h"
#include "pool.h"
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
