/* two_heaps.c -- two heaps of different kind in one program
 *
 *     two_heaps NAME AMOUNT     enters an amount into the ledger
 *     two_heaps                 prints who has how much
 *
 * The ledger is a file and survives everything. The balances are a cache: they
 * live in memory of this process, are made from the ledger at every start and
 * forgotten at the end. Each heap has its own functions, with its own name. */
#define ALPS_NAME ledger
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"

#define ALPS_NAME cache
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

typedef ALPS_PTR(struct entry) entry_ptr;
struct entry {
    entry_ptr before;
    int64_t amount;
    char name[48];
};

typedef ALPS_PTR(struct balance) balance_ptr;
struct balance {
    balance_ptr next;
    int64_t sum;
    char name[48];
};

/* Durable when this returns 0; killed before that, all of it or nothing. */
static int enter(ledger_heap *h, entry_ptr *last, const char *name,
                 int64_t amount)
{
    struct entry *e = (struct entry *)ledger_reserve(h, sizeof *e);
    if (!e)
        return ledger_error(h);
    e->before = *last;
    e->amount = amount;
    snprintf(e->name, sizeof e->name, "%s", name);
    return ledger_publish(h, &last->off, e);
}

/* No care is taken here: nobody will see this memory after a crash. */
static int sum_up(cache_heap *c, balance_ptr *first, const struct entry *e)
{
    struct balance *b = ALPS_GET(c, *first);
    while (b && strcmp(b->name, e->name))
        b = ALPS_GET(c, b->next);
    if (!b) {
        b = (struct balance *)cache_zalloc(c, sizeof *b);
        if (!b)
            return cache_error(c);
        memcpy(b->name, e->name, sizeof b->name);
        b->next = *first;
        ALPS_SET(c, *first, b);
    }
    b->sum += e->amount;
    return 0;
}

static int print(cache_heap *c, ledger_heap *h, const entry_ptr *last)
{
    balance_ptr *first = (balance_ptr *)cache_root(c, sizeof *first);
    int err = 0;
    const struct entry *e = ALPS_GET(h, *last);
    for (; e && !err; e = ALPS_GET(h, e->before))
        err = sum_up(c, first, e);
    const struct balance *b = ALPS_GET(c, *first);
    for (; b; b = ALPS_GET(c, b->next))
        printf("%-12s %8lld\n", b->name, (long long)b->sum);
    return err;
}

int main(int argc, char **argv)
{
    ledger_heap ledger;
    cache_heap cache;
    int err = ledger_open(&ledger, "ledger.alps", NULL);
    if (err)
        return fprintf(stderr, "two_heaps: %s\n", ledger_strerror(err)), 1;
    err = cache_open(&cache, NULL, NULL);
    if (err)
        return fprintf(stderr, "two_heaps: %s\n", cache_strerror(err)), 1;
    entry_ptr *last = (entry_ptr *)ledger_root(&ledger, sizeof *last);
    err = argc == 3 ? enter(&ledger, last, argv[1], atoll(argv[2]))
                    : print(&cache, &ledger, last);
    if (err)
        fprintf(stderr, "two_heaps: %s\n", ledger_strerror(err));
    cache_close(&cache);
    return ledger_close(&ledger) || err;
}
