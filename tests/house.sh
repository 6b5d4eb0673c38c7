#!/bin/sh
# house.sh -- the look of the house, where a machine can see it
#
# A part opens with its name, stays under 500 lines of at most 80 columns, and
# has no loose ends. Only the text of an #error may be longer: it cannot be
# broken. And the runner, on which all counts rest, sees what fails. Run from the
# root.
suite=house
. tests/lib.sh

# Says ok where nothing was found, else what was.
none() # name, findings
{
    if [ -z "$2" ]; then
        ok "$1"
    else
        fail "$1" "$2"
    fi
}

look_at() # part
{
    name=${1##*/}
    none "$1 opens with its name" \
        "$(head -n 1 "$1" | grep -v "^/\* $name -- [^ ]")"
    none "$1 is under 500 lines" \
        "$(awk 'END { if (NR >= 500) print NR " lines" }' "$1")"
    none "$1 keeps to 80 columns" \
        "$(grep -nE '^.{81,}' "$1" | grep -vE '^[0-9]+:(# *error)? +"[^"]*"$')"
    none "$1 has neither tabs nor trailing blanks" \
        "$(grep -nE '	| $' "$1")"
    none "$1 has no loose ends" \
        "$(grep -nwE 'TODO|FIXME|XXX|HACK' "$1")"
}

# What the runner makes of one suite.
total() # name, total, suite, seconds that it has
{
    none "the runner and $1" \
        "$(LIMIT=${4:-60} sh tests/run.sh "$3" | tail -n 1 | grep -vx "$2")"
}

for part in core/*.h backends/*.h policies/*.h; do
    look_at "$part"
done
none "every script is sh" \
    "$(for script in tests/*.sh tests/*/*.sh examples/*.sh bench/*.sh; do
        [ -f "$script" ] && sh -n "$script" 2>&1
    done)"

total "a suite" "2 passed, 0 failed" 'echo "suite: 2 passed, 0 failed"'
total "a skip" "2 passed, 0 failed, 1 skipped" \
    'echo "suite: 2 passed, 0 failed, 1 skipped"'
total "a failure" "2 passed, 1 failed" \
    'echo "suite: 2 passed, 1 failed"; exit 1'
total "silence" "0 passed, 1 failed" 'exit 0'
total "a death" "1 passed, 1 failed" 'echo "ok one"; kill -SEGV $$'
total "a failure after the end" "2 passed, 1 failed" \
    'echo "suite: 2 passed, 0 failed"; exit 1'
total "a hang" "1 passed, 1 failed" 'echo "ok one"; sleep 100' 1
total "a suite of suites" "3 passed, 1 failed" \
    "sh tests/run.sh 'echo \"a: 3 passed, 0 failed\"' 'exit 3'"
closing
