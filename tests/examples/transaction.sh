#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# transaction.sh BUILD_DIRECTORY: runs examples/transaction.cpp with a PostgreSQL server of its own:
# of two sign-ups the one that was rolled back leaves neither an account nor a mail.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/support/shell.sh"

[[ $# -eq 1 && -d $1 ]] || fail "usage: $0 BUILD_DIRECTORY"
program=$(find_program "$1" example_transaction)
work=$(mktemp -d)
chmod 755 "$work"  # the server has a user of its own
"$root/tests/servers/postgres.sh" "$work/server" >"$work/started" 2>"$work/errors" &
server=$!
finish() {
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || true
    rm -rf "$work"
}
trap finish EXIT
wait_until 60 grep -q '^url ' "$work/started" || fail "no server: $(cat "$work/errors")"
url=$(sed -n 's/^url //p' "$work/started")

timeout 120 "$program" "$url" >"$work/out" 2>&1 || fail "it ended with $?: $(cat "$work/out")"
sort "$work/out" >"$work/sorted"
sort >"$work/expected" <<END
not signed up: eve@example.org, we know nobody there
signed up: ada@example.com
welcome, ada@example.com
jobs: 1
END
diff "$work/expected" "$work/sorted" >&2 || fail "transaction printed something else"
