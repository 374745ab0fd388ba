"""W3, W4, W5: what came, what the view does, and the settings: each answer is that of Flask's own, or of Quart's.

Where it is another one, ``DIFFERENCES`` says so, by the headings of docs/differences.md. A difference that is none any
more fails as well.
"""

import functools
import itertools
import json
from typing import NamedTuple

import pytest
from driver import NOW, SECRET, Exchange, nothing
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from asgi_flask_session.adapters import flask as in_flask
from quart_plugin import FlaskSessionInterface as InQuart

from .flask_side import FlaskSide, OurSide, clock_at, value_of
from .quart_side import SAYS_WHAT_IS_READ, QuartSide, running
from .sessions import examples

# What comes

FORMER = "a-former-secret-of-the-tests"
DAY = 86_400
DATA = {"nested": {"list": [1]}, "user": "ada"}
PERMANENT = {"_permanent": True, **DATA}


def signer(secret=SECRET, **spelling):
    return URLSafeTimedSerializer(
        secret,
        "cookie-session",
        serializer=json,
        serializer_kwargs=spelling or {"separators": (",", ":"), "sort_keys": True},
        signer_kwargs={"key_derivation": "hmac"},
    )


def signed(data, *, age=0, **more):
    """Return the cookie value of *data*, signed *age* seconds ago, and spelled as Flask does unless told otherwise."""
    with clock_at(NOW - age):
        return signer(**more).dumps(data)


class State(NamedTuple):
    kind: str  # what it is read as, if not too old
    cookie: str | None
    age: int = 0


def came(kind, data, *, age=0, **more):
    return State(kind, signed(data, age=age, **more), age)


VALID = signed(DATA)
CAME = {
    "none": State("none", None),
    "empty value": State("empty", ""),
    "rubbish": State("empty", "x"),
    "forged": State("empty", VALID[:-2] + ("AA" if VALID[-2:] != "AA" else "QQ")),
    "of another key": came("empty", DATA, secret="another-secret-of-the-tests"),
    "from the future": came("empty", DATA, age=-1),
    "expired": came("session", DATA, age=31 * DAY + 1),
    "expired permanent": came("permanent", PERMANENT, age=31 * DAY + 1),
    "no data": came("no data", {}),
    "valid": came("session", DATA),
    "of two hours ago": came("session", DATA, age=7200),
    "old": came("session", DATA, age=31 * DAY),
    "of a former key": came("session", DATA, secret=FORMER),
    "spelled otherwise": came("session", DATA, indent=1),
    "quoted": State("session", f'"{VALID}"'),
    "no more permanent": came("session", {"_permanent": False, **DATA}),
    "only no more permanent": came("without nested", {"_permanent": False}),
    "permanent": came("permanent", PERMANENT),
    "permanent of two hours ago": came("permanent", PERMANENT, age=7200),
    "old permanent": came("permanent", PERMANENT, age=31 * DAY),
    "permanent of a former key": came("permanent", PERMANENT, secret=FORMER),
    "permanent by another value": came("permanent", {"_permanent": 1, **DATA}),
    "permanent spelled otherwise": came("permanent spelled otherwise", PERMANENT, indent=1),
    "only permanent": came("permanent without nested", {"_permanent": True}),
}
KINDS = tuple(dict.fromkeys(state.kind for state in CAME.values()))
READ = tuple(kind for kind in KINDS if kind not in ("none", "empty"))
WITH_NESTED = ("session", "permanent", "permanent spelled otherwise")


# What the view does


def mark(name, value):
    return lambda session: setattr(session, name, value)


def call(method, *values, **more):
    return lambda session: getattr(session, method)(*values, **more)


def change_nested(session):
    session.get("nested", {}).get("list", []).append(2)


def change_nested_back(session):
    session.get("nested", {}).get("list", [2]).pop()


def unite(session):
    session |= {"user": "eve"}


def unite_with_nothing(session):
    session |= {}


def delete(session):
    if "user" in session:
        del session["user"]


def take_all(session):
    while session:
        session.popitem()


def in_turn(*acts):
    def act(session):
        for one in acts:
            one(session)

    return act


LOOKS = {
    "get": call("get", "user"),
    "get absent": call("get", "absent"),
    "get nested": call("get", "nested"),
    "item": lambda session: session["user"] if "user" in session else None,  # noqa: SIM401  # not by get
    "in": lambda session: "user" in session,
    "len": len,
    "bool": bool,
    "iterate": list,
    "iterate backwards": lambda session: list(reversed(session)),
    "keys": lambda session: list(session.keys()),
    "items": lambda session: list(session.items()),
    "values": lambda session: list(session.values()),
    "compare": lambda session: session == {},
    "dict": dict,
    "copy": call("copy"),
    "repr": repr,
    "new union": lambda session: session | {},
    "read permanent": lambda session: session.permanent,
}
SETS = {
    "set": lambda session: session.__setitem__("user", "eve"),
    "set same": lambda session: session.__setitem__("user", session.get("user", "ada")),
    "set nested": lambda session: session.__setitem__("nested", {"list": [2], "more": (b"",)}),
    "update": call("update", user="eve"),
    "unite": unite,
    "setdefault absent": call("setdefault", "absent", []),
    "change in a default": lambda session: session.setdefault("absent", []).append(1),
    "clear and set": in_turn(call("clear"), call("update", user="eve")),
    "change nested and set": in_turn(change_nested, call("update", user="eve")),
    "set permanent": mark("permanent", True),
    "set permanent item": lambda session: session.__setitem__("_permanent", True),
    "set not permanent": mark("permanent", False),
    "toggle permanent": lambda session: setattr(session, "permanent", not session.permanent),
}
TAKES = {
    "pop": call("pop", "user", None),
    "pop absent": call("pop", "absent", None),
    "delete": delete,
    "take all": take_all,
    "pop permanent": call("pop", "_permanent", None),
    "pop all but permanent": lambda session: [session.pop(key, None) for key in DATA],
    "setdefault present": lambda session: session.setdefault("user", "eve") if "user" in session else None,
}
# These end in a change of a session that may be empty, and then delete its cookie.
EMPTIES = {
    "clear": call("clear"),
    "set and clear": in_turn(call("update", user="eve"), call("clear")),
    "set and clear and look": in_turn(call("update", user="eve"), call("clear"), bool),
    "set and pop": in_turn(call("__setitem__", "absent", 1), call("pop", "absent")),
    "update with nothing": call("update"),
    "unite with nothing": unite_with_nothing,
    "look and say modified": in_turn(bool, mark("modified", True)),
    "change nested and say so": in_turn(change_nested, mark("modified", True)),
}
MARKS = {
    "say accessed": mark("accessed", True),
    "say not accessed": mark("accessed", False),
    "look and say not accessed": in_turn(bool, mark("accessed", False)),
    "say not modified": mark("modified", False),
    "set and take back": in_turn(call("__setitem__", "user", "eve"), mark("modified", False)),
    "update and take back": in_turn(call("update", user="eve"), mark("modified", False)),
    "look inside, set and take back": in_turn(
        call("get", "nested"), call("__setitem__", "user", "eve"), mark("modified", False)
    ),
    "clear and take back": in_turn(call("clear"), mark("modified", False)),
    "set permanent and take back": in_turn(mark("permanent", True), mark("modified", False)),
    "read modified": lambda session: session.modified,
    "read accessed": lambda session: session.accessed,
    "read new": lambda session: session.new,
    "say modified": mark("modified", True),
}
VIEWS = {
    "nothing": nothing,
    **LOOKS,
    **SETS,
    **TAKES,
    **EMPTIES,
    **MARKS,
    "change nested": change_nested,
    "change nested and back": in_turn(change_nested, change_nested_back),
}

# The settings: each of these with a refresh at each request, and without

CONFIGS = {
    "as they are": {},
    "an hour, on one site": {
        "PERMANENT_SESSION_LIFETIME": 3600,
        "SESSION_COOKIE_NAME": "id",
        "SESSION_COOKIE_DOMAIN": "example.com",
        "SESSION_COOKIE_PATH": "/app",
        "SESSION_COOKIE_SAMESITE": "Strict",
    },
    "https, embedded": {
        "SESSION_COOKIE_NAME": "__Host-session",
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_PARTITIONED": True,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_SAMESITE": "None",
    },
}


def config_of(name, refresh):
    return {"SECRET_KEY_FALLBACKS": [FORMER], "SESSION_REFRESH_EACH_REQUEST": refresh, **CONFIGS[name]}


# The answers


class Answer(NamedTuple):
    cookie: str | None  # "set", "deleted", or "as it came": the value is spelled as it was, and signed anew
    vary: bool


def summary(exchange, cookie):
    line = exchange.set_cookie
    if line is None:
        return Answer(None, bool(exchange.vary))
    if "; Max-Age=0" in line:
        return Answer("deleted", bool(exchange.vary))
    payload = value_of(line).rsplit(".", 2)[0]
    kept = cookie is not None and payload == cookie.rsplit(".", 2)[0]
    return Answer("as it came" if kept else "set", bool(exchange.vary))


def answers_of(side, came=tuple(CAME)):
    return {(key, view): side.request(CAME[key].cookie, act) for key in came for view, act in VIEWS.items()}


@functools.cache
def answers_of_flask(config, refresh):
    return answers_of(FlaskSide(**config_of(config, refresh)))


WAYS = {
    "middleware": lambda config: OurSide(FlaskSide(**config).settings()),
    "middleware that remembers": lambda config: OurSide(FlaskSide(**config).settings(remember=1000)),
    "middleware without detect_nested": lambda config: OurSide(FlaskSide(**config).settings(detect_nested=False)),
    "interface in Flask": lambda config: FlaskSide(
        interface=in_flask.FlaskSessionInterface(clock=lambda: NOW), **config
    ),
    "interface in Quart": lambda config: QuartSide(interface=InQuart(clock=lambda: NOW), **config),
}


# Where they differ

ALL = tuple(WAYS)
MIDDLEWARE = ALL[:3]
LOOKING_INSIDE = tuple(way for way in ALL if way != "middleware without detect_nested")


class Difference(NamedTuple):
    reason: str
    ways: tuple[str, ...]
    kinds: tuple[str, ...]
    views: tuple[str, ...]
    theirs: Answer
    ours: Answer


DELETED, VARIES, SILENT = Answer("deleted", True), Answer(None, True), Answer(None, False)
SET, AS_IT_CAME = Answer("set", True), Answer("as it came", True)
UNSEEN = ("nothing", "say not accessed", "look and say not accessed")
ABOUT_MARKS = ("read modified", "read accessed", "read new", "say not modified")

DIFFERENCES = [
    Difference(
        "A cookie that never came is not deleted (W3).",
        ALL, ("none",), tuple(EMPTIES), DELETED, VARIES,
    ),
    Difference("The same.", ("interface in Flask",), ("none",), ("say modified",), DELETED, VARIES),
    Difference(
        "The same; and a mark that leads to nothing is no reason to vary (W4).",
        (*MIDDLEWARE, "interface in Quart"), ("none",), ("say modified",), DELETED, SILENT,
    ),
    Difference(
        "To look at a mark is not to read (W4).",
        (*MIDDLEWARE, "interface in Quart"), KINDS, ABOUT_MARKS, VARIES, SILENT,
    ),
    Difference(
        "Quart says of every session that it was accessed; so whoever says it has to call mark_accessed() (6.2).",
        ("interface in Quart",), KINDS, (*UNSEEN, "say accessed"), VARIES, SILENT,
    ),
    Difference(
        "A change inside a value is seen (W5).",
        LOOKING_INSIDE, WITH_NESTED, ("change nested",), VARIES, SET,
    ),
    Difference(
        "So is any other one then, where the mark that it set was taken back (W5).",
        LOOKING_INSIDE, WITH_NESTED, ("look inside, set and take back",), VARIES, SET,
    ),
    Difference(
        "The same; update() may have put in what can be changed.",
        LOOKING_INSIDE, READ, ("update and take back",), VARIES, SET,
    ),
    Difference(
        "A mere refresh keeps the spelling (W5).",
        MIDDLEWARE, ("permanent spelled otherwise",), (*UNSEEN, *ABOUT_MARKS), SET, AS_IT_CAME,
    ),
    Difference("The same.", ("interface in Flask",), ("permanent spelled otherwise",), UNSEEN, SET, AS_IT_CAME),
]  # fmt: skip


def differences(way, config, refresh):
    """Return by cell what the table says of it."""
    lifetime = CONFIGS[config].get("PERMANENT_SESSION_LIFETIME", 31 * DAY)
    found = {}
    for came, state in CAME.items():
        kind = "empty" if state.age > lifetime else state.kind
        unchanged = SET if refresh and kind.startswith("permanent") else VARIES
        for row in DIFFERENCES:
            if way in row.ways and kind in row.kinds and row.theirs in (DELETED, unchanged):
                cells = dict.fromkeys(((came, view) for view in row.views), (row.theirs, row.ours))
                assert not found.keys() & cells.keys()
                found |= cells
    return found


def compare(theirs, ours):
    """Return by cell how they answer where they do not answer alike, to the byte."""
    return {
        (came, view): tuple(summary(one[came, view], CAME[came].cookie) for one in (theirs, ours))
        for came, view in theirs
        if (theirs[came, view].set_cookies, theirs[came, view].vary)
        != (ours[came, view].set_cookies, ours[came, view].vary)
    }


@pytest.mark.parametrize("refresh", [True, False], ids=["refreshing", "not refreshing"])
@pytest.mark.parametrize("config", CONFIGS)
def test_middleware_answers_as_flask_but_for_the_table(config, refresh, caplog):
    ours = answers_of(WAYS["middleware"](config_of(config, refresh)))
    assert compare(answers_of_flask(config, refresh), ours) == differences("middleware", config, refresh)
    assert not caplog.messages  # of these views none changes anything too late (W10)


@pytest.mark.parametrize("refresh", [True, False], ids=["refreshing", "not refreshing"])
@pytest.mark.parametrize("way", [*MIDDLEWARE[1:], "interface in Flask"])
def test_whatever_writes_the_cookie_answers_as_flask_but_for_the_table(way, refresh, caplog):
    ours = answers_of(WAYS[way](config_of("as they are", refresh)))
    assert compare(answers_of_flask("as they are", refresh), ours) == differences(way, "as they are", refresh)
    assert not caplog.messages


# Quart

OF_EACH_KIND = tuple({state.kind: came for came, state in reversed(CAME.items())}.values())


def as_flask_spells(answers):
    """Return the answers with the keys of their cookies sorted, which Quart does not do."""
    return {
        cell: Exchange(
            [{"status": exchange.status, "headers": [(name, sort_keys(name, v)) for name, v in exchange.headers]}]
        )
        for cell, exchange in answers.items()
    }


def sort_keys(name, value):
    cookie, semicolon, attributes = value.decode().removeprefix("session=").partition(";")
    if name.lower() != b"set-cookie" or not cookie:
        return value
    with clock_at(NOW):
        return f"session={signed(signer().loads(cookie))}{semicolon}{attributes}".encode()


def as_today(answers):
    """Return Quart's answers with Vary, which before 0.23 came with a cookie only."""
    return {
        cell: exchange
        if exchange.vary
        else Exchange([{"status": exchange.status, "headers": [*exchange.headers, (b"vary", b"Cookie")]}])
        for cell, exchange in answers.items()
    }


@pytest.mark.parametrize("refresh", [True, False], ids=["refreshing", "not refreshing"])
def test_interface_in_quart_answers_as_quarts_own_but_for_the_table(refresh, caplog):
    config = config_of("as they are", refresh)
    sides = QuartSide(**config), WAYS["interface in Quart"](config)
    with running():
        theirs, ours = (as_flask_spells(answers_of(side, OF_EACH_KIND)) for side in sides)
    if not SAYS_WHAT_IS_READ:
        theirs = as_today(theirs)
    expected = differences("interface in Quart", "as they are", refresh)
    assert compare(theirs, ours) == {cell: pair for cell, pair in expected.items() if cell[0] in OF_EACH_KIND}
    assert not caplog.messages


# One thing after another

STEPS = {
    name: VIEWS[name]
    for name in (
        "nothing", "get nested", "set", "set nested", "change in a default", "set permanent", "set not permanent",
        "pop", "pop permanent", "take all", "clear", "update with nothing", "look and say modified",
        "change nested and say so", "set and take back",
    )
}  # fmt: skip


def differs_only_by_the_deletion(theirs, ours, cookie):
    """Say whether Flask deletes a cookie that never came, and that is all (W3)."""
    is_so = cookie is None and summary(theirs, cookie).cookie == "deleted" and ours.set_cookies == []
    return is_so and theirs.vary == ours.vary


def alike(theirs, ours, cookie):
    return (theirs.set_cookies, theirs.vary) == (ours.set_cookies, ours.vary) or differs_only_by_the_deletion(
        theirs, ours, cookie
    )


@pytest.mark.parametrize("came", ["none", "forged", "no data", "valid", "permanent", "only permanent"])
def test_any_two_steps_in_one_view_lead_where_they_lead_in_flask(came):
    config = config_of("as they are", refresh=False)
    theirs, ours = FlaskSide(**config), WAYS["middleware without detect_nested"](config)
    cookie = CAME[came].cookie
    for names in itertools.product(STEPS, repeat=2):
        act = in_turn(*(STEPS[name] for name in names))
        assert alike(theirs.request(cookie, act), ours.request(cookie, act), cookie), names


SECONDS = st.sampled_from([0, 0.5, 1, 1800, 3599, 3600, 3601])


@examples(60, derandomize=True)
@given(st.booleans(), st.lists(st.tuples(st.sampled_from(sorted(STEPS)), SECONDS), min_size=3, max_size=12))
def test_session_lives_and_ends_as_in_flask(refresh, steps):
    """A browser with a cookie, and a clock that goes on."""
    theirs, ours = LIVES[refresh]
    cookie, now = None, NOW
    for name, seconds in steps:
        now += seconds
        one, other = (side.request(cookie, STEPS[name], now=now) for side in (theirs, ours))
        assert alike(one, other, cookie)
        if other.set_cookies:
            cookie = other.cookie or None


LIVES = {
    refresh: (FlaskSide(**config), WAYS["middleware without detect_nested"](config))
    for refresh in (True, False)
    for config in [{"SESSION_REFRESH_EACH_REQUEST": refresh, "PERMANENT_SESSION_LIFETIME": 3600}]
}
