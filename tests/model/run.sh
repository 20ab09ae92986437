#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# Checks the models of this directory with spin, every interleaving of each, and then that spin
# finds what breaks in each mutant. Needs spin and gcc. Takes about a minute and a half of one
# core and 1 GB; prints a line a model with its states and its seconds of processor time. Fails
# when a model that must hold does not, when a search was not complete, when a mutant survives,
# and when a step of a model is reached in none of the searches: that step would prove nothing.
set -u

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.pml "$work" && cd "$work" || exit 1
failures=0

for tool in spin gcc; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done

# Leaves the verdict of a search in `out`. Models with a liveness property in them (SETTLES,
# RETURNS) are searched for cycles under weak fairness, others for assertions and deadlocks.
search() { # optimisation, model, defines...
    local optimisation=$1 model=$2
    shift 2
    local compile=(-DMEMLIM=4000) run=(-m20000 -w20)
    case "$*" in
        *SETTLES* | *RETURNS*) compile+=(-DNFAIR=3) run+=(-a -f) ;;
        *) compile+=(-DSAFETY) ;;
    esac
    if ! spin -a "$@" "$model.pml" >out 2>&1 ||
        ! gcc "$optimisation" -w "${compile[@]}" -o pan pan.c >out 2>&1; then
        cat out
        return 1
    fi
    ./pan "${run[@]}" >out 2>&1 || true  # the verdict is in what it says
}

complete() {
    grep -q 'Full statespace search' out &&
        grep -q 'errors: 0' out &&
        grep -qE 'invalid end states[[:space:]]+\+|acceptance +cycles[[:space:]]+\+ \(fairness enabled\)' out &&
        ! grep -qE 'max search depth too small|Search not completed|MEMLIM|out of memory|hash table is full' out
}

report() { # verdict, title
    printf '%-9s %-52s %9s states %6s s\n' "$1" "$2" \
        "$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)" "$(cat seconds)"
}

holds() { # model, defines...
    rm -f out pan
    TIMEFORMAT=%U
    local verdict=holds
    { time search -O2 "$@" 2>&1; } 2>seconds && complete || verdict=FAILED
    report "$verdict" "$*"
    if [ "$verdict" = FAILED ]; then
        failures=$((failures + 1))
        grep -E '^pan|errors:|error:|depth|completed|MEMLIM' out
    fi
    unreached >>"unreached.$1"
    echo >>"searches.$1"
}

breaks() { # what spin must say, model, defines...
    rm -f out pan
    local expected=$1 verdict=broken
    shift
    { time search -O0 "$@" 2>&1; } 2>seconds && grep -qF "pan:1: $expected" out || verdict=SURVIVED
    report "$verdict" "$*"
    if [ "$verdict" = SURVIVED ]; then
        failures=$((failures + 1))
        echo "expected: $expected"
        grep -E '^pan|errors:' out
    fi
}

# The steps that a search has not reached, one a line, without their numbers. Processes that loop
# for ever have an end that nobody reaches.
unreached() {
    sed -nE 's/^\t[^ ]*\.pml:([0-9]+), state [0-9]+, (.*)/\1 \2/p' out | grep -v -e '-end-' | sort -u
}

holds pool -DTWO_TASKS
holds pool -DTWO_PRODUCERS
holds pool -DTWO_PRODUCERS -DLIMITED=0
holds pool -DTHREE_WORKERS
holds pool -DTWO_OF_THREE
holds pool -DBULK
holds pool -DCHAIN -DTAKEN_APART -DMISSES=2
holds pool -DCHAIN -DTAKEN_APART -DENQUEUED_FIRST -DLIMITED=0
holds pool -DCHAIN -DTAKEN_LATE
holds pool -DTWO_TASKS -DSTOP
holds pool -DCHAIN -DMISSES=1 -DSETTLES
holds pool -DTWO_RIVALS -DSETTLES
holds drain
holds drain -DBULK=1 -DNESTED=3 -DCAPACITY=3
holds drain -DRETURNS

asleep='assertion violated  !(task_left_asleep)'
negative='assertion violated (sleepers>=0)'
miscounted='assertion violated ((sleepers==parked_words)&&(sleeping==parked_words))'
breaks "$asleep" pool -DTWO_TASKS -DM_WITHOUT_RESCAN
breaks "$asleep" pool -DTWO_TASKS -DM_WITHOUT_HAND_ON
breaks "$asleep" pool -DTWO_TASKS -DM_HAND_ON_AFTER_TASK
breaks "$asleep" pool -DCHAIN -DM_HAND_ON_SAME_QUEUE
breaks "$asleep" pool -DCHAIN -DM_WITHOUT_RECHECK
breaks "$asleep" pool -DTWO_TASKS -DM_CLAIM_AFTER_WAKE
breaks "$asleep" pool -DTWO_TASKS -DM_WITHOUT_WAKE
breaks "$asleep" pool -DTWO_TASKS -DM_WAKE_BEFORE_PUT
breaks "$asleep" pool -DTWO_TASKS -DM_WAKE_BEFORE_COUNT
breaks "$asleep" pool -DCHAIN -DM_EMPTY_KEEPS_SLOT
breaks "$negative" pool -DTWO_TASKS -DM_WORD_BEFORE_SLEEPERS
breaks "$miscounted" pool -DTWO_TASKS -DM_WITHOUT_CANCEL
breaks "$miscounted" pool -DTWO_TASKS -DM_CANCEL_WITHOUT_CAS
breaks "$miscounted" pool -DTWO_TASKS -DM_CANCEL_KEEPS_SLEEPERS
breaks "$miscounted" pool -DTWO_TASKS -DM_CLAIM_KEEPS_SLEEPERS
breaks "$miscounted" pool -DTWO_TASKS -DM_SLEEP_ONCE
breaks 'assertion violated (inside<=1)' pool -DCHAIN -DM_LIMIT_WITHOUT_CAS
breaks 'assertion violated ((gone+stuck)==2)' pool -DTWO_TASKS -DSTOP -DM_RESCAN_IGNORES_EXITING
breaks 'acceptance cycle' pool -DCHAIN -DSETTLES -DM_RESCAN_IGNORES_LIMIT

too_late='assertion violated ( !(after_close)&& !(drained))'
not_full='assertion violated ( !(refused)||(((t+n)-finished_then)>'
lost='assertion violated ((drained&&(held==0))&&((tickets-64)==(finished[0]+finished[1])))'
breaks "$too_late" drain -DM_CLOSED_CHECKED_FIRST
breaks "$too_late" drain -DM_CLOSE_BY_STORE
breaks "$too_late" drain -DM_WITHOUT_WAITING
breaks "$lost" drain -DM_GIVE_BACK_BY_STORE
breaks "$lost" drain -DM_WITHOUT_GIVE_BACK
breaks 'assertion violated (held==0)' drain -DM_FINISHED_BEFORE_TASK
breaks 'assertion violated (held<=2)' drain -DM_CAPACITY_CHECKED_FIRST
breaks "$not_full" drain -DM_CACHE_NOT_REFRESHED
breaks "$not_full" drain -DM_CAPACITY_UNSIGNED -DBULK=1 -DNESTED=3 -DCAPACITY=3

for model in pool drain; do
    idle=$(sort "unreached.$model" | uniq -c | awk -v all="$(wc -l <"searches.$model")" '$1 == all')
    if [ -n "$idle" ]; then
        printf 'steps of %s.pml that no search reaches:\n%s\n' "$model" "$idle"
        failures=$((failures + 1))
    fi
done

[ $failures = 0 ] || { echo "$failures failed"; exit 1; }
