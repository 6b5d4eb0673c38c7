/* bits.h -- includes the manifest */
#pragma once
#include "alps.h"
