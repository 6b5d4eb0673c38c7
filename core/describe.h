/* describe.h -- what a program got
 *
 * A policy may find a medium that keeps less than was hoped, or a machine with
 * another instruction; the program can read what it is. */
#pragma once
#include "visit.h"

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
