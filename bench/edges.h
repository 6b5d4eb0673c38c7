/* edges.h -- a graph is built, put away and found again
 *
 * Metall's load (Iwabuchi et al., Parallel Computing 111, 2022): the edges of an
 * R-MAT graph, each in both directions, go into a hash table of vertices that
 * have growing arrays. All of it lies in the peer's heap and refers to itself
 * by what the peer stores in place of addresses. An array that is full is
 * allocated anew with twice the room, copied and freed, by all peers alike. */
#pragma once
#include "harness.h"

/* What a heap that cannot be opened again stores: addresses. */
#if !PEER_KEEPS
typedef struct peer_ref {
    void *to;
} peer_ref;

static inline void *peer_get(const peer *p, const peer_ref *r)
{
    (void)p;
    return r->to;
}

static inline void peer_set(const peer *p, peer_ref *r, void *to)
{
    (void)p;
    r->to = to;
}
#endif

typedef struct bench_edge {
    uint32_t from, to;
} bench_edge;

/* R-MAT (Chakrabarti, Zhan, Faloutsos 2004) with a = 0.57, b = c = 0.19,
 * d = 0.05: at every level an edge falls into one of four quarters of the
 * matrix. A level takes 16 random bits. */
static void bench_rmat(bench_edge *edge, size_t n, unsigned scale)
{
    const unsigned a = 37355, ab = 49807, abc = 62259; // of 65536
    uint64_t dice = 1, bits = 0;
    size_t i;
    unsigned level;
    for (i = 0; i < n; i++) {
        uint32_t from = 0, to = 0;
        for (level = 0; level < scale; level++) {
            unsigned draw;
            if (level % 4 == 0)
                bits = bench_random(&dice);
            draw = (unsigned)(bits & 65535);
            bits >>= 16;
            from = from << 1 | (draw >= ab);
            to = to << 1 | ((draw >= a) ^ (draw >= ab) ^ (draw >= abc));
        }
        edge[i].from = from;
        edge[i].to = to;
    }
}

/* A vertex and its array of neighbours. */
typedef struct bench_vertex {
    uint64_t key; /* its number and 1; 0: nothing is here */
    peer_ref to;  /* uint64_t[room] */
    uint32_t n, room;
} bench_vertex;

/* The root: the table, at most half full. */
typedef struct bench_graph {
    peer_ref table; /* bench_vertex[1 << bits] */
    uint64_t bits, vertices, edges;
} bench_graph;

#define BENCH_TABLE_BITS 10u

static void *bench_graph_take(peer *p, size_t n)
{
    void *o = peer_alloc(p, n);
    if (!o)
        bench_die("an allocation of %zu bytes failed", n);
    return o;
}

static void bench_table_new(peer *p, bench_graph *g, unsigned bits)
{
    size_t n = (size_t)1 << bits, i;
    bench_vertex *table =
        (bench_vertex *)bench_graph_take(p, n * sizeof *table);
    for (i = 0; i < n; i++) {
        table[i].key = table[i].n = table[i].room = 0;
        peer_set(p, &table[i].to, NULL);
    }
    peer_set(p, &g->table, table);
    g->bits = bits;
}

/* Where the vertex is, or where it belongs. */
static inline bench_vertex *bench_place(bench_vertex *table, uint64_t bits,
                                        uint64_t key)
{
    uint64_t i = key * 0x9e3779b97f4a7c15u >> (64 - bits);
    while (table[i].key && table[i].key != key)
        i = (i + 1) & (((uint64_t)1 << bits) - 1);
    return &table[i];
}

static void bench_table_enlarge(peer *p, bench_graph *g)
{
    bench_vertex *old = (bench_vertex *)peer_get(p, &g->table), *table;
    size_t n = (size_t)1 << g->bits, i;
    bench_table_new(p, g, (unsigned)g->bits + 1);
    table = (bench_vertex *)peer_get(p, &g->table);
    for (i = 0; i < n; i++)
        if (old[i].key) {
            bench_vertex *v = bench_place(table, g->bits, old[i].key);
            v->key = old[i].key;
            v->n = old[i].n;
            v->room = old[i].room;
            peer_set(p, &v->to, peer_get(p, &old[i].to));
        }
    peer_free(p, old);
}

static void bench_array_enlarge(peer *p, bench_vertex *v)
{
    uint32_t room = v->room ? v->room * 2 : 2;
    void *old = peer_get(p, &v->to);
    void *array = bench_graph_take(p, room * sizeof(uint64_t));
    if (old) {
        memcpy(array, old, v->n * sizeof(uint64_t));
        peer_free(p, old);
    }
    peer_set(p, &v->to, array);
    v->room = room;
}

static inline void bench_edge_add(peer *p, bench_graph *g, uint64_t from,
                                  uint64_t to)
{
    bench_vertex *table = (bench_vertex *)peer_get(p, &g->table);
    bench_vertex *v = bench_place(table, g->bits, from + 1);
    if (!v->key) {
        if (2 * ++g->vertices > (uint64_t)1 << g->bits) {
            bench_table_enlarge(p, g);
            table = (bench_vertex *)peer_get(p, &g->table);
            v = bench_place(table, g->bits, from + 1);
        }
        v->key = from + 1;
    }
    if (v->n == v->room)
        bench_array_enlarge(p, v);
    ((uint64_t *)peer_get(p, &v->to))[v->n++] = to;
    g->edges++;
}

static void bench_edges_add(peer *p, bench_graph *g, const bench_edge *edge,
                            size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        bench_edge_add(p, g, edge[i].from, edge[i].to);
        bench_edge_add(p, g, edge[i].to, edge[i].from);
    }
}

/* What an edge adds to the checksum, in whatever order they come. */
static inline uint64_t bench_edge_sum(uint64_t from, uint64_t to)
{
    uint64_t z = (from << 32 | to) * 0x9e3779b97f4a7c15u;
    return (z ^ z >> 29) * 0xbf58476d1ce4e5b9u;
}

static uint64_t bench_edges_sum(const bench_edge *edge, size_t n)
{
    uint64_t sum = 0;
    size_t i;
    for (i = 0; i < n; i++)
        sum += bench_edge_sum(edge[i].from, edge[i].to) +
               bench_edge_sum(edge[i].to, edge[i].from);
    return sum;
}

/* Looks at every edge of the graph. */
static uint64_t bench_graph_sum(const peer *p, const bench_graph *g)
{
    const bench_vertex *v = (const bench_vertex *)peer_get(p, &g->table);
    const bench_vertex *end = v + ((size_t)1 << g->bits);
    uint64_t sum = 0;
    uint32_t i;
    for (; v < end; v++) {
        const uint64_t *to = (const uint64_t *)peer_get(p, &v->to);
        for (i = 0; i < v->n; i++)
            sum += bench_edge_sum(v->key - 1, to[i]);
    }
    return sum;
}

static void bench_graph_check(const peer *p, const bench_graph *g,
                              uint64_t edges, uint64_t sum)
{
    if (g->edges != edges || bench_graph_sum(p, g) != sum)
        bench_die("the graph is not the one that was built");
}

/* The time since `*begin`, which is set to now. */
static double bench_lap(double *begin)
{
    double now = bench_now(), seconds = now - *begin;
    *begin = now;
    return seconds;
}

#if PEER_KEEPS
/* What the graph costs once it is there: to make it durable, to close it, to
 * find it again; and to make a few edges more durable. */
static bench_graph *bench_graph_again(peer *p, const char *dir, size_t bytes)
{
    double begin = bench_now();
    bench_graph *g;
    peer_sync(p);
    bench_report("edges_sync", bench_lap(&begin) * 1e3);
    peer_close(p);
    bench_report("edges_close", bench_lap(&begin) * 1e3);
    peer_open(p, dir, bytes, 0);
    g = (bench_graph *)peer_root(p);
    bench_place((bench_vertex *)peer_get(p, &g->table), g->bits, 1);
    bench_report("edges_open", bench_lap(&begin) * 1e3);
    return g;
}

static void bench_graph_more(peer *p, bench_graph *g, const bench_edge *edge,
                             size_t n)
{
    double begin;
    bench_edges_add(p, g, edge, n);
    begin = bench_now();
    peer_sync(p);
    bench_report("edges_more", bench_lap(&begin) * 1e3);
    peer_close(p);
    bench_report("edges_more_close", bench_lap(&begin) * 1e3);
}
#endif

/* edges: on the wall's clock, since who waits for the medium waits. The last
 * thousand edges come when the graph has been opened again. */
#define BENCH_MORE 1000u

static void bench_load_edges(const char *dir, const bench_scale *s)
{
    size_t n = (size_t)16 << s->edges, most = n - BENCH_MORE;
    size_t bytes =
        PEER_LIMITED ? 8 * BENCH_MIB + n * 64 : 64 * BENCH_MIB + n * 96;
    bench_edge *edge = (bench_edge *)bench_memory(n * sizeof *edge);
    bench_graph *g;
    uint64_t sum;
    double begin;
    peer p;
    bench_rmat(edge, n, s->edges);
    sum = bench_edges_sum(edge, most);
    bench_warm_up(n * 32);
    peer_open(&p, dir, bytes, 1);
#if PEER_KEEPS
    g = (bench_graph *)peer_root(&p);
#else
    g = (bench_graph *)bench_memory(sizeof *g);
#endif
    g->vertices = g->edges = 0;
    bench_table_new(&p, g, BENCH_TABLE_BITS);
    begin = bench_now();
    bench_edges_add(&p, g, edge, most);
    bench_report("edges_ingest", bench_lap(&begin) / (double)most / 2 * 1e9);
#if PEER_KEEPS
    g = bench_graph_again(&p, dir, bytes);
#endif
    begin = bench_now();
    bench_graph_check(&p, g, 2 * most, sum);
    bench_report("edges_verify", bench_lap(&begin) / (double)most / 2 * 1e9);
#if PEER_KEEPS
    bench_graph_more(&p, g, edge + most, BENCH_MORE);
    peer_open(&p, dir, bytes, 0);
    g = (bench_graph *)peer_root(&p);
    bench_graph_check(&p, g, 2 * n, bench_edges_sum(edge, n));
#endif
    peer_close(&p);
}
