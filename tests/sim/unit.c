/* unit.c -- the library under test
 *
 * All that stores to a medium is in this unit, which is compiled with
 * -fsanitize=thread: the core with one real policy, and the program's own
 * stores. SIM_POLICY chooses: flush, msync or none. */
#include "sim.h"

#include <setjmp.h>

/* The machine is asked for its features at every open, which is slow where
 * that traps: it answers once. */
#if defined(__x86_64__)
#  include <cpuid.h>
#  define __get_cpuid(leaf, a, b, c, d) sim_cpuid(leaf, 0, a, b, c, d)
#  define __get_cpuid_count(leaf, sub, a, b, c, d) \
    sim_cpuid(leaf, sub, a, b, c, d)
#endif

#define ALPS_OBSERVE(event, p, n) sim_observe((event), (p), (n))
#define ALPS_ASSERT(cond) \
  ((cond) ? (void)0 : sim_fault("asserted in the library: %s", #cond))

/* Each thread is of a process of its own. Caches are small, and empty slabs
 * soon go back. */
#define ALPS_THREAD_() ((sim_thread + 1u) * (uintptr_t)SIM_PAGE)
#define ALPS_WAIT_(round) ((void)(round), sim_waits())
#define ALPS_SEATS 16u
#define ALPS_SPOTS 64u
#define ALPS_EMPTY_MAX 1u

/* Logs soon go on in another chunk. */
#define ALPS_LOG_FIRST 256u
#define ALPS_UNDO_MOST 128u

/* Names have the same hashes in every run, and soon want more buckets. */
#include <sys/syscall.h>
#include <unistd.h>
#define syscall(...) sim_no_call(__VA_ARGS__)
static long sim_no_call(long number, ...)
{
    return number == SYS_getrandom ? 8 : -1; // what is random is 0
}
#define ALPS_NODE_CROWD 1u
#define ALPS_NODE_BATCH 2u

/* Each place that writes back or fences has an address of its own. */
#define ALPS_APART
#define ALPS_CORE_ONLY
#include "alps.h"

uint64_t unit_size;
unsigned unit_lanes = 3;
int unit_fixed;
int unit_grows;

/* ---- the medium: worlds[depth] ---- */

static int medium_open(alps_map *m, const char *path, const alps_options *o)
{
    (void)path;
    (void)o;
    m->user = sim_here;
    m->length = sim_here->length;
    m->align = 1;
    m->fixed = (unsigned)unit_fixed;
    m->medium = SIM_POLICY == ALPS_FLUSH   ? ALPS_MEDIUM_FSDAX
                : SIM_POLICY == ALPS_MSYNC ? ALPS_MEDIUM_CACHE
                                           : ALPS_MEDIUM_SHMEM;
    return ALPS_OK;
}

static int medium_unguard(alps_map *m)
{
    (void)m;
    return ALPS_OK;
}

static int medium_map(alps_map *m, uint64_t size, uint64_t reserve,
                      uint64_t align)
{
    (void)align;
    m->base = sim_here->mem;
    m->size = size;
    m->reserved = reserve < SIM_BYTES ? reserve : SIM_BYTES;
    return ALPS_OK;
}

static int medium_unmap(alps_map *m)
{
    m->base = NULL;
    return ALPS_OK;
}

static int medium_resize(alps_map *m, uint64_t size)
{
    if (size > SIM_BYTES)
        return ALPS_ENOSPC;
    sim_world_cut(sim_here, size);
    m->length = size;
    if (m->base)
        m->size = size;
    return ALPS_OK;
}

static int medium_punch(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_EUNSUPPORTED;
}

static int medium_reserve(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    (void)off;
    (void)n;
    return ALPS_OK;
}

ALPS_CORE_ int medium_sync(alps_map *m, uint64_t off, uint64_t n)
{
    (void)m;
    sim_at_site();
    sim_synced(off, n);
    return ALPS_OK;
}

static int medium_lease(alps_map *m, unsigned number)
{
    if (number >= SIM_LEASES)
        return ALPS_EUNSUPPORTED;
    if (sim_here->lease[number] && sim_here->lease[number] != m)
        return ALPS_EBUSY;
    sim_here->lease[number] = m;
    return ALPS_OK;
}

static int medium_unlease(alps_map *m, unsigned number)
{
    if (number < SIM_LEASES && sim_here->lease[number] == m)
        sim_here->lease[number] = NULL;
    return ALPS_OK;
}

static int medium_leased(alps_map *m, unsigned number)
{
    int leased = 0;
    for (unsigned i = 0; i < SIM_LEASES; i++)
        if (number == ALPS_LEASE_ANY || number == i)
            leased |= sim_here->lease[i] && sim_here->lease[i] != m;
    return leased;
}

static int medium_close(alps_map *m)
{
    for (unsigned i = 0; i < SIM_LEASES; i++)
        medium_unlease(m, i);
    return medium_unmap(m);
}

static int medium_remove(const char *path)
{
    (void)path;
    return ALPS_EUNSUPPORTED;
}

static const alps_backend sim_medium = {
    "sim",        medium_open,   medium_unguard, medium_map,
    medium_unmap, medium_resize, medium_punch,   medium_reserve,
    medium_sync,  medium_lease,  medium_unlease, medium_leased,
    medium_close, medium_remove, NULL,           NULL};

/* ---- the policy: the real one, told apart by where it is called ---- */

#if SIM_POLICY == ALPS_FLUSH
#  define REAL(act) alps_persist_##act##_
#  define REAL_OPEN alps_flush_open_
const char sim_unit_name[] = "flush";
#elif SIM_POLICY == ALPS_MSYNC
#  define REAL(act) alps_msync_##act##_
#  define REAL_OPEN alps_msync_open_
const char sim_unit_name[] = "msync";
#else
#  define REAL(act) alps_none_##act##_
#  define REAL_OPEN alps_none_open_
const char sim_unit_name[] = "none";
#endif

/* These are inlined wherever the core writes back or fences, so that each
 * place has an address of its own. */
ALPS_CORE_ int sim_flush(alps_map *m, const void *p, size_t n)
{
    sim_at_site();
    return REAL(flush)(m, p, n);
}

ALPS_CORE_ int sim_stream(alps_map *m, void *to, const void *from)
{
    sim_at_site();
    return REAL(stream)(m, to, from);
}

ALPS_CORE_ int sim_fence(alps_map *m, const alps_backend *b)
{
    sim_at_site();
    return REAL(fence)(m, b);
}

ALPS_CORE_ int sim_settle(alps_map *m)
{
    sim_at_site();
    sim_observe(SIM_SAW_SETTLE, NULL, 0);
    return REAL(settle)(m);
}

static const alps_policy sim_policy = {
    sim_unit_name, SIM_POLICY != ALPS_NONE,
    REAL_OPEN,     sim_flush,
    sim_stream,    sim_fence,
    sim_settle,    NULL,
    NULL,          NULL,
};

#define ALPS_POLICY ALPS_USER
#define ALPS_USER_POLICY sim_policy
#define ALPS_BACKEND ALPS_USER
#define ALPS_USER_BACKEND sim_medium
#include "alps.h"

/* ---- the program's side ---- */

static alps_heap heaps[SIM_HANDLES];

/* Opens what is there, or makes a region of few extents: metadata up to 28
 * KiB, then extents of 4 KiB. */
int unit_open(unsigned h, int anew)
{
    alps_options o;
    sim_local_of(h);
    memset(&o, 0, sizeof o);
    o.flags = anew ? ALPS_CREATE | ALPS_TRUNCATE : 0;
    o.size = unit_size;
    o.limit = SIM_BYTES;
    o.grow = unit_grows ? 0 : ALPS_GROW_NEVER;
    o.extent = 4096;
    o.lanes = unit_lanes;
    o.processes = 3;
    return alps_open(&heaps[h], "sim", &o);
}

int unit_close(unsigned h)
{
    return alps_close(&heaps[h]);
}

void unit_handle(unsigned h, void **bytes, size_t *n)
{
    *bytes = &heaps[h];
    *n = sizeof heaps[h];
}

/* Every word of the root area that a program uses has a line of its own, and
 * its records another lane than those of the next word. */
typedef struct root_word {
    uint64_t off;
    uint64_t line[7];
} root_word;

static uint64_t *root(unsigned h, unsigned slot)
{
    root_word *words = (root_word *)alps_root(&heaps[h], ALPS_ROOT_SIZE);
    return &words[slot / 2 + slot % 2 * 28].off;
}

static void *at(unsigned h, uint64_t off)
{
    (void)h;
    return sim_here->mem + off;
}

static uint64_t off_of(unsigned h, const void *p)
{
    return p ? alps_off_of(&heaps[h], p) : 0;
}

uint64_t unit_reserve(unsigned h, size_t n)
{
    return off_of(h, alps_reserve(&heaps[h], n));
}

int unit_publish(unsigned h, unsigned slot, uint64_t off)
{
    return alps_publish(&heaps[h], root(h, slot), at(h, off));
}

int unit_release(unsigned h, unsigned slot)
{
    return alps_release(&heaps[h], root(h, slot));
}

int unit_cancel(unsigned h, uint64_t off)
{
    return alps_cancel(&heaps[h], at(h, off));
}

uint64_t unit_alloc(unsigned h, size_t n, size_t align)
{
    return off_of(h, align > 64 ? alps_alloc_aligned(&heaps[h], align, n)
                                : alps_alloc(&heaps[h], n));
}

uint64_t unit_zalloc(unsigned h, size_t n)
{
    return off_of(h, alps_zalloc(&heaps[h], n));
}

uint64_t unit_realloc(unsigned h, uint64_t off, size_t n)
{
    return off_of(h, alps_realloc(&heaps[h], at(h, off), n));
}

int unit_free(unsigned h, uint64_t off)
{
    return alps_free(&heaps[h], at(h, off));
}

/* 1: there is no room to note it, or no lane for this thread. */
int unit_retire(unsigned h, uint64_t off)
{
    int err = alps_retire(&heaps[h], at(h, off));
    return err == ALPS_EFULL || err == ALPS_EBUSY ? 1 : err;
}

/* What a collection is told: all but one block is referred to. */
struct but {
    unsigned h;
    uint64_t off;
    alps_collecting *c;
};

static int refer_but(void *context, void *p, size_t n)
{
    const struct but *b = context;
    (void)n;
    return off_of(b->h, p) == b->off ? 0 : alps_refer(b->c, p);
}

static int refers_but(void *context, alps_collecting *c, void *p, size_t n)
{
    struct but *b = context;
    (void)n;
    b->c = c;
    return p == alps_root(&heaps[b->h], 8)
               ? alps_each(&heaps[b->h], refer_but, b)
               : 0;
}

/* Collects; nothing leads to the block at `off`. */
int unit_collect(unsigned h, uint64_t off)
{
    struct but b = {h, off, NULL};
    sim_scratch(1);
    int err = alps_collect(&heaps[h], refers_but, &b, NULL);
    sim_scratch(0);
    return err;
}

int unit_reap(unsigned h)
{
    return alps_reap(&heaps[h]);
}

static alps_tx txs[SIM_HANDLES + 1];

/* The transaction of the thread: thread 2 is of handle 0, too. */
static alps_tx *tx(unsigned h)
{
    return &txs[h || sim_thread != 2 ? h : SIM_HANDLES];
}

/* 1: there is no room. */
static int full(int err)
{
    return err == ALPS_EFULL ? 1 : err;
}

/* 1: there is no lane for it. */
int unit_begin(unsigned h)
{
    int err = alps_begin(&heaps[h], tx(h));
    return err == ALPS_EBUSY ? 1 : err;
}

int unit_tx_set(unsigned h, unsigned slot, uint64_t value)
{
    return full(alps_tx_set(tx(h), root(h, slot), value));
}

int unit_tx_publish(unsigned h, unsigned slot, uint64_t off)
{
    return full(alps_tx_publish(tx(h), root(h, slot), at(h, off)));
}

int unit_tx_publish_at(unsigned h, uint64_t dest, uint64_t off)
{
    return full(alps_tx_publish(tx(h), (uint64_t *)at(h, dest), at(h, off)));
}

int unit_tx_release(unsigned h, unsigned slot)
{
    return full(alps_tx_release(tx(h), root(h, slot)));
}

int unit_tx_free(unsigned h, uint64_t off)
{
    return full(alps_tx_free(tx(h), at(h, off)));
}

int unit_tx_keep(unsigned h, unsigned slot)
{
    return full(alps_tx_snapshot(tx(h), root(h, slot), 8));
}

/* A word and a block, for one fence. */
int unit_tx_keep_two(unsigned h, unsigned slot, uint64_t off, uint64_t n)
{
    alps_range range[2];
    range[0].p = root(h, slot);
    range[0].n = 8;
    range[1].p = at(h, off);
    range[1].n = n;
    return full(alps_tx_snapshot_all(tx(h), range, 2));
}

int unit_commit(unsigned h)
{
    return alps_commit(tx(h));
}

int unit_abort(unsigned h)
{
    return alps_abort(tx(h));
}

int unit_grow(unsigned h, uint64_t size)
{
    return alps_grow(&heaps[h], size);
}

uint64_t unit_usable(unsigned h, uint64_t off)
{
    return alps_usable(&heaps[h], at(h, off));
}

/* Plain stores, as a program makes them. */
void unit_fill(unsigned h, uint64_t off, uint64_t n, uint64_t id)
{
    uint64_t *word = (uint64_t *)at(h, off);
    for (uint64_t i = 0; i < n / 8; i++)
        word[i] = sim_pattern(id, i);
}

void unit_set(unsigned h, unsigned slot, uint64_t value)
{
    *root(h, slot) = value;
}

int unit_persist(unsigned h, uint64_t off, uint64_t n)
{
    return alps_persist(&heaps[h], at(h, off), n);
}

int unit_flush_root(unsigned h, unsigned slot)
{
    return alps_flush(&heaps[h], root(h, slot), 8);
}

int unit_fence(unsigned h)
{
    return alps_fence(&heaps[h]);
}

int unit_sync(unsigned h)
{
    return alps_sync(&heaps[h]);
}

int unit_check(unsigned h)
{
    return alps_check(&heaps[h], NULL);
}

/* Bytes of a slab that this thread cannot use: the rest behind its last object,
 * and what is free of one that belongs to another. */
static uint64_t kept_in(alps_handle *c, alps_slab *s)
{
    uint64_t kept = alps_kind_granules_(c, s->kind - 1) * ALPS_GRANULE -
                    (uint64_t)s->count * s->size;
    const alps_cache *mine = alps_cache_(c);
    if (!alps_token_lane_(c, s->owner) || (mine && s->owner == mine->token))
        return kept;
    for (unsigned g = 0; g < alps_slab_groups_(s); g++)
        kept +=
            (unsigned)__builtin_popcountll(alps_slab_free_(c, s, g)) * s->size;
    return kept;
}

/* Bytes of a region filled to the last granule that are neither live nor kept
 * in slabs. */
uint64_t unit_left(unsigned h)
{
    alps_statistics s;
    alps_handle *c = &heaps[h].core;
    if (alps_stats(&heaps[h], &s))
        return ~0ull;
    uint64_t left = s.free + s.reserved + s.spare + s.retired;
    for (alps_off off = c->at.heap; off < alps_size_(c);
         off += 1ull << c->at.slab_shift)
        if (alps_slab_is_(c, off))
            left -= kept_in(c, alps_slab_head_(c, off));
    return left;
}

/* What a name may be called, and described by. */
static alps_naming naming(unsigned i, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    alps_naming as;
    memset(&as, 0, sizeof as);
    as.name = letters + i;
    as.length = 1;
    as.count = n;
    return as;
}

static int begun(void *context, void *p, size_t n)
{
    (void)context;
    (void)p;
    (void)n;
    return 0;
}

/* 1: there is no room. The first name's object has a maker. */
int unit_construct(unsigned h, unsigned i, size_t n)
{
    alps_maker maker = {begun, NULL, NULL};
    alps_naming as = naming(i, n);
    as.text = i == SIM_TOLD ? "told" : NULL;
    as.text_length = i == SIM_TOLD ? 4 : 0;
    if (i ? alps_construct_as(&heaps[h], as)
          : alps_construct_with(&heaps[h], as, 0, &maker))
        return 0;
    int err = alps_error(&heaps[h]);
    return err == ALPS_EFULL ? 1 : err;
}

int unit_destroy(unsigned h, unsigned i)
{
    int err = alps_destroy_as(&heaps[h], naming(i, 0));
    return err == ALPS_EFULL ? 1 : err;
}

/* So many letters are the description. */
int unit_describe(unsigned h, unsigned i, unsigned text)
{
    alps_place p;
    alps_name n;
    alps_naming as = naming(i, 0);
    alps_handle *c = &heaps[h].core;
    int err = alps_name_init_(c, &as, &n);
    if (err || alps_name_seek_(c, &n, &p) != 1)
        return err ? err : ALPS_ENOENT;
    alps_entry *e = (alps_entry *)alps_address_(c, p.off);
    err = alps_redescribe(&heaps[h], alps_name_object_(e, NULL), "xxxxxxxx",
                          text);
    return err == ALPS_EFULL ? 1 : err;
}

/* A block that names are made of. */
static int saw_own(struct sim_view *v, alps_handle *c, alps_off off)
{
    if (v->own_n == SIM_OWN)
        return ALPS_ECORRUPT;
    v->own[v->own_n].off = off;
    v->own[v->own_n++].n = alps_small_usable_(c, alps_address_(c, off));
    return ALPS_OK;
}

/* An entry; its object is zero. */
static int saw_name(struct sim_view *v, alps_handle *c, alps_off off)
{
    const alps_entry *e = (const alps_entry *)alps_address_(c, off);
    unsigned i = *(const unsigned char *)(e + 1) - 'a' + 0u;
    const alps_text *x = e->text ? alps_named_text_(c, e->text) : NULL;
    size_t n;
    const unsigned char *p = (const unsigned char *)alps_name_object_(e, &n);
    int err = saw_own(v, c, off);
    if (i >= SIM_NAMES || e->length != 1 || v->name[i])
        return ALPS_ECORRUPT;
    v->name[i] = 1 + (x ? (unsigned)x->length : 0);
    while (n)
        if (p[--n])
            return ALPS_ECORRUPT;
    alps_off first = alps_named_inside_(c, e, e->text) ? 0 : e->text;
    for (alps_off at = first; !err && at; at = x->before) {
        x = alps_named_text_(c, at);
        if (!x)
            return ALPS_ECORRUPT;
        err = saw_own(v, c, at);
    }
    return err;
}

/* All names, and what they are found by; alps_check has nothing to say. */
static int saw_names(alps_handle *c, struct sim_view *v)
{
    alps_names *s = alps_node_names_(c);
    int err = s ? saw_own(v, c, c->super->names) : ALPS_OK;
    for (unsigned i = 0; s && !err && i < ALPS_NAMES_TABLES; i++)
        if (s->table[i])
            err = saw_own(v, c, s->table[i]);
    alps_off off = s ? s->first[0].next : 0;
    for (; off && !err; off = alps_node_at_(c, off)->next)
        if (alps_node_at_(c, off)->key & 1)
            err = saw_name(v, c, off);
    return err;
}

/* Blocks are kept by place, whatever order they come in. */
static int saw_block(void *context, void *p, size_t n)
{
    struct sim_view *v = (struct sim_view *)context;
    uint64_t off = (uint64_t)((unsigned char *)p - sim_here->mem);
    for (unsigned i = 0; i < v->own_n; i++)
        if (v->own[i].off == off)
            return 0;
    if (v->n == SIM_BLOCKS)
        return 1;
    unsigned i = v->n++;
    for (; i && v->block[i - 1].off > off; i--)
        v->block[i] = v->block[i - 1];
    v->block[i].off = off;
    v->block[i].n = n;
    return 0;
}

static int failed(struct sim_view *v, const char *what, int err)
{
    v->what = what;
    v->err = err;
    return err;
}

static int checked(unsigned h, struct sim_view *v)
{
    alps_report r;
    int err = alps_check(&heaps[h], &r);
    return failed(v, err && r.problems ? r.first[0].text : "alps_check", err);
}

#include "damage.h"

/* Recovers what is there, and tells what it holds. */
void unit_look(unsigned h, struct sim_view *v)
{
    v->n = v->own_n = 0;
    memset(v->name, 0, sizeof v->name);
    if (ready(h, v) || checked(h, v) ||
        failed(v, "a look at names", saw_names(&heaps[h].core, v)) ||
        failed(v, "alps_each", alps_each(&heaps[h], saw_block, v)))
        return;
    for (unsigned i = 0; i < SIM_ROOTS; i++)
        v->root[i] = *root(h, i);
}
