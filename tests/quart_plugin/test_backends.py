"""quart_plugin.Session on every SESSION_TYPE: by URL and by ready client, on real servers, on asyncio and trio.

MongoDB is nx-27017, unless SESSION_TESTS_MONGODB_URL names a real one (services.mongodb says what it lacks).
"""

import asyncio
import time
from contextlib import asynccontextmanager

import aiomcache
import anyio
import coredis
import pymongo
import pytest
import redis.asyncio
import trio
from itsdangerous import Signer
from pymemcache.client.base import PooledClient
from quart import Quart, session
from quart_session.redis_trio import RedisTrio
from quart_trio import QuartTrio
from services import mariadb, memcached, mongodb, postgresql
from services import redis as redis_servers
from sqlalchemy.ext.asyncio import create_async_engine

from asgi_flask_session import SessionWarning
from quart_plugin import Session

SECRET = "a-secret-of-the-tests-only"
HERE, ELSEWHERE = "192.0.2.1", "203.0.113.66"


def server(running):
    @pytest.fixture(scope="module")
    def start():
        with running() as server:
            yield server

    return start


redis_server, memcached_server = server(redis_servers.running), server(memcached.running)
sentinels, cluster = server(redis_servers.sentinel), server(redis_servers.cluster)
postgresql_server, mariadb_server = server(postgresql.running), server(mariadb.running)
mongodb_server = server(mongodb.running)

# Each is given a server and a folder, and yields the config; what it opens itself has to work still when the app is
# over.


def by(**config):
    """Return a backend that opens nothing itself."""

    @asynccontextmanager
    async def backend(server, folder):
        values = {"server": server, "folder": folder}
        yield {
            name: value.format(**values) if isinstance(value, str) else value(server) if callable(value) else value
            for name, value in config.items()
        }

    return backend


@asynccontextmanager
async def engine(_, folder):
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/sessions.db")
    yield {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY": engine, "SESSION_SQLALCHEMY_TABLE": "web"}
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT session_id, data, expiry FROM web")
    await engine.dispose()


def redis_client(**options):
    @asynccontextmanager
    async def backend(server, _):
        client = redis.asyncio.Redis.from_url(server.url, **options)
        await client.ping()
        [before] = client.connection_pool._available_connections
        yield {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
        [after] = client.connection_pool._available_connections
        assert after is before
        assert after.is_connected
        assert await client.ping()
        await client.aclose()

    return backend


@asynccontextmanager
async def sentinel_client(server, _):
    sentinel = redis.asyncio.Sentinel([("127.0.0.1", port) for port in server.ports])
    client = sentinel.master_for(redis_servers.SERVICE, decode_responses=True)
    yield {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
    assert await client.ping()
    for one in (client, *sentinel.sentinels):
        await one.aclose()


@asynccontextmanager
async def cluster_client(server, _):
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=server.nodes[0].port, decode_responses=True) as client:
        yield {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
        assert await client.ping()


@asynccontextmanager
async def coredis_client(server, _):
    async with coredis.Redis(port=server.port, connect_timeout=1, stream_timeout=2) as client:
        yield {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
        assert await client.ping()


@asynccontextmanager
async def trio_client(server, _):
    client = RedisTrio(b"127.0.0.1", server.port)
    await client.connect()
    yield {"SESSION_TYPE": "redis+trio", "SESSION_REDIS": client}
    await client.set("mine", "still open")
    client.conn.close()


@asynccontextmanager
async def aiomcache_client(server, _):
    client = aiomcache.Client("127.0.0.1", server.port)
    yield {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client}
    assert await client.version()
    await client.close()


@asynccontextmanager
async def pymemcache_client(server, _):
    client = PooledClient(("127.0.0.1", server.port), timeout=2, connect_timeout=1)
    client.version()
    yield {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client}
    assert client.client_pool.free[0].sock is not None
    client.close()


@asynccontextmanager
async def mongodb_client(server, _):
    async with pymongo.AsyncMongoClient(server.url) as client:
        names = {"SESSION_MONGODB_DB": server.database, "SESSION_MONGODB_COLLECT": "web"}
        yield {"SESSION_TYPE": "mongodb", "SESSION_MONGODB": client, **names}
        assert (await client[server.database]["web"].index_information()).keys() >= {"_id_"}


MEMORY = by(SESSION_TYPE="memory")
SQLITE = by(SESSION_TYPE="sqlite", SESSION_URI="sqlite:///{folder}/sessions.db")
FILES = by(SESSION_TYPE="filesystem", SESSION_FILE_DIR="{folder}/sessions")
REDIS = by(SESSION_TYPE="redis", SESSION_URI="{server.url}")
MEMCACHED = by(SESSION_TYPE="memcached", SESSION_URI="{server.url}")

BACKENDS = {
    "memory": (MEMORY, None, Quart),
    "memory on trio": (MEMORY, None, QuartTrio),
    "sqlite": (SQLITE, None, Quart),
    "sqlite on trio": (SQLITE, None, QuartTrio),
    "filesystem": (FILES, None, Quart),
    "filesystem on trio": (FILES, None, QuartTrio),
    "sqlalchemy on sqlite": (
        by(SESSION_TYPE="sqlalchemy", SESSION_URI="sqlite+aiosqlite:///{folder}/sessions.db"),
        None,
        Quart,
    ),
    "sqlalchemy on postgresql": (
        by(
            SESSION_TYPE="sqlalchemy",
            SESSION_URI="postgresql+asyncpg://{server.url}",
            SESSION_SQLALCHEMY_TABLE="web",
            SESSION_SQLALCHEMY_SCHEMA="public",
        ),
        "postgresql_server",
        Quart,
    ),
    "sqlalchemy on mariadb": (
        by(SESSION_TYPE="sqlalchemy", SESSION_URI="mysql+aiomysql://{server.url}"),
        "mariadb_server",
        Quart,
    ),
    "sqlalchemy engine": (engine, None, Quart),
    "redis": (REDIS, "redis_server", Quart),
    "redis on trio": (REDIS, "redis_server", QuartTrio),
    "redis client": (redis_client(), "redis_server", Quart),
    "redis client that decodes": (redis_client(decode_responses=True), "redis_server", Quart),
    "redis client that decodes, RESP 3": (redis_client(decode_responses=True, protocol=3), "redis_server", Quart),
    "sentinel client that decodes": (sentinel_client, "sentinels", Quart),
    "cluster client that decodes": (cluster_client, "cluster", Quart),
    "coredis client": (coredis_client, "redis_server", Quart),
    "coredis client on trio": (coredis_client, "redis_server", QuartTrio),
    "redis+trio": (by(SESSION_TYPE="redis+trio", SESSION_URI="{server.url}"), "redis_server", QuartTrio),
    "redis+trio client": (trio_client, "redis_server", QuartTrio),
    "memcached": (MEMCACHED, "memcached_server", Quart),
    "memcached on trio": (MEMCACHED, "memcached_server", QuartTrio),
    "memcached by host and port": (
        by(
            SESSION_TYPE="memcached",
            SESSION_MEMCACHED_HOST="127.0.0.1",
            SESSION_MEMCACHED_PORT=lambda server: server.port,
        ),
        "memcached_server",
        Quart,
    ),
    "aiomcache client": (aiomcache_client, "memcached_server", Quart),
    "pymemcache client": (pymemcache_client, "memcached_server", Quart),
    "mongodb": (
        by(SESSION_TYPE="mongodb", SESSION_MONGODB_URI="{server.url}", SESSION_MONGODB_COLLECTION="mine"),
        "mongodb_server",
        Quart,
    ),
    "mongodb client": (mongodb_client, "mongodb_server", Quart),
}


@pytest.fixture(params=BACKENDS)
def serve(request, tmp_path):
    """Return a function that runs a test with an app on a backend, and a visitor of it."""
    backend, name, kind = BACKENDS[request.param]
    server = request.getfixturevalue(name) if name else None

    def run(test, **config):
        async def main():
            async with backend(server, tmp_path) as found:
                app = app_with(kind, **found, **config)
                async with app.test_app():
                    await test(Visitor(app))

        if kind is QuartTrio:
            trio.run(main)
        else:
            asyncio.run(main())

    return run


class Visitor:
    """A browser, of one cookie."""

    def __init__(self, app):
        self.app, self.interface = app, app.session_interface
        self.cookie = self.line = None

    async def get(self, path, address=HERE):
        """Return the text of a page; the Set-Cookie line that came with it is in ``line``."""
        headers = {"Cookie": f"session={self.cookie}"} if self.cookie else {}
        client = self.app.test_client(use_cookies=False)
        response = await client.get(path, headers=headers, scope_base={"client": (address, 1)})
        assert response.status_code == 200
        self.line = response.headers.get("Set-Cookie")
        if self.line is not None:
            self.cookie = self.line.partition(";")[0].removeprefix("session=")
        return (await response.get_data()).decode()

    async def record(self):
        """Return what the store has of the session."""
        return await self.interface.get(f"session:{self.cookie.partition('.')[0]}")


def app_with(kind, **config):
    app = kind(__name__)
    app.config |= {"SECRET_KEY": SECRET, **config}
    Session(app)

    @app.get("/set")
    async def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/get")
    async def get_value():
        return str(session.get("n"))

    @app.get("/untouched")
    async def untouched():
        return ""

    @app.get("/clear")
    async def clear():
        session.clear()
        return ""

    return app


def test_a_session_lives_from_visit_to_visit(serve):
    async def test(visitor):
        assert await visitor.get("/untouched") == ""
        assert visitor.line is None
        assert await visitor.get("/set") == "1"
        first = visitor.cookie
        assert "Expires=" in visitor.line
        assert [await visitor.get(path) for path in ("/set", "/get")] == ["2", "2"]
        assert visitor.cookie == first
        other = Visitor(visitor.app)
        assert await other.get("/get") == "None"
        assert await other.get("/set") == "1"
        assert other.cookie != first

    serve(test)


def test_a_session_that_is_not_permanent_ends_with_the_browser(serve):
    async def test(visitor):
        assert await visitor.get("/set") == "1"
        assert "Expires=" not in visitor.line
        assert await visitor.get("/get") == "1"
        assert visitor.line is None

    serve(test, SESSION_PERMANENT=False)


def test_a_session_that_is_cleared_is_gone(serve):
    async def test(visitor):
        await visitor.get("/set")
        ended, record = visitor.cookie, visitor.record
        assert await record() is not None
        await visitor.get("/clear")
        assert visitor.cookie == ""
        visitor.cookie = ended
        assert await record() is None
        assert await visitor.get("/get") == "None"

    serve(test)


def test_a_session_ends_with_its_lifetime(serve):
    async def test(visitor):
        await visitor.get("/set")
        assert await visitor.get("/get") == "1"
        store = visitor.interface._fields["store"]
        if hasattr(store, "_clock"):
            store._clock = lambda: time.time() + 2.5
        with anyio.fail_after(10):
            while await visitor.record() is not None:  # noqa: ASYNC110  # by the clock of a server
                await anyio.sleep(0.05)
        assert await visitor.get("/get") == "None"

    serve(test, PERMANENT_SESSION_LIFETIME=1)


def test_a_signed_id_is_bound_to_an_address(serve):
    """By SESSION_USE_SIGNER and SESSION_PROTECTION, under which another address ends the session."""

    async def test(visitor):
        await visitor.get("/set")
        signed = visitor.cookie
        assert Signer(SECRET, salt="quart-session", key_derivation="hmac").validate(signed)
        sid, _, signature = signed.partition(".")
        visitor.cookie = f"{sid}.{signature[::-1]}"
        assert await visitor.get("/get") == "None"
        visitor.cookie = signed
        assert await visitor.get("/get") == "1"
        assert await visitor.get("/get", ELSEWHERE) == "None"
        visitor.cookie = signed
        assert await visitor.record() is None
        assert await visitor.get("/get") == "None"

    serve(test, SESSION_USE_SIGNER=True, SESSION_PROTECTION=True)


def test_the_store_is_reached_by_get_set_and_delete(serve):
    async def test(visitor):
        interface = visitor.interface
        await interface.set(key="key", value="one", app=visitor.app)
        await interface.set(key="key", value="zwei \u00fc", expiry=60)
        found = await interface.get(key="key", app=visitor.app)
        assert (found.decode() if isinstance(found, bytes) else found) == "zwei \u00fc"
        assert isinstance(found, bytes) == (visitor.app.config["SESSION_TYPE"] == "memcached")
        await interface.delete(key="key")
        assert await interface.get("key") is None

    serve(test)


@pytest.mark.parametrize("kind", [Quart, QuartTrio])
def test_null_keeps_nothing(kind):
    async def main():
        with pytest.warns(SessionWarning, match="no session is kept"):
            app = app_with(kind)
        async with app.test_app():
            visitor = Visitor(app)
            assert [await visitor.get(path) for path in ("/set", "/get", "/set")] == ["1", "None", "1"]
            await visitor.interface.set("key", "one", expiry=60)
            assert await visitor.interface.get("key") is None
            await visitor.interface.delete("key")

    trio.run(main) if kind is QuartTrio else asyncio.run(main())
