"""A session whose record was not asked for yet: it says so to whoever looks into it."""

from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

from .errors import SessionNotLoaded
from .session import Session, plain

_LOOKS = (
    "__getitem__", "__setitem__", "__delitem__", "__contains__", "__len__", "__iter__", "__reversed__", "__eq__",
    "__ne__", "__or__", "__ror__", "__ior__", "__repr__", "__reduce__", "get", "keys", "values", "items", "copy",
    "clear", "pop", "popitem", "setdefault", "update", "regenerate", "mark_modified",
)  # fmt: skip


class _NotLoaded:
    """A key that no format knows."""


# Lies in an unloaded session, so that an encoder in C, which asks no method, does not take it for empty.
_TRAP: Any = {_NotLoaded(): None}


def unloaded(session_class: type[Session]) -> Session:
    """Return a session of a subclass whose every look at the data raises SessionNotLoaded."""
    session = session_class()
    dict.clear(session)  # of what a class of the application puts into each
    dict.update(session, _TRAP)
    session.__class__ = _unloaded_class(session_class)
    return session


def is_unloaded(session: Session) -> bool:
    """Say whether the session still waits for ``load()``."""
    return getattr(type(session), "_loaded_class", None) is not None


def fill(session: Session, data: dict[str, Any]) -> None:
    """Make an unloaded session, in place, one with *data*."""
    session.__class__ = type(session)._loaded_class  # type: ignore[attr-defined]  # set below
    dict.clear(session)
    dict.update(session, plain(data))


@cache
def _unloaded_class(session_class: type[Session]) -> type[Session]:
    methods = {name: _refusal() for name in _LOOKS}
    return type(session_class.__name__, (session_class,), {**methods, "_loaded_class": session_class})


def _refusal() -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise SessionNotLoaded("the session is lazy and not loaded yet: write `await session.load()` before it is used")

    return refuse
