/* wanted.h -- the files that a program wants a region to go on in
 *
 * By alps_options, or by the environment. All of it is looked at before
 * anything is changed; then the region gets its parts. */
#pragma once
#include "amount.h"
#include "parts.h"

/* What the environment says of part `i`, from 1 on: [from@]path, and a comma
 * before the next. 1; 0: no more; or ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_word_(const char *words, unsigned i, alps_onward *on,
                                 uint64_t *from)
{
    char number[32];
    for (; i > 1; i--) {
        words = strchr(words, ',');
        if (!words)
            return 0;
        words++;
    }
    size_t n = strcspn(words, ","), k = strcspn(words, "@");
    if (k < n && k < sizeof number) {
        memcpy(number, words, k);
        number[k] = 0;
        if (!alps_amount_(number, from)) {
            words += k + 1;
            n -= k + 1;
        }
    }
    if (!n || n >= sizeof on->path)
        return ALPS_EINVAL;
    memcpy(on->path, words, n);
    return 1;
}

/* Which path part `i` is to have, and where it is to begin; 0: that is for us
 * to say. 1; 0: no more parts are asked for; or ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_(const alps_parts *p, unsigned i, alps_onward *on,
                            uint64_t *from)
{
    memset(on, 0, sizeof *on);
    *from = 0;
    if (p->asked) {
        const alps_part *part = p->asked;
        for (unsigned k = 0; k < i; k++, part++)
            if (!part->path)
                return 0;
        part--;
        size_t n = strlen(part->path);
        if (!n || n >= sizeof on->path)
            return ALPS_EINVAL;
        memcpy(on->path, part->path, n);
        *from = part->from;
    } else {
        int is = p->words ? alps_wanted_word_(p->words, i, on, from) : 0;
        if (is <= 0)
            return is;
    }
    size_t n = strlen(on->path), room = sizeof on->path - n;
    if (on->path[n - 1] == '/') { // a folder
        int k = snprintf(on->path + n, room, "%s.%u", p->name, i);
        if (k < 0 || (size_t)k >= room)
            return ALPS_EINVAL;
    }
    return i > ALPS_PARTS_MAX ? ALPS_EINVAL : 1;
}

/* How many parts are asked for, those that are there among them; or
 * ALPS_EINVAL. */
ALPS_COLD_ int alps_wanted_count_(const alps_parts *p)
{
    alps_onward on;
    uint64_t from;
    for (unsigned i = 1;; i++) {
        int is = alps_wanted_(p, i, &on, &from);
        if (is <= 0)
            return is < 0 ? is : (int)i - 1;
    }
}

/* Where a region that is there can go on at the earliest: behind all that it
 * has, and each file has something of it. */
ALPS_COLD_ uint64_t alps_wanted_least_(const alps_map *m)
{
    uint64_t page = alps_system_page_();
    uint64_t last = m->parts->piece[m->parts->n - 1].from + page;
    uint64_t end = alps_round_up_(m->length, page);
    return end < last ? last : end;
}

/* Whether a file can be made there. */
ALPS_COLD_ int alps_wanted_folder_(const alps_parts *p, const char *path)
{
    int fd = alps_part_folder_(p->dir, path);
    if (fd < 0)
        return alps_oserror_();
    int err = faccessat(fd, ".", W_OK | X_OK, 0) ? alps_oserror_() : ALPS_OK;
    close(fd);
    return err;
}

/* Whether what has the path of a part may become one: it is nothing yet, or of
 * the region that is to be made anew. */
ALPS_COLD_ int alps_wanted_free_(const alps_parts *p, const char *path)
{
    struct stat st;
    int fd = openat(p->dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return alps_wanted_folder_(p, path);
    int err = fd < 0 ? alps_fd_open_error_() : alps_fd_kind_(fd, S_IFBLK);
    if (fd < 0)
        return err;
    if (!err && fstat(fd, &st))
        err = alps_oserror_();
    int among = !err && alps_parts_among_(p, fd);
    if (among && st.st_dev == p->dev && st.st_ino == p->ino)
        err = ALPS_EINVAL; // the first file itself
    else if (!err && S_ISBLK(st.st_mode) && !among)
        err = alps_part_bare_(p->dir, path, fd);
    else if (!err && st.st_size && !among)
        err = ALPS_EEXIST;
    close(fd);
    return err;
}

/* Looks at what is asked for behind the parts that there are. ALPS_EINVAL: no
 * order, or no pages; ALPS_EEXIST: a file has that path. */
ALPS_COLD_ int alps_wanted_check_(alps_parts *p, unsigned first, uint64_t least)
{
    alps_onward on, other;
    uint64_t from, other_from, page = alps_system_page_();
    unsigned placed = 0;
    int n = alps_wanted_count_(p);
    for (unsigned i = first; n >= 0 && i <= (unsigned)n; i++) {
        (void)alps_wanted_(p, i, &on, &from);
        placed += from != 0;
        if (from && (from % page || from % ALPS_PAGE || from < least ||
                     from >= (uint64_t)1 << 47))
            return ALPS_EINVAL;
        least = from + page;
        for (unsigned k = 1; k < i; k++) {
            (void)alps_wanted_(p, k, &other, &other_from);
            if (!strcmp(on.path, other.path))
                return ALPS_EINVAL;
        }
        int err = alps_wanted_free_(p, on.path);
        if (err)
            return err;
    }
    if (n >= 0 && placed && placed != (unsigned)n - first + 1)
        return ALPS_EINVAL; // some have their place and others have not
    return n < 0 ? n : ALPS_OK;
}

/* Lets the region, of `size` bytes, go on in all that is asked for. Where
 * nobody said where, a new region is divided evenly, and one that is there goes
 * on where it ends. */
ALPS_COLD_ int alps_wanted_make_(alps_map *m, uint64_t size)
{
    alps_parts *p = m->parts;
    alps_onward on;
    uint64_t from;
    int n = alps_wanted_count_(p), err = n < 0 ? n : ALPS_OK;
    if (!err && m->more) // who has it mapped would not see them
        err = alps_detached_(m->fd);
    if (err)
        return err;
    uint64_t each = size / ((uint64_t)n + 1);
    each = alps_round_up_(each, each < ALPS_PART_HUGE_ ? ALPS_PART_FRONT_
                                                       : ALPS_PART_HUGE_);
    uint64_t end = alps_wanted_least_(m);
    for (unsigned i = p->n; !err && i <= (unsigned)n; i++) {
        err = alps_wanted_(p, i, &on, &from);
        if (err < 0)
            return err;
        if (!from)
            from = m->more ? end : each * i;
        end = from + ALPS_PART_FRONT_;
        err = alps_parts_add_(m, &on, from);
    }
    int late = m->more ? alps_attach_(m->fd) : ALPS_OK; // as others do
    return err ? err : late;
}
