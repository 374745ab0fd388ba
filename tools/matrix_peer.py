"""Serve one app of one framework, for tools/matrix.py: python matrix_peer.py APP, which prints its port.

It runs in the environments of old releases: Python 3.8, no package but the framework and, where an app asks for it,
ours. A request is GET /ACTION?ago=SECONDS; the clock of the process is that far behind while it is answered.
"""

import json
import os
import socket
import sys
import time
from datetime import datetime, timezone
from urllib.parse import parse_qs
from uuid import UUID

SECRET = os.environ.get("SECRET_KEY")
ago = 0


def data():
    """Return a session of every type that Flask's cookie keeps."""
    from markupsafe import Markup

    return {
        "n": 1,
        "tuple": (1, [2, ("three", b"")]),
        "bytes": b"\x00\xff",
        "markup": Markup("<b>&amp;</b>"),
        "uuid": UUID("00000000-0000-4000-8000-00000000002a"),
        "datetime": datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone.utc),  # noqa: UP017  # so Python 3.8 calls it
        "text": "\u00e9 \U0001f600 \\ </script>",
        "long": "so long that it is compressed " * 20,
        "numbers": [0, -1, 0.5, 2**70, True],
        "none": None,
        "nested": {"list": [{"dict": {"tuple": ()}}]},
    }


def act(session, action):
    """Do with a session what a request asks for, and return what the response says."""
    if action == "write":
        session.update(data())
    elif action == "write like a tag":
        session["dict"] = {" t": [1, ("two",)]}
    elif action == "change":
        session.pop("none", None)
        session["n"] = session["n"] + 1
        session["tuple"] = (*session["tuple"], session["markup"], session["uuid"])
    elif action == "permanent":
        session["n"] = 1
        session.permanent = True
    elif action == "clear":
        session.clear()
    elif action == "read":
        return json.dumps(typed({key: session[key] for key in sorted(session.keys())}))
    return action


def typed(value):
    """Return *value* as JSON that tells its types apart; a datetime as UTC, which old releases read without a zone."""
    name = type(value).__name__
    if isinstance(value, dict):
        return {name: [[key, typed(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {name: [typed(item) for item in value]}
    if isinstance(value, datetime):
        return {name: value.replace(tzinfo=None).isoformat()}
    return value if value is None or isinstance(value, (bool, float)) else {name: str(value)}


# Flask and Quart, with their own sessions and with ours


def flask_own():
    from flask import Flask, session

    app = Flask("peer")
    app.config["SECRET_KEY"] = SECRET
    app.add_url_rule("/<action>", "view", lambda action: act(session, action))
    return app


def flask_interface():
    from asgi_flask_session.adapters.flask import FlaskSessionInterface

    app = flask_own()
    app.session_interface = FlaskSessionInterface()
    return app


def quart_own():
    from quart import Quart, session

    app = Quart("peer")
    app.config["SECRET_KEY"] = SECRET

    @app.route("/<action>")
    async def view(action):
        return act(session, action)

    return app


def quart_interface():
    from quart_plugin import FlaskSessionInterface

    app = quart_own()
    app.session_interface = FlaskSessionInterface()
    return app


# Ours


def asgi():
    from asgi_flask_session import FlaskSessionASGI

    async def app(scope, _, send):
        body = act(scope["session"], scope["path"][1:]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return FlaskSessionASGI(app, SECRET)


def starlette(*middleware, **keywords):
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def view(request):
        return PlainTextResponse(act(request.session, request.path_params["action"]))

    return Starlette(routes=[Route("/{action}", view)], middleware=[Middleware(*middleware, **keywords)])


def starlette_around():
    from asgi_flask_session import FlaskSessionASGI

    return starlette(FlaskSessionASGI, secret=SECRET)


def starlette_middleware():
    from asgi_flask_session.adapters.starlette import SessionMiddleware

    return starlette(SessionMiddleware, secret_key=SECRET, max_age=None, same_site=None)


def litestar(**keywords):
    from litestar import Litestar, MediaType, Request, get

    @get("/{action:str}", media_type=MediaType.TEXT)
    async def view(request: Request, action: str) -> str:
        return act(request.session, action)

    return Litestar([view], openapi_config=None, **keywords)


def litestar_around():
    from litestar.middleware import DefineMiddleware

    from asgi_flask_session import FlaskSessionASGI

    return litestar(middleware=[DefineMiddleware(FlaskSessionASGI, secret=SECRET)])


def litestar_backend():
    from asgi_flask_session.adapters.litestar import FlaskSessionBackendConfig

    return litestar(on_app_init=[FlaskSessionBackendConfig(SECRET).on_app_init])


def django(session_of, *middleware):
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        FLASK_SESSION={"SECRET_KEY": SECRET},
        MIDDLEWARE=middleware,
        ROOT_URLCONF=(path("<action>", lambda request, action: HttpResponse(act(session_of(request), action))),),
        SECRET_KEY="of Django alone: " + SECRET,
        SESSION_COOKIE_NAME="session",
        SESSION_COOKIE_SAMESITE=None,
        SESSION_ENGINE="asgi_flask_session.adapters.django.engine",
    )
    return get_asgi_application()


def django_around():
    from asgi_flask_session import FlaskSessionASGI

    return FlaskSessionASGI(django(lambda request: request.scope["session"]), SECRET)


def django_middleware():
    from asgi_flask_session import FlaskSessionASGI

    ours = "asgi_flask_session.adapters.django.middleware.FlaskSessionMiddleware"
    return FlaskSessionASGI(django(lambda request: request.session, ours), SECRET)


def django_engine():
    return django(lambda request: request.session, "django.contrib.sessions.middleware.SessionMiddleware")


# Servers


def at(query_string):
    """Set the clock as a request wants it."""
    global ago  # noqa: PLW0603  # one request at a time
    ago = int(parse_qs(query_string).get("ago", ["0"])[0])


def by_werkzeug(app, listening):
    import logging

    from werkzeug.serving import make_server

    def shifted(environ, start_response):
        at(environ["QUERY_STRING"])
        return app(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = listening.getsockname()
    make_server(host, port, shifted, fd=listening.fileno()).serve_forever()


def shifted_asgi(app):
    async def shifted(scope, receive, send):
        at(scope.get("query_string", b"").decode())
        await app(scope, receive, send)

    return shifted


def by_hypercorn(app, listening):
    import asyncio

    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    asyncio.run(serve(shifted_asgi(app), config))


def by_uvicorn(app, listening):
    import uvicorn

    config = uvicorn.Config(shifted_asgi(app), lifespan="off", log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


SERVERS = {"flask": by_werkzeug, "quart": by_hypercorn}


def main():
    by_the_system = time.time
    time.time = lambda: by_the_system() - ago  # before any framework takes it
    name = sys.argv[1]
    app = globals()[name]()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(100)
    print(listening.getsockname()[1], flush=True)
    SERVERS.get(name.partition("_")[0], by_uvicorn)(app, listening)


if __name__ == "__main__":
    main()
