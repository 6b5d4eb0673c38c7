/* operations.h -- what a program does to a region, and tells the oracle of */
#pragma once
#include "sim.h"

struct op {
    const char *name;
    int (*run)(const struct op *op); /* 0: it cannot be done now */
    unsigned h;                      /* handle, and thread */
    unsigned slot;                   /* of the root area */
    unsigned n, align;
};

int op_publish(const struct op *op);
int op_release(const struct op *op);
int op_alloc(const struct op *op);
int op_zalloc(const struct op *op);
int op_free(const struct op *op);
int op_retire(const struct op *op);
int op_collect(const struct op *op);
int op_realloc(const struct op *op);
int op_cancel(const struct op *op);
int op_reserve(const struct op *op);
int op_adopt(const struct op *op);
int op_adopt_elsewhere(const struct op *op);
int op_move(const struct op *op);
int op_move_once(const struct op *op);
int op_sync(const struct op *op);
int op_grow(const struct op *op);
int op_reopen(const struct op *op);
int op_anew(const struct op *op);
int op_construct(const struct op *op);
int op_destroy(const struct op *op);
int op_describe(const struct op *op);
int op_tx(const struct op *op);
int op_tx_together(const struct op *op);
int op_run(const struct op *op);
const struct op *op_named(const char *name, size_t n);
void op_script(const char *names);

/* The operations that short programs are made of. */
extern const struct op op_alphabet[];
extern const unsigned op_alphabet_n;

extern unsigned op_depth; /* operations of the program so far */
void op_note(const char *text);
void op_returned(const char *from);
void op_unhold(unsigned i);
struct sim_block op_fresh(unsigned h, uint64_t off);
struct sim_block *op_nameless(void);
int op_spoken_for_by_tx(const struct sim_block *b);
void op_must(int err, const char *what);
void op_set_root(unsigned slot, uint64_t off);
void op_store_root(unsigned h, unsigned slot, uint64_t off);
void op_open_both(void);
void op_close_both(void);
