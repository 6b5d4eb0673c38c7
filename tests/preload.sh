#!/bin/sh
# preload.sh -- programs of the system on the malloc of the examples
#
#     sh tests/preload.sh BUILD
#
# Each runs twice, as it is and with the malloc of examples/malloc.c, and has to
# print, to complain of and to leave behind the same. The region is checked
# whenever a process ends. Two programs of ours ask for what the others do not.
suite=preload
. tests/lib.sh
LC_ALL=C
export LC_ALL
unset LD_PRELOAD
root=$PWD
work=$PWD/build/preload
rm -rf "$work"
mkdir -p "$work"
checked=$work/libalpsmalloc.so
example=$(cd "$1" && pwd)/libalpsmalloc.so

# shellcheck disable=SC2086 # WARNINGS are words
compile() # what...
{
    "${CC:-gcc}" -std=gnu11 $WARNINGS -Werror -O2 -g -I. "$@" -lpthread -ldl \
        >"$work/log" 2>&1
}

# A program of ours: its lines are those of a suite.
own() # name, argument...
{
    name=$1
    shift
    if ! compile -fno-builtin -rdynamic "tests/preload/$name.c" \
        -o "$work/$name"; then
        fail "$name" "does not compile: $(head -n 5 "$work/log")"
        return
    fi
    LD_PRELOAD=$checked timeout 120 "$work/$name" "$@" >"$work/log" 2>&1
    status=$?
    grep -v '^[a-z]*: ' "$work/log"
    passed=$((passed + $(grep -c '^ok ' "$work/log")))
    failed=$((failed + $(grep -c '^FAIL ' "$work/log")))
    [ $status -eq 0 ] || grep -q '^FAIL ' "$work/log" ||
        fail "$name" "status $status: $(tail -n 1 "$work/log")"
}

# Runs `what` of programs.sh in a folder of its own.
once() # what, folder, library to preload
{
    mkdir "$work/$2"
    cd "$work/$2" || return
    env ${3:+LD_PRELOAD="$3"} timeout 120 sh "$root/tests/preload/programs.sh" \
        "$1" "$root" >"$work/$2.out" 2>"$work/$2.err"
    status=$?
    cd "$root" || return
    return $status
}

same() # name, what, library to preload, tool...
{
    name=$1
    what=$2
    library=$3
    shift 3
    for tool; do
        have "$tool" || { lack "$name" "$tool"; return; }
    done
    rm -rf "$work/$what" "$work/$what.ours"
    once "$what" "$what" ||
        { fail "$name" "without ours: $(tail -n 5 "$work/$what.err")"; return; }
    once "$what" "$what.ours" "$library" ||
        { fail "$name" "status $?: $(tail -n 5 "$work/$what.ours.err")"; return; }
    for part in "" .out .err; do
        diff -r "$work/$what$part" "$work/$what.ours$part"
    done >"$work/log" 2>&1
    if [ -s "$work/log" ]; then
        fail "$name" "differs: $(head -n 5 "$work/log")"
    else
        ok "$name"
    fi
}

if ! compile -fPIC -shared tests/preload/checked.c -o "$checked"; then
    fail "the malloc of the examples, checked" "$(head -n 5 "$work/log")"
    closing
fi
own contract
ALPS_MALLOC_LIMIT=100000000 own contract limit
own crowd
same "python3" objects "$checked" python3
same "python3, each object from malloc" malloc "$checked" python3
same "python3 with threads and forks" threads "$checked" python3
same "gcc" compiler "$checked" gcc
same "git" repository "$checked" git
same "sqlite3" database "$checked" sqlite3
same "xz with threads" packer "$checked" xz
same "sh, sort, awk, find, tar" shell "$checked" tar
same "make" builder "$checked" make
same "sqlite3 with the library as it is" database "$example" sqlite3
closing
