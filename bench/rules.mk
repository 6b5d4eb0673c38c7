# bench/rules.mk -- building and running the benchmarks
#
# Each peer is a program of its own, so that libraries which replace malloc do
# not meet. A peer whose package is not installed is left out, with a line that
# names the package.

BENCH = build/bench
BENCH_FLAGS = -O2 -DNDEBUG $(WARNINGS) -I. -pthread

BENCH_MALLOCS = glibc jemalloc mimalloc tcmalloc
BENCH_ALPS = alps_none alps_shmem alps_flush alps_msync alps_checkpoint \
	alps_file alps_paged alps_paged_64k alps_paged_told \
	alps_paged_checkpoint
BENCH_BARE = $(if $(filter x86_64,$(shell uname -m)),bare bare_store)
BENCH_PAGES = msync write_once write_twice cp
BENCH_MAPPED = mmap mmap_random
BENCH_PEERS = $(BENCH_MALLOCS) memkind boost pmemobj pmemobj_msync \
	$(BENCH_BARE) $(BENCH_PAGES) sqlite lmdb $(BENCH_MAPPED) \
	$(BENCH_ALPS)

bench_glibc = -DPEER_LIBRARY='"libc.so"'
bench_jemalloc = -DPEER_LIBRARY='"jemalloc"' -ljemalloc
bench_mimalloc = -DPEER_LIBRARY='"mimalloc"' -lmimalloc
bench_tcmalloc = -DPEER_LIBRARY='"tcmalloc"' -ltcmalloc_minimal
bench_memkind = -lmemkind
bench_pmemobj = -DPEER_FORCE='"1"' -lpmemobj
bench_pmemobj_msync = -DPEER_FORCE='"0"' -DPEER_LINKS=16 \
	-DPEER_CLOCK=CLOCK_MONOTONIC -lpmemobj
bench_bare = -DBARE_STREAM=1
bench_bare_store = -DBARE_STREAM=0
bench_msync = -DPAGES_WRITES=0 -DPAGES_COPIES=0
bench_write_once = -DPAGES_WRITES=1 -DPAGES_COPIES=0
bench_write_twice = -DPAGES_WRITES=2 -DPAGES_COPIES=0
bench_cp = -DPAGES_WRITES=1 -DPAGES_COPIES=1
bench_sqlite = -lsqlite3
bench_lmdb = -llmdb
bench_alps_none = -DBENCH_BACKEND=ALPS_ANON -DBENCH_POLICY=ALPS_NONE \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=0 -DBENCH_REOPENS=0 -DBENCH_SHARES=0
bench_alps_shmem = -DBENCH_BACKEND=ALPS_SHMEM -DBENCH_POLICY=ALPS_NONE \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=1 -DBENCH_REOPENS=1 -DBENCH_SHARES=1
bench_alps_flush = -DBENCH_BACKEND=ALPS_PMEM -DBENCH_POLICY=ALPS_FLUSH \
	-DBENCH_DURABLE=1 -DBENCH_SHMEM=0 -DBENCH_REOPENS=1 -DBENCH_SHARES=1
bench_alps_msync = -DBENCH_BACKEND=ALPS_FILE -DBENCH_POLICY=ALPS_MSYNC \
	-DBENCH_DURABLE=1 -DBENCH_SHMEM=0 -DBENCH_REOPENS=1 -DBENCH_SHARES=1 -DBENCH_LINKS=16 \
	-DPEER_CLOCK=CLOCK_MONOTONIC
bench_alps_checkpoint = -DBENCH_BACKEND=ALPS_FILE \
	-DBENCH_POLICY=ALPS_CHECKPOINT \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=0 -DBENCH_REOPENS=1 -DBENCH_SHARES=0 \
	-DBENCH_PAGES=1
bench_alps_file = -DBENCH_BACKEND=ALPS_FILE -DBENCH_POLICY=ALPS_NONE \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=0 -DBENCH_REOPENS=0 -DBENCH_SHARES=0 \
	-DBENCH_LIMITED=1
bench_alps_paged = -DBENCH_BACKEND=ALPS_PAGED -DBENCH_POLICY=ALPS_NONE \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=0 -DBENCH_REOPENS=0 -DBENCH_SHARES=0 \
	-DBENCH_LIMITED=1 -DBENCH_MAPS=1 -DBENCH_SEGMENT=0
bench_alps_paged_64k = $(subst SEGMENT=0,SEGMENT=65536,$(bench_alps_paged))
bench_alps_paged_told = $(bench_alps_paged) \
	-DBENCH_ENGINE=ALPS_ENGINE_USERFAULTFD
bench_alps_paged_checkpoint = -DBENCH_BACKEND=ALPS_PAGED \
	-DBENCH_POLICY=ALPS_CHECKPOINT -DBENCH_FAULTS=1 -DBENCH_LIMITED=1 \
	-DBENCH_DURABLE=0 -DBENCH_SHMEM=0 -DBENCH_REOPENS=0 -DBENCH_SHARES=0 \
	-DBENCH_PAGES=1
bench_mmap = -DMAPPED_ADVICE=MADV_NORMAL
bench_mmap_random = -DMAPPED_ADVICE=MADV_RANDOM -DPEER_ORDERED=0

# What a peer needs besides the compiler: a header, and the package with it.
bench_needs_jemalloc = jemalloc/jemalloc.h libjemalloc-dev
bench_needs_mimalloc = mimalloc.h libmimalloc-dev
bench_needs_tcmalloc = gperftools/tcmalloc.h libgoogle-perftools-dev
bench_needs_memkind = memkind.h libmemkind-dev
bench_needs_boost = boost/interprocess/managed_mapped_file.hpp libboost-dev
bench_needs_pmemobj = libpmemobj.h libpmemobj-dev
bench_needs_pmemobj_msync = $(bench_needs_pmemobj)
bench_needs_sqlite = sqlite3.h libsqlite3-dev
bench_needs_lmdb = lmdb.h liblmdb-dev

BENCH_LOADS = $(wildcard bench/*.h)
BENCH_PROGRAMS = $(BENCH_PEERS:%=$(BENCH)/%)
bench_name = $(notdir $@)
bench_source = $(filter %.c %.cpp,$^)
bench_wants = $(bench_needs_$(bench_name))
bench_cpp = $(filter %.cpp,$(bench_source))
bench_cc = $(if $(bench_cpp),$(CXX) -std=gnu++11,$(CC) $(C11))

$(BENCH_MALLOCS:%=$(BENCH)/%): bench/malloc.c
$(BENCH_ALPS:%=$(BENCH)/%): bench/alps.c
$(BENCH)/memkind: bench/memkind.c
$(BENCH)/boost: bench/boost.cpp
$(BENCH)/pmemobj $(BENCH)/pmemobj_msync: bench/pmemobj.c
$(BENCH)/bare $(BENCH)/bare_store: bench/bare.c
$(BENCH_PAGES:%=$(BENCH)/%): bench/pages.c
$(BENCH_MAPPED:%=$(BENCH)/%): bench/mapped.c
$(BENCH)/sqlite: bench/sqlite.c
$(BENCH)/lmdb: bench/lmdb.c
$(BENCH_ALPS:%=$(BENCH)/%) $(BENCH)/counts: alps.h

$(BENCH_PROGRAMS): $(BENCH_LOADS) bench/rules.mk
	@mkdir -p $(BENCH)
	@if printf '%s\n' \
	    $(patsubst %,'#include <%>',$(firstword $(bench_wants))) \
	    | $(bench_cc) -x $(if $(bench_cpp),c++,c) -E - \
	      >/dev/null 2>&1; then \
	    echo "$(bench_cc) -o $@"; \
	    $(bench_cc) $(BENCH_FLAGS) $(bench_source) -o $@ \
	        -Wl,--no-as-needed $(bench_$(bench_name)) -ldl; \
	else \
	    rm -f $@; \
	    echo "bench: $(bench_name) is left out:" \
	        "$(firstword $(bench_wants)) is not installed" \
	        "(Debian: $(lastword $(bench_wants)))"; \
	fi

BENCH_ALL = $(BENCH_PROGRAMS) $(BENCH)/counts

$(BENCH)/counts: bench/counts.c $(BENCH_LOADS) bench/rules.mk
	@mkdir -p $(BENCH)
	$(CC) $(C11) $(BENCH_FLAGS) $< -o $@

$(BENCH)/names: bench/names.c alps.h bench/rules.mk
	@mkdir -p $(BENCH)
	$(CC) $(C11) $(BENCH_FLAGS) $< -o $@

.PHONY: bench bench-quick bench-paged bench-counts bench-names
bench-names: $(BENCH)/names ## what it costs to name an object and to find it
	@$(BENCH)/names

bench: $(BENCH_ALL) ## measures alps.h beside its peers: a table, pictures
	@sh bench/run.sh $(BENCH) full $(BENCH_PEERS)

bench-quick: $(BENCH_ALL) ## the same as a smoke test: its figures mean little
	@sh bench/run.sh $(BENCH) quick $(filter-out alps_paged_told \
	    alps_paged_checkpoint,$(BENCH_PEERS))

bench-paged: $(BENCH_ALL) ## only what is larger than its memory
	@sh bench/run.sh $(BENCH) paged $(BENCH_MAPPED) $(BENCH_ALPS)

bench-counts: $(BENCH_ALL) ## fences, lines, instructions of each operation
	@sh bench/counts.sh $(BENCH) $(BENCH_PEERS)
