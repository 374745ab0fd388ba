"""Sessions as Hypothesis makes them, and how two of them are held against each other."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from markupsafe import Markup


def examples(count, **more):
    """Return settings for *count* examples, and for more in a profile with more than Hypothesis' own 100."""
    scaled = count * settings().max_examples // 100
    return settings(max_examples=scaled, deadline=None, suppress_health_check=[HealthCheck.too_slow], **more)


class Page:
    def __init__(self, text):
        self.text = text

    def __html__(self):
        return self.text


@dataclass
class Item:
    name: str
    price: Any


class Colour(IntEnum):
    RED = 1


class Size(StrEnum):
    LARGE = "l"


class Text(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")

texts = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates too
zones = st.builds(timezone, st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)))
datetimes = st.datetimes() | st.datetimes(timezones=zones | st.just(UTC))

# Flask reads these back as they were, but for the fraction of a second and the zone of a datetime.
tagged = st.one_of(
    st.binary(max_size=20),
    st.uuids(),
    st.builds(Markup, texts),
    datetimes,
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.floats(),
    texts,
    st.sampled_from(
        ["2023", "\x00\x1f\x7f", "\u2028", "\U0001f600", "</script>", '"\\', "\ud800", "\udfff\ud800", " t"]
    ),
)
# What Flask's default provider turns into text, numbers or plain containers.
turned = st.one_of(
    st.dates(),
    st.decimals(),
    st.builds(
        Item, texts, st.none() | st.decimals(allow_nan=False) | st.dates() | st.uuids() | st.tuples(st.integers())
    ),
    st.builds(Page, texts),
    st.builds(Text, texts),
    st.sampled_from([Colour.RED, Size.LARGE]),
)
unwritable = st.sampled_from([{1}, 1j, object(), Item, range(3), bytearray(b"a"), ...])

tag_like = st.sampled_from([" t", " b", " m", " u", " d", " di", " t__", " di__", " d__", " ", "", " x", "t"])
keys = st.text(max_size=8) | texts | tag_like


def containers(values):
    return st.one_of(
        st.lists(values, max_size=4),
        st.lists(values, max_size=4).map(tuple),
        st.dictionaries(keys, values, max_size=4),
        st.dictionaries(tag_like, values, min_size=1, max_size=1),
        st.dictionaries(st.integers() | st.booleans() | st.floats(allow_nan=False), values, max_size=3),
        st.dictionaries(st.none(), values, max_size=1),
        st.builds(OrderedDict, st.dictionaries(keys, values, max_size=3)),
        st.builds(Point, values, values),
    )


values = st.recursive(scalars | tagged | turned, containers, max_leaves=8)
marks = st.sampled_from([{}, {"_permanent": True}, {"_permanent": False}, {"_permanent": 1}, {"_permanent": []}])


def _sessions(values):
    data = st.dictionaries(keys, values, min_size=1, max_size=4)
    return st.builds(lambda data, mark: {**data, **mark}, data, marks)


sessions = _sessions(values)

# Some of these no side can write: keys that do not sort, types that JSON does not know.
any_sessions = _sessions(
    st.recursive(
        scalars | tagged | turned | unwritable,
        lambda values: (
            containers(values) | st.dictionaries(keys | st.integers() | st.none() | st.tuples(), values, max_size=3)
        ),
        max_leaves=6,
    )
)


# Values of one type, at depth. Each comes back as it was, but for what as_read() says.
plain_texts = st.text(max_size=8)
plain_keys = plain_texts | tag_like
moments = st.datetimes(datetime(1000, 1, 3), datetime(9999, 12, 29))  # years of four digits, in any zone
LEAVES = {
    "tuple": st.just(()) | st.tuples(st.integers(), plain_texts),
    "list": st.just([]) | st.lists(st.booleans(), max_size=2),
    "dict": st.just({}) | st.dictionaries(plain_keys, st.integers(), max_size=2),
    "like a tag": st.dictionaries(tag_like, st.none() | plain_texts, min_size=1, max_size=1),
    "bytes": st.binary(max_size=20),
    "Markup": st.builds(Markup, plain_texts),
    "UUID": st.uuids(),
    "datetime": moments,
    "datetime of a zone": st.builds(datetime.replace, moments, tzinfo=zones | st.just(UTC)),
    "scalar": st.none() | st.booleans() | st.integers() | st.floats() | plain_texts,
}
any_leaf = st.one_of(*LEAVES.values())


def at_depth(leaf, *, keys=plain_keys, beside=any_leaf):
    """Return sessions with a *leaf* within six to eight containers, some of which hold something *beside* it."""

    def nest(value, ways):
        for way, key, other_key, other in ways:
            value = {
                "list": [value],
                "tuple": (value,),
                "dict": {key: value},
                "in a list": [other, value, other],
                "in a tuple": (value, other),
                "in a dict": {other_key: other, key: value},
            }[way]
        return value

    ways = st.sampled_from(["list", "tuple", "dict", "in a list", "in a tuple", "in a dict"])
    chains = st.lists(st.tuples(ways, keys, keys, beside), min_size=6, max_size=8)
    return st.builds(lambda key, value: {key: value}, plain_texts, st.builds(nest, leaf, chains))


def as_read(value):
    """Return what is read of a value that was written by Flask's tags: a datetime in UTC, of whole seconds."""
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(as_read, value))
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).replace(microsecond=0, fold=0)
    return value


def in_order(value):
    """Return a value with the keys of its dicts sorted, as Flask writes them."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return type(value)(map(in_order, value)) if isinstance(value, list | tuple) else value


def exactly(value):
    """Return *value* such that == tells 1 from True, sees the order of keys, and finds nan equal to nan."""
    if isinstance(value, dict):
        return type(value).__name__, [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [exactly(item) for item in value]
    return type(value).__name__, repr(value)


# Some of these are equal, and not the same.
alike = [1, True, 1.0, "1", [1], [True], {"a": 1}, {"a": True}, {}, [], 0, None]
_GONE = object()


def changed(keys, values):
    """Return functions that make of a session another one, which has most of it still."""

    def change(changes):
        return lambda data: {key: value for key, value in {**data, **changes}.items() if value is not _GONE}

    return st.builds(change, st.dictionaries(keys, values | st.just(_GONE), max_size=3))


def merged_by_key(base, theirs, ours):
    """Return what becomes of two changes of a session; all hold texts, of which == tells all apart."""
    merged = {key: _fate(base.get(key), theirs.get(key), ours.get(key)) for key in {**base, **theirs, **ours}}
    return {key: text for key, text in merged.items() if text is not None}


def _fate(base, theirs, ours):
    if base is not None and None in (theirs, ours):
        return None
    return theirs if ours in (None, base) else ours
