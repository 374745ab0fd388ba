"""docs/troubleshooting.md: what the likely mistakes lead to is said in the words that stand there."""

import asyncio
import logging
import re
import time
from pathlib import Path
from secrets import token_hex

import pytest
from driver import SECRET, app_that, request
from missing import forget

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError
from asgi_flask_session.csrf import CSRFSettings, validate_csrf
from asgi_flask_session.doctor import examine_headers
from asgi_flask_session.errors import CSRFError
from asgi_flask_session.stores.base import open_store

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
SAYINGS = re.findall(r"^\| [^|]+ \| (?:\w+: )?(`.+?`(?: or `.+?`)*) \|", PAGE, re.MULTILINE)


def refused(make):
    with pytest.raises((SettingsError, ImportError)) as caught:
        make()
    return str(caught.value)


def cookie_of(data, secret=SECRET, **settings):
    line = request(FlaskSessionASGI(app_that(lambda session: session.update(data)), secret, **settings)).set_cookie
    return line.partition(";")[0].partition("=")[2]


def logged(caplog, cookie=None, handle=None, name="session", **settings):
    caplog.set_level(logging.DEBUG, "asgi_flask_session")
    app = FlaskSessionASGI(app_that(handle or (lambda session: None)), SECRET, **settings)
    request(app, cookie, name=name, run=asyncio.run)
    return caplog.text


def two_middlewares(caplog):
    class Theirs(dict):
        modified = False

    async def inside(scope, receive, send):
        scope["session"] = Theirs()
        await app_that(lambda session: None)(scope, receive, send)

    request(FlaskSessionASGI(inside, SECRET))
    return caplog.text


def too_late(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["session"]["n"] = 1
        await send({"type": "http.response.body", "body": b""})

    request(FlaskSessionASGI(app, SECRET))
    return caplog.text


def no_middleware(_):
    from starlette.requests import Request

    from asgi_flask_session.adapters.starlette import session_of

    return refused(lambda: session_of(Request({"type": "http", "headers": []})))


def no_session_for_a_form(_):
    with pytest.raises(CSRFError) as caught:
        validate_csrf({}, "a token", CSRFSettings(SECRET))
    return str(caught.value)


def without(*modules):
    def make(_):
        with pytest.MonkeyPatch.context() as patch:
            forget(patch, *modules)
            return refused(lambda: open_store("redis://localhost"))

    return make


NOW = time.time()
MISTAKES = {
    "no secret": lambda _: refused(lambda: Settings.from_mapping({})) + refused(Settings),
    "a misspelled setting": lambda _: refused(lambda: Settings(SECRET, cookie_nam="session")),
    "a missing extra": without("redis", "coredis"),
    "another secret": lambda caplog: logged(caplog, cookie_of({"a": 1}, "another secret, long enough")),
    "another name": lambda caplog: logged(caplog, cookie_of({"a": 1}, cookie_name="shop"), name="shop"),
    "another store": lambda caplog: logged(caplog, "a" * 43, store="memory:"),
    "a stale cookie": lambda caplog: logged(caplog, cookie_of({"a": 1}), clock=lambda: NOW + 32 * 24 * 3600),
    "Secure without https": lambda _: str(
        examine_headers(["session=x; Secure; HttpOnly"], ["Cookie"], "session", https=False)
    ),
    "too large a cookie": lambda caplog: logged(caplog, handle=lambda session: session.update(a=token_hex(4000))),
    "a form without its session": no_session_for_a_form,
    "too late": too_late,
    "two middlewares": two_middlewares,
    "two cookies": lambda _: str(examine_headers(["session=x", "session=y"], ["Cookie"], "session", https=False)),
    "no middleware": no_middleware,
}


@pytest.mark.parametrize(("mistake", "saying"), list(zip(MISTAKES.values(), SAYINGS, strict=True)), ids=MISTAKES)
def test_what_is_said_of(mistake, saying, caplog):
    said = mistake(caplog)
    for words in re.findall(r"`(.+?)`", saying):
        assert words in said


def test_at_its_default_the_logger_is_quiet_about_cookies(caplog):
    caplog.set_level(logging.INFO, "asgi_flask_session")
    request(FlaskSessionASGI(app_that(lambda session: None), SECRET), "x.y.z")
    assert caplog.records == []


def test_nothing_of_a_cookie_is_logged(caplog):
    cookie = cookie_of({"name": "a-stored-value"}, "another secret, long enough")
    said = logged(caplog, cookie)
    for part in cookie.split("."):
        assert part not in said
