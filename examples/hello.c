/* hello.c -- a program that remembers how often it has run
 *
 * Each run puts a block at the head of a list in the file hello.alps. Killed
 * at any instruction, a run has either been counted or left no trace. */
#include "alps.h"

typedef ALPS_PTR(struct run) run_ptr;
struct run {
    run_ptr before;
    unsigned long number;
};

static int failed(int code)
{
    fprintf(stderr, "hello: %s\n", alps_strerror(code));
    return 1;
}

int main(void)
{
    alps_heap h;
    int err = alps_open(&h, "hello.alps", NULL);
    if (err)
        return failed(err);
    run_ptr *last = (run_ptr *)alps_root(&h, sizeof *last);
    struct run *before = ALPS_GET(&h, *last);
    struct run *now = (struct run *)alps_reserve(&h, sizeof *now);
    if (!now)
        return failed(alps_error(&h));
    now->before = *last;
    now->number = before ? before->number + 1 : 1;
    err = alps_publish(&h, &last->off, now);
    if (err)
        return failed(err);
    printf("This program has run %lu times.\n", now->number);
    return alps_close(&h) ? 1 : 0;
}
