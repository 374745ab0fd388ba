"""Threads for clients and files that would block an event loop."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakMethod

from anyio import Event
from anyio.lowlevel import current_token

T = TypeVar("T")


class Threads:
    """Runs functions in up to *most* threads, whichever event loops they are awaited on.

    A thread is taken until its function returns, whether or not it is still awaited: whatever hangs, there are never
    more. A forked child starts without threads, as it has none of its parent's.
    """

    _executor: ThreadPoolExecutor | None
    _lock: Lock

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._forget()
        if hasattr(os, "register_at_fork"):
            kept = WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: (forget := kept()) and forget())

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return or raise what *function* does. One that has not begun when the wait is cancelled is not called."""
        loop: Any = current_token().native_token
        call_soon = loop.run_sync_soon if hasattr(loop, "run_sync_soon") else loop.call_soon_threadsafe  # trio, asyncio
        done = Event()

        def tell(_: Future[T]) -> None:
            with suppress(RuntimeError):  # that event loop has ended
                call_soon(done.set)

        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._most, thread_name_prefix=self._name)
            future = self._executor.submit(function, *args)
        future.add_done_callback(tell)
        try:
            await done.wait()
        finally:
            future.cancel()
        return future.result()

    @property
    def closed(self) -> bool:
        """Whether no thread is there to take work."""
        return self._executor is None

    def close(self) -> None:
        """Let the threads end, when all that was asked for is done."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _forget(self) -> None:
        self._executor = None
        self._lock = Lock()
