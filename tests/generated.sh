#!/bin/sh
# generated.sh -- alps.h is what the generator makes of the parts
#
#     sh tests/generated.sh PART...
#
# The parts are named so that one which the manifest forgot is found. Every awk
# of this machine has to make the same bytes.
suite=generated
. tests/lib.sh
work=build/generated
mkdir -p "$work"

parts=$*

# Makes the header with one awk and compares it with what it should be.
# shellcheck disable=SC2086 # parts are words
same() # name, header, what to do, awk...
{
    name="alps.h with $1"
    header=$2
    fix=$3
    shift 3
    if ! have "$1"; then
        lack "$name" "$1"
    elif ! "$@" -f tools/amalgamate.awk core/alps.h $parts >"$work/new.h" \
        2>"$work/err"; then
        fail "$name" "the generator refuses"
        cat "$work/err"
    elif ! cmp -s "$header" "$work/new.h"; then
        fail "$name" "$fix"
    else
        ok "$name"
    fi
}

same awk alps.h "not what the parts make; type: make alps.h" awk
mv "$work/new.h" "$work/alps.h"
other="not the bytes that awk makes"
same mawk "$work/alps.h" "$other" mawk
same gawk "$work/alps.h" "$other" gawk --posix
same busybox "$work/alps.h" "$other" busybox awk
same original-awk "$work/alps.h" "$other" original-awk
closing
