/* alps.h -- names a part that is not there */
#include "base.h"
#include "bits.h"
#include "nowhere.h"
#include "../backends/anon.h"
#include "../policies/none.h"
#include "section.h"
