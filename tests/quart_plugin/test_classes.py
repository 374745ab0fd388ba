"""Session classes of others in FlaskSessionInterface: any mapping with ``permanent``, whatever it notices itself."""

import asyncio
from collections import UserDict
from collections.abc import MutableMapping

import pytest
from driver import NOW, SECRET
from flask.sessions import SecureCookieSession, SessionMixin
from flask_session.base import ServerSideSession as OfFlaskSession
from quart import Quart, flash, get_flashed_messages, session, stream_with_context, websocket
from quart.sessions import SecureCookieSessionInterface
from quart_session.sessions import ServerSideSession as OfQuartSession
from werkzeug.datastructures import CallbackDict

from asgi_flask_session import FlaskSessionASGI, Session, SettingsError, StoreUnavailable
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface


class Dict(dict):
    """A dict that notices nothing, with an attribute beside it."""

    permanent = False


class Mixed(dict, SessionMixin):
    """A dict by which everything was changed, always."""


class User(UserDict):
    permanent = False
    modified = False


class Mapping(MutableMapping):
    """The least that there may be."""

    def __init__(self, data):
        self.data = dict(data)
        self.permanent = False

    __getitem__ = lambda self, key: self.data[key]  # noqa: E731
    __setitem__ = lambda self, key, value: self.data.__setitem__(key, value)  # noqa: E731
    __delitem__ = lambda self, key: self.data.__delitem__(key)  # noqa: E731
    __iter__ = lambda self: iter(self.data)  # noqa: E731
    __len__ = lambda self: len(self.data)  # noqa: E731


class Classic(CallbackDict, SessionMixin):
    """As in the pattern for sessions in Redis that Flask's users share."""

    def __init__(self, initial=None, sid=None, new=False):
        def on_update(self):
            self.modified = True

        CallbackDict.__init__(self, initial, on_update)
        self.sid = sid
        self.new = new
        self.modified = False


class Guarded(UserDict):
    """What says itself whether it was changed."""

    def __init__(self, data):
        super().__init__(data)
        self._before = dict(data)

    permanent = SessionMixin.permanent
    modified = property(lambda self: self.data != self._before)
    sid = property(lambda self: "one of its own")


CLASSES = [Dict, Mixed, User, Mapping, Classic, Guarded, SecureCookieSession, OfFlaskSession, OfQuartSession]
KINDS = {"cookie": dict, "store": lambda: {"store": MemoryStore()}}


@pytest.fixture(params=CLASSES, ids=lambda kind: kind.__module__.partition(".")[0] + "." + kind.__name__)
def session_class(request):
    return request.param


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def interface_with(session_class, base=FlaskSessionInterface, **options):
    return type("Own", (base,), {"session_class": session_class})(**options)


def count(session):
    session["n"] = session.get("n", 0) + 1
    return session["n"]


def append(session):
    session["list"].append(2)
    return session["list"]


def make_permanent(session):
    session.permanent = True
    session["n"] = 1


VIEWS = {
    "/class": lambda session: type(session).__name__,
    "/set": count,
    "/same": lambda session: session.update(n=session["n"]),
    "/get": lambda session: str(session.get("n")),
    "/untouched": lambda _: None,
    "/list": lambda session: session.update(list=[1]),
    "/append": append,
    "/all": lambda session: sorted(session.items()),
    "/permanent": make_permanent,
    "/passing": lambda session: setattr(session, "permanent", False),
    "/is-permanent": lambda session: str(session.permanent),
    "/clear": lambda session: session.clear(),
    "/login/<user>": lambda session, user: session.update(_user_id=user),
    "/object": lambda session: session.update(n=object()),
    "/new-object": lambda session: session.update(new=object()),
}


def app_with(interface):
    app = Quart(__name__)
    app.secret_key = SECRET
    app.session_interface = interface

    def add(path, handle):
        async def view(**values):
            return str(handle(session._get_current_object(), **values) or "")

        app.add_url_rule(path, path.replace("/", "_"), view)

    for path, handle in VIEWS.items():
        add(path, handle)

    @app.get("/flash")
    async def flash_one():
        await flash("hello", "greeting")
        return ""

    @app.get("/messages")
    async def messages():
        return str(get_flashed_messages(with_categories=True))

    @app.get("/stream")
    async def stream():
        @stream_with_context
        async def parts():
            yield str(session.get("n"))
            session["n"] = 6

        return parts(), 200

    @app.websocket("/before")
    async def before():
        session["n"] = 7
        await websocket.send(str(session["n"]))

    @app.websocket("/after")
    async def after():
        await websocket.accept()
        session["n"] = 8
        await websocket.send("8")

    @app.websocket("/both")
    async def both():
        session["n"] = 9
        await websocket.accept()
        await websocket.send("9")

    @app.websocket("/read")
    async def read():
        await websocket.send(str(session.get("n")))

    return app


async def answer(app, path, cookie=None):
    headers = {"Cookie": f"session={cookie}"} if cookie else {}
    response = await app.test_client(use_cookies=False).get(path, headers=headers)
    return (await response.get_data()).decode(), response.headers.getlist("Set-Cookie"), response


def value_of(line):
    return line.partition(";")[0].partition("=")[2]


def visit(app, *paths, cookie=None):
    async def main():
        kept, answers = cookie, []
        for path in paths:
            answers.append(await answer(app, path, kept))
            for line in answers[-1][1]:
                kept = value_of(line)
        return answers

    return asyncio.run(main())


@pytest.fixture
def app(session_class, kind):
    return app_with(interface_with(session_class, **KINDS[kind]()))


def bodies(app, *paths):
    return [body for body, _, _ in visit(app, *paths)]


def test_it_is_of_that_class(app, session_class):
    assert bodies(app, "/class", "/set", "/class") == [session_class.__name__, "1", session_class.__name__]


def test_a_change_is_there_in_the_next_request(app):
    assert bodies(app, "/set", "/set", "/get") == ["1", "2", "2"]


def test_a_change_inside_a_value_is_seen(app):
    assert bodies(app, "/list", "/append", "/append", "/all") == ["", "[1, 2]", "[1, 2, 2]", "[('list', [1, 2, 2])]"]


def test_what_is_only_read_is_not_written_again(app):
    answers = visit(app, "/untouched", "/get", "/set", "/list", "/get", "/all", "/untouched")
    assert [len(lines) for _, lines, _ in answers] == [0, 0, 1, 1, 0, 0, 0]
    assert [response.headers.get("Vary") for _, _, response in answers[:3]] == ["Cookie"] * 3


def test_a_cookie_that_is_no_session_is_left(app):
    assert [answer[:2] for answer in visit(app, "/get", cookie="0123456789abcdef")] == [("None", [])]


def test_an_emptied_session_is_gone(app):
    answers = visit(app, "/set", "/clear", "/get", "/clear")
    assert answers[1][1][0].startswith("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0")
    assert (answers[2][0], answers[3][1]) == ("None", [])


def test_a_record_is_gone_with_its_session(session_class):
    store = MemoryStore()
    app = app_with(interface_with(session_class, store=store))
    [(_, [line], _)] = visit(app, "/set")
    visit(app, "/clear", cookie=value_of(line))
    assert asyncio.run(store.get(f"session:{value_of(line)}")) is None


def test_a_permanent_session_is_refreshed_and_passes_again(app):
    answers = visit(app, "/permanent", "/is-permanent", "/untouched", "/passing", "/is-permanent", "/get")
    assert [(body, ["Expires" in line for line in lines]) for body, lines, _ in answers] == [
        ("", [True]), ("True", [True]), ("", [True]), ("", [False]), ("False", []), ("1", []),
    ]  # fmt: skip


def test_its_cookie_is_flasks(session_class, monkeypatch):
    monkeypatch.setattr("time.time", lambda: NOW)
    app = app_with(interface_with(session_class, clock=lambda: NOW))
    stock = app_with(SecureCookieSessionInterface())
    for path in ("/set", "/list", "/login/7"):
        assert visit(app, path)[0][1] == visit(stock, path)[0][1]


def test_a_new_session_is_permanent_where_the_settings_say_so(session_class, kind):
    app = app_with(interface_with(session_class, permanent=True, **KINDS[kind]()))
    answers = visit(app, "/untouched", "/set", "/is-permanent")
    assert [["Expires" in line for line in lines] for _, lines, _ in answers] == [[], [True], [True]]
    assert answers[2][0] == "True"


def test_flashes_are_there_once(app):
    assert bodies(app, "/flash", "/messages", "/messages") == ["", "[('greeting', 'hello')]", "[]"]


def test_a_login_gets_a_new_id(session_class):
    app = app_with(interface_with(session_class, store=MemoryStore()))
    answers = visit(app, "/set", "/login/7", "/get")
    assert value_of(answers[0][1][0]) != value_of(answers[1][1][0])
    assert answers[2][0] == "1"


@pytest.mark.parametrize("kind", ["Classic", "OfFlaskSession", "OfQuartSession"])
def test_it_is_told_its_id(kind):
    seen = []

    class Own(FlaskSessionInterface):
        async def save_session(self, app, session, response):
            seen.append(session.sid)
            await super().save_session(app, session, response)
            seen.append(session.sid)

    [(_, [line], _), _] = visit(app_with(interface_with(globals()[kind], Own, store=MemoryStore())), "/set", "/get")
    assert seen == [None, value_of(line), value_of(line), value_of(line)]


def test_it_is_told_whether_it_is_new(kind):
    app = app_with(interface_with(Classic, **KINDS[kind]()))

    @app.get("/new")
    async def is_new():
        return f"{session.new} {session.modified}"

    assert bodies(app, "/new", "/set", "/new") == ["True False", "1", "False False"]


@pytest.mark.parametrize("name", ["sid", "new", "modified"])
def test_it_gets_no_mark_that_its_class_has_not(name):
    app = app_with(interface_with(Dict, store=MemoryStore()))
    app.add_url_rule("/has", "has", lambda: str(hasattr(session, name)))
    assert bodies(app, "/has", "/set", "/has") == ["False", "1", "False"]


def test_without_permanent_it_ends_with_the_browser(kind):
    app = app_with(interface_with(type("Bare", (dict,), {}), **KINDS[kind]()))
    answers = visit(app, "/set", "/set", "/all")
    assert [(body, ["Expires" in line for line in lines]) for body, lines, _ in answers] == [
        ("1", [False]), ("2", [False]), ("[('n', 2)]", []),
    ]  # fmt: skip


# Of a value that was put there again: Flask writes it where the class marks it.
@pytest.mark.parametrize(
    ("kind", "writes"),
    [("Dict", 0), ("Mixed", 0), ("Mapping", 0), ("Guarded", 0), ("Classic", 1), ("SecureCookieSession", 1)],
)
def test_what_a_class_marks_is_written(kind, writes):
    answers = visit(app_with(interface_with(globals()[kind])), "/set", "/same")
    assert len(answers[1][1]) == writes


@pytest.mark.parametrize("path", ["/object", "/new-object"])
def test_what_cannot_be_written_is_a_500(app, path):
    answers = visit(app, "/set", path)
    assert (answers[1][2].status_code, answers[1][1]) == (500, [])


@pytest.mark.parametrize("session_class", [Dict, User, Mapping])
def test_an_empty_session_is_not_kept_by_permanent_beside_it(session_class, kind):
    app = app_with(interface_with(session_class, **KINDS[kind]()))
    app.add_url_rule("/only-permanent", "only", lambda: setattr(session, "permanent", True) or "")
    assert [lines for _, lines, _ in visit(app, "/only-permanent")] == [[]]


def test_without_looking_for_changes_inside_a_value_others_are_seen(session_class, kind):
    app = app_with(interface_with(session_class, detect_nested=False, **KINDS[kind]()))
    assert bodies(app, "/set", "/set", "/get") == ["1", "2", "2"]


def test_a_transaction_of_the_test_client(app, session_class):
    async def main():
        client = app.test_client()
        async with client.session_transaction() as transaction:
            assert type(transaction) is session_class
            transaction["n"] = 41
        return await (await client.get("/set")).get_data()

    assert asyncio.run(main()) == b"42"


def test_a_revoked_session_is_empty(session_class, kind):
    app = app_with(interface_with(session_class, is_revoked=lambda s, _: s.get("n") == 2, **KINDS[kind]()))
    assert bodies(app, "/set", "/set", "/get", "/set", "/get") == ["1", "2", "None", "1", "1"]


def test_another_format_is_taken_over(session_class, kind):
    def read(scope):
        return None if any(name == b"cookie" for name, _ in scope["headers"]) else {"n": 5}

    app = app_with(interface_with(session_class, migrate_from=[read], **KINDS[kind]()))
    assert bodies(app, "/untouched", "/set") == ["", "6"]


def test_requests_at_once_keep_both_changes(session_class):
    app = app_with(interface_with(session_class, store=MemoryStore()))
    asked = asyncio.Semaphore(0)

    @app.get("/slow")
    async def slow():
        session["slow"] = 1
        await asked.acquire()
        return ""

    async def main():
        cookie = value_of((await answer(app, "/set"))[1][0])
        first = asyncio.ensure_future(answer(app, "/slow", cookie))
        await asyncio.sleep(0)
        await answer(app, "/list", cookie)
        asked.release()
        await first
        return (await answer(app, "/all", cookie))[0]

    assert asyncio.run(main()) == "[('list', [1]), ('n', 1), ('slow', 1)]"


def test_what_a_stream_changes_is_kept_in_a_store(app, kind):
    assert bodies(app, "/set", "/stream", "/get") == ["1", "1", "6" if kind == "store" else "1"]


def test_a_logout_takes_along_what_others_put_there_meanwhile(session_class):
    store, waits = MemoryStore(), asyncio.Semaphore(0)
    app = app_with(interface_with(session_class, store=store))

    @app.get("/slow-clear")
    async def slow_clear():
        session.clear()
        await waits.acquire()
        return ""

    async def main():
        cookie = value_of((await answer(app, "/set"))[1][0])
        first = asyncio.ensure_future(answer(app, "/slow-clear", cookie))
        await asyncio.sleep(0)
        await answer(app, "/list", cookie)
        waits.release()
        await first
        return await store.get(f"session:{cookie}")

    assert asyncio.run(main()) is None


@pytest.mark.parametrize("of_class", [Session, Dict, Mixed, User, Mapping, Classic, SecureCookieSession])
def test_a_subclass_that_is_asked_about_the_cookie_sees_a_change_inside_a_value(of_class, kind):
    class OnlyChanged(FlaskSessionInterface):
        def should_set_cookie(self, app, session):
            return super().should_set_cookie(app, session) and getattr(session, "modified", True)

    app = app_with(interface_with(of_class, OnlyChanged, **KINDS[kind]()))
    assert bodies(app, "/list", "/append", "/append") == ["", "[1, 2]", "[1, 2, 2]"]


class Broken:
    async def _fail(self, *args):
        raise StoreUnavailable("down")

    get = create = replace = touch = delete = _fail

    async def aclose(self):
        pass


def test_a_store_that_is_down_is_a_503(session_class):
    app = app_with(interface_with(session_class, store=Broken()))

    @app.before_request
    async def before():
        return "200"

    statuses = [r.status_code for _, _, r in visit(app, "/get", cookie="0123456789abcdef")]
    app.before_request_funcs.clear()
    statuses += [r.status_code for _, _, r in [*visit(app, "/get", cookie="0123456789abcdef"), *visit(app, "/set")]]
    assert statuses == [503, 503, 503]


def test_a_view_that_did_not_get_what_it_asked_of_the_store_is_a_503(session_class):
    app = app_with(interface_with(session_class, store=Broken()))
    app.add_url_rule("/ask", "ask", Broken().get)
    assert [response.status_code for _, _, response in visit(app, "/ask")] == [503]


def test_lazy_is_refused(session_class):
    app = app_with(FlaskSessionInterface(store=MemoryStore(), lazy=True))
    app.session_interface.session_class = session_class
    with pytest.raises(SettingsError, match="lazy"):
        app.session_interface.settings_of(app)


def test_under_the_middleware_it_is_the_middlewares(session_class):
    app = app_with(interface_with(session_class))
    app.asgi_app = FlaskSessionASGI(app.asgi_app, SECRET)
    assert bodies(app, "/class", "/set", "/get") == ["Session", "1", "1"]


# Websockets


async def connect(app, path, cookie=None):
    """Return what a client sees that goes away after the first message: the accept's headers, and that message."""
    messages, over = [], asyncio.Event()
    sent = iter([{"type": "websocket.connect"}])

    async def receive():
        if (message := next(sent, None)) is not None:
            return message
        await over.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message):
        messages.append(message)
        if message["type"] in ("websocket.close", "websocket.send"):
            over.set()

    headers = [(b"cookie", f"session={cookie}".encode())] if cookie else []
    scope = {
        "type": "websocket", "path": path, "headers": headers, "query_string": b"", "scheme": "ws",
        "asgi": {"spec_version": "2.3"}, "subprotocols": [],
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 5)
    lines = [value.decode() for name, value in messages[0].get("headers", ()) if name.lower() == b"set-cookie"]
    return lines, [message.get("text") for message in messages if message["type"] == "websocket.send"]


def test_a_change_before_accept_goes_out_with_the_handshake(app, caplog):
    async def main():
        [line], _ = await connect(app, "/before")
        lines, read = await connect(app, "/read", value_of(line))
        return lines, read

    assert asyncio.run(main()) == ([], ["7"])
    assert [r.getMessage() for r in caplog.records if r.name == "asgi_flask_session"] == []


def test_a_change_after_accept_is_kept_in_a_store_and_warned_of_else(app, kind, caplog):
    async def main():
        cookie = value_of((await answer(app, "/set"))[1][0])
        await connect(app, "/after", cookie)
        return (await answer(app, "/get", cookie))[0]

    read = asyncio.run(main())
    said = [r.name for r in caplog.records if r.name == "asgi_flask_session"]
    assert (read, said) == (("8", []) if kind == "store" else ("1", ["asgi_flask_session"]))


def test_nothing_is_warned_of_that_went_out_with_the_handshake(app, caplog):
    async def main():
        cookie = value_of((await answer(app, "/set"))[1][0])
        lines, _ = await connect(app, "/both", cookie)
        return len(lines)

    assert asyncio.run(main()) == 1
    assert [r.getMessage() for r in caplog.records if r.name == "asgi_flask_session"] == []
