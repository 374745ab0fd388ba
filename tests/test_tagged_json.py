"""R6, W1: Flask's tagged JSON, tag for tag."""

import dataclasses
import enum
import json
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from markupsafe import Markup

from asgi_flask_session import JSONTag, TaggedJSONSerializer, tagged_json
from asgi_flask_session.tagged_json import find_unwritable

ID = UUID("12345678123456781234567812345678")
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@dataclasses.dataclass
class Point:
    x: int
    day: date


class Colour(enum.IntEnum):
    RED = 1


class Html:
    def __repr__(self):
        return "Html()"

    def __html__(self):
        return "<i>"


@dataclasses.dataclass
class Card:
    title: Html


Pair = namedtuple("Pair", "a b")

KNOWN = [
    ({"b": 1, "a": [True, None, 1.5, "é"]}, '{"a":[true,null,1.5,"\\u00e9"],"b":1}'),
    ((1, (2,)), '{" t":[1,{" t":[2]}]}'),
    (b"\x00\xff", '{" b":"AP8="}'),
    (Markup("<b>"), '{" m":"<b>"}'),
    (ID, '{" u":"12345678123456781234567812345678"}'),
    (MOMENT, '{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}'),
    ({" t": 1}, '{" di":{" t__":1}}'),
    ({" di": {" u": ID}}, '{" di":{" di__":{" di":{" u__":{" u":"12345678123456781234567812345678"}}}}}'),
    ({" t": 1, "a": 2}, '{" t":1,"a":2}'),
    ([{}, [], ()], '[{},[],{" t":[]}]'),
    ({"a": (1,), "b": 2, "c": {"d": b""}}, '{"a":{" t":[1]},"b":2,"c":{"d":{" b":""}}}'),
    (-1, "-1"),
]


@pytest.mark.parametrize(("value", "text"), KNOWN, ids=[text for _, text in KNOWN])
def test_value_goes_round(value, text):
    serializer = TaggedJSONSerializer()
    assert serializer.dumps(value) == text
    back = serializer.loads(text)
    assert back == value
    assert type(back) is type(value)


ONE_WAY = [
    (Html(), '{" m":"<i>"}', Markup("<i>")),
    (datetime(2023, 11, 14, 22, 13, 20, 999), '{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}', MOMENT),
    (MOMENT.astimezone(timezone(timedelta(hours=-5))), '{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}', MOMENT),
    (date(2023, 11, 14), '"Tue, 14 Nov 2023 00:00:00 GMT"', "Tue, 14 Nov 2023 00:00:00 GMT"),
    (Decimal("1.10"), '"1.10"', "1.10"),
    (Point(1, date(2023, 11, 14)), '{"day":"Tue, 14 Nov 2023 00:00:00 GMT","x":1}', None),
    (Card(Html()), '{"title":"<i>"}', None),
    (Colour.RED, "1", 1),
    (OrderedDict(b=1, a=2), '{"a":2,"b":1}', {"a": 2, "b": 1}),
    (OrderedDict({" t": 1}), '{" di":{" t__":1}}', {" t": 1}),
    (Pair(1, [2]), '{" t":[1,[2]]}', (1, [2])),
    ({1: 1}, '{"1":1}', {"1": 1}),
    (float("inf"), "Infinity", float("inf")),
]


@pytest.mark.parametrize(("value", "text", "back"), ONE_WAY, ids=[repr(value)[:60] for value, _, _ in ONE_WAY])
def test_value_is_written_as_flask_writes_it(value, text, back):
    serializer = TaggedJSONSerializer()
    assert serializer.dumps(value) == text
    if back is not None:
        assert serializer.loads(text) == back


@pytest.mark.parametrize("make", [json.encoder.c_make_encoder, None], ids=["in C", "without C"])
def test_text_is_the_same_where_json_has_no_part_in_c(monkeypatch, make):
    monkeypatch.setattr(json.encoder, "c_make_encoder", make)
    monkeypatch.setattr(tagged_json, "_encode", tagged_json._encoder())
    for value, text, *_ in KNOWN + ONE_WAY:
        assert TaggedJSONSerializer().dumps(value) == text
    for value in (object(), {(1, 2): 3}, {1: 0, "1": 0}):
        with pytest.raises(TypeError):
            TaggedJSONSerializer().dumps(value)


def test_value_of_a_type_that_nobody_knows_is_named():
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        TaggedJSONSerializer().dumps({"a": [object()]})


def test_blanks_around_the_text_are_no_matter():
    assert TaggedJSONSerializer().loads('\n {"a":1} ') == {"a": 1}


@pytest.mark.parametrize("text", ["", " ", "x", "{", "1 2", '{"a":1}}'])
def test_text_that_is_no_json_raises_value_error(text):
    with pytest.raises(ValueError, match="."):
        TaggedJSONSerializer().loads(text)


@pytest.mark.parametrize("text", ['{"\\u0020t":[1]}', '{ " t" : [1] }', ' {" t":[1]} '])
def test_tag_is_seen_however_it_is_spelled(text):
    assert TaggedJSONSerializer().loads(text) == (1,)


@pytest.mark.parametrize("text", ['{" d":"no date"}', '{" d":null}'])
def test_date_that_is_none_reads_as_none(text):
    """As in Flask."""
    assert TaggedJSONSerializer().loads(text) is None


@pytest.mark.parametrize(
    "text",
    ['{" t":1}', '{" b":1}', '{" b":"A"}', '{" u":"x"}', '{" u":1}', '{" d":1}', '{" di":1}', '{" di":{}}'],
)
def test_tag_with_wrong_content_raises(text):
    with pytest.raises(Exception, match="."):
        TaggedJSONSerializer().loads(text)


class TagSet(JSONTag):
    __slots__ = ()
    key = "set"

    def check(self, value):
        return isinstance(value, set)

    def to_json(self, value):
        return self.serializer.tag(sorted(value))

    def to_python(self, value):
        return set(value)


class TagOrdered(JSONTag):
    __slots__ = ()
    key = " od"

    def check(self, value):
        return isinstance(value, OrderedDict)

    def to_json(self, value):
        return [[key, self.serializer.tag(item)] for key, item in value.items()]

    def to_python(self, value):
        return OrderedDict(value)


def test_custom_tags_go_round_at_their_place_in_the_order():
    serializer = TaggedJSONSerializer()
    serializer.register(TagSet)
    serializer.register(TagOrdered, index=0)
    value = {"s": {2, 1}, "o": OrderedDict(z=(1,), a={3}), "like": {"set": 1}, "plain": [1]}
    text = serializer.dumps(value)
    assert text == (
        '{"like":{" di":{"set__":1}},"o":{" od":[["z",{" t":[1]}],["a",{"set":[3]}]]},"plain":[1],"s":{"set":[1,2]}}'
    )
    back = serializer.loads(text)
    assert back == value
    assert type(back["o"]) is OrderedDict


def test_custom_tag_goes_round_though_its_key_starts_with_no_space():
    serializer = TaggedJSONSerializer()
    serializer.register(TagSet)
    assert serializer.loads(serializer.dumps({1, 2})) == {1, 2}


def test_default_tags_of_a_subclass_count():
    class Own(TaggedJSONSerializer):
        default_tags = [TagOrdered, *TaggedJSONSerializer.default_tags]

    assert Own().dumps(OrderedDict(a=1)) == '{" od":[["a",1]]}'
    assert TaggedJSONSerializer().dumps(OrderedDict(a=1)) == '{"a":1}'


def test_subclass_tags_and_untags_as_it_likes():
    class Own(TaggedJSONSerializer):
        def tag(self, value):
            return super().tag(value.upper() if isinstance(value, str) else value)

        def untag(self, value):
            return super().untag({key.lower(): item for key, item in value.items()})

    assert Own().dumps(["a"]) == '["A"]'
    assert Own().loads('{"A":1}') == {"a": 1}


def test_key_that_is_taken_is_refused_unless_forced():
    serializer = TaggedJSONSerializer()
    serializer.register(TagSet)
    with pytest.raises(KeyError, match="already registered"):
        serializer.register(TagSet)
    serializer.register(TagSet, force=True)


def test_every_default_tag_speaks_for_itself():
    """The class API, value by value, as a custom tag may call it."""
    serializer = TaggedJSONSerializer()
    for value, text in KNOWN:
        assert json.dumps(serializer._tag_in_order(value), sort_keys=True, separators=(",", ":")) == text
    for name in ("check", "to_json", "to_python"):
        with pytest.raises(NotImplementedError):
            getattr(JSONTag(serializer), name)(1)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {1}}, "session['a'], a value of type set"),
        ({"a": [0, ({"b": {1}},)]}, "session['a'][1][0]['b'], a value of type set"),
        ({"a": {1: 0, "1": 0}}, "session['a'], whose keys do not sort"),
        ({1: 0, "1": 0}, "session, whose keys do not sort"),
    ],
)
def test_find_unwritable_names_the_innermost_place(value, place):
    assert find_unwritable(TaggedJSONSerializer().dumps, value).startswith(place)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29T12:30:15.000001+00:00", datetime(2024, 2, 29, 12, 30, 15, 1, tzinfo=UTC)),
        ("2024-02-29T12:30:15.000000", datetime(2024, 2, 29, 12, 30, 15)),
    ],
)
def test_datetime_of_quart_0_18_is_read_as_it_was(text, moment):
    """R7."""
    assert TaggedJSONSerializer().loads(f'{{" d":"{text}"}}') == moment
