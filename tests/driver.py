"""Drives an ASGI app by hand: messages in, messages out, headers counted as they went over the wire."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

SECRET = "a-secret-of-the-tests-only"
NOW = 1_700_000_000


def step_by_hand(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


def by_trio(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import trio

    async def main() -> Any:
        return await coroutine

    return trio.run(main)


LOOPS: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"no loop": step_by_hand, "asyncio": asyncio.run}
if find_spec("trio") is not None:
    LOOPS["trio"] = by_trio


@dataclass
class Exchange:
    """What a request led to."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        for message in self.messages:
            if "headers" in message:
                return list(message["headers"])
        return []

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def set_cookies(self) -> list[str]:
        return [value.decode() for value in self.all(b"set-cookie")]

    @property
    def set_cookie(self) -> str | None:
        assert len(self.set_cookies) <= 1, self.set_cookies
        return self.set_cookies[0] if self.set_cookies else None

    @property
    def cookie(self) -> str | None:
        """The cookie value that was set."""
        return self.set_cookie and self.set_cookie.partition(";")[0].partition("=")[2]

    @property
    def vary(self) -> list[bytes]:
        return self.all(b"vary")

    @property
    def status(self) -> int:
        return self.messages[0]["status"]


def scope_for(
    cookie: str | None = None,
    *,
    type: str = "http",  # noqa: A002  # ASGI's own name
    path: str = "/",
    headers: list[tuple[bytes, bytes]] | None = None,
    name: str = "session",
    **more: Any,
) -> dict[str, Any]:
    sent = list(headers or ())
    if cookie is not None:
        sent.append((b"cookie", f"{name}={cookie}".encode("latin-1")))
    return {"type": type, "method": "GET", "path": path, "root_path": "", "headers": sent, **more}


def request(
    app: Any,
    cookie: str | None = None,
    *,
    run: Callable[[Coroutine[Any, Any, Any]], Any] = step_by_hand,
    scope: dict[str, Any] | None = None,
    **more: Any,
) -> Exchange:
    """Send one request and return all that came back; what the app raises comes out."""
    exchange = Exchange(scope=scope_for(cookie, **more) if scope is None else scope)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        exchange.messages.append(message)

    run(app(exchange.scope, receive, send))
    return exchange


async def respond(send: Any, *, status: int = 200, headers: Any = (), body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def app_that(handle: Callable[[Any], Any]) -> Any:
    """Return an app that calls *handle* with the session and answers 200."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        handle(scope["session"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await respond(send)

    return app


def nothing(session: Any) -> None:
    """Touch nothing."""
