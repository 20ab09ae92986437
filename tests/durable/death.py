# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Processes that are killed, stopped, suspended, or die of their work."""

import os
import random
import signal
import time

from support import Load, require, some, wait_for

JOBS = 10_000
KILLS = 20
CLIENTS = 16
WORKERS = 4
# What promise 5 lets run twice: what was running, and what had finished, where up to 256 wait and
# the up to 512 before them are being committed.
MOST_TWICE = 256 + 512 + WORKERS
# Seconds; of most, since the machine may have been busy with something else at one of them.
RESCUED_WITHIN = 1.0


def a_killed_process_loses_no_job(place):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"the seed is {seed}", flush=True)
    chance = random.Random(seed)
    # That jobs which were there at three deaths are quarantined is another promise.
    options = (f"threads={WORKERS}", "quarantine_after=100")
    servers = [place.start("serve", *options)]
    load = Load(place.port, CLIENTS, JOBS, lambda n: f"/durable?n={n}&ms={n % 3}")
    rescues = []
    share = JOBS // (KILLS + 1)
    for kill in range(KILLS):
        # Every fourth one does not wait until the one before is made up for.
        early = kill % 4 == 3
        if early:
            time.sleep(chance.uniform(0, 0.1))  # the moment, nothing else
        else:
            load.wait(share * kill + chance.randint(share // 4, share))
        servers[-1].kill()
        held = place.query("SELECT owner, count(*) FROM claimed GROUP BY owner")
        servers.append(place.start("serve", *options))
        if kill % 4 != 2:
            rescues += [await_rescue(place, servers[-1], owner) for owner, _ in held]
    load.wait()
    place.wait_until_all_ended()
    jobs, _ = servers[-1].stop()
    require(jobs["left"] == 0, f"jobs are left in a process that has stopped: {jobs}")
    accepted = load.with_answer(202)
    killed = {server.pid: server.killed for server in servers[:-1]}
    twice, late = check_runs(place, accepted, killed)
    unknown = load.with_answer(None)
    require(len(accepted) + len(unknown) == JOBS, f"other answers than 202: {some(load.answers)}")
    require(len(unknown) <= CLIENTS * KILLS, f"{len(unknown)} requests had no answer")
    held = [count for _, count in rescues]
    require(sum(held) > 0, "no job was held when its process was killed")
    times = sorted(seconds for seconds, count in rescues if count)
    usual, slowest = times[len(times) // 2], times[-1]
    require(
        usual < RESCUED_WITHIN and slowest < 10 * RESCUED_WITHIN,
        f"jobs were rescued {usual:.3f} s after the restart, once {slowest:.3f} s",
    )
    return (
        f"{KILLS} kills, {len(accepted)} of {JOBS} requests answered with 202, none of their jobs "
        f"lost; {sum(held)} were rescued, usually in {usual:.3f} s and always in {slowest:.3f} s; "
        f"{sum(twice)} ran twice, "
        f"{max(twice)} at most of one kill, ended {late / 1e6:.1f} ms before it at most"
    )


def await_rescue(place, server, owner):
    """Seconds from the start of a process to the last job that it has taken from a dead owner."""
    wait_for(
        lambda: place.number("SELECT count(*) FROM owners WHERE owner = ?", owner) == 0,
        "the jobs of a killed process are taken over",
    )
    last, count = place.query(
        "SELECT max(at), count(*) FROM runs WHERE owner = ? AND reason LIKE 'its process died%'",
        owner,
    )[0]
    return (last / 1e6 - server.started if count else 0.0), count


def check_runs(place, accepted, killed):
    """How many jobs ran to their end twice, for each process that was killed, and when the first
    of those ended, in nanoseconds before the kill."""
    runs = place.runs()
    lost = accepted - {id for id, mine in runs.items() if mine[-1].how == "end"}
    require(not lost, f"{len(lost)} jobs are lost: {some(lost)}")
    states = place.states()
    require(set(states) == {"done"}, f"jobs in the store are {states}")
    stored = place.number("SELECT count(DISTINCT request_id) FROM jobs")
    require(stored == sum(states.values()), "a job is stored twice")
    twice = dict.fromkeys(killed, 0)
    late = 0
    for id, mine in runs.items():
        pids = [run.pid for run in mine]
        require(len(set(pids)) == len(pids), f"the job of {id} ran twice in one process")
        for run in mine[:-1]:
            require(run.pid in killed, f"the job of {id} ran again, and nobody had died")
            if run.how == "end":
                twice[run.pid] += 1
                late = max(late, killed[run.pid] - run.end)
    worst = max(twice.values(), default=0)
    require(worst <= MOST_TWICE, f"{worst} jobs of one process ran to their end twice")
    return list(twice.values()), late


DRAIN_MS = 5_000


def a_stopped_process_loses_no_job_and_runs_none_twice(place):
    rounds, share = 7, 500
    options = (f"drain={DRAIN_MS}", f"threads={WORKERS}")
    server = place.start("serve", *options)
    # Never ends in the time of one process, but stops whenever it is asked to.
    require(place.post("/durable?how=patient", "patient") == 202, "a job was not accepted")
    load = Load(place.port, CLIENTS, rounds * share, lambda n: f"/durable?n={n}&ms={n % 8}")
    longest, handed_over = 0, 0
    for stop in range(1, rounds):
        load.wait(stop * share)
        wait_for(lambda: is_running(place, "patient", server), "the patient job runs")
        begin = time.monotonic()
        jobs, _ = server.stop()
        longest = max(longest, time.monotonic() - begin)
        handed_over += jobs["handed_over"]
        require(jobs["lost"] + jobs["left"] == 0, f"jobs were not seen to: {jobs}")
        server = place.start("serve", *options)
    load.wait()
    place.open_gate("patient")
    place.wait_until_all_ended()
    server.stop()
    accepted = load.with_answer(202) | {"patient"}
    wrong = {id: answer for id, answer in load.answers.items() if answer != 202}
    require(not wrong, f"{len(wrong)} requests were not accepted: {some(wrong)}")
    require(longest < DRAIN_MS / 1000, f"it took {longest:.2f} s to stop")
    runs = place.runs()
    stopped = 0
    for id in accepted:
        how = [run.how for run in runs[id]]
        require(how.count("end") == 1 and how[-1] == "end", f"the runs of {id} ended with {how}")
        require(None not in how, f"a run of {id} has no end")
        stopped += how.count("stop")
    require(stopped >= rounds - 1, f"{stopped} runs were interrupted")
    attempts = {run.attempt for run in runs["patient"]}
    require(attempts == {1}, f"interruptions have used up attempts: {attempts}")
    states = place.states()
    require(states == {"done": len(accepted)}, f"jobs in the store are {states}")
    return (
        f"{rounds - 1} stops, in {longest:.2f} s of {DRAIN_MS / 1000:.0f} s at most; "
        f"{len(accepted)} jobs, {handed_over} times one was handed over and {stopped} times while "
        "it ran: each has run to its end once"
    )


def is_running(place, id, server):
    runs = place.runs()[id]
    return bool(runs) and runs[-1].pid == server.pid and not runs[-1].how


def a_suspended_process_cannot_finish_what_others_have_taken(place):
    ids = ("early", "late")
    lease = ("lease=1000", "threads=2")
    first = place.start("serve", *lease)
    for id in ids:
        require(place.post("/durable?how=gate", id) == 202, "a job was not accepted")
    wait_for(lambda: len(place.runs()) == 2, "both jobs run")
    first.send(signal.SIGSTOP)
    # Both count as suspects now, and a process holds one of these at a time.
    others = [place.start("work", *lease) for _ in ids]
    now = {}

    def run_elsewhere():
        now.update({id: place.runs()[id][-1].pid for id in ids})
        return first.pid not in now.values()

    wait_for(run_elsewhere, "both jobs run elsewhere")
    # One ends there first; of the other the suspended process would be the first to tell the end.
    place.open_gate(f"early.{now['early']}")
    wait_for(lambda: place.states().get("done") == 1, "one job is done")
    for id in ids:
        place.open_gate(f"{id}.{first.pid}")
    first.send(signal.SIGCONT)
    wait_for(
        lambda: len(first.logged("ended here after its lease was lost")) == 2,
        "the resumed process is told that it has lost both",
    )
    require(place.states() == {"done": 1, "claimed": 1}, f"jobs are {place.states()}")
    place.open_gate("late")
    place.wait_until_all_ended()
    jobs, _ = first.stop()
    require((jobs["revoked"], jobs["completed"]) == (2, 0), f"the first process counts {jobs}")
    counted = [process.stop()[0] for process in others]
    completed = sum(jobs["completed"] for jobs in counted)
    require(completed == 2, f"the other processes count {counted}")
    for id in ids:
        steps = place.query(
            "SELECT what FROM job_history WHERE request_id = ? ORDER BY step", id
        )
        way = [what for (what,) in steps]
        expected = ["enqueued", "claimed", "lease ended", "claimed", "done"]
        require(way == expected, f"the way of {id} was {way}")
    return "both jobs are done once, and each of its own ends was refused"


def a_job_that_kills_its_process_harms_no_other(place):
    innocents, deadly = 200, 3
    web = place.start("web")
    with place.client() as client:
        for n in range(innocents):
            if n == innocents // 3:
                require(client.post("/durable?how=abort", "killer") == 202, "not accepted")
            require(client.post(f"/durable?n={n}&ms=1", f"innocent-{n}") == 202, "not accepted")
    web.stop()
    deaths = 0
    # As a supervisor does.
    worker = place.start("work", may_die=True)

    def all_ended():
        nonlocal worker, deaths
        if worker.ended():
            require(worker.wait() == -signal.SIGABRT, f"a process ended with {worker.wait()}")
            deaths += 1
            require(deaths <= deadly, f"{deaths} processes have died of one job")
            worker = place.start("work", may_die=True)
        ended = place.states()
        return ended.get("done", 0) + ended.get("quarantined", 0) == innocents + 1

    wait_for(all_ended, "all jobs are done or quarantined")
    worker.stop()
    rows = place.query("SELECT request_id, state, crashes FROM job_list")
    for id, state, crashes in rows:
        expected = ("quarantined", deadly) if id == "killer" else ("done", min(crashes, 1))
        require((state, crashes) == expected, f"{id} is {state} after {crashes} crashes")
    require(deaths == deadly, f"{deaths} processes have died of it")
    suspects = sum(1 for id, _, crashes in rows if crashes and id != "killer")
    require(suspects > 0, "no innocent job was held by a process that died")
    return (
        f"{deaths} processes died and the job is quarantined; {innocents} others are done, of "
        f"which {suspects} had been held by one that died"
    )
