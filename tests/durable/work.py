# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Much work, other processes' work, other versions' work; and what became of it."""

import pathlib
import re
import sqlite3
import time

from support import Load, require, wait_for

CAPACITY = 50


def an_overload_is_kept_in_the_store_and_run_in_order(place):
    jobs = 100 * CAPACITY
    more = 200
    server = place.start("serve", f"capacity={CAPACITY}", "threads=2")
    for id in ("gate-1", "gate-2"):
        require(place.post("/spill?how=gate", id) == 202, "not accepted")
    wait_for(lambda: len(place.runs()) == 2, "both workers are busy")

    load = Load(place.port, 8, jobs, lambda n: f"/spill?n={n}&ms=1&pad=8000")
    load.wait(jobs // 2)
    half = server.resident()
    load.wait()
    grown = server.resident() - half
    require(load.with_answer(202) == set(load.answers), "a job that may spill was refused")
    excess = place.number("SELECT count(*) FROM ready")
    require(excess == jobs + 2 - CAPACITY, f"{excess} of {jobs} jobs are in the store")
    # What was stored since is 20 MB.
    require(grown < 8_000_000, f"memory grew by {grown} bytes while {jobs // 2} jobs spilled")
    tasks = 50
    with place.client() as client:
        refused = [client.post("/task", f"task-{n}") for n in range(tasks)].count(503)
        require(refused == tasks, f"{tasks - refused} tasks were accepted without room")

        for id in ("gate-1", "gate-2"):
            place.open_gate(id)
        wait_for(lambda: place.count_ends() > jobs // 10, "some run")
        for n in range(more):
            require(client.post(f"/spill?n={jobs + n}", f"more-{n}") == 202, "not accepted")
        stored = place.number("SELECT count(*) FROM jobs")
        require(stored == excess + more, f"{excess + more - stored} jobs have passed the others")
    total = jobs + 2 + more
    wait_for(lambda: place.count_ends() == total, "every job has run")
    place.wait_until_all_ended()
    counted, _ = server.stop()
    expected = {"registered": total, "refused": 0, "spilled": stored, "completed": total}
    expected |= {"dead": 0, "left": 0}
    wrong = {name: counted[name] for name, n in expected.items() if counted[name] != n}
    require(not wrong, f"of the counters, {wrong} are not {expected}")
    # Some are claimed for places that others take meanwhile, and go back.
    back = counted["claimed"] - stored
    require(counted["handed_over"] == stored + back, f"jobs were handed over twice: {counted}")
    require(back <= stored // 50, f"{back} claims were for places that were taken")

    runs = place.runs()
    require(all(len(mine) == 1 for mine in runs.values()), "a job ran twice")
    begun = {id: n for n, id in enumerate(sorted(runs, key=lambda id: runs[id][0].begin))}
    order = place.query("SELECT request_id FROM jobs ORDER BY run_at, job")
    late = max(abs(begun[id] - CAPACITY - n) for n, (id,) in enumerate(order))
    # Workers pass each other, and what goes back is late by as much as was claimed beside it.
    require(late <= CAPACITY, f"a job began {late} places from where it had been put")
    return (
        f"{excess} of {jobs} jobs went to the store while memory grew by {grown / 1e6:.1f} MB, "
        f"each began at most {late} places from where it had been put, {refused} tasks refused"
    )


def a_kind_that_one_process_knows_waits_for_it(place):
    left = place.start("serve", "side=left")
    with place.client() as client:
        for n in range(100):
            for side in ("left", "right"):
                require(client.post(f"/{side}", f"{side}-{n}") == 202, "not accepted")
    wait_for(lambda: place.states() == {"ready": 100, "done": 100}, "those known here are done")
    right = place.start("work", "side=right")
    place.wait_until_all_ended()
    require(place.states() == {"done": 200}, f"jobs are {place.states()}")
    for id, runs in place.runs().items():
        pid = left.pid if id.startswith("left") else right.pid
        require([run.pid for run in runs] == [pid], f"{id} ran in another process")
    for process in (left, right):
        counted, _ = process.stop()
        require(counted["completed"] == 100, f"a process counts {counted}")
    return "100 jobs of each of two processes ran where they are known"


def work_outlives_a_deploy_that_changes_its_arguments(place):
    def post(id):
        require(place.post("/letter", id) == 202, f"{id} was not accepted")

    def rest(id):
        return [run.rest for run in place.runs()[id]]

    # A field is new, one is gone, and the kind has another name.
    old = place.start("web", "letters=old")
    post("old")
    old.stop()
    new = place.start("serve", "letters=new")
    post("new")
    wait_for(lambda: rest("old") and rest("new"), "both are run by the new program")
    require(rest("old") == ["new,Ada,nobody"], f"the old letter was read as {rest('old')}")
    require(rest("new") == ["new,Bob,Eve"], f"the new one was read as {rest('new')}")
    new.stop()

    # The other way round, while the deploy is under way.
    new = place.start("web", "letters=new")
    post("too-new")
    new.stop()
    old = place.start("serve", "letters=old")
    post("at-home")
    wait_for(lambda: rest("at-home"), "the old program runs its own")
    require(rest("at-home") == ["old,Ada,blue"], f"it was read as {rest('at home')}")
    require(not rest("too-new"), "the old program has run a kind that it can't know")
    new = place.start("work", "letters=new")
    wait_for(lambda: rest("too-new"), "the new program runs it")
    place.wait_until_all_ended()
    for process in (old, new):
        process.stop()
    require(place.states() == {"done": 4}, f"jobs are {place.states()}")
    return "jobs of the old program ran in the new one, and the new one's waited for it"


def a_million_jobs_of_an_unknown_kind_slow_nobody_down(place):
    million, known, rounds = 1_000_000, 500, 2
    done = 0

    def best_time():
        nonlocal done
        best = float("inf")
        for _ in range(rounds):
            web = place.start("web")
            Load(place.port, 4, known, lambda n: f"/durable?n={n}").wait()
            web.stop()
            done += known
            begin = time.monotonic()
            worker = place.start("work")
            ended = "SELECT count(*) FROM ended WHERE state = 3"
            wait_for(lambda: place.number(ended) == done, "the jobs of the known kind are done")
            best = min(best, time.monotonic() - begin)
            worker.stop()
        return best

    without = best_time()
    insert_unknown(place, million)
    among = best_time()
    states = place.states()
    require(states == {"done": done, "ready": million}, f"jobs are {states}")
    require(
        among < 3 * without + 0.5,
        f"{known} jobs take {among:.2f} s among {million} others, {without:.2f} s without",
    )
    return f"{known} jobs in {among:.2f} s among {million} others, {without:.2f} s without"


def insert_unknown(place, count):
    """As a process would whose owner's number is the next one."""
    db = sqlite3.connect(place.store, isolation_level=None)
    db.executescript(
        f"""
        PRAGMA synchronous = OFF;
        BEGIN IMMEDIATE;
        INSERT INTO lanes(kind, queue, priority) VALUES('nobody knows', 'default', 0);
        CREATE TEMP TABLE new AS
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
            SELECT (SELECT value FROM meta WHERE name = 'next_owner') * (1 << 40) + i AS job,
                (SELECT max(lane) FROM lanes) AS lane, 1e15 AS moment FROM n;
        UPDATE meta SET value = value + 1 WHERE name = 'next_owner';
        INSERT INTO jobs(job, lane, created, run_at, arguments)
            SELECT job, lane, moment, moment, '{{}}' FROM new;
        INSERT INTO ready(lane, suspect, run_at, job) SELECT lane, 0, moment, job FROM new;
        COMMIT;
        """
    )
    db.close()


def what_became_of_a_request_is_one_query(place):
    server = place.start("serve", "side=left")
    for id, target in {
        "waits": "/right",
        "recovers": "/durable?how=throw&times=2",
        "fails": "/durable?how=throw&times=9",
    }.items():
        require(place.post(target, id) == 202, f"{id} was not accepted")
    wait_for(lambda: place.states() == {"ready": 1, "done": 1, "dead": 1}, "two have ended")
    server.stop()
    failed = "as it was told to"
    twice = [
        ("enqueued", 0, ""),
        ("claimed", 1, ""),
        ("failed", 1, failed),
        ("claimed", 2, ""),
        ("failed", 2, failed),
        ("claimed", 3, ""),
    ]
    expected = {
        "never-seen": [],
        "waits": [("enqueued", 0, "")],
        "recovers": [*twice, ("done", 3, "")],
        "fails": [*twice, ("failed", 3, failed), ("dead", 3, "")],
    }
    for id, steps in expected.items():
        kind = "right" if id == "waits" else "durable"
        wanted = [f"{kind}|{what}|{attempt}|{reason}" for what, attempt, reason in steps]
        query = readme_query().replace("request-2", id)
        rows = ["|".join("" if v is None else str(v) for v in row) for row in place.query(query)]
        found = [row.partition("Z|")[2] for row in rows]  # behind the moment
        require(found == wanted, f"of the request {id} it tells {rows}, not {wanted}")
    return "of requests whose job never was, waits, recovered and is dead"


def readme_query():
    text = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    found = [query for query in queries if "job_history" in query]
    require(len(found) == 1 and "'request-2'" in found[0], "README.md has no such query")
    return found[0]
