"""Flask-WTF as the oracle: a token of either side passes the other's check, and what one refuses the other does."""

import pytest
from driver import NOW, SECRET
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from asgi_flask_session import Session
from asgi_flask_session.csrf import CSRFSettings, check_csrf, generate_csrf, validate_csrf
from asgi_flask_session.errors import CSRFError
from asgi_flask_session.session import plain

from .flask_side import clock_at, flask, value_of
from .sessions import examples

flask_wtf = pytest.importorskip("flask_wtf")

from flask_wtf import csrf as theirs  # noqa: E402
from werkzeug.datastructures import ImmutableMultiDict  # noqa: E402
from werkzeug.test import EnvironBuilder, run_wsgi_app  # noqa: E402

OLD_SECRET = "a-former-secret-of-the-tests"
RAW = "0123456789" * 4


class TheirSide:
    """A Flask app with CSRFProtect."""

    def __init__(self, **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, **config}
        theirs.CSRFProtect(self.app)
        self.app.register_error_handler(theirs.CSRFError, lambda error: (error.description, 400))
        self.app.add_url_rule(
            "/", view_func=lambda: "passed", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "REPORT"]
        )
        self.app.add_url_rule("/token", view_func=theirs.generate_csrf)
        self.serializer = self.app.session_interface.get_signing_serializer(self.app)

    def settings(self, now=NOW, **changes):
        return CSRFSettings.from_flask(self.app, clock=lambda: now, **changes)

    def token(self, data, now=NOW):
        """Return a token, and the session with it."""
        with clock_at(now), self.app.test_client(use_cookies=False) as client:
            headers = {"Cookie": f"session={self.serializer.dumps(data)}"}
            response = client.get("/token", headers=headers)
            line = response.headers.get("Set-Cookie")
            return response.text, data if line is None else self.serializer.loads(value_of(line))

    def check(self, data, *, method="POST", url="http://example.com/", form=(), headers=(), now=NOW):
        """Return None for what passes, or the reason."""
        with clock_at(now):
            cookie = ("Cookie", f"session={self.serializer.dumps(data)}")
            builder = EnvironBuilder(base_url=url, method=method, data=dict(form) or None, headers=[*headers, cookie])
            body, status, _ = run_wsgi_app(self.app, builder.get_environ())
        text = b"".join(body).decode()
        assert status == "200 OK" or status.startswith("400"), text
        return text if status.startswith("400") else None


def check(settings, data, *, method="POST", url="http://example.com/", form=(), headers=()):
    scheme, _, rest = url.partition("://")
    sent = [
        (b"host", rest.partition("/")[0].encode()),
        *((k.lower().encode(), v.encode("latin-1")) for k, v in headers),
    ]
    scope = {"type": "http", "method": method, "scheme": scheme, "path": "/", "headers": sent}
    session = Session(data)
    try:
        check_csrf(scope, session, ImmutableMultiDict(form) if form else None, settings)
    except CSRFError as error:
        return error.reason
    finally:
        assert not session.modified
    return None


SIDE = TheirSide()
TOKEN = SIDE.token({"csrf_token": RAW})[0]
DATA = {"csrf_token": RAW}


def agree(side, data=DATA, *, now=NOW, **request):
    """Return what both sides say of a request."""
    said, ours = side.check(data, now=now, **request), check(side.settings(now), data, **request)
    assert ours == said
    return ours


MISSING, NO_SESSION = "The CSRF token is missing.", "The CSRF session token is missing."
EXPIRED, INVALID, OTHER = "The CSRF token has expired.", "The CSRF token is invalid.", "The CSRF tokens do not match."
NO_REFERRER, REFERRER = "The referrer header is missing.", "The referrer does not match the host."


def sign(raw, secret=SECRET, salt="wtf-csrf-token", now=NOW):
    with clock_at(now):
        return URLSafeTimedSerializer(secret, salt=salt).dumps(raw)


# Tokens


@pytest.mark.parametrize("data", [{}, {"csrf_token": RAW}, {"n": 1, "csrf_token": "x"}])
def test_tokens_of_both_are_made_alike(data):
    token, left = SIDE.token(data)
    session = Session(data)
    ours = generate_csrf(session, SIDE.settings())
    if "csrf_token" in data:
        assert ours == token
        assert not session.modified
    else:
        assert len(session["csrf_token"]) == len(left["csrf_token"]) == 40
        assert set(session) == set(left)
    assert SIDE.check(plain(session), form={"csrf_token": ours}) is None
    assert check(SIDE.settings(), left, form={"csrf_token": token}) is None


@examples(200)
@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=127), min_size=1), st.integers(1, 2**32))
def test_token_of_any_raw_one_is_spelled_alike(raw, now):
    assert generate_csrf({"csrf_token": raw}, SIDE.settings(now)) == sign(raw, now=now)


TOKENS = [
    (TOKEN, None),
    ("", MISSING),
    ("x", INVALID),
    (TOKEN + "0", INVALID),
    (TOKEN[:-1], INVALID),
    (" " + TOKEN, INVALID),
    ("é", INVALID),
    ("..", INVALID),
    (RAW, INVALID),
    (sign(RAW, OLD_SECRET), INVALID),
    (sign(RAW, salt="cookie-session"), INVALID),
    (sign("another"), OTHER),
    (sign(RAW[:-1]), OTHER),
    (sign(""), OTHER),
    (sign(RAW, now=NOW - 3600), None),
    (sign(RAW, now=NOW - 3601), EXPIRED),
    (sign(RAW, now=NOW + 1), EXPIRED),
    (sign("another", now=NOW - 3601), EXPIRED),
]


@pytest.mark.parametrize(("token", "reason"), TOKENS, ids=range(len(TOKENS)))
def test_token_in_the_form(token, reason):
    assert agree(SIDE, form={"csrf_token": token}) == reason


@pytest.mark.parametrize(("token", "reason"), [(TOKEN, NO_SESSION), ("", MISSING), ("x", NO_SESSION)])
def test_session_without_a_token(token, reason):
    assert agree(SIDE, {"n": 1}, form={"csrf_token": token}) == reason
    assert agree(SIDE, {}, form={"csrf_token": token}) == reason


FORMS = [
    ({"login-csrf_token": TOKEN}, None),
    ({"xcsrf_token": TOKEN}, None),
    ({"csrf_token": "", "a-csrf_token": "", "b-csrf_token": TOKEN}, None),
    ({"a-csrf_token": "x", "b-csrf_token": TOKEN}, INVALID),
    ({"csrf_token": "x", "a-csrf_token": TOKEN}, INVALID),
    ({"a-csrf_token": "x", "csrf_token": TOKEN}, None),
    ({"csrf_token_": TOKEN}, MISSING),
    ({"CSRF_TOKEN": TOKEN}, MISSING),
    ({"name": "ada"}, MISSING),
    ({}, MISSING),
]


@pytest.mark.parametrize(("form", "reason"), FORMS)
def test_field_of_the_form(form, reason):
    assert agree(SIDE, form=form) == reason


HEADERS = [
    ([("X-CSRFToken", TOKEN)], {}, None),
    ([("X-CSRF-Token", TOKEN)], {}, None),
    ([("x-csrftoken", TOKEN)], {}, None),
    ([("X-CSRFToken", ""), ("X-CSRF-Token", TOKEN)], {}, None),
    ([("X-CSRFToken", "x"), ("X-CSRF-Token", TOKEN)], {}, INVALID),
    ([("X-CSRFToken", TOKEN), ("X-CSRFToken", TOKEN)], {}, INVALID),
    ([("X-CSRFToken", "é")], {}, INVALID),
    ([("X-XSRF-Token", TOKEN)], {}, MISSING),
    ([("X-CSRFToken", TOKEN)], {"csrf_token": "x"}, INVALID),
    ([("X-CSRFToken", "x")], {"csrf_token": TOKEN}, None),
    ([("X-CSRFToken", TOKEN)], {"csrf_token": ""}, None),
    ([("X-CSRFToken", TOKEN)], {"name": "ada"}, None),
]


@pytest.mark.parametrize(("headers", "form", "reason"), HEADERS, ids=range(len(HEADERS)))
def test_header(headers, form, reason):
    assert agree(SIDE, headers=headers, form=form) == reason


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "REPORT"])
def test_method(method):
    assert agree(SIDE, method=method) == (MISSING if method in ("POST", "PUT", "PATCH", "DELETE") else None)


# The referrer

HTTPS = [
    (None, NO_REFERRER),
    ("", NO_REFERRER),
    ("https://example.com/", None),
    ("https://example.com/a/b?c#d", None),
    ("https://example.com", None),
    ("https://EXAMPLE.com/", None),
    ("https://user@example.com/", None),
    ("http://example.com/", REFERRER),
    ("https://example.com:443/", REFERRER),
    ("https://example.com:8443/", REFERRER),
    ("https://www.example.com/", REFERRER),
    ("https://example.com.evil.example/", REFERRER),
    ("https://evil.example/https://example.com/", REFERRER),
    ("https://evil.example/@example.com/", REFERRER),
    ("//example.com/", REFERRER),
    ("/account", REFERRER),
    ("example.com", REFERRER),
    ("null", REFERRER),
    ("https://", REFERRER),
]


@pytest.mark.parametrize(("referrer", "reason"), HTTPS)
def test_referrer_on_https(referrer, reason):
    headers = [("X-CSRFToken", TOKEN), *([] if referrer is None else [("Referer", referrer)])]
    assert agree(SIDE, url="https://example.com/", headers=headers) == reason
    assert agree(SIDE, url="http://example.com/", headers=headers) is None
    lax = TheirSide(WTF_CSRF_SSL_STRICT=False)
    assert agree(lax, url="https://example.com/", headers=headers) is None


@pytest.mark.parametrize(
    ("host", "referrer", "reason"),
    [
        ("example.com:443", "https://example.com/", None),
        ("example.com:8443", "https://example.com:8443/a", None),
        ("example.com:8443", "https://example.com/", REFERRER),
        ("EXAMPLE.com", "https://example.com/", None),
        ("[2001:db8::1]", "https://[2001:db8::1]/", None),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/", None),
        ("[2001:db8::1]", "https://[2001:db8::2]/", REFERRER),
    ],
)
def test_host_of_the_referrer(host, referrer, reason):
    headers = [("X-CSRFToken", TOKEN), ("Referer", referrer)]
    assert agree(SIDE, url=f"https://{host}/", headers=headers) == reason


def test_token_is_looked_at_before_the_referrer():
    assert agree(SIDE, url="https://example.com/") == MISSING


# The config

CONFIGS = [
    ({"WTF_CSRF_TIME_LIMIT": 60}, {"form": {"csrf_token": sign(RAW, now=NOW - 61)}}, EXPIRED),
    ({"WTF_CSRF_TIME_LIMIT": 60}, {"form": {"csrf_token": sign(RAW, now=NOW - 60)}}, None),
    ({"WTF_CSRF_TIME_LIMIT": None}, {"form": {"csrf_token": sign(RAW, now=1)}}, None),
    ({"WTF_CSRF_TIME_LIMIT": None}, {"form": {"csrf_token": sign(RAW, now=NOW + 10_000)}}, None),
    ({"WTF_CSRF_SECRET_KEY": "a-key-for-csrf-alone"}, {"form": {"csrf_token": TOKEN}}, INVALID),
    (
        {"WTF_CSRF_SECRET_KEY": "a-key-for-csrf-alone"},
        {"form": {"csrf_token": sign(RAW, "a-key-for-csrf-alone")}},
        None,
    ),
    (
        {"WTF_CSRF_SECRET_KEY": b"a-key-of-some-bytes"},
        {"form": {"csrf_token": sign(RAW, b"a-key-of-some-bytes")}},
        None,
    ),
    ({"WTF_CSRF_FIELD_NAME": "token"}, {"form": {"csrf_token": TOKEN}}, NO_SESSION),
    ({"WTF_CSRF_HEADERS": ["X-Token"]}, {"headers": [("X-CSRFToken", TOKEN)]}, MISSING),
    ({"WTF_CSRF_HEADERS": ["X-Token"]}, {"headers": [("X-Token", TOKEN)]}, None),
    ({"WTF_CSRF_HEADERS": ["X-€", "X-Token"]}, {"headers": [("X-Token", TOKEN)]}, None),
    ({"WTF_CSRF_HEADERS": []}, {"headers": [("X-CSRFToken", TOKEN)]}, MISSING),
    ({"WTF_CSRF_METHODS": ["REPORT"]}, {"method": "POST"}, None),
    ({"WTF_CSRF_METHODS": ["REPORT"]}, {"method": "REPORT"}, MISSING),
    ({"WTF_CSRF_METHODS": []}, {"method": "POST"}, None),
    ({"WTF_CSRF_ENABLED": False}, {"method": "POST"}, None),
]


@pytest.mark.parametrize(("config", "request_", "reason"), CONFIGS, ids=range(len(CONFIGS)))
def test_config(config, request_, reason):
    assert agree(TheirSide(**config), **request_) == reason


def test_field_of_another_name_is_that_of_the_session_too():
    side = TheirSide(WTF_CSRF_FIELD_NAME="token")
    token, left = side.token({})
    assert set(left) == {"token"}
    assert agree(side, left, form={"token": token}) is None
    session = {}
    ours = generate_csrf(session, side.settings())
    assert agree(side, session, form={"login-token": ours}) is None


def test_check_by_default_is_for_what_protects_a_whole_app():
    side = TheirSide(WTF_CSRF_CHECK_DEFAULT=False)
    assert side.check(DATA) is None
    assert side.settings().check_default is False
    assert check(side.settings(), DATA) == MISSING  # asked for by name, as CSRFProtect.protect() is


def test_former_key_passes_here_and_is_refused_there():
    side = TheirSide(SECRET_KEY_FALLBACKS=[OLD_SECRET])
    old = sign(RAW, OLD_SECRET)
    assert side.check(DATA, form={"csrf_token": old}) == INVALID
    assert check(side.settings(), DATA, form={"csrf_token": old}) is None
    assert generate_csrf(dict(DATA), side.settings()) == TOKEN


def test_raw_token_that_is_no_text_is_made_anew():
    """As Flask-WTF does with bytes; with other types it fails when it comes to compare them."""
    for raw in (b"0" * 40, None, 5, ["x"]):
        session = Session({"csrf_token": raw})
        token = generate_csrf(session, SIDE.settings())
        assert session["csrf_token"] != raw
        assert SIDE.check(plain(session), form={"csrf_token": token}) is None


def test_raw_token_beyond_ascii_passes_here():
    """Where Flask-WTF cannot compare it."""
    validate_csrf({"csrf_token": "é"}, sign("é"), SIDE.settings())


def test_form_of_flask_wtf_passes_with_our_token():
    from wtforms import StringField

    class Form(flask_wtf.FlaskForm):
        name = StringField()

    session = {}
    token = generate_csrf(session, SIDE.settings())
    with clock_at(NOW):
        headers = {"Cookie": f"session={SIDE.serializer.dumps(session)}"}
        for sent, passes in ((token, True), (token[:-1], False)):
            with SIDE.app.test_request_context(
                method="POST", data={"name": "ada", "csrf_token": sent}, headers=headers
            ):
                assert Form().validate_on_submit() is passes
        with SIDE.app.test_request_context(headers=headers):
            of_the_form = Form().csrf_token.current_token
    validate_csrf(session, of_the_form, SIDE.settings())
