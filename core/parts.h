/* parts.h -- the files of a region that is in several
 *
 * Found by following who names whom, each looked at before it is believed. A
 * part is named before there is a file, and counts when the name says where it
 * begins: so whatever a crash leaves can be found, and be taken away. */
#pragma once
#include "part.h"

/* One file of a region, and what is in it. */
typedef struct alps_piece {
    int fd;
    unsigned grown; /* 1: its length, or its blocks, are not durable yet */
    unsigned block; /* 1: a device, whose length is its own */
    uint64_t from;  /* the first byte of the region that is in it, */
    uint64_t front; /* and where in the file that is */
} alps_piece;

/* What a process knows of them. */
typedef struct alps_parts {
    const alps_part *asked; /* what the program wants the region to go on in; */
    const char *words;      /* or the environment. NULL: nothing */
    unsigned n;             /* files, with the first; */
    unsigned crc;           /* how checksums are computed */
    int dir;                /* the folder of the first */
    dev_t dev;              /* which file that is */
    ino_t ino;
    char name[256]; /* its name there */
    alps_piece piece[ALPS_PARTS_MAX + 1];
} alps_parts;
ALPS_STATIC_ASSERT_(sizeof(alps_parts) <= ALPS_PAGE, "a page");

/* Forgets all files but the first `keep`; they stay as they are. */
ALPS_COLD_ void alps_parts_drop_(alps_parts *p, unsigned keep)
{
    while (p->n > keep)
        close(p->piece[--p->n].fd);
}

ALPS_COLD_ void alps_parts_end_(alps_map *m)
{
    alps_parts *p = m->parts;
    if (!p)
        return;
    alps_parts_drop_(p, 1);
    if (p->dir >= 0)
        close(p->dir);
    munmap(p, sizeof *p);
    m->parts = NULL;
}

/* Begins with the first file, that is open already. */
ALPS_COLD_ int alps_parts_begin_(alps_map *m, const char *path)
{
    char real[4096];
    void *room = mmap(NULL, sizeof(alps_parts), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return ALPS_ENOMEM;
    alps_parts *p = (alps_parts *)room;
    m->parts = p;
    p->n = 1;
    p->dir = -1;
    p->crc = alps_crc_kind_();
    p->piece[0].fd = m->fd;
    struct stat st;
    int err =
        fstat(m->fd, &st) ? alps_oserror_() : alps_fd_path_(m->fd, path, real);
    char *slash = err ? NULL : strrchr(real, '/');
    const char *last = slash ? slash + 1 : real;
    if (!err && strlen(last) >= sizeof p->name)
        err = ALPS_EINVAL;
    if (!err) {
        p->dev = st.st_dev;
        p->ino = st.st_ino;
        strcpy(p->name, last);
        if (slash)
            slash[1] = 0;
        p->dir = open(slash ? real : ".",
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
        if (p->dir < 0)
            err = alps_oserror_();
    }
    if (err)
        alps_parts_end_(m);
    return err;
}

/* Where the region ends in file `i`, if it goes on behind it. */
ALPS_FN_ uint64_t alps_parts_until_(const alps_parts *p, unsigned i)
{
    return i + 1 < p->n ? p->piece[i + 1].from : UINT64_MAX;
}

/* Where file `i` names the next. */
ALPS_FN_ uint64_t alps_parts_place_(unsigned i)
{
    return i ? ALPS_PART_NEXT_ : ALPS_ONWARD;
}

/* Whether the file behind `fd` is one of them already. */
ALPS_COLD_ int alps_parts_among_(const alps_parts *p, int fd)
{
    struct stat st, other;
    if (fstat(fd, &st))
        return 1; // never mind which
    for (unsigned i = 0; i < p->n; i++)
        if (!fstat(p->piece[i].fd, &other) &&
            ((st.st_dev == other.st_dev && st.st_ino == other.st_ino) ||
             (S_ISBLK(st.st_mode) && S_ISBLK(other.st_mode) &&
              st.st_rdev == other.st_rdev)))
            return 1;
    return 0;
}

/* Whether some of it lies where other bytes than zeroes may be that nobody has
 * stored. */
ALPS_FN_ int alps_parts_stale_(const alps_parts *p)
{
    for (unsigned i = 0; p && i < p->n; i++)
        if (p->piece[i].block)
            return 1;
    return 0;
}

/* The file behind `fd` is the next one; `grown`: it was made just now. */
ALPS_FN_ void alps_parts_join_(alps_parts *p, int fd,
                               const alps_part_head *head, unsigned grown)
{
    alps_piece *piece = &p->piece[p->n++];
    piece->fd = fd;
    piece->block = (unsigned)alps_fd_block_(fd);
    piece->grown = grown;
    piece->from = head->from;
    piece->front = head->front;
}

/* Takes the file that `on` names, if it is that part; with `any` also one whose
 * making was cut short. ALPS_EPART: there is no such file, or another. */
ALPS_COLD_ int alps_parts_take_(alps_map *m, const alps_onward *on, int any)
{
    alps_part_head head;
    alps_parts *p = m->parts;
    int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    how |= m->flags & ALPS_READ_ONLY ? O_RDONLY : O_RDWR;
    int fd = openat(p->dir, on->path, how);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ALPS_EPART
                                                   : alps_fd_open_error_();
    int err = alps_fd_kind_(fd, S_IFBLK);
    int is = err ? err : alps_part_judge_(p->crc, fd, on, &head);
    if (is < 0)
        err = is;
    else if (is != ALPS_PART_HERE && !(any && is == ALPS_PART_BEGUN))
        err = ALPS_EPART;
    if (!err && !any)
        err = alps_attach_(fd);
    if (err) {
        close(fd);
        return err;
    }
    alps_parts_join_(p, fd, &head, 0);
    return ALPS_OK;
}

/* Takes all that the region goes on in. With `any` as far as they are there,
 * also what was begun only: to take it away. */
ALPS_COLD_ int alps_parts_find_(alps_map *m, int any)
{
    alps_parts *p = m->parts;
    alps_onward on;
    for (;;) {
        unsigned i = p->n - 1;
        int err =
            alps_fd_read_(p->piece[i].fd, &on, sizeof on, alps_parts_place_(i));
        if (err)
            return any && err == ALPS_ETRUNCATED ? ALPS_OK : err;
        int leads = any ? alps_onward_whole_(p->crc, &on)
                        : alps_onward_leads_(p->crc, &on);
        if (leads <= 0)
            return leads;
        if (on.number != p->n || p->n > ALPS_PARTS_MAX ||
            (on.from && on.from >> 16 <= p->piece[i].from))
            return any ? ALPS_OK : ALPS_ECORRUPT;
        err = alps_parts_take_(m, &on, any);
        if (err)
            return any && err == ALPS_EPART ? ALPS_OK : err;
    }
}

/* The file `path`, the last there is, is no part any more, durably: it goes; a
 * device stays, and says nothing. */
ALPS_COLD_ int alps_parts_erase_(const alps_parts *p, const char *path)
{
    static const alps_part_head none = {
        0, 0, 0, {0}, 0, 0, 0, {0}, {0, 0, 0, {0}, {0}}};
    const alps_piece *piece = &p->piece[p->n - 1];
    uint64_t n = 0;
    if (piece->block) {
        int err = alps_fd_length_(piece->fd, &n);
        if (err || !n) // there is nothing behind its name
            return err;
        err = alps_fd_write_(piece->fd, &none, sizeof none, 0);
        return err ? err : alps_fd_sync_data_(piece->fd);
    }
    if (unlinkat(p->dir, path, 0) && errno != ENOENT)
        return alps_oserror_();
    return alps_part_sync_name_(p->dir, path);
}

/* Takes away what was found behind the first `keep` files, the last one first,
 * so that a crash leaves what can still be found. */
ALPS_COLD_ int alps_parts_unlink_(alps_map *m, unsigned keep)
{
    alps_parts *p = m->parts;
    alps_onward on;
    int err = alps_parts_find_(m, 1);
    while (!err && p->n > keep) {
        unsigned i = p->n - 2;
        err =
            alps_fd_read_(p->piece[i].fd, &on, sizeof on, alps_parts_place_(i));
        if (!err)
            err = alps_parts_erase_(p, on.path);
        if (!err)
            close(p->piece[--p->n].fd);
    }
    return err;
}

/* Takes all parts away, and then the word that leads to them: durably with what
 * is made next. What is not of the region stays. */
ALPS_COLD_ int alps_parts_discard_(alps_map *m)
{
    static const alps_onward none = {0, 0, 0, {0}, {0}};
    alps_onward on;
    alps_parts_drop_(m->parts, 1);
    int err = alps_parts_unlink_(m, 1);
    alps_parts_drop_(m->parts, 1);
    if (err || alps_fd_read_(m->fd, &on, sizeof on, ALPS_ONWARD) ||
        !memcmp(&on, &none, sizeof on))
        return err;
    return alps_fd_write_(m->fd, &none, sizeof none, ALPS_ONWARD);
}

/* Opens a part's file, or creates it, for a region to go on in. ALPS_EEXIST:
 * something is in it. */
ALPS_COLD_ int alps_parts_file_(const alps_map *m, const char *path, int *fd)
{
    struct stat st;
    const alps_parts *p = m->parts;
    int how = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    mode_t mode = fstat(m->fd, &st) ? 0600 : st.st_mode & 0777;
    *fd = openat(p->dir, path, how);
    if (*fd < 0 && errno == ENOENT)
        *fd = openat(p->dir, path, how | O_CREAT | O_EXCL, mode);
    if (*fd < 0)
        return alps_fd_open_error_();
    int err = alps_fd_kind_(*fd, S_IFBLK);
    if (!err && alps_parts_among_(p, *fd))
        err = ALPS_EINVAL;
    if (!err)
        err = alps_detached_(*fd);
    if (err == ALPS_EUNSUPPORTED)
        err = ALPS_OK; // no range locks here
    if (!err && fstat(*fd, &st))
        err = alps_oserror_();
    if (!err && S_ISBLK(st.st_mode))
        err = alps_part_bare_(p->dir, path, *fd);
    else if (!err && st.st_size)
        err = ALPS_EEXIST;
    if (err)
        close(*fd);
    return err;
}

/* Writes what file `i` says of the next, durably. */
ALPS_COLD_ int alps_parts_name_(const alps_parts *p, unsigned i,
                                const alps_onward *on)
{
    int fd = p->piece[i].fd;
    int err = alps_fd_write_(fd, on, sizeof *on, alps_parts_place_(i));
    return err ? err : alps_fd_sync_data_(fd);
}

/* Lets the region go on from byte `from` in the file `on` names: named first,
 * then made, then it counts. */
ALPS_COLD_ int alps_parts_add_(alps_map *m, alps_onward *on, uint64_t from)
{
    alps_parts *p = m->parts;
    alps_part_head head;
    unsigned last = p->n - 1;
    uint64_t id[2] = {alps_random_(), alps_random_()};
    int fd = -1;
    memset(&head, 0, sizeof head);
    memcpy(on->id, id, sizeof id);
    on->from = 0;
    on->number = p->n;
    on->crc = alps_onward_sum_(p->crc, on);
    memcpy(head.id, id, sizeof id);
    head.magic = ALPS_PART_MAGIC_;
    head.version = ALPS_PART_VERSION_;
    head.from = from;
    head.number = on->number;
    int err = alps_parts_unlink_(m, p->n); // what was begun before
    if (!err)
        err = alps_parts_name_(p, last, on);
    if (!err)
        err = alps_parts_file_(m, on->path, &fd);
    if (err)
        return err;
    int block = alps_fd_block_(fd);
    head.front = alps_part_front_(from, block);
    head.crc = alps_part_sum_(p->crc, &head);
    err = alps_part_sync_name_(p->dir, on->path);
    if (!err)
        err = alps_fd_write_(fd, &head, sizeof head, 0);
    if (!err)
        err = alps_fd_sync_data_(fd);
    if (!err && !block && ftruncate(fd, (off_t)head.front))
        err = alps_oserror_();
    on->from = alps_seal_(from);
    if (!err)
        err = alps_parts_name_(p, last, on);
    if (!err)
        err = alps_attach_(fd);
    if (err) {
        close(fd);
        return err;
    }
    alps_parts_join_(p, fd, &head, 1);
    return ALPS_OK;
}
