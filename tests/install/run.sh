#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# run.sh BUILD_DIRECTORY: installs what was built there to a new prefix, then builds a project that
# finds Postlude there, and runs it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../support/shell.sh"

[[ $# -eq 1 && -f $1/CMakeCache.txt ]] || fail "usage: $0 BUILD_DIRECTORY"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$1" --prefix "$work/prefix" >"$work/log" 2>&1 ||
    fail "cmake --install: $(tail -n 5 "$work/log")"
# An installed file that names the source or the build tree works on this machine only.
root=$(cd "$here/../.." && pwd)
if named=$(grep -rlIF -e "$root/" "$work/prefix"); then
    fail "installed files name $root: $named"
fi
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; fail "configuring"; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; fail "building the consumer"; }
(cd "$work" && build/consumer)
