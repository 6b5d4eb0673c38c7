/* base.h -- includes itself */
#pragma once
#include "base.h"
