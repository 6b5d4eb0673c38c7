/* alps.h -- memory that outlives the process, the crash and the machine
 *
 * One header, no library. `#define` a backend (where bytes live) and a policy
 * (when they are durable), include, and get regions, offset pointers and a
 * crash-consistent TLSF heap. SPDX-License-Identifier: MIT */
#ifndef ALPS_PARTS_
#  define ALPS_PARTS_
#  include "manual.h"
#  include "choice.h"
#  include "base.h"
#  include "error.h"
#  include "bits.h"
#  include "backend.h"
#  include "policy.h"

#  include "address.h"
#  include "lease.h"
#  include "descriptor.h"
#  include "cpu.h"
#  include "sysfs.h"
#  include "../backends/anon.h"
#  include "../backends/shmem.h"
#  include "../backends/file.h"
#  include "../backends/pmem.h"

#  include "gather.h"
#  include "persist.h"
#  include "../policies/none.h"
#  include "../policies/flush.h"
#  include "../policies/fence.h"
#  include "../policies/msync.h"

#  include "layout.h"
#  include "handle.h"
#  include "process.h"
#  include "lock.h"
#  include "bins.h"
#  include "codes.h"
#  include "tlsf.h"
#  include "held.h"
#  include "slab.h"
#  include "block.h"
#  include "extent.h"
#  include "loose.h"
#  include "limbo.h"
#  include "cache.h"
#  include "thread.h"
#  include "lane.h"
#  include "mend.h"
#  include "recover.h"
#  include "region.h"
#  include "ptr.h"
#  include "heap.h"
#  include "rack.h"
#  include "small.h"
#  include "publish.h"
#  include "epoch.h"
#  include "resize.h"
#  include "slow.h"
#  include "visit.h"
#  include "check.h"
#  include "describe.h"
#endif

#ifndef ALPS_CORE_ONLY
#  include "select.h"
#  include "instance.h"
#endif
#include "unselect.h"
