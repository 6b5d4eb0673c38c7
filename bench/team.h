/* team.h -- the same work done by one thread, by two, by two processes
 *
 * A load is a function that every worker of a team runs. All that workers
 * share lies in memory that children share with their parent, so it makes no
 * difference to a load whether the others are threads or processes. Each team
 * has processes of its own: none finds a heap that another has used.
 *
 * Processes share one heap where the peer can do that (PEER_SHARES); else each
 * has its own. */
#pragma once
#include "harness.h"

#define BENCH_TEAM 2u    /* workers, at most */
#define BENCH_FIGURES 4u /* that a worker reports, at most */
#define BENCH_PLACES 4096u

/* Objects on their way from one worker to another, by the names that both
 * know them by. What each side writes is in lines of its own. */
typedef struct bench_pipe {
    uint64_t sent __attribute__((aligned(128)));
    uint64_t closed; /* nothing more will be sent */
    uint64_t taken __attribute__((aligned(128)));
    uint64_t name[BENCH_PLACES] __attribute__((aligned(128)));
} bench_pipe;

/* What the workers of a team share. */
typedef struct bench_hall {
    pthread_barrier_t barrier;
    double figure[BENCH_TEAM][BENCH_FIGURES];
    bench_pipe pipe[BENCH_TEAM];
} bench_hall;

typedef struct bench_worker {
    peer *p;
    const bench_scale *scale;
    bench_hall *hall;
    unsigned number;  /* from 0 */
    unsigned of;      /* workers in the team */
    unsigned threads; /* of them, in this process */
    int apart;        /* the others are processes */
    double resident;  /* memory of this process before there was a heap */
    uint64_t dice;
    double *figure; /* nanoseconds an operation, or whatever the load reports */
    double begin;
    uint64_t done; /* operations since then */
} bench_worker;

typedef struct bench_load {
    const char *name; /* that the program is called with */
    void (*work)(bench_worker *w);
    unsigned mib;     /* of the region */
    unsigned each;    /* and bytes for each object of rand1m */
    unsigned workers; /* at least */
    int passes;       /* objects from one worker to another */
    const char *metric[BENCH_FIGURES];
} bench_load;

typedef struct bench_way {
    const char *suffix; /* of the metric */
    unsigned threads, processes;
} bench_way;

/* One team at work. */
typedef struct bench_team {
    const bench_load *load;
    const bench_way *way;
    const bench_scale *scale;
    const char *dir;
    bench_hall *hall;
    unsigned number; /* of the process that is started next */
} bench_team;

/* Who works alone is timed by what the processor did for it, teams by the
 * clock on the wall; and who waits for the medium, too. */
static inline double bench_time(const bench_worker *w)
{
    return bench_clock(w->of == 1 && !PEER_LIMITED ? CLOCK_PROCESS_CPUTIME_ID
                                                   : CLOCK_MONOTONIC);
}

/* Waits until all workers are here. */
static inline void bench_meet(bench_worker *w)
{
    pthread_barrier_wait(&w->hall->barrier);
}

/* From here on the time is taken. */
static inline void bench_start(bench_worker *w)
{
    bench_meet(w);
    w->done = 0;
    w->begin = bench_time(w);
}

/* `n` more operations are done: notes what one takes, and answers whether
 * there is time for more. */
static inline int bench_goes_on(bench_worker *w, unsigned n)
{
    double seconds = bench_time(w) - w->begin;
    w->done += n;
    w->figure[0] = seconds / (double)w->done * 1e9;
    return seconds < w->scale->seconds;
}

static size_t bench_team_bytes(const bench_team *t)
{
    return t->load->mib * BENCH_MIB + (size_t)t->load->each * t->scale->objects;
}

typedef struct bench_thread {
    bench_worker worker;
    const bench_load *load;
    pthread_t thread;
} bench_thread;

static void *bench_thread_run(void *context)
{
    bench_thread *t = (bench_thread *)context;
    t->load->work(&t->worker);
    return NULL;
}

/* The directory of the heap of this process: the team's, or one in it. */
static void bench_team_dir(const bench_team *t, char *dir, size_t n)
{
    int own = t->way->processes > 1 && !PEER_SHARES;
    int length = own ? snprintf(dir, n, "%s/%u", t->dir, t->number)
                     : snprintf(dir, n, "%s", t->dir);
    if (length < 0 || (size_t)length >= n ||
        (own && mkdir(dir, 0700) && errno != EEXIST))
        bench_die("no directory in %s", t->dir);
}

static void bench_thread_init(bench_thread *thread, const bench_team *t,
                              unsigned i)
{
    bench_worker *w = &thread->worker;
    memset(thread, 0, sizeof *thread);
    thread->load = t->load;
    w->scale = t->scale;
    w->hall = t->hall;
    w->number = t->number * t->way->threads + i;
    w->of = t->way->threads * t->way->processes;
    w->threads = t->way->threads;
    w->apart = t->way->processes > 1;
    w->resident = bench_proc("/proc/self/smaps_rollup", "Pss");
    w->dice = w->number + 1;
    w->figure = t->hall->figure[w->number];
}

/* A process of a team: opens the heap, runs its threads, closes the heap. */
static void bench_team_process(void *context)
{
    const bench_team *t = (const bench_team *)context;
    bench_thread thread[BENCH_TEAM];
    unsigned n = t->way->threads, i;
    char dir[4096];
    peer p;
    bench_team_dir(t, dir, sizeof dir);
    for (i = 0; i < n; i++) {
        bench_thread_init(&thread[i], t, i);
        thread[i].worker.p = &p;
    }
    peer_open(&p, dir, bench_team_bytes(t),
              t->way->processes == 1 || !PEER_SHARES);
    for (i = 1; i < n; i++)
        if (pthread_create(&thread[i].thread, NULL, bench_thread_run,
                           &thread[i]))
            bench_die("no thread");
    bench_thread_run(&thread[0]);
    for (i = 1; i < n; i++)
        pthread_join(thread[i].thread, NULL);
    peer_close(&p);
}

static void bench_hall_open(bench_hall *hall, unsigned workers)
{
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&hall->barrier, &shared, workers);
    pthread_barrierattr_destroy(&shared);
}

/* Ends what is left of a team. */
__attribute__((noreturn)) static void
bench_team_fail(const bench_team *t, const pid_t *child, int status)
{
    unsigned i;
    for (i = 0; i < t->way->processes; i++)
        if (child[i])
            kill(child[i], SIGKILL);
    bench_die("a process of %s ended with status %#x", t->load->metric[0],
              (unsigned)status);
}

/* Starts the processes of a team and waits for them. Where one fails, the
 * others would wait for it for ever. */
static void bench_team_run(bench_team *t)
{
    pid_t child[BENCH_TEAM], ended;
    unsigned n = t->way->processes, i, left;
    int status = 0;
    for (t->number = 0; t->number < n; t->number++)
        child[t->number] = bench_child(bench_team_process, t);
    for (left = n; left > 0; left--) {
        ended = wait(&status);
        for (i = 0; i < n; i++)
            if (child[i] == ended)
                child[i] = 0;
        if (ended < 0 || status != 0)
            bench_team_fail(t, child, status);
    }
}

/* Measures one load one way: a figure is the mean over the workers. */
static void bench_team_measure(const bench_load *load, const bench_way *way,
                               const char *dir, const bench_scale *scale)
{
    bench_hall *hall = (bench_hall *)bench_shared(sizeof *hall);
    bench_team t = {load, way, scale, dir, hall, 0};
    unsigned workers = way->threads * way->processes, i, k;
    char metric[64];
    bench_hall_open(hall, workers);
    bench_warm_up(bench_team_bytes(&t));
    if (way->processes > 1 && PEER_SHARES) {
        peer p;
        peer_open(&p, dir, bench_team_bytes(&t), 1);
        peer_close(&p);
    }
    bench_team_run(&t);
    for (k = 0; k < BENCH_FIGURES && load->metric[k]; k++) {
        double sum = 0;
        for (i = 0; i < workers; i++)
            sum += hall->figure[i][k];
        snprintf(metric, sizeof metric, "%s%s", load->metric[k], way->suffix);
        bench_report(metric, sum / workers);
    }
    munmap(hall, sizeof *hall);
}

/* Measures a load all ways that it and the peer can go. */
static void bench_load_run(const bench_load *load, const char *dir,
                           const bench_scale *scale)
{
    static const bench_way way[] = {{"", 1, 1}, {"_2", 2, 1}, {"_2p", 1, 2}};
    unsigned i;
    for (i = 0; i < sizeof way / sizeof *way; i++)
        if (way[i].threads * way[i].processes >= load->workers &&
            (way[i].processes == 1 || PEER_SHARES || !load->passes))
            bench_team_measure(load, &way[i], dir, scale);
}
