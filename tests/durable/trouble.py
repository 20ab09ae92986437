# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Stores that can't be read or written, at the start and later."""

import contextlib
import os
import sqlite3
import subprocess
import time

from support import Failed, require, wait_for

NOBODY = 65534


def a_store_that_cannot_be_used_stops_the_start_with_a_sentence(place):
    place.start("work").stop()  # makes it
    good = place.store.read_bytes()
    with sqlite3.connect(place.store) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    said = {}

    def refused(name, expected, **how):
        said[name] = place.refused_start("busy_timeout=300", **how)
        require(str(place.store) in said[name], f"{name}: its file is not in {said[name]}")
        require(expected in said[name], f"{name}: no {expected!r} in {said[name]}")

    def altered(sql):
        place.store.write_bytes(good)
        db = sqlite3.connect(place.store)
        db.executescript(sql)
        db.close()

    place.store.write_bytes(b"\xa5" * len(good))
    refused("no database", "no SQLite database")
    place.store.write_bytes(good[:page] + b"\xa5" * (len(good) - page))
    refused("damage", "damaged")
    place.store.write_bytes(good[: len(good) // 2])
    refused("the half", "damaged")
    altered("PRAGMA user_version = 99; UPDATE meta SET value = 99 WHERE name = 'min_reader'")
    refused("newer schema", "newer")
    altered("DROP TABLE ready")
    refused("altered schema", "tables")

    place.store.write_bytes(good)
    with locked(place):
        refused("lock", "lock")

    os.chmod(place.directory, 0o777)
    os.chmod(place.store, 0o444)
    refused("read-only file", "can't be written", user=NOBODY)
    os.chmod(place.store, 0o666)
    os.chmod(place.directory, 0o755)
    refused("read-only directory", "can't be written", user=NOBODY)

    right = place.store
    place.store = right.parent / "none" / "jobs.db"
    refused("no directory", "no directory")
    place.store = right.parent
    refused("a directory", "directory")
    place.store = right.parent / "other.db"
    with contextlib.closing(sqlite3.connect(place.store)) as db:
        db.executescript("CREATE TABLE something(a)")
    refused("another's database", "another application")
    with small_disk(place):
        fill(place.store.parent)
        refused("full disk", "full")
    # One that only newer programs have written to, and that this one still understands.
    place.store = right
    altered("PRAGMA user_version = 99; UPDATE meta SET value = 1 WHERE name = 'min_reader'")
    place.start("work").stop()
    return ", ".join(said)


@contextlib.contextmanager
def locked(place):
    """As a program with a transaction that it does not end."""
    db = sqlite3.connect(place.store, isolation_level=None, timeout=30)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@contextlib.contextmanager
def small_disk(place, megabytes=8):
    """The store is on a file system of its own."""
    disk = place.directory / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)]
    if (made := subprocess.run(mount, capture_output=True, text=True)).returncode:
        raise Failed(f"no small disk can be made, which takes root: {made.stderr}")
    before, place.store = place.store, disk / "jobs.db"
    try:
        yield disk
    finally:
        for process in place.processes:
            process.end()
        place.store = before
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk):
    with open(disk / "ballast", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass


def a_full_disk_costs_503_and_no_accepted_job(place):
    with small_disk(place) as disk:
        server = place.start("serve", "commit_timeout=20000")

        def fill_up():
            fill(disk)

        return endure(place, server, fill_up, (disk / "ballast").unlink)


def a_lock_that_others_hold_costs_503_and_no_accepted_job(place):
    server = place.start("serve", "commit_timeout=20000", "busy_timeout=200")
    with contextlib.ExitStack() as lock:
        return endure(place, server, lambda: lock.enter_context(locked(place)), lock.close)


def endure(place, server, begin, end):
    """Of a server whose store does not work from `begin` to `end`."""
    answers = {}
    longest = 0.0

    with place.client() as client:

        def post(target, id):
            nonlocal longest
            start = time.monotonic()
            answers[id] = client.post(target, id)
            longest = max(longest, time.monotonic() - start)
            require(answers[id] in (202, 503), f"{id} was answered with {answers[id]}")
            return answers[id]

        for n in range(50):
            require(post("/durable?ms=1", f"before-{n}") == 202, "not accepted before")
        for n in range(2):
            require(post("/durable?how=gate", f"running-{n}") == 202, "not accepted before")
        wait_for(lambda: len(place.runs()) == 52, "the jobs from before run")
        begin()
        tries = iter(range(2_000))
        # What room is left in the log is used up by large ones.
        while post("/durable?pad=20000", f"large-{next(tries)}") == 202:
            pass
        for n in range(20):
            require(post("/durable?pad=20000", f"refused-{n}") == 503, "one was accepted")
            require(post("/memory", f"memory-{n}") == 202, "memory work was refused")
        # Their ends can't be stored yet.
        for n in range(2):
            place.open_gate(f"running-{n}")
        wait_for(
            lambda: all(place.runs()[f"memory-{n}"][0:] for n in range(20))
            and all(place.runs()[f"running-{n}"][0].how for n in range(2)),
            "work that needs no store goes on",
        )
        require(not server.ended(), "the server has died")
        end()
        tries = iter(range(100_000))
        wait_for(lambda: post("/durable", f"again-{next(tries)}") == 202, "it works again")
        for n in range(50):
            require(post("/durable?ms=1", f"after-{n}") == 202, "not accepted afterwards")

    place.wait_until_all_ended()
    require(len(server.logged("does not work")) == 1, "not one line says that the store has gone")
    wait_for(lambda: server.logged("works again"), "a line says that it is back")
    jobs, _ = server.stop()
    refused = sum(1 for answer in answers.values() if answer == 503)
    require(jobs["refused"] == refused, f"{refused} were refused, and the counters are {jobs}")
    runs = place.runs()
    accepted = [id for id, answer in answers.items() if answer == 202]
    for id in accepted:
        how = [run.how for run in runs[id]]
        require(how == ["end"], f"the runs of {id} ended with {how}")
    # A 503 does not prove that there is no job, but where nothing broke there is none.
    require(not [id for id in runs if answers[id] == 503], "a refused job has run")
    states = place.states()
    durable = sum(1 for id in accepted if not id.startswith("memory"))
    require(states == {"done": durable}, f"jobs in the store are {states}, not {durable} done")
    return f"{len(accepted)} accepted and run, {refused} refused, each within {longest:.2f} s"
