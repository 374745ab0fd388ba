"""Sessions in an SQLite file, by what Python brings along: for one machine, and without a server.

The table is the one that Flask-Session makes with SQLAlchemy, so that a Flask app on the same file shares the sessions.

Each store has one thread, which does one statement after the other, and each of them whole: a call that is cancelled
has been done or never will be.
"""

import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote
from weakref import ref

from anyio import Event
from anyio.lowlevel import current_token

from ..errors import SettingsError, StoreUnavailable
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable

T = TypeVar("T")

_MEMORY = ":memory:"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BATCH = 500  # rows between which other calls have their turn

# As SQLAlchemy spells it.
_TABLE = """CREATE TABLE IF NOT EXISTS "{}" (
\tid INTEGER NOT NULL,
\tsession_id VARCHAR(255),
\tdata BLOB,
\texpiry DATETIME,
\tPRIMARY KEY (id),
\tUNIQUE (session_id)
)"""

# A time is text that sorts as it runs, with the separator of others made one; a row without a time is over, as it is
# for Flask-Session.
_LIVES = "replace(expiry, 'T', ' ') > ?"
_IS_OVER = f"({_LIVES}) IS NOT TRUE"
# Nobody's row raises: NULL is no bytes, and text is the bytes that spell it.
_DATA = "CAST(ifnull(data, '') AS BLOB)"

_Calls: TypeAlias = SimpleQueue[Callable[[], object] | None]


class SQLiteStore(BaseStore):
    """Keeps records in the table *table* of the file at *path*, or in memory where that is ":memory:".

    A file that is not there is made for its owner only; one that is there is switched to a write-ahead log. A call
    has *timeout*, of which it waits at most half for other processes. *clock* returns the time in seconds since the
    epoch. One store may serve several event loops and threads.
    """

    _calls: _Calls | None = None  # what leads to the thread, if there is one
    _connection: sqlite3.Connection | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        table: str = "sessions",
        timeout: timedelta = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not _NAME.fullmatch(table):
            raise SettingsError(f"table is {table!r}: write letters, digits and underscores, such as 'sessions'")
        self._path = _MEMORY if path == _MEMORY else str(Path(path).absolute())
        self._patience = timeout.total_seconds() / 2  # seconds: to begin with a call, and for locks of others
        self._clock = clock
        self._unavailable = Unavailable("SQLite")
        self._entry = Lock()  # to the calls
        self._in_use = Lock()  # the connection
        self._make = _TABLE.format(table)
        # S608: the table's name was looked at
        self._get = f'SELECT {_DATA} FROM "{table}" WHERE session_id = ? AND {_LIVES}'  # noqa: S608
        self._create = (
            f'INSERT INTO "{table}" (session_id, data, expiry) VALUES (?, ?, ?) ON CONFLICT (session_id)'  # noqa: S608
            f" DO UPDATE SET data = excluded.data, expiry = excluded.expiry WHERE {_IS_OVER}"
        )
        self._replace = f'UPDATE "{table}" SET data = ?, expiry = ? WHERE session_id = ? AND {_DATA} = ? AND {_LIVES}'  # noqa: S608
        self._touch = f'UPDATE "{table}" SET expiry = ? WHERE session_id = ? AND {_LIVES}'  # noqa: S608
        self._delete = f'DELETE FROM "{table}" WHERE session_id = ?'  # noqa: S608
        self._look = f'SELECT id, {_IS_OVER} FROM "{table}" WHERE id > ? ORDER BY id LIMIT {_BATCH}'  # noqa: S608
        self._prune = f'DELETE FROM "{table}" WHERE id > ? AND id <= ? AND {_IS_OVER}'  # noqa: S608
        self._list = (
            f'SELECT id, CAST(session_id AS BLOB), {_DATA}, {_LIVES} FROM "{table}"'  # noqa: S608
            f" WHERE id > ? AND session_id IS NOT NULL ORDER BY id LIMIT {_BATCH}"
        )
        _guard_forks(self)

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:
        """Return a store for a URL as SQLAlchemy reads it, which opens its file when it is first used.

        ``sqlite:///sessions.db`` is relative to the working directory, ``sqlite:////var/lib/app/sessions.db`` is
        absolute, and ``sqlite://`` is in memory. The query may name the table: ``?table=web_sessions``.
        """
        place, _, query = url.removeprefix("sqlite:").partition("?")
        host, _, path = place.removeprefix("//").partition("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        table = options.pop("table", "sessions")
        if url != _MEMORY and (options or host or not place.startswith("//")):
            raise SettingsError(
                "a URL of SQLite is a path behind three slashes: write 'sqlite:///sessions.db',"
                " 'sqlite:////var/lib/app/sessions.db' for an absolute one, or 'sqlite://' for memory; only ?table="
                " may follow"
            )
        return cls(unquote(path) or _MEMORY, table=table, timeout=timeout)

    async def get(self, key: str) -> bytes | None:
        rows = await self._do(_rows, self._get, (key, self._time()))
        return rows[0][0] if rows else None

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        return await self._do(_count, self._create, (key, value, self._time(ttl), self._time())) > 0

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        return await self._do(_count, self._replace, (value, self._time(ttl), key, expected, self._time())) > 0

    async def touch(self, key: str, ttl: int) -> bool:
        return await self._do(_count, self._touch, (self._time(ttl), key, self._time())) > 0

    async def delete(self, key: str) -> None:
        await self._do(_count, self._delete, (key,))

    async def aclose(self) -> None:
        """Close the file and end the thread. A later call opens it anew; what was in memory is gone."""
        with self._entry:
            if self._calls is None:
                return
            calls, self._calls = self._calls, None
            calls.put(self._close)
            done = _Call(_nothing)
            calls.put(done)
            calls.put(None)
        await done.answer()

    async def ping(self) -> None:
        """Look for a record; raises StoreUnavailable."""
        await self.get("")

    async def prune(self) -> int:
        """Delete what is past its lifetime, and return how many records that were."""
        now, pruned, last = self._time(), 0, 0
        while True:
            rows = await self._do(_rows, self._look, (now, last))
            if any(is_over for _, is_over in rows):
                pruned += await self._do(_count, self._prune, (last, rows[-1][0], now))
            if len(rows) < _BATCH:
                return pruned
            last = rows[-1][0]

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        now, last = self._time(), 0
        while True:
            rows = await self._do(_rows, self._list, (now, last))
            for _, key, value, lives in rows:
                if lives:
                    yield key.decode("utf-8", "replace"), value
            if len(rows) < _BATCH:
                return
            last = rows[-1][0]

    def _time(self, later: int = 0) -> str:
        """Spell the time, now or *later* seconds from now, as Flask-Session's table has it."""
        moment = datetime.fromtimestamp(self._clock() + later, UTC).replace(tzinfo=None)
        return moment.isoformat(" ", "microseconds")

    async def _do(self, act: Callable[..., T], *args: Any) -> T:
        """Have the thread call *act* with the connection; raises StoreUnavailable."""
        with self._unavailable:
            call = _Call(self._act, monotonic(), act, args)
            with self._entry:
                if self._calls is None:
                    self._calls = _started()
                self._calls.put(call)
            answer: T = await call.answer()
            return answer

    # In the thread

    def _act(self, asked: float, act: Callable[..., T], args: Sequence[Any]) -> T:
        with self._in_use:
            if monotonic() - asked > self._patience:
                raise StoreUnavailable("SQLite failed: earlier calls took all the time that this one had")
            try:
                return act(self._connection or self._open(), *args)
            except sqlite3.Error as error:
                if self._path != _MEMORY:
                    self._disconnect()  # whatever it was, the next call shall begin as the first one did
                kind = getattr(error, "sqlite_errorname", None)
                raise StoreUnavailable(
                    f"SQLite failed: {type(error).__name__}{f' ({kind})' if kind else ''}"
                ) from error

    def _open(self) -> sqlite3.Connection:
        if self._path != _MEMORY:
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            if _switch_to_wal(connection, monotonic() + self._patience):
                connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(self._make)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _close(self) -> None:
        with self._in_use:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    def __del__(self) -> None:
        if self._calls is not None:
            if self._connection is not None:
                self._calls.put(partial(_close, self._connection))
            self._calls.put(None)


def _guard_forks(store: SQLiteStore) -> None:
    """Have no file open when the process is forked.

    What SQLite knows of the locks of a process is wrong in its child: a connection of the child's own takes none where
    the parent had the file open, and loses what it writes (sqlite.org/howtocorrupt.html, 2.6).
    """
    kept = ref(store)
    held: list[SQLiteStore] = []

    def before() -> None:
        if (found := kept()) is not None:
            found._in_use.acquire()
            held.append(found)
            if found._path != _MEMORY:
                found._disconnect()

    def in_parent() -> None:
        if held:
            held.pop()._in_use.release()

    def in_child() -> None:
        if held:
            found = held.pop()
            found._disconnect()
            found._calls = None  # the thread stayed with the parent
            found._entry, found._in_use = Lock(), Lock()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


# With the connection


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.close()


def _rows(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    return connection.execute(sql, values).fetchall()


def _count(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> int:
    return connection.execute(sql, values).rowcount


def _switch_to_wal(connection: sqlite3.Connection, deadline: float) -> bool:
    """Say whether the file has a write-ahead log now; raises sqlite3.Error where others are in the way for too long.

    SQLite itself does not wait for a lock everywhere on the way.
    """
    while True:
        try:
            return bool(connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
        time.sleep(0.01)


# The thread


def _started() -> _Calls:
    calls: _Calls = SimpleQueue()
    Thread(target=_work, args=(calls,), name="SQLiteStore", daemon=True).start()
    return calls


def _work(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # it holds the store, which may be nobody else's by now


class _Call:
    """What the thread is to do, and the task that waits for it, on whichever event loop that is."""

    __slots__ = ("_args", "_dropped", "_error", "_function", "_result", "_tell", "_wait")

    _wait: Callable[[], Awaitable[object]]

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function = function
        self._args = args
        self._dropped = False
        self._error: BaseException | None = None
        loop: Any = current_token().native_token
        if hasattr(loop, "run_sync_soon"):  # trio
            event = Event()
            self._wait = event.wait
            self._tell = partial(loop.run_sync_soon, event.set)
        else:
            future = loop.create_future()
            self._wait = lambda: future
            self._tell = partial(loop.call_soon_threadsafe, _settle, future)

    def __call__(self) -> None:
        if self._dropped:
            return
        try:
            self._result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            self._error = error
        with suppress(RuntimeError):  # that event loop has ended
            self._tell()

    async def answer(self) -> Any:
        """Return or raise what the function did. One that has not begun when the wait is cancelled is not called."""
        try:
            await self._wait()
        except BaseException:
            self._dropped = True
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # which refers to this frame
        return self._result


def _settle(future: Any) -> None:
    if not future.done():
        future.set_result(None)


def _nothing() -> None:
    """Say that all calls before this one are done."""
