#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh [--port N]: installs what is missing, builds the sign-up demo, starts it with a mail
# server of its own, and stops both on Ctrl-C or SIGTERM. Jobs and mails are kept in build/signup/: what
# was not sent by then, or was under way when the demo was killed, goes out after the next start.
#
# run.sh --check: the same without a person, on free ports. Signs up both ways, sees the mails
# arrive, compares the latencies; stops the mail server and kills the demo, and sees the mails arrive
# when they are back; stops the demo with mails in flight. Exits 0 if all is well.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
source tests/support/shell.sh

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

port=8080
check=
while (($# > 0)); do
    case $1 in
        --port)
            [[ ${2-} =~ ^[0-9]{1,5}$ && $2 -le 65535 ]] || die "$0: --port takes a number up to 65535"
            port=$2
            shift
            ;;
        --check)
            check=yes
            port=0
            ;;
        *) die "usage: $0 [--port N] | --check" ;;
    esac
    shift
done

middleware/cmake/packages.sh examples

work=$(mktemp -d)
demo=
mail_server=

finish() {
    local status=$? process
    for process in $demo $mail_server; do
        { kill -KILL "$process" && wait "$process"; } 2>/dev/null || true
    done
    if [[ $check ]] && ((status)); then
        cat "$work"/demo.{out,err} "$work/mail_server.out" >&2 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

# A release build that is there already is taken; a new one is made without the tests.
build=build/release
options=()
if [[ ! -f $build/CMakeCache.txt ]]; then
    build=build/examples
    options=(-DPOSTLUDE_BUILD_TESTS=OFF -DPOSTLUDE_BUILD_BENCH=OFF)
fi
echo "Building the demo in $build"
{
    cmake --preset release -B "$build" "${options[@]}" &&
        cmake --build "$build" --target signup
} >"$work/build.log" 2>&1 || {
    cat "$work/build.log" >&2
    die "The demo could not be built, see above."
}

# Both in sessions of their own: Ctrl-C reaches this script only, which then stops them in order.
data=$work
[[ $check ]] || data=$root/build/signup
mkdir -p "$data/mails"
mail_port=0
start_mail_server() {
    : >"$work/mail_server.out"
    setsid /usr/bin/python3 examples/signup/smtp_server.py --directory "$data/mails" \
        --port "$mail_port" >"$work/mail_server.out" 2>&1 &
    mail_server=$!
    wait_until 60 mail_server_listens || die "The mail server did not start."
    mail_port=$(sed -n 's/^port //p' "$work/mail_server.out")
    [[ $mail_port ]] || die "The mail server did not start: $(tail -n 1 "$work/mail_server.out")"
}
mail_server_listens() {
    grep -q '^port ' "$work/mail_server.out" || has_ended "$mail_server"
}
stop_mail_server() {
    kill -TERM "$mail_server"
    wait "$mail_server" || true
    mail_server=
}
start_mail_server

program=$(find_program "$build" signup)
command=("$program" --smtp-port "$mail_port" --mails "$data/mails" --jobs "$data/jobs.db"
    --page examples/signup/page.html)

serve() {
    local status=0
    echo "Starting the demo; Ctrl-C stops it"
    setsid "${command[@]}" --port "$port" &
    demo=$!
    trap 'kill -TERM "$demo" 2>/dev/null' INT TERM HUP
    until has_ended "$demo"; do
        status=0
        wait "$demo" || status=$?
    done
    demo=
    trap - INT TERM HUP
    stop_mail_server
    return "$status"
}

ask() {
    curl -sS --noproxy '*' --max-time 60 "$@"
}

# sign_up PATH NAME EMAIL: prints the status, the seconds that the response took and the body.
sign_up() {
    ask -o "$work/body" -w '%{http_code} %{time_total}\n' -H 'Content-Type: application/json' \
        -d "{\"name\": \"$2\", \"email\": \"$3\"}" "$url$1"
    cat "$work/body"
}

# is_mail FILE NAME EMAIL: whether the mail is the one that this person should get.
is_mail() {
    /usr/bin/python3 - "$@" <<'END'
import email.utils, json, sys, time
name, address = sys.argv[2:]
mail = json.load(open(sys.argv[1]))
assert email.utils.parseaddr(mail["To"])[1] == address, mail
assert name in mail["To"], mail
assert mail["Recipients"] == [address], mail
assert mail["From"] == "Postlude demo <welcome@signup.example>", mail
assert mail["Subject"] == f"Welcome, {name}!", mail
assert mail["Message-ID"].endswith("@signup.example>"), mail
sent = email.utils.parsedate_to_datetime(mail["Date"]).timestamp()
assert abs(time.time() - sent) < 120, mail
assert mail["Text"].startswith(f"Hello {name},\n\n"), mail
END
}

# signed_up PATH NAME EMAIL: signs up, which must succeed. Sets id and took.
signed_up() {
    local answer status
    answer=$(sign_up "$@")
    read -r status took <<<"$answer"
    id=$(sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' <<<"$answer")
    [[ $status == 201 && $id ]] || fail "$1 answered $answer"
}

refuses() { # refuses NAME EMAIL SENTENCE
    local answer
    answer=$(sign_up /signup "$1" "$2")
    [[ $answer == 400* && $answer == *"$3"* ]] || fail "'$1', '$2' was answered with $answer"
}

delivered() {
    [[ $(ask "$url/mail?id=$1") == *'"delivered":true'* ]]
}

all_are_delivered() {
    (($(mails) == 24))
}

mails() {
    find "$work/mails" -name '*.json' | wc -l
}

has_failed() {
    [[ $(ask "$url/mail?id=$1") =~ \"failures\":[1-9] ]]
}

start_demo() {
    : >"$work/demo.out"
    setsid "${command[@]}" --port 0 >"$work/demo.out" 2>"$work/demo.err" &
    demo=$!
    wait_until 60 grep -q '^listening on ' "$work/demo.out" || fail "the demo did not start"
    url=$(sed -n 's|^listening on \(.*\)/$|\1|p' "$work/demo.out")
}

# The mail server is down, then comes back; the demo is killed, then started again.
check_durability() {
    local kept
    stop_mail_server
    signed_up /signup 'Mary' mary@example.org
    wait_until 60 has_failed "$id" || fail "the page does not show that the mail server is down"
    kept=$id
    signed_up /signup 'Ken' ken@example.org
    kill -KILL "$demo"
    wait "$demo" 2>/dev/null || true
    start_mail_server
    start_demo
    wait_until 60 delivered "$kept" || fail "the mail did not arrive when the mail server was back"
    is_mail "$work/mails/$kept.json" Mary mary@example.org || fail "this is not Mary's mail"
    wait_until 60 delivered "$id" || fail "a mail was lost when the demo was killed"
    is_mail "$work/mails/$id.json" Ken ken@example.org || fail "this is not Ken's mail"
    echo "mail server down, demo killed with SIGKILL: both mails arrived when they were back"
}

run_check() {
    local after inline status=0 busy before
    start_demo

    ask "$url/" | grep -q '<title>Sign up' || fail "the page is not there"
    refuses '' ada@example.org 'Please enter your name.'
    refuses Ada '' 'Please enter an e-mail address'
    refuses Ada 'ada@example.org>\r\nRCPT TO:<eve@example.org' 'Please enter an e-mail address'
    refuses 'Ada\r\nBcc: eve@example.org' ada@example.org 'a name of one line'

    signed_up /signup 'Zoë & <Ada>' ada@example.org
    after=$took
    wait_until 60 delivered "$id" || fail "the mail after the response did not arrive"
    is_mail "$work/mails/$id.json" 'Zoë & <Ada>' ada@example.org || fail "this is not the mail"
    echo "mail after the response: answered in $after s"

    signed_up /signup/inline Grace grace@example.org
    inline=$took
    delivered "$id" || fail "the inline mail was not there with the response"
    is_mail "$work/mails/$id.json" Grace grace@example.org || fail "this is not the inline mail"
    echo "mail inline:             answered in $inline s"
    awk -v a="$after" -v b="$inline" 'BEGIN { exit !(a < b) }' ||
        fail "the response that defers its mail is not faster"

    busy=$("${command[@]}" --port "${url##*:}" 2>&1) && fail "a busy port was taken"
    [[ $busy == *"127.0.0.1:${url##*:} is in use by another program; choose another port"* ]] ||
        fail "a busy port is answered with: $busy"

    check_durability

    signed_up '/signup?[1-20]' Lin lin@example.org
    before=$(mails)
    kill -TERM "$demo"
    wait "$demo" || status=$?
    demo=
    ((status == 0)) || fail "the demo ended with $status after SIGTERM"
    [[ ! -s $work/demo.err ]] || fail "the demo complained: $(head -n 1 "$work/demo.err")"
    ((before < 24)) || fail "no mail was in flight at SIGTERM"
    start_demo
    wait_until 60 all_are_delivered || fail "$(mails) of 24 mails were delivered"
    echo "SIGTERM with $((24 - before)) mails to be sent: exit 0, and all of them after the next start"
}

if [[ $check ]]; then
    run_check
else
    serve
fi
