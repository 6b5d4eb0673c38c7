/* spaces.h -- the public functions of spaces, under the name of this instance
 *
 * As those of instance.h. A space may have regions of several instances: each
 * is added by its own. Unless said otherwise every function may be called from
 * any thread at once. */
typedef alps_space ALPS_(space);
typedef alps_far ALPS_(far);

ALPS_ONCE_ int ALPS_(perform_)(alps_handle *h, alps_deed *d)
{
    return alps_pledge_perform_(h, d, &ALPS_(tables_));
}

/* Adds an open region to the space; in it far pointers lead to it. What hung
 * between it and others of the space when their makers died is settled (see
 * alps_space_settle); else one fence. ALPS_EEXIST: a region of the same uuid is
 * there, such as a copy; ALPS_ENOMEM; what settling met. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_add)(alps_space *s,
                                                           ALPS_(heap) * h)
{
    return alps_settle_add_(s, &h->core, ALPS_(perform_));
}

/* Opens a region as alps_open does, and adds it; closed again where that
 * fails. */
static inline __attribute__((unused)) int
ALPS_(space_open)(alps_space *s, ALPS_(heap) * h, const char *path,
                  const alps_options *o)
{
    int err = ALPS_(open)(h, path, o);
    if (err)
        return err;
    err = ALPS_(space_add)(s, h);
    if (err)
        (void)ALPS_(discard)(h);
    return err;
}

/* Takes a region out of the space; before it is closed. ALPS_ENOENT: it is not
 * there. No other thread may be following pointers into it. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_remove)(alps_space *s,
                                                              ALPS_(heap) * h)
{
    return alps_space_remove_(s, &h->core);
}

/* Empties the space and frees what it took; the regions stay open. No other
 * thread may be using it. */
static inline __attribute__((unused)) void ALPS_(space_end)(alps_space *s)
{
    alps_space_end_(s);
}

/* The id of an open region, as it is in far pointers. */
static inline __attribute__((unused)) uint64_t
ALPS_(space_id)(const ALPS_(heap) * h)
{
    return alps_space_id_(h->core.super->uuid);
}

/* The id of a region by its uuid, as alps_inspect tells it. */
static inline __attribute__((unused)) uint64_t
ALPS_(space_id_of)(const uint8_t uuid[16])
{
    return alps_space_id_(uuid);
}

/* The address of a far pointer; NULL for null. ALPS_EMISSING: the region is not
 * in the space, and no resolver has brought it, or what the resolver answered;
 * ALPS_EINVAL: nothing can be there. O(1) but for a resolver. */
static inline __attribute__((unused)) int
ALPS_(space_at)(alps_space *s, alps_far far, void **p)
{
    return alps_space_at_(s, far.region, far.off, p);
}

/* The far pointer to `p`, which may be NULL. ALPS_EMISSING: it is in no region
 * of the space. O(log regions). */
static inline __attribute__((unused)) int
ALPS_(space_far)(const alps_space *s, const void *p, alps_far *far)
{
    return alps_space_far_(s, p, far);
}

/* In one step, whatever crashes: the reservation `p` is allocated, durable, and
 * `*dest`, in the same or another region of the space, names it. `*dest` is the
 * caller's alone, as for alps_publish; it is null, or names an object of the
 * region of `p` (else ALPS_EINVAL; a packed pointer may name any). A crash is
 * settled when both regions are in a space again: alps_space_add. Five fences.
 * Where one of the two regions is under checkpoint it is durable when both
 * are: after the next alps_space_sync, or an alps_sync of each; a crash before
 * leaves all of it, or nothing. The link is changed by these calls alone until
 * alps_space_sync. ALPS_EMISSING: one of the two is in no region of the space;
 * ALPS_EBUSY: 16 such links of one of the regions are under way, wait for
 * alps_space_sync, or for their region, or `*dest` names an object that waits;
 * and as for alps_publish. */
static inline __attribute__((unused)) int
ALPS_(far_publish)(alps_space *s, alps_far *dest, void *p)
{
    return alps_far_link_(s, &dest->off, dest, p);
}

/* In one step, whatever crashes: what `*dest` names is freed, and `*dest` is
 * null. Null already: nothing. Five fences. Where one of the two regions is
 * under checkpoint the object is freed by the next alps_space_sync.
 * ALPS_EMISSING: the region of the object is missing, and nothing is changed;
 * else as for alps_far_publish and alps_release. */
static inline __attribute__((unused)) int ALPS_(far_release)(alps_space *s,
                                                             alps_far *dest)
{
    return alps_far_cut_(s, &dest->off, dest);
}

/* The same for packed pointers: a publish has four fences, and one more the
 * first time that a process makes one region lead to another. ALPS_EFULL: the
 * region of `*dest` has 128 neighbours already. */
static inline __attribute__((unused)) int
ALPS_(packed_publish)(alps_space *s, uint64_t *dest, void *p)
{
    return alps_far_link_(s, dest, NULL, p);
}

static inline __attribute__((unused)) int ALPS_(packed_release)(alps_space *s,
                                                                uint64_t *dest)
{
    return alps_far_cut_(s, dest, NULL);
}

/* Settles what processes that have died were linking between regions of the
 * space: the object stays if its link names it, else it is free. Happens when a
 * region is added; a program that takes over a lock of its own from a dead
 * process calls it as it would alps_reap. O(regions). */
static inline __attribute__((unused)) int ALPS_(space_settle)(alps_space *s)
{
    return alps_settle_(s, NULL, 0, ALPS_SETTLE_DEAD_);
}

/* As alps_sync of each region under checkpoint, in the order that links between
 * them ask for; then these are links as any others, and what was released is
 * free. The moments of the regions are not one: the program holds the writers
 * of all of them still, or makes links by the calls above. Three syncs of each
 * region if any link was made or cut since the last, else one. A code: it can
 * be called again. Other policies: nothing but what the dead have left.
 * O(regions), and as alps_sync. */
static inline __attribute__((unused)) int ALPS_(space_sync)(alps_space *s)
{
    return alps_settle_(s, NULL, 0, ALPS_SETTLE_MINE_);
}

/* Region `id` is lost, or older than it was: what hangs between it and the
 * region of `h` is settled as if it had no link. ALPS_EEXIST: it is in the
 * space; ALPS_EMISSING: `h` is not. */
static inline __attribute__((unused)) int
ALPS_(space_forgo)(alps_space *s, ALPS_(heap) * h, uint64_t id)
{
    return alps_settle_forgo_(s, &h->core, id);
}
