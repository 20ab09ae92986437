#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""run.py PROGRAM [ROUNDS]: restarts a server again and again under load, on a socket that outlives
each of its processes, and fails if a client or a task notices.

PROGRAM is tests/programs/serve.cpp. It gets the listening socket as systemd gives it: descriptor 3,
LISTEN_FDS and LISTEN_PID. In one round the next process starts before the last one stops, in the
next there is a time with none, in which connections wait in the socket's queue.

Every connection must be made at once. Every request must be answered with 200 under its own id, and
its task must run exactly once, in whichever process. A connection may end only after a response
that says so, or while nothing has been asked on it.
"""

import asyncio
import collections
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

DRAIN_MS = 60_000
# With two workers 1,000 tasks a second: some always wait when the process is told to stop.
TASK_MS = 2
CLIENTS = 16
IDLE_CLIENTS = 5
DEPTH = 4
REQUESTS_A_ROUND = 600
PATIENCE = 120


class Failed(Exception):
    pass


def wait_for(condition, sentence):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not within {PATIENCE} s: {sentence}")
        time.sleep(0.01)


class Server:
    """One process, and the lines that it has printed."""

    def __init__(self, program, listener, output):
        self.output = output
        # LISTEN_PID is the program's own, so it is set by what becomes the program.
        descriptor = listener.fileno()
        move = "" if descriptor == 3 else f"3<&{descriptor} {descriptor}<&-"
        script = f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" {move}'
        with open(output, "wb") as file:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", script, program, str(DRAIN_MS), str(TASK_MS)],
                pass_fds=[descriptor],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: self.values("port") or self.process.poll() is not None, "a server started")
        if self.values("port") != [str(listener.getsockname()[1])]:
            raise Failed("a server does not listen on the socket that it was given")

    def values(self, name):
        lines = self.output.read_text().splitlines()
        return [line.split(" ", 1)[1] for line in lines if line.startswith(f"{name} ")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        status = self.process.wait(PATIENCE)
        if status != 0:
            last = self.output.read_text().splitlines()[-3:]
            raise Failed(f"a server ended with {status} after SIGTERM; its last lines: {last}")
        if int(self.values("handled")[0]) == 0:
            raise Failed("a server has handled no request")
        if lost := self.values("lost"):
            raise Failed(f"the tasks of {lost} are lost")
        # As its log says. A restart with nothing under way would prove nothing.
        stopping = re.search(r"stopping: (\d+) connections, (\d+) tasks", self.output.read_text())
        return [int(n) for n in stopping.groups()]


class Load:
    """What the clients have done, and the clients themselves."""

    def __init__(self, port):
        self.port = port
        self.answered = []
        self.ending = False
        self.count = 0
        self.under_way = [0, 0]

    def add_under_way(self, more):
        self.under_way = [a + b for a, b in zip(self.under_way, more)]

    async def connect(self):
        try:
            return await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as error:
            raise Failed(f"a connection was refused: {error}") from error

    async def run(self):
        clients = [self.ask_often(f"client {i}") for i in range(CLIENTS)]
        clients += [self.ask_and_wait() for i in range(IDLE_CLIENTS)]
        await asyncio.gather(*clients)

    async def ask_often(self, seed):
        generator = random.Random(seed)
        connection = None
        while not self.ending:
            connection = connection or await self.connect()
            if not await self.ask(connection, generator.randint(1, DEPTH)):
                connection = None
            await asyncio.sleep(generator.random() * 0.1)  # the load's rate, nothing else
        if connection:
            connection[1].close()

    async def ask_and_wait(self):
        """Keeps a connection that is silent until the server ends it."""
        while not self.ending:
            connection = await self.connect()
            if await self.ask(connection, 1):
                await self.wait_for_end(connection[0])
            connection[1].close()

    async def wait_for_end(self, reader):
        end = asyncio.create_task(self.expect_end(reader))
        while not end.done() and not self.ending:
            await asyncio.wait([end], timeout=0.1)
        if end.done():
            end.result()
        else:
            end.cancel()

    async def ask(self, connection, depth):
        """Sends requests in one piece. Returns whether the connection stays."""
        reader, writer = connection
        ids = [f"request-{self.count + i}" for i in range(depth)]
        self.count += depth
        writer.write(
            b"".join(
                f"GET /work HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {id}\r\n\r\n".encode()
                for id in ids
            )
        )
        stays = True
        for id in ids:
            if not stays:
                raise Failed(f"{id} arrived with the one before it, which was answered as the last")
            stays = await self.read_answer(reader, id)
            self.answered.append(id)
        if not stays:
            await self.expect_end(reader)
            writer.close()
        return stays

    async def read_answer(self, reader, id):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            fields = dict(field.lower().split(": ", 1) for field in head[:-4].split("\r\n")[1:])
            body = await reader.readexactly(int(fields["content-length"]))
        except (EOFError, OSError) as error:
            raise Failed(f"{id} was not answered: {error!r}") from error
        if not head.startswith("HTTP/1.1 200 ") or fields["x-request-id"] != id or body != b"done":
            raise Failed(f"{id} was answered with {head}{body}")
        return fields.get("connection") != "close"

    async def expect_end(self, reader):
        try:
            rest = await reader.read()
        except OSError as error:
            raise Failed(f"a connection on which nothing was asked was reset: {error}") from error
        if rest:
            raise Failed(f"after the last response came {rest}")


def check_tasks(answered, servers):
    ran = collections.Counter(id for server in servers for id in server.values("ran"))
    wrong = {id: ran[id] for id in set(answered) | set(ran) if ran[id] != 1}
    if wrong:
        some = dict(list(wrong.items())[:5])
        raise Failed(f"{len(wrong)} tasks did not run exactly once: {some}")
    if set(ran) != set(answered):
        raise Failed(f"{len(set(ran) - set(answered))} tasks ran of requests without an answer")


async def restart_often(load, listener, program, directory, rounds, servers):
    loop = asyncio.get_running_loop()

    async def blocking(function, *arguments):
        return await loop.run_in_executor(None, function, *arguments)

    async def start():
        output = directory / f"server-{len(servers)}.log"
        servers.append(await blocking(Server, program, listener, output))

    async def after_requests(count):
        target = len(load.answered) + count
        deadline = time.monotonic() + PATIENCE
        while len(load.answered) < target:
            if time.monotonic() > deadline:
                raise Failed(f"no {count} requests were answered within {PATIENCE} s")
            await asyncio.sleep(0.01)

    await start()
    for round in range(rounds):
        await after_requests(REQUESTS_A_ROUND)
        last = servers[-1]
        if round % 2 == 0:
            await start()
            last.stop()
            load.add_under_way(await blocking(last.wait))
        else:
            last.stop()
            load.add_under_way(await blocking(last.wait))
            await start()
    await after_requests(REQUESTS_A_ROUND)
    load.ending = True


async def use(listener, program, directory, rounds, servers):
    load = Load(listener.getsockname()[1])
    # The first that fails ends the other.
    parts = [
        asyncio.create_task(load.run()),
        asyncio.create_task(restart_often(load, listener, program, directory, rounds, servers)),
    ]
    await asyncio.gather(*parts)
    servers[-1].stop()
    servers[-1].wait()
    check_tasks(load.answered, servers)
    connections, tasks = load.under_way
    if not (connections and tasks):
        raise Failed(f"at the restarts {connections} connections and {tasks} tasks were under way")
    print(
        f"{rounds} restarts with {connections} connections and {tasks} tasks under way, "
        f"{len(load.answered)} requests: no connection refused, each task ran once"
    )


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [ROUNDS]")
    rounds = int(sys.argv[2]) if len(sys.argv) == 3 else 8
    servers = []
    with tempfile.TemporaryDirectory() as directory:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        try:
            asyncio.run(use(listener, sys.argv[1], pathlib.Path(directory), rounds, servers))
        except Failed as error:
            sys.exit(f"FAILED: {error}")
        finally:
            for server in servers:
                if server.process.poll() is None:
                    server.process.kill()
                    server.process.wait()


main()
