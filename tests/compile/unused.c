/* unused.c -- included twice and not used: leaves nothing in the object */
#include "alps.h"
#define ALPS_NAME second
#define ALPS_BACKEND ALPS_ANON
#include "alps.h"
