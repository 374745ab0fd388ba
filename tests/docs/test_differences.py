"""docs/differences.md: each difference that stands there is one between the real Flask and ours."""

import re
import warnings
from pathlib import Path

import msgspec
import pytest
from driver import NOW, SECRET, app_that, request, respond
from flask.json.provider import DefaultJSONProvider
from forgery import b64, compressed, sign, signed_text
from itsdangerous import BadPayload
from peers.flask_side import FlaskSide, OurSide, both, value_of

from asgi_flask_session import FlaskSessionASGI, SettingsError, UnwritableSession

PAGE = (Path(__file__).parents[2] / "docs" / "differences.md").read_text("utf-8")
GOOD = signed_text('{"cart":[1],"user":"ada"}').decode()
PERMANENT = signed_text('{"user": "ada", "_permanent": true}').decode()  # as another writer spells it


@pytest.fixture
def sides():
    return both()


@pytest.fixture
def theirs(sides):
    return sides[0]


@pytest.fixture
def ours(sides):
    return sides[1]


def test_a_bad_cookie_is_an_empty_session(theirs, ours):
    for text in ("[1]", "5", '{"a":{" u":"no UUID"}}', "no JSON"):
        cookie = signed_text(text).decode()
        with pytest.raises((BadPayload, TypeError, ValueError)):
            theirs.read(cookie)
        assert ours.read(cookie) == {}


def test_a_value_has_one_spelling_and_a_size(theirs, ours):
    text = b'{"a":"' + b"x" * 2**20 + b'"}'
    deep = b'{"a":' + b"[" * 501 + b"]" * 501 + b"}"
    for cookie in (f"{GOOD}=", sign(compressed(text)).decode(), sign(b64(deep)).decode()):
        assert theirs.read(cookie) != {}
        assert ours.read(cookie) == {}


def test_a_change_inside_a_value_is_seen(theirs, ours):
    def put(session):
        session["cart"].append(2)

    assert theirs.request(GOOD, put).set_cookies == []
    assert ours.read(ours.request(GOOD, put).cookie)["cart"] == [1, 2]


def test_new_says_whether_a_session_came(theirs, ours):
    seen = []
    for cookie in (None, GOOD):
        for side in (theirs, ours):
            side.request(cookie, lambda session: seen.append(session.new))
    assert seen == [False, True, False, False]


def test_to_look_at_a_mark_is_not_to_read(theirs, ours):
    for mark in ("new", "modified"):
        assert theirs.request(GOOD, lambda session, mark=mark: getattr(session, mark)).vary == [b"Cookie"]
        assert ours.request(GOOD, lambda session, mark=mark: getattr(session, mark)).vary == []
    assert ours.request(GOOD, lambda session: session.mark_accessed()).vary == [b"Cookie"]


def test_an_encoder_in_c_reads_unseen(theirs, ours):
    assert theirs.request(GOOD, lambda session: msgspec.json.encode(dict(session))).vary == [b"Cookie"]
    assert ours.request(GOOD, msgspec.json.encode).vary == []
    assert ours.request(GOOD, lambda session: msgspec.json.encode(dict(session))).vary == [b"Cookie"]


def test_a_change_that_comes_too_late_is_warned_of(caplog):
    async def app(scope, receive, send):
        await respond(send)
        scope["session"]["user"] = "eve"

    request(FlaskSessionASGI(app, SECRET, clock=lambda: NOW), GOOD, path="/late")
    assert ["/late" in message for message in caplog.messages] == [True]


def test_what_cannot_be_written_is_named(theirs, ours):
    def put(session):
        session["cart"] = [0, {1}]

    with pytest.raises(TypeError, match="not JSON serializable"):
        theirs.request(None, put)
    with pytest.raises(UnwritableSession, match=r"session\['cart'\]\[1\], a value of type set"):
        ours.request(None, put)
    long = {"a": "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))}
    assert len(value_of(theirs.write(long))) > 16 * 1024
    with pytest.raises(UnwritableSession, match="16384"):
        ours.write(long)


def test_a_cookie_that_browsers_refuse_is_logged(caplog):
    data = {"a": "".join(map(chr, range(0x4E00, 0x4E00 + 2_000)))}
    with pytest.warns(UserWarning, match="too large"):
        FlaskSide(SECRET, MAX_COOKIE_SIZE=4093).write(data)
    with warnings.catch_warnings(action="error"):
        request(FlaskSessionASGI(app_that(lambda session: session.update(data)), SECRET))
    assert ["'a' (" in message for message in caplog.messages] == [True]


def test_a_cookie_that_never_came_is_not_deleted(theirs, ours):
    def end(session):
        session.clear()

    assert "Max-Age=0" in theirs.request(None, end).set_cookie
    assert ours.request(None, end).set_cookie is None
    assert theirs.request(GOOD, end).set_cookie == ours.request(GOOD, end).set_cookie


def test_a_mere_refresh_keeps_the_spelling(theirs, ours):
    assert theirs.request(PERMANENT).cookie != PERMANENT == ours.request(PERMANENT).cookie


def test_vary_is_left_alone(theirs):
    async def app(scope, receive, send):
        len(scope["session"])
        await respond(send, headers=[(b"vary", b"*")])

    assert theirs.request(GOOD, len, headers=[("Vary", "*")]).vary == [b"*, Cookie"]
    assert request(FlaskSessionASGI(app, SECRET, clock=lambda: NOW), GOOD).vary == [b"*"]


def test_one_cookie_goes_out_for_both(theirs, ours):
    async def app(scope, receive, send):
        scope["session"]["outside"] = 1
        line = theirs.request(GOOD, lambda session: (session.pop("user"), session.update(inside=1))).set_cookie
        await respond(send, headers=[(b"set-cookie", line.encode())])

    both_changed = request(FlaskSessionASGI(app, SECRET, clock=lambda: NOW), GOOD)
    assert ours.read(both_changed.cookie) == {"cart": [1], "inside": 1, "outside": 1}


def test_impossible_settings_are_refused():
    for config in (
        {"SESSION_COOKIE_SAMESITE": "None"},
        {"SESSION_COOKIE_NAME": "__Host-a", "SESSION_COOKIE_PATH": "/a"},
    ):
        side = FlaskSide(SECRET, **config)
        assert side.write({"a": 1})
        with pytest.raises(SettingsError, match="cookie_secure=True"):
            side.settings()
    with pytest.raises(ValueError, match="SameSite"):
        FlaskSide(SECRET, SESSION_COOKIE_SAMESITE="Loose").write({"a": 1})
    with pytest.raises(RuntimeError, match="secret key"):
        FlaskSide(None).write({"a": 1})
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        FlaskSide(None).settings()
    assert FlaskSide(None).read(None) == {}


def test_settings_are_read_once(theirs, ours):
    theirs.app.config["SESSION_COOKIE_PATH"] = "/later"
    assert "Path=/later" in theirs.write({"a": 1})
    assert "Path=/later" not in ours.write({"a": 1})


def test_json_is_that_of_flasks_default(theirs, ours):
    class Provider(DefaultJSONProvider):
        ensure_ascii = sort_keys = False

        @staticmethod
        def default(value):
            return sorted(value) if isinstance(value, set) else DefaultJSONProvider.default(value)

    theirs.app.json = Provider(theirs.app)
    line = theirs.write({"b": "é", "a": {1}})
    assert ours.read(value_of(line)) == {"b": "é", "a": [1]}
    assert ours.write({"b": "é", "a": [1]}) != line
    with pytest.raises(UnwritableSession):
        ours.write({"a": {1}})


def test_settings_that_flask_does_not_have_can_be_undone_there(theirs):
    later = NOW + 7200
    ending = OurSide(theirs.settings(absolute_lifetime=3600, permanent=True))
    cookie = value_of(ending.write({"a": 1}))
    assert ending.read(cookie, now=later) == {}
    assert theirs.read(cookie, now=later) == {"_began": NOW, "_permanent": True, "a": 1}
    assert theirs.request(cookie, now=later).set_cookie is not None
    revoking = OurSide(theirs.settings(is_revoked=lambda session, signed_at: True))
    assert (revoking.read(GOOD), theirs.read(GOOD)) == ({}, {"cart": [1], "user": "ada"})


def test_page_names_these_and_no_others():
    headings = [heading.lower().replace("'", "") for heading in re.findall(r"^### (.*)$", PAGE, re.MULTILINE)]
    names = {"test_" + re.sub(r"[^a-z]+", "_", heading).strip("_") for heading in headings}
    assert names | {"test_page_names_these_and_no_others"} == {name for name in globals() if name.startswith("test_")}
