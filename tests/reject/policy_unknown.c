/* #error "alps.h: ALPS_POLICY is none of ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC, ALPS_CHECKPOINT and ALPS_USER" */
#define ALPS_POLICY 16
#include "alps.h"
