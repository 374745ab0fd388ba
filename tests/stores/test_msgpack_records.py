"""S2, ST-20 to ST-25: records in MessagePack, as Flask-Session writes them."""

import json
import pickle
import sys
import time
import tracemalloc
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from driver import SECRET
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from asgi_flask_session import BadRecord, Settings, UnwritableSession
from asgi_flask_session.records import Records, user_of

msgspec = pytest.importorskip("msgspec")
Ext = msgspec.msgpack.Ext

MIB = 1024 * 1024
KINDS = {form: Records(Settings(SECRET, record_format=form)) for form in ("msgpack", "json", "tagged")}
MSGPACK = KINDS["msgpack"]
MOMENT = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
EAST, WEST = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))
Point = namedtuple("Point", "x y")


class Nowhere(tzinfo):
    def utcoffset(self, moment):
        return None


def exactly(value):
    """Return *value* such that == tells types apart, but a tuple that is no key from a list."""
    kind = type(value)
    if kind is dict:
        return kind, {key_of(key): exactly(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return list, [exactly(item) for item in value]
    return leaf(value)


def key_of(key):
    return (tuple, *map(key_of, key)) if type(key) is tuple else leaf(key)


def leaf(value):
    kind = type(value)
    if kind is Ext:
        return kind, value.code, bytes(value.data)
    return kind, value.astimezone(UTC) if kind is datetime else repr(value)


WRITTEN = [
    ({"_permanent": True, "u": 1}, "82 aa 5f7065726d616e656e74 c3 a1 75 01"),
    ({"_permanent": True, "n": 1, "u": "é"}, "83 aa 5f7065726d616e656e74 c3 a1 6e 01 a1 75 a2 c3a9"),
    ({}, "80"),
    ({"a": None, "b": b"\x00\xff"}, "82 a1 61 c0 a1 62 c4 02 00ff"),
    ({"a": [1, -1.5, False, {}]}, "81 a1 61 94 01 cb bff8000000000000 c2 80"),
    ({"_flashes": [("message", "hi")]}, "81 a8 5f666c6173686573 91 92 a7 6d657373616765 a2 6869"),
    ({"d": MOMENT}, "81 a1 64 d7 ff 1d6f2800 6553f100"),
    ({"a": {1: 2, None: 3, (1, "x"): 4}}, "81 a1 61 83 01 02 c0 03 92 01 a1 78 04"),
    ({"a": 2**64 - 1, "b": -(2**63)}, "82 a1 61 cf ffffffffffffffff a1 62 d3 8000000000000000"),
    ({2**64 - 1: 0, -(2**63): 0}, "82 cf ffffffffffffffff 00 d3 8000000000000000 00"),
    ({"a": Ext(5, b"x")}, "81 a1 61 d4 05 78"),
    ({" t": [1]}, "81 a2 2074 91 01"),
    (dict.fromkeys("abcdefghijklmno"), "8f" + "".join(f"a1 {ord(key):x} c0" for key in "abcdefghijklmno")),
    (dict.fromkeys("abcdefghijklmnop"), "de 0010" + "".join(f"a1 {ord(key):x} c0" for key in "abcdefghijklmnop")),
]


@pytest.mark.parametrize(("data", "record"), WRITTEN)
def test_bytes_of_a_record(data, record):
    assert MSGPACK.dumps(data, "msgpack") == bytes.fromhex(record)
    for kind in KINDS.values():
        found, form = kind.loads(bytes.fromhex(record))
        assert (exactly(found), form) == (exactly(data), "msgpack")


def test_settings_for_messagepack_where_msgspec_is_there():
    assert Records(Settings(SECRET, record_format="msgpack")).dumps({"a": 1}, "msgpack") == b"\x81\xa1a\x01"


@pytest.mark.parametrize("written", KINDS)
@pytest.mark.parametrize(
    ("record", "form"),
    [(b"\x81\xa1a\x01", "msgpack"), (b"\xdf\x00\x00\x00\x01\xa1a\x01", "msgpack"), (b'{"a":1}', "json or tagged")],
)
def test_records_are_told_apart_by_their_first_byte(written, record, form):
    data, found = KINDS[written].loads(record)
    assert data == {"a": 1}
    assert found == (form if form == "msgpack" else "tagged" if written == "tagged" else "json")


def test_moment_comes_back_as_the_same_in_utc():
    for zone in (UTC, EAST, timezone(timedelta(seconds=17)), ZoneInfo("Europe/Berlin")):
        moment = MOMENT.astimezone(zone)
        found = MSGPACK.loads(MSGPACK.dumps({"d": moment}, "msgpack"))[0]["d"]
        assert (found, found.tzinfo) == (MOMENT, UTC)


@pytest.fixture(params=["UTC-5", "UTC+5"])  # as POSIX has it: east of Greenwich, and west
def _local_time(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_local_time")
@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=str)
def test_first_and_last_moment_are_kept_whatever_the_local_time(moment):
    assert MSGPACK.loads(MSGPACK.dumps({"d": moment}, "msgpack"))[0] == {"d": moment}


REFUSED = [
    ({"a": {1}}, "session['a'], a value of type set"),
    ({"a": frozenset()}, "session['a'], a value of type frozenset"),
    ({"a": bytearray(b"x")}, "session['a'], a value of type bytearray"),
    ({"a": memoryview(b"x")}, "session['a'], a value of type memoryview"),
    ({"a": [0, {"b": UUID(int=1)}]}, "session['a'][1]['b'], a value of type UUID"),
    ({"a": {(1, 2): {2: Decimal(1)}}}, "session['a'][(1, 2)][2], a value of type Decimal"),
    ({"a": date(2023, 1, 1)}, "session['a'], a value of type date"),
    ({"a": timedelta(1)}, "session['a'], a value of type timedelta"),
    ({"a": Markup("x")}, "session['a'], a value of type Markup"),
    ({"a": Point(1, 2)}, "session['a'], a value of type Point"),
    ({"a": OrderedDict(b=1)}, "session['a'], a value of type OrderedDict"),
    ({"a": object()}, "session['a'], a value of type object"),
    ({"a": MOMENT.replace(tzinfo=None)}, "session['a'], a value of type datetime"),
    ({"a": MOMENT.replace(tzinfo=Nowhere())}, "session['a'], a value of type datetime"),
    ({"a": datetime.max.replace(tzinfo=WEST)}, "session['a'], a value of type datetime"),
    ({"a": datetime.min.replace(tzinfo=EAST)}, "session['a'], a value of type datetime"),
    ({"a": Ext(-1, b"\0\0\0\1")}, "session['a'], a value of type Ext"),
    ({"a": 2**64}, "session['a'], a value of type int"),
    ({"a": (-(2**63) - 1,)}, "session['a'][0], a value of type int"),
    ({"a": "\ud800"}, "session['a'], a value of type str"),
    ({"a": {-(2**63) - 1: 1}}, "session['a'], a dict with a key of type int"),
    ({"a": {2**64: 1}}, "session['a'], a dict with a key of type int"),
    ({"a": {"\ud800": 1}}, "session['a'], a dict with a key of type str"),
    ({"a": {MOMENT.replace(tzinfo=None): 1}}, "session['a'], a dict with a key of type datetime"),
    ({"a": {datetime.max.replace(tzinfo=WEST): 1}}, "session['a'], a dict with a key of type datetime"),
    ({"a": {(1, (2, UUID(int=1))): 1}}, "session['a'], a dict with a key of type tuple"),
    ({"a": {frozenset(): 1}}, "session['a'], a dict with a key of type frozenset"),
    ({Point(1, 2): 1}, "session, a dict with a key of type Point"),
]


@pytest.mark.parametrize(("data", "where"), REFUSED, ids=[f"{n} {where}" for n, (_, where) in enumerate(REFUSED)])
def test_what_msgpack_does_not_give_back_is_refused_with_its_path(data, where):
    with pytest.raises(UnwritableSession) as caught:
        MSGPACK.dumps(data, "msgpack")
    hint = "msgpack does not keep it; record_format='tagged' keeps Flask's types"
    assert str(caught.value) == f"the session cannot be stored: {where}: {hint}"


# Damaged records

GOOD = MSGPACK.dumps(
    {"_permanent": True, "a": [1, 2.5, {"b": None}], "u": "é", "d": MOMENT, "x": b"\x01", 1: {(1, 2): 2**40}}, "msgpack"
)


def test_record_cut_at_any_byte_is_damaged():
    """ST-24."""
    for kind in KINDS.values():
        assert len(kind.loads(GOOD)[0]) == 6
        for length in range(len(GOOD)):
            with pytest.raises(BadRecord):
                kind.loads(GOOD[:length])


DAMAGED = [
    GOOD + b"\xc0", GOOD[:1] + GOOD, b"\x80\x80", b"\x80\x02}.", b"\x80\x05}\x94.", b"\x81", b"\x81\x01",
    b"\x81\xc1\x01", b"\x81\xa1a\xc1", b"\x81\xa1\xff\x01", b"\x81\xa1a\xa1\xff", b"\x81\xa3\xed\xa0\x80\x01",
    b"\x81\x80\x01",
    b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xdb\xff\xff\xff\xff", b"\x81\xa1a\xdd\xff\xff\xff\xff",
    b"\x81\xa1a\xc6\xff\xff\xff\xff", b"\x81\xa1a\xd6\xff", b"\x81\xa1a\xc7\x0c\xff\xff\xff\xff\xff" + b"\0" * 8,
    b"\x81\xa1a\xc7\x03\xff\0\0\0", b"\xc0", b"\x01", b"\xa1x", b"\x91\x01", b"\xdc\0\0", b"\xc3", b"\xc4\x01x",
    b"\xc1\xff",
]  # fmt: skip


@pytest.mark.parametrize("record", DAMAGED, ids=lambda record: record[:20].hex())
def test_what_is_no_record_is_damaged(record):
    """ST-22, ST-23."""
    for kind in KINDS.values():
        with pytest.raises(BadRecord):
            kind.loads(record)
    assert user_of(record) is None


@given(st.sampled_from([*range(0x80, 0x90), 0xDE, 0xDF]), st.binary(max_size=40))
def test_bytes_that_begin_as_a_map_are_a_record_or_damaged(first, rest):
    try:
        data, form = MSGPACK.loads(bytes([first]) + rest)
    except BadRecord:
        return
    assert (type(data), form) == (dict, "msgpack")


@given(st.integers(0), st.binary(max_size=2))
def test_record_with_other_bytes_in_it_is_a_record_or_damaged(place, other):
    place %= len(GOOD)
    try:
        data, _ = MSGPACK.loads(GOOD[:place] + other + GOOD[place + 1 :])
    except BadRecord:
        return
    assert type(data) is dict


class Visible:
    """Loading a pickle of it shows."""

    def __reduce__(self):
        return exec, ("import sys; sys.modules['a_pickle_was_loaded'] = sys",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("data", [{"_user_id": "1", "x": Visible()}, {}, [Visible()]], ids=["dict", "empty", "list"])
def test_pickle_is_damaged_and_never_loaded(protocol, data):
    """ST-20: from protocol 2 on it begins as an empty map does."""
    record = pickle.dumps(data, protocol)
    for kind in KINDS.values():
        with pytest.raises(BadRecord):
            kind.loads(record)
    assert user_of(record) is None
    assert "a_pickle_was_loaded" not in sys.modules


# Bounds


def test_record_of_fifty_megabytes_is_refused_before_it_is_read():
    """ST-25."""
    record = b"\x81\xa1a\xc6" + (50 * MIB).to_bytes(4, "big") + bytes(50 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(BadRecord, match="at most 1048576"):
            MSGPACK.loads(record)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_length_that_is_not_there_takes_no_memory():
    tracemalloc.start()
    try:
        for kind in (b"\xdb", b"\xdd", b"\xdf", b"\xc6"):
            with pytest.raises(BadRecord):
                MSGPACK.loads(b"\x81\xa1a" + kind + b"\x0f\xff\xff\xff")
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("start", "end"), [(b"\x91", b"\x90"), (b"\x81\xa1a", b"\x80"), (b"\xdc\0\1", b"\x90")])
def test_record_of_more_than_five_hundred_levels_is_refused(start, end):
    data, form = MSGPACK.loads(b"\x82\xa1a" + start * 498 + end + b"\xa1b\x92\x90\x90")
    record = MSGPACK.dumps(data, form)
    assert MSGPACK.loads(record) == (data, form)
    for levels in (499, 5_000, 300_000):
        with pytest.raises(BadRecord):
            MSGPACK.loads(b"\x81\xa1a" + start * levels + end)
    with pytest.raises(UnwritableSession, match="nested deeper than 500 levels"):
        MSGPACK.dumps({"a": data}, form)


def test_many_lists_that_are_not_in_each_other_are_no_levels():
    data = {"a": [[] for _ in range(2000)], "b": "\u0484" * 2000, "c": [{}] * 2000}
    assert MSGPACK.loads(MSGPACK.dumps(data, "msgpack"))[0] == data


# Beside a serializer of the application


class Reversed:
    """Bytes that begin as a map of MessagePack does."""

    def dumps(self, data):
        return b"\x81" + json.dumps(data).encode()[::-1]

    def loads(self, record):
        if record[:1] != b"\x81":
            raise RuntimeError("not mine")
        return json.loads(record[:0:-1])


def test_what_a_serializer_of_the_application_refuses_is_read_as_messagepack():
    own = Records(Settings(SECRET, serializer=Reversed()))
    record = own.dumps({"a": 1}, "tagged")
    assert record == b'\x81}1 :"a"{'
    assert own.loads(record) == ({"a": 1}, "tagged")
    assert own.loads(b"\x81\xa1a\x01") == ({"a": 1}, "msgpack")
    with pytest.raises(BadRecord):
        own.loads(b"\x81\xa1a")


@pytest.mark.parametrize(
    ("record", "user"),
    [
        (b"\x81\xa8_user_id\xa17", "7"),
        (b"\x81\xa8_user_id\x07", "7"),
        (b"\xde\x00\x01\xa8_user_id\xa17", "7"),
        (b"\x81\xa8_user_id\xc0", None),
        (b"\x81\xa1a\xa8_user_id", None),
        (b"\x81\xa8_user_id", None),
        (b"\x91\xa8_user_id", None),
    ],
)
def test_user_of_a_record(record, user):
    assert user_of(record) == user


# Properties

texts = st.text(max_size=10)
zones = st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC) | zones)
integers = st.integers(-(2**63), 2**64 - 1)
leaves = st.none() | st.booleans() | integers | st.floats() | texts | st.binary(max_size=8) | moments
plain_keys = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | texts | st.binary(max_size=4) | moments
keys = plain_keys | st.tuples(plain_keys) | st.tuples(texts, st.tuples(plain_keys, plain_keys))
extensions = st.builds(Ext, st.integers(0, 127), st.binary(max_size=4))
others = st.one_of(
    st.uuids(),
    st.dates(),
    st.decimals(),
    st.datetimes(),
    st.integers(),
    st.text(st.characters(categories=["Cs"]), max_size=2),
    st.builds(Markup, texts),
    st.sets(st.integers(), max_size=2),
    st.builds(Ext, st.integers(-128, 127), st.binary(max_size=12)),
    st.sampled_from([Point(1, 2), OrderedDict(), datetime.max.replace(tzinfo=WEST), datetime.min.replace(tzinfo=EAST)]),
)


def sessions(leaves, keys):
    def containers(values):
        return (
            st.lists(values, max_size=4)
            | st.lists(values, max_size=4).map(tuple)
            | st.dictionaries(keys, values, max_size=4)
        )

    return st.dictionaries(keys, st.recursive(leaves, containers, max_leaves=8), max_size=4)


@given(sessions(leaves | extensions, keys))
def test_all_that_msgpack_keeps_comes_back(data):
    record = MSGPACK.dumps(data, "msgpack")
    assert record == msgspec.msgpack.encode(data)
    for kind in KINDS.values():
        found, form = kind.loads(record)
        assert (exactly(found), form) == (exactly(data), "msgpack")


@given(sessions(leaves | others, keys | st.datetimes() | st.uuids() | st.integers() | st.frozensets(st.integers())))
def test_what_msgpack_does_not_refuse_comes_back_as_it_was(data):
    try:
        record = MSGPACK.dumps(data, "msgpack")
    except UnwritableSession:
        return
    assert exactly(MSGPACK.loads(record)[0]) == exactly(data)
