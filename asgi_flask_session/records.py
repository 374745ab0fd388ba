"""Bytes in a store <-> session data, in the formats of Flask-Session and Quart-Session. Never pickle.

``tagged``
    Flask's tagged JSON, which keeps Flask's types: what Quart-Session writes.
``msgpack``
    A MessagePack map: what Flask-Session writes unless told otherwise.
``json``
    Plain JSON: Flask-Session's other format.

Whatever is written, all three are read: a map in MessagePack and an object in JSON differ in their first byte.
"""

import json
import re
from collections.abc import Callable, Container
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, cast

from .errors import BadRecord, SettingsError, UnwritableSession
from .payload import MAX_NESTING, MAX_TEXT, nested_too_deep
from .settings import Settings
from .tagged_json import TaggedJSONSerializer, find_unwritable

Format: TypeAlias = Literal["tagged", "msgpack", "json"]

# The first bytes of a map, and those of whatever holds other values (MessagePack specification).
_MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_CONTAINERS = frozenset({*_MAPS, *range(0x90, 0xA0), 0xDC, 0xDD})
_NO_CONTAINERS = bytes(byte for byte in range(256) if byte not in _CONTAINERS)
_OBJECT = ord("{")

_SCALARS = frozenset({str, int, float, bool, type(None)})  # those that it cannot write, an encoder refuses itself
_INTEGERS = range(-(2**63), 2**64)  # of MessagePack
_TIMESTAMP = -1  # its extension that is read as a datetime
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # which no UTF-8 has

_LONGEST_PATH = 100  # characters, in a message


class Records:
    """Writes and reads the records of one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.format: Format = settings.record_format
        self._serializer = settings.serializer
        self._tags = settings.serializer.tags if isinstance(settings.serializer, TaggedJSONSerializer) else None
        self._writes_text = isinstance(settings.serializer.dumps({}), str)
        if self.format == "msgpack" and find_spec("msgspec") is None:
            raise SettingsError("record_format='msgpack' needs msgspec: pip install asgi-flask-session[flask-session]")

    def dumps(self, data: Any, form: Format) -> bytes:
        """Return the record of *data*; raises UnwritableSession with the path of what *form* cannot keep."""
        if form == "tagged":
            write: Callable[[Any], bytes] = self._write_tagged
        else:
            write = _write_msgpack if form == "msgpack" else self._write_json
        try:
            return write(data)
        except Exception as error:
            where = error.where if isinstance(error, _Unkept) else find_unwritable(write, data)
            hint = f": {form} does not keep it; record_format='tagged' keeps Flask's types"
            if form == "tagged" or isinstance(error, _TooDeep):
                hint = ""
            raise UnwritableSession(f"the session cannot be stored: {where}{hint}") from error

    def loads(self, record: bytes) -> tuple[dict[str, Any], Format]:
        """Return the data of a record, and the format that it is in; raises BadRecord."""
        if len(record) > MAX_TEXT:
            raise BadRecord(f"it is {len(record)} bytes, of which at most {MAX_TEXT} are read")
        if not record:
            raise BadRecord("it is empty")
        try:
            data, form = self._read(record)
        except BadRecord:
            raise
        except Exception as error:  # a serializer or a tag of the application may raise anything
            raise BadRecord("it is neither tagged JSON nor MessagePack nor JSON") from error
        if not isinstance(data, dict):
            raise BadRecord("it is no mapping")
        return data, form

    def _read(self, record: bytes) -> tuple[Any, Format]:
        first = record[0]
        if self._tags is None and self.format == "tagged":
            try:
                return self._read_tagged(record), "tagged"
            except Exception:
                if first not in _MAPS and first != _OBJECT:
                    raise
        if first in _MAPS:
            if find_spec("msgspec") is None:
                raise BadRecord("it is MessagePack, which pip install asgi-flask-session[flask-session] reads")
            return _read_msgpack(record), "msgpack"
        if first != _OBJECT:
            raise BadRecord("it begins as no format that is known")
        if len(record) > MAX_NESTING and nested_too_deep(record):
            raise BadRecord(f"it is nested deeper than {MAX_NESTING} levels")
        if self._tags is None:
            return json.loads(record.decode("utf-8")), "json"
        data = self._read_tagged(record)
        return data, "tagged" if self.format == "tagged" or self._is_tagged(record, data) else "json"

    def _is_tagged(self, record: bytes, data: Any) -> bool:
        """Say whether *data*, which was read with tags, is what plain JSON would not have kept."""
        if not (b'" ' in record or b"\\u" in record or b"NaN" in record or b"Infinity" in record) and all(
            tag.startswith(" ") for tag in self._tags or ()
        ):
            return False
        try:
            return bool(json.loads(self._write_json(data)) != json.loads(record))
        except ValueError:
            return True

    def _read_tagged(self, record: bytes) -> Any:
        return self._serializer.loads(record.decode("utf-8") if self._writes_text else record)

    def _write_tagged(self, data: Any) -> bytes:
        text = self._serializer.dumps(data)
        return text.encode("utf-8") if self._writes_text else cast("bytes", text)

    def _write_json(self, data: Any) -> bytes:
        _refuse_unkept(data, _never, _is_text, self._tags or ())
        return _spell_json(data).encode("utf-8")


def user_of(record: bytes) -> str | None:
    """Return Flask-Login's user id in a record of any format; None if there is none."""
    if b"_user_id" not in record:
        return None
    try:
        data = _read_msgpack(record) if record[0] in _MAPS else _read_flasks_tags(record.decode("utf-8"))
    except Exception:  # whatever is wrong with it, nobody is logged in by it  # noqa: BLE001
        return None
    user = data.get("_user_id") if isinstance(data, dict) else None
    return None if user is None else str(user)


_spell_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_read_flasks_tags = TaggedJSONSerializer().loads


def _read_msgpack(record: bytes) -> Any:
    from msgspec import msgpack  # only where a record of this format is met

    data = msgpack.decode(record)
    if len(record.translate(None, _NO_CONTAINERS)) > MAX_NESTING:  # with fewer, none can be so deep
        _refuse_depth(data)
    return data


def _write_msgpack(data: Any) -> bytes:
    from msgspec import msgpack

    def is_kept(value: Any) -> bool:
        return _is_leaf_of_msgpack(value) or (type(value) is msgpack.Ext and value.code != _TIMESTAMP)

    _refuse_unkept(data, is_kept, _is_key_of_msgpack, ())
    return msgpack.encode(data)


# What would come back as another type is refused, but for a tuple: Flask's flashes are some, and live as lists.


class _Unkept(ValueError):
    """A value that does not come back. The path to it is put together on the way out."""

    path = ""

    @property
    def where(self) -> str:
        path = self.path if len(self.path) <= _LONGEST_PATH else f"{self.path[:_LONGEST_PATH]}..."
        return f"session{path}, {self}"


class _TooDeep(_Unkept):
    def __init__(self) -> None:
        super().__init__(f"nested deeper than {MAX_NESTING} levels, or in itself")


def _refuse_unkept(
    value: Any, is_kept: Callable[[Any], bool], is_key: Callable[[Any], bool], tags: Container[Any], depth: int = 1
) -> None:
    kind = type(value)
    if kind is dict:
        for key in value:
            if not (type(key) is str and key.isascii()) and not is_key(key):  # most are
                raise _Unkept(f"a dict with a key of type {type(key).__name__}")
        if len(value) == 1 and next(iter(value)) in tags:
            raise _Unkept("a dict that would be read as a tag")
        items = value.items()
    elif kind is list or kind is tuple:
        items = enumerate(value)
    elif is_kept(value):
        return
    else:
        raise _Unkept(f"a value of type {kind.__name__}")
    if depth > MAX_NESTING:
        raise _TooDeep
    for place, item in items:
        if type(item) not in _SCALARS:
            try:
                _refuse_unkept(item, is_kept, is_key, tags, depth + 1)
            except _Unkept as unkept:
                unkept.path = f"[{place!r}]{unkept.path}"
                raise


def _refuse_depth(value: Any, depth: int = 1) -> None:
    if type(value) is dict or type(value) is list:
        if depth > MAX_NESTING:
            raise BadRecord(f"it is nested deeper than {MAX_NESTING} levels")
        for item in value.values() if type(value) is dict else value:
            _refuse_depth(item, depth + 1)


def _never(_: Any) -> bool:
    return False


def _is_text(key: Any) -> bool:
    return type(key) is str and not _SURROGATE.search(key)


def _is_leaf_of_msgpack(value: Any) -> bool:
    kind = type(value)
    return kind is bytes or (kind is datetime and _has_utc(value))


def _is_key_of_msgpack(key: Any) -> bool:
    kind = type(key)
    if kind is str:
        return _is_text(key)
    if kind is int:
        return key in _INTEGERS
    if kind is tuple:
        return all(map(_is_key_of_msgpack, key))
    return kind in _SCALARS or _is_leaf_of_msgpack(key)


def _has_utc(moment: datetime) -> bool:
    """Say whether a datetime is aware, and within the years that there are when it is read back in UTC."""
    try:
        return moment.utcoffset() is not None and moment.astimezone(UTC) is not None
    except OverflowError:
        return False
