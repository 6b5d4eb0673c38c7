/* bits.h -- needs nothing */
#pragma once
enum { BITS = 1 };
