/* section.h -- there at each include of the manifest */
#include "bits.h"
#undef SECTION
#define SECTION 1
