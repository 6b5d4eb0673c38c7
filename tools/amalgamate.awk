# amalgamate.awk -- one header out of the parts
#
#     awk -f tools/amalgamate.awk core/alps.h [part ...] > alps.h
#
# The first argument is the manifest: it alone says which parts there are and
# in which order. A quoted include is replaced by the file it names, an include
# in angle brackets stays, and so do all comments. A file with `#pragma once` is
# a part: it is there once, and the parts it includes itself must already stand
# above it. A file without is a section: the manifest inlines it each time. The
# further arguments are the files that must all have been reached.
#
# Disorder is refused: status 1, nothing on the output, and on stderr what is
# wrong, why that is wrong, and how it is mended. POSIX awk; no date, no commit,
# the same bytes from every awk.

BEGIN {
    if (ARGC < 2) {
        refuse("no manifest was named",
            "it says which parts there are, and in which order",
            "awk -f tools/amalgamate.awk core/alps.h > alps.h")
        finish()
    }
    manifest = plain(ARGV[1])
    root = folder(folder(manifest))
    if (!load(manifest)) {
        refuse_unreadable(manifest, "it was named as the manifest")
        finish()
    }
    list_order()
    emit("/* Generated from core/, backends/ and policies/ by" \
        " tools/amalgamate.awk.")
    emit(" * Edit the parts, then type: make alps.h */")
    emit("")
    inline(manifest)
    for (i = 2; i < ARGC; i++)
        ask_reached(plain(ARGV[i]))
    finish()
}

# Prints the header, or says that there is none.
function finish(    i)
{
    if (refusals) {
        close("cat 1>&2")
        exit 1
    }
    if (out[n_out] == "")
        n_out--
    for (i = 1; i <= n_out; i++)
        printf "%s\n", out[i]
    exit 0
}

# One line of the header. Two blank lines in a row become one: they are where
# includes were.
function emit(line)
{
    if (line == "" && (n_out == 0 || out[n_out] == ""))
        return
    out[++n_out] = line
}

function refuse(what, why, fix)
{
    if (refusals++)
        print "" | "cat 1>&2"
    print "what: " what | "cat 1>&2"
    print "why:  " why | "cat 1>&2"
    print "fix:  " fix | "cat 1>&2"
}

# Once a file: who else includes it need not be told.
function refuse_unreadable(path, by)
{
    if (path in told)
        return
    told[path] = 1
    refuse("cannot read " path,
        by ", and it is not there, not readable, or empty",
        "write " path ", or take its name out")
}

# ---- paths

# `path` without "./" and "folder/..".
function plain(path,    part, n, i, kept, at)
{
    n = split(path, part, "/")
    for (i = 1; i <= n; i++) {
        if (part[i] == "." || (part[i] == "" && i > 1))
            continue
        if (part[i] == ".." && at && kept[at] != ".." && kept[at] != "")
            at--
        else
            kept[++at] = part[i]
    }
    path = kept[1]
    for (i = 2; i <= at; i++)
        path = path "/" kept[i]
    return path
}

# The folder `path` is in, ending in a slash; "" for the current one.
function folder(path)
{
    sub(/\/$/, "", path)
    return sub(/[^\/]*$/, "", path) ? path : ""
}

# The layer of `path`: core, backends, policies, or "" for none of them.
function layer(path)
{
    if (substr(path, 1, length(root)) != root)
        return ""
    path = substr(path, length(root) + 1)
    sub(/\/.*/, "", path)
    return path == "core" || path == "backends" || path == "policies" ? \
        path : ""
}

# ---- reading

# Reads `path` once: its lines in text[], what they are in kind[], and the
# files that it includes in target[]. Answers 0 where there is nothing to read.
function load(path,    line, inside, n)
{
    if (path in lines)
        return lines[path]
    while ((getline line < path) > 0) {
        text[path, ++n] = line
        if (!inside)
            classify(path, n, line)
        inside = comment_after(line, inside)
    }
    close(path)
    lines[path] = n + 0
    return lines[path]
}

function classify(path, n, line,    part)
{
    if (line ~ /^[ \t]*#[ \t]*pragma[ \t]+once[ \t]*$/) {
        kind[path, n] = "once"
        once[path] = 1
    } else if (sub(/^[ \t]*#[ \t]*include[ \t]*/, "", line) && line !~ /^</) {
        kind[path, n] = "odd"
        if (line !~ /^"[^"]+"[ \t]*(\/\/.*|\/\*.*\*\/[ \t]*)?$/)
            return
        kind[path, n] = "quoted"
        split(line, part, "\"")
        named[path, n] = part[2]
        target[path, n] = plain(folder(path) part[2])
    }
}

# Whether a comment is open after `line`, `inside` saying whether one was
# before it. Text in quotes opens none.
function comment_after(line, inside,    at)
{
    for (;;) {
        if (inside) {
            at = index(line, "*/")
            if (!at)
                return 1
            line = substr(line, at + 2)
            inside = 0
        }
        if (!match(line, /\/\*|\/\/|"|'/))
            return 0
        at = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (at == "//")
            return 0
        if (at == "/*")
            inside = 1
        else if (at == "\"" && match(line, /^([^"\\]|\\.)*"/))
            line = substr(line, RLENGTH + 1)
        else if (at == "'" && match(line, /^([^'\\]|\\.)*'/))
            line = substr(line, RLENGTH + 1)
    }
}

# ---- the order, and what breaks it

function list_order(    i)
{
    for (i = 1; i <= lines[manifest]; i++)
        if (kind[manifest, i] == "quoted")
            listed[target[manifest, i]] = 1
}

function inline(path,    i)
{
    for (i = 1; i <= lines[path]; i++) {
        if (kind[path, i] == "once")
            continue
        if (kind[path, i] == "quoted" && path == manifest)
            place(i)
        else if (kind[path, i] == "quoted")
            expect_above(path, i, target[path, i])
        else if (kind[path, i] == "odd")
            refuse_odd(path, i)
        else
            emit(text[path, i])
    }
    reached[path] = 1
}

# The manifest names a file in line `i`: it comes here.
function place(i,    path)
{
    path = target[manifest, i]
    if (path == manifest) {
        refuse_cycle(manifest, i, path)
    } else if (layer(path) == "") {
        refuse(manifest ":" i ": \"" named[manifest, i] "\" is not a part",
            "parts live in core/, backends/ and policies/ beside each other",
            "move the file into one of them")
    } else if (!load(path)) {
        refuse_unreadable(path, manifest ":" i " includes it")
    } else if (!(path in once) || !(path in reached)) {
        emit("")
        inline(path)
        emit("")
    }
}

# Line `i` of `path` includes `other`, which must be a part further up.
function expect_above(path, i, other,    at)
{
    at = path ":" i ": "
    if (layer(other) == "backends" || layer(other) == "policies") {
        refuse(at "includes \"" named[path, i] "\": a layer breach",
            "only the manifest may name a file of backends/ or policies/",
            "move what both need into a part of core/ and include that")
    } else if (other == path || other == manifest) {
        refuse_cycle(path, i, other)
    } else if (other in once && other in reached) {
        return
    } else if (!load(other)) {
        refuse_unreadable(other, path ":" i " includes it")
    } else if (!(other in listed)) {
        refuse(at "includes \"" named[path, i] "\", which is not a known part",
            manifest " does not include it, so it has no place in the order",
            "include it in " manifest ", above " path)
    } else if (!(other in once)) {
        refuse(at "includes \"" named[path, i] "\", which is a section",
            "a file without #pragma once is there at each include of the" \
            " manifest, and only there",
            "take the include out, or make " other " a part with #pragma once")
    } else if (leads_to(other, path)) {
        refuse_cycle(path, i, other)
    } else {
        refuse(at "includes \"" named[path, i] "\", which stands below it",
            "a part includes only what stands above it in " manifest,
            "move " other " above " path " in " manifest \
            ", or what is needed into a part above both")
    }
}

function refuse_cycle(path, i, other)
{
    refuse(path ":" i ": includes \"" named[path, i] "\": a cycle",
        (other == path ? path " includes itself" : \
        other == manifest ? "the manifest includes the parts, no part it" : \
        other " leads back to " path) \
        ", so neither can come first",
        other == path || other == manifest ? "take the include out" : \
        "move what both need into a part above both")
}

function refuse_odd(path, i)
{
    refuse(path ":" i ": an include that cannot be followed",
        "it names no file in quotes or angle brackets, or more stands in" \
        " its line",
        "write #include \"part.h\" or #include <header.h> alone in its line")
}

# Whether `from`, by way of what it includes, comes to include `to`.
function leads_to(from, to,    i, seen)
{
    seen[from] = 1
    return search(from, to, seen)
}

function search(from, to, seen,    i, next_)
{
    if (!load(from))
        return 0
    for (i = 1; i <= lines[from]; i++) {
        if (kind[from, i] != "quoted")
            continue
        next_ = target[from, i]
        if (next_ == to)
            return 1
        if (next_ in seen)
            continue
        seen[next_] = 1
        if (search(next_, to, seen))
            return 1
    }
    return 0
}

function ask_reached(path)
{
    if (path in reached)
        return
    if (!(path in listed))
        refuse(path " is never reached",
            manifest " does not include it, so alps.h would lack it",
            "include it in " manifest " at its place, or remove it")
}
