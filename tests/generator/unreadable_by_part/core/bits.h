/* bits.h -- names a part that is not there */
#pragma once
#include "nowhere.h"
