/* keeping.h -- the public functions of damage and of leaks, under the name of
 * this instance
 *
 * As those of instance.h. docs/repair.md tells what is put right and how. None
 * of them is inlined. */
typedef alps_repaired ALPS_(repaired);
typedef alps_collecting ALPS_(collecting);
typedef alps_collected ALPS_(collected);
typedef alps_refers ALPS_(refers);

/* Puts the region at `path` right, which nobody has open: alps_open refuses it,
 * or alps_check has found something. In place; copy it first, where what is
 * given up matters. What structures tell of each other is made whole again;
 * memory is kept where nothing tells whether it is used; what cannot be kept
 * is given up, and `r` (which may be NULL) tells how much, and the first of it.
 * 0: it can be opened; where nothing was wrong, nothing is changed. A crash in
 * it leaves a region to be repaired again. ALPS_EFORMAT, ALPS_EVERSION,
 * ALPS_ECORRUPT: neither the superblock nor its spare is left.
 * ALPS_EUNFINISHED: nothing is in it. ALPS_ETRUNCATED: nor is any extent.
 * ALPS_EBUSY, ALPS_EFULL (no room for the table of names). O(region). */
ALPS_ONCE_ int ALPS_(repair)(const char *path, alps_repaired *r)
{
    alps_repaired own;
    return alps_repair_(path, r ? r : &own, &ALPS_(tables_));
}

/* As alps_each, for a region that is damaged, mostly one opened with
 * ALPS_SALVAGE: calls `visit` for what is live without doubt. `*skipped`, which
 * may be NULL, are the bytes of what is not shown though it may have been live:
 * slabs of no class or without a block, memory without a start, what the medium
 * has lost. 0 bytes: alps_each shows the same. */
ALPS_ONCE_ int ALPS_(salvage)(ALPS_(heap) * h, alps_visit *visit, void *context,
                              uint64_t *skipped)
{
    uint64_t own = 0;
    if (!skipped)
        skipped = &own;
    *skipped = 0;
    return alps_opened_(&h->core)
               ? alps_rescue_(&h->core, visit, context, skipped)
               : ALPS_EINVAL;
}

/* Frees what nothing leads to. `refers` is called for the root area, for each
 * named object, for what is pledged between two regions, and for each object
 * come to, once; it calls alps_refer with every address in it. What else the
 * program refers to, from other regions or from memory of its own, it says when
 * it is called for the root area. Nobody else uses the region meanwhile, no
 * thread and no process, and `refers` changes nothing: what another has
 * allocated and not linked yet is freed. Reservations stay, but what only they
 * lead to does not. Nothing is freed before all is marked: not 0 from `refers`,
 * which is the answer then, ALPS_ENOMEM and ALPS_ECORRUPT (damaged names) leave
 * all as it was. After a crash in it, what was freed is, and the rest is as it
 * was. `sum` may be NULL. ALPS_EBUSY: this thread has a transaction open. A
 * fence for each slab and each block freed; memory of 1/128 of the region.
 * O(region). */
ALPS_ONCE_ int ALPS_(collect)(ALPS_(heap) * h, alps_refers *refers,
                              void *context, alps_collected *sum)
{
    alps_collected own;
    return alps_collect_(&h->core, refers, context, sum ? sum : &own,
                         &ALPS_(tables_));
}

/* An object that is asked refers to `p`: NULL, or an address anywhere in what
 * is allocated. ALPS_EINVAL: it is in nothing that is; which is counted, and
 * does no harm by itself, but tells that the program is wrong somewhere. */
ALPS_ONCE_ int ALPS_(refer)(ALPS_(collecting) * c, const void *p)
{
    return alps_collect_refer_(c, p);
}
