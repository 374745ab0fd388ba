"""Litestar: the middleware outside of the app, and as DefineMiddleware."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pydantic
import pytest
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, CHANGES, BackgroundContract, Contract, Handled, WebsocketContract
from frameworks.drive import Client
from litestar import Litestar, Request, Router, WebSocket, asgi, get, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import PermissionDeniedException
from litestar.middleware import ASGIMiddleware, DefineMiddleware
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.response import Response, Stream

from asgi_flask_session import FlaskSessionASGI


@get("/do/{action:str}")
async def do(request: Request) -> None:
    ACTIONS[request.path_params["action"]](request)


@get("/thread/{action:str}", sync_to_thread=True)
def do_in_a_thread(request: Request) -> None:
    ACTIONS[request.path_params["action"]](request)


@get("/dict")
async def as_dict(request: Request) -> dict[str, Any]:
    return dict(request.session)


@get("/forbidden")
async def forbidden(request: Request) -> None:
    ACTIONS["write"](request)
    raise PermissionDeniedException


@get("/handled")
async def handled(request: Request) -> None:
    ACTIONS["write"](request)
    raise Handled


@get("/error")
async def error(request: Request) -> None:
    ACTIONS["write"](request)
    raise RuntimeError


@get("/stream/{action:str}")
async def stream(request: Request) -> Stream:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        ACTIONS[request.path_params["action"]](request)
        yield "two"

    ACTIONS["write"](request)
    return Stream(parts())


@get("/late-clear")
async def late_clear(request: Request) -> Stream:
    async def parts() -> AsyncIterator[str]:
        yield "one"
        request.clear_session()

    return Stream(parts())


@get("/background")
async def background(request: Request) -> Response[None]:
    async def write() -> None:
        ACTIONS["write"](request)

    return Response(None, background=BackgroundTask(write))


@websocket("/ws/{action:str}")
async def handshake(socket: WebSocket) -> None:
    ACTIONS[socket.path_params["action"]](socket)
    await socket.accept()
    await socket.close()


@websocket("/late/{action:str}")
async def late(socket: WebSocket) -> None:
    await socket.accept()
    ACTIONS[socket.path_params["action"]](socket)
    await socket.close()


@websocket("/denied")
async def denied(socket: WebSocket) -> None:
    ACTIONS["write"](socket)
    raise PermissionDeniedException


def answer_500(request: Request, error: Exception) -> Response[str]:
    return Response("sorry", status_code=500)


HANDLERS = [
    do,
    do_in_a_thread,
    as_dict,
    forbidden,
    handled,
    error,
    stream,
    late_clear,
    background,
    handshake,
    late,
    denied,
]


def make(*handlers, middleware=(), errors=None):
    """Return an app; without its logging, which would put a queue between a record and the test."""
    return Litestar(
        [*HANDLERS, Router("/sub", route_handlers=HANDLERS), *handlers],
        middleware=middleware,
        exception_handlers=errors or {Handled: answer_500},
        logging_config=None,
        openapi_config=None,
    )


OURS = DefineMiddleware(FlaskSessionASGI, secret=SECRET)


class TestOutermost(Contract, BackgroundContract, WebsocketContract):
    denies_with_a_response = False

    @staticmethod
    def app():
        return FlaskSessionASGI(make(), SECRET)


class TestAsMiddleware(Contract, BackgroundContract, WebsocketContract):
    """Litestar's 500 is made inside of its middlewares, so all is as outermost."""

    denies_with_a_response = False

    @staticmethod
    def app():
        return make(middleware=[OURS])


class TestInAnASGIMiddleware(Contract, BackgroundContract, WebsocketContract):
    """Litestar's newer kind of middleware, which has one method and no app of its own."""

    denies_with_a_response = False

    @staticmethod
    def app():
        class Ours(ASGIMiddleware):
            async def handle(self, scope, receive, send, next_app):
                await FlaskSessionASGI(next_app, SECRET)(scope, receive, send)

        return make(middleware=[Ours()])


@dataclass
class ByDataclass:
    user: str
    roles: list[str]


class ByStruct(msgspec.Struct):
    user: str
    roles: list[str]


class ByModel(pydantic.BaseModel):
    user: str
    roles: list[str]


DATA = {"user": "ada", "roles": ["admin"]}


@pytest.mark.parametrize("kind", [dict, ByDataclass, ByStruct, ByModel])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_session_set_as_a_whole_is_written(kind, backend):
    """W6."""

    @get("/set")
    async def set_session(request: Request) -> None:
        request.set_session(kind(**DATA))

    answer = Client(make(set_session, middleware=[OURS]), backend).get("/set", BASE)
    assert answer.session == DATA


@pytest.mark.parametrize("kind", [ByDataclass, ByStruct, ByModel])
def test_session_set_before_accept_is_written(kind):
    """W2, W6."""

    @websocket("/set")
    async def set_session(socket: WebSocket) -> None:
        socket.set_session(kind(**DATA))
        await socket.accept()
        await socket.close()

    assert Client(make(set_session, middleware=[OURS])).websocket("/set", BASE).session == DATA


@pytest.mark.parametrize(("came", "left"), [(BASE, {}), (None, None)], ids=["with a cookie", "without"])
def test_session_cleared_as_a_whole_is_deleted(came, left):
    """W6: clear_session puts an enum member, which is true, in its place."""

    @get("/clear")
    async def clear(request: Request) -> None:
        request.clear_session()

    assert Client(make(clear, middleware=[OURS])).get("/clear", came).session == left


def test_session_cleared_as_a_whole_during_a_stream_warns(caplog):
    """W10."""
    assert Client(make(middleware=[OURS])).get("/late-clear", BASE).session is None
    assert "/late-clear" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_handler_in_a_thread_shares_the_session(backend):
    assert Client(make(middleware=[OURS]), backend).get("/thread/write", BASE).session == CHANGES["write"]


@pytest.mark.parametrize("key", [Exception, 500], ids=["Exception", "500"])
def test_handler_of_every_exception_saves(key):
    """W11."""
    answer = Client(make(middleware=[OURS], errors={key: answer_500})).get("/error", BASE)
    assert (answer.status, answer.session) == (500, CHANGES["write"])


@pytest.mark.parametrize("copy_scope", [True, False])
def test_mounted_asgi_app_shares_the_session(copy_scope):
    """In place, which also works where Litestar hands out a copy of the scope."""

    @asgi("/mounted", is_mount=True, copy_scope=copy_scope)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["user"] = "ada"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert Client(make(mounted, middleware=[OURS])).get("/mounted/x", BASE).session == CHANGES["write"]


def test_session_returned_itself_needs_a_mark_to_be_seen():
    """W4: msgspec reads a dict past its methods; dict(session), or mark_accessed, is seen."""

    @get("/itself")
    async def itself(request: Request) -> dict[str, Any]:
        return request.session

    @get("/marked")
    async def marked(request: Request) -> dict[str, Any]:
        request.session.mark_accessed()
        return request.session

    client = Client(make(itself, marked, middleware=[OURS]))
    answers = [client.get(path, BASE) for path in ("/itself", "/marked", "/dict")]
    assert [answer.json for answer in answers] == [BASE] * 3
    assert [answer.vary for answer in answers] == [[], [b"Cookie"], [b"Cookie"]]


def test_session_middleware_of_litestar_inside_lives_beside_another_scope_key():
    """W6: Litestar's session is a plain dict, which under our key would be taken for a replaced session."""

    @get("/both")
    async def both(request: Request) -> None:
        request.session["theirs"] = 1
        request.scope["flask"]["ours"] = 1

    litestars = ServerSideSessionConfig(key="other").middleware
    app = make(both, middleware=[litestars])
    answer = Client(FlaskSessionASGI(app, SECRET, scope_key="flask")).get("/both", BASE)
    assert answer.session == {**BASE, "ours": 1}
    assert len(answer.lines("other")) == 1


@pytest.mark.parametrize(("path", "has_session"), [("/mounted/static/x", False), ("/mounted/x", True)])
def test_exclude_on_a_mounted_asgi_app_counts_from_its_own_root(path, has_session):
    seen = []

    async def inner(scope, receive, send):
        seen.append("session" in scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    ours = FlaskSessionASGI(inner, SECRET, exclude=["/static"])

    @asgi("/mounted", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await ours(scope, receive, send)

    Client(make(mounted)).get(path)
    assert seen == [has_session]
