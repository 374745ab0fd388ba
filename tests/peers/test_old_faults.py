"""Faults of sessions that had advisories, each as a test that the releases with the fault fail.

``make old-faults`` installs those releases and shows it: there, SUBJECT=flask has the tests ask Flask in our place.
"""

import os
from hashlib import sha1

import pytest
from itsdangerous import BadSignature, URLSafeTimedSerializer

SECRET, FORMER = "the-current-secret-of-the-tests", "a-former-secret-of-the-tests"
SUBJECT = os.environ.get("SUBJECT", "ours")


def of_flask(view, cookies=None, **config):
    """Have *view* look at the session of a Flask app in one request; return its Set-Cookie and Vary headers."""
    from flask import Flask, session

    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET, **config)
    app.add_url_rule("/", "view", lambda: str(view(session)))
    headers = {} if cookies is None else {"Cookie": cookies}
    response = app.test_client(use_cookies=False).get("/", headers=headers)
    assert response.status_code == 200
    return response.headers.getlist("Set-Cookie"), response.headers.getlist("Vary")


def of_ours(view, cookies=None, **config):
    from driver import app_that, request, scope_for

    from asgi_flask_session import FlaskSessionASGI, Settings

    settings = Settings.from_mapping({"SECRET_KEY": SECRET, **config})
    headers = [] if cookies is None else [(b"cookie", cookies.encode("latin-1"))]
    exchange = request(FlaskSessionASGI(app_that(view), settings=settings), scope=scope_for(headers=headers))
    return exchange.set_cookies, [value.decode() for value in exchange.all(b"vary")]


ask = {"ours": of_ours, "flask": of_flask}[SUBJECT]


def serializer(secret=SECRET):
    signer = {"key_derivation": "hmac", "digest_method": sha1}
    return URLSafeTimedSerializer(secret, salt="cookie-session", signer_kwargs=signer)


def cookie(data):
    return f"session={serializer().dumps(data)}"


def test_cve_2023_30861_a_refreshed_session_varies_by_cookie():
    set_cookies, vary = ask(lambda session: "untouched", cookie({"_permanent": True, "user": "ada"}))
    assert len(set_cookies) == 1
    assert vary == ["Cookie"]


@pytest.mark.parametrize("read", [lambda session: "user" in session, len], ids=["in", "len"])
def test_cve_2026_27205_a_session_that_is_looked_at_varies_by_cookie(read):
    assert ask(read, cookie({"user": "ada"})) == ([], ["Cookie"])


def test_cve_2025_47278_a_new_cookie_is_signed_with_the_current_key():
    def write(session):
        session["user"] = "ada"

    [line], _ = ask(write, SECRET_KEY_FALLBACKS=[FORMER])
    value = line.partition("=")[2].partition(";")[0]
    assert serializer().loads(value) == {"user": "ada"}
    with pytest.raises(BadSignature):
        serializer(FORMER).loads(value)


def test_cve_2023_23934_a_cookie_without_a_name_has_none():
    planted = cookie({"user": "mallory"})
    seen = []
    ask(lambda session: seen.append(dict(session)), f"={planted}")
    assert seen == [{}]
