/* alps.h -- a manifest that leaves the house */
#include "base.h"
#include "bits.h"
#include "../backends/anon.h"
#include "../policies/none.h"
#include "../tests/section.h"
#include "section.h"
