"""Sessions in PostgreSQL, MySQL, MariaDB or SQLite, by SQLAlchemy: in Flask-Session's table, on asyncio.

Each operation is one statement, which commits itself. It runs in a task of its own: whoever gives up waiting goes at
once, while the task reads the reply, or closes the connection if none comes in time. So no reply is left on a
connection for another call.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from importlib import import_module
from math import ceil
from sys import maxsize
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio import fail_after, move_on_after, to_thread
from sqlalchemy import (
    BINARY,
    URL,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    String,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    event,
    func,
    insert,
    make_url,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, InvalidatePoolError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlalchemy.util import greenlet_spawn

from ..errors import SettingsError, StoreUnavailable
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable

import_module("greenlet")  # which SQLAlchemy itself would miss at the first use only

T = TypeVar("T")

_DRIVERS = {"postgresql": "asyncpg", "mysql": "aiomysql", "mariadb": "aiomysql", "sqlite": "aiosqlite"}
_EXTRAS = {"asyncpg": "postgresql", "aiomysql": "mysql", "aiosqlite": "sqlalchemy"}
_ALSO_ASYNC = {"psycopg", "oracledb"}  # drivers that are synchronous and asynchronous under one name
_DROP = {"asyncpg": "terminate", "aiomysql": "close", "asyncmy": "close"}  # methods that need no await
_OURS = ("table", "schema", "sequence")  # what in a URL's query is not for the driver

_CONNECTIONS = 10  # of one store on one event loop
_TRUSTED = 0.1  # seconds after its last use in which a connection is not tried out first: no restart is faster
_OF_MYSQL = (  # an error for what would be cut off, and for a lock that is not to be had in time
    "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'), lock_wait_timeout = {0},"
    " innodb_lock_wait_timeout = {0}"
)
_QUOTING = ("22", "23")  # how the SQLSTATE of an error about data begins, which may quote them

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # the table holds UTC without saying so
_LARGEST = 2**24 - 1  # bytes: a MEDIUMBLOB in MySQL, whose BLOB ends at 64 KiB
_PAGE = 200  # records found by one statement
_TRIES = 4  # to find or make the table


class SQLAlchemyStore(BaseStore):
    """Keeps records in a table, which is made at the first use if there is none.

    *engine* belongs to one event loop, and is left open. Make it with ``isolation_level="AUTOCOMMIT"``, or each call
    may need two more round trips, and with ``pool_pre_ping=True``, or calls fail after a restart of the server.
    *table*, *schema* and *sequence* are Flask-Session's SESSION_SQLALCHEMY_TABLE, _SCHEMA and _SEQUENCE. *clock*
    returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        table: str = "sessions",
        schema: str | None = None,
        sequence: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(engine, AsyncEngine):
            raise SettingsError("the engine is no AsyncEngine: write sqlalchemy.ext.asyncio.create_async_engine(...)")
        self._sql = _Statements(_table(table, schema, sequence), engine.dialect.name)
        self._clock = clock
        self._owns_engine = False
        given = _Database(engine.execution_options(isolation_level="AUTOCOMMIT"), DEFAULT_TIMEOUT.total_seconds())
        self._limit: float | None = None
        self._open: Callable[[], _Database] = lambda: given
        self._opened: dict[asyncio.AbstractEventLoop, _Database] = {}
        self._unavailable = _Unavailable("the database")

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:
        """Return a store for a URL of SQLAlchemy, such as ``postgresql+asyncpg://user@host/database``.

        It has up to ten connections on each event loop where it is used. ``?table=``, ``?schema=`` and ``?sequence=``
        in the URL are the constructor's arguments of these names.
        """
        parsed = _checked(url)
        options: dict[str, Any] = {name: parsed.query[name] for name in _OURS if name in parsed.query}
        parsed = parsed.difference_update_query(_OURS)
        limit = timeout.total_seconds()
        store = cls(_engine(parsed, limit), **options)
        store._owns_engine, store._limit = True, limit
        store._open = lambda: _Database(_engine(parsed, limit), limit, _CONNECTIONS)
        return store

    async def get(self, key: str) -> bytes | None:
        row = await self._call(_first, self._sql.get, key=key, now=self._now())
        return None if row is None else _data(row[0])

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        return await self._call(_create, self._sql, key=key, value=value, end=self._end(ttl), now=self._now())

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        values = {"key": key, "value": value, "end": self._end(ttl), "expected": expected, "now": self._now()}
        return await self._call(_count, self._sql.replace, **values) > 0

    async def touch(self, key: str, ttl: int) -> bool:
        return await self._call(_count, self._sql.touch, key=key, end=self._end(ttl), now=self._now()) > 0

    async def delete(self, key: str) -> None:
        await self._call(_count, self._sql.delete, key=key)

    async def aclose(self) -> None:
        """Close the connections of a store made from a URL, on all event loops. A later call opens them anew."""
        for loop, database in list(self._opened.items()):
            if not self._owns_engine or database.process != os.getpid():
                continue  # not ours to close: a parent process goes on using its own
            self._opened.pop(loop, None)
            if loop is _running_loop():
                await database.close()
            elif loop.is_running():
                closed = asyncio.run_coroutine_threadsafe(database.close(), loop)
                with move_on_after(self._limit, shield=True):
                    await to_thread.run_sync(closed.result, abandon_on_cancel=True)
            else:
                database.drop()

    async def ping(self) -> None:
        """Look something up in the table; raises StoreUnavailable."""
        await self.get("")

    async def prune(self) -> int:
        """Delete the records that are past their lifetime, and return how many that were."""
        count, last, now = 0, 0, self._now()
        while ids := await self._call(_all, self._sql.dead, last=last, now=now):
            last = ids[-1][0]
            count += await self._call(_count, self._sql.prune, ids=[row[0] for row in ids], now=now)
        return count

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        last, now = 0, self._now()
        while rows := await self._call(_all, self._sql.page, last=last, now=now):
            last = rows[-1][0]
            for _, key, value in rows:
                yield key, _data(value)

    def _now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self._clock())

    def _end(self, ttl: int) -> datetime:
        # MySQL's DATETIME has whole seconds, and a record never ends early.
        return _EPOCH + timedelta(seconds=ceil(self._clock() + ttl))

    async def _call(self, how: Callable[..., T], what: Any, **values: Any) -> T:
        with self._unavailable, fail_after(self._limit):
            return await self._database().run(self._sql.table, how, what, values)

    def _database(self) -> "_Database":
        """Return what this store has on the running loop."""
        loop = _running_loop()
        if loop is None:
            raise StoreUnavailable(
                "SQLAlchemy runs on asyncio only: on trio use another store, such as 'sqlite:///sessions.db'"
            )
        found = self._opened.get(loop)
        if found is None:
            for old in list(self._opened):
                if old.is_closed():
                    self._opened.pop(old, None)
            found = self._opened[loop] = self._open()
        return found


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Database:
    """An engine, and what runs on it, on one event loop.

    *limit* is how many seconds a statement may take when nobody waits for it any more. Without a number of
    *connections* the engine is somebody else's.
    """

    def __init__(self, engine: AsyncEngine, limit: float, connections: int = maxsize) -> None:
        self.process = os.getpid()
        self._engine = engine
        self._limit = limit
        # SQLite works in a thread, which cannot be cancelled, and waits for a lock half the limit at most.
        self._can_cancel = engine.dialect.name != "sqlite"
        self._free = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._making = asyncio.Lock()
        self._has_table = False
        self._closed = False
        self._clients: set[Any] = set()  # the driver's connections, where they can be dropped
        self._drop = _DROP.get(engine.dialect.driver, "")
        if self._drop and connections != maxsize:
            event.listen(engine.sync_engine, "connect", lambda made, _: self._clients.add(made.driver_connection))
            event.listen(engine.sync_engine, "close", lambda made, _: self._clients.discard(made.driver_connection))

    async def run(self, table: Table, how: Callable[..., T], what: Any, values: dict[str, Any]) -> T:
        """Return what *how* does on a connection with the table."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = loop.create_task(self._work(table, how, what, values))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        try:
            await asyncio.wait((task,))  # which, unlike awaiting the task itself, does not cancel it
        except BaseException:
            if self._can_cancel:
                loop.call_at(began + self._limit, task.cancel)  # asks the server to end the statement
                loop.call_at(began + 2 * self._limit, task.cancel)  # and waits no longer for that
            raise
        if task.cancelled():
            raise ConnectionError("the store was closed")
        return task.result()

    async def close(self) -> None:
        """Close all connections, once what runs on them has ended, or by force if that takes too long."""
        self._closed = True
        with move_on_after(self._limit, shield=True):
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=self._limit / 2)
                if late and self._can_cancel:
                    for task in late:
                        task.cancel()
                    await asyncio.wait(late)
            await self._engine.dispose()
        self.drop()

    def drop(self) -> None:
        """Close the connections that are left without telling the server, which may not answer."""
        self._closed = True
        for client in self._clients:
            with suppress(RuntimeError):  # where its loop is closed, so is the connection
                getattr(client, self._drop)()
        self._clients.clear()

    async def _work(self, table: Table, how: Callable[..., T], what: Any, values: dict[str, Any]) -> T:
        if self._closed:
            raise ConnectionError("the store was closed")
        try:
            if not self._has_table:
                async with self._making:
                    if not self._has_table:
                        await self._find_or_make(table)
            return await greenlet_spawn(self._use, how, what, values)
        except Exception:
            self._has_table = False  # look again: another server may have taken its place
            raise

    async def _find_or_make(self, table: Table) -> None:
        tries = 0
        while not self._has_table:
            try:
                await greenlet_spawn(self._use, _make, table, {})
                self._has_table = True
            except DBAPIError:  # of workers that start at once each may look, find none, and make it
                tries += 1
                if tries == _TRIES:
                    raise

    def _use(self, how: Callable[..., T], what: Any, values: dict[str, Any]) -> T:
        with self._engine.sync_engine.connect() as connection:
            try:
                return how(connection, what, values)
            except BaseException:
                connection.invalidate()
                raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if not task.cancelled():
            task.exception()  # seen, though nobody may be waiting for it


# What is done on a connection


def _first(connection: Connection, statement: Executable, values: dict[str, Any]) -> Any:
    return connection.execute(statement, values).first()


def _all(connection: Connection, statement: Executable, values: dict[str, Any]) -> Any:
    return connection.execute(statement, values).all()


def _count(connection: Connection, statement: Executable, values: dict[str, Any]) -> int:
    return connection.execute(statement, values).rowcount


def _create(connection: Connection, sql: "_Statements", values: dict[str, Any]) -> bool:
    key, now = values["key"], values["now"]
    try:
        connection.execute(sql.insert, {name: values[name] for name in ("key", "value", "end")})
    except IntegrityError as error:
        refusal = type(_cause(error)).__name__
    else:
        return True
    if connection.execute(sql.revive, values).rowcount:
        return True
    if connection.execute(sql.get, {"key": key, "now": now}).first() is None:
        raise StoreUnavailable(f"the database refuses a new record: {refusal}")
    return False


def _make(connection: Connection, table: Table, _values: dict[str, Any]) -> None:
    table.create(connection, checkfirst=True)


class _Statements:
    """What is said to the database. Each is compiled once, and kept by SQLAlchemy."""

    def __init__(self, table: Table, dialect: str) -> None:
        self.table = table
        column = table.c
        key, now = bindparam("key", type_=String()), bindparam("now", type_=DateTime())
        its = column.session_id == key
        binary: TypeEngine[bytes] = LargeBinary()
        if dialect in ("mysql", "mariadb"):
            # There "A" equals "a" in text, and ids differ in that.
            its = and_(its, type_coerce(cast(column.session_id, BINARY), String) == key)
            binary = _Hex()
        live = column.expiry > now
        dead = or_(column.expiry <= now, column.expiry.is_(None))
        value: dict[str, Any] = {"data": bindparam("value", type_=binary), "expiry": bindparam("end")}
        following = column.id > bindparam("last", type_=BigInteger())

        self.get = select(column.data).where(its, live)
        self.insert = insert(table).values(session_id=key, **value).inline()
        self.revive = update(table).where(its, dead).values(value)
        self.replace = update(table).where(its, column.data == bindparam("expected", type_=binary), live).values(value)
        self.touch = update(table).where(its, live).values(expiry=value["expiry"])
        self.delete = delete(table).where(its)
        self.page = (
            select(column.id, column.session_id, column.data).where(following, live).order_by(column.id).limit(_PAGE)
        )
        # Found first and deleted by ids, since a DELETE may lock all records that it looks at.
        self.dead = select(column.id).where(following, dead).order_by(column.id).limit(_PAGE)
        self.prune = delete(table).where(column.id.in_(bindparam("ids", type_=BigInteger(), expanding=True)), dead)


class _Hex(TypeDecorator[bytes]):
    """Bytes sent as hexadecimal digits, since aiomysql cannot escape bytes with every PyMySQL."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str:  # noqa: ARG002
        return (value or b"").hex()

    def bind_expression(self, bindparam: BindParameter[bytes]) -> ColumnElement[bytes]:
        return func.unhex(bindparam)


def _table(name: str, schema: str | None, sequence: str | None) -> Table:
    """Return Flask-Session's table."""
    metadata = MetaData()
    number = [Sequence(sequence, schema=schema, metadata=metadata)] if sequence else []
    return Table(
        name,
        metadata,
        Column("id", Integer, *number, primary_key=True),
        Column("session_id", String(255), unique=True),
        Column("data", LargeBinary(_LARGEST)),
        Column("expiry", DateTime),
        schema=schema,
    )


def _data(value: object) -> bytes:
    # In SQLite any column may hold text, and in all of them none.
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


# Engines


def _checked(url: str) -> URL:
    """Return *url* as SQLAlchemy takes it apart; raises SettingsError if no asynchronous driver serves it."""
    scheme = url.partition(":")[0]  # all of it that may be shown
    try:
        parsed = make_url(url)
        dialect, driver = parsed.get_dialect(), parsed.get_driver_name()
    except (ArgumentError, ValueError) as error:
        raise SettingsError(f"store={scheme}: is no URL that SQLAlchemy knows: {type(error).__name__}") from None
    name = parsed.get_backend_name()
    if not dialect.is_async and driver not in _ALSO_ASYNC:
        proposed = f"{name}+{_DRIVERS[name]}" if name in _DRIVERS else "one with an asynchronous driver"
        raise SettingsError(f"store={scheme}: {driver} would stop the event loop: write {proposed}")
    if any(not isinstance(parsed.query.get(name, ""), str) for name in _OURS):
        raise SettingsError(f"store={scheme}: of {', '.join(_OURS)} each may be given once")
    in_memory = not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory"
    if name == "sqlite" and in_memory:
        raise SettingsError(f"store={scheme}: each connection would have records of its own: write store='memory:'")
    return parsed


def _engine(url: URL, limit: float) -> AsyncEngine:
    """Return an engine that has not connected yet."""
    driver = url.get_driver_name()
    of_mysql = {"connect_timeout": limit / 2, "init_command": _OF_MYSQL.format(max(1, ceil(limit)))}
    arguments: dict[str, dict[str, Any]] = {
        "asyncpg": {"timeout": limit / 2},
        "aiomysql": of_mysql,
        "asyncmy": of_mysql,
        "aiosqlite": {"timeout": limit / 2},  # how long it waits for a lock
    }
    try:
        engine = create_async_engine(
            url,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            hide_parameters=True,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_use_lifo=True,
            pool_reset_on_return=None,  # no statement leaves anything behind
            connect_args={name: value for name, value in arguments.get(driver, {}).items() if name not in url.query},
        )
    except ImportError as error:
        extra = f"asgi-flask-session[{_EXTRAS[driver]}]" if driver in _EXTRAS else error.name
        raise SettingsError(f"store={url.drivername}: needs {error.name}: pip install {extra}") from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        return engine
    dialect = engine.dialect

    def try_out(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("used", maxsize) > _TRUSTED:
            try:
                dialect.do_ping(connection)
            except Exception as error:
                raise InvalidatePoolError from error

    event.listen(engine.sync_engine, "checkout", try_out)
    event.listen(engine.sync_engine, "checkin", _was_used)
    return engine


def _was_used(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["used"] = time.monotonic()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # reading does not wait for writing
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


class _Unavailable(Unavailable):
    """Names the driver's error as the cause, not SQLAlchemy's, which may quote keys and values; nor one that does."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, StatementError):
            cause = _cause(error)
            state = str(getattr(cause, "sqlstate", ""))
            if isinstance(error, IntegrityError | DataError) or state.startswith(_QUOTING):
                raise StoreUnavailable(f"{self.name} failed: {type(cause).__name__}") from None
            error = cause
        super().__exit__(kind, error, traceback)


def _cause(error: StatementError) -> BaseException:
    """Return what the driver raised, which SQLAlchemy wraps once or twice."""
    return (error.orig and error.orig.__cause__) or error.orig or error
