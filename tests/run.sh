#!/bin/sh
# run.sh -- runs suites one after the other and adds up what they say
#
#     sh tests/run.sh COMMAND...
#
# A suite prints `ok NAME`, `FAIL NAME: why`, `skip NAME: why`, and closes with
# `SUITE: N passed, N failed[, N skipped]`. A suite may be a run of this script
# again. One that dies, hangs (LIMIT seconds) or never closes has failed, and so
# has one that answers non-zero while it says that nothing failed. The last line
# is the total; what was left out above it is in build/log/. WIDTH suites run at
# a time (1), each as soon as there is room; what they say comes when they end.
limit=${LIMIT:-600}
width=${WIDTH:-1}
unset WIDTH # it is not for suites of suites
logs=build/log
mkdir -p "$logs" || exit
said=$(mktemp -d "$logs/said.XXXXXX") || exit
trap 'rm -rf "$said"' EXIT

# Runs one suite, and says what there is to say of it.
run() # command
{
    log=$logs/$(printf '%s' "$1" | tr -cs 'A-Za-z0-9_.-' _).txt
    start=$(date +%s)
    timeout -k 10 "$limit" sh -c "$1" >"$log" 2>&1 </dev/null
    status=$?
    took=$(($(date +%s) - start))
    name=${1##* }
    awk -v name="${name##*/}" -v status=$status -v took=$took -v file="$log" '
        /^ok / { ok++; next }
        /^[0-9]+ passed, [0-9]+ failed/ { next }
        /^[^ ]+: [0-9]+ passed, [0-9]+ failed/ {
            closings++
            failed += $4
        }
        /^make\[[0-9]+\]: / { next }
        { print }
        END {
            if (status == 124 || status == 137)
                why = "was killed after " took " s"
            else if (!closings)
                why = "ended with status " status ", without a closing line"
            else if (status && !failed)
                why = "ended with status " status
            if (why) {
                print "FAIL " name ": " why ", see " file
                print name ": " (closings ? 0 : ok + 0) " passed, 1 failed"
            }
            if (took >= 20)
                print "(" name " took " took " s)"
        }' "$log"
}

# Runs suites that nobody has taken, until there are none.
work()
{
    i=0
    for command; do
        i=$((i + 1))
        mkdir "$said/$i" 2>/dev/null || continue
        run "$command" >"$said/$i.txt"
        cat "$said/$i.txt"
    done
}

if [ "$width" -eq 1 ]; then
    for command; do
        run "$command" | tee -a "$said/all.txt" # heard as it goes
    done
else
    while [ "$width" -gt 0 ]; do
        work "$@" &
        width=$((width - 1))
    done
    wait
fi

awk '
    /^[^ ]+: [0-9]+ passed, [0-9]+ failed/ {
        passed += $2
        failed += $4
        skipped += $6
    }
    END {
        print passed + 0 " passed, " failed + 0 " failed" \
            (skipped ? ", " skipped " skipped" : "")
        exit failed > 0 || passed + skipped == 0
    }' "$said"/*.txt
