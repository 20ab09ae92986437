#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# worker.sh BUILD_DIRECTORY: examples/worker as two processes on one store: a job that crashes its
# worker leaves the server, and a worker that is started again does what is left.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/support/shell.sh"

[[ $# -eq 1 && -d $1 ]] || fail "usage: $0 BUILD_DIRECTORY"
program=$(find_program "$1" worker)
work=$(mktemp -d)
url=sqlite:$work/jobs.db
server=
worker=

finish() {
    local status=$?
    kill -KILL $server $worker 2>/dev/null || true
    if ((status)); then
        tail -n 20 "$work"/*.out "$work/shell.err" >&3 || true
    fi
    rm -rf "$work"
}
trap finish EXIT
# Where bash says of each worker that it was aborted.
exec 3>&2 2>"$work/shell.err"

post() {
    [[ $(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' --max-time 60 -X POST \
        "http://127.0.0.1:$port/pictures/$1") == 202 ]] || fail "$1 was not accepted"
}
start_worker() {
    "$program" work "$url" >>"$work/worker.out" 2>&1 &
    worker=$!
}
made() { grep -qF "thumbnail of $1, 200 wide" "$work/worker.out"; }

"$program" serve "$url" 0 >"$work/server.out" 2>&1 &
server=$!
wait_until 60 grep -q '^listening' "$work/server.out" || fail "the server did not start"
port=$(sed -n 's|^listening on http://127.0.0.1:\([0-9]*\)/$|\1|p' "$work/server.out")

start_worker
post cat.png
wait_until 60 made cat.png || fail "the worker made no thumbnail"
post crash.png
wait_until 60 has_ended "$worker" || fail "the worker lives on"
wait "$worker" 2>/dev/null && fail "the worker ended as if nothing had happened"
post dog.png  # the server lives on
for death in 2 3; do
    start_worker
    wait_until 60 has_ended "$worker" || fail "the job has not crashed its worker again"
    wait "$worker" 2>/dev/null || true
done
start_worker  # now the job is quarantined
wait_until 60 made dog.png || fail "the job beside the one that crashes was not done"
for process in "$server" "$worker"; do
    kill -TERM "$process"
    wait "$process" || fail "a process did not end cleanly"
done
server= worker=
made crash.png && fail "crash.png has a thumbnail"
echo "ok: examples/worker, three workers died of a job, and the server and the other jobs did not"
