"""No framework: ``scope["session"]``, over HTTP and from a websocket's handshake."""

import json
from typing import Any
from urllib.parse import parse_qs

from .actions import flash, log_out, remove, take_flashes, view, write_types, wrong_types


async def app(scope: Any, receive: Any, send: Any) -> None:
    route = scope["path"].removeprefix(scope["root_path"])
    if scope["type"] == "websocket":
        await handshake(scope, receive, send, route)
        return
    answer = respond(scope["session"], scope, route, await json_body(receive))
    await send(
        {
            "type": "http.response.start",
            "status": 404 if answer is None else 200,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def respond(session: Any, scope: Any, route: str, body: Any) -> dict[str, Any] | None:
    """Do what is asked, and return the answer; None if there is no such thing."""
    match scope["method"], route:
        case "GET", "/session":
            return view(session)
        case "GET", "/types":
            return {"wrong": wrong_types(session, int(query(scope, "seed")))}
        case "POST", "/set":
            session[body["key"]] = body["value"]
        case "POST", "/remove":
            remove(session, body["keys"])
        case "POST", "/types":
            write_types(session, body["seed"])
        case "POST", "/flash":
            flash(session, body["text"])
        case "POST", "/flashes":
            return {"messages": take_flashes(session)}
        case "POST", "/logout":
            log_out(session)
        case _:
            return None
    return {}


async def handshake(scope: Any, receive: Any, send: Any, route: str) -> None:
    """Set a value before accepting: the answer to the handshake is the only place for a cookie."""
    await receive()
    if route == "/ws":
        scope["session"]["from_websocket"] = query(scope, "value")
        await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})


def query(scope: Any, name: str) -> str:
    return parse_qs(scope["query_string"].decode())[name][0]


async def json_body(receive: Any) -> Any:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return json.loads(body) if body else None
