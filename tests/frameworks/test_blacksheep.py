"""BlackSheep, with the middleware outside of the app."""

import pytest
from blacksheep import Application, Content, Request, Response, Router, WebSocket, json
from blacksheep.contents import StreamedContent
from blacksheep.exceptions import Forbidden
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, Contract, Handled, WebsocketContract
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI


class Asked:
    """A request in the terms of the contract."""

    def __init__(self, request):
        self.scope = request.scope

    @property
    def session(self):
        return self.scope["session"]


async def do(request: Request, action: str):
    ACTIONS[action](Asked(request))
    return Response(200)


async def as_dict(request: Request):
    return json(dict(request.scope["session"]))


async def forbidden(request: Request):
    ACTIONS["write"](Asked(request))
    raise Forbidden


async def handled(request: Request):
    ACTIONS["write"](Asked(request))
    raise Handled


async def error(request: Request):
    ACTIONS["write"](Asked(request))
    raise RuntimeError


async def stream(request: Request, action: str):
    async def parts():
        yield b"one"
        ACTIONS[action](Asked(request))
        yield b"two"

    ACTIONS["write"](Asked(request))
    return Response(200, content=StreamedContent(b"text/plain", parts))


async def handshake(socket: WebSocket, action: str):
    ACTIONS[action](Asked(socket))
    await socket.accept()
    await socket.close()


async def late(socket: WebSocket, action: str):
    await socket.accept()
    ACTIONS[action](Asked(socket))
    await socket.close()


async def denied(socket: WebSocket):
    ACTIONS["write"](Asked(socket))
    await socket.close()


async def answer_500(app, request, error):
    return Response(500, content=Content(b"text/plain", b"sorry"))


def make():
    app = Application(router=Router())
    app.exceptions_handlers[Handled] = answer_500
    for path, handler in {
        "/do/{action}": do,
        "/sub/do/{action}": do,
        "/dict": as_dict,
        "/forbidden": forbidden,
        "/handled": handled,
        "/error": error,
        "/stream/{action}": stream,
    }.items():
        app.router.add_get(path, handler)
    for path, handler in {"/ws/{action}": handshake, "/late/{action}": late, "/denied": denied}.items():
        app.router.add_ws(path, handler)
    return app


class TestBlackSheep(Contract, WebsocketContract):
    backends = ("asyncio",)
    denies_with_a_response = False

    @staticmethod
    def app():
        return FlaskSessionASGI(make(), SECRET)


def test_its_own_session_is_another():
    app = Application(router=Router())

    async def own(request: Request):
        with pytest.raises(TypeError):
            request.session  # noqa: B018  # asking is the test

    app.router.add_get("/", own)
    assert Client(FlaskSessionASGI(app, SECRET)).get("/", BASE).status == 204
