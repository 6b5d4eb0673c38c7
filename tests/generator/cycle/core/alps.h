/* alps.h -- no order would do */
#include "base.h"
#include "bits.h"
#include "word.h"
#include "../backends/anon.h"
#include "../policies/none.h"
#include "section.h"
