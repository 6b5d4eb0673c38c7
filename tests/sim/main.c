/* main.c -- runs, mutations, the sum
 *
 *     sim-POLICY MODEL run EFFORT     looks for bad images
 *     sim-POLICY MODEL mutate EFFORT  leaves out each flush, fence and stream,
 *                                     alone and in pairs: all must be noticed
 *
 * MODEL is x86, weak, pages or kill. EFFORT 0 is for a glance, 1 for `make
 * check`, 2 for CI. The last line is the sum. */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/policy.h"

/* ---- programs ---- */

static void life_and_length(unsigned length, struct sim_limits limits)
{
    sim_limits = limits;
    programs_exhaustive(length);
}

/* All short sequences, thoroughly; all longer ones, by samples; long ones. */
static void run(unsigned effort)
{
    static const struct sim_limits whole = {256, 128, 8, 6, 1, 2};
    static const struct sim_limits many = {32, 24, 16, 4, 1, 4};
    static const struct sim_limits few = {6, 4, 64, 4, 2, 8};
    sim_seed(1);
    sim_limits = whole;
    programs_life();
    life_and_length(1, whole);
    life_and_length(2, effort ? whole : many);
    if (effort >= 1)
        life_and_length(3, effort > 1 ? many : few);
    if (effort >= 2)
        life_and_length(4, few);
    sim_limits = few;
    for (unsigned seed = 1; seed <= 1u << 3 * effort; seed++)
        programs_random(seed, 200);
}

/* The same, ordered so that what is wrong shows soon. */
static void run_quickly(unsigned effort)
{
    static const struct sim_limits some = {24, 20, 6, 4, 1, 4};
    static const struct sim_limits more = {128, 64, 2, 8, 1, 2};
    sim_seed(1);
    sim_limits = some;
    programs_life();
    programs_exhaustive(1);
    programs_exhaustive(2);
    for (unsigned seed = 1; seed <= 2; seed++)
        programs_random(seed, 150);
    sim_limits = more;
    programs_life();
    programs_exhaustive(2);
    for (unsigned seed = 3; effort && seed <= 10 * effort; seed++)
        programs_random(seed, 200);
    if (effort > 1) {
        sim_limits = some;
        programs_exhaustive(3);
    }
}

/* ---- mutations ---- */

#define RUN_SECONDS 120

/* Leaves out sites `a` and `b` in a process of its own; 1: it was noticed, by
 * a bad image, a crash or a hang. */
static int noticed(unsigned a, unsigned b, unsigned effort)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        sim_sites_off[0] = a + 1;
        sim_sites_off[1] = b + 1;
        sim_quick = 1;
        if (!freopen("/dev/null", "w", stdout))
            _exit(3);
        alarm(RUN_SECONDS);
        run_quickly(effort);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        exit(2);
    if (WIFEXITED(status) && WEXITSTATUS(status) > 1)
        exit(2);
    return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

static int is_act(unsigned site)
{
    int event = sim_site_event(site);
    return event == ALPS_SAW_FLUSH || event == ALPS_SAW_FENCE ||
           event == ALPS_SAW_STREAM ||
           (event == SIM_SAW_SETTLE && sim_model == SIM_WEAK);
}

static void mutate(unsigned effort)
{
    static unsigned char alone[SIM_SITES];
    unsigned runs = 0, missed = 0;
    run_quickly(0);
    unsigned n = sim_site_count();
    for (unsigned a = 0; getenv("SIM_SITES") && a < n; a++)
        printf("site %u: %s\n", a, sim_site_name(a));
    for (unsigned a = 0; a < n; a++) {
        if (!is_act(a))
            continue;
        runs++;
        alone[a] = (unsigned char)noticed(a, a, effort);
        if (alone[a])
            continue;
        missed++;
        printf("unnoticed: without %s\n", sim_site_name(a));
    }
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = a + 1; b < n; b++) {
            if (!is_act(a) || !is_act(b) || !alone[a] || !alone[b])
                continue;
            runs++;
            if (noticed(a, b, effort))
                continue;
            missed++;
            printf("unnoticed: without %s\n", sim_site_name(a));
            printf("       and without %s\n", sim_site_name(b));
        }
    printf("mutations: %u, unnoticed: %u\n", runs, missed);
    sim_bad += missed;
}

/* ---- */

static void killed(int signal_number)
{
    (void)signal_number;
    static const char text[] = "bad: the library crashed or hung\n";
    if (write(1, text, sizeof text - 1) < 0 ||
        write(1, programs_text(), strlen(programs_text())) < 0 ||
        write(1, "\n", 1) < 0)
        _exit(1);
    _exit(1);
}

static int choose_model(const char *name)
{
    static const char *const names[] = {"x86", "weak", "pages", "kill"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(names[i], name)) {
            sim_model = (enum sim_model)i;
            return 1;
        }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4 || !choose_model(argv[1])) {
        fprintf(stderr, "usage: %s x86|weak|pages|kill run|mutate EFFORT\n",
                argv[0]);
        return 2;
    }
    unsigned effort = (unsigned)atoi(argv[3]);
    signal(SIGSEGV, killed);
    signal(SIGALRM, killed);
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(argv[2], "mutate")) {
        run(effort);
        if (sim_model == SIM_KILL) {
            sim_survivor = 1;
            run(effort);
        }
    } else {
        mutate(effort);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) +
                     1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    printf("%s under %s: %lu recoveries crashed again, %.1f s\n",
           sim_unit_name, argv[1], sim_nested, seconds);
    printf("sim: %lu images, %lu bad\n", sim_images, sim_bad);
    return sim_bad != 0;
}
