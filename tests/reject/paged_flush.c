/* #error "alps.h: backend ALPS_PAGED goes with policy ALPS_NONE, ALPS_MSYNC or ALPS_CHECKPOINT" */
#define ALPS_BACKEND ALPS_PAGED
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"
