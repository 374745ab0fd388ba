"""Names for the shapes of ASGI 3 (asgi.readthedocs.io), as aliases that every framework's own types fit.

The three arguments of an app are ``Any`` where apps come in and go out: Starlette types a scope as a mutable
mapping, Litestar, Quart and asgiref as TypedDicts, and no narrower alias is accepted by them all.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Iterable[Header]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
