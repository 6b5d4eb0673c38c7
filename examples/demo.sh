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

# The distances from a vertex in a text of edges, without alps.h.
distances()
{
    awk -v start="$1" '
        !/^#/ { to[$1] = to[$1] " " $2; to[$2] = to[$2] " " $1 }
        END {
            queue[1] = start
            distance[start] = 0
            for (at = end = 1; at <= end; at++) {
                print queue[at], distance[queue[at]]
                n = split(to[queue[at]], next_one, " ")
                for (i = 1; i <= n; i++)
                    if (!(next_one[i] in distance)) {
                        distance[next_one[i]] = distance[queue[at]] + 1
                        queue[++end] = next_one[i]
                    }
            }
        }'
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

say 'fill and sort: files of 64 MiB and 16 MiB in 4 MiB of memory.'
ALPS_MEMORY=4M
export ALPS_MEMORY
show "$build/fill" filled 64
[ "$(cat shown)" = '67108864 bytes, 0 of them not 21.' ] || fail 'fill did not'
show "$build/sort" sorted 16
unset ALPS_MEMORY
rm filled sorted

say 'graph: edges read and drawn by plain stores, killed with SIGKILL.'
karate=$here/examples/karate.txt
for n in 1 10 34; do
    killed "$build/graph" --sync-every 10 --crash-after "$n" \
        build karate.alps "$karate"
done
show "$build/graph" build karate.alps "$karate"
"$build/graph" distances karate.alps 1 | sort -n >found
distances 1 <"$karate" | sort -n >counted
cmp found counted || fail 'graph and awk differ about the distances'
echo '   Killed 3 times; awk finds the same distances from vertex 1:'
show "$build/graph" bfs karate.alps 1
[ "$(cut -d ' ' -f 1 <shown | tr '\n' ' ')" = '1 16 9 8 0 ' ] ||
    fail 'in the karate club 16, 9 and 8 are 1, 2 and 3 steps from vertex 1'
"$build/graph" rmat whole.alps 15 >whole
"$build/graph" distances whole.alps 0 >counted
kills=0
for n in 1 65535 65536 65537 200000; do
    killed "$build/graph" --crash-after "$n" rmat killed.alps 15
    kills=$((kills + 1))
done
for pause in 0.01 0.02 0.05 0.1; do
    status=0
    "$build/graph" --sync-every 5000 rmat killed.alps 15 >killed.out 2>&1 &
    sleep "$pause"
    kill -9 $! 2>killed.out || true
    { wait $! || status=$?; } 2>killed.out
    case $status in
    0) ;; # it was faster
    137) kills=$((kills + 1)) ;;
    *) fail "status $status: graph" ;;
    esac
done
show "$build/graph" rmat killed.alps 15
cmp shown whole || fail 'graph differs, never killed'
"$build/graph" distances killed.alps 0 >found
cmp found counted || fail 'distances differ, never killed'
echo "   Killed $kills times, from within and from outside, it is the same"
echo '   graph as if never killed, edge for edge.'
killed "$build/graph" --snapshot-after 100000 --crash-after 400000 \
    rmat again.alps 15
"$build/graph" info again.alps.copy >shown
[ "$(cut -d ' ' -f 3 shown | head -n 1)" = 131072 ] ||
    fail 'the copy is not of the sync that it was made after'
"$build/graph" rmat again.alps.copy 15 >shown
cmp shown whole || fail 'the copy goes on to another graph'
echo '   A copy made on the way has 131072 edges, and goes on to the same.'

say 'list: two processes, one list in shared memory.'
show "$build/list"

say 'binarytree: word counts, written against the calls of libpmemalloc.'
tr -cs 'A-Za-z' '\n' <"$here/LICENSE" | sed '/^$/d' | sort | uniq -c >counted
kills=0
for pause in 0.001 0.003 0.01 0.02; do
    rm -f tree.pool
    "$build/binarytree" tree.pool show
    "$build/binarytree" tree.pool count <"$here/LICENSE" &
    sleep "$pause"
    kill -9 $! 2>killed.out || true
    { wait $! || kills=$((kills + 1)); } 2>killed.out
    "$build/binarytree" tree.pool show >found
    "$build/binarytree" tree.pool check >shown || fail 'the pool is damaged'
    awk 'NR == FNR { n[$2] = $1; next } $1 > n[$2] { exit 1 }' counted found ||
        fail 'binarytree has what was never counted'
done
rm tree.pool
"$build/binarytree" tree.pool count <"$here/LICENSE"
"$build/binarytree" tree.pool show >found
cmp found counted || fail 'binarytree differs from sort and uniq'
# shellcheck disable=SC2046 # words without blanks
"$build/binarytree" tree.pool remove $(awk 'NR % 2 { print $2 }' counted)
"$build/binarytree" tree.pool show >found
awk 'NR % 2 == 0' counted | cmp found - || fail 'binarytree lost a word'
show "$build/binarytree" tree.pool check
echo "   Killed $kills times, it never had a word too many."

say 'two_heaps: a ledger in a file, a cache in memory, in one program.'
"$build/two_heaps" alice 100
"$build/two_heaps" bob 20
"$build/two_heaps" alice -30
show "$build/two_heaps"
[ "$(tr -s ' \n' ' ' <shown)" = 'bob 20 alice 70 ' ] ||
    fail 'two_heaps is out of balance'

say 'All as it should be.'
