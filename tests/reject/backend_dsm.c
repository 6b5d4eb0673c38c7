/* #error "alps.h: backend ALPS_DSM is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER are" */
#define ALPS_BACKEND ALPS_DSM
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"
