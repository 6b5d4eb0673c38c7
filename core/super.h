/* super.h -- the first page: what a region says of itself
 *
 * Judged before anything else is believed, and the last thing to become valid
 * when a region is made. */
#pragma once
#include "handle.h"

/* CRC-32C of all but the state, and what changes by itself. */
ALPS_FN_ uint32_t alps_super_crc_(const alps_handle *h)
{
    alps_superblock copy = *h->super;
    copy.state = 0;
    copy.crc = 0;
    return alps_crc32c_(h->crc, 0, &copy, offsetof(alps_superblock, size));
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
