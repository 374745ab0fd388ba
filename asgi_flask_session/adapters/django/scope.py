"""A request of Django as the ASGI scope that the functions of this package take, under WSGI too."""

from typing import Any

from ... import environ
from ...asgi import Scope


def scope_of(request: Any) -> Scope:
    """Return the request's scope, with the scheme that Django believes (SECURE_PROXY_SSL_HEADER).

    It is one for the whole request: a logout is noted in it.
    """
    if not hasattr(request, "_flask_scope"):
        given = getattr(request, "scope", None) or {**environ.scope_of(request.META), "path": request.path}
        request._flask_scope = {**given, "scheme": request.scheme or "http"}
    scope: Scope = request._flask_scope
    return scope
