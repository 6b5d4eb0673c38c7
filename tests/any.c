/* any.c -- the instance that any.h declares */
#define ANY_HERE
#include "any.h"

alps_backend medium;
alps_policy manner;
const alps_tables any_tables_ = {
    &medium, &manner, here_slow_, here_ended_, here_other_, here_far_, NULL,
};
