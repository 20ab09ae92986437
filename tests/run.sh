#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh [PART]...: installs what is missing, builds and runs the checks: all of them, or those
# named. Stops at the first that fails. The last line counts what passed: each Catch2 test in each
# build, and each other check, as one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A about=(
    [format]='sources are formatted'
    [model]='models of the lock-free protocols'
    [plain]='release build, every test'
    [headers]='each public header compiles on its own'
    [tidy]='clang-tidy'
    [fuzz]='fuzz targets, for a short time'
    [install]='a project that finds Postlude installed'
    [examples]='examples'
    [browser]='the sign-up page in Chromium'
    [proxy]='HAProxy in front of a server, 100,000 requests'
    [restart]='restarts on an inherited socket under load'
    [durable]='jobs in a file through kills, stops, full disks, overload and deploys'
    [engines]='jobs in stores on servers: kills, restarts, cut and silent connections, four workers'
    [bench]='benchmarks start'
    [cost]='system calls, allocations and instructions a request'
    [asan]='AddressSanitizer and UndefinedBehaviorSanitizer, every test'
    [tsan]='ThreadSanitizer, every test'
)
all=(format model plain headers install examples browser proxy restart durable engines bench cost tidy fuzz asan tsan)

parts=("$@")
((${#parts[@]} > 0)) || parts=("${all[@]}")
for part in "${parts[@]}"; do
    if [[ ! ${about[$part]-} ]]; then
        printf '%s: there is no part named %s, only %s\n' "$0" "$part" "${all[*]}" >&2
        exit 2
    fi
done

middleware/cmake/packages.sh tests

# One compiler takes up to 1 GB.
if [[ ! ${CMAKE_BUILD_PARALLEL_LEVEL-} ]]; then
    gigabytes=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
    ((gigabytes >= CMAKE_BUILD_PARALLEL_LEVEL)) ||
        CMAKE_BUILD_PARALLEL_LEVEL=$((gigabytes > 0 ? gigabytes : 1))
    export CMAKE_BUILD_PARALLEL_LEVEL
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0

# quietly COMMAND...: its output is shown when it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
}

# build PRESET [TARGET]...
build() {
    local preset=$1
    shift
    # What GCC warns of in code that it has instrumented is not what is written there.
    local werror=ON
    [[ $preset == release ]] || werror=OFF
    quietly cmake --preset "$preset" -DPOSTLUDE_WERROR=$werror \
        ${POSTLUDE_UNITY:+-DPOSTLUDE_UNITY="$POSTLUDE_UNITY"} &&
        quietly cmake --build "build/$preset" ${1+--target "$@"}
}

# failures LOG: what failed in it, once more, where a reader of the last lines sees it.
failures() {
    printf '\nWhat failed:\n'
    grep -aE -B 12 -A 8 'FAILED:$|Sanitizer' "$1" | cut -c 1-160 | tail -n 150
    grep -aE -A 150 'A test has run for [0-9]+ s' "$1" | cut -c 1-160
}

# run_tests PRESET: builds and runs the Catch2 tests and counts them.
run_tests() {
    local log=$PWD/build/$1/tests.log plain=() jobs=3 count
    build "$1" || return
    # The sanitizers of GCC 12 fail at random where addresses are more random than this.
    if [[ $1 != release ]] && (($(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0) > 28)) &&
        setarch -R true 2>/dev/null; then
        plain=(setarch -R)
    fi
    # Most of the tests wait; but under ThreadSanitizer they need all that a small machine has.
    [[ $1 != tsan ]] || jobs=1
    "${plain[@]}" ctest --test-dir "build/$1" --parallel "$jobs" --no-tests=error -V \
        --output-log "$log" >/dev/null ||
        { cat "$log"; failures "$log"; return 1; }
    count=$(sed -nE 's/.*All tests passed \(.* in ([0-9]+) test cases?\).*/\1/p' "$log" |
        awk '{ n += $1 } END { print n + 0 }')
    ((count > 0)) || { cat "$log"; return 1; }
    echo "$count tests"
    ((passed += count))
}

sources() {
    find middleware examples bench tests -name node_modules -prune -o \
        \( -name '*.cpp' -o -name '*.hpp' \) -print
}

part_format() {
    sources | xargs clang-format-19 --dry-run -Werror 2>"$work/log" ||
        { grep error: "$work/log"; echo 'clang-format-19 -i FILE mends it'; return 1; }
    ((passed += 1))
}

part_model() {
    tests/model/run.sh || return
    ((passed += 1))
}

part_plain() {
    run_tests release
}

part_asan() {
    run_tests asan
}

part_tsan() {
    run_tests tsan
}

part_headers() {
    build release all_verify_interface_header_sets || return
    ((passed += 1))
}

part_tidy() {
    # All sources of a library at once: nine tenths of the time go into the headers they share.
    quietly cmake --preset release -B build/tidy -DPOSTLUDE_UNITY=ON &&
        quietly cmake --preset release -B build/tidy_each -DPOSTLUDE_UNITY=OFF || return
    find build/tidy/middleware -name 'unity_*.cxx' |
        xargs -n 1 -P "$CMAKE_BUILD_PARALLEL_LEVEL" clang-tidy-19 --quiet -p build/tidy \
            --config-file=.clang-tidy --checks=-bugprone-suspicious-include \
            --extra-arg=-Wno-unknown-warning-option \
            >"$work/log" 2>"$work/errors" || { cat "$work/log" "$work/errors"; return 1; }
    # Which it looks for in what is compiled only, not in what that includes.
    sources | grep '^middleware/src/.*\.cpp$' |
        xargs -n 4 -P "$CMAKE_BUILD_PARALLEL_LEVEL" clang-tidy-19 --quiet -p build/tidy_each \
            --checks='-*,misc-unused-using-decls' --extra-arg=-Wno-unknown-warning-option \
            >"$work/log" 2>"$work/errors" || { cat "$work/log" "$work/errors"; return 1; }
    ((passed += 1))
}

part_fuzz() {
    tests/fuzz/run.sh || return
    ((passed += 4))
}

part_install() {
    build release && tests/install/run.sh build/release || return
    ((passed += 1))
}

part_examples() {
    build release && tests/examples/readme.sh build/release || return
    ((passed += 1))
    tests/examples/embed.sh build/release || return
    ((passed += 1))
    tests/examples/worker.sh build/release || return
    ((passed += 1))
    tests/examples/transaction.sh build/release || return
    ((passed += 1))
    examples/run.sh --check || return
    ((passed += 1))
}

part_browser() {
    build release && tests/browser/run.sh || return
    ((passed += 1))
}

part_proxy() {
    build release && tests/proxy/run.sh build/release || return
    ((passed += 1))
}

part_restart() {
    build release && tests/restart/run.py build/release/tests/program_serve || return
    ((passed += 1))
}

part_durable() {
    build release || return
    tests/durable/run.py build/release/tests/program_job_server | tee "$work/durable" || return
    ((passed += $(grep -c '^[a-z].* s)$' "$work/durable")))
}

part_engines() {
    local engine
    build release || return
    for engine in postgres redis rabbitmq; do
        tests/durable/run_engines.py build/release/tests/program_job_server "$engine" |
            tee "$work/engines" || return
        ((passed += $(grep -c '^[a-z].* s)$' "$work/engines")))
    done
}

part_bench() {
    local program
    build release || return
    for program in build/release/bench/bench_*; do
        echo "$(basename "$program") --smoke"
        quietly timeout 120 "$program" --smoke || return
        ((passed += 1))
    done
}

part_cost() {
    build release && bench/cost.py --check || return
    ((passed += 1))
}

for part in "${parts[@]}"; do
    printf '\n== %s: %s\n' "$part" "${about[$part]}"
    begin=$SECONDS
    if ! "part_$part"; then
        printf '\nFAILED: %s (%s) after %d s\n%d passed, 1 failed\n' \
            "$part" "${about[$part]}" $((SECONDS - begin)) "$passed"
        exit 1
    fi
    printf '   %d s\n' $((SECONDS - begin))
done
printf '\n%d passed, 0 failed\n' "$passed"
