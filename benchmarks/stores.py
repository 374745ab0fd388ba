"""What does a session in a store add to what the store's own client needs, and beside other libraries on Redis?

Servers are started for the run and ended with it: redis-server, memcached and PostgreSQL, where they are installed.
All share one processor, where there is a choice: how far a thread or a server is from who waits for it would otherwise
decide, from one run to the next, what a step costs.
"""

import argparse
import asyncio
import json
import platform
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import _pytest.outcomes
from _requests import ask, compared, keep_to_one_processor
from _sessions import LOGIN, OTHER_TOKEN, SECRET
from _timing import print_table

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.stores.base import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

TTL = 31 * 24 * 60 * 60  # seconds
KEY = "session:raw"

Step = Callable[[], Awaitable[object]]


@dataclass
class Subject:
    """One store, and its client doing the same by itself: ``get`` reads a record, ``put`` writes another value."""

    name: str
    store: Any
    get: Step | None = None
    put: Step | None = None
    read_target: float | None = None
    write_target: float | None = None
    shown: dict[str, float] = field(default_factory=dict)


def values() -> Callable[[], bytes]:
    """Return a function whose every call gives another record of one size: some stores write nothing for the same."""
    numbers = count()
    record = json.dumps({**LOGIN, "n": 10_000_000}, separators=(",", ":")).encode()
    return lambda: record.replace(b"10000000", b"%08d" % next(numbers))


value = values()


# The stores


@asynccontextmanager
async def memory() -> AsyncIterator[Subject]:
    yield Subject("memory", open_store("memory:"))


@asynccontextmanager
async def file() -> AsyncIterator[Subject]:
    with tempfile.TemporaryDirectory() as folder:
        yield Subject("file", open_store(f"file://{folder}"))


@asynccontextmanager
async def sqlite() -> AsyncIterator[Subject]:
    import sqlite3
    from concurrent.futures import ThreadPoolExecutor
    from datetime import UTC, datetime, timedelta

    def expiry(seconds: int) -> str:
        return str((datetime.now(UTC) + timedelta(seconds=seconds)).replace(tzinfo=None))

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        store = open_store(f"sqlite:///{folder}/sessions.db")
        await store.create(KEY, value(), TTL)
        loop = asyncio.get_running_loop()

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(f"{folder}/sessions.db", isolation_level=None)
            connection.execute("PRAGMA synchronous=NORMAL")
            return connection

        connection = await loop.run_in_executor(thread, connect)

        def select() -> object:
            query = "SELECT data FROM sessions WHERE session_id = ? AND expiry > ?"
            return connection.execute(query, (KEY, expiry(0))).fetchone()

        def update() -> object:
            change = "UPDATE sessions SET data = ?, expiry = ? WHERE session_id = ?"
            return connection.execute(change, (value(), expiry(TTL), KEY)).rowcount

        yield Subject(
            "sqlite",
            store,
            partial(loop.run_in_executor, thread, select),
            partial(loop.run_in_executor, thread, update),
            read_target=1.3,
            write_target=1.5,
        )
        await loop.run_in_executor(thread, connection.close)
        await store.aclose()


@asynccontextmanager
async def redis() -> AsyncIterator[Subject]:
    from redis import asyncio as redis_py
    from services import redis as servers

    with servers.running() as server:
        store = open_store(server.url)
        pool = redis_py.BlockingConnectionPool.from_url(
            server.url, max_connections=50, socket_timeout=2, socket_connect_timeout=1
        )
        client = redis_py.Redis(connection_pool=pool)
        yield Subject(
            "redis",
            store,
            partial(client.get, KEY),
            lambda: client.set(KEY, value(), ex=TTL),
            read_target=1.3,
            write_target=1.5,
        )
        await client.aclose()
        await store.aclose()


@asynccontextmanager
async def memcached() -> AsyncIterator[Subject]:
    from anyio import to_thread
    from pymemcache import PooledClient
    from services import memcached as servers

    with servers.running() as server:
        store = open_store(server.url)
        client = PooledClient(("127.0.0.1", server.port), timeout=2, connect_timeout=1, default_noreply=False)
        yield Subject(
            "memcached",
            store,
            partial(to_thread.run_sync, client.get, KEY),
            lambda: to_thread.run_sync(client.set, KEY, value(), 60),
            read_target=1.3,
            write_target=2.3,
        )
        client.close()
        await store.aclose()


@asynccontextmanager
async def postgresql() -> AsyncIterator[Subject]:
    from datetime import UTC, datetime, timedelta

    from services import postgresql as servers
    from sqlalchemy import MetaData, Table, bindparam, select, update
    from sqlalchemy.ext.asyncio import create_async_engine

    def now() -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    with servers.running() as server:
        store = open_store(f"postgresql+asyncpg://{server.url}")
        await store.create(KEY, value(), TTL)
        engine = create_async_engine(f"postgresql+asyncpg://{server.url}", isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            table = await connection.run_sync(lambda sync: Table("sessions", MetaData(), autoload_with=sync))
        mine = table.c.session_id == KEY
        query = select(table.c.data).where(mine, table.c.expiry > bindparam("now"))
        change = update(table).where(mine).values(data=bindparam("new"), expiry=bindparam("end"))

        async def get() -> object:
            async with engine.connect() as connection:
                return (await connection.execute(query, {"now": now()})).scalar()

        async def put() -> object:
            parameters = {"new": value(), "end": now() + timedelta(seconds=TTL)}
            async with engine.connect() as connection:
                return (await connection.execute(change, parameters)).rowcount

        yield Subject("postgresql", store, get, put, read_target=1.3, write_target=1.5)
        await engine.dispose()
        await store.aclose()


STORES = {maker.__name__: maker for maker in (redis, sqlite, postgresql, memcached, memory, file)}


# The requests


def ours(handle: Callable[[Any], None], store: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        handle(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return FlaskSessionASGI(app, SECRET, store=store)


def begin(session: Any) -> None:
    session.update(LOGIN)


def read(session: Any) -> None:
    session.get("_user_id")


def write(session: Any) -> None:
    session["csrf_token"] = OTHER_TOKEN + secrets.token_hex(4)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def bare_with(step: Step) -> Any:
    """Return an app without a session that asks the store's client itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await step()
        await bare(scope, receive, send)

    return app


# What is measured


async def measure_store(subject: Subject, rounds: int, calls: int) -> None:
    store = subject.store
    await store.delete(KEY)
    await store.create(KEY, value(), TTL)
    cookie = await ask(ours(begin, store))
    kept = [b""]
    kept[0] = value()
    await store.create("session:replaced", kept[0], TTL)

    async def replace() -> None:
        new = value()
        if not await store.replace("session:replaced", new, TTL, kept[0]):
            raise RuntimeError("the record is not what was put there")
        kept[0] = new

    reader, writer = ours(read, store), ours(write, store)
    steps: dict[str, Step] = {
        "bare": partial(ask, bare, cookie),
        "store get": partial(store.get, KEY),
        "store replace": replace,
        "read": partial(ask, reader, cookie),
        "write": partial(ask, writer, cookie),
    }
    if subject.get is not None and subject.put is not None:
        # In a request as well: after a wait the processor has forgotten much, for whoever comes next.
        steps |= {"raw get": partial(ask, bare_with(subject.get), cookie), "raw set": subject.put}
    subject.shown = await compared(steps, rounds, calls)
    for request in {"read", "write", "raw get"} & subject.shown.keys():
        subject.shown[request] -= subject.shown["bare"]


def store_rows(subjects: list[Subject]) -> list[list[str]]:
    rows = []
    for subject in subjects:
        shown = subject.shown
        read_share = shown["read"] / shown["raw get"] if "raw get" in shown else None
        write_share = shown["store replace"] / shown["raw set"] if "raw set" in shown else None
        rows.append([
            subject.name,
            *(f"{shown[name]:.0f}" if name in shown else "-" for name in ("raw get", "store get", "read")),
            _share(read_share, subject.read_target),
            *(f"{shown[name]:.0f}" if name in shown else "-" for name in ("raw set", "store replace", "write")),
            _share(write_share, subject.write_target),
        ])  # fmt: skip
    return rows


def _share(share: float | None, target: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.2f} ({'met' if target is None or share <= target else 'NOT MET'}: {target})"


async def measure_others(rounds: int, calls: int) -> list[list[str]]:
    """Compare whole requests with what others keep in Redis; each less the same request without a session."""
    from services import redis as servers

    with servers.running() as server:
        store = open_store(server.url)
        cases: dict[str, tuple[Any, Any, Any]] = {
            "asgi_flask_session": tuple(ours(handle, store) for handle in (begin, read, write)),  # type: ignore[dict-item]
        }
        subjects: dict[str, tuple[Any, Any, Any, Any]] = {name: (bare, *apps) for name, apps in cases.items()}
        closing = AsyncExitStack()
        for make in (starsessions_apps, quart_apps):
            with suppress(ImportError):
                subjects |= await closing.enter_async_context(make(server.url))
        steps: dict[str, Step] = {}
        for name, (without, begins, reads, writes) in subjects.items():
            cookie = await ask(begins)
            for case, app in (("without", without), ("read", reads), ("write", writes)):
                steps[f"{name} {case}"] = partial(ask, app, cookie)
        shown = await compared(steps, rounds, calls)
        await closing.aclose()
        await store.aclose()
    return [
        [name, *(f"{shown[f'{name} {case}'] - shown[f'{name} without']:.0f}" for case in ("read", "write"))]
        for name in subjects
    ]


@asynccontextmanager
async def starsessions_apps(url: str) -> AsyncIterator[dict[str, Any]]:
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware
    from starsessions.stores.redis import RedisStore

    store = RedisStore(url)

    def app(handle: Callable[[Any], None]) -> Any:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            handle(scope["session"])
            await bare(scope, receive, send)

        return SessionMiddleware(SessionAutoloadMiddleware(inner), store, lifetime=TTL, cookie_https_only=False)

    yield {"starsessions": (bare, app(begin), app(read), app(write))}


@asynccontextmanager
async def quart_apps(url: str) -> AsyncIterator[dict[str, Any]]:
    from quart import Quart, session
    from redis import asyncio as redis_py

    from quart_plugin import FlaskSessionInterface

    def app(handle: Callable[[Any], None] | None, prepare: Callable[[Any], None]) -> Any:
        made = Quart("app")
        made.secret_key = SECRET
        prepare(made)

        @made.get("/")
        async def view() -> str:
            if handle is not None:
                handle(session)
            return ""

        return made

    class NoSession(FlaskSessionInterface):
        async def open_session(self, app: Any, request: Any) -> Any:
            return None

    def without(app: Any) -> None:
        app.session_interface = NoSession()

    store = open_store(url)

    def with_ours(app: Any) -> None:
        app.session_interface = FlaskSessionInterface(store=store)

    client = redis_py.from_url(url, decode_responses=True)
    apps: dict[str, Any] = {
        "quart_plugin, in Quart": (app(None, without), *(app(handle, with_ours) for handle in (begin, read, write)))
    }
    if find_spec("quart_session") is not None:
        from quart_session import Session

        def with_quart_session(app: Any) -> None:
            app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
            Session(app)

        apps["Quart-Session, in Quart"] = (
            app(None, without),
            *(app(handle, with_quart_session) for handle in (begin, read, write)),
        )
    yield apps
    await client.aclose()
    await store.aclose()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", choices=[[], *STORES], help="which stores; all of them if none is named")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=20, help="of each step in a round")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_to_one_processor()
    subjects = []
    for name in arguments.stores or STORES:
        try:
            async with STORES[name]() as subject:
                await measure_store(subject, arguments.rounds, arguments.calls)
                subjects.append(subject)
        except (ImportError, _pytest.outcomes.Skipped) as missing:
            print(f"{name}: left out: {missing}", file=sys.stderr)
    others = [] if arguments.stores else await measure_others(arguments.rounds, arguments.calls)
    if arguments.json:
        print(json.dumps({"stores": {s.name: s.shown for s in subjects}, "others": others}, indent=2))
        return
    print(f"Python {platform.python_version()}. Microseconds; a request's are less those of one without a session.\n")
    head = ["store", "raw get", "store get", "request: read", "read / raw get", "raw set", "store replace"]
    print_table([*head, "request: write", "replace / raw set"], store_rows(subjects))
    if others:
        print("Whole requests on one Redis, without the refresh of a session that is not due\n")
        print_table(["", "read", "write"], others)


if __name__ == "__main__":
    asyncio.run(main())
