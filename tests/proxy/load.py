#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Sends requests of all kinds to tests/programs/echo_server.cpp through HAProxy, up to 16 of them
at once on each connection, and checks every byte of every answer.

Half of the connections go through HAProxy as an HTTP proxy, which serves the requests of a
connection one after the other; the other half through it as a TCP proxy, which passes the pipeline
on. Exits 0 if every answer was right.
"""

import argparse
import asyncio
import os
import pathlib
import random
import socket
import subprocess
import sys
import time

DEPTH = 16
CONFIGURATION = pathlib.Path(__file__).with_name("haproxy.cfg")


class Wrong(Exception):
    pass


class Request:
    """What is sent for an id, and what has to be answered."""

    def __init__(self, kind, id, generator):
        self.id = id
        self.method, self.path, self.status = KINDS[kind][1:4]
        self.target = f"{self.path}?id={id}"
        self.request_id = f"load-{id}"
        self.close = False
        self.body = KINDS[kind][4](id, generator)
        self.chunked = kind == "chunked" and random_pieces(self.body, generator)

    @property
    def answer(self):
        """The body that a GET of it is answered with."""
        if self.path == "/big":
            return f"{self.id:.<15}\n".encode() * 65536
        if self.method == "POST":
            return self.body
        words = {"/plain": "plain", "/coroutine": "awaited", "/refused": "refused"}
        return f"{words[self.path]} {self.id}\n".encode() if self.path in words else b""

    def bytes(self):
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: postlude.example"]
        lines.append(f"X-Request-Id: {self.request_id}")
        if self.close:
            lines.append("Connection: close")
        body = self.body
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in [*self.chunked, b""])
        elif self.method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + body


def random_bytes(size):
    return lambda id, generator: (b"%d " % id + generator.randbytes(size(generator)))


def random_pieces(body, generator):
    pieces = []
    while body:
        n = generator.randint(1, max(1, len(body)))
        pieces.append(body[:n])
        body = body[n:]
    return pieces


def nothing(id, generator):
    return b""


# Weight among 10,000, method, path, status, body.
KINDS = {
    "plain": (4400, "GET", "/plain", 200, nothing),
    "coroutine": (2000, "GET", "/coroutine", 200, nothing),
    "echo": (1100, "POST", "/echo", 200, random_bytes(lambda g: g.randint(0, 4000))),
    "large echo": (50, "POST", "/echo", 200, random_bytes(lambda g: g.randint(60000, 300000))),
    "largest echo": (5, "POST", "/echo", 200, random_bytes(lambda g: (1 << 20) - 10)),
    "chunked": (825, "POST", "/echo", 200, random_bytes(lambda g: g.randint(0, 9000))),
    "head": (500, "HEAD", "/plain", 200, nothing),
    "head of big": (20, "HEAD", "/big", 200, nothing),
    "no content": (400, "GET", "/no_content", 204, nothing),
    "not modified": (400, "GET", "/not_modified", 304, nothing),
    "refused": (280, "GET", "/refused", 403, nothing),
    "big": (20, "GET", "/big", 200, nothing),
}
WEIGHTS = [kind[0] for kind in KINDS.values()]


class Connection:
    """Sends batches of requests and checks their answers, until no id is left."""

    def __init__(self, address, ids, seed, through_http, counts):
        self.address = address
        self.ids = ids
        self.generator = random.Random(seed)
        self.through_http = through_http
        self.counts = counts
        self.streams = None

    async def run(self):
        while batch := self.next_batch():
            if not self.streams:
                self.streams = await asyncio.open_connection(*self.address, limit=1 << 16)
                self.counts["connections"] += 1
            reader, writer = self.streams
            sender = asyncio.create_task(self.send(writer, batch))
            for request in batch:
                try:
                    await self.check(reader, request)
                except (EOFError, OSError, ValueError) as error:
                    raise Wrong(f"{request.method} {request.target}: {error!r}") from error
                self.counts["answers"] += 1
            await sender
            if batch[-1].close:
                await self.expect_end(reader)
        if self.streams:
            self.streams[1].write_eof()
            await self.expect_end(self.streams[0])

    def next_batch(self):
        depth = self.generator.randint(1, DEPTH)
        kinds = self.generator.choices([*KINDS], WEIGHTS, k=depth)
        batch = [Request(kind, id, self.generator) for kind, id in zip(kinds, self.ids)]
        if batch and self.generator.random() < 0.01:
            batch[-1].close = True
        return batch

    async def send(self, writer, batch):
        """All at once, or in two pieces that end anywhere."""
        data = b"".join(request.bytes() for request in batch)
        cut = self.generator.randint(1, len(data)) if self.generator.random() < 0.3 else len(data)
        for piece in (data[:cut], data[cut:]):
            writer.write(piece)
            await writer.drain()

    async def check(self, reader, request):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        line, *fields = head[:-4].split("\r\n")
        headers = {}
        for name, value in (field.split(":", 1) for field in fields):
            if headers.setdefault(name.lower(), value.strip()) != value.strip():
                raise Wrong(f"{request.target}: {name} is there twice: {head}")
        body = await self.read_body(reader, request, headers)

        def expect(what, got, wanted):
            if got != wanted:
                raise Wrong(f"{request.method} {request.target}: {what} is {got!r:.200}, "
                            f"not {wanted!r:.200}; {head}")

        expect("status line", line.split(" ")[:2], ["HTTP/1.1", str(request.status)])
        expect("X-Request-Id", headers.get("x-request-id"), request.request_id)
        expect("X-Answer", headers.get("x-answer"), f"{request.method} {request.path} {request.id}")
        expect("X-Proxy", headers.get("x-proxy"), "haproxy" if self.through_http else None)
        expect("Connection", headers.get("connection"), "close" if request.close else None)
        expect("body", body, b"" if request.method == "HEAD" else request.answer)
        if request.method == "HEAD":
            expect("Content-Length", headers.get("content-length"), str(len(request.answer)))

    async def read_body(self, reader, request, headers):
        length = headers.get("content-length")
        coding = headers.get("transfer-encoding")
        if request.method == "HEAD" or request.status in (204, 304):
            if coding or (request.status == 204 and length):
                raise Wrong(f"{request.target}: framing of a body that cannot be: {headers}")
            return b""
        if coding or length is None:
            raise Wrong(f"{request.target}: no Content-Length alone: {headers}")
        return await reader.readexactly(int(length))

    async def expect_end(self, reader):
        rest = await reader.read()
        if rest:
            raise Wrong(f"after the last response of a connection came {rest!r:.200}")
        self.streams[1].close()
        self.streams = None


def listening_socket():
    made = socket.create_server(("127.0.0.1", 0), backlog=256)
    made.set_inheritable(True)
    return made


def start_proxy(server_port, log):
    """HAProxy, and the addresses of its HTTP and its TCP side."""
    sides = listening_socket(), listening_socket()
    names = {"HTTP_SOCKET": sides[0].fileno(), "TCP_SOCKET": sides[1].fileno()}
    names["SERVER_PORT"] = server_port
    process = subprocess.Popen(
        ["/usr/sbin/haproxy", "-db", "-f", str(CONFIGURATION)],
        env={**os.environ, **{name: str(value) for name, value in names.items()}},
        pass_fds=[side.fileno() for side in sides],
        stdout=log,
        stderr=log,
    )
    addresses = [side.getsockname() for side in sides]
    for side in sides:
        side.close()
    return process, addresses


async def use(addresses, options):
    ids = iter(range(options.requests))
    counts = {"answers": 0, "connections": 0}
    connections = [
        Connection(addresses[i % 2], ids, f"{options.seed} {i}", i % 2 == 0, counts)
        for i in range(options.connections)
    ]
    tasks = [asyncio.create_task(connection.run()) for connection in connections]
    try:
        await asyncio.wait_for(asyncio.gather(*tasks), options.timeout)
    except asyncio.TimeoutError:
        raise Wrong(f"not all answered within {options.timeout} s: {counts}")
    if counts["answers"] != options.requests:
        raise Wrong(f"{counts['answers']} of {options.requests} requests were answered")
    return counts


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--server-port", type=int, required=True)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--connections", type=int, default=50)
    arguments.add_argument("--timeout", type=int, default=600, help="seconds for all of it")
    arguments.add_argument("--seed", default="postlude")
    arguments.add_argument("--log", type=argparse.FileType("w"), default=sys.stderr)
    options = arguments.parse_args()

    proxy, addresses = start_proxy(options.server_port, options.log)
    begin = time.monotonic()
    try:
        counts = asyncio.run(use(addresses, options))
    except (Wrong, OSError) as error:
        sys.exit(f"FAILED: {error}")
    finally:
        ended = proxy.poll()
        proxy.terminate()
        proxy.wait()
    if ended is not None:
        sys.exit(f"FAILED: HAProxy ended by itself with {ended}")
    print(f"{counts['answers']} requests on {counts['connections']} connections through HAProxy, "
          f"{time.monotonic() - begin:.0f} s: every answer is right")


main()
