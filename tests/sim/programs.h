/* programs.h -- where a program stands, and how it goes back to there */
#pragma once
#include "sim.h"

struct node {
    struct sim_world world;
    struct sim_oracle oracle;
    unsigned char handle[2][2048];
    unsigned char local[2][SIM_LOCAL];
    unsigned thread;
    unsigned depth; /* operations so far */
};

struct node *programs_nodes(unsigned n);
void programs_keep(struct node *n);
void programs_back_to(const struct node *n);
void programs_begin(uint64_t size);
void programs_open_quietly(void);
