/* main.c -- runs, mutations, the sum
 *
 *     sim-POLICY MODEL run EFFORT     looks for bad images
 *     sim-POLICY MODEL transact EFFORT  of transactions alone
 *     sim-POLICY MODEL mend EFFORT    of repairs alone
 *     sim-POLICY MODEL weave EFFORT   the same, with threads at the same time
 *     sim-POLICY MODEL mutate EFFORT  leaves out each flush, fence and stream,
 *                                     alone and in pairs: all must be noticed
 *     sim-POLICY MODEL without SITE   leaves out one, and shows what happens
 *
 * MODEL is x86, weak, pages or kill. EFFORT is 0 to 2, of mutate 3: see
 * tests/sim/run.sh. The last line is the sum. */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../core/policy.h"

/* ---- programs ---- */

static void random_runs(uint64_t first, unsigned runs, unsigned length)
{
    for (uint64_t seed = first; seed < first + runs; seed++)
        programs_random(seed, length, seed % 2 ? 60 : 0);
}

/* All short sequences, thoroughly; all longer ones, by samples; long ones. */
static void run(unsigned effort)
{
    static const struct sim_limits whole = {256, 128, 8, 6, 1, 2};
    static const struct sim_limits many = {32, 24, 16, 4, 1, 4};
    static const struct sim_limits some = {12, 8, 32, 4, 1, 8};
    static const struct sim_limits few = {6, 4, 64, 4, 2, 8};
    sim_seed(1);
    sim_limits = whole;
    programs_life();
    programs_scripts();
    programs_killed();
    programs_mended();
    sim_limits = effort ? many : some;
    programs_named();
    programs_transactions(effort);
    sim_limits = whole;
    programs_exhaustive(1);
    sim_limits = effort ? whole : many;
    programs_exhaustive(2);
    sim_limits = effort > 1 ? many : few;
    if (effort >= 1)
        programs_exhaustive(3);
    sim_limits = few;
    programs_crashed(effort ? 4 * effort : 2);
    programs_grown(effort ? 2 * effort : 1);
    if (effort >= 2)
        programs_exhaustive(4);
    random_runs(1, 4u << 2 * effort, 200);
}

/* Threads at the same time: one turn, or two. `tx`: also with transactions. */
static void weave(unsigned effort, int tx)
{
    static const struct sim_limits few = {2, 2, 256, 2, 32, 4};
    static const struct sim_limits many = {2, 2, 256, 2, 2, 4};
    sim_seed(1);
    sim_limits = effort == 1 ? many : few;
    woven_all(effort > 1 ? 2 : 1, tx);
    woven_random(2000ul << 2 * effort, tx);
}

/* Whether a place that is left out is of these functions. */
static int is_of(const char *const *words, unsigned n)
{
    if (!sim_sites_off[0] || sim_sites_off[0] > sim_site_count())
        return 0; // or not known yet
    for (unsigned i = 0; i < n; i++)
        if (strstr(sim_site_name(sim_sites_off[0] - 1), words[i]))
            return 1;
    return 0;
}

/* Of transactions, and of nothing else. */
static int transacts(void)
{
    static const char *const words[] = {"alps_tx_", "alps_commit_",
                                        "alps_undo_"};
    return is_of(words, 3);
}

/* Of repairs. */
static int mends(void)
{
    static const char *const words[] = {"alps_repair_"};
    return is_of(words, 1);
}

/* Mutations: the same in parts, ordered so that what is wrong shows soon. */
enum { PARTS = 13 };

static void run_part(unsigned part)
{
    static const struct sim_limits some = {24, 20, 6, 4, 1, 4};
    static const struct sim_limits few = {6, 4, 64, 4, 2, 8};
    sim_limits = part < 5 || part == 10 ? few : some;
    sim_seed(part + 1);
    switch (part) {
    case 0: programs_scripts(); break;
    case 1: programs_killed(); break;
    case 2: programs_named(); break;
    case 3: programs_grown(1); break;
    case 4: programs_transactions(0); break;
    case 5: programs_life(); break;
    case 6: programs_scripts(); break;
    case 7: programs_killed(); break;
    case 8: programs_exhaustive(1); break;
    case 9: random_runs(1, 4, 150); break;
    case 10: programs_crashed(2); break;
    case 11: programs_mended(); break;
    default: programs_exhaustive(2); break;
    }
}

static void run_quickly(unsigned effort)
{
    static const struct sim_limits some = {24, 20, 6, 4, 1, 4};
    static const struct sim_limits more = {128, 64, 2, 8, 1, 2};
    unsigned first = mends() ? 11 : transacts() ? 4 : 0;
    for (unsigned i = 0; i < PARTS; i++) {
        sim_part = (first + i) % PARTS;
        if (sim_part_differs())
            run_part(sim_part);
    }
    if (!effort)
        return;
    weave(1, transacts());
    sim_limits = some;
    programs_transactions(1);
    programs_crashed(6);
    random_runs(5, 20 * effort, 200);
    sim_limits = more;
    programs_life();
    programs_exhaustive(2);
    sim_limits = some;
    if (effort > 1)
        programs_exhaustive(3);
}

/* ---- mutations ---- */

#define RUN_SECONDS 120

static void out_of_time(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

/* Leaves out sites `a` and `b` in a process of its own; 1: it was noticed, by
 * a bad image or a crash. A recovery that hangs is a bad image. */
static int notices(enum sim_model model, unsigned a, unsigned b,
                   unsigned effort)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        sim_model = model;
        sim_sites_off[0] = a + 1;
        sim_sites_off[1] = b + 1;
        sim_quick = 1;
        if (!freopen("/dev/null", "w", stdout))
            _exit(3);
        signal(SIGPROF, out_of_time);
        struct itimerval limit = {{0, 0}, {RUN_SECONDS, 0}};
        setitimer(ITIMER_PROF, &limit, NULL); // of the processor's time
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

/* What one model lets pass the other may not: on x86 a lock drains. */
static int noticed(unsigned a, unsigned b, unsigned effort)
{
    return notices(SIM_WEAK, a, b, 0) || notices(SIM_X86, a, b, 0) ||
           (effort && (notices(SIM_WEAK, a, b, effort) ||
                       notices(SIM_X86, a, b, effort)));
}

static int is_act(unsigned site)
{
    int event = sim_site_event(site);
    return event == ALPS_SAW_FLUSH || event == ALPS_SAW_FENCE ||
           event == ALPS_SAW_STREAM || event == SIM_SAW_SETTLE ||
           event == SIM_SAW_SYNC;
}

/* Whether two sites are of one function of the interface. */
static int same_call(unsigned a, unsigned b)
{
    static char name[64];
    snprintf(name, sizeof name, "%s", strrchr(sim_site_name(a), '<'));
    return !strcmp(name, strrchr(sim_site_name(b), '<'));
}

/* Whether two sites are of the same three lines of the library, one within the
 * other, and only who calls them differs; or of the same place in the beginning
 * of an epoch, which an open and a repair have. */
static int same_lines(unsigned a, unsigned b)
{
    const char *left = sim_site_name(a), *right = sim_site_name(b);
    const char *epoch = strstr(left, "alps_epoch_begin_");
    if (epoch && !strncmp(left, right, (size_t)(strchr(epoch, ')') - left)))
        return 1;
    for (int lines = 0; *left && *left == *right; left++, right++)
        if (*left == ')' && ++lines == 3)
            return 1;
    return 0;
}

/* Whether a site that no program here comes to need is noticed on another
 * path. */
static int elsewhere(const unsigned char *alone, unsigned n, unsigned a)
{
    for (unsigned b = 0; b < n; b++)
        if (alone[b] && same_lines(a, b))
            return 1;
    return 0;
}

/* What only matters while one process leaves or dies under a durable policy
 * and another lives on, or to another thread that allocates behind one which
 * made the region larger: no program here does that, see docs/simulator.md. */
static int not_simulated(unsigned a)
{
    const char *name = sim_site_name(a);
    return strstr(name, "fence < alps_lanes_reap_") ||
           strstr(name, "fence < alps_thread_leave_") ||
           (strstr(name, "fence < alps_growth_extend_") &&
            strstr(name, "alps_growth_step_"));
}

/* Sites to leave out, and whether that was noticed. */
struct mutation {
    unsigned a, b;
    int noticed;
    pid_t child;
};

static void wait_for_one(struct mutation *m, unsigned n)
{
    int status = 0;
    pid_t child = wait(&status);
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
        exit(2);
    for (unsigned i = 0; i < n; i++)
        if (m[i].child == child)
            m[i].noticed = WEXITSTATUS(status);
}

/* Tries them all, as many at once as there are processors. */
static void try_all(struct mutation *m, unsigned n, unsigned effort)
{
    long most = sysconf(_SC_NPROCESSORS_ONLN), running = 0;
    fflush(stdout);
    for (unsigned i = 0; i < n; i++) {
        if (running == most) {
            wait_for_one(m, i);
            running--;
        }
        m[i].child = fork();
        if (m[i].child == 0)
            _exit(noticed(m[i].a, m[i].b, effort));
        if (m[i].child < 0)
            exit(2);
        running++;
    }
    for (; running > 0; running--)
        wait_for_one(m, n);
}

/* All sites, and pairs of those that are noticed alone, for one may hide what
 * the other does: with effort 2 of one call, with 3 all. */
static void mutate(unsigned effort)
{
    static struct mutation one[SIM_SITES], hard[SIM_SITES],
        two[SIM_SITES * SIM_SITES / 2];
    static unsigned char alone[SIM_SITES];
    unsigned ones = 0, hards = 0, twos = 0, missed = 0;
    sim_model = SIM_WEAK;
    run_quickly(0);
    unsigned n = sim_site_count();
    for (unsigned a = 0; a < n; a++)
        if (is_act(a) && !not_simulated(a))
            one[ones++] = (struct mutation){a, a, 0, 0};
    try_all(one, ones, 0);
    for (unsigned i = 0; i < ones; i++)
        alone[one[i].a] = (unsigned char)one[i].noticed;
    for (unsigned i = 0; i < ones; i++) // what is left is worth more
        if (!one[i].noticed && !elsewhere(alone, n, one[i].a))
            hard[hards++] = one[i];
    try_all(hard, hards, effort);
    for (unsigned i = 0; i < hards; i++)
        alone[hard[i].a] = (unsigned char)hard[i].noticed;
    for (unsigned a = 0; a < n; a++) {
        const char *said = alone[a]                 ? "ok"
                           : not_simulated(a)       ? "not simulated"
                           : elsewhere(alone, n, a) ? "ok on another path"
                                                    : "UNNOTICED:";
        if (!is_act(a))
            continue;
        missed += *said == 'U';
        printf("%s without %u: %s\n", said, a, sim_site_name(a));
    }
    for (unsigned a = 0; a < n && effort >= 2; a++)
        for (unsigned b = a + 1; b < n; b++)
            if (alone[a] && alone[b] && (effort >= 3 || same_call(a, b)))
                two[twos++] = (struct mutation){a, b, 0, 0};
    try_all(two, twos, effort);
    for (unsigned i = 0; i < twos; i++) {
        if (two[i].noticed)
            continue;
        missed++;
        printf("UNNOTICED: without %u: %s\n", two[i].a,
               sim_site_name(two[i].a));
        printf("       and without %u: %s\n", two[i].b,
               sim_site_name(two[i].b));
    }
    printf("mutations: %u, unnoticed: %u\n", ones + twos, missed);
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
        fprintf(stderr,
                "usage: %s x86|weak|pages|kill run|transact|mend|weave|mutate "
                "EFFORT\n"
                "       %s x86|weak|pages|kill without SITE\n",
                argv[0], argv[0]);
        return 2;
    }
    unsigned effort = (unsigned)atoi(argv[3]);
    signal(SIGSEGV, killed);
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(argv[2], "mutate")) {
        mutate(effort);
    } else if (!strcmp(argv[2], "transact")) {
        static const struct sim_limits some = {12, 8, 32, 4, 1, 8};
        static const struct sim_limits many = {64, 48, 8, 4, 1, 4};
        sim_limits = effort ? many : some;
        programs_transactions(effort);
        sim_survivor = sim_model == SIM_KILL;
        if (sim_survivor)
            programs_transactions(effort);
    } else if (!strcmp(argv[2], "mend")) {
        static const struct sim_limits some = {24, 20, 6, 4, 1, 4};
        static const struct sim_limits many = {256, 128, 8, 6, 1, 2};
        sim_seed(1);
        sim_limits = effort ? many : some;
        programs_mended();
    } else if (!strcmp(argv[2], "weave")) {
        weave(effort, 1);
    } else if (!strcmp(argv[2], "without")) {
        sim_sites_off[0] = effort + 1;
        run_quickly(0);
        weave(1, 1);
        printf("without %s\n", sim_site_name(effort));
    } else {
        run(effort);
        if (sim_model == SIM_KILL) {
            sim_survivor = 1;
            run(effort);
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) +
                     1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    printf("%s under %s: %lu recoveries crashed again, %.1f s\n", sim_unit_name,
           argv[1], sim_nested, seconds);
    printf("sim: %lu images, %lu bad\n", sim_images, sim_bad);
    return sim_bad != 0;
}
