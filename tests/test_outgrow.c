/* test_outgrow.c -- the whole heap in a region larger than its memory
 *
 * Under msync and under none; killed, cut off from power at any sector, forked,
 * copied, grown. The memory is 1 MiB in segments of 16 KiB. */
#include "pages.h"
#include <pthread.h>

#define ALPS_NAME loose
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_POLICY ALPS_NONE
#define ALPS_FAULTS faults
#include "../alps.h"
#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_NONE
#include "../alps.h"

/* ---- a medium that may lose power ---------------------------------------- */

#define LOG_MAX 4096u
struct written {
    uint64_t off, n;
    unsigned char *bytes;
};
static struct written written[LOG_MAX]; // since the last sync
static unsigned written_n;
static unsigned char *durable; // the file as of the last sync, or NULL
static uint64_t durable_n;
static unsigned char log_bytes[8 << 20]; // it is written in a signal handler
static size_t log_used;
static int overflow;

static void medium_wrote(const void *p, size_t n, off_t off)
{
    if (!durable)
        return;
    if (written_n == LOG_MAX || (uint64_t)off + n > durable_n ||
        n > sizeof log_bytes - log_used) {
        overflow = 1;
        return;
    }
    struct written *w = &written[written_n++];
    w->off = (uint64_t)off;
    w->n = n;
    w->bytes = log_bytes + log_used;
    log_used += n;
    memcpy(w->bytes, p, n);
}

static void log_forget(void)
{
    written_n = 0;
    log_used = 0;
}

static void medium_synced(void)
{
    if (!durable)
        return;
    for (unsigned i = 0; i < written_n; i++)
        memcpy(durable + written[i].off, written[i].bytes,
               (size_t)written[i].n);
    log_forget();
}

/* ---- a heap with something in it ----------------------------------------- */

struct node {
    alps_off next;
    uint64_t seed, n;
    unsigned char bytes[];
};
struct top {
    alps_off head[32];
    uint64_t done; // steps
};

static alps_options small(uint64_t size)
{
    alps_options o = paged(0);
    o.size = size;
    o.extent = 65536;
    o.segment = 16 * KIB;
    o.lanes = 16;
    o.engine = the_engine == ALPS_ENGINE_REWIRE ? 0 : the_engine;
    return o;
}

static void node_fill(struct node *x, uint64_t seed, uint64_t n)
{
    x->seed = seed;
    x->n = n;
    for (uint64_t i = 0; i < n; i++)
        x->bytes[i] = (unsigned char)(seed * 31 + i);
}

static int node_bad(const struct node *x)
{
    for (uint64_t i = 0; i < x->n; i++)
        if (x->bytes[i] != (unsigned char)(x->seed * 31 + i))
            return 1;
    return 0;
}

/* One step: a node comes to a list, or the first goes. */
#define STEPPER(name)                                                        \
  static int name##_step(name##_heap *h, uint64_t *state)                    \
  {                                                                          \
    struct top *top = (struct top *)name##_root(h, sizeof *top);             \
    alps_off *head = &top->head[rnd(state) % 32];                            \
    uint64_t n = rnd(state) % 8 ? rnd(state) % 600 : rnd(state) % 20000;     \
    if (*head && rnd(state) % 3 == 0) {                                      \
      struct node *x = (struct node *)name##_at(h, *head);                   \
      alps_off old = *head, next = x->next;                                  \
      if (name##_publish_next(h, head, next))                                \
        return 1;                                                            \
      return name##_free(h, name##_at(h, old));                              \
    }                                                                        \
    struct node *x = (struct node *)name##_reserve(h, sizeof *x + n);        \
    if (!x)                                                                  \
      return name##_error(h);                                                \
    x->next = *head;                                                         \
    node_fill(x, rnd(state), n);                                             \
    return name##_publish(h, head, x);                                       \
  }                                                                          \
  static int name##_whole(name##_heap *h, uint64_t *nodes)                   \
  {                                                                          \
    const struct top *top = (const struct top *)name##_root(h, sizeof *top); \
    int bad = name##_check(h, NULL) != 0;                                    \
    for (unsigned i = 0; i < 32 && !bad; i++)                                \
      for (alps_off at = top->head[i]; at && !bad; ++*nodes) {               \
        const struct node *x = (const struct node *)name##_at(h, at);        \
        bad = !x || !name##_usable(h, x) || node_bad(x);                     \
        at = bad ? 0 : x->next;                                              \
      }                                                                      \
    return bad;                                                              \
  }

static int alps_publish_next(alps_heap *h, alps_off *head, alps_off next)
{
    *head = next;
    return alps_persist(h, head, sizeof *head);
}

static int loose_publish_next(loose_heap *h, alps_off *head, alps_off next)
{
    *head = next;
    return loose_persist(h, head, sizeof *head);
}

static int plain_publish_next(plain_heap *h, alps_off *head, alps_off next)
{
    *head = next;
    return plain_persist(h, head, sizeof *head);
}
STEPPER(alps)
STEPPER(loose)
STEPPER(plain)

/* Opens the file as it is now by another backend, which pages nothing. */
static int file_is_whole(const char *at, uint64_t *nodes)
{
    plain_heap h;
    *nodes = 0;
    int err = plain_open(&h, at, NULL);
    if (err)
        return err;
    uint64_t state = 3;
    err = plain_whole(&h, nodes);
    err = err ? err : plain_step(&h, &state);
    int last = plain_close(&h);
    return err ? err : last;
}

/* ---- under msync --------------------------------------------------------- */

static void the_heap_works_beyond_its_memory(void)
{
    alps_heap h;
    alps_description d;
    alps_statistics s;
    alps_options o = small(8 * MIB);
    uint64_t state = 11, nodes = 0, again = 0;
    int bad = 0;
    path_to("heap");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(alps_describe(&h, &d), 0);
    CHECK_EQ(strcmp(d.engine, engine_name()), 0);
    CHECK(d.memory == o.memory && d.frames > 50);
    CHECK(!strcmp(d.eviction, "sfifo") && d.segment == 16 * KIB && *d.why);
    for (int i = 0; i < 3000; i++)
        bad += alps_step(&h, &state) != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_whole(&h, &nodes), 0);
    CHECK(nodes > 100);
    CHECK_EQ(alps_stats(&h, &s), 0);
    CHECK(s.used > o.memory); // more than is in memory
    CHECK(s.paging.evictions > 100 && s.paging.syncs > 100);
    CHECK(s.paging.faults >= s.paging.evictions && s.paging.bytes_written);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(alps_whole(&h, &again), 0);
    CHECK_EQ(again, nodes);
    CHECK_EQ(alps_close(&h), 0);
    setenv("ALPS_ENGINE", engine_name(), 1);
    CHECK_EQ(alps_consistent(the_path), 1);
    unsetenv("ALPS_ENGINE");
    o.flags = ALPS_READ_ONLY;
    o.engine = the_engine;
    CHECK_EQ(alps_open(&h, the_path, &o), ALPS_EUNSUPPORTED);
    CHECK_EQ(file_is_whole(the_path, &again), 0);
    CHECK_EQ(again, nodes);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void a_fence_writes_what_has_changed(void)
{
    alps_heap h;
    alps_statistics before, after;
    alps_options o = small(8 * MIB);
    int bad = 0;
    o.lanes = 1088; // their retire words are 17 pages
    o.memory = 16 * MIB;
    o.engine = the_engine;
    path_to("changed");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK(h.core.map.always_n > 16 * 4096);
    for (int i = 0; i < 20; i++)
        bad += alps_free(&h, alps_alloc(&h, 5000)) != 0;
    CHECK_EQ(alps_stats(&h, &before), 0);
    for (int i = 0; i < 100; i++)
        bad += alps_free(&h, alps_alloc(&h, 5000)) != 0;
    CHECK_EQ(alps_stats(&h, &after), 0);
    uint64_t fences = after.paging.syncs - before.paging.syncs;
    uint64_t bytes = after.paging.bytes_written - before.paging.bytes_written;
    CHECK(fences >= 100);
    CHECK(bytes / fences < 20000);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* A crash image: of what was written since the last sync any sectors. */
static int image_is_whole(uint64_t *state, uint64_t *nodes)
{
    char image[120];
    unsigned char *bytes = (unsigned char *)malloc((size_t)durable_n);
    uint64_t keep = rnd(state) % 4; // none, some, most, all
    memcpy(bytes, durable, (size_t)durable_n);
    for (unsigned i = 0; i < written_n; i++)
        for (uint64_t at = 0; at < written[i].n; at += 512)
            if (rnd(state) % 3 < keep) {
                uint64_t n = written[i].n - at < 512 ? written[i].n - at : 512;
                memcpy(bytes + written[i].off + at, written[i].bytes + at,
                       (size_t)n);
            }
    snprintf(image, sizeof image, "%s.image", the_path);
    int fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int bad = write(fd, bytes, (size_t)durable_n) != (ssize_t)durable_n;
    close(fd);
    free(bytes);
    bad = bad ? bad : file_is_whole(image, nodes);
    unlink(image);
    return bad;
}

static void a_power_failure_loses_nothing_that_was_durable(void)
{
    alps_heap h;
    alps_options o = small(2 * MIB);
    uint64_t state = 7, nodes = 0, bad = 0, images = 0;
    o.memory = 640 * KIB;
    o.segment = 4096;
    o.grow = ALPS_GROW_NEVER;
    path_to("power");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK(h.core.map.apart);
    for (int i = 0; i < 100; i++)
        bad += alps_step(&h, &state) != 0;
    CHECK_EQ(alps_sync(&h), 0);
    durable_n = file_size();
    durable = (unsigned char *)malloc((size_t)durable_n);
    int fd = open(the_path, O_RDONLY);
    CHECK(pread(fd, durable, (size_t)durable_n, 0) == (ssize_t)durable_n);
    close(fd);
    for (int i = 0; i < 60 && !overflow; i++) {
        bad += alps_step(&h, &state) != 0;
        struct top *top = (struct top *)alps_root(&h, sizeof *top);
        uint64_t alive = 0, least = 0;
        (void)top;
        CHECK_EQ(alps_whole(&h, &least), 0); // evicts, at random
        images++;
        bad += image_is_whole(&state, &alive) != 0;
        if (alive != least)
            bad++; // what had returned was durable
    }
    CHECK_EQ(bad, 0);
    CHECK_EQ(images, 60);
    CHECK_EQ(overflow, 0);
    log_forget();
    free(durable);
    durable = NULL;
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(file_is_whole(the_path, &nodes), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

static int child_steps_until_killed(void)
{
    alps_heap h;
    alps_options o = small(8 * MIB);
    uint64_t state = (uint64_t)getpid() * 7919;
    if (alps_open(&h, the_path, &o))
        return 1;
    for (;;)
        if (alps_step(&h, &state))
            return 2;
}

static void a_kill_loses_nothing(void)
{
    uint64_t nodes = 0;
    path_to("kill");
    for (int i = 0; i < 12; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            _exit(child_steps_until_killed());
        }
        usleep((useconds_t)(20000 + i * 5000));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status));
        int err = file_is_whole(the_path, &nodes);
        CHECK(err == 0 || (i == 0 && err == ALPS_EUNFINISHED));
    }
    CHECK_EQ(alps_remove(the_path), 0);
}

static void *steps(void *heap)
{
    uint64_t bad = 0;
    alps_heap *h = (alps_heap *)heap;
    void *p[50] = {NULL};
    for (unsigned i = 0; i < 1500; i++) {
        unsigned k = i * 7 % 50;
        if (p[k])
            bad += alps_free(h, p[k]) != 0;
        p[k] = alps_alloc(h, 100 + i % 7 * 1000);
        bad += !p[k];
        if (p[k])
            memset(p[k], (int)i, 100);
    }
    return (void *)(uintptr_t)bad;
}

static void threads_share_the_heap_while_it_outgrows_its_memory(void)
{
    alps_heap h;
    alps_options o = small(512 * KIB);
    pthread_t thread[3];
    void *bad = NULL;
    o.grow = 65536;
    o.limit = 16 * MIB;
    path_to("grows");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(h.core.map.apart, the_engine == ALPS_ENGINE_USERFAULTFD);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, steps, &h), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(thread[i], &bad), 0);
        CHECK_EQ((uintptr_t)bad, 0);
    }
    CHECK_EQ(alps_grow(&h, 4 * MIB), 0);
    CHECK_EQ(h.core.map.apart, 1);
    CHECK_EQ(alps_check(&h, NULL), 0);
    CHECK_EQ(alps_trim(&h), 0);
    CHECK_EQ(alps_check(&h, NULL), 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* Of a file that is longer than the region can be nothing is touched. */
static void what_is_behind_the_region_is_not_its_own(void)
{
    alps_heap h;
    alps_options o = small(4 * MIB);
    unsigned char last = 77;
    uint64_t state = 3, nodes = 0;
    int bad = 0;
    o.limit = 8 * MIB;
    path_to("longer");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK_EQ(alps_close(&h), 0);
    int fd = open(the_path, O_RDWR);
    CHECK_EQ(pwrite(fd, &last, 1, 4096 * MIB), 1);
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    CHECK(h.core.map.apart);
    for (int i = 0; i < 300; i++)
        bad += alps_step(&h, &state) != 0;
    CHECK_EQ(alps_sync(&h), 0);
    CHECK(pread(fd, &last, 1, 4096 * MIB) == 1 && last == 77);
    CHECK_EQ(alps_grow(&h, 8 * MIB), 0);
    for (int i = 0; i < 300; i++)
        bad += alps_step(&h, &state) != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_whole(&h, &nodes), 0);
    CHECK_EQ(alps_close(&h), 0);
    close(fd);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void system_calls_take_what_is_pinned(void)
{
    alps_heap h;
    alps_options o = small(8 * MIB);
    int from = open("/dev/zero", O_RDONLY);
    path_to("pins");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 3 * MIB);
    memset(p, 5, 3 * MIB);
    for (int turn = 0; turn < 3; turn++) {
        unsigned char *at = p + (unsigned)turn * 100000;
        for (uint64_t i = MIB; i < 3 * MIB; i += 4096)
            CHECK_EQ(p[i], 5); // what is at the front is gone
        if (the_engine == ALPS_ENGINE_REWIRE)
            CHECK(read(from, at, 50000) == -1 && errno == EFAULT);
        CHECK_EQ(alps_pin(&h, at, 50000, 1), 0);
        for (uint64_t i = MIB; i < 3 * MIB; i += 4096)
            CHECK_EQ(p[i], 5); // and now it stays
        CHECK_EQ(alps_sync(&h), 0);
        CHECK_EQ(read(from, at, 50000), 50000);
        alps_unpin(&h, at, 50000);
        CHECK(at[0] == 0 && at[49999] == 0 && at[50000] == 5);
    }
    CHECK_EQ(alps_pin(&h, p, 3 * MIB, 0), ALPS_EFULL);
    CHECK_EQ(alps_pin(&h, p, 100000, 0), 0);
    alps_unpin(&h, p, 100000);
    for (uint32_t i = 0; i < h.core.map.pager->pool.n; i++)
        CHECK_EQ(h.core.map.pager->pool.frame[i].pins, 0);
    CHECK_EQ(alps_close(&h), 0);
    close(from);
    CHECK_EQ(alps_remove(the_path), 0);
}

/* ---- under none ---------------------------------------------------------- */

static int child_is_killed_with_half_of_it(void)
{
    loose_heap h;
    alps_options o = small(8 * MIB);
    uint64_t state = 3;
    if (loose_open(&h, the_path, &o))
        return 1;
    for (int i = 0; i < 300; i++)
        if (loose_step(&h, &state))
            return 2;
    kill(getpid(), SIGKILL);
    return 3;
}

static void without_a_policy_the_region_is_whole_when_it_is_closed(void)
{
    loose_heap h;
    alps_options o = small(8 * MIB);
    uint64_t state = 9, nodes = 0, again = 0;
    int bad = 0;
    path_to("loose");
    CHECK_EQ(loose_open(&h, the_path, &o), 0);
    unsigned long before = syncs;
    for (int i = 0; i < 2000; i++)
        bad += loose_step(&h, &state) != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(syncs, before); // no fence costs anything
    CHECK_EQ(loose_whole(&h, &nodes), 0);
    CHECK_EQ(loose_sync(&h), 0);
    CHECK_EQ(loose_close(&h), 0);
    CHECK_EQ(file_is_whole(the_path, &again), 0);
    CHECK_EQ(again, nodes);
    CHECK_EQ(loose_remove(the_path), 0);
}

static void without_a_policy_a_kill_is_told(void)
{
    loose_heap h;
    plain_heap other;
    alps_options o = small(8 * MIB);
    path_to("halves");
    int status = in_child(child_is_killed_with_half_of_it);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_EQ(loose_open(&h, the_path, &o), ALPS_ECORRUPT);
    CHECK_EQ(plain_open(&other, the_path, NULL), ALPS_ECORRUPT);
    CHECK_EQ(loose_consistent(the_path), ALPS_ECORRUPT);
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    CHECK_EQ(loose_open(&h, the_path, &o), 0);
    CHECK_EQ(loose_close(&h), 0);
    o.flags = 0;
    CHECK_EQ(loose_open(&h, the_path, &o), 0);
    CHECK_EQ(loose_close(&h), 0);
    CHECK_EQ(loose_remove(the_path), 0);
}

static void a_snapshot_has_what_is_in_memory(void)
{
    loose_heap h;
    alps_options o = small(4 * MIB);
    char copy[120];
    uint64_t state = 5, nodes = 0, again = 0;
    int bad = 0;
    path_to("snapshot");
    snprintf(copy, sizeof copy, "%s.copy", the_path);
    CHECK_EQ(loose_open(&h, the_path, &o), 0);
    for (int i = 0; i < 500; i++)
        bad += loose_step(&h, &state) != 0;
    CHECK_EQ(bad, 0);
    CHECK_EQ(loose_snapshot(&h, copy), 0);
    CHECK_EQ(loose_whole(&h, &nodes), 0);
    CHECK_EQ(file_is_whole(copy, &again), 0);
    CHECK_EQ(again, nodes);
    CHECK_EQ(loose_close(&h), 0);
    unlink(copy);
    CHECK_EQ(loose_remove(the_path), 0);
}

/* ---- fork ---------------------------------------------------------------- */

static alps_heap forked;

static int child_closes_and_opens(void)
{
    void *p = (void *)(uintptr_t)4096;
    if (alps_free(&forked, p) != ALPS_EFORK || alps_alloc(&forked, 8))
        return 1;
    return alps_close(&forked) ? 2 : 0;
}

static void a_child_may_only_close(void)
{
    alps_options o = small(8 * MIB);
    uint64_t state = 9, nodes = 0;
    path_to("child");
    CHECK_EQ(alps_open(&forked, the_path, &o), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(alps_step(&forked, &state), 0);
    CHECK_EQ(in_child(child_closes_and_opens), 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(alps_step(&forked, &state), 0);
    CHECK_EQ(alps_whole(&forked, &nodes), 0);
    CHECK_EQ(alps_close(&forked), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void run_all(void)
{
    RUN(the_heap_works_beyond_its_memory);
    RUN(a_fence_writes_what_has_changed);
    RUN(a_power_failure_loses_nothing_that_was_durable);
    RUN(a_kill_loses_nothing);
    RUN(threads_share_the_heap_while_it_outgrows_its_memory);
    RUN(a_snapshot_has_what_is_in_memory);
    RUN(what_is_behind_the_region_is_not_its_own);
    RUN(system_calls_take_what_is_pinned);
    RUN(without_a_policy_the_region_is_whole_when_it_is_closed);
    RUN(without_a_policy_a_kill_is_told);
    RUN(a_child_may_only_close);
}

int main(void)
{
#ifdef CHECK_EMULATED
    RUN(an_emulator_maps_in_another_way);
    return check_end("outgrow");
#endif
    folder_make();
    with_each_engine(run_all);
    folder_remove();
    return check_end("outgrow");
}
