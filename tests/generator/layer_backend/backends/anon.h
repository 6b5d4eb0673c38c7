/* anon.h -- a backend that names another of its layer */
#pragma once
#include "shmem.h"
