/* none.h -- includes a section */
#pragma once
#include "../core/section.h"
