#!/usr/bin/python3
# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Reads the mails of a directory with Python's email module, and prints a line for each:

mail FIELD...     each field in hexadecimal, preceded by its name and "="

Reports a mail with defects as such, and lines of the raw mail that are longer than 998 bytes.
"""

import email
import email.header
import email.policy
import email.utils
import pathlib
import sys


def line(fields):
    return " ".join(f"{name}={value.hex()}" for name, value in fields)


def boxes(mail, name):
    # The older functions: address objects do not drop the space between two encoded words (RFC
    # 2047, section 6.2).
    made = []
    for display, address in email.utils.getaddresses(mail.get_all(name, [])):
        decoded = email.header.make_header(email.header.decode_header(display))
        made.append(f"{decoded}|{address}")
    return "\n".join(made).encode()


def defects(mail, raw):
    found = [str(d) for part in mail.walk() for d in part.defects]
    found += [f"{n}: {d}" for n, v in mail.items() for d in getattr(v, "defects", [])]
    if any(len(each) > 998 for each in raw.split(b"\n")):
        found.append("a line is longer than 998 bytes")
    if any(byte > 127 for byte in raw):
        found.append("a byte is not ASCII")
    if email.utils.parsedate_to_datetime(mail["Date"]) is None:
        found.append("no date")
    return "; ".join(found).encode()


def read(path):
    raw = path.read_bytes()
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    old = email.message_from_bytes(raw)
    fields = [
        ("id", mail["Message-ID"].strip("<>").encode()),
        ("envelope_from", mail["Return-Path"].strip("<>").encode()),
        ("envelope_to", ",".join(sorted(mail["Envelope-To"].replace(" ", "").split(","))).encode()),
        ("from", boxes(old, "From")),
        ("to", boxes(old, "To")),
        ("cc", boxes(old, "Cc")),
        ("bcc", boxes(old, "Bcc")),
        ("reply_to", boxes(old, "Reply-To")),
        ("subject", str(mail["Subject"]).encode()),
    ]
    for part in mail.walk():
        if part.is_multipart():
            continue
        if part.get_content_disposition() == "attachment":
            fields.append(("filename", part.get_filename().encode()))
            fields.append(("type", part.get_content_type().encode()))
            fields.append(("bytes", part.get_payload(decode=True)))
        else:
            assert part.get_content_charset() == "utf-8"
            text = part.get_payload(decode=True).replace(b"\r\n", b"\n")
            fields.append((part.get_content_subtype(), text))
    fields.append(("defects", defects(mail, raw)))
    return line(fields)


for directory in sys.argv[1:]:
    for path in sorted(pathlib.Path(directory).iterdir()):
        if path.is_file() and path.name not in ("release", "part"):
            print("mail", read(path), flush=True)
print("end of mails", flush=True)
