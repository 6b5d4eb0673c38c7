# lib.sh -- how a suite written in sh counts
#
# Set `suite`, source this, call ok, fail and skip, end with closing. The lines
# are those of the programs in C: tests/run.sh adds them up.

passed=0
failed=0
skipped=0

ok() # name
{
    echo "ok $1"
    passed=$((passed + 1))
}

fail() # name, why
{
    echo "FAIL $1: $2"
    failed=$((failed + 1))
}

skip() # name, why
{
    echo "skip $1: $2"
    skipped=$((skipped + 1))
}

# What is missing on a desk is skipped; where CI=true it should have been
# installed.
lack() # name, tool
{
    if [ "$CI" = true ]; then
        fail "$1" "$2 is missing"
    else
        skip "$1" "$2 is missing"
    fi
}

have() # tool
{
    command -v "$1" >/dev/null 2>&1
}

closing()
{
    if [ "$skipped" -gt 0 ]; then
        echo "$suite: $passed passed, $failed failed, $skipped skipped"
    else
        echo "$suite: $passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ]
    exit
}
