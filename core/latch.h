/* latch.h -- a lock that a signal handler may take
 *
 * Three states and a futex (Drepper, "Futexes are tricky", 2011). Whoever holds
 * it lets no signal in meanwhile: so no handler of the program runs on top of
 * it, which might touch a page that only the holder can bring. Nothing under it
 * is a point where a thread can be cancelled. */
#pragma once
#include "error.h"
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
