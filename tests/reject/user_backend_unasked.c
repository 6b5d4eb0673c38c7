/* #error "alps.h: ALPS_USER_BACKEND goes with backend ALPS_USER" */
#define ALPS_BACKEND ALPS_ANON
#define ALPS_USER_BACKEND my_backend
#include "alps.h"
