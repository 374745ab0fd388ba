"""The real Starlette and Django write their cookies; ours reads them once, and the real Flask reads on."""

from types import SimpleNamespace

import pytest
from driver import LOOPS, NOW, SECRET, app_that, nothing, request
from hypothesis import given
from hypothesis import strategies as st
from peers.flask_side import FlaskSide, Side, clock_at, value_of
from peers.sessions import examples

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.migration import django_signed_cookies, starlette_session

OTHER = "another-secret-of-the-tests"
TWO_WEEKS = 14 * 86_400

FLASK = FlaskSide(SECRET)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
sessions = st.dictionaries(st.text(max_size=8) | st.sampled_from([" t", " d"]), values, min_size=1, max_size=4)


class StarletteSide(Side):
    """Starlette's middleware around an app that does with the session what each request asks for."""

    name = "session"

    def __init__(self, secret=SECRET, **more):
        sessions = pytest.importorskip("starlette.middleware.sessions")
        self.app = sessions.SessionMiddleware(app_that(self._act), secret, **more)

    def _act(self, session):
        self.act(session)

    def request(self, cookie=None, act=nothing, *, now=NOW):
        self.act = act
        with clock_at(now):
            return request(self.app, cookie)

    @staticmethod
    def reader(secret=SECRET, *, now=NOW, **more):
        return starlette_session(secret, clock=lambda: now, **more)


class DjangoSide(Side):
    """Django's middleware around a view that does the same."""

    name = "sessionid"

    def __init__(self, secret=SECRET, **more):
        self.config = {
            "SECRET_KEY": secret, "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies", **more
        }  # fmt: skip

    def request(self, cookie=None, act=nothing, *, now=NOW):
        from django.contrib.sessions.middleware import SessionMiddleware
        from django.core import signing
        from django.http import HttpResponse
        from django.test import RequestFactory, override_settings

        def view(request):
            act(request.session)
            return HttpResponse()

        with pytest.MonkeyPatch.context() as patch, override_settings(**self.config):
            patch.setattr(signing, "time", SimpleNamespace(time=lambda: now))
            asked = RequestFactory().get("/")
            if cookie is not None:
                asked.COOKIES[self.name] = cookie
            morsels = SessionMiddleware(view)(asked).cookies.values()
        return SimpleNamespace(set_cookie=next((morsel.OutputString() for morsel in morsels), None))

    @staticmethod
    def reader(secret=SECRET, *, now=NOW, **more):
        return django_signed_cookies(secret, clock=lambda: now, **more)


@pytest.fixture(scope="module", autouse=True)
def _django():
    settings = pytest.importorskip("django.conf").settings
    if not settings.configured:
        settings.configure(SECRET_KEY="of-django-alone", ALLOWED_HOSTS=["*"])


SIDES = {"Starlette": StarletteSide, "Django": DjangoSide}


@pytest.fixture(scope="module", params=SIDES)
def kind(request):
    return SIDES[request.param]


def migrate(kind, cookie, *, now=NOW, **more):
    """Return what ours sets for a request with the cookie of the old side."""
    reader = kind.reader(now=now, **more)
    app = FlaskSessionASGI(app_that(nothing), SECRET, migrate_from=[reader], clock=lambda: now)
    return request(app, cookie, name=kind.name).set_cookie


@pytest.mark.parametrize("name", SIDES)
@examples(100)
@given(sessions)
def test_session_that_they_wrote_is_read_by_flask(name, data):
    kind = SIDES[name]
    line = migrate(kind, value_of(kind().write(data)))
    assert FLASK.read(value_of(line)) == {"_permanent": True} | data
    assert "Expires=" in line


def test_known_key_of_before_is_read(kind):
    cookie = value_of(kind(OTHER).write({"user": "ada"}))
    assert migrate(kind, cookie) is None
    assert migrate(kind, cookie, fallbacks=[OTHER]) is not None


@pytest.mark.parametrize(("age", "is_read"), [(0, True), (TWO_WEEKS, True), (TWO_WEEKS + 1, False)])
def test_age_is_theirs(kind, age, is_read):
    side = kind()
    cookie = value_of(side.write({"user": "ada"}))
    assert (migrate(kind, cookie, now=NOW + age) is not None) is is_read
    assert (side.read(cookie, now=NOW + age) == {"user": "ada"}) is is_read


def test_large_session_is_read(kind):
    """Django compresses it."""
    data = {"cart": ["a thing"] * 200}
    line = migrate(kind, value_of(kind().write(data)))
    assert FLASK.read(value_of(line)) == {"_permanent": True} | data


def test_session_that_ends_with_the_browser_does_so_in_flask():
    cookies = [
        (StarletteSide, {"max_age": None}, {"max_age": None}, {"a": 1}),
        (DjangoSide, {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, {"expire_at_browser_close": True}, {"a": 1}),
        (DjangoSide, {}, {}, {"a": 1, "_session_expiry": 0}),
    ]
    for kind, config, arguments, data in cookies:
        theirs = kind(**config).write(data)
        ours = migrate(kind, value_of(theirs), **arguments)
        assert [name for name in ("Max-Age", "expires", "Expires") if name in theirs + ours] == []
        assert FLASK.read(value_of(ours)) == data


def test_cookie_that_they_delete_is_no_session(kind):
    side = kind()
    cookie = value_of(side.write({"user": "ada"}))
    line = side.request(cookie, lambda session: session.clear()).set_cookie
    assert line is not None
    assert migrate(kind, value_of(line)) is None


def test_cookie_of_flask_is_none_of_theirs(kind):
    cookie = value_of(FLASK.write({"user": "ada"}))
    assert kind.reader()({"headers": [(b"cookie", f"{kind.name}={cookie}".encode())]}) is None


# Wherever there are settings


def test_session_is_moved_into_a_store(kind):
    pytest.importorskip("anyio")
    from asgi_flask_session.stores.memory import MemoryStore

    seen = []
    settings = {"store": MemoryStore(), "migrate_from": [kind.reader()], "clock": lambda: NOW}
    app = FlaskSessionASGI(app_that(lambda session: seen.append((session.sid, dict(session)))), SECRET, **settings)
    cookie = value_of(kind().write({"user": "ada"}))
    new = request(app, cookie, name=kind.name, run=LOOPS["asyncio"]).cookie
    request(app, new, run=LOOPS["asyncio"])
    data = {"_permanent": True, "user": "ada"}
    assert seen == [(None, data), (new, data)]


def test_flasks_own_interface_of_ours_reads_it(kind):
    interface = FlaskSessionInterface(migrate_from=[kind.reader()], clock=lambda: NOW)
    side = FlaskSide(SECRET, interface=interface)
    cookie = value_of(kind().write({"user": "ada"}))
    line = side.request(cookie, nothing, name=kind.name).set_cookie
    assert FLASK.read(value_of(line)) == {"_permanent": True, "user": "ada"}


def test_quarts_interface_of_ours_reads_it(kind):
    quart = pytest.importorskip("quart")
    from quart_plugin import FlaskSessionInterface as QuartInterface

    app = quart.Quart(__name__)
    app.secret_key = SECRET
    app.session_interface = QuartInterface(migrate_from=[kind.reader()], clock=lambda: NOW)
    app.add_url_rule("/", view_func=lambda: "")
    cookie = value_of(kind().write({"user": "ada"}))

    async def ask():
        return await app.test_client(use_cookies=False).get("/", headers={"Cookie": f"{kind.name}={cookie}"})

    line = LOOPS["asyncio"](ask()).headers["Set-Cookie"]
    assert FLASK.read(value_of(line)) == {"_permanent": True, "user": "ada"}
