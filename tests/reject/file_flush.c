/* #error "alps.h: backend ALPS_FILE goes with policy ALPS_NONE or ALPS_MSYNC" */
#define ALPS_BACKEND ALPS_FILE
#define ALPS_POLICY ALPS_FLUSH
#include "alps.h"
