"""The mapping in ``scope["session"]``: a dict that notes whether it was read or changed."""

from collections.abc import Awaitable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from datetime import UTC, datetime
from typing import Any, Protocol, Self
from uuid import UUID

from .logs import warn_once

# What cannot be changed in place. Any other value, once handed out, may come back changed.
_IMMUTABLE = frozenset({str, int, float, bool, type(None), bytes, UUID, datetime})

_MISSING: Any = object()


class _Keeper(Protocol):
    """What loads a session from a store, and saves it there."""

    async def load(self, session: "Session") -> None: ...
    async def save_now(self, session: "Session") -> None: ...


class Session(dict[str, Any]):
    """One visitor's session, as Flask's ``SecureCookieSession``: a dict with marks.

    A true dict, filled before the app is called, so that JSON encoders written in C see its data; without
    ``__slots__``, since middlewares of others keep attributes of their own on it. A copy, a pickle and a
    union (``|``) of it are plain dicts.

    ``modified``
        The session was changed. Set it after changing a nested value where ``detect_nested`` is off.
    ``accessed``
        The session was read or changed, so the response varies by cookie.
    ``new``
        The request brought no usable session.
    ``sid``
        The id of a server-side session; None for one that lives in its cookie.
    """

    modified = False
    new = True
    sid: str | None = None

    # What came with the request, and what became of it: kept here by the code that reads and writes cookies.
    _carried = False  # the request had a cookie of our name
    _signed: int | None = None  # its timestamp, in seconds since the epoch
    _began: int | None = None  # when the session began; known while absolute_lifetime is set
    _last: tuple[bytes, int, bytes] | None = None  # payload, timestamp and text of what the browser has of it
    _refused: bytes | None = None  # the text of a cookie that was signed, but too old or revoked

    # Where it is kept, if that is a store.
    _side: "_Keeper | None" = None
    _scope: Any = None  # of the request, for as long as it is lazy
    _sent = False  # the headers are out
    _outside = False  # FlaskSessionASGI writes it, not the framework's own interface
    _stored: bytes | None = None  # its record, as the store had it when we last looked
    _base: bytes | None = None  # the record of what was loaded or saved here: what changes are told from
    _format: Any = "tagged"  # of its record
    _user: Any = None  # who Flask-Login said was logged in when the record was written
    _address: str | None = None  # of the client, where the session is bound to it
    _lasts = False  # its record says that it outlives the browser
    _owed: Any = None  # what an early save owes to the cookie
    _down = False  # the store could not be asked
    _gone = False  # deleted or replaced by another request: nothing of it is written any more

    _lines: tuple[bytes, ...] = ()  # the Set-Cookie lines of other cookies that belong to it, as a remember cookie does

    # What the app did with it.
    _seen = False  # read or changed, as its own methods noticed
    _said = False  # accessed, as somebody set the attribute
    _renew = False  # a new id is asked for
    _flashed: list[tuple[Any, Any]] | None = None  # the messages that this request has taken out
    _cleared = False  # all that was in it is to go, also what others put there meanwhile
    _lent = False  # a value that can be changed in place was handed out, or put in
    _unsaved = False  # changed since it was last written

    @property
    def permanent(self) -> bool:
        """Whether the cookie outlives the browser: Flask's ``_permanent`` key."""
        return bool(self.get("_permanent", False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self["_permanent"] = bool(value)

    @property
    def signed_at(self) -> datetime | None:
        """When the cookie was signed, as an aware datetime in UTC; None if none came."""
        return None if self._signed is None else datetime.fromtimestamp(self._signed, UTC)

    @signed_at.setter
    def signed_at(self, value: datetime | None) -> None:
        self._signed = None if value is None else int(value.timestamp())

    def mark_accessed(self) -> None:
        """Say that the response depends on the session, where it was read unseen."""
        self._seen = True

    @property
    def accessed(self) -> bool:
        """Whether the session was read or changed, or somebody said so."""
        return self._seen or self._said

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self._said = bool(value)
        self._seen = self._seen and self._said

    def mark_modified(self) -> None:
        """Say that the session changed, where it was changed unseen."""
        self.modified = self._seen = self._unsaved = True

    def regenerate(self) -> None:
        """Ask for a new session id, with the data kept and the old id dead by the time the response starts.

        A session in a cookie has no id: it is only marked as changed.
        """
        self.mark_modified()
        self._renew = True

    def load(self) -> Awaitable[None]:
        """Load the data of a lazy session; any other is loaded already. Raises StoreUnavailable."""
        return self._side.load(self) if self._side is not None else _nothing()

    def save(self) -> Awaitable[None]:
        """Write the session now, into its store; raises StoreUnavailable and UnwritableSession.

        A session in a cookie goes out with the response's headers: for that one, this only warns.
        """
        if self._side is not None:
            return self._side.save_now(self)
        warn_once(
            "save",
            "session.save() has nowhere to write to: a session in a cookie is written with the headers of"
            " the response; only a server-side store can be written at any time",
        )
        return _nothing()

    # Reading. What is handed out and could be changed in place is remembered in _lent.

    def __getitem__(self, key: str, /) -> Any:
        self._seen = True
        value = dict.__getitem__(self, key)
        if type(value) not in _IMMUTABLE:
            self._lent = True
        return value

    def get(self, key: str, default: Any = None) -> Any:
        self._seen = True
        value = dict.get(self, key, default)
        if type(value) not in _IMMUTABLE:
            self._lent = True
        return value

    def _lend(self) -> None:
        self._seen = self._lent = True

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # typeshed names dict's own view class, which nobody can name
        self._lend()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # as above
        self._lend()
        return dict.items(self)

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # as above
        self._seen = True
        return dict.keys(self)

    def copy(self) -> dict[str, Any]:
        self._lend()
        return dict(dict.items(self))

    def __or__(self, other: Any, /) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any, /) -> Any:
        return other | self.copy()

    def __contains__(self, key: object, /) -> bool:
        self._seen = True
        return dict.__contains__(self, key)

    def __len__(self) -> int:
        self._seen = True
        return dict.__len__(self)

    def __iter__(self) -> Iterator[str]:
        self._seen = True
        return dict.__iter__(self)

    def __reversed__(self) -> Iterator[str]:
        self._seen = True
        return dict.__reversed__(self)

    def __eq__(self, other: object, /) -> bool:
        self._seen = True
        return dict.__eq__(self, other)

    def __ne__(self, other: object, /) -> bool:
        self._seen = True
        return dict.__ne__(self, other)

    __hash__ = None  # as every dict

    def __repr__(self) -> str:
        self._seen = True
        return dict.__repr__(self)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self.copy(),)

    # Changing. As in Flask, an assignment is a change whatever the value; pop of an absent key and
    # setdefault of a present one are none.

    def __setitem__(self, key: str, value: Any, /) -> None:
        dict.__setitem__(self, key, value)
        self.modified = self._seen = self._unsaved = True
        if type(value) not in _IMMUTABLE:
            self._lent = True

    def __delitem__(self, key: str, /) -> None:
        dict.__delitem__(self, key)
        self.mark_modified()

    def clear(self) -> None:
        dict.clear(self)
        self._cleared = True
        self.mark_modified()

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        self._seen = True
        if dict.__contains__(self, key):
            self.mark_modified()
        return dict.pop(self, key) if default is _MISSING else dict.pop(self, key, default)

    def popitem(self) -> tuple[str, Any]:
        self._seen = True
        item = dict.popitem(self)
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        if not dict.__contains__(self, key):
            self.mark_modified()
        self._lend()
        return dict.setdefault(self, key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        dict.update(self, *args, **kwargs)
        self.mark_modified()
        self._lent = True

    def __ior__(self, other: Any, /) -> Self:  # type: ignore[override]  # dict's is overloaded
        dict.update(self, other)
        self.mark_modified()
        self._lent = True
        return self


async def _nothing() -> None:
    """Be awaited where there is nothing to wait for."""


def plain(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data as a new dict, without marking it as read."""
    if isinstance(session, dict):
        return dict(dict.items(session))
    return dict(session)
