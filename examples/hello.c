/* hello.c -- a program that remembers how often it has run
 *
 * Each run puts a block at the head of a list in the file hello.alps. Killed
 * at any instruction, a run has either been counted or left no trace. */
#include "alps.h"

typedef ALPS_PTR(struct run) run_ptr;
struct run { run_ptr before; unsigned long number; };

int main(void)
{
    alps_heap h;
    int err = alps_open(&h, "hello.alps", NULL);
    if (err)
        return fprintf(stderr, "hello: %s\n", alps_strerror(err)), 1;
    run_ptr *last = (run_ptr *)alps_root(&h, sizeof *last);
    struct run *before = ALPS_GET(&h, *last);
    struct run *now =
        (struct run *)alps_reserve(&h, sizeof *now);
    if (!now)
        return fprintf(stderr, "hello: %s\n", alps_strerror(alps_error(&h))), 1;
    now->before = *last;
    now->number = before ? before->number + 1 : 1;
    err = alps_publish(&h, &last->off, now);
    printf("This program has run %lu times.\n", now->number);
    return alps_close(&h) || err;
}
