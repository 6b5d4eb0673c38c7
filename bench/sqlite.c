/* sqlite.c -- SQLite as a judge of small durable updates
 *
 * One table, a transaction for each update, statements prepared once; the log
 * is written ahead (WAL) and synced at every commit (synchronous=FULL). All
 * else is as SQLite has it by default. */
#include <sqlite3.h>
#include <stdint.h>

#define PEER_ALLOCATES 0
#define PEER_COMMITS 1

typedef struct peer {
    sqlite3 *db;
    sqlite3_stmt *update, *read;
} peer;

#include "harness.h"

static void peer_do(peer *p, const char *what)
{
    if (sqlite3_exec(p->db, what, NULL, NULL, NULL) != SQLITE_OK)
        bench_die("%s: %s", what, sqlite3_errmsg(p->db));
}

static sqlite3_stmt *peer_prepare(peer *p, const char *what)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(p->db, what, -1, &s, NULL) != SQLITE_OK)
        bench_die("%s: %s", what, sqlite3_errmsg(p->db));
    return s;
}

/* Sets what a WAL database is asked for, and sees that it is granted. */
static void peer_set_wal(peer *p)
{
    sqlite3_stmt *s = peer_prepare(p, "PRAGMA journal_mode=WAL");
    if (sqlite3_step(s) != SQLITE_ROW ||
        strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0)
        bench_die("SQLite does not take to WAL here");
    sqlite3_finalize(s);
    peer_do(p, "PRAGMA synchronous=FULL");
}

static void peer_fill(peer *p, unsigned n)
{
    char fill[256];
    peer_do(p, "CREATE TABLE t (id INTEGER PRIMARY KEY, record BLOB)");
    snprintf(fill, sizeof fill,
             "WITH RECURSIVE c(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM c "
             "WHERE i + 1 < %u) INSERT INTO t SELECT i, zeroblob(%u) FROM c",
             n, BENCH_RECORD);
    peer_do(p, fill);
    peer_do(p, "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void peer_table(peer *p, const char *dir, unsigned n, int fresh)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/sqlite", dir);
    if (sqlite3_open(path, &p->db) != SQLITE_OK)
        bench_die("%s: %s", path, sqlite3_errmsg(p->db));
    peer_set_wal(p);
    if (fresh)
        peer_fill(p, n);
    p->update = peer_prepare(p, "UPDATE t SET record = ?1 WHERE id = ?2");
    p->read = peer_prepare(p, "SELECT record FROM t WHERE id = ?1");
}

static void peer_table_close(peer *p)
{
    sqlite3_finalize(p->update);
    sqlite3_finalize(p->read);
    if (sqlite3_close(p->db) != SQLITE_OK)
        bench_die("SQLite does not close");
}

static void peer_update(peer *p, unsigned id, const void *record)
{
    sqlite3_bind_blob(p->update, 1, record, BENCH_RECORD, SQLITE_STATIC);
    sqlite3_bind_int64(p->update, 2, id);
    if (sqlite3_step(p->update) != SQLITE_DONE || sqlite3_changes(p->db) != 1)
        bench_die("an update failed: %s", sqlite3_errmsg(p->db));
    sqlite3_reset(p->update);
}

static void peer_read(peer *p, unsigned id, void *record)
{
    sqlite3_bind_int64(p->read, 1, id);
    if (sqlite3_step(p->read) != SQLITE_ROW ||
        sqlite3_column_bytes(p->read, 0) != (int)BENCH_RECORD)
        bench_die("record %u is not there", id);
    memcpy(record, sqlite3_column_blob(p->read, 0), BENCH_RECORD);
    sqlite3_reset(p->read);
}

#include "loads.h"
