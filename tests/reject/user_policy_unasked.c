/* #error "alps.h: ALPS_USER_POLICY goes with policy ALPS_USER" */
#define ALPS_USER_POLICY my_policy
#include "alps.h"
