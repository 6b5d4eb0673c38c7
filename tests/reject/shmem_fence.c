/* #error "alps.h: backend ALPS_SHMEM goes with policy ALPS_NONE or ALPS_FLUSH" */
#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_FENCE
#include "alps.h"
