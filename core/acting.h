/* acting.h -- the public functions of transactions, under the name of this
 * instance
 *
 * As those of instance.h. A transaction is its thread's: what others call with
 * it, and what comes after its end, is ALPS_EINVAL. docs/transactions.md tells
 * what it promises. None of them is inlined. */
typedef alps_tx ALPS_(tx);
typedef alps_range ALPS_(range);
typedef alps_make ALPS_(make);

ALPS_ONCE_ int ALPS_(act_)(alps_tx *t, unsigned op, void *word, const void *p,
                           uint64_t value)
{
    return alps_tx_add_(t, op, word, p, value, &ALPS_(tables_));
}

/* Several ranges as by alps_tx_snapshot, for one fence. */
ALPS_ONCE_ int ALPS_(tx_snapshot_all)(ALPS_(tx) * t, const alps_range *range,
                                      unsigned n)
{
    return alps_tx_keep_(t, range, n, &ALPS_(tables_));
}

/* Keeps the `n` bytes at `p`, in the root area or in the heap, as they are: the
 * program may store to them when this has returned 0, and the commit makes that
 * durable; an abort and a crash put them back. Aligned or not, of any length;
 * what is kept already may be so again. One fence, none where the last few
 * ranges cover it. ALPS_EINVAL, ALPS_EFULL, ALPS_EABORTED. O(n). */
static inline __attribute__((unused)) int ALPS_(tx_snapshot)(ALPS_(tx) * t,
                                                             void *p, size_t n)
{
    alps_range range;
    range.p = p;
    range.n = n;
    return ALPS_(tx_snapshot_all)(t, &range, 1);
}

/* Begins a transaction of this thread, which `t` is to be; inside of one that
 * it has open on this region, joins that. ALPS_EBUSY: the thread has no lane of
 * its own and finds none to borrow. No fence. */
ALPS_ONCE_ int ALPS_(begin)(ALPS_(heap) * h, ALPS_(tx) * t)
{
    t->act = ALPS_(act_);
    t->keep = ALPS_(tx_snapshot);
    return alps_tx_begin_(&h->core, t, &ALPS_(tables_));
}

/* `*word`, in the region and 8-aligned, is to be `value` when the transaction
 * commits. ALPS_EINVAL, ALPS_EFULL, ALPS_EABORTED. No fence. O(1). */
ALPS_ONCE_ int ALPS_(tx_set)(ALPS_(tx) * t, uint64_t *word, uint64_t value)
{
    return alps_tx_add_(t, ALPS_OP_SET, word, NULL, value, &ALPS_(tables_));
}

/* See alps_publish: when the transaction commits, with the contents as of
 * then. `dest` may be in what is reserved and published as well. Aborted, it
 * is a reservation still. No fence. O(1). */
ALPS_ONCE_ int ALPS_(tx_publish)(ALPS_(tx) * t, alps_off *dest, void *p)
{
    return p ? alps_tx_add_(t, ALPS_OP_PUBLISH, dest, p, 0, &ALPS_(tables_))
             : ALPS_EINVAL;
}

/* See alps_release: what `*dest` names now, when the transaction commits. A
 * word that another action of it sets keeps that value. No fence. O(1). */
static inline __attribute__((unused)) int ALPS_(tx_release)(ALPS_(tx) * t,
                                                            alps_off *dest)
{
    return ALPS_(act_)(t, ALPS_OP_RELEASE, dest, NULL, 0);
}

/* Frees the block at `p` when the transaction commits; NULL: nothing. Twice in
 * one transaction, or what is not live: ALPS_EINVALID_FREE. No fence. O(1). */
static inline __attribute__((unused)) int ALPS_(tx_free)(ALPS_(tx) * t, void *p)
{
    return p ? ALPS_(act_)(t, ALPS_OP_RELEASE | ALPS_OP_WORDLESS, NULL, p, 0)
             : ALPS_OK;
}

/* Ends it: all of it happens, or by a crash nothing. The inner one of two does
 * nothing. A code: nothing of it has happened, and it is ended; or, from the
 * medium itself (ALPS_EIO), no promise. ALPS_EABORTED: an inner one has aborted
 * it. Two fences for any number of actions, one more with snapshots or with
 * objects above ALPS_SUM_MAX bytes; two for snapshots alone. O(actions). */
ALPS_ONCE_ int ALPS_(commit)(ALPS_(tx) * t)
{
    return alps_tx_commit_(t, &ALPS_(tables_));
}

/* Ends it: nothing of it happens, what was stored to ranges is put back. Also
 * of an inner one: all is put back at once, and the outer one can but end. One
 * fence where there are ranges. O(bytes). */
ALPS_ONCE_ int ALPS_(abort)(ALPS_(tx) * t)
{
    return alps_tx_abort_(t, &ALPS_(tables_));
}

/* Reserves `n` bytes, has `make` fill them and publishes them to `*dest`. What
 * `make` answers, if not 0, is answered, and so is the code of what fails; the
 * memory goes back then. As alps_publish otherwise. */
ALPS_ONCE_ int ALPS_(publish_new)(ALPS_(heap) * h, alps_off *dest, size_t n,
                                  alps_make *make, void *context)
{
    void *p = ALPS_(reserve)(h, n);
    int err = p ? make(context, p, n) : ALPS_(error)(h);
    if (!err)
        err = ALPS_(publish)(h, dest, p);
    if (err && p)
        ALPS_(cancel)(h, p);
    return err;
}

/* The same, published by the commit; aborted, the memory goes back. */
ALPS_ONCE_ int ALPS_(tx_publish_new)(ALPS_(tx) * t, alps_off *dest, size_t n,
                                     alps_make *make, void *context)
{
    void *p = NULL;
    alps_draft *o;
    int err = alps_tx_ready_(t, &o, &ALPS_(tables_));
    if (!err)
        err = ALPS_(slow_)(t->handle, ALPS_SLOW_RESERVE, n,
                           (uint64_t)(uintptr_t)&p);
    if (!err)
        err = make(context, p, n);
    if (!err)
        err = ALPS_(act_)(t, ALPS_OP_PUBLISH | ALPS_OP_MADE, dest, p, 0);
    if (err && p)
        ALPS_(slow_)
    (t->handle, ALPS_SLOW_CANCEL, alps_offset_(t->handle, p), 0);
    return err;
}
