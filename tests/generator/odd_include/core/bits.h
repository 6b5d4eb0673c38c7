/* bits.h -- includes that cannot be followed */
#pragma once
#include BITS_H
#include "base.h" /* a comment that goes on
                     in the next line */
