"""From the real Quart-Session, and from the real Flask-Session, to quart_plugin.Session: nobody is logged out.

MongoDB is nx-27017, mended so that it finds a UUID, unless SESSION_TESTS_MONGODB_URL names a real one. Quart-Session
reaches it by motor where that is installed, and by its successor in pymongo otherwise, which has the same methods.
"""

import asyncio
import sys
import warnings
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from inspect import isawaitable
from types import ModuleType, SimpleNamespace
from uuid import UUID

import aiomcache
import flask
import flask_session
import flask_sqlalchemy
import pymongo
import pytest
import quart
import quart_session
import redis
import trio
from bson.binary import Binary
from itsdangerous import Signer
from pymemcache.client.base import Client
from quart_session.redis_trio import RedisTrio
from quart_trio import QuartTrio
from services import mariadb, memcached, mongodb, postgresql
from services import redis as redis_servers

import quart_plugin

# Quart-Session calls what redis-py wants to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning:quart_session")

SECRET = "a-secret-of-the-tests-only"
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
LOGIN = {"_user_id": "7", "_fresh": True, "cart": [1, {"n": 2.5}], "é": None}
TYPED = {**LOGIN, "t": (1, ("x",)), "raw": b"\x00\xff", "when": MOMENT, "id": UUID(int=1)}

_UUIDS_IN_THE_STAND_IN = """
from bson.binary import Binary
from nx_27017 import utils, wire_protocol

def changed(value, change):
    if isinstance(value, dict):
        return {name: changed(item, change) for name, item in value.items()}
    return [changed(item, change) for item in value] if isinstance(value, list) else change(value)

def as_text(value):
    return f"uuid:{value.hex()}" if isinstance(value, Binary) and value.subtype == 4 else value

def as_uuid(value):
    is_one = isinstance(value, str) and value.startswith("uuid:")
    return Binary(bytes.fromhex(value[5:]), 4) if is_one else value

read, written = utils.convert_bson_to_neo_objectids, wire_protocol._convert_objectids
utils.convert_bson_to_neo_objectids = lambda document: changed(read(document), as_text)
wire_protocol._convert_objectids = lambda document: changed(written(document), as_uuid)
"""


@contextmanager
def mongodb_that_finds_uuids():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mongodb, "_START", _UUIDS_IN_THE_STAND_IN + mongodb._START)
        with mongodb.running() as server:
            yield server


def server(running):
    @pytest.fixture(scope="module")
    def start():
        with running() as server:
            yield server

    return start


redis_server, memcached_server = server(redis_servers.running), server(memcached.running)
postgresql_server, mariadb_server = server(postgresql.running), server(mariadb.running)
mongodb_server = server(mongodb_that_finds_uuids)


@pytest.fixture(autouse=True)
def _motor(monkeypatch):
    if find_spec("motor") is None:
        successor = ModuleType("motor.motor_asyncio")
        successor.AsyncIOMotorClient = pymongo.AsyncMongoClient
        monkeypatch.setitem(sys.modules, "motor", ModuleType("motor"))
        monkeypatch.setitem(sys.modules, "motor.motor_asyncio", successor)


# From Quart-Session, which has the same config


class Side:
    """A Quart app of one view, which does with the session what it is asked to."""

    def __init__(self, extension, kind=quart.Quart, **config):
        self.app = kind(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "TESTING": True, **config}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of "null"
            extension.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)
        self.interface = self.app.session_interface

    async def view(self):
        self.act(quart.session)
        return ""

    async def ask(self, cookie, act):
        """Return the value of the cookie that a response sets, or None."""
        self.act = act
        headers = {"X-Forwarded-For": "198.51.100.7"} | ({} if cookie is None else {"Cookie": f"session={cookie}"})
        client, scope = self.app.test_client(use_cookies=False), {"client": ("192.0.2.1", 1)}
        response = await client.get("/", headers=headers, scope_base=scope)
        assert response.status_code == 200
        self.line = line = response.headers.get("Set-Cookie")
        return line and line.partition(";")[0].removeprefix("session=")

    async def write(self, data, cookie=None):
        return await self.ask(cookie, lambda session: session.update(data))

    async def read(self, cookie):
        seen = {}
        await self.ask(cookie, seen.update)
        return {key: seen[key] for key in seen if key not in ("_permanent", "_addr")}

    async def end(self, cookie):
        return await self.ask(cookie, lambda session: session.clear())


@asynccontextmanager
async def sides(kind=quart.Quart, **config):
    """Yield an app on Quart-Session and one on ours, both served."""
    theirs, ours = (Side(extension, kind, **config) for extension in (quart_session, quart_plugin))
    async with theirs.app.test_app(), ours.app.test_app():
        yield theirs, ours
    if kind is quart.Quart:
        await close_what_they_opened(theirs.interface)
        await asyncio.sleep(0)  # in which aiomcache's connections close


async def close_what_they_opened(interface):
    if hasattr(interface, "_client"):  # MongoDB's
        close = interface._client.close
    else:
        close = getattr(interface.backend, "aclose", getattr(interface.backend, "close", None))
    if close is not None and isawaitable(closing := close()):
        await closing


def redis_config(server):
    return {"SESSION_TYPE": "redis", "SESSION_URI": server.url}


def redis_client_config(server):
    client = redis.asyncio.from_url(server.url, encoding="utf-8", decode_responses=True)
    return {"SESSION_TYPE": "redis", "SESSION_REDIS": client}


def trio_config(server):
    return {"SESSION_TYPE": "redis+trio", "SESSION_REDIS": RedisTrio(b"127.0.0.1", server.port)}


def memcached_config(server):
    return {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED_HOST": "127.0.0.1", "SESSION_MEMCACHED_PORT": server.port}


def memcached_client_config(server):
    return {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": aiomcache.Client("127.0.0.1", server.port)}


FROM_QUART_SESSION = {
    "redis": ("redis_server", redis_config, quart.Quart),
    "redis client": ("redis_server", redis_client_config, quart.Quart),
    "redis on trio": ("redis_server", trio_config, QuartTrio),
    "memcached": ("memcached_server", memcached_config, quart.Quart),
    "memcached client": ("memcached_server", memcached_client_config, quart.Quart),
}


@pytest.fixture(params=FROM_QUART_SESSION)
def switch(request):
    """Return a function that runs a test between Quart-Session and ours."""
    name, config, kind = FROM_QUART_SESSION[request.param]
    server = request.getfixturevalue(name)

    def run(test, **more):
        async def main():
            found = config(server)
            if kind is QuartTrio:
                await found["SESSION_REDIS"].connect()
            async with sides(kind, **found, **more) as (theirs, ours):
                await test(theirs, ours)
            if kind is QuartTrio:
                found["SESSION_REDIS"].conn.close()

        if kind is QuartTrio:
            trio.run(main)
        else:
            asyncio.run(main())

    return run


OPTIONS = [{}, {"SESSION_KEY_PREFIX": "app:", "SESSION_PERMANENT": False}]


@pytest.mark.parametrize("config", OPTIONS, ids=str)
def test_a_session_of_quart_session_goes_on_here_and_there_again(switch, config):
    async def test(theirs, ours):
        cookie = await theirs.write(TYPED)
        assert UUID(cookie).version == 4
        assert await ours.read(cookie) == TYPED
        assert await ours.write({"cart": []}, cookie) == cookie
        assert await ours.read(cookie) == await theirs.read(cookie) == {**TYPED, "cart": []}
        assert await theirs.write({"n": 1}, cookie) == cookie
        assert await ours.read(cookie) == {**TYPED, "cart": [], "n": 1}
        await ours.end(cookie)
        assert await ours.read(cookie) == await theirs.read(cookie) == {}

    switch(test, **config)


@pytest.mark.parametrize("config", OPTIONS, ids=str)
def test_a_session_begun_here_goes_on_in_quart_session(switch, config):
    async def test(theirs, ours):
        cookie = await ours.write(TYPED)
        assert await theirs.read(cookie) == TYPED
        assert await theirs.write({"n": 1}, cookie) == cookie
        assert await ours.read(cookie) == {**TYPED, "n": 1}
        await theirs.end(cookie)
        assert await ours.read(cookie) == await theirs.read(cookie) == {}

    switch(test, **config)


@pytest.mark.parametrize("proxied", [False, True])
def test_a_protected_session_goes_on_here_and_there_again(switch, proxied):
    async def test(theirs, ours):
        cookie = await theirs.write(LOGIN)
        assert await ours.read(cookie) == LOGIN
        assert await ours.write({"n": 1}, cookie) == cookie
        assert await theirs.read(cookie) == {**LOGIN, "n": 1}
        assert await theirs.read(await ours.write(LOGIN)) == LOGIN

    switch(test, SESSION_PROTECTION=True, SESSION_REVERSE_PROXY=proxied)


def test_a_signed_id_goes_on_here_and_there_again(switch):
    """Quart-Session reads signed ids on today's Werkzeug, but cannot write them: the test signs as it would."""

    async def test(theirs, ours):
        signed = Signer(SECRET, salt="quart-session", key_derivation="hmac").sign
        theirs.interface.use_signer = False
        sid = await theirs.write(LOGIN)
        theirs.interface.use_signer = True
        cookie = signed(sid).decode()
        assert await ours.read(sid) == {}
        assert await ours.read(cookie) == await theirs.read(cookie) == LOGIN
        assert await ours.write({"n": 1}, cookie) == cookie
        assert await theirs.read(cookie) == {**LOGIN, "n": 1}
        assert await theirs.read(await ours.write(LOGIN)) == LOGIN

    switch(test, SESSION_USE_SIGNER=True)


COOKIES = {
    "as it comes": {},
    "not permanent": {"SESSION_PERMANENT": False},
    "all": {
        "SESSION_COOKIE_DOMAIN": "example.com",
        "SESSION_COOKIE_PATH": "/app",
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "PERMANENT_SESSION_LIFETIME": timedelta(days=400),
    },
}


@pytest.mark.parametrize("config", COOKIES.values(), ids=COOKIES)
def test_the_cookie_is_spelled_as_quart_session_spells_it(redis_server, config):
    async def main():
        async with sides(**redis_config(redis_server), **config) as (theirs, ours):
            for side in (theirs, ours):
                side.sid = await side.write(LOGIN)
            ours.interface._clock = lambda: ends_of(theirs.line) - ours.app.permanent_session_lifetime.total_seconds()
            ours.sid = await ours.write(LOGIN)
            assert ours.line.replace(ours.sid, theirs.sid) == theirs.line

    asyncio.run(main())


def ends_of(line):
    expires = line.partition("Expires=")[2].partition(";")[0]
    return parsedate_to_datetime(expires).timestamp() if expires else 0


def test_a_value_set_by_hand_is_there_on_both_sides(switch):
    async def test(theirs, ours):
        for here, there in ((theirs, ours), (ours, theirs)):
            await here.interface.set(key="hand", value="made é", expiry=60, app=here.app)
            assert await there.interface.get(key="hand", app=there.app) == await here.interface.get(key="hand")
            await there.interface.delete(key="hand", app=there.app)
            assert await here.interface.get(key="hand", app=here.app) is None

    switch(test)


def test_a_cookie_of_null_leads_to_a_new_session():
    async def main():
        async with sides(SESSION_TYPE="null") as (theirs, ours):
            cookie = await theirs.write(LOGIN)
            assert UUID(cookie).version == 4
            assert await ours.read(cookie) == {}
            assert await ours.write(LOGIN, cookie) not in (None, cookie)

    asyncio.run(main())


# From Quart-Session on MongoDB, whose documents are read, and written as Flask-Session's


def run_on_mongodb(server, test, **config):
    async def main():
        client = pymongo.MongoClient(server.url, tz_aware=True, uuidRepresentation="standard")
        documents = client[server.database]["theirs"]
        names = {"SESSION_MONGODB_URI": server.url, "SESSION_MONGODB_COLLECTION": "theirs"}
        with client:
            async with sides(SESSION_TYPE="mongodb", **names, **config) as (theirs, ours):
                await test(theirs, ours, documents)

    asyncio.run(main())


AS_MONGODB_KEEPS_IT = {**TYPED, "t": [1, ["x"]]}


@pytest.mark.parametrize(
    ("config", "id_of"), [({}, UUID), ({"SESSION_KEY_PREFIX": "app:"}, "app:{}".format)], ids=["UUID", "key"]
)
def test_a_document_of_quart_session_becomes_one_of_flask_session(mongodb_server, config, id_of):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(TYPED)
        there = documents.find_one({"_id": id_of(cookie)})
        assert there.keys() == {"_id", "data"}
        assert await ours.read(cookie) == AS_MONGODB_KEEPS_IT
        assert await ours.write({"n": 1}, cookie) == cookie
        here = documents.find_one({"id": ours.app.config.get("SESSION_KEY_PREFIX", "session:") + cookie})
        assert here.keys() == {"_id", "id", "val", "expiration", "version"}
        assert here["_id"] == there["_id"]
        assert here["expiration"] > datetime.now(UTC)
        assert await ours.read(cookie) == {**AS_MONGODB_KEEPS_IT, "n": 1}
        await ours.end(cookie)
        assert documents.find_one({"_id": id_of(cookie)}) is None
        assert await ours.read(cookie) == {}

    run_on_mongodb(mongodb_server, test, **config)


def test_a_document_of_quart_session_is_renewed_by_a_read(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        assert await ours.ask(cookie, lambda session: None) == cookie  # for it is permanent
        assert documents.find_one({"id": f"session:{cookie}"})["expiration"] > datetime.now(UTC)
        assert await ours.read(cookie) == LOGIN

    run_on_mongodb(mongodb_server, test)


def test_a_document_of_quart_session_is_to_the_store_a_record(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        store, key = ours.interface.store, f"session:{cookie}"
        for ttl in (60, 120):  # theirs, and the record that it becomes
            assert await store.touch(key, ttl)
            here = documents.find_one({"id": key})
            assert 0 <= ttl - (here["expiration"] - datetime.now(UTC)).total_seconds() < 30
            assert here["version"] == 1
        await store.delete(key)
        assert documents.count_documents({"_id": UUID(cookie)}) == 0
        gone = await store.get(key), await store.touch(key, 60), await store.replace(key, b"{}", 60, b"{}")
        assert gone == (None, False, False)

    run_on_mongodb(mongodb_server, test)


def test_a_document_of_quart_session_that_is_only_read_stays_as_it_is(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        before = documents.find_one({"_id": UUID(cookie)})
        assert await ours.read(cookie) == LOGIN
        assert documents.find_one({"_id": UUID(cookie)}) == before
        assert await theirs.read(cookie) == LOGIN

    run_on_mongodb(mongodb_server, test, SESSION_PERMANENT=False)


def test_a_login_gives_a_document_of_quart_session_a_new_id(mongodb_server):
    async def test(theirs, ours, documents):
        old = await theirs.write({"cart": [1]})
        new = await ours.write({"_user_id": "7"}, old)
        assert new not in (None, old)
        assert await ours.read(new) == {"cart": [1], "_user_id": "7"}
        assert await ours.read(old) == {}
        assert await theirs.read(old) == {}
        assert documents.count_documents({"_id": UUID(old)}) == 0

    run_on_mongodb(mongodb_server, test)


def test_a_logout_takes_a_document_of_quart_session_away(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        assert await ours.end(cookie) == ""
        assert documents.count_documents({"_id": UUID(cookie)}) == 0
        assert await ours.read(cookie) == {}

    run_on_mongodb(mongodb_server, test)


def test_of_two_that_change_a_document_of_quart_session_at_once_none_is_lost(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        store = ours.interface._fields["store"]
        key = f"session:{cookie}"
        there = await store.get(key)
        first, second = there.replace(b"2.5", b"3.5"), there.replace(b"2.5", b"4.5")
        assert not await store.replace(key, first, 60, second)
        done = await asyncio.gather(store.replace(key, first, 60, there), store.replace(key, second, 60, there))
        assert sorted(done) == [False, True]
        assert await store.get(key) == (first if done[0] else second)

    run_on_mongodb(mongodb_server, test)


def test_a_document_of_quart_session_that_became_a_record_meanwhile_is_not_replaced(mongodb_server):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        store, key = ours.interface.store, f"session:{cookie}"
        look, there = store._old, await store.get(key)

        async def look_before_another_writes(key):
            store._old, found = look, await look(key)
            assert await store.replace(key, there.replace(b"2.5", b"3.5"), 60, there)
            return found

        store._old = look_before_another_writes
        assert not await store.replace(key, there.replace(b"2.5", b"4.5"), 60, there)
        assert b"3.5" in await store.get(key)

    run_on_mongodb(mongodb_server, test)


SPELLINGS = {
    "as it is": str,
    "in capitals": str.upper,
    "hyphens at the end": lambda cookie: cookie.replace("-", "") + "----",
    "behind something": "aaaa{}".format,
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_a_document_is_found_by_its_own_key_only(mongodb_server, spell):
    async def test(theirs, ours, documents):
        cookie = await theirs.write(LOGIN)
        assert await ours.read(spell(cookie)) == (LOGIN if spell is str else {})
        other = Side(quart_plugin, **{**ours.app.config, "SESSION_KEY_PREFIX": "other:"})
        async with other.app.test_app():
            assert await other.read(spell(cookie)) == {}

    run_on_mongodb(mongodb_server, test)


def test_a_document_that_is_no_session_is_none(mongodb_server):
    async def test(_, ours, documents):
        name = UUID("0c2f0d54-7b1c-4c1b-9f0c-8b7a2a4c9d3e")
        documents.insert_one({"_id": name, "data": {"_user_id": "7", "x": Binary(b"", 128)}})
        assert (await ours.read(str(name)))["_user_id"] == "7"
        documents.update_one({"_id": name}, {"$set": {"data": "no mapping"}})
        assert await ours.read(str(name)) == {}

    run_on_mongodb(mongodb_server, test)


# From Flask-Session, but for its client, which would block the event loop


class FlaskSide:
    """A Flask app of one view on Flask-Session, which does the same."""

    def __init__(self, **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, **config}
        if config["SESSION_TYPE"] == "sqlalchemy":
            self.app.config["SESSION_SQLALCHEMY"] = self.database = flask_sqlalchemy.SQLAlchemy(self.app)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of SESSION_USE_SIGNER
            flask_session.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)

    write, read, end = Side.write, Side.read, Side.end

    def view(self):
        self.act(flask.session)
        return ""

    async def ask(self, cookie, act):
        self.act = act
        sent = {} if cookie is None else {"Cookie": f"session={cookie}"}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "datetime.datetime.utcnow", DeprecationWarning)
            response = self.app.test_client(use_cookies=False).get("/", headers=sent)
        assert response.status_code == 200
        line = response.headers.get("Set-Cookie")
        return line and line.partition(";")[0].removeprefix("session=")


@contextmanager
def on_redis(server):
    with redis.Redis.from_url(server.url) as client:
        yield {"SESSION_TYPE": "redis"}, {"SESSION_REDIS": client}, {"SESSION_URI": server.url}


@contextmanager
def on_memcached(server):
    client = Client(("127.0.0.1", server.port), default_noreply=False)
    yield {"SESSION_TYPE": "memcached"}, {"SESSION_MEMCACHED": client}, {"SESSION_MEMCACHED_PORT": server.port}
    client.close()


@contextmanager
def on_mongodb(server):
    names = {"SESSION_TYPE": "mongodb", "SESSION_MONGODB_DB": server.database, "SESSION_MONGODB_COLLECT": "shared"}
    url = server.url.removesuffix(f"/{server.database}")
    with pymongo.MongoClient(server.url) as client:
        yield names, {"SESSION_MONGODB": client}, {"SESSION_MONGODB_URI": url}


def on_sql(theirs, ours):
    @contextmanager
    def on_server(server):
        names = {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY_TABLE": "shared"}
        yield names, {"SQLALCHEMY_DATABASE_URI": f"{theirs}{server.url}"}, {"SESSION_URI": f"{ours}{server.url}"}

    return on_server


FROM_FLASK_SESSION = {
    "redis": ("redis_server", on_redis),
    "memcached": ("memcached_server", on_memcached),
    "mongodb": ("mongodb_server", on_mongodb),
    "sqlite": ("a_file", on_sql("sqlite:///", "sqlite+aiosqlite:///")),
    "postgresql": ("postgresql_server", on_sql("postgresql+psycopg://", "postgresql+asyncpg://")),
    "mariadb": ("mariadb_server", on_sql("mysql+pymysql://", "mysql+aiomysql://")),
}


@pytest.fixture
def a_file(tmp_path):
    return SimpleNamespace(url=f"{tmp_path}/sessions.db")


@pytest.fixture(params=FROM_FLASK_SESSION)
def switch_from_flask(request):
    """Return a function that runs a test between Flask-Session and ours."""
    name, on_server = FROM_FLASK_SESSION[request.param]
    server = request.getfixturevalue(name)

    def run(test, **more):
        async def main(theirs, **config):
            ours = Side(quart_plugin, **config)
            async with ours.app.test_app():
                await test(theirs, ours)

        with on_server(server) as (names, for_theirs, for_ours):
            theirs = FlaskSide(**names, **for_theirs, **more)
            asyncio.run(main(theirs, **names, **for_ours, **more))
            if names["SESSION_TYPE"] == "sqlalchemy":
                with theirs.app.app_context():
                    theirs.database.engine.dispose()

    return run


FLASK_OPTIONS = {
    "as it comes": {},
    "msgpack, signed": {"SESSION_SERIALIZATION_FORMAT": "msgpack", "SESSION_USE_SIGNER": True},
    "json": {"SESSION_SERIALIZATION_FORMAT": "json", "SESSION_PERMANENT": False, "SESSION_ID_LENGTH": 48},
    "prefix": {"SESSION_KEY_PREFIX": "app:"},
}


@pytest.mark.parametrize("config", FLASK_OPTIONS.values(), ids=FLASK_OPTIONS)
def test_a_session_of_flask_session_goes_on_here_and_there_again(switch_from_flask, config):
    async def test(theirs, ours):
        cookie = await theirs.write(LOGIN)
        assert await ours.read(cookie) == LOGIN
        assert await ours.write({"cart": []}, cookie) == cookie
        assert await ours.read(cookie) == await theirs.read(cookie) == {**LOGIN, "cart": []}
        assert await theirs.write({"n": 1}, cookie) == cookie
        assert await ours.read(cookie) == {**LOGIN, "cart": [], "n": 1}
        await ours.end(cookie)
        assert await ours.read(cookie) == await theirs.read(cookie) == {}

    switch_from_flask(test, **config)


@pytest.mark.parametrize("config", FLASK_OPTIONS.values(), ids=FLASK_OPTIONS)
def test_a_session_begun_here_goes_on_in_flask_session(switch_from_flask, config):
    async def test(theirs, ours):
        cookie = await ours.write(LOGIN)
        assert await theirs.read(cookie) == LOGIN
        assert await theirs.write({"n": 1}, cookie) == cookie
        assert await ours.read(cookie) == {**LOGIN, "n": 1}
        await theirs.end(cookie)
        assert await ours.read(cookie) == await theirs.read(cookie) == {}

    switch_from_flask(test, **config)


def test_a_signed_id_of_flask_session_goes_on_in_records_of_quart_sessions_kind(switch_from_flask):
    async def test(theirs, ours):
        cookie = await theirs.write(LOGIN)
        assert await ours.read(cookie) == LOGIN
        signed_anew = await ours.write({"n": 1}, cookie)
        assert await ours.read(signed_anew) == await ours.read(cookie) == {**LOGIN, "n": 1}

    switch_from_flask(test, SESSION_USE_SIGNER=True)


def test_bytes_and_times_of_flask_session_are_kept(switch_from_flask):
    async def test(theirs, ours):
        data = {"raw": TYPED["raw"], "when": MOMENT}
        cookie = await theirs.write(data)
        assert await ours.read(cookie) == data
        await ours.write({"n": 1}, cookie)
        assert await theirs.read(cookie) == {**data, "n": 1}

    switch_from_flask(test)
