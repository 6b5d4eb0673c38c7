/* #error "alps.h: backend ALPS_PAGED is not in this version: ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM and ALPS_USER are" */
#define ALPS_BACKEND ALPS_PAGED
#include "alps.h"
