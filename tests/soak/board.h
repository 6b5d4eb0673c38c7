/* board.h -- what supervisor and workers know of the region, beside it
 *
 * Lies in memory that no kill touches. Here stands what every slot was promised
 * to hold, what every worker has in its hands, and how many blocks the dead can
 * have left without a name. Objects tell themselves whose they are. */
#pragma once
#include "check.h"
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* SOAK_BACKEND and SOAK_POLICY come from rules.mk: the program is built once
 * for each pair, with all calls inlined as users have them. */
#define ALPS_BACKEND SOAK_BACKEND
#define ALPS_POLICY SOAK_POLICY
#include "alps.h"

#define WORKERS 8u
#define THREADS 2u /* of one worker, at most */
#define ROOTED 256u
#define SLOTS 448u /* those above ROOTED lie in an object of the heap */
#define BOXES 32u
#define HANDS 12u

/* What lies in the region. */
struct tables {
    alps_off slot[ROOTED]; // published and released, each under its guard
    alps_off box[BOXES];   // what was allocated, from hand to hand
    alps_off more;         // the other slots
};

/* What a slot holds, as a serial; another `next` while that changes. */
struct guard {
    pthread_mutex_t lock; // robust: the kernel tells that its holder died
    uint64_t holds, next;
};

/* An allocated object that one thread alone knows of. */
struct hand {
    alps_off off; // 0: none
    uint64_t serial;
};

enum { WAIT = 0, COUNT = 1, COUNT_AND_CLEAR = 2 };

struct board {
    struct guard guard[SLOTS];
    uint64_t serial; // last given out
    uint64_t doubts; // blocks that the dead may have left without a name
    uint64_t end;    // 1: workers are to come to an end
    uint64_t count;  // what who looks is to do
    uint64_t keep;   // 1: who finds something wrong waits for a debugger
    alps_options options;
    int tight; // 1: the region is small, and may be full
    char path[96];
    char wrong[256]; // what the first one found that is not right
    uint64_t found;  // 1: it found it
    struct worker {
        uint64_t beats;          // operations done
        uint64_t owner;          // what it writes into locks
        uint64_t doubt[THREADS]; // blocks without a name, were it to die now
        struct hand hand[THREADS][HANDS];
    } worker[WORKERS];
};

static struct board *board;

static uint64_t get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static uint64_t roll(uint64_t *dice, uint64_t below)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return (*dice * 0x2545f4914f6cdd1dull >> 16) % below;
}

static void nap(uint64_t microseconds)
{
    struct timespec t = {(time_t)(microseconds / 1000000),
                         (long)(microseconds % 1000000 * 1000)};
    nanosleep(&t, NULL);
}

/* Says what is wrong, once, and ends this process. */
__attribute__((format(printf, 1, 2), noreturn)) static void
wrong(const char *format, ...)
{
    va_list rest;
    if (!__atomic_exchange_n(&board->found, 1, __ATOMIC_SEQ_CST)) {
        va_start(rest, format);
        vsnprintf(board->wrong, sizeof board->wrong, format, rest);
        va_end(rest);
    }
    while (board->keep)
        pause();
    _exit(1);
}

/* A call of the library answered 0; else that is wrong. */
#define MUST(call)                                                             \
  do {                                                                         \
    int must_ = (call);                                                        \
    if (must_)                                                                 \
      wrong("%s:%d: %s: %s", __FILE__, __LINE__, #call, alps_strerror(must_)); \
  } while (0)

/* alps_check has nothing to say. */
static void sound(alps_heap *h, const char *when)
{
    alps_report r;
    int err = alps_check(h, &r);
    if (err)
        wrong("%s: %s: %s, at %llx", when, alps_strerror(err), r.first[0].text,
              (unsigned long long)r.first[0].off);
}

/* ---- objects: the place, the serial, and words that follow from both */

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ull;
    return x ^ x >> 29;
}

/* Bytes of the object: mostly small; blocks; rarely some extents. */
static size_t size_of(uint64_t serial)
{
    uint64_t x = mixed(serial), extent = board->options.extent;
    uint64_t kind = x % 1000;
    x = x >> 20;
    if (kind * extent < 1u << 20 && !board->tight)
        return extent / 2 + x % (extent * 2);
    return kind < 100 ? 2048 + x % (63u << 10)
                      : 16 + x % (kind < 300 ? 1009 : 241);
}

static uint64_t word_of(alps_off off, uint64_t serial, uint64_t i)
{
    return i == 0 ? off : i == 1 ? serial : mixed(off ^ serial << 20 ^ i << 50);
}

/* Writes the object `serial` at `p`. */
static void fill(alps_heap *h, void *p, uint64_t serial)
{
    uint64_t *word = (uint64_t *)p;
    alps_off off = alps_off_of(h, p);
    for (uint64_t i = 0; i < size_of(serial) / 8; i++)
        word[i] = word_of(off, serial, i);
}

/* The serial of the object at `off` if it is live, or reserved, and its own;
 * else ~0. */
static uint64_t serial_at(alps_heap *h, alps_off off)
{
    const uint64_t *word = (const uint64_t *)alps_at(h, off);
    size_t room = word ? alps_usable(h, word) : 0;
    if (room < 16 || size_of(word[1]) > room)
        return ~0ull;
    uint64_t serial = word[1];
    for (uint64_t i = 0; i < size_of(serial) / 8; i++)
        if (word[i] != word_of(off, serial, i))
            return ~0ull;
    return serial;
}

/* The words that objects are published to. */
static alps_off *slot_of(alps_heap *h, unsigned i)
{
    struct tables *t = (struct tables *)alps_root(h, sizeof *t);
    return i < ROOTED ? &t->slot[i]
                      : (alps_off *)alps_at(h, t->more) + (i - ROOTED);
}

/* What slot `i` holds: 0 for nothing, ~0 for what is no object. */
static uint64_t slot_serial(alps_heap *h, unsigned i)
{
    alps_off off = *slot_of(h, i);
    return off ? serial_at(h, off) : 0;
}

/* Writes down how an operation ended that a death cut short: it has happened
 * or it has not. */
static void settle(alps_heap *h, unsigned i)
{
    struct guard *g = &board->guard[i];
    uint64_t is = slot_serial(h, i);
    if (is != g->holds && is != g->next)
        wrong("after a death slot %u holds %llx, not %llx or %llx", i,
              (unsigned long long)is, (unsigned long long)g->holds,
              (unsigned long long)g->next);
    g->holds = g->next = is;
}
