"""asgi_flask_session.testing with the test clients that there are."""

import asyncio
import warnings
from contextlib import asynccontextmanager
from datetime import timedelta
from http.cookiejar import CookieJar
from http.cookies import SimpleCookie
from types import SimpleNamespace

import anyio
import flask
import httpx
import pytest
import quart
from django.conf import settings as django_settings
from django.http import JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from driver import NOW, SECRET, step_by_hand
from litestar import Litestar, Request, get
from litestar.testing import AsyncTestClient
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_flask_session import BadCookie, FlaskSessionASGI, Settings, SettingsError, UnwritableSession
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.stores.memory import MemoryStore
from asgi_flask_session.testing import make_cookie, read_cookie, session_transaction

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Using `httpx` with")  # Starlette's own matter
    from starlette.testclient import TestClient

SETTINGS = Settings(SECRET)


def visit(session):
    """Do what each app does for each request."""
    before = dict(session)
    session["visits"] = session.get("visits", 0) + 1
    return before


# One app for each framework, of one route


def starlette_app():
    return Starlette(routes=[Route("/", lambda request: JSONResponse(visit(request.session)))])


def litestar_app():
    @get("/", sync_to_thread=False)
    def handler(request: Request) -> dict:
        return visit(request.session)

    return Litestar([handler], logging_config=None, openapi_config=None)


def flask_app(settings):
    app = flask.Flask(__name__)
    app.secret_key = settings.secret
    if settings.store is not None:
        app.session_interface = FlaskSessionInterface(store=settings.store)
    app.add_url_rule("/", view_func=lambda: visit(flask.session))
    return app


def quart_app(settings):
    app = quart.Quart(__name__)
    app.asgi_app = FlaskSessionASGI(app.asgi_app, settings=settings)

    @app.get("/")
    async def view():
        return visit(quart.request.scope["session"])

    return app


# Their clients: each yields the client, and the function that sends a request and returns the body


@asynccontextmanager
async def httpx_async(settings):
    transport = httpx.ASGITransport(FlaskSessionASGI(starlette_app(), settings=settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:

        async def ask():
            return (await client.get("/")).json()

        yield client, ask


@asynccontextmanager
async def httpx_sync(settings):
    with httpx.Client(transport=httpx.WSGITransport(flask_app(settings)), base_url="http://shop.example") as client:

        def page():
            return client.get("/").json()

        async def ask():
            return page()

        yield client, ask


@asynccontextmanager
async def starlette_entered(settings):
    with TestClient(FlaskSessionASGI(starlette_app(), settings=settings)) as client:

        async def ask():
            return client.get("/").json()

        yield client, ask


@asynccontextmanager
async def starlette_not_entered(settings):
    client = TestClient(FlaskSessionASGI(starlette_app(), settings=settings))

    async def ask():
        return client.get("/").json()

    yield client, ask


@asynccontextmanager
async def litestar_sync(settings):
    with LitestarClient(FlaskSessionASGI(litestar_app(), settings=settings)) as client:

        async def ask():
            return client.get("/").json()

        yield client, ask


@asynccontextmanager
async def litestar_async(settings):
    async with AsyncTestClient(FlaskSessionASGI(litestar_app(), settings=settings)) as client:

        async def ask():
            return (await client.get("/")).json()

        yield client, ask


@asynccontextmanager
async def quart_client(settings):
    client = quart_app(settings).test_client()

    async def ask():
        return await (await client.get("/")).get_json()

    yield client, ask


@asynccontextmanager
async def flask_client(settings):
    client = flask_app(settings).test_client()

    async def ask():
        return client.get("/").json

    yield client, ask


SYNC = {
    "httpx": httpx_sync,
    "Starlette": starlette_entered,
    "Starlette, not entered": starlette_not_entered,
    "Litestar": litestar_sync,
    "Flask": flask_client,
}
ASYNC = {"httpx, async": httpx_async, "Litestar, async": litestar_async, "Quart": quart_client}


@asynccontextmanager
async def as_async(transaction):
    """Let what is with be written as what is async with."""
    with transaction as session:
        yield session


class Browser:
    def __init__(self, client, ask, settings, *, is_async):
        self.client, self.ask, self.settings, self.is_async = client, ask, settings, is_async

    def transaction(self, **more):
        transaction = session_transaction(self.client, self.settings, **more)
        return transaction if self.is_async else as_async(transaction)


@pytest.fixture(params=["cookie", "store"])
def settings(request):
    return SETTINGS if request.param == "cookie" else Settings(SECRET, store=MemoryStore())


@pytest.fixture(params=[*SYNC, *ASYNC])
def run(request, settings):
    """Return the function that runs a test's story with a client."""
    is_async = request.param in ASYNC
    opened = (SYNC | ASYNC)[request.param]

    def run(story):
        async def main():
            async with opened(settings) as (client, ask):
                await story(Browser(client, ask, settings, is_async=is_async))

        return anyio.run(main) if is_async else step_by_hand(main())

    return run


def test_session_of_a_client_is_made_read_and_changed(run):
    async def story(browser):
        async with browser.transaction() as session:
            assert (dict(session), session.new) == ({}, True)
            session["user"] = {"name": "ada"}
        assert await browser.ask() == {"user": {"name": "ada"}}
        async with browser.transaction() as session:
            assert (session["visits"], session.new) == (1, False)
            session["user"]["name"] = "grace"
            del session["visits"]
        assert await browser.ask() == {"user": {"name": "grace"}}

    run(story)


def test_emptied_session_ends(run):
    async def story(browser):
        await browser.ask()
        async with browser.transaction() as session:
            session.clear()
        assert await browser.ask() == {}
        async with browser.transaction() as session:
            assert dict(session) == {"visits": 1}

    run(story)


def test_looking_changes_nothing(run):
    async def story(browser):
        await browser.ask()
        async with browser.transaction() as session:
            assert dict(session) == {"visits": 1}
        assert await browser.ask() == {"visits": 1}

    run(story)


async def change(browser, visits, error=None):
    async with browser.transaction() as session:
        session["visits"] = visits
        if error is not None:
            raise error


def test_block_that_raises_changes_nothing(run):
    async def story(browser):
        await browser.ask()
        with pytest.raises(LookupError):
            await change(browser, 10, LookupError())
        with pytest.raises(UnwritableSession):
            await change(browser, {10})
        assert await browser.ask() == {"visits": 1}

    run(story)


def test_permanent_session_stays_so(run):
    async def story(browser):
        async with browser.transaction() as session:
            session.permanent = True
            session["user"] = "ada"
        assert await browser.ask() == {"_permanent": True, "user": "ada"}
        async with browser.transaction() as session:
            assert session.permanent

    run(story)


def test_flasks_own_transaction_has_the_same_session():
    with flask_app(SETTINGS).test_client() as client:
        with session_transaction(client, SETTINGS) as session:
            session["user"] = "ada"
        with client.session_transaction() as session:
            assert dict(session) == {"user": "ada"}
            session["user"] = "grace"
        with session_transaction(client, SETTINGS) as session:
            assert dict(session) == {"user": "grace"}


# Stores


def test_store_of_the_middleware_is_used():
    app = FlaskSessionASGI(starlette_app(), SECRET, store="memory:")
    with TestClient(app) as client:
        with session_transaction(client, app) as session:
            session["user"] = "ada"
            assert session.sid is None
        assert client.get("/").json() == {"user": "ada"}
        with session_transaction(client, app) as session:
            assert client.cookies["session"] == session.sid


def test_store_of_a_url_is_opened_and_closed(tmp_path):
    settings = Settings(SECRET, store=f"sqlite:///{tmp_path}/sessions.db")
    with TestClient(FlaskSessionASGI(starlette_app(), settings=settings)) as client:
        with session_transaction(client, settings) as session:
            session["user"] = "ada"
        with pytest.raises(LookupError), session_transaction(client, settings) as session:
            raise LookupError
        assert client.get("/").json() == {"user": "ada"}


def test_login_gives_another_id():
    settings = Settings(SECRET, store=MemoryStore())
    with TestClient(FlaskSessionASGI(starlette_app(), settings=settings)) as client:
        client.get("/")
        before = client.cookies["session"]
        with session_transaction(client, settings) as session:
            session["_user_id"] = "1"
        assert client.cookies["session"] != before
        assert client.get("/").json() == {"visits": 1, "_user_id": "1"}


class StoreOfOneLoop(MemoryStore):
    """As a store around a client that was given: it belongs to the loop that it was first used on."""

    loop = None

    async def get(self, key):
        loop = asyncio.get_running_loop()
        self.loop = self.loop or loop
        assert loop is self.loop
        return await super().get(key)


@pytest.mark.parametrize("opened", [starlette_entered, litestar_sync, httpx_async, quart_client])
def test_store_is_asked_on_the_loop_of_the_client(opened):
    settings = Settings(SECRET, store=StoreOfOneLoop())
    is_async = opened in ASYNC.values()

    async def main():
        async with opened(settings) as (client, ask):
            browser = Browser(client, ask, settings, is_async=is_async)
            for n in range(2):
                async with browser.transaction() as session:
                    assert session.get("visits", 0) == n
                await ask()
        assert settings.store.loop is not None

    if is_async:
        anyio.run(main)
    else:
        step_by_hand(main())


def test_on_trio():
    settings = Settings(SECRET, store=MemoryStore())

    async def main():
        async with httpx_async(settings) as (client, ask):
            async with session_transaction(client, settings) as session:
                session["user"] = "ada"
            assert await ask() == {"user": "ada"}

    anyio.run(main, backend="trio")


def test_lazy_session_is_loaded():
    settings = Settings(SECRET, store=MemoryStore(), lazy=True)
    client = flask_app(settings).test_client()
    client.get("/")
    with session_transaction(client, settings) as session:
        assert dict(session) == {"visits": 1}


def test_session_that_is_bound_to_an_address():
    settings = Settings(SECRET, store=MemoryStore(), protection=True)
    app = FlaskSessionASGI(starlette_app(), settings=settings)
    with TestClient(app, client=("192.0.2.1", 5000)) as client:
        client.get("/")
        for address, seen in (("192.0.2.1", {"visits": 1}), ("192.0.2.2", {})):
            with session_transaction(client, settings, address=address) as session:
                assert dict(session) == seen


def test_memory_of_another_is_refused():
    with pytest.raises(SettingsError, match="give the FlaskSessionASGI"):
        session_transaction(httpx.Client(), Settings(SECRET, store="memory:"))


# Jars


@pytest.mark.parametrize(
    ("base_url", "fields", "url"),
    [
        ("http://shop.example", {"cookie_secure": True}, None),
        ("https://shop.example", {"cookie_domain": "other.example"}, None),
        ("", {"cookie_secure": True}, "http://shop.example"),
    ],
)
def test_cookie_that_the_client_does_not_send_is_refused(base_url, fields, url):
    with (
        httpx.Client(base_url=base_url) as client,
        pytest.raises(SettingsError, match="give it a base_url"),
        session_transaction(client, Settings(SECRET, **fields), url=url) as session,
    ):
        session["user"] = "ada"


@pytest.mark.parametrize(
    ("base_url", "fields", "url"),
    [
        ("https://shop.example", {"cookie_secure": True}, None),
        ("https://www.shop.example", {"cookie_domain": "shop.example"}, None),
        ("https://www.shop.example/app", {"cookie_path": "/app"}, None),
        ("", {"cookie_secure": True}, "https://shop.example"),
        ("http://testserver", {"cookie_name": "id", "cookie_samesite": "Lax"}, None),
    ],
)
def test_cookie_has_the_attributes_of_the_settings(base_url, fields, url):
    settings = Settings(SECRET, **fields)
    with httpx.Client(base_url=base_url) as client:
        with session_transaction(client, settings, url=url) as session:
            session["user"] = "ada"
        [cookie] = client.cookies.jar
        assert (cookie.path, cookie.secure) == (settings.cookie_path, settings.cookie_secure)
        with session_transaction(client, settings, url=url) as session:
            assert session["user"] == "ada"
            session.clear()
        assert list(client.cookies.jar) == []


def test_cookie_that_the_test_itself_has_set_is_replaced():
    with httpx.Client(base_url="http://shop.example", cookies={"session": make_cookie({"n": 1}, SECRET)}) as client:
        with session_transaction(client, SECRET) as session:
            assert dict(session) == {"n": 1}
            session["n"] = 2
        [cookie] = client.cookies.jar
        assert read_cookie(cookie.value, SECRET) == {"n": 2}


@pytest.mark.parametrize("domain", ["shop.example", None])
def test_flask_client_on_a_domain(domain):
    settings = Settings(SECRET, cookie_domain=domain)
    app = flask_app(settings)
    app.config["SESSION_COOKIE_DOMAIN"] = domain
    client = app.test_client()
    with session_transaction(client, settings, url="https://www.shop.example") as session:
        session["user"] = "ada"
    assert client.get("/", base_url="https://www.shop.example").json == {"user": "ada"}
    with session_transaction(client, settings, url="https://www.shop.example") as session:
        assert session["visits"] == 1
        session.clear()
    assert client.get("/", base_url="https://www.shop.example").json == {}


@pytest.mark.parametrize(
    "client",
    [
        CookieJar(),
        SimpleNamespace(cookies=CookieJar(), base_url="https://shop.example"),
        SimpleNamespace(cookie_jar=SimpleCookie()),
    ],
    ids=["jar", "cookies", "cookie_jar"],
)
def test_any_client_with_a_standard_jar_will_do(client):
    with session_transaction(client, SECRET) as session:
        session["user"] = "ada"
    with session_transaction(client, SECRET) as session:
        assert dict(session) == {"user": "ada"}


@pytest.mark.parametrize("client", [object(), flask.Flask("none").test_client(use_cookies=False), "client"])
def test_client_without_cookies_is_refused(client):
    with pytest.raises((SettingsError, TypeError), match="(?i)cookies"), session_transaction(client, SECRET):
        pass


def test_old_session_is_migrated():
    settings = Settings(SECRET, migrate_from=[lambda scope: {"from": dict(scope["headers"])[b"cookie"].decode()}])
    with httpx.Client(base_url="http://shop.example", cookies={"old": "1"}) as client:
        with session_transaction(client, settings) as session:
            assert dict(session) == {"from": "old=1"}
        assert read_cookie(client.cookies["session"], settings) == {"from": "old=1"}


# Django, whose own client keeps no more than names and values


class Urls:
    @staticmethod
    def view(request):
        before = dict(request.session.items())
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JsonResponse(before)


Urls.urlpatterns = [path("", Urls.view)]

DJANGO = {
    "SECRET_KEY": "of-django-alone",
    "ALLOWED_HOSTS": ["*"],
    "ROOT_URLCONF": Urls,
    "FLASK_SESSION": {"SECRET_KEY": SECRET},
    "SESSION_ENGINE": "asgi_flask_session.adapters.django.engine",
    "SESSION_COOKIE_NAME": "session",
    "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
}


@pytest.fixture
def _django():
    if not django_settings.configured:
        django_settings.configure(SECRET_KEY="of-django-alone")
    with override_settings(**DJANGO):
        yield


async def django_story(client, ask):
    client.cookies["other"] = "a b"
    with session_transaction(client, SETTINGS) as session:
        session["user"] = "ada"
    assert await ask() == {"user": "ada"}
    with session_transaction(client, SETTINGS) as session:
        assert dict(session) == {"user": "ada", "visits": 1}
        session.clear()
    assert client.cookies.output(header="") == SimpleCookie({"other": "a b"}).output(header="")
    assert await ask() == {}


@pytest.mark.usefixtures("_django")
def test_client_of_django():
    client = Client()

    async def ask():
        return client.get("/").json()

    step_by_hand(django_story(client, ask))


@pytest.mark.usefixtures("_django")
def test_asynchronous_client_of_django():
    async def main():
        client = AsyncClient()

        async def ask():
            return (await client.get("/")).json()

        await django_story(client, ask)

    anyio.run(main)


# make_cookie, read_cookie


def test_made_cookie_is_read_by_the_app_and_what_it_sets_is_read_back():
    app = FlaskSessionASGI(starlette_app(), settings=SETTINGS)
    data = {"user": "ada", "at": (1, b"2")}
    with TestClient(app) as client:
        sent = f"session={make_cookie({'user': 'ada'}, SECRET)}"
        answer = client.get("/", headers={"Cookie": sent})
    assert answer.json() == {"user": "ada"}
    assert read_cookie(answer.headers["set-cookie"], app) == {"user": "ada", "visits": 1}
    assert read_cookie(make_cookie(data, app), SECRET.encode()) == data


@pytest.mark.parametrize(
    "spelled", ["{}", "session={}", "a=b; session={}; c=d", "session={}; HttpOnly; Path=/", b"session="]
)
def test_read_cookie_takes_values_and_headers(spelled):
    if isinstance(spelled, bytes):
        assert read_cookie(spelled, SECRET) == {}
    else:
        assert read_cookie(spelled.format(make_cookie({"n": 1}, SECRET)), SECRET) == {"n": 1}


def test_deleted_cookie_is_an_empty_session():
    assert read_cookie("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/", SECRET) == {}


@pytest.mark.parametrize(
    ("cookie", "reason"),
    [
        ("other=1", "there is no cookie 'session'"),
        ("rubbish", "no payload"),
        (make_cookie({"n": 1}, "another-secret-of-the-tests"), "made the signature"),
        (make_cookie({"n": 1}, SECRET, clock=lambda: NOW - 32 * 86_400), "s old, over"),
        (make_cookie({"n": 1}, SECRET, clock=lambda: NOW + 60), "in the future"),
    ],
)
def test_read_cookie_says_why_it_is_no_session(cookie, reason):
    with pytest.raises(BadCookie, match=reason):
        read_cookie(cookie, SECRET, clock=lambda: NOW)


def test_made_cookie_is_of_the_settings():
    settings = Settings(SECRET, permanent=True, salt="of-our-own", absolute_lifetime=timedelta(days=1))
    cookie = make_cookie({"n": 1}, settings)
    assert read_cookie(cookie, settings) == {"_permanent": True, "n": 1}
    with pytest.raises(BadCookie):
        read_cookie(cookie, SECRET)


def test_session_that_began_too_long_ago_is_none_of_the_settings():
    settings = Settings(SECRET, absolute_lifetime=60)
    cookie = make_cookie({"n": 1}, settings, clock=lambda: NOW)
    with pytest.raises(BadCookie, match="no session of these settings"):
        read_cookie(cookie, settings, clock=lambda: NOW + 61)


@pytest.mark.parametrize("function", [make_cookie, read_cookie])
def test_session_in_a_store_has_no_data_in_its_cookie(function):
    with pytest.raises(SettingsError, match="use session_transaction"):
        function({}, Settings(SECRET, store=MemoryStore()))


def test_what_no_cookie_can_hold_raises():
    with pytest.raises(UnwritableSession):
        make_cookie({"n": {1}}, SECRET)
