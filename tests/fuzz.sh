#!/bin/sh
# fuzz.sh -- lets one libFuzzer program run for some seconds
#
#     sh tests/fuzz.sh PROGRAM SECONDS
#
# What it finds is left beside the program. A fuzzer that tried nothing has not
# passed.
program=$1
seconds=$2
suite=fuzz-$(basename "$program")
. tests/lib.sh

mkdir -p "$program.corpus"
"$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="$program." "$program.corpus" >"$program.txt" 2>&1
status=$?
runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$program.txt")
if [ $status -ne 0 ]; then
    fail "$suite" "status $status: $(tail -n 5 "$program.txt")"
elif [ "${runs:-0}" -lt 1000 ]; then
    fail "$suite" "only ${runs:-0} runs, see $program.txt"
else
    ok "$suite"
    echo "$suite: $runs regions"
fi
closing
