/* #error "alps.h: backend ALPS_SHMEM goes with policy ALPS_NONE or ALPS_FLUSH" */
#define ALPS_NAME first
#define ALPS_BACKEND ALPS_ANON
#include "alps.h"

#define ALPS_NAME second
#define ALPS_BACKEND ALPS_SHMEM
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"
