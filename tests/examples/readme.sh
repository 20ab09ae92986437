#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# readme.sh [BUILD_DIRECTORY]: checks that each ```cpp block of README.md is a region of a file
# under examples/ (`// [readme-…]` to `// [/readme-…]`), word by word but for common indentation,
# and that no such region has fallen out of README.md. With a build directory, also runs the
# programs that those regions are from, where embed.sh does not.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/support/shell.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/blocks" "$work/regions"

# Prints standard input without the indentation that all its lines share.
dedent() {
    awk '{ lines[NR] = $0 }
        /[^ ]/ { match($0, /^ */); if (!seen++ || RLENGTH < least) least = RLENGTH }
        END { for (i = 1; i <= NR; i++) print substr(lines[i], least + 1) }'
}

# split DIRECTORY BEGIN END FILE: each run of lines between two that match, into a file named by
# the line it begins after.
split() {
    awk -v directory="$1" -v begin="$2" -v end="$3" '
        out != "" && $0 ~ end { close(out); out = ""; next }
        out != "" { print > out; next }
        $0 ~ begin { out = directory "/" NR; printf "" > out }
        END { if (out != "") exit 3 }' "$4" || fail "$4: a block does not end"
}

split "$work/blocks" '^```cpp$' '^```$' "$root/README.md"
while IFS= read -r file; do
    into=$work/regions/$(basename "$file")
    mkdir -p "$into"
    split "$into" '^ *// \[readme-' '^ *// \[/readme-' "$file"
done < <(grep -rl --include='*.cpp' --include='*.hpp' '// \[readme-' "$root/examples")

blocks=0
for block in "$work"/blocks/*; do
    [[ -s $block ]] || fail "README.md: no code block, or an empty one"
    dedent <"$block" >"$work/wanted"
    found=
    while IFS= read -r region; do
        if dedent <"$region" | cmp -s - "$work/wanted"; then
            found=$region
            break
        fi
    done < <(find "$work/regions" -type f)
    [[ $found ]] || fail "README.md:$(basename "$block"): this code is no region of examples/: $(head -n 1 "$block")"
    rm "$found"
    blocks=$((blocks + 1))
done
unused=$(find "$work/regions" -type f -print -quit)
[[ -z $unused ]] || fail "a region is not in README.md: ${unused#"$work/regions/"}"
echo "ok: README.md, $blocks blocks of code, each compiled under examples/"

[[ $# -gt 0 ]] || exit 0

# expect PROGRAM [ARGUMENT]...: runs it and compares its output, but for the log, with standard input.
expect() {
    local program
    program=$(find_program "$build" "$1")
    timeout 60 "$program" "${@:2}" >"$work/all" || fail "$1 ended with $?"
    grep -v '^\[' "$work/all" >"$work/out" || true
    diff "$work/out" - >&2 || fail "$1 printed something else (<) than it should (>)"
    echo "ok: $1"
}

build=$1
expect example_captures <<'END'
a mail to ada@example.com
END
expect example_conditions <<'END'
200, client gone: always
200, client gone: handled
200, written: always
200, written: handled
200, written: sent
404, written: always
404, written: failed
a task threw
no response: always
no response: failed
reserved: handled
18 registered, 10 completed, 1 failed, 7 discarded
END

"$(find_program "$build" example_jobs)" "$work/jobs.db" | grep -v '^\[' | sort >"$work/out" ||
    fail "example_jobs ended with $?"
diff "$work/out" - >&2 <<'END' || fail "example_jobs printed something else (<) than it should (>)"
receipt for 1001
the test passed
welcome, Ada
END
# What README.md asks of the file, and the answer but for the times.
query=$(sed -n '/^SELECT at, kind/,/;$/p' "$root/README.md")
sqlite3 "$work/jobs.db" "$query" | cut -d'|' -f2- >"$work/out"
sed -n 's/^20[0-9-]*T[0-9:.]*Z|//p' "$root/README.md" | diff "$work/out" - >&2 ||
    fail "README.md shows another history (>) than the file has (<)"
echo "ok: example_jobs"

# The mails go to the tests' mail server.
/usr/bin/python3 "$root/tests/mail/smtp_server.py" --directory "$work" >"$work/smtp" &
smtp=$!
trap 'kill -KILL "$smtp" 2>/dev/null || true; rm -rf "$work"' EXIT
wait_until 60 grep -q '^port ' "$work/smtp" || fail "the mail server did not start"
expect example_mail "$(sed -n 's/^port //p' "$work/smtp")" <<'END'
3 mails sent, 0 not
END
kill -KILL "$smtp"

# The server of the first block listens on a fixed port, which somebody may hold for a moment.
port_is_free() {
    ! (exec 4<>/dev/tcp/127.0.0.1/8080) 2>/dev/null
}
wait_until 60 port_is_free || fail "example_hello: port 8080 is in use; stop what listens there"
"$(find_program "$build" example_hello)" >"$work/hello" 2>&1 &
server=$!
trap 'kill -KILL "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
port_is_taken() {
    ! port_is_free
}
wait_until 20 port_is_taken || fail "example_hello does not listen: $(cat "$work/hello")"
answer=$(curl -sS --noproxy '*' --max-time 60 -d Ada http://127.0.0.1:8080/greet) ||
    fail "example_hello does not answer: $(cat "$work/hello")"
[[ $answer == "We will greet you, Ada." ]] || fail "example_hello answered: $answer"
wait_until 20 grep -qx 'greeted Ada' "$work/hello" || fail "example_hello: the task did not run"
kill -TERM "$server"
wait_until 40 has_ended "$server" || fail "example_hello did not end after SIGTERM"
wait "$server" || fail "example_hello ended with $? after SIGTERM"
echo "ok: example_hello"

"$(find_program "$build" example_service)" 0 >"$work/service" 2>&1 &
server=$!
wait_until 20 grep -q '^listening on port' "$work/service" ||
    fail "example_service does not listen: $(cat "$work/service")"
port=$(sed -n 's/^listening on port //p' "$work/service")
# ask STATUS BODY PATH [CURL_OPTION]...
who='Bearer secret'
ask() {
    local wanted=$1 body=$2 path=$3
    shift 3
    curl -sS --noproxy '*' --max-time 60 -H "Authorization: $who" -w '%{http_code}' \
        "$@" "http://127.0.0.1:$port$path" >"$work/answer" || fail "example_service: no answer"
    [[ $(cat "$work/answer") == "$body$wanted" ]] ||
        fail "example_service answered $path: $(cat "$work/answer")"
}
who=nobody ask 401 $'Who are you?\n' /users/7
who=nobody ask 200 $'well\n' /health
ask 200 $'user a b\n' /users/a%20b
ask 204 '' /users/8 -X DELETE
ask 200 $'file x/y\n' /files/x/y
head -c 3000000 /dev/zero >"$work/large"
ask 200 $'There were 3000000 bytes.\n' /count --data-binary "@$work/large"
ask 426 $'This is for WebSocket.\n' /echo
wait_until 20 grep -qx 'counted 3000000' "$work/service" || fail "example_service: no task ran"
grep -Eq '^.*127.0.0.1 "DELETE /users/8" 204 [0-9]+ [0-9.]+ ms 1 tasks [0-9a-f]{32}$' \
    "$work/service" || fail "example_service: no line in the access log: $(cat "$work/service")"
kill -TERM "$server"
wait_until 40 has_ended "$server" || fail "example_service did not end after SIGTERM"
wait "$server" || fail "example_service ended with $? after SIGTERM"
echo "ok: example_service"
