/* worker.h -- who allocates and frees until it is killed
 *
 * What a worker does with a slot it does under the slot's guard, by publish and
 * release. What it allocates it keeps in its hands, exchanges for what is in a
 * box, and frees; the next one with its number takes its hands over. Whoever
 * gets an object looks whether it is whole. */
#pragma once
#include "board.h"

#define STASH 8u

static void *stash[STASH]; // reservations, filled, of both threads

struct self {
    alps_heap *h;
    struct worker *w;
    uint64_t dice;
    unsigned thread;
    int done;
};

static uint64_t new_serial(void)
{
    return __atomic_add_fetch(&board->serial, 1, __ATOMIC_SEQ_CST);
}

/* Whether an allocation answered NULL as it may: the region is full, if need be
 * of what a reader keeps that is stopped. */
static int full(struct self *s, size_t n)
{
    alps_statistics now = {0};
    int err = alps_error(s->h);
    if (!board->tight)
        MUST(alps_stats(s->h, &now));
    if (err != ALPS_EFULL || (!board->tight && now.retired < n))
        wrong("no %zu bytes: %s", n, alps_strerror(err));
    return 1;
}

/* ---- slots */

/* A filled reservation: one that was kept, also by the other thread, or a new
 * one. NULL where the region is full. */
static void *reserve(struct self *s, uint64_t *serial)
{
    uint64_t i = roll(&s->dice, STASH);
    void *p = roll(&s->dice, 2)
                  ? __atomic_exchange_n(&stash[i], NULL, __ATOMIC_SEQ_CST)
                  : NULL;
    if (p) {
        *serial = serial_at(s->h, alps_off_of(s->h, p));
        if (*serial == ~0ull)
            wrong("the reservation at %llx is not whole",
                  (unsigned long long)alps_off_of(s->h, p));
        return p;
    }
    *serial = new_serial();
    p = alps_reserve(s->h, size_of(*serial));
    if (p)
        fill(s->h, p, *serial);
    else
        full(s, size_of(*serial));
    return p;
}

static void publish(struct self *s, struct guard *g, alps_off *dest)
{
    uint64_t serial;
    void *p = reserve(s, &serial);
    if (!p)
        return;
    set(&g->next, serial);
    MUST(alps_publish(s->h, dest, p));
    set(&g->holds, serial);
}

static void release(struct self *s, struct guard *g, alps_off *dest)
{
    set(&g->next, 0);
    MUST(alps_release(s->h, dest));
    set(&g->holds, 0);
}

/* Fills an empty slot or empties a full one. Who gets the guard of a dead one
 * reaps before it draws a conclusion from what it sees. */
static void turn_slot(struct self *s)
{
    unsigned i = (unsigned)roll(&s->dice, roll(&s->dice, 8) ? SLOTS : 4);
    struct guard *g = &board->guard[i];
    int err = pthread_mutex_trylock(&g->lock);
    if (err == EBUSY)
        return;
    if (err == EOWNERDEAD) {
        MUST(alps_reap(s->h));
        settle(s->h, i);
        pthread_mutex_consistent(&g->lock);
    } else if (err) {
        wrong("the guard of slot %u: %s", i, strerror(err));
    }
    if (slot_serial(s->h, i) != g->holds)
        wrong("slot %u holds %llx, not %llx", i,
              (unsigned long long)slot_serial(s->h, i),
              (unsigned long long)g->holds);
    if (g->holds)
        release(s, g, slot_of(s->h, i));
    else
        publish(s, g, slot_of(s->h, i));
    pthread_mutex_unlock(&g->lock);
}

/* Reserves for later, or gives back what was. */
static void turn_stash(struct self *s)
{
    uint64_t serial = new_serial(), i = roll(&s->dice, STASH);
    void *p = NULL;
    if (roll(&s->dice, 3)) {
        p = alps_reserve(s->h, size_of(serial));
        if (!p && full(s, size_of(serial)))
            return;
        fill(s->h, p, serial);
    }
    p = __atomic_exchange_n(&stash[i], p, __ATOMIC_SEQ_CST);
    if (p)
        MUST(roll(&s->dice, 2) ? alps_cancel(s->h, p) : alps_free(s->h, p));
}

/* So many reservations that the table of them grows. */
static void hoard(struct self *s)
{
    void *p[320];
    unsigned n = 0;
    for (; n < 320; n++) {
        p[n] = alps_reserve(s->h, 1100 + roll(&s->dice, 500));
        if (!p[n] && full(s, 1600))
            break;
    }
    while (n--)
        MUST(alps_cancel(s->h, p[n]));
}

/* ---- hands */

/* From here on it may leave `n` blocks without a name. */
static void doubt(struct self *s, uint64_t n)
{
    set(&s->w->doubt[s->thread], n);
}

static void put_hand(struct hand *hand, alps_off off, uint64_t serial)
{
    hand->serial = serial;
    set(&hand->off, off);
}

static void whole(struct self *s, const struct hand *hand, const char *where)
{
    uint64_t is = serial_at(s->h, hand->off);
    if (is != hand->serial)
        wrong("in %s, at %llx, is %llx, not %llx", where,
              (unsigned long long)hand->off, (unsigned long long)is,
              (unsigned long long)hand->serial);
}

static void *some_alloc(struct self *s, size_t n)
{
    uint64_t how = roll(&s->dice, 8);
    if (how == 0)
        return alps_alloc_aligned(s->h, 16u << roll(&s->dice, 6), n);
    if (how > 2)
        return alps_alloc(s->h, n);
    uint64_t *word = (uint64_t *)alps_zalloc(s->h, n);
    for (size_t i = 0; word && i < n / 8; i++)
        if (word[i])
            wrong("zalloc of %zu bytes: word %zu is not zero", n, i);
    return word;
}

static void take(struct self *s, struct hand *hand)
{
    uint64_t serial = new_serial();
    doubt(s, 1);
    void *p = some_alloc(s, size_of(serial));
    if (p) {
        fill(s->h, p, serial);
        put_hand(hand, alps_off_of(s->h, p), serial);
    } else {
        full(s, size_of(serial));
    }
    doubt(s, 0);
}

/* Frees it, or retires it where there are room to note that and a lane. */
static void drop(struct self *s, struct hand *hand)
{
    void *p = alps_at(s->h, hand->off);
    int err = ALPS_EFULL;
    doubt(s, 1);
    set(&hand->off, 0);
    if (roll(&s->dice, 2))
        err = alps_retire(s->h, p);
    if (err == ALPS_EFULL || err == ALPS_EBUSY)
        err = alps_free(s->h, p);
    MUST(err);
    doubt(s, 0);
}

/* Changes the size; what both sizes have stays. */
static void resize(struct self *s, struct hand *hand)
{
    uint64_t serial = new_serial(), was = hand->serial;
    alps_off off = hand->off;
    size_t both =
        size_of(was) < size_of(serial) ? size_of(was) : size_of(serial);
    void *p = alps_at(s->h, off);
    doubt(s, 2);
    set(&hand->off, 0);
    uint64_t *word = (uint64_t *)alps_realloc(s->h, p, size_of(serial));
    for (size_t i = 0; word && i < both / 8; i++)
        if (word[i] != word_of(off, was, i))
            wrong("realloc from %zu to %zu bytes lost word %zu", size_of(was),
                  size_of(serial), i);
    if (word)
        fill(s->h, word, serial);
    else if (full(s, size_of(serial)))
        word = (uint64_t *)p;
    serial = word[1];
    put_hand(hand, alps_off_of(s->h, word), serial);
    doubt(s, 0);
}

/* Puts what it has in hand into a box, and has in hand what was there. */
static void exchange(struct self *s, struct hand *hand)
{
    struct tables *t = (struct tables *)alps_root(s->h, sizeof *t);
    alps_off off = hand->off;
    doubt(s, 2);
    set(&hand->off, 0);
    off = __atomic_exchange_n(&t->box[roll(&s->dice, BOXES)], off,
                              __ATOMIC_SEQ_CST);
    if (off) {
        uint64_t serial = serial_at(s->h, off);
        if (serial == ~0ull)
            wrong("in a box, at %llx, is no object", (unsigned long long)off);
        put_hand(hand, off, serial);
    }
    doubt(s, 0);
}

static void turn_hand(struct self *s)
{
    struct hand *hand = &s->w->hand[s->thread][roll(&s->dice, HANDS)];
    uint64_t what = roll(&s->dice, 8);
    if (hand->off)
        whole(s, hand, "a hand");
    if (what < 4)
        exchange(s, hand);
    else if (!hand->off)
        take(s, hand);
    else if (what < 6)
        drop(s, hand);
    else
        resize(s, hand);
}

/* ---- and now and then */

/* A step towards the limit. */
static void grow(struct self *s)
{
    alps_description d;
    MUST(alps_describe(s->h, &d));
    if (d.size + d.extent <= d.limit)
        MUST(alps_grow(s->h, d.size + d.extent));
}

static void look_around(struct self *s)
{
    alps_statistics now;
    switch (roll(&s->dice, 16)) {
    case 0: sound(s->h, "meanwhile"); break;
    case 1: MUST(alps_stats(s->h, &now)); break;
    case 2: grow(s); break;
    case 3:
    case 4: hoard(s); break;
    case 5:
    case 6:
    case 7: MUST(alps_reap(s->h)); break;
    default: MUST(alps_trim(s->h));
    }
}

/* A few turns are those of a reader, who keeps what is retired meanwhile. */
static void one_turn(struct self *s)
{
    uint64_t what = roll(&s->dice, 1000);
    int reads = roll(&s->dice, 64) == 0;
    int err = reads ? alps_enter(s->h) : ALPS_EBUSY; // no lane: it cannot
    reads = err == ALPS_OK;
    if (err != ALPS_EBUSY)
        MUST(err);
    if (what < 450)
        turn_slot(s);
    else if (what < 550)
        turn_stash(s);
    else if (what < 997)
        turn_hand(s);
    else
        look_around(s);
    if (reads)
        MUST(alps_leave(s->h));
    __atomic_fetch_add(&s->w->beats, 1, __ATOMIC_RELAXED);
}

/* A thread that comes and goes. */
static void *second(void *context)
{
    struct self *s = (struct self *)context;
    for (uint64_t n = roll(&s->dice, 2000); n && !get(&board->end); n--)
        one_turn(s);
    __atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void empty_stash(struct self *s)
{
    for (unsigned i = 0; i < STASH; i++)
        if (stash[i])
            MUST(alps_cancel(s->h, stash[i]));
}

/* Works as worker `me` until the board says that it is to end. */
__attribute__((noreturn)) static void work(unsigned me, uint64_t seed)
{
    alps_heap h;
    pthread_t thread;
    struct self s[THREADS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    MUST(alps_open(&h, board->path, &board->options));
    for (unsigned i = 0; i < THREADS; i++) {
        struct self one = {&h, &board->worker[me], seed * 2 + 1, i, 0};
        s[i] = one;
        s[i].dice = mixed(s[i].dice + i) | 1;
    }
    set(&s->w->owner, h.core.local->owner);
    int more = me % 2;
    if (more)
        MUST(pthread_create(&thread, NULL, second, &s[1]));
    while (!get(&board->end)) {
        one_turn(&s[0]);
        if (more && __atomic_load_n(&s[1].done, __ATOMIC_ACQUIRE)) {
            pthread_join(thread, NULL);
            s[1].done = 0;
            MUST(pthread_create(&thread, NULL, second, &s[1]));
        }
    }
    if (more)
        pthread_join(thread, NULL);
    if (s[0].dice % 2)
        empty_stash(&s[0]); // else closing does
    MUST(alps_close(&h));
    _exit(0);
}
