"""Flask-Login as the oracle: the same request says the same of who is logged in, and leaves the same behind."""

import hmac
import json
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import parse_qs, urlsplit

import pytest
from driver import NOW, SECRET
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session import Session, Settings
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.login import (
    LoginSettings,
    confirm_login,
    current_login,
    login_url,
    login_user,
    logout_user,
    refresh_remember_cookie,
)
from asgi_flask_session.session import plain

from .flask_side import flask, value_of
from .sessions import examples

flask_login = pytest.importorskip("flask_login")

from flask_login import login_manager as flask_login_manager  # noqa: E402
from flask_login.utils import _create_identifier, encode_cookie  # noqa: E402
from werkzeug.test import create_environ, run_wsgi_app  # noqa: E402
from werkzeug.urls import iri_to_uri  # noqa: E402

OLD_SECRET = "a-former-secret-of-the-tests"
MODES = [None, "basic", "strong"]


class Frozen(datetime):
    @classmethod
    def utcnow(cls):
        return datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(flask_login_manager, "datetime", Frozen)


class User(flask_login.UserMixin):
    def __init__(self, user_id):
        self.id = user_id

    def get_id(self):
        return self.id


class TheirSide:
    """A Flask app with Flask-Login, which does what each request asks for."""

    def __init__(self, secret=SECRET, *, protection="basic", **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": secret, "TESTING": True, "MAX_COOKIE_SIZE": 0, **config}
        self.manager = flask_login.LoginManager(self.app)
        self.manager.session_protection = protection
        self.manager.user_loader(User)
        self.app.add_url_rule("/", view_func=lambda: json.dumps(self.act()))
        self.cookie_name = config.get("REMEMBER_COOKIE_NAME", "remember_token")
        self.serializer = self.app.session_interface.get_signing_serializer(self.app)

    def settings(self, **changes):
        return LoginSettings.from_flask(self.app, clock=lambda: NOW, **changes)

    def identifier(self, client):
        with self.app.request_context(environ_of(client)):
            return _create_identifier()

    def token(self, user_id, key=None):
        with self.app.app_context():
            return encode_cookie(user_id, key)

    def request(self, act, data, client, remember=None):
        """Return what *act* returned, the session that was left, and the line of the remember cookie."""
        self.act = act
        cookies = [f"session={self.serializer.dumps(data)}"] if data else []
        cookies += [] if remember is None else [f"{self.cookie_name}={remember}"]
        body, status, headers = run_wsgi_app(
            self.app, environ_of([*client, (b"cookie", "; ".join(cookies).encode("latin-1"))])
        )
        assert status == "200 OK"
        lines = headers.getlist("Set-Cookie")
        sessions = [line for line in lines if line.startswith("session=")]
        value = value_of(sessions[0]) if sessions else None
        left = data if value is None else self.serializer.loads(value) if value else {}
        remembers = [line for line in lines if not line.startswith("session=")]
        assert len(remembers) <= 1
        return json.loads(b"".join(body)), left, remembers[0] if remembers else None


def environ_of(client):
    environ = create_environ("/", "http://example.com")
    for name in ("HTTP_USER_AGENT", "REMOTE_ADDR"):
        environ.pop(name, None)
    for name, value in client:
        key = "REMOTE_ADDR" if name == b"peer" else f"HTTP_{name.decode().upper().replace('-', '_')}"
        environ[key] = value.decode("latin-1")
    return environ


def scope_of(client, remember=None, name="remember_token"):
    headers = [header for header in client if header[0] != b"peer"]
    if remember is not None:
        headers.append((b"cookie", f"session=whatever; {name}={remember}".encode("latin-1")))
    peer = dict(client).get(b"peer")
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "client": None if peer is None else (peer.decode("latin-1"), 50000),
        "headers": headers,
    }


PEER, UA = (b"peer", b"192.0.2.1"), (b"user-agent", b"Mozilla/5.0 (X11)")
CLIENTS = {
    "plain": [PEER, UA],
    "no User-Agent": [PEER],
    "empty User-Agent": [PEER, (b"user-agent", b"")],
    "User-Agent in latin-1": [PEER, (b"user-agent", b"caf\xe9 \xff")],
    "User-Agent in UTF-8": [PEER, (b"user-agent", "café".encode())],
    "User-Agent with quotes": [PEER, (b"user-agent", b"a'b\"c|d\\e\tf")],
    "IPv6": [(b"peer", b"2001:db8::1"), UA],
    "IPv4 in IPv6": [(b"peer", b"::ffff:192.0.2.1"), UA],
    "zone": [(b"peer", b"fe80::1%eth0"), UA],
    "unix socket": [(b"peer", b""), UA],
    "no peer": [UA],
}
FORWARDED = {
    "one": b"198.51.100.7",
    "with blanks": b" \t198.51.100.7 ",
    "with a port": b"198.51.100.7:443",
    "IPv6": b"[2001:DB8::7]",
    "no address": b"unknown",
    "latin-1": b"\xe9",
    "empty": b"",
}

RIGHT = object()  # the _id of the client itself
IDS = {"right": {"_id": RIGHT}, "wrong": {"_id": "0" * 128}, "no text": {"_id": 5}, "missing": {}}
SESSIONS = {
    "nothing": {},
    "csrf token": {"csrf_token": "0" * 40},
    "fresh": {"_user_id": "7", "_fresh": True},
    "stale": {"_user_id": "7", "_fresh": False},
    "freshness unknown": {"_user_id": "7"},
    "freshness 1": {"_user_id": "7", "_fresh": 1},
    "fresh, nobody": {"_fresh": True},
    "user None": {"_user_id": None, "_fresh": True},
    "user 7": {"_user_id": 7, "_fresh": True},
    "user empty": {"_user_id": "", "_fresh": True},
    "user with a bar": {"_user_id": "a|b", "_fresh": True},
    "user beyond ASCII": {"_user_id": "日本|é", "_fresh": True},
    "cleared": {"_remember": "clear"},
    "cleared, logged in": {"_user_id": "7", "_fresh": True, "_remember": "clear"},
    "to be set": {"_remember": "set"},
    "to be set, logged in": {"_user_id": "7", "_fresh": True, "_remember": "set", "_remember_seconds": 60.0},
    "next": {"_user_id": "7", "_fresh": True, "next": "/account", "n": 1},
}
SIDE = TheirSide()
REMEMBERS = {
    "none": None,
    "good": SIDE.token("8"),
    "with a bar": SIDE.token("a|b"),
    "quoted": f'"{SIDE.token("a b")}"',
    "forged": SIDE.token("8")[:-1] + "x",
    "upper case": SIDE.token("8").upper(),
    "rotated": SIDE.token("8", OLD_SECRET),
    "no bar": "8",
    "empty": "",
    "bar alone": "|",
    "user empty": SIDE.token(""),
}


def sessions_for(side, client, permanents=(None, True)):
    for (kind, data), (match, found), permanent in product(SESSIONS.items(), IDS.items(), permanents):
        ident = {name: side.identifier(client) if value is RIGHT else value for name, value in found.items()}
        lasting = {} if permanent is None else {"_permanent": permanent}
        yield f"{kind}, _id {match}, permanent {permanent}", {**data, **ident, **lasting}


def look():
    user = flask_login.current_user
    who = str(user.get_id()) if user.is_authenticated else None
    return [who, bool(flask_login.login_fresh())] if who is not None else [None, False]


def differences(side, client, settings, cookies=REMEMBERS):
    """Return the cases in which Flask-Login and ours do not say the same."""
    found = {}
    for (kind, data), (cookie, remember) in product(sessions_for(side, client), cookies.items()):
        theirs, _, _ = side.request(look, data, client, remember)
        scope, session = scope_of(client, remember), Session(data)
        ours = current_login(scope, session, settings)
        assert session.accessed
        assert not session.modified
        assert plain(session) == data
        if theirs != [ours.user_id, ours.fresh]:
            found[f"{kind}, cookie {cookie}"] = theirs, ours
    return found


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("mode", MODES)
def test_login_is_what_flask_login_says(mode, client):
    side = TheirSide(protection=mode)
    cookies = REMEMBERS if client in ("plain", "no peer") else {name: REMEMBERS[name] for name in ("none", "good")}
    assert differences(side, CLIENTS[client], side.settings(), cookies) == {}


@pytest.mark.parametrize("forwarded", FORWARDED)
@pytest.mark.parametrize("mode", MODES)
def test_login_behind_one_proxy_is_what_flask_login_says(mode, forwarded):
    side = TheirSide(protection=mode)
    client = [PEER, UA, (b"x-forwarded-for", FORWARDED[forwarded])]
    assert differences(side, client, side.settings(trusted_proxies=1), {"none": None}) == {}


def test_login_past_the_proxy_is_what_flask_login_says():
    side = TheirSide()
    assert differences(side, [PEER, UA], side.settings(trusted_proxies=1), {"none": None}) == {}


def test_address_that_the_client_sent_itself_is_believed_by_flask_login_only():
    forged = [PEER, UA, (b"x-forwarded-for", b"198.51.100.7, 203.0.113.9")]
    data = {"_user_id": "7", "_fresh": True, "_id": SIDE.identifier(forged)}
    assert SIDE.request(look, data, forged)[0] == ["7", True]
    for proxies in (0, 1):
        assert current_login(scope_of(forged), data, SIDE.settings(trusted_proxies=proxies)) == ("7", False, "session")
    assert current_login(scope_of(forged), data, SIDE.settings(trusted_proxies=2)) == ("7", True, "session")


@pytest.mark.parametrize("mode", [False, 0, "", True])
def test_other_modes_are_none_as_in_flask_login(mode):
    side = TheirSide(SESSION_PROTECTION=mode)
    assert side.settings().protection is None
    assert differences(side, CLIENTS["plain"], side.settings(), {"none": None}) == {}


def test_mode_of_the_config_counts_before_that_of_the_manager():
    assert TheirSide(protection="strong").settings().protection == "strong"
    assert TheirSide(protection="strong", SESSION_PROTECTION="basic").settings().protection == "basic"
    assert TheirSide(protection="basic", SESSION_PROTECTION=None).settings().protection is None


# Logging in and out: what is left in the session, and the line


CONFIGS = {
    "defaults": {},
    "all set": {
        "REMEMBER_COOKIE_NAME": "remember_me",
        "REMEMBER_COOKIE_DURATION": timedelta(days=7, seconds=1, microseconds=500_000),
        "REMEMBER_COOKIE_DOMAIN": ".example.com",
        "REMEMBER_COOKIE_PATH": "/käse/a b",
        "REMEMBER_COOKIE_SECURE": True,
        "REMEMBER_COOKIE_HTTPONLY": False,
        "REMEMBER_COOKIE_SAMESITE": "strict",
    },
    "seconds": {"REMEMBER_COOKIE_DURATION": 3600, "REMEMBER_COOKIE_SAMESITE": None, "REMEMBER_COOKIE_DOMAIN": None},
    "refreshing": {"REMEMBER_COOKIE_REFRESH_EACH_REQUEST": True},
}


ACTS = {
    "log in": (
        lambda: flask_login.login_user(User("9")),
        lambda scope, session, settings: login_user(scope, session, "9", settings),
    ),
    "log in, not fresh": (
        lambda: flask_login.login_user(User("9"), fresh=False),
        lambda scope, session, settings: login_user(scope, session, "9", settings, fresh=False),
    ),
    "log in, remember": (
        lambda: flask_login.login_user(User("9"), remember=True),
        lambda scope, session, settings: login_user(scope, session, "9", settings, remember=True),
    ),
    "log in, remember for a while": (
        lambda: flask_login.login_user(User("9"), remember=True, duration=timedelta(days=2, microseconds=5)),
        lambda scope, session, settings: login_user(
            scope, session, "9", settings, remember=True, duration=timedelta(days=2, microseconds=5)
        ),
    ),
    "log in, a while to be ignored": (
        lambda: flask_login.login_user(User("9"), duration=timedelta(days=2)),
        lambda scope, session, settings: login_user(scope, session, "9", settings, duration=timedelta(days=2)),
    ),
    "log out": (flask_login.logout_user, logout_user),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("act", ACTS)
def test_act_leaves_what_flask_login_leaves(act, mode, config):
    side = TheirSide(protection=mode, **CONFIGS[config])
    settings, client = side.settings(), CLIENTS["plain"]
    theirs, ours = ACTS[act]
    for (kind, data), remember in product(sessions_for(side, client, (None,)), [None, REMEMBERS["good"], ""]):
        _, left, line = side.request(lambda: theirs() and None, data, client, remember)
        session = Session(data)
        made = ours(scope_of(client, remember, side.cookie_name), session, settings)
        assert plain(session) == left, f"{kind}, {remember}"
        assert made == (line and line.encode("latin-1")), f"{kind}, {remember}"


@pytest.mark.parametrize("mode", MODES)
def test_confirming_leaves_what_flask_login_leaves(mode):
    side = TheirSide(protection=mode)
    settings, client = side.settings(), CLIENTS["plain"]

    def confirm():
        if flask_login.current_user.is_authenticated:  # as login_required asks
            flask_login.confirm_login()

    confirmed = 0
    for (kind, data), remember in product(sessions_for(side, client), [None, REMEMBERS["good"]]):
        _, left, _ = side.request(confirm, data, client, remember)
        session = Session(data)
        if current_login(scope_of(client, remember), data, settings):
            confirm_login(scope_of(client, remember), session, settings)
            session.pop("_remember", None)  # which Flask-Login sees to with each response
            assert plain(session) == left, f"{kind}, {remember}"
            confirmed += 1
        else:
            confirm_login(scope_of(client, remember), session, settings)
            assert not session.modified
    assert confirmed > 50


@pytest.mark.parametrize("refreshing", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_line_of_each_response_is_that_of_flask_login(mode, refreshing):
    side = TheirSide(protection=mode, REMEMBER_COOKIE_REFRESH_EACH_REQUEST=refreshing)
    settings, client, lines = side.settings(), CLIENTS["plain"], 0
    for (kind, data), remember in product(sessions_for(side, client), [None, REMEMBERS["good"]]):
        session, scope = Session(data), scope_of(client, remember)
        refused = mode == "strong" and data and not current_login(scope, data, settings)
        if "_remember" in data or refused or data.get("_user_id", "") is None:
            continue  # what is noted there is Flask's to do; and there is no user None
        _, _, line = side.request(look, data, client, remember)
        made = refresh_remember_cookie(scope, session, settings)
        assert made == (line and line.encode("latin-1")), f"{kind}, {remember}"
        assert not session.modified
        lines += made is not None
    assert (lines > 10) is refreshing


USER_IDS = [
    "8",
    "a|b",
    "a b",
    "é",
    "日本",
    'a"b',
    "a\\b",
    "a;b",
    "a,b",
    "\x00\x1f\x7f",
    "a\tb",
    "",
    "|",
    "{%}",
    "x" * 200,
]


@pytest.mark.parametrize("user_id", USER_IDS)
def test_remember_cookie_goes_both_ways(user_id):
    _, _, line = SIDE.request(
        lambda: flask_login.login_user(User(user_id), remember=True) and None, {}, CLIENTS["plain"]
    )
    made = login_user(scope_of(CLIENTS["plain"]), {}, user_id, SIDE.settings(), remember=True).decode("ascii")
    assert made == line
    sent = value_of(made)
    assert current_login(scope_of(CLIENTS["plain"], sent), {}, SIDE.settings()) == (user_id, False, "remember")
    assert SIDE.request(look, {}, CLIENTS["plain"], sent)[0] == [user_id, False]


@examples(200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_remember_cookie_of_any_user_is_spelled_as_flask_login_spells_it(user_id):
    made = login_user(scope_of(CLIENTS["plain"]), {}, user_id, SIDE.settings(), remember=True)
    with SIDE.app.test_request_context():
        response = flask.Response()
        response.set_cookie("remember_token", encode_cookie(user_id))
    assert made.partition(b"; Expires")[0].decode() == response.headers["Set-Cookie"].removesuffix("; Path=/")
    assert current_login(scope_of(CLIENTS["plain"], value_of(made.decode())), {}, SIDE.settings()).user_id == user_id


@pytest.mark.parametrize("secret", [b"\x00\xff-bytes-are-keys-as-well", "clé-de-seize-caractères", SECRET])
def test_secrets_of_every_kind_sign_alike(secret):
    side = TheirSide(secret)
    made = login_user(scope_of(CLIENTS["plain"]), {}, "8", side.settings(), remember=True).decode("ascii")
    assert value_of(made) == side.token("8")
    assert side.request(look, {}, CLIENTS["plain"], value_of(made))[0] == ["8", False]


def test_former_key_is_read_here_and_refused_there():
    side = TheirSide(SECRET_KEY_FALLBACKS=[OLD_SECRET])
    sent = side.token("8", OLD_SECRET)
    assert side.request(look, {}, CLIENTS["plain"], sent)[0] == [None, False]
    assert current_login(scope_of(CLIENTS["plain"], sent), {}, side.settings()) == ("8", False, "remember")
    line = login_user(scope_of(CLIENTS["plain"]), {}, "8", side.settings(), remember=True).decode("ascii")
    assert value_of(line) == side.token("8")


def test_login_of_ours_is_fresh_in_flask_and_a_logout_of_ours_ends_it():
    client = CLIENTS["User-Agent in latin-1"]
    session = Session()
    line = login_user(scope_of(client), session, "7", SIDE.settings(), remember=True).decode("ascii")
    theirs, left, _ = SIDE.request(look, plain(session), client, value_of(line))
    assert theirs == ["7", True]
    session = Session(left)
    assert logout_user(scope_of(client, value_of(line)), session, SIDE.settings()).startswith(
        b"remember_token=; Expires"
    )
    assert SIDE.request(look, plain(session), client)[0] == [None, False]


def test_whole_way_with_cookies_that_went_over_the_wire():
    """A login here, its session cookie signed here, both cookies read there."""
    client, signing = CLIENTS["plain"], ClientSide(Settings.from_flask(SIDE.app))
    session = signing.open(None, {})
    login_user(scope_of(client), session, "7", SIDE.settings())
    line = signing.write(session, signing.decide(session)).decode("ascii")
    SIDE.act = look
    body, _, _ = run_wsgi_app(SIDE.app, environ_of([*client, (b"cookie", line.partition(";")[0].encode())]))
    assert json.loads(b"".join(body)) == ["7", True]


def test_forged_cookies_are_nobody_and_no_error():
    """Flask-Login compares text, which fails for what is not ASCII; here it is only wrong."""
    digest = hmac.digest(SECRET.encode(), b"8", "sha512").hex()
    for forged in (
        f"8|{digest}é",
        "8|é",
        "8|" + "é" * 64,
        f"é8|{digest}",
        f"8|{digest}|",
        f"8|{digest[:-1]}",
        "\xff|\xff",
    ):
        assert current_login(scope_of(CLIENTS["plain"], forged), {}, SIDE.settings()) == (None, False, None)


# The way to the login page

PATHS = [
    ("/", b""),
    ("/account", b""),
    ("/account/", b"tab=2&x=%26&y=a+b"),
    ("/a b", b""),
    ("/a&b=c", b"next=/elsewhere"),
]
LOGIN_URLS = [
    "/login",
    "/login?tab=1&tab=2&empty=",
    "/login?next=/old",
    "http://example.com/login",
    "http://example.com:8000/login",
    "https://example.com/login",
    "https://accounts.example.org/login?lang=de#top",
    "//example.com/login",
]


@pytest.mark.parametrize(("path", "query"), PATHS)
@pytest.mark.parametrize("url", LOGIN_URLS)
@pytest.mark.parametrize("root", ["", "/shop"])
def test_way_to_the_login_page_is_that_of_flask_login(root, url, path, query):
    environ = create_environ(path, f"http://example.com{root}", query_string=query.decode("ascii"))
    with SIDE.app.request_context(environ):
        theirs = flask_login.utils.login_url(url, flask.request.url)
    scope = {"scheme": "http", "path": root + path, "root_path": root, "query_string": query}
    scope["headers"] = [(b"host", b"example.com")]
    assert login_url(scope, url) == theirs
    assert login_url({**scope, "path": path}, url) == theirs


@pytest.mark.parametrize(("path", "query"), [("/käse", b"x=%C3%A9"), ("/日本/a b", b""), ("/<b>'\"", b"\"<>'")])
def test_way_back_beyond_ascii_is_that_of_flask_login_as_a_browser_sends_it(path, query):
    with SIDE.app.request_context(create_environ(path, query_string=query.decode("ascii"))):
        theirs = flask_login.utils.login_url("/login", flask.request.url)
    scope = {"path": path, "query_string": query, "headers": [(b"host", b"localhost")]}
    back = [parse_qs(urlsplit(url).query)["next"] for url in (login_url(scope, "/login"), theirs)]
    assert back[0] == [iri_to_uri(url) for url in back[1]]
