"""Sessions in the files of a folder: one record, one file, named by a hash of its key.

Nothing is ever unpickled. What others keep in the folder is left alone: our files have names and a beginning of their
own.

A new record takes the place of the old one at once, so that a reader sees the one or the other. Who changes a record
holds a lock, which keeps out the other threads and processes; all records share a few lock files.
"""

import os
import re
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from errno import errorcode
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import unquote
from zlib import crc32

from ..errors import SettingsError, StoreUnavailable
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable
from .threads import Threads

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:  # one kind for all that may be wrong
            return False
        return True

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        # In so many words: a child that was forked meanwhile has the descriptor too, and closing ours would not do.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


T = TypeVar("T")

_THREADS = 8
_BATCH = 200  # files between which other calls have their turn
_LONGEST_PAUSE = 0.01  # seconds between two tries for a lock
_READERS_LOCK = sys.platform == "win32"  # where a file that is open cannot be replaced

_RECORD = ".session"
_NEW = ".new"  # a record that is being written
_OURS = re.compile(rf"([0-9a-f]{{64}})(?:{re.escape(_RECORD)}|{re.escape(_NEW)})")
_TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)

# The first four bytes are an expiry in cachelib's files. Where it keeps its own in the same folder, it takes ours for
# files of the far future.
_MAGIC = b"\xff\xff\xff\xffAFS\x01"
_HEAD = struct.Struct(">8sI")  # magic, checksum of the rest
_REST = struct.Struct(">dI")  # end of the lifetime, length of the key; key and value follow


class _Record(NamedTuple):
    key: str
    value: bytes
    end: float  # of its lifetime, in seconds since the epoch


_DAMAGED = _Record("", b"", float("-inf"))


class FileStore(BaseStore):
    """Keeps each record in a file of *folder*, which is made for its owner only where it is not there.

    A call has *timeout*, of which it waits at most half for others that change a record. *clock* returns the time in
    seconds since the epoch. One store may serve several event loops and threads.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        timeout: timedelta = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = Path(folder).absolute()
        self._patience = timeout.total_seconds() / 2
        self._clock = clock
        self._unavailable = Unavailable("the file store")
        self._threads = Threads(_THREADS, "FileStore")

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:
        """Return a store for ``file:///var/lib/app/sessions``, or ``file:sessions`` in the working directory."""
        rest = url.removeprefix("file:")
        path = rest.removeprefix("//") if rest.startswith("///") else rest
        if path.startswith("//") or not path.strip("/") or "?" in path or "#" in path:
            raise SettingsError(
                "a URL of files is the path of a folder on this machine, and nothing else: write"
                " 'file:///var/lib/app/sessions', or 'file:sessions' for one in the working directory"
            )
        if os.name == "nt" and re.match(r"/[A-Za-z]:", path):
            path = path[1:]
        return cls(unquote(path), timeout=timeout)

    async def get(self, key: str) -> bytes | None:
        return await self._run(self._get, key, self._clock())

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        now = self._clock()
        new = _Record(key, value, now + ttl)
        return await self._run(self._put, key, now, lambda found: new if found is None else None)

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        now = self._clock()
        new = _Record(key, value, now + ttl)
        return await self._run(self._put, key, now, lambda found: new if found and found.value == expected else None)

    async def touch(self, key: str, ttl: int) -> bool:
        now = self._clock()
        return await self._run(self._put, key, now, lambda found: found and found._replace(end=now + ttl))

    async def delete(self, key: str) -> None:
        await self._run(self._delete, key)

    async def aclose(self) -> None:
        """End the threads. A later call starts new ones."""
        self._threads.close()

    async def ping(self) -> None:
        """Take a lock in the folder, which is made if need be; raises StoreUnavailable."""
        await self._run(self._lock_and_leave)

    async def prune(self) -> int:
        """Delete what is past its lifetime, and return how many records that were.

        Damaged files, and what a process left behind that was killed while it wrote, go uncounted.
        """
        now = self._clock()
        return sum([await self._run(self._prune, names, now) for names in await self._run(self._names)])

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        now = self._clock()
        for names in await self._run(self._names):
            for record in await self._run(self._read_all, names):
                if record.end > now:
                    yield record.key, record.value

    async def _run(self, act: Callable[..., T], *args: Any) -> T:
        """Have a thread call *act*, with the time up to which it may wait for a lock; raises StoreUnavailable."""
        with self._unavailable:
            try:
                return await self._threads.run(act, monotonic() + self._patience, *args)
            except OSError as error:
                code = errorcode.get(error.errno or 0)
                raise StoreUnavailable(
                    f"the file store failed: {type(error).__name__}{f' ({code})' if code else ''}"
                ) from error

    # In a thread

    def _get(self, until: float, key: str, now: float) -> bytes | None:
        record = self._read(_name(key), until)
        if record is None or record is _DAMAGED:
            return None if record is None else b""
        return record.value if record.end > now else None

    def _put(self, until: float, key: str, now: float, new: Callable[[_Record | None], _Record | None]) -> bool:
        """Write what *new* returns for the record that lives now; None for either is no record."""
        name = _name(key)
        with self._locked(name, until):
            found = _content(self._path(name))
            record = new(found if found is not None and found.end > now else None)
            if record is not None:
                self._write(name, record)
            return record is not None

    def _delete(self, until: float, key: str) -> None:
        name = _name(key)
        with self._locked(name, until):
            self._path(name).unlink(missing_ok=True)

    def _lock_and_leave(self, until: float) -> None:
        with self._locked(_name(""), until):
            pass

    def _names(self, until: float) -> list[list[str]]:  # noqa: ARG002  # it waits for nobody
        """Return the names of our files in batches, each once, whether it is a record or was to be one."""
        try:
            found = {match[1] for path in self._folder.iterdir() if (match := _OURS.fullmatch(path.name))}
        except FileNotFoundError:
            return []
        names = sorted(found)
        return [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]

    def _read_all(self, until: float, names: list[str]) -> list[_Record]:
        return [record for name in names if (record := self._read(name, until)) is not None]

    def _prune(self, until: float, names: list[str], now: float) -> int:
        pruned = 0
        for name in names:
            new = self._path(name, _NEW)
            record = self._read(name, until)
            if (record is None or record.end > now) and not new.exists():
                continue
            with self._locked(name, until):
                new.unlink(missing_ok=True)  # under the lock nobody writes: it was left behind
                record = _content(self._path(name))
                if record is not None and record.end <= now:
                    self._path(name).unlink()
                    pruned += record is not _DAMAGED
        return pruned

    def _read(self, name: str, until: float) -> _Record | None:
        """Return the record that has a name, ``_DAMAGED``, or None if there is none."""
        with self._locked(name, until) if _READERS_LOCK else nullcontext():
            return _content(self._path(name))

    # Under a lock

    def _write(self, name: str, record: _Record) -> None:
        new = self._path(name, _NEW)
        try:
            with os.fdopen(os.open(new, _TO_WRITE, 0o600), "wb") as file:
                file.write(_spelt(record))
            new.replace(self._path(name))
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise

    def _path(self, name: str, suffix: str = _RECORD) -> Path:
        return self._folder / (name + suffix)

    @contextmanager
    def _locked(self, name: str, until: float) -> Iterator[None]:
        """Be the only one that changes the records whose names begin alike."""
        path = self._folder / f"lock-{name[0]}"
        while True:
            descriptor = self._open_lock(path)
            try:
                _wait_for_lock(descriptor, until)
                try:
                    if os.fstat(descriptor).st_nlink:  # a lock file that was deleted meanwhile keeps nobody out
                        yield
                        return
                finally:
                    _unlock(descriptor)
            finally:
                os.close(descriptor)

    def _open_lock(self, path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _name(key: str) -> str:
    return sha256(key.encode("utf-8")).hexdigest()


def _content(path: Path) -> _Record | None:
    """Return the record in a file, ``_DAMAGED``, or None if there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    rest = content[_HEAD.size :]
    if len(rest) < _REST.size or _HEAD.unpack_from(content) != (_MAGIC, crc32(rest)):
        return _DAMAGED
    end, length = _REST.unpack_from(rest)
    key, value = rest[_REST.size : _REST.size + length], rest[_REST.size + length :]
    return _Record(key.decode("utf-8"), value, end)


def _spelt(record: _Record) -> bytes:
    key = record.key.encode("utf-8")
    rest = _REST.pack(record.end, len(key)) + key + record.value
    return _HEAD.pack(_MAGIC, crc32(rest)) + rest


def _wait_for_lock(descriptor: int, until: float) -> None:
    pause = 0.0005
    while not _try_lock(descriptor):
        if monotonic() > until:
            raise StoreUnavailable("the file store failed: a record was locked for too long")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
