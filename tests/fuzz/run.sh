#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh [SECONDS] [TARGET]...: builds the fuzz targets of this folder with Clang and runs each, or
# those named, for 20 s or SECONDS, from the inputs in seeds/ and with the same random numbers each
# time. A finding is kept below build/fuzz/findings/ and printed, and the exit status is 1; the
# target's program with the file's path as its argument runs it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-20}
targets=("${@:2}")
((${#targets[@]} > 0)) || targets=(request_reader router connection job_reader)
build=build/fuzz
findings=$build/findings
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
}
quietly cmake --preset fuzz
quietly cmake --build "$build" --target "${targets[@]/#/fuzz_}"

# seed TARGET FOLDER: a file for each line of the target's seeds.
seed() {
    local line n=0
    mkdir -p "$2"
    while IFS= read -r line; do
        printf '%b' "$line" >"$2/seed-$((n += 1))"
    done <"tests/fuzz/seeds/$1.txt"
}

# fuzz TARGET
fuzz() {
    local target=$1 dict=tests/fuzz/$1.dict found
    [[ -f $dict ]] || dict=tests/fuzz/http.dict
    seed "$target" "$work/$target"
    rm -rf "${findings:?}/$target"
    mkdir -p "$findings/$target"
    if "$build/tests/fuzz/fuzz_$target" -seed=1 -max_total_time="$seconds" -max_len=2048 \
        -timeout=100 -rss_limit_mb=2048 -print_final_stats=1 -print_funcs=0 -dict="$dict" \
        -artifact_prefix="$findings/$target/" "$work/$target" >"$work/log" 2>&1; then
        awk -v target="$target" '/number_of_executed_units/ { print target ": " $2 " inputs" }' \
            "$work/log"
        return
    fi
    grep -v '^#[0-9]*[[:space:]]' "$work/log" | tail -n 60
    for found in "$findings/$target"/*; do
        [[ -f $found ]] || continue
        printf '\n%s: FOUND %s\n' "$target" "$found"
        od -A d -t x1z "$found"
    done
    return 1
}

for target in "${targets[@]}"; do
    fuzz "$target"
done
