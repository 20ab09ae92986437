#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""A mail server on 127.0.0.1 for tests, on aiosmtpd. Prints "port N" once it listens.

Keeps each mail as a file in DIRECTORY, in front of it Return-Path and Envelope-To. What the mail
asks for, it does instead of, or before, answering 250:

  recipient code-NNN@...   answers RCPT with NNN
  recipient nobody@...     answers RCPT with 550
  recipient drop@...       closes the connection at RCPT
  sender code-NNN@...      answers MAIL with NNN
  sender once-421@...      answers MAIL with 421, but for the first mail of a connection
  subject [code NNN]       answers the text with NNN, and does not keep it
  subject [hold]           answers when the file DIRECTORY/release is there
  subject [drop]           keeps it, and closes the connection without an answer

Prints "mail" when a text has arrived, "connection" for each connection. Ends on
SIGTERM; connections are cut.
"""

import argparse
import asyncio
import email
import email.policy
import logging
import os
import pathlib
import re
import signal
import ssl
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable()

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Mailbox:
    def __init__(self, directory):
        self.directory = directory
        self.kept = len(list(directory.glob("*.eml")))

    async def handle_MAIL(self, server, session, envelope, address, options):
        before = getattr(session, "mails", 0)
        session.mails = before + 1
        if address.startswith("once-421@") and before > 0:
            return "421 4.3.2 closing"
        if code := re.match(r"code-(\d+)@", address):
            return code[1] + " as asked"
        envelope.mail_from = address
        return "250 sender ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("drop@"):
            server.transport.abort()
            return "250 never seen"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if code := re.match(r"code-(\d+)@", address):
            return code[1] + " 5.1.1 as asked"
        envelope.rcpt_tos.append(address)
        return "250 recipient ok"

    async def handle_DATA(self, server, session, envelope):
        print("mail", flush=True)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        subject = str(mail["Subject"] or "")
        if "[hold]" in subject:
            while not (self.directory / "release").exists():
                await asyncio.sleep(0.005)
        if code := re.search(r"\[code (\d+)\]", subject):
            return code[1] + " as asked"
        self.keep(envelope)
        if "[drop]" in subject:
            server.transport.abort()
        return f"250 OK kept as {self.kept}"

    def keep(self, envelope):
        self.kept += 1
        part = self.directory / "part"
        head = f"Return-Path: <{envelope.mail_from}>\r\n"
        head += "Envelope-To: " + ",\r\n ".join(envelope.rcpt_tos) + "\r\n"
        part.write_bytes(head.encode() + envelope.original_content)
        part.rename(self.directory / f"{self.kept}.eml")


class Server(SMTP):
    def connection_made(self, transport):
        super().connection_made(transport)
        print("connection", flush=True)


def authenticator(user, password):
    def check(server, session, envelope, mechanism, data):
        if isinstance(data, LoginPassword) and data.login == user and data.password == password:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False)

    return check


async def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--directory", type=pathlib.Path, required=True)
    arguments.add_argument("--security", choices=("none", "starttls", "tls"), default="none")
    arguments.add_argument("--certificate")
    arguments.add_argument("--key")
    arguments.add_argument("--user")
    arguments.add_argument("--password")
    arguments.add_argument("--size", type=int, default=0)
    options = arguments.parse_args()

    tls = None
    if options.security != "none":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate, options.key)
    settings = {"hostname": "localhost", "enable_SMTPUTF8": False}
    if options.size:
        settings["data_size_limit"] = options.size
    if options.security == "starttls":
        settings |= {"tls_context": tls, "require_starttls": True}
    if options.user:
        settings |= {
            "authenticator": authenticator(options.user.encode(), options.password.encode()),
            "auth_required": True,
            "auth_require_tls": options.security == "starttls",
        }
    mailbox = Mailbox(options.directory)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: Server(mailbox, loop=loop, **settings),
            "127.0.0.1",
            options.port,
            ssl=tls if options.security == "tls" else None,
        )
    except OSError as error:
        sys.exit(f"smtp_server: cannot listen on 127.0.0.1:{options.port}: {error.strerror}")
    print("port", server.sockets[0].getsockname()[1], flush=True)

    end = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end.set)
    await end.wait()
    os._exit(0)  # without a word about what was under way


asyncio.run(main())
