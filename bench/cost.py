#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""cost.py [--check | --record] [--json FILE] [--program FILE] [VARIANT]...

What a request costs in system calls, heap allocations and instructions, on one connection, without
deferred work and with it: figures that repeat where times do not. Prints them beside those in
bench/cost.json. --check fails when one has grown and says which, from what to what; --record
writes down what is counted now, for a growth that is meant. --json appends bars for the report
(bench/support/results.hpp). Takes strace, valgrind and build/release/bench/cost_server, or FILE.

How it is made to repeat. The next request is sent when every thread of the server sleeps and all
that the last one caused is done (a job: its end is stored). So each request finds the same server,
however fast the machine is and whatever else it does, and pays for all that it causes: with a task
always one wake-up of a worker, the most that it can cost. Under load many requests share one
(bench/wakeups.cpp), and jobs share a sync. What the server does by time is in it, too, and only
adds: so what differs is measured up to three times, and the least counts.

cost.json has a tolerance for each figure, and wider ones for a durable job. Without a job,
allocations are exact; the other calls too, and the instructions have spread by 0.3 % on a machine
with other work on both cores. The tolerance of the instructions also covers whether the
libraries are compiled as one source each (POSTLUDE_UNITY).

  system calls   of all threads, under strace, without futex; the mean of the requests. With a job,
                 the tenth of the requests that has the fewest: the store is polled by time, and
                 the slower the machine, the more polls fall upon a request
  futex calls    waits and wake-ups of threads, of the tenth of the requests that has the fewest
  allocations    calls of malloc, calloc, realloc and their like, those in operator new and in
                 SQLite too; of the thread that serves, and of all others
  instructions   of all threads, outside the kernel, by callgrind. The C library is told to use its
                 plainest functions, so that it is the same on another kind of processor

For what has grown, look at the files that a failed check names: the calls in their order, and
callgrind's profile (callgrind_annotate FILE).
"""

import argparse
import collections
import json
import mmap
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "cost.json"
NAMES = {
    "server": "server",
    "server-task": "server, a task",
    "server-job": "server, a durable job",
    "beast": "Beast's async_write",
    "embedded": "async_respond",
    "embedded-task": "async_respond, a task",
}
WARM_UP = 100
REQUESTS = 400
REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
END = b"hello, world\n"
DEADLINE = 120  # seconds, for what takes milliseconds
PLAIN_LIBC = "-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-BMI2,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2,-RTM"


class Failed(Exception):
    pass


class Server:
    """One that runs under a tool, and its only client."""

    def __init__(self, program, variant, directory, tool=(), environment=None):
        self.defers = variant.endswith(("-task", "-job"))
        window = directory / "window"
        window.write_bytes(bytes(4096))
        with open(window, "rb") as file:
            self.window = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
        self.log = open(directory / "log", "w+")
        self.process = subprocess.Popen(
            [*tool, program, variant, window, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **(environment or {})},
        )
        self.answered = 0

    def __enter__(self):
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            self.process.wait()
            raise Failed(f"{' '.join(map(str, self.process.args[:3]))} ...: {self.said()}")
        self.threads = pathlib.Path("/proc", line[1].decode(), "task")
        self.client = socket.create_connection(("127.0.0.1", int(line[0])))
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.settimeout(DEADLINE)
        return self

    def __exit__(self, failure, *_):
        self.client.close()
        if failure:
            self.process.kill()
        self.process.stdin.close()
        status = self.process.wait(DEADLINE)
        if status != 0 and not failure:
            raise Failed(f"the server ended with {status}: {self.said()}")

    def said(self):
        self.log.seek(0)
        return self.log.read().strip() or "it ended, and said nothing"

    def counters(self):
        """Marks, what is done, allocations of the thread that serves and of others."""
        return struct.unpack_from("4Q", self.window)

    def look(self):
        """How often each thread has been put to sleep, or nothing if one is awake."""
        switches = []
        for thread in sorted(os.listdir(self.threads)):
            try:
                status = (self.threads / thread / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                return None
            if not re.search(r"^State:\tS", status, re.M):
                return None
            switches.append((thread, *re.findall(r"_ctxt_switches:\t(\d+)", status)))
        return switches

    def settle(self, marks):
        """Waits until all is done that was asked for, and all threads sleep."""
        end = time.monotonic() + DEADLINE
        before = None
        while True:
            done = self.counters()[:2] == (marks, self.answered if self.defers else 0)
            now = self.look() if done else None
            if now and now == before:
                return
            before = now
            if time.monotonic() > end:
                raise Failed(f"the server does not come to rest: {self.counters()}, {now}")

    def ask(self, requests, marks):
        for _ in range(requests):
            self.client.sendall(REQUEST)
            response = b""
            while not response.endswith(END):
                piece = self.client.recv(4096)
                if not piece:
                    raise Failed(f"no response: {self.said()}")
                response += piece
            if not response.startswith(b"HTTP/1.1 200"):
                raise Failed(f"the response is {response.decode()}")
            self.answered += 1
            self.settle(marks)

    def mark(self, byte, marks):
        self.process.stdin.write(byte)
        self.process.stdin.flush()
        self.settle(marks)

    def run(self):
        """Asks as often as is counted. Returns allocations of the thread that serves, of others."""
        self.ask(WARM_UP, 0)
        self.mark(b"b", 1)
        before = self.counters()
        self.ask(REQUESTS, 1)
        after = self.counters()
        self.mark(b"e", 2)
        return [(b - a) / REQUESTS for a, b in zip(before[2:], after[2:])]


def requests_in(trace):
    """The calls that strace has seen between the marks: of each request, how many of each name."""
    requests = []
    counting = False
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if mark := re.search(r'(?:read\(0, |read resumed>)"([be])", 1\)', line):
                counting = mark[1] == "b"
            if counting and (call := re.match(r"\d+ +(\w+)\((?!0, +<unfinished)", line)):
                if '"GET /hello' in line or not requests:
                    requests.append(collections.Counter())
                requests[-1][call[1]] += 1
            elif counting and "resumed>" in line and '"GET /hello' in line:
                requests.append(collections.Counter())
    return requests


def of_a_request(values, variant):
    """The mean; where a store is polled all the time, that of few_of."""
    return few_of(values) if variant.endswith("-job") else sum(values) / REQUESTS


def few_of(values):
    """What a tenth of the requests is below: those during which nothing else happened."""
    return sorted(values)[len(values) // 10]


def counted_calls(trace, variant):
    """The calls a request: all but futex, futex, and by name."""
    requests = requests_in(trace)
    if len(requests) < REQUESTS:
        raise Failed(f"{trace} shows {len(requests)} requests instead of {REQUESTS}")
    others = [sum(r.values()) - r["futex"] for r in requests]
    names = sorted(set().union(*requests))
    by_name = {name: of_a_request([r[name] for r in requests], variant) for name in names}
    by_name["futex"] = few_of([r["futex"] for r in requests])
    return of_a_request(others, variant), by_name["futex"], by_name


def counted_instructions(profile):
    """The instructions a request in what callgrind has written."""
    for line in profile.read_text().splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1]) / REQUESTS
    raise Failed(f"callgrind has written no total into {profile}")


def count_calls(program, variant, directory):
    trace = directory / "strace"
    tool = ["strace", "-f", "-qq", "-s", "32", "-o", trace]
    with Server(program, variant, directory, tool) as server:
        served, elsewhere = server.run()
    calls, futex_calls, by_name = counted_calls(trace, variant)
    return {
        "system calls": calls,
        "futex calls": futex_calls,
        "allocations, thread that serves": served,
        "allocations, others": elsewhere,
    }, by_name


def count_instructions(program, variant, directory):
    profile = directory / "callgrind"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    tool += ["--zero-before=cost_begins", "--dump-before=cost_ends"]
    plain = {"GLIBC_TUNABLES": f"glibc.cpu.hwcaps={PLAIN_LIBC}"}
    with Server(program, variant, directory, tool, plain) as server:
        server.run()
    return {"instructions": counted_instructions(profile.with_suffix(".1"))}


def measure(program, variant, place):
    """All figures of a variant, and its system calls by name."""
    figures = {}
    for count in (count_calls, count_instructions):
        directory = place / variant / count.__name__
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        found = count(program, variant, directory)
        if count is count_calls:
            found, calls = found
        figures.update(found)
    return figures, calls


class Measured:
    """One variant, measured until its figures are what is recorded, or three times."""

    def __init__(self, program, variant, place, tolerance, recorded, rounds):
        self.variant = variant
        self.recorded = recorded.get(variant, {})
        self.tolerance = {**tolerance["all"], **tolerance.get(variant, {})}
        self.rounds = []
        while len(self.rounds) < rounds or (len(self.rounds) < 3 and self.differs()):
            self.rounds.append(measure(program, variant, place))

    def values(self, figure):
        return [figures[figure] for figures, _ in self.rounds]

    def figures(self):
        """The least of each: what else happens meanwhile only adds."""
        return {name: min(self.values(name)) for name in self.tolerance}

    def calls(self):
        return self.rounds[-1][1]

    def margin(self, figure):
        kind = self.tolerance[figure]
        was = self.recorded["figures"][figure]
        return max(kind.get("absolute", 0), kind.get("relative", 0) * was)

    def changes(self):
        """Figures that are not what is recorded, with the difference."""
        if not self.recorded:
            return {}
        was = self.recorded["figures"]
        differences = {name: n - was[name] for name, n in self.figures().items()}
        return {name: d for name, d in differences.items() if abs(d) > self.margin(name)}

    def differs(self):
        return bool(self.rounds) and bool(self.changes())

    def sentence(self, figure):
        was = self.recorded["figures"][figure]
        now = self.figures()[figure]
        text = f"{NAMES[self.variant]}: {figure} a request: from {number(was)} to {number(now)}"
        if figure == "instructions":
            text += f" ({100 * (now / was - 1):+.1f} %)"
        if figure == "system calls":
            text += self.names_of_calls()
        return text

    def names_of_calls(self):
        before, now = self.recorded["calls"], self.calls()
        changed = [
            f"{name} from {number(before.get(name, 0))} to {number(now.get(name, 0))}"
            for name in sorted(before.keys() | now.keys())
            if name != "futex" and abs(now.get(name, 0) - before.get(name, 0)) >= 0.05
        ]
        return f" ({', '.join(changed)})" if changed else ""


def number(n):
    return f"{n:,.0f}" if n >= 1000 else f"{n:.2f}".rstrip("0").rstrip(".")


def show(measured):
    was = measured.recorded.get("figures", {})
    print(NAMES[measured.variant], flush=True)
    for name, now in measured.figures().items():
        before = f"{number(was[name]):>10}" if name in was else f"{'-':>10}"
        print(f"  {name:<34} {number(now):>10}   recorded {before}")
    calls = ", ".join(f"{name} {number(n)}" for name, n in measured.calls().items() if n >= 0.005)
    print(f"  {calls}", flush=True)


def passes(all_measured, place):
    """Prints what is not as recorded, and returns whether nothing has grown."""
    grown = []
    for measured in all_measured:
        if not measured.recorded:
            grown.append(f"{NAMES[measured.variant]}: nothing is recorded of it")
        for name, difference in measured.changes().items():
            if difference > 0:
                grown.append(measured.sentence(name))
            else:
                print(f"SMALLER: {measured.sentence(name)}. `bench/cost.py --record` keeps it so.")
    for sentence in grown:
        print(f"GROWN: {sentence}")
    if grown:
        print(
            "A request costs more than bench/cost.json says. Why is seen in the calls and the "
            f"profiles in {place}. If it is meant: `bench/cost.py --record`, and the commit says "
            "what is got for it."
        )
    return not grown


def write_record(all_measured, record):
    record["requests"] = REQUESTS
    for measured in all_measured:
        record["variants"][measured.variant] = {
            "figures": {name: round(n, 3) for name, n in measured.figures().items()},
            "calls": {n: round(c, 3) for n, c in measured.calls().items() if c >= 0.0005},
        }
    RECORD.write_text(json.dumps(record, indent=4) + "\n")


def write_bars(all_measured, path):
    with open(path, "a", encoding="utf-8") as file:
        for measured in all_measured:
            for name in measured.tolerance:
                bar = {
                    "part": "cost",
                    "chart": f"{name} a request",
                    "name": NAMES[measured.variant],
                    "unit": name.split(",")[0],
                    "less": True,
                    "rounds": measured.values(name),
                }
                file.write(json.dumps(bar) + "\n")
        note = "Counted under strace and callgrind, the server at rest before each request."
        file.write(json.dumps({"part": "cost", "note": note}) + "\n")


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", 1)[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true")
    what.add_argument("--record", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--program", default=HERE.parent / "build/release/bench/cost_server")
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.variants if name not in NAMES]:
        parser.error(f"there is no variant {unknown[0]}, only {', '.join(NAMES)}")
    return chosen


def main():
    chosen = arguments()
    program = pathlib.Path(chosen.program).resolve()
    if not program.exists():
        sys.exit(f"{program} is not built: cmake --preset release, then its target cost_server")
    for tool in ("strace", "valgrind"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: middleware/cmake/packages.sh bench")
    record = json.loads(RECORD.read_text())
    place = program.parent / "cost"
    rounds = chosen.rounds or (3 if chosen.record else 1)
    all_measured = []
    for variant in chosen.variants or NAMES:
        all_measured.append(
            Measured(program, variant, place, record["tolerance"], record["variants"], rounds)
        )
        show(all_measured[-1])
    if chosen.json:
        write_bars(all_measured, chosen.json)
    if chosen.record:
        write_record(all_measured, record)
    elif chosen.check and not passes(all_measured, place):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"FAILED: {failure}")
