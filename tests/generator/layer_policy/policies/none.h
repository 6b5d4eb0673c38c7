/* none.h -- a policy that names a backend, if only one above it */
#pragma once
#include "../backends/anon.h"
