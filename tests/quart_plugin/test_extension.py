"""quart_plugin.Session: Quart-Session's extension, by changing one import."""

import asyncio
import json

import pytest
import quart_session
from quart import Quart, session
from services import redis as redis_servers

from asgi_flask_session import SessionWarning, SettingsError
from quart_plugin import Session
from quart_plugin.mongodb import record_of


def app_with(extension=Session, **config):
    app = Quart(__name__)
    app.config.update(config)
    extension(app)

    @app.get("/set")
    async def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/get")
    async def get_value():
        return str(session.get("n"))

    return app


async def text(client, path, **options):
    response = await client.get(path, **options)
    return (await response.get_data()).decode()


def visit(app, *paths):
    async def main():
        async with app.test_app():
            client = app.test_client()
            return [await text(client, path) for path in paths]

    return asyncio.run(main())


@pytest.fixture(scope="module")
def server():
    with redis_servers.running() as server:
        yield server


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_TYPE": "memory"},
        {"SESSION_TYPE": "sqlite"},
        {"SESSION_TYPE": "filesystem"},
        {"SESSION_TYPE": "sqlalchemy", "SESSION_URI": "sqlite+aiosqlite:///sessions.db"},
    ],
    ids=lambda config: config["SESSION_TYPE"],
)
def test_a_value_is_there_in_the_next_request(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert visit(app_with(**config), "/set", "/set", "/get") == ["1", "2", "2"]


def test_a_value_is_there_in_redis(server):
    assert visit(app_with(SESSION_TYPE="redis", SESSION_URI=server.url), "/set", "/set", "/get") == ["1", "2", "2"]


def test_null_keeps_nothing_and_warns():
    with pytest.warns(SessionWarning, match="no session is kept"):
        app = app_with()
    assert visit(app, "/set", "/set") == ["1", "1"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"SESSION_TYPE": "dynamodb"}, "write one of 'null', 'memory'"),
        ({"SESSION_TYPE": "sqlalchemy"}, "needs SESSION_URI"),
        ({"SESSION_TYPE": "mongodb"}, "needs SESSION_MONGODB_URI"),
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": 3}, "is no client of Redis"),
    ],
)
def test_a_config_that_cannot_work_is_refused(config, says):
    with pytest.raises(SettingsError, match=says):
        app_with(**config)


@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
def test_a_session_of_quart_session_goes_on_after_the_change_of_import_and_back(server):
    async def ask(extension, path, cookie=None):
        app = app_with(extension, SESSION_TYPE="redis", SESSION_URI=server.url)
        async with app.test_app():
            headers = {"Cookie": f"session={cookie}"} if cookie else {}
            response = await app.test_client(use_cookies=False).get(path, headers=headers)
            line = response.headers.get("Set-Cookie", "")
            body = (await response.get_data()).decode()
            if extension is quart_session.Session:
                await app.session_interface.backend.aclose()
            return body, line.partition(";")[0].removeprefix("session=")

    async def main():
        _, cookie = await ask(quart_session.Session, "/set")
        ours, same = await ask(Session, "/set", cookie)
        theirs, _ = await ask(quart_session.Session, "/get", cookie)
        return ours, theirs, same == cookie

    assert asyncio.run(main()) == ("2", "2", True)


def test_get_set_and_delete_reach_the_store(server):
    app = app_with(SESSION_TYPE="redis", SESSION_URI=server.url)

    async def main():
        interface = app.session_interface
        async with app.test_app():
            await interface.set("key", "one", expiry=60, app=app)
            await interface.set("key", "two", expiry=60, app=app)
            there = await interface.get("key")
            await interface.delete("key")
            return there, await interface.get("key")

    assert asyncio.run(main()) == ("two", None)


def test_a_serializer_of_ones_own_is_used():
    app = app_with(SESSION_TYPE="memory")

    class Spaced:
        dumps = staticmethod(lambda data: json.dumps(data, indent=1))
        loads = staticmethod(json.loads)

    app.session_interface.serialize = Spaced()
    assert visit(app, "/set", "/set") == ["1", "2"]
    [(record, _)] = app.session_interface._fields["store"]._kept.values()
    assert b"\n" in record


def test_it_may_be_made_while_the_app_is_starting():
    app = Quart(__name__)
    app.config["SESSION_TYPE"] = "memory"

    @app.before_serving
    async def setup():
        Session(app)

    @app.get("/set")
    async def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    assert visit(app, "/set", "/set") == ["1", "2"]


def test_an_app_without_a_session_interface_gets_the_functions():
    class Old:
        config = {"SESSION_TYPE": "memory"}

    old = Old()
    Session(old)
    assert callable(old.open_session)
    assert callable(old.save_session)


def test_protection_ends_a_session_that_comes_from_another_address():
    app = app_with(SESSION_TYPE="memory", SESSION_PROTECTION=True, SESSION_REVERSE_PROXY=True)

    async def main():
        client = app.test_client()
        here, there = ({"X-Forwarded-For": address} for address in ("192.0.2.1", "192.0.2.2"))
        return [await text(client, path, headers=h) for path, h in (("/set", here), ("/get", there), ("/get", here))]

    assert asyncio.run(main()) == ["1", "None", "None"]


@pytest.mark.parametrize(
    ("document", "record"),
    [
        ({"data": {"_permanent": True, "t": (1,)}}, b'{"_permanent":true,"t":{" t":[1]}}'),
        ({"data": {"x": {1, 2}}}, b""),
        ({}, b""),
    ],
)
def test_a_document_of_quart_session_is_read_as_a_record(document, record):
    assert record_of(document) == record
