#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh BUILD_DIRECTORY [REQUESTS]: HAProxy in front of a server, under load; 100,000 requests
# unless told otherwise. Every answer must be right, and each request's task must run once. The
# HAProxy that Debian's package may have started listens on no port and is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../support/shell.sh"

[[ $# -ge 1 && -d $1 ]] || fail "usage: $0 BUILD_DIRECTORY [REQUESTS]"
requests=${2-100000}
[[ -x /usr/sbin/haproxy ]] ||
    fail "there is no haproxy; middleware/cmake/packages.sh tests installs it"

work=$(mktemp -d)
server=

finish() {
    local status=$?
    if [[ $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
    fi
    if ((status)); then
        tail -n 30 "$work"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

program=$(find_program "$1" program_echo_server)
"$program" "$requests" >"$work/server.log" 2>&1 &
server=$!
wait_until 60 grep -q '^port ' "$work/server.log" || fail "the server did not start"
port=$(sed -n 's/^port //p' "$work/server.log")

/usr/bin/python3 "$here/load.py" --server-port "$port" --requests "$requests" \
    --log "$work/haproxy.log" || fail "the load through HAProxy"

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
((status == 0)) || fail "the server ended with $status after SIGTERM"
for line in "tasks $requests" "once $requests"; do
    grep -qxF "$line" "$work/server.log" || fail "the server does not say '$line'"
done
! grep -E '\[(error|warning)\]' "$work/server.log" || fail "the server complained"
echo "$requests tasks ran, one for each request"
