"""quart_plugin.login, with a real Flask app of Flask-Login and Flask-WTF on the other side of the cookies."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from types import SimpleNamespace

import flask
import pytest
from driver import SECRET
from frameworks.drive import Client
from quart import Blueprint, Quart, render_template_string, request, session, websocket
from quart import flash as quart_flash
from quart import get_flashed_messages as quart_messages
from quart.sessions import SecureCookieSessionInterface
from quart.views import MethodView
from werkzeug.exceptions import Unauthorized

from asgi_flask_session import SettingsError
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface
from quart_plugin.login import (
    CSRFError,
    CSRFProtect,
    LoginManager,
    confirm_login,
    current_login,
    current_user_id,
    fresh_login_required,
    generate_csrf,
    login_required,
    login_user,
    logout_user,
    validate_csrf,
)

flask_login = pytest.importorskip("flask_login")
flask_wtf = pytest.importorskip("flask_wtf")

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:flask_login")

UA = "Browser/1"
MISSING = "The CSRF token is missing."


class User(flask_login.UserMixin):
    def __init__(self, user_id):
        self.id = user_id


def flask_app(**config):
    app = flask.Flask("flask_side")
    app.config |= {"SECRET_KEY": SECRET, "TESTING": True, **config}
    flask_login.LoginManager(app).user_loader(User)
    flask_wtf.CSRFProtect(app)

    @app.get("/login")
    def log_in():
        flask_login.login_user(User(flask.request.args.get("user", "7")), remember="remember" in flask.request.args)
        return ""

    @app.get("/logout")
    def log_out():
        flask_login.logout_user()
        return ""

    @app.get("/who")
    def who():
        user = flask_login.current_user
        return [user.get_id(), flask_login.login_fresh()] if user.is_authenticated else [None, False]

    @app.get("/flash/<message>")
    def put(message):
        flask.flash(message, "info")
        return ""

    @app.get("/messages")
    def messages():
        return [list(entry) for entry in flask.get_flashed_messages(with_categories=True)]

    @app.get("/token")
    def token():
        return flask_wtf.csrf.generate_csrf()

    @app.post("/form")
    def form():
        return "passed"

    return app


def quart_app(manager=None, protect=None, interface=None, **config):  # noqa: C901  # views, one like the other
    app = Quart("quart_side")
    app.config |= {"SECRET_KEY": SECRET, "TESTING": True, **config}
    app.session_interface = FlaskSessionInterface() if interface is None else interface
    if manager is not None:
        manager.init_app(app)
    if protect is not None:
        protect.init_app(app)

    @app.get("/who")
    async def who():
        await load()
        user_id, fresh, source = current_login()
        assert user_id == current_user_id()
        return [user_id, fresh, source]

    @app.get("/login")
    async def log_in():
        await load()
        seconds = request.args.get("seconds")
        login_user(
            request.args.get("user", "7"),
            remember="remember" in request.args,
            duration=None if seconds is None else timedelta(seconds=int(seconds)),
            fresh="stale" not in request.args,
        )
        return ""

    @app.get("/logout")
    async def log_out():
        await load()
        logout_user()
        return ""

    @app.get("/again")
    async def again():
        login_user("8", remember=True)
        logout_user()
        login_user("9", remember=True)
        return ""

    @app.get("/confirm")
    async def confirm():
        confirm_login()
        return ""

    @app.get("/account/<path:name>")
    @login_required
    async def account(name):
        return f"{current_user_id()} {name}"

    @app.route("/open", methods=["GET", "OPTIONS"])
    @login_required
    def open_():
        return "not async"

    @app.get("/password")
    @fresh_login_required
    async def password():
        return "fresh"

    @app.get("/untouched")
    async def untouched():
        return ""

    @app.get("/messages")
    async def messages():
        return [list(entry) for entry in quart_messages(with_categories=True)]

    @app.get("/flash/<message>")
    async def put(message):
        await quart_flash(message, "error")
        return ""

    @app.get("/token")
    async def token():
        return generate_csrf()

    @app.get("/template")
    async def template():
        return await render_template_string("{{ csrf_token() }}")

    @app.post("/form")
    async def form():
        return {"form": dict(await request.form), "json": await request.get_json(silent=True)}

    @app.websocket("/ws")
    @login_required
    async def ws():
        await websocket.send(current_user_id())

    @app.websocket("/ws/fresh")
    @fresh_login_required
    async def ws_fresh():
        await websocket.send("fresh")

    @app.websocket("/ws/login")
    async def ws_login():
        login_user("7", remember=True)
        await websocket.send("")

    @app.websocket("/ws/logout")
    async def ws_logout():
        logout_user()
        await websocket.send("")

    @app.websocket("/ws/token")
    async def ws_token():
        try:
            validate_csrf(await websocket.receive())
        except CSRFError as error:
            await websocket.send(error.reason)
        else:
            await websocket.send("passed")

    async def load():
        if hasattr(session, "load"):
            await session.load()

    return app


class Browser:
    """Asks both apps, with one jar of cookies."""

    def __init__(self, ours, theirs=None, *, agent=UA, headers=()):
        self.ours, self.theirs = ours, flask_app() if theirs is None else theirs
        self.cookies, self.sent = {}, [("User-Agent", agent), *headers]
        self.client = ("127.0.0.1", 50000)

    def headers(self, more=()):
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [*self.sent, *more, *([("Cookie", cookies)] if cookies else [])]

    def keep(self, lines):
        self.lines = lines
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.coded_value

    def flask(self, path, method="GET", headers=(), **more):
        client = self.theirs.test_client(use_cookies=False)
        response = client.open(path, method=method, headers=self.headers(headers), **more)
        self.keep(response.headers.getlist("Set-Cookie"))
        return self.answer(response.status_code, response.text, response.headers)

    def quart(self, path, method="GET", headers=(), **more):
        async def ask():
            client = self.ours.test_client(use_cookies=False)
            scope_base = {"client": self.client}
            response = await client.open(
                path, method=method, headers=dict(self.headers(headers)), scope_base=scope_base, **more
            )
            return response.status_code, await response.get_data(as_text=True), response.headers

        status, text, received = asyncio.run(ask())
        self.keep(received.getlist("Set-Cookie"))
        return self.answer(status, text, received)

    def websocket(self, path, send=None):
        """Return what the socket says first; the cookies of its handshake are kept."""
        inner, lines = self.ours.asgi_app, []

        async def listening(scope, receive, send):
            async def send_and_note(message):
                headers = message.get("headers", ()) if message["type"] == "websocket.accept" else ()
                lines.extend(value.decode() for name, value in headers if name == b"set-cookie")
                await send(message)

            await inner(scope, receive, send_and_note)

        async def ask():
            client = self.ours.test_client(use_cookies=False)
            async with client.websocket(path, headers=dict(self.headers()), scope_base={"client": self.client}) as ws:
                if send is not None:
                    await ws.send(send)
                return await ws.receive()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.ours, "asgi_app", listening)
            said = asyncio.run(ask())
        self.keep(lines)
        return said

    @staticmethod
    def answer(status, text, headers):
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return SimpleNamespace(
            status=status, text=text, value=value, location=headers.get("Location"), vary=headers.get("Vary")
        )


@pytest.fixture
def browser():
    return Browser(quart_app(LoginManager(login_view="/login", refresh_view="/login?again=1")))


# Who is logged in


def test_nobody(browser):
    assert browser.quart("/who").value == [None, False, None]
    assert browser.lines == []


def test_login_in_flask_is_one_here(browser):
    browser.flask("/login")
    answer = browser.quart("/who")
    assert answer.value == ["7", True, "session"]
    assert answer.vary == "Cookie"
    assert browser.lines == []
    assert browser.quart("/account/a").text == "7 a"
    assert browser.quart("/password").text == "fresh"


def test_login_here_is_one_in_flask(browser):
    browser.quart("/login?user=ada")
    assert set(browser.cookies) == {"session"}
    assert browser.flask("/who").value == ["ada", True]


def test_login_here_is_remembered_in_flask(browser):
    browser.quart("/login?remember=1")
    del browser.cookies["session"]
    assert browser.flask("/who").value == ["7", False]
    assert "remember_token" in browser.cookies


def test_login_in_flask_is_remembered_here(browser):
    browser.flask("/login?remember=1")
    del browser.cookies["session"]
    assert browser.quart("/who").value == ["7", False, "remember"]
    assert browser.lines == []


def test_logout_here_is_one_in_flask(browser):
    browser.flask("/login?remember=1")
    browser.quart("/logout")
    assert browser.cookies == {}
    assert browser.flask("/who").value == [None, False]


def test_logout_in_flask_is_one_here(browser):
    browser.quart("/login?remember=1")
    browser.flask("/logout")
    assert "remember_token" not in browser.cookies
    assert browser.quart("/who").value == [None, False, None]


def test_login_for_a_while(browser):
    browser.quart("/login?remember=1&seconds=60")
    remember = SimpleCookie(next(line for line in browser.lines if line.startswith("remember")))["remember_token"]
    ends = parsedate_to_datetime(remember["expires"])
    assert timedelta(seconds=30) < ends - datetime.now(UTC) <= timedelta(seconds=60)
    assert remember["httponly"]
    browser.quart("/login?stale=1")
    assert browser.quart("/who").value == ["7", False, "session"]


def test_last_of_several_says_what_is_remembered(browser):
    browser.quart("/again")
    assert len([line for line in browser.lines if line.startswith("remember_token=")]) == 1
    assert browser.quart("/who").value == ["9", True, "session"]
    del browser.cookies["session"]
    assert browser.flask("/who").value == ["9", False]


def test_another_browser_is_not_fresh(browser):
    browser.flask("/login")
    other = Browser(browser.ours, browser.theirs, agent="Other/2")
    other.cookies = browser.cookies
    assert other.quart("/who").value == ["7", False, "session"]
    other.quart("/confirm")
    assert other.flask("/who").value == ["7", True]


def test_strong_protection_is_that_of_the_config():
    browser = Browser(quart_app(SESSION_PROTECTION="strong"), flask_app(SESSION_PROTECTION="strong"))
    browser.flask("/login")
    assert browser.quart("/who").value == ["7", True, "session"]
    browser.sent = [("User-Agent", "Other/2")]
    assert browser.quart("/who").value == [None, False, None]
    assert browser.flask("/who").value == [None, False]


@pytest.mark.parametrize("mode", [True, False])
def test_protection_of_quart_session_is_not_that_of_flask_login(mode):
    manager = LoginManager()
    assert manager.settings_of(quart_app(manager, SESSION_PROTECTION=mode)).protection == "basic"


@pytest.mark.parametrize(("fields", "config"), [({"trusted_proxies": 1}, {}), ({}, {"SESSION_REVERSE_PROXY": True})])
def test_login_behind_a_proxy(fields, config):
    browser = Browser(quart_app(LoginManager(**fields), **config), headers=[("X-Forwarded-For", "192.0.2.1")])
    browser.client = ("10.0.0.1", 50000)
    browser.flask("/login")
    assert browser.quart("/who").value == ["7", True, "session"]
    browser.quart("/login?user=8")
    assert browser.flask("/who").value == ["8", True]


def test_header_of_the_client_is_not_believed(browser):
    browser.sent.append(("X-Forwarded-For", "192.0.2.1"))
    browser.flask("/login")
    assert browser.quart("/who").value == ["7", False, "session"]


@pytest.mark.parametrize("refreshing", [True, False])
def test_remember_cookie_with_each_response(refreshing):
    browser = Browser(quart_app(LoginManager(), REMEMBER_COOKIE_REFRESH_EACH_REQUEST=refreshing))
    browser.flask("/login?remember=1")
    answer = browser.quart("/untouched")
    assert [line.partition("=")[0] for line in browser.lines] == (["remember_token"] if refreshing else [])
    assert answer.vary == ("Cookie" if refreshing else None)
    browser.quart("/login?remember=1")
    assert sorted(line.partition("=")[0] for line in browser.lines) == ["remember_token", "session"]
    browser.quart("/logout")
    assert browser.cookies == {}
    browser.quart("/untouched")
    assert browser.lines == []


@pytest.mark.parametrize(
    "interface",
    [
        SecureCookieSessionInterface,
        lambda: FlaskSessionInterface(store=MemoryStore()),
        lambda: FlaskSessionInterface(store=MemoryStore(), lazy=True),
    ],
    ids=["Quart's own", "store", "lazy store"],
)
def test_other_sessions(interface):
    browser = Browser(quart_app(LoginManager(login_view="/login"), CSRFProtect(), interface=interface()))
    assert browser.quart("/account/a").status == 302
    browser.quart("/login")
    assert browser.quart("/account/a").text == "7 a"
    assert browser.quart("/password").text == "fresh"
    assert browser.quart("/form", "POST").text.count(MISSING) == 1
    assert browser.websocket("/ws") == "7"
    browser.quart("/logout")
    assert browser.quart("/account/a").status == 302


def test_login_and_logout_give_a_stored_session_a_new_id():
    """S6: whoever planted an id, or kept one, knows it no longer."""
    browser = Browser(quart_app(interface=FlaskSessionInterface(store=MemoryStore())))
    ids = []
    for path in ("/flash/a", "/login", "/who", "/login?user=8", "/logout"):
        browser.quart(path)
        ids.append(browser.cookies["session"])
    assert ids[1] == ids[2]
    assert len(set(ids)) == 4
    for dead in ids[:4]:
        browser.cookies["session"] = dead
        assert browser.quart("/who").value == [None, False, None]
        assert browser.quart("/messages").value == []


# Who must be


def test_way_to_the_login_page(browser):
    answer = browser.quart("/account/a%20b?tab=1&x=%C3%A9")
    assert answer.status == 302
    assert answer.location == "/login?next=%2Faccount%2Fa%2520b%3Ftab%3D1%26x%3D%25C3%25A9"
    assert browser.flask("/messages").value == [["message", "Please log in to access this page."]]


def test_way_to_the_page_that_asks_again(browser):
    browser.quart("/login?stale=1")
    answer = browser.quart("/password")
    assert (answer.status, answer.location) == (302, "/login?again=1&next=%2Fpassword")
    assert browser.flask("/messages").value == [["message", "Please reauthenticate to access this page."]]
    browser.quart("/logout")
    assert browser.quart("/password").location == "/login?next=%2Fpassword"


def test_way_to_a_view_of_the_app():
    manager = LoginManager(login_view="log_in", login_message="Who are you?", login_message_category="warning")
    browser = Browser(quart_app(manager))
    assert browser.quart("/account/a").location == "/login?next=%2Faccount%2Fa"
    assert browser.quart("/messages").value == [["warning", "Who are you?"]]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_way_to_a_page_elsewhere(scheme):
    url = f"{scheme}://login.example.com/a"
    answer = Browser(quart_app(LoginManager(login_view=url))).quart("/account/a")
    assert answer.location == f"{url}?next=http%3A%2F%2Flocalhost%2Faccount%2Fa"


@pytest.mark.parametrize("view", [None, ""])
def test_without_a_login_page_it_is_a_401(view):
    browser = Browser(quart_app(LoginManager(login_view=view, refresh_view=view)))
    assert browser.quart("/account/a").status == 401
    assert browser.quart("/password").status == 401
    browser.quart("/login?stale=1")
    assert browser.quart("/password").status == 401
    assert browser.quart("/messages").value == []


@pytest.mark.parametrize("message", [None, ""])
def test_without_a_message_the_session_stays_as_it_is(message):
    browser = Browser(quart_app(LoginManager(login_view="/login", login_message=message)))
    assert browser.quart("/account/a").status == 302
    assert browser.lines == []


def test_manager_of_ones_own_says_what_visitors_get():
    class Polite(LoginManager):
        async def unauthorized(self):
            return "please", 403

    answer = Browser(quart_app(Polite())).quart("/account/a")
    assert (answer.status, answer.text) == (403, "please")


def test_options_are_let_through(browser):
    assert browser.quart("/open", "OPTIONS").status == 200
    assert browser.quart("/open").status == 302
    browser.quart("/login")
    assert browser.quart("/open").text == "not async"


def test_login_that_is_disabled_lets_everyone_through():
    browser = Browser(quart_app(LoginManager(login_view="/login"), LOGIN_DISABLED=True))
    assert browser.quart("/account/a").text == "None a"
    assert browser.quart("/password").text == "fresh"


def test_view_of_a_class_knows_its_object(browser):
    class Page(MethodView):
        @login_required
        async def get(self, name):
            return f"{type(self).__name__} {name}"

    browser.ours.add_url_rule("/pages/<name>", view_func=Page.as_view("page"))
    browser.quart("/login")
    assert browser.quart("/pages/a").text == "Page a"


# Websockets


def refused(browser, path):
    with pytest.raises(Exception) as raised:  # noqa: PT011  # Quart's client names it by the status
        browser.websocket(path)
    return raised.value.response.status_code


def test_websocket_of_a_user(browser):
    browser.flask("/login")
    assert browser.websocket("/ws") == "7"
    assert browser.websocket("/ws/fresh") == "fresh"


def test_websocket_of_nobody(browser):
    assert refused(browser, "/ws") == Unauthorized.code
    browser.quart("/login?stale=1")
    assert refused(browser, "/ws/fresh") == Unauthorized.code


def test_login_in_a_websocket_is_remembered_by_flasks_next_response(browser):
    browser.websocket("/ws/login")
    assert set(browser.cookies) == {"session"}
    assert browser.quart("/who").value == ["7", True, "session"]
    assert browser.flask("/who").value == ["7", True]
    assert set(browser.cookies) == {"session", "remember_token"}


def test_logout_in_a_websocket_voids_the_remember_cookie(browser):
    browser.flask("/login?remember=1")
    browser.websocket("/ws/logout")
    assert browser.quart("/who").value == [None, False, None]
    assert browser.flask("/who").value == [None, False]
    assert "remember_token" not in browser.cookies


# CSRF


@pytest.fixture
def protected():
    return Browser(quart_app(protect=CSRFProtect()))


def test_token_of_flask_passes_here(protected):
    token = protected.flask("/token").text
    assert protected.quart("/form", "POST", form={"name": "ada", "csrf_token": token}).value["form"]["name"] == "ada"
    assert protected.quart("/form", "POST", headers=[("X-CSRFToken", token)], json={"a": 1}).value["json"] == {"a": 1}


@pytest.mark.parametrize("path", ["/token", "/template"])
def test_token_of_ours_passes_in_flask(protected, path):
    token = protected.quart(path).text
    assert protected.flask("/form", "POST", data={"csrf_token": token}).text == "passed"
    assert protected.quart("/form", "POST", form={"login-csrf_token": token}).status == 200
    assert protected.quart(path).status == 200
    assert protected.lines == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"form": {"name": "ada"}},
        {"json": {"csrf_token": "x"}},
        {"data": b"\xff" * 100},
        {"headers": [("X-CSRFToken", "")]},
    ],
    ids=range(5),
)
def test_request_without_a_token_is_a_400_that_says_so(protected, more):
    answer = protected.quart("/form", "POST", **more)
    assert answer.status == 400
    assert MISSING in answer.text


def test_method_in_small_letters_is_checked_as_any_other(protected):
    answer = Client(protected.ours).get("/form", method="post")
    assert (answer.status, MISSING in answer.body.decode()) == (400, True)


def test_errors_can_be_handled_by_their_class(protected):
    @protected.ours.errorhandler(CSRFError)
    async def handle(error):
        return f"{error.reason} {error.description}", 418

    answer = protected.quart("/form", "POST")
    assert (answer.status, answer.text) == (418, f"{MISSING} {MISSING}")


def test_https_wants_a_referrer(protected):
    token = protected.quart("/token").text
    secure = {"headers": [("X-CSRFToken", token), ("Host", "example.com")], "scheme": "https"}
    assert "referrer header is missing" in protected.quart("/form", "POST", **secure).text
    secure["headers"].append(("Referer", "https://example.com/a"))
    assert protected.quart("/form", "POST", **secure).status == 200


def test_page_that_is_not_there_is_a_404(protected):
    assert protected.quart("/nowhere", "POST").status == 404


def test_view_and_blueprint_that_are_exempt():
    protect = CSRFProtect()
    app = quart_app(protect=protect)
    hooks = Blueprint("hooks", __name__, url_prefix="/hooks")

    @app.post("/hook")
    @protect.exempt
    async def hook():
        return "unchecked"

    @app.post("/guarded")
    @login_required
    @protect.exempt
    async def guarded():
        return ""

    app.add_url_rule("/unchecked", "unchecked", protect.exempt(lambda: "unchecked"), methods=["POST"])
    app.add_url_rule("/checked", "checked", lambda: "checked", methods=["POST"])

    @hooks.post("/b")
    async def in_blueprint():
        return "unchecked"

    protect.exempt(hooks)
    app.register_blueprint(hooks)
    browser = Browser(app)
    assert browser.quart("/hook", "POST").text == "unchecked"
    assert browser.quart("/hooks/b", "POST").text == "unchecked"
    assert browser.quart("/guarded", "POST").status == 401
    assert browser.quart("/unchecked", "POST").status == 200
    assert browser.quart("/checked", "POST").status == 400
    assert browser.quart("/form", "POST").status == 400


def test_check_that_is_left_to_the_views():
    protect = CSRFProtect()
    app = quart_app(protect=protect, WTF_CSRF_CHECK_DEFAULT=False)

    @app.post("/checked")
    async def checked():
        await protect.protect()
        return ""

    browser = Browser(app)
    assert browser.quart("/form", "POST").status == 200
    assert browser.quart("/checked", "POST").status == 400


def test_check_that_is_off():
    assert Browser(quart_app(protect=CSRFProtect(enabled=False))).quart("/form", "POST").status == 200
    assert Browser(quart_app(protect=CSRFProtect(), WTF_CSRF_ENABLED=False)).quart("/form", "POST").status == 200


def test_token_in_a_websocket(protected):
    token = protected.flask("/token").text
    assert protected.websocket("/ws/token", send=token) == "passed"
    assert protected.websocket("/ws/token", send="x") == "The CSRF token is invalid."


def test_token_is_made_with_the_extensions_own_key():
    key = "a-secret-of-the-forms-only"
    browser = Browser(quart_app(protect=CSRFProtect(secret=key)), flask_app(WTF_CSRF_SECRET_KEY=key))
    for path in ("/token", "/template"):
        token = browser.quart(path).text
        assert browser.flask("/form", "POST", data={"csrf_token": token}).text == "passed"
        assert browser.quart("/form", "POST", form={"csrf_token": token}).status == 200


def test_token_without_the_extension_is_made_by_the_config():
    browser = Browser(quart_app(WTF_CSRF_FIELD_NAME="token"), flask_app(WTF_CSRF_FIELD_NAME="token"))
    assert browser.quart("/who").value == [None, False, None]  # which is another extension's to say
    token = browser.quart("/token").text
    assert browser.flask("/form", "POST", data={"token": token}).text == "passed"


# Flashes


def test_messages_go_both_ways(browser):
    browser.flask("/flash/a")
    browser.quart("/flash/b")
    assert browser.quart("/messages").value == [["info", "a"], ["error", "b"]]
    assert browser.flask("/messages").value == []
    browser.flask("/flash/c")
    browser.quart("/flash/d")
    assert browser.flask("/messages").value == [["info", "c"], ["error", "d"]]
    assert browser.quart("/messages").value == []


# Settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoginManager(protection="Strong"), "protection is 'Strong'"),
        (lambda: LoginManager(trusted_proxies=-1), "trusted_proxies is -1"),
        (lambda: CSRFProtect(time_limit=0), "time_limit is 0"),
    ],
    ids=range(3),
)
def test_setting_that_cannot_work_is_refused_before_there_is_an_app(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_app_without_a_key_is_refused():
    app = Quart(__name__)
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        LoginManager(app).settings_of(app)
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        CSRFProtect(app).settings_of(app)


def test_one_manager_serves_several_apps():
    manager = LoginManager()
    apps = [quart_app(manager, REMEMBER_COOKIE_NAME=name) for name in ("a", "b")]
    assert [manager.settings_of(app).cookie_name for app in apps] == ["a", "b"]
