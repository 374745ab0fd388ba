"""Who Flask-Login says is logged in. What Flask-Login itself does is asked of it in peers/test_flask_login.py."""

import hmac
from datetime import timedelta
from types import SimpleNamespace

import pytest
from driver import NOW, SECRET, scope_for
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session import Session, SessionNotLoaded, SessionWarning, SettingsError
from asgi_flask_session.lazy import unloaded
from asgi_flask_session.login import (
    Login,
    LoginSettings,
    confirm_login,
    current_login,
    login_url,
    login_user,
    logout_user,
    refresh_remember_cookie,
)

# Made by Flask-Login 0.6.3: of a browser named UA/1 at 127.0.0.1, and for user 8 with the tests' secret.
IDENTIFIER = (
    "7e4a4410d24f52db5539f7a81d352e80bfc858ccb9cbf27e8d5fa15bda758acf"
    "1401aad0d9c236cd24a6d429593a62b959a0bbb8b6399cbd1d85b75368e62f91"
)
TOKEN = (
    "8|8fc06af5588d4c59f496d8258ffb7583b3d9e5b74d60422e544680222959b465"
    "2cb391706b59c54dbaddb69896724d0c0dd65aa72ae39e1dc623842018265d6c"
)
CLIENT = ("127.0.0.1", 50000)
UA = (b"user-agent", b"UA/1")
SETTINGS = LoginSettings(SECRET, clock=lambda: NOW + 0.5)
NOBODY = Login(None, fresh=False, source=None)


def scope(*headers, remember=None, client=CLIENT, **more):
    return scope_for(remember, name="remember_token", headers=[UA, *headers], client=client, **more)


def settings(**changes):
    return LoginSettings(SECRET, **{"clock": lambda: NOW, **changes})


# Who is logged in

MINE, OTHERS = {"_id": IDENTIFIER}, {"_id": "0" * 128}
USER = {"_user_id": "7", "_fresh": True}

LOGINS = [
    # session, with a remember cookie of user 8; then what None, "basic" and "strong" say
    ({}, False, NOBODY, NOBODY, NOBODY),
    ({}, True, "8 remember", "8 remember", "8 remember"),
    ({"csrf_token": "x"}, True, "8 remember", "8 remember", NOBODY),
    ({"csrf_token": "x", **MINE}, True, "8 remember", "8 remember", "8 remember"),
    ({**USER, **MINE}, False, "7 fresh", "7 fresh", "7 fresh"),
    ({**USER, **OTHERS}, False, "7 fresh", "7 stale", NOBODY),
    ({**USER, **OTHERS}, True, "7 fresh", "7 stale", NOBODY),
    (USER, False, "7 fresh", "7 stale", NOBODY),
    ({**USER, **OTHERS, "_permanent": True}, False, "7 fresh", "7 stale", "7 stale"),
    ({**USER, **OTHERS, "_permanent": False}, False, "7 fresh", "7 stale", NOBODY),
    ({"_user_id": "7", **MINE}, False, "7 stale", "7 stale", "7 stale"),
    ({"_user_id": "7", "_fresh": False, **MINE}, True, "7 stale", "7 stale", "7 stale"),
    ({"_user_id": 7, "_fresh": True, **MINE}, False, "7 fresh", "7 fresh", "7 fresh"),
    ({"_user_id": None, **MINE}, False, NOBODY, NOBODY, NOBODY),
    ({"_user_id": None, **MINE}, True, "8 remember", "8 remember", "8 remember"),
    ({"_remember": "clear", **MINE}, True, NOBODY, NOBODY, NOBODY),
    ({"_remember": "set", **MINE}, True, "8 remember", "8 remember", "8 remember"),
]
SAID = {
    "7 fresh": Login("7", fresh=True, source="session"),
    "7 stale": Login("7", fresh=False, source="session"),
    "8 remember": Login("8", fresh=False, source="remember"),
    NOBODY: NOBODY,
}


@pytest.mark.parametrize(("data", "remembered", "none", "basic", "strong"), LOGINS)
def test_login(data, remembered, none, basic, strong):
    for mode, said in ((None, none), ("basic", basic), ("strong", strong)):
        session = Session(data)
        found = current_login(scope(remember=TOKEN if remembered else None), session, settings(protection=mode))
        assert (mode, found) == (mode, SAID[said])
        assert (session.accessed, session.modified) == (True, False)


def test_login_is_false_where_nobody_is():
    assert not NOBODY
    assert Login("")
    assert Login("7")


def test_login_in_a_plain_dict_and_a_websocket():
    found = current_login(scope(type="websocket"), {**USER, **MINE}, SETTINGS)
    assert found == ("7", True, "session")


def test_login_of_a_session_that_is_not_loaded_is_not_guessed():
    with pytest.raises(SessionNotLoaded):
        current_login(scope(remember=TOKEN), unloaded(Session), SETTINGS)


FORWARDED = [
    # trusted proxies, X-Forwarded-For, whose address counts
    (0, [b"127.0.0.1"], False),
    (1, [b"127.0.0.1"], True),
    (1, [b" 127.0.0.1\t"], True),
    (1, [b"203.0.113.9, 127.0.0.1"], True),
    (1, [b"203.0.113.66, 203.0.113.9, 127.0.0.1"], True),
    (1, [b"203.0.113.9", b"127.0.0.1"], True),
    (1, [b"127.0.0.1, 203.0.113.9"], False),
    (2, [b"127.0.0.1, 203.0.113.9"], True),
    (2, [b"203.0.113.66, 127.0.0.1,203.0.113.9"], True),
    (2, [b"127.0.0.1"], False),
    (1, [b""], False),
    (1, [b"127.0.0.1:443"], False),  # spelled as it came, as Flask-Login has it
    (1, [], False),
]


@pytest.mark.parametrize(("proxies", "fields", "is_fresh"), FORWARDED)
def test_login_behind_proxies(proxies, fields, is_fresh):
    headers = [(b"x-forwarded-for", field) for field in fields]
    through = scope(*headers, client=("10.0.0.1", 50000))
    assert current_login(through, {**USER, **MINE}, settings(trusted_proxies=proxies)).fresh is is_fresh


def test_login_past_the_proxies_is_bound_to_the_peer():
    assert current_login(scope(), {**USER, **MINE}, settings(trusted_proxies=2)).fresh


def test_user_agent_in_several_fields_is_joined_as_wsgi_servers_join_them():
    pieces = {**scope(), "headers": [(b"User-Agent", b"UA/1"), (b"user-agent", b"b")]}
    data = {}
    login_user({**scope(), "headers": [(b"user-agent", b"UA/1,b")]}, data, "7", SETTINGS)
    assert current_login(pieces, data, SETTINGS).fresh


@pytest.mark.parametrize("client", [None, (), [], (None, None), (b"127.0.0.1", 1), (2130706433, 1), ("\ud800", 1)])
def test_client_without_an_address_is_one_like_any_other(client):
    data = {}
    login_user(scope(client=client), data, "7", SETTINGS)
    assert current_login(scope(client=client), data, SETTINGS).fresh
    assert not current_login(scope(), data, SETTINGS).fresh


def test_client_without_a_user_agent_is_one_like_any_other():
    data, nameless = {}, {**scope(), "headers": []}
    login_user(nameless, data, "7", SETTINGS)
    assert current_login(nameless, data, SETTINGS).fresh
    assert not current_login(scope(), data, SETTINGS).fresh


def test_scope_without_headers_is_nobody():
    assert current_login({"type": "http"}, {}, SETTINGS) == NOBODY


# The remember cookie


def test_remember_cookie_is_that_of_flask_login():
    line = login_user(scope(), {}, "8", SETTINGS, remember=True)
    assert line == f"remember_token={TOKEN}; Expires=Wed, 13 Nov 2024 22:13:20 GMT; HttpOnly; Path=/".encode()


FORGED = [
    "", "|", "8", "8|", f"9{TOKEN[1:]}", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), TOKEN.replace("|", "||"), f"{TOKEN}|",
    f"é{TOKEN[1:]}", TOKEN[:-1] + "é", "\xff|\xff", '"', '"8', f"'{TOKEN}'", "|" * 10_000, "8|" + "0" * 128,
]  # fmt: skip


@pytest.mark.parametrize("value", FORGED, ids=range(len(FORGED)))
def test_forged_remember_cookie_is_nobody(value):
    assert current_login(scope(remember=value), {}, SETTINGS) == NOBODY


@given(st.binary(max_size=200))
def test_whatever_a_browser_sends_is_nobody(value):
    headers = [(b"cookie", b"remember_token=" + value), (b"user-agent", value), (b"x-forwarded-for", value)]
    assert current_login({**scope(), "headers": headers}, {}, settings(trusted_proxies=1)) == NOBODY


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_remember_cookie_of_any_user_comes_back(user_id):
    line = login_user(scope(), {}, user_id, SETTINGS, remember=True)
    value = line.partition(b"; Expires=")[0].partition(b"=")[2].decode("ascii")
    assert current_login(scope(remember=value), {}, SETTINGS) == (user_id, False, "remember")


def test_remember_cookie_of_a_user_that_is_no_text_is_no_error():
    signed = "\xff|" + hmac.digest(SECRET.encode(), b"\xff", "sha512").hex()
    assert current_login(scope(remember=signed), {}, SETTINGS) == ("\ufffd", False, "remember")


def test_remember_cookie_comes_in_any_piece_of_the_header():
    headers = [(b"cookie", b"a=1"), (b"cookie", f"remember_token={TOKEN}".encode())]
    assert current_login({**scope(), "headers": headers}, {}, SETTINGS).user_id == "8"


def test_former_keys_are_read_and_the_current_one_signs():
    rotated = LoginSettings(
        "the-key-after-this-one", secret_fallbacks=[b"another-former-key", SECRET], clock=lambda: NOW
    )
    assert current_login(scope(remember=TOKEN), {}, rotated).user_id == "8"
    line = login_user(scope(), {}, "8", rotated, remember=True)
    value = line.partition(b";")[0].partition(b"=")[2].decode("ascii")
    assert value != TOKEN
    assert current_login(scope(remember=value), {}, rotated).user_id == "8"
    assert current_login(scope(remember=value), {}, SETTINGS) == NOBODY
    assert current_login(scope(remember=TOKEN), {}, LoginSettings("the-key-after-this-one")) == NOBODY


def test_secret_that_flask_login_cannot_sign_with_reads_nobody_and_remembers_nobody():
    beyond = LoginSettings("секрет-из-шестнадцати-букв")
    assert current_login(scope(remember=TOKEN), {}, beyond) == NOBODY
    assert login_user(scope(), {}, "8", beyond) is None
    session = {}
    with pytest.raises(SettingsError, match="latin-1"):
        login_user(scope(), session, "8", beyond, remember=True)
    assert session == {}
    with pytest.raises(SettingsError, match="latin-1"):
        LoginSettings(beyond.secret, refresh_each_request=True)
    fallback = settings(secret_fallbacks=["секрет-из-шестнадцати-букв"])
    assert current_login(scope(remember=TOKEN), {}, fallback).user_id == "8"


# Logging in and out


def test_log_in():
    session = Session()
    assert login_user(scope(), session, "7", SETTINGS) is None
    assert session == {"_user_id": "7", "_fresh": True, "_id": IDENTIFIER}
    assert session.modified
    assert current_login(scope(), session, settings(protection="strong")) == ("7", True, "session")


def test_log_in_not_fresh():
    session = {}
    login_user(scope(), session, "7", SETTINGS, fresh=False)
    assert session["_fresh"] is False


def test_log_in_by_a_number_is_by_its_text():
    session = {}
    login_user(scope(), session, 7, SETTINGS)
    assert session["_user_id"] == "7"


def test_log_in_of_nobody_is_refused():
    with pytest.raises(TypeError, match="user_id is None"):
        login_user(scope(), {}, None, SETTINGS)


@pytest.mark.parametrize("duration", [timedelta(minutes=1), 60, 60.0])
def test_log_in_remembered_for_a_while(duration):
    session = {}
    line = login_user(scope(), session, "8", SETTINGS, remember=True, duration=duration)
    assert session["_remember_seconds"] == 60
    assert "_remember" not in session
    assert b"; Expires=Tue, 14 Nov 2023 22:14:20 GMT;" in line


@pytest.mark.parametrize("duration", [0, -1, timedelta(0), "60", True, timedelta.max])
def test_duration_that_is_none_is_refused_before_anything_is_written(duration):
    session = {}
    with pytest.raises(SettingsError, match="duration is"):
        login_user(scope(), session, "8", SETTINGS, remember=True, duration=duration)
    assert session == {}


LOGOUTS = [
    # session, with a remember cookie, what stays, whether the cookie is deleted
    ({**USER, **MINE}, False, {}, False),
    ({**USER, **MINE}, True, {}, True),
    (
        {**USER, **MINE, "n": 1, "next": "/a", "_permanent": True},
        False,
        {"n": 1, "next": "/a", "_permanent": True},
        False,
    ),
    ({**USER, **MINE, "_remember_seconds": 60.0}, False, {"_remember_seconds": 60.0}, False),
    ({**USER, **MINE, "_remember_seconds": 60.0}, True, {}, True),
    ({**USER, **MINE, "_remember": "set"}, False, {}, False),
    ({**USER, **MINE, "_remember": "clear"}, False, {}, True),
    ({}, False, {}, False),
    ({}, True, {}, True),
]


@pytest.mark.parametrize(("data", "remembered", "left", "deleted"), LOGOUTS)
def test_log_out(data, remembered, left, deleted):
    session = Session(data)
    line = logout_user(scope(remember="x" if remembered else None), session, SETTINGS)
    assert session == left
    assert session.modified is (data != left)
    deletion = b"remember_token=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"
    assert line == (deletion if deleted else None)


def test_log_out_of_a_session_that_strong_protection_refuses():
    data = {**USER, **OTHERS, "next": "/a", "_remember_seconds": 60.0, "n": 1}
    assert logout_user(scope(), data, settings(protection="strong")) is not None
    assert data == {"n": 1}


def test_nobody_is_logged_in_for_the_rest_of_a_request_that_logged_out():
    asked, session = scope(remember=TOKEN), Session({**USER, **MINE})
    logout_user(asked, session, SETTINGS)
    assert current_login(asked, session, SETTINGS) == NOBODY
    confirm_login(asked, session, SETTINGS)
    assert session == {}
    assert refresh_remember_cookie(asked, session, settings(refresh_each_request=True)) is None
    login_user(asked, session, "9", SETTINGS)
    assert current_login(asked, session, SETTINGS) == Login("9", fresh=True, source="session")


def test_what_a_websocket_does_to_the_remember_cookie_is_noted_for_flasks_next_response():
    connected, session = {**scope(remember=TOKEN), "type": "websocket"}, Session({**USER, **MINE})
    assert logout_user(connected, session, SETTINGS) is not None
    assert session == {"_remember": "clear"}
    assert current_login(scope(remember=TOKEN), session, SETTINGS) == NOBODY
    assert login_user(connected, session, "7", SETTINGS, remember=True) is not None
    assert session == {**USER, **MINE, "_remember": "set"}


@pytest.mark.parametrize("data", [{}, {**USER, **MINE}])
def test_websocket_without_a_remember_cookie_notes_nothing(data):
    session = Session(data)
    assert logout_user({**scope(), "type": "websocket"}, session, SETTINGS) is None
    assert session == {}


def test_confirming_a_login():
    session = Session({**USER, **OTHERS, "_fresh": False})
    confirm_login(scope(), session, SETTINGS)
    assert session == {**USER, **MINE}


def test_confirming_a_remembered_user_puts_the_user_into_the_session():
    session = Session()
    confirm_login(scope(remember=TOKEN), session, SETTINGS)
    assert session == {"_user_id": "8", "_fresh": True, **MINE}


@pytest.mark.parametrize("data", [{}, {"csrf_token": "x"}, {**USER, **OTHERS}])
def test_confirming_where_nobody_is_logged_in_does_nothing(data):
    session = Session(data)
    confirm_login(scope(), session, settings(protection="strong"))
    assert not session.modified


def test_remember_cookie_with_each_response():
    refreshing = settings(refresh_each_request=True)
    expires = b"; Expires=Wed, 13 Nov 2024 22:13:20 GMT; HttpOnly; Path=/"
    assert refresh_remember_cookie(scope(), {**USER, **MINE}, refreshing).endswith(expires)
    assert (
        refresh_remember_cookie(scope(remember=TOKEN), {}, refreshing) == f"remember_token={TOKEN}".encode() + expires
    )
    assert refresh_remember_cookie(scope(), {}, refreshing) is None
    assert refresh_remember_cookie(scope(), {**USER, **MINE}, SETTINGS) is None
    assert login_user(scope(), {}, "7", refreshing) is not None


# The way to the login page

WAYS = [
    ("/account", "", b"", "/login?next=%2Faccount"),
    ("/account", "", b"a=1&b=%20", "/login?next=%2Faccount%3Fa%3D1%26b%3D%2520"),
    ("/shop/account", "/shop", b"", "/login?next=%2Fshop%2Faccount"),
    ("/account", "/shop", b"", "/login?next=%2Fshop%2Faccount"),
    ("/shopping", "/shop", b"", "/login?next=%2Fshop%2Fshopping"),
    ("/a", "/X/", b"", "/login?next=%2FX%2Fa"),
    ("/Xmas", "", b"", "/login?next=%2FXmas"),
    ("/a:b@c", "", b"", "/login?next=%2Fa%3Ab%40c"),
    ("/käse%41", "", b"", "/login?next=%2Fk%25C3%25A4se%252541"),
    # never another host
    ("//evil.example/x", "", b"", "/login?next=%2Fevil.example%2Fx"),
    ("///evil.example", "", b"", "/login?next=%2Fevil.example"),
    ("/\\evil.example", "", b"", "/login?next=%2F%255Cevil.example"),
    ("/\t/evil.example", "", b"", "/login?next=%2F%2509%2Fevil.example"),
    ("", "", b"", "/login?next=%2F"),
    ("/\ud800", "", b"\xff", "/login?next=%2F%253F%3F%25FF"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "root", "query", "url"), WAYS)
def test_way_to_the_login_page(path, root, query, url):
    assert login_url(scope_for(path=path, query_string=query) | {"root_path": root}, "/login") == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/login?lang=de", "/login?lang=de&next=%2Fa"),
        ("/login?next=/b", "/login?next=%2Fa"),
        ("/login?lang=", "/login?lang=&next=%2Fa"),
        ("http://example.com/login", "http://example.com/login?next=%2Fa"),
        ("https://example.com/login", "https://example.com/login?next=http%3A%2F%2Fexample.com%2Fa"),
        ("http://id.example.org/login", "http://id.example.org/login?next=http%3A%2F%2Fexample.com%2Fa"),
        ("https://id.example.org/login#form", "https://id.example.org/login?next=http%3A%2F%2Fexample.com%2Fa#form"),
    ],
)
def test_way_to_a_login_page_elsewhere(url, expected):
    here = scope_for(path="/a", headers=[(b"host", b"example.com")])
    assert login_url(here, url) == expected
    assert login_url({**here, "scheme": "http"}, url) == expected
    assert login_url({**here, "type": "websocket", "scheme": "ws"}, url) == expected


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_way_to_a_login_page_from_https(scheme):
    here = scope_for(path="/a", headers=[(b"host", b"example.com")], scheme=scheme)
    assert login_url(here, "https://example.com/login") == "https://example.com/login?next=%2Fa"
    back = login_url(here, "https://id.example.org/login").partition("?next=")[2]
    assert back == "https%3A%2F%2Fexample.com%2Fa"


@pytest.mark.parametrize("headers", [[], [(b"host", b"")]])
def test_way_back_is_a_path_where_the_request_names_no_host(headers):
    back = login_url(scope_for(path="/a", headers=headers), "http://id.example.org/login").partition("?next=")[2]
    assert back == "%2Fa"


# Settings

REFUSED = [
    ({"secret": None}, "secret is a NoneType"),
    ({"secret": " "}, "secret is empty"),
    ({"secret_fallbacks": "key"}, "secret_fallbacks is one string"),
    ({"secret_fallbacks": [None]}, "secret_fallbacks is a NoneType"),
    ({"protection": "Strong"}, "protection is 'Strong': write 'basic', 'strong' or None"),
    ({"protection": True}, "protection is True"),
    ({"protection": []}, "protection is"),
    ({"trusted_proxies": -1}, "trusted_proxies is -1"),
    ({"trusted_proxies": True}, "trusted_proxies is True"),
    ({"trusted_proxies": "1"}, "trusted_proxies is '1'"),
    ({"cookie_name": "a b"}, "cookie_name is 'a b'"),
    ({"cookie_path": None}, "cookie_path is None"),
    ({"cookie_domain": "a b"}, "cookie_domain is 'a b'"),
    ({"cookie_samesite": "lux"}, "cookie_samesite is 'lux'"),
    ({"cookie_samesite": "None"}, "needs cookie_secure=True"),
    ({"cookie_name": "__Host-me"}, "needs cookie_secure=True"),
    ({"cookie_secure": 1}, "cookie_secure is 1: write True or False"),
    ({"refresh_each_request": "yes"}, "refresh_each_request is 'yes'"),
    ({"cookie_duration": 0}, "cookie_duration is 0"),
    ({"cookie_duration": "365"}, "cookie_duration is '365'"),
    ({"cookie_duration": timedelta.max}, "at most"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_setting_that_cannot_work_is_refused(given, message):
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        LoginSettings(**{"secret": SECRET, **given})


def test_sample_secret_is_warned_of():
    with pytest.warns(SessionWarning, match="well-known sample"):
        LoginSettings("secret")


def test_settings_are_kept_in_one_form():
    kept = LoginSettings(SECRET, secret_fallbacks=iter(["b" * 20]), cookie_duration=60, cookie_samesite="lax")
    assert kept == LoginSettings(
        SECRET, secret_fallbacks=("b" * 20,), cookie_duration=timedelta(minutes=1), cookie_samesite="Lax"
    )
    assert hash(kept) is not None
    assert kept.cookie_duration == timedelta(minutes=1)
    assert kept.secret_fallbacks == ("b" * 20,)


def test_settings_show_no_secret():
    shown = repr(LoginSettings(SECRET, secret_fallbacks=["another-former-key"]))
    assert shown.startswith("LoginSettings(protection='basic', ")
    assert SECRET not in shown
    assert "another" not in shown


def test_names_of_the_config():
    config = {
        "SECRET_KEY": SECRET,
        "SECRET_KEY_FALLBACKS": ["another-former-key"],
        "SESSION_PROTECTION": "strong",
        "REMEMBER_COOKIE_NAME": "remember_me",
        "REMEMBER_COOKIE_DURATION": 60,
        "REMEMBER_COOKIE_DOMAIN": "example.com",
        "REMEMBER_COOKIE_PATH": "/shop",
        "REMEMBER_COOKIE_SECURE": 1,
        "REMEMBER_COOKIE_HTTPONLY": 0,
        "REMEMBER_COOKIE_SAMESITE": "strict",
        "REMEMBER_COOKIE_REFRESH_EACH_REQUEST": True,
    }
    assert LoginSettings.from_mapping(config, trusted_proxies=1) == LoginSettings(
        SECRET, secret_fallbacks=["another-former-key"], protection="strong", cookie_name="remember_me",
        cookie_duration=60, cookie_domain="example.com", cookie_path="/shop", cookie_secure=True,
        cookie_httponly=False, cookie_samesite="Strict", refresh_each_request=True, trusted_proxies=1,
    )  # fmt: skip


@pytest.mark.parametrize("nothing", [None, "", False])
def test_config_with_nothing_but_a_key_is_flask_logins_defaults(nothing):
    config = dict.fromkeys(("SECRET_KEY_FALLBACKS", "REMEMBER_COOKIE_DOMAIN", "REMEMBER_COOKIE_SAMESITE"), nothing)
    assert LoginSettings.from_mapping({"SECRET_KEY": SECRET, **config}) == LoginSettings(SECRET)


@pytest.mark.parametrize(
    ("mode", "protection"), [(None, None), (False, None), (True, None), ("", None), ("basic", "basic")]
)
def test_protection_of_the_config(mode, protection):
    assert LoginSettings.from_mapping({"SECRET_KEY": SECRET, "SESSION_PROTECTION": mode}).protection == protection


def test_config_without_a_key_is_refused():
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        LoginSettings.from_mapping({"SECRET_KEY": None})


def test_protection_of_the_login_manager():
    app = SimpleNamespace(config={"SECRET_KEY": SECRET}, login_manager=SimpleNamespace(session_protection="strong"))
    assert LoginSettings.from_flask(app).protection == "strong"
    assert LoginSettings.from_flask(app, protection=None).protection is None
    app.config["SESSION_PROTECTION"] = None
    assert LoginSettings.from_flask(app).protection is None
    assert LoginSettings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET})).protection == "basic"


@pytest.mark.parametrize("name", ["__Host-me", "__Secure-me", "__SECURE-me"])
def test_cookie_whose_name_wants_secure_is_deleted_with_it(name):
    prefixed = settings(cookie_name=name, cookie_secure=True, cookie_samesite="Lax")
    headers = [(b"cookie", f"{name}=x".encode())]
    line = logout_user({**scope(), "headers": headers}, {}, prefixed)
    assert line == f"{name}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Secure; Path=/".encode()
