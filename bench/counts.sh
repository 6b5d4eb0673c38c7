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

# The instructions of one call of `function` by `peer`, wrapper included.
instructions() {
    PMEM_IS_PMEM_FORCE=1 PMEM_NO_CLWB=1 ALPS_PERSIST=clflush timeout 60 \
        valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --toggle-collect="$2" "$build/$1" instructions "$memory" 2>&1 |
        awk '/Collected *:/ { printf "%d", $NF / 1000 + 0.5; found = 1 }
            END { if (!found) printf "failed" }'
    rm -rf "$memory"/* "$memory"-*
}

echo
if command -v valgrind >/dev/null; then
    echo "instructions per operation, 64 B, the call of a wrapper included"
    for peer in "$@"; do
        case $peer in *_msync | bare*) continue ;; esac
        [ -x "$build/$peer" ] || continue
        printf '%-12s alloc %6s   free %6s\n' "$peer" \
            "$(instructions "$peer" 'bench_counted_alloc*')" \
            "$(instructions "$peer" 'bench_counted_free*')"
    done
else
    echo "bench: instructions are left out: valgrind is not installed"
fi
exit $status
