"""A request of Django as the ASGI scope that the functions of this package take, under WSGI too."""

from django.http import HttpRequest

from ... import environ
from ...asgi import Scope


def scope_of(request: HttpRequest) -> Scope:
    """Return the request's scope, with the scheme that Django believes (SECURE_PROXY_SSL_HEADER)."""
    scheme = request.scheme or "http"
    scope = getattr(request, "scope", None)
    if scope is not None:
        return {**scope, "scheme": scheme}
    return {**environ.scope_of(request.META), "scheme": scheme, "path": request.path}
