/* #error "alps.h: backend ALPS_PMEM goes with policy ALPS_NONE, ALPS_FLUSH, ALPS_FENCE or ALPS_MSYNC" */
#define ALPS_BACKEND ALPS_PMEM
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"
