/* bits.h -- a part of the core that names a backend */
#pragma once
#include "../backends/anon.h"
