/* any.c -- the instance that any.h declares */
#define ANY_HERE
#include "any.h"

alps_backend medium;
alps_policy manner;
extern const alps_tables any_tables_ __attribute__((alias("here_tables_")));
