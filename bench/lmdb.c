/* lmdb.c -- LMDB as a judge of small durable updates
 *
 * One tree with integer keys, a transaction for each update, durable when it
 * is committed: no flag that would take that back is set. */
#include <lmdb.h>
#include <stdint.h>

#define PEER_ALLOCATES 0
#define PEER_COMMITS 1

typedef struct peer {
    MDB_env *env;
    MDB_dbi tree;
} peer;

#include "harness.h"

static void peer_must(int err, const char *what)
{
    if (err)
        bench_die("%s: %s", what, mdb_strerror(err));
}

static void peer_put(peer *p, MDB_txn *t, unsigned id, const void *record)
{
    unsigned char bytes[BENCH_RECORD]; // a value is not const to LMDB
    MDB_val key = {sizeof id, &id}, value = {sizeof bytes, bytes};
    memcpy(bytes, record, sizeof bytes);
    peer_must(mdb_put(t, p->tree, &key, &value, 0), "mdb_put");
}

static void peer_table(peer *p, const char *dir, unsigned n, int fresh)
{
    static const unsigned char zero[BENCH_RECORD];
    char path[4096];
    unsigned id;
    MDB_txn *t;
    snprintf(path, sizeof path, "%s/lmdb", dir);
    peer_must(mdb_env_create(&p->env), "mdb_env_create");
    peer_must(mdb_env_set_mapsize(p->env, 256 * BENCH_MIB), "mapsize");
    peer_must(mdb_env_open(p->env, path, MDB_NOSUBDIR, 0600), path);
    peer_must(mdb_txn_begin(p->env, NULL, 0, &t), "mdb_txn_begin");
    peer_must(mdb_dbi_open(t, NULL, MDB_INTEGERKEY | MDB_CREATE, &p->tree),
              "mdb_dbi_open");
    for (id = 0; fresh && id < n; id++)
        peer_put(p, t, id, zero);
    peer_must(mdb_txn_commit(t), "mdb_txn_commit");
}

static void peer_table_close(peer *p)
{
    mdb_env_close(p->env);
}

static void peer_update(peer *p, unsigned id, const void *record)
{
    MDB_txn *t;
    peer_must(mdb_txn_begin(p->env, NULL, 0, &t), "mdb_txn_begin");
    peer_put(p, t, id, record);
    peer_must(mdb_txn_commit(t), "mdb_txn_commit");
}

static void peer_read(peer *p, unsigned id, void *record)
{
    MDB_val key = {sizeof id, &id}, value;
    MDB_txn *t;
    peer_must(mdb_txn_begin(p->env, NULL, MDB_RDONLY, &t), "mdb_txn_begin");
    peer_must(mdb_get(t, p->tree, &key, &value), "mdb_get");
    if (value.mv_size != BENCH_RECORD)
        bench_die("record %u is not whole", id);
    memcpy(record, value.mv_data, BENCH_RECORD);
    mdb_txn_abort(t);
}

#include "loads.h"
