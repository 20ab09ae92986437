#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""run_engines.py PROGRAM ENGINE [SCENARIO]...: what jobs survive in a store on a real server.

PROGRAM is tests/programs/job_server.cpp, ENGINE one of tests/servers/. Each scenario is a function
with a promise as its name; those named, or all. Prints a line for each that holds, with what it has
seen, and fails at the first that does not.
"""

import sys
import time

from engine import Engine, EnginePlace
from engines import SCENARIOS
from support import Failed, Place


def main():
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM ENGINE [SCENARIO]...")
    Place.program = sys.argv[1]
    known = {scenario.__name__: scenario for scenario in SCENARIOS}
    wanted = sys.argv[3:] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"there is no scenario {unknown[0]}, only {', '.join(known)}")
    for name in wanted:
        sentence = f"{sys.argv[2]}: {name.replace('_', ' ')}"
        # Each has a server of its own, so that none sees another's jobs.
        engine = Engine(sys.argv[2])
        begin = time.monotonic()
        try:
            with EnginePlace(engine) as place:
                seen = known[name](place)
        except Failed as failure:
            sys.exit(f"FAILED: {sentence}: {failure}")
        finally:
            engine.end()
        print(f"{sentence}: {seen} ({time.monotonic() - begin:.1f} s)", flush=True)


main()
