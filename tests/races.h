/* races.h -- many processes at one medium at the same instant */
#pragma once
#include "contract.h"

enum { RACERS = 8 };

/* Makes it, or finds it made; counts itself in. 0: found, 1: made. */
static inline int child_creates_or_opens(void)
{
    alps_map m;
    if (try_open(&m, ALPS_CREATE))
        return 10;
    int made = m.length == 0;
    if (made && backend->resize(&m, 4096))
        return 11;
    if (m.length != 4096 || backend->map(&m, 4096, 4096, 4096))
        return 12;
    m.base[0]++; // inside the guard: nobody else does meanwhile
    if (backend->unguard(&m) || backend->close(&m))
        return 13;
    return made;
}

static inline void one_of_many_creates_and_all_open(void)
{
    alps_map m;
    for (int round = 0; round < 25; round++) {
        path_to("crowd");
        CHECK_EQ(in_children(RACERS, child_creates_or_opens, 1), 1);
        CHECK_EQ(open_whole(&m, 0, 0), 0);
        CHECK_EQ(m.base[0], RACERS);
        close_and_remove(&m);
    }
}

static inline int child_creates_exclusively(void)
{
    alps_map m;
    int err = try_open(&m, ALPS_CREATE | ALPS_EXCLUSIVE);
    if (err)
        return -err;
    if (backend->resize(&m, 4096) || backend->unguard(&m))
        return 40;
    return backend->close(&m) ? 41 : 0;
}

static inline void one_of_many_creates_exclusively(void)
{
    for (int round = 0; round < 25; round++) {
        path_to("only");
        CHECK_EQ(in_children(RACERS, child_creates_exclusively, 0), 1);
        CHECK_EQ(in_children(2, child_creates_exclusively, -ALPS_EEXIST), 2);
        CHECK_EQ(backend->remove(path), 0);
    }
}

/* Somebody is about to remove it, and waits for a processor. */
static inline void a_slow_remover_is_waited_for(void)
{
    alps_map m;
    int status = 1;
    path_to("slow");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 4096), 0);
    CHECK_EQ(backend->close(&m), 0);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    CHECK_EQ(alps_detached_(fd), 0);
    CHECK_EQ(try_open(&m, ALPS_CREATE), ALPS_EBUSY); // about a second later
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(fd); // the lock stays with the parent, who has it open
        alarm(60);
        _exit(child_opens_what_is_named());
    }
    usleep(200000);
    CHECK_EQ(unlink(file), 0);
    close(fd);
    waitpid(pid, &status, 0);
    CHECK_EQ(status, 0);
    CHECK_EQ(backend->remove(path), 0);
}

/* Opens often; whatever it has open is what the path names, for an open medium
 * is not removed. */
static inline int child_opens_what_is_there(void)
{
    for (int i = 0; i < 1500; i++) {
        alps_map m;
        if (open_whole(&m, ALPS_CREATE, 4096))
            return 20;
        if (!alps_fd_named_(m.fd, file))
            return 21;
        m.base[i % 4096]++;
        if (i % 8 == 0)
            sched_yield();
        if (!alps_fd_named_(m.fd, file))
            return 22;
        if (backend->close(&m))
            return 23;
    }
    return 0;
}

static inline int child_removes_often(void)
{
    for (int i = 0; i < 3000; i++) {
        int err = backend->remove(path);
        if (err && err != ALPS_EBUSY && err != ALPS_ENOENT)
            return 30;
        sched_yield();
    }
    return 0;
}

static inline int child_opens_or_removes(void)
{
    return getpid() % 2 ? child_opens_what_is_there() : child_removes_often();
}

static inline void openers_and_removers_agree(void)
{
    path_to("contested");
    CHECK_EQ(in_children(6, child_opens_or_removes, 0), 6);
    CHECK_EQ(other_status, 0);
    int err = backend->remove(path);
    CHECK(err == 0 || err == ALPS_ENOENT);
}
