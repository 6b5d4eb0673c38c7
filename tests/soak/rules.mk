# rules.mk -- the soak: make soak, check-soak
#
# One program for each medium and policy. SOAK_SECONDS is for all of them
# together.

SOAK_KINDS = file shmem pmem
soak_file = -DSOAK_BACKEND=ALPS_FILE -DSOAK_POLICY=ALPS_NONE \
	-DSOAK_PATH='"/tmp/alps-soak-%d"'
soak_shmem = -DSOAK_BACKEND=ALPS_SHMEM -DSOAK_POLICY=ALPS_NONE \
	-DSOAK_PATH='"/alps-soak-%d"'
soak_pmem = -DSOAK_BACKEND=ALPS_PMEM -DSOAK_POLICY=ALPS_FLUSH \
	-DSOAK_PATH='"/dev/shm/alps-soak-%d"'

build/soak/%: tests/soak/soak.c $(wildcard tests/soak/*.h) tests/check.h alps.h
	@mkdir -p build/soak
	$(CC) $(C11) $(WARNINGS) -Werror $(CFLAGS) $(soak_$*) \
	    -DSOAK_NAME='"soak-$*"' -I. -Itests $< -o $@ -lpthread

# Kills at each instruction, and not at every third or so.
build/soak/kill: tests/test_kill.c build/gcc/any.o $(wildcard tests/*.h) alps.h
	@mkdir -p build/soak
	$(CC) $(C11) $(WARNINGS) -Werror -O2 -g1 -DSPARE=1 -I. $< build/gcc/any.o \
	    -o $@ -lpthread

# All that a crash between two regions may leave, and more kills there.
build/soak/ties build/soak/spaces: build/soak/%: tests/test_%.c $(wildcard tests/*.h) alps.h
	@mkdir -p build/soak
	$(CC) $(C11) $(WARNINGS) -Werror -O2 -g1 -DALL -I. $< -o $@ -lpthread

SOAK_STEPS = build/soak/kill build/soak/ties build/soak/spaces

.PHONY: soak check-soak run-soak
soak: SOAK_SECONDS = 600
soak: $(SOAK_STEPS) run-soak ## kills at random, for SOAK_SECONDS; then at each step
	@LIMIT=2400 sh tests/run.sh $(SOAK_STEPS)

check-soak: SOAK_SECONDS = 9
check-soak: run-soak ## the same, for seconds

run-soak: $(SOAK_KINDS:%=build/soak/%)
	@ALPS_PMEM_FORCE=1 LIMIT=$$(($(SOAK_SECONDS) + 300)) sh tests/run.sh \
	    $(SOAK_KINDS:%='build/soak/% '$$(($(SOAK_SECONDS) / 3)))
