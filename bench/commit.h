/* commit.h -- small durable updates, one after the other
 *
 * A table has many records of 100 bytes. Records drawn at random are replaced;
 * each is durable, all of it or nothing, before the next one comes. */
#pragma once
#include "harness.h"

/* Record `id` as it is after `update`, of which 0 is all zeroes. */
static void bench_record(unsigned char *record, unsigned id, uint64_t update)
{
    uint64_t dice = ((uint64_t)id << 32) + update;
    unsigned i;
    memset(record, 0, BENCH_RECORD);
    for (i = 0; update && i + 8 <= BENCH_RECORD; i += 8) {
        uint64_t word = bench_random(&dice);
        memcpy(record + i, &word, 8);
    }
}

/* Whether the table has what was written last, after it was opened again. */
static void bench_table_check(peer *p, const uint64_t *last, unsigned n)
{
    unsigned char is[BENCH_RECORD], should[BENCH_RECORD];
    unsigned id;
    for (id = 0; id < n; id++) {
        peer_read(p, id, is);
        bench_record(should, id, last[id]);
        if (memcmp(is, should, BENCH_RECORD) != 0)
            bench_die("record %u is not what was committed last", id);
    }
}

/* commit: what an update takes, on the wall's clock. */
static void bench_load_commit(const char *dir, const bench_scale *s)
{
    unsigned n = s->records, i;
    uint64_t *last = (uint64_t *)bench_memory(n * sizeof *last), dice = 1;
    unsigned char record[BENCH_RECORD];
    double begin;
    peer p;
    peer_table(&p, dir, n, 1);
    begin = bench_now();
    for (i = 1; i <= s->commits; i++) {
        unsigned id = bench_below(&dice, n);
        bench_record(record, id, i);
        peer_update(&p, id, record);
        last[id] = i;
    }
    bench_report("commit", (bench_now() - begin) / s->commits * 1e6);
    peer_table_close(&p);
    peer_table(&p, dir, n, 0);
    bench_table_check(&p, last, n);
    peer_table_close(&p);
}
