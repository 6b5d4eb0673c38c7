#!/bin/sh
# run.sh -- copies on file systems that share blocks: xfs and btrfs
#
#     sh tests/shared/run.sh PROGRAM
#
# Makes a small one of each in a file, mounts it, and runs the program there.
# Who may not mount skips.
suite=shared
. tests/lib.sh
program=$PWD/$1
work=$(mktemp -d "${TMPDIR:-/tmp}/alps-shared.XXXXXX") || exit
trap 'umount "$work/at" 2>/dev/null; rm -f "$work/disk"; rmdir "$work/at" "$work"' EXIT
mkdir "$work/at"

# One file system: its maker, and what that is told.
on() # name, maker...
{
    name=$1
    shift
    if ! have "$1"; then
        lack "copies on $name" "$1"
        return
    fi
    rm -f "$work/disk"
    truncate -s 400M "$work/disk"
    if ! "$@" "$work/disk" >"$work/at/log" 2>&1; then
        fail "copies on $name" "$(head -n 1 "$work/at/log")"
    elif rm -f "$work/at/log" &&
        ! why=$(mount -o loop "$work/disk" "$work/at" 2>&1); then
        skip "copies on $name" "it cannot be mounted here: $(echo "$why" | head -n 1)"
    else
        "$program" "$work/at" >"$work/said" 2>&1
        status=$?
        if [ $status -eq 0 ]; then
            ok "copies on $name"
        else
            fail "copies on $name" "status $status: $(grep -v '^ok' "$work/said" | head -n 5)"
        fi
        rm -f "$work/said"
        umount "$work/at"
    fi
    rm -f "$work/at/log"
}

PATH=$PATH:/usr/sbin:/sbin
on xfs mkfs.xfs -q -m reflink=1
on btrfs mkfs.btrfs -q
closing
