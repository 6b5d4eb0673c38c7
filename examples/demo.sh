#!/bin/sh
# demo.sh -- runs the examples and checks what they print
#
#     sh examples/demo.sh BUILD
#
# BUILD is the directory that holds the compiled examples. Everything happens
# in an empty temporary directory, which is removed at the end.
set -eu
LC_ALL=C
export LC_ALL
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

say() { printf '\n== %s\n' "$*"; }

# Runs a program that is to succeed, and shows what it prints.
show()
{
    "$@" >shown || fail "status $?: $*"
    while IFS= read -r line; do
        printf '   %s\n' "$line"
    done <shown
}

fail()
{
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# Runs a program that is to be killed by SIGKILL, and nothing else.
killed()
{
    status=0
    { "$@" || status=$?; } >killed.out 2>&1
    [ "$status" -eq 137 ] || fail "not killed, but status $status: $*"
}

# How often each word occurs, without alps.h.
count()
{
    for text; do
        echo
        cat "$text"
    done | tr -cs 'A-Za-z' '\n' | tr A-Z a-z | sort | tail -n +2 |
        uniq -c | sort -k1,1nr -k2
}

say 'hello: a file remembers how often the program has run.'
show "$build/hello"
show "$build/hello"
[ "$(cat shown)" = 'This program has run 2 times.' ] || fail 'hello miscounts'

say 'words: an index of texts, killed with SIGKILL again and again.'
set -- /usr/share/common-licenses/*
[ -e "$1" ] || set -- "$here"/*.md "$here"/alps.h
echo "   $# texts, $(cat "$@" | wc -w) words."
kills=0
for n in 1 700 1024 1025 5000 12345; do
    killed "$build/words" --crash-after "$n" "$@"
    killed "$build/words" --crash-linking "$n" "$@"
    kills=$((kills + 2))
done
echo "   Killed $kills times: while reading, and between publish and link."
"$build/words" --all "$@" >found
count "$@" >counted
cmp found counted || fail 'words differs from sort and uniq'
echo "   Started once more, it has each of $(wc -l <found) words exactly as"
echo '   often as tr | sort | uniq -c counts it. The most frequent:'
show head -n 5 found
rm words.alps
"$build/words" --all "$@" >found
cmp found counted || fail 'words differs from sort and uniq, never killed'
read -r times top <counted
"$build/words" --where "$top" "$@" >places
[ "$(wc -l <places)" -eq "$times" ] || fail "places of \"$top\" are missing"
read -r position text <places
found=$(tail -c "+$((position + 1))" "$text" | head -c ${#top} | tr A-Z a-z)
[ "$found" = "$top" ] || fail "\"$top\" is not at byte $position of $text"
echo "   \"$top\" was last seen at byte $position of $text."

say 'list: two processes, one list in shared memory.'
show "$build/list"

say 'two_heaps: a ledger in a file, a cache in memory, in one program.'
"$build/two_heaps" alice 100
"$build/two_heaps" bob 20
"$build/two_heaps" alice -30
show "$build/two_heaps"
[ "$(tr -s ' \n' ' ' <shown)" = 'bob 20 alice 70 ' ] ||
    fail 'two_heaps is out of balance'

say 'All as it should be.'
