/* #error "alps.h: policy ALPS_CHECKPOINT is not in this version: ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC and ALPS_USER are" */
#define ALPS_BACKEND ALPS_USER
#define ALPS_USER_BACKEND my_backend
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"
