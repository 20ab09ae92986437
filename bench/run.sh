#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh [full] [PART]... [--compare OLD.json]: installs what is missing, builds in release, runs
# the benchmarks (all parts, or those named: latency pool durable overload cost) and writes
# bench/report/index.html, for people, and bench/report/report.json, for programs. Takes ten minutes
# at most; `full` takes its time. POSTLUDE_BENCH_DISK names a directory on the disk that the durable
# part measures, by default the one of the build. Nothing else should run on the machine meanwhile.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=
compare=()
parts=()
while (($# > 0)); do
    case $1 in
        full) full=1 ;;
        latency | pool | durable | overload | cost) parts+=("$1") ;;
        --compare)
            old=${2-}
            [[ $old == /* ]] || old=$caller/$old
            [[ -f $old ]] || { printf '%s: --compare wants the report.json of an earlier run, and there is no file %s\n' "$0" "$old" >&2; exit 2; }
            # This run writes to the same place.
            compare=("$old")
            shift
            ;;
        *)
            printf '%s: no part is named %s: latency, pool, durable, overload, cost; or full\n' \
                "$0" "$1" >&2
            exit 2
            ;;
    esac
    shift
done
((${#parts[@]} > 0)) || parts=(latency pool durable overload cost)

middleware/cmake/packages.sh bench
cmake --preset release >/dev/null
cmake --build build/release --target benchmarks

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ((${#compare[@]} > 0)); then
    cp "${compare[0]}" "$work/old.json"
    compare=(--compare "$work/old.json")
fi
results=$work/results
touch "$results"
disk=${POSTLUDE_BENCH_DISK-$PWD/build/release}

# program NAME [OPTION]...
program() {
    printf '\n== %s\n' "$*"
    "build/release/bench/bench_$1" --json "$results" "${@:2}"
}

part_latency() {
    program latency --directory "$disk" ${full:+--grid --pairs 25 --seconds 2}
    program server ${full:+--rounds 15 --seconds 2}
    program respond ${full:+--pairs 15 --seconds 2}
}
part_pool() {
    program pool ${full:+--rounds 21}
}
part_durable() {
    program durable_jobs --directory "$disk" --rounds ${full:+9 --seconds} ${full:-3}
    program sqlite_backend --directory "$disk"
}
part_overload() {
    program overload ${full:+--seconds 5}
}
part_cost() {
    bench/cost.sh --json "$results"
}

for part in "${parts[@]}"; do
    "part_$part"
done
printf '\n'
bench/report.py "$results" bench/report "${compare[@]}"
printf '\nbench/report/index.html has the report.\n'
