"""Whole requests on an event loop: how they are sent, and timed in turn."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter_ns
from typing import Any


def keep_to_one_processor() -> None:
    """Keep this process, and those it starts, to one processor where there is a choice."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


async def ask(app: Any, cookie: bytes | None = None, path: str = "/") -> bytes:
    """Send one request, and return the cookie that it sets, or that it came with."""
    set_cookies: list[bytes] = []
    heard = False
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal heard
        if heard:
            await answered.wait()
            return {"type": "http.disconnect"}
        heard = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        set_cookies.extend(line for name, line in message.get("headers", ()) if name.lower() == b"set-cookie")
        if message["type"] == "http.response.body":
            answered.set()

    headers = [(b"host", b"localhost")] + ([(b"cookie", cookie)] if cookie else [])
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80), "state": {}, "extensions": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return set_cookies[0].partition(b";")[0] if set_cookies else cookie or b""


async def compared(steps: dict[str, Callable[[], Awaitable[object]]], rounds: int, calls: int) -> dict[str, float]:
    """Return the median microseconds of each step, of the medians of rounds that go through all of them."""
    medians: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(calls):
            await step()
    for _ in range(rounds):
        for name, step in steps.items():
            times = []
            for _ in range(calls):
                start = perf_counter_ns()
                await step()
                times.append(perf_counter_ns() - start)
            medians[name].append(median(times) / 1000)
    return {name: median(times) for name, times in medians.items()}
