/* binarytree.c -- how often words occur, by the calls of libpmemalloc
 *
 *     binarytree POOL insert WORD...   counts them
 *     binarytree POOL count <TEXT      counts the words of a text
 *     binarytree POOL remove WORD...   takes them out
 *     binarytree POOL show             prints them in order, with their counts
 *     binarytree POOL check            looks whether the pool is sound
 *
 * A binary tree in a pool. It is written against pmemalloc.h alone, as a
 * program for that library would be. Kill it anywhere: a word is in the tree or
 * is not, nothing leaks. */
#include "pmemalloc.h"

/* A pointer with a _ at its end is an offset: PMEM makes an address of it. */
struct node {
    struct node *left_, *right_;
    uint64_t count;
    char word[];
};

struct area {
    struct node *root_;
};

/* Where the tree has a link to the word, or would have. */
static struct node **find(void *pmp, const char *word)
{
    struct node **link = &((struct area *)pmemalloc_static_area(pmp))->root_;
    while (*link) {
        struct node *n = PMEM(pmp, *link);
        int order = strcmp(word, n->word);
        if (order == 0)
            break;
        link = order < 0 ? &n->left_ : &n->right_;
    }
    return link;
}

static int insert(void *pmp, const char *word)
{
    struct node **link = find(pmp, word);
    if (*link) {
        uint64_t *count = &PMEM(pmp, *link)->count;
        ++*count;
        return pmemalloc_durable(pmp, count, sizeof *count);
    }
    struct node *n_ =
        (struct node *)pmemalloc_reserve(pmp, sizeof *n_ + strlen(word) + 1);
    if (!n_)
        return ALPS_EFULL;
    struct node *n = PMEM(pmp, n_);
    n->left_ = n->right_ = NULL;
    n->count = 1;
    strcpy(n->word, word);
    pmemalloc_onactive(pmp, n_, (void **)link, n_);
    pmemalloc_activate(pmp, n_);
    return pmemalloc_error(pmp);
}

/* A node with two children is replaced by the next one in order: four links
 * change, in one step. */
static int take_out(void *pmp, const char *word)
{
    struct node **link = find(pmp, word), *n_ = *link;
    if (!n_)
        return ALPS_ENOENT;
    struct node *n = PMEM(pmp, n_), *heir_ = n->left_ ? n->left_ : n->right_;
    if (n->left_ && n->right_) {
        struct node **next = &n->right_;
        while (PMEM(pmp, *next)->left_)
            next = &PMEM(pmp, *next)->left_;
        heir_ = *next;
        struct node *heir = PMEM(pmp, heir_);
        pmemalloc_onfree(pmp, n_, (void **)&heir->left_, n->left_);
        if (next != &n->right_) {
            pmemalloc_onfree(pmp, n_, (void **)next, heir->right_);
            pmemalloc_onfree(pmp, n_, (void **)&heir->right_, n->right_);
        }
    }
    pmemalloc_onfree(pmp, n_, (void **)link, heir_);
    pmemalloc_free(pmp, n_);
    return pmemalloc_error(pmp);
}

static void show(void *pmp, struct node *n_)
{
    if (!n_)
        return;
    struct node *n = PMEM(pmp, n_);
    show(pmp, n->left_);
    printf("%7llu %s\n", (unsigned long long)n->count, n->word);
    show(pmp, n->right_);
}

static int count(void *pmp)
{
    char word[256];
    int err = ALPS_OK;
    if (scanf("%*[^A-Za-z]") == EOF) // to the first word
        return err;
    while (!err && scanf("%255[A-Za-z]%*[^A-Za-z]", word) == 1)
        err = insert(pmp, word);
    return err;
}

static int carry_out(void *pmp, char **argument)
{
    int err = ALPS_OK;
    if (!strcmp(*argument, "show"))
        show(pmp, ((struct area *)pmemalloc_static_area(pmp))->root_);
    else if (!strcmp(*argument, "count"))
        err = count(pmp);
    else if (!strcmp(*argument, "insert"))
        while (!err && *++argument)
            err = insert(pmp, *argument);
    else if (!strcmp(*argument, "remove"))
        while (!err && *++argument)
            err = take_out(pmp, *argument);
    else
        err = ALPS_EINVAL;
    return err;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "binarytree: POOL insert|count|remove|show|check\n");
        return 1;
    }
    if (!strcmp(argv[2], "check"))
        return pmemalloc_check(argv[1]) != 0;
    void *pmp = pmemalloc_init(argv[1], 4 << 20);
    if (!pmp) {
        perror("binarytree");
        return 1;
    }
    int err = carry_out(pmp, argv + 2);
    if (err)
        fprintf(stderr, "binarytree: %s\n", pool_strerror(err));
    return pmemalloc_close(pmp) || err;
}
