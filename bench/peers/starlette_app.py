# Copyright 2026 The Postlude authors. Distributed under the Boost Software License, Version 1.0.
"""Starlette's background tasks. Usage: uvicorn starlette_app:app --port PORT"""
import time

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.routing import Route

done = 0


def work(kind, amount):
    global done
    if kind == "wait":
        time.sleep(amount / 1e3)
    elif kind == "cpu":
        end = time.perf_counter_ns() + 1000 * amount
        while time.perf_counter_ns() < end:
            pass
    done += 1


async def answer(request):
    kind = request.path_params.get("kind", "none")
    if kind == "done":
        return PlainTextResponse(f"{done}\n")
    task = None
    if kind != "none":
        task = BackgroundTask(work, kind, int(request.path_params.get("amount", 0)))
    return PlainTextResponse("hello, world\n", background=task)


app = Starlette(routes=[Route("/{kind}", answer), Route("/{kind}/{amount:int}", answer)])
