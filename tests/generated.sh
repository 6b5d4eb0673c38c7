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

# shellcheck disable=SC2086 # parts are words
same() # name, awk...
{
    name=$1
    shift
    if ! have "$1"; then
        lack "alps.h with $name" "$1"
    elif ! "$@" -f tools/amalgamate.awk core/alps.h $parts >"$work/alps.h" \
        2>"$work/err"; then
        fail "alps.h with $name" "the generator refuses"
        cat "$work/err"
    elif ! cmp -s alps.h "$work/alps.h"; then
        fail "alps.h with $name" "not what the parts make; type: make alps.h"
    else
        ok "alps.h with $name"
    fi
}

parts=$*
same awk awk
same mawk mawk
same gawk gawk --posix
same busybox busybox awk
same original-awk original-awk
closing
