/* name.h -- objects with names
 *
 * An entry is one block: its node, what is known of it, the name, the object.
 * It is reserved, filled, and published to the link that is to name it; so an
 * object is found when it is whole, or not at all. To destroy it is to cut that
 * link. Who changes names holds the lock of names; who looks one up takes no
 * lock, but is a reader. See docs/names.md. */
#pragma once
#include "node.h"

/* Bytes of a name, and of a description, at most. */
#define ALPS_NAME_MAX 65536u

/* What an object is called and what it is. All zero but what is meant. */
typedef struct alps_naming {
    const void *name;   /* any bytes; NULL: the object is the only one of its
                           tag, which is not 0 then */
    size_t length;      /* of the name */
    uint64_t tag;       /* of the type; 0: not said, and not checked */
    size_t element;     /* bytes of an element; 0: not said, `count` is bytes */
    size_t count;       /* of elements; to find: at least so many */
    const char *text;   /* a description, or NULL */
    size_t text_length; /* of the description */
} alps_naming;

/* Called for each named object; anything but 0 ends the walk, and is what the
 * walk answers. `name` is NULL for the only one of a tag; a zero byte follows
 * it. It may destroy the object it is called for. */
typedef int alps_name_visit(void *context, const char *name, size_t length,
                            void *p, size_t n);

/* A typed description of an object: of type T, which is its tag as well. */
#define ALPS_NAMING(T, name, count) \
  alps_name_typed_((name), alps_hash_tag_(#T), sizeof(T), (count))

/* The same for the only object of a type. */
#define ALPS_UNIQUE(T, count) \
  alps_name_typed_(NULL, alps_hash_tag_(#T), sizeof(T), (count))

ALPS_FN_ alps_naming alps_name_typed_(const char *name, uint64_t tag,
                                      size_t element, size_t count)
{
    alps_naming n;
    memset(&n, 0, sizeof n);
    n.name = name;
    n.length = name ? strlen(name) : 0;
    n.tag = tag;
    n.element = element;
    n.count = count;
    return n;
}

/* A naming as it is looked for. */
typedef struct alps_name {
    const alps_naming *as;
    const void *bytes;
    uint64_t length, key, total;
    uint32_t unique, text, place; /* places in the entry */
} alps_name;

/* What follows from a naming. ALPS_EINVAL where it cannot be meant. */
ALPS_FN_ int alps_name_init_(const alps_handle *h, const alps_naming *as,
                             alps_name *n)
{
    uint64_t element = as->element ? as->element : 1;
    n->as = as;
    n->unique = !as->name;
    n->bytes = as->name ? as->name : &as->tag;
    n->length = as->name ? as->length : sizeof as->tag;
    if (!alps_opened_(h) || (!as->name && (!as->tag || as->length)) ||
        n->length > ALPS_NAME_MAX || as->text_length > ALPS_NAME_MAX ||
        (as->text_length && !as->text) || element > ALPS_SIZE_MAX ||
        as->count > ALPS_SIZE_MAX / element)
        return ALPS_EINVAL;
    uint64_t size = element * as->count, head = sizeof(alps_entry);
    uint64_t align = size >= ALPS_SMALL_MAX ? ALPS_GRANULE : 16;
    n->key = alps_hash_reverse_(
                 alps_hash_of_(h->super->uuid, n->bytes, (size_t)n->length)) |
             1;
    n->text = (uint32_t)alps_round_up_(head + n->length + 1, 8);
    head = n->text;
    if (as->text_length)
        head += sizeof(alps_text) + as->text_length + 1;
    n->place = (uint32_t)alps_round_up_(head + sizeof(uint64_t), align);
    n->total = n->place + size + !size;
    return ALPS_OK;
}

/* The checksum of an entry: of what never changes. */
ALPS_FN_ uint32_t alps_name_crc_(const alps_handle *h, const alps_entry *e)
{
    alps_entry copy;
    memset(&copy, 0, sizeof copy);
    copy.node.key = e->node.key;
    copy.tag = e->tag;
    copy.element = e->element;
    copy.count = e->count;
    copy.length = e->length;
    copy.place = e->place;
    copy.unique = e->unique;
    uint32_t crc = alps_crc32c_(h->crc, 0, &copy, sizeof copy);
    return alps_crc32c_(h->crc, crc, e + 1, e->length);
}

/* Whether what the entry at `off` says can be. */
ALPS_FN_ int alps_name_sane_(const alps_handle *h, alps_off off)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    uint64_t left = alps_size_(h) - off;
    return left >= sizeof *e && e->length <= ALPS_NAME_MAX && e->element &&
           e->place % 16 == 0 &&
           e->place >= sizeof *e + e->length + 1 + sizeof(uint64_t) &&
           e->place <= left && e->count <= (left - e->place) / e->element &&
           e->crc == alps_name_crc_(h, e);
}

/* Whether the entry at `off` has the name that is looked for. */
ALPS_FN_ int alps_name_is_(const alps_handle *h, alps_off off, const void *what)
{
    const alps_name *n = (const alps_name *)what;
    const alps_entry *e = (const alps_entry *)alps_address_(h, off);
    return alps_size_(h) - off >= sizeof *e &&
           alps_size_(h) - off - sizeof *e >= n->length &&
           e->length == n->length && e->unique == n->unique &&
           memcmp(e + 1, n->bytes, (size_t)n->length) == 0;
}

/* Where the name is, or should be: 1, 0, or a code. */
ALPS_FN_ int alps_name_seek_(const alps_handle *h, const alps_name *n,
                             alps_place *p)
{
    memset(p, 0, sizeof *p);
    p->key = n->key;
    alps_names *s = alps_node_names_(h);
    if (!s)
        return alps_load_(&h->super->names) ? ALPS_ECORRUPT : 0;
    alps_node *from = alps_node_begin_(h, s, alps_node_number_(s, n->key));
    if (!from)
        return ALPS_ECORRUPT;
    int is = alps_node_seek_(h, from, p, alps_name_is_, n);
    return is == 1 && !alps_name_sane_(h, p->off) ? ALPS_ECORRUPT : is;
}

/* Looks without being a reader: where only reading is allowed. What is found
 * beside a writer counts if nothing was freed meanwhile. */
ALPS_FN_ int alps_name_peek_(const alps_handle *h, const alps_name *n,
                             alps_place *p)
{
    for (unsigned round = 0; round < 1000; round++) {
        uint64_t before =
            __atomic_load_n(&h->shared->unnamed, __ATOMIC_ACQUIRE) +
            __atomic_load_n(&h->shared->reaped, __ATOMIC_ACQUIRE);
        int is = alps_name_seek_(h, n, p);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (alps_load_(&h->shared->unnamed) + alps_load_(&h->shared->reaped) ==
            before)
            return is;
    }
    return ALPS_EBUSY;
}

/* Looks as a reader; a thread that cannot be one takes the lock. */
ALPS_CORE_ int alps_name_read_(alps_handle *h, const alps_name *n,
                               alps_place *p, const alps_tables *t)
{
    int err = alps_epoch_enter_(h, t);
    if (err && err != ALPS_EBUSY)
        return err;
    if (err)
        alps_names_lock_(h, t);
    int is = alps_name_seek_(h, n, p);
    if (err)
        alps_names_unlock_(h);
    else
        alps_epoch_leave_(h, t);
    return is;
}

/* Looks the name up: 1, 0 or a code. */
ALPS_CORE_ int alps_name_look_(alps_handle *h, const alps_name *n,
                               alps_place *p, const alps_tables *t)
{
    if (!alps_self_(h) && (!h->attached || h->map.medium != ALPS_MEDIUM_ANON))
        return alps_name_peek_(h, n, p);
    return alps_name_read_(h, n, p, t);
}

/* Whether the entry is what is asked for. */
ALPS_FN_ int alps_name_fits_(const alps_entry *e, const alps_naming *as)
{
    uint64_t count = as->element ? e->count : e->count * e->element;
    if ((as->tag && e->tag != as->tag) ||
        (as->element && e->element != as->element) || count < as->count)
        return ALPS_ETYPE;
    return ALPS_OK;
}

/* The object of an entry, and its bytes through `n`, which may be NULL. */
ALPS_FN_ void *alps_name_object_(const alps_entry *e, size_t *n)
{
    if (n)
        *n = (size_t)(e->element * e->count);
    return (unsigned char *)(uintptr_t)e + e->place;
}

/* Fills a reserved entry. */
ALPS_FN_ void alps_name_fill_(const alps_handle *h, const alps_name *n,
                              alps_off next, alps_entry *e)
{
    memset(e, 0, (size_t)n->total);
    e->node.next = next;
    e->node.key = n->key;
    e->tag = n->as->tag;
    e->element = n->as->element ? n->as->element : 1;
    e->count = n->as->count;
    e->length = (uint32_t)n->length;
    e->place = n->place;
    e->unique = n->unique;
    memcpy(e + 1, n->bytes, (size_t)n->length);
    if (n->as->text_length) {
        alps_text *x = (alps_text *)(void *)((unsigned char *)e + n->text);
        x->length = n->as->text_length;
        memcpy(x + 1, n->as->text, n->as->text_length);
        e->text = alps_offset_(h, x);
    }
    *(uint64_t *)(void *)((unsigned char *)e + e->place - 8) = e->place;
    e->crc = alps_name_crc_(h, e);
}

/* Enters the name behind `p->before`. */
ALPS_CORE_ int alps_name_enter_(alps_handle *h, const alps_name *n,
                                alps_place *p, const alps_tables *t)
{
    alps_entry *e = (alps_entry *)alps_link_reserve_(h, n->total, t);
    if (!e)
        return h->error;
    alps_name_fill_(h, n, p->off, e);
    int err = alps_link_publish_(h, &p->before->next, e, t);
    if (err)
        return err;
    p->off = alps_offset_(h, e);
    if (h->shared->named)
        h->shared->named++;
    return ALPS_OK;
}

/* Sees to it that the list has a beginning near the name: where it should be,
 * found under the lock. 1: it is there. */
ALPS_CORE_ int alps_name_ready_(alps_handle *h, const alps_name *n,
                                alps_place *p, const alps_tables *t)
{
    int err = alps_load_(&h->super->names) ? ALPS_OK : alps_node_found_(h, t);
    alps_names *s = alps_node_names_(h);
    if (err || !s)
        return err ? err : ALPS_ECORRUPT;
    uint64_t b = alps_node_number_(s, n->key);
    alps_node *own = alps_node_bucket_(h, s, b);
    if (own && !alps_node_ready_(own, b))
        err = alps_node_link_(h, s, b, t);
    return err ? err : alps_name_seek_(h, n, p);
}

/* More buckets, if the name that was entered had many before it. */
ALPS_CORE_ void alps_name_grow_(alps_handle *h, const alps_name *n,
                                const alps_place *p, const alps_tables *t)
{
    alps_names *s = alps_node_names_(h);
    if (ALPS_LIKELY_(p->steps <= ALPS_NODE_CROWD) || !s)
        return;
    const alps_node *from =
        alps_node_begin_(h, s, alps_node_number_(s, n->key));
    if (from && alps_node_crowded_(h, from, alps_node_shift_(s)))
        alps_node_grow_(h, s, t);
}

/* The object of the name at `p`, which was there (`is`), or was made. */
ALPS_FN_ void *alps_name_got_(alps_handle *h, const alps_naming *as,
                              const alps_place *p, int is, int old)
{
    const alps_entry *e = (const alps_entry *)alps_address_(h, p->off);
    int err = !is ? ALPS_OK : old ? alps_name_fits_(e, as) : ALPS_EEXIST;
    if (!err)
        return alps_name_object_(e, NULL);
    alps_fail_(h, err);
    return NULL;
}

/* See alps_construct_as. `old`: what is there already does as well. */
ALPS_CORE_ void *alps_name_construct_(alps_handle *h, const alps_naming *as,
                                      int old, const alps_tables *t)
{
    alps_name n;
    alps_place p;
    void *got = NULL;
    p.off = 0; // gcc does not see that it is not used before it is set
    int err = alps_ready_(h, t);
    int is = err ? err : alps_name_init_(h, as, &n);
    if (!is && old)
        is = alps_name_read_(h, &n, &p, t);
    if (is == 1)
        return alps_name_got_(h, as, &p, is, old);
    if (!is) {
        alps_names_lock_(h, t);
        is = alps_name_ready_(h, &n, &p, t);
        err = is ? ALPS_OK : alps_name_enter_(h, &n, &p, t);
        if (!is && !err)
            alps_name_grow_(h, &n, &p, t);
        if (is >= 0 && !err) // later another may have destroyed it
            got = alps_name_got_(h, as, &p, is, old);
        alps_names_unlock_(h);
    }
    if (is < 0 || err)
        alps_fail_(h, is < 0 ? is : err);
    return got;
}

/* See alps_find_as. */
ALPS_CORE_ void *alps_name_find_(alps_handle *h, const alps_naming *as,
                                 size_t *bytes, const alps_tables *t)
{
    alps_name n;
    alps_place p;
    int is = alps_name_init_(h, as, &n);
    if (!is)
        is = alps_name_look_(h, &n, &p, t);
    if (is == 1) {
        const alps_entry *e = (const alps_entry *)alps_address_(h, p.off);
        is = alps_name_fits_(e, as);
        if (!is)
            return alps_name_object_(e, bytes);
    } else if (!is) {
        is = ALPS_ENOENT;
    }
    alps_fail_(h, is);
    return NULL;
}
