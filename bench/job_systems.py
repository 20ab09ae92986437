#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""job_systems.py [--json FILE] [--directory DIRECTORY] [--rounds N] [--seconds S] [VARIANT]...

Jobs a second, end to end, of the job systems that people use, beside Postlude's durable jobs: from
the first enqueue until the last job has run, one job that does nothing with 300 bytes of arguments.
Each system is started as its documentation does it for production: one process that enqueues and one
of its workers, with 10 jobs at once, on a Redis or PostgreSQL of this benchmark's own. --json appends
bars for the report (bench/support/results.hpp). A VARIANT is part of a bar's name. Takes
bench/peers/jobs with its node_modules, and build/release/bench/bench_durable_jobs.

How it is measured. All variants come in turn, in every round; each with new processes and an empty
store, after 1,000 jobs that don't count, which also tell how many jobs take about S seconds. One
enqueue each: 64 of them are waiting for their answers all the time, as in bench_durable_jobs. In
bulk: 4 calls with 1,000 jobs each are. Each job that runs appends its number to a file in memory
(one write of 4 bytes), so what was lost or ran twice is known exactly: a run with such jobs says so,
and is counted by the different jobs that ran until the last of them did. Nothing but the run counts:
that a job system stores the end of a job later than that is to its advantage; Postlude's time ends
when the last job is stored as done.
"""

import argparse
import array
import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVERS = HERE.parent / "tests" / "servers"
POSTLUDE = HERE.parent / "build" / "release" / "bench" / "bench_durable_jobs"
CONCURRENCY = 10
WAITING = 64
BULK = 4000  # jobs in the calls in bulk that are under way
WARM_UP = 1000
FLOOR = "floor: a sync for each job"
ENGINES = {"postgres": "PostgreSQL", "always": "Redis, appendfsync always",
           "everysec": "Redis, appendfsync everysec"}
PATIENCE = 60  # seconds without progress, then what is missing is lost; BullMQ finds some after 30

Variant = collections.namedtuple("Variant", "name store bulk worker enqueuer environment")
Run = collections.namedtuple("Run", "per_second asked ran repeated")


def node(name, label, store, bulk, **environment):
    return Variant(label, store, bulk, ["node", name, "worker"],
                   ["node", name, "bulk" if bulk else "single"], environment)


def variants():
    sidekiq = ["sidekiq", "-e", "production", "-c", str(CONCURRENCY), "-r", "./sidekiq_job.rb"]
    celery = ["/usr/bin/python3", "-m", "celery", "-A", "celery_job", "worker", "-c",
              str(CONCURRENCY), "--loglevel", "WARNING"]
    for sync in ("always", "everysec"):
        for bulk in (False, True):
            yield Variant(f"Sidekiq, appendfsync {sync}", sync, bulk, sidekiq,
                          ["ruby", "sidekiq_job.rb", "bulk" if bulk else "single"], {})
            yield node("bullmq.js", f"BullMQ, appendfsync {sync}", sync, bulk)
        yield Variant(f"Celery, appendfsync {sync}", sync, False, celery,
                      ["/usr/bin/python3", "celery_job.py"], {})
    for bulk in (False, True):
        yield node("graphile_worker.js", "graphile-worker", "postgres", bulk)
        yield node("graphile_worker.js", "graphile-worker, batches", "postgres", bulk,
                   POSTLUDE_BATCHED="1")
        yield node("pg_boss.js", "pg-boss", "postgres", bulk)
        yield node("pg_boss.js", "pg-boss, batches", "postgres", bulk, POSTLUDE_BATCHED="1")


def chart_of(bulk):
    return "jobs a second, end to end: " + (
        "the peers enqueue in bulk, 4 times 1,000 jobs are waiting" if bulk
        else f"one enqueue each, {WAITING} waiting")


def output_of(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


@contextlib.contextmanager
def process(command, log, **options):
    """Ends it and all that it has started, kindly first."""
    with open(log, "ab") as errors:
        child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stderr=errors,
                                 start_new_session=True, **options)
    try:
        yield child
    finally:
        for way in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                child.send_signal(way)
                child.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@contextlib.contextmanager
def server(name, directory):
    """tests/servers/NAME.sh; gives its port."""
    log = directory / f"{name}.sh.log"
    with process([SERVERS / f"{name}.sh", directory / name], log, stdout=subprocess.PIPE,
                 text=True) as child:
        for line in child.stdout:
            if line.startswith("port "):
                port = line.split()[1]
            if line.startswith("url "):  # the last line: it accepts clients
                yield port
                return
        raise RuntimeError(f"{name}.sh did not start:\n{log.read_text()}")


class Stores:
    """Makes an empty store for each measurement."""

    def __init__(self, redis_port, postgres_port):
        self.redis_port, self.postgres_port = redis_port, postgres_port

    def redis_cli(self, *command):
        return output_of(["redis-cli", "-p", self.redis_port, *command])

    def psql(self, command):
        return output_of(["psql", "-X", "-q", "-A", "-t", self.postgres("postgres"), "-c", command])

    def postgres(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.postgres_port}/{database}"

    def check(self):
        """That PostgreSQL syncs what it has promised."""
        for setting in ("fsync", "synchronous_commit"):
            if self.psql(f"SHOW {setting}").strip() != "on":
                raise RuntimeError(f"PostgreSQL's {setting} is not on")

    @contextlib.contextmanager
    def empty(self, store):
        if store != "postgres":
            self.redis_cli("FLUSHALL")
            self.redis_cli("CONFIG", "SET", "appendonly", "yes", "appendfsync", store,
                           "maxmemory-policy", "noeviction")
            yield f"redis://127.0.0.1:{self.redis_port}/0"
            return
        self.psql("CREATE DATABASE bench")
        try:
            yield self.postgres("bench")
        finally:
            self.psql("DROP DATABASE bench WITH (FORCE)")


class Counted:
    """The file to which the jobs append their numbers."""

    def __init__(self, path):
        self.path = path
        path.touch(mode=0o600)

    def numbers(self):
        numbers = array.array("I")
        numbers.frombytes(self.path.read_bytes())
        return numbers

    def wait(self, wanted):
        """Until so many different jobs have run; the time at which the last of them had."""
        size, since = -1, time.monotonic()
        while True:
            now = time.monotonic()
            new = self.path.stat().st_size
            if new != size:
                size, since = new, now
                if size >= 4 * wanted and len(set(self.numbers())) >= wanted:
                    return now
            elif now - since > PATIENCE:
                return since
            time.sleep(0.002)


class Enqueuer:
    def __init__(self, child):
        self.child = child

    def expect(self, answer):
        line = self.child.stdout.readline().strip()
        if line != answer:
            raise RuntimeError(f"{answer!r} was expected, and {line!r} came")

    def order(self, first, count):
        self.child.stdin.write(f"{first} {count}\n")
        self.child.stdin.flush()


def measure(variant, url, count, seconds, place):
    """@param count of jobs; 0: as many as take so many seconds."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as memory:
        counted = Counted(pathlib.Path(memory) / "ran")
        options = {"cwd": HERE / "peers" / "jobs", "env": {
            **os.environ, "NODE_ENV": "production", "POSTLUDE_URL": url,
            "POSTLUDE_RAN": str(counted.path), "POSTLUDE_CONCURRENCY": str(CONCURRENCY),
            "POSTLUDE_WAITING": str(WAITING), **variant.environment}}
        log = place / "peer.log"
        log.write_bytes(b"")
        try:
            with process(variant.enqueuer, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True, **options) as child:
                enqueuer = Enqueuer(child)
                enqueuer.expect("ready")
                with process(variant.worker, log, stdout=subprocess.DEVNULL, **options):
                    return run(enqueuer, counted, count, seconds)
        except RuntimeError as error:
            raise RuntimeError(f"{variant.name}: {error}\n{log.read_text()}") from error


def run(enqueuer, counted, count, seconds):
    enqueuer.order(0, WARM_UP // 2)
    enqueuer.expect("enqueued")
    counted.wait(WARM_UP // 2)
    begin = time.monotonic()
    enqueuer.order(WARM_UP // 2, WARM_UP // 2)
    enqueuer.expect("enqueued")
    warm = counted.wait(WARM_UP) - begin
    if len(set(counted.numbers())) != WARM_UP:
        raise RuntimeError(f"of the first {WARM_UP} jobs {len(set(counted.numbers()))} ran")
    count = count or max(WARM_UP, 1000 * round(seconds * WARM_UP / 2 / warm / 1000))
    begin = time.monotonic()
    enqueuer.order(WARM_UP, count)
    enqueuer.expect("enqueued")
    elapsed = counted.wait(WARM_UP + count) - begin
    time.sleep(0.2)  # for jobs that run once more
    numbers = counted.numbers()
    ran = len({n for n in numbers if n >= WARM_UP})
    return Run(ran / elapsed, count, ran, len(numbers) - len(set(numbers)))


def postlude(args, stores, place):
    """Jobs a second, end to end, by the bar's name: on a file, and on each engine of the peers."""
    found = own_runs(args, place, "Postlude", [], [WAITING, BULK])
    for store, engine in ENGINES.items():
        with stores.empty(store) as url:
            found |= own_runs(args, place, f"Postlude on {engine}", ["--store", url], [WAITING])
    return found


def own_runs(args, place, name, options, waiting):
    file = place / "postlude.json"
    file.write_bytes(b"")
    output_of([POSTLUDE, "--rounds", "1", "--seconds", str(args.seconds), "--directory",
               args.directory, "--json", file, *options, "--waiting", *map(str, waiting)])
    found = {}
    for line in map(json.loads, file.read_text().splitlines()):
        chart, _, size = line.get("chart", "").rpartition(" end to end, ")
        if chart.startswith("durable jobs a second") and line["name"].startswith("Postlude"):
            found[f"{name}, {int(size.split()[0]):,} waiting"] = line["rounds"][0]
    return found


def engine_of(name):
    """Of a bar of a peer's, or of Postlude's on an engine."""
    return next((engine for engine in ENGINES.values() if engine.split(", ")[-1] in name),
                ENGINES["postgres"])


def median_sync(directory):
    """Of appends of 4 KiB with fdatasync, in seconds."""
    with tempfile.TemporaryFile(dir=directory) as file:
        times = []
        for _ in range(200):
            begin = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def first_line(*command):
    return output_of(command, stderr=subprocess.STDOUT).splitlines()[0]


def versions():
    def package(name):
        return json.loads((HERE / "peers/jobs/node_modules" / name / "package.json")
                          .read_text())["version"]

    postgres = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))[-1]
    return (f"Sidekiq {first_line('sidekiq', '--version').split()[-1]} on "
            f"{' '.join(first_line('ruby', '--version').split()[:2])}; Celery "
            f"{first_line('/usr/bin/python3', '-m', 'celery', '--version').split()[0]} on "
            f"{first_line('/usr/bin/python3', '--version')}; BullMQ {package('bullmq')}, "
            f"graphile-worker {package('graphile-worker')} and pg-boss {package('pg-boss')} on "
            f"Node {first_line('node', '--version')}; Redis "
            f"{first_line('redis-server', '--version').split('v=')[1].split()[0]}; "
            f"{first_line(postgres, '--version')}.")


NOTES = (
    "One job that does nothing, with 300 bytes of arguments, from the first enqueue until the last "
    "job has run. Each system as its documentation starts it for production, with one process that "
    "enqueues and one of workers (Celery: 10 of them), 10 jobs at once, its logs at warnings; "
    "Postlude as it is by default, in one process, on a file of SQLite with a sync before every "
    "answer; and on each engine of the peers, beside the best of them there.",
    "What an answered enqueue can lose when the machine stops: nothing with appendfsync always, "
    "with PostgreSQL (fsync and synchronous_commit on) and with Postlude; the last second with "
    "appendfsync everysec, which Redis has by default. When a worker is killed, Sidekiq loses the "
    "jobs that it had begun (only its paid editions fetch them reliably); Celery runs with "
    "task_acks_late here, for by default it would lose them too.",
    "Settings beyond the defaults, from each one's documentation. Sidekiq: in bulk, perform_bulk "
    "with 1,000. Celery: worker_prefetch_multiplier 64; it has no way to enqueue in bulk. BullMQ: "
    "removeOnComplete; addBulk with 1,000. graphile-worker: addJobs with 1,000; batches: "
    "localQueue.size 500 and completeJobBatchDelay 0. pg-boss: newJobCheckInterval 100 ms (its "
    "least), teamSize 1,000, teamConcurrency 10; batches: 10 workers with batchSize 1,000, whose "
    "function gets so many jobs at once; insert with 1,000. Of graphile-worker and pg-boss, the "
    "latest versions that run on Debian's Node 18; of BullMQ the latest of 5, which was faster than "
    "6.7.",
)


class Figures:
    def __init__(self):
        self.rounds = collections.defaultdict(list)  # of (chart, name)
        self.runs = collections.defaultdict(list)

    def add(self, chart, name, value, done=None):
        self.rounds[chart, name].append(value)
        if done:
            self.runs[chart, name].append(done)

    def share_done(self, key):
        runs = self.runs[key]
        return sum(r.ran for r in runs) / sum(r.asked for r in runs)

    def not_once(self):
        for (chart, name), runs in self.runs.items():
            lost, repeated = sum(r.asked - r.ran for r in runs), sum(r.repeated for r in runs)
            if lost or repeated:
                yield (f"{name} ({chart.split(': ')[1]}): of {sum(r.asked for r in runs)} jobs "
                       f"{lost} never ran, {repeated} ran more than once.")

    def best(self, chart, fits=lambda name: True):
        names = [name for c, name in self.rounds if c == chart and self.runs[c, name] and fits(name)]
        return max(names, default=None, key=lambda n: statistics.median(self.rounds[chart, n]))

    def best_on(self, chart, engine):
        return self.best(chart, lambda name: engine_of(name) == engine)

    def compared(self):
        """In words: with the best of all, and with the best that promises as much."""
        for chart in dict.fromkeys(chart for chart, _ in self.rounds):
            own = self.rounds[chart, f"Postlude, {WAITING} waiting"]
            for who, fits in (("the best of all", lambda name: True),
                              ("the best whose answer means that the job is on the disk",
                               lambda name: "everysec" not in name)):
                if best := self.best(chart, fits):
                    ratio = statistics.median(
                        a / b for a, b in zip(own, self.rounds[chart, best]))
                    yield (f"{chart.split(': ')[1].capitalize()}: Postlude with {WAITING} waiting ran "
                           f"{ratio:.1f} times the jobs a second of {who}, {best}.")
            for engine in ENGINES.values():
                name = f"Postlude on {engine}, {WAITING} waiting"
                if (best := self.best_on(chart, engine)) and (chart, name) in self.rounds:
                    ratio = statistics.median(
                        a / b for a, b in zip(self.rounds[chart, name], self.rounds[chart, best]))
                    yield (f"{chart.split(': ')[1].capitalize()}, on {engine}: {ratio:.1f} times "
                           f"the best peer there, {best}.")

    def lines(self):
        for chart in dict.fromkeys(chart for chart, _ in self.rounds):
            names = [name for c, name in self.rounds if c == chart]
            names.sort(key=lambda n: (n != FLOOR, not n.startswith("Postlude")))
            best = self.best(chart)
            for name in names:
                figure = {"part": "jobs", "chart": chart, "name": name, "unit": "jobs/s",
                          "less": False, "rounds": self.rounds[chart, name]}
                if self.runs[chart, name]:
                    figure["work_done"] = self.share_done((chart, name))
                elif name.startswith("Postlude on "):
                    if there := self.best_on(chart, engine_of(name)):
                        figure.update({"against": there, "target": ">= 3"})
                elif best and name.startswith("Postlude"):
                    figure.update({"against": best, "target": ">= 5"})
                yield figure


def one_round(args, wanted, stores, counts, figures, place):
    syncs, own = [], []
    for i, variant in enumerate(wanted):
        if i % 6 == 0:  # several times a round: the machine is not the same from minute to minute
            syncs.append(median_sync(place))
            own.append(postlude(args, stores, place))
        with stores.empty(variant.store) as url:
            done = measure(variant, url, counts.get(variant[:3], 0), args.seconds, place)
        counts[variant[:3]] = done.asked
        figures.add(chart_of(variant.bulk), variant.name, done.per_second, done)
        print(f"    {variant.name}{', bulk' if variant.bulk else ''}: {done.per_second:.0f}/s; of "
              f"{done.asked} jobs {done.ran} ran, {done.repeated} more than once", flush=True)
    for bulk in sorted({v.bulk for v in wanted}):
        figures.add(chart_of(bulk), FLOOR, 1 / statistics.median(syncs))
        for name in own[0]:
            if bulk or name.endswith(f" {WAITING} waiting"):
                figures.add(chart_of(bulk), name, statistics.median(o[name] for o in own))
    return statistics.median(syncs)


def report(figures, syncs, json_file):
    lines = [{"part": "jobs", "note": note} for note in (
        *NOTES, versions(), f"F, the median of an append of 4 KiB with fdatasync on the disk that "
        f"was used: {1e6 * statistics.median(syncs):.0f} us.",
        " ".join(figures.not_once()) or "Every job of every run ran, and ran once.",
        *figures.compared())]
    for figure in figures.lines():
        lines.append(figure)
        values = figures.rounds[figure["chart"], figure["name"]]
        print(f"  {figure['chart'].split(': ')[1][:16]:16}  {figure['name']:34} "
              f"{statistics.median(values):8.0f}  {min(values):8.0f} ..{max(values):8.0f}")
    for line in lines[len(NOTES) + 2:]:
        if "note" in line:
            print("  " + line["note"])
    if json_file:
        with open(json_file, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--directory", type=os.path.abspath, default=tempfile.gettempdir(),
                        help="which disk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement, about")
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    args = parser.parse_args()
    wanted = [v for v in variants() if not args.variants or any(n in v.name for n in args.variants)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = pathlib.Path(tempfile.mkdtemp(prefix="postlude-bench.", dir=args.directory))
    place.chmod(0o755)  # the servers run as users of their own
    figures, counts, syncs = Figures(), {}, []
    try:
        with server("redis", place) as redis, server("postgres", place) as postgres:
            stores = Stores(redis, postgres)
            stores.check()
            for i in range(args.rounds):
                print(f"  round {i + 1} of {args.rounds}", flush=True)
                syncs.append(one_round(args, wanted, stores, counts, figures, place))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    report(figures, syncs, args.json)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError) as failure:
        sys.exit(f"job_systems.py: {failure}")
