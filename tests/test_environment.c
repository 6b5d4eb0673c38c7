/* test_environment.c -- what the program left open, the environment says
 *
 * Its own word comes first; what is no number is refused; memory of the nodes
 * that are asked for where there are any. */
#include "model.h"

static any_heap heap;
static alps_options o;
static alps_description d;

static int opened(void)
{
    choose(&alps_backend_anon_, &alps_policy_none_);
    int err = any_open(&heap, NULL, &o);
    if (err)
        return err;
    CHECK_EQ(any_describe(&heap, &d), 0);
    return any_close(&heap);
}

static void what_is_left_open_is_asked_for(void)
{
    memset(&o, 0, sizeof o);
    setenv("ALPS_SIZE", "2M", 1);
    setenv("ALPS_LIMIT", "16M", 1);
    setenv("ALPS_EXTENT", "128K", 1);
    setenv("ALPS_LANES", "12", 1);
    setenv("ALPS_PROCESSES", "5", 1);
    CHECK_EQ(opened(), 0);
    CHECK_EQ(d.size, 2u << 20);
    CHECK_EQ(d.limit, 16u << 20);
    CHECK_EQ(d.extent, 128u << 10);
    CHECK_EQ(d.lanes, 12);
    CHECK_EQ(d.processes, 5);
    o.size = 1u << 20; // the program's own word comes first
    o.lanes = 9;
    CHECK_EQ(opened(), 0);
    CHECK_EQ(d.size, 1u << 20);
    CHECK_EQ(d.lanes, 9);
    CHECK_EQ(d.processes, 5);
    unsetenv("ALPS_LIMIT");
    unsetenv("ALPS_EXTENT");
    unsetenv("ALPS_LANES");
    unsetenv("ALPS_PROCESSES");
}

static void what_is_no_number_is_refused(void)
{
    static const char *const name[] = {
        "ALPS_SIZE",   "ALPS_LIMIT", "ALPS_EXTENT", "ALPS_SMALL",
        "ALPS_GROW",   "ALPS_NODES", "ALPS_LANES",  "ALPS_PROCESSES",
        "ALPS_SHARDS", "ALPS_STRICT"};
    memset(&o, 0, sizeof o);
    setenv("ALPS_SIZE", "2M", 1);
    for (unsigned i = 0; i < sizeof name / sizeof *name; i++) {
        setenv(name[i], "many", 1);
        CHECK_EQ(opened(), ALPS_EINVAL);
        setenv(name[i], i ? "" : "2M", 1); // nothing is nothing
        CHECK_EQ(opened(), 0);
        unsetenv(name[i]);
        setenv("ALPS_SIZE", "2M", 1);
    }
    setenv("ALPS_LANES", "5G", 1); // more than an unsigned
    CHECK_EQ(opened(), ALPS_EINVAL);
    unsetenv("ALPS_LANES");
    unsetenv("ALPS_SIZE");
}

/* The policy of the memory at `p`: 3 is interleaved; negative: not told. */
static int policy_of(const void *p)
{
    int mode = -1;
    return syscall(SYS_get_mempolicy, &mode, NULL, 0ul, p, 2ul) ? -1 : mode;
}

static void nodes_are_taken_in_turn_or_left_alone(void)
{
    memset(&o, 0, sizeof o);
    o.size = 1u << 20;
    o.nodes = 1; // the first node: every machine has it
    choose(&alps_backend_anon_, &alps_policy_none_);
    CHECK_EQ(any_open(&heap, NULL, &o), 0);
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK(d.nodes == 1 || d.nodes == 0);
    if (d.nodes && policy_of(heap.core.map.base) >= 0)
        CHECK_EQ(policy_of(heap.core.map.base), ALPS_MPOL_INTERLEAVE_);
    CHECK(any_alloc(&heap, 100) != NULL);
    CHECK_EQ(any_close(&heap), 0);
    uint64_t had = d.nodes;
    o.nodes = 1ull << 63; // there is none
    CHECK_EQ(opened(), 0);
    CHECK_EQ(d.nodes, 0);
    o.flags = ALPS_CREATE | ALPS_STRICT;
    CHECK_EQ(opened(), ALPS_EUNSUPPORTED);
    o.nodes = 1;
    CHECK_EQ(opened(), had ? 0 : ALPS_EUNSUPPORTED);
    choose(&alps_backend_file_, &alps_policy_none_); // of a file: as it likes
    CHECK_EQ(any_open(&heap, file_path("nodes"), &o), ALPS_EUNSUPPORTED);
    o.flags = ALPS_CREATE;
    CHECK_EQ(any_open(&heap, file_path("nodes"), &o), 0);
    CHECK_EQ(any_describe(&heap, &d), 0);
    CHECK_EQ(d.nodes, 0);
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(file_path("nodes")), 0);
}

int main(void)
{
    RUN(what_is_left_open_is_asked_for);
    RUN(what_is_no_number_is_refused);
    RUN(nodes_are_taken_in_turn_or_left_alone);
    return check_end("environment");
}
