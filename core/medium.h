/* medium.h -- the file of a region, or all its files, as one
 *
 * What the backends over descriptors share: the mapping, lengths, what is given
 * back and reserved, and what is synced. Bytes are those of the region: most
 * regions have one file, and its bytes are theirs.
 *
 * All of `reserve` is mapped at once, also what lies beyond the end of the
 * files: such pages fault only when touched, and become usable by themselves
 * when the files grow, in every process that has mapped them, whoever makes
 * them grow. So growth needs no second mapping, and no word to other
 * processes. */
#pragma once
#include "wanted.h"

/* A stretch of the region that lies in one file. */
typedef struct alps_stretch {
    int fd;
    unsigned file;
    uint64_t at; /* where in it */
    uint64_t n;
} alps_stretch;

/* As much of [off, off + n) as lies in the file that has its beginning. */
ALPS_COLD_ alps_stretch alps_stretch_(const alps_map *m, uint64_t off,
                                      uint64_t n)
{
    alps_stretch s = {m->fd, 0, off, n};
    const alps_parts *p = m->parts;
    if (!p)
        return s;
    while (off >= alps_parts_until_(p, s.file))
        s.file++;
    uint64_t left = alps_parts_until_(p, s.file) - off;
    const alps_piece *piece = &p->piece[s.file];
    s.fd = piece->fd;
    s.at = off - piece->from + piece->front;
    s.n = n < left ? n : left;
    return s;
}

ALPS_COLD_ int alps_medium_read_(const alps_map *m, void *to, uint64_t n,
                                 uint64_t off)
{
    unsigned char *at = (unsigned char *)to;
    int err = ALPS_OK;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        err = alps_fd_read_(s.fd, at, s.n, s.at);
        at += s.n;
        off += s.n;
        n -= s.n;
    }
    return err;
}

ALPS_COLD_ int alps_medium_write_(const alps_map *m, const void *from,
                                  uint64_t n, uint64_t off)
{
    const unsigned char *at = (const unsigned char *)from;
    int err = ALPS_OK;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        err = alps_fd_write_(s.fd, at, s.n, s.at);
        at += s.n;
        off += s.n;
        n -= s.n;
    }
    return err;
}

/* As alps_fd_data_; what is found is in one file. */
ALPS_COLD_ int alps_medium_data_(const alps_map *m, uint64_t length,
                                 uint64_t off, uint64_t *from, uint64_t *to)
{
    while (off < length) {
        alps_stretch s = alps_stretch_(m, off, length - off);
        uint64_t shift = off - s.at;
        if (alps_fd_data_(s.fd, s.at + s.n, s.at, from, to)) {
            *from += shift;
            *to += shift;
            return 1;
        }
        off += s.n;
    }
    return 0;
}

/* All that was written to the files is on the medium. */
ALPS_COLD_ int alps_medium_sync_data_(const alps_map *m)
{
    const alps_parts *p = m->parts;
    int err = alps_fd_sync_data_(m->fd);
    for (unsigned i = 1; !err && p && i < p->n; i++)
        err = alps_fd_sync_data_(p->piece[i].fd);
    return err;
}

/* How many bytes of a region there are, up to the first that is missing. */
ALPS_COLD_ int alps_medium_length_(const alps_map *m, uint64_t *length)
{
    uint64_t have;
    const alps_parts *p = m->parts;
    int err = alps_fd_length_(m->fd, length);
    for (unsigned i = 0; !err && p && i < p->n; i++) {
        const alps_piece *piece = &p->piece[i];
        uint64_t most = alps_parts_until_(p, i) - piece->from;
        err = alps_fd_length_(piece->fd, &have);
        if (err)
            return err;
        have = have < piece->front ? 0 : have - piece->front;
        *length = piece->from + (have < most ? have : most);
        if (have < most)
            break;
    }
    return err;
}

/* ---- lengths */

/* How long file `i` is in a region of `size` bytes. */
ALPS_COLD_ uint64_t alps_medium_end_(const alps_parts *p, unsigned i,
                                     uint64_t size)
{
    const alps_piece *piece = &p->piece[i];
    uint64_t until = alps_parts_until_(p, i);
    if (size <= piece->from)
        return piece->front;
    return piece->front + (size < until ? size : until) - piece->from;
}

/* Makes one file as long as it is to be; `*was` is how long it was before, or
 * UINT64_MAX if it was so long. */
ALPS_COLD_ int alps_medium_stretch_(alps_parts *p, unsigned i, uint64_t size,
                                    uint64_t *was)
{
    uint64_t length, end = alps_medium_end_(p, i, size);
    alps_piece *piece = &p->piece[i];
    *was = UINT64_MAX;
    int err = alps_fd_length_(piece->fd, &length);
    if (err || length >= end)
        return err;
    if (piece->block)
        return ALPS_ENOSPC;
    piece->grown = 1;
    if (length < piece->front)
        length = piece->front;
    err = alps_fd_grow_(piece->fd, length, end);
    if (!err)
        *was = length;
    return err;
}

/* Makes the region longer, from `length` to `size`: in every file that has
 * something of it, or in none. */
ALPS_COLD_ int alps_medium_grow_(const alps_map *m, uint64_t length,
                                 uint64_t size)
{
    uint64_t was[ALPS_PARTS_MAX + 1];
    alps_parts *p = m->parts;
    int err = ALPS_OK;
    unsigned i = 0;
    if (!p)
        return alps_fd_grow_(m->fd, length, size);
    for (; !err && i < p->n; i++)
        err = alps_medium_stretch_(p, i, size, &was[i]);
    while (err && i--)
        if (was[i] != UINT64_MAX && ftruncate(p->piece[i].fd, (off_t)was[i]))
            return alps_oserror_();
    return err;
}

/* Cuts off all beyond `size`. */
ALPS_COLD_ int alps_medium_cut_(const alps_map *m, uint64_t size)
{
    struct stat st;
    const alps_parts *p = m->parts;
    if (!p)
        return ftruncate(m->fd, (off_t)size) ? alps_oserror_() : ALPS_OK;
    for (unsigned i = p->n; i--;) {
        int fd = p->piece[i].fd;
        uint64_t end = alps_medium_end_(p, i, size);
        if (p->piece[i].block)
            continue;
        if (fstat(fd, &st))
            return alps_oserror_();
        if ((uint64_t)st.st_size > end && ftruncate(fd, (off_t)end))
            return alps_oserror_();
    }
    return ALPS_OK;
}

/* The reserve of the contract, where it need not last. */
ALPS_COLD_ int alps_medium_refill_(alps_map *m, uint64_t off, uint64_t n)
{
    int err = ALPS_OK;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    while (!err && n) {
        alps_stretch s = alps_stretch_(m, off, n);
        if (!m->parts || !m->parts->piece[s.file].block)
            err = alps_fd_reserve_(s.fd, s.at, s.n);
        if (m->parts)
            m->parts->piece[s.file].grown = 1;
        off += s.n;
        n -= s.n;
    }
    return err;
}

/* The files that a region goes on in: they come when it gets its length, and go
 * when it has none any more. */
ALPS_COLD_ int alps_medium_parts_(alps_map *m, uint64_t size)
{
    alps_parts *p = m->parts;
    int err = ALPS_OK;
    if (!p)
        return ALPS_OK;
    if (size <= ALPS_PAGE)
        return alps_parts_discard_(m);
    if (m->base || !(p->asked || p->words))
        return ALPS_OK;
    err = alps_wanted_make_(m, size);
    p->asked = NULL;
    p->words = NULL;
    m->more = 0;
    return err;
}

/* The resize of the contract. Another process may have made the region longer
 * than this handle knows: then there is nothing left to do, and nothing is cut
 * off. Asked for the length it has, it reserves blocks where there are holes,
 * which a copying tool or `punch` may have left. */
ALPS_COLD_ int alps_medium_resize_(alps_map *m, uint64_t size)
{
    uint64_t length = 0;
    unsigned more = m->more;
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    if (m->base && size > m->reserved)
        return ALPS_ENOMEM;
    int err = alps_medium_parts_(m, size);
    if (err || more)
        return err;
    err = alps_medium_length_(m, &length);
    if (err)
        return err;
    if (size > length)
        err = alps_medium_grow_(m, length, size);
    else if (size == length)
        err = alps_medium_refill_(m, 0, size);
    else if (size < m->length)
        err = alps_medium_cut_(m, size);
    if (err)
        return err;
    m->length = size < m->length || size > length ? size : length;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

ALPS_COLD_ int alps_medium_punch_(alps_map *m, uint64_t off, uint64_t n)
{
    if (m->flags & ALPS_READ_ONLY)
        return ALPS_EREADONLY;
    while (n) {
        alps_stretch s = alps_stretch_(m, off, n);
        if (syscall(SYS_fallocate, s.fd,
                    ALPS_FALLOC_PUNCH_HOLE_ | ALPS_FALLOC_KEEP_SIZE_,
                    (off_t)s.at, (off_t)s.n))
            return alps_oserror_();
        off += s.n;
        n -= s.n;
    }
    return ALPS_OK;
}

/* ---- the mapping */

/* Maps bytes [0, `n`) at `base`, which is held for them. */
ALPS_COLD_ int alps_medium_map_at_(const alps_map *m, unsigned char *base,
                                   uint64_t n, int how)
{
    int may = m->flags & ALPS_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    for (uint64_t off = 0; off < n;) {
        alps_stretch s = alps_stretch_(m, off, n - off);
        if (mmap(base + off, (size_t)s.n, may, how | MAP_NORESERVE | MAP_FIXED,
                 s.fd, (off_t)s.at) == MAP_FAILED)
            return alps_oserror_();
        off += s.n;
    }
    return ALPS_OK;
}

/* The map of the contract; `how` is MAP_SHARED, or more. Where so many
 * addresses are refused half as many are tried, down to what is needed. */
ALPS_COLD_ int alps_medium_map_(alps_map *m, uint64_t size, uint64_t reserve,
                                uint64_t align, int how)
{
    if (size == 0 || size > m->length || reserve < size)
        return ALPS_EINVAL;
    for (;;) {
        int err = ALPS_ENOMEM;
        unsigned char *base = alps_hold_region_(reserve, align);
        if (base)
            err = alps_medium_map_at_(m, base, reserve, how);
        if (!err) {
            m->base = base;
            m->size = size;
            m->reserved = reserve;
            m->door = 1;
            return ALPS_OK;
        }
        if (base)
            alps_let_addresses_(base, reserve, 1);
        if (err != ALPS_ENOMEM || reserve == size)
            return err;
        reserve = reserve / 2 > size ? reserve / 2 : size;
    }
}

ALPS_COLD_ int alps_medium_unmap_(alps_map *m)
{
    int err =
        m->base ? alps_let_addresses_(m->base, m->reserved, m->door) : ALPS_OK;
    if (err)
        return err;
    m->base = NULL;
    m->size = m->reserved = 0;
    return ALPS_OK;
}

/* Bytes [off, off + n) of the mapping, and the lengths of files with them, are
 * on the medium when this returns: the system syncs each file that has some. */
ALPS_COLD_ int alps_medium_sync_(alps_map *m, uint64_t off, uint64_t n)
{
    uint64_t into = off % alps_system_page_();
    if (n && msync(m->base + (off - into), (size_t)(n + into), MS_SYNC))
        return alps_oserror_();
    return ALPS_OK;
}

/* The same of the length of one file, where the region has some of it at
 * `off`. With `shown` what is mapped there are the file's own pages. */
ALPS_COLD_ int alps_medium_sync_file_(alps_map *m, int fd, uint64_t off,
                                      int shown)
{
    if (m->sole)
        return alps_fd_sync_data_(fd);
    if (shown && m->base && off < m->size)
        return alps_medium_sync_(m, off, 1);
    return fsync(fd) ? alps_oserror_() : ALPS_OK;
}

/* A new length is durable before anything that is stored in the new bytes, or
 * about them, can be: without this every one of 12 power cuts while a region
 * on DAX grew left a file shorter than the region in it said. One page of the
 * mapping will do: the file system writes the inode with it, and a sync of all
 * would stop the program until all that it has stored so far is written. */
ALPS_COLD_ int alps_medium_sync_lengths_(alps_map *m, int shown)
{
    alps_parts *p = m->parts;
    if (!p)
        return alps_medium_sync_file_(m, m->fd, 0, shown);
    for (unsigned i = 0; i < p->n; i++) {
        alps_piece *piece = &p->piece[i];
        if (!piece->grown)
            continue;
        int err = alps_medium_sync_file_(m, piece->fd, piece->from, shown);
        if (err)
            return err;
        piece->grown = 0;
    }
    return ALPS_OK;
}

ALPS_COLD_ int alps_medium_sync_length_(alps_map *m)
{
    return alps_medium_sync_lengths_(m, 1);
}

/* ---- opened, closed, removed */

ALPS_COLD_ int alps_medium_close_(alps_map *m)
{
    int err = alps_medium_unmap_(m);
    alps_parts_end_(m);
    if (m->fd >= 0 && close(m->fd) && !err)
        err = alps_oserror_();
    m->fd = -1;
    return err;
}

/* Finds the files of a region that is there, and whether it is to get more. For
 * who salvages there are as many as there are. */
ALPS_COLD_ int alps_medium_find_(alps_map *m)
{
    alps_parts *p = m->parts;
    int salvage = m->flags & ALPS_SALVAGE && m->flags & ALPS_READ_ONLY;
    int err = alps_parts_find_(m, 0);
    if (salvage && (err == ALPS_EPART || err == ALPS_ECORRUPT))
        err = ALPS_OK;
    if (!err && p->n > 1)
        err = alps_medium_length_(m, &m->length);
    int n = err ? 0 : alps_wanted_count_(p);
    if (err || n < 0)
        return err ? err : n;
    unsigned there = p->n;
    uint64_t least = alps_wanted_least_(m);
    m->more = (unsigned)n >= there;
    if (!m->more) {
        p->asked = NULL;
        return ALPS_OK;
    }
    err = alps_parts_find_(m, 1); // what was begun before is in nobody's way
    if (!err)
        err = alps_wanted_check_(p, there, least);
    alps_parts_drop_(p, there);
    return err;
}

/* Finds the files of the region at `path`, whose first one was just opened. Of
 * one that is to be made anew they go then, and are not looked for. */
ALPS_COLD_ int alps_medium_enter_(alps_map *m, const char *path,
                                  const alps_options *o)
{
    alps_onward on;
    uint64_t word[2] = {0, 0}; // magic and state
    const char *words = getenv("ALPS_PARTS");
    int reads = (m->flags & ALPS_READ_ONLY) != 0, err = ALPS_OK;
    memset(&on, 0, sizeof on);
    if (m->length >= ALPS_PAGE)
        err = alps_fd_read_(m->fd, word, sizeof word, 0);
    if (!err && m->length >= ALPS_PAGE)
        err = alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD);
    if (err)
        return err;
    int leads = alps_onward_leads_(alps_crc_kind_(), &on);
    int named =
        leads > 0 || ((on.from || on.crc) && word[0] == ALPS_PART_REGION_);
    int anew = m->length <= ALPS_PAGE || word[1] == ALPS_PART_MAKING_ ||
               m->flags & ALPS_TRUNCATE;
    const alps_part *asked = o && !reads ? o->parts : NULL;
    if (asked || reads || !anew || (words && !*words))
        words = NULL;
    if (!asked && !words && !named)
        return ALPS_OK;
    err = alps_parts_begin_(m, path);
    if (err)
        return err;
    m->parts->asked = asked;
    m->parts->words = words;
    if (!anew)
        return alps_medium_find_(m);
    err = alps_parts_find_(m, 1);
    if (!err)
        err = alps_wanted_check_(m->parts, 1, ALPS_PAGE);
    alps_parts_drop_(m->parts, 1);
    return err;
}

/* Removes the parts of the region behind `m->fd`, if it has any. */
ALPS_COLD_ int alps_medium_bare_(alps_map *m, const char *path)
{
    alps_onward on;
    if (alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD) || !on.path[0])
        return ALPS_OK;
    int err = alps_parts_begin_(m, path);
    if (!err)
        err = alps_parts_unlink_(m, 1);
    alps_parts_end_(m);
    return err;
}

ALPS_COLD_ int alps_medium_remove_(const char *path)
{
    alps_map m;
    if (!path || !*path)
        return ALPS_EINVAL;
    memset(&m, 0, sizeof m);
    m.fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (m.fd < 0)
        return alps_fd_open_error_();
    int err = alps_fd_kind_(m.fd, 0);
    if (!err)
        err = alps_detached_(m.fd);
    if (!err)
        err = alps_medium_bare_(&m, path);
    if (!err)
        err = alps_fd_remove_at_(m.fd, path);
    close(m.fd);
    return err;
}
