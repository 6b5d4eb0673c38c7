#!/bin/sh
# run.sh -- the programs that must not compile
#
# Each program here names in its first line the text that every compiler must
# stop at, and that must be its only complaint: who made one mistake reads one
# message. Run from the root, where alps.h is.
suite=reject
. tests/lib.sh
log=build/reject
mkdir -p "$log"

# Compiles $1 with the rest of the line, which must refuse it.
refused() # program, compiler and flags
{
    source=$1
    shift
    name=$(basename "$source" .c)
    text=$(sed -n '1s/^[^"]*"\(.*\)"[^"]*$/\1/p' "$source")
    out=$log/$name.$1.txt
    if [ -z "$text" ]; then
        fail "$name" "its first line names no text"
    elif "$@" -I. -fsyntax-only "$source" >"$out" 2>&1; then
        fail "$name" "$1 compiles it"
    elif ! grep -F 'error: ' "$out" | grep -qF "$text"; then
        fail "$name" "$1 refuses it, but not with \"$text\": see $out"
    elif [ "$(grep -cE '(error|warning): ' "$out")" -ne 1 ]; then
        fail "$name" "$1 has more to say than that: see $out"
    else
        ok "$name ($1)"
    fi
}

# Each refusal that select.h can speak is provoked by a program here.
texts=$(sed -n 's/^.*"\(alps\.h: .*\)"$/\1/p' core/select.h)
while read -r text; do
    if head -qn 1 tests/reject/*.c | grep -qF "\"$text\""; then
        ok "provoked: $text"
    else
        fail "provoked" "no program here is refused with \"$text\""
    fi
done <<END
$texts
END

for source in tests/reject/*.c; do
    refused "$source" "${CC:-gcc}" -std=gnu11
done
for compiler in "${CXX:-g++}" "${CLANG:-clang}"; do
    if ! have "$compiler"; then
        lack "all with $compiler" "$compiler"
        continue
    fi
    case $compiler in
    *++*) language="-x c++ -std=gnu++11" ;;
    *) language="-std=gnu11" ;;
    esac
    for source in tests/reject/*.c; do
        # shellcheck disable=SC2086 # flags are words
        refused "$source" "$compiler" $language
    done
done
# Containers that cannot have a fancy pointer: the library itself stops them, in
# as many words as it likes. With its own allocator the same program is fine.
stopped() # program, compiler and flags
{
    source=$1
    shift
    name=$(basename "$source" .cc)
    text=$(sed -n '1s/^[^"]*"\(.*\)"[^"]*$/\1/p' "$source")
    out=$log/$name.txt
    if [ -z "$text" ]; then
        fail "$name" "its first line names no text"
    elif ! "$@" -DCONTROL -I. -fsyntax-only "$source" >"$out" 2>&1; then
        fail "$name" "$1 refuses it anyway: see $out"
    elif "$@" -I. -fsyntax-only "$source" >"$out" 2>&1; then
        fail "$name" "$1 compiles it"
    elif ! grep -F 'error: ' "$out" | grep -qF "$text"; then
        fail "$name" "$1 refuses it, but not in \"$text\": see $out"
    else
        ok "$name ($1)"
    fi
}

for source in tests/reject/*.cc; do
    case $source in
    *_libcxx.cc)
        if echo '#include <vector>' | "${CLANG:-clang}" -x c++ -stdlib=libc++ \
            -fsyntax-only - 2>/dev/null; then
            stopped "$source" "${CLANG:-clang}" -stdlib=libc++ -std=gnu++11
        else
            lack "$(basename "$source" .cc)" libc++
        fi
        ;;
    *)
        if have "${CXX:-g++}"; then
            stopped "$source" "${CXX:-g++}" -std=gnu++11
        else
            lack "$(basename "$source" .cc)" "${CXX:-g++}"
        fi
        ;;
    esac
done
closing
