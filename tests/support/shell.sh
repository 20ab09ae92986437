# shellcheck shell=bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# What the checks written in bash share. Source it; nothing here decides by a fixed sleep.

# fail SENTENCE: ends the check with one line on standard error.
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# wait_until SECONDS COMMAND [ARGUMENT]...: runs the command until it succeeds. Returns 1 when it
# has not within that time. The command's output is dropped.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            return 1
        fi
        sleep 0.02
    done
}

# has_ended PID: whether a child of this shell has ended.
has_ended() {
    ! kill -0 "$1" 2>/dev/null
}

# find_program BUILD_DIRECTORY NAME: prints the path of a program that was built.
find_program() {
    local found
    found=$(find "$1" -type f -name "$2" -perm -u+x -print -quit)
    [[ $found ]] || fail "no program $2 under $1; build it first"
    printf '%s\n' "$found"
}
