"""An ASGI app without a framework."""

import json

from driver import SECRET, respond
from frameworks.contract import ACTIONS, BASE, CHANGES, BackgroundContract, Contract, Handled, WebsocketContract
from frameworks.drive import Client
from hypercorn.middleware import ProxyFixMiddleware

from asgi_flask_session import FlaskSessionASGI


class Request:
    def __init__(self, scope):
        self.scope = scope

    @property
    def session(self):
        return self.scope["session"]


async def http(scope, receive, send):
    request = Request(scope)
    match scope["path"].removeprefix("/sub").split("/")[1:]:
        case ["do", action]:
            ACTIONS[action](request)
            await respond(send)
        case ["dict"]:
            await respond(send, body=json.dumps(dict(request.session)).encode())
        case ["forbidden"]:
            ACTIONS["write"](request)
            await respond(send, status=403)
        case ["handled" | "error" as path]:
            ACTIONS["write"](request)
            raise Handled if path == "handled" else RuntimeError
        case ["stream", action]:
            ACTIONS["write"](request)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            ACTIONS[action](request)
            await send({"type": "http.response.body", "body": b"two"})
        case ["background"]:
            await respond(send)
            ACTIONS["write"](request)
        case _:
            await respond(send, status=404)


async def websocket(scope, receive, send):
    request = Request(scope)
    match scope["path"].split("/")[1:]:
        case ["ws", action]:
            ACTIONS[action](request)
            await send({"type": "websocket.accept"})
        case ["late", action]:
            await send({"type": "websocket.accept"})
            ACTIONS[action](request)
        case _:
            ACTIONS["write"](request)
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
    await send({"type": "websocket.close"})


async def raw(scope, receive, send):
    try:
        await (http if scope["type"] == "http" else websocket)(scope, receive, send)
    except Handled:
        await respond(send, status=500)
    except RuntimeError:
        await respond(send, status=500)
        raise


class TestRaw(Contract, BackgroundContract, WebsocketContract):
    @staticmethod
    def app():
        return FlaskSessionASGI(raw, SECRET)


def test_scope_that_is_copied_deeply_inside_of_ours_loses_the_change():
    """Hypercorn's ProxyFixMiddleware copies it: the session there is a copy too, so its place is outside."""
    inside = FlaskSessionASGI(ProxyFixMiddleware(raw), SECRET)
    outside = ProxyFixMiddleware(FlaskSessionASGI(raw, SECRET))
    assert Client(inside).get("/do/write", BASE).session is None
    assert Client(outside).get("/do/write", BASE).session == CHANGES["write"]
