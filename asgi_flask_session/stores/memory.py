"""Sessions in the memory of one process: for tests, and for an app that runs in one process and may forget."""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from threading import Lock
from typing import Self

from ..errors import SettingsError
from ..logs import warn_once
from .base import DEFAULT_TIMEOUT, BaseStore


class MemoryStore(BaseStore):
    """Keeps at most *max_sessions* records; the one that was used longest ago makes room, with one warning.

    One store may serve several event loops and threads. *clock* returns the time in seconds.
    """

    def __init__(self, *, max_sessions: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        if max_sessions < 1:
            raise SettingsError(f"max_sessions is {max_sessions}: write 1 or more")
        self._max = max_sessions
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()  # value and end, by key

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:  # noqa: ARG003  # nothing waits
        """Return a store for ``memory:``. Each has records of its own."""
        if url.removeprefix("memory:").strip("/"):
            raise SettingsError("a memory store has no name: write store='memory:'")
        return cls()

    async def get(self, key: str) -> bytes | None:
        with self._lock:
            return self._live(key)

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        with self._lock:
            if self._live(key) is not None:
                return False
            self._put(key, value, ttl)
            if len(self._kept) > self._max:
                self._make_room()
            return True

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        with self._lock:
            if self._live(key) != expected:
                return False
            self._put(key, value, ttl)
            return True

    async def touch(self, key: str, ttl: int) -> bool:
        with self._lock:
            value = self._live(key)
            if value is not None:
                self._put(key, value, ttl)
            return value is not None

    async def delete(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    async def aclose(self) -> None:
        """Keep what is there: nothing was opened."""

    async def ping(self) -> None:
        """Return at once: memory is always there."""

    async def prune(self) -> int:
        """Forget what is past its lifetime, and return how many records that were."""
        with self._lock:
            now = self._clock()
            past = [key for key, (_, end) in self._kept.items() if end <= now]
            for key in past:
                del self._kept[key]
            return len(past)

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        with self._lock:
            now = self._clock()
            records = [(key, value) for key, (value, end) in self._kept.items() if end > now]
        for record in records:
            yield record

    def _live(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[0]

    def _put(self, key: str, value: bytes, ttl: int) -> None:
        self._kept[key] = value, self._clock() + ttl
        self._kept.move_to_end(key)

    def _make_room(self) -> None:
        _, (_, end) = self._kept.popitem(last=False)
        if end > self._clock():
            warn_once("memory", "the memory store is full: sessions not used for longest are dropped from now on")
