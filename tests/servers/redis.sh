#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# redis.sh DIRECTORY [PORT]: runs Redis in the foreground, without privileges and with nothing of
# the system's configuration, on 127.0.0.1, and on a second port with TLS (DIRECTORY/certificate.pem).
# Prints `port N`, `tls_url URL` and `url URL` when it accepts clients; both URLs are of the user
# "tests", who may do everything, as may who gives no name. Every write is synced. Further lines for
# its configuration: POSTLUDE_REDIS_CONF in the environment, parted by semicolons.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pause.sh"

parent=$PPID  # without it, the server ends
directory=$1
port=${2-}
die() {
    echo "redis.sh: $*" >&2
    exit 1
}
command -v redis-server >/dev/null || die "there is no Redis; install redis-server"
directory=$(mkdir -p "$directory" && cd "$directory" && pwd)

if [[ ! -f $directory/certificate.pem ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
        -keyout "$directory/key.pem" -out "$directory/certificate.pem" 2>"$directory/openssl.log" ||
        die "openssl made no certificate: $(tail -n 1 "$directory/openssl.log")"
fi
as_user=()
if ((EUID == 0)); then  # Redis would, but nothing here needs it
    as_user=(--reuid=redis --regid=redis --clear-groups)
    chown -R redis:redis "$directory"
fi

# Below the ports that the system gives to clients.
free_port() { echo $((20000 + (RANDOM * 32768 + RANDOM) % 12000)); }

write_configuration() {
    cat <<END
bind 127.0.0.1
port $port
tls-port $tls_port
tls-cert-file $directory/certificate.pem
tls-key-file $directory/key.pem
tls-ca-cert-file $directory/certificate.pem
tls-auth-clients no
dir $directory
appendonly yes
appendfsync always
save ""
logfile $directory/redis.log
user default on nopass ~* &* +@all
user tests on >only-tests ~* &* +@all
END
    tr ';' '\n' <<<"${POSTLUDE_REDIS_CONF-}"
}

# start: true when it accepts clients; false when a port is somebody else's.
start() {
    write_configuration >"$directory/redis.conf"
    rm -f "$directory/redis.log"
    setpriv "${as_user[@]}" --pdeathsig KILL redis-server "$directory/redis.conf" \
        >"$directory/output" 2>&1 &
    server=$!
    until [[ $(redis-cli -p "$port" ping 2>&1) =~ ^(PONG|NOAUTH) ]]; do
        if [[ ! -d /proc/$server ]]; then
            grep -qi 'address already in use' "$directory/redis.log" "$directory/output" 2>/dev/null &&
                return 1
            die "it did not start: $(cat "$directory/output" "$directory/redis.log" 2>/dev/null | tail -n 3)"
        fi
        pause 0.02
    done
    [[ -d /proc/$server ]]
}

stopping=
trap 'stopping=yes' TERM INT
given=$port
for ((tries = 0; ; ++tries)); do
    port=${given:-$(free_port)}
    tls_port=$(free_port)
    [[ ! $given || ! -f $directory/tls_port || $tries != 0 ]] || tls_port=$(<"$directory/tls_port")
    start && break
    ((tries < 20)) || die "the port $port is in use"
    pause 0.1
done
echo "$tls_port" >"$directory/tls_port"
echo "port $port"
echo "tls_url rediss://tests:only-tests@127.0.0.1:$tls_port/0?ca_file=$directory/certificate.pem"
echo "url redis://tests:only-tests@127.0.0.1:$port/0"

while [[ -d /proc/$server ]]; do
    if [[ $stopping || ! -d /proc/$parent ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || true
        exit 0
    fi
    pause 0.05
done
die "the server ended: $(tail -n 3 "$directory/redis.log")"
