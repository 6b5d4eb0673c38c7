#!/bin/sh
# run.sh -- alps.h under every compiler, language and level that we promise
#
# Both compilers, both languages, all levels, all legal pairs, two instances in
# a unit, two units in a program; nothing left over where nothing is used, no
# call through a pointer where the tables are constant. Run from the root.
#
# The Makefile names the compilers, the warnings and the emulator.
#
#     sh tests/compile/run.sh [gcc | clang | aarch64]
here=tests/compile
if [ $# -eq 0 ]; then
    # All three side by side: it is the compilers that take the time.
    mkdir -p build/compile
    for group in gcc clang aarch64; do
        sh $here/run.sh $group >build/compile/$group.txt 2>&1 &
    done
    wait
    cat build/compile/gcc.txt build/compile/clang.txt build/compile/aarch64.txt
    ! grep -q '^FAIL' build/compile/*.txt
    exit
fi

group=$1
suite=compile-$group
. tests/lib.sh
work=build/compile/$group
mkdir -p "$work"
shared=/alps-compile-$$
trap 'rm -f /dev/shm$shared*' EXIT
flags="$WARNINGS -Werror -I."
levels="-O0 -O1 -O2 -O3 -Os"
linking=  # how programs are linked
emulator= # what runs them
tools=    # the prefix of nm and objdump

# Says ok or FAIL by what the command answers.
expect() # name, command
{
    name=$1
    log=$work/$(printf '%s' "$1" | tr -cs 'A-Za-z0-9_.+-' _).txt
    shift
    if "$@" >"$log" 2>&1; then
        ok "$name"
    else
        fail "$name" "status $?, see $log: $(head -n 3 "$log")"
    fi
}

# Compiles and links one program, and runs it on a path.
# shellcheck disable=SC2086 # compilers and flags are words
program() # name, path, compiler, arguments
{
    name=$1
    path=$2
    compiler=$3
    shift 3
    expect "$name compiles" $compiler $linking $flags "$@" -o "$work/program" -lpthread
    expect "$name runs" $emulator "$work/program" $path
}

# The symbols of an object must be none.
# shellcheck disable=SC2086
unused() # name, compiler, level
{
    expect "unused compiles ($1)" $2 $flags $3 -c $here/unused.c \
        -o "$work/unused.o"
    symbols=$("${tools}nm" "$work/unused.o" 2>/dev/null)
    if [ -z "$symbols" ]; then
        ok "unused leaves no symbol ($1)"
    else
        fail "unused leaves no symbol ($1)" "$(echo "$symbols" | tr '\n' ';')"
    fi
}

# State is in the handle or in the region: no variable outlives a function. -O0
# keeps what is unused; without PIC constant tables are not writable.
# shellcheck disable=SC2086
variables() # name, compiler
{
    object=$work/variables.o
    expect "variables compiles ($1)" $2 $flags -O0 -fno-pic -c $here/two.c \
        -o "$object"
    found=$("${tools}nm" "$object" | grep ' [bBcCdDgGsS] ')
    if "${tools}nm" "$object" | grep -q ' T main' && [ -z "$found" ]; then
        ok "no variables ($1)"
    else
        fail "no variables ($1)" "$(echo "$found" | tr '\n' ';')"
    fi
}

# The calls and jumps of an object that go through a register or memory. Tables
# of a switch are kept out of it by a flag. The program's own function, which is
# told how far a sync is, is called from one place.
indirect() # object
{
    "${tools}objdump" -d --no-show-raw-insn "$1" |
        awk '/^[0-9a-f]+ </ { name = $2 }
            name ~ /^<alps_progress_tell_/ { next }
            /[ \t](notrack )?(call|jmp)q?[ \t]+\*/ { print name $0 }
            /[ \t](blr|br)[ \t]+x/ { print name $0 }'
}

# What the program can reach is left, and nothing in it may go through a table:
# the linker drops the functions that only a table names.
# shellcheck disable=SC2086
direct() # name, compiler, levels, backend, policy
{
    name="direct $4 $5 ($1 $3)"
    object=$work/direct.o
    expect "$name compiles" $2 $flags $3 -fno-jump-tables -ffunction-sections \
        -fdata-sections -DBACKEND="$4" -DPOLICY="$5" -c $here/direct.c \
        -o "$work/whole.o"
    "${tools}ld" -r --gc-sections -u direct_life -u direct_alloc \
        -u direct_publish "$work/whole.o" -o "$object"
    if ! "${tools}objdump" -d "$object" | grep -q '<direct_publish>:'; then
        fail "$name" "no code to look at"
    elif [ -n "$(indirect "$object")" ]; then
        fail "$name" "$(indirect "$object" | head -n 3 | tr '\n' ';')"
    else
        ok "$name"
    fi
}

# One compiler: `short` for its name.
matrix() # short, compiler
{
    short=$1
    compiler=$2
    unused "$short -O1" "$compiler" -O1
    unused "$short -O2" "$compiler" -O2
    variables "$short" "$compiler"
    for level in $levels; do
        program "alone ($short $level)" "$work/region" "$compiler" $level \
            $here/alone.c
    done
    for unit in two other; do
        # shellcheck disable=SC2086
        expect "$unit compiles ($short)" $compiler $flags -O1 -c \
            $here/$unit.c -o "$work/$unit.o"
    done
    # shellcheck disable=SC2086
    expect "two units link ($short)" ${compiler%% *} $linking "$work/two.o" \
        "$work/other.o" -o "$work/program" -lpthread
    # shellcheck disable=SC2086
    expect "two units run ($short)" $emulator "$work/program" \
        "$work/region" "$shared"
}

# Every legal pair, with one compiler.
pairs() # short, compiler
{
    while read -r backend policy path; do
        set -- "$1" "$2"
        [ "$backend" = ALPS_USER ] && set -- "$@" -DMY_BACKEND
        [ "$policy" = ALPS_USER ] && set -- "$@" -DMY_POLICY
        short=$1
        compiler=$2
        shift 2
        program "$backend $policy ($short)" "$path" "$compiler" \
            -DBACKEND="$backend" -DPOLICY="$policy" "$@" $here/pair.c
        set -- "$short" "$compiler"
    done <<END
ALPS_ANON ALPS_NONE
ALPS_ANON ALPS_USER
ALPS_SHMEM ALPS_NONE $shared
ALPS_SHMEM ALPS_FLUSH $shared
ALPS_SHMEM ALPS_USER $shared
ALPS_FILE ALPS_NONE $work/region
ALPS_FILE ALPS_MSYNC $work/region
ALPS_FILE ALPS_USER $work/region
ALPS_PMEM ALPS_NONE $work/region
ALPS_PMEM ALPS_FLUSH $work/region
ALPS_PMEM ALPS_FENCE $work/region
ALPS_PMEM ALPS_MSYNC $work/region
ALPS_PMEM ALPS_USER $work/region
ALPS_PAGED ALPS_NONE $work/region
ALPS_PAGED ALPS_MSYNC $work/region
ALPS_PAGED ALPS_CHECKPOINT $work/region
ALPS_USER ALPS_NONE
ALPS_USER ALPS_FLUSH
ALPS_USER ALPS_FENCE
ALPS_USER ALPS_MSYNC
ALPS_USER ALPS_USER
END
}

# At -O1 gcc has to be told to put constants into what it calls.
directs() # short, compiler, levels
{
    short=$1
    compiler=$2
    shift 2
    for level; do
        direct "$short" "$compiler" "$level" ALPS_FILE ALPS_CHECKPOINT
        direct "$short" "$compiler" "$level" ALPS_FILE ALPS_MSYNC
        direct "$short" "$compiler" "$level" ALPS_ANON ALPS_NONE
        direct "$short" "$compiler" "$level" ALPS_PMEM ALPS_FLUSH
    done
}

# That `indirect` finds what there is.
control() # compiler
{
    printf 'int f(int (*g)(void)) { return 1 + g(); }\n' >"$work/control.c"
    $1 -O2 -c "$work/control.c" -o "$work/control.o"
    if [ -n "$(indirect "$work/control.o")" ]; then
        ok "a call through a pointer is seen ($group)"
    else
        fail "a call through a pointer is seen ($group)" "it is not"
    fi
}

case $group in
gcc)
    c="${CC:-gcc} -std=gnu11"
    control "$c"
    matrix gcc "$c"
    pairs gcc "$c -O1"
    directs gcc "$c" "-O1 -fipa-cp" -O2
    if have "${CXX:-g++}"; then
        matrix g++ "${CXX:-g++} -x c++ -std=gnu++11"
    else
        lack "all as C++ with gcc" "${CXX:-g++}"
    fi
    ;;
clang)
    if have "${CLANG:-clang}"; then
        c="${CLANG:-clang} -std=gnu11"
        cxx="${CLANG:-clang} -x c++ -std=gnu++11"
        control "$c"
        matrix clang "$c"
        matrix clang++ "$cxx"
        pairs clang++ "$cxx -O0"
        directs clang "$c" -O1 -O2
    else
        lack "all with clang" "${CLANG:-clang}"
    fi
    ;;
aarch64)
    c=$AARCH64_CC
    cxx=${c%gcc}g++
    tools=${c%gcc}
    linking=-static
    levels="-O0 -O2" # its compiler is gcc, which had them all
    emulator=$AARCH64_RUN
    if ! have "$c"; then
        lack "all for AArch64" "$c"
    elif ! have "${emulator%% *}"; then
        lack "all for AArch64" "${emulator%% *}"
    else
        control "$c"
        matrix aarch64 "$c -std=gnu11"
        directs aarch64 "$c -std=gnu11" -O2
        if have "$cxx"; then
            matrix aarch64++ "$cxx -x c++ -std=gnu++11"
        else
            lack "all for AArch64 as C++" "$cxx"
        fi
    fi
    ;;
esac
closing
