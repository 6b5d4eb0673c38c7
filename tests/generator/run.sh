#!/bin/sh
# run.sh -- what the generator makes, and what it refuses
#
# A case is a folder here: its files are laid over those of good/, then the
# generator runs. `expect.h` is the header it must make, `expect` what it must
# say when it refuses: on stderr, with status 1 and with nothing on the output.
# Every awk of this machine has to do the same. Run from the root.
suite=generator
. tests/lib.sh
here=$PWD
work=build/generator

# Runs one case and looks at status, output and words.
run_case() # case, name, awk
{
    name=$1
    label="$1 ($2)"
    shift 2
    rm -rf "$work"
    mkdir -p "$work"
    cp -r tests/generator/good/core tests/generator/good/backends \
        tests/generator/good/policies "$work"
    cp -r "tests/generator/$name/." "$work"
    cd "$work" || exit
    "$@" -f "$here/tools/amalgamate.awk" core/alps.h core/*.h backends/*.h \
        policies/*.h >out 2>err
    status=$?
    cd "$here" || exit

    if [ -f "$work/expect" ]; then
        if [ $status -ne 1 ]; then
            fail "$label" "status $status where it must refuse with 1"
        elif [ -s "$work/out" ]; then
            fail "$label" "refuses, yet something is on the output"
        elif ! diff "$work/expect" "$work/err" >"$work/diff"; then
            fail "$label" "other words: $(cat "$work/diff")"
        else
            ok "$label"
        fi
    elif [ $status -ne 0 ] || [ -s "$work/err" ]; then
        fail "$label" "refuses with $status: $(cat "$work/err")"
    elif ! diff "$work/expect.h" "$work/out" >"$work/diff"; then
        fail "$label" "another header: $(cat "$work/diff")"
    else
        ok "$label"
    fi
}

# A manifest that is not there, or not named.
run_bare() # name, awk
{
    name=$1
    shift
    mkdir -p "$work"
    for arguments in "" core/nowhere.h; do
        # shellcheck disable=SC2086 # none is none
        "$@" -f tools/amalgamate.awk $arguments >"$work/out" 2>"$work/err"
        status=$?
        if [ $status -ne 1 ] || [ -s "$work/out" ] ||
            [ "$(cut -c 1-6 "$work/err" | tr '\n' ,)" != \
                "what: ,why:  ,fix:  ," ]; then
            fail "manifest '$arguments' ($name)" "status $status"
        else
            ok "manifest '$arguments' ($name)"
        fi
    done
}

run_all() # name, awk
{
    name=$1
    shift
    if ! have "$1"; then
        lack "all with $name" "$1"
        return
    fi
    for case in tests/generator/*/; do
        run_case "$(basename "$case")" "$name" "$@"
    done
    run_bare "$name" "$@"
}

run_all mawk mawk
run_all gawk gawk
run_all gawk-posix gawk --posix
run_all busybox busybox awk
run_all original-awk original-awk
rm -rf "$work"
closing
