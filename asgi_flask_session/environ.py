"""A WSGI environ -> the ASGI scope that the functions of this package take (PEP 3333)."""

from collections.abc import Mapping
from typing import Any

from .asgi import Scope


def scope_of(environ: Mapping[str, Any]) -> Scope:
    """Return what an ASGI server would say of the request; nothing in *environ* need be there."""
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    root = environ.get("SCRIPT_NAME", "")
    return {
        "type": "http",
        "method": environ.get("REQUEST_METHOD", "GET"),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "root_path": root,
        "path": root + environ.get("PATH_INFO", ""),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "headers": headers,
        "client": _address(environ, "REMOTE_ADDR", "REMOTE_PORT"),
        "server": _address(environ, "SERVER_NAME", "SERVER_PORT"),
    }


def _address(environ: Mapping[str, Any], host: str, port: str) -> tuple[str, int] | None:
    if not environ.get(host):
        return None
    try:
        return environ[host], int(environ.get(port) or 0)
    except ValueError:  # on a unix socket, gunicorn takes the port from what the client sent as Host
        return environ[host], 0
