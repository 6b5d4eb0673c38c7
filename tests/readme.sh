#!/bin/sh
# readme.sh -- the programs that the words show are programs that run
#
# Each block of C in README.md and docs/ that has a main is compiled as it
# stands and run, in an empty folder beside a copy of alps.h. The first of the
# README is examples/hello.c, to the letter, and so is the manual's.
suite=readme
. tests/lib.sh
work=$PWD/build/readme
rm -rf "$work"
mkdir -p "$work"

# Writes the blocks of C of a text to block1.c, block2.c ... in the work folder.
blocks() # text
{
    rm -f "$work"/block*.c
    awk -v to="$work/block" '
        /^```c$/ { file = to ++n ".c"; inside = 1; next }
        /^```/ { inside = 0 }
        inside { print >file }' "$1"
}

runs() # name, source
{
    folder=$work/run
    rm -rf "$folder"
    mkdir "$folder"
    cp alps.h "$2" "$folder"
    if ! (cd "$folder" && "${CC:-gcc}" -o program "${2##*/}") \
        >"$work/log" 2>&1; then
        fail "$1" "does not compile: $(head -n 5 "$work/log")"
    elif ! (cd "$folder" && timeout 60 ./program && timeout 60 ./program) \
        >"$work/log" 2>&1; then
        fail "$1" "does not run: $(tail -n 5 "$work/log")"
    else
        ok "$1"
    fi
}

for text in README.md docs/*.md; do
    [ -f "$text" ] || continue
    blocks "$text"
    for block in "$work"/block*.c; do
        grep -qs 'int main(' "$block" || continue
        runs "$text ${block##*/}" "$block"
    done
    [ "$text" = README.md ] || continue
    if cmp -s "$work/block1.c" examples/hello.c; then
        ok "the first program of README.md is examples/hello.c"
    else
        fail "the first program of README.md" "is not examples/hello.c"
    fi
done
closing
