"""DESIGN: what a request brings becomes scope["session"], and what becomes of that goes out with the response."""

import inspect
import json
import logging
import random
import sys
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from driver import LOOPS, NOW, SECRET, app_that, nothing, request, respond, scope_for

from asgi_flask_session import (
    CookieTooLarge,
    FlaskSessionASGI,
    Session,
    Settings,
    SettingsError,
    UnwritableSession,
    logs,
)
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.policy import CookieAction


def wrap(app, **settings):
    return FlaskSessionASGI(app, settings.pop("secret", SECRET), clock=lambda: NOW, **settings)


def cookie_of(data, **settings):
    """Return the cookie value that holds *data*."""
    age = settings.pop("age", 0)
    app = FlaskSessionASGI(app_that(lambda session: session.update(data)), SECRET, clock=lambda: NOW - age, **settings)
    return request(app).cookie


def read(value, **settings):
    """Return the data of a cookie value."""
    return dict(ClientSide(Settings(secret=SECRET, **settings), lambda: NOW).open(value.encode(), {}))


@pytest.fixture(params=LOOPS.values(), ids=LOOPS.keys())
def run(request):
    return request.param


def test_session_goes_round(run):
    seen = []
    app = wrap(app_that(lambda session: (seen.append(dict(session)), session.update(user="ada"))))
    first = request(app, run=run)
    second = request(app, first.cookie, run=run)
    assert seen == [{}, {"user": "ada"}]
    assert first.set_cookie == second.set_cookie
    assert first.set_cookie.endswith("; HttpOnly; Path=/")


def test_known_answer_of_flask():
    """STYLE 9: made with Flask 3.1.3."""
    app = FlaskSessionASGI(app_that(lambda s: s.update(user="ada")), "secret" * 4, clock=lambda: NOW)
    with pytest.warns(UserWarning, match="sample"):
        app = FlaskSessionASGI(app_that(lambda s: s.update(user="ada")), "secret", clock=lambda: NOW)
    assert request(app).cookie == "eyJ1c2VyIjoiYWRhIn0.ZVPxAA.-Jclp8u_4DxtD4pu4J6PdbsqfHk"


def test_untouched_request_gets_neither_cookie_nor_vary(run):
    """W3."""
    answer = request(wrap(app_that(nothing)), cookie_of({"a": 1}), run=run)
    assert answer.headers == []


READS = {
    "item": lambda s: s["a"],
    "get": lambda s: s.get("a"),
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "iteration": lambda s: next(iter(s)),
    "reversed": lambda s: list(reversed(s)),
    "keys": lambda s: s.keys(),
    "values": lambda s: s.values(),
    "items": lambda s: s.items(),
    "==": lambda s: s == {},
    "!=": lambda s: s != {},
    "copy": lambda s: s.copy(),
    "dict()": dict,
    "unpacking": lambda s: {**s},
    "|": lambda s: s | {},
    "reversed |": lambda s: {} | s,
    "repr": repr,
    "str": str,
    "permanent": lambda s: s.permanent,
    "pop of an absent key": lambda s: s.pop("absent", None),
    "setdefault of a present key": lambda s: s.setdefault("a", 2),
    "mark_accessed": lambda s: s.mark_accessed(),
    "accessed = True": lambda s: setattr(s, "accessed", True),
}


@pytest.mark.parametrize("look", READS.values(), ids=READS.keys())
def test_reading_sends_vary_and_no_cookie(look):
    """W4; CVE-2026-27205."""
    answer = request(wrap(app_that(look)), cookie_of({"a": 1}))
    assert answer.vary == [b"Cookie"]
    assert answer.set_cookie is None


CHANGES = {
    "assignment": (lambda s: s.__setitem__("b", 2), {"a": 1, "b": 2}),
    "assignment of the same": (lambda s: s.__setitem__("a", 1), {"a": 1}),
    "update": (lambda s: s.update(b=2), {"a": 1, "b": 2}),
    "update with nothing": (lambda s: s.update(), {"a": 1}),
    "|=": (lambda s: s.__ior__({"b": 2}), {"a": 1, "b": 2}),
    "setdefault": (lambda s: s.setdefault("b", 2), {"a": 1, "b": 2}),
    "mark_modified": (lambda s: s.mark_modified(), {"a": 1}),
    "regenerate": (lambda s: s.regenerate(), {"a": 1}),
    "modified = True": (lambda s: setattr(s, "modified", True), {"a": 1}),
    "permanent = True": (lambda s: setattr(s, "permanent", True), {"a": 1, "_permanent": True}),
}


@pytest.mark.parametrize(("change", "data"), CHANGES.values(), ids=CHANGES.keys())
def test_change_sends_cookie_and_vary(change, data):
    """W5."""
    answer = request(wrap(app_that(change)), cookie_of({"a": 1}))
    assert read(answer.cookie) == data
    assert answer.vary == [b"Cookie"]


@pytest.mark.parametrize(
    "empty",
    [lambda s: s.clear(), lambda s: s.pop("a"), lambda s: s.popitem(), lambda s: s.__delitem__("a")],
    ids=["clear", "pop", "popitem", "del"],
)
def test_emptied_session_deletes_the_cookie_with_its_attributes(empty):
    """W3."""
    settings = {"cookie_domain": "example.com", "cookie_secure": True, "cookie_samesite": "Lax"}
    answer = request(wrap(app_that(empty), **settings), cookie_of({"a": 1}, **settings))
    assert answer.set_cookie == (
        "session=; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;"
        " Secure; HttpOnly; Path=/; SameSite=Lax"
    )
    assert answer.vary == [b"Cookie"]


def test_emptying_without_a_cookie_sends_no_deletion():
    """W3: unlike Flask, there is nothing to delete."""
    assert request(wrap(app_that(lambda s: s.clear()))).set_cookie is None


def test_emptying_deletes_a_cookie_that_was_no_session():
    assert request(wrap(app_that(lambda s: s.clear())), "forged").set_cookie.startswith("session=;")


# Refresh of permanent sessions

EXPIRES = "Expires=Fri, 15 Dec 2023 22:13:20 GMT"


def test_permanent_session_is_refreshed_untouched():
    """W3, K1: and then the response varies by cookie."""
    answer = request(wrap(app_that(nothing)), cookie_of({"_permanent": True}, age=100))
    assert EXPIRES in answer.set_cookie
    assert read(answer.cookie) == {"_permanent": True}
    assert answer.vary == [b"Cookie"]


def test_permanent_session_is_not_refreshed_where_flask_would_not():
    app = wrap(app_that(nothing), refresh_each_request=False)
    assert request(app, cookie_of({"_permanent": True}, age=100)).headers == []


@pytest.mark.parametrize(("age", "refreshed"), [(0, False), (60, False), (61, True)])
@pytest.mark.parametrize("each_request", [True, False])
def test_refresh_after_waits_for_the_cookie_to_age(age, refreshed, each_request):
    app = wrap(app_that(nothing), refresh_after=60, refresh_each_request=each_request)
    answer = request(app, cookie_of({"_permanent": True}, age=age))
    assert (answer.set_cookie is not None) is refreshed


@pytest.mark.parametrize(
    ("change", "came", "data"),
    [
        (lambda s: s.update(a=1), None, {"_permanent": True, "a": 1}),
        (lambda s: s.update(a=1, _permanent=False), None, {"_permanent": False, "a": 1}),
        (lambda s: s.update(a=1), {"b": 1}, {"a": 1, "b": 1}),
        (lambda s: s.clear(), None, None),
    ],
    ids=["new", "new and told otherwise", "known", "empty"],
)
def test_new_session_is_permanent_where_that_is_set(change, came, data):
    answer = request(wrap(app_that(change), permanent=True), came and cookie_of(came))
    assert (answer.cookie and read(answer.cookie)) == data


def test_session_that_is_not_permanent_has_no_expiry_and_no_refresh():
    answer = request(wrap(app_that(lambda s: s.update(b=1))), cookie_of({"a": 1}))
    assert "Expires" not in answer.set_cookie


# Age

DAY = 86_400


@pytest.mark.parametrize(
    ("age", "data"), [(31 * DAY - 1, {"a": 1}), (31 * DAY, {"a": 1}), (31 * DAY + 1, {}), (-1, {})]
)
def test_age_is_checked_permanent_or_not(age, data):
    """R4, K24."""
    assert read(cookie_of({"a": 1}, age=age)) == data


@pytest.mark.parametrize(("age", "data"), [(-5, {"a": 1}), (-6, {})])
def test_clock_skew_lets_a_timestamp_lie_ahead(age, data):
    """R4."""
    assert read(cookie_of({"a": 1}, age=age), clock_skew=5) == data


# absolute_lifetime

LIMIT = {"absolute_lifetime": 100}


def test_absolute_lifetime_ends_a_session_that_was_refreshed():
    """W15, AS-05."""
    values = [cookie_of({"a": 1}, age=100, **LIMIT)]
    for age in (60, 0, -1):
        app = FlaskSessionASGI(app_that(lambda s: s.update(b=1)), SECRET, clock=lambda age=age: NOW - age, **LIMIT)
        values.append(request(app, values[-1]).cookie)
    data = [dict(ClientSide(Settings(secret=SECRET), lambda: NOW + 1).open(v.encode(), {})) for v in values]
    assert data[:3] == [
        {"a": 1, "_began": NOW - 100},
        {"a": 1, "b": 1, "_began": NOW - 100},
        {"a": 1, "b": 1, "_began": NOW - 100},
    ]
    assert data[3] == {"b": 1, "_began": NOW + 1}


def test_beginning_of_a_session_without_one_is_when_it_was_signed():
    """W15."""
    answer = request(wrap(app_that(lambda s: s.update(b=1)), **LIMIT), cookie_of({"a": 1}, age=70))
    assert read(answer.cookie) == {"a": 1, "b": 1, "_began": NOW - 70}
    assert request(wrap(app_that(nothing), **LIMIT), cookie_of({"a": 1}, age=101)).headers == []


def test_clearing_keeps_the_beginning():
    """W15."""

    def log_in(session):
        session.clear()
        session["user"] = "ada"

    answer = request(wrap(app_that(log_in), **LIMIT), cookie_of({"a": 1}, age=70, **LIMIT))
    assert read(answer.cookie) == {"user": "ada", "_began": NOW - 70}


def test_app_never_sees_the_beginning_and_a_session_of_nothing_else_is_empty():
    seen = []
    app = wrap(app_that(lambda s: (seen.append(dict(s)), s.pop("a"))), **LIMIT)
    assert request(app, cookie_of({"a": 1}, **LIMIT)).set_cookie.startswith("session=;")
    assert seen == [{"a": 1}]


def test_refresh_adds_the_beginning_and_reading_does_not_write():
    answer = request(wrap(app_that(nothing), **LIMIT), cookie_of({"_permanent": True}, age=70))
    assert read(answer.cookie)["_began"] == NOW - 70
    looked = request(wrap(app_that(lambda s: s["l"]), **LIMIT), cookie_of({"l": []}, age=70))
    assert looked.set_cookie is None


@pytest.mark.parametrize("began", ["never", None, True, -1, 10**400], ids=lambda began: str(began)[:9])
def test_beginning_that_is_no_time_is_not_believed(began):
    answer = request(wrap(app_that(lambda s: s.update(b=1)), **LIMIT), cookie_of({"_began": began}, age=70))
    assert read(answer.cookie) == {"b": 1, "_began": NOW - 70}


@pytest.mark.parametrize(("began", "found"), [(0, NOW), (2**63, 2**63)])
def test_beginning_at_either_end_of_time_is_believed(began, found):
    answer = request(wrap(app_that(lambda s: s.update(b=1)), **LIMIT), cookie_of({"_began": began}, age=70))
    assert read(answer.cookie) == {"b": 1, "_began": found}


def test_beginning_stays_the_same_while_the_clock_goes_on(caplog):
    ticks = iter(range(NOW, NOW + 100))
    app = FlaskSessionASGI(app_that(lambda s: s.update(l=[])), SECRET, clock=lambda: next(ticks), **LIMIT)
    assert NOW <= read(request(app).cookie, clock_skew=100)["_began"] < NOW + 100
    assert not caplog.records


def test_beginning_is_a_key_like_any_other_where_the_setting_is_off():
    _, answer = with_inner({"_began": 5}, lambda s: s.update(b=1), base={"_began": 5, "b": 0})
    assert read(answer.cookie) == {"_began": 5}
    _, answer = with_inner({"_began": 5, "n": 1}, lambda s: s.pop("b"), base={"_began": 5, "b": 0})
    assert read(answer.cookie) == {"_began": 5, "n": 1}
    _, answer = with_inner({"n": 1}, lambda s: s.update(b=1), base={"_began": 5, "b": 0})
    assert read(answer.cookie) == {"n": 1}


# is_revoked


def refuse(session, signed_at):
    return session["user"] == "eve" and signed_at.timestamp() == NOW - 5


async def refuse_later(session, signed_at):
    return refuse(session, signed_at)


@pytest.mark.parametrize("is_revoked", [refuse, refuse_later], ids=["sync", "async"])
@pytest.mark.parametrize(("user", "data"), [("eve", {}), ("ada", {"user": "ada"})])
def test_is_revoked_empties_a_session(is_revoked, user, data):
    """W15."""
    seen = []
    app = wrap(app_that(lambda s: seen.append((dict(s), s.new))), is_revoked=is_revoked)
    request(app, cookie_of({"user": user}, age=5))
    assert seen == [(data, not data)]


def test_asking_is_revoked_is_no_access_by_the_response():
    app = wrap(app_that(nothing), is_revoked=lambda session, signed_at: session.get("user") == [session["l"]])
    assert request(app, cookie_of({"l": []})).headers == []


def test_is_revoked_is_not_asked_where_no_session_came():
    asked = []
    app = wrap(app_that(nothing), is_revoked=lambda *arguments: asked.append(arguments))
    request(app)
    request(app, "forged")
    assert asked == []


def test_revoked_session_is_deleted_when_the_app_clears_it():
    app = wrap(app_that(lambda s: s.clear()), is_revoked=lambda session, signed_at: True)
    assert request(app, cookie_of({"a": 1})).set_cookie.startswith("session=;")


def test_refresh_is_asked_about_again_before_it_goes_out():
    """W16: the user logged out everywhere while a slow request was under way."""
    answers = []
    app = wrap(app_that(lambda s: answers.append(True)), is_revoked=lambda session, signed_at: bool(answers))
    assert request(app, cookie_of({"_permanent": True}, age=10)).set_cookie is None
    answers.clear()
    app = wrap(app_that(lambda s: (s.get("a"), answers.append(True))), is_revoked=lambda s, t: bool(answers))
    read_meanwhile = request(app, cookie_of({"_permanent": True}, age=10))
    assert (read_meanwhile.set_cookie, read_meanwhile.vary) == (None, [b"Cookie"])
    answers.clear()
    assert request(wrap(app_that(nothing), is_revoked=lambda s, t: False), cookie_of({"_permanent": True})).cookie
    app = wrap(app_that(lambda s: (answers.append(True), s.update(b=1))), is_revoked=lambda s, t: bool(answers))
    assert request(app, cookie_of({"_permanent": True}, age=10)).cookie


# migrate_from


def test_migration_reader_is_asked_where_no_session_of_ours_came():
    def reader(scope):
        return {"from": "elsewhere"} if scope["path"] == "/old" else None

    seen = []
    app = wrap(app_that(lambda s: seen.append((dict(s), s.new))), migrate_from=[lambda scope: None, reader])
    assert read(request(app, path="/old").cookie) == {"from": "elsewhere"}
    assert read(request(app, "forged", path="/old").cookie) == {"from": "elsewhere"}
    assert request(app, cookie_of({"a": 1}), path="/old").set_cookie is None
    assert request(app).set_cookie is None
    assert seen == [({"from": "elsewhere"}, False)] * 2 + [({"a": 1}, False), ({}, True)]


def test_migrated_session_that_cannot_be_written_yet_is_no_change_of_the_app(caplog):
    async def app(scope, receive, send):
        await send({"type": "websocket.close"})

    request(wrap(app, migrate_from=[lambda scope: {"from": "elsewhere"}]), type="websocket")
    assert not caplog.records


@pytest.mark.parametrize(("data", "permanent"), [({"a": 1}, True), ({"a": 1, "_permanent": False}, False)])
def test_migrated_session_is_permanent_where_new_ones_are(data, permanent):
    answer = request(wrap(app_that(nothing), permanent=True, migrate_from=[lambda scope: data]))
    assert read(answer.cookie)["_permanent"] is permanent
    assert ("Expires" in answer.set_cookie) is permanent


def test_migration_reader_that_reads_nothing_changes_nothing():
    app = wrap(app_that(nothing), migrate_from=[lambda scope: {}])
    assert request(app, "forged").headers == []


# remember


def test_remembered_values_are_bounded_and_their_age_is_still_checked():
    now = [NOW]
    client = ClientSide(Settings(secret=SECRET, remember=2, permanent_lifetime=10), lambda: now[0])
    values = [cookie_of({"n": n, "l": []}).encode() for n in range(5)]
    for value in values * 2:
        session = client.open(value, {})
        session["l"].append(1)
        assert len(client._remembered) <= 2
    assert dict(client.open(values[-1], {})) == {"n": 4, "l": []}
    assert values[-1] in client._remembered
    now[0] += 11
    assert client.open(values[-1], {}).new


def test_only_verified_values_that_are_not_large_are_remembered():
    client = ClientSide(Settings(secret=SECRET, remember=2), lambda: NOW)
    client.open(cookie_of({"a": 1}).encode()[:-1] + b"!", {})
    client.open(cookie_of({"a": "so long that it would fill the memory" * 500}).encode(), {})
    assert client._remembered == {}


# Nested changes


def append(session):
    session["l"].append(1)


DATE_THAT_CANNOT_BE_WRITTEN = b'" d":"Fri, 31 Dec 9999 23:59:59 -2359"'


def signed(text):
    from asgi_flask_session.payload import encode

    return ClientSide(Settings(secret=SECRET), lambda: NOW)._signer.sign(encode(text), NOW - 9).decode()


def test_session_that_nobody_can_write_goes_out_as_it_came():
    """R5: reading it is no error, nor is its refresh, however large it is."""
    for filling in (b"x", random.Random(1).randbytes(3000).hex().encode()):
        value = signed(b'{"_permanent":true,"d":{%b},"l":["%b"]}' % (DATE_THAT_CANNOT_BE_WRITTEN, filling))
        for look in (nothing, lambda s: s["l"], lambda s: s["d"]):
            assert request(wrap(app_that(look)), value).cookie.partition(".")[0] == value.partition(".")[0]


def test_nested_change_beside_what_nobody_can_write_raises():
    """W9: and is not lost in silence."""
    value = signed(b'{"d":{%b},"l":[]}' % DATE_THAT_CANNOT_BE_WRITTEN)
    for change in (append, lambda s: s.mark_modified()):
        with pytest.raises(UnwritableSession, match=r"session\['d'\]"):
            request(wrap(app_that(change)), value)


def test_key_that_came_past_the_marks_and_cannot_be_written_raises():
    def change(session):
        dict.__setitem__(session, "b", {1})
        append(session)

    with pytest.raises(UnwritableSession, match=r"session\['b'\]"):
        request(wrap(app_that(change)), cookie_of({"l": []}))


def test_nested_change_is_written_where_the_marks_say_nothing():
    def change(session):
        append(session)
        session.accessed = False

    assert read(request(wrap(app_that(change)), cookie_of({"l": [0]})).cookie) == {"l": [0, 1]}


def test_nested_change_is_seen():
    """W5."""
    assert read(request(wrap(app_that(append)), cookie_of({"l": [0]})).cookie) == {"l": [0, 1]}


def test_nested_change_is_not_seen_where_that_is_off():
    assert request(wrap(app_that(append), detect_nested=False), cookie_of({"l": [0]})).set_cookie is None


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.get("d").update(x=True),
        lambda s: next(iter(s.values())).update(x=True),
        lambda s: next(iter(dict(s).values())).update(x=True),
        lambda s: s.copy()["d"].update(x=True),
        lambda s: (s | {})["d"].update(x=True),
        lambda s: dict(s.items())["d"].update(x=True),
        lambda s: s.setdefault("d", {}).update(x=True),
    ],
    ids=["get", "values", "dict()", "copy", "|", "items", "setdefault"],
)
def test_nested_change_is_seen_however_the_value_was_reached(change):
    """1 and True are equal, and written differently."""
    assert read(request(wrap(app_that(change)), cookie_of({"d": {"x": 1}})).cookie) == {"d": {"x": True}}


def test_reading_a_nested_value_does_not_rewrite_another_writers_spelling():
    """W5: Quart writes keys unsorted."""
    from asgi_flask_session.payload import b64encode

    client = ClientSide(Settings(secret=SECRET), lambda: NOW)
    value = client._signer.sign(b64encode(b'{"z": [1, {"y":1,"a":NaN}], "a":1}'), NOW).decode()
    assert request(wrap(app_that(lambda s: s["z"])), value).set_cookie is None


def test_refresh_of_a_compressed_session_that_was_read_holds_what_it_held():
    data = {"_permanent": True, "a": "x" * 1000}
    assert read(request(wrap(app_that(lambda s: s["a"])), cookie_of(data, age=9)).cookie) == data


def test_refresh_that_nobody_looked_at_signs_the_payload_it_read():
    from asgi_flask_session.payload import b64encode

    client = ClientSide(Settings(secret=SECRET), lambda: NOW)
    payload = b64encode(b'{"z": 1, "_permanent": true}')
    untouched = request(wrap(app_that(nothing)), client._signer.sign(payload, NOW - 9).decode())
    looked_at = request(wrap(app_that(lambda s: s["z"])), client._signer.sign(payload, NOW - 9).decode())
    assert untouched.cookie.encode() == client._signer.sign(payload, NOW)
    assert looked_at.cookie.encode() == client._signer.sign(b64encode(b'{"_permanent":true,"z":1}'), NOW)


# The messages


@pytest.mark.parametrize(
    "headers", [None, (), [], iter(()), ((b"x", b"y"),), (header for header in [(b"x", b"y")])], ids=str
)
def test_headers_of_any_shape_are_kept_and_never_changed(headers):
    """W2."""
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    shape = type(headers)

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send(message)

    answer = request(wrap(app))
    assert len(answer.set_cookies) == 1
    assert message["headers"] is headers
    assert type(message["headers"]) is shape
    if isinstance(headers, tuple):
        assert answer.headers[: len(headers)] == list(headers)


def test_headers_may_be_missing():
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 204})

    assert request(wrap(app)).cookie


def test_message_that_needs_nothing_passes_as_it_is():
    sent = []

    async def app(scope, receive, send):
        sent.append({"type": "http.response.start", "status": 200, "headers": []})
        await send(sent[0])

    assert request(wrap(app)).messages[0] is sent[0]


def test_constant_message_collects_no_cookies():
    message = {"type": "http.response.start", "status": 200, "headers": []}

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send(message)

    wrapped = wrap(app)
    assert [len(request(wrapped).headers) for _ in range(3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("vary", "result"),
    [
        ([], [b"Cookie"]),
        ([b"Accept"], [b"Accept, Cookie"]),
        ([b"cookie"], [b"cookie"]),
        ([b"Accept , COOKIE"], [b"Accept , COOKIE"]),
        ([b"*"], [b"*"]),
        ([b""], [b"Cookie"]),
        ([b"Accept", b"Cookie"], [b"Accept", b"Cookie"]),
        ([b"Accept", b"Origin"], [b"Accept, Cookie", b"Origin"]),
        ([b"X-Cookie"], [b"X-Cookie, Cookie"]),
    ],
)
def test_vary_is_merged(vary, result):
    """W4."""

    async def app(scope, receive, send):
        scope["session"].get("a")
        await respond(send, headers=[(b"Vary", value) for value in vary])

    assert request(wrap(app)).vary == result


def test_vary_can_go_with_every_response():
    assert request(wrap(app_that(nothing), vary="always")).vary == [b"Cookie"]


def test_second_start_message_passes_untouched():
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send)
        await respond(send)

    assert [len(m["headers"]) for m in request(wrap(app)).messages if "headers" in m] == [2, 0]


# Websockets


@pytest.mark.parametrize("type_", ["websocket.accept", "websocket.http.response.start"])
def test_handshake_carries_the_cookie(type_, run):
    """W2."""

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send({"type": type_, "status": 403})

    answer = request(wrap(app), type="websocket", run=run)
    assert read(answer.cookie) == {"a": 1}


def test_refused_handshake_without_a_response_passes():
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send({"type": "websocket.close"})

    assert request(wrap(app), type="websocket").messages == [{"type": "websocket.close"}]


# Other scopes, exceptions


@pytest.mark.parametrize("type_", ["lifespan", "unknown"])
def test_other_scopes_pass_through(type_, run):
    """W13."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    scope = {"type": type_}
    request(wrap(app), scope=scope, run=run)
    assert scopes == [{"type": type_}]
    assert scopes[0] is scope


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError("gone")])
def test_exceptions_come_out_as_they_are(error, caplog):
    """W13."""

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        raise error

    with pytest.raises(type(error)) as caught:
        request(wrap(app))
    assert caught.value is error
    assert not caplog.records


def test_what_send_raises_comes_out_as_it_is():
    """W13."""
    error = OSError("the client is gone")
    seen = []

    async def app(scope, receive, send):
        try:
            await respond(send)
        except OSError as e:
            seen.append(e)

    async def send(message):
        raise error

    LOOPS["no loop"](wrap(app)(scope_for(), None, send))
    assert seen == [error]


def test_session_changed_before_an_exception_is_saved_with_the_500():
    """W11: where the error handler is inside."""

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send, status=500)
        raise ValueError("boom")

    answers = []

    async def send(message):
        answers.append(message)

    with pytest.raises(ValueError, match="^boom$"):
        LOOPS["no loop"](wrap(app)(scope_for(), None, send))
    assert dict(answers[0]["headers"])[b"set-cookie"].startswith(b"session=")


# What cannot be written

MOST_OF_A = 1024 * 1024 - len('{"a":""}')
UNWRITABLE = {
    "a set": ({"cart": [1, {"tags": {1, 2}}]}, r"session\['cart'\]\[1\]\['tags'\], a value of type set"),
    "an object": ({"a": object()}, r"session\['a'\], a value of type object"),
    "mixed keys": ({"a": {1: 1, "b": 2}}, r"session\['a'\], whose keys do not sort"),
    "a key of a tuple": ({"a": {(1, 2): 1}}, r"session\['a'\], whose keys"),
    "a huge number": ({"a": 10**5000}, r"session\['a'\], a value of type int"),
    "a time before the calendar": (
        {"a": [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))]},
        r"session\['a'\]\[0\], a value of type datetime",
    ),
    "too large": ({"a": random.Random(1).randbytes(20_000)}, "at most 16384 are read back.*'a' "),
    "too much text": ({"a": "x" * (MOST_OF_A + 1)}, "at most 1048576 can be read back"),
}


def circle():
    value = []
    value.append(value)
    return {"a": value}


def nested(depth):
    value = []
    for _ in range(depth - 2):
        value = [value]
    return {"a": value}


UNWRITABLE["a circle"] = (circle(), r"session\['a'\], nested too deep or in itself")
UNWRITABLE["501 levels"] = (nested(501), "nested deeper than 500|nested too deep")


@pytest.mark.parametrize(("data", "message"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_cannot_be_written_raises_before_the_response_starts(data, message):
    """W9."""
    raised = []

    async def app(scope, receive, send):
        scope["session"].update(data)
        try:
            await respond(send)
        except UnwritableSession as error:
            raised.append(error)
            await respond(send, status=500)

    answer = request(wrap(app))
    assert answer.status == 500
    assert answer.headers == []
    with pytest.raises(UnwritableSession, match=message):
        raise raised[0]


def test_a_mebibyte_of_text_goes_round():
    data = {"a": "x" * MOST_OF_A}
    assert read(cookie_of(data)) == data


def test_what_is_nested_500_levels_goes_round():
    """R5, W9."""
    data = nested(500)
    assert read(cookie_of(data)) == data


def test_nested_session_that_was_only_read_is_answered_where_the_stack_is_nearly_at_its_end():
    """Where it can be neither written nor read again, it has not changed."""
    limit = sys.getrecursionlimit()

    def with_room_for(calls):
        async def app(scope, receive, send):
            scope["session"]["a"]
            sys.setrecursionlimit(len(inspect.stack(0)) + calls)
            try:
                await respond(send)
            finally:
                sys.setrecursionlimit(limit)

        return app

    cookie, answers = cookie_of({**nested(100), "b": b"tagged"}), set()
    for calls in range(8, 120):
        with suppress(RecursionError):  # there is not even room to look
            answer = request(wrap(with_room_for(calls)), cookie)
            answers.add((answer.status, answer.set_cookie))
    assert answers == {(200, None)}


def test_no_value_is_in_the_message_of_an_error():
    """W14."""
    with pytest.raises(UnwritableSession) as caught:
        cookie_of({"password": {"hunter2"}})
    assert "hunter2" not in str(caught.value)


# Large cookies

BIG = {"big": random.Random(1).randbytes(4000), "small": 1, "_permanent": True, "smallest": 1}


def test_large_cookie_warns_with_its_size_and_largest_keys(caplog):
    """W9."""
    answer_size = len(request(wrap(app_that(lambda s: s.update(BIG)), max_cookie_size=0)).set_cookie)
    assert not caplog.records
    assert request(wrap(app_that(lambda s: s.update(BIG)))).cookie
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"is {answer_size} bytes, over the 4093 of max_cookie_size" in record.message
    assert "'big' (5345 bytes), '_permanent' (4 bytes), 'small' (1 bytes)." in record.message
    assert "4096 bytes of name=value" in record.message


def test_cookie_that_can_just_be_read_back_is_sent_where_no_size_is_too_large(caplog):
    sizes = set()
    for seed in range(40):
        data = {"big": random.Random(seed).randbytes(12_116)}
        with suppress(CookieTooLarge):
            answer = request(wrap(app_that(lambda s, data=data: s.update(data)), max_cookie_size=0))
            assert read(answer.cookie) == data
            sizes.add(len(answer.cookie))
    assert max(sizes) == 16384
    assert not caplog.records


@pytest.mark.parametrize(("limit", "warned"), [(0, 0), (1, 1), ("its size less 1", 1), ("its size", 0)])
def test_cookie_is_large_beyond_the_size_that_is_set(limit, warned, caplog):
    app = app_that(lambda s: s.update(a=1))
    size = len(request(wrap(app)).set_cookie)
    request(wrap(app, max_cookie_size={"its size": size, "its size less 1": size - 1}.get(limit, limit)))
    assert len(caplog.records) == warned


def test_large_cookie_raises_where_that_is_set():
    with pytest.raises(CookieTooLarge, match="max_cookie_size") as caught:
        request(wrap(app_that(lambda s: s.update(BIG)), on_large_cookie="raise"))
    assert caught.value.size > caught.value.limit == 4093


# Late changes


def late(change, type_="http"):
    async def app(scope, receive, send):
        session = scope["session"]
        kept = session.get("l")
        if type_ == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await respond(send)
        change(session, kept)

    return app


@pytest.mark.parametrize("type_", ["http", "websocket"])
@pytest.mark.parametrize(
    "change",
    [
        lambda session, kept: session.update(b=1),
        lambda session, kept: session.clear(),
        lambda session, kept: kept.append(1),
        lambda session, kept: kept.append({1}),
        lambda session, kept: setattr(session, "permanent", True),
    ],
    ids=["update", "clear", "nested", "nested and unwritable", "permanent"],
)
def test_change_after_the_headers_warns_once_and_says_where(change, type_, caplog):
    """W10."""
    app = wrap(late(change, type_))
    for _ in range(2):
        request(app, cookie_of({"l": []}), path="/stream", type=type_)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "/stream" in record.message


@pytest.mark.parametrize("value", [{"b": 1}, None], ids=str)
def test_session_replaced_after_the_headers_warns(value, caplog):
    async def app(scope, receive, send):
        await respond(send)
        scope["session"] = value

    for wrapped in (wrap(app), wrap(wrap(app), cookie_name="outer")):
        logs.forget()
        caplog.clear()
        request(wrapped, path="/stream")
        assert ["/stream" in record.message for record in caplog.records] == [True]


def test_change_of_what_replaced_the_session_warns(caplog):
    async def app(scope, receive, send):
        scope["session"] = {"l": []}
        await respond(send)
        scope["session"]["b"] = 1

    request(wrap(app))
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "put",
    [
        lambda scope, log: scope["session"].__setitem__("log", log),
        lambda scope, log: scope["session"].setdefault("log", log),
        lambda scope, log: scope["session"].update(log=log),
        lambda scope, log: scope["session"].__ior__({"log": log}),
        lambda scope, log: scope.update(session={"log": log}),
    ],
    ids=["assignment", "setdefault", "update", "|=", "replaced"],
)
def test_change_inside_of_what_was_put_in_warns(put, caplog):
    async def app(scope, receive, send):
        log = []
        put(scope, log)
        await respond(send)
        log.append(1)

    request(wrap(app))
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda s: (s.update(a=1), setattr(s, "modified", False)),
        lambda s: (s.update(a=1), s.clear(), setattr(s, "accessed", False)),
    ],
    ids=["taken back", "emptied unseen"],
)
def test_change_before_the_headers_that_sends_nothing_is_not_late(change, caplog):
    request(wrap(app_that(change)))
    assert not caplog.records


def test_nested_change_after_the_headers_is_not_seen_where_that_is_off(caplog):
    request(wrap(late(lambda session, kept: kept.append(1)), detect_nested=False), cookie_of({"l": []}))
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "warned"),
    [(lambda s: s.update(a=1), [True]), (append, [True]), (lambda s: s["l"], []), (nothing, [])],
    ids=["update", "nested", "read", "nothing"],
)
def test_handshake_that_is_refused_without_a_response_warns_of_a_change(change, warned, caplog):
    async def app(scope, receive, send):
        change(scope["session"])
        await send({"type": "websocket.close"})

    request(wrap(app), cookie_of({"l": []}), type="websocket", path="/ws")
    assert ["/ws" in record.message for record in caplog.records] == warned


def test_session_deleted_after_the_headers_does_not_warn(caplog):
    async def app(scope, receive, send):
        await respond(send)
        del scope["session"]

    request(wrap(app))
    assert not caplog.records


def test_change_before_the_headers_does_not_warn(caplog):
    def change(session):
        session["l"].append(1)
        session["b"] = 1

    request(wrap(app_that(change)), cookie_of({"l": []}))
    request(wrap(app_that(lambda s: s["l"])), cookie_of({"l": []}))
    request(wrap(app_that(lambda s: s.clear())), cookie_of({"l": []}))
    request(wrap(app_that(lambda s: s.clear())))
    request(wrap(app_that(lambda s: (s["l"], s.clear()))), cookie_of({"l": []}))
    with_inner({"v": 2}, change, base={"l": []})
    assert not caplog.records


def test_save_warns_once_that_a_cookie_cannot_be_written_now(caplog, run):
    async def app(scope, receive, send):
        await scope["session"].load()
        await scope["session"].save()
        await scope["session"].save()
        await respond(send)

    request(wrap(app), run=run)
    assert len(caplog.records) == 1
    assert "store" in caplog.records[0].message


# Replaced sessions


def replaced_by(value):
    async def app(scope, receive, send):
        scope["session"] = value
        await respond(send)

    return app


def test_session_replaced_by_a_mapping_is_written():
    """W6."""
    from types import MappingProxyType

    for value in ({"b": 1}, MappingProxyType({"b": 1}), Session({"b": 1})):
        assert read(request(wrap(replaced_by(value)), cookie_of({"a": 1})).cookie) == {"b": 1}


@pytest.mark.parametrize("value", [None, {}])
def test_session_replaced_by_nothing_is_deleted(value):
    """W6."""
    assert request(wrap(replaced_by(value)), cookie_of({"a": 1})).set_cookie.startswith("session=;")
    assert request(wrap(replaced_by(value))).set_cookie is None


def test_deleted_key_is_no_opinion(caplog):
    """W6."""

    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        del scope["session"]
        await respond(send)

    assert read(request(wrap(app), cookie_of({"a": 1})).cookie) == {"a": 1, "b": 1}
    assert not caplog.records


class Marked(dict):
    modified = True


class Watched(dict):
    accessed = True


@pytest.mark.parametrize(
    "value", [Marked(x=1), Watched(x=1), 5, object(), CookieAction.KEEP], ids=lambda value: type(value).__name__
)
def test_foreign_session_is_left_alone_with_one_warning(value, caplog):
    """W6."""
    app = wrap(replaced_by(value))
    for _ in range(2):
        answer = request(app, cookie_of({"a": 1}))
        assert answer.headers == []
        assert answer.scope["session"] is value
    assert len(caplog.records) == 1
    assert "scope_key" in caplog.records[0].message


def test_session_replaced_and_marked_as_permanent_lives_on():
    answer = request(wrap(replaced_by({"_permanent": True})))
    assert EXPIRES in answer.set_cookie


# Nesting


def test_wrapped_twice_with_one_cookie_the_inner_one_steps_aside(run):
    """W7."""
    inner = wrap(app_that(lambda s: s.update(a=1)))
    answer = request(wrap(inner), run=run)
    assert read(answer.cookie) == {"a": 1}


def test_wrapped_twice_with_two_scope_keys_both_hold_the_one_session():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["session"] is scope["inner"])
        scope["inner"]["a"] = 1
        await respond(send)

    answer = request(wrap(wrap(app, scope_key="inner")))
    assert seen == [True]
    assert read(answer.cookie) == {"a": 1}


def test_wrapped_twice_with_two_cookies_each_writes_its_own(caplog):
    """W7."""

    async def between(scope, receive, send):
        scope["session"]["outer"] = 1
        await inner(scope, receive, send)
        seen.append(dict(scope["session"]))

    seen = []
    inner = wrap(app_that(lambda s: s.update(inner=1)), cookie_name="other")
    answer = request(wrap(between))
    cookies = dict(line.partition(";")[0].split("=", 1) for line in answer.set_cookies)
    assert {name: read(value) for name, value in cookies.items()} == {"session": {"outer": 1}, "other": {"inner": 1}}
    assert seen == [{"outer": 1}]
    assert not caplog.records


def test_inner_session_that_was_replaced_stays_out_of_the_outer_cookie():
    answer = request(wrap(wrap(replaced_by({"inner": 1}), cookie_name="other")), cookie_of({"a": 1}))
    assert [line.partition("=")[0] for line in answer.set_cookies] == ["other"]


def test_inner_app_goes_on_with_its_own_session_after_the_headers():
    seen = []

    async def app(scope, receive, send):
        session = scope["session"]
        await respond(send)
        seen.append(scope["session"] is session)

    request(wrap(wrap(app, cookie_name="other")))
    assert seen == [True]


def test_inner_app_that_deleted_its_session_finds_none_after_the_headers():
    seen = []

    async def app(scope, receive, send):
        del scope["session"]
        await respond(send)
        seen.append("session" in scope)

    request(wrap(wrap(app, cookie_name="other")))
    assert seen == [False]


def test_scope_that_the_app_has_emptied_stays_empty():
    async def app(scope, receive, send):
        await respond(send)
        scope.clear()

    assert request(wrap(app), cookie_of({"a": 1})).scope == {}


def test_scope_serves_a_second_request():
    app = wrap(app_that(lambda s: s.update(a=1)))
    scope = scope_for()
    assert request(app, scope=scope).cookie == request(app, scope=scope).cookie


# An app inside that sets our cookie itself

BASE = {"v": 1, "keep": 1}


def with_inner(inner, outer, *, base=BASE, **settings):
    """Answer with an inner Set-Cookie that holds *inner*, and a session that *outer* changes."""
    line = None
    if inner is not None:
        client = ClientSide(Settings(secret=SECRET), lambda: NOW)
        session = client.replaced(Session(), inner)
        session._carried = True
        line = client.write(session, client.decide(session))

    async def app(scope, receive, send):
        outer(scope["session"])
        headers = [(b"x", b"1")] + ([(b"Set-Cookie", line)] if line else [])
        await respond(send, headers=headers)

    return line and line.decode(), request(wrap(app, **settings), cookie_of(base) if base else None)


def test_inner_cookie_goes_out_untouched_where_ours_did_not_change():
    """W8."""
    for outer in (nothing, lambda s: s.get("v")):
        line, answer = with_inner({"v": 2, "keep": 1}, outer)
        assert answer.set_cookies == [line]


def test_inner_cookie_stands_for_a_refresh_of_ours():
    line, answer = with_inner({"_permanent": True, "v": 2}, nothing, base={"_permanent": True})
    assert answer.set_cookies == [line]


MERGES = {
    "both set": ({"v": 2, "keep": 1}, lambda s: s.update(outer=1), {"v": 2, "keep": 1, "outer": 1}),
    "both set one key": ({"v": 2, "keep": 1}, lambda s: s.update(v=3), {"v": 3, "keep": 1}),
    "they delete, we add": ({}, lambda s: s.update(outer=1), {"outer": 1}),
    "they delete what we change": ({"keep": 1}, lambda s: s.update(v=3), {"keep": 1}),
    "we delete what they change": ({"v": 2, "keep": 1}, lambda s: s.pop("v"), {"keep": 1}),
    "we clear, they add": ({**BASE, "n": 1}, lambda s: s.clear(), {"n": 1}),
    "we set what it was": ({"v": 2, "keep": 1}, lambda s: s.update(v=1), {"v": 2, "keep": 1}),
    "1 is not True": ({"v": 2, "keep": 1}, lambda s: s.update(v=True), {"v": True, "keep": 1}),
}


@pytest.mark.parametrize(("inner", "outer", "merged"), MERGES.values(), ids=MERGES.keys())
def test_two_changes_make_one_cookie(inner, outer, merged):
    """W8."""
    _, answer = with_inner(inner, outer)
    assert read(answer.cookie) == merged
    assert answer.all(b"x") == [b"1"]
    assert answer.vary == [b"Cookie"]


def test_two_changes_that_leave_nothing_delete_the_cookie():
    _, answer = with_inner({}, lambda s: s.update(v=2))
    assert answer.set_cookie.startswith("session=; Expires=Thu, 01 Jan 1970")


def test_merged_session_is_permanent_where_either_made_it_so():
    _, answer = with_inner({**BASE, "_permanent": True}, lambda s: s.update(outer=1))
    assert EXPIRES in answer.set_cookie


def test_merged_session_keeps_its_beginning():
    """W15."""
    _, answer = with_inner({"v": 2}, lambda s: s.update(outer=1), base=None, **LIMIT)
    assert read(answer.cookie) == {"v": 2, "outer": 1, "_began": NOW}


REFUSALS = {
    "revoked": ({"is_revoked": lambda session, signed_at: True}, 0),
    "over its absolute lifetime": ({"absolute_lifetime": 10}, 20),
    "too old": ({"permanent_lifetime": 10}, 20),
}


@pytest.mark.parametrize(("settings", "age"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize(
    ("change", "data"), [(lambda s: s.update(notice=1), {"notice": 1}), (lambda s: s.clear(), {})], ids=["set", "clear"]
)
def test_refused_session_does_not_come_back_by_what_flask_inside_makes_of_it(settings, age, change, data):
    """W8, W15: Flask inside does not know of the refusal and refreshes what it read."""
    came = {"_user_id": "ada", "_permanent": True}
    theirs = cookie_of({**came, "csrf_token": "x"})

    async def app(scope, receive, send):
        change(scope["session"])
        await respond(send, headers=[(b"set-cookie", f"session={theirs}; HttpOnly; Path=/".encode())])

    answer = request(wrap(app, **settings), cookie_of(came, age=age))
    found = read(answer.cookie)
    found.pop("_began", None)
    assert found == {**data, "csrf_token": "x"}


@pytest.mark.parametrize("attributes", ["Path=/old", "Path=/; Domain=old.example"])
def test_inner_cookie_of_another_path_or_domain_is_another_cookie(attributes):
    """W8; RFC 6265, 5.3."""
    line = f"session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; {attributes}"

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send, headers=[(b"set-cookie", line.encode())])

    theirs, ours = request(wrap(app)).set_cookies
    assert theirs == line
    assert read(ours.partition(";")[0].partition("=")[2]) == {"a": 1}


def test_what_cannot_be_merged_raises_with_the_path_of_the_key():
    with pytest.raises(UnwritableSession, match=r"session\['v'\]\[0\], a value of type set"):
        with_inner({"v": 2}, lambda s: s.update(v=[{1}]))


def test_inner_cookie_of_somebody_else_is_left_alone(caplog):
    """W8."""

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send, headers=[(b"set-cookie", b"session=theirs; Path=/")])

    assert request(wrap(app)).set_cookies == ["session=theirs; Path=/"]
    assert "not signed with our keys" in caplog.text
    assert "theirs" not in caplog.text


@pytest.mark.parametrize("line", ["session=; Path=/", "session=gone; Max-Age=0; Path=/"])
def test_inner_deletion_by_hand_leaves_our_change(line):
    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        await respond(send, headers=[(b"set-cookie", line.encode())])

    assert read(request(wrap(app), cookie_of({"a": 1})).cookie) == {"b": 1}


def test_inner_cookie_and_ours_make_one_where_a_forged_one_came():
    theirs = cookie_of({"v": 2})

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send, headers=[(b"set-cookie", f"session={theirs}; Path=/".encode())])

    assert read(request(wrap(app), "forged").cookie) == {"v": 2, "a": 1}


def test_inner_cookie_of_another_name_is_no_matter():
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send, headers=[(b"set-cookie", b"xsession=1"), (b"set-cookie", b"session2=1")])

    assert len(request(wrap(app)).set_cookies) == 3


# The request's headers


def test_several_cookie_headers_arrive_as_one():
    """R1, R8."""
    a = cookie_of({"a": 1}).encode()
    for excluded in ([], ["/"]):
        scopes = []

        async def app(scope, receive, send, scopes=scopes):
            scopes.append(scope)
            await respond(send)

        headers = [(b"cookie", b"x=1"), (b"host", b"h"), (b"cookie", b"session=" + a)]
        request(wrap(app, exclude=excluded), headers=headers)
        assert scopes[0]["headers"] == [(b"host", b"h"), (b"cookie", b"x=1; session=" + a)]
        assert len(headers) == 3
        assert excluded or scopes[0]["session"] == {"a": 1}


@pytest.mark.parametrize("headers", [[(b"host", b"h")], ((b"host", b"h"),)], ids=["list", "tuple"])
def test_headers_that_are_no_matter_stay_the_same_object(headers):
    assert request(wrap(app_that(nothing)), scope=scope_for() | {"headers": headers}).scope["headers"] is headers


def test_request_may_have_no_headers():
    assert request(wrap(app_that(lambda s: s.update(a=1))), scope={"type": "http", "path": "/"}).cookie


@pytest.mark.parametrize("type_", ["http", "websocket", "lifespan"])
def test_app_receives_what_the_server_says(type_):
    heard = []

    async def app(scope, receive, send):
        heard.append((await receive())["type"])

    request(wrap(app), scope=scope_for(type=type_))
    assert heard == ["http.request"]


def test_headers_that_can_be_read_but_once_are_kept_for_the_app():
    seen = []

    async def app(scope, receive, send):
        seen.append(list(scope["headers"]))
        await respond(send)

    request(wrap(app), scope=scope_for() | {"headers": iter([(b"host", b"h")])})
    assert seen == [[(b"host", b"h")]]


def test_of_two_cookies_of_one_name_the_first_counts():
    """R1."""
    seen = []
    header = f"session={cookie_of({'a': 1})}; session={cookie_of({'a': 2})}".encode()
    request(wrap(app_that(lambda s: seen.append(dict(s)))), headers=[(b"cookie", header)])
    assert seen == [{"a": 1}]


# exclude


@pytest.mark.parametrize(
    ("path", "root_path", "excluded"),
    [
        ("/static", "", True),
        ("/static/x.css", "", True),
        ("/statics", "", False),
        ("/", "", False),
        ("/api/static/x", "", False),
        ("/api/static/x", "/api", True),
        ("/api/static/x", "/api/", True),
        ("/static/x", "/api", True),
        ("/apistatic/x", "/api", False),
        ("/api", "/api", False),
        ("/SIX/static/x", "/SIX", True),
        ("/a/b", "", True),
        ("/a", "", False),
    ],
)
def test_exclude_takes_whole_segments_below_root_path(path, root_path, excluded):
    seen = []

    async def app(scope, receive, send):
        seen.append("session" not in scope)
        await respond(send)

    request(wrap(app, exclude=["/static/", "/a/b"]), path=path, root_path=root_path)
    assert seen == [excluded]


def test_exclude_may_be_a_callable_on_the_scope():
    seen = []

    async def app(scope, receive, send):
        seen.append("session" in scope)
        await respond(send)

    wrapped = wrap(app, exclude=lambda scope: scope["path"] == "/health")
    request(wrapped, path="/health")
    request(wrapped, path="/")
    assert seen == [False, True]


# Names and settings


class InBytes:
    """A serializer that makes bytes, as msgpack's do."""

    def dumps(self, value):
        return json.dumps(value).encode()

    def loads(self, text):
        assert type(text) is bytes
        return json.loads(text)


def test_serializer_may_make_bytes():
    cookie = cookie_of({"a": [1]}, serializer=InBytes())
    answer = request(wrap(app_that(lambda s: s["a"].append(2)), serializer=InBytes()), cookie)
    assert read(answer.cookie, serializer=InBytes()) == {"a": [1, 2]}


def test_scope_key_and_cookie_name_can_be_set():
    async def app(scope, receive, send):
        assert "session" not in scope
        scope["flask"]["a"] = 1
        await respond(send)

    assert request(wrap(app, scope_key="flask", cookie_name="s")).set_cookie.startswith("s=")


def test_keyword_beside_settings_replaces_the_field():
    settings = Settings(secret=SECRET, cookie_name="one", vary="always")
    app = FlaskSessionASGI(app_that(nothing), "another-secret-of-tests", settings=settings, cookie_name="two")
    assert (app.settings.cookie_name, app.settings.vary, app.settings.secret) == (
        "two",
        "always",
        "another-secret-of-tests",
    )
    assert FlaskSessionASGI(app_that(nothing), settings=settings, cookie_name="two").settings.cookie_name == "two"
    assert FlaskSessionASGI(app_that(nothing), settings=settings).settings is settings


@pytest.mark.parametrize("arguments", [(), ("",), (None,)])
def test_missing_secret_is_refused(arguments):
    with pytest.raises(SettingsError, match="secret"):
        FlaskSessionASGI(app_that(nothing), *arguments)


def test_settings_of_another_type_are_refused():
    with pytest.raises(SettingsError, match="from_mapping"):
        FlaskSessionASGI(app_that(nothing), settings={})


def test_app_that_cannot_be_called_is_refused():
    with pytest.raises(SettingsError, match="FlaskSessionASGI\\(app, secret\\)"):
        FlaskSessionASGI("app", SECRET)


def test_rotated_key_reads_and_the_current_one_writes():
    """Q12, CVE-2025-47278."""
    old = cookie_of({"a": 1})
    app = wrap(app_that(lambda s: s.update(b=1)), secret="the-new-secret-of-the-tests", secret_fallbacks=[SECRET])
    value = request(app, old).cookie
    alone = ClientSide(Settings(secret="the-new-secret-of-the-tests"), lambda: NOW)
    assert dict(alone.open(value.encode(), {})) == {"a": 1, "b": 1}


def test_nothing_secret_is_in_a_repr_or_a_log(caplog):
    """W14."""
    caplog.set_level(logging.DEBUG)
    value = cookie_of({"a": "stored-value"})
    app = wrap(app_that(nothing))
    request(app, value)
    request(app, value[:-1] + "!")
    shown = f"{app!r} {app.settings!r} {caplog.text}"
    assert "refused" in caplog.text
    for secret in (SECRET, value, "stored-value"):
        assert secret not in shown
