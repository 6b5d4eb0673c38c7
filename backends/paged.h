/* paged.h -- a file that is larger than the memory it may have
 *
 * The files of backend file, and the same bytes. What is in memory is ours to
 * choose: docs/paged.md. */
#pragma once
#include "../core/engine.h"
#include "../core/filed.h"

ALPS_COLD_ int alps_paged_close_(alps_map *m);

ALPS_COLD_ int alps_paged_open_(alps_map *m, const char *path,
                                const alps_options *o)
{
    m->pager = alps_engine_begin_();
    if (!m->pager)
        return ALPS_ENOMEM;
    m->pager->commits = m->sole != 0;
    int err = alps_engine_ask_(m->pager, o);
    unsigned asked = err ? 0 : m->pager->asked;
    int reads = (m->flags & ALPS_READ_ONLY) != 0;
    if (asked > ALPS_ENGINE_KERNEL && reads && o &&
        o->engine) // the environment means others
        err = ALPS_EUNSUPPORTED;
    else if (asked == ALPS_ENGINE_REWIRE && !reads && !m->pager->faults)
        err = ALPS_EINVAL;
    if (!err)
        err = alps_filed_open_(m, path, o);
    if (err)
        alps_paged_close_(m);
    return err;
}

/* A shared mapping, as of any file; all of it whole segments, so that it can
 * change over. */
ALPS_COLD_ int alps_paged_kernel_(alps_map *m, uint64_t size, uint64_t reserve,
                                  uint64_t align)
{
    uint64_t segment = (uint64_t)1 << m->pager->shift;
    if (m->flags & ALPS_READ_ONLY && m->journal->size)
        return alps_sole_read_(m, size, reserve, align);
    if (m->sole)
        return alps_sole_map_(m, size, reserve, align);
    if (reserve > ALPS_PAGE)
        reserve = alps_round_up_(reserve, segment);
    return alps_medium_map_(m, size, reserve, align, MAP_SHARED);
}

/* Addresses, and behind each a fault. */
ALPS_COLD_ int alps_paged_ours_(alps_map *m, unsigned engine, uint64_t size,
                                uint64_t reserve, uint64_t align)
{
    alps_pager *p = m->pager;
    unsigned char *base = NULL;
    uint64_t segment = (uint64_t)1 << p->shift;
    uint64_t held = alps_round_up_(reserve, segment);
    uint64_t most = (uint64_t)(ALPS_NO_SEGMENT - 1) << p->shift;
    if (held > most)
        held = most;
    while (!base && held >= size) {
        base = alps_hold_region_(held, align > segment ? align : segment);
        if (base || held == alps_round_up_(size, segment))
            break;
        held = alps_round_up_(held / 2 > size ? held / 2 : size, segment);
    }
    m->size = size;
    int err = base ? alps_engine_page_(p, m, engine, base, held) : ALPS_ENOMEM;
    if (err && base)
        alps_let_addresses_(base, held, 1);
    if (err)
        m->size = 0;
    if (err)
        return err;
    m->base = base;
    m->door = 1;
    m->reserved = held < reserve ? held : reserve;
    return ALPS_OK;
}

/* The first page alone, which the core looks at, needs no engine; nor does a
 * region in the making that is committed all at once from then on. */
ALPS_COLD_ int alps_paged_map_(alps_map *m, uint64_t size, uint64_t reserve,
                               uint64_t align)
{
    alps_pager *p = m->pager;
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    int making = p->commits && !m->sole;
    unsigned engine = reserve > ALPS_PAGE && !making
                          ? alps_engine_choose_(p, m, size)
                          : (unsigned)ALPS_ENGINE_KERNEL;
    if (engine != ALPS_ENGINE_KERNEL) {
        int err = alps_paged_ours_(m, engine, size, reserve, align);
        if (!err || p->asked)
            return err;
    }
    return alps_paged_kernel_(m, size, reserve, align);
}

ALPS_COLD_ int alps_paged_close_(alps_map *m)
{
    int err = m->pager && m->base ? alps_engine_unmap_(m) : ALPS_OK;
    if (m->fd >= 0) {
        int late = alps_filed_close_(m);
        err = err ? err : late;
    }
    if (m->pager)
        munmap(m->pager, sizeof *m->pager);
    m->pager = NULL;
    return err;
}

/* The region no longer fits: we page it from now on, if we can. */
ALPS_COLD_ void alps_paged_outgrow_(alps_map *m)
{
    alps_pager *p = m->pager;
    uint64_t segment = (uint64_t)1 << p->shift;
    unsigned engine = alps_engine_choose_(p, m, m->size);
    if (engine == ALPS_ENGINE_KERNEL)
        return;
    if (m->sole || engine != ALPS_ENGINE_REWIRE)
        p->why = "it has outgrown its memory; opened anew it will be paged";
    else if (m->reserved % segment)
        p->why = "its addresses are no whole segments";
    else
        alps_engine_page_(p, m, engine, m->base, m->reserved);
}

/* New lengths and blocks are on the medium. Where we page, what shows in the
 * region are no pages of the files, which are synced by themselves: if one
 * answers an error then, no fence will. */
ALPS_COLD_ int alps_paged_settle_(alps_map *m, int shown)
{
    int err = alps_medium_sync_lengths_(m, shown);
    if (err && !m->sole && m->base && alps_engine_ours_(m))
        alps_writeback_failed_(m->pager, err);
    return err;
}

ALPS_COLD_ int alps_paged_resize_(alps_map *m, uint64_t size)
{
    alps_pager *p = m->pager;
    uint64_t old = m->length;
    int ours = m->base && alps_engine_ours_(m);
    if (ours && size < (m->sole ? m->size : old))
        alps_writeback_length_(p, size);
    int err = ALPS_OK;
    if (m->sole && m->base && size < old)
        m->size = size; // it is cut when the commit that says so is at home
    else
        err = alps_medium_resize_(m, size);
    if (ours)
        alps_writeback_length_(p, alps_engine_length_(m, p->reserved));
    if (err || (size <= old && !m->parts))
        return err;
    err = alps_paged_settle_(m, !ours);
    if (!err && m->base && !ours && size > old && size > ALPS_PAGE)
        alps_paged_outgrow_(m);
    return err;
}

ALPS_COLD_ int alps_paged_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    int ours = m->base && alps_engine_ours_(m);
    if (m->sole)
        return ours ? alps_capture_give_(m, off, n)
                    : alps_home_give_(m, off, n);
    if (ours)
        alps_writeback_forget_(m->pager, off, n);
    int err = alps_medium_punch_(m, off, n);
    if (ours && m->pager->ahead.most)
        alps_writeback_forget_(m->pager, off, n); // what was brought meanwhile
    return err;
}

ALPS_COLD_ int alps_paged_reserve_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->sole)
        alps_capture_keep_(m, off, n);
    int err = alps_medium_refill_(m, off, n);
    return err || m->sole ? err : alps_paged_settle_(m, 0);
}

ALPS_COLD_ int alps_paged_write_(alps_map *m, uint64_t off, uint64_t n)
{
    alps_pager *p = m->pager;
    if (!alps_engine_ours_(m) || m->sole)
        return ALPS_OK;
    if (m->always_n)
        alps_writeback_listen_(p, m->always_off, m->always_n);
    return alps_writeback_(p, off, n, NULL);
}

static const alps_backend alps_backend_paged_ __attribute__((unused)) = {
    "paged",           alps_paged_open_,    alps_unguard_,
    alps_paged_map_,   alps_engine_unmap_,  alps_paged_resize_,
    alps_paged_punch_, alps_paged_reserve_, alps_engine_sync_,
    alps_lease_,       alps_unlease_,       alps_leased_,
    alps_paged_close_, alps_filed_remove_,  alps_paged_write_,
    alps_capture_,
};
