#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# postgres.sh DIRECTORY [PORT]: runs PostgreSQL in the foreground, on 127.0.0.1 and a socket in
# DIRECTORY, with a cluster of its own there, which a later start finds again. Prints `port N` and
# `url URL` when it accepts clients: the user postlude, who owns the database postlude. The users
# postlude and postgres (the superuser) need no password; guarded has "right:word@1". TLS with
# DIRECTORY/certificate.pem. Ends on SIGTERM, and with whoever has started it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pause.sh"

starter=$PPID
directory=$1
port=${2-}

fail() {
    printf 'postgres.sh: %s\n' "$*" >&2
    exit 1
}
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
[[ -x $bin/postgres ]] || bin=$(dirname "$(command -v postgres)") || true
[[ -x $bin/postgres && -x $bin/initdb ]] ||
    fail "there is no PostgreSQL server; install Debian's postgresql"

as_user=(setpriv --pdeathsig KILL)
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
if ((EUID == 0)); then  # it does not run as root
    id postgres >/dev/null 2>&1 || fail "there is no user postgres to run it as"
    as_user+=(--reuid=postgres --regid=postgres --clear-groups)
    chmod 755 "$directory"
    chown postgres:postgres "$directory"
fi
data=$directory/data
log=$directory/postgres.log

# make: the cluster, its users and their database.
make() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -batch \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$directory/key.pem" -out "$directory/certificate.pem" 2>>"$log" ||
        fail "openssl could not make a certificate"
    chmod 600 "$directory/key.pem"
    ((EUID != 0)) || chown postgres "$directory/key.pem"
    rm -rf "$data"
    "${as_user[@]}" "$bin/initdb" -D "$data" -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust \
        --no-sync --no-instructions >>"$log" 2>&1 || fail "initdb failed; see $log"
    cat >"$data/pg_hba.conf" <<END
local all all trust
host all postgres,postlude 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
END
    cat >>"$data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$directory'
max_connections = 200
max_wal_size = 4GB
ssl = on
ssl_cert_file = '$directory/certificate.pem'
ssl_key_file = '$directory/key.pem'
END
    "${as_user[@]}" "$bin/postgres" --single -D "$data" postgres >>"$log" 2>&1 <<END
CREATE ROLE postlude LOGIN
CREATE ROLE guarded LOGIN PASSWORD 'right:word@1'
CREATE DATABASE postlude OWNER postlude
END
    : >"$directory/made"
}
[[ -e $directory/made ]] || make

# Of this start, not of one before it.
is_ready() {
    [[ $(sed -n '1p;8p' "$data/postmaster.pid" 2>/dev/null) == "$server"$'\n'ready* ]]
}

# start PORT: returns 1 when the server ended at once, as it does when the port is taken.
start() {
    "${as_user[@]}" "$bin/postgres" -D "$data" -p "$1" >>"$log" 2>&1 &
    server=$!
    until is_ready; do
        [[ -d /proc/$server ]] || return 1
        [[ -d /proc/$starter ]] || { kill -KILL "$server"; exit 1; }
        pause 0.02
    done
}

server=
stopping=
# Fast: it ends the clients' connections and does not wait for them.
stop() {
    stopping=yes
    kill -INT "$server" 2>/dev/null || true
}
trap stop TERM INT
if [[ $port ]]; then
    # Of a server that was killed, some processes may have to notice it yet.
    for ((try = 0; ; ++try)); do
        start "$port" && break
        ((try < 50)) || fail "it did not start on port $port: $(tail -n 3 "$log")"
        pause 0.1
    done
else
    for ((try = 0; ; ++try)); do
        port=$((20000 + (SRANDOM % 12000)))
        start "$port" && break
        ((try < 20)) || fail "it did not start: $(tail -n 3 "$log")"
    done
fi
printf 'port %s\nurl postgresql://postlude@127.0.0.1:%s/postlude\n' "$port" "$port"

while [[ -d /proc/$server ]]; do
    [[ -d /proc/$starter ]] || stop
    pause 0.05
done
[[ $stopping ]] || fail "the server ended: $(tail -n 3 "$log")"
