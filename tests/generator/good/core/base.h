/* base.h -- what is kept */
#pragma once
#include <stddef.h>
#define SLASH_STAR "/*" /* opens no comment: */
#define QUOTE '"'       // nor "does this: /*

/* But this does:
#pragma once
#include "base.h"
 */
