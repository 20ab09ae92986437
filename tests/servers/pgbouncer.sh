#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# pgbouncer.sh DIRECTORY [PORT]: runs PgBouncer in the foreground, on 127.0.0.1, before the server of
# postgres.sh whose port is in POSTLUDE_POSTGRES_PORT: it lends a connection for a transaction.
# Prints `port N` and `url URL` when it accepts clients. Ends on SIGTERM, and with whoever has started
# it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pause.sh"

starter=$PPID
directory=$1
given=${2-}

fail() {
    printf 'pgbouncer.sh: %s\n' "$*" >&2
    exit 1
}
bin=$(command -v pgbouncer || echo /usr/sbin/pgbouncer)
[[ -x $bin ]] || fail "there is no PgBouncer; install Debian's pgbouncer"
[[ ${POSTLUDE_POSTGRES_PORT-} ]] || fail "POSTLUDE_POSTGRES_PORT has to name the server's port"

as_user=(setpriv --pdeathsig KILL)
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
if ((EUID == 0)); then  # it does not run as root
    id postgres >/dev/null 2>&1 || fail "there is no user postgres to run it as"
    as_user+=(--reuid=postgres --regid=postgres --clear-groups)
    chmod 755 "$directory"
fi

# start PORT: returns 1 when it ended at once, as it does when the port is taken.
start() {
    cat >"$directory/pgbouncer.ini" <<END
[databases]
postlude = host=127.0.0.1 port=$POSTLUDE_POSTGRES_PORT dbname=postlude user=postlude
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $1
unix_socket_dir =
auth_type = any
pool_mode = transaction
END
    : >"$directory/log"
    "${as_user[@]}" "$bin" "$directory/pgbouncer.ini" >"$directory/log" 2>&1 &
    server=$!
    until grep -q 'process up' "$directory/log"; do
        [[ -d /proc/$server ]] || return 1
        [[ -d /proc/$starter ]] || exit 1
        pause 0.02
    done
}

stopping=
trap 'stopping=yes' TERM INT
for ((try = 0; ; ++try)); do
    port=${given:-$((20000 + (SRANDOM % 12000)))}
    start "$port" && break
    ((try < 20)) || fail "it did not start: $(tail -n 3 "$directory/log")"
    pause 0.1
done
printf 'port %s\nurl postgresql://postlude@127.0.0.1:%s/postlude\n' "$port" "$port"

while [[ -d /proc/$server ]]; do
    if [[ $stopping || ! -d /proc/$starter ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || true
        exit 0
    fi
    pause 0.05
done
fail "it ended: $(tail -n 3 "$directory/log")"
