"""Names for the shapes of ASGI 3 (asgi.readthedocs.io), as aliases that every framework's own types fit.

A scope or a message is ``Any`` where apps come in and go out: Starlette types them as mutable mappings, Litestar,
Quart and asgiref as TypedDicts, and no narrower alias is accepted by them all.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Iterable[Header]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

ASGIApp: TypeAlias = Callable[[Any, Receive, Send], Awaitable[None]]
