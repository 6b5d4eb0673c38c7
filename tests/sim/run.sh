#!/bin/sh
# run.sh -- the simulator's runs, and whether they were enough
#
#     sh tests/sim/run.sh EFFORT [MIN_IMAGES]
#
# Run from the root, after `make sim`. EFFORT 1 is for `make check-sim`, 2 for
# CI. A run with a bad image fails, and so do too few images in all.
suite=sim
. tests/lib.sh
effort=${1:-1}
least=${2:-100000}
images=0
bad=0

# Runs one; what it says goes to a file.
run() # program, model, what, effort
{
    "build/sim/sim-$1" "$2" "$3" "$4" >"build/sim/$1-$2-$3.txt" 2>&1
    echo $? >"build/sim/$1-$2-$3.status"
}

# Shows what one said, adds up.
told() # program, model, what
{
    log=build/sim/$1-$2-$3.txt
    status=$(cat "build/sim/$1-$2-$3.status")
    set -- "$1" "$2" "$3" $(tail -n 1 "$log" | grep '^sim: [0-9]* images')
    images=$((images + ${5:-0}))
    bad=$((bad + ${7:-1}))
    if [ "$status" -eq 0 ]; then
        grep '^note' "$log"
        ok "$3, policy $1, model $2: $(tail -n 2 "$log" | head -n 1)"
    else
        grep -v '^ok' "$log" | head -n 60
        fail "$3, policy $1, model $2" "see $log"
    fi
}

if build/sim/toy >build/sim/toy.txt 2>&1; then
    ok "the toy's mistakes are seen"
else
    cat build/sim/toy.txt
    fail "the toy's mistakes are seen" "see above"
fi
less=$((effort - 1))
run FLUSH weak run $((less * 2)) & # CI: all sequences of four operations
run FLUSH x86 run $less
run MSYNC pages run $less
run NONE kill run $less
run FLUSH weak weave $less &
run FLUSH x86 weave $less
run MSYNC pages weave $less
run NONE kill weave $less
wait
run FLUSH weak mutate "$effort" # as many at once as there are processors
wait
told FLUSH x86 run
told FLUSH weak run
told MSYNC pages run
told NONE kill run
told FLUSH weak weave
told FLUSH x86 weave
told MSYNC pages weave
told NONE kill weave
told FLUSH weak mutate
# Were calls shared, many places would have one address, and go unlooked at.
places=$(sed -n 's/^mutations: \([0-9]*\),.*/\1/p' build/sim/FLUSH-weak-mutate.txt)
if [ "${places:-0}" -ge 150 ]; then
    ok "$places places were left out"
else
    fail "${places:-0} places were left out" "fewer than 150"
fi
if [ $images -ge "$least" ]; then
    ok "$images images are enough"
else
    fail "$images images are enough" "fewer than $least"
fi
echo "sim: $images images, $bad bad"
closing
