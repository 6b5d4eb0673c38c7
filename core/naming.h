/* naming.h -- the public functions of names, under the name of this instance
 *
 * As those of instance.h. Those that are no matter of a few instructions are
 * not inlined. */
typedef alps_naming ALPS_(naming);
typedef alps_maker ALPS_(maker);
typedef alps_name_visit ALPS_(name_visit);

ALPS_ONCE_ void *ALPS_(construct_or_find_)(ALPS_(heap) * h,
                                           const alps_naming *as, int old)
{
    return alps_name_construct_(&h->core, as, old, &ALPS_(tables_));
}

/* Makes an object of `as->count` elements of `as->element` bytes, all zero,
 * that is found by its name, tag, element length and description (up to 64 KiB)
 * being kept with it. It is found when it is whole and durable, or not at all:
 * whatever crashes, there is no half-made object, and nothing leaks. Aligned as
 * by alps_alloc. It is freed by alps_destroy alone. NULL and a code in
 * alps_error: ALPS_EEXIST, ALPS_EINVAL (a name above 64 KiB; none, and no tag),
 * ALPS_EFULL, ALPS_ECORRUPT (a link to where no name can be), ALPS_EREADONLY,
 * ALPS_EFORK. Two fences, three above ALPS_SUM_MAX bytes; two more for the
 * first name in some sixteen buckets, three for each doubling of them. O(1),
 * but for a doubling, whose table is zeroed. */
ALPS_ONCE_ void *ALPS_(construct_as)(ALPS_(heap) * h, alps_naming as)
{
    return ALPS_(construct_or_find_)(h, &as, 0);
}

/* The same; but the object is found if it is there, and then it must be of that
 * tag and element length, where said, and of as many elements: else NULL, and
 * ALPS_ETYPE. All who call it at once get the same object, which one of them
 * has made. */
ALPS_ONCE_ void *ALPS_(find_or_construct_as)(ALPS_(heap) * h, alps_naming as)
{
    return ALPS_(construct_or_find_)(h, &as, 1);
}

/* Finds it, and how many bytes it has (`n` may be NULL). NULL and a code in
 * alps_error: ALPS_ENOENT, ALPS_ETYPE, ALPS_ECORRUPT; ALPS_EBUSY in a region
 * that is open for reading, whose writers destroy without end. No lock, no
 * fence. Who uses what is found, while others may destroy it, does so between
 * alps_enter and alps_leave. O(1). */
ALPS_ONCE_ void *ALPS_(find_as)(ALPS_(heap) * h, alps_naming as, size_t *n)
{
    return alps_name_find_(&h->core, &as, n, &ALPS_(tables_));
}

/* Frees the object and takes its name away, in one step. As alps_retire does it
 * leaves the memory alone while readers are inside. ALPS_ENOENT, ALPS_ETYPE;
 * ALPS_EFULL for a thread that is inside itself, in a region without 512 bytes
 * to spare. Two fences; two more for a description that was changed, which is
 * freed first: a crash between leaves the object without it. O(1). */
ALPS_ONCE_ int ALPS_(destroy_as)(ALPS_(heap) * h, alps_naming as)
{
    alps_off entry;
    return alps_named_destroy_(&h->core, &as, &entry, &ALPS_(tables_));
}

/* As alps_construct_as, or, with `old`, as alps_find_or_construct_as; but the
 * object is begun by `m->make` before anybody can find it. That runs without a
 * lock; what it stores in the object, all zero before, is durable with the
 * name; what it allocates besides is lost if a crash comes before that. Its
 * code, if not 0, is that in alps_error, and there is no object. Where several
 * begin one of a name, one is entered, and `m->unmake` is called for the
 * others. */
ALPS_ONCE_ void *ALPS_(construct_with)(ALPS_(heap) * h, alps_naming as, int old,
                                       const alps_maker *m)
{
    return alps_maker_construct_(&h->core, &as, old, m, &ALPS_(tables_));
}

/* An object of `n` bytes by a name that is a C string; see alps_construct_as.
 * Any bytes may be a name, none as well: ALPS_NAMING, alps_naming. */
static inline __attribute__((unused)) void *
ALPS_(construct)(ALPS_(heap) * h, const char *name, size_t n)
{
    return ALPS_(construct_as)(h, alps_name_typed_(name, 0, 0, n));
}

/* See alps_find_as. */
static inline __attribute__((unused)) void *
ALPS_(find)(ALPS_(heap) * h, const char *name, size_t *n)
{
    return ALPS_(find_as)(h, alps_name_typed_(name, 0, 0, 0), n);
}

/* See alps_find_or_construct_as. What is there has `n` bytes or more. */
static inline __attribute__((unused)) void *
ALPS_(find_or_construct)(ALPS_(heap) * h, const char *name, size_t n)
{
    return ALPS_(find_or_construct_as)(h, alps_name_typed_(name, 0, 0, n));
}

/* See alps_destroy_as. */
static inline __attribute__((unused)) int ALPS_(destroy)(ALPS_(heap) * h,
                                                         const char *name)
{
    return ALPS_(destroy_as)(h, alps_name_typed_(name, 0, 0, 0));
}

/* What is known of the named object at `p`. Name and description are in the
 * region, a zero byte behind each; they stay until the object is destroyed or
 * described anew, and for one who is inside (alps_enter) until that leaves.
 * ALPS_EINVAL: `p` is no named object. O(1). */
static inline __attribute__((unused)) int
ALPS_(named)(const ALPS_(heap) * h, const void *p, alps_naming *as)
{
    return alps_named_look_(&h->core, p, as);
}

/* Describes the named object at `p` by these `n` bytes (up to 64 KiB), in place
 * of what it had; if `n` is 0, by none. Durable on return; after a crash it has
 * the one or the other. ALPS_EINVAL, ALPS_EFULL, and as for alps_destroy_as.
 * Two fences, three above ALPS_SUM_MAX bytes; two more where there was one that
 * was not given to alps_construct_as. */
ALPS_ONCE_ int ALPS_(redescribe)(ALPS_(heap) * h, void *p, const char *text,
                                 size_t n)
{
    return alps_named_redescribe_(&h->core, p, text, n, &ALPS_(tables_));
}

/* Calls `visit` for every named object, in no order that means anything. It may
 * destroy the object it is called for, and construct others. What others do
 * meanwhile may be seen or not. The thread is a reader meanwhile: ALPS_EBUSY as
 * for alps_enter. O(names). */
static inline __attribute__((unused)) int
ALPS_(each_name)(ALPS_(heap) * h, alps_name_visit *visit, void *context)
{
    return alps_named_each_(&h->core, visit, context, &ALPS_(tables_));
}
