#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# embed.sh BUILD_DIRECTORY [STYLE]...: asks each server of examples/embed for pages, and checks
# what embedding Postlude promises: the task runs once, under the request's id, not before its
# response was written; a stop finishes the response in flight and runs its task.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
source "$root/tests/support/shell.sh"

[[ $# -ge 1 && -d $1 ]] || fail "usage: $0 BUILD_DIRECTORY [STYLE]..."
build=$1
shift
styles=("$@")
[[ $# -gt 0 ]] || styles=(callback awaitable yield tls blocking)

archive_size=$((32 << 20))
work=$(mktemp -d)
server=

finish() {
    local status=$?
    if [[ $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
    fi
    if ((status)); then
        cat "$work"/server.out "$work"/server.err >&2 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.err" ||
    fail "openssl could not make a certificate: $(cat "$work/openssl.err")"

# marked STYLE: at most 6 lines embed Postlude, and none does so unmarked. What the handler
# defers (`after.run` and the context that its task takes) is not embedding.
marked() {
    local source=$root/examples/embed/$1.cpp unmarked
    lines=$(grep -c '// postlude$' "$source")
    ((lines <= 6)) || fail "$1: $lines lines are marked // postlude, at most 6 may be"
    unmarked=$(grep -n postlude "$source" | grep -v -e '// postlude$' -e '^[0-9]*://' |
        grep -v 'postlude::task_context& task' || true)
    [[ -z $unmarked ]] || fail "$1: a line embeds Postlude and is not marked: $unmarked"
}

ask() { # curl with what every request of this check has
    curl -sS --noproxy '*' --max-time 60 --cacert "$work/cert.pem" "$@"
}

logged() { # logged REQUEST_ID METHOD PATH: exactly one such line
    [[ $(grep -cxF "ran after $2 $3 (request $1)" "$work/server.out") == 1 ]]
}

# Starts a download of which nothing but the first byte is read, and leaves it at descriptor 3.
begin_archive() {
    rm -f "$work/pipe"
    mkfifo "$work/pipe"
    ask -N -H "X-Request-Id: $1" "$url/archive" >"$work/pipe" &
    download=$!
    exec 3<"$work/pipe"
    [[ $(head -c 1 <&3) == a ]] || fail "$style: the archive did not begin"
}

end_archive() {
    local rest
    rest=$(wc -c <&3)
    exec 3<&-
    wait "$download" || fail "$style: curl did not get the whole archive"
    ((rest == archive_size - 1)) || fail "$style: the archive had $((rest + 1)) bytes"
}

refused() {
    ! (exec 4<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

check() {
    local scheme=http arguments=(127.0.0.1 0) got length program lines status=0
    marked "$style"
    if [[ $style == tls ]]; then
        scheme=https
        arguments+=("$work/cert.pem" "$work/key.pem")
    fi
    program=$(find_program "$build" "embed_$style")
    # Before it starts: what the one before has said is not this one's.
    rm -f "$work/server.out" "$work/server.err"
    "$program" "${arguments[@]}" >"$work/server.out" 2>"$work/server.err" &
    server=$!
    wait_until 20 grep -q '^listening on 127\.0\.0\.1:' "$work/server.out" ||
        fail "$style: did not start"
    port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$work/server.out")
    url=$scheme://127.0.0.1:$port

    # Two pages, one connection.
    local each='%{http_code} %{num_connects}\n'
    got=$(ask -H "X-Request-Id: $style-1" -w "$each" -o "$work/first" "$url/hello" \
        --next -sS --noproxy '*' --max-time 60 --cacert "$work/cert.pem" \
        -H "X-Request-Id: $style-2" -w "$each" -o "$work/second" "$url/hello")
    [[ $got == $'200 1\n200 0' ]] || fail "$style: two pages on one connection: got $got"
    grep -q '^Hello ' "$work/first" || fail "$style: the page is not the one asked for"
    cmp -s "$work/first" "$work/second" || fail "$style: the second page differs"
    wait_until 20 logged "$style-1" GET /hello || fail "$style: the first request's task did not run once"
    wait_until 20 logged "$style-2" GET /hello || fail "$style: the second request's task did not run once"

    # HEAD: the length of the page, no body, and the connection stays usable.
    got=$(ask -I -H "X-Request-Id: $style-3" -w "$each" -o "$work/head" "$url/hello" \
        --next -sS --noproxy '*' --max-time 60 --cacert "$work/cert.pem" \
        -w "$each" -o "$work/none" "$url/nothing")
    [[ $got == $'200 1\n404 0' ]] || fail "$style: HEAD, then a page that is not there: got $got"
    length=$(tr -d '\r' <"$work/head" | sed -n 's/^content-length: *//Ip')
    [[ $length == $(wc -c <"$work/first") ]] || fail "$style: HEAD says Content-Length: $length"
    wait_until 20 logged "$style-3" HEAD /hello || fail "$style: the HEAD's task did not run once"

    # While a response is being written its task waits; those of later requests do not.
    begin_archive "$style-4"
    ask -H "X-Request-Id: $style-5" -o "$work/first" "$url/hello"
    wait_until 20 logged "$style-5" GET /hello || fail "$style: no task ran during the download"
    ! grep -q "request $style-4)" "$work/server.out" ||
        fail "$style: the task ran before its response was written"
    end_archive
    wait_until 20 logged "$style-4" GET /archive || fail "$style: the download's task did not run once"

    # A stop: the response in flight is finished, its task runs, an idle connection is no hindrance.
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    begin_archive "$style-6"
    kill -TERM "$server"
    wait_until 20 refused || fail "$style: still accepts after SIGTERM"
    end_archive
    wait_until 50 has_ended "$server" || fail "$style: did not end after SIGTERM"
    exec 5>&-
    wait "$server" || status=$?
    server=
    ((status == 0)) || fail "$style: exit status $status after SIGTERM"
    logged "$style-6" GET /archive || fail "$style: the last task did not run before the exit"
    [[ ! -s $work/server.err ]] || fail "$style: complained: $(head -n 1 "$work/server.err")"
    echo "ok: $style, $lines lines: 7 pages, 6 tasks after their responses, stopped with exit 0"
}

for style in "${styles[@]}"; do
    check
done
