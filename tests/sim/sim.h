/* sim.h -- the persistency simulator: what its parts know of each other
 *
 * world.c    memory, what is durable of it, what may be
 * tsan.c     the compiler's call-outs: every load and store of the unit
 * local.c    what a process has for itself
 * crash.c    the images a crash can leave, and the recovery of each
 * sites.c    flushes and fences by source line, and leaving them out
 * oracle.c   what a crash must leave, kept beside the heap
 * unit.c     the library itself, compiled with -fsanitize=thread
 * programs.c what is run on it
 * mended.c   regions that are damaged and repaired
 * weave.c    threads at the same time, in every order
 * woven.c    what those do
 * main.c     runs, mutations, the sum
 *
 * docs/simulator.md has the model and how to read a failure. */
#pragma once
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_BYTES (64u * 1024u)
#define SIM_PAGE 4096u
#define SIM_SECTOR 512u
#define SIM_LINE 64u
#define SIM_WORDS (SIM_BYTES / 8)
#define SIM_LINES (SIM_BYTES / SIM_LINE)
#define SIM_LOG 32768u /* stores that are not durable yet, at most */
#define SIM_LEASES 8u
#define SIM_THREADS 3u /* of handles 0 and 1, and a second one of handle 0 */
#define SIM_DEPTH 2u   /* crashes: of the program, and of its recovery */

/* What a crash does to the stores that no fence has made durable. */
enum sim_model {
    SIM_X86,   /* a line has its first k stores; a locked instruction drains */
    SIM_WEAK,  /* every word of a line for itself; nothing drains but a fence */
    SIM_PAGES, /* a sector has its first k stores; sync makes durable */
    SIM_KILL /* all stores so far: the machine goes on, the process does not */
};
extern enum sim_model sim_model;

/* One store to one aligned word, in program order. */
struct sim_store {
    uint64_t value;
    uint32_t number; /* counts the stores of a world */
    uint16_t word;
    uint16_t streamed; /* by a non-temporal store: its words have no order */
};

/* One medium, mapped. Worlds[0] is the program's; worlds[n + 1] is what is
 * left of worlds[n] after a crash. */
struct sim_world {
    unsigned char mem[SIM_BYTES];     /* what the unit reads and writes */
    unsigned char durable[SIM_BYTES]; /* what no crash takes back */
    unsigned char seen[SIM_BYTES];    /* `mem` as of the last store logged */
    uint64_t length;                  /* of the medium */
    uint32_t tracked;                 /* stores are logged, events crash */
    /* Write-backs under way, of each thread: how many lines, which, and below
     * which number the stores of a line are written back. */
    uint32_t marks[SIM_THREADS];
    uint32_t marked[SIM_THREADS][SIM_LINES];
    uint32_t mark[SIM_THREADS][SIM_LINES];
    const void *lease[SIM_LEASES]; /* who holds it */
    uint32_t number;               /* of the next store */
    uint32_t stores;               /* in the log */
    uint32_t under_way_n;          /* bytes of the store under way */
    uint32_t under_way;            /* its place */
    uint32_t under_way_streamed;
    struct sim_store log[SIM_LOG];
};

extern struct sim_world sim_worlds[SIM_DEPTH + 1];
extern unsigned sim_depth;         /* how many crashes deep we are */
extern struct sim_world *sim_here; /* &sim_worlds[sim_depth], or NULL: the
                                      unit is not running */
extern unsigned sim_thread;        /* who runs: fences are a thread's own */

/* world.c */
void sim_world_clear(struct sim_world *w);
void sim_world_copy(struct sim_world *to, const struct sim_world *from);
void sim_world_latch(struct sim_world *w);
void sim_world_drain(struct sim_world *w);
void sim_world_sync(struct sim_world *w, uint64_t off, uint64_t n);
void sim_world_cut(struct sim_world *w, uint64_t length);
void sim_world_start(struct sim_world *w);
void sim_world_evict(struct sim_world *w, unsigned keep);
const char *sim_world_unseen(struct sim_world *w);
void sim_saw_write(const void *p, size_t n);
void sim_saw_locked(void);
void sim_synced(uint64_t off, uint64_t n);
int sim_saw(int event, const void *p, size_t n, const void *site);
void sim_at_site(void);
int sim_observe(int event, const void *p, size_t n);

/* Events beside those of core/policy.h. */
enum { SIM_SAW_SETTLE = 16, SIM_SAW_SYNC = 17 };

/* tsan.c */
int sim_cpuid(unsigned leaf, unsigned sub, unsigned *a, unsigned *b,
              unsigned *c, unsigned *d);

/* local.c */
#define SIM_LOCAL (128u * 1024u)
void *sim_local(unsigned h, size_t *n);
void sim_local_of(unsigned h);

/* Memory of the process for one call. */
#define SIM_SCRATCH (128u * 1024u)
void sim_scratch(int on);

/* crash.c */
struct sim_limits {
    unsigned whole;    /* images: at most so many and all are made */
    unsigned sampled;  /* else so many, by seed */
    unsigned nested;   /* one image in so many is crashed again; 0: none */
    unsigned inside;   /* images within a nested recovery, at each event */
    unsigned events;   /* one event in so many is looked at */
    unsigned exercise; /* one image in so many is worked with */
};
extern struct sim_limits sim_limits;
extern unsigned long sim_images, sim_bad, sim_nested;
extern int sim_quick;    /* the first bad image ends the process */
extern int sim_survivor; /* handle 1 outlives the crash */

/* Whether what a crash leaves is repaired before it is opened: not at all;
 * always; or only if open refuses it. */
enum { SIM_REPAIRS_NOT, SIM_REPAIRS, SIM_REPAIRS_REFUSED };
extern int sim_repairs;
extern uint64_t sim_left_over; /* a crash may have left blocks of so many bytes
                                  that nothing leads to; or 0 */
void sim_crash(const char *at);

/* The crash after so many more events is the one that happens: worlds[0] is
 * what it leaves, and control goes to `sim_happened`. 0: none. */
extern unsigned sim_happens_in;
extern int sim_happens_killed; /* where it can be, it is not power that fails */
extern int sim_was_killed;     /* it was not */
extern int op_can_be_killed;   /* the operation under way, see operations.c */
extern jmp_buf sim_happened;
void sim_saw_read(const void *p, size_t n);
void sim_saw_overwrite(struct sim_world *w, uint32_t place, size_t n);
void sim_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t sim_random(void);
void sim_seed(uint64_t seed);

/* sites.c: places of the unit that write back, drain or stream */
#define SIM_SITES 512u
extern unsigned sim_sites_off[3], sim_part;
int sim_part_differs(void);
unsigned sim_site(int event, const void *at);
unsigned sim_site_count(void);
int sim_site_event(unsigned site);
const char *sim_site_name(unsigned site);
int sim_site_is_off(unsigned site);

/* oracle.c: the model beside the heap */
#define SIM_ROOTS 8u
#define SIM_BLOCKS 1024u
struct sim_block {
    uint64_t off, n; /* place and usable bytes */
    uint64_t filled; /* so many bytes hold the pattern of `id`, durably */
    uint64_t id;
    int busy; /* a thread is at work with its contents */
};

/* Names are the letters from a on. What is known of one: 0, it is not there; 1,
 * it is; more, so it is described. */
#define SIM_NAMES 16u
#define SIM_TOLD 4u /* this one is made with a description of 4 letters */
#define SIM_OWN 64u

/* What a region holds, as the library tells it. */
struct sim_view {
    int err;
    const char *what; /* the call that failed */
    uint64_t root[SIM_ROOTS];
    unsigned name[SIM_NAMES];
    unsigned own_n; /* blocks that names are made of, which are not below */
    struct sim_block own[SIM_OWN];
    unsigned n;
    struct sim_block block[SIM_BLOCKS];
};

/* What a call under way may do to the model, if it crashes. */
enum sim_doing {
    SIM_NOTHING,
    SIM_ANEW,    /* the region is emptied */
    SIM_PUBLISH, /* `block` becomes live and `root[slot]` names it */
    SIM_RELEASE, /* `block` goes and `root[slot]` is null */
    SIM_ALLOC,   /* one block more, anywhere */
    SIM_FREE,    /* `block` goes */
    SIM_REALLOC, /* `block` changes its size, or another takes its place */
    SIM_NAME     /* name `slot` becomes `most` */
};

struct sim_call {
    enum sim_doing doing;
    int dead; /* its process was killed: it has happened, or never will */
    unsigned slot;
    struct sim_block block;
    uint64_t most; /* bytes that a realloc may make of it; or see SIM_NAME */
};

/* What a transaction is to do when it commits, of threads at the same time: see
 * together.c. */
#define SIM_ACTS 8u
enum sim_act_kind {
    SIM_ACT_PUBLISH, /* `block` becomes live and `root[slot]` names it */
    SIM_ACT_GO,      /* `block` goes; a slot that there is becomes null */
    SIM_ACT_SET      /* `root[slot]` becomes `value` */
};
struct sim_act {
    enum sim_act_kind kind;
    unsigned slot; /* SIM_ROOTS: none */
    uint64_t value;
    struct sim_block block;
};
struct sim_tx {
    enum { SIM_TX_NONE, SIM_TX_OPEN, SIM_TX_COMMITS } state;
    int dead; /* its process was killed: it has happened, or never will */
    unsigned n;
    struct sim_act act[SIM_ACTS];
};

struct sim_oracle {
    struct sim_call call[SIM_THREADS]; /* of each thread, the one under way */
    struct sim_tx tx[SIM_THREADS];     /* and its transaction */
    uint64_t root[SIM_ROOTS];
    uint64_t maybe[SIM_ROOTS]; /* what the program is about to store there */
    unsigned name[SIM_NAMES];
    uint64_t ids; /* patterns given out */
    unsigned doubt_n;
    struct sim_block doubt[8]; /* were being freed or allocated when their
                                  processes were killed: may come and go when
                                  power fails */
    unsigned held_n;
    struct sim_block held[8]; /* reservations left open; `id`: of handle */
    unsigned n;
    struct sim_block live[SIM_BLOCKS];
};
extern struct sim_oracle sim_oracle;

/* What a transaction that is being committed makes of the model, and a word
 * inside of what it publishes. A crash leaves the one or the other. */
extern struct sim_oracle sim_after;
extern int sim_commits; /* it is */
extern uint64_t sim_inner_at, sim_inner;

void sim_tx_happens(unsigned who);
void sim_oracle_clear(void);
void sim_oracle_settle(uint64_t off, uint64_t n);
void sim_oracle_add(struct sim_block b);
void sim_oracle_drop(uint64_t off);
struct sim_block *sim_oracle_find(uint64_t off);
const char *sim_oracle_differs(const struct sim_view *found);
void sim_oracle_adopt(const struct sim_view *found);
uint64_t sim_pattern(uint64_t id, uint64_t word);

/* unit.c: the library, called by number of the handle. Handles 0 and 1 are the
 * program's; 2 and 3 are those of the first and second recovery. */
#define SIM_HANDLES 4u
extern const char sim_unit_name[];
extern uint64_t unit_size;  /* of a new region */
extern unsigned unit_lanes; /* the same; one of them is nobody's */
extern int unit_fixed;      /* the medium is a device: its length stays */
extern int unit_grows;      /* the next open lets the region grow by itself */
int unit_open(unsigned h, int anew);
int unit_close(unsigned h);
void unit_handle(unsigned h, void **bytes, size_t *n);
uint64_t unit_left(unsigned h);
uint64_t unit_reserve(unsigned h, size_t n);
int unit_publish(unsigned h, unsigned slot, uint64_t off);
int unit_release(unsigned h, unsigned slot);
int unit_cancel(unsigned h, uint64_t off);
uint64_t unit_alloc(unsigned h, size_t n, size_t align);
uint64_t unit_zalloc(unsigned h, size_t n);
uint64_t unit_realloc(unsigned h, uint64_t off, size_t n);
int unit_free(unsigned h, uint64_t off);
int unit_retire(unsigned h, uint64_t off);
int unit_reap(unsigned h);
int unit_collect(unsigned h, uint64_t off);
int unit_begin(unsigned h);
int unit_tx_set(unsigned h, unsigned slot, uint64_t value);
int unit_tx_publish(unsigned h, unsigned slot, uint64_t off);
int unit_tx_publish_at(unsigned h, uint64_t dest, uint64_t off);
int unit_tx_release(unsigned h, unsigned slot);
int unit_tx_free(unsigned h, uint64_t off);
int unit_tx_keep(unsigned h, unsigned slot);
int unit_tx_keep_two(unsigned h, unsigned slot, uint64_t off, uint64_t n);
int unit_commit(unsigned h);
int unit_abort(unsigned h);
int unit_construct(unsigned h, unsigned i, size_t n);
int unit_destroy(unsigned h, unsigned i);
int unit_describe(unsigned h, unsigned i, unsigned text);
int unit_grow(unsigned h, uint64_t size);
uint64_t unit_usable(unsigned h, uint64_t off);
void unit_fill(unsigned h, uint64_t off, uint64_t n, uint64_t id);
int unit_persist(unsigned h, uint64_t off, uint64_t n);
void unit_set(unsigned h, unsigned slot, uint64_t value);
int unit_flush_root(unsigned h, unsigned slot);
int unit_fence(unsigned h);
int unit_sync(unsigned h);
int unit_check(unsigned h);
void unit_look(unsigned h, struct sim_view *v);
void unit_damage(const char *name, struct sim_block *lost);
int unit_repair(void);

/* programs.c */
void programs_exhaustive(unsigned length);
void programs_random(uint64_t seed, unsigned length, unsigned between);
void programs_life(void);
void programs_scripts(void);
void programs_crashed(unsigned times);
void programs_killed(void);
void programs_grown(unsigned times);
void programs_named(void);
void programs_transactions(unsigned effort);
const char *programs_text(void);

/* mended.c */
void programs_mended(void);

/* weave.c: threads at the same time */
void sim_point(const void *p, int writes);
void sim_point_of_all(void);
void sim_waits(void);

/* woven.c */
void woven_all(unsigned turns, int tx);
void woven_random(unsigned long schedules, int tx);
void woven_left(unsigned h);

/* exercise.c */
const char *exercise(unsigned h, const struct sim_view *v);
