/* test_paged.c -- the paged backend keeps the contract, whoever pages */
#include "../alps.h"
#include "races.h"
#include "told.h"

ALPS_HANDLER(handler);
static unsigned engine;

/* The backend under test: with a handler, as an instance hands it. */
static int with_handler(alps_map *m, const char *at, const alps_options *o)
{
    alps_options own;
    memset(&own, 0, sizeof own);
    if (o)
        own = *o;
    own.faults = &handler;
    own.engine = m->flags & ALPS_READ_ONLY ? 0 : engine;
    own.memory = 1u << 20;
    own.segment = 16384;
    return alps_backend_paged_.open(m, at, &own);
}

static void who_keeps_parts_of_a_file_is_alone(void)
{
    alps_map a, b;
    path_to("alone");
    CHECK_EQ(open_whole(&a, ALPS_CREATE, 4u << 20), 0);
    CHECK_EQ(a.apart, 1);
    CHECK_EQ(try_open(&b, 0), ALPS_EBUSY);
    CHECK_EQ(try_open(&b, ALPS_READ_ONLY), ALPS_EBUSY);
    const alps_backend *ours = backend;
    backend = &alps_backend_file_; // by its other name
    CHECK_EQ(try_open(&b, 0), ALPS_EBUSY);
    CHECK_EQ(try_open(&b, ALPS_READ_ONLY), ALPS_EBUSY);
    backend = ours;
    a.base[3u << 20] = 7;
    CHECK_EQ(backend->close(&a), 0);
    CHECK_EQ(open_whole(&b, ALPS_READ_ONLY, 0), 0);
    CHECK_EQ(b.apart, 0);
    CHECK_EQ(b.base[3u << 20], 7);
    close_and_remove(&b);
}

static void who_shares_a_file_does_not_keep_parts_of_it(void)
{
    alps_map a, b;
    const alps_backend *ours = backend;
    unsigned was = engine;
    path_to("shared");
    backend = &alps_backend_file_;
    CHECK_EQ(open_whole(&a, ALPS_CREATE, 4u << 20), 0);
    backend = ours;
    CHECK_EQ(open_whole(&b, 0, 0), ALPS_EBUSY); // it was asked for
    CHECK_EQ(backend->close(&b), 0);
    engine = 0;
    CHECK_EQ(open_whole(&b, 0, 0), 0);
    CHECK_EQ(b.pager->engine, ALPS_ENGINE_KERNEL);
    CHECK(strstr(b.pager->why, "elsewhere") != NULL);
    a.base[5] = 5;
    CHECK_EQ(b.base[5], 5);
    CHECK_EQ(backend->close(&a), 0);
    engine = was;
    close_and_remove(&b);
}

static void what_outgrows_its_memory_changes_over_in_place(void)
{
    alps_map m;
    unsigned was = engine;
    int bad = 0;
    engine = 0;
    path_to("outgrows");
    CHECK_EQ(open_whole(&m, ALPS_CREATE, 1u << 19), 0);
    CHECK_EQ(m.pager->engine, ALPS_ENGINE_KERNEL);
    const unsigned char *base = m.base;
    for (uint64_t i = 0; i < 1u << 19; i++)
        m.base[i] = (unsigned char)(i / 100);
    CHECK_EQ(backend->resize(&m, 3u << 20), 0);
    CHECK_EQ(m.pager->engine, ALPS_ENGINE_REWIRE);
    CHECK_EQ(m.apart, 1);
    CHECK(m.base == base);
    for (uint64_t i = 0; i < 1u << 19; i++)
        bad += m.base[i] != (unsigned char)(i / 100);
    for (uint64_t i = 1u << 19; i < 3u << 20; i += 5000)
        m.base[i] = 8;
    for (uint64_t i = 1u << 19; i < 3u << 20; i += 5000)
        bad += m.base[i] != 8;
    CHECK_EQ(bad, 0);
    CHECK(m.pager->count.evictions > 0);
    m.base[1000002] = 9;
    CHECK_EQ(backend->resize(&m, 1000001), 0); // and shrinks
    CHECK_EQ(backend->resize(&m, 2000001), 0);
    for (uint64_t i = 1000001; i < 2000001; i++)
        bad += m.base[i] != 0;
    CHECK_EQ(bad, 0);
    close_and_remove(&m);
    engine = was;
}

static void run_all(void)
{
    RUN(a_new_medium_is_empty);
    RUN(without_create_nothing_is_made);
    RUN(a_refused_open_leaves_nothing_open);
    RUN(growth_happens_in_place);
    RUN(blocks_are_reserved);
    RUN(bases_are_aligned);
    RUN(punched_pages_read_as_zero);
    RUN(a_full_medium_is_a_code);
    RUN(the_guard_keeps_others_out);
    RUN(what_vanished_meanwhile_is_made_anew);
    RUN(a_killed_process_leaves_the_guard);
    RUN(read_only_never_writes);
}

int main(void)
{
    alps_backend ours = alps_backend_paged_;
    ours.open = with_handler;
    backend = &ours;
    folder_make();
    engine = ALPS_ENGINE_KERNEL;
    run_all();
    RUN(exclusive_means_that_there_is_none);
    RUN(fewer_addresses_are_held_where_there_are_not_so_many);
    RUN(the_limit_of_the_process_is_a_code);
    RUN(a_slow_remover_is_waited_for);
    RUN(openers_and_removers_agree);
    RUN(growth_by_another_needs_no_remap);
    RUN(a_lease_has_one_holder);
    RUN(a_killed_process_loses_its_leases);
    RUN(an_open_medium_is_not_removed);
    RUN(one_of_many_creates_and_all_open);
    RUN(one_of_many_creates_exclusively);
    engine = ALPS_ENGINE_REWIRE;
#ifdef CHECK_EMULATED // which shows its own faults and mappings
    RUN(folder_remove);
    return check_end("test_paged");
#endif
    run_all();
    RUN(who_keeps_parts_of_a_file_is_alone);
    RUN(who_shares_a_file_does_not_keep_parts_of_it);
    RUN(what_outgrows_its_memory_changes_over_in_place);
    if (may_be_told()) {
        engine = ALPS_ENGINE_USERFAULTFD;
        run_all();
        RUN(who_keeps_parts_of_a_file_is_alone);
    }
    RUN(folder_remove);
    return check_end("test_paged");
}
