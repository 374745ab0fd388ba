"""The app that every server serves: its paths say what it does to the session, its JSON what it was sent."""

import json
import warnings

import flask
import trio.lowlevel
from a2wsgi import WSGIMiddleware
from driver import SECRET, respond

from asgi_flask_session import FlaskSessionASGI

with warnings.catch_warnings():
    # It recommends a2wsgi instead, which runs on asyncio only.
    warnings.filterwarnings("ignore", "starlette.middleware.wsgi is deprecated")
    from starlette.middleware.wsgi import WSGIMiddleware as StarlettesAdapter

flask_app = flask.Flask(__name__)
flask_app.secret_key = SECRET


@flask_app.get("/read")
def read():
    return dict(flask.session)


@flask_app.get("/set/<key>")
def set_key(key):
    flask.session[key] = "by Flask"
    return dict(flask.session)


async def http(scope, receive, send):
    session = scope["session"]
    match scope["path"].split("/")[1:]:
        case ["nothing"]:
            await respond(send)
        case ["read"]:
            await respond(send, body=json.dumps(dict(session)).encode())
        case ["set", key]:
            session[key] = "by ASGI"
            await respond(send, body=json.dumps(dict(session)).encode())
        case ["clear"]:
            session.clear()
            await respond(send)
        case ["cookies"]:
            await respond(send, body=json.dumps({"came": scope["came"], "arrived": cookies(scope)}).encode())
        case ["error"]:
            session["error"] = True
            await respond(send, status=500)
            raise RuntimeError("the app's own error")
        case ["unwritable"]:
            session["cart"] = {1}
            await respond(send)
        case ["stream"]:
            session["stream"] = True
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(3):
                await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        case _:
            await respond(send, status=404)


def cookies(scope):
    return [value.decode() for name, value in scope["headers"] if name == b"cookie"]


async def websocket(scope, receive, send):
    session = scope["session"]
    await receive()
    if scope["path"] == "/denied":
        session["denied"] = True
        await send({"type": "websocket.http.response.start", "status": 403, "headers": [(b"content-length", b"2")]})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    if scope["path"] == "/set":
        session["handshake"] = True
    await send({"type": "websocket.accept", "headers": [(b"x-own", b"1")]})
    await send({"type": "websocket.send", "text": json.dumps(dict(session))})
    # The client closes, and is waited for.
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def lifespan(receive, send):
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


flask_on_asyncio = WSGIMiddleware(flask_app)
flask_on_trio = StarlettesAdapter(flask_app)


async def both(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["path"].startswith("/flask/"):
        if scope["query_string"] == b"ours":
            scope["session"]["ours"] = True
        scope["root_path"] += "/flask"
        adapted = flask_on_trio if trio.lowlevel.in_trio_run() else flask_on_asyncio
        await adapted(scope, receive, send)
    else:
        await http(scope, receive, send)


with_session = FlaskSessionASGI(both, SECRET)


async def app(scope, receive, send):
    if scope["type"] == "http":
        scope["came"] = cookies(scope)
    await with_session(scope, receive, send)
