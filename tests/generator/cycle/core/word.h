/* word.h -- needs bits.h */
#pragma once
#include "bits.h"
