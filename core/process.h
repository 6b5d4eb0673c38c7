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

/* When process `pid` started, in clock ticks after boot, or 0 if there is no
 * such process. */
ALPS_COLD_ uint64_t alps_process_start_(uint64_t pid)
{
    char path[40], text[512];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *at = strrchr(text, ')'); // the name may hold spaces
    if (at && at[1] == ' ' && (at[2] == 'Z' || at[2] == 'X'))
        return 0; // a zombie runs no more
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* Whether the owner of a lock word, or of anything else, still lives. */
ALPS_CORE_ int alps_owner_lives_(alps_handle *h, uint64_t owner,
                                 const alps_tables *t)
{
    unsigned number = (unsigned)(owner & 0xffff);
    if (owner == h->owner)
        return 1;
    if (number >= h->at.slot_count)
        return 0;
    const alps_slot *slot = &h->slots[number];
    if (alps_load_(&slot->generation) != owner >> 16)
        return 0;
    int leased = t->backend->leased(&h->map, number);
    if (leased >= 0)
        return leased;
    uint64_t start = alps_process_start_(alps_load_(&slot->pid));
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
        alps_store_(&slot->start, alps_process_start_(pid));
        ALPS_BARRIER_();
        alps_store_(&slot->generation, slot->generation + 1);
        h->slot = i;
        h->owner = alps_owner_(slot->generation, i);
        return ALPS_OK;
    }
    return ALPS_EPROCESSES;
}

/* Nobody is in slot `number` any more. */
ALPS_FN_ void alps_slot_free_(alps_handle *h, unsigned number)
{
    alps_slot *slot = &h->slots[number];
    alps_store_(&slot->pid, 0);
    __atomic_store_n(&slot->generation, (slot->generation | 1) + 1,
                     __ATOMIC_RELEASE);
}
