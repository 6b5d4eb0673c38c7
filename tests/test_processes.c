/* test_processes.c -- several processes on one region
 *
 * They allocate objects, hand them to each other through words of the root,
 * and free what they got. One is killed while it holds a lock of the region, or
 * stopped: who is dead is taken over, who is only stopped is waited for. */
#include "model.h"

#define BOXES 24
#define ROOM (4u << 20)

struct root {
    alps_off box[BOXES]; // objects on their way to somebody
    alps_off slot[8];    // one for each process alone
};

/* Beside the region, so that no fault in it can mislead the test. */
struct board {
    uint64_t ready, go, done; // a child says, is told, says
    uint64_t off;             // what it tells besides
    uint64_t token[BOXES];    // seed of what is in a box
};

static any_heap heap;
static struct board *board;
static const char *name; // of the region
static unsigned rounds, me;

static uint64_t room = ROOM; // bytes of the region

static alps_options options(unsigned flags)
{
    alps_options o = small(room, 65536);
    o.processes = 8;
    o.flags = flags;
    return o;
}

static int attach(any_heap *h, unsigned flags)
{
    alps_options o = options(flags);
    return any_open(h, name, &o);
}

static void begin(void)
{
    memset(board, 0, sizeof *board);
    name = medium.remove == alps_backend_shmem_.remove ? shm_name("processes")
                                                       : disk_path("processes");
    static char kept[80];
    snprintf(kept, sizeof kept, "%s", name);
    name = kept;
    CHECK_EQ(attach(&heap, ALPS_CREATE | ALPS_EXCLUSIVE), 0);
}

static void end(void)
{
    CHECK_EQ(any_close(&heap), 0);
    CHECK_EQ(any_remove(name), 0);
}

static struct root *root_of(any_heap *h)
{
    return (struct root *)any_root(h, sizeof(struct root));
}

static unsigned attached(void)
{
    alps_description d;
    CHECK_EQ(any_describe(&heap, &d), 0);
    return d.attached;
}

/* Everything is free, and no trace of anybody else is left. */
static void nothing_is_left(void)
{
    alps_statistics s;
    CHECK(sound(&heap));
    CHECK_EQ(any_reap(&heap), 0);
    CHECK_EQ(attached(), 1);
    CHECK_EQ(any_stats(&heap, &s), 0);
    CHECK_EQ(s.reserved, 0);
    CHECK(one_block_again(&heap));
    CHECK(sound(&heap));
}

/* ---- objects from process to process */

static void *make_object(any_heap *h, int reserved)
{
    uint64_t n = 16 + 8 * throw_of(throw_of(50) ? 50 : 6000);
    void *p = reserved ? any_reserve(h, (size_t)n) : any_alloc(h, (size_t)n);
    if (p)
        token_fill(p, n, dice);
    return p;
}

/* Puts an object into a box, frees the one it finds there. */
static int exchange_box(any_heap *h, struct root *r)
{
    unsigned i = (unsigned)throw_of(BOXES);
    void *p = throw_of(3) ? make_object(h, 0) : NULL;
    alps_off off = p ? any_off_of(h, p) : 0;
    alps_off got = __atomic_exchange_n(&r->box[i], off, __ATOMIC_ACQ_REL);
    void *q = any_at(h, got);
    if (q && !token_whole(q))
        return 21;
    return q && any_free(h, q) ? 22 : 0;
}

/* Publishes into the slot of this process, or releases what is there. */
static int turn_slot(any_heap *h, alps_off *slot)
{
    if (*slot) {
        if (!token_whole(any_at(h, *slot)))
            return 31;
        return any_release(h, slot) || *slot ? 32 : 0;
    }
    void *p = make_object(h, 1);
    return !p || any_publish(h, slot, p) ? 33 : 0;
}

static int child_exchanges(void)
{
    any_heap h;
    dice = 88172645463325252ull + 7919 * (uint64_t)getpid();
    if (attach(&h, 0))
        return 10;
    struct root *r = root_of(&h);
    __atomic_fetch_add(&board->ready, 1, __ATOMIC_ACQ_REL);
    if (!await(&board->go, 1))
        return 11;
    for (unsigned i = 0; i < rounds; i++) {
        int err =
            throw_of(3) ? exchange_box(&h, r) : turn_slot(&h, &r->slot[me]);
        if (err)
            return err;
        if (throw_of(64) == 0 && any_cancel(&h, make_object(&h, 1)))
            return 12;
    }
    return any_close(&h) ? 13 : 0;
}

/* Starts `n` of them; returns when all are attached and off. */
static void start_exchange(pid_t pid[], unsigned n)
{
    for (me = 0; me < n; me++)
        pid[me] = start_child(child_exchanges);
    CHECK(await(&board->ready, n));
    tell(&board->go, 1);
}

static void empty_root(void)
{
    struct root *r = root_of(&heap);
    for (unsigned i = 0; i < BOXES; i++) {
        void *p = any_at(&heap, r->box[i]);
        CHECK(!p || token_whole(p));
        CHECK_EQ(any_free(&heap, p), 0);
        r->box[i] = 0;
    }
    for (unsigned i = 0; i < 8; i++)
        CHECK_EQ(any_release(&heap, &r->slot[i]), 0);
}

static void exchange(unsigned n, unsigned each)
{
    pid_t pid[8];
    begin();
    rounds = each / SLOW;
    start_exchange(pid, n);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(end_of(pid[i]), 0);
    empty_root();
    nothing_is_left();
    end();
}

static void processes_free_what_others_allocated(void)
{
    exchange(2, 20000);
    exchange(4, 10000);
}

static void processes_share_a_file(void)
{
    choose(&alps_backend_file_, &quiet);
    exchange(3, 10000);
    choose(&alps_backend_file_, &alps_policy_msync_);
    exchange(3, 100 * SLOW); // which waits for the disk
}

/* One of them is killed in the middle; the others go on, and what it held
 * comes back. What it had in its hands, allocated and not yet in a box, may
 * stay: it is at most two blocks. */
static int in_a_box(void *context, void *p, size_t n)
{
    struct root *r = root_of(&heap);
    alps_off off = any_off_of(&heap, p);
    int there = 0;
    (void)n;
    for (unsigned i = 0; i < BOXES; i++)
        there |= r->box[i] == off;
    for (unsigned i = 0; i < 8; i++)
        there |= r->slot[i] == off;
    if (!there) {
        ++*(unsigned *)context;
        CHECK_EQ(any_free(&heap, p), 0);
    }
    return 0;
}

static void the_death_of_one_does_not_stop_the_others(void)
{
    pid_t pid[3];
    for (unsigned i = 0; i < 20 / SLOW; i++) {
        unsigned strays = 0;
        begin();
        rounds = 3000;
        start_exchange(pid, 3);
        nap((long)throw_of(3000));
        CHECK_EQ(kill(pid[0], SIGKILL), 0);
        int first = end_of(pid[0]);
        CHECK(first == 1000 + SIGKILL || first == 0);
        CHECK_EQ(end_of(pid[1]), 0);
        CHECK_EQ(end_of(pid[2]), 0);
        CHECK_EQ(any_reap(&heap), 0);
        CHECK(sound(&heap));
        CHECK_EQ(any_each(&heap, in_a_box, &strays), 0);
        CHECK(strays <= 2);
        empty_root();
        nothing_is_left();
        end();
    }
}

/* ---- locks of the dead */

static int child_dies_with_the_lock(void)
{
    any_heap h;
    if (attach(&h, 0) || !any_reserve(&h, 500) || !any_alloc(&h, 100))
        return 1;
    alps_lock_all_(&h.core, &any_tables_);
    for (alps_shard *s = h.core.shards; s <= h.core.top; s++) {
        s->index.rows = 0x0f0f0f0f0f0f0f0full; // half way through something
        s->index.head[3][5] = 12345;
        s->index.columns[0] = ~0u;
    }
    raise(SIGKILL);
    return 2;
}

static void the_lock_of_a_dead_process_is_broken(void)
{
    begin();
    void *p = any_alloc(&heap, 300);
    CHECK_EQ(end_of(start_child(child_dies_with_the_lock)), 1000 + SIGKILL);
    CHECK(heap.core.shared->lock != 0);
    uint64_t built = heap.core.shards->built;
    void *q = any_alloc(&heap, 200);
    CHECK(q != NULL && q != p);
    CHECK(heap.core.shards->built != built); // every extent is built anew
    CHECK(sound(&heap));
    CHECK_EQ(attached(), 1);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK_EQ(any_free(&heap, q), 0);
    alps_statistics s;
    CHECK_EQ(any_stats(&heap, &s), 0);
    CHECK_EQ(s.blocks, 1); // its own, which it allocated for good
    CHECK_EQ(s.reserved, 0);
    end();
}

static int child_opens_and_closes(void)
{
    any_heap h;
    return attach(&h, 0) ? 1 : any_close(&h) ? 2 : 0;
}

/* The next to meet it is one that attaches. */
static void an_opener_breaks_the_lock_of_a_dead_process(void)
{
    begin();
    CHECK_EQ(end_of(start_child(child_dies_with_the_lock)), 1000 + SIGKILL);
    CHECK_EQ(end_of(start_child(child_opens_and_closes)), 0);
    CHECK_EQ(heap.core.shared->lock, 0);
    CHECK(sound(&heap));
    CHECK_EQ(attached(), 1);
    end();
}

static int child_dies_with_all_lanes(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    for (unsigned i = 0; i < h.core.at.lane_count; i++)
        (void)alps_lock_try_(&h.core.lanes[i].lock, h.core.local->owner);
    raise(SIGKILL);
    return 2;
}

static void the_lanes_of_a_dead_process_are_taken_over(void)
{
    begin();
    struct root *r = root_of(&heap);
    CHECK_EQ(end_of(start_child(child_dies_with_all_lanes)), 1000 + SIGKILL);
    CHECK(heap.core.lanes[0].lock && heap.core.lanes[1].lock);
    void *p = any_reserve(&heap, 300);
    CHECK_EQ(any_publish(&heap, &r->slot[0], p), 0);
    CHECK_EQ(any_release(&heap, &r->slot[0]), 0);
    nothing_is_left();
    end();
}

/* A block is neither used nor in the index while its free is under way, an
 * object neither live nor to be handed out. */
static int child_dies_in_a_free(void)
{
    any_heap h;
    alps_block b;
    alps_object o;
    if (attach(&h, 0))
        return 1;
    alps_lane *lane = alps_lane_take_(&h.core, &any_tables_);
    if (alps_object_at_(&h.core, board->off, &o) == 1) {
        alps_store_(&lane->held, board->off);
        alps_object_pin_(&o, 1);
        if (alps_far_turn_(&o))
            return 2;
        raise(SIGKILL);
    }
    if (alps_heap_own_(&h.core, board->off, ALPS_USED, &b, &any_tables_))
        return 2;
    alps_heap_hold_(lane, &b);
    alps_block_unlock_(&b);
    raise(SIGKILL);
    return 3;
}

static void a_free_that_was_cut_short_is_completed(void)
{
    static const size_t size[] = {100, 3000, 200000};
    for (unsigned i = 0; i < 3; i++) {
        begin();
        void *p = any_alloc(&heap, size[i]);
        board->off = any_off_of(&heap, p);
        CHECK_EQ(end_of(start_child(child_dies_in_a_free)), 1000 + SIGKILL);
        CHECK_EQ(any_free(&heap, p), ALPS_EINVALID_FREE);
        CHECK(sound(&heap));
        nothing_is_left();
        end();
    }
}

static int child_dies_with_reservations(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    while (any_reserve(&h, 1000))
        ;
    while (any_reserve(&h, 10))
        ;
    raise(SIGKILL);
    return 2;
}

static int child_dies_with_a_reservation(void)
{
    any_heap h;
    if (attach(&h, 0) || !any_reserve(&h, 1000) || !any_reserve(&h, 100000))
        return 1;
    raise(SIGKILL);
    return 2;
}

/* Also when the dead one held all there was. */
static void reservations_of_the_dead_come_back_when_they_are_needed(void)
{
    begin();
    CHECK_EQ(end_of(start_child(child_dies_with_reservations)), 1000 + SIGKILL);
    CHECK_EQ(attached(), 2);
    void *p = any_alloc(&heap, 5000);
    CHECK(p != NULL);
    CHECK_EQ(attached(), 1);
    CHECK_EQ(any_free(&heap, p), 0);
    CHECK(sound(&heap));
    end();
}

/* Reserves until the table is full: first the end of an extent, then whole
 * extents, so that the table, which grows meanwhile, lies next to the first. */
static int child_fills_the_table(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    for (unsigned i = 0; i < 512; i++)
        if (!any_reserve(&h, i < 128 || i >= 256 ? 64 : 65536))
            return 2;
    tell(&board->ready, 1);
    if (!await(&board->go, 1))
        return 3;
    raise(SIGKILL);
    return 4;
}

/* The table is full, and so is the region, until what the dead one held comes
 * back in the middle of making the table larger: in its own place. */
static void the_table_survives_the_return_of_the_dead(void)
{
    void *p[64], *block;
    room = 9u << 20;
    begin();
    pid_t pid = start_child(child_fills_the_table);
    CHECK(await(&board->ready, 1));
    while ((block = any_alloc(&heap, 64)) != NULL)
        token_fill(block, 64, 1);
    CHECK_EQ(any_error(&heap), ALPS_EFULL);
    tell(&board->go, 1);
    CHECK_EQ(end_of(pid), 1000 + SIGKILL);
    for (unsigned i = 0; i < 64; i++) {
        CHECK((p[i] = any_reserve(&heap, 64)) != NULL);
        if (p[i])
            token_fill(p[i], 64, i);
    }
    CHECK(sound(&heap));
    while ((block = any_alloc(&heap, 64)) != NULL)
        token_fill(block, 64, 2);
    for (unsigned i = 0; i < 64 && !check_bad_; i++) {
        CHECK(token_whole(p[i]));
        CHECK_EQ(any_cancel(&heap, p[i]), 0);
    }
    CHECK(sound(&heap));
    end();
    room = ROOM;
}

static int child_reserves_and_waits(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    void *p = any_reserve(&h, 300);
    board->off = p ? any_off_of(&h, p) : 0;
    tell(&board->ready, 1);
    if (!await(&board->go, 1))
        return 2;
    return any_cancel(&h, p) || any_close(&h) ? 3 : 0;
}

static void a_reservation_belongs_to_its_process(void)
{
    begin();
    struct root *r = root_of(&heap);
    pid_t pid = start_child(child_reserves_and_waits);
    CHECK(await(&board->ready, 1));
    void *p = any_at(&heap, board->off);
    CHECK(p != NULL);
    CHECK_EQ(any_free(&heap, p), ALPS_EOWNER);
    CHECK_EQ(any_cancel(&heap, p), ALPS_EOWNER);
    CHECK_EQ(any_publish(&heap, &r->slot[0], p), ALPS_EOWNER);
    CHECK_EQ(r->slot[0], 0);
    CHECK(sound(&heap));
    CHECK_EQ(attached(), 2);
    CHECK_EQ(any_reap(&heap), 0); // nobody is dead
    CHECK_EQ(attached(), 2);
    CHECK_EQ(any_usable(&heap, p), 320);
    tell(&board->go, 1);
    CHECK_EQ(end_of(pid), 0); // it was still its own
    nothing_is_left();
    end();
}

/* ---- the stopped */

static int child_stops_with_the_lock(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    alps_lock_(&h.core, &any_tables_);
    uint64_t mine = h.core.shared->lock;
    raise(SIGSTOP);
    if (h.core.shared->lock != mine || mine != h.core.local->owner)
        return 2; // robbed
    alps_unlock_(&h.core);
    return any_close(&h) ? 3 : 0;
}

static int child_stops_with_all_lanes(void)
{
    any_heap h;
    alps_lane *lane[2];
    if (attach(&h, 0))
        return 1;
    for (int i = 0; i < 2; i++) {
        lane[i] = &h.core.lanes[i];
        (void)alps_lock_try_(&lane[i]->lock, h.core.local->owner);
    }
    raise(SIGSTOP);
    for (int i = 0; i < 2; i++) {
        if (lane[i]->lock != h.core.local->owner)
            return 2;
        alps_lock_leave_(&lane[i]->lock);
    }
    return any_close(&h) ? 3 : 0;
}

static int child_publishes(void)
{
    any_heap h;
    if (attach(&h, 0))
        return 1;
    struct root *r = root_of(&h);
    void *p = any_reserve(&h, 100);
    if (!p || any_publish(&h, &r->slot[0], p) || any_release(&h, &r->slot[0]))
        return 2;
    tell(&board->done, 1);
    return any_close(&h) ? 3 : 0;
}

static void stopped_is_not_dead(int (*stops)(void))
{
    int status = 0;
    begin();
    pid_t holder = start_child(stops);
    CHECK(waitpid(holder, &status, WUNTRACED) == holder);
    CHECK(WIFSTOPPED(status));
    pid_t waiter = start_child(child_publishes);
    nap(1200000);
    CHECK_EQ(__atomic_load_n(&board->done, __ATOMIC_ACQUIRE), 0);
    CHECK_EQ(kill(holder, SIGCONT), 0);
    CHECK(await(&board->done, 1));
    CHECK_EQ(end_of(holder), 0);
    CHECK_EQ(end_of(waiter), 0);
    nothing_is_left();
    end();
}

static void a_stopped_holder_of_the_lock_is_waited_for(void)
{
    stopped_is_not_dead(child_stops_with_the_lock);
}

static void a_stopped_holder_of_the_lanes_is_waited_for(void)
{
    stopped_is_not_dead(child_stops_with_all_lanes);
}

/* ---- who is who */

/* A medium that cannot tell who has it open. */
static int no_lease(alps_map *m, unsigned number)
{
    (void)m;
    (void)number;
    return ALPS_EUNSUPPORTED;
}

static void without_leases(void)
{
    medium.lease = medium.unlease = medium.leased = no_lease;
}

static void without_leases_the_process_is_asked_for(void)
{
    pid_t pid[2];
#ifdef CHECK_EMULATED
    SKIP("the emulator makes up the start times of processes");
    return;
#endif
    without_leases();
    begin();
    CHECK_EQ(end_of(start_child(child_dies_with_the_lock)), 1000 + SIGKILL);
    void *p = any_alloc(&heap, 100);
    CHECK(p != NULL);
    CHECK(sound(&heap));
    CHECK_EQ(attached(), 1);
    pid[0] = start_child(child_reserves_and_waits);
    CHECK(await(&board->ready, 1));
    CHECK_EQ(any_reap(&heap), 0);
    CHECK_EQ(attached(), 2); // it lives
    pid[1] = start_child(child_opens_and_closes);
    CHECK_EQ(end_of(pid[1]), 0); // and is seen by others
    CHECK_EQ(attached(), 2);
    tell(&board->go, 1);
    CHECK_EQ(end_of(pid[0]), 0);
    CHECK_EQ(attached(), 1);
    CHECK(sound(&heap));
    end();
}

/* The number of a dead process now belongs to another one: this one. */
static void a_pid_that_was_given_out_again_is_nobody(void)
{
#ifdef CHECK_EMULATED
    SKIP("the emulator makes up the start times of processes");
    return;
#endif
    without_leases();
    begin();
    CHECK_EQ(end_of(start_child(child_dies_with_a_reservation)),
             1000 + SIGKILL);
    CHECK_EQ(attached(), 2);
    alps_slot *theirs = &heap.core.slots[1];
    CHECK(theirs->generation & 1);
    theirs->pid = (uint64_t)getpid(); // but it started at another time
    theirs->start--;
    CHECK_EQ(any_reap(&heap), 0);
    CHECK_EQ(attached(), 1);
    nothing_is_left();
    end();
}

/* A slot is used again by another generation; what the first one wrote into a
 * lock word is void, though somebody is in the slot. */
static void an_older_generation_owns_nothing(void)
{
    any_heap a, b;
    begin();
    CHECK_EQ(attach(&a, 0), 0);
    uint64_t first = a.core.local->owner;
    CHECK_EQ(any_close(&a), 0);
    CHECK_EQ(attach(&b, 0), 0);
    CHECK_EQ(b.core.local->owner & 0xffff, first & 0xffff); // the same slot
    CHECK(b.core.local->owner != first);
    CHECK(alps_owner_lives_(&heap.core, b.core.local->owner, &any_tables_));
    CHECK(!alps_owner_lives_(&heap.core, first, &any_tables_));
    heap.core.shared->lock = first;
    void *p = any_alloc(&heap, 100);
    CHECK(p != NULL);
    CHECK(alps_slot_owner_(&heap.core, b.core.slot) == b.core.local->owner);
    CHECK_EQ(any_free(&b, any_at(&b, any_off_of(&heap, p))), 0);
    CHECK_EQ(any_close(&b), 0);
    nothing_is_left();
    end();
}

int main(void)
{
    board = (struct board *)board_make(sizeof *board);
    if (!board)
        return 2;
    RUN_BOTH(processes_free_what_others_allocated);
    RUN(processes_share_a_file);
    RUN_BOTH(the_death_of_one_does_not_stop_the_others);
    RUN_BOTH(the_lock_of_a_dead_process_is_broken);
    RUN_BOTH(an_opener_breaks_the_lock_of_a_dead_process);
    RUN_BOTH(the_lanes_of_a_dead_process_are_taken_over);
    RUN_BOTH(a_free_that_was_cut_short_is_completed);
    RUN_BOTH(reservations_of_the_dead_come_back_when_they_are_needed);
    RUN_BOTH(the_table_survives_the_return_of_the_dead);
    RUN_BOTH(a_reservation_belongs_to_its_process);
    RUN(a_stopped_holder_of_the_lock_is_waited_for);
    RUN(a_stopped_holder_of_the_lanes_is_waited_for);
    RUN_BOTH(without_leases_the_process_is_asked_for);
    RUN_BOTH(a_pid_that_was_given_out_again_is_nobody);
    RUN_BOTH(an_older_generation_owns_nothing);
    return check_end("processes");
}
