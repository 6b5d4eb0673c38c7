/* maker.h -- an object that is begun before it is found
 *
 * A type whose zeroes do not make it whole has a maker: it gets the memory of a
 * named object before anybody can find it, and what it stores there is
 * published with the name. It runs without a lock, so it may allocate, and name
 * other objects. */
#pragma once
#include "named.h"

/* How an object is begun, and ended where it is not needed. */
typedef struct alps_maker {
    int (*make)(void *context, void *p, size_t n);    /* 0, or a code: there is
                                                         to be no object */
    void (*unmake)(void *context, void *p, size_t n); /* another was quicker,
                                                         or no name could be
                                                         given; or NULL */
    void *context;
} alps_maker;

/* Gives an entry back that was not entered. */
ALPS_CORE_ void alps_maker_end_(alps_handle *h, const alps_maker *m,
                                alps_entry *e, const alps_tables *t)
{
    size_t n;
    void *p = alps_name_object_(e, &n);
    if (m && m->unmake)
        m->unmake(m->context, p, n);
    (void)alps_cancel_(h, alps_offset_(h, e), t);
}

/* Reserves an entry, and lets the maker begin its object. NULL: see `*err`. */
ALPS_CORE_ alps_entry *alps_maker_begin_(alps_handle *h, const alps_name *n,
                                         const alps_maker *m, int *err,
                                         const alps_tables *t)
{
    size_t bytes;
    alps_entry *e = (alps_entry *)alps_link_reserve_(h, n->total, t);
    *err = e ? ALPS_OK : h->error;
    if (!e)
        return NULL;
    alps_name_fill_(h, n, 0, e);
    void *p = alps_name_object_(e, &bytes);
    *err = m->make(m->context, p, bytes);
    if (!*err)
        return e;
    alps_maker_end_(h, NULL, e, t);
    return NULL;
}

/* Enters the begun entry, where the name is not there yet: 0, or a code. Else
 * 1. `*got` is the object, or NULL; later another may have destroyed it. */
ALPS_CORE_ int alps_maker_enter_(alps_handle *h, const alps_name *n,
                                 alps_entry *e, int old, void **got,
                                 const alps_tables *t)
{
    alps_place p;
    alps_names_lock_(h, t);
    int is = alps_name_ready_(h, n, &p, t);
    if (!is) {
        e->node.next = p.off;
        is = alps_publish_(h, &p.before->next, e, t);
        if (!is) {
            *got = alps_name_object_(e, NULL);
            if (h->shared->named)
                h->shared->named++;
            alps_name_grow_(h, n, &p, t);
        }
    } else if (is == 1) {
        *got = alps_name_got_(h, n->as, &p, is, old);
    }
    alps_names_unlock_(h);
    return is;
}

/* See alps_construct_with. `old`: what is there already does as well. */
ALPS_CORE_ void *alps_maker_construct_(alps_handle *h, const alps_naming *as,
                                       int old, const alps_maker *m,
                                       const alps_tables *t)
{
    alps_name n;
    alps_place p;
    alps_entry *e = NULL;
    void *got = NULL;
    p.off = 0;
    int err = alps_ready_(h, t);
    int is = err ? err : alps_name_init_(h, as, &n);
    if (!is)
        is = alps_name_read_(h, &n, &p, t);
    if (is == 1)
        return alps_name_got_(h, as, &p, is, old);
    if (!is)
        e = alps_maker_begin_(h, &n, m, &err, t);
    if (e) {
        is = alps_maker_enter_(h, &n, e, old, &got, t);
        if (is)
            alps_maker_end_(h, m, e, t);
    }
    if (is < 0 || err)
        alps_fail_(h, is < 0 ? is : err);
    return got;
}
