#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh: starts the sign-up demo as a person does, on a free port, and uses its page in Chromium.
# Fails where there is no Chromium.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../support/shell.sh"

for program in chromium chromedriver; do
    command -v "$program" >/dev/null ||
        fail "there is no $program; middleware/cmake/packages.sh tests installs it"
done

work=$(mktemp -d)
demo=

finish() {
    local status=$?
    if [[ $demo ]]; then
        kill -TERM "$demo" 2>/dev/null || true
        wait "$demo" || true
    fi
    if ((status)); then
        tail -n 30 "$work"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

"$here/../../examples/run.sh" --port 0 >"$work/demo.log" 2>&1 &
demo=$!
listens() {
    grep -q '^listening on ' "$work/demo.log" || has_ended "$demo"
}
wait_until 1200 listens || fail "the demo was not there in time" # it may have to be built first
url=$(sed -n 's/^listening on \(.*\)$/\1/p' "$work/demo.log")
[[ $url ]] || fail "the demo did not start"

mkdir "$work/browser"
timeout -k 10 300 /usr/bin/python3 "$here/signup.py" "$url" "$work/browser" "$work/driver.log" ||
    fail "the sign-up page in Chromium"

kill -TERM "$demo"
status=0
wait "$demo" || status=$?
demo=
((status == 0)) || fail "the demo ended with $status after SIGTERM"
