"""Names for the shapes of ASGI 3 (asgi.readthedocs.io), as aliases that every framework's own types fit.

A scope or a message is ``Any`` where apps come in and go out: Starlette types them as mutable mappings, Litestar,
Quart and asgiref as TypedDicts, and no narrower alias is accepted by them all.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Iterable[Header]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

ASGIApp: TypeAlias = Callable[[Any, Receive, Send], Awaitable[None]]

# The messages that carry the headers of a response or of a handshake.
CARRIES_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of a header, whose name is written in small letters; several are joined, as WSGI servers do."""
    values = [value for key, value in scope.get("headers", ()) if key.lower() == name]
    return b",".join(values) if values else None


class Store(Protocol):
    """What keeps server-side sessions: bytes in, bytes out, under text keys.

    *ttl* is in whole seconds, 1 or more; a key past it is an absent key. Each method raises StoreUnavailable
    where the server cannot do it. Optional: ``ping()``, ``prune() -> int``, ``sessions_of(user_id)`` and
    ``revoke_user(user_id, keep=None)``, as ``stores.base.BaseStore`` has them.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the value; None if there is none."""
        ...

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        """Store the value only if the key is absent, and say whether that was so."""
        ...

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        """Store the value only in place of *expected*, and say whether that was there."""
        ...

    async def touch(self, key: str, ttl: int) -> bool:
        """Give the key a new lifetime only if it is present, and say whether it was."""
        ...

    async def delete(self, key: str) -> None:
        """Take the key away; an absent one is no error."""

    async def aclose(self) -> None:
        """Close what the store itself opened. It may be called twice."""
