"""What lies in the scope under our key, and whose it is."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from .asgi import Scope
from .logs import warn_once
from .models import fields_of
from .session import Session
from .side import Side

MISSING: Any = object()


def current_session(side: Side, session: Session, found: Any) -> Session:
    """Return the session to write, where the scope may no longer hold ours, *session*, but *found*."""
    if found is session or found is MISSING:  # a deleted key is no opinion
        return session
    if found is None or _is_litestar_empty(found):
        return side.replaced(session, {})
    if isinstance(found, Mapping):
        # Marks of its own make it another middleware's, which writes it by itself.
        if isinstance(found, Session) or not (hasattr(found, "modified") or hasattr(found, "accessed")):
            return side.replaced(session, found)
    elif (fields := fields_of(found)) is not None:
        return side.replaced(session, fields)
    warn_once(
        "foreign",
        "scope[%r] was replaced by a %s, which is no mapping or belongs to another session middleware: it is"
        " left alone. Give one of the two another scope_key",
        side.settings.scope_key,
        type(found).__name__,
    )
    return session


def put(scope: Scope, key: str, value: Any) -> None:
    """Put *value* under the key, or take the key away where the value is MISSING."""
    if value is not MISSING:
        scope[key] = value
    else:
        scope.pop(key, None)


def leave(scope: Scope, key: str, mark: str, outside: Any) -> None:
    """Take our mark off the scope, and give a middleware outside of us its session back."""
    scope.pop(mark, None)
    if outside is not MISSING:
        scope[key] = outside


def _is_litestar_empty(value: object) -> bool:
    return isinstance(value, Enum) and type(value).__module__ == "litestar.types.empty"
