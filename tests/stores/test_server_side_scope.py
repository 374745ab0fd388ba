"""DESIGN W6 to W8 with a store: what an app does to the scope, and apps inside that write our cookie."""

from dataclasses import dataclass
from types import MappingProxyType

import pytest
from driver import nothing, request, respond, scope_for
from stores.site import DELETION, UNKNOWN, opened, replaced_by, with_line

from asgi_flask_session import Session


@pytest.fixture
def site(loop, clock, caplog):
    with opened(loop, clock, caplog) as site:
        yield site


# Replaced sessions


@dataclass
class Model:
    b: int = 1


@pytest.mark.parametrize(
    "value", [{"b": 1}, MappingProxyType({"b": 1}), Session({"b": 1}), Model()], ids=lambda value: type(value).__name__
)
def test_session_replaced_by_a_mapping_is_written_once(site, value):
    cookie = site.begin(a=1)
    assert site.ask(replaced_by(value), cookie).cookie == cookie
    assert site.store.data == {cookie: {"b": 1}}
    assert site.store.calls == ["get", "replace"]
    new = site.ask(replaced_by(value)).cookie
    assert site.store.data[new] == {"b": 1}
    assert site.said == []


def test_session_replaced_by_nothing_is_deleted(site):
    empties = [None, {}]
    if litestar := pytest.importorskip("litestar.types"):
        empties.append(litestar.Empty)
    for value in empties:
        assert site.ask(replaced_by(value), site.begin(a=1)).set_cookie.startswith("session=;")
        assert site.ask(replaced_by(value)).set_cookie is None
    assert site.store.raw == {}


def test_session_replaced_by_nothing_takes_what_another_wrote_with_it(site):
    cookie = site.begin(a=1)

    async def app(scope, receive, send):
        site.store.put(cookie, b'{"a":1,"theirs":1}')
        scope["session"] = None
        await respond(send)

    assert site.ask(app, cookie).set_cookie.startswith("session=;")
    assert site.store.raw == {}


def test_deleted_key_is_no_opinion(site):
    async def app(scope, receive, send):
        scope["session"]["b"] = 1
        del scope["session"]
        await respond(send)

    cookie = site.begin(a=1)
    assert site.ask(app, cookie).cookie == cookie
    assert site.store.data == {cookie: {"a": 1, "b": 1}}


def test_session_deleted_before_and_replaced_after_the_headers_is_saved(site):
    async def app(scope, receive, send):
        del scope["session"]
        await respond(send)
        scope["session"] = {"late": 1}

    cookie = site.begin(a=1)
    site.ask(app, cookie)
    assert site.store.data == {cookie: {"late": 1}}


def test_replaced_session_merges_with_what_another_wrote(site):
    cookie = site.begin(a=1, b=1)

    async def app(scope, receive, send):
        site.store.put(cookie, b'{"a":1,"b":1,"theirs":1}')
        scope["session"] = {"b": 1, "ours": 1}
        await respond(send)

    site.ask(app, cookie)
    assert site.store.data == {cookie: {"b": 1, "theirs": 1, "ours": 1}}


class Foreign(dict):
    modified = accessed = True


@pytest.mark.parametrize("value", [Foreign(x=1), 5, object()], ids=["session", "number", "object"])
def test_foreign_session_is_left_alone_with_one_warning(site, value):
    cookie = site.begin(a=1)
    for _ in range(2):
        answer = site.ask(replaced_by(value), cookie)
        assert answer.headers == []
        assert answer.scope["session"] is value
    assert ["scope_key" in said for said in site.said] == [True]
    assert site.store.data == {cookie: {"a": 1}}


def test_change_of_what_replaced_the_session_is_saved(site):
    async def app(scope, receive, send):
        scope["session"] = {"l": []}
        await respond(send)
        scope["session"]["b"] = 1

    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"l": [], "b": 1}}


# Nesting


def cookies_of(answer):
    return dict(line.partition(";")[0].split("=", 1) for line in answer.set_cookies)


def test_wrapped_twice_with_one_cookie_the_inner_one_steps_aside(site):
    cookie = site.begin(a=1)
    answer = site.ask(site.app(lambda session: session.update(b=1)).__call__, cookie)
    assert (answer.cookie, site.store.calls) == (cookie, ["get", "replace"])


def test_wrapped_twice_with_two_scope_keys_both_hold_the_one_session(site):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["session"] is scope["inner"])
        scope["inner"]["a"] = 1
        await respond(send)

    answer = site.ask(site.app(app, scope_key="inner").__call__)
    assert seen == [True]
    assert site.store.data == {answer.cookie: {"a": 1}}


def test_wrapped_twice_with_two_cookies_each_writes_its_own(site):
    async def between(scope, receive, send):
        scope["session"]["outer"] = 1
        await inner(scope, receive, send)
        seen.append(dict(scope["session"]))

    seen = []
    inner = site.app(lambda session: session.update(inner=1), cookie_name="other")
    answer = site.ask(between)
    outer = cookies_of(answer)
    assert {name: site.store.data[value] for name, value in outer.items()} == {
        "session": {"outer": 1},
        "other": {"inner": 1},
    }
    assert seen == [{"outer": 1}]
    assert site.said == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("value", [None, {"x": 1}, "deleted"], ids=str)
def test_inner_session_that_was_replaced_or_deleted_stays_out_of_the_outer_record(site, value, when):
    outer, inner = site.begin(outer=1), site.begin(inner=1)

    async def app(scope, receive, send):
        async def replace():
            if value == "deleted":
                del scope["session"]
            else:
                scope["session"] = value

        if when == "before":
            await replace()
        await respond(send)
        assert ("session" in scope) is (when == "after" or value != "deleted")
        if when == "after":
            await replace()

    app = site.app(site.app(app, cookie_name="other").__call__)
    request(app, run=site.run, headers=[(b"cookie", f"session={outer}; other={inner}".encode())])
    assert site.store.data.get(outer) == {"outer": 1}
    assert site.store.data.get(inner) == ({"inner": 1} if value == "deleted" else value)
    assert len(site.store.raw) == 2 - (value is None)


def test_outer_session_put_back_by_the_app_is_no_session_of_the_inner_one(site):
    outer, inner = site.begin(outer=1), site.begin(inner=1)

    async def between(scope, receive, send):
        session = scope["session"]

        async def app(scope, receive, send):
            scope["session"]["b"] = 1
            scope["session"] = session
            await respond(send)

        await site.app(app, cookie_name="other")(scope, receive, send)

    headers = [(b"cookie", f"session={outer}; other={inner}".encode())]
    request(site.app(between), run=site.run, headers=headers)
    assert site.store.data == {outer: {"outer": 1}, inner: {"inner": 1, "b": 1}}


def test_inner_app_goes_on_with_its_own_session_after_the_headers(site):
    async def app(scope, receive, send):
        session = scope["session"]
        await respond(send)
        seen.append(scope["session"] is session)

    seen = []
    site.ask(site.app(app, cookie_name="other").__call__)
    assert seen == [True]


def test_scope_is_left_as_it_was(site):
    async def app(scope, receive, send):
        await respond(send)

    scope = scope_for() | {"session": "of somebody outside"}
    for _ in range(2):
        assert request(site.app(app), run=site.run, scope=scope).scope["session"] == "of somebody outside"
    assert [key for key in scope if "flask" in key] == []


# An app inside that sets our cookie


def test_inner_cookie_of_the_same_id_goes_out_and_our_change_is_saved(site):
    cookie = site.begin(a=1)
    line = f"session={cookie}; Path=/; SameSite=Lax"
    for change, data in ((nothing, {"a": 1}), (lambda session: session.update(b=1), {"a": 1, "b": 1})):
        assert site.ask(with_line(line, change), cookie).set_cookies == [line]
        assert site.store.data == {cookie: data}


def test_inner_app_on_the_same_store_and_ours_make_one_record(site):
    """A second FlaskSessionASGI, to which the scope comes anew, stands for Flask mounted inside."""
    cookie = site.begin(a=1)
    inner = site.app(lambda session: session.update(inner=1))

    async def app(scope, receive, send):
        scope["session"]["outer"] = 1
        await inner(scope_for(cookie), receive, send)

    assert site.ask(app, cookie).cookie == cookie
    assert site.store.data == {cookie: {"a": 1, "inner": 1, "outer": 1}}


@pytest.mark.parametrize(
    ("change", "data"),
    [
        (nothing, {"a": 1, "_user_id": "7"}),
        (lambda session: session.update(outer=1), {"a": 1, "_user_id": "7", "outer": 1}),
        (lambda session: session.regenerate(), {"a": 1, "_user_id": "7"}),
        (lambda session: session.update(_user_id="8"), {"a": 1, "_user_id": "8"}),
    ],
    ids=["nothing", "change", "regenerate", "login"],
)
def test_inner_login_takes_our_change_to_the_new_id(site, change, data):
    cookie = site.begin(a=1)
    inner = site.app(lambda session: session.update(_user_id="7"))

    async def app(scope, receive, send):
        change(scope["session"])
        await inner(scope_for(cookie), receive, send)

    answer = site.ask(app, cookie)
    assert answer.cookie != cookie
    assert site.store.calls.count("create") == 1  # one new id will do
    assert site.store.data == {answer.cookie: data}
    assert site.said == []


def test_late_change_follows_the_inner_app_to_its_id(site):
    cookie = site.begin(a=1)
    inner = site.app(lambda session: session.update(_user_id="7"))

    async def app(scope, receive, send):
        await inner(scope_for(cookie), receive, send)
        scope["session"]["late"] = 1

    answer = site.ask(app, cookie)
    assert site.store.data == {answer.cookie: {"a": 1, "_user_id": "7", "late": 1}}


@pytest.mark.parametrize("early", [False, True])
def test_two_new_sessions_of_one_request_make_one_record(site, early):
    inner = site.app(lambda session: session.update(inner=1))

    async def app(scope, receive, send):
        scope["session"]["outer"] = 1
        if early:
            await scope["session"].save()
        await inner(scope_for(), receive, send)

    answer = site.ask(app)
    assert site.store.data == {answer.cookie: {"inner": 1, "outer": 1}}


def test_inner_logout_takes_our_change_with_it(site):
    cookie = site.begin(a=1)
    inner = site.app(lambda session: session.clear())

    async def app(scope, receive, send):
        scope["session"]["outer"] = 1
        await inner(scope_for(cookie), receive, send)
        scope["session"]["late"] = 1

    assert site.ask(app, cookie).set_cookie.startswith("session=;")
    assert site.store.raw == {}


@pytest.mark.parametrize(
    "line",
    [
        DELETION,
        "session=; Path=/",
        "session=gone; Max-Age=0; Path=/",
        f"session={UNKNOWN}; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
    ],
)
@pytest.mark.parametrize(
    "change", [nothing, lambda s: s.clear(), lambda s: s.update(b=1)], ids=["-", "clear", "update"]
)
def test_deletion_of_the_cookie_by_hand_ends_the_session(site, line, change):
    """As many a logout does it: session.clear() and response.delete_cookie()."""
    answer = site.ask(with_line(line, change), site.begin(a=1))
    assert (answer.set_cookies, site.store.raw, site.said) == ([line], {}, [])


def test_our_logout_wins_over_an_inner_app_that_goes_on(site):
    cookie = site.begin(a=1)
    for inner in (site.app(lambda session: session.update(a=2)), site.app(lambda session: session.regenerate())):
        site.store.put(cookie, b'{"a":1}')

        async def app(scope, receive, send, inner=inner):
            scope["session"].clear()
            await inner(scope_for(cookie), receive, send)

        assert site.ask(app, cookie).set_cookie.startswith("session=;")
        assert site.store.raw == {}


def test_our_logout_leaves_what_the_inner_app_has_written_after_it(site):
    """As on the cookie's side; under a new id."""
    cookie = site.begin(a=1)
    inner = site.app(lambda session: session.update(flash=1))

    async def app(scope, receive, send):
        scope["session"].clear()
        await inner(scope_for(cookie), receive, send)

    answer = site.ask(app, cookie)
    assert answer.cookie not in (cookie, "")
    assert site.store.data == {answer.cookie: {"flash": 1}}


def test_our_login_replaces_the_cookie_of_the_inner_app(site):
    cookie = site.begin(a=1)
    answer = site.ask(with_line(f"session={cookie}; Path=/", lambda session: session.update(_user_id="7")), cookie)
    assert answer.all(b"x") == [b"1"]
    assert answer.cookie != cookie
    assert site.store.data == {answer.cookie: {"a": 1, "_user_id": "7"}}


def test_foreign_value_in_our_cookie_drops_our_change_with_one_warning(site):
    line = "session=no id at all; Path=/"
    cookie = site.begin(a=1)
    for value in (cookie, None):
        assert site.ask(with_line(line, lambda session: session.update(b=1)), value).set_cookies == [line]
    assert site.store.data == {cookie: {"a": 1}}
    assert ["no id" in said for said in site.said] == [True]
    assert site.ask(with_line(line), cookie).set_cookies == [line]


def test_unknown_id_in_our_cookie_is_not_adopted(site):
    line = f"session={UNKNOWN}; Path=/"
    for value in (site.begin(a=1), None):
        site.ask(with_line(line, lambda session: session.update(b=1)), value)
        assert UNKNOWN not in site.store.raw


@pytest.mark.parametrize(
    "line", ["session=; Max-Age=0; Path=/old", "xsession=1", "session=x; Path=/; Domain=old.example"]
)
def test_cookie_of_another_name_path_or_domain_is_no_matter(site, line):
    cookie = site.begin(a=1)
    answer = site.ask(with_line(line, lambda session: session.update(b=1)), cookie)
    assert [answer.set_cookies[0], len(answer.set_cookies)] == [line, 2]
    assert site.store.data == {cookie: {"a": 1, "b": 1}}


def test_app_receives_what_the_server_says(site):
    heard = []

    async def app(scope, receive, send):
        heard.append((await receive())["type"])
        await respond(send)

    site.ask(app, site.begin(a=1))
    assert heard == ["http.request"]
