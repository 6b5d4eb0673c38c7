/* base.h -- needs word.h, which needs bits.h, which needs base.h */
#pragma once
#include "word.h"
