"""DESIGN S3 to S9: sessions in a store, over MemoryStore, on asyncio and trio."""

import json
import random
from types import MappingProxyType

import anyio
import pytest
from driver import SECRET, nothing, request, respond, scope_for
from itsdangerous import Signer
from stores.site import (
    DELETION,
    METHODS,
    UNKNOWN,
    WEBSOCKET,
    late,
    loading,
    meanwhile,
    opened,
    raising,
    replaced_by,
    rest,
    saving,
    with_line,
)

from asgi_flask_session import Session, SessionNotLoaded, Settings, StoreUnavailable, UnwritableSession, logs
from asgi_flask_session.server_side import ServerSide
from asgi_flask_session.stores.memory import MemoryStore


@pytest.fixture
def site(loop, clock, caplog):
    with opened(loop, clock, caplog) as site:
        yield site


# Reading and writing


def test_anonymous_requests_leave_no_record(site):
    """ST-45."""
    app = site.app(lambda session: session.get("user"))
    answers = [request(app, run=site.run) for _ in range(50)]
    assert site.store.calls == []
    assert {(answer.set_cookie, *answer.vary) for answer in answers} == {(None, b"Cookie")}


def test_untouched_request_asks_once_and_gets_neither_cookie_nor_vary(site):
    cookie = site.begin(a=1)
    assert site.ask(nothing, cookie).headers == []
    assert site.store.calls == ["get"]
    assert site.ask(nothing, cookie, vary="always").vary == [b"Cookie"]


LOOKS = {
    "item": lambda s: s["l"],
    "len": len,
    "in": lambda s: "a" in s,
    "copy": lambda s: s.copy(),
    "repr": repr,
    "permanent": lambda s: s.permanent,
    "items": lambda s: s.items(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_read_writes_nothing_and_varies(site, look):
    answer = site.ask(look, site.begin(l=[1]))
    assert (answer.set_cookie, answer.vary, site.store.calls) == (None, [b"Cookie"], ["get"])


def test_write_sends_the_id_and_keeps_the_data_in_the_store(site):
    seen = []
    answer = site.ask(lambda session: (session.update(user="ada"), seen.append((session.new, session.sid))))
    assert answer.set_cookie == f"session={answer.cookie}; HttpOnly; Path=/"
    assert len(answer.cookie) == 43
    assert answer.vary == [b"Cookie"]
    assert site.store.raw == {answer.cookie: b'{"user":"ada"}'}
    assert site.store.calls == ["create"]
    site.ask(lambda session: seen.append((dict(session), session.new, session.sid)), answer.cookie)
    assert seen == [(True, None), ({"user": "ada"}, False, answer.cookie)]


def test_every_change_keeps_the_id_and_sends_the_cookie_again(site):
    cookie = site.begin(a=1)
    answer = site.ask(lambda session: session.update(b=2), cookie)
    assert (answer.cookie, answer.vary, site.store.calls) == (cookie, [b"Cookie"], ["get", "replace"])
    assert site.store.data == {cookie: {"a": 1, "b": 2}}


def test_nested_change_is_seen(site):
    cookie = site.begin(l=[1])
    assert site.ask(lambda session: session["l"].append(2), cookie).cookie == cookie
    assert site.read(cookie) == {"l": [1, 2]}
    assert site.ask(lambda session: session["l"].append(3), cookie, detect_nested=False).set_cookie is None
    assert site.read(cookie) == {"l": [1, 2]}


@pytest.mark.parametrize("detect_nested", [True, False])
def test_change_is_written_once(site, detect_nested):
    cookie = site.begin(a=1)
    site.ask(lambda session: session.update(b=[1]), cookie, detect_nested=detect_nested)
    assert site.store.calls == ["get", "replace"]


def test_two_visitors_have_two_sessions(site):
    one, two = site.begin(n=1), site.begin(n=2)
    assert site.store.data == {one: {"n": 1}, two: {"n": 2}}


@pytest.mark.parametrize(
    "empty",
    [lambda s: s.clear(), lambda s: s.pop("a"), lambda s: s.popitem(), lambda s: s.__delitem__("a")],
    ids=["clear", "pop", "popitem", "del"],
)
def test_emptied_session_is_deleted_with_its_cookie(site, empty):
    settings = {"cookie_domain": "example.com", "cookie_secure": True, "cookie_samesite": "Lax"}
    answer = site.ask(empty, site.begin(a=1, of=settings), **settings)
    assert answer.set_cookie == (
        "session=; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;"
        " Secure; HttpOnly; Path=/; SameSite=Lax"
    )
    assert (answer.vary, site.store.raw) == ([b"Cookie"], {})


def test_permanent_and_nothing_else_is_an_empty_session(site):
    """As Flask-Session has it."""
    assert site.ask(lambda session: setattr(session, "permanent", True)).set_cookie is None
    cookie = site.begin(a=1, _permanent=True)
    assert site.ask(lambda session: session.pop("a"), cookie).set_cookie.startswith("session=;")
    assert site.store.raw == {}


def test_emptying_what_never_was_sends_no_deletion(site):
    assert site.ask(lambda session: session.clear()).set_cookie is None
    assert site.ask(lambda session: (session.update(a=1), session.clear())).set_cookie is None
    assert site.ask(lambda session: session.clear(), UNKNOWN).set_cookie.startswith("session=;")
    assert site.store.raw == {}


# Ids


@pytest.mark.parametrize(
    "value",
    [
        "", ";", "a", "a" * 15, "*" * 20, "../../../../etc/passwd", "a" * 129, "a" * 60_000, "a b" * 10,
        "id\x00of-a-right-length", "id\r\nof-a-right-length", "\xff" * 20, "é" * 20, '"' + "a" * 20,
        "session:aaaaaaaaaaaaaaaa",
    ],
    ids=lambda value: f"{len(value)}: {value[:20]!a}",
)  # fmt: skip
def test_what_is_no_id_is_never_looked_up(site, value):
    """ST-05."""
    answer = site.ask(lambda session: session.update(a=1), value)
    assert site.store.calls == ["create"]
    assert list(site.store.raw) == [answer.cookie]


def test_unknown_id_is_never_adopted(site):
    """ST-01."""
    answer = site.ask(lambda session: session.update(a=1), UNKNOWN)
    assert site.store.calls == ["get", "create"]
    assert site.store.data == {answer.cookie: {"a": 1}}
    assert answer.cookie != UNKNOWN


def test_id_that_the_store_has_already_is_not_taken_over(site, monkeypatch):
    monkeypatch.setattr("asgi_flask_session.ids.token_urlsafe", lambda size: UNKNOWN)
    site.store.put(UNKNOWN, b'{"of":"somebody"}')
    assert site.ask(lambda session: session.update(a=1)).status == 503
    assert site.store.data == {UNKNOWN: {"of": "somebody"}}


def test_signed_id_that_is_not_ours_is_never_looked_up(site):
    cookie = site.begin(a=1, of={"sign_ids": True})
    sid, dot, signature = cookie.partition(".")
    for forged in (sid, f"{sid}.{signature[:-1]}", f"{UNKNOWN}.{signature}", f"{sid}.", f"{cookie}.{signature}"):
        assert site.read(forged, sign_ids=True) == {}
        assert site.store.calls == []
    assert dot
    assert site.read(cookie, sign_ids=True) == {"a": 1}
    assert list(site.store.raw) == [sid]


def test_signed_id_is_read_with_all_keys_and_written_with_the_current_one(site):
    cookie = site.begin(a=1, of={"sign_ids": True})
    rotated = {"sign_ids": True, "secret": "the-new-secret-of-the-tests", "secret_fallbacks": [SECRET]}
    again = site.ask(lambda session: session.update(b=1), cookie, **rotated).cookie
    assert again != cookie
    assert again.partition(".")[0] == cookie.partition(".")[0]
    assert site.read(again, sign_ids=True, secret="the-new-secret-of-the-tests") == {"a": 1, "b": 1}
    assert site.read(cookie, sign_ids=True, secret="the-new-secret-of-the-tests") == {}


@pytest.mark.parametrize("salt", ["flask-session", "quart-session"])
def test_ids_are_signed_with_the_salt_that_is_given(salt):
    side = ServerSide(Settings(SECRET, store="memory:", sign_ids=True), id_salt=salt)
    assert side.ids.spell(UNKNOWN) == Signer(SECRET, salt, key_derivation="hmac").sign(UNKNOWN)


def test_ids_of_the_length_and_keys_of_the_prefix_that_are_set(site):
    cookie = site.begin(a=1, of={"id_bytes": 64, "key_prefix": "shop:"})
    assert len(cookie) == 86
    assert list(site.store._kept) == [f"shop:{cookie}"]
    assert site.read(cookie) == {}
    assert site.read(cookie, key_prefix="shop:") == {"a": 1}


@pytest.mark.parametrize(
    ("value", "noted"),
    [("no-id", "it is no id"), (UNKNOWN, "the store has no session under its id"), (None, ""), ("good", "")],
)
def test_reason_why_a_cookie_is_refused_is_noted(site, caplog, value, noted):
    cookie = site.begin(a=1) if value == "good" else value
    caplog.clear()
    site.ask(nothing, cookie)
    assert [noted in entry.getMessage() for entry in caplog.records] == [True] * bool(noted)


# New ids


def test_regenerate_kills_the_old_id_and_keeps_the_data(site):
    cookie = site.begin(a=1)
    answer = site.ask(lambda session: session.regenerate(), cookie)
    assert answer.cookie not in (cookie, None)
    assert site.store.data == {answer.cookie: {"a": 1}}


def test_regenerate_twice_leaves_one_id(site):
    """ST-04."""

    async def app(scope, receive, send):
        scope["session"].regenerate()
        scope["session"].regenerate()
        await scope["session"].save()
        between.append(scope["session"].sid)
        scope["session"].regenerate()
        await respond(send)

    between = []
    cookie = site.begin(a=1)
    answer = site.ask(app, cookie)
    assert len({cookie, answer.cookie, *between}) == 3
    assert site.store.data == {answer.cookie: {"a": 1}}


def test_regenerate_saved_early_is_what_the_response_says(site):
    async def app(scope, receive, send):
        scope["session"].regenerate()
        await scope["session"].save()
        await respond(send)

    answer = site.ask(app, site.begin(a=1))
    assert site.store.data == {answer.cookie: {"a": 1}}
    assert site.store.calls == ["get", "create", "replace", "touch", "delete"]


def test_regenerate_of_a_session_without_data_begins_none(site):
    assert site.ask(lambda session: session.regenerate()).set_cookie is None
    assert site.store.raw == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.update(_user_id="8"),
        lambda session: session.pop("_user_id"),
        lambda session: (session.clear(), session.update(cart=[1])),
    ],
    ids=["another user", "logout that keeps the cart", "all new"],
)
def test_new_id_where_another_is_logged_in_or_all_data_went(site, change):
    """ST-02."""
    cookie = site.begin(_user_id="7", cart=[1])
    answer = site.ask(change, cookie)
    assert answer.cookie not in (cookie, None)
    assert list(site.store.raw) == [answer.cookie]


def test_same_user_keeps_the_id(site):
    cookie = site.begin(_user_id="7")
    assert site.ask(lambda session: session.update(_user_id="7", n=1), cookie).cookie == cookie


def test_new_record_has_the_whole_lifetime(site):
    answer = site.ask(lambda session: session.regenerate(), site.begin(a=1, of={"permanent_lifetime": 1000}))
    site.clock.tick(900)
    assert site.read(answer.cookie) == {"a": 1}


# Lifetimes

LIFETIME = {"permanent_lifetime": 100}


@pytest.mark.parametrize(("age", "there"), [(99, True), (100, False), (101, False)])
def test_session_ends_after_its_lifetime(site, age, there):
    cookie = site.begin(a=1, of=LIFETIME)
    site.clock.tick(age)
    assert bool(site.read(cookie, **LIFETIME)) is there


def test_write_begins_the_lifetime_anew_and_a_read_does_not(site):
    cookie = site.begin(a=1, of=LIFETIME)
    site.clock.tick(60)
    site.ask(lambda session: session.update(b=1), cookie, **LIFETIME)
    site.clock.tick(60)
    assert site.read(cookie, **LIFETIME) == {"a": 1, "b": 1}
    site.clock.tick(60)
    assert site.read(cookie, **LIFETIME) == {}


def test_late_write_does_not_bring_an_expired_session_back(site):
    """ST-13."""
    cookie = site.begin(a=1, of=LIFETIME)
    answer = site.ask(lambda session: (site.clock.tick(101), session.update(b=1)), cookie, **LIFETIME)
    assert (answer.set_cookie, site.store.raw, len(site.said)) == (None, {}, 1)


def test_permanent_session_is_touched_with_each_request_and_never_written(site):
    cookie = site.begin(a=1, _permanent=True, of=LIFETIME)
    for _ in range(3):
        site.clock.tick(60)
        answer = site.ask(nothing, cookie, **LIFETIME)
        assert site.store.calls == ["get", "touch"]
        assert (answer.cookie, answer.vary) == (cookie, [b"Cookie"])
    assert "Expires=Tue, 14 Nov 2023 22:18:00 GMT;" in answer.set_cookie
    assert site.store.data == {cookie: {"_permanent": True, "a": 1}}


def test_permanent_session_is_not_refreshed_where_flask_would_not(site):
    cookie = site.begin(a=1, _permanent=True)
    assert site.ask(nothing, cookie, refresh_each_request=False).headers == []
    assert site.store.calls == ["get"]


def test_refresh_after_waits_for_the_last_renewal_to_age(site):
    app = site.app(
        lambda session: session.setdefault("_permanent", True) and session.setdefault("a", 1), refresh_after=60
    )
    cookie = request(app, run=site.run).cookie
    calls = []
    for seconds in (60, 1, 60, 1):
        site.clock.tick(seconds)
        site.store.calls.clear()
        answer = request(app, cookie, run=site.run)
        calls.append((*site.store.calls, answer.cookie == cookie))
    assert calls == [("get", False), ("get", "touch", True)] * 2


def test_process_that_does_not_know_when_a_session_was_renewed_renews_it(site):
    cookie = site.begin(a=1, _permanent=True)
    assert site.ask(nothing, cookie, refresh_after=60).cookie == cookie


def test_what_is_remembered_of_renewals_is_bounded(site, monkeypatch):
    monkeypatch.setattr("asgi_flask_session.server_side._RENEWED", 2)
    app = site.app(lambda session: session.update(a=1), refresh_after=60)
    for _ in range(5):
        request(app, run=site.run)
        assert len(app._server._renewed) <= 2


def test_refresh_of_a_session_that_ended_meanwhile_is_silent(site):
    """ST-11."""
    cookie = site.begin(a=1, _permanent=True)
    answer = site.ask(lambda session: site.store.lose(), cookie)
    assert (answer.headers, site.store.raw, site.said) == ([], {}, [])


def test_change_after_such_a_refresh_is_dropped_with_a_warning(site):
    cookie = site.begin(a=1, _permanent=True)

    async def app(scope, receive, send):
        site.store.lose()
        await respond(send)
        scope["session"]["b"] = 1

    assert site.ask(app, cookie).set_cookie is None
    assert ["a session ended while a request was changing it" in said for said in site.said] == [True]


def test_new_sessions_are_permanent_where_that_is_set(site):
    def begin_otherwise(session):
        session.update(a=1)
        session.permanent = False

    permanent, other = site.begin(a=1, of={"permanent": True}), site.ask(begin_otherwise, permanent=True)
    assert "Expires" not in other.set_cookie
    assert site.store.data == {permanent: {"_permanent": True, "a": 1}, other.cookie: {"_permanent": False, "a": 1}}
    old = site.begin(a=1)
    site.ask(lambda session: session.update(b=1), old, permanent=True)
    assert site.store.data[old] == {"a": 1, "b": 1}


def test_cookie_lasts_where_another_request_made_the_session_permanent(site):
    cookie = site.begin(a=1)
    change = meanwhile(site, cookie, b'{"_permanent":true,"a":1}', lambda session: session.update(b=1))
    assert "; Expires=" in site.ask(change, cookie).set_cookie


# absolute_lifetime

LIMIT = {"absolute_lifetime": 100}


def test_absolute_lifetime_ends_a_session_however_often_it_was_written(site):
    cookie = site.begin(a=1, of=LIMIT)
    for _ in range(2):
        site.clock.tick(50)
        assert site.ask(lambda session: session.update(b=1), cookie, **LIMIT).cookie == cookie
    site.clock.tick(1)
    assert site.read(cookie, **LIMIT) == {}


def test_session_that_is_over_makes_room_for_one_that_begins_now(site):
    cookie = site.begin(a=1, of=LIMIT)
    site.clock.tick(101)
    new = site.ask(lambda session: session.update(b=1), cookie, **LIMIT).cookie
    assert new != cookie
    assert site.read(new, **LIMIT) == {"b": 1}


def test_app_never_sees_the_beginning(site):
    cookie = site.begin(a=1, of=LIMIT)
    assert site.store.data == {cookie: {"_began": 1_700_000_000, "a": 1}}
    assert site.read(cookie, **LIMIT) == {"a": 1}
    site.ask(lambda session: session.pop("a"), cookie, **LIMIT)
    assert site.store.raw == {}


def test_clearing_and_regenerating_keep_the_beginning(site):
    cookie = site.begin(a=1, of=LIMIT)
    site.clock.tick(70)
    cookie = site.ask(lambda session: (session.clear(), session.update(b=1)), cookie, **LIMIT).cookie
    cookie = site.ask(lambda session: session.regenerate(), cookie, **LIMIT).cookie
    assert site.store.data == {cookie: {"_began": 1_700_000_000, "b": 1}}


def test_record_without_a_beginning_gets_one_with_a_write_or_a_refresh_and_not_by_a_read(site):
    cookie = site.begin(l=[1])
    site.ask(lambda session: session["l"], cookie, **LIMIT)
    assert site.store.data == {cookie: {"l": [1]}}
    permanent = site.begin(a=1, _permanent=True)
    assert site.ask(nothing, permanent, **LIMIT).cookie == permanent
    assert site.store.data[permanent]["_began"] == 1_700_000_000
    site.ask(nothing, permanent, **LIMIT)
    assert site.store.calls == ["get", "touch"]


def test_beginning_by_a_clock_that_was_ahead_is_one(site):
    """ST-40."""
    cookie = site.begin(a=1, of=LIMIT)
    site.clock.tick(-3600)
    assert site.read(cookie, **LIMIT) == {"a": 1}


@pytest.mark.parametrize("began", [None, True, "never", -1, 10**400], ids=lambda began: str(began)[:9])
def test_beginning_that_is_no_time_is_not_believed(site, began):
    site.store.put(UNKNOWN, json.dumps({"a": 1, "_began": began}).encode())
    assert site.ask(lambda session: session.update(b=1), UNKNOWN, **LIMIT).cookie == UNKNOWN
    assert site.store.data == {UNKNOWN: {"_began": 1_700_000_000, "a": 1, "b": 1}}


def test_merge_keeps_the_beginning(site):
    cookie = site.begin(a=1, of=LIMIT)
    theirs = b'{"_began":1700000000,"a":1,"theirs":1}'
    site.ask(meanwhile(site, cookie, theirs, lambda session: session.update(ours=1)), cookie, **LIMIT)
    assert site.store.data == {cookie: {"_began": 1_700_000_000, "a": 1, "theirs": 1, "ours": 1}}


# Other writers


MERGES = {
    "both set": (
        b'{"v":1,"keep":1,"theirs":1}',
        lambda s: s.update(ours=1),
        {"v": 1, "keep": 1, "theirs": 1, "ours": 1},
    ),
    "both set one key": (b'{"v":2,"keep":1}', lambda s: s.update(v=3), {"v": 3, "keep": 1}),
    "they delete what we change": (b'{"keep":1}', lambda s: s.update(v=3), {"keep": 1}),
    "we delete what they change": (b'{"v":2,"keep":1}', lambda s: s.pop("v"), {"keep": 1}),
    "we delete one, they another": (b'{"v":1,"n":1}', lambda s: s.pop("v"), {"n": 1}),
    "we clear": (b'{"v":1,"keep":1,"n":1}', lambda s: (s.clear(), s.update(new=1)), {"new": 1}),
    "1 is not True": (b'{"v":1,"keep":1,"n":1}', lambda s: s.update(v=True), {"v": True, "keep": 1, "n": 1}),
}


@pytest.mark.parametrize(("theirs", "change", "merged"), MERGES.values(), ids=MERGES.keys())
def test_changes_of_two_requests_make_one_record(site, theirs, change, merged):
    cookie = site.begin(v=1, keep=1)
    answer = site.ask(meanwhile(site, cookie, theirs, change), cookie)
    assert site.store.data == {answer.cookie: merged}
    assert type(site.store.data[answer.cookie].get("v")) is type(merged.get("v"))
    assert site.said == []


def test_changes_that_leave_nothing_end_the_session(site):
    cookie = site.begin(a=1, b=1)
    answer = site.ask(meanwhile(site, cookie, b'{"b":1}', lambda session: session.pop("b")), cookie)
    assert answer.set_cookie.startswith("session=;")
    assert site.store.raw == {}


def test_change_of_a_session_that_another_writer_emptied_is_dropped(site):
    cookie = site.begin(a=1)
    answer = site.ask(meanwhile(site, cookie, b"{}", lambda session: session.update(b=1)), cookie)
    assert (answer.set_cookie, site.store.raw) == (None, {cookie: b"{}"})
    assert ["a session ended while a request was changing it" in said for said in site.said] == [True]


def test_logout_of_which_nothing_is_left_takes_its_new_record_back(site):
    cookie = site.begin(_user_id="7", b=1)
    change = meanwhile(site, cookie, b'{"_user_id":"7"}', lambda session: session.pop("_user_id"))
    assert site.ask(change, cookie).set_cookie.startswith("session=;")
    assert "create" in site.store.calls
    assert site.store.raw == {}


def test_pop_of_the_last_key_leaves_what_another_wrote(site):
    cookie = site.begin(flash=1)
    answer = site.ask(meanwhile(site, cookie, b'{"flash":1,"cart":1}', lambda session: session.pop("flash")), cookie)
    assert answer.cookie == cookie
    assert site.store.data == {cookie: {"cart": 1}}


def test_logout_by_pops_takes_the_user_out_of_what_another_wrote(site):
    cookie = site.begin(_user_id="7")
    answer = site.ask(
        meanwhile(site, cookie, b'{"_user_id":"7","n":1}', lambda session: session.pop("_user_id")), cookie
    )
    assert answer.cookie not in (cookie, "")
    assert site.store.data == {answer.cookie: {"n": 1}}


ENDS = {"deleted": None, "regenerated": b"ended", "damaged": b"\xc1\xff"}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize(
    "change",
    [lambda s: s.update(b=1), lambda s: s.regenerate(), lambda s: s.update(_user_id="7"), lambda s: s.pop("a")],
    ids=["write", "regenerate", "login", "pop"],
)
def test_session_that_ended_meanwhile_is_not_brought_back(site, end, change):
    """ST-10, ST-12."""
    cookie = site.begin(a=1, l=[])

    def handle(session):
        site.store.lose()
        if end is not None:
            site.store.put(cookie, end)
        change(session)

    for _ in range(2):
        site.store.put(cookie, b'{"a":1,"l":[]}')
        answer = site.ask(handle, cookie)
        assert answer.set_cookie is None
        assert site.store.raw == ({} if end is None else {cookie: end})
    assert len(site.said) == 1


def test_logout_of_a_session_that_ended_meanwhile_deletes_the_cookie(site):
    cookie = site.begin(a=1)
    answer = site.ask(lambda session: (site.store.lose(), session.clear()), cookie)
    assert answer.set_cookie.startswith("session=;")
    assert site.said == []


def test_what_cannot_be_written_in_five_hundred_tries_is_an_error(site, monkeypatch):
    cookie = site.begin(a=1)
    count = [0]

    async def another_writes(key):
        count[0] += 1
        site.store.put(cookie, b'{"a":1,"n":%d}' % count[0])

    async def no_wait(seconds):
        pass

    monkeypatch.setattr("asgi_flask_session.server_side.sleep", no_wait)
    site.store.before["replace"] = another_writes
    assert site.ask(lambda session: session.update(b=1), cookie).status == 503
    assert count == [500]


# Formats

msgpack = pytest.importorskip("msgspec").msgpack


def test_record_keeps_its_format_and_a_new_one_has_that_of_the_settings(site):
    site.store.put(UNKNOWN, msgpack.encode({"a": 1}))
    site.ask(lambda session: session.update(b=1), UNKNOWN)
    new = site.begin(a=1, of={"record_format": "msgpack"})
    assert {sid: msgpack.decode(record) for sid, record in site.store.raw.items()} == {
        UNKNOWN: {"a": 1, "b": 1},
        new: {"a": 1},
    }


def test_lazy_session_keeps_the_format_of_its_record(site):
    async def app(scope, receive, send):
        await scope["session"].load()
        scope["session"]["b"] = 1
        await respond(send)

    site.store.put(UNKNOWN, msgpack.encode({"a": 1}))
    site.ask(app, UNKNOWN, lazy=True)
    assert msgpack.decode(site.store.raw[UNKNOWN]) == {"a": 1, "b": 1}


@pytest.mark.parametrize("form", ["tagged", "json", "msgpack"])
@pytest.mark.parametrize("text", ["[" * 1000, "x" * (1024 * 1024 - 8)], ids=["of brackets", "as long as can be"])
def test_text_goes_round(site, form, text):
    assert site.read(site.begin(a=text, of={"record_format": form})) == {"a": text}


@pytest.mark.parametrize("record", [b"{}", b'{"_addr":"192.0.2.9","a":1}'], ids=["ended", "of another address"])
def test_record_that_is_refused_gives_its_format_to_nobody(site, record):
    site.store.put(UNKNOWN, record)
    settings = {"record_format": "msgpack", "protection": True}
    new = site.ask(lambda session: session.update(b=b"1"), UNKNOWN, to={"client": ("192.0.2.1", 1)}, **settings).cookie
    assert msgpack.decode(site.store.raw[new]) == {"_addr": "192.0.2.1", "b": b"1"}


# Saving early


def test_save_writes_at_once_and_what_changes_after_it_too(site):
    async def app(scope, receive, send):
        scope["session"]["a"] = [1]
        await scope["session"].save()
        between.append((scope["session"].sid, site.store.data))
        scope["session"]["a"].append(2)
        await respond(send)

    between = []
    answer = site.ask(app)
    assert between == [(answer.cookie, {answer.cookie: {"a": [1]}})]
    assert site.store.data == {answer.cookie: {"a": [1, 2]}}


@pytest.mark.parametrize("permanent", [False, True])
def test_save_is_not_done_again_where_nothing_changed(site, permanent):
    app = saving(lambda session: session.update(b=1), lambda session: session["b"])
    answer = site.ask(app, site.begin(a=1, _permanent=permanent))
    assert answer.cookie
    assert site.store.calls == ["get", "replace"]


def test_save_then_pop(site):
    cookie = site.begin(a=1)
    site.ask(saving(lambda session: session.update(b=1), lambda session: session.pop("b")), cookie)
    assert site.store.calls == ["get", "replace", "replace"]
    assert site.store.data == {cookie: {"a": 1}}


def test_save_then_clear(site):
    app = saving(lambda session: session.update(b=1), lambda session: session.clear())
    assert site.ask(app).set_cookie is None
    assert site.ask(app, site.begin(a=1)).set_cookie.startswith("session=;")
    assert site.store.raw == {}


def test_clear_and_save_then_a_new_beginning(site):
    cookie = site.begin(a=1)
    answer = site.ask(saving(lambda session: session.clear(), lambda session: session.update(b=1)), cookie)
    assert answer.cookie not in (cookie, None, "")
    assert site.store.data == {answer.cookie: {"b": 1}}


def test_save_of_an_unchanged_session_writes_nothing(site):
    assert site.ask(saving(nothing)).headers == []
    assert site.store.calls == []
    cookie = site.begin(a=1)
    assert site.ask(saving(nothing), cookie).headers == []
    assert site.store.calls == ["get"]


def test_save_after_which_another_logs_out_sends_no_cookie(site):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        await scope["session"].save()
        site.store.lose()
        scope["session"]["c"] = 1
        await respond(send)

    assert site.ask(app, cookie).set_cookie is None
    assert site.store.raw == {}


def test_what_another_wrote_between_two_saves_is_kept(site):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        session = scope["session"]
        for key in ("b", "c", "d"):
            site.store.put(cookie, json.dumps({**site.store.data[cookie], f"their {key}": 1}).encode())
            session[key] = 1
            await session.save()
        await respond(send)

    assert site.ask(app, cookie).cookie == cookie
    assert site.store.data == {cookie: dict.fromkeys(("a", "b", "c", "d", "their b", "their c", "their d"), 1)}


def test_what_another_wrote_before_the_first_of_two_saves_is_kept_by_the_second(site):
    cookie = site.begin(a=1)
    before = meanwhile(site, cookie, b'{"a":1,"theirs":1}', lambda session: session.update(b=1))
    site.ask(saving(before, lambda session: session.update(c=1)), cookie)
    assert site.store.data == {cookie: {"a": 1, "theirs": 1, "b": 1, "c": 1}}


def test_login_that_was_saved_early_needs_one_new_id(site):
    app = saving(lambda session: session.update(_user_id="7"), lambda session: session.update(b=1))
    answer = site.ask(app, site.begin(a=1))
    assert site.store.calls.count("create") == 1
    assert site.store.data == {answer.cookie: {"a": 1, "_user_id": "7", "b": 1}}


@pytest.mark.parametrize(
    ("change", "data"),
    [
        (lambda session: session.regenerate(), {"a": 1, "theirs": 1}),
        (lambda session: (session.clear(), session.update(b=1)), {"b": 1}),
    ],
    ids=["regenerate", "all new"],
)
def test_new_id_whose_save_failed_is_given_by_the_response(site, change, data):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        change(scope["session"])
        site.store.before["create"] = raising(OSError())
        with pytest.raises(StoreUnavailable):
            await scope["session"].save()
        site.store.before.clear()
        site.store.put(cookie, b'{"a":1,"theirs":1}')
        await respond(send)

    answer = site.ask(app, cookie)
    assert answer.cookie not in (cookie, None)
    assert site.store.data == {answer.cookie: data}


def test_save_that_fails_is_made_up_for_by_the_response(site):
    async def app(scope, receive, send):
        scope["session"]["a"] = {1}
        with pytest.raises(UnwritableSession):
            await scope["session"].save()
        scope["session"]["a"] = 1
        await respond(send)

    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"a": 1}}


def test_second_save_that_fails_is_made_up_for_by_the_response(site):
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await scope["session"].save()
        scope["session"]["b"] = 1
        site.store.before["replace"] = raising(OSError())
        with pytest.raises(StoreUnavailable):
            await scope["session"].save()
        site.store.before.clear()
        await respond(send)

    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"a": 1, "b": 1}}


def test_two_saves_at_once_make_one_record(site):
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        async with anyio.create_task_group() as group:
            group.start_soon(scope["session"].save)
            group.start_soon(scope["session"].save)
        await respond(send)

    site.store.before["create"] = rest
    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"a": 1}}
    assert site.store.calls.count("create") == 2  # one for each save


def test_change_of_another_task_while_a_save_waits_is_saved_too(site):
    """What a save has not seen is not taken for saved."""
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        async def change(key):
            scope["session"]["meanwhile"] = 1
            site.store.before.clear()

        site.store.before["replace"] = change
        scope["session"]["b"] = 1
        await respond(send)

    site.ask(app, cookie)
    assert site.store.data == {cookie: {"a": 1, "b": 1, "meanwhile": 1}}
    assert site.said == []


# Late changes


@pytest.mark.parametrize("type_", ["http", "websocket"])
@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize(
    ("change", "data"),
    [
        (lambda s: s.update(b=1), {"l": [], "b": 1}),
        (lambda s: s["l"].append(1), {"l": [1]}),
        (lambda s: setattr(s, "permanent", True), {"l": [], "_permanent": True}),
        (lambda s: s.update(b=s.pop("l")), {"b": []}),
    ],
    ids=["update", "nested", "permanent", "pop"],
)
def test_change_after_the_headers_is_saved(site, change, data, save, type_):
    cookie = site.begin(l=[])
    answer = site.ask(late(change, save=save, type_=type_), cookie, to={"type": type_})
    assert (answer.set_cookie, site.store.data, site.said) == (None, {cookie: data}, [])
    assert site.store.calls == ["get", "replace"]


def test_value_put_in_before_the_headers_and_changed_after_them_is_saved(site):
    async def app(scope, receive, send):
        log = scope["session"]["log"] = []
        await respond(send)
        log.append(1)

    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"log": [1]}}


@pytest.mark.parametrize("type_", ["http", "websocket"])
def test_late_logout_ends_the_session(site, type_):
    cookie = site.begin(a=1)
    answer = site.ask(late(lambda session: session.clear(), type_=type_), cookie, to={"type": type_})
    assert (answer.set_cookie, site.store.raw) == (None, {})


@pytest.mark.parametrize("type_", ["http", "websocket"])
@pytest.mark.parametrize("save", [False, True])
def test_session_begun_after_the_headers_is_none_and_that_is_said_once(site, save, type_):
    app = late(lambda session: session.update(a=1), save=save, type_=type_)
    for _ in range(2):
        assert site.ask(app, to={"type": type_}).set_cookie is None
    assert site.store.calls == []
    assert ["begun after the headers" in said for said in site.said] == [True]


@pytest.mark.parametrize(
    ("change", "data"),
    [
        (lambda s: s.regenerate(), {"a": 1}),
        (lambda s: s.update(_user_id="7"), {"a": 1, "_user_id": "7"}),
        (lambda s: (s.clear(), s.update(b=1)), {"b": 1}),
    ],
    ids=["regenerate", "login", "all new"],
)
def test_late_new_id_is_saved_under_the_old_one_with_one_warning(site, change, data):
    cookie = site.begin(a=1)
    site.ask(late(change), cookie)
    assert site.store.data == {cookie: data}
    assert ["saved under the old one" in said for said in site.said] == [True]


def test_late_change_of_a_session_that_ended_meanwhile_is_dropped(site):
    cookie = site.begin(a=1)
    site.ask(late(lambda session: (site.store.lose(), session.update(b=1))), cookie)
    assert site.store.raw == {}
    assert len(site.said) == 1


@pytest.mark.parametrize(
    "value", [{"b": 1}, MappingProxyType({"b": 1}), Session({"b": 1})], ids=lambda v: type(v).__name__
)
def test_session_replaced_after_the_headers_is_saved(site, value):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        await respond(send)
        scope["session"] = value

    site.ask(app, cookie)
    assert site.store.data == {cookie: {"b": 1}}


def test_late_change_that_cannot_be_written_is_an_error_in_the_log(site):
    cookie = site.begin(a=1)
    answer = site.ask(late(lambda session: session.update(b={"stored-value"})), cookie)
    assert answer.status == 200
    assert site.store.data == {cookie: {"a": 1}}
    [said] = site.said
    assert "session['b']" in said


def test_late_change_that_the_store_refuses_is_an_error_in_the_log(site):
    cookie = site.begin(a=1)

    def change(session):
        site.store.before["replace"] = raising(OSError("stored-value"))
        session["b"] = 1

    for settings in ({}, {"on_store_error": "raise"}):
        logs.forget()
        assert site.ask(late(change), cookie, **settings).status == 200
    assert site.store.data == {cookie: {"a": 1}}
    assert ["OSError" in said for said in site.said] == [True, True]


def test_late_change_in_a_cancelled_request_is_merged_and_saved(site):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        scope["session"]["b"] = 1
        site.store.put(cookie, b'{"a":1,"theirs":1}')
        await anyio.sleep_forever()

    async def cancelled(app, scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(app, scope, receive, send)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    site.store.before.update(dict.fromkeys(METHODS, rest))
    app = site.app(app)
    request(lambda *arguments: cancelled(app, *arguments), cookie, run=site.run, type="websocket")
    assert site.store.data == {cookie: {"a": 1, "theirs": 1, "b": 1}}


# Websockets


@pytest.mark.parametrize("type_", ["websocket.accept", "websocket.http.response.start"])
def test_handshake_carries_the_cookie(site, type_):
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send({"type": type_, "status": 403})
        scope["session"]["b"] = 1

    answer = site.ask(app, to=WEBSOCKET)
    assert site.store.data == {answer.cookie: {"a": 1, "b": 1}}


def test_websocket_that_is_refused_saves_to_a_record_that_is_there(site):
    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        await send({"type": "websocket.close"})

    cookie = site.begin(a=1)
    assert site.ask(app, cookie, to=WEBSOCKET).messages == [{"type": "websocket.close"}]
    assert site.store.data == {cookie: {"a": 1, "b": 1}}
    assert site.said == []
    site.ask(app, to=WEBSOCKET)
    assert len(site.store.raw) == len(site.said) == 1


def test_websocket_saves_in_the_middle(site):
    cookie = site.begin(n=0)

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for number in (1, 2):
            scope["session"]["n"] = number
            await scope["session"].save()
            seen.append(site.store.data[cookie])

    seen = []
    site.ask(app, cookie, to=WEBSOCKET)
    assert seen == [{"n": 1}, {"n": 2}]


def test_migrated_session_of_a_refused_websocket_is_no_change_of_the_app(site):
    async def app(scope, receive, send):
        await send({"type": "websocket.close"})

    site.ask(app, to=WEBSOCKET, migrate_from=[lambda scope: {"from": "elsewhere"}])
    assert (site.said, site.store.calls) == ([], [])


# lazy


def test_lazy_session_that_nobody_uses_asks_no_store(site):
    cookie = site.begin(a=1, _permanent=True)
    assert site.ask(nothing, cookie, lazy=True).headers == []
    assert site.ask(nothing, cookie, lazy=True, to=WEBSOCKET).headers == []
    assert site.store.calls == []


USES = {
    "item": lambda s: s["a"],
    "get": lambda s: s.get("a"),
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "iteration": list,
    "dict()": dict,
    "repr": repr,
    "==": lambda s: s == {},
    "copy": lambda s: s.copy(),
    "unpacking": lambda s: {**s},
    "|": lambda s: s | {},
    "reversed |": lambda s: {} | s,
    "items": lambda s: s.items(),
    "permanent": lambda s: s.permanent,
    "permanent = True": lambda s: setattr(s, "permanent", True),
    "assignment": lambda s: s.__setitem__("a", 1),
    "del": lambda s: s.__delitem__("a"),
    "update": lambda s: s.update(a=1),
    "|=": lambda s: s.__ior__({"a": 1}),
    "clear": lambda s: s.clear(),
    "pop": lambda s: s.pop("a", None),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault("a", 1),
    "regenerate": lambda s: s.regenerate(),
    "mark_modified": lambda s: s.mark_modified(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_lazy_session_says_that_it_is_not_loaded(site, use):
    with pytest.raises(SessionNotLoaded, match=r"await session\.load\(\)"):
        site.ask(use, site.begin(a=1), lazy=True)


def test_lazy_session_is_like_any_other_once_it_is_loaded(site):
    cookie = site.begin(a=1)
    seen = []
    site.ask(
        loading(lambda session: seen.append((dict(session), session.new, session.sid, type(session)))),
        cookie,
        lazy=True,
    )
    assert seen == [({"a": 1}, False, cookie, Session)]
    assert site.ask(loading(), cookie, lazy=True).headers == []
    assert site.ask(loading(lambda session: session.update(b=1)), cookie, lazy=True).cookie == cookie
    assert site.store.calls == ["get", "replace"]
    assert site.store.data == {cookie: {"a": 1, "b": 1}}


@pytest.mark.parametrize("value", [None, UNKNOWN, "no id"])
def test_lazy_session_of_no_record_is_new(site, value):
    answer = site.ask(loading(lambda session: session.update(new=session.new)), value, lazy=True)
    assert site.store.data == {answer.cookie: {"new": True}}
    assert answer.cookie != UNKNOWN


def test_load_is_done_once_and_is_nothing_for_a_session_that_is_not_lazy(site):
    async def app(scope, receive, send):
        await scope["session"].load()
        scope["session"]["a"] = 2
        await scope["session"].load()
        await respond(send)

    cookie = site.begin(a=1)
    for lazy in (True, False):
        site.ask(app, cookie, lazy=lazy)
        assert site.store.calls == ["get", "replace"]
    assert site.read(cookie) == {"a": 2}


def test_two_tasks_that_load_one_session_lose_no_change(site):
    async def app(scope, receive, send):
        session = scope["session"]

        async def change(key):
            await session.load()
            session[key] = 1

        async with anyio.create_task_group() as group:
            group.start_soon(change, "b")
            group.start_soon(change, "c")
        await respond(send)

    cookie = site.begin(a=1)
    site.store.before["get"] = rest
    site.ask(app, cookie, lazy=True)
    assert site.store.data == {cookie: {"a": 1, "b": 1, "c": 1}}


def test_no_task_sees_a_lazy_session_before_it_is_known_to_be_good(site):
    async def is_revoked(session, signed_at):
        await rest()
        return True

    async def app(scope, receive, send):
        async def look():
            await scope["session"].load()
            seen.append(dict(scope["session"]))

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            group.start_soon(look)
        await respond(send)

    seen = []
    site.ask(app, site.begin(a=1), lazy=True, is_revoked=is_revoked)
    assert seen == [{}, {}]


def test_lazy_session_that_is_only_marked_is_not_written(site):
    cookie = site.begin(a=1)
    assert site.ask(lambda session: setattr(session, "modified", True), cookie, lazy=True).headers == []
    assert site.store.calls == []


@pytest.mark.parametrize("value", [{"b": 1}, MappingProxyType({"b": 1})], ids=lambda value: type(value).__name__)
def test_lazy_session_that_is_replaced_unloaded_is_replaced_and_not_merged(site, value):
    cookie = site.begin(a=1)
    assert site.ask(replaced_by(value), cookie, lazy=True).cookie == cookie
    assert site.store.data == {cookie: {"b": 1}}
    new = site.ask(replaced_by(value), UNKNOWN, lazy=True).cookie
    assert site.store.data == {cookie: {"b": 1}, new: {"b": 1}}
    assert new != UNKNOWN
    assert site.said == []


def test_lazy_session_replaced_unloaded_by_a_stranger_is_not_the_owners(site):
    """S9."""
    owner, thief = {"client": ("192.0.2.1", 1)}, {"client": ("192.0.2.66", 1)}
    cookie = site.begin(_user_id="7", of={"protection": True}, to=owner)
    for value in ({"b": 1}, None):
        assert site.ask(replaced_by(value), cookie, to=thief, lazy=True, protection=True).cookie != cookie
        assert site.store.data[cookie] == {"_addr": "192.0.2.1", "_user_id": "7"}


def test_lazy_session_of_a_stranger_is_not_ended_by_the_cookie_of_an_inner_app(site):
    """S9."""
    cookie = site.begin(_user_id="7", of=PROTECTED, to={"client": ("192.0.2.1", 1)})
    for line in (f"session={UNKNOWN}; Path=/", DELETION):
        site.ask(with_line(line), cookie, to={"client": ("192.0.2.66", 1)}, lazy=True, **PROTECTED)
        assert site.store.data == {cookie: {"_addr": "192.0.2.1", "_user_id": "7"}}


# is_revoked


def refuse(session, signed_at):
    assert signed_at is None
    return session.get("user") == "eve"


async def refuse_later(session, signed_at):
    await rest()
    return refuse(session, signed_at)


@pytest.mark.parametrize("is_revoked", [refuse, refuse_later], ids=["sync", "async"])
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("user", "data"), [("eve", {}), ("ada", {"user": "ada"})])
def test_is_revoked_empties_a_session(site, is_revoked, lazy, user, data):
    cookie = site.begin(user=user)
    seen = []
    app = loading(lambda session: seen.append((dict(session), session.new, session.sid)))
    answer = site.ask(app, cookie, is_revoked=is_revoked, lazy=lazy)
    assert seen == [(data, not data, cookie if data else None)]
    assert (answer.set_cookie, site.store.data) == (None, {cookie: {"user": user}})


@pytest.mark.parametrize("lazy", [False, True])
def test_revoked_visitor_begins_a_new_session(site, lazy):
    settings = {"is_revoked": refuse, "lazy": lazy, **LIMIT}
    cookie = site.begin(user="eve", of=LIMIT)
    site.clock.tick(50)
    answer = site.ask(loading(lambda session: session.update(user="ada")), cookie, **settings)
    assert site.store.data == {
        cookie: {"_began": 1_700_000_000, "user": "eve"},
        answer.cookie: {"_began": 1_700_000_050, "user": "ada"},
    }
    assert site.ask(loading(lambda session: session.clear()), cookie, **settings).set_cookie.startswith("session=;")
    assert cookie in site.store.raw


def test_asking_is_revoked_is_no_access_by_the_response(site):
    cookie = site.begin(l=[])
    assert site.ask(nothing, cookie, is_revoked=lambda session, signed_at: bool(session["l"])).headers == []
    assert site.store.calls == ["get"]


def test_is_revoked_is_not_asked_where_no_session_came(site):
    asked = []
    for value in (None, UNKNOWN, "no id"):
        site.ask(nothing, value, is_revoked=lambda *arguments: asked.append(arguments))
    assert asked == []


def test_refresh_is_asked_about_again_before_it_goes_out(site):
    revoked = []
    cookie = site.begin(a=1, _permanent=True)
    settings = {"is_revoked": lambda session, signed_at: bool(revoked)}
    answer = site.ask(lambda session: revoked.append(True), cookie, **settings)
    assert (answer.set_cookie, site.store.calls) == (None, ["get"])
    revoked.clear()
    assert site.ask(lambda session: (revoked.append(True), session.update(b=1)), cookie, **settings).cookie == cookie


def test_refresh_that_is_refused_is_none_after_the_headers_either(site):
    async def app(scope, receive, send):
        revoked.append(True)
        await respond(send)
        scope["session"]["l"]

    revoked = []
    cookie = site.begin(l=[], _permanent=True)
    answer = site.ask(app, cookie, is_revoked=lambda session, signed_at: bool(revoked))
    assert (answer.set_cookie, site.store.calls) == (None, ["get"])


# migrate_from


@pytest.mark.parametrize("lazy", [False, True])
def test_migrated_session_is_written_as_ours(site, lazy):
    seen = []
    app = loading(lambda session: seen.append((dict(session), session.new, session.sid)))
    readers = [lambda scope: None, lambda scope: {"from": scope["path"]}]
    new = site.ask(app, UNKNOWN, to={"path": "/old"}, migrate_from=readers, lazy=lazy).cookie
    assert site.ask(app, new, to={"path": "/old"}, migrate_from=readers, lazy=lazy).set_cookie is None
    assert seen == [({"from": "/old"}, False, None), ({"from": "/old"}, False, new)]
    assert site.store.data == {new: {"from": "/old"}}


@pytest.mark.parametrize("lazy", [False, True])
def test_migrated_session_that_is_revoked_is_not_written(site, lazy):
    app = loading(lambda session: session.items())
    settings = {"migrate_from": [lambda scope: {"user": "eve"}], "is_revoked": refuse, "lazy": lazy}
    assert site.ask(app, UNKNOWN, **settings).set_cookie is None
    assert site.store.raw == {}


def test_reader_that_reads_nothing_changes_nothing(site):
    assert site.ask(nothing, UNKNOWN, migrate_from=[lambda scope: {}]).headers == []


# exclude


def test_excluded_path_asks_no_store(site):
    cookie = site.begin(a=1)
    seen = []

    async def app(scope, receive, send):
        seen.append("session" in scope)
        await respond(send)

    for where in ({"path": "/static/x"}, {**WEBSOCKET, "path": "/static"}):
        site.ask(app, cookie, to=where, exclude=["/static"])
        assert site.store.calls == []
    assert seen == [False, False]


# Protection

PROTECTED = {"protection": True}


def behind(*forwarded, peer="192.0.2.254"):
    return {"client": (peer, 5), "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}


def test_session_is_bound_to_the_address_of_its_client(site):
    home, away = {"client": ("192.0.2.1", 1)}, {"client": ("192.0.2.2", 1)}
    cookie = site.begin(a=1, of=PROTECTED, to=home)
    assert site.store.data == {cookie: {"_addr": "192.0.2.1", "a": 1}}
    seen = []
    for where in (home, {"client": ("192.0.2.1", 2)}, away):
        site.ask(lambda session: seen.append((dict(session), session.new)), cookie, to=where, **PROTECTED)
    assert seen == [({"a": 1}, False), ({"a": 1}, False), ({}, True)]


def test_stranger_gets_a_session_of_his_own_and_the_owners_stays(site):
    """ST-63."""
    cookie = site.begin(a=1, of=PROTECTED, to={"client": ("192.0.2.1", 1)})
    before = site.store.raw
    away = {"client": ("192.0.2.2", 1)}
    site.ask(lambda session: session.clear(), cookie, to=away, **PROTECTED)
    site.ask(lambda session: session.regenerate(), cookie, to=away, **PROTECTED)
    assert site.store.raw == before
    his = site.ask(lambda session: session.update(b=1), cookie, to=away, **PROTECTED).cookie
    assert site.store.data == {cookie: {"_addr": "192.0.2.1", "a": 1}, his: {"_addr": "192.0.2.2", "b": 1}}


def test_record_of_another_address_ends_where_that_is_asked_for(site):
    """As Quart-Session does it."""
    cookie = site.begin(a=1, of=PROTECTED, to={"client": ("192.0.2.1", 1)})
    side = ServerSide(Settings(SECRET, store=site.store, **PROTECTED), site.clock, ends_foreign=True)
    session = site.run(side.open(cookie.encode(), {"client": ("192.0.2.2", 1)}))
    assert (dict(session), session.sid, site.store.raw) == ({}, None, {})


@pytest.mark.parametrize(
    "where",
    [{}, {"client": None}, {"client": ("", 0)}, {"client": ("/run/app.sock", None)}, {"client": ("testclient", 5)}],
    ids=str,
)
def test_unknown_address_has_no_session_and_that_is_said_once(site, where):
    cookie = site.begin(a=1, of=PROTECTED, to={"client": ("192.0.2.1", 1)})
    for value in (cookie, None) * 2:
        answer = site.ask(lambda session: session.update(b=len(session)), value, to=where, **PROTECTED)
        assert (answer.set_cookie, site.store.calls) == (None, [])
    assert ["the address of a client is not known" in said for said in site.said] == [True]
    assert site.store.data == {cookie: {"_addr": "192.0.2.1", "a": 1}}


def test_unknown_address_is_said_and_no_late_change_besides(site):
    async def app(scope, receive, send):
        scope["session"]["l"] = []
        await respond(send)
        scope["session"]["l"].append(1)
        scope["session"]["late"] = 1

    site.ask(app, **PROTECTED)
    assert ["the address of a client is not known" in said for said in site.said] == [True]


@pytest.mark.parametrize(
    ("where", "proxies", "good"),
    [
        (behind("192.0.2.1"), 1, True),
        (behind("203.0.113.9, 192.0.2.1"), 1, True),
        (behind("203.0.113.9", "192.0.2.1"), 1, True),
        (behind("192.0.2.1, 203.0.113.9"), 1, False),
        (behind("192.0.2.1", "203.0.113.9"), 1, False),
        (behind("192.0.2.1, 10.0.0.1"), 2, True),
        (behind("203.0.113.9, 192.0.2.1, 10.0.0.1"), 2, True),
        (behind("192.0.2.1"), 2, False),
        (behind(), 1, False),
        (behind(""), 1, False),
        (behind(peer="192.0.2.1"), 1, False),
        (behind("192.0.2.1, "), 1, False),
        (behind("192.0.2.1, unknown"), 1, False),
        (behind("203.0.113.9", peer="192.0.2.1"), 0, True),
    ],
    ids=str,
)
def test_only_the_word_of_the_configured_proxies_counts(site, where, proxies, good):
    """ST-60, ST-61."""
    cookie = site.begin(a=1, of=PROTECTED, to={"client": ("192.0.2.1", 1)})
    seen = []
    site.ask(lambda session: seen.append(dict(session)), cookie, to=where, trusted_proxies=proxies, **PROTECTED)
    assert seen == [{"a": 1} if good else {}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1", "::FFFF:c000:201"),
        ("192.0.2.1", "192.0.2.1:50000"),
        ("192.0.2.1", " 192.0.2.1 "),
        ("2001:db8::a", "2001:DB8:0:0:0:0:0:A"),
        ("2001:db8::a", "[2001:db8::a]"),
        ("2001:db8::a", "[2001:db8::a]:50000"),
    ],
)
def test_one_address_in_two_spellings(site, one, other):
    """ST-62."""
    settings = {"trusted_proxies": 1, **PROTECTED}
    cookie = site.begin(a=1, of=settings, to=behind(one))
    seen = []
    site.ask(lambda session: seen.append(dict(session)), cookie, to=behind(other), **settings)
    assert seen == [{"a": 1}]


def test_merge_keeps_the_address(site):
    home = {"client": ("192.0.2.1", 1)}
    cookie = site.begin(a=1, of=PROTECTED, to=home)
    theirs = b'{"_addr":"192.0.2.1","a":1,"theirs":1}'
    site.ask(meanwhile(site, cookie, theirs, lambda session: session.update(b=1)), cookie, to=home, **PROTECTED)
    assert site.store.data == {cookie: {"_addr": "192.0.2.1", "a": 1, "theirs": 1, "b": 1}}


@pytest.mark.parametrize("theirs", [{}, {"theirs": 1}], ids=["alone", "beside another"])
def test_record_from_before_protection_is_bound_by_its_next_write(site, theirs):
    cookie = site.begin(a=1)
    change = meanwhile(site, cookie, json.dumps({"a": 1} | theirs).encode(), lambda session: session.update(b=1))
    site.ask(change, cookie, to={"client": ("192.0.2.1", 1)}, **PROTECTED)
    assert site.store.data == {cookie: {"_addr": "192.0.2.1", "a": 1, "b": 1} | theirs}


def test_app_never_sees_the_address_and_a_record_of_nothing_else_is_empty(site):
    home = {"client": ("192.0.2.1", 1)}
    cookie = site.begin(a=1, of=PROTECTED, to=home)
    answer = site.ask(lambda session: session.pop("a"), cookie, to=home, **PROTECTED)
    assert answer.set_cookie.startswith("session=;")
    assert site.store.raw == {}


@pytest.mark.parametrize("address", [None, 5, ["192.0.2.1"], {}, "", "192.0.2.1 "])
def test_address_of_another_type_in_a_record_is_no_match(site, address):
    site.store.put(UNKNOWN, json.dumps({"_addr": address, "a": 1}).encode())
    seen = []
    site.ask(lambda session: seen.append(dict(session)), UNKNOWN, to={"client": ("192.0.2.1", 1)}, **PROTECTED)
    assert seen == [{}]


# The messages


@pytest.mark.parametrize("headers", [None, (), [], ((b"x", b"y"),), iter([(b"x", b"y")])], ids=str)
def test_headers_of_any_shape_are_kept_and_never_changed(site, headers):
    message = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await send(message)

    assert len(site.ask(app).set_cookies) == 1
    assert message["headers"] is headers


def test_message_that_needs_nothing_passes_as_it_is(site):
    sent = []

    async def app(scope, receive, send):
        sent.append({"type": "http.response.start", "status": 200})
        await send(sent[0])

    assert site.ask(app, site.begin(a=1)).messages[0] is sent[0]


def test_second_start_message_passes_untouched(site):
    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        await respond(send)
        await respond(send)

    assert [len(m["headers"]) for m in site.ask(app).messages if "headers" in m] == [2, 0]


def test_vary_is_merged(site):
    async def app(scope, receive, send):
        scope["session"].get("a")
        await respond(send, headers=[(b"Vary", b"Accept")])

    assert site.ask(app).vary == [b"Accept, Cookie"]


# The lifespan


def lifespan(*types):
    async def app(scope, receive, send):
        for type_ in types:
            sent.append(type_)
            await send({"type": type_})

    sent = []
    return app


STARTUP, SHUTDOWN = "lifespan.startup.complete", "lifespan.shutdown.complete"


@pytest.mark.parametrize(
    ("types", "closed"),
    [
        ([STARTUP], 0),
        ([STARTUP, SHUTDOWN], 1),
        ([STARTUP, "lifespan.shutdown.failed"], 1),
        (["lifespan.startup.failed"], 1),
    ],
)
def test_store_of_a_url_is_closed_with_the_lifespan_and_a_given_one_is_not(site, monkeypatch, types, closed):
    monkeypatch.setattr("asgi_flask_session.server_side.open_store", lambda url, timeout: site.store)
    for store, times in ((site.store, 0), ("memory:", closed)):
        site.store.closed = 0
        answer = site.ask(lifespan(*types), to={"scope": {"type": "lifespan"}}, store=store)
        assert [message["type"] for message in answer.messages] == types
        assert site.store.closed == times


def test_store_of_a_url_works_at_once(site):
    app = site.app(lambda session: session.update(n=session.get("n", 0) + 1), store="memory:")
    assert isinstance(app.store, MemoryStore)
    cookie = request(app, run=site.run).cookie
    for _ in range(3):
        assert request(app, cookie, run=site.run).cookie == cookie
    assert [record for record, _ in app.store._kept.values()] == [b'{"n":4}']


def test_one_url_is_one_store_while_it_is_in_use(site):
    one = site.app(nothing, store="memory:")
    assert site.app(nothing, store="memory:").store is one.store
    assert site.app(nothing, store="memory://").store is not one.store
    assert site.app(nothing, store="memory:", store_timeout=5).store is not one.store


@pytest.mark.parametrize("type_", ["lifespan", "unknown"])
def test_other_scopes_pass_through(site, type_):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    scope = {"type": type_}
    site.ask(app, to={"scope": scope})
    assert scopes == [{"type": type_}]
    assert scopes[0] is scope


# Everything at once


def test_what_a_browser_sees_of_random_requests_is_what_a_dict_would_hold(site):
    chance = random.Random(4)
    app = site.app(one_of_all)
    for _ in range(30):
        expected, cookie = {}, None
        for step in range(12):
            scope = scope_for(cookie, kind=chance.choice(KINDS), key=chance.choice("abc"), step=step, seen=[])
            answer = request(app, run=site.run, scope=scope)
            assert scope["seen"] == [expected]
            if scope["kind"] != "late" or expected:  # there is no cookie for what is begun late
                change(expected, scope)
            cookie = cookie if answer.cookie is None else answer.cookie
        assert list(site.store.data.values()) == ([expected] if expected else [])
        site.store.lose()


KINDS = ("read", "set", "pop", "clear", "regenerate", "login", "late", "save")


async def one_of_all(scope, receive, send):
    session, kind = scope["session"], scope["kind"]
    scope["seen"].append(dict(session))
    if kind == "late":
        await respond(send)
    change(session, scope)
    if kind == "save":
        await session.save()
    if kind == "regenerate":
        session.regenerate()
    if kind != "late":
        await respond(send)


def change(data, scope):
    kind, key, step = scope["kind"], scope["key"], scope["step"]
    if kind in ("set", "late", "save"):
        data[key] = step
    elif kind == "pop":
        data.pop(key, None)
    elif kind == "clear":
        data.clear()
    elif kind == "login":
        data["_user_id"] = str(step)
