"""Golden cookies: what Flask 0.12 to 3.1 wrote is read as Flask read it, and written back byte for byte."""

import json
from base64 import urlsafe_b64decode
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from driver import app_that, request
from markupsafe import Markup

from asgi_flask_session import FlaskSessionASGI

RELEASES = json.loads((Path(__file__).parents[1] / "vectors" / "flask-cookies.json").read_text())
VECTORS = [
    pytest.param(release["secret"], vector, id=f"{release['flask']}-{vector['case']}")
    for release in RELEASES
    for vector in release["vectors"]
]


TYPED = {
    dict: lambda value: {"dict": [[key, typed(item)] for key, item in value.items()]},
    list: lambda value: [typed(item) for item in value],
    tuple: lambda value: {"tuple": [typed(item) for item in value]},
    bytes: lambda value: {"bytes": value.hex()},
    UUID: lambda value: {"uuid": value.hex},
    datetime: lambda value: {"datetime": value.isoformat().removesuffix("+00:00")},
    Markup: lambda value: {"markup": str(value)},
}


def typed(value):
    """Return *value* as the typed JSON of the vectors, so that 1, 1.0 and True are three values."""
    return TYPED[type(value)](value) if type(value) in TYPED else value


def untyped(value):
    if isinstance(value, list):
        return [untyped(item) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    return {
        "dict": lambda: {key: untyped(item) for key, item in content},
        "tuple": lambda: tuple(map(untyped, content)),
        "bytes": lambda: bytes.fromhex(content),
        "uuid": lambda: UUID(content),
        "datetime": lambda: datetime.fromisoformat(content),  # naive, as some views set it
        "markup": lambda: Markup(content),
    }[kind]()


def cookie_of(vector):
    return vector["set_cookie"].partition(";")[0].removeprefix("session=")


def signed_at(cookie):
    return int.from_bytes(urlsafe_b64decode(cookie.split(".")[-2] + "=="), "big")


def exchange(secret, act, cookie=None, *, now):
    return request(FlaskSessionASGI(app_that(act), secret, clock=lambda: now), cookie)


def test_vectors_are_of_all_four_lines_of_flask():
    assert [release["flask"] for release in RELEASES] == ["0.12.5", "1.1.4", "2.3.3", "3.1.3"]
    assert len(VECTORS) == 67


@pytest.mark.parametrize(("secret", "vector"), VECTORS)
def test_golden_cookie_reads_as_flask_read_it(secret, vector):
    """R7: types and order of keys included."""
    seen = []
    cookie = cookie_of(vector)
    exchange(secret, lambda session: seen.append(dict(session)), cookie, now=signed_at(cookie))
    assert json.dumps(typed(seen[0])) == json.dumps(vector["session_read_back"])


@pytest.mark.parametrize(("secret", "vector"), VECTORS)
def test_golden_cookie_is_written_back_byte_for_byte(secret, vector):
    """W1: the whole value in the second it was made in, the payload in any other."""
    cookie = cookie_of(vector)
    now = signed_at(cookie)
    assert exchange(secret, lambda session: session.mark_modified(), cookie, now=now).cookie == cookie
    later = exchange(secret, lambda session: session.mark_modified(), cookie, now=now + 86_400).cookie
    assert later != cookie
    assert later.rsplit(".", 2)[0] == cookie.rsplit(".", 2)[0]


@pytest.mark.parametrize(("secret", "vector"), VECTORS)
def test_golden_cookie_is_written_from_what_the_view_set(secret, vector):
    cookie = cookie_of(vector)
    data = untyped(vector["session_set"])
    assert exchange(secret, lambda session: session.update(data), now=signed_at(cookie)).cookie == cookie


@pytest.mark.parametrize(("secret", "vector"), [param for param in VECTORS if param.id.startswith(("2.", "3."))])
def test_golden_line_is_written_whole(secret, vector):
    """W1; before 2.0 the date of Expires had dashes in it."""
    cookie = cookie_of(vector)
    answer = exchange(secret, lambda session: session.mark_modified(), cookie, now=signed_at(cookie))
    assert answer.set_cookie == vector["set_cookie"]
