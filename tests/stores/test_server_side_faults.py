"""DESIGN S7, W9, W11, W13 and W14: what cannot be done, with a store."""

import asyncio
import time

import anyio
import pytest
from driver import SECRET, app_that, nothing, request, respond, scope_for
from stores.site import METHODS, UNKNOWN, WEBSOCKET, hang, late, loading, meanwhile, opened, raising, rest, saving

from asgi_flask_session import FlaskSessionASGI, SettingsError, StoreUnavailable, UnwritableSession
from asgi_flask_session.stores.memory import MemoryStore


@pytest.fixture
def site(loop, clock, caplog):
    with opened(loop, clock, caplog) as site:
        yield site


# What cannot be written

UNWRITABLE = {
    "a set": ({"cart": [1, {"tags": {1, 2}}]}, {}, r"session\['cart'\]\[1\]\['tags'\]"),
    "an object": ({"a": object()}, {}, r"session\['a'\]"),
    "a set, in msgpack": ({"a": {1}}, {"record_format": "msgpack"}, r"session\['a'\].*record_format='tagged'"),
    "bytes, in json": ({"a": [b"x"]}, {"record_format": "json"}, r"session\['a'\]\[0\].*record_format='tagged'"),
    "over 1 MiB": ({"a": "x" * 1024 * 1024}, {}, "at most 1048576 bytes"),
}


def nested(depth):
    value = []
    for _ in range(depth - 2):
        value = [value]
    return {"a": value}


for name in ("tagged", "json", "msgpack"):
    UNWRITABLE[f"501 levels, {name}"] = (nested(501), {"record_format": name}, "500 levels|too deep|deeper than 500")


@pytest.mark.parametrize(("data", "settings", "message"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_cannot_be_written_raises_before_the_response_starts(site, data, settings, message):
    raised = []

    async def app(scope, receive, send):
        scope["session"].update(data)
        try:
            await respond(send)
        except UnwritableSession as error:
            raised.append(error)
            await respond(send, status=500)

    cookie = site.begin(b=1, of=settings)
    before = site.store.raw
    for value in (None, cookie):
        answer = site.ask(app, value, **settings)
        assert (answer.status, answer.headers, site.store.raw) == (500, [], before)
        with pytest.raises(UnwritableSession, match=message):
            raise raised.pop()
    assert site.said == []  # it was raised, and is not a late change besides


@pytest.mark.parametrize("form", ["tagged", "json", "msgpack"])
def test_what_is_nested_500_levels_goes_round(site, form):
    assert site.read(site.begin(**nested(500), of={"record_format": form})) == nested(500)


def test_what_is_merged_beyond_the_bound_raises(site):
    cookie = site.begin(a=1)
    theirs = b'{"a":1,"b":"%s"}' % (b"x" * 1024 * 1023)
    with pytest.raises(UnwritableSession, match="1048576"):
        site.ask(meanwhile(site, cookie, theirs, lambda session: session.update(c="x" * 2000)), cookie)
    assert site.store.raw == {cookie: theirs}


BEYOND_THE_CALENDAR = b'{"_permanent":true,"d":{" d":"Fri, 31 Dec 9999 23:59:59 -2359"},"l":[1]}'


@pytest.mark.parametrize(
    ("ours", "settings"),
    [
        (b"", {}),
        (b'"_addr":"192.0.2.1",', {"protection": True}),
        (b'"_began":1700000000,', {"absolute_lifetime": 100}),
    ],
    ids=["nothing of ours", "_addr", "_began"],
)
def test_record_that_nobody_can_write_is_read_and_refreshed(site, ours, settings):
    site.store.put(UNKNOWN, b"{" + ours + BEYOND_THE_CALENDAR[1:])
    for look in (nothing, lambda session: session["l"], lambda session: session["d"], lambda session: session.items()):
        assert site.ask(look, UNKNOWN, to={"client": ("192.0.2.1", 1)}, **settings).cookie == UNKNOWN
        assert site.store.calls == ["get", "touch"]
    assert site.said == []


def test_nested_change_that_takes_away_what_nobody_can_write_is_written(site):
    site.store.put(UNKNOWN, b'{"l":[{" d":"Fri, 31 Dec 9999 23:59:59 -2359"}]}')
    assert site.ask(lambda session: session["l"].clear(), UNKNOWN).status == 200
    assert site.store.raw == {UNKNOWN: b'{"l":[]}'}


def test_late_nested_change_that_takes_away_what_nobody_can_write_is_saved(site):
    site.store.put(UNKNOWN, b'{"l":[{" d":"Fri, 31 Dec 9999 23:59:59 -2359"}]}')
    kept = []

    async def app(scope, receive, send):
        kept.append(scope["session"]["l"])
        await respond(send)
        kept[0].clear()

    site.ask(app, UNKNOWN)
    assert site.store.raw == {UNKNOWN: b'{"l":[]}'}


def test_nested_change_beside_what_nobody_can_write_raises(site):
    site.store.put(UNKNOWN, BEYOND_THE_CALENDAR)
    with pytest.raises(UnwritableSession, match=r"session\['d'\]"):
        site.ask(lambda session: session["l"].append(2), UNKNOWN)
    assert site.store.raw == {UNKNOWN: BEYOND_THE_CALENDAR}


def test_no_value_is_in_the_message_of_an_error(site):
    with pytest.raises(UnwritableSession) as caught:
        site.begin(password={"stored-value"})
    assert "stored-value" not in str(caught.value)


# Damaged records

DAMAGED = {
    "no text": b"\xc1\xff", "a list": b"[1]", "a number": b"5", "true": b"true", "a string": b'"a"', "nothing": b"",
    "pickle": b"\x80\x04}\x94.", "cut": b'{"a":', "a tag that raises": b'{"a":{" d":5}}', "not UTF-8": b'{"a":"\xff"}',
    "too deep": b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", "too large": b'{"a":"%s"}' % (b"x" * 1024 * 1024),
    "a msgpack list": b"\x91\x01", "cut msgpack": b"\x81\xa1a", "deep msgpack": b"\x81\xa1a" + b"\x91" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("record", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_record_is_an_empty_session_and_one_warning(site, record):
    """ST-20 to ST-25."""
    site.store.put(UNKNOWN, record)
    for _ in range(2):
        assert site.read(UNKNOWN) == {}
    answer = site.ask(lambda session: session.update(b=1), UNKNOWN)
    assert answer.cookie != UNKNOWN
    assert site.store.raw == {UNKNOWN: record, answer.cookie: b'{"b":1}'}
    assert ["a record in the store is no session" in said for said in site.said] == [True]


@pytest.mark.parametrize("form", ["tagged", "msgpack"])
def test_record_cut_at_every_byte_is_an_empty_session(site, form):
    """ST-24."""
    cookie = site.begin(a=1, l=[1, {"x": "y"}], of={"record_format": form})
    record = site.store.raw[cookie]
    seen = []
    app = site.app(lambda session: seen.append(dict(session)))
    for length in range(len(record)):
        site.store.put(cookie, record[:length])
        request(app, cookie, run=site.run)
    assert len(seen) == len(record)
    assert [data for data in seen if data] == []


# Faults


FAULTS = {
    "it says so": raising(StoreUnavailable("the server is down")),
    "it raises what it likes": raising(OSError("stored-value")),
    "it times out": raising(TimeoutError()),
    "it hangs": hang,
}
SOON = {"store_timeout": 0.05}


@pytest.fixture(params=FAULTS.values(), ids=FAULTS.keys())
def fault(request):
    return request.param


def break_(site, fault, *methods):
    site.store.before.update(dict.fromkeys(methods or METHODS, fault))


UNAVAILABLE = [
    {
        "type": "http.response.start",
        "status": 503,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"55"),
            (b"retry-after", b"5"),
            (b"cache-control", b"no-store"),
        ],
    },
    {"type": "http.response.body", "body": b"The session store is not available. Please try again.\n"},
]


def for_websockets(messages):
    return [{**message, "type": f"websocket.{message['type']}"} for message in messages]


def test_request_with_a_cookie_is_answered_503_and_the_app_is_not_called(site, fault):
    """ST-32."""
    cookie = site.begin(a=1)
    break_(site, fault)
    called = []
    answer = site.ask(called.append, cookie, **SOON)
    start, body = answer.messages
    assert start["status"] == 503
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert (dict(start["headers"])[b"retry-after"], called) == (b"5", [])
    assert not body.get("more_body")
    [said] = site.said
    assert said.startswith("the session store is not available: the s")  # "server is down", or "store failed", or so


def test_request_without_a_cookie_that_only_reads_is_served(site, fault):
    """ST-31."""
    break_(site, fault)
    for value in (None, "no id"):
        assert site.ask(lambda session: session.get("a"), value, **SOON).status == 200
        assert site.store.calls == []


def test_first_write_is_a_503_in_place_of_the_apps_response(site, fault):
    """ST-34: and what the app goes on to send goes nowhere."""
    break_(site, fault)
    done = []

    async def app(scope, receive, send):
        scope["session"]["_user_id"] = "7"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")]})
        await send({"type": "http.response.body", "body": b"welcome", "more_body": True})
        await send({"type": "http.response.body", "body": b"!"})
        scope["session"]["late"] = 1
        done.append(True)

    answer = site.ask(app, **SOON)
    assert [message["type"] for message in answer.messages] == ["http.response.start", "http.response.body"]
    assert answer.status == 503
    assert b"welcome" not in answer.messages[1]["body"]
    assert (answer.set_cookies, done, site.store.raw) == ([], [True], {})
    assert [said.startswith("the session store is not available: the s") for said in site.said] == [True]
    assert site.store.calls == ["create"]


@pytest.mark.parametrize(
    ("change", "method"),
    [
        (lambda s: s.update(b=1), "replace"),
        (lambda s: s.regenerate(), "create"),
        (lambda s: s.clear(), "delete"),
    ],
    ids=["write", "regenerate", "logout"],
)
def test_what_is_not_done_is_a_503(site, fault, change, method):
    cookie = site.begin(a=1, _permanent=True)
    break_(site, fault, method)
    answer = site.ask(change, cookie, **SOON)
    assert (answer.status, answer.set_cookies) == (503, [])
    assert site.store.data == {cookie: {"a": 1, "_permanent": True}}


def test_refresh_that_is_not_done_costs_no_page(site, fault, caplog):
    """The session was read, and lives on for as long as before."""
    cookie = site.begin(a=1, _permanent=True)
    break_(site, fault, "touch")
    answer = site.ask(nothing, cookie, **SOON)
    assert (answer.status, answer.set_cookies) == (200, [])
    assert site.store.data == {cookie: {"a": 1, "_permanent": True}}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_store_that_comes_back_serves_the_next_request(site, fault):
    """ST-36."""
    cookie = site.begin(a=1)
    app = site.app(lambda session: session.update(b=1), **SOON)
    break_(site, fault)
    assert request(app, cookie, run=site.run).status == 503
    site.store.before.clear()
    assert request(app, cookie, run=site.run).cookie == cookie


def test_read_is_tried_twice_within_its_time(site):
    """A connection that broke since its last use is found out by using it."""
    cookie = site.begin(a=1)
    failed = []

    async def fail_once(key):
        if not failed:
            failed.append(key)
            raise OSError

    site.store.before["get"] = fail_once
    assert site.read(cookie) == {"a": 1}
    assert site.store.calls == ["get", "get"]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "touch"])
def test_no_call_takes_longer_than_its_time(site, method):
    """ST-33. A generous bound: without the limit it would be for ever."""
    cookie = site.begin(a=1, _permanent=True)
    break_(site, hang, method)
    changes = {"create": lambda s: s.regenerate(), "replace": lambda s: s.update(b=1), "delete": lambda s: s.clear()}
    change, began = changes.get(method, nothing), time.monotonic()
    assert site.ask(change, cookie, store_timeout=0.1).status == 503
    assert site.store.calls.count(method) == 1
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.1 seconds"):
        site.ask(change, cookie, store_timeout=0.1, on_store_error="raise")
    assert site.store.calls.count(method) == 1  # and not once more at the end
    assert time.monotonic() - began < 2


def test_store_unavailable_is_raised_where_that_is_set(site, fault):
    cookie = site.begin(a=1)
    break_(site, fault)
    settings = {"on_store_error": "raise", **SOON}
    for handle, value in ((nothing, cookie), (lambda session: session.update(a=1), None)):
        for where in ({}, WEBSOCKET):
            with pytest.raises(StoreUnavailable):
                site.ask(handle, value, to=where, **settings)


@pytest.mark.parametrize("error", [OSError("stored-value"), TimeoutError("stored-value")], ids=repr)
def test_what_the_store_raised_is_the_cause(site, error):
    cookie = site.begin(a=1)
    break_(site, raising(error))
    for handle, value in ((nothing, cookie), (lambda session: session.update(a=1), None)):
        with pytest.raises(StoreUnavailable) as caught:
            site.ask(handle, value, on_store_error="raise")
        assert caught.value.__cause__ is error
        assert "stored-value" not in str(caught.value)
    own = StoreUnavailable("the server is down")
    break_(site, raising(own))
    with pytest.raises(StoreUnavailable) as caught:
        site.ask(nothing, cookie, on_store_error="raise")
    assert caught.value is own


def test_app_may_answer_by_itself_where_the_error_is_raised(site):
    break_(site, raising(OSError()))

    async def app(scope, receive, send):
        scope["session"]["a"] = 1
        try:
            await respond(send)
        except StoreUnavailable:
            await respond(send, status=500)

    assert site.ask(app, on_store_error="raise").status == 500
    assert site.store.calls == ["create"]  # once: whoever waits for it has waited


WEBSOCKETS = {
    "with a response": (
        {"websocket.http.response": {}},
        ["websocket.http.response.start", "websocket.http.response.body"],
    ),
    "closed": ({}, ["websocket.close"]),
    "closed, no extensions": (None, ["websocket.close"]),
}


@pytest.mark.parametrize(("extensions", "types"), WEBSOCKETS.values(), ids=WEBSOCKETS.keys())
@pytest.mark.parametrize("first_write", [False, True])
def test_websocket_is_denied(site, fault, extensions, types, first_write):
    cookie = site.begin(a=1)
    break_(site, fault)
    heard = []

    async def app(scope, receive, send):
        heard.append((await receive())["type"])
        scope["session"]["a"] = 1
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})

    async def ask(app, scope, receive, send):
        async def hear():
            heard.append("websocket.connect")
            return {"type": "websocket.connect"}

        await app(scope, hear, send)

    wrapped = site.app(app, **SOON)
    answer = request(
        lambda *arguments: ask(wrapped, *arguments),
        None if first_write else cookie,
        run=site.run,
        type="websocket",
        extensions=extensions,
    )
    assert [message["type"] for message in answer.messages] == types
    assert heard[0] == "websocket.connect"  # before it is answered
    if types == ["websocket.close"]:
        assert (answer.messages[0]["code"], answer.messages[0]["reason"]) == (1013, "session store not available")
    else:
        assert answer.status == 503
        assert dict(answer.headers)[b"retry-after"] == b"5"


@pytest.mark.parametrize("where", [{}, WEBSOCKET], ids=["http", "websocket"])
def test_lazy_session_that_cannot_be_loaded_is_a_503(site, fault, where):
    cookie = site.begin(a=1)
    break_(site, fault)
    answer = site.ask(loading(), cookie, to=where, lazy=True, **SOON)
    assert len(answer.messages) == (1 if where else 2)
    assert [said.startswith("the session store is not available: the s") for said in site.said] == [True]
    assert answer.messages[0].get("status", answer.messages[0].get("code")) == (1013 if where else 503)
    with pytest.raises(StoreUnavailable):
        site.ask(loading(), cookie, to=where, lazy=True, on_store_error="raise", **SOON)


def test_save_that_fails_and_nobody_handles_is_a_503(site, fault):
    break_(site, fault)
    assert site.ask(saving(lambda session: session.update(a=1)), **SOON).status == 503


def test_refresh_that_fails_in_a_save_is_made_up_for_by_the_response(site):
    async def fail_once(key):
        site.store.before.clear()
        raise OSError

    cookie = site.begin(a=1, _permanent=True)
    site.store.before["touch"] = fail_once
    assert site.ask(saving(nothing), cookie).cookie == cookie
    assert site.store.calls == ["get", "touch", "touch"]


def test_save_that_fails_after_the_headers_comes_out(site):
    cookie = site.begin(a=1)

    def change(session):
        break_(site, raising(OSError()), "replace")
        session["b"] = 1

    with pytest.raises(StoreUnavailable):
        site.ask(late(change, save=True), cookie)


@pytest.mark.parametrize("reply_lost", [False, True], ids=["not done", "done, and the reply lost"])
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    "change", [lambda s: s.regenerate(), lambda s: s.update(_user_id="7")], ids=["regenerate", "login"]
)
def test_new_id_that_fails_half_way_leaves_one_good_id_or_none(site, change, number, reply_lost):
    """ST-03: a browser without the new cookie has the old session, whole, or none; and nobody has two."""
    cookie = site.begin(a=1)
    calls = iter(range(100))

    async def fail(key):
        if next(calls) == number:
            raise OSError

    (site.store.after if reply_lost else site.store.before).update(dict.fromkeys(METHODS, fail))
    answer = site.ask(change, cookie)
    site.store.before.clear()
    site.store.after.clear()
    known = answer.cookie or cookie
    data = site.read(known)
    assert data in ([{"a": 1}, {"a": 1, "_user_id": "7"}] if answer.cookie else [{"a": 1}, {}])
    if answer.status == 503:
        assert answer.set_cookies == []
    else:
        assert site.store.data.get(cookie, {}) == {} or number == 0  # a read that is tried twice
    site.clock.tick(61)
    assert len([data for data in site.store.data if site.run(site.store.get(f"session:{data}"))]) <= 1


def test_new_id_is_given_though_the_old_record_cannot_be_deleted(site):
    """What is left of it is empty."""
    cookie = site.begin(a=1)
    site.store.before["delete"] = raising(OSError())
    answer = site.ask(lambda session: session.regenerate(), cookie)
    assert site.store.data == {cookie: {}, answer.cookie: {"a": 1}}
    site.clock.tick(61)
    assert site.run(site.store.get(f"session:{cookie}")) is None
    assert site.read(answer.cookie) == {"a": 1}


def test_session_of_which_nothing_is_left_is_over_though_its_record_cannot_be_deleted(site):
    cookie = site.begin(a=1)
    site.store.before["delete"] = raising(OSError())
    assert site.ask(lambda session: session.pop("a"), cookie).status == 503
    assert site.store.raw == {cookie: b"ended"}
    assert site.read(cookie) == {}


@pytest.mark.parametrize("method", ["replace", "touch"])
def test_new_record_that_the_store_lost_is_no_new_id(site, method):
    """A 200 with the cookie of nothing would be a login lost in silence."""
    cookie = site.begin(a=1)

    async def lose(key):
        for known in [known for known in site.store._kept if known != f"session:{cookie}"]:
            del site.store._kept[known]
        if method == "replace":
            site.store.put(cookie, b'{"a":1,"theirs":1}')
            site.store.before.clear()

    site.store.before[method] = lose
    answer = site.ask(lambda session: session.regenerate(), cookie)
    assert (answer.status, answer.set_cookies) == (503, [])
    if method == "replace":
        assert site.read(cookie) == {"a": 1, "theirs": 1}


# Cancelled requests


def cut(site, app, cookie, number, *, reply_lost):
    """Run a request, and cancel it as asyncio does while its store call of that number is under way."""

    async def main():
        calls = iter(range(100))

        async def wait(key):
            if next(calls) == number:
                blocked.set()
                await asyncio.sleep(10)

        blocked = asyncio.Event()
        (site.store.after if reply_lost else site.store.before).update(dict.fromkeys(METHODS, wait))
        messages = []

        async def send(message):
            messages.append(message)

        task = asyncio.create_task(app(scope_for(cookie), None, send))
        waiting = asyncio.create_task(blocked.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return messages

    try:
        return asyncio.run(main())
    finally:
        site.store.before.clear()
        site.store.after.clear()


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_cancelled_write_that_has_begun_is_done(site, number, reply_lost):
    """ST-43, ST-44."""
    cookie = site.begin(_user_id="7")
    assert cut(site, site.app(lambda session: session.update(b=1)), cookie, number, reply_lost=reply_lost) == []
    assert site.store.data == {cookie: {"_user_id": "7"} | ({"b": 1} if number else {})}


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    "change",
    [lambda s: (s.update(b=1), s.regenerate()), lambda s: s.update(_user_id="8")],
    ids=["regenerate", "login"],
)
def test_cancelled_new_id_leaves_one_good_id_or_none(site, change, number, reply_lost):
    """The old one has nothing of the change."""
    old = {"_user_id": "7", "a": 1}
    cookie = site.begin(**old)
    assert cut(site, site.app(change), cookie, number, reply_lost=reply_lost) == []
    is_dead = number > 2 or (number == 2 and reply_lost)  # the call by which the old id ends
    assert site.read(cookie) == ({} if is_dead else old)
    site.clock.tick(61)
    assert len([data for data in site.store.data if site.run(site.store.get(f"session:{data}"))]) <= 1


LOGOUTS = {
    "clear": (lambda s: s.clear(), 1),
    "clear, with a message": (lambda s: (s.clear(), s.update(flash=1)), 4),
    "pop": (lambda s: s.pop("_user_id"), 4),
}
CUTS = [(log_out, number) for log_out, calls in LOGOUTS.values() for number in range(1, calls + 1)]
NAMES = [f"{name}-{number}" for name, (_, calls) in LOGOUTS.items() for number in range(1, calls + 1)]


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize(("log_out", "number"), CUTS, ids=NAMES)
def test_cancelled_logout_is_one(site, log_out, number, reply_lost):
    cookie = site.begin(_user_id="7", a=1)
    cut(site, site.app(log_out), cookie, number, reply_lost=reply_lost)
    assert site.read(cookie) == {}


@pytest.mark.parametrize(
    ("change", "data"),
    [
        (lambda s: s.update(b=1), [{"a": 1, "b": 1}]),
        (lambda s: s.regenerate(), [{"a": 1}]),
        (lambda s: s.clear(), []),
        (lambda s: s.update(_user_id="7"), [{"a": 1, "_user_id": "7"}]),
    ],
    ids=["write", "regenerate", "logout", "login"],
)
def test_save_that_has_begun_is_finished_though_the_client_is_gone(site, change, data):
    """ST-44: the server cancels the request by a scope, of anyio or of trio."""
    cookie = site.begin(a=1)

    async def main():
        with anyio.CancelScope() as scope:

            async def slow(key):
                scope.cancel()
                await rest()

            site.store.before.update(dict.fromkeys(METHODS[1:], slow))
            await site.app(change)(scope_for(cookie), None, rest)

    site.run(main())
    assert list(site.store.data.values()) == data


def test_save_that_waits_for_another_one_is_finished_though_the_client_is_gone(site):
    cookie = site.begin(a=1)

    async def main():
        with anyio.CancelScope() as scope:

            async def another_writes(key):
                scope.cancel()
                site.store.put(cookie, b'{"a":1,"theirs":1}')
                site.store.before.clear()

            site.store.before["replace"] = another_writes
            await site.app(lambda session: session.update(b=1))(scope_for(cookie), None, rest)

    site.run(main())
    assert site.store.data == {cookie: {"a": 1, "theirs": 1, "b": 1}}


def test_change_is_saved_though_the_response_cannot_be_sent(site):
    """ST-44, W13."""
    error = OSError("the client is gone")
    cookie = site.begin(a=1)

    async def send(message):
        raise error

    with pytest.raises(OSError, match="the client is gone") as caught:
        site.run(site.app(lambda session: session.update(b=1))(scope_for(cookie), None, send))
    assert caught.value is error
    assert site.store.data == {cookie: {"a": 1, "b": 1}}


# Exceptions


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError("gone")], ids=repr)
@pytest.mark.parametrize("started", [False, True])
def test_exceptions_come_out_as_they_are(site, error, started):
    """What changed is saved if the response has started, by whatever handler is inside; else it was for nothing."""
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        if started:
            await respond(send, status=500)
        raise error

    with pytest.raises(type(error)) as caught:
        site.ask(app, cookie)
    assert caught.value is error
    assert site.store.data == {cookie: {"a": 1, "b": 1} if started else {"a": 1}}


def test_what_a_websocket_changed_before_an_exception_is_saved(site):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        scope["session"]["b"] = 1
        raise LookupError

    with pytest.raises(LookupError):
        site.ask(app, cookie, to=WEBSOCKET)
    assert site.store.data == {cookie: {"a": 1, "b": 1}}


def test_error_of_a_migration_reader_or_of_is_revoked_comes_out(site):
    def fail(*arguments):
        raise LookupError

    with pytest.raises(LookupError):
        site.ask(nothing, migrate_from=[fail])
    with pytest.raises(LookupError):
        site.ask(nothing, site.begin(a=1), is_revoked=fail)


# Nothing shown


def test_nothing_secret_is_in_a_repr(site):
    """LG-03."""
    shown = []
    app = site.app(lambda session: shown.append(repr(session)), store=site.store)
    cookie = site.begin(a=1)
    request(app, cookie, run=site.run)
    assert shown == ["{'a': 1}"]
    shown = f"{app!r} {app.settings!r} {app.store!r} {app._server!r}"
    for secret in (SECRET, cookie):
        assert secret not in shown


def test_url_with_a_password_is_in_no_repr():
    app = FlaskSessionASGI(app_that(nothing), SECRET, store="sqlite:///hunter2.db")
    assert "hunter2" not in f"{app!r} {app.settings!r} {app.store!r}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": "nothing:"}, "write one of memory"),
        ({"store": object()}, "without get, create"),
        ({"store": MemoryStore}, r"write MemoryStore\(\.\.\.\)"),
        ({"store": "memory:", "key_prefix": "with space"}, "visible ASCII"),
        ({"store": "memory:", "key_prefix": "x" * 101}, "visible ASCII"),
        ({"store": "memory:", "id_bytes": 8}, "id_bytes is 8"),
        ({"store": "memory:", "store_timeout": 0}, "store_timeout"),
        ({"store": "memory:", "on_store_error": "ignore"}, "'503' or 'raise'"),
        ({"store": "memory:", "record_format": "pickle"}, "'tagged' or 'msgpack' or 'json'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        FlaskSessionASGI(app_that(nothing), SECRET, **settings)
