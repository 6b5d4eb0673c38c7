/* super.h -- the first page: what a region says of itself
 *
 * Judged before anything else is believed, and the last thing to become valid
 * when a region is made. What never changes of it is in the page twice: the
 * *spare* is read by who is asked to make do with a damaged region, and by
 * nobody else. */
#pragma once
#include "handle.h"

/* Bytes that never change, and that `crc` is of. */
#define ALPS_SUPER_FIXED_ offsetof(alps_superblock, size)

/* CRC-32C of all but the state, and what changes by itself. */
ALPS_FN_ uint32_t alps_super_sum_(const alps_handle *h,
                                  const alps_superblock *s)
{
    alps_superblock copy = *s;
    copy.state = 0;
    copy.crc = 0;
    return alps_crc32c_(h->crc, 0, &copy, ALPS_SUPER_FIXED_);
}

ALPS_FN_ uint32_t alps_super_crc_(const alps_handle *h)
{
    return alps_super_sum_(h, h->super);
}

/* The spare is to be written: what it says, as of the superblock. */
ALPS_FN_ void alps_super_spare_(const alps_superblock *s, alps_superblock *to)
{
    memset(to, 0, sizeof *to);
    memcpy(to, s, ALPS_SUPER_FIXED_);
    to->state = 0;
}

/* Stores the spare. */
ALPS_FN_ uint64_t *alps_super_copy_(alps_handle *h)
{
    alps_superblock s;
    uint64_t word[ALPS_SUPER_FIXED_ / 8];
    uint64_t *to = (uint64_t *)(void *)(h->map.base + ALPS_SPARE);
    alps_super_spare_(h->super, &s);
    memcpy(word, &s, sizeof word);
    for (unsigned i = 0; i < sizeof word / 8; i++)
        alps_store_(&to[i], word[i]);
    return to;
}

/* Writes the spare: durably with the next fence. */
ALPS_CORE_ int alps_super_double_(alps_handle *h, const alps_tables *t)
{
    return t->policy->flush(&h->map, alps_super_copy_(h), ALPS_SUPER_FIXED_);
}

/* Whether the first page of the medium holds nothing at all. */
ALPS_FN_ int alps_super_blank_(const alps_handle *h)
{
    const uint64_t *word = (const uint64_t *)(const void *)h->map.base;
    for (unsigned i = 0; i < ALPS_PAGE / sizeof *word; i++)
        if (word[i])
            return 0;
    return 1;
}

/* Judges the first page; 0 if it is a region that this header may open. */
ALPS_FN_ int alps_super_check_(const alps_handle *h)
{
    const alps_superblock *s = h->super;
    if (s->state == ALPS_STATE_MAKING && (!s->magic || s->magic == ALPS_MAGIC))
        return ALPS_EUNFINISHED;
    if (s->magic != ALPS_MAGIC)
        return h->map.length <= ALPS_PAGE && alps_super_blank_(h)
                   ? ALPS_EUNFINISHED
                   : ALPS_EFORMAT;
    if (s->state == ALPS_STATE_READY && s->layout != ALPS_LAYOUT)
        return ALPS_EVERSION;
    if (s->state != ALPS_STATE_READY || alps_super_crc_(h) != s->crc ||
        !alps_sealed_(s->size) || !alps_sealed_(s->epoch))
        return ALPS_ECORRUPT;
    return s->size >> 16 > s->limit ? ALPS_ECORRUPT : ALPS_OK;
}

/* What goes on in files that the backend does not know would be a part of a
 * region only. */
ALPS_FN_ int alps_super_alone_(const alps_handle *h)
{
    const uint64_t *on = (const uint64_t *)alps_address_(h, ALPS_ONWARD);
    return *on && !h->map.parts ? ALPS_EUNSUPPORTED : ALPS_OK;
}

/* Who this region is: RFC 4122, version 4. */
ALPS_FN_ void alps_uuid_(uint8_t uuid[16])
{
    uint64_t word[2] = {alps_random_(), alps_random_()};
    memcpy(uuid, word, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

ALPS_CORE_ int alps_super_state_(alps_handle *h, uint64_t state,
                                 const alps_tables *t)
{
    alps_store_(&h->super->state, state);
    return t->policy->flush(&h->map, h->super, 16);
}
