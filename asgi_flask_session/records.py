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
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, cast

from .errors import BadRecord, SettingsError, UnwritableSession
from .payload import MAX_NESTING, MAX_TEXT, nested_too_deep
from .settings import Settings
from .tagged_json import TaggedJSONSerializer, find_unwritable

Format: TypeAlias = Literal["tagged", "msgpack", "json"]

_MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})  # the first bytes of a map (MessagePack specification)
_OBJECT = ord("{")

_SCALARS = frozenset({str, int, float, bool, type(None)})
_JSON_SPELLS = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Records:
    """Writes and reads the records of one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.format: Format = settings.record_format
        self._serializer = settings.serializer
        self._is_tagged_json = isinstance(settings.serializer, TaggedJSONSerializer)
        self._writes_text = isinstance(settings.serializer.dumps({}), str)
        if self.format == "msgpack" and find_spec("msgspec") is None:
            raise SettingsError("record_format='msgpack' needs msgspec: pip install asgi-flask-session[flask-session]")

    def dumps(self, data: Any, form: Format) -> bytes:
        """Return the record of *data*; raises UnwritableSession with the path of what *form* cannot keep."""
        if form == "tagged":
            write: Callable[[Any], bytes] = self._write_tagged
        else:
            write = _write_msgpack if form == "msgpack" else _write_json
        try:
            return write(data)
        except Exception as error:
            where = find_unwritable(write, data)
            hint = "" if form == "tagged" else f" as {form} can keep it; record_format='tagged' keeps Flask's types"
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
        if not self._is_tagged_json and self.format == "tagged":
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
        if not self._is_tagged_json:
            return json.loads(record), "json"
        data = self._read_tagged(record)
        if self.format == "tagged" or (b'" ' in record and json.loads(record) != data):
            return data, "tagged"
        return data, "json"

    def _read_tagged(self, record: bytes) -> Any:
        return self._serializer.loads(record.decode("utf-8") if self._writes_text else record)

    def _write_tagged(self, data: Any) -> bytes:
        text = self._serializer.dumps(data)
        return text.encode("utf-8") if self._writes_text else cast("bytes", text)


def user_of(record: bytes) -> str | None:
    """Return Flask-Login's user id in a record of any format; None if there is none."""
    if b"_user_id" not in record:
        return None
    try:
        data = _read_msgpack(record) if record[0] in _MAPS else json.loads(record)
    except Exception:  # whatever is wrong with it, nobody is logged in by it  # noqa: BLE001
        return None
    user = data.get("_user_id") if isinstance(data, dict) else None
    return None if user is None else str(user)


def _read_msgpack(record: bytes) -> Any:
    from msgspec import msgpack  # only where a record of this format is met

    return msgpack.decode(record)


def _write_msgpack(data: Any) -> bytes:
    from msgspec import msgpack

    _refuse_what_changes(data, {*_SCALARS, bytes, datetime, msgpack.Ext}, any_keys=True)
    return msgpack.encode(data)


def _write_json(data: Any) -> bytes:
    _refuse_what_changes(data, _SCALARS, any_keys=False)
    return _JSON_SPELLS(data).encode("utf-8")


def _refuse_what_changes(value: Any, kept: set[type] | frozenset[type], *, any_keys: bool, depth: int = 0) -> None:
    """Raise for what would come back as another type. A tuple may: Flask's flashes are some, and live as lists."""
    kind = type(value)
    if depth > MAX_NESTING:
        raise RecursionError(f"nested deeper than {MAX_NESTING} levels")
    if kind is dict:
        if not any_keys and len(value) == 1 and next(iter(value))[:1] == " ":
            raise TypeError("it would be read as a tag")
        for key, item in value.items():
            if type(key) is not str and not (any_keys and type(key) in kept):
                raise TypeError("a key of this type does not come back")
            _refuse_what_changes(item, kept, any_keys=any_keys, depth=depth + 1)
    elif kind is list or kind is tuple:
        for item in value:
            _refuse_what_changes(item, kept, any_keys=any_keys, depth=depth + 1)
    elif kind not in kept or (kind is datetime and value.tzinfo is None):
        raise TypeError(f"a {kind.__name__} does not come back")
