"""quart_plugin.FlaskSessionInterface: Quart's own interface, and ours in its place."""

import asyncio
from pathlib import Path

import pytest
from driver import NOW, SECRET, app_that, request
from quart import Quart, session, websocket

from asgi_flask_session import FlaskSessionASGI, Settings, StoreUnavailable
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface

KINDS = {"cookie": FlaskSessionInterface, "store": lambda: FlaskSessionInterface(store=MemoryStore())}


@pytest.fixture(params=KINDS)
def interface(request):
    return KINDS[request.param]()


def app_with(interface, **config):
    app = Quart(__name__, static_folder=str(Path(__file__).parent), static_url_path="/static")
    app.secret_key = SECRET
    app.config.update(config)
    app.session_interface = interface

    @app.get("/set")
    async def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/get")
    async def get_value():
        return str(session.get("n"))

    @app.get("/untouched")
    async def untouched():
        return "untouched"

    @app.get("/permanent")
    async def permanent():
        session.permanent = True
        session["n"] = 1
        return ""

    @app.get("/clear")
    async def clear():
        session.clear()
        return ""

    @app.get("/fail")
    async def fail():
        session["n"] = 500
        raise RuntimeError("on purpose")

    @app.websocket("/before")
    async def before():
        session["n"] = 1
        await websocket.send(str(session["n"]))

    @app.websocket("/after")
    async def after():
        await websocket.accept()
        session["n"] = 2
        await websocket.send("")
        await websocket.receive()  # until the client goes away

    return app


def ask(app, *paths):
    async def main():
        client = app.test_client()
        return [await client.get(path) for path in paths]

    return asyncio.run(main())


async def text(response):
    return (await response.get_data()).decode()


def texts(app, *paths):
    async def main():
        client = app.test_client()
        return [await text(await client.get(path)) for path in paths]

    return asyncio.run(main())


def test_a_value_is_there_in_the_next_request(interface):
    assert texts(app_with(interface), "/set", "/set", "/get", "/clear", "/get") == ["1", "2", "2", "", "None"]


def test_headers_are_sent_when_they_are_owed(interface):
    first, _, untouched, read = ask(app_with(interface), "/untouched", "/set", "/untouched", "/get")
    assert [("Set-Cookie" in r.headers, r.headers.get("Vary")) for r in (first, untouched, read)] == [
        (False, None),
        (False, None),
        (False, "Cookie"),
    ]


def test_a_static_file_never_sets_a_cookie(interface):
    _, refreshed, static = ask(app_with(interface), "/permanent", "/untouched", "/static/test_interface.py")
    assert ("Set-Cookie" in refreshed.headers, static.status_code, "Set-Cookie" in static.headers) == (True, 200, False)


def test_what_a_failing_request_changed_is_saved(interface):
    failed, read = ask(app_with(interface), "/fail", "/get")
    assert failed.status_code == 500
    assert asyncio.run(text(read)) == "500"


def test_session_transaction(interface):
    async def main():
        client = app_with(interface).test_client()
        async with client.session_transaction() as transaction:
            transaction["n"] = 41
        return await text(await client.get("/set"))

    assert asyncio.run(main()) == "42"


def test_a_change_before_accept_goes_out_with_the_handshake(interface):
    app, messages = app_with(interface), []

    async def main():
        sent = iter([{"type": "websocket.connect"}])

        async def receive():
            return next(sent, None) or await asyncio.sleep(60)

        done = asyncio.Event()

        async def send(message):
            messages.append(message)
            if message["type"] == "websocket.close":
                done.set()

        scope = {
            "type": "websocket", "path": "/before", "headers": [], "query_string": b"", "scheme": "ws",
            "asgi": {"spec_version": "2.3"}, "subprotocols": [],
        }  # fmt: skip
        task = asyncio.ensure_future(app(scope, receive, send))
        await asyncio.wait_for(done.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    headers = dict(messages[0]["headers"])
    assert messages[0]["type"] == "websocket.accept"
    assert headers[b"set-cookie"].startswith(b"session=")


def test_a_change_after_accept_is_saved_in_a_store_though_the_client_goes_away():
    store = MemoryStore()
    app = app_with(FlaskSessionInterface(store=store))

    async def main():
        client = app.test_client()
        await client.get("/set")
        async with client.websocket("/after") as connection:
            await connection.receive()
        return await text(await client.get("/get"))

    assert asyncio.run(main()) == "2"


def test_a_change_after_accept_is_warned_of_where_there_is_no_store(caplog):
    async def main():
        client = app_with(FlaskSessionInterface()).test_client()
        async with client.websocket("/after") as connection:
            await connection.receive()

    asyncio.run(main())
    assert [record.name for record in caplog.records] == ["asgi_flask_session"]


def test_under_the_middleware_there_is_one_session_and_one_cookie():
    app = app_with(FlaskSessionInterface())
    app.asgi_app = FlaskSessionASGI(app.asgi_app, SECRET)
    wrote, untouched, read = ask(app, "/set", "/untouched", "/get")
    assert [len(r.headers.getlist("Set-Cookie")) for r in (wrote, untouched, read)] == [1, 0, 0]
    assert [r.headers.get("Vary") for r in (wrote, untouched, read)] == ["Cookie", None, "Cookie"]


def test_the_store_is_shared_with_the_asgi_side():
    store, seen = MemoryStore(), []
    app = app_with(FlaskSessionInterface(store=store))

    async def main():
        client = app.test_client()
        await client.get("/set")
        return next(iter(client.cookie_jar)).value

    cookie = asyncio.run(main())
    beside = FlaskSessionASGI(app_that(lambda s: seen.append(dict(s))), settings=Settings.from_flask(app))
    request(beside, cookie, run=asyncio.run)
    assert seen == [{"n": 1}]


def test_the_cookie_is_flasks_with_sorted_keys():
    app = app_with(FlaskSessionInterface(clock=lambda: NOW))

    @app.get("/two")
    async def two():
        session["b"], session["a"] = 1, 2
        return ""

    [response] = ask(app, "/two")
    seen = request(FlaskSessionASGI(app_that(lambda s: s.update(b=1, a=2)), SECRET, clock=lambda: NOW)).set_cookie
    assert response.headers["Set-Cookie"] == seen


class Broken:
    """A store that is down."""

    async def _fail(self, *args):
        raise StoreUnavailable("down")

    get = create = replace = touch = delete = _fail

    async def aclose(self):
        pass


def test_a_store_that_is_down_is_a_503_for_whoever_needs_it():
    app = app_with(FlaskSessionInterface(store=Broken()))

    async def main():
        client = app.test_client()
        without = await client.get("/untouched")
        first_write = await client.get("/set")
        client.set_cookie("localhost", "session", "0123456789abcdef")
        return [without, first_write, *[await client.get(path) for path in ("/untouched", "/get", "/fail")]]

    responses = asyncio.run(main())
    assert [r.status_code for r in responses] == [200, 503, 503, 503, 503]
    assert [r.headers.get("Retry-After") for r in responses[1:]] == ["5"] * 4
