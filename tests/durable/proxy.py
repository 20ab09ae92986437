# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""A TCP proxy whose connections can be cut, or fall silent."""

import asyncio
import threading


class Proxy:
    """Hands on what comes to `port` on 127.0.0.1, in both directions."""

    def __init__(self, target):
        self.target = target
        self.port = None
        self.refuses = False
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.call(self.listen())

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def listen(self):
        self.flows = asyncio.Event()
        self.flows.set()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        if self.refuses:
            writer.transport.abort()
            return
        self.writers.add(writer)
        other = None
        try:
            # Who connects to a hole gets no answer, and neither does who has connected.
            await self.flows.wait()
            there, other = await asyncio.open_connection("127.0.0.1", self.target)
            self.writers.add(other)
            await asyncio.gather(self.pump(reader, other), self.pump(there, writer))
        except OSError:
            pass
        finally:
            for one in (writer, other):
                if one:
                    self.writers.discard(one)
                    one.transport.abort()

    async def pump(self, reader, writer):
        while data := await reader.read(65536):
            await self.flows.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def abort_all(self):
        for writer in list(self.writers):
            writer.transport.abort()

    def cut(self):
        """All connections are reset, and new ones as soon as they are made."""
        self.refuses = True
        self.call(self.abort_all())

    def fall_silent(self):
        """Connections stay, and nothing comes through."""

        async def stop():
            self.flows.clear()

        self.call(stop())

    def restore(self):
        """What was under way when it fell silent is lost."""

        async def go_on():
            await self.abort_all()
            self.flows.set()

        self.refuses = False
        self.call(go_on())

    def close(self):
        self.call(self.abort_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
