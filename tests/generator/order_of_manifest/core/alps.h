/* alps.h -- the manifest has them the wrong way round */
#include "bits.h"
#include "base.h"
#include "../backends/anon.h"
#include "../policies/none.h"
#include "section.h"
