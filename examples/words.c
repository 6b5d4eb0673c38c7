/* words.c -- a word index in a file, built by a program that may be killed
 *
 *     words [--index FILE] [--crash-after N] [--crash-linking N]
 *           [--all | --where WORD] [TEXT...]
 *
 * Reads texts (without any: the licences that Debian ships) and keeps in
 * words.alps every word and all its places. Killed at any instruction, or by
 * power failure, it goes on where it was when started again: no word is lost
 * and none is counted twice. Texts that are in the index are not read again.
 *
 * Words become durable 1024 at a time, in a *batch*, in three steps:
 *
 * fill     The batch is one reserved block. It gets a posting for every word
 *          read, and the words never seen before. It refers to the index, and
 *          nothing refers to it: a crash gives it back.
 * publish  One alps_publish makes it the newest batch. With that, all of it is
 *          in the index; before, nothing of it.
 * link     Hash table, words and texts are told. A posting says what to
 *          tell them (which place is the newest, how far the text is read),
 *          not what to add, so linking twice is the same as linking once.
 *
 * At start the newest batch is linked again: that finishes what a crash cut
 * short. So 1024 words cost a handful of syncs, and no log is written. */
#include <glob.h>
#include <signal.h>

#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#define BATCH 1024   // postings in a batch
#define LONGEST 1023 // letters of a word

typedef ALPS_PTR(struct word) word_ptr;
typedef ALPS_PTR(struct text) text_ptr;
typedef ALPS_PTR(struct posting) posting_ptr;
typedef ALPS_PTR(struct batch) batch_ptr;
typedef ALPS_PTR(struct table) table_ptr;

/* A word; its letters and a zero follow. Lies in the batch that it came in. */
struct word {
    posting_ptr last; // its newest place; the others hang on that
    uint32_t hash, length;
};

/* A text that has been read, or is being read; its name follows. */
struct text {
    text_ptr before;
    uint64_t done; // bytes read; what follows is not in the index
};

/* One place of one word. */
struct posting {
    word_ptr word;
    posting_ptr before; // the place of the same word before this one
    text_ptr text;
    uint64_t position; // of the first letter, in bytes
};

struct batch {
    batch_ptr before;
    uint64_t words;    // in the whole index, with those of this batch
    uint64_t postings; // in use
    uint64_t used;     // bytes of `fresh` in use
    struct posting posting[BATCH];
    unsigned char fresh[28 * 1024]; // the words that are new
};

/* Words by hash, at most half full. A larger one replaces it. */
struct table {
    uint64_t slots; // a power of two
    word_ptr slot[1];
};

struct root {
    batch_ptr batch;    // the newest
    text_ptr text;      // the newest
    table_ptr table[2]; // one of them; two while the larger takes over
};

/* What a batch under way knows and the index does not yet. */
struct pending {
    struct word *word;
    struct posting *last;
};

struct state {
    alps_heap heap;
    struct root *root;
    struct table *table;
    struct batch *batch;                 // being filled, or NULL
    struct pending pending[2 * BATCH];   // its words, by hash
    uint64_t crash_after, crash_linking; // words until then; 0: never
};

/* Dies as by `kill -9` when the last of `*left` words is reached. */
static void crash(uint64_t *left)
{
    if (*left && !--*left)
        raise(SIGKILL);
}

static const char *letters(const struct word *w)
{
    return (const char *)(w + 1);
}

static uint32_t hash(const char *s, uint32_t n)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    return h ^ h >> 15;
}

static int is(const struct word *w, uint32_t h, const char *s, uint32_t n)
{
    return w->hash == h && w->length == n && !memcmp(letters(w), s, n);
}

/* The slot where the word is, or where it belongs. */
static word_ptr *slot(struct state *x, uint32_t h, const char *s, uint32_t n)
{
    uint64_t i = h & (x->table->slots - 1);
    struct word *w;
    while ((w = ALPS_GET(&x->heap, x->table->slot[i])) && !is(w, h, s, n))
        i = (i + 1) & (x->table->slots - 1);
    return &x->table->slot[i];
}

static struct pending *pending_at(struct state *x, uint32_t h, const char *s,
                                  uint32_t n)
{
    uint64_t i = h & (2 * BATCH - 1);
    while (x->pending[i].word && !is(x->pending[i].word, h, s, n))
        i = (i + 1) & (2 * BATCH - 1);
    return &x->pending[i];
}

/* A table for `slots` words takes over from the one there is. Until it is
 * published the old one holds; then the old one is given back. Where a crash
 * comes between the two, `tables` does it. */
static int tables(struct state *x)
{
    struct table *a = ALPS_GET(&x->heap, x->root->table[0]);
    struct table *b = ALPS_GET(&x->heap, x->root->table[1]);
    int second = b && (!a || b->slots > a->slots);
    x->table = second ? b : a;
    return a && b ? alps_release(&x->heap, &x->root->table[!second].off) : 0;
}

static int enlarge(struct state *x, uint64_t slots)
{
    struct table *old = x->table;
    size_t n = sizeof *old + slots * sizeof *old->slot;
    struct table *t = (struct table *)alps_reserve(&x->heap, n);
    if (!t)
        return alps_error(&x->heap);
    memset(t, 0, n);
    t->slots = slots;
    x->table = t;
    for (uint64_t i = 0; old && i < old->slots; i++) {
        struct word *w = ALPS_GET(&x->heap, old->slot[i]);
        if (w)
            *slot(x, w->hash, letters(w), w->length) = old->slot[i];
    }
    int free_one = x->root->table[0].off != ALPS_NULL;
    int err = alps_publish(&x->heap, &x->root->table[free_one].off, t);
    return err ? err : tables(x);
}

/* Tells table, words and texts of the batch. */
static int link_batch(struct state *x, struct batch *b)
{
    for (uint64_t i = 0; i < b->postings; i++) {
        struct posting *p = &b->posting[i];
        struct word *w = ALPS_GET(&x->heap, p->word);
        struct text *t = ALPS_GET(&x->heap, p->text);
        word_ptr *s = slot(x, w->hash, letters(w), w->length);
        *s = p->word;
        ALPS_SET(&x->heap, w->last, p);
        t->done = p->position + w->length;
        int err = alps_flush(&x->heap, s, sizeof *s);
        err = err ? err : alps_flush(&x->heap, w, sizeof *w);
        err = err ? err : alps_flush(&x->heap, t, sizeof *t);
        if (err)
            return err;
        crash(&x->crash_linking);
    }
    return alps_fence(&x->heap);
}

static int commit(struct state *x)
{
    struct batch *b = x->batch;
    if (!b)
        return 0;
    x->batch = NULL;
    int err = alps_publish(&x->heap, &x->root->batch.off, b);
    return err ? err : link_batch(x, b);
}

/* An empty batch, and room in the table for whatever it may bring. */
static int begin(struct state *x)
{
    struct batch *newest = ALPS_GET(&x->heap, x->root->batch);
    uint64_t words = newest ? newest->words : 0;
    if (2 * (words + BATCH) > x->table->slots) {
        int err = enlarge(x, x->table->slots * 2);
        if (err)
            return err;
    }
    x->batch = (struct batch *)alps_reserve(&x->heap, sizeof *x->batch);
    if (!x->batch)
        return alps_error(&x->heap);
    x->batch->before = x->root->batch;
    x->batch->words = words;
    x->batch->postings = x->batch->used = 0;
    memset(x->pending, 0, sizeof x->pending);
    return 0;
}

static struct word *fresh(struct batch *b, uint32_t h, const char *s,
                          uint32_t n)
{
    struct word *w = (struct word *)(void *)(b->fresh + b->used);
    w->last.off = ALPS_NULL;
    w->hash = h;
    w->length = n;
    memcpy(w + 1, s, n);
    memset((char *)(w + 1) + n, 0, 8 - n % 8);
    b->used += sizeof *w + n + (8 - n % 8);
    b->words++;
    return w;
}

/* One more word, of `n` letters, at `position` of text `t`. */
static int add(struct state *x, struct text *t, uint64_t position,
               const char *s, uint32_t n)
{
    struct batch *b = x->batch;
    int err = 0;
    if (b && (b->postings == BATCH ||
              b->used + sizeof(struct word) + n + 8 > sizeof b->fresh))
        err = commit(x);
    if (!err && !x->batch)
        err = begin(x);
    if (err)
        return err;
    b = x->batch;
    uint32_t h = hash(s, n);
    struct pending *p = pending_at(x, h, s, n);
    if (!p->word) {
        p->word = ALPS_GET(&x->heap, *slot(x, h, s, n));
        p->last = p->word ? ALPS_GET(&x->heap, p->word->last) : NULL;
    }
    if (!p->word)
        p->word = fresh(b, h, s, n);
    struct posting *q = &b->posting[b->postings++];
    ALPS_SET(&x->heap, q->word, p->word);
    ALPS_SET(&x->heap, q->before, p->last);
    ALPS_SET(&x->heap, q->text, t);
    q->position = position;
    p->last = q;
    crash(&x->crash_after);
    return 0;
}

/* The text of that name, entered into the list of texts where it is new; where
 * it is not, the batch may hold words of it, and they must count as read. */
static struct text *text_named(struct state *x, const char *name)
{
    struct text *t = ALPS_GET(&x->heap, x->root->text);
    while (t && strcmp((char *)(t + 1), name))
        t = ALPS_GET(&x->heap, t->before);
    if (t)
        return commit(x) ? NULL : t;
    t = (struct text *)alps_reserve(&x->heap, sizeof *t + strlen(name) + 1);
    if (!t)
        return NULL;
    t->before = x->root->text;
    t->done = 0;
    strcpy((char *)(t + 1), name);
    return alps_publish(&x->heap, &x->root->text.off, t) ? NULL : t;
}

/* Reads the rest of a text, from where the index ends. */
static int read_text(struct state *x, struct text *t)
{
    FILE *f = fopen((char *)(t + 1), "r");
    if (!f || fseek(f, (long)t->done, SEEK_SET)) {
        perror((char *)(t + 1));
        exit(1);
    }
    uint64_t position = t->done;
    char s[LONGEST + 1];
    uint32_t n = 0;
    int c, err = 0;
    do {
        c = getc(f);
        int lower = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        int letter = lower >= 'a' && lower <= 'z';
        if (letter && n < LONGEST)
            s[n] = (char)lower;
        if (letter && ++n > LONGEST)
            err = ALPS_EINVAL;
        if (!letter && n) {
            err = add(x, t, position - n, s, n);
            n = 0;
        }
        position++;
    } while (c != EOF && !err);
    fclose(f);
    return err;
}

static int open_index(struct state *x, const char *path)
{
    int err = alps_open(&x->heap, path, NULL);
    if (err)
        return err;
    x->root = (struct root *)alps_root(&x->heap, sizeof *x->root);
    err = tables(x);
    if (!err && !x->table)
        err = enlarge(x, 4 * BATCH);
    struct batch *newest = ALPS_GET(&x->heap, x->root->batch);
    return !err && newest ? link_batch(x, newest) : err;
}

/* A word and how often it was found: by walking all its places. */
struct count {
    uint64_t n;
    const struct word *word;
};

static int more(const void *a, const void *b)
{
    const struct count *x = (const struct count *)a;
    const struct count *y = (const struct count *)b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return strcmp(letters(x->word), letters(y->word));
}

/* Prints the `top` most frequent words, in the words of `uniq -c`. */
static void print_counts(struct state *x, uint64_t top)
{
    uint64_t n = 0;
    struct count *all = (struct count *)calloc(x->table->slots, sizeof *all);
    for (uint64_t i = 0; all && i < x->table->slots; i++) {
        struct word *w = ALPS_GET(&x->heap, x->table->slot[i]);
        if (!w)
            continue;
        struct posting *p = ALPS_GET(&x->heap, w->last);
        for (all[n].word = w; p; p = ALPS_GET(&x->heap, p->before))
            all[n].n++;
        n++;
    }
    if (n)
        qsort(all, n, sizeof *all, more);
    for (uint64_t i = 0; i < n && i < top; i++)
        printf("%7llu %s\n", (unsigned long long)all[i].n,
               letters(all[i].word));
    free(all);
}

/* Prints every place of a word, newest first. */
static void print_places(struct state *x, const char *s)
{
    uint32_t n = (uint32_t)strlen(s);
    struct word *w = ALPS_GET(&x->heap, *slot(x, hash(s, n), s, n));
    struct posting *p = w ? ALPS_GET(&x->heap, w->last) : NULL;
    for (; p; p = ALPS_GET(&x->heap, p->before))
        printf("%llu %s\n", (unsigned long long)p->position,
               (const char *)(ALPS_GET(&x->heap, p->text) + 1));
}

int main(int argc, char **argv)
{
    static struct state x;
    const char *path = "words.alps", *where = NULL;
    uint64_t top = 10;
    int i = 1;
    for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--all"))
            top = UINT64_MAX;
        else if (i + 1 == argc)
            break;
        else if (!strcmp(argv[i], "--index"))
            path = argv[++i];
        else if (!strcmp(argv[i], "--where"))
            where = argv[++i];
        else if (!strcmp(argv[i], "--crash-after"))
            x.crash_after = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--crash-linking"))
            x.crash_linking = strtoull(argv[++i], NULL, 10);
        else
            break;
    }
    if (i < argc && !strncmp(argv[i], "--", 2))
        return fprintf(stderr, "words: see the head of words.c\n"), 2;
    glob_t licences;
    memset(&licences, 0, sizeof licences);
    char **texts = argv + i;
    if (!*texts && !glob("/usr/share/common-licenses/*", 0, NULL, &licences))
        texts = licences.gl_pathv;
    int err = open_index(&x, path);
    for (; !err && *texts; texts++) {
        struct text *t = text_named(&x, *texts);
        err = t ? read_text(&x, t) : alps_error(&x.heap);
    }
    err = err ? err : commit(&x);
    if (err)
        return fprintf(stderr, "words: %s\n", alps_strerror(err)), 1;
    if (where)
        print_places(&x, where);
    else
        print_counts(&x, top);
    globfree(&licences);
    return alps_close(&x.heap) ? 1 : 0;
}
