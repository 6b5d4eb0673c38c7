/* none.h -- a policy */
#pragma once
#include "../backends/../core/bits.h"
enum { NONE = BITS };
