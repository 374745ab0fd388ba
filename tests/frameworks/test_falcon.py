"""Falcon, which has one place for the middleware: outside of the app."""

import falcon
from driver import SECRET
from falcon.asgi import App
from frameworks.contract import ACTIONS, BASE, Contract, Handled, WebsocketContract
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI


class Asked:
    """A request in the terms of the contract."""

    def __init__(self, req):
        self.scope = req.scope

    @property
    def session(self):
        return self.scope["session"]


class Do:
    async def on_get(self, req, resp, action):
        ACTIONS[action](Asked(req))


class AsDict:
    async def on_get(self, req, resp):
        resp.media = dict(req.scope["session"])


class Raises:
    def __init__(self, error):
        self.error = error

    async def on_get(self, req, resp):
        ACTIONS["write"](Asked(req))
        raise self.error


class Stream:
    async def on_get(self, req, resp, action):
        async def parts():
            yield b"one"
            ACTIONS[action](Asked(req))
            yield b"two"

        ACTIONS["write"](Asked(req))
        resp.stream = parts()


class Background:
    async def on_get(self, req, resp):
        async def write():
            ACTIONS["write"](Asked(req))

        resp.schedule(write)


class Handshake:
    async def on_websocket(self, req, ws, action):
        ACTIONS[action](Asked(req))
        await ws.accept()
        await ws.close()


class Late:
    async def on_websocket(self, req, ws, action):
        await ws.accept()
        ACTIONS[action](Asked(req))
        await ws.close()


class Denied:
    async def on_websocket(self, req, ws):
        ACTIONS["write"](Asked(req))
        raise falcon.HTTPForbidden


async def answer_500(req, resp, error, params, **more):
    resp.status = 500


def make():
    app = App()
    app.set_error_serializer(lambda req, resp, error: None)  # its own adds a Vary
    app.add_error_handler(Handled, answer_500)
    for path, resource in {
        "/do/{action}": Do(),
        "/sub/do/{action}": Do(),
        "/dict": AsDict(),
        "/forbidden": Raises(falcon.HTTPForbidden()),
        "/handled": Raises(Handled()),
        "/error": Raises(RuntimeError()),
        "/stream/{action}": Stream(),
        "/background": Background(),
        "/ws/{action}": Handshake(),
        "/late/{action}": Late(),
        "/denied": Denied(),
    }.items():
        app.add_route(path, resource)
    return app


class TestFalcon(Contract, WebsocketContract):
    backends = ("asyncio",)
    denies_with_a_response = False

    @staticmethod
    def app():
        return FlaskSessionASGI(make(), SECRET)


def test_scheduled_task_is_too_late(caplog):
    """It runs when the app has returned, so that nothing of ours is there to warn of it."""
    answer = Client(FlaskSessionASGI(make(), SECRET)).get("/background", BASE)
    assert (answer.status, answer.session, caplog.records) == (200, None, [])
