"""Flask as the oracle: the same act in a live Flask app and behind ours leads to the same bytes."""

import hashlib
import http.client
import itertools
import json
import threading
import zlib
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import pytest
from driver import NOW, SECRET, request
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer
from itsdangerous.encoding import base64_encode, int_to_bytes

from asgi_flask_session import FlaskSessionASGI, Settings, UnwritableSession

from .flask_side import FlaskSide, OurSide, both, flask, value_of
from .sessions import LEAVES, any_sessions, as_read, at_depth, exactly, examples, in_order, sessions

# isort: split
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer as FlaskSerializer
from flask.sessions import SecureCookieSessionInterface
from werkzeug.serving import WSGIRequestHandler, make_server

THEIRS, OURS = both()


def sign_payload(payload, timestamp=NOW):
    """Sign *payload* as if Flask had made it."""
    signer = Signer(SECRET, "cookie-session", key_derivation="hmac", digest_method=hashlib.sha1)
    return signer.sign(payload + b"." + base64_encode(int_to_bytes(timestamp))).decode()


def sign(text, *, timestamp=NOW):
    return sign_payload(base64_encode(text), timestamp)


def sign_data(data, *, timestamp=NOW):
    return sign(json.dumps(data, separators=(",", ":"), sort_keys=True), timestamp=timestamp)


# Bytes


def test_clock_of_the_oracle_is_set():
    """STYLE 9: Flask's own answer for this second."""
    with pytest.warns(UserWarning, match="sample"):
        theirs, ours = both("secret")
    expected = "session=eyJ1c2VyIjoiYWRhIn0.ZVPxAA.-Jclp8u_4DxtD4pu4J6PdbsqfHk; HttpOnly; Path=/"
    assert theirs.write({"user": "ada"}) == ours.write({"user": "ada"}) == expected


@examples(300)
@given(sessions, st.sampled_from([NOW, NOW + 0.25, NOW + 0.999_999, 1, 2**31 + 0.5, 7_000_000_000]))
def test_line_is_that_of_flask(data, now):
    """W1."""
    assert OURS.write(data, now=now) == THEIRS.write(data, now=now)


def outcome(write, data, refusals):
    try:
        return write(data)
    except refusals:
        return "refused"


@examples(200)
@given(any_sessions)
def test_session_that_flask_refuses_is_refused_and_no_other(data):
    """W9: what in Flask is any error, and a 500, is one error here."""
    theirs = outcome(THEIRS.write, data, (TypeError, ValueError, OverflowError))
    assert outcome(OURS.write, data, UnwritableSession) == theirs


@examples(200)
@given(sessions)
def test_cookie_reads_as_flask_reads_it(data):
    """R6, R7: values, types and the order of keys."""
    line = THEIRS.write(data)
    assert exactly(OURS.read(value_of(line))) == exactly(THEIRS.read(value_of(line)))


@pytest.mark.parametrize("kind", LEAVES)
@examples(20, derandomize=True)
@given(data=st.data())
def test_value_of_each_type_comes_back_from_any_depth(kind, data):
    """R6, W1: what either side writes is the same text, and both read from it what was put in."""
    session = data.draw(at_depth(LEAVES[kind]))
    line = THEIRS.write(session)
    assert OURS.write(session) == line
    expected = exactly(in_order(as_read(session)))
    assert [exactly(side.read(value_of(line))) for side in (THEIRS, OURS)] == [expected, expected]


@examples(80)
@given(sessions, sessions)
def test_session_that_both_wrote_to_is_that_of_one(first, second):
    """Flask writes, ours adds, Flask adds; and the other way round."""
    values = set()
    for sides in ((THEIRS, OURS, THEIRS), (OURS, THEIRS, OURS), (THEIRS, THEIRS, THEIRS)):
        value = None
        for side, data in zip(sides, (first, second, {"last": True}), strict=True):
            line = side.request(value, lambda session, data=data: session.update(data)).set_cookie
            value = line and value_of(line)
        values.add(value)
    assert len(values) == 1


def test_session_transaction_of_the_test_client_both_ways():
    """What Flask's test client writes is read here, and what is written here it reads."""
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = SECRET
    seen = []
    ours = OurSide(Settings.from_flask(app))
    client = app.test_client()
    with client.session_transaction() as session:
        session["from"] = ("flask", b"\x00")
    now = datetime.now(UTC).timestamp()
    cookie = client.get_cookie("session").value
    line = ours.request(cookie, lambda session: (seen.append(dict(session)), session.update(to="flask")), now=now)
    client.set_cookie("session", line.cookie)
    with client.session_transaction() as session:
        seen.append(dict(session))
    assert seen == [{"from": ("flask", b"\x00")}, {"from": ("flask", b"\x00"), "to": "flask"}]


class QuietHandler(WSGIRequestHandler):
    def log(self, type, message, *args):  # noqa: A002  # werkzeug's own name
        pass


@pytest.fixture(scope="module")
def live_flask():
    """Serve Flask on a port of its own; its view counts the visits."""
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = SECRET

    @app.get("/")
    def visit():
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    server = make_server("127.0.0.1", 0, app, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join()
    server.server_close()


def test_visits_are_counted_by_a_live_flask_and_ours_in_turn(live_flask):
    ours = OurSide(Settings(SECRET))
    now = datetime.now(UTC).timestamp()
    value = None
    for visit in range(1, 6, 2):
        connection = http.client.HTTPConnection("127.0.0.1", live_flask, timeout=30)
        connection.request("GET", "/", headers={"Cookie": f"session={value}"} if value else {})
        response = connection.getresponse()
        assert response.read() == str(visit).encode()
        value = value_of(response.headers["Set-Cookie"])
        connection.close()
        # A minute later, for the second may change between the two.
        answer = ours.request(value, lambda s: s.update(visits=s["visits"] + 1), now=now)
        value = answer.cookie


# Rubbish with the right signature


TAG_CONTENTS = [
    None, True, False, 0, 5, -1, 1.5, "", "a", "YQ==", "YQ", "Y", "!!", "0" * 32, "g" * 32, "\u00e9", "yesterday",
    "Thu, 29 Feb 2024 12:30:15 GMT", "Thu, 30 Feb 2024 12:30:15 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "29 Feb 24 1:30",
    "Thu, 29 Feb 2024 12:30:15 -0500", "Thu, 29 Feb 2024 12:30:15 -0000", "Thu, 29 Feb 2024 12:30:15",
    [], [1, 2], [[]], {}, {"a": 1}, {"abc": 1}, {" t": [1]}, {" t__": [1]}, {" di": 1}, {"a": 1, "b": 2},
]  # fmt: skip


def read_or_nothing(side, cookie):
    """Read a cookie that Flask may answer with a 500."""
    try:
        return side.read(cookie)
    except Exception:  # noqa: BLE001  # whatever it is
        return {}


@pytest.mark.parametrize("key", [" t", " b", " m", " u", " d", " di", " x", " t__"])
@pytest.mark.parametrize("content", TAG_CONTENTS, ids=json.dumps)
def test_tag_of_any_content_reads_as_in_flask_and_is_empty_where_flask_fails(key, content):
    """R5."""
    for data in ({"a": {key: content}}, {"a": [{key: {"c": content}}]}, {key: content}, {"a": {key: content, "b": 1}}):
        cookie = sign_data(data)
        assert exactly(OURS.read(cookie)) == exactly(read_or_nothing(THEIRS, cookie))


TEXTS = [
    '{"a":1,"a":2}', '{"a":{" t":[1]},"a":2}', '{" t":[1],"a":1}', '{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}',
    '{"a":-0.0}', '{"a":"\\ud800"}', '{"a":"\\u0020t"}', '{"\\u0020t":[1]}', '{"a":{"\\u0020t":[1]}}',
    '{"a":{"\\u0020\\u0074":[1]}}', ' {"a" : [ 1 ] } \n', '{"a":1}x', '{"a":1', "{'a':1}", '{"a":"\t"}',
    '{"":{"":""}}', "{}", '{"a":1.0}', '{"a":01}', '{"a":0x1}', '{"a":TRUE}', '{"a":[1,]}', '{"a":1,}', "{a:1}",
    '{"a":"\\x41"}', '{"a":"\\u12"}', '{"a":+1}', '{"a":1E5}', '{"a":.5}', '{"a":5.}', '{"a":/**/1}', "\ufeff{}",
    '{"a":{" di":{" di__":{" di":{" t__":{" t":[{" di":{" u__":1}}]}}}}}}', '{"a":[[{" b":"YQ=="}]]}',
    '{"a":{" d":"Thu, 29 Feb 2024 12:30:15 GMT","b":1}}',
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_other_writers_reads_as_in_flask_and_is_empty_where_flask_fails(text):
    """R5: spelled as Flask never would, and signed all the same."""
    cookie = sign(text)
    assert exactly(OURS.read(cookie)) == exactly(read_or_nothing(THEIRS, cookie))


TEXT = b'{"a":1,"b":[1,2,3]}'
PACKED = zlib.compress(TEXT)
PAYLOADS = {
    "plain": base64_encode(TEXT),
    "compressed": b"." + base64_encode(PACKED),
    "not compressed": b"." + base64_encode(TEXT),
    "not at all": b"." + base64_encode(zlib.compress(TEXT, 0)),
    "compressed and more": b"." + base64_encode(PACKED + b"more"),
    "compressed and cut": b"." + base64_encode(PACKED[:-1]),
    "compressed and damaged": b"." + base64_encode(PACKED[:-1] + b"\0"),
    "compressed twice": b".." + base64_encode(PACKED),
    "no zlib header": b"." + base64_encode(PACKED[2:-4]),
    "of nothing": b"." + base64_encode(zlib.compress(b"")),
    "empty": b"",
    "a dot": b".",
    "no base64": b"{}",
    "bad UTF-8": base64_encode(b'{"a":"\xff"}'),
    "UTF-16": base64_encode('{"a":1}'.encode("utf-16-le")),
    "a dot within": base64_encode(TEXT)[:8] + b"." + base64_encode(TEXT)[8:],
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_payload_reads_as_in_flask_and_is_empty_where_flask_fails(payload):
    """R5."""
    cookie = sign_payload(payload)
    theirs = read_or_nothing(THEIRS, cookie)
    if b"." in payload[1:]:
        theirs = {}  # itsdangerous skips a dot within base64; here each value has one spelling (R3)
    assert exactly(OURS.read(cookie)) == exactly(theirs)


def test_bad_tag_hidden_by_a_key_that_comes_twice_is_refused():
    """Flask looks at tags when the keys are sorted out; nobody writes such a text."""
    cookie = sign('{"a":{" u":"no uuid"},"a":2}')
    assert (OURS.read(cookie), THEIRS.read(cookie)) == ({}, {"a": 2})


def test_number_of_too_many_digits_is_refused():
    """W9; as by the standard library."""
    data = {"a": 10**4300}
    assert outcome(THEIRS.write, data, ValueError) == outcome(OURS.write, data, UnwritableSession) == "refused"


# The whole line under every combination of settings

NAMES = ["session", "__Host-id", "a!#$%&'*+-.^_`|~9"]
ATTRIBUTES = {
    "SESSION_COOKIE_DOMAIN": [None, "example.com", ".example.com", "b\u00fccher.example", "localhost:5000"],
    "SESSION_COOKIE_PATH": [None, "/app", "/\u00e4 b/'(x)%20"],
    "SESSION_COOKIE_SECURE": [False, True],
    "SESSION_COOKIE_HTTPONLY": [False, True],
    "SESSION_COOKIE_SAMESITE": [None, "Lax", "strict", "None"],
    "SESSION_COOKIE_PARTITIONED": [False, True],
}
COMBINATIONS = [dict(zip(ATTRIBUTES, values, strict=True)) for values in itertools.product(*ATTRIBUTES.values())]


def is_refused_here(config):
    """Say whether Flask writes with these settings what every browser refuses."""
    is_host = config["SESSION_COOKIE_NAME"].startswith("__Host-")
    if not (config["SESSION_COOKIE_SECURE"] or config["SESSION_COOKIE_PARTITIONED"]):
        return is_host or config["SESSION_COOKIE_SAMESITE"] == "None"
    return is_host and (config["SESSION_COOKIE_DOMAIN"], config["SESSION_COOKIE_PATH"]) != (None, None)


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_those_of_flask_under_every_combination_of_settings(name):
    """W1, W3: set, set until, and deleted."""
    theirs = FlaskSide(SESSION_COOKIE_NAME=name, APPLICATION_ROOT="/root" if name == "session" else "/")
    lines = 0
    for attributes in COMBINATIONS:
        theirs.app.config |= attributes
        if is_refused_here(theirs.app.config):
            continue
        ours = OurSide(theirs.settings())
        for data in ({"a": 1}, {"a": 1, "_permanent": True}):
            line = ours.write(data)
            assert line == theirs.write(data)
        cookie = value_of(line)
        deleted = ours.request(cookie, lambda session: session.clear()).set_cookie
        assert deleted == theirs.request(cookie, lambda session: session.clear()).set_cookie
        lines += 3
    assert lines >= (24 if name == "__Host-id" else 1200)


@pytest.mark.parametrize("now", [0.5, NOW, NOW + 0.000_001, NOW + 0.999_999, 4_102_444_800.5])
@pytest.mark.parametrize("lifetime", [1, 3600, 86_400.5, timedelta(days=31), timedelta(microseconds=1_500_000)])
def test_expires_is_that_of_flask(now, lifetime):
    """The sum of a clock with a fraction and a lifetime with one."""
    seconds = lifetime if isinstance(lifetime, timedelta) else timedelta(seconds=lifetime)
    theirs, ours = both(PERMANENT_SESSION_LIFETIME=seconds)
    line = ours.write({"_permanent": True}, now=now)
    assert "; Expires=" in line
    assert line == theirs.write({"_permanent": True}, now=now)


# Keys, salts, digests, tags

OLD, OLDER, NEW = "old" * 8, b"older" * 8, "new" * 8


def keyed(secret, fallbacks=None):
    return both(secret, SECRET_KEY_FALLBACKS=fallbacks)


ONE = {"a": 1}


def log_in(session):
    session["user"] = "eve"


@pytest.mark.parametrize(("writer", "expected"), [(OLD, ONE), (OLDER, ONE), (NEW, ONE), ("other" * 8, {})])
def test_rotated_key_verifies_as_in_flask_and_is_replaced_by_the_current_one(writer, expected):
    """Q12; CVE-2025-47278: Flask 3.1.0 signed with the oldest fallback."""
    theirs, ours = keyed(NEW, [OLDER, OLD])
    for side in keyed(writer):
        cookie = value_of(side.write(ONE))
        assert ours.read(cookie) == theirs.read(cookie) == expected
        line = ours.request(cookie, log_in).set_cookie
        assert line == theirs.request(cookie, log_in).set_cookie
        assert [side.read(value_of(line)) for side in keyed(NEW)] == [expected | {"user": "eve"}] * 2
        assert [side.read(value_of(line)) for side in keyed(OLD, [OLDER])] == [{}, {}]


def test_key_that_was_retired_opens_nothing():
    retired = value_of(keyed(OLD)[0].write({"a": 1}))
    assert [side.read(retired) for side in keyed(NEW, [OLDER])] == [{}, {}]


DIGESTS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512, "blake2b": hashlib.blake2b}


def interface_with(**attributes):
    return type("Interface", (SecureCookieSessionInterface,), attributes)()


@pytest.mark.parametrize("salt", ["cookie-session", "other salt", b"\x00bytes\xff"])
@pytest.mark.parametrize("derivation", ["hmac", "concat", "django-concat", "none"])
@pytest.mark.parametrize("digest", DIGESTS)
def test_signature_of_any_interface_is_taken_over_from_the_app(salt, derivation, digest):
    """AS-16: that signature, and no other."""
    interface = interface_with(salt=salt, key_derivation=derivation, digest_method=staticmethod(DIGESTS[digest]))
    theirs, ours = both(interface=interface)
    line = theirs.write({"a": 1})
    assert ours.write({"a": 1}) == line
    assert ours.read(value_of(line)) == {"a": 1}
    is_stock = (salt, derivation, digest) == ("cookie-session", "hmac", "sha1")
    assert OURS.read(value_of(line)) == ({"a": 1} if is_stock else {})


class TagOrderedDict(JSONTag):
    """The example of Flask's documentation, which comes before all other tags."""

    __slots__ = ("serializer",)
    key = " od"

    def check(self, value):
        return isinstance(value, OrderedDict)

    def to_json(self, value):
        return [[key, self.serializer.tag(item)] for key, item in value.items()]

    def to_python(self, value):
        return OrderedDict(value)


class TagExactDateTime(JSONTag):
    """Takes the place of Flask's own."""

    __slots__ = ()
    key = " d"

    def check(self, value):
        return isinstance(value, datetime)

    def to_json(self, value):
        return value.isoformat()

    def to_python(self, value):
        return datetime.fromisoformat(value)


class TagComplex(JSONTag):
    __slots__ = ()
    key = "complex"  # no space before it

    def check(self, value):
        return isinstance(value, complex)

    def to_json(self, value):
        return [value.real, value.imag]

    def to_python(self, value):
        return complex(*value)


class TagSet(JSONTag):
    """Has no key of its own: a set becomes a tuple."""

    __slots__ = ()

    def check(self, value):
        return isinstance(value, set)

    def to_json(self, value):
        return self.serializer.tag(tuple(sorted(value)))

    tag = to_json


def tagging(*tags):
    serializer = FlaskSerializer()
    for tag, more in tags:
        serializer.register(tag, **more)
    return serializer


CUSTOM_TAGS = {
    "before all others": [(TagOrderedDict, {"index": 0})],
    "in place of Flask's": [(TagExactDateTime, {"force": True, "index": 0})],
    "in the middle": [(TagOrderedDict, {"index": 1}), (TagExactDateTime, {"force": True, "index": 3})],
    "at the end": [(TagComplex, {}), (TagSet, {})],
    "all": [
        (TagOrderedDict, {"index": 0}),
        (TagSet, {"index": 4}),
        (TagExactDateTime, {"force": True, "index": 0}),
        (TagComplex, {}),
    ],
}
ORDERED = OrderedDict(b=1, a=(2,))
MOMENT = datetime(2024, 2, 29, 12, 30, 15, 999, tzinfo=UTC)
FOR_TAGS = [
    {"a": ORDERED, "b": [{"c": ORDERED}]},
    {"a": MOMENT, "b": (MOMENT,)},
    {"a": 1 + 2j, "b": {"complex": 1}, "c": {"complex": 1, "d": 2}},
    {"a": {3, 1}, "b": [(set(),)]},
    {"a": {" od": 1}, "b": {" d": 1}, "c": {" t": [{" od": ORDERED}]}},
]


@pytest.mark.parametrize("data", FOR_TAGS, ids=["ordered dict", "moment", "complex", "set", "like tags"])
@pytest.mark.parametrize("tags", CUSTOM_TAGS.values(), ids=CUSTOM_TAGS.keys())
def test_tags_of_the_app_are_taken_over(tags, data):
    """R6."""
    theirs, ours = both(interface=interface_with(serializer=tagging(*tags)))
    line = outcome(theirs.write, data, TypeError)
    assert outcome(ours.write, data, UnwritableSession) == line
    if line != "refused":
        assert exactly(ours.read(value_of(line))) == exactly(theirs.read(value_of(line)))


def test_serializer_that_is_a_subclass_is_taken_over():
    """W1: keys sorted, as Flask's default provider writes them while the app is at work."""

    class Serializer(FlaskSerializer):
        default_tags = [TagOrderedDict, *FlaskSerializer.default_tags]

    theirs, ours = both(interface=interface_with(serializer=Serializer()))
    data = {"b": ORDERED, "a": {"d": 1, "c": [b""]}}
    line = theirs.write(data)
    assert ours.read(value_of(line)) == data
    assert ours.write(data) == line


# Age

LIFETIME = timedelta(hours=1)


@pytest.mark.parametrize("data", [{"a": 1}, {"a": 1, "_permanent": True}])
@pytest.mark.parametrize(
    ("age", "is_read"),
    [
        (3599, True),
        (3600, True),
        (3601, False),
        (0, True),
        (0.999, True),
        (-0.001, False),
        (-1, False),
        (3600.999, True),
    ],
)
def test_age_ends_a_session_in_the_second_in_which_flask_ends_it(age, is_read, data):
    """R4, K24: permanent or not."""
    theirs, ours = both(PERMANENT_SESSION_LIFETIME=LIFETIME)
    cookie = value_of(theirs.write(data))
    expected = data if is_read else {}
    assert ours.read(cookie, now=NOW + age) == theirs.read(cookie, now=NOW + age) == expected


# Vary. When it is sent, and when a cookie, is in test_policy_table.py.

VARY = [
    ([], "Cookie"),
    ([("Vary", "Accept-Encoding")], "Accept-Encoding, Cookie"),
    ([("vary", "Accept, Accept-Language")], "Accept, Accept-Language, Cookie"),
    ([("Vary", "cookie")], "cookie"),
    ([("Vary", "Accept, COOKIE")], "Accept, COOKIE"),
]


def vary_of_both(headers):
    async def app(scope, receive, send):
        len(scope["session"])
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    cookie = sign_data({"a": 1})
    ours = request(FlaskSessionASGI(app, SECRET, clock=lambda: NOW), cookie)
    return THEIRS.request(cookie, len, headers=headers).vary, ours.vary


@pytest.mark.parametrize(("headers", "expected"), VARY)
def test_vary_is_merged_as_in_flask(headers, expected):
    """K1: one header, no name twice."""
    assert vary_of_both(headers) == ([expected.encode()], [expected.encode()])


def test_vary_star_is_left_alone():
    """W4; Flask writes "*, Cookie", which says no more."""
    assert vary_of_both([("Vary", "*")]) == ([b"*, Cookie"], [b"*"])


def test_refresh_of_a_session_nobody_looked_at_says_what_flask_says():
    """W5: in the spelling that came, where Flask spells it anew."""
    cookie = sign('{"user": "ada", "_permanent": true}')
    theirs, ours = (value_of(side.request(cookie).set_cookie) for side in (THEIRS, OURS))
    assert ours == cookie != theirs
    assert OURS.read(ours) == OURS.read(theirs)
