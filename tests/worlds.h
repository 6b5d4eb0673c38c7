/* worlds.h -- one region, in each kind of memory
 *
 * Tests of small objects run where threads alone see the region, where
 * processes do, in a file, and where every change is written back; `begin`
 * makes the region of the test and `end` removes it. */
#pragma once
#include "model.h"

struct world {
    const char *name;
    const alps_backend *backend;
    const alps_policy *policy;
};

static const struct world worlds[] = {
    {"shmem", &alps_backend_shmem_, &alps_policy_none_},
    {"file", &alps_backend_file_, &alps_policy_none_},
    {"durably", &alps_backend_pmem_, &alps_policy_flush_},
    {"anon", &alps_backend_anon_, &alps_policy_none_},
};
#define WORLDS (sizeof worlds / sizeof *worlds)

static const struct world *world = worlds;
static any_heap heap;

/* Runs the test in the first `n` worlds: the last has no second process, and
 * no bytes that stay. */
static inline void run_in(unsigned n, void (*test)(void), const char *name)
{
    char text[120];
    for (unsigned i = 0; i < n; i++) {
        world = &worlds[i];
        choose(world->backend, world->policy);
        snprintf(text, sizeof text, "%s (%s)", name, world->name);
        check_run_(test, text);
    }
}

#define RUN_EVERYWHERE(name) run_in(WORLDS, name, #name)
#define RUN_WHERE_BYTES_STAY(name) run_in(WORLDS - 1, name, #name)

static inline int is_anon(void)
{
    return world->backend == &alps_backend_anon_;
}

/* The region of the test, by the number of the first process: its children
 * have another. */
static char the_name[64], the_path[80];

/* What it is opened by. */
static inline const char *place(void)
{
    return is_anon()                                ? NULL
           : world->backend == &alps_backend_shmem_ ? the_name
                                                    : the_path;
}

static inline alps_options options(uint64_t size, uint64_t extent)
{
    alps_options o = small(size, extent);
    o.lanes = 16;
    return o;
}

static inline void begin_with(alps_options o)
{
    snprintf(the_name, sizeof the_name, "%s", shm_name("small"));
    snprintf(the_path, sizeof the_path, "%s", shm_path("small"));
    unlink(the_path); // of one who died and had our number
    o.flags = ALPS_CREATE | (is_anon() ? 0 : ALPS_EXCLUSIVE);
    CHECK_EQ(any_open(&heap, place(), &o), 0);
}

static inline void begin(uint64_t size, uint64_t extent)
{
    begin_with(options(size, extent));
}

/* Opens it once more, as another process would. */
static inline int open_too(any_heap *h)
{
    alps_options o = options(0, 0);
    o.flags = ALPS_STRICT;
    return any_open(h, place(), &o);
}

static inline void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
    if (!is_anon())
        CHECK_EQ(any_remove(place()), 0);
}

/* The process stops without a word: the bytes as they are now are opened. */
static inline void crash(void)
{
    CHECK_EQ(copy_file(the_path, shm_path("crash")), 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(rename(shm_path("crash"), the_path), 0);
    CHECK_EQ(open_too(&heap), 0);
}

static inline alps_statistics stats(void)
{
    alps_statistics s;
    CHECK_EQ(any_stats(&heap, &s), 0);
    return s;
}

/* Whether `p` is where a slab has, or could have, an object. */
static inline int in_slab(const void *p)
{
    alps_object o;
    return p && alps_object_at_(&heap.core, any_off_of(&heap, p), &o) == 1;
}

static inline uint64_t fingerprint(void)
{
    return fingerprint_of(&heap.core);
}

/* Freeing `p` in any way is refused, and nothing has changed. */
static inline void not_freed(void *p)
{
    alps_off *root = (alps_off *)any_root(&heap, 8);
    alps_off was = *root;
    uint64_t before = fingerprint();
    CHECK_EQ(any_free(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_cancel(&heap, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_publish(&heap, root, p), ALPS_EINVALID_FREE);
    CHECK_EQ(any_usable(&heap, p), 0);
    CHECK(any_realloc(&heap, p, 10) == NULL);
    CHECK_EQ(any_error(&heap), ALPS_EINVALID_FREE);
    CHECK_EQ(*root, was);
    CHECK_EQ(fingerprint(), before);
}
