"""Flask-WTF's CSRF token. What Flask-WTF itself accepts is asked of it in peers/test_flask_wtf.py."""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from driver import NOW, SECRET, scope_for
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from asgi_flask_session import Session, SessionWarning, SettingsError
from asgi_flask_session.csrf import CSRFSettings, check_csrf, generate_csrf, validate_csrf
from asgi_flask_session.errors import CSRFError

# Made by Flask-WTF 1.3.0 with the tests' secret, at that time.
RAW = "0" * 40
TOKEN = ".eJxTMiASKAEApyAHxQ.ZVPxAA.y7N3w6K9pjtskQ8QXDPQfxUGsi0"
DATA = {"csrf_token": RAW}


def settings(secret=SECRET, *, now=NOW, **changes):
    return CSRFSettings(secret, clock=lambda: now, **changes)


def reason(check, *args):
    with pytest.raises(CSRFError) as raised:
        check(*args)
    assert str(raised.value) == raised.value.reason
    return raised.value.reason


def validated(token, data=DATA, **more):
    return reason(validate_csrf, data, token, settings(**more))


def request(*headers, method="POST", **more):
    return {**scope_for(headers=list(headers), **more), "method": method}


MISSING, NO_SESSION = "The CSRF token is missing.", "The CSRF session token is missing."
EXPIRED, INVALID, OTHER = "The CSRF token has expired.", "The CSRF token is invalid.", "The CSRF tokens do not match."
NO_REFERRER, REFERRER = "The referrer header is missing.", "The referrer does not match the host."


def test_token_is_that_of_flask_wtf():
    session = Session(DATA)
    assert generate_csrf(session, settings()) == TOKEN
    assert not session.modified
    assert session.accessed


def test_first_token_is_put_into_the_session():
    session = Session()
    token = generate_csrf(session, settings())
    assert session.modified
    assert set(session) == {"csrf_token"}
    assert len(session["csrf_token"]) == 40
    assert int(session["csrf_token"], 16)
    assert generate_csrf(session, settings()) == token
    validate_csrf(session, token, settings())


def test_raw_tokens_differ():
    sessions = [{}, {}]
    for session in sessions:
        generate_csrf(session, settings())
    assert sessions[0] != sessions[1]


@given(st.text())
def test_token_of_any_raw_one_comes_back(raw):
    data = {"csrf_token": raw}
    validate_csrf(data, generate_csrf(data, settings()), settings())


@pytest.mark.parametrize("token", [None, "", []])
def test_no_token(token):
    assert validated(token) == MISSING
    assert validated(token, {}) == MISSING


@pytest.mark.parametrize("data", [{}, {"n": 1}, {"csrf_token": None}])
def test_session_without_a_token(data):
    assert validated(TOKEN, data) == NO_SESSION


@pytest.mark.parametrize(
    "token", ["x", "...", TOKEN + "0", TOKEN[:-1], "é", "\ud800", 5, True, ["x"], {"x": 1}, object()]
)
def test_what_is_no_token(token):
    assert validated(token) == INVALID


@given(st.text(min_size=1) | st.binary(min_size=1))
def test_whatever_comes_is_no_token(token):
    assert validated(token) == INVALID


@pytest.mark.parametrize("raw", ["another", "", RAW[:-1], 0, None, [RAW], {"csrf_token": RAW}, "\ud800"])
def test_token_of_another_session(raw):
    signer = URLSafeTimedSerializer(
        SECRET,
        salt="wtf-csrf-token",
        signer=settings()._serializer.signer,
        serializer_kwargs={"ensure_ascii": True},
    )
    assert validated(signer.dumps(raw)) == OTHER


@pytest.mark.parametrize("raw", [0, b"raw", [RAW], {"a": 1}, "\ud800"])
def test_session_whose_token_is_no_text(raw):
    assert validated(TOKEN, {"csrf_token": raw}) == OTHER


AGES = [
    (3600, 3600, True),
    (3600, 3601, False),
    (3600, -1, False),
    (timedelta(minutes=1), 60, True),
    (timedelta(minutes=1), 61, False),
    (1.5, 1, True),
    (1.5, 2, False),
    (None, 10**8, True),
    (None, -10_000, True),
]


@pytest.mark.parametrize(("limit", "age", "passes"), AGES)
def test_age_of_a_token(limit, age, passes):
    if passes:
        validate_csrf(DATA, TOKEN, settings(now=NOW + age, time_limit=limit))
    else:
        assert validated(TOKEN, now=NOW + age, time_limit=limit) == EXPIRED


def test_former_keys_are_accepted_and_the_current_one_signs():
    rotated = settings("the-key-after-this-one", secret_fallbacks=[b"another-former-key", SECRET])
    validate_csrf(DATA, TOKEN, rotated)
    token = generate_csrf(dict(DATA), rotated)
    assert token != TOKEN
    validate_csrf(DATA, token, rotated)
    assert validated(token) == INVALID
    assert reason(validate_csrf, DATA, TOKEN, settings("the-key-after-this-one")) == INVALID


# A request

HEADER = (b"x-csrftoken", TOKEN.encode())
PASSING = [
    (request(), {"csrf_token": TOKEN}),
    (request(), {"name": "ada", "login-csrf_token": TOKEN}),
    (request(HEADER), None),
    (request(HEADER), {}),
    (request((b"X-CSRF-Token", TOKEN.encode())), None),
    (request(method="GET"), None),
    (request(method="HEAD"), None),
    (request(method="OPTIONS"), None),
    (scope_for(type="websocket") | {"method": None}, None),
    ({"type": "websocket", "path": "/", "headers": []}, None),
]


@pytest.mark.parametrize(("scope", "form"), PASSING, ids=range(len(PASSING)))
def test_request_that_passes(scope, form):
    session = Session(DATA)
    check_csrf(scope, session, form, settings())
    assert not session.modified


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "Patch"])
@pytest.mark.parametrize("form", [None, {}, {"name": "ada"}, {"csrf_token": ""}, {"csrf_token_": TOKEN}])
def test_request_without_a_token(method, form):
    assert reason(check_csrf, request(method=method), DATA, form, settings()) == MISSING


def test_token_in_another_place():
    elsewhere = settings(field_name="token", headers=["X-Token"], methods=["report"])
    data = {"token": RAW}
    assert reason(check_csrf, request(HEADER, method="REPORT"), data, {"csrf": TOKEN}, elsewhere) == MISSING
    check_csrf(request(method="REPORT"), data, {"token": TOKEN}, elsewhere)
    check_csrf(request((b"x-token", TOKEN.encode()), method="REPORT"), data, None, elsewhere)
    check_csrf(request(), data, None, elsewhere)


def test_check_that_is_off_passes_everything():
    check_csrf(request(), {}, None, settings(enabled=False))


HOST = (b"host", b"example.com")
REFERRERS = [
    ([HOST], None, NO_REFERRER),
    ([HOST], b"", NO_REFERRER),
    ([HOST], b"https://example.com/a", None),
    ([(b"host", b"example.com:443")], b"https://example.com/a", None),
    ([(b"host", b"example.com:8443")], b"https://example.com/a", REFERRER),
    ([HOST], b"http://example.com/a", REFERRER),
    ([HOST], b"https://example.com@evil.example/", REFERRER),
    ([HOST], b"https://evil.example/", REFERRER),
    ([HOST], b"\xff", REFERRER),
    # what Werkzeug would fail to read
    ([HOST], b"https://example.com:99999/", REFERRER),
    ([HOST], b"https://example.com:x/", REFERRER),
    ([HOST], b"https://[::1/", REFERRER),
    ([(b"host", b"[::1")], b"https://[::1/", REFERRER),
    ([(b"host", b"")], b"https:///a", REFERRER),
    ([(b"host", b"x:99999")], b"https://x:99999/", REFERRER),
    # of the server, where there is no such header
    ([], b"https://127.0.0.1:8443/", None),
    ([], b"https://127.0.0.1/", REFERRER),
]


@pytest.mark.parametrize(("headers", "referrer", "said"), REFERRERS)
def test_referrer_on_https(headers, referrer, said):
    sent = [HEADER, *headers, *([] if referrer is None else [(b"referer", referrer)])]
    scope = request(*sent, scheme="https", server=("127.0.0.1", 8443))
    if said is None:
        check_csrf(scope, DATA, None, settings())
    else:
        assert reason(check_csrf, scope, DATA, None, settings()) == said
    check_csrf(scope, DATA, None, settings(ssl_strict=False))
    check_csrf({**scope, "scheme": "http"}, DATA, None, settings())


@pytest.mark.parametrize(("server", "referrer", "passes"), [
    (None, b"https:///", False),
    (("/run/app.sock", None), b"https:///run/app.sock", False),
    (("::1", 8443), b"https://[::1]:8443/", True),
    (["::1", 443], b"https://[::1]/", True),
])  # fmt: skip
def test_server_in_place_of_a_host(server, referrer, passes):
    scope = request(HEADER, (b"referer", referrer), scheme="https", server=server)
    if passes:
        check_csrf(scope, DATA, None, settings())
    else:
        assert reason(check_csrf, scope, DATA, None, settings()) == REFERRER


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_the_headers_are_they_are_refused_and_no_error(referrer, host, token):
    headers = [(b"referer", referrer), (b"host", host + b"."), (b"x-csrftoken", token)]
    scope = request(*headers, scheme="https")
    assert reason(check_csrf, scope, DATA, None, settings()) in (MISSING, INVALID)
    scope = request((b"x-csrftoken", TOKEN.encode()), *headers[:2], scheme="https")
    assert reason(check_csrf, scope, DATA, None, settings()) in (NO_REFERRER, REFERRER)


# Settings

REFUSED = [
    ({"secret": None}, "secret is a NoneType"),
    ({"secret": b""}, "secret is empty"),
    ({"secret_fallbacks": "key"}, "secret_fallbacks is one string"),
    ({"time_limit": 0}, "time_limit is 0"),
    ({"time_limit": "3600"}, "time_limit is '3600'"),
    ({"field_name": ""}, "field_name is ''"),
    ({"field_name": None}, "field_name is None"),
    ({"headers": "X-Token"}, "headers is 'X-Token': write a list of names, such as ['X-CSRFToken']"),
    ({"headers": [None]}, "headers is"),
    ({"headers": 5}, "headers is 5"),
    ({"methods": "POST"}, "methods is 'POST': write a list of names, such as ['POST']"),
    ({"ssl_strict": 1}, "ssl_strict is 1"),
    ({"enabled": None}, "enabled is None"),
    ({"check_default": "no"}, "check_default is 'no'"),
]


@pytest.mark.parametrize(("given_", "message"), REFUSED)
def test_setting_that_cannot_work_is_refused(given_, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        CSRFSettings(**{"secret": SECRET, **given_})


def test_sample_secret_is_warned_of():
    with pytest.warns(SessionWarning, match="well-known sample"):
        CSRFSettings("secret")


def test_settings_show_no_secret():
    shown = repr(CSRFSettings(SECRET, secret_fallbacks=["another-former-key"]))
    assert shown.startswith("CSRFSettings(time_limit=")
    assert SECRET not in shown
    assert "another" not in shown


def test_names_of_the_config():
    config = {
        "SECRET_KEY": SECRET,
        "SECRET_KEY_FALLBACKS": ["another-former-key"],
        "WTF_CSRF_TIME_LIMIT": 60,
        "WTF_CSRF_FIELD_NAME": "token",
        "WTF_CSRF_HEADERS": ["X-Token"],
        "WTF_CSRF_METHODS": {"POST"},
        "WTF_CSRF_SSL_STRICT": 0,
        "WTF_CSRF_ENABLED": 1,
        "WTF_CSRF_CHECK_DEFAULT": False,
    }
    expected = CSRFSettings(
        SECRET, secret_fallbacks=["another-former-key"], time_limit=timedelta(minutes=1), field_name="token",
        headers=("X-Token",), methods=["post"], ssl_strict=False, enabled=True, check_default=False,
    )  # fmt: skip
    assert CSRFSettings.from_mapping(config) == CSRFSettings.from_flask(SimpleNamespace(config=config)) == expected
    assert hash(expected) is not None


def test_key_of_its_own_has_no_fallbacks_of_another():
    config = {"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": ["another-former-key"], "WTF_CSRF_SECRET_KEY": "b" * 20}
    assert CSRFSettings.from_mapping(config) == CSRFSettings("b" * 20)
    rotated = CSRFSettings.from_mapping(config, secret_fallbacks=["c" * 20])
    assert rotated.secret_fallbacks == ("c" * 20,)


@pytest.mark.parametrize("config", [{}, {"SECRET_KEY": None}, {"SECRET_KEY": "", "WTF_CSRF_SECRET_KEY": ""}])
def test_config_without_a_key_is_refused(config):
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        CSRFSettings.from_mapping(config)
