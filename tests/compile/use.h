/* use.h -- calls every function of an instance
 *
 * Include it after alps.h, with USE(word) defined as the instance's function or
 * type of that name. Valid as C and as C++; `use` answers 0 or where it
 * stopped. Gone through once for each instance. */
static int USE(count_)(void *context, void *p, size_t n)
{
    size_t *sum = (size_t *)context;
    *sum += p ? n : 0;
    return 0;
}

static int USE(blocks)(USE(heap) *h)
{
    void *p = USE(alloc)(h, 100);
    void *zeroed = USE(zalloc)(h, 10);
    void *aligned = USE(alloc_aligned)(h, 256, 1000);
    if (!p || !zeroed || !aligned)
        return 10;
    p = USE(realloc)(h, p, 300);
    if (!p || USE(usable)(h, p) < 300 || (uintptr_t)aligned % 256)
        return 11;
    if (USE(free)(h, p) || USE(free)(h, zeroed) || USE(free)(h, aligned))
        return 12;
    return USE(free)(h, p) == ALPS_EINVALID_FREE ? 0 : 13;
}

static int USE(links)(USE(heap) *h)
{
    typedef ALPS_PTR(struct use_node) node_ptr;
    struct use_node { node_ptr next; };
    node_ptr *first = (node_ptr *)USE(root)(h, sizeof *first);
    struct use_node *node;
    if (!first)
        return 20;
    node = (struct use_node *)USE(reserve)(h, sizeof *node);
    if (!node || USE(cancel)(h, node))
        return 21;
    node = (struct use_node *)USE(reserve)(h, sizeof *node);
    if (!node)
        return 22;
    ALPS_COPY(node->next, *first);
    if (USE(publish)(h, &first->off, node) || ALPS_GET(h, *first) != node)
        return 23;
    if (USE(at)(h, USE(off_of)(h, node)) != node)
        return 24;
    if (USE(release)(h, &first->off) || first->off != ALPS_NULL)
        return 25;
    ALPS_SET(h, *first, node);
    ALPS_SET(h, *first, (struct use_node *)NULL);
    return ALPS_GET(h, *first) ? 26 : 0;
}

static int USE(made_)(void *context, void *p, size_t n)
{
    memset(p, 0, n);
    return context == NULL;
}

static int USE(acts)(USE(heap) *h)
{
    typedef ALPS_PTR(struct use_item) item_ptr;
    struct use_item {
        item_ptr next;
        uint64_t n[3];
    };
    struct use_item *root = (struct use_item *)USE(root)(h, sizeof *root);
    struct use_item *item = (struct use_item *)USE(reserve)(h, sizeof *item);
    USE(tx) t;
    int err = USE(begin)(h, &t);
    err = err ? err : ALPS_TX_PUBLISH(&t, root->next, item);
    err = err ? err : ALPS_TX_POINT(&t, item->next, item);
    err = err ? err : ALPS_TX_SET(&t, root->n[0], -1);
    err = err ? err : ALPS_TX_SNAPSHOT(&t, root->n[1]);
    if (err || USE(commit)(&t) || root->n[0] != (uint64_t)-1)
        return 50;
    err = USE(begin)(h, &t);
    err = err ? err : ALPS_TX_RELEASE(&t, root->next);
    err = err ? err : USE(tx_publish_new)(&t, root->n, 10, USE(made_), &t);
    if (err || USE(abort)(&t) || ALPS_GET(h, root->next) != item)
        return 51;
    err = USE(begin)(h, &t);
    err = err ? err : USE(tx_free)(&t, item);
    err = err ? err : USE(tx_set)(&t, &root->next.off, 0);
    if (err || USE(commit)(&t))
        return 52;
    return USE(publish_new)(h, root->n, 10, USE(made_), NULL) == 1 ? 0 : 53;
}

static int USE(stores)(USE(heap) *h)
{
    void *p = USE(root)(h, 64);
    if (!p || USE(flush)(h, p, 64) || USE(fence)(h) || USE(persist)(h, p, 64))
        return 30;
    return USE(sync)(h) ? 31 : 0;
}

static int USE(looks)(USE(heap) *h)
{
    alps_report report;
    alps_statistics statistics;
    alps_description description;
    size_t sum = 0;
    if (USE(check)(h, &report) || USE(check)(h, NULL))
        return 40;
    if (USE(stats)(h, &statistics) || USE(each)(h, USE(count_), &sum))
        return 41;
    if (USE(describe)(h, &description) || USE(error)(h))
        return 42;
    return USE(strerror)(0) ? 0 : 43;
}

static int USE(use)(const char *path)
{
    USE(heap) h;
    alps_options o;
    int at;
    memset(&o, 0, sizeof o);
    o.size = 1u << 20;
    o.flags = ALPS_CREATE | ALPS_TRUNCATE;
    if (USE(open)(&h, path, &o))
        return 1;
    at = USE(blocks)(&h);
    at = at ? at : USE(links)(&h);
    at = at ? at : USE(acts)(&h);
    at = at ? at : USE(stores)(&h);
    at = at ? at : USE(looks)(&h);
    if (USE(grow)(&h, 2u << 20))
        at = at ? at : 2;
    if (USE(close)(&h))
        at = at ? at : 3;
    if (path && USE(remove)(path))
        at = at ? at : 4;
    return at;
}
