# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""The servers of job stores, as tests/servers/ starts them, and the places that use them."""

import pathlib
import shutil
import signal
import subprocess
import tempfile

import pika

from proxy import Proxy
from support import PATIENCE, Failed, Place, require, wait_for

SERVERS = pathlib.Path(__file__).parents[1] / "servers"


class Engine:
    """One that can be stopped, and started again on the same port with what it has stored."""

    def __init__(self, name):
        self.name = name
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"postlude-{name}-"))
        self.process = None
        self.port = None
        self.start()

    def start(self):
        command = ["/bin/bash", str(SERVERS / f"{self.name}.sh"), str(self.directory)]
        command += [str(self.port)] if self.port else []
        # Into a file, since it may print more than a pipe takes.
        output = self.directory.with_suffix(".output")
        with open(output, "wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

        def said(word):
            lines = output.read_text(errors="replace").splitlines()
            return [line.partition(" ")[2] for line in lines if line.startswith(word + " ")]

        wait_for(lambda: said("url") or self.process.poll() is not None, "a server started")
        if not said("url"):
            raise Failed(f"{self.name} did not start: {output.read_text(errors='replace')}")
        self.url, self.port = said("url")[0], int(said("port")[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        require(self.process.wait(PATIENCE) == 0, f"{self.name} did not stop cleanly")

    def end(self):
        if self.process.poll() is None:
            self.stop()
        self.directory.with_suffix(".output").unlink()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url_through(self, port):
        require(str(self.port) in self.url, f"{self.url} does not name its port")
        return self.url.replace(f":{self.port}", f":{port}", 1)


class EnginePlace(Place):
    """A place whose processes reach the store through a proxy."""

    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        super().__enter__()
        self.proxy = Proxy(self.engine.port)
        self.store = self.engine.url_through(self.proxy.port)
        return self

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.proxy.close()

    def count_ready(self):
        """How many jobs wait in the store, whoever knows them."""
        if self.engine.name == "rabbitmq":
            return count_in_broker(self.engine.url)
        with self.client() as client:  # of any process that serves
            return client.get("/stats")["ready"]


def count_in_broker(url):
    """A process that takes no jobs knows of no queue there, so this asks the broker."""
    broker = pika.BlockingConnection(pika.URLParameters(url))
    channel = broker.channel()
    messages = 0
    for kind in ("durable", "spill", "left", "right", "letter", "parcel"):
        for lane in ("0", "1", "2", "3", "suspects"):
            try:
                queue = f"postlude.jobs.{kind}.{lane}"
                messages += channel.queue_declare(queue, passive=True).method.message_count
            except pika.exceptions.ChannelClosedByBroker:  # there is no such queue
                channel = broker.channel()
    broker.close()
    return messages
