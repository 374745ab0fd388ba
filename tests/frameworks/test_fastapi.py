"""FastAPI: the middleware outside of the app, and added to it."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from driver import SECRET
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from frameworks.contract import ACTIONS, BASE, CHANGES, BackgroundContract, Contract, Handled, WebsocketContract
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI


def session_of(request: Request):
    return request.session


Session = Annotated[dict[str, Any], Depends(session_of)]

routes = APIRouter()


@routes.get("/do/{action}")
async def do(action: str, request: Request):
    ACTIONS[action](request)


@routes.get("/dict")
async def as_dict(session: Session):
    return dict(session)


@routes.get("/forbidden")
async def forbidden(request: Request):
    ACTIONS["write"](request)
    raise HTTPException(403)


@routes.get("/handled")
async def handled(request: Request):
    ACTIONS["write"](request)
    raise Handled


async def answer_500(request: Request, error: Handled):
    return PlainTextResponse("sorry", status_code=500)


@routes.get("/error")
async def error(request: Request):
    ACTIONS["write"](request)
    raise RuntimeError


@routes.get("/stream/{action}")
async def stream(action: str, request: Request):
    async def parts():
        yield "one"
        ACTIONS[action](request)
        yield "two"

    ACTIONS["write"](request)
    return StreamingResponse(parts())


@routes.get("/background")
async def background(request: Request, tasks: BackgroundTasks):
    tasks.add_task(ACTIONS["write"], request)


@routes.websocket("/ws/{action}")
async def websocket(websocket: WebSocket, action: str):
    ACTIONS[action](websocket)
    await websocket.accept()
    await websocket.close()


@routes.websocket("/late/{action}")
async def late(websocket: WebSocket, action: str):
    await websocket.accept()
    ACTIONS[action](websocket)
    await websocket.close()


@routes.websocket("/denied")
async def denied(websocket: WebSocket):
    ACTIONS["write"](websocket)
    raise HTTPException(403)


def make():
    app = FastAPI()
    app.include_router(routes)
    app.exception_handler(Handled)(answer_500)
    return app


def with_sub_app():
    app = make()
    app.mount("/sub", make())
    return app


def with_middleware(app):
    app.add_middleware(FlaskSessionASGI, secret=SECRET)
    return app


class TestOutermost(Contract, BackgroundContract, WebsocketContract):
    @staticmethod
    def app():
        return FlaskSessionASGI(with_sub_app(), SECRET)


class TestAsMiddleware(Contract, BackgroundContract, WebsocketContract):
    """FastAPI's own 500 is made outside of every middleware of its."""

    saves_unhandled = False
    answers_unwritable = True

    @staticmethod
    def app():
        return with_middleware(with_sub_app())


@dataclass
class User:
    name: str


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_dependency_reads_and_handler_in_a_thread_writes(backend):
    app = FastAPI()

    async def current_user(session: Session) -> User:
        if "user" not in session:
            raise HTTPException(401)
        return User(session["user"])

    @app.get("/visit")
    def visit(user: Annotated[User, Depends(current_user)], session: Session):
        session["visits"] = session.get("visits", 0) + 1
        return user

    client = Client(FlaskSessionASGI(app, SECRET), backend)
    assert client.get("/visit").status == 401
    answer = client.get("/visit", {"user": "ada"})
    assert (answer.json, answer.session) == ({"name": "ada"}, {"user": "ada", "visits": 1})


@pytest.mark.parametrize(
    ("error", "place", "saved"),
    [
        (RuntimeError, "outermost", True),
        (RuntimeError, "middleware", True),
        (Exception, "outermost", True),
        (Exception, "middleware", False),
    ],
)
def test_exception_handler_saves_where_it_is_inside_of_the_middleware(error, place, saved):
    """W11: FastAPI runs the handler of Exception outside of its middlewares, all others inside."""
    app = make()
    app.exception_handler(error)(answer_500)
    app = FlaskSessionASGI(app, SECRET) if place == "outermost" else with_middleware(app)
    answer = Client(app).get("/error", BASE)
    assert (answer.status, answer.session) == (500, CHANGES["write"] if saved else None)


def test_function_middleware_added_before_ours_can_change_the_session():
    """The middleware that was added last is the outermost."""
    app = make()

    @app.middleware("http")
    async def greet(request, call_next):
        response = await call_next(request)
        request.session["greeted"] = True
        return response

    answer = Client(with_middleware(app)).get("/do/write", BASE)
    assert answer.session == {**CHANGES["write"], "greeted": True}


def test_unwritable_session_is_a_500_where_the_app_has_a_handler_for_everything():
    """W9: the handler's response starts anew, without the session."""
    app = make()
    app.exception_handler(Exception)(answer_500)
    answer = Client(with_middleware(app)).get("/do/unwritable", BASE)
    assert (answer.status, answer.body, answer.set_cookies) == (500, b"sorry", [])


def test_change_after_the_yield_of_a_dependency_is_saved_or_warned_of(caplog):
    """W10: whether that code runs before or after the response is FastAPI's to say, and it changed its mind."""
    app = FastAPI()

    async def leave_a_mark(session: Session):
        yield
        session["left"] = True

    @app.get("/yield", dependencies=[Depends(leave_a_mark)])
    async def handler():
        return None

    answer = Client(FlaskSessionASGI(app, SECRET)).get("/yield", BASE)
    assert (answer.session == {**BASE, "left": True}) is ("/yield" not in caplog.text)
