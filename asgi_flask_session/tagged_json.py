"""Flask's tagged JSON: objects that plain JSON cannot hold, written as ``{" tag": value}``.

The classes, their keys and their order are those of ``flask.json.tag`` (Flask 3.1), and so is the text:
sorted keys, ASCII, compact. A tag starts with a space, so that it is no likely key of anybody's data; a
dict that looks like a tag all the same is written as ``{" di": {" tag__": value}}``.

Most values of a session are of six plain types. While only Flask's own tags are registered, a value is
therefore sorted by its exact type; subclasses and all else go through the tags' checks, in their order.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from .dates import http_date, parse_http_date, parse_iso_date

if TYPE_CHECKING:
    from markupsafe import Markup

_SCALARS = frozenset({str, int, float, bool, type(None)})


class JSONTag:
    """Turns objects of one kind into JSON types and back; the base class of own tags, as in Flask."""

    __slots__ = ("serializer",)

    #: What marks the value in the text. A tag without a key only prepares a value.
    key: str = ""

    def __init__(self, serializer: "TaggedJSONSerializer") -> None:
        self.serializer = serializer

    def check(self, value: Any) -> bool:
        """Say whether *value* is of this tag's kind."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """Return *value* as a JSON type, without the tag."""
        raise NotImplementedError

    def to_python(self, value: Any) -> Any:
        """Return the object that *value* stands for; the tag is taken off already."""
        raise NotImplementedError

    def tag(self, value: Any) -> Any:
        """Return *value* as a JSON type, with the tag around it."""
        return {self.key: self.to_json(value)}


class TagDict(JSONTag):
    """A dict of one item whose key is a tag: the key gets two underscores more."""

    __slots__ = ()
    key = " di"

    def check(self, value: Any) -> bool:
        return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in self.serializer.tags

    def to_json(self, value: dict[Any, Any]) -> dict[str, Any]:
        [(key, item)] = value.items()
        return {f"{key}__": self.serializer.tag(item)}

    def to_python(self, value: dict[str, Any]) -> dict[str, Any]:
        key = next(iter(value))
        return {key[:-2]: value[key]}


class PassDict(JSONTag):
    """Any other dict: its values are tagged, its keys are JSON's business."""

    __slots__ = ()

    def check(self, value: Any) -> bool:
        return isinstance(value, dict)

    def to_json(self, value: dict[Any, Any]) -> dict[Any, Any]:
        tag = self.serializer.tag
        return {key: tag(item) for key, item in value.items()}

    tag = to_json


class TagTuple(JSONTag):
    """A tuple; as a list it would come back as one."""

    __slots__ = ()
    key = " t"

    def check(self, value: Any) -> bool:
        return isinstance(value, tuple)

    def to_json(self, value: tuple[Any, ...]) -> list[Any]:
        tag = self.serializer.tag
        return [tag(item) for item in value]

    def to_python(self, value: list[Any]) -> tuple[Any, ...]:
        return tuple(value)


class PassList(JSONTag):
    """A list: its items are tagged."""

    __slots__ = ()

    def check(self, value: Any) -> bool:
        return isinstance(value, list)

    def to_json(self, value: list[Any]) -> list[Any]:
        tag = self.serializer.tag
        return [tag(item) for item in value]

    tag = to_json


class TagBytes(JSONTag):
    """Bytes, in standard base64."""

    __slots__ = ()
    key = " b"

    def check(self, value: Any) -> bool:
        return isinstance(value, bytes)

    def to_json(self, value: bytes) -> str:
        return b64encode(value).decode("ascii")

    def to_python(self, value: str) -> bytes:
        return b64decode(value)


class TagMarkup(JSONTag):
    """Anything with an ``__html__`` method; it comes back as Markup."""

    __slots__ = ()
    key = " m"

    def check(self, value: Any) -> bool:
        return callable(getattr(value, "__html__", None))

    def to_json(self, value: Any) -> str:
        return str(value.__html__())

    def to_python(self, value: str) -> "Markup":
        from markupsafe import Markup  # few sessions hold one; the others need not load it

        return Markup(value)  # noqa: S704  # it was Markup when it was signed


class TagUUID(JSONTag):
    """A UUID, as 32 hexadecimal digits."""

    __slots__ = ()
    key = " u"

    def check(self, value: Any) -> bool:
        return isinstance(value, UUID)

    def to_json(self, value: UUID) -> str:
        return value.hex

    def to_python(self, value: str) -> UUID:
        return UUID(value)


class TagDateTime(JSONTag):
    """A datetime, to the second; it comes back aware, in UTC. One of Quart up to 0.18 comes back as it was."""

    __slots__ = ()
    key = " d"

    def check(self, value: Any) -> bool:
        return isinstance(value, datetime)

    def to_json(self, value: datetime) -> str:
        return http_date(value)

    def to_python(self, value: str) -> datetime | None:
        return parse_http_date(value) or parse_iso_date(value) if value else None


_FLASKS_TAGS = (TagDict, PassDict, TagTuple, PassList, TagBytes, TagMarkup, TagUUID, TagDateTime)
# The tag that the checks, in their order, find for a value of exactly this type.
_TAG_OF_TYPE = {bytes: TagBytes.key, UUID: TagUUID.key, datetime: TagDateTime.key}


class TaggedJSONSerializer:
    """Flask's session serializer: ``dumps`` an object to text, ``loads`` it back."""

    #: The tags that a new serializer starts with, in the order of their checks.
    default_tags: ClassVar[list[type[JSONTag]]] = [*_FLASKS_TAGS]

    def __init__(self) -> None:
        self.tags: dict[str, JSONTag] = {}
        self.order: list[JSONTag] = []
        for tag_class in self.default_tags:
            self.register(tag_class)
        # A subclass may tag and untag as it likes.
        self._only_flasks_tags = type(self) is TaggedJSONSerializer and tuple(self.default_tags) == _FLASKS_TAGS

    def register(self, tag_class: type[JSONTag], force: bool = False, index: int | None = None) -> None:
        """Add a tag, at the end of the order of checks or at *index*.

        Raises KeyError if its key is taken and *force* is not set.
        """
        tag = tag_class(self)
        if tag.key:
            if tag.key in self.tags and not force:
                raise KeyError(f"Tag {tag.key!r} is already registered.")
            self.tags[tag.key] = tag
        self.order.insert(len(self.order) if index is None else index, tag)
        self._only_flasks_tags = False

    def tag(self, value: Any) -> Any:
        """Return *value* as JSON types, tagged where it needs to be."""
        if self._only_flasks_tags:
            return self._tag_by_type(value)
        return self._tag_in_order(value)

    def untag(self, value: dict[str, Any]) -> Any:
        """Return what a dict of JSON types stands for: itself, if it is no tag."""
        if len(value) == 1:
            key = next(iter(value))
            if (tag := self.tags.get(key)) is not None:
                return tag.to_python(value[key])
        return value

    def dumps(self, value: Any) -> str:
        """Write *value* as tagged JSON text, as Flask's default JSON provider spells it.

        Raises what ``json`` raises: TypeError for a type it cannot hold or keys that do not sort,
        ValueError for a number too long, RecursionError for nesting too deep.
        """
        return _encode(self._tag_by_type(value) if self._only_flasks_tags else self.tag(value))

    def loads(self, value: str) -> Any:
        """Read tagged JSON text; raises ValueError, TypeError and whatever a tag raises."""
        # Without a tag in it, text needs no look at each dict. Every tag of Flask's starts with a space.
        if not self._only_flasks_tags or '" ' in value or '"\\u0020' in value:
            return json.loads(value, object_hook=self.untag)
        try:
            data, end = _scan(value, 0)  # json.loads, without its search for blanks around the value
        except StopIteration:
            data, end = None, -1
        return data if end == len(value) else json.loads(value)

    def _tag_in_order(self, value: Any) -> Any:
        for tag in self.order:
            if tag.check(value):
                return tag.tag(value)
        return value

    def _tag_by_type(self, value: Any) -> Any:
        # Loops, not comprehensions: those cost a frame for each level of nesting before Python 3.12.
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is dict and not (len(value) == 1 and next(iter(value)) in self.tags):
            if _SCALARS.issuperset(map(type, value.values())):
                return value
            tagged = {}
            for key, item in value.items():
                tagged[key] = item if type(item) in _SCALARS else self._tag_by_type(item)
            return tagged
        if kind is list or kind is tuple:
            items = value
            if not _SCALARS.issuperset(map(type, value)):
                items = []
                for item in value:
                    items.append(item if type(item) in _SCALARS else self._tag_by_type(item))
            return items if kind is list else {" t": items}
        if kind in _TAG_OF_TYPE:
            return self.tags[_TAG_OF_TYPE[kind]].tag(value)
        return self._tag_in_order(value)


def find_unwritable(dumps: Callable[[Any], object], value: Any, path: str = "session") -> str:
    """Return the path of what makes *dumps* refuse *value*, and its type: ``session['a'][0], a value of type set``.

    The path is that of the innermost value that is refused by itself.
    """
    inside: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inside = [(f"{path}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for place, item in inside:
        try:
            dumps(item)
        except RecursionError:
            return f"{place}, nested too deep or in itself"
        except Exception:  # noqa: BLE001  # a custom tag may raise anything; whatever it is, this is the place
            return find_unwritable(dumps, item, place)
    if isinstance(value, dict):
        return f"{path}, whose keys do not sort or are no strings or numbers"
    return f"{path}, a value of type {type(value).__name__}"


def _default(value: Any) -> Any:
    """Return what Flask's default JSON provider writes for a type that JSON and the tags do not know."""
    # Whoever holds a Decimal, or a dataclass below, has loaded its module already.
    from decimal import Decimal

    if isinstance(value, date):
        return http_date(value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import asdict

        return asdict(value)
    if (as_html := getattr(value, "__html__", None)) is not None:
        return str(as_html())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _encoder() -> Callable[[Any], str]:
    """Return Flask's ``json.dumps``: ``JSONEncoder.encode``, but with the C encoder that each call of it makes kept."""
    try:
        encode_parts = json.encoder.c_make_encoder(  # type: ignore[attr-defined]  # it is undocumented
            None, _default, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, True
        )  # markers, default, encoder, indent, separators, sort_keys, skipkeys, allow_nan
    except (AttributeError, TypeError):  # where json has no part in C, or another one
        return json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_default).encode
    return lambda value: "".join(encode_parts(value, 0))


_encode = _encoder()
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # it is undocumented
