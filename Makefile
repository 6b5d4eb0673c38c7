# Makefile -- builds, tests, measures; `make help` lists the targets
#
# The examples and the demo need a C compiler and make, nothing else. What a
# test needs besides it skips, and says so, where it is missing. Everything made
# is in build/, but for alps.h.

ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = g++
endif
CLANG = clang
AWK = awk
AARCH64_CC = aarch64-linux-gnu-gcc

# On its own processor qemu 7 tells of dc cvap, yet does not know it; and it
# keeps a table of all addresses, so there must not be 2^47 bytes of them.
AARCH64_RUN = qemu-aarch64 -cpu cortex-a72 -R 32G

C11 = -std=gnu11
CXX11 = -std=gnu++11
WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow \
	-Wundef -Wcast-qual
CFLAGS = -O2 -g
FUZZ_SECONDS = 30

PARTS = $(wildcard core/*.h backends/*.h policies/*.h)
GENERATE = LC_ALL=C $(AWK) -f tools/amalgamate.awk core/alps.h $(PARTS)
EXAMPLES = $(patsubst examples/%.c,build/%,\
	$(filter-out examples/malloc.c,$(wildcard examples/*.c))) \
	build/libalpsmalloc.so
UNITS = $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
CXX_UNITS = $(patsubst tests/%.cc,%,$(wildcard tests/test_*.cc))
FUZZERS = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))

export CC CXX CLANG AARCH64_CC AARCH64_RUN WARNINGS

.PHONY: all examples
all: examples
examples: $(EXAMPLES) ## builds every example into build/ (what `make` does)

build/%: examples/%.c alps.h $(wildcard examples/*.h)
	@mkdir -p build
	$(CC) $(C11) $(WARNINGS) $(CFLAGS) -I. $< -o $@ -lpthread

build/libalpsmalloc.so: examples/malloc.c alps.h
	@mkdir -p build
	$(CC) $(C11) $(WARNINGS) $(CFLAGS) -fPIC -shared -I. $< -o $@ -lpthread

alps.h: $(PARTS) tools/amalgamate.awk ## makes alps.h anew from its parts
	@mkdir -p build
	@$(GENERATE) >build/alps.h.$$$$ && mv build/alps.h.$$$$ $@

.PHONY: demo
demo: examples ## builds the examples, kills them, shows that nothing is lost
	@sh examples/demo.sh build

# ---- tests

# Each suite is a target of its own. check-generated comes first: it must see
# alps.h as it was committed, and what follows makes it anew where it is older
# than a part.
SUITES = generated generator house reject compile readme unit demo preload \
	shared sim soak

.PHONY: check $(SUITES:%=check-%)
check: ## runs all tests; the last line is the total
	@LIMIT=2400 sh tests/run.sh $(SUITES:%='$(MAKE) -s check-%')

check-generated: ## alps.h is what the generator makes of the parts
	@sh tests/generated.sh $(PARTS)

check-generator: ## what the generator makes and refuses, with every awk
	@sh tests/generator/run.sh

check-house: ## the look of the parts
	@sh tests/house.sh

check-reject: alps.h ## programs that must not compile
	@sh tests/reject/run.sh

check-compile: alps.h ## compilers, languages, levels, pairs, instances, symbols
	@sh tests/compile/run.sh

check-readme: alps.h ## the programs in README.md and in the manual
	@sh tests/readme.sh

check-demo: examples
	@sh examples/demo.sh build && echo 'demo: 1 passed, 0 failed'

check-preload: examples ## programs of the system with the malloc of examples/
	@sh tests/preload.sh build

check-shared: build/shared ## copies on xfs and btrfs, where one may mount
	@sh tests/shared/run.sh build/shared

build/shared: tests/shared/shared.c tests/check.h alps.h
	@mkdir -p build
	$(CC) $(C11) $(WARNINGS) -Werror -O1 -g -I. -Itests $< -o $@ -lpthread

# As many compilers as there are processors, unless a -j said how many.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# One program for each test, in each of these kinds, with an instance that most
# of those in C share: $(1) kind, $(2) compiler, $(3) flags, $(4) what runs it,
# $(5) the programs in C, $(6) those in C++, $(7) their compiler and flags.
define kind
.PHONY: units-$(1) run-$(1)
build/$(1)/any.o: tests/any.c tests/any.h $(PARTS) alps.h
	@mkdir -p build/$(1)
	@rm -f $$@
	$(2) $(C11) $(WARNINGS) -Werror $(3) -I. -c $$< -o $$@
build/$(1)/%: tests/%.c build/$(1)/any.o $(wildcard tests/*.h) $(PARTS) alps.h
	@rm -f $$@
	$(2) $(C11) $(WARNINGS) -Werror $(3) -I. $$< build/$(1)/any.o -o $$@ -lpthread
build/$(1)/%: tests/%.cc $(wildcard tests/*.h) $(PARTS) alps.h
	@mkdir -p build/$(1)
	@rm -f $$@
	$(7) $(CXX11) $(WARNINGS) -Werror -I. $$< -o $$@ -lpthread -lstdc++ -lm
units-$(1): $(5:%=build/$(1)/%) $(6:%=build/$(1)/%)
run-$(1):
	@$(MAKE) -sk $$(JOBS) units-$(1) || true
	@LIMIT=300 WIDTH=$$(shell nproc) sh tests/run.sh \
	    $(5:%='$(4)build/$(1)/%') $(6:%='$(4)build/$(1)/%')
endef

# ThreadSanitizer sees the threads of one process: it runs the tests that have
# some, or a backend that has. Another processor or optimiser is not another
# kernel: the longest tests of files and of paging are not for those.
THREADED = test_paged $(patsubst tests/%.c,%,$(shell grep -lE \
	'pthread_create|"(things|pages)\.h"' tests/test_*.c))
LIGHT_UNITS = $(filter-out $(addprefix test_,checkpoint torn outgrow paged pager \
	uffd paging progress watermark ahead transit leaving narrow spill capture \
	medium backing ties spaces),$(UNITS))

# Lines are enough to find a failure; variables too would take a third longer,
# and to optimise what runs slowly anyway takes longer than it saves. What clang
# optimises is without assertions. It takes a third of gcc's time for
# AddressSanitizer, but only gcc says that this is there.
SANE = -fsanitize=address,undefined -fno-sanitize-recover=all
SANE_CC := $(if $(shell command -v $(CLANG)),$(CLANG) -D__SANITIZE_ADDRESS__,$(CC))
$(eval $(call kind,gcc,$(CC),-O2 -g1,,$(UNITS),$(CXX_UNITS),$(CXX) -O1 -g1))
$(eval $(call kind,clang,$(CLANG),-O1 -g1 -DNDEBUG,,$(LIGHT_UNITS),$(CXX_UNITS),\
	$(CLANG) -O0 -g1 -DNDEBUG))
$(eval $(call kind,asan,$(SANE_CC),-O0 -g1 $$(SANE),,$(UNITS),$(CXX_UNITS),\
	$(CXX) -O0 -g1 $$(SANE)))
$(eval $(call kind,tsan,$(CC),-O1 -g1 -fsanitize=thread -Wno-tsan,,\
	$(THREADED)))
$(eval $(call kind,aarch64,$(AARCH64_CC),-O1 -g1 -static -DCHECK_EMULATED,\
	$(AARCH64_RUN) ,$(LIGHT_UNITS)))

# The containers of clang's own library, which are other ones.
build/libcxx/%: tests/%.cc $(wildcard tests/*.h) $(PARTS) alps.h
	@mkdir -p build/libcxx
	@rm -f $@
	$(CLANG) -stdlib=libc++ -O0 -g1 $(CXX11) $(WARNINGS) -Werror -I. $< -o $@ \
	    -lpthread -lc++ -lm

.PHONY: run-libcxx
run-libcxx:
	@if echo '#include <vector>' | $(CLANG) -x c++ -stdlib=libc++ \
	    -fsyntax-only - 2>/dev/null; then \
	    $(MAKE) -s build/libcxx/test_containers && \
	    sh tests/run.sh build/libcxx/test_containers; \
	else sh tests/where.sh libc++ containers; fi

check-unit: ## the unit tests with gcc and, where there is one, clang and NDEBUG
	@LIMIT=1500 sh tests/run.sh '$(MAKE) -s run-gcc' \
	    'sh tests/where.sh $(CLANG) $(MAKE) -s run-clang' \
	    'sh tests/where.sh $(CLANG) $(MAKE) -s run-libcxx'

.PHONY: check-asan check-tsan check-aarch64
check-asan: run-asan ## the unit tests under AddressSanitizer and UBSan
check-tsan: run-tsan ## the unit tests under ThreadSanitizer
check-aarch64: ## the unit tests for AArch64, emulated
	@LIMIT=1500 sh tests/run.sh 'sh tests/where.sh $(AARCH64_CC) \
	    sh tests/where.sh $(firstword $(AARCH64_RUN)) $(MAKE) -s run-aarch64'

# ---- the rest

-include tests/sim/rules.mk
-include tests/soak/rules.mk
-include bench/rules.mk

.PHONY: check-bench
check-bench: ## a short run of the benchmarks, to see that they run
	@$(MAKE) -s $(JOBS) bench-quick && echo 'bench: 1 passed, 0 failed'

.PHONY: fuzz run-fuzz
fuzz: ## damaged regions into open, check and each: FUZZ_SECONDS each
	@sh tests/run.sh 'sh tests/where.sh $(CLANG) $(MAKE) -s run-fuzz'

run-fuzz: $(FUZZERS)
	@WIDTH=$(shell nproc) sh tests/run.sh $(FUZZERS:%='sh tests/fuzz.sh % $(FUZZ_SECONDS)')

build/fuzz/%: tests/fuzz/%.c $(wildcard tests/*.h) alps.h
	@mkdir -p build/fuzz
	@rm -f $@
	$(CLANG) $(C11) $(WARNINGS) -O1 -g -I. \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $< -o $@

.PHONY: format
format: ## lets clang-format settle the shape of the C files
	clang-format -i $(filter-out core/select.h,$(PARTS)) \
	    $(wildcard tests/*.[ch] tests/*.cc tests/sim/*.[ch] tests/soak/*.[ch] \
	    tests/fuzz/*.[ch] tests/compile/*.[ch] tests/preload/*.[ch] \
	    bench/*.[ch])

# Two suites at a time, the longest first: each has phases that keep one
# processor busy or none. What several of them need is made before.
FIRST = unit aarch64 compile asan tsan
LAST = $(filter-out unit compile sim soak,$(SUITES))

.PHONY: check-all
check-all: examples ## all suites there are, and more of each: what CI runs
	@LIMIT=1500 WIDTH=2 sh tests/run.sh $(FIRST:%='$(MAKE) -s check-%') \
	    "$(MAKE) -s SIM_EFFORT='1 2000000' check-sim" \
	    '$(MAKE) -s check-bench' '$(MAKE) -s fuzz' \
	    '$(MAKE) -s SOAK_SECONDS=20 check-soak' \
	    $(LAST:%='$(MAKE) -s check-%')

.PHONY: clean
clean: ## removes build/
	rm -rf build

.PHONY: help
help: ## lists the targets
	@$(AWK) -F ':.*## ' '/^[a-z][a-z0-9.-]*:.*## / \
	    { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
