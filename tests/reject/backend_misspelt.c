/* #error "alps.h: ALPS_BACKEND is none of ALPS_ANON, ALPS_SHMEM, ALPS_FILE, ALPS_PMEM, ALPS_PAGED and ALPS_USER" */
#define ALPS_BACKEND ALPS_FIEL
#include "alps.h"
