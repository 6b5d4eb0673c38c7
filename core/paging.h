/* paging.h -- the public functions of paged memory, under the name of this
 * instance
 *
 * As those of instance.h; with backend paged alone. */
#if ALPS_BACKEND == ALPS_PAGED

/* Maps the first `size` bytes of the file `path` as plain memory, which may be
 * larger than the machine's; no heap is in it. The file is made where there is
 * none, and made longer where it is shorter, its blocks reserved; it is never
 * cut. Of `o` (NULL: the defaults) memory, segment, engine, eviction, evict,
 * faults and mode count, and the environment. NULL and errno: EINVAL, ENOSPC,
 * ENOMEM, EACCES, EBUSY (open elsewhere in a way that excludes this). Any
 * number of mappings, any threads in each. O(1), but for the blocks. */
ALPS_ONCE_ void *ALPS_(umalloc_with)(const char *path, size_t size,
                                     const alps_options *o)
{
    return alps_umalloc_(path, size, o, ALPS_FAULTS_);
}

/* The same with the defaults. */
static inline __attribute__((unused)) void *ALPS_(umalloc)(const char *path,
                                                           size_t size)
{
    return ALPS_(umalloc_with)(path, size, NULL);
}

/* What was stored to the mapping at `p` before this call is durable when it
 * returns 0; else a code, and errno: a retry may work. ALPS_EINVAL: `p` was not
 * answered by alps_umalloc. O(size in memory). */
static inline __attribute__((unused)) int ALPS_(usync)(void *p)
{
    return alps_umalloc_sync_(p);
}

/* Syncs the mapping at `p` and ends it, also where the sync fails; the code
 * says so. NULL is fine. No thread uses it any more. */
static inline __attribute__((unused)) int ALPS_(ufree)(void *p)
{
    return alps_umalloc_free_(p);
}

/* Bytes [p, p + n) of the region are in memory until alps_unpin: for read(2),
 * write(2) and their like, which fail with EFAULT where a thread would fault
 * and go on. `write`: the system call stores to them. Pins nest. Not needed,
 * and nothing, with engine kernel; with userfaultfd needed by little (what,
 * docs/paged.md tells). ALPS_EFULL: the memory of the region has not
 * so many segments to spare; do it piece by piece. O(n). */
static inline __attribute__((unused)) int
ALPS_(pin)(ALPS_(heap) * h, const void *p, size_t n, int write)
{
    int err = alps_ready_(&h->core, &ALPS_(tables_));
    if (err || !h->core.map.apart || !n)
        return err;
    return alps_writeback_pin_(h->core.map.pager, alps_offset_(&h->core, p), n,
                               write);
}

/* Ends what alps_pin began for the same bytes. */
static inline __attribute__((unused)) void ALPS_(unpin)(ALPS_(heap) * h,
                                                        const void *p, size_t n)
{
    if (h->core.map.apart && n && !alps_ready_(&h->core, &ALPS_(tables_)))
        alps_writeback_unpin_(h->core.map.pager, alps_offset_(&h->core, p), n);
}
#endif
