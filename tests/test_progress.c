/* test_progress.c -- who asks hears how far a sync is
 *
 * Under msync and checkpoint, over paged memory and over a file; while others
 * store, and where the medium fails. */
#define ALPS_JOURNAL_MAX ((uint64_t)256 << 10)
#define ALPS_POLICY ALPS_CHECKPOINT
#include "pages.h"
#include <pthread.h>

#define ALPS_NAME plain
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "../alps.h"

NOBODY_WATCHES_THE_MEDIUM

/* What was heard of one sync. */
struct heard {
    unsigned calls, syncs, bad;
    uint64_t done, total, first;
    pthread_t who;
    pid_t process;
    volatile unsigned char *touches; // or NULL: memory that it looks at
    uint64_t looked;
    volatile unsigned char *stores; // or NULL: what the first call changes
};
static struct heard heard;
static unsigned *strangers; // calls in another process, which shares this

static int fails; // a sync that is heard may

static void hears(void *context, uint64_t done, uint64_t total)
{
    struct heard *h = (struct heard *)context;
    h->bad += done && !h->calls; // it begins with nothing
    if (!done && h->syncs++) {   // another one: closing has two
        h->bad += h->done != h->total && !fails;
        h->done = h->total = 0;
    }
    h->bad += done < h->done || total < h->total || done > total;
    h->bad += !pthread_equal(h->who, pthread_self()) || h->process != getpid();
    if (h->process != getpid())
        ++*strangers;
    if (!h->calls++) {
        h->first = total;
        if (h->stores)
            ++*h->stores;
    }
    h->done = done;
    h->total = total;
    if (h->touches)
        h->looked += h->touches[h->calls * 40960 % (4 * MIB)];
}

static void listen(alps_options *o)
{
    o->progress = hears;
    o->progress_context = &heard;
}

/* The next sync is a new one, of this thread. */
static void afresh(void)
{
    memset(&heard, 0, sizeof heard);
    heard.who = pthread_self();
    heard.process = getpid();
}

/* All that it heard was right, it heard it often, and in the end it was all. */
static void heard_all(uint64_t least, unsigned calls)
{
    CHECK_EQ(heard.bad, 0);
    CHECK(heard.calls >= calls);
    CHECK(heard.total >= least);
    CHECK_EQ(heard.done, heard.total);
}

static void a_sync_of_memory_tells(void)
{
    alps_options o = paged(0);
    path_to("memory");
    listen(&o);
    afresh();
    unsigned char *p =
        (unsigned char *)alps_umalloc_with(the_path, 4 * MIB, &o);
    CHECK(p != NULL);
    memset(p, 1, 4 * MIB);
    CHECK_EQ(heard.calls, 0); // evictions are not told
    uint64_t dirty = alps_pool_dirty_(&pager_of(p)->pool, 0, 15);
    CHECK_EQ(alps_usync(p), 0);
    heard_all(dirty, (unsigned)(dirty / 65536) + 2);
    CHECK_EQ(heard.total, dirty);
    CHECK_EQ(heard.first, dirty);
    afresh();
    CHECK_EQ(alps_usync(p), 0); // of nothing
    CHECK_EQ(heard.calls, 0);
    p[0] = p[70000] = p[200000] = 2;
    heard.touches = p; // no latch is held
    CHECK_EQ(alps_usync(p), 0);
    heard_all(3 * 65536, 5);
    afresh();
    p[0] = p[70000] = 3;
    heard.stores = p + 20 * 65536; // there is more to do
    CHECK_EQ(alps_usync(p), 0);
    heard_all(3 * 65536, 5);
    CHECK_EQ(heard.first, 2 * 65536);
    afresh();
    p[0] = p[70000] = 3;
    bad_write = ENOSPC;
    CHECK_EQ(alps_usync(p), ALPS_ENOSPC);
    CHECK_EQ(heard.bad, 0);
    CHECK(heard.calls == 1 && heard.done == 0); // nothing was written
    bad_write = 0;
    bad_sync = EIO;
    afresh();
    CHECK_EQ(alps_usync(p), ALPS_EIO);
    CHECK_EQ(heard.calls, 3); // written, but not durable
    bad_sync = 0;
    afresh();
    p[0] = 4;
    CHECK_EQ(alps_ufree(p), 0); // which syncs
    heard_all(65536, 3);
    unlink(the_path);
}

static void a_commit_of_paged_memory_tells(void)
{
    alps_heap h;
    alps_options o = paged(0);
    o.size = 8 * MIB;
    o.segment = 16 * KIB;
    path_to("commit");
    listen(&o);
    afresh();
    CHECK_EQ(alps_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)alps_alloc(&h, 4 * MIB);
    memset(p, 1, 4 * MIB);
    CHECK_EQ(heard.calls, 0);
    heard.touches = p;
    CHECK_EQ(alps_sync(&h), 0); // and all of it comes home
    heard_all(heard.first + 4 * MIB, 50 + 4 * MIB / (32 * 4096));
    afresh();
    CHECK_EQ(alps_sync(&h), 0);
    CHECK_EQ(heard.calls, 0);
    p[0] = 2;
    CHECK_EQ(alps_sync_begin(&h), 0);
    unsigned calls = heard.calls;
    CHECK(calls > 0);
    CHECK_EQ(alps_sync_end(&h), 0);
    CHECK(heard.calls > calls);
    heard_all(16 * KIB, 3);
    afresh();
    p[1] = 2;
    bad_write = EIO;
    CHECK_EQ(alps_sync(&h), ALPS_EIO);
    CHECK(heard.calls == 1 && heard.done == 0);
    bad_write = 0;
    fails = 1;
    CHECK_EQ(alps_close(&h), 0);
    fails = 0;
    heard_all(16 * KIB, 4);
    CHECK_EQ(alps_remove(the_path), 0);
}

static void a_commit_of_a_file_tells(void)
{
    plain_heap h;
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = 16 * MIB;
    path_to("file");
    listen(&o);
    afresh();
    CHECK_EQ(plain_open(&h, the_path, &o), 0);
    unsigned char *p = (unsigned char *)plain_alloc(&h, 4 * MIB);
    memset(p, 1, 4 * MIB);
    CHECK_EQ(heard.calls, 0);
    CHECK_EQ(plain_sync(&h), 0);
    heard_all(8 * MIB, 2 * 4 * MIB / (32 * 4096)); // the journal, and home
    CHECK(heard.first >= 4 * MIB && heard.first < 8 * MIB);
    afresh();
    CHECK_EQ(plain_sync(&h), 0);
    CHECK(heard.total < MIB);
    afresh();
    p[0] = 3;
    CHECK_EQ(plain_close(&h), 0);
    heard_all(4096, 3);
    CHECK_EQ(plain_remove(the_path), 0);
}

static unsigned char *busy;
static int stop;

static void *stores(void *nothing)
{
    (void)nothing;
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
        __atomic_store_n(&busy[i % 100 * 4096], (unsigned char)i,
                         __ATOMIC_RELAXED);
    return NULL;
}

/* The process is cloned, and the clone is nobody's ear. */
static void a_commit_beside_others_tells_its_own_thread(void)
{
    plain_heap h;
    pthread_t thread;
    alps_options o;
    memset(&o, 0, sizeof o);
    o.size = 16 * MIB;
    o.dirty = ALPS_DIRTY_PAGEMAP; // always a clone
    path_to("busy");
    listen(&o);
    afresh();
    CHECK_EQ(plain_open(&h, the_path, &o), 0);
    busy = (unsigned char *)plain_alloc(&h, MIB);
    memset(busy, 1, MIB);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_create(&thread, NULL, stores, NULL), 0);
    for (int i = 0; i < 4; i++) {
        afresh();
        CHECK_EQ(plain_sync(&h), 0);
        heard_all(i ? 4096 : MIB, 2);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(*strangers, 0);
    CHECK_EQ(plain_close(&h), 0);
    CHECK_EQ(plain_remove(the_path), 0);
}

int main(void)
{
    folder_make();
    strangers = (unsigned *)mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RUN(a_sync_of_memory_tells);
    RUN(a_commit_of_paged_memory_tells);
    RUN(a_commit_of_a_file_tells);
    RUN(a_commit_beside_others_tells_its_own_thread);
    folder_remove();
    return check_end("progress");
}
