/* #error "alps.h: policy ALPS_USER needs ALPS_USER_POLICY, the name of your table" */
#define ALPS_BACKEND ALPS_ANON
#define ALPS_POLICY ALPS_USER
#include "alps.h"
