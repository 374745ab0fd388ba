"""Stock Quart as the oracle: each side reads what the other wrote. Quart does not sort the keys of what it writes."""

import itertools

import pytest
from driver import NOW
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session import Settings

from .flask_side import OurSide, value_of
from .quart_side import QuartSide, running
from .sessions import LEAVES, as_read, at_depth, exactly, examples, in_order, sessions


@pytest.fixture(scope="module", autouse=True)
def _loop():
    with running():
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


@pytest.mark.parametrize("kind", LEAVES)
@examples(20, derandomize=True)
@given(data=st.data())
def test_value_of_each_type_comes_back_from_any_depth(kind, data):
    """R6, R7: what either side writes, both read as what was put in."""
    session = data.draw(at_depth(LEAVES[kind]))
    for writer, expected in ((THEIRS, as_read(session)), (OURS, in_order(as_read(session)))):
        cookie = value_of(writer.write(session))
        assert [exactly(side.read(cookie)) for side in (THEIRS, OURS)] == [exactly(expected)] * 2


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
        deleted = theirs.request(cookie, lambda session: session.clear()).set_cookie
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
