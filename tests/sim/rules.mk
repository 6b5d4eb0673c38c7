# rules.mk -- the persistency simulator: make check-sim, check-sim-ci
#
# The unit under test is compiled with -fsanitize=thread and linked without
# libtsan, against call-outs of our own; its memcpy and the like are renamed to
# ones that tell. gcc only: the call-outs are its.

SIM_CC = gcc
SIM_SOURCES = world tsan local cells crash sites weave
SIM_PARTS = $(SIM_SOURCES) oracle operations together exercise programs mended woven main
SIM_CFLAGS = $(C11) $(WARNINGS) -Werror -O2 -g -fno-pie
SIM_UNIT = $(C11) $(WARNINGS) -Werror -Wno-maybe-uninitialized -O1 -g \
	-fno-pie -fsanitize=thread \
	--param tsan-instrument-func-entry-exit=0 -fno-builtin -fno-ipa-icf \
	-fno-crossjumping -fno-tree-tail-merge -fno-reorder-blocks \
	-fno-tree-loop-distribute-patterns -fno-inline-functions-called-once
SIM_RENAMED = memcpy=sim_memcpy memmove=sim_memmove memset=sim_memset \
	memcmp=sim_memcmp open=sim_no_file nanosleep=sim_no_nap \
	sched_yield=sim_no_yield mmap=sim_mmap munmap=sim_no_unmap madvise=sim_no_advice \
	pthread_key_create=sim_no_key pthread_key_delete=sim_no_key_gone \
	pthread_setspecific=sim_no_value

build/sim/unit-%.o: tests/sim/unit.c $(wildcard tests/sim/*.h) alps.h
	@mkdir -p build/sim
	$(SIM_CC) $(SIM_UNIT) -I. -Itests/sim -DSIM_POLICY=ALPS_$* -c $< -o $@.raw
	objcopy $(SIM_RENAMED:%=--redefine-sym %) $@.raw $@

build/sim/toy.o: tests/sim/toy.c tests/sim/sim.h core/policy.h
	@mkdir -p build/sim
	$(SIM_CC) $(SIM_UNIT) -c $< -o $@.raw
	objcopy $(SIM_RENAMED:%=--redefine-sym %) $@.raw $@

build/sim/%.o: tests/sim/%.c $(wildcard tests/sim/*.h) core/policy.h
	@mkdir -p build/sim
	$(SIM_CC) $(SIM_CFLAGS) -c $< -o $@

build/sim/toy: $(SIM_SOURCES:%=build/sim/%.o) build/sim/toy.o
	$(SIM_CC) -no-pie $^ -o $@

build/sim/sim-%: $(SIM_PARTS:%=build/sim/%.o) build/sim/unit-%.o
	$(SIM_CC) -no-pie $^ -o $@

SIM_PROGRAMS = build/sim/toy build/sim/sim-FLUSH build/sim/sim-MSYNC \
	build/sim/sim-NONE

.PHONY: check-sim check-sim-ci sim
sim: $(SIM_PROGRAMS)

# How much, and how many images there must be: see tests/sim/run.sh.
SIM_EFFORT = 1 100000

check-sim: sim ## crash images by the hundred thousand, and mutations
	@sh tests/sim/run.sh $(SIM_EFFORT)

check-sim-ci: ## the same, a million and more: minutes
	@$(MAKE) -s check-sim SIM_EFFORT='2 1000000'
