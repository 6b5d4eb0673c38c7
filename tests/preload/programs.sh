#!/bin/sh
# programs.sh -- what programs of the system do to show that they work
#
#     sh programs.sh WHAT SOURCES
#
# Works in the current folder, which is empty, and prints and leaves behind what
# is the same each time. SOURCES is the root of the repository.
set -eu
sources=$2

# A good deal of text.
text() # times
{
    for _ in $(seq "$1"); do
        cat "$sources/alps.h"
    done
}

objects()
{
    PYTHONHASHSEED=1 PYTHONMALLOC=${1:-default} python3 - "$sources" <<'END'
import collections, hashlib, json, re, sys, zlib
text = open(sys.argv[1] + "/alps.h").read()
words = collections.Counter(re.findall(r"\w+", text))
tree = {w: {"n": n, "at": [i % 97 for i in range(n)]} for w, n in words.items()}
for _ in range(3):
    copy = json.loads(json.dumps(tree, indent=1))
    assert copy == tree
    tree = {k: copy[k] for k in sorted(copy, key=lambda k: (copy[k]["n"], k))}
lines = sorted(text.split("\n") * 20)
packed = zlib.compress("\n".join(lines).encode(), 9)
assert zlib.decompress(packed).decode().split("\n") == lines
print(len(tree), hashlib.sha256(packed).hexdigest(), 3 ** 20000 % 1000007)
grown = bytearray()
for i in range(3000):
    grown += bytes([i % 256]) * 1000
print(hashlib.sha256(grown).hexdigest())
END
}

# As objects, but each of them from malloc.
malloc()
{
    objects malloc
}

threads()
{
    python3 - "$sources" <<'END'
import concurrent.futures as futures, hashlib, json, multiprocessing
import subprocess, sys, threading, zlib
text = open(sys.argv[1] + "/alps.h", "rb").read()
def work(i):
    packed = zlib.compress(text[i * 1000:] + text, 6)
    back = json.loads(json.dumps({str(k): [k] * 9 for k in range(i * 20)}))
    return hashlib.sha256(zlib.decompress(packed)).hexdigest(), len(back)
with futures.ThreadPoolExecutor(4) as pool:
    results = list(pool.map(work, range(12)))
    fork = multiprocessing.get_context("fork")  # while the threads are there
    with fork.Pool(3) as children:
        assert children.map(work, range(12)) == results
    echo = lambda i: subprocess.check_output(["echo", str(i)])
    print(b"".join(pool.map(echo, range(20))).decode())
births = [threading.Thread(target=work, args=(i % 5,)) for i in range(60)]
[t.start() for t in births]
[t.join() for t in births]
print(results[-1])
END
}

compiler()
{
    gcc -O1 -I"$sources" -c "$sources/examples/hello.c" -o hello.o
    gcc -I"$sources" "$sources/examples/two_heaps.c" -o two_heaps -lpthread
    ./two_heaps alice 100
    ./two_heaps bob 20
    ./two_heaps
    rm two_heaps ledger.alps
}

repository()
{
    export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_AUTHOR_DATE='1000000000 +0000'
    export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_COMMITTER_DATE='1000000001 +0000'
    git init -q -b main one
    cd one
    cp -r "$sources/core" "$sources/tests" .
    git add .
    git commit -qm first
    git checkout -qb side
    for i in 1 2 3 4 5 6 7 8; do
        sed "s/alps_/side$i/g" core/region.h >core/side.h
        git add .
        git commit -qm "side $i"
    done
    git checkout -q main
    sed 's/alps_/main/g' core/heap.h >core/main.h
    git add .
    git commit -qm main
    git merge -q --no-edit side
    git -c pack.threads=2 repack -qadf
    git gc -q --prune=now
    cd ..
    git clone -q --no-hardlinks "file://$PWD/one" two
    git -C two fsck --strict
    git -C two log --stat --format='%H %s'
    git -C two grep -c 'return err' | tail -n 5
    git -C two blame -s core/side.h | md5sum
    git -C two diff HEAD~2 | md5sum
    rm -rf one two
}

database()
{
    sqlite3 data.db <<'END'
PRAGMA cache_size = 5000;
CREATE TABLE word(id INTEGER PRIMARY KEY, name TEXT, n REAL, data BLOB);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60000)
INSERT INTO word SELECT i, printf('%x', i * 7919 % 65521), i / 7.0,
    zeroblob(i % 200) FROM c;
CREATE INDEX by_name ON word(name);
CREATE TABLE pair AS SELECT a.id AS a, b.id AS b FROM word a JOIN word b
    ON a.name = b.name WHERE a.id < b.id;
SELECT count(*), sum(n), max(name) FROM word;
SELECT substr(name, 1, 1) AS first, count(*), group_concat(id % 10, '')
    FROM word WHERE id < 2000 GROUP BY first ORDER BY first;
SELECT count(*) FROM pair;
DELETE FROM word WHERE id % 3 = 0;
UPDATE word SET data = name || name WHERE id % 5 = 0;
VACUUM;
PRAGMA integrity_check;
END
    sqlite3 data.db .dump | md5sum
}

packer()
{
    text 12 >text
    xz -T2 --block-size=300KiB -k text
    xz -T2 -dc text.xz | cmp - text
    xz -T2 -l text.xz
}

shell()
{
    total=0
    for i in $(seq 150); do
        total=$((total + $(echo "$i" | tr 1 2 | sed s/3/4/)))
    done
    echo "$total"
    text 5 | tr -cs 'A-Za-z' '\n' | sort --parallel=2 -S 1M | uniq -c |
        sort -rn | awk '{ n[$1 % 10] += $1 } END { for (i in n) print n[i] }' |
        sort -n
    find "$sources/core" -type f -print0 | sort -z | xargs -0 -n 3 cat | md5sum
    tar -cf - -C "$sources" core | tar -tf - | sort
}

builder()
{
    cat >Makefile <<'END'
PARTS = $(shell seq 1 60)
all: $(PARTS:%=part%)
	cat $(PARTS:%=part%) >all
part%:
	@for i in 1 2 3; do echo $*.$$i; done | sort -r >$@
END
    make -s -j4
}

"$1"
