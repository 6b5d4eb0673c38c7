/* base.h -- needs what stands below it */
#pragma once
#include "bits.h"
