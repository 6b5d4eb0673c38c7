/* soak.c -- processes that share a region and are killed all the time
 *
 *     soak [seconds [seed]]
 *
 * Eight workers, half of them with two threads, allocate, publish, free or
 * retire what others allocated, resize, read. A supervisor kills them at any
 * instruction, one or several at a time, stops them, starts others in their
 * place, and sees to it that all who live get on. From time to time everybody
 * ends, or dies, and somebody counts: nothing lost, nothing owned twice,
 * nothing leaked. With SOAK_KEEP=1 in the environment what went wrong stays as
 * it is, for a debugger. */
#include "census.h"
#include "worker.h"

#define PATIENCE 20u /* seconds without progress that are too many */

static struct {
    pid_t pid;             // 0: none
    int killed;            // by us
    uint64_t beats, since; // beats when it last got on, and when that was
} crew[WORKERS];

static uint64_t dice; // of the supervisor
static uint64_t kills, rounds;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t any(uint64_t below)
{
    return roll(&dice, below);
}

/* The same as wrong(), for who must go on. */
static void complain(const char *what, unsigned who)
{
    if (!__atomic_exchange_n(&board->found, 1, __ATOMIC_SEQ_CST))
        snprintf(board->wrong, sizeof board->wrong, "worker %u %s", who, what);
}

/* ---- workers come and go */

static void start(unsigned who)
{
    uint64_t seed = any(1ull << 40);
    set(&board->worker[who].owner, 0);
    crew[who].killed = 0;
    crew[who].pid = fork();
    if (crew[who].pid == 0)
        work(who, seed);
    if (crew[who].pid < 0)
        complain("cannot be started", who);
    crew[who].since = now();
}

static void start_all(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (!crew[i].pid)
            start(i);
}

/* Learns how a worker ended: by our hand, or because it was to. */
static void gone(unsigned who, int status)
{
    struct worker *w = &board->worker[who];
    int killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    crew[who].pid = 0;
    if (killed ? !crew[who].killed : status || !get(&board->end))
        complain("has ended by itself", who);
    kills += killed != 0;
    for (unsigned i = 0; i < THREADS; i++) {
        board->doubts += w->doubt[i];
        w->doubt[i] = 0;
    }
}

/* Kills `n` workers, from `first` on, at the same instant or nearly. */
static void kill_some(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        unsigned who = i % WORKERS;
        crew[who].killed = crew[who].pid > 0 && !kill(crew[who].pid, SIGKILL);
        if (any(2))
            nap(any(200));
    }
    for (unsigned i = first; i < first + n; i++) {
        unsigned who = i % WORKERS;
        int status = 0;
        if (crew[who].killed && waitpid(crew[who].pid, &status, 0) > 0)
            gone(who, status);
    }
}

/* ---- everybody gets on */

static int gets_on(unsigned who)
{
    uint64_t beats = get(&board->worker[who].beats);
    if (beats == crew[who].beats && crew[who].pid)
        return 0;
    crew[who].beats = beats;
    crew[who].since = now();
    return 1;
}

static void watch(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        int status;
        if (crew[i].pid && waitpid(crew[i].pid, &status, WNOHANG) > 0)
            gone(i, status);
        if (!gets_on(i) && now() - crew[i].since > PATIENCE * 1000000ull)
            complain("does not get on", i);
    }
}

/* Whether a stopped worker has what others need: a lock of the region, or a
 * lane of those who have none. */
static int in_the_way(const alps_heap *h, unsigned who)
{
    uint64_t owner = get(&board->worker[who].owner);
    if (!owner || get(&h->core.shared->lock) == owner)
        return 1; // or it opens the region
    for (const alps_shard *s = h->core.shards; s <= h->core.top; s++)
        if (get(&s->lock) == owner)
            return 1;
    for (unsigned i = alps_lanes_owned_(&h->core); i < h->core.at.lane_count;
         i++)
        if (get(&h->core.lanes[i].lock) == owner)
            return 1;
    return 0;
}

/* Stops a worker for a while. The others go on, unless it is in the way; and it
 * has lost nothing when it goes on itself. */
static void stop_one(const alps_heap *h, unsigned who)
{
    int status, others = 0;
    uint64_t begun = now();
    kill(crew[who].pid, SIGSTOP);
    waitpid(crew[who].pid, &status, WUNTRACED);
    for (unsigned i = 0; i < WORKERS; i++)
        gets_on(i);
    nap(1000 + any(200000));
    while (!others && !in_the_way(h, who)) {
        for (unsigned i = 0; i < WORKERS; i++)
            others += i != who && gets_on(i);
        if (now() - begun > PATIENCE * 1000000ull) {
            complain("was stopped, and all others wait for it", who);
            break;
        }
        nap(1000);
    }
    kill(crew[who].pid, SIGCONT);
    for (unsigned i = 0; i < WORKERS; i++)
        crew[i].since = now();
}

/* ---- rounds */

/* Kills and stops workers until `end`, every `pause` microseconds or so. */
static void disturb(const alps_heap *h, uint64_t end, uint64_t pause)
{
    while (now() < end && !get(&board->found)) {
        uint64_t what = any(100);
        unsigned who = (unsigned)any(WORKERS);
        nap(any(pause * 2));
        watch();
        if (get(&board->found))
            return;
        if (what < 80)
            kill_some(who, 1);
        else if (what < 92)
            kill_some(who, 2 + (unsigned)any(3));
        else if (what < 94)
            kill_some(who, WORKERS);
        else if (what < 97)
            stop_one(h, who);
        start_all();
    }
}

/* Lets everybody come to an end, who is not killed over that. */
static void finish(void)
{
    set(&board->end, 1);
    for (uint64_t n = any(3); n; n--) {
        nap(any(3000));
        kill_some((unsigned)any(WORKERS), 1);
    }
    for (unsigned left = 1; left && !get(&board->found); nap(1000)) {
        watch();
        left = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            left += crew[i].pid != 0;
    }
}

static pid_t eye; // who looks

static void open_eye(void)
{
    set(&board->count, WAIT);
    eye = fork();
    if (eye == 0)
        look();
    if (eye < 0)
        complain("has nobody who looks", 0);
}

static void count(int last)
{
    int status = 1;
    if (!eye)
        open_eye();
    set(&board->count, last ? COUNT_AND_CLEAR : COUNT);
    waitpid(eye, &status, 0);
    eye = 0;
    if (status && !get(&board->found))
        complain("counts for ever, or died", WORKERS);
}

/* Who looks in the end has the region open from the start, or opens it when
 * nobody else has: then nothing is there but what is promised to stay. */
static void play_round(const alps_heap *h, uint64_t length, int last)
{
    static const uint64_t pause[] = {1000, 5000, 20000, 60000};
    set(&board->end, 0);
    if (any(3))
        open_eye();
    start_all();
    disturb(h, now() + length, pause[any(4)]);
    if (!get(&board->found) && any(3) == 0)
        kill_some(0, WORKERS);
    else
        finish();
    if (!get(&board->found))
        count(last);
    rounds++;
}

/* The shape of the region: large extents or small, lanes for all or for few,
 * room to grow or none, and sometimes too little. */
static void plan(void)
{
    static const uint64_t extent[] = {64u << 10, 256u << 10, 4u << 20};
    alps_options *o = &board->options;
    uint64_t kind = any(3);
    board->tight = any(4) == 0;
    memset(o, 0, sizeof *o);
    o->flags = ALPS_CREATE;
    o->extent = extent[board->tight ? kind % 2 : kind];
    o->size = board->tight ? 6u << 20 : 256u << 20;
    if (o->extent == 4u << 20) // else what the others keep may be everywhere
        o->size *= 4;
    o->limit = o->size + any(3) * 8 * o->extent;
    o->small = any(6) ? 0 : 1;
    o->lanes = any(3) ? 0 : 2 + (unsigned)any(20);
    o->processes = any(2) ? WORKERS + 1 : 0;
}

/* Makes the region, with the object that has the slots that are not in its
 * root. */
static int make(void)
{
    alps_heap h;
    memset(board->worker, 0, sizeof board->worker);
    for (unsigned i = 0; i < SLOTS; i++)
        board->guard[i].holds = board->guard[i].next = 0;
    int err = alps_open(&h, board->path, &board->options);
    if (err)
        return err;
    struct tables *t = (struct tables *)alps_root(&h, sizeof *t);
    size_t n = (SLOTS - ROOTED) * sizeof(alps_off);
    void *p = alps_reserve(&h, n);
    if (p)
        memset(p, 0, n);
    err = p ? alps_publish(&h, &t->more, p) : alps_error(&h);
    int last = alps_close(&h);
    return err ? err : last;
}

/* What is left when something went wrong. */
static void end_all(void)
{
    printf("  %s\n", board->wrong);
    if (board->keep) {
        printf("  in %s; workers:", board->path);
        for (unsigned i = 0; i < WORKERS; i++)
            printf(" %d", (int)crew[i].pid);
        printf("\n");
        fflush(stdout);
        pause();
    }
    for (unsigned i = 0; i <= WORKERS; i++) {
        pid_t pid = i < WORKERS ? crew[i].pid : eye;
        if (pid > 0 && !kill(pid, SIGKILL))
            waitpid(pid, NULL, 0);
    }
}

/* One region, in several rounds of `length`. */
static void play(uint64_t length)
{
    alps_heap h;
    alps_options o;
    uint64_t seed = dice;
    plan();
    CHECK_EQ(make(), 0);
    o = board->options;
    o.flags = ALPS_READ_ONLY; // to see the lock
    CHECK_EQ(alps_open(&h, board->path, &o), 0);
    for (unsigned i = 0; i < 4 && !get(&board->found); i++)
        play_round(&h, length / 4, i == 3);
    if (!CHECK(!get(&board->found))) {
        printf("  seed %llu: extents of %llu bytes, %u lanes, %u slots%s%s\n",
               (unsigned long long)seed, (unsigned long long)o.extent, o.lanes,
               o.processes, o.small ? ", no slabs" : "",
               board->tight ? ", little room" : "");
        end_all();
    }
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(board->path), 0);
}

static uint64_t until;

static void nothing_is_lost_nothing_leaks_nobody_is_stuck(void)
{
    while (now() < until && !check_bad_) {
        uint64_t left = until - now();
        play(left < 6000000 ? left : 4000000);
    }
    printf("%llu kills, %llu counts\n", (unsigned long long)kills,
           (unsigned long long)rounds);
    CHECK(kills > 0 && rounds > 0);
}

int main(int argc, char **argv)
{
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
    pthread_mutexattr_t robust;
    dice = argc > 2 ? strtoull(argv[2], NULL, 10) : alps_random_() | 1;
    board = (struct board *)mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == (struct board *)MAP_FAILED)
        return 2;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_init(&board->guard[i].lock, &robust);
    board->keep = getenv("SOAK_KEEP") != NULL;
    snprintf(board->path, sizeof board->path, SOAK_PATH, (int)getpid());
    until = now() + seconds * 1000000u;
    RUN(nothing_is_lost_nothing_leaks_nobody_is_stuck);
    return check_end(SOAK_NAME);
}
