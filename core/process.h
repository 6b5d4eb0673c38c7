/* process.h -- who is attached, and who is still alive
 *
 * A process takes a slot when it opens a region and a lease on the medium with
 * the slot's number, which the system drops when the process dies, in whatever
 * pid namespace. Media that cannot lease are asked for pid and start time. The
 * generation tells one user of a slot from the next; what carries an older one
 * is void. */
#pragma once
#include "handle.h"

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
