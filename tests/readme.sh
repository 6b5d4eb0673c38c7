#!/bin/sh
# readme.sh -- the programs that the words show are programs that run
#
# The program at the head of alps.h, as C and as C++, and each block of C with a
# main in README.md and docs/, are compiled as they stand and run twice, in an
# empty folder beside a copy of alps.h. The first of README.md is
# examples/hello.c, but for the comment above it.
suite=readme
. tests/lib.sh
work=$PWD/build/readme
rm -rf "$work"
mkdir -p "$work"

runs() # name, source, compiler
{
    name=$1
    source=$2
    shift 2
    folder=$work/run
    rm -rf "$folder"
    mkdir "$folder"
    cp alps.h "$source" "$folder"
    if ! (cd "$folder" && "$@" -Wall -Wextra -Werror "${source##*/}" \
        -o program) >"$work/log" 2>&1; then
        fail "$name" "does not compile: $(head -n 5 "$work/log")"
    elif ! (cd "$folder" && timeout 60 ./program && timeout 60 ./program) \
        >"$work/log" 2>&1; then
        fail "$name" "does not run: $(tail -n 5 "$work/log")"
    else
        ok "$name"
    fi
}

# The program in the manual, without its margin.
awk '
    /^ \*     #include "alps.h"$/ { inside = 1 }
    inside { print substr($0, 8) }
    /^ \*     int main\(/ { closing = inside }
    closing && /^ \*     }$/ { exit }' alps.h >"$work/manual.c"
runs "the manual, as C" "$work/manual.c" "${CC:-gcc}"
if have "${CXX:-g++}"; then
    runs "the manual, as C++" "$work/manual.c" "${CXX:-g++}" -x c++
else
    lack "the manual, as C++" "${CXX:-g++}"
fi

# Writes the blocks of C of a text to block1.c, block2.c ... in the work folder.
blocks() # text
{
    rm -f "$work"/block*.c
    awk -v to="$work/block" '
        /^```c$/ { file = to (++n) ".c"; inside = 1; next }
        /^```/ { inside = 0 }
        inside { print >file }' "$1"
}

for text in README.md docs/*.md; do
    blocks "$text"
    for block in "$work"/block*.c; do
        grep -qs 'int main(' "$block" || continue
        runs "$text ${block##*/}" "$block" "${CC:-gcc}"
    done
    [ "$text" = README.md ] || continue
    sed -n '/^#include/,$p' "$work/block1.c" >"$work/shown"
    if sed -n '/^#include/,$p' examples/hello.c | cmp -s - "$work/shown"; then
        ok "the first program of README.md is examples/hello.c"
    else
        fail "the first program of README.md" "is not examples/hello.c"
    fi
done
closing
