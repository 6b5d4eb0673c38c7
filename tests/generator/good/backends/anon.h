/* anon.h -- a backend that includes a part of the core */
#pragma once
#include "../core/bits.h"
#include "../core/./base.h"

enum { ANON = BITS };
