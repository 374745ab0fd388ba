"""Quart, and Quart on trio: asking for the scope's session, and with its own session inside ours."""

import pytest
import quart
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, CHANGES, Contract, Handled, WebsocketContract
from frameworks.drive import Client
from quart import Blueprint, Quart
from quart_trio import QuartTrio

from asgi_flask_session import FlaskSessionASGI


class OfTheScope:
    """The session of a Quart request or websocket, where the middleware put it."""

    def __init__(self, request):
        self.scope = request.scope

    @property
    def session(self):
        return self.scope["session"]


def act(action):
    ACTIONS[action](OfTheScope(quart.request))


def routes():
    routes = Blueprint("routes", __name__)

    @routes.get("/do/<action>")
    async def do(action):
        act(action)
        return ""

    @routes.get("/thread/<action>")
    def do_in_a_thread(action):
        act(action)
        return ""

    @routes.get("/dict")
    async def as_dict():
        return dict(quart.request.scope["session"])

    @routes.get("/forbidden")
    async def forbidden():
        act("write")
        quart.abort(403)

    @routes.get("/handled")
    async def handled():
        act("write")
        raise Handled

    @routes.get("/error")
    async def error():
        act("write")
        raise RuntimeError

    @routes.get("/stream/<action>")
    async def stream(action):
        request = OfTheScope(quart.request)

        async def parts():
            yield "one"
            ACTIONS[action](request)
            yield "two"

        act("write")
        return parts()

    return routes


def make(kind, **config):
    app = kind(__name__)
    app.config.update(config)
    app.register_blueprint(routes())
    app.register_blueprint(routes(), url_prefix="/sub", name="sub")
    app.errorhandler(Handled)(lambda error: ("sorry", 500))

    @app.websocket("/ws/<action>")
    async def websocket(action):
        ACTIONS[action](OfTheScope(quart.websocket))
        await quart.websocket.accept()

    @app.websocket("/late/<action>")
    async def late(action):
        await quart.websocket.accept()
        ACTIONS[action](OfTheScope(quart.websocket))

    @app.websocket("/denied")
    async def denied():
        ACTIONS["write"](OfTheScope(quart.websocket))
        quart.abort(403)

    return app


def wrapped(kind, **config):
    app = make(kind, **config)
    app.asgi_app = FlaskSessionASGI(app.asgi_app, SECRET)
    return app


class TestQuart(Contract, WebsocketContract):
    backends = ("asyncio",)

    @staticmethod
    def app():
        return wrapped(Quart)


class TestQuartOnTrio(Contract, WebsocketContract):
    backends = ("trio",)

    @staticmethod
    def app():
        return wrapped(QuartTrio)


KINDS = pytest.mark.parametrize(("kind", "backend"), [(Quart, "asyncio"), (QuartTrio, "trio")])


@KINDS
def test_handler_in_a_thread_shares_the_session(kind, backend):
    assert Client(wrapped(kind), backend).get("/thread/write", BASE).session == CHANGES["write"]


@KINDS
@pytest.mark.parametrize("key", [Exception, 500], ids=["Exception", "500"])
def test_handler_of_every_exception_saves(kind, backend, key):
    """W11."""
    app = wrapped(kind)
    app.errorhandler(key)(lambda error: ("sorry", 500))
    answer = Client(app, backend).get("/error", BASE)
    assert (answer.status, answer.body, answer.session) == (500, b"sorry", CHANGES["write"])


def with_stock_session(kind, change, *, outer="nothing"):
    """Return an app whose handler changes quart.session, with a change of ours before it."""
    app = make(kind, SECRET_KEY=SECRET)

    @app.get("/stock")
    async def stock():
        act(outer)
        change(quart.session)
        return dict(quart.session)

    app.asgi_app = FlaskSessionASGI(app.asgi_app, SECRET)
    return app


CHANGES_OF_QUART = {
    "reads": (lambda session: session.get("a"), None),
    "writes": (lambda session: session.update(n=1), {**BASE, "n": 1}),
    "clears": (lambda session: session.clear(), {}),
}


@KINDS
@pytest.mark.parametrize(("change", "session"), CHANGES_OF_QUART.values(), ids=CHANGES_OF_QUART.keys())
def test_stock_session_of_quart_inside_writes_as_without_us(kind, backend, change, session):
    """W8: two objects, both filled from the cookie; where ours does not change, Quart's cookie goes out."""
    assert Client(with_stock_session(kind, change), backend).get("/stock", BASE).session == session


BOTH = {
    "reads": (lambda session: session.get("a"), {**BASE, "user": "ada"}),
    "writes": (lambda session: session.update(n=1), {**BASE, "user": "ada", "n": 1}),
    "writes the same key": (lambda session: session.update(user="eve"), {**BASE, "user": "ada"}),
    "clears": (lambda session: session.clear(), {"user": "ada"}),
}


@KINDS
@pytest.mark.parametrize(("change", "session"), BOTH.values(), ids=BOTH.keys())
def test_stock_session_of_quart_inside_and_ours_make_one_cookie(kind, backend, change, session):
    """W8."""
    assert Client(with_stock_session(kind, change, outer="write"), backend).get("/stock", BASE).session == session


def test_stock_session_of_quart_does_not_see_what_ours_changed_in_the_same_request():
    answer = Client(with_stock_session(Quart, lambda session: None, outer="write")).get("/stock", BASE)
    assert answer.json == BASE


@KINDS
def test_change_before_an_implicit_accept_goes_out_with_the_handshake(kind, backend):
    """W2: Quart accepts by itself at the first message."""
    app = wrapped(kind)

    @app.websocket("/implicit")
    async def implicit():
        ACTIONS["write"](OfTheScope(quart.websocket))
        await quart.websocket.send("hello")

    answer = Client(app, backend).websocket("/implicit", BASE)
    assert answer.messages[0]["type"] == "websocket.accept"
    assert answer.session == CHANGES["write"]
