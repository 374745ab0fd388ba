"""Six apps in one process, on one port, with one secret."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from threading import Thread

import uvicorn
from a2wsgi import WSGIMiddleware

from asgi_flask_session import FlaskSessionASGI, Settings

from . import django_app, fastapi_app, flask_app, litestar_app, quart_app, raw_app
from .mounts import Mounts
from .static import Static


def build() -> FlaskSessionASGI:
    """Return the one app that is served: a session around all six."""
    flask = flask_app.create_app(secret=token_hex())
    apps = {
        "flask": WSGIMiddleware(flask),
        "fastapi": fastapi_app.app,
        "litestar": litestar_app.app,
        "quart": quart_app.app,
        "django": django_app.app,
        "raw": raw_app.app,
    }
    return FlaskSessionASGI(Mounts(apps, fallback=Static()), settings=Settings.from_flask(flask))


def listen(port: int) -> socket.socket:
    """Take a port of this machine, which no other can reach; 0 takes any. Raises OSError."""
    return socket.create_server(("127.0.0.1", port))


@contextmanager
def serving(listener: socket.socket) -> Iterator[str]:
    """Serve from a thread for as long as the block runs, which is given the URL."""
    # None of the six has anything to start or stop, and Django does not know the lifespan.
    config = uvicorn.Config(
        build(),
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
