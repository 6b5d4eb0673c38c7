/* graph.c -- a graph in a file, built by a program that may be killed
 *
 *     graph build FILE EDGES          from a text: a line is two numbers of
 *                                     vertices, what begins with # is skipped
 *     graph rmat FILE SCALE           1 << SCALE vertices, 16 random edges each
 *     graph info FILE                 what is in it
 *     graph bfs FILE VERTEX           how many vertices are how far away
 *     graph distances FILE VERTEX     how far away each one is
 *     graph snapshot FILE COPY        a copy, another graph from then on
 *
 * with, before the command,
 *
 *     --sync-every N     edges between two syncs; 65,536 if not given
 *     --crash-after N    dies as by kill -9 after so many edges of this run
 *     --snapshot-after N writes FILE.copy at the first sync after so many, and
 *                        goes on
 *
 * Edges have no direction. Killed at any instruction, or by power failure, a
 * build that is started again goes on where the last sync was, and ends with
 * the same graph as if nothing had happened.
 *
 * The code below is that of any program: arrays grow by realloc, and are
 * written by plain stores, without a thought of what a crash would make of
 * them. That is the policy, ALPS_CHECKPOINT: the file stays as it was at the
 * last alps_sync, and the next one moves it on, all at once. How far the input
 * has been read is in the root, so it is always as old as the graph beside
 * it. */
#include <signal.h>

#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"

#define FAR UINT32_MAX // the distance of what cannot be reached

/* A neighbour is the place of its vertex in the array of vertices. */
typedef ALPS_PTR(uint32_t) places_ptr;

struct vertex {
    uint64_t number; // its name in the input
    places_ptr neighbour;
    uint32_t degree, room; // neighbours there are, and have room
};
typedef ALPS_PTR(struct vertex) vertices_ptr;

struct root {
    vertices_ptr vertex;     // in the order they came
    places_ptr slot;         // a hash table: number to place + 1; 0: free
    uint64_t vertices, room; // vertices there are, and have room
    uint64_t slots;          // a power of two, at least twice `vertices`
    uint64_t edges;          // read so far
    uint64_t done;           // bytes of the text that are read
    uint64_t dice;           // of the R-MAT generator
    char input[256];         // what is being read
};

struct state {
    alps_heap heap;
    struct root *root;
    uint64_t sync_every, crash_after, snapshot_after;
    uint64_t edges; // of this run
    char copy[4096];
};

static int failed(const char *what, int err)
{
    fprintf(stderr, "graph: %s: %s\n", what, alps_strerror(err));
    return 1;
}

/* The slot where the vertex is, or where it belongs. */
static uint32_t *slot(struct state *x, uint64_t number)
{
    struct root *r = x->root;
    uint32_t *s = ALPS_GET(&x->heap, r->slot);
    struct vertex *v = ALPS_GET(&x->heap, r->vertex);
    uint64_t i = number * 0x9e3779b97f4a7c15u;
    for (i = (i ^ i >> 32) & (r->slots - 1); s[i]; i = (i + 1) & (r->slots - 1))
        if (v[s[i] - 1].number == number)
            break;
    return &s[i];
}

/* Twice the room for vertices, and a new hash table of them. */
static int more_vertices(struct state *x)
{
    struct root *r = x->root;
    uint64_t room = r->room ? r->room * 2 : 64;
    if (room > UINT32_MAX / 2)
        return ALPS_ELIMIT; // a place has 32 bits
    struct vertex *v = ALPS_GET(&x->heap, r->vertex);
    v = (struct vertex *)alps_realloc(&x->heap, v, room * sizeof *v);
    if (!v)
        return alps_error(&x->heap);
    ALPS_SET(&x->heap, r->vertex, v);
    uint32_t *s = ALPS_GET(&x->heap, r->slot);
    s = (uint32_t *)alps_realloc(&x->heap, s, 2 * room * sizeof *s);
    if (!s)
        return alps_error(&x->heap);
    memset(s, 0, 2 * room * sizeof *s);
    ALPS_SET(&x->heap, r->slot, s);
    r->room = room;
    r->slots = 2 * room;
    for (uint32_t i = 0; i < r->vertices; i++)
        *slot(x, v[i].number) = i + 1;
    return 0;
}

/* The place of a vertex, which is made if there is none. */
static int place_of(struct state *x, uint64_t number, uint32_t *place)
{
    struct root *r = x->root;
    if (r->vertices == r->room) {
        int err = more_vertices(x);
        if (err)
            return err;
    }
    uint32_t *s = slot(x, number);
    if (!*s) {
        struct vertex *v = ALPS_GET(&x->heap, r->vertex) + r->vertices;
        memset(v, 0, sizeof *v);
        v->number = number;
        *s = (uint32_t)++r->vertices;
    }
    *place = *s - 1;
    return 0;
}

static int add_neighbour(struct state *x, uint32_t to, uint32_t neighbour)
{
    struct vertex *v = ALPS_GET(&x->heap, x->root->vertex) + to;
    uint32_t *all = ALPS_GET(&x->heap, v->neighbour);
    if (v->degree == v->room) {
        uint32_t room = v->room ? v->room * 2 : 4;
        all = (uint32_t *)alps_realloc(&x->heap, all, room * sizeof *all);
        if (!all)
            return alps_error(&x->heap);
        ALPS_SET(&x->heap, v->neighbour, all);
        v->room = room;
    }
    all[v->degree++] = neighbour;
    return 0;
}

/* One more edge. Now and then all that there is becomes durable. */
static int add_edge(struct state *x, uint64_t from, uint64_t to)
{
    uint32_t a = 0, b = 0;
    int err = place_of(x, from, &a);
    err = err ? err : place_of(x, to, &b);
    err = err ? err : add_neighbour(x, a, b);
    err = err || a == b ? err : add_neighbour(x, b, a);
    if (err)
        return err;
    x->root->edges++;
    x->edges++;
    if (x->edges == x->crash_after)
        raise(SIGKILL);
    return 0;
}

/* Is called where graph and input agree. A copy is made while the program
 * runs, and can be opened as soon as it is there. */
static int sync_now_and_then(struct state *x)
{
    int err = x->edges % x->sync_every ? 0 : alps_sync(&x->heap);
    if (err || x->edges % x->sync_every || x->edges < x->snapshot_after)
        return err;
    x->snapshot_after = UINT64_MAX;
    return alps_snapshot(&x->heap, x->copy);
}

/* A graph is of one input: another one would be added to it. */
static int is_of(struct state *x, const char *input)
{
    struct root *r = x->root;
    if (!r->input[0])
        snprintf(r->input, sizeof r->input, "%s", input);
    if (!strncmp(r->input, input, sizeof r->input - 1))
        return 1;
    fprintf(stderr, "graph: this is a graph of %s\n", r->input);
    return 0;
}

/* Reads what is left of a text, which may have grown. */
static int build(struct state *x, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f || fseek(f, (long)x->root->done, SEEK_SET)) {
        perror(path);
        exit(1);
    }
    char line[256];
    int err = 0;
    while (!err && fgets(line, sizeof line, f)) {
        unsigned long long from, to;
        if (line[0] != '#' && sscanf(line, "%llu %llu", &from, &to) != 2) {
            fprintf(stderr, "graph: %s: no edge at byte %llu\n", path,
                    (unsigned long long)x->root->done);
            exit(1);
        }
        if (line[0] != '#')
            err = add_edge(x, from, to);
        x->root->done += strlen(line);
        err = err ? err : sync_now_and_then(x);
    }
    fclose(f);
    return err;
}

/* splitmix64 */
static uint64_t draw(uint64_t *dice)
{
    uint64_t z = (*dice += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* R-MAT (Chakrabarti, Zhan, Faloutsos 2004): an edge falls into a quarter of
 * the matrix of all pairs, with chances of 57, 19, 19 and 5 of a hundred, then
 * into a quarter of that, and so on. The dice are in the root. */
static int rmat(struct state *x, unsigned scale)
{
    struct root *r = x->root;
    int err = 0;
    while (!err && r->edges < (uint64_t)16 << scale) {
        uint64_t from = 0, to = 0;
        for (unsigned level = 0; level < scale; level++) {
            unsigned chance = (unsigned)(draw(&r->dice) % 100);
            from = from << 1 | (chance >= 76);
            to = to << 1 | ((chance >= 57 && chance < 76) || chance >= 95);
        }
        err = add_edge(x, from, to);
        err = err ? err : sync_now_and_then(x);
    }
    return err;
}

/* A number that every edge has part in, in whatever order they came. */
static uint64_t sum_of_edges(struct state *x)
{
    const struct vertex *v = ALPS_GET(&x->heap, x->root->vertex);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < x->root->vertices; i++) {
        const uint32_t *neighbour = ALPS_GET(&x->heap, v[i].neighbour);
        for (uint32_t k = 0; k < v[i].degree; k++) {
            uint64_t edge = v[i].number << 32 ^ v[neighbour[k]].number;
            sum += draw(&edge);
        }
    }
    return sum;
}

static int info(struct state *x)
{
    const struct vertex *v = ALPS_GET(&x->heap, x->root->vertex), *most = v;
    for (uint64_t i = 0; i < x->root->vertices; i++)
        if (v[i].degree > most->degree)
            most = v + i;
    printf("%llu vertices, %llu edges of %s, sum %016llx\n",
           (unsigned long long)x->root->vertices,
           (unsigned long long)x->root->edges, x->root->input,
           (unsigned long long)sum_of_edges(x));
    if (most)
        printf("vertex %llu has the most neighbours: %lu\n",
               (unsigned long long)most->number, (unsigned long)most->degree);
    int err = alps_check(&x->heap, NULL);
    return err ? failed("check", err) : 0;
}

/* Breadth-first search: the distance of every vertex from the one at `start`.
 * What it needs meanwhile is ordinary memory. */
static uint32_t *search(struct state *x, uint32_t start)
{
    const struct vertex *v = ALPS_GET(&x->heap, x->root->vertex);
    uint64_t n = x->root->vertices, end = 1;
    uint32_t *distance = (uint32_t *)malloc(n * sizeof *distance);
    uint32_t *queue = (uint32_t *)malloc(n * sizeof *queue);
    if (!distance || !queue)
        exit(failed("search", ALPS_ESYSTEM));
    for (uint64_t i = 0; i < n; i++)
        distance[i] = FAR;
    distance[start] = 0;
    queue[0] = start;
    for (uint64_t at = 0; at < end; at++) {
        const struct vertex *a = v + queue[at];
        const uint32_t *neighbour = ALPS_GET(&x->heap, a->neighbour);
        for (uint32_t k = 0; k < a->degree; k++) {
            uint32_t b = neighbour[k];
            if (distance[b] != FAR)
                continue;
            distance[b] = distance[queue[at]] + 1;
            queue[end++] = b;
        }
    }
    free(queue);
    return distance;
}

/* Whether these are the distances from `start`: that is 0, every other vertex
 * has a neighbour that is one step nearer, and none has one that is nearer
 * still, or that alone can be reached. */
static int are_distances(struct state *x, uint32_t start,
                         const uint32_t *distance)
{
    const struct vertex *v = ALPS_GET(&x->heap, x->root->vertex);
    for (uint64_t i = 0; i < x->root->vertices; i++) {
        const uint32_t *neighbour = ALPS_GET(&x->heap, v[i].neighbour);
        uint32_t nearest = FAR;
        for (uint32_t k = 0; k < v[i].degree; k++)
            if (distance[neighbour[k]] < nearest)
                nearest = distance[neighbour[k]];
        uint32_t should = i == start ? 0 : nearest == FAR ? FAR : nearest + 1;
        if (distance[i] != should)
            return 0;
    }
    return 1;
}

static void print_levels(const uint32_t *distance, uint64_t n)
{
    uint64_t reached = 0, here = 1;
    for (uint32_t level = 0; here; level++) {
        here = 0;
        for (uint64_t i = 0; i < n; i++)
            here += distance[i] == level;
        if (here)
            printf("%llu at distance %lu\n", (unsigned long long)here,
                   (unsigned long)level);
        reached += here;
    }
    printf("%llu not to be reached\n", (unsigned long long)(n - reached));
}

static int bfs(struct state *x, uint64_t number, int all)
{
    const struct vertex *v = ALPS_GET(&x->heap, x->root->vertex);
    uint32_t start = x->root->slots ? *slot(x, number) : 0;
    if (!start--) {
        fprintf(stderr, "graph: there is no such vertex\n");
        return 1;
    }
    uint32_t *distance = search(x, start);
    int wrong = !are_distances(x, start, distance);
    if (wrong)
        fprintf(stderr, "graph: these are not the distances\n");
    for (uint64_t i = 0; all && i < x->root->vertices; i++)
        if (distance[i] != FAR)
            printf("%llu %lu\n", (unsigned long long)v[i].number,
                   (unsigned long)distance[i]);
    if (!all)
        print_levels(distance, x->root->vertices);
    free(distance);
    return wrong;
}

static int run(struct state *x, const char *command, const char *argument)
{
    char input[64];
    unsigned scale = (unsigned)strtoul(argument, NULL, 10) % 32;
    snprintf(input, sizeof input, "R-MAT of scale %u", scale);
    int err = 0;
    if (!strcmp(command, "info"))
        return info(x);
    if (!strcmp(command, "bfs") || !strcmp(command, "distances"))
        return bfs(x, strtoull(argument, NULL, 10), command[0] == 'd');
    if (!strcmp(command, "snapshot")) {
        err = alps_snapshot(&x->heap, argument);
        return err ? failed(argument, err) : 0;
    }
    if (!is_of(x, command[0] == 'b' ? argument : input))
        return 1;
    err = command[0] == 'b' ? build(x, argument) : rmat(x, scale);
    err = err ? err : alps_sync(&x->heap);
    return err ? failed(command, err) : info(x);
}

int main(int argc, char **argv)
{
    static const char commands[] = " build rmat info bfs distances snapshot ";
    static struct state x;
    alps_options o;
    memset(&o, 0, sizeof o);
    x.sync_every = 65536;
    x.snapshot_after = UINT64_MAX;
    int i = 1;
    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2)
        if (!strcmp(argv[i], "--sync-every"))
            x.sync_every = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--crash-after"))
            x.crash_after = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--snapshot-after"))
            x.snapshot_after = strtoull(argv[i + 1], NULL, 10);
        else
            break;
    const char *command = i < argc ? argv[i] : "";
    int needs = strcmp(command, "info") ? 3 : 2;
    if (argc - i != needs || !strstr(commands, command) || !x.sync_every)
        return fprintf(stderr, "graph: see the head of graph.c\n"), 2;
    if (!strcmp(command, "build") || !strcmp(command, "rmat"))
        o.flags = ALPS_CREATE;
    snprintf(x.copy, sizeof x.copy, "%s.copy", argv[i + 1]);
    int err = alps_open(&x.heap, argv[i + 1], &o);
    if (err)
        return failed(argv[i + 1], err);
    x.root = (struct root *)alps_root(&x.heap, sizeof *x.root);
    int answer = run(&x, command, needs == 3 ? argv[i + 2] : "");
    if (answer) // half an edge may be there: not to be kept
        return alps_discard(&x.heap), answer;
    err = alps_close(&x.heap);
    return err ? failed("close", err) : 0;
}
