/* bits.h -- needs a part that the manifest forgot */
#pragma once
#include "lost.h"
