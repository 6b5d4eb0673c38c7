/* test_kill.c -- processes that are killed, and what they leave
 *
 * Workers publish and release objects, alone and two at a time, and write down
 * beside the region what they are about to do and what they were promised. A
 * supervisor kills them with SIGKILL, after a random time or some single steps
 * after a flush, a fence or a lock, and lets another process look: every
 * published object is there exactly once with its contents, the one operation
 * under way has happened or has not, alps_check has nothing to say, and no
 * block is left that nobody names. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "traced.h"

/* Stops a traced process after so many flushes, fences and locks; from there
 * it goes on by single steps. */
static unsigned long events_left;
static unsigned long events;
static int observe(void)
{
    events++;
    if (events_left && !--events_left) {
#if defined(__x86_64__)
        __asm__ volatile("int3");
#else
        raise(SIGTRAP);
#endif
    }
    return 0;
}
#define ALPS_OBSERVE(event, p, n) observe()

#define ALPS_NAME onfile
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#define ALPS_NAME onshm
#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

#define ALPS_NAME onpmem
#define ALPS_BACKEND ALPS_PMEM
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"

/* The three heaps by one set of functions. */
typedef union any_heap {
    onfile_heap file;
    onshm_heap shm;
    onpmem_heap pmem;
} any_heap;

typedef struct kind {
    const char *name;
    int (*open)(any_heap *, const char *, const alps_options *);
    int (*close)(any_heap *);
    int (*remove)(const char *);
    void *(*root)(any_heap *, size_t);
    void *(*at)(any_heap *, alps_off);
    void *(*alloc)(any_heap *, size_t);
    int (*free)(any_heap *, void *);
    int (*retire)(any_heap *, void *);
    void *(*reserve)(any_heap *, size_t);
    int (*publish)(any_heap *, alps_off *, void *);
    int (*release)(any_heap *, alps_off *);
    int (*cancel)(any_heap *, void *);
    int (*reap)(any_heap *);
    uint64_t (*reserved)(any_heap *);
    int (*check)(any_heap *);
    int (*each)(any_heap *, alps_visit *, void *);
} kind;

#define KIND(x, field)                                                        \
  static int x##_open_k(any_heap *h, const char *path, const alps_options *o) \
  {                                                                           \
    return x##_open(&h->field, path, o);                                      \
  }                                                                           \
  static int x##_close_k(any_heap *h)                                         \
  {                                                                           \
    return x##_close(&h->field);                                              \
  }                                                                           \
  static int x##_remove_k(const char *path)                                   \
  {                                                                           \
    return x##_remove(path);                                                  \
  }                                                                           \
  static void *x##_root_k(any_heap *h, size_t n)                              \
  {                                                                           \
    return x##_root(&h->field, n);                                            \
  }                                                                           \
  static void *x##_at_k(any_heap *h, alps_off off)                            \
  {                                                                           \
    return x##_at(&h->field, off);                                            \
  }                                                                           \
  static void *x##_alloc_k(any_heap *h, size_t n)                             \
  {                                                                           \
    return x##_alloc(&h->field, n);                                           \
  }                                                                           \
  static int x##_free_k(any_heap *h, void *p)                                 \
  {                                                                           \
    return x##_free(&h->field, p);                                            \
  }                                                                           \
  static int x##_retire_k(any_heap *h, void *p)                               \
  {                                                                           \
    return x##_retire(&h->field, p);                                          \
  }                                                                           \
  static void *x##_reserve_k(any_heap *h, size_t n)                           \
  {                                                                           \
    return x##_reserve(&h->field, n);                                         \
  }                                                                           \
  static int x##_publish_k(any_heap *h, alps_off *dest, void *p)              \
  {                                                                           \
    return x##_publish(&h->field, dest, p);                                   \
  }                                                                           \
  static int x##_release_k(any_heap *h, alps_off *dest)                       \
  {                                                                           \
    return x##_release(&h->field, dest);                                      \
  }                                                                           \
  static int x##_cancel_k(any_heap *h, void *p)                               \
  {                                                                           \
    return x##_cancel(&h->field, p);                                          \
  }                                                                           \
  static int x##_reap_k(any_heap *h)                                          \
  {                                                                           \
    return x##_reap(&h->field);                                               \
  }                                                                           \
  static uint64_t x##_reserved_k(any_heap *h)                                 \
  {                                                                           \
    alps_statistics now;                                                      \
    return x##_stats(&h->field, &now) ? ~0ull : now.reserved;                 \
  }                                                                           \
  static int x##_check_k(any_heap *h)                                         \
  {                                                                           \
    return x##_check(&h->field, NULL);                                        \
  }                                                                           \
  static int x##_each_k(any_heap *h, alps_visit *visit, void *context)        \
  {                                                                           \
    return x##_each(&h->field, visit, context);                               \
  }                                                                           \
  static const kind x = {                                                     \
      #x,           x##_open_k,    x##_close_k,    x##_remove_k,              \
      x##_root_k,   x##_at_k,      x##_alloc_k,    x##_free_k,                \
      x##_retire_k, x##_reserve_k, x##_publish_k,  x##_release_k,             \
      x##_cancel_k, x##_reap_k,    x##_reserved_k, x##_check_k,               \
      x##_each_k};

KIND(onfile, file)
KIND(onshm, shm)
KIND(onpmem, pmem)

#define SLOTS 40 // objects of one worker
#define SHARED 5 // objects of both together: few, so that they meet
#define OURS 2   // the table of both; 0 and 1 are each one's own
#define STASH 4  // reservations that a worker keeps for later

/* What lies in the region. */
struct tables {
    alps_off slot[3][SLOTS];
};
struct object {
    uint64_t serial;
    uint64_t words; // that follow
};

/* What a worker is doing. `op` is set last and cleared first. */
enum { IDLE, PUBLISH, RELEASE, LOOSE };
struct intent {
    uint64_t op, table, slot, serial;
};

/* Beside the region, in memory that no kill touches. */
struct ledger {
    uint64_t holds[3][SLOTS]; // serials promised to be there; 0: none
    uint64_t serial;          // last given out
    uint64_t loose;           // blocks that may be without a name
    uint64_t ask;             // of the witness: see ask()
    char wrong[160];          // what it found
    struct {
        struct intent doing;
        uint64_t ops, end, pause, paused, slips;
        int line, err;
    } worker[2];
};

static struct ledger *ledger;
static const kind *k;
static char path[96];
static char folder[64]; // for a file, and for the lock of `turn_of_both`
static char lock_path[96];
static uint64_t dice = 0x2545f4914f6cdd1dull;
static unsigned kills;

static uint64_t roll(uint64_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (dice >> 11) % below;
}

static void nap(uint64_t microseconds)
{
    struct timespec t = {(time_t)(microseconds / 1000000),
                         (long)(microseconds % 1000000 * 1000)};
    nanosleep(&t, NULL);
}

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static alps_options options(void)
{
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = o.limit = 8u << 20;
    o.extent = 64u << 10;
    o.lanes = 4;
    o.processes = 6;
    return o;
}

/* ---- objects */

/* Mostly small; some beyond what a publish sums; some larger than half an
 * extent. */
static uint64_t words_of(uint64_t serial)
{
    uint64_t x = serial * 0x9e3779b97f4a7c15ull >> 33;
    return x % 100 < 70   ? x % 60
           : x % 100 < 90 ? x % 260
           : x % 100 < 98 ? x % 1100
                          : 4200 + x % 9000;
}

static uint64_t word_of(uint64_t serial, uint64_t i)
{
    return (serial << 20 ^ i) * 0xff51afd7ed558ccdull;
}

static size_t bytes_of(uint64_t serial)
{
    return sizeof(struct object) + words_of(serial) * 8;
}

static void fill(struct object *o, uint64_t serial)
{
    uint64_t *word = (uint64_t *)(void *)(o + 1);
    o->serial = serial;
    o->words = words_of(serial);
    for (uint64_t i = 0; i < o->words; i++)
        word[i] = word_of(serial, i);
}

/* The serial of an intact object, else ~0. */
static uint64_t serial_of(const struct object *o)
{
    const uint64_t *word = (const uint64_t *)(const void *)(o + 1);
    if (o->words != words_of(o->serial))
        return ~0ull;
    for (uint64_t i = 0; i < o->words; i++)
        if (word[i] != word_of(o->serial, i))
            return ~0ull;
    return o->serial;
}

/* What the slot holds: 0 for nothing, ~0 for what is no object. */
static uint64_t found(any_heap *h, const alps_off *slot)
{
    if (!*slot)
        return 0;
    const struct object *o = (const struct object *)k->at(h, *slot);
    return o ? serial_of(o) : ~0ull;
}

/* ---- a worker */

/* Reservations, filled, for later. */
struct stash {
    void *p[STASH];
    uint64_t serial[STASH];
};

static void quit(int me, int line, int err)
{
    ledger->worker[me].err = err;
    ledger->worker[me].line = line;
    _exit(1);
}
#define DEMAND(cond, err)        \
  do {                           \
    if (!(cond))                 \
      quit(me, __LINE__, (err)); \
  } while (0)

static void intend(int me, uint64_t op, uint64_t table, uint64_t slot,
                   uint64_t serial)
{
    struct intent *i = &ledger->worker[me].doing;
    i->table = table;
    i->slot = slot;
    i->serial = serial;
    set(&i->op, op);
}

static void *reserve(any_heap *h, int me, uint64_t *serial)
{
    *serial = __atomic_add_fetch(&ledger->serial, 1, __ATOMIC_SEQ_CST);
    void *p = k->reserve(h, bytes_of(*serial));
    DEMAND(p != NULL, 0);
    fill((struct object *)p, *serial);
    return p;
}

/* Writes down what a dead worker left undecided about a slot: what is there
 * now is what stays. */
static void settle(any_heap *h, const struct tables *t, int who)
{
    struct intent *i = &ledger->worker[who].doing;
    if (i->op == PUBLISH || i->op == RELEASE) {
        uint64_t now = found(h, &t->slot[i->table][i->slot]);
        uint64_t after = i->op == PUBLISH ? i->serial : 0;
        if (now == after)
            ledger->holds[i->table][i->slot] = after;
    }
    ledger->loose += i->op == LOOSE;
    set(&i->op, IDLE);
}

/* Fills an empty slot, or empties a full one after a look at what it holds. */
static void turn(any_heap *h, struct tables *t, int me, uint64_t table,
                 struct stash *s)
{
    uint64_t slot = roll(table == OURS ? SHARED : SLOTS), serial;
    uint64_t use = roll(STASH);
    alps_off *dest = &t->slot[table][slot];
    int err;
    DEMAND(found(h, dest) == ledger->holds[table][slot], (int)slot);
    if (*dest) {
        intend(me, RELEASE, table, slot, 0);
        err = k->release(h, dest);
        DEMAND(!err && !*dest, err);
        ledger->holds[table][slot] = 0;
    } else {
        void *p = s->p[use];
        serial = s->serial[use];
        s->p[use] = NULL;
        if (!p)
            p = reserve(h, me, &serial);
        intend(me, PUBLISH, table, slot, serial);
        err = k->publish(h, dest, p);
        DEMAND(!err, err);
        ledger->holds[table][slot] = serial;
    }
    set(&ledger->worker[me].doing.op, IDLE);
}

/* The same in the table of both, under a lock that the kernel takes from a
 * holder that dies. Who gets it after such a death reaps, and sees what has
 * happened: it must not happen, or be undone, later. */
static void turn_of_both(any_heap *h, struct tables *t, int me, int lock,
                         struct stash *s)
{
    DEMAND(flock(lock, LOCK_EX) == 0, errno);
    if (get(&ledger->worker[!me].doing.op) != IDLE &&
        ledger->worker[!me].doing.table == OURS) {
        int err = k->reap(h);
        DEMAND(!err, err);
        settle(h, t, !me);
    }
    turn(h, t, me, OURS, s);
    DEMAND(flock(lock, LOCK_UN) == 0, errno);
}

/* Plain alloc, and free or retire: what a crash leaves of it has no name. */
static void loose_turn(any_heap *h, int me, uint64_t n, int retire)
{
    intend(me, LOOSE, (uint64_t)me, 0, 0);
    void *p = k->alloc(h, n);
    DEMAND(p != NULL, 0);
    memset(p, 0x5a, 8);
    int err = retire ? k->retire(h, p) : k->free(h, p);
    DEMAND(!err, err);
    set(&ledger->worker[me].doing.op, IDLE);
}

static void stash_turn(any_heap *h, int me, struct stash *s)
{
    uint64_t i = roll(STASH);
    if (!s->p[i]) {
        s->p[i] = reserve(h, me, &s->serial[i]);
        return;
    }
    int err = k->cancel(h, s->p[i]);
    DEMAND(!err, err);
    s->p[i] = NULL;
}

static void empty_stash(any_heap *h, int me, struct stash *s)
{
    for (int i = 0; i < STASH; i++) {
        int err = s->p[i] ? k->cancel(h, s->p[i]) : 0;
        DEMAND(!err, err);
        s->p[i] = NULL;
    }
}

/* Waits where the supervisor wants to look undisturbed. */
static void rest(any_heap *h, int me, struct stash *s)
{
    empty_stash(h, me, s);
    set(&ledger->worker[me].paused, 1);
    while (get(&ledger->worker[me].pause))
        nap(200);
    set(&ledger->worker[me].paused, 0);
}

/* Works until told to end. Never returns. */
static void work(int me, uint64_t seed, unsigned long traced)
{
    any_heap h;
    struct stash s;
    alps_options o = options();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(&s, 0, sizeof s);
    dice = seed * 2 + 1;
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(77);
    int err = k->open(&h, path, &o);
    DEMAND(!err, err);
    // After the region: the kernel lets go of it earlier than of the region,
    // so who gets it finds the dead one still about to go.
    int lock = open(lock_path, O_RDWR | O_CLOEXEC);
    DEMAND(lock >= 0, errno);
    struct tables *t = (struct tables *)k->root(&h, sizeof *t);
    DEMAND(flock(lock, LOCK_EX) == 0, errno);
    if (get(&ledger->worker[me].doing.op) != IDLE)
        settle(&h, t, me);
    DEMAND(flock(lock, LOCK_UN) == 0, errno);
    events_left = traced;
    while (!get(&ledger->worker[me].end)) {
        uint64_t what = roll(10);
        if (what < 3)
            turn(&h, t, me, (uint64_t)me, &s);
        else if (what < 7)
            turn_of_both(&h, t, me, lock, &s);
        else if (what < 9)
            stash_turn(&h, me, &s);
        else
            loose_turn(&h, me, 8 + roll(3000), roll(2) != 0);
        set(&ledger->worker[me].ops, ledger->worker[me].ops + 1);
        if (get(&ledger->worker[me].pause))
            rest(&h, me, &s);
    }
    empty_stash(&h, me, &s);
    err = k->close(&h);
    DEMAND(!err, err);
    _exit(0);
}

/* ---- who looks afterwards */

/* All live blocks, and how often each is named. */
struct census {
    any_heap *h;
    const struct tables *t;
    unsigned named, nameless;
    void *loose[64];
};

static int count(void *context, void *p, size_t n)
{
    struct census *c = (struct census *)context;
    unsigned names = 0;
    for (int table = 0; table < 3; table++)
        for (int i = 0; i < SLOTS; i++)
            names +=
                c->t->slot[table][i] && k->at(c->h, c->t->slot[table][i]) == p;
    if (names > 1 || n == 0)
        return 1;
    if (!names && c->nameless < 64)
        c->loose[c->nameless] = p;
    c->named += names;
    c->nameless += !names;
    return 0;
}

/* What is wrong with the region, in words; NULL: nothing. Nobody works. */
static const char *judge(any_heap *h, char *text, size_t room)
{
    struct tables *t = (struct tables *)k->root(h, sizeof *t);
    struct census c;
    unsigned full = 0;
    int err = k->check(h);
    if (err) {
        snprintf(text, room, "check answers %d", err);
        return text;
    }
    for (int who = 0; who < 2; who++)
        settle(h, t, who);
    for (int table = 0; table < 3; table++)
        for (int i = 0; i < SLOTS; i++) {
            uint64_t is = found(h, &t->slot[table][i]);
            full += is != 0;
            if (is == ledger->holds[table][i])
                continue;
            snprintf(text, room, "slot %d of table %d holds %lld, not %lld", i,
                     table, (long long)is, (long long)ledger->holds[table][i]);
            return text;
        }
    if (k->reserved(h)) {
        snprintf(text, room, "%llu bytes are still reserved",
                 (unsigned long long)k->reserved(h));
        return text;
    }
    memset(&c, 0, sizeof c);
    c.h = h;
    c.t = t;
    err = k->each(h, count, &c);
    if (err || c.named != full || c.nameless > ledger->loose) {
        snprintf(text, room,
                 "each answers %d: %u of %u objects, %u blocks without a name, "
                 "of at most %llu",
                 err, c.named, full, c.nameless,
                 (unsigned long long)ledger->loose);
        return text;
    }
    for (unsigned i = 0; i < c.nameless && i < 64; i++)
        if (k->free(h, c.loose[i]))
            return "a block without a name cannot be freed";
    ledger->loose = 0;
    return NULL;
}

/* Opens the region in a process of its own and looks at all of it. */
static void look(const char *when)
{
    pid_t pid = fork();
    if (pid == 0) {
        any_heap h;
        char text[160];
        alps_options o = options();
        alarm(60);
        int err = k->open(&h, path, &o);
        if (err) {
            fprintf(stderr, "%s, %s: open answers %d\n", k->name, when, err);
            _exit(1);
        }
        const char *wrong = judge(&h, text, sizeof text);
        if (wrong)
            fprintf(stderr, "%s, %s, kill %u: %s\n", k->name, when, kills,
                    wrong);
        _exit(wrong || k->close(&h) ? 1 : 0);
    }
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- the supervisor */

static pid_t start(int me, unsigned long traced)
{
    uint64_t seed = roll(1ull << 40);
    set(&ledger->worker[me].end, 0);
    pid_t pid = fork();
    if (pid == 0)
        work(me, seed, traced);
    return pid;
}

/* A worker that ended before it was killed has met something wrong. */
static void killed(int me, pid_t pid)
{
    int status = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    kills++;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fprintf(stderr,
                "%s: worker %d ended by itself: status %x, line %d: "
                "%d\n",
                k->name, me, (unsigned)status, ledger->worker[me].line,
                ledger->worker[me].err);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void ended(int me, pid_t pid)
{
    int status = 1;
    set(&ledger->worker[me].end, 1);
    waitpid(pid, &status, 0);
    if (status)
        fprintf(stderr, "%s: worker %d: status %x, line %d: %d\n", k->name, me,
                (unsigned)status, ledger->worker[me].line,
                ledger->worker[me].err);
    CHECK_EQ(status, 0);
}

/* Waits until the worker has done `n` more operations, or twenty seconds. */
static int goes_on(int me, uint64_t n)
{
    uint64_t from = get(&ledger->worker[me].ops);
    for (int i = 0; i < 100000; i++) {
        if (get(&ledger->worker[me].ops) >= from + n)
            return 1;
        nap(200);
    }
    return 0;
}

/* One worker, killed after a random time; the next opener looks. */
static void alone(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        pid_t pid = start(0, 0);
        if (i % 4)
            goes_on(0, 1 + roll(4));
        nap(roll(3000));
        killed(0, pid);
        look("killed alone");
    }
}

/* Waits for the stop that the traced process makes by itself, and takes at
 * most `n` single steps from there. Answers 0 where there is no such stop. */
static int stepped(pid_t pid, uint64_t n)
{
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
        return 0;
    while (n-- && !ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL)) {
        waitpid(pid, &status, 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            return 0;
    }
    return 1;
}

/* One worker, killed at an instruction; the next opener looks. */
static void at_an_instruction(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        pid_t pid = start(0, 1 + roll(300));
        CHECK(stepped(pid, roll(90)));
        killed(0, pid);
        look("killed at an instruction");
    }
}

/* What the witness is asked for: 1 to look, 2 to end, 3 to begin; 0: it has
 * answered. Who waits sleeps: a process that spins takes the processor from one
 * that goes step by step. */
static void ask(uint64_t what)
{
    set(&ledger->ask, what);
    syscall(SYS_futex, &ledger->ask, FUTEX_WAKE, 2, NULL, NULL, 0);
}

static uint64_t await_change(uint64_t is)
{
    uint64_t now;
    while ((now = get(&ledger->ask)) == is)
        syscall(SYS_futex, &ledger->ask, FUTEX_WAIT, (uint32_t)is, NULL, NULL,
                0);
    return now;
}

/* A process that has the region open all the time, and looks when asked. */
static void witness(void)
{
    any_heap h;
    alps_options o = options();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int err = k->open(&h, path, &o);
    ask(0);
    while (await_change(0) == 1) {
        err = err ? err : k->reap(&h);
        if (err)
            snprintf(ledger->wrong, sizeof ledger->wrong, "code %d", err);
        else
            judge(&h, ledger->wrong, sizeof ledger->wrong);
        ask(0);
    }
    _exit(err || k->close(&h) ? 1 : 0);
}

/* Events of one publish and one release, which the last one left undone. */
static void one_of_each(any_heap *h)
{
    const int me = 0;
    uint64_t serial = 0;
    struct tables *t = (struct tables *)k->root(h, sizeof *t);
    alps_off *dest = &t->slot[0][0];
    unsigned long traced = events_left;
    events_left = 0;
    int err = k->release(h, dest);
    DEMAND(!err, err);
    ledger->holds[0][0] = 0;
    void *p = reserve(h, me, &serial); // may need what the next one has
    events = 0;
    events_left = traced;
    intend(me, PUBLISH, 0, 0, serial);
    observe();
    err = k->publish(h, dest, p);
    ledger->holds[0][0] = serial;
    set(&ledger->worker[me].doing.op, IDLE);
    DEMAND(!err, err);
    intend(me, RELEASE, 0, 0, 0);
    observe();
    err = k->release(h, dest);
    ledger->holds[0][0] = 0;
    set(&ledger->worker[me].doing.op, IDLE);
    observe();
    DEMAND(!err, err);
}

/* An object and a block are retired; the first ones may need more than that. */
static void retire_two(any_heap *h)
{
    unsigned long traced = events_left;
    events_left = 0;
    loose_turn(h, 0, 64, 1);
    loose_turn(h, 0, 2000, 1);
    events = 0;
    events_left = traced;
    observe();
    loose_turn(h, 0, 64, 1);
    loose_turn(h, 0, 2000, 1);
    observe();
}

/* Does one of these, and writes down how many events it had. */
static pid_t start_once(void (*once)(any_heap *), unsigned long traced)
{
    any_heap h;
    alps_options o = options();
    const int me = 0;
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(77);
    int err = k->open(&h, path, &o);
    DEMAND(!err, err);
    events_left = traced;
    once(&h);
    ledger->worker[me].ops = events;
    _exit(k->close(&h) ? 1 : 0);
}

/* The witness looks: what has the dead one left? */
static void ask_witness(const char *when, unsigned long event, uint64_t step)
{
    ledger->wrong[0] = 0;
    ask(1);
    await_change(1);
    if (ledger->wrong[0])
        fprintf(stderr, "%s, %s, event %lu, step %llu: %s\n", k->name, when,
                event, (unsigned long long)step, ledger->wrong);
    CHECK(!ledger->wrong[0]);
}

/* Killed at every `stride`-th instruction after each event of `once`; a process
 * that has the region open meanwhile looks. */
static void beside_a_witness(void (*once)(any_heap *), uint64_t stride)
{
    int status = 1;
    ask(3);
    pid_t watcher = fork();
    if (watcher == 0)
        witness();
    await_change(3);
    pid_t pid = start_once(once, 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    unsigned long all = (unsigned long)ledger->worker[0].ops;
    CHECK(all >= 2);
    unsigned long before = kills;
    // where nothing is written back, two events are a whole operation apart
    const uint64_t steps = k == &onshm ? 600 : 90;
    stride = stride < steps ? stride : steps; // once after each at least
    for (unsigned long event = 1; event <= all; event++)
        for (uint64_t step = roll(stride); step < steps && !check_bad_;
             step += stride) {
            pid = start_once(once, event);
            if (!stepped(pid, step))
                break; // it had fewer events than the first
            killed(0, pid);
            ask_witness("killed beside a witness", event, step);
        }
    CHECK(kills - before >= all);
    ask(2);
    CHECK(waitpid(watcher, &status, 0) == watcher && status == 0);
}

/* Two workers; one is killed, the other goes on, and from time to time rests
 * while a third process, attached beside it, looks. */
static void in_pairs(unsigned rounds)
{
    pid_t pid[2] = {start(0, 0), start(1, 0)};
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        int dead = (int)roll(2), alive = !dead;
        goes_on(dead, 1 + roll(3));
        nap(roll(2000));
        killed(dead, pid[dead]);
        CHECK(goes_on(alive, 15));
        if (i % 4 == 3) {
            set(&ledger->worker[alive].pause, 1);
            for (int n = 0; n < 50000 && !get(&ledger->worker[alive].paused);
                 n++)
                nap(200);
            CHECK(get(&ledger->worker[alive].paused));
            look("beside a survivor");
            set(&ledger->worker[alive].pause, 0);
        }
        pid[dead] = start(dead, 0);
    }
    goes_on(0, 1);
    goes_on(1, 1);
    ended(0, pid[0]);
    ended(1, pid[1]);
    look("after pairs");
}

/* One is killed, the other goes on for a while, and is killed, too. What the
 * first left undone must not come back over what the second has done since. */
static void one_after_the_other(unsigned rounds)
{
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        pid_t a = start(0, 0), b = start(1, 0);
        goes_on(0, 1 + roll(3));
        goes_on(1, 1);
        nap(roll(2000));
        killed(0, a);
        if (i % 4)
            goes_on(1, roll(20));
        killed(1, b);
        look("killed one after the other");
    }
}

/* A worker that is stopped keeps what it has, however long: the other waits or
 * goes on, and both are right afterwards. Then one is killed as it stands. */
static void stopped(unsigned rounds)
{
    pid_t a = start(0, 0), b = start(1, 0);
    for (unsigned i = 0; i < rounds && !check_bad_; i++) {
        int status = 0;
        goes_on(0, 1 + roll(5));
        nap(roll(1000));
        kill(a, SIGSTOP);
        waitpid(a, &status, WUNTRACED);
        CHECK(WIFSTOPPED(status));
        nap(100000);
        if (i + 1 == rounds)
            break;
        kill(a, SIGCONT);
        CHECK(goes_on(0, 5));
        CHECK(goes_on(1, 5));
    }
    killed(0, a);
    CHECK(goes_on(1, 20));
    ended(1, b);
    look("after stops");
}

/* Of instructions every SPARE-th, beginning anywhere: in three runs of gcc's
 * kind about all of them, and `make soak` takes all. The other kinds of build do
 * not need as many again. */
#ifdef SPARE
#elif defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || \
    defined __clang__
#  define SPARE 9
#else
#  define SPARE 3
#endif

static void torture(const kind *which, const char *where, unsigned rounds,
                    uint64_t stride)
{
    k = which;
    snprintf(path, sizeof path, "%s", where);
    memset(ledger, 0, sizeof *ledger);
    alone(rounds);
    if (may_trace()) {
        at_an_instruction(rounds);
        beside_a_witness(one_of_each, SPARE * stride);
        beside_a_witness(retire_two, 5 * SPARE * stride);
    }
    in_pairs(rounds);
    one_after_the_other(rounds);
    stopped(5);
    look("at last");
    CHECK_EQ(k->remove(path), 0);
}

static void a_file_outlives_its_processes(void)
{
    char where[96];
    snprintf(where, sizeof where, "%s/region", folder);
    torture(&onfile, where, 40, 5);
}

static void shared_memory_outlives_its_processes(void)
{
    char where[64];
    snprintf(where, sizeof where, "/alps-test-kill-%ld", (long)getpid());
    torture(&onshm, where, 60, 1);
}

static void pmem_outlives_its_processes(void)
{
    char where[64];
    snprintf(where, sizeof where, "/dev/shm/alps-test-kill-%ld.pmem",
             (long)getpid());
    setenv("ALPS_PMEM_FORCE", "1", 1);
    torture(&onpmem, where, 60, 2);
}

static void hundreds_were_killed(void)
{
    CHECK(kills >= 200);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/alps-kill.XXXXXX",
             tmp ? tmp : "/tmp");
    ledger = (struct ledger *)mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ledger == (struct ledger *)MAP_FAILED || !mkdtemp(folder))
        return 1;
    snprintf(lock_path, sizeof lock_path, "%s/lock", folder);
    close(open(lock_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    RUN(a_file_outlives_its_processes);
    RUN(shared_memory_outlives_its_processes);
    RUN(pmem_outlives_its_processes);
    RUN(hundreds_were_killed);
    unlink(lock_path);
    rmdir(folder);
    return check_end("test_kill");
}
