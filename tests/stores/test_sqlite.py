import asyncio
import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from driver import SECRET, app_that, request
from services.processes import wait_until
from stores.contract import TTL, PruneContract, SessionContract, StoreContract, UsersContract, key

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError, StoreUnavailable
from asgi_flask_session.stores import sqlite
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.sqlite import SQLiteStore

SOON = timedelta(seconds=1)
THREADS = "SQLiteStore"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.db"


def run(loop, store, test):
    async def main():
        try:
            return await test(store)
        finally:
            await store.aclose()

    return anyio.run(main, backend=loop)


def ask(store, test):
    return run("asyncio", store, test)


@contextmanager
def rows(path):
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


@contextmanager
def locked(path, how="IMMEDIATE"):
    with rows(path) as other:
        other.execute(f"BEGIN {how}")
        yield other
        if other.in_transaction:
            other.execute("ROLLBACK")


class TestSQLiteStore(StoreContract, PruneContract, UsersContract, SessionContract):
    @pytest.fixture(autouse=True)
    def _path(self, path):
        self.path = path

    @asynccontextmanager
    async def opened(self, clock):
        store = SQLiteStore(self.path, clock=clock)
        try:
            yield store
        finally:
            await store.aclose()


class TestInMemory(TestSQLiteStore):
    loops = ("asyncio",)

    @pytest.fixture(autouse=True)
    def _path(self):
        self.path = ":memory:"


class TestBatches(PruneContract, UsersContract):
    opened = TestSQLiteStore.opened
    _path = TestSQLiteStore._path

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        monkeypatch.setattr(sqlite, "_BATCH", 2)

    def test_what_is_between_and_behind_them_is_found(self, loop, clock):
        async def test(store):
            for number in range(9):
                await store.create(f"{number}", b'{"_user_id":"7"}', 1 + TTL * (number % 3 > 0))
            clock.tick(2)
            return await store.sessions_of("7"), await store.prune(), await store.sessions_of("7")

        left = list("124578")
        assert self.run(loop, clock, test) == (left, 3, left)


# URLs and files


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///sessions.db", "sessions.db"),
        ("sqlite:///below/a%20b.db", "below/a b.db"),
        ("sqlite:////var/lib/app/sessions.db", "/var/lib/app/sessions.db"),
    ],
)
def test_a_path_in_a_url(url, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store(url)
    monkeypatch.chdir("/")
    assert store._path == str(tmp_path / expected)


def test_a_path_in_a_url_is_the_one_of_sqlalchemy():
    make_url = pytest.importorskip("sqlalchemy").make_url
    for url in ("sqlite:///a/b.db", "sqlite:////a/b.db", "sqlite:///b.db?table=x"):
        assert SQLiteStore.from_url(url)._path == str(Path(make_url(url).database).absolute())
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        assert make_url(url).database in (None, "", ":memory:")
        assert SQLiteStore.from_url(url)._path == ":memory:"


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite:sessions.db", "sqlite:/a.db", "sqlite://a.db", "sqlite://host/a.db", "sqlite:///a?t=b"]
)
def test_a_url_that_leads_to_no_file_is_refused(url):
    with pytest.raises(SettingsError, match="write 'sqlite:///sessions.db'"):
        open_store(url)


@pytest.mark.parametrize("table", ["", "a b", 'a"b', "1a", "sessions;", "sessiöns"])
def test_a_table_that_needs_care_is_refused(table):
    with pytest.raises(SettingsError, match="letters, digits and underscores"):
        SQLiteStore(":memory:", table=table)


def test_a_table_in_a_url(path):
    ask(SQLiteStore.from_url(f"sqlite:///{path}?table=web"), lambda store: store.create("a", b"x", TTL))
    with rows(path) as other:
        assert other.execute("SELECT session_id, data FROM web").fetchall() == [("a", b"x")]


def test_nothing_is_opened_before_the_first_use(tmp_path):
    SQLiteStore.from_url(f"sqlite:///{tmp_path}/sessions.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="files have no modes on Windows")
def test_its_files_are_for_their_owner_only(path):
    async def test(store):
        await store.create(key(), b"x", TTL)
        return {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    names = ("sessions.db", "sessions.db-wal", "sessions.db-shm")
    assert ask(SQLiteStore(path), test) == dict.fromkeys(names, 0o600)


@pytest.mark.skipif(os.name == "nt", reason="files have no modes on Windows")
def test_a_file_that_is_there_keeps_its_mode(path):
    path.touch()
    path.chmod(0o640)
    ask(SQLiteStore(path), lambda store: store.create(key(), b"x", TTL))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_it_writes_ahead_and_does_not_wait_for_the_disk(path):
    async def test(store):
        await store.ping()
        connection = store._connection
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert ask(SQLiteStore(path), test) == ["wal", 1]


# The table of Flask-Session

THEIRS = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@contextmanager
def flask_side(path, **config):
    flask, flask_session = pytest.importorskip("flask"), pytest.importorskip("flask_session")
    database = pytest.importorskip("flask_sqlalchemy").SQLAlchemy()
    app = flask.Flask(__name__)
    app.config |= {
        "SECRET_KEY": SECRET,
        "SESSION_TYPE": "sqlalchemy",
        "SESSION_SQLALCHEMY": database,
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{path}",
        **config,
    }
    database.init_app(app)
    flask_session.Session(app)

    def ask(cookie=None, **changes):
        """Return the cookie that is set, or the one that came, and what was in the session."""
        with app.test_request_context(headers={"Cookie": f"session={cookie}"} if cookie else {}):
            before = dict(flask.session)
            flask.session.update(changes)
            if changes.get("logout"):
                flask.session.clear()
            line = app.process_response(flask.Response()).headers.get("Set-Cookie", f"session={cookie};")
        return line.partition(";")[0].removeprefix("session="), before

    try:
        yield app, ask
    finally:
        with app.app_context():
            database.engine.dispose()


def shape(path):
    with rows(path) as other:
        columns = other.execute("PRAGMA table_info(sessions)").fetchall()
        unique = other.execute("PRAGMA index_list(sessions)").fetchall()
        return columns, unique, other.execute(f"PRAGMA index_info({unique[0][1]})").fetchall()


@THEIRS
def test_the_table_is_the_one_that_flask_session_makes(tmp_path):
    with flask_side(tmp_path / "theirs.db"):
        ask(SQLiteStore(tmp_path / "ours.db"), lambda store: store.ping())
        assert shape(tmp_path / "ours.db") == shape(tmp_path / "theirs.db")


@THEIRS
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_flask_session_on_the_same_file_shares_the_sessions(path, first):
    if first == "ours":
        ask(SQLiteStore(path), lambda store: store.ping())
    with flask_side(path) as (flask_app, flask):
        settings = Settings.from_flask(flask_app, store=SQLiteStore(path))
        assert (settings.key_prefix, settings.record_format) == ("session:", "msgpack")
        seen = []

        def handle(session):
            seen.append(dict(session))
            session["ours"] = len(seen)

        app = FlaskSessionASGI(app_that(handle), settings=settings)
        begun, _ = flask(theirs=[1, "é"])
        request(app, begun, run=asyncio.run)
        assert seen == [{"_permanent": True, "theirs": [1, "é"]}]
        assert flask(begun, more=b"x")[1] == {"_permanent": True, "theirs": [1, "é"], "ours": 1}
        request(app, begun, run=asyncio.run)
        assert seen[1] == {"_permanent": True, "theirs": [1, "é"], "ours": 1, "more": b"x"}

        own = request(app, None, run=asyncio.run).cookie
        assert flask(own) == (own, {"_permanent": True, "ours": 3})
        assert flask(own, logout=True)[0] == ""
        request(app, own, run=asyncio.run)
        assert seen[-1] == {}
        asyncio.run(settings.store.aclose())


@THEIRS
def test_both_see_the_same_end_of_a_lifetime(path):
    now = [time.time()]
    store = SQLiteStore(path, clock=lambda: now[0])
    with flask_side(path, PERMANENT_SESSION_LIFETIME=3600) as (_, flask):
        theirs, _ = flask(a=1)

        async def test(store):
            await store.create("session:of-ours-that-is-over", b"\x81\xa1a\x01", TTL)
            now[0] += 3590
            before = await store.get(f"session:{theirs}")
            now[0] += 20
            return before, await store.get(f"session:{theirs}")

        assert ask(store, test) == (b"\x82\xaa_permanent\xc3\xa1a\x01", None)
        now[0] -= 7200
        ask(store, lambda store: store.create("session:over", b"\x81\xa1a\x01", TTL))
        assert flask("over")[1] == {"_permanent": True}
        assert flask("of-ours-that-is-over")[1] == {"a": 1}


FUTURE, PAST = "2023-11-14 22:13:21.000000", "2023-11-14 22:13:20.000000"  # the clock stands at the second


@pytest.mark.parametrize(
    ("data", "expiry", "expected"),
    [
        (b"x", FUTURE, b"x"),
        (b"x", PAST, None),
        (b"x", "2023-11-14T22:13:21", b"x"),
        (b"x", "2023-11-14T22:13:20", None),
        (b"x", "2023-11-14T22:13:19.999999", None),
        (b"x", "2023-11-14 22:13:20.5", b"x"),
        (b"x", "2023-11-14", None),
        (b"x", "2024-01-01", b"x"),
        (b"x", None, None),
        (b"x", 1800000000, None),
        (None, FUTURE, b""),
        ("", FUTURE, b""),
        ("é", FUTURE, "é".encode()),
        (7, FUTURE, b"7"),
        (0.5, FUTURE, b"0.5"),
        ("CAST(X'FFFE' AS TEXT)", FUTURE, b"\xff\xfe"),
    ],
)
def test_rows_of_others(path, clock, data, expiry, expected):
    async def test(store):
        await store.ping()
        value = data if str(data).startswith("CAST") else "?"
        with rows(path) as other:
            other.execute(
                f"INSERT INTO sessions (session_id, data, expiry) VALUES ('a', {value}, ?)",
                (data, expiry) if value == "?" else (expiry,),
            )
        found = await store.get("a")
        listed = {name: record async for name, record in store._records()}
        touched, replaced = await store.touch("a", TTL), await store.replace("a", b"new", TTL, expected or b"")
        created, pruned = await store.create("a", b"other", TTL), await store.prune()
        return found, listed, touched, replaced, created, pruned, await store.get("a")

    lives = expected is not None
    listed = {"a": expected} if lives else {}
    last = b"new" if lives else b"other"
    assert ask(SQLiteStore(path, clock=clock), test) == (expected, listed, lives, lives, not lives, 0, last)


def test_a_row_of_others_that_is_over_is_pruned(path, clock):
    async def test(store):
        await store.ping()
        with rows(path) as other:
            put = "INSERT INTO sessions (session_id, data, expiry) VALUES (?, 'x', ?)"
            other.executemany(
                put, [("a", None), ("b", "2023-11-14T22:13:20"), ("c", FUTURE), (None, PAST), (None, FUTURE)]
            )
        return [record async for record in store._records()], await store.prune(), await store.get("c")

    assert ask(SQLiteStore(path, clock=clock), test) == ([("c", b"x")], 3, b"x")


# The thread


async def until_it_waits(store):
    """Return when the thread has begun with a call, which then waits for a lock."""
    with anyio.fail_after(20):
        while not store._in_use.locked():  # noqa: ASYNC110  # no loop is told of it
            await anyio.sleep(0.001)


async def cancel_by_scope(store, names):
    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(store.create, name, b"x", TTL)
            await anyio.sleep(0.001)  # one after the other, on trio too
        await until_it_waits(store)
        group.cancel_scope.cancel()


async def cancel_by_task(store, names):
    tasks = [asyncio.create_task(store.create(name, b"x", TTL)) for name in names]
    await until_it_waits(store)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in done] == [asyncio.CancelledError] * len(names)


@pytest.mark.parametrize(
    ("backend", "cancel"), [("asyncio", cancel_by_scope), ("trio", cancel_by_scope), ("asyncio", cancel_by_task)]
)
def test_of_cancelled_calls_each_is_done_or_never_begins(backend, cancel, path, caplog):
    names = ["begun", "waiting", "waiting too"]

    async def test(store):
        await store.ping()
        with locked(path):
            await cancel(store, names)
        found = [await store.get(name) for name in names]
        return found, await store.create("next", b"y", TTL), await store.get("next")

    assert run(backend, SQLiteStore(path), test) == ([b"x", None, None], True, b"y")
    assert caplog.records == []


def counted_by_many_threads(store):
    """Return what two tasks in each of four threads, on loops of their own, count up to together."""
    failures = []

    async def add_one_at_a_time():
        for _ in range(15):
            while True:
                value = await store.get("n")
                if await store.replace("n", b"%d" % (int(value) + 1), TTL, value):
                    break

    async def many():
        async with anyio.create_task_group() as group:
            group.start_soon(add_one_at_a_time)
            group.start_soon(add_one_at_a_time)

    def work(loop):
        try:
            anyio.run(many, backend=loop)
        except BaseException as error:  # noqa: BLE001  # looked at below
            failures.append(error)

    anyio.run(store.create, "n", b"0", TTL)
    workers = [threading.Thread(target=work, args=(loop,)) for loop in ("asyncio", "trio", "asyncio", "trio")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    return ask(store, lambda store: store.get("n"))


def test_threads_and_loops_share_one_store(path):
    assert counted_by_many_threads(SQLiteStore(path)) == b"120"


def test_a_loop_that_has_ended_leaves_the_thread_at_work(path):
    store = SQLiteStore(path)
    anyio.run(store.ping)
    with locked(path):

        async def leave():
            task = asyncio.ensure_future(store.create("a", b"x", TTL))
            await until_it_waits(store)
            del task

        asyncio.run(leave())

    async def test(store):
        with anyio.fail_after(20):
            return await store.get("a")

    assert ask(store, test) == b"x"


def threads():
    return {thread for thread in threading.enumerate() if thread.name == THREADS}


def test_closing_ends_file_and_thread_and_a_later_call_opens_anew(loop, path):
    before = threads()

    async def test(store):
        await store.aclose()
        await store.create("a", b"x", TTL)
        assert len(threads() - before) == 1
        await store.aclose()
        closed = store._connection is None, [file.name for file in path.parent.iterdir()]
        return closed, await store.get("a")

    assert run(loop, SQLiteStore(path), test) == ((True, ["sessions.db"]), b"x")
    assert wait_until(lambda: threads() <= before, "the thread goes on")


def test_closing_waits_for_calls_that_came_before(path):
    async def test(store):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(store.create, f"{number}", b"x", TTL)
            await anyio.lowlevel.checkpoint()
            await store.aclose()
        return [await store.get(f"{number}") for number in range(20)]

    assert ask(SQLiteStore(path), test) == [b"x"] * 20


def test_what_was_in_memory_is_gone_when_it_is_closed():
    async def test(store):
        await store.create("a", b"x", TTL)
        await store.aclose()
        return await store.get("a")

    assert ask(SQLiteStore(":memory:"), test) is None


def test_a_store_that_is_forgotten_ends_its_thread_and_closes_its_file(path):
    before = threads()
    anyio.run(SQLiteStore(path).create, "a", b"x", TTL)
    gc.collect()
    assert wait_until(lambda: threads() <= before, "the thread goes on")
    assert [file.name for file in path.parent.iterdir()] == ["sessions.db"]


def test_a_store_that_is_forgotten_and_never_opened_its_file_ends_its_thread(tmp_path):
    before = threads()
    with pytest.raises(StoreUnavailable):
        anyio.run(SQLiteStore(tmp_path / "nowhere" / "sessions.db").get, "a")
    gc.collect()
    assert wait_until(lambda: threads() <= before, "the thread goes on")


# Faults


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_lock_of_another_process_fails_the_call_in_time_and_the_next_one_works(loop, how, path):
    script = f"""
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN {how}")
print("locked", flush=True)
sys.stdin.read()
"""

    async def test(store):
        await store.create("a", b"x", TTL)
        with start(script, path) as other:
            assert other.stdout.readline() == "locked\n"
            with anyio.fail_after(10), pytest.raises(StoreUnavailable, match=r"OperationalError \(SQLITE_BUSY\)"):
                await store.replace("a", b"y", TTL, b"x")
            other.kill()
        return await store.replace("a", b"y", TTL, b"x"), await store.get("a")

    assert run(loop, SQLiteStore(path, timeout=SOON), test) == (True, b"y")


def test_a_lock_keeps_no_other_task_waiting(loop, path):
    async def test(store):
        await store.ping()
        with locked(path) as other:
            async with anyio.create_task_group() as group:
                group.start_soon(store.create, "a", b"x", TTL)
                await until_it_waits(store)
                other.execute("ROLLBACK")  # which a loop that waits itself would never come to
        return await store.get("a")

    assert run(loop, SQLiteStore(path, timeout=timedelta(minutes=1)), test) == b"x"


def test_calls_that_queue_behind_a_lock_fail_in_time(path):
    async def test(store):
        await store.ping()
        failed = []

        async def create(name):
            with pytest.raises(StoreUnavailable):
                await store.create(name, b"x", TTL)
            failed.append(name)

        with locked(path), anyio.fail_after(4):  # one after the other they would take 20 times 0.5 seconds
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(create, f"{number}")
        return len(failed), await store.create("a", b"x", TTL)

    assert ask(SQLiteStore(path, timeout=timedelta(seconds=1)), test) == (20, True)


def test_a_file_that_has_no_write_ahead_log_gets_one_when_others_let_it(path):
    async def test(store):
        with rows(path) as other:
            other.execute("CREATE TABLE app (x)")
        with locked(path), anyio.fail_after(10), pytest.raises(StoreUnavailable, match="SQLITE_BUSY"):
            await store.create("a", b"x", TTL)
        patient = SQLiteStore(path, timeout=timedelta(minutes=1))
        with locked(path) as other:
            async with anyio.create_task_group() as group:
                group.start_soon(patient.create, "a", b"x", TTL)
                await until_it_waits(patient)
                await anyio.sleep(0.05)
                other.execute("ROLLBACK")
        await patient.aclose()
        return await store.get("a"), store._connection.execute("PRAGMA journal_mode").fetchone()

    assert ask(SQLiteStore(path, timeout=SOON), test) == (b"x", ("wal",))


def test_readers_do_not_wait_for_a_writer(path):
    async def test(store):
        await store.create("a", b"x", TTL)
        with locked(path):
            return await store.get("a"), await store.ping()

    assert ask(SQLiteStore(path, timeout=SOON), test) == (b"x", None)


def test_a_missing_folder(loop, path):
    async def test(store):
        with pytest.raises(StoreUnavailable, match="SQLite failed: FileNotFoundError"):
            await store.get("a")
        path.parent.joinpath("later").mkdir()
        return await store.create("a", b"x", TTL)

    assert run(loop, SQLiteStore(path.parent / "later" / "sessions.db"), test) is True


def garbage(path):
    path.write_bytes(b"no database at all, " * 500)


def header_only(path):
    path.write_bytes(path.read_bytes()[:2000])


def pages(path):
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def other_table(path):
    path.unlink()
    with rows(path) as other:
        other.execute("CREATE TABLE sessions (session_id)")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (garbage, "DatabaseError (SQLITE_NOTADB)"),
        (header_only, "DatabaseError (SQLITE_CORRUPT)"),
        (pages, "DatabaseError (SQLITE_CORRUPT)"),
        (other_table, "OperationalError (SQLITE_ERROR)"),
    ],
)
def test_a_damaged_file(path, damage, kind):
    async def test(store):
        for number in range(50):
            await store.create(f"id-of-{number}", b"x" * 1000, TTL)
        await store.aclose()
        damage(path)
        for call in (
            store.get("id-of-0"),
            store.create("id-of-0", b"x", TTL),
            store.replace("id-of-1", b"y", TTL, b"x" * 1000),
            store.ping(),
        ):
            with pytest.raises(StoreUnavailable) as failed:
                await call
            assert str(failed.value) == f"SQLite failed: {kind}"
            assert "id-of" not in str(failed.value.__cause__)
        path.unlink()
        return await store.create("id-of-0", b"new", TTL), await store.get("id-of-0")

    assert ask(SQLiteStore(path), test) == (True, b"new")


def test_a_full_disk(path):
    async def test(store):
        await store.create("a", b"x", TTL)

        def fill(connection):
            connection.execute("PRAGMA max_page_count=20")

        await store._do(fill)
        with pytest.raises(StoreUnavailable, match=r"SQLite failed: OperationalError \(SQLITE_FULL\)"):
            await store.create("b", b"x" * 100_000, TTL)
        return await store.get("b"), await store.get("a"), await store.create("b", b"x" * 100_000, TTL)

    assert ask(SQLiteStore(path), test) == (None, b"x", True)


def test_memory_outlives_an_error():
    async def test(store):
        await store.create("a", b"x", TTL)
        with pytest.raises(StoreUnavailable, match="SQLITE_ERROR"):
            await store._do(sqlite._rows, "SELECT nothing", ())
        return await store.get("a")

    assert ask(SQLiteStore(":memory:"), test) == b"x"


def test_a_key_that_no_table_takes():
    async def test(store):
        with pytest.raises(StoreUnavailable, match="UnicodeEncodeError"):
            await store.get("\ud800")

    ask(SQLiteStore(":memory:"), test)


def test_requests_while_the_file_is_locked_and_after(path):
    store, now = SQLiteStore(path, timeout=SOON), [0]
    app = FlaskSessionASGI(app_that(lambda session: session.update(n=now[0])), SECRET, store=store, store_timeout=SOON)
    cookie = request(app, run=asyncio.run).cookie
    statuses = []
    for now[0] in (1, 2):
        with locked(path) if now[0] == 1 else nullcontext():
            answer = request(app, cookie, run=asyncio.run)
        statuses.append((answer.status, answer.cookie))
    assert statuses == [(503, None), (200, cookie)]
    asyncio.run(store.aclose())


# Several processes


def start(script, *args):
    """Start a Python that finds our modules and those of the tests; it begins when it is told to."""
    folders = os.pathsep.join((str(Path(sqlite.__file__).parents[2]), str(Path(__file__).parents[1])))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": folders},
        start_new_session=True,
    )


def together(script, *calls):
    """Return what several processes print, which begin at the same time."""
    processes = [start(script, *args) for args in calls]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * len(calls)
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        return [process.communicate(timeout=60)[0].strip() for process in processes]
    finally:
        for process in processes:
            with suppress(OSError, AttributeError):  # they have ended, or there are no groups here
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()


WRITERS = """
import sys
import anyio
from driver import SECRET, respond, scope_for
from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.stores.base import open_store

url, cookie, name, loop = sys.argv[1:]
store = open_store(url)

async def app(scope, receive, send):
    await anyio.sleep(0.005)
    scope["session"][scope["path"]] = True
    await respond(send)

app = FlaskSessionASGI(app, SECRET, store=store, store_timeout=20)
statuses = []

async def ask(number):
    async def send(message):
        statuses.append(message.get("status", 0))
    await app(scope_for(cookie, path=f"/{name}{number}"), None, send)

async def main():
    async with anyio.create_task_group() as group:
        for number in range(25):
            group.start_soon(ask, number)
    await store.aclose()

print("ready", flush=True)
sys.stdin.readline()
anyio.run(main, backend=loop)
print({*statuses} - {0})
"""


def written_by_two_processes(url):
    """Return what is in a session after two processes wrote to it, with 25 requests at once each."""
    store, seen = open_store(url), {}
    app = FlaskSessionASGI(app_that(lambda session: session.update(first=True)), SECRET, store=store)
    cookie = request(app, run=asyncio.run).cookie
    assert together(WRITERS, (url, cookie, "a", "asyncio"), (url, cookie, "b", "trio")) == ["{200}", "{200}"]
    request(FlaskSessionASGI(app_that(seen.update), SECRET, store=store), cookie, run=asyncio.run)
    asyncio.run(store.aclose())
    return set(seen)


ALL_WRITTEN = {"first", *(f"/{name}{number}" for name in "ab" for number in range(25))}


def test_two_processes_with_25_writers_each_lose_no_write(path):
    assert written_by_two_processes(f"sqlite:///{path}") == ALL_WRITTEN


FIRST = """
import sys
import anyio
from asgi_flask_session.stores.sqlite import SQLiteStore

path, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()

async def main():
    store = SQLiteStore(path)
    await store.create(name, b"x", 60)
    await store.aclose()

anyio.run(main)
"""


def test_processes_that_make_the_file_at_once_all_work(path):
    assert together(FIRST, *((path, name) for name in "abcd")) == [""] * 4

    async def test(store):
        return [await store.get(name) for name in "abcd"]

    assert ask(SQLiteStore(path), test) == [b"x"] * 4


@pytest.mark.skipif(os.name == "nt", reason="there locks belong to a file that is open, not to a process")
def test_a_second_store_of_a_process_leaves_the_locks_of_the_first_alone(path):
    async def test(store):
        await store.create("a", b"x", TTL)
        await SQLiteStore(path).ping()
        assert together(FIRST, (path, "b")) == [""]  # the last user of a file takes its log away
        return sorted(file.name for file in path.parent.iterdir())

    assert ask(SQLiteStore(path), test) == ["sessions.db", "sessions.db-shm", "sessions.db-wal"]


ENDLESS = """
import sys
import anyio
from asgi_flask_session.stores.base import open_store

async def main():
    store = open_store(sys.argv[1])
    value = await store.get("a")
    while True:
        for new in (b"x" * 5000, b"y" * 5000):
            assert await store.replace("a", new, 60, value)
            value = new
            print(".", end="", flush=True)

anyio.run(main)
"""


def left_by_a_killed_writer(url):
    """Say whether a process that was killed while it wrote left a whole record, which can be written."""
    ask(open_store(url), lambda store: store.create("a", b"x" * 5000, TTL))
    with start(ENDLESS, url) as process:
        assert process.stdout.read(50) == "." * 50
        process.kill()

    async def test(store):
        value = await store.get("a")
        return value in (b"x" * 5000, b"y" * 5000), await store.replace("a", b"z", TTL, value)

    return ask(open_store(url), test)


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_record(path):
    assert left_by_a_killed_writer(f"sqlite:///{path}") == (True, True)
    with rows(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


FORK = """
import os, sys, threading, time
import anyio
from asgi_flask_session.stores.sqlite import SQLiteStore

path = sys.argv[1]
store, memory, unused = SQLiteStore(path), SQLiteStore(":memory:"), SQLiteStore(path)
SQLiteStore(path)  # nobody keeps it
here, there = os.pipe(), os.pipe()

async def begin():
    await store.create("parent", b"1", 60)
    await memory.create("parent", b"1", 60)

def count(connection):
    connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
                       " SELECT max(i) FROM n").fetchone()

async def in_child():
    await store.create("child", b"1", 60)
    os.write(here[1], b"x")
    os.read(there[0], 1)  # by now the parent has closed its file
    await store.create("child later", b"1", 60)
    print("child", await store.get("parent"), await memory.get("parent"), await unused.get("child"), flush=True)

async def in_parent():
    await store.create("parent later", b"1", 60)
    await store.aclose()
    os.write(there[1], b"x")
    os.waitpid(child, 0)
    names = ("parent", "child", "parent later", "child later")
    print("parent", [await store.get(name) for name in names], await memory.get("parent"), flush=True)

print("ready", flush=True)
sys.stdin.readline()
anyio.run(begin)
at_work = threading.Thread(target=anyio.run, args=(store._do, count))
at_work.start()
while not store._in_use.locked():
    time.sleep(0.001)
if child := os.fork():
    print("open" if store._connection else "closed", flush=True)
    at_work.join()
    os.read(here[0], 1)
    anyio.run(in_parent, backend="trio")
else:
    anyio.run(in_child)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_store_that_was_used_before_a_fork_loses_nothing_after_it(path):
    (printed,) = together(FORK, (path,))
    assert printed.splitlines() == [
        "closed",
        "child b'1' None b'1'",
        "parent [b'1', b'1', b'1', b'1'] b'1'",
    ]
