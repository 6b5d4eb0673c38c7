/* lost.h -- the manifest forgot it */
#pragma once
