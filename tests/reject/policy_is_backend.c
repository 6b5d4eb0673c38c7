/* #error "alps.h: ALPS_POLICY is none of ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC and ALPS_USER" */
#define ALPS_BACKEND ALPS_PMEM
#define ALPS_POLICY ALPS_PMEM
#include "alps.h"
