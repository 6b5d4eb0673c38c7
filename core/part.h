/* part.h -- a file that a region goes on in, and what it says of itself
 *
 * A region may lie in several files, one behind the other. Each names the next:
 * the first file in its first page, the others, the *parts*, in their heads.
 * What names a part has a random number that the part's head has as well, so
 * that parts which were exchanged are found out. docs/parts.md has the order of
 * things, docs/format.md the bytes. */
#pragma once
#include "bits.h"
#include "descriptor.h"

#define ALPS_PART_MAGIC_ 0x5452415053504c41ull /* "ALPSPART" */

/* What the first 16 bytes of a region say, and say of one in the making. */
#define ALPS_PART_REGION_ 0x5041454853504c41ull
#define ALPS_PART_MAKING_ 0x676e696b616d2e2eull

/* Files of a region at most, beside the first. */
#define ALPS_PARTS_MAX 63u

/* Where the first page of a region names what it goes on in. */
#define ALPS_ONWARD 576u
#define ALPS_PART_PATH 160u
typedef struct alps_onward {
    uint64_t from;   /* the first byte of the region that is there, sealed; 0:
                        the region goes on nowhere, or not yet */
    uint32_t crc;    /* CRC-32C of what follows */
    uint32_t number; /* of the part, from 1 on */
    uint8_t id[16];  /* random, of this part alone */
    char path[ALPS_PART_PATH]; /* zero-padded; where it is not absolute, from
                                  the folder of the region's first file */
} alps_onward;
ALPS_STATIC_ASSERT_(sizeof(alps_onward) == 192, "size");

/* The first bytes of a part. */
typedef struct alps_part_head {
    uint64_t magic;    /* ALPS_PART_MAGIC_ */
    uint32_t version;  /* ALPS_PART_VERSION_ */
    uint32_t crc;      /* CRC-32C of what follows, up to `next` */
    uint8_t id[16];    /* what names this part has the same */
    uint64_t from;     /* the first byte of the region that is here */
    uint64_t front;    /* where in the file that byte is */
    uint32_t number;   /* of this part */
    uint32_t line_[3]; /* zero */
    alps_onward next;  /* what the region goes on in behind it */
} alps_part_head;
ALPS_STATIC_ASSERT_(sizeof(alps_part_head) == 256, "size");
#define ALPS_PART_VERSION_ 1u
#define ALPS_PART_NEXT_ offsetof(alps_part_head, next)

/* Bytes of a part before its piece of the region, which is to be where the
 * system can map it, by huge pages if the region's own place lets it. They are
 * a hole but for the head; of a device zeroes, of which the first have to be
 * there before it is taken. */
#define ALPS_PART_FRONT_ ((uint64_t)64 << 10)
#define ALPS_PART_HUGE_ ((uint64_t)2 << 20)
#define ALPS_PART_CLEAR_ ((uint64_t)128 << 10)

ALPS_FN_ uint64_t alps_part_front_(uint64_t from, int device)
{
    return from % ALPS_PART_HUGE_ == 0 ? ALPS_PART_HUGE_
           : device                    ? ALPS_PART_CLEAR_
                                       : ALPS_PART_FRONT_;
}

ALPS_FN_ uint32_t alps_onward_sum_(unsigned how, const alps_onward *on)
{
    return alps_crc32c_(how, 0, &on->number,
                        sizeof *on - offsetof(alps_onward, number));
}

/* Whether what names a part can be read, also of a part that is not there
 * yet. */
ALPS_FN_ int alps_onward_whole_(unsigned how, const alps_onward *on)
{
    return on->crc == alps_onward_sum_(how, on) && on->path[0] &&
           !on->path[ALPS_PART_PATH - 1];
}

/* Whether a region goes on, as `on` says: 1, 0, or ALPS_ECORRUPT. */
ALPS_FN_ int alps_onward_leads_(unsigned how, const alps_onward *on)
{
    if (!on->from)
        return 0;
    return alps_sealed_(on->from) && alps_onward_whole_(how, on)
               ? 1
               : ALPS_ECORRUPT;
}

ALPS_FN_ uint32_t alps_part_sum_(unsigned how, const alps_part_head *head)
{
    return alps_crc32c_(how, 0, head->id,
                        ALPS_PART_NEXT_ - offsetof(alps_part_head, id));
}

/* What a file turns out to be for which a region names a part. */
enum {
    ALPS_PART_HERE = 1,  /* that part */
    ALPS_PART_BEGUN = 2, /* nothing yet: its making was cut short */
    ALPS_PART_OTHER = 3  /* something else */
};

/* Whether the file behind `fd` is the part that `on` names; reads its head. */
ALPS_COLD_ int alps_part_judge_(unsigned how, int fd, const alps_onward *on,
                                alps_part_head *head)
{
    uint64_t n;
    static const alps_part_head none = {
        0, 0, 0, {0}, 0, 0, 0, {0}, {0, 0, 0, {0}, {0}}};
    memset(head, 0, sizeof *head);
    int err = alps_fd_length_(fd, &n);
    if (!err)
        err = alps_fd_read_(fd, head, n < sizeof *head ? n : sizeof *head, 0);
    if (err)
        return err;
    int blank = !memcmp(head, &none, sizeof none);
    if (blank && alps_fd_block_(fd))
        return ALPS_PART_BEGUN;
    int sound = head->magic == ALPS_PART_MAGIC_ &&
                head->crc == alps_part_sum_(how, head);
    if (sound)
        return head->version == ALPS_PART_VERSION_ &&
                       !memcmp(head->id, on->id, sizeof head->id) &&
                       head->number == on->number &&
                       head->front % ALPS_PAGE == 0 && head->front &&
                       (!on->from || head->from == on->from >> 16)
                   ? ALPS_PART_HERE
                   : ALPS_PART_OTHER;
    return n <= ALPS_PAGE && (head->magic == ALPS_PART_MAGIC_ || blank)
               ? ALPS_PART_BEGUN
               : ALPS_PART_OTHER;
}

/* Whether the block device behind `fd`, which has `path`, may become a part:
 * nobody uses it, and nothing is on it. File systems, and what else divides
 * disks, are known by what is at their beginning. */
ALPS_COLD_ int alps_part_bare_(int dir, const char *path, int fd)
{
    uint64_t word[512], off = 0;
    int err = ALPS_OK;
    int mine = openat(dir, path, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK);
    if (mine < 0)
        return alps_oserror_();
    for (; !err && off < ALPS_PART_CLEAR_; off += sizeof word) {
        err = alps_fd_read_(fd, word, sizeof word, off);
        for (unsigned i = 0; !err && i < sizeof word / sizeof *word; i++)
            if (word[i])
                err = ALPS_EEXIST;
    }
    close(mine);
    return err == ALPS_ETRUNCATED ? ALPS_ENOSPC : err;
}

/* The folder that `path` is in, which is from the folder `dir` on; or -1. */
ALPS_COLD_ int alps_part_folder_(int dir, const char *path)
{
    char folder[ALPS_PART_PATH + 2];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    memcpy(folder, path, n);
    memcpy(folder + n, ".", 2);
    return openat(dir, folder, O_DIRECTORY | O_CLOEXEC | ALPS_O_PATH_);
}

/* Makes the name `path` durable. */
ALPS_COLD_ int alps_part_sync_name_(int dir, const char *path)
{
    int fd = alps_part_folder_(dir, path);
    if (fd < 0)
        return ALPS_OK; // as alps_fd_sync_name_
    int err = alps_fd_sync_dir_(fd);
    close(fd);
    return err;
}
