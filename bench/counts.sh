#!/bin/sh
# counts.sh -- exact figures: what an operation asks of medium and processor
#
# usage: sh bench/counts.sh DIRECTORY-OF-PROGRAMS PEER...
#
# Fences, lines and locks come from the library's own hook, instructions from
# callgrind where valgrind is installed.
set -u
build=$1
shift
status=0

memory=$(mktemp -d /dev/shm/alps-bench.XXXXXX) || exit 1
clean_up() { rm -rf "$memory" "$memory"-*; }
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

echo
echo "alps.h, pmem x flush: per operation"
timeout 60 "$build/counts" "$memory" || status=1

# One line: what a call of each kind takes `peer`, the call of a wrapper
# included; bench/calls.h tells what is called, and how often.
instructions() {
    out=$memory/callgrind.out
    PMEM_IS_PMEM_FORCE=1 PMEM_NO_CLWB=1 ALPS_PERSIST=clflush timeout 100 \
        valgrind --tool=callgrind --callgrind-out-file="$out" \
        --toggle-collect='bench_counted_*' \
        "$build/$1" instructions "$memory" >/dev/null 2>&1
    callgrind_annotate --inclusive=yes --threshold=100 "$out" 2>/dev/null |
        awk -v peer="$1" '
            match($0, /bench_counted_[a-z_]*/) {
                name = substr($0, RSTART + 14, RLENGTH - 14)
                gsub(/,/, "", $1)
                calls[name] = int($1 / 10000 + 0.5)
            }
            END {
                printf "%-12s %7s %7s %10s %7s %9s\n", peer, calls["alloc"],
                    calls["free"], calls["row_alloc"], calls["row_free"],
                    calls["far_free"]
                exit !calls["far_free"]
            }'
    answer=$?
    rm -rf "$memory"/* "$memory"-*
    return $answer
}

echo
if command -v valgrind >/dev/null; then
    echo "instructions per call, 64 B: of one object, of 10,000 in a row, and"
    echo "free of what another thread allocated"
    printf '%-12s %7s %7s %10s %7s %9s\n' "" alloc free "row: alloc" free \
        "far: free"
    for peer in "$@"; do
        case $peer in
        *msync | bare* | write_* | cp | sqlite | lmdb | *_checkpoint) continue ;;
        mmap* | alps_paged* | alps_file) continue ;; # nothing new to count
        esac
        [ ! -x "$build/$peer" ] || instructions "$peer" || status=1
    done
else
    echo "bench: instructions are left out: valgrind is not installed"
fi
exit $status
