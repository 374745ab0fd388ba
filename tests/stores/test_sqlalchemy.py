import asyncio
import gc
import os
import random
import re
import secrets
import signal
import sqlite3
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager, closing
from datetime import timedelta

import anyio
import flask
import pytest
from flask_session import Session as FlaskSession
from flask_sqlalchemy import SQLAlchemy
from services import mariadb, postgresql, proxy
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from stores.contract import TTL, PruneContract, SessionContract, StoreContract, UsersContract, key

from asgi_flask_session import SettingsError, StoreUnavailable
from asgi_flask_session.background import BackgroundLoop
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.sqlalchemy import SQLAlchemyStore

SERVERS = {"postgresql": "postgresql+asyncpg", "mariadb": "mysql+aiomysql"}
CONNECTIONS = 10


@pytest.fixture(scope="module")
def postgresql_server():
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb_server():
    with mariadb.running() as server:
        yield server


@pytest.fixture(params=SERVERS)
def server(request):
    """Each server, with the URL of a table of its own, and whole again after the test."""
    server = request.getfixturevalue(f"{request.param}_server")
    server.kind = request.param
    server.store_url = with_table(f"{SERVERS[request.param]}://{server.url}")
    yield server
    server.thaw()
    if server.process.poll() is not None:
        server.start()


@pytest.fixture(params=[*SERVERS, "sqlite"])
def url(request, tmp_path):
    """A URL for each database, of a table of its own."""
    return with_table(
        f"{SERVERS[request.param]}://{request.getfixturevalue(f'{request.param}_server').url}"
        if request.param in SERVERS
        else f"sqlite+aiosqlite:///{tmp_path}/sessions.db"
    )


@pytest.fixture
def mysql_url(mariadb_server):
    return with_table(f"mysql+aiomysql://{mariadb_server.url}")


def with_table(url):
    return f"{url}?table=t{secrets.token_hex(8)}"


def table_of(url):
    return url.partition("?table=")[2]


@asynccontextmanager
async def opened(url, clock=None, seconds=60):
    store = SQLAlchemyStore.from_url(url, timeout=timedelta(seconds=seconds))
    store._clock = clock or store._clock
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def connected(url):
    """Yield a connection of our own in a transaction."""
    engine = create_async_engine(url.partition("?")[0], poolclass=NullPool)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def run_sql(url, statement, **values):
    async with connected(url) as connection:
        result = await connection.execute(text(statement.replace("TABLE_", table_of(url))), values)
        return result.all() if result.returns_rows else None


class Contracts(StoreContract, PruneContract, UsersContract, SessionContract):
    loops = ("asyncio",)

    def opened(self, clock):
        return opened(self.url, clock)


class TestPostgreSQL(Contracts):
    @pytest.fixture(autouse=True)
    def _server(self, postgresql_server):
        self.url = f"postgresql+asyncpg://{postgresql_server.url}"


class TestMariaDB(Contracts):
    @pytest.fixture(autouse=True)
    def _server(self, mariadb_server):
        self.url = f"mysql+aiomysql://{mariadb_server.url}"


class TestSQLite(Contracts):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.url = f"sqlite+aiosqlite:///{tmp_path}/sessions.db"


class TestGivenEngine(StoreContract, PruneContract, UsersContract):
    loops = ("asyncio",)

    @pytest.fixture(autouse=True)
    def _server(self, mariadb_server):
        self.url = f"mysql+aiomysql://{mariadb_server.url}"

    @asynccontextmanager
    async def opened(self, clock):
        engine = create_async_engine(self.url)
        yield SQLAlchemyStore(engine, clock=clock)
        await engine.dispose()

    def test_it_is_left_open_and_as_it_was(self, loop, clock):
        async def test(store):
            engine = create_async_engine(self.url)
            store = SQLAlchemyStore(engine)
            await store.ping()
            await store.aclose()
            left = engine.pool.checkedin()
            async with engine.connect() as connection:
                autocommit = await connection.scalar(text("SELECT @@autocommit"))
            await engine.dispose()
            return left, autocommit

        assert self.run(loop, clock, test) == (1, 0)


# URLs and engines


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg2://u:secret@h/d", "psycopg2 would stop the event loop: write postgresql+asyncpg"),
        ("mysql+pymysql://u:secret@h/d", "write mysql+aiomysql"),
        ("mariadb+pymysql://u:secret@h/d", "write mariadb+aiomysql"),
        ("sqlite+pysqlite:///file.db", "write sqlite+aiosqlite"),
        ("mssql+pyodbc://u:secret@h/d", "write one with an asynchronous driver"),
        ("nothing+known://u:secret@h/d", "nothing+known: is no URL that SQLAlchemy knows"),
        ("postgresql+asyncpg://u:secret@h:port/d", "is no URL that SQLAlchemy knows"),
        ("sqlite+aiosqlite://", "write store='memory:'"),
        ("sqlite+aiosqlite:///:memory:", "write store='memory:'"),
        ("sqlite+aiosqlite:///file:x?mode=memory&uri=true", "write store='memory:'"),
        ("postgresql+asyncpg://h/d?table=a&table=b", "may be given once"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url, message):
    with pytest.raises(SettingsError, match=re.escape(message)) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "module", "message"),
    [
        ("postgresql+asyncpg://h/d", "asyncpg", "pip install asgi-flask-session\\[postgresql\\]"),
        ("mysql+aiomysql://h/d", "aiomysql", "pip install asgi-flask-session\\[mysql\\]"),
        ("sqlite+aiosqlite:///f", "aiosqlite", "pip install asgi-flask-session\\[sqlalchemy\\]"),
        ("mysql+asyncmy://h/d", "asyncmy", "pip install asyncmy"),
    ],
)
def test_a_driver_that_is_not_installed_is_named(monkeypatch, url, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=f"needs {module}: {message}"):
        SQLAlchemyStore.from_url(url)


def test_a_synchronous_engine_is_refused():
    with pytest.raises(SettingsError, match="create_async_engine"):
        SQLAlchemyStore(create_engine("sqlite://"))


def test_on_trio_it_says_where_it_runs(tmp_path):
    store = SQLAlchemyStore.from_url(f"sqlite+aiosqlite:///{tmp_path}/sessions.db")

    async def test():
        with pytest.raises(StoreUnavailable, match="asyncio only"):
            await store.get("a")
        await store.aclose()

    anyio.run(test, backend="trio")


# The table


FLASK_SESSION = {
    "mysql+aiomysql": "mysql+pymysql",
    "sqlite+aiosqlite": "sqlite",
    "postgresql+asyncpg": "postgresql+psycopg",
}


def flask_session_app(url, **config):
    """Return a Flask app on the real Flask-Session with the same table, and a function that closes its connections."""
    driver, _, rest = url.partition("?")[0].partition(":")
    if driver.startswith("postgresql"):
        pytest.importorskip("psycopg")
    app = flask.Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI=f"{FLASK_SESSION[driver]}:{rest}", SESSION_TYPE="sqlalchemy", **config)
    app.config["SESSION_SQLALCHEMY_TABLE"] = table_of(url)
    app.config["SESSION_SQLALCHEMY"] = database = SQLAlchemy(app)
    FlaskSession(app)

    @app.get("/")
    def count():
        flask.session["n"] = flask.session.get("n", 0) + 1
        flask.session["é"] = b"\x00\xff"
        return str(flask.session["n"])

    def close():
        with app.app_context():
            database.engine.dispose()

    return app, close


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Session calls it
@pytest.mark.parametrize("first", ["flask", "ours"])
def test_a_session_is_shared_with_flask_session(url, first):
    def count(session, _):
        session["n"] = session.get("n", 0) + 1
        seen.append(dict(session))

    async def ours(cookie):
        async with opened(url) as store:
            app = SessionContract.app(SessionContract(), count, store, record_format="msgpack")
            return await SessionContract.ask(app, cookie) or cookie

    seen, cookie = [], None
    if first == "ours":
        cookie = anyio.run(ours, None)
    app, close = flask_session_app(url)
    client = app.test_client()
    try:
        if cookie is not None:
            client.set_cookie("session", cookie)
        theirs = [client.get("/").text]
        cookie = client.get_cookie("session").value
        assert anyio.run(ours, cookie) == cookie
        theirs.append(client.get("/").text)
    finally:
        close()
    number = 1 + (first == "ours")
    assert theirs == [str(number), str(number + 2)]
    seen[-1].pop("_permanent", None)  # which Flask-Session's own sessions are
    assert seen[-1] == {"n": number + 1, "é": b"\x00\xff"}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_table_with_a_named_sequence(postgresql_server):
    url = with_table(f"postgresql+asyncpg://{postgresql_server.url}")
    _, close = flask_session_app(url, SESSION_SQLALCHEMY_SEQUENCE="numbers")
    close()

    async def test(url):
        async with opened(url) as store:
            return await store.create(key(), b"x", TTL)

    assert anyio.run(test, f"{url}&sequence=numbers") is True
    with pytest.raises(StoreUnavailable, match="refuses a new record: NotNullViolation") as refused:
        anyio.run(test, url)
    assert refused.value.__cause__ is None  # it would quote the row


def test_a_table_in_a_schema(postgresql_server):
    url = f"postgresql+asyncpg://{postgresql_server.url}?schema=other&table=kept"

    async def test():
        async with connected(url) as connection:
            await connection.execute(text("CREATE SCHEMA other"))
        async with opened(url) as store:
            await store.create("a", b"x", TTL)
        async with connected(url) as connection:
            return (await connection.execute(text("SELECT session_id, data FROM other.kept"))).all()

    assert anyio.run(test) == [("a", b"x")]


def test_workers_that_start_at_once_make_one_table(url):
    async def test():
        stores = [SQLAlchemyStore.from_url(url, timeout=timedelta(seconds=60)) for _ in range(8)]
        made = await asyncio.gather(*(store.create(f"k{number}", b"x", TTL) for number, store in enumerate(stores)))
        listed = [name async for name, _ in stores[0]._records()]
        for store in stores:
            await store.aclose()
        return made, sorted(listed)

    assert anyio.run(test) == ([True] * 8, [f"k{number}" for number in range(8)])


def test_a_table_that_another_worker_is_making(postgresql_server):
    url = with_table(f"postgresql+asyncpg://{postgresql_server.url}")

    async def test():
        async with opened(url) as store:
            async with connected(url) as other:
                await other.run_sync(store._sql.table.create)
                made = asyncio.ensure_future(store.create("a", b"x", TTL))
                await asyncio.sleep(0.2)
                assert not made.done()  # it waits for the other's commit
            return await made

    assert anyio.run(test) is True


def test_a_table_that_was_dropped_is_made_anew(url):
    async def test():
        async with opened(url) as store:
            await store.create("a", b"x", TTL)
            await run_sql(url, "DROP TABLE TABLE_")
            with pytest.raises(StoreUnavailable):
                await store.get("a")
            return await store.get("a"), await store.create("a", b"y", TTL), await store.get("a")

    assert anyio.run(test) == (None, True, b"y")


def test_a_user_that_may_make_no_table_uses_one_that_is_there(postgresql_server):
    url = with_table(f"postgresql+asyncpg://{postgresql_server.url}")
    weak = url.replace("postgres@", "weak@")

    async def test():
        async with opened(weak) as store:
            await run_sql(url, "CREATE ROLE weak LOGIN")
            with pytest.raises(StoreUnavailable, match="InsufficientPrivilege"):
                await store.create("a", b"x", TTL)
            async with opened(url) as other:
                await other.get("a")
            await run_sql(url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO weak")
            await run_sql(url, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO weak")
            return await store.create("a", b"x", TTL)

    assert anyio.run(test) is True


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.6])
def test_no_record_ends_early(url, clock, fraction):
    clock.tick(fraction)

    async def test():
        async with opened(url, clock) as store:
            await store.create("a", b"x", 1)
            clock.tick(0.99)
            before = await store.get("a"), await store.touch("a", 1)
            clock.tick(0.99)
            again = await store.get("a")
            clock.tick(1.1)
            return before, again, await store.get("a")

    assert anyio.run(test) == ((b"x", True), b"x", None)


def test_rows_that_nobody_should_have_written(url, clock):
    rows = {
        "no data": (None, "2099-01-01 00:00:00"),
        "no end": (b"x", None),
        "whole seconds": (b"x", "2099-01-01 00:00:00"),
    }

    async def test():
        async with opened(url, clock) as store:
            await store.ping()
            for name, (data, end) in rows.items():
                await store.create(name, data or b"", TTL)
                if data is None:
                    await run_sql(url, "UPDATE TABLE_ SET data = NULL WHERE session_id = :name", name=name)
                ends = "NULL" if end is None else f"'{end}'"
                await run_sql(url, f"UPDATE TABLE_ SET expiry = {ends} WHERE session_id = :name", name=name)
            found = [await store.get(name) for name in rows]
            return found, await store.create("no end", b"y", TTL), await store.get("no end")

    assert anyio.run(test) == ([b"", None, b"x"], True, b"y")


def test_text_in_place_of_bytes_is_a_damaged_record(tmp_path):
    async def test():
        async with opened(f"sqlite+aiosqlite:///{tmp_path}/sessions.db") as store:
            await store.create("a", b"x", TTL)
            with closing(sqlite3.connect(tmp_path / "sessions.db")) as other, other:
                assert other.execute("UPDATE sessions SET data = 'text'").rowcount == 1
            return await store.get("a"), [record async for record in store._records()]

    assert anyio.run(test) == (b"", [("a", b"")])


def test_many_records_are_listed_and_pruned_in_pages(url, clock):
    async def test():
        async with opened(url, clock) as store:
            await store.ping()
            rows = ", ".join(f"('k{number}', '2023-11-14 22:14:00')" for number in range(500))
            await run_sql(url, f"INSERT INTO TABLE_ (session_id, expiry) VALUES {rows}")
            listed = [name async for name, _ in store._records()]
            clock.tick(3600)
            return len(listed), len(set(listed)), await store.prune(), await store.prune()

    assert anyio.run(test) == (500, 500, 500, 0)


# MySQL's own ways


def test_a_key_in_other_letters_is_another_key(mysql_url):
    async def test():
        async with opened(mysql_url) as store:
            await store.create("session:Ab", b"x", TTL)
            seen = await store.get("session:aB"), await store.touch("session:AB", TTL)
            replaced = await store.replace("session:ab", b"y", TTL, b"x")
            await store.delete("session:aB")
            return *seen, replaced, await store.get("session:Ab")

    assert anyio.run(test) == (None, False, False, b"x")


@pytest.mark.parametrize("mode", ["STRICT_TRANS_TABLES", ""])
def test_a_value_too_long_for_a_table_is_no_success(mysql_url, mode):
    large, small = os.urandom(2**20), b"small"

    async def test():
        (before,) = (await run_sql(mysql_url, "SELECT @@GLOBAL.sql_mode"))[0]
        await run_sql(mysql_url, "SET GLOBAL sql_mode = :mode", mode=mode)
        try:
            async with opened(mysql_url) as store:
                made = await store.create("a", large, TTL), await store.get("a") == large
                await run_sql(mysql_url, "DELETE FROM TABLE_")
                await run_sql(mysql_url, "ALTER TABLE TABLE_ MODIFY data BLOB")  # as Flask-Session makes it
                await store.create("b", small, TTL)
                with pytest.raises(StoreUnavailable, match="DataError"):
                    await store.create("a", large, TTL)
                with pytest.raises(StoreUnavailable, match="DataError"):
                    await store.replace("b", large, TTL, small)
                return *made, await store.get("a"), await store.get("b")
        finally:
            await run_sql(mysql_url, "SET GLOBAL sql_mode = :mode", mode=before)

    assert anyio.run(test) == (True, True, None, small)


# What errors tell


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("DROP TABLE TABLE_", id="no table"),
        pytest.param("ALTER TABLE TABLE_ DROP COLUMN expiry", id="no column"),
        pytest.param("ALTER TABLE TABLE_ ADD COLUMN more INT NOT NULL", id="a column that must be filled"),
        pytest.param("ALTER TABLE TABLE_ ADD CHECK (octet_length(data) < 3)", id="a check"),
    ],
)
def test_an_error_quotes_neither_key_nor_value(server, change):
    name, value = "session:Sup3rS3cret", b"PrivateValue"

    async def test():
        async with opened(server.store_url) as store:
            await store.ping()
            await run_sql(server.store_url, change)
            with pytest.raises(StoreUnavailable) as failed:
                await store.create(name, value, TTL)
            return "".join(traceback.format_exception(failed.value))

    shown = anyio.run(test)
    assert "the database" in shown
    for secret in (name, "Sup3rS3cret", "PrivateValue", value.hex(), repr(value)):
        assert secret not in shown


@pytest.mark.parametrize("name", ["session:\udc80Sup3rS3cret", "session:\x00Sup3rS3cret", f"Sup3rS3cret{'x' * 300}"])
def test_a_key_that_no_column_holds_is_not_quoted(server, name):
    async def test():
        async with opened(server.store_url) as store:
            try:
                await store.create(name, b"x", TTL)
                return repr(await store.get(name)) + " kept"
            except StoreUnavailable as error:
                return "".join(traceback.format_exception(error))

    shown = anyio.run(test)
    assert shown == "b'x' kept" or "StoreUnavailable" in shown
    assert "Sup3rS3cret" not in shown


def test_a_key_in_letters_that_a_column_does_not_know_is_not_quoted(mysql_url):
    name = "\N{SNOWMAN}Secret"

    async def test():
        async with opened(mysql_url) as store:
            await store.ping()
            await run_sql(mysql_url, "ALTER TABLE TABLE_ CONVERT TO CHARACTER SET latin1")
            with pytest.raises(StoreUnavailable, match="DataError") as failed:
                await store.create(name, b"x", TTL)
            return "".join(traceback.format_exception(failed.value))

    shown = anyio.run(test)
    assert "Secret" not in shown
    assert "xE2" not in shown


def test_a_password_is_shown_nowhere(mariadb_server):
    async def test():
        url = f"mysql+aiomysql://{mariadb_server.url}".replace("root@", "root:Passw0rd@")
        async with opened(url) as store:
            with pytest.raises(StoreUnavailable) as failed:
                await store.ping()
            return repr(store) + "".join(traceback.format_exception(failed.value))

    shown = anyio.run(test)
    assert "Access denied" in shown
    assert "Passw0rd" not in shown


# Servers that fail


def hurry(store):
    """Let it give up soon what is under way, and be closed soon: to open it may take longer."""
    (database,) = store._opened.values()
    database._limit = 0.2
    return database


OPERATIONS = {
    "get": lambda store: store.get("a"),
    "create": lambda store: store.create("b", b"y", TTL),
    "replace": lambda store: store.replace("a", b"y", TTL, b"x"),
    "touch": lambda store: store.touch("a", TTL),
    "delete": lambda store: store.delete("b"),
    "ping": lambda store: store.ping(),
    "prune": lambda store: store.prune(),
    "revoke_user": lambda store: store.revoke_user("7"),
}


def test_a_server_that_is_down_and_comes_back(server):
    async def test():
        async with opened(server.store_url) as store:
            assert await store.create("a", b"x", TTL)
            await asyncio.gather(*(store.get("a") for _ in range(CONNECTIONS)))
            server.kill()
            for name, operation in OPERATIONS.items():
                with pytest.raises(StoreUnavailable):
                    print(name, await operation(store))  # noqa: T201  # which of them did not fail
            server.start()
            return await store.create("b", b"y", TTL), await store.get("a") in (b"x", None), await store.get("b")

    assert anyio.run(test) == (True, True, b"y")


def test_a_restart_between_two_calls_is_no_error(server):
    async def test():
        async with opened(server.store_url) as store:
            for number in range(3):
                await asyncio.gather(*(store.get("a") for _ in range(CONNECTIONS)))
                server.kill()
                server.start()
                await asyncio.sleep(0.11)  # since the last use, as in any restart that is not of a test
                assert await store.create(f"k{number}", b"x", TTL)

    anyio.run(test)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_server_that_does_not_answer(server, operation):
    async def test():
        async with opened(server.store_url) as store:
            await store.create("a", b"x", TTL)
            server.freeze()
            with anyio.fail_after(10):
                with anyio.move_on_after(0.1) as given_up:
                    await operation(store)
                assert given_up.cancelled_caught
                store._limit = 0.1
                with pytest.raises(StoreUnavailable):
                    await operation(store)
            server.thaw()
            store._limit = 60
            return await store.get("a")

    assert anyio.run(test) in (b"x", b"y")  # what was not answered may have been done


def test_a_connection_that_is_cut_in_an_answer_is_not_used_again(server):
    async def test():
        with proxy.before(server.port) as network:
            async with opened(server.store_url.replace(f":{server.port}/", f":{network.port}/")) as store:
                await store.create("a", b"x", TTL)
                failed = 0
                for count in range(0, 160, 5):
                    network.cut(to_client=count)
                    try:
                        assert await store.get("a") == b"x"
                    except StoreUnavailable:
                        failed += 1
                    network.cut()
                    assert await store.get("a") == b"x"
                return failed

    assert anyio.run(test) > 5


def test_a_connection_on_which_anything_failed_is_not_used_again(server):
    def ask(connection, statement, _):
        return connection.scalar(text(statement))

    def fail(connection, *_):
        raise RuntimeError("packet sequence number wrong")

    async def test():
        question = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}[server.kind]
        async with opened(server.store_url) as store:
            before = [await store._call(ask, question) for _ in range(2)]
            with pytest.raises(StoreUnavailable, match="RuntimeError"):
                await store._call(fail, question)
            return [*before, await store._call(ask, question)]

    first, again, after = anyio.run(test)
    assert first == again != after


def test_what_a_frozen_server_does_not_answer_is_given_up(server):
    async def test():
        async with opened(server.store_url) as store:
            await asyncio.gather(*(store.create(f"k{number}", b"x", TTL) for number in range(CONNECTIONS)))
            database = hurry(store)
            server.freeze()
            with anyio.move_on_after(0.1):
                await asyncio.gather(*(store.get(f"k{number}") for number in range(CONNECTIONS)))
            with anyio.fail_after(10):
                while database._tasks:  # noqa: ASYNC110  # nobody waits for them
                    await asyncio.sleep(0.02)
            server.thaw()
            return await store.get("k1")

    assert anyio.run(test) == b"x"


def test_closing_does_not_wait_for_a_frozen_server(server):
    async def test():
        async with opened(server.store_url) as store:
            await asyncio.gather(*(store.create(f"k{number}", b"x", TTL) for number in range(CONNECTIONS)))
            hurry(store)
            server.freeze()
            with anyio.fail_after(10):
                await store.aclose()
            server.thaw()
            await until_closed(server)
            assert await store.get("k1") == b"x"  # it opens anew

    anyio.run(test)


def test_a_crowd_at_a_dead_server_does_not_queue_for_its_limit(server):
    async def test():
        async with opened(server.store_url) as store:
            await store.ping()
            (database,) = store._opened.values()
            await database._engine.dispose()
            server.kill()
            with anyio.fail_after(20):
                return await asyncio.gather(*(store.get("a") for _ in range(100)), return_exceptions=True)

    assert {type(answer) for answer in anyio.run(test)} == {StoreUnavailable}


def test_a_locked_file_is_an_error_within_the_limit(tmp_path):
    async def test():
        async with opened(f"sqlite+aiosqlite:///{tmp_path}/sessions.db", seconds=0.4) as store:
            await store.create("a", b"x", TTL)
            with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                with anyio.fail_after(10):
                    with pytest.raises(StoreUnavailable, match="OperationalError"):
                        await store.replace("a", b"y", TTL, b"x")
                    read = await store.get("a")  # which waits for no writer
                other.execute("ROLLBACK")
            return read, await store.replace("a", b"y", TTL, b"x")

    assert anyio.run(test) == (b"x", True)


# Calls that are cancelled


COUNTED = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE user = 'root' AND id <> connection_id()",
}


async def connections_of(server):
    """Count the server's connections but the one that asks."""
    return (await run_sql(server.store_url, COUNTED[server.kind]))[0][0]


async def until_closed(server, left=0):
    """Wait until the server has seen that connections are closed: it does so in its own time."""
    with anyio.fail_after(10):
        while await connections_of(server) != left:  # noqa: ASYNC110  # nobody here knows when
            await asyncio.sleep(0.02)


async def natively(call, seconds):
    task = asyncio.ensure_future(call)
    await asyncio.sleep(seconds)
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def by_scope(call, seconds):
    with anyio.move_on_after(seconds):
        return await call
    return asyncio.CancelledError()


CANCELLED = pytest.mark.parametrize("cancelled", [natively, by_scope])


@CANCELLED
def test_a_call_cancelled_at_any_time_leaves_no_reply_to_another(url, cancelled):
    chance = random.Random(7)  # seconds until it is cancelled

    async def test():
        async with opened(url) as store:
            kept = {f"k{number}": b"%d" % number for number in range(25)}
            for name, value in kept.items():
                await store.create(name, value, TTL)

            async def ask(name):
                return name, await cancelled(store.get(name), chance.uniform(0, 2 * uncut))

            began = time.monotonic()
            await asyncio.gather(*map(store.get, kept))
            uncut = time.monotonic() - began
            answers = []
            for _ in range(8):
                answers += await asyncio.gather(*map(ask, kept))
            given = [(name, value) for name, value in answers if not isinstance(value, BaseException)]
            cut = len(answers) - len(given)
            assert [pair for pair in given if kept[pair[0]] != pair[1]] == []
            assert given
            assert cut
            return {name: await store.get(name) for name in kept} == kept

    assert anyio.run(test)


@CANCELLED
def test_a_call_cancelled_while_it_waits_for_a_lock(url, cancelled):
    async def test():
        async with opened(url) as store:
            for name in "ab":
                await store.create(name, name.encode(), TTL)
            async with connected(url) as other:
                locked = f"UPDATE {table_of(url) or 'sessions'} SET expiry = expiry WHERE session_id = 'a'"
                await other.execute(text(locked))
                with anyio.fail_after(10):
                    outcomes = [await cancelled(store.replace("a", b"c", TTL, b"a"), 0.1) for _ in range(3)]
                    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 3
                    assert await store.get("b") == b"b"
            with anyio.fail_after(10):
                return await store.get("a") in (b"a", b"c"), await store.touch("a", TTL), await store.get("b")

    assert anyio.run(test) == (True, True, b"b")


def test_the_server_does_not_wait_on_for_a_lock_that_nobody_waits_for(server):
    async def test():
        async with opened(server.store_url) as store:
            await store.create("a", b"x", TTL)
        async with opened(server.store_url, seconds=1) as store, connected(server.store_url) as other:
            await other.execute(text(f"UPDATE {table_of(server.store_url)} SET expiry = expiry"))
            calls = (store.replace("a", b"y", TTL, b"x") for _ in range(CONNECTIONS))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            await until_closed(server, left=1)  # the one that has the lock
            return {type(answer) for answer in answers}

    assert anyio.run(test) == {StoreUnavailable}


@CANCELLED
def test_connections_are_bounded_whoever_gives_up(server, cancelled):
    async def test():
        async with opened(server.store_url) as store:
            await store.create("a", b"x", TTL)
            for _ in range(4):
                await asyncio.gather(*(cancelled(store.get("a"), 0.01) for _ in range(40)))
                assert await connections_of(server) <= CONNECTIONS
            await asyncio.gather(*(store.get("a") for _ in range(100)))
            assert await connections_of(server) <= CONNECTIONS
        await until_closed(server)

    anyio.run(test)


def test_a_call_that_runs_when_the_store_is_closed(server):
    async def test():
        async with opened(server.store_url) as store:
            await store.create("a", b"x", TTL)
            async with connected(server.store_url) as other:
                await other.execute(text(f"UPDATE {table_of(server.store_url)} SET expiry = expiry"))
                calls = [asyncio.ensure_future(store.touch("a", TTL)) for _ in range(2 * CONNECTIONS)]
                await asyncio.sleep(0.1)
                hurry(store)
                await store.aclose()
                with anyio.fail_after(10):
                    answers = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(answer) for answer in answers} == {StoreUnavailable}
            await until_closed(server)
            return await store.touch("a", TTL)

    assert anyio.run(test)


# Event loops and processes


def test_two_event_loops_at_once(server):
    background = BackgroundLoop()
    store = SQLAlchemyStore.from_url(server.store_url)

    async def test():
        await store.create("a", b"x", TTL)
        assert await asyncio.to_thread(background.run, store.get("a")) == b"x"
        assert await store.get("a") == b"x"
        assert await connections_of(server) == 2
        await store.aclose()
        await until_closed(server)
        assert await asyncio.to_thread(background.run, store.get("a")) == b"x"  # it opens anew
        await asyncio.to_thread(background.run, store.aclose())

    anyio.run(test)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_event_loops_one_after_another_that_close_nothing(server, monkeypatch):
    # pytest would keep what a client says when it is left, and with that its socket.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    store = SQLAlchemyStore.from_url(server.store_url)
    assert anyio.run(store.create, "a", b"x", TTL)
    for _ in range(3):
        assert anyio.run(store.get, "a") == b"x"
    assert len(store._opened) == 1
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(store.get("a")) == b"x"
    anyio.run(store.aclose)  # the other loop stands still
    loop.close()
    gc.collect()
    anyio.run(until_closed, server)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of a process with threads, as a server's is
def test_a_child_leaves_its_parents_connections_alone(server):
    background = BackgroundLoop()
    store = SQLAlchemyStore.from_url(server.store_url, timeout=timedelta(seconds=60))
    background.run(store.create("a", b"x", TTL))
    for _ in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            signal.alarm(30)  # should it wait for a loop that runs in the parent only
            try:
                right = background.run(store.get("a")) == b"x" and background.run(store.touch("a", TTL))
                background.run(store.aclose())
                gc.collect()
                status = 0 if right else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        anyio.run(until_closed, server, 1)
        assert background.run(store.get("a")) == b"x"
    background.run(store.aclose())


def test_a_loop_that_ends_while_a_file_is_locked_ends(tmp_path):
    async def test():
        store = SQLAlchemyStore(create_async_engine(url, connect_args={"timeout": 2}))
        await store.create("a", b"x", TTL)
        database = hurry(store)
        locked.execute("BEGIN EXCLUSIVE")
        with anyio.move_on_after(0.1):
            await asyncio.gather(*(store.replace("a", b"y", TTL, b"x") for _ in range(CONNECTIONS)))
        await asyncio.sleep(0.3)
        cancelled.extend(task.cancelling() for task in database._tasks)

    cancelled = []
    url = f"sqlite+aiosqlite:///{tmp_path}/sessions.db"
    with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None, check_same_thread=False)) as locked:
        thread = threading.Thread(target=anyio.run, args=[test], daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert cancelled == [0] * CONNECTIONS  # a thread that waits for a lock cannot be, and aiosqlite may wait for ever
