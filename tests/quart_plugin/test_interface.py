"""quart_plugin.FlaskSessionInterface: Quart's own interface, and ours in its place."""

import asyncio
from pathlib import Path

import missing
import pytest
from driver import NOW, SECRET, app_that, request
from peers.quart_side import SAYS_WHAT_IS_READ
from quart import Quart, abort, has_websocket_context, session, stream_with_context, websocket
from quart.sessions import SessionMixin

from asgi_flask_session import FlaskSessionASGI, Session, Settings, SettingsError, StoreUnavailable
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface

VARY = [("vary", "Cookie")]
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


async def connect(app, path, cookie=None, **scope):
    """Return what a server was sent by a websocket whose client goes away after the first message."""
    messages, over, connected = [], asyncio.Event(), False

    async def receive():
        nonlocal connected
        if not connected:
            connected = True
            return {"type": "websocket.connect"}
        await over.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message):
        messages.append(message)
        if message["type"] in ("websocket.send", "websocket.close", "websocket.http.response.body"):
            over.set()

    scope = {
        "type": "websocket", "path": path, "headers": [], "query_string": b"", "scheme": "ws",
        "asgi": {"spec_version": "2.3"}, "subprotocols": [], **scope,
    }  # fmt: skip
    if cookie:
        scope["headers"] = [(b"cookie", f"session={cookie}".encode())]
    await asyncio.wait_for(app(scope, receive, send), 5)
    return messages


def headers_of(message):
    return [(name.decode().lower(), value.decode()) for name, value in message.get("headers", ())]


def cookies_of(message):
    return [value for name, value in headers_of(message) if name == "set-cookie"]


def value_of(line):
    return line.partition(";")[0].partition("=")[2]


def under_middleware(app, **fields):
    app.asgi_app = FlaskSessionASGI(app.asgi_app, SECRET, **fields)
    return app


WRAPPED = {
    "cookie": lambda: app_with(FlaskSessionInterface()),
    "store": lambda: app_with(FlaskSessionInterface(store=MemoryStore())),
    "wrapped cookie": lambda: under_middleware(app_with(FlaskSessionInterface())),
    "wrapped store": lambda: under_middleware(app_with(FlaskSessionInterface()), store=MemoryStore()),
}


@pytest.mark.parametrize("made", WRAPPED.values(), ids=WRAPPED)
def test_a_change_before_accept_goes_out_with_the_handshake(made):
    accept, *_ = asyncio.run(connect(made(), "/before"))
    assert accept["type"] == "websocket.accept"
    assert [line[:8] for line in cookies_of(accept)] == ["session="]
    assert [value for name, value in headers_of(accept) if name == "vary"] == ["Cookie"]


@pytest.mark.parametrize("made", WRAPPED.values(), ids=WRAPPED)
def test_a_change_after_accept_is_saved_where_there_is_a_store(made, caplog):
    app = made()

    async def main():
        [accept, *_] = await connect(app, "/before")
        cookie = value_of(cookies_of(accept)[0])
        late, *_ = await connect(app, "/after", cookie)
        response = await app.test_client(use_cookies=False).get("/get", headers={"Cookie": f"session={cookie}"})
        return cookies_of(late), await text(response)

    stored = "store" in app.session_interface._fields or getattr(app.asgi_app, "store", None) is not None
    assert asyncio.run(main()) == ([], "2" if stored else "1")
    assert [record.name for record in caplog.records] == ([] if stored else ["asgi_flask_session"])


def test_what_the_app_says_of_the_handshake_is_kept(interface):
    app = app_with(interface)

    @app.websocket("/own")
    async def own():
        session["n"] = 1
        await websocket.accept({"X-Own": "1", "Set-Cookie": "other=1", "Vary": "Origin"}, "chat")
        await websocket.accept({"X-Own": "2"})
        await websocket.send("")

    accept, sent, *_ = asyncio.run(connect(app, "/own"))
    assert (accept["type"], accept["subprotocol"], sent["type"]) == ("websocket.accept", "chat", "websocket.send")
    names = [name for name, _ in headers_of(accept)]
    assert sorted(names) == ["set-cookie", "set-cookie", "vary", "x-own"]
    assert dict(headers_of(accept))["vary"] == "Origin, Cookie"


@pytest.mark.parametrize(
    ("session_class", "silent", "read"),
    [
        (Session, [], VARY),
        (type("Marked", (dict, SessionMixin), {"accessed": True}), [], VARY if SAYS_WHAT_IS_READ else []),
        (type("Unmarked", (dict,), {"permanent": False}), VARY, VARY),
    ],
    ids=["ours", "a class that marks it", "a class that does not"],
)
def test_a_handshake_varies_where_the_session_was_looked_at(interface, session_class, silent, read):
    app = app_with(interface)
    interface.session_class = session_class

    @app.websocket("/silent")
    async def not_looked_at():
        await websocket.send("")

    @app.websocket("/read")
    async def looked_at():
        await websocket.send(str(session.get("n")))

    sent = [asyncio.run(connect(app, path))[0] for path in ("/silent", "/read")]
    assert [headers_of(accept) for accept in sent] == [silent, read]


def test_a_handshake_is_saved_once(interface):
    saved = []

    class Own(type(interface)):
        async def save_session(self, app, session, response):
            saved.append("late" if response is None else "handshake")
            await super().save_session(app, session, response)

    app = app_with(Own(**interface._fields))

    @app.websocket("/often")
    async def often():
        for _ in range(3):
            await websocket.accept()

    asyncio.run(connect(app, "/often"))
    assert saved == ["handshake", "late"]


def test_a_cookie_goes_out_with_a_handshake_without_anyio(monkeypatch):
    missing.forget(monkeypatch, "anyio")
    accept, *_ = asyncio.run(connect(app_with(FlaskSessionInterface()), "/before"))
    assert len(cookies_of(accept)) == 1


def test_tasks_that_accept_at_once_send_one_cookie_that_is_good():
    class Slow(MemoryStore):
        async def create(self, *args):
            await asyncio.sleep(0.01)
            return await super().create(*args)

    app = app_with(FlaskSessionInterface(store=Slow()))

    @app.websocket("/at-once")
    async def at_once():
        session["n"] = session.get("n", 0) + 1
        session.regenerate()
        await asyncio.gather(websocket.accept(), websocket.accept())
        await websocket.send("")

    async def main():
        cookie = None
        for _ in range(2):
            [accept, *_] = await connect(app, "/at-once", cookie)
            [line] = cookies_of(accept)
            cookie = value_of(line)
        response = await app.test_client(use_cookies=False).get("/get", headers={"Cookie": f"session={cookie}"})
        return await text(response)

    assert asyncio.run(main()) == "2"


def test_a_subclass_has_its_say_about_the_handshake(interface):
    class NotForSockets(type(interface)):
        async def save_session(self, app, session, response):
            if not has_websocket_context():
                await super().save_session(app, session, response)

    app = app_with(NotForSockets(**interface._fields))
    accept, *_ = asyncio.run(connect(app, "/before"))
    assert (accept["type"], headers_of(accept)) == ("websocket.accept", [])


def test_a_websocket_that_the_app_denies_may_set_a_cookie(interface):
    app = app_with(interface)

    @app.websocket("/denied")
    async def denied():
        session["n"] = 1
        abort(403)

    start, *_ = asyncio.run(connect(app, "/denied", extensions={"websocket.http.response": {}}))
    assert (start["status"], len(cookies_of(start))) == (403, 1)


def test_what_cannot_be_written_ends_the_handshake(interface):
    app = app_with(interface)

    @app.websocket("/object")
    async def put_object():
        session["n"] = object()
        await websocket.send("")

    start, *_ = asyncio.run(connect(app, "/object", extensions={"websocket.http.response": {}}))
    assert (start["type"], start["status"], cookies_of(start)) == ("websocket.http.response.start", 500, [])


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


@pytest.mark.parametrize("fields", [{}, {"cookie_name": "mine"}], ids=str)
def test_under_the_middleware_there_is_one_session_and_one_cookie(fields):
    store = MemoryStore()
    app = under_middleware(app_with(FlaskSessionInterface(**fields)), store=store, **fields)
    wrote, untouched, read = ask(app, "/set", "/untouched", "/get")
    assert [len(r.headers.getlist("Set-Cookie")) for r in (wrote, untouched, read)] == [1, 0, 0]
    assert [r.headers.get("Vary") for r in (wrote, untouched, read)] == ["Cookie", None, "Cookie"]
    assert len(store._kept) == 1


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


def test_fields_that_cannot_work_are_refused_at_once():
    with pytest.raises(SettingsError):
        FlaskSessionInterface(cookie_samesite="Loose")


def test_settings_that_are_given_count_before_the_apps_config():
    settings = Settings(SECRET, cookie_name="mine")
    app = app_with(FlaskSessionInterface(settings, cookie_samesite="Lax"), SESSION_COOKIE_NAME="theirs")
    app.secret_key = None
    [response] = ask(app, "/set")
    assert response.headers["Set-Cookie"].startswith("mine=")
    assert response.headers["Set-Cookie"].endswith("; SameSite=Lax")


def test_without_a_secret_nothing_is_to_be_set_or_saved():
    class Own(FlaskSessionInterface):
        async def open_session(self, app, request):
            return self.session_class()

    app = app_with(Own())
    app.secret_key = None
    [response] = ask(app, "/set")
    assert (response.status_code, "Set-Cookie" in response.headers) == (200, False)
    assert app.session_interface.should_set_cookie(app, {"n": 1}) is False


class Broken:
    """A store that is down."""

    async def _fail(self, *args):
        raise StoreUnavailable("down")

    get = create = replace = touch = delete = _fail

    async def aclose(self):
        pass


def test_a_store_that_is_down_is_a_503_for_whoever_needs_it(caplog):
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
    assert [record.getMessage() for record in caplog.records] == ["the session store is not available: down"] * 4


def test_a_change_in_a_stream_is_told_to_be_lost_where_the_store_is_down_by_then(caplog):
    store = MemoryStore()
    app = app_with(FlaskSessionInterface(store=store))

    @app.get("/stream")
    async def stream():
        @stream_with_context
        async def parts():
            yield "part"
            store.replace = Broken().replace
            session["n"] = 2

        return parts(), 200

    assert texts(app, "/set", "/stream") == ["1", "part"]
    assert ["could not be saved" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("accepts_early", [False, True])
@pytest.mark.parametrize("cookie", [None, "0123456789abcdef"])
def test_a_websocket_whose_store_is_down_is_refused(accepts_early, cookie):
    app = app_with(FlaskSessionInterface(store=Broken()))

    @app.before_websocket
    async def early():
        if accepts_early:
            session["n"] = 1
            await websocket.accept()

    start, *_ = asyncio.run(connect(app, "/before", cookie, extensions={"websocket.http.response": {}}))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert dict(headers_of(start))["retry-after"] == "5"
    [close] = asyncio.run(connect(app, "/before", cookie))
    assert close == {"type": "websocket.close", "code": 1013, "reason": "session store not available"}


def test_a_websocket_whose_store_is_down_may_be_closed_by_the_app(caplog):
    app = app_with(FlaskSessionInterface(store=Broken()))

    @app.errorhandler(503)
    async def handle(error):
        await websocket.close(4503)
        return "", 503

    [close] = asyncio.run(connect(app, "/before", "0123456789abcdef"))
    assert (close["type"], close["code"]) == ("websocket.close", 4503)
    assert [record.name for record in caplog.records] == ["asgi_flask_session"]


def test_a_websocket_whose_store_is_down_fails_where_that_is_asked_for():
    app = app_with(FlaskSessionInterface(store=Broken(), on_store_error="raise"), PROPAGATE_EXCEPTIONS=True)
    for cookie in (None, "0123456789abcdef"):
        with pytest.RaisesGroup(StoreUnavailable, allow_unwrapped=True):
            asyncio.run(connect(app, "/before", cookie))


def test_a_websocket_whose_session_cannot_be_loaded_is_refused():
    app = app_with(FlaskSessionInterface(store=Broken(), lazy=True))

    @app.websocket("/load")
    async def load():
        await session.load()
        await websocket.send("")

    messages = asyncio.run(connect(app, "/load", "0123456789abcdef"))
    assert [(m["type"], m["code"]) for m in messages] == [("websocket.close", 1013)]


async def log_in_behind_the_handshake():
    await websocket.accept()
    session["_user_id"] = "7"
    await session.save()
    await websocket.send("")


async def log_in_without_a_handshake():
    session["_user_id"] = "7"
    await websocket.close(1000)


@pytest.mark.parametrize("login", [log_in_behind_the_handshake, log_in_without_a_handshake])
def test_a_login_that_no_handshake_can_tell_of_keeps_the_id_that_the_browser_has(login):
    app = app_with(FlaskSessionInterface(store=MemoryStore()))
    app.add_websocket("/login", view_func=login)

    async def main():
        [accept, *_] = await connect(app, "/before")
        cookie = value_of(cookies_of(accept)[0])
        await connect(app, "/login", cookie)
        response = await app.test_client(use_cookies=False).get("/get", headers={"Cookie": f"session={cookie}"})
        return await text(response)

    assert asyncio.run(main()) == "1"


def test_a_change_before_a_failure_behind_the_handshake_is_warned_of(caplog):
    app = app_with(FlaskSessionInterface())

    @app.websocket("/fails")
    async def fails():
        await websocket.accept()
        session["n"] = 1
        raise RuntimeError("on purpose")

    asyncio.run(connect(app, "/fails"))
    assert "asgi_flask_session" in [record.name for record in caplog.records]
