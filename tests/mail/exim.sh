#!/usr/bin/env bash
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# exim.sh DIRECTORY PORT USER PASSWORD: runs Exim in the foreground, without privileges and with
# nothing of the system's configuration, on 127.0.0.1. TLS with DIRECTORY/certificate.pem and
# key.pem; only who has authenticated over TLS may send; all mail goes to DIRECTORY/maildir/new.
# A recipient full@... is refused with 450, nobody@... with 550. Needs neither root nor systemd.
set -euo pipefail

tests=$PPID  # without them, it ends
directory=$1
port=$2
exim=$(command -v exim4 || echo /usr/sbin/exim4)
[[ -x $exim ]] || { echo "exim.sh: there is no Exim; install exim4-daemon-light" >&2; exit 1; }

as_user=()
user=$(id -un)
group=$(id -gn)
if ((EUID == 0)); then  # Exim does not deliver as root
    user=Debian-exim
    group=Debian-exim
    as_user=(setpriv "--reuid=$user" "--regid=$group" --clear-groups)
fi
mkdir -p "$directory"/{spool,log,maildir}
cat >"$directory/exim.conf" <<END
exim_user = $user
exim_group = $group
primary_hostname = localhost
spool_directory = $directory/spool
log_file_path = $directory/log/%slog
pid_file_path = $directory/exim.pid
tls_advertise_hosts = *
tls_certificate = $directory/certificate.pem
tls_privatekey = $directory/key.pem
auth_advertise_hosts = \${if eq{\$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = recipient
acl_smtp_data = accept
domainlist local = *
host_lookup =
rfc1413_hosts =
keep_environment =
deliver_drop_privilege = true
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
queue_run_max = 2
message_size_limit = 1M

begin acl
recipient:
    deny !authenticated = *
        message = 5.7.0 authenticate first
    deny local_parts = nobody
        message = 5.1.1 no such user
    defer local_parts = full
        message = 4.2.2 mailbox full
    accept

begin routers
all:
    driver = accept
    transport = maildir

begin transports
maildir:
    driver = appendfile
    directory = $directory/maildir
    maildir_format
    create_directory
    batch_max = 100
    envelope_to_add
    return_path_add
    user = $user
    group = $group

begin retry
* * F,1h,1s

begin authenticators
plain:
    driver = plaintext
    public_name = PLAIN
    server_prompts = :
    server_condition = \${if and{{eq{\$auth2}{$3}}{eq{\$auth3}{$4}}}}
    server_set_id = \$auth2
END
if ((EUID == 0)); then
    chmod 755 "$directory"
    chown -R "$user:$group" "$directory"
fi
"${as_user[@]}" "$exim" -C "$directory/exim.conf" -bdf -q1s -oX "127.0.0.1.$port" &
daemon=$!

# Its children serve the connections that are open, and would go on doing so. On SIGTERM they have
# a moment in which they throw away what they have just confirmed: so no SIGTERM for them.
stop() {
    local children=
    read -r children <"/proc/$daemon/task/$daemon/children" || true
    kill -TERM "$daemon" || true
    # shellcheck disable=SC2086
    kill -KILL $children 2>/dev/null || true
}
trap stop TERM INT
while [[ -d /proc/$daemon ]]; do
    [[ -d /proc/$tests ]] || stop
    sleep 0.05
done
