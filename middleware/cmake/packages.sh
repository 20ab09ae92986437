#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# packages.sh build|tests|examples|bench|peers...: installs the Debian packages that these need and that
# are missing. Needs neither the network nor root when none is. POSTLUDE_PACKAGES=skip in the
# environment makes it do nothing, for systems that have them by another way.
set -euo pipefail

# a|b stands for either, a preferred.
boost() {
    printf '%s\n' "$1" | sed 's/.*/libboost&1.81-dev|libboost&1.83-dev|libboost&1.88-dev/'
}
build=(g++ cmake ninja-build ccache "$(boost '')" "$(boost -json)" libspdlog-dev
    libconcurrentqueue-dev libsqlite3-dev)
# The clients of the stores on other machines, and those stores: of any of these servers nothing of
# the system's own is used.
clients=(libpq-dev libhiredis-dev librabbitmq-dev)
servers=(postgresql pgbouncer redis-server rabbitmq-server python3-pika)
examples=("${build[@]}" "${clients[@]}" "$(boost -context)" "$(boost -coroutine)"
    'libcurl4-openssl-dev|libcurl4-gnutls-dev' libssl-dev curl openssl python3 python3-aiosmtpd)
bench=("${build[@]}" "${clients[@]}" "${servers[@]}" libcli11-dev libtbb-dev python3 strace valgrind)
# Web servers and job systems that the benchmarks are run beside. Some builds of Node bring npm.
peers=(python3-starlette python3-uvicorn puma nodejs golang-go curl ruby-sidekiq python3-celery
    python3-redis redis-server postgresql openssl)
command -v npm >/dev/null || peers+=(npm)
# Exim, for the tests of mail: any build of it; nothing of the system's own is used or started.
tests=("${examples[@]}" "${bench[@]}" 'exim4-daemon-light|exim4-daemon-heavy' catch2 spin sqlite3
    chromium chromium-driver python3-selenium haproxy gcc libc6-dev clang-format-19 clang-tidy-19
    clang-19 libclang-rt-19-dev)

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

(($# > 0)) || die "usage: $0 build|tests|examples|bench|peers..."
[[ ${POSTLUDE_PACKAGES-} != skip ]] || exit 0

wanted=()
for set in "$@"; do
    case $set in
        build) wanted+=("${build[@]}") ;;
        tests) wanted+=("${tests[@]}") ;;
        examples) wanted+=("${examples[@]}") ;;
        bench) wanted+=("${bench[@]}") ;;
        peers) wanted+=("${peers[@]}") ;;
        *) die "$0: there is no set of packages named $set, only build, tests, examples, bench and peers" ;;
    esac
done
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    die "This needs, under Debian's names: ${wanted[*]}; install them by this system's means and" \
        "run it again with POSTLUDE_PACKAGES=skip in the environment."

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')

# first_of WHICH ALTERNATIVES: prints the first for which the command succeeds.
first_of() {
    local which=$1 name
    for name in ${2//|/ }; do
        if "$which" "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    return 1
}
is_installed() { grep -qxF -- "$1" <<<"$installed"; }
is_offered() { apt-cache show --no-all-versions -- "$1" >/dev/null 2>&1; }

missing=()
for entry in "${wanted[@]}"; do
    first_of is_installed "$entry" >/dev/null || missing+=("$entry")
done
((${#missing[@]} > 0)) || exit 0

as_root=()
if ((EUID != 0)); then
    # Where nobody can type a password, sudo must not need one.
    if command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
        as_root=(sudo)
    else
        die "Packages are missing and only root may install them: run as root" \
            "'apt-get update && apt-get install --no-install-recommends ${missing[*]%%|*}'," \
            "then this again."
    fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# apt COMMAND...: its output is shown only when it fails.
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@" >"$log" 2>&1 </dev/null ||
        { cat "$log" >&2; return 1; }
}

printf 'Installing %s\n' "${missing[*]%%|*}"
apt update || die "apt-get update failed, see above: is the network there?"
names=()
for entry in "${missing[@]}"; do
    names+=("$(first_of is_offered "$entry")") ||
        die "This system's package sources have no ${entry//|/ or }; Postlude's scripts are made" \
            "for Debian 12 (elsewhere install it and use POSTLUDE_PACKAGES=skip)."
done
# What somebody has installed is never removed to make room, such as another version of Boost.
apt install -y --no-install-recommends --no-remove "${names[@]}" ||
    die "apt-get could not install ${names[*]}, see above."
