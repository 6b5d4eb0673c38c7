/* umalloc.h -- a file as plain memory
 *
 * What uMalloc does (Awan et al. 2020), with its promises kept: the mapping is
 * as long as was asked for, a file that is there is never cut, a sync is of all
 * that was stored, and an error is a code. No heap and no header is in the
 * file. What is known of the mapping lies in the page before it, so that its
 * address is all that a program has to keep. */
#pragma once
#include "engine.h"

#define ALPS_UMALLOC_MAGIC_ 0x434c4c414d555350ull

typedef struct alps_umapped {
    uint64_t magic; /* and its own address, so that no other page has it */
    uint64_t bytes; /* that the program asked for */
    unsigned char *held;
    uint64_t held_n; /* of the addresses, this page and what is before it */
    alps_map map;
} alps_umapped;
ALPS_STATIC_ASSERT_(sizeof(alps_umapped) <= ALPS_PAGE, "a page");

/* What errno is for a code. */
ALPS_COLD_ int alps_umalloc_errno_(int code)
{
    switch (code) {
    case ALPS_OK: return 0;
    case ALPS_EINVAL: return EINVAL;
    case ALPS_ENOMEM:
    case ALPS_EFULL: return ENOMEM;
    case ALPS_ENOSPC: return ENOSPC;
    case ALPS_EBUSY: return EBUSY;
    case ALPS_EEXIST: return EEXIST;
    case ALPS_ENOENT: return ENOENT;
    case ALPS_EACCES: return EACCES;
    case ALPS_EREADONLY: return EROFS;
    case ALPS_EUNSUPPORTED: return ENOTSUP;
    default: return EIO;
    }
}

/* Leaves errno as the code says, and answers the code. */
ALPS_COLD_ int alps_umalloc_fail_(int code)
{
    if (code)
        errno = alps_umalloc_errno_(code);
    return code;
}

/* The page before `p`, or NULL where `p` is nothing of ours. */
ALPS_COLD_ alps_umapped *alps_umalloc_of_(const void *p)
{
    uint64_t page = alps_system_page_();
    uintptr_t at = (uintptr_t)p - page;
    unsigned char there;
    if (!p || (uintptr_t)p % page ||
        mincore((void *)at, (size_t)page, &there)) // nothing is mapped there
        return NULL;
    alps_umapped *u = (alps_umapped *)at;
    return u->magic == (ALPS_UMALLOC_MAGIC_ ^ at) ? u : NULL;
}

/* Holds addresses for `n` bytes in whole segments, and a page before them. */
ALPS_COLD_ alps_umapped *alps_umalloc_hold_(uint64_t n, uint64_t segment)
{
    uint64_t page = alps_system_page_();
    uint64_t before = segment > page ? segment : page;
    unsigned char *at =
        n + before < n ? NULL : alps_hold_addresses_(n + before, before);
    if (!at)
        return NULL;
    alps_umapped *u = (alps_umapped *)(void *)(at + before - page);
    if (mprotect(u, (size_t)page, PROT_READ | PROT_WRITE)) {
        munmap(at, (size_t)(n + before));
        return NULL;
    }
    u->held = at;
    u->held_n = before;
    u->map.fd = -1;
    return u;
}

/* The file is at least as long as what is mapped of it, and its blocks are
 * there. */
ALPS_COLD_ int alps_umalloc_file_(alps_map *m, uint64_t bytes)
{
    int err = alps_sole_lock_(m->fd, 0);
    if (!err && m->length < bytes)
        err = alps_fd_grow_(m->fd, m->length, bytes);
    if (!err && m->length < bytes && fsync(m->fd))
        err = alps_oserror_();
    m->length = bytes;
    return err ? err : alps_unguard_(m);
}

/* Maps it, by whom the options say or whoever can. */
ALPS_COLD_ int alps_umalloc_map_(alps_umapped *u, unsigned char *base,
                                 uint64_t n)
{
    alps_map *m = &u->map;
    int err = ALPS_ENOENT;
    unsigned engine = alps_engine_choose_(m->pager, m, u->bytes);
    if (engine != ALPS_ENGINE_KERNEL) {
        err = alps_engine_page_(m->pager, m, engine, base, n);
        if (err && m->pager->asked)
            return err;
    }
    if (err)
        err = alps_medium_map_at_(m, base, n, MAP_SHARED);
    if (err)
        return err;
    m->base = base;
    m->size = u->bytes;
    m->reserved = n;
    return ALPS_OK;
}

/* Ends a mapping: what is dirty is written, and all addresses go. */
ALPS_COLD_ int alps_umalloc_end_(alps_umapped *u, uint64_t n)
{
    alps_map m = u->map;
    unsigned char *held = u->held, *base = held + u->held_n;
    int mapped = m.base != NULL, err = ALPS_OK;
    if (mapped)
        err = alps_engine_unmap_(&m);
    if (m.fd >= 0)
        close(m.fd);
    if (m.pager)
        munmap(m.pager, sizeof *m.pager);
    munmap(held, (size_t)(base - held));
    if (!mapped)
        munmap(base, (size_t)n);
    return err;
}

/* See alps_umalloc. */
ALPS_COLD_ void *alps_umalloc_(const char *path, uint64_t bytes,
                               const alps_options *o, alps_faults *faults)
{
    alps_options own;
    memset(&own, 0, sizeof own);
    if (o)
        own = *o;
    if (!own.faults)
        own.faults = faults;
    alps_pager *pager = alps_engine_begin_();
    int err = pager ? alps_engine_ask_(pager, &own) : ALPS_ENOMEM;
    if (!err && (!bytes || bytes > (uint64_t)1 << 47))
        err = ALPS_EINVAL;
    uint64_t segment = err ? 0 : (uint64_t)1 << pager->shift;
    uint64_t n = err ? 0 : alps_round_up_(bytes, segment);
    alps_umapped *u = err ? NULL : alps_umalloc_hold_(n, segment);
    if (!u) {
        if (pager)
            munmap(pager, sizeof *pager);
        alps_umalloc_fail_(err ? err : ALPS_ENOMEM);
        return NULL;
    }
    u->bytes = bytes;
    u->map.pager = pager;
    u->map.flags = ALPS_CREATE;
    u->map.progress = own.progress;
    u->map.progress_context = own.progress_context;
    unsigned char *base = u->held + u->held_n;
    err = alps_fd_open_(&u->map, path, own.mode, 0);
    if (!err)
        err = alps_umalloc_file_(&u->map, bytes);
    if (!err)
        err = alps_umalloc_map_(u, base, n);
    if (err) {
        alps_umalloc_end_(u, n);
        alps_umalloc_fail_(err);
        return NULL;
    }
    u->magic = ALPS_UMALLOC_MAGIC_ ^ (uintptr_t)u;
    return base;
}

/* See alps_usync. */
ALPS_COLD_ int alps_umalloc_sync_(void *p)
{
    alps_umapped *u = alps_umalloc_of_(p);
    if (!u)
        return alps_umalloc_fail_(ALPS_EINVAL);
    if (u->map.pager->process != getpid())
        return alps_umalloc_fail_(ALPS_EFORK);
    return alps_umalloc_fail_(alps_engine_sync_(&u->map, 0, u->bytes));
}

/* See alps_ufree. */
ALPS_COLD_ int alps_umalloc_free_(void *p)
{
    alps_umapped *u = alps_umalloc_of_(p);
    int err = ALPS_OK;
    if (!u)
        return alps_umalloc_fail_(p ? ALPS_EINVAL : ALPS_OK);
    if (u->map.pager->process == getpid())
        err = alps_engine_sync_(&u->map, 0, u->bytes);
    int late = alps_umalloc_end_(u, u->map.reserved);
    return alps_umalloc_fail_(err ? err : late);
}
