"""Stock Quart as the oracle: each side reads what the other wrote. Quart does not sort the keys of what it writes."""

import asyncio
import itertools

import pytest
from driver import NOW, SECRET, Exchange, nothing
from hypothesis import given

from asgi_flask_session import Settings

from .flask_side import OurSide, Side, clock_at, value_of
from .sessions import exactly, examples, sessions

quart = pytest.importorskip("quart")


class QuartSide(Side):
    """A Quart app of one view, which does with the session what it is asked to."""

    def __init__(self, **config):
        self.app = quart.Quart(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "MAX_COOKIE_SIZE": 0, "TESTING": True, **config}
        self.app.add_url_rule("/", view_func=self.view)

    async def view(self):
        self.act(quart.session)
        return ""

    def request(self, cookie=None, act=nothing, *, name="session", now=NOW):
        self.act = act
        sent = {} if cookie is None else {"Cookie": f"{name}={cookie}"}
        with clock_at(now, quart.sessions):
            response = RUNNER.run(self.app.test_client(use_cookies=False).get("/", headers=sent))
        assert response.status_code == 200
        return Exchange([{"status": 200, "headers": [(k.encode(), v.encode()) for k, v in response.headers]}])


@pytest.fixture(scope="module", autouse=True)
def _runner():
    global RUNNER
    with asyncio.Runner() as RUNNER:
        yield


THEIRS = QuartSide()
OURS = OurSide(Settings.from_flask(THEIRS.app))


@examples(100)
@given(sessions)
def test_session_that_quart_wrote_reads_as_it_reads_it(data):
    """R7: the order of keys too."""
    cookie = value_of(THEIRS.write(data))
    assert exactly(OURS.read(cookie)) == exactly(THEIRS.read(cookie))


@examples(100)
@given(sessions)
def test_session_written_here_reads_alike_in_quart(data):
    cookie = value_of(OURS.write(data))
    assert exactly(THEIRS.read(cookie)) == exactly(OURS.read(cookie))


@examples(50)
@given(sessions)
def test_read_does_not_rewrite_what_quart_spelled(data):
    """W5: the comparison is of the data, not of the text."""
    cookie = value_of(THEIRS.write({key: data[key] for key in data if key != "_permanent"} or {"a": [1]}))
    assert OURS.request(cookie, lambda session: list(session.items())).set_cookies == []


@pytest.mark.parametrize("secure", [False, True])
def test_lines_are_those_of_quart_but_for_the_value(secure):
    """W1, under its combinations of settings."""
    names = ["DOMAIN", "PATH", "HTTPONLY", "SAMESITE", "PARTITIONED"]
    for values in itertools.product([None, "example.com"], [None, "/app"], [False, True], [None, "Lax"], [False, True]):
        config = {f"SESSION_COOKIE_{name}": value for name, value in zip(names, values, strict=True)}
        theirs = QuartSide(SESSION_COOKIE_SECURE=secure, SESSION_COOKIE_NAME="id", **config)
        ours = OurSide(Settings.from_flask(theirs.app))
        for data in ({"a": 1}, {"_permanent": True, "a": 1}):
            line = theirs.write(data)
            assert ours.write(data) == line
        cookie = value_of(line)
        deleted = theirs.request(cookie, lambda session: session.clear(), name="id").set_cookie
        assert ours.request(cookie, lambda session: session.clear()).set_cookie == deleted


@pytest.mark.parametrize(("age", "is_read"), [(3599, True), (3600, True), (3601, False), (-1, False)])
def test_age_ends_a_session_in_the_second_in_which_quart_ends_it(age, is_read):
    """R4."""
    theirs = QuartSide(PERMANENT_SESSION_LIFETIME=3600)
    ours = OurSide(Settings.from_flask(theirs.app))
    cookie = value_of(theirs.write({"a": 1}))
    expected = {"a": 1} if is_read else {}
    assert ours.read(cookie, now=NOW + age) == theirs.read(cookie, now=NOW + age) == expected


def test_rotated_key_verifies_as_in_quart_and_is_replaced_by_the_current_one():
    """Q12, both ways."""
    cookie = value_of(QuartSide(SECRET_KEY="old" * 8).write({"a": 1}))
    theirs = QuartSide(SECRET_KEY="new" * 8, SECRET_KEY_FALLBACKS=["older" * 8, "old" * 8])
    ours = OurSide(Settings.from_flask(theirs.app))
    assert ours.read(cookie) == theirs.read(cookie) == {"a": 1}
    lines = {side.request(cookie, lambda session: session.update(b=2)).set_cookie for side in (theirs, ours)}
    assert len(lines) == 1
    assert QuartSide(SECRET_KEY="new" * 8).read(value_of(*lines)) == {"a": 1, "b": 2}
