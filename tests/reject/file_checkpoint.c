/* #error "alps.h: policy ALPS_CHECKPOINT is not in this version: ALPS_NONE, ALPS_FLUSH, ALPS_FENCE, ALPS_MSYNC and ALPS_USER are" */
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_CHECKPOINT
#include "alps.h"
