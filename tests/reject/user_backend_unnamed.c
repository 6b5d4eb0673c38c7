/* #error "alps.h: backend ALPS_USER needs ALPS_USER_BACKEND, the name of your table" */
#define ALPS_BACKEND ALPS_USER
#include "alps.h"
