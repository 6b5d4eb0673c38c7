/* Generated from core/, backends/ and policies/ by tools/amalgamate.awk.
 * Edit the parts, then type: make alps.h */

/* alps.h -- a manifest for the tests of the generator
 *
#include "not_followed.h"
 */
#ifndef PARTS_
#define PARTS_

/* base.h -- what is kept */
#include <stddef.h>
#define SLASH_STAR "/*" /* opens no comment: */
#define QUOTE '"'       // nor "does this: /*

/* But this does:
#pragma once
#include "base.h"
 */

/* bits.h -- a part that includes one above it */

enum { BITS = 1 };

/* anon.h -- a backend that includes a part of the core */

enum { ANON = BITS };

/* none.h -- a policy */
enum { NONE = BITS };

#endif

/* section.h -- there at each include of the manifest */
#undef SECTION
#define SECTION 1

/* section.h -- there at each include of the manifest */
#undef SECTION
#define SECTION 1
