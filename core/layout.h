/* layout.h -- the bytes on the medium
 *
 * The same on every backend: a region made in a file continues in shared
 * memory and on pmem. Numbers are little-endian, places are offsets from the
 * first byte, and offset 0 is never an object, so 0 is null. What is *truth*
 * is flushed; what is *index* is rebuilt and may hold anything after a crash.
 * docs/format.md has the same as a table. */
#pragma once
#include "journal.h"
#include "policy.h"

/* The version of this layout. A header opens regions of its own number only. */
#define ALPS_LAYOUT 2u

/* Bytes of the program's static area, at offset 4096. */
#define ALPS_ROOT_SIZE 4096u

/* The place of an object in its region; 0 is null. */
typedef uint64_t alps_off;
#define ALPS_NULL ((alps_off)0)

#define ALPS_MAGIC 0x5041454853504c41ull        /* "ALPSHEAP" */
#define ALPS_STATE_MAKING 0x676e696b616d2e2eull /* "..making" */
#define ALPS_STATE_READY 0x2e2e2e7964616572ull  /* "ready..." */

#define ALPS_GRANULE 64u /* bytes one code of a heap extent speaks for */
#define ALPS_GRANULE_SHIFT 6u
#define ALPS_SLAB_SHIFT_MIN 10u           /* a slab is a 32nd of an extent, */
#define ALPS_SLAB_SHIFT_MAX 16u           /* but from 1 KiB to 64 KiB */
#define ALPS_SLAB_OBJECTS 2048u           /* at most, of one slab */
#define ALPS_SLAB_END ((uint64_t)1 << 40) /* none lies above */
#define ALPS_SMALL_MAX 1024u /* bytes of an object in any slab, at most */
#define ALPS_EXTENT_SHIFT_MIN 12u
#define ALPS_EXTENT_SHIFT_MAX 30u
#define ALPS_SIZE_MAX (1ull << 47)
#define ALPS_EXTENTS_MAX (1ull << 25)

/* Codes of a granule or of an extent, two bits each. Every combination of
 * them is a valid heap: see docs/design.md. */
enum {
    ALPS_INSIDE = 0, /* goes on from the start before it */
    ALPS_FREE = 1,   /* starts a free run */
    ALPS_USED = 2,   /* starts a used block */
    ALPS_HELD = 3    /* starts a run that is neither used nor in the index: a
                        reservation, or a free whose fence is under way, or a
                        slab. Recovery reads all but a slab as free. */
};

/* The first page. Checked as a whole by `crc`, except for what follows it. */
typedef struct alps_superblock {
    uint64_t magic;        /* ALPS_MAGIC */
    uint64_t state;        /* ALPS_STATE_...: READY is the last store of all
                               that make the region. Not in `crc`. */
    uint32_t layout;       /* ALPS_LAYOUT */
    uint32_t extent_shift; /* log2 of the bytes of an extent */
    uint32_t lanes;        /* how many */
    uint32_t processes;    /* slots, how many */
    uint64_t limit;        /* bytes the region may grow to */
    uint64_t created;      /* nanoseconds since 1970 */
    uint8_t uuid[16];      /* random, of this region alone */
    char name[64];         /* the program's layout name, zero-padded */
    uint32_t shards;       /* of the heap: a power of two */
    uint32_t crc;          /* CRC-32C of the above but `state` */
    uint64_t small;        /* bytes of the largest object in slabs */
    uint64_t line_[6];     /* zero */
    /* Sealed words, each in its own line: a value of 48 bits above a CRC-16 of
     * it, so that one 8-byte store changes both. */
    uint64_t size;          /* bytes of the region */
    uint64_t size_line_[7]; /* zero */
    uint64_t epoch;         /* how often the region was opened by a first one */
    uint64_t epoch_line_[7];
    uint64_t journal; /* which journal beside the file has commits that are not
                         here yet; 0: none. See journal.h */
    uint64_t journal_line_[7];
    alps_off names; /* what names are found by, see alps_names; or 0 */
    uint64_t names_line_[7];
} alps_superblock;
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, size) == 192, "line");
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, names) == 384, "line");
ALPS_STATIC_ASSERT_(sizeof(alps_superblock) == 448, "size");
ALPS_STATIC_ASSERT_(offsetof(alps_superblock, journal) == ALPS_HOME_MARK_ &&
                        offsetof(alps_superblock, limit) == ALPS_HOME_LIMIT_ &&
                        ALPS_MAGIC == ALPS_HOME_MAGIC_,
                    "home");

/* Further places in the first page. A word: 1: this is a copy, and blocks of
 * its medium may be missing. Another: 1: a process has the newest bytes in
 * memory of its own and will write them when it closes the region; whoever
 * finds it so, with no such process alive, has half of them. And two notes, of
 * which the newer one that is whole is the program's description of the
 * region. */
#define ALPS_BARE 448u
#define ALPS_LOOSE 512u
#define ALPS_SPARE 768u /* what `crc` sums once more, see super.h */
#define ALPS_NOTE 1024u
typedef struct alps_note {
    uint32_t crc;    /* CRC-32C of what follows */
    uint32_t length; /* of the text */
    uint64_t seq;    /* notes are counted from 1 */
    char text[496];  /* zero-padded */
} alps_note;
ALPS_STATIC_ASSERT_(sizeof(alps_note) == 512, "size");

/* What the region goes on in, if it is in several files: see part.h. */
ALPS_STATIC_ASSERT_(ALPS_LOOSE + ALPS_LINE == ALPS_ONWARD &&
                        ALPS_ONWARD + sizeof(alps_onward) == ALPS_SPARE &&
                        ALPS_MAGIC == ALPS_PART_REGION_ &&
                        ALPS_STATE_MAKING == ALPS_PART_MAKING_,
                    "onward");

/* Words: the ids of the regions that packed pointers of this one lead to. */
#define ALPS_NEIGHBOURS 2048u
#define ALPS_NEIGHBOUR_MAX 128u

/* What hangs between two regions: an object of this one, and the link to it in
 * another that is being made or cut. See pledge.h. */
#define ALPS_PLEDGES 3072u
#define ALPS_PLEDGE_MAX 16u
typedef struct alps_pledge {
    uint64_t owner;  /* the process that is at it. Index */
    uint64_t region; /* id of the region that has the link */
    alps_off dest;   /* the link there: the word that names the object */
    uint64_t value;  /* what that word holds when it does */
    uint64_t wide;  /* 1: the word before it holds the id of this region then */
    alps_off block; /* the object; 0: nothing is pledged */
    uint64_t tied;  /* not 0: it is a tie, ALPS_TIE_...; `region` has the object
                       then, `dest` is here, and `block` is 0 */
    uint64_t waits; /* 1: its maker is done, and it is to be settled. Index */
} alps_pledge;
enum {
    ALPS_TIE_LINK = 1, /* the link holds only if the object is pledged */
    ALPS_TIE_CUT = 2   /* the object is to be freed unless the link holds */
};
ALPS_STATIC_ASSERT_(sizeof(alps_pledge) == ALPS_LINE, "line");
ALPS_STATIC_ASSERT_(ALPS_NEIGHBOURS + 8 * ALPS_NEIGHBOUR_MAX == ALPS_PLEDGES &&
                        ALPS_PLEDGES + ALPS_LINE * ALPS_PLEDGE_MAX == ALPS_PAGE,
                    "page");

/* One lane's retire words: records up to this sequence are done. The words of
 * all lanes lie together, so that under msync every sync call takes them. */
typedef struct alps_done {
    uint64_t seq;
    uint64_t tx; /* transactions of this lane up to this count are ended */
    uint64_t line_[6];
} alps_done;
ALPS_STATIC_ASSERT_(sizeof(alps_done) == ALPS_LINE, "line");

/* What a publish or a release is about to do; one line, written by one
 * non-temporal store. Live while `check` is right and `seq` is above the
 * lane's retire word. Lines of the logs of transactions look the same: their
 * `seq` is the number of the transaction. */
typedef struct alps_record {
    uint64_t seq;   /* counts in the lane; under msync in the region */
    uint32_t op;    /* ALPS_OP_... */
    uint32_t crc;   /* CRC-32C of the block's bytes, where ALPS_OP_SUMMED */
    alps_off block; /* the object */
    uint64_t units; /* its granules; extents where ALPS_OP_LARGE; bytes where
                       ALPS_OP_SMALL */
    alps_off dest;  /* the word that is to name it, or that names it */
    uint64_t value; /* what that word is to hold */
    uint64_t epoch; /* the superblock's, when it was written */
    uint64_t check; /* CRC-32C of the above, and its complement */
} __attribute__((aligned(64))) alps_record;
ALPS_STATIC_ASSERT_(sizeof(alps_record) == ALPS_LINE, "line");

enum {
    ALPS_OP_PUBLISH = 1,
    ALPS_OP_RELEASE = 2,
    ALPS_OP_SET = 3,     /* a line of a log: a word gets a value */
    ALPS_OP_COMMIT = 4,  /* `units` lines, from the one at `block` on, are to be
                            carried out; `value` is the transaction's number */
    ALPS_OP_UNDO = 5,    /* a line: the bytes that were at `dest` follow; or the
                            mark of a lane: there are such lines */
    ALPS_OP_NEXT = 6,    /* a line: the log goes on at `block` */
    ALPS_OP_SUMMED = 16, /* `crc` tells whether the contents are there */
    ALPS_OP_LARGE = 32,  /* the block is a run of extents */
    ALPS_OP_SMALL = 64,  /* the block is an object of a slab */
    ALPS_OP_WORDLESS = 128, /* no word is stored to: there is none, or it is
                               in what is not published yet */
    ALPS_OP_MADE = 256      /* the transaction itself reserved the block */
};

/* A lane carries the records of one thread. It belongs to that thread as long
 * as it lives, and makes it known to the others by its *token*, a number that
 * is never used twice in an epoch; or, one of the last few, to one operation of
 * any thread that found no lane of its own. Its first lines are index; the
 * records are truth. They rotate, so that a store does not meet a line whose
 * write-back is under way. */
#define ALPS_RING 6u
#define ALPS_LANES_MAX 4032u
typedef struct alps_lane {
    uint64_t lock;    /* whose it is: a process, see lock.h */
    alps_off held;    /* a block held back by the operation under way */
    uint64_t next;    /* records written so far */
    uint64_t apply;   /* 1 while a record is being carried out; of a commit:
                         and how many of its actions have been */
    uint64_t token;   /* of the thread; 0: none */
    alps_off pending; /* a released object, held back until the next fence */
    uint64_t seq;     /* of the last record */
    uint64_t empty;   /* empty slabs that its thread keeps */
    uint64_t told[8]; /* extents, modulo 512, in which others freed objects of
                         this thread's full slabs */
    uint64_t pin;     /* the era that its thread reads in, see limbo.h; or 0 */
    alps_off limbo;   /* the chunk that takes what its thread retires */
    uint64_t freeing; /* the transaction that holds back what it freed; or 0 */
    alps_off log;     /* the first line of its actions */
    uint64_t given;   /* so many of them are seen to */
    uint64_t line_[3];
    alps_record ring[ALPS_RING];
    alps_record mark; /* the transaction under way has something to undo */
} alps_lane;
ALPS_STATIC_ASSERT_(sizeof(alps_lane) == 640, "size");

/* One attached process. Index: void with the epoch. */
typedef struct alps_slot {
    uint64_t generation; /* counts the users of this slot; odd: in use */
    uint64_t pid;
    uint64_t start; /* when that process started, clock ticks after boot */
    uint64_t line_[5];
} alps_slot;
ALPS_STATIC_ASSERT_(sizeof(alps_slot) == ALPS_LINE, "line");

/* What all processes share and recovery makes anew. Index. */
typedef struct alps_shared {
    uint64_t lock; /* guards what is loose, and who is in the region */
    uint64_t line_[7];
    uint64_t cursor;     /* heap extents below this have a shard */
    uint64_t seq;        /* of the last record */
    uint64_t policy;     /* what every opener of this epoch must use */
    uint64_t reaped;     /* processes that left or were found dead */
    uint64_t tokens;     /* given out in this epoch */
    uint64_t swept;      /* extents below this were looked at for loose slabs */
    uint64_t loose_by;   /* the token of slabs in the lists of loose ones */
    uint64_t empty;      /* empty slabs that threads keep: about */
    alps_off loose[24];  /* by class: the first head of a slab that no thread
                           owns and that has free objects */
    uint64_t era;        /* what who reads from now on is in; see limbo.h */
    uint64_t deaths;     /* processes found dead in this epoch */
    alps_off limbo;      /* the first chunk of what waits for readers */
    alps_off limbo_last; /* and the last */
    alps_off leaving;    /* the chunk that is being emptied, or 0 */
    uint64_t idle;     /* extents that are empty and could be punched: about */
    uint64_t idle_max; /* beyond so many they are */
    uint64_t line3_[1];
    uint64_t naming;  /* the lock of who changes names */
    uint64_t named;   /* names, and one more; 0: they are to be counted */
    uint64_t unnamed; /* names that were destroyed */
    uint64_t line4_[5];
} alps_shared;
ALPS_STATIC_ASSERT_(sizeof(alps_shared) == 7 * ALPS_LINE, "size");

/* What was retired: held back until no reader can have it. Index. */
#define ALPS_CHUNK 61u
typedef struct alps_chunk {
    alps_off next;
    uint64_t era;   /* when it was closed: all in it was retired by then */
    uint64_t count; /* of the things in it */
    alps_off thing[ALPS_CHUNK];
} alps_chunk;
ALPS_STATIC_ASSERT_(sizeof(alps_chunk) == 512, "size");

/* Free runs by size class: see bins.h, tlsf.h. Index. */
#define ALPS_ROWS 24u
#define ALPS_COLUMNS 32u
typedef struct alps_index {
    uint64_t rows; /* bit: some bin of this row has a run */
    uint64_t line_[3];
    uint32_t columns[ALPS_ROWS]; /* bit: this bin has a run */
    alps_off head[ALPS_ROWS][ALPS_COLUMNS];
} alps_index;
ALPS_STATIC_ASSERT_(sizeof(alps_index) % ALPS_LINE == 0, "lines");

/* A part of the heap that one thread at a time works on: the heap extents that
 * name it in `built`; or, the last one, all extents of the region. A *build* is
 * a number of the epoch, of how often its index was emptied, and of the shard:
 * no two are the same. Index. */
#define ALPS_SHARDS_MAX 64u
#define ALPS_BUILD_EPOCH_ 30 /* where the epoch is in a build */
typedef struct alps_shard {
    uint64_t lock; /* guards all below, and every code of its extents */
    uint64_t line_[7];
    uint64_t built;     /* what an extent's `built` must say to be trusted */
    uint64_t cursor;    /* extents below this are none, or trusted; of the last
                           shard: `built`, if its index is to be trusted */
    uint64_t held;      /* place of the held table | log2 of its entries */
    uint64_t held_used; /* entries of it that are not empty */
    uint64_t idle;      /* what it has not told alps_shared.idle yet: signed */
    uint64_t line2_[3];
    alps_index index;
} alps_shard;
ALPS_STATIC_ASSERT_(sizeof(alps_shard) % ALPS_LINE == 0, "lines");

/* The first line of a heap extent. Its map of codes follows, a word of `told`
 * for every 64 slabs, the slabs' heads, and then granules. */
typedef struct alps_extent {
    uint64_t built; /* alps_shard.built when its free runs were indexed; if it
                       is of this epoch it names its shard at least. Index */
    uint64_t line_[7];
} alps_extent;
ALPS_STATIC_ASSERT_(sizeof(alps_extent) == ALPS_LINE, "line");

/* The head of a slab: objects of one size in a block of granules that starts at
 * a multiple of the slab's size. It lies apart from the objects, in the front
 * of the extent; pairs follow it, one for every 64 objects, and then keeps. */
typedef struct alps_slab {
    uint32_t kind;     /* class of size + 1. Truth; all else is index */
    uint32_t size;     /* bytes of an object */
    uint32_t scale;    /* 2^32 / size, rounded up */
    uint32_t count;    /* objects */
    uint64_t owner;    /* token of the thread it belongs to */
    uint64_t process;  /* of which that was a thread, see process.h */
    uint64_t full;     /* 1: its owner waits to be told of a free */
    alps_off next;     /* in a list of its owner, or of loose slabs */
    alps_off previous; /* in a list of its owner */
    uint32_t where;    /* which list of its owner it is in */
    uint32_t kept;     /* 1: some keep may not be zero */
} alps_slab;
ALPS_STATIC_ASSERT_(sizeof(alps_slab) == ALPS_LINE, "line");

/* Which of 64 objects are live: those whose two bits differ. Truth. Only the
 * owner of the slab changes `own`, so it needs no locked instruction; all
 * others change `far`, atomically. Every change is one store of one word. */
typedef struct alps_pair {
    uint64_t own, far;
} alps_pair;

/* Which of them are not free though they are not live. Index. A reservation
 * shows as a difference of the first two, like a live object. */
typedef struct alps_keep {
    uint64_t own, far;
    uint64_t pinned; /* held back until a fence, or until readers are gone */
} alps_keep;

/* The head of a free run, in the free memory itself; the last 8 bytes of the
 * run hold the place of its head. Index: checked against the codes. */
typedef struct alps_run {
    alps_off next, previous; /* in the same bin, or 0 */
    uint64_t units;
} alps_run;

/* Bytes that lie idle before any are punched by themselves. Define more to have
 * less of it. */
#ifndef ALPS_IDLE_MAX
#  define ALPS_IDLE_MAX (64ull << 20)
#endif

/* Names: one list, kept by the reverse of their hashes. A node is an entry, the
 * lowest bit of whose key is set, or where a bucket begins; there bit 1 tells
 * that it is linked, durably. See node.h. Truth. */
typedef struct alps_node {
    alps_off next; /* the node with the next higher key, or 0 */
    uint64_t key;
} alps_node;

/* How names are found: tables of buckets, each as large as all before it. */
#define ALPS_NAMES_SHIFT 3u
#define ALPS_NAMES_TABLES 32u
typedef struct alps_names {
    uint64_t shift; /* log2 of the buckets in use; may be behind: index */
    uint64_t line_[7];
    alps_off table[ALPS_NAMES_TABLES]; /* of buckets from 2^(i + 3) on, or 0 */
    alps_node first[1u << ALPS_NAMES_SHIFT];
} alps_names;
ALPS_STATIC_ASSERT_(sizeof(alps_names) == 448, "size");

/* A named object, in one block: this, the name and a zero byte, the distance
 * of the object from here once more in 8 bytes, the object. Truth. */
typedef struct alps_entry {
    alps_node node;
    uint64_t tag;     /* of its type, or 0 */
    uint64_t element; /* bytes of an element */
    uint64_t count;   /* of elements */
    alps_off text;    /* its description, an alps_text, or 0 */
    uint32_t length;  /* bytes of the name */
    uint32_t place;   /* of the object, from here on */
    uint32_t unique;  /* 1: it has no name but its tag */
    uint32_t crc;     /* CRC-32C of all this but `next`, `text` and `crc`, and
                         of the name */
} alps_entry;
ALPS_STATIC_ASSERT_(sizeof(alps_entry) == ALPS_LINE, "line");

/* A description; its bytes and a zero byte follow. */
typedef struct alps_text {
    alps_off before; /* that this one replaces, and that is to be freed; or 0 */
    uint64_t length;
} alps_text;

/* Entries of the held table when a region is made. */
#define ALPS_HELD_SHIFT 8u

/* Where everything is, which follows from the numbers in the superblock. */
typedef struct alps_geometry {
    alps_off done, lanes, slots, shared, shards, held, codes, kinds, holes,
        slabs;
    alps_off heap;
    uint64_t limit;
    uint64_t extents_max; /* that fit below the limit */
    uint64_t extent;      /* bytes of one */
    uint64_t extent_mask; /* the same - 1 */
    uint64_t slab_mask;   /* bytes of a slab - 1 */
    uint64_t granules;    /* of an extent */
    uint64_t first;       /* of them before its first block */
    uint64_t told, heads; /* places in an extent: words, heads of slabs */
    uint64_t head;        /* bytes of a slab's head with what follows it */
    uint64_t keeps;       /* place of the keeps, from a head on */
    uint64_t small;       /* bytes of the largest object in slabs */
    uint64_t slab_end;    /* no slab lies above this */
    unsigned extent_shift, slab_shift, lane_count, slot_count, shard_count;
    unsigned groups; /* pairs of a slab */
} alps_geometry;

/* The number of extents that fit between `heap` and `size`. */
ALPS_FN_ uint64_t alps_geometry_extents_(const alps_geometry *g, uint64_t size)
{
    return size < g->heap ? 0 : (size - g->heap) >> g->extent_shift;
}

/* Lays out the front of a heap extent: its line, the map, and the heads of
 * slabs with all that a slab of the smallest objects needs. */
ALPS_FN_ void alps_geometry_extent_(alps_geometry *g)
{
    unsigned shift = g->extent_shift - 5;
    if (shift < ALPS_SLAB_SHIFT_MIN)
        shift = ALPS_SLAB_SHIFT_MIN;
    if (shift > ALPS_SLAB_SHIFT_MAX)
        shift = ALPS_SLAB_SHIFT_MAX;
    uint64_t slabs = g->extent >> shift;
    uint64_t objects = (1ull << shift) / 16;
    if (objects > ALPS_SLAB_OBJECTS)
        objects = ALPS_SLAB_OBJECTS;
    g->slab_shift = shift;
    g->slab_mask = (1ull << shift) - 1;
    g->groups = (unsigned)(objects / 64);
    g->keeps = sizeof(alps_slab) +
               alps_round_up_(g->groups * sizeof(alps_pair), ALPS_LINE);
    g->head =
        g->keeps + alps_round_up_(g->groups * sizeof(alps_keep), ALPS_LINE);
    g->told = sizeof(alps_extent) + alps_round_up_(g->granules / 4, ALPS_LINE);
    g->heads = g->told + alps_round_up_((slabs + 63) / 64 * 8, ALPS_LINE);
    if (g->small < 16) { // no slabs at all
        g->heads = g->told;
        slabs = 0;
    }
    g->first = (g->heads + slabs * g->head) / ALPS_GRANULE;
}

/* Lays out a region. ALPS_EINVAL where the numbers are not sane. */
ALPS_FN_ int alps_geometry_init_(alps_geometry *g, uint64_t limit,
                                 unsigned extent_shift, unsigned lanes,
                                 unsigned slots, uint64_t small,
                                 unsigned shards)
{
    if (extent_shift < ALPS_EXTENT_SHIFT_MIN ||
        extent_shift > ALPS_EXTENT_SHIFT_MAX || lanes < 1 ||
        lanes > ALPS_LANES_MAX || slots < 1 || slots > 4096 || shards < 1 ||
        shards > ALPS_SHARDS_MAX || shards & (shards - 1) ||
        limit > ALPS_SIZE_MAX || limit >> extent_shift > ALPS_EXTENTS_MAX)
        return ALPS_EINVAL;
    uint64_t extents = limit >> extent_shift;
    alps_off off = 2 * ALPS_PAGE;
    g->extent_shift = extent_shift;
    g->extent = 1ull << extent_shift;
    g->extent_mask = g->extent - 1;
    g->granules = g->extent / ALPS_GRANULE;
    g->small = small;
    alps_geometry_extent_(g);
    if (small > (1ull << g->slab_shift) / 8 || small > ALPS_SMALL_MAX)
        return ALPS_EINVAL;
    g->done = off;
    g->lanes = off += lanes * sizeof(alps_done);
    g->slots = off += lanes * sizeof(alps_lane);
    g->shared = off += slots * sizeof(alps_slot);
    g->shards = off += sizeof(alps_shared);
    g->held = off += (shards + 1) * sizeof(alps_shard);
    g->codes = off += (shards + 1) * (8ull << ALPS_HELD_SHIFT);
    g->kinds = off += alps_round_up_(extents / 4 + 1, ALPS_LINE);
    g->holes = off += alps_round_up_(extents / 8 + 1, ALPS_LINE);
    g->slabs = off += alps_round_up_(extents / 8 + 1, ALPS_LINE);
    g->slab_end = limit < ALPS_SLAB_END ? limit : ALPS_SLAB_END;
    off += alps_round_up_((g->slab_end >> g->slab_shift) / 8 + 8, ALPS_LINE);
    g->heap = alps_round_up_(off, 1ull << extent_shift);
    g->limit = limit;
    g->lane_count = lanes;
    g->slot_count = slots;
    g->shard_count = shards;
    g->extents_max = alps_geometry_extents_(g, limit);
    return g->extents_max ? ALPS_OK : ALPS_EINVAL;
}
