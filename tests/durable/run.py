#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""run.py PROGRAM [SCENARIO]...: what jobs in an SQLite file survive, with real processes and files.

PROGRAM is tests/programs/job_server.cpp. Each scenario is a function with a promise as its name;
those named, or all. Prints a line for each that holds, with what it has seen, and fails at the
first that does not. Needs root: disks that are full, and files that can't be read, are made here.
"""

import sys
import time

import death
import trouble
import work
from support import Failed, Place


def scenarios():
    for module in (death, trouble, work):
        for name, function in vars(module).items():
            if name.startswith(("a_", "an_", "what_", "work_")) and callable(function):
                yield name, function


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [SCENARIO]...")
    Place.program = sys.argv[1]
    known = dict(scenarios())
    wanted = sys.argv[2:] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"there is no scenario {unknown[0]}, only {', '.join(known)}")
    for name in wanted:
        begin = time.monotonic()
        sentence = name.replace("_", " ")
        try:
            with Place() as place:
                seen = known[name](place)
        except Failed as failure:
            sys.exit(f"FAILED: {sentence}: {failure}")
        print(f"{sentence}: {seen} ({time.monotonic() - begin:.1f} s)", flush=True)


main()
