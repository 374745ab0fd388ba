"""Starlette: the middleware outside of the app, and as one of its middlewares."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from driver import SECRET, request
from frameworks.contract import ACTIONS, BASE, CHANGES, BackgroundContract, Contract, Handled, WebsocketContract
from frameworks.drive import Client
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware, sessions
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from asgi_flask_session import FlaskSessionASGI


async def do(request):
    ACTIONS[request.path_params["action"]](request)
    return Response()


def do_in_a_thread(request):
    ACTIONS[request.path_params["action"]](request)
    return Response()


async def as_dict(request):
    return JSONResponse(dict(request.session))


async def forbidden(request):
    ACTIONS["write"](request)
    raise HTTPException(403)


async def handled(request):
    ACTIONS["write"](request)
    raise Handled


async def error(request):
    ACTIONS["write"](request)
    raise RuntimeError


async def stream(request):
    async def parts():
        yield "one"
        ACTIONS[request.path_params["action"]](request)
        yield "two"

    ACTIONS["write"](request)
    return StreamingResponse(parts())


async def background(request):
    return Response(background=BackgroundTask(ACTIONS["write"], request))


async def websocket(websocket):
    ACTIONS[websocket.path_params["action"]](websocket)
    await websocket.accept()
    await websocket.close()


async def late(websocket):
    await websocket.accept()
    ACTIONS[websocket.path_params["action"]](websocket)
    await websocket.close()


async def denied(websocket):
    ACTIONS["write"](websocket)
    await websocket.send_denial_response(Response(status_code=403))


async def answer_500(request, error):
    return PlainTextResponse("sorry", status_code=500)


ROUTES = [
    Route("/do/{action}", do),
    Route("/thread/{action}", do_in_a_thread),
    Route("/dict", as_dict),
    Route("/forbidden", forbidden),
    Route("/handled", handled),
    Route("/error", error),
    Route("/stream/{action}", stream),
    Route("/background", background),
    WebSocketRoute("/ws/{action}", websocket),
    WebSocketRoute("/late/{action}", late),
    WebSocketRoute("/denied", denied),
]


def make(middleware=(), *, routes=(), handlers=None):
    return Starlette(
        routes=[*ROUTES, *routes, Mount("/sub", routes=ROUTES)],
        middleware=[*middleware],
        exception_handlers=handlers or {Handled: answer_500},
    )


OURS = Middleware(FlaskSessionASGI, secret=SECRET)


class TestOutermost(Contract, BackgroundContract, WebsocketContract):
    @staticmethod
    def app():
        return FlaskSessionASGI(make(), SECRET)


class TestAsMiddleware(Contract, BackgroundContract, WebsocketContract):
    """Starlette's own 500 is made outside of every middleware of its."""

    saves_unhandled = False
    answers_unwritable = True

    @staticmethod
    def app():
        return make([OURS])


class TestOfASubApp(Contract, BackgroundContract, WebsocketContract):
    """The middleware on the app and once more on what is mounted there."""

    saves_unhandled = False
    answers_unwritable = True

    @staticmethod
    def app():
        return make([OURS], routes=[Mount("/sub", app=make([OURS]))])


def added():
    app = make()
    app.add_middleware(FlaskSessionASGI, secret=SECRET)
    return app


PLACES = {
    "outermost": lambda **kw: FlaskSessionASGI(make(**kw), SECRET),
    "middleware": lambda **kw: make([OURS], **kw),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_handler_in_a_thread_shares_the_session(backend):
    assert Client(added(), backend).get("/thread/write", BASE).session == CHANGES["write"]


@pytest.mark.parametrize(("place", "saved"), [("outermost", True), ("middleware", False)])
@pytest.mark.parametrize("key", [Exception, 500], ids=["Exception", "500"])
def test_handler_of_every_exception_is_outside_of_the_middlewares(place, saved, key):
    """W11: Starlette runs it where its own 500 is made."""
    answer = Client(PLACES[place](handlers={key: answer_500})).get("/error", BASE)
    assert (answer.status, answer.body) == (500, b"sorry")
    assert answer.session == (CHANGES["write"] if saved else None)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_change_in_a_function_middleware_inside_is_saved(backend):
    """Also when the handler has answered: a BaseHTTPMiddleware holds the response until it returns."""

    async def greet(request, call_next):
        response = await call_next(request)
        request.session["greeted"] = True
        return response

    app = make([OURS, Middleware(BaseHTTPMiddleware, dispatch=greet)])
    assert Client(app, backend).get("/do/write", BASE).session == {**CHANGES["write"], "greeted": True}


def test_session_middleware_of_starlette_inside_is_left_alone(caplog):
    """W6: its session is known by its marks; before Starlette 1.0 it was a dict like any other."""
    starlettes = Middleware(sessions.SessionMiddleware, secret_key="another", session_cookie="other")
    answer = Client(make([OURS, starlettes])).get("/do/write", BASE)
    assert len(answer.lines("other")) == 1
    if hasattr(sessions, "Session"):
        assert answer.session is None
        assert "scope_key" in caplog.text
    else:
        assert answer.session == {"user": "ada"}


def test_session_middleware_of_starlette_inside_lives_beside_another_scope_key(caplog):
    async def both(request):
        request.session["theirs"] = 1
        request.scope["flask"]["ours"] = 1
        return Response()

    starlettes = Middleware(sessions.SessionMiddleware, secret_key="another", session_cookie="other")
    ours = Middleware(FlaskSessionASGI, secret=SECRET, scope_key="flask")
    answer = Client(make([ours, starlettes], routes=[Route("/both", both)])).get("/both", BASE)
    assert answer.session == {**BASE, "ours": 1}
    assert len(answer.lines("other")) == 1
    assert not caplog.records


def test_session_middleware_of_starlette_outside_finds_its_own_session_again():
    """W7: each writes its own cookie, as two of ours do."""

    async def write_theirs(request, call_next):
        request.session["theirs"] = 1
        return await call_next(request)

    starlettes = Middleware(sessions.SessionMiddleware, secret_key="another", session_cookie="other")
    app = make([starlettes, Middleware(BaseHTTPMiddleware, dispatch=write_theirs), OURS])
    answer = Client(app).get("/do/write", BASE)
    assert answer.session == CHANGES["write"]
    assert len(answer.lines("other")) == 1


def test_vary_of_another_middleware_is_kept():
    """W4."""
    compressed = Middleware(GZipMiddleware, minimum_size=0)
    answer = Client(make([OURS, compressed])).get("/dict", BASE, headers=[(b"accept-encoding", b"gzip")])
    assert answer.vary == [b"Accept-Encoding, Cookie"]


@pytest.mark.parametrize(("path", "status"), [("/sub/do/write", 500), ("/sub/dict", 200)])
def test_exclude_on_a_mounted_app_counts_from_its_own_root(path, status):
    """The session is missing where the middleware stepped aside, which Starlette answers with an error."""
    ours = Middleware(FlaskSessionASGI, secret=SECRET, exclude=["/do"])
    assert Client(Starlette(routes=[Mount("/sub", app=make([ours]))])).get(path, BASE).status == status


def test_lifespan_passes_through():
    """W13."""
    ran = []

    @asynccontextmanager
    async def lifespan(app):
        ran.append("up")
        yield
        ran.append("down")

    answer = request(
        FlaskSessionASGI(Starlette(lifespan=lifespan), SECRET), scope={"type": "lifespan"}, run=asyncio.run
    )
    assert ran == ["up", "down"]
    assert [message["type"] for message in answer.messages] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
