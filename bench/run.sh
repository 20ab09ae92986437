#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh [full] [PART]... [--compare OLD.json]: installs what is missing, builds in release, runs
# the benchmarks (latency pool durable overload cost, or the parts that are named; three more are
# `engines`, durable jobs on servers, and `peers`, web servers, and `jobs`, job systems, that people
# take instead) and writes bench/report/index.html, for people, and bench/report/report.json, for
# programs. Takes ten minutes at most; `full` takes its time, and has all parts in it. POSTLUDE_BENCH_DISK names a
# directory on the disk that durable jobs are measured on, by default the one of the build. Nothing
# else should run on the machine meanwhile.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=
compare=()
parts=()
while (($# > 0)); do
    case $1 in
        full) full=1 ;;
        latency | pool | durable | overload | cost | engines | peers | jobs) parts+=("$1") ;;
        --compare)
            old=${2-}
            [[ $old == /* ]] || old=$caller/$old
            [[ -f $old ]] || { printf '%s: --compare wants the report.json of an earlier run, and there is no file %s\n' "$0" "$old" >&2; exit 2; }
            # This run writes to the same place.
            compare=("$old")
            shift
            ;;
        *)
            printf '%s: no part is named %s: latency, pool, durable, overload, cost, engines, peers, jobs; or full\n' \
                "$0" "$1" >&2
            exit 2
            ;;
    esac
    shift
done
((${#parts[@]} > 0)) || parts=(latency pool durable overload cost ${full:+engines peers jobs})

middleware/cmake/packages.sh bench
cmake --preset release >/dev/null
cmake --build build/release --target benchmarks

work=$(mktemp -d)
servers=()
finish() {
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap finish EXIT
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
    program wakeups --rounds ${full:+1}5
}
part_pool() {
    program pool ${full:+--rounds 21}
}
part_durable() {
    program durable_jobs --directory "$disk" --rounds ${full:+9 --seconds} ${full:-3}
    program job_store --directory "$disk"
}
part_engines() {
    local options=(--directory "$disk" --rounds ${full:+9 --seconds} ${full:-3} --waiting 1 64 512)
    program durable_jobs --server postgres --name PostgreSQL --enqueue-target '>= 60000' \
        --run-target '' "${options[@]}"
    # Redis does not rewrite its log meanwhile: that takes a core for seconds.
    local sync kept='auto-aof-rewrite-percentage 0'
    for sync in always everysec; do
        POSTLUDE_REDIS_CONF="$kept;appendfsync $sync" program durable_jobs --server redis \
            --name "Redis, appendfsync $sync, log not rewritten" --enqueue-target '' \
            --run-target '' "${options[@]}"
    done
    program durable_jobs --server rabbitmq --name RabbitMQ --enqueue-target '>= 25000' \
        --run-target '' "${options[@]}"
    program job_store --server postgres --directory "$disk"
    program redis_backend --directory "$disk"
    program rabbitmq_backend --directory "$disk"
}
part_overload() {
    program overload --directory "$disk" ${full:+--seconds 5}
}
part_cost() {
    bench/cost.py --json "$results"
}

# What somebody would take instead. Each as its own documentation starts it for production, in one
# process, on the cores that the servers here have.
part_peers() {
    local cores port=18180 peers=() name
    middleware/cmake/packages.sh peers
    go build -o "$work/go_server" bench/peers/server.go
    cores=0-$(($(nproc) > 1 ? $(nproc) - 2 : 0))
    start() {
        port=$((port + 1))
        peers+=(--peer "$1=$port")
        (cd bench/peers && exec taskset -c "$cores" "${@:2}") >"$work/$1.log" 2>&1 &
        servers+=($!)
    }
    start Node node node.js $((port + 1))
    start Starlette /usr/bin/python3 -m uvicorn starlette_app:app --port $((port + 1)) --log-level warning
    start Puma puma --quiet --environment production --bind tcp://127.0.0.1:$((port + 1)) puma.ru
    start Go "$work/go_server" $((port + 1))
    for ((p = 18181; p <= port; ++p)); do
        for ((i = 0; i < 200; ++i)); do
            ! curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$p/none" || break
            sleep 0.1
        done
        ((i < 200)) || { cat "$work"/*.log; printf 'a peer did not start on port %s\n' "$p"; exit 1; }
    done
    program latency --directory "$disk" --rounds 5 --pairs 7 "${peers[@]}" ${full:+--seconds 2}
}

# Job systems that somebody would take instead, on a Redis and a PostgreSQL of their own.
part_jobs() {
    local there=bench/peers/jobs
    middleware/cmake/packages.sh peers
    npm --prefix "$there" ls >/dev/null 2>&1 ||
        npm --prefix "$there" ci --ignore-scripts --no-audit --no-fund
    printf '\n== job_systems.py\n'
    bench/job_systems.py --json "$results" --directory "$disk" ${full:+--rounds 9 --seconds 3}
}

for part in "${parts[@]}"; do
    "part_$part"
done
printf '\n'
bench/report.py "$results" bench/report "${compare[@]}"
printf '\nbench/report/index.html has the report.\n'
