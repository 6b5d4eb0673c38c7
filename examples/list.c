/* list.c -- two processes, one list in shared memory
 *
 * The program starts itself a second time. Each process opens the region by
 * its name, wherever it may come to lie, and both put blocks at the head of one
 * list. Then one of them frees them all, the other's with its own. */
#include <sys/file.h>
#include <sys/wait.h>

#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_NONE
#include "alps.h"

#define EACH 10000 // blocks of each process

typedef ALPS_PTR(struct node) node_ptr;
struct node {
    node_ptr next;
    uint64_t number;
    int64_t from;
};
struct root {
    node_ptr head;
};

/* The allocator guards itself. The head of the list is ours to guard, with a
 * lock that the kernel takes from a holder that dies. */
static int push(alps_heap *h, struct root *r, int lock, uint64_t number)
{
    struct node *n = (struct node *)alps_reserve(h, sizeof *n);
    if (!n)
        return alps_error(h);
    n->number = number;
    n->from = getpid();
    if (flock(lock, LOCK_EX))
        return ALPS_ESYSTEM;
    n->next = r->head;
    int err = alps_publish(h, &r->head.off, n);
    flock(lock, LOCK_UN);
    return err;
}

/* What both processes do. */
static int work(alps_heap *h, const char *name)
{
    int lock = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int err = lock < 0 ? ALPS_ESYSTEM : alps_open(h, name, NULL);
    if (err)
        return err;
    struct root *r = (struct root *)alps_root(h, sizeof *r);
    for (uint64_t i = 1; i <= EACH && !err; i++)
        err = push(h, r, lock, i);
    close(lock);
    return err;
}

/* Takes the list apart. Nobody else is at it any more. */
static int take_apart(alps_heap *h)
{
    struct root *r = (struct root *)alps_root(h, sizeof *r);
    uint64_t mine = 0, others = 0;
    struct node *n;
    while ((n = ALPS_GET(h, r->head)) != NULL) {
        mine += n->from == getpid();
        others += n->from != getpid();
        r->head = n->next;
        int err = alps_free(h, n);
        if (err)
            return err;
    }
    printf("Freed %llu blocks of my own and %llu of the other process.\n",
           (unsigned long long)mine, (unsigned long long)others);
    return mine == EACH && others == EACH ? alps_check(h, NULL) : 1;
}

int main(int argc, char **argv)
{
    alps_heap h;
    char name[32];
    snprintf(name, sizeof name, "/alps-list-%ld", (long)getpid());
    if (argc == 2) // the second process: told the name by the first
        return work(&h, argv[1]) || alps_close(&h);
    pid_t second = fork();
    if (second == 0) {
        execl("/proc/self/exe", argv[0], name, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    int err = work(&h, name);
    if (waitpid(second, &status, 0) != second || status)
        err = ALPS_ESYSTEM;
    err = err ? err : take_apart(&h);
    if (err)
        fprintf(stderr, "list: %s\n", alps_strerror(err));
    alps_close(&h);
    return alps_remove(name) || err;
}
