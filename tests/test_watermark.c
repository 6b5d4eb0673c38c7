/* test_watermark.c -- no more is dirty than was said, and a sync has less to do
 *
 * Memory is some 110 frames of 4 KiB; from half of them on segments are
 * written, until a fourth is dirty. */
#define ALPS_POLICY ALPS_CHECKPOINT
#include "pages.h"

static uint64_t wrote_at[300];
static volatile unsigned wrote;

static void medium_wrote(const void *p, size_t n, off_t off)
{
    (void)p;
    (void)n;
    if (wrote < 300)
        wrote_at[wrote++] = (uint64_t)off / 4096;
}

static void medium_synced(void)
{
}

static alps_options marked(unsigned high, unsigned low)
{
    alps_options o = paged(0);
    o.segment = 4096;
    o.memory = 512 * KIB;
    o.dirty_high = high;
    o.dirty_low = low;
    return o;
}

/* Dirty frames; both ways of counting agree. */
static uint32_t dirty(alps_pager *x)
{
    sigset_t old;
    alps_latch_enter_(&x->latch, &old);
    uint32_t n = (uint32_t)(alps_pool_dirty_(&x->pool, 0, x->pool.n) / 4096);
    CHECK_EQ(n, alps_watermark_count_(&x->mark));
    alps_latch_leave_(&x->latch, &old);
    return n;
}

/* Nobody is called from now on; or from so many. */
static uint32_t call_from(alps_pager *x, uint32_t high)
{
    sigset_t old;
    alps_latch_enter_(&x->latch, &old);
    uint32_t was = x->mark.high;
    x->mark.high = high;
    alps_latch_leave_(&x->latch, &old);
    return was;
}

/* What a thread of the region has to do, it does soon, and then it rests. */
static void wait_for(alps_pager *x)
{
    for (int i = 0; i < 5000 && dirty(x) > x->mark.low; i++)
        usleep(1000);
    CHECK(dirty(x) <= x->mark.low);
}

static void a_steady_writer_never_has_more(void)
{
    for (unsigned e = 1; e <= ALPS_EVICTIONS; e += SLOW) {
        alps_options o = marked(50, 0);
        uint64_t state = e;
        uint32_t most = 0;
        o.eviction = e;
        path_to("steady");
        unsigned char *p =
            (unsigned char *)alps_umalloc_with(the_path, 2 * MIB, &o);
        alps_pager *x = pager_of(p);
        CHECK_EQ(x->mark.high, x->pool.n / 2);
        CHECK_EQ(x->mark.low, x->pool.n / 4);
        unsigned char *model = (unsigned char *)calloc(1, 2 * MIB);
        for (unsigned i = 0; i < 1500; i++) {
            uint64_t at = rnd(&state) % (2 * MIB);
            p[at] = model[at] = (unsigned char)i;
            uint32_t n = dirty(x);
            most = n > most ? n : most;
        }
        CHECK(most <= x->mark.high && most > x->mark.low);
        CHECK(alps_writeback_count_(x).cleaned > 100);
        CHECK_EQ(alps_writeback_count_(x).syncs, 0); // nothing is durable
        alps_pager_call_(x);
        wait_for(x);
        uint32_t due = dirty(x);
        uint64_t before = alps_writeback_count_(x).bytes_written;
        CHECK_EQ(alps_usync(p), 0);
        CHECK(alps_writeback_count_(x).bytes_written - before <= due * 4096);
        CHECK_EQ(dirty(x), 0);
        CHECK_EQ(memcmp(p, model, 2 * MIB), 0);
        CHECK_EQ(alps_ufree(p), 0);
        CHECK(file_has(model, 0, 2 * MIB));
        free(model);
        unlink(the_path);
    }
}

static void hidden_ones_go_first_then_the_oldest(void)
{
    alps_options o = marked(100, 0);
    unsigned order[110] = {0}, bad = 0;
    path_to("order");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 2 * MIB, &o);
    alps_pager *x = pager_of(p);
    call_from(x, ~0u);
    for (uint32_t i = 0; i < x->pool.n; i++)
        p[i * 4096] = 1;
    for (uint32_t i = 20; i < 50; i++) // a second use: it is the latest
        (void)*(volatile unsigned char *)(p + i * 4096);
    (void)*(volatile unsigned char *)(p + 500 * 4096); // some are hidden
    CHECK_EQ(alps_writeback_pin_(x, 70 * 4096, 4096, 0), 0);
    sigset_t old;
    alps_latch_enter_(&x->latch, &old);
    unsigned hidden = 0, n = 0;
    for (uint32_t i = 0; i < x->pool.n; i++)
        hidden += x->pool.frame[i].state == ALPS_FRAME_HIDDEN;
    uint32_t first = x->mark.dirty->oldest[1];
    x->pool.frame[first].pins = 1; // as if it were leaving
    CHECK(alps_watermark_next_(&x->mark, &x->pool, 0) != first);
    x->pool.frame[first].pins = 0;
    CHECK_EQ(alps_watermark_next_(&x->mark, &x->pool, 0), first);
    wrote = 0;
    while (!alps_pager_clean_(x))
        n++;
    alps_latch_leave_(&x->latch, &old);
    CHECK(hidden > 10);
    CHECK_EQ(wrote, n);
    CHECK_EQ(dirty(x), x->pool.n - 1 - n);
    CHECK_EQ(dirty(x), x->young + 1); // the last stay as they are
    for (unsigned i = 0; i < n && i < 110; i++) {
        order[i] = (unsigned)wrote_at[i];
        bad += i && i != hidden && order[i] < order[i - 1];
        bad += order[i] == 70; // it is pinned
    }
    CHECK_EQ(bad, 0);
    alps_writeback_unpin_(x, 70 * 4096, 4096);
    alps_writeback_forget_(x, 70 * 4096, 4096);
    CHECK_EQ(dirty(x), x->young); // it is gone
    CHECK_EQ(alps_ufree(p), 0);
    unlink(the_path);
}

static void a_medium_that_fails_holds_nobody_up(void)
{
    alps_options o = marked(20, 10);
    path_to("fails");
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 2 * MIB, &o);
    alps_pager *x = pager_of(p);
    bad_write = ENOSPC;
    for (uint32_t i = 0; i < x->pool.n; i++)
        p[i * 4096] = 1;
    CHECK_EQ(dirty(x), x->pool.n); // there is no place for it
    CHECK_EQ(alps_usync(p), ALPS_ENOSPC);
    bad_write = 0;
    p[x->pool.n * 4096] = 1; // it is called again
    wait_for(x);
    bad_sync = EIO;
    CHECK_EQ(alps_usync(p), ALPS_EIO); // all of it is due once more
    CHECK_EQ(dirty(x), x->pool.n);
    bad_sync = 0;
    CHECK_EQ(alps_usync(p), x->lost);
    CHECK_EQ(dirty(x), 0);
    alps_ufree(p);
    unlink(the_path);
}

static void under_checkpoint_it_is_spilled(void)
{
    alps_heap h;
    unsigned char twos[4096];
    alps_options o = marked(50, 25);
    o.size = 4 * MIB;
    path_to("spilled");
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc_aligned(&h, 4096, MIB);
    uint64_t at = alps_off_of(&h, p);
    memset(twos, 2, 4096);
    memset(p, 2, MIB);
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(alps_discard(&h), 0);
    CHECK_EQ(alps_open(&h, the_path, &o), 0); // all is at home
    CHECK(file_has(twos, at, 4096));
    alps_pager *x = h.core.map.pager;
    const alps_journal *j = h.core.map.journal;
    uint64_t cleaned = alps_writeback_count_(x).cleaned;
    uint32_t high = call_from(x, ~0u);
    for (uint64_t i = 0; i < 60; i++) {
        if (i == 59)
            call_from(x, high);
        ((unsigned char *)alps_at(&h, at))[i * 4096] = 3;
    }
    wait_for(x);
    CHECK_EQ(dirty(x), x->mark.low);
    CHECK(alps_writeback_count_(x).cleaned > cleaned + 20);
    CHECK(x->spill.end.tail > j->tail + 20 * 4096);
    CHECK(file_has(twos, at, 4096)); // it is not at home, nor committed
    uint64_t before = alps_writeback_count_(x).bytes_written;
    CHECK_EQ(alps_sync(&h), 0);
    CHECK(alps_writeback_count_(x).bytes_written - before <
          (x->mark.low + 2) * 2 * (uint64_t)4096);
    for (uint64_t i = 0; i < 60; i++)
        ((unsigned char *)alps_at(&h, at))[i * 4096] = 4;
    CHECK_EQ(alps_discard(&h), 0); // what was spilled since is nothing
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    int bad = 0;
    for (uint64_t i = 0; i < MIB; i++)
        bad += ((unsigned char *)alps_at(&h, at))[i] !=
               (i % 4096 || i >= 60 * 4096 ? 2 : 3);
    CHECK_EQ(bad, 0);
    CHECK_EQ(alps_close(&h), 0);
    CHECK_EQ(alps_remove(the_path), 0);
}

static int opens(unsigned high, unsigned low)
{
    alps_options o = marked(high, low);
    void *p = alps_umalloc_with(the_path, 2 * MIB, &o);
    if (!p)
        return -errno;
    unsigned n = pager_of(p)->mark.high, frames = pager_of(p)->pool.n;
    CHECK_EQ(alps_ufree(p), 0);
    return (int)((n * 100 + frames - 1) / frames);
}

static void what_cannot_be_meant_is_refused(void)
{
    path_to("refused");
    CHECK_EQ(opens(0, 0), 0);
    CHECK_EQ(opens(100, 100), 100);
    CHECK_EQ(opens(101, 0), -EINVAL);
    CHECK_EQ(opens(10, 11), -EINVAL);
    CHECK_EQ(opens(0, 5), -EINVAL);
    setenv("ALPS_DIRTY_HIGH", "50", 1);
    CHECK_EQ(opens(0, 0), 50);
    setenv("ALPS_DIRTY_LOW", "51", 1);
    CHECK_EQ(opens(60, 0), -EINVAL);
    setenv("ALPS_DIRTY_LOW", "few", 1);
    CHECK_EQ(opens(0, 0), -EINVAL);
    unsetenv("ALPS_DIRTY_HIGH");
    unsetenv("ALPS_DIRTY_LOW");
    unlink(the_path);
}

int main(void)
{
    folder_make();
    RUN(a_steady_writer_never_has_more);
    RUN(hidden_ones_go_first_then_the_oldest);
    RUN(a_medium_that_fails_holds_nobody_up);
    RUN(under_checkpoint_it_is_spilled);
    RUN(what_cannot_be_meant_is_refused);
#ifndef __SANITIZE_THREAD__
    // The segments are where threads stored to them, and that nobody stores any
    // more while they are written is the system's word, not a lock's.
    if (may_be_told()) {
        the_engine = ALPS_ENGINE_USERFAULTFD;
        RUN(a_steady_writer_never_has_more);
        RUN(a_medium_that_fails_holds_nobody_up);
        RUN(under_checkpoint_it_is_spilled);
    }
#endif
    folder_remove();
    return check_end("watermark");
}
