#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# rabbitmq.sh DIRECTORY [PORT]: runs RabbitMQ in the foreground, without privileges and with nothing
# of the system's configuration, on 127.0.0.1, and on a second port with TLS
# (DIRECTORY/certificate.pem). Prints `port N`, `tls_url URL` and `url URL` when it accepts clients;
# both URLs are of the user "tests", who may do everything in the virtual hosts "tests" and
# "limited". The user "reader" (password "only-reads") may only read in the former. Further lines for its configuration:
# POSTLUDE_RABBITMQ_CONF in the environment, parted by semicolons; POSTLUDE_RABBITMQ_ADVANCED is
# its advanced.config.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/pause.sh"

parent=$PPID  # without it, the server ends
directory=$1
port=${2-}
die() {
    echo "rabbitmq.sh: $*" >&2
    exit 1
}
server_program=/usr/lib/rabbitmq/bin/rabbitmq-server
[[ -x $server_program ]] || die "there is no RabbitMQ; install rabbitmq-server"
directory=$(mkdir -p "$directory" && cd "$directory" && pwd)

if [[ ! -f $directory/certificate.pem ]]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
        -keyout "$directory/key.pem" -out "$directory/certificate.pem" 2>"$directory/openssl.log" ||
        die "openssl made no certificate: $(tail -n 1 "$directory/openssl.log")"
fi
mkdir -p "$directory"/{data,log,generated}
echo '[].' >"$directory/enabled_plugins"
cat >"$directory/definitions.json" <<'END'
{"vhosts": [{"name": "tests"}, {"name": "limited"}],
 "users": [{"name": "tests", "password": "only-tests", "tags": "administrator"},
           {"name": "reader", "password": "only-reads", "tags": ""}],
 "permissions": [
   {"user": "tests", "vhost": "tests", "configure": ".*", "write": ".*", "read": ".*"},
   {"user": "tests", "vhost": "limited", "configure": ".*", "write": ".*", "read": ".*"},
   {"user": "reader", "vhost": "tests", "configure": "", "write": "", "read": ".*"}]}
END
as_user=()
if ((EUID == 0)); then
    as_user=(--reuid=rabbitmq --regid=rabbitmq --clear-groups)
    chown -R rabbitmq:rabbitmq "$directory"
fi

# Below the ports that the system gives to clients.
free_port() { echo $((20000 + (RANDOM * 32768 + RANDOM) % 12000)); }

write_configuration() {
    cat <<END
listeners.tcp.1 = 127.0.0.1:$port
listeners.ssl.1 = 127.0.0.1:$tls_port
ssl_options.certfile = $directory/certificate.pem
ssl_options.keyfile = $directory/key.pem
ssl_options.cacertfile = $directory/certificate.pem
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
load_definitions = $directory/definitions.json
disk_free_limit.absolute = 50MB
log.file.level = warning
END
    tr ';' '\n' <<<"${POSTLUDE_RABBITMQ_CONF-}"
}

in_background() { setpriv "${as_user[@]}" --pdeathsig KILL "$@" >>"$directory/output" 2>&1 & }

accepts() {
    local answer
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    printf 'AMQP\0\0\x09\x01' >&3
    answer=$(timeout 1 head -c 1 <&3 2>/dev/null | od -An -tu1) || true
    exec 3>&-
    [[ $answer == *1* ]]  # a method's frame
}

# Erlang's own name service, since one that RabbitMQ starts would stay.
start_names() {
    epmd_port=$(free_port)
    export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1
    in_background "$(compgen -G '/usr/lib/erlang/erts-*/bin/epmd')" -port "$epmd_port" \
        -address 127.0.0.1
    names=$!
    echo "$epmd_port" >"$directory/epmd_port"  # for rabbitmqctl
    while [[ -d /proc/$names ]] && ! { exec 4<>"/dev/tcp/127.0.0.1/$epmd_port"; } 2>/dev/null; do
        pause 0.01
    done
    exec 4>&- 2>/dev/null || true
}

# start: true when it accepts clients; false when a port is somebody else's, or one is not free yet.
start() {
    : >"$directory/output"
    rm -f "$directory"/log/*
    write_configuration >"$directory/rabbitmq.conf"
    echo "${POSTLUDE_RABBITMQ_ADVANCED-[].}" >"$directory/advanced.config"
    start_names
    local settings=(
        HOME="$directory" PATH="$PATH" LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true
        ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP=/dev/null
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_NODENAME=postlude@localhost
        RABBITMQ_DIST_PORT="$(free_port)" RABBITMQ_CONFIG_FILE="$directory/rabbitmq.conf"
        RABBITMQ_ADVANCED_CONFIG_FILE="$directory/advanced.config"
        RABBITMQ_GENERATED_CONFIG_DIR="$directory/generated"
        RABBITMQ_ENABLED_PLUGINS_FILE="$directory/enabled_plugins"
        RABBITMQ_MNESIA_BASE="$directory/data" RABBITMQ_LOG_BASE="$directory/log"
        RABBITMQ_PID_FILE="$directory/pid"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}")
    in_background env -i -C "$directory" "${settings[@]}" "$server_program"
    server=$!
    until accepts; do
        if [[ $stopping || ! -d /proc/$parent ]]; then
            kill -KILL "$server" 2>/dev/null || true
            exit 0
        fi
        if [[ ! -d /proc/$server ]]; then
            kill "$names" 2>/dev/null || true
            # "nodistribution": the name service's port was somebody else's.
            grep -qi 'eaddrinuse\|in use\|nodistribution' "$directory"/log/* "$directory/output" \
                2>/dev/null &&
                return 1
            die "it did not start: $(cat "$directory/output" "$directory"/log/* 2>/dev/null |
                grep . | tail -n 5)"
        fi
        pause 0.05
    done
    [[ -d /proc/$server ]]
}

server=
stopping=
trap 'stopping=yes' TERM INT
trap '[[ ! ${names-} ]] || kill "$names" 2>/dev/null || true' EXIT
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
echo "tls_url amqps://tests:only-tests@localhost:$tls_port/tests?ca_file=$directory/certificate.pem"
echo "url amqp://tests:only-tests@127.0.0.1:$port/tests"

while [[ -d /proc/$server ]]; do
    if [[ $stopping || ! -d /proc/$parent ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || true
        exit 0
    fi
    pause 0.05
done
die "the server ended: $(cat "$directory"/log/* | tail -n 3)"
