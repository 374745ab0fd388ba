"""S2, ST-20 to ST-25: records in the formats that need nothing installed. MessagePack has its own tests, in stores/."""

import json
import pickle
import sys
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from types import SimpleNamespace
from uuid import UUID

import pytest
from driver import SECRET
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from asgi_flask_session import (
    BadRecord,
    JSONTag,
    Settings,
    SettingsError,
    TaggedJSONSerializer,
    UnwritableSession,
    records,
)
from asgi_flask_session.records import Records, user_of

MIB = 1024 * 1024
TAGGED = Records(Settings(SECRET))
JSON = Records(Settings(SECRET, record_format="json"))
KINDS = {"tagged": TAGGED, "json": JSON}

ID = UUID("12345678123456781234567812345678")
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
Point = namedtuple("Point", "x y")


class Colour(IntEnum):
    RED = 1


class Size(StrEnum):
    LARGE = "l"


def exactly(value, *, tuples=True):
    """Return *value* such that == tells types apart, and a tuple from a list unless *tuples* is not set."""
    kind = type(value)
    if kind is dict:
        return kind, [(exactly(key), exactly(item, tuples=tuples)) for key, item in sorted(value.items())]
    if kind is list or kind is tuple:
        return kind if tuples else list, [exactly(item, tuples=tuples) for item in value]
    if kind is datetime:
        return kind, value.astimezone(UTC)
    return kind, repr(value)


# Bytes, as Quart-Session and Flask-Session write them, but for the order of the keys in tagged JSON

WRITTEN = [
    ("tagged", {"_permanent": True, "u": 1}, b'{"_permanent":true,"u":1}'),
    ("tagged", {"u": 1, "_addr": "127.0.0.1", "_permanent": True}, b'{"_addr":"127.0.0.1","_permanent":true,"u":1}'),
    ("tagged", {"t": (1, 2)}, b'{"t":{" t":[1,2]}}'),
    ("tagged", {"b": b"\x00\xff"}, b'{"b":{" b":"AP8="}}'),
    ("tagged", {"u": ID}, b'{"u":{" u":"12345678123456781234567812345678"}}'),
    ("tagged", {"d": MOMENT}, b'{"d":{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}}'),
    ("tagged", {"m": Markup("<b>")}, b'{"m":{" m":"<b>"}}'),
    ("tagged", {"x": {" t": 1}}, b'{"x":{" di":{" t__":1}}}'),
    ("tagged", {" t": 1}, b'{" di":{" t__":1}}'),
    ("tagged", {"u": "é"}, b'{"u":"\\u00e9"}'),
    ("json", {"_permanent": True, "u": 1}, b'{"_permanent":true,"u":1}'),
    ("json", {"u": 1, "_permanent": True}, b'{"u":1,"_permanent":true}'),
    ("json", {"u": "é\u2028", "n": None}, b'{"u":"\xc3\xa9\xe2\x80\xa8","n":null}'),
    ("json", {"a": [1, -1.5, False, {"b": []}]}, b'{"a":[1,-1.5,false,{"b":[]}]}'),
    ("json", {"a": '"\\/\x00\n'}, b'{"a":"\\"\\\\/\\u0000\\n"}'),
    ("json", {"_flashes": [("message", "hi")]}, b'{"_flashes":[["message","hi"]]}'),
    ("json", {"é": {"é": 1}}, b'{"\xc3\xa9":{"\xc3\xa9":1}}'),
    ("json", {"a": {" t": 1, "b": 2}}, b'{"a":{" t":1,"b":2}}'),
    ("json", {}, b"{}"),
]


@pytest.mark.parametrize(("form", "data", "record"), WRITTEN)
def test_bytes_of_a_record(form, data, record):
    written = KINDS[form].dumps(data, form)
    assert written == record
    found, kept = KINDS[form].loads(written)
    assert kept == form
    assert exactly(found, tuples=form == "tagged") == exactly(data, tuples=form == "tagged")


@pytest.mark.parametrize("form", KINDS)
def test_either_format_is_written_whatever_the_settings_say(form):
    assert {kind.dumps({"t": (1,)}, form) for kind in KINDS.values()} == {
        b'{"t":{" t":[1]}}' if form == "tagged" else b'{"t":[1]}'
    }


# Which format a record is in

READ = [
    # where tagged JSON is written, JSON is that
    ("tagged", b'{"a":[1]}', {"a": [1]}, "tagged"),
    ("tagged", b'{"a":{" t":[1]}}', {"a": (1,)}, "tagged"),
    ("tagged", b'{ "a" : 1 }', {"a": 1}, "tagged"),
    ("tagged", b'{"a":{" d":"yesterday"}}', {"a": None}, "tagged"),  # as Flask reads it
    ("tagged", b"{}", {}, "tagged"),
    # where plain JSON is, only what has tags is tagged
    ("json", b'{"a":[1]}', {"a": [1]}, "json"),
    ("json", b'{ "a" : 1 }', {"a": 1}, "json"),
    ("json", b"{}", {}, "json"),
    ("json", b'{"a":" t"," t":"a"}', {"a": " t", " t": "a"}, "json"),
    ("json", b'{"a":" ","b":{" x":[1]}}', {"a": " ", "b": {" x": [1]}}, "json"),
    ("json", b'{"a":"NaN and Infinity"}', {"a": "NaN and Infinity"}, "json"),
    ("json", b'{"a":{" t":[1]}}', {"a": (1,)}, "tagged"),
    ("json", b'{"a":{"\\u0020t":[1]}}', {"a": (1,)}, "tagged"),
    ("json", b'{"a":{" di":{" t__":1}}}', {"a": {" t": 1}}, "tagged"),
    ("json", b'{"a":"\\u00e9\\ud83d\\ude00"}', {"a": "é\U0001f600"}, "json"),
    ("json", b'{"a":"\\ud800"}', {"a": "\ud800"}, "tagged"),
    ("json", b'{"\\udfff":1}', {"\udfff": 1}, "tagged"),
    ("json", b'{"a":Infinity}', {"a": float("inf")}, "tagged"),
    ("json", b'{"a":[-Infinity," "]}', {"a": [float("-inf"), " "]}, "tagged"),
]


@pytest.mark.parametrize(("written", "record", "data", "form"), READ)
def test_format_of_a_record(written, record, data, form):
    found, kept = KINDS[written].loads(record)
    assert (exactly(found), kept) == (exactly(data), form)
    assert exactly(KINDS[written].loads(KINDS[written].dumps(found, kept))[0]) == exactly(data)


def test_number_that_json_does_not_have_is_of_tagged_json():
    data, form = JSON.loads(b'{"a":NaN}')
    assert (repr(data["a"]), form) == ("nan", "tagged")
    assert JSON.dumps(data, form) == b'{"a":NaN}'


# What JSON does not give back

REFUSED = [
    ({"a": {1, 2}}, "session['a'], a value of type set"),
    ({"a": frozenset()}, "session['a'], a value of type frozenset"),
    ({"a": b"x"}, "session['a'], a value of type bytes"),
    ({"a": bytearray(b"x")}, "session['a'], a value of type bytearray"),
    ({"a": [0, {"b": ID}]}, "session['a'][1]['b'], a value of type UUID"),
    ({"a": (0, (MOMENT,))}, "session['a'][1][0], a value of type datetime"),
    ({"a": MOMENT.replace(tzinfo=None)}, "session['a'], a value of type datetime"),
    ({"a": date(2023, 1, 1)}, "session['a'], a value of type date"),
    ({"a": timedelta(1)}, "session['a'], a value of type timedelta"),
    ({"a": Decimal(1)}, "session['a'], a value of type Decimal"),
    ({"a": Fraction(1)}, "session['a'], a value of type Fraction"),
    ({"a": 1j}, "session['a'], a value of type complex"),
    ({"a": Markup("x")}, "session['a'], a value of type Markup"),
    ({"a": Colour.RED}, "session['a'], a value of type Colour"),
    ({"a": Size.LARGE}, "session['a'], a value of type Size"),
    ({"a": Point(1, 2)}, "session['a'], a value of type Point"),
    ({"a": OrderedDict(b=1)}, "session['a'], a value of type OrderedDict"),
    ({"a": defaultdict(int)}, "session['a'], a value of type defaultdict"),
    ({"a": range(3)}, "session['a'], a value of type range"),
    ({"a": object()}, "session['a'], a value of type object"),
    ({"a": int}, "session['a'], a value of type type"),
    ({"a": ...}, "session['a'], a value of type ellipsis"),
    ({"a": float("nan")}, "session['a'], a value of type float"),
    ({"a": [float("inf")]}, "session['a'][0], a value of type float"),
    ({"a": "\ud800"}, "session['a'], a value of type str"),
    ({"a": 10**5000}, "session['a'], a value of type int"),
    ({"a": {1: 2}}, "session['a'], a dict with a key of type int"),
    ({"a": {"x": 1, None: 2}}, "session['a'], a dict with a key of type NoneType"),
    ({"a": {True: 2}}, "session['a'], a dict with a key of type bool"),
    ({"a": {(1, 2): 2}}, "session['a'], a dict with a key of type tuple"),
    ({"a": {"\udfff": 2}}, "session['a'], a dict with a key of type str"),
    ({"a" * 96: {1}}, f"session['{'a' * 96}'], a value of type set"),
    ({"a" * 97: {1}}, f"session['{'a' * 97}'..., a value of type set"),
    ({1: 2}, "session, a dict with a key of type int"),
    ({"a": {" t": [1]}}, "session['a'], a dict that would be read as a tag"),
    ({" d": ""}, "session, a dict that would be read as a tag"),
]


@pytest.mark.parametrize(
    ("data", "where"), REFUSED, ids=[f"{number} {where}" for number, (_, where) in enumerate(REFUSED)]
)
def test_what_json_does_not_give_back_is_refused_with_its_path(data, where):
    with pytest.raises(UnwritableSession) as caught:
        JSON.dumps(data, "json")
    hint = "json does not keep it; record_format='tagged' keeps Flask's types"
    assert str(caught.value) == f"the session cannot be stored: {where}: {hint}"


def test_what_tagged_json_cannot_write_is_refused_with_its_path_alone():
    with pytest.raises(UnwritableSession) as caught:
        TAGGED.dumps({"a": [{"b": {1}}]}, "tagged")
    assert str(caught.value) == "the session cannot be stored: session['a'][0]['b'], a value of type set"


def test_value_is_in_no_message():
    with pytest.raises(UnwritableSession) as caught:
        JSON.dumps({"a": b"the-value"}, "json")
    assert "the-value" not in str(caught.value)


def nested(levels, kind=list):
    """Return a session of as many lists or objects in each other."""
    value = kind()
    for _ in range(levels - 2):
        value = [value] if kind is list else {"a": value}
    return {"a": value}


@pytest.mark.parametrize("kind", [list, dict])
def test_five_hundred_levels_are_kept_and_one_more_is_refused(kind):
    assert JSON.loads(JSON.dumps(nested(500, kind), "json"))[0] == nested(500, kind)
    with pytest.raises(UnwritableSession, match=r"session\['a'\].*\.\.\., nested deeper than 500 levels") as caught:
        JSON.dumps(nested(501, kind), "json")
    assert "record_format" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_value_in_itself_is_refused():
    data = {"a": []}
    data["a"].append(data)
    for form in KINDS:
        with pytest.raises(UnwritableSession, match="in itself"):
            JSON.dumps(data, form)


# Damaged records

GOOD = {
    "tagged": b'{"_permanent":true,"a":{" t":[1,{" b":"AP8="}]},"u":"\\u00e9"}',
    "json": '{"_permanent":true,"a":[1,2.5,{"b":null}],"u":"é"}'.encode(),
}


@pytest.mark.parametrize("cut", ["tagged", "json"])
@pytest.mark.parametrize("kind", KINDS)
def test_record_cut_at_any_byte_is_damaged(kind, cut):
    """ST-24."""
    assert KINDS[kind].loads(GOOD[cut])
    for length in range(len(GOOD[cut])):
        with pytest.raises(BadRecord):
            KINDS[kind].loads(GOOD[cut][:length])


DAMAGED = [
    b"", b" ", b"\0", b"\xc1\xff", b"\xff" * 8, b"[]", b"[1]", b'["a"]', b"1", b"0", b"-1.5", b'"a"', b'""', b"null",
    b"true", b"false", b"NaN", b"x", b"<html>", b"a=b", b" {}", b"\n{}", b"\xef\xbb\xbf{}", b"{} ,", b"{}{}", b"{}x",
    b"{", b"}", b'{"a"}', b"{a:1}", b"{'a':1}", b'{"a":1,}', b'{"a":01}', b'{"a":1', b'{"a":"\xff"}', b'{"\xc3":1}',
    b'{"a":"\xed\xa0\x80"}', b"{\0}\0", b"{\0\0\0}\0\0\0", b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":' + b"9" * 5000 + b"}",
    b'{" t":[1]}', b'{" b":"AP8="}', b'{" u":"12345678123456781234567812345678"}', b'{" m":"x"}', b'{" d":""}',
    b'{"a":{" b":"A"}}', b'{"a":{" b":1}}', b'{"a":{" u":"x"}}', b'{"a":{" u":null}}', b'{"a":{" t":1}}',
    b'{"a":{" d":1}}', b'{"a":{" di":1}}', b'{"a":{" di":{}}}', b'{"a":{" di":[]}}',
    b"\x91\x01", b"\x01", b"\xa1x", b"\xc0", b"\xdc\x00\x01\x01", b"\x1f\x8b\x08", b"PK\x03\x04", b"(dp0\n.",
    b"bplist00", b"\x80", b"\x00\x00\x00\x00{}",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("record", DAMAGED, ids=lambda record: repr(record[:40]))
def test_what_is_no_record_is_damaged(kind, record, monkeypatch):
    """ST-22, ST-23."""
    monkeypatch.setattr(records, "find_spec", lambda name: None)  # which b"\x80" depends on
    with pytest.raises(BadRecord):
        KINDS[kind].loads(record)
    assert user_of(record) is None


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (b"", "it is empty"),
        (b"[1]", "it begins as no format that is known"),
        (b'{"a"', "it is neither tagged JSON nor MessagePack nor JSON"),
        (b'{" t":[1]}', "it is no mapping"),
    ],
)
def test_damage_is_named(record, what):
    with pytest.raises(BadRecord, match=what):
        TAGGED.loads(record)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b'{"a":' + tail))
def test_bytes_of_any_kind_are_a_record_or_damaged(record):
    for kind in KINDS.values():
        try:
            data, _ = kind.loads(record)
        except BadRecord:
            continue
        assert isinstance(data, dict)


@given(st.integers(0), st.binary(max_size=2))
def test_record_with_other_bytes_in_it_is_a_record_or_damaged(place, other):
    for kind in KINDS.values():
        for record in GOOD.values():
            start = place % len(record)
            try:
                data, form = kind.loads(record[:start] + other + record[start + 1 :])
            except BadRecord:
                continue
            assert isinstance(data, dict)
            assert form in KINDS


# Pickle


class Visible:
    """Loading a pickle of it shows."""

    def __reduce__(self):
        return exec, ("import sys; sys.modules['a_pickle_was_loaded'] = sys",)


@pytest.fixture
def unloaded_pickle():
    yield
    assert sys.modules.pop("a_pickle_was_loaded", None) is None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "data",
    [Visible(), {"_user_id": "1", "x": Visible()}, {}, {"a": 1}],
    ids=lambda d: str(type(d)) + str(len(pickle.dumps(d))),
)
@pytest.mark.usefixtures("unloaded_pickle")
def test_pickle_is_damaged_and_never_loaded(protocol, data):
    """ST-20."""
    record = pickle.dumps(data, protocol)
    for kind in KINDS.values():
        with pytest.raises(BadRecord):
            kind.loads(record)
    assert user_of(record) is None


def test_such_a_pickle_would_show():
    pickle.loads(pickle.dumps({"x": Visible()}))
    assert sys.modules.pop("a_pickle_was_loaded")


# Bounds


@pytest.mark.parametrize("kind", KINDS)
def test_record_of_fifty_megabytes_is_refused_before_it_is_read(kind):
    """ST-25."""
    record = b'{"a":"' + b"x" * (50 * MIB) + b'"}'
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match=r"52428808 bytes.*at most 1048576"):
            KINDS[kind].loads(record)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_record_of_a_megabyte_is_read_and_of_a_byte_more_is_not(kind):
    record = b'{"a":"' + b"x" * (MIB - 8) + b'"}'
    assert len(KINDS[kind].loads(record)[0]["a"]) == MIB - 8
    with pytest.raises(BadRecord, match="at most"):
        KINDS[kind].loads(record.replace(b"a", b"aa", 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("start", "middle", "end"), [(b"[", b"", b"]"), (b'{"a":', b"1", b"}"), (b'{" t":[', b"", b"]}")]
)
def test_record_of_more_than_five_hundred_levels_is_refused(kind, start, middle, end):
    def record(levels):
        return b'{"a":' + start * levels + middle + end * levels + b"}"

    levels = start.count(b"[") + start.count(b"{")
    assert KINDS[kind].loads(record(499 // levels))
    for count in (500 // levels + levels - 1, 100_000):
        with pytest.raises(BadRecord, match="deeper than 500 levels"):
            KINDS[kind].loads(record(count))


def test_brackets_in_strings_are_no_levels():
    data = {"a": "[" * 1000, "b": '{"' * 1000}
    for form, kind in KINDS.items():
        assert kind.loads(kind.dumps(data, form))[0] == data


# MessagePack without msgspec


@pytest.fixture
def _no_msgspec(monkeypatch):
    monkeypatch.setattr(records, "find_spec", lambda name: None)


@pytest.mark.usefixtures("_no_msgspec")
@pytest.mark.parametrize("record", [b"\x81\xa1a\x01", b"\x80", b"\xde\x00\x00", b"\xdf\x00\x00\x00\x00"])
def test_messagepack_without_msgspec_says_what_to_install(record):
    for kind in KINDS.values():
        with pytest.raises(BadRecord, match=r"pip install asgi-flask-session\[flask-session\]"):
            kind.loads(record)


@pytest.mark.usefixtures("_no_msgspec")
def test_settings_for_messagepack_without_msgspec_say_what_to_install():
    with pytest.raises(SettingsError, match=r"pip install asgi-flask-session\[flask-session\]"):
        Records(Settings(SECRET, record_format="msgpack"))


@pytest.mark.usefixtures("_no_msgspec")
@pytest.mark.parametrize("form", KINDS)
def test_settings_for_other_formats_need_no_msgspec(form):
    assert Records(Settings(SECRET, record_format=form)).dumps({"a": 1}, form) == b'{"a":1}'


# Serializers of the application


class Reversed:
    """Bytes that begin as a pickle or a map of MessagePack do."""

    def dumps(self, data):
        return b"\x80" + json.dumps(data).encode()[::-1]

    def loads(self, record):
        if record[:1] != b"\x80":
            raise RuntimeError("not mine")
        return json.loads(record[:0:-1])


class Upper(TaggedJSONSerializer):
    """Tagged JSON, spelled otherwise."""

    def dumps(self, value):
        return super().dumps(value).replace("{", "{\n")


class TagSet(JSONTag):
    key = "set"

    def check(self, value):
        return isinstance(value, set)

    def to_json(self, value):
        return sorted(value)

    def to_python(self, value):
        return set(value)


def with_tag(tag_class):
    serializer = TaggedJSONSerializer()
    serializer.register(tag_class, index=0)
    return serializer


def test_serializer_of_bytes_writes_and_reads_what_is_its_own():
    own = Records(Settings(SECRET, serializer=Reversed()))
    record = own.dumps({"a": 1}, "tagged")
    assert record == b'\x80}1 :"a"{'
    assert own.loads(record) == ({"a": 1}, "tagged")
    with pytest.raises(BadRecord):
        TAGGED.loads(record)


def test_serializer_of_text_is_written_in_utf_8():
    accented = SimpleNamespace(
        dumps=lambda data: "é" + json.dumps({**data}), loads=lambda text: json.loads(text.removeprefix("é"))
    )
    own = Records(Settings(SECRET, serializer=accented))
    assert own.dumps({"a": 1}, "tagged") == b'\xc3\xa9{"a": 1}'
    assert own.loads(b'\xc3\xa9{"a": 1}') == ({"a": 1}, "tagged")


def test_what_a_serializer_of_the_application_refuses_is_read_as_json():
    own = Records(Settings(SECRET, serializer=Reversed()))
    assert own.loads(b'{"a":{" t":[1]}}') == ({"a": {" t": [1]}}, "json")
    assert own.dumps({"a": [1]}, "json") == b'{"a":[1]}'


@pytest.mark.parametrize("record", [b"", b"x", b"\x80x", b"\x80][", b"\xff", b"[1]", b'{"a"', b"\x801"])
def test_what_nobody_reads_is_damaged(record):
    with pytest.raises(BadRecord):
        Records(Settings(SECRET, serializer=Reversed())).loads(record)


def test_levels_of_json_are_counted_beside_another_serializer_too():
    with pytest.raises(BadRecord, match="deeper than 500"):
        Records(Settings(SECRET, serializer=Reversed())).loads(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}")


def test_subclass_of_tagged_json_is_asked():
    own = Records(Settings(SECRET, serializer=Upper()))
    assert own.dumps({"a": (1,)}, "tagged") == b'{\n"a":{\n" t":[1]}}'
    assert own.loads(b'{"a":{" t":[1]}}') == ({"a": (1,)}, "tagged")


@pytest.mark.parametrize("form", ["tagged", "json"])
def test_tag_of_the_application_is_known_in_either_format(form):
    own = Records(Settings(SECRET, serializer=with_tag(TagSet), record_format=form))
    record = own.dumps({"a": {1, 2}}, "tagged")
    assert record == b'{"a":{"set":[1,2]}}'
    assert own.loads(record) == ({"a": {1, 2}}, "tagged")
    with pytest.raises(UnwritableSession, match=r"session\['a'\], a dict that would be read as a tag"):
        own.dumps({"a": {"set": [1]}}, "json")


# Who is logged in


@pytest.mark.parametrize(
    ("record", "user"),
    [
        (b'{"_user_id":"7"}', "7"),
        (b'{"_user_id":7}', "7"),
        (b'{"a":[{" t":[]}],"_user_id":"\\u00e9"}', "é"),
        (b'{"_user_id":{" u":"12345678123456781234567812345678"}}', str(ID)),
        (b'{"_user_id":null}', None),
        (b'{"a":{"_user_id":"7"}}', None),
        (b'{"a":"_user_id"}', None),
        (b'["_user_id"]', None),
        (b'{"_user_id":"7"', None),
        (b"_user_id", None),
        (b"{}", None),
        (b"", None),
        (b'{"_user_id":"7","a":' + b"[" * 100_000, None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_user_of_a_record(record, user):
    assert user_of(record) == user


# Properties

texts = st.text(max_size=10)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
tags = st.sampled_from([" t", " b", " di", " u", " d", " m", " x", "t", "NaN", "set"])


def containers(values):
    return st.one_of(
        st.lists(values, max_size=4),
        st.lists(values, max_size=4).map(tuple),
        st.dictionaries(texts | tags, values, max_size=4),
        st.dictionaries(tags, values, min_size=1, max_size=1),
    )


def sessions(leaves):
    return st.dictionaries(texts | tags, st.recursive(leaves, containers, max_leaves=8), max_size=4)


moments = st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
kept_by_tags = st.binary(max_size=8) | st.uuids() | moments | st.builds(Markup, texts) | st.floats()
others = st.one_of(
    st.binary(max_size=4),
    st.uuids(),
    st.datetimes(),
    st.dates(),
    st.decimals(),
    st.floats(),
    st.text(st.characters(categories=["Cs"]), max_size=2),
    st.builds(Markup, texts),
    st.sets(st.integers(), max_size=2),
    st.sampled_from([Colour.RED, Size.LARGE, Point(1, 2), OrderedDict(), defaultdict(list)]),
    st.dictionaries(st.integers() | st.none() | st.booleans() | texts, st.integers(), max_size=2),
)


@given(sessions(scalars | kept_by_tags))
def test_all_that_tagged_json_keeps_comes_back(data):
    found, form = TAGGED.loads(TAGGED.dumps(data, "tagged"))
    assert (exactly(found), form) == (exactly(data), "tagged")


def looks_like_a_tag(value):
    if isinstance(value, dict):
        return (len(value) == 1 and next(iter(value)) in TaggedJSONSerializer().tags) or any(
            map(looks_like_a_tag, value.values())
        )
    return isinstance(value, list | tuple) and any(map(looks_like_a_tag, value))


@given(sessions(scalars))
def test_all_that_json_keeps_comes_back_wherever_it_is_read(data):
    if looks_like_a_tag(data):
        with pytest.raises(UnwritableSession):
            JSON.dumps(data, "json")
        return
    record = JSON.dumps(data, "json")
    for kind in KINDS.values():
        assert exactly(kind.loads(record)[0]) == exactly(data, tuples=False)
    assert JSON.loads(record)[1] == "json"


@given(sessions(scalars | others))
def test_what_json_does_not_refuse_comes_back_as_it_was(data):
    try:
        record = JSON.dumps(data, "json")
    except UnwritableSession:
        return
    assert exactly(JSON.loads(record)[0]) == exactly(data, tuples=False)


@given(sessions(scalars | kept_by_tags))
def test_record_with_tags_stays_one_where_plain_json_is_written(data):
    found, form = JSON.loads(TAGGED.dumps(data, "tagged"))
    assert exactly(found) == exactly(data)
    if form == "json":
        assert exactly(JSON.loads(JSON.dumps(found, "json"))[0]) == exactly(data)
