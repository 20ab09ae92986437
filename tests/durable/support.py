# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""What the tests of durable jobs share: processes, their store and journal, and clients."""

import collections
import dataclasses
import itertools
import json
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

PATIENCE = 120


class Failed(Exception):
    pass


def require(condition, sentence):
    if not condition:
        raise Failed(sentence)


def wait_for(condition, sentence, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not within {patience} s: {sentence}")
        time.sleep(0.01)


def some(things):
    """A few of them, for a sentence."""
    return dict(list(things.items())[:5]) if isinstance(things, dict) else sorted(things)[:5]


class Place:
    """A directory with a store, a journal and a socket; and the processes that use them."""

    program = None  # set by run.py

    def __enter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="postlude-durable-"))
        self.store = self.directory / "jobs.db"
        self.journal = self.directory / "journal"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.processes = []
        return self

    def __exit__(self, *failure):
        for process in self.processes:
            process.end()
        self.listener.close()
        if failure[1]:
            for process in self.processes[-2:]:
                print(f"-- the last lines of a process: {process.command}")
                print("\n".join(process.lines()[-8:] + process.error().splitlines()[-3:]))
        shutil.rmtree(self.directory)

    def start(self, mode, *options, user=None, may_die=False):
        """A process that serves or works; or that has died of its work before anybody looked."""
        process = Process(self, mode, options, user)
        self.processes.append(process)
        wait_for(
            lambda: process.values("port") or process.values("ready") or process.ended(),
            "a process started",
        )
        require(may_die or not process.ended(), f"a process ended at once: {process.error()}")
        return process

    def refused_start(self, *options, user=None):
        """What a process says that can't start."""
        process = Process(self, "serve", options, user)
        self.processes.append(process)
        status = process.wait()
        require(status == 1, f"a process that can't start ended with {status}")
        lines = process.error().splitlines()
        require(len(lines) == 1, f"a process that can't start says {lines}")
        return lines[0]

    def client(self):
        return Client(self.port)

    def post(self, target, id):
        with self.client() as client:
            return client.post(target, id)

    def query(self, sql, *values):
        # Read-only, and in no transaction that would outlive it.
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def number(self, sql, *values):
        return self.query(sql, *values)[0][0]

    def states(self):
        return dict(self.query("SELECT state, count(*) FROM job_list GROUP BY state"))

    def wait_until_all_ended(self):
        left = "SELECT (SELECT count(*) FROM ready) + (SELECT count(*) FROM claimed)"
        wait_for(lambda: self.number(left) == 0, "all jobs of the store have ended")

    def open_gate(self, name):
        (self.directory / f"gate-{name}").touch()

    def runs(self):
        return read_journal(self.journal)

    def count_ends(self):
        return self.journal.read_bytes().count(b"end ")


class Process:
    def __init__(self, place, mode, options, user):
        number = len(place.processes)
        self.output = place.directory / f"output-{number}"
        self.errors = place.directory / f"errors-{number}"
        self.command = [Place.program, mode, str(place.store), str(place.journal), *options]
        # LISTEN_PID is the program's own, so it is set by what becomes the program.
        descriptor = place.listener.fileno()
        move = "" if descriptor == 3 else f"3<&{descriptor} {descriptor}<&-"
        script = f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" {move}'
        if mode == "work":
            script = 'exec "$0" "$@"'
        self.started = time.time()
        with open(self.output, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", script, *self.command],
                pass_fds=[] if mode == "work" else [descriptor],
                stdout=out,
                stderr=errors,
                user=user,
            )
        self.pid = self.process.pid
        self.killed = None

    def lines(self):
        return self.output.read_text().splitlines()

    def error(self):
        return self.errors.read_text()

    def values(self, name):
        found = [line for line in self.lines() if line.split(" ", 1)[0] == name]
        return [line.partition(" ")[2] or "yes" for line in found]

    def logged(self, text):
        return [line for line in self.lines() if text in line]

    def ended(self):
        return self.process.poll() is not None

    def wait(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"a process has not ended within {PATIENCE} s") from None

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.killed = time.monotonic_ns()
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self):
        """Ends it as a supervisor does; returns its counters of jobs and of tasks."""
        self.send(signal.SIGTERM)
        status = self.wait()
        require(status == 0, f"a process ended with {status} after SIGTERM")
        require(not self.values("lost"), f"{self.values('lost')} are lost")
        jobs, tasks = (json.loads(self.values(name)[0]) for name in ("jobs", "tasks"))
        check_sums(jobs, tasks)
        return jobs, tasks

    def end(self):
        if not self.ended():
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
            self.wait()

    def resident(self):
        """Bytes of memory."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failed("a process has no memory")


def check_sums(jobs, tasks):
    """Everything that was registered is somewhere, and nothing twice."""
    came = jobs["registered"] + jobs["claimed"]
    went = ("refused", "discarded", "completed", "dead", "lost", "handed_over", "revoked", "left")
    require(came == sum(jobs[name] for name in went), f"the counters of jobs don't add up: {jobs}")
    went = ("refused", "discarded", "completed", "failed", "lost", "handed_over", "left")
    require(
        tasks["registered"] == sum(tasks[name] for name in went),
        f"the counters of tasks don't add up: {tasks}",
    )


@dataclasses.dataclass
class Run:
    """One run of a job, as its journal has it."""

    pid: int
    attempt: int
    begin: int
    end: int = None
    how: str = None  # end, stop or throw; nothing while it runs, or when its process died
    rest: str = ""


def read_journal(path):
    """The runs of each request's job, in their order."""
    runs = collections.defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        what, request, _, attempt, pid, moment, rest = line.rstrip().split(" ", 6)
        mine = [run for run in runs[request] if run.pid == int(pid) and not run.how]
        if what == "begin" or not mine:
            runs[request].append(Run(int(pid), int(attempt), int(moment)))
            mine = runs[request][-1:]
        if what != "begin":
            mine[0].end, mine[0].how, mine[0].rest = int(moment), what, rest
    return runs


class Client:
    """A connection that is kept."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def post(self, target, id):
        return self.ask("POST", target, id)[0]

    def get(self, target):
        return json.loads(self.ask("GET", target, "look")[1])

    def ask(self, method, target, id):
        """Status and body; no status when there was no answer."""
        try:
            if not self.connection:
                self.connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
                self.buffer = b""
            self.connection.sendall(
                f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {id}\r\n"
                "Content-Length: 0\r\n\r\n".encode()
            )
            return self.read_answer(id)
        except TimeoutError as error:
            raise Failed(f"{id} was not answered within {PATIENCE} s") from error
        except (OSError, EOFError):
            self.close()
            return None, b""

    def read_answer(self, id):
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("ascii").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        require(fields["x-request-id"] == id, f"{id} was answered with {fields}")
        size = int(fields["content-length"])
        while len(self.buffer) < size:
            self.receive()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        if fields.get("connection") == "close":
            self.close()
        return int(lines[0].split(" ")[1]), body

    def receive(self):
        piece = self.connection.recv(65536)
        if not piece:
            raise EOFError
        self.buffer += piece


class Load:
    """Requests from several clients at one time, each on a connection of its own."""

    def __init__(self, port, clients, total, target, first=0, pause=0.0):
        """The requests `first` to `total`, that not included; `pause` in seconds after a 503."""
        self.total = total
        self.first = first
        self.pause = pause
        self.answers = {}  # by request
        self.failure = None
        self.ending = False
        numbers = itertools.count(first)
        self.threads = [
            threading.Thread(target=self.run, args=(port, numbers, target), daemon=True)
            for _ in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, port, numbers, target):
        try:
            with Client(port) as client:
                while not self.ending and (n := next(numbers)) < self.total:
                    self.answers[f"r{n}"] = client.post(target(n), f"r{n}")
                    if self.pause and self.answers[f"r{n}"] == 503:
                        time.sleep(self.pause)
        except Exception as failure:  # told by `wait`
            self.failure = failure

    def wait(self, count=None):
        """Until so many requests, or all, have been answered or broken off."""
        count = self.total - self.first if count is None else count
        wait_for(lambda: len(self.answers) >= count or self.failure, f"{count} requests")
        if self.failure:
            raise Failed(f"a client: {self.failure!r}")

    def with_answer(self, status):
        return {id for id, answer in self.answers.items() if answer == status}
