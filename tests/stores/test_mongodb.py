"""All of this is shown on nx-27017 only, which is no MongoDB (services.mongodb says what it lacks), unless
SESSION_TESTS_MONGODB_URL names a real one; where a server is killed, frozen or cut off it is nx-27017 in any case.
"""

import asyncio
import random
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import flask
import flask_session
import pymongo
import pytest
from driver import SECRET, Exchange, app_that, scope_for
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure
from services import mongodb, proxy
from services.processes import wait_until
from stores.contract import TTL, PruneContract, SessionContract, StoreContract, UsersContract, key

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError
from asgi_flask_session.errors import StoreUnavailable
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.mongodb import MongoDBStore


@pytest.fixture(scope="module")
def mongodb_server():
    with mongodb.running() as server:
        yield server


@pytest.fixture
def documents(mongodb_server):
    """The collection as another program sees it."""
    with pymongo.MongoClient(mongodb_server.url, tz_aware=True) as client:
        yield client[mongodb_server.database]["sessions"]


@asynccontextmanager
async def opened(url, **options):
    store = MongoDBStore.from_url(url, **options)
    try:
        yield store
    finally:
        await store.aclose()


def run(url, test, **options):
    async def main():
        async with opened(url, **options) as store:
            return await test(store)

    return asyncio.run(main())


async def failure(call):
    """Return the error of a call; None if it is done."""
    try:
        await call
    except StoreUnavailable as error:
        return error
    return None


async def recovery(store):
    """Wait until the store works again: pymongo looks for a server that was gone twice a second."""
    with anyio.fail_after(30):
        while await failure(store.get(key())):
            pass


class TestMongoDBStore(StoreContract, PruneContract, UsersContract, SessionContract):
    loops = ("asyncio",)

    @pytest.fixture(autouse=True)
    def _server(self, mongodb_server, clock):
        self.server = mongodb_server
        clock.now = time.time()  # a real server deletes by its own clock

    @asynccontextmanager
    async def opened(self, clock):
        async with pymongo.AsyncMongoClient(self.server.url) as client:
            store = MongoDBStore(client, database=self.server.database, clock=clock)
            yield store
            await store.aclose()
            await client.admin.command("ping")  # a client that was given is left open


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "mongodb:",
        "mongodb://",
        "mongodb:localhost",
        "mongodb://localhost:99999",
        "mongodb://user:pass:word@localhost",
        "mongodb://localhost/a b",
        "mongodb://[::1",
        "mongodb+srv://localhost:1,b.example",
    ],
)
def test_a_url_that_pymongo_refuses_is_refused(url):
    with pytest.raises(SettingsError, match="mongodb://user:password@host:27017/database") as caught:
        open_store(url)
    assert "pass:word" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("client", [pymongo.MongoClient("mongodb://localhost", connect=False), "mongodb://localhost"])
def test_what_is_no_asynchronous_client_is_refused(client):
    with pytest.raises(SettingsError, match="write pymongo.AsyncMongoClient"):
        MongoDBStore(client)


def test_writes_without_an_answer_are_refused():
    with pytest.raises(SettingsError, match="w=0"):
        open_store("mongodb://localhost/?w=0")
    with pytest.raises(SettingsError, match="w=0"):
        MongoDBStore(pymongo.AsyncMongoClient("mongodb://localhost", w=0))


@pytest.mark.parametrize(
    ("path", "database"),
    [("", "flask_session"), ("/", "flask_session"), ("/other", "other"), ("/?tls=false", "flask_session")],
)
def test_the_database_of_a_url(path, database):
    async def test(store):
        collection = store._link().collection
        return collection.database.name, collection.name, collection.read_preference.name

    for scheme in ("mongodb", "MongoDB"):
        assert run(f"{scheme}://localhost{path}", test) == (database, "sessions", "Primary")


def test_the_limits_of_time_are_the_urls_or_the_stores():
    async def test(store):
        options = store._link().client.options
        pool = options.pool_options
        return options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout, pool.wait_queue_timeout

    assert run("mongodb://localhost", test, timeout=timedelta(seconds=3)) == (3, 1.5, 3, 3)
    assert run("mongodb://localhost/?sockettimeoutms=700&connectTimeoutMS=200", test) == (2, 0.2, 0.7, 2)


def test_trio_is_told_to_use_another_store():
    async def main(store):
        for call in (store.get("key"), store.delete("key"), store.ping()):
            with pytest.raises(SettingsError, match="on trio use a Redis"):
                await call
        await store.aclose()

    anyio.run(main, MongoDBStore.from_url("mongodb://localhost"), backend="trio")


def test_a_store_serves_several_event_loops(mongodb_server):
    store, name = MongoDBStore.from_url(mongodb_server.url), key()

    async def main(call):
        try:
            return await call()
        finally:
            await store.aclose()

    assert asyncio.run(main(lambda: store.create(name, b"x", TTL))) is True
    assert asyncio.run(main(lambda: store.get(name))) == b"x"


def test_what_an_event_loop_left_open_is_forgotten_with_it(mongodb_server):
    store = MongoDBStore.from_url(mongodb_server.url)

    async def leave_open():
        await store.ping()
        await store._link().client.close()  # pymongo tells of what nobody closed

    for _ in range(3):
        asyncio.run(leave_open())
    assert len(store._links) == 1


# Documents


def test_a_record_is_a_document_as_flask_session_has_it(mongodb_server, documents):
    async def test(store):
        name = key()
        await store.create(name, b"\x81\xff", TTL)
        made = documents.find_one({"id": name})
        await store.replace(name, b"\x80", 2 * TTL, b"\x81\xff")
        return name, made, documents.find_one({"id": name})

    name, made, replaced = run(mongodb_server.url, test)
    now = datetime.now(UTC)
    ends = [document.pop("expiration") - now for document in (made, replaced)]
    assert made == {"_id": name, "id": name, "val": b"\x81\xff", "version": 1}
    assert replaced == {"_id": name, "id": name, "val": b"\x80", "version": 2}
    assert [end.total_seconds() for end in ends] == pytest.approx([TTL, 2 * TTL], abs=10)


def test_the_server_is_asked_to_delete_what_is_over(mongodb_server, documents):
    run(mongodb_server.url, lambda store: store.get(key()))
    indexes = documents.index_information().values()
    assert [one["key"] for one in indexes if one.get("expireAfterSeconds") == 0] == [[("expiration", 1)]]


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"val": b"x"}, b"x"),
        ({"val": b""}, b""),
        ({"val": "x"}, b""),
        ({"val": 7}, b""),
        ({"val": None}, b""),
        ({}, b""),
        ({"val": b"x", "expiration": datetime(2020, 1, 1, tzinfo=UTC)}, None),  # not deleted yet
        ({"val": b"x", "expiration": None}, None),
        ({"val": b"x", "expiration": "2999-01-01"}, None),
        ({"val": b"x", "version": "no number"}, b"x"),
    ],
    ids=str,
)
def test_what_others_left_there(mongodb_server, documents, document, value):
    name = key()
    documents.insert_one({"id": name, "expiration": datetime(2999, 1, 1, tzinfo=UTC), **document})

    async def test(store):
        return await store.get(name), await store.replace(name, b"y", TTL, b"x"), await store.get(name)

    assert run(mongodb_server.url, test) == ((value, True, b"y") if value == b"x" else (value, False, value))


def test_what_is_there_twice_is_deleted_with_its_double(mongodb_server, documents):
    name = key()
    documents.insert_many([{"id": name, "val": b"x", "expiration": datetime(2999, 1, 1, tzinfo=UTC)} for _ in range(2)])
    run(mongodb_server.url, lambda store: store.delete(name))
    assert documents.count_documents({"id": name}) == 0


def test_what_is_no_session_is_nobodys(mongodb_server, documents):
    ends = datetime(2999, 1, 1, tzinfo=UTC)
    documents.insert_one({"id": 7, "val": b'{"_user_id":"seven"}', "expiration": ends})
    documents.insert_one({"val": b'{"_user_id":"seven"}', "expiration": ends})
    documents.insert_one({"id": key(), "expiration": ends})
    assert run(mongodb_server.url, lambda store: store.sessions_of("seven")) == []


class Watched:
    """A collection with which something happens each time after *method* was called, or in its place."""

    def __init__(self, collection, method, happens, *, instead=False):
        self.collection, self.method, self.happens, self.instead = collection, method, happens, instead

    def __getattr__(self, name):
        if name != self.method:
            return getattr(self.collection, name)

        async def watched(*args, **options):
            found = None if self.instead else await getattr(self.collection, name)(*args, **options)
            await self.happens()
            return found

        return watched


BETWEEN = {  # what another does while a record is replaced -> is it, and what is there then
    "nothing": (lambda documents, name: None, True, b"ours"),
    "a blind write": (
        lambda documents, name: documents.update_one(
            {"id": name}, {"$set": {"val": b"theirs", "expiration": datetime(2998, 1, 1, tzinfo=UTC)}}
        ),
        False,
        b"theirs",
    ),
    "a refresh": (
        lambda documents, name: documents.update_one(
            {"id": name}, {"$set": {"expiration": datetime(2998, 1, 1, tzinfo=UTC)}}
        ),
        True,
        b"ours",
    ),
    "a deletion": (lambda documents, name: documents.delete_one({"id": name}), False, None),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_another_between_comparing_and_writing(mongodb_server, documents, between):
    act, replaced, left = BETWEEN[between]

    async def test(store):
        name, acts = key(), [act]
        await store.create(name, b"old", TTL)

        async def once():
            if acts:
                acts.pop()(documents, name)

        link = store._link()
        link.collection = Watched(link.collection, "find_one", once)
        return await store.replace(name, b"ours", TTL, b"old"), await store.get(name)

    assert run(mongodb_server.url, test) == (replaced, left)


def test_another_that_creates_the_same_record_meanwhile(mongodb_server):
    async def be_late():
        raise DuplicateKeyError("E11000", 11000)

    async def test(store):
        link = store._link()
        link.collection = Watched(link.collection, "update_one", be_late, instead=True)
        return await store.create(key(), b"x", TTL)

    assert run(mongodb_server.url, test) is False


# Indexes


@pytest.mark.parametrize(("code", "warnings"), [(13, 2), (85, 0), (86, 0)])
def test_indexes_that_the_server_refuses_are_done_without(mongodb_server, caplog, code, warnings):
    async def refuse():
        tried.append(code)
        raise OperationFailure("no", code)

    async def test(store):
        link, name = store._link(), key()
        link.collection = Watched(link.collection, "create_index", refuse, instead=True)
        return await store.create(name, b"x", TTL), await store.get(name)

    tried = []
    assert run(mongodb_server.url, test) == (True, b"x")
    assert len(tried) == 2
    assert [f"code {code}" in record.message for record in caplog.records] == [True] * min(warnings, 1)


def test_indexes_that_take_long_are_not_waited_for_and_end_with_the_store(mongodb_server):
    async def take_long():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def test(store):
        link = store._link()
        link.collection = Watched(link.collection, "create_index", take_long, instead=True)
        started, name = asyncio.get_running_loop().time(), key()
        with anyio.move_on_after(0.05):
            await store.get(name)
        going_on = not ended
        done = await store.create(name, b"x", TTL), await store.get(name)
        return going_on, done, asyncio.get_running_loop().time() - started

    ended = []
    going_on, done, lasted = run(mongodb_server.url, test)
    assert going_on
    assert done == (True, b"x")
    assert lasted < 10
    assert ended == [True]


def test_indexes_that_could_not_be_made_are_made_by_a_later_call(mongodb_server):
    async def break_off():
        tried.append(1)
        if len(tried) == 1:
            raise AutoReconnect("gone")

    async def test(store):
        link = store._link()
        link.collection = Watched(link.collection, "create_index", break_off, instead=True)
        for _ in range(4):
            await store.get(key())

    tried = []
    run(mongodb_server.url, test)
    assert len(tried) == 3


# Faults


@pytest.fixture(scope="module")
def stand_in():
    with mongodb.stand_in() as server:
        yield server


@pytest.fixture
def network(stand_in):
    """What lies between the store and its server."""
    with proxy.before(stand_in.port) as network:
        network.url = f"mongodb://127.0.0.1:{network.port}/{stand_in.database}"
        yield network


@pytest.mark.parametrize("cut", [0, 1, 4, 15, 16, 17, 30, 60, 90, 120])
def test_a_reply_that_is_cut_never_becomes_a_wrong_one(network, cut):
    async def test(store):
        names = [key() for _ in range(2)]
        for name in names:
            await store.create(name, name.encode(), TTL)
        network.cut(to_client=cut)
        try:
            first = await store.get(names[0])
        except StoreUnavailable:
            first = None
        return first in {None, names[0].encode()}, [await store.get(name) == name.encode() for name in names]

    assert run(network.url, test) == (True, [True, True])


# A connection that is cancelled while it is made, pymongo leaves to the garbage collector, which closes it.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("how", ["scope", "task"])
def test_calls_that_are_cancelled_leave_nothing_for_the_next_ones(network, how):
    chance = random.Random(17)

    async def test(store):
        names = [key() for _ in range(100)]
        for name in names:
            await store.create(name, name.encode(), TTL)
        network.delay = 0.01
        answers = {}

        async def ask(name):
            answers[name] = await store.get(name)

        async def ask_within(name, seconds):
            if how == "scope":
                with anyio.move_on_after(seconds):
                    await ask(name)
            else:
                task = asyncio.ensure_future(ask(name))
                await asyncio.wait([task], timeout=seconds)
                task.cancel()

        async with anyio.create_task_group() as group:
            for number, name in enumerate(names):
                group.start_soon(ask_within, name, chance.uniform(0, 0.2) if number % 2 else 60)
        network.delay = 0
        wrong = [name for name, answer in answers.items() if answer != name.encode()]
        return len(answers), wrong, [name for name in names if await store.get(name) != name.encode()]

    done, wrong, wrong_later = run(network.url, test, timeout=timedelta(seconds=20))
    assert 50 <= done <= 100
    assert (wrong, wrong_later) == ([], [])
    assert network.most <= 105  # pymongo's 100, and what it watches the server with
    wait_until(lambda: network.connections == 0, "a connection is left open")


def test_a_frozen_server_is_a_failure_in_time_and_works_when_it_is_back(network):
    async def test(store):
        name, ticks = key(), 0
        await store.create(name, b"x", TTL)
        network.freeze()
        started = asyncio.get_running_loop().time()
        calls = [asyncio.ensure_future(failure(store.get(name))) for _ in range(4)]
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.01)
            ticks += 1
        lasted = asyncio.get_running_loop().time() - started
        network.thaw()
        await recovery(store)
        return [call.result() for call in calls], lasted, ticks, await store.replace(name, b"y", TTL, b"x")

    errors, lasted, ticks, replaced = run(network.url, test, timeout=timedelta(seconds=0.5))
    assert all(str(error).startswith("MongoDB failed: ") for error in errors)
    assert 0.4 < lasted < 6
    assert ticks > 5  # the event loop went on
    assert replaced is True


def test_a_server_that_was_killed_works_when_it_is_back():
    async def test(store):
        name = key()
        await store.create("session:" + "k" * 43, b"value-of-it", TTL)
        server.kill()
        down = [await failure(call) for call in (store.get("session:" + "k" * 43), store.create(name, b"v", TTL))]
        server.start()
        await recovery(store)
        return down, await store.create(name, b"x", TTL), await store.get(name)

    with mongodb.stand_in() as server:
        down, *done = run(server.url, test, timeout=timedelta(seconds=0.5))
    assert done == [True, b"x"]
    assert None not in down
    assert "kkk" not in repr(down)


# Beside Flask-Session


class Ours:
    """Our middleware around an app that does with the session what it is asked to."""

    def __init__(self, store, settings):
        self.app = FlaskSessionASGI(app_that(self.view), settings=settings, store=store)

    def view(self, session):
        self.act(session)

    async def request(self, cookie, act):
        """Return the value of the cookie that is set; "" for a deletion, None for none."""
        self.act, exchange = act, Exchange()

        async def send(message):
            exchange.messages.append(message)

        await self.app(scope_for(cookie), None, send)
        assert exchange.status == 200
        return exchange.cookie


class OfFlaskSession:
    """A Flask app with Flask-Session on the same server, which does the same."""

    def __init__(self, client, database, **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "SESSION_TYPE": "mongodb", "SESSION_MONGODB": client}
        self.app.config |= {"SESSION_MONGODB_DB": database, **config}
        flask_session.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)

    def view(self):
        self.act(flask.session)
        return ""

    async def request(self, cookie, act):
        self.act = act
        sent = {} if cookie is None else {"Cookie": f"session={cookie}"}
        response = self.app.test_client(use_cookies=False).get("/", headers=sent)
        assert response.status_code == 200
        return response.headers.get("Set-Cookie", "").partition(";")[0].partition("=")[2]


@pytest.mark.parametrize(
    "config",
    [{"SESSION_KEY_PREFIX": "shared:"}, {"SESSION_SERIALIZATION_FORMAT": "json"}, {"SESSION_USE_SIGNER": True}],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:The 'use_signer' option is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_sessions_are_shared_with_flask_session(mongodb_server, config):
    seen = []

    def look(session):
        seen.append({name: value for name, value in session.items() if not name.startswith("_")})

    async def test(store):
        theirs = OfFlaskSession(client, mongodb_server.database, **config)
        ours = Ours(store, Settings.from_flask(theirs.app))
        for writer, other in ((theirs, ours), (ours, theirs)):
            cookie = await writer.request(None, lambda session: session.update(a="é", n=[1, {"b": None}]))
            await other.request(cookie, lambda session: session.update(c=2.5))
            await writer.request(cookie, look)
            await writer.request(cookie, lambda session: session.pop("a"))
            await other.request(cookie, look)
            await other.request(cookie, lambda session: session.clear())
            await writer.request(cookie, look)

    with pymongo.MongoClient(mongodb_server.url) as client:
        run(mongodb_server.url, test)
    assert seen == [{"a": "é", "n": [1, {"b": None}], "c": 2.5}, {"n": [1, {"b": None}], "c": 2.5}, {}] * 2
