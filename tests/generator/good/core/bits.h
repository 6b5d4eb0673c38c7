/* bits.h -- a part that includes one above it */
#pragma once
#include "base.h"

enum { BITS = 1 };
