/* note.h -- what the program says of its region, in words
 *
 * Two places in the first page. The newer one that is whole is the note, and
 * the other one is written next; so a crash leaves the old words or the new
 * ones. Whoever reads them makes a copy and sums it. */
#pragma once
#include "lock.h"

/* Whether a copy of a note is whole. */
ALPS_FN_ int alps_note_whole_(const alps_handle *h, const alps_note *n)
{
    return n->seq && n->length < sizeof n->text && !n->text[n->length] &&
           n->crc == alps_crc32c_(h->crc, 0, &n->length,
                                  sizeof *n - offsetof(alps_note, length));
}

/* Reads the note; answers which place is to be written next. Without one it is
 * empty, and has the number 0. */
ALPS_FN_ unsigned alps_note_read_(const alps_handle *h, alps_note *note)
{
    const uint64_t *place = (const uint64_t *)alps_address_(h, ALPS_NOTE);
    alps_note n;
    unsigned next = 0;
    memset(note, 0, sizeof *note);
    for (unsigned i = 0; i < 2; i++, place += sizeof n / 8) {
        uint64_t word[sizeof n / 8];
        for (unsigned k = 0; k < sizeof n / 8; k++)
            word[k] = alps_load_(&place[k]);
        memcpy(&n, word, sizeof n);
        if (!alps_note_whole_(h, &n) || n.seq <= note->seq)
            continue;
        *note = n;
        next = !i;
    }
    return next;
}

/* Writes a note, durably with the next fence. ALPS_EINVAL: it is too long.
 * Under the lock of the region. */
ALPS_CORE_ int alps_note_write_(alps_handle *h, const char *text,
                                const alps_tables *t)
{
    alps_note n;
    uint64_t word[sizeof n / 8];
    unsigned next = alps_note_read_(h, &n);
    size_t length = strlen(text);
    if (length >= sizeof n.text)
        return ALPS_EINVAL;
    memset(n.text, 0, sizeof n.text);
    memcpy(n.text, text, length);
    n.seq++;
    n.length = (uint32_t)length;
    n.crc = alps_crc32c_(h->crc, 0, &n.length,
                         sizeof n - offsetof(alps_note, length));
    memcpy(word, &n, sizeof n);
    uint64_t *place = (uint64_t *)alps_address_(h, ALPS_NOTE + next * sizeof n);
    for (unsigned k = 0; k < sizeof n / 8; k++)
        alps_store_(&place[k], word[k]);
    return t->policy->flush(&h->map, place, sizeof n);
}

/* See alps_set_description. */
ALPS_CORE_ int alps_note_change_(alps_handle *h, const char *text,
                                 const alps_tables *t)
{
    alps_lock_(h, t);
    int err = alps_note_write_(h, text ? text : "", t);
    if (!err)
        err = t->fence(&h->map);
    alps_unlock_(h);
    return err;
}
