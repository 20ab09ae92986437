# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
#
# For the scripts beside it. `pause SECONDS` is `sleep` without a process: twenty of those a second
# took a millisecond each from a server that was being measured, and were a third of its p99.
exec {never_ready}<> <(:)
pause() { read -rt "$1" -u "$never_ready" || true; }
