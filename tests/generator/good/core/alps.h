/* alps.h -- a manifest for the tests of the generator
 *
#include "not_followed.h"
 */
#ifndef PARTS_
#define PARTS_
#include "base.h"
#  include "bits.h" // a remark on the include goes with it
#include "../backends/anon.h"
#include "../policies/none.h" /* as does this one */
#include "base.h"
#endif
#include "section.h"
#include "section.h"
