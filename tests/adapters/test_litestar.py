"""asgi_flask_session.adapters.litestar: a session backend, Flask-Login's user, CSRF and flashes."""

import subprocess
import sys
from typing import Annotated, Any

import anyio
import flask
import msgspec
import pytest
from adapters.flask_site import flask_site
from driver import NOW, SECRET
from frameworks.contract import BASE, BackgroundContract, Contract, WebsocketContract
from frameworks.drive import Client, cookie_of, data_of
from frameworks.test_litestar import DATA, HANDLERS, ByDataclass, ByModel, ByStruct, Handled, answer_500
from litestar import Litestar, MediaType, Request, Router, WebSocket, asgi, di, get, post, websocket
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.enums import RequestEncodingType, ScopeType
from litestar.exceptions import ImproperlyConfiguredException, WebSocketDisconnect
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import Body
from litestar.plugins.flash import FlashConfig, FlashPlugin
from litestar.plugins.flash import flash as litestars_flash
from litestar.response import Template
from litestar.security.session_auth import SessionAuth
from litestar.template import TemplateConfig
from litestar.testing import AsyncTestClient, RequestFactory, TestClient
from markupsafe import Markup

from asgi_flask_session import (
    FlaskSessionASGI,
    Session,
    SessionWarning,
    Settings,
    SettingsError,
    StoreUnavailable,
    UnwritableSession,
)
from asgi_flask_session.adapters.litestar import (
    CSRFProtect,
    FlaskRequest,
    FlaskSessionBackendConfig,
    LoginManager,
    flask_callables,
)
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.flashes import flash
from asgi_flask_session.login import Login, LoginSettings
from asgi_flask_session.stores.memory import MemoryStore

try:
    from litestar.plugins.jinja import JinjaTemplateEngine
except ImportError:  # before Litestar 2.22
    from litestar.contrib.jinja import JinjaTemplateEngine

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's own

BROWSER = "Browser/1.0"
UserId = di.NamedDependency[str | None] if hasattr(di, "NamedDependency") else str | None  # Litestar 2.23


def app_with(config, *handlers, **more):
    return Litestar(
        list(handlers),
        on_app_init=[config.on_app_init, *more.pop("on_app_init", ())],
        logging_config=None,
        **{"openapi_config": None, **more},
    )


def client_of(*handlers, config=None, **more):
    return Client(app_with(config or FlaskSessionBackendConfig(SECRET), *handlers, **more))


@pytest.fixture(params=["asyncio", "trio"])
def backend(request):
    return request.param


@pytest.fixture
def client(request, backend):
    return Client(request.cls.app(), backend)


class WholeContract(Contract, BackgroundContract, WebsocketContract):
    denies_with_a_response = False


def contract_app(**installed):
    return Litestar(
        [*HANDLERS, Router("/sub", route_handlers=HANDLERS)],
        exception_handlers={Handled: answer_500},
        logging_config=None,
        openapi_config=None,
        **installed,
    )


class TestOnAppInit(WholeContract):
    @staticmethod
    def app():
        return contract_app(on_app_init=[FlaskSessionBackendConfig(SECRET).on_app_init])


class TestMiddleware(WholeContract):
    @staticmethod
    def app():
        return contract_app(middleware=[FlaskSessionBackendConfig(SECRET).middleware])


class TestUnderTheRawMiddleware(WholeContract):
    @staticmethod
    def app():
        config = FlaskSessionBackendConfig(SECRET)
        return FlaskSessionASGI(contract_app(on_app_init=[config.on_app_init]), SECRET)


# Settings


def test_attributes_are_those_that_litestar_looks_for():
    config = FlaskSessionBackendConfig(SECRET)
    names = ("key", "max_age", "path", "domain", "secure", "httponly", "samesite", "exclude", "exclude_opt_key")
    assert [getattr(config, name) for name in names] == [
        "session", 31 * 86400, "/", None, False, True, None, None, "skip_session",
    ]  # fmt: skip
    assert config.scopes == {ScopeType.HTTP, ScopeType.WEBSOCKET}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "; HttpOnly; Path=/"),
        ({"samesite": "lax", "secure": True}, "; Secure; HttpOnly; Path=/; SameSite=Lax"),
        ({"domain": "shop.example", "path": "/cart", "httponly": False}, "; Domain=shop.example; Path=/cart"),
        ({"max_age": 3600}, "; Expires=Tue, 14 Nov 2023 23:13:20 GMT; HttpOnly; Path=/"),
        ({"cookie_samesite": "Strict"}, "; HttpOnly; Path=/; SameSite=Strict"),
        ({"permanent_lifetime": 3600}, "; HttpOnly; Path=/"),
    ],
)
def test_settings_by_litestars_names_and_ours(given, line):
    @get("/")
    async def write(request: Request) -> None:
        request.session["a"] = 1

    answer = client_of(write, config=FlaskSessionBackendConfig(SECRET, clock=lambda: NOW, **given)).get("/")
    [set_cookie] = answer.set_cookies
    assert set_cookie.partition(";")[1:] == (";", line[1:])


def test_cookie_is_byte_for_byte_flasks():
    flask_app = flask_site()
    config = FlaskSessionBackendConfig(settings=Settings.from_flask(flask_app))

    @get("/")
    async def write(request: Request) -> None:
        request.session.update(user="ada", at=[1, 2])

    @flask_app.get("/write")
    def flask_write():
        flask.session.update(user="ada", at=[1, 2])
        return ""

    for _ in range(5):  # both within one second
        [ours] = client_of(write, config=config).get("/").set_cookies
        theirs = flask_app.test_client().get("/write").headers["Set-Cookie"]
        if ours == theirs:
            return
    assert ours == theirs


def test_settings_of_a_flask_app_are_taken_and_can_be_changed():
    flask_app = flask_site(SESSION_COOKIE_NAME="shop", SESSION_COOKIE_SAMESITE="Lax")
    config = FlaskSessionBackendConfig(settings=Settings.from_flask(flask_app), secure=True)
    assert (config.key, config.samesite, config.secure) == ("shop", "lax", True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"secret": None}, "secret"),
        ({"key": "a b"}, "cookie_name"),
        ({"samesite": "none"}, "cookie_secure=True"),
        ({"key": "a", "cookie_name": "b"}, "cookie_name is given twice"),
        ({"max_age": 60, "permanent_lifetime": 60}, "permanent_lifetime is given twice"),
        ({"scope_key": "flask"}, "scope_key"),
        ({"max_age": 0}, "permanent_lifetime"),
        ({"store": "nonsense:"}, "scheme 'nonsense'"),
        ({"colour": 1}, "no setting colour"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        FlaskSessionBackendConfig(**{"secret": SECRET, **given})


def test_what_is_likely_wrong_is_warned_of_once(recwarn):
    config = FlaskSessionBackendConfig("short", store=MemoryStore())
    assert [type(one.message) for one in recwarn] == [SessionWarning]
    recwarn.clear()
    with TestClient(app_with(config, count), session_config=config) as client:
        client.set_session_data({"n": 1})
        assert client.get("/").json() == 2
    assert not [one for one in recwarn if one.category is SessionWarning]


def test_secret_is_in_no_repr():
    config = FlaskSessionBackendConfig(SECRET)
    login = LoginManager(LoginSettings(SECRET))
    csrf = CSRFProtect(CSRFSettings(SECRET))
    things = [config, config.settings, config.middleware, config._backend_class(config), login, login.middleware, csrf]
    assert SECRET not in repr(things)


# Where the middleware steps aside


@get("/do/{what:str}")
async def say(request: Request) -> bool:
    return "session" in request.scope


@get("/skipped", skip_session=True)
async def skipped(request: Request) -> bool:
    return "session" in request.scope


@pytest.mark.parametrize(
    ("exclude", "path", "has_session"),
    [
        (None, "/do/it", True),
        ("^/do", "/do/it", False),
        (["/other", "it$"], "/do/it", False),
        (["/other"], "/do/it", True),
        (lambda scope: scope["path"] == "/do/it", "/do/it", False),
        (lambda scope: scope["path"] == "/do/it", "/do/that", True),
        (None, "/skipped", False),
    ],
)
def test_exclude_is_litestars_or_a_function(exclude, path, has_session):
    config = FlaskSessionBackendConfig(SECRET, exclude=exclude)
    assert client_of(say, skipped, config=config).get(path, BASE).json is has_session


def test_exclude_opt_key():
    config = FlaskSessionBackendConfig(SECRET, exclude_opt_key="no_session")

    @get("/", no_session=True)
    async def handler(request: Request) -> bool:
        return "session" in request.scope

    assert client_of(handler, skipped, config=config).get("/").json is False
    assert client_of(handler, skipped, config=config).get("/skipped").json is True


def test_scopes_without_websockets():
    seen = []

    @websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        seen.append("session" in socket.scope)
        await socket.accept()
        await socket.close()

    config = FlaskSessionBackendConfig(SECRET, scopes={ScopeType.HTTP})
    client_of(handler, say, config=config).websocket("/ws", BASE)
    assert seen == [False]
    assert client_of(say, config=config).get("/do/it").json is True


@pytest.mark.parametrize("skip", [True, False])
def test_cookies_that_came_in_pieces_are_joined_for_the_app_also_where_it_steps_aside(skip):
    seen = []

    @asgi("/mounted", is_mount=True, copy_scope=False, skip_session=skip)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value for name, value in scope["headers"] if name == b"cookie")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client_of(mounted).get("/mounted", headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")])
    assert seen == [b"a=1; b=2"]


def test_one_router_only():
    config = FlaskSessionBackendConfig(SECRET)
    app = Litestar(
        [Router("/in", route_handlers=[say], middleware=[config.middleware]), say],
        logging_config=None,
        openapi_config=None,
    )
    assert [Client(app).get(path).json for path in ("/in/do/it", "/do/it")] == [True, False]


# request.session


@get("/")
async def count(request: Request) -> int:
    request.session["n"] = request.session.get("n", 0) + 1
    return request.session["n"]


@get("/itself")
async def itself(request: Request) -> dict[str, Any]:
    return request.session


@get("/inside")
async def inside(request: Request) -> dict[str, Any]:
    return {"session": request.session}


@get("/packed", media_type=MediaType.MESSAGEPACK)
async def packed(request: Request) -> dict[str, Any]:
    return request.session


@pytest.mark.parametrize("path", ["/itself", "/inside", "/packed"])
def test_session_that_a_handler_returns_counts_as_read(path):
    """W4."""
    answer = client_of(itself, inside, packed).get(path, BASE)
    assert (answer.status, answer.vary, answer.set_cookies) == (200, [b"Cookie"], [])
    assert (
        msgspec.msgpack.decode(answer.body) == BASE
        if path == "/packed"
        else BASE in (answer.json, *answer.json.values())
    )


def test_apps_own_request_class_stays_and_sees_the_session_returned():
    class OwnRequest(Request):
        own = "own"

    @get("/own")
    async def own(request: OwnRequest) -> dict[str, Any]:
        return {**request.session, "own": request.own, "is": isinstance(request, FlaskRequest)}

    client = client_of(own, itself, request_class=OwnRequest)
    assert client.get("/own", BASE).json == {**BASE, "own": "own", "is": True}
    assert client.get("/itself", BASE).vary == [b"Cookie"]


def test_request_class_of_ours_or_below_stays():
    class OwnRequest(FlaskRequest):
        pass

    @get("/")
    async def kind(request: FlaskRequest) -> str:
        return type(request).__name__

    for given, name in (
        (None, "FlaskRequest"),
        (Request, "FlaskRequest"),
        (FlaskRequest, "FlaskRequest"),
        (OwnRequest, "OwnRequest"),
    ):
        assert client_of(kind, request_class=given).get("/").body.decode() == name


def test_session_is_ours():
    @get("/")
    async def handler(request: FlaskRequest) -> bool:
        request.session.permanent = True
        request.session["a"] = 1
        return isinstance(request.session, Session)

    answer = client_of(handler).get("/")
    assert (answer.json, answer.session) == (True, {"a": 1, "_permanent": True})


def test_session_that_was_replaced_is_there_as_it_is_and_written():
    @get("/")
    async def handler(request: FlaskRequest) -> dict[str, Any]:
        request.scope["session"] = {"b": 2}
        return request.session

    answer = client_of(handler).get("/", {"a": 1})
    assert (answer.json, answer.session) == ({"b": 2}, {"b": 2})


@pytest.mark.parametrize("kind", [dict, ByDataclass, ByStruct, ByModel])
@pytest.mark.parametrize("store", [None, MemoryStore])
def test_session_set_as_a_whole_is_written(kind, store):
    """W6."""

    @get("/set")
    async def set_session(request: Request) -> None:
        request.set_session(kind(**DATA))

    config = FlaskSessionBackendConfig(SECRET, store=store and store())
    with TestClient(app_with(config, set_session, itself), session_config=config) as client:
        client.set_session_data({"old": 1})
        client.get("/set")
        assert client.get("/itself").json() == DATA == client.get_session_data()


@pytest.mark.parametrize("kind", [dict, ByStruct])
def test_session_set_in_a_handshake_is_written(kind):
    @websocket("/set")
    async def set_session(socket: WebSocket) -> None:
        socket.set_session(kind(**DATA))
        await socket.accept()
        await socket.close()

    assert client_of(set_session).websocket("/set", BASE).session == DATA


@pytest.mark.parametrize("store", [None, MemoryStore])
def test_clear_session_ends_it(store):
    @post("/clear", status_code=200)
    async def clear(request: Request) -> None:
        request.clear_session()

    config = FlaskSessionBackendConfig(SECRET, store=store and store())
    with TestClient(app_with(config, clear, count), session_config=config) as client:
        client.get("/")
        [line] = client.post("/clear").headers.get_list("set-cookie")
        assert line.startswith("session=; Expires=Thu, 01 Jan 1970")
        assert not client.cookies
        assert client.get("/").json() == 1


def test_what_cannot_be_written_raises():
    @get("/")
    async def write(request: Request) -> None:
        request.session["cart"] = {1}

    answer = client_of(write).get("/")
    assert UnwritableSession in answer.causes


def test_cached_response_has_nobodys_cookie():
    @get("/", cache=60)
    async def cached(request: Request) -> int:
        request.session["n"] = 1
        return 1

    client = client_of(cached)
    first, second = client.get("/"), client.get("/")
    assert (first.session, second.body, second.set_cookies) == ({"n": 1}, b"1", [])


def test_bad_cookies_are_empty_sessions():
    client = client_of(count)
    for value in ("", "x", "e30.x.y", cookie_of({"n": 1}) + "x", "\xff", '"'):
        answer = client.get("/", headers=[(b"cookie", f"session={value}".encode("latin-1"))])
        assert (answer.status, answer.json) == (200, 1)


# With a store


def test_store_of_a_url_is_one_for_all_routes_and_closed_at_the_end(tmp_path):
    config = FlaskSessionBackendConfig(SECRET, store="memory:")
    closed = []

    async def aclose():
        closed.append(config.store)

    config.store.aclose = aclose
    with TestClient(app_with(config, count, itself), session_config=config) as client:
        assert [client.get("/").json(), client.get("/").json()] == [1, 2]
        assert client.get("/itself").json() == {"n": 2}
        assert client.get_session_data() == {"n": 2}
        assert not closed
    assert closed == [config.store]


def test_store_that_was_given_is_left_open():
    store = MemoryStore()
    closed = []

    async def aclose():
        closed.append(store)

    store.aclose = aclose
    with TestClient(app_with(FlaskSessionBackendConfig(SECRET, store=store), count)):
        pass
    assert not closed


def test_store_persists_over_apps(tmp_path):
    cookies = None
    for n in (1, 2):
        config = FlaskSessionBackendConfig(SECRET, store=f"sqlite:///{tmp_path}/sessions.db")
        with TestClient(app_with(config, count), session_config=config, cookies=cookies) as client:
            assert client.get("/").json() == n
            cookies = client.cookies


def test_session_id_of_a_store():
    config = FlaskSessionBackendConfig(SECRET, store=MemoryStore())

    @get("/id")
    async def session_id(request: Request) -> list[str | None]:
        return [request.get_session_id(), request.session.sid]

    with TestClient(app_with(config, count, session_id), session_config=config) as client:
        assert client.get("/id").json() == [None, None]
        client.get("/")
        assert client.get("/id").json() == [client.cookies["session"]] * 2


def test_lazy_session_is_loaded_by_the_handler():
    config = FlaskSessionBackendConfig(SECRET, store=MemoryStore(), lazy=True)

    @get("/lazy")
    async def lazy(request: FlaskRequest) -> int:
        await request.session.load()
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session["n"]

    with TestClient(app_with(config, lazy), session_config=config) as client:
        client.set_session_data({"n": 4})
        assert client.get("/lazy").json() == 5
        assert client.get_session_data() == {"n": 5}


@pytest.mark.parametrize("lazy", [True, False])
def test_store_that_is_down_is_a_503_wherever_it_is_asked(lazy):
    class Down(MemoryStore):
        async def get(self, key):
            raise StoreUnavailable("down")

    @get("/lazy")
    async def load(request: FlaskRequest) -> None:
        await request.session.load()

    config = FlaskSessionBackendConfig(SECRET, store=Down(), lazy=lazy)
    for more in ([], [LoginManager(LoginSettings(SECRET)).on_app_init]):
        answer = client_of(load, config=config, on_app_init=more).get(
            "/lazy", headers=[(b"cookie", b"session=" + b"a" * 43)]
        )
        assert (answer.status, answer.all(b"retry-after")) == (503, [b"5"])


def test_store_that_is_down_raises_where_the_settings_say_so():
    class Down(MemoryStore):
        async def get(self, key):
            raise StoreUnavailable("down")

    @get("/lazy")
    async def load(request: FlaskRequest) -> None:
        await request.session.load()

    config = FlaskSessionBackendConfig(SECRET, store=Down(), lazy=True, on_store_error="raise")
    error = client_error(app_with(config, load), "/lazy", headers=[(b"cookie", b"session=" + b"a" * 43)])
    assert isinstance(error, StoreUnavailable)


# Litestar's test clients


@pytest.mark.parametrize("options", [{}, {"store": "memory:"}, {"secret_fallbacks": ["old"], "cookie_name": "other"}])
def test_test_client_sets_and_gets_the_session(options, backend):
    config = FlaskSessionBackendConfig(SECRET, **options)
    app = app_with(config, count, itself)
    with TestClient(app, session_config=config, backend=backend) as client:
        assert client.get_session_data() == {}
        client.set_session_data({"n": 41, "at": (1, 2)})
        assert client.get_session_data() == {"n": 41, "at": (1, 2)}
        assert client.get("/").json() == 42
        client.set_session_data({"b": 1})
        assert client.get("/itself").json() == {"b": 1} == client.get_session_data()


def test_async_test_client_sets_and_gets_the_session():
    config = FlaskSessionBackendConfig(SECRET)

    async def main():
        async with AsyncTestClient(app_with(config, count), session_config=config) as client:
            await client.set_session_data({"n": 41})
            assert (await client.get("/")).json() == 42
            assert await client.get_session_data() == {"n": 42}

    anyio.run(main)


def test_test_client_of_a_session_that_is_migrated():
    def read(scope):
        return {"n": 41} if (b"cookie", b"old=1") in scope["headers"] else None

    config = FlaskSessionBackendConfig(SECRET, migrate_from=[read])
    with TestClient(app_with(config, count), session_config=config, cookies={"old": "1"}) as client:
        assert client.get_session_data() == {"n": 41}


def test_test_client_of_a_websocket():
    config = FlaskSessionBackendConfig(SECRET)

    @websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(dict(socket.session))
        await socket.close()

    with TestClient(app_with(config, handler), session_config=config) as client:
        client.set_session_data({"n": 1})
        with client.websocket_connect("/ws") as socket:
            assert socket.receive_json() == {"n": 1}


def test_what_the_test_client_sets_flask_reads():
    config = FlaskSessionBackendConfig(SECRET)
    with TestClient(app_with(config), session_config=config) as client:
        client.set_session_data({"n": 1})
        assert data_of(client.cookies["session"]) == {"n": 1}


def test_excluded_paths_keep_no_session_from_the_test_client():
    config = FlaskSessionBackendConfig(SECRET, exclude=lambda scope: scope["path"] == "/")
    with TestClient(app_with(config), session_config=config) as client:
        client.set_session_data({"n": 1})
        assert client.get_session_data() == {"n": 1}


# Litestar's plugins


def with_templates(tmp_path, *, engine_callback=None, **templates):
    for name, text in templates.items():
        (tmp_path / f"{name}.html").write_text(text, "utf-8")
    return TemplateConfig(directory=tmp_path, engine=JinjaTemplateEngine, engine_callback=engine_callback)


@pytest.mark.parametrize("installed", ["on_app_init", "middleware"])
def test_flash_plugin(tmp_path, installed):
    templates = with_templates(
        tmp_path, page="{% for one in get_flashes() %}{{ one.category }}: {{ one.message }}.{% endfor %}"
    )

    @post("/flash")
    async def put(request: Request) -> None:
        litestars_flash(request, "saved", category="info")

    @get("/page")
    async def page() -> Template:
        return Template("page.html")

    config = FlaskSessionBackendConfig(SECRET)
    how = {"on_app_init": [config.on_app_init]} if installed == "on_app_init" else {"middleware": [config.middleware]}
    app = Litestar(
        [put, page],
        plugins=[FlashPlugin(config=FlashConfig(template_config=templates))],
        template_config=templates,
        logging_config=None,
        openapi_config=None,
        **how,
    )
    with TestClient(app, session_config=config) as client:
        client.post("/flash")
        assert client.get_session_data() == {"_messages": [{"message": "saved", "category": "info"}]}
        assert client.get("/page").text == "info: saved."
        assert client.get("/page").text == ""


@pytest.mark.parametrize("installed", ["alone", "with the session"])
@pytest.mark.parametrize("store", [None, MemoryStore])
def test_session_auth(store, installed):
    async def retrieve(session: dict[str, Any], connection: ASGIConnection) -> str | None:
        return {"7": "ada"}.get(session.get("_user_id"))

    @post("/login", exclude_from_auth=True)
    async def log_in(request: Request) -> None:
        request.set_session({"_user_id": "7"})

    @get("/me")
    async def me(request: Request[str, dict[str, Any], Any]) -> str:
        return request.user

    config = FlaskSessionBackendConfig(SECRET, store=store and store())
    auth = SessionAuth[str, Any](retrieve_user_handler=retrieve, session_backend_config=config)
    more = [] if installed == "alone" else [config.on_app_init]
    app = Litestar([log_in, me], on_app_init=[*more, auth.on_app_init], logging_config=None)
    with TestClient(app, session_config=config) as client:
        assert client.get("/me").status_code == 401
        client.post("/login")
        assert (client.get("/me").status_code, client.get("/me").text) == (200, "ada")
        client.set_session_data({"_user_id": "8", "cart": [1]})
        refused = client.get("/me")
        assert (refused.status_code, "session=;" in refused.headers["set-cookie"]) == (401, True)
        scheme = app.openapi_schema.components.security_schemes["sessionCookie"]
        assert (scheme.name, scheme.security_scheme_in) == ("session", "cookie")


# Flask on the other side


USERS = {"7": "ada"}
ADDRESS = "testclient"  # as Litestar's test client says


@get("/me")
async def me(request: Request[Any, Login, Any]) -> dict[str, Any]:
    return {"user": request.user, **request.auth._asdict()}


NOBODY = {"user": None, "user_id": None, "fresh": False, "source": None}
ADA = {"user": "7", "user_id": "7", "fresh": True, "source": "session"}


class Browser:
    """Keeps the cookies of both sides, which are asked in turn from one address."""

    def __init__(self, flask_app, app):
        self.flask_client = flask_app.test_client(use_cookies=False)
        self.client = TestClient(app, raise_server_exceptions=False)
        self.cookies = {}
        self.agent = BROWSER

    def headers(self, more):
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"user-agent": self.agent, **({"cookie": cookie} if cookie else {}), **(more or {})}

    def keep(self, lines):
        for line in lines:
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line or "Expires=Thu, 01 Jan 1970" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def flask(self, path, method="GET", headers=None, **more):
        response = self.flask_client.open(
            path, method=method, headers=self.headers(headers), environ_base={"REMOTE_ADDR": ADDRESS}, **more
        )
        assert response.status_code < 500
        self.keep(response.headers.getlist("Set-Cookie"))
        return response

    def ours(self, path, method="GET", headers=None, **more):
        self.client.cookies.clear()
        response = self.client.request(method, path, headers=self.headers(headers), follow_redirects=False, **more)
        self.keep(response.headers.get_list("set-cookie"))
        return response

    def log_in(self, user_id="7", **more):
        self.flask("/login", "POST", data={"user": user_id, **more})

    def who(self):
        """Ask both sides, which have to agree."""
        theirs, ours = self.flask("/me").json, self.ours("/me").json()
        assert (theirs["user"], theirs["fresh"]) == (ours["user_id"], ours["fresh"])
        return ours


def handlers_of(login):
    @get("/login/{user_id:str}")
    async def log_in(request: Request) -> dict[str, Any]:
        login.login_user(request, request.path_params["user_id"], remember="remember" in request.query_params)
        return {"user": request.user, **request.auth._asdict()}

    @post("/logout", status_code=200)
    async def log_out(request: Request) -> dict[str, Any]:
        login.logout_user(request)
        return {"user": request.user, **request.auth._asdict()}

    @get("/confirm")
    async def confirm(request: Request) -> dict[str, Any]:
        login.confirm_login(request)
        return {"user": request.user, **request.auth._asdict()}

    @get(["/private", "/private/{rest:path}"], guards=[login.login_required])
    async def private() -> None: ...

    @get("/fresh", guards=[login.fresh_login_required])
    async def fresh() -> None: ...

    @get("/id", dependencies={"user_id": Provide(login.provide_user_id)})
    async def user_id(user_id: UserId) -> dict[str, str | None]:
        return {"id": user_id}

    @websocket("/ws", guards=[login.login_required], dependencies={"user_id": Provide(login.provide_user_id)})
    async def socket(socket: WebSocket[Any, Login, Any], user_id: UserId) -> None:
        await socket.accept()
        await socket.send_json([user_id, socket.auth.user_id])
        await socket.close()

    return [me, log_in, log_out, confirm, private, fresh, user_id, socket]


def browser_with(flask_app=None, session=None, handlers=(), settings=None, **options):
    flask_app = flask_app or flask_site()
    login = LoginManager(settings or LoginSettings.from_flask(flask_app), **options)
    config = session or FlaskSessionBackendConfig(settings=Settings.from_flask(flask_app))
    app = app_with(config, *handlers_of(login), *handlers, on_app_init=[login.on_app_init])
    return Browser(flask_app, app)


def test_login_in_flask_counts_here():
    browser = browser_with()
    assert browser.who() == NOBODY
    browser.log_in()
    assert browser.who() == ADA
    browser.flask("/logout", "POST")
    assert browser.who() == NOBODY


def test_login_here_counts_in_flask():
    browser = browser_with()
    assert browser.ours("/login/7").json() == ADA
    assert browser.who() == ADA
    assert browser.ours("/logout", "POST").json() == NOBODY
    assert browser.who() == NOBODY


@pytest.mark.parametrize("user_id", ["7", "é|8"])
@pytest.mark.parametrize(("log_in", "log_out"), [("ours", "flask"), ("flask", "ours")])
def test_remember_cookie_of_either_side(log_in, log_out, user_id):
    browser = browser_with()
    if log_in == "flask":
        browser.log_in(user_id, remember="1")
    else:
        browser.ours(f"/login/{user_id}?remember=1")
    assert "remember_token" in browser.cookies
    browser.cookies.pop("session")
    assert browser.ours("/me").json() == {"user": user_id, "user_id": user_id, "fresh": False, "source": "remember"}
    assert browser.flask("/me").json == {"user": user_id, "fresh": False}
    getattr(browser, log_out)("/logout", "POST")
    assert "remember_token" not in browser.cookies
    assert browser.who() == NOBODY


def test_remember_cookie_lasts_as_long_as_was_said():
    @get("/week")
    async def week(request: Request) -> None:
        login.login_user(request, "7", remember=True, duration=7 * 86400)

    settings = LoginSettings(SECRET, clock=lambda: NOW)
    login = LoginManager(settings)
    app = app_with(FlaskSessionBackendConfig(SECRET), week, on_app_init=[login.on_app_init])
    [line] = Client(app).get("/week").lines("remember_token")
    assert "Expires=Tue, 21 Nov 2023 22:13:20 GMT" in line


@pytest.mark.parametrize("protection", [None, "basic", "strong"])
def test_session_of_another_browser(protection):
    browser = browser_with(flask_site(SESSION_PROTECTION=protection))
    browser.log_in()
    browser.agent = "Other/1.0"
    ours = browser.ours("/me").json()
    assert browser.flask("/me").json == {"user": ours["user_id"], "fresh": ours["fresh"]}
    assert ours == {None: ADA, "basic": {**ADA, "fresh": False}, "strong": NOBODY}[protection]


@pytest.mark.parametrize("store", ["memory", "cookie"])
def test_login_with_a_store_gives_a_new_id(store):
    session = FlaskSessionBackendConfig(SECRET, store=MemoryStore() if store == "memory" else None)
    browser = browser_with(session=session, handlers=[count])
    browser.ours("/")
    before = browser.cookies["session"]
    browser.ours("/login/7")
    assert browser.cookies["session"] != before
    assert browser.ours("/me").json() == ADA
    assert browser.ours("/").json() == 2


def test_user_of_a_handler():
    asked = []

    async def retrieve(user_id, connection):
        asked.append((user_id, type(connection)))
        return USERS.get(user_id)

    def retrieve_in_a_thread(user_id, connection):
        asked.append((user_id, type(connection)))
        return USERS.get(user_id)

    for handler in (retrieve, retrieve_in_a_thread):
        asked.clear()
        browser = browser_with(retrieve_user_handler=handler)
        assert browser.ours("/me").json() == NOBODY
        assert not asked
        browser.log_in()
        assert browser.ours("/me").json() == {**ADA, "user": "ada"}
        assert asked == [("7", ASGIConnection)]


def test_user_who_is_no_more_is_nobody():
    browser = browser_with(retrieve_user_handler=lambda user_id, _: USERS.get(user_id))
    browser.log_in("9")
    assert browser.ours("/me").json() == NOBODY
    assert browser.ours("/private").status_code == 401


def test_login_with_its_user():
    def retrieve(user_id, connection):
        return USERS.get(user_id)

    @get("/with")
    async def with_user(request: Request) -> list[Any]:
        login.login_user(request, "7")
        before = request.user
        login.login_user(request, "7", user="ada")
        return [before, request.user]

    login = LoginManager(LoginSettings(SECRET), retrieve_user_handler=retrieve)
    app = app_with(FlaskSessionBackendConfig(SECRET), with_user, on_app_init=[login.on_app_init])
    assert Client(app).get("/with").json == [None, "ada"]


@pytest.mark.parametrize("clear", ["clear_session", "none"])
def test_login_after_the_session_was_cleared(clear):
    @get("/anew")
    async def anew(request: Request) -> None:
        if clear == "none":
            request.scope["session"] = None
        else:
            request.clear_session()
        LoginManager(LoginSettings(SECRET)).login_user(request, "7")

    browser = browser_with(handlers=[anew, count])
    browser.ours("/")
    browser.ours("/anew")
    assert browser.who() == ADA
    assert "n" not in data_of(browser.cookies["session"])


# Guards


def test_guards_answer_401():
    browser = browser_with()
    assert [browser.ours(path).status_code for path in ("/private", "/fresh")] == [401, 401]
    assert browser.ours("/confirm").json() == NOBODY
    assert browser.ours("/private").json() == {"status_code": 401, "detail": "Not authenticated"}
    browser.log_in(remember="1")
    assert [browser.ours(path).status_code for path in ("/private", "/fresh")] == [200, 200]
    browser.cookies.pop("session")
    assert [browser.ours(path).status_code for path in ("/private", "/fresh")] == [200, 401]
    assert browser.ours("/confirm").json() == ADA
    assert browser.ours("/fresh").status_code == 200
    assert browser.who() == ADA


def test_guards_redirect_as_flask_login_does():
    browser = browser_with(login_view="/login", refresh_view="/login")
    both = ["Please log in to access this page."] * 2
    for path in ("/private?a=1&b=%20", "/private/a b", "/fresh"):
        theirs, ours = browser.flask(path), browser.ours(path)
        assert (ours.status_code, ours.headers["location"]) == (theirs.status_code, theirs.headers["Location"])
        assert browser.flask("/flashes").json == [["message", message] for message in both]
    browser.log_in(remember="1")
    browser.cookies.pop("session")
    theirs, ours = browser.flask("/fresh"), browser.ours("/fresh")
    assert (ours.status_code, ours.headers["location"]) == (theirs.status_code, theirs.headers["Location"])
    assert browser.flask("/flashes").json == [["message", "Please reauthenticate to access this page."]] * 2


def test_guards_redirect_without_a_message():
    browser = browser_with(login_view="/login?lang=en", login_message=None)
    answer = browser.ours("/private")
    assert answer.headers["location"] == "/login?lang=en&next=%2Fprivate"
    assert "set-cookie" not in answer.headers


def test_guards_of_a_websocket(caplog):
    browser = browser_with(login_view="/login")
    with pytest.raises(WebSocketDisconnect) as refused, browser.client.websocket_connect("/ws"):
        pass
    assert refused.value.code == 1008
    browser.log_in()
    with browser.client.websocket_connect("/ws", headers=browser.headers(None)) as socket:
        assert socket.receive_json() == ["7", "7"]


def test_login_in_a_handshake_sends_both_cookies():
    @websocket("/ws")
    async def log_in(socket: WebSocket) -> None:
        login.login_user(socket, "7", remember=True)
        await socket.accept()
        await socket.close()

    login = LoginManager(LoginSettings(SECRET))
    app = app_with(FlaskSessionBackendConfig(SECRET), log_in, on_app_init=[login.on_app_init])
    answer = Client(app).websocket("/ws")
    assert [len(answer.lines(name)) for name in ("session", "remember_token")] == [1, 1]


def test_user_id_is_provided():
    browser = browser_with()
    assert browser.ours("/id").json() == {"id": None}
    browser.log_in()
    assert browser.ours("/id").json() == {"id": "7"}


@get("/open", exclude_from_auth=True)
async def unguarded(request: Request) -> bool:
    return "user" in request.scope


def test_handler_that_is_excluded_asks_for_no_user():
    def retrieve(user_id, connection):
        raise AssertionError

    login = LoginManager(LoginSettings(SECRET), retrieve_user_handler=retrieve)
    client = client_of(unguarded, on_app_init=[login.on_app_init])
    assert client.get("/open", {"_user_id": "7"}).json is False


@pytest.mark.parametrize("guard", ["login_required", "fresh_login_required"])
def test_guard_of_a_whole_app_lets_in_where_a_handler_says_so(guard):
    login = LoginManager(LoginSettings(SECRET), exclude="/do")
    client = client_of(unguarded, say, on_app_init=[login.on_app_init], guards=[getattr(login, guard)])
    assert [client.get(path).status for path in ("/open", "/do/it", "/absent")] == [200, 401, 404]


@pytest.mark.parametrize("guard", ["login_required", "fresh_login_required"])
def test_guard_of_a_whole_app_lets_options_through(guard):
    login = LoginManager(LoginSettings(SECRET), login_view="/login")
    client = client_of(say, on_app_init=[login.on_app_init], guards=[getattr(login, guard)])
    answer = client.get("/do/it", method="OPTIONS")
    assert (answer.status, answer.set_cookies) == (204, [])


def test_guard_and_dependency_without_the_middleware():
    login = LoginManager(
        LoginSettings(SECRET, protection=None), retrieve_user_handler=lambda user_id, _: USERS.get(user_id)
    )

    @get("/", guards=[login.login_required], dependencies={"user_id": Provide(login.provide_user_id)})
    async def handler(user_id: UserId) -> str:
        return user_id or ""

    client = client_of(handler)
    assert [client.get("/", session).status for session in (None, {"_user_id": "9"})] == [401, 401]
    assert client.get("/", {"_user_id": "7"}).body == b"7"


def test_guard_in_a_test_of_ones_own():
    login = LoginManager(LoginSettings(SECRET, protection=None))
    request = RequestFactory().get("/", session={"_user_id": "7", "_fresh": True})
    assert anyio.run(login.current, request) == Login("7", True, "session")


def test_lazy_session_is_loaded_for_the_user():
    session = FlaskSessionBackendConfig(SECRET, store=MemoryStore(), lazy=True)

    @get("/in")
    async def log_in(request: Request) -> None:
        LoginManager(LoginSettings(SECRET)).login_user(request, "7")

    browser = browser_with(session=session, handlers=[log_in])
    assert browser.ours("/in").status_code == 200
    assert browser.ours("/me").json() == ADA


# Where the middlewares stand


@pytest.mark.parametrize("order", ["session first", "login first", "by hand", "others", "twice", "raw", "outside"])
def test_login_finds_the_session_wherever_it_was_installed(order, backend):
    config = FlaskSessionBackendConfig(SECRET)
    login = LoginManager(LoginSettings(SECRET, protection=None))
    session_init, login_init = config.on_app_init, login.on_app_init

    def other(app):
        return app

    how = {
        "session first": {"on_app_init": [session_init, login_init]},
        "login first": {"on_app_init": [login_init, session_init]},
        "by hand": {"middleware": [config.middleware, login.middleware]},
        "others": {"middleware": [other, config.middleware, other], "on_app_init": [login_init]},
        "twice": {"middleware": [config.middleware], "on_app_init": [session_init, login_init]},
        "raw": {"middleware": [DefineMiddleware(FlaskSessionASGI, secret=SECRET)], "on_app_init": [login_init]},
        "outside": {"on_app_init": [login_init]},
    }[order]
    app = Litestar([me], logging_config=None, openapi_config=None, **how)
    if order == "outside":
        app = FlaskSessionASGI(app, SECRET)
    assert Client(app, backend).get("/me", {"_user_id": "7", "_fresh": True}).json == ADA


def test_without_a_session_it_says_what_is_missing():
    login = LoginManager(LoginSettings(SECRET))
    app = Litestar([me], on_app_init=[login.on_app_init], logging_config=None, openapi_config=None)
    error = client_error(app, "/me")
    assert isinstance(error, ImproperlyConfiguredException)
    assert "FlaskSessionBackendConfig" in str(error)


def client_error(app, path, **more):
    """Return what the handler raised, as Litestar's hook has it."""
    errors = []

    async def keep(error, scope):
        errors.append(error)

    app.after_exception.append(keep)
    assert Client(app).get(path, **more).status == 500
    return errors[0]


def test_remember_cookie_without_the_middleware_says_what_is_missing():
    login = LoginManager(LoginSettings(SECRET))

    @get("/")
    async def log_in(request: Request) -> None:
        login.login_user(request, "7", remember=True)

    error = client_error(app_with(FlaskSessionBackendConfig(SECRET), log_in), "/")
    assert isinstance(error, ImproperlyConfiguredException)
    assert "on_app_init of the LoginManager" in str(error)


def test_session_that_was_set_to_a_struct_says_what_is_wrong():
    login = LoginManager(LoginSettings(SECRET))

    @get("/")
    async def log_in(request: Request) -> None:
        request.set_session(ByStruct("ada", []))
        login.login_user(request, "7")

    error = client_error(app_with(FlaskSessionBackendConfig(SECRET), log_in), "/")
    assert "set to what is no dict" in str(error)


@pytest.mark.parametrize("make", [LoginManager, CSRFProtect])
def test_settings_that_are_none_are_refused(make):
    with pytest.raises(SettingsError, match="settings is a str"):
        make("secret")


def test_remember_cookie_of_each_response():
    flask_app = flask_site(REMEMBER_COOKIE_REFRESH_EACH_REQUEST=True)
    browser = browser_with(flask_app, handlers=[set_no_dict])
    browser.ours("/me")
    assert "remember_token" not in browser.cookies
    browser.log_in()
    browser.cookies.pop("remember_token", None)
    browser.ours("/me")
    assert browser.flask("/me").json["user"] == "7"
    assert "remember_token" in browser.cookies
    lines = browser.ours("/logout", "POST").headers.get_list("set-cookie")
    assert len([line for line in lines if line.startswith("remember_token=")]) == 1
    assert browser.who() == NOBODY
    assert "remember_token" not in browser.cookies
    browser.ours("/login/7")
    browser.cookies.pop("remember_token", None)
    assert browser.ours("/struct").status_code == 200
    assert "remember_token" not in browser.cookies


@get("/struct")
async def set_no_dict(request: Request) -> None:
    request.set_session(ByStruct("ada", []))


# OpenAPI


def schema_of(*handlers, **more):
    login = LoginManager(LoginSettings(SECRET), session_cookie="shop")
    config = FlaskSessionBackendConfig(SECRET, key="shop")
    guards = [login.login_required] if more.pop("guarded", False) else []
    app = app_with(
        config,
        *handlers,
        on_app_init=[login.on_app_init],
        openapi_config=OpenAPIConfig("shop", "1"),
        guards=guards,
        **more,
    )
    return app.openapi_schema.to_schema()


def test_openapi_names_the_cookie():
    schema = schema_of(me)
    assert schema["components"]["securitySchemes"] == {
        "sessionCookie": {
            "type": "apiKey", "name": "shop", "in": "cookie", "description": "Flask's session cookie.",
        }
    }  # fmt: skip
    assert "security" not in schema


def test_openapi_keeps_what_the_app_says():
    others = Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")})
    for components in (others, [others]):
        config = OpenAPIConfig("shop", "1", components=components, security=[{"key": []}])
        login = LoginManager(LoginSettings(SECRET))
        app = Litestar([me], guards=[login.login_required], openapi_config=config, on_app_init=[login.on_app_init])
        schema = app.openapi_schema.to_schema()
        assert [*schema["components"]["securitySchemes"]] == ["sessionCookie", "key"]
        assert schema["security"] == [{"key": []}, {"sessionCookie": []}]
        assert config.security == [{"key": []}]


def test_openapi_of_a_guarded_app_and_a_guarded_handler():
    assert schema_of(me, guarded=True)["security"] == [{"sessionCookie": []}]
    requirement = LoginManager(LoginSettings(SECRET)).security_requirement

    @get("/", security=[requirement])
    async def handler() -> None: ...

    assert schema_of(handler)["paths"]["/"]["get"]["security"] == [{"sessionCookie": []}]


# CSRF


class Form(msgspec.Struct):
    name: str
    csrf_token: str = ""


def browser_with_forms(flask_app=None, **options):
    flask_app = flask_app or flask_site()
    csrf = CSRFProtect(CSRFSettings.from_flask(flask_app), **options)

    @get("/token")
    async def token(request: Request) -> str:
        return csrf.token(request)

    @post("/form", guards=[csrf.protect], status_code=200)
    async def form(data: Annotated[Form, Body(media_type=RequestEncodingType.URL_ENCODED)]) -> str:
        return data.name

    @post("/upload", guards=[csrf.protect], status_code=200)
    async def upload(data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]) -> str:
        return (await data["file"].read()).decode()

    @post("/json", guards=[csrf.protect], status_code=200)
    async def json(request: Request) -> str:
        return (await request.json())["name"]

    @get("/form", guards=[csrf.protect])
    async def page() -> str:
        return "page"

    @post("/hook", guards=[csrf.protect], exclude_from_csrf=True, status_code=200)
    async def hook() -> str:
        return "hook"

    @websocket("/ws", guards=[csrf.protect])
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    @asgi("/mounted", is_mount=True, copy_scope=True, guards=[csrf.protect])
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return browser_with(flask_app, handlers=[token, form, upload, json, page, hook, socket, mounted])


@pytest.mark.parametrize("side", ["flask", "ours"])
def test_token_of_either_side_is_accepted_by_both(side):
    browser = browser_with_forms()
    token = getattr(browser, side)("/token").text
    fields = {"csrf_token": token, "name": "ada"}
    assert browser.ours("/form", "POST", data=fields).text == "ada"
    assert browser.flask("/buy", "POST", data=fields).text == "bought"
    assert browser.ours("/form", "POST", data={"name": "ada"}, headers={"X-CSRFToken": token}).text == "ada"
    assert browser.ours("/json", "POST", json={"name": "ada"}, headers={"X-CSRF-Token": token}).text == "ada"
    uploaded = browser.ours("/upload", "POST", data={"csrf_token": token}, files={"file": ("a.txt", b"content")})
    assert (uploaded.status_code, uploaded.text) == (200, "content")


IN_NO_CHARSET = (
    b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n'
    b"Content-Type: text/plain; charset=none\r\n\r\nx\r\n--x--"
)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/form", {"data": {"name": "ada"}}),
        ("/form", {"data": {"name": "ada", "csrf_token": "x"}}),
        ("/form", {"data": {"name": "ada", "csrf_token": ["x", "y"]}}),
        ("/form", {"content": b"\xff\xfe=%zz&&==;", "headers": {"content-type": "application/x-www-form-urlencoded"}}),
        ("/upload", {"files": {"csrf_token": ("a.txt", b"content"), "file": ("a.txt", b"")}}),
        ("/upload", {"content": b"rubbish", "headers": {"content-type": "multipart/form-data"}}),
        ("/upload", {"content": b"rubbish", "headers": {"content-type": "multipart/form-data; boundary=x"}}),
        ("/upload", {"content": b"--x\r\nrubbish", "headers": {"content-type": "multipart/form-data; boundary=x"}}),
        ("/upload", {"content": IN_NO_CHARSET, "headers": {"content-type": "multipart/form-data; boundary=x"}}),
        ("/json", {"json": {"name": "ada"}}),
        ("/json", {"json": {"name": "ada", "csrf_token": "x"}}),
        ("/json", {"content": b"\xff", "headers": {"X-CSRFToken": b"\x80"}}),
    ],
)
@pytest.mark.parametrize("has_session", [True, False])
def test_request_without_its_token_is_a_400(path, more, has_session):
    browser = browser_with_forms()
    if has_session:
        browser.ours("/token")
    assert browser.ours(path, "POST", **more).status_code == 400


def test_refusal_says_what_flask_wtf_says():
    browser = browser_with_forms()
    token = browser.flask("/token").text
    for fields in ({}, {"csrf_token": "x"}, {"csrf_token": token + "x"}):
        theirs = browser.flask("/buy", "POST", data=fields)
        ours = browser.ours("/form", "POST", data=fields)
        assert (theirs.status_code, ours.status_code) == (400, 400)
        assert ours.json()["detail"] in theirs.text
    browser.cookies.clear()
    refused = browser.ours("/form", "POST", data={"csrf_token": token}).json()
    assert refused["detail"] == "The CSRF session token is missing."


def test_mounted_app_is_guarded_by_the_header():
    browser = browser_with_forms()
    token = browser.ours("/token").text
    assert browser.ours("/mounted", "POST", headers={"X-CSRFToken": token}).status_code == 200
    assert browser.ours("/mounted", "POST", data={"csrf_token": token}).status_code == 400


def test_what_needs_no_token():
    browser = browser_with_forms()
    assert browser.ours("/form").text == "page"
    assert browser.ours("/hook", "POST").text == "hook"
    with browser.client.websocket_connect("/ws"):
        pass


def test_handler_can_be_excluded_by_another_option():
    browser = browser_with_forms(exclude_opt_key="no_csrf")
    assert browser.ours("/hook", "POST").status_code == 400


def test_guard_that_is_off_checks_nothing():
    browser = browser_with_forms(flask_site(WTF_CSRF_ENABLED=False))
    assert browser.ours("/form", "POST", data={"name": "ada"}).text == "ada"


# Flashes and templates


FLASHES = """{% for category, message in get_flashed_messages(with_categories=true) -%}
{{ category }}: {{ message }}
{% endfor %}"""


def browser_with_pages(tmp_path, **templates):
    flask_app = flask_site()
    csrf = CSRFProtect(CSRFSettings.from_flask(flask_app))
    config = FlaskSessionBackendConfig(SECRET)

    @get("/page/{name:str}")
    async def page(request: Request) -> Template:
        return Template(f"{request.path_params['name']}.html")

    @get("/flash")
    async def put(request: Request) -> None:
        flash(request.session, Markup("<b>from Litestar</b>"), "info")

    app = app_with(
        config,
        page,
        put,
        template_config=with_templates(tmp_path, engine_callback=flask_callables(csrf), **templates),
    )
    return Browser(flask_app, app)


@pytest.mark.parametrize("side", ["flask", "ours"])
def test_flashes_of_either_side_are_shown_once(tmp_path, side):
    browser = browser_with_pages(tmp_path, page=FLASHES)
    getattr(browser, side)("/flash")
    message = "from Flask" if side == "flask" else "<b>from Litestar</b>"
    assert browser.ours("/page/page").text == f"info: {message}\n"
    assert browser.ours("/page/page").text == ""
    getattr(browser, side)("/flash")
    assert browser.flask("/flashes").json == [["info", message]]
    assert browser.ours("/page/page").text == ""


def test_flashes_of_a_category(tmp_path):
    page = "{{ get_flashed_messages(category_filter=['error']) }}{{ get_flashed_messages(False, ['info'])[0] }}"
    browser = browser_with_pages(tmp_path, page=page)
    browser.flask("/flash")
    assert browser.ours("/page/page").text == "[]from Flask"


def test_token_of_a_template_is_flask_wtfs(tmp_path):
    browser = browser_with_pages(tmp_path, form="{{ csrf_token() }}")
    token = browser.ours("/page/form").text
    assert browser.flask("/buy", "POST", data={"csrf_token": token}).text == "bought"


def test_without_csrf_the_templates_token_stays_litestars(tmp_path):
    templates = with_templates(tmp_path, engine_callback=flask_callables(), page="[{{ csrf_token() }}]")

    @get("/")
    async def page() -> Template:
        return Template("page.html")

    answer = client_of(page, template_config=templates).get("/")
    assert (answer.body, answer.set_cookies) == (b"[]", [])


# The extra


def test_without_litestar_the_import_says_what_to_install():
    code = "import sys; sys.modules['litestar'] = None; import asgi_flask_session.adapters.litestar"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
    assert "pip install asgi-flask-session[litestar]" in done.stderr


def test_the_raw_middlewares_of_two_routes_share_the_store_of_a_url():
    @get("/write")
    async def write(request: Request) -> None:
        request.session["n"] = 1

    @get("/read")
    async def read(request: Request) -> Any:
        return request.session.get("n")

    raw = DefineMiddleware(FlaskSessionASGI, secret=SECRET, store="memory:")
    with TestClient(Litestar([write, read], middleware=[raw])) as client:
        client.get("/write")
        assert client.get("/read").json() == 1
