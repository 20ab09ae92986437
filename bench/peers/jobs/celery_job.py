# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Celery. Usage: celery -A celery_job worker, or celery_job.py"""
import os
import queue
import struct
import sys
import threading

from celery import Celery

WAITING = int(os.environ["POSTLUDE_WAITING"])
TEXT = "x" * 280
ran = os.open(os.environ["POSTLUDE_RAN"], os.O_WRONLY | os.O_APPEND)

app = Celery("celery_job", broker=os.environ["POSTLUDE_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # else what a killed process had begun is lost
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,  # its guide to short tasks
    broker_pool_limit=WAITING,
)


@app.task(name="bench.noop")
def noop(args):
    os.write(ran, struct.pack("<I", args["n"]))


def enqueue(numbers):
    while True:
        try:
            n = numbers.get_nowait()
        except queue.Empty:
            return
        noop.delay({"n": n, "text": TEXT})


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        first, count = map(int, line.split())
        numbers = queue.SimpleQueue()
        for n in range(first, first + count):
            numbers.put(n)
        threads = [threading.Thread(target=enqueue, args=(numbers,)) for _ in range(WAITING)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("enqueued", flush=True)


if __name__ == "__main__":
    main()
