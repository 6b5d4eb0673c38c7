/* #error "alps.h: backend ALPS_PAGED goes with policy ALPS_NONE or ALPS_MSYNC" */
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_POLICY ALPS_FENCE
#include "alps.h"
