/* named.h -- what is done with objects that have names
 *
 * They are destroyed, described, asked for what is known of them, walked and
 * counted, and checked. See name.h. */
#pragma once
#include "name.h"

/* The entry of the object at `p`, or NULL where that is none. */
ALPS_FN_ alps_entry *alps_named_entry_(const alps_handle *h, const void *p)
{
    alps_off off = alps_offset_(h, p);
    alps_object o;
    alps_block b;
    if (!p || !alps_opened_(h) || off % 16 ||
        off < h->at.heap + sizeof(alps_entry) || off >= alps_size_(h))
        return NULL;
    uint64_t place = ((const uint64_t *)p)[-1];
    if (place % 16 || place < sizeof(alps_entry) || place > off - h->at.heap)
        return NULL;
    off -= place;
    int is = alps_object_at_(h, off, &o);
    if (is < 0 || (is == 1 && !alps_object_live_(&o)) ||
        (is == 0 && alps_block_at_(h, off, &b) != ALPS_USED))
        return NULL;
    alps_entry *e = (alps_entry *)alps_address_(h, off);
    return alps_name_sane_(h, off) && e->place == place ? e : NULL;
}

/* Whether the description at `off` is part of the entry. */
ALPS_FN_ int alps_named_inside_(const alps_handle *h, const alps_entry *e,
                                alps_off off)
{
    return off - alps_offset_(h, e) < e->place;
}

/* The description at `off`, or NULL where none can be. */
ALPS_FN_ alps_text *alps_named_text_(const alps_handle *h, alps_off off)
{
    uint64_t size = alps_size_(h);
    if (off % 8 || off < h->at.heap || off >= size ||
        size - off <= sizeof(alps_text))
        return NULL;
    alps_text *x = (alps_text *)alps_address_(h, off);
    return x->length < size - off - sizeof *x ? x : NULL;
}

/* Cuts off what `*link` names: one description, or the next of a row that a
 * crash has left. Under the lock of names. */
ALPS_CORE_ int alps_named_cut_(alps_handle *h, const alps_entry *e,
                               alps_off *link, alps_link *k,
                               const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    const alps_text *x = alps_named_text_(h, alps_load_(link));
    if (!x)
        return ALPS_ECORRUPT;
    if (!alps_named_inside_(h, e, *link))
        return alps_link_cut_(h, link, x->before, k, t);
    alps_store_(link, 0);
    int err = t->policy->flush(&h->map, link, 8);
    return err ? err : t->fence(&h->map);
}

/* The link to what is to go first: what a description replaced, or that. */
ALPS_FN_ alps_off *alps_named_last_(const alps_handle *h, alps_entry *e)
{
    alps_text *x = alps_named_text_(h, e->text);
    return x && !alps_named_inside_(h, e, e->text) && x->before ? &x->before
                                                                : &e->text;
}

/* Which step it was: nothing more, or another is to follow. */
enum { ALPS_NAMED_DONE_ = 0, ALPS_NAMED_MORE_ = 1 };

/* One step of destroying a name: a description that is a block, or the entry,
 * which is told through `entry`. Under the lock of names. */
ALPS_CORE_ int alps_named_step_(alps_handle *h, const alps_name *n,
                                alps_link *k, alps_off *entry,
                                const alps_tables *t)
{
    alps_place p;
    memset(k, 0, sizeof *k);
    int is = alps_name_seek_(h, n, &p);
    if (is < 1)
        return is ? is : ALPS_ENOENT;
    alps_entry *e = (alps_entry *)alps_address_(h, p.off);
    int err = alps_name_fits_(e, n->as);
    if (err)
        return err;
    if (e->text && !alps_named_inside_(h, e, e->text)) {
        err = alps_named_cut_(h, e, alps_named_last_(h, e), k, t);
        return err ? err : ALPS_NAMED_MORE_;
    }
    err = alps_link_cut_(h, &p.before->next, alps_load_(&e->node.next), k, t);
    *entry = p.off;
    __atomic_fetch_add(&h->shared->unnamed, 1, __ATOMIC_SEQ_CST);
    if (!err && h->shared->named)
        h->shared->named--;
    return err;
}

/* Lets the lock of names go after a step that answered `*err`, and ends the
 * step: whether another one is to follow. */
ALPS_CORE_ int alps_named_more_(alps_handle *h, alps_link *k, int *err,
                                const alps_tables *t)
{
    int more = *err == ALPS_NAMED_MORE_;
    alps_names_unlock_(h);
    int late = alps_link_end_(h, k, t);
    *err = *err < 0 ? *err : late;
    return more && !*err;
}

/* See alps_destroy_as. `*entry` is what was destroyed: it is as it was until
 * readers of now have left. */
ALPS_CORE_ int alps_named_destroy_(alps_handle *h, const alps_naming *as,
                                   alps_off *entry, const alps_tables *t)
{
    alps_name n;
    int err = alps_ready_(h, t);
    if (!err)
        err = alps_name_init_(h, as, &n);
    for (int more = !err; more;) {
        alps_link k;
        alps_names_lock_(h, t);
        err = alps_named_step_(h, &n, &k, entry, t);
        more = alps_named_more_(h, &k, &err, t);
    }
    return err;
}

/* Makes a description and lets the entry name it; what it replaces is named by
 * it until it is free. Under the lock of names. */
ALPS_CORE_ int alps_named_describe_(alps_handle *h, alps_entry *e,
                                    const char *text, size_t n,
                                    const alps_tables *t)
{
    alps_text *x = (alps_text *)alps_link_reserve_(h, sizeof *x + n + 1, t);
    if (!x)
        return h->error;
    x->before = e->text && !alps_named_inside_(h, e, e->text) ? e->text : 0;
    x->length = n;
    memcpy(x + 1, text, n);
    ((char *)(x + 1))[n] = 0;
    return alps_link_publish_(h, &e->text, x, t);
}

/* One step of setting a description: it is made, or what it replaced is cut
 * off. `made` tells which. */
ALPS_CORE_ int alps_named_text_step_(alps_handle *h, void *p, const char *text,
                                     size_t n, int made, alps_link *k,
                                     const alps_tables *t)
{
    memset(k, 0, sizeof *k);
    alps_entry *e = alps_named_entry_(h, p);
    if (!e)
        return ALPS_EINVAL;
    if (!made && n) {
        int err = alps_named_describe_(h, e, text, n, t);
        return err ? err : ALPS_NAMED_MORE_;
    }
    alps_off *link = alps_named_last_(h, e);
    if (!*link || (n && link == &e->text))
        return ALPS_NAMED_DONE_;
    int err = alps_named_cut_(h, e, link, k, t);
    return err ? err : ALPS_NAMED_MORE_;
}

/* See alps_redescribe. */
ALPS_CORE_ int alps_named_redescribe_(alps_handle *h, void *p, const char *text,
                                      size_t n, const alps_tables *t)
{
    int err = alps_ready_(h, t);
    if (!err && (n > ALPS_NAME_MAX || (n && !text)))
        err = ALPS_EINVAL;
    int made = 0;
    for (int more = !err; more; made = 1) {
        alps_link k;
        alps_names_lock_(h, t);
        err = alps_named_text_step_(h, p, text, n, made, &k, t);
        more = alps_named_more_(h, &k, &err, t);
    }
    return err;
}

/* What is known of the object at `p`. */
ALPS_FN_ int alps_named_look_(const alps_handle *h, const void *p,
                              alps_naming *as)
{
    const alps_entry *e = alps_named_entry_(h, p);
    memset(as, 0, sizeof *as);
    if (!e)
        return ALPS_EINVAL;
    alps_off off = __atomic_load_n(&e->text, __ATOMIC_ACQUIRE);
    const alps_text *x = off ? alps_named_text_(h, off) : NULL;
    if (off && !x)
        return ALPS_ECORRUPT;
    as->name = e->unique ? NULL : (const void *)(e + 1);
    as->length = e->unique ? 0 : e->length;
    as->tag = e->tag;
    as->element = (size_t)e->element;
    as->count = (size_t)e->count;
    as->text = x ? (const char *)(x + 1) : NULL;
    as->text_length = x ? (size_t)x->length : 0;
    return ALPS_OK;
}

/* Walks all names, as a reader or with the lock. */
ALPS_FN_ int alps_named_walk_(const alps_handle *h, alps_name_visit *visit,
                              void *context)
{
    alps_names *s = alps_node_names_(h);
    if (!s)
        return alps_load_(&h->super->names) ? ALPS_ECORRUPT : ALPS_OK;
    const alps_node *n = &s->first[0];
    uint64_t last = 0;
    unsigned same = 0;
    for (;;) {
        alps_off off = __atomic_load_n(&n->next, __ATOMIC_ACQUIRE);
        if (!off)
            return ALPS_OK;
        n = alps_node_at_(h, off);
        uint64_t order = n ? alps_node_order_(n) : 0;
        same = order == last ? same + 1 : 0;
        if (!n || order < last || same > ALPS_NODE_SAME_)
            return ALPS_ECORRUPT;
        last = order;
        if (!(order & 1))
            continue;
        if (!alps_name_sane_(h, off))
            return ALPS_ECORRUPT;
        const alps_entry *e = (const alps_entry *)alps_address_(h, off);
        size_t bytes;
        void *p = alps_name_object_(e, &bytes);
        const char *name = e->unique ? NULL : (const char *)(e + 1);
        int stop = visit(context, name, name ? e->length : 0, p, bytes);
        if (stop)
            return stop;
    }
}

/* See alps_each_name. */
ALPS_CORE_ int alps_named_each_(alps_handle *h, alps_name_visit *visit,
                                void *context, const alps_tables *t)
{
    if (!alps_opened_(h))
        return ALPS_EINVAL;
    if (!alps_self_(h) && (!h->attached || h->map.medium != ALPS_MEDIUM_ANON))
        return alps_named_walk_(h, visit, context);
    int err = alps_epoch_enter_(h, t);
    if (err)
        return err;
    int stop = alps_named_walk_(h, visit, context);
    alps_epoch_leave_(h, t);
    return stop;
}

ALPS_FN_ int alps_named_one_(void *context, const char *name, size_t length,
                             void *p, size_t n)
{
    (void)name;
    (void)length;
    (void)p;
    (void)n;
    ++*(uint64_t *)context;
    return 0;
}

/* How many names there are: known, or counted. */
ALPS_CORE_ uint64_t alps_named_count_(alps_handle *h, const alps_tables *t)
{
    uint64_t n = 0;
    if (!alps_self_(h)) {
        (void)alps_named_walk_(h, alps_named_one_, &n);
        return n;
    }
    alps_names_lock_(h, t);
    if (h->shared->named)
        n = h->shared->named - 1;
    else if (alps_named_walk_(h, alps_named_one_, &n) == ALPS_OK)
        h->shared->named = n + 1;
    alps_names_unlock_(h);
    return n;
}
