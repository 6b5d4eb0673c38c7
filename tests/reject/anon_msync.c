/* #error "alps.h: backend ALPS_ANON goes with policy ALPS_NONE" */
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_MSYNC
#include "alps.h"
