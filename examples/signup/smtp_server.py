#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""The demo's mail server: takes its time for each mail, and keeps it as a file.

Listens on 127.0.0.1. A mail whose Message-ID is <ID@...> becomes DIRECTORY/ID.json, with its
header and its text decoded. Prints "port N" once it listens. Ends on SIGTERM and SIGINT.
"""

import argparse
import asyncio
import email
import email.policy
import json
import pathlib
import re
import signal
import sys

from aiosmtpd.smtp import SMTP

HEADERS = ("From", "To", "Subject", "Date", "Message-ID")


class Mailbox:
    def __init__(self, directory, delay):
        self.directory = directory
        self.delay = delay

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(self.delay)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        kept = {name: str(mail[name] or "") for name in HEADERS}
        kept["Recipients"] = envelope.rcpt_tos
        kept["Text"] = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        name = re.match(r"<([\w.-]+)@", kept["Message-ID"])
        if not name:
            return "550 no Message-ID"
        file = self.directory / (name[1] + ".json")
        part = file.with_suffix(".part")
        part.write_text(json.dumps(kept, ensure_ascii=False))
        part.rename(file)
        return "250 kept"


async def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0, help="0 takes any free port")
    arguments.add_argument("--delay", type=int, default=300, help="ms that each mail takes")
    arguments.add_argument("--directory", type=pathlib.Path, required=True)
    options = arguments.parse_args()

    loop = asyncio.get_running_loop()
    mailbox = Mailbox(options.directory, options.delay / 1000)
    try:
        server = await loop.create_server(
            lambda: SMTP(mailbox, hostname="localhost", loop=loop), "127.0.0.1", options.port
        )
    except OSError as error:
        sys.exit(f"smtp_server: cannot listen on 127.0.0.1:{options.port}: {error.strerror}")
    print("port", server.sockets[0].getsockname()[1], flush=True)

    end = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end.set)
    await end.wait()
    server.close()


asyncio.run(main())
