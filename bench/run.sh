#!/bin/sh
# run.sh -- measures every peer that was built, round by round
#
# usage: sh bench/run.sh DIRECTORY-OF-PROGRAMS full|quick|paged PEER...
#
# The peers take turns within a round, so that noise of the machine hits all
# of them alike; report.awk takes the medians over the rounds. What the peers
# make is in two directories of our own, one on tmpfs and one on disk, which are
# removed whatever happens.
set -u
build=$1 scale=$2
shift 2
here=$(dirname "$0")
results=$build/results.txt
status=0

case $scale in
full) rounds=5 filed=2 paged=2 bound=480 quick= counted="$*" ;;
quick) rounds=1 filed=1 paged=1 bound=40 quick=quick
    counted="glibc alps_none alps_flush" ;;
paged) rounds=0 filed=0 paged=5 bound=0 quick= counted= ;;
*) echo "bench: neither full, quick nor paged: $scale" >&2; exit 2 ;;
esac

memory=$(mktemp -d /dev/shm/alps-bench.XXXXXX) || exit 1
disk=$(mktemp -d "$build/disk.XXXXXX") || exit 1
clean_up() { rm -rf "$memory" "$memory"-* "$disk"; group_end; }
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# Where a control group of memory may be made; why not, if it may not.
groups=
no_group="there is no control group of memory here"
while read -r _ where kind options _; do
    case $kind,$options, in
    cgroup2,*) grep -qw memory "$where/cgroup.subtree_control" || continue ;;
    cgroup,*,memory,*) ;;
    *) continue ;;
    esac
    no_group="we may make no control group in $where"
    if mkdir "$where/alps-bench.$$" 2>/dev/null; then
        rmdir "$where/alps-bench.$$"
        groups=$where
    fi
done </proc/mounts
# A smoke test has no time for what is slow there.
[ -z "$quick" ] || groups= no_group="that is for longer runs"

# What a load that ends in _group is in. Who was killed in it may take a moment
# to leave.
group=
group_begin() { group=$groups/alps-bench.$$ && mkdir "$group"; }
group_end() {
    [ -n "$group" ] && [ -d "$group" ] || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rmdir "$group" 2>/dev/null && break
        sleep 0.2
    done
    group=
}

# One peer, one load; a failure is said and remembered, and the others go on.
# What takes more than some seconds is measured once: it lasts long enough.
measure() {
    peer=$1 load=$2 began=$(date +%s)
    case $slow in *" $peer-$load "*) return ;; esac
    where=$memory force=1
    case $peer-$load in
    *_msync-*) where=$disk force=0 ;;
    *-edges | *-sync | *-commit | *-snapshot) where=$disk ;;
    alps_checkpoint-* | *-paged* | *-heap_*) where=$disk ;;
    esac
    before= after= enough=5 most=$limit
    case $load in
    heap_*_group) before=heap_ most=20 ;;
    heap_*) before=heap_ ;;
    paged*) enough=40 ;; # many measurements, all of them short
    esac
    case $load in *_group) after=_group && group_begin || return ;; esac
    BENCH_GROUP=$group PMEM_IS_PMEM_FORCE=$force timeout -k 5 "$most" \
        "$build/$peer" "${load%_group}" "$where" $quick >"$build/output.txt"
    answer=$?
    rm -rf "$memory"/* "$memory"-* "$disk"/*
    group_end
    [ $(($(date +%s) - began)) -lt $enough ] || slow="$slow$peer-$load "
    case $answer in
    0) awk -v peer="$peer" -v before="$before" -v after="$after" '{
            slow = peer ~ /_msync$/  # a metric of its own, in microseconds
            metric = before (slow ? $1 "_msync" : $1) after
            print peer, metric, slow ? $2 / 1000 : $2
        }' "$build/output.txt" >>"$results" ;;
    3) ;;
    124) echo "bench: $peer: $load took more than $most seconds" >&2 ;;
    *)
        echo "bench: $peer: $load failed (status $answer)" >&2
        # in a group the system may have killed it; outside it is measured too
        [ -n "$after" ] || status=1
        ;;
    esac
}

# Whether a peer has a part in a load; what it does not offer it says itself.
# Through msync only link is measured: the others do not wait for the medium, or
# wait far too often. Allocation under checkpoint is that of policy none: what
# is measured is what it does with files. The graph is for volatile heaps, and
# for those that have a sync of all that was stored.
takes_part() {
    case $1-$2 in
    alps_paged_checkpoint-sync | alps_paged_checkpoint-commit) ;;
    alps_paged_checkpoint-heap_*) ;;
    alps_paged_checkpoint-*) return 1 ;;
    mmap*-paged* | alps_paged*-paged* | alps_file-heap_* | alps_paged-heap_*) ;;
    mmap* | alps_paged* | alps_file* | *-paged* | *-heap_*) return 1 ;;
    *_msync-link) ;;
    alps_checkpoint-edges | alps_checkpoint-sync | alps_checkpoint-commit) ;;
    alps_checkpoint-snapshot | alps_checkpoint-open) ;;
    *_msync-* | cp-sync) return 1 ;;
    alps_checkpoint-* | alps_shmem-edges | alps_flush-edges) return 1 ;;
    pmemobj-edges) return 1 ;;
    esac
}

round() {
    for load in "$@"; do
        for peer in $peers; do
            if takes_part "$peer" "$load"; then
                measure "$peer" "$load"
            fi
        done
    done
}

peers=
for peer in "$@"; do
    [ -x "$build/$peer" ] && peers="$peers $peer"
done

: >"$results"
slow=" "
limit=90
start=$(date +%s)
echo "bench: $scale, at most $((rounds > paged ? rounds : paged)) rounds:$peers"
echo "bench: edges, sync, snapshot, commit, what is paged, and all through" \
    "msync or under checkpoint, are in files on" \
    "$(df --output=fstype "$disk" | tail -n 1), the rest on tmpfs"
for round in $(seq "$rounds"); do
    round pairs threadtest larson shbench xfree prodcon rand1m link batch map
    took=$(($(date +%s) - start))
    if [ "$round" -lt "$rounds" ] &&
        [ $((took + took / round)) -gt "$bound" ]; then
        echo "bench: stopped after round $round: $took seconds have gone by"
        break
    fi
done
# The footprint of churn is the same in every run; open repeats itself.
slow=" "
[ "$scale" = paged ] || round churn open chase
# What is on disk. An edge list is long enough to be measured once or twice.
for round in $(seq "$filed"); do
    slow=" "
    round sync snapshot commit edges
done
slow=" "
for round in $(seq "$paged"); do
    round paged heap_rand1m heap_edges
    [ -z "$groups" ] || round paged_group heap_rand1m_group heap_edges_group
done
[ -n "$groups" ] || echo "bench: nothing was measured in a group: $no_group"

awk -v out="$build" -f "$here/report.awk" -f "$here/picture.awk" \
    "$here/metrics.txt" "$results" >"$build/report.txt" || status=1
cat "$build/report.txt"
[ "$scale" = paged ] || sh "$here/counts.sh" "$build" $counted || status=1
echo "bench: tables are $build/report.txt and table.md, pictures $build/*.svg"
exit $status
