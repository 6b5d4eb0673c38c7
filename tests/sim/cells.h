/* cells.h -- what may be durable of each part of a world
 *
 * A cell is what reaches the medium for itself: a line, a word or a sector,
 * by the model. Its states are the contents it may have after a crash, state
 * 0 the oldest. Cells with one state are left out. */
#pragma once
#include "sim.h"

#define SIM_STATES 48u /* of a cell: more are thinned out in the middle */

struct sim_cell {
    uint32_t place, n; /* its bytes */
    uint32_t states;   /* how many */
    uint32_t first;    /* of its contents in `arena` */
    uint32_t now;      /* the state it has in the image */
    uint32_t chosen;   /* the recovery has looked at it */
};

struct sim_cells {
    uint32_t n;
    uint32_t open_n;               /* words that are set in `open` */
    unsigned char open[SIM_WORDS]; /* not looked at yet: may still change */
    uint16_t of_word[SIM_WORDS];   /* the cell of a word, where states of it
                                      differ in this word */
    struct sim_cell cell[SIM_WORDS];
    uint32_t arena_n, arena_size;
    unsigned char *arena;
};

void sim_cells_make(struct sim_cells *c, const struct sim_world *w);
const unsigned char *sim_cell_state(const struct sim_cells *c,
                                    const struct sim_cell *cell,
                                    uint32_t state);
