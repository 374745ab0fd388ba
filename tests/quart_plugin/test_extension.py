"""quart_plugin.Session: Quart-Session's extension, by changing one import. What it does with each setting.

test_backends.py has the stores, test_switch.py the real Quart-Session and Flask-Session.
"""

import asyncio
import json
import pickle
import threading
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import aiomcache
import coredis
import flask_sqlalchemy
import missing
import pymongo
import pytest
import redis
import redis.asyncio
import sqlalchemy
import trio
from itsdangerous import Signer
from pymemcache.client.base import Client, PooledClient
from quart import Quart, Response, request, session
from quart.sessions import SecureCookieSession
from quart_session.redis_trio import RedisTrio
from quart_trio import QuartTrio
from services import memcached as memcached_servers
from services import redis as redis_servers
from services.processes import wait_until
from sqlalchemy.ext.asyncio import create_async_engine

from asgi_flask_session import Session as FlaskSession
from asgi_flask_session import SessionWarning, SettingsError
from quart_plugin import Session
from quart_plugin.mongodb import record_of

SECRET, FORMER = "a-secret-of-the-tests-only", "a-former-secret-of-the-tests"


def app_with(**config):
    app = Quart(__name__, static_folder=str(Path(__file__).parent), static_url_path="/static")
    app.config |= {"SECRET_KEY": SECRET, **config}
    return with_views(app)


def with_views(app):
    @app.get("/set")
    async def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/get")
    async def get_value():
        return str(session.get("n"))

    return app


def extended(**config):
    app = app_with(**{"SESSION_TYPE": "memory", **config})
    Session(app)
    return app


async def text(client, path, **options):
    response = await client.get(path, **options)
    assert response.status_code == 200
    return (await response.get_data()).decode()


def visit(app, *paths):
    """Return the texts of what one visitor of a served app sees."""

    async def main():
        async with app.test_app():
            client = app.test_client()
            return [await text(client, path) for path in paths]

    return asyncio.run(main())


def ask(app, path, cookie=None, **options):
    """Return a response to one request of an app that need not be served."""
    headers = {"Cookie": f"session={cookie}"} if cookie else {}
    client = app.test_client(use_cookies=False)
    return asyncio.run(client.get(path, headers=headers, **options))


def value_of(response):
    return response.headers["Set-Cookie"].partition(";")[0].removeprefix("session=")


def body(response):
    return asyncio.run(response.get_data()).decode()


def store_of(app):
    return app.session_interface._fields["store"]


@pytest.fixture(scope="module")
def redis_server():
    with redis_servers.running() as server:
        yield server


@pytest.fixture(scope="module")
def memcached_server():
    with memcached_servers.running() as server:
        yield server


# Where the extension is set up


def test_it_may_be_made_before_the_app_is_known():
    extension, apps = Session(), [app_with(SESSION_TYPE="memory") for _ in range(2)]
    assert extension.app is None
    for app in apps:
        extension.init_app(app)
    assert [visit(app, "/set", "/set") for app in apps] == [["1", "2"], ["1", "2"]]
    assert store_of(apps[0]) is not store_of(apps[1])


def test_it_may_be_made_while_the_app_is_starting(redis_server):
    app = app_with(SESSION_TYPE="redis", SESSION_URI=redis_server.url)

    @app.before_serving
    async def setup():
        Session(app)

    before = connections_of(redis_server)
    assert visit(app, "/set", "/set") == ["1", "2"]
    wait_until(lambda: connections_of(redis_server) <= before, "a connection stays open")


def test_it_may_be_made_twice_of_one_app(redis_server):
    app = app_with(SESSION_TYPE="memory")
    assert Session(app).app is app
    app.config |= {"SESSION_TYPE": "redis", "SESSION_URI": redis_server.url}
    Session(app)
    before = connections_of(redis_server)
    assert visit(app, "/set", "/set") == ["1", "2"]
    wait_until(lambda: connections_of(redis_server) <= before, "a connection stays open")


def test_an_app_may_be_served_again(redis_server):
    app = extended(SESSION_TYPE="redis", SESSION_URI=redis_server.url)
    before = connections_of(redis_server)
    assert [visit(app, "/set", "/set") for _ in range(2)] == [["1", "2"]] * 2
    wait_until(lambda: connections_of(redis_server) <= before, "a connection stays open")


def connections_of(server):
    return redis_servers.ask(server.port, "CLIENT", "LIST").count(b" addr=")


def test_no_thread_outlives_the_app(tmp_path):
    for config in (
        {"SESSION_TYPE": "sqlite", "SESSION_URI": f"sqlite:///{tmp_path}/sessions.db"},
        {"SESSION_TYPE": "filesystem", "SESSION_FILE_DIR": tmp_path / "sessions"},
    ):
        before = threading.active_count()
        visit(extended(**config), "/set")
        wait_until(lambda: threading.active_count() <= before, "a thread goes on")  # noqa: B023  # it is called at once


def test_an_app_without_a_session_interface_gets_the_functions():
    class Old:
        def __init__(self, config):
            self.config, self.secret_key = config, SECRET

    real = app_with(SESSION_TYPE="memory")
    old = Old(real.config)
    Session(old)

    async def main():
        cookie, seen = "", []
        for _ in range(3):
            async with real.test_request_context("/", headers={"Cookie": cookie}):
                await old.save_session(FlaskSession(), Response(""))  # one that it has not opened
                opened = await old.open_session(request)
                seen.append(dict(opened))
                opened["n"] = opened.get("n", 0) + 1
                response = Response("")
                await old.save_session(opened, response)
                cookie = response.headers["Set-Cookie"].partition(";")[0]
        return seen

    assert asyncio.run(main()) == [{}, {"_permanent": True, "n": 1}, {"_permanent": True, "n": 2}]


def test_a_url_in_the_place_of_the_type_is_not_told():
    with pytest.raises(SettingsError, match="SESSION_TYPE is a URL: write one of .* URL as SESSION_URI") as refused:
        extended(SESSION_TYPE="redis://:a-password@localhost")
    assert "a-password" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "name", "url"),
    [
        ("redis", "SESSION_URI", "redis://:a-password@localhost:first"),
        ("memcached", "SESSION_URI", "memcached://user:a-password@localhost"),
        ("mongodb", "SESSION_MONGODB_URI", "mongodb://user:a-password@x@localhost"),
        ("sqlalchemy", "SESSION_URI", "mysql://user:a-password@localhost/x"),
        ("sqlite", "SESSION_URI", "sqlite://user:a-password@localhost/x"),
        ("filesystem", "SESSION_URI", "file://user:a-password@localhost/x"),
    ],
)
def test_a_url_that_is_refused_is_not_told(kind, name, url):
    with pytest.raises(SettingsError) as refused:
        extended(SESSION_TYPE=kind, **{name: url})
    assert "a-password" not in str(refused.value)


def test_a_type_may_be_written_in_capitals():
    assert visit(extended(SESSION_TYPE="Memory"), "/set", "/set") == ["1", "2"]


def test_no_secret_is_needed_but_to_sign_ids():
    assert visit(extended(SECRET_KEY=None), "/set", "/set") == ["1", "2"]
    signing = extended(SECRET_KEY=None, SESSION_USE_SIGNER=True)
    assert ask(signing, "/set").status_code == 500
    signing.secret_key = SECRET
    assert visit(signing, "/set", "/set") == ["1", "2"]


# What is refused


class Strange(aiomcache.Client):
    """One that does not have its address where those of today have it."""

    def __init__(self, host):
        self.host = host


OVER_TLS = aiomcache.Client("localhost")
OVER_TLS._pool.conn_args = {"ssl": True}  # for which only newer ones have an argument
OLDER = aiomcache.Client("localhost")
vars(OLDER._pool).pop("conn_args", None)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"SESSION_TYPE": "dynamodb"}, "SESSION_TYPE is 'dynamodb': write one of 'null', 'memory'"),
        ({"SESSION_TYPE": ["redis"]}, "write one of 'null', 'memory'"),
        ({"SESSION_TYPE": 3}, "SESSION_TYPE is 3: write one of 'null', 'memory'"),
        ({"SESSION_TYPE": "sqlalchemy"}, "needs SESSION_URI"),
        ({"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "mysql://x"}, "write mysql.aiomysql"),
        (
            {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY": sqlalchemy.create_engine("sqlite://")},
            "create_async_engine",
        ),
        ({"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY": flask_sqlalchemy.SQLAlchemy()}, "create_async_engine"),
        ({"SESSION_TYPE": "sqlite", "SESSION_URI": "redis://localhost"}, "write 'sqlite:///sessions.db'"),
        ({"SESSION_TYPE": "sqlite", "SESSION_URI": Path("sessions.db")}, "SESSION_URI is a PosixPath: write a string"),
        ({"SESSION_TYPE": "mongodb"}, "needs SESSION_MONGODB_URI"),
        ({"SESSION_TYPE": "mongodb", "SESSION_MONGODB_URI": "mongodb://["}, "mongodb://user:password@host"),
        ({"SESSION_TYPE": "mongodb", "SESSION_MONGODB": pymongo.MongoClient(connect=False)}, "AsyncMongoClient"),
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": 3}, "is no client of Redis"),
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": "redis://localhost"}, "write the URL as SESSION_URI"),
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis()}, "would block the event loop"),
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(decode_responses=True)}, "would block the event loop"),
        (
            {"SESSION_TYPE": "redis", "SESSION_REDIS": coredis.Redis(decode_responses=True)},
            "make it without decode_responses",
        ),
        ({"SESSION_TYPE": "redis", "SESSION_URI": "http://localhost"}, "redis://"),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": Client("localhost")}, "write PooledClient"),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": OVER_TLS}, "write SESSION_MEMCACHED_HOST"),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": Strange("localhost")}, "write SESSION_MEMCACHED_HOST"),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": aiomcache.Client(None)}, "write SESSION_MEMCACHED_HOST"),
        (
            {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": aiomcache.Client("a", "2")},
            "write SESSION_MEMCACHED_HOST",
        ),
        ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED_PORT": "first"}, "memcached://localhost:11211"),
        ({"SESSION_TYPE": "filesystem", "SESSION_URI": "file://host/path"}, "a URL of files"),
        ({"SESSION_TYPE": "filesystem", "SESSION_URI": "redis://host"}, "write SESSION_FILE_DIR"),
        ({"SESSION_KEY_PREFIX": "a b"}, "key_prefix is 'a b'"),
        ({"SESSION_ID_LENGTH": 8}, "id_bytes is 8: write 16 to 96"),
        ({"SESSION_SERIALIZATION_FORMAT": "pickle"}, "write 'tagged' or 'msgpack' or 'json'"),
        ({"SESSION_USE_SIGNER": "yes"}, "sign_ids is 'yes': write True or False"),
        ({"SESSION_PERMANENT": "yes"}, "permanent is 'yes': write True or False"),
        ({"SESSION_REVERSE_PROXY": "X-Real-IP"}, "SESSION_REVERSE_PROXY is 'X-Real-IP': write True"),
        ({"SESSION_COOKIE_SAMESITE": "lax, strict"}, "write 'Lax', 'Strict'"),
        ({"SESSION_COOKIE_NAME": "my session"}, "cookie_name is 'my session'"),
        ({"PERMANENT_SESSION_LIFETIME": "a month"}, "write a timedelta or a number of seconds"),
    ],
)
def test_a_config_that_cannot_work_is_refused_at_once(config, says):
    with pytest.raises(SettingsError, match=says):
        extended(**config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"SESSION_TYPE": "mongodb", "SESSION_URI": "mongodb://localhost"}, "asyncio only: on trio write 'redis.trio'"),
        ({"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "sqlite+aiosqlite:///x"}, "asyncio only: on trio write"),
    ],
)
def test_what_runs_on_asyncio_only_is_refused_on_trio(config, says):
    app = QuartTrio(__name__)
    app.config |= config
    with pytest.raises(SettingsError, match=says):
        Session(app)


@pytest.mark.parametrize("package", ["redis", "valkey"])
@pytest.mark.parametrize("kind", ["redis", "redis+trio"])
def test_a_client_for_asyncio_is_refused_on_trio(package, kind):
    client = pytest.importorskip(f"{package}.asyncio").from_url("redis://localhost")
    app = QuartTrio(__name__)
    app.config |= {"SESSION_TYPE": kind, "SESSION_REDIS": client}
    with pytest.raises(SettingsError, match=r"on trio write coredis.Redis"):
        Session(app)


def test_on_trio_a_client_for_trio_has_to_be_there(monkeypatch):
    missing.replace(monkeypatch, {"coredis": None})
    app = QuartTrio(__name__)
    app.config["SESSION_TYPE"] = "redis"
    with pytest.raises(SettingsError, match=r"pip install asgi-flask-session\[redis-trio\]"):
        Session(app)


@pytest.mark.parametrize(
    ("hidden", "config", "extra"),
    [
        ("anyio", {"SESSION_TYPE": "memory"}, "memory"),
        ("anyio", {"SESSION_TYPE": "sqlite"}, "sqlite"),
        ("anyio", {"SESSION_TYPE": "filesystem"}, "file"),
        ("redis coredis", {"SESSION_TYPE": "redis"}, "redis"),
        ("coredis", {"SESSION_TYPE": "redis+trio"}, "redis-trio"),
        ("pymemcache", {"SESSION_TYPE": "memcached"}, "memcached"),
        ("pymongo bson", {"SESSION_TYPE": "mongodb", "SESSION_MONGODB_URI": "mongodb://localhost/x"}, "mongodb"),
        ("sqlalchemy", {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "sqlite+aiosqlite:///x"}, "sqlalchemy"),
        ("aiosqlite", {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "sqlite+aiosqlite:///x"}, "sqlalchemy"),
        ("asyncpg", {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "postgresql+asyncpg://host/x"}, "postgresql"),
        ("aiomysql", {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "mysql+aiomysql://host/x"}, "mysql"),
        ("msgspec", {"SESSION_TYPE": "memory", "SESSION_SERIALIZATION_FORMAT": "msgpack"}, "flask-session"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, hidden, config, extra):
    missing.replace(monkeypatch, dict.fromkeys(hidden.split()))
    with pytest.raises(SettingsError, match=rf"pip install asgi-flask-session\[{extra}\]"):
        extended(**config)


@pytest.mark.parametrize(
    ("package", "config"),
    [
        ("anyio", {"SESSION_TYPE": "memory"}),
        ("pymemcache", {"SESSION_TYPE": "memcached"}),
        ("pymongo", {"SESSION_TYPE": "mongodb", "SESSION_MONGODB_URI": "mongodb://localhost/x"}),
        ("redis", {"SESSION_TYPE": "redis"}),
        ("sqlalchemy", {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "sqlite+aiosqlite:///x"}),
    ],
)
def test_a_package_that_is_another_of_that_name_is_named_with_the_extra(monkeypatch, package, config):
    missing.replace(monkeypatch, {package: ModuleType(package)})
    with pytest.raises(SettingsError, match=rf"needs {package}.*asgi-flask-session\[{config['SESSION_TYPE']}\]"):
        extended(**config)


# What is warned of, at the line that sets it


@pytest.mark.parametrize(
    ("config", "kind", "says"),
    [
        ({"SESSION_TYPE": None}, SessionWarning, "no session is kept: write one of 'memory', 'sqlite'"),
        ({"SESSION_HIJACK_PROTECTION": True}, DeprecationWarning, "write SESSION_PROTECTION"),
        ({"SESSION_HIJACK_REVERSE_PROXY": True}, DeprecationWarning, "write SESSION_REVERSE_PROXY"),
        ({"SESSION_CLEANUP_N_REQUESTS": 100}, SessionWarning, "no effect here, leave it out: call the store's prune"),
        ({"SESSION_FILE_MODE": 0o644}, SessionWarning, "SESSION_FILE_MODE has no effect"),
        ({"SESSION_FILE_THRESHOLD": 10}, SessionWarning, "SESSION_FILE_THRESHOLD has no effect"),
        ({"SESSION_SQLALCHEMY_BIND_KEY": "other"}, SessionWarning, "write the URL of that database as SESSION_URI"),
        ({"SESSION_MONGODB_SET_CALLBACK": print}, SessionWarning, "a document has an expiration of its own"),
    ],
    ids=str,
)
@pytest.mark.parametrize("set_up", [Session, Session().init_app], ids=["Session", "init_app"])
def test_a_setting_that_does_not_do_what_it_says_is_warned_of(set_up, config, kind, says):
    app = app_with(**{"SESSION_TYPE": "memory", **config})
    with pytest.warns(kind, match=says) as caught:
        set_up(app)
    assert [(one.category, one.filename) for one in caught] == [(kind, __file__)]


def test_settings_that_say_nothing_else_than_their_defaults_are_not_warned_of():
    extended(
        SESSION_EXPLICIT=False,
        SESSION_CLEANUP_N_REQUESTS=None,
        SESSION_FILE_DIR="unused",
        SESSION_FILE_MODE=384,
        SESSION_FILE_THRESHOLD=500,
        SESSION_REDIS=None,
        SESSION_SQLALCHEMY_BIND_KEY=None,
    )


# What each setting does


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({}, {}),
        ({"SESSION_PERMANENT": 0, "SESSION_USE_SIGNER": 1}, {"permanent": False, "sign_ids": True}),
        ({"SESSION_PERMANENT": 1, "SESSION_USE_SIGNER": 0}, {"permanent": True, "sign_ids": False}),
        ({"SESSION_PERMANENT": None}, {}),
        ({"SESSION_PROTECTION": True, "SESSION_REVERSE_PROXY": True}, {"protection": True, "trusted_proxies": 1}),
        ({"SESSION_PROTECTION": "strong", "SESSION_REVERSE_PROXY": 2}, {"trusted_proxies": 2}),
    ],
)
def test_what_the_config_does_not_say_is_as_in_quart_session(config, fields):
    found = extended(**config).session_interface._fields
    del found["store"]
    assert found == {"permanent": True, "protection": False, "trusted_proxies": 0, **fields}


def test_the_cookie_is_that_of_the_config():
    app = extended(
        SESSION_COOKIE_NAME="id",
        SESSION_COOKIE_DOMAIN="example.com",
        SESSION_COOKIE_PATH="/app",
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PARTITIONED=True,
        SESSION_PERMANENT=False,
        SESSION_ID_LENGTH=48,
        SESSION_KEY_PREFIX="app:",
    )
    value, *attributes = ask(app, "/set").headers["Set-Cookie"].split("; ")
    assert set(attributes) == {"Domain=example.com", "Path=/app", "Secure", "SameSite=Lax", "Partitioned"}
    name, _, sid = value.partition("=")
    assert (name, len(sid), list(store_of(app)._kept)) == ("id", 64, [f"app:{sid}"])


@pytest.mark.parametrize(("form", "begins"), [("tagged", b'{"'), ("msgpack", b"\x82"), ("json", b'{"')])
def test_the_record_is_that_of_the_config(form, begins):
    app = extended(SESSION_SERIALIZATION_FORMAT=form, SESSION_USE_SIGNER=1)
    salt = Signer(SECRET, salt="quart-session" if form == "tagged" else "flask-session", key_derivation="hmac")
    assert salt.validate(value_of(ask(app, "/set")))
    [(record, _)] = store_of(app)._kept.values()
    assert record.startswith(begins)


@pytest.mark.parametrize("salt", ["quart-session", "flask-session"])
@pytest.mark.parametrize("key", [SECRET, FORMER])
def test_a_signed_id_is_verified_with_all_keys_and_either_salt(salt, key):
    app = extended(SESSION_USE_SIGNER=True, SECRET_KEY_FALLBACKS=[FORMER])
    sid = value_of(ask(app, "/set")).partition(".")[0]
    answer = ask(app, "/set", Signer(key, salt=salt, key_derivation="hmac").sign(sid).decode())
    assert body(answer) == "2"
    assert Signer(SECRET, salt="quart-session", key_derivation="hmac").unsign(value_of(answer)) == sid.encode()
    forged = Signer("another key", salt=salt, key_derivation="hmac").sign(sid).decode()
    assert [body(ask(app, "/get", cookie)) for cookie in (sid, forged)] == ["None", "None"]


HERE, ELSEWHERE = "192.0.2.1", "203.0.113.66"


@pytest.mark.parametrize("protection", [None, False, "basic", "strong", 1])
def test_protection_counts_only_when_it_is_true(protection):
    app = extended(SESSION_PROTECTION=protection)
    cookie = value_of(ask(app, "/set", scope_base={"client": (HERE, 1)}))
    assert body(ask(app, "/get", cookie, scope_base={"client": (ELSEWHERE, 1)})) == "1"


NEAR, FAR = "10.0.0.1", "10.0.0.2"  # proxies of ours


@pytest.mark.parametrize(
    ("proxies", "owner", "thief"),
    [
        (False, (HERE, None), (ELSEWHERE, HERE)),
        (True, (NEAR, HERE), (NEAR, f"{HERE}, {ELSEWHERE}")),
        (True, (NEAR, HERE), (NEAR, None)),
        (2, (NEAR, f"{HERE}, {FAR}"), (NEAR, f"{HERE}, {ELSEWHERE}, {FAR}")),
    ],
)
@pytest.mark.filterwarnings("ignore:SESSION_HIJACK:DeprecationWarning")
@pytest.mark.parametrize("names", ["SESSION_{}", "SESSION_HIJACK_{}"])
def test_protection_ends_a_session_that_comes_from_another_address(names, proxies, owner, thief):
    app = extended(**{names.format("PROTECTION"): True, names.format("REVERSE_PROXY"): proxies})

    async def main():
        client = app.test_client()

        async def get(path, who):
            peer, forwarded = who
            headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
            return await text(client, path, headers=headers, scope_base={"client": (peer, 1)})

        return [await get(path, who) for path, who in (("/set", owner), ("/get", owner), ("/get", thief))]

    assert asyncio.run(main()) == ["1", "1", "None"]


def test_a_session_that_comes_from_another_address_is_ended_for_its_owner_too():
    app = extended(SESSION_PROTECTION=True)
    cookie = value_of(ask(app, "/set", scope_base={"client": (HERE, 1)}))
    visits = [ask(app, "/get", cookie, scope_base={"client": (who, 1)}) for who in (HERE, ELSEWHERE, HERE)]
    assert [body(visit) for visit in visits] == ["1", "None", "None"]


@pytest.mark.parametrize("with_files", [False, True])
def test_a_file_comes_with_a_cookie_only_where_that_is_set(with_files):
    app = extended(SESSION_STATIC_FILE=with_files)
    cookie = value_of(ask(app, "/set"))
    assert "Set-Cookie" in ask(app, "/get", cookie).headers
    file = ask(app, "/static/test_extension.py", cookie)
    assert (file.status_code, "Set-Cookie" in file.headers) == (200, with_files)


def test_a_ready_client_counts_before_a_url(memcached_server):
    ready = PooledClient(("127.0.0.1", memcached_server.port), timeout=2, connect_timeout=1)
    for client in (ready, aiomcache.Client("127.0.0.1", memcached_server.port)):
        config = {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client, "SESSION_URI": "redis://localhost"}
        assert visit(extended(**config), "/set", "/set") == ["1", "2"]
    ready.close()


def test_quart_sessions_client_on_trio_is_taken_with_its_password():
    async def main():
        client = RedisTrio(b"127.0.0.1", server.port, b"a:b@c/d#e?f")
        app = with_views(QuartTrio(__name__))
        app.config |= {"SESSION_TYPE": "redis+trio", "SESSION_REDIS": client, "SESSION_URI": "redis://localhost:1"}
        Session(app)
        async with app.test_app():
            visitor = app.test_client()
            texts = [await text(visitor, path) for path in ("/set", "/set")]
        client.conn.close()
        return texts

    with redis_servers.running("--requirepass", "a:b@c/d#e?f") as server:
        assert trio.run(main) == ["1", "2"]


# Where a store that has not connected will look, by the name of its class.
PLACES = {
    "SQLiteStore": lambda store: store._path,
    "FileStore": lambda store: str(store._folder),
    "SQLAlchemyStore": lambda store: table_of(store._sql.table),
    "RedisStore": lambda store: (*store._links.target.addresses, store._links.target.login),
    "MemcachedStore": lambda store: [one._pool._obj_creator.__self__.server for one in store._servers.values()],
    "QuartMongoDBStore": lambda store: store._names,
}


def table_of(table):
    sequence = table.c.id.default
    return table.fullname, None if sequence is None else sequence.name


ENGINE = create_async_engine("sqlite+aiosqlite://")
NAMES_OF_TABLE = {
    "SESSION_SQLALCHEMY_TABLE": "web",
    "SESSION_SQLALCHEMY_SCHEMA": "app",
    "SESSION_SQLALCHEMY_SEQUENCE": "numbers",
}
POSTGRESQL, MONGODB = "postgresql+asyncpg://host/database", "mongodb://host/mine"


@pytest.mark.parametrize(
    ("kind", "config", "place"),
    [
        ("sqlite", {}, str(Path("sessions.db").absolute())),
        ("sqlite", {"SESSION_URI": "sqlite:////there/web.db"}, "/there/web.db"),
        ("sqlite", {"SESSION_URI": ":memory:"}, ":memory:"),
        ("filesystem", {}, str(Path("quart_session").absolute())),
        ("filesystem", {"SESSION_URI": "file:///there"}, "/there"),
        ("filesystem", {"SESSION_FILE_DIR": "/here", "SESSION_URI": "file:///there"}, "/here"),
        ("sqlalchemy", {"SESSION_SQLALCHEMY": ENGINE}, ("sessions", None)),
        ("sqlalchemy", {"SESSION_SQLALCHEMY": ENGINE, **NAMES_OF_TABLE}, ("app.web", "numbers")),
        ("sqlalchemy", {"SESSION_URI": POSTGRESQL}, ("sessions", None)),
        ("sqlalchemy", {"SESSION_URI": POSTGRESQL, **NAMES_OF_TABLE}, ("app.web", "numbers")),
        ("redis", {}, (("localhost", 6379), {})),
        ("redis", {"SESSION_URI": "redis://:x@host:2"}, (("host", 2), {"password": "x"})),
        ("redis+trio", {}, (("localhost", 6379), {})),
        ("memcached", {}, [("127.0.0.1", 11211)]),
        ("memcached", {"SESSION_MEMCACHED_HOST": None, "SESSION_MEMCACHED_PORT": 2}, [("127.0.0.1", 2)]),
        ("memcached", {"SESSION_MEMCACHED_HOST": "::1", "SESSION_MEMCACHED_PORT": 2}, [("::1", 2)]),
        ("memcached", {"SESSION_MEMCACHED": aiomcache.Client("::1", 2)}, [("::1", 2)]),
        ("memcached", {"SESSION_MEMCACHED": OLDER}, [("localhost", 11211)]),
        ("memcached", {"SESSION_MEMCACHED_PORT": 2, "SESSION_URI": "memcached://a,b:3"}, [("a", 11211), ("b", 3)]),
        ("mongodb", {"SESSION_MONGODB_URI": MONGODB, "SESSION_MONGODB_COLLECTION": "web"}, ("mine", "web")),
        ("mongodb", {"SESSION_MONGODB_URI": "mongodb://host"}, ("flask_session", "sessions")),
        ("mongodb", {"SESSION_MONGODB_URI": "mongodb://host", "SESSION_MONGODB_DB": "mine"}, ("mine", "sessions")),
        (
            "mongodb",
            {"SESSION_MONGODB_URI": "mongodb://a,b:2/?w=1", "SESSION_MONGODB_DB": "mine"},
            ("mine", "sessions"),
        ),
        ("mongodb", {"SESSION_MONGODB_URI": MONGODB, "SESSION_MONGODB_DB": "other"}, ("mine", "sessions")),
        ("mongodb", {"SESSION_URI": MONGODB, "SESSION_MONGODB_COLLECT": "web"}, ("mine", "web")),
        (
            "mongodb",
            {"SESSION_MONGODB": pymongo.AsyncMongoClient(MONGODB, connect=False)},
            ("flask_session", "sessions"),
        ),
        (
            "mongodb",
            {
                "SESSION_MONGODB": pymongo.AsyncMongoClient(MONGODB, connect=False),
                "SESSION_MONGODB_DB": "other",
                "SESSION_MONGODB_COLLECTION": "web",
                "SESSION_MONGODB_COLLECT": "unused",
            },
            ("other", "web"),
        ),
    ],
)
def test_a_store_is_found_by_the_names_of_both(kind, config, place):
    store = store_of(extended(SESSION_TYPE=kind, **config))
    assert PLACES[type(store).__name__](store) == place


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("memory", "MemoryStore"),
        ("sqlite", "SQLiteStore"),
        ("filesystem", "FileStore"),
        ("redis", "RedisStore"),
        ("redis+trio", "RedisStore"),
        ("memcached", "MemcachedStore"),
    ],
)
def test_a_store_is_on_trio_what_it_is_on_asyncio(kind, name):
    app = QuartTrio(__name__)
    app.config["SESSION_TYPE"] = kind
    Session(app)
    assert type(store_of(app)).__name__ == name


@pytest.mark.parametrize("kind", ["redis", "redis+trio"])
@pytest.mark.parametrize(
    ("address", "place"),
    [
        ((b"127.0.0.1", 2), (("127.0.0.1", 2), {})),
        (("127.0.0.1", 2, None), (("127.0.0.1", 2), {})),
        (("::1", 2, "x/@"), (("::1", 2), {"password": "x/@"})),
    ],
)
def test_quart_sessions_client_on_trio_is_taken_by_its_address(kind, address, place):
    async def made():
        client = RedisTrio(*address)
        client.conn.close()
        return client

    store = store_of(extended(SESSION_TYPE=kind, SESSION_REDIS=trio.run(made)))
    assert PLACES["RedisStore"](store) == place


def test_options_of_the_client_of_mongodb_are_passed_on():
    options = {"appname": "mine"}
    app = extended(SESSION_TYPE="mongodb", SESSION_URI="mongodb://host", SESSION_MONGODB_CLIENT_KWARGS=options)
    assert store_of(app)._make().options.pool_options.appname == "mine"


@pytest.mark.parametrize(("kind", "scheme"), [("sqlite", "sqlite"), ("sqlalchemy", "sqlite+aiosqlite")])
@pytest.mark.parametrize("query", ["", "?table=web"])
def test_a_table_may_be_named_in_the_config_or_the_url(kind, scheme, query, tmp_path):
    names = {} if query else {"SESSION_SQLALCHEMY_TABLE": "web"}
    app = extended(SESSION_TYPE=kind, SESSION_URI=f"{scheme}:///{tmp_path}/sessions.db{query}", **names)
    visit(app, "/set")
    with sqlalchemy.create_engine(f"sqlite:///{tmp_path}/sessions.db").connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM web").scalar() == 1
    connection.engine.dispose()


def test_files_may_be_found_by_a_url(tmp_path):
    assert visit(extended(SESSION_TYPE="filesystem", SESSION_URI=f"file://{tmp_path}/here"), "/set") == ["1"]
    assert list((tmp_path / "here").glob("*.session"))


# The serializer


class Spaced:
    dumps = staticmethod(lambda data: json.dumps(data, indent=1))
    loads = staticmethod(json.loads)


@pytest.mark.parametrize("name", ["serializer", "serialize"])
@pytest.mark.parametrize(("serializer", "begins"), [(Spaced(), b"{\n"), (pickle, b"\x80")], ids=["json", "pickle"])
def test_a_serializer_of_ones_own_is_used(name, serializer, begins):
    app = extended()
    before = value_of(ask(app, "/set"))
    setattr(app.session_interface, name, serializer)
    assert app.session_interface.serialize is serializer
    cookie = value_of(ask(app, "/set"))
    assert body(ask(app, "/set", cookie)) == "2"
    assert store_of(app)._kept[f"session:{cookie}"][0].startswith(begins)
    assert body(ask(app, "/get", before)) == "1"  # which was written before


def test_a_pickle_keeps_what_only_a_pickle_does():
    app = extended()
    app.session_interface.serialize = pickle
    value = {"when": timedelta(days=1), "ids": frozenset({1, 2})}

    @app.get("/keep")
    async def keep():
        session["value"] = value
        return ""

    @app.get("/kept")
    async def kept():
        return repr(session["value"] == value)

    assert body(ask(app, "/kept", value_of(ask(app, "/keep")))) == "True"


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


@pytest.mark.parametrize("form", ["tagged", "msgpack", "json"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_not_read_unless_it_is_asked_for(form, protocol):
    Trap.sprung = False
    app = extended(SESSION_SERIALIZATION_FORMAT=form)
    cookie = value_of(ask(app, "/set"))
    store_of(app)._kept[f"session:{cookie}"] = pickle.dumps({"n": Trap()}, protocol), float("inf")
    assert body(ask(app, "/get", cookie)) == "None"
    assert not Trap.sprung
    app.session_interface.serializer = pickle
    assert body(ask(app, "/get", cookie)) == "None"
    assert Trap.sprung == (form == "tagged")


# The session, and MongoDB's old documents


def test_the_session_has_the_attributes_that_quart_sessions_has():
    app, seen = extended(SESSION_PROTECTION=True), []

    @app.get("/look")
    async def look():
        session["n"] = 1
        session.dirty()
        seen.append((session.sid, session.addr, session.permanent, session.modified))
        return ""

    cookie = value_of(ask(app, "/look", scope_base={"client": (HERE, 1)}))
    ask(app, "/look", cookie, scope_base={"client": (HERE, 1)})
    assert seen[1] == (cookie, HERE, True, True)


@pytest.mark.parametrize(
    ("document", "record"),
    [
        ({"data": {"_permanent": True, "t": (1,)}}, b'{"_permanent":true,"t":{" t":[1]}}'),
        ({"data": {"x": {1, 2}}}, b""),
        ({"data": [1]}, b""),
        ({}, b""),
    ],
)
def test_a_document_of_quart_session_is_read_as_a_record(document, record):
    assert record_of(document) == record


# What Flask-Session's users have besides


def test_set_takes_the_place_of_a_value_of_another_type(redis_server):
    app = extended(SESSION_TYPE="redis", SESSION_URI=redis_server.url)

    async def main():
        redis_servers.ask(redis_server.port, "RPUSH", "a list", "1")
        async with asyncio.timeout(10), app.app_context():
            await app.session_interface.set("a list", "text", expiry=60)
            return await app.session_interface.get("a list")

    assert asyncio.run(main()) == "text"


@pytest.mark.parametrize(("kind", "value"), [("Redis", "text"), ("Memcached", b"text")])
def test_get_returns_text_where_the_store_is_not_memcached(request, kind, value):
    server = request.getfixturevalue(f"{kind.lower()}_server")
    app = extended(SESSION_TYPE=kind, SESSION_URI=server.url)

    async def main():
        async with app.test_app():
            await app.session_interface.set("key", "one", expiry=60, app=app)
            await app.session_interface.set("key", "text", expiry=60, app=app)
            found = await app.session_interface.get("key")
            await app.session_interface.delete("key")
            return found, await app.session_interface.get("key")

    assert asyncio.run(main()) == (value, None)


def test_get_returns_bytes_where_they_are_no_text():
    app = extended(SESSION_TYPE="memory")

    async def main():
        async with app.app_context():
            await app.session_interface.set("key", b"\xff")
            return await app.session_interface.get("key")

    assert asyncio.run(main()) == b"\xff"


def test_set_counts_though_others_were_faster_at_every_step():
    app = extended(SESSION_TYPE="memory")
    interface = app.session_interface
    store = interface.store
    others = iter([b"theirs", b"theirs too", None])

    async def get(key):
        """Show what is there, just before others write, twice, and then delete."""
        there = await type(store).get(store, key)
        other = next(others, there)
        await store.delete(key)
        if other is not None:
            await store.create(key, other, 60)
        return there

    async def main():
        async with app.app_context():
            await store.create("key", b"first", 60)
            store.get = get
            await interface.set("key", "ours")
            del store.get
            return await interface.get("key")

    assert asyncio.run(main()) == "ours"


def test_a_store_of_the_type_null_keeps_nothing():
    with pytest.warns(SessionWarning, match="no session is kept"):
        store = extended(SESSION_TYPE="null").session_interface.store

    async def main():
        created = await store.create("key", b"x", 60), await store.get("key")
        changed = await store.replace("key", b"y", 60, b"x"), await store.touch("key", 60)
        await store.delete("key")
        await store.aclose()
        return created, changed, await store.get("key")

    assert asyncio.run(main()) == ((True, None), (False, False), None)


@pytest.mark.parametrize(
    ("client", "proxies", "noted", "found"),
    [
        ((HERE, 1), 0, {}, HERE),
        ((HERE, 1), 0, {"_addr": ELSEWHERE}, HERE),
        ((NEAR, 1), 1, {}, FAR),
        (None, 0, {"_addr": ELSEWHERE}, ELSEWHERE),
        (None, 0, {}, "False"),
    ],
)
def test_a_session_has_the_address_of_its_client_without_protection(client, proxies, noted, found):
    app = extended(SESSION_TYPE="memory", SESSION_REVERSE_PROXY=proxies)

    @app.get("/addr")
    async def addr():
        session.update(noted, n=1)
        return str(session.addr)

    with_proxy = {"headers": {"X-Forwarded-For": FAR}, "scope_base": {"client": client}}
    assert body(asyncio.run(app.test_client().get("/addr", **with_proxy))) == found


def test_a_session_may_be_of_another_class():
    app = extended(SESSION_TYPE="memory")
    app.session_interface.session_class = SecureCookieSession
    assert visit(app, "/set", "/set") == ["1", "2"]


def test_regenerate_gives_a_new_id():
    app = extended(SESSION_TYPE="memory")

    @app.get("/new")
    async def new():
        before = session.sid
        app.session_interface.regenerate(session)
        await session.save()
        return str(session.sid != before)

    assert visit(app, "/set", "/new")[1] == "True"


def test_the_store_is_there_to_be_looked_through():
    app = extended(SESSION_TYPE="memory")

    @app.get("/login")
    async def log_in():
        session["_user_id"] = "7"
        return ""

    visit(app, "/login")
    assert asyncio.run(app.session_interface.store.revoke_user("7")) == 1


@pytest.mark.parametrize("package", ["redis", "valkey"])
def test_a_client_that_decodes_reads_records_that_are_no_text(package, redis_server):
    library = pytest.importorskip(f"{package}.asyncio")

    async def main():
        async with library.from_url(redis_server.url, decode_responses=True) as client:
            config = {"SESSION_REDIS": client, "SESSION_KEY_PREFIX": f"{package}:"}
            app = extended(SESSION_TYPE="redis", SESSION_SERIALIZATION_FORMAT="msgpack", **config)

            @app.get("/login")
            async def log_in():
                session["_user_id"] = package
                return ""

            redis_servers.ask(redis_server.port, "SET", b"\xff", "of another app")  # a key that is no text either
            visitor = app.test_client()
            for path in ("/login", "/set"):
                await visitor.get(path)
            return await text(visitor, "/get"), await app.session_interface.store.revoke_user(package)

    assert asyncio.run(main()) == ("1", 1)
