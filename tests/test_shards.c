/* test_shards.c -- blocks of different threads come from different shards
 *
 * A test says by a word of its own which shard a thread prefers. Memory is
 * still one: what one shard lacks another has, a block goes back to where it
 * came from, and with nothing alive all is one block. A process that dies with
 * a lock of one shard voids that one alone. */
#include <stdint.h>
static __thread uintptr_t wanted; // which shard this thread prefers
#define ANY_APART
#define ALPS_THREAD_() (alps_thread_pointer_() / 65536 * 65536 + wanted * 4096)
#include "model.h"
#include <pthread.h>

#define SHARDS 4u
#define EXTENT 65536u
#define ROOM (48u * EXTENT)
#define BLOCKS 4096u

static any_heap heap;
static const char *name;
static void *block[BLOCKS];

static alps_options options(unsigned shards)
{
    alps_options o = small(ROOM, EXTENT);
    o.shards = shards;
    o.lanes = 16;
    o.small = 1; // blocks only
    return o;
}

static void begin(unsigned shards)
{
    static char kept[80];
    alps_options o = options(shards);
    snprintf(kept, sizeof kept, "%s", shm_name("shards"));
    name = kept;
    wanted = 0;
    CHECK_EQ(any_open(&heap, name, &o), 0);
    CHECK_EQ(heap.core.at.shard_count, shards);
}

static void end(void)
{
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(name), 0);
}

/* The shard that the block at `p` is of. */
static unsigned shard_of(const void *p)
{
    alps_block b;
    CHECK(alps_block_at_(&heap.core, any_off_of(&heap, p), &b) >= 0);
    return (unsigned)(b.shard - heap.core.shards);
}

/* ---- where blocks come from, and go to */

static void each_thread_has_its_shard(void)
{
    begin(SHARDS);
    for (wanted = 0; wanted < 2 * SHARDS; wanted++) {
        block[wanted] = any_alloc(&heap, 3000);
        CHECK(block[wanted] != NULL);
        CHECK_EQ(shard_of(block[wanted]), wanted % SHARDS);
    }
    for (wanted = 0; wanted < SHARDS; wanted++) // by another one each
        CHECK_EQ(any_free(&heap, block[2 * SHARDS - 1 - wanted]), 0);
    CHECK(sound(&heap));
    for (wanted = 0; wanted < SHARDS; wanted++) {
        CHECK_EQ(any_free(&heap, block[wanted]), 0);
        CHECK_EQ(any_free(&heap, block[wanted]), ALPS_EINVALID_FREE);
    }
    end();
}

/* It does not wait for who is in its shard, and stays where it went. */
static void who_meets_another_goes_elsewhere(void)
{
    begin(SHARDS);
    wanted = 1;
    heap.core.shards[1].lock = alps_self_(&heap.core); // as another thread
    block[0] = any_alloc(&heap, 3000);
    heap.core.shards[1].lock = 0;
    block[1] = any_alloc(&heap, 3000);
    wanted = 0;
    block[2] = any_alloc(&heap, 3000); // others stay where they are
    CHECK_EQ(shard_of(block[0]), 2);
    CHECK_EQ(shard_of(block[1]), 2);
    CHECK_EQ(shard_of(block[2]), 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(any_free(&heap, block[i]), 0);
    end();
}

/* Who takes and frees the only block of an extent leaves the region's line
 * alone; what many leave empty is told. */
static void empty_extents_are_told_a_few_at_once(void)
{
    begin(SHARDS);
    for (unsigned i = 0; i < 8; i++)
        CHECK((block[i] = any_alloc(&heap, EXTENT * 5 / 8)) != NULL);
    uint64_t before = heap.core.shared->idle;
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(any_free(&heap, block[i]), 0);
    uint64_t after = heap.core.shared->idle;
    CHECK(after >= before + 8 - 2 * ALPS_IDLE_FEW_ && after <= before + 16);
    CHECK_EQ(any_free(&heap, any_alloc(&heap, EXTENT * 5 / 8)), 0);
    after = heap.core.shared->idle;
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(any_free(&heap, any_alloc(&heap, EXTENT * 5 / 8)), 0);
        CHECK_EQ(heap.core.shared->idle, after);
    }
    end();
}

/* Allocates until nothing is left; answers how many. */
static unsigned fill(size_t n)
{
    unsigned i = 0;
    while (i < BLOCKS && (block[i] = any_alloc(&heap, n)) != NULL)
        i++;
    CHECK(i < BLOCKS);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    return i;
}

static void a_shard_that_is_full_takes_from_the_others(void)
{
    unsigned most[2];
    for (unsigned k = 0; k < 2; k++) {
        begin(k ? SHARDS : 1);
        void *first[SHARDS];
        for (wanted = 0; wanted < SHARDS; wanted++)
            CHECK((first[wanted] = any_alloc(&heap, 3000)) != NULL);
        wanted = 1;
        most[k] = fill(3000);
        CHECK(sound(&heap));
        wanted = 2; // nor is there any for another
        CHECK(any_alloc(&heap, 3000) == NULL);
        CHECK_EQ(any_free(&heap, first[0]), 0);
        void *p = any_alloc(&heap, 3000); // of shard 0, or of the only one
        CHECK_EQ(any_off_of(&heap, p), any_off_of(&heap, first[0]));
        CHECK_EQ(any_free(&heap, p), 0);
        for (unsigned i = 1; i < SHARDS; i++)
            CHECK_EQ(any_free(&heap, first[i]), 0);
        for (unsigned i = 0; i < most[k]; i++)
            CHECK_EQ(any_free(&heap, block[i]), 0);
        CHECK(sound(&heap));
        end();
    }
    // three extents are begun though one would do, and then filled
    CHECK(most[1] >= most[0] && most[1] <= most[0] + SHARDS);
}

static void runs_of_extents_come_from_all_shards(void)
{
    begin(SHARDS);
    for (unsigned i = 0; i < 64; i++) {
        wanted = i;
        CHECK((block[i] = any_alloc(&heap, 30000)) != NULL);
    }
    for (unsigned i = 0; i < 64; i++)
        CHECK_EQ(any_free(&heap, block[i]), 0);
    uint64_t extents = alps_extents_(&heap.core);
    void *p = any_alloc(&heap, (size_t)(extents * EXTENT)); // not trimmed
    CHECK(p != NULL);
    CHECK(any_alloc(&heap, 100) == NULL);
    CHECK_EQ(any_free(&heap, p), 0);
    end();
}

static void reservations_are_in_the_table_of_their_shard(void)
{
    begin(SHARDS);
    for (unsigned i = 0; i < 1200; i++) { // the tables move
        wanted = i / 3;
        CHECK((block[i] = any_reserve(&heap, 1000)) != NULL);
    }
    CHECK(sound(&heap));
    for (unsigned i = 0; i < SHARDS; i++) {
        const alps_shard *s = &heap.core.shards[i];
        CHECK(s->held_used > 256);
        CHECK(alps_held_place_(s) != alps_held_first_(&heap.core, s));
    }
    for (unsigned i = 0; i < 1200; i++) {
        wanted = i;
        if (i % 2)
            CHECK_EQ(any_cancel(&heap, block[i]), 0);
        else
            CHECK_EQ(any_free(&heap, block[i]), 0);
    }
    end();
}

/* An epoch begins with extents that have no shard; who needs one gets it. */
static void the_next_epoch_shares_the_extents_out_anew(void)
{
    begin(SHARDS);
    for (unsigned i = 0; i < 400; i++) {
        wanted = i;
        block[i] = any_alloc(&heap, 3000);
        CHECK(block[i] != NULL);
        block[i] = (void *)(uintptr_t)any_off_of(&heap, block[i]);
    }
    CHECK_EQ(any_close(&heap), 0);
    alps_options o = options(2); // what it was made with counts
    CHECK_EQ(any_open(&heap, name, &o), 0);
    CHECK_EQ(heap.core.at.shard_count, SHARDS);
    for (unsigned i = 0; i < 400; i++) {
        wanted = i / 2;
        void *p = any_alloc(&heap, 2000);
        CHECK(p != NULL);
        CHECK_EQ(any_free(&heap, any_at(&heap, (alps_off)(uintptr_t)block[i])),
                 0);
        CHECK_EQ(any_free(&heap, p), 0);
        if (i % 50 == 0)
            CHECK(sound(&heap));
    }
    end();
}

/* What waits for readers is in the tables of all shards. */
static void what_is_retired_goes_back_to_its_shard(void)
{
    begin(SHARDS);
    for (unsigned i = 0; i < 300; i++) {
        wanted = i;
        CHECK((block[i] = any_alloc(&heap, 2000)) != NULL);
    }
    wanted = 0;
    CHECK_EQ(any_enter(&heap), 0);
    for (unsigned i = 0; i < 300; i++)
        CHECK_EQ(any_retire(&heap, block[i]), 0);
    CHECK_EQ(any_retire(&heap, block[7]), ALPS_EINVALID_FREE);
    CHECK_EQ(any_free(&heap, block[8]), ALPS_EINVALID_FREE);
    CHECK(sound(&heap));
    CHECK_EQ(any_leave(&heap), 0);
    CHECK_EQ(any_trim(&heap), 0);
    CHECK(sound(&heap));
    end();
}

/* ---- the dead */

static int child_dies_in_a_shard(void)
{
    any_heap h;
    alps_options o = options(SHARDS);
    wanted = 1; // its slot is one more: shard 2
    if (any_open(&h, name, &o) || !any_reserve(&h, 3000))
        return 1;
    alps_shard *s = alps_shard_home_(&h.core);
    alps_shard_lock_(&h.core, s, 0, &any_tables_);
    s->index.rows = 0x0f0f0f0f0f0f0f0full; // half way through something
    s->index.head[3][5] = 12345;
    raise(SIGKILL);
    return 2;
}

static void one_who_dies_voids_one_shard(void)
{
    uint64_t built[SHARDS];
    begin(SHARDS);
    for (wanted = 0; wanted < SHARDS; wanted++)
        CHECK((block[wanted] = any_alloc(&heap, 3000)) != NULL);
    for (unsigned i = 0; i < SHARDS; i++)
        built[i] = heap.core.shards[i].built;
    CHECK_EQ(end_of(start_child(child_dies_in_a_shard)), 1000 + SIGKILL);
    CHECK(heap.core.shards[2].lock != 0);
    wanted = 2;
    void *p = any_alloc(&heap, 3000);
    CHECK(p != NULL);
    for (unsigned i = 0; i < SHARDS; i++)
        CHECK_EQ(heap.core.shards[i].built != built[i], i == 2);
    CHECK(sound(&heap));
    alps_statistics s;
    CHECK_EQ(any_stats(&heap, &s), 0);
    CHECK_EQ(s.reserved, 0); // the dead one is gone with what it had
    CHECK_EQ(any_free(&heap, p), 0);
    for (unsigned i = 0; i < SHARDS; i++)
        CHECK_EQ(any_free(&heap, block[i]), 0);
    end();
}

/* Nobody waits for that lock: the dead one is found by the explicit way. */
static void a_reap_takes_the_locks_of_the_dead(void)
{
    begin(SHARDS);
    CHECK_EQ(end_of(start_child(child_dies_in_a_shard)), 1000 + SIGKILL);
    CHECK_EQ(any_reap(&heap), 0);
    CHECK_EQ(heap.core.shards[2].lock, 0);
    CHECK(sound(&heap));
    end();
}

/* Its table of reservations has moved; it dies in publishes of all of them:
 * the blocks are used, and the table says that they are held. */
static int child_dies_in_publishes(void)
{
    any_heap h;
    alps_options o = options(SHARDS);
    wanted = 1;
    if (any_open(&h, name, &o))
        return 1;
    uint64_t *off = (uint64_t *)any_root(&h, 4096);
    for (unsigned i = 0; i < 400; i++)
        off[i] = any_off_of(&h, any_reserve(&h, 1000));
    alps_shard *s = alps_shard_home_(&h.core);
    alps_shard_lock_(&h.core, s, 0, &any_tables_);
    for (unsigned i = 0; i < 400; i++) {
        alps_block b;
        if (alps_block_at_(&h.core, off[i], &b) != ALPS_HELD || b.shard != s)
            return 3;
        alps_code_set_(b.zone.codes, b.unit, ALPS_USED);
    }
    raise(SIGKILL);
    return 2;
}

static void the_table_of_a_dead_one_is_given_up(void)
{
    alps_statistics s;
    begin(SHARDS);
    CHECK_EQ(end_of(start_child(child_dies_in_publishes)), 1000 + SIGKILL);
    CHECK(alps_held_place_(&heap.core.shards[2]) !=
          alps_held_first_(&heap.core, &heap.core.shards[2]));
    CHECK_EQ(any_reap(&heap), 0);
    CHECK(sound(&heap));
    const uint64_t *off = (const uint64_t *)any_root(&heap, 4096);
    for (unsigned i = 0; i < 400; i++)
        CHECK_EQ(any_free(&heap, any_at(&heap, off[i])), 0);
    CHECK_EQ(any_stats(&heap, &s), 0);
    CHECK_EQ(s.reserved, 0);
    CHECK_EQ(heap.core.shards[2].held_used, 0);
    CHECK(sound(&heap));
    end();
}

/* ---- many at once */

#define THREADS 4u
#define MINE 40u

static alps_off box[64]; // blocks on their way to somebody
static unsigned bad;

static void put_away(void *p)
{
    if (p && (!token_whole(p) || any_free(&heap, p)))
        __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
}

/* Allocates blocks of all sizes, frees them, and those of others. */
static void *hammer(void *argument)
{
    uint64_t own = 77 + (uint64_t)(uintptr_t)argument;
    void *mine[MINE] = {NULL};
    wanted = (uintptr_t)argument;
    for (unsigned round = 0; round < 20000 / SLOW; round++) {
        own = own * 6364136223846793005u + 1442695040888963407u;
        unsigned i = (unsigned)(own >> 33) % MINE;
        put_away(mine[i]);
        uint64_t n = 2000 + (own >> 40) % 6000;
        if ((own >> 50) % 64 == 0)
            n = 2 * EXTENT;
        mine[i] = any_alloc(&heap, (size_t)n);
        if (mine[i])
            token_fill(mine[i], n, own);
        alps_off out =
            __atomic_exchange_n(&box[(own >> 20) % 64],
                                any_off_of(&heap, mine[i]), __ATOMIC_ACQ_REL);
        mine[i] = NULL;
        put_away(any_at(&heap, out));
        i = (unsigned)(own >> 17) % MINE;
        if (!mine[i] && (mine[i] = any_alloc(&heap, 64)) != NULL)
            token_fill(mine[i], 64, own);
    }
    for (unsigned i = 0; i < MINE; i++)
        put_away(mine[i]);
    return NULL;
}

static void threads_share_the_shards(void)
{
    pthread_t thread[THREADS];
    begin(2); // fewer than there are threads
    bad = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, hammer, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
    for (unsigned i = 0; i < 64; i++) {
        put_away(any_at(&heap, box[i]));
        box[i] = 0;
    }
    CHECK_EQ(bad, 0);
    CHECK(sound(&heap));
    end();
}

int main(void)
{
    RUN_BOTH(each_thread_has_its_shard);
    RUN_BOTH(who_meets_another_goes_elsewhere);
    RUN_BOTH(empty_extents_are_told_a_few_at_once);
    RUN_BOTH(a_shard_that_is_full_takes_from_the_others);
    RUN_BOTH(runs_of_extents_come_from_all_shards);
    RUN_BOTH(reservations_are_in_the_table_of_their_shard);
    RUN_BOTH(the_next_epoch_shares_the_extents_out_anew);
    RUN_BOTH(what_is_retired_goes_back_to_its_shard);
    RUN_BOTH(one_who_dies_voids_one_shard);
    RUN_BOTH(a_reap_takes_the_locks_of_the_dead);
    RUN_BOTH(the_table_of_a_dead_one_is_given_up);
    RUN_BOTH(threads_share_the_shards);
    return check_end("shards");
}
