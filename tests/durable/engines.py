# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""What jobs survive in a store on a server that several processes share."""

import random
import time

from support import Load, require, some, wait_for

CLIENTS = 16
WORKERS = 4
# What promise 5 lets run twice: what was running, and what had finished, where up to 256 wait and
# the up to 512 before them are being committed.
MOST_TWICE = 256 + 512 + WORKERS
# Milliseconds. Long enough that a busy machine keeps its own.
LEASE = 10_000
# That jobs which were there at three deaths are quarantined is another promise.
USUAL = (
    f"threads={WORKERS}",
    f"lease={LEASE}",
    "rescue_interval=200",
    "quarantine_after=100",
)


def ended_once(place, accepted):
    """Whether each of these has run to its end; the file is read only as far as it is new."""
    return accepted <= {id for id, mine in place.runs().items() if any(r.how == "end" for r in mine)}


def stop_all(place, processes):
    """All jobs come to their end, and then nothing is left in the processes, nor in the store."""
    look = place.start("web", *USUAL)

    def in_store():
        with place.client() as client:
            stats = client.get("/stats")
            return stats["ready"] + stats["claimed"]

    # What ran in a process that was killed may have to run once more.
    wait_for(lambda: in_store() + place.count_ready() == 0, "nothing is left in the store")
    left = [process.stop()[0]["left"] for process in processes if not process.ended()]
    require(not any(left), f"jobs are left in processes that have stopped: {left}")
    require(in_store() + place.count_ready() == 0, "a process that stopped has put jobs back")
    look.stop()


def count_twice(place, accepted, killed):
    """How many jobs ran to their end twice because of each process that was killed."""
    runs = place.runs()
    lost = accepted - {id for id, mine in runs.items() if any(r.how == "end" for r in mine)}
    require(not lost, f"{len(lost)} jobs are lost: {some(lost)}")
    twice = dict.fromkeys(killed, 0)
    for id, mine in runs.items():
        ends = [run for run in mine if run.how == "end"]
        for run in ends[:-1]:
            require(run.pid in killed, f"the job of {id} ran again, and nobody had died: {mine}")
            twice[run.pid] += 1
    worst = max(twice.values(), default=0)
    require(worst <= MOST_TWICE, f"{worst} jobs of one process ran to their end twice")
    return sum(twice.values())


def killed_processes_lose_no_job(place):
    jobs, kills = 10_000, 5
    chance = random.Random()
    web, worker = place.start("web", *USUAL), place.start("work", *USUAL)
    load = Load(place.port, CLIENTS, jobs, lambda n: f"/durable?n={n}&ms={n % 3}")
    killed = []
    share = jobs // (kills + 1)
    for kill in range(kills):
        load.wait(share * kill + chance.randint(share // 4, share))
        web.kill()
        killed.append(web)
        web = place.start("web", *USUAL)
        ends = place.count_ends()
        wait_for(lambda: place.count_ends() > ends + chance.randint(1, 200), "the worker works")
        worker.kill()
        killed.append(worker)
        worker = place.start("work", *USUAL)
    load.wait()
    accepted = load.with_answer(202)
    unknown = load.with_answer(None)
    require(len(accepted) + len(unknown) == jobs, f"other answers than 202: {some(load.answers)}")
    require(len(unknown) <= CLIENTS * kills, f"{len(unknown)} requests had no answer")
    begin = time.monotonic()
    wait_for(lambda: ended_once(place, accepted), "every accepted job has run")
    stop_all(place, [web, worker])
    twice = count_twice(place, accepted, {process.pid for process in killed})
    return (
        f"{kills} kills of a web process and of a worker each, {len(accepted)} of {jobs} requests "
        f"answered with 202, none of their jobs lost, {twice} ran twice; the last ones "
        f"{time.monotonic() - begin:.1f} s after the last request"
    )


def work_goes_on_when_the_server_is_restarted(place):
    return endure(place, place.engine.stop, place.engine.start, lambda: time.sleep(1))


def work_goes_on_when_the_connection_is_cut(place):
    return endure(place, place.proxy.cut, place.proxy.restore, lambda: time.sleep(1))


def work_goes_on_when_the_connection_is_a_black_hole_for_10_s(place):
    return endure(place, place.proxy.fall_silent, place.proxy.restore, lambda: time.sleep(10))


COMMIT_TIMEOUT = 1.0
# Seconds beyond the time-out in which a busy machine answers: both together are less than the 5 s
# after which the stores give up by themselves.
SLACK = 3


def endure(place, begin, end, meanwhile):
    """Of a server under load whose store is not there from `begin` to `end`."""
    # Within these 30 s nobody takes what others hold.
    options = (f"threads={WORKERS}", "lease=30000", "rescue_interval=200")
    options += (f"commit_timeout={int(1000 * COMMIT_TIMEOUT)}", "quarantine_after=100")
    server = place.start("serve", *options)
    longest = [0.0]
    answers = {}

    def post(client, target, id):
        start = time.monotonic()
        answers[id] = client.post(target, id)
        longest[0] = max(longest[0], time.monotonic() - start)
        return answers[id]

    # Without a pause there would be no requests left when a server is slow to start.
    load = Load(place.port, 8, 1_000_000, lambda n: f"/durable?n={n}&ms=1", pause=0.01)
    with place.client() as client:
        load.wait(200)
        require(post(client, "/durable?how=gate", "running") == 202, "not accepted before")
        wait_for(lambda: place.runs()["running"], "it runs")
        begin()
        tries = iter(range(1_000_000))
        wait_for(lambda: post(client, "/durable", f"gone-{next(tries)}") == 503, "the store is gone")
        for n in range(20):
            id = f"meanwhile-{n}"
            require(post(client, "/memory", f"memory-{n}") == 202, "memory work was refused")
            require(post(client, "/task", f"task-{n}") == 202, "a task was refused")
            require(post(client, "/durable", id) == 503, "one was accepted without its store")
        place.open_gate("running")  # its end can't be stored yet
        wait_for(
            lambda: all(place.runs()[f"memory-{n}"] for n in range(20))
            and place.runs()["running"][0].how,
            "work that needs no store goes on",
        )
        meanwhile()
        require(not server.ended(), "the server has died")
        end()
        tries = iter(range(1_000_000))
        wait_for(lambda: post(client, "/durable", f"again-{next(tries)}") == 202, "it works again")
        answered = len(load.answers)
        load.wait(answered + 200)
    load.ending = True
    for thread in load.threads:
        thread.join()
    answers |= load.answers
    wrong = {id: answer for id, answer in answers.items() if answer not in (202, 503)}
    require(not wrong, f"other answers than 202 and 503: {some(wrong)}")
    require(
        longest[0] < COMMIT_TIMEOUT + SLACK,
        f"a request was answered after {longest[0]:.1f} s, its time-out is {COMMIT_TIMEOUT} s",
    )
    accepted = {id for id, answer in answers.items() if answer == 202 and id[:5] != "task-"}
    wait_for(lambda: ended_once(place, accepted), "every accepted job has run")
    said = ("does not work", "works again")
    # That all of it works shows with the next renewal.
    wait_for(
        lambda: len({len(server.logged(text)) for text in said}) == 1,
        f"as many lines say {said[0]!r} as {said[1]!r}",
    )
    require(server.logged(said[0]), "no line says that the store is gone")
    stop_all(place, [server])
    # Where the connection is the lease, what was running or not yet committed runs again; elsewhere
    # nobody takes what this process holds.
    most = MOST_TWICE if place.engine.name == "rabbitmq" else 0
    twice = sum(
        max(0, sum(run.how == "end" for run in mine) - 1) for mine in place.runs().values()
    )
    require(twice <= most, f"{twice} jobs ran to their end twice")
    refused = sum(1 for answer in answers.values() if answer == 503)
    return (
        f"{len(accepted)} accepted and run, {twice} of them twice, {refused} refused, the slowest "
        f"answer after {longest[0]:.2f} s"
    )


def four_workers_run_no_job_twice(place):
    jobs = 8_000
    rates = {}
    for workers in (1, 4):
        web = place.start("web", *USUAL)
        first = workers * jobs
        load = Load(
            place.port, CLIENTS, first + jobs, lambda n: f"/durable?n={n}", first=first
        )
        load.wait()
        require(len(load.with_answer(202)) == jobs, "one was not accepted")
        web.stop()
        before = place.count_ends()
        begin = time.monotonic()
        team = [place.start("work", *USUAL) for _ in range(workers)]
        wait_for(lambda: place.count_ends() >= before + jobs, "all of them have run")
        rates[workers] = jobs / (time.monotonic() - begin)
        stop_all(place, team)
        twice = [id for id, mine in place.runs().items() if len(mine) > 1]
        require(not twice, f"{len(twice)} jobs ran twice: {some(twice)}")
        if workers == 4:
            pids = {run.pid for mine in place.runs().values() for run in mine}
            require(len(pids) > 2, f"of four workers and one, only {len(pids)} have run any")
    return (
        f"{2 * jobs} jobs ran once each; {rates[1]:.0f} jobs/s with one, {rates[4]:.0f} with four, "
        "from the start of the processes"
    )


def a_kind_that_one_process_knows_waits_for_it_on_the_server(place):
    left = place.start("serve", "side=left", *USUAL)
    with place.client() as client:
        for n in range(100):
            for side in ("left", "right"):
                require(client.post(f"/{side}", f"{side}-{n}") == 202, "not accepted")
    lefts = {f"left-{n}" for n in range(100)}
    wait_for(lambda: ended_once(place, lefts), "those known here are done")
    require(set(place.runs()) == lefts, "one ran whose kind is not known here")
    right = place.start("work", "side=right", *USUAL)
    rights = {f"right-{n}" for n in range(100)}
    wait_for(lambda: ended_once(place, rights), "those known there are done")
    for id, runs in place.runs().items():
        pid = left.pid if id.startswith("left") else right.pid
        require([run.pid for run in runs] == [pid], f"{id} ran in another process")
    stop_all(place, [left, right])
    return "100 jobs of each of two processes ran where they are known"


def a_rolling_deploy_under_load_loses_nothing(place):
    clients = 8

    def rests():
        return {run.rest for mine in place.runs().values() for run in mine}

    def start(mode, program):
        return place.start(mode, f"letters={program}", *USUAL)

    # The new program calls the kind otherwise, and knows the former name; the old one does not know
    # the new name.
    old_web, old_work = start("web", "old"), start("work", "old")
    load = Load(place.port, clients, 1_000_000, lambda n: "/letter", pause=0.01)
    first = start("work", "new")
    wait_for(lambda: {"old,Ada,blue", "new,Ada,nobody"} <= rests(), "either runs the old jobs")
    first.stop()
    new_web = start("web", "new")
    old_web.stop()
    wait_for(lambda: place.count_ready() > 100, "the new jobs wait")
    require("new,Bob,Eve" not in rests(), "a new job has run, and no process knows its kind")
    new_work = start("work", "new")
    wait_for(lambda: "new,Bob,Eve" in rests(), "the new worker runs the new jobs")
    old_work.stop()
    load.wait(len(load.answers) + 200)
    load.ending = True
    for thread in load.threads:
        thread.join()
    accepted, unknown = load.with_answer(202), load.with_answer(None)
    require(len(accepted) + len(unknown) == len(load.answers), f"refused: {some(load.answers)}")
    # One a client, sent when the old server was about to close its connection.
    require(len(unknown) <= clients, f"{len(unknown)} requests had no answer")
    wait_for(lambda: ended_once(place, accepted), "every accepted job has run")
    stop_all(place, [new_web, new_work])
    for id, mine in place.runs().items():
        require(len(mine) == 1, f"the job of {id} ran again, and nobody had died: {mine}")
        program, sender, _ = mine[0].rest.split(",")
        workers = [old_work] if program == "old" else [first, new_work]
        require(mine[0].pid in [w.pid for w in workers], f"{id} ran in another process")
        require((program, sender) != ("old", "Bob"), f"{id} ran where its kind is not known")
    return f"{len(accepted)} jobs accepted by two programs, each run once where its kind is known"


def a_stopped_process_hands_over_what_it_holds(place):
    server = place.start("serve", "drain=5000", *USUAL)
    ids = {f"long-{n}" for n in range(50)}
    with place.client() as client:
        for id in ids:
            require(client.post("/durable?how=patient", id) == 202, "not accepted")
    wait_for(lambda: place.runs(), "the first run")
    jobs, _ = server.stop()
    require(jobs["lost"] + jobs["left"] == 0, f"jobs were not seen to: {jobs}")
    for id in ids:
        place.open_gate(id)
    worker = place.start("work", *USUAL)
    wait_for(lambda: ended_once(place, ids), "every one has run elsewhere")
    stop_all(place, [worker])
    for id, mine in place.runs().items():
        how = [run.how for run in mine]
        require(how.count("end") == 1 and how[-1] == "end", f"the runs of {id} ended with {how}")
    return "50 jobs, of which some were running, ended in another process, each once"


SCENARIOS = (
    killed_processes_lose_no_job,
    work_goes_on_when_the_server_is_restarted,
    work_goes_on_when_the_connection_is_cut,
    work_goes_on_when_the_connection_is_a_black_hole_for_10_s,
    four_workers_run_no_job_twice,
    a_kind_that_one_process_knows_waits_for_it_on_the_server,
    a_rolling_deploy_under_load_loses_nothing,
    a_stopped_process_hands_over_what_it_holds,
)
